//! HTTP/1.1 client for one thing: a blob by its digest, sans-IO (RFC 9112, RFC 9110 section 14).
//!
//! ```text
//! request ─▶ Head ─ 200/206, Content-Length ─▶ Body ─ all bytes, digest right ─▶ complete
//!              └─ anything else: error                └─ connection lost: request again, by Range
//! ```
//! Invariants: size and digest are known before; memory for exactly that many bytes is reserved before the
//! first request, else the transfer is refused; a head is at most 4 KiB; chunked or compressed bodies are
//! refused; nothing is handed out before its SHA-256 was compared.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest, Sha256};
use weft_types::BlobDigest;
use weft_wire::record::BlobRef;

/// Longest response head, bytes.
const MAX_HEAD: usize = 4096;
/// Largest blob that a node fetches, bytes.
pub const MAX_BLOB: u64 = 1 << 30;

/// Why a blob was not had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HttpError {
    /// Larger than [`MAX_BLOB`].
    TooLarge,
    /// The node has no memory for it.
    NoMemory,
    /// The answer's head is longer than it may be, or no HTTP.
    BadHead,
    /// The server answered with this status.
    Status(u16),
    /// Length or range differ from what was asked for.
    BadLength,
    /// The body is encoded in a way that was not asked for.
    Encoding,
    /// Bytes follow the body.
    Excess,
    /// All bytes came, but their digest is another.
    Digest {
        /// What they hash to.
        actual: BlobDigest,
    },
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "larger than {MAX_BLOB} bytes"),
            Self::NoMemory => f.write_str("no memory for it"),
            Self::BadHead => f.write_str("the server's answer is no HTTP"),
            Self::Status(404) => f.write_str("the server does not have it (404)"),
            Self::Status(code) => write!(f, "the server answered {code}"),
            Self::BadLength => f.write_str("the server offers another length or range"),
            Self::Encoding => f.write_str("the server encodes the body in an unknown way"),
            Self::Excess => f.write_str("the server sent more than the body"),
            Self::Digest { actual } => write!(f, "its digest is {actual}"),
        }
    }
}

impl core::error::Error for HttpError {}

impl HttpError {
    /// Whether asking again may help.
    pub const fn worth_another_try(self) -> bool {
        match self {
            Self::Status(code) => code >= 500,
            Self::Digest { .. } => true,
            Self::TooLarge
            | Self::NoMemory
            | Self::BadHead
            | Self::BadLength
            | Self::Encoding
            | Self::Excess => false,
        }
    }
}

/// How far a transfer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// More bytes are to come.
    More,
    /// All bytes are here and their digest is right: [`BlobGet::take`].
    Complete,
}

enum State {
    Idle,
    Head(Vec<u8>),
    Body,
}

/// One blob on its way.
pub struct BlobGet {
    blob: BlobRef,
    size: usize,
    bytes: Vec<u8>,
    hash: Sha256,
    state: State,
}

#[derive(Default)]
struct Head {
    status: u16,
    length: Option<u64>,
    range: Option<(u64, u64, u64)>,
    encoded: bool,
}

/// `bytes first-last/total` (RFC 9110 section 14.4).
fn content_range(value: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, total.parse().ok()?))
}

fn parse_head(bytes: &[u8]) -> Option<Head> {
    let text = core::str::from_utf8(bytes).ok()?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.splitn(3, ' ');
    let version = words.next()?;
    if version != "HTTP/1.1" && version != "HTTP/1.0" {
        return None;
    }
    let code = words.next()?;
    if code.len() != 3 {
        return None;
    }
    let mut head = Head { status: code.parse().ok()?, ..Head::default() };
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        let value = value.trim_matches([' ', '\t']);
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().ok()?;
            if head.length.is_some_and(|other| other != length) {
                return None;
            }
            head.length = Some(length);
        } else if name.eq_ignore_ascii_case("content-range") {
            head.range = Some(content_range(value)?);
        } else if name.eq_ignore_ascii_case("transfer-encoding")
            || (name.eq_ignore_ascii_case("content-encoding") && !value.eq_ignore_ascii_case("identity"))
        {
            head.encoded = true;
        }
    }
    Some(head)
}

