//! Accounts: made, deleted, given roles and passwords. One administrator with a password always stays.

use std::collections::HashMap;

use weft_api::{Account, AccountCreate, Plan};
use weft_store::{NewEvent, UserRow};

use super::found::{Found, not_found};
use super::judge::{Anyhow, Object};
use super::kinds::ObjectKind;
use super::rules::ROLES;
use crate::accounts::{ADMINISTRATOR, Accounts, Caller, LOCAL, check_password, dummy_hash, locked};
use crate::core::{Core, event};
use crate::error::Error;
use crate::servers::invalid;
use crate::transactions::{Kind, plan_of};
use crate::util::{now, unix_s};

/// Most accounts.
const MAX_ACCOUNTS: usize = 1000;
/// No role at all: what own policies permit, and no more.
const NO_ROLE: &str = "none";
/// Names that history uses for others.
const RESERVED: [&str; 2] = [LOCAL, "appliance"];

/// Whether an account, a token or a policy may be called so.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-._@".contains(c);
    if name.is_empty() || name.len() > 63 || !name.chars().all(good) || name.chars().all(|c| c == '.') {
        return Err(invalid(
            "the name has characters or a length that it may not",
            "1 to 63 letters, digits, - . _ @",
        ));
    }
    Ok(())
}

fn check_role(role: &str) -> Result<(), Error> {
    if ROLES.contains(&role) || role == NO_ROLE {
        return Ok(());
    }
    Err(invalid(format!("there is no role {role}"), format!("{} or {NO_ROLE}", ROLES.join(", "))))
}

/// Nobody but an administrator gives away, or takes over, a role that he does not have.
pub(super) fn check_rank(caller: &Caller, role: &str) -> Result<(), Error> {
    let own = caller.asker.role.as_str();
    if own == ADMINISTRATOR || own == role || role == NO_ROLE {
        return Ok(());
    }
    Err(Error::refused(
        403,
        "not-allowed",
        format!("{} ({own}) may not act for the role {role}", caller.user),
        "this takes the role administrator: ask one",
    ))
}

fn has_password(row: &UserRow) -> bool {
    row.hash != dummy_hash()
}

impl Accounts {
    /// Accounts, sessions, tokens and own policies by name.
    pub(super) fn found(&self, kind: ObjectKind, name: &str) -> Option<Found> {
        let found = |id: &str, name: &str, owner: &str| {
            let (id, name, owner) = (id.to_string(), name.to_string(), owner.to_string());
            Found { kind, id, name, owner, labels: None }
        };
        match kind {
            ObjectKind::Account => locked(&self.users).get(name).map(|row| found(&row.name, &row.name, "")),
            ObjectKind::Session => self.session_named(name).map(|row| found(name, name, &row.user)),
            ObjectKind::Token => locked(&self.tokens)
                .values()
                .find(|row| row.name == name)
                .map(|row| found(&row.name, &row.name, &row.account)),
            ObjectKind::AuthPolicy => super::policies::named(self, name).map(|_| found(name, name, "")),
            ObjectKind::Vs
            | ObjectKind::Node
            | ObjectKind::Partition
            | ObjectKind::Datacenter
            | ObjectKind::Mainframe
            | ObjectKind::Frame
            | ObjectKind::Switch
            | ObjectKind::Port
            | ObjectKind::Gateway
            | ObjectKind::Vnic
            | ObjectKind::Vhba
            | ObjectKind::Image
            | ObjectKind::Template
            | ObjectKind::Pool
            | ObjectKind::Licence
            | ObjectKind::Blob
            | ObjectKind::Job
            | ObjectKind::History
            | ObjectKind::Event
            | ObjectKind::Appliance
            | ObjectKind::Operator => None,
        }
    }

    /// Whether an administrator who can log in is left once these accounts are as given.
    fn administrator_left(&self, changed: &HashMap<&str, Option<&str>>) -> bool {
        locked(&self.users).values().any(|row| {
            let role = changed.get(row.name.as_str()).copied().unwrap_or(Some(row.role.as_str()));
            row.name != LOCAL && has_password(row) && role == Some(ADMINISTRATOR)
        })
    }

