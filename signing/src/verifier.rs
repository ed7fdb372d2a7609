//! Signature checks by `ring`.

use ring::signature::{ED25519, UnparsedPublicKey};
use weft_format::Verifier;

/// Signature checks by `ring`, for programs of the host. Gives the same answers as
/// `weft_format::DalekVerifier` on the node; a test compares the two.
#[derive(Clone, Copy, Debug, Default)]
pub struct RingVerifier;

impl Verifier for RingVerifier {
    fn equation_holds(&self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
    }
}
