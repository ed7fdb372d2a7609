//! Objects that the appliance alone keeps: no node hears of pools, licences, templates and management controllers. They change, show and come back
//! in one way.

use serde::Serialize;
use weft_store::{AskedRow, Batch, BmcRow, ContainerRow, LicenceRow, NetRow, NodeRow, PoolRow, TemplateRow};

use super::diff::{Document, document_of, row_of, with_fields};
use super::undo::Part;
use crate::containers::check_container;
use crate::core::Core;
use crate::error::Error;
use crate::networks::{check_net, check_pooled, kind_of};
use crate::pools::{check_licence, check_pool};
use crate::templates::check_template;
use crate::world::World;

/// One such object before and after.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    Pool {
        before: Option<PoolRow>,
        after: Option<PoolRow>,
    },
    Licence {
        before: Option<LicenceRow>,
        after: Option<LicenceRow>,
    },
    Template {
        before: Option<TemplateRow>,
        after: Option<TemplateRow>,
    },
    /// A data center, a virtual mainframe or a frame.
    Container {
        before: Option<ContainerRow>,
        after: Option<ContainerRow>,
    },
    /// A virtual switch, a port, a gateway port, a VNIC or a VHBA.
    Net {
        before: Option<Box<NetRow>>,
        after: Option<Box<NetRow>>,
    },
    /// A node's management controller.
    Bmc {
        node: Box<NodeRow>,
        before: Option<BmcRow>,
        after: Option<BmcRow>,
    },
    /// What a node's management controller is asked, and what that does, in words.
    Power {
        node: Box<NodeRow>,
        asked: AskedRow,
        effects: Vec<String>,
    },
}

/// Kind, id, and documents before and after. `None` where nothing is there.
pub(super) type Shown<'a> = (&'static str, &'a String, Option<Document>, Option<Document>);

fn shown<'a, T: Serialize>(
    kind: &'static str,
    before: &'a Option<T>,
    after: &'a Option<T>,
    id: impl Fn(&'a T) -> &'a String,
) -> Option<Shown<'a>> {
    let row = after.as_ref().or(before.as_ref())?;
    Some((kind, id(row), before.as_ref().map(document_of), after.as_ref().map(document_of)))
}

