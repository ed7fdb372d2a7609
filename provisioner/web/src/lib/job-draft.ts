/** A job that is put together on the page: ordered steps about servers and partitions, as the interface takes them. */
import type { JobCreate, JobStepCreate } from "../api/types";
import { parseLabels } from "./selector";

export const ACTIONS = ["vs stop", "vs start", "vs reset", "vs move", "vs label", "vs delete", "partition create", "partition delete"] as const;
export type StepAction = (typeof ACTIONS)[number];

/** Most steps of a job. */
export const MOST_STEPS = 64;

export interface Step {
  key: number;
  action: StepAction;
  /** Servers; for `partition create` the nodes. */
  names: readonly string[];
  /** For `vs move`. */
  node: string;
  /** For `vs label`, as typed. */
  labels: string;
  /** For `partition create` and `partition delete`. */
  partition: string;
}

export function newStep(key: number, names: readonly string[]): Step {
  return { key, action: "vs stop", names, node: "", labels: "", partition: "" };
}

/** Whether a step is about servers. */
export function ofServers(action: StepAction): boolean {
  return action.startsWith("vs ");
}

/** What is missing in a step; empty where nothing is. */
export function missing(step: Step): string {
  if (step.action === "partition delete") return step.partition === "" ? "Which partition?" : "";
  if (step.names.length === 0) return step.action === "partition create" ? "Choose its nodes" : "Choose servers";
  switch (step.action) {
    case "partition create":
      return /^[A-Za-z0-9-]{1,63}$/.test(step.partition) ? "" : "Its name: 1 to 63 letters, digits, -";
    case "vs move":
      return step.node === "" ? "Which node?" : "";
    case "vs label": {
      const { labels, problem } = parseLabels(step.labels);
      return problem !== "" ? problem : Object.keys(labels).length === 0 ? "Which labels? key=value" : "";
    }
    default:
      return "";
  }
}

function stepOf(step: Step): JobStepCreate {
  switch (step.action) {
    case "partition create":
      return { action: step.action, partition: { name: step.partition, nodes: [...step.names] } };
    case "partition delete":
      return { action: step.action, names: [step.partition] };
    case "vs move":
      return { action: step.action, names: [...step.names], node: step.node };
    case "vs label":
      return { action: step.action, names: [...step.names], labels: { set: parseLabels(step.labels).labels, remove: [] } };
    default:
      return { action: step.action, names: [...step.names] };
  }
}

/** The job; null where a step is not whole. */
export function jobOf(name: string, timeout: number, steps: readonly Step[]): JobCreate | null {
  if (steps.length === 0 || steps.length > MOST_STEPS || steps.some((step) => missing(step) !== "")) return null;
  return { name: name.trim(), timeout_s: timeout, steps: steps.map(stepOf) };
}

/** With a step moved up (-1) or down (1) by one place. */
export function shifted(steps: readonly Step[], key: number, by: -1 | 1): Step[] {
  const next = [...steps];
  const from = next.findIndex((step) => step.key === key);
  const to = from + by;
  const [one, other] = [next[from], next[to]];
  if (one && other) {
    next[from] = other;
    next[to] = one;
  }
  return next;
}

/** The file that `weft job run -f` takes: JSON is YAML. */
export function jobFile(job: JobCreate): string {
  return JSON.stringify(job, null, 2);
}
