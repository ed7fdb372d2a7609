/** Boxes of the map. Each is drawn anew only when what is in it changed; long frames are drawn a piece at a time. */
import { memo, useMemo, useState } from "react";
import type { TopologyBox, TopologyNode, TopologyServer } from "../api/types";
import { Icon } from "../components/icons";
import { memory } from "../lib/format";
import { useInside } from "../lib/opened";
import type { Inside } from "../lib/opened";
import { ANY_KEY } from "../lib/topology";
import type { Index, Standing } from "../lib/topology";
import { tone } from "../lib/tone";

/** Boxes that one step of a long list adds. */
const STEP = 48;
/** Servers that a node's box names. */
const NAMED = 6;
/** Processors that a node's box draws; the others are in the list of places. */
const PROCESSORS = 64;

interface Outer {
  box: TopologyBox;
  all: Index;
  filter: string;
  closed: boolean;
}

function within(all: readonly TopologyBox[], parent: string): TopologyBox[] {
  return all.filter((box) => box.parent === parent);
}

/** The first of many, and a button for more. */
function useSome<T>(all: readonly T[]): [readonly T[], React.ReactNode] {
  const [most, setMost] = useState(STEP);
  const rest = all.length - most;
  const more = rest > 0 && (
    <button type="button" className="map-more" onClick={(event) => { event.stopPropagation(); setMost(most + STEP); }}>
      Show {Math.min(STEP, rest)} of {rest} more
    </button>
  );
  return [rest > 0 ? all.slice(0, most) : all, more];
}

export function DatacenterBox({ box, all, filter, closed }: Outer) {
  const [some, more] = useSome(within(all.topology.mainframes, box.id));
  return (
    <section className="map-dc" data-id={box.id} aria-label={`Data center ${box.name}`}>
      <Head kind="datacenter" words="data center" id={box.id} name={box.name} />
      {some.map((inner) => (
        <MainframeBox key={inner.id} box={inner} all={all} filter={filter} closed={closed} />
      ))}
      {more}
      {some.length === 0 && <p className="muted map-none">Holds no virtual mainframe.</p>}
    </section>
  );
}

export function MainframeBox({ box, all, filter, closed }: Outer) {
  const [some, more] = useSome(within(all.topology.frames, box.id));
  return (
    <section className="map-mf" data-id={box.id} aria-label={`Virtual mainframe ${box.name}`}>
      <Head kind="mainframe" words="virtual mainframe" id={box.id} name={box.name} />
      <div className="map-frames">
        {some.map((inner) => (
          <FrameBox key={inner.id} id={inner.id} title={inner.name} item="frame" drop={inner.id} standing={all.standing.get(inner.id)} servers={all.servers} filter={filter} closed={closed} />
        ))}
        {more}
      </div>
      {some.length === 0 && <p className="muted map-none">Holds no frame.</p>}
    </section>
  );
}

function Head({ kind, words, id, name }: { kind: string; words: string; id: string; name: string }) {
  return (
    <header className="map-head">
      <button type="button" className="map-title" data-item={kind} data-id={id} tabIndex={-1} aria-label={`${words} ${name}`}>
        <span className="map-kind">{words}</span> <b className="break">{name}</b>
      </button>
    </header>
  );
}

interface FrameProps {
  id: string;
  title: string;
  /** `frame` where it can be chosen. */
  item?: string;
  drop?: string;
  note?: string;
  standing: Standing | undefined;
  servers: Map<string, TopologyServer>;
  filter: string;
  closed: boolean;
}

/** Whether a node, or a server on it, is looked for. */
function fits(node: TopologyNode, servers: Map<string, TopologyServer>, filter: string): boolean {
  return node.name.toLowerCase().includes(filter) || node.servers.some(({ server }) => servers.get(server)?.name.toLowerCase().includes(filter));
}

function filtered(standing: Standing | undefined, servers: Map<string, TopologyServer>, filter: string): Standing {
  const all = standing ?? { partitions: [], nodes: [], count: 0 };
  if (filter === "") return all;
  const nodes = all.nodes.filter((node) => fits(node, servers, filter));
  const partitions = all.partitions
    .map((group) => (group.partition.name.toLowerCase().includes(filter) ? group : { ...group, nodes: group.nodes.filter((node) => fits(node, servers, filter)) }))
    .filter((group) => group.nodes.length > 0);
  return { partitions, nodes, count: all.count };
}