impl Kept {
    pub(super) fn shown(&self) -> Option<Shown<'_>> {
        match self {
            Self::Pool { before, after } => shown("pool", before, after, |row| &row.id),
            Self::Licence { before, after } => shown("licence", before, after, |row| &row.id),
            Self::Template { before, after } => shown("template", before, after, |row| &row.id),
            Self::Container { before, after } => {
                let level = after.as_ref().or(before.as_ref())?.level;
                shown(level.word(), before, after, |row| &row.id)
            }
            Self::Net { before, after } => {
                let kind = after.as_ref().or(before.as_ref())?.kind;
                shown(kind.word(), before, after, |row| &row.id)
            }
            Self::Bmc { before, after, .. } => shown("bmc", before, after, |row| &row.node),
            Self::Power { asked, .. } => {
                let before = AskedRow { asked: String::new(), ..asked.clone() };
                Some(("power", &asked.node, Some(document_of(&before)), Some(document_of(asked))))
            }
        }
    }

    /// What becomes of identifiers, in words.
    pub(super) fn effects(&self) -> Vec<String> {
        match self {
            Self::Pool { before: None, after: Some(row) } => {
                vec![format!("servers can be given identifiers from {}: {}", row.name, row.ranges.join(", "))]
            }
            Self::Pool { before: Some(row), after: None } => {
                vec![format!("{} is gone; what was drawn from it is not drawn again", row.name)]
            }
            Self::Pool { before: Some(old), after: Some(new) } => {
                let only = |of: &PoolRow, not: &PoolRow| -> Vec<String> {
                    of.ranges.iter().filter(|range| !not.ranges.contains(range)).cloned().collect()
                };
                let told = |word: &str, ranges: Vec<String>| {
                    (!ranges.is_empty()).then(|| format!("{} {word} {}", new.name, ranges.join(", ")))
                };
                told("gets", only(new, old)).into_iter().chain(told("loses", only(old, new))).collect()
            }
            Self::Licence { after: Some(row), .. } => {
                vec![format!("its pool can give {} until the licence of {} expires", row.range, row.name)]
            }
            Self::Licence { before: Some(row), after: None } => {
                vec![format!("its pool no longer gives {}; what was drawn is not drawn again", row.range)]
            }
            Self::Bmc { node, after: Some(row), .. } => {
                vec![format!("the power of {} is reached by {} at {}", node.name, row.kind, row.address)]
            }
            Self::Bmc { node, after: None, .. } => {
                vec![format!("the power of {} is reached no more", node.name)]
            }
            Self::Power { effects, .. } => effects.clone(),
            // Those of networks want the world ([`crate::networks::effects`]).
            Self::Net { .. }
            | Self::Template { .. }
            | Self::Container { .. }
            | Self::Pool { .. }
            | Self::Licence { .. } => Vec::new(),
        }
    }

    pub(super) fn put(&self, batch: Batch) -> Batch {
        match self {
            Self::Pool { before, after: Some(row) } => batch.put_pool(before.as_ref(), row),
            Self::Pool { before: Some(row), after: None } => batch.delete_pool(row),
            Self::Licence { after: Some(row), .. } => batch.add_licence(row),
            Self::Licence { before: Some(row), after: None } => batch.remove_licence(row),
            Self::Template { before, after: Some(row) } => batch.put_template(before.as_ref(), row),
            Self::Template { before: Some(row), after: None } => batch.delete_template(row),
            Self::Container { before, after: Some(row) } => batch.put_container(before.as_ref(), row),
            Self::Container { before: Some(row), after: None } => batch.delete_container(row),
            Self::Net { before, after: Some(row) } => batch.put_net(before.as_deref(), row),
            Self::Net { before: Some(row), after: None } => batch.delete_net(row),
            Self::Bmc { before, after: Some(row), .. } => batch.put_bmc(before.as_ref(), row),
            Self::Bmc { before: Some(row), after: None, .. } => batch.delete_bmc(row),
            Self::Power { asked, .. } => batch.ask_power(asked),
            Self::Bmc { before: None, after: None, .. }
            | Self::Net { before: None, after: None }
            | Self::Pool { before: None, after: None }
            | Self::Licence { before: None, after: None }
            | Self::Template { before: None, after: None }
            | Self::Container { before: None, after: None } => batch,
        }
    }

    pub(super) fn remember(&self, world: &mut World) {
        match self {
            Self::Pool { before, after } => {
                let pools = &mut world.identifiers.pools;
                before.iter().for_each(|row| drop(pools.remove(&row.id)));
                pools.extend(after.iter().map(|row| (row.id.clone(), row.clone())));
            }
            Self::Licence { before, after } => {
                let licences = &mut world.identifiers.licences;
                before.iter().for_each(|row| drop(licences.remove(&row.id)));
                licences.extend(after.iter().map(|row| (row.id.clone(), row.clone())));
            }
            Self::Template { before, after } => {
                before.iter().for_each(|row| drop(world.templates.remove(&row.id)));
                world.templates.extend(after.iter().map(|row| (row.id.clone(), row.clone())));
            }
            Self::Container { before: Some(row), after: None } => {
                world.containers.remove(&row.id);
                // A node that waits for approval would have stood there.
                let waiting = world.nodes.values_mut().filter(|node| node.row.frame == row.id);
                waiting.for_each(|node| node.row.frame.clear());
            }
            Self::Net { before, after } => {
                before.iter().for_each(|row| drop(world.networks.remove(&row.id)));
                world.networks.extend(after.iter().map(|row| (row.id.clone(), (**row).clone())));
            }
            Self::Bmc { after: Some(row), .. } => {
                world.bmcs.insert(row.node.clone(), row.clone());
            }
            Self::Bmc { node, after: None, .. } => _ = world.bmcs.remove(&node.id),
            Self::Power { .. } => {}
            Self::Container { after, .. } => {
                world.containers.extend(after.iter().map(|row| (row.id.clone(), row.clone())));
            }
        }
    }
}

