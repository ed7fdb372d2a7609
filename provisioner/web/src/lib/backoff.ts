/** Pauses between tries: doubling from half a second to ten, with a quarter of chance so that pages spread. */
export class Backoff {
  #next = 500;
  readonly #random: () => number;
  constructor(random: () => number = Math.random) {
    this.#random = random;
  }
  /** Milliseconds to wait before the next try. */
  pause(): number {
    const pause = this.#next * (1 + this.#random() / 4);
    this.#next = Math.min(this.#next * 2, 10_000);
    return Math.round(pause);
  }
  reset(): void {
    this.#next = 500;
  }
}
