/** Routes in the address's fragment: `#/nodes/node-1`. */

export type Route =
  | { page: "nodes" }
  | { page: "node"; name: string }
  | { page: "servers" }
  | { page: "server"; name: string }
  | { page: "console"; name: string }
  | { page: "events" }
  | { page: "images" }
  | { page: "doctor" };

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** An unknown fragment is the list of nodes. */
export function parseRoute(fragment: string): Route {
  const [page, rest, verb] = fragment.replace(/^#?\/?/, "").split("/").map(decode);
  switch (page) {
    case "nodes":
      return rest ? { page: "node", name: rest } : { page: "nodes" };
    case "servers":
      if (!rest) return { page: "servers" };
      return verb === "console" ? { page: "console", name: rest } : { page: "server", name: rest };
    case "events":
    case "images":
    case "doctor":
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
    default:
      return `#/${route.page}`;
  }
}
