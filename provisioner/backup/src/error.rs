//! Why a backup is not taken for one.

use std::io;
use std::path::PathBuf;

/// See the variants.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is no backup of an appliance", .0.display())]
    NotOne(PathBuf),
    /// A later program wrote it.
    #[error("{} has the format {format}, which this program does not know", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// What it says.
        format: String,
    },
    /// It is not what was written.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// Its passphrase could not be had.
    #[error("{} is sealed by a passphrase", path.display())]
    Passphrase {
        /// Which.
        path: PathBuf,
        /// Why there is none.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another passphrase sealed it, or it was changed.
    #[error("wrong passphrase, or {} was changed", .0.display())]
    Unopened(PathBuf),
    /// Whoever takes the parts could not.
    #[error("{path} was not taken")]
    Taking {
        /// Name of the part.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Whoever takes the parts does not want this backup.
    #[error(transparent)]
    Unwanted(Box<dyn std::error::Error + Send + Sync>),
}
