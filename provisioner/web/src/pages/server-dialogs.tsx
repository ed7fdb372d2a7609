/** The form of a new virtual server. */
import { useState } from "react";
import { api } from "../api/client";
import type { VsCreate } from "../api/types";
import { Dialog } from "../components/dialog";
import { Field } from "../components/parts";
import { createCommand } from "../lib/cli";
import { bytes } from "../lib/format";
import { parseLabels } from "../lib/selector";
import { freeName, validate } from "../lib/validate";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";
import { PlaceOptions, placesOf } from "./server-group";

export function CreateDialog({ onClose }: { onClose: () => void }) {
  const { nodes, servers, refresh } = useStore();
  const { tryTo } = useToasts();
  const taken = (servers ?? []).map(({ name }) => name);
  const [vs, setVs] = useState<VsCreate>(() => ({ name: freeName(taken), node: "", vcpus: 1, memory_mib: 256, kernel: "", initrd: "", append: "", partition: "", labels: {}, template: "", hostname: "", address: "", gateway: "", mac_pool: "", wwnn_pool: "", affinity: "", pinned: false }));
  const [labels, setLabels] = useState("");
  const [start, setStart] = useState(true);
  const [kernel, setKernel] = useState<File | null>(null);
  const [initrd, setInitrd] = useState<File | null>(null);
  const places = placesOf(nodes);
  const labelled = parseLabels(labels);
  const wanted = { ...vs, labels: labelled.labels };
  const errors = { ...validate(vs, servers ?? [], places), ...(labelled.problem === "" ? {} : { labels: labelled.problem }) };
  const put = (part: Partial<VsCreate>) => setVs((now) => ({ ...now, ...part }));
  const files = { ...(kernel ? { kernel: kernel.name } : {}), ...(initrd ? { initrd: initrd.name } : {}) };
  const create = async () => {
    const problem = await tryTo(async () => {
      const [kernelBlob, initrdBlob] = [kernel ? await api.blob(kernel) : null, initrd ? await api.blob(initrd) : null];
      await api.create({ ...wanted, kernel: kernelBlob?.digest ?? "", initrd: initrdBlob?.digest ?? "" });
      if (start) await api.start(vs.name);
    }, start ? `${vs.name} is starting.` : `${vs.name} is defined.`);
    await refresh();
    return problem;
  };
  return (
    <Dialog title="New virtual server" command={createCommand(wanted, start, files)} action={start ? "Create and start" : "Create"} ready={Object.keys(errors).length === 0} onAction={create} onClose={onClose}>
      <div className="form-grid">
        <Field label="Name" error={errors.name}>
          {(id, note) => <input id={id} aria-describedby={note} autoFocus spellCheck={false} value={vs.name} onChange={(event) => put({ name: event.target.value })} />}
        </Field>
        <Field label="Node" error={errors.node}>
          {(id, note) => (
            <select id={id} aria-describedby={note} value={vs.node} onChange={(event) => put({ node: event.target.value })}>
              <option value="">the one with most free memory</option>
              <PlaceOptions places={places} servers={servers ?? []} />
            </select>
          )}
        </Field>
        <Field label="Processors" error={errors.vcpus}>
          {(id, note) => <input id={id} aria-describedby={note} type="number" min={1} max={32} value={Number.isNaN(vs.vcpus) ? "" : vs.vcpus} onChange={(event) => put({ vcpus: event.target.valueAsNumber })} />}
        </Field>
        <Field label="Memory, MiB" error={errors.memory_mib}>
          {(id, note) => <input id={id} aria-describedby={note} type="number" min={64} step={64} value={Number.isNaN(vs.memory_mib) ? "" : vs.memory_mib} onChange={(event) => put({ memory_mib: event.target.valueAsNumber })} />}
        </Field>
        <Field label="Kernel" hint={kernel ? bytes(kernel.size) : "Left empty: the appliance’s default guest."}>
          {(id, note) => <input id={id} aria-describedby={note} type="file" onChange={(event) => setKernel(event.target.files?.[0] ?? null)} />}
        </Field>
        <Field label="Initial ram disk" hint={initrd ? bytes(initrd.size) : "Optional."}>
          {(id, note) => <input id={id} aria-describedby={note} type="file" onChange={(event) => setInitrd(event.target.files?.[0] ?? null)} />}
        </Field>
      </div>
      <Field label="Added to the kernel’s command line" hint="Optional.">
        {(id, note) => <input id={id} aria-describedby={note} className="mono" spellCheck={false} value={vs.append} onChange={(event) => put({ append: event.target.value })} />}
      </Field>
      <Field label="Labels" hint="Optional: key=value, key=value." error={errors.labels}>
        {(id, note) => <input id={id} aria-describedby={note} className="mono" spellCheck={false} value={labels} onChange={(event) => setLabels(event.target.value)} />}
      </Field>
      <label className="check">
        <input type="checkbox" checked={start} onChange={(event) => setStart(event.target.checked)} />
        Start it at once
      </label>
    </Dialog>
  );
}
