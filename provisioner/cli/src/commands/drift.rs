//! `drift`: list, accept, enforce.

use hyper::Method;
use weft_api::{Drift, DriftAnswer, Plan};

use super::{Context, plan};
use crate::args::{Drift as Verb, DriftNames};
use crate::client::Payload;
use crate::error::CliError;
use crate::output::Column;
use crate::{prompt, when};

const PATH: &str = "/api/v1/drift";

fn columns() -> [Column<Drift>; 11] {
    [
        Column { title: "NAME", wide: false, cell: |drift| drift.name.clone() },
        Column { title: "STATE", wide: false, cell: |drift| drift.state.clone() },
        Column { title: "NODE", wide: false, cell: |drift| drift.node.clone() },
        Column { title: "WANTED", wide: false, cell: |drift| drift.wanted.clone() },
        Column { title: "SEEN", wide: false, cell: |drift| drift.seen.clone() },
        Column { title: "SINCE", wide: false, cell: |drift| when::short(&drift.since) },
        Column { title: "NEXT", wide: false, cell: next },
        Column { title: "DOES", wide: true, cell: |drift| drift.does.clone() },
        Column { title: "VS", wide: true, cell: |drift| drift.vs.clone() },
        Column { title: "PARTITION", wide: true, cell: |drift| drift.partition.clone() },
        Column { title: "ENDED", wide: true, cell: |drift| when::short(&drift.ended) },
    ]
}

/// What can be done, or what was.
fn next(drift: &Drift) -> String {
    [&drift.next, &drift.outcome, &drift.does]
        .into_iter()
        .find(|text| !text.is_empty())
        .cloned()
        .unwrap_or_default()
}

/// Runs a verb.
pub(super) async fn run(context: &Context, verb: &Verb) -> Result<(), CliError> {
    match verb {
        Verb::List { all } => {
            let query = if *all { "?all=true" } else { "" };
            let drifts: Vec<Drift> = context.client.get(&format!("{PATH}{query}")).await?;
            context.output.list(&drifts, &columns(), "all nodes that are here are as they are wanted")
        }
        Verb::Accept(names) => answer(context, "accept", names).await,
        Verb::Enforce(names) => answer(context, "enforce", names).await,
    }
}

async fn answer(context: &Context, action: &str, names: &DriftNames) -> Result<(), CliError> {
    let body = |name: &str| {
        let answer = DriftAnswer { action: action.to_owned(), name: name.to_owned() };
        serde_json::to_value(answer).map_err(|error| CliError::usage(error.to_string(), ""))
    };
    if names.dry_run.dry_run {
        for name in &names.names {
            plan::dry_run(context, Method::POST, PATH, Payload::Json(body(name)?)).await?;
        }
        return Ok(());
    }
    if !names.yes && prompt::can_ask() {
        for name in &names.names {
            let path = format!("{PATH}?dry_run=true");
            let plan: Plan = context.client.answer(Method::POST, &path, Payload::Json(body(name)?)).await?;
            plan.effects.iter().for_each(|effect| context.output.note(effect));
            if !plan.lost.is_empty() {
                context.output.note(&format!("lost: {}", plan.lost));
            }
        }
    }
    prompt::confirm(&format!("{action} {}?", names.names.join(", ")), names.yes)?;
    for name in &names.names {
        let done: Plan = context.client.answer(Method::POST, PATH, Payload::Json(body(name)?)).await?;
        context.output.note(&match done.transaction {
            0 => format!("{action} {name}: done"),
            number => {
                format!("{action} {name}: transaction {number}; to take it back: weft tx undo {number}")
            }
        });
    }
    Ok(())
}
