/** Several objects at once, whatever they are: the bar over their list, the dialog of a change with its plan, and what became of each. */
import { useEffect, useRef, useState } from "react";
import type { ReactNode } from "react";
import type { ObjectChange, Plan } from "../api/types";
import { counted, results, toggled } from "../lib/group";
import type { Kind, Result } from "../lib/group";
import { href } from "../lib/route";
import { parseLabelChange } from "../lib/selector";
import type { Labels } from "../lib/selector";
import { useWhyNot } from "../state/rights";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";
import { Dialog } from "./dialog";
import { Icon } from "./icons";
import { Field, Loading, Refusal } from "./parts";
import { PlanDetails, usePlan } from "./plan";

/** What can be done with several. */
export interface Verb<A extends string> {
  action: A;
  /** On the button of the bar, and what the dialog is called. */
  word: string;
  /** On the button that does it, where that is another word. */
  button?: string;
  done: string;
  icon: string;
  danger?: boolean;
}

/** Which of a list are chosen. What is not shown is not acted on. */
export function useChosen<T extends { name: string }>(shown: readonly T[]) {
  const [picked, setPicked] = useState<ReadonlySet<string>>(new Set());
  return {
    chosen: shown.filter(({ name }) => picked.has(name)),
    has: (name: string) => picked.has(name),
    pick: (name: string) => setPicked((now) => toggled(now, name)),
    all: (all: boolean) => setPicked(new Set(all ? shown.map(({ name }) => name) : [])),
  };
}

interface BarProps<A extends string> {
  kind: Kind;
  noun: string;
  verbs: readonly Verb<A>[];
  /** How many the list shows, and how many of them are chosen. */
  shown: number;
  chosen: number;
  /** Why something cannot be done with the chosen; empty where it can. */
  obstacle: (action: A) => string;
  onAll: (all: boolean) => void;
  onAction: (action: A) => void;
}

export function GroupBar<A extends string>({ kind, noun, verbs, shown, chosen, obstacle, onAll, onAction }: BarProps<A>) {
  const box = useRef<HTMLInputElement>(null);
  const all = shown > 0 && chosen === shown;
  const some = chosen > 0 && !all;
  useEffect(() => {
    if (box.current) box.current.indeterminate = some;
  }, [some]);
  return (
    <div className="group-bar" role="group" aria-label={`Chosen ${noun}s`}>
      <label className="check">
        <input ref={box} type="checkbox" checked={all} aria-checked={some ? "mixed" : all} disabled={shown === 0} onChange={() => onAll(!all)} />
        Select all
      </label>
      <span className="muted" role="status">
        {chosen === 0 ? "none selected" : `${chosen} of ${shown} selected`}
      </span>
      {chosen > 0 && verbs.map((verb) => <GroupButton key={verb.action} kind={kind} verb={verb} chosen={chosen} obstacle={obstacle(verb.action)} onAction={() => onAction(verb.action)} />)}
    </div>
  );
}

function GroupButton({ kind, verb, chosen, obstacle, onAction }: { kind: Kind; verb: Verb<string>; chosen: number; obstacle: string; onAction: () => void }) {
  const reason = useWhyNot(verb.action, kind) || obstacle;
  return (
    <button type="button" disabled={reason !== ""} title={reason} aria-label={`${verb.word} ${chosen} selected`} onClick={onAction}>
      <Icon name={verb.icon} />
      {verb.word}…
    </button>
  );
}

/** What became of several. */
export interface Done {
  action: string;
  noun: string;
  results: Result[];
  transaction: number;
}

interface DialogProps {
  kind: Kind;
  noun: string;
  verb: Verb<string>;
  /** Those of the moment when it was opened. */
  names: readonly string[];
  command: string;
  /** Makes the change, or only its plan; null while the form is not whole. */
  ask: ((dry: boolean) => Promise<Plan | null>) | null;
  /** All that is filled in, as a text: the plan is asked for anew when it changes. */
  filled: string;
  /** What becomes of one that changes. */
  word: (object: ObjectChange) => string;
  onDone: (done: Done) => void;
  onClose: () => void;
  children?: ReactNode;
}

/** Shows the plan before it is made; of one object too. */
export function GroupDialog({ kind, noun, verb, names, command, ask, filled, word, onDone, onClose, children }: DialogProps) {
  const { refresh } = useStore();
  const { tryTo } = useToasts();
  const { plan, problem } = usePlan(ask && (() => ask(true)), `${verb.action} ${names.join(" ")} ${filled} ${ask ? "whole" : ""}`);
  const [only] = names;
  const alone = names.length === 1 && only !== undefined;
  const who = alone ? only : counted(names.length, noun);
  return (
    <Dialog
      title={`${verb.word} ${who}`}
      command={command}
      action={verb.button ?? verb.word}
      danger={verb.danger ?? false}
      ready={ask !== null && plan?.state === "planned"}
      onAction={async () => {
        const refused = await tryTo(async () => {
          const made = await ask?.(false);
          if (made) onDone({ action: verb.action, noun, results: results(kind, names, made, word), transaction: made.transaction });
        }, alone ? `${who} is ${verb.done}.` : `${who} are ${verb.done}, in one transaction.`);
        await refresh();
        return refused;
      }}
      onClose={onClose}
    >
      {children}
      {problem ? <Refusal problem={problem} /> : plan ? <Preview kind={kind} names={names} plan={plan} word={word} /> : ask && <Loading />}
    </Dialog>
  );
}

