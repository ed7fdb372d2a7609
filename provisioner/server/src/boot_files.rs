//! What booting machines are given: the files of the active image, or of the one that was chosen for the node.
//!
//! ```text
//! address ─▶ MAC ([`crate::boots`]) ─▶ node ─▶ its image, where one was chosen and may still run ─▶ file
//!                                       └────▶ the active image ─────────────────────────────────▶ file
//! ```
//! A MAC can be forged, and nothing is granted by it: every image here is signed, and the node judges it again.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use weft_format::pe::{self, MANIFEST_SECTION};
use weft_store::{ImageRow, ImageState, NodeRow};

use crate::core::{Core, event};
use crate::error::Error;
use crate::images::{active, digest_of};
use crate::transactions::Change;
use crate::util::{hex, mac_text, sha256, unix_s};
use crate::world::{NodeEntry, World};

/// Where Debian's iPXE package puts what a BIOS ROM loads.
const UNDIONLY: &str = "/usr/lib/ipxe/undionly.kpxe";

type Files = BTreeMap<String, Bytes>;

/// Files of one image.
#[derive(Debug, Default)]
struct Offered {
    /// Files on disk that they were read from: image, companion.
    of: (String, String),
    files: Files,
}

/// Files offered to booting machines.
#[derive(Debug, Default)]
pub(crate) struct BootFiles {
    /// Of no image.
    common: Files,
    /// Digest of the active image, empty where there is none.
    active: String,
    images: BTreeMap<String, Arc<Offered>>,
}

impl BootFiles {
    fn find(&self, image: &str, name: &str) -> Option<Bytes> {
        let of = |image: &str| self.images.get(image);
        let offered = of(image).or_else(|| of(&self.active));
        self.common.get(name).or_else(|| offered.and_then(|offered| offered.files.get(name))).cloned()
    }
}

/// The image that was chosen for the machine with this MAC or address; empty where none was, or it must not run.
fn chosen(world: &World, mac: Option<&str>, address: IpAddr) -> String {
    let has = |row: &NodeRow| match mac {
        Some(mac) => row.mac == mac,
        None => row.address == address.to_string(),
    };
    // What waits for approval may say any MAC.
    let approved = || world.nodes.values().filter(|node| node.row.approved);
    let by_nic = || {
        let mac = mac?;
        approved().find(|node| {
            let nics = node.report.as_ref().map(|report| report.inventory.nics.as_slice());
            nics.is_some_and(|nics| nics.iter().any(|nic| mac_text(&nic.mac) == mac))
        })
    };
    let node = approved().find(|node| has(&node.row)).or_else(by_nic);
    let image = node.and_then(|node| world.images.get(&node.row.image));
    let may_run = |image: &&ImageRow| image.state != ImageState::Revoked && image.expiry > unix_s();
    image.filter(may_run).map(|image| image.digest.clone()).unwrap_or_default()
}

/// Changes by which no approved node has an image of its own.
pub(crate) fn chosen_no_more(world: &World) -> Vec<Change> {
    let rows = world.nodes.values().map(|node| &node.row);
    rows.filter(|row| row.approved && !row.image.is_empty()).map(|row| choose(row, "")).collect()
}

/// A change by which an approved node has this image of its own, or none.
pub(crate) fn choose(row: &NodeRow, image: &str) -> Change {
    let after = NodeRow { image: image.to_string(), ..row.clone() };
    Change::Node { held: row.clone(), before: Some(row.clone()), after: Some(after), forget: false }
}

/// An image for a person: its name and generation, or its digest where it is not known here.
pub(crate) fn image_words(world: &World, digest: &str) -> String {
    match world.images.get(digest) {
        Some(image) => format!("{} (generation {})", image.name, image.generation),
        None => format!("image {}", digest.get(..12).unwrap_or(digest)),
    }
}

/// What another image of a node's own does, in words.
pub(crate) fn effects(world: &World, before: Option<&NodeRow>, after: Option<&NodeRow>) -> Option<String> {
    let (before, after) = (before?, after?);
    let name = &after.name;
    (before.image != after.image).then(|| match after.image.as_str() {
        "" => format!("{name} boots the active image from its next start"),
        image => format!("{name} boots {} from its next start", image_words(world, image)),
    })
}

/// The image that a node boots next, in words.
pub(crate) fn next_image(world: &World, node: &NodeEntry) -> Option<String> {
    let chosen = world.images.get(&node.row.image);
    let chosen = chosen.filter(|image| image.state != ImageState::Revoked && image.expiry > unix_s());
    chosen.or_else(|| active(world)).map(|image| image_words(world, &image.digest))
}

