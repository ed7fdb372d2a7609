/** Several virtual servers at once: the bar over the list, the dialog of a change, and what became of each. */
import { useEffect, useRef, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Plan, Problem, Vs } from "../api/types";
import { Dialog } from "../components/dialog";
import { Icon } from "../components/icons";
import { Loading } from "../components/parts";
import { command } from "../lib/cli";
import { href } from "../lib/route";
import { obstacleTo, results } from "../lib/selection";
import type { Action, Result } from "../lib/selection";
import { useWhyNot } from "../state/rights";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";

const ACTIONS: readonly { action: Action; word: string; icon: string }[] = [
  { action: "start", word: "Start", icon: "play" },
  { action: "stop", word: "Stop", icon: "stop" },
  { action: "delete", word: "Delete", icon: "trash" },
];

interface BarProps {
  /** Servers that the list shows, and those of them that are chosen. */
  shown: readonly Vs[];
  chosen: readonly Vs[];
  onAll: (all: boolean) => void;
  onAction: (action: Action) => void;
}

export function GroupBar({ shown, chosen, onAll, onAction }: BarProps) {
  const box = useRef<HTMLInputElement>(null);
  const noRight = { start: useWhyNot("start", "vs"), stop: useWhyNot("stop", "vs"), delete: useWhyNot("delete", "vs") };
  const all = shown.length > 0 && chosen.length === shown.length;
  const some = chosen.length > 0 && !all;
  useEffect(() => {
    if (box.current) box.current.indeterminate = some;
  }, [some]);
  return (
    <div className="group-bar" role="group" aria-label="Chosen servers">
      <label className="check">
        <input ref={box} type="checkbox" checked={all} aria-checked={some ? "mixed" : all} disabled={shown.length === 0} onChange={() => onAll(!all)} />
        Select all
      </label>
      <span className="muted" role="status">
        {chosen.length === 0 ? "none selected" : `${chosen.length} of ${shown.length} selected`}
      </span>
      {chosen.length > 0 &&
        ACTIONS.map(({ action, word, icon }) => {
          const obstacle = noRight[action] || obstacleTo(action, chosen);
          return (
            <button key={action} type="button" disabled={obstacle !== ""} title={obstacle} aria-label={`${word} ${chosen.length} selected`} onClick={() => onAction(action)}>
              <Icon name={icon} />
              {word}…
            </button>
          );
        })}
    </div>
  );
}

export interface Done {
  action: Action;
  results: Result[];
  transaction: number;
}

interface DialogProps {
  action: Action;
  names: readonly string[];
  onDone: (done: Done) => void;
  onClose: () => void;
}

/** Shows the plan before it is made. The names are those of the moment when it was opened. */
export function GroupDialog({ action, names, onDone, onClose }: DialogProps) {
  const { refresh } = useStore();
  const { tryTo } = useToasts();
  const [plan, setPlan] = useState<Plan | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  useEffect(() => {
    api.groupPlan(action, names).then(setPlan, (error: unknown) => {
      if (!(error instanceof ApiError)) throw error;
      setProblem(error.problem);
    });
  }, [action, names]);
  const word = ACTIONS.find((one) => one.action === action)?.word ?? action;
  const many = `${names.length} ${names.length === 1 ? "server" : "servers"}`;
  return (
    <Dialog
      title={`${word} ${many}`}
      command={command("vs", action, ...names)}
      action={action === "stop" ? "Power off" : word}
      danger={action !== "start"}
      ready={plan?.state === "planned"}
      onAction={async () => {
        const refused = await tryTo(async () => {
          const done = await api.group(action, names);
          onDone({ action, results: results(names, done), transaction: done.transaction });
        }, `${word}: ${many}, in one transaction.`);
        await refresh();
        return refused;
      }}
      onClose={onClose}
    >
      {plan ? (
        <Preview plan={plan} names={names} />
      ) : problem ? (
        <p className="note bad" role="alert">
          <strong>{problem.title}</strong> {problem.next}
        </p>
      ) : (
        <Loading />
      )}
    </Dialog>
  );
}

function Preview({ plan, names }: { plan: Plan; names: readonly string[] }) {
  return (
    <div className="plan">
      {plan.state === "conflict" && (
        <p className="note warn" role="alert">
          Some refuse, so that nothing would be changed. Choose without them.
        </p>
      )}
      {plan.state === "nothing" && <p className="note">All of them are so already.</p>}
      <ResultList results={results(names, plan)} label="What becomes of each" />
      {plan.reason !== "" && <p className="muted">An undo gives back all but this: {plan.reason}.</p>}
    </div>
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
      <ResultList results={done.results} label={`Result of ${done.action} for each server`} />
      <div className="actions">
        {done.transaction > 0 && <a href={href({ page: "transaction", number: done.transaction })}>Transaction {done.transaction}, where it can be undone</a>}
        <button type="button" className="quiet small" onClick={onDismiss} aria-label="Dismiss the result">
          Dismiss
        </button>
      </div>
    </section>
  );
}
