//! Link frames straight in Ethernet frames of the interconnect's own EtherType, past IP and past management.

use alloc::sync::Arc;
use alloc::vec::Vec;

use weft_platform::{Piece, TxError};

use super::Peer;
use super::backend::Backend;
use crate::port::Port;

/// See the module. Cheap: each processor may have its own over the same port.
pub struct Ethernet {
    port: Arc<Port>,
    peers: Vec<(Peer, [u8; 6])>,
}

impl Ethernet {
    /// Reaches `peers` at their hardware addresses.
    pub fn new(port: Arc<Port>, peers: Vec<(Peer, [u8; 6])>) -> Self {
        Self { port, peers }
    }
}

impl Backend for Ethernet {
    fn frame(&self) -> usize {
        self.port.mtu()
    }

    fn transmit(&mut self, peer: Peer, head: &[u8], piece: Option<&Piece>) -> Result<(), TxError> {
        let known = self.peers.iter().find(|(known, _)| *known == peer);
        let (_, mac) = known.ok_or(TxError::Device)?;
        self.port.transmit_link(*mac, head, piece)
    }

    fn receive(&mut self, take: &mut dyn FnMut(&[u8])) -> bool {
        self.port.receive_links(take)
    }
}
