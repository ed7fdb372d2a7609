//! `tx`: list, show, diff, undo.

use hyper::Method;
use weft_api::{ObjectChange, Plan, Problem, Transaction, TransactionDetail};

use super::Context;
use super::plan::{Row, show};
use crate::args::{Format, Tx as Verb};
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::{Column, print, table};
use crate::{prompt, when};

/// Objects named in a row of the list; `tx show` has all.
const OBJECTS: usize = 4;

fn columns() -> [Column<Transaction>; 9] {
    [
        Column { title: "NUMBER", wide: false, cell: |tx| tx.number.to_string() },
        Column { title: "AT", wide: false, cell: |tx| when::short(&tx.at) },
        Column { title: "ACTOR", wide: false, cell: |tx| tx.actor.clone() },
        Column { title: "NAME", wide: false, cell: |tx| tx.name.clone() },
        Column { title: "OBJECTS", wide: false, cell: objects },
        Column { title: "STATE", wide: false, cell: |tx| tx.state.clone() },
        Column { title: "UNDO", wide: false, cell: |tx| tx.undo.clone() },
        Column { title: "CAUSE", wide: false, cell: |tx| tx.cause.clone() },
        Column { title: "REASON", wide: true, cell: |tx| tx.reason.clone() },
    ]
}

fn objects(tx: &Transaction) -> String {
    let object = |object: &weft_api::ChangedObject| format!("{} {}", object.kind, object.name);
    let first = tx.objects.iter().take(OBJECTS).map(object).collect::<Vec<_>>().join(", ");
    match tx.objects.len().saturating_sub(OBJECTS) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn path(number: u64) -> String {
    format!("/api/v1/transactions/{number}")
}

/// Runs a verb.
pub(super) async fn run(context: &Context, verb: &Verb) -> Result<(), CliError> {
    match verb {
        Verb::List { object, actor, before, limit } => {
            let mut query = format!("/api/v1/transactions?limit={limit}");
            for (name, value) in [("object", object), ("actor", actor)] {
                if !value.is_empty() {
                    query.push_str(&format!("&{name}={}", segment(value)));
                }
            }
            if let Some(before) = before {
                query.push_str(&format!("&before={before}"));
            }
            let all: Vec<Transaction> = context.client.get(&query).await?;
            context.output.list(&all, &columns(), "no transaction fits")?;
            if let Some(last) = all.last().filter(|_| all.len() == *limit as usize) {
                context.output.progress(&format!("older ones: weft tx list --before {}", last.number));
            }
            Ok(())
        }
        Verb::Show(number) => {
            let detail: TransactionDetail = context.client.get(&path(number.number)).await?;
            match context.output.format {
                Format::Json | Format::Yaml => context.output.one(&detail),
                Format::Table | Format::Wide => {
                    context.output.one(&detail.transaction)?;
                    fields(context, &detail.changes, true)
                }
            }
        }
        Verb::Diff(number) => {
            let mut detail: TransactionDetail = context.client.get(&path(number.number)).await?;
            for change in &mut detail.changes {
                change.fields.retain(|field| field.changed);
            }
            match context.output.format {
                Format::Json | Format::Yaml => context.output.list(&detail.changes, &[], ""),
                Format::Table | Format::Wide => fields(context, &detail.changes, false),
            }
        }
        Verb::Undo { number, dry_run, yes } => undo(context, number.number, dry_run.dry_run, *yes).await,
    }
}

fn fields(context: &Context, changes: &[ObjectChange], all: bool) -> Result<(), CliError> {
    let wide = context.output.format == Format::Wide;
    print(&table(&Row::of(changes, all), &Row::columns(), wide))
}

async fn undo(context: &Context, number: u64, dry_run: bool, yes: bool) -> Result<(), CliError> {
    let at = format!("{}/undo", path(number));
    let preview: Plan =
        context.client.answer(Method::POST, &format!("{at}?dry_run=true"), Payload::None).await?;
    let asks = !dry_run && !yes && prompt::can_ask();
    if let Some(problem) = refusal(number, &preview) {
        show(context.output, &preview)?;
        return Err(CliError::Refused(problem));
    }
    if dry_run {
        show(context.output, &preview)?;
        context.output.note("dry run: nothing was changed");
        return Ok(());
    }
    if asks {
        preview.effects.iter().for_each(|effect| context.output.note(effect));
        if !preview.lost.is_empty() {
            context.output.note(&format!("not given back: {}", preview.lost));
        }
    }
    prompt::confirm(&format!("Undo transaction {number}?"), yes)?;
    let done: Plan = context.client.answer(Method::POST, &at, Payload::None).await?;
    show(context.output, &done)?;
    context.output.note(&format!("transaction {number} is undone by transaction {}", done.transaction));
    Ok(())
}

/// Why a plan will not be done.
fn refusal(number: u64, plan: &Plan) -> Option<Problem> {
    let (code, title, next) = match plan.state.as_str() {
        "conflict" => {
            let newest = plan.conflicts.iter().map(|conflict| conflict.transaction).max().unwrap_or(0);
            let next = if newest > 0 {
                format!("undo what came later first, the newest before the others: weft tx undo {newest}")
            } else {
                "clear what is in the way, then try again".to_owned()
            };
            let count = plan.conflicts.len();
            ("undo-conflict", format!("transaction {number} is not undone: {count} in the way"), next)
        }
        "irreversible" => (
            "irreversible",
            format!("transaction {number} ({}) cannot be undone: {}", plan.name, plan.reason),
            format!("see what it changed: weft tx show {number}"),
        ),
        "nothing" => (
            "nothing-to-undo",
            format!("transaction {number} changed nothing that could be set back"),
            format!("see what it changed: weft tx show {number}"),
        ),
        _ => return None,
    };
    Some(Problem { code: code.to_owned(), status: 409, title, next, ..Problem::default() })
}
