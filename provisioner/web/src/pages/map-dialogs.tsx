/** Dialogs of the map. Each shows the plan, made by the appliance as a dry run, before it is done. */
import { useEffect, useRef, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Problem, Target } from "../api/types";
import { Dialog } from "../components/dialog";
import { Field, Loading } from "../components/parts";
import { PlanView, usePlan } from "../components/plan";
import { command } from "../lib/cli";
import { NEW_KEY, moveCommand, movers, nameOf, targetKey, targetWords } from "../lib/topology";
import type { Index, Picked } from "../lib/topology";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";

interface Props {
  all: Index;
  onClose: () => void;
  onDone: () => Promise<void>;
}

const NAME = /^[A-Za-z0-9-]{1,63}$/;

interface MoveProps extends Props {
  picked: Picked;
  /** Where it was dropped; null: to be chosen. */
  first: Target | null;
  /** A new partition was chosen. */
  onNew: () => void;
}

export function MoveDialog({ all, picked, first, onNew, onClose, onDone }: MoveProps) {
  const { tryTo } = useToasts();
  const { refresh } = useStore();
  const name = nameOf(all, picked);
  const names = movers(all, picked);
  const [targets, setTargets] = useState<Target[] | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [chosen, setChosen] = useState<Target | null>(first);
  const [filter, setFilter] = useState("");
  useEffect(() => {
    if (first) return;
    api.targets(picked.kind, picked.id).then(
      (answer) => setTargets(answer.targets),
      (error: unknown) => {
        if (!(error instanceof ApiError)) throw error;
        setProblem(error.problem);
      },
    );
  }, [picked.kind, picked.id, first]);
  const move = (dry: boolean) => (picked.kind === "vs" ? api.moveServer(name, chosen?.name ?? "", dry) : api.moveNodes(names, chosen?.kind === "free" ? "" : (chosen?.id ?? ""), dry));
  const made = chosen !== null && targetKey(chosen) === NEW_KEY;
  const asked = chosen !== null && !made;
  const said = usePlan(asked ? () => move(true) : null, chosen ? targetKey(chosen) : "");
  const kind = picked.kind === "vs" ? "vs" : "node";
  return (
    <Dialog
      title={first ? `Move ${name} to ${targetWords(first)}` : `Move ${name} to…`}
      command={made ? command("partition", "create", "NAME", "--nodes", name) : moveCommand(kind, names, chosen)}
      action={made ? "Go on…" : "Move"}
      ready={made || said.plan?.state === "planned"}
      onAction={async () => {
        if (made) {
          // The dialog that follows stands in this one's place.
          setTimeout(onNew, 0);
          return null;
        }
        const refused = await tryTo(() => move(false), `${name} is ${kind === "vs" ? "on" : "in"} ${chosen ? targetWords(chosen) : ""} now.`);
        await Promise.all([onDone(), refresh()]);
        return refused;
      }}
      onClose={onClose}
    >
      {!first && (targets ? <TargetList targets={targets} chosen={chosen} filter={filter} onFilter={setFilter} onChoose={setChosen} /> : problem ? null : <Loading />)}
      <PlanView plan={said.plan} problem={problem ?? said.problem} asked={asked} />
    </Dialog>
  );
}

/** Targets that are listed at once. */
const LISTED = 100;

interface ListProps {
  targets: readonly Target[];
  chosen: Target | null;
  filter: string;
  onFilter: (text: string) => void;
  onChoose: (target: Target) => void;
}

const ORDER = ["legal", "here", "refused"];

export function TargetList({ targets, chosen, filter, onFilter, onChoose }: ListProps) {
  const list = useRef<HTMLFieldSetElement>(null);
  useEffect(() => list.current?.querySelector<HTMLInputElement>("input:enabled")?.focus(), []);
  const found = targets.filter(({ name }) => name.toLowerCase().includes(filter.trim().toLowerCase()));
  const sorted = [...found].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state));
  return (
    <fieldset className="map-targets" ref={list}>
      <legend>Where to</legend>
      {targets.length > 8 && <input type="search" aria-label="Find a place" placeholder="Find a place" value={filter} onChange={(event) => onFilter(event.target.value)} />}
      <div className="map-target-list">
        {sorted.slice(0, LISTED).map((target) => {
          const key = targetKey(target);
          const no = target.state !== "legal";
          return (
            <label key={key} className={no ? "map-target no" : "map-target"}>
              <input type="radio" name="target" value={key} disabled={no} checked={chosen !== null && targetKey(chosen) === key} onChange={() => onChoose(target)} />
              <span>
                <b>{targetWords(target)}</b>
                {no && (
                  <span className="muted">
                    {target.reason}
                    {target.next !== "" && `; ${target.next}`}
                  </span>
                )}
              </span>
            </label>
          );
        })}
        {sorted.length > LISTED && <p className="muted">{sorted.length - LISTED} more: find them by name.</p>}
        {sorted.length === 0 && <p className="muted">No place has this in its name.</p>}
      </div>
    </fieldset>
  );
}

