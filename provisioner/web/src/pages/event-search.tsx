/** Looks for events of the past, page by page. */
import { useState } from "react";
import type { FormEvent } from "react";
import { ApiError, api } from "../api/client";
import type { Problem, WeftEvent } from "../api/types";
import { EventList } from "../components/event-list";
import { CliHint, Field, Refusal } from "../components/parts";
import { NOTHING, merged, searchCommand, searchQuery } from "../lib/search";
import type { Search } from "../lib/search";

const TEXTS: { field: "grep" | "node" | "vs" | "kind"; label: string; hint: string }[] = [
  { field: "grep", label: "Text", hint: "anywhere, in any case" },
  { field: "node", label: "Node", hint: "its name" },
  { field: "vs", label: "Virtual server", hint: "its name" },
  { field: "kind", label: "Kind", hint: "vs.running, or an area: vs." },
];

interface Found {
  search: Search;
  events: WeftEvent[];
  /** Where the next page begins; null where there is none. */
  next: number | null;
}

export function EventSearch() {
  const [search, setSearch] = useState(NOTHING);
  const [found, setFound] = useState<Found | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const look = async (wanted: Search, before?: number) => {
    setBusy(true);
    try {
      const page = await api.searchEvents(searchQuery(wanted, before));
      const known = before === undefined ? [] : (found?.events ?? []);
      setFound({ search: wanted, events: merged(known, page.events), next: page.state === "more" ? page.next : null });
      setProblem(null);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem(error.problem);
    }
    setBusy(false);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void look(search);
  };
  const set = (field: keyof Search, value: string) => setSearch((now) => ({ ...now, [field]: value }));
  return (
    <section className="panel" aria-label="Search past events">
      <h2>Search the past</h2>
      <form onSubmit={submit} className="form-grid">
        {TEXTS.map(({ field, label, hint }) => (
          <Field key={field} label={label} hint={hint}>
            {(id, note) => <input id={id} aria-describedby={note} type="search" spellCheck={false} value={search[field]} onChange={(event) => set(field, event.target.value)} />}
          </Field>
        ))}
        <Field label="From" hint="local time">
          {(id, note) => <input id={id} aria-describedby={note} type="datetime-local" value={search.since} onChange={(event) => set("since", event.target.value)} />}
        </Field>
        <Field label="Until" hint="local time">
          {(id, note) => <input id={id} aria-describedby={note} type="datetime-local" value={search.until} onChange={(event) => set("until", event.target.value)} />}
        </Field>
        <Field label="Least severity">
          {(id, note) => (
            <select id={id} aria-describedby={note} value={search.state} onChange={(event) => set("state", event.target.value)}>
              {["", "info", "warn", "error"].map((state) => (
                <option key={state} value={state}>
                  {state === "" ? "any" : state}
                </option>
              ))}
            </select>
          )}
        </Field>
        <div className="actions">
          <button type="submit" className="primary" disabled={busy}>
            {busy ? "Looking…" : "Search"}
          </button>
          {found && (
            <button
              type="button"
              onClick={() => {
                setFound(null);
                setSearch(NOTHING);
              }}
            >
              Clear
            </button>
          )}
        </div>
      </form>
      {problem && <Refusal problem={problem} />}
      {found && (
        <>
          <p className="muted" role="status">
            {found.events.length} found{found.next === null ? "" : " so far"}
          </p>
          {found.events.length > 0 ? <EventList events={found.events} /> : <p>Nothing has all of that: leave something out.</p>}
          {found.next !== null && (
            <button type="button" disabled={busy} onClick={() => void look(found.search, found.next ?? undefined)}>
              Older ones
            </button>
          )}
        </>
      )}
      <CliHint command={searchCommand(search)} />
    </section>
  );
}
