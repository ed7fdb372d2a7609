/** Virtual on physical: which object belongs to which, what is lit when one is chosen, and how moves are called. */
import type { NetEdit, Target, Topology, TopologyBox, TopologyGateway, TopologyNode, TopologyPartition, TopologyPort, TopologyServer, TopologySwitch, TopologyVnic } from "../api/types";
import { command } from "./cli";

export type Kind = "datacenter" | "mainframe" | "frame" | "node" | "partition" | "vs" | "vcpu" | "vnic" | "switch" | "port" | "gateway";

/** An object of the map. */
export interface Picked {
  kind: Kind;
  id: string;
}

/** The document by identity. */
export interface Index {
  topology: Topology;
  boxes: Map<string, TopologyBox>;
  nodes: Map<string, TopologyNode>;
  partitions: Map<string, TopologyPartition>;
  servers: Map<string, TopologyServer>;
  switches: Map<string, TopologySwitch>;
  /** Each with its switch. */
  ports: Map<string, { port: TopologyPort; of: TopologySwitch }>;
  gateways: Map<string, { gateway: TopologyGateway; of: TopologySwitch }>;
  /** VNICs that are not as they came. */
  vnics: Map<string, TopologyVnic>;
  /** Frame id, or empty for the free pool, to what stands there. */
  standing: Map<string, Standing>;
}

/** What stands in a frame: the nodes of partitions together, then the others. */
export interface Standing {
  partitions: { partition: TopologyPartition; nodes: TopologyNode[] }[];
  nodes: TopologyNode[];
  count: number;
}

/** Where those stand that wait for approval: they are in no frame and not in the free pool either. */
export const WAITING = "waiting";
/** Where those stand whose frame the caller may not see. */
export const HIDDEN = "hidden";

function placeOf(node: TopologyNode, frames: ReadonlySet<string>): string {
  if (!node.approved) return WAITING;
  return node.frame === "" || frames.has(node.frame) ? node.frame : HIDDEN;
}

export function index(topology: Topology): Index {
  const byId = <T extends { id: string }>(all: readonly T[]) => new Map(all.map((one) => [one.id, one]));
  const partitions = byId(topology.partitions);
  const frames = new Set(topology.frames.map(({ id }) => id));
  const standing = new Map<string, Standing>();
  for (const node of topology.nodes) {
    const place = placeOf(node, frames);
    const there = standing.get(place) ?? { partitions: [], nodes: [], count: 0 };
    standing.set(place, there);
    there.count += 1;
    const partition = partitions.get(node.partition);
    if (!partition) {
      there.nodes.push(node);
      continue;
    }
    const group = there.partitions.find((one) => one.partition === partition);
    if (group) group.nodes.push(node);
    else there.partitions.push({ partition, nodes: [node] });
  }
  return {
    topology,
    boxes: byId([...topology.datacenters, ...topology.mainframes, ...topology.frames]),
    nodes: byId(topology.nodes),
    partitions,
    servers: byId(topology.servers),
    switches: byId(topology.switches),
    ports: new Map(topology.switches.flatMap((of) => of.ports.map((port) => [port.id, { port, of }] as const))),
    gateways: new Map(topology.switches.flatMap((of) => of.gateways.map((gateway) => [gateway.id, { gateway, of }] as const))),
    vnics: byId(topology.vnics),
    standing,
  };
}

/** Objects that are compared before others get their turn. */
const TURN = 400;

/**
 * The new document with what did not change taken from the old one, so that only what changed is drawn again. Compared
 * a piece at a time, with `pause` between: ten thousand servers at once would hold up the page.
 */
export async function reuse(old: Topology | null, fresh: Topology, pause: () => Promise<void>): Promise<Topology> {
  if (!old) return fresh;
  const kept = async <T extends { id: string }>(before: readonly T[], after: readonly T[]): Promise<T[]> => {
    const known = new Map(before.map((one) => [one.id, one]));
    const same: T[] = [];
    for (const [place, one] of after.entries()) {
      if (place % TURN === TURN - 1) await pause();
      const was = known.get(one.id);
      same.push(was && JSON.stringify(was) === JSON.stringify(one) ? was : one);
    }
    return same.length === before.length && same.every((one, place) => one === before[place]) ? (before as T[]) : same;
  };
  const next: Topology = {
    transaction: fresh.transaction,
    datacenters: await kept(old.datacenters, fresh.datacenters),
    mainframes: await kept(old.mainframes, fresh.mainframes),
    frames: await kept(old.frames, fresh.frames),
    nodes: await kept(old.nodes, fresh.nodes),
    partitions: await kept(old.partitions, fresh.partitions),
    servers: await kept(old.servers, fresh.servers),
    switches: await kept(old.switches, fresh.switches),
    vnics: await kept(old.vnics, fresh.vnics),
  };
  const same = (Object.keys(next) as (keyof Topology)[]).every((key) => next[key] === old[key]);
  return same ? old : next;
}

