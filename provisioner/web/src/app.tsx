/** Log-in, frame and routes. */
import { lazy, Suspense, useCallback, useEffect, useRef, useState } from "react";
import { ApiError, api } from "./api/client";
import type { ApplianceConfig, Problem } from "./api/types";
import { Icon } from "./components/icons";
import { Others } from "./components/others";
import { Loading } from "./components/parts";
import { href, parseRoute } from "./lib/route";
import type { Route } from "./lib/route";
import { AccountsPage } from "./pages/accounts";
import { DoctorPage } from "./pages/doctor";
import { EventsPage } from "./pages/events";
import { HistoryPage } from "./pages/history";
import { JobPage } from "./pages/job";
import { NewJobPage } from "./pages/job-new";
import { JobsPage } from "./pages/jobs";
import { ImagesPage } from "./pages/images";
import { LoginPage, NewPasswordPage } from "./pages/login";
import { MapPage } from "./pages/map";
import { NetworksPage } from "./pages/networks";
import { NodePage } from "./pages/node";
import { NodesPage } from "./pages/nodes";
import { PartitionPage } from "./pages/partition";
import { PartitionsPage } from "./pages/partitions";
import { PoolsPage } from "./pages/pools";
import { ServerPage } from "./pages/server";
import { ServersPage } from "./pages/servers";
import { TemplatesPage } from "./pages/templates";
import { TransactionPage } from "./pages/transaction";
import { RightsProvider } from "./state/rights";
import { StoreProvider, useStore } from "./state/store";
import { useTheme } from "./state/theme";
import type { Theme } from "./state/theme";
import { ToastProvider } from "./state/toasts";

// The terminal is half of the program; it comes when the first console is opened.
const ConsolePage = lazy(async () => ({ default: (await import("./pages/console")).ConsolePage }));

type Session = { state: "asking" } | { state: "out"; problem: Problem | null } | { state: "change"; old: string } | { state: "in"; config: ApplianceConfig };

function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const changed = () => {
      setRoute(parseRoute(location.hash));
      document.getElementById("main")?.focus({ preventScroll: true });
      scrollTo(0, 0);
    };
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

export function App() {
  const [session, setSession] = useState<Session>({ state: "asking" });
  const [theme, toggleTheme] = useTheme();

  const enter = useCallback(async () => {
    try {
      setSession({ state: "in", config: await api.config() });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const { problem } = error;
      if (problem.code === "must-change-password") setSession({ state: "change", old: "" });
      else setSession({ state: "out", problem: problem.status === 401 ? null : problem });
    }
  }, []);

  useEffect(() => void enter(), [enter]);

  const refused = useCallback((problem: Problem) => {
    setSession(problem.code === "must-change-password" ? { state: "change", old: "" } : { state: "out", problem });
  }, []);

  const leave = useCallback(async () => {
    await api.logout().catch(() => undefined);
    setSession({ state: "out", problem: null });
  }, []);

  switch (session.state) {
    case "asking":
      return <main className="centre" aria-busy="true" />;
    case "out":
      return (
        <LoginPage
          problem={session.problem}
          onDone={(mustChange, password) => (mustChange ? setSession({ state: "change", old: password }) : void enter())}
        />
      );
    case "change":
      return <NewPasswordPage old={session.old} onDone={() => void enter()} onLeave={() => void leave()} />;
    case "in":
      return (
        <ToastProvider>
          <StoreProvider onRefused={refused}>
            <RightsProvider>
              <Frame config={session.config} theme={theme} onTheme={toggleTheme} onLeave={() => void leave()} />
            </RightsProvider>
          </StoreProvider>
        </ToastProvider>
      );
  }
}

const NAV: { route: Route; words: string; icon: string; within: Route["page"][] }[] = [
  { route: { page: "map" }, words: "Map", icon: "map", within: ["map"] },
  { route: { page: "nodes" }, words: "Nodes", icon: "nodes", within: ["nodes", "node"] },
  { route: { page: "servers" }, words: "Servers", icon: "servers", within: ["servers", "server", "console"] },
  { route: { page: "templates" }, words: "Templates", icon: "copy", within: ["templates"] },
  { route: { page: "networks" }, words: "Networks", icon: "networks", within: ["networks"] },
  { route: { page: "pools" }, words: "Pools", icon: "pools", within: ["pools"] },
  { route: { page: "partitions" }, words: "Partitions", icon: "partitions", within: ["partitions", "partition"] },
  { route: { page: "jobs" }, words: "Jobs", icon: "jobs", within: ["jobs", "job", "new-job"] },
  { route: { page: "history" }, words: "History", icon: "history", within: ["history", "transaction"] },
  { route: { page: "events" }, words: "Events", icon: "events", within: ["events"] },
  { route: { page: "images" }, words: "Images", icon: "images", within: ["images"] },
  { route: { page: "accounts" }, words: "Accounts", icon: "accounts", within: ["accounts"] },
  { route: { page: "doctor" }, words: "Doctor", icon: "doctor", within: ["doctor"] },
];

