//! `get`, `diff`, `apply`: what is wanted, as one document.

use std::io::Read;
use std::path::Path;

use hyper::Method;
use weft_api::{Apply, MAX_MANIFEST_BYTES, Manifest, Plan, Problem};

use super::create::json;
use super::{Context, plan};
use crate::args::{Apply as ApplyArgs, Diff, Document, Format, Get};
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::{Output, print, table};

const PATH: &str = "/api/v1/manifest";

/// `get`: YAML unless JSON is asked for, so that it can be applied.
pub(super) async fn get(context: &Context, args: &Get) -> Result<(), CliError> {
    let of = |text: &Option<String>| text.as_deref().map(segment).unwrap_or_default();
    let at = format!("{PATH}?kind={}&name={}", of(&args.kind), of(&args.name));
    let manifest: Manifest = context.client.get(&at).await?;
    let format = if context.output.format == Format::Json { Format::Json } else { Format::Yaml };
    Output { format, ..context.output }.one(&manifest)
}

/// A file's text, within the bound.
fn text(file: &Path) -> Result<String, CliError> {
    let most = MAX_MANIFEST_BYTES as u64;
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(most + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most + 1).read_to_string(&mut text))
    };
    read.map_err(|error| CliError::file(file, error))?;
    if text.len() > MAX_MANIFEST_BYTES {
        let next = "apply it in parts, kind by kind";
        return Err(CliError::usage(format!("{} is longer than 1 MiB", file.display()), next));
    }
    Ok(text)
}

/// A document; what is wrong with it says the line.
fn parse(text: &str) -> Result<Manifest, String> {
    serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())
}

fn body(document: &Document) -> Result<Apply, CliError> {
    let file = &document.file;
    let manifest = parse(&text(file)?).map_err(|why| {
        CliError::usage(format!("{}: {why}", file.display()), "see the example: weft apply --help")
    })?;
    let prune = document.selector.as_ref().map(ToString::to_string).unwrap_or_default();
    Ok(Apply { manifest, prune })
}

/// The plan of a document; nothing is done.
async fn planned(context: &Context, document: &Document) -> Result<Plan, CliError> {
    let payload = Payload::Json(json(&body(document)?)?);
    context.client.answer(Method::POST, &format!("{PATH}?dry_run=true"), payload).await
}

fn refused(plan: &Plan) -> Result<(), CliError> {
    if plan.state != "conflict" {
        return Ok(());
    }
    Err(CliError::Refused(Problem {
        code: "apply-refused".into(),
        status: 409,
        title: format!("apply would be refused: {} in the way", plan.conflicts.len()),
        next: "change the document, or clear what is in the way".into(),
        ..Problem::default()
    }))
}

/// `diff`: field by field.
pub(super) async fn diff(context: &Context, args: &Diff) -> Result<(), CliError> {
    let plan = planned(context, &args.document).await?;
    let output = context.output;
    match output.format {
        Format::Json | Format::Yaml => output.one(&plan)?,
        Format::Table | Format::Wide => {
            for conflict in &plan.conflicts {
                print(&format!("conflict: {}\n", crate::output::clean(&conflict.text)))?;
            }
            let wide = output.format == Format::Wide;
            let mut rows = plan::Row::of(&plan.objects, false);
            rows.retain(|row| wide || !row.derived());
            if !rows.is_empty() {
                print(&table(&rows, &plan::Row::columns(), wide))?;
            }
        }
    }
    if plan.state == "nothing" {
        output.note("all is so already");
    }
    refused(&plan)
}

/// `apply`.
pub(super) async fn apply(context: &Context, args: &ApplyArgs) -> Result<(), CliError> {
    if args.dry_run.dry_run {
        let plan = planned(context, &args.document).await?;
        plan::show(context.output, &plan)?;
        refused(&plan)?;
        context.output.note("dry run: nothing was changed");
        return Ok(());
    }
    let payload = Payload::Json(json(&body(&args.document)?)?);
    let plan: Plan = context.client.answer(Method::POST, PATH, payload).await?;
    plan::show(context.output, &plan)?;
    match plan.transaction {
        0 => context.output.note("all is so already: nothing was changed"),
        number => context.output.note(&format!(
            "{} objects changed in transaction {number}; to take it back: weft tx undo {number}",
            plan.objects.len()
        )),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args as _;

    #[test]
    fn the_example_of_the_help_is_a_document() {
        let help = ApplyArgs::augment_args(clap::Command::new("apply"));
        let text = help.get_after_help().expect("help").to_string();
        let (_, example) = text.split_once("rack.yaml:\n").expect("an example");
        let (example, _) = example.split_once("\n\n").expect("an end");
        let manifest = parse(example).expect("it is one");
        assert_eq!(manifest.objects(), 9);
        let vs = &manifest.vs.expect("servers")[0];
        assert_eq!((vs.running, vs.memory_mib), (Some(true), Some(512)));
    }

    #[test]
    fn what_is_unknown_is_an_error_with_its_line() {
        for (text, line, word) in [
            ("vs:\n  - name: web\n    memory: 512\n", 3, "memory"),
            ("frames: []\nservers:\n  - name: web\n", 2, "servers"),
            ("vs:\n  - vcpus: 1\n", 2, "name"),
            ("vs:\n  - name: web\n    vcpus: many\n", 3, ""),
            ("nodes:\n  - name: a\n    labels: [x]\n", 3, ""),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(word) && error.contains(&format!("line {line}")), "{text}: {error}");
        }
        assert_eq!(parse("vs: []\n").map(|manifest| manifest.objects()), Ok(0));
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let labels: weft_api::Labels = [("a/b".into(), "yes".into()), ("n".into(), "007".into())].into();
        let vs = weft_api::VsManifest {
            name: "off".into(),
            append: Some("a: b #c \"quoted\" \\".into()),
            initrd: Some(String::new()),
            labels: Some(labels),
            running: Some(false),
            ..Default::default()
        };
        let manifest = Manifest { vs: Some(vec![vs]), frames: Some(Vec::new()), ..Manifest::default() };
        let yaml = crate::yaml::Tree::of(&manifest).expect("a tree").to_yaml();
        assert_eq!(parse(&yaml).as_ref(), Ok(&manifest), "{yaml}");
        let json = serde_json::to_string(&manifest).expect("JSON");
        assert_eq!(parse(&json), Ok(manifest), "JSON is YAML too");
    }
}
