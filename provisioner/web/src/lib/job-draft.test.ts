import { expect, test } from "vitest";
import { ACTIONS, jobFile, jobOf, missing, newStep, ofServers, shifted } from "./job-draft";
import type { Step } from "./job-draft";

const step = (key: number, part: Partial<Step>): Step => ({ ...newStep(key, ["web"]), ...part });

test("a step says what is missing, and a job with such a step is none", () => {
  expect(missing(step(1, {}))).toBe("");
  expect(missing(step(1, { names: [] }))).not.toBe("");
  expect(missing(step(1, { action: "vs move" }))).toContain("node");
  expect(missing(step(1, { action: "vs label", labels: "a b" }))).not.toBe("");
  expect(missing(step(1, { action: "partition create", partition: "a b" }))).toContain("name");
  expect(missing(step(1, { action: "partition delete", names: [] }))).toContain("partition");
  expect(jobOf("", 0, [])).toBeNull();
  expect(jobOf("", 0, [step(1, {}), step(2, { names: [] })])).toBeNull();
});

test("steps become what the interface takes, in their order", () => {
  const steps = [
    step(1, { names: ["web", "db"] }),
    step(2, { action: "vs move", node: "node-2" }),
    step(3, { action: "vs label", labels: "env=prod" }),
    step(4, { action: "partition create", names: ["node-1"], partition: "p1" }),
    step(5, { action: "partition delete", names: [], partition: "p0" }),
  ];
  const job = jobOf(" move ", 60, steps);
  expect(job).toEqual({
    name: "move",
    timeout_s: 60,
    steps: [
      { action: "vs stop", names: ["web", "db"] },
      { action: "vs move", names: ["web"], node: "node-2" },
      { action: "vs label", names: ["web"], labels: { set: { env: "prod" }, remove: [] } },
      { action: "partition create", partition: { name: "p1", nodes: ["node-1"] } },
      { action: "partition delete", names: ["p0"] },
    ],
  });
  expect(job && JSON.parse(jobFile(job))).toEqual(job);
  expect(ACTIONS.filter(ofServers).length).toBe(6);
});

test("steps change places, and stay where there is none", () => {
  const steps = [step(1, {}), step(2, {}), step(3, {})];
  const keys = (list: readonly Step[]) => list.map(({ key }) => key);
  expect(keys(shifted(steps, 3, -1))).toEqual([1, 3, 2]);
  expect(keys(shifted(steps, 1, 1))).toEqual([2, 1, 3]);
  expect(keys(shifted(steps, 1, -1))).toEqual([1, 2, 3]);
  expect(keys(shifted(steps, 3, 1))).toEqual([1, 2, 3]);
});
