//! TFTP read client, sans-IO (RFC 1350, 2347, 2348, 2349).
//!
//! ```text
//! start ─ RRQ ─▶ Asked ─ OACK ─▶ Receiving ─ last DATA ─▶ done
//!                  └─ DATA 1 (no options) ─▶ Receiving
//! any state ─ ERROR, too many repeats, too long ─▶ failed
//! ```
//! Invariants: the file is at most `max_bytes`; only the server's address counts, and after its first
//! answer only that transfer's port; a block is stored once; a repeated earlier block is acknowledged again
//! but never twice for the same repeat of ours, so that no flood of acknowledgements can build up.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::stack::Endpoint;

const RRQ: u16 = 1;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;
/// Block size asked for: the largest that fits an Ethernet frame with room for tunnels.
pub const BLOCK_SIZE: usize = 1432;
/// Block size without options.
const PLAIN_BLOCK_SIZE: usize = 512;
/// Repeats of one packet before the transfer fails.
const MAX_REPEATS: u32 = 8;
/// First wait for an answer; it doubles up to [`LONGEST_WAIT_NS`].
const FIRST_WAIT_NS: u64 = 500_000_000;
const LONGEST_WAIT_NS: u64 = 4_000_000_000;

/// Why a transfer failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TftpError {
    /// The server refused, with its code and (clipped) words.
    Refused {
        /// RFC 1350 error code.
        code: u16,
        /// What it said.
        message: String,
    },
    /// The file is larger than allowed.
    TooLarge {
        /// Bytes allowed.
        max_bytes: usize,
    },
    /// The server agreed to options that were not asked for or make no sense.
    BadOptions,
    /// No answer to repeated packets.
    Timeout,
}

impl fmt::Display for TftpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, message } => write!(f, "the server refused: {message} (code {code})"),
            Self::TooLarge { max_bytes } => write!(f, "the file is larger than {max_bytes} bytes"),
            Self::BadOptions => f.write_str("the server's options make no sense"),
            Self::Timeout => f.write_str("no answer"),
        }
    }
}

impl core::error::Error for TftpError {}

/// What to do after a step.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Step {
    /// A datagram to send.
    pub send: Option<(Endpoint, Vec<u8>)>,
    /// The file or the failure; nothing more comes after it.
    pub outcome: Option<Result<Vec<u8>, TftpError>>,
}

/// One transfer.
#[derive(Debug)]
pub struct TftpGet {
    server: Endpoint,
    /// Port of the transfer, once known.
    peer: Option<u16>,
    max_bytes: usize,
    block_size: usize,
    /// Block expected next.
    expected: u16,
    file: Vec<u8>,
    last: Vec<u8>,
    repeats: u32,
    wait_ns: u64,
    deadline_ns: u64,
    /// An earlier block was acknowledged again since the last progress or timeout.
    echoed: bool,
    over: bool,
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn request(name: &str) -> Vec<u8> {
    let mut packet = RRQ.to_be_bytes().to_vec();
    for word in [name, "octet", "blksize", "1432", "tsize", "0"] {
        packet.extend_from_slice(word.as_bytes());
        packet.push(0);
    }
    packet
}

fn ack(block: u16) -> Vec<u8> {
    let mut packet = ACK.to_be_bytes().to_vec();
    packet.extend_from_slice(&block.to_be_bytes());
    packet
}

/// Zero-terminated strings, in pairs; `None` for a torn list.
fn options(bytes: &[u8]) -> Option<Vec<(&str, &str)>> {
    let mut words = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() && words.len() < 16 {
        let end = rest.iter().position(|byte| *byte == 0)?;
        words.push(core::str::from_utf8(rest.get(..end)?).ok()?);
        rest = rest.get(end + 1..)?;
    }
    let (pairs, odd) = words.as_chunks::<2>();
    if !odd.is_empty() || !rest.is_empty() {
        return None;
    }
    Some(pairs.iter().map(|[name, value]| (*name, *value)).collect())
}

impl TftpGet {
    /// A read of `name` from `server`; the first step's datagram is the request.
    pub fn start(server: Endpoint, name: &str, max_bytes: usize, now_ns: u64) -> (Self, Step) {
        let last = request(name);
        let get = Self {
            server,
            peer: None,
            max_bytes,
            block_size: PLAIN_BLOCK_SIZE,
            expected: 1,
            file: Vec::new(),
            last: last.clone(),
            repeats: 0,
            wait_ns: FIRST_WAIT_NS,
            deadline_ns: now_ns.saturating_add(FIRST_WAIT_NS),
            echoed: false,
            over: false,
        };
        (get, Step { send: Some((server, last)), outcome: None })
    }

