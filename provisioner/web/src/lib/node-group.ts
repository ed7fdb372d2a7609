/** Several nodes chosen at once: what can be done with them. */
import type { Node } from "../api/types";
import { command } from "./cli";
import { lastGroupMatches } from "./validate";

export type NodeAction = "approve" | "forget" | "move";

/** Most nodes that the appliance changes at once. */
const MOST = 1000;

/** Why something cannot be done with the chosen; empty where it can. */
export function nodeObstacle(action: NodeAction, chosen: readonly Node[]): string {
  if (chosen.length > MOST) return `At most ${MOST} at once`;
  const named = (bad: readonly Node[]) => bad.map(({ name }) => name).join(", ");
  const waiting = chosen.filter(({ state }) => state === "quarantined" || state === "conflict");
  switch (action) {
    case "approve": {
      const rest = chosen.filter((node) => !waiting.includes(node));
      return rest.length === 0 ? "" : `These wait for no approval: ${named(rest)}`;
    }
    case "forget": {
      const used = chosen.filter(({ servers }) => servers.length > 0);
      return used.length === 0 ? "" : `Servers lie on ${named(used)}`;
    }
    case "move":
      return waiting.length === 0 ? "" : `Approve first: ${named(waiting)}`;
  }
}

/** Fingerprints of those whose last group was typed as their consoles show it; null where one is missing. */
export function compared(nodes: readonly Node[], typed: Readonly<Record<string, string>>): string[] | null {
  const fits = nodes.filter((node) => lastGroupMatches(node.fingerprint, typed[node.name] ?? ""));
  return fits.length === nodes.length ? nodes.map(({ fingerprint }) => fingerprint) : null;
}

export function nodeCommand(action: NodeAction, nodes: readonly Node[], frame: string, fingerprints: readonly string[] | null): string {
  const names = nodes.map(({ name }) => name);
  switch (action) {
    case "approve":
      return command("node", "approve", ...names, ...(fingerprints ?? ["FINGERPRINT"]).flatMap((one) => ["--fingerprint", one]));
    case "forget":
      return command("node", "forget", ...names);
    case "move":
      return command("node", "move", ...names, ...(frame === "" ? ["--free"] : ["--frame", frame]));
  }
}
