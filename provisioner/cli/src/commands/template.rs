//! `template`: list, show, create, label, delete.

use hyper::Method;
use weft_api::{Template, TemplateCreate};

use super::create::{blob, json, refuse_uploads};
use super::{Context, group, plan};
use crate::args::{Template as Verb, TemplateCreate as CreateArgs};
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::Column;
use crate::prompt;

fn columns() -> [Column<Template>; 8] {
    [
        Column { title: "NAME", wide: false, cell: |template| template.name.clone() },
        Column { title: "STATE", wide: false, cell: |template| template.state.clone() },
        Column { title: "VCPUS", wide: false, cell: |template| template.vcpus.to_string() },
        Column { title: "MEMORY", wide: false, cell: |template| format!("{} MiB", template.memory_mib) },
        Column { title: "PARTITION", wide: false, cell: |template| template.partition.clone() },
        Column { title: "KERNEL", wide: false, cell: |template| template.kernel.chars().take(12).collect() },
        Column { title: "LABELS", wide: false, cell: |template| crate::output::labels(&template.labels) },
        Column { title: "APPEND", wide: true, cell: |template| template.append.clone() },
    ]
}

fn path(name: &str) -> String {
    format!("/api/v1/templates/{}", segment(name))
}

/// Runs a verb.
pub(super) async fn run(context: &Context, verb: &Verb) -> Result<(), CliError> {
    let Context { client, output } = context;
    match verb {
        Verb::List(shown) => {
            let templates: Vec<Template> = client.get(&format!("/api/v1/templates{}", shown.query())).await?;
            let empty = match shown.selector {
                Some(_) => "no template fits",
                None => "no template yet; make one: weft template create NAME --from SERVER",
            };
            output.list(&templates, &columns(), empty)
        }
        Verb::Show(name) => output.one(&client.get::<Template>(&path(&name.template)).await?),
        Verb::Create(args) => create(context, args).await,
        Verb::Label { name, labels, dry_run } => {
            let at = path(&name.template);
            if group::label(context, &at, labels, *dry_run).await? {
                let template: Template = client.get(&at).await?;
                group::told(context, &template.name, &template.labels);
                output.list(&[template], &columns(), "")?;
            }
            Ok(())
        }
        Verb::Delete { name, dry_run, .. } if dry_run.dry_run => {
            plan::dry_run(context, Method::DELETE, &path(&name.template), Payload::None).await
        }
        Verb::Delete { name, yes, .. } => {
            prompt::confirm(&format!("Delete the template {}?", name.template), *yes)?;
            client.change(Method::DELETE, &path(&name.template), Payload::None).await?;
            output.note(&format!("{} is deleted; servers that were made of it stay", name.template));
            Ok(())
        }
    }
}

async fn create(context: &Context, args: &CreateArgs) -> Result<(), CliError> {
    let dry = args.dry_run.dry_run;
    if dry {
        refuse_uploads([&args.kernel, &args.initrd])?;
    }
    let alone = args.from.is_empty();
    let body = json(&TemplateCreate {
        name: args.name.clone(),
        from: args.from.clone(),
        vcpus: args.vcpus.unwrap_or(if alone { 1 } else { 0 }),
        memory_mib: args.memory.unwrap_or(if alone { 256 } else { 0 }),
        kernel: blob(context, args.kernel.as_deref()).await?,
        initrd: blob(context, args.initrd.as_deref()).await?,
        append: args.append.clone().unwrap_or_default(),
        partition: args.partition.clone().unwrap_or_default(),
        labels: args.labels.iter().cloned().collect(),
    })?;
    if dry {
        return plan::dry_run(context, Method::POST, "/api/v1/templates", Payload::Json(body)).await;
    }
    let template: Template =
        context.client.answer(Method::POST, "/api/v1/templates", Payload::Json(body)).await?;
    let name = &template.name;
    context
        .output
        .note(&format!("{name} is a template; make servers of it: weft vs create NAME --template {name}"));
    context.output.list(&[template], &columns(), "")
}
