//! One connection, from its first byte to its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::body::Source;
use crate::engine::Shared;
use crate::head::{self, Head, HeadError, Method};
use crate::range::{self, Part};
use crate::stats::{add, bump};
use crate::{AnswerEvent, Blob};

/// Bytes given to the kernel before other connections of the thread get their turn.
const TURN: u64 = 512 * 1024;
/// How long and how much to read after an error answer, so that the answer is not lost to a reset.
const LINGER: (Duration, usize) = (Duration::from_millis(500), 64 * 1024);

/// Why a connection ends early.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("connection")]
    Io(#[from] io::Error),
    #[error("client too slow")]
    Slow,
    #[error("content ended early")]
    Short,
}

pub(crate) struct Connection {
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    buffer: Vec<u8>,
}

/// What an answer says besides its body.
struct Answer {
    status: (u16, &'static str),
    start: u64,
    len: u64,
    range: Option<String>,
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr) -> Self {
        Self { shared, stream, peer, buffer: Vec::new() }
    }

    pub(crate) async fn run(mut self) {
        let _ = self.stream.set_nodelay(true);
        for served in 0..self.shared.config.max_requests {
            match self.read_head(served == 0).await {
                Ok(Some(head)) => {
                    bump(&self.shared.counters.requests);
                    match self.answer(&head).await {
                        Ok(true) => {}
                        Ok(false) => return self.linger().await,
                        Err(broken) => return self.broken(&broken),
                    }
                }
                Ok(None) => return,
                Err(refusal) => return self.refuse(refusal).await,
            }
        }
        self.linger().await;
    }

    fn broken(&self, broken: &Broken) {
        if matches!(broken, Broken::Slow) {
            bump(&self.shared.counters.slow);
        }
        tracing::debug!(peer = %self.peer, error = %broken, "HTTP connection");
    }

    /// The next head; `None` when the client went away or stayed idle.
    async fn read_head(&mut self, first: bool) -> Result<Option<Head>, HeadError> {
        let config = &self.shared.config;
        let head_time = Duration::from_millis(config.head_timeout_ms);
        let idle = if first { head_time } else { Duration::from_millis(config.idle_timeout_ms) };
        let mut deadline = Instant::now() + if self.buffer.is_empty() { idle } else { head_time };
        loop {
            if let Some(head) = head::parse(&self.buffer)? {
                self.buffer.drain(..head.len.min(self.buffer.len()));
                return Ok(Some(head));
            }
            if self.buffer.len() >= config.max_head_bytes {
                return Err(HeadError::TooLarge);
            }
            let room = config.max_head_bytes.saturating_sub(self.buffer.len()) as u64;
            let fresh = self.buffer.is_empty();
            let mut limited = (&mut self.stream).take(room);
            match timeout_at(deadline, limited.read_buf(&mut self.buffer)).await {
                Ok(Ok(0)) | Ok(Err(_)) => return Ok(None),
                Ok(Ok(_)) if fresh => deadline = Instant::now() + head_time,
                Ok(Ok(_)) => {}
                Err(_) if self.buffer.is_empty() => return Ok(None),
                Err(_) => {
                    bump(&self.shared.counters.slow);
                    return Err(HeadError::TooSlow);
                }
            }
        }
    }

    /// Answers; `Ok(true)` if the connection can carry another request.
    async fn answer(&mut self, head: &Head) -> Result<bool, Broken> {
        let started = Instant::now();
        let Some(blob) = self.shared.content.open(self.peer, &head.path) else {
            bump(&self.shared.counters.errors);
            let text = plain((404, "Not Found"), "not found\n", head.keep_alive, head.method == Method::Head);
            self.write_all(text.as_bytes()).await?;
            self.tell(head, 404, 0, 0, started);
            return Ok(head.keep_alive);
        };
        let answer = decide(head, &blob);
        if answer.status.0 == 416 {
            bump(&self.shared.counters.errors);
        }
        let text = header(&answer, head, &blob);
        let wanted = if head.method == Method::Head { 0 } else { answer.len };
        let mut sent = 0u64;
        let outcome = self.send(text.as_bytes(), &blob, answer.start, wanted, &mut sent).await;
        add(&self.shared.counters.body_bytes, sent);
        self.tell(head, answer.status.0, sent, wanted, started);
        outcome.map(|()| head.keep_alive)
    }

    fn tell(&self, head: &Head, status: u16, sent_bytes: u64, size_bytes: u64, started: Instant) {
        let event = AnswerEvent {
            peer: self.peer,
            path: head.path.clone(),
            status,
            sent_bytes,
            size_bytes,
            elapsed: started.elapsed(),
        };
        self.shared.content.event(&event);
    }