/** Ids of all that has to do with a chosen object, both ways: what stands around it, what lies on it, where it lives. */
export function lit(all: Index, picked: Picked | null): Set<string> {
  const found = new Set<string>();
  if (!picked) return found;
  const around = (node: TopologyNode) => {
    for (let id = node.frame; id !== "" && !found.has(id); id = all.boxes.get(id)?.parent ?? "") found.add(id);
    if (node.partition !== "") found.add(node.partition);
  };
  const onNode = (node: TopologyNode) => {
    found.add(node.id);
    node.servers.forEach(({ server }) => found.add(server));
  };
  found.add(picked.id);
  switch (picked.kind) {
    case "node": {
      const node = all.nodes.get(picked.id);
      if (node) {
        onNode(node);
        around(node);
      }
      break;
    }
    case "vs":
    case "vcpu":
    case "vnic": {
      const vs = serverOf(all, picked);
      if (vs) found.add(vs.id);
      for (const place of vs?.places ?? []) {
        if (picked.kind === "vcpu" && !holds(place, vcpuOf(picked.id))) continue;
        found.add(place.node);
        const node = all.nodes.get(place.node);
        if (node) around(node);
      }
      const pinned = picked.kind === "vcpu" && vs ? homeOf(vs, vcpuOf(picked.id)) : null;
      if (pinned?.processor != null) found.add(`${pinned.node}/${pinned.processor}`);
      const vnics = picked.kind === "vcpu" || !vs ? [] : vnicsOf(all, vs).filter(({ id }) => picked.kind === "vs" || id === picked.id);
      for (const vnic of vnics) wired(all, vnic, found);
      break;
    }
    case "switch": {
      const of = all.switches.get(picked.id);
      for (const port of of?.ports ?? []) throughPort(all, port, found);
      for (const gateway of of?.gateways ?? []) found.add(gateway.id).add(gateway.node);
      break;
    }
    case "port": {
      const known = all.ports.get(picked.id);
      if (known) throughPort(all, known.port, found.add(known.of.id));
      for (const id of known?.port.gateways ?? []) found.add(id).add(all.gateways.get(id)?.gateway.node ?? "");
      break;
    }
    case "gateway": {
      const known = all.gateways.get(picked.id);
      found.add(known?.of.id ?? "").add(known?.gateway.node ?? "");
      for (const port of known?.of.ports ?? []) if (port.gateways.includes(picked.id)) throughPort(all, port, found);
      break;
    }
    case "partition": {
      const partition = all.partitions.get(picked.id);
      partition?.servers.forEach((server) => found.add(server));
      for (const id of partition?.members ?? []) {
        found.add(id);
        const node = all.nodes.get(id);
        if (node) around(node);
      }
      break;
    }
    default: {
      const inside = (id: string): void => {
        for (const box of all.boxes.values()) {
          if (box.parent !== id) continue;
          found.add(box.id);
          inside(box.id);
        }
      };
      inside(picked.id);
      for (let id = all.boxes.get(picked.id)?.parent ?? ""; id !== ""; id = all.boxes.get(id)?.parent ?? "") found.add(id);
      for (const node of all.topology.nodes) if (node.frame !== "" && found.has(node.frame) && isWithin(all, node.frame, picked.id)) onNode(node);
    }
  }
  return found;
}

function isWithin(all: Index, id: string, outer: string): boolean {
  for (let at = id; at !== ""; at = all.boxes.get(at)?.parent ?? "") if (at === outer) return true;
  return false;
}

/** A VNIC's way: its port, the switch, and the gateway ports. */
function wired(all: Index, vnic: TopologyVnic, found: Set<string>) {
  found.add(vnic.id);
  const known = all.ports.get(vnic.port);
  if (!known) return;
  found.add(known.port.id).add(known.of.id);
  known.port.gateways.forEach((id) => found.add(id));
}