    fn show(&self, row: &UserRow) -> Account {
        let now = unix_s();
        let sessions = locked(&self.sessions);
        let sessions =
            sessions.values().filter(|session| session.user == row.name && session.expires > now).count();
        let tokens = locked(&self.tokens);
        let tokens = tokens.values().filter(|token| token.account == row.name && token.expires > now).count();
        let state = match (has_password(row), row.must_change) {
            (false, _) => "no-password",
            (true, true) => "must-change",
            (true, false) => "active",
        };
        Account {
            name: row.name.clone(),
            state: state.to_string(),
            role: row.role.clone(),
            at: row.at.clone(),
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
            tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
        }
    }
}

fn last_administrator(name: &str) -> Error {
    Error::refused(
        409,
        "last-administrator",
        format!("{name} is the last administrator who can log in"),
        "make another first: weft account create NAME --role administrator",
    )
}

fn told(actor: &str, name: &str, text: String) -> NewEvent {
    NewEvent { actor: actor.to_string(), ..event(name, "info", text) }
}

impl Core {
    /// Accounts that the caller may see, by name.
    pub(crate) fn accounts_seen(&self, caller: &Caller) -> Vec<Account> {
        let mut judge = self.judge_of(caller, "view", ObjectKind::Account);
        if matches!(judge.any(), Anyhow::None(_)) {
            return Vec::new();
        }
        let rows: Vec<UserRow> = locked(&self.accounts.users).values().cloned().collect();
        let mut seen: Vec<Account> = rows
            .iter()
            .filter(|row| judge.decide(&Object::new(ObjectKind::Account, &row.name, &row.name)).allowed)
            .map(|row| self.accounts.show(row))
            .collect();
        seen.sort_by(|a, b| a.name.cmp(&b.name));
        seen
    }

    /// One account.
    pub(crate) fn account(&self, name: &str) -> Result<Account, Error> {
        Ok(self.accounts.show(&self.user(name)?))
    }

    pub(super) fn user(&self, name: &str) -> Result<UserRow, Error> {
        let found = locked(&self.accounts.users).get(name).cloned();
        found.ok_or_else(|| not_found(ObjectKind::Account, name))
    }

    /// An account that the caller may change so, and that is not the machine's owner.
    fn changeable(&self, caller: &Caller, verb: &'static str, name: &str) -> Result<UserRow, Error> {
        let row = self.user(name)?;
        self.allow(caller, verb, &Object::new(ObjectKind::Account, name, name))?;
        check_rank(caller, &row.role)?;
        if name == LOCAL {
            return Err(Error::refused(
                409,
                "local-account",
                format!("{LOCAL} is the owner of the appliance's machine, who can always come in"),
                "nothing is to be done: who has no account of the machine cannot use it",
            ));
        }
        Ok(row)
    }

    /// Makes an account: the plan, and the account where it is made.
    pub(crate) async fn account_create(
        &self,
        caller: &Caller,
        wanted: &AccountCreate,
        dry: bool,
    ) -> Result<(Plan, Option<Account>), Error> {
        check_name(&wanted.name)?;
        check_role(&wanted.role)?;
        check_rank(caller, &wanted.role)?;
        if !wanted.password.is_empty() {
            check_password(&wanted.password)?;
        }
        let _change = self.change.lock().await;
        self.allow(caller, "create", &Object::new(ObjectKind::Account, &wanted.name, &wanted.name))?;
        let (taken, count) = {
            let users = locked(&self.accounts.users);
            (users.contains_key(&wanted.name), users.len())
        };
        if taken || RESERVED.contains(&wanted.name.as_str()) {
            let title = format!("there is an account {}", wanted.name);
            return Err(Error::refused(409, "taken", title, "choose another name"));
        }
        if count >= MAX_ACCOUNTS {
            let title = format!("there are {MAX_ACCOUNTS} accounts");
            return Err(Error::refused(409, "too-many", title, "delete one: weft account list"));
        }
        let mut row = UserRow {
            name: wanted.name.clone(),
            hash: dummy_hash(),
            must_change: !wanted.password.is_empty(),
            one_time: false,
            role: wanted.role.clone(),
            at: now(),
        };
        let mut plan = plan_of(Kind::AccountCreate, "user", &row.name, (None, Some(&row)), Vec::new());
        if dry {
            return Ok((plan, None));
        }
        if !wanted.password.is_empty() {
            row.hash = self.accounts.hash(wanted.password.clone()).await?;
        }
        let text = format!("{} is made, {}", row.name, row.role);
        let batch = Kind::AccountCreate.batch(&caller.user).put_user(None, &row);
        let number = self.commit(batch.event(told(&caller.user, "account.created", text))).await?;
        locked(&self.accounts.users).insert(row.name.clone(), row.clone());
        plan.transaction = number.unwrap_or(0);
        plan.state = "done".to_string();
        Ok((plan, Some(self.accounts.show(&row))))
    }

