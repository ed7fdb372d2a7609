//! Letting a caller do something, or refusing it with the reason and the way out.

use std::collections::HashMap;

use weft_store::{ContainerRow, NetRow, NodeRow, StartedRow, TemplateRow, VsRow};

use super::asking;
use super::found::not_found;
use super::judge::{Anyhow, Asker, Judge, Object, Verdict};
use super::kinds::ObjectKind;
use super::rules::ROLES;
use crate::accounts::Caller;
use crate::containers::object_kind;
use crate::core::Core;
use crate::error::Error;
use crate::transactions::{Change, Draft, Kept, Kind};

/// What a kind of transaction asks for; `None`: it does not come as a draft.
const fn right_of(kind: Kind) -> Option<&'static str> {
    match kind {
        // The right to copy the other one is looked at where it is read.
        Kind::VsCreate | Kind::VsCopy | Kind::PartitionCreate | Kind::TemplateCreate | Kind::PoolCreate => {
            Some("create")
        }
        Kind::VsStart => Some("start"),
        Kind::VsStop => Some("stop"),
        Kind::VsReset => Some("reset"),
        Kind::DatacenterCreate | Kind::MainframeCreate | Kind::FrameCreate => Some("create"),
        Kind::SwitchCreate | Kind::PortCreate | Kind::GatewayCreate | Kind::VnicCreate | Kind::VhbaCreate => {
            Some("create")
        }
        Kind::SwitchEdit | Kind::PortEdit | Kind::GatewayEdit | Kind::VnicEdit | Kind::VhbaEdit => {
            Some("edit")
        }
        Kind::SwitchDelete | Kind::PortDelete | Kind::GatewayDelete | Kind::VnicDelete | Kind::VhbaDelete => {
            Some("delete")
        }
        Kind::VsSet | Kind::DatacenterEdit | Kind::MainframeEdit | Kind::FrameEdit => Some("edit"),
        Kind::DatacenterDelete | Kind::MainframeDelete | Kind::FrameDelete => Some("delete"),
        Kind::NodeMove | Kind::VsMove => Some("move"),
        Kind::VsDelete | Kind::PartitionDelete | Kind::TemplateDelete | Kind::PoolDelete => Some("delete"),
        Kind::VsLabel | Kind::NodeLabel | Kind::TemplateLabel => Some("label"),
        Kind::PoolExtend => Some("extend"),
        Kind::LicenceAdd => Some("add"),
        Kind::LicenceRemove => Some("remove"),
        Kind::NodeApprove | Kind::NodeHold => Some("approve"),
        Kind::NodeForget => Some("forget"),
        Kind::NodeBmcSet | Kind::NodeBmcClear => Some("set-bmc"),
        Kind::NodeImage => Some("reboot"),
        Kind::NodePower => Some("power"),
        Kind::ImagePublish | Kind::ImageBios => Some("publish"),
        Kind::ImageActivate => Some("activate"),
        Kind::ImageRevoke => Some("revoke"),
        // Each of its changes asks for its own right.
        Kind::Apply
        | Kind::NodeConflict
        | Kind::NodeSuccession
        | Kind::BlobUpload
        | Kind::AccountReset
        | Kind::AccountLocal
        | Kind::AccountLogin
        | Kind::AccountPassword
        | Kind::AccountCreate
        | Kind::AccountDelete
        | Kind::AccountRole
        | Kind::AccountSetPassword
        | Kind::TokenCreate
        | Kind::TokenRevoke
        | Kind::Backup
        | Kind::Restore
        | Kind::AuthPolicyAdd
        | Kind::AuthPolicyDelete => None,
    }
}

