import { describe, expect, it } from "vitest";
import type { Plan, Transaction } from "../api/types";
import { inTheWay, joined, objectWords, obstacle, pageQuery, undoWords } from "./history";

const tx = (number: number, state = "done"): Transaction => ({ name: "vs stop", state, number, at: "", actor: "admin", cause: "", undoes: 0, job: 0, undo: "reversible", reason: "", objects: [] });
const plan = (part: Partial<Plan>): Plan => ({ name: "vs start", state: "planned", transaction: 0, undoes: 7, lost: "", undo: "reversible", reason: "", objects: [], effects: [], conflicts: [], ...part });
const conflict = (transaction: number) => ({ kind: "vs", name: "web", field: "running", transaction, text: `transaction ${transaction}` });

describe("pages of history", () => {
  it("are asked for with the filter that is set and no other", () => {
    expect(pageQuery({ object: " ", actor: "" }).toString()).toBe("limit=50");
    expect(pageQuery({ object: "a&b ", actor: "ann" }, 12).toString()).toBe("limit=50&object=a%26b&actor=ann&before=12");
  });
  it("join to one list, newest first, each transaction once and as last read", () => {
    const all = joined([tx(5), tx(4), tx(3)], [tx(6), tx(5, "undone")]);
    expect(all.map(({ number, state }) => `${number} ${state}`)).toEqual(["6 done", "5 undone", "4 done", "3 done"]);
  });
});

it("names the first objects of a transaction of many, and says how many more there are", () => {
  const objects = (count: number) => Array.from({ length: count }, (_, n) => ({ name: `vs-${n}`, state: "changed", kind: "vs", id: String(n) }));
  expect(objectWords(objects(2))).toBe("vs vs-0, vs vs-1");
  expect(objectWords(objects(1000))).toBe("vs vs-0, vs vs-1, vs vs-2, vs vs-3 and 996 more");
});

describe("what an undo would be", () => {
  it("is said where something is lost or nothing can be given back", () => {
    expect(undoWords({ undo: "reversible", reason: "" })).toBe("");
    expect(undoWords({ undo: "compensable", reason: "it boots afresh" })).toContain("all but this: it boots afresh");
    expect(undoWords({ undo: "irreversible", reason: "nodes were told" })).toContain("cannot be undone: nodes were told");
  });
  it("has no obstacle only where it is planned", () => {
    expect(obstacle(plan({}))).toBe("");
    expect(obstacle(plan({ state: "conflict", conflicts: [conflict(9)] }))).toContain("Undo those first");
    expect(obstacle(plan({ state: "conflict", conflicts: [conflict(0)] }))).toContain("cannot be had now");
    expect(obstacle(plan({ state: "irreversible", undo: "irreversible", reason: "x" }))).toContain("x");
    expect(obstacle(plan({ state: "nothing" }))).not.toBe("");
  });
  it("names each later transaction once, the newest first", () => {
    expect(inTheWay([conflict(8), conflict(0), conflict(9), conflict(8)])).toEqual([9, 8]);
  });
});
