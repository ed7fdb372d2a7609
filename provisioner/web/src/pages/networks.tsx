/** Virtual switches and what is on them, as lists: made, changed and deleted here; connected by hand on the map as well. */
import { useMemo, useState } from "react";
import { api } from "../api/client";
import type { NetObject, NodeNic } from "../api/types";
import { CliHint, Loading, State } from "../components/parts";
import { connected, detail, NOUNS } from "../lib/networks";
import type { Noun } from "../lib/networks";
import { href } from "../lib/route";
import { labelWords } from "../lib/selector";
import { usePolled } from "../state/polled";
import { useWhyNot } from "../state/rights";
import { DeleteNetDialog, NetDialog } from "./network-dialogs";

type Choice = { verb: "make"; noun: Noun } | { verb: "edit" | "delete"; noun: Noun; of: NetObject } | null;

/** Objects of a list before it is asked for by name. */
const SHOWN = 100;

export function NetworksPage() {
  const [nics] = usePolled<NodeNic[]>(api.nics);
  const [choice, setChoice] = useState<Choice>(null);
  const [filter, setFilter] = useState("");
  const [looked, setLooked] = useState(0);
  const done = async () => setLooked((count) => count + 1);
  return (
    <>
      <header className="page-head">
        <h1>Networks</h1>
        <input className="filter" type="search" placeholder="Find by name" aria-label="Find by name" value={filter} onChange={(event) => setFilter(event.target.value)} />
      </header>
      <p className="note">
        Nodes have no virtual switch and no storage yet. What is made here is kept, checked and undone like everything else, and is <b>not applied</b>: each virtual server stays bridged to the appliance’s network by its own VNIC. To connect by hand: <a href={href({ page: "map" })}>the map</a>.
      </p>
      {NOUNS.map((noun) => (
        <Kind key={noun.kind} noun={noun} filter={filter.trim().toLowerCase()} looked={looked} onChoose={setChoice} />
      ))}
      <section className="net-kind" aria-label="NICs of nodes">
        <header className="page-head">
          <h2>NICs of nodes</h2>
          <p className="summary">as the nodes report them</p>
        </header>
        {nics === null ? <Loading /> : <Nics nics={nics} filter={filter.trim().toLowerCase()} />}
      </section>
      {choice?.verb === "make" && <NetDialog noun={choice.noun} of={null} onClose={() => setChoice(null)} onDone={done} />}
      {choice?.verb === "edit" && <NetDialog noun={choice.noun} of={choice.of} onClose={() => setChoice(null)} onDone={done} />}
      {choice?.verb === "delete" && <DeleteNetDialog noun={choice.noun} of={choice.of} onClose={() => setChoice(null)} onDone={done} />}
    </>
  );
}

interface KindProps {
  noun: Noun;
  filter: string;
  /** Grows with each change: then it is looked at once. */
  looked: number;
  onChoose: (choice: Choice) => void;
}

function Kind({ noun, filter, looked, onChoose }: KindProps) {
  const read = useMemo(() => () => api.nets(noun.list), [noun.list, looked]);
  const [all] = usePolled<NetObject[]>(read);
  const noCreate = useWhyNot("create", noun.kind);
  const found = (all ?? []).filter(({ name }) => name.toLowerCase().includes(filter));
  return (
    <section className="net-kind" aria-label={noun.title}>
      <header className="page-head">
        <h2>{noun.title}</h2>
        <p className="summary">{all?.length ?? "…"}</p>
        <button type="button" className="push" disabled={noCreate !== ""} title={noCreate} onClick={() => onChoose({ verb: "make", noun })}>
          New {noun.words}…
        </button>
      </header>
      {all?.length === 0 && (
        <div className="panel">
          <p className="muted">{noun.teach}</p>
          <CliHint command={noun.first} />
        </div>
      )}
      {found.length > 0 && (
        <div className="rows" role="list" aria-label={noun.title}>
          {found.slice(0, SHOWN).map((of) => (
            <NetRow key={of.id} noun={noun} of={of} onChoose={onChoose} />
          ))}
        </div>
      )}
      {found.length > SHOWN && <p className="muted">{found.length - SHOWN} more: find them by name.</p>}
    </section>
  );
}

function NetRow({ noun, of, onChoose }: { noun: Noun; of: NetObject; onChoose: (choice: Choice) => void }) {
  const noEdit = useWhyNot("edit", noun.kind, of.name);
  const noDelete = useWhyNot("delete", noun.kind, of.name);
  const own = of.own ? `It came with ${of.server || "its server"}, and goes with it` : "";
  // A server's own VHBA has nothing that could be changed.
  const fixed = of.own && of.kind === "vhba" ? own : "";
  return (
    <article className="row net-row" role="listitem" aria-label={of.name}>
      <div className="cell-name">
        <b className="break">{of.name}</b>
        <State state={of.state} />
      </div>
      <div className="cell-hw">
        <span className="break">{connected(of)}</span>
        <span className={of.kind === "port" ? "muted break" : "muted mono break"}>{detail(of)}</span>
      </div>
      <div className="cell-hw">
        <span className="muted break">{of.reason}</span>
        <span className="muted break">{labelWords(of.labels)}</span>
      </div>
      <div className="cell-act">
        <button type="button" disabled={noEdit !== "" || fixed !== ""} title={noEdit || fixed} onClick={() => onChoose({ verb: "edit", noun, of })} aria-label={`Change ${of.name}`}>
          Change…
        </button>
        <button type="button" disabled={noDelete !== "" || own !== ""} title={noDelete || own} onClick={() => onChoose({ verb: "delete", noun, of })} aria-label={`Delete ${of.name}`}>
          Delete…
        </button>
      </div>
    </article>
  );
}

function Nics({ nics, filter }: { nics: readonly NodeNic[]; filter: string }) {
  const found = nics.filter(({ name, gateway }) => name.toLowerCase().includes(filter) || gateway.toLowerCase().includes(filter));
  if (nics.length === 0) return <p className="muted">No node has reported a NIC yet.</p>;
  return (
    <div className="rows" role="list" aria-label="NICs of nodes">
      {found.slice(0, SHOWN).map((nic) => (
        <article className="row net-row" role="listitem" key={nic.name} aria-label={nic.name}>
          <div className="cell-name">
            <b className="break">{nic.node}</b>
            <State state={nic.state} />
          </div>
          <div className="cell-hw">
            <span className="mono">{nic.mac}</span>
            <span className="muted">
              {nic.driver} {nic.pci_id}
              {nic.address !== "" && `, ${nic.address}`}
            </span>
          </div>
          <div className="cell-hw">
            <span>{nic.gateway === "" ? "no gateway port" : `gateway port ${nic.gateway}`}</span>
            {nic.bridged && <span className="muted">the node booted from it and bridges its servers to it</span>}
          </div>
        </article>
      ))}
    </div>
  );
}
