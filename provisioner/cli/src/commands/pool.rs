//! `pool`: list, show, create, extend, delete; `licence`: list, show, add, remove.

use hyper::Method;
use weft_api::{Licence, LicenceAdd, Pool, PoolCreate, PoolExtend};

use super::create::json;
use super::{Context, plan};
use crate::args::{Held, Pool as Verb};
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::Column;
use crate::{prompt, when};

fn columns() -> [Column<Pool>; 10] {
    [
        Column { title: "NAME", wide: false, cell: |pool| pool.name.clone() },
        Column { title: "STATE", wide: false, cell: |pool| pool.state.clone() },
        Column { title: "KIND", wide: false, cell: |pool| pool.kind.clone() },
        Column { title: "SIZE", wide: false, cell: |pool| pool.size.to_string() },
        Column { title: "IN USE", wide: false, cell: |pool| pool.in_use.to_string() },
        Column {
            title: "RESTING",
            wide: false,
            cell: |pool| pool.drawn.saturating_sub(pool.in_use).to_string(),
        },
        Column { title: "FREE", wide: false, cell: |pool| pool.free.to_string() },
        Column {
            title: "DEFAULT",
            wide: false,
            cell: |pool| if pool.default { "yes" } else { "" }.to_owned(),
        },
        Column { title: "OUI", wide: true, cell: |pool| pool.oui.clone() },
        Column { title: "RANGES", wide: true, cell: ranges },
    ]
}

fn ranges(pool: &Pool) -> String {
    pool.ranges.iter().map(|range| range.range.as_str()).collect::<Vec<_>>().join(",")
}

fn path(name: &str) -> String {
    format!("/api/v1/pools/{}", segment(name))
}

/// Runs a verb of `pool`.
pub(super) async fn run(context: &Context, verb: &Verb) -> Result<(), CliError> {
    let Context { client, output } = context;
    match verb {
        Verb::List => output.list(&client.get::<Vec<Pool>>("/api/v1/pools").await?, &columns(), "no pool"),
        Verb::Show(name) => output.one(&client.get::<Pool>(&path(&name.pool)).await?),
        Verb::Create { name, kind, ranges, oui, dry_run } => {
            let body = json(&PoolCreate {
                name: name.clone(),
                kind: kind.clone(),
                ranges: ranges.ranges.clone(),
                oui: oui.clone(),
            })?;
            if dry_run.dry_run {
                return plan::dry_run(context, Method::POST, "/api/v1/pools", Payload::Json(body)).await;
            }
            let pool: Pool = client.answer(Method::POST, "/api/v1/pools", Payload::Json(body)).await?;
            output
                .note(&format!("{name} is defined; draw from it: weft vs create NAME --{kind}-pool {name}"));
            output.list(&[pool], &columns(), "")
        }
        Verb::Extend { name, ranges, dry_run } => {
            let body = json(&PoolExtend { ranges: ranges.ranges.clone() })?;
            let at = format!("{}/extend", path(&name.pool));
            if dry_run.dry_run {
                return plan::dry_run(context, Method::POST, &at, Payload::Json(body)).await;
            }
            client.change(Method::POST, &at, Payload::Json(body)).await?;
            output.list(&[client.get::<Pool>(&path(&name.pool)).await?], &columns(), "")
        }
        Verb::Delete { name, dry_run, .. } if dry_run.dry_run => {
            plan::dry_run(context, Method::DELETE, &path(&name.pool), Payload::None).await
        }
        Verb::Delete { name, yes, .. } => {
            prompt::confirm(&format!("Delete the pool {}?", name.pool), *yes)?;
            client.change(Method::DELETE, &path(&name.pool), Payload::None).await?;
            output.note(&format!("{} is deleted; what was drawn from it is not drawn again", name.pool));
            Ok(())
        }
    }
}

fn licence_columns() -> [Column<Licence>; 9] {
    [
        Column { title: "LICENCE", wide: false, cell: |licence| licence.id.chars().take(12).collect() },
        Column { title: "NAME", wide: false, cell: |licence| licence.name.clone() },
        Column { title: "STATE", wide: false, cell: |licence| licence.state.clone() },
        Column { title: "POOL", wide: false, cell: |licence| licence.pool.clone() },
        Column { title: "SIZE", wide: false, cell: |licence| licence.size.to_string() },
        Column { title: "DRAWN", wide: false, cell: |licence| licence.drawn.to_string() },
        Column { title: "EXPIRES", wide: false, cell: |licence| when::short(&licence.expires) },
        Column { title: "RANGE", wide: true, cell: |licence| licence.range.clone() },
        Column { title: "SIGNERS", wide: true, cell: |licence| licence.signers.join(",") },
    ]
}

/// Runs a verb of `licence`.
pub(super) async fn licence(context: &Context, verb: &Held) -> Result<(), CliError> {
    let Context { client, output } = context;
    let at = |id: &str| format!("/api/v1/licences/{}", segment(id));
    match verb {
        Held::List => {
            let licences: Vec<Licence> = client.get("/api/v1/licences").await?;
            output.list(&licences, &licence_columns(), "no licence; add one: weft licence add FILE")
        }
        Held::Show(id) => output.one(&client.get::<Licence>(&at(&id.licence)).await?),
        Held::Add { file, pool, dry_run } => {
            let bytes = weft_signing::cli::read_licence(file).map_err(|error| {
                CliError::usage(format!("{error:#}"), "give the file that weft licence issue wrote")
            })?;
            let document = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let body = json(&LicenceAdd { document, pool: pool.clone() })?;
            if dry_run.dry_run {
                return plan::dry_run(context, Method::POST, "/api/v1/licences", Payload::Json(body)).await;
            }
            let licence: Licence =
                client.answer(Method::POST, "/api/v1/licences", Payload::Json(body)).await?;
            output.note(&format!("{} has {} identifiers more", licence.pool, licence.size));
            output.list(&[licence], &licence_columns(), "")
        }
        Held::Remove { id, dry_run, .. } if dry_run.dry_run => {
            plan::dry_run(context, Method::DELETE, &at(&id.licence), Payload::None).await
        }
        Held::Remove { id, yes, .. } => {
            prompt::confirm(&format!("Remove the licence {}?", id.licence), *yes)?;
            client.change(Method::DELETE, &at(&id.licence), Payload::None).await?;
            output.note(&format!("{} is removed; what was drawn by it is not drawn again", id.licence));
            Ok(())
        }
    }
}
