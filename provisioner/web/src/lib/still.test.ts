import { expect, test, vi } from "vitest";
import { Kept } from "./kept";
import { Still } from "./still";

test("what comes while something is dragged waits for its end, and one look follows", async () => {
  const still = new Still();
  const look = vi.fn();
  const stop = still.subscribe(look);
  await still.over();
  still.end();
  expect(look).not.toHaveBeenCalled();
  still.begin();
  let came = false;
  const answer = still.over().then(() => void (came = true));
  await Promise.resolve();
  expect([still.held, came]).toEqual([true, false]);
  still.end();
  still.end();
  await answer;
  expect([still.held, came]).toEqual([false, true]);
  expect(look).toHaveBeenCalledTimes(1);
  stop();
  still.begin();
  still.end();
  expect(look).toHaveBeenCalledTimes(1);
});

test("an answer that is as it was is the same object", () => {
  const kept = new Kept<{ n: number }[]>();
  const parse = vi.spyOn(JSON, "parse");
  const first = kept.take('[{"n":1}]');
  expect(kept.take('[{"n":1}]')).toBe(first);
  expect(parse).toHaveBeenCalledTimes(1);
  expect(kept.take('[{"n":2}]')).toEqual([{ n: 2 }]);
  expect(() => kept.take("[{")).toThrow(SyntaxError);
  expect(kept.take('[{"n":2}]')).toEqual([{ n: 2 }]);
  parse.mockRestore();
});
