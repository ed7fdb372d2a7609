//! `vs`: list, show, span, start, stop, reset, delete, set, label, console.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use hyper::Method;
use weft_api::Vs;

use super::group::{self, SERVERS};
use super::{Context, create, plan, span};
use crate::args::{DryRun, Labelled, Servers, Vs as Verb, Wait};
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::Column;
use crate::{console, prompt};

/// Pause between two looks at a server's state.
const POLL: Duration = Duration::from_millis(300);
/// Where a start ends.
pub(super) const STARTED: &[&str] = &["running", "failed"];
/// Where a stop ends.
const STOPPED: &[&str] = &["stopped", "off", "failed"];

pub(super) fn columns() -> [Column<Vs>; 14] {
    [
        Column { title: "NAME", wide: false, cell: |vs| vs.name.clone() },
        Column { title: "STATE", wide: false, cell: |vs| vs.state.clone() },
        Column { title: "NODE", wide: false, cell: nodes },
        Column { title: "VCPUS", wide: false, cell: |vs| vs.vcpus.to_string() },
        Column { title: "MEMORY", wide: false, cell: |vs| format!("{} MiB", vs.memory_mib) },
        Column { title: "DESIRED", wide: false, cell: |vs| vs.desired.clone() },
        Column { title: "STARTS", wide: true, cell: |vs| vs.instance.to_string() },
        Column { title: "MACS", wide: true, cell: |vs| vs.macs.join(",") },
        Column { title: "WWNN", wide: true, cell: |vs| vs.wwnn.clone() },
        Column { title: "KERNEL", wide: true, cell: |vs| vs.kernel.chars().take(12).collect() },
        Column { title: "EXITS", wide: true, cell: |vs| vs.exits.to_string() },
        Column { title: "LABELS", wide: true, cell: |vs| crate::output::labels(&vs.labels) },
        Column { title: "PENDING", wide: true, cell: pending },
        Column { title: "REASON", wide: false, cell: |vs| vs.reason.clone() },
    ]
}

/// What its next start takes.
fn pending(vs: &Vs) -> String {
    vs.pending.iter().map(|field| format!("{}={}", field.field, field.after)).collect::<Vec<_>>().join(",")
}

/// The node, or what each node of a spanning server gives.
fn nodes(vs: &Vs) -> String {
    if vs.places.is_empty() {
        return vs.node.clone();
    }
    let place = |place: &weft_api::VsPlace| format!("{}:{}+{}M", place.node, place.vcpus, place.memory_mib);
    vs.places.iter().map(place).collect::<Vec<_>>().join(",")
}

pub(super) fn path(name: &str) -> String {
    format!("/api/v1/vs/{}", segment(name))
}

/// Runs a verb.
pub(super) async fn run(context: &Context, verb: &Verb) -> Result<(), CliError> {
    let Context { client, output } = context;
    match verb {
        Verb::List(shown) => {
            let servers: Vec<Vs> = client.get(&format!("/api/v1/vs{}", shown.query())).await?;
            let empty = match shown.selector {
                Some(_) => "no virtual server fits",
                None => "no virtual server yet; make one: weft vs create NAME --start",
            };
            output.list(&servers, &columns(), empty)
        }
        Verb::Show(name) => {
            let vs: Vs = client.get(&path(&name.server)).await?;
            output.one(&vs)?;
            if vs.partition.is_empty() { Ok(()) } else { span::section(context, &vs.name).await }
        }
        Verb::Span { name, watch } => span::run(context, &name.server, *watch).await,
        Verb::Create(args) => create::run(context, args).await,
        Verb::Copy(args) => create::copy(context, args).await,
        Verb::Move { servers, node, dry_run } => {
            let chosen = servers.chosen();
            let Some(name) = chosen.one() else {
                let body = serde_json::json!({ "select": chosen.selection(), "node": node });
                return group::change(context, &SERVERS, "move", body, *dry_run).await;
            };
            let (at, body) = (format!("{}/move", path(name)), serde_json::json!({ "node": node }));
            if dry_run.dry_run {
                return plan::dry_run(context, Method::POST, &at, Payload::Json(body)).await;
            }
            client.change(Method::POST, &at, Payload::Json(body)).await?;
            let vs: Vs = client.get(&path(name)).await?;
            output.note(&format!("{} lies on {}; start it: weft vs start {}", vs.name, vs.node, vs.name));
            output.list(&[vs], &columns(), "")
        }
        Verb::Start { servers, dry_run, wait } => {
            power(context, servers, "start", *dry_run, Some((*wait, STARTED))).await
        }
        Verb::Stop { servers, dry_run, wait } => {
            power(context, servers, "stop", *dry_run, Some((*wait, STOPPED))).await
        }
        Verb::Reset { servers, dry_run } => power(context, servers, "reset", *dry_run, None).await,
        Verb::Delete { servers, dry_run, yes } => delete(context, servers, *dry_run, *yes).await,
        Verb::Set(args) => super::set::run(context, args).await,
        Verb::Label { servers, dry_run } => {
            let Labelled { select, labels } = servers.read()?;
            let [name] = select.names.as_slice() else {
                return group::label_all(context, &SERVERS, &select, &labels, *dry_run).await;
            };
            if group::label(context, &path(name), &labels, *dry_run).await? {
                let vs: Vs = client.get(&path(name)).await?;
                group::told(context, &vs.name, &vs.labels);
                output.list(&[vs], &columns(), "")?;
            }
            Ok(())
        }
        Verb::Console(args) => console::run(client, *output, args).await,
    }
}

