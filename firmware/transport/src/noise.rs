//! The agent channel's cipher: Noise IK as initiator, and as responder for operators, in frames of u16 length and
//! Noise message, sans-IO.
//!
//! ```text
//! initiate ─ message 1 ─▶ Shaking ─ message 2 ─▶ Open ─ transport messages both ways
//! respond ─▶ Waiting ─ message 1 ─▶ Asked ─ accept: message 2 ─▶ Open
//!                   └───── any bad frame ─────┴─▶ error; the connection must be dropped
//! ```
//! Parameters and prologues are those of `weft_wire::agent` and `weft_wire::operator`. The Diffie-Hellman function is x25519-dalek's;
//! `snow` brings cipher, hash and pattern. Randomness is one seed for the one ephemeral key that
//! each side of IK draws; asking for more fails, so that it can never be used twice.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState, TransportState};
use weft_wire::agent::{MAX_MESSAGE, NOISE_PARAMS, NOISE_PROLOGUE};
use weft_wire::operator::{MAX_ASK, MAX_CERTIFICATE, OPERATOR_PROLOGUE};
use x25519_dalek::{PublicKey, StaticSecret};

/// Bytes that encryption adds.
const TAG: usize = 16;
/// Largest Noise message on the wire.
pub const MAX_FRAME: usize = MAX_MESSAGE + TAG;
/// Largest handshake message that makes sense: two keys, two tags.
const MAX_HANDSHAKE: usize = 128;
/// An operator's first message: two keys, two tags, its certificate.
const MAX_FIRST: usize = 32 + 32 + TAG + MAX_CERTIFICATE + TAG;
/// Largest payload of the answer to it.
pub const MAX_REFUSAL: usize = 512;

/// Why a channel is dead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChannelError {
    /// A frame is longer than it may be.
    FrameTooLong,
    /// The other side does not have the key that it should have, or bytes were changed.
    Authentication,
    /// A message to send is longer than it may be.
    MessageTooLong,
    /// Asked to encrypt before the handshake was over.
    NotOpen,
    /// The keys cannot be used.
    Keys,
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FrameTooLong => "a frame is too long",
            Self::Authentication => "the other side failed to prove its key, or bytes were changed",
            Self::MessageTooLong => "a message is too long to send",
            Self::NotOpen => "the channel is not open yet",
            Self::Keys => "the keys cannot be used",
        })
    }
}

impl core::error::Error for ChannelError {}

/// The public half of an X25519 secret key.
pub fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
}

struct X25519 {
    secret: StaticSecret,
    bytes: [u8; 32],
    public: [u8; 32],
}

impl X25519 {
    fn new(bytes: [u8; 32]) -> Self {
        let secret = StaticSecret::from(bytes);
        let public = PublicKey::from(&secret).to_bytes();
        Self { secret, bytes, public }
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }
    fn pub_len(&self) -> usize {
        32
    }
    fn priv_len(&self) -> usize {
        32
    }
    fn set(&mut self, privkey: &[u8]) {
        if let Ok(bytes) = <[u8; 32]>::try_from(privkey) {
            *self = Self::new(bytes);
        }
    }
    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut bytes = [0; 32];
        rng.try_fill_bytes(&mut bytes)?;
        *self = Self::new(bytes);
        Ok(())
    }
    fn pubkey(&self) -> &[u8] {
        &self.public
    }
    fn privkey(&self) -> &[u8] {
        &self.bytes
    }
    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let bytes = <[u8; 32]>::try_from(pubkey.get(..32).ok_or(snow::Error::Dh)?);
        let public = PublicKey::from(bytes.map_err(|_| snow::Error::Dh)?);
        let shared = self.secret.diffie_hellman(&public);
        if !shared.was_contributory() {
            return Err(snow::Error::Dh);
        }
        out.get_mut(..32).ok_or(snow::Error::Dh)?.copy_from_slice(shared.as_bytes());
        Ok(())
    }
}

