import { describe, expect, it } from "vitest";
import { bars, bytesPerSecond, CLASSES, duration, longestTrip, perSecond, regionWords, vcpuWords } from "./span";

describe("figures of a spanning server", () => {
  it("have times with the precision that matters", () => {
    expect([0, 350, 270_400, 1_540_000, 2e9].map(duration)).toEqual(["0 ns", "350 ns", "270 µs", "1.5 ms", "2.0 s"]);
  });
  it("have rates, or say that there are none", () => {
    expect([0, 0.4, 7, 123.4, 45_600].map(perSecond)).toEqual(["0 /s", "0.4 /s", "7 /s", "123 /s", "45.6 k /s"]);
    expect(perSecond(undefined)).toBe("–");
    expect([0, 500, 1_048_576].map(bytesPerSecond)).toEqual(["0 B/s", "500 B/s", "1 MiB/s"]);
    expect(bytesPerSecond(undefined)).toBe("–");
    expect(new Set(CLASSES.map(({ key }) => key)).size).toBe(CLASSES.length);
  });
  it("have a histogram whose least bar can be seen", () => {
    const histogram = bars({ buckets: [{ from_ns: 131_072, count: 1000 }, { from_ns: 262_144, count: 0 }, { from_ns: 524_288, count: 1 }] });
    expect(histogram.map(({ height }) => height)).toEqual([100, 0, 4]);
    expect(histogram[0]?.words).toBe("131 µs to 262 µs: 1000");
    expect(bars({ buckets: [] })).toEqual([]);
  });
  it("say where processors and pages are", () => {
    expect(vcpuWords({ vcpus: [{ vcpu: 0, cpu: 1 }, { vcpu: 1, cpu: 0 }] })).toBe("0 on CPU 1, 1 on CPU 0");
    expect(vcpuWords({ vcpus: [] })).toBe("none");
    expect(regionWords({ region: "low", node: "node-1" })).toBe("below 1 MiB of node-1");
    expect(regionWords({ region: "ram", node: "" })).toBe("memory");
    expect(regionWords({ region: "later", node: "" })).toBe("later");
  });
  it("take the longest round trip", () => {
    const link = { node: "n", frames_sent: 0, frames_received: 0, bytes_sent: 0, bytes_received: 0, retransmits: 0, timeouts: 0 };
    expect(longestTrip({ links: [{ ...link, rtt_ns: 5 }, { ...link, rtt_ns: null }, { ...link, rtt_ns: 9 }] })).toBe(9);
    expect(longestTrip({ links: [] })).toBe(null);
  });
});
