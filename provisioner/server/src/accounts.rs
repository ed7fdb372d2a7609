//! Accounts and sessions: argon2id passwords, tokens kept as digests, throttled log-in.
//!
//! The first administrator's password is drawn at the first start and written to a file that only the
//! appliance's user can read. It dies at its first use: the session that it opens can only set a new one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, PasswordHash};
use tokio::sync::Semaphore;
use weft_api::LoginReply;
use weft_store::{AuthPolicyRow, Batch, NewEvent, SessionRow, Store, StoreError, TokenRow, UserRow};

use crate::auth::{Asker, Rules};
use crate::core::{Core, count, event};
use crate::error::Error;
use crate::transactions::Kind;
use crate::util::{hex, now, random, sha256, unix_s, write_whole};

/// The account of sessions that the machine's owner opens on the machine itself; it has no password.
pub(crate) const LOCAL: &str = "local";
/// The account that is made at the first start.
pub const ADMIN: &str = "admin";
/// File of its one-time password.
const PASSWORD_FILE: &str = "admin-password";
/// Life of a session, seconds.
const SESSION_S: u64 = 12 * 3600;
/// Sessions of one account.
const MAX_SESSIONS: usize = 64;
/// Failures that cost nothing.
const FREE_FAILURES: u32 = 4;
/// Longest wait between tries.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Sources remembered.
const MAX_SOURCES: usize = 10_000;
/// Passwords hashed at once: each takes 19 MiB for a moment.
const HASHES_AT_ONCE: usize = 2;
const MIN_PASSWORD: usize = 12;
const MAX_PASSWORD: usize = 256;
/// The role that may do everything.
pub(crate) const ADMINISTRATOR: &str = "administrator";
/// Stands before the hash of a one-time password that was used.
const SPENT: char = '!';

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    until: Instant,
}

