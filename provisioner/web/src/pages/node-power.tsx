/** Power of a node by its management controller: how it stands, changing it, and where the controller is. */
import { useCallback, useEffect, useId, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Bmc, BmcSet, Node, Problem } from "../api/types";
import { Dialog } from "../components/dialog";
import { CliHint, Fact, Field, State } from "../components/parts";
import { PlanView, usePlan } from "../components/plan";
import { bmcCommand, command, powerCommand } from "../lib/cli";
import { useWhyNot } from "../state/rights";
import { useToasts } from "../state/toasts";

/** What can be done, in words. */
const ACTIONS = [
  { action: "on", graceful: false, words: "Power on", danger: false },
  { action: "off", graceful: true, words: "Shut down", danger: true },
  { action: "off", graceful: false, words: "Power off", danger: true },
  { action: "reset", graceful: false, words: "Reset", danger: true },
] as const;

type Action = (typeof ACTIONS)[number];
type Choice = { verb: "power"; action: Action } | { verb: "set" | "clear" } | null;

interface Known {
  /** Null where none is set. */
  bmc: Bmc | null;
  /** Empty while the controller is asked, and where the caller may not ask. */
  power: string;
  problem: Problem | null;
}

/** What does not come is a problem to be shown; what throws otherwise is an error of the page. */
function problemOf(error: unknown): Problem {
  if (!(error instanceof ApiError)) throw error;
  return error.problem;
}

export function PowerPanel({ node }: { node: Node }) {
  const name = node.name;
  const heading = useId();
  const [known, setKnown] = useState<Known | null>(null);
  const [choice, setChoice] = useState<Choice>(null);
  const noPower = useWhyNot("power", "node", name);
  const noSet = useWhyNot("set-bmc", "node", name);
  const may = noPower === "";
  const look = useCallback(async () => {
    let bmc: Bmc | null = null;
    try {
      bmc = await api.bmc(name);
      setKnown((old) => ({ bmc, power: old?.power ?? "", problem: null }));
      if (may) {
        const { state } = await api.powerState(name);
        setKnown({ bmc, power: state, problem: null });
      }
    } catch (error) {
      const problem = problemOf(error);
      setKnown({ bmc, power: "", problem: problem.code === "bmc-not-set" ? null : problem });
    }
  }, [name, may]);
  useEffect(() => void look(), [look]);
  if (!known) return null;
  const close = () => setChoice(null);
  const { bmc, power, problem } = known;
  return (
    <section className="panel" aria-labelledby={heading}>
      <h2 id={heading}>Power</h2>
      {problem && (
        <p className="note warn" role="alert">
          <strong>{problem.title}.</strong> {problem.next}
        </p>
      )}
      {bmc ? (
        <>
          <dl className="facts">
            <Fact label="Power">{power === "" ? (may && !problem ? "asking…" : "–") : <State state={power} />}</Fact>
            <Fact label="Management controller">
              {bmc.kind === "redfish" ? "Redfish" : "IPMI"} at <code>{bmc.address}</code>
              {bmc.system !== "" && `, system ${bmc.system}`}
            </Fact>
            <Fact label="Account">{bmc.account}</Fact>
            {bmc.kind === "redfish" && <Fact label="Trusted">{bmc.certificate.startsWith("sha256:") ? <code>{bmc.certificate}</code> : "certificates of a file"}</Fact>}
          </dl>
          <div className="actions">
            {ACTIONS.map((one) => (
              <button key={one.words} type="button" disabled={!may} title={noPower} onClick={() => setChoice({ verb: "power", action: one })}>
                {one.words}…
              </button>
            ))}
            <button type="button" disabled={!may} title={noPower} onClick={() => void look()}>
              Ask again
            </button>
            <button type="button" disabled={noSet !== ""} title={noSet} onClick={() => setChoice({ verb: "set" })}>
              Set controller…
            </button>
            <button type="button" disabled={noSet !== ""} title={noSet} onClick={() => setChoice({ verb: "clear" })}>
              Clear controller…
            </button>
          </div>
          <CliHint command={command("node", "power", "status", name)} />
        </>
      ) : (
        <>
          <p className="muted">No management controller is set, so its power is out of reach.</p>
          <div className="actions">
            <button type="button" disabled={noSet !== ""} title={noSet} onClick={() => setChoice({ verb: "set" })}>
              Set controller…
            </button>
          </div>
        </>
      )}
      {choice?.verb === "power" && <PowerDialog node={node} action={choice.action} onClose={close} onDone={look} />}
      {choice?.verb === "set" && <SetDialog name={name} bmc={bmc} onClose={close} onDone={look} />}
      {choice?.verb === "clear" && <ClearDialog name={name} onClose={close} onDone={look} />}
    </section>
  );
}

