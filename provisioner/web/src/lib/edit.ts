/** A change of a server, made of what somebody saw. */
import type { FieldChange, Vs, VsEdit } from "../api/types";

export type Edits = Omit<VsEdit, "labels" | "kernel" | "initrd">;
type Field = keyof Edits;

const FIELDS: readonly Field[] = ["name", "vcpus", "memory_mib", "append", "hostname", "address", "gateway", "affinity"];

/** What a field of the form shows. */
export function shown<F extends Field>(vs: Vs, edits: Edits, field: F): NonNullable<Edits[F]> {
  return (edits[field] ?? vs[field] ?? "") as NonNullable<Edits[F]>;
}

/** What of it differs from the server: nothing else is sent, so that nothing else is set back. */
export function editOf(vs: Vs, edits: Edits): Edits {
  const differ = FIELDS.filter((field) => edits[field] !== undefined && edits[field] !== (vs[field] ?? ""));
  return Object.fromEntries(differ.map((field) => [field, edits[field]]));
}

const WORDS: Record<string, string> = {
  name: "name", vcpus: "processors", memory_mib: "memory (MiB)", append: "added command line", kernel: "kernel", initrd: "initial ram disk",
  affinity: "affinity", hostname: "host name", address: "address", gateway: "gateway", running: "wanted to run", node: "node",
};

/** A field before and after, in words. */
export function changeWords({ field, before, after }: Pick<FieldChange, "field" | "before" | "after">): string {
  const word = field.startsWith("labels.") ? `label ${field.slice(7)}` : (WORDS[field] ?? field);
  return `${word}: ${before === "" ? "none" : before} → ${after === "" ? "none" : after}`;
}
