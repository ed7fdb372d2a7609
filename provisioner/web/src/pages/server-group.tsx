/** Several virtual servers at once. */
import { useState } from "react";
import { api } from "../api/client";
import type { Node, Vs } from "../api/types";
import { GroupBar, GroupDialog, LabelChangeField, useLabelChange } from "../components/group";
import type { Done, Verb } from "../components/group";
import { Field } from "../components/parts";
import { memory } from "../lib/format";
import { became, obstacleTo, serverCommand } from "../lib/selection";
import type { Action } from "../lib/selection";
import { freeMib } from "../lib/validate";
import { useStore } from "../state/store";

const VERBS: Readonly<Record<Action, Verb<Action>>> = {
  start: { action: "start", word: "Start", done: "started", icon: "play" },
  stop: { action: "stop", word: "Stop", button: "Power off", done: "powered off", icon: "stop", danger: true },
  reset: { action: "reset", word: "Reset", done: "reset", icon: "reset", danger: true },
  move: { action: "move", word: "Move", done: "moved", icon: "move" },
  label: { action: "label", word: "Label", done: "labelled", icon: "label" },
  delete: { action: "delete", word: "Delete", done: "deleted", icon: "trash", danger: true },
};

/** What is good to know before. */
const WORDS: Readonly<Partial<Record<Action, string>>> = {
  stop: "To let a guest end its work first, shut it down from its console.",
  reset: "As the button on a machine’s front: a guest is not asked, what it has not written is lost.",
  delete: "Identifiers of what is deleted are not given to another server.",
};

interface BarProps {
  /** Servers that the list shows, and those of them that are chosen. */
  shown: readonly Vs[];
  chosen: readonly Vs[];
  onAll: (all: boolean) => void;
  onAction: (action: Action) => void;
}

export function ServerGroupBar({ shown, chosen, onAll, onAction }: BarProps) {
  return <GroupBar kind="vs" noun="server" verbs={Object.values(VERBS)} shown={shown.length} chosen={chosen.length} obstacle={(action) => obstacleTo(action, chosen)} onAll={onAll} onAction={onAction} />;
}

interface DialogProps {
  action: Action;
  /** As they were when it was opened. */
  servers: readonly Vs[];
  onDone: (done: Done) => void;
  onClose: () => void;
}

export function ServerGroupDialog({ action, servers, onDone, onClose }: DialogProps) {
  const [node, setNode] = useState("");
  const labels = useLabelChange();
  const names = servers.map(({ name }) => name);
  const whole = action === "move" ? node !== "" : action !== "label" || labels.whole;
  const ask = (dry: boolean) => {
    if (action === "move") return api.moveServers(names, node, dry);
    return action === "label" ? api.labelGroup("vs", names, labels.change, dry) : api.serverGroup(action, names, dry);
  };
  return (
    <GroupDialog
      kind="vs"
      noun="server"
      verb={VERBS[action]}
      names={names}
      command={serverCommand(action, names, node, labels.change)}
      ask={whole ? ask : null}
      filled={`${node} ${labels.text}`}
      word={(object) => became(action, object, node, labels.change)}
      onDone={onDone}
      onClose={onClose}
    >
      {action === "move" && <PlaceField value={node} onChange={setNode} />}
      {action === "label" && <LabelChangeField typed={labels} labels={servers.map((vs) => vs.labels)} />}
      {WORDS[action] !== undefined && <p>{WORDS[action]}</p>}
    </GroupDialog>
  );
}

function PlaceField({ value, onChange }: { value: string; onChange: (node: string) => void }) {
  const { nodes, servers } = useStore();
  const places = placesOf(nodes);
  return (
    <Field label="To the node" hint={places.length === 0 ? "No node is approved yet: boot and approve one first." : "They stay stopped there, with their identifiers."}>
      {(id, note) => (
        <select id={id} aria-describedby={note} autoFocus value={value} onChange={(event) => onChange(event.target.value)}>
          <option value="">choose…</option>
          <PlaceOptions places={places} servers={servers ?? []} />
        </select>
      )}
    </Field>
  );
}

/** Nodes that a server can be put on. */
export function placesOf(nodes: readonly Node[] | null): Node[] {
  return (nodes ?? []).filter(({ state }) => state === "ready" || state === "approved");
}

export function PlaceOptions({ places, servers }: { places: readonly Node[]; servers: readonly Vs[] }) {
  return places.map((node) => (
    <option key={node.name} value={node.name}>
      {node.name}, {memory(freeMib(node, servers) * 1024)} free{node.state === "ready" ? "" : " (away)"}
    </option>
  ));
}
