/**
 * A console's WebSocket with reconnection. The appliance sends the history first on every attachment, so the screen is
 * cleared before each one.
 */
import { Backoff } from "./backoff";

export type LinkState = "connecting" | "open" | "waiting" | "closed";

export interface Socket {
  binaryType: string;
  readyState: number;
  onopen: ((event: never) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(): void;
}

export interface LinkEvents {
  clear(): void;
  output(bytes: Uint8Array): void;
  state(state: LinkState, reason: string): void;
}

const OPEN = 1;
/** A long paste goes in pieces: the appliance refuses frames above 64 KiB. */
const PIECE = 16 * 1024;

export class TerminalLink {
  #socket: Socket | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;
  readonly #connect: () => Socket;
  readonly #events: LinkEvents;
  readonly #backoff: Backoff;
  readonly #encoder = new TextEncoder();

  constructor(connect: () => Socket, events: LinkEvents, backoff = new Backoff()) {
    this.#connect = connect;
    this.#events = events;
    this.#backoff = backoff;
    this.#attach();
  }

  /** What was typed; dropped while there is no connection, as a pulled cable would. Says whether it was sent. */
  send(text: string): boolean {
    if (this.#socket?.readyState !== OPEN) return false;
    const bytes = this.#encoder.encode(text);
    for (let at = 0; at < bytes.length; at += PIECE) this.#socket.send(bytes.slice(at, at + PIECE));
    return true;
  }

  /** Tries at once, where it was waiting. */
  retry(): void {
    if (this.#socket || this.#ended) return;
    clearTimeout(this.#timer);
    this.#attach();
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#socket = null;
    this.#events.state("closed", "");
  }

  #attach(): void {
    this.#events.state("connecting", "");
    const socket = this.#connect();
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.onopen = () => {
      this.#backoff.reset();
      this.#events.clear();
      this.#events.state("open", "");
    };
    socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) this.#events.output(new Uint8Array(data));
      else if (typeof data === "string") this.#events.output(this.#encoder.encode(data));
    };
    socket.onclose = ({ reason }) => {
      if (this.#ended || this.#socket !== socket) return;
      this.#socket = null;
      this.#events.state("waiting", reason);
      this.#timer = setTimeout(() => this.#attach(), this.#backoff.pause());
    };
  }
}
