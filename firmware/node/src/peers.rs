//! Datagrams between the members of a partition: sealed with the partition's key.
//!
//! ```text
//! 0   version, 1
//! 1   sender, 16 bytes
//! 17  incarnation of the sender, u64
//! 25  number of the datagram, u64
//! 33  message, encrypted, and its tag of 16 bytes (XChaCha20-Poly1305)
//! ```
//! Numbers are little-endian. The nonce is incarnation, number and the first 8 bytes of the sender, so that no
//! two datagrams under one key share it: a node never has the same incarnation twice. Header and receiver are
//! authenticated with the message. A datagram whose number is not above all earlier ones of its sender is
//! dropped: what was recorded cannot keep a dead node alive. Frames that overtake each other are lost, which
//! membership bears.
//!
//! All members hold the key, so a member could speak in another one's name. Members run one signed image and are
//! trusted that far; strangers are kept out.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use weft_types::NodeId;
use weft_wire::cluster::{LinkKey, MAX_MEMBERS};

const VERSION: u8 = 1;
const HEADER: usize = 33;
/// Longest datagram, bytes.
pub const MAX_DATAGRAM: usize = 1400;

/// See the module.
pub struct PeerChannel {
    me: NodeId,
    incarnation: u64,
    cipher: XChaCha20Poly1305,
    sent: u64,
    /// Newest incarnation and highest number of each sender.
    seen: BTreeMap<NodeId, (u64, u64)>,
}

impl core::fmt::Debug for PeerChannel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PeerChannel").field("me", &self.me).field("sent", &self.sent).finish_non_exhaustive()
    }
}

fn nonce(sender: NodeId, incarnation: u64, number: u64) -> XNonce {
    let mut nonce = [0; 24];
    let (first, rest) = nonce.split_at_mut(8);
    let (second, third) = rest.split_at_mut(8);
    first.copy_from_slice(&incarnation.to_le_bytes());
    second.copy_from_slice(&number.to_le_bytes());
    third.copy_from_slice(sender.0.first_chunk::<8>().unwrap_or(&[0; 8]));
    nonce.into()
}

impl PeerChannel {
    /// A channel of this boot, opened at `now_ns`: numbers start there, so that a second channel of one boot
    /// uses none of the first one's.
    pub fn new(me: NodeId, incarnation: u64, key: &LinkKey, now_ns: u64) -> Self {
        let cipher = XChaCha20Poly1305::new(&key.0.into());
        Self { me, incarnation, cipher, sent: now_ns, seen: BTreeMap::new() }
    }

    /// Seals a message for a member. `None` if it is too long.
    pub fn seal(&mut self, to: NodeId, message: &[u8]) -> Option<Vec<u8>> {
        self.sent = self.sent.checked_add(1)?;
        let mut datagram = Vec::with_capacity(HEADER + message.len() + 16);
        datagram.push(VERSION);
        datagram.extend_from_slice(&self.me.0);
        datagram.extend_from_slice(&self.incarnation.to_le_bytes());
        datagram.extend_from_slice(&self.sent.to_le_bytes());
        let aad = [datagram.as_slice(), &to.0].concat();
        let nonce = nonce(self.me, self.incarnation, self.sent);
        let sealed = self.cipher.encrypt(&nonce, Payload { msg: message, aad: &aad }).ok()?;
        datagram.extend_from_slice(&sealed);
        (datagram.len() <= MAX_DATAGRAM).then_some(datagram)
    }

    /// Opens a datagram: its sender and the message. `None`: forged, replayed, or none at all.
    pub fn open(&mut self, datagram: &[u8]) -> Option<(NodeId, Vec<u8>)> {
        if datagram.len() > MAX_DATAGRAM {
            return None;
        }
        let (header, sealed) = datagram.split_first_chunk::<HEADER>()?;
        let (version, rest) = header.split_first()?;
        let (sender, rest) = rest.split_first_chunk::<16>()?;
        let (incarnation, rest) = rest.split_first_chunk::<8>()?;
        let number = u64::from_le_bytes(*rest.first_chunk::<8>()?);
        let (sender, incarnation) = (NodeId(*sender), u64::from_le_bytes(*incarnation));
        if *version != VERSION || sender == self.me {
            return None;
        }
        let seen = self.seen.get(&sender).copied().unwrap_or((0, 0));
        if (incarnation, number) <= seen {
            return None;
        }
        let aad = [header.as_slice(), &self.me.0].concat();
        let nonce = nonce(sender, incarnation, number);
        let message = self.cipher.decrypt(&nonce, Payload { msg: sealed, aad: &aad }).ok()?;
        // Only who holds the key comes so far: members, of which there are few.
        if self.seen.len() >= 2 * MAX_MEMBERS && !self.seen.contains_key(&sender) {
            self.seen.clear();
        }
        self.seen.insert(sender, (incarnation, number));
        Some((sender, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId([1; 16]);
    const B: NodeId = NodeId([2; 16]);
    const C: NodeId = NodeId([3; 16]);
    const KEY: LinkKey = LinkKey([9; 32]);

    #[test]
    fn a_member_hears_what_was_said_to_it_and_once() {
        let (mut a, mut b, mut c) = (
            PeerChannel::new(A, 1, &KEY, 0),
            PeerChannel::new(B, 1, &KEY, 0),
            PeerChannel::new(C, 1, &KEY, 0),
        );
        let datagram = a.seal(B, b"hello").unwrap();
        assert_eq!(c.open(&datagram), None, "said to another");
        assert_eq!(b.open(&datagram), Some((A, b"hello".to_vec())));
        assert_eq!(b.open(&datagram), None, "a replay");
        assert_eq!(a.seal(B, &[0; MAX_DATAGRAM]), None);
    }

    #[test]
    fn strangers_and_changed_bytes_are_not_heard() {
        let mut stranger = PeerChannel::new(A, 1, &LinkKey([8; 32]), 0);
        let mut b = PeerChannel::new(B, 1, &KEY, 0);
        assert_eq!(b.open(&stranger.seal(B, b"hello").unwrap()), None);
        let good = PeerChannel::new(A, 1, &KEY, 0).seal(B, b"hello").unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(b.open(&bad), None, "byte {at}");
            assert_eq!(b.open(&good[..at]), None, "length {at}");
        }
        assert_eq!(b.open(&good), Some((A, b"hello".to_vec())));
    }

    #[test]
    fn a_later_boot_ends_the_earlier_one() {
        let mut b = PeerChannel::new(B, 1, &KEY, 0);
        let old = PeerChannel::new(A, 1, &KEY, 0).seal(B, b"old").unwrap();
        let new = PeerChannel::new(A, 2, &KEY, 0).seal(B, b"new").unwrap();
        assert!(b.open(&new).is_some());
        assert_eq!(b.open(&old), None);
    }
}