    async fn send(
        &self,
        head: &[u8],
        blob: &Blob,
        start: u64,
        len: u64,
        sent: &mut u64,
    ) -> Result<(), Broken> {
        self.write_all(head).await?;
        let began = Instant::now();
        let mut turn = 0u64;
        let mut offset = start;
        while *sent < len {
            let left = len.saturating_sub(*sent).min(TURN);
            let step = self
                .shared_io(|| match blob.source() {
                    Source::Bytes(bytes) => {
                        let from = usize::try_from(offset).unwrap_or(usize::MAX);
                        let to =
                            from.saturating_add(usize::try_from(left).unwrap_or(usize::MAX)).min(bytes.len());
                        self.stream.try_write(bytes.get(from..to).unwrap_or_default())
                    }
                    Source::File(file) => self.stream.try_io(Interest::WRITABLE, || {
                        let mut at = offset;
                        let count = usize::try_from(left).unwrap_or(usize::MAX);
                        Ok(rustix::fs::sendfile(&self.stream, file, Some(&mut at), count)?)
                    }),
                })
                .await?;
            if step == 0 {
                return Err(Broken::Short);
            }
            let step = step as u64;
            *sent = sent.saturating_add(step);
            offset = offset.saturating_add(step);
            turn = turn.saturating_add(step);
            if turn >= TURN {
                turn = 0;
                self.check_rate(began, *sent)?;
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// A client that takes a byte now and then never stalls; it is judged by its rate.
    fn check_rate(&self, began: Instant, sent: u64) -> Result<(), Broken> {
        let elapsed = began.elapsed();
        let config = &self.shared.config;
        let due = elapsed.as_secs().saturating_mul(config.min_rate_bytes_s);
        if elapsed > Duration::from_millis(config.stall_timeout_ms) && sent < due {
            return Err(Broken::Slow);
        }
        Ok(())
    }

    /// Repeats a write until the kernel takes something, for at most the stall time.
    async fn shared_io(&self, mut write: impl FnMut() -> io::Result<usize>) -> Result<usize, Broken> {
        let stall = Duration::from_millis(self.shared.config.stall_timeout_ms);
        let deadline = Instant::now() + stall;
        loop {
            match write() {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            timeout_at(deadline, self.stream.writable()).await.map_err(|_| Broken::Slow)??;
        }
    }

    async fn write_all(&self, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            let count = self.shared_io(|| self.stream.try_write(bytes)).await?;
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    async fn refuse(mut self, refusal: HeadError) {
        bump(&self.shared.counters.errors);
        let text = plain(refusal.status(), &format!("{refusal}\n"), false, false);
        if self.write_all(text.as_bytes()).await.is_ok() {
            self.linger().await;
        }
        self.buffer.clear();
    }

    /// Ends the connection so that the client can read what was sent: no reset for unread bytes.
    async fn linger(&mut self) {
        use tokio::io::AsyncWriteExt as _;
        let _ = self.stream.shutdown().await;
        let mut sink = [0u8; 4096];
        let mut left = LINGER.1;
        let _ = timeout(LINGER.0, async {
            while left > 0 {
                match self.stream.read(&mut sink).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => left = left.saturating_sub(count),
                }
            }
        })
        .await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.counters.active.fetch_sub(1, Ordering::Relaxed);
        self.shared.sources.release(self.peer.ip());
    }
}

fn decide(head: &Head, blob: &Blob) -> Answer {
    let size = blob.size_bytes();
    if head.if_none_match.as_deref().is_some_and(|value| range::names(value, blob.tag())) {
        return Answer { status: (304, "Not Modified"), start: 0, len: 0, range: None };
    }
    let fresh = head.if_range.as_deref().is_none_or(|value| value == format!("\"{}\"", blob.tag()));
    let part = match &head.range {
        Some(value) if fresh => range::part(value, size),
        _ => Part::Whole,
    };
    match part {
        Part::Whole => Answer { status: (200, "OK"), start: 0, len: size, range: None },
        Part::Slice { start, len } => {
            let last = start.saturating_add(len).saturating_sub(1);
            let range = Some(format!("bytes {start}-{last}/{size}"));
            Answer { status: (206, "Partial Content"), start, len, range }
        }
        Part::Unsatisfiable => {
            let range = Some(format!("bytes */{size}"));
            Answer { status: (416, "Range Not Satisfiable"), start: 0, len: 0, range }
        }
    }
}

fn header(answer: &Answer, head: &Head, blob: &Blob) -> String {
    let (status, reason) = answer.status;
    let date = httpdate::fmt_http_date(SystemTime::now());
    let mut text = format!(
        "HTTP/1.1 {status} {reason}\r\nDate: {date}\r\nServer: weft\r\nAccept-Ranges: bytes\r\nETag: \"{}\"\r\n",
        blob.tag()
    );
    if status != 304 {
        text.push_str(&format!("Content-Length: {}\r\nContent-Type: {}\r\n", answer.len, media(&head.path)));
    }
    if let Some(range) = &answer.range {
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
