/** The command line that does what a dialog does. */
import type { VsCreate } from "../api/types";

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
  words.push("--vcpus", String(vs.vcpus), "--memory", `${vs.memory_mib}M`);
  const kernel = files.kernel ?? vs.kernel;
  const initrd = files.initrd ?? vs.initrd;
  if (kernel !== "") words.push("--kernel", kernel);
  if (initrd !== "") words.push("--initrd", initrd);
  if (vs.append !== "") words.push("--append", vs.append);
  if (start) words.push("--start");
  return command(...words);
}
