/** One node: boot, inventory, load, log. */
import { useEffect, useMemo, useState } from "react";
import { ApiError, api } from "../api/client";
import type { LogEntry, Node } from "../api/types";
import { EventList } from "../components/event-list";
import { Icon } from "../components/icons";
import { LoadPanel, nodeCharts } from "../components/load";
import { CliHint, Empty, Fact, Loading, State, Trust } from "../components/parts";
import { StageChart, StageProgress } from "../components/stages";
import { command } from "../lib/cli";
import { ago, clock, memory, shortDigest, span } from "../lib/format";
import { href } from "../lib/route";
import { useWhyNot } from "../state/rights";
import { useNow, useStore } from "../state/store";
import { LabelsFact } from "./labels";
import { PowerPanel } from "./node-power";
import { ApproveDialog, PushDialog, RebootDialog } from "./node-dialogs";
import { NodeGroupDialog } from "./node-group";

export function NodePage({ name }: { name: string }) {
  const { nodes, feed } = useStore();
  const [dialog, setDialog] = useState<"approve" | "forget" | "move" | "push" | "reboot" | null>(null);
  const noApprove = useWhyNot("approve", "node", name);
  const noPush = useWhyNot("push", "node", name);
  const noReboot = useWhyNot("reboot", "node", name);
  const noForget = useWhyNot("forget", "node", name);
  const noMove = useWhyNot("move", "node", name);
  if (!nodes) return <Loading />;
  const node = nodes.find((one) => one.name === name || (one.id !== "" && one.id === name));
  if (!node) {
    return (
      <Empty title={`There is no node ${name}`}>
        <p>
          It may have been forgotten. <a href="#/nodes">All nodes</a>
        </p>
      </Empty>
    );
  }
  const close = () => setDialog(null);
  return (
    <>
      <header className="page-head">
        <a className="up" href="#/nodes">
          <Icon name="back" />
          Nodes
        </a>
        <h1>{node.name}</h1>
        <State state={node.state} />
        {node.boot_path !== "" && node.state !== "booting" && <Trust trusted={node.trusted_boot} path={node.boot_path} />}
        <div className="actions">
          {node.state === "quarantined" && (
            <button type="button" className="primary" disabled={noApprove !== ""} title={noApprove} onClick={() => setDialog("approve")}>
              Approve…
            </button>
          )}
          <button type="button" onClick={() => setDialog("push")} disabled={node.state !== "ready" || noPush !== ""} title={noPush || (node.state === "ready" ? "" : "Only a node that is ready can be sent anything")}>
            Push configuration…
          </button>
          <button type="button" onClick={() => setDialog("reboot")} disabled={node.state !== "ready" || noReboot !== ""} title={noReboot || (node.state === "ready" ? "" : "Only a node that is ready can be told to restart")}>
            Restart…
          </button>
          {node.state !== "quarantined" && node.state !== "booting" && (
            <button type="button" disabled={noMove !== ""} title={noMove} onClick={() => setDialog("move")}>
              Move…
            </button>
          )}
          <button type="button" disabled={noForget !== ""} title={noForget} onClick={() => setDialog("forget")}>
            Forget…
          </button>
        </div>
      </header>
      <section className="panel">
        <h2>Boot</h2>
        <StageProgress node={node} />
        <StageChart nodes={[node]} />
      </section>
      {node.state !== "booting" && node.state !== "quarantined" && <Load node={node} />}
      {node.state !== "booting" && node.state !== "quarantined" && <PowerPanel node={node} />}
      <Inventory node={node} />
      <Log node={node} />
      <section className="panel">
        <h2>Events of this node</h2>
        <EventList events={feed.events.filter((event) => event.node === node.name).slice(-30)} without="node" />
      </section>
      {dialog === "approve" && <ApproveDialog node={node} onClose={close} />}
      {(dialog === "forget" || dialog === "move") && (
        <NodeGroupDialog
          action={dialog}
          nodes={[node]}
          onDone={() => {
            if (dialog === "forget") location.hash = "#/nodes";
          }}
          onClose={close}
        />
      )}
      {dialog === "push" && <PushDialog node={node} onClose={close} />}
      {dialog === "reboot" && <RebootDialog node={node} onClose={close} />}
    </>
  );
}

function Load({ node }: { node: Node }) {
  const { servers } = useStore();
  const spans = servers?.some((vs) => vs.partition !== "" && vs.places?.some((place) => place.node === node.name)) ?? false;
  const charts = useMemo(() => nodeCharts(node.memory_kib * 1024, spans), [node.memory_kib, spans]);
  return (
    <LoadPanel
      kind="nodes"
      name={node.name}
      charts={charts}
      silent={
        <p>
          {node.name} has told nothing in the last five minutes. A node tells its load each second while it is connected; <a href="#/doctor">see where it stopped</a>.
        </p>
      }
    />
  );
}

