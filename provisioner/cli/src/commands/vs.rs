//! `vs`: create, list, show, start, stop, reset, delete, console.

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use serde::Deserialize;
use weft_api::{Vs, VsCreate};

use super::Context;
use crate::args::{Vs as Verb, VsCreate as CreateArgs, Wait};
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::Column;
use crate::{console, prompt};

/// Pause between two looks at a server's state.
const POLL: Duration = Duration::from_millis(300);

fn columns() -> [Column<Vs>; 11] {
    [
        Column { title: "NAME", wide: false, cell: |vs| vs.name.clone() },
        Column { title: "STATE", wide: false, cell: |vs| vs.state.clone() },
        Column { title: "NODE", wide: false, cell: |vs| vs.node.clone() },
        Column { title: "VCPUS", wide: false, cell: |vs| vs.vcpus.to_string() },
        Column { title: "MEMORY", wide: false, cell: |vs| format!("{} MiB", vs.memory_mib) },
        Column { title: "DESIRED", wide: false, cell: |vs| vs.desired.clone() },
        Column { title: "STARTS", wide: true, cell: |vs| vs.instance.to_string() },
        Column { title: "MACS", wide: true, cell: |vs| vs.macs.join(",") },
        Column { title: "KERNEL", wide: true, cell: |vs| vs.kernel.chars().take(12).collect() },
        Column { title: "EXITS", wide: true, cell: |vs| vs.exits.to_string() },
        Column { title: "REASON", wide: false, cell: |vs| vs.reason.clone() },
    ]
}

fn path(name: &str) -> String {
    format!("/api/v1/vs/{}", segment(name))
}

/// Runs a verb.
pub(super) async fn run(context: &Context, verb: &Verb) -> Result<(), CliError> {
    let Context { client, output } = context;
    match verb {
        Verb::List => {
            let servers: Vec<Vs> = client.get("/api/v1/vs").await?;
            output.list(&servers, &columns(), "no virtual server yet; make one: weft vs create NAME --start")
        }
        Verb::Show(name) => output.one(&client.get::<Vs>(&path(&name.server)).await?),
        Verb::Create(args) => create(context, args).await,
        Verb::Start { name, wait } => start(context, &name.server, *wait).await,
        Verb::Stop { name, wait } => {
            client.change(Method::POST, &format!("{}/stop", path(&name.server)), Payload::None).await?;
            settle(context, &name.server, *wait, &["stopped", "off", "failed"]).await
        }
        Verb::Reset(name) => {
            client.change(Method::POST, &format!("{}/reset", path(&name.server)), Payload::None).await?;
            output.note(&format!("{} is reset", name.server));
            Ok(())
        }
        Verb::Delete { name, yes } => {
            prompt::confirm(&format!("Delete {}?", name.server), *yes)?;
            client.change(Method::DELETE, &path(&name.server), Payload::None).await?;
            output.note(&format!("{} is deleted", name.server));
            Ok(())
        }
        Verb::Console(args) => console::run(client, *output, args).await,
    }
}

async fn create(context: &Context, args: &CreateArgs) -> Result<(), CliError> {
    let body = VsCreate {
        name: args.name.clone(),
        node: args.node.clone(),
        vcpus: args.vcpus,
        memory_mib: args.memory,
        kernel: blob(context, args.kernel.as_deref()).await?,
        initrd: blob(context, args.initrd.as_deref()).await?,
        append: args.append.clone(),
    };
    let body = serde_json::to_value(body).map_err(|error| CliError::usage(error.to_string(), ""))?;
    context.client.change(Method::POST, "/api/v1/vs", Payload::Json(body)).await?;
    context.output.note(&format!("{} is defined", args.name));
    if args.start {
        return start(context, &args.name, args.wait).await;
    }
    let vs: Vs = context.client.get(&path(&args.name)).await?;
    context.output.list(&[vs], &columns(), "")
}

async fn start(context: &Context, name: &str, wait: Wait) -> Result<(), CliError> {
    context.client.change(Method::POST, &format!("{}/start", path(name)), Payload::None).await?;
    settle(context, name, wait, &["running", "failed"]).await
}

#[derive(Deserialize)]
struct Blob {
    digest: String,
}

/// The digest of a kernel or ram disk; a file is uploaded first.
async fn blob(context: &Context, what: Option<&str>) -> Result<String, CliError> {
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

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Waits for one of the states where that was asked for, then prints the server.
async fn settle(context: &Context, name: &str, wait: Wait, states: &[&str]) -> Result<(), CliError> {
    let waits = wait.wait || (!wait.no_wait && std::io::stderr().is_terminal());
    let limit = Instant::now() + Duration::from_secs(wait.timeout);
    let mut last = String::new();
    loop {
        let vs: Vs = context.client.get(&path(name)).await?;
        if vs.state != last {
            context.output.progress(&format!("{name}: {}", vs.state));
            last.clone_from(&vs.state);
        }
        if !waits || states.contains(&vs.state.as_str()) {
            let failed = waits && vs.state == "failed";
            let reason = vs.reason.clone();
            context.output.list(&[vs], &columns(), "")?;
            return if failed { Err(failure(name, &reason)) } else { Ok(()) };
        }
        if Instant::now() >= limit {
            return Err(CliError::TimedOut(format!("{name} is still {last} after {} s", wait.timeout)));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn failure(name: &str, reason: &str) -> CliError {
    CliError::Refused(weft_api::Problem {
        code: "vs-failed".into(),
        status: 500,
        title: format!("{name} failed: {}", if reason.is_empty() { "no reason is known" } else { reason }),
        next: format!("see weft vs console {name} and weft event list"),
    })
}
