//! The steps of a rollout: what each changes, what it waits for, and the restarts that are asked for meanwhile.

use std::sync::PoisonError;

use weft_store::{
    Drain, ImageRow, ImageState, JobObject, JobRow, JobState, NewEvent, RolloutRow, StepRow, StepState,
    THIS_TRANSACTION, WaitFor, WaitRow,
};
use weft_wire::agent::{Command, ToNode};

use super::super::machine::{Todo, todo};
use super::super::run::{Move, refusal, with_step};
use super::super::{step_words, told, waits};
use super::{Part, Spec, Standing, node_of, owed, owes, place, runs, spec, standing};
use crate::auth::asking;
use crate::boot_files::{choose, chosen_no_more, image_words};
use crate::core::Core;
use crate::error::Error;
use crate::images::active;
use crate::nodes::node_event;
use crate::servers::Verb;
use crate::spanning::lies_on;
use crate::transactions::{Change, Draft, Kind};
use crate::util::now;
use crate::world::{Ask, NodeEntry, VsEntry};

/// Sessions that are remembered; older ones have ended.
const ASKED: usize = 4096;

/// Nodes of a batch with the images that they get, those left out that run theirs already.
fn restarting(core: &Core, rollout: &RolloutRow, batch: u32) -> Result<Vec<(NodeEntry, String)>, Error> {
    let world = core.world();
    let mut all = Vec::new();
    for node in rollout.nodes.iter().filter(|node| node.batch == batch) {
        let Some(entry) = node_of(&world, &node.id, &node.name) else {
            return Err(Error::refused(
                409,
                "node-gone",
                format!("{} was forgotten meanwhile", node.name),
                "roll out to the others: weft image rollout start",
            ));
        };
        all.push((entry.clone(), node.image.clone()));
    }
    Ok(all)
}

fn vs_object(vs: &VsEntry) -> JobObject {
    JobObject { kind: "vs".to_string(), id: vs.row.id.clone(), name: vs.row.name.clone() }
}

/// What a start of servers comes to.
struct Started {
    draft: Draft,
    waits: Vec<WaitRow>,
    /// Those that cannot start: id, and why in words.
    refused: Vec<(String, String)>,
}

/// A rollout that goes no further, with what is to be said of servers that stay stopped.
fn not_started(mut row: JobRow, mut told: NewEvent, why: &str) -> Move {
    if !why.is_empty() {
        let words = format!("; not started again: {why}");
        let said = if row.state.ended() { &mut row.comment } else { &mut row.reason };
        said.push_str(&words);
        told.text.push_str(&words);
    }
    Move { row, told }
}

impl Core {
    /// Servers that are to run on one of these nodes, those that span it included.
    pub(super) fn guests_of(&self, nodes: &[&NodeEntry]) -> Vec<VsEntry> {
        let world = self.world();
        let here = |vs: &&VsEntry| vs.row.running && nodes.iter().any(|node| lies_on(&vs.row, &node.row.id));
        world.servers.values().filter(here).cloned().collect()
    }

    /// Makes the change of a step of a rollout.
    pub(in crate::jobs) async fn begin_rollout(&self, row: JobRow, index: usize) -> Result<(), Error> {
        let (draft, mut next) = match self.decide_part(&row, index) {
            Ok(decided) => decided,
            Err(error) => return self.stop_rollout(row, index, &refusal(error)?).await,
        };
        if let Some(step) = next.steps.get_mut(index) {
            let at = now();
            *step = StepRow {
                state: StepState::Running,
                transaction: THIS_TRANSACTION,
                started: at.clone(),
                changed: at,
                ..step.clone()
            };
        }
        let text = format!("{} is on its way", step_words(&next, index));
        let event = told(&next, &next.actor, "job.step", "info", &text);
        match self.make_with_job(draft, Move { row: next, told: event }).await {
            Ok(()) => Ok(()),
            Err(error) => self.stop_rollout(row, index, &refusal(error)?).await,
        }
    }

    /// What a step changes, and the job with what it waits for.
    fn decide_part(&self, row: &JobRow, index: usize) -> Result<(Draft, JobRow), Error> {
        let (Some(step), Some(rollout)) = (row.steps.get(index), &row.rollout) else {
            return Ok((Draft::of(Kind::NodeImage, None), row.clone()));
        };
        let Spec { part, batch } = spec(step)?;
        // What was stopped starts again, whatever becomes of the image.
        if part != Part::Fill {
            self.check_base(rollout)?;
        }
        match part {
            Part::Drain => self.decide_drain(row, rollout, index, batch),
            Part::Restart => self.decide_restart(row, rollout, index, batch),
            Part::Fill => self.decide_fill(row, index),
            Part::Activate => self.decide_finish(row, rollout, index),
        }
    }

