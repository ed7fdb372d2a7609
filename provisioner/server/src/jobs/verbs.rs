//! What an operator does with jobs: make, cancel, and decide where one is stuck.

use weft_api::{Job, JobCreate, JobDecided, JobPlan};
use weft_store::{JobRow, JobState, StepState, WaitFor};
use weft_wire::agent::VsState;

use super::check::{check_reason, held, steps};
use super::machine::stuck;
use super::run::{Move, with_step};
use super::{step_words, told};
use crate::core::Core;
use crate::error::Error;
use crate::servers::Verb;
use crate::transactions::{Draft, Kind, Undo, plan_in_words};
use crate::util::now;

/// Most jobs that have not ended.
pub(super) const MAX_OPEN: usize = 32;

impl Core {
    /// Makes a job, or says only what it would do. It begins at once; its steps are waited for elsewhere.
    pub(crate) async fn job_create(
        &self,
        actor: &str,
        wanted: &JobCreate,
        dry: bool,
    ) -> Result<Result<Job, JobPlan>, Error> {
        let _change = self.change.lock().await;
        let world = self.sketch();
        let steps = steps(&world, wanted)?;
        let holder = held(&self.world(), &steps);
        if let (Some((job, object)), false) = (&holder, dry) {
            return Err(Error::refused(
                409,
                "job-in-the-way",
                format!("{} is in the hands of job {} ({})", object.name, job.number, job.name),
                format!("wait for it: weft job watch {0}; or cancel it: weft job cancel {0}", job.number),
            ));
        }
        let mut plan = self.plan_steps(world, actor, &wanted.name, &steps)?;
        if dry {
            if holder.is_some() {
                plan.state = "conflict".to_string();
            }
            return Ok(Err(plan));
        }
        if let Some(step) = plan.steps.iter().find(|step| step.state == "conflict") {
            let why: Vec<&str> = step.plan.conflicts.iter().map(|conflict| conflict.text.as_str()).collect();
            return Err(Error::refused(
                409,
                "job-refused",
                format!("nothing was begun: step {} ({}): {}", step.number, step.name, why.join(". ")),
                "see all steps with a dry run: weft job run -f FILE --dry-run",
            ));
        }
        if self.world().jobs.len() >= MAX_OPEN {
            return Err(Error::refused(
                409,
                "too-many-jobs",
                format!("{MAX_OPEN} jobs have not ended"),
                "wait for one, or decide on those that are stuck: weft job list",
            ));
        }
        let number = self.jobs.next();
        let name = if wanted.name.is_empty() { format!("job-{number}") } else { wanted.name.clone() };
        let row = JobRow { number, name, actor: actor.to_string(), at: now(), steps, ..JobRow::default() };
        let text = format!("started, {} steps", row.steps.len());
        let event = told(&row, actor, "job.started", "info", &text);
        self.write_job(Move { row: row.clone(), told: event }).await?;
        self.jobs.wake.notify_one();
        Ok(Ok(self.show_job(&row)))
    }

    /// A job that has not ended. The caller holds `change`.
    pub(super) async fn open_job(&self, number: u64) -> Result<JobRow, Error> {
        if let Some(job) = self.world().jobs.get(&number) {
            return Ok(job.row.clone());
        }
        let ended = self.job_row(number).await?;
        Err(Error::refused(
            409,
            "job-ended",
            format!("job {number} is {}", ended.state.word()),
            "its transactions can be undone one by one, the last first: weft job show, weft tx undo",
        ))
    }

    /// A job that is stuck, and its step. The caller holds `change`.
    async fn stuck_job(&self, number: u64) -> Result<(JobRow, usize), Error> {
        let row = self.open_job(number).await?;
        match stuck(&row) {
            Some(index) if row.state == JobState::Stuck => Ok((row, index)),
            Some(_) | None => Err(Error::refused(
                409,
                "job-not-stuck",
                format!("job {number} is {}", row.state.word()),
                format!("see how far it is: weft job show {number}; to undo it: weft job cancel {number}"),
            )),
        }
    }

    pub(super) async fn decided(
        &self,
        row: JobRow,
        actor: &str,
        name: &str,
        text: &str,
    ) -> Result<Job, Error> {
        let event = told(&row, actor, name, "warn", text);
        self.write_job(Move { row: row.clone(), told: event }).await?;
        self.jobs.wake.notify_one();
        Ok(self.show_job(&row))
    }

    /// Cancels a job: what is done of it is undone.
    pub(crate) async fn job_cancel(&self, actor: &str, number: u64, dry: bool) -> Result<JobDecided, Error> {
        let _change = self.change.lock().await;
        let mut row = self.open_job(number).await?;
        if row.rollout.is_some() {
            return Err(Error::refused(
                409,
                "job-is-rollout",
                format!("job {number} is a rollout of an image"),
                format!(
                    "end it: weft image rollout abort {number}; take it back: weft image rollout back {number}"
                ),
            ));
        }
        if row.state != JobState::Running {
            return Err(Error::refused(
                409,
                "job-not-running",
                format!("job {number} is {} already", row.state.word()),
                format!("see how far it is: weft job show {number}"),
            ));
        }
        if dry {
            return Ok(planned("job cancel", back(&row, None)));
        }
        row.state = JobState::Undoing;
        row.reason = format!("cancelled by {actor}");
        self.decided(row, actor, "job.cancelled", "cancelled; what was done is undone")
            .await
            .map(JobDecided::Job)
    }

