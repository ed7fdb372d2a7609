/** Numbers and times for people. */

/** Memory given in KiB. */
export function memory(kib: number): string {
  if (kib <= 0) return "–";
  if (kib < 1024) return `${trim(kib)} KiB`;
  const mib = kib / 1024;
  if (mib < 1024) return `${trim(mib)} MiB`;
  return `${trim(mib / 1024)} GiB`;
}

function trim(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toFixed(1)));
}

export function bytes(count: number): string {
  return count < 1024 ? `${count} B` : memory(count / 1024);
}

/** A span of milliseconds with the precision that matters at its size. */
export function span(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.floor((ms % 60_000) / 1000)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** How long ago; the text itself where it is no time. */
export function ago(at: string, now: number): string {
  if (at === "") return "never";
  const then = Date.parse(at);
  if (Number.isNaN(then)) return at;
  const seconds = Math.max(0, Math.floor((now - then) / 1000));
  if (seconds < 2) return "now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** Clock time of today, date and time of other days; in the viewer's zone. */
export function clock(at: string, now: number): string {
  const then = new Date(at);
  if (Number.isNaN(then.getTime())) return at;
  const two = (value: number) => String(value).padStart(2, "0");
  const time = `${two(then.getHours())}:${two(then.getMinutes())}:${two(then.getSeconds())}`;
  const sameDay = new Date(now).toDateString() === then.toDateString();
  return sameDay ? time : `${then.getFullYear()}-${two(then.getMonth() + 1)}-${two(then.getDate())} ${time}`;
}

export function shortDigest(digest: string): string {
  return digest === "" ? "–" : digest.slice(0, 12);
}

/** 12,345,678 as `12.3 M`. */
export function count(value: number): string {
  if (value < 10_000) return String(Math.round(value));
  if (value < 1_000_000) return `${trim(value / 1000)} k`;
  if (value < 1_000_000_000) return `${trim(value / 1_000_000)} M`;
  return `${trim(value / 1_000_000_000)} G`;
}