impl BlobGet {
    /// Reserves the memory for `blob`.
    pub fn new(blob: BlobRef) -> Result<Self, HttpError> {
        if blob.size > MAX_BLOB {
            return Err(HttpError::TooLarge);
        }
        let size = usize::try_from(blob.size).map_err(|_| HttpError::TooLarge)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| HttpError::NoMemory)?;
        Ok(Self { blob, size, bytes, hash: Sha256::new(), state: State::Idle })
    }

    /// What is fetched.
    pub fn blob(&self) -> BlobRef {
        self.blob
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The request for what is missing, for a new connection to `host`.
    pub fn request(&mut self, host: [u8; 4]) -> String {
        self.state = State::Head(Vec::new());
        let [a, b, c, d] = host;
        let range = if self.bytes.is_empty() {
            String::new()
        } else {
            format!("Range: bytes={}-\r\n", self.bytes.len())
        };
        format!(
            "GET /blob/{} HTTP/1.1\r\nHost: {a}.{b}.{c}.{d}\r\nUser-Agent: weft-node\r\n\
             Accept-Encoding: identity\r\n{range}Connection: close\r\n\r\n",
            self.blob.digest
        )
    }

    fn restart(&mut self) {
        self.bytes.clear();
        self.hash = Sha256::new();
    }

    fn on_head(&mut self, head: &Head) -> Result<(), HttpError> {
        let have = self.received();
        if head.status != 200 && head.status != 206 {
            return Err(HttpError::Status(head.status));
        }
        if head.encoded {
            return Err(HttpError::Encoding);
        }
        let expected = if head.status == 206 {
            let whole = (have, self.blob.size.saturating_sub(1), self.blob.size);
            if have == 0 || head.range != Some(whole) {
                return Err(HttpError::BadLength);
            }
            self.blob.size.saturating_sub(have)
        } else {
            // The server does not do ranges, or none was asked for.
            self.restart();
            self.blob.size
        };
        if head.length != Some(expected) {
            return Err(HttpError::BadLength);
        }
        self.state = State::Body;
        Ok(())
    }

    /// Bytes from the connection. After an error with [`HttpError::worth_another_try`] the transfer may be
    /// requested again; otherwise it is over.
    pub fn on_bytes(&mut self, data: &[u8]) -> Result<Progress, HttpError> {
        match &mut self.state {
            State::Idle => Err(HttpError::Excess),
            State::Body => self.on_body(data),
            State::Head(head) => {
                let before = head.len();
                let room = MAX_HEAD.saturating_sub(before);
                head.extend_from_slice(data.get(..room.min(data.len())).unwrap_or(&[]));
                let end = head.windows(4).position(|window| window == b"\r\n\r\n");
                let Some(end) = end else {
                    return if head.len() >= MAX_HEAD { Err(HttpError::BadHead) } else { Ok(Progress::More) };
                };
                let parsed = parse_head(head.get(..end).unwrap_or(&[])).ok_or(HttpError::BadHead)?;
                self.on_head(&parsed)?;
                let consumed = (end + 4).saturating_sub(before);
                self.on_body(data.get(consumed..).unwrap_or(&[]))
            }
        }
    }

    fn on_body(&mut self, data: &[u8]) -> Result<Progress, HttpError> {
        let missing = self.size.saturating_sub(self.bytes.len());
        if data.len() > missing {
            return Err(HttpError::Excess);
        }
        self.bytes.extend_from_slice(data);
        self.hash.update(data);
        if self.bytes.len() < self.size {
            return Ok(Progress::More);
        }
        self.state = State::Idle;
        let actual = BlobDigest(core::mem::take(&mut self.hash).finalize().into());
        if actual != self.blob.digest {
            self.restart();
            return Err(HttpError::Digest { actual });
        }
        Ok(Progress::Complete)
    }

    /// The verified bytes, after [`Progress::Complete`].
    pub fn take(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