export const FrameBox = memo(function FrameBox({ id, title, item, drop, note, standing, servers, filter, closed }: FrameProps) {
  const [toggled, setToggled] = useState<boolean | null>(null);
  const count = standing?.count ?? 0;
  const shown = useMemo(() => filtered(standing, servers, filter), [standing, servers, filter]);
  const open = toggled ?? (filter !== "" || !closed || count === 0);
  const [groups, moreGroups] = useSome(shown.partitions);
  const [nodes, moreNodes] = useSome(shown.nodes);
  if (filter !== "" && shown.partitions.length + shown.nodes.length === 0) return null;
  const words = `${count} ${count === 1 ? "node" : "nodes"}`;
  return (
    <section className="map-frame" data-id={id} data-drop={drop} aria-label={item ? `Frame ${title}` : title}>
      <header className="map-head">
        {item ? (
          <button type="button" className="map-title" data-item={item} data-id={id} tabIndex={-1} aria-label={`frame ${title}`}>
            <span className="map-kind">frame</span> <b className="break">{title}</b>
          </button>
        ) : (
          <h2 className="map-title">{title}</h2>
        )}
        <span className="muted">{words}</span>
        {count > 0 && <States standing={standing} />}
        {count > 0 && (
          <button type="button" className="quiet small map-fold" aria-expanded={open} onClick={() => setToggled(!open)} aria-label={`${open ? "Close" : "Open"} ${title}`}>
            {open ? "close" : "open"}
          </button>
        )}
      </header>
      {note && count > 0 && <p className="muted map-note">{note}</p>}
      {open && (
        <div className="map-inside">
          {groups.map(({ partition, nodes: members }) => (
            <section key={partition.id} className="map-partition" data-id={partition.id} data-drop={partition.id} aria-label={`Partition ${partition.name}`}>
              <button type="button" className="map-title" data-item="partition" data-id={partition.id} draggable tabIndex={-1} aria-label={`partition ${partition.name}, ${partition.state}`}>
                <span className="map-kind">partition</span> <b className="break">{partition.name}</b>
                <i className={`dot ${tone(partition.state)}`} aria-hidden="true" />
              </button>
              {partition.servers.map((server) => (
                <Chip key={server} vs={servers.get(server)} wide />
              ))}
              <div className="map-nodes">
                {members.map((node) => (
                  <NodeBox key={node.id} node={node} servers={servers} />
                ))}
              </div>
            </section>
          ))}
          {moreGroups}
          {nodes.length > 0 && (
            <div className="map-nodes">
              {nodes.map((node) => (
                <NodeBox key={node.id} node={node} servers={servers} />
              ))}
            </div>
          )}
          {moreNodes}
          {count === 0 && <p className="muted map-none">{drop ? "Empty. Drag nodes here." : "Empty."}</p>}
        </div>
      )}
    </section>
  );
});

/** How many nodes are in which state, as one line of colours and words for those who do not see them. */
function States({ standing }: { standing: Standing | undefined }) {
  const counts = new Map<string, number>();
  const nodes = [...(standing?.nodes ?? []), ...(standing?.partitions ?? []).flatMap((group) => group.nodes)];
  for (const { state } of nodes) counts.set(state, (counts.get(state) ?? 0) + 1);
  const all = [...counts].sort(([a], [b]) => a.localeCompare(b));
  return (
    <span className="map-states" role="img" aria-label={all.map(([state, count]) => `${count} ${state}`).join(", ")} title={all.map(([state, count]) => `${count} ${state}`).join(", ")}>
      {all.map(([state, count]) => (
        <i key={state} className={tone(state)} style={{ flexGrow: count }} />
      ))}
    </span>
  );
}

interface NodeProps {
  node: TopologyNode;
  servers: Map<string, TopologyServer>;
}

/** The same node with the same servers is the same picture. */
function same(before: NodeProps, after: NodeProps): boolean {
  return before.node === after.node && (before.servers === after.servers || after.node.servers.every(({ server }) => before.servers.get(server) === after.servers.get(server)));
}

export const NodeBox = memo(function NodeBox({ node, servers }: NodeProps) {
  const used = node.memory_mib === 0 ? 0 : Math.round(100 - (100 * node.free_mib) / node.memory_mib);
  const first = node.servers.slice(0, NAMED);
  const more = node.servers.length - first.length;
  const inside = useInside(node.id);
  const has = node.cpus === 0 ? "not known" : `${node.cpus} CPUs · ${memory(node.memory_mib * 1024)}`;
  return (
    <div className="map-node" data-id={node.id} data-drop={node.id}>
      <button type="button" className="map-node-head" data-item="node" data-id={node.id} draggable tabIndex={-1} aria-label={`node ${node.name}, ${node.state}, ${has}, ${node.servers.length} servers`}>
        <i className={`dot ${tone(node.state)}`} aria-hidden="true" />
        <b className="break">{node.name}</b>
        <span className="muted">{has}</span>
        <span className="map-fill" aria-hidden="true">
          <i style={{ width: `${used}%` }} />
        </span>
      </button>
      {inside && node.cpus > 0 && <Processors node={node} inside={inside} />}
      {first.map(({ server, vcpus }) => (
        <Chip key={server} vs={servers.get(server)} node={node.id} here={vcpus} />
      ))}
      {more > 0 && <span className="muted map-rest">and {more} more servers</span>}
    </div>
  );
}, same);

