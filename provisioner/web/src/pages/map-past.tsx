/** The map as an earlier transaction left it: a slider over all of history. */
import { useEffect, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Problem, Transaction } from "../api/types";
import { clock } from "../lib/format";
import { objectWords } from "../lib/history";
import { href } from "../lib/route";
import { index } from "../lib/topology";
import type { Index } from "../lib/topology";
import { useNow } from "../state/store";

/** Pause after the last step of the slider before the appliance is asked. */
const STEP_MS = 150;

export interface Past {
  /** What the slider shows; null: now. */
  at: number | null;
  all: Index | null;
  transaction: Transaction | null;
  problem: Problem | null;
}

export const NOW: Past = { at: null, all: null, transaction: null, problem: null };

/** Reads the map of a transaction, and the transaction. */
export function usePast(): [Past, (at: number | null) => void] {
  const [past, setPast] = useState<Past>(NOW);
  const { at } = past;
  useEffect(() => {
    if (at === null) return;
    let late = false;
    const timer = setTimeout(() => {
      Promise.all([api.topologyAt(at), api.transaction(at).catch(() => null)]).then(
        ([topology, detail]) => !late && setPast({ at, all: index(topology), transaction: detail?.transaction ?? null, problem: null }),
        (error: unknown) => {
          if (!(error instanceof ApiError)) throw error;
          if (!late) setPast((known) => ({ ...known, problem: error.problem }));
        },
      );
    }, STEP_MS);
    return () => {
      late = true;
      clearTimeout(timer);
    };
  }, [at]);
  return [past, (to) => setPast((known) => (to === null ? NOW : { ...known, at: to, problem: null }))];
}

export function Slider({ past, newest, onMove }: { past: Past; newest: number; onMove: (at: number | null) => void }) {
  const now = useNow();
  const { at, transaction, problem } = past;
  const words = at === null ? "Now" : transaction?.number === at ? `${clock(transaction.at, now)}, after ${transaction.name} of ${objectWords(transaction.objects)} by ${transaction.actor}` : `After transaction ${at}`;
  return (
    <section className={at === null ? "map-past" : "map-past on"} aria-label="History of the map">
      <label className="map-past-label">
        <span>History</span>
        <input type="range" min={0} max={newest} step={1} value={at ?? newest} aria-valuetext={words} onChange={(event) => onMove(Number(event.target.value) >= newest ? null : Number(event.target.value))} />
      </label>
      <span className="map-past-words break" role="status">
        {problem ? `${problem.title}. ${problem.next}` : words}
      </span>
      {at !== null && (
        <span className="map-past-act">
          {at > 0 && <a href={href({ page: "transaction", number: at })}>Transaction {at}</a>}
          <button type="button" className="small" onClick={() => onMove(null)}>
            Back to now
          </button>
        </span>
      )}
    </section>
  );
}
