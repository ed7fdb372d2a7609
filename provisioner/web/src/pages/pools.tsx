/** Pools of identifiers: what is drawn, what rests, what is free; and the licences that extend them. */
import { api } from "../api/client";
import type { Licence, Pool } from "../api/types";
import { CliHint, Loading, State } from "../components/parts";
import { command } from "../lib/cli";
import { count } from "../lib/format";
import { usePolled } from "../state/polled";

export function PoolsPage() {
  const [pools] = usePolled<Pool[]>(api.pools);
  const [licences] = usePolled<Licence[]>(api.licences);
  if (!pools || !licences) return <Loading />;
  const short = pools.find(({ state }) => state !== "ok");
  return (
    <>
      <header className="page-head">
        <h1>Pools</h1>
        <p className="summary">
          {pools.length} pools · {licences.length} licences
        </p>
      </header>
      <p className="muted pad">Each server is given a MAC and a WWNN, and nobody is given them again: what a deleted server had rests, because an undo gives it back. WWNNs are reserved for storage, which is not there yet.</p>
      <div className="rows" role="list" aria-label="Pools">
        {pools.map((pool) => (
          <PoolRow key={pool.id} pool={pool} />
        ))}
      </div>
      <CliHint command={command("pool", "extend", short?.name ?? "default-mac", "--range", "FIRST-LAST")} />
      {licences.length > 0 && (
        <section className="panel">
          <h2>Licences</h2>
          <div className="rows" role="list" aria-label="Licences">
            {licences.map((licence) => (
              <LicenceRow key={licence.id} licence={licence} />
            ))}
          </div>
        </section>
      )}
      <CliHint command="weft licence add FILE" />
    </>
  );
}

function PoolRow({ pool }: { pool: Pool }) {
  const resting = pool.drawn - pool.in_use;
  return (
    <article className="row image-row" role="listitem" aria-label={pool.name}>
      <div className="cell-name">
        <b className="break">{pool.name}</b>
        <State state={pool.state} />
      </div>
      <div className="cell-hw">
        <span>
          {pool.kind === "mac" ? "MACs" : "WWNNs"}
          {pool.default && ", where no pool is named"}
        </span>
        <meter min={0} max={pool.size} value={pool.size - pool.free} aria-label={`Used of ${pool.name}`} />
      </div>
      <div className="cell-hw">
        <span>
          {count(pool.free)} of {count(pool.size)} free
        </span>
        <span className="muted">
          {count(pool.in_use)} in use, {count(resting)} rest
        </span>
      </div>
      <div className="cell-hw">
        {pool.ranges.map(({ range }) => (
          <code key={range} className="break">
            {range}
          </code>
        ))}
      </div>
    </article>
  );
}

function LicenceRow({ licence }: { licence: Licence }) {
  return (
    <article className="row image-row" role="listitem" aria-label={licence.name}>
      <div className="cell-name">
        <b className="break">{licence.name}</b>
        <State state={licence.state} />
      </div>
      <div className="cell-hw">
        <span>
          {count(licence.size)} for {licence.pool}
        </span>
        <span className="muted">{count(licence.drawn)} drawn</span>
      </div>
      <div className="cell-hw">
        <span>until {licence.expires.slice(0, 10)}</span>
        <code className="break">{licence.range}</code>
      </div>
    </article>
  );
}
