/** All nodes, as they arrive. */
import { useState } from "react";
import type { Node } from "../api/types";
import { Chart } from "../components/chart";
import { GroupResult, SelectorField, SelectorNote, useChosen } from "../components/group";
import type { Done } from "../components/group";
import { CliHint, Empty, Loading, State, Trust } from "../components/parts";
import { StageChart, StageProgress } from "../components/stages";
import { command } from "../lib/cli";
import { ago, memory } from "../lib/format";
import type { NodeAction } from "../lib/node-group";
import { href } from "../lib/route";
import { labelWords, selected } from "../lib/selector";
import { useWhyNot } from "../state/rights";
import { useNow, useStore } from "../state/store";
import { ApproveDialog } from "./node-dialogs";
import { NodeGroupBar, NodeGroupDialog } from "./node-group";

/** More rows than this need a filter. */
const ROWS = 200;

const ORDER = ["conflict", "quarantined", "booting", "lost", "ready", "approved"];

export function sorted(nodes: readonly Node[]): Node[] {
  const rank = (node: Node) => {
    const index = ORDER.indexOf(node.state);
    return index < 0 ? ORDER.length : index;
  };
  return [...nodes].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name, "en", { numeric: true }));
}

function matches(node: Node, text: string): boolean {
  const wanted = text.toLowerCase();
  return [node.name, node.state, node.mac, node.address, node.id, node.fingerprint, node.cpu_model, ...node.servers].some((field) =>
    field.toLowerCase().includes(wanted),
  );
}

export function NodesPage() {
  const { nodes } = useStore();
  const [filter, setFilter] = useState("");
  const [approving, setApproving] = useState<string | null>(null);
  const [selector, setSelector] = useState("");
  const [asked, setAsked] = useState<{ action: NodeAction; nodes: readonly Node[] } | null>(null);
  const [done, setDone] = useState<Done | null>(null);
  const { found, problem } = selected(selector, nodes ?? []);
  const shown = sorted(found).filter((node) => matches(node, filter));
  // A machine that only boots has no identity yet.
  const known = shown.filter(({ id }) => id !== "");
  const group = useChosen(known);
  if (!nodes) return <Loading />;
  const chosen = nodes.find(({ name }) => name === approving);
  return (
    <>
      <header className="page-head">
        <h1>Nodes</h1>
        <Summary nodes={nodes} />
        {nodes.length > 0 && (
          <div className="filters">
            <input type="search" placeholder="Name, state…" aria-label="Filter nodes" value={filter} onChange={(event) => setFilter(event.target.value)} />
            <SelectorField problem={problem} selector={selector} onSelector={setSelector} />
          </div>
        )}
      </header>
      {nodes.length === 0 ? (
        <FirstNode />
      ) : (
        <>
          <SelectorNote problem={problem} />
          <NodeGroupBar shown={known} chosen={group.chosen} onAll={group.all} onAction={(action) => setAsked({ action, nodes: group.chosen })} />
          {done && <GroupResult done={done} onDismiss={() => setDone(null)} />}
          <div className="rows" role="list" aria-label="Nodes">
            {shown.slice(0, ROWS).map((node) => (
              <NodeRow
                key={node.id === "" ? node.mac : node.id}
                node={node}
                picked={group.has(node.name)}
                onPick={() => group.pick(node.name)}
                onApprove={() => setApproving(node.name)}
              />
            ))}
          </div>
          {shown.length === 0 && <p className="muted pad">No node fits.</p>}
          {shown.length > ROWS && <p className="muted pad">{shown.length - ROWS} more. Filter to see them.</p>}
          {selector.trim() !== "" && problem === "" && <CliHint command={command("node", "list", "-l", selector.trim())} />}
          <section className="panel">
            <h2>Boot stages</h2>
            <StageChart nodes={shown.slice(0, 24)} />
          </section>
        </>
      )}
      {asked && (
        <NodeGroupDialog
          {...asked}
          onDone={(result) => {
            setDone(result);
            group.all(false);
          }}
          onClose={() => setAsked(null)}
        />
      )}
      {chosen && <ApproveDialog node={chosen} onClose={() => setApproving(null)} />}
    </>
  );
}

