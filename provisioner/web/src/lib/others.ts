import type { Appliance } from "../api/types";

/** Pages of other appliances. What listens for its own machine alone is of no use from another. */
export function elsewhere(all: readonly Pick<Appliance, "urls">[], origin: string): string[] {
  const local = (url: string) => /\/\/(127\.|\[::1\]|localhost)/.test(url);
  const urls = all.flatMap((one) => one.urls).filter((url) => url.startsWith("https://") && url !== origin);
  return [...new Set(urls)].filter((url) => local(origin) || !local(url));
}