function throughPort(all: Index, port: TopologyPort, found: Set<string>) {
  found.add(port.id);
  if (port.vnic === "") return;
  found.add(port.vnic).add(all.vnics.get(port.vnic)?.server ?? "");
}

/** Id of the VNIC that a server came with. */
const ownVnic = (server: string) => `vnic-${server}`;

/** VNICs of a server, the one that it came with first. What is as it came is not in the document. */
export function vnicsOf(all: Index, vs: TopologyServer): TopologyVnic[] {
  const own = all.vnics.get(ownVnic(vs.id)) ?? { id: ownVnic(vs.id), name: `${vs.name}.0`, state: "applied", reason: "bridged to the appliance's network by its node", server: vs.id, port: "" };
  return [own, ...all.topology.vnics.filter(({ id, server }) => server === vs.id && id !== own.id)];
}

/** The VNIC of this id, also one that is as it came. */
export function vnicOf(all: Index, id: string): TopologyVnic | null {
  const known = all.vnics.get(id);
  if (known) return known;
  const vs = all.servers.get(id.replace(/^vnic-/, ""));
  return vs && id === ownVnic(vs.id) ? (vnicsOf(all, vs)[0] ?? null) : null;
}

/** Number of a virtual processor: its id is that of its server, `/`, and the number. */
export const vcpuOf = (id: string) => Number(id.slice(id.lastIndexOf("/") + 1));

const holds = (place: { first_vcpu: number; vcpus: number }, vcpu: number) => vcpu >= place.first_vcpu && vcpu < place.first_vcpu + place.vcpus;

/** The server of a virtual processor or a VNIC, or the server itself. */
export function serverOf(all: Index, { kind, id }: Picked): TopologyServer | null {
  if (kind === "vs") return all.servers.get(id) ?? null;
  if (kind === "vcpu") return all.servers.get(id.slice(0, id.lastIndexOf("/"))) ?? null;
  return kind === "vnic" ? (all.servers.get(vnicOf(all, id)?.server ?? "") ?? null) : null;
}

/** Processors by virtual ones, as `0=1,1=3` says. */
export function pins(affinity: string): Map<number, number> {
  const pairs = affinity.split(",").map((pair) => pair.split("=").map(Number));
  return new Map(pairs.flatMap(([vcpu, processor]) => (vcpu === undefined || processor === undefined || Number.isNaN(processor) ? [] : [[vcpu, processor] as const])));
}

/** The same with one of them elsewhere; null: wherever its node puts it. */
export function pinned(affinity: string, vcpu: number, processor: number | null): string {
  const all = pins(affinity);
  if (processor === null) all.delete(vcpu);
  else all.set(vcpu, processor);
  return [...all].sort(([a], [b]) => a - b).map((pair) => pair.join("=")).join(",");
}

/** The node of a virtual processor, and the processor that it is to have there; null: any. */
export function homeOf(vs: TopologyServer, vcpu: number): { node: string; processor: number | null } | null {
  const place = vs.places.find((one) => holds(one, vcpu));
  return place ? { node: place.node, processor: pins(vs.affinity).get(vcpu) ?? null } : null;
}

export function nameOf(all: Index, { kind, id }: Picked): string {
  switch (kind) {
    case "node":
      return all.nodes.get(id)?.name ?? "";
    case "vs":
      return all.servers.get(id)?.name ?? "";
    case "partition":
      return all.partitions.get(id)?.name ?? "";
    case "vcpu": {
      const vs = serverOf(all, { kind: "vcpu", id });
      return vs && vcpuOf(id) < vs.vcpus ? `${vs.name}/${vcpuOf(id)}` : "";
    }
    case "vnic":
      return vnicOf(all, id)?.name ?? "";
    case "switch":
      return all.switches.get(id)?.name ?? "";
    case "port":
      return all.ports.get(id)?.port.name ?? "";
    case "gateway":
      return all.gateways.get(id)?.gateway.name ?? "";
    default:
      return all.boxes.get(id)?.name ?? "";
  }
}

/** What a node stands in, the innermost first; `…` for what the caller may not see. */
export function path(all: Index, node: TopologyNode): string[] {
  if (!node.approved) return ["waiting for approval"];
  if (node.frame === "") return ["free pool"];
  const names: string[] = [];
  for (let id = node.frame; id !== ""; id = all.boxes.get(id)?.parent ?? "") names.push(all.boxes.get(id)?.name ?? "…");
  return names;
}

