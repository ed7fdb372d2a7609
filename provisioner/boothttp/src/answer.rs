//! What is said to a request, and how far it has been said: no waiting here.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::SystemTime;

use rustix::net::SendFlags;
use tokio::time::Instant;

use crate::body::Source;
use crate::engine::Shared;
use crate::head::{Head, HeadError, Method};
use crate::range::{self, Part};
use crate::stats::{add, bump};
use crate::{AnswerEvent, Blob};

/// An answer on its way.
pub(crate) struct Answer {
    head: Vec<u8>,
    head_sent: usize,
    blob: Option<Blob>,
    /// Of the next byte of body.
    offset: u64,
    /// Bytes of body to send in all.
    wanted: u64,
    sent: u64,
    status: u16,
    path: String,
    keep_alive: bool,
    refusal: bool,
    began: Instant,
}

/// How the connection goes on after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// With the next request.
    Next,
    /// The client said that this was its last request.
    Close,
    /// It was told to go, and may still be talking.
    Refused,
}

/// Status, and the part of the content that is sent.
struct Decision {
    status: (u16, &'static str),
    start: u64,
    len: u64,
    range: Option<String>,
}

impl Answer {
    /// The answer to a sound request.
    pub(crate) fn to(head: &Head, peer: SocketAddr, shared: &Shared) -> Self {
        bump(&shared.counters.requests);
        let Some(blob) = shared.content.open(peer, &head.path) else {
            let text = plain((404, "Not Found"), "not found\n", head.keep_alive, head.method == Method::Head);
            return Self::text(text, 404, &head.path, head.keep_alive, shared);
        };
        let decision = decide(head, &blob);
        if decision.status.0 == 416 {
            bump(&shared.counters.errors);
        }
        Self {
            head: header(&decision, head, &blob).into_bytes(),
            head_sent: 0,
            offset: decision.start,
            wanted: if head.method == Method::Head { 0 } else { decision.len },
            sent: 0,
            status: decision.status.0,
            path: head.path.clone(),
            keep_alive: head.keep_alive,
            refusal: false,
            began: Instant::now(),
            blob: Some(blob),
        }
    }

    /// The answer to what is no sound request.
    pub(crate) fn refusal(refusal: HeadError, shared: &Shared) -> Self {
        let text = plain(refusal.status(), &format!("{refusal}\n"), false, false);
        Self::text(text, refusal.status().0, "", false, shared)
    }

    fn text(text: String, status: u16, path: &str, keep_alive: bool, shared: &Shared) -> Self {
        bump(&shared.counters.errors);
        Self {
            head: text.into_bytes(),
            head_sent: 0,
            blob: None,
            offset: 0,
            wanted: 0,
            sent: 0,
            status,
            path: path.to_owned(),
            keep_alive,
            refusal: path.is_empty(),
            began: Instant::now(),
        }
    }

    pub(crate) fn after(&self) -> After {
        match (self.refusal, self.keep_alive) {
            (true, _) => After::Refused,
            (false, true) => After::Next,
            (false, false) => After::Close,
        }
    }

    /// Whether all of it was given to the kernel.
    pub(crate) fn complete(&self) -> bool {
        self.head_sent >= self.head.len() && self.sent >= self.wanted
    }

