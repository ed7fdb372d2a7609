//! What policies ask of a name, so that names which give the same answers are decided once.
//!
//! There are two questions: whether it is like a pattern, and whether it is this text. Who does anything else with a
//! name reads all of it ([`Names::whole`]). Patterns are those of Cedar (its grammar, operator `like`): `*` stands for
//! any characters, also none, and another character for itself. That Cedar says the same is a test (`alike.rs`).

use std::collections::BTreeSet;

use serde_json::Value;

/// Patterns that are told apart; with more of them, each name is decided by itself.
pub(super) const MAX_PATTERNS: usize = 128;

/// The text between the wildcards of a pattern, of which there is at least one.
type Pieces = Vec<String>;

/// All that is asked of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    whole: bool,
    is: BTreeSet<String>,
    like: BTreeSet<Pieces>,
}

/// What one name answers; those that answer alike are decided alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answers {
    Whole(String),
    Asked {
        /// The name, where it is one of those that are asked for.
        is: Option<String>,
        /// A bit for each pattern, in their order.
        like: u128,
    },
}

impl Names {
    /// Something else is done with names.
    pub(super) fn whole(&mut self) {
        self.whole = true;
    }

    /// It is asked whether it is this one.
    pub(super) fn is(&mut self, name: &str) {
        self.is.insert(name.to_string());
    }

    /// It is asked whether it is like a pattern, in Cedar's JSON form.
    pub(super) fn like(&mut self, pattern: &Value) {
        match pieces(pattern) {
            Some(pieces) if pieces.len() > 1 => {
                self.like.insert(pieces);
            }
            Some(pieces) => self.is.extend(pieces),
            None => self.whole = true,
        }
    }

    /// With what others ask.
    pub(super) fn merge(&mut self, other: &Self) {
        self.whole |= other.whole;
        self.is.extend(other.is.iter().cloned());
        self.like.extend(other.like.iter().cloned());
    }

    /// What this name answers.
    pub(super) fn answers(&self, name: &str) -> Answers {
        if self.whole || self.like.len() > MAX_PATTERNS {
            return Answers::Whole(name.to_string());
        }
        let like = self.like.iter().fold(0, |bits, pieces| (bits << 1) | u128::from(is_like(pieces, name)));
        Answers::Asked { is: self.is.get(name).cloned(), like }
    }
}

/// A pattern's text between its wildcards; `None`: it is not understood.
fn pieces(pattern: &Value) -> Option<Pieces> {
    let mut pieces = vec![String::new()];
    for part in pattern.as_array()? {
        match part {
            Value::String(word) if word == "Wildcard" => pieces.push(String::new()),
            Value::Object(fields) if fields.len() == 1 => {
                pieces.last_mut()?.push_str(fields.get("Literal")?.as_str()?);
            }
            _ => return None,
        }
    }
    Some(pieces)
}

/// Whether a name begins with the first piece, ends with the last one, and has the others between them in their order.
fn is_like(pieces: &[String], name: &str) -> bool {
    let [first, between @ .., last] = pieces else { return false };
    let ends = name.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()));
    let Some(mut rest) = ends else { return false };
    // The first place where a piece stands leaves most for those behind it.
    between.iter().all(|piece| match rest.split_once(piece.as_str()) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A pattern in Cedar's JSON form, of text in which `*` is a wildcard.
    fn pattern(text: &str) -> Value {
        let part = |c: char| if c == '*' { json!("Wildcard") } else { json!({"Literal": c.to_string()}) };
        text.chars().map(part).collect()
    }

    fn matches(text: &str, name: &str) -> bool {
        is_like(&pieces(&pattern(text)).expect("a pattern"), name)
    }

    #[test]
    fn a_pattern_matches_from_end_to_end() {
        for (text, name) in [
            ("*", ""),
            ("*", "web"),
            ("web-*", "web-"),
            ("*-1", "web-1"),
            ("w*b", "wb"),
            ("a*b*c", "a-b-b-c"),
            ("a*a", "aa"),
            ("*ab*ab*", "abab"),
            ("**", "x"),
            ("a**b", "ab"),
            ("*é*", "né"),
        ] {
            assert!(matches(text, name), "{name} is like {text}");
        }
        for (text, name) in [
            ("web-*", "web"),
            ("*-1", "web-10"),
            ("a*a", "a"),
            ("ab*ba", "aba"),
            ("*ab*ab*", "aba"),
            ("a*b*c", "a-c-b"),
            ("a*", ""),
            ("*é*", "ne\u{301}"),
        ] {
            assert!(!matches(text, name), "{name} is not like {text}");
        }
    }

    #[test]
    fn names_with_the_same_answers_are_one() {
        let mut names = Names::default();
        names.like(&pattern("web-*"));
        names.like(&pattern("*-1"));
        names.like(&pattern("db"));
        names.is("mail");
        assert_eq!(names.answers("web-7"), names.answers("web-8"));
        assert_eq!(names.answers("x"), names.answers("y"));
        let apart = ["x", "web-7", "web-1", "x-1", "db", "mail"].map(|name| names.answers(name));
        for (place, one) in apart.iter().enumerate() {
            assert_eq!(apart.iter().position(|other| other == one), Some(place), "{one:?}");
        }
    }

    #[test]
    fn what_is_not_understood_or_too_much_tells_each_name_apart() {
        let (mut strange, mut many, mut most) = (Names::default(), Names::default(), Names::default());
        strange.like(&json!([{"Literal": "a"}, {"Other": "b"}]));
        assert_ne!(strange.answers("x"), strange.answers("y"));
        for n in 0..MAX_PATTERNS {
            most.like(&pattern(&format!("{n}-*")));
        }
        assert_eq!(most.answers("x"), most.answers("y"));
        let one_each: BTreeSet<_> = (0..MAX_PATTERNS)
            .map(|n| match most.answers(&format!("{n}-")) {
                Answers::Asked { is: None, like } if like.count_ones() == 1 => like,
                other => panic!("{n}: {other:?}"),
            })
            .collect();
        assert_eq!(one_each.len(), MAX_PATTERNS);
        many.like(&pattern("z*"));
        many.merge(&most);
        assert_ne!(many.answers("x"), many.answers("y"));
    }
}
