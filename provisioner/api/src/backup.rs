//! Backups of the appliance.

use serde::{Deserialize, Serialize};

/// What goes into a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BackupCreate {
    /// With the files of images and guests; without them they are published and uploaded again after a restore.
    pub files: bool,
}
