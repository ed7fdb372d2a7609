/** Several objects that are chosen at once, whatever they are: how they are chosen, and what became of each. */
import type { LabelChange, ObjectChange, Plan } from "../api/types";

/** What is chosen from, as rights, plans and the command line call it. */
export type Kind = "vs" | "node";

/** Most objects that the appliance changes at once. */
const MOST = 1000;

/** With one more or one less. */
export function toggled(chosen: ReadonlySet<string>, name: string): Set<string> {
  const next = new Set(chosen);
  if (!next.delete(name)) next.add(name);
  return next;
}

/** `1 server`, `2 servers`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Why something cannot be done with so many, or with the `bad` ones among them; empty where it can. */
export function obstacle(chosen: readonly unknown[], words: string, bad: readonly { name: string }[]): string {
  if (chosen.length > MOST) return `At most ${MOST} at once`;
  return bad.length === 0 ? "" : `${words} ${bad.map(({ name }) => name).join(", ")}`;
}

export interface Result {
  name: string;
  text: string;
  bad: boolean;
}

/** What becomes of each of these by a plan, in their order. `word` says it of one that changes. */
export function results(kind: Kind, names: readonly string[], plan: Plan, word: (object: ObjectChange) => string): Result[] {
  return names.map((name) => {
    const conflict = plan.conflicts.find((one) => one.name === name);
    if (conflict) return { name, text: conflict.text, bad: true };
    if (plan.conflicts.length > 0) return { name, text: "not touched, as others are in the way", bad: false };
    const object = plan.objects.find((one) => one.kind === kind && one.name === name);
    return { name, text: object ? word(object) : "as it was", bad: false };
  });
}

/** Labels are fields of their own in plans and in history. */
const LABEL = "labels.";

/** What a change of labels does to one of those that were chosen. */
export function labelled({ fields }: ObjectChange, { remove }: LabelChange): string {
  const changed = fields.filter((one) => one.changed && one.field.startsWith(LABEL));
  const words = changed.map(({ field, after }) => {
    const key = field.slice(LABEL.length);
    return remove.includes(key) ? `without ${key}` : `${key}=${after}`;
  });
  return words.length === 0 ? "labelled" : words.join(", ");
}
