/**
 * Labels, and selectors over them: `key=value,key!=value,key,!key`, all of which must hold. The rules are the
 * appliance's (`provisioner/api/src/selector.rs`); both are tested with the cases of `provisioner/api/tests/selectors.json`.
 */
import type { LabelChange } from "../api/types";

export type Labels = Readonly<Record<string, string>>;

interface Condition {
  kind: "is" | "is not" | "has" | "lacks";
  key: string;
  value: string;
}

/** Conditions, or why a text is no selector. */
export type Parsed = { conditions: Condition[]; problem: "" } | { conditions: null; problem: string };

const KEY = /^[a-z0-9](?:[a-z0-9._/-]{0,61}[a-z0-9])?$/;
const VALUE = /^[A-Za-z0-9._/-]{0,63}$/;
const MAX_CONDITIONS = 32;
const MAX_LABELS = 32;
const KEY_WORDS = "1 to 63 of a-z 0-9 . _ / -, a letter or digit first and last";
const VALUE_WORDS = "at most 63 of a-z A-Z 0-9 . _ / -";

function wrong(key: string, value: string): string {
  if (!KEY.test(key)) return `“${key.slice(0, 64)}” is no key of a label: ${KEY_WORDS}.`;
  return VALUE.test(value) ? "" : `“${value.slice(0, 64)}” is no value of a label: ${VALUE_WORDS}.`;
}

function condition(text: string): Condition {
  if (text.startsWith("!")) return { kind: "lacks", key: text.slice(1), value: "" };
  for (const [sign, kind] of [["!=", "is not"], ["=", "is"]] as const) {
    const at = text.indexOf(sign);
    if (at >= 0) return { kind, key: text.slice(0, at), value: text.slice(at + sign.length) };
  }
  return { kind: "has", key: text, value: "" };
}

export function parseSelector(text: string): Parsed {
  const parts = text.split(",").map((part) => part.replace(/^ +| +$/g, ""));
  if (parts.length > MAX_CONDITIONS) return { conditions: null, problem: `More than ${MAX_CONDITIONS} conditions.` };
  const conditions = [];
  for (const part of parts) {
    if (part === "") return { conditions: null, problem: "A condition is empty." };
    const one = condition(part);
    const problem = wrong(one.key, one.value);
    if (problem !== "") return { conditions: null, problem };
    conditions.push(one);
  }
  return { conditions, problem: "" };
}

export function matches(conditions: readonly Condition[], labels: Labels): boolean {
  return conditions.every(({ kind, key, value }) => {
    const has = Object.hasOwn(labels, key);
    switch (kind) {
      case "is":
        return has && labels[key] === value;
      case "is not":
        return !has || labels[key] !== value;
      case "has":
        return has;
      case "lacks":
        return !has;
    }
  });
}

/** Labels as they are typed, `key=value, key=value`; nothing typed is none. */
export function parseLabels(text: string): { labels: Record<string, string>; problem: string } {
  const labels: Record<string, string> = {};
  for (const part of text.split(",").map((one) => one.trim()).filter((one) => one !== "")) {
    const at = part.indexOf("=");
    if (at < 0) return { labels, problem: `“${part.slice(0, 64)}” has no value: write key=value.` };
    const problem = wrong(part.slice(0, at), part.slice(at + 1));
    if (problem !== "") return { labels, problem };
    labels[part.slice(0, at)] = part.slice(at + 1);
  }
  return { labels, problem: Object.keys(labels).length > MAX_LABELS ? `At most ${MAX_LABELS} labels.` : "" };
}

/** A change of labels as it is typed for several: `key=value` to have it, `key-` to have it no more. */
export function parseLabelChange(text: string): { change: LabelChange; problem: string } {
  const set: Record<string, string> = {};
  const remove: string[] = [];
  const change = { set, remove };
  for (const part of text.split(/[\s,]+/).filter((one) => one !== "")) {
    const at = part.indexOf("=");
    const gone = at < 0 && part.endsWith("-");
    if (at < 0 && !gone) return { change, problem: `“${part.slice(0, 64)}” is neither key=value nor key-.` };
    const key = part.slice(0, gone ? -1 : at);
    const value = gone ? "" : part.slice(at + 1);
    const problem = wrong(key, value);
    if (problem !== "") return { change, problem };
    if (gone ? Object.hasOwn(set, key) : remove.includes(key)) return { change, problem: `“${key}” is given and taken.` };
    if (gone) remove.push(key);
    else set[key] = value;
  }
  return { change, problem: Object.keys(set).length > MAX_LABELS ? `At most ${MAX_LABELS} labels.` : "" };
}

/** Those of a list that a selector chooses: all without one; none where it is wrong, so that none is chosen by mistake. */
export function selected<T extends { labels?: Labels }>(text: string, all: readonly T[]): { found: readonly T[]; problem: string } {
  if (text.trim() === "") return { found: all, problem: "" };
  const { conditions, problem } = parseSelector(text);
  return { found: conditions === null ? [] : all.filter(({ labels }) => matches(conditions, labels ?? {})), problem };
}

/** Labels in the form that is typed. */
export function labelWords(labels: Labels | undefined): string {
  return Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`).join(", ");
}

/** What to ask for, so that an object has these labels and no others of those it had. */
export function labelChange(before: Labels, wanted: Labels): LabelChange {
  const set = Object.fromEntries(Object.entries(wanted).filter(([key, value]) => before[key] !== value));
  return { set, remove: Object.keys(before).filter((key) => !Object.hasOwn(wanted, key)) };
}
