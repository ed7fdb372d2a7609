//! `image rollout`: start, list, show, watch, pause, resume, abort, back.

use std::time::{Duration, Instant};

use hyper::Method;
use weft_api::{Problem, Rollout, RolloutCreate, RolloutNode};

use super::create::json;
use super::{Context, plan};
use crate::args::{DryRun, Format, Rollout as Verb, RolloutStart};
use crate::client::Payload;
use crate::error::CliError;
use crate::output::{Column, clean, print, table};
use crate::when;

const AT: &str = "/api/v1/rollouts";
/// Pause between two looks at a rollout.
const POLL: Duration = Duration::from_millis(500);
/// Digits of a digest in a table.
const DIGITS: usize = 12;

fn short(digest: &str) -> String {
    digest.get(..DIGITS).unwrap_or(digest).to_string()
}

fn columns() -> [Column<Rollout>; 9] {
    [
        Column { title: "NUMBER", wide: false, cell: |one| one.number.to_string() },
        Column { title: "NAME", wide: false, cell: |one| one.name.clone() },
        Column { title: "STATE", wide: false, cell: |one| one.state.clone() },
        Column { title: "DONE", wide: false, cell: |one| format!("{}/{}", one.done, one.nodes.len()) },
        Column { title: "CANARY", wide: false, cell: |one| one.canary.clone() },
        Column { title: "AT", wide: false, cell: |one| when::short(&one.at) },
        Column { title: "ACTOR", wide: false, cell: |one| one.actor.clone() },
        Column { title: "IMAGE", wide: true, cell: |one| short(&one.image) },
        Column { title: "REASON", wide: false, cell: |one| one.reason.clone() },
    ]
}

fn node_columns() -> [Column<RolloutNode>; 6] {
    [
        Column { title: "NODE", wide: false, cell: |node| node.name.clone() },
        Column { title: "STATE", wide: false, cell: |node| node.state.clone() },
        Column { title: "BEFORE", wide: false, cell: |node| short(&node.image_before) },
        Column { title: "IMAGE", wide: false, cell: |node| short(&node.image) },
        Column { title: "SERVERS", wide: true, cell: |node| node.servers.join(" ") },
        Column { title: "WHY", wide: false, cell: |node| node.reason.clone() },
    ]
}

fn path(number: u64) -> String {
    format!("{AT}/{number}")
}

/// Runs a verb.
pub(super) async fn run(context: &Context, verb: &Verb) -> Result<(), CliError> {
    match verb {
        Verb::Start(args) => start(context, args).await,
        Verb::List { before, limit } => {
            let before = before.map(|before| format!("&before={before}")).unwrap_or_default();
            let all: Vec<Rollout> = context.client.get(&format!("{AT}?limit={limit}{before}")).await?;
            let none = "no rollout yet; make one: weft image rollout start DIGEST --all --dry-run";
            context.output.list(&all, &columns(), none)
        }
        Verb::Show(number) => show(context, &context.client.get(&path(number.number)).await?),
        Verb::Watch { number, timeout } => watch(context, number.number, *timeout).await,
        Verb::Pause { number, dry_run } => decide(context, number.number, "pause", *dry_run).await,
        Verb::Resume { number, dry_run } => decide(context, number.number, "resume", *dry_run).await,
        Verb::Abort { number, dry_run } => decide(context, number.number, "abort", *dry_run).await,
        Verb::Back { number, dry_run } => {
            let at = format!("{}/back", path(number.number));
            if dry_run.dry_run {
                return plan::dry_run(context, Method::POST, &at, Payload::None).await;
            }
            begun(context, &at, Payload::None).await
        }
    }
}

async fn start(context: &Context, args: &RolloutStart) -> Result<(), CliError> {
    let body = json(&RolloutCreate {
        image: args.image.digest.clone(),
        select: args.nodes.selection(),
        canary: args.canary.clone(),
        max_unavailable: args.max_unavailable,
        drain: args.drain.word().to_owned(),
        timeout_s: args.timeout,
    })?;
    if args.dry_run.dry_run {
        return plan::dry_run(context, Method::POST, AT, Payload::Json(body)).await;
    }
    begun(context, AT, Payload::Json(body)).await
}

