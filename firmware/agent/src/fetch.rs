//! Blobs by HTTP, one at a time, in the order asked for; lost connections resume by Range.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use weft_abi::sys::TcpStream;
use weft_abi::{Address, Errno};
use weft_transport::http::{BlobGet, HttpError, Progress};
use weft_types::BlobDigest;
use weft_wire::record::BlobRef;

use crate::backoff::Backoff;

/// Receive buffer of a transfer: the window that keeps the wire busy.
const RECEIVE_BYTES: usize = 256 * 1024;
/// Bytes handled in one poll.
const READ_BUDGET: usize = 128 * 1024;
/// Connections in a row that brought nothing before a blob fails.
const MAX_TRIES: u32 = 24;
/// Whole transfers of other bytes than asked for before a blob fails: more than a checksum of TCP lets pass.
const MAX_WRONG: u32 = 3;
/// A connection that brings nothing for so long is given up.
const STALL_NS: u64 = 8_000_000_000;
/// Blobs that may wait.
const MAX_QUEUE: usize = 64;

/// What became of a blob.
#[derive(Debug)]
pub(crate) enum Outcome {
    Ready(BlobDigest, Vec<u8>),
    Failed(BlobDigest, String),
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    stalled_at_ns: u64,
}

struct Current {
    get: BlobGet,
    connection: Option<Connection>,
    retry_at_ns: u64,
    tries: u32,
    /// Whole transfers with another digest; progress does not forgive them.
    wrong: u32,
}

/// See the module.
pub(crate) struct Fetcher {
    queue: VecDeque<BlobRef>,
    current: Option<Current>,
    backoff: Backoff,
    buffer: Vec<u8>,
}

/// A try that failed.
enum Setback {
    /// Try again after a while.
    Again(String),
    /// All came, and it is something else: try again, but not often.
    Wrong(String),
    /// No use.
    Final(String),
}

impl Fetcher {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            current: None,
            backoff: Backoff::new(seed),
            buffer: vec![0; 16 * 1024],
        }
    }

    /// Queues a blob. `false`: too many wait.
    pub(crate) fn want(&mut self, blob: BlobRef) -> bool {
        if self.queue.len() >= MAX_QUEUE {
            return false;
        }
        self.queue.push_back(blob);
        true
    }

    /// Forgets a blob.
    pub(crate) fn cancel(&mut self, digest: BlobDigest) {
        self.queue.retain(|blob| blob.digest != digest);
        if self.current.as_ref().is_some_and(|current| current.get.blob().digest == digest) {
            self.current = None;
        }
    }

    /// When to poll again, bytes on the wire apart.
    pub(crate) fn next_ns(&self, now_ns: u64) -> Option<u64> {
        match &self.current {
            Some(current) => Some(match &current.connection {
                Some(connection) => connection.stalled_at_ns,
                None => current.retry_at_ns,
            }),
            None if self.queue.is_empty() => None,
            None => Some(now_ns),
        }
    }

    /// Goes on. `server` is the appliance's HTTP; without one, everything waits.
    pub(crate) fn poll(&mut self, now_ns: u64, server: Option<Address>) -> Option<Outcome> {
        let server = server?;
        if self.current.is_none() {
            let blob = self.queue.pop_front()?;
            match BlobGet::new(blob) {
                Ok(get) => {
                    self.backoff.reset();
                    self.current =
                        Some(Current { get, connection: None, retry_at_ns: now_ns, tries: 0, wrong: 0 });
                }
                Err(error) => return Some(Outcome::Failed(blob.digest, format!("{error}"))),
            }
        }
        let current = self.current.as_mut()?;
        match advance(current, now_ns, server, &mut self.buffer) {
            Ok(Progress::More) => None,
            Ok(Progress::Complete) => {
                let done = self.current.take()?;
                Some(Outcome::Ready(done.get.blob().digest, done.get.take()))
            }
            Err(Setback::Again(_)) if current.tries < MAX_TRIES => {
                current.tries += 1;
                current.connection = None;
                current.retry_at_ns = now_ns.saturating_add(self.backoff.next_ns());
                None
            }
            Err(Setback::Wrong(_)) if current.wrong < MAX_WRONG => {
                current.wrong += 1;
                current.connection = None;
                current.retry_at_ns = now_ns.saturating_add(self.backoff.next_ns());
                None
            }
            Err(Setback::Again(reason) | Setback::Wrong(reason) | Setback::Final(reason)) => {
                let done = self.current.take()?;
                Some(Outcome::Failed(done.get.blob().digest, reason))
            }
        }
    }
}

fn again(error: Errno) -> Setback {
    Setback::Again(format!("{error}"))
}

fn setback(error: HttpError) -> Setback {
    let reason = format!("{error}");
    match error {
        HttpError::Digest { .. } => Setback::Wrong(reason),
        other if other.worth_another_try() => Setback::Again(reason),
        HttpError::Status(_)
        | HttpError::TooLarge
        | HttpError::NoMemory
        | HttpError::BadHead
        | HttpError::BadLength
        | HttpError::Encoding
        | HttpError::Excess => Setback::Final(reason),
    }
}

fn advance(
    current: &mut Current,
    now_ns: u64,
    server: Address,
    buffer: &mut [u8],
) -> Result<Progress, Setback> {
    if current.connection.is_none() {
        if now_ns < current.retry_at_ns {
            return Ok(Progress::More);
        }
        let stream = TcpStream::connect(server, RECEIVE_BYTES).map_err(again)?;
        let request = current.get.request(server.ip).into_bytes();
        current.connection =
            Some(Connection { stream, request, stalled_at_ns: now_ns.saturating_add(STALL_NS) });
    }
    let Some(connection) = &mut current.connection else { return Ok(Progress::More) };
    let ready = connection.stream.ready().map_err(again)?;
    if !connection.request.is_empty() && ready.writable {
        let sent = connection.stream.send(&connection.request).map_err(again)?;
        connection.request.drain(..sent.min(connection.request.len()));
    }
    let mut budget = READ_BUDGET;
    while budget > 0 {
        match connection.stream.receive(buffer) {
            Ok(0) => return Err(Setback::Again("the server closed the connection early".into())),
            Ok(len) => {
                budget = budget.saturating_sub(len);
                connection.stalled_at_ns = now_ns.saturating_add(STALL_NS);
                let before = current.get.received();
                let progress = current.get.on_bytes(buffer.get(..len).unwrap_or(&[])).map_err(setback)?;
                if current.get.received() > before {
                    current.tries = 0;
                }
                if progress == Progress::Complete {
                    return Ok(progress);
                }
            }
            Err(Errno::AGAIN) => break,
            Err(error) => return Err(again(error)),
        }
    }
    if now_ns >= connection.stalled_at_ns {
        return Err(Setback::Again("the server stopped sending".into()));
    }
    Ok(Progress::More)
}
