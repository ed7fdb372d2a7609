/** Dialogs of networks: one form for all kinds, with the fields that its kind has. Each shows the plan and the command. */
import { useState } from "react";
import { api } from "../api/client";
import type { NetObject, NodeNic } from "../api/types";
import { Dialog } from "../components/dialog";
import { Field } from "../components/parts";
import { PlanView, usePlan } from "../components/plan";
import { command } from "../lib/cli";
import { PATHINGS, creation, edition, netCreateCommand, netEditCommand, wishOf } from "../lib/networks";
import type { Noun, Wish } from "../lib/networks";
import { nameProblem } from "../lib/validate";
import { usePolled } from "../state/polled";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";

interface Props {
  noun: Noun;
  onClose: () => void;
  onDone: () => Promise<void>;
}

export function NetDialog({ noun, of, onClose, onDone }: Props & { of: NetObject | null }) {
  const { tryTo } = useToasts();
  const [before] = useState(() => wishOf(of));
  const [wish, setWish] = useState<Wish>(before);
  const put = (part: Partial<Wish>) => setWish((now) => ({ ...now, ...part }));
  const wanted = creation(noun.kind, wish);
  const edit = edition(noun.kind, before, wish);
  const wrong = of?.own ? undefined : nameProblem(wish.name, []);
  const missing = (["port", "gateway"].includes(noun.kind) && wish.switch === "") || (noun.kind === "gateway" && wish.node === "") || (["vnic", "vhba"].includes(noun.kind) && wish.server === "");
  const ready = wrong === undefined && !missing && (of === null || edit !== null);
  const change = (dry: boolean) => (of ? api.editNet(noun.list, of.id, edit ?? {}, dry) : api.createNet(noun.list, wanted, dry));
  const said = usePlan(ready ? () => change(true) : null, JSON.stringify(wish));
  return (
    <Dialog
      title={of ? `Change ${before.name}` : `New ${noun.words}`}
      command={of ? netEditCommand(noun.kind, before.name, edit) : netCreateCommand(noun.kind, wanted)}
      action={of ? "Change" : "Create"}
      ready={ready && said.plan?.state === "planned"}
      onAction={async () => {
        const refused = await tryTo(() => change(false), of ? `${wish.name} is changed.` : `${wish.name} is there.`);
        await onDone();
        return refused;
      }}
      onClose={onClose}
    >
      {!of?.own && (
        <Field label="Name" hint="Letters, digits and hyphens" error={wish.name === "" ? undefined : wrong}>
          {(id, note) => <input id={id} aria-describedby={note} value={wish.name} autoFocus autoComplete="off" spellCheck={false} onChange={(event) => put({ name: event.target.value })} />}
        </Field>
      )}
      <Fields noun={noun} isNew={of === null} wish={wish} put={put} />
      <PlanView plan={said.plan} problem={said.problem} asked={ready} />
    </Dialog>
  );
}

const SWITCHES = () => api.nets("switches");
const GATEWAYS = () => api.nets("gateways");
const PORTS = () => api.nets("ports");

function Fields({ noun, isNew, wish, put }: { noun: Noun; isNew: boolean; wish: Wish; put: (part: Partial<Wish>) => void }) {
  switch (noun.kind) {
    case "gateway":
      return (
        <>
          {isNew && <SwitchField wish={wish} put={put} />}
          <NicFields wish={wish} put={put} />
        </>
      );
    case "port":
      return (
        <>
          {isNew && <SwitchField wish={wish} put={(part) => put({ ...part, gateways: [] })} />}
          <GatewayFields wish={wish} put={put} />
        </>
      );
    case "vnic":
      return (
        <>
          {isNew && <ServerField wish={wish} put={put} />}
          <PortField wish={wish} put={put} />
        </>
      );
    case "vhba":
      return isNew ? <ServerField wish={wish} put={put} /> : null;
    case "switch":
      return null;
  }
}

interface Part {
  wish: Wish;
  put: (part: Partial<Wish>) => void;
}

interface Option {
  value: string;
  words: string;
  no?: boolean;
}

