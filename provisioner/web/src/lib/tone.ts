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
  off: "idle",
  failed: "bad",
  unknown: "warn",
  // images
  active: "ok",
  published: "idle",
  revoked: "bad",
  expired: "warn",
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
