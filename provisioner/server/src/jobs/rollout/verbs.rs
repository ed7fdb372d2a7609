//! What an operator does with a rollout that has begun: pause, resume, abort.

use weft_api::RolloutDecided;
use weft_store::{JobRow, JobState, StepState};

use super::super::{step_words, told};
use super::{Part, Spec, spec};
use crate::core::Core;
use crate::error::Error;
use crate::transactions::plan_in_words;
use crate::util::now;

fn cannot(row: &JobRow, verb: &str) -> Error {
    let number = row.number;
    Error::refused(
        409,
        "rollout-state",
        format!("rollout {number} is {}: there is nothing to {verb}", row.state.word()),
        format!("see how far it is: weft image rollout show {number}"),
    )
}

impl Core {
    /// Lets a rollout begin with no further node.
    pub(crate) async fn rollout_pause(
        &self,
        actor: &str,
        number: u64,
        dry: bool,
    ) -> Result<RolloutDecided, Error> {
        let _change = self.change.lock().await;
        let mut row = self.rollout_row(number).await?;
        if row.state != JobState::Running {
            return Err(cannot(&row, "pause"));
        }
        if dry {
            let effect = "what is under way is brought to its end, and no further node is begun";
            return Ok(planned("rollout pause", vec![effect.to_string()]));
        }
        row.state = JobState::Paused;
        let text = "paused: what is under way is brought to its end, and no further node is begun";
        self.decided(row.clone(), actor, "job.paused", text).await?;
        self.show_rollout(&row).map(RolloutDecided::Rollout)
    }

    /// Lets a rollout go on. Where it stopped, the nodes that failed are begun anew.
    pub(crate) async fn rollout_resume(
        &self,
        actor: &str,
        number: u64,
        dry: bool,
    ) -> Result<RolloutDecided, Error> {
        let _change = self.change.lock().await;
        let mut row = self.rollout_row(number).await?;
        match row.state {
            JobState::Paused => {}
            JobState::Stopped => {
                let runs = |id: &str| self.world().servers.get(id).is_some_and(|vs| vs.row.running);
                begin_anew(&mut row, runs)?;
            }
            JobState::Running
            | JobState::Undoing
            | JobState::Stuck
            | JobState::Done
            | JobState::Undone
            | JobState::Abandoned => return Err(cannot(&row, "resume")),
        }
        if dry {
            let waits = row.steps.iter().enumerate().filter(|(_, step)| step.state == StepState::Waiting);
            let effects = waits.map(|(index, _)| format!("{} is begun", step_words(&row, index)));
            return Ok(planned("rollout resume", effects.collect()));
        }
        row.state = JobState::Running;
        row.reason.clear();
        self.decided(row.clone(), actor, "job.resumed", "it goes on").await?;
        self.show_rollout(&row).map(RolloutDecided::Rollout)
    }

    /// Ends a rollout where it stands.
    pub(crate) async fn rollout_abort(
        &self,
        actor: &str,
        number: u64,
        dry: bool,
    ) -> Result<RolloutDecided, Error> {
        let _change = self.change.lock().await;
        let row = self.rollout_row(number).await?;
        if row.state.ended() {
            return Err(cannot(&row, "abort"));
        }
        if dry {
            let effects =
                ["nodes keep the image that they have", "servers that were stopped for it start again"];
            return Ok(planned("rollout abort", effects.map(ToString::to_string).to_vec()));
        }
        self.end_rollout(actor, row, "aborted").await?;
        self.rollout(number).await.map(RolloutDecided::Rollout)
    }

    /// Ends a rollout that has not ended, with the start of servers that it had stopped. The caller holds `change`.
    pub(super) async fn end_rollout(&self, actor: &str, mut row: JobRow, why: &str) -> Result<(), Error> {
        row.state = JobState::Abandoned;
        row.ended = now();
        row.comment = if row.reason.is_empty() {
            format!("{why} by {actor}")
        } else {
            format!("{why} by {actor}, after {}", row.reason)
        };
        let event = told(&row, actor, "job.aborted", "warn", &format!("{why}; nodes stay as they are"));
        self.end_with_servers(row, event).await
    }
}

fn planned(name: &str, effects: Vec<String>) -> RolloutDecided {
    RolloutDecided::Plan(plan_in_words(name, effects))
}

/// The batch that failed, as if it had not begun; servers that it stopped and did not start stay known.
fn begin_anew(row: &mut JobRow, runs: impl Fn(&str) -> bool) -> Result<(), Error> {
    let failed = row.steps.iter().find(|step| step.state == StepState::Failed);
    let Some(batch) = failed.map(spec).transpose()?.map(|spec| spec.batch) else { return Ok(()) };
    for step in &mut row.steps {
        let Spec { part, batch: of } = spec(step)?;
        if of == batch {
            step.state = StepState::Waiting;
            step.waits.clear();
            step.reason.clear();
            step.started.clear();
            match part {
                Part::Drain => step.objects.clear(),
                // They were started, and whoever stopped one since meant it.
                Part::Fill if step.transaction > 0 => step.objects.retain(|object| runs(&object.id)),
                Part::Fill | Part::Restart | Part::Activate => {}
            }
            step.transaction = 0;
        }
    }
    Ok(())
}