    /// Deletes an account with its sessions and tokens.
    pub(crate) async fn account_delete(&self, caller: &Caller, name: &str, dry: bool) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let row = self.changeable(caller, "delete", name)?;
        if row.role == ADMINISTRATOR && !self.accounts.administrator_left(&HashMap::from([(name, None)])) {
            return Err(last_administrator(name));
        }
        let tokens: Vec<_> =
            locked(&self.accounts.tokens).values().filter(|token| token.account == name).cloned().collect();
        let effects = tokens.iter().map(|token| format!("the token {} is revoked", token.name));
        let effects = effects.chain([format!("the sessions of {name} end")]).collect();
        let mut plan = plan_of(Kind::AccountDelete, "user", name, (Some(&row), None), effects);
        if dry {
            return Ok(plan);
        }
        let batch = Kind::AccountDelete.batch(&caller.user).delete_user(&row).delete_sessions_of(name);
        let batch = tokens.iter().fold(batch, |batch, token| batch.delete_token(token));
        let number = self
            .commit(batch.event(told(&caller.user, "account.deleted", format!("{name} is deleted"))))
            .await?;
        locked(&self.accounts.users).remove(name);
        locked(&self.accounts.sessions).retain(|_, session| session.user != name);
        locked(&self.accounts.tokens).retain(|_, token| token.account != name);
        plan.transaction = number.unwrap_or(0);
        plan.state = "done".to_string();
        Ok(plan)
    }

    /// Gives an account another role. It holds from the next request on, also in sessions that are open.
    pub(crate) async fn account_role(
        &self,
        caller: &Caller,
        name: &str,
        role: &str,
        dry: bool,
    ) -> Result<Plan, Error> {
        check_role(role)?;
        check_rank(caller, role)?;
        let _change = self.change.lock().await;
        let row = self.changeable(caller, "set-role", name)?;
        if !self.accounts.administrator_left(&HashMap::from([(name, Some(role))])) {
            return Err(last_administrator(name));
        }
        let after = UserRow { role: role.to_string(), ..row.clone() };
        let mut plan = plan_of(Kind::AccountRole, "user", name, (Some(&row), Some(&after)), Vec::new());
        if row == after {
            plan.state = "nothing".to_string();
            return Ok(plan);
        }
        if dry {
            return Ok(plan);
        }
        let text = format!("{name} was {}, and is {role}", row.role);
        let batch = Kind::AccountRole.batch(&caller.user).put_user(Some(&row), &after);
        let number = self.commit(batch.event(told(&caller.user, "account.role", text))).await?;
        locked(&self.accounts.users).insert(name.to_string(), after);
        plan.transaction = number.unwrap_or(0);
        plan.state = "done".to_string();
        Ok(plan)
    }

    /// Gives another's account a password, which must be changed at its first use. Its sessions end.
    pub(crate) async fn account_password(
        &self,
        caller: &Caller,
        name: &str,
        password: &str,
    ) -> Result<(), Error> {
        check_password(password)?;
        let _change = self.change.lock().await;
        let row = self.changeable(caller, "set-password", name)?;
        if name == caller.user {
            return Err(invalid("this is your own account", "change your own password: weft passwd"));
        }
        let hash = self.accounts.hash(password.to_string()).await?;
        let after = UserRow { hash, must_change: true, one_time: false, ..row.clone() };
        let text = format!("{name} has another password");
        let batch = Kind::AccountSetPassword.batch(&caller.user).put_user(Some(&row), &after);
        let batch = batch.delete_sessions_of(name).event(told(&caller.user, "account.password", text));
        self.commit(batch).await?;
        locked(&self.accounts.users).insert(name.to_string(), after);
        locked(&self.accounts.sessions).retain(|_, session| session.user != name);
        Ok(())
    }
}