struct OneSeed(Option<[u8; 32]>);

impl Random for OneSeed {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let seed = self.0.take().ok_or(snow::Error::Rng)?;
        let source = seed.get(..dest.len()).ok_or(snow::Error::Rng)?;
        dest.copy_from_slice(source);
        Ok(())
    }
}

struct Resolver([u8; 32]);

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(OneSeed(Some(self.0))))
    }
    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(X25519::new([0; 32]))),
            DHChoice::Curve448 => None,
        }
    }
    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }
    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

enum State {
    Waiting(Box<HandshakeState>),
    Asked(Box<HandshakeState>),
    Shaking(Box<HandshakeState>),
    Open(Box<TransportState>),
    Dead,
}

/// What arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// The other side proved its key; messages may flow.
    Opened,
    /// Somebody asks to come in: its key, and what it says of itself. It may be a replay until the first message
    /// after [`Channel::accept`] has come.
    Asked {
        /// The initiator's static key.
        key: [u8; 32],
        /// Payload of its first message.
        payload: Vec<u8>,
    },
    /// A message.
    Message(Vec<u8>),
}

/// One end of a channel.
pub struct Channel {
    state: State,
    input: Vec<u8>,
    /// Largest frame once it is open, bytes.
    largest: usize,
}

fn frame(message: &[u8]) -> Vec<u8> {
    // Callers keep messages below MAX_FRAME, far below 64 KiB.
    let mut frame = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    frame.extend_from_slice(message);
    frame
}

impl Channel {
    /// Starts a channel: our secret key, the other side's public key, a fresh random seed. Returns the
    /// bytes to send first.
    pub fn initiate(
        secret: &[u8; 32],
        remote: &[u8; 32],
        seed: [u8; 32],
    ) -> Result<(Self, Vec<u8>), ChannelError> {
        let keys = |_| ChannelError::Keys;
        let params: NoiseParams = NOISE_PARAMS.parse().map_err(keys)?;
        let mut shaking = Builder::with_resolver(params, Box::new(Resolver(seed)))
            .local_private_key(secret)
            .and_then(|builder| builder.remote_public_key(remote))
            .and_then(|builder| builder.prologue(NOISE_PROLOGUE))
            .and_then(Builder::build_initiator)
            .map_err(keys)?;
        let mut message = vec![0; MAX_HANDSHAKE];
        let len = shaking.write_message(&[], &mut message).map_err(keys)?;
        let first = frame(message.get(..len).unwrap_or(&[]));
        let state = State::Shaking(Box::new(shaking));
        Ok((Self { state, input: Vec::new(), largest: MAX_FRAME }, first))
    }

    /// Waits for an operator, with our secret key and a fresh random seed.
    pub fn respond(secret: &[u8; 32], seed: [u8; 32]) -> Result<Self, ChannelError> {
        let keys = |_| ChannelError::Keys;
        let params: NoiseParams = NOISE_PARAMS.parse().map_err(keys)?;
        let waiting = Builder::with_resolver(params, Box::new(Resolver(seed)))
            .local_private_key(secret)
            .and_then(|builder| builder.prologue(OPERATOR_PROLOGUE))
            .and_then(Builder::build_responder)
            .map_err(keys)?;
        Ok(Self { state: State::Waiting(Box::new(waiting)), input: Vec::new(), largest: MAX_ASK + TAG })
    }

    /// Answers whoever asked to come in; returns the bytes to send. Messages may flow after that.
    pub fn accept(&mut self, payload: &[u8]) -> Result<Vec<u8>, ChannelError> {
        if payload.len() > MAX_REFUSAL {
            return Err(ChannelError::MessageTooLong);
        }
        match core::mem::replace(&mut self.state, State::Dead) {
            State::Asked(mut shaking) => {
                let mut message = vec![0; MAX_HANDSHAKE + payload.len()];
                let len = shaking.write_message(payload, &mut message).map_err(|_| ChannelError::Keys)?;
                let transport = shaking.into_transport_mode().map_err(|_| ChannelError::Keys)?;
                self.state = State::Open(Box::new(transport));
                Ok(frame(message.get(..len).unwrap_or(&[])))
            }
            State::Waiting(_) | State::Shaking(_) | State::Open(_) | State::Dead => {
                Err(ChannelError::NotOpen)
            }
        }
    }

