//! Accounts, sessions, tokens, and who may do what.

use serde::{Deserialize, Serialize};

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Account {
    /// Unique name.
    pub name: String,
    /// `active`; `must-change`: its next log-in can only set another password; `no-password`: nobody logs in to it.
    pub state: String,
    /// `viewer`, `operator`, `auditor`, `administrator`, or `none`: only what own policies permit.
    pub role: String,
    /// When it was made, empty where that is not known.
    pub at: String,
    /// Sessions that last.
    pub sessions: u32,
    /// Tokens that last.
    pub tokens: u32,
}

/// A new account. It must change its password at its first log-in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccountCreate {
    /// Unique name: 1–63 letters, digits, `- . _ @`.
    pub name: String,
    /// As in [`Account`].
    pub role: String,
    /// First password, 12 to 256 characters; empty: nobody can log in, the account has tokens only.
    #[serde(default)]
    pub password: String,
}

/// Another role for an account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoleChange {
    /// As in [`Account`].
    pub role: String,
}

/// Another password for another's account. Its sessions end, and it must change the password at its next log-in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasswordReset {
    /// 12 to 256 characters.
    pub password: String,
}

/// A session of an account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionInfo {
    /// Names it, 16 hexadecimal digits. Nobody can use the session with it.
    pub name: String,
    /// `own`: the one that asks; else `open`.
    pub state: String,
    /// Account.
    pub account: String,
    /// When it was opened, empty where that is not known.
    pub at: String,
    /// Address that logged in, empty where that is not known.
    pub source: String,
    /// When it ends by itself.
    pub expires: String,
}

/// A token of the interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    /// Unique name.
    pub name: String,
    /// `active` or `expired`.
    pub state: String,
    /// Account that it acts for.
    pub account: String,
    /// When it was made.
    pub at: String,
    /// When it ends by itself.
    pub expires: String,
    /// The one object that it is for; absent: all that its account may.
    #[serde(default)]
    pub scope: Option<TokenScope>,
    /// The token itself, in the answer that makes it and nowhere else.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token: String,
}

/// The one object that a token is for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenScope {
    /// `vs` or `node`.
    pub kind: String,
    /// Name or id; the id counts, so that another object that gets the name is not meant.
    pub name: String,
    /// What may be done with it; it may be seen in any case. Empty: for a server start, stop and label.
    #[serde(default)]
    pub verbs: Vec<String>,
    /// Identity, in answers.
    #[serde(default)]
    pub id: String,
}

/// A new token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenCreate {
    /// Unique name: 1–63 letters, digits, `- . _ @`.
    pub name: String,
    /// Account that it acts for; empty: one's own.
    #[serde(default)]
    pub account: String,
    /// Days for which it holds, 1–365.
    pub days: u32,
    /// The one object that it is for.
    #[serde(default)]
    pub scope: Option<TokenScope>,
}

/// A policy about who may do what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuthPolicy {
    /// Unique name.
    pub name: String,
    /// `built-in`: a role, which cannot be changed; `own`.
    pub state: String,
    /// Cedar.
    pub text: String,
    /// When it was added, empty for a role.
    pub at: String,
    /// Who added it, empty for a role.
    pub author: String,
}

/// A new policy. One that has the name is refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuthPolicyCreate {
    /// Unique name: 1–63 letters, digits, `- . _ @`.
    pub name: String,
    /// Cedar, 1–16 statements, at most 16 KiB, valid by the schema of `GET /api/v1/auth/schema`.
    pub text: String,
}

/// The schema that own policies must fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuthSchema {
    /// Cedar's schema language.
    pub text: String,
}

/// Whether the caller may do something.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Question {
    /// `view`, `start`, …
    pub verb: String,
    /// `vs`, `node`, `partition`, `image`, `blob`, `history`, `event`, `appliance`, `operator`, `account`, `session`, `token`,
    /// `auth-policy`.
    pub kind: String,
    /// Object by name or id; empty: any of the kind.
    #[serde(default)]
    pub name: String,
}

/// Questions asked at once, 1–200.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Questions {
    /// The questions.
    pub questions: Vec<Question>,
}

/// Whether the caller may do something, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Answer {
    /// The object that was asked about; empty: any of the kind.
    pub name: String,
    /// `allowed`, `refused`, or `depends`: on the object, and none was named.
    pub state: String,
    /// As asked.
    pub verb: String,
    /// As asked.
    pub kind: String,
    /// Why, in a sentence.
    pub reason: String,
    /// Policies that decided; with `depends` those that look at the object. None: no policy permits it.
    pub policies: Vec<String>,
    /// Roles that may do it.
    pub roles: Vec<String>,
}

/// Most questions of one call.
pub const MAX_QUESTIONS: usize = 200;