interface Props {
  onClose: () => void;
  onDone: () => Promise<void>;
}

function PowerDialog({ node, action: { action, graceful, words, danger }, onClose, onDone }: Props & { node: Node; action: Action }) {
  const { tryTo } = useToasts();
  const said = usePlan(() => api.power(node.name, action, graceful, true), `${action} ${graceful}`);
  return (
    <Dialog
      title={`${words}: ${node.name}`}
      command={powerCommand(node.name, action, graceful)}
      action={words}
      danger={danger}
      ready={said.plan?.state === "planned"}
      onAction={async () => {
        const problem = await tryTo(() => api.power(node.name, action, graceful, false), `The controller of ${node.name} took it.`);
        await onDone();
        return problem;
      }}
      onClose={onClose}
    >
      <PlanView plan={said.plan} problem={said.problem} asked />
      <p className="muted">It cannot be undone.</p>
    </Dialog>
  );
}

function SetDialog({ name, bmc, onClose, onDone }: Props & { name: string; bmc: Bmc | null }) {
  const { tryTo } = useToasts();
  const [wanted, setWanted] = useState<BmcSet>({
    kind: bmc?.kind ?? "redfish",
    address: bmc?.address ?? "",
    account: bmc?.account ?? "",
    password: "",
    certificate: bmc?.certificate ?? "",
    system: bmc?.system ?? "",
  });
  const put = (part: Partial<BmcSet>) => setWanted((old) => ({ ...old, ...part }));
  const redfish = wanted.kind === "redfish";
  const sent = redfish ? wanted : { ...wanted, certificate: "", system: "" };
  // A password goes to the controller that it was set for, and to no other.
  const same = bmc !== null && bmc.kind === sent.kind && bmc.address === sent.address && bmc.certificate === sent.certificate;
  const ready = sent.address !== "" && sent.account !== "" && (sent.password !== "" || same) && (!redfish || sent.certificate !== "");
  return (
    <Dialog
      title={`Management controller of ${name}`}
      command={bmcCommand(name, sent)}
      action="Set"
      ready={ready}
      onAction={async () => {
        const problem = await tryTo(() => api.setBmc(name, sent), `The controller of ${name} is set.`);
        if (!problem) await onDone();
        return problem;
      }}
      onClose={onClose}
    >
      <Field label="Protocol">
        {(id, note) => (
          <select id={id} aria-describedby={note} value={wanted.kind} onChange={(event) => put({ kind: event.target.value })}>
            <option value="redfish">Redfish</option>
            <option value="ipmi">IPMI 2.0</option>
          </select>
        )}
      </Field>
      <Field label="Address" hint="host, or host:port">
        {(id, note) => <input id={id} aria-describedby={note} value={wanted.address} onChange={(event) => put({ address: event.target.value.trim() })} />}
      </Field>
      <Field label="Account">
        {(id, note) => <input id={id} aria-describedby={note} autoComplete="off" value={wanted.account} onChange={(event) => put({ account: event.target.value })} />}
      </Field>
      <Field label="Password" hint={same ? "empty: the one that is set" : "shown to nobody afterwards"}>
        {(id, note) => <input id={id} aria-describedby={note} type="password" autoComplete="new-password" value={wanted.password} onChange={(event) => put({ password: event.target.value })} />}
      </Field>
      {redfish && (
        <>
          <Field label="Trusted certificate" hint="sha256: and its fingerprint, or certificates in PEM">
            {(id, note) => <textarea id={id} aria-describedby={note} className="mono" rows={3} value={wanted.certificate} onChange={(event) => put({ certificate: event.target.value.trim() })} />}
          </Field>
          <Field label="System" hint="where the controller has several">
            {(id, note) => <input id={id} aria-describedby={note} value={wanted.system} onChange={(event) => put({ system: event.target.value.trim() })} />}
          </Field>
        </>
      )}
    </Dialog>
  );
}

function ClearDialog({ name, onClose, onDone }: Props & { name: string }) {
  const { tryTo } = useToasts();
  return (
    <Dialog
      title={`Clear the controller of ${name}`}
      command={command("node", "bmc", "clear", name)}
      action="Clear"
      danger
      onAction={async () => {
        const problem = await tryTo(() => api.clearBmc(name), `The controller of ${name} is cleared.`);
        if (!problem) await onDone();
        return problem;
      }}
      onClose={onClose}
    >
      <p>Its address and password are dropped. History keeps no password, so this cannot be taken back.</p>
    </Dialog>
  );
}
