//! `vs create` and `vs copy`: new servers, one or several.

use std::path::Path;

use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weft_api::{Plan, Selection, Vs, VsCopy, VsCreate, VsSeries};

use super::group::{self, SERVERS};
use super::vs::{STARTED, columns, path, settle_all, start};
use super::{Context, plan};
use crate::args::{VsCopy as CopyArgs, VsCreate as CreateArgs};
use crate::client::{Payload, segment};
use crate::error::CliError;

/// Processors of a server of which nothing is said.
const VCPUS: u16 = 1;
/// Its memory, MiB.
const MEMORY_MIB: u32 = 256;

/// A request's body.
pub(super) fn json(body: &impl Serialize) -> Result<Value, CliError> {
    serde_json::to_value(body).map_err(|error| CliError::usage(error.to_string(), ""))
}

/// `vs create`.
pub(super) async fn run(context: &Context, args: &CreateArgs) -> Result<(), CliError> {
    let dry = args.dry_run.dry_run;
    if dry {
        refuse_uploads([&args.kernel, &args.initrd])?;
    }
    // What a template says must not be hidden behind what nobody said.
    let alone = args.template.is_empty();
    let body = VsCreate {
        name: args.name.clone(),
        template: args.template.clone(),
        node: args.node.clone(),
        partition: args.partition.clone(),
        vcpus: args.vcpus.unwrap_or(if alone { VCPUS } else { 0 }),
        memory_mib: args.memory.unwrap_or(if alone { MEMORY_MIB } else { 0 }),
        kernel: blob(context, args.kernel.as_deref()).await?,
        initrd: blob(context, args.initrd.as_deref()).await?,
        append: args.append.clone(),
        labels: args.labels.iter().cloned().collect(),
        hostname: args.settings.hostname.clone(),
        address: args.settings.address.clone(),
        gateway: args.settings.gateway.clone(),
        mac_pool: args.pools.mac_pool.clone(),
        wwnn_pool: args.pools.wwnn_pool.clone(),
        pinned: args.pinned,
        affinity: args.affinity.clone(),
    };
    if let Some(count) = args.count {
        return series(context, args, &VsSeries { count, first: args.first, vs: body }).await;
    }
    let body = json(&body)?;
    if dry {
        plan::dry_run(context, Method::POST, "/api/v1/vs", Payload::Json(body)).await?;
        return then_started(context, args);
    }
    context.client.change(Method::POST, "/api/v1/vs", Payload::Json(body)).await?;
    context.output.note(&format!("{} is defined", args.name));
    if args.start {
        return start(context, &args.name, args.wait).await;
    }
    let vs: Vs = context.client.get(&path(&args.name)).await?;
    context.output.list(&[vs], &columns(), "")
}

fn then_started(context: &Context, args: &CreateArgs) -> Result<(), CliError> {
    if args.start {
        context.output.note("it would then be started, which is a transaction of its own");
    }
    Ok(())
}

/// Several in one transaction.
async fn series(context: &Context, args: &CreateArgs, wanted: &VsSeries) -> Result<(), CliError> {
    let (body, at) = (json(wanted)?, "/api/v1/groups/vs/create");
    if args.dry_run.dry_run {
        plan::dry_run(context, Method::POST, at, Payload::Json(body)).await?;
        return then_started(context, args);
    }
    let plan: Plan = context.client.answer(Method::POST, at, Payload::Json(body)).await?;
    let made = plan.objects.iter().filter(|object| object.kind == "vs");
    let names: Vec<String> = made.map(|object| object.name.clone()).collect();
    context.output.note(&format!(
        "{} servers are defined in transaction {}; to take them back: weft tx undo {}",
        names.len(),
        plan.transaction,
        plan.transaction
    ));
    if args.start {
        let select = Selection { names: names.clone(), ..Selection::default() };
        group::act(context, &SERVERS, "start", &select, &[], args.dry_run).await?;
        return settle_all(context, &names, args.wait, STARTED).await;
    }
    let mut servers: Vec<Vs> = context.client.get("/api/v1/vs").await?;
    servers.retain(|vs| names.contains(&vs.name));
    context.output.list(&servers, &columns(), "")
}

/// `vs copy`.
pub(super) async fn copy(context: &Context, args: &CopyArgs) -> Result<(), CliError> {
    let body = json(&VsCopy {
        name: args.name.clone(),
        node: args.node.clone(),
        hostname: args.settings.hostname.clone(),
        address: args.settings.address.clone(),
        gateway: args.settings.gateway.clone(),
        mac_pool: args.pools.mac_pool.clone(),
        wwnn_pool: args.pools.wwnn_pool.clone(),
    })?;
    let at = format!("/api/v1/vs/{}/copy", segment(&args.source));
    if args.dry_run.dry_run {
        return plan::dry_run(context, Method::POST, &at, Payload::Json(body)).await;
    }
    let vs: Vs = context.client.answer(Method::POST, &at, Payload::Json(body)).await?;
    context.output.note(&format!("{} is a copy of {}, with identifiers of its own", vs.name, args.source));
    context.output.list(&[vs], &columns(), "")
}

#[derive(Deserialize)]
struct Blob {
    digest: String,
}

/// The digest of a kernel or ram disk; a file is uploaded first.
pub(super) async fn blob(context: &Context, what: Option<&str>) -> Result<String, CliError> {
    let Some(what) = what else { return Ok(String::new()) };
    if is_digest(what) && !Path::new(what).exists() {
        return Ok(what.to_ascii_lowercase());
    }
    context.output.progress(&format!("uploading {what}"));
    let blob: Blob =
        context.client.answer(Method::PUT, "/api/v1/blobs", Payload::File(Path::new(what))).await?;
    if is_digest(&blob.digest) {
        Ok(blob.digest)
    } else {
        Err(CliError::Answer { what: "PUT /api/v1/blobs".into(), why: "there is no digest in it".into() })
    }
}

/// A dry run changes nothing, and an upload is a change.
pub(super) fn refuse_uploads(files: [&Option<String>; 2]) -> Result<(), CliError> {
    let file = |what: &&String| !is_digest(what) || Path::new(what.as_str()).exists();
    match files.into_iter().flatten().find(file) {
        Some(file) => Err(CliError::usage(
            format!("a dry run uploads nothing, and {file} is a file"),
            "name a file that the appliance has by its digest, or leave it out for the default guest",
        )),
        None => Ok(()),
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
