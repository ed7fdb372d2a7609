/** Virtual switches, gateway ports, ports, VNICs and VHBAs: how each kind is called, and the commands of its dialogs. */
import type { NetCreate, NetEdit, NetObject } from "../api/types";
import { command } from "./cli";

export type NetKind = "switch" | "gateway" | "port" | "vnic" | "vhba";

export interface Noun {
  kind: NetKind;
  /** As the interface lists them. */
  list: string;
  words: string;
  title: string;
  /** What it is, for those who see none. */
  teach: string;
  first: string;
}

export const NOUNS: readonly Noun[] = [
  { kind: "switch", list: "switches", words: "virtual switch", title: "Virtual switches", teach: "A virtual switch has ports, and gateway ports that lead out of it.", first: "weft switch create lan" },
  { kind: "gateway", list: "gateways", words: "gateway port", title: "Gateway ports", teach: "A gateway port is a NIC of a node as a way out of a switch.", first: "weft gateway create uplink --switch lan --node NODE" },
  { kind: "port", list: "ports", words: "port", title: "Ports", teach: "A port takes one VNIC, and leads to gateway ports of its switch.", first: "weft port create lan-1 --switch lan --gateways uplink" },
  { kind: "vnic", list: "vnics", words: "VNIC", title: "VNICs", teach: "Each virtual server comes with a VNIC, and with its MAC.", first: "weft vs create web" },
  { kind: "vhba", list: "vhbas", words: "VHBA", title: "VHBAs", teach: "Each virtual server comes with a VHBA, and with its WWNN.", first: "weft vs create web" },
];

/** What dialogs ask for. */
export interface Wish {
  name: string;
  switch: string;
  gateways: string[];
  pathing: string;
  node: string;
  nic: string;
  server: string;
  port: string;
}

export const PATHINGS = ["failover", "balance", "affinity"] as const;

export function wishOf(of: NetObject | null): Wish {
  return {
    name: of?.name ?? "",
    switch: of?.switch ?? "",
    gateways: of?.gateways ?? [],
    pathing: of?.pathing ?? PATHINGS[0],
    node: of?.node ?? "",
    nic: of?.nic ?? "",
    server: of?.server ?? "",
    port: of?.port ?? "",
  };
}

/** What is not of its kind is left empty. */
export function creation(kind: NetKind, wish: Wish): NetCreate {
  const of = (kinds: NetKind[], value: string) => (kinds.includes(kind) ? value : "");
  return {
    name: wish.name,
    labels: {},
    switch: of(["port", "gateway"], wish.switch),
    gateways: kind === "port" ? wish.gateways : [],
    pathing: of(["port"], wish.pathing),
    node: of(["gateway"], wish.node),
    nic: of(["gateway"], wish.nic),
    server: of(["vnic", "vhba"], wish.server),
    port: of(["vnic"], wish.port),
    pool: "",
  };
}

/** What differs; null: nothing. */
export function edition(kind: NetKind, before: Wish, wish: Wish): NetEdit | null {
  const edit: NetEdit = {};
  if (wish.name !== before.name) edit.name = wish.name;
  if (kind === "port" && wish.gateways.join(" ") !== before.gateways.join(" ")) edit.gateways = wish.gateways;
  if (kind === "port" && wish.pathing !== before.pathing) edit.pathing = wish.pathing;
  if (kind === "gateway" && (wish.node !== before.node || wish.nic !== before.nic)) {
    edit.node = wish.node;
    edit.nic = wish.nic;
  }
  if (kind === "vnic" && wish.port !== before.port) edit.port = wish.port;
  return Object.keys(edit).length === 0 ? null : edit;
}

export function netCreateCommand(kind: NetKind, wanted: NetCreate): string {
  const words = [kind, "create", wanted.name === "" ? "NAME" : wanted.name];
  const named: [string, string | undefined][] = [["--switch", wanted.switch], ["--node", wanted.node], ["--nic", wanted.nic], ["--server", wanted.server], ["--port", wanted.port], ["--gateways", wanted.gateways?.join(",")], ["--pathing", wanted.pathing === PATHINGS[0] ? "" : wanted.pathing]];
  for (const [name, value] of named) if (value) words.push(name, value);
  return command(...words);
}

export function netEditCommand(kind: NetKind, of: string, edit: NetEdit | null): string {
  const words = [kind, "edit", of];
  if (!edit) return command(...words);
  if (edit.name) words.push("--name", edit.name);
  if (edit.gateways) words.push("--gateways", edit.gateways.join(","));
  if (edit.pathing) words.push("--pathing", edit.pathing);
  if (edit.node) words.push("--node", edit.node);
  if (edit.nic) words.push("--nic", edit.nic);
  if (edit.port === "") words.push("--detach");
  else if (edit.port) words.push("--port", edit.port);
  return command(...words);
}

/** What it is connected to, in words. */
export function connected(of: NetObject): string {
  switch (of.kind) {
    case "switch":
      return of.children?.length ? `ports ${of.children.join(", ")}` : "no ports";
    case "gateway":
      return `of ${of.switch || "…"}, ${of.node || "…"}`;
    case "port":
      return `of ${of.switch || "…"}, ${of.children?.length ? `VNIC ${of.children.join(", ")}` : "free"}`;
    case "vnic":
      return of.port ? `${of.server || "…"}, on port ${of.port} of ${of.switch || "…"}` : `${of.server || "…"}, on no port`;
    default:
      return of.server || "…";
  }
}

/** Its address, or the way that it leads. */
export function detail(of: NetObject): string {
  if (of.kind === "port") return of.gateways?.length ? `→ ${of.gateways.join(", ")} (${of.pathing})` : "leads nowhere";
  return of.mac ?? of.wwnn ?? of.nic ?? "";
}
