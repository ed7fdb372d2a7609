/** What the caller may do, for buttons: those that it may not use are disabled and say why. */
import { createContext, useContext, useEffect, useRef, useSyncExternalStore } from "react";
import type { ReactNode } from "react";
import { api } from "../api/client";
import { Rights, whyNot } from "../lib/rights";
import { useStore } from "./store";

const RightsContext = createContext<Rights | null>(null);

const CHANGES = ["account.", "auth-policy.", "token."];

export function RightsProvider({ children }: { children: ReactNode }) {
  const rights = useRef<Rights | null>(null);
  rights.current ??= new Rights(api.canI);
  const { feed } = useStore();
  const last = feed.events.findLast(({ name }) => CHANGES.some((area) => name.startsWith(area)))?.seq ?? 0;
  useEffect(() => {
    if (last > 0) rights.current?.refresh();
  }, [last]);
  return <RightsContext.Provider value={rights.current}>{children}</RightsContext.Provider>;
}

/** Why the caller may not do this, to this object or, without a name, to any of the kind; empty where it may. */
export function useWhyNot(verb: string, kind: string, name = ""): string {
  const rights = useContext(RightsContext);
  const known = () => {
    // Outside of a session nothing is known, and nothing is kept back.
    if (!rights) return "";
    const any = rights.answer({ verb, kind, name: "" });
    const depends = any?.state === "depends" && name !== "";
    return whyNot(depends ? rights.answer({ verb, kind, name }) : any);
  };
  return useSyncExternalStore((listener) => rights?.subscribe(listener) ?? (() => undefined), known, known);
}
