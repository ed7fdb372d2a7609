/** The topology, read again after events and every few seconds, not while something is dragged; what did not change keeps its identity. */
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Topology } from "../api/types";
import { still } from "../lib/still";
import { index, reuse } from "../lib/topology";
import type { Index } from "../lib/topology";
import { useAfterEvents } from "./happened";

const POLL_MS = 5000;

const pause = () => new Promise<void>((done) => setTimeout(done, 0));

/** Null until the first answer; and a way to look at once. */
export function useTopology(): [Index | null, () => Promise<void>] {
  const [topology, setTopology] = useState<Topology | null>(null);
  const read = useRef<{ text: string; topology: Topology | null; turn: Promise<void> }>({ text: "", topology: null, turn: Promise.resolve() });
  const look = useCallback(async () => {
    const one = async () => {
      // The end of the drag looks.
      if (still.held) return;
      try {
        const text = await api.topology();
        await still.over();
        if (text === read.current.text) return;
        const fresh = await reuse(read.current.topology, JSON.parse(text) as Topology, pause);
        read.current = { ...read.current, text, topology: fresh };
        setTopology(fresh);
      } catch (error) {
        // The store tells of an appliance that does not answer; what is shown stays.
        if (!(error instanceof ApiError)) throw error;
      }
    };
    // One after the other: an older answer must not come last.
    const turn = read.current.turn.then(one);
    read.current.turn = turn.catch(() => undefined);
    await turn;
  }, []);
  useEffect(() => {
    void look();
    const timer = setInterval(() => {
      if (!document.hidden) void look();
    }, POLL_MS);
    const stop = still.subscribe(() => void look());
    return () => {
      stop();
      clearInterval(timer);
    };
  }, [look]);
  useAfterEvents(() => void look());
  return [useMemo(() => topology && index(topology), [topology]), look];
}
