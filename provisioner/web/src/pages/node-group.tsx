/** Several nodes at once. */
import { useEffect, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Node, Topology } from "../api/types";
import { GroupBar, GroupDialog, LabelChangeField, useLabelChange } from "../components/group";
import type { Done, Verb } from "../components/group";
import { Field } from "../components/parts";
import { compared, nodeBecame, nodeCommand, nodeObstacle } from "../lib/node-group";
import type { NodeAction } from "../lib/node-group";

const VERBS: Readonly<Record<NodeAction, Verb<NodeAction>>> = {
  approve: { action: "approve", word: "Approve", done: "approved", icon: "shield" },
  move: { action: "move", word: "Move", done: "moved", icon: "move" },
  label: { action: "label", word: "Label", done: "labelled", icon: "label" },
  forget: { action: "forget", word: "Forget", done: "forgotten", icon: "trash", danger: true },
};

interface BarProps {
  shown: readonly Node[];
  chosen: readonly Node[];
  onAll: (all: boolean) => void;
  onAction: (action: NodeAction) => void;
}

export function NodeGroupBar({ shown, chosen, onAll, onAction }: BarProps) {
  return <GroupBar kind="node" noun="node" verbs={Object.values(VERBS)} shown={shown.length} chosen={chosen.length} obstacle={(action) => nodeObstacle(action, chosen)} onAll={onAll} onAction={onAction} />;
}

interface DialogProps {
  action: NodeAction;
  /** As they were when it was opened. */
  nodes: readonly Node[];
  onDone: (done: Done) => void;
  onClose: () => void;
}

export function NodeGroupDialog({ action, nodes, onDone, onClose }: DialogProps) {
  const [typed, setTyped] = useState<Record<string, string>>({});
  const [frame, setFrame] = useState("");
  const labels = useLabelChange();
  const names = nodes.map(({ name }) => name);
  const fingerprints = action === "approve" ? compared(nodes, typed) : [];
  const whole = fingerprints !== null && (action !== "label" || labels.whole);
  const ask = (dry: boolean) => {
    if (action === "move") return api.moveNodes(names, frame, dry);
    return action === "label" ? api.labelGroup("nodes", names, labels.change, dry) : api.nodeGroup(action, names, fingerprints ?? [], dry);
  };
  return (
    <GroupDialog
      kind="node"
      noun="node"
      verb={VERBS[action]}
      names={names}
      command={nodeCommand(action, names, frame, fingerprints, labels.change)}
      ask={whole ? ask : null}
      filled={`${frame} ${labels.text}`}
      word={(object) => nodeBecame(action, object, frame, labels.change)}
      onDone={onDone}
      onClose={onClose}
    >
      {action === "approve" && <Fingerprints nodes={nodes} typed={typed} onType={(name, text) => setTyped((now) => ({ ...now, [name]: text }))} />}
      {action === "move" && <FrameField value={frame} onChange={setFrame} />}
      {action === "label" && <LabelChangeField typed={labels} labels={nodes.map((node) => node.labels)} />}
      {action === "forget" && <p>What is forgotten loses its key and its inventory. When it boots again, it is unknown and has to be approved.</p>}
    </GroupDialog>
  );
}

interface FingerprintsProps {
  nodes: readonly Node[];
  typed: Readonly<Record<string, string>>;
  onType: (name: string, text: string) => void;
}

function Fingerprints({ nodes, typed, onType }: FingerprintsProps) {
  const untrusted = nodes.filter((node) => !node.trusted_boot).map(({ name }) => name);
  return (
    <>
      <p>Read each fingerprint on the node’s own screen or serial console. Type its last group from there; where one does not fit, none is approved.</p>
      {nodes.map((node) => {
        const text = typed[node.name] ?? "";
        const groups = node.fingerprint.split("-");
        const wrong = text.trim().length >= (groups.at(-1)?.length ?? 0) && compared([node], typed) === null;
        return (
          <Field key={node.name} label={`${node.name}: ${groups.slice(0, -1).join("-")}-…`} error={wrong ? "This key has another fingerprint. Compare all of it; do not approve it where they differ." : undefined}>
            {(id, note) => <input id={id} aria-describedby={note} className="mono" autoComplete="off" spellCheck={false} value={text} onChange={(event) => onType(node.name, event.target.value)} />}
          </Field>
        );
      })}
      {untrusted.length > 0 && <p className="note warn">Booted without Secure Boot: {untrusted.join(", ")}. What they say of the image that they run cannot be checked.</p>}
    </>
  );
}

function FrameField({ value, onChange }: { value: string; onChange: (frame: string) => void }) {
  const frames = useFrames();
  return (
    <>
      <Field label="Frame" hint="members of a partition move together; what runs goes on">
        {(id, note) => (
          <select id={id} aria-describedby={note} autoFocus value={value} onChange={(event) => onChange(event.target.value)}>
            <option value="">The free pool</option>
            {(frames ?? []).map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        )}
      </Field>
      {frames?.length === 0 && (
        <p className="muted">
          There is no frame yet: make one on the <a href="#/map">Map</a>.
        </p>
      )}
    </>
  );
}

/** Names of frames that nodes can stand in; null while they are asked for. */
function useFrames(): string[] | null {
  const [frames, setFrames] = useState<string[] | null>(null);
  useEffect(() => {
    api.topology().then(
      (text) => setFrames((JSON.parse(text) as Topology).frames.map(({ name }) => name)),
      (error: unknown) => {
        if (!(error instanceof ApiError)) throw error;
      },
    );
  }, []);
  return frames;
}
