//! `vs set`: a change of a server that is there, made of the version that was looked at.

use hyper::Method;
use weft_api::{Vs, VsEdit};

use super::create::{blob, json, refuse_uploads};
use super::vs::{columns, path};
use super::{Context, plan};
use crate::args::VsSet as Args;
use crate::client::{Payload, segment};
use crate::error::CliError;

/// A file that is named; one that is named as nothing is none.
async fn file(context: &Context, what: Option<&String>) -> Result<Option<String>, CliError> {
    match what {
        Some(what) if what.is_empty() => Ok(Some(String::new())),
        Some(what) => blob(context, Some(what)).await.map(Some),
        None => Ok(None),
    }
}

/// Runs it.
pub(super) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let named = |file: &Option<String>| file.clone().filter(|file| !file.is_empty());
    if args.dry_run.dry_run {
        refuse_uploads([&named(&args.kernel), &named(&args.initrd)])?;
    }
    let (before, version): (Vs, _) = context.client.get_version(&path(&args.of.server)).await?;
    let body = json(&VsEdit {
        name: args.renamed.clone(),
        vcpus: args.vcpus,
        memory_mib: args.memory,
        kernel: file(context, args.kernel.as_ref()).await?,
        initrd: file(context, args.initrd.as_ref()).await?,
        append: args.append.clone(),
        hostname: args.hostname.clone(),
        address: args.address.clone(),
        gateway: args.gateway.clone(),
        affinity: args.affinity.clone(),
        ..VsEdit::default()
    })?;
    // By its identity: it may be called otherwise afterwards.
    let at = format!("/api/v1/vs/{}", segment(&before.id));
    if args.dry_run.dry_run {
        return plan::dry_run(context, Method::PATCH, &at, Payload::Json(body)).await;
    }
    context.client.change_version(Method::PATCH, &at, Payload::Json(body), version.as_deref()).await?;
    let after: Vs = context.client.get(&at).await?;
    let name = &after.name;
    for field in &after.pending {
        context.output.note(&format!(
            "{} is not applied: it is {} until the next start; to restart it: weft vs reset {name}",
            field.field,
            if field.before.is_empty() { "none" } else { &field.before }
        ));
    }
    context.output.list(&[after], &columns(), "")
}
