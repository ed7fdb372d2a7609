/** Approve, restart, send the configuration again. */
import { useState } from "react";
import { api } from "../api/client";
import type { Node } from "../api/types";
import { Dialog } from "../components/dialog";
import { Field } from "../components/parts";
import { command } from "../lib/cli";
import { lastGroupMatches } from "../lib/validate";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";

interface Props {
  node: Node;
  onClose: () => void;
}

export function ApproveDialog({ node, onClose }: Props) {
  const { refresh } = useStore();
  const { tryTo } = useToasts();
  const [typed, setTyped] = useState("");
  const matches = lastGroupMatches(node.fingerprint, typed);
  const groups = node.fingerprint.split("-");
  const last = groups.at(-1)?.length ?? 0;
  return (
    <Dialog
      title={`Approve ${node.name}`}
      command={command("node", "approve", node.name, "--fingerprint", matches ? node.fingerprint : "FINGERPRINT")}
      action="Approve"
      ready={matches}
      onAction={async () => {
        const problem = await tryTo(() => api.approve(node.name, node.fingerprint), `${node.name} is approved.`);
        await refresh();
        return problem;
      }}
      onClose={onClose}
    >
      <p>
        This key asks for admission. Look at the node’s own screen or serial console: its fingerprint must begin as here. Type the
        last group from there; if it does not fit, somebody else is answering for the node.
      </p>
      <p className="fingerprint">
        <span className="sr-only">Fingerprint: </span>
        {groups.map((group, index) => (
          <span key={`${index}-${group}`} className={index === groups.length - 1 ? (matches ? "match" : "hidden") : ""}>
            {index === groups.length - 1 && !matches ? "?".repeat(group.length) : group}
          </span>
        ))}
      </p>
      {!node.trusted_boot && (
        <p className="note warn">This node did not boot with Secure Boot. Its word about the image that it runs cannot be checked.</p>
      )}
      <Field label="Last group, as the node’s console shows it" error={typed.trim().length >= last && !matches ? "This key has another fingerprint. Compare all of it; do not approve it where they differ." : undefined}>
        {(id, note) => (
          <input id={id} aria-describedby={note} className="mono" autoComplete="off" spellCheck={false} autoFocus value={typed} onChange={(event) => setTyped(event.target.value)} />
        )}
      </Field>
    </Dialog>
  );
}

export function RebootDialog({ node, onClose }: Props) {
  const { refresh } = useStore();
  const { tryTo } = useToasts();
  return (
    <Dialog
      title={`Restart ${node.name}`}
      command={command("node", "reboot", node.name)}
      action="Restart"
      danger
      onAction={async () => {
        const problem = await tryTo(() => api.reboot(node.name), `${node.name} restarts.`);
        await refresh();
        return problem;
      }}
      onClose={onClose}
    >
      <p>The node boots anew from the network, with the active image.</p>
      {node.servers.length > 0 && <p className="note warn">These stop with it: {node.servers.join(", ")}.</p>}
    </Dialog>
  );
}

export function PushDialog({ node, onClose }: Props) {
  const { refresh } = useStore();
  const { tryTo } = useToasts();
  return (
    <Dialog
      title={`Push the configuration to ${node.name}`}
      command={command("config", "push", node.name)}
      action="Push"
      onAction={async () => {
        const problem = await tryTo(() => api.push(node.name), `${node.name} is sent its configuration.`);
        await refresh();
        return problem;
      }}
      onClose={onClose}
    >
      <p>
        The appliance signs this node’s configuration anew and sends it. Changes are sent by themselves; this is for a node that
        refused its last record or seems to hold an older one. Servers that run go on.
      </p>
    </Dialog>
  );
}
