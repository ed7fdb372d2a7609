import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, it } from "vitest";
import cases from "../../../api/tests/selectors.json";
import type { Conflict, Plan, Vs } from "../api/types";
import { GroupResult, ResultList } from "../components/group";
import { ServerGroupBar } from "../pages/server-group";
import { labelCommand } from "./cli";
import { labelled, results, toggled } from "./group";
import { became, isAlive, obstacleTo, serverCommand } from "./selection";
import { labelChange, labelWords, matches, parseLabelChange, parseLabels, parseSelector, selected } from "./selector";

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
  it("leaves all where none is given, and none where it is wrong", () => {
    const all: { labels?: Record<string, string> }[] = [{ labels: { env: "prod" } }, {}];
    expect(selected("", all)).toEqual({ found: all, problem: "" });
    expect(selected("!env", all).found).toEqual([{}]);
    expect(selected("env=,", all)).toEqual({ found: [], problem: "A condition is empty." });
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
    expect(labelCommand("vs", ["web"], change)).toBe("weft vs label web env=prod note= old-");
    expect(labelCommand("node", ["node-1"], labelChange({}, {}))).toBe("weft node label node-1 KEY=VALUE");
  });
  it("of several become one change, which names what is given and what is taken", () => {
    const { change, problem } = parseLabelChange(" env=prod, note= old-  a-b- ");
    expect([change, problem]).toEqual([{ set: { env: "prod", note: "" }, remove: ["old", "a-b"] }, ""]);
    expect(serverCommand("label", ["a", "b"], "", change)).toBe("weft vs label a b env=prod note= old- a-b-");
    const fields = [["labels.env", "prod"], ["labels.old", ""], ["generation", "2"]].map(([field, after]) => ({ field: field ?? "", before: "x", after: after ?? "", changed: true, derived: false }));
    expect(labelled({ ...object("a", "changed"), fields }, change)).toBe("env=prod, without old");
    expect(parseLabelChange("").change).toEqual({ set: {}, remove: [] });
    expect(parseLabelChange("env").problem).toContain("neither");
    expect(parseLabelChange("-").problem).toContain("no key");
    expect(parseLabelChange("Env=x").problem).toContain("no key");
    expect(parseLabelChange("env=x env-").problem).toContain("given and taken");
    expect(parseLabelChange("env- env=x").problem).toContain("given and taken");
    expect(parseLabelChange(Array.from({ length: 33 }, (_, n) => `k${n}=`).join(" ")).problem).toContain("At most 32");
  });
  it("are refused in words", () => {
    expect(parseLabels("env").problem).toContain("no value");
    expect(parseLabels("Env=x").problem).toContain("no key");
    expect(parseLabels(Array.from({ length: 33 }, (_, n) => `k${n}=`).join(",")).problem).toContain("At most 32");
  });
});

const vs = (name: string, state: string, desired = "stopped") => ({ name, state, desired }) as Vs;
const object = (name: string, state: string): Plan["objects"][number] => ({ name, state, kind: "vs", id: name, fields: [] });
const plan = (objects: Plan["objects"], conflicts: Conflict[] = []): Plan =>
  ({ name: "", state: "planned", transaction: 0, undoes: 0, lost: "", undo: "", reason: "", objects, effects: [], conflicts });

describe("several servers", () => {
  it("are chosen and left out again", () => {
    const one = toggled(new Set(), "a");
    expect([...toggled(one, "b")]).toEqual(["a", "b"]);
    expect([...toggled(one, "a")]).toEqual([]);
  });
  it("can be started where one does not run, stopped where one runs, moved and deleted where none does", () => {
    const [on, off, away, wide] = [vs("on", "running"), vs("off", "off"), vs("away", "unknown", "running"), { ...vs("wide", "stopped"), partition: "p1" }];
    expect([on, off, away].map(isAlive)).toEqual([true, false, true]);
    expect(obstacleTo("start", [on, off])).toBe("");
    expect(obstacleTo("start", [on, away])).toBe("All of them run");
    expect(obstacleTo("stop", [off])).toBe("None of them runs");
    expect(obstacleTo("reset", [on, off, away])).toBe("These do not run: off, away");
    expect(obstacleTo("move", [off])).toBe("");
    expect(obstacleTo("move", [off, on])).toBe("Stop first: on");
    expect(obstacleTo("move", [off, wide])).toBe("These span nodes: wide");
    expect(obstacleTo("label", [on, off, wide])).toBe("");
    expect(obstacleTo("delete", [off])).toBe("");
    expect(obstacleTo("delete", [on, off, away])).toBe("Stop first: on, away");
    for (const action of ["start", "stop", "label"] as const) expect(obstacleTo(action, Array<Vs>(1001).fill(off))).toContain("At most 1000");
  });
  it("have the command that does the same", () => {
    const none = { set: {}, remove: [] };
    expect(serverCommand("reset", ["a", "b"], "", none)).toBe("weft vs reset a b");
    expect(serverCommand("move", ["a", "b"], "node-2", none)).toBe("weft vs move a b --node node-2");
    expect(serverCommand("move", ["a"], "", none)).toBe("weft vs move a --node NODE");
    expect(serverCommand("label", ["a"], "", none)).toBe("weft vs label a KEY=VALUE");
  });
  const moved = (one: Plan["objects"][number]) => became("move", one, "node-2", { set: {}, remove: [] });
  it("have a result each, in the order in which they were chosen", () => {
    const objects = [object("a", "changed"), object("b", "changed"), { ...object("e", "changed"), kind: "vnic" }];
    const texts = results("vs", ["b", "e", "a"], plan(objects), moved).map(({ name, text }) => `${name} ${text}`);
    expect(texts).toEqual(["b moved to node-2", "e as it was", "a moved to node-2"]);
  });
  it("are all left alone where one refuses", () => {
    const conflict: Conflict = { kind: "vs", name: "b", field: "", transaction: 0, text: "b is stopped; start it" };
    expect(results("vs", ["a", "b"], plan([], [conflict]), moved)).toEqual([
      { name: "a", text: "not touched, as others are in the way", bad: false },
      { name: "b", text: "b is stopped; start it", bad: true },
    ]);
  });
});

describe("the bar", () => {
  const none = () => undefined;
  const bar = (chosen: Vs[], shown: Vs[]) => renderToStaticMarkup(createElement(ServerGroupBar, { shown, chosen, onAll: none, onAction: none }));
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
    for (const name of ["Start 1 selected", "Stop 1 selected", "Reset 1 selected", "Move 1 selected", "Label 1 selected", "Delete 1 selected"]) expect(text).toContain(`aria-label="${name}"`);
    expect(text).toMatch(/<button[^>]*disabled=""[^>]*title="Stop first: on"/);
    expect(bar([on, off], [on, off])).toContain('checked=""');
  });
  it("is followed by what became of each, and where it can be undone", () => {
    const text = renderToStaticMarkup(createElement(GroupResult, { done: { action: "stop", noun: "server", results: [{ name: "on", text: "powered off", bad: false }], transaction: 7 }, onDismiss: none }));
    expect(text).toContain('role="status"');
    expect(text).toContain('href="#/history/7"');
    expect(text).toMatch(/on<\/b>.*powered off/);
    expect(renderToStaticMarkup(createElement(ResultList, { results: [{ name: "a", text: "<b>", bad: true }], label: "x" }))).toContain("&lt;b&gt;");
  });
});
