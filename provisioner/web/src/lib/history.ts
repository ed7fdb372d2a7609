/** History in words: pages of transactions, and what an undo of one would be. */
import type { Conflict, Plan, Transaction } from "../api/types";

/** Transactions of one page. */
export const PAGE = 50;

export interface Filter {
  object: string;
  actor: string;
}

/** The request for a page: the newest, or those before a number. */
export function pageQuery(filter: Filter, before?: number): URLSearchParams {
  const query = new URLSearchParams({ limit: String(PAGE) });
  if (filter.object.trim() !== "") query.set("object", filter.object.trim());
  if (filter.actor.trim() !== "") query.set("actor", filter.actor.trim());
  if (before !== undefined) query.set("before", String(before));
  return query;
}

/** Pages joined, newest first, each transaction once; what was read last holds. */
export function joined(known: readonly Transaction[], fresh: readonly Transaction[]): Transaction[] {
  const all = new Map([...known, ...fresh].map((one) => [one.number, one]));
  return [...all.values()].sort((a, b) => b.number - a.number);
}

/** Objects named in a row of the list; the transaction's own page has all. */
const NAMED = 4;

/** What a transaction changed, in few words. */
export function objectWords(objects: Transaction["objects"]): string {
  const named = objects.slice(0, NAMED).map(({ kind, name }) => `${kind} ${name}`).join(", ");
  return objects.length > NAMED ? `${named} and ${objects.length - NAMED} more` : named;
}

/** Why there can be no undo, or what it does not give back; empty where neither. */
export function undoWords({ undo, reason }: { undo: string; reason: string }): string {
  switch (undo) {
    case "irreversible":
      return `It cannot be undone: ${reason}.`;
    case "compensable":
      return `An undo gives back all but this: ${reason}.`;
    default:
      return "";
  }
}

/** What stands in the way of a plan, in a sentence; empty where nothing does. */
export function obstacle(plan: Plan): string {
  switch (plan.state) {
    case "conflict":
      return plan.conflicts.some(({ transaction }) => transaction > 0)
        ? "Later transactions changed the same. Undo those first, the newest before the others."
        : "What it was before cannot be had now.";
    case "irreversible":
      return undoWords(plan);
    case "nothing":
      return "It changed nothing that could be set back.";
    default:
      return "";
  }
}

/** Transactions in a plan's way, newest first, each once. */
export function inTheWay(conflicts: readonly Conflict[]): number[] {
  return [...new Set(conflicts.map(({ transaction }) => transaction))].filter((number) => number > 0).sort((a, b) => b - a);
}