interface FrameProps {
  config: ApplianceConfig;
  theme: Theme;
  onTheme: () => void;
  onLeave: () => void;
}

function Frame({ config, theme, onTheme, onLeave }: FrameProps) {
  const route = useRoute();
  const { problem, nodes, servers, feed } = useStore();
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    // On narrow screens it is a row that scrolls.
    const show = () => {
      const at = nav.current?.querySelector('[aria-current="page"]')?.getBoundingClientRect();
      const all = nav.current?.getBoundingClientRect();
      if (nav.current && at && all) nav.current.scrollLeft += at.left + at.width / 2 - all.left - all.width / 2;
    };
    show();
    addEventListener("resize", show);
    return () => removeEventListener("resize", show);
  }, [route.page]);
  const waiting = nodes?.filter(({ state }) => state === "quarantined").length ?? 0;
  const failed = servers?.filter(({ state }) => state === "failed").length ?? 0;
  const badge = (page: Route["page"]) => (page === "nodes" ? waiting : page === "servers" ? failed : 0);
  return (
    <div className="frame">
      <a className="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>
        Skip to content
      </a>
      <header className="side">
        <a className="brand" href={href({ page: "nodes" })} aria-label="Weft, to the nodes">
          <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
            <rect width="32" height="32" rx="7" />
            <path d="M9 7v18M16 7v18M23 7v18" opacity=".45" />
            <path d="M5 12h6.500M14 12h13M5 20h13M20.500 20H27" />
          </svg>
          <span>Weft</span>
        </a>
        <nav ref={nav} aria-label="Main">
          {NAV.map(({ route: to, words, icon, within }) => (
            <a key={words} href={href(to)} aria-current={within.includes(route.page) ? "page" : undefined}>
              <Icon name={icon} />
              <span>{words}</span>
              {badge(to.page) > 0 && (
                <b className="count" aria-label={to.page === "nodes" ? `${waiting} waiting for approval` : `${failed} failed`}>
                  {badge(to.page)}
                </b>
              )}
            </a>
          ))}
        </nav>
        <div className="side-foot">
          <dl className="appliance">
            <dt>Appliance</dt>
            <dd>{config.address === "" ? location.host : config.address}</dd>
            <dt>DHCP</dt>
            <dd>
              {config.dhcp_mode} on {config.interface}
            </dd>
          </dl>
          <p className={problem ? "link away" : feed.live ? "link" : "link idle"} role="status">
            {problem ? "not answering" : feed.live ? "live" : "connecting"}
          </p>
          <div className="side-buttons">
            <button type="button" className="quiet icon" onClick={onTheme} aria-label={theme === "dark" ? "Use the light theme" : "Use the dark theme"}>
              <Icon name={theme === "dark" ? "sun" : "moon"} />
            </button>
            <button type="button" className="quiet icon" onClick={onLeave} aria-label="Log out">
              <Icon name="out" />
            </button>
          </div>
        </div>
      </header>
      <main id="main" tabIndex={-1} className={route.page === "console" ? "flush" : ""}>
        {problem && problem.status !== 401 && (
          <div className="banner" role="alert">
            <strong>{problem.title}</strong> {problem.next}
            <Others />
          </div>
        )}
        <Page route={route} />
      </main>
    </div>
  );
}

function Page({ route }: { route: Route }) {
  switch (route.page) {
    case "map":
      return <MapPage />;
    case "nodes":
      return <NodesPage />;
    case "node":
      return <NodePage key={route.name} name={route.name} />;
    case "servers":
      return <ServersPage />;
    case "server":
      return <ServerPage key={route.name} name={route.name} />;
    case "console":
      return (
        <Suspense fallback={<Loading />}>
          <ConsolePage key={route.name} name={route.name} />
        </Suspense>
      );
    case "partitions":
      return <PartitionsPage />;
    case "partition":
      return <PartitionPage key={route.name} name={route.name} />;
    case "history":
      return <HistoryPage />;
    case "transaction":
      return <TransactionPage key={route.number} number={route.number} />;
    case "templates":
      return <TemplatesPage />;
    case "networks":
      return <NetworksPage />;
    case "pools":
      return <PoolsPage />;
    case "jobs":
      return <JobsPage />;
    case "job":
      return <JobPage key={route.number} number={route.number} />;
    case "new-job":
      return <NewJobPage />;
    case "events":
      return <EventsPage />;
    case "images":
      return <ImagesPage />;
    case "accounts":
      return <AccountsPage />;
    case "doctor":
      return <DoctorPage />;
  }
}
