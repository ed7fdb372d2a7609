//! Rules over documents: docs/status.md says where every requirement stands.

use super::{Complaint, complain};

/// Groups of requirements and how many each has.
const GROUPS: &[(char, u32)] = &[('A', 13), ('B', 15), ('C', 2), ('D', 7), ('E', 8)];

/// What a row may say.
const STATES: &[&str] = &["works", "partly", "not yet"];

/// Complaints about docs/status.md: each id has exactly one row `| id | state | … |`.
pub fn check_status(text: &str) -> Vec<Complaint> {
    let mut out = Vec::new();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    for (group, count) in GROUPS {
        for number in 1..=*count {
            let id = format!("{group}{number}");
            let mine: Vec<&Vec<&str>> = rows.iter().filter(|row| row.get(1) == Some(&id.as_str())).collect();
            match mine[..] {
                [row] if row.get(2).is_some_and(|state| STATES.contains(state)) => {}
                [_] => complain(&mut out, &id, format!("the state is one of {STATES:?}")),
                _ => complain(&mut out, &id, format!("has {} rows in docs/status.md", mine.len())),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> String {
        let mut text = String::new();
        for (group, count) in GROUPS {
            for number in 1..=*count {
                text.push_str(&format!("| {group}{number} | not yet | words |\n"));
            }
        }
        text
    }

    #[test]
    fn a_missing_a_double_and_an_odd_row_are_found() {
        let text = whole();
        assert_eq!(check_status(&text), []);
        assert_eq!(check_status(&text.replace("| B7 |", "| B70 |")).len(), 1);
        assert_eq!(check_status(&format!("{text}| C1 | works | again |\n")).len(), 1);
        assert_eq!(check_status(&text.replace("| D3 | not yet |", "| D3 | nearly |")).len(), 1);
    }
}
