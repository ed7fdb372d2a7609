//! Who may do what: roles and own policies (Cedar), tokens with a scope, and each question of it.
//!
//! ```text
//! request ─▶ caller ─▶ rights of its route (http/rights.rs) ─▶ handler ─▶ decision ─▶ Draft ─▶ allowed on each object? ─▶ made
//! ```
//! The route's right is looked at before the handler runs; what changes objects is looked at again under the lock of
//! changes, on the objects as they are and as they would be. What a caller may not see is not there for it.

#[cfg(test)]
mod alike;
mod allow;
mod answer;
pub(crate) mod asking;
mod found;
mod judge;
mod kinds;
mod names;
mod people;
mod policies;
mod reads;
mod rules;
mod sessions;
mod sight;
#[cfg(test)]
mod tests;
mod tokens;

pub(crate) use allow::{Gate, objects, verbs_of};
pub(crate) use found::not_found;
pub(crate) use judge::{Asker, Object};
pub(crate) use kinds::ObjectKind;
pub(crate) use rules::{Rules, SCHEMA};
pub(crate) use sight::Sight;
