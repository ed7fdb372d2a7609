import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Throttle } from "./throttle";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("what is asked for all the time is done now and then, and neither each time nor never", () => {
  const act = vi.fn();
  const throttle = new Throttle(500, act);
  for (let asked = 0; asked < 30; asked += 1) {
    throttle.ask();
    vi.advanceTimersByTime(100);
  }
  expect(act).toHaveBeenCalledTimes(6);
  throttle.ask();
  throttle.stop();
  vi.advanceTimersByTime(1000);
  expect(act).toHaveBeenCalledTimes(6);
});