/// A verb, and whether two states of an object differ in what it is about.
type Differs<T> = (&'static str, fn(&T, &T) -> bool);

/// What one change of several kinds at once asks for; none: it is not made in this way.
pub(crate) fn verbs_of(change: &Change) -> Vec<&'static str> {
    fn of<T>(before: Option<&T>, after: Option<&T>, differ: &[Differs<T>]) -> Vec<&'static str> {
        match (before, after) {
            (None, Some(_)) => vec!["create"],
            (Some(_), None) => vec!["delete"],
            (Some(before), Some(after)) => {
                differ.iter().filter(|(_, differs)| differs(before, after)).map(|(verb, _)| *verb).collect()
            }
            (None, None) => Vec::new(),
        }
    }
    match change {
        Change::Vs { before, after } => {
            let mut verbs = of(
                before.as_ref(),
                after.as_ref(),
                &[
                    ("label", |a: &VsRow, b: &VsRow| a.labels != b.labels),
                    ("move", |a, b| a.node != b.node && a.partition.is_empty()),
                    ("start", |a, b| !a.running && b.running),
                    ("stop", |a, b| a.running && !b.running),
                    ("edit", |a, b| {
                        let same = (&a.name, &a.affinity, &a.places) == (&b.name, &b.affinity, &b.places);
                        !same || StartedRow::of(a) != StartedRow::of(b)
                    }),
                ],
            );
            if before.is_none() && after.as_ref().is_some_and(|row| row.running) {
                verbs.push("start");
            }
            verbs
        }
        Change::Node { before, after, .. } => match (before, after) {
            (Some(before), Some(after)) => of(
                Some(before),
                Some(after),
                &[
                    ("label", |a: &NodeRow, b: &NodeRow| a.labels != b.labels),
                    ("move", |a, b| a.frame != b.frame),
                ],
            ),
            _ => Vec::new(),
        },
        Change::Partition { before, after } => of(before.as_ref(), after.as_ref(), &[]),
        Change::Kept(Kept::Template { before, after }) => of(
            before.as_ref(),
            after.as_ref(),
            &[
                ("label", |a: &TemplateRow, b: &TemplateRow| a.labels != b.labels),
                ("edit", |a, b| {
                    let same =
                        TemplateRow { labels: a.labels.clone(), generation: a.generation, ..b.clone() };
                    same != *a
                }),
            ],
        ),
        Change::Kept(Kept::Container { before, after }) => {
            of(before.as_ref(), after.as_ref(), &[("edit", |_: &ContainerRow, _: &ContainerRow| true)])
        }
        Change::Kept(Kept::Net { before, after }) => {
            of(before.as_deref(), after.as_deref(), &[("edit", |_: &NetRow, _: &NetRow| true)])
        }
        Change::Image { .. }
        | Change::Kept(Kept::Pool { .. } | Kept::Licence { .. } | Kept::Bmc { .. } | Kept::Power { .. }) => {
            Vec::new()
        }
    }
}

/// The object of a change, as it is and as it would be.
pub(crate) fn objects(change: &Change) -> Vec<Object<'_>> {
    match change {
        Change::Vs { before, after } => {
            let rows = before.iter().chain(after);
            rows.map(|row| Object {
                labels: Some(&row.labels),
                ..Object::new(ObjectKind::Vs, &row.id, &row.name)
            })
            .collect()
        }
        Change::Node { held, before, after, .. } => {
            let rows = [held].into_iter().chain(before).chain(after);
            rows.map(|row| Object {
                labels: Some(&row.labels),
                ..Object::new(ObjectKind::Node, &row.id, &row.name)
            })
            .collect()
        }
        Change::Partition { before, after } => {
            let rows = before.iter().chain(after);
            rows.map(|row| Object::new(ObjectKind::Partition, &row.id, &row.name)).collect()
        }
        Change::Image { before, after } => {
            [before, after].map(|row| Object::new(ObjectKind::Image, &row.digest, &row.name)).into()
        }
        Change::Kept(Kept::Pool { before, after }) => {
            let rows = before.iter().chain(after);
            rows.map(|row| Object::new(ObjectKind::Pool, &row.id, &row.name)).collect()
        }
        // Several may be for one customer: it is called by its id.
        Change::Kept(Kept::Licence { before, after }) => {
            let rows = before.iter().chain(after);
            rows.map(|row| Object::new(ObjectKind::Licence, &row.id, &row.id)).collect()
        }
        Change::Kept(Kept::Template { before, after }) => {
            let rows = before.iter().chain(after);
            rows.map(|row| Object {
                labels: Some(&row.labels),
                ..Object::new(ObjectKind::Template, &row.id, &row.name)
            })
            .collect()
        }
        Change::Kept(Kept::Bmc { node, .. } | Kept::Power { node, .. }) => {
            vec![Object { labels: Some(&node.labels), ..Object::new(ObjectKind::Node, &node.id, &node.name) }]
        }
        Change::Kept(Kept::Net { before, after }) => {
            let rows = before.iter().chain(after);
            rows.map(|row| Object {
                labels: Some(&row.labels),
                ..Object::new(crate::networks::object_kind(row.kind), &row.id, &row.name)
            })
            .collect()
        }
        Change::Kept(Kept::Container { before, after }) => {
            let rows = before.iter().chain(after);
            rows.map(|row| Object {
                labels: Some(&row.labels),
                ..Object::new(object_kind(row.level), &row.id, &row.name)
            })
            .collect()
        }
    }
}

