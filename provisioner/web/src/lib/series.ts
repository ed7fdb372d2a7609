/** The load of an object as the page keeps it: what the appliance told, and only what is new asked for. */
import type { Series } from "../api/types";

/** How far back: by the second, or by the minute. */
export type Range = "5m" | "6h";

export const RANGES: Record<Range, { step: 1 | 60; keep: number; lookMs: number; words: string }> = {
  "5m": { step: 1, keep: 300, lookMs: 1000, words: "five minutes" },
  "6h": { step: 60, keep: 360, lookMs: 15_000, words: "six hours" },
};

export type Values = readonly (number | null)[];

export interface History {
  step: number;
  /** Time of the last value, seconds since 1970. */
  last: number;
  /** Times of all values. */
  at: readonly number[];
  values: ReadonlyMap<string, Values>;
}

/** What was known, and what is new. A time that went back is of an appliance that started anew: it begins anew too. */
export function merged(old: History | null, fresh: Series, keep: number): History {
  const follows = old !== null && old.step === fresh.step_s && fresh.last >= old.last;
  const values = new Map<string, Values>();
  for (const metric of fresh.metrics) {
    const before = follows ? (old.values.get(metric.name) ?? []) : [];
    const added = metric.values.map((value) => value ?? null);
    values.set(metric.name, added.length >= keep ? added.slice(-keep) : [...before, ...added].slice(-keep));
  }
  const count = Math.max(0, ...[...values.values()].map(({ length }) => length));
  const at = Array.from({ length: count }, (_, index) => fresh.last - (count - 1 - index) * fresh.step_s);
  return { step: fresh.step_s, last: fresh.last, at, values };
}

/** Whether any of these was ever told. */
export function isKnown(history: History, names: readonly string[]): boolean {
  return names.some((name) => history.values.get(name)?.some((value) => value !== null));
}

export interface Summary {
  /** The last value, null where it is silent now. */
  now: number | null;
  least: number;
  mean: number;
  most: number;
  /** Values that are missing. */
  missing: number;
}

/** Null where nothing is known. */
export function summary(values: Values): Summary | null {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return null;
  return {
    now: values.at(-1) ?? null,
    least: Math.min(...known),
    mean: known.reduce((sum, value) => sum + value, 0) / known.length,
    most: Math.max(...known),
    missing: values.length - known.length,
  };
}

/** Stretches without any value, as first and last index, between others or at the end. What was before the first value is none. */
export function gaps(columns: readonly Values[]): [number, number][] {
  const length = Math.max(0, ...columns.map((values) => values.length));
  const silent = (index: number) => columns.every((values) => (values[index] ?? null) === null);
  const found: [number, number][] = [];
  let index = 0;
  while (index < length && silent(index)) index += 1;
  if (index === length) return [];
  for (; index < length; index += 1) {
    if (!silent(index)) continue;
    const first = index;
    while (index + 1 < length && silent(index + 1)) index += 1;
    found.push([first, index]);
  }
  return found;
}
