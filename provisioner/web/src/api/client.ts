/** Requests to the appliance that served this page: cookie session, changes marked against foreign pages. */
import type {
  ApplianceConfig,
  BlobReply,
  Finding,
  Image,
  LogEntry,
  LoginReply,
  Node,
  Problem,
  Vs,
  VsCreate,
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

async function request(method: string, path: string, body?: BodyInit, type?: string): Promise<Response> {
  const headers: Record<string, string> = {};
  if (method !== "GET") headers["X-Weft-Request"] = "1";
  if (type) headers["Content-Type"] = type;
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

async function get<T>(path: string): Promise<T> {
  const response = await request("GET", path);
  return (await response.json()) as T;
}

async function change(method: string, path: string, json?: unknown): Promise<Response> {
  return json === undefined ? request(method, path) : request(method, path, JSON.stringify(json), "application/json");
}

async function upload<T>(method: string, path: string, file: Blob): Promise<T> {
  const response = await request(method, path, file, "application/octet-stream");
  return (await response.json()) as T;
}

const at = encodeURIComponent;

export const api = {
  login: async (user: string, password: string) =>
    (await (await change("POST", "/login", { user, password })).json()) as LoginReply,
  logout: () => change("POST", "/logout"),
  password: (old: string, fresh: string) => change("POST", "/password", { old, new: fresh }),
  config: () => get<ApplianceConfig>("/config"),
  nodes: () => get<Node[]>("/nodes"),
  log: (node: string, lines: number) => get<LogEntry[]>(`/nodes/${at(node)}/log?lines=${lines}`),
  approve: (node: string, fingerprint: string) => change("POST", `/nodes/${at(node)}/approve`, { fingerprint }),
  reboot: (node: string) => change("POST", `/nodes/${at(node)}/reboot`),
  forget: (node: string) => change("DELETE", `/nodes/${at(node)}`),
  servers: () => get<Vs[]>("/vs"),
  create: (vs: VsCreate) => change("POST", "/vs", vs),
  act: (vs: string, verb: "start" | "stop" | "reset") => change("POST", `/vs/${at(vs)}/${verb}`),
  remove: (vs: string) => change("DELETE", `/vs/${at(vs)}`),
  blob: (file: Blob) => upload<BlobReply>("PUT", "/blobs", file),
  images: () => get<Image[]>("/images"),
  publish: (file: Blob) => upload<Image>("POST", "/images", file),
  activate: (digest: string) => change("POST", `/images/${at(digest)}/activate`),
  revoke: (digest: string) => change("POST", `/images/${at(digest)}/revoke`),
  events: (limit: number) => get<WeftEvent[]>(`/events?limit=${limit}`),
  doctor: () => get<Finding[]>("/doctor"),
};

/** Address of a console's WebSocket on this page's own host. */
export function consoleAddress(server: string, page: { protocol: string; host: string }): string {
  return `${page.protocol === "https:" ? "wss" : "ws"}://${page.host}/api/v1/vs/${at(server)}/console`;
}
