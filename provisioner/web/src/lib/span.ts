/** Figures of a server that spans nodes, for people. */
import type { SpanLatency, SpanNode, SpanPage, SpanRates } from "../api/types";
import { bytes, count } from "./format";

/** A time of nanoseconds: `350 ns`, `270 µs`, `1.5 ms`, `2.0 s`. */
export function duration(ns: number): string {
  if (ns < 1000) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${Math.round(ns / 1000)} µs`;
  if (ns < 1e9) return `${(ns / 1e6).toFixed(1)} ms`;
  return `${(ns / 1e9).toFixed(1)} s`;
}

/** So many each second; `–` where it is not known. */
export function perSecond(value: number | undefined): string {
  if (value === undefined) return "–";
  return `${value < 10 && value % 1 !== 0 ? value.toFixed(1) : count(value)} /s`;
}

export function bytesPerSecond(value: number | undefined): string {
  return value === undefined ? "–" : `${value < 1 ? "0 B" : bytes(Math.round(value))}/s`;
}

/** Classes of faults in the order in which they are shown. */
export const CLASSES: readonly { key: keyof SpanRates; label: string; hint: string }[] = [
  { key: "remote_read", label: "Read", hint: "read faults answered from elsewhere" },
  { key: "remote_write", label: "Write", hint: "write faults answered from elsewhere" },
  { key: "upgrade", label: "Upgrade", hint: "copies that were here and became writable" },
  { key: "zero", label: "Zeros", hint: "pages that came as nothing but zeros" },
  { key: "diff", label: "Changes", hint: "pages that came as changes" },
  { key: "whole", label: "Whole", hint: "pages that came as 4096 bytes" },
  { key: "prefetched", label: "Ahead", hint: "pages asked for ahead" },
  { key: "lost", label: "Taken", hint: "pages taken from here for others to write" },
];

/** The longest round trip to another node; a fault may need any of them. */
export function longestTrip(node: Pick<SpanNode, "links">): number | null {
  const trips = node.links.map(({ rtt_ns }) => rtt_ns).filter((rtt) => typeof rtt === "number");
  return trips.length === 0 ? null : Math.max(...trips);
}

export interface BarOf {
  /** Percent of the highest. */
  height: number;
  words: string;
}

/** Bars of a histogram: the highest is 100, and one that is not empty can be seen. */
export function bars({ buckets }: Pick<SpanLatency, "buckets">): BarOf[] {
  const most = Math.max(1, ...buckets.map(({ count }) => count));
  return buckets.map(({ from_ns, count: faults }) => ({
    height: faults === 0 ? 0 : Math.max(4, Math.round((100 * faults) / most)),
    words: `${duration(from_ns)} to ${duration(2 * from_ns)}: ${count(faults)}`,
  }));
}

/** `0 on CPU 1, 1 on CPU 0`. */
export function vcpuWords(node: Pick<SpanNode, "vcpus">): string {
  return node.vcpus.length === 0 ? "none" : node.vcpus.map(({ vcpu, cpu }) => `${vcpu} on CPU ${cpu}`).join(", ");
}

export function regionWords(page: Pick<SpanPage, "region" | "node">): string {
  const what = { low: "below 1 MiB", kernel: "kernel image", ram: "memory" }[page.region] ?? page.region;
  return page.node === "" ? what : `${what} of ${page.node}`;
}
