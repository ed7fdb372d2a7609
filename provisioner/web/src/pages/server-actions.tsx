/** What can be done with a virtual server in its state; what cannot stays visible and says why. */
import { useState } from "react";
import { api } from "../api/client";
import type { Vs } from "../api/types";
import { Icon } from "../components/icons";
import { href } from "../lib/route";
import { isAlive, obstacleTo } from "../lib/selection";
import type { Action } from "../lib/selection";
import { useWhyNot } from "../state/rights";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";
import { CopyDialog, MakeTemplateDialog } from "./server-copy";
import { EditDialog } from "./server-edit";
import { ServerGroupDialog } from "./server-group";

export function ServerActions({ vs, withDelete }: { vs: Vs; withDelete: boolean }) {
  const { refresh } = useStore();
  const { attempt } = useToasts();
  const [dialog, setDialog] = useState<Action | "edit" | "copy" | "template" | null>(null);
  const alive = isAlive(vs);
  const noConsole = useWhyNot("console", "vs", vs.name);
  const noStart = useWhyNot("start", "vs", vs.name);
  const noEdit = useWhyNot("edit", "vs", vs.name);
  const noStop = useWhyNot("stop", "vs", vs.name);
  const noReset = useWhyNot("reset", "vs", vs.name) || obstacleTo("reset", [vs]);
  const noMove = useWhyNot("move", "vs", vs.name) || obstacleTo("move", [vs]);
  const mayNotCopy = useWhyNot("copy", "vs", vs.name);
  const noCopy = useWhyNot("create", "vs") || mayNotCopy;
  const noTemplate = useWhyNot("create", "template") || mayNotCopy;
  const noDelete = useWhyNot("delete", "vs", vs.name) || obstacleTo("delete", [vs]);
  const close = () => setDialog(null);
  const start = async () => {
    await attempt(() => api.start(vs.name), `${vs.name} is starting.`);
    await refresh();
  };
  return (
    <>
      {noConsole === "" ? (
        <a className="button" href={href({ page: "console", name: vs.name })} aria-label={`Console of ${vs.name}`}>
          <Icon name="console" />
          Console
        </a>
      ) : (
        <button type="button" disabled title={noConsole} aria-label={`Console of ${vs.name}`}>
          <Icon name="console" />
          Console
        </button>
      )}
      {alive ? (
        <button type="button" disabled={noStop !== ""} title={noStop} onClick={() => setDialog("stop")} aria-label={`Stop ${vs.name}`}>
          <Icon name="stop" />
          Stop…
        </button>
      ) : (
        <button type="button" disabled={noStart !== ""} title={noStart} onClick={() => void start()} aria-label={`Start ${vs.name}`}>
          <Icon name="play" />
          Start
        </button>
      )}
      <button type="button" onClick={() => setDialog("reset")} disabled={noReset !== ""} title={noReset} aria-label={`Reset ${vs.name}`}>
        <Icon name="reset" />
        Reset…
      </button>
      {withDelete && (
        <>
          <button type="button" disabled={noEdit !== ""} title={noEdit} onClick={() => setDialog("edit")} aria-label={`Edit ${vs.name}`}>
            Edit…
          </button>
          <button type="button" disabled={noMove !== ""} title={noMove} onClick={() => setDialog("move")} aria-label={`Move ${vs.name}`}>
            <Icon name="move" />
            Move…
          </button>
          <button type="button" disabled={noCopy !== ""} title={noCopy} onClick={() => setDialog("copy")} aria-label={`Copy ${vs.name}`}>
            <Icon name="copy" />
            Copy…
          </button>
          <button type="button" disabled={noTemplate !== ""} title={noTemplate} onClick={() => setDialog("template")} aria-label={`Make a template of ${vs.name}`}>
            Make template…
          </button>
        </>
      )}
      {withDelete && (
        <button type="button" onClick={() => setDialog("delete")} disabled={noDelete !== ""} title={noDelete} aria-label={`Delete ${vs.name}`}>
          <Icon name="trash" />
          Delete…
        </button>
      )}
      {dialog === "edit" && <EditDialog vs={vs} onClose={close} />}
      {dialog === "copy" && <CopyDialog vs={vs} onClose={close} />}
      {dialog === "template" && <MakeTemplateDialog vs={vs} onClose={close} />}
      {dialog && dialog !== "edit" && dialog !== "copy" && dialog !== "template" && (
        <ServerGroupDialog
          action={dialog}
          servers={[vs]}
          onDone={() => {
            if (dialog === "delete") location.hash = "#/servers";
          }}
          onClose={close}
        />
      )}
    </>
  );
}