    /// Refused where what it rolls out must not run, or something else is rolled out to all.
    fn check_base(&self, rollout: &RolloutRow) -> Result<(), Error> {
        let now = self.active_image().map(|(digest, _)| digest).unwrap_or_default();
        if now != rollout.base {
            let words = image_words(&self.world(), &now);
            return Err(Error::refused(
                409,
                "image-active",
                format!("{words} was made active meanwhile, for all nodes"),
                "abort this rollout, and begin another where it is wanted still",
            ));
        }
        let mut images: Vec<&String> = rollout.nodes.iter().map(|node| &node.image).collect();
        images.sort_unstable();
        images.dedup();
        images.into_iter().try_for_each(|image| self.check_offer(&self.find_image(image)?))
    }

    fn decide_drain(
        &self,
        row: &JobRow,
        rollout: &RolloutRow,
        index: usize,
        batch: u32,
    ) -> Result<(Draft, JobRow), Error> {
        let nodes = restarting(self, rollout, batch)?;
        let due: Vec<&NodeEntry> =
            nodes.iter().filter(|(node, image)| runs(node) != *image).map(|(node, _)| node).collect();
        let guests = self.guests_of(&due);
        let objects: Vec<JobObject> = guests.iter().map(vs_object).collect();
        let decided: Vec<(Change, NewEvent)> = guests
            .into_iter()
            .filter_map(|vs| self.decide_vs(&row.actor, vs, Verb::Stop).transpose())
            .collect::<Result<_, Error>>()?;
        let changes: Vec<Change> = decided.iter().map(|(change, _)| change.clone()).collect();
        let mut next = row.clone();
        // Written with the very change: what was stopped is known from then on, beside what it stopped before.
        if let Some(fill) = place(row, Part::Fill, batch).and_then(|at| next.steps.get_mut(at)) {
            let new = objects.iter().filter(|object| fill.objects.iter().all(|old| old.id != object.id));
            let new: Vec<JobObject> = new.cloned().collect();
            fill.objects.extend(new);
        }
        if let Some(step) = next.steps.get_mut(index) {
            step.objects = objects;
            step.waits = waits::of_changes(Kind::VsStop, &changes);
        }
        Ok((Draft::of(Kind::VsStop, decided), next))
    }

