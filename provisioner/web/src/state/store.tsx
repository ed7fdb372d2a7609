/** What the page knows: nodes, servers, images, events; read again every two seconds and after each event, but not while something is dragged. */
import { createContext, useCallback, useContext, useEffect, useMemo, useRef, useState } from "react";
import type { ReactNode } from "react";
import { ApiError, api } from "../api/client";
import type { Image, Node, Problem, Vs } from "../api/types";
import { Feed } from "../lib/feed";
import type { FeedState, Source } from "../lib/feed";
import { Kept } from "../lib/kept";
import { Samples } from "../lib/samples";
import { still } from "../lib/still";

const POLL_MS = 2000;

export interface Store {
  /** Null until the first answer. */
  nodes: Node[] | null;
  servers: Vs[] | null;
  images: Image[] | null;
  feed: FeedState;
  samples: Samples;
  /** Why the last look failed. */
  problem: Problem | null;
  refresh: () => Promise<void>;
}

const StoreContext = createContext<Store | null>(null);
const NowContext = createContext(0);

export function useStore(): Store {
  const store = useContext(StoreContext);
  if (!store) throw new Error("useStore outside of StoreProvider");
  return store;
}

/** Now, so that ages move; apart from the rest, so that what shows no age is not drawn again for it. */
export function useNow(): number {
  return useContext(NowContext);
}

export function StoreProvider({ children, onRefused }: { children: ReactNode; onRefused: (problem: Problem) => void }) {
  const [nodes, setNodes] = useState<Node[] | null>(null);
  const [servers, setServers] = useState<Vs[] | null>(null);
  const [images, setImages] = useState<Image[] | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [now, setNow] = useState(() => Date.now());
  const samples = useRef(new Samples()).current;
  const kept = useRef({ nodes: new Kept<Node[]>(), servers: new Kept<Vs[]>(), images: new Kept<Image[]>() }).current;
  const feed = useRef(new Feed((address) => new EventSource(address) as unknown as Source)).current;
  const [feedState, setFeedState] = useState<FeedState>(feed.state);
  const refused = useRef(onRefused);
  refused.current = onRefused;

  const refresh = useCallback(async () => {
    // The end of the drag looks.
    if (still.held) return;
    try {
      const texts = await Promise.all([api.nodes(), api.servers(), api.images()]);
      await still.over();
      const freshNodes = kept.nodes.take(texts[0]);
      samples.take(freshNodes, Date.now() / 1000);
      setNodes(freshNodes);
      setServers(kept.servers.take(texts[1]));
      setImages(kept.images.take(texts[2]));
      setProblem(null);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem(error.problem);
      if (error.problem.status === 401 || error.problem.code === "must-change-password") refused.current(error.problem);
    }
    setNow(Date.now());
  }, [samples, kept]);

  useEffect(() => {
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const loop = async () => {
      if (!document.hidden) await refresh();
      if (!stopped) timer = setTimeout(() => void loop(), POLL_MS);
    };
    void loop();
    const wake = () => {
      if (!document.hidden) void refresh();
    };
    document.addEventListener("visibilitychange", wake);
    const stop = still.subscribe(() => void refresh());
    return () => {
      stopped = true;
      stop();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", wake);
    };
  }, [refresh]);

  useEffect(() => {
    let soon: ReturnType<typeof setTimeout> | undefined;
    const stop = still.subscribe(() => setFeedState(feed.state));
    const unsubscribe = feed.subscribe((fresh) => {
      if (still.held) return;
      setFeedState(feed.state);
      if (!fresh) return;
      clearTimeout(soon);
      soon = setTimeout(() => void refresh(), 150);
    });
    let stopped = false;
    api
      .events(500)
      .catch(() => [])
      .then((seen) => {
        if (stopped) return;
        feed.start(seen);
        setFeedState(feed.state);
      });
    return () => {
      stopped = true;
      clearTimeout(soon);
      stop();
      unsubscribe();
      feed.stop();
    };
  }, [feed, refresh]);

  const store = useMemo<Store>(
    () => ({ nodes, servers, images, feed: feedState, samples, problem, refresh }),
    [nodes, servers, images, feedState, samples, problem, refresh],
  );
  return (
    <StoreContext.Provider value={store}>
      <NowContext.Provider value={now}>{children}</NowContext.Provider>
    </StoreContext.Provider>
  );
}
