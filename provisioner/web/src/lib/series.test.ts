import { describe, expect, it } from "vitest";
import type { Series } from "../api/types";
import { gaps, isKnown, merged, summary } from "./series";

const told = (last: number, values: (number | null)[], step_s = 1): Series => ({ kind: "node", name: "a", step_s, last, metrics: [{ name: "processor", unit: "ratio", values }] });

describe("merged", () => {
  it("appends what is new and keeps no more than it may", () => {
    const first = merged(null, told(102, [1, null, 3]), 4);
    expect(first.at).toEqual([100, 101, 102]);
    const second = merged(first, told(104, [4, 5]), 4);
    expect(second.values.get("processor")).toEqual([null, 3, 4, 5]);
    expect(second.at).toEqual([101, 102, 103, 104]);
    expect(merged(second, told(104, []), 4).values.get("processor")).toEqual([null, 3, 4, 5]);
  });

  it("begins anew after a start of the appliance, another distance, and a long absence", () => {
    const old = merged(null, told(102, [1, 2, 3]), 3);
    expect(merged(old, told(50, [7, 8]), 3).values.get("processor")).toEqual([7, 8]);
    expect(merged(old, told(120, [9], 60), 3).values.get("processor")).toEqual([9]);
    expect(merged(old, told(500, [7, 8, 9]), 3).values.get("processor")).toEqual([7, 8, 9]);
  });
});

describe("what is said of values", () => {
  it("leaves out what is not known", () => {
    expect(summary([null, 2, 4, null])).toEqual({ now: null, least: 2, mean: 3, most: 4, missing: 2 });
    expect(summary([null, null])).toBeNull();
    expect(isKnown(merged(null, told(1, [null, 0]), 9), ["processor"])).toBe(true);
    expect(isKnown(merged(null, told(1, [null]), 9), ["processor", "none"])).toBe(false);
  });

  it("finds gaps in all columns, but for the time before the first value", () => {
    expect(gaps([[null, null, 1, null, 2, null, null], [null, null, 1, null, null, null, null]])).toEqual([[3, 3], [5, 6]]);
    expect(gaps([[null, null]])).toEqual([]);
    expect(gaps([])).toEqual([]);
  });
});
