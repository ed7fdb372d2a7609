//! A throw-away root of one holder, for images that this machine builds for itself.
//!
//! The root set carries the lab flag, so that an appliance that serves a real network refuses it.
//! Real roots, several holders and keys at rest are `weft-signing`'s.

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};

use weft_format::manifest::{BODY_SIZE, Manifest};
use weft_format::roots::{MAX_ROOT_SET, RootSet};
use weft_format::signatures::{MAX_SIGNATURES, Signature, write_list};
use weft_format::{ManifestError, RootError, key_id};
use weft_types::handoff::MANIFEST_SIZE;

/// Why a lab root did not sign.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// No random numbers, or a key file that is none.
    #[error("lab key: {0}")]
    Key(&'static str),
    /// The root set.
    #[error("lab root set: {0}")]
    Roots(#[from] RootError),
    /// The manifest.
    #[error("lab manifest: {0}")]
    Manifest(#[from] ManifestError),
}

/// A root of one holder.
pub struct LabRoot {
    key: Ed25519KeyPair,
}

impl LabRoot {
    /// A new key as PKCS #8, to be kept by the caller.
    pub fn generate() -> Result<Vec<u8>, LabError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        Ok(document.map_err(|_| LabError::Key("no random numbers"))?.as_ref().to_vec())
    }

    /// From what [`LabRoot::generate`] gave.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, LabError> {
        let key = Ed25519KeyPair::from_pkcs8(document).map_err(|_| LabError::Key("not a key"))?;
        Ok(Self { key })
    }

    fn public(&self) -> Result<[u8; 32], LabError> {
        self.key.public_key().as_ref().try_into().map_err(|_| LabError::Key("length"))
    }

    /// The root set, encoded: version 1, one of one, lab.
    pub fn root_set(&self) -> Result<Vec<u8>, LabError> {
        let set = RootSet::new(1, 1, &[self.public()?], true)?;
        Ok(set.encode(&mut [0; MAX_ROOT_SET]).to_vec())
    }

    /// A manifest section that says `manifest`.
    pub fn sign(&self, manifest: &Manifest) -> Result<Vec<u8>, LabError> {
        let body = manifest.encode()?;
        let signature = self.key.sign(&body);
        let signature = signature.as_ref().try_into().map_err(|_| LabError::Key("signature"))?;
        let entry = Signature { key_id: key_id(&self.public()?), signature };
        let mut section = vec![0; MANIFEST_SIZE];
        let (head, rest) = section.split_at_mut(BODY_SIZE);
        head.copy_from_slice(&body);
        write_list(&[entry], MAX_SIGNATURES, rest).ok_or(LabError::Key("list"))?;
        Ok(section)
    }
}