    /// When [`TftpGet::on_time`] is due.
    pub fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    fn fail(&mut self, error: TftpError) -> Step {
        self.over = true;
        Step { send: None, outcome: Some(Err(error)) }
    }

    fn reply(&mut self, packet: Vec<u8>, now_ns: u64) -> Step {
        self.last.clone_from(&packet);
        self.repeats = 0;
        self.echoed = false;
        self.wait_ns = FIRST_WAIT_NS;
        self.deadline_ns = now_ns.saturating_add(self.wait_ns);
        Step { send: Some((self.destination(), packet)), outcome: None }
    }

    fn destination(&self) -> Endpoint {
        Endpoint { address: self.server.address, port: self.peer.unwrap_or(self.server.port) }
    }

    /// The clock moved: repeats the last packet when its answer is overdue.
    pub fn on_time(&mut self, now_ns: u64) -> Step {
        if self.over || now_ns < self.deadline_ns {
            return Step::default();
        }
        if self.repeats >= MAX_REPEATS {
            return self.fail(TftpError::Timeout);
        }
        self.repeats += 1;
        self.echoed = false;
        self.wait_ns = self.wait_ns.saturating_mul(2).min(LONGEST_WAIT_NS);
        self.deadline_ns = now_ns.saturating_add(self.wait_ns);
        Step { send: Some((self.destination(), self.last.clone())), outcome: None }
    }

    /// A datagram arrived.
    pub fn on_datagram(&mut self, from: Endpoint, data: &[u8], now_ns: u64) -> Step {
        let known_peer = self.peer.is_none_or(|port| port == from.port);
        if self.over || from.address != self.server.address || !known_peer {
            return Step::default();
        }
        let body = data.get(2..).unwrap_or(&[]);
        match be16(data, 0) {
            Some(DATA) => self.on_data(from.port, body, now_ns),
            Some(OACK) => self.on_oack(from.port, body, now_ns),
            Some(ERROR) => {
                let code = be16(body, 0).unwrap_or(0);
                let text = body.get(2..).unwrap_or(&[]);
                let text = text.split(|byte| *byte == 0).next().unwrap_or(&[]);
                let words = text.iter().take(128).map(|byte| match byte {
                    0x20..=0x7e => char::from(*byte),
                    _ => '?',
                });
                self.fail(TftpError::Refused { code, message: words.collect() })
            }
            // Requests and acknowledgements are for servers; anything else is no TFTP.
            Some(_) | None => Step::default(),
        }
    }

    fn on_oack(&mut self, port: u16, body: &[u8], now_ns: u64) -> Step {
        if self.expected != 1 || !self.file.is_empty() {
            return Step::default();
        }
        let Some(options) = options(body) else { return self.fail(TftpError::BadOptions) };
        let mut block_size = PLAIN_BLOCK_SIZE;
        for (name, value) in options {
            let Ok(value) = value.parse::<usize>() else { return self.fail(TftpError::BadOptions) };
            if name.eq_ignore_ascii_case("blksize") && (8..=BLOCK_SIZE).contains(&value) {
                block_size = value;
            } else if name.eq_ignore_ascii_case("tsize") {
                if value > self.max_bytes {
                    return self.fail(TftpError::TooLarge { max_bytes: self.max_bytes });
                }
            } else {
                return self.fail(TftpError::BadOptions);
            }
        }
        self.block_size = block_size;
        self.peer = Some(port);
        self.reply(ack(0), now_ns)
    }

    fn on_data(&mut self, port: u16, body: &[u8], now_ns: u64) -> Step {
        let (Some(block), Some(bytes)) = (be16(body, 0), body.get(2..)) else { return Step::default() };
        if bytes.len() > self.block_size {
            return Step::default();
        }
        if block != self.expected {
            let earlier = self.peer.is_some() && block == self.expected.wrapping_sub(1) && block != 0;
            if !earlier || self.echoed {
                return Step::default();
            }
            self.echoed = true;
            return Step { send: Some((self.destination(), ack(block))), outcome: None };
        }
        if self.file.len().saturating_add(bytes.len()) > self.max_bytes {
            return self.fail(TftpError::TooLarge { max_bytes: self.max_bytes });
        }
        self.peer = Some(port);
        self.file.extend_from_slice(bytes);
        self.expected = self.expected.wrapping_add(1);
        let last = bytes.len() < self.block_size;
        let mut step = self.reply(ack(block), now_ns);
        if last {
            self.over = true;
            step.outcome = Some(Ok(core::mem::take(&mut self.file)));
        }
        step
    }
}

#[cfg(test)]
#[path = "tftp_tests.rs"]
mod tests;
