//! Labels, and which objects a verb is about.

use std::str::FromStr;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use weft_api::{Selection, Selector, SelectorError, check_key, parse_label};

use crate::complete;

/// How labels choose, for help texts.
pub(crate) const SELECTORS: &str = "
A selector has conditions between commas, all of which must hold: key=value, key!=value (also without the key), key,
!key. What is chosen is changed in one transaction or, where one refuses, not at all; weft tx undo takes all back.";

/// Which objects a list shows.
#[derive(Debug, Args)]
pub(crate) struct Shown {
    /// Those with these labels: key=value,key!=value,key,!key
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub(crate) selector: Option<Selector>,
}

impl Shown {
    /// As the end of a path.
    pub(crate) fn query(&self) -> String {
        let encoded = |selector: &Selector| crate::client::segment(&selector.to_string());
        self.selector.as_ref().map(|selector| format!("?selector={}", encoded(selector))).unwrap_or_default()
    }
}

/// Objects by something else than their names.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Those with these labels: key=value,key!=value,key,!key
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub(crate) selector: Option<Selector>,
    /// All there are
    #[arg(long, conflicts_with = "selector")]
    pub(crate) all: bool,
    /// Choosing nothing is no error (else it ends with 3)
    #[arg(long)]
    pub(crate) allow_empty: bool,
}

/// Objects of a verb.
#[derive(Clone, Copy)]
pub(crate) struct Chosen<'a> {
    pub(crate) names: &'a [String],
    which: &'a Which,
}

impl<'a> Chosen<'a> {
    /// The only name, where it is one.
    pub(crate) fn one(self) -> Option<&'a str> {
        match self.names {
            [name] => Some(name),
            _ => None,
        }
    }

    /// As the interface takes it.
    pub(crate) fn selection(self) -> Selection {
        Selection {
            names: self.names.to_vec(),
            selector: self.which.selector.as_ref().map(ToString::to_string).unwrap_or_default(),
            all: self.which.all,
            allow_empty: self.which.allow_empty,
        }
    }
}

/// Virtual servers.
#[derive(Debug, Args)]
pub(crate) struct Servers {
    /// Names
    #[arg(value_name = "SERVER", required_unless_present_any = ["selector", "all", "allow_empty"],
          conflicts_with_all = ["selector", "all"], add = ArgValueCompleter::new(complete::servers))]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    which: Which,
}

impl Servers {
    pub(crate) fn chosen(&self) -> Chosen<'_> {
        Chosen { names: &self.names, which: &self.which }
    }
}

/// Nodes.
#[derive(Debug, Args)]
pub(crate) struct Nodes {
    /// Names, identities, or their first digits
    #[arg(value_name = "NODE", required_unless_present_any = ["selector", "all", "allow_empty"],
          conflicts_with_all = ["selector", "all"], add = ArgValueCompleter::new(complete::nodes))]
    names: Vec<String>,
    #[command(flatten)]
    which: Which,
}

impl Nodes {
    pub(crate) fn chosen(&self) -> Chosen<'_> {
        Chosen { names: &self.names, which: &self.which }
    }
}

/// A label to have, or to have no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LabelArg {
    Set(String, String),
    Remove(String),
}

impl FromStr for LabelArg {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        match text.strip_suffix('-') {
            Some(key) if !text.contains('=') => check_key(key).map(|()| Self::Remove(key.to_owned())),
            _ => parse_label(text).map(|(key, value)| Self::Set(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_set_with_its_value_and_removed_by_a_hyphen() {
        let set = |key: &str, value: &str| Ok(LabelArg::Set(key.into(), value.into()));
        assert_eq!("env=prod".parse(), set("env", "prod"));
        assert_eq!("env=".parse(), set("env", ""));
        assert_eq!("env=a-".parse(), set("env", "a-"));
        assert_eq!("env-".parse(), Ok(LabelArg::Remove("env".into())));
        for wrong in ["env", "-", "env--", "=a", "Env=a", "env=a b", ""] {
            assert!(wrong.parse::<LabelArg>().is_err(), "{wrong}");
        }
    }
}
