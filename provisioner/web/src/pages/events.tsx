/** What happens, as it happens. */
import { useState } from "react";
import { EventList } from "../components/event-list";
import { CliHint } from "../components/parts";
import { useStore } from "../state/store";
import { EventSearch } from "./event-search";

const LEVELS = ["all", "info", "warn", "error"] as const;
type Level = (typeof LEVELS)[number];
const RANK: Record<string, number> = { debug: 0, info: 1, warn: 2, error: 3 };

export function EventsPage() {
  const { feed } = useStore();
  const [level, setLevel] = useState<Level>("all");
  const [filter, setFilter] = useState("");
  const wanted = filter.toLowerCase();
  const least = level === "all" ? 0 : (RANK[level] ?? 0);
  const shown = feed.events.filter(
    (event) =>
      (RANK[event.state] ?? 0) >= least &&
      [event.name, event.text, event.node, event.vs, event.actor].some((field) => field.toLowerCase().includes(wanted)),
  );
  return (
    <>
      <header className="page-head">
        <h1>Events</h1>
        <p className={feed.live ? "link" : "link away"} role="status">
          {feed.live ? "live" : "reconnecting; nothing is lost"}
        </p>
        <div className="segmented" role="radiogroup" aria-label="Least severity">
          {LEVELS.map((one) => (
            <label key={one} className={one === level ? "on" : ""}>
              <input type="radio" name="level" checked={one === level} onChange={() => setLevel(one)} />
              {one === "all" ? "all" : one === "error" ? "errors" : `${one} and up`}
            </label>
          ))}
        </div>
        <input type="search" className="filter" placeholder="Filter by name, node, words…" aria-label="Filter events" value={filter} onChange={(event) => setFilter(event.target.value)} />
      </header>
      {feed.missed !== "" && (
        <p className="note warn" role="status">
          {feed.missed}
        </p>
      )}
      <section className="panel">
        {feed.events.length > 0 && shown.length === 0 ? <p className="muted">No event matches.</p> : <EventList events={shown.slice(-400)} />}
      </section>
      <CliHint command="weft event list --follow" />
      <EventSearch />
    </>
  );
}
