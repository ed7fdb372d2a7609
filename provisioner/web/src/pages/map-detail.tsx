/** The chosen object: what lies on it, where it lives, and what can be done with it. */
import type { TopologyNode } from "../api/types";
import { Icon } from "../components/icons";
import { Fact, State } from "../components/parts";
import { memory } from "../lib/format";
import { href } from "../lib/route";
import { movable, moving, nameOf, path, processors, serverOf } from "../lib/topology";
import type { Index, Kind, Picked } from "../lib/topology";
import { useWhyNot } from "../state/rights";
import { Jump } from "./map-jump";
import { OfNetwork, ServerDevices } from "./map-devices";

interface Props {
  all: Index;
  picked: Picked;
  /** Only to look at: it is how things were. */
  still: boolean;
  onPick: (picked: Picked | null) => void;
  onMove: () => void;
  onEdit: () => void;
  onDelete: () => void;
}

const WORDS: Record<Kind, string> = { datacenter: "Data center", mainframe: "Virtual mainframe", frame: "Frame", node: "Node", partition: "Partition", vs: "Virtual server", vcpu: "Virtual processor", vnic: "VNIC", switch: "Virtual switch", port: "Port", gateway: "Gateway port" };

export function Detail(props: Props) {
  const { all, picked, still, onPick, onMove, onEdit, onDelete } = props;
  const name = nameOf(all, picked);
  const move = { vs: ["move", "vs", name], vcpu: ["edit", "vs", serverOf(all, picked)?.name ?? ""], vnic: ["edit", "vnic", name], node: ["move", "node", name] }[picked.kind as string] ?? ["move", "node", ""];
  const noMove = useWhyNot(move[0] ?? "", move[1] ?? "", move[2]);
  const box = picked.kind === "datacenter" || picked.kind === "mainframe" || picked.kind === "frame";
  const noEdit = useWhyNot("edit", box ? picked.kind : "frame", box ? name : "");
  const noDelete = useWhyNot("delete", box ? picked.kind : "frame", box ? name : "");
  return (
    <aside className="panel map-detail" aria-label={`${WORDS[picked.kind]} ${name}`}>
      <header className="map-detail-head">
        <div>
          <span className="map-kind">{WORDS[picked.kind]}</span>
          <h2 className="break">{name}</h2>
        </div>
        <button type="button" className="quiet icon" aria-label="Close" onClick={() => onPick(null)}>
          ×
        </button>
      </header>
      <What {...props} />
      <div className="map-detail-act">
        {movable(picked) && !still && (
          <button type="button" disabled={noMove !== ""} title={noMove} onClick={onMove}>
            <Icon name="move" />
            {moving(picked).verb} to…
          </button>
        )}
        {box && !still && (
          <>
            <button type="button" disabled={noEdit !== ""} title={noEdit} onClick={onEdit}>
              Rename or move…
            </button>
            <button type="button" disabled={noDelete !== ""} title={noDelete} onClick={onDelete}>
              <Icon name="trash" />
              Delete…
            </button>
          </>
        )}
      </div>
    </aside>
  );
}