/// `a`, `a or b`, `a, b or c`.
fn either(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_string(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Lets a caller do one thing to many objects of a kind.
pub(crate) struct Gate {
    caller: Caller,
    verb: &'static str,
    judge: Judge,
}

impl Gate {
    pub(crate) fn pass(&mut self, core: &Core, object: &Object<'_>) -> Result<(), Error> {
        if self.judge.decide(object).allowed {
            return Ok(());
        }
        core.allow(&self.caller, self.verb, object)
    }
}

impl Core {
    /// A judge for this caller.
    pub(crate) fn judge_of(&self, caller: &Caller, verb: &'static str, kind: ObjectKind) -> Judge {
        self.accounts.rules().judge(&caller.asker, verb, kind)
    }

    /// Roles that may do it.
    pub(super) fn roles_for(
        &self,
        verb: &'static str,
        object: Option<&Object<'_>>,
        kind: ObjectKind,
    ) -> Vec<&'static str> {
        let rules = self.accounts.rules();
        let may = |role: &&str| {
            let asker = Asker { role: (*role).to_string(), ..Asker::default() };
            let mut judge = rules.judge(&asker, verb, kind);
            match object {
                Some(object) => judge.decide(object).allowed,
                None => matches!(judge.any(), Anyhow::All(_)),
            }
        };
        ROLES.into_iter().filter(may).collect()
    }

    /// Lets the caller do it to this object, or refuses. What it may not see is not there.
    pub(crate) fn allow(
        &self,
        caller: &Caller,
        verb: &'static str,
        object: &Object<'_>,
    ) -> Result<(), Error> {
        let verdict = self.judge_of(caller, verb, object.kind).decide(object);
        if verdict.allowed {
            return Ok(());
        }
        let hidden = verb != "create"
            && !object.name.is_empty()
            && object.kind.verb("view").is_some_and(|view| {
                let mut judge = self.judge_of(caller, view, object.kind);
                !matches!(judge.any(), Anyhow::None(_)) && !judge.decide(object).allowed
            });
        if hidden {
            return Err(not_found(object.kind, object.name));
        }
        Err(self.refusal(caller, verb, object.kind, Some(object), &verdict))
    }

    /// Lets the caller go on where there may be an object that it may do it to.
    pub(crate) fn allow_some(
        &self,
        caller: &Caller,
        verb: &'static str,
        kind: ObjectKind,
    ) -> Result<(), Error> {
        match self.judge_of(caller, verb, kind).any() {
            Anyhow::All(_) | Anyhow::Depends(_) => Ok(()),
            Anyhow::None(verdict) => Err(self.refusal(caller, verb, kind, None, &verdict)),
        }
    }

    /// Lets the caller do it to the object of this name, or refuses. What is not there is told by who looks for it, to
    /// those who might have found it.
    pub(crate) fn allow_named(
        &self,
        caller: &Caller,
        verb: &'static str,
        kind: ObjectKind,
        name: &str,
    ) -> Result<(), Error> {
        match self.found(kind, name) {
            Ok(Some(found)) => {
                // A server's own device is there for those for whom the server is.
                let device = matches!(kind, ObjectKind::Vnic | ObjectKind::Vhba);
                let server = device.then(|| found.id.split_once('-')).flatten();
                if let Some((_, server)) = server
                    && self.allow_named(caller, "view", ObjectKind::Vs, server).is_err()
                {
                    return Err(not_found(kind, name));
                }
                self.allow(caller, verb, &found.object())
            }
            Ok(None) => self.allow_some(caller, verb, kind),
            Err(error) => Err(self.allow_some(caller, verb, kind).err().unwrap_or(error)),
        }
    }

    /// Whether who asks may do it to another object that a request names; none may be named.
    pub(crate) fn allow_named_by(
        &self,
        verb: &'static str,
        kind: ObjectKind,
        name: &str,
    ) -> Result<(), Error> {
        match asking::current() {
            Some(caller) if !name.is_empty() => self.allow_named(&caller, verb, kind, name),
            _ => Ok(()),
        }
    }

    /// Whether who asks may make a change of this kind to an object.
    pub(crate) fn allow_kind(&self, kind: Kind, object: &Object<'_>) -> Result<(), Error> {
        match (asking::current(), right_of(kind)) {
            (Some(caller), Some(verb)) => self.allow(&caller, verb, object),
            _ => Ok(()),
        }
    }

    /// Whether who asks may make this change, of each of its objects.
    pub(crate) fn allow_draft(&self, draft: &Draft) -> Result<(), Error> {
        let Some(caller) = asking::current() else { return Ok(()) };
        let mut gates: HashMap<(ObjectKind, &'static str), Gate> = HashMap::new();
        for change in &draft.changes {
            // What follows from a server's change is allowed with it.
            if crate::networks::follows(&draft.changes, change) {
                continue;
            }
            let verbs = match right_of(draft.kind) {
                // An edit may change labels along with the rest, and its undo as well.
                Some(_) if draft.kind == Kind::VsSet => verbs_of(change),
                // An activation is for all nodes: what was chosen for one of them goes.
                Some(_) if draft.kind == Kind::ImageActivate && matches!(change, Change::Node { .. }) => {
                    vec!["reboot"]
                }
                Some(verb) => vec![verb],
                None if draft.kind == Kind::Apply => verbs_of(change),
                None => Vec::new(),
            };
            for object in objects(change) {
                if verbs.is_empty() {
                    let none = Verdict::default();
                    return Err(self.refusal(&caller, "change", object.kind, Some(&object), &none));
                }
                for verb in &verbs {
                    let gate = gates
                        .entry((object.kind, *verb))
                        .or_insert_with(|| self.gate(&caller, verb, object.kind));
                    gate.pass(self, &object)?;
                }
            }
        }
        Ok(())
    }

    /// Whether who asks may do it to an object that is known only where it is done.
    pub(crate) fn allow_asked(&self, verb: &'static str, object: &Object<'_>) -> Result<(), Error> {
        asking::current().map_or(Ok(()), |caller| self.allow(&caller, verb, object))
    }

    /// For many objects of one kind.
    pub(crate) fn gate(&self, caller: &Caller, verb: &'static str, kind: ObjectKind) -> Gate {
        Gate { caller: caller.clone(), verb, judge: self.judge_of(caller, verb, kind) }
    }

    fn refusal(
        &self,
        caller: &Caller,
        verb: &'static str,
        kind: ObjectKind,
        object: Option<&Object<'_>>,
        verdict: &Verdict,
    ) -> Error {
        let Asker { account, role, scope } = &caller.asker;
        let name = object.map(|object| object.name).unwrap_or_default();
        let what =
            if name.is_empty() { kind.words().to_string() } else { format!("{} {name}", kind.words()) };
        let title = format!("{account} ({role}) may not {verb} {what}");
        let why = format!(
            "why: weft auth can-i {}",
            [verb, kind.word(), name, "--explain"].join(" ").replace("  ", " ")
        );
        let next = match (scope, verdict.by.is_empty()) {
            (Some((token, scope)), _) => {
                format!("the token {token} is for {} {} alone: use another; {why}", scope.kind, scope.name)
            }
            (None, false) => format!("forbidden by {}; {why}", verdict.by.join(", ")),
            (None, true) => match either(&self.roles_for(verb, object, kind)) {
                roles if roles.is_empty() => format!("no role may do this; {why}"),
                roles => format!("this takes the role {roles}: ask an administrator; {why}"),
            },
        };
        Error::refused(403, "not-allowed", title, next)
    }
}
