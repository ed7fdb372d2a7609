/** Boxes of the map. Each is drawn anew only when what is in it changed; long frames are drawn a piece at a time. */
import { memo, useMemo, useState } from "react";
import type { TopologyBox, TopologyNode, TopologyServer } from "../api/types";
import { memory } from "../lib/format";
import type { Index, Standing } from "../lib/topology";
import { tone } from "../lib/tone";

/** Boxes that one step of a long list adds. */
const STEP = 48;
/** Servers that a node's box names. */
const NAMED = 6;

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
      {first.map(({ server, vcpus }) => (
        <Chip key={server} vs={servers.get(server)} here={vcpus} />
      ))}
      {more > 0 && <span className="muted map-rest">and {more} more servers</span>}
    </div>
  );
}, same);

const Chip = memo(function Chip({ vs, here, wide = false }: { vs: TopologyServer | undefined; here?: number; wide?: boolean }) {
  if (!vs) return <span className="chip muted">a server that you may not see</span>;
  const spans = vs.partition !== "";
  const share = wide ? `${vs.vcpus} vCPU over ${vs.places.length} nodes` : spans ? `${here ?? 0} of ${vs.vcpus} vCPU` : `${vs.vcpus} vCPU`;
  return (
    <button type="button" className={`chip${spans ? " span" : ""}${wide ? " wide" : ""}`} data-item="vs" data-id={vs.id} draggable={!spans} tabIndex={-1} aria-label={`server ${vs.name}, ${vs.state}, ${share}`}>
      <i className={`dot ${tone(vs.state)}`} aria-hidden="true" />
      <span className="break">{vs.name}</span>
      <span className="muted">{share}</span>
    </button>
  );
});
