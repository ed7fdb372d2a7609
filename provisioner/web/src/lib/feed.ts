/**
 * The event stream. Reconnects from the last number seen, so that each event is delivered once, in order; keeps the
 * newest `LIMIT` of them.
 *
 * waiting ─open─▶ connecting ─opened─▶ live ─error─▶ waiting (pause) ─▶ …
 */
import type { EventGap, WeftEvent } from "../api/types";
import { Backoff } from "./backoff";

export const LIMIT = 1000;

export interface Source {
  onopen: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onmessage: ((event: { data: string }) => void) | null;
  addEventListener(name: string, heard: (event: { data: string }) => void): void;
  close(): void;
}

export interface FeedState {
  live: boolean;
  /** What the appliance said that was missed, empty where nothing was. */
  missed: string;
  events: readonly WeftEvent[];
}

export class Feed {
  #source: Source | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #backoff: Backoff;
  #state: FeedState = { live: false, missed: "", events: [] };
  readonly #listeners = new Set<(fresh: WeftEvent | null) => void>();
  readonly #open: (address: string) => Source;

  constructor(open: (address: string) => Source, backoff = new Backoff()) {
    this.#open = open;
    this.#backoff = backoff;
  }

  get state(): FeedState {
    return this.#state;
  }

  /** Starts from `seen`, oldest first, as read by an ordinary request. */
  start(seen: readonly WeftEvent[]): void {
    this.stop();
    this.#state = { live: false, missed: "", events: seen.slice(-LIMIT) };
    this.#connect();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  subscribe(listener: (fresh: WeftEvent | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #connect(): void {
    const last = this.#state.events.at(-1)?.seq ?? 0;
    const source = this.#open(`/api/v1/events/stream?after=${last}`);
    this.#source = source;
    source.onopen = () => {
      this.#backoff.reset();
      this.#set({ ...this.#state, live: true }, null);
    };
    source.onmessage = ({ data }) => {
      let event: WeftEvent;
      try {
        event = JSON.parse(data) as WeftEvent;
      } catch {
        return; // A broken event must not end the stream; its number shows as a gap.
      }
      if (event.seq <= (this.#state.events.at(-1)?.seq ?? 0)) return;
      this.#set({ ...this.#state, live: true, events: [...this.#state.events, event].slice(-LIMIT) }, event);
    };
    source.addEventListener("missed", ({ data }) => {
      let gap: EventGap;
      try {
        gap = JSON.parse(data) as EventGap;
      } catch {
        return;
      }
      // Where numbers went back, as after a restore, those that come are new all the same.
      const events = this.#state.events.filter(({ seq }) => seq < gap.first);
      this.#set({ live: true, missed: `Events ${gap.first} to ${gap.last} were missed: ${gap.text}.`, events }, null);
    });
    source.onerror = () => {
      // The browser's own retry would keep the old address and gives up for good after some answers.
      source.close();
      if (this.#source !== source) return;
      this.#source = null;
      this.#set({ ...this.#state, live: false }, null);
      this.#timer = setTimeout(() => this.#connect(), this.#backoff.pause());
    };
  }

  #set(state: FeedState, fresh: WeftEvent | null): void {
    this.#state = state;
    for (const listener of this.#listeners) listener(fresh);
  }
}
