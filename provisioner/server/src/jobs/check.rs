//! A new job as it was asked for: whether it is one, and its steps as they are kept.

use std::collections::BTreeSet;

use weft_api::{
    JobCreate, JobStepCreate, MAX_GROUP, MAX_JOB_TEXT, MAX_STEP_NAMES, MAX_STEP_TIMEOUT_S, MAX_STEPS,
    STEP_TIMEOUT_S,
};
use weft_store::{JobObject, JobRow, StepRow};

use crate::error::Error;
use crate::servers::invalid;
use crate::transactions::Kind;
use crate::world::World;

/// The kinds that a step can be.
const KINDS: [Kind; 11] = [
    Kind::VsCreate,
    Kind::VsStart,
    Kind::VsStop,
    Kind::VsReset,
    Kind::VsDelete,
    Kind::VsLabel,
    Kind::VsMove,
    Kind::NodeApprove,
    Kind::NodeForget,
    Kind::PartitionCreate,
    Kind::PartitionDelete,
];

/// The kind of a step.
pub(super) fn kind(action: &str) -> Result<Kind, Error> {
    KINDS.into_iter().find(|kind| kind.name() == action).ok_or_else(|| {
        let known: Vec<&str> = KINDS.into_iter().map(Kind::name).collect();
        invalid(format!("there is no action {action}"), known.join(", "))
    })
}

/// Whether the step is about nodes; else it is about virtual servers.
pub(super) const fn of_nodes(kind: Kind) -> bool {
    matches!(kind, Kind::NodeApprove | Kind::NodeForget)
}

/// Whether the step is about a partition.
pub(super) const fn of_partitions(kind: Kind) -> bool {
    matches!(kind, Kind::PartitionCreate | Kind::PartitionDelete)
}

/// A text that a person gives with a job.
pub(super) fn check_text(text: &str, what: &str) -> Result<(), Error> {
    if text.len() > MAX_JOB_TEXT || text.chars().any(char::is_control) {
        let title = format!("the {what} is too long or has control characters");
        return Err(invalid(title, format!("at most {MAX_JOB_TEXT} bytes")));
    }
    Ok(())
}

/// A reason, which must be given.
pub(super) fn check_reason(text: &str, what: &str) -> Result<(), Error> {
    if text.trim().is_empty() {
        return Err(invalid(format!("there is no {what}"), "say why: who comes later wants to know"));
    }
    check_text(text, what)
}

fn check_time(seconds: u32) -> Result<(), Error> {
    if seconds > MAX_STEP_TIMEOUT_S {
        let next = format!("1 to {MAX_STEP_TIMEOUT_S}, or 0 for the ordinary time");
        return Err(invalid(format!("a step may take {seconds} seconds"), next));
    }
    Ok(())
}

/// Whether the fields of a step are those of its kind.
fn check_step(step: &JobStepCreate, kind: Kind) -> Result<(), Error> {
    check_time(step.timeout_s)?;
    let action = &step.action;
    for (has, belongs, field) in [
        (step.create.is_some(), kind == Kind::VsCreate, "create"),
        (step.labels.is_some(), kind == Kind::VsLabel, "labels"),
        (!step.fingerprints.is_empty(), kind == Kind::NodeApprove, "fingerprints"),
        (step.partition.is_some(), kind == Kind::PartitionCreate, "partition"),
        (!step.node.is_empty(), kind == Kind::VsMove, "node"),
        (!step.names.is_empty(), !matches!(kind, Kind::VsCreate | Kind::PartitionCreate), "names"),
    ] {
        match (has, belongs) {
            (true, false) => {
                return Err(invalid(format!("{action} takes no {field}"), format!("leave {field} out")));
            }
            (false, true) => {
                return Err(invalid(format!("{action} needs {field}"), format!("give {field}")));
            }
            (true, true) | (false, false) => {}
        }
    }
    let most = MAX_STEP_NAMES;
    if step.names.len() > most || step.fingerprints.len() > MAX_STEP_NAMES {
        let title = format!("{action} has {} names", step.names.len());
        return Err(invalid(title, format!("at most {most} in a step; a job has several steps")));
    }
    Ok(())
}

/// A refusal that says which step it is about.
pub(super) fn in_step(index: usize, error: Error) -> Error {
    match error {
        Error::Refused { code, status, title, next } => {
            let title = format!("step {}: {title}", index.saturating_add(1));
            Error::Refused { code, status, title, next }
        }
        other => other,
    }
}

