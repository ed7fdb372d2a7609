//! What a change leaves, on a copy of the world: what comes after it is decided on that.

use super::draft::Change;
use crate::partitions::PartitionEntry;
use crate::world::{NodeEntry, VsEntry, World};

impl Change {
    /// Brings a copy of the world to what the change would leave.
    pub(crate) fn leave(&self, world: &mut World) {
        match self {
            Self::Vs { after: Some(row), .. } => {
                let entry =
                    world.servers.entry(row.id.clone()).or_insert_with(|| VsEntry::from_row(row.clone()));
                entry.row = row.clone();
            }
            Self::Vs { before: Some(row), after: None } => {
                world.servers.remove(&row.id);
                // Its devices go with it.
                world.networks.retain(|_, device| device.server != row.id);
            }
            Self::Node { held, after: None, .. } => _ = world.nodes.remove(&held.id),
            Self::Node { after: Some(row), .. } => {
                let entry =
                    world.nodes.entry(row.id.clone()).or_insert_with(|| NodeEntry::from_row(row.clone()));
                entry.row = row.clone();
            }
            Self::Partition { after: Some(row), .. } => {
                let entry = world
                    .partitions
                    .entry(row.id.clone())
                    .or_insert_with(|| PartitionEntry::from_row(row.clone()));
                entry.row = row.clone();
            }
            Self::Partition { before: Some(row), after: None } => _ = world.partitions.remove(&row.id),
            Self::Kept(kept) => kept.remember(world),
            // Nothing is decided on images in a copy.
            Self::Image { .. }
            | Self::Vs { before: None, after: None }
            | Self::Partition { before: None, after: None } => {}
        }
    }
}
