//! What carries link frames.

use weft_platform::{Piece, TxError};

use super::Peer;

/// A way to the other members. Frames may be lost, doubled, bent or mixed up; links care for that.
pub trait Backend {
    /// Largest frame, from the link header on, bytes: for [`super::Config::frame`].
    fn frame(&self) -> usize;
    /// Sends one frame: `head`, then the bytes of `piece`. A page is not copied where the device gathers.
    fn transmit(&mut self, peer: Peer, head: &[u8], piece: Option<&Piece>) -> Result<(), TxError>;
    /// Hands received frames to `take`, a bounded number. `true`: there may be more.
    fn receive(&mut self, take: &mut dyn FnMut(&[u8])) -> bool;
    /// One-sided access, where the hardware has it.
    fn one_sided(&mut self) -> Option<&mut dyn OneSided> {
        None
    }
}

/// Memory of a peer that may be written without its processor: what RDMA hardware offers. No back end of today
/// has it; the link layer's messages work without. A page that is written so needs no data frames, only the
/// response that says it is there, which must not overtake it.
pub trait OneSided {
    /// Makes a page writable for one peer; the key travels in a request.
    fn grant(&mut self, peer: Peer, page: Piece) -> Result<RemoteKey, TxError>;
    /// Takes the grant back. After it returns the peer can write no more.
    fn revoke(&mut self, key: RemoteKey);
    /// Writes to a peer's granted page. `token` comes back when the peer's memory has the bytes.
    fn put(&mut self, peer: Peer, from: &Piece, to: RemoteKey, token: u64) -> Result<(), TxError>;
    /// The next write that is complete.
    fn completed(&mut self) -> Option<u64>;
}

/// Names granted memory of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemoteKey(pub u64);
