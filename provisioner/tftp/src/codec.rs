//! Datagrams in and out.
//!
//! `tftpd`'s codec writes OACK and ERROR and names options and error codes. It is not used to read requests: it refuses a whole
//! request for one option value that is no number (RFC 2347 wants the option ignored), drops repeats silently,
//! and sets no bounds. It is not used for DATA either, since its blocks are owned vectors. What arrives is
//! read here, without allocation until a request is known to be sound.

use std::str::FromStr;

pub use tftpd::ErrorCode;
use tftpd::{OptionType, Packet, TransferOption};

/// Least `blksize` of RFC 2348.
pub const MIN_BLKSIZE: u16 = 8;
/// Greatest `blksize` of RFC 2348.
pub const MAX_BLKSIZE: u16 = 65464;
/// `blksize` without the option.
pub const DEFAULT_BLKSIZE: u16 = 512;
/// Greatest window that is granted. Keeps block numbers unambiguous and bursts small.
pub const MAX_WINDOW: u16 = 64;
/// Longest request looked at: RFC 2347 section 2 bounds it to 512 bytes.
pub const MAX_REQUEST: usize = 512;
/// Longest name.
pub const MAX_NAME: usize = 255;
/// Most options in a request.
pub const MAX_OPTIONS: usize = 16;
/// Bytes before the data of a DATA packet.
pub const DATA_HEADER: usize = 4;

/// What a read request asks for. Options that are absent or out of range are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Checked by [`clean_name`].
    pub name: String,
    /// 8–65464.
    pub blksize: Option<u16>,
    /// 1–65535.
    pub windowsize: Option<u16>,
    /// Seconds, 1–255.
    pub timeout_s: Option<u8>,
    /// Whether the size is asked for.
    pub tsize: bool,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not a request; nothing is answered.
    #[error("not a request")]
    NotARequest,
    /// Longer than [`MAX_REQUEST`].
    #[error("request too long")]
    TooLong,
    /// A string does not end, or is not there.
    #[error("malformed request")]
    Malformed,
    /// A write request.
    #[error("read only")]
    Write,
    /// `netascii`, `mail` or unknown mode.
    #[error("only octet mode")]
    Mode,
    /// The name is not one that is ever served.
    #[error("bad name")]
    Name,
    /// An option given twice.
    #[error("repeated option")]
    RepeatedOption,
    /// More than [`MAX_OPTIONS`].
    #[error("too many options")]
    TooManyOptions,
}

impl RequestError {
    /// The code to answer with; `None`: no answer.
    #[must_use]
    pub fn code(self) -> Option<ErrorCode> {
        match self {
            Self::NotARequest => None,
            Self::TooLong | Self::Malformed | Self::Mode => Some(ErrorCode::NotDefined),
            Self::Write => Some(ErrorCode::IllegalOperation),
            Self::Name => Some(ErrorCode::AccessViolation),
            Self::RepeatedOption | Self::TooManyOptions => Some(ErrorCode::RefusedOption),
        }
    }
}

