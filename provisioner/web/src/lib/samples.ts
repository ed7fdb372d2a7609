/** The last minutes of each node's figures, kept by the page for its charts. */
import type { Node } from "../api/types";

export interface Sample {
  /** Seconds since 1970. */
  at: number;
  busy: number;
  /** Null where there is nothing to compare with. */
  exitsPerSecond: number | null;
  monitorMib: number;
  guestMib: number;
}

const KEEP = 300;
/** Looks closer together than this (after an event, say) would make rates out of noise. */
const LEAST_S = 0.9;

interface Kept {
  exits: number;
  at: number;
  samples: Sample[];
}

export class Samples {
  readonly #nodes = new Map<string, Kept>();

  /** Takes one look at all nodes; forgets nodes that are gone. */
  take(nodes: readonly Node[], at: number): void {
    const names = new Set(nodes.map(({ name }) => name));
    for (const name of this.#nodes.keys()) if (!names.has(name)) this.#nodes.delete(name);
    for (const node of nodes) {
      const kept = this.#nodes.get(node.name);
      const elapsed = kept ? at - kept.at : 0;
      if (kept && elapsed < LEAST_S) continue;
      // A counter that fell means that the node restarted: no rate, not a negative one.
      const grown = kept ? node.exits - kept.exits : 0;
      const sample: Sample = {
        at,
        busy: node.busy_permille / 10,
        exitsPerSecond: elapsed > 0 && grown >= 0 ? grown / elapsed : null,
        monitorMib: node.monitor_kib / 1024,
        guestMib: node.guest_kib / 1024,
      };
      this.#nodes.set(node.name, { exits: node.exits, at, samples: [...(kept?.samples ?? []), sample].slice(-KEEP) });
    }
  }

  of(name: string): readonly Sample[] {
    return this.#nodes.get(name)?.samples ?? [];
  }
}
