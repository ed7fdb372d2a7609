/** How a server that spans nodes works: each node's part, and the pages that cost most; live. */
import { useEffect, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Span, SpanLatency, SpanNode, SpanPage } from "../api/types";
import { CliHint, Fact, Loading, State } from "../components/parts";
import { command } from "../lib/cli";
import { count, memory } from "../lib/format";
import { href } from "../lib/route";
import { bars, bytesPerSecond, CLASSES, duration, longestTrip, perSecond, regionWords, vcpuWords } from "../lib/span";

/** Nodes report about once a second. */
const LOOK_MS = 1000;
const PAGE_KIB = 4;

export function SpanPanel({ name }: { name: string }) {
  const [span, setSpan] = useState<Span | null>(null);
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async () => {
      try {
        if (!document.hidden) {
          const fresh = await api.span(name);
          if (!stopped) {
            setSpan(fresh);
            setTrouble("");
          }
        }
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (!stopped) setTrouble(error.problem.title);
      }
      if (!stopped) timer = setTimeout(() => void look(), LOOK_MS);
    };
    void look();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, [name]);
  return (
    <section className="panel" aria-label="On its nodes">
      <h2>On its nodes</h2>
      {trouble !== "" && <p className="note warn">{trouble}</p>}
      {!span && trouble === "" && <Loading />}
      {span && (
        <>
          <div className="span-nodes" role="list" aria-label="Nodes of this server">
            {span.nodes.map((node) => (
              <NodeCard key={node.node} node={node} />
            ))}
          </div>
          <HotPages pages={span.hottest} />
        </>
      )}
      <CliHint command={command("vs", "span", name, "--watch")} />
    </section>
  );
}

function NodeCard({ node }: { node: SpanNode }) {
  const known = typeof node.age_ms === "number";
  const rates = node.rates ?? undefined;
  const trip = longestTrip(node);
  const both = (one: number | undefined, other: number | undefined) => (one === undefined || other === undefined ? undefined : one + other);
  return (
    <article className="span-node" role="listitem" aria-label={node.node}>
      <header>
        <a href={href({ page: "node", name: node.node })}>{node.node}</a>
        <State state={node.state} />
        {known && !rates && <span className="muted">no rates yet, or silent</span>}
      </header>
      {!known && <p className="muted">It has told no figures of this start yet.</p>}
      {known && (
        <>
          <dl className="facts">
            <Fact label="Virtual processors">{vcpuWords(node)}</Fact>
            <Fact label="Memory located here">{node.memory_mib} MiB</Fact>
            <Fact label="Pages to write">{count(node.pages.writable)}</Fact>
            <Fact label="Pages to read">{count(node.pages.readable)}</Fact>
            <Fact label="Frames in use">{memory(node.pages.frames * PAGE_KIB)}</Fact>
            <Fact label="Messages">{perSecond(both(rates?.messages_sent, rates?.messages_received))}</Fact>
            <Fact label="Bytes on the wire">{bytesPerSecond(both(rates?.bytes_sent, rates?.bytes_received))}</Fact>
            <Fact label="Round trip">{trip === null ? "–" : duration(trip)}</Fact>
          </dl>
          <table>
            <caption>Faults</caption>
            <tbody>
              {CLASSES.map(({ key, label, hint }) => (
                <tr key={key} title={hint}>
                  <th scope="row">{label}</th>
                  <td className="num">{perSecond(rates?.[key])}</td>
                  <td className="num muted">{count(node.counts[key])}</td>
                </tr>
              ))}
            </tbody>
          </table>
          <Histogram title="Read faults took" latency={node.read_latency} />
          <Histogram title="Write faults took" latency={node.write_latency} />
        </>
      )}
    </article>
  );
}

function Histogram({ title, latency }: { title: string; latency: SpanLatency }) {
  if (latency.count === 0) return null;
  const last = latency.buckets.at(-1);
  return (
    <figure className="histogram">
      <figcaption>
        <span>{title}</span>
        <span>
          half <b>{duration(latency.p50_ns)}</b>, 99 % <b>{duration(latency.p99_ns)}</b>
        </span>
      </figcaption>
      <ul aria-label={`${title}, by power of two`}>
        {bars(latency).map(({ height, words }) => (
          <li key={words} title={words}>
            <i style={{ height: `${height}%` }} aria-hidden="true" />
            <span className="sr-only">{words}</span>
          </li>
        ))}
      </ul>
      <div className="histogram-ends" aria-hidden="true">
        <span>{duration(latency.buckets[0]?.from_ns ?? 0)}</span>
        <span>{duration(2 * (last?.from_ns ?? 0))}</span>
      </div>
    </figure>
  );
}

function HotPages({ pages }: { pages: SpanPage[] }) {
  if (pages.length === 0) return <p className="muted">No page had to be fetched yet.</p>;
  return (
    <div className="scroll">
      <table>
        <caption>Hottest pages</caption>
        <thead>
          <tr>
            <th scope="col">Guest address</th>
            <th scope="col">Range</th>
            <th scope="col" className="num">
              Read faults
            </th>
            <th scope="col" className="num">
              Write faults
            </th>
            <th scope="col" className="num">
              Changes of writer
            </th>
          </tr>
        </thead>
        <tbody>
          {pages.map((page) => (
            <tr key={page.address}>
              <td className="mono">{page.address}</td>
              <td>{regionWords(page)}</td>
              <td className="num">{count(page.reads)}</td>
              <td className="num">{count(page.writes)}</td>
              <td className="num">{count(page.moves)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