    /// Whether the handshake is over.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Bytes from the connection. After an error the channel is dead.
    pub fn receive(&mut self, data: &[u8]) -> Result<Vec<Received>, ChannelError> {
        self.input.extend_from_slice(data);
        let mut received = Vec::new();
        let mut used = 0;
        let result = loop {
            // Whoever asked waits for the answer before it says more.
            if matches!(self.state, State::Asked(_)) && used < self.input.len() {
                break Err(ChannelError::NotOpen);
            }
            let rest = self.input.get(used..).unwrap_or(&[]);
            let [high, low, body @ ..] = rest else { break Ok(()) };
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            if len > self.largest_frame() {
                break Err(ChannelError::FrameTooLong);
            }
            let Some(message) = body.get(..len) else { break Ok(()) };
            used += 2 + len;
            match open(&mut self.state, message) {
                Ok(item) => received.push(item),
                Err(error) => break Err(error),
            }
        };
        self.input.drain(..used);
        if let Err(error) = result {
            self.state = State::Dead;
            self.input = Vec::new();
            return Err(error);
        }
        Ok(received)
    }

    fn largest_frame(&self) -> usize {
        match self.state {
            State::Waiting(_) => MAX_FIRST,
            State::Shaking(_) => MAX_HANDSHAKE,
            State::Asked(_) | State::Open(_) | State::Dead => self.largest,
        }
    }

    /// Encrypts a message; returns the bytes to send.
    pub fn seal(&mut self, message: &[u8]) -> Result<Vec<u8>, ChannelError> {
        if message.len() > MAX_MESSAGE {
            return Err(ChannelError::MessageTooLong);
        }
        let State::Open(transport) = &mut self.state else { return Err(ChannelError::NotOpen) };
        let mut sealed = vec![0; message.len() + TAG];
        let len = transport.write_message(message, &mut sealed).map_err(|_| ChannelError::NotOpen)?;
        Ok(frame(sealed.get(..len).unwrap_or(&[])))
    }
}

/// Handles one whole Noise message.
fn open(state: &mut State, message: &[u8]) -> Result<Received, ChannelError> {
    let mut plain = vec![0; message.len()];
    match core::mem::replace(state, State::Dead) {
        State::Waiting(mut waiting) => {
            let len = waiting.read_message(message, &mut plain).map_err(|_| ChannelError::Authentication)?;
            plain.truncate(len);
            let key = waiting.get_remote_static().and_then(|key| key.try_into().ok());
            let key = key.ok_or(ChannelError::Authentication)?;
            *state = State::Asked(waiting);
            Ok(Received::Asked { key, payload: plain })
        }
        State::Shaking(mut shaking) => {
            let len = shaking.read_message(message, &mut plain).map_err(|_| ChannelError::Authentication)?;
            if len != 0 || !shaking.is_handshake_finished() {
                return Err(ChannelError::Authentication);
            }
            let transport = shaking.into_transport_mode().map_err(|_| ChannelError::Authentication)?;
            *state = State::Open(Box::new(transport));
            Ok(Received::Opened)
        }
        State::Open(mut transport) => {
            let len =
                transport.read_message(message, &mut plain).map_err(|_| ChannelError::Authentication)?;
            plain.truncate(len);
            *state = State::Open(transport);
            Ok(Received::Message(plain))
        }
        State::Asked(_) | State::Dead => Err(ChannelError::NotOpen),
    }
}

#[cfg(test)]
#[path = "noise_tests.rs"]
mod tests;
