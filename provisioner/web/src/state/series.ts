/** The load of an object, read again while it is shown: by the second, or by the minute. */
import { useEffect, useState } from "react";
import { ApiError, api } from "../api/client";
import { RANGES, merged } from "../lib/series";
import type { History, Range } from "../lib/series";

export type LoadKind = "nodes" | "vs" | "partitions";

export interface Seen {
  /** Null until the first answer. */
  history: History | null;
  /** Why the last look failed, empty where it did not. */
  trouble: string;
}

export function useSeries(kind: LoadKind, name: string, range: Range): Seen {
  const [seen, setSeen] = useState<Seen>({ history: null, trouble: "" });
  useEffect(() => {
    const { step, keep, lookMs } = RANGES[range];
    let history: History | null = null;
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    setSeen({ history: null, trouble: "" });
    const look = async () => {
      clearTimeout(timer);
      try {
        if (!document.hidden) {
          const fresh = await api.load(kind, name, step, history?.last);
          if (stopped) return;
          history = merged(history, fresh, keep);
          setSeen({ history, trouble: "" });
        }
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        // What is shown stays; it is old, and the page says so.
        if (!stopped) setSeen({ history, trouble: error.problem.title });
      }
      if (!stopped) timer = setTimeout(() => void look(), lookMs);
    };
    const wake = () => {
      if (!document.hidden) void look();
    };
    void look();
    document.addEventListener("visibilitychange", wake);
    return () => {
      stopped = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", wake);
    };
  }, [kind, name, range]);
  return seen;
}
