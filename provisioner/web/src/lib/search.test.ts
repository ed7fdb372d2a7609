import { expect, test } from "vitest";
import type { WeftEvent } from "../api/types";
import { NOTHING, PAGE, merged, searchCommand, searchQuery, utc } from "./search";

const event = (seq: number) => ({ seq }) as WeftEvent;

test("only what is said is asked for", () => {
  expect(searchQuery(NOTHING).toString()).toBe(`limit=${PAGE}`);
  const search = { ...NOTHING, grep: " out of memory ", kind: "vs.", state: "warn" };
  expect(searchQuery(search, 7).toString()).toBe(`limit=${PAGE}&grep=out+of+memory&kind=vs.&state=warn&before=7`);
  expect(searchCommand(search)).toBe("weft event list --grep 'out of memory' --kind vs. --state warn");
});

test("local times become UTC, and what is no time is left out", () => {
  expect(utc("")).toBe("");
  expect(utc("nonsense")).toBe("");
  expect(utc("2026-11-21T07:00")).toBe(new Date("2026-11-21T07:00").toISOString());
});

test("an older page goes before what is there, each event once", () => {
  expect(merged([event(5), event(6)], [event(3), event(5)]).map(({ seq }) => seq)).toEqual([3, 5, 6]);
});
