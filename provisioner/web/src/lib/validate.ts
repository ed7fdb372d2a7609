/** What the create form checks before it asks the appliance, in the appliance's own terms. */
import type { Node, Vs, VsCreate } from "../api/types";

export type Errors = Partial<Record<keyof VsCreate, string>>;

/** MiB of a node that no server has, those that are stopped included: as the appliance counts. */
export function freeMib(node: Node, servers: readonly Vs[]): number {
  const whole = Math.floor((node.memory_kib - node.monitor_kib) / 1024);
  const parts = servers.map((vs) => (vs.partition === "" ? (vs.node === node.name ? vs.memory_mib : 0) : (vs.places ?? []).reduce((sum, place) => sum + (place.node === node.name ? place.memory_mib : 0), 0)));
  return Math.max(parts.reduce((free, part) => free - part, whole), 0);
}

export function validate(vs: VsCreate, servers: readonly Vs[], nodes: readonly Node[]): Errors {
  const errors: Errors = {};
  if (!/^[A-Za-z0-9-]{1,63}$/.test(vs.name)) errors.name = "Letters, digits and hyphens, 1 to 63 of them.";
  else if (servers.some(({ name }) => name === vs.name)) errors.name = "There is a server of this name.";
  if (!Number.isInteger(vs.vcpus) || vs.vcpus < 1 || vs.vcpus > 32) errors.vcpus = "1 to 32.";
  if (!Number.isInteger(vs.memory_mib) || vs.memory_mib < 64) errors.memory_mib = "At least 64 MiB.";
  const node = nodes.find(({ name }) => name === vs.node);
  if (nodes.length === 0) errors.node = "No node is approved yet: boot and approve one first.";
  else if (vs.node !== "" && !node) errors.node = "There is no such node.";
  else if (node && node.memory_kib > 0) {
    const free = freeMib(node, servers);
    if (vs.memory_mib > free) errors.memory_mib = `${node.name} has ${free} MiB free.`;
  }
  return errors;
}

/** What is wrong with a server's or a template's name. */
export function nameProblem(name: string, taken: readonly string[]): string | undefined {
  if (!/^[A-Za-z0-9-]{1,63}$/.test(name)) return "Letters, digits and hyphens, 1 to 63 of them.";
  return taken.includes(name) ? "There is a server of this name." : undefined;
}

/** What is wrong with a name in which `{n}` stands for a number. */
export function patternProblem(name: string, needed: boolean): string | undefined {
  if (name === "" && !needed) return undefined;
  return /^[A-Za-z0-9-]{1,63}$/.test(name.replaceAll("{n}", "0")) ? undefined : "Letters, digits, hyphens and {n}.";
}

export function hostnameProblem(hostname: string): string | undefined {
  return hostname === "" || /^(?!-)[A-Za-z0-9-]{1,63}(?<!-)$/.test(hostname) ? undefined : "Letters, digits and hyphens, not at either end.";
}

/** The form alone: whether a host can have it is for the appliance to say. */
export function addressProblem(address: string): string | undefined {
  return address === "" || /^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/.test(address) ? undefined : "An address has its prefix: 10.0.0.5/24.";
}

/** The first free name of the form `NAME-N`. */
export function freeNameOf(name: string, taken: readonly string[]): string {
  for (let number = 2; ; number += 1) {
    const next = `${name.slice(0, 57)}-${number}`;
    if (!taken.includes(next)) return next;
  }
}

/** The first free name of the form `vs-N`. */
export function freeName(taken: readonly string[]): string {
  for (let number = 1; ; number += 1) {
    const name = `vs-${number}`;
    if (!taken.includes(name)) return name;
  }
}

/** Whether what was typed is the last group of the fingerprint, as the approval dialog asks. */
export function lastGroupMatches(fingerprint: string, typed: string): boolean {
  const last = fingerprint.split("-").at(-1) ?? "";
  return last !== "" && typed.trim().toLowerCase() === last.toLowerCase();
}
