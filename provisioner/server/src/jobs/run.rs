//! Brings jobs forward: one step's move at a time, each written before the next.

use std::sync::Arc;
use std::time::Duration;

use weft_store::{
    Batch, JobRow, JobState, NewEvent, StepRow, StepState, StoreError, THIS_TRANSACTION, WaitFor, WaitRow,
};

use super::machine::{Todo, todo};
use super::waits::{self, Seen, look_at_all};
use super::{JobEntry, step_words, told};
use crate::core::Core;
use crate::error::Error;
use crate::transactions::{Draft, Kind, Undo, Undoing};
use crate::util::{now, stopped};

/// Pause between two looks at what nodes report, while a job waits for them.
const LOOK: Duration = Duration::from_millis(100);
/// Pause after the store failed.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// A step that moves: its job as it will be, and what is told of it.
pub(super) struct Move {
    pub(super) row: JobRow,
    pub(super) told: NewEvent,
}

impl Core {
    /// Brings jobs forward until the appliance stops. What is left goes on at the next start.
    pub async fn run_jobs(self: Arc<Self>, mut stop: tokio::sync::watch::Receiver<bool>) {
        loop {
            let open: Vec<u64> = self.world().jobs.keys().copied().collect();
            let mut pause = LOOK;
            for number in &open {
                if let Err(error) = self.advance(*number).await {
                    tracing::error!(job = number, error = crate::chain(&error), "the job does not go on yet");
                    pause = AFTER_FAILURE;
                }
                if let Err(error) = self.urge_restarts(*number).await {
                    tracing::error!(
                        job = number,
                        error = crate::chain(&error),
                        "no restart is asked for yet"
                    );
                    pause = AFTER_FAILURE;
                }
            }
            let waits = self.world().jobs.values().any(|job| todo(&job.row) != Todo::Nothing);
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                () = self.jobs.wake.notified() => {}
                () = tokio::time::sleep(pause), if waits => {}
            }
        }
    }

    /// Whether a job only waits for its nodes, in time.
    fn only_waits(&self, number: u64) -> bool {
        let world = self.world();
        let Some(job) = world.jobs.get(&number) else { return true };
        match todo(&job.row) {
            Todo::Watch(index) | Todo::WatchBack(index) => job.row.steps.get(index).is_some_and(|step| {
                !late(job, step) && matches!(look_at_all(&world, &step.waits), Seen::NotYet(_))
            }),
            Todo::Nothing => true,
            Todo::Begin(_) | Todo::TakeBack(_) | Todo::End(_) => false,
        }
    }

    /// Brings one job as far as it goes without waiting.
    async fn advance(&self, number: u64) -> Result<(), Error> {
        while !self.only_waits(number) {
            // One move at a time: other changes are not held up by a long job.
            let _change = self.change.lock().await;
            let Some(job) = self.world().jobs.get(&number).cloned() else { return Ok(()) };
            match todo(&job.row) {
                Todo::Begin(index) => self.begin(job.row, index).await?,
                Todo::Watch(index) => self.watch(job, index).await?,
                Todo::TakeBack(index) => self.take_back(job.row, index).await?,
                Todo::WatchBack(index) => self.watch_back(job, index).await?,
                Todo::End(state) => self.end(job.row, state).await?,
                Todo::Nothing => return Ok(()),
            }
        }
        Ok(())
    }

    /// Writes a job, and then has it in memory so. The caller holds `change`.
    pub(super) async fn write_job(&self, to: Move) -> Result<(), Error> {
        let batch = Batch::new(now(), to.row.actor.as_str(), "job").put_job(to.row.clone()).event(to.told);
        self.commit(batch).await?;
        self.remember_job(to.row);
        Ok(())
    }

    fn remember_job(&self, row: JobRow) {
        let mut world = self.world();
        if row.state.ended() {
            let waits = row.steps.iter().flat_map(|step| &step.waits).map(|wait| &wait.object.id);
            let objects = row.steps.iter().flat_map(|step| &step.objects).map(|object| &object.id);
            waits.chain(objects).for_each(|id| _ = world.leaving.remove(id));
            world.jobs.remove(&row.number);
        } else {
            world.jobs.insert(row.number, JobEntry::new(row));
        }
    }

    /// Makes a change and writes the job with it. Refused where the change is, and then nothing is written.
    pub(super) async fn make_with_job(&self, mut draft: Draft, to: Move) -> Result<(), Error> {
        let Move { row, told } = to;
        if draft.changes.is_empty() {
            return self.write_job(Move { row: row.with_transaction(0), told }).await;
        }
        let waits: Vec<WaitRow> = row.steps.iter().flat_map(|step| step.waits.clone()).collect();
        {
            // Before nodes hear of it: they may answer at once.
            let mut world = self.world();
            for (id, nodes) in waits::living(&world, &waits) {
                world.leaving.entry(id).or_default().extend(nodes);
            }
        }
        let actor = row.actor.clone();
        draft.told.push(told);
        draft.job = Some(Box::new(row.clone()));
        let plan = self.carry_out(&actor, draft, false).await?;
        self.remember_job(row.with_transaction(plan.transaction));
        Ok(())
    }

    /// Makes the change of a step.
    async fn begin(&self, mut row: JobRow, index: usize) -> Result<(), Error> {
        if row.rollout.is_some() {
            return self.begin_rollout(row, index).await;
        }
        let Some(step) = row.steps.get(index).cloned() else { return Ok(()) };
        let mut decided = match self.decide_step(&self.sketch(), &row.actor, &step) {
            Ok(decided) if decided.group.refused.is_empty() => decided,
            Ok(decided) => return self.fail(row, index, reasons(&decided.group.refused)).await,
            Err(error) => return self.fail(row, index, refusal(error)?).await,
        };
        let waits = std::mem::take(&mut decided.waits);
        let draft = decided.draft();
        let before = row.clone();
        let words = step_words(&row, index);
        let event = told(&row, &row.actor, "job.step", "info", &format!("{words} is on its way"));
        if let Some(step) = row.steps.get_mut(index) {
            let at = now();
            *step = StepRow {
                state: StepState::Running,
                transaction: THIS_TRANSACTION,
                waits,
                reason: String::new(),
                started: at.clone(),
                changed: at,
                ..step.clone()
            };
        }
        match self.make_with_job(draft, Move { row, told: event }).await {
            Ok(()) => Ok(()),
            Err(error) => self.fail(before, index, refusal(error)?).await,
        }
    }

    /// Looks whether the nodes have followed a step.
    async fn watch(&self, job: JobEntry, index: usize) -> Result<(), Error> {
        let Some(step) = job.row.steps.get(index) else { return Ok(()) };
        let seen = look_at_all(&self.world(), &step.waits);
        match seen {
            Seen::Met => {
                let text = format!("{} is done", step_words(&job.row, index));
                let event = told(&job.row, &job.row.actor, "job.step", "info", &text);
                self.write_job(Move { row: with_step(job.row, index, StepState::Done, ""), told: event })
                    .await
            }
            Seen::NotYet(why) if late(&job, step) => {
                let reason = format!("not so after {} s: {why}", step.timeout_s);
                self.fail(job.row, index, reason).await
            }
            Seen::NotYet(_) => Ok(()),
            Seen::Never(why) => self.fail(job.row, index, why).await,
        }
    }

    /// A step did not come to be: all is undone.
    async fn fail(&self, row: JobRow, index: usize, reason: String) -> Result<(), Error> {
        if row.rollout.is_some() {
            return self.stop_rollout(row, index, &reason).await;
        }
        let why = format!("{}: {reason}", step_words(&row, index));
        let event = told(&row, &row.actor, "job.failed", "error", &format!("{why}; what was done is undone"));
        let mut row = with_step(row, index, StepState::Failed, &reason);
        row.state = JobState::Undoing;
        row.reason = why;
        self.write_job(Move { row, told: event }).await
    }

    /// Undoes a step.
    async fn take_back(&self, mut row: JobRow, index: usize) -> Result<(), Error> {
        let Some(step) = row.steps.get(index).cloned() else { return Ok(()) };
        if step.transaction == 0 {
            return self.is_back(row, index, "").await;
        }
        if let Some(Undo::Irreversible { why, next }) = Kind::of(&step.verb).map(Kind::undo) {
            if step.verb == Kind::PartitionDelete.name() {
                return self.sticks(row, index, format!("{why}; {next}")).await;
            }
            // A guest that was reset runs as it did before.
            return self.is_back(row, index, why).await;
        }
        if self.is_undone(step.transaction).await? {
            return self.is_back(row, index, "it was taken back by hand").await;
        }
        let draft = match self.decide_undo(&row.actor, step.transaction, false).await {
            Ok(Undoing::Can { draft, .. }) => draft,
            Ok(Undoing::Cannot(plan)) => return self.sticks(row, index, reasons(&plan.conflicts)).await,
            Err(Error::Refused { code: "nothing-to-undo", title, .. }) => {
                return self.is_back(row, index, &title).await;
            }
            Err(error) => return self.sticks(row, index, refusal(error)?).await,
        };
        let before = row.clone();
        let event = told(
            &row,
            &row.actor,
            "job.undo",
            "info",
            &format!("{} is being undone", step_words(&row, index)),
        );
        if let Some(step) = row.steps.get_mut(index) {
            step.state = StepState::Undoing;
            step.undo = THIS_TRANSACTION;
            step.waits = waits::of_changes(draft.kind, &draft.changes);
            step.changed = now();
        }
        match self.make_with_job(draft, Move { row, told: event }).await {
            Ok(()) => Ok(()),
            Err(error) => self.sticks(before, index, refusal(error)?).await,
        }
    }

    /// Looks whether the nodes have followed an undo.
    async fn watch_back(&self, job: JobEntry, index: usize) -> Result<(), Error> {
        let Some(step) = job.row.steps.get(index) else { return Ok(()) };
        let seen = look_at_all(&self.world(), &step.waits);
        match seen {
            Seen::Met => self.is_back(job.row, index, "").await,
            Seen::NotYet(why) if late(&job, step) => {
                let reason = format!("its undo is not so after {} s: {why}", step.timeout_s);
                self.sticks(job.row, index, reason).await
            }
            Seen::NotYet(_) => Ok(()),
            Seen::Never(why) => self.sticks(job.row, index, format!("its undo: {why}")).await,
        }
    }

    /// A step is as it was before; `note` says what is to be said of it.
    async fn is_back(&self, row: JobRow, index: usize, note: &str) -> Result<(), Error> {
        let words = step_words(&row, index);
        let event = told(&row, &row.actor, "job.undo", "info", &format!("{words} is undone"));
        // Why it failed is still of interest.
        let reason = row.steps.get(index).map(|step| step.reason.clone()).unwrap_or_default();
        let reason = if reason.is_empty() { note.to_string() } else { reason };
        self.write_job(Move { row: with_step(row, index, StepState::Undone, &reason), told: event }).await
    }

    /// The undo of a step failed: a person must decide.
    async fn sticks(&self, row: JobRow, index: usize, reason: String) -> Result<(), Error> {
        let words = format!("the undo of {} failed: {reason}", step_words(&row, index));
        let text = format!("{words}; retry, skip or abandon: weft job show {}", row.number);
        let event = told(&row, &row.actor, "job.stuck", "error", &text);
        let mut row = with_step(row, index, StepState::Stuck, &reason);
        row.state = JobState::Stuck;
        self.write_job(Move { row, told: event }).await
    }

    async fn end(&self, mut row: JobRow, state: JobState) -> Result<(), Error> {
        let (name, severity, text) = match state {
            JobState::Done => ("job.done", "info", "all steps are done".to_string()),
            _ => ("job.undone", "warn", format!("undone: {}", row.reason)),
        };
        let event = told(&row, &row.actor, name, severity, &text);
        row.state = state;
        row.ended = now();
        self.write_job(Move { row, told: event }).await
    }
}

