//! Link frames in UDP datagrams through the node's own stack: where the members are not on one Ethernet. Pages
//! are copied, and frames pass management.

use alloc::vec;
use alloc::vec::Vec;

use weft_platform::{Piece, TxError};

use super::backend::Backend;
use super::{MAX_FRAME, Peer};
use crate::stack::{Endpoint, SocketError, Stack, Udp};

/// Headers of IPv4 and UDP, bytes.
const HEADERS: usize = 28;
/// The port of the interconnect (dynamic range, RFC 6335).
pub const LINK_PORT: u16 = 49_151;
/// Datagrams taken at a time.
const BUDGET: usize = 64;

/// The socket and where the members are. Lives as long as the epoch; lent to a [`Udp4`] with the stack.
pub struct UdpLinks {
    socket: Udp,
    peers: Vec<(Peer, [u8; 4])>,
    buffer: Vec<u8>,
}

impl UdpLinks {
    /// Opens the socket.
    pub fn open(stack: &mut Stack, peers: Vec<(Peer, [u8; 4])>) -> Result<Self, SocketError> {
        let socket = stack.udp_open_at(LINK_PORT, 64, MAX_FRAME)?;
        Ok(Self { socket, peers, buffer: vec![0; MAX_FRAME] })
    }

    /// Closes it.
    pub fn close(self, stack: &mut Stack) {
        stack.udp_close(self.socket);
    }
}

/// The back end, while the stack is at hand.
pub struct Udp4<'a> {
    /// The socket.
    pub links: &'a mut UdpLinks,
    /// The stack.
    pub stack: &'a mut Stack,
}

impl Backend for Udp4<'_> {
    fn frame(&self) -> usize {
        self.stack.mtu().saturating_sub(HEADERS)
    }

    fn transmit(&mut self, peer: Peer, head: &[u8], piece: Option<&Piece>) -> Result<(), TxError> {
        let known = self.links.peers.iter().find(|(known, _)| *known == peer);
        let (_, address) = *known.ok_or(TxError::Device)?;
        let length = piece.map_or(0, |piece| piece.length);
        let room = self.links.buffer.get_mut(..head.len() + length).ok_or(TxError::Length)?;
        let (start, rest) = room.split_at_mut(head.len());
        start.copy_from_slice(head);
        if let Some(piece) = piece {
            piece.page.read(piece.offset, rest);
        }
        let to = Endpoint { address, port: LINK_PORT };
        self.stack.udp_send(self.links.socket, to, room).map_err(|error| match error {
            SocketError::WouldBlock => TxError::Full,
            SocketError::Length => TxError::Length,
            SocketError::TooMany | SocketError::NotConnected | SocketError::Reset | SocketError::Address => {
                TxError::Device
            }
        })
    }

    fn receive(&mut self, take: &mut dyn FnMut(&[u8])) -> bool {
        for _ in 0..BUDGET {
            match self.stack.udp_receive(self.links.socket, &mut self.links.buffer) {
                Ok((length, _)) => take(self.links.buffer.get(..length).unwrap_or(&[])),
                // Too long for any frame of ours.
                Err(SocketError::Length) => {}
                Err(_) => return false,
            }
        }
        true
    }
}

#[cfg(test)]
#[path = "udp_tests.rs"]
mod tests;