async fn begun(context: &Context, at: &str, payload: Payload<'_>) -> Result<(), CliError> {
    let rollout: Rollout = context.client.answer(Method::POST, at, payload).await?;
    let number = rollout.number;
    context
        .output
        .note(&format!("rollout {number} is on its way; to follow it: weft image rollout watch {number}"));
    context.output.list(&[rollout], &columns(), "")
}

async fn decide(context: &Context, number: u64, verb: &str, dry_run: DryRun) -> Result<(), CliError> {
    let at = format!("{}/{verb}", path(number));
    if dry_run.dry_run {
        return plan::dry_run(context, Method::POST, &at, Payload::None).await;
    }
    let rollout: Rollout = context.client.answer(Method::POST, &at, Payload::None).await?;
    context.output.list(&[rollout], &columns(), "")
}

/// One rollout: its facts, and its nodes as a table.
fn show(context: &Context, one: &Rollout) -> Result<(), CliError> {
    match context.output.format {
        Format::Json | Format::Yaml => context.output.one(one),
        Format::Table | Format::Wide => {
            let wide = context.output.format == Format::Wide;
            let mut facts = vec![
                ("rollout", format!("{} ({}, generation {})", one.number, one.name, one.generation)),
                ("image", one.image.clone()),
                ("state", format!("{}, {} of {} nodes done", one.state, one.done, one.nodes.len())),
                ("started", format!("{} by {}", when::short(&one.at), one.actor)),
                (
                    "manner",
                    format!(
                        "canary {}, then {} at once, {} s each, drain {}",
                        one.canary, one.max_unavailable, one.timeout_s, one.drain
                    ),
                ),
            ];
            let ended = when::short(&one.ended);
            for (title, text) in [("ended", &ended), ("reason", &one.reason), ("next", &one.next)] {
                if !text.is_empty() && text != "-" {
                    facts.push((title, text.clone()));
                }
            }
            let facts: String =
                facts.iter().map(|(title, text)| format!("{title:<8} {}\n", clean(text))).collect();
            print(&(facts + &table(&one.nodes, &node_columns(), wide)))
        }
    }
}

/// A line for each node that moved.
fn moved(before: Option<&Rollout>, now: &Rollout) -> Vec<String> {
    let known = |node: &RolloutNode| {
        before.and_then(|before| before.nodes.iter().find(|old| old.id == node.id)).map(|old| &old.state)
    };
    let fresh = |node: &&RolloutNode| match known(node) {
        Some(state) => *state != node.state,
        None => node.state != "waiting",
    };
    let line = |node: &RolloutNode| {
        let why = if node.state == "failed" { format!(": {}", node.reason) } else { String::new() };
        format!("{} {}{why}", node.name, node.state)
    };
    now.nodes.iter().filter(fresh).map(line).collect()
}

/// Follows a rollout until nothing more happens by itself.
async fn watch(context: &Context, number: u64, timeout_s: u64) -> Result<(), CliError> {
    let limit = Instant::now() + Duration::from_secs(timeout_s);
    let streams = matches!(context.output.format, Format::Json);
    let mut last: Option<Rollout> = None;
    loop {
        let one: Rollout = context.client.get(&path(number)).await?;
        if last.as_ref() != Some(&one) {
            if streams {
                context.output.item(&one, "")?;
            } else {
                moved(last.as_ref(), &one).iter().for_each(|line| context.output.note(line));
            }
        }
        // One that is paused may still have nodes under way.
        let under_way = ["draining", "restarting", "starting"];
        let rests =
            one.state == "paused" && one.nodes.iter().all(|node| !under_way.contains(&node.state.as_str()));
        if rests || matches!(one.state.as_str(), "done" | "stopped" | "aborted") {
            if !streams {
                show(context, &one)?;
            }
            return if one.state == "done" { Ok(()) } else { Err(not_done(&one)) };
        }
        if Instant::now() >= limit {
            let text = format!("rollout {number} is still {} after {timeout_s} s; it goes on", one.state);
            return Err(CliError::TimedOut(text));
        }
        last = Some(one);
        tokio::time::sleep(POLL).await;
    }
}

fn not_done(one: &Rollout) -> CliError {
    CliError::Refused(Problem {
        code: format!("rollout-{}", one.state),
        status: 409,
        title: format!("rollout {} is {}: {}", one.number, one.state, one.reason),
        next: one.next.clone(),
        ..Problem::default()
    })
}
