/** One virtual server. */
import { useMemo } from "react";
import type { Vs } from "../api/types";
import { EventList } from "../components/event-list";
import { Icon } from "../components/icons";
import { LoadPanel, serverCharts } from "../components/load";
import { CliHint, Empty, Fact, Loading, State } from "../components/parts";
import { command } from "../lib/cli";
import { changeWords } from "../lib/edit";
import { count, shortDigest } from "../lib/format";
import { href } from "../lib/route";
import { useStore } from "../state/store";
import { LabelsFact } from "./labels";
import { ServerActions } from "./server-actions";
import { SpanPanel } from "./server-span";

export function ServerPage({ name }: { name: string }) {
  const { servers, feed } = useStore();
  if (!servers) return <Loading />;
  const vs = servers.find((one) => one.name === name);
  if (!vs) {
    return (
      <Empty title={`There is no virtual server ${name}`}>
        <p>
          It may have been deleted. <a href="#/servers">All virtual servers</a>
        </p>
      </Empty>
    );
  }
  return (
    <>
      <header className="page-head">
        <a className="up" href="#/servers">
          <Icon name="back" />
          Servers
        </a>
        <h1>{vs.name}</h1>
        <State state={vs.state} />
        <div className="actions">
          <ServerActions vs={vs} withDelete />
        </div>
      </header>
      {vs.reason !== "" && <p className={vs.state === "failed" ? "note bad" : "note"}>{vs.reason}</p>}
      {(vs.pending ?? []).length > 0 && (
        <div className="note">
          <p>Not applied: the next start takes</p>
          <ul>
            {(vs.pending ?? []).map((field) => (
              <li key={field.field} className="break">
                {changeWords(field)}
              </li>
            ))}
          </ul>
        </div>
      )}
      <section className="panel">
        <h2>Definition</h2>
        <dl className="facts">
          <Fact label="Processors">{vs.vcpus}</Fact>
          <Fact label="Memory">{vs.memory_mib} MiB</Fact>
          <Fact label="Node">{vs.node === "" ? "not placed" : <a href={href({ page: "node", name: vs.node })}>{vs.node}</a>}</Fact>
          <Fact label="Wanted state">{vs.desired}</Fact>
          <Fact label="Kernel">
            <code title={vs.kernel}>{shortDigest(vs.kernel)}</code>
          </Fact>
          <Fact label="Initial ram disk">
            <code title={vs.initrd}>{shortDigest(vs.initrd)}</code>
          </Fact>
          <Fact label="Added command line">{vs.append === "" ? "–" : <code>{vs.append}</code>}</Fact>
          <Fact label="Network interfaces">{vs.macs.length === 0 ? "none" : <code>{vs.macs.join(", ")}</code>}</Fact>
          <Fact label="WWNN, reserved for storage">{(vs.wwnn ?? "") === "" ? "none" : <code>{vs.wwnn}</code>}</Fact>
          {(vs.hostname ?? "") !== "" && <Fact label="Host name of the guest">{vs.hostname}</Fact>}
          {(vs.address ?? "") !== "" && (
            <Fact label="Address of the guest">
              <code>{vs.address}</code>
              {vs.gateway ? ` by ${vs.gateway}` : ""}
            </Fact>
          )}
          {(vs.affinity ?? "") !== "" && (
            <Fact label="Affinity">
              <code>{vs.affinity}</code>
            </Fact>
          )}
          <LabelsFact noun="vs" name={vs.name} labels={vs.labels ?? {}} />
          <Fact label="Starts so far">{vs.instance}</Fact>
          <Fact label="Exits since start">{count(vs.exits)}</Fact>
          <Fact label="Definition generation">{vs.generation}</Fact>
          <Fact label="Identity">
            <code>{vs.id}</code>
          </Fact>
        </dl>
        <CliHint command={command("vs", "show", vs.name)} />
      </section>
      <Load vs={vs} />
      {vs.partition !== "" && <SpanPanel name={vs.name} />}
      <section className="panel">
        <h2>Events of this server</h2>
        <EventList events={feed.events.filter((event) => event.vs === vs.name).slice(-30)} without="vs" />
      </section>
    </>
  );
}

function Load({ vs }: { vs: Vs }) {
  const spans = vs.partition !== "";
  const charts = useMemo(() => serverCharts(vs.vcpus, vs.memory_mib * 1024 * 1024, spans), [vs.vcpus, vs.memory_mib, spans]);
  return (
    <LoadPanel
      kind="vs"
      name={vs.name}
      charts={charts}
      silent={<p>{vs.state === "running" ? "Its nodes have told nothing of it yet. They do so each second." : `It did not run in the last five minutes, and used nothing. It is ${vs.state} now.`}</p>}
    />
  );
}
