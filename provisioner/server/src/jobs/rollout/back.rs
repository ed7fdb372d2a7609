//! The way back: a rollout of the images that nodes ran before, to those that an earlier one had moved.
//!
//! It is no undo of transactions: what operators did with servers since stays.

use weft_api::{Plan, Rollout};
use weft_store::{JobRow, RolloutNodeRow, RolloutRow, StepState};

use super::start::{check_boots, in_batches};
use super::{Part, node_of, place, runs};
use crate::auth::{Object, ObjectKind};
use crate::boot_files::image_words;
use crate::core::Core;
use crate::error::Error;
use crate::world::World;

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
        let back = self.decide_back(&row, &rollout)?;
        self.check_free(&back, number)?;
        let timeout_s = row.steps.first().map(|step| step.timeout_s).unwrap_or_default();
        if dry {
            return Ok(Err(self.rollout_plan(&back, timeout_s, Vec::new())));
        }
        if !row.state.ended() {
            self.end_rollout(actor, row, "taken back").await?;
        }
        self.launch(actor, format!("back-of-{number}"), back, timeout_s).await.map(Ok)
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
