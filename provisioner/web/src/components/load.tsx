/** The load of a node, a server or a partition: live charts, and the same as a table. */
import { useId, useMemo, useState } from "react";
import type { ReactNode } from "react";
import { Chart } from "./chart";
import type { Line } from "./chart";
import { CliHint, Loading } from "./parts";
import { bytes, count } from "../lib/format";
import { RANGES, isKnown, summary } from "../lib/series";
import type { History, Range } from "../lib/series";
import { useSeries } from "../state/series";
import type { LoadKind } from "../state/series";

interface ChartOf {
  title: string;
  lines: { metric: string; label: string; color: string }[];
  format: (value: number) => string;
  max?: number;
  /** Lowest top of a scale that grows. */
  least?: number;
  binary?: boolean;
}

const rate = (value: number) => `${value < 10 && value % 1 !== 0 ? value.toFixed(1) : count(value)} /s`;
const size = (value: number) => bytes(Math.round(value));
const flow = (value: number) => `${bytes(Math.round(value))}/s`;
const share = (value: number) => `${(value * 100).toFixed(value < 0.1 && value > 0 ? 1 : 0)} %`;
const processors = (value: number) => value.toFixed(value < 10 ? 2 : 1);

const network: ChartOf = {
  title: "Network",
  lines: [
    { metric: "network-in", label: "in", color: "--blue" },
    { metric: "network-out", label: "out", color: "--violet" },
  ],
  format: flow,
  least: 1024,
  binary: true,
};
const exits: ChartOf = { title: "Exits of guests", lines: [{ metric: "exits", label: "exits", color: "--blue" }], format: rate };
const exitsByCause: ChartOf = {
  title: "Exits",
  lines: [
    { metric: "exits-interrupt", label: "interrupts", color: "--blue" },
    { metric: "exits-halt", label: "halts", color: "--violet" },
    { metric: "exits-memory", label: "memory", color: "--amber" },
    { metric: "exits-device", label: "devices", color: "--accent" },
    { metric: "exits-other", label: "other", color: "--text-3" },
  ],
  format: rate,
};
const remote: ChartOf[] = [
  { title: "Remote faults", lines: [{ metric: "remote-faults", label: "faults", color: "--red" }], format: rate },
  { title: "Messages between nodes", lines: [{ metric: "messages", label: "messages", color: "--green" }], format: rate },
];

/** Of a node, or of the nodes of a partition. `memory` is all of it, bytes; 0 where it is not known. */
export function nodeCharts(memory: number, spans: boolean): ChartOf[] {
  return [
    { title: "Processors busy", lines: [{ metric: "processor", label: "busy", color: "--accent" }], format: share, max: 1 },
    {
      title: memory > 0 ? `Memory, of ${size(memory)}` : "Memory",
      lines: [
        { metric: "memory-guests", label: "guests", color: "--violet" },
        { metric: "memory-monitor", label: "monitor", color: "--amber" },
      ],
      format: size,
      binary: true,
      ...(memory > 0 ? { max: memory } : {}),
    },
    network,
    exits,
    ...(spans ? remote : []),
  ];
}

/** Of a virtual server with so many processors and so much memory, bytes. */
export function serverCharts(vcpus: number, memory: number, spans: boolean): ChartOf[] {
  return [
    { title: `Processors in use, of ${vcpus}`, lines: [{ metric: "processor", label: "in use", color: "--accent" }], format: processors, max: vcpus },
    { title: `Memory, of ${size(memory)}`, lines: [{ metric: "memory", label: "taken", color: "--violet" }], format: size, max: memory, binary: true },
    network,
    exitsByCause,
    ...(spans ? remote : []),
  ];
}

interface Props {
  kind: LoadKind;
  name: string;
  charts: ChartOf[];
  /** What to say where nothing is known. */
  silent: ReactNode;
}

export function LoadPanel({ kind, name, charts, silent }: Props) {
  const [range, setRange] = useState<Range>("5m");
  const { history, trouble } = useSeries(kind, name, range);
  const heading = useId();
  const metrics = charts.flatMap(({ lines }) => lines.map(({ metric }) => metric));
  return (
    <section className="panel load" aria-labelledby={heading}>
      <header className="load-head">
        <h2 id={heading}>Load</h2>
        <div className="segmented" role="radiogroup" aria-label="Time shown">
          {(Object.keys(RANGES) as Range[]).map((one) => (
            <label key={one} className={one === range ? "on" : ""}>
              <input type="radio" name={heading} checked={one === range} onChange={() => setRange(one)} />
              {RANGES[one].words}
            </label>
          ))}
        </div>
      </header>
      {trouble !== "" && <p className="note warn">{trouble} What is shown is old.</p>}
      {!history && trouble === "" && <Loading />}
      {history && !isKnown(history, metrics) && <div className="muted">{range === "6h" ? <p>No minute is over yet of which anything is known. The last five minutes may have more.</p> : silent}</div>}
      {history && isKnown(history, metrics) && (
        <>
          <div className={charts.length % 3 === 0 ? "charts" : "charts by-two"}>
            {charts.map((chart) => (
              <OneChart key={chart.title} chart={chart} history={history} range={range} />
            ))}
          </div>
          <Table charts={charts} history={history} />
        </>
      )}
      <CliHint command="weft top" />
    </section>
  );
}

function OneChart({ chart, history, range }: { chart: ChartOf; history: History; range: Range }) {
  const { step, keep, words } = RANGES[range];
  const lines = useMemo<Line[]>(
    () => chart.lines.map(({ metric, label, color }) => ({ label, color, values: history.values.get(metric) ?? [] })),
    [chart, history],
  );
  return (
    <Chart
      title={chart.title}
      at={history.at}
      series={lines}
      windowS={step * (keep - 1)}
      windowWords={words}
      format={chart.format}
      {...(chart.max === undefined ? {} : { max: chart.max })}
      {...(chart.least === undefined ? {} : { least: chart.least })}
      {...(chart.binary ? { binary: true } : {})}
    />
  );
}

function Table({ charts, history }: { charts: ChartOf[]; history: History }) {
  const rows = charts.flatMap(({ title, lines, format }) =>
    lines.map(({ metric, label }) => ({ key: metric, name: lines.length > 1 ? `${title}: ${label}` : title, format, of: summary(history.values.get(metric) ?? []) })),
  );
  const missing = Math.min(...rows.map(({ of }) => of?.missing ?? history.at.length));
  return (
    <details className="load-table">
      <summary>As a table</summary>
      <div className="scroll">
        <table>
          <caption className="sr-only">Load in the time shown</caption>
          <thead>
            <tr>
              <th scope="col">What</th>
              {["Now", "Least", "Mean", "Most"].map((title) => (
                <th key={title} scope="col" className="num">
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ key, name, format, of }) => (
              <tr key={key}>
                <th scope="row">{name}</th>
                {[of?.now, of?.least, of?.mean, of?.most].map((value, index) => (
                  <td key={index} className="num">
                    {typeof value === "number" ? format(value) : "–"}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {missing > 0 && <p className="muted">Of {history.at.length} values {missing} are missing: nothing was told then.</p>}
    </details>
  );
}
