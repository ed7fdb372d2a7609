//! What the root holders signed for this appliance: root set, delegation, revocation list, and the rotation by which the root set
//! came.
//!
//! The files stand in `trust/` of the data folder. They are checked when they are put there and again
//! whenever they are read; nothing is served to nodes that a node would refuse.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::signature::{ED25519, UnparsedPublicKey};
use weft_format::delegation::{Delegation, DelegationError, verify_delegation};
use weft_format::revocation::{RevocationError, Revocations, verify_revocations};
use weft_format::roots::MAX_ROOT_SET;
use weft_format::{RootError, RootSet, Verifier};

use crate::keys::Keys;
use crate::util::write_whole;

mod documents;

pub(crate) use documents::{Documents, Tie};

/// Largest file looked at.
const MAX_FILE: u64 = 256 * 1024;
/// Root set, delegation and revocation list, as they are called in `trust/`.
pub const NAMES: [&str; 3] = ["roots.bin", "delegation.bin", "revocations.bin"];
/// The rotation that led to the root set in force, where one did: it convinces other appliances.
const ROTATION: &str = "rotation.bin";

/// Ed25519 by `ring`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RingVerifier;

impl Verifier for RingVerifier {
    fn equation_holds(&self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
    }
}

/// Why the trust files do not do.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The root set.
    #[error("root set refused")]
    Roots(#[source] RootError),
    /// A lab root where none is wanted.
    #[error("this is a lab root set, made by a machine for itself; only `--lab` takes it")]
    LabRoots,
    /// Documents without a root set.
    #[error("there is no root set yet: give `--roots` too")]
    NoRoots,
    /// Another root set is in force.
    #[error("another root set is in force here; a new one comes by a rotation that the old one signed")]
    OtherRoots,
    /// The rotation.
    #[error("rotation refused")]
    Rotation(#[source] RootError),
    /// The delegation.
    #[error("delegation refused")]
    Delegation(#[source] DelegationError),
    /// The delegation names other keys.
    #[error("the delegation does not name this appliance's keys (see `weft appliance init`)")]
    NotDelegated,
    /// The revocation list.
    #[error("revocation list refused")]
    Revocations(#[source] RevocationError),
    /// What is in force would be lost.
    #[error("there is a {0} in force, and none comes with the new root set")]
    Missing(&'static str),
    /// Who leads would judge by an old one.
    #[error("the other appliances have a later root set, and no rotation that is kept leads to it")]
    Behind,
    /// Another process holds the documents.
    #[error(
        "another process has been putting documents into this data folder for a while; see whether `weft appliance init` hangs"
    )]
    Busy,
    /// The folder is another account's.
    #[error("the data folder belongs to another account: run this as that one (sudo -u weft)")]
    NotOwner,
}

/// Documents in force.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The root set.
    pub roots: Option<RootSet>,
    /// The delegation and its bytes.
    pub delegation: Option<(Delegation, Vec<u8>)>,
    /// The revocation list.
    pub revocations: Option<Revocations>,
}

/// Files to be put in force.
#[derive(Clone, Debug, Default)]
pub struct TrustFiles {
    /// Root set.
    pub roots: Option<PathBuf>,
    /// Rotation from the root set in force to the next one; what is in force must be signed anew and come with it.
    pub rotation: Option<PathBuf>,
    /// Delegation.
    pub delegation: Option<PathBuf>,
    /// Revocation list.
    pub revocations: Option<PathBuf>,
}

impl Trust {
    /// Reads and checks what is in force.
    pub fn open(data: &Path, keys: &Keys, lab: bool) -> Result<Self, TrustError> {
        let folder = data.join("trust");
        let roots = read(&folder.join("roots.bin"))?;
        let delegation = read(&folder.join("delegation.bin"))?;
        let revocations = read(&folder.join("revocations.bin"))?;
        Self::check(roots.as_deref(), delegation, revocations.as_deref(), keys, lab)
    }

    /// Checks `files` together with what is in force, and puts them in force.
    pub fn install(data: &Path, keys: &Keys, files: &TrustFiles, lab: bool) -> Result<Self, TrustError> {
        let read_all = |path: &Option<PathBuf>| path.as_deref().map(read_given).transpose();
        // Read before anybody is kept waiting: a pipe may take its time.
        let (new_roots, rotation) = (read_all(&files.roots)?, read_all(&files.rotation)?);
        let (new_delegation, new_revocations) = (read_all(&files.delegation)?, read_all(&files.revocations)?);
        let _turn = documents::turn(data)?;
        let before = Self::open(data, keys, lab)?;
        let folder = data.join("trust");
        let given = |new: Option<Vec<u8>>, name: &str| -> Result<(Option<Vec<u8>>, bool), TrustError> {
            match new {
                Some(bytes) => Ok((Some(bytes), true)),
                None => Ok((read(&folder.join(name))?, false)),
            }
        };
        let [roots_name, delegation_name, revocations_name] = NAMES;
        let (mut roots, new_roots) = given(new_roots, roots_name)?;
        if let Some(rotation) = &rotation {
            let old = before.roots.as_ref().ok_or(TrustError::NoRoots)?;
            let next = old.verify_rotation(rotation, &RingVerifier).map_err(TrustError::Rotation)?;
            roots = Some(next.encode(&mut [0; MAX_ROOT_SET]).to_vec());
        }
        let (delegation, new_delegation) = given(new_delegation, delegation_name)?;
        let (revocations, new_revocations) = given(new_revocations, revocations_name)?;
        let after = Self::check(roots.as_deref(), delegation.clone(), revocations.as_deref(), keys, lab)?;
        if let (Some(old), Some(new)) = (&before.roots, &after.roots)
            && old.digest() != new.digest()
            && rotation.is_none()
        {
            return Err(TrustError::OtherRoots);
        }
        after.follows(&before)?;
        if let Some(rotation) = rotation {
            let all = [
                (roots_name, roots),
                (ROTATION, Some(rotation)),
                (delegation_name, delegation),
                (revocations_name, revocations),
            ];
            documents::exchange(data, &all)?;
            return Ok(after);
        }
        for (name, bytes, new) in [
            (roots_name, roots, new_roots),
            (delegation_name, delegation, new_delegation),
            (revocations_name, revocations, new_revocations),
        ] {
            let path = folder.join(name);
            if let (Some(bytes), true) = (bytes, new) {
                write_whole(&path, &bytes, 0o644).map_err(|source| TrustError::File { path, source })?;
            }
        }
        Ok(after)
    }

    /// Nothing goes backwards: versions do not fall, and what is in force is not lost.
    fn follows(&self, before: &Self) -> Result<(), TrustError> {
        if before.delegation.is_some() && self.delegation.is_none() {
            return Err(TrustError::Missing("delegation"));
        }
        if before.revocations.is_some() && self.revocations.is_none() {
            return Err(TrustError::Missing("revocation list"));
        }
        if let (Some((old, _)), Some((new, _))) = (&before.delegation, &self.delegation)
            && new.version < old.version
        {
            return Err(TrustError::Delegation(DelegationError::Older {
                version: new.version,
                least: old.version,
            }));
        }
        if let (Some(old), Some(new)) = (&before.revocations, &self.revocations)
            && new.version < old.version
        {
            return Err(TrustError::Revocations(RevocationError::Older {
                version: new.version,
                least: old.version,
            }));
        }
        Ok(())
    }

    fn check(
        roots: Option<&[u8]>,
        delegation: Option<Vec<u8>>,
        revocations: Option<&[u8]>,
        keys: &Keys,
        lab: bool,
    ) -> Result<Self, TrustError> {
        let Some(roots) = roots else {
            return match (&delegation, &revocations) {
                (None, None) => Ok(Self::default()),
                _ => Err(TrustError::NoRoots),
            };
        };
        let roots = RootSet::parse(roots).map_err(TrustError::Roots)?;
        if roots.is_lab() && !lab {
            return Err(TrustError::LabRoots);
        }
        let delegation = delegation
            .map(|bytes| {
                let delegation =
                    verify_delegation(&bytes, &roots, &RingVerifier, 0).map_err(TrustError::Delegation)?;
                let ours = delegation.usable().any(|appliance| {
                    appliance.channel_key == keys.channel_public()
                        && appliance.record_key == keys.record_public()
                });
                if ours { Ok((delegation, bytes)) } else { Err(TrustError::NotDelegated) }
            })
            .transpose()?;
        let revocations = revocations
            .map(|bytes| verify_revocations(bytes, &roots, &RingVerifier, 0).map_err(TrustError::Revocations))
            .transpose()?;
        Ok(Self { roots: Some(roots), delegation, revocations })
    }

    /// Whether the list in force names an image.
    pub fn is_revoked(&self, image: &[u8; 32]) -> bool {
        self.revocations.as_ref().is_some_and(|list| list.contains(image))
    }

    /// Version of the delegation, 0 where there is none.
    pub fn delegation_version(&self) -> u64 {
        self.delegation.as_ref().map_or(0, |(delegation, _)| delegation.version)
    }

    /// What this appliance's delegation entry says about ports.
    pub fn ports(&self, keys: &Keys) -> Option<(u16, u16)> {
        let (delegation, _) = self.delegation.as_ref()?;
        delegation
            .usable()
            .find(|appliance| appliance.channel_key == keys.channel_public())
            .map(|appliance| (appliance.agent_port, appliance.http_port))
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, TrustError> {
    match read_given(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(TrustError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_given(path: &Path) -> Result<Vec<u8>, TrustError> {
    let fail = |source| TrustError::File { path: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(fail)?;
    file.take(MAX_FILE.saturating_add(1)).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(fail(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}