function Inventory({ node }: { node: Node }) {
  const now = useNow();
  return (
    <section className="panel">
      <h2>Inventory</h2>
      <dl className="facts">
        <Fact label="Processors">{node.cpus > 0 ? `${node.cpus} × ${node.cpu_model}` : "–"}</Fact>
        <Fact label="Memory">{memory(node.memory_kib)}</Fact>
        <Fact label="Address">{node.address === "" ? "–" : node.address}</Fact>
        <Fact label="Last heard of">{ago(node.last_seen, now)}</Fact>
        <Fact label="Up for">{node.uptime_ms > 0 ? span(node.uptime_ms) : "–"}</Fact>
        <Fact label="Image">
          {node.generation > 0 ? `generation ${node.generation}, ` : ""}
          <code title={node.image}>{shortDigest(node.image)}</code>
        </Fact>
        <Fact label="Fingerprint">
          <code>{node.fingerprint === "" ? "–" : node.fingerprint}</code>
        </Fact>
        <Fact label="Identity">
          <code>{node.id === "" ? "–" : node.id}</code>
        </Fact>
        <Fact label="Features in use">{node.features.length === 0 ? "–" : node.features.join(", ")}</Fact>
        {/* What waits for approval is not kept, and so has none. */}
        {node.state !== "booting" && node.state !== "quarantined" && <LabelsFact noun="node" name={node.name} labels={node.labels ?? {}} />}
        <Fact label="Virtual servers">
          {node.servers.length === 0
            ? "none"
            : node.servers.map((server, index) => (
                <span key={server}>
                  {index > 0 && ", "}
                  <a href={href({ page: "server", name: server })}>{server}</a>
                </span>
              ))}
        </Fact>
      </dl>
      {node.nics.length > 0 && (
        <div className="scroll">
          <table>
            <caption className="sr-only">Network interfaces</caption>
            <thead>
              <tr>
                <th scope="col">Interface</th>
                <th scope="col">Driver</th>
                <th scope="col">PCI</th>
                <th scope="col">Link</th>
                <th scope="col">Address</th>
              </tr>
            </thead>
            <tbody>
              {node.nics.map((nic) => (
                <tr key={nic.mac}>
                  <td className="mono">{nic.mac}</td>
                  <td>{nic.driver}</td>
                  <td className="mono">{nic.pci_id}</td>
                  <td>
                    <span className={`state ${nic.link_up ? "ok" : "bad"}`}>{nic.link_up ? "up" : "down"}</span>
                  </td>
                  <td className="mono">{nic.address === "" ? "–" : nic.address}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Log({ node }: { node: Node }) {
  const [entries, setEntries] = useState<LogEntry[] | null>(null);
  const [trouble, setTrouble] = useState("");
  const [grep, setGrep] = useState("");
  const now = useNow();
  const name = node.name;
  useEffect(() => {
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = async () => {
      try {
        const query = new URLSearchParams({ lines: "200" });
        if (grep !== "") query.set("grep", grep);
        const fresh = await api.log(name, query);
        if (!stopped) {
          setEntries(fresh);
          setTrouble("");
        }
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (!stopped) setTrouble(error.problem.title);
      }
      if (!stopped) timer = setTimeout(() => void read(), 3000);
    };
    void read();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, [name, grep]);
  return (
    <section className="panel">
      <h2>Log</h2>
      <input type="search" className="filter" placeholder="Lines with…" aria-label="Search the log" maxLength={128} value={grep} onChange={(event) => setGrep(event.target.value)} />
      {trouble !== "" && <p className="note warn">{trouble}</p>}
      {entries && entries.length === 0 && grep !== "" && <p className="muted">No line of the last 1000 has that.</p>}
      {entries && entries.length === 0 && grep === "" && <p className="muted">The node has sent nothing yet. It does so when its secure channel is open.</p>}
      {entries && entries.length > 0 && (
        <div className="log" role="log" aria-label={`Log of ${name}`} tabIndex={0}>
          {entries.map((entry, index) => (
            <div key={`${entry.uptime_ms}-${index}`} className={`log-line ${entry.level}`}>
              <time dateTime={entry.at} title={entry.at}>
                {clock(entry.at, now)}
              </time>
              <span className="log-up">{(entry.uptime_ms / 1000).toFixed(3)}</span>
              <span className="log-level">{entry.level}</span>
              <span>{entry.text}</span>
            </div>
          ))}
        </div>
      )}
      <CliHint command={command("node", "log", name, ...(grep === "" ? [] : ["--grep", grep]))} />
    </section>
  );
}
