/** States as tones. Every tone has a word beside it on the page: colour alone tells nothing. */

export type Tone = "ok" | "busy" | "warn" | "bad" | "idle";

const TONES: Record<string, Tone> = {
  // nodes
  booting: "busy",
  quarantined: "warn",
  approved: "idle",
  ready: "ok",
  lost: "bad",
  conflict: "bad",
  // virtual servers
  stopped: "idle",
  starting: "busy",
  fetching: "busy",
  running: "ok",
  on: "ok",
  off: "idle",
  failed: "bad",
  unknown: "warn",
  // data centers, virtual mainframes, frames
  empty: "idle",
  "in-use": "ok",
  // partitions
  forming: "busy",
  whole: "ok",
  degraded: "warn",
  minority: "bad",
  defined: "idle",
  // pools, licences, templates
  low: "warn",
  exhausted: "bad",
  valid: "ok",
  "not-yet": "idle",
  incomplete: "warn",
  // networks: what is kept and has no effect yet is never shown as if it had
  applied: "ok",
  "not applied": "warn",
  up: "ok",
  "no link": "warn",
  // images
  active: "ok",
  published: "idle",
  revoked: "bad",
  expired: "warn",
  // transactions, plans, and what becomes of objects
  done: "ok",
  undone: "idle",
  // rollouts
  draining: "busy",
  restarting: "busy",
  paused: "warn",
  aborted: "idle",
  planned: "busy",
  nothing: "idle",
  irreversible: "warn",
  created: "ok",
  changed: "busy",
  deleted: "bad",
  // drift
  held: "bad",
  // jobs and their steps
  waiting: "idle",
  undoing: "busy",
  stuck: "bad",
  skipped: "warn",
  abandoned: "warn",
  // events and findings
  debug: "idle",
  info: "idle",
  warn: "warn",
  error: "bad",
  ok: "ok",
  fail: "bad",
};

export function tone(state: string): Tone {
  return TONES[state] ?? "idle";
}
