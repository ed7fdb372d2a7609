/** What was changed, by whom, newest first. */
import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Transaction } from "../api/types";
import { CliHint, Empty, Loading, State } from "../components/parts";
import { command } from "../lib/cli";
import { clock } from "../lib/format";
import { PAGE, joined, objectWords, pageQuery } from "../lib/history";
import type { Filter } from "../lib/history";
import { href } from "../lib/route";
import { useAfterEvents } from "../state/happened";
import { useNow } from "../state/store";

/** Pause after the last key before the appliance is asked. */
const TYPING_MS = 250;

export function HistoryPage() {
  const now = useNow();
  const [filter, setFilter] = useState<Filter>({ object: "", actor: "" });
  const [list, setList] = useState<Transaction[] | null>(null);
  const [more, setMore] = useState(false);
  const wanted = useRef(filter);
  wanted.current = filter;
  const look = useCallback(async (before?: number) => {
    try {
      const page = await api.transactions(pageQuery(filter, before));
      // An answer to an earlier filter comes too late.
      if (wanted.current !== filter) return;
      setList((known) => joined(known ?? [], page));
      // A newer look says nothing of what lies before the oldest that is shown.
      setMore((known) => (before === undefined && known) || page.length === PAGE);
    } catch (error) {
      // The store tells of an appliance that does not answer; the list stays as it was.
      if (!(error instanceof ApiError)) throw error;
    }
  }, [filter]);
  useEffect(() => {
    setList(null);
    setMore(false);
  }, [filter]);
  useEffect(() => {
    const timer = setTimeout(() => void look(), TYPING_MS);
    return () => clearTimeout(timer);
  }, [look]);
  useAfterEvents(() => void look());
  const filtered = filter.object.trim() !== "" || filter.actor.trim() !== "";
  const words = ["tx", "list", ...(filter.object.trim() === "" ? [] : ["--object", filter.object.trim()]), ...(filter.actor.trim() === "" ? [] : ["--actor", filter.actor.trim()])];
  return (
    <>
      <header className="page-head">
        <h1>History</h1>
        <div className="filters">
          <input type="search" placeholder="Object, by name" aria-label="Changes of this object" value={filter.object} onChange={(event) => setFilter({ ...filter, object: event.target.value })} />
          <input type="search" placeholder="By whom" aria-label="Changes by this user or operator" value={filter.actor} onChange={(event) => setFilter({ ...filter, actor: event.target.value })} />
        </div>
      </header>
      {list === null ? (
        <Loading />
      ) : list.length === 0 ? (
        <Empty title={filtered ? "No transaction fits" : "Nothing was changed yet"}>
          <p>Each change of a node, a virtual server, a partition or an image is kept here, and most can be taken back.</p>
        </Empty>
      ) : (
        <div className="rows" role="list" aria-label="Transactions">
          {list.map((one) => (
            <TransactionRow key={one.number} transaction={one} now={now} />
          ))}
        </div>
      )}
      {more && list !== null && (
        <button type="button" onClick={() => void look(list.at(-1)?.number)}>
          Older ones
        </button>
      )}
      <CliHint command={command(...words)} />
    </>
  );
}

function TransactionRow({ transaction, now }: { transaction: Transaction; now: number }) {
  const { number, name, at, actor, cause, objects, state, undo } = transaction;
  return (
    <article className="row tx-row" role="listitem" aria-label={`${number} ${name}`}>
      <span className="num">{number}</span>
      <time dateTime={at} title={at}>
        {clock(at, now)}
      </time>
      <div className="cell-name">
        <a href={href({ page: "transaction", number })}>{name}</a>
      </div>
      <div className="cell-hw">
        <span className="break">{objectWords(objects)}</span>
        <span className="muted">
          by {actor}
          {cause !== name && `, ${cause}`}
        </span>
      </div>
      <div className="cell-act">
        <State state={state} />
        {undo === "irreversible" && <State state={undo} />}
      </div>
    </article>
  );
}
