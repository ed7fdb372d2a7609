/** What the appliance says of a change before it is made: its dry run, asked for while a dialog is filled in. */
import { useEffect, useState } from "react";
import { ApiError } from "../api/client";
import type { Plan, Problem } from "../api/types";
import { Changes } from "./changes";
import { Loading, Refusal } from "./parts";

/** Pause after the last key before a plan is asked for. */
const TYPING_MS = 250;

/** What the appliance says of a change before it is made; `null` while it is asked, and where there is nothing to ask. */
export function usePlan(ask: (() => Promise<Plan | null>) | null, key: string): { plan: Plan | null; problem: Problem | null } {
  const [said, setSaid] = useState<{ key: string; plan: Plan | null; problem: Problem | null }>({ key: "", plan: null, problem: null });
  useEffect(() => {
    if (!ask) return;
    let late = false;
    const timer = setTimeout(() => {
      ask().then(
        (plan) => !late && setSaid({ key, plan, problem: null }),
        (error: unknown) => {
          if (!(error instanceof ApiError)) throw error;
          if (!late) setSaid({ key, plan: null, problem: error.problem });
        },
      );
    }, TYPING_MS);
    return () => {
      late = true;
      clearTimeout(timer);
    };
    // The key says all that the question depends on.
  }, [key]);
  return said.key === key ? said : { plan: null, problem: null };
}

export function PlanView({ plan, problem, asked }: { plan: Plan | null; problem: Problem | null; asked: boolean }) {
  if (problem) return <Refusal problem={problem} />;
  if (!plan) return asked ? <Loading /> : null;
  return (
    <section className="plan" aria-label="Plan">
      {plan.state === "nothing" && <p className="note">All is so already.</p>}
      {plan.conflicts.map(({ text }) => (
        <p key={text} className="note warn" role="alert">
          {text}
        </p>
      ))}
      {plan.effects.length > 0 && (
        <ul className="map-effects">
          {plan.effects.map((effect) => (
            <li key={effect}>{effect}</li>
          ))}
        </ul>
      )}
      <PlanDetails plan={plan} />
    </section>
  );
}

/** The fields that a plan changes, folded, and whether it can be taken back. */
export function PlanDetails({ plan }: { plan: Plan }) {
  return (
    <>
      {plan.objects.length > 0 && (
        <details>
          <summary>Fields that change</summary>
          <div className="scroll">
            <Changes changes={plan.objects} all={false} />
          </div>
        </details>
      )}
      {plan.undo === "reversible" && plan.state === "planned" && <p className="muted">It can be undone.</p>}
    </>
  );
}
