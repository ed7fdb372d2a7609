/** Reads rest while something is dragged: what is drawn must not change under the pointer, and costs frames. */
export class Still {
  #held = false;
  #waiting: (() => void)[] = [];
  readonly #listeners = new Set<() => void>();

  get held(): boolean {
    return this.#held;
  }

  begin(): void {
    this.#held = true;
  }

  /** Whoever waits goes on, and whoever listens looks once. Without a beginning it does nothing. */
  end(): void {
    if (!this.#held) return;
    this.#held = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
    for (const listener of this.#listeners) listener();
  }

  /** An answer that comes meanwhile waits here; without a drag it does not wait. */
  async over(): Promise<void> {
    while (this.#held) await new Promise<void>((go) => void this.#waiting.push(go));
  }

  /** `look` is called at each end. */
  subscribe(look: () => void): () => void {
    this.#listeners.add(look);
    return () => void this.#listeners.delete(look);
  }
}

/** That of the page. */
export const still = new Still();
