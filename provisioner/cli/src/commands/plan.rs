//! Plans: what a change would do, printed instead of doing it.

use hyper::Method;
use weft_api::{ObjectChange, Plan, Problem};

use super::Context;
use crate::args::Format;
use crate::client::Payload;
use crate::error::CliError;
use crate::output::{Column, Output, clean, print, table};

/// Longest value in a table; JSON and YAML have all of it.
const LONGEST: usize = 72;

/// Asks for the plan of a change and prints it. Nothing is changed.
pub(super) async fn dry_run(
    context: &Context,
    method: Method,
    path: &str,
    payload: Payload<'_>,
) -> Result<(), CliError> {
    let plan: Plan = context.client.answer(method, &format!("{path}?dry_run=true"), payload).await?;
    show(context.output, &plan)?;
    if plan.state == "conflict" {
        return Err(CliError::Refused(Problem {
            code: "group-refused".into(),
            status: 409,
            title: format!("it would be refused: {} in the way", plan.conflicts.len()),
            next: "choose without them, or clear what is in the way".into(),
            ..Problem::default()
        }));
    }
    context.output.note("dry run: nothing was changed");
    Ok(())
}

/// Prints a plan on standard output.
pub(super) fn show(output: Output, plan: &Plan) -> Result<(), CliError> {
    match output.format {
        Format::Table | Format::Wide => print(&text(plan)),
        Format::Json | Format::Yaml => output.one(plan),
    }
}

/// A field of an object, as a row.
pub(super) struct Row {
    object: String,
    field: String,
    before: String,
    after: String,
    derived: bool,
}

impl Row {
    /// The fields of these objects; only those that changed where `all` is not asked for.
    pub(super) fn of(objects: &[ObjectChange], all: bool) -> Vec<Self> {
        let rows = |object: &ObjectChange| {
            let name = format!("{} {}", object.kind, object.name);
            let fields = object.fields.iter().filter(|field| all || field.changed);
            fields
                .map(|field| Self {
                    object: name.clone(),
                    field: field.field.clone(),
                    before: short(&field.before),
                    after: short(&field.after),
                    derived: field.derived,
                })
                .collect::<Vec<_>>()
        };
        objects.iter().flat_map(rows).collect()
    }

    /// Whether it follows from other things.
    pub(super) const fn derived(&self) -> bool {
        self.derived
    }

    /// Columns of a table of fields.
    pub(super) fn columns() -> [Column<Self>; 5] {
        [
            Column { title: "OBJECT", wide: false, cell: |row| row.object.clone() },
            Column { title: "FIELD", wide: false, cell: |row| row.field.clone() },
            Column { title: "BEFORE", wide: false, cell: |row| row.before.clone() },
            Column { title: "AFTER", wide: false, cell: |row| row.after.clone() },
            Column {
                title: "DERIVED",
                wide: true,
                cell: |row| if row.derived { "yes".to_owned() } else { String::new() },
            },
        ]
    }
}

fn short(value: &str) -> String {
    match value.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", value.get(..at).unwrap_or_default()),
        None => value.to_owned(),
    }
}

/// A plan for a person.
fn text(plan: &Plan) -> String {
    let of = if plan.undoes > 0 { format!(", undo of {}", plan.undoes) } else { String::new() };
    let mut lines = vec![format!("{}: {}{of}", plan.state, plan.name)];
    lines.extend(plan.objects.iter().map(|object| {
        let id = if object.id.is_empty() { String::new() } else { format!(" ({})", object.id) };
        format!("  {} {}{id} is {}", object.kind, object.name, object.state)
    }));
    lines.extend(plan.effects.iter().map(|effect| format!("  {effect}")));
    lines.extend(plan.conflicts.iter().map(|conflict| format!("  conflict: {}", conflict.text)));
    if !plan.lost.is_empty() {
        lines.push(format!("  not given back: {}", plan.lost));
    }
    match (plan.undo.as_str(), plan.reason.as_str()) {
        ("", _) => {}
        (undo, "") => lines.push(format!("  its own undo is {undo}")),
        (undo, reason) => lines.push(format!("  its own undo is {undo}: {reason}")),
    }
    let mut text: String = lines.iter().map(|line| format!("{}\n", clean(line))).collect();
    let rows = Row::of(&plan.objects, false);
    if !rows.is_empty() {
        text.push_str(&table(&rows, &Row::columns(), false));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_api::FieldChange;

    #[test]
    fn a_plan_is_told_in_words_and_fields_without_control_characters() {
        let field = FieldChange {
            field: "append".into(),
            after: "\u{1b}[31m".to_owned() + &"x".repeat(100),
            changed: true,
            ..FieldChange::default()
        };
        let same = FieldChange { field: "vcpus".into(), ..FieldChange::default() };
        let object = ObjectChange {
            kind: "vs".into(),
            name: "web".into(),
            state: "changed".into(),
            fields: vec![field, same],
            ..ObjectChange::default()
        };
        let plan = Plan {
            name: "vs stop".into(),
            state: "planned".into(),
            undoes: 7,
            undo: "compensable".into(),
            reason: "it boots afresh".into(),
            objects: vec![object],
            effects: vec!["node-1 powers web off".into()],
            ..Plan::default()
        };
        let text = text(&plan);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..5],
            [
                "planned: vs stop, undo of 7",
                "  vs web is changed",
                "  node-1 powers web off",
                "  its own undo is compensable: it boots afresh",
                "OBJECT  FIELD   BEFORE  AFTER",
            ]
        );
        assert!(lines[5].ends_with('…') && !text.contains("vcpus"), "{text}");
        assert!(text.chars().all(|c| !c.is_control() || c == '\n'), "{text:?}");
    }
}
