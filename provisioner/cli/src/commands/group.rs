//! Verbs on several objects: one request, one transaction; and labels.

use hyper::Method;
use serde::Deserialize;
use weft_api::{LabelChange, Labels, Plan, Selection};

use super::{Context, plan};
use crate::args::{Chosen, DryRun, LabelArg};
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::prompt;

/// Names told in a question.
const NAMES: usize = 10;

/// Objects of a kind.
pub(super) struct Noun {
    /// As in paths.
    pub(super) path: &'static str,
    pub(super) words: &'static str,
}

/// Virtual servers.
pub(super) const SERVERS: Noun = Noun { path: "vs", words: "virtual servers" };
/// Nodes.
pub(super) const NODES: Noun = Noun { path: "nodes", words: "nodes" };

/// Changes a group. `None` where it was a dry run.
pub(super) async fn act(
    context: &Context,
    noun: &Noun,
    action: &str,
    select: &Selection,
    fingerprints: &[String],
    dry_run: DryRun,
) -> Result<Option<Plan>, CliError> {
    let mut body = serde_json::json!({ "action": action, "select": select });
    if !fingerprints.is_empty() {
        body["fingerprints"] = fingerprints.into();
    }
    let path = format!("/api/v1/groups/{}", noun.path);
    if dry_run.dry_run {
        return plan::dry_run(context, Method::POST, &path, Payload::Json(body)).await.map(|()| None);
    }
    let plan: Plan = context.client.answer(Method::POST, &path, Payload::Json(body)).await?;
    told_plan(context, action, noun, &plan);
    Ok(Some(plan))
}

/// Says what was done to a group, and how it is taken back.
pub(super) fn told_plan(context: &Context, action: &str, noun: &Noun, plan: &Plan) {
    context.output.note(&match (plan.state.as_str(), plan.transaction) {
        ("nothing", _) => format!("{action}: nothing was to be done"),
        (_, 0) => format!("{action}: done"),
        (_, number) => format!(
            "{action}: {} {} in transaction {number}; to take it back: weft tx undo {number}",
            plan.objects.len(),
            noun.words
        ),
    });
}

#[derive(Deserialize)]
struct Named {
    name: String,
    id: String,
}

/// Asks before a group is changed. Who is asked about what labels choose sees its names, and those are changed.
pub(super) async fn confirmed(
    context: &Context,
    noun: &Noun,
    action: &str,
    chosen: Chosen<'_>,
    yes: bool,
) -> Result<Selection, CliError> {
    let mut select = chosen.selection();
    if yes || !prompt::can_ask() {
        return Ok(select);
    }
    if select.names.is_empty() {
        let query =
            if select.all { String::new() } else { format!("?selector={}", segment(&select.selector)) };
        let all: Vec<Named> = context.client.get(&format!("/api/v1/{}{query}", noun.path)).await?;
        // A machine that only boots has no identity yet.
        let names: Vec<String> =
            all.into_iter().filter(|one| !one.id.is_empty()).map(|one| one.name).collect();
        if names.is_empty() {
            return Ok(select);
        }
        select = Selection { names, ..Selection::default() };
    }
    let first = select.names.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match select.names.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    prompt::confirm(&format!("{action} {} {}: {first}{more}?", select.names.len(), noun.words), yes)?;
    Ok(select)
}

/// Changes an object's labels; `false` where it was a dry run.
pub(super) async fn label(
    context: &Context,
    path: &str,
    labels: &[LabelArg],
    dry_run: DryRun,
) -> Result<bool, CliError> {
    let body = relabel(labels)?;
    let path = format!("{path}/labels");
    if dry_run.dry_run {
        return plan::dry_run(context, Method::POST, &path, Payload::Json(body)).await.map(|()| false);
    }
    context.client.change(Method::POST, &path, Payload::Json(body)).await.map(|()| true)
}

/// A change of labels as the interface takes it.
fn relabel(labels: &[LabelArg]) -> Result<serde_json::Value, CliError> {
    let mut change = LabelChange::default();
    for label in labels {
        match label {
            LabelArg::Set(key, value) => _ = change.set.insert(key.clone(), value.clone()),
            LabelArg::Remove(key) => change.remove.push(key.clone()),
        }
    }
    serde_json::to_value(change).map_err(|error| CliError::usage(error.to_string(), ""))
}

/// Changes labels of several objects, in one transaction.
pub(super) async fn label_all(
    context: &Context,
    noun: &Noun,
    select: &Selection,
    labels: &[LabelArg],
    dry_run: DryRun,
) -> Result<(), CliError> {
    let body = serde_json::json!({ "select": select, "labels": relabel(labels)? });
    change(context, noun, "labels", body, dry_run).await
}

/// Makes a change of several objects that has a path of its own, or shows its plan.
pub(super) async fn change(
    context: &Context,
    noun: &Noun,
    what: &str,
    body: serde_json::Value,
    dry_run: DryRun,
) -> Result<(), CliError> {
    let path = format!("/api/v1/groups/{}/{what}", noun.path);
    if dry_run.dry_run {
        return plan::dry_run(context, Method::POST, &path, Payload::Json(body)).await;
    }
    let plan: Plan = context.client.answer(Method::POST, &path, Payload::Json(body)).await?;
    told_plan(context, what, noun, &plan);
    Ok(())
}

/// Says what labels an object has.
pub(super) fn told(context: &Context, name: &str, labels: &Labels) {
    let text = crate::output::labels(labels);
    context.output.note(&format!("{name} has {}", if text.is_empty() { "no label" } else { &text }));
}
