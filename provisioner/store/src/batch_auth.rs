//! Batches of accounts, sessions, tokens and own policies. History never has a hash.

use hiqlite::Param;

use crate::batch::{Batch, json};
use crate::rows::{AuthPolicyRow, SessionRow, TokenRow, UserRow};

fn shown_user(row: &UserRow) -> String {
    json(&UserRow { hash: String::new(), ..row.clone() })
}

fn shown_token(row: &TokenRow) -> String {
    json(&TokenRow { token_hash: String::new(), ..row.clone() })
}

impl Batch {
    /// Adds or replaces an account. History names it and leaves the hash out.
    #[must_use]
    pub fn put_user(mut self, before: Option<&UserRow>, row: &UserRow) -> Self {
        self.push(
            "INSERT INTO users (name, doc) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET doc = excluded.doc",
            vec![Param::from(row.name.as_str()), Param::from(json(row))],
        );
        self.history("user", &row.name, before.map(shown_user), Some(shown_user(row)));
        self
    }

    /// Deletes an account. Its sessions and tokens are the caller's to end in the same batch.
    #[must_use]
    pub fn delete_user(mut self, row: &UserRow) -> Self {
        self.push("DELETE FROM users WHERE name = $1", vec![Param::from(row.name.as_str())]);
        self.history("user", &row.name, Some(shown_user(row)), None);
        self
    }

    /// Adds a token. A name that another has aborts the batch.
    #[must_use]
    pub fn put_token(mut self, row: &TokenRow) -> Self {
        self.push(
            "INSERT INTO tokens (name, token_hash, account, doc) VALUES ($1, $2, $3, $4)",
            vec![
                Param::from(row.name.as_str()),
                Param::from(row.token_hash.as_str()),
                Param::from(row.account.as_str()),
                Param::from(json(row)),
            ],
        );
        self.history("token", &row.name, None, Some(shown_token(row)));
        self
    }

    /// Revokes a token.
    #[must_use]
    pub fn delete_token(mut self, row: &TokenRow) -> Self {
        self.push("DELETE FROM tokens WHERE name = $1", vec![Param::from(row.name.as_str())]);
        self.history("token", &row.name, Some(shown_token(row)), None);
        self
    }

    /// Adds or replaces an own policy about who may do what.
    #[must_use]
    pub fn put_auth_policy(mut self, before: Option<&AuthPolicyRow>, row: &AuthPolicyRow) -> Self {
        self.push(
            "INSERT INTO auth_policies (name, doc) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET doc = excluded.doc",
            vec![Param::from(row.name.as_str()), Param::from(json(row))],
        );
        self.history("auth-policy", &row.name, before.map(json), Some(json(row)));
        self
    }

    /// Deletes an own policy.
    #[must_use]
    pub fn delete_auth_policy(mut self, row: &AuthPolicyRow) -> Self {
        self.push("DELETE FROM auth_policies WHERE name = $1", vec![Param::from(row.name.as_str())]);
        self.history("auth-policy", &row.name, Some(json(row)), None);
        self
    }

    /// Adds a session.
    #[must_use]
    pub fn put_session(mut self, row: &SessionRow) -> Self {
        self.push(
            "INSERT INTO sessions (token_hash, name, doc) VALUES ($1, $2, $3) \
             ON CONFLICT (token_hash) DO UPDATE SET doc = excluded.doc",
            vec![
                Param::from(row.token_hash.as_str()),
                Param::from(row.user.as_str()),
                Param::from(json(row)),
            ],
        );
        self
    }

    /// Ends a session.
    #[must_use]
    pub fn delete_session(mut self, token_hash: &str) -> Self {
        self.push("DELETE FROM sessions WHERE token_hash = $1", vec![Param::from(token_hash)]);
        self
    }

    /// Ends every session of an account.
    #[must_use]
    pub fn delete_sessions_of(mut self, user: &str) -> Self {
        self.push("DELETE FROM sessions WHERE name = $1", vec![Param::from(user)]);
        self
    }
}
