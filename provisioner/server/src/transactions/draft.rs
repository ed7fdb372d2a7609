//! A change that was decided and is not made yet: its objects before and after. A dry run shows it, [`super::carry_out`]
//! makes it, so that both speak of the same.

use weft_api::{ObjectChange, Plan};
use weft_store::{ImageRow, ImageState, JobRow, NewEvent, NodeRow, PartitionRow, VsRow};

use super::diff::{action, document_of, fields, name};
use super::kept::Kept;
use super::kinds::Kind;
use crate::partitions::name_of;
use crate::pools::Sources;
use crate::world::World;

/// One object before and after.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Vs {
        before: Option<VsRow>,
        after: Option<VsRow>,
    },
    Node {
        /// What the appliance holds in memory, also of a node that the store does not have.
        held: NodeRow,
        before: Option<NodeRow>,
        after: Option<NodeRow>,
        /// It is dropped from memory too, and its session ends.
        forget: bool,
    },
    Partition {
        before: Option<PartitionRow>,
        after: Option<PartitionRow>,
    },
    Image {
        before: ImageRow,
        after: ImageRow,
    },
    /// What the appliance alone keeps.
    Kept(Kept),
}

/// A transaction that was decided.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) kind: Kind,
    /// The transaction that it takes back, 0 where none.
    pub(crate) undoes: u64,
    pub(crate) changes: Vec<Change>,
    pub(crate) told: Vec<NewEvent>,
    /// Where new servers draw their identifiers from.
    pub(crate) sources: Sources,
    /// The job that makes it, as it is to be once it is made.
    pub(crate) job: Option<Box<JobRow>>,
}

impl Draft {
    pub(crate) fn new(kind: Kind, changes: Vec<Change>, told: NewEvent) -> Self {
        Self { kind, undoes: 0, changes, told: vec![told], sources: Sources::default(), job: None }
    }

    /// Of objects that were decided on one by one, each with its own event.
    pub(crate) fn of(kind: Kind, decided: impl IntoIterator<Item = (Change, NewEvent)>) -> Self {
        let (changes, told) = decided.into_iter().unzip();
        Self { kind, undoes: 0, changes, told, sources: Sources::default(), job: None }
    }

    /// Whether identifiers are drawn when it is made; an undo gives objects their own.
    pub(crate) fn draws(&self) -> bool {
        self.undoes == 0
            && matches!(
                self.kind,
                Kind::VsCreate
                    | Kind::VsCopy
                    | Kind::PartitionCreate
                    | Kind::PoolCreate
                    | Kind::TemplateCreate
                    | Kind::DatacenterCreate
                    | Kind::MainframeCreate
                    | Kind::FrameCreate
                    | Kind::SwitchCreate
                    | Kind::PortCreate
                    | Kind::GatewayCreate
                    | Kind::VnicCreate
                    | Kind::VhbaCreate
                    | Kind::Apply
            )
    }

    /// Whether nodes hear of one of its changes: of several kinds at once, those that its own kind would tell.
    pub(super) fn tells(&self, change: &Change) -> bool {
        let quiet = || match change {
            Change::Vs { before: Some(before), after: Some(after) } => {
                VsRow { labels: before.labels.clone(), ..after.clone() } == *before
            }
            Change::Node { before, after, .. } => before.is_some() && after.is_some(),
            Change::Vs { .. } | Change::Partition { .. } | Change::Image { .. } => false,
            Change::Kept(_) => true,
        };
        // Which image a node boots is the appliance's own affair.
        let chosen = self.kind == Kind::ImageActivate && matches!(change, Change::Node { .. });
        self.kind.told_to_nodes() && !chosen && !(self.kind == Kind::Apply && quiet())
    }

    /// How many MACs and WWNNs are drawn when it is made.
    pub(super) fn drawing(&self) -> [u64; 2] {
        let new = |change: &Change| match change {
            Change::Vs { before: None, after: Some(_) } => [1, 1],
            Change::Kept(Kept::Net { before: None, after: Some(row) }) => {
                [u64::from(!row.mac.is_empty()), u64::from(!row.wwnn.is_empty())]
            }
            _ => [0, 0],
        };
        if !self.draws() {
            return [0, 0];
        }
        self.changes.iter().map(new).fold([0, 0], |[macs, wwnns], [mac, wwnn]| [macs + mac, wwnns + wwnn])
    }

