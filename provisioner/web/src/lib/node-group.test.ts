import { expect, test } from "vitest";
import type { Node } from "../api/types";
import { compared, nodeBecame, nodeCommand, nodeObstacle } from "./node-group";

const node = (name: string, state: string, servers: string[] = []) => ({ name, state, servers, fingerprint: `aaaa-bbbb-${name}` }) as unknown as Node;
const [one, two, used] = [node("n1", "quarantined"), node("n2", "ready"), node("n3", "ready", ["web"])];

test("what cannot be done with the chosen is said with their names", () => {
  expect(nodeObstacle("approve", [one])).toBe("");
  expect(nodeObstacle("approve", [one, two])).toContain("n2");
  expect(nodeObstacle("forget", [one, two])).toBe("");
  expect(nodeObstacle("forget", [two, used])).toContain("n3");
  expect(nodeObstacle("move", [two, used])).toBe("");
  expect(nodeObstacle("move", [one, two])).toContain("n1");
  expect(nodeObstacle("label", [two, used])).toBe("");
  expect(nodeObstacle("label", [one, two])).toContain("n1");
  expect(nodeObstacle("approve", Array<Node>(1001).fill(one))).toContain("At most 1000");
});

test("each node's own fingerprint is compared before any is approved", () => {
  const both = [node("n1", "quarantined"), node("n4", "quarantined")];
  expect(compared(both, { n1: "n1" })).toBeNull();
  expect(compared(both, { n1: "n1", n4: "n1" })).toBeNull();
  expect(compared(both, { n1: "n1", n4: "n4" })).toEqual(["aaaa-bbbb-n1", "aaaa-bbbb-n4"]);
});

test("the command does the same, and what becomes of each is said", () => {
  const labels = { set: { rack: "3" }, remove: ["old"] };
  expect(nodeCommand("move", ["n2", "n3"], "rack-1", null, labels)).toBe("weft node move n2 n3 --frame rack-1");
  expect(nodeCommand("move", ["n2"], "", null, labels)).toBe("weft node move n2 --free");
  expect(nodeCommand("forget", ["n2", "n3"], "", null, labels)).toBe("weft node forget n2 n3");
  expect(nodeCommand("approve", ["n1"], "", ["f"], labels)).toBe("weft node approve n1 --fingerprint f");
  expect(nodeCommand("label", ["n2", "n3"], "", null, labels)).toBe("weft node label n2 n3 rack=3 old-");
  const object = { kind: "node", name: "n2", id: "2", state: "changed", fields: [] };
  expect(nodeBecame("move", object, "", labels)).toBe("moved to the free pool");
  expect(nodeBecame("move", object, "rack-1", labels)).toBe("moved to frame rack-1");
});
