/** Rollouts of images: how far each is, and pause, resume, abort, back. */
import { useState } from "react";
import { api } from "../api/client";
import type { Plan, Rollout } from "../api/types";
import { Dialog } from "../components/dialog";
import { CliHint, State } from "../components/parts";
import { command } from "../lib/cli";
import { type RolloutVerb, verbsOf, words } from "../lib/rollouts";
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
    <section aria-label="Rollouts">
      <h2>Rollouts</h2>
      {rollouts.length === 0 ? (
        <p className="muted">None yet: nodes restart into a new image one after the other, and it stops where one fails.</p>
      ) : (
        <div className="rows" role="list" aria-label="Rollouts">
          {rollouts.map((rollout) => (
            <article className="row image-row" role="listitem" aria-label={`${rollout.number} ${rollout.name}`} key={rollout.number}>
              <div className="cell-name">
                <b className="break">
                  {rollout.number} {rollout.name}
                </b>
                <State state={rollout.state} />
              </div>
              <div className="cell-hw">
                <progress className="job-progress" max={rollout.nodes.length} value={rollout.done} aria-label={`Progress of ${rollout.name}`} />
                <span>{words(rollout)}</span>
              </div>
              <div className="cell-hw">
                <span className="muted break">{rollout.reason}</span>
              </div>
              <div className="cell-act">
                {verbsOf(rollout).map((verb) => {
                  const no = verb === "back" ? noActivate : noDecide;
                  return (
                    <button type="button" key={verb} disabled={no !== ""} title={no} onClick={() => void choose(verb, rollout)} aria-label={`${verb} ${rollout.name}`}>
                      {verb}…
                    </button>
                  );
                })}
              </div>
            </article>
          ))}
        </div>
      )}
      <CliHint command={command("image", "rollout", "start", "DIGEST", "--all", "--dry-run")} />
      {choice && <RolloutDialog choice={choice} look={look} onClose={() => setChoice(null)} />}
    </section>
  );
}

function RolloutDialog({ choice: { verb, rollout, plan }, look, onClose }: { choice: Choice; look: () => Promise<void>; onClose: () => void }) {
  const { tryTo } = useToasts();
  return (
    <Dialog
      title={`${verb} ${rollout.name}`}
      command={command("image", "rollout", verb, String(rollout.number))}
      action={verb}
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