/** A partition of a node that was dropped, and of others. */
export function NewPartitionDialog({ all, first, onClose, onDone }: Props & { first: string }) {
  const { tryTo } = useToasts();
  const { refresh } = useStore();
  const taken = new Set(all.topology.partitions.map(({ name }) => name));
  const [name, setName] = useState(() => Array.from({ length: 1000 }, (_, n) => `p${n + 1}`).find((one) => !taken.has(one)) ?? "");
  const [chosen, setChosen] = useState<string[]>([first]);
  const frame = all.topology.nodes.find((node) => node.name === first)?.frame;
  const offered = all.topology.nodes.filter((node) => node.name === first || (node.partition === "" && node.frame === frame && node.approved)).slice(0, LISTED);
  const ready = NAME.test(name) && chosen.length > 0;
  const wanted = { name, nodes: chosen };
  const said = usePlan(ready ? () => api.planPartition(wanted) : null, `${name} ${chosen.join(" ")}`);
  return (
    <Dialog
      title="New partition"
      command={command("partition", "create", name === "" ? "NAME" : name, "--nodes", chosen.join(",") || "NODE,NODE")}
      action="Create"
      ready={ready && said.plan?.state === "planned"}
      onAction={async () => {
        const refused = await tryTo(() => api.createPartition(wanted), `${name} is defined.`);
        await Promise.all([onDone(), refresh()]);
        return refused;
      }}
      onClose={onClose}
    >
      <Field label="Name" hint="Letters, digits and hyphens">
        {(id, note) => <input id={id} aria-describedby={note} value={name} autoFocus onChange={(event) => setName(event.target.value)} />}
      </Field>
      <fieldset className="map-targets">
        <legend>Nodes, in the order in which they coordinate</legend>
        <div className="map-target-list">
          {offered.map((node) => (
            <label className="check" key={node.id}>
              <input type="checkbox" checked={chosen.includes(node.name)} onChange={(event) => setChosen(event.target.checked ? [...chosen, node.name] : chosen.filter((one) => one !== node.name))} />
              {node.name}
            </label>
          ))}
        </div>
      </fieldset>
      <PlanView plan={said.plan} problem={said.problem} asked={ready} />
    </Dialog>
  );
}

const LEVELS = [
  { kind: "datacenter", words: "Data center", above: null },
  { kind: "mainframe", words: "Virtual mainframe", above: "datacenter" },
  { kind: "frame", words: "Frame", above: "mainframe" },
] as const;

type Level = (typeof LEVELS)[number]["kind"];

function parents(all: Index, kind: Level) {
  return kind === "frame" ? all.topology.mainframes : kind === "mainframe" ? all.topology.datacenters : [];
}

