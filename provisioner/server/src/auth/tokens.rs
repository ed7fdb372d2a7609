//! Tokens for programs: a name, an end, and where wanted the one object that they are for. The token itself is told once.

use weft_api::{Plan, Token, TokenCreate, TokenScope};
use weft_store::{NewEvent, ScopeRow, TokenRow};

use super::found::not_found;
use super::judge::Object;
use super::kinds::ObjectKind;
use super::people::{check_name, check_rank};
use crate::accounts::{Caller, LOCAL, locked};
use crate::core::{Core, event};
use crate::error::Error;
use crate::servers::invalid;
use crate::transactions::{Kind, plan_of};
use crate::util::{at_unix, hex, now, random, sha256, unix_s};

/// Most tokens, those that ended included until they are revoked.
const MAX_TOKENS: usize = 10_000;
/// Most of one account.
const MAX_OF_ACCOUNT: usize = 100;
/// Longest life, days.
const MAX_DAYS: u32 = 365;
const DAY_S: u64 = 24 * 3600;
/// Begins each token, so that whoever finds one knows what it is.
const PREFIX: &str = "weft_";
/// What a token for one server may do where nothing is said.
const SERVER_VERBS: [&str; 3] = ["start", "stop", "label"];

fn show(row: &TokenRow) -> Token {
    let scope = row.scope.as_ref().map(|scope| TokenScope {
        kind: scope.kind.clone(),
        name: scope.name.clone(),
        verbs: scope.verbs.clone(),
        id: scope.id.clone(),
    });
    Token {
        name: row.name.clone(),
        state: if row.expires > unix_s() { "active" } else { "expired" }.to_string(),
        account: row.account.clone(),
        at: row.at.clone(),
        expires: at_unix(row.expires),
        scope,
        token: String::new(),
    }
}

fn object(row: &TokenRow) -> Object<'_> {
    Object { owner: &row.account, ..Object::new(ObjectKind::Token, &row.name, &row.name) }
}

