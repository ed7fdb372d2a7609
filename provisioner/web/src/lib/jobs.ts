/** What a job's page says, and what can be done with it. */
import type { Job, JobStep } from "../api/types";

/** Jobs asked for at once. */
export const PAGE = 50;

export function pageQuery(before?: number): URLSearchParams {
  const query = new URLSearchParams({ limit: String(PAGE) });
  if (before !== undefined) query.set("before", String(before));
  return query;
}

/** States of a job that is not on its way back; the last two are of rollouts. */
const FORWARD = ["running", "done", "paused", "stopped"];

/** How much of it is behind it, from 0 to 1: steps done, or, on the way back, steps undone. */
export function progress({ state, steps }: Job): number {
  if (steps.length === 0) return 0;
  const back = !FORWARD.includes(state);
  // What was never begun has no way back.
  const counted = back ? steps.filter((step) => step.state !== "waiting") : steps;
  const behind = counted.filter((step) => (back ? step.state === "undone" || step.state === "skipped" : step.state === "done"));
  return counted.length === 0 ? 1 : behind.length / counted.length;
}

export function progressWords(job: Job): string {
  const back = job.steps.filter(({ state }) => state === "undone" || state === "skipped").length;
  if (FORWARD.includes(job.state)) return `${job.done} of ${job.steps.length} steps done`;
  return `${back} of ${job.steps.filter(({ state }) => state !== "waiting").length} steps undone`;
}

/** The step that a person must decide on. */
export function stuckStep(job: Job): JobStep | undefined {
  return job.state === "stuck" ? job.steps.find(({ state }) => state === "stuck") : undefined;
}

export function objectsOf({ objects }: JobStep): string {
  const shown = objects.slice(0, 4).join(", ");
  return objects.length > 4 ? `${shown} and ${objects.length - 4} more` : shown;
}

/** Jobs by number, newest first; those that were looked at last count. */
export function joined(known: readonly Job[], fresh: readonly Job[]): Job[] {
  const all = new Map(known.map((job) => [job.number, job]));
  for (const job of fresh) all.set(job.number, job);
  return [...all.values()].sort((a, b) => b.number - a.number);
}
