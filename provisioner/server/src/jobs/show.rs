//! Jobs as the interface shows them.

use weft_api::{Job, JobStep};
use weft_store::{JobRow, StepRow, StepState};

use super::waits::{Seen, look, words};
use crate::core::Core;
use crate::error::Error;
use crate::world::World;

/// Most jobs of one answer.
pub(super) const MAX_JOBS: u32 = 100;

fn show(world: &World, row: &JobRow) -> Job {
    let step = |(number, step): (u32, &StepRow)| JobStep {
        name: step.verb.clone(),
        state: step.state.word().to_string(),
        number,
        objects: step.objects.iter().map(|object| object.name.clone()).collect(),
        transaction: step.transaction,
        undone_by: step.undo,
        waits: if matches!(step.state, StepState::Running | StepState::Undoing) {
            waiting(world, step)
        } else {
            Vec::new()
        },
        reason: step.reason.clone(),
        timeout_s: step.timeout_s,
        started: step.started.clone(),
        changed: step.changed.clone(),
    };
    let done = row.steps.iter().filter(|step| step.state == StepState::Done).count();
    Job {
        name: row.name.clone(),
        state: row.state.word().to_string(),
        number: row.number,
        actor: row.actor.clone(),
        at: row.at.clone(),
        ended: row.ended.clone(),
        reason: row.reason.clone(),
        comment: row.comment.clone(),
        done: u32::try_from(done).unwrap_or(u32::MAX),
        steps: (1u32..).zip(&row.steps).map(step).collect(),
    }
}

/// What a step waits for still, and what is there instead.
pub(super) fn waiting(world: &World, step: &StepRow) -> Vec<String> {
    let wait = |wait| match look(world, wait) {
        Seen::Met => None,
        Seen::NotYet(why) | Seen::Never(why) => Some(format!("until {}: {why}", words(wait))),
    };
    step.waits.iter().filter_map(wait).collect()
}

impl Core {
    pub(super) fn show_job(&self, row: &JobRow) -> Job {
        show(&self.world(), row)
    }

    /// Up to `limit` jobs with numbers below `before`, newest first.
    pub(crate) async fn jobs(&self, before: Option<u64>, limit: u32) -> Result<Vec<Job>, Error> {
        let rows = self.store.jobs(before.unwrap_or(u64::MAX), limit.min(MAX_JOBS)).await?;
        let world = self.world();
        Ok(rows.iter().map(|row| show(&world, row)).collect())
    }

    /// The row of a job.
    pub(super) async fn job_row(&self, number: u64) -> Result<JobRow, Error> {
        let missing = || Error::not_found("job-not-found", "job", &number.to_string(), "weft job list");
        self.store.job(number).await?.ok_or_else(missing)
    }

    /// One job.
    pub(crate) async fn job(&self, number: u64) -> Result<Job, Error> {
        let row = self.job_row(number).await?;
        Ok(self.show_job(&row))
    }
}
