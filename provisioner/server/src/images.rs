//! Images: published, activated, revoked; and the files that booting machines fetch.
//!
//! ```text
//! upload ─▶ verify as a node would ─▶ files/<sha256> (whole, synced, renamed) ─▶ row ─▶ offered
//! ```
//! A file is on disk before the row that names it, so a crash leaves at most a file without a row. What
//! a node would refuse is refused here: nobody finds out at three in the morning.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use weft_api::{Image, Plan};
use weft_format::manifest::{ManifestError, ManifestSection};
use weft_format::pe::{self, MANIFEST_SECTION};
use weft_format::verify_image;
use weft_store::{ImageRow, ImageState, NewEvent};

use crate::auth::{Object, ObjectKind};
use crate::boot_files::chosen_no_more;
use crate::core::{Core, event};
use crate::error::Error;
use crate::transactions::{Change, Draft, Kind, plan_of};
use crate::trust::RingVerifier;
use crate::util::{at_unix, free_bytes, hex, now, private_folder, sha256, unix_s, write_whole};
use crate::world::{Lookup, World};

/// Largest image file.
pub(crate) const MAX_IMAGE: usize = 64 * 1024 * 1024;
/// Space that is left to the store and to logs.
pub(crate) const KEEP_FREE: u64 = 64 * 1024 * 1024;
/// Earlier manifests remembered for each image.
const MAX_EARLIER: usize = 16;

pub(crate) fn refused(error: &ManifestError) -> Error {
    let (code, next) = match error {
        ManifestError::Absent | ManifestError::Signatures(_) => {
            ("image-unsigned", "have enough root holders sign it: weft image sign, weft image verify")
        }
        ManifestError::BelowFloor { .. } => ("image-too-old", "publish a later generation"),
        ManifestError::RootVersion { .. } | ManifestError::OtherRoots => {
            ("image-other-roots", "sign it with the root set in force here")
        }
        ManifestError::PayloadDigest | ManifestError::ImageDigest | ManifestError::ImageSize { .. } => {
            ("image-changed", "the file is not the one that was signed; copy it again")
        }
        ManifestError::Malformed
        | ManifestError::Trailing
        | ManifestError::Tag
        | ManifestError::Format(_)
        | ManifestError::BuildId
        | ManifestError::Generation { .. }
        | ManifestError::Validity
        | ManifestError::Image(_) => ("image-malformed", "check it: weft image inspect FILE"),
    };
    Error::refused(422, code, error.to_string(), next)
}

impl Core {
    pub(crate) fn files(&self) -> PathBuf {
        self.settings.data.join("files")
    }

    /// Least generation that is still published: the highest floor that any image here asks for.
    fn floor(&self) -> u64 {
        let world = self.world();
        world
            .images
            .values()
            .filter(|image| image.state != ImageState::Revoked)
            .map(|image| image.floor)
            .max()
            .unwrap_or(0)
    }

    /// Judges an image as a node would, and as nodes that run later generations would.
    fn judge(&self, file: &[u8]) -> Result<ImageRow, Error> {
        let trust = self.trust();
        let roots = trust.roots.as_ref().ok_or_else(|| {
            Error::refused(
                409,
                "no-roots",
                "this appliance has no root set to judge images by",
                "weft appliance init --data DIR --roots FILE",
            )
        })?;
        let manifest =
            verify_image(file, roots, &RingVerifier, self.floor()).map_err(|error| refused(&error))?;
        if let Err(error) = manifest.valid_at(unix_s()) {
            return Err(Error::refused(422, "image-expired", error.to_string(), "sign a new manifest"));
        }
        if trust.is_revoked(&manifest.image_digest) {
            return Err(Error::refused(
                409,
                "image-revoked",
                "the image is on the revocation list",
                "build a new one",
            ));
        }
        let section = pe::section_data(file, MANIFEST_SECTION)
            .map_err(|error| refused(&ManifestError::Image(error)))?;
        let signatures = ManifestSection::parse(section).map_err(|error| refused(&error))?.signatures;
        Ok(ImageRow {
            digest: hex(&manifest.image_digest),
            name: manifest.build_id.to_string(),
            state: ImageState::Published,
            generation: manifest.generation,
            floor: manifest.least_generation,
            size: file.len() as u64,
            file: hex(&sha256(file)),
            bios_file: String::new(),
            manifest: hex(&sha256(section)),
            expiry: manifest.expiry,
            earlier: Vec::new(),
            signers: signatures.iter().map(|signature| signature.key_id.to_string()).collect(),
            at: now(),
        })
    }

    fn keep_file(&self, bytes: &[u8]) -> Result<String, Error> {
        let folder = self.files();
        private_folder(&folder)?;
        check_room(&folder, bytes.len() as u64)?;
        let digest = hex(&sha256(bytes));
        let path = folder.join(&digest);
        // A damaged one is written again.
        if !fs::read(&path).is_ok_and(|kept| kept == bytes) {
            write_whole(&path, bytes, 0o600)?;
        }
        Ok(digest)
    }

