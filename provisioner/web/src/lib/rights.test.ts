import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Answer, Question } from "../api/types";
import { MOST, Rights, STALE_MS, whyNot } from "./rights";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const answerTo = ({ verb, kind, name }: Question): Answer => ({
  name: name ?? "",
  state: verb === "view" ? "allowed" : "refused",
  verb,
  kind,
  reason: "no policy permits it",
  policies: [],
  roles: ["operator", "administrator"],
});

describe("rights", () => {
  const make = () => {
    const calls: Question[][] = [];
    const rights = new Rights((questions) => {
      calls.push(questions);
      return Promise.resolve(questions.map(answerTo));
    });
    return { rights, calls };
  };

  it("asks once for all that is shown, and keeps the answers", async () => {
    const { rights, calls } = make();
    const heard = vi.fn();
    rights.subscribe(heard);
    for (const verb of ["view", "start", "view"]) expect(rights.answer({ verb, kind: "vs", name: "" })).toBeNull();
    await vi.advanceTimersByTimeAsync(50);
    expect(calls.map((call) => call.length)).toEqual([2]);
    expect(heard).toHaveBeenCalledTimes(1);
    expect(rights.answer({ verb: "start", kind: "vs", name: "" })?.state).toBe("refused");
    await vi.advanceTimersByTimeAsync(50);
    expect(calls.length).toBe(1);
  });

  it("asks again for what is old, shows it meanwhile, and asks for all after a change", async () => {
    const { rights, calls } = make();
    const question = { verb: "view", kind: "vs", name: "web" };
    rights.answer(question);
    await vi.advanceTimersByTimeAsync(50);
    vi.setSystemTime(Date.now() + STALE_MS + 1);
    expect(rights.answer(question)?.state).toBe("allowed");
    await vi.advanceTimersByTimeAsync(50);
    rights.refresh();
    await vi.advanceTimersByTimeAsync(50);
    expect(calls.length).toBe(3);
  });

  it("asks for no more at once than is taken", async () => {
    const { rights, calls } = make();
    for (let number = 0; number < MOST + 5; number += 1) rights.answer({ verb: "view", kind: "vs", name: `vs-${number}` });
    await vi.advanceTimersByTimeAsync(200);
    expect(calls.map((call) => call.length)).toEqual([MOST, 5]);
  });

  it("says nothing where nobody answers", async () => {
    const rights = new Rights(() => Promise.reject(new Error("away")));
    const question = { verb: "start", kind: "vs", name: "" };
    rights.answer(question);
    await vi.advanceTimersByTimeAsync(50);
    expect(whyNot(rights.answer(question))).toBe("");
  });

  it("says why, and what it takes", () => {
    expect(whyNot(answerTo({ verb: "start", kind: "vs", name: "web" }))).toBe("You may not: no policy permits it; it takes the role operator or administrator");
    expect(whyNot(answerTo({ verb: "view", kind: "vs", name: "web" }))).toBe("");
    expect(whyNot(null)).toBe("");
  });
});