    fn decide_restart(
        &self,
        row: &JobRow,
        rollout: &RolloutRow,
        index: usize,
        batch: u32,
    ) -> Result<(Draft, JobRow), Error> {
        let nodes = restarting(self, rollout, batch)?;
        let mut decided = Vec::new();
        let mut waits = Vec::new();
        for (node, image) in &nodes {
            if runs(node) != *image {
                self.check_empty(rollout, node)?;
            }
            if let Some(live) = &node.live {
                // One that was asked in this session for an earlier rollout, or before a resume, is asked again.
                self.jobs.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&live.session);
            }
            if node.row.approved && node.row.image != *image {
                let words = image_words(&self.world(), image);
                let told = NewEvent {
                    actor: row.actor.clone(),
                    ..node_event("node.image", "info", &node.row.name, format!("boots {words} from now on"))
                };
                decided.push((choose(&node.row, image), told));
            }
            waits.push(WaitRow {
                wait: WaitFor::Boots,
                object: JobObject {
                    kind: "node".to_string(),
                    id: node.row.id.clone(),
                    name: node.row.name.clone(),
                },
                nodes: vec![node.row.id.clone()],
                spans: false,
                image: image.clone(),
                before: String::new(),
            });
        }
        let mut next = row.clone();
        if let Some(step) = next.steps.get_mut(index) {
            step.waits = waits;
        }
        Ok((Draft::of(Kind::NodeImage, decided), next))
    }

    /// Refused where a server is to run on a node that is to restart.
    fn check_empty(&self, rollout: &RolloutRow, node: &NodeEntry) -> Result<(), Error> {
        let guests = self.guests_of(&[node]);
        let Some(vs) = guests.first() else { return Ok(()) };
        let (name, vs) = (&node.row.name, &vs.row.name);
        let next = match rollout.drain {
            Drain::Refuse => format!("stop it first: weft vs stop {vs}; or roll out with --drain stop"),
            Drain::Stop => "resume the rollout: it is stopped, and started again".to_string(),
        };
        Err(Error::refused(409, "node-in-use", format!("{name} runs {vs}"), next))
    }

    /// A start of servers that were stopped, as far as they are still there, and those that cannot start.
    fn started(&self, actor: &str, objects: &[JobObject]) -> Result<Started, Error> {
        let (mut decided, mut waits, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for object in objects {
            let Some(vs) = self.world().servers.get(&object.id).cloned() else { continue };
            let row = vs.row.clone();
            match self.decide_vs(actor, vs, Verb::Start) {
                Ok(Some(one)) => decided.push(one),
                Ok(None) => waits.extend(waits::of_same(Kind::VsStart, &row)),
                Err(error) => refused.push((row.id, format!("{}: {}", row.name, refusal(error)?))),
            }
        }
        let changes: Vec<Change> = decided.iter().map(|(change, _)| change.clone()).collect();
        waits.extend(waits::of_changes(Kind::VsStart, &changes));
        Ok(Started { draft: Draft::of(Kind::VsStart, decided), waits, refused })
    }

    fn decide_fill(&self, row: &JobRow, index: usize) -> Result<(Draft, JobRow), Error> {
        let mut next = row.clone();
        let objects = row.steps.get(index).map(|step| step.objects.clone()).unwrap_or_default();
        let Started { draft, waits, refused } = self.started(&row.actor, &objects)?;
        if !refused.is_empty() {
            // The others start where the rollout stops.
            let words: Vec<String> = refused.into_iter().map(|(_, words)| words).collect();
            let next = "resume the rollout once it can start";
            return Err(Error::refused(409, "vs-not-started", words.join(". "), next));
        }
        if let Some(step) = next.steps.get_mut(index) {
            step.waits = waits;
        }
        Ok((draft, next))
    }

    /// The end: the image becomes the active one, where no approved node would be surprised by it.
    fn decide_finish(
        &self,
        row: &JobRow,
        rollout: &RolloutRow,
        index: usize,
    ) -> Result<(Draft, JobRow), Error> {
        let mut next = row.clone();
        let set = |before: &ImageRow, state: ImageState| Change::Image {
            before: before.clone(),
            after: ImageRow { state, ..before.clone() },
        };
        let world = self.world();
        let approved = || world.nodes.values().filter(|node| node.row.approved);
        let mut changes = Vec::new();
        let goal = world.images.get(&rollout.activates);
        // A way back is to all that ran the image; where others do not, the operator said which nodes he means.
        let other = approved().find(|node| {
            rollout.back_of == 0 && node.row.image != rollout.activates && runs(node) != rollout.activates
        });
        if let (Some(goal), None) = (goal, other)
            && active(&world).is_none_or(|now| now.digest != goal.digest)
        {
            changes.extend(active(&world).map(|now| set(now, ImageState::Published)));
            changes.push(set(goal, ImageState::Active));
        }
        let activates = goal.is_some() && other.is_none();
        if activates && rollout.back_of == 0 {
            changes.extend(chosen_no_more(&world));
        } else if rollout.back_of > 0 {
            // As it was chosen before the rollout that is taken back.
            for node in &rollout.nodes {
                if let Some(entry) = node_of(&world, &node.id, &node.name)
                    && entry.row.approved
                    && entry.row.image != node.chosen
                {
                    changes.push(choose(&entry.row, &node.chosen));
                }
            }
        }
        let kind = if activates { Kind::ImageActivate } else { Kind::NodeImage };
        let words = goal.map(|image| image_words(&world, &image.digest)).unwrap_or_default();
        let text = match (activates, other) {
            (true, _) => format!("{words} is the active image"),
            (false, Some(other)) => {
                next.reason = format!(
                    "{words} was not made active: {} does not run it; for all nodes: weft image activate {}",
                    other.row.name, rollout.activates
                );
                next.reason.clone()
            }
            (false, None) => "the active image stays".to_string(),
        };
        if let (false, Some(step)) = (activates, next.steps.get_mut(index)) {
            step.reason.clone_from(&text);
        }
        drop(world);
        let name = if activates { "image.activated" } else { "job.step" };
        let event = told(row, &row.actor, name, "info", &text);
        Ok((Draft::new(kind, changes, event), next))
    }

    /// A rollout failed at a step: it stands where it is. Servers that were stopped for it are to run again.
    pub(in crate::jobs) async fn stop_rollout(
        &self,
        row: JobRow,
        index: usize,
        reason: &str,
    ) -> Result<(), Error> {
        let why = format!("{}: {reason}", step_words(&row, index));
        let text =
            format!("{why}; the nodes behind it stay as they are: weft image rollout show {}", row.number);
        let event = told(&row, &row.actor, "job.stopped", "error", &text);
        let mut next = with_step(row, index, StepState::Failed, reason);
        next.state = JobState::Stopped;
        next.reason = why;
        self.end_with_servers(next, event).await
    }

    /// Writes a rollout that goes no further, with the start of servers that it had stopped.
    pub(super) async fn end_with_servers(&self, row: JobRow, event: NewEvent) -> Result<(), Error> {
        let objects: Vec<JobObject> = owed(&row).flat_map(|step| step.objects.clone()).collect();
        let Started { draft, refused, .. } = self.started(&row.actor, &objects)?;
        // It owes no more than the start of those that cannot start yet.
        let mut next = row.clone();
        for step in next.steps.iter_mut().filter(|step| owes(step)) {
            step.objects.retain(|object| refused.iter().any(|(id, _)| *id == object.id));
        }
        let words: Vec<String> = refused.into_iter().map(|(_, words)| words).collect();
        let to = not_started(next, event.clone(), &words.join(". "));
        // Whoever may end a rollout need not be allowed to start each server by hand.
        match asking::by_itself(self.make_with_job(draft, to)).await {
            Ok(()) => Ok(()),
            // What is stopped stays so, and is said.
            Err(error) => self.write_job(not_started(row, event, &refusal(error)?)).await,
        }
    }

    /// Asks nodes to restart whose boot is to end, once in each of their sessions.
    pub(in crate::jobs) async fn urge_restarts(&self, number: u64) -> Result<(), Error> {
        if self.due(number).is_empty() {
            return Ok(());
        }
        let _change = self.change.lock().await;
        let Some(mut row) = self.world().jobs.get(&number).map(|job| job.row.clone()) else { return Ok(()) };
        let due = self.due(number);
        let Todo::Watch(index) = todo(&row) else { return Ok(()) };
        if let Some(rollout) = &row.rollout {
            // Since the step began, a server may have been started on a node that was away.
            let empty = due.iter().try_for_each(|(_, _, node)| self.check_empty(rollout, node));
            if let Err(error) = empty {
                return self.stop_rollout(row, index, &refusal(error)?).await;
            }
        }
        let mut fresh = Vec::new();
        for (at, boot, _) in &due {
            let wait = row.steps.get_mut(index).and_then(|step| step.waits.get_mut(*at));
            if let Some(wait) = wait
                && wait.before.is_empty()
            {
                wait.before.clone_from(boot);
                fresh.push(wait.object.name.clone());
            }
        }
        if !fresh.is_empty() {
            // Which boot is to end is on disk before it ends.
            let text = format!("{} is asked to restart", fresh.join(", "));
            let event = told(&row, &row.actor, "job.step", "info", &text);
            self.write_job(Move { row: row.clone(), told: event }).await?;
        }
        for (_, _, node) in due {
            self.ask_restart(&row, &node);
        }
        Ok(())
    }

    fn ask_restart(&self, row: &JobRow, node: &NodeEntry) {
        let Some(live) = &node.live else { return };
        let mut asked = self.jobs.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.contains(&live.session)
            || live.asks.try_send(Ask::Send(ToNode::Command(Command::Reboot))).is_err()
        {
            // Where its line is full it is asked at the next look.
            return;
        }
        if asked.len() >= ASKED {
            asked.pop_first();
        }
        asked.insert(live.session);
        self.emit(NewEvent {
            actor: row.actor.clone(),
            ..node_event(
                "node.reboot",
                "info",
                &node.row.name,
                format!("asked to restart by rollout {}", row.number),
            )
        });
    }

    /// Nodes that are to restart: place of the wait, the boot that is to end, and the node.
    fn due(&self, number: u64) -> Vec<(usize, String, NodeEntry)> {
        let world = self.world();
        let Some(row) = world.jobs.get(&number).map(|job| &job.row) else { return Vec::new() };
        let Todo::Watch(index) = todo(row) else { return Vec::new() };
        let step = row.steps.get(index).filter(|_| row.rollout.is_some());
        let asked = self.jobs.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        for (at, wait) in step.iter().flat_map(|step| step.waits.iter().enumerate()) {
            if wait.wait != WaitFor::Boots {
                continue;
            }
            let Some(node) = node_of(&world, &wait.object.id, &wait.object.name) else { continue };
            let fresh = node.live.as_ref().is_some_and(|live| !asked.contains(&live.session));
            if let (Standing::Due(boot), true) = (standing(node, wait), fresh || wait.before.is_empty()) {
                due.push((at, boot, node.clone()));
            }
        }
        due
    }
}
