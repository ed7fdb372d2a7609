//! `datacenter`, `mainframe`, `frame`, and `node move`.

use hyper::Method;
use weft_api::{Container, ContainerCreate, ContainerEdit, NodeMove, Plan};

use super::create::json;
use super::{Context, group, plan};
use crate::args::{
    Container as Held, ContainerCreate as CreateArgs, ContainerEdit as EditArgs, Datacenter, DryRun, Frame,
    LabelArg, Mainframe, NodeMove as MoveArgs,
};
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::Column;
use crate::prompt;

/// One of the three kinds.
struct Noun {
    path: &'static str,
    words: &'static str,
    /// What to do where there is none.
    first: &'static str,
}

const DATACENTER: Noun = Noun {
    path: "datacenters",
    words: "data center",
    first: "no data center yet; make one: weft datacenter create NAME",
};
const MAINFRAME: Noun = Noun {
    path: "mainframes",
    words: "virtual mainframe",
    first: "no virtual mainframe yet; make one: weft mainframe create NAME --datacenter DATACENTER",
};
const FRAME: Noun = Noun {
    path: "frames",
    words: "frame",
    first: "no frame yet; make one: weft frame create NAME --mainframe MAINFRAME",
};

fn columns() -> [Column<Container>; 6] {
    [
        Column { title: "NAME", wide: false, cell: |one| one.name.clone() },
        Column { title: "STATE", wide: false, cell: |one| one.state.clone() },
        Column { title: "IN", wide: false, cell: |one| one.parent.clone() },
        Column { title: "HOLDS", wide: false, cell: |one| one.children.join(",") },
        Column { title: "LABELS", wide: false, cell: |one| crate::output::labels(&one.labels) },
        Column { title: "ID", wide: true, cell: |one| one.id.clone() },
    ]
}

fn path(noun: &Noun, name: &str) -> String {
    format!("/api/v1/{}/{}", noun.path, segment(name))
}

/// Runs a verb of data centers.
pub(super) async fn datacenter(context: &Context, verb: &Datacenter) -> Result<(), CliError> {
    match verb {
        Datacenter::Held(verb) => held(context, &DATACENTER, verb).await,
        Datacenter::Create(args) => create(context, &DATACENTER, args, "").await,
        Datacenter::Edit(args) => edit(context, &DATACENTER, args, None).await,
    }
}

/// Runs a verb of virtual mainframes.
pub(super) async fn mainframe(context: &Context, verb: &Mainframe) -> Result<(), CliError> {
    match verb {
        Mainframe::Held(verb) => held(context, &MAINFRAME, verb).await,
        Mainframe::Create { args, datacenter } => create(context, &MAINFRAME, args, datacenter).await,
        Mainframe::Edit { args, datacenter } => edit(context, &MAINFRAME, args, datacenter.as_ref()).await,
    }
}

/// Runs a verb of frames.
pub(super) async fn frame(context: &Context, verb: &Frame) -> Result<(), CliError> {
    match verb {
        Frame::Held(verb) => held(context, &FRAME, verb).await,
        Frame::Create { args, mainframe } => create(context, &FRAME, args, mainframe).await,
        Frame::Edit { args, mainframe } => edit(context, &FRAME, args, mainframe.as_ref()).await,
    }
}

async fn held(context: &Context, noun: &Noun, verb: &Held) -> Result<(), CliError> {
    let Context { client, output } = context;
    match verb {
        Held::List(shown) => {
            let all: Vec<Container> = client.get(&format!("/api/v1/{}{}", noun.path, shown.query())).await?;
            let empty = if shown.selector.is_some() { "none fits" } else { noun.first };
            output.list(&all, &columns(), empty)
        }
        Held::Show(name) => output.one(&client.get::<Container>(&path(noun, &name.name)).await?),
        Held::Label { name, labels, dry_run } => {
            let mut wanted = ContainerEdit::default();
            for label in labels {
                match label {
                    LabelArg::Set(key, value) => _ = wanted.labels.set.insert(key.clone(), value.clone()),
                    LabelArg::Remove(key) => wanted.labels.remove.push(key.clone()),
                }
            }
            change(context, noun, &name.name, &wanted, *dry_run).await
        }
        Held::Delete { name, dry_run, .. } if dry_run.dry_run => {
            plan::dry_run(context, Method::DELETE, &path(noun, &name.name), Payload::None).await
        }
        Held::Delete { name, yes, .. } => {
            prompt::confirm(&format!("Delete the {} {}?", noun.words, name.name), *yes)?;
            client.change(Method::DELETE, &path(noun, &name.name), Payload::None).await?;
            output.note(&format!("{} is deleted", name.name));
            Ok(())
        }
    }
}

async fn create(context: &Context, noun: &Noun, args: &CreateArgs, parent: &str) -> Result<(), CliError> {
    let body = json(&ContainerCreate {
        name: args.name.clone(),
        parent: parent.to_owned(),
        labels: args.labels.iter().cloned().collect(),
    })?;
    let at = format!("/api/v1/{}", noun.path);
    if args.dry_run.dry_run {
        return plan::dry_run(context, Method::POST, &at, Payload::Json(body)).await;
    }
    let made: Container = context.client.answer(Method::POST, &at, Payload::Json(body)).await?;
    context.output.note(&format!("{} is a {}", made.name, noun.words));
    context.output.list(&[made], &columns(), "")
}

async fn edit(
    context: &Context,
    noun: &Noun,
    args: &EditArgs,
    parent: Option<&String>,
) -> Result<(), CliError> {
    let wanted = ContainerEdit {
        name: args.renamed.clone(),
        parent: parent.cloned().unwrap_or_default(),
        ..ContainerEdit::default()
    };
    change(context, noun, &args.of.name, &wanted, args.dry_run).await
}

async fn change(
    context: &Context,
    noun: &Noun,
    name: &str,
    wanted: &ContainerEdit,
    dry_run: DryRun,
) -> Result<(), CliError> {
    let at = path(noun, name);
    let (body, edit) = (json(wanted)?, format!("{at}/edit"));
    if dry_run.dry_run {
        return plan::dry_run(context, Method::POST, &edit, Payload::Json(body)).await;
    }
    let before: Container = context.client.get(&at).await?;
    context.client.change(Method::POST, &edit, Payload::Json(body)).await?;
    // By its identity: it may be called otherwise now.
    let after: Container = context.client.get(&path(noun, &before.id)).await?;
    context.output.list(&[after], &columns(), "")
}

/// `node move`.
pub(super) async fn move_nodes(context: &Context, args: &MoveArgs) -> Result<(), CliError> {
    let frame = args.to.frame.clone().unwrap_or_default();
    let body = json(&NodeMove { select: args.nodes.chosen().selection(), frame, free: args.to.free })?;
    let at = "/api/v1/groups/nodes/move";
    if args.dry_run.dry_run {
        return plan::dry_run(context, Method::POST, at, Payload::Json(body)).await;
    }
    let plan: Plan = context.client.answer(Method::POST, at, Payload::Json(body)).await?;
    group::told_plan(context, "move", &group::NODES, &plan);
    Ok(())
}