/// Accounts, sessions, tokens and policies in memory, as they stand in the store.
pub(crate) struct Accounts {
    pub(crate) users: Mutex<HashMap<String, UserRow>>,
    /// By digest.
    pub(crate) sessions: Mutex<HashMap<String, SessionRow>>,
    /// By digest.
    pub(crate) tokens: Mutex<HashMap<String, TokenRow>>,
    /// Own policies by name.
    pub(crate) own: Mutex<HashMap<String, AuthPolicyRow>>,
    rules: RwLock<Arc<Rules>>,
    /// By account and by source: whoever fails waits.
    failures: Mutex<HashMap<String, Failures>>,
    hashing: Arc<Semaphore>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) user: String,
    pub(crate) must_change: bool,
    pub(crate) token_hash: String,
    /// Its name, where it is a token that was made for programs and no session.
    pub(crate) token: Option<String>,
    /// As permissions see it.
    pub(crate) asker: Asker,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Accounts {
    pub(crate) async fn open(store: &Store) -> Result<Self, StoreError> {
        let users = store.users().await?.into_iter().map(|user| (user.name.clone(), user)).collect();
        let sessions = store.sessions().await?.into_iter().map(|row| (row.token_hash.clone(), row)).collect();
        let tokens = store.tokens().await?.into_iter().map(|row| (row.token_hash.clone(), row)).collect();
        let own: HashMap<_, _> =
            store.auth_policies().await?.into_iter().map(|row| (row.name.clone(), row)).collect();
        let rules = Rules::new(&own).map_err(|error| {
            // One that was dropped in silence might be the one that forbids.
            tracing::error!(%error, "a policy in the store is not understood");
            StoreError::Damaged { table: "auth_policies", key: error.to_string() }
        })?;
        Ok(Self {
            users: Mutex::new(users),
            sessions: Mutex::new(sessions),
            tokens: Mutex::new(tokens),
            own: Mutex::new(own),
            rules: RwLock::new(Arc::new(rules)),
            failures: Mutex::new(HashMap::new()),
            hashing: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
        })
    }

    /// Policies in force.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Who has this token.
    pub(crate) fn caller(&self, token: &str) -> Option<Caller> {
        self.holder(&hex(&sha256(token.as_bytes())))
    }

    /// Who has the session or token with this digest, as long as it lasts.
    pub(crate) fn holder(&self, token_hash: &str) -> Option<Caller> {
        let now = unix_s();
        let session = locked(&self.sessions).get(token_hash).filter(|row| row.expires > now).cloned();
        if let Some(session) = session {
            let user = locked(&self.users).get(&session.user).cloned()?;
            let asker = Asker { account: user.name.clone(), role: user.role, scope: None };
            let (must_change, token_hash) = (user.must_change, session.token_hash);
            return Some(Caller { user: user.name, must_change, token_hash, token: None, asker });
        }
        let token = locked(&self.tokens).get(token_hash).filter(|row| row.expires > now).cloned()?;
        let user = locked(&self.users).get(&token.account).cloned()?;
        let scope = token.scope.map(|scope| (token.name.clone(), Arc::new(scope)));
        Some(Caller {
            asker: Asker { account: user.name.clone(), role: user.role, scope },
            user: user.name,
            // It was no password that opened the door.
            must_change: false,
            token_hash: token.token_hash,
            token: Some(token.name),
        })
    }

    /// How long these must still wait, where they must.
    fn wait(&self, keys: &[String]) -> Option<Duration> {
        let failures = locked(&self.failures);
        let until = keys.iter().filter_map(|key| failures.get(key)).map(|failure| failure.until).max()?;
        until.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }

    fn failed(&self, keys: &[String]) {
        let mut failures = locked(&self.failures);
        let now = Instant::now();
        if failures.len() >= MAX_SOURCES {
            failures.retain(|_, failure| failure.until + MAX_WAIT > now);
        }
        for key in keys {
            let failure = failures.entry(key.clone()).or_insert(Failures { count: 0, until: now });
            failure.count = failure.count.saturating_add(1);
            let over = failure.count.saturating_sub(FREE_FAILURES);
            if over > 0 {
                let wait = Duration::from_secs(1u64 << over.min(6).saturating_sub(1)).min(MAX_WAIT);
                failure.until = now + wait;
            }
        }
    }

    fn succeeded(&self, keys: &[String]) {
        let mut failures = locked(&self.failures);
        for key in keys {
            failures.remove(key);
        }
    }

    async fn verify(&self, hash: String, password: String) -> bool {
        let Ok(_turn) = self.hashing.acquire().await else { return false };
        let verified = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        verified.await.unwrap_or(false)
    }

    pub(crate) async fn hash(&self, password: String) -> Result<String, Error> {
        let failed = || Error::Io(std::io::Error::other("the password was not hashed"));
        let _turn = self.hashing.acquire().await.map_err(|_| failed())?;
        let hashed = tokio::task::spawn_blocking(move || {
            Argon2::default()
                .hash_password_with_salt(password.as_bytes(), &random::<16>())
                .map(|hash| hash.to_string())
        });
        hashed.await.map_err(|_| failed())?.map_err(|_| failed())
    }
}

fn throttled(wait: Duration) -> Error {
    let seconds = wait.as_secs().saturating_add(1);
    Error::refused(429, "throttled", "too many failed log-ins", format!("try again in {seconds} seconds"))
}

fn wrong() -> Error {
    Error::refused(
        401,
        "wrong-password",
        "account or password is wrong",
        "a one-time password works once; `weft appliance reset-admin` makes a new one",
    )
}

impl Core {
    /// Path of the file with the one-time password.
    pub fn password_file(&self) -> PathBuf {
        self.settings.data.join(PASSWORD_FILE)
    }

    /// Makes the first administrator where there is no account. Returns the file with the password.
    pub async fn first_admin(&self) -> Result<Option<PathBuf>, Error> {
        if !locked(&self.accounts.users).is_empty() {
            return Ok(None);
        }
        self.reset_admin("appliance").await.map(Some)
    }

    /// Gives the administrator a new one-time password, and ends all sessions of the account.
    pub async fn reset_admin(&self, actor: &str) -> Result<PathBuf, Error> {
        let _change = self.change.lock().await;
        let before = locked(&self.accounts.users).get(ADMIN).cloned();
        let password = one_time_password();
        let row = UserRow {
            name: ADMIN.to_string(),
            hash: self.accounts.hash(password.clone()).await?,
            must_change: true,
            one_time: true,
            role: ADMINISTRATOR.to_string(),
            at: before.as_ref().map_or_else(now, |row| row.at.clone()),
        };
        // The file first: a password that nobody can read would lock everybody out.
        let path = self.password_file();
        write_whole(&path, format!("{password}\n").as_bytes(), 0o600)?;
        let told = NewEvent {
            actor: actor.to_string(),
            ..event("account.one-time", "warn", format!("{ADMIN} has a one-time password"))
        };
        self.commit(
            Kind::AccountReset
                .batch(actor)
                .put_user(before.as_ref(), &row)
                .delete_sessions_of(ADMIN)
                .event(told),
        )
        .await?;
        locked(&self.accounts.users).insert(ADMIN.to_string(), row);
        locked(&self.accounts.sessions).retain(|_, session| session.user != ADMIN);
        locked(&self.accounts.failures).clear();
        Ok(path)
    }

