/** One virtual server. */
import { EventList } from "../components/event-list";
import { Icon } from "../components/icons";
import { CliHint, Empty, Fact, Loading, State } from "../components/parts";
import { command } from "../lib/cli";
import { count, shortDigest } from "../lib/format";
import { href } from "../lib/route";
import { useStore } from "../state/store";
import { ServerActions } from "./server-actions";

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
          <Fact label="Starts so far">{vs.instance}</Fact>
          <Fact label="Exits since start">{count(vs.exits)}</Fact>
          <Fact label="Definition generation">{vs.generation}</Fact>
          <Fact label="Identity">
            <code>{vs.id}</code>
          </Fact>
        </dl>
        <CliHint command={command("vs", "show", vs.name)} />
      </section>
      <section className="panel">
        <h2>Events of this server</h2>
        <EventList events={feed.events.filter((event) => event.vs === vs.name).slice(-30)} without="vs" />
      </section>
    </>
  );
}
