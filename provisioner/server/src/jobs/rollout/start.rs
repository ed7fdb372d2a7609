//! A new rollout: what must hold before anything is begun, and its plan.

use std::collections::BTreeSet;

use weft_api::{Conflict, MAX_ROLLOUT, MAX_STEP_TIMEOUT_S, Plan, ROLLOUT_TIMEOUT_S, Rollout, RolloutCreate};
use weft_store::{Drain, ImageRow, JobObject, JobRow, RolloutNodeRow, RolloutRow, StepRow};
use weft_wire::agent::BootKind;

use super::super::check::held;
use super::super::run::Move;
use super::super::told;
use super::super::verbs::MAX_OPEN;
use super::{runs, steps};
use crate::auth::{Object, ObjectKind};
use crate::boot_files::image_words;
use crate::core::Core;
use crate::error::Error;
use crate::servers::invalid;
use crate::util::now;
use crate::view::natural;
use crate::world::{NodeEntry, VsEntry, World};

/// Name of its plan.
const PLAN: &str = "image rollout";

/// How a rollout goes about it.
struct Manner {
    drain: Drain,
    max_unavailable: u32,
    timeout_s: u32,
}

impl Manner {
    fn of(wanted: &RolloutCreate) -> Result<Self, Error> {
        let drain = match wanted.drain.as_str() {
            "" | "refuse" => Drain::Refuse,
            "stop" => Drain::Stop,
            other => return Err(invalid(format!("there is no drain {other}"), "refuse or stop")),
        };
        let most = u32::try_from(MAX_ROLLOUT).unwrap_or(u32::MAX);
        if wanted.max_unavailable > most {
            let title = format!("{} nodes at once", wanted.max_unavailable);
            return Err(invalid(title, format!("1 to {most}, or 0 for one")));
        }
        if wanted.timeout_s > MAX_STEP_TIMEOUT_S {
            let title = format!("a node may take {} seconds", wanted.timeout_s);
            return Err(invalid(title, format!("1 to {MAX_STEP_TIMEOUT_S}, or 0 for the ordinary time")));
        }
        let or = |given: u32, ordinary: u32| if given == 0 { ordinary } else { given };
        Ok(Self {
            drain,
            max_unavailable: or(wanted.max_unavailable, 1),
            timeout_s: or(wanted.timeout_s, ROLLOUT_TIMEOUT_S),
        })
    }
}

pub(super) fn conflict(name: &str, error: Error) -> Result<Conflict, Error> {
    let Error::Refused { title, next, .. } = error else { return Err(error) };
    let title = if title.contains(name) { title } else { format!("{name}: {title}") };
    let (kind, name, text) = ("node".to_string(), name.to_string(), format!("{title}; {next}"));
    Ok(Conflict { kind, name, text, ..Conflict::default() })
}

/// Whether a node would start an image.
pub(super) fn check_boots(node: &NodeEntry, image: &ImageRow) -> Result<(), Error> {
    let name = &node.row.name;
    let Some(report) = &node.report else { return Ok(()) };
    if report.boot.floor > image.generation {
        return Err(Error::refused(
            409,
            "image-too-old",
            format!(
                "{name} keeps the floor {}, and {} has generation {}",
                report.boot.floor, image.name, image.generation
            ),
            "publish a later generation",
        ));
    }
    if report.boot.path == BootKind::Bios && image.bios_file.is_empty() {
        return Err(Error::refused(
            409,
            "image-uefi-only",
            format!("{name} boots by BIOS, and {} has no file for that", image.name),
            "add it: weft image publish FILE --bios FILE",
        ));
    }
    Ok(())
}

/// Batches in order: the first node alone, then so many at once.
pub(super) fn in_batches(nodes: &mut [RolloutNodeRow], at_once: u32) {
    for (place, node) in (0u32..).zip(nodes) {
        // At least one at once.
        node.batch = place.saturating_sub(1).checked_div(at_once.max(1)).unwrap_or(0);
        node.batch = if place == 0 { 0 } else { node.batch.saturating_add(1) };
    }
}