/** The processors of a node, as places for virtual ones. */
function Processors({ node, inside }: { node: TopologyNode; inside: Inside }) {
  const count = Math.min(node.cpus, PROCESSORS);
  return (
    <div className="map-cores" role="group" aria-label={`Processors of ${node.name}`}>
      {Array.from({ length: count }, (_, n) => {
        const has = inside.pinned.get(n) ?? [];
        return (
          <span key={n} className="map-core" data-id={`${node.id}/${n}`} data-drop={`${node.id}/${n}`} title={`Processor ${n} of ${node.name}`}>
            <span className="map-core-n">{n}</span>
            {has.map(({ id, name }) => (
              <button key={id} type="button" className="map-vcpu on" data-item="vcpu" data-id={id} draggable tabIndex={-1} aria-label={`virtual processor ${name} on processor ${n}`} title={`${name} is to have it`}>
                {name}
              </button>
            ))}
          </span>
        );
      })}
      <span className="map-core map-any" data-drop={ANY_KEY} title="Whichever processor is free">
        <span className="map-core-n">any</span>
      </span>
      {node.cpus > count && <span className="muted map-rest">and {node.cpus - count} more</span>}
    </div>
  );
}

/** Virtual processors of a server that lie here, and its VNICs. */
function Devices({ vs, node, inside }: { vs: TopologyServer; node: string; inside: Inside }) {
  const place = vs.places.find((one) => one.node === node);
  return (
    <span className="map-devices">
      {Array.from({ length: place?.vcpus ?? 0 }, (_, n) => (place?.first_vcpu ?? 0) + n).map((vcpu) => (
        <button key={vcpu} type="button" className="map-vcpu" data-item="vcpu" data-id={`${vs.id}/${vcpu}`} draggable tabIndex={-1} aria-label={`virtual processor ${vs.name}/${vcpu}`} title="Drag it onto a processor of its node">
          vCPU {vcpu}
        </button>
      ))}
      {(vs.partition === "" || node === "") && inside.vnics.map(({ vnic, port }) => (
        <Plug key={vnic.id} id={vnic.id} name={vnic.name} state={vnic.state} words={port === "" ? "on no port" : `on port ${port}`} />
      ))}
    </span>
  );
}

/** A VNIC that can be taken. */
export function Plug({ id, name, state, words }: { id: string; name: string; state: string; words: string }) {
  return (
    <button type="button" className={state === "applied" ? "map-vnic" : "map-vnic off"} data-item="vnic" data-id={id} draggable tabIndex={-1} aria-label={`VNIC ${name}, ${words}, ${state}`} title={`${words}; drag it onto a port or a gateway port`}>
      <Icon name="plug" />
      <span className="break">{name}</span>
    </button>
  );
}

const Chip = memo(function Chip({ vs, node = "", here, wide = false }: { vs: TopologyServer | undefined; node?: string; here?: number; wide?: boolean }) {
  const inside = useInside(vs?.id ?? "");
  if (!vs) return <span className="chip muted">a server that you may not see</span>;
  const spans = vs.partition !== "";
  const share = wide ? `${vs.vcpus} vCPU over ${vs.places.length} nodes` : spans ? `${here ?? 0} of ${vs.vcpus} vCPU` : `${vs.vcpus} vCPU`;
  const chip = (
    <button type="button" className={`chip${spans ? " span" : ""}${wide ? " wide" : ""}`} data-item="vs" data-id={vs.id} draggable={!spans} tabIndex={-1} aria-label={`server ${vs.name}, ${vs.state}, ${share}`}>
      <i className={`dot ${tone(vs.state)}`} aria-hidden="true" />
      <span className="break">{vs.name}</span>
      <span className="muted">{share}</span>
    </button>
  );
  return inside ? (
    <>
      {chip}
      <Devices vs={vs} node={node} inside={inside} />
    </>
  ) : (
    chip
  );
});
