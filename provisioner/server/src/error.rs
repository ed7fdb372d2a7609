//! What a request can be answered with when it is not done.

use weft_api::{FieldChange, Problem};
use weft_store::StoreError;

use crate::keys::KeyError;
use crate::trust::TrustError;

/// Why something was not done. Turns into a [`Problem`] at the interface.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Refused, with a stable name, the HTTP status, what is wrong, and what to do.
    #[error("{title}")]
    Refused {
        /// Stable name.
        code: &'static str,
        /// HTTP status.
        status: u16,
        /// What is wrong.
        title: String,
        /// What to do.
        next: String,
    },
    /// An object is no longer the version that a change was made of.
    #[error("{title}")]
    Changed {
        /// What is wrong.
        title: String,
        /// What to do.
        next: String,
        /// What changed since.
        changed: Vec<FieldChange>,
    },
    /// The store.
    #[error("store")]
    Store(#[from] StoreError),
    /// The keys.
    #[error("keys")]
    Keys(#[from] KeyError),
    /// The trust files.
    #[error("trust")]
    Trust(#[from] TrustError),
    /// A file of the data folder.
    #[error("data folder")]
    Io(#[from] std::io::Error),
}

impl Error {
    pub(crate) fn refused(
        status: u16,
        code: &'static str,
        title: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self::Refused { code, status, title: title.into(), next: next.into() }
    }

    pub(crate) fn not_found(code: &'static str, what: &str, name: &str, list: &str) -> Self {
        Self::refused(404, code, format!("there is no {what} {name}"), format!("see {list}"))
    }

    pub(crate) fn ambiguous(what: &str, name: &str) -> Self {
        Self::refused(409, "ambiguous", format!("several {what}s begin with {name}"), "give more digits")
    }

    /// As the interface says it. What is not the caller's affair is logged here, once.
    pub(crate) fn problem(&self) -> Problem {
        let internal = |code: &str, status: u16, next: &str| Problem {
            code: code.to_string(),
            status,
            title: crate::chain(self),
            next: next.to_string(),
            ..Problem::default()
        };
        match self {
            Self::Refused { code, status, title, next } => Problem {
                code: (*code).to_string(),
                status: *status,
                title: title.clone(),
                next: next.clone(),
                ..Problem::default()
            },
            Self::Changed { title, next, changed } => Problem {
                code: "changed-meanwhile".to_string(),
                status: 412,
                title: title.clone(),
                next: next.clone(),
                changed: changed.clone(),
            },
            Self::Store(StoreError::Taken(_)) => Problem {
                code: "taken".to_string(),
                status: 409,
                title: "the name is taken".to_string(),
                next: "choose another".to_string(),
                ..Problem::default()
            },
            Self::Store(StoreError::NotLeader) => Problem {
                code: "no-leader".to_string(),
                status: 503,
                title: "this appliance leads no more, or too few of the others answer it".to_string(),
                next: "nothing was done; ask again in some seconds".to_string(),
                ..Problem::default()
            },
            Self::Store(StoreError::Full) => {
                internal("disk-full", 507, "make room on the appliance's disk; nothing was lost")
            }
            Self::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                internal("disk-full", 507, "make room on the appliance's disk; nothing was lost")
            }
            Self::Store(_) | Self::Keys(_) | Self::Trust(_) | Self::Io(_) => {
                tracing::error!(error = crate::chain(self), "request failed");
                internal("internal", 500, "see the appliance's log")
            }
        }
    }
}
