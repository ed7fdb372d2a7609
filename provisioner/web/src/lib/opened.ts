/** Nodes and servers that are drawn with what is in them: processors, and network devices. Each box looks at its own entry alone. */
import { useSyncExternalStore } from "react";
import type { TopologyServer, TopologyVnic } from "../api/types";
import { homeOf, nameOf, serverOf, vnicsOf } from "./topology";
import type { Index, Picked } from "./topology";

/** What is drawn inside of a server's chip or a node's box. */
export interface Inside {
  /** Of a server. */
  vnics: { vnic: TopologyVnic; port: string }[];
  /** Of a node: what is to have each of its processors. */
  pinned: Map<number, { id: string; name: string }[]>;
}

let now = new Map<string, Inside>();
const listeners = new Set<() => void>();

function pinnedOn(all: Index, node: string): Inside["pinned"] {
  const found: Inside["pinned"] = new Map();
  const servers = (all.nodes.get(node)?.servers ?? []).flatMap(({ server }) => all.servers.get(server) ?? []);
  for (const vs of servers) {
    for (let vcpu = 0; vs.affinity !== "" && vcpu < vs.vcpus; vcpu += 1) {
      const home = homeOf(vs, vcpu);
      if (home?.node !== node || home.processor === null) continue;
      found.set(home.processor, [...(found.get(home.processor) ?? []), { id: `${vs.id}/${vcpu}`, name: `${vs.name}/${vcpu}` }]);
    }
  }
  return found;
}

function inside(all: Index, vs: TopologyServer): Inside {
  return { vnics: vnicsOf(all, vs).map((vnic) => ({ vnic, port: nameOf(all, { kind: "port", id: vnic.port }) })), pinned: new Map() };
}

/** Opens what a choice is about: a server and its nodes, or a node. */
export function openFor(all: Index, picked: Picked | null) {
  const next = new Map<string, Inside>();
  const vs = picked && serverOf(all, picked);
  if (vs) {
    next.set(vs.id, inside(all, vs));
    for (const { node } of vs.places) next.set(node, { vnics: [], pinned: pinnedOn(all, node) });
  } else if (picked?.kind === "node") next.set(picked.id, { vnics: [], pinned: pinnedOn(all, picked.id) });
  if (next.size === 0 && now.size === 0) return;
  now = next;
  listeners.forEach((listener) => listener());
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** What is drawn inside of it; undefined: it is closed. */
export function useInside(id: string): Inside | undefined {
  const read = () => now.get(id);
  return useSyncExternalStore(subscribe, read, read);
}