/// Whether a step that waits has had its time.
fn late(job: &JobEntry, step: &StepRow) -> bool {
    job.since.elapsed() >= Duration::from_secs(u64::from(step.timeout_s))
}

/// The job with one step in another state.
pub(super) fn with_step(mut row: JobRow, index: usize, state: StepState, reason: &str) -> JobRow {
    if let Some(step) = row.steps.get_mut(index) {
        let at = now();
        if step.started.is_empty() {
            step.started.clone_from(&at);
        }
        step.state = state;
        step.reason = reason.to_string();
        step.changed = at;
        // What is waited for still is what stands in a stuck step; elsewhere it is over.
        if !matches!(state, StepState::Stuck) {
            step.waits.retain(|wait| wait.wait == WaitFor::Gone);
        }
    }
    row
}

/// A refusal in one line; any other error is passed on.
pub(super) fn refusal(error: Error) -> Result<String, Error> {
    match error {
        Error::Refused { title, next, .. } => Ok(format!("{title}; {next}")),
        // The store found it out: trying again would find the same.
        Error::Store(StoreError::Taken(_)) => Ok("a name is taken".to_string()),
        other => Err(other),
    }
}

fn reasons(conflicts: &[weft_api::Conflict]) -> String {
    let all: Vec<&str> = conflicts.iter().map(|conflict| conflict.text.as_str()).collect();
    all.join(". ")
}
