//! One connection to an appliance: TCP, Noise, messages. Sealed bytes wait in a bounded buffer.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use weft_abi::sys::TcpStream;
use weft_abi::{Address, Errno};
use weft_transport::noise::{Channel, Received};
use weft_wire::agent::{ToNode, ToServer};
use weft_wire::codec::{decode_to_node, encode_to_server};

/// Receive buffer asked for, bytes.
const RECEIVE_BYTES: usize = 64 * 1024;
/// Sealed bytes that may wait for the socket.
const MAX_PENDING: usize = 32 * 1024;
/// Bytes read in one poll.
const READ_BUDGET: usize = 64 * 1024;

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LinkState {
    /// TCP is being opened.
    Dialling,
    /// Noise is at work.
    Shaking,
    /// Messages may flow.
    Open,
}

/// See the module.
pub(crate) struct Link {
    stream: TcpStream,
    channel: Channel,
    pending: Vec<u8>,
    received: VecDeque<ToNode>,
    state: LinkState,
    /// Bytes arrived since the last look.
    heard: bool,
}

impl Link {
    /// Dials `peer`, who must own `remote`.
    pub(crate) fn dial(
        peer: Address,
        secret: &[u8; 32],
        remote: &[u8; 32],
        seed: [u8; 32],
    ) -> Result<Self, String> {
        let (channel, first) = Channel::initiate(secret, remote, seed).map_err(|error| format!("{error}"))?;
        let stream = TcpStream::connect(peer, RECEIVE_BYTES).map_err(|error| format!("{error}"))?;
        let state = LinkState::Dialling;
        Ok(Self { stream, channel, pending: first, received: VecDeque::new(), state, heard: false })
    }

    pub(crate) fn state(&self) -> LinkState {
        self.state
    }

    /// Whether bytes arrived since the last call.
    pub(crate) fn take_heard(&mut self) -> bool {
        core::mem::take(&mut self.heard)
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Option<ToNode> {
        self.received.pop_front()
    }

    /// Whether one more message may be sealed.
    pub(crate) fn has_room(&self) -> bool {
        self.state == LinkState::Open && self.pending.len() < MAX_PENDING
    }

    /// Seals a message; it leaves with the next polls.
    pub(crate) fn send(&mut self, message: &ToServer) -> Result<(), String> {
        let plain = encode_to_server(message).map_err(|error| format!("{error}"))?;
        let sealed = self.channel.seal(&plain).map_err(|error| format!("{error}"))?;
        self.pending.extend_from_slice(&sealed);
        Ok(())
    }

    /// Moves bytes. An error ends the connection.
    pub(crate) fn poll(&mut self) -> Result<(), String> {
        let ready = self.stream.ready().map_err(|error| format!("{error}"))?;
        if self.state == LinkState::Dialling {
            if ready.closed {
                return Err("nobody answers there".into());
            }
            if !ready.writable {
                return Ok(());
            }
            self.state = LinkState::Shaking;
        }
        self.flush()?;
        self.read()?;
        self.flush()
    }

    /// Hands sealed bytes to the socket as far as it takes them.
    pub(crate) fn flush(&mut self) -> Result<(), String> {
        while !self.pending.is_empty() {
            match self.stream.send(&self.pending) {
                Ok(sent) => drop(self.pending.drain(..sent.min(self.pending.len()))),
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(format!("{error}")),
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), String> {
        let mut buffer = vec![0; 8192];
        for _ in 0..READ_BUDGET / 8192 {
            let bytes = match self.stream.receive(&mut buffer) {
                // What it said before, for example why it hangs up, is heard first; the end stays.
                Ok(0) if !self.received.is_empty() => return Ok(()),
                Ok(0) => return Err("the appliance closed the connection".into()),
                Ok(len) => buffer.get(..len).unwrap_or(&[]),
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(format!("{error}")),
            };
            self.heard = true;
            for item in self.channel.receive(bytes).map_err(|error| format!("{error}"))? {
                match item {
                    Received::Opened => self.state = LinkState::Open,
                    Received::Asked { .. } => return Err("it answered as if it had been asked".into()),
                    Received::Message(plain) => {
                        let message =
                            decode_to_node(&plain).map_err(|error| format!("bad message: {error}"))?;
                        self.received.push_back(message);
                    }
                }
            }
        }
        Ok(())
    }
}