/// A datagram that belongs to a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Acknowledges up to this block.
    Ack(u16),
    /// The client gives up, with this code.
    Error(u16),
    /// DATA, OACK or a request: nothing a client of ours sends here.
    Other,
    /// Too short or an unknown opcode.
    Malformed,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// [`RequestError`]; its [`RequestError::code`] is what to answer.
    pub fn parse(datagram: &[u8]) -> Result<Self, RequestError> {
        let (opcode, body) = split_u16(datagram).ok_or(RequestError::NotARequest)?;
        match opcode {
            1 => {}
            2 => return Err(RequestError::Write),
            _ => return Err(RequestError::NotARequest),
        }
        if datagram.len() > MAX_REQUEST {
            return Err(RequestError::TooLong);
        }
        let (name, rest) = split_string(body).ok_or(RequestError::Malformed)?;
        let (mode, rest) = split_string(rest).ok_or(RequestError::Malformed)?;
        if !mode.eq_ignore_ascii_case(b"octet") {
            return Err(RequestError::Mode);
        }
        let name = clean_name(name).ok_or(RequestError::Name)?;
        let mut request = Self { name: name.to_owned(), ..Self::default() };
        request.options(rest)?;
        Ok(request)
    }

    fn options(&mut self, mut rest: &[u8]) -> Result<(), RequestError> {
        let mut seen = Vec::new();
        let mut count = 0usize;
        while !rest.is_empty() {
            // Some ROMs pad the request with zeros.
            if rest.iter().all(|byte| *byte == 0) {
                break;
            }
            count = count.saturating_add(1);
            if count > MAX_OPTIONS {
                return Err(RequestError::TooManyOptions);
            }
            let (option, after) = split_string(rest).ok_or(RequestError::Malformed)?;
            let (value, after) = split_string(after).ok_or(RequestError::Malformed)?;
            rest = after;
            let Some(kind) = std::str::from_utf8(option)
                .ok()
                .and_then(|text| OptionType::from_str(&text.to_ascii_lowercase()).ok())
            else {
                continue;
            };
            if seen.contains(&kind) {
                return Err(RequestError::RepeatedOption);
            }
            seen.push(kind);
            let Some(value) = number(value) else { continue };
            match kind {
                OptionType::BlockSize => {
                    self.blksize =
                        u16::try_from(value).ok().filter(|size| (MIN_BLKSIZE..=MAX_BLKSIZE).contains(size));
                }
                OptionType::WindowSize => {
                    self.windowsize = u16::try_from(value).ok().filter(|size| *size > 0)
                }
                OptionType::Timeout => self.timeout_s = u8::try_from(value).ok().filter(|time| *time > 0),
                OptionType::TransferSize => self.tsize = true,
                // Not in any RFC: left out of the OACK, as for any unknown option.
                OptionType::UTimeout | OptionType::WindowWait => {}
            }
        }
        Ok(())
    }

    /// Writes the request, as a client does.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut options = Vec::new();
        let mut push = |option, value: u64| options.push(TransferOption { option, value });
        if let Some(value) = self.blksize {
            push(OptionType::BlockSize, value.into());
        }
        if let Some(value) = self.windowsize {
            push(OptionType::WindowSize, value.into());
        }
        if let Some(value) = self.timeout_s {
            push(OptionType::Timeout, value.into());
        }
        if self.tsize {
            push(OptionType::TransferSize, 0);
        }
        let packet = Packet::Rrq { filename: self.name.clone(), mode: "octet".to_owned(), options };
        packet.serialize().unwrap_or_default()
    }
}

impl Reply {
    /// Reads a datagram on a transfer socket.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Self {
        let Some((opcode, body)) = split_u16(datagram) else { return Self::Malformed };
        match (opcode, split_u16(body)) {
            // Trailing bytes are tolerated: some stacks pad short frames.
            (4, Some((block, _))) => Self::Ack(block),
            (5, Some((code, _))) => Self::Error(code),
            (1..=3 | 6, _) => Self::Other,
            _ => Self::Malformed,
        }
    }
}

/// Writes an OACK.
#[must_use]
pub fn oack(options: &[TransferOption]) -> Vec<u8> {
    Packet::Oack(options.to_vec()).serialize().unwrap_or_default()
}

/// Writes an ERROR.
#[must_use]
pub fn error(code: ErrorCode, text: &str) -> Vec<u8> {
    Packet::Error { code, msg: text.to_owned() }.serialize().unwrap_or_default()
}

/// Writes the header of a DATA packet.
#[must_use]
pub fn data_header(block: u16) -> [u8; DATA_HEADER] {
    let [high, low] = block.to_be_bytes();
    [0, 3, high, low]
}

/// The name that is looked up, or `None` for one that is never served.
///
/// Leading slashes go. What is left is 1–255 printable ASCII characters without space, backslash, colon (drive letters), and
/// without empty, `.` or `..` parts. There is no file system behind it, so symlinks have no meaning.
#[must_use]
pub fn clean_name(raw: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(raw).ok()?.trim_start_matches('/');
    let sound = !text.is_empty()
        && text.len() <= MAX_NAME
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b':')
        && text.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    sound.then_some(text)
}

fn split_u16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*head), rest))
}

fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end.checked_add(1)?..)?))
}

/// A decimal number; overflow and anything else is `None`.
fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}
