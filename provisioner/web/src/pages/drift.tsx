/** Where nodes are not as they are wanted: what, since when, what the appliance does by itself, and the person's answer. */
import { useCallback, useEffect, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Drift } from "../api/types";
import { Dialog } from "../components/dialog";
import { CliHint, State } from "../components/parts";
import { PlanView, usePlan } from "../components/plan";
import { command } from "../lib/cli";
import { clock } from "../lib/format";
import { href } from "../lib/route";
import { useAfterEvents } from "../state/happened";
import { useNow } from "../state/store";
import { useToasts } from "../state/toasts";

type Answer = "accept" | "enforce";

const WORDS: Record<Answer, string> = { accept: "Accept what is", enforce: "Have it as it is wanted" };

export function DriftPanel() {
  const now = useNow();
  const [drifts, setDrifts] = useState<Drift[] | null>(null);
  const [settled, setSettled] = useState(false);
  const [asked, setAsked] = useState<{ drift: Drift; answer: Answer } | null>(null);
  const look = useCallback(async () => {
    try {
      setDrifts(await api.drift(settled));
    } catch (error) {
      // The page's own banner tells of an appliance that does not answer.
      if (!(error instanceof ApiError)) throw error;
    }
  }, [settled]);
  useEffect(() => {
    void look();
    const timer = setInterval(() => void look(), 5_000);
    return () => clearInterval(timer);
  }, [look]);
  useAfterEvents(() => void look());
  if (!drifts) return null;
  return (
    <section className="panel" aria-label="Drift">
      <h2>Drift</h2>
      <label className="check">
        <input type="checkbox" checked={settled} onChange={() => setSettled((on) => !on)} />
        Show what was settled
      </label>
      {drifts.length === 0 ? (
        <p className="muted">All nodes that are here are as they are wanted. After the appliance was away, or a backup was restored, what differs stands here.</p>
      ) : (
        <ul className="findings">
          {drifts.map((drift) => (
            <li key={`${drift.name} ${drift.since} ${drift.ended}`} className={`finding ${drift.state === "held" ? "fail" : drift.state === "open" ? "warn" : ""}`}>
              <State state={drift.state} />
              <div>
                <h3 className="break">{drift.name}</h3>
                <p>
                  Wanted: <b>{drift.wanted}</b>. Seen: <b>{drift.seen}</b>
                  {drift.node !== "" && (
                    <>
                      {" "}
                      on <a href={href({ page: "node", name: drift.node })}>{drift.node}</a>
                    </>
                  )}
                  , since <time dateTime={drift.since}>{clock(drift.since, now)}</time>.
                </p>
                {drift.does !== "" && <p className="muted">The appliance does {drift.does}.</p>}
                {drift.outcome !== "" && <p className="muted">{drift.outcome}</p>}
                {drift.next !== "" && (
                  <p className="next">
                    <b>Next:</b> {drift.next}
                  </p>
                )}
                <div className="actions">
                  {(["accept", "enforce"] as const)
                    .filter((answer) => drift.answers.includes(answer))
                    .map((answer) => (
                      <button key={answer} type="button" aria-label={`${WORDS[answer]}: ${drift.name}`} onClick={() => setAsked({ drift, answer })}>
                        {WORDS[answer]}…
                      </button>
                    ))}
                </div>
              </div>
            </li>
          ))}
        </ul>
      )}
      <CliHint command={command("drift", "list", ...(settled ? ["--all"] : []))} />
      {asked && (
        <AnswerDialog
          {...asked}
          onClose={() => {
            setAsked(null);
            void look();
          }}
        />
      )}
    </section>
  );
}

function AnswerDialog({ drift, answer, onClose }: { drift: Drift; answer: Answer; onClose: () => void }) {
  const { tryTo } = useToasts();
  const { plan, problem } = usePlan(() => api.answerDrift(drift.name, answer, true), `${drift.name} ${answer}`);
  return (
    <Dialog
      title={`${WORDS[answer]}: ${drift.name}`}
      command={command("drift", answer, drift.name)}
      action={answer === "accept" ? "Accept" : "Enforce"}
      danger={answer === "enforce"}
      ready={plan !== null}
      onAction={() => tryTo(() => api.answerDrift(drift.name, answer, false), `${drift.name}: ${answer === "accept" ? "accepted" : "enforced"}.`)}
      onClose={onClose}
    >
      <p>
        Wanted: {drift.wanted}. Seen: {drift.seen}.
      </p>
      <PlanView plan={plan} problem={problem} asked />
      {plan !== null && plan.lost !== "" && <p className="note warn">Lost: {plan.lost}.</p>}
    </Dialog>
  );
}