impl Core {
    /// Reads the files of the active image, and of those chosen for nodes, into memory, from where they are served.
    pub(crate) fn load_boot_files(&self) -> Result<(), Error> {
        self.load_files(false)
    }

    /// The same at the start: an image whose file is lost is not offered, and everything else goes on. The same file,
    /// published again, puts it back.
    pub(crate) fn load_boot_files_there_are(&self) -> Result<(), Error> {
        self.load_files(true)
    }

    fn load_files(&self, without_lost: bool) -> Result<(), Error> {
        let (active, chosen, had) = {
            let world = self.world();
            let wanted = world.nodes.values().filter_map(|node| world.images.get(&node.row.image));
            let chosen: BTreeMap<String, ImageRow> =
                wanted.map(|image| (image.digest.clone(), image.clone())).collect();
            (active(&world).cloned(), chosen, Arc::clone(&world.boot_files))
        };
        let trust = self.trust();
        let may_run =
            |image: &ImageRow| image.state != ImageState::Revoked && !trust.is_revoked(&digest_of(image));
        let mut new = BootFiles::default();
        if let Some((_, bytes)) = &trust.delegation {
            new.common.insert("delegation.bin".to_string(), Bytes::from(bytes.clone()));
        }
        match fs::read(UNDIONLY) {
            Ok(bytes) => {
                new.common.insert("ipxe/undionly.kpxe".to_string(), Bytes::from(bytes));
            }
            Err(error) => tracing::debug!(%error, "no {UNDIONLY}: BIOS ROMs without iPXE cannot boot"),
        }
        let mut read = Ok(());
        if let Some(image) = active.filter(may_run) {
            // Read anew, so that what is damaged on disk is found.
            match self.read_image(&image, without_lost) {
                Ok(offered) => {
                    new.images.insert(image.digest.clone(), Arc::new(offered));
                    new.active = image.digest;
                }
                // What was offered to all is offered still, where it may run.
                Err(error) => {
                    read = Err(error);
                    let before = self.world().images.get(&had.active).cloned();
                    if before.filter(may_run).is_some()
                        && let Some(offered) = had.images.get(&had.active)
                    {
                        new.images.insert(had.active.clone(), Arc::clone(offered));
                        new.active.clone_from(&had.active);
                    }
                }
            }
        }
        for image in chosen.values().filter(|image| may_run(image)) {
            if new.images.contains_key(&image.digest) {
                continue;
            }
            let of = (&image.file, &image.bios_file);
            let same = had.images.get(&image.digest).filter(|offered| (&offered.of.0, &offered.of.1) == of);
            match same.cloned().map_or_else(|| self.read_image(image, false).map(Arc::new), Ok) {
                Ok(offered) => _ = new.images.insert(image.digest.clone(), offered),
                // Its nodes boot the active one meanwhile.
                Err(error) => tracing::error!(
                    image = image.digest,
                    error = crate::chain(&error),
                    "an image that was chosen for nodes is not offered"
                ),
            }
        }
        self.world().boot_files = Arc::new(new);
        read
    }

    /// Refused where the files of an image do not read whole: no node would get it.
    pub(crate) fn check_files(&self, image: &ImageRow) -> Result<(), Error> {
        self.read_image(image, false).map(drop).map_err(|error| {
            tracing::error!(
                image = image.digest,
                error = crate::chain(&error),
                "files of an image do not read"
            );
            Error::refused(
                422,
                "image-file-lost",
                format!("the files of {} are missing or damaged", image.name),
                "publish it again: weft image publish FILE, with --bios FILE where it had one",
            )
        })
    }

    /// The files of an image, checked; `without_lost`: those that there are.
    fn read_image(&self, image: &ImageRow, without_lost: bool) -> Result<Offered, Error> {
        let mut files = Files::new();
        if let Some(file) = self.boot_bytes(&image.file, without_lost)? {
            if let Ok(section) = pe::section_data(&file, MANIFEST_SECTION) {
                files.insert("manifest.bin".to_string(), Bytes::copy_from_slice(section));
            }
            files.insert("weft.efi".to_string(), Bytes::from(file));
        }
        if !image.bios_file.is_empty()
            && let Some(bios) = self.boot_bytes(&image.bios_file, without_lost)?
        {
            files.insert("weft.bios".to_string(), Bytes::from(bios));
            files.insert("boot.ipxe".to_string(), Bytes::from(self.ipxe_script()));
        }
        Ok(Offered { of: (image.file.clone(), image.bios_file.clone()), files })
    }