/// Starts, stops or resets; `until` says whether to wait, and for which states.
async fn power(
    context: &Context,
    servers: &Servers,
    action: &str,
    dry_run: DryRun,
    until: Option<(Wait, &[&str])>,
) -> Result<(), CliError> {
    let chosen = servers.chosen();
    let Some(name) = chosen.one() else {
        let plan = group::act(context, &SERVERS, action, &chosen.selection(), &[], dry_run).await?;
        let names = plan.into_iter().flat_map(|plan| plan.objects).filter(|object| object.kind == "vs");
        let names: Vec<String> = names.map(|object| object.name).collect();
        return match until {
            Some((wait, states)) if !dry_run.dry_run => settle_all(context, &names, wait, states).await,
            Some(_) | None => Ok(()),
        };
    };
    let at = format!("{}/{action}", path(name));
    if dry_run.dry_run {
        return plan::dry_run(context, Method::POST, &at, Payload::None).await;
    }
    context.client.change(Method::POST, &at, Payload::None).await?;
    match until {
        Some((wait, states)) => settle(context, name, wait, states).await,
        None => {
            context.output.note(&format!("{name} is reset"));
            Ok(())
        }
    }
}

async fn delete(context: &Context, servers: &Servers, dry_run: DryRun, yes: bool) -> Result<(), CliError> {
    let chosen = servers.chosen();
    let Some(name) = chosen.one() else {
        let yes = yes || dry_run.dry_run;
        let select = group::confirmed(context, &SERVERS, "Delete", chosen, yes).await?;
        return group::act(context, &SERVERS, "delete", &select, &[], dry_run).await.map(drop);
    };
    if dry_run.dry_run {
        return plan::dry_run(context, Method::DELETE, &path(name), Payload::None).await;
    }
    prompt::confirm(&format!("Delete {name}?"), yes)?;
    context.client.change(Method::DELETE, &path(name), Payload::None).await?;
    context.output.note(&format!("{name} is deleted"));
    Ok(())
}

pub(super) async fn start(context: &Context, name: &str, wait: Wait) -> Result<(), CliError> {
    context.client.change(Method::POST, &format!("{}/start", path(name)), Payload::None).await?;
    settle(context, name, wait, STARTED).await
}

/// Whether to wait for a state.
fn waits(wait: Wait) -> bool {
    wait.wait || (!wait.no_wait && std::io::stderr().is_terminal())
}

/// Waits until each is in one of the states where that was asked for, then prints them.
pub(super) async fn settle_all(
    context: &Context,
    names: &[String],
    wait: Wait,
    states: &[&str],
) -> Result<(), CliError> {
    let limit = Instant::now() + Duration::from_secs(wait.timeout);
    let mut last = usize::MAX;
    loop {
        let mut servers: Vec<Vs> = context.client.get("/api/v1/vs").await?;
        servers.retain(|vs| names.contains(&vs.name));
        let left = servers.iter().filter(|vs| !states.contains(&vs.state.as_str())).count();
        if left != last {
            context.output.progress(&format!("{left} of {} on their way", servers.len()));
            last = left;
        }
        if !waits(wait) || left == 0 {
            context.output.list(&servers, &columns(), "")?;
            let failed = servers.iter().find(|vs| vs.state == "failed").filter(|_| waits(wait));
            return failed.map_or(Ok(()), |vs| Err(failure(&vs.name, &vs.reason)));
        }
        if Instant::now() >= limit {
            let late = format!("{left} of {} are not done after {} s", servers.len(), wait.timeout);
            return Err(CliError::TimedOut(late));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits for one of the states where that was asked for, then prints the server.
async fn settle(context: &Context, name: &str, wait: Wait, states: &[&str]) -> Result<(), CliError> {
    let waits = waits(wait);
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
        ..weft_api::Problem::default()
    })
}