/** Effects that are shown unasked. */
const FEW = 8;

function Preview({ kind, names, plan, word }: Pick<DialogProps, "kind" | "names" | "word"> & { plan: Plan }) {
  // What is in the way of all of them together has the name of none.
  const common = plan.conflicts.filter(({ name }) => !names.includes(name));
  return (
    <section className="plan" aria-label="Plan">
      {plan.state === "conflict" && (
        <p className="note warn" role="alert">
          Nothing would be changed: choose without those that refuse, or clear what is in their way.
        </p>
      )}
      {common.map(({ text }) => (
        <p key={text} className="note warn" role="alert">
          {text}
        </p>
      ))}
      {plan.state === "nothing" && <p className="note">All of them are so already.</p>}
      <ResultList results={results(kind, names, plan, word)} label="What becomes of each" />
      {plan.effects.length > 0 && (
        <details open={plan.effects.length <= FEW}>
          <summary>What nodes do</summary>
          <ul>
            {plan.effects.map((effect) => (
              <li key={effect}>{effect}</li>
            ))}
          </ul>
        </details>
      )}
      <PlanDetails plan={plan} />
      {plan.reason !== "" && <p className="muted">An undo gives back all but this: {plan.reason}.</p>}
    </section>
  );
}

export function ResultList({ results: list, label }: { results: readonly Result[]; label: string }) {
  return (
    <ul className="results" aria-label={label}>
      {list.map(({ name, text, bad }) => (
        <li key={name}>
          <b className="break">{name}</b> <span className={bad ? "bad-text" : "muted"}>{text}</span>
        </li>
      ))}
    </ul>
  );
}

/** What became of each, until it is dismissed. */
export function GroupResult({ done, onDismiss }: { done: Done; onDismiss: () => void }) {
  return (
    <section className="panel" aria-label={`Result of ${done.action}`} role="status">
      <ResultList results={done.results} label={`Result of ${done.action} for each ${done.noun}`} />
      <div className="actions">
        {done.transaction > 0 && <a href={href({ page: "transaction", number: done.transaction })}>Transaction {done.transaction}, where it can be undone</a>}
        <button type="button" className="quiet small" onClick={onDismiss} aria-label="Dismiss the result">
          Dismiss
        </button>
      </div>
    </section>
  );
}

/** A change of labels, as it is typed. */
export function useLabelChange() {
  const [text, setText] = useState("");
  const { change, problem } = parseLabelChange(text);
  const empty = Object.keys(change.set).length + change.remove.length === 0;
  return { text, setText, change, problem, whole: problem === "" && !empty };
}

interface LabelsProps {
  typed: ReturnType<typeof useLabelChange>;
  /** Labels of those that were chosen. */
  labels: readonly (Labels | undefined)[];
}

export function LabelChangeField({ typed, labels }: LabelsProps) {
  const keys = [...new Set(labels.flatMap((one) => Object.keys(one ?? {})))].sort();
  const theirs = keys.length === 0 ? "They have none." : `Theirs: ${keys.slice(0, 8).join(", ")}${keys.length > 8 ? "…" : ""}.`;
  return (
    <Field label="Labels" hint={`key=value to have it, key- to have it no more; others stay. ${theirs}`} error={typed.problem === "" ? undefined : typed.problem}>
      {(id, note) => <input id={id} aria-describedby={note} className="mono" autoFocus spellCheck={false} autoComplete="off" value={typed.text} onChange={(event) => typed.setText(event.target.value)} />}
    </Field>
  );
}

interface SelectorProps {
  /** Says what is wrong. */
  problem: string;
  selector: string;
  onSelector: (selector: string) => void;
}

/** A field for labels that choose from a list. */
export function SelectorField({ problem, selector, onSelector }: SelectorProps) {
  return <input type="search" className="mono" placeholder="env=prod,!old" aria-label="Select by labels" aria-invalid={problem !== ""} aria-describedby="selector-note" spellCheck={false} value={selector} onChange={(event) => onSelector(event.target.value)} />;
}

/** What is wrong with it; a screen reader is told when that changes. */
export function SelectorNote({ problem }: { problem: string }) {
  return (
    <p id="selector-note" className={problem === "" ? "sr-only" : "note bad"} role="status">
      {problem}
    </p>
  );
}
