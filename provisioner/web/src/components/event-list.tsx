/** Events, newest first. */
import type { WeftEvent } from "../api/types";
import { clock } from "../lib/format";
import { href } from "../lib/route";
import { useNow } from "../state/store";
import { State } from "./parts";

export function EventList({ events, without }: { events: readonly WeftEvent[]; without?: "node" | "vs" }) {
  const now = useNow();
  if (events.length === 0) return <p className="muted">Nothing has happened yet.</p>;
  return (
    <ol className="events" reversed>
      {[...events].reverse().map((event) => (
        <li key={event.seq} className="event">
          <time dateTime={event.at} title={event.at}>
            {clock(event.at, now)}
          </time>
          <State state={event.state} />
          <span className="event-name">{event.name}</span>
          <span className="event-text">
            {event.text}
            <span className="event-about">
              {event.node !== "" && without !== "node" && <a href={href({ page: "node", name: event.node })}>{event.node}</a>}
              {event.vs !== "" && without !== "vs" && <a href={href({ page: "server", name: event.vs })}>{event.vs}</a>}
              {event.actor !== "" && event.actor !== "appliance" && <span className="muted">by {event.actor}</span>}
            </span>
          </span>
          <span className="event-seq num" title="Number of the event">
            {event.seq}
          </span>
        </li>
      ))}
    </ol>
  );
}
