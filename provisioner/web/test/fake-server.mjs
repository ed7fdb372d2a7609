// A test double of the appliance's interface, in memory, for work on the page. It serves `dist` with the policy that the
// appliance sends, boots three make-believe nodes, and echoes what is typed into a console.
// Usage: node test/fake-server.mjs [PORT]   (user admin, password first-password; FAKE_EMPTY=1: no nodes)
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { WebSocketServer } from "ws";

const DIST = fileURLToPath(new URL("../dist", import.meta.url));
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const STAGES = ["dhcp", "fetch", "entry", "verified", "started", "processors", "network", "delegation", "channel"];
const digest = (text) => createHash("sha256").update(text).digest("hex");

export function startFake({ port = 0, empty = false, speed = 1 } = {}) {
  const state = { password: "first-password", mustChange: true, sessions: new Set(), nodes: [], vs: [], images: [], events: [], history: [], streams: new Set(), consoles: new Map() };
  const timers = new Set();
  const later = (ms, work) => timers.add(setTimeout(work, ms / speed));

  const event = (name, text, { node = "", vs = "", severity = "info", actor = "appliance" } = {}) => {
    const one = { seq: state.events.length + 1, at: new Date().toISOString(), name, state: severity, node, vs, actor, text };
    state.events.push(one);
    for (const stream of state.streams) stream.write(`id: ${one.seq}\ndata: ${JSON.stringify(one)}\n\n`);
  };

  const addNode = (number, { trusted, final, model, cpus, gib }) => {
    const id = digest(`node${number}`).slice(0, 32);
    const node = {
      name: `node-${number}`, state: "booting", id: "", fingerprint: "", mac: `02:00:00:00:00:0${number}`, address: "", boot_path: "",
      trusted_boot: false, generation: 0, image: "", cpus: 0, cpu_model: "", memory_kib: 0, monitor_kib: 0, guest_kib: 0, exits: 0,
      busy_permille: 0, uptime_ms: 0, last_seen: new Date().toISOString(), stages: [], nics: [], features: [], servers: [],
    };
    state.nodes.push(node);
    const first = Date.now();
    let at = 0;
    STAGES.forEach((stage, index) => {
      if (final === "booting" && index > 1) return;
      at += [0, 900, 350, 120, 40, 90, 700, 60, 110][index] * (0.7 + ((number * 37 + index * 13) % 10) / 12);
      const since = Math.round(at);
      later(since, () => {
        node.stages.push({ stage, at: new Date(first + since).toISOString(), since_first_ms: since });
        node.last_seen = new Date().toISOString();
        event(`boot.${stage}`, `node-${number} reached ${stage}`, { node: node.name });
        if (stage === "fetch") node.boot_path = trusted ? "uefi" : "bios";
        if (stage === "channel") {
          Object.assign(node, {
            state: final, id, fingerprint: id.slice(0, 16).replace(/(....)(?=.)/g, "$1-"), address: `10.20.0.${10 + number}`, trusted_boot: trusted,
            generation: 7, image: state.images[0]?.digest ?? "", cpus, cpu_model: model, memory_kib: gib * 1048576, monitor_kib: 21504,
            nics: [{ mac: node.mac, driver: "virtio-net", pci_id: "1af4:1000", link_up: true, address: `10.20.0.${10 + number}` }],
            features: ["svm", "npt", "vgif"],
          });
          event(final === "quarantined" ? "node.quarantined" : "node.ready", final === "quarantined" ? `${node.name} waits for approval` : `${node.name} is ready`, { node: node.name, severity: final === "quarantined" ? "warn" : "info" });
        }
      });
    });
  };

  const boot = () => {
    state.images.push({ name: "0.1.0+7", state: "active", digest: digest("image7"), generation: 7, floor: 5, size: 912_384, not_after: "2027-11-21T00:00:00Z", signers: [digest("a").slice(0, 16), digest("b").slice(0, 16)] });
    state.images.push({ name: "0.1.0+6", state: "published", digest: digest("image6"), generation: 6, floor: 5, size: 904_192, not_after: "2027-10-01T00:00:00Z", signers: [digest("a").slice(0, 16), digest("b").slice(0, 16)] });
    state.images.push({ name: "0.1.0+4", state: "revoked", digest: digest("image4"), generation: 4, floor: 3, size: 900_000, not_after: "2027-01-01T00:00:00Z", signers: [digest("a").slice(0, 16)] });
    addNode(1, { trusted: true, final: "ready", model: "AMD EPYC 9354P", cpus: 64, gib: 384 });
    addNode(2, { trusted: true, final: "quarantined", model: "AMD EPYC 7443P", cpus: 48, gib: 256 });
    addNode(3, { trusted: false, final: "ready", model: "AMD Ryzen 9 7950X", cpus: 32, gib: 64 });
    addNode(4, { trusted: false, final: "booting", model: "", cpus: 0, gib: 0 });
    const lost = digest("node5").slice(0, 32);
    state.nodes.push({ ...state.nodes[0], name: "node-5", state: "lost", id: lost, mac: "02:00:00:00:00:05", fingerprint: lost.slice(0, 16).replace(/(....)(?=.)/g, "$1-"), address: "10.20.0.15", boot_path: "uefi", cpus: 16, cpu_model: "AMD EPYC 3451", memory_kib: 67108864, last_seen: new Date(Date.now() - 840_000).toISOString(), stages: [], servers: [] });
    const vs = (name, rest) => state.vs.push({ name, state: "stopped", id: digest(name).slice(0, 32), desired: "stopped", node: "node-1", vcpus: 1, memory_mib: 256, kernel: digest("k"), initrd: digest("i"), append: "", macs: ["02:57:00:00:00:01"], generation: 1, instance: 0, reason: "", exits: 0, partition: "", places: [], labels: {}, ...rest });
    vs("web", { state: "running", desired: "running", vcpus: 4, memory_mib: 4096, instance: 2, exits: 1_234_567 });
    vs("build", { state: "failed", desired: "running", vcpus: 8, memory_mib: 8192, node: "node-3", reason: "triple fault at 0xffffffff81000040 after 3.2 s; the guest was stopped, its node is unharmed" });
    vs("db", { labels: { env: "prod", tier: "db" } });
    vs("big", { state: "running", desired: "running", vcpus: 2, memory_mib: 300, instance: 1, partition: "p1", places: [1, 3].map((node, index) => ({ node: `node-${node}`, first_vcpu: index, vcpus: 1, memory_mib: 150, state: "running", reason: "" })) });
  };
  if (!empty) boot();
  const ticker = setInterval(() => {
    for (const node of state.nodes) {
      if (node.state !== "ready") continue;
      node.last_seen = new Date().toISOString();
      node.uptime_ms += 1000;
      node.busy_permille = Math.round(220 + 150 * Math.sin(Date.now() / 9000 + node.cpus) + Math.random() * 60);
      node.exits += Math.round(2000 + 1500 * Math.sin(Date.now() / 7000) + Math.random() * 400);
      node.guest_kib = state.vs.filter((vs) => vs.node === node.name && vs.state === "running").reduce((sum, vs) => sum + vs.memory_mib * 1024, 0);
      node.servers = state.vs.filter((vs) => vs.node === node.name).map((vs) => vs.name);
    }
  }, 1000 / speed);

  const problem = (response, status, code, title, next = "") => json(response, status, { code, status, title, next });
  const json = (response, status, body) => {
    response.writeHead(status, { "Content-Type": status < 400 ? "application/json" : "application/problem+json" });
    response.end(body === undefined ? "" : JSON.stringify(body));
  };
  const cookie = (request) => /(?:^|; )weft_session=([0-9a-f]+)/.exec(request.headers.cookie ?? "")?.[1] ?? "";
  const body = async (request) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    return Buffer.concat(parts);
  };

  const start = (vs) => {
    Object.assign(vs, { desired: "running", state: "starting", reason: "", instance: vs.instance + 1, node: vs.node || "node-1" });
    event("vs.starting", `${vs.name} starts on ${vs.node}`, { vs: vs.name, node: vs.node, actor: "admin" });
    later(600, () => Object.assign(vs, { state: "fetching" }));
    later(1400, () => {
      Object.assign(vs, { state: "running" });
      event("vs.running", `${vs.name} is running`, { vs: vs.name, node: vs.node });
    });
  };

  // History of servers alone; an undo puts the definition back and looks for no conflict.
  const VERBS = { "vs create": "vs delete", "vs delete": "vs create", "vs start": "vs stop", "vs stop": "vs start" };
  const definition = (vs) => vs && { ...vs };
  const record = (name, before, after, undoes = 0) => {
    const number = state.history.length + 1;
    const { id, name: vs } = after ?? before;
    const fields = ["name", "desired", "node", "vcpus", "memory_mib", "macs"].map((field) => {
      const [old, fresh] = [before, after].map((one) => (one ? String(one[field]) : ""));
      return { field, before: old, after: fresh, changed: old !== fresh, derived: false };
    });
    const object = { name: vs, state: !before ? "created" : !after ? "deleted" : "changed", kind: "vs", id };
    const undo = name in VERBS ? "compensable" : "irreversible";
    const cause = undoes > 0 ? `undo of ${undoes}` : name;
    const reason = name in VERBS ? "what the guest held in memory is gone" : "a guest that was reset has lost what it held in memory";
    const transaction = { name, state: "done", number, at: new Date().toISOString(), actor: "admin", cause, undoes, undo, reason, objects: [object] };
    state.history.push({ transaction, changes: [{ ...object, fields }], before, after });
    return number;
  };
  const undo = ({ transaction, before, after }, dry) => {
    const plan = { name: VERBS[transaction.name] ?? transaction.name, state: "irreversible", transaction: 0, undoes: transaction.number, lost: "", undo: transaction.undo, reason: transaction.reason, objects: [], effects: [], conflicts: [] };
    if (!(transaction.name in VERBS)) return plan;
    Object.assign(plan, { state: "planned", lost: transaction.reason, effects: [`${(before ?? after).node} sets ${(before ?? after).name} back`] });
    if (dry) return plan;
    state.vs = [...state.vs.filter(({ id }) => id !== (before ?? after).id), ...(before ? [{ ...before }] : [])];
    transaction.state = "undone";
    Object.assign(plan, { state: "done", transaction: record(plan.name, after, before, transaction.number) });
    event("transaction.undone", `transaction ${transaction.number} is undone`, { actor: "admin" });
    return plan;
  };

  const spanOf = (vs) => {
    const seconds = Math.floor(Date.now() / 1000) % 86_400;
    const names = ["remote_read", "remote_write", "upgrade", "zero", "diff", "whole", "own", "prefetched", "prefetch_used", "migrated", "lost", "deferred", "tokens", "dropped", "returned", "messages_sent", "messages_received", "control_bytes", "content_bytes", "bytes_sent", "bytes_received"];
    const rates = Object.fromEntries(names.map((name, index) => [name, name.includes("bytes") ? 350_000 : name.startsWith("messages") ? 1900 : 40 + 30 * index + Math.round(20 * Math.sin(seconds / 7))]));
    const latency = { count: 4001, p50_ns: 310_000, p99_ns: 2_400_000, buckets: [9, 800, 2400, 600, 150, 30, 12].map((count, index) => ({ from_ns: 2 ** (17 + index), count })) };
    const nodes = vs.places.map(({ node, first_vcpu, memory_mib, state }, index) => ({
      node, state, age_ms: 400, vcpus: [{ vcpu: first_vcpu, cpu: 1 }], memory_mib, memory: [{ first: `0x${(index * 0x9600000).toString(16)}`, end: `0x${((index + 1) * 0x9600000).toString(16)}` }],
      pages: { located: 38_400, writable: 21_004, readable: 3100, frames: 24_900 }, counts: Object.fromEntries(names.map((name) => [name, Math.round(rates[name] * seconds)])), rates, read_latency: latency, write_latency: latency,
      links: [{ node: vs.places[1 - index].node, frames_sent: 1, frames_received: 1, bytes_sent: 1, bytes_received: 1, retransmits: 0, timeouts: 0, rtt_ns: 240_000, rtt_least_ns: 61_000 }], frames_dropped: 0, clock_steps: 12, clock_step_max: 900,
    }));
    const hottest = [["0x2c05000", "ram", 800, 310, 290], ["0x9b3f000", "ram", 90, 44, 12], ["0x9f000", "low", 12, 1, 1]].map(([address, region, reads, writes, moves]) => ({ address, region, node: address === "0x9b3f000" ? "node-3" : "node-1", reads, writes, moves }));
    return { name: vs.name, state: vs.state, instance: vs.instance, nodes, hottest };
  };

  /** Waves, with a gap, in place of what nodes tell. */
  const seriesOf = (kind, name, url) => {
    const step = Number(url.searchParams.get("step") ?? 1);
    const last = Math.floor(Date.now() / 1000 / step) * step;
    const count = Math.min(step === 1 ? 300 : 360, Math.max(0, (last - Number(url.searchParams.get("since") ?? 0)) / step));
    const tops = { processor: 0.8, "memory-guests": 6e8, "memory-monitor": 2e7, memory: 3e8, "network-in": 4e5, "network-out": 9e4, "frames-in": 400, "frames-out": 90, exits: 9000, "exits-interrupt": 3000, "exits-halt": 2500, "exits-memory": 800, "exits-device": 1800, "exits-other": 300, "remote-faults": 400, messages: 2600 };
    const value = (at, top, index) => (at % 600 < 20 * step ? null : Math.round(1000 * top * (0.6 + 0.3 * Math.sin(at / (9 + index) / step) + 0.1 * Math.sin(at / 3 / step))) / 1000);
    const metrics = Object.entries(tops).map(([metric, top], index) => ({ name: metric, unit: "", values: Array.from({ length: count }, (_, place) => value(last - (count - 1 - place) * step, top, index)) }));
    return { kind, name, step_s: step, last, metrics };
  };

  async function route(request, response, url) {
    const [, , , noun, name, verb] = url.pathname.split("/").map(decodeURIComponent);
    const key = `${request.method} ${noun}${name === undefined ? "" : "/*"}${verb === undefined ? "" : `/${verb}`}`;
    if (request.method !== "GET" && request.headers["x-weft-request"] !== "1") return problem(response, 403, "foreign-page", "The request did not come from this page.");
    if (key === "POST login") {
      const { user, password } = JSON.parse(await body(request));
      if (user !== "admin" || password !== state.password) return problem(response, 401, "wrong-password", "User or password is wrong.", "Try again.");
      const token = randomBytes(16).toString("hex");
      state.sessions.add(token);
      response.setHeader("Set-Cookie", `weft_session=${token}; Path=/; HttpOnly; SameSite=Strict`);
      return json(response, 200, { token, must_change: state.mustChange });
    }
    if (!state.sessions.has(cookie(request))) return problem(response, 401, "no-session", "You are not logged in.");
    if (key === "POST password") {
      const { old, new: fresh } = JSON.parse(await body(request));
      if (old !== state.password) return problem(response, 403, "wrong-password", "The present password is wrong.");
      Object.assign(state, { password: fresh, mustChange: false });
      return json(response, 204);
    }
    if (key === "POST logout") {
      state.sessions.delete(cookie(request));
      return json(response, 204);
    }
    if (state.mustChange) return problem(response, 403, "must-change-password", "Change the first password.");
    const node = state.nodes.find((one) => one.name === name);
    const vs = state.vs.find((one) => one.name === name);
    if (noun === "nodes" && name !== undefined && !node) return problem(response, 404, "node-not-found", `There is no node ${name}.`);
    if (noun === "vs" && name !== undefined && !vs) return problem(response, 404, "vs-not-found", `There is no server ${name}.`);
    switch (key) {
      case "GET config": return json(response, 200, { cluster: digest("c").slice(0, 32), interface: "eth1", address: "10.20.0.1", dhcp_mode: "full", active_image: state.images[0]?.digest ?? "", delegation_version: 3 });
      case "GET nodes": return json(response, 200, state.nodes);
      case "POST nodes/*/approve": {
        const { fingerprint } = JSON.parse(await body(request));
        if (fingerprint !== node.fingerprint) return problem(response, 409, "fingerprint-differs", "The fingerprint is another one.", "Compare again.");
        node.state = "ready";
        event("node.approved", `${node.name} was approved`, { node: node.name, actor: "admin" });
        return json(response, 200, node);
      }
      case "POST nodes/*/reboot": event("node.reboot", `${node.name} restarts`, { node: node.name, actor: "admin" }); return json(response, 202);
      case "DELETE nodes/*": state.nodes = state.nodes.filter((one) => one !== node); event("node.forgotten", `${node.name} was forgotten`, { actor: "admin" }); return json(response, 204);
      case "GET nodes/*/bmc": return problem(response, 404, "bmc-not-set", `${name} has no management controller set.`);
      case "GET nodes/*/log": return json(response, 200, node.state === "booting" ? [] : STAGES.map((stage, index) => ({ at: new Date().toISOString(), uptime_ms: index * 113, level: index === 6 ? "warn" : "info", text: index === 6 ? "virtio-net: no multiqueue, one queue is used" : `stage ${stage} passed` })));
      case "GET vs": return json(response, 200, state.vs);
      case "GET vs/*/span": return vs.partition === "" ? problem(response, 409, "not-spanning", `${name} does not span nodes.`) : json(response, 200, spanOf(vs));
      case "GET nodes/*/series":
      case "GET vs/*/series": return json(response, 200, seriesOf(noun === "vs" ? "vs" : "node", name, url));
      case "POST vs": {
        const wanted = JSON.parse(await body(request));
        if (state.vs.some((one) => one.name === wanted.name)) return problem(response, 409, "name-taken", `There is a server ${wanted.name}.`);
        const made = { ...wanted, state: "stopped", id: digest(wanted.name).slice(0, 32), desired: "stopped", kernel: wanted.kernel || digest("k"), macs: ["02:57:00:00:00:09"], generation: 1, instance: 0, reason: "", exits: 0 };
        state.vs.push(made);
        record("vs create", undefined, definition(made));
        event("vs.created", `${made.name} was defined`, { vs: made.name, actor: "admin" });
        return json(response, 201, made);
      }
      case "POST vs/*/start": { const before = definition(vs); start(vs); record("vs start", before, definition(vs)); return json(response, 202, vs); }
      case "POST vs/*/stop": record("vs stop", definition(vs), { ...vs, state: "stopped", desired: "stopped" }); Object.assign(vs, { state: "stopped", desired: "stopped" }); event("vs.stopped", `${vs.name} is stopped`, { vs: vs.name, actor: "admin" }); return json(response, 202, vs);
      case "POST vs/*/reset": record("vs reset", definition(vs), definition(vs)); vs.instance += 1; event("vs.reset", `${vs.name} was reset`, { vs: vs.name, actor: "admin" }); return json(response, 202, vs);
      case "DELETE vs/*": record("vs delete", definition(vs)); state.vs = state.vs.filter((one) => one !== vs); event("vs.deleted", `${vs.name} was deleted`, { actor: "admin" }); return json(response, 204);
      case "POST vs/*/labels": {
        const { set, remove } = JSON.parse(await body(request));
        vs.labels = Object.fromEntries(Object.entries({ ...vs.labels, ...set }).filter(([label]) => !remove.includes(label)));
        return json(response, 204);
      }
      case "POST groups/*": {
        const { action, select } = JSON.parse(await body(request));
        const fits = (one) => select.names.includes(one.name) && (action === "delete" || (one.desired === "running") !== (action === "start"));
        const chosen = state.vs.filter(fits);
        const dry = url.searchParams.get("dry_run") === "true";
        const after = { start: { desired: "running", state: "running" }, stop: { desired: "stopped", state: "stopped" } }[action];
        if (!dry) state.vs = state.vs.filter((one) => action !== "delete" || !chosen.includes(one));
        if (!dry && after) chosen.forEach((one) => Object.assign(one, after));
        const running = { field: "running", before: String(action !== "start"), after: String(action === "start"), changed: true, derived: false };
        const objects = chosen.map(({ name, id }) => ({ kind: "vs", name, id, state: after ? "changed" : "deleted", fields: after ? [running] : [] }));
        return json(response, 200, { name: `vs ${action}`, state: chosen.length === 0 ? "nothing" : dry ? "planned" : "done", transaction: 0, undoes: 0, lost: "", undo: "compensable", reason: "", objects, effects: [], conflicts: [] });
      }
      case "PUT blobs": { const bytes = await body(request); return json(response, 200, { digest: digest(bytes), size: bytes.length }); }
      case "GET templates":
      case "GET pools":
      case "GET licences": return json(response, 200, []);
      case "GET images": return json(response, 200, state.images);
      case "POST images/*/activate": for (const image of state.images) { if (image.state === "active") image.state = "published"; if (image.digest === name) image.state = "active"; } return json(response, 200);
      case "POST images/*/revoke": for (const image of state.images) if (image.digest === name) image.state = "revoked"; return json(response, 200);
      case "GET events": return json(response, 200, state.events.filter(({ seq }) => seq > Number(url.searchParams.get("after") ?? 0)).slice(-Number(url.searchParams.get("limit") ?? 100)));
      case "GET events/*": {
        response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
        response.write(": hello\n\n");
        for (const one of state.events.filter(({ seq }) => seq > Number(url.searchParams.get("after") ?? 0))) response.write(`id: ${one.seq}\ndata: ${JSON.stringify(one)}\n\n`);
        state.streams.add(response);
        request.on("close", () => state.streams.delete(response));
        return undefined;
      }
      case "GET transactions": return json(response, 200, state.history.map(({ transaction }) => transaction).filter(({ number }) => number < Number(url.searchParams.get("before") ?? Infinity)).reverse().slice(0, 50));
      case "GET transactions/*":
      case "POST transactions/*/undo": {
        const one = state.history[Number(name) - 1];
        if (!one) return problem(response, 404, "transaction-not-found", `There is no transaction ${name}.`, "See the history.");
        return json(response, 200, verb === "undo" ? undo(one, url.searchParams.get("dry_run") === "true") : { transaction: one.transaction, changes: one.changes });
      }
      case "GET doctor": return json(response, 200, [
        { name: "appliance", state: "ok", text: "serving DHCP, TFTP and HTTP on eth1", next: "" },
        { name: "network", state: "warn", text: "another DHCP server answers on eth1: 10.20.0.254", next: "Switch it off, or run the appliance with --dhcp proxy." },
        { name: "node-4", state: "fail", text: "it fetched the boot program 40 s ago and has been silent since", next: "Look at its screen. “Security Violation” means that the Secure Boot keys are not enrolled: enrol keys/db.auth, or switch Secure Boot off." },
      ]);
      default: return problem(response, 404, "no-such-route", `There is no ${key}.`);
    }
  }

  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://localhost");
    if (url.pathname.startsWith("/api/")) {
      route(request, response, url).catch((error) => problem(response, 500, "fake-broke", String(error)));
      return;
    }
    const path = url.pathname === "/" ? "/index.html" : normalize(url.pathname);
    const file = join(DIST, path);
    if (!file.startsWith(DIST) || !existsSync(file) || !statSync(file).isFile()) return void problem(response, 404, "no-such-file", "Not found.");
    response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream", "Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff" });
    createReadStream(file).pipe(response);
  });
  const sockets = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    const match = /^\/api\/v1\/vs\/([^/]+)\/console$/.exec(request.url);
    const vs = match && state.vs.find(({ name }) => name === decodeURIComponent(match[1]));
    if (!vs || !state.sessions.has(cookie(request))) return void socket.end("HTTP/1.1 404 Not Found\r\n\r\n");
    sockets.handleUpgrade(request, socket, head, (client) => {
      const history = state.consoles.get(vs.name) ?? `[    0.000000] Linux version 6.1.0-44-amd64 (debian-kernel@lists.debian.org)\r\n[    0.412345] smp: Brought up 1 node, ${vs.vcpus} CPUs\r\n[    1.204411] Run /init as init process\r\n\r\n\x1b[32m${vs.name}\x1b[0m login: root (automatic)\r\n\x1b[1;36m${vs.name}:~#\x1b[0m `;
      client.send(Buffer.from(history));
      let kept = history;
      client.on("message", (data) => {
        const text = data.toString().replaceAll("\r", `\r\nyou typed it\r\n\x1b[1;36m${vs.name}:~#\x1b[0m `);
        kept += text;
        state.consoles.set(vs.name, kept);
        client.send(Buffer.from(text));
      });
    });
  });
  return new Promise((resolve) => {
    server.listen(port, "127.0.0.1", () =>
      resolve({
        url: `http://127.0.0.1:${server.address().port}`,
        state,
        event,
        boot,
        dropConnections: () => { for (const stream of state.streams) stream.destroy(); for (const client of sockets.clients) client.terminate(); },
        stop: () => { clearInterval(ticker); timers.forEach(clearTimeout); server.closeAllConnections(); for (const client of sockets.clients) client.terminate(); server.close(); },
      }),
    );
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fake = await startFake({ port: Number(process.argv[2] ?? 8480), empty: process.env.FAKE_EMPTY === "1" });
  console.log(`${fake.url} (admin, first-password)`);
}
