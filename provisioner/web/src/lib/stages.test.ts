import { describe, expect, it } from "vitest";
import { axisEnd, progress, segments, STAGES, stageWords, totalMs } from "./stages";

const stage = (name: string, since_first_ms: number) => ({ stage: name, at: "", since_first_ms });

describe("segments", () => {
  it("give each stage the time since the one before", () => {
    expect(segments([stage("dhcp", 0), stage("fetch", 900), stage("entry", 1200)])).toEqual([
      { stage: "dhcp", ms: 0, at: 0 },
      { stage: "fetch", ms: 900, at: 900 },
      { stage: "entry", ms: 300, at: 1200 },
    ]);
  });
  it("are never negative when a clock stepped back", () => {
    const bars = segments([stage("dhcp", 0), stage("fetch", 900), stage("entry", 400), stage("verified", 1000)]);
    expect(bars.map(({ ms }) => ms)).toEqual([0, 900, 0, 100]);
    expect(totalMs([stage("dhcp", 0), stage("fetch", 900), stage("entry", 400)])).toBe(900);
  });
  it("of nothing are none", () => {
    expect(segments([])).toEqual([]);
    expect(totalMs([])).toBe(0);
  });
});

describe("progress", () => {
  it("counts to the furthest stage, with gaps", () => {
    expect(progress([stage("dhcp", 0), stage("entry", 5)])).toEqual({ reached: 3, of: 9, last: "entry", done: false });
  });
  it("is done at the secure channel", () => {
    expect(progress(STAGES.map((name, index) => stage(name, index))).done).toBe(true);
  });
  it("stands an unknown stage", () => {
    expect(progress([stage("later-invention", 1)]).last).toBe("later-invention");
    expect(stageWords("later-invention")).toBe("later-invention");
  });
});

it("an axis ends a little above the longest bar", () => {
  for (const ms of [1, 7, 999, 1001, 2840, 34_000, 1e9]) {
    expect(axisEnd(ms)).toBeGreaterThanOrEqual(ms);
    expect(axisEnd(ms)).toBeLessThanOrEqual(ms * 1.7);
  }
  expect(axisEnd(0)).toBe(1000);
});