    /// Bytes of body that were given to the kernel.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Gives the kernel what it takes in one call, of a body at most `most` bytes. The head waits for the body, so that both travel
    /// together.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room, `UnexpectedEof` when the content is shorter than it was.
    pub(crate) fn step(&mut self, socket: impl AsFd, most: u64) -> io::Result<()> {
        let rest = self.head.get(self.head_sent..).unwrap_or_default();
        if !rest.is_empty() {
            let more = if self.wanted > 0 { SendFlags::MORE } else { SendFlags::empty() };
            let count = rustix::net::send(socket, rest, more | SendFlags::NOSIGNAL)?;
            self.head_sent = self.head_sent.saturating_add(count);
            return Ok(());
        }
        let left = self.wanted.saturating_sub(self.sent).min(most);
        let Some(blob) = self.blob.as_ref().filter(|_| left > 0) else { return Ok(()) };
        let length = usize::try_from(left).unwrap_or(usize::MAX);
        let count = match blob.source() {
            Source::Bytes(bytes) => {
                let from = usize::try_from(self.offset).unwrap_or(usize::MAX);
                let to = from.saturating_add(length).min(bytes.len());
                let part = bytes.get(from..to).unwrap_or_default();
                if part.is_empty() { 0 } else { rustix::net::send(socket, part, SendFlags::NOSIGNAL)? }
            }
            Source::File(file) => {
                let mut at = self.offset;
                rustix::fs::sendfile(socket, file, Some(&mut at), length)?
            }
        };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.sent = self.sent.saturating_add(count as u64);
        self.offset = self.offset.saturating_add(count as u64);
        Ok(())
    }

    /// Counts and reports it, complete or not.
    pub(crate) fn tell(self, peer: SocketAddr, shared: &Shared) {
        add(&shared.counters.body_bytes, self.sent);
        if self.refusal {
            return;
        }
        shared.content.event(&AnswerEvent {
            peer,
            path: self.path,
            status: self.status,
            sent_bytes: self.sent,
            size_bytes: self.wanted,
            elapsed: self.began.elapsed(),
        });
    }
}

fn decide(head: &Head, blob: &Blob) -> Decision {
    let size = blob.size_bytes();
    if head.if_none_match.as_deref().is_some_and(|value| range::names(value, blob.tag())) {
        return Decision { status: (304, "Not Modified"), start: 0, len: 0, range: None };
    }
    let fresh = head.if_range.as_deref().is_none_or(|value| value == format!("\"{}\"", blob.tag()));
    let part = match &head.range {
        Some(value) if fresh => range::part(value, size),
        _ => Part::Whole,
    };
    match part {
        Part::Whole => Decision { status: (200, "OK"), start: 0, len: size, range: None },
        Part::Slice { start, len } => {
            let last = start.saturating_add(len).saturating_sub(1);
            let range = Some(format!("bytes {start}-{last}/{size}"));
            Decision { status: (206, "Partial Content"), start, len, range }
        }
        Part::Unsatisfiable => {
            let range = Some(format!("bytes */{size}"));
            Decision { status: (416, "Range Not Satisfiable"), start: 0, len: 0, range }
        }
    }
}

fn header(decision: &Decision, head: &Head, blob: &Blob) -> String {
    let (status, reason) = decision.status;
    let date = httpdate::fmt_http_date(SystemTime::now());
    let mut text = format!(
        "HTTP/1.1 {status} {reason}\r\nDate: {date}\r\nServer: weft\r\nAccept-Ranges: bytes\r\nETag: \"{}\"\r\n",
        blob.tag()
    );
    if status != 304 {
        text.push_str(&format!(
            "Content-Length: {}\r\nContent-Type: {}\r\n",
            decision.len,
            media(&head.path)
        ));
    }
    if let Some(range) = &decision.range {
        text.push_str(&format!("Content-Range: {range}\r\n"));
    }
    text.push_str(if head.keep_alive {
        "Connection: keep-alive\r\n\r\n"
    } else {
        "Connection: close\r\n\r\n"
    });
    text
}

/// EDK2 tells a program from a disk image by this type or by the name's end.
fn media(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, end)| end) {
        Some("efi") => "application/efi",
        Some("ipxe") => "text/plain",
        _ => "application/octet-stream",
    }
}

fn plain((status, reason): (u16, &str), body: &str, keep_alive: bool, head_only: bool) -> String {
    let date = httpdate::fmt_http_date(SystemTime::now());
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let allow = if status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nDate: {date}\r\nServer: weft\r\n{allow}Content-Length: {}\r\n\
         Content-Type: text/plain\r\nConnection: {connection}\r\n\r\n",
        body.len()
    );
    if head_only { head } else { head + body }
}
