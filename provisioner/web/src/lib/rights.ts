/** What the caller may do: questions of all parts of the page, asked together and kept for a while. */
import type { Answer, Question } from "../api/types";

/** Questions of one call; the appliance takes no more. */
export const MOST = 200;
/** An answer is asked for again after this time. */
export const STALE_MS = 30_000;
/** Questions that are kept: a page of very many servers asks for those it shows. */
const KEPT = 2_000;

interface Entry {
  question: Question;
  answer: Answer | null;
  at: number;
}

const keyOf = ({ verb, kind, name }: Question) => `${verb} ${kind} ${name ?? ""}`;

export class Rights {
  private readonly entries = new Map<string, Entry>();
  private readonly waiting = new Set<string>();
  private readonly listeners = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Grows with each answer. */
  version = 0;

  constructor(private readonly send: (questions: Question[]) => Promise<Answer[]>) {}

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** The answer, if it is known; one that is old is asked for again meanwhile. */
  answer(question: Question, now = Date.now()): Answer | null {
    const key = keyOf(question);
    const entry = this.entries.get(key);
    if (!entry || now - entry.at > STALE_MS) this.want(key, question);
    return entry?.answer ?? null;
  }

  /** All is asked for again: roles or policies changed. */
  refresh(): void {
    for (const [key, { question }] of this.entries) this.want(key, question);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.listeners.clear();
  }

  private want(key: string, question: Question): void {
    if (this.waiting.has(key)) return;
    if (!this.entries.has(key)) {
      if (this.entries.size >= KEPT) this.entries.delete(this.entries.keys().next().value as string);
      this.entries.set(key, { question, answer: null, at: 0 });
    }
    this.waiting.add(key);
    this.timer ??= setTimeout(() => void this.ask(), 20);
  }

  private async ask(): Promise<void> {
    this.timer = undefined;
    const keys = [...this.waiting].slice(0, MOST);
    const questions = keys.flatMap((key) => this.entries.get(key)?.question ?? []);
    // Where nobody answers, the appliance itself refuses what may not be done.
    const answers = questions.length === 0 ? [] : await this.send(questions).catch(() => []);
    keys.forEach((key) => this.waiting.delete(key));
    answers.forEach((answer, place) => {
      const question = questions[place];
      if (question) this.entries.set(keyOf(question), { question, answer, at: Date.now() });
    });
    if (this.waiting.size > 0) this.timer ??= setTimeout(() => void this.ask(), 20);
    if (answers.length === 0) return;
    this.version += 1;
    this.listeners.forEach((listener) => listener());
  }
}

/** Why the caller may not, for a button's title; empty where it may, or where that is not known yet. */
export function whyNot(answer: Answer | null): string {
  if (answer?.state !== "refused") return "";
  const roles = answer.roles.length === 0 ? "" : `; it takes the role ${answer.roles.join(" or ")}`;
  return `You may not: ${answer.reason}${roles}`;
}
