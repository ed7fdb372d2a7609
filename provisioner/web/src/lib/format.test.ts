import { describe, expect, it } from "vitest";
import { ago, bytes, clock, count, memory, shortDigest, span } from "./format";

describe("figures", () => {
  it("writes memory in the unit of its size", () => {
    expect([0, 512, 1024, 1536, 524_288, 1_572_864, 402_653_184].map(memory)).toEqual(["–", "512 KiB", "1 MiB", "1.5 MiB", "512 MiB", "1.5 GiB", "384 GiB"]);
    expect([0, 1023, 900_000].map(bytes)).toEqual(["0 B", "1023 B", "879 KiB"]);
  });
  it("writes spans with the precision that matters", () => {
    expect([0, 999, 1000, 61_000, 7_200_000, 260_000_000].map(span)).toEqual(["0 ms", "999 ms", "1.0 s", "1 min 1 s", "2 h 0 min", "3 d 0 h"]);
  });
  it("shortens large counts", () => {
    expect([0, 9999, 12_345, 1_234_567, 5_000_000_000].map(count)).toEqual(["0", "9999", "12.3 k", "1.2 M", "5 G"]);
  });
  it("shortens digests, and shows that there is none", () => {
    expect(shortDigest("")).toBe("–");
    expect(shortDigest("ab".repeat(32))).toBe("abababababab");
  });
});

describe("times", () => {
  const now = Date.parse("2026-11-21T12:00:00Z");
  it("says how long ago, never in the future", () => {
    const before = (seconds: number) => new Date(now - seconds * 1000).toISOString();
    expect([0, 30, 600, 7200, 400_000, -60].map((seconds) => ago(before(seconds), now))).toEqual(["now", "30 s ago", "10 min ago", "2 h ago", "4 d ago", "now"]);
  });
  it("passes on what is not a time", () => {
    expect(ago("", now)).toBe("never");
    expect(ago("soon", now)).toBe("soon");
    expect(clock("soon", now)).toBe("soon");
  });
  it("adds the date to times of other days", () => {
    expect(clock("2026-11-21T12:00:00Z", now)).toMatch(/^\d\d:\d\d:\d\d$/);
    expect(clock("2026-11-01T12:00:00Z", now)).toMatch(/^2026-11-01 \d\d:\d\d:\d\d$/);
  });
});
