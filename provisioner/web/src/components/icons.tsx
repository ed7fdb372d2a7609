/** Line icons, 16 by 16; they stand beside words and are hidden from screen readers. */
const PATHS: Record<string, string> = {
  nodes: "M2 3h12v4H2zM2 9h12v4H2zM4.500 5h.01M4.500 11h.01",
  map: "M1.500 2.500h13v11h-13zM4 5h3.500v6H4zM9.500 5h2.500v2.500H9.500zM9.500 9.500h2.500v1.500H9.500z",
  move: "M8 1.500v13M1.500 8h13M6 3.500l2-2 2 2M6 12.500l2 2 2-2M3.500 6l-2 2 2 2M12.500 6l2 2-2 2",
  servers: "M8 1.500l6 3.200v6.600L8 14.500l-6-3.200V4.700zM2 4.700l6 3.200 6-3.200M8 7.900v6.600",
  partitions: "M2 2h5v5H2zM9 2h5v5H9zM2 9h5v5H2zM9 9h5v5H9z",
  pools: "M2 4c0-1.100 2.700-2 6-2s6 .9 6 2-2.700 2-6 2-6-.9-6-2zM2 4v8c0 1.100 2.700 2 6 2s6-.9 6-2V4M2 8c0 1.100 2.700 2 6 2s6-.9 6-2",
  history: "M8 4.500V8l2.500 1.500M2.500 8a5.500 5.500 0 1 0 1.600-3.900M2.500 2v3h3",
  jobs: "M2.500 4l1 1 2-2M7.500 4H14M2.500 8l1 1 2-2M7.500 8H14M3 12h1.500M7.500 12H14",
  events: "M2 8h3l2-5 2.500 10L11.500 8H14",
  images: "M3 2h7l3 3v9H3zM10 2v3h3M5.500 8.500l1.500 1.500 3-3",
  doctor: "M8 2v12M2 8h12",
  accounts: "M8 8a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5zM3 13.500c.6-2.700 2.500-4 5-4s4.400 1.300 5 4",
  moon: "M13 9.500A5.500 5.500 0 0 1 6.500 3 5.500 5.500 0 1 0 13 9.500z",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1v1.500M8 13.500V15M1 8h1.500M13.500 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
  out: "M6 2H3v12h3M10 5l3 3-3 3M13 8H6",
  play: "M4 2.500l9 5.500-9 5.500z",
  stop: "M3.500 3.500h9v9h-9z",
  reset: "M13 8a5 5 0 1 1-1.500-3.500M13 2v3h-3",
  console: "M2 3h12v10H2zM4.500 6l2 2-2 2M8 10h3",
  shield: "M8 1.500l5.500 2v4.000c0 3.500-2.300 5.800-5.500 7-3.200-1.200-5.500-3.500-5.500-7V3.500zM5.500 8l2 2 3-3.500",
  unshield: "M8 1.500l5.500 2v4.000c0 3.500-2.300 5.800-5.500 7-3.200-1.200-5.500-3.500-5.500-7V3.500zM8 5v3.500M8 11h.01",
  plus: "M8 3v10M3 8h10",
  label: "M2 2.500h5.500l6.500 6.500-5 5-7-6.500zM5 5.500h.01",
  trash: "M2.500 4h11M6 4V2.500h4V4M4 4l.7 9.500h6.600L12 4",
  copy: "M5.500 5.500h8v8h-8zM3 10.500V2.500h8",
  full: "M2.500 6V2.500H6M10 2.500h3.500V6M13.500 10v3.500H10M6 13.500H2.500V10",
  plug: "M5.500 2v3.500M10.500 2v3.500M3.500 5.500h9v2a4.500 4.500 0 0 1-9 0zM8 12v2.500",
  uplink: "M8 13.500V3M4.500 6.500L8 3l3.500 3.500M3 13.500h10",
  networks: "M2 6h12v4H2zM4.500 8h.01M7 8h.01M9.500 8h.01M8 6V2.500M5 10v3.500M11 10v3.500",
  back: "M9.500 3L4.500 8l5 5",
};

export function Icon({ name }: { name: keyof typeof PATHS | string }) {
  return (
    <svg className="icon-svg" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path d={PATHS[name] ?? ""} fill="none" stroke="currentColor" strokeWidth="1.4" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