    /// Where there are several appliances, a majority has a file before anything names it.
    async fn spread(&self, digest: &str) -> Result<(), Error> {
        match &self.peers {
            Some(peers) => peers.spread("files", digest).await,
            None => Ok(()),
        }
    }

    /// Publishes an image; the first one becomes active.
    pub(crate) async fn publish(
        self: &Arc<Self>,
        actor: &str,
        file: Bytes,
        dry: bool,
    ) -> Result<Result<Image, Box<Plan>>, Error> {
        let _change = self.change.lock().await;
        let core = Arc::clone(self);
        let judged = tokio::task::spawn_blocking(move || {
            let row = core.judge(&file)?;
            if !dry {
                core.keep_file(&file)?;
            }
            Ok::<_, Error>(row)
        });
        let mut row =
            judged.await.map_err(|_| std::io::Error::other("the check of the image broke off"))??;
        self.allow_asked("publish", &Object::new(ObjectKind::Image, &row.digest, &row.name))?;
        let before = self.world().images.get(&row.digest).cloned();
        if before.as_ref().is_some_and(|old| old.state == ImageState::Revoked) {
            return Err(Error::refused(
                409,
                "image-revoked",
                "the image was revoked here",
                "build a new one",
            ));
        }
        if let Some(old) = &before {
            // The same image with other signatures: its place and its companion stay.
            row.state = old.state;
            row.bios_file.clone_from(&old.bios_file);
            row.earlier = earlier(old, &row);
        } else if !self.world().images.values().any(|image| image.state == ImageState::Active) {
            row.state = ImageState::Active;
        }
        if dry {
            let effect = match (row.state, before.is_some()) {
                (ImageState::Active, false) => "nodes that boot from now on start it: it is the first",
                (_, true) => "its manifest is replaced; its place stays",
                (_, false) => "it is kept, and no node boots it before it is activated or rolled out",
            };
            let rows = (before.as_ref(), Some(&row));
            let plan = plan_of(Kind::ImagePublish, "image", &row.digest, rows, vec![effect.to_string()]);
            return Ok(Err(Box::new(plan)));
        }
        self.spread(&row.file).await?;
        let told = told(actor, "image.published", &row);
        self.commit(Kind::ImagePublish.batch(actor).put_image(before.as_ref(), &row).event(told)).await?;
        self.world().images.insert(row.digest.clone(), row.clone());
        let loaded = self.load_boot_files_there_are();
        self.push_all();
        loaded.map(|()| Ok(show(&row)))
    }

    /// Adds the Multiboot file for BIOS machines. It must hold the very payload that was signed.
    pub(crate) async fn publish_bios(
        self: &Arc<Self>,
        actor: &str,
        name: &str,
        file: Bytes,
    ) -> Result<Image, Error> {
        let _change = self.change.lock().await;
        let before = self.find_image(name)?;
        let image = fs::read(self.files().join(&before.file))?;
        let payload = pe::section_data(&image, pe::PAYLOAD_SECTION)
            .map_err(|error| refused(&ManifestError::Image(error)))?
            .to_vec();
        let core = Arc::clone(self);
        let kept = tokio::task::spawn_blocking(move || {
            if !contains(&file, &payload) {
                return Err(Error::refused(
                    422,
                    "bios-differs",
                    "the file does not hold the monitor of this image",
                    "take both files from one build: weft image build",
                ));
            }
            core.keep_file(&file)
        });
        let digest = kept.await.map_err(|_| std::io::Error::other("the check of the file broke off"))??;
        self.spread(&digest).await?;
        let mut row = before.clone();
        row.bios_file = digest;
        let told = told(actor, "image.bios", &row);
        self.commit(Kind::ImageBios.batch(actor).put_image(Some(&before), &row).event(told)).await?;
        self.world().images.insert(row.digest.clone(), row.clone());
        self.load_boot_files_there_are()?;
        Ok(show(&row))
    }

