//! Authentication of link frames: SipHash-2-4 with a 128-bit tag, under keys of one direction of one pair of one
//! epoch. Why this one, and what it costs: docs/interconnect.md.

use core::hash::Hasher;

use sha2::{Digest, Sha256};
use siphasher::sip128::{Hasher128, SipHasher24};

use super::wire::TAG;
use super::{Identity, Peer};

/// Domain of the derivation below.
const LABEL: &[u8; 16] = b"weft link key v1";

/// Key of frames from one member to another.
#[derive(Clone, Copy)]
pub(crate) struct TagKey([u8; 16]);

impl TagKey {
    /// The key for frames `from` → `to`: SHA-256 over fixed-length fields, cut to 128 bits.
    pub(crate) fn derive(key: &[u8; 32], identity: Identity, from: Peer, to: Peer) -> Self {
        let mut hash = Sha256::new();
        hash.update(LABEL);
        hash.update(key);
        hash.update(identity.vs.to_le_bytes());
        hash.update(identity.epoch.to_le_bytes());
        hash.update([from.0, to.0]);
        let digest: [u8; 32] = hash.finalize().into();
        let mut half = [0; 16];
        half.iter_mut().zip(digest).for_each(|(out, byte)| *out = byte);
        Self(half)
    }

    /// Begins a tag.
    pub(crate) fn begin(&self) -> TagState {
        TagState(SipHasher24::new_with_key(&self.0))
    }

    /// Whether `tag` is the tag of the pieces. Takes the same time whatever differs.
    pub(crate) fn verify(&self, pieces: [&[u8]; 2], tag: &[u8]) -> bool {
        let mut state = self.begin();
        pieces.iter().for_each(|piece| state.update(piece));
        let own = state.finish();
        tag.len() == TAG && own.iter().zip(tag).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}

/// A tag in the making.
pub(crate) struct TagState(SipHasher24);

impl TagState {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    pub(crate) fn finish(self) -> [u8; TAG] {
        self.0.finish128().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SipHash-2-4-128 of the reference implementation: key 00…0f, message 00…0e and the empty one.
    #[test]
    fn the_function_is_siphash_2_4_128() {
        let key = TagKey(core::array::from_fn(|i| i as u8));
        let message: [u8; 15] = core::array::from_fn(|i| i as u8);
        let mut state = key.begin();
        message.iter().for_each(|byte| state.update(&[*byte]));
        assert_eq!(
            state.finish(),
            [0x54, 0x93, 0xe9, 0x99, 0x33, 0xb0, 0xa8, 0x11, 0x7e, 0x08, 0xec, 0x0f, 0x97, 0xcf, 0xc3, 0xd9]
        );
        assert_eq!(
            key.begin().finish(),
            [0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93]
        );
    }

    #[test]
    fn each_direction_pair_epoch_and_server_has_a_key_of_its_own() {
        let base = Identity { vs: 1, epoch: 2 };
        let key = [7; 32];
        let all = [
            TagKey::derive(&key, base, Peer(1), Peer(2)).0,
            TagKey::derive(&key, base, Peer(2), Peer(1)).0,
            TagKey::derive(&key, base, Peer(1), Peer(3)).0,
            TagKey::derive(&key, Identity { epoch: 3, ..base }, Peer(1), Peer(2)).0,
            TagKey::derive(&key, Identity { vs: 2, ..base }, Peer(1), Peer(2)).0,
            TagKey::derive(&[8; 32], base, Peer(1), Peer(2)).0,
        ];
        for (position, one) in all.iter().enumerate() {
            assert!(all.iter().skip(position + 1).all(|other| other != one));
        }
    }

    #[test]
    fn a_changed_bit_is_seen() {
        let key = TagKey([3; 16]);
        let mut state = key.begin();
        state.update(b"head");
        state.update(b"body");
        let tag = state.finish();
        assert!(key.verify([b"headb", b"ody"], &tag));
        assert!(!key.verify([b"head", b"bodz"], &tag));
        assert!(!key.verify([b"head", b"body"], &tag[..15]));
        let mut bent = tag;
        bent[15] ^= 1;
        assert!(!key.verify([b"head", b"body"], &bent));
    }
}
