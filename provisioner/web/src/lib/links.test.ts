import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Node, WeftEvent } from "../api/types";
import { Backoff } from "./backoff";
import { Feed, LIMIT } from "./feed";
import type { Source } from "./feed";
import { Samples } from "./samples";
import { TerminalLink } from "./terminal-link";
import type { Socket } from "./terminal-link";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const event = (seq: number): WeftEvent => ({ seq, at: "", name: "x", state: "info", node: "", vs: "", actor: "", text: `event ${seq}` });

class FakeSource implements Source {
  onopen: Source["onopen"] = null;
  onerror: Source["onerror"] = null;
  onmessage: Source["onmessage"] = null;
  closed = false;
  private readonly heard = new Map<string, (event: { data: string }) => void>();
  constructor(readonly address: string) {}
  close() {
    this.closed = true;
  }
  addEventListener(name: string, heard: (event: { data: string }) => void) {
    this.heard.set(name, heard);
  }
  tell(name: string, data: string) {
    this.heard.get(name)?.({ data });
  }
  send(...seqs: number[]) {
    for (const seq of seqs) this.onmessage?.({ data: JSON.stringify(event(seq)) });
  }
}

describe("the event feed", () => {
  const make = () => {
    const sources: FakeSource[] = [];
    const feed = new Feed((address) => {
      const source = new FakeSource(address);
      sources.push(source);
      return source;
    }, new Backoff(() => 0));
    return { feed, sources, last: () => sources.at(-1) as FakeSource };
  };
  it("takes up where it ended, each event once and in order", () => {
    const { feed, sources, last } = make();
    feed.start([event(1), event(2)]);
    expect(last().address).toBe("/api/v1/events/stream?after=2");
    last().onopen?.(undefined as never);
    last().send(2, 3, 4);
    last().onerror?.(undefined as never);
    expect(feed.state.live).toBe(false);
    vi.advanceTimersByTime(500);
    expect(last().address).toBe("/api/v1/events/stream?after=4");
    expect(sources[0]?.closed).toBe(true);
    last().send(4, 5);
    expect(feed.state.events.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
    feed.stop();
  });
  it("waits longer after each failure and stops when told", () => {
    const { feed, sources, last } = make();
    feed.start([]);
    for (const pause of [500, 1000, 2000, 4000, 8000, 10_000, 10_000]) {
      last().onerror?.(undefined as never);
      const before = sources.length;
      vi.advanceTimersByTime(pause - 1);
      expect(sources.length).toBe(before);
      vi.advanceTimersByTime(1);
      expect(sources.length).toBe(before + 1);
    }
    last().onerror?.(undefined as never);
    feed.stop();
    const before = sources.length;
    vi.advanceTimersByTime(60_000);
    expect(sources.length).toBe(before);
  });
  it("says what was missed, and takes numbers that went back for new ones", () => {
    const { feed, last } = make();
    feed.start([event(1), event(2), event(3)]);
    last().tell("missed", "{");
    expect(feed.state.missed).toBe("");
    last().tell("missed", JSON.stringify({ first: 3, last: 9, text: "the store was restored", next: "" }));
    expect(feed.state.missed).toContain("3 to 9");
    last().send(3);
    expect(feed.state.events.map(({ seq }) => seq)).toEqual([1, 2, 3]);
    feed.stop();
  });
  it("outlives a broken event and keeps a bounded number", () => {
    const { feed, last } = make();
    feed.start([]);
    last().onmessage?.({ data: "{" });
    for (let seq = 1; seq <= LIMIT + 10; seq += 1) last().send(seq);
    expect(feed.state.events.length).toBe(LIMIT);
    expect(feed.state.events.at(-1)?.seq).toBe(LIMIT + 10);
    feed.stop();
  });
});

class FakeSocket implements Socket {
  binaryType = "";
  readyState = 0;
  onopen: Socket["onopen"] = null;
  onclose: Socket["onclose"] = null;
  onmessage: Socket["onmessage"] = null;
  sent: string[] = [];
  closed = false;
  send(data: Uint8Array<ArrayBuffer>) {
    this.sent.push(new TextDecoder().decode(data));
  }
  close() {
    this.closed = true;
  }
  open() {
    this.readyState = 1;
    this.onopen?.(undefined as never);
  }
  drop(reason = "") {
    this.readyState = 3;
    this.onclose?.({ code: 1006, reason });
  }
}

describe("a console's link", () => {
  const make = () => {
    const sockets: FakeSocket[] = [];
    const said: string[] = [];
    const link = new TerminalLink(
      () => {
        const socket = new FakeSocket();
        sockets.push(socket);
        return socket;
      },
      {
        clear: () => said.push("clear"),
        output: (bytes) => said.push(new TextDecoder().decode(bytes)),
        state: (state, reason) => said.push(`<${state}${reason}>`),
      },
      new Backoff(() => 0),
    );
    return { link, sockets, said, last: () => sockets.at(-1) as FakeSocket };
  };
  it("clears the screen before the history of each attachment", () => {
    const { said, last, link } = make();
    last().open();
    last().onmessage?.({ data: new TextEncoder().encode("history").buffer });
    last().drop("gone");
    vi.advanceTimersByTime(500);
    last().open();
    last().onmessage?.({ data: "history" });
    expect(said).toEqual(["<connecting>", "clear", "<open>", "history", "<waitinggone>", "<connecting>", "clear", "<open>", "history"]);
    link.end();
  });
  it("does not keep keys for later while there is no connection", () => {
    const { link, last } = make();
    expect(link.send("reboot\r")).toBe(false);
    last().open();
    expect(last().sent).toEqual([]);
    expect(link.send("id\r")).toBe(true);
    expect(last().sent).toEqual(["id\r"]);
    link.end();
  });
  it("sends a long paste in pieces, whole and in order", () => {
    const { link, last } = make();
    last().open();
    const paste = "0123456789".repeat(5000);
    link.send(paste);
    expect(Math.max(...last().sent.map(({ length }) => length))).toBeLessThanOrEqual(16 * 1024);
    expect(last().sent.join("")).toBe(paste);
    link.end();
  });
  it("ends for good, and can be told to try at once", () => {
    const { link, sockets, last } = make();
    last().drop();
    link.retry();
    expect(sockets.length).toBe(2);
    link.end();
    last().drop();
    link.retry();
    vi.advanceTimersByTime(60_000);
    expect(sockets.length).toBe(2);
    expect(last().closed).toBe(true);
  });
});

describe("samples", () => {
  const node = (name: string, exits: number) => ({ name, exits, busy_permille: 500, monitor_kib: 1024, guest_kib: 0 }) as Node;
  it("make rates of counters, and none of a restart", () => {
    const samples = new Samples();
    samples.take([node("a", 100)], 10);
    samples.take([node("a", 300)], 12);
    samples.take([node("a", 5)], 14);
    expect(samples.of("a").map(({ exitsPerSecond }) => exitsPerSecond)).toEqual([null, 100, null]);
    expect(samples.of("a")[0]).toMatchObject({ busy: 50, monitorMib: 1 });
  });
  it("leave out looks that are too close, forget nodes that are gone, and stay bounded", () => {
    const samples = new Samples();
    samples.take([node("a", 0), node("b", 0)], 10);
    samples.take([node("a", 9)], 10.2);
    expect(samples.of("a").length).toBe(1);
    expect(samples.of("b").length).toBe(0);
    for (let at = 11; at < 1000; at += 1) samples.take([node("a", at)], at);
    expect(samples.of("a").length).toBeLessThanOrEqual(300);
  });
});
