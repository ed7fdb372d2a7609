//! `account` and `session`.

use hyper::Method;
use weft_api::{Account, AccountCreate, SessionInfo};

use super::{Context, plan};
use crate::args::{Account as Verb, Session as SessionVerb};
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::Column;
use crate::{prompt, when};

fn columns() -> [Column<Account>; 6] {
    [
        Column { title: "NAME", wide: false, cell: |account| account.name.clone() },
        Column { title: "STATE", wide: false, cell: |account| account.state.clone() },
        Column { title: "ROLE", wide: false, cell: |account| account.role.clone() },
        Column { title: "SESSIONS", wide: false, cell: |account| account.sessions.to_string() },
        Column { title: "TOKENS", wide: false, cell: |account| account.tokens.to_string() },
        Column { title: "MADE", wide: true, cell: |account| when::short(&account.at) },
    ]
}

fn session_columns() -> [Column<SessionInfo>; 6] {
    [
        Column { title: "NAME", wide: false, cell: |session| session.name.clone() },
        Column { title: "STATE", wide: false, cell: |session| session.state.clone() },
        Column { title: "ACCOUNT", wide: false, cell: |session| session.account.clone() },
        Column { title: "FROM", wide: false, cell: |session| session.source.clone() },
        Column { title: "OPENED", wide: false, cell: |session| when::short(&session.at) },
        Column { title: "EXPIRES", wide: false, cell: |session| when::short(&session.expires) },
    ]
}

fn path(name: &str) -> String {
    format!("/api/v1/accounts/{}", segment(name))
}

/// Asked twice on a terminal.
fn password(file: Option<&std::path::Path>) -> Result<String, CliError> {
    let new = prompt::password(file, "first password", "--password-file")?;
    if file.is_none() && prompt::password(None, "first password again", "--password-file")? != new {
        return Err(CliError::usage("the two differ", "try again"));
    }
    Ok(new)
}

/// Runs a verb of `account`.
pub(super) async fn run(context: &Context, verb: &Verb) -> Result<(), CliError> {
    let Context { client, output } = context;
    match verb {
        Verb::List => {
            let all: Vec<Account> = client.get("/api/v1/accounts").await?;
            output.list(&all, &columns(), "no account that you may see")
        }
        Verb::Show(name) => output.one(&client.get::<Account>(&path(&name.account)).await?),
        Verb::Create { name, role, password_file, no_password, dry_run } => {
            // A dry run asks for no secret.
            let password = if *no_password || dry_run.dry_run && password_file.is_none() {
                String::new()
            } else {
                password(password_file.as_deref())?
            };
            let body = AccountCreate { name: name.clone(), role: role.word().to_owned(), password };
            let body = Payload::Json(serde_json::to_value(body).unwrap_or_default());
            if dry_run.dry_run {
                return plan::dry_run(context, Method::POST, "/api/v1/accounts", body).await;
            }
            output.one(&client.answer::<Account>(Method::POST, "/api/v1/accounts", body).await?)
        }
        Verb::Delete { name, dry_run, yes } => {
            let at = path(&name.account);
            if dry_run.dry_run {
                return plan::dry_run(context, Method::DELETE, &at, Payload::None).await;
            }
            prompt::confirm(
                &format!("Delete the account {} with its sessions and tokens?", name.account),
                *yes,
            )?;
            client.change(Method::DELETE, &at, Payload::None).await?;
            output.note(&format!("{} is deleted", name.account));
            Ok(())
        }
        Verb::SetRole { name, role, dry_run } => {
            let at = format!("{}/role", path(&name.account));
            let body = Payload::Json(serde_json::json!({ "role": role.word() }));
            if dry_run.dry_run {
                return plan::dry_run(context, Method::POST, &at, body).await;
            }
            client.change(Method::POST, &at, body).await?;
            output.note(&format!("the role of {} is {}", name.account, role.word()));
            Ok(())
        }
        Verb::SetPassword { name, password_file } => {
            let body = serde_json::json!({ "password": password(password_file.as_deref())? });
            let at = format!("{}/password", path(&name.account));
            client.change(Method::POST, &at, Payload::Json(body)).await?;
            output.note(&format!("{} must change this password at the next log-in", name.account));
            Ok(())
        }
    }
}

/// Runs a verb of `session`.
pub(super) async fn sessions(context: &Context, verb: &SessionVerb) -> Result<(), CliError> {
    let Context { client, output } = context;
    match verb {
        SessionVerb::List => {
            let all: Vec<SessionInfo> = client.get("/api/v1/sessions").await?;
            output.list(&all, &session_columns(), "no session that you may see")
        }
        SessionVerb::End { session, dry_run } => {
            let at = format!("/api/v1/sessions/{}", segment(session));
            if dry_run.dry_run {
                return plan::dry_run(context, Method::DELETE, &at, Payload::None).await;
            }
            client.change(Method::DELETE, &at, Payload::None).await?;
            output.note(&format!("the session {session} is ended"));
            Ok(())
        }
    }
}
