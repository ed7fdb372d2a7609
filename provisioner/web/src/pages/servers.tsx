/** All virtual servers. */
import { useState } from "react";
import type { Vs } from "../api/types";
import { GroupResult, SelectorField, SelectorNote, useChosen } from "../components/group";
import type { Done } from "../components/group";
import { Icon } from "../components/icons";
import { CliHint, Empty, Loading, State } from "../components/parts";
import { command } from "../lib/cli";
import { href } from "../lib/route";
import type { Action } from "../lib/selection";
import { labelWords, selected } from "../lib/selector";
import { useWhyNot } from "../state/rights";
import { useStore } from "../state/store";
import { ServerActions } from "./server-actions";
import { CreateDialog } from "./server-dialogs";
import { ServerGroupBar, ServerGroupDialog } from "./server-group";

const ROWS = 200;

export function ServersPage() {
  const { servers, nodes } = useStore();
  const [creating, setCreating] = useState(false);
  const [filter, setFilter] = useState("");
  const [selector, setSelector] = useState("");
  const [asked, setAsked] = useState<{ action: Action; servers: readonly Vs[] } | null>(null);
  const [done, setDone] = useState<Done | null>(null);
  const noCreate = useWhyNot("create", "vs");
  const wanted = filter.toLowerCase();
  const { found, problem } = selected(selector, servers ?? []);
  const shown = found
    .filter((vs) => [vs.name, vs.state, vs.node, vs.reason, ...vs.macs].some((field) => field.toLowerCase().includes(wanted)))
    .sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  const group = useChosen(shown);
  if (!servers) return <Loading />;
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
          <div className="filters">
            <input type="search" placeholder="Name, state…" aria-label="Filter virtual servers" value={filter} onChange={(event) => setFilter(event.target.value)} />
            <SelectorField problem={problem} selector={selector} onSelector={setSelector} />
          </div>
        )}
        {noCreate === "" ? (
          <a className="button" href={href({ page: "templates" })}>
            New from template…
          </a>
        ) : (
          <button type="button" disabled title={noCreate}>
            New from template…
          </button>
        )}
        <button type="button" className="primary" disabled={noCreate !== ""} title={noCreate} onClick={() => setCreating(true)}>
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
        <>
          <SelectorNote problem={problem} />
          <ServerGroupBar shown={shown} chosen={group.chosen} onAll={group.all} onAction={(action) => setAsked({ action, servers: group.chosen })} />
          {done && <GroupResult done={done} onDismiss={() => setDone(null)} />}
          <div className="rows" role="list" aria-label="Virtual servers">
            {shown.slice(0, ROWS).map((vs) => (
              <ServerRow key={vs.name} vs={vs} picked={group.has(vs.name)} onPick={() => group.pick(vs.name)} />
            ))}
            {shown.length === 0 && <p className="muted pad">No server fits.</p>}
            {shown.length > ROWS && <p className="muted pad">{shown.length - ROWS} more. Filter to see them.</p>}
          </div>
          {selector.trim() !== "" && problem === "" && <CliHint command={command("vs", "list", "-l", selector.trim())} />}
        </>
      )}
      {asked && (
        <ServerGroupDialog
          {...asked}
          onDone={(result) => {
            setDone(result);
            group.all(false);
          }}
          onClose={() => setAsked(null)}
        />
      )}
      {creating && <CreateDialog onClose={() => setCreating(false)} />}
    </>
  );
}

function ServerRow({ vs, picked, onPick }: { vs: Vs; picked: boolean; onPick: () => void }) {
  const labels = labelWords(vs.labels);
  return (
    <article className="row server-row" role="listitem" aria-label={vs.name}>
      <div className="cell-name">
        <span className="pick">
          <input type="checkbox" aria-label={`Select ${vs.name}`} checked={picked} onChange={onPick} />
          <a href={href({ page: "server", name: vs.name })}>{vs.name}</a>
        </span>
        <State state={vs.state} />
      </div>
      <div className="cell-hw">
        <span>
          {vs.vcpus} {vs.vcpus === 1 ? "processor" : "processors"} · {vs.memory_mib} MiB
        </span>
        <span className="muted">{vs.node === "" ? "not placed" : <>on <a href={href({ page: "node", name: vs.node })}>{vs.node}</a></>}</span>
        {labels !== "" && <span className="muted break">{labels}</span>}
      </div>
      <div className="cell-reason">{vs.reason !== "" && <span className={vs.state === "failed" ? "bad-text" : "muted"}>{vs.reason}</span>}</div>
      <div className="cell-act">
        <ServerActions vs={vs} withDelete={false} />
      </div>
    </article>
  );
}