function What({ all, picked, onPick }: Props) {
  switch (picked.kind) {
    case "node": {
      const node = all.nodes.get(picked.id);
      return node ? <OfNode all={all} node={node} onPick={onPick} /> : null;
    }
    case "vs": {
      const vs = all.servers.get(picked.id);
      if (!vs) return null;
      return (
        <>
          <p>
            <State state={vs.state} /> {vs.vcpus} vCPU, {memory(vs.memory_mib * 1024)}
          </p>
          <h3>Where it lives</h3>
          <ul className="map-list">
            {vs.places.map((place) => {
              const node = all.nodes.get(place.node);
              return (
                <li key={place.node}>
                  <Jump all={all} to={{ kind: "node", id: place.node }} onPick={onPick} />
                  <span className="muted">
                    {processors(place)}, {memory(place.memory_mib * 1024)}
                    {node && ` · ${path(all, node).join(", ")}`}
                  </span>
                </li>
              );
            })}
          </ul>
          {vs.partition !== "" && (
            <p>
              It spans partition <Jump all={all} to={{ kind: "partition", id: vs.partition }} onPick={onPick} />.
            </p>
          )}
          <ServerDevices all={all} vs={vs} onPick={onPick} />
          <p>
            <a href={href({ page: "server", name: vs.name })}>All about {vs.name}</a>
          </p>
        </>
      );
    }
    case "vcpu":
    case "vnic":
    case "switch":
    case "port":
    case "gateway":
      return <OfNetwork all={all} picked={picked} onPick={onPick} />;
    case "partition": {
      const partition = all.partitions.get(picked.id);
      if (!partition) return null;
      return (
        <>
          <p>
            <State state={partition.state} />
          </p>
          <h3>Its nodes</h3>
          <ul className="map-list">
            {partition.members.map((id) => (
              <li key={id}>
                <Jump all={all} to={{ kind: "node", id }} onPick={onPick} />
              </li>
            ))}
          </ul>
          <Servers all={all} ids={partition.servers} title="What spans it" none="No server spans it." onPick={onPick} />
          <p className="muted">Its nodes move together: drag the partition. Which they are is chosen when it is made.</p>
        </>
      );
    }
    default: {
      const box = all.boxes.get(picked.id);
      const standing = all.standing.get(picked.id);
      if (!box) return null;
      const inner = [...all.boxes.values()].filter(({ parent }) => parent === box.id);
      const nodes = [...(standing?.nodes ?? []), ...(standing?.partitions ?? []).flatMap((group) => group.nodes)];
      const kind: Kind = picked.kind === "datacenter" ? "mainframe" : "frame";
      return (
        <>
          {box.parent !== "" && (
            <p>
              In <Jump all={all} to={{ kind: picked.kind === "frame" ? "mainframe" : "datacenter", id: box.parent }} onPick={onPick} />
            </p>
          )}
          {picked.kind === "frame" ? (
            <Some title="Nodes in it" none="No node stands in it." items={nodes.map(({ id }) => ({ kind: "node" as const, id }))} all={all} onPick={onPick} />
          ) : (
            <Some title="What it holds" none="It holds nothing." items={inner.map(({ id }) => ({ kind, id }))} all={all} onPick={onPick} />
          )}
        </>
      );
    }
  }
}

/** Names in a list before the rest is only counted. */
const LISTED = 24;

function Some({ title, none, items, all, onPick }: { title: string; none: string; items: Picked[]; all: Index; onPick: (picked: Picked) => void }) {
  return (
    <>
      <h3>{title}</h3>
      {items.length === 0 && <p className="muted">{none}</p>}
      <p className="map-names">
        {items.slice(0, LISTED).map((to) => (
          <Jump key={to.id} all={all} to={to} onPick={onPick} />
        ))}
        {items.length > LISTED && <span className="muted">and {items.length - LISTED} more</span>}
      </p>
    </>
  );
}

function Servers({ all, ids, title, none, onPick }: { all: Index; ids: readonly string[]; title: string; none: string; onPick: (picked: Picked) => void }) {
  return (
    <>
      <h3>{title}</h3>
      {ids.length === 0 && <p className="muted">{none}</p>}
      <ul className="map-list">
        {ids.map((id) => {
          const vs = all.servers.get(id);
          return (
            <li key={id}>
              <Jump all={all} to={{ kind: "vs", id }} onPick={onPick} />
              {vs && <State state={vs.state} />}
            </li>
          );
        })}
      </ul>
    </>
  );
}

function OfNode({ all, node, onPick }: { all: Index; node: TopologyNode; onPick: (picked: Picked) => void }) {
  return (
    <>
      <p>
        <State state={node.state} /> {path(all, node).join(", ")}
      </p>
      <dl className="facts">
        <Fact label="Processors">{node.cpus === 0 ? "not known" : `${node.cpus}${node.cpu_model === "" ? "" : `, ${node.cpu_model}`}`}</Fact>
        <Fact label="Memory">
          {memory(node.memory_mib * 1024)}, {memory(node.free_mib * 1024)} free
        </Fact>
        <Fact label="NICs">
          {node.nics.length === 0 && "none known"}
          {node.nics.map((nic) => (
            <span key={nic.mac} className="map-nic">
              <span className="mono">{nic.mac}</span> {nic.link_up ? nic.address || "up" : "no link"}
            </span>
          ))}
        </Fact>
        {node.partition !== "" && (
          <Fact label="Partition">
            <Jump all={all} to={{ kind: "partition", id: node.partition }} onPick={onPick} />
          </Fact>
        )}
      </dl>
      <Servers all={all} ids={node.servers.map(({ server }) => server)} title="What lies on it" none="Nothing lies on it." onPick={onPick} />
      <p>
        <a href={href({ page: "node", name: node.name })}>All about {node.name}</a>
      </p>
    </>
  );
}
