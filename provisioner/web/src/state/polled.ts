/** A list that is read again every two seconds while it is shown; one that is as it was draws nothing. */
import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError } from "../api/client";
import { Kept } from "../lib/kept";

const POLL_MS = 2000;

/** Null until the first answer; and a way to look at once. */
export function usePolled<T>(read: () => Promise<string>): [T | null, () => Promise<void>] {
  const [value, setValue] = useState<T | null>(null);
  const kept = useRef(new Kept<T>()).current;
  const look = useCallback(async () => {
    try {
      setValue(kept.take(await read()));
    } catch (error) {
      // The store tells of an appliance that does not answer; what is shown stays.
      if (!(error instanceof ApiError)) throw error;
    }
  }, [read, kept]);
  useEffect(() => {
    void look();
    const timer = setInterval(() => void look(), POLL_MS);
    return () => clearInterval(timer);
  }, [look]);
  return [value, look];
}
