//! What a job would do: each step planned on what the earlier ones leave.

use weft_api::{Conflict, JobPlan, JobStepPlan, Plan};
use weft_store::StepRow;

use super::decide::Decided;
use super::waits::words;
use crate::core::Core;
use crate::error::Error;
use crate::world::World;

/// The plan of a step that is refused as a whole.
fn refused(step: &StepRow, error: Error) -> Result<Plan, Error> {
    let Error::Refused { title, next, .. } = error else { return Err(error) };
    let conflict = Conflict { text: format!("{title}; {next}"), ..Conflict::default() };
    Ok(Plan {
        name: step.verb.clone(),
        state: "conflict".to_string(),
        conflicts: vec![conflict],
        ..Plan::default()
    })
}

impl Core {
    /// Plans steps one after the other. Behind one that is refused the rest is planned as if it were left out.
    pub(super) fn plan_steps(
        &self,
        mut world: World,
        actor: &str,
        name: &str,
        steps: &[StepRow],
    ) -> Result<JobPlan, Error> {
        let mut plans = Vec::with_capacity(steps.len());
        for (number, step) in (1u32..).zip(steps) {
            let (plan, waits) = match self.decide_step(&world, actor, step) {
                Ok(mut decided) if decided.group.refused.is_empty() => {
                    let waits = std::mem::take(&mut decided.waits);
                    let draft = decided.draft();
                    self.allow_draft(&draft)?;
                    let plan = draft.plan(&world);
                    draft.changes.iter().for_each(|change| change.leave(&mut world));
                    (plan, waits)
                }
                Ok(Decided { group, .. }) => (group.conflict(), Vec::new()),
                Err(error) => (refused(step, error)?, Vec::new()),
            };
            plans.push(JobStepPlan {
                name: step.verb.clone(),
                state: plan.state.clone(),
                number,
                waits: waits.iter().map(words).collect(),
                timeout_s: step.timeout_s,
                plan,
            });
        }
        let conflict = plans.iter().any(|step| step.state == "conflict");
        Ok(JobPlan {
            name: name.to_string(),
            state: if conflict { "conflict" } else { "planned" }.to_string(),
            steps: plans,
        })
    }
}
