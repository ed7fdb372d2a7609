//! Whether something that came later stands in an undo's way. Pure: rows of history in, conflicts out.
//!
//! A later change conflicts where it touched a field that the undo would set back. An undo, and what it took back, are
//! nothing together: neither is counted.

use std::collections::BTreeSet;

use weft_api::Conflict;
use weft_store::{StoreError, TransactionRow};

use super::diff::{changed, document, name};

/// Which transactions are undone, from undos as (number, number of what it took back): those with an undo that itself
/// was not undone.
pub(crate) fn undone(undos: &[(u64, u64)]) -> BTreeSet<u64> {
    let mut newest_first = undos.to_vec();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    let mut undone = BTreeSet::new();
    for (number, undoes) in newest_first {
        if !undone.contains(&number) {
            undone.insert(undoes);
        }
    }
    undone
}

/// Rows that count: without undos of later transactions, and without what those took back. `later` is newest first.
fn standing(later: &[TransactionRow], than: u64) -> Vec<&TransactionRow> {
    let mut gone = BTreeSet::new();
    let counts = |row: &&TransactionRow| {
        if gone.contains(&row.number) {
            return false;
        }
        if row.undoes > than {
            gone.insert(row.undoes);
            return false;
        }
        true
    };
    later.iter().filter(counts).collect()
}

/// Conflicts of an undo of one object's part of a transaction. `later` has the rows of the same object behind it, newest
/// first.
pub(crate) fn conflicts(of: &TransactionRow, later: &[TransactionRow]) -> Result<Vec<Conflict>, StoreError> {
    let kind = of.kind.as_str();
    let (before, after) = (document(kind, &of.before)?, document(kind, &of.after)?);
    let touched = changed(kind, before.as_ref(), after.as_ref());
    let mut found = Vec::new();
    for row in standing(later, of.number) {
        let (old, new) = (document(kind, &row.before)?, document(kind, &row.after)?);
        let name = name(old.as_ref(), new.as_ref(), &of.object);
        let conflict = |field: &str, what: String| Conflict {
            kind: kind.to_string(),
            name: name.clone(),
            field: field.to_string(),
            transaction: row.number,
            text: format!("transaction {} ({} by {}) {what}", row.number, row.verb, row.actor),
        };
        match (&old, &new) {
            (Some(_), None) => found.push(conflict("", format!("deleted {name}"))),
            (None, _) => found.push(conflict("", format!("made {name} again"))),
            (Some(_), Some(_)) => {
                let since = changed(kind, old.as_ref(), new.as_ref());
                let both = since.intersection(&touched);
                found.extend(both.map(|field| conflict(field, format!("changed {field} of {name}"))));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_store::VsRow;

    fn vs(running: bool, append: &str) -> Option<VsRow> {
        Some(VsRow { name: "web".into(), running, append: append.into(), ..VsRow::default() })
    }

    fn row(number: u64, undoes: u64, before: &Option<VsRow>, after: &Option<VsRow>) -> TransactionRow {
        let json = |row: &Option<VsRow>| serde_json::to_string(row).expect("JSON");
        TransactionRow {
            number,
            undoes,
            kind: "vs".into(),
            object: "1".into(),
            verb: "vs change".into(),
            actor: "ann".into(),
            before: json(before),
            after: json(after),
            ..TransactionRow::default()
        }
    }

    fn found(of: &TransactionRow, later: &[TransactionRow]) -> Vec<(u64, String)> {
        let all = conflicts(of, later).expect("documents");
        all.into_iter().map(|conflict| (conflict.transaction, conflict.field)).collect()
    }

    #[test]
    fn a_later_change_of_the_same_field_conflicts_and_one_of_another_field_does_not() {
        let first = row(1, 0, &vs(false, ""), &vs(true, ""));
        let other = row(2, 0, &vs(true, ""), &vs(true, "quiet"));
        let same = row(3, 0, &vs(true, "quiet"), &vs(false, "quiet"));
        assert_eq!(found(&first, &[]), []);
        assert_eq!(found(&first, std::slice::from_ref(&other)), []);
        assert_eq!(found(&first, &[same, other]), [(3, "running".to_string())]);
    }

    #[test]
    fn every_later_change_is_in_the_way_of_undoing_a_creation() {
        let made = row(1, 0, &None, &vs(false, ""));
        let started = row(2, 0, &vs(false, ""), &vs(true, ""));
        let deleted = row(3, 0, &vs(true, ""), &None);
        assert_eq!(found(&made, &[deleted, started]), [(3, String::new()), (2, "running".to_string())]);
    }

    #[test]
    fn a_counter_that_moved_on_is_no_conflict() {
        let first = row(1, 0, &vs(false, ""), &vs(true, ""));
        let (mut before, mut after) = (vs(true, ""), vs(true, ""));
        before.as_mut().expect("there").instance = 1;
        after.as_mut().expect("there").instance = 2;
        assert_eq!(found(&first, &[row(2, 0, &before, &after)]), []);
    }

    #[test]
    fn an_undo_conflicts_with_undoing_the_same_again_and_its_undo_clears_the_way() {
        let start = row(1, 0, &vs(false, ""), &vs(true, ""));
        let undo = row(2, 1, &vs(true, ""), &vs(false, ""));
        let again = row(3, 2, &vs(false, ""), &vs(true, ""));
        assert_eq!(found(&start, std::slice::from_ref(&undo)), [(2, "running".to_string())]);
        assert_eq!(found(&start, &[again.clone(), undo.clone()]), []);
        // The undo of the undo is taken back itself: then the first undo stands.
        let once_more = row(4, 3, &vs(true, ""), &vs(false, ""));
        assert_eq!(found(&start, &[once_more, again, undo]), [(2, "running".to_string())]);
    }

    #[test]
    fn an_undo_of_something_earlier_is_a_change_like_any_other() {
        let stop = row(5, 0, &vs(true, ""), &vs(false, ""));
        let undo_of_earlier = row(6, 2, &vs(false, ""), &vs(true, ""));
        assert_eq!(found(&stop, &[undo_of_earlier]), [(6, "running".to_string())]);
    }

    #[test]
    fn what_was_undone_and_given_back_is_done_again() {
        assert_eq!(undone(&[]), BTreeSet::new());
        assert_eq!(undone(&[(2, 1)]), BTreeSet::from([1]));
        assert_eq!(undone(&[(2, 1), (3, 2)]), BTreeSet::from([2]));
        assert_eq!(undone(&[(2, 1), (3, 2), (4, 3)]), BTreeSet::from([1, 3]));
        assert_eq!(undone(&[(2, 1), (3, 2), (4, 1)]), BTreeSet::from([1, 2]));
    }
}
