//! `image` with an appliance: list, publish, activate, rollout, revoke.

use hyper::Method;
use weft_api::Image;

use super::{Context, plan};
use crate::args::Published as Verb;
use crate::client::{Payload, segment};
use crate::error::CliError;
use crate::output::Column;
use crate::{prompt, when};

fn columns() -> [Column<Image>; 8] {
    [
        Column { title: "NAME", wide: false, cell: |image| image.name.clone() },
        Column { title: "STATE", wide: false, cell: |image| image.state.clone() },
        Column { title: "GEN", wide: false, cell: |image| image.generation.to_string() },
        Column { title: "FLOOR", wide: false, cell: |image| image.floor.to_string() },
        Column { title: "SIZE", wide: false, cell: |image| format!("{} KiB", image.size.div_ceil(1024)) },
        Column { title: "EXPIRES", wide: false, cell: |image| when::short(&image.not_after) },
        Column { title: "DIGEST", wide: false, cell: |image| image.digest.clone() },
        Column { title: "SIGNERS", wide: true, cell: |image| image.signers.join(",") },
    ]
}

/// Runs a verb.
pub(super) async fn run(context: &Context, verb: &Verb) -> Result<(), CliError> {
    let Context { client, output } = context;
    match verb {
        Verb::List => {
            let images: Vec<Image> = client.get("/api/v1/images").await?;
            output.list(
                &images,
                &columns(),
                "no image is published; sign one and: weft image publish FILE --activate",
            )
        }
        Verb::Publish { file, dry_run: true, .. } => {
            plan::dry_run(context, Method::POST, "/api/v1/images", Payload::File(file)).await
        }
        Verb::Publish { file, bios, activate, .. } => {
            output.progress(&format!("uploading {}", file.display()));
            let image: Image = client.answer(Method::POST, "/api/v1/images", Payload::File(file)).await?;
            if let Some(bios) = bios {
                let path = format!("/api/v1/images/{}/bios", segment(&image.digest));
                client.change(Method::PUT, &path, Payload::File(bios)).await?;
            }
            output.note(&format!("{} is published", image.name));
            if *activate {
                change(context, &image.digest, "activate").await
            } else {
                output.list(&[image], &columns(), "")
            }
        }
        Verb::Activate { digest, dry_run } => {
            let digest = resolve(context, &digest.digest).await?;
            if dry_run.dry_run {
                return plan::dry_run(context, Method::POST, &path(&digest, "activate"), Payload::None).await;
            }
            change(context, &digest, "activate").await
        }
        Verb::Rollout(verb) => super::rollout::run(context, verb).await,
        Verb::Revoke { digest, dry_run, yes } => {
            let digest = resolve(context, &digest.digest).await?;
            if dry_run.dry_run {
                return plan::dry_run(context, Method::POST, &path(&digest, "revoke"), Payload::None).await;
            }
            prompt::confirm(&format!("Revoke {digest}? No node boots it again."), *yes)?;
            change(context, &digest, "revoke").await
        }
    }
}

fn path(digest: &str, verb: &str) -> String {
    format!("/api/v1/images/{}/{verb}", segment(digest))
}

async fn change(context: &Context, digest: &str, verb: &str) -> Result<(), CliError> {
    context.client.change(Method::POST, &path(digest, verb), Payload::None).await?;
    let images: Vec<Image> = context.client.get("/api/v1/images").await?;
    let changed: Vec<Image> = images.into_iter().filter(|image| image.digest == digest).collect();
    context.output.list(&changed, &columns(), "")
}

/// The one published image whose digest starts so, or whose name this is.
async fn resolve(context: &Context, text: &str) -> Result<String, CliError> {
    let images: Vec<Image> = context.client.get("/api/v1/images").await?;
    let wanted = text.to_ascii_lowercase();
    let fits: Vec<&Image> = images
        .iter()
        .filter(|image| image.name == text || (!wanted.is_empty() && image.digest.starts_with(&wanted)))
        .collect();
    match fits.as_slice() {
        [image] => Ok(image.digest.clone()),
        [] => Err(CliError::Refused(weft_api::Problem {
            code: "image-not-found".into(),
            status: 404,
            title: format!("there is no image {text}"),
            next: "see weft image list".into(),
            ..weft_api::Problem::default()
        })),
        several => Err(CliError::usage(
            format!("{text} stands for {} images", several.len()),
            "give more digits of the digest",
        )),
    }
}