/** `vCPU 3`, `vCPUs 0–1`, or `memory only`. */
export function processors({ first_vcpu, vcpus }: { first_vcpu: number; vcpus: number }): string {
  if (vcpus === 0) return "memory only";
  return vcpus === 1 ? `vCPU ${first_vcpu}` : `vCPUs ${first_vcpu}–${first_vcpu + vcpus - 1}`;
}

/** Key of a target, as elements that can be dropped on have it. */
export const targetKey = ({ kind, id, name }: Pick<Target, "kind" | "id" | "name">): string => (id === "" ? `${kind}:${name}` : id);
/** That of the free pool. */
export const FREE_KEY = targetKey({ kind: "free", id: "", name: "free" });
/** That of a partition that is still to be made. */
export const NEW_KEY = targetKey({ kind: "partition", id: "", name: "new" });

/** That of no port, and that of whichever processor. */
export const NONE_KEY = targetKey({ kind: "none", id: "", name: "none" });
export const ANY_KEY = targetKey({ kind: "any", id: "", name: "any" });

export function targetWords({ kind, name }: Pick<Target, "kind" | "name">): string {
  if (kind === "none") return "no port";
  if (kind === "any") return "whichever processor is free";
  if (kind === "gateway") return `gateway port ${name}`;
  if (kind === "free") return "the free pool";
  if (kind === "partition") return name === "new" ? "a new partition" : `partition ${name}`;
  return `${kind} ${name}`;
}

/** What becomes of an affinity where a virtual processor goes to a target. */
export function pinnedTo(all: Index, { kind, id }: Picked, target: Pick<Target, "kind" | "id"> | null): string {
  const vs = serverOf(all, { kind, id });
  return pinned(vs?.affinity ?? "", vcpuOf(id), target?.kind === "processor" ? vcpuOf(target.id) : null);
}

/** What connects a VNIC to a target. */
export function plugTo(target: Pick<Target, "kind" | "id"> | null): NetEdit {
  if (target?.kind === "gateway") return { gateway: target.id };
  return { port: target?.kind === "port" ? target.id : "" };
}

/** The command line that pins a virtual processor or connects a VNIC. */
export function placeCommand(all: Index, picked: Picked, target: Pick<Target, "kind" | "id" | "name"> | null): string {
  if (picked.kind === "vcpu") {
    const to = target === null ? `${vcpuOf(picked.id)}=PROCESSOR` : pinnedTo(all, picked, target);
    return command("vs", "set", serverOf(all, picked)?.name ?? "NAME", "--affinity", to);
  }
  const to = target === null ? ["--port", "PORT"] : target.kind === "none" ? ["--detach"] : [`--${target.kind}`, target.name];
  return command("vnic", "edit", nameOf(all, picked), ...to);
}

/** The command line that does the move. */
export function moveCommand(kind: Kind, names: readonly string[], target: Pick<Target, "kind" | "name"> | null): string {
  if (kind === "vs") return command("vs", "move", names[0] ?? "NAME", "--node", target?.name ?? "NODE");
  const to = target === null ? ["--frame", "FRAME"] : target.kind === "free" ? ["--free"] : ["--frame", target.name];
  return command("node", "move", ...names, ...to);
}

/** Whether an object can be taken at all; where it could go, the appliance says. */
export function movable({ kind }: Picked): boolean {
  return kind === "node" || kind === "vs" || kind === "partition" || kind === "vcpu" || kind === "vnic";
}

/** What a move of it is called, and the way from it to its place. */
export function moving({ kind }: Picked): { verb: string; to: string; done: string } {
  if (kind === "vcpu") return { verb: "Pin", to: "to", done: "is to have" };
  if (kind === "vnic") return { verb: "Connect", to: "to", done: "is to be on" };
  return { verb: "Move", to: "to", done: kind === "vs" ? "is on" : "is in" };
}

/** Names that go along: a partition moves as its members. */
export function movers(all: Index, picked: Picked): string[] {
  if (picked.kind !== "partition") return [nameOf(all, picked)];
  return (all.partitions.get(picked.id)?.members ?? []).map((id) => all.nodes.get(id)?.name ?? id);
}
