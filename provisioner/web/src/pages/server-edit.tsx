/** The dialog that changes a server, and asks where somebody else changed it meanwhile. */
import { useEffect, useState } from "react";
import { api } from "../api/client";
import type { FieldChange, Vs } from "../api/types";
import { Dialog } from "../components/dialog";
import { Field } from "../components/parts";
import { editCommand } from "../lib/cli";
import { changeWords, editOf, shown } from "../lib/edit";
import type { Edits } from "../lib/edit";
import { addressProblem, hostnameProblem, nameProblem } from "../lib/validate";
import { isAlive } from "../lib/selection";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";
import { SettingFields } from "./server-copy";

interface Seen {
  vs: Vs;
  version: string;
}

export function EditDialog({ vs: first, onClose }: { vs: Vs; onClose: () => void }) {
  const { servers, refresh } = useStore();
  const { tryTo } = useToasts();
  const [seen, setSeen] = useState<Seen>({ vs: first, version: "" });
  const [edits, setEdits] = useState<Edits>({});
  const [others, setOthers] = useState<readonly FieldChange[] | null>(null);
  const { vs } = seen;
  useEffect(() => {
    let open = true;
    // By its identity: it may be renamed while this is open.
    void api.server(first.id).then((now) => open && setSeen(now), () => undefined);
    return () => {
      open = false;
    };
  }, [first.id]);
  const put = (part: Edits) => setEdits((now) => ({ ...now, ...part }));
  const wanted = editOf(vs, edits);
  const taken = (servers ?? []).filter(({ id }) => id !== vs.id).map(({ name }) => name);
  const [name, vcpus, memory] = [shown(vs, edits, "name"), shown(vs, edits, "vcpus"), shown(vs, edits, "memory_mib")];
  const wrong = {
    name: nameProblem(name, taken),
    vcpus: Number.isInteger(vcpus) && vcpus >= 1 && vcpus <= 32 ? undefined : "1 to 32.",
    memory: Number.isInteger(memory) && memory >= 64 ? undefined : "At least 64 MiB.",
  };
  const settings = { hostname: shown(vs, edits, "hostname"), address: shown(vs, edits, "address"), gateway: shown(vs, edits, "gateway") };
  const ready = seen.version !== "" && Object.keys(wanted).length > 0 && !wrong.name && !wrong.vcpus && !wrong.memory && !hostnameProblem(settings.hostname) && !addressProblem(settings.address);
  const atOnce = Object.keys(wanted).every((field) => field === "name" || field === "affinity");
  const save = async () => {
    const problem = await tryTo(() => api.edit(vs.id, wanted, seen.version), `${name} is changed.`);
    if (problem?.status === 412) {
      setOthers(problem.changed ?? []);
      const now = await api.server(vs.id).catch(() => null);
      if (now) setSeen(now);
    }
    if (!problem && name !== first.name) location.hash = `#/servers/${encodeURIComponent(name)}`;
    await refresh();
    return problem;
  };
  return (
    <Dialog title={`Edit ${first.name}`} command={editCommand(vs.name, wanted)} action={others === null ? "Save" : "Save all the same"} danger={others !== null} ready={ready} onAction={save} onClose={onClose}>
      {isAlive(vs) && <p>It runs: it takes its name and affinity at once, and the rest at its next start.</p>}
      {others !== null && (
        <div className="note" role="status">
          <p>Somebody else changed it while this was open. Saving all the same changes only what you changed.</p>
          <ul>
            {others.map((field) => (
              <li key={field.field} className="break">
                {changeWords(field)}
              </li>
            ))}
          </ul>
        </div>
      )}
      <div className="form-grid">
        <Field label="Name" error={wrong.name}>
          {(id, note) => <input id={id} aria-describedby={note} autoFocus spellCheck={false} value={name} onChange={(event) => put({ name: event.target.value })} />}
        </Field>
        <Field label="Processors" error={wrong.vcpus}>
          {(id, note) => <input id={id} aria-describedby={note} type="number" min={1} max={32} value={Number.isNaN(vcpus) ? "" : vcpus} onChange={(event) => put({ vcpus: event.target.valueAsNumber })} />}
        </Field>
        <Field label="Memory, MiB" error={wrong.memory}>
          {(id, note) => <input id={id} aria-describedby={note} type="number" min={64} step={64} value={Number.isNaN(memory) ? "" : memory} onChange={(event) => put({ memory_mib: event.target.valueAsNumber })} />}
        </Field>
      </div>
      <Field label="Added to the kernel’s command line" hint="Optional.">
        {(id, note) => <input id={id} aria-describedby={note} className="mono" spellCheck={false} value={shown(vs, edits, "append")} onChange={(event) => put({ append: event.target.value })} />}
      </Field>
      <SettingFields {...settings} onPut={put} />
      <Field label="Affinity" hint="Processors for virtual ones, at once: 0=1,1=3. Empty: the node chooses.">
        {(id, note) => <input id={id} aria-describedby={note} className="mono" spellCheck={false} value={shown(vs, edits, "affinity")} onChange={(event) => put({ affinity: event.target.value })} />}
      </Field>
      {isAlive(vs) && !atOnce && (
        <p className="muted">
          To have it now, save, then reset {name}.
        </p>
      )}
    </Dialog>
  );
}
