//! Rollouts: an image that nodes get one after the other, as a job that stops where it fails.
//!
//! ```text
//!            the canary, then batch by batch: drain ─▶ choose the image, restart ─▶ start again      the last: activate
//!  running ─────────────────────────────────────────────────────────────────────────────────────────▶ done
//!   │ ▲  │ a node fails, or comes too late
//!   │ │  └────────────────▶ stopped ──┬─ resume: its batch anew ─▶ running
//!   ▼ │ resume                        ├─ abort ─▶ aborted
//!  paused (what is under way ends)    └─ back: aborted, and a rollout of the images before
//! ```
//! Each batch is three steps of a job (`vs stop`, `node image`, `vs start`; without a drain the middle one alone), each
//! written with its change. What a node is to boot is chosen for it in its row, so that a restart by anybody, at any time,
//! leads to the same image. A restart is asked for until the node's boot is another one ([`Standing`]); nothing of it is
//! remembered but the boot that is to end.
//!
//! Where a rollout stops, servers that were stopped for it are to run again at once, wherever their node comes back.

mod back;
mod show;
mod start;
mod steps;
mod verbs;

use serde::{Deserialize, Serialize};
use weft_store::{Drain, JobObject, JobRow, RolloutNodeRow, RolloutRow, StepRow, StepState, WaitRow};

use super::waits::{Seen, behind};
use crate::error::Error;
use crate::util::hex;
use crate::world::{NodeEntry, World};

/// What a step of a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    /// Servers on the nodes of a batch are stopped.
    Drain,
    /// Its nodes restart into their image.
    Restart,
    /// Its servers start again.
    Fill,
    /// The image becomes the active one.
    Activate,
}

/// As it stands in the step's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spec {
    part: Part,
    /// Of which nodes; of the last step, behind all.
    batch: u32,
}

fn spec(step: &StepRow) -> Result<Spec, Error> {
    serde_json::from_value(step.spec.clone()).map_err(|_| {
        Error::refused(
            409,
            "step-unknown",
            format!("this version of the appliance does not know such a step: {}", step.verb),
            "abort the rollout, and do it with this version",
        )
    })
}

/// The step of a part of a batch, by its place.
fn place(row: &JobRow, part: Part, batch: u32) -> Option<usize> {
    row.steps.iter().position(|step| spec(step).is_ok_and(|spec| spec == Spec { part, batch }))
}

/// Of a rollout that goes no further: starts that it owes to servers that it stopped. One that was refused was not made.
fn owed(row: &JobRow) -> impl Iterator<Item = &StepRow> {
    row.steps.iter().filter(|step| owes(step))
}

fn owes(step: &StepRow) -> bool {
    let open = match step.state {
        StepState::Waiting => true,
        StepState::Failed => step.transaction == 0,
        StepState::Running
        | StepState::Done
        | StepState::Undoing
        | StepState::Undone
        | StepState::Skipped
        | StepState::Stuck => false,
    };
    open && spec(step).is_ok_and(|spec| spec.part == Part::Fill)
}

/// The steps of a rollout, none of them begun.
fn steps(rollout: &RolloutRow, timeout_s: u32) -> Vec<StepRow> {
    let step = |part, verb: &str, batch, objects, opens| StepRow {
        spec: serde_json::to_value(Spec { part, batch }).unwrap_or_default(),
        verb: verb.to_string(),
        objects,
        timeout_s,
        opens,
        ..StepRow::default()
    };
    let mut steps = Vec::new();
    let last = rollout.nodes.iter().map(|node| node.batch).max().unwrap_or(0);
    for batch in 0..=last {
        let nodes = rollout.nodes.iter().filter(|node| node.batch == batch).map(object).collect();
        let drains = rollout.drain == Drain::Stop;
        if drains {
            steps.push(step(Part::Drain, "vs stop", batch, Vec::new(), true));
        }
        steps.push(step(Part::Restart, "node image", batch, nodes, !drains));
        if drains {
            steps.push(step(Part::Fill, "vs start", batch, Vec::new(), false));
        }
    }
    steps.push(step(Part::Activate, "image activate", last.saturating_add(1), Vec::new(), true));
    steps
}

fn object(node: &RolloutNodeRow) -> JobObject {
    JobObject { kind: "node".to_string(), id: node.id.clone(), name: node.name.clone() }
}

/// The node, also where its machine came back with another key: it has the name of the one before.
fn node_of<'a>(world: &'a World, id: &str, name: &str) -> Option<&'a NodeEntry> {
    world.nodes.get(id).or_else(|| world.nodes.values().find(|node| node.row.name == name))
}

/// Digest of the image that a node runs, as it said at its last start.
fn runs(node: &NodeEntry) -> String {
    node.report.as_ref().map(|report| hex(&report.boot.image_digest.0)).unwrap_or_default()
}

/// How a node stands to the restart that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// It is not here.
    Away,
    /// It is to restart; the boot that is to end.
    Due(String),
    /// It restarted, into another image.
    Other(String),
    /// It runs the image.
    There,
}

fn standing(node: &NodeEntry, wait: &WaitRow) -> Standing {
    let (Some(_), Some(report)) = (&node.live, &node.report) else { return Standing::Away };
    let (image, boot) = (runs(node), hex(&report.boot_nonce));
    if image == wait.image {
        Standing::There
    } else if wait.before.is_empty() || wait.before == boot {
        Standing::Due(boot)
    } else {
        Standing::Other(image)
    }
}