    /// What it would do.
    pub(crate) fn plan(&self, world: &World) -> Plan {
        let undo = self.kind.undo();
        let effects = |change: &Change| match change {
            Change::Node { before, after, .. }
                if matches!(self.kind, Kind::NodeImage | Kind::ImageActivate) =>
            {
                crate::boot_files::effects(world, before.as_ref(), after.as_ref()).into_iter().collect()
            }
            Change::Node { before, after, .. } if matches!(self.kind, Kind::NodeMove | Kind::Apply) => {
                crate::moves::effects(world, before.as_ref(), after.as_ref()).into_iter().collect()
            }
            Change::Kept(Kept::Net { before, after }) => {
                crate::networks::effects(world, before.as_deref(), after.as_deref())
            }
            change if self.tells(change) => change.effects(world),
            _ => Vec::new(),
        };
        Plan {
            name: self.kind.name().to_string(),
            state: if self.changes.is_empty() { "nothing" } else { "planned" }.to_string(),
            transaction: 0,
            undoes: self.undoes,
            lost: String::new(),
            undo: undo.word().to_string(),
            reason: undo.reason().to_string(),
            objects: self.changes.iter().filter_map(|change| self.object(change)).collect(),
            effects: self.changes.iter().flat_map(effects).collect(),
            conflicts: Vec::new(),
        }
    }

    /// An object with the fields that change. `None` where history will have nothing of it.
    fn object(&self, change: &Change) -> Option<ObjectChange> {
        let document = |row: Option<&VsRow>| row.map(document_of);
        let (kind, id, before, after) = match change {
            Change::Vs { before, after } => {
                let row = after.as_ref().or(before.as_ref())?;
                ("vs", &row.id, document(before.as_ref()), document(after.as_ref()))
            }
            Change::Node { held, before, after, .. } => {
                ("node", &held.id, before.as_ref().map(document_of), after.as_ref().map(document_of))
            }
            Change::Partition { before, after } => {
                let row = after.as_ref().or(before.as_ref())?;
                ("partition", &row.id, before.as_ref().map(document_of), after.as_ref().map(document_of))
            }
            Change::Image { before, after } => {
                ("image", &after.digest, Some(document_of(before)), Some(document_of(after)))
            }
            Change::Kept(kept) => kept.shown()?,
        };
        if before.is_none() && after.is_none() {
            return None;
        }
        let drawn = self.draws() && before.is_none();
        let mut fields = fields(kind, before.as_ref(), after.as_ref());
        fields.retain(|field| {
            field.changed && !(drawn && matches!(field.field.as_str(), "id" | "macs" | "mac" | "wwnn"))
        });
        Some(ObjectChange {
            name: name(before.as_ref(), after.as_ref(), id),
            state: action(before.is_some(), after.is_some()).to_string(),
            kind: kind.to_string(),
            id: if drawn { String::new() } else { id.clone() },
            fields,
        })
    }
}

impl Change {
    /// What the hardware does, in words.
    fn effects(&self, world: &World) -> Vec<String> {
        match self {
            Self::Vs { before, after } => vs_effects(world, before.as_ref(), after.as_ref()),
            Self::Node { held, before, after, forget } => {
                let name = &held.name;
                vec![match (before, after) {
                    (_, Some(row)) if row.conflict.is_empty() => {
                        format!(
                            "{name} is trusted with records: it is sent its configuration{}",
                            when(world, &held.id)
                        )
                    }
                    (_, Some(_)) => format!("{name} is held back: it is sent no configuration"),
                    (_, None) if *forget => {
                        format!("the session of {name} ends; it comes back as an unknown node")
                    }
                    (Some(_), None) | (None, None) => {
                        format!("{name} is held back, and waits until its fingerprint is compared")
                    }
                }]
            }
            Self::Partition { before, after } => {
                let Some(row) = after.as_ref().or(before.as_ref()) else { return Vec::new() };
                let members: Vec<String> = row.members.iter().map(|id| name_of(world, id)).collect();
                vec![match after {
                    Some(_) => format!("{} agree with one another as {}", members.join(", "), row.name),
                    None => format!("{} dissolve {}", members.join(", "), row.name),
                }]
            }
            Self::Image { before, after } => image_effects(before, after),
            Self::Kept(kept) => kept.effects(),
        }
    }
}

fn image_effects(before: &ImageRow, after: &ImageRow) -> Vec<String> {
    let name = format!("{} (generation {})", after.name, after.generation);
    let mut effects = Vec::new();
    match (before.state, after.state) {
        (ImageState::Revoked | ImageState::Published, ImageState::Active) => {
            effects.push(format!("nodes that boot from now on start {name}"));
        }
        (_, ImageState::Revoked) if before.state != ImageState::Revoked => {
            effects.push(format!(
                "nodes that run {name} are told that it is revoked, and no node boots it again"
            ));
        }
        (ImageState::Active, ImageState::Published) => {
            effects.push(format!("{name} is no longer offered to booting nodes"));
        }
        _ => {}
    }
    if before.bios_file != after.bios_file {
        let which = if after.bios_file.is_empty() { "nothing" } else { "another companion" };
        effects.push(format!("nodes that boot {name} by BIOS find {which}"));
    }
    effects
}

