//! What Weft signs, and how a signature is judged: parse and verify, no_std.
//!
//! | kind | module | signed by | judged by |
//! |---|---|---|---|
//! | root set, and the step from one to the next | [`roots`] | k of n, old and new | image build, appliance |
//! | manifest of a boot image | [`manifest`] | k of n | boot entry before the image's first instruction |
//! | delegation: the appliances and their keys | `delegation` (feature `alloc`) | k of n | node |
//! | revocation list | `revocation` (feature `alloc`) | k of n | appliance |
//! | licence: identifiers for a pool | `licence` (feature `alloc`) | any holder | appliance |
//! | configuration record | `record` (feature `records`) | one delegated key | node |
//! | record of a partition | `cluster` (feature `records`) | one delegated key | all its members |
//! | operator's certificate | `operator` (feature `records`) | one delegated key | node |
//! | amendment of a partition's record | `operator` (feature `records`) | an operator | all its members |
//!
//! Invariants:
//! - A signature covers bytes as they travel; nothing is re-encoded before it is checked.
//! - Signed bytes open with a 16-byte tag of their kind, so that no signature serves for another kind.
//! - Each meaning has one encoding. Padding is zero, lists are sorted, trailing bytes are refused.
//! - Every signature present must be good and by a holder of the root set: a document with one bad
//!   signature is refused even where enough good ones remain, so no bit of it can change unseen.
//! - Expiry is judged apart from signatures ([`manifest::Manifest::valid_at`]), because a node that
//!   starts has no clock that it may trust.
//! - No parser here panics, and none allocates before it has checked a length.
//!
//! For bare-metal targets `sha2` must be built with `--cfg sha2_backend="soft"`: its other back ends use
//! vector registers, which those targets do not have.
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;

mod bytes;
pub mod digest;
pub mod ed25519;
pub mod manifest;
pub mod pe;
pub mod roots;
pub mod signatures;
mod validity;

#[cfg(feature = "records")]
pub mod cluster;
#[cfg(feature = "alloc")]
pub mod delegation;
#[cfg(feature = "records")]
pub mod gate;
#[cfg(feature = "alloc")]
pub mod licence;
#[cfg(feature = "records")]
pub mod operator;
#[cfg(feature = "records")]
pub mod record;
#[cfg(feature = "alloc")]
pub mod revocation;

pub use digest::{KeyId, key_id, sha256};
#[cfg(feature = "dalek")]
pub use ed25519::DalekVerifier;
pub use ed25519::Verifier;
pub use manifest::{Manifest, ManifestError, verify_image, verify_manifest};
pub use roots::{RootError, RootSet};
pub use signatures::SignatureError;
pub use validity::ValidityError;

#[cfg(feature = "records")]
pub use cluster::verify_cluster;
#[cfg(feature = "alloc")]
pub use delegation::{Appliance, Delegation, DelegationError, verify_delegation};
#[cfg(feature = "records")]
pub use gate::RecordGate;
#[cfg(feature = "alloc")]
pub use licence::{Licence, LicenceError, verify_licence};
#[cfg(feature = "records")]
pub use record::{RecordError, verify_record};
#[cfg(feature = "alloc")]
pub use revocation::{Revocations, verify_revocations};

/// Tag that opens a signed manifest.
pub const MANIFEST_TAG: &[u8; 16] = b"weft manifest v1";
/// Tag that opens a root set.
pub const ROOT_TAG: &[u8; 16] = b"weft root set v1";
/// Tag that opens the step from one root set to the next.
pub const ROTATION_TAG: &[u8; 16] = b"weft rotation v1";
/// Tag that opens a delegation.
pub const DELEGATION_TAG: &[u8; 16] = b"weft delegate v1";
/// Tag that opens a revocation list.
pub const REVOCATION_TAG: &[u8; 16] = b"weft revoked v1\0";
/// Tag that opens a licence.
pub const LICENCE_TAG: &[u8; 16] = b"weft licence v1\0";
