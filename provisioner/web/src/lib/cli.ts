/** The command line that does what a dialog does. */
import type { BmcSet, LabelChange, VsCopy, VsCreate, VsSeries } from "../api/types";
import type { Edits } from "./edit";

/** Quoted for a POSIX shell where that is needed. */
export function quote(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

export function command(...words: string[]): string {
  return ["weft", ...words].map(quote).join(" ");
}

/** `files` are the names of chosen files, used in place of digests. */
export function createCommand(vs: VsCreate, start: boolean, files: { kernel?: string; initrd?: string } = {}): string {
  const words = ["vs", "create", vs.name === "" ? "NAME" : vs.name];
  if (vs.node !== "") words.push("--node", vs.node);
  if (vs.partition !== "") words.push("--partition", vs.partition);
  words.push("--vcpus", String(vs.vcpus), "--memory", `${vs.memory_mib}M`);
  const kernel = files.kernel ?? vs.kernel;
  const initrd = files.initrd ?? vs.initrd;
  if (kernel !== "") words.push("--kernel", kernel);
  if (initrd !== "") words.push("--initrd", initrd);
  if (vs.append !== "") words.push("--append", vs.append);
  for (const [key, value] of Object.entries(vs.labels)) words.push("--label", `${key}=${value}`);
  if (start) words.push("--start");
  return command(...words);
}

function settings({ hostname, address, gateway }: { hostname: string; address: string; gateway: string }): string[] {
  const all: [string, string][] = [["--hostname", hostname], ["--address", address], ["--gateway", gateway]];
  return all.flatMap(([name, value]) => (value === "" ? [] : [name, value]));
}

export function copyCommand(of: string, copy: VsCopy): string {
  const node = copy.node === "" ? [] : ["--node", copy.node];
  return command("vs", "copy", of, copy.name === "" ? "NAME" : copy.name, ...node, ...settings(copy));
}

export function seriesCommand({ count, first, vs }: VsSeries): string {
  const from = first === 1 ? [] : ["--first", String(first)];
  return command("vs", "create", vs.name === "" ? "NAME" : vs.name, "--template", vs.template, "--count", String(count), ...from, ...settings(vs));
}

export function editCommand(of: string, edit: Edits): string {
  const words: string[] = [];
  if (edit.name != null) words.push("--name", edit.name);
  if (edit.vcpus != null) words.push("--vcpus", String(edit.vcpus));
  if (edit.memory_mib != null) words.push("--memory", `${edit.memory_mib}M`);
  for (const field of ["append", "hostname", "address", "gateway", "affinity"] as const) {
    const value = edit[field];
    if (value != null) words.push(`--${field}`, value);
  }
  return command("vs", "set", of, ...words);
}

export function labelCommand(noun: "vs" | "node", names: readonly string[], { set, remove }: LabelChange): string {
  const words = [...Object.entries(set).map(([key, value]) => `${key}=${value}`), ...remove.map((key) => `${key}-`)];
  return command(noun, "label", ...names, ...(words.length === 0 ? ["KEY=VALUE"] : words));
}

/** The password is in no command: it is asked for, or comes from a file. */
export function bmcCommand(node: string, { kind, address, account, certificate, system }: BmcSet): string {
  const words = ["--kind", kind, "--address", address === "" ? "HOST" : address, "--account", account === "" ? "NAME" : account];
  if (certificate !== "") words.push("--certificate", certificate.startsWith("sha256:") ? certificate : "FILE");
  if (system !== "") words.push("--system", system);
  return command("node", "bmc", "set", node, ...words);
}

export function powerCommand(node: string, action: string, graceful: boolean): string {
  return command("node", "power", action, node, ...(graceful ? ["--graceful"] : []));
}