impl Core {
    /// Tokens that the caller may see, by name.
    pub(crate) fn tokens_seen(&self, caller: &Caller) -> Vec<Token> {
        let mut judge = self.judge_of(caller, "view", ObjectKind::Token);
        let rows: Vec<TokenRow> = locked(&self.accounts.tokens).values().cloned().collect();
        let mut all: Vec<Token> =
            rows.iter().filter(|row| judge.decide(&object(row)).allowed).map(show).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The scope that is asked for, of an object that is there and that the caller may see.
    fn scope(&self, caller: &Caller, wanted: &TokenScope) -> Result<ScopeRow, Error> {
        let kind = match ObjectKind::of(&wanted.kind) {
            Some(kind @ (ObjectKind::Vs | ObjectKind::Node)) => kind,
            Some(_) | None => {
                return Err(invalid("a token is for a server or a node", "vs/NAME or node/NAME"));
            }
        };
        let found = self.found(kind, &wanted.name)?.ok_or_else(|| not_found(kind, &wanted.name))?;
        self.allow(caller, "view", &found.object())?;
        let mut verbs: Vec<String> = vec!["view".to_string()];
        let asked: Vec<&str> = match (wanted.verbs.is_empty(), kind) {
            (true, ObjectKind::Vs) => SERVER_VERBS.to_vec(),
            (true, _) | (false, _) => wanted.verbs.iter().map(String::as_str).collect(),
        };
        for word in asked {
            let verb = kind.verb(word).filter(|verb| *verb != "create").ok_or_else(|| {
                invalid(format!("a token cannot {word} one {}", kind.words()), kind.verbs().join(", "))
            })?;
            if !verbs.iter().any(|known| known == verb) {
                verbs.push(verb.to_string());
            }
        }
        Ok(ScopeRow { kind: kind.word().to_string(), id: found.id, name: found.name, verbs })
    }

    /// Makes a token: the plan, and the token where it is made.
    pub(crate) async fn token_create(
        &self,
        caller: &Caller,
        wanted: &TokenCreate,
        dry: bool,
    ) -> Result<(Plan, Option<Token>), Error> {
        check_name(&wanted.name)?;
        if !(1..=MAX_DAYS).contains(&wanted.days) {
            return Err(invalid(format!("{} days", wanted.days), format!("1 to {MAX_DAYS}")));
        }
        if caller.token.is_some() {
            // It would outlive its own end.
            let title = "a token makes no other token";
            return Err(Error::refused(403, "not-allowed", title, "log in first: weft login"));
        }
        let account = if wanted.account.is_empty() { &caller.user } else { &wanted.account };
        let _change = self.change.lock().await;
        let user = self.user(account)?;
        self.allow(
            caller,
            "create",
            &Object { owner: account, ..Object::new(ObjectKind::Token, &wanted.name, &wanted.name) },
        )?;
        if *account != caller.user {
            check_rank(caller, &user.role)?;
            if account == LOCAL {
                let title = "own policies do not bind the machine's owner, so nobody else acts for it";
                return Err(Error::refused(403, "not-allowed", title, "name another account"));
            }
        }
        let scope = wanted.scope.as_ref().map(|scope| self.scope(caller, scope)).transpose()?;
        self.room_for_token(account, &wanted.name)?;
        let token = format!("{PREFIX}{}", hex(&random::<32>()));
        let row = TokenRow {
            name: wanted.name.clone(),
            token_hash: hex(&sha256(token.as_bytes())),
            account: account.clone(),
            at: now(),
            expires: unix_s().saturating_add(u64::from(wanted.days).saturating_mul(DAY_S)),
            scope,
        };
        let mut plan = plan_of(Kind::TokenCreate, "token", &row.name, (None, Some(&row)), Vec::new());
        if dry {
            return Ok((plan, None));
        }
        let text = format!("{} acts for {account} until {}", row.name, at_unix(row.expires));
        let told = NewEvent { actor: caller.user.clone(), ..event("token.created", "info", text) };
        let number = self.commit(Kind::TokenCreate.batch(&caller.user).put_token(&row).event(told)).await?;
        locked(&self.accounts.tokens).insert(row.token_hash.clone(), row.clone());
        plan.transaction = number.unwrap_or(0);
        plan.state = "done".to_string();
        Ok((plan, Some(Token { token, ..show(&row) })))
    }

    fn room_for_token(&self, account: &str, name: &str) -> Result<(), Error> {
        let tokens = locked(&self.accounts.tokens);
        if tokens.values().any(|row| row.name == name) {
            let title = format!("there is a token {name}");
            return Err(Error::refused(409, "taken", title, "choose another name"));
        }
        let of_account = tokens.values().filter(|row| row.account == account).count();
        if tokens.len() >= MAX_TOKENS || of_account >= MAX_OF_ACCOUNT {
            let title = format!("{account} has {of_account} tokens, all together {}", tokens.len());
            return Err(Error::refused(409, "too-many", title, "revoke one: weft token list"));
        }
        Ok(())
    }

    /// Revokes a token: it opens nothing from now on, and its streams end within seconds.
    pub(crate) async fn token_revoke(&self, caller: &Caller, name: &str, dry: bool) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let row = locked(&self.accounts.tokens).values().find(|row| row.name == name).cloned();
        let row = row.ok_or_else(|| not_found(ObjectKind::Token, name))?;
        self.allow(caller, "revoke", &object(&row))?;
        let mut plan = plan_of(Kind::TokenRevoke, "token", name, (Some(&row), None), Vec::new());
        if dry {
            return Ok(plan);
        }
        let text = format!("{name} of {} is revoked", row.account);
        let told = NewEvent { actor: caller.user.clone(), ..event("token.revoked", "info", text) };
        let number =
            self.commit(Kind::TokenRevoke.batch(&caller.user).delete_token(&row).event(told)).await?;
        locked(&self.accounts.tokens).remove(&row.token_hash);
        plan.transaction = number.unwrap_or(0);
        plan.state = "done".to_string();
        Ok(plan)
    }
}
