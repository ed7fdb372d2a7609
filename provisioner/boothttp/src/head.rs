//! The head of a request: read by `httparse`, judged here.

/// Most header fields.
pub const MAX_FIELDS: usize = 64;
/// Longest path after decoding.
pub const MAX_PATH: usize = 512;

/// GET or HEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The whole answer.
    Get,
    /// Its head.
    Head,
}

/// A request that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// GET or HEAD.
    pub method: Method,
    /// Checked by [`clean_path`].
    pub path: String,
    /// Whether the connection may be used again.
    pub keep_alive: bool,
    /// `Range`.
    pub range: Option<String>,
    /// `If-Range`.
    pub if_range: Option<String>,
    /// `If-None-Match`.
    pub if_none_match: Option<String>,
    /// Bytes that the head took.
    pub len: usize,
}

/// Why a request is refused. The connection is closed after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not HTTP/1.x, or a path that is never served.
    #[error("bad request")]
    Malformed,
    /// Neither GET nor HEAD.
    #[error("only GET and HEAD")]
    Method,
    /// A body.
    #[error("a body is not accepted")]
    Body,
    /// Too many header fields, or too long.
    #[error("header too large")]
    TooLarge,
    /// Too slow.
    #[error("request took too long")]
    TooSlow,
}

impl HeadError {
    /// HTTP status and reason.
    #[must_use]
    pub fn status(self) -> (u16, &'static str) {
        match self {
            Self::Malformed => (400, "Bad Request"),
            Self::Method => (405, "Method Not Allowed"),
            Self::Body => (413, "Content Too Large"),
            Self::TooLarge => (431, "Request Header Fields Too Large"),
            Self::TooSlow => (408, "Request Timeout"),
        }
    }
}

/// Reads a head from the start of `bytes`; `Ok(None)` if it is not all there yet.
///
/// # Errors
/// [`HeadError`].
pub fn parse(bytes: &[u8]) -> Result<Option<Head>, HeadError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
        Err(_) => return Err(HeadError::Malformed),
    };
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        _ => return Err(HeadError::Method),
    };
    let mut head = Head {
        method,
        path: clean_path(request.path.unwrap_or_default()).ok_or(HeadError::Malformed)?,
        keep_alive: request.version == Some(1),
        range: None,
        if_range: None,
        if_none_match: None,
        len,
    };
    for field in request.headers.iter() {
        let name = field.name;
        // Only ASCII values mean anything to us; others in fields that we do not read are no concern.
        let value = std::str::from_utf8(field.value).map(str::trim);
        if name.eq_ignore_ascii_case("content-length") {
            if value != Ok("0") {
                return Err(HeadError::Body);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(HeadError::Body);
        } else if name.eq_ignore_ascii_case("connection") {
            head.connection(value.unwrap_or("close"));
        } else if let Ok(value) = value {
            let slot = if name.eq_ignore_ascii_case("range") {
                &mut head.range
            } else if name.eq_ignore_ascii_case("if-range") {
                &mut head.if_range
            } else if name.eq_ignore_ascii_case("if-none-match") {
                &mut head.if_none_match
            } else {
                continue;
            };
            // Given twice: which one is meant is anybody's guess.
            if slot.replace(value.to_owned()).is_some() {
                return Err(HeadError::Malformed);
            }
        }
    }
    Ok(Some(head))
}

impl Head {
    fn connection(&mut self, value: &str) {
        for token in value.split(',').map(str::trim) {
            if token.eq_ignore_ascii_case("close") {
                self.keep_alive = false;
                return;
            }
            if token.eq_ignore_ascii_case("keep-alive") {
                self.keep_alive = true;
            }
        }
    }
}

/// The path that is looked up, or `None` for one that is never served.
///
/// Scheme and host of an absolute target, query and leading slashes go; `%XX` is decoded once. What is left is 1–512 printable
/// ASCII characters without backslash, colon (drive letters) or percent sign, and without empty, `.` or `..` parts.
#[must_use]
pub fn clean_path(target: &str) -> Option<String> {
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.get(rest.find('/')?..)?,
        None => target,
    };
    let path = target.split(['?', '#']).next()?;
    if !path.starts_with('/') || path.len() > MAX_PATH.saturating_mul(3) {
        return None;
    }
    let decoded = decode(path.trim_start_matches('/'))?;
    let sound = !decoded.is_empty()
        && decoded.len() <= MAX_PATH
        && decoded.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b':' | b'%'))
        && decoded.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    sound.then_some(decoded)
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}