function Parent({ all, kind, value, onChange }: { all: Index; kind: Level; value: string; onChange: (value: string) => void }) {
  if (kind === "datacenter") return null;
  return (
    <Field label={kind === "frame" ? "Virtual mainframe that it stands in" : "Data center that it stands in"}>
      {(id, note) => (
        <select id={id} aria-describedby={note} value={value} onChange={(event) => onChange(event.target.value)}>
          {parents(all, kind).map((box) => (
            <option key={box.id} value={box.name}>
              {box.name}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

export function ContainerDialog({ all, onClose, onDone }: Props) {
  const { tryTo } = useToasts();
  const possible = (kind: Level) => kind === "datacenter" || parents(all, kind).length > 0;
  const start = [...LEVELS].reverse().find(({ kind }) => possible(kind))?.kind ?? "datacenter";
  const [kind, setKind] = useState<Level>(start);
  const [name, setName] = useState("");
  const [given, setGiven] = useState("");
  const parent = kind === "datacenter" ? "" : parents(all, kind).some((box) => box.name === given) ? given : (parents(all, kind)[0]?.name ?? "");
  const ready = NAME.test(name);
  const said = usePlan(ready ? () => api.createContainer(kind, name, parent, true) : null, `${kind} ${name} ${parent}`);
  const level = LEVELS.find((one) => one.kind === kind);
  const words = ["create", name === "" ? "NAME" : name, ...(level?.above ? [`--${level.above}`, parent] : [])];
  return (
    <Dialog
      title={`New ${level?.words.toLowerCase() ?? ""}`}
      command={command(kind, ...words)}
      action="Create"
      ready={ready && said.plan?.state === "planned"}
      onAction={async () => {
        const refused = await tryTo(() => api.createContainer(kind, name, parent, false), `${name} is there.`);
        await onDone();
        return refused;
      }}
      onClose={onClose}
    >
      <fieldset>
        <legend className="sr-only">What is to be made</legend>
        <div className="segmented">
          {LEVELS.map((one) => (
            <label key={one.kind} className={kind === one.kind ? "on" : ""} title={possible(one.kind) ? "" : "Make what it stands in first"}>
              <input type="radio" name="level" checked={kind === one.kind} disabled={!possible(one.kind)} onChange={() => setKind(one.kind)} />
              {one.words}
            </label>
          ))}
        </div>
      </fieldset>
      {start !== "frame" && <p className="muted">A frame stands in a virtual mainframe, and that in a data center: make them in this order, beginning with the {start === "datacenter" ? "data center" : "virtual mainframe"}.</p>}
      <Field label="Name" hint="Letters, digits and hyphens">
        {(id, note) => <input id={id} aria-describedby={note} value={name} autoFocus autoComplete="off" onChange={(event) => setName(event.target.value)} />}
      </Field>
      <Parent all={all} kind={kind} value={parent} onChange={setGiven} />
      {said.problem && <PlanView plan={null} problem={said.problem} asked={false} />}
    </Dialog>
  );
}

export function EditContainerDialog({ all, picked, onClose, onDone }: Props & { picked: Picked }) {
  const { tryTo } = useToasts();
  const kind = picked.kind as Level;
  const box = all.boxes.get(picked.id);
  const was = { name: box?.name ?? "", parent: all.boxes.get(box?.parent ?? "")?.name ?? "" };
  // As it is called when the dialog opens: that is what is renamed.
  const [before] = useState(was);
  const [name, setName] = useState(was.name);
  const [parent, setParent] = useState(was.parent);
  const renamed = name === before.name ? "" : name;
  const moved = parent === before.parent ? "" : parent;
  const ready = NAME.test(name) && (renamed !== "" || moved !== "");
  const said = usePlan(ready ? () => api.editContainer(kind, picked.id, renamed, moved, true) : null, `${name} ${parent}`);
  const above = LEVELS.find((one) => one.kind === kind)?.above;
  return (
    <Dialog
      title={`Rename or move ${before.name}`}
      command={command(kind, "edit", before.name, ...(renamed === "" ? [] : ["--name", renamed]), ...(moved === "" || !above ? [] : [`--${above}`, moved]))}
      action="Change"
      ready={ready && said.plan?.state === "planned"}
      onAction={async () => {
        const refused = await tryTo(() => api.editContainer(kind, picked.id, renamed, moved, false), `${name} is changed.`);
        await onDone();
        return refused;
      }}
      onClose={onClose}
    >
      <Field label="Name" hint="Letters, digits and hyphens">
        {(id, note) => <input id={id} aria-describedby={note} value={name} autoFocus autoComplete="off" onChange={(event) => setName(event.target.value)} />}
      </Field>
      <Parent all={all} kind={kind} value={parent} onChange={setParent} />
      <PlanView plan={said.plan} problem={said.problem} asked={ready} />
    </Dialog>
  );
}

export function DeleteContainerDialog({ all, picked, onClose, onDone }: Props & { picked: Picked }) {
  const { tryTo } = useToasts();
  const [name] = useState(() => nameOf(all, picked));
  const said = usePlan(() => api.removeContainer(picked.kind, picked.id, true), picked.id);
  return (
    <Dialog
      title={`Delete ${name}`}
      command={command(picked.kind, "delete", name)}
      action="Delete"
      danger
      ready={said.plan?.state === "planned"}
      onAction={async () => {
        const refused = await tryTo(() => api.removeContainer(picked.kind, picked.id, false), `${name} is deleted.`);
        await onDone();
        return refused;
      }}
      onClose={onClose}
    >
      <PlanView plan={said.plan} problem={said.problem} asked />
    </Dialog>
  );
}