/// Said of a node that is away.
fn when(world: &World, node: &str) -> &'static str {
    let here = world.nodes.get(node).is_some_and(|node| node.live.is_some());
    if here { "" } else { " once it is connected again" }
}

fn vs_effects(world: &World, before: Option<&VsRow>, after: Option<&VsRow>) -> Vec<String> {
    let Some(row) = after.or(before) else { return Vec::new() };
    if let (Some(old), Some(new)) = (before, after)
        && old.node != new.node
    {
        return vec![
            format!("{} gives {} up{}", name_of(world, &old.node), row.name, when(world, &old.node)),
            format!("{} takes {}, stopped{}", name_of(world, &new.node), row.name, when(world, &new.node)),
        ];
    }
    let nodes: Vec<&str> = if row.partition.is_empty() {
        vec![row.node.as_str()]
    } else {
        row.places.iter().map(|place| place.node.as_str()).collect()
    };
    let drawn = row.macs.iter().any(|mac| mac == crate::servers::PLACEHOLDER_MAC);
    let identity = || {
        if drawn {
            "with identifiers drawn for it".to_string()
        } else {
            let wwnn = if row.wwnn.is_empty() { String::new() } else { format!(", WWNN {}", row.wwnn) };
            format!("with its own identifiers (id {}, MAC {}{wwnn})", row.id, row.macs.join(", "))
        }
    };
    let what = match (before, after) {
        (None, Some(new)) if new.running => format!("creates {} {} and starts it", row.name, identity()),
        (None, Some(_)) => format!("creates {}, stopped, {}", row.name, identity()),
        (Some(old), None) if old.running => format!("stops {} and deletes it", row.name),
        (Some(_), None) => format!("deletes {}", row.name),
        (Some(old), Some(new)) if !old.running && new.running => format!("starts {}", row.name),
        (Some(old), Some(new)) if old.running && !new.running => format!("powers {} off", row.name),
        (Some(old), Some(new)) if old.instance != new.instance => format!("starts {} afresh", row.name),
        (Some(_), Some(new)) if new.started.is_some() => {
            format!("goes on with {} as it was started; its next start takes what changed", row.name)
        }
        (Some(_), Some(_)) => format!("takes the new definition of {}", row.name),
        (None, None) => return Vec::new(),
    };
    nodes.iter().map(|node| format!("{} {what}{}", name_of(world, node), when(world, node))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(running: bool, instance: u64) -> VsRow {
        VsRow {
            id: "ab".repeat(16),
            name: "web".into(),
            node: "n".into(),
            macs: vec!["02:57:00:00:00:01".into()],
            running,
            instance,
            ..VsRow::default()
        }
    }

    fn told(before: Option<VsRow>, after: Option<VsRow>) -> String {
        vs_effects(&World::default(), before.as_ref(), after.as_ref()).join("; ")
    }

    #[test]
    fn effects_say_what_a_node_does_with_a_server() {
        let away = "once it is connected again";
        assert_eq!(told(Some(row(true, 1)), Some(row(false, 1))), format!("n powers web off {away}"));
        assert_eq!(told(Some(row(false, 1)), Some(row(true, 2))), format!("n starts web {away}"));
        assert_eq!(told(Some(row(true, 1)), Some(row(true, 2))), format!("n starts web afresh {away}"));
        assert_eq!(told(Some(row(true, 1)), None), format!("n stops web and deletes it {away}"));
        let back = told(None, Some(row(true, 2)));
        assert!(back.contains(&"ab".repeat(16)) && back.contains("02:57:00:00:00:01"), "{back}");
    }

    #[test]
    fn a_plan_has_the_changed_fields_and_no_identifier_that_is_still_to_be_drawn() {
        let new = VsRow { macs: vec![crate::servers::PLACEHOLDER_MAC.into()], ..row(false, 0) };
        let change = Change::Vs { before: None, after: Some(new) };
        let mut draft = Draft::new(Kind::VsCreate, vec![change], NewEvent::default());
        let plan = draft.plan(&World::default());
        assert_eq!((plan.state.as_str(), plan.undo.as_str()), ("planned", "reversible"));
        let has = |plan: &Plan, name: &str| plan.objects[0].fields.iter().any(|field| field.field == name);
        assert!(has(&plan, "name") && !has(&plan, "id") && !has(&plan, "macs"), "{plan:?}");
        assert!(plan.objects[0].id.is_empty() && plan.effects[0].contains("drawn"), "{plan:?}");
        draft.undoes = 3;
        let plan = draft.plan(&World::default());
        assert!(has(&plan, "id") && has(&plan, "macs"), "{plan:?}");
        draft.changes.clear();
        assert_eq!(draft.plan(&World::default()).state, "nothing");
    }
}
