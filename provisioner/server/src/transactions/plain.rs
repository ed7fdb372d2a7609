//! Plans of changes that are one row each and that no node hears of: accounts, tokens, policies about rights.

use serde::Serialize;
use weft_api::{ObjectChange, Plan};

use super::diff::{action, document_of, fields};
use super::kinds::Kind;

/// A plan of what changes no object of history: a restart, a decision on a job, the end of a session.
pub(crate) fn plan_in_words(name: &str, effects: Vec<String>) -> Plan {
    Plan {
        name: name.to_string(),
        state: "planned".to_string(),
        undo: "irreversible".to_string(),
        reason: "no object is changed by it".to_string(),
        effects,
        ..Plan::default()
    }
}

/// What a change of one row would do. `noun` is what history calls the row, `effects` what else comes of it.
pub(crate) fn plan_of<T: Serialize>(
    kind: Kind,
    noun: &str,
    name: &str,
    (before, after): (Option<&T>, Option<&T>),
    effects: Vec<String>,
) -> Plan {
    let (before, after) = (before.map(document_of), after.map(document_of));
    let mut fields = fields(noun, before.as_ref(), after.as_ref());
    fields.retain(|field| field.changed);
    let object = ObjectChange {
        name: name.to_string(),
        state: action(before.is_some(), after.is_some()).to_string(),
        kind: noun.to_string(),
        id: name.to_string(),
        fields,
    };
    let undo = kind.undo();
    Plan {
        name: kind.name().to_string(),
        state: "planned".to_string(),
        undo: undo.word().to_string(),
        reason: undo.reason().to_string(),
        objects: vec![object],
        effects,
        ..Plan::default()
    }
}