/// Whether a node has restarted into its image, and has taken its configuration.
pub(super) fn look_boots(world: &World, wait: &WaitRow) -> Seen {
    let name = &wait.object.name;
    let Some(node) = node_of(world, &wait.object.id, name) else {
        return Seen::Never(format!("{name} was forgotten meanwhile"));
    };
    match standing(node, wait) {
        Standing::Away => Seen::NotYet(format!("{name} is not connected")),
        Standing::Due(_) => Seen::NotYet(format!("{name} has not restarted yet")),
        Standing::Other(image) => {
            let words = crate::boot_files::image_words(world, &image);
            Seen::Never(format!("{name} came back with {words}"))
        }
        Standing::There if !node.trusted_with_records() => {
            Seen::NotYet(format!("{name} is {}: weft node approve {name}", node.state()))
        }
        Standing::There => {
            let here = WaitRow { nodes: vec![node.row.id.clone()], ..wait.clone() };
            behind(world, &here).map_or(Seen::Met, Seen::NotYet)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Live;
    use weft_store::{NodeRow, WaitFor};

    fn rollout(drain: Drain, batches: &[u32]) -> RolloutRow {
        let node = |(n, batch): (usize, &u32)| RolloutNodeRow {
            id: n.to_string(),
            batch: *batch,
            ..RolloutNodeRow::default()
        };
        let nodes = batches.iter().enumerate().map(node).collect();
        RolloutRow { drain, nodes, ..RolloutRow::default() }
    }

    #[test]
    fn each_batch_is_drained_restarted_and_filled_and_the_activation_is_the_last_step() {
        let made = steps(&rollout(Drain::Stop, &[0, 1, 1]), 9);
        let verbs: Vec<&str> = made.iter().map(|step| step.verb.as_str()).collect();
        let batch = ["vs stop", "node image", "vs start"];
        assert_eq!(verbs, [&batch[..], &batch, &["image activate"]].concat());
        assert_eq!(made[4].objects.len(), 2);
        let opens: Vec<bool> = made.iter().map(|step| step.opens).collect();
        assert_eq!(opens, [true, false, false, true, false, false, true]);
        let row = JobRow { steps: made, ..JobRow::default() };
        assert_eq!(place(&row, Part::Fill, 1), Some(5));
        assert_eq!(place(&row, Part::Activate, 2), Some(6));
        let plain = steps(&rollout(Drain::Refuse, &[0, 1]), 9);
        assert!(plain.iter().all(|step| step.opens) && plain.len() == 3);
    }

    #[test]
    fn a_start_is_owed_until_it_is_made() {
        let mut steps = steps(&rollout(Drain::Stop, &[0, 1]), 9);
        let web = JobObject { name: "web".into(), ..JobObject::default() };
        let count = |steps: &[StepRow]| {
            let row = JobRow { steps: steps.to_vec(), ..JobRow::default() };
            owed(&row).map(|step| step.objects.len()).sum::<usize>()
        };
        steps[1].objects = vec![web.clone()];
        assert_eq!(count(&steps), 0, "no restart is one");
        steps[2].objects = vec![web];
        for (state, transaction, owes) in [
            (StepState::Waiting, 0, 1),
            (StepState::Running, 7, 0),
            (StepState::Failed, 7, 0),
            (StepState::Failed, 0, 1),
            (StepState::Done, 7, 0),
        ] {
            steps[2].state = state;
            steps[2].transaction = transaction;
            assert_eq!(count(&steps), owes, "{state:?} {transaction}");
        }
    }

    #[test]
    fn a_node_is_to_restart_until_its_boot_is_another_and_then_its_image_counts() {
        let mut node = NodeEntry::from_row(NodeRow { name: "n".into(), ..NodeRow::default() });
        let mut wait = WaitRow {
            wait: WaitFor::Boots,
            object: JobObject::default(),
            nodes: Vec::new(),
            spans: false,
            image: "ab".repeat(32),
            before: String::new(),
        };
        assert_eq!(standing(&node, &wait), Standing::Away);
        let sim = crate::world::Report {
            boot_nonce: [1; 16],
            boot: boot([0xcd; 32]),
            inventory: Default::default(),
            stages: Vec::new(),
        };
        node.report = Some(sim);
        assert_eq!(standing(&node, &wait), Standing::Away, "what it said before it left");
        let asks = tokio::sync::mpsc::channel(1).0;
        node.live = Some(Live { session: 1, asks, heard: std::time::Instant::now() });
        let first = "01".repeat(16);
        assert_eq!(standing(&node, &wait), Standing::Due(first.clone()));
        wait.before.clone_from(&first);
        assert_eq!(standing(&node, &wait), Standing::Due(first));
        node.report.as_mut().expect("a report").boot_nonce = [2; 16];
        assert_eq!(standing(&node, &wait), Standing::Other("cd".repeat(32)));
        node.report.as_mut().expect("a report").boot = boot([0xab; 32]);
        assert_eq!(standing(&node, &wait), Standing::There);
    }

    fn boot(image: [u8; 32]) -> weft_wire::agent::BootReport {
        weft_wire::agent::BootReport {
            path: weft_wire::agent::BootKind::Uefi,
            secure_boot: true,
            manifest_digest: weft_types::BlobDigest([0; 32]),
            image_digest: weft_types::BlobDigest(image),
            generation: 7,
            floor: 5,
            delegation_version: 1,
            stages: Vec::new(),
        }
    }
}
