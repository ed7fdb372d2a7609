/** Requests to the appliance that served this page: cookie session, changes marked against foreign pages. */
import type {
  Account,
  AccountCreate,
  Answer,
  Appliance, ApplianceConfig,
  Bmc,
  BmcSet,
  BlobReply,
  Drift,
  EventPage,
  Finding,
  Image,
  Job,
  JobCreate,
  JobPlan,
  LabelChange,
  LogEntry,
  LoginReply,
  NetCreate,
  NetEdit,
  PartitionCreate,
  Plan,
  PowerState,
  Problem,
  Question,
  RolloutCreate,
  Series,
  SessionInfo,
  Span,
  Targets,
  TemplateCreate,
  Token,
  TokenCreate,
  Topology,
  Transaction,
  TransactionDetail,
  Vs,
  VsCopy,
  VsCreate,
  VsEdit,
  VsSeries,
  WeftEvent,
} from "./types";

/** An answer that is no success, or no answer at all (status 0). */
export class ApiError extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.title);
    this.problem = problem;
  }
}

const AWAY: Problem = {
  code: "unreachable",
  status: 0,
  title: "The appliance does not answer.",
  next: "Check the network and that the appliance runs. This page tries again by itself.",
};

function isProblem(value: unknown): value is Problem {
  return typeof value === "object" && value !== null && "title" in value && "code" in value;
}

async function request(method: string, path: string, body?: BodyInit, type?: string, version?: string): Promise<Response> {
  const headers: Record<string, string> = {};
  if (method !== "GET") headers["X-Weft-Request"] = "1";
  if (type) headers["Content-Type"] = type;
  if (version) headers["If-Match"] = version;
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers,
      credentials: "same-origin",
      cache: "no-store",
      ...(body === undefined ? {} : { body }),
    });
  } catch {
    throw new ApiError(AWAY);
  }
  if (response.ok) return response;
  const answer: unknown = await response.json().catch(() => null);
  throw new ApiError(
    isProblem(answer)
      ? { ...answer, status: response.status }
      : { code: `http-${response.status}`, status: response.status, title: `The appliance answered ${response.status}.`, next: "" },
  );
}

async function text(path: string): Promise<string> {
  return (await request("GET", path)).text();
}

async function get<T>(path: string): Promise<T> {
  const response = await request("GET", path);
  return (await response.json()) as T;
}

async function change(method: string, path: string, json?: unknown, version?: string): Promise<Response> {
  return json === undefined ? request(method, path, undefined, undefined, version) : request(method, path, JSON.stringify(json), "application/json", version);
}

async function upload<T>(method: string, path: string, file: Blob): Promise<T> {
  const response = await request(method, path, file, "application/octet-stream");
  return (await response.json()) as T;
}

const at = encodeURIComponent;

/** A change, or with `dry` its plan; a change of one object answers with nothing. */
async function planned(method: string, path: string, dry: boolean, json?: unknown): Promise<Plan | null> {
  const answer = await change(method, dry ? `${path}?dry_run=true` : path, json);
  return answer.status === 204 || (answer.status === 201 && !dry) ? null : ((await answer.json()) as Plan);
}

const nodeLoad = (node: string, query: string) => get<Series>(`/nodes/${at(node)}/series?${query}`);
const vsLoad = (vs: string, query: string) => get<Series>(`/vs/${at(vs)}/series?${query}`);
const partitionLoad = (partition: string, query: string) => get<Series>(`/partitions/${at(partition)}/series?${query}`);

