import { expect, test } from "vitest";
import type { RolloutNode } from "../api/types";
import { verbsOf, words } from "./rollouts";

const node = (name: string, state: string): RolloutNode => ({ name, state, id: name, image: "", image_before: "", servers: [], reason: "" });

test("each state has what can be done in it, and a way back as long as nodes may have moved", () => {
  expect(verbsOf({ state: "running" })).toEqual(["pause", "abort", "back"]);
  expect(verbsOf({ state: "stopped" })).toEqual(["resume", "abort", "back"]);
  expect(verbsOf({ state: "done" })).toEqual(["back"]);
  expect(verbsOf({ state: "undone" })).toEqual([]);
});

test("the words name the nodes that are under way or failed", () => {
  const nodes = [node("node-1", "done"), node("node-2", "restarting"), node("node-3", "waiting")];
  expect(words({ done: 1, nodes })).toBe("1 of 3 nodes done; node-2 restarting");
  expect(words({ done: 1, nodes: nodes.slice(0, 1) })).toBe("1 of 1 nodes done");
});
