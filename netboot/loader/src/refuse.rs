//! Refusals: a stable short code and words for people.
//!
//! Both entries print `weft-refuse: <code>: <words>` on screen and serial port. Tools read the code;
//! it never changes its meaning.

use core::fmt;

use weft_format::pe::PeError;
use weft_format::{ManifestError, RootError, SignatureError};

use crate::elf::ElfError;
use crate::load::LoadError;
use crate::multiboot::MultibootError;
use crate::regions::TooMany;

/// Why an entry does not start the DVMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The manifest, its signatures, the payload's digest, or the floor.
    Manifest(ManifestError),
    /// The pinned root set.
    Roots(RootError),
    /// The loaded image's sections.
    Image(PeError),
    /// The compressed payload does not unfold.
    Payload,
    /// The monitor's ELF file.
    Elf(ElfError),
    /// Memory for the monitor was not to be had or was not as planned.
    Load(LoadError),
    /// Not enough memory below 4 GiB.
    Memory,
    /// The firmware's memory map has too many entries.
    MemoryMap,
    /// What the Multiboot loader said.
    Multiboot(MultibootError),
    /// Not started by a Multiboot loader.
    NotMultiboot,
    /// The manifest module is missing.
    NoManifest,
    /// The image was not assembled.
    NotAssembled,
    /// No no-execute pages.
    NoExecuteProtection,
    /// The firmware runs with five-level paging.
    FiveLevelPaging,
    /// A variable could not be read; it may hold the floor.
    VariableRead,
    /// The floor or the counter could not be written.
    VariableWrite,
    /// A variable of ours has another form or other attributes than we gave it.
    VariableForm,
    /// No generator of random bytes for the node's key.
    NoEntropy,
    /// The firmware did not end its services.
    ExitBootServices,
}

impl Refusal {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Manifest(error) => manifest_code(error),
            Self::Roots(_) => "bad-root-set",
            Self::Image(_) => "bad-image",
            Self::Payload => "bad-payload",
            Self::Elf(_) => "bad-monitor",
            Self::Load(_) => "not-loaded",
            Self::Memory => "no-memory",
            Self::MemoryMap => "memory-map",
            Self::Multiboot(_) | Self::NotMultiboot => "not-multiboot",
            Self::NoManifest => "no-manifest",
            Self::NotAssembled => "not-assembled",
            Self::NoExecuteProtection => "no-nx",
            Self::FiveLevelPaging => "five-level-paging",
            Self::VariableRead => "variable-read",
            Self::VariableWrite => "variable-write",
            Self::VariableForm => "variable-form",
            Self::NoEntropy => "no-entropy",
            Self::ExitBootServices => "exit-boot-services",
        }
    }
}

const fn manifest_code(error: &ManifestError) -> &'static str {
    match error {
        ManifestError::Absent => "unsigned",
        ManifestError::Malformed
        | ManifestError::Trailing
        | ManifestError::Tag
        | ManifestError::Format(_)
        | ManifestError::BuildId
        | ManifestError::Generation { .. }
        | ManifestError::Validity => "bad-manifest",
        ManifestError::RootVersion { .. } | ManifestError::OtherRoots => "other-root-set",
        ManifestError::Signatures(error) => match error {
            SignatureError::Unsigned => "unsigned",
            SignatureError::TooFew { .. } => "too-few-signatures",
            SignatureError::Malformed
            | SignatureError::Duplicate(_)
            | SignatureError::Order(_)
            | SignatureError::Foreign(_)
            | SignatureError::Bad(_) => "bad-signature",
        },
        ManifestError::BelowFloor { .. } => "below-floor",
        ManifestError::PayloadDigest => "payload-digest",
        ManifestError::ImageDigest | ManifestError::ImageSize { .. } => "image-digest",
        ManifestError::Image(_) => "bad-image",
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(error) => write!(f, "{error}"),
            Self::Roots(error) => write!(f, "{error}"),
            Self::Image(error) => write!(f, "the loaded image is malformed: {error}"),
            Self::Payload => f.write_str("the monitor does not unfold"),
            Self::Elf(error) => write!(f, "{error}"),
            Self::Load(error) => write!(f, "{error}"),
            Self::Memory => f.write_str("not enough free memory below 4 GiB"),
            Self::MemoryMap => f.write_str("the firmware's memory map has too many entries"),
            Self::Multiboot(error) => write!(f, "the boot loader's information is unusable: {error:?}"),
            Self::NotMultiboot => f.write_str("not started by a Multiboot loader"),
            Self::NoManifest => f.write_str("the manifest was not loaded as first module"),
            Self::NotAssembled => f.write_str("the image carries no monitor"),
            Self::NoExecuteProtection => f.write_str("this processor has no no-execute pages"),
            Self::FiveLevelPaging => f.write_str("the firmware runs with five-level paging"),
            Self::VariableRead => f.write_str("the firmware does not read its variables"),
            Self::VariableWrite => f.write_str("the firmware does not keep the floor or the boot counter"),
            Self::VariableForm => f.write_str("a firmware variable of ours was made by somebody else"),
            Self::NoEntropy => f.write_str("no source of random bytes for the node's key"),
            Self::ExitBootServices => f.write_str("the firmware does not end its services"),
        }
    }
}

impl core::error::Error for Refusal {}

macro_rules! from {
    ($($error:ty => $variant:ident),*) => {
        $(impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from!(ManifestError => Manifest, RootError => Roots, PeError => Image, ElfError => Elf,
    LoadError => Load, MultibootError => Multiboot);

impl From<TooMany> for Refusal {
    fn from(_: TooMany) -> Self {
        Self::MemoryMap
    }
}
