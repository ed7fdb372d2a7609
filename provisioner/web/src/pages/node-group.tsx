/** Several nodes at once: the bar over the list, and the dialog of a change with its plan. */
import { useEffect, useRef, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Node, Topology } from "../api/types";
import { Dialog } from "../components/dialog";
import { Field } from "../components/parts";
import { PlanView, usePlan } from "../components/plan";
import { compared, nodeCommand, nodeObstacle } from "../lib/node-group";
import type { NodeAction } from "../lib/node-group";
import { useWhyNot } from "../state/rights";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";

const ACTIONS: readonly { action: NodeAction; word: string; done: string }[] = [
  { action: "approve", word: "Approve", done: "approved" },
  { action: "move", word: "Move", done: "moved" },
  { action: "forget", word: "Forget", done: "forgotten" },
];

interface BarProps {
  shown: readonly Node[];
  chosen: readonly Node[];
  onAll: (all: boolean) => void;
  onAction: (action: NodeAction) => void;
}

export function NodeGroupBar({ shown, chosen, onAll, onAction }: BarProps) {
  const box = useRef<HTMLInputElement>(null);
  const noRight = { approve: useWhyNot("approve", "node"), move: useWhyNot("move", "node"), forget: useWhyNot("forget", "node") };
  const all = shown.length > 0 && chosen.length === shown.length;
  const some = chosen.length > 0 && !all;
  useEffect(() => {
    if (box.current) box.current.indeterminate = some;
  }, [some]);
  return (
    <div className="group-bar" role="group" aria-label="Chosen nodes">
      <label className="check">
        <input ref={box} type="checkbox" checked={all} aria-checked={some ? "mixed" : all} disabled={shown.length === 0} onChange={() => onAll(!all)} />
        Select all
      </label>
      <span className="muted" role="status">
        {chosen.length === 0 ? "none selected" : `${chosen.length} of ${shown.length} selected`}
      </span>
      {chosen.length > 0 &&
        ACTIONS.map(({ action, word }) => {
          const obstacle = noRight[action] || nodeObstacle(action, chosen);
          return (
            <button key={action} type="button" disabled={obstacle !== ""} title={obstacle} aria-label={`${word} ${chosen.length} selected`} onClick={() => onAction(action)}>
              {word}…
            </button>
          );
        })}
    </div>
  );
}

interface DialogProps {
  action: NodeAction;
  /** As they were when it was opened. */
  nodes: readonly Node[];
  onDone: () => void;
  onClose: () => void;
}

export function NodeGroupDialog({ action, nodes, onDone, onClose }: DialogProps) {
  const { refresh } = useStore();
  const { tryTo } = useToasts();
  const [typed, setTyped] = useState<Record<string, string>>({});
  const [frame, setFrame] = useState("");
  const frames = useFrames(action === "move");
  const names = nodes.map(({ name }) => name);
  const fingerprints = action === "approve" ? compared(nodes, typed) : [];
  const ask = (dry: boolean) => (action === "move" ? api.moveNodes(names, frame, dry) : api.nodeGroup(action, names, fingerprints ?? [], dry));
  const clear = fingerprints !== null;
  const { plan, problem } = usePlan(clear ? () => ask(true) : null, `${action} ${names.join(" ")} ${frame} ${String(clear)}`);
  const words = ACTIONS.find((one) => one.action === action);
  const many = `${names.length} ${names.length === 1 ? "node" : "nodes"}`;
  return (
    <Dialog
      title={`${words?.word ?? action} ${many}`}
      command={nodeCommand(action, nodes, frame, fingerprints)}
      action={words?.word ?? action}
      danger={action === "forget"}
      ready={clear && plan?.state === "planned"}
      onAction={async () => {
        const refused = await tryTo(() => ask(false), `${many} ${words?.done ?? "changed"}, in one transaction.`);
        if (!refused) onDone();
        await refresh();
        return refused;
      }}
      onClose={onClose}
    >
      {action === "approve" && (
        <>
          <p>Read each fingerprint on the node’s own screen or serial console. Type its last group from there; where one does not fit, none is approved.</p>
          {nodes.map((node) => (
            <Field key={node.name} label={`${node.name}: ${node.fingerprint.split("-").slice(0, -1).join("-")}-…`}>
              {(id, note) => (
                <input id={id} aria-describedby={note} className="mono" autoComplete="off" spellCheck={false} value={typed[node.name] ?? ""} onChange={(event) => setTyped((now) => ({ ...now, [node.name]: event.target.value }))} />
              )}
            </Field>
          ))}
        </>
      )}
      {action === "move" && (
        <Field label="Frame" hint="members of a partition move together; what runs goes on">
          {(id, note) => (
            <select id={id} aria-describedby={note} value={frame} onChange={(event) => setFrame(event.target.value)}>
              <option value="">The free pool</option>
              {frames.map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          )}
        </Field>
      )}
      {action === "forget" && <p>Their keys and inventories are removed. When they boot again, they are unknown and have to be approved.</p>}
      <PlanView plan={plan} problem={problem} asked={clear} />
    </Dialog>
  );
}

/** Names of frames that nodes can stand in. */
function useFrames(wanted: boolean): string[] {
  const [frames, setFrames] = useState<string[]>([]);
  useEffect(() => {
    if (!wanted) return;
    api.topology().then(
      (text) => setFrames((JSON.parse(text) as Topology).frames.map(({ name }) => name)),
      (error: unknown) => {
        if (!(error instanceof ApiError)) throw error;
      },
    );
  }, [wanted]);
  return frames;
}
