/** What is looked for among past events: the fields of the form, as the interface and the command line take them. */
import type { WeftEvent } from "../api/types";
import { command } from "./cli";

export interface Search {
  grep: string;
  node: string;
  vs: string;
  kind: string;
  state: string;
  /** As a field for local times has them: `2026-11-21T07:00`. */
  since: string;
  until: string;
}

export const NOTHING: Search = { grep: "", node: "", vs: "", kind: "", state: "", since: "", until: "" };

/** Events of a page. */
export const PAGE = 100;

/** A local time as RFC 3339 in UTC; empty where it is none. */
export function utc(local: string): string {
  const time = new Date(local);
  return local === "" || Number.isNaN(time.getTime()) ? "" : time.toISOString();
}

function fields(search: Search): [keyof Search, string][] {
  const all: [keyof Search, string][] = [
    ["grep", search.grep.trim()],
    ["node", search.node.trim()],
    ["vs", search.vs.trim()],
    ["kind", search.kind.trim()],
    ["state", search.state],
    ["since", utc(search.since)],
    ["until", utc(search.until)],
  ];
  return all.filter(([, value]) => value !== "");
}

export function searchQuery(search: Search, before?: number): URLSearchParams {
  const query = new URLSearchParams({ limit: String(PAGE) });
  for (const [name, value] of fields(search)) query.set(name, value);
  if (before !== undefined) query.set("before", String(before));
  return query;
}

export function searchCommand(search: Search): string {
  return command("event", "list", ...fields(search).flatMap(([name, value]) => [`--${name}`, value]));
}

/** Events by number, oldest first, each once. */
export function merged(known: readonly WeftEvent[], older: readonly WeftEvent[]): WeftEvent[] {
  const all = new Map([...older, ...known].map((event) => [event.seq, event]));
  return [...all.values()].sort((a, b) => a.seq - b.seq);
}
