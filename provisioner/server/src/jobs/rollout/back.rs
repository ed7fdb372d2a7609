//! The way back: a rollout of the images that nodes ran before, to those that an earlier one had moved.
//!
//! It is no undo of transactions: what operators did with servers since stays.

use std::collections::BTreeSet;

use weft_api::{Conflict, Plan, Rollout};
use weft_store::{Drain, JobRow, RolloutNodeRow, RolloutRow, StepState};

use super::start::{check_boots, conflict, in_batches};
use super::{Part, node_of, owed, place, runs};
use crate::auth::{Object, ObjectKind};
use crate::boot_files::image_words;
use crate::core::Core;
use crate::error::Error;
use crate::world::{VsEntry, World};

/// Whether a rollout has moved a node, or was about to.
fn moved(world: &World, row: &JobRow, node: &RolloutNodeRow) -> bool {
    let Some(entry) = node_of(world, &node.id, &node.name) else { return false };
    let step = place(row, Part::Restart, node.batch).and_then(|at| row.steps.get(at));
    let begun = step.is_some_and(|step| step.state != StepState::Waiting);
    node.before != node.image && (begun || entry.row.image == node.image || runs(entry) == node.image)
}

impl Core {
    /// Goes back from a rollout, or says only what that would do. One that has not ended ends.
    pub(crate) async fn rollout_back(
        &self,
        actor: &str,
        number: u64,
        dry: bool,
    ) -> Result<Result<Rollout, Plan>, Error> {
        let _change = self.change.lock().await;
        let row = self.rollout_row(number).await?;
        let Some(rollout) = row.rollout.clone() else { return Err(super::show::missing(number)) };
        if !row.state.ended() {
            self.allow_asked("decide", &Object::new(ObjectKind::Job, "all", ""))?;
        }
        let back = self.decide_back(&row, &rollout)?;
        self.allow_drained(&row, &back)?;
        self.check_free(&back, number)?;
        let timeout_s = row.steps.first().map(|step| step.timeout_s).unwrap_or_default();
        if dry {
            return Ok(Err(self.rollout_plan(&back, timeout_s, self.in_the_way(&back)?)));
        }
        if !row.state.ended() {
            self.end_rollout(actor, row, "taken back").await?;
        }
        self.launch(actor, format!("back-of-{number}"), back, timeout_s).await.map(Ok)
    }

    /// Whether who asks may stop and start what is drained: also what the rollout before has stopped by now.
    fn allow_drained(&self, row: &JobRow, back: &RolloutRow) -> Result<(), Error> {
        if back.drain == Drain::Refuse {
            return Ok(());
        }
        for node in &back.nodes {
            self.allow_guests(&self.guests_of(&[&self.find_node(&node.id)?]))?;
        }
        let stopped = owed(row).filter(|_| !row.state.ended()).flat_map(|step| &step.objects);
        let world = self.world();
        let stopped: Vec<VsEntry> =
            stopped.filter_map(|object| world.servers.get(&object.id).cloned()).collect();
        drop(world);
        self.allow_guests(&stopped)
    }

    /// What would hold it up; it begins all the same, since the nodes before are better off.
    fn in_the_way(&self, back: &RolloutRow) -> Result<Vec<Conflict>, Error> {
        let mut all = Vec::new();
        for row in &back.nodes {
            let node = self.find_node(&row.id)?;
            let checks = [self.check_here(&node), self.check_guests(&node, &row.image, back.drain)];
            for error in checks.into_iter().filter_map(Result::err) {
                all.push(conflict(&row.name, error)?);
            }
        }
        Ok(all)
    }

    fn decide_back(&self, row: &JobRow, rollout: &RolloutRow) -> Result<RolloutRow, Error> {
        let number = row.number;
        let mut nodes: Vec<RolloutNodeRow> = {
            let world = self.world();
            let moved = rollout.nodes.iter().filter(|node| moved(&world, row, node));
            moved
                .filter_map(|node| {
                    let entry = node_of(&world, &node.id, &node.name)?;
                    Some(RolloutNodeRow {
                        id: entry.row.id.clone(),
                        name: entry.row.name.clone(),
                        image: node.before.clone(),
                        before: node.image.clone(),
                        chosen: node.chosen.clone(),
                        batch: 0,
                    })
                })
                .collect()
        };
        if nodes.is_empty() {
            return Err(Error::refused(
                409,
                "nothing-moved",
                format!("rollout {number} has moved no node"),
                format!("see how far it is: weft image rollout show {number}"),
            ));
        }
        for node in &nodes {
            self.check_way_back(node)?;
        }
        let images: BTreeSet<&String> = nodes.iter().map(|node| &node.image).collect();
        images.into_iter().try_for_each(|image| self.check_files(&self.find_image(image)?))?;
        in_batches(&mut nodes, rollout.max_unavailable);
        let now = self.active_image().map(|(digest, _)| digest).unwrap_or_default();
        // What it made active is no longer so; what somebody else made active stays.
        let activated = now == rollout.activates && now != rollout.base;
        let activates = if activated { rollout.base.clone() } else { String::new() };
        if !activates.is_empty() {
            self.check_earlier(&activates)?;
        }
        Ok(RolloutRow {
            image: nodes.first().map(|node| node.image.clone()).unwrap_or_default(),
            base: now,
            activates,
            back_of: number,
            canary: nodes.first().map(|node| node.id.clone()).unwrap_or_default(),
            max_unavailable: rollout.max_unavailable,
            drain: rollout.drain,
            nodes,
        })
    }

    /// Whether an earlier image may run again.
    fn check_earlier(&self, digest: &str) -> Result<(), Error> {
        let image = self.world().images.get(digest).cloned();
        let Some(image) = image else {
            return Err(Error::refused(
                409,
                "image-not-found",
                format!("image {digest} was never published here"),
                "publish it, or another: weft image publish FILE",
            ));
        };
        self.allow_asked("activate", &Object::new(ObjectKind::Image, &image.digest, &image.name))?;
        let words = image_words(&self.world(), digest);
        self.check_offer(&image).map_err(|error| match error {
            Error::Refused { code, title, next, .. } => {
                Error::refused(409, code, format!("there is no way back to {words}: {title}"), next)
            }
            other => other,
        })
    }

    fn check_way_back(&self, node: &RolloutNodeRow) -> Result<(), Error> {
        self.check_earlier(&node.image)?;
        let entry = self.find_node(&node.id)?;
        let object = Object {
            labels: Some(&entry.row.labels),
            ..Object::new(ObjectKind::Node, &entry.row.id, &entry.row.name)
        };
        self.allow_asked("reboot", &object)?;
        check_boots(&entry, &self.find_image(&node.image)?)
    }
}
