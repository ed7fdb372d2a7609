/** Virtual on physical: which object belongs to which, what is lit when one is chosen, and how moves are called. */
import type { Target, Topology, TopologyBox, TopologyNode, TopologyPartition, TopologyServer } from "../api/types";
import { command } from "./cli";

export type Kind = "datacenter" | "mainframe" | "frame" | "node" | "partition" | "vs";

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
      for (const { node: id } of all.servers.get(picked.id)?.places ?? []) {
        found.add(id);
        const node = all.nodes.get(id);
        if (node) around(node);
      }
      break;
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

export function nameOf(all: Index, { kind, id }: Picked): string {
  switch (kind) {
    case "node":
      return all.nodes.get(id)?.name ?? "";
    case "vs":
      return all.servers.get(id)?.name ?? "";
    case "partition":
      return all.partitions.get(id)?.name ?? "";
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

export function targetWords({ kind, name }: Pick<Target, "kind" | "name">): string {
  if (kind === "free") return "the free pool";
  if (kind === "partition") return name === "new" ? "a new partition" : `partition ${name}`;
  return `${kind} ${name}`;
}

/** The command line that does the move. */
export function moveCommand(kind: Kind, names: readonly string[], target: Pick<Target, "kind" | "name"> | null): string {
  if (kind === "vs") return command("vs", "move", names[0] ?? "NAME", "--node", target?.name ?? "NODE");
  const to = target === null ? ["--frame", "FRAME"] : target.kind === "free" ? ["--free"] : ["--frame", target.name];
  return command("node", "move", ...names, ...to);
}

/** Whether an object can be taken at all; where it could go, the appliance says. */
export function movable({ kind }: Picked): boolean {
  return kind === "node" || kind === "vs" || kind === "partition";
}

/** Names that go along: a partition moves as its members. */
export function movers(all: Index, picked: Picked): string[] {
  if (picked.kind !== "partition") return [nameOf(all, picked)];
  return (all.partitions.get(picked.id)?.members ?? []).map((id) => all.nodes.get(id)?.name ?? id);
}
