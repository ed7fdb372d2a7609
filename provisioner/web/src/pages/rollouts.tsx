/** Rollouts of images: how far each is, and pause, resume, abort, back. */
import { useState } from "react";
import { api } from "../api/client";
import type { Image, Node, Plan, Rollout } from "../api/types";
import { Dialog } from "../components/dialog";
import { CliHint, Field, State } from "../components/parts";
import { PlanView, usePlan } from "../components/plan";
import { command } from "../lib/cli";
import { type RolloutVerb, type RolloutWish, rolloutCommand, rolloutOf, verbsOf, words } from "../lib/rollouts";
import { tone } from "../lib/tone";
import { usePolled } from "../state/polled";
import { useWhyNot } from "../state/rights";
import { useToasts } from "../state/toasts";

/** Rollouts that are shown. */
const SHOWN = 5;

const read = () => api.rollouts(SHOWN);

const EXPLAINED: Record<Exclude<RolloutVerb, "back">, string> = {
  pause: "What is under way is brought to its end; no further node is begun.",
  resume: "It goes on. Where it stopped, the nodes that failed are begun anew.",
  abort: "It ends where it stands: nodes keep the image that they have. Servers that were stopped for it start again.",
};

const DONE_BY: Record<RolloutVerb, (number: number) => Promise<unknown>> = {
  pause: api.pauseRollout,
  resume: api.resumeRollout,
  abort: api.abortRollout,
  back: api.rolloutBack,
};

type Choice = { verb: RolloutVerb; rollout: Rollout; plan: Plan | null };

export function Rollouts() {
  const [rollouts, look] = usePolled<Rollout[]>(read);
  const [choice, setChoice] = useState<Choice | null>(null);
  const { attempt } = useToasts();
  const noDecide = useWhyNot("decide", "job");
  const noActivate = useWhyNot("activate", "image");
  if (!rollouts) return null;
  const choose = async (verb: RolloutVerb, rollout: Rollout) => {
    if (verb !== "back") {
      setChoice({ verb, rollout, plan: null });
      return;
    }
    // The plan first: it may be refused, for example below the floor.
    await attempt(async () => setChoice({ verb, rollout, plan: await api.rolloutBackPlan(rollout.number) }), `The way back from ${rollout.name} is planned.`);
  };
  return (
    <section className="net-kind" aria-label="Rollouts">
      <h2>Rollouts</h2>
      {rollouts.length === 0 ? (
        <p className="muted">None yet: nodes restart into a new image one after the other, and it stops where one fails.</p>
      ) : (
        <div className="rollouts" role="list" aria-label="Rollouts">
          {rollouts.map((rollout) => (
            <article className="panel rollout" role="listitem" aria-label={`${rollout.number} ${rollout.name}`} key={rollout.number}>
              <header className="rollout-head">
                <b className="break">
                  {rollout.number} {rollout.name}
                </b>
                <State state={rollout.state} />
                <progress className="job-progress" max={rollout.nodes.length} value={rollout.done} aria-label={`Progress of ${rollout.name}`} />
                <span>{words(rollout)}</span>
                <span className="muted">by {rollout.actor}</span>
                <span className="cell-act">
                  {verbsOf(rollout).map((verb) => {
                    const no = verb === "back" ? noActivate : noDecide;
                    return (
                      <button type="button" key={verb} className={verb === "resume" ? "primary" : ""} disabled={no !== ""} title={no} onClick={() => void choose(verb, rollout)} aria-label={`${verb} ${rollout.name}`}>
                        {capital(verb)}…
                      </button>
                    );
                  })}
                </span>
              </header>
              <Nodes rollout={rollout} />
              {(rollout.reason !== "" || rollout.next !== "") && (
                <p className={rollout.state === "stopped" ? "note bad" : "muted"} role={rollout.state === "stopped" ? "alert" : undefined}>
                  {rollout.reason !== "" && <strong className="break">{sentence(rollout.reason)} </strong>}
                  {capital(rollout.next)}
                </p>
              )}
            </article>
          ))}
        </div>
      )}
      <CliHint command={command("image", "rollout", "start", "DIGEST", "--all", "--dry-run")} />
      {choice && <RolloutDialog choice={choice} look={look} onClose={() => setChoice(null)} />}
    </section>
  );
}

/** Nodes that a rollout draws one by one. */
const NODES = 48;

/** Each node with how far it is, in the order in which they go. */
function Nodes({ rollout }: { rollout: Rollout }) {
  const some = rollout.nodes.slice(0, NODES);
  return (
    <ol className="rollout-nodes" aria-label={`Nodes of ${rollout.name}`}>
      {some.map((node) => (
        <li key={node.id} className={`rollout-node ${tone(node.state)}`} title={node.reason}>
          <b className="break">{node.name}</b>
          <span>{node.state}</span>
          {node.name === rollout.canary && <span className="muted">canary</span>}
        </li>
      ))}
      {rollout.nodes.length > NODES && <li className="muted">and {rollout.nodes.length - NODES} more</li>}
    </ol>
  );
}

