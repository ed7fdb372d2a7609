/** An answer as it was last read: the same text is the same object, and is not parsed again. */
export class Kept<T> {
  #text: string | null = null;
  #value: T | null = null;

  take(text: string): T {
    if (text !== this.#text || this.#value === null) {
      this.#value = JSON.parse(text) as T;
      this.#text = text;
    }
    return this.#value;
  }
}
