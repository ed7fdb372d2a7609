//! Backups and restores, as history tells of them.

use serde::{Deserialize, Serialize};

use crate::batch::{Batch, json};

/// A backup that was made, or the one that this store was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRow {
    /// `backup` or `restore`.
    pub name: String,
    /// With the files of images and guests.
    pub files: bool,
    /// When the backup was made that was restored, else empty.
    pub restored: String,
}

impl Batch {
    /// Says in history that a backup was made, or restored.
    #[must_use]
    pub fn tell_backup(mut self, row: &BackupRow) -> Self {
        self.history("backup", &row.name, None, Some(json(row)));
        self
    }
}
