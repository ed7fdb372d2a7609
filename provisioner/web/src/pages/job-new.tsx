/** A new job: which servers, then what is done with them in which order; its plan, and its start. */
import { useEffect, useState } from "react";
import { ApiError, api } from "../api/client";
import type { JobPlan, Partition, Problem } from "../api/types";
import { Icon } from "../components/icons";
import { CliHint, Field, Loading, Refusal, State } from "../components/parts";
import { command } from "../lib/cli";
import { ACTIONS, MOST_STEPS, jobFile, jobOf, missing, newStep, ofServers, shifted } from "../lib/job-draft";
import type { Step, StepAction } from "../lib/job-draft";
import { href } from "../lib/route";
import { toggled } from "../lib/group";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";

/** Pause after the last change before the plan is asked for. */
const TYPING_MS = 300;
/** Objects to choose from that are shown; more need a filter. */
const SHOWN = 200;

export function NewJobPage() {
  const { servers, nodes } = useStore();
  const { tryTo } = useToasts();
  const [name, setName] = useState("");
  const [timeout, setTimeout_] = useState("120");
  const [picked, setPicked] = useState<ReadonlySet<string>>(new Set());
  const [steps, setSteps] = useState<readonly Step[]>([]);
  const [next, setNext] = useState(1);
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<Problem | null>(null);
  const seconds = Number(timeout);
  const timely = Number.isInteger(seconds) && seconds >= 1 && seconds <= 3600;
  const job = timely ? jobOf(name, seconds, steps) : null;
  const { plan, problem } = useJobPlan(job ? jobFile(job) : "");
  const partitions = usePartitions();
  if (!servers || !nodes) return <Loading />;
  const add = () => {
    setSteps((now) => [...now, newStep(next, [...picked])]);
    setNext((key) => key + 1);
  };
  const set = (key: number, part: Partial<Step>) => setSteps((now) => now.map((step) => (step.key === key ? { ...step, ...part } : step)));
  const start = async () => {
    if (!job) return;
    setBusy(true);
    let number = 0;
    const bad = await tryTo(async () => {
      number = (await api.createJob(job)).number;
    }, "The job has begun.");
    setBusy(false);
    setRefused(bad);
    if (!bad) location.hash = href({ page: "job", number });
  };
  return (
    <>
      <a className="up" href={href({ page: "jobs" })}>
        <Icon name="back" />
        Jobs
      </a>
      <header className="page-head">
        <h1>New job</h1>
        <p className="summary">Each step waits for the nodes; where one fails, all of it is undone.</p>
      </header>
      <section className="panel" aria-label="Servers">
        <h2>1. Which servers</h2>
        <Choice noun="servers" names={servers.map((vs) => vs.name)} picked={picked} onPick={(one) => setPicked((now) => toggled(now, one))} />
      </section>
      <section className="panel" aria-label="Steps">
        <h2>2. What is done, in this order</h2>
        <ol className="job-steps">
          {steps.map((step, index) => (
            <li key={step.key} className="job-step" aria-label={`Step ${index + 1}`}>
              <StepFields step={step} servers={servers.map((vs) => vs.name)} nodes={nodes.filter(({ state }) => state === "ready").map((node) => node.name)} partitions={partitions} onChange={(part) => set(step.key, part)} />
              <div className="actions">
                <button type="button" className="quiet small" disabled={index === 0} aria-label={`Move step ${index + 1} up`} onClick={() => setSteps((now) => shifted(now, step.key, -1))}>
                  Up
                </button>
                <button type="button" className="quiet small" disabled={index === steps.length - 1} aria-label={`Move step ${index + 1} down`} onClick={() => setSteps((now) => shifted(now, step.key, 1))}>
                  Down
                </button>
                <button type="button" className="quiet small" aria-label={`Remove step ${index + 1}`} onClick={() => setSteps((now) => now.filter(({ key }) => key !== step.key))}>
                  Remove
                </button>
              </div>
              {missing(step) !== "" && <p className="muted">{missing(step)}</p>}
            </li>
          ))}
        </ol>
        <button type="button" disabled={steps.length >= MOST_STEPS} onClick={add}>
          <Icon name="plus" />
          {steps.length === 0 ? "Add the first step" : "Add a step"}
        </button>
        <div className="form-grid">
          <Field label="Name" hint="for people; left empty, it is called by its number">
            {(id, note) => <input id={id} aria-describedby={note} maxLength={200} value={name} onChange={(event) => setName(event.target.value)} />}
          </Field>
          <Field label="Seconds for the nodes to follow each step" error={timely ? undefined : "1 to 3600"}>
            {(id, note) => <input id={id} aria-describedby={note} inputMode="numeric" value={timeout} onChange={(event) => setTimeout_(event.target.value)} />}
          </Field>
        </div>
      </section>
      <section className="panel" aria-label="Plan">
        <h2>3. What it would do</h2>
        {job === null ? <p className="muted">Its plan shows here once each step is whole.</p> : problem ? <Refusal problem={problem} /> : plan ? <PlanOfJob plan={plan} /> : <Loading />}
        {refused && <Refusal problem={refused} />}
        <div className="actions">
          <button type="button" className="primary" disabled={busy || plan?.state !== "planned"} onClick={() => void start()}>
            {busy ? "Starting…" : "Start the job"}
          </button>
        </div>
        {job !== null && (
          <details>
            <summary>The same as a file</summary>
            <pre className="scroll">{jobFile(job)}</pre>
          </details>
        )}
      </section>
      <CliHint command={command("job", "run", "-f", "FILE")} />
    </>
  );
}

