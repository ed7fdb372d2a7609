/** Jobs, newest first: how far each is. */
import { useCallback, useEffect, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Job } from "../api/types";
import { CliHint, Empty, Loading, State } from "../components/parts";
import { command } from "../lib/cli";
import { clock } from "../lib/format";
import { PAGE, joined, pageQuery, progress, progressWords } from "../lib/jobs";
import { href } from "../lib/route";
import { useAfterEvents } from "../state/happened";
import { useWhyNot } from "../state/rights";
import { useNow } from "../state/store";

export function JobsPage() {
  const now = useNow();
  const noCreate = useWhyNot("create", "job");
  const [list, setList] = useState<Job[] | null>(null);
  const [more, setMore] = useState(false);
  const look = useCallback(async (before?: number) => {
    try {
      const page = await api.jobs(pageQuery(before));
      setList((known) => joined(known ?? [], page));
      // A newer look says nothing of what lies before the oldest that is shown.
      setMore((known) => (before === undefined && known) || page.length === PAGE);
    } catch (error) {
      // The store tells of an appliance that does not answer; the list stays as it was.
      if (!(error instanceof ApiError)) throw error;
    }
  }, []);
  useEffect(() => void look(), [look]);
  useAfterEvents(() => void look());
  return (
    <>
      <header className="page-head">
        <h1>Jobs</h1>
        {noCreate === "" ? (
          <a className="button primary" href={href({ page: "new-job" })}>
            New job…
          </a>
        ) : (
          <button type="button" disabled title={noCreate}>
            New job…
          </button>
        )}
      </header>
      {list === null ? (
        <Loading />
      ) : list.length === 0 ? (
        <Empty title="No job yet">
          <p>A job does several changes as one: each step waits for the nodes, and where one fails all of it is undone.</p>
        </Empty>
      ) : (
        <div className="rows" role="list" aria-label="Jobs">
          {list.map((job) => (
            <JobRow key={job.number} job={job} now={now} />
          ))}
        </div>
      )}
      {more && list !== null && (
        <button type="button" onClick={() => void look(list.at(-1)?.number)}>
          Older ones
        </button>
      )}
      <CliHint command={list?.length === 0 ? command("job", "run", "-f", "FILE") : command("job", "list")} />
    </>
  );
}

function JobRow({ job, now }: { job: Job; now: number }) {
  return (
    <article className="row tx-row" role="listitem" aria-label={`${job.number} ${job.name}`}>
      <span className="num">{job.number}</span>
      <time dateTime={job.at} title={job.at}>
        {clock(job.at, now)}
      </time>
      <div className="cell-name">
        <a href={href({ page: "job", number: job.number })} className="break">{job.name}</a>
      </div>
      <div className="cell-hw">
        <Progress job={job} />
        <span className="muted">by {job.actor}</span>
      </div>
      <div className="cell-act">
        <State state={job.state} />
      </div>
    </article>
  );
}

export function Progress({ job }: { job: Job }) {
  return (
    <>
      <progress className="job-progress" max={1} value={progress(job)} aria-label={`Progress of ${job.name}`} />
      <span>{progressWords(job)}</span>
    </>
  );
}