    /// A session of the machine's owner, who could give himself a password as well: its token.
    pub async fn local_token(&self, actor: &str) -> Result<String, Error> {
        let _change = self.change.lock().await;
        let before = locked(&self.accounts.users).get(LOCAL).cloned();
        let row = UserRow {
            name: LOCAL.to_string(),
            hash: dummy_hash(),
            role: ADMINISTRATOR.to_string(),
            at: before.as_ref().map_or_else(now, |row| row.at.clone()),
            ..UserRow::default()
        };
        self.commit(Kind::AccountLocal.batch(actor).put_user(before.as_ref(), &row)).await?;
        locked(&self.accounts.users).insert(LOCAL.to_string(), row.clone());
        self.open_session(row, "this machine").await.map(|reply| reply.token)
    }

    /// Logs in.
    pub(crate) async fn login(
        &self,
        source: Option<IpAddr>,
        user: &str,
        password: &str,
    ) -> Result<LoginReply, Error> {
        // An account is throttled for each source apart: a stranger's failures do not lock its owner out.
        let source = source.map_or_else(|| "local".to_string(), |ip| ip.to_string());
        let keys = [format!("{source} {}", user.chars().take(64).collect::<String>()), source];
        if let Some(wait) = self.accounts.wait(&keys) {
            return Err(throttled(wait));
        }
        let known = locked(&self.accounts.users).get(user).cloned();
        // A missing account takes as long as a wrong password.
        let hash = known.as_ref().map_or_else(dummy_hash, |row| row.hash.clone());
        let fits = password.len() <= MAX_PASSWORD && self.accounts.verify(hash, password.to_string()).await;
        let Some(row) = known.filter(|_| fits) else {
            self.accounts.failed(&keys);
            count(&self.counts.logins_failed);
            self.emit(NewEvent {
                actor: user.chars().filter(|c| !c.is_control()).take(64).collect(),
                ..event("account.login-failed", "warn", format!("from {}", keys[1]))
            });
            return Err(wrong());
        };
        self.accounts.succeeded(&keys);
        let _change = self.change.lock().await;
        if locked(&self.accounts.users).get(user) != Some(&row) {
            // Another request used the one-time password or changed it meanwhile.
            return Err(wrong());
        }
        self.open_session(row, &keys[1]).await
    }

    async fn open_session(&self, row: UserRow, source: &str) -> Result<LoginReply, Error> {
        let token = hex(&random::<32>());
        let session = SessionRow {
            token_hash: hex(&sha256(token.as_bytes())),
            user: row.name.clone(),
            expires: unix_s().saturating_add(SESSION_S),
            at: now(),
            source: source.to_string(),
        };
        let told =
            NewEvent { actor: row.name.clone(), ..event("account.login", "info", format!("from {source}")) };
        let mut batch = Kind::AccountLogin.batch(&row.name).put_session(&session).event(told);
        let stale = self.sessions_to_end(&row.name);
        for token_hash in &stale {
            batch = batch.delete_session(token_hash);
        }
        let mut after = row.clone();
        if row.one_time {
            after.one_time = false;
            after.hash.insert(0, SPENT);
            batch = batch.put_user(Some(&row), &after);
        }
        self.commit(batch).await?;
        {
            let mut sessions = locked(&self.accounts.sessions);
            for token_hash in stale {
                sessions.remove(&token_hash);
            }
            sessions.insert(session.token_hash.clone(), session);
        }
        if row.one_time {
            if let Err(error) = std::fs::remove_file(self.password_file()) {
                tracing::warn!(%error, "the file of the used one-time password was not removed");
            }
            locked(&self.accounts.users).insert(after.name.clone(), after.clone());
        }
        Ok(LoginReply { token, must_change: after.must_change })
    }

