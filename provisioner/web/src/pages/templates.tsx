/** Templates, and new servers that are made of one. */
import { useState } from "react";
import { api } from "../api/client";
import type { Template, VsSeries } from "../api/types";
import { Dialog } from "../components/dialog";
import { CliHint, Empty, Field, Loading, State } from "../components/parts";
import { command, seriesCommand } from "../lib/cli";
import { labelWords } from "../lib/selector";
import { addressProblem, patternProblem } from "../lib/validate";
import { usePolled } from "../state/polled";
import { useWhyNot } from "../state/rights";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";
import { SettingFields } from "./server-copy";

/** Most servers of one request. */
const MOST = 1000;

type Choice = { verb: "use" | "delete"; template: Template } | null;

export function TemplatesPage() {
  const [templates, look] = usePolled<Template[]>(api.templates);
  const [choice, setChoice] = useState<Choice>(null);
  if (!templates) return <Loading />;
  return (
    <>
      <header className="page-head">
        <h1>Templates</h1>
        <p className="summary">{templates.length} defined</p>
      </header>
      {templates.length === 0 ? (
        <Empty title="No template yet">
          <p>A template has what several servers have in common. Make one on the page of a server, or:</p>
          <CliHint command="weft template create web --from vs-1" />
        </Empty>
      ) : (
        <div className="rows" role="list" aria-label="Templates">
          {templates.map((template) => (
            <TemplateRow key={template.id} template={template} onUse={() => setChoice({ verb: "use", template })} onDelete={() => setChoice({ verb: "delete", template })} />
          ))}
        </div>
      )}
      {choice?.verb === "use" && <FromTemplateDialog template={choice.template} onClose={() => setChoice(null)} />}
      {choice?.verb === "delete" && <DeleteDialog template={choice.template} onClose={() => setChoice(null)} onDone={look} />}
    </>
  );
}

function TemplateRow({ template, onUse, onDelete }: { template: Template; onUse: () => void; onDelete: () => void }) {
  const noUse = useWhyNot("create", "vs");
  const noDelete = useWhyNot("delete", "template", template.name);
  return (
    <article className="row image-row" role="listitem" aria-label={template.name}>
      <div className="cell-name">
        <b className="break">{template.name}</b>
        <State state={template.state} />
      </div>
      <div className="cell-hw">
        <span>
          {template.vcpus} {template.vcpus === 1 ? "processor" : "processors"} · {template.memory_mib} MiB
        </span>
        <span className="muted break">{labelWords(template.labels)}</span>
      </div>
      <div className="cell-hw">
        {template.partition !== "" && <span>over {template.partition}</span>}
        {template.append !== "" && <code className="break">{template.append}</code>}
      </div>
      <div className="cell-act">
        <button type="button" disabled={noUse !== ""} title={noUse} onClick={onUse} aria-label={`New from ${template.name}`}>
          New servers…
        </button>
        <button type="button" disabled={noDelete !== ""} title={noDelete} onClick={onDelete} aria-label={`Delete ${template.name}`}>
          Delete…
        </button>
      </div>
    </article>
  );
}

/** Servers of a template: one transaction, or none. */
export function FromTemplateDialog({ template, onClose }: { template: Template; onClose: () => void }) {
  const { refresh } = useStore();
  const { tryTo } = useToasts();
  const [wanted, setWanted] = useState<VsSeries>(() => ({
    count: 2,
    first: 1,
    vs: { name: template.name, template: template.name, node: "", partition: "", vcpus: 0, memory_mib: 0, kernel: "", initrd: "", append: "", labels: {}, hostname: "", address: "", gateway: "", mac_pool: "", wwnn_pool: "", affinity: "", pinned: false },
  }));
  const put = (part: Partial<VsSeries["vs"]>) => setWanted((now) => ({ ...now, vs: { ...now.vs, ...part } }));
  const wrong = {
    name: patternProblem(wanted.vs.name, true),
    hostname: patternProblem(wanted.vs.hostname, false),
    address: addressProblem(wanted.vs.address),
    count: Number.isInteger(wanted.count) && wanted.count >= 1 && wanted.count <= MOST ? undefined : `1 to ${MOST}.`,
    first: Number.isInteger(wanted.first) && wanted.first >= 0 ? undefined : "A number.",
  };
  return (
    <Dialog
      title={`New servers of ${template.name}`}
      command={seriesCommand(wanted)}
      action="Create"
      ready={Object.values(wrong).every((problem) => problem === undefined)}
      onAction={async () => {
        const problem = await tryTo(() => api.series(wanted), `${wanted.count} ${wanted.count === 1 ? "server is" : "servers are"} defined.`);
        if (!problem) location.hash = "#/servers";
        await refresh();
        return problem;
      }}
      onClose={onClose}
    >
      <p>All are made in one transaction, or none; one undo takes all back. Each has a MAC and a WWNN of its own.</p>
      <div className="form-grid">
        <Field label="Name" hint="{n} stands for the number; without it, -NUMBER is put behind." error={wrong.name}>
          {(id, note) => <input id={id} aria-describedby={note} autoFocus spellCheck={false} value={wanted.vs.name} onChange={(event) => put({ name: event.target.value })} />}
        </Field>
        <Field label="How many" error={wrong.count}>
          {(id, note) => <input id={id} aria-describedby={note} type="number" min={1} max={MOST} value={Number.isNaN(wanted.count) ? "" : wanted.count} onChange={(event) => setWanted((now) => ({ ...now, count: event.target.valueAsNumber }))} />}
        </Field>
        <Field label="Number of the first" error={wrong.first}>
          {(id, note) => <input id={id} aria-describedby={note} type="number" min={0} value={Number.isNaN(wanted.first) ? "" : wanted.first} onChange={(event) => setWanted((now) => ({ ...now, first: event.target.valueAsNumber }))} />}
        </Field>
      </div>
      <SettingFields hostname={wanted.vs.hostname} address={wanted.vs.address} gateway={wanted.vs.gateway} onPut={put} />
    </Dialog>
  );
}

function DeleteDialog({ template, onClose, onDone }: { template: Template; onClose: () => void; onDone: () => Promise<void> }) {
  const { tryTo } = useToasts();
  return (
    <Dialog
      title={`Delete ${template.name}`}
      command={command("template", "delete", template.name)}
      action="Delete"
      danger
      onAction={async () => {
        const problem = await tryTo(() => api.removeTemplate(template.name), `${template.name} is deleted.`);
        await onDone();
        return problem;
      }}
      onClose={onClose}
    >
      <p>Servers that were made of it stay as they are.</p>
    </Dialog>
  );
}
