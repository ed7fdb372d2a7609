//! `login`, `logout`, `passwd`.

use hyper::Method;
use serde::Deserialize;

use super::Context;
use crate::args::{Login, Passwd};
use crate::client::{Client, Payload};
use crate::error::CliError;
use crate::output::Output;
use crate::prompt;
use crate::settings::Settings;

#[derive(Deserialize)]
struct Session {
    token: String,
    #[serde(default)]
    must_change: bool,
}

/// Logs in, changes a first password where asked, and keeps the token.
pub(super) async fn login(settings: &Settings, output: Output, verb: &Login) -> Result<(), CliError> {
    let mut client = Client::new(settings)?;
    client.token = None;
    let password = prompt::password(verb.password_file.as_deref(), "password", "--password-file")?;
    let body = serde_json::json!({ "user": verb.user, "password": password });
    let session: Session = client.answer(Method::POST, "/api/v1/login", Payload::Json(body)).await?;
    if session.token.is_empty() || session.token.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(CliError::Answer {
            what: "POST /api/v1/login".into(),
            why: "the token is not a word".into(),
        });
    }
    settings.keep_token(&session.token)?;
    client.token = Some(session.token);
    if let Some(name) = &verb.save {
        let path = with_others(settings, &client).await.save(name)?;
        output.note(&format!("profile {name} is now the default in {}", path.display()));
    }
    output.note(&format!("logged in as {}; the token is in {}", verb.user, settings.token_file.display()));
    if !session.must_change {
        return Ok(());
    }
    if verb.new_password_file.is_none() && !prompt::can_ask() {
        // The appliance takes this password no second time, and the file that held it may be gone.
        settings.keep_first(&password)?;
        output.note(
            "this password must be changed before anything else works: weft passwd --new-password-file FILE",
        );
        return Ok(());
    }
    let new = new_password(verb.new_password_file.as_deref())?;
    change(&client, &password, &new).await?;
    output.note("the password is changed");
    Ok(())
}

/// The same settings with the addresses of the other appliances that hold the same: where one is gone, the next is asked.
async fn with_others(settings: &Settings, client: &Client) -> Settings {
    let mut urls: Vec<String> = settings.url.split(',').map(|url| url.trim().to_owned()).collect();
    let local = |url: &str| url.contains("//127.") || url.contains("//[::1]");
    // Who asks over a socket is on the machine; what listens for its own machine alone is of no use on another.
    let here = urls.iter().any(|url| local(url));
    if urls.iter().all(|url| url.starts_with("https://")) {
        let others = client.get::<Vec<weft_api::Appliance>>("/api/v1/appliances").await.unwrap_or_default();
        let others = others.into_iter().flat_map(|one| one.urls).filter(|url| here || !local(url));
        for url in others {
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
    }
    Settings { url: urls.join(","), ..settings.clone() }
}

/// Ends the session. The token is removed even where the appliance is away.
pub(super) async fn logout(settings: &Settings, output: Output) -> Result<(), CliError> {
    let client = Client::new(settings)?;
    let told = match client.token {
        None => Ok(()),
        Some(_) => client.change(Method::POST, "/api/v1/logout", Payload::None).await,
    };
    settings.drop_token()?;
    match told {
        // An expired session is as good as ended.
        Err(CliError::Refused(problem)) if problem.status == 401 => {}
        other => other?,
    }
    output.note("logged out");
    Ok(())
}

/// Changes the password.
pub(super) async fn passwd(settings: &Settings, context: &Context, verb: &Passwd) -> Result<(), CliError> {
    let first = settings.first_file();
    let kept = first.exists().then_some(first.as_path());
    let old = verb.old_password_file.as_deref().or(kept);
    let old = prompt::password(old, "present password", "--old-password-file")?;
    let new = new_password(verb.new_password_file.as_deref())?;
    change(&context.client, &old, &new).await?;
    settings.drop_first()?;
    context.output.note("the password is changed");
    Ok(())
}

fn new_password(file: Option<&std::path::Path>) -> Result<String, CliError> {
    let new = prompt::password(file, "new password", "--new-password-file")?;
    if file.is_none() && prompt::password(None, "new password again", "--new-password-file")? != new {
        return Err(CliError::usage("the two differ", "try again: weft passwd"));
    }
    Ok(new)
}

async fn change(client: &Client, old: &str, new: &str) -> Result<(), CliError> {
    let body = serde_json::json!({ "old": old, "new": new });
    client.change(Method::POST, "/api/v1/password", Payload::Json(body)).await
}
