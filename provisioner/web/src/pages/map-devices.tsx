/** What is told beside the map of virtual processors, VNICs, switches, ports and gateway ports. */
import { State } from "../components/parts";
import type { TopologyServer } from "../api/types";
import { href } from "../lib/route";
import { homeOf, nameOf, serverOf, vcpuOf, vnicOf, vnicsOf } from "../lib/topology";
import type { Index, Picked } from "../lib/topology";
import { Jump } from "./map-jump";

interface Props {
  all: Index;
  picked: Picked;
  onPick: (picked: Picked | null) => void;
}

/** Virtual processors and VNICs of a server. */
export function ServerDevices({ all, vs, onPick }: { all: Index; vs: TopologyServer; onPick: (picked: Picked | null) => void }) {
  return (
    <>
      <h3>Its processors</h3>
      <p className="map-names">
        {Array.from({ length: vs.vcpus }, (_, vcpu) => {
          const processor = homeOf(vs, vcpu)?.processor;
          return (
            <Jump key={vcpu} all={all} to={{ kind: "vcpu", id: `${vs.id}/${vcpu}` }} onPick={onPick}>
              <span className="muted">{processor == null ? "" : ` → ${processor}`}</span>
            </Jump>
          );
        })}
      </p>
      <h3>Its network</h3>
      <ul className="map-list">
        {vnicsOf(all, vs).map((vnic) => (
          <li key={vnic.id}>
            <Jump all={all} to={{ kind: "vnic", id: vnic.id }} onPick={onPick} />
            <State state={vnic.state} />
          </li>
        ))}
      </ul>
    </>
  );
}

export function OfNetwork({ all, picked, onPick }: Props) {
  const networks = (
    <p>
      <a href={href({ page: "networks" })}>All networks</a>
    </p>
  );
  switch (picked.kind) {
    case "vcpu": {
      const vs = serverOf(all, picked);
      const home = vs && homeOf(vs, vcpuOf(picked.id));
      if (!vs || !home) return null;
      return (
        <>
          <p>
            Of <Jump all={all} to={{ kind: "vs", id: vs.id }} onPick={onPick} />, on <Jump all={all} to={{ kind: "node", id: home.node }} onPick={onPick} />.
          </p>
          <p>{home.processor === null ? "Its node gives it whichever processor is free." : `It is to have processor ${home.processor}.`}</p>
          <p className="muted">A change takes effect at once, also while the server runs.</p>
        </>
      );
    }
    case "vnic": {
      const vnic = vnicOf(all, picked.id);
      const known = vnic && all.ports.get(vnic.port);
      if (!vnic) return null;
      return (
        <>
          <Applied state={vnic.state} reason={vnic.reason} />
          <p>
            Of <Jump all={all} to={{ kind: "vs", id: vnic.server }} onPick={onPick} />.
          </p>
          {known ? (
            <p>
              On port <Jump all={all} to={{ kind: "port", id: known.port.id }} onPick={onPick} /> of switch <Jump all={all} to={{ kind: "switch", id: known.of.id }} onPick={onPick} />.
            </p>
          ) : (
            <p className="muted">It is on no port of a virtual switch.</p>
          )}
          {networks}
        </>
      );
    }
    case "switch": {
      const of = all.switches.get(picked.id);
      if (!of) return null;
      return (
        <>
          <Applied state={of.state} reason={of.reason} />
          <h3>Gateway ports</h3>
          <Names all={all} kind="gateway" ids={of.gateways.map(({ id }) => id)} none="None: it leads nowhere." onPick={onPick} />
          <h3>Ports</h3>
          <Names all={all} kind="port" ids={of.ports.map(({ id }) => id)} none="None: no VNIC can be on it." onPick={onPick} />
          {networks}
        </>
      );
    }
    case "port": {
      const known = all.ports.get(picked.id);
      if (!known) return null;
      const { port, of } = known;
      return (
        <>
          <Applied state={of.state} reason={of.reason} />
          <p>
            Of switch <Jump all={all} to={{ kind: "switch", id: of.id }} onPick={onPick} />, {port.vnic === "" ? "free" : <>with VNIC <Jump all={all} to={{ kind: "vnic", id: port.vnic }} onPick={onPick} /></>}.
          </p>
          <h3>Gateway ports, the primary one first ({port.pathing})</h3>
          <Names all={all} kind="gateway" ids={port.gateways} none="It leads to none." onPick={onPick} />
          {networks}
        </>
      );
    }
    case "gateway": {
      const known = all.gateways.get(picked.id);
      if (!known) return null;
      const { gateway, of } = known;
      return (
        <>
          <Applied state={of.state} reason={of.reason} />
          <p>
            NIC <span className="mono">{gateway.nic}</span> of <Jump all={all} to={{ kind: "node", id: gateway.node }} onPick={onPick} />, as a way out of switch <Jump all={all} to={{ kind: "switch", id: of.id }} onPick={onPick} />.
          </p>
          <h3>Ports that lead to it</h3>
          <Names all={all} kind="port" ids={of.ports.filter((port) => port.gateways.includes(gateway.id)).map(({ id }) => id)} none="None." onPick={onPick} />
          {networks}
        </>
      );
    }
    default:
      return null;
  }
}

function Applied({ state, reason }: { state: string; reason: string }) {
  return (
    <p>
      <State state={state} /> <span className="muted">{reason}</span>
    </p>
  );
}

/** Names in a list before the rest is only counted. */
const LISTED = 24;

function Names({ all, kind, ids, none, onPick }: { all: Index; kind: "port" | "gateway"; ids: readonly string[]; none: string; onPick: (picked: Picked | null) => void }) {
  const seen = ids.filter((id) => nameOf(all, { kind, id }) !== "");
  return (
    <p className="map-names">
      {seen.length === 0 && <span className="muted">{none}</span>}
      {seen.slice(0, LISTED).map((id) => (
        <Jump key={id} all={all} to={{ kind, id }} onPick={onPick} />
      ))}
      {seen.length > LISTED && <span className="muted">and {seen.length - LISTED} more</span>}
    </p>
  );
}