/// An object as the store has it now; `None` also for objects of other kinds.
pub(super) fn document_now(world: &World, kind: &str, id: &str) -> Option<Document> {
    match kind {
        "pool" => world.identifiers.pools.get(id).map(document_of),
        "licence" => world.identifiers.licences.get(id).map(document_of),
        "template" => world.templates.get(id).map(document_of),
        "datacenter" | "mainframe" | "frame" => world.containers.get(id).map(document_of),
        kind if kind_of(kind).is_some() => world.net_by_id(id).map(|row| document_of(row.as_ref())),
        _ => None,
    }
}

impl Core {
    pub(super) fn set_back_pool(&self, part: &Part) -> Result<Kept, Error> {
        let world = self.world();
        let before = world.identifiers.pools.get(&part.id).cloned();
        let after = part.target.as_ref().map(|target| match &before {
            Some(row) => with_fields(row, target, &part.fields),
            None => row_of::<PoolRow>(target.clone()),
        });
        let least = newest::<PoolRow>(part)?.map_or(0, |row| row.generation);
        let after = after
            .transpose()?
            .map(|row: PoolRow| PoolRow { generation: row.generation.max(least).saturating_add(1), ..row });
        check_pool(&world, before.as_ref(), after.as_ref())?;
        Ok(Kept::Pool { before, after })
    }

    pub(super) fn set_back_licence(&self, part: &Part) -> Result<Kept, Error> {
        let world = self.world();
        let before = world.identifiers.licences.get(&part.id).cloned();
        let after = part.target.clone().map(row_of).transpose()?;
        check_licence(&world, before.as_ref(), after.as_ref())?;
        Ok(Kept::Licence { before, after })
    }
}

pub(super) fn set_back_template(world: &World, part: &Part) -> Result<Kept, Error> {
    let before = world.templates.get(&part.id).cloned();
    let after = part.target.as_ref().map(|target| match &before {
        Some(row) => with_fields(row, target, &part.fields),
        None => row_of::<TemplateRow>(target.clone()),
    });
    let least = newest::<TemplateRow>(part)?.map_or(0, |row| row.generation);
    let after = after.transpose()?.map(|row: TemplateRow| TemplateRow {
        generation: row.generation.max(least).saturating_add(1),
        ..row
    });
    if let Some(row) = &after {
        check_template(world, row)?;
    }
    Ok(Kept::Template { before, after })
}

pub(super) fn set_back_container(world: &World, part: &Part) -> Result<Kept, Error> {
    let before = world.containers.get(&part.id).cloned();
    let after = part.target.as_ref().map(|target| match &before {
        Some(row) => with_fields(row, target, &part.fields),
        None => row_of::<ContainerRow>(target.clone()),
    });
    let least = newest::<ContainerRow>(part)?.map_or(0, |row| row.generation);
    let after = after.transpose()?.map(|row: ContainerRow| ContainerRow {
        generation: row.generation.max(least).saturating_add(1),
        ..row
    });
    check_container(world, before.as_ref(), after.as_ref())?;
    Ok(Kept::Container { before, after })
}

impl Core {
    pub(super) fn set_back_net(&self, world: &World, part: &Part) -> Result<Kept, Error> {
        let before = world.net_by_id(&part.id).map(|row| row.into_owned());
        // What a server has by itself goes with it, and is not there without it.
        if part.id.contains('-') && before.is_none() {
            return Ok(Kept::Net { before: None, after: None });
        }
        let after = part.target.as_ref().map(|target| match &before {
            Some(row) => with_fields(row, target, &part.fields),
            None => row_of::<NetRow>(target.clone()),
        });
        let least = newest::<NetRow>(part)?.map_or(0, |row| row.generation);
        let after = after
            .transpose()?
            .map(|row: NetRow| NetRow { generation: row.generation.max(least).saturating_add(1), ..row });
        check_net(world, before.as_ref(), after.as_ref())?;
        if let (None, Some(row)) = (&before, &after) {
            check_pooled(&self.world(), row)?;
        }
        Ok(Kept::Net { before: before.map(Box::new), after: after.map(Box::new) })
    }
}

/// The newest that history has of an object: its generation goes on from there.
fn newest<T: serde::de::DeserializeOwned>(part: &Part) -> Result<Option<T>, Error> {
    Ok(part.newest.clone().map(row_of).transpose()?)
}
