/** Virtual switches on the map: gateway ports above, ports with their VNICs below. */
import { memo } from "react";
import type { TopologySwitch } from "../api/types";
import { Icon } from "../components/icons";
import { State } from "../components/parts";
import { href } from "../lib/route";
import { NONE_KEY, nameOf, vnicOf } from "../lib/topology";
import type { Index } from "../lib/topology";
import { Plug } from "./map-boxes";

/** Ports that a switch draws; the others are found by name on the page of networks. */
const PORTS = 96;

export function SwitchBoxes({ all, filter }: { all: Index; filter: string }) {
  const fits = (of: TopologySwitch) => filter === "" || [of, ...of.ports, ...of.gateways].some(({ name }) => name.toLowerCase().includes(filter)) || of.ports.some(({ vnic }) => nameOf(all, { kind: "vnic", id: vnic }).toLowerCase().includes(filter));
  const some = all.topology.switches.filter(fits);
  if (all.topology.switches.length === 0) return null;
  return (
    <section className="map-net" aria-label="Virtual switches">
      <header className="map-head">
        <h2 className="map-title">Virtual switches</h2>
        <span className="map-unplug" data-drop={NONE_KEY}>
          <Icon name="plug" /> On no port
        </span>
        <a className="map-fold" href={href({ page: "networks" })}>
          Make and change…
        </a>
      </header>
      <div className="map-switches">
        {some.map((of) => (
          <SwitchBox key={of.id} of={of} all={all} />
        ))}
      </div>
    </section>
  );
}

const SwitchBox = memo(function SwitchBox({ of, all }: { of: TopologySwitch; all: Index }) {
  const ports = of.ports.slice(0, PORTS);
  return (
    <section className="map-switch" data-id={of.id} aria-label={`Virtual switch ${of.name}`}>
      <header className="map-head">
        <button type="button" className="map-title" data-item="switch" data-id={of.id} tabIndex={-1} aria-label={`switch ${of.name}, ${of.state}`}>
          <span className="map-kind">switch</span> <b className="break">{of.name}</b>
        </button>
        <span title={of.reason}>
          <State state={of.state} />
        </span>
      </header>
      <div className="map-gateways">
        {of.gateways.map(({ id, name, node }) => (
          <button key={id} type="button" className="map-gateway" data-item="gateway" data-id={id} data-drop={id} tabIndex={-1} aria-label={`gateway port ${name} on ${nameOf(all, { kind: "node", id: node }) || "a node that you may not see"}`}>
            <Icon name="uplink" />
            <b className="break">{name}</b>
            <span className="muted">{nameOf(all, { kind: "node", id: node })}</span>
          </button>
        ))}
        {of.gateways.length === 0 && <p className="muted map-none">No gateway port.</p>}
      </div>
      <div className="map-ports">
        {ports.map((port) => {
          const vnic = port.vnic === "" ? null : vnicOf(all, port.vnic);
          const leads = port.gateways.map((id) => nameOf(all, { kind: "gateway", id })).filter((name) => name !== "");
          return (
            <div key={port.id} className="map-port" data-id={port.id} data-drop={port.id}>
              <button type="button" className="map-port-head" data-item="port" data-id={port.id} tabIndex={-1} aria-label={`port ${port.name}, ${vnic ? `VNIC ${vnic.name}` : port.vnic === "" ? "free" : "taken"}`}>
                <b className="break">{port.name}</b>
                <span className="muted">{leads.length === 0 ? "leads nowhere" : `→ ${leads.join(", ")}`}</span>
              </button>
              {vnic ? <Plug id={vnic.id} name={vnic.name} state={vnic.state} words={`on port ${port.name}`} /> : <span className="muted map-free">{port.vnic === "" ? "free" : "a VNIC that you may not see"}</span>}
            </div>
          );
        })}
        {of.ports.length > PORTS && <p className="muted map-none">and {of.ports.length - PORTS} more ports</p>}
        {of.ports.length === 0 && <p className="muted map-none">No port.</p>}
      </div>
    </section>
  );
});
