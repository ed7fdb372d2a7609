/** What a rollout's row says, and what can be done with it. */
import type { Rollout } from "../api/types";

export type RolloutVerb = "pause" | "resume" | "abort" | "back";

/** What can be done in its state. */
export function verbsOf({ state }: Pick<Rollout, "state">): RolloutVerb[] {
  switch (state) {
    case "running":
      return ["pause", "abort", "back"];
    case "paused":
    case "stopped":
      return ["resume", "abort", "back"];
    case "done":
    case "aborted":
      return ["back"];
    default:
      return [];
  }
}

/** How far it is, with the nodes that are under way. */
export function words({ done, nodes }: Pick<Rollout, "done" | "nodes">): string {
  const moving = nodes.filter(({ state }) => ["draining", "restarting", "starting", "failed"].includes(state));
  const named = moving.map(({ name, state }) => `${name} ${state}`).join(", ");
  return `${done} of ${nodes.length} nodes done${named === "" ? "" : `; ${named}`}`;
}
