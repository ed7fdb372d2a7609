/** What a rollout's row says, and what can be done with it. */
import type { Rollout, RolloutCreate } from "../api/types";
import { command } from "./cli";

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

/** What a dialog asks for; `nodes` is empty where all are meant. */
export interface RolloutWish {
  image: string;
  nodes: string[];
  canary: string;
  atOnce: number;
  stop: boolean;
}

export function rolloutOf({ image, nodes, canary, atOnce, stop }: RolloutWish): RolloutCreate {
  return {
    image,
    select: { names: nodes, selector: "", all: nodes.length === 0, allow_empty: false },
    canary,
    max_unavailable: atOnce,
    drain: stop ? "stop" : "refuse",
    timeout_s: 0,
  };
}

export function rolloutCommand({ image, nodes, canary, atOnce, stop }: RolloutWish): string {
  const words = ["image", "rollout", "start", image.slice(0, 16), ...(nodes.length === 0 ? ["--all"] : ["--nodes", nodes.join(",")])];
  if (canary !== "") words.push("--canary", canary);
  if (atOnce !== 1) words.push("--max-unavailable", String(atOnce));
  if (stop) words.push("--drain", "stop");
  return command(...words);
}
