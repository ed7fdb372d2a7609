/**
 * The map: what stands in what and what lies on what, to look at in both directions and to take hold of. Where something
 * may go, and why not elsewhere, the appliance says (`GET /api/v1/topology/targets`); nothing of its rules is here.
 */
import { useCallback, useDeferredValue, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { DragEvent, KeyboardEvent, MouseEvent } from "react";
import { ApiError, api } from "../api/client";
import type { Target, Targets } from "../api/types";
import { Icon } from "../components/icons";
import { CliHint, Empty, Loading } from "../components/parts";
import { still as stillness } from "../lib/still";
import { openFor } from "../lib/opened";
import { FREE_KEY, HIDDEN, NEW_KEY, WAITING, lit, movable, moving, nameOf, targetKey, targetWords } from "../lib/topology";
import type { Index, Kind, Picked } from "../lib/topology";
import { useWhyNot } from "../state/rights";
import { useTopology } from "../state/topology";
import { DatacenterBox, FrameBox, MainframeBox } from "./map-boxes";
import { Detail } from "./map-detail";
import { Slider, usePast } from "./map-past";
import { SwitchBoxes } from "./map-switches";
import { ContainerDialog, DeleteContainerDialog, EditContainerDialog, MoveDialog, NewPartitionDialog } from "./map-dialogs";
import { PlaceDialog } from "./map-place";

/** More nodes than this, and frames begin closed: what is not looked at costs nothing. */
const CLOSED_FROM = 150;

type Choice =
  | { verb: "move"; picked: Picked; target: Target | null }
  | { verb: "partition"; node: string }
  | { verb: "create" }
  | { verb: "edit" | "delete"; picked: Picked }
  | null;

interface Drag {
  picked: Picked;
  /** Null until the appliance has said where it may go. */
  targets: Map<string, Target> | null;
}

export const targetsOf = (targets: Targets) => new Map(targets.targets.map((target) => [targetKey(target), target]));

function itemAt(event: { target: EventTarget }): Picked | null {
  const element = (event.target as Element).closest<HTMLElement>("[data-item]");
  return element ? { kind: element.dataset["item"] as Kind, id: element.dataset["id"] ?? "" } : null;
}

/** The innermost place under the pointer that the appliance knows as a target. */
function targetAt(event: DragEvent, targets: Map<string, Target>): Target | null {
  let element = (event.target as Element).closest<HTMLElement>("[data-drop]");
  while (element) {
    const target = targets.get(element.dataset["drop"] ?? "");
    if (target) return target;
    element = element.parentElement?.closest<HTMLElement>("[data-drop]") ?? null;
  }
  return null;
}

export function MapPage() {
  const [current, look] = useTopology();
  const [past, setAt] = usePast();
  const noHistory = useWhyNot("view", "history");
  const [picked, setPicked] = useState<Picked | null>(null);
  const [choice, setChoice] = useState<Choice>(null);
  const [filter, setFilter] = useState("");
  const wanted = useDeferredValue(filter.trim().toLowerCase());
  const noCreate = useWhyNot("create", "datacenter");
  if (!current) return <Loading />;
  const then = past.at !== null;
  const all = (then && past.all) || current;
  const { datacenters, mainframes, frames, nodes, servers } = all.topology;
  const alive = picked && nameOf(all, picked) !== "" ? picked : null;
  const close = () => setChoice(null);
  const done = async () => look();
  return (
    <>
      <header className="page-head">
        <h1>Map</h1>
        <p className="summary">
          {many(nodes.length, "node")} in {many(frames.length, "frame")}, {many(servers.length, "server")}
        </p>
        <input className="filter" type="search" placeholder="Find a node or a server" aria-label="Find a node or a server" value={filter} onChange={(event) => setFilter(event.target.value)} />
        <button type="button" className="primary" disabled={then || noCreate !== ""} title={noCreate} onClick={() => setChoice({ verb: "create" })}>
          <Icon name="plus" />
          New frame…
        </button>
      </header>
      {noHistory === "" && <Slider past={past} newest={current.topology.transaction} onMove={setAt} />}
      {!then && datacenters.length + mainframes.length + frames.length === 0 && <Teach />}
      <div className={alive ? "map-with-detail" : undefined}>
        <Boxes
          all={all}
          picked={alive}
          filter={wanted}
          still={then}
          onPick={setPicked}
          onMove={(from, target) => setChoice(target && targetKey(target) === NEW_KEY ? { verb: "partition", node: nameOf(all, from) } : { verb: "move", picked: from, target })}
        />
        {alive && (
          <Detail
            all={all}
            picked={alive}
            still={then}
            onPick={setPicked}
            onMove={() => setChoice({ verb: "move", picked: alive, target: null })}
            onEdit={() => setChoice({ verb: "edit", picked: alive })}
            onDelete={() => setChoice({ verb: "delete", picked: alive })}
          />
        )}
      </div>
      {choice?.verb === "move" && (choice.picked.kind === "vcpu" || choice.picked.kind === "vnic") && <PlaceDialog all={all} picked={choice.picked} first={choice.target} onClose={close} onDone={done} />}
      {choice?.verb === "move" && choice.picked.kind !== "vcpu" && choice.picked.kind !== "vnic" && <MoveDialog all={all} picked={choice.picked} first={choice.target} onNew={() => setChoice({ verb: "partition", node: nameOf(all, choice.picked) })} onClose={close} onDone={done} />}
      {choice?.verb === "partition" && <NewPartitionDialog all={all} first={choice.node} onClose={close} onDone={done} />}
      {choice?.verb === "create" && <ContainerDialog all={all} onClose={close} onDone={done} />}
      {choice?.verb === "edit" && <EditContainerDialog all={all} picked={choice.picked} onClose={close} onDone={done} />}
      {choice?.verb === "delete" && <DeleteContainerDialog all={all} picked={choice.picked} onClose={close} onDone={done} />}
    </>
  );
}

function many(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function Teach() {
  return (
    <Empty title="Nothing stands anywhere yet">
      <p>A data center holds virtual mainframes, those hold frames, and nodes stand in frames. Nodes in no frame are the free pool below; drag one into a frame once there is one.</p>
      <CliHint command="weft datacenter create north" />
      <CliHint command="weft mainframe create m1 --datacenter north" />
      <CliHint command="weft frame create rack-1 --mainframe m1" />
    </Empty>
  );
}

interface BoxesProps {
  all: Index;
  picked: Picked | null;
  filter: string;
  /** Only to look at: it is how things were. */
  still: boolean;
  onPick: (picked: Picked | null) => void;
  /** A move is to be looked at: to a target, or to one that is still to be chosen. */
  onMove: (picked: Picked, target: Target | null) => void;
}

function Boxes({ all, picked, filter, still, onPick, onMove }: BoxesProps) {
  const root = useRef<HTMLDivElement>(null);
  const [drag, setDrag] = useState<Drag | null>(null);
  const [over, setOver] = useState<Target | null>(null);
  const glow = useMemo(() => lit(all, picked), [all, picked]);
  useLayoutEffect(() => openFor(all, picked), [all, picked]);
  useEffect(() => () => openFor(all, null), []);
  // Marks are set on what is drawn, so that a choice or a drag draws nothing anew.
  useLayoutEffect(() => {
    for (const element of root.current?.querySelectorAll<HTMLElement>("[data-id]") ?? []) {
      const id = element.dataset["id"] ?? "";
      mark(element, "lit", picked === null ? "" : picked.id === id ? "picked" : glow.has(id) ? "yes" : "no");
      if (element.dataset["item"]) element.setAttribute("aria-pressed", String(picked?.id === id));
    }
    for (const element of root.current?.querySelectorAll<HTMLElement>("[data-drop]") ?? []) {
      mark(element, "target", drag?.targets?.get(element.dataset["drop"] ?? "")?.state ?? "");
    }
    const items = root.current?.querySelectorAll<HTMLElement>("[data-item]") ?? [];
    if (items.length > 0 && ![...items].some((item) => item.tabIndex === 0)) (items[0] as HTMLElement).tabIndex = 0;
  });
  const start = useCallback((event: DragEvent) => {
    const from = itemAt(event);
    if (!from || !movable(from) || still) {
      event.preventDefault();
      return;
    }
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", nameOf(all, from));
    stillness.begin();
    setDrag({ picked: from, targets: null });
    void api.targets(from.kind, from.id).then(
      (targets) => setDrag((now) => (now?.picked.id === from.id ? { ...now, targets: targetsOf(targets) } : now)),
      (error: unknown) => {
        stillness.end();
        if (!(error instanceof ApiError)) throw error;
        setDrag(null);
      },
    );
  }, [all, still]);
  // Whatever ends the drag: the page that goes away under it gets no `dragend`.
  useEffect(() => () => stillness.end(), []);
  const hover = (event: DragEvent) => {
    if (!drag?.targets) return;
    const target = targetAt(event, drag.targets);
    if (target?.state === "legal") event.preventDefault();
    if (target !== over) setOver(target);
  };
  const end = () => {
    stillness.end();
    setDrag(null);
    setOver(null);
  };
  const drop = (event: DragEvent) => {
    const target = drag?.targets ? targetAt(event, drag.targets) : null;
    if (drag && target?.state === "legal") {
      event.preventDefault();
      onMove(drag.picked, target);
    }
    end();
  };
  const pick = (event: MouseEvent) => {
    const item = itemAt(event);
    if (item) onPick(picked?.id === item.id ? null : item);
  };
  const keys = (event: KeyboardEvent) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape") return onPick(null);
    const item = itemAt(event);
    if (!item) return;
    if (event.key === "m" && movable(item) && !still) {
      event.preventDefault();
      return onMove(item, null);
    }
    const items = [...(root.current?.querySelectorAll<HTMLElement>("[data-item]") ?? [])];
    const at = items.findIndex((one) => one === document.activeElement);
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    const next = to === undefined ? undefined : items[to];
    if (!next) return;
    event.preventDefault();
    next.focus();
  };
  const focused = (event: { target: EventTarget }) => {
    const item = (event.target as Element).closest<HTMLElement>("[data-item]");
    if (!item) return;
    root.current?.querySelectorAll<HTMLElement>('[data-item][tabindex="0"]').forEach((one) => void (one.tabIndex = -1));
    item.tabIndex = 0;
  };
  const { datacenters, mainframes, frames } = all.topology;
  const closed = all.topology.nodes.length > CLOSED_FROM;
  const known = (id: string) => all.boxes.has(id);
  return (
    <div
      ref={root}
      className={drag ? "map dragging" : "map"}
      role="group"
      aria-label="Map"
      aria-describedby="map-keys"
      onClick={pick}
      onKeyDown={keys}
      onFocus={focused}
      onDragStart={start}
      onDragOver={hover}
      onDrop={drop}
      onDragEnd={end}
    >
      <p id="map-keys" className="muted map-keys">
        Click to see what belongs together, drag to move; a chosen server or node shows its processors and VNICs, which are dragged onto processors and ports. By keyboard: arrows, Enter, <kbd>m</kbd> for “Move to…”.
      </p>
      {datacenters.map((box) => (
        <DatacenterBox key={box.id} box={box} all={all} filter={filter} closed={closed} />
      ))}
      {mainframes.filter(({ parent }) => !known(parent)).map((box) => (
        <MainframeBox key={box.id} box={box} all={all} filter={filter} closed={closed} />
      ))}
      {frames.filter(({ parent }) => !known(parent)).map((box) => (
        <FrameBox key={box.id} id={box.id} title={box.name} item="frame" drop={box.id} standing={all.standing.get(box.id)} servers={all.servers} filter={filter} closed={closed} />
      ))}
      {all.standing.has(HIDDEN) && <FrameBox id={HIDDEN} title="Frames that you may not see" standing={all.standing.get(HIDDEN)} servers={all.servers} filter={filter} closed={closed} />}
      <FrameBox id="free" title="Free pool" drop={FREE_KEY} note="Approved nodes in no frame" standing={all.standing.get("")} servers={all.servers} filter={filter} closed={closed} />
      {all.standing.has(WAITING) && <FrameBox id={WAITING} title="Waiting for approval" note="Compare fingerprints on the nodes page" standing={all.standing.get(WAITING)} servers={all.servers} filter={filter} closed={closed} />}
      <SwitchBoxes all={all} filter={filter} />
      {drag?.picked.kind === "node" && (
        <div className="map-new" data-drop={NEW_KEY}>
          <Icon name="partitions" /> New partition with {nameOf(all, drag.picked)}…
        </div>
      )}
      <p className={drag ? "map-status on" : "map-status"} role="status" aria-live="polite">
        {drag && status(drag.picked, nameOf(all, drag.picked), drag.targets, over)}
      </p>
    </div>
  );
}

function mark(element: HTMLElement, name: string, value: string) {
  if (value === "") delete element.dataset[name];
  else if (element.dataset[name] !== value) element.dataset[name] = value;
}

function status(picked: Picked, name: string, targets: Map<string, Target> | null, over: Target | null): string {
  const { verb } = moving(picked);
  if (!targets) return `Asking where ${name} may go…`;
  if (!over) return `${name}: places it may go to are lit`;
  const place = targetWords(over);
  if (over.state === "legal") return `Drop to ${verb.toLowerCase()} ${name} to ${place}`;
  if (over.state === "here") return picked.kind === "vcpu" ? `${name} has ${place} already` : picked.kind === "vnic" ? `${name} is on ${place} already` : `${name} is in ${place} already`;
  return `Not to ${place}: ${over.reason}; ${over.next}`;
}
