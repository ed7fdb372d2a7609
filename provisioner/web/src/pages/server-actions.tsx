/** What can be done with a virtual server in its state; what cannot stays visible and says why. */
import { useState } from "react";
import { api } from "../api/client";
import type { Vs } from "../api/types";
import { Icon } from "../components/icons";
import { href } from "../lib/route";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";
import { DeleteDialog, ResetDialog, StopDialog } from "./server-dialogs";

const ALIVE = ["starting", "fetching", "running"];

export function ServerActions({ vs, withDelete }: { vs: Vs; withDelete: boolean }) {
  const { refresh } = useStore();
  const { attempt } = useToasts();
  const [dialog, setDialog] = useState<"stop" | "reset" | "delete" | null>(null);
  const alive = ALIVE.includes(vs.state) || (vs.state === "unknown" && vs.desired === "running");
  const close = () => setDialog(null);
  const start = async () => {
    await attempt(() => api.act(vs.name, "start"), `${vs.name} is starting.`);
    await refresh();
  };
  return (
    <>
      <a className="button" href={href({ page: "console", name: vs.name })} aria-label={`Console of ${vs.name}`}>
        <Icon name="console" />
        Console
      </a>
      {alive ? (
        <button type="button" onClick={() => setDialog("stop")} aria-label={`Stop ${vs.name}`}>
          <Icon name="stop" />
          Stop…
        </button>
      ) : (
        <button type="button" onClick={() => void start()} aria-label={`Start ${vs.name}`}>
          <Icon name="play" />
          Start
        </button>
      )}
      <button type="button" onClick={() => setDialog("reset")} disabled={vs.state !== "running"} title={vs.state === "running" ? "" : "Only a running server can be reset"} aria-label={`Reset ${vs.name}`}>
        <Icon name="reset" />
        Reset…
      </button>
      {withDelete && (
        <button type="button" onClick={() => setDialog("delete")} disabled={alive} title={alive ? "Stop it first" : ""} aria-label={`Delete ${vs.name}`}>
          <Icon name="trash" />
          Delete…
        </button>
      )}
      {dialog === "stop" && <StopDialog vs={vs} onClose={close} />}
      {dialog === "reset" && <ResetDialog vs={vs} onClose={close} />}
      {dialog === "delete" && <DeleteDialog vs={vs} onClose={close} />}
    </>
  );
}
