//! `token`.

use std::path::Path;

use hyper::Method;
use weft_api::{Token, TokenCreate, TokenScope};

use super::{Context, plan};
use crate::args::{Format, Token as Verb};
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::{Column, print};
use crate::settings::write_private;
use crate::when;

fn columns() -> [Column<Token>; 7] {
    [
        Column { title: "NAME", wide: false, cell: |token| token.name.clone() },
        Column { title: "STATE", wide: false, cell: |token| token.state.clone() },
        Column { title: "ACCOUNT", wide: false, cell: |token| token.account.clone() },
        Column { title: "ONLY", wide: false, cell: only },
        Column { title: "VERBS", wide: false, cell: verbs },
        Column { title: "EXPIRES", wide: false, cell: |token| when::short(&token.expires) },
        Column { title: "MADE", wide: true, cell: |token| when::short(&token.at) },
    ]
}

fn only(token: &Token) -> String {
    token.scope.as_ref().map(|scope| format!("{}/{}", scope.kind, scope.name)).unwrap_or_default()
}

fn verbs(token: &Token) -> String {
    token.scope.as_ref().map(|scope| scope.verbs.join(",")).unwrap_or_default()
}

/// Runs a verb.
pub(super) async fn run(context: &Context, verb: &Verb) -> Result<(), CliError> {
    let Context { client, output } = context;
    match verb {
        Verb::Create { name, days, only, verbs, account, out, dry_run } => {
            let scope = only.clone().map(|(kind, name)| TokenScope {
                kind,
                name,
                verbs: verbs.clone(),
                id: String::new(),
            });
            let body = TokenCreate { name: name.clone(), account: account.clone(), days: *days, scope };
            let body = Payload::Json(serde_json::to_value(body).unwrap_or_default());
            if dry_run.dry_run {
                return plan::dry_run(context, Method::POST, "/api/v1/tokens", body).await;
            }
            let made: Token = client.answer(Method::POST, "/api/v1/tokens", body).await?;
            tell(context, made, out.as_deref())
        }
        Verb::List => {
            let all: Vec<Token> = client.get("/api/v1/tokens").await?;
            output.list(&all, &columns(), "no token that you may see")
        }
        Verb::Revoke { token, dry_run } => {
            let at = format!("/api/v1/tokens/{}", segment(token));
            if dry_run.dry_run {
                return plan::dry_run(context, Method::DELETE, &at, Payload::None).await;
            }
            client.change(Method::DELETE, &at, Payload::None).await?;
            output.note(&format!("the token {token} is revoked"));
            Ok(())
        }
    }
}

/// Where a file was named, the token is there and nowhere else.
fn tell(context: &Context, mut made: Token, out: Option<&Path>) -> Result<(), CliError> {
    let output = context.output;
    let until = when::short(&made.expires);
    if let Some(path) = out {
        let token = std::mem::take(&mut made.token);
        if let Err(error) = write_private(path, token.as_bytes()) {
            output.note(&format!("the token is lost; revoke it: weft token revoke {}", made.name));
            return Err(error);
        }
        output.note(&format!("the token is in {}, until {until}", path.display()));
        return output.one(&made);
    }
    output.note(&format!("this is the only time that the token is shown; it holds until {until}"));
    match output.format {
        Format::Table | Format::Wide => print(&format!("{}\n", made.token)),
        Format::Json | Format::Yaml => output.one(&made),
    }
}
