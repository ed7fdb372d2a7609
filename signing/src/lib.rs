//! Key custody and the image signing workflow.
//!
//! ```text
//! holder's machine, no network          build host                        appliance
//!  key new ──▶ alice.pub ──────────────▶ root new ──▶ roots.bin
//!                                        build, place manifest
//!  sign  ◀────────── weft.efi ◀──────────┘
//!   └──── one signature more ───────────▶ verify (k reached) ─▶ Authenticode ─▶ publish
//! ```
//! - [`keyfile`]: a holder's key, encrypted at rest; [`passphrase`]: where its passphrase comes from;
//! - [`holder`]: an opened key, the only thing here that signs;
//! - [`image`]: manifest into an image, one signature at a time;
//! - [`document`]: the same for delegation, revocation list and root set rotation;
//! - [`cli`]: all of it as verbs of the command line.
//!
//! The formats and their verification are `weft_format`'s. [`RingVerifier`] is the host's side of it.
//! Invariants: a passphrase is never an argument of a program; a key file is written once, with mode
//! 0600; one invocation signs with one key; nothing is signed that would be refused once it has enough
//! signatures; an image is not signed after Authenticode, since that would break it.

pub mod cli;
pub mod document;
mod error;
mod files;
mod hex;
pub mod holder;
pub mod image;
pub mod keyfile;
pub mod passphrase;
pub mod report;
mod verifier;

pub use error::SigningError;
pub use holder::Holder;
pub use verifier::RingVerifier;
