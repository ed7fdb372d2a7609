//! Labels of objects, and selectors, which choose objects by them.
//!
//! ```text
//! selector  = condition *("," condition)        all must hold; spaces around a condition do not count
//! condition = key "=" value | key "!=" value | key | "!" key
//! key       = 1 to 63 of a-z 0-9 . _ / -, a letter or digit first and last
//! value     = 0 to 63 of a-z A-Z 0-9 . _ / -
//! ```
//! `key!=value` also holds for an object without the key. The page has the same rules in `web/src/lib/selector.ts`;
//! `tests/selectors.json` is read by the tests of both.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Labels of an object: key and value.
pub type Labels = BTreeMap<String, String>;

/// Most labels of an object.
pub const MAX_LABELS: usize = 32;
/// Most characters of a key, and of a value.
pub const MAX_LABEL_PART: usize = 63;
/// Most conditions of a selector.
pub const MAX_CONDITIONS: usize = 32;

/// Why something is no label or no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// No key.
    #[error("“{0}” is no key of a label: 1 to 63 of a-z 0-9 . _ / -, a letter or digit first and last")]
    Key(String),
    /// No value.
    #[error("“{0}” is no value of a label: at most 63 of a-z A-Z 0-9 . _ / -")]
    Value(String),
    /// Nothing between two commas, or nothing at all.
    #[error("a condition is empty")]
    Empty,
    /// Too many conditions.
    #[error("more than {MAX_CONDITIONS} conditions")]
    TooMany,
}

/// What is told of a text that is wrong: its beginning.
fn shown(text: &str) -> String {
    text.chars().take(MAX_LABEL_PART.saturating_add(1)).collect()
}

/// Checks a label's key.
pub fn check_key(key: &str) -> Result<(), SelectorError> {
    let end = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = |c: u8| end(c) || b"._/-".contains(&c);
    let bytes = key.as_bytes();
    let ends = bytes.first().copied().is_some_and(end) && bytes.last().copied().is_some_and(end);
    if ends && bytes.len() <= MAX_LABEL_PART && bytes.iter().copied().all(good) {
        return Ok(());
    }
    Err(SelectorError::Key(shown(key)))
}

/// Checks a label's value.
pub fn check_value(value: &str) -> Result<(), SelectorError> {
    let good = |c: u8| c.is_ascii_alphanumeric() || b"._/-".contains(&c);
    if value.len() <= MAX_LABEL_PART && value.bytes().all(good) {
        return Ok(());
    }
    Err(SelectorError::Value(shown(value)))
}

/// `key=value`, checked.
pub fn parse_label(text: &str) -> Result<(String, String), SelectorError> {
    let (key, value) = text.split_once('=').ok_or_else(|| SelectorError::Key(shown(text)))?;
    check_key(key)?;
    check_value(value)?;
    Ok((key.to_string(), value.to_string()))
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Is(String, String),
    IsNot(String, String),
    Has(String),
    Lacks(String),
}

impl Condition {
    fn holds(&self, labels: &Labels) -> bool {
        match self {
            Self::Is(key, value) => labels.get(key) == Some(value),
            Self::IsNot(key, value) => labels.get(key) != Some(value),
            Self::Has(key) => labels.contains_key(key),
            Self::Lacks(key) => !labels.contains_key(key),
        }
    }
}

impl FromStr for Condition {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let text = text.trim_matches(' ');
        if text.is_empty() {
            return Err(SelectorError::Empty);
        }
        let key = |key: &str| check_key(key).map(|()| key.to_string());
        let value = |value: &str| check_value(value).map(|()| value.to_string());
        if let Some(rest) = text.strip_prefix('!') {
            return Ok(Self::Lacks(key(rest)?));
        }
        if let Some((name, rest)) = text.split_once("!=") {
            return Ok(Self::IsNot(key(name)?, value(rest)?));
        }
        match text.split_once('=') {
            Some((name, rest)) => Ok(Self::Is(key(name)?, value(rest)?)),
            None => Ok(Self::Has(key(text)?)),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(key, value) => write!(f, "{key}={value}"),
            Self::IsNot(key, value) => write!(f, "{key}!={value}"),
            Self::Has(key) => f.write_str(key),
            Self::Lacks(key) => write!(f, "!{key}"),
        }
    }
}

/// Conditions on labels, all of which must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<Condition>);

impl Selector {
    /// Whether an object with these labels is chosen.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|condition| condition.holds(labels))
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if text.split(',').nth(MAX_CONDITIONS).is_some() {
            return Err(SelectorError::TooMany);
        }
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, condition) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            condition.fmt(f)?;
        }
        Ok(())
    }
}
