//! Several objects at once: chosen, decided on one by one, and changed in one transaction or not at all.
//!
//! ```text
//! names, selector or all ─▶ decide on each ─┬─ none refuses ─▶ Draft of all ─▶ carry out
//!                                           └─ one refuses ──▶ each refusal, and nothing is changed
//! ```

use std::collections::BTreeSet;

use weft_api::{
    Conflict, GroupLabels, Labels, MAX_GROUP, NodeGroup, Plan, Selection, Selector, VsGroup, VsGroupMove,
};
use weft_store::NewEvent;

use crate::auth::{Gate, Object, ObjectKind, Sight, asking};
use crate::core::Core;
use crate::error::Error;
use crate::nodes::decide_approve;
use crate::servers::{Verb, invalid};
use crate::transactions::{Change, Draft, Kind};
use crate::world::{NodeEntry, VsEntry};

/// What is chosen from.
pub(crate) struct Noun {
    /// As plans and the command line call it.
    kind: &'static str,
    words: &'static str,
}

pub(crate) const SERVERS: Noun = Noun { kind: "vs", words: "virtual server" };
pub(crate) const NODES: Noun = Noun { kind: "node", words: "node" };
pub(crate) const PARTITIONS: Noun = Noun { kind: "partition", words: "partition" };

/// Names of what is chosen, of all that there are. Names that were given are as they were given.
fn choose<'a>(
    noun: &Noun,
    select: &Selection,
    all: impl Iterator<Item = (&'a String, &'a Labels)>,
) -> Result<Vec<String>, Error> {
    let ways = [!select.names.is_empty(), !select.selector.is_empty(), select.all];
    if ways.into_iter().filter(|way| *way).count() > 1 || (ways == [false; 3] && !select.allow_empty) {
        return Err(invalid(
            "it is not clear what is chosen",
            "give names, a selector, or all: one of the three",
        ));
    }
    let selector: Option<Selector> =
        if select.selector.is_empty() { None } else { Some(select.selector.parse()?) };
    let fits = |labels: &Labels| select.all || selector.as_ref().is_some_and(|by| by.matches(labels));
    let mut chosen: Vec<String> =
        all.filter(|(_, labels)| fits(labels)).map(|(name, _)| name.clone()).collect();
    chosen.sort();
    chosen.extend(select.names.clone());
    if chosen.len() > MAX_GROUP {
        return Err(Error::refused(
            422,
            "too-many",
            format!("{} {}s are chosen at once", chosen.len(), noun.words),
            format!("at most {MAX_GROUP}: choose them by labels, one part after the other"),
        ));
    }
    if chosen.is_empty() && !select.allow_empty {
        let by = selector.map(|by| format!(" with {by}")).unwrap_or_default();
        return Err(Error::refused(
            404,
            "nothing-chosen",
            format!("there is no {}{by}", noun.words),
            format!(
                "see what there is: weft {} list -o wide; where none is no error: --allow-empty",
                noun.kind
            ),
        ));
    }
    Ok(chosen)
}

/// What was decided so far.
pub(crate) struct Group {
    noun: &'static Noun,
    pub(crate) kind: Kind,
    /// Ids of objects that were looked at: one that was named twice counts once.
    pub(crate) seen: BTreeSet<String>,
    pub(crate) decided: Vec<(Change, NewEvent)>,
    pub(crate) refused: Vec<Conflict>,
}

impl Group {
    pub(crate) fn new(noun: &'static Noun, kind: Kind) -> Self {
        Self { noun, kind, seen: BTreeSet::new(), decided: Vec::new(), refused: Vec::new() }
    }

