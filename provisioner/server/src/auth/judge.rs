//! One question of who may do what, for one object or for thousands.
//!
//! ```text
//! policies ─▶ those about this account, verb and kind ─▶ what do they look at? ─▶ objects alike in that: one evaluation
//! ```
//! An evaluation that goes wrong refuses: a `forbid` that could not be judged must not be passed over.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Effect, Entities, Entity, EntityId, EntityTypeName,
    EntityUid, Policy, PolicySet, Request, RestrictedExpression,
};
use weft_api::Labels;
use weft_store::ScopeRow;

use super::kinds::ObjectKind;
use super::reads::{Reads, Shape};

/// Policies that a kept decision names at most.
const MOST_NAMED: usize = 16;

/// Who asks, as far as permissions go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) account: String,
    pub(crate) role: String,
    /// Name and scope of a token that is for one object.
    pub(crate) scope: Option<(String, Arc<ScopeRow>)>,
}

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<'a> {
    pub(crate) kind: ObjectKind,
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
    /// Account that a session or a token belongs to.
    pub(crate) owner: &'a str,
    /// Of servers, nodes and templates.
    pub(crate) labels: Option<&'a Labels>,
}

impl<'a> Object<'a> {
    pub(crate) fn new(kind: ObjectKind, id: &'a str, name: &'a str) -> Self {
        Self { kind, id, name, owner: "", labels: None }
    }
}

/// Whether it is allowed, and which policies (or which token) say so. No policy at all: none permits it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) allowed: bool,
    pub(crate) by: Vec<String>,
}

/// What can be said without an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Anyhow {
    All(Verdict),
    None(Verdict),
    /// It depends on the object; these look at it.
    Depends(Vec<String>),
}

/// What holds for all objects of a kind.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    /// A policy permits it at all.
    permits: bool,
    verdict: Verdict,
}

/// Decides one verb on objects of one kind.
pub(crate) struct Judge {
    kind: ObjectKind,
    entity_type: EntityTypeName,
    principal: EntityUid,
    action: EntityUid,
    /// The account with its role.
    who: Vec<Entity>,
    policies: PolicySet,
    permits: bool,
    reads: Reads,
    readers: Vec<String>,
    /// Of a token that is for one object: its name, and the object's id where kind and verb fit.
    scope: Option<(String, Option<String>)>,
    /// Of all objects, where no policy looks at one.
    settled: Option<Verdict>,
    known: HashMap<Shape, Verdict>,
    /// Policies were evaluated so often.
    pub(super) evaluations: u64,
}

/// Types of entities by name, read once: Cedar's parser takes its time.
static TYPES: LazyLock<HashMap<&'static str, EntityTypeName>> = LazyLock::new(|| {
    let names = ObjectKind::ALL.map(ObjectKind::entity).into_iter().chain(["Role", "Action"]);
    names.map(|name| (name, name.parse().expect("a type's name"))).collect()
});

/// A type of the schema.
pub(super) fn type_of(name: &'static str) -> EntityTypeName {
    TYPES.get(name).cloned().expect("a type of the schema, as a test of all kinds reads them")
}

/// An identity.
pub(super) fn uid(kind: &'static str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(type_of(kind), EntityId::new(id))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_string())
}

impl Judge {
    fn bare(asker: &Asker, verb: &'static str, kind: ObjectKind) -> Self {
        let principal = uid("Account", &asker.account);
        let role = uid("Role", &asker.role);
        let attributes = HashMap::from([("name".to_string(), text(&asker.account))]);
        // Attributes are plain strings: they always evaluate.
        let account = Entity::new(principal.clone(), attributes, HashSet::from([role.clone()])).ok();
        let scope = asker.scope.as_ref().map(|(token, scope)| {
            let fits = scope.kind == kind.word() && scope.verbs.iter().any(|allowed| allowed == verb);
            (token.clone(), fits.then(|| scope.id.clone()))
        });
        Self {
            kind,
            entity_type: type_of(kind.entity()),
            principal,
            action: uid("Action", verb),
            who: account.into_iter().chain([Entity::new_no_attrs(role, HashSet::new())]).collect(),
            policies: PolicySet::new(),
            permits: false,
            reads: Reads::default(),
            readers: Vec::new(),
            scope,
            settled: None,
            known: HashMap::new(),
            evaluations: 0,
        }
    }

    /// Where what holds for all objects is known already.
    pub(super) fn of(asker: &Asker, verb: &'static str, kind: ObjectKind, settled: Settled) -> Self {
        let Settled { permits, verdict } = settled;
        Self { permits, settled: Some(verdict), ..Self::bare(asker, verb, kind) }
    }

    /// `policies`: those whose scope fits, each with what it looks at.
    pub(super) fn new(
        asker: &Asker,
        verb: &'static str,
        kind: ObjectKind,
        mut policies: Vec<(&Policy, &Reads)>,
    ) -> Self {
        let mut judge = Self::bare(asker, verb, kind);
        // Where one permits all objects alike, the other permits say no more.
        let whole = policies.iter().position(|(policy, reads)| {
            policy.effect() == Effect::Permit && reads.nothing() && judge.alone(policy)
        });
        if let Some(whole) = whole {
            let mut place = 0..;
            policies.retain(|(policy, _)| place.next() == Some(whole) || policy.effect() == Effect::Forbid);
        }
        for (policy, reads) in policies {
            judge.permits |= policy.effect() == Effect::Permit;
            judge.reads.merge(reads);
            if !reads.nothing() {
                judge.readers.push(policy.id().to_string());
            }
            // Names are unique where the rules are made.
            let added = judge.policies.add(policy.clone());
            debug_assert!(added.is_ok(), "two policies have one name");
        }
        judge
    }

