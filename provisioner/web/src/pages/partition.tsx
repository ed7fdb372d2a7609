/** One partition: its members, the servers that span it, and the load of its nodes together. */
import { useCallback, useMemo, useState } from "react";
import { api } from "../api/client";
import type { Partition } from "../api/types";
import { Icon } from "../components/icons";
import { LoadPanel, nodeCharts } from "../components/load";
import { CliHint, Empty, Fact, Loading, State } from "../components/parts";
import { command } from "../lib/cli";
import { href } from "../lib/route";
import { usePolled } from "../state/polled";
import { useWhyNot } from "../state/rights";
import { useStore } from "../state/store";
import { DeleteDialog, epochText } from "./partitions";

export function PartitionPage({ name }: { name: string }) {
  const [partitions, look] = usePolled<Partition[]>(api.partitions);
  const [deleting, setDeleting] = useState(false);
  const noDelete = useWhyNot("delete", "partition", name);
  const close = useCallback(() => setDeleting(false), []);
  if (!partitions) return <Loading />;
  const partition = partitions.find((one) => one.name === name);
  if (!partition) {
    return (
      <Empty title={`There is no partition ${name}`}>
        <p>
          It may have been dissolved. <a href="#/partitions">All partitions</a>
        </p>
      </Empty>
    );
  }
  const used = partition.servers.length > 0;
  return (
    <>
      <header className="page-head">
        <a className="up" href="#/partitions">
          <Icon name="back" />
          Partitions
        </a>
        <h1>{partition.name}</h1>
        <State state={partition.state} />
        <div className="actions">
          <button type="button" disabled={used || noDelete !== ""} title={noDelete || (used ? "A server spans it" : "")} onClick={() => setDeleting(true)}>
            Delete…
          </button>
        </div>
      </header>
      <Members partition={partition} />
      <Load partition={partition} />
      {deleting && <DeleteDialog partition={partition} onClose={close} onDone={look} />}
    </>
  );
}

function Members({ partition }: { partition: Partition }) {
  return (
    <section className="panel">
      <h2>Members</h2>
      <dl className="facts">
        <Fact label="Epoch">{epochText(partition.epoch)}</Fact>
        <Fact label="Coordinated by">{partition.coordinator === "" ? "nobody" : partition.coordinator}</Fact>
        <Fact label="Configuration agreed">{partition.agreed || "none"}</Fact>
        <Fact label="Configuration given">{partition.configuration || "none"}</Fact>
        <Fact label="Servers that span it">
          {partition.servers.length === 0
            ? "none"
            : partition.servers.map((server, index) => (
                <span key={server}>
                  {index > 0 && ", "}
                  <a href={href({ page: "server", name: server })}>{server}</a>
                </span>
              ))}
        </Fact>
      </dl>
      <div className="scroll">
        <table>
          <caption className="sr-only">Members in the order in which they coordinate</caption>
          <thead>
            <tr>
              <th scope="col">Node</th>
              <th scope="col">State</th>
              <th scope="col">Epoch</th>
              <th scope="col">Configuration</th>
            </tr>
          </thead>
          <tbody>
            {partition.members.map((member) => (
              <tr key={member.node}>
                <td>
                  <a href={href({ page: "node", name: member.node })}>{member.node}</a>
                </td>
                <td>
                  <State state={member.state} />
                </td>
                <td className="num">{epochText(member.epoch)}</td>
                <td className="mono">{member.configuration || "none"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <CliHint command={command("partition", "show", partition.name)} />
    </section>
  );
}

function Load({ partition }: { partition: Partition }) {
  const { nodes } = useStore();
  // Only where all of them are known is the sum that of the partition.
  const sizes = partition.members.map(({ node }) => nodes?.find(({ name }) => name === node)?.memory_kib ?? 0);
  const memory = sizes.some((kib) => kib === 0) ? 0 : sizes.reduce((sum, kib) => sum + kib, 0) * 1024;
  const charts = useMemo(() => nodeCharts(memory, true), [memory]);
  return (
    <LoadPanel
      kind="partitions"
      name={partition.name}
      charts={charts}
      silent={
        <p>
          In the last five minutes there was no second of which all its nodes told their load. <a href="#/doctor">See where they stopped</a>.
        </p>
      }
    />
  );
}