    /// Adds what was decided on one; what is no refusal ends all.
    pub(crate) fn add(
        &mut self,
        name: &str,
        decided: Result<Option<(Change, NewEvent)>, Error>,
    ) -> Result<(), Error> {
        match decided {
            Ok(decided) => self.decided.extend(decided),
            Err(Error::Refused { title, next, .. }) => {
                let title = if title.contains(name) { title } else { format!("{name}: {title}") };
                self.refused.push(Conflict {
                    kind: self.noun.kind.to_string(),
                    name: name.to_string(),
                    text: format!("{title}; {next}"),
                    ..Conflict::default()
                });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(crate) fn conflict(self) -> Plan {
        Plan {
            name: self.kind.name().to_string(),
            state: "conflict".to_string(),
            conflicts: self.refused,
            ..Plan::default()
        }
    }

    fn refusal(&self) -> Error {
        let reasons: Vec<&str> = self.refused.iter().map(|conflict| conflict.text.as_str()).collect();
        Error::refused(
            409,
            "group-refused",
            format!("nothing was changed, {} in the way: {}", reasons.len(), reasons.join(". ")),
            "choose without them, or clear what is in the way",
        )
    }
}

impl Core {
    /// Starts, stops, resets or deletes several servers.
    pub(crate) async fn vs_group(&self, actor: &str, wanted: &VsGroup, dry: bool) -> Result<Plan, Error> {
        let verb = Verb::of(&wanted.action)?;
        let _change = self.change.lock().await;
        let (names, mut gate) = self.chosen_servers(verb.right(), &wanted.select)?;
        let mut group = Group::new(&SERVERS, verb.kind());
        for name in &names {
            let decided = match self.find_vs(name) {
                Ok(vs) if !group.seen.insert(vs.row.id.clone()) => continue,
                Ok(vs) => {
                    self.pass_vs(gate.as_mut(), &vs).and_then(|()| self.decide_vs(actor, vs.clone(), verb))
                }
                Err(error) => Err(error),
            };
            group.add(name, decided)?;
        }
        self.change_group(actor, group, dry).await
    }

    /// Approves or forgets several nodes.
    pub(crate) async fn node_group(&self, actor: &str, wanted: &NodeGroup, dry: bool) -> Result<Plan, Error> {
        let kind = match wanted.action.as_str() {
            "approve" => Kind::NodeApprove,
            "forget" => Kind::NodeForget,
            action => return Err(invalid(format!("there is no action {action}"), "approve or forget")),
        };
        let _change = self.change.lock().await;
        let right = if kind == Kind::NodeApprove { "approve" } else { "forget" };
        let (names, mut gate) = self.chosen_nodes(right, &wanted.select)?;
        let sketch = self.sketch();
        let mut group = Group::new(&NODES, kind);
        for name in &names {
            let decided = match self.find_node(name) {
                Ok(node) if !group.seen.insert(node.row.id.clone()) => continue,
                Ok(node) => self.pass_node(gate.as_mut(), &node).and_then(|()| match kind {
                    Kind::NodeApprove => decide_approve(actor, node.clone(), &wanted.fingerprints),
                    _ => self.decide_forget(&sketch, actor, node.clone()),
                }),
                Err(error) => Err(error),
            };
            group.add(name, decided.map(Some))?;
        }
        self.change_group(actor, group, dry).await
    }

    /// Names of chosen servers that who asks may see, and what lets it do this to them.
    fn chosen_servers(
        &self,
        right: &'static str,
        select: &Selection,
    ) -> Result<(Vec<String>, Option<Gate>), Error> {
        let (mut sight, gate) = self.asked(right, ObjectKind::Vs)?;
        let world = self.world();
        let rows = world.servers.values().map(|vs| &vs.row);
        let rows = rows.filter(|row| sight.as_mut().is_none_or(|sight| sight.vs(row)));
        Ok((choose(&SERVERS, select, rows.map(|row| (&row.name, &row.labels)))?, gate))
    }

    /// Whether who asks may do it to this server.
    fn pass_vs(&self, gate: Option<&mut Gate>, vs: &VsEntry) -> Result<(), Error> {
        let object =
            Object { labels: Some(&vs.row.labels), ..Object::new(ObjectKind::Vs, &vs.row.id, &vs.row.name) };
        gate.map_or(Ok(()), |gate| gate.pass(self, &object))
    }

    /// Moves several stopped servers to one node, each beside those that go there with it.
    pub(crate) async fn vs_group_move(
        &self,
        actor: &str,
        wanted: &VsGroupMove,
        dry: bool,
    ) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        self.allow_named_by("view", ObjectKind::Node, &wanted.node)?;
        let target = self.find_node(&wanted.node)?.row.id;
        let (names, mut gate) = self.chosen_servers("move", &wanted.select)?;
        let mut sketch = self.sketch();
        let mut group = Group::new(&SERVERS, Kind::VsMove);
        for name in &names {
            let decided = match self.find_vs(name) {
                Ok(vs) if !group.seen.insert(vs.row.id.clone()) => continue,
                Ok(vs) => self
                    .pass_vs(gate.as_mut(), &vs)
                    .and_then(|()| self.decide_vs_move(&sketch, actor, &vs.row, &target)),
                Err(error) => Err(error),
            };
            if let Ok(Some((change, _))) = &decided {
                change.leave(&mut sketch);
            }
            group.add(name, decided)?;
        }
        self.change_group(actor, group, dry).await
    }

    /// Changes labels of several servers.
    pub(crate) async fn label_servers(
        &self,
        actor: &str,
        wanted: &GroupLabels,
        dry: bool,
    ) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let (names, mut gate) = self.chosen_servers("label", &wanted.select)?;
        let mut group = Group::new(&SERVERS, Kind::VsLabel);
        for name in &names {
            let decided = match self.find_vs(name) {
                Ok(vs) if !group.seen.insert(vs.row.id.clone()) => continue,
                Ok(vs) => self
                    .pass_vs(gate.as_mut(), &vs)
                    .and_then(|()| self.decide_label_vs(actor, vs.row, &wanted.labels)),
                Err(error) => Err(error),
            };
            group.add(name, decided)?;
        }
        self.change_group(actor, group, dry).await
    }

    /// Changes labels of several nodes.
    pub(crate) async fn label_nodes(
        &self,
        actor: &str,
        wanted: &GroupLabels,
        dry: bool,
    ) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let (names, mut gate) = self.chosen_nodes("label", &wanted.select)?;
        let mut group = Group::new(&NODES, Kind::NodeLabel);
        for name in &names {
            let decided = match self.find_node(name) {
                Ok(node) if !group.seen.insert(node.row.id.clone()) => continue,
                Ok(node) => self
                    .pass_node(gate.as_mut(), &node)
                    .and_then(|()| self.decide_label_node(actor, node.row, &wanted.labels)),
                Err(error) => Err(error),
            };
            group.add(name, decided)?;
        }
        self.change_group(actor, group, dry).await
    }

