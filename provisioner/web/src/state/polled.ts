/** A list that is read again every two seconds while it is shown. */
import { useCallback, useEffect, useState } from "react";
import { ApiError } from "../api/client";

const POLL_MS = 2000;

/** Null until the first answer; and a way to look at once. */
export function usePolled<T>(read: () => Promise<T>): [T | null, () => Promise<void>] {
  const [value, setValue] = useState<T | null>(null);
  const look = useCallback(async () => {
    try {
      setValue(await read());
    } catch (error) {
      // The store tells of an appliance that does not answer; what is shown stays.
      if (!(error instanceof ApiError)) throw error;
    }
  }, [read]);
  useEffect(() => {
    void look();
    const timer = setInterval(() => void look(), POLL_MS);
    return () => clearInterval(timer);
  }, [look]);
  return [value, look];
}
