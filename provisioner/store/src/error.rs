//! What can go wrong in the store.

use std::path::PathBuf;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder cannot be written.
    #[error("cannot write to {}", path.display())]
    Folder {
        /// Folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another appliance has it.
    #[error("another appliance runs on {}", .0.display())]
    InUse(PathBuf),
    /// The data was written by a later version.
    #[error("the data has schema version {found}, and this program knows {known}")]
    Newer {
        /// Version of the data.
        found: i64,
        /// Version of this program.
        known: i64,
    },
    /// A name or key is taken.
    #[error("already taken: {0}")]
    Taken(String),
    /// A row does not hold what its type says.
    #[error("the row {key} of {table} is damaged")]
    Damaged {
        /// Table.
        table: &'static str,
        /// Key.
        key: String,
    },
    /// A file is not what was written.
    #[error("{} is damaged: {what}", path.display())]
    Unsound {
        /// File or folder.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Another appliance leads, or none: this one cannot write.
    #[error("this appliance does not lead, or has no majority with it")]
    NotLeader,
    /// A number is used up.
    #[error("{0} is exhausted")]
    Exhausted(&'static str),
    /// The disk has no room.
    #[error("the disk is full")]
    Full,
    /// The database refused.
    #[error("database: {0}")]
    Database(String),
}

impl StoreError {
    /// Whether files are not what was written.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Unsound { .. } | Self::Damaged { .. })
    }
}

impl From<hiqlite::Error> for StoreError {
    fn from(error: hiqlite::Error) -> Self {
        let text = error.to_string();
        if text.contains(crate::voters::FENCED) {
            Self::NotLeader
        } else if text.contains("UNIQUE constraint")
            || matches!(error, hiqlite::Error::ConstraintViolation(_))
        {
            Self::Taken(text)
        } else if text.contains("database or disk is full") {
            // SQLite's words for its code SQLITE_FULL, which comes through wrapped in several ways.
            Self::Full
        } else {
            Self::Database(text)
        }
    }
}