/// The steps of a new job, none of them begun. Objects that an earlier step makes have no identity yet.
pub(super) fn steps(world: &World, wanted: &JobCreate) -> Result<Vec<StepRow>, Error> {
    check_text(&wanted.name, "name")?;
    check_time(wanted.timeout_s)?;
    if wanted.steps.is_empty() || wanted.steps.len() > MAX_STEPS {
        return Err(invalid(format!("a job of {} steps", wanted.steps.len()), format!("1 to {MAX_STEPS}")));
    }
    let objects: usize = wanted.steps.iter().map(|step| step.names.len()).sum();
    if objects > MAX_GROUP {
        return Err(invalid(format!("a job about {objects} objects"), format!("at most {MAX_GROUP}")));
    }
    let mut made = BTreeSet::new();
    let mut steps = Vec::with_capacity(wanted.steps.len());
    for (index, step) in wanted.steps.iter().enumerate() {
        let row = kind(&step.action)
            .and_then(|kind| step_row(world, wanted, step, kind, &mut made))
            .map_err(|error| in_step(index, error))?;
        steps.push(row);
    }
    Ok(steps)
}

fn step_row(
    world: &World,
    wanted: &JobCreate,
    step: &JobStepCreate,
    kind: Kind,
    made: &mut BTreeSet<String>,
) -> Result<StepRow, Error> {
    check_step(step, kind)?;
    let noun = match kind {
        kind if of_nodes(kind) => "node",
        kind if of_partitions(kind) => "partition",
        _ => "vs",
    };
    let object = |id: &str, name: &str| JobObject {
        kind: noun.to_string(),
        id: id.to_string(),
        name: name.to_string(),
    };
    let mut objects = Vec::new();
    if let Some(create) = &step.create {
        made.insert(create.name.clone());
        objects.push(object("", &create.name));
    }
    if let Some(create) = &step.partition {
        made.insert(partition_key(&create.name));
        objects.push(object("", &create.name));
        // Its members are in the hands of the job too.
        for name in &create.nodes {
            let node = world.node(name).map_err(|lookup| lookup.refusal("node", name))?;
            let (id, name) = (node.row.id.clone(), node.row.name.clone());
            objects.push(JobObject { kind: "node".to_string(), id, name });
        }
    }
    for name in &step.names {
        objects.push(if of_partitions(kind) {
            match world.partition(name) {
                Ok(entry) => object(&entry.row.id, &entry.row.name),
                Err(_) if made.contains(&partition_key(name)) => object("", name),
                Err(_) => {
                    let list = "weft partition list";
                    return Err(Error::not_found("partition-not-found", "partition", name, list));
                }
            }
        } else if made.contains(name) && !of_nodes(kind) {
            object("", name)
        } else if of_nodes(kind) {
            let node = world.node(name).map_err(|lookup| lookup.refusal("node", name))?;
            object(&node.row.id, &node.row.name)
        } else {
            let vs = world.server(name).map_err(|lookup| lookup.refusal("virtual server", name))?;
            object(&vs.row.id, &vs.row.name)
        });
    }
    let seconds = [step.timeout_s, wanted.timeout_s, STEP_TIMEOUT_S].into_iter().find(|s| *s > 0);
    Ok(StepRow {
        spec: serde_json::to_value(step).unwrap_or_default(),
        verb: kind.name().to_string(),
        objects,
        timeout_s: seconds.unwrap_or(STEP_TIMEOUT_S),
        ..StepRow::default()
    })
}

/// Partitions and servers may be called the same.
fn partition_key(name: &str) -> String {
    format!("partition {name}")
}

