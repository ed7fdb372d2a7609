/** Several nodes chosen at once: what can be done with them. */
import type { LabelChange, Node, ObjectChange } from "../api/types";
import { command, labelCommand } from "./cli";
import { labelled, obstacle } from "./group";
import { lastGroupMatches } from "./validate";

export type NodeAction = "approve" | "move" | "label" | "forget";

/** Why something cannot be done with the chosen; empty where it can. */
export function nodeObstacle(action: NodeAction, chosen: readonly Node[]): string {
  const waiting = chosen.filter(({ state }) => state === "quarantined" || state === "conflict");
  switch (action) {
    case "approve":
      return obstacle(chosen, "These wait for no approval:", chosen.filter((node) => !waiting.includes(node)));
    case "forget":
      return obstacle(chosen, "Servers lie on", chosen.filter(({ servers }) => servers.length > 0));
    // What waits for approval stands nowhere and has no labels.
    case "move":
    case "label":
      return obstacle(chosen, "Approve first:", waiting);
  }
}

/** What becomes of one that changes. */
export function nodeBecame(action: NodeAction, object: ObjectChange, frame: string, labels: LabelChange): string {
  switch (action) {
    case "approve":
      return "approved";
    case "forget":
      return "forgotten";
    case "move":
      return frame === "" ? "moved to the free pool" : `moved to frame ${frame}`;
    case "label":
      return labelled(object, labels);
  }
}

/** Fingerprints of those whose last group was typed as their consoles show it; null where one is missing. */
export function compared(nodes: readonly Node[], typed: Readonly<Record<string, string>>): string[] | null {
  const fits = nodes.filter((node) => lastGroupMatches(node.fingerprint, typed[node.name] ?? ""));
  return fits.length === nodes.length ? nodes.map(({ fingerprint }) => fingerprint) : null;
}

export function nodeCommand(action: NodeAction, names: readonly string[], frame: string, fingerprints: readonly string[] | null, labels: LabelChange): string {
  switch (action) {
    case "approve":
      return command("node", "approve", ...names, ...(fingerprints ?? ["FINGERPRINT"]).flatMap((one) => ["--fingerprint", one]));
    case "forget":
      return command("node", "forget", ...names);
    case "move":
      return command("node", "move", ...names, ...(frame === "" ? ["--free"] : ["--frame", frame]));
    case "label":
      return labelCommand("node", names, labels);
  }
}