function PlanOfJob({ plan }: { plan: JobPlan }) {
  return (
    <>
      {plan.state === "conflict" && (
        <p className="note warn" role="alert">
          It would be refused: see the step that is in conflict, or wait for the job that holds one of its objects.
        </p>
      )}
      <ol className="job-plan" aria-label="Planned steps">
        {plan.steps.map((step) => (
          <li key={step.number}>
            <b>{step.name}</b> <State state={step.state} />
            <ul>
              {[...step.plan.conflicts.map(({ text }) => text), ...step.plan.effects, ...step.waits.map((wait) => `then waits until ${wait}`)].map((text) => (
                <li key={text}>{text}</li>
              ))}
            </ul>
          </li>
        ))}
      </ol>
    </>
  );
}

interface ChoiceProps {
  noun: "servers" | "nodes";
  names: readonly string[];
  picked: ReadonlySet<string>;
  onPick: (name: string) => void;
}

function Choice({ noun, names, picked, onPick }: ChoiceProps) {
  const [filter, setFilter] = useState("");
  const wanted = filter.toLowerCase();
  const fits = names.filter((name) => picked.has(name) || name.toLowerCase().includes(wanted));
  return (
    <fieldset className="choice">
      <legend className="sr-only">Choose {noun}</legend>
      {names.length > 12 && <input type="search" placeholder="Name…" aria-label={`Filter ${noun}`} value={filter} onChange={(event) => setFilter(event.target.value)} />}
      {names.length === 0 && (
        <p className="muted">
          There are no {noun} yet: <a href={href({ page: noun })}>to the {noun}</a>.
        </p>
      )}
      {fits.slice(0, SHOWN).map((name) => (
        <label key={name} className="check">
          <input type="checkbox" checked={picked.has(name)} onChange={() => onPick(name)} />
          <span className="break">{name}</span>
        </label>
      ))}
      {fits.length > SHOWN && <p className="muted">{fits.length - SHOWN} more. Filter to see them.</p>}
    </fieldset>
  );
}

interface StepProps {
  step: Step;
  servers: readonly string[];
  nodes: readonly string[];
  partitions: readonly string[];
  onChange: (part: Partial<Step>) => void;
}

function StepFields({ step, servers, nodes, partitions, onChange }: StepProps) {
  const about = (action: StepAction): readonly string[] => (ofServers(action) ? step.names.filter((name) => servers.includes(name)) : []);
  const chosen = new Set(step.names);
  const pick = (name: string) => onChange({ names: [...toggled(chosen, name)] });
  return (
    <>
      <Field label="Action">
        {(id, note) => (
          <select id={id} aria-describedby={note} value={step.action} onChange={(event) => onChange({ action: event.target.value as StepAction, names: about(event.target.value as StepAction) })}>
            {ACTIONS.map((action) => (
              <option key={action} value={action}>
                {action}
              </option>
            ))}
          </select>
        )}
      </Field>
      {ofServers(step.action) && (
        <details open={step.names.length === 0}>
          <summary>{step.names.length === 0 ? "No server chosen" : `Servers: ${step.names.join(", ")}`}</summary>
          <Choice noun="servers" names={servers} picked={chosen} onPick={pick} />
        </details>
      )}
      {step.action === "partition create" && <Choice noun="nodes" names={nodes} picked={chosen} onPick={pick} />}
      {step.action === "vs move" && <Select label="To the node" value={step.node} from={nodes} onChange={(node) => onChange({ node })} />}
      {step.action === "partition delete" && <Select label="Partition" value={step.partition} from={partitions} onChange={(partition) => onChange({ partition })} />}
      {step.action === "partition create" && (
        <Field label="Name of the partition">{(id, note) => <input id={id} aria-describedby={note} value={step.partition} onChange={(event) => onChange({ partition: event.target.value })} />}</Field>
      )}
      {step.action === "vs label" && (
        <Field label="Labels" hint="key=value, key=value">
          {(id, note) => <input id={id} aria-describedby={note} className="mono" spellCheck={false} value={step.labels} onChange={(event) => onChange({ labels: event.target.value })} />}
        </Field>
      )}
    </>
  );
}

function Select({ label, value, from, onChange }: { label: string; value: string; from: readonly string[]; onChange: (value: string) => void }) {
  return (
    <Field label={label}>
      {(id, note) => (
        <select id={id} aria-describedby={note} value={value} onChange={(event) => onChange(event.target.value)}>
          <option value="">choose…</option>
          {from.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

function usePartitions(): string[] {
  const [names, setNames] = useState<string[]>([]);
  useEffect(() => {
    api.partitions().then(
      (text) => setNames((JSON.parse(text) as Partition[]).map(({ name }) => name)),
      (error: unknown) => {
        // Who may not see partitions makes steps of servers alone.
        if (!(error instanceof ApiError)) throw error;
      },
    );
  }, []);
  return names;
}

/** The plan of a job, asked for once its form rests; the text is the job itself, empty where there is none. */
function useJobPlan(text: string): { plan: JobPlan | null; problem: Problem | null } {
  const [said, setSaid] = useState<{ text: string; plan: JobPlan | null; problem: Problem | null }>({ text: "", plan: null, problem: null });
  useEffect(() => {
    if (text === "") return;
    let late = false;
    const timer = setTimeout(() => {
      api.planJob(JSON.parse(text) as Parameters<typeof api.planJob>[0]).then(
        (plan) => !late && setSaid({ text, plan, problem: null }),
        (error: unknown) => {
          if (!(error instanceof ApiError)) throw error;
          if (!late) setSaid({ text, plan: null, problem: error.problem });
        },
      );
    }, TYPING_MS);
    return () => {
      late = true;
      clearTimeout(timer);
    };
  }, [text]);
  return said.text === text ? said : { plan: null, problem: null };
}
