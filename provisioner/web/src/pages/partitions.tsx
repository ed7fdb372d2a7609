/** Partitions: nodes that agree with one another, and the servers that span them. */
import { useState } from "react";
import { api } from "../api/client";
import type { Partition } from "../api/types";
import { Dialog } from "../components/dialog";
import { CliHint, Empty, Field, Loading, State } from "../components/parts";
import { command } from "../lib/cli";
import { href } from "../lib/route";
import { usePolled } from "../state/polled";
import { useWhyNot } from "../state/rights";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";

/** Founding and number within it, as the command line says it. */
export function epochText(counter: number): string {
  return counter === 0 ? "none" : `${Math.floor(counter / 2 ** 32)}:${counter % 2 ** 32}`;
}

type Choice = { verb: "create" } | { verb: "delete"; partition: Partition } | null;

export function PartitionsPage() {
  const [partitions, look] = usePolled<Partition[]>(api.partitions);
  const [choice, setChoice] = useState<Choice>(null);
  const noCreate = useWhyNot("create", "partition");
  if (!partitions) return <Loading />;
  return (
    <>
      <header className="page-head">
        <h1>Partitions</h1>
        <p className="summary">{partitions.length} defined</p>
        <button type="button" className="primary push" disabled={noCreate !== ""} title={noCreate} onClick={() => setChoice({ verb: "create" })}>
          New partition…
        </button>
      </header>
      {partitions.length === 0 ? (
        <Empty title="No partition yet">
          <p>The nodes of a partition agree with one another, and a virtual server can span them.</p>
          <CliHint command="weft partition create p1 --nodes node-1,node-2" />
        </Empty>
      ) : (
        <div className="rows" role="list" aria-label="Partitions">
          {partitions.map((partition) => (
            <PartitionRow key={partition.id} partition={partition} onDelete={() => setChoice({ verb: "delete", partition })} />
          ))}
        </div>
      )}
      {choice?.verb === "create" && <CreateDialog onClose={() => setChoice(null)} onDone={look} />}
      {choice?.verb === "delete" && <DeleteDialog partition={choice.partition} onClose={() => setChoice(null)} onDone={look} />}
    </>
  );
}

function PartitionRow({ partition, onDelete }: { partition: Partition; onDelete: () => void }) {
  const noDelete = useWhyNot("delete", "partition", partition.name);
  const used = partition.servers.length > 0;
  return (
    <article className="row image-row" role="listitem" aria-label={partition.name}>
      <div className="cell-name">
        <a className="break" href={href({ page: "partition", name: partition.name })}>
          <b>{partition.name}</b>
        </a>
        <State state={partition.state} />
      </div>
      <div className="cell-hw">
        {partition.members.map((member) => (
          <span key={member.node}>
            <a href={href({ page: "node", name: member.node })}>{member.node}</a> {member.state}
          </span>
        ))}
      </div>
      <div className="cell-hw">
        <span>
          epoch {epochText(partition.epoch)}
          {partition.coordinator !== "" && `, coordinated by ${partition.coordinator}`}
        </span>
        <span className="muted">
          configuration {partition.agreed || "none"} agreed{partition.agreed !== partition.configuration && `, ${partition.configuration} given`}
          {used && ` · ${partition.servers.join(", ")}`}
        </span>
      </div>
      <div className="cell-act">
        <button type="button" disabled={used || noDelete !== ""} title={noDelete || (used ? "A server spans it" : "")} onClick={onDelete} aria-label={`Delete ${partition.name}`}>
          Delete…
        </button>
      </div>
    </article>
  );
}

function CreateDialog({ onClose, onDone }: { onClose: () => void; onDone: () => Promise<void> }) {
  const { nodes } = useStore();
  const { tryTo } = useToasts();
  const [name, setName] = useState("p1");
  const [chosen, setChosen] = useState<string[]>([]);
  const offered = (nodes ?? []).filter(({ state }) => state === "ready" || state === "approved");
  const toggle = (node: string, on: boolean) => setChosen((now) => (on ? [...now, node] : now.filter((one) => one !== node)));
  return (
    <Dialog
      title="New partition"
      command={command("partition", "create", name, "--nodes", chosen.join(",") || "NODE,NODE")}
      action="Create"
      ready={/^[A-Za-z0-9-]{1,63}$/.test(name) && chosen.length > 0}
      onAction={async () => {
        const problem = await tryTo(() => api.createPartition({ name, nodes: chosen }), `${name} is defined.`);
        await onDone();
        return problem;
      }}
      onClose={onClose}
    >
      <Field label="Name" hint="Letters, digits and hyphens">
        {(id, note) => <input id={id} aria-describedby={note} value={name} autoFocus onChange={(event) => setName(event.target.value)} />}
      </Field>
      <fieldset>
        <legend>Nodes, in the order in which they coordinate</legend>
        {offered.map((node) => (
          <label className="check" key={node.name}>
            <input type="checkbox" checked={chosen.includes(node.name)} onChange={(event) => toggle(node.name, event.target.checked)} />
            {node.name}
          </label>
        ))}
        {offered.length === 0 && <p className="muted">No node is approved.</p>}
      </fieldset>
    </Dialog>
  );
}

export function DeleteDialog({ partition, onClose, onDone }: { partition: Partition; onClose: () => void; onDone: () => Promise<void> }) {
  const { tryTo } = useToasts();
  return (
    <Dialog
      title={`Delete ${partition.name}`}
      command={command("partition", "delete", partition.name)}
      action="Delete"
      danger
      onAction={async () => {
        const problem = await tryTo(() => api.removePartition(partition.name), `${partition.name} is dissolved.`);
        await onDone();
        return problem;
      }}
      onClose={onClose}
    >
      <p>Its nodes no longer agree with one another. What runs on one node alone goes on.</p>
    </Dialog>
  );
}
