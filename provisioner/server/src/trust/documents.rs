//! The signed documents as they travel from one appliance to others, and are taken there.
//!
//! Whoever brings them is no authority: what comes is judged as if a person had put it there. Of each document the later
//! version stands. No key is among them.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use weft_format::RootSet;
use weft_format::roots::Rotation;

use super::{NAMES, ROTATION, RingVerifier, Trust, TrustError, read};
use crate::keys::Keys;
use crate::partitions::bytes_of;
use crate::util::{hex, private_folder, sync_folder, write_whole};

/// Longest wait for somebody else who puts documents into the folder: a write takes milliseconds.
const TURN: Duration = Duration::from_secs(5);

/// Documents, as they were signed, in hexadecimal; empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Documents {
    #[serde(default)]
    roots: String,
    /// That led to the root set from the one before: judged only where that one is in force.
    #[serde(default)]
    rotation: String,
    #[serde(default)]
    delegation: String,
    #[serde(default)]
    revocations: String,
}

/// Which of two different documents of one version stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tie {
    /// The one that comes.
    Given,
    /// The one that is here.
    Here,
}

impl Documents {
    /// Those of a data folder, unjudged.
    pub(crate) fn of(data: &Path) -> Result<Self, TrustError> {
        let text = |name: &str| -> Result<String, TrustError> {
            let bytes = read(&data.join("trust").join(name))?;
            Ok(bytes.map(|bytes| hex(&bytes)).unwrap_or_default())
        };
        let [roots, delegation, revocations] = NAMES;
        Ok(Self {
            roots: text(roots)?,
            rotation: text(ROTATION)?,
            delegation: text(delegation)?,
            revocations: text(revocations)?,
        })
    }

    /// Those that are in force in a data folder: read while nobody changes them, and judged.
    pub(crate) fn in_force(data: &Path, keys: &Keys, lab: bool) -> Result<Self, TrustError> {
        let _turn = turn(data)?;
        let here = Self::of(data)?;
        here.judged(keys, lab)?;
        Ok(here)
    }

    /// Whether their root set is a later one than that of `other`.
    pub(crate) fn is_beyond(&self, other: &Self) -> bool {
        let version =
            |all: &Self| bytes_of(&all.roots).and_then(|bytes| Some(RootSet::parse(&bytes).ok()?.version()));
        version(self) > version(other)
    }

    /// Names of their files, and what is in them.
    fn files(&self) -> [(&'static str, Option<Vec<u8>>); 4] {
        let bytes = |text: &str| bytes_of(text).filter(|bytes| !bytes.is_empty());
        let [roots, delegation, revocations] = NAMES;
        [
            (roots, bytes(&self.roots)),
            (ROTATION, bytes(&self.rotation)),
            (delegation, bytes(&self.delegation)),
            (revocations, bytes(&self.revocations)),
        ]
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As the store keeps them.
    pub(crate) fn text(&self) -> String {
        // Four texts: nothing in them can fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The reverse of [`Self::text`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn judged(&self, keys: &Keys, lab: bool) -> Result<Trust, TrustError> {
        let [(_, roots), _, (_, delegation), (_, revocations)] = self.files();
        Trust::check(roots.as_deref(), delegation, revocations.as_deref(), keys, lab)
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> TrustError {
    let path = path.to_path_buf();
    move |source| TrustError::File { path, source }
}

/// One at a time puts documents into a data folder: a person or the appliance.
pub(super) fn turn(data: &Path) -> Result<File, TrustError> {
    let folder = data.join("trust");
    private_folder(&folder).map_err(failed(&folder))?;
    // What root makes here, the service could not open again.
    let owner = fs::metadata(data).map_err(failed(data))?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Err(TrustError::NotOwner);
    }
    let path = data.join("trust.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed(&path))?;
    let end = Instant::now() + TURN;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() > end => return Err(TrustError::Busy),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(error)) => return Err(failed(&path)(error)),
        }
    }
}

/// Puts a whole set into force in one step: of a root set without what its holders signed, no start comes.
pub(super) fn exchange(data: &Path, all: &[(&str, Option<Vec<u8>>)]) -> Result<(), TrustError> {
    let (folder, new) = (data.join("trust"), data.join("trust.new"));
    match fs::remove_dir_all(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&new)(error)),
        _ => {}
    }
    private_folder(&new).map_err(failed(&new))?;
    for (name, bytes) in all {
        let path = new.join(name);
        if let Some(bytes) = bytes {
            write_whole(&path, bytes, 0o644).map_err(failed(&path))?;
        }
    }
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(rustix::fs::CWD, &new, rustix::fs::CWD, &folder, flags)
        .map_err(|error| failed(&folder)(error.into()))?;
    sync_folder(data).map_err(failed(data))?;
    fs::remove_dir_all(&new).map_err(failed(&new))
}

