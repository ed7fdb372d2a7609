/** A virtual server's console: xterm.js over a WebSocket. */
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import type { ITheme } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { useEffect, useRef, useState } from "react";
import { consoleAddress } from "../api/client";
import { Icon } from "../components/icons";
import { State } from "../components/parts";
import { withAdoptedStyles } from "../lib/adopted-style";
import { command } from "../lib/cli";
import { href } from "../lib/route";
import { TerminalLink } from "../lib/terminal-link";
import type { LinkState, Socket } from "../lib/terminal-link";
import { useStore } from "../state/store";

function theme(): ITheme {
  const style = getComputedStyle(document.documentElement);
  const value = (name: string) => style.getPropertyValue(name).trim();
  return {
    background: value("--term-bg"),
    foreground: value("--term-text"),
    cursor: value("--term-cursor"),
    selectionBackground: value("--term-select"),
    black: "#1b1f24",
    red: "#e5707a",
    green: "#7cc38a",
    yellow: "#d9b25f",
    blue: "#7aa7e8",
    magenta: "#b791e0",
    cyan: "#6dc3c3",
    white: "#d7dde4",
    brightBlack: "#6b7683",
  };
}

const WORDS: Record<LinkState, string> = {
  connecting: "connecting",
  open: "attached",
  waiting: "connection lost, trying again",
  closed: "closed",
};

export function ConsolePage({ name }: { name: string }) {
  const { servers } = useStore();
  const vs = servers?.find((one) => one.name === name);
  const place = useRef<HTMLDivElement>(null);
  const frame = useRef<HTMLElement>(null);
  const link = useRef<TerminalLink | null>(null);
  const [state, setState] = useState<LinkState>("connecting");
  const [reason, setReason] = useState("");
  const [full, setFull] = useState(false);

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const terminal = new Terminal({
      fontFamily: "ui-monospace, 'SFMono-Regular', 'DejaVu Sans Mono', Menlo, Consolas, monospace",
      fontSize: innerWidth < 600 ? 11 : 13,
      lineHeight: 1.15,
      scrollback: 5000,
      cursorBlink: true,
      screenReaderMode: true,
      theme: theme(),
    });
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    withAdoptedStyles(() => terminal.open(element));
    fit.fit();
    terminal.focus();
    const session = new TerminalLink(() => new WebSocket(consoleAddress(name, location)) as unknown as Socket, {
      clear: () => terminal.reset(),
      output: (bytes) => terminal.write(bytes),
      state: (now, why) => {
        setState(now);
        setReason(why);
      },
    });
    link.current = session;
    const typed = terminal.onData((data) => void session.send(data));
    const resized = new ResizeObserver(() => fit.fit());
    resized.observe(element);
    const themed = () => {
      terminal.options.theme = theme();
    };
    document.addEventListener("weft-theme", themed);
    return () => {
      document.removeEventListener("weft-theme", themed);
      resized.disconnect();
      typed.dispose();
      session.end();
      terminal.dispose();
      link.current = null;
    };
  }, [name]);

  useEffect(() => {
    const changed = () => setFull(document.fullscreenElement === frame.current);
    document.addEventListener("fullscreenchange", changed);
    return () => document.removeEventListener("fullscreenchange", changed);
  }, []);

  const toggleFull = () => {
    const done = document.fullscreenElement ? document.exitFullscreen() : frame.current?.requestFullscreen();
    done?.catch(() => setFull((now) => !now));
  };

  return (
    <section className={full ? "console full" : "console"} ref={frame} aria-label={`Console of ${name}`}>
      <header className="console-head">
        <a className="up" href={href({ page: "server", name })}>
          <Icon name="back" />
          {name}
        </a>
        <h1 className="sr-only">Console of {name}</h1>
        {vs && <State state={vs.state} />}
        <span className={state === "open" ? "link" : "link away"} role="status">
          {WORDS[state]}
          {reason !== "" && `: ${reason}`}
        </span>
        <code className="console-cli">{command("vs", "console", name)}</code>
        {state === "waiting" && (
          <button type="button" onClick={() => link.current?.retry()}>
            Try now
          </button>
        )}
        <button type="button" className="quiet icon" onClick={toggleFull} aria-label={full ? "Leave the full window" : "Use the full window"}>
          <Icon name="full" />
        </button>
      </header>
      <div className="console-screen" ref={place} />
    </section>
  );
}
