/** Looking again when something happened. */
import { useEffect, useRef } from "react";
import { Throttle } from "../lib/throttle";
import { useStore } from "./store";

/** A busy appliance tells of many events a second; it is asked this often at most. */
const PAUSE_MS = 500;

/** Calls `look` after events. */
export function useAfterEvents(look: () => void): void {
  const { feed } = useStore();
  const happened = feed.events.at(-1)?.seq ?? 0;
  const seen = useRef(happened);
  const latest = useRef(look);
  latest.current = look;
  const throttle = useRef<Throttle | null>(null);
  throttle.current ??= new Throttle(PAUSE_MS, () => latest.current());
  useEffect(() => () => throttle.current?.stop(), []);
  useEffect(() => {
    if (seen.current === happened) return;
    seen.current = happened;
    throttle.current?.ask();
  }, [happened]);
}
