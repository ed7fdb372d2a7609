//! `node bmc` and `node power`.

use std::path::Path;

use hyper::Method;
use weft_api::{Bmc, BmcSet, Node, NodePower, Plan, PowerState, Problem};

use super::create::json;
use super::group::{self, NODES};
use super::{Context, plan};
use crate::args::{Bmc as BmcVerb, BmcSet as SetArgs, DryRun, Power, PowerArgs};
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::Column;
use crate::prompt;

fn path(name: &str) -> String {
    format!("/api/v1/nodes/{}/bmc", segment(name))
}

/// Runs a verb of `node bmc`.
pub(super) async fn bmc(context: &Context, verb: &BmcVerb) -> Result<(), CliError> {
    let Context { client, output } = context;
    match verb {
        BmcVerb::Set(args) => set(context, args).await,
        BmcVerb::Show(name) => output.one(&client.get::<Bmc>(&path(&name.node)).await?),
        BmcVerb::Clear { name, dry_run: DryRun { dry_run: true }, .. } => {
            plan::dry_run(context, Method::DELETE, &path(&name.node), Payload::None).await
        }
        BmcVerb::Clear { name, yes, .. } => {
            prompt::confirm(&format!("Forget the management controller of {}?", name.node), *yes)?;
            client.change(Method::DELETE, &path(&name.node), Payload::None).await?;
            output.note(&format!("{} has no management controller set", name.node));
            Ok(())
        }
    }
}

/// A fingerprint as it is, or what a file has.
fn certificate(given: Option<&str>) -> Result<String, CliError> {
    match given {
        None => Ok(String::new()),
        Some(text) if text.starts_with("sha256:") => Ok(text.to_owned()),
        Some(file) => {
            let path = Path::new(file);
            crate::settings::read_bounded(path).map_err(|error| CliError::file(path, error))
        }
    }
}

async fn set(context: &Context, args: &SetArgs) -> Result<(), CliError> {
    let password = if args.keep_password {
        String::new()
    } else {
        prompt::password(
            args.password_file.as_deref(),
            "password of the controller's account",
            "--password-file",
        )?
    };
    let body = json(&BmcSet {
        kind: args.kind.word().to_owned(),
        address: args.address.clone(),
        account: args.account.clone(),
        password,
        certificate: certificate(args.certificate.as_deref())?,
        system: args.system.clone(),
    })?;
    let at = path(&args.name.node);
    if args.dry_run.dry_run {
        return plan::dry_run(context, Method::PUT, &at, Payload::Json(body)).await;
    }
    context.client.change(Method::PUT, &at, Payload::Json(body)).await?;
    let name = &args.name.node;
    context.output.note(&format!("it is set; to try it: weft node power status {name}"));
    Ok(())
}

/// Runs a verb of `node power`.
pub(super) async fn power(context: &Context, verb: &Power) -> Result<(), CliError> {
    match verb {
        Power::On(args) => change(context, "on", false, args).await,
        Power::Off { args, graceful } => change(context, "off", *graceful, args).await,
        Power::Reset(args) => change(context, "reset", false, args).await,
        Power::Status { nodes } => {
            let select = nodes.chosen().selection();
            let names = if select.names.is_empty() {
                let query = if select.all {
                    String::new()
                } else {
                    format!("?selector={}", segment(&select.selector))
                };
                let all: Vec<Node> = context.client.get(&format!("/api/v1/nodes{query}")).await?;
                all.into_iter().filter(|node| !node.id.is_empty()).map(|node| node.name).collect()
            } else {
                select.names
            };
            status(context, &names).await
        }
    }
}

async fn status(context: &Context, names: &[String]) -> Result<(), CliError> {
    let mut all = Vec::new();
    let mut failed = None;
    for name in names {
        match context.client.get::<PowerState>(&format!("/api/v1/nodes/{}/power", segment(name))).await {
            Ok(state) => all.push(state),
            Err(error @ CliError::Refused(_)) if names.len() > 1 => {
                context.output.note(&error.to_string());
                failed = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    let columns = [
        Column { title: "NAME", wide: false, cell: |one: &PowerState| one.name.clone() },
        Column { title: "STATE", wide: false, cell: |one| one.state.clone() },
        Column { title: "BY", wide: false, cell: |one| one.kind.clone() },
    ];
    context.output.list(&all, &columns, "no node is chosen")?;
    failed.map_or(Ok(()), Err)
}

async fn change(context: &Context, action: &str, graceful: bool, args: &PowerArgs) -> Result<(), CliError> {
    const AT: &str = "/api/v1/groups/nodes/power";
    let yes = args.yes || args.dry_run.dry_run || action == "on";
    let question = if action == "off" { "Power off" } else { "Reset" };
    let select = group::confirmed(context, &NODES, question, args.nodes.chosen(), yes).await?;
    let body = json(&NodePower { action: action.to_owned(), graceful, select })?;
    if args.dry_run.dry_run {
        return plan::dry_run(context, Method::POST, AT, Payload::Json(body)).await;
    }
    let done: Plan = context.client.answer(Method::POST, AT, Payload::Json(body)).await?;
    plan::show(context.output, &done)?;
    match done.conflicts.as_slice() {
        [] => Ok(()),
        failed => Err(CliError::Refused(Problem {
            code: "power-failed".into(),
            status: 409,
            title: format!("{} of {} nodes did not do it", failed.len(), done.objects.len()),
            next: "see each above; the others did it".into(),
            changed: Vec::new(),
        })),
    }
}
