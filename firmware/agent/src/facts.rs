//! What the boot entry and the hardware tell the agent.

use alloc::string::String;
use alloc::vec::Vec;

use weft_format::manifest::{Manifest, ManifestSection};
use weft_types::BlobDigest;
use weft_wire::agent::{BootKind, BootReport, Inventory, Stage};

/// Plain data about this boot, from the hand-off and the hardware.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The node's kept secret key; `None` on a node that keeps none: a new one is drawn.
    pub node_key: Option<[u8; 32]>,
    /// Boots of that key, this one included; 0 without a kept key.
    pub boot_counter: u64,
    /// Which entry loaded the monitor.
    pub boot_path: BootKind,
    /// Secure Boot was on.
    pub secure_boot: bool,
    /// The manifest section.
    pub manifest: Vec<u8>,
    /// The root set's bytes, perhaps zero-padded.
    pub root_set: Vec<u8>,
    /// Floor of generations that this node holds.
    pub floor: u64,
    /// Server that the firmware booted from.
    pub boot_server: Option<[u8; 4]>,
    /// Command line; `server=A.B.C.D` names the server.
    pub cmdline: String,
    /// What is in the machine.
    pub inventory: Inventory,
    /// Stages so far, microseconds since the entry's first instruction.
    pub stages: Vec<(Stage, u64)>,
    /// Microseconds between the entry's first instruction and the zero of the monotonic clock.
    pub clock_zero_us: u64,
}

/// The manifest, as far as it is one, and the digest of its whole section.
pub(crate) fn manifest(section: &[u8]) -> Option<(Manifest, BlobDigest)> {
    let parsed = ManifestSection::parse(section).ok()?;
    Some((parsed.manifest, BlobDigest(weft_format::sha256(section))))
}

impl Facts {
    /// The `Hello`'s report.
    pub(crate) fn report(&self, delegation_version: u64, stages: Vec<(Stage, u64)>) -> BootReport {
        let manifest = manifest(&self.manifest);
        BootReport {
            path: self.boot_path,
            secure_boot: self.secure_boot,
            manifest_digest: manifest.map_or(BlobDigest::default(), |(_, digest)| digest),
            image_digest: BlobDigest(manifest.map_or([0; 32], |(manifest, _)| manifest.image_digest)),
            generation: manifest.map_or(0, |(manifest, _)| manifest.generation),
            floor: self.floor,
            delegation_version,
            stages,
        }
    }

    /// The server that the command line names.
    pub(crate) fn cmdline_server(&self) -> Option<[u8; 4]> {
        let word = self.cmdline.split_ascii_whitespace().find_map(|word| word.strip_prefix("server="))?;
        let address: core::net::Ipv4Addr = word.parse().ok()?;
        Some(address.octets())
    }
}