    /// Tries the undo of a stuck step once more.
    pub(crate) async fn job_retry(&self, actor: &str, number: u64, dry: bool) -> Result<JobDecided, Error> {
        let _change = self.change.lock().await;
        let (mut row, index) = self.stuck_job(number).await?;
        row.state = JobState::Undoing;
        let text = format!("the undo of {} is tried again", step_words(&row, index));
        if dry {
            let rest = back(&row, Some(index));
            return Ok(planned("job retry", [vec![text], rest].concat()));
        }
        let shown = |core: &Self, row: &JobRow| JobDecided::Job(core.show_job(row));
        let Some(step) = row.steps.get_mut(index) else { return Ok(shown(self, &row)) };
        step.changed = now();
        if step.undo == 0 {
            step.state = StepState::Failed;
            return self.decided(row, actor, "job.retried", &text).await.map(JobDecided::Job);
        }
        // The undo stands, and a node did not follow it.
        step.state = StepState::Undoing;
        let nodes: Vec<String> = step.waits.iter().flat_map(|wait| wait.nodes.clone()).collect();
        let again = self.start_again(&row, index)?;
        let event = told(&row, actor, "job.retried", "warn", &text);
        self.make_with_job(again, Move { row: row.clone(), told: event }).await?;
        nodes.iter().for_each(|id| self.push(id));
        self.jobs.wake.notify_one();
        Ok(shown(self, &row))
    }

    /// A start of those servers of a step that were to run again and ended instead.
    fn start_again(&self, row: &JobRow, index: usize) -> Result<Draft, Error> {
        let mut decided = Vec::new();
        let waits = row.steps.get(index).map(|step| step.waits.clone()).unwrap_or_default();
        for wait in waits.iter().filter(|wait| wait.wait == WaitFor::Running) {
            let Some(vs) = self.world().servers.get(&wait.object.id).cloned() else { continue };
            let ended = vs.status.as_ref().is_some_and(|status| {
                status.instance == vs.row.instance && matches!(status.state, VsState::Off | VsState::Failed)
            });
            if ended && vs.row.running {
                decided.extend(self.decide_vs(&row.actor, vs, Verb::Start)?);
            }
        }
        Ok(Draft::of(Kind::VsStart, decided))
    }

    /// Leaves a stuck step as it is, and undoes the rest.
    pub(crate) async fn job_skip(
        &self,
        actor: &str,
        number: u64,
        reason: &str,
        dry: bool,
    ) -> Result<JobDecided, Error> {
        check_reason(reason, "reason")?;
        let _change = self.change.lock().await;
        let (row, index) = self.stuck_job(number).await?;
        let words = step_words(&row, index);
        if dry {
            let left = format!("{words} is left as it is");
            return Ok(planned("job skip", [vec![left], back(&row, Some(index))].concat()));
        }
        let mut row = with_step(row, index, StepState::Skipped, &format!("{actor}: {reason}"));
        row.state = JobState::Undoing;
        row.reason = format!("{}; {words} was left as it is", row.reason);
        let text = format!("{words} is left as it is: {reason}");
        self.decided(row, actor, "job.skipped", &text).await.map(JobDecided::Job)
    }

    /// Leaves a stuck job as it is.
    pub(crate) async fn job_abandon(
        &self,
        actor: &str,
        number: u64,
        comment: &str,
        dry: bool,
    ) -> Result<JobDecided, Error> {
        check_reason(comment, "comment")?;
        let _change = self.change.lock().await;
        let (mut row, _) = self.stuck_job(number).await?;
        if dry {
            let left = "all of its steps are left as they are, and the job ends".to_string();
            return Ok(planned("job abandon", vec![left]));
        }
        row.state = JobState::Abandoned;
        row.ended = now();
        row.comment = format!("{actor}: {comment}");
        self.decided(row, actor, "job.abandoned", &format!("left as it is: {comment}"))
            .await
            .map(JobDecided::Job)
    }
}

fn planned(name: &str, effects: Vec<String>) -> JobDecided {
    JobDecided::Plan(plan_in_words(name, effects))
}

/// What going back does to each step that has changed something, the last first; `but` is spoken of elsewhere.
fn back(row: &JobRow, but: Option<usize>) -> Vec<String> {
    let steps = row.steps.iter().enumerate().rev().filter(|(index, _)| Some(*index) != but);
    let told = steps.filter_map(|(index, step)| {
        let words = step_words(row, index);
        match step.state {
            StepState::Waiting if but.is_none() => Some(format!("{words} is not begun")),
            StepState::Running | StepState::Done | StepState::Failed if step.transaction > 0 => {
                Some(match Kind::of(&step.verb).map(Kind::undo) {
                    Some(Undo::Irreversible { why, .. }) => format!("{words} stays: {why}"),
                    _ => format!("{words} is undone: transaction {} is taken back", step.transaction),
                })
            }
            _ => None,
        }
    });
    told.collect()
}
