/** A live line chart by uPlot, redrawn in place as samples come and when the theme changes. */
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Series {
  label: string;
  /** Name of a custom property that holds the colour. */
  color: string;
  values: (number | null)[];
}

interface Props {
  title: string;
  unit: string;
  at: number[];
  series: Series[];
  /** Fixed top of the scale. */
  max?: number;
  /** Without axes, for a row of a list. */
  spark?: boolean;
  format?: (value: number) => string;
}

const WINDOW_S = 180;

/** `07:31:20` of a number of seconds since 1970, in the viewer's zone. */
function time(at: number): string {
  return new Date(at * 1000).toTimeString().slice(0, 8);
}

function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function make(place: HTMLElement, { series, max, spark, format }: Props): uPlot {
  const axis = { stroke: color("--text-3"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  const options: uPlot.Options = {
    width: Math.max(place.clientWidth, 40),
    height: spark ? 28 : 150,
    ...(spark ? { padding: [2, 0, 2, 0] as [number, number, number, number] } : {}),
    legend: { show: false },
    cursor: { show: !spark, y: false, drag: { x: false, y: false } },
    scales: {
      x: { range: (_, first, last) => [spark ? Math.max(first, last - WINDOW_S) : last - WINDOW_S, last] },
      y: { range: (_, __, top) => [0, max ?? Math.max((top ?? 0) * 1.15, 10)] },
    },
    axes: spark
      ? [
          { show: false, size: 0 },
          { show: false, size: 0 },
        ]
      : [
          { ...axis, size: 24, space: 60, values: (_, ticks) => ticks.map(time) },
          { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => (format ? format(tick) : String(tick))) },
        ],
    series: [
      {},
      ...series.map((one) => ({
        label: one.label,
        stroke: color(one.color),
        fill: `color-mix(in srgb, ${color(one.color)} 14%, transparent)`,
        width: 1.5,
        points: { show: false },
      })),
    ],
  };
  return new uPlot(options, [[], ...series.map(() => [])] as unknown as uPlot.AlignedData, place);
}

export function Chart(props: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const data = () => [latest.current.at, ...latest.current.series.map(({ values }) => values)] as uPlot.AlignedData;
    const draw = () => {
      plot.current?.destroy();
      plot.current = make(element, latest.current);
      plot.current.setData(data());
    };
    draw();
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: Math.max(element.clientWidth, 40), height: latest.current.spark ? 28 : 150 }));
    resized.observe(element);
    document.addEventListener("weft-theme", draw);
    return () => {
      resized.disconnect();
      document.removeEventListener("weft-theme", draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, []);

  useEffect(() => {
    plot.current?.setData([props.at, ...props.series.map(({ values }) => values)] as uPlot.AlignedData);
  });

  const last = (values: (number | null)[]) => values.at(-1) ?? 0;
  const format = props.format ?? String;
  const words = props.series.map(({ label, values }) => `${label} ${format(last(values))}${props.unit}`).join(", ");
  if (props.spark) return <div className="spark" ref={place} role="img" aria-label={`${props.title}: ${words}`} />;
  return (
    <figure className="chart">
      <figcaption>
        <span>{props.title}</span>
        <span className="chart-now">
          {props.series.map(({ label, color: name, values }) => (
            <span key={label}>
              <i style={{ background: `var(${name})` }} aria-hidden="true" />
              {props.series.length > 1 ? `${label} ` : ""}
              <b>
                {format(last(values))}
                {props.unit}
              </b>
            </span>
          ))}
        </span>
      </figcaption>
      <div ref={place} role="img" aria-label={`${props.title}, last three minutes: now ${words}`} />
    </figure>
  );
}