    fn nobody(&self) -> Object<'static> {
        Object::new(self.kind, "", "")
    }

    fn alone(&mut self, policy: &Policy) -> bool {
        let set = PolicySet::from_policies([policy.clone()]).unwrap_or_default();
        let nobody = self.nobody();
        self.evaluate(&set, &nobody).allowed
    }

    /// What can be said without an object.
    pub(crate) fn any(&mut self) -> Anyhow {
        if let Some((token, object)) = self.scope.clone() {
            let by = vec![format!("token {token}")];
            return if object.is_some() && self.permits {
                Anyhow::Depends(by)
            } else {
                Anyhow::None(Verdict { allowed: false, by })
            };
        }
        if !self.permits {
            return Anyhow::None(Verdict::default());
        }
        if !self.reads.nothing() {
            return Anyhow::Depends(self.readers.clone());
        }
        let nobody = self.nobody();
        match self.decide(&nobody) {
            verdict if verdict.allowed => Anyhow::All(verdict),
            verdict => Anyhow::None(verdict),
        }
    }

    /// What holds for all objects, whatever a token is for; `None`: it depends on the object.
    pub(super) fn settle(&mut self) -> Option<Settled> {
        if !self.reads.nothing() {
            return None;
        }
        let nobody = self.nobody();
        let verdict = if self.permits { self.judged(&nobody) } else { Verdict::default() };
        self.settled = Some(verdict.clone());
        // What is kept is bounded in bytes too.
        (verdict.by.len() <= MOST_NAMED).then_some(Settled { permits: self.permits, verdict })
    }

    /// Whether it is allowed on this object.
    pub(crate) fn decide(&mut self, object: &Object<'_>) -> Verdict {
        if object.kind != self.kind {
            return Verdict::default();
        }
        if let Some((token, fits)) = &self.scope
            && fits.as_deref() != Some(object.id)
        {
            return Verdict { allowed: false, by: vec![format!("token {token}")] };
        }
        if !self.permits {
            return Verdict::default();
        }
        match &self.settled {
            Some(verdict) => verdict.clone(),
            None => self.judged(object),
        }
    }

    /// What the policies say.
    fn judged(&mut self, object: &Object<'_>) -> Verdict {
        let shape = (!self.reads.each() && !self.is_asker(object)).then(|| self.reads.shape(object));
        if let Some(known) = shape.as_ref().and_then(|shape| self.known.get(shape)) {
            return known.clone();
        }
        let policies = std::mem::take(&mut self.policies);
        let verdict = self.evaluate(&policies, object);
        self.policies = policies;
        if let Some(shape) = shape {
            self.known.insert(shape, verdict.clone());
        }
        verdict
    }

    /// Whether the object is who asks: unlike other objects, it is in a role.
    fn is_asker(&self, object: &Object<'_>) -> bool {
        self.kind == ObjectKind::Account && self.principal.id().unescaped() == object.id
    }

    fn entity(&self, object: &Object<'_>) -> Option<Entity> {
        if self.is_asker(object) {
            return self.who.first().cloned();
        }
        let id = EntityUid::from_type_name_and_id(self.entity_type.clone(), EntityId::new(object.id));
        let mut attributes = HashMap::from([("name".to_string(), text(object.name))]);
        if matches!(self.kind, ObjectKind::Session | ObjectKind::Token) {
            let owner = RestrictedExpression::new_entity_uid(uid("Account", object.owner));
            attributes.insert("owner".to_string(), owner);
        }
        let tags = object.labels.into_iter().flatten().map(|(key, value)| (key.clone(), text(value)));
        Entity::new_with_tags(id, attributes, [], tags).ok()
    }

    fn evaluate(&mut self, policies: &PolicySet, object: &Object<'_>) -> Verdict {
        self.evaluations = self.evaluations.saturating_add(1);
        let Some(entity) = self.entity(object) else { return Verdict::default() };
        let resource = entity.uid();
        let mut all = self.who.clone();
        if resource != self.principal {
            all.push(entity);
        }
        let request =
            Request::new(self.principal.clone(), self.action.clone(), resource, Context::empty(), None);
        let (Ok(entities), Ok(request)) = (Entities::from_entities(all, None), request) else {
            return Verdict::default();
        };
        let response = Authorizer::new().is_authorized(&request, policies, &entities);
        let policy = |AuthorizationError::PolicyEvaluationError(error): &AuthorizationError| {
            tracing::error!("a policy could not be evaluated: {error}");
            error.policy_id().to_string()
        };
        let mut errors: Vec<String> = response.diagnostics().errors().map(policy).collect();
        if !errors.is_empty() {
            errors.sort();
            return Verdict { allowed: false, by: errors };
        }
        let mut by: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        by.sort();
        Verdict { allowed: response.decision() == Decision::Allow, by }
    }
}