impl Core {
    /// Begins a rollout, or says only what it would do.
    pub(crate) async fn rollout_start(
        &self,
        actor: &str,
        wanted: &RolloutCreate,
        dry: bool,
    ) -> Result<Result<Rollout, Plan>, Error> {
        let manner = Manner::of(wanted)?;
        let _change = self.change.lock().await;
        let image = self.find_image(&wanted.image)?;
        self.allow_asked("activate", &Object::new(ObjectKind::Image, &image.digest, &image.name))?;
        self.check_offer(&image)?;
        self.check_files(&image)?;
        let (mut nodes, mut conflicts) = self.rollout_nodes(wanted)?;
        nodes.sort_by_key(|node| natural(&node.row.name));
        if !wanted.canary.is_empty() {
            let canary = self.find_node(&wanted.canary)?.row.id;
            let at = nodes.iter().position(|node| node.row.id == canary).ok_or_else(|| {
                invalid(format!("{} is not among the nodes", wanted.canary), "the canary is one of them")
            })?;
            let canary = nodes.remove(at);
            nodes.insert(0, canary);
        }
        for node in &nodes {
            self.allow_drain(node, &image.digest, manner.drain)?;
            let name = &node.row.name;
            let checks = [
                self.check_here(node),
                check_boots(node, &image),
                self.check_guests(node, &image.digest, manner.drain),
            ];
            for error in checks.into_iter().filter_map(Result::err) {
                conflicts.push(conflict(name, error)?);
            }
        }
        let rows = nodes.iter().map(|node| RolloutNodeRow {
            id: node.row.id.clone(),
            name: node.row.name.clone(),
            image: image.digest.clone(),
            before: runs(node),
            chosen: node.row.image.clone(),
            batch: 0,
        });
        let mut rows: Vec<RolloutNodeRow> = rows.collect();
        in_batches(&mut rows, manner.max_unavailable);
        let rollout = RolloutRow {
            image: image.digest.clone(),
            base: self.active_image().map(|(digest, _)| digest).unwrap_or_default(),
            activates: image.digest.clone(),
            back_of: 0,
            canary: rows.first().map(|node| node.id.clone()).unwrap_or_default(),
            max_unavailable: manner.max_unavailable,
            drain: manner.drain,
            nodes: rows,
        };
        self.check_free(&rollout, 0)?;
        if dry {
            return Ok(Err(self.rollout_plan(&rollout, manner.timeout_s, conflicts)));
        }
        if !conflicts.is_empty() {
            let why: Vec<&str> = conflicts.iter().map(|conflict| conflict.text.as_str()).collect();
            return Err(Error::refused(
                409,
                "rollout-refused",
                format!("nothing was begun, {} in the way: {}", why.len(), why.join(". ")),
                "choose without them, or clear what is in the way",
            ));
        }
        self.launch(actor, image.name, rollout, manner.timeout_s).await.map(Ok)
    }

