//! Identifiers. All are fixed-size byte strings and print as lower-case hexadecimal.

use core::fmt;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
        #[repr(transparent)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for byte in self.0 {
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

identifier!(
    /// A node: the first 16 bytes of SHA-256 over `"weft node key v1"` and its X25519 public key.
    NodeId,
    16
);
identifier!(
    /// One appliance's (or one replicated appliance group's) cluster, drawn at its first start.
    ClusterId,
    16
);
identifier!(
    /// A virtual server, drawn when it is created.
    VsId,
    16
);
identifier!(
    /// A partition: nodes that agree with one another. Drawn when it is created.
    PartitionId,
    16
);
identifier!(
    /// SHA-256 of a blob (guest kernel, initramfs, image).
    BlobDigest,
    32
);

/// A node identity as an operator compares it: the 16 bytes of [`NodeId`] in eight groups of four
/// hexadecimal digits, for example `3f2a-…-09bc`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub NodeId);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, pair) in self.0.0.chunks(2).enumerate() {
            if i > 0 {
                f.write_str("-")?;
            }
            for byte in pair {
                write!(f, "{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// The number of an agreement among nodes: two proposers never share one, and a later one has the higher
/// counter. Coherence traffic and leases of one epoch mean nothing in another.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, serde::Serialize, serde::Deserialize,
)]
pub struct Epoch {
    /// Grows by at least one with each agreement.
    pub counter: u64,
    /// The node that proposed it.
    pub proposer: NodeId,
}