/// Whether a rotation leads from one root set to another.
fn leads(from: &RootSet, rotation: &str, to: &RootSet) -> bool {
    let next = bytes_of(rotation).map(|bytes| from.verify_rotation(&bytes, &RingVerifier));
    matches!(next, Some(Ok(next)) if next.digest() == to.digest())
}

/// Whether these bytes are a rotation to this root set; its signatures are judged by whoever still has the set before.
fn is_of(rotation: &str, roots: &RootSet) -> bool {
    bytes_of(rotation).is_some_and(|bytes| {
        Rotation::parse(&bytes).is_ok_and(|rotation| rotation.new_set.digest() == roots.digest())
    })
}

impl Trust {
    /// Takes of `given` what is later than what is in force in this data folder. Whether anything was.
    pub(crate) fn take(
        data: &Path,
        keys: &Keys,
        given: &Documents,
        tie: Tie,
        lab: bool,
    ) -> Result<bool, TrustError> {
        if Documents::of(data)? == *given {
            return Ok(false);
        }
        let _turn = turn(data)?;
        let here = Documents::of(data)?;
        let (ours, theirs) = (here.judged(keys, lab)?, given.judged(keys, lab)?);
        if let (Some(old), Some(new)) = (&ours.roots, &theirs.roots)
            && old.digest() != new.digest()
        {
            if leads(old, &given.rotation, new) {
                theirs.follows(&ours)?;
                return exchange(data, &given.files()).map(|()| true);
            }
            // The rotation may be known here, and not there yet.
            return if leads(new, &here.rotation, old) { Ok(false) } else { Err(TrustError::OtherRoots) };
        }
        let later = |ours: Option<u64>, theirs: Option<u64>| match tie {
            Tie::Given => theirs.is_some() && theirs >= ours,
            Tie::Here => theirs > ours,
        };
        let version_of = |trust: &Self| trust.delegation.as_ref().map(|(delegation, _)| delegation.version);
        let list_of = |trust: &Self| trust.revocations.as_ref().map(|list| list.version);
        // The root set comes first: without it the others are refused. A rotation is kept for others where it leads to the set in force.
        let later = [
            ours.roots.is_none(),
            tie == Tie::Given && theirs.roots.as_ref().is_some_and(|roots| is_of(&given.rotation, roots)),
            later(version_of(&ours), version_of(&theirs)),
            later(list_of(&ours), list_of(&theirs)),
        ];
        let mut taken = false;
        for (((name, bytes), (_, had)), later) in given.files().into_iter().zip(here.files()).zip(later) {
            let Some(bytes) = bytes.filter(|bytes| later && had.as_ref() != Some(bytes)) else { continue };
            let path = data.join("trust").join(name);
            write_whole(&path, &bytes, 0o644).map_err(failed(&path))?;
            taken = true;
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use weft_format::delegation::Delegation;

    use super::*;

    #[test]
    fn a_root_set_without_what_is_in_force_does_not_follow() {
        let delegation = Delegation {
            version: 3,
            root_version: 1,
            not_before: 0,
            expiry: u64::MAX,
            appliances: Vec::new(),
            revoked: Vec::new(),
        };
        let before = Trust { delegation: Some((delegation, Vec::new())), ..Trust::default() };
        assert!(matches!(Trust::default().follows(&before), Err(TrustError::Missing("delegation"))));
        before.follows(&before).expect("the same");
        Trust::default().follows(&Trust::default()).expect("nothing");
    }

    #[test]
    fn who_hangs_with_the_documents_keeps_nobody_for_ever() {
        let data = tempfile::tempdir().expect("a folder");
        let _held = turn(data.path()).expect("free");
        assert!(matches!(turn(data.path()), Err(TrustError::Busy)));
    }

    #[test]
    fn what_is_no_document_is_refused_and_nothing_is_written() {
        let data = tempfile::tempdir().expect("a folder");
        let keys = Keys::open(data.path()).expect("drawn");
        let take = |given: &Documents| Trust::take(data.path(), &keys, given, Tie::Given, true);
        let delegation = Documents { delegation: "00".into(), ..Documents::default() };
        assert!(matches!(take(&delegation), Err(TrustError::NoRoots)));
        let roots = Documents { roots: "0102".into(), ..delegation };
        assert!(matches!(take(&roots), Err(TrustError::Roots(_))));
        assert_eq!(Documents::of(data.path()).expect("read"), Documents::default());
        assert!(!take(&Documents::default()).expect("nothing"));
        assert_eq!(Documents::parse(&roots.text()), Some(roots));
        assert_eq!(Documents::parse("{"), None);
    }
}