    /// Names of chosen nodes that who asks may see, and what lets it do this to them.
    pub(crate) fn chosen_nodes(
        &self,
        right: &'static str,
        select: &Selection,
    ) -> Result<(Vec<String>, Option<Gate>), Error> {
        let (mut sight, gate) = self.asked(right, ObjectKind::Node)?;
        let world = self.world();
        let rows = world.nodes.values().map(|node| &node.row);
        let rows = rows.filter(|row| sight.as_mut().is_none_or(|sight| sight.node(row)));
        Ok((choose(&NODES, select, rows.map(|row| (&row.name, &row.labels)))?, gate))
    }

    /// Whether who asks may do it to this node.
    pub(crate) fn pass_node(&self, gate: Option<&mut Gate>, node: &NodeEntry) -> Result<(), Error> {
        let object = Object {
            labels: Some(&node.row.labels),
            ..Object::new(ObjectKind::Node, &node.row.id, &node.row.name)
        };
        gate.map_or(Ok(()), |gate| gate.pass(self, &object))
    }

    /// What who asks may see and do; `None`: nobody asks.
    fn asked(&self, verb: &'static str, kind: ObjectKind) -> Result<(Option<Sight>, Option<Gate>), Error> {
        let Some(caller) = asking::current() else { return Ok((None, None)) };
        self.allow_some(&caller, verb, kind)?;
        Ok((Some(Sight::of(self, &caller)), Some(self.gate(&caller, verb, kind))))
    }

    pub(crate) async fn change_group(&self, actor: &str, group: Group, dry: bool) -> Result<Plan, Error> {
        if group.refused.is_empty() {
            return self.carry_out(actor, Draft::of(group.kind, group.decided), dry).await;
        }
        if dry { Ok(group.conflict()) } else { Err(group.refusal()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(select: &Selection) -> Result<Vec<String>, String> {
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
        };
        let all = [
            ("a".to_string(), labels(&[("env", "prod")])),
            ("b".to_string(), labels(&[("env", "test")])),
            ("c".to_string(), labels(&[])),
        ];
        choose(&SERVERS, select, all.iter().map(|(name, labels)| (name, labels)))
            .map_err(|error| error.problem().code)
    }

    fn by(selector: &str) -> Selection {
        Selection { selector: selector.to_string(), ..Selection::default() }
    }

    #[test]
    fn names_a_selector_or_all_choose_and_nothing_else_does() {
        let names = Selection { names: vec!["x".into(), "x".into()], ..Selection::default() };
        assert_eq!(chosen(&names).expect("as given"), ["x", "x"]);
        assert_eq!(chosen(&by("env!=prod")).expect("two"), ["b", "c"]);
        let all = Selection { all: true, ..Selection::default() };
        assert_eq!(chosen(&all).expect("all"), ["a", "b", "c"]);
        for unclear in [
            Selection::default(),
            Selection { all: true, ..by("env") },
            Selection { all: true, ..names },
            Selection { names: vec!["a".into()], ..by("env") },
            by("env=="),
        ] {
            assert_eq!(chosen(&unclear), Err("invalid".to_string()), "{unclear:?}");
        }
    }

    #[test]
    fn choosing_nothing_is_an_error_unless_it_is_allowed_and_too_many_always_is() {
        assert_eq!(chosen(&by("env=none")), Err("nothing-chosen".to_string()));
        assert_eq!(chosen(&Selection { allow_empty: true, ..by("env=none") }), Ok(Vec::new()));
        assert_eq!(chosen(&Selection { allow_empty: true, ..Selection::default() }), Ok(Vec::new()));
        let many = |count| Selection { names: vec!["x".into(); count], ..Selection::default() };
        assert_eq!(chosen(&many(MAX_GROUP)).map(|all| all.len()), Ok(MAX_GROUP));
        assert_eq!(chosen(&many(MAX_GROUP + 1)), Err("too-many".to_string()));
    }
}
