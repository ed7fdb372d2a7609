//! Noise IK over TCP: frames of `u16` length and one Noise message.
//!
//! The two directions have their own counters, so that reading and writing are separate halves. Lengths
//! are checked before anything is read into memory.

use std::sync::Arc;

use snow::{Builder, StatelessTransportState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use weft_wire::agent::{MAX_MESSAGE, NOISE_PARAMS, NOISE_PROLOGUE};

/// Bytes that Noise adds to a message.
const TAG: usize = 16;
/// First IK message: ephemeral key, encrypted static key, empty payload.
const FIRST: usize = 32 + 32 + TAG + TAG;
/// Second IK message: ephemeral key, empty payload.
const SECOND: usize = 32 + TAG;

/// Why a channel ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    /// The connection.
    #[error("connection")]
    Io(#[from] std::io::Error),
    /// A frame of impossible length.
    #[error("a frame of {0} bytes")]
    Length(usize),
    /// Handshake or frame that does not open.
    #[error("noise")]
    Noise(#[from] snow::Error),
    /// A frame that opens, and holds no message.
    #[error("message")]
    Message(#[from] weft_wire::codec::DecodeError),
    /// A message that is too long to send.
    #[error("a message of {0} bytes is too long")]
    TooLong(usize),
    /// No key in the handshake.
    #[error("the handshake showed no key")]
    NoKey,
    /// No more counters.
    #[error("the channel is used up")]
    UsedUp,
}

/// An open channel.
pub(crate) struct Channel {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
}

/// Receives.
pub(crate) struct Reader {
    stream: OwnedReadHalf,
    noise: Arc<StatelessTransportState>,
    nonce: u64,
}

/// Sends.
pub(crate) struct Writer {
    stream: OwnedWriteHalf,
    noise: Arc<StatelessTransportState>,
    nonce: u64,
}

impl Channel {
    /// Answers a handshake. Returns the channel and the other side's static key.
    pub(crate) async fn accept(
        mut stream: TcpStream,
        private: &[u8; 32],
    ) -> Result<(Self, [u8; 32]), ChannelError> {
        let mut noise = Builder::new(NOISE_PARAMS.parse()?)
            .prologue(NOISE_PROLOGUE)?
            .local_private_key(private)?
            .build_responder()?;
        let length = usize::from(stream.read_u16().await?);
        if length != FIRST {
            return Err(ChannelError::Length(length));
        }
        let mut first = [0; FIRST];
        stream.read_exact(&mut first).await?;
        noise.read_message(&first, &mut [])?;
        let key = noise.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(ChannelError::NoKey)?;
        let mut second = [0; SECOND];
        noise.write_message(&[], &mut second)?;
        stream.write_u16(SECOND as u16).await?;
        stream.write_all(&second).await?;
        Ok((Self::from(stream, noise.into_stateless_transport_mode()?), key))
    }

    /// Opens a channel to `remote`, as a node does.
    #[cfg(feature = "simnode")]
    pub(crate) async fn dial(
        mut stream: TcpStream,
        private: &[u8; 32],
        remote: &[u8; 32],
    ) -> Result<Self, ChannelError> {
        let mut noise = Builder::new(NOISE_PARAMS.parse()?)
            .prologue(NOISE_PROLOGUE)?
            .local_private_key(private)?
            .remote_public_key(remote)?
            .build_initiator()?;
        let mut first = [0; FIRST];
        noise.write_message(&[], &mut first)?;
        stream.write_u16(FIRST as u16).await?;
        stream.write_all(&first).await?;
        let length = usize::from(stream.read_u16().await?);
        if length != SECOND {
            return Err(ChannelError::Length(length));
        }
        let mut second = [0; SECOND];
        stream.read_exact(&mut second).await?;
        noise.read_message(&second, &mut [])?;
        Ok(Self::from(stream, noise.into_stateless_transport_mode()?))
    }

    fn from(stream: TcpStream, noise: StatelessTransportState) -> Self {
        let noise = Arc::new(noise);
        let (read, write) = stream.into_split();
        Self {
            reader: Reader { stream: read, noise: Arc::clone(&noise), nonce: 0 },
            writer: Writer { stream: write, noise, nonce: 0 },
        }
    }
}

impl Reader {
    /// Plain text of the next frame.
    pub(crate) async fn receive(&mut self) -> Result<Vec<u8>, ChannelError> {
        let length = usize::from(self.stream.read_u16().await?);
        if !(TAG..=MAX_MESSAGE + TAG).contains(&length) {
            return Err(ChannelError::Length(length));
        }
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame).await?;
        let mut plain = vec![0; length];
        let size = self.noise.read_message(self.nonce, &frame, &mut plain)?;
        self.nonce = self.nonce.checked_add(1).ok_or(ChannelError::UsedUp)?;
        plain.truncate(size);
        Ok(plain)
    }
}

impl Writer {
    /// Sends plain text as one frame.
    pub(crate) async fn send(&mut self, plain: &[u8]) -> Result<(), ChannelError> {
        if plain.len() > MAX_MESSAGE {
            return Err(ChannelError::TooLong(plain.len()));
        }
        let mut frame = vec![0; 2 + plain.len() + TAG];
        let (head, body) = frame.split_at_mut(2);
        let size = self.noise.write_message(self.nonce, plain, body)?;
        self.nonce = self.nonce.checked_add(1).ok_or(ChannelError::UsedUp)?;
        let length = u16::try_from(size).map_err(|_| ChannelError::TooLong(size))?;
        head.copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame).await?;
        Ok(())
    }
}