    /// Expired sessions, and the oldest of an account that has too many.
    fn sessions_to_end(&self, user: &str) -> Vec<String> {
        let sessions = locked(&self.accounts.sessions);
        let now = unix_s();
        let mut ended: Vec<_> =
            sessions.values().filter(|row| row.expires <= now).map(|row| row.token_hash.clone()).collect();
        let mut own: Vec<_> = sessions.values().filter(|row| row.user == user && row.expires > now).collect();
        own.sort_by_key(|row| row.expires);
        let excess = own.len().saturating_add(1).saturating_sub(MAX_SESSIONS);
        ended.extend(own.iter().take(excess).map(|row| row.token_hash.clone()));
        ended
    }

    /// Ends the caller's session.
    pub(crate) async fn logout(&self, caller: &Caller) -> Result<(), Error> {
        if let Some(token) = &caller.token {
            return Err(Error::refused(
                409,
                "no-session",
                format!("{token} is a token and no session"),
                format!("to end it: weft token revoke {token}"),
            ));
        }
        self.commit(Batch::new(now(), caller.user.as_str(), "logout").delete_session(&caller.token_hash))
            .await?;
        locked(&self.accounts.sessions).remove(&caller.token_hash);
        Ok(())
    }

    /// Sets the caller's password and ends the account's other sessions.
    pub(crate) async fn set_password(&self, caller: &Caller, old: &str, new: &str) -> Result<(), Error> {
        if caller.token.is_some() {
            return Err(Error::refused(
                403,
                "not-allowed",
                "a token does not change passwords",
                "log in first: weft login",
            ));
        }
        check_password(new)?;
        if new == old {
            return Err(weak());
        }
        let keys = [format!("password {}", caller.user)];
        if let Some(wait) = self.accounts.wait(&keys) {
            return Err(throttled(wait));
        }
        let _change = self.change.lock().await;
        let Some(row) = locked(&self.accounts.users).get(&caller.user).cloned() else { return Err(wrong()) };
        let hash = row.hash.trim_start_matches(SPENT).to_string();
        if !self.accounts.verify(hash, old.to_string()).await {
            self.accounts.failed(&keys);
            return Err(Error::refused(403, "wrong-password", "the old password is wrong", "try again"));
        }
        let after = UserRow {
            hash: self.accounts.hash(new.to_string()).await?,
            must_change: false,
            one_time: false,
            ..row.clone()
        };
        let others: Vec<String> = locked(&self.accounts.sessions)
            .values()
            .filter(|session| session.user == caller.user && session.token_hash != caller.token_hash)
            .map(|session| session.token_hash.clone())
            .collect();
        let told =
            NewEvent { actor: caller.user.clone(), ..event("account.password", "info", "password changed") };
        let mut batch = Kind::AccountPassword.batch(&caller.user).put_user(Some(&row), &after).event(told);
        for token_hash in &others {
            batch = batch.delete_session(token_hash);
        }
        self.commit(batch).await?;
        locked(&self.accounts.users).insert(after.name.clone(), after);
        locked(&self.accounts.sessions).retain(|token_hash, _| !others.contains(token_hash));
        Ok(())
    }
}

fn weak() -> Error {
    Error::refused(
        422,
        "weak-password",
        "the new password is too short, too long, or the old one",
        format!("{MIN_PASSWORD} to {MAX_PASSWORD} characters"),
    )
}

/// Whether a new password is long enough, and no longer than is hashed.
pub(crate) fn check_password(new: &str) -> Result<(), Error> {
    let fits = (MIN_PASSWORD..=MAX_PASSWORD).contains(&new.chars().count()) && new.len() <= MAX_PASSWORD;
    if fits { Ok(()) } else { Err(weak()) }
}

/// The hash of nothing anybody knows.
pub(crate) fn dummy_hash() -> String {
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        .to_string()
}

/// 80 bits in five groups, without characters that look alike.
fn one_time_password() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789_";
    let drawn = random::<20>();
    let letters: Vec<char> = drawn
        .iter()
        .map(|byte| char::from(LETTERS.get(usize::from(byte & 31)).copied().unwrap_or(b'a')))
        .collect();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

/// Whether a path is the password file of a data folder, for tools that only know the folder.
pub fn password_path(data: &Path) -> PathBuf {
    data.join(PASSWORD_FILE)
}
