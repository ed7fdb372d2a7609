/** Several virtual servers chosen at once: what can be done with them. */
import type { LabelChange, ObjectChange, Vs } from "../api/types";
import { command, labelCommand } from "./cli";
import { labelled, obstacle } from "./group";

export type Action = "start" | "stop" | "reset" | "move" | "label" | "delete";

/** Whether a server runs, or is about to. */
export function isAlive(vs: Pick<Vs, "state" | "desired">): boolean {
  return ["starting", "fetching", "running"].includes(vs.state) || (vs.state === "unknown" && vs.desired === "running");
}

/** Why something cannot be done with the chosen; empty where it can. */
export function obstacleTo(action: Action, chosen: readonly Vs[]): string {
  const alive = chosen.filter(isAlive);
  switch (action) {
    case "start":
      return obstacle(chosen, "", []) || (alive.length === chosen.length ? "All of them run" : "");
    case "stop":
      return obstacle(chosen, "", []) || (alive.length === 0 ? "None of them runs" : "");
    case "reset":
      return obstacle(chosen, "These do not run:", chosen.filter(({ state }) => state !== "running"));
    case "move":
      return obstacle(chosen, "Stop first:", alive) || obstacle(chosen, "These span nodes:", chosen.filter((vs) => (vs.partition ?? "") !== ""));
    case "label":
      return obstacle(chosen, "", []);
    case "delete":
      return obstacle(chosen, "Stop first:", alive);
  }
}

/** What becomes of one that changes. */
export function became(action: Action, object: ObjectChange, node: string, labels: LabelChange): string {
  switch (action) {
    case "start":
      return "started";
    case "stop":
      return "powered off";
    case "reset":
      return "started afresh";
    case "move":
      return `moved to ${node}`;
    case "label":
      return labelled(object, labels);
    case "delete":
      return "deleted";
  }
}

export function serverCommand(action: Action, names: readonly string[], node: string, labels: LabelChange): string {
  if (action === "label") return labelCommand("vs", names, labels);
  return command("vs", action, ...names, ...(action === "move" ? ["--node", node === "" ? "NODE" : node] : []));
}
