/** One transaction: who, why, before and after; and taking it back. */
import { useCallback, useEffect, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Plan, Problem, TransactionDetail } from "../api/types";
import { Changes } from "../components/changes";
import { Dialog } from "../components/dialog";
import { Icon } from "../components/icons";
import { CliHint, Empty, Fact, Loading, Refusal, State } from "../components/parts";
import { command } from "../lib/cli";
import { clock } from "../lib/format";
import { inTheWay, obstacle, undoWords } from "../lib/history";
import { href } from "../lib/route";
import { useAfterEvents } from "../state/happened";
import { useWhyNot } from "../state/rights";
import { useNow, useStore } from "../state/store";
import { useToasts } from "../state/toasts";

export function TransactionPage({ number }: { number: number }) {
  const now = useNow();
  const [detail, setDetail] = useState<TransactionDetail | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [all, setAll] = useState(false);
  const [undoing, setUndoing] = useState(false);
  const look = useCallback(async () => {
    try {
      setDetail(await api.transaction(number));
      setProblem(null);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem(error.problem);
    }
  }, [number]);
  useEffect(() => void look(), [look]);
  useAfterEvents(() => void look());
  const noUndo = useWhyNot("undo", "history");
  if (!detail) {
    return problem ? (
      <>
        <header className="page-head">
          <h1>Transaction {number}</h1>
        </header>
        <Empty title={problem.title}>
          <p>{problem.next}</p>
          <a href={href({ page: "history" })}>To the history</a>
        </Empty>
      </>
    ) : (
      <Loading />
    );
  }
  const { transaction, changes } = detail;
  const lost = undoWords(transaction);
  return (
    <>
      <a className="up" href={href({ page: "history" })}>
        <Icon name="back" />
        History
      </a>
      <header className="page-head">
        <h1>
          {transaction.name} <span className="muted">{number}</span>
        </h1>
        <State state={transaction.state} />
        <div className="actions">
          <button type="button" disabled={transaction.undo === "irreversible" || noUndo !== ""} title={noUndo || (transaction.undo === "irreversible" ? lost : "")} onClick={() => setUndoing(true)}>
            Undo…
          </button>
        </div>
      </header>
      <section className="panel" aria-label="About it">
        <dl className="facts">
          <Fact label="When">
            <time dateTime={transaction.at}>{clock(transaction.at, now)}</time>
          </Fact>
          <Fact label="By whom">{transaction.actor}</Fact>
          <Fact label="Why">
            {transaction.undoes > 0 ? <a href={href({ page: "transaction", number: transaction.undoes })}>{transaction.cause}</a> : transaction.cause}
          </Fact>
          {transaction.job > 0 && (
            <Fact label="Job">
              <a href={href({ page: "job", number: transaction.job })}>{transaction.job}</a>
            </Fact>
          )}
          <Fact label="Undo">{transaction.undo}</Fact>
        </dl>
        {lost !== "" && <p className={transaction.undo === "irreversible" ? "note warn" : "muted"}>{lost}</p>}
      </section>
      <section className="panel" aria-label="Before and after">
        <label className="check">
          <input type="checkbox" checked={all} onChange={(event) => setAll(event.target.checked)} />
          Show fields that stayed the same too
        </label>
        <Changes changes={changes} all={all} />
      </section>
      <CliHint command={command("tx", "diff", String(number))} />
      {undoing && <UndoDialog number={number} name={transaction.name} onClose={() => setUndoing(false)} onDone={look} />}
    </>
  );
}

function UndoDialog({ number, name, onClose, onDone }: { number: number; name: string; onClose: () => void; onDone: () => Promise<void> }) {
  const { refresh } = useStore();
  const { tryTo } = useToasts();
  const [plan, setPlan] = useState<Plan | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const preview = useCallback(async () => {
    try {
      setPlan(await api.undoPlan(number));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem(error.problem);
    }
  }, [number]);
  useEffect(() => void preview(), [preview]);
  return (
    <Dialog
      title={`Undo ${name} ${number}`}
      command={command("tx", "undo", String(number))}
      action="Undo"
      danger
      ready={plan?.state === "planned"}
      onAction={async () => {
        const refused = await tryTo(() => api.undo(number), `Transaction ${number} is undone.`);
        // What is in the way now may not have been when the preview was made.
        if (refused) await preview();
        await Promise.all([refresh(), onDone()]);
        return refused;
      }}
      onClose={onClose}
    >
      {plan ? (
        <Preview plan={plan} onLeave={onClose} />
      ) : problem ? (
        <Refusal problem={problem} />
      ) : (
        <Loading />
      )}
    </Dialog>
  );
}

function Preview({ plan, onLeave }: { plan: Plan; onLeave: () => void }) {
  const stops = obstacle(plan);
  return (
    <div className="plan">
      {stops !== "" && (
        <p className="note warn" role="alert">
          {stops}
        </p>
      )}
      {plan.conflicts.length > 0 && (
        <ul aria-label="In the way">
          {plan.conflicts.map(({ text, field, transaction }) => (
            <li key={`${transaction} ${field} ${text}`}>{text}</li>
          ))}
        </ul>
      )}
      {inTheWay(plan.conflicts).map((number) => (
        <a key={number} href={href({ page: "transaction", number })} onClick={onLeave}>
          To transaction {number}
        </a>
      ))}
      {plan.effects.length > 0 && (
        <ul aria-label="What it does">
          {plan.effects.map((effect) => (
            <li key={effect}>{effect}</li>
          ))}
        </ul>
      )}
      {plan.lost !== "" && <p className="note warn">Not given back: {plan.lost}.</p>}
      <Changes changes={plan.objects} all={false} />
    </div>
  );
}
