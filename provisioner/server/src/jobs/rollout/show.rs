//! Rollouts as the interface shows them.

use weft_api::{Rollout, RolloutNode};
use weft_store::{JobRow, JobState, RolloutNodeRow, StepRow, StepState};

use super::super::show::{MAX_JOBS, waiting};
use super::{Part, place};
use crate::core::Core;
use crate::error::Error;
use crate::world::World;

fn state(row: &JobRow) -> &'static str {
    match row.state {
        JobState::Abandoned => "aborted",
        state => state.word(),
    }
}

fn next(row: &JobRow) -> String {
    let n = row.number;
    match row.state {
        JobState::Running => format!("hold it: weft image rollout pause {n}"),
        JobState::Paused => format!("weft image rollout resume {n}, abort {n} or back {n}"),
        JobState::Stopped => format!(
            "see to the node that failed, then: weft image rollout resume {n}; or abort {n}, or back {n}"
        ),
        JobState::Done | JobState::Abandoned => format!("to go back: weft image rollout back {n}"),
        JobState::Undoing | JobState::Stuck | JobState::Undone => String::new(),
    }
}

fn show_node(world: &World, row: &JobRow, node: &RolloutNodeRow) -> RolloutNode {
    let step = |part| place(row, part, node.batch).and_then(|at| row.steps.get(at));
    let (drain, restart, fill) = (step(Part::Drain), step(Part::Restart), step(Part::Fill));
    let all: Vec<&StepRow> = [drain, restart, fill].into_iter().flatten().collect();
    let is = |step: Option<&StepRow>, state| step.is_some_and(|step| step.state == state);
    let begun = |step: Option<&StepRow>| is(step, StepState::Running) || is(step, StepState::Done);
    let failed = all.iter().find(|step| step.state == StepState::Failed);
    let word = if failed.is_some() {
        "failed"
    } else if all.iter().all(|step| step.state == StepState::Done) {
        "done"
    } else if begun(fill) || is(restart, StepState::Done) {
        "starting"
    } else if begun(restart) || is(drain, StepState::Done) {
        "restarting"
    } else if begun(drain) {
        "draining"
    } else {
        "waiting"
    };
    let reason = match failed {
        Some(step) => step.reason.clone(),
        None => {
            let now = all.iter().filter(|step| step.state == StepState::Running);
            now.flat_map(|step| waiting(world, step)).collect::<Vec<_>>().join("; ")
        }
    };
    // What was stopped for it, also where it was started again at a stop.
    let mut servers: Vec<String> = Vec::new();
    for object in [fill, drain].into_iter().flatten().flat_map(|step| &step.objects) {
        if !servers.contains(&object.name) {
            servers.push(object.name.clone());
        }
    }
    RolloutNode {
        name: node.name.clone(),
        state: word.to_string(),
        id: node.id.clone(),
        image: node.image.clone(),
        image_before: node.before.clone(),
        servers,
        reason,
    }
}

pub(super) fn show(world: &World, row: &JobRow) -> Option<Rollout> {
    let rollout = row.rollout.as_ref()?;
    let nodes: Vec<RolloutNode> = rollout.nodes.iter().map(|node| show_node(world, row, node)).collect();
    let image = world.images.get(&rollout.image);
    let canary = rollout.nodes.iter().find(|node| node.id == rollout.canary);
    let done = nodes.iter().filter(|node| node.state == "done").count();
    Some(Rollout {
        name: row.name.clone(),
        state: state(row).to_string(),
        number: row.number,
        image: rollout.image.clone(),
        image_name: image.map(|image| image.name.clone()).unwrap_or_default(),
        generation: image.map(|image| image.generation).unwrap_or_default(),
        back_of: rollout.back_of,
        actor: row.actor.clone(),
        at: row.at.clone(),
        ended: row.ended.clone(),
        reason: if row.comment.is_empty() { row.reason.clone() } else { row.comment.clone() },
        next: next(row),
        canary: canary.map(|node| node.name.clone()).unwrap_or_default(),
        max_unavailable: rollout.max_unavailable,
        drain: rollout.drain.word().to_string(),
        timeout_s: row.steps.first().map(|step| step.timeout_s).unwrap_or_default(),
        done: u32::try_from(done).unwrap_or(u32::MAX),
        nodes,
    })
}

pub(super) fn missing(number: u64) -> Error {
    Error::not_found("rollout-not-found", "rollout", &number.to_string(), "weft image rollout list")
}

impl Core {
    pub(super) fn show_rollout(&self, row: &JobRow) -> Result<Rollout, Error> {
        show(&self.world(), row).ok_or_else(|| missing(row.number))
    }

    /// Up to `limit` rollouts with numbers below `before`, newest first.
    pub(crate) async fn rollouts(&self, before: Option<u64>, limit: u32) -> Result<Vec<Rollout>, Error> {
        let rows = self.store.rollouts(before.unwrap_or(u64::MAX), limit.min(MAX_JOBS)).await?;
        let world = self.world();
        Ok(rows.iter().filter_map(|row| show(&world, row)).collect())
    }

    /// The row of a rollout.
    pub(super) async fn rollout_row(&self, number: u64) -> Result<JobRow, Error> {
        let row = self.store.job(number).await?.filter(|row| row.rollout.is_some());
        row.ok_or_else(|| missing(number))
    }

    /// One rollout.
    pub(crate) async fn rollout(&self, number: u64) -> Result<Rollout, Error> {
        let row = self.rollout_row(number).await?;
        self.show_rollout(&row)
    }
}