    /// The nodes that are chosen, each once. By labels, or where all are, those are that are approved.
    fn rollout_nodes(&self, wanted: &RolloutCreate) -> Result<(Vec<NodeEntry>, Vec<Conflict>), Error> {
        let (names, mut gate) = self.chosen_nodes("reboot", &wanted.select)?;
        let (mut nodes, mut conflicts, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        for name in names {
            let node = match self.find_node(&name) {
                Ok(node) => node,
                Err(error) => {
                    conflicts.push(conflict(&name, error)?);
                    continue;
                }
            };
            let by_name = !wanted.select.names.is_empty();
            if !(node.row.approved || by_name) || !seen.insert(node.row.id.clone()) {
                continue;
            }
            self.pass_node(gate.as_mut(), &node)?;
            nodes.push(node);
        }
        if nodes.is_empty() && conflicts.is_empty() {
            return Err(Error::refused(404, "nothing-chosen", "there is no such node", "weft node list"));
        }
        if nodes.len() > MAX_ROLLOUT {
            return Err(Error::refused(
                422,
                "too-many",
                format!("{} nodes are chosen at once", nodes.len()),
                format!("at most {MAX_ROLLOUT}: choose them by labels, one part after the other"),
            ));
        }
        Ok((nodes, conflicts))
    }

    pub(super) fn check_here(&self, node: &NodeEntry) -> Result<(), Error> {
        let name = &node.row.name;
        if !node.trusted_with_records() {
            let title = format!("{name} is {}", node.state());
            return Err(Error::refused(409, "node-not-approved", title, "approve it first"));
        }
        if node.live.is_none() {
            let title = format!("{name} is not connected");
            return Err(Error::refused(
                409,
                "node-away",
                title,
                "leave it out, or see where it is: weft doctor",
            ));
        }
        Ok(())
    }

    /// Whether servers are in the way of a node's restart.
    pub(super) fn check_guests(&self, node: &NodeEntry, image: &str, drain: Drain) -> Result<(), Error> {
        let guests = self.guests_of(&[node]);
        match guests.first() {
            Some(vs) if drain == Drain::Refuse && runs(node) != image => Err(Error::refused(
                409,
                "node-in-use",
                format!("{} runs {}", node.row.name, vs.row.name),
                "to have servers stopped and started again: --drain stop",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether who asks may stop and start what is drained.
    fn allow_drain(&self, node: &NodeEntry, image: &str, drain: Drain) -> Result<(), Error> {
        if drain == Drain::Refuse || runs(node) == image {
            return Ok(());
        }
        self.allow_guests(&self.guests_of(&[node]))
    }

    pub(super) fn allow_guests(&self, guests: &[VsEntry]) -> Result<(), Error> {
        for vs in guests {
            let object = Object {
                labels: Some(&vs.row.labels),
                ..Object::new(ObjectKind::Vs, &vs.row.id, &vs.row.name)
            };
            self.allow_asked("stop", &object)?;
            self.allow_asked("start", &object)?;
        }
        Ok(())
    }

    /// Refused where another rollout has not ended, or another job is about the same nodes or what runs on them.
    pub(super) fn check_free(&self, rollout: &RolloutRow, own: u64) -> Result<(), Error> {
        let nodes: Vec<NodeEntry> =
            rollout.nodes.iter().filter_map(|node| self.find_node(&node.id).ok()).collect();
        let guests = self.guests_of(&nodes.iter().collect::<Vec<_>>());
        let guests = guests.into_iter().map(|vs| JobObject {
            kind: "vs".to_string(),
            id: vs.row.id,
            name: vs.row.name,
        });
        let objects = rollout.nodes.iter().map(super::object).chain(guests).collect();
        let world = self.world();
        let others = world.jobs.iter().filter(|(number, _)| **number != own);
        let others: std::collections::BTreeMap<_, _> =
            others.map(|(number, job)| (*number, job.clone())).collect();
        if let Some(job) = others.values().find(|job| job.row.rollout.is_some()) {
            let (number, name) = (job.row.number, &job.row.name);
            return Err(Error::refused(
                409,
                "rollout-in-the-way",
                format!("rollout {number} ({name}) has not ended"),
                format!(
                    "wait for it: weft image rollout watch {number}; or end it: weft image rollout abort {number}"
                ),
            ));
        }
        drop(world);
        let others = World { jobs: others, ..World::default() };
        match held(&others, &[StepRow { objects, ..StepRow::default() }]) {
            None => Ok(()),
            Some((job, object)) => Err(Error::refused(
                409,
                "job-in-the-way",
                format!("{} is in the hands of job {} ({})", object.name, job.number, job.name),
                format!("wait for it: weft job watch {0}; or cancel it: weft job cancel {0}", job.number),
            )),
        }
    }

    /// Writes a rollout that was found good. The caller holds `change`.
    pub(super) async fn launch(
        &self,
        actor: &str,
        name: String,
        rollout: RolloutRow,
        timeout_s: u32,
    ) -> Result<Rollout, Error> {
        if self.world().jobs.len() >= MAX_OPEN {
            return Err(Error::refused(
                409,
                "too-many-jobs",
                format!("{MAX_OPEN} jobs have not ended"),
                "wait for one, or decide on those that are stuck: weft job list",
            ));
        }
        let text = format!("started, {} nodes", rollout.nodes.len());
        let row = JobRow {
            number: self.jobs.next(),
            name,
            actor: actor.to_string(),
            at: now(),
            steps: steps(&rollout, timeout_s),
            rollout: Some(rollout),
            ..JobRow::default()
        };
        let event = told(&row, actor, "job.started", "info", &text);
        self.write_job(Move { row: row.clone(), told: event }).await?;
        self.jobs.wake.notify_one();
        self.show_rollout(&row)
    }

    /// What a rollout would do, node by node.
    pub(super) fn rollout_plan(
        &self,
        rollout: &RolloutRow,
        timeout_s: u32,
        conflicts: Vec<Conflict>,
    ) -> Plan {
        let mut effects = Vec::new();
        for row in &rollout.nodes {
            let Ok(node) = self.find_node(&row.id) else { continue };
            let words = image_words(&self.world(), &row.image);
            let name = &row.name;
            let place = match row.batch {
                0 => format!("first, alone: {name}"),
                batch => format!("turn {}: {name}", batch.saturating_add(1)),
            };
            if runs(&node) == row.image {
                effects.push(format!("{place} runs {words} already, and is not restarted"));
                continue;
            }
            let guests = self.guests_of(&[&node]);
            let names: Vec<&str> = guests.iter().map(|vs| vs.row.name.as_str()).collect();
            let drained = if rollout.drain == Drain::Stop && !names.is_empty() {
                format!("; for that {} is stopped, and started again", names.join(", "))
            } else {
                String::new()
            };
            effects.push(format!("{place} restarts into {words}, within {timeout_s} s{drained}"));
        }
        if !rollout.activates.is_empty() {
            let words = image_words(&self.world(), &rollout.activates);
            effects.push(if rollout.back_of == 0 {
                format!("{words} becomes the active image, where all approved nodes run it")
            } else {
                format!("{words} is the active image again, whatever other nodes run")
            });
        }
        Plan {
            name: PLAN.to_string(),
            // A way back begins all the same.
            state: if conflicts.is_empty() || rollout.back_of > 0 { "planned" } else { "conflict" }
                .to_string(),
            undo: "compensable".to_string(),
            reason: "nodes restart once more; to go back: weft image rollout back".to_string(),
            effects,
            conflicts,
            ..Plan::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_node_goes_alone_and_the_others_so_many_at_once() {
        let batches = |count: usize, at_once| -> Vec<u32> {
            let mut nodes = vec![RolloutNodeRow::default(); count];
            in_batches(&mut nodes, at_once);
            nodes.iter().map(|node| node.batch).collect()
        };
        assert_eq!(batches(4, 1), [0, 1, 2, 3]);
        assert_eq!(batches(6, 2), [0, 1, 1, 2, 2, 3]);
        assert_eq!(batches(3, 9), [0, 1, 1]);
        assert_eq!(batches(1, 0), [0]);
    }

    #[test]
    fn a_manner_has_its_ordinary_values_and_its_limits() {
        let wanted = |drain: &str, at_once, timeout_s| RolloutCreate {
            drain: drain.into(),
            max_unavailable: at_once,
            timeout_s,
            ..RolloutCreate::default()
        };
        let plain = Manner::of(&wanted("", 0, 0)).expect("a manner");
        assert_eq!((plain.drain, plain.max_unavailable, plain.timeout_s), (Drain::Refuse, 1, 600));
        assert_eq!(Manner::of(&wanted("stop", 3, 5)).map(|manner| manner.drain).ok(), Some(Drain::Stop));
        for wrong in [wanted("move", 0, 0), wanted("", 129, 0), wanted("", 0, 3601)] {
            assert!(Manner::of(&wrong).is_err(), "{wrong:?}");
        }
    }
}
