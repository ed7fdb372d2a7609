//! Own policies about rights: added after they were checked, and deleted.
//!
//! None is added that would leave no administrator who can take it away again.

use std::collections::HashMap;

use weft_api::{AuthPolicy, AuthPolicyCreate, Plan};
use weft_store::{AuthPolicyRow, NewEvent, UserRow};

use super::found::not_found;
use super::judge::{Asker, Object};
use super::kinds::ObjectKind;
use super::people::check_name;
use super::rules::{PolicyError, Rules, built_in, check};
use crate::accounts::{ADMINISTRATOR, Accounts, Caller, LOCAL, locked};
use crate::core::{Core, event};
use crate::error::Error;
use crate::transactions::{Kind, plan_of};
use crate::util::now;

/// Most own policies.
const MAX_POLICIES: usize = 100;

fn malformed(error: &PolicyError) -> Error {
    Error::refused(
        422,
        "invalid-policy",
        error.to_string(),
        "see what there is to name: weft auth schema; and an example: weft auth policy add --help",
    )
}

fn show(row: &AuthPolicyRow) -> AuthPolicy {
    let AuthPolicyRow { name, text, at, author } = row.clone();
    AuthPolicy { name, state: "own".to_string(), text, at, author }
}

fn role((name, text): (String, String)) -> AuthPolicy {
    AuthPolicy { name, state: "built-in".to_string(), text, ..AuthPolicy::default() }
}

/// An own policy, or one of a role.
pub(super) fn named(accounts: &Accounts, name: &str) -> Option<AuthPolicy> {
    let own = locked(&accounts.own).get(name).map(show);
    own.or_else(|| built_in().into_iter().find(|(role, _)| role == name).map(role))
}

/// Whether an administrator who can log in could still delete policies.
fn can_be_taken_back(rules: &Rules, users: &HashMap<String, UserRow>, name: &str) -> bool {
    users.values().any(|user| {
        let asker = Asker { account: user.name.clone(), role: user.role.clone(), scope: None };
        let object = Object::new(ObjectKind::AuthPolicy, name, name);
        let may = |verb| rules.judge(&asker, verb, ObjectKind::AuthPolicy).decide(&object).allowed;
        user.name != LOCAL && user.role == ADMINISTRATOR && may("view") && may("delete")
    })
}

impl Core {
    /// Policies that the caller may see: the roles, then own ones by name.
    pub(crate) fn auth_policies_seen(&self, caller: &Caller) -> Vec<AuthPolicy> {
        let mut judge = self.judge_of(caller, "view", ObjectKind::AuthPolicy);
        let mut own: Vec<AuthPolicy> = locked(&self.accounts.own).values().map(show).collect();
        own.sort_by(|a, b| a.name.cmp(&b.name));
        let all = built_in().into_iter().map(role).chain(own);
        all.filter(|policy| {
            judge.decide(&Object::new(ObjectKind::AuthPolicy, &policy.name, &policy.name)).allowed
        })
        .collect()
    }

    /// One policy.
    pub(crate) fn auth_policy(&self, name: &str) -> Result<AuthPolicy, Error> {
        named(&self.accounts, name).ok_or_else(|| not_found(ObjectKind::AuthPolicy, name))
    }

    /// Adds a policy: the plan, and the policy where it is added.
    pub(crate) async fn auth_policy_add(
        &self,
        caller: &Caller,
        wanted: &AuthPolicyCreate,
        dry: bool,
    ) -> Result<(Plan, Option<AuthPolicy>), Error> {
        check_name(&wanted.name)?;
        check(&wanted.name, &wanted.text).map_err(|error| malformed(&error))?;
        let _change = self.change.lock().await;
        self.allow(caller, "create", &Object::new(ObjectKind::AuthPolicy, &wanted.name, &wanted.name))?;
        if named(&self.accounts, &wanted.name).is_some() {
            let title = format!("there is a policy {}", wanted.name);
            let next = "choose another name, or delete that one: weft auth policy list";
            return Err(Error::refused(409, "taken", title, next));
        }
        let row = AuthPolicyRow {
            name: wanted.name.clone(),
            text: wanted.text.clone(),
            at: now(),
            author: caller.user.clone(),
        };
        let mut own = locked(&self.accounts.own).clone();
        if own.len() >= MAX_POLICIES {
            let title = format!("there are {MAX_POLICIES} own policies");
            return Err(Error::refused(409, "too-many", title, "put several statements into one"));
        }
        own.insert(row.name.clone(), row.clone());
        let rules = Rules::new(&own).map_err(|error| malformed(&error))?;
        if !can_be_taken_back(&rules, &locked(&self.accounts.users), &row.name) {
            return Err(Error::refused(
                409,
                "locks-out",
                "no administrator could take this policy away again",
                "let it forbid less: nothing that an administrator does with auth-policy",
            ));
        }
        let mut plan = plan_of(Kind::AuthPolicyAdd, "auth-policy", &row.name, (None, Some(&row)), Vec::new());
        if dry {
            return Ok((plan, None));
        }
        let text = format!("{} is added", row.name);
        let told = NewEvent { actor: caller.user.clone(), ..event("auth-policy.added", "info", text) };
        let batch = Kind::AuthPolicyAdd.batch(&caller.user).put_auth_policy(None, &row).event(told);
        let number = self.commit(batch).await?;
        *locked(&self.accounts.own) = own;
        self.accounts.set_rules(rules);
        plan.transaction = number.unwrap_or(0);
        plan.state = "done".to_string();
        Ok((plan, Some(show(&row))))
    }

    /// Deletes an own policy. Roles stay as they are.
    pub(crate) async fn auth_policy_delete(
        &self,
        caller: &Caller,
        name: &str,
        dry: bool,
    ) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let policy = self.auth_policy(name)?;
        self.allow(caller, "delete", &Object::new(ObjectKind::AuthPolicy, name, name))?;
        let mut own = locked(&self.accounts.own).clone();
        let Some(row) = own.remove(name) else {
            let title = format!("{} is part of a role", policy.name);
            let next = "forbid what it permits with an own policy: weft auth policy add";
            return Err(Error::refused(409, "built-in", title, next));
        };
        let rules = Rules::new(&own).map_err(|error| malformed(&error))?;
        let mut plan = plan_of(Kind::AuthPolicyDelete, "auth-policy", name, (Some(&row), None), Vec::new());
        if dry {
            return Ok(plan);
        }
        let text = format!("{name} is deleted");
        let told = NewEvent { actor: caller.user.clone(), ..event("auth-policy.deleted", "info", text) };
        let batch = Kind::AuthPolicyDelete.batch(&caller.user).delete_auth_policy(&row).event(told);
        let number = self.commit(batch).await?;
        *locked(&self.accounts.own) = own;
        self.accounts.set_rules(rules);
        plan.transaction = number.unwrap_or(0);
        plan.state = "done".to_string();
        Ok(plan)
    }
}