function Choose({ label, hint, value, none, options, onChange }: { label: string; hint?: string; value: string; none: string; options: Option[]; onChange: (value: string) => void }) {
  return (
    <Field label={label} {...(hint === undefined ? {} : { hint })}>
      {(id, note) => (
        <select id={id} aria-describedby={note} value={value} onChange={(event) => onChange(event.target.value)}>
          <option value="">{none}</option>
          {options.map((one) => (
            <option key={one.value} value={one.value} disabled={one.no === true && one.value !== value}>
              {one.words}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

function SwitchField({ wish, put }: Part) {
  const [all] = usePolled<NetObject[]>(SWITCHES);
  const hint = all?.length === 0 ? "There is no virtual switch yet: make one first." : "It belongs to it for its life.";
  return <Choose label="Virtual switch" hint={hint} value={wish.switch} none="Choose one" options={(all ?? []).map(({ name }) => ({ value: name, words: name }))} onChange={(name) => put({ switch: name })} />;
}

function NicFields({ wish, put }: Part) {
  const [nics] = usePolled<NodeNic[]>(api.nics);
  const key = wish.nic === "" ? "" : `${wish.node}/${wish.nic}`;
  const options = (nics ?? []).map(({ name, node, mac, gateway, state }) => ({ value: name, words: `${node} · ${mac}${state === "up" ? "" : ` (${state})`}${gateway === "" ? "" : ` — is ${gateway}`}`, no: gateway !== "" }));
  return (
    <Choose
      label="NIC of a node"
      hint="A NIC is one gateway port at most."
      value={key}
      none="Choose one"
      options={options}
      onChange={(name) => {
        const nic = nics?.find((one) => one.name === name);
        put({ node: nic?.node ?? "", nic: nic?.mac ?? "" });
      }}
    />
  );
}

function GatewayFields({ wish, put }: Part) {
  const [all] = usePolled<NetObject[]>(GATEWAYS);
  const own = (all ?? []).filter((one) => one.switch === wish.switch);
  const toggle = (name: string, on: boolean) => put({ gateways: on ? [...wish.gateways, name] : wish.gateways.filter((one) => one !== name) });
  return (
    <>
      <fieldset className="map-targets">
        <legend>Gateway ports, the primary one first</legend>
        <div className="map-target-list">
          {own.map(({ name, node }) => {
            const place = wish.gateways.indexOf(name);
            return (
              <label className="check" key={name}>
                <input type="checkbox" checked={place >= 0} onChange={(event) => toggle(name, event.target.checked)} />
                <span>
                  {name} <span className="muted">on {node || "…"}{place === 0 ? " — primary" : place > 0 ? ` — ${place + 1}.` : ""}</span>
                </span>
              </label>
            );
          })}
          {own.length === 0 && <p className="muted">{wish.switch === "" ? "Choose the switch first." : `${wish.switch} has none yet; the port can do without.`}</p>}
        </div>
      </fieldset>
      <Field label="How it chooses among them" hint="failover: the primary one while it is there; balance: all; affinity: that of the server’s node">
        {(id, note) => (
          <select id={id} aria-describedby={note} value={wish.pathing} onChange={(event) => put({ pathing: event.target.value })}>
            {PATHINGS.map((one) => (
              <option key={one} value={one}>
                {one}
              </option>
            ))}
          </select>
        )}
      </Field>
    </>
  );
}

function ServerField({ wish, put }: Part) {
  const { servers } = useStore();
  return <Choose label="Virtual server" hint="It stays with it for its life; its identifier is drawn for it." value={wish.server} none="Choose one" options={(servers ?? []).map(({ name }) => ({ value: name, words: name }))} onChange={(server) => put({ server })} />;
}

function PortField({ wish, put }: Part) {
  const [all] = usePolled<NetObject[]>(PORTS);
  const options = (all ?? []).map((one) => {
    const taken = one.children?.length ? ` — has ${one.children.join(", ")}` : "";
    return { value: one.name, words: `${one.name} of ${one.switch ?? "…"}${taken}`, no: taken !== "" };
  });
  return <Choose label="Port" hint="A port takes one VNIC." value={wish.port} none="On no port" options={options} onChange={(port) => put({ port })} />;
}

export function DeleteNetDialog({ noun, of, onClose, onDone }: Props & { of: NetObject }) {
  const { tryTo } = useToasts();
  const [{ name, id }] = useState(of);
  const said = usePlan(() => api.removeNet(noun.list, id, true), id);
  return (
    <Dialog
      title={`Delete ${name}`}
      command={command(noun.kind, "delete", name)}
      action="Delete"
      danger
      ready={said.plan?.state === "planned"}
      onAction={async () => {
        const refused = await tryTo(() => api.removeNet(noun.list, id, false), `${name} is deleted.`);
        await onDone();
        return refused;
      }}
      onClose={onClose}
    >
      <PlanView plan={said.plan} problem={said.problem} asked />
    </Dialog>
  );
}
