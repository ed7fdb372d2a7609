import { expect, test } from "vitest";
import type { Job, JobStep } from "../api/types";
import { joined, objectsOf, pageQuery, progress, progressWords, stuckStep } from "./jobs";
import { href, parseRoute } from "./route";

const step = (state: string, objects: string[] = ["web"]): JobStep => ({
  name: "vs stop", state, number: 1, objects, transaction: 0, undone_by: 0, waits: [], reason: "", timeout_s: 120, started: "", changed: "",
});

const job = (state: string, ...steps: string[]): Job => ({
  name: "nightly", state, number: 7, actor: "admin", at: "", ended: "", reason: "", comment: "",
  done: steps.filter((one) => one === "done").length, steps: steps.map((one) => step(one)),
});

test("progress goes forward with steps that are done, and back with steps that are undone", () => {
  expect(progress(job("running", "done", "running", "waiting", "waiting"))).toBe(0.25);
  expect(progress(job("done", "done", "done"))).toBe(1);
  expect(progress(job("undoing", "done", "undone", "waiting"))).toBe(0.5);
  expect(progress(job("stuck", "stuck", "undone"))).toBe(0.5);
  expect(progress(job("undone", "undone", "skipped", "waiting"))).toBe(1);
  expect(progress(job("undone", "waiting"))).toBe(1);
  expect(progressWords(job("running", "done", "running"))).toBe("1 of 2 steps done");
  expect(progressWords(job("stopped", "done", "failed"))).toBe("1 of 2 steps done");
  expect(progressWords(job("undoing", "done", "undone", "waiting"))).toBe("1 of 2 steps undone");
});

test("only a stuck job has a step to decide on", () => {
  expect(stuckStep(job("stuck", "done", "stuck"))?.state).toBe("stuck");
  expect(stuckStep(job("abandoned", "done", "stuck"))).toBeUndefined();
});

test("many objects are told by the first of them", () => {
  expect(objectsOf(step("done", ["a", "b"]))).toBe("a, b");
  expect(objectsOf(step("done", ["a", "b", "c", "d", "e", "f"]))).toBe("a, b, c, d and 2 more");
});

test("pages of jobs come together, the newest first and as they are now", () => {
  const of = (number: number, state: string) => ({ ...job(state), number });
  const all = joined([of(3, "running"), of(2, "done")], [of(4, "running"), of(3, "done")]);
  expect(all.map(({ number, state }) => `${number} ${state}`)).toEqual(["4 running", "3 done", "2 done"]);
  expect(pageQuery(9).toString()).toBe("limit=50&before=9");
});

test("a job has an address of its own", () => {
  expect(parseRoute(href({ page: "job", number: 7 }))).toEqual({ page: "job", number: 7 });
  expect(parseRoute("#/jobs")).toEqual({ page: "jobs" });
  expect(parseRoute("#/jobs/x")).toEqual({ page: "jobs" });
});
