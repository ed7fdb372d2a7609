//! Transactions: what was changed, by whom and why; and plans, which say what a change would do.

use serde::{Deserialize, Serialize};

/// A transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Transaction {
    /// What was done, for example `vs delete`.
    pub name: String,
    /// `done`, or `undone` by a later transaction that itself was not undone.
    pub state: String,
    /// Its number; they grow.
    pub number: u64,
    /// When.
    pub at: String,
    /// Who: user, operator, `appliance`.
    pub actor: String,
    /// Why: the request itself, what was seen, `undo of N`, or `job N`.
    pub cause: String,
    /// The transaction that it takes back, 0 where none.
    pub undoes: u64,
    /// The job that it is a step of, 0 where none.
    pub job: u64,
    /// `reversible`, `compensable` (all is given back but what `reason` says), `irreversible` (`reason` says why).
    pub undo: String,
    /// What an undo cannot give back, or why there is none.
    pub reason: String,
    /// Objects that it changed.
    pub objects: Vec<ChangedObject>,
}

/// An object that a transaction changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangedObject {
    /// Its name as it was.
    pub name: String,
    /// `created`, `changed`, `deleted`.
    pub state: String,
    /// `vs`, `node`, `datacenter`, `mainframe`, `frame`, `partition`, `image`, `pool`, `licence`, `template`, `blob`, `user`, `reservation`.
    pub kind: String,
    /// Its identity.
    pub id: String,
}

/// A transaction with its objects before and after.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransactionDetail {
    /// The transaction.
    pub transaction: Transaction,
    /// Its objects, each with all its fields.
    pub changes: Vec<ObjectChange>,
}

/// An object before and after.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObjectChange {
    /// Its name.
    pub name: String,
    /// `created`, `changed`, `deleted`.
    pub state: String,
    /// `vs`, `node`, `datacenter`, `mainframe`, `frame`, `partition`, `image`, `pool`, `licence`, `template`, `blob`, `user`, `reservation`.
    pub kind: String,
    /// Its identity; empty in the plan of something whose identity is drawn when it is made.
    pub id: String,
    /// Its fields.
    pub fields: Vec<FieldChange>,
}

/// A field before and after.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldChange {
    /// The field's name.
    pub field: String,
    /// As it was: text as it is, anything else as JSON; empty where there was none.
    pub before: String,
    /// As it is afterwards, likewise.
    pub after: String,
    /// Before and after differ.
    pub changed: bool,
    /// It follows from other things (counters, what a node reports): no undo sets it back, and no conflict comes of it.
    pub derived: bool,
}

/// What a change would do, or did. Nothing of it is done by asking.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plan {
    /// What would be done, for example `vs delete`.
    pub name: String,
    /// `planned`, `done`, `nothing` (all is so already), `conflict` (see `conflicts`), `irreversible` (see `reason`).
    pub state: String,
    /// Number of the transaction once it is done; 0 before, and where history has nothing to keep.
    pub transaction: u64,
    /// The transaction that it takes back, 0 where none.
    pub undoes: u64,
    /// What an undo does not give back; empty where it gives back all, and in other plans.
    pub lost: String,
    /// How it could be taken back itself: `reversible`, `compensable`, `irreversible`.
    pub undo: String,
    /// What an undo could not give back, or why there is none.
    pub reason: String,
    /// Objects with the fields that change.
    pub objects: Vec<ObjectChange>,
    /// What nodes and their servers do, in words.
    pub effects: Vec<String>,
    /// Why it cannot be done.
    pub conflicts: Vec<Conflict>,
}

/// Why a transaction cannot be taken back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Conflict {
    /// `vs`, `node`, `datacenter`, `mainframe`, `frame`, `partition`, `image`, `pool`, `licence`, `template`.
    pub kind: String,
    /// The object, by name.
    pub name: String,
    /// The field that was changed since; empty where it is the whole object.
    pub field: String,
    /// The later transaction that did it; 0 where none did, and `text` says what stands in the way.
    pub transaction: u64,
    /// For a person.
    pub text: String,
}
