/** Labels of a server or a node, and the dialog that changes them. */
import { useState } from "react";
import { api } from "../api/client";
import { Dialog } from "../components/dialog";
import { Fact, Field } from "../components/parts";
import { labelCommand } from "../lib/cli";
import { labelChange, labelWords, parseLabels } from "../lib/selector";
import type { Labels } from "../lib/selector";
import { useWhyNot } from "../state/rights";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";

interface Props {
  noun: "vs" | "node";
  name: string;
  labels: Labels;
}

export function LabelsFact(props: Props) {
  const [changing, setChanging] = useState(false);
  const noLabel = useWhyNot("label", props.noun, props.name);
  const words = labelWords(props.labels);
  return (
    <Fact label="Labels">
      {words === "" ? "none" : <code className="break">{words}</code>}{" "}
      <button type="button" className="quiet small" disabled={noLabel !== ""} title={noLabel} aria-label={`Change the labels of ${props.name}`} onClick={() => setChanging(true)}>
        Change…
      </button>
      {changing && <LabelsDialog {...props} onClose={() => setChanging(false)} />}
    </Fact>
  );
}

function LabelsDialog({ noun, name, labels, onClose }: Props & { onClose: () => void }) {
  const { refresh } = useStore();
  const { tryTo } = useToasts();
  const [before] = useState(labels);
  const [text, setText] = useState(() => labelWords(labels));
  const { labels: wanted, problem } = parseLabels(text);
  const change = labelChange(before, wanted);
  const changes = Object.keys(change.set).length + change.remove.length > 0;
  return (
    <Dialog
      title={`Labels of ${name}`}
      command={labelCommand(noun, [name], change)}
      action="Change"
      ready={problem === "" && changes}
      onAction={async () => {
        const work = () => (noun === "vs" ? api.labelServer(name, change) : api.labelNode(name, change));
        const refused = await tryTo(work, `The labels of ${name} are changed.`);
        await refresh();
        return refused;
      }}
      onClose={onClose}
    >
      <Field label="Labels" hint="key=value, key=value. Nodes hear nothing of them." error={problem === "" ? undefined : problem}>
        {(id, note) => <input id={id} aria-describedby={note} className="mono" autoFocus spellCheck={false} value={text} onChange={(event) => setText(event.target.value)} />}
      </Field>
    </Dialog>
  );
}
