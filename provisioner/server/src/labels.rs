//! Labels of nodes and virtual servers. Nodes hear nothing of them.

use weft_api::{LabelChange, Labels, MAX_LABELS, Plan, SelectorError, check_key, check_value};
use weft_store::{NewEvent, NodeRow, VsRow};

use crate::core::Core;
use crate::error::Error;
use crate::nodes::node_event;
use crate::servers::invalid;
use crate::transactions::{Change, Draft, Kind};

impl From<SelectorError> for Error {
    fn from(error: SelectorError) -> Self {
        invalid(error.to_string(), "for example env=prod,tier!=db,!old")
    }
}

/// Whether an object may have these labels.
pub(crate) fn check_labels(labels: &Labels) -> Result<(), Error> {
    if labels.len() > MAX_LABELS {
        return Err(invalid(format!("{} labels", labels.len()), format!("at most {MAX_LABELS}")));
    }
    for (key, value) in labels {
        check_key(key)?;
        check_value(value)?;
    }
    Ok(())
}

/// The labels after a change.
pub(crate) fn relabelled(labels: &Labels, change: &LabelChange) -> Result<Labels, Error> {
    if change.set.is_empty() && change.remove.is_empty() {
        return Err(invalid("no label is named", "name one: KEY=VALUE to have it, KEY- to have it no more"));
    }
    let mut labels = labels.clone();
    for key in &change.remove {
        check_key(key)?;
        if change.set.contains_key(key) {
            return Err(invalid(format!("the label {key} is set and removed"), "do one of the two"));
        }
        labels.remove(key);
    }
    check_labels(&change.set)?;
    labels.extend(change.set.clone());
    check_labels(&labels)?;
    Ok(labels)
}

/// As a person reads them.
pub(crate) fn text(labels: &Labels) -> String {
    let all: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("labels: {}", if all.is_empty() { "none".to_string() } else { all.join(", ") })
}

impl Core {
    /// Changes labels of a virtual server.
    pub(crate) async fn label_vs(
        &self,
        actor: &str,
        name: &str,
        wanted: &LabelChange,
        dry: bool,
    ) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let decided = self.decide_label_vs(actor, self.find_vs(name)?.row, wanted)?;
        self.carry_out(actor, Draft::of(Kind::VsLabel, decided), dry).await
    }

    /// What a change of labels does to a server; `None` where all is so already.
    pub(crate) fn decide_label_vs(
        &self,
        actor: &str,
        before: VsRow,
        wanted: &LabelChange,
    ) -> Result<Option<(Change, NewEvent)>, Error> {
        let labels = relabelled(&before.labels, wanted)?;
        Ok((labels != before.labels).then(|| {
            let told = self.vs_event(actor, &before, "vs.labelled", &text(&labels));
            let after = Some(VsRow { labels, ..before.clone() });
            (Change::Vs { before: Some(before), after }, told)
        }))
    }

    /// Changes labels of a node.
    pub(crate) async fn label_node(
        &self,
        actor: &str,
        name: &str,
        wanted: &LabelChange,
        dry: bool,
    ) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let decided = self.decide_label_node(actor, self.find_node(name)?.row, wanted)?;
        self.carry_out(actor, Draft::of(Kind::NodeLabel, decided), dry).await
    }

    /// What a change of labels does to a node; `None` where all is so already.
    pub(crate) fn decide_label_node(
        &self,
        actor: &str,
        held: NodeRow,
        wanted: &LabelChange,
    ) -> Result<Option<(Change, NewEvent)>, Error> {
        if !held.approved {
            return Err(Error::refused(
                409,
                "node-not-approved",
                format!("{} waits for approval, and what waits is not kept", held.name),
                format!("approve it first: weft node approve {}", held.name),
            ));
        }
        let labels = relabelled(&held.labels, wanted)?;
        Ok((labels != held.labels).then(|| {
            let told = NewEvent {
                actor: actor.to_string(),
                ..node_event("node.labelled", "info", &held.name, text(&labels))
            };
            let (before, after) = (Some(held.clone()), Some(NodeRow { labels, ..held.clone() }));
            (Change::Node { held, before, after, forget: false }, told)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn change(set: &[(&str, &str)], remove: &[&str]) -> LabelChange {
        LabelChange { set: labels(set), remove: remove.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn a_change_sets_and_removes_what_it_names_and_leaves_the_rest() {
        let now = labels(&[("env", "test"), ("tier", "web")]);
        let after =
            relabelled(&now, &change(&[("env", "prod"), ("a", "")], &["tier", "gone"])).expect("labels");
        assert_eq!(after, labels(&[("a", ""), ("env", "prod")]));
    }

    #[test]
    fn a_change_that_is_unclear_or_too_much_is_refused() {
        for wrong in [
            change(&[], &[]),
            change(&[("env", "a")], &["env"]),
            change(&[("Env", "a")], &[]),
            change(&[("env", "a b")], &[]),
            change(&[], &["-"]),
        ] {
            assert!(relabelled(&Labels::new(), &wrong).is_err(), "{wrong:?}");
        }
        let many: Labels = (0..MAX_LABELS).map(|n| (format!("k{n}"), String::new())).collect();
        check_labels(&many).expect("as many as may be");
        assert!(relabelled(&many, &change(&[("one-more", "")], &[])).is_err());
        assert!(relabelled(&many, &change(&[("one-more", "")], &["k0"])).is_ok());
    }
}
