//! `auth`: questions about one's own rights, and policies.

use std::io::Read;
use std::path::Path;

use hyper::Method;
use weft_api::{Answer, AuthPolicy, AuthPolicyCreate, AuthSchema, Problem};

use super::{Context, plan};
use crate::args::{Auth as Verb, AuthPolicy as PolicyVerb, Format};
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::{Column, clean, print};
use crate::settings::read_bounded;
use crate::{prompt, when};

/// Longest text that is sent, bytes.
const MAX_TEXT: u64 = 16 * 1024;

fn columns() -> [Column<AuthPolicy>; 5] {
    [
        Column { title: "NAME", wide: false, cell: |policy| policy.name.clone() },
        Column { title: "STATE", wide: false, cell: |policy| policy.state.clone() },
        Column { title: "AUTHOR", wide: false, cell: |policy| policy.author.clone() },
        Column { title: "ADDED", wide: false, cell: |policy| when::short(&policy.at) },
        Column {
            title: "TEXT",
            wide: true,
            cell: |policy| policy.text.split_whitespace().collect::<Vec<_>>().join(" "),
        },
    ]
}

/// A text of several lines as it is, without what steers a terminal.
fn text(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", clean(line))).collect()
}

/// Runs a verb.
pub(super) async fn run(context: &Context, verb: &Verb) -> Result<(), CliError> {
    match verb {
        Verb::CanI { verb, kind, name, explain } => can_i(context, (verb, kind, name), *explain).await,
        Verb::Policy(verb) => policy(context, verb).await,
        Verb::Schema => {
            let schema: AuthSchema = context.client.get("/api/v1/auth/schema").await?;
            match context.output.format {
                Format::Table | Format::Wide => print(&text(&schema.text)),
                Format::Json | Format::Yaml => context.output.one(&schema),
            }
        }
    }
}

async fn can_i(
    context: &Context,
    (verb, kind, name): (&str, &str, &str),
    explain: bool,
) -> Result<(), CliError> {
    let query = format!("verb={}&kind={}&name={}", segment(verb), segment(kind), segment(name));
    let answer: Answer = context.client.get(&format!("/api/v1/auth/can-i?{query}")).await?;
    match (context.output.format, explain) {
        (Format::Table | Format::Wide, false) => print(&format!("{}\n", clean(&answer.state)))?,
        (Format::Table | Format::Wide, true) | (Format::Json | Format::Yaml, _) => {
            context.output.one(&answer)?
        }
    }
    if answer.state != "refused" {
        return Ok(());
    }
    Err(CliError::Refused(Problem {
        code: "not-allowed".into(),
        status: 403,
        title: format!("you may not {verb} {}", [kind, name].join(" ").trim_end()),
        next: match answer.roles.as_slice() {
            [] => answer.reason,
            roles => format!("{}; it takes the role {}", answer.reason, roles.join(" or ")),
        },
        ..Problem::default()
    }))
}

fn read(file: &Path) -> Result<String, CliError> {
    if file != Path::new("-") {
        return read_bounded(file).map_err(|error| CliError::file(file, error));
    }
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_TEXT + 1).read_to_string(&mut text);
    read.map_err(|source| CliError::Io { what: "standard input".into(), source })?;
    Ok(text)
}

async fn policy(context: &Context, verb: &PolicyVerb) -> Result<(), CliError> {
    let Context { client, output } = context;
    const ALL: &str = "/api/v1/auth/policies";
    let path = |name: &str| format!("{ALL}/{}", segment(name));
    match verb {
        PolicyVerb::List => {
            let all: Vec<AuthPolicy> = client.get(ALL).await?;
            output.list(&all, &columns(), "no policy that you may see")
        }
        PolicyVerb::Show { policy } => {
            let policy: AuthPolicy = client.get(&path(policy)).await?;
            match output.format {
                Format::Table | Format::Wide => print(&text(&policy.text)),
                Format::Json | Format::Yaml => output.one(&policy),
            }
        }
        PolicyVerb::Add { name, file, dry_run } => {
            let body = AuthPolicyCreate { name: name.clone(), text: read(file)? };
            let body = Payload::Json(serde_json::to_value(body).unwrap_or_default());
            if dry_run.dry_run {
                return plan::dry_run(context, Method::POST, ALL, body).await;
            }
            client.answer::<AuthPolicy>(Method::POST, ALL, body).await?;
            output.note(&format!("the policy {name} holds from now on"));
            Ok(())
        }
        PolicyVerb::Delete { policy, dry_run, yes } => {
            if dry_run.dry_run {
                return plan::dry_run(context, Method::DELETE, &path(policy), Payload::None).await;
            }
            prompt::confirm(&format!("Delete the policy {policy}?"), *yes)?;
            client.change(Method::DELETE, &path(policy), Payload::None).await?;
            output.note(&format!("the policy {policy} is deleted"));
            Ok(())
        }
    }
}
