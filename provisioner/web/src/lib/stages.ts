/** Boot stages: their order, their words, and the bars drawn from them. */
import type { BootStage } from "../api/types";

/** In the order in which a node passes them. */
export const STAGES = [
  "dhcp",
  "fetch",
  "entry",
  "verified",
  "started",
  "processors",
  "network",
  "delegation",
  "channel",
] as const;

const WORDS: Record<string, string> = {
  dhcp: "asked for an address",
  fetch: "fetched the image",
  entry: "entered the image",
  verified: "signatures verified",
  started: "monitor started",
  processors: "processors up",
  network: "network up",
  delegation: "delegation accepted",
  channel: "secure channel",
};

export function stageWords(stage: string): string {
  return WORDS[stage] ?? stage;
}

/** Place in the order; unknown stages come last. */
export function stageIndex(stage: string): number {
  const index = (STAGES as readonly string[]).indexOf(stage);
  return index < 0 ? STAGES.length : index;
}

export interface Segment {
  stage: string;
  /** From the stage before, to this one. */
  ms: number;
  /** When it was reached, since the first. */
  at: number;
}

/** The time that each stage took. A clock that stepped back yields zero, never a negative bar. */
export function segments(stages: BootStage[]): Segment[] {
  let before = 0;
  return stages.map(({ stage, since_first_ms }) => {
    const at = Math.max(since_first_ms, before);
    const segment = { stage, ms: at - before, at };
    before = at;
    return segment;
  });
}

export function totalMs(stages: BootStage[]): number {
  return segments(stages).at(-1)?.at ?? 0;
}

export interface Progress {
  reached: number;
  of: number;
  last: string;
  done: boolean;
}

export function progress(stages: BootStage[]): Progress {
  const reached = stages.reduce((most, { stage }) => Math.max(most, Math.min(stageIndex(stage), STAGES.length - 1) + 1), 0);
  return { reached, of: STAGES.length, last: stages.at(-1)?.stage ?? "", done: reached === STAGES.length };
}

/** A round number of milliseconds a little above `ms`, for the end of an axis. */
export function axisEnd(ms: number): number {
  if (ms <= 0) return 1000;
  const step = 10 ** Math.floor(Math.log10(ms));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * step).find((end) => end >= ms) ?? ms;
}
