/** Routes in the address's fragment: `#/nodes/node-1`. */

export type Route =
  | { page: "map" }
  | { page: "nodes" }
  | { page: "node"; name: string }
  | { page: "servers" }
  | { page: "server"; name: string }
  | { page: "console"; name: string }
  | { page: "templates" }
  | { page: "pools" }
  | { page: "networks" }
  | { page: "partitions" }
  | { page: "partition"; name: string }
  | { page: "history" }
  | { page: "transaction"; number: number }
  | { page: "jobs" }
  | { page: "job"; number: number }
  | { page: "new-job" }
  | { page: "events" }
  | { page: "images" }
  | { page: "doctor" }
  | { page: "accounts" };

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const NUMBER = /^[1-9]\d{0,15}$/;

/** An unknown fragment is the list of nodes. */
export function parseRoute(fragment: string): Route {
  const [page, rest, verb] = fragment.replace(/^#?\/?/, "").split("/").map(decode);
  switch (page) {
    case "nodes":
      return rest ? { page: "node", name: rest } : { page: "nodes" };
    case "servers":
      if (!rest) return { page: "servers" };
      return verb === "console" ? { page: "console", name: rest } : { page: "server", name: rest };
    case "history":
      return rest && NUMBER.test(rest) ? { page: "transaction", number: Number(rest) } : { page: "history" };
    case "jobs":
      if (rest === "new") return { page: "new-job" };
      return rest && NUMBER.test(rest) ? { page: "job", number: Number(rest) } : { page: "jobs" };
    case "partitions":
      return rest ? { page: "partition", name: rest } : { page };
    case "map":
    case "templates":
    case "pools":
    case "networks":
    case "events":
    case "images":
    case "doctor":
    case "accounts":
      return { page };
    default:
      return { page: "nodes" };
  }
}

export function href(route: Route): string {
  switch (route.page) {
    case "node":
      return `#/nodes/${encodeURIComponent(route.name)}`;
    case "server":
      return `#/servers/${encodeURIComponent(route.name)}`;
    case "console":
      return `#/servers/${encodeURIComponent(route.name)}/console`;
    case "partition":
      return `#/partitions/${encodeURIComponent(route.name)}`;
    case "transaction":
      return `#/history/${route.number}`;
    case "job":
      return `#/jobs/${route.number}`;
    case "new-job":
      return "#/jobs/new";
    default:
      return `#/${route.page}`;
  }
}
