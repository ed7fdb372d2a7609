/** One job: its steps as the nodes follow, cancelling it, and what a stuck step leaves to a person. */
import { useCallback, useEffect, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Job, JobStep, Problem } from "../api/types";
import { Dialog } from "../components/dialog";
import { Icon } from "../components/icons";
import { CliHint, Empty, Fact, Field, Loading, State } from "../components/parts";
import { command } from "../lib/cli";
import { clock } from "../lib/format";
import { objectsOf, stuckStep } from "../lib/jobs";
import { href } from "../lib/route";
import { useAfterEvents } from "../state/happened";
import { useNow } from "../state/store";
import { useToasts } from "../state/toasts";
import { Progress } from "./jobs";

type Asked = "cancel" | "skip" | "abandon";

export function JobPage({ number }: { number: number }) {
  const now = useNow();
  const { attempt } = useToasts();
  const [job, setJob] = useState<Job | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [asked, setAsked] = useState<Asked | null>(null);
  const look = useCallback(async () => {
    try {
      setJob(await api.job(number));
      setProblem(null);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem(error.problem);
    }
  }, [number]);
  useEffect(() => void look(), [look]);
  useAfterEvents(() => void look());
  if (!job) {
    return problem ? (
      <>
        <header className="page-head">
          <h1>Job {number}</h1>
        </header>
        <Empty title={problem.title}>
          <p>{problem.next}</p>
          <a href={href({ page: "jobs" })}>To the jobs</a>
        </Empty>
      </>
    ) : (
      <Loading />
    );
  }
  const stuck = stuckStep(job);
  const retry = async () => {
    await attempt(() => api.retryJob(number), "The undo is tried again.");
    await look();
  };
  return (
    <>
      <a className="up" href={href({ page: "jobs" })}>
        <Icon name="back" />
        Jobs
      </a>
      <header className="page-head">
        <h1>
          <span className="break">{job.name}</span> <span className="muted">{number}</span>
        </h1>
        <State state={job.state} />
        <div className="actions">
          <button type="button" disabled={job.state !== "running"} onClick={() => setAsked("cancel")}>
            Cancel…
          </button>
        </div>
      </header>
      {stuck && (
        <section className="panel" aria-label="What to do">
          <p className="note bad" role="alert">
            The undo of step {stuck.number} failed: {stuck.reason}
          </p>
          <div className="actions">
            <button type="button" onClick={() => void retry()}>
              Retry
            </button>
            <button type="button" onClick={() => setAsked("skip")}>
              Skip…
            </button>
            <button type="button" onClick={() => setAsked("abandon")}>
              Abandon…
            </button>
          </div>
        </section>
      )}
      <section className="panel" aria-label="About it">
        <dl className="facts">
          <Fact label="Progress">
            <Progress job={job} />
          </Fact>
          <Fact label="Started">
            <time dateTime={job.at}>{clock(job.at, now)}</time>
          </Fact>
          {job.ended !== "" && (
            <Fact label="Ended">
              <time dateTime={job.ended}>{clock(job.ended, now)}</time>
            </Fact>
          )}
          <Fact label="By whom">{job.actor}</Fact>
        </dl>
        {job.reason !== "" && <p className="note warn break">{job.reason}</p>}
        {job.comment !== "" && <p className="note warn break">{job.comment}</p>}
      </section>
      <div className="rows" role="list" aria-label="Steps">
        {job.steps.map((step) => (
          <StepRow key={step.number} step={step} />
        ))}
      </div>
      <CliHint command={command("job", "watch", String(number))} />
      {asked === "cancel" && <CancelDialog number={number} onClose={() => setAsked(null)} onDone={look} />}
      {(asked === "skip" || asked === "abandon") && <DecideDialog number={number} verb={asked} onClose={() => setAsked(null)} onDone={look} />}
    </>
  );
}

function StepRow({ step }: { step: JobStep }) {
  const words = step.waits.length > 0 ? step.waits : step.reason === "" ? [] : [step.reason];
  return (
    <article className="row tx-row" role="listitem" aria-label={`Step ${step.number} ${step.name}`}>
      <span className="num">{step.number}</span>
      <span className="muted">
        {step.transaction > 0 && <a href={href({ page: "transaction", number: step.transaction })}>transaction {step.transaction}</a>}{" "}
        {step.undone_by > 0 && <a href={href({ page: "transaction", number: step.undone_by })}>undo {step.undone_by}</a>}
      </span>
      <div className="cell-name">{step.name}</div>
      <div className="cell-hw">
        <span className="break">{objectsOf(step)}</span>
        {words.map((why) => (
          <span key={why} className="muted break">
            {why}
          </span>
        ))}
      </div>
      <div className="cell-act">
        <State state={step.state} />
      </div>
    </article>
  );
}

interface DialogProps {
  number: number;
  onClose: () => void;
  onDone: () => Promise<void>;
}

function CancelDialog({ number, onClose, onDone }: DialogProps) {
  const { tryTo } = useToasts();
  return (
    <Dialog
      title={`Cancel job ${number}`}
      command={command("job", "cancel", String(number))}
      action="Undo what was done"
      danger
      onAction={async () => {
        const refused = await tryTo(() => api.cancelJob(number), `Job ${number} is being undone.`);
        await onDone();
        return refused;
      }}
      onClose={onClose}
    >
      <p>Steps that are done are undone, the last one first. Each undo waits for the nodes.</p>
    </Dialog>
  );
}

const WORDS = {
  skip: { title: "Skip the stuck step of job", action: "Skip", label: "Reason", option: "--reason", text: "The step stays as it is; the rest of the job is undone.", act: api.skipJob, done: "The step is skipped." },
  abandon: { title: "Abandon job", action: "Abandon", label: "Comment", option: "--comment", text: "All of the job stays as it is now.", act: api.abandonJob, done: "The job is abandoned." },
};

function DecideDialog({ number, verb, onClose, onDone }: DialogProps & { verb: "skip" | "abandon" }) {
  const { tryTo } = useToasts();
  const [reason, setReason] = useState("");
  const { title, action, label, option, text, act, done } = WORDS[verb];
  const said = reason.trim();
  return (
    <Dialog
      title={`${title} ${number}`}
      command={command("job", verb, String(number), option, said === "" ? "TEXT" : said)}
      action={action}
      danger
      ready={said !== ""}
      onAction={async () => {
        const refused = await tryTo(() => act(number, said), done);
        await onDone();
        return refused;
      }}
      onClose={onClose}
    >
      <p>{text}</p>
      <Field label={label} hint="It is kept with the job.">
        {(id, note) => <input id={id} aria-describedby={note} value={reason} maxLength={200} onChange={(event) => setReason(event.target.value)} />}
      </Field>
    </Dialog>
  );
}