    /// Offers an image to booting nodes.
    pub(crate) async fn activate(&self, actor: &str, name: &str, dry: bool) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let image = self.find_image(name)?;
        self.check_offer(&image)?;
        let told = told(actor, "image.activated", &image);
        let set = |before: &ImageRow, state: ImageState| Change::Image {
            before: before.clone(),
            after: ImageRow { state, ..before.clone() },
        };
        let mut changes = Vec::new();
        if image.state != ImageState::Active {
            changes.push(set(&image, ImageState::Active));
        }
        let active = |other: &&ImageRow| other.state == ImageState::Active && other.digest != image.digest;
        let set_aside = |other: &ImageRow| set(other, ImageState::Published);
        changes.extend(self.world().images.values().filter(active).map(set_aside));
        // It is for all nodes: what was chosen for some goes.
        changes.extend(chosen_no_more(&self.world()));
        self.carry_out(actor, Draft::new(Kind::ImageActivate, changes, told), dry).await
    }

    /// Refuses an image that nodes would not start.
    pub(crate) fn check_offer(&self, image: &ImageRow) -> Result<(), Error> {
        if shown_state(image) == "revoked" || self.trust().is_revoked(&digest_of(image)) {
            return Err(Error::refused(409, "image-revoked", "the image is revoked", "publish another"));
        }
        if shown_state(image) == "expired" {
            return Err(Error::refused(409, "image-expired", "the image has expired", "sign a new manifest"));
        }
        let floor = self.floor();
        if image.generation < floor {
            return Err(refused(&ManifestError::BelowFloor { generation: image.generation, floor }));
        }
        Ok(())
    }

    /// Revokes an image for good: it is no longer offered, and nodes that run it are told.
    pub(crate) async fn revoke(&self, actor: &str, name: &str, dry: bool) -> Result<Plan, Error> {
        let _change = self.change.lock().await;
        let before = self.find_image(name)?;
        let after = ImageRow { state: ImageState::Revoked, ..before.clone() };
        let told = NewEvent { state: "warn".to_string(), ..told(actor, "image.revoked", &after) };
        let revoked = before.state == ImageState::Revoked;
        let changes = if revoked { Vec::new() } else { vec![Change::Image { before, after }] };
        let draft = Draft::new(Kind::ImageRevoke, changes, told);
        self.carry_out(actor, draft, dry).await
    }

    pub(crate) fn find_image(&self, name: &str) -> Result<ImageRow, Error> {
        self.world().image(name).cloned().map_err(|lookup| match lookup {
            Lookup::Missing => Error::not_found("image-not-found", "image", name, "weft image list"),
            Lookup::Ambiguous => Error::ambiguous("image", name),
        })
    }

    /// Digest and generation of the active image.
    pub fn active_image(&self) -> Option<(String, u64)> {
        active(&self.world()).map(|image| (image.digest.clone(), image.generation))
    }
}

/// Manifests that a row takes over from the one it replaces.
fn earlier(old: &ImageRow, new: &ImageRow) -> Vec<(String, u64)> {
    let mut all = old.earlier.clone();
    all.push((old.manifest.clone(), old.expiry));
    all.retain(|(manifest, _)| *manifest != new.manifest);
    let excess = all.len().saturating_sub(MAX_EARLIER);
    all.drain(..excess);
    all
}

pub(crate) fn active(world: &World) -> Option<&ImageRow> {
    world.images.values().find(|image| image.state == ImageState::Active && image.expiry > unix_s())
}

pub(crate) fn digest_of(image: &ImageRow) -> [u8; 32] {
    crate::util::unhex(&image.digest).unwrap_or_default()
}

/// Refuses what would fill the disk.
pub(crate) fn check_room(folder: &std::path::Path, bytes: u64) -> Result<(), Error> {
    if free_bytes(folder)? < bytes.saturating_add(KEEP_FREE) {
        return Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into());
    }
    Ok(())
}

/// Whether `whole` holds `part` in one piece.
fn contains(whole: &[u8], part: &[u8]) -> bool {
    let Some(head) = part.first_chunk::<64>() else { return false };
    whole
        .windows(head.len())
        .enumerate()
        .filter(|(_, window)| window == head)
        .any(|(at, _)| whole.get(at..).is_some_and(|rest| rest.starts_with(part)))
}

fn told(actor: &str, name: &str, row: &ImageRow) -> NewEvent {
    NewEvent {
        actor: actor.to_string(),
        ..event(name, "info", format!("{} generation {}, {}", row.name, row.generation, row.digest))
    }
}

fn shown_state(row: &ImageRow) -> &'static str {
    match row.state {
        ImageState::Revoked => "revoked",
        _ if row.expiry <= unix_s() => "expired",
        ImageState::Active => "active",
        ImageState::Published => "published",
    }
}

/// As the interface shows it.
pub(crate) fn show(row: &ImageRow) -> Image {
    Image {
        name: row.name.clone(),
        state: shown_state(row).to_string(),
        digest: row.digest.clone(),
        generation: row.generation,
        floor: row.floor,
        size: row.size,
        not_after: at_unix(row.expiry),
        signers: row.signers.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::contains;

    #[test]
    fn a_companion_must_hold_the_whole_payload_in_one_piece() {
        let payload: Vec<u8> = (0..200u8).collect();
        let whole = [&[9u8; 100][..], &payload, &[1; 10]].concat();
        assert!(contains(&whole, &payload));
        let mut changed = whole.clone();
        changed[250] ^= 1;
        assert!(!contains(&changed, &payload));
        assert!(!contains(&whole[..250], &payload));
        assert!(!contains(&whole, &[]));
    }
}