/// The job in whose hands an object of these steps is, and the object.
pub(super) fn held(world: &World, steps: &[StepRow]) -> Option<(JobRow, JobObject)> {
    let wanted: Vec<&JobObject> = steps.iter().flat_map(|step| &step.objects).collect();
    let same = |a: &JobObject, b: &JobObject| {
        a.kind == b.kind && (a.name == b.name || (!a.id.is_empty() && a.id == b.id))
    };
    world.jobs.values().find_map(|job| {
        let mut theirs = job.row.steps.iter().flat_map(|step| &step.objects);
        let found = theirs.find(|theirs| wanted.iter().any(|ours| same(ours, theirs)))?;
        Some((job.row.clone(), found.clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::JobEntry;
    use crate::world::VsEntry;
    use weft_api::{LabelChange, VsCreate};
    use weft_store::VsRow;

    fn world() -> World {
        let mut world = World::default();
        let row = VsRow { id: "0011".into(), name: "web".into(), ..VsRow::default() };
        world.servers.insert("0011".into(), VsEntry::from_row(row));
        world
    }

    fn step(action: &str, names: &[&str]) -> JobStepCreate {
        let names = names.iter().map(ToString::to_string).collect();
        JobStepCreate { action: action.into(), names, ..JobStepCreate::default() }
    }

    fn create(name: &str) -> JobStepCreate {
        let create = Some(VsCreate { name: name.into(), ..VsCreate::default() });
        JobStepCreate { create, ..step("vs create", &[]) }
    }

    fn job(steps: Vec<JobStepCreate>) -> JobCreate {
        JobCreate { steps, ..JobCreate::default() }
    }

    #[test]
    fn steps_know_what_they_are_about_and_how_long_they_may_take() {
        let mut wanted =
            job(vec![step("vs stop", &["web"]), create("new"), step("vs start", &["new", "0011"])]);
        wanted.steps[0].timeout_s = 7;
        let made = steps(&world(), &wanted).expect("steps");
        assert_eq!((made[0].objects[0].id.as_str(), made[0].timeout_s), ("0011", 7));
        assert_eq!((made[2].objects[0].id.as_str(), made[2].timeout_s), ("", STEP_TIMEOUT_S));
        assert_eq!(made[2].objects[1].name, "web");
        wanted.timeout_s = 30;
        assert_eq!(steps(&world(), &wanted).expect("steps")[2].timeout_s, 30);
    }

    #[test]
    fn what_is_no_job_is_refused_with_the_step_and_what_to_do() {
        let labels = || Some(LabelChange::default());
        for (wrong, says) in [
            (job(Vec::new()), "0 steps"),
            (job(vec![step("vs stop", &["web"]); MAX_STEPS + 1]), "65 steps"),
            (job(vec![step("vs teleport", &["web"])]), "step 1: there is no action vs teleport"),
            (job(vec![step("vs stop", &["web"]), step("vs stop", &[])]), "step 2: vs stop needs names"),
            (job(vec![step("vs stop", &["gone"])]), "step 1: there is no virtual server gone"),
            // It is made by a later step only.
            (job(vec![step("vs start", &["new"]), create("new")]), "there is no virtual server new"),
            (job(vec![step("node forget", &["web"])]), "there is no node web"),
            (job(vec![step("vs create", &["web"])]), "vs create needs create"),
            (job(vec![step("vs label", &["web"])]), "vs label needs labels"),
            (job(vec![JobStepCreate { labels: labels(), ..step("vs stop", &["web"]) }]), "takes no labels"),
            (job(vec![JobStepCreate { timeout_s: 3601, ..step("vs stop", &["web"]) }]), "3601 seconds"),
            (job(vec![step("vs stop", &["web"; MAX_STEP_NAMES + 1])]), "101 names"),
            (job(vec![JobStepCreate { node: "n".into(), ..step("vs stop", &["web"]) }]), "takes no node"),
            (job(vec![step("vs move", &["web"])]), "vs move needs node"),
            (job(vec![step("partition create", &[])]), "partition create needs partition"),
            (job(vec![step("partition delete", &["p1"])]), "there is no partition p1"),
            (JobCreate { name: "x".repeat(257), ..job(vec![step("vs stop", &["web"])]) }, "name is too long"),
        ] {
            let problem = steps(&world(), &wrong).expect_err(says).problem();
            assert!(problem.title.contains(says) && !problem.next.is_empty(), "{problem:?}");
        }
    }

    #[test]
    fn an_object_is_in_the_hands_of_one_job() {
        let mut world = world();
        let of =
            |world: &World, action, name| steps(world, &job(vec![step(action, &[name])])).expect("steps");
        assert!(held(&world, &of(&world, "vs stop", "web")).is_none());
        let row = JobRow { number: 4, steps: of(&world, "vs stop", "web"), ..JobRow::default() };
        world.jobs.insert(4, JobEntry::new(row));
        let (by, object) = held(&world, &of(&world, "vs delete", "0011")).expect("held");
        assert_eq!((by.number, object.name.as_str()), (4, "web"));
        assert!(held(&world, &steps(&world, &job(vec![create("other")])).expect("steps")).is_none());
        assert!(held(&world, &steps(&world, &job(vec![create("web")])).expect("steps")).is_some());
    }
}
