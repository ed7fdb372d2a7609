import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, it } from "vitest";
import cases from "../../../api/tests/selectors.json";
import type { Conflict, Plan, Vs } from "../api/types";
import { GroupBar, GroupResult, ResultList } from "../pages/server-group";
import { isAlive, obstacleTo, results, toggled } from "./selection";
import { labelCommand } from "./cli";
import { labelChange, labelWords, matches, parseLabels, parseSelector } from "./selector";

const fits = (text: string, labels: Record<string, string>) => {
  const { conditions, problem } = parseSelector(text);
  expect(problem, text).toBe("");
  return conditions !== null && matches(conditions, labels);
};

describe("a selector", () => {
  it("chooses as the appliance does", () => {
    for (const text of cases.chosen) expect(fits(text, cases.labels), text).toBe(true);
    for (const text of cases.passed) expect(fits(text, cases.labels), text).toBe(false);
    for (const text of cases.wrong) expect(parseSelector(text).conditions, JSON.stringify(text)).toBe(null);
  });
  it("says what is wrong, in few words", () => {
    expect(parseSelector("env=prod,").problem).toBe("A condition is empty.");
    expect(parseSelector("Env=prod").problem).toContain("“Env” is no key");
    expect(parseSelector("env=a b").problem).toContain("“a b” is no value");
    expect(parseSelector(Array(33).fill("a").join(",")).problem).toContain("More than 32");
    expect(parseSelector("x".repeat(100_000)).problem.length).toBeLessThan(200);
  });
  it("does not take what every object has for a label", () => {
    expect(fits("constructor", {})).toBe(false);
    expect(fits("!constructor", {})).toBe(true);
  });
});

describe("labels that are typed", () => {
  it("come back as they were typed", () => {
    expect(parseLabels(" env=prod ,note=,, tier=a.b/c-1")).toEqual({ labels: { env: "prod", note: "", tier: "a.b/c-1" }, problem: "" });
    expect(labelWords({ env: "prod", note: "" })).toBe("env=prod, note=");
    expect([parseLabels(""), labelWords(undefined)]).toEqual([{ labels: {}, problem: "" }, ""]);
  });
  it("become a change of what differs, and the command of that", () => {
    const change = labelChange({ env: "test", old: "", same: "1" }, { env: "prod", same: "1", note: "" });
    expect(change).toEqual({ set: { env: "prod", note: "" }, remove: ["old"] });
    expect(labelCommand("vs", "web", change)).toBe("weft vs label web env=prod note= old-");
    expect(labelCommand("node", "node-1", labelChange({}, {}))).toBe("weft node label node-1 KEY=VALUE");
  });
  it("are refused in words", () => {
    expect(parseLabels("env").problem).toContain("no value");
    expect(parseLabels("Env=x").problem).toContain("no key");
    expect(parseLabels(Array.from({ length: 33 }, (_, n) => `k${n}=`).join(",")).problem).toContain("At most 32");
  });
});

const vs = (name: string, state: string, desired = "stopped") => ({ name, state, desired }) as Vs;
const object = (name: string, state: string, running?: [string, string]): Plan["objects"][number] => ({
  name, state, kind: "vs", id: name,
  fields: running ? [{ field: "running", before: running[0], after: running[1], changed: running[0] !== running[1], derived: false }] : [],
});
const plan = (objects: Plan["objects"], conflicts: Conflict[] = []): Plan =>
  ({ name: "", state: "planned", transaction: 0, undoes: 0, lost: "", undo: "", reason: "", objects, effects: [], conflicts });

describe("several servers", () => {
  it("are chosen and left out again", () => {
    const one = toggled(new Set(), "a");
    expect([...toggled(one, "b")]).toEqual(["a", "b"]);
    expect([...toggled(one, "a")]).toEqual([]);
  });
  it("can be started where one does not run, stopped where one runs, deleted where none does", () => {
    const [on, off, away] = [vs("on", "running"), vs("off", "off"), vs("away", "unknown", "running")];
    expect([on, off, away].map(isAlive)).toEqual([true, false, true]);
    expect(obstacleTo("start", [on, off])).toBe("");
    expect(obstacleTo("start", [on, away])).toBe("All of them run");
    expect(obstacleTo("stop", [off])).toBe("None of them runs");
    expect(obstacleTo("delete", [off])).toBe("");
    expect(obstacleTo("delete", [on, off, away])).toBe("Stop first: on, away");
    expect(obstacleTo("start", Array<Vs>(1001).fill(off))).toContain("At most 1000");
  });
  it("have a result each", () => {
    const objects = [object("a", "changed", ["false", "true"]), object("b", "changed", ["true", "false"]), object("c", "deleted"), object("d", "changed", ["true", "true"])];
    const texts = results(["d", "c", "b", "a", "e"], plan(objects)).map(({ name, text }) => `${name} ${text}`);
    expect(texts).toEqual(["d started afresh", "c deleted", "b powered off", "a started", "e as it was"]);
  });
  it("are all left alone where one refuses", () => {
    const conflict: Conflict = { kind: "vs", name: "b", field: "", transaction: 0, text: "b is stopped; start it" };
    expect(results(["a", "b"], plan([], [conflict]))).toEqual([
      { name: "a", text: "not touched, as others are in the way", bad: false },
      { name: "b", text: "b is stopped; start it", bad: true },
    ]);
  });
});

describe("the bar", () => {
  const none = () => undefined;
  const bar = (chosen: Vs[], shown: Vs[]) => renderToStaticMarkup(createElement(GroupBar, { shown, chosen, onAll: none, onAction: none }));
  const [on, off] = [vs("on", "running"), vs("off", "stopped")];
  it("offers nothing until something is chosen", () => {
    const text = bar([], [on, off]);
    expect(text).toContain('role="group" aria-label="Chosen servers"');
    expect(text).toContain("none selected");
    expect(text).not.toContain("<button");
  });
  it("names each button for a screen reader, and says why one cannot be pressed", () => {
    const text = bar([on], [on, off]);
    expect(text).toContain('aria-checked="mixed"');
    expect(text).toContain("1 of 2 selected");
    for (const name of ["Start 1 selected", "Stop 1 selected", "Delete 1 selected"]) expect(text).toContain(`aria-label="${name}"`);
    expect(text).toMatch(/<button[^>]*disabled=""[^>]*title="Stop first: on"/);
    expect(bar([on, off], [on, off])).toContain('checked=""');
  });
  it("is followed by what became of each, and where it can be undone", () => {
    const text = renderToStaticMarkup(createElement(GroupResult, { done: { action: "stop", results: [{ name: "on", text: "powered off", bad: false }], transaction: 7 }, onDismiss: none }));
    expect(text).toContain('role="status"');
    expect(text).toContain('href="#/history/7"');
    expect(text).toMatch(/on<\/b>.*powered off/);
    expect(renderToStaticMarkup(createElement(ResultList, { results: [{ name: "a", text: "<b>", bad: true }], label: "x" }))).toContain("&lt;b&gt;");
  });
});
