//! Sessions that are open: seen, and ended.

use weft_api::{Plan, SessionInfo};
use weft_store::{Batch, NewEvent, SessionRow};

use super::found::not_found;
use super::judge::Object;
use super::kinds::ObjectKind;
use crate::accounts::{Accounts, Caller, locked};
use crate::core::{Core, event};
use crate::error::Error;
use crate::transactions::plan_in_words;
use crate::util::{at_unix, now, unix_s};

/// Digits of a session's name: the first of its token's digest, with which nobody finds the token.
const NAME_DIGITS: usize = 16;

fn name_of(row: &SessionRow) -> &str {
    row.token_hash.get(..NAME_DIGITS).unwrap_or(&row.token_hash)
}

impl Accounts {
    pub(super) fn session_named(&self, name: &str) -> Option<SessionRow> {
        let now = unix_s();
        locked(&self.sessions).values().find(|row| name_of(row) == name && row.expires > now).cloned()
    }
}

impl Core {
    /// Sessions that the caller may see, by account and time.
    pub(crate) fn sessions_seen(&self, caller: &Caller) -> Vec<SessionInfo> {
        let mut judge = self.judge_of(caller, "view", ObjectKind::Session);
        let now = unix_s();
        let rows: Vec<SessionRow> =
            locked(&self.accounts.sessions).values().filter(|row| row.expires > now).cloned().collect();
        let mut seen = |row: &&SessionRow| {
            let name = name_of(row);
            judge.decide(&Object { owner: &row.user, ..Object::new(ObjectKind::Session, name, name) }).allowed
        };
        let show = |row: &SessionRow| SessionInfo {
            name: name_of(row).to_string(),
            state: if row.token_hash == caller.token_hash { "own" } else { "open" }.to_string(),
            account: row.user.clone(),
            at: row.at.clone(),
            source: row.source.clone(),
            expires: at_unix(row.expires),
        };
        let mut all: Vec<SessionInfo> = rows.iter().filter(|row| seen(row)).map(show).collect();
        all.sort_by(|a, b| (&a.account, &a.expires, &a.name).cmp(&(&b.account, &b.expires, &b.name)));
        all
    }

    /// Ends a session. Its streams end within seconds.
    pub(crate) async fn session_end(&self, caller: &Caller, name: &str, dry: bool) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let row = self.accounts.session_named(name).ok_or_else(|| not_found(ObjectKind::Session, name))?;
        self.allow(
            caller,
            "end",
            &Object { owner: &row.user, ..Object::new(ObjectKind::Session, name, name) },
        )?;
        let text = format!("a session of {} is ended", row.user);
        let plan = plan_in_words("session end", vec![format!("{} is logged out there", row.user)]);
        if dry {
            return Ok(plan);
        }
        let told = NewEvent { actor: caller.user.clone(), ..event("account.session-ended", "info", text) };
        let batch = Batch::new(now(), caller.user.as_str(), "session end");
        self.commit(batch.delete_session(&row.token_hash).event(told)).await?;
        locked(&self.accounts.sessions).remove(&row.token_hash);
        Ok(Plan { state: "done".to_string(), ..plan })
    }
}
