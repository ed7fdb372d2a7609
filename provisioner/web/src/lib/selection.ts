/** Several virtual servers chosen at once: what can be done with them, and what became of each. */
import type { Plan, Vs } from "../api/types";

export type Action = "start" | "stop" | "delete";

/** Most servers that the appliance changes at once. */
const MOST = 1000;

/** Whether a server runs, or is about to. */
export function isAlive(vs: Pick<Vs, "state" | "desired">): boolean {
  return ["starting", "fetching", "running"].includes(vs.state) || (vs.state === "unknown" && vs.desired === "running");
}

/** With one more or one less. */
export function toggled(chosen: ReadonlySet<string>, name: string): Set<string> {
  const next = new Set(chosen);
  if (!next.delete(name)) next.add(name);
  return next;
}

/** Why something cannot be done with the chosen; empty where it can. */
export function obstacleTo(action: Action, chosen: readonly Vs[]): string {
  if (chosen.length > MOST) return `At most ${MOST} at once`;
  const alive = chosen.filter(isAlive);
  switch (action) {
    case "start":
      return alive.length === chosen.length ? "All of them run" : "";
    case "stop":
      return alive.length === 0 ? "None of them runs" : "";
    case "delete":
      return alive.length === 0 ? "" : `Stop first: ${alive.map(({ name }) => name).join(", ")}`;
  }
}

export interface Result {
  name: string;
  text: string;
  bad: boolean;
}

function became({ state, fields }: Plan["objects"][number]): string {
  if (state === "deleted") return "deleted";
  const running = fields.find(({ field }) => field === "running");
  if (running?.changed) return running.after === "true" ? "started" : "powered off";
  return "started afresh";
}

/** What becomes of each of these servers by a plan, in their order. */
export function results(names: readonly string[], plan: Plan): Result[] {
  return names.map((name) => {
    const conflict = plan.conflicts.find((one) => one.name === name);
    if (conflict) return { name, text: conflict.text, bad: true };
    if (plan.conflicts.length > 0) return { name, text: "not touched, as others are in the way", bad: false };
    const object = plan.objects.find((one) => one.kind === "vs" && one.name === name);
    return { name, text: object ? became(object) : "as it was", bad: false };
  });
}