function Summary({ nodes }: { nodes: Node[] }) {
  const of = (state: string) => nodes.filter((node) => node.state === state).length;
  const cpus = nodes.filter(({ state }) => state === "ready").reduce((sum, node) => sum + node.cpus, 0);
  const kib = nodes.filter(({ state }) => state === "ready").reduce((sum, node) => sum + node.memory_kib, 0);
  const parts = [`${of("ready")} ready`];
  for (const state of ["booting", "quarantined", "lost", "conflict"]) if (of(state) > 0) parts.push(`${of(state)} ${state}`);
  if (cpus > 0) parts.push(`${cpus} processors`, memory(kib));
  return <p className="summary">{parts.join(" · ")}</p>;
}

interface RowProps {
  node: Node;
  picked: boolean;
  onPick: () => void;
  onApprove: () => void;
}

function NodeRow({ node, picked, onPick, onApprove }: RowProps) {
  const now = useNow();
  const { samples } = useStore();
  const noApprove = useWhyNot("approve", "node", node.name);
  const history = samples.of(node.name);
  const labels = labelWords(node.labels);
  return (
    <article className="row node-row" role="listitem" aria-label={node.name}>
      <div className="cell-name">
        <span className="pick">
          {node.id !== "" && <input type="checkbox" aria-label={`Select ${node.name}`} checked={picked} onChange={onPick} />}
          <a href={href({ page: "node", name: node.name })}>{node.name}</a>
        </span>
        <State state={node.state} />
      </div>
      <div className="cell-boot">
        <StageProgress node={node} />
        {node.boot_path !== "" && node.state !== "booting" && <Trust trusted={node.trusted_boot} path={node.boot_path} />}
      </div>
      <div className="cell-hw">
        <span>
          {node.cpus > 0 ? `${node.cpus} × ${node.cpu_model === "" ? "processor" : node.cpu_model}` : "no inventory yet"}
        </span>
        <span className="muted">
          {[node.memory_kib > 0 ? memory(node.memory_kib) : "", node.address, node.mac, node.generation > 0 ? `gen ${node.generation}` : ""]
            .filter((part) => part !== "")
            .join(" · ")}
        </span>
        {labels !== "" && <span className="muted break">{labels}</span>}
      </div>
      <div className="cell-load">
        {node.state === "ready" ? (
          <>
            <Chart spark title="Busy" unit=" %" max={100} at={history.map(({ at }) => at)} series={[{ label: "busy", color: "--accent", values: history.map(({ busy }) => busy) }]} />
            <span className="muted num">{(node.busy_permille / 10).toFixed(0)} % busy</span>
          </>
        ) : (
          <span className="muted">seen {ago(node.last_seen, now)}</span>
        )}
      </div>
      <div className="cell-act">
        {node.state === "quarantined" ? (
          <button type="button" className="primary" disabled={noApprove !== ""} title={noApprove} onClick={onApprove}>
            Approve…
          </button>
        ) : (
          <span className="muted">{node.servers.length === 0 ? "" : node.servers.length === 1 ? "1 server" : `${node.servers.length} servers`}</span>
        )}
      </div>
    </article>
  );
}

function FirstNode() {
  return (
    <Empty title="No node has booted yet">
      <p>
        Switch on a machine that is set to boot from the network, on the network that this appliance serves. It appears here with
        its first DHCP request, and each stage of its boot shows as it happens.
      </p>
      <ol>
        <li>In the machine’s firmware, put network boot (PXE, IPv4) first.</li>
        <li>For a trusted boot, enrol the appliance’s Secure Boot keys; without them it boots too, and is shown as untrusted.</li>
        <li>When it waits as “quarantined”, compare its fingerprint with its own console, and approve it.</li>
      </ol>
      <p>
        Nothing appears? <a href="#/doctor">Doctor</a> says where it stopped.
      </p>
      <CliHint command="weft doctor" />
    </Empty>
  );
}
