/** A live line chart by uPlot, redrawn in place as values come and when the theme changes. A gap stays one, shaded. */
import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { gaps } from "../lib/series";
import type { Values } from "../lib/series";

export interface Line {
  label: string;
  /** Name of a custom property that holds the colour. */
  color: string;
  values: Values;
}

interface Props {
  title: string;
  /** Added to each number. */
  unit?: string;
  /** Seconds since 1970. */
  at: readonly number[];
  series: readonly Line[];
  /** Seconds shown. */
  windowS?: number;
  /** The same in words. */
  windowWords?: string;
  /** Fixed top of the scale. */
  max?: number;
  /** Lowest top of the scale that grows. */
  least?: number;
  /** The scale counts in powers of two. */
  binary?: boolean;
  /** Without axes, for a row of a list. */
  spark?: boolean;
  format?: (value: number) => string;
}

const HEIGHT = 150;
const SPARK_HEIGHT = 28;
const SPARK_WINDOW_S = 180;
/** Where the time axis has its marks: at whole minutes, or at whole hours. */
const MINUTES = [60, 120, 300, 600, 1800];
const HOURS = [3600, 7200, 10_800, 21_600];
const TWOS = Array.from({ length: 44 }, (_, power) => 2 ** power);

/** `07:31:20` of a number of seconds since 1970, in the viewer's zone. */
function time(at: number): string {
  return new Date(at * 1000).toTimeString().slice(0, 8);
}

/** `07:31`. */
function minute(at: number): string {
  return time(at).slice(0, 5);
}

function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Shades the time in which nothing was told. */
function shade(plot: uPlot, { at, series }: Props) {
  const { ctx, bbox } = plot;
  const half = ((at[1] ?? 0) - (at[0] ?? 0)) / 2;
  ctx.save();
  ctx.fillStyle = color("--gap");
  for (const [first, last] of gaps(series.map(({ values }) => values))) {
    const from = Math.max(bbox.left, plot.valToPos((at[first] ?? 0) - half, "x", true));
    const to = Math.min(bbox.left + bbox.width, plot.valToPos((at[last] ?? 0) + half, "x", true));
    if (to > from) ctx.fillRect(from, bbox.top, to - from, bbox.height);
  }
  ctx.restore();
}

function make(place: HTMLElement, props: Props, latest: () => Props, hovered: (index: number | null) => void): uPlot {
  const { series, least = 10, spark, binary, windowS = SPARK_WINDOW_S } = props;
  const axis = { stroke: color("--text-3"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  const words = (value: number) => `${latest().format?.(value) ?? value}`;
  const marks = (ticks: number[]) => {
    const told = ticks.map(minute);
    // A canvas cannot be read; tests and whoever looks into the page see them here.
    place.dataset["marks"] = told.join(" ");
    return told;
  };
  const options: uPlot.Options = {
    width: Math.max(place.clientWidth, 40),
    height: spark ? SPARK_HEIGHT : HEIGHT,
    ...(spark ? { padding: [2, 0, 2, 0] as [number, number, number, number] } : {}),
    legend: { show: false },
    cursor: spark ? { show: false } : { y: false, drag: { x: false, y: false }, sync: { key: "weft-load" }, points: { size: 6 } },
    scales: {
      x: { range: (_, first, last) => [spark ? Math.max(first, last - windowS) : last - windowS, last] },
      y: { range: (_, __, top) => [0, latest().max ?? Math.max((top ?? 0) * 1.15, least)] },
    },
    axes: spark
      ? [
          { show: false, size: 0 },
          { show: false, size: 0 },
        ]
      : [
          { ...axis, size: 24, space: 44, incrs: windowS < 3600 ? MINUTES : HOURS, values: (_, ticks) => marks(ticks) },
          { ...axis, size: 58, space: 34, ...(binary ? { incrs: TWOS } : {}), values: (_, ticks) => ticks.map(words) },
        ],
    series: [
      {},
      ...series.map((one) => ({
        label: one.label,
        stroke: color(one.color),
        // Of many lines the fills would hide one another.
        ...(series.length > 2 ? {} : { fill: `color-mix(in srgb, ${color(one.color)} 14%, transparent)` }),
        width: 1.5,
        spanGaps: false,
        // A value between two gaps would not be seen as a line.
        points: { show: false },
      })),
    ],
    hooks: {
      drawClear: [(plot) => shade(plot, latest())],
      setCursor: [(plot) => hovered(plot.cursor.idx ?? null)],
    },
  };
  return new uPlot(options, [[], ...series.map(() => [])] as unknown as uPlot.AlignedData, place);
}

export function Chart(props: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  const [hovered, setHovered] = useState<number | null>(null);
  latest.current = props;
  const { title, at, series, spark, windowS, unit = "", windowWords = "three minutes", format = String } = props;

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const data = () => [latest.current.at, ...latest.current.series.map(({ values }) => values)] as uPlot.AlignedData;
    const draw = () => {
      plot.current?.destroy();
      plot.current = make(element, latest.current, () => latest.current, setHovered);
      plot.current.setData(data());
    };
    draw();
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: Math.max(element.clientWidth, 40), height: spark ? SPARK_HEIGHT : HEIGHT }));
    resized.observe(element);
    document.addEventListener("weft-theme", draw);
    return () => {
      resized.disconnect();
      document.removeEventListener("weft-theme", draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [windowS, spark]);

  useEffect(() => {
    plot.current?.setData([at, ...series.map(({ values }) => values)] as uPlot.AlignedData);
  }, [at, series]);

  const shown = hovered !== null && hovered < at.length ? hovered : null;
  const words = (value: number | null | undefined) => (typeof value === "number" ? `${format(value)}${unit}` : "–");
  const known = series.flatMap(({ values }) => values.filter((value) => value !== null));
  const range = known.length === 0 ? "nothing known" : `between ${words(Math.min(...known))} and ${words(Math.max(...known))}`;
  const now = series.map(({ label, values }) => `${label} ${words(values.at(-1))}`).join(", ");
  if (spark) return <div className="spark" ref={place} role="img" aria-label={`${title}: ${now}`} />;
  return (
    <figure className="chart">
      <figcaption>
        <span>
          {title}
          {shown !== null && <span className="muted num"> at {time(at[shown] ?? 0)}</span>}
        </span>
        <span className="chart-now">
          {series.map(({ label, color: name, values }) => (
            <span key={label}>
              <i style={{ background: `var(${name})` }} aria-hidden="true" />
              {label}{" "}
              <b>{words(shown === null ? values.at(-1) : values[shown])}</b>
            </span>
          ))}
        </span>
      </figcaption>
      <div ref={place} role="img" aria-label={`${title}, last ${windowWords}: now ${now}; ${range}`} />
    </figure>
  );
}