export const api = {
  login: async (user: string, password: string) =>
    (await (await change("POST", "/login", { user, password })).json()) as LoginReply,
  logout: () => change("POST", "/logout"),
  password: (old: string, fresh: string) => change("POST", "/password", { old, new: fresh }),
  config: () => get<ApplianceConfig>("/config"),
  appliances: () => get<Appliance[]>("/appliances"),
  /** As text: what is as it was need not be parsed. */
  nodes: () => text("/nodes"),
  /** `query` has the number of lines, and what is looked for: `grep`, `level`, `before`. */
  log: (node: string, query: URLSearchParams) => get<LogEntry[]>(`/nodes/${at(node)}/log?${query.toString()}`),
  approve: (node: string, fingerprint: string) => change("POST", `/nodes/${at(node)}/approve`, { fingerprint }),
  nodeGroup: (action: string, names: readonly string[], fingerprints: readonly string[], dry: boolean) =>
    planned("POST", "/groups/nodes", dry, { action, select: { names }, fingerprints }),
  reboot: (node: string) => change("POST", `/nodes/${at(node)}/reboot`),
  push: (node: string) => change("POST", `/nodes/${at(node)}/push`),
  bmc: (node: string) => get<Bmc>(`/nodes/${at(node)}/bmc`),
  setBmc: (node: string, wanted: BmcSet) => change("PUT", `/nodes/${at(node)}/bmc`, wanted),
  clearBmc: (node: string) => change("DELETE", `/nodes/${at(node)}/bmc`),
  powerState: (node: string) => get<PowerState>(`/nodes/${at(node)}/power`),
  /** `action` is `on`, `off` or `reset`. */
  power: (node: string, action: string, graceful: boolean, dry: boolean) =>
    planned("POST", "/groups/nodes/power", dry, { action, graceful, select: { names: [node] } }),
  labelNode: (node: string, wanted: LabelChange) => change("POST", `/nodes/${at(node)}/labels`, wanted),
  labelServer: (vs: string, wanted: LabelChange) => change("POST", `/vs/${at(vs)}/labels`, wanted),
  servers: () => text("/vs"),
  /** With the version that a change of it is made of. */
  server: async (vs: string) => {
    const answer = await request("GET", `/vs/${at(vs)}`);
    return { vs: (await answer.json()) as Vs, version: answer.headers.get("ETag") ?? "" };
  },
  edit: (vs: string, wanted: VsEdit, version: string) => change("PATCH", `/vs/${at(vs)}`, wanted, version),
  load: (kind: "nodes" | "vs" | "partitions", name: string, step: number, since?: number) => {
    const query = `step=${step}${since === undefined ? "" : `&since=${since}`}`;
    if (kind === "nodes") return nodeLoad(name, query);
    return kind === "vs" ? vsLoad(name, query) : partitionLoad(name, query);
  },
  span: (vs: string) => get<Span>(`/vs/${at(vs)}/span`),
  create: (vs: VsCreate) => change("POST", "/vs", vs),
  copy: (vs: string, wanted: VsCopy) => change("POST", `/vs/${at(vs)}/copy`, wanted),
  series: (wanted: VsSeries) => change("POST", "/groups/vs/create", wanted),
  templates: () => text("/templates"),
  createTemplate: (wanted: TemplateCreate) => change("POST", "/templates", wanted),
  removeTemplate: (template: string) => change("DELETE", `/templates/${at(template)}`),
  pools: () => text("/pools"),
  licences: () => text("/licences"),
  start: (vs: string) => change("POST", `/vs/${at(vs)}/start`),
  serverGroup: (action: string, names: readonly string[], dry: boolean) => planned("POST", "/groups/vs", dry, { action, select: { names } }),
  topology: () => text("/topology"),
  /** As a transaction left it. */
  topologyAt: (number: number) => get<Topology>(`/topology?at=${number}`),
  targets: (kind: string, name: string) => get<Targets>(`/topology/targets?kind=${at(kind)}&name=${at(name)}`),
  /** Into a frame, or with an empty name into the free pool. */
  moveNodes: (names: readonly string[], frame: string, dry: boolean) => planned("POST", "/groups/nodes/move", dry, { select: { names }, frame, free: frame === "" }),
  moveServers: (names: readonly string[], node: string, dry: boolean) => planned("POST", "/groups/vs/move", dry, { select: { names }, node }),
  /** `noun` is `vs` or `nodes`. */
  labelGroup: (noun: "vs" | "nodes", names: readonly string[], labels: LabelChange, dry: boolean) =>
    planned("POST", noun === "vs" ? "/groups/vs/labels" : "/groups/nodes/labels", dry, { select: { names }, labels }),
  moveServer: (vs: string, node: string, dry: boolean) => planned("POST", `/vs/${at(vs)}/move`, dry, { node }),
  /** `kind` is `datacenter`, `mainframe` or `frame`. */
  createContainer: (kind: string, name: string, parent: string, dry: boolean) => planned("POST", `/${kind}s`, dry, { name, parent }),
  editContainer: (kind: string, of: string, name: string, parent: string, dry: boolean) => planned("POST", `/${kind}s/${at(of)}/edit`, dry, { name, parent }),
  removeContainer: (kind: string, name: string, dry: boolean) => planned("DELETE", `/${kind}s/${at(name)}`, dry),
  /** `list` is `switches`, `gateways`, `ports`, `vnics` or `vhbas`. */
  nets: (list: string) => text(`/${list}`),
  nics: () => text("/nics"),
  createNet: (list: string, wanted: NetCreate, dry: boolean) => planned("POST", `/${list}`, dry, wanted),
  editNet: (list: string, of: string, wanted: NetEdit, dry: boolean) => planned("POST", `/${list}/${at(of)}/edit`, dry, wanted),
  removeNet: (list: string, of: string, dry: boolean) => planned("DELETE", `/${list}/${at(of)}`, dry),
  /** Which processors the virtual ones of a server are to have. */
  pinServer: (vs: string, affinity: string, dry: boolean) => planned("PATCH", `/vs/${at(vs)}`, dry, { affinity }),
  planPartition: (wanted: PartitionCreate) => planned("POST", "/partitions", true, wanted),
  partitions: () => text("/partitions"),
  createPartition: (wanted: PartitionCreate) => change("POST", "/partitions", wanted),
  removePartition: (partition: string) => change("DELETE", `/partitions/${at(partition)}`),
  blob: (file: Blob) => upload<BlobReply>("PUT", "/blobs", file),
  images: () => text("/images"),
  publish: (file: Blob) => upload<Image>("POST", "/images", file),
  companion: (digest: string, file: Blob) => upload<Image>("PUT", `/images/${at(digest)}/bios`, file),
  activate: (digest: string) => change("POST", `/images/${at(digest)}/activate`),
  revoke: (digest: string) => change("POST", `/images/${at(digest)}/revoke`),
  /** `query` has the conditions and the page: `grep`, `node`, `vs`, `kind`, `state`, `since`, `until`, `before`. */
  searchEvents: (query: URLSearchParams) => get<EventPage>(`/events/search?${query.toString()}`),
  events: (limit: number) => get<WeftEvent[]>(`/events?limit=${limit}`),
  /** `query` has the filter and the page: `before`, `limit`, `object`, `actor`. */
  transactions: (query: URLSearchParams) => get<Transaction[]>(`/transactions?${query.toString()}`),
  transaction: (number: number) => get<TransactionDetail>(`/transactions/${number}`),
  undoPlan: async (number: number) => (await (await change("POST", `/transactions/${number}/undo?dry_run=true`)).json()) as Plan,
  undo: async (number: number) => (await (await change("POST", `/transactions/${number}/undo`)).json()) as Plan,
  /** `query` has the page: `before`, `limit`. */
  jobs: (query: URLSearchParams) => get<Job[]>(`/jobs?${query.toString()}`),
  job: (number: number) => get<Job>(`/jobs/${number}`),
  createJob: async (wanted: JobCreate) => (await (await change("POST", "/jobs", wanted)).json()) as Job,
  planJob: async (wanted: JobCreate) => (await (await change("POST", "/jobs?dry_run=true", wanted)).json()) as JobPlan,
  cancelJob: (number: number) => change("POST", `/jobs/${number}/cancel`),
  retryJob: (number: number) => change("POST", `/jobs/${number}/retry`),
  /** `reason` is kept with the job. */
  skipJob: (number: number, reason: string) => change("POST", `/jobs/${number}/skip`, { reason }),
  abandonJob: (number: number, reason: string) => change("POST", `/jobs/${number}/abandon`, { reason }),
  rollouts: (limit: number) => text(`/rollouts?limit=${limit}`),
  startRollout: (wanted: RolloutCreate) => change("POST", "/rollouts", wanted),
  planRollout: (wanted: RolloutCreate) => planned("POST", "/rollouts", true, wanted),
  pauseRollout: (number: number) => change("POST", `/rollouts/${number}/pause`),
  resumeRollout: (number: number) => change("POST", `/rollouts/${number}/resume`),
  abortRollout: (number: number) => change("POST", `/rollouts/${number}/abort`),
  rolloutBack: (number: number) => change("POST", `/rollouts/${number}/back`),
  rolloutBackPlan: async (number: number) => (await (await change("POST", `/rollouts/${number}/back?dry_run=true`)).json()) as Plan,
  canI: async (questions: Question[]) => (await (await change("POST", "/auth/can-i", { questions })).json()) as Answer[],
  accounts: () => get<Account[]>("/accounts"),
  createAccount: (wanted: AccountCreate) => change("POST", "/accounts", wanted),
  deleteAccount: (account: string) => change("DELETE", `/accounts/${at(account)}`),
  setRole: (account: string, role: string) => change("POST", `/accounts/${at(account)}/role`, { role }),
  setPassword: (account: string, password: string) => change("POST", `/accounts/${at(account)}/password`, { password }),
  sessions: () => get<SessionInfo[]>("/sessions"),
  endSession: (session: string) => change("DELETE", `/sessions/${at(session)}`),
  tokens: () => get<Token[]>("/tokens"),
  createToken: async (wanted: TokenCreate) => (await (await change("POST", "/tokens", wanted)).json()) as Token,
  revokeToken: (token: string) => change("DELETE", `/tokens/${at(token)}`),
  /** With `all` those too that were settled. */
  drift: (all: boolean) => get<Drift[]>(`/drift?all=${String(all)}`),
  answerDrift: (name: string, action: string, dry: boolean) => planned("POST", "/drift", dry, { action, name }),
  doctor: () => get<Finding[]>("/doctor"),
};

/** Address of a console's WebSocket on this page's own host. */
export function consoleAddress(server: string, page: { protocol: string; host: string }): string {
  return `${page.protocol === "https:" ? "wss" : "ws"}://${page.host}/api/v1/vs/${at(server)}/console`;
}
