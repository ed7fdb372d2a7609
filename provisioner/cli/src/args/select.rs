//! Labels, and which objects a verb is about.

use std::str::FromStr;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use weft_api::{Selection, Selector, SelectorError, check_key, parse_label};

use crate::complete;
use crate::error::CliError;

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

/// Virtual servers and what becomes of their labels.
#[derive(Debug, Args)]
pub(crate) struct LabelledServers {
    /// Names, then labels; names are left out with --selector and --all
    #[arg(value_name = "SERVER… KEY=VALUE|KEY-", required = true, add = ArgValueCompleter::new(complete::servers))]
    words: Vec<String>,
    #[command(flatten)]
    which: Which,
}

/// Nodes and what becomes of their labels.
#[derive(Debug, Args)]
pub(crate) struct LabelledNodes {
    /// Names, then labels; names are left out with --selector and --all
    #[arg(value_name = "NODE… KEY=VALUE|KEY-", required = true, add = ArgValueCompleter::new(complete::nodes))]
    words: Vec<String>,
    #[command(flatten)]
    which: Which,
}

/// Objects and what becomes of their labels.
#[derive(Debug)]
pub(crate) struct Labelled {
    pub(crate) select: Selection,
    pub(crate) labels: Vec<LabelArg>,
}

impl LabelledServers {
    pub(crate) fn read(&self) -> Result<Labelled, CliError> {
        labelled(&self.words, &self.which)
    }
}

impl LabelledNodes {
    pub(crate) fn read(&self) -> Result<Labelled, CliError> {
        labelled(&self.words, &self.which)
    }
}

/// Takes names and labels apart: the first word is a name, unless something else chooses; names end at the first label.
fn labelled(words: &[String], which: &Which) -> Result<Labelled, CliError> {
    let chosen = which.selector.is_some() || which.all;
    let looks = |word: &String| word.contains('=') || word.ends_with('-');
    let names = if chosen {
        0
    } else {
        words.iter().skip(1).position(looks).map_or(words.len(), |position| position + 1)
    };
    let (names, labels) = words.split_at(names);
    let labels: Vec<LabelArg> = labels
        .iter()
        .map(|word| {
            let next = "names come first, then labels: KEY=VALUE to have it, KEY- to have it no more";
            word.parse().map_err(|error: SelectorError| CliError::usage(format!("{word}: {error}"), next))
        })
        .collect::<Result<_, _>>()?;
    if labels.is_empty() {
        return Err(CliError::usage("no label is named", "KEY=VALUE to have it, KEY- to have it no more"));
    }
    let select = Chosen { names, which }.selection();
    Ok(Labelled { select, labels })
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
    fn names_come_before_labels_and_none_where_something_else_chooses() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let which = |all| Which { selector: None, all, allow_empty: false };
        let of = |given: &[&str], all| {
            labelled(&words(given), &which(all)).map(|found| (found.select.names, found.labels.len())).ok()
        };
        assert_eq!(of(&["web", "env=prod"], false), Some((words(&["web"]), 1)));
        assert_eq!(of(&["web", "db", "env=prod", "old-"], false), Some((words(&["web", "db"]), 2)));
        // A server may be called so; a first word is a name.
        assert_eq!(of(&["web-", "env=prod"], false), Some((words(&["web-"]), 1)));
        assert_eq!(of(&["env=prod", "old-"], true), Some((Vec::new(), 2)));
        for wrong in [(&["web"][..], false), (&["web", "db"], false), (&["web", "env=prod", "db"], false)] {
            assert_eq!(of(wrong.0, wrong.1), None, "{wrong:?}");
        }
        assert_eq!(of(&["web", "env=prod"], true), None, "--all and a name");
    }

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
