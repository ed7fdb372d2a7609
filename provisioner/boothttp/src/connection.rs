//! One connection, from its first byte to its end.
//!
//! ```text
//!  accepted ─▶ Fresh: whatever needs no waiting ─▶ done
//!                        │ a head not there yet, no room to write
//!                        ▼
//!                   Connection, a task: waits with an end, goes on ─▶ next head │ done
//! ```
//!
//! In a storm the request is there when its connection is accepted, and most of the answer fits the kernel's buffer. Such a
//! connection costs no task, no registration with the poller and no second look.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::{After, Answer};
use crate::engine::Shared;
use crate::head::{self, HeadError};
use crate::stats::bump;

/// Bytes given to the kernel before other connections of the thread get their turn.
const TURN: u64 = 512 * 1024;
/// How long and how much to read before closing, so that what was said is not lost to a reset.
const LINGER: (Duration, usize) = (Duration::from_millis(500), 64 * 1024);
/// Bytes of a head that are read without waiting: more than firmware sends.
const FIRST_READ: usize = 1024;

/// Why a connection ends early.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("connection")]
    Io(#[from] io::Error),
    #[error("client too slow")]
    Slow,
}

/// What one connection holds of the limits. Given back when dropped.
struct Place {
    shared: Arc<Shared>,
    peer: SocketAddr,
    _room: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.counters.active.fetch_sub(1, Ordering::Relaxed);
        self.shared.sources.release(self.peer.ip());
    }
}

/// A connection that has not had to wait yet.
pub(crate) struct Fresh {
    place: Place,
    stream: std::net::TcpStream,
}

impl Fresh {
    /// A connection that was admitted: its source is counted, and so is it.
    pub(crate) fn new(
        shared: Arc<Shared>,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        room: OwnedSemaphorePermit,
    ) -> Self {
        Self { place: Place { shared, peer, _room: room }, stream }
    }

    /// Goes as far as can be gone without waiting; what is left has to wait. Must be called inside a runtime.
    pub(crate) fn advance(self) -> io::Result<Option<Connection>> {
        let shared = &self.place.shared;
        let mut buffer = Vec::new();
        let mut chunk = [0u8; FIRST_READ];
        let most = shared.config.max_head_bytes.min(FIRST_READ);
        let room = chunk.get_mut(..most).unwrap_or_default();
        match rustix::net::recv(&self.stream, room, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Ok(None),
            Ok((_, count)) => buffer.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(rustix::io::Errno::AGAIN) => return self.wait(buffer, None),
            Err(error) => return Err(error.into()),
        }
        // What is wrong with it is said by the task, which can wait for the client to read that.
        let Ok(Some(head)) = head::parse(&buffer) else { return self.wait(buffer, None) };
        buffer.drain(..head.len.min(buffer.len()));
        let mut answer = Answer::to(&head, self.place.peer, shared);
        while !answer.complete() && answer.sent() < TURN {
            match answer.step(&self.stream, TURN) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    answer.tell(self.place.peer, shared);
                    return Err(error);
                }
            }
        }
        // The client said that it sends nothing more, and what it sent is read: closing resets nothing.
        if answer.complete() && answer.after() == After::Close && buffer.is_empty() {
            answer.tell(self.place.peer, shared);
            return Ok(None);
        }
        self.wait(buffer, Some(answer))
    }

    fn wait(self, buffer: Vec<u8>, answer: Option<Answer>) -> io::Result<Option<Connection>> {
        let stream = TcpStream::from_std(self.stream)?;
        Ok(Some(Connection { place: self.place, stream, buffer, answer }))
    }
}

/// A connection that waits.
pub(crate) struct Connection {
    place: Place,
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Begun and not finished.
    answer: Option<Answer>,
}

impl Connection {
    pub(crate) async fn run(mut self) {
        let most = self.place.shared.config.max_requests;
        for served in 0..most {
            let answer = match self.answer.take() {
                Some(answer) => answer,
                None => match self.read_head(served == 0).await {
                    Ok(Some(head)) => Answer::to(&head, self.place.peer, &self.place.shared),
                    Ok(None) => return,
                    Err(refusal) => Answer::refusal(refusal, &self.place.shared),
                },
            };
            match self.send(answer).await {
                Ok(After::Next) => {}
                // As above: what the client sent is read, and it sends no more.
                Ok(After::Close) if self.buffer.is_empty() => return,
                Ok(After::Close | After::Refused) => break,
                Err(broken) => return self.broken(&broken),
            }
        }
        self.linger().await;
    }

    fn broken(&self, broken: &Broken) {
        if matches!(broken, Broken::Slow) {
            bump(&self.place.shared.counters.slow);
        }
        tracing::debug!(peer = %self.place.peer, error = %broken, "HTTP connection");
    }

    /// The next head; `None` when the client went away or stayed idle.
    async fn read_head(&mut self, first: bool) -> Result<Option<head::Head>, HeadError> {
        let config = &self.place.shared.config;
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
                    bump(&self.place.shared.counters.slow);
                    return Err(HeadError::TooSlow);
                }
            }
        }
    }

    /// Sends all of it.
    async fn send(&mut self, mut answer: Answer) -> Result<After, Broken> {
        let outcome = self.send_all(&mut answer).await;
        let after = answer.after();
        answer.tell(self.place.peer, &self.place.shared);
        outcome.map(|()| after)
    }

    async fn send_all(&self, answer: &mut Answer) -> Result<(), Broken> {
        let began = Instant::now();
        let mut turn_ends = answer.sent().saturating_add(TURN);
        while !answer.complete() {
            self.step(answer).await?;
            if answer.sent() >= turn_ends {
                turn_ends = answer.sent().saturating_add(TURN);
                self.check_rate(began, answer.sent())?;
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// A client that takes a byte now and then never stalls; it is judged by its rate.
    fn check_rate(&self, began: Instant, sent: u64) -> Result<(), Broken> {
        let elapsed = began.elapsed();
        let config = &self.place.shared.config;
        let due = elapsed.as_secs().saturating_mul(config.min_rate_bytes_s);
        if elapsed > Duration::from_millis(config.stall_timeout_ms) && sent < due {
            return Err(Broken::Slow);
        }
        Ok(())
    }

    /// Waits until the kernel takes something, for at most the stall time.
    async fn step(&self, answer: &mut Answer) -> Result<(), Broken> {
        let deadline = Instant::now() + Duration::from_millis(self.place.shared.config.stall_timeout_ms);
        loop {
            match self.stream.try_io(Interest::WRITABLE, || answer.step(&self.stream, TURN)) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            timeout_at(deadline, self.stream.writable()).await.map_err(|_| Broken::Slow)??;
        }
    }

    /// Ends the connection so that the client can read what was sent: no reset for unread bytes.
    async fn linger(&mut self) {
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
