//! The policies in force: the roles, and what operators added.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use cedar_policy::{
    ActionConstraint, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint,
    ResourceConstraint, Schema, ValidationMode, Validator,
};
use weft_store::AuthPolicyRow;

use super::judge::{Asker, Judge, Settled, type_of, uid};
use super::kinds::ObjectKind;
use super::reads::Reads;
use crate::accounts::{LOCAL, locked};

/// The schema of policies, for people too.
pub(crate) const SCHEMA: &str = include_str!("schema.cedarschema");
/// The roles as policies.
const ROLES_TEXT: &str = include_str!("roles.cedar");
/// Roles that an account can have and policies name; `none` is the absence of one.
pub(crate) const ROLES: [&str; 4] = ["viewer", "operator", "auditor", "administrator"];
/// Longest text of an own policy, bytes.
pub(crate) const MAX_TEXT: usize = 16 * 1024;
/// Most statements of one.
pub(crate) const MAX_STATEMENTS: usize = 16;
/// Decisions that are kept; where there would be more, all are forgotten.
const MAX_SETTLED: usize = 4096;
/// Errors of one text that are told.
const MAX_ERRORS: usize = 5;

/// Why a text is no policy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    /// It is too long, or no statement, or too many.
    #[error("a policy is 1 to {MAX_STATEMENTS} statements in at most {MAX_TEXT} bytes")]
    Size,
    /// Cedar does not understand it.
    #[error("it is not understood: {0}")]
    Syntax(String),
    /// It has places to fill in, which nothing here fills.
    #[error("it is a template: name principal and resource")]
    Template,
    /// The schema has no such thing.
    #[error("it does not fit the schema: {0}")]
    Schema(String),
}

/// One statement in force.
#[derive(Clone)]
struct Statement {
    policy: Policy,
    reads: Reads,
    /// Added by an operator.
    own: bool,
}

