/** Many requests to do something become few: it is done `pause` after the first, and later ones until then join it. */
export class Throttle {
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #pause: number;
  readonly #act: () => void;

  constructor(pause: number, act: () => void) {
    this.#pause = pause;
    this.#act = act;
  }

  ask(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#act();
    }, this.#pause);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
