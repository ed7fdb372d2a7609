/** Dialogs that make something of a server: a copy, and a template. */
import { useState } from "react";
import { api } from "../api/client";
import type { Vs, VsCopy } from "../api/types";
import { Dialog } from "../components/dialog";
import { Field } from "../components/parts";
import { command, copyCommand } from "../lib/cli";
import { addressProblem, freeNameOf, hostnameProblem, nameProblem } from "../lib/validate";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";

interface Props {
  vs: Vs;
  onClose: () => void;
}

/** Host name, address and gateway of a guest. */
export function SettingFields({ hostname, address, gateway, onPut }: { hostname: string; address: string; gateway: string; onPut: (part: { hostname?: string; address?: string; gateway?: string }) => void }) {
  return (
    <div className="form-grid">
      <Field label="Host name of the guest" hint="Optional." error={hostnameProblem(hostname)}>
        {(id, note) => <input id={id} aria-describedby={note} className="mono" spellCheck={false} value={hostname} onChange={(event) => onPut({ hostname: event.target.value })} />}
      </Field>
      <Field label="IPv4 address with its prefix" hint="Optional: 10.0.0.5/24." error={addressProblem(address)}>
        {(id, note) => <input id={id} aria-describedby={note} className="mono" spellCheck={false} value={address} onChange={(event) => onPut({ address: event.target.value, ...(event.target.value === "" ? { gateway: "" } : {}) })} />}
      </Field>
      <Field label="Gateway" hint={address === "" ? "It goes with an address." : "Optional: 10.0.0.1."}>
        {(id, note) => <input id={id} aria-describedby={note} className="mono" spellCheck={false} disabled={address === ""} value={gateway} onChange={(event) => onPut({ gateway: event.target.value })} />}
      </Field>
    </div>
  );
}

export function CopyDialog({ vs, onClose }: Props) {
  const { nodes, servers, refresh } = useStore();
  const { tryTo } = useToasts();
  const taken = (servers ?? []).map(({ name }) => name);
  const [copy, setCopy] = useState<VsCopy>(() => ({ name: freeNameOf(vs.name, taken), node: "", hostname: "", address: "", gateway: "", mac_pool: "", wwnn_pool: "" }));
  const put = (part: Partial<VsCopy>) => setCopy((now) => ({ ...now, ...part }));
  const places = (nodes ?? []).filter(({ state }) => state === "ready" || state === "approved");
  const wrong = nameProblem(copy.name, taken);
  const ready = wrong === undefined && hostnameProblem(copy.hostname) === undefined && addressProblem(copy.address) === undefined;
  return (
    <Dialog
      title={`Copy ${vs.name}`}
      command={copyCommand(vs.name, copy)}
      action="Copy"
      ready={ready}
      onAction={async () => {
        const problem = await tryTo(() => api.copy(vs.name, copy), `${copy.name} is a copy of ${vs.name}.`);
        if (!problem) location.hash = `#/servers/${encodeURIComponent(copy.name)}`;
        await refresh();
        return problem;
      }}
      onClose={onClose}
    >
      <p>The copy is stopped, and has a MAC and a WWNN of its own. It has nothing of what the guest holds in memory.</p>
      <div className="form-grid">
        <Field label="Name" error={wrong}>
          {(id, note) => <input id={id} aria-describedby={note} autoFocus spellCheck={false} value={copy.name} onChange={(event) => put({ name: event.target.value })} />}
        </Field>
        <Field label="Node">
          {(id, note) => (
            <select id={id} aria-describedby={note} value={copy.node} onChange={(event) => put({ node: event.target.value })}>
              <option value="">{vs.partition === "" ? "the one with most free memory" : `those of ${vs.partition}`}</option>
              {places.map((node) => (
                <option key={node.name} value={node.name}>
                  {node.name}
                </option>
              ))}
            </select>
          )}
        </Field>
      </div>
      <SettingFields hostname={copy.hostname} address={copy.address} gateway={copy.gateway} onPut={put} />
    </Dialog>
  );
}

export function MakeTemplateDialog({ vs, onClose }: Props) {
  const { tryTo } = useToasts();
  const [name, setName] = useState(vs.name);
  const wrong = nameProblem(name, []);
  return (
    <Dialog
      title={`Make a template of ${vs.name}`}
      command={command("template", "create", name === "" ? "NAME" : name, "--from", vs.name)}
      action="Make template"
      ready={wrong === undefined}
      onAction={async () => {
        const problem = await tryTo(() => api.createTemplate({ name, from: vs.name }), `${name} is a template.`);
        if (!problem) location.hash = "#/templates";
        return problem;
      }}
      onClose={onClose}
    >
      <p>It takes processors, memory, files, command line and labels; not the name, the identifiers, the guest’s settings and the node.</p>
      <Field label="Name" error={wrong}>
        {(id, note) => <input id={id} aria-describedby={note} autoFocus spellCheck={false} value={name} onChange={(event) => setName(event.target.value)} />}
      </Field>
    </Dialog>
  );
}