const capital = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
const sentence = (text: string) => `${capital(text.replace(/\.$/, ""))}.`;

/** A rollout is planned by the appliance while the dialog is filled in, and begins with one node. */
export function StartRolloutDialog({ image, nodes, onClose }: { image: Image; nodes: readonly Node[]; onClose: () => void }) {
  const { tryTo } = useToasts();
  const [wish, setWish] = useState<RolloutWish>({ image: image.digest, nodes: [], canary: "", atOnce: 1, stop: false });
  const [all, setAll] = useState(true);
  const put = (part: Partial<RolloutWish>) => setWish((now) => ({ ...now, ...part }));
  const offered = nodes.filter(({ state }) => ["ready", "approved", "lost"].includes(state)).map(({ name }) => name);
  const going = all ? offered : wish.nodes;
  const ready = going.length > 0 && Number.isInteger(wish.atOnce) && wish.atOnce >= 1;
  const wanted: RolloutWish = { ...wish, nodes: all ? [] : wish.nodes, canary: going.includes(wish.canary) ? wish.canary : "" };
  const said = usePlan(ready ? () => api.planRollout(rolloutOf(wanted)) : null, JSON.stringify(wanted));
  return (
    <Dialog
      title={`Roll out ${image.name}`}
      command={rolloutCommand(wanted)}
      action="Roll out"
      ready={ready && said.plan?.state === "planned"}
      onAction={async () => tryTo(() => api.startRollout(rolloutOf(wanted)), `${image.name} is rolled out, node by node.`)}
      onClose={onClose}
    >
      <p>Nodes restart into it one after the other, the canary first and alone. It stops by itself where one fails; nodes that were not reached stay as they are.</p>
      <fieldset>
        <legend className="sr-only">Which nodes</legend>
        <div className="segmented">
          <label className={all ? "on" : ""}>
            <input type="radio" name="which" checked={all} onChange={() => setAll(true)} />
            All {offered.length}
          </label>
          <label className={all ? "" : "on"}>
            <input type="radio" name="which" checked={!all} onChange={() => setAll(false)} />
            Some of them
          </label>
        </div>
      </fieldset>
      {!all && (
        <fieldset className="map-targets">
          <legend>Nodes</legend>
          <div className="map-target-list">
            {offered.map((name) => (
              <label className="check" key={name}>
                <input type="checkbox" checked={wish.nodes.includes(name)} onChange={(event) => put({ nodes: event.target.checked ? [...wish.nodes, name] : wish.nodes.filter((one) => one !== name) })} />
                {name}
              </label>
            ))}
          </div>
        </fieldset>
      )}
      <div className="form-grid">
        <Field label="Canary" hint="Goes first, alone">
          {(id, note) => (
            <select id={id} aria-describedby={note} value={wanted.canary} onChange={(event) => put({ canary: event.target.value })}>
              <option value="">The first by name</option>
              {going.map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label="At once" hint="Nodes that restart together, behind the canary">
          {(id, note) => <input id={id} aria-describedby={note} type="number" min={1} max={128} value={Number.isNaN(wish.atOnce) ? "" : wish.atOnce} onChange={(event) => put({ atOnce: event.target.valueAsNumber })} />}
        </Field>
      </div>
      <label className="check">
        <input type="checkbox" checked={wish.stop} onChange={(event) => put({ stop: event.target.checked })} />
        Stop servers that run there, and start them again afterwards
      </label>
      <PlanView plan={said.plan} problem={said.problem} asked={ready} />
    </Dialog>
  );
}

function RolloutDialog({ choice: { verb, rollout, plan }, look, onClose }: { choice: Choice; look: () => Promise<void>; onClose: () => void }) {
  const { tryTo } = useToasts();
  return (
    <Dialog
      title={`${capital(verb)} ${rollout.name}`}
      command={command("image", "rollout", verb, String(rollout.number))}
      action={capital(verb)}
      danger={verb === "abort" || verb === "back"}
      onAction={async () => {
        const problem = await tryTo(() => DONE_BY[verb](rollout.number), `${rollout.name}: ${verb}`);
        await look();
        return problem;
      }}
      onClose={onClose}
    >
      {verb === "back" ? (
        <>
          <p>Nodes that it has moved restart into the image that they ran before, one after the other.</p>
          <ul>
            {plan?.effects.map((effect) => (
              <li key={effect}>{effect}</li>
            ))}
          </ul>
        </>
      ) : (
        <p>{EXPLAINED[verb]}</p>
      )}
    </Dialog>
  );
}
