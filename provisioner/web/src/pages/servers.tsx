/** All virtual servers. */
import { useState } from "react";
import type { Vs } from "../api/types";
import { Icon } from "../components/icons";
import { CliHint, Empty, Loading, State } from "../components/parts";
import { href } from "../lib/route";
import { useStore } from "../state/store";
import { ServerActions } from "./server-actions";
import { CreateDialog } from "./server-dialogs";

const ROWS = 200;

export function ServersPage() {
  const { servers, nodes } = useStore();
  const [creating, setCreating] = useState(false);
  const [filter, setFilter] = useState("");
  if (!servers) return <Loading />;
  const wanted = filter.toLowerCase();
  const shown = servers
    .filter((vs) => [vs.name, vs.state, vs.node, vs.reason, ...vs.macs].some((field) => field.toLowerCase().includes(wanted)))
    .sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  const running = servers.filter(({ state }) => state === "running").length;
  const ready = (nodes ?? []).some(({ state }) => state === "ready");
  return (
    <>
      <header className="page-head">
        <h1>Virtual servers</h1>
        <p className="summary">
          {running} running · {servers.length} defined
        </p>
        {servers.length > 0 && (
          <input type="search" className="filter" placeholder="Filter by name, state, node…" aria-label="Filter virtual servers" value={filter} onChange={(event) => setFilter(event.target.value)} />
        )}
        <button type="button" className="primary" onClick={() => setCreating(true)}>
          <Icon name="plus" />
          New server…
        </button>
      </header>
      {servers.length === 0 ? (
        <Empty title="No virtual server yet">
          {ready ? (
            <p>A node is ready. The defaults make a small Linux guest that comes up with a shell on its console.</p>
          ) : (
            <p>
              A virtual server needs a node that is ready. <a href="#/nodes">Boot and approve one</a> first; then
              this makes the first server:
            </p>
          )}
          <CliHint command="weft vs create vs-1 --start" />
        </Empty>
      ) : (
        <div className="rows" role="list" aria-label="Virtual servers">
          {shown.slice(0, ROWS).map((vs) => (
            <ServerRow key={vs.name} vs={vs} />
          ))}
          {shown.length === 0 && <p className="muted pad">No server matches “{filter}”.</p>}
          {shown.length > ROWS && <p className="muted pad">{shown.length - ROWS} more. Filter to see them.</p>}
        </div>
      )}
      {creating && <CreateDialog onClose={() => setCreating(false)} />}
    </>
  );
}

function ServerRow({ vs }: { vs: Vs }) {
  return (
    <article className="row server-row" role="listitem" aria-label={vs.name}>
      <div className="cell-name">
        <a href={href({ page: "server", name: vs.name })}>{vs.name}</a>
        <State state={vs.state} />
      </div>
      <div className="cell-hw">
        <span>
          {vs.vcpus} {vs.vcpus === 1 ? "processor" : "processors"} · {vs.memory_mib} MiB
        </span>
        <span className="muted">{vs.node === "" ? "not placed" : <>on <a href={href({ page: "node", name: vs.node })}>{vs.node}</a></>}</span>
      </div>
      <div className="cell-reason">{vs.reason !== "" && <span className={vs.state === "failed" ? "bad-text" : "muted"}>{vs.reason}</span>}</div>
      <div className="cell-act">
        <ServerActions vs={vs} withDelete={false} />
      </div>
    </article>
  );
}