    /// A file of an image.
    fn boot_bytes(&self, digest: &str, without_lost: bool) -> Result<Option<Vec<u8>>, Error> {
        let path = self.files().join(digest);
        let how = match fs::read(&path) {
            Ok(bytes) if hex(&sha256(&bytes)) == digest => return Ok(Some(bytes)),
            Ok(_) => "is damaged",
            Err(error) if without_lost && error.kind() == std::io::ErrorKind::NotFound => "is missing",
            Err(error) => return Err(error.into()),
        };
        let text = format!("{} {how}; publish the image again: weft image publish FILE", path.display());
        if !without_lost {
            return Err(std::io::Error::other(text).into());
        }
        if path.exists() {
            // Else the right one, published again, would not be written.
            fs::rename(&path, path.with_extension("damaged"))?;
        }
        tracing::error!("{text}");
        self.emit(event("image.file-lost", "error", text));
        Ok(None)
    }

    fn ipxe_script(&self) -> String {
        let base = format!("http://{}:{}", self.settings.address, self.settings.http_port);
        // Beside another DHCP server, the node's own lease does not name the appliance.
        let server = format!("server={}", self.settings.address);
        format!(
            "#!ipxe\n\
             echo Weft: loading the node image\n\
             kernel {base}/weft.bios {server} || kernel tftp://${{next-server}}/weft.bios {server} || goto failed\n\
             module {base}/manifest.bin manifest || module tftp://${{next-server}}/manifest.bin manifest || goto failed\n\
             boot || goto failed\n\
             :failed\n\
             echo Weft: the node image did not load, next try in 10 seconds\n\
             sleep 10\n\
             reboot\n"
        )
    }

    /// A file for the booting machine at this address, by name.
    pub fn boot_file(&self, peer: IpAddr, name: &str) -> Option<Bytes> {
        let mac = match peer {
            IpAddr::V4(address) => self.boots.mac_of(address),
            IpAddr::V6(_) => None,
        };
        let world = self.world();
        world.boot_files.find(&chosen(&world, mac.as_deref(), peer), name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::NodeEntry;

    #[test]
    fn a_machine_is_known_by_its_mac_or_else_by_its_address_and_a_bad_choice_is_none() {
        let mut world = World::default();
        let row = NodeRow {
            id: "n".into(),
            mac: "02:00:00:00:00:01".into(),
            address: "10.0.0.5".into(),
            image: "ab".into(),
            approved: true,
            ..NodeRow::default()
        };
        world.nodes.insert("n".into(), NodeEntry::from_row(row));
        let (ours, other): (IpAddr, IpAddr) = ([10, 0, 0, 5].into(), [10, 0, 0, 6].into());
        assert_eq!(chosen(&world, None, ours), "", "there is no such image");
        let image = ImageRow { digest: "ab".into(), expiry: u64::MAX, ..ImageRow::default() };
        world.images.insert("ab".into(), image.clone());
        assert_eq!(chosen(&world, Some("02:00:00:00:00:01"), other), "ab");
        assert_eq!(chosen(&world, None, ours), "ab");
        // Another machine has the address by now.
        assert_eq!(chosen(&world, Some("02:00:00:00:00:02"), ours), "");
        assert_eq!(chosen(&world, None, other), "");
        // A stranger that says the same MAC, or is at the same address, takes nothing away.
        let stranger = NodeRow {
            id: "a".into(),
            mac: "02:00:00:00:00:01".into(),
            address: "10.0.0.5".into(),
            ..NodeRow::default()
        };
        world.nodes.insert("a".into(), NodeEntry::from_row(stranger));
        assert_eq!(chosen(&world, Some("02:00:00:00:00:01"), other), "ab");
        assert_eq!(chosen(&world, None, ours), "ab");
        for bad in [
            ImageRow { state: ImageState::Revoked, ..image.clone() },
            ImageRow { expiry: 1, ..image.clone() },
        ] {
            world.images.insert("ab".into(), bad);
            assert_eq!(chosen(&world, None, ours), "");
        }
        world.images.insert("ab".into(), image);
        let changes = chosen_no_more(&world);
        assert!(matches!(&changes[..], [Change::Node { after: Some(row), .. }] if row.image.is_empty()));
    }
}