/// Account, role, verb, and kind of objects.
type Asked = (String, String, &'static str, ObjectKind);

/// All that is in force; made anew with each change.
pub(crate) struct Rules {
    statements: Vec<Statement>,
    /// What no object matters to, for as long as these rules are in force.
    settled: Mutex<HashMap<Asked, Settled>>,
}

fn statement(policy: Policy, own: bool) -> Statement {
    let mut reads = Reads::default();
    reads.add(&policy);
    Statement { policy, reads, own }
}

/// The statements of a text, named after it.
fn parse(name: &str, text: &str) -> Result<Vec<Policy>, PolicyError> {
    if text.len() > MAX_TEXT {
        return Err(PolicyError::Size);
    }
    let set: PolicySet = text.parse().map_err(|error: cedar_policy::ParseErrors| {
        let all = error.iter().take(MAX_ERRORS).map(ToString::to_string).collect::<Vec<_>>();
        PolicyError::Syntax(all.join("; "))
    })?;
    if set.num_of_templates() > 0 {
        return Err(PolicyError::Template);
    }
    // In the order of the text: Cedar numbers them.
    let mut all: Vec<&Policy> = set.policies().collect();
    let place = |policy: &&Policy| policy.id().to_string().trim_start_matches("policy").parse::<usize>().ok();
    all.sort_by_key(place);
    if all.is_empty() || all.len() > MAX_STATEMENTS {
        return Err(PolicyError::Size);
    }
    let named = |(place, policy): (usize, &&Policy)| {
        let id = if place == 0 { name.to_string() } else { format!("{name}#{}", place.saturating_add(1)) };
        policy.new_id(PolicyId::new(id))
    };
    Ok(all.iter().enumerate().map(named).collect())
}

fn schema() -> Schema {
    SCHEMA.parse().expect("our own schema, which a test reads")
}

/// Statements of an own policy, if it fits the schema.
pub(crate) fn check(name: &str, text: &str) -> Result<(), PolicyError> {
    let policies = parse(name, text)?;
    let set = PolicySet::from_policies(policies).map_err(|error| PolicyError::Syntax(error.to_string()))?;
    let result = Validator::new(schema()).validate(&set, ValidationMode::Strict);
    // A warning is of a policy that can never apply, or of letters that look like others.
    let errors = result.validation_errors().map(ToString::to_string);
    let all: Vec<String> =
        errors.chain(result.validation_warnings().map(ToString::to_string)).take(MAX_ERRORS).collect();
    if all.is_empty() { Ok(()) } else { Err(PolicyError::Schema(all.join("; "))) }
}

/// The roles' policies, read once.
static BUILT_IN: LazyLock<Vec<(String, Policy)>> = LazyLock::new(|| {
    let set: PolicySet = ROLES_TEXT.parse().expect("our own policies, which a test reads");
    let named = |policy: &Policy| {
        let name = policy.annotation("id").unwrap_or_default().to_string();
        (name.clone(), policy.new_id(PolicyId::new(name)))
    };
    let mut all: Vec<_> = set.policies().map(named).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
});

/// The roles' policies by name, as text.
pub(crate) fn built_in() -> Vec<(String, String)> {
    BUILT_IN.iter().map(|(name, policy)| (name.clone(), policy.to_string())).collect()
}

impl Rules {
    /// The roles with these own policies.
    pub(crate) fn new(own: &HashMap<String, AuthPolicyRow>) -> Result<Self, PolicyError> {
        let roles = BUILT_IN.iter().map(|(_, policy)| statement(policy.clone(), false));
        let mut statements: Vec<Statement> = roles.collect();
        for row in own.values() {
            // Own names have no blank in them, so that they are never those of roles.
            let policies = parse(&format!("own {}", row.name), &row.text)?;
            statements.extend(policies.into_iter().map(|policy| statement(policy, true)));
        }
        Ok(Self { statements, settled: Mutex::default() })
    }

    /// A judge of one verb on objects of one kind.
    pub(crate) fn judge(&self, asker: &Asker, verb: &'static str, kind: ObjectKind) -> Judge {
        let asked = (asker.account.clone(), asker.role.clone(), verb, kind);
        let settled = locked(&self.settled).get(&asked).cloned();
        if let Some(settled) = settled {
            return Judge::of(asker, verb, kind, settled);
        }
        let mut judge = self.judge_anew(asker, verb, kind);
        if let Some(settled) = judge.settle() {
            let mut all = locked(&self.settled);
            if all.len() >= MAX_SETTLED {
                all.clear();
            }
            all.insert(asked, settled);
        }
        judge
    }

    /// Own policies do not bind the machine's owner, who can always repair them.
    fn judge_anew(&self, asker: &Asker, verb: &'static str, kind: ObjectKind) -> Judge {
        let (account, role) = (uid("Account", &asker.account), uid("Role", &asker.role));
        let action = uid("Action", verb);
        let entity_type = type_of(kind.entity());
        let fits = |statement: &&Statement| {
            (asker.account != LOCAL || !statement.own)
                && about_who(&statement.policy, &account, &role)
                && about_action(&statement.policy, &action)
                && about_kind(&statement.policy, &entity_type)
        };
        let policies = self.statements.iter().filter(fits);
        Judge::new(asker, verb, kind, policies.map(|one| (&one.policy, &one.reads)).collect())
    }
}

fn about_who(policy: &Policy, account: &EntityUid, role: &EntityUid) -> bool {
    match policy.principal_constraint() {
        PrincipalConstraint::Any => true,
        PrincipalConstraint::Eq(who) => who == *account,
        PrincipalConstraint::In(who) => who == *account || who == *role,
        PrincipalConstraint::Is(kind) => kind == *account.type_name(),
        PrincipalConstraint::IsIn(kind, who) => {
            kind == *account.type_name() && (who == *account || who == *role)
        }
    }
}

fn about_action(policy: &Policy, action: &EntityUid) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::In(all) => all.contains(action),
        ActionConstraint::Eq(one) => one == *action,
    }
}

fn about_kind(policy: &Policy, kind: &EntityTypeName) -> bool {
    match policy.resource_constraint() {
        // What an object is in, if anything, is for the evaluation to say.
        ResourceConstraint::Any | ResourceConstraint::In(_) => true,
        ResourceConstraint::Eq(object) => *object.type_name() == *kind,
        ResourceConstraint::Is(of) | ResourceConstraint::IsIn(of, _) => of == *kind,
    }
}
