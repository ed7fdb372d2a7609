//! A TFTP client with the patience of firmware (RFC 1350, 2347, 2348, 7440), which checks every byte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};
use weft_tftp::codec::Request;

use crate::rng::Rng;

/// Silence after which the last word is repeated.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest datagram.
const LONGEST: usize = 65_536;
/// Repeats before giving up, unless told otherwise.
pub const TRIES: u32 = 30;

/// What to fetch.
#[derive(Clone, Copy, Debug)]
pub struct Fetch<'a> {
    /// The request port.
    pub server: SocketAddr,
    /// The name.
    pub name: &'a str,
    /// `blksize` asked for.
    pub blksize: u16,
    /// `windowsize` asked for; 1 asks for none.
    pub window: u16,
    /// Chance of each datagram to be lost, 1/1000.
    pub loss: u32,
    /// Repeats of the last word before giving up, one a second.
    pub tries: u32,
    /// What must arrive.
    pub expected: &'a [u8],
}

/// Fetches without loss, on a blocking socket: two system calls for a block in lock-step, one for another. What a bench
/// measures is then the server, as far as a client can help it.
///
/// # Errors
/// The stage at which it failed.
pub fn fetch(what: &Fetch<'_>) -> Result<(), &'static str> {
    let socket = std::net::UdpSocket::bind(any(what.server)).map_err(|_| "socket")?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(|_| "socket")?;
    let mut receiver = Receiver::new(what);
    let mut buffer = vec![0; LONGEST];
    let (mut tries, mut speak) = (0, true);
    while !receiver.done()? {
        if speak {
            let (word, to) = receiver.word();
            socket.send_to(word, to).map_err(|_| "send")?;
        }
        match socket.recv_from(&mut buffer) {
            Ok((len, from)) => {
                (tries, speak) = (0, receiver.hear(from, buffer.get(..len).unwrap_or_default())?);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                tries += 1;
                speak = true;
                if tries > what.tries {
                    return Err("silence");
                }
            }
            Err(_) => return Err("receive"),
        }
    }
    if speak {
        let (word, to) = receiver.word();
        socket.send_to(word, to).map_err(|_| "send")?;
    }
    Ok(())
}

/// One of many: fetches with loss.
pub(crate) async fn fetch_with(what: &Fetch<'_>, rng: &mut Rng) -> Result<(), &'static str> {
    let socket = UdpSocket::bind(any(what.server)).await.map_err(|_| "socket")?;
    let mut receiver = Receiver::new(what);
    let mut buffer = vec![0; LONGEST];
    let (mut tries, mut speak) = (0, true);
    let mut deadline = Instant::now() + PATIENCE;
    loop {
        if speak && !rng.chance(what.loss) {
            let (word, to) = receiver.word();
            socket.send_to(word, to).await.map_err(|_| "send")?;
        }
        if receiver.done()? {
            return Ok(());
        }
        speak = false;
        match timeout_at(deadline, socket.recv_from(&mut buffer)).await {
            Ok(Ok((len, from))) => {
                if rng.chance(what.loss) {
                    continue;
                }
                let (before, known) = (receiver.received, receiver.tid.is_some());
                speak = receiver.hear(from, buffer.get(..len).unwrap_or_default())?;
                if receiver.received > before || !known {
                    tries = 0;
                    deadline = Instant::now() + PATIENCE;
                }
            }
            Ok(Err(_)) => return Err("receive"),
            Err(_) => {
                tries += 1;
                if tries > what.tries {
                    return Err("silence");
                }
                deadline = Instant::now() + PATIENCE;
                speak = true;
            }
        }
    }
}

fn any(server: SocketAddr) -> SocketAddr {
    if server.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() }
}

/// The client's side of a transfer, without a socket.
struct Receiver<'a> {
    what: &'a Fetch<'a>,
    /// The server's address and TID.
    tid: Option<SocketAddr>,
    blksize: usize,
    window: u16,
    next: u16,
    received: usize,
    in_window: u16,
    /// The present gap was reported.
    gap_told: bool,
    request: Vec<u8>,
    /// The last ACK, once there was one.
    ack: Option<[u8; 4]>,
    over: bool,
}

impl<'a> Receiver<'a> {
    fn new(what: &'a Fetch<'a>) -> Self {
        let request = Request {
            name: what.name.to_owned(),
            blksize: Some(what.blksize),
            windowsize: (what.window > 1).then_some(what.window),
            timeout_s: None,
            tsize: false,
        };
        Self {
            what,
            tid: None,
            blksize: 512,
            window: 1,
            next: 1,
            received: 0,
            in_window: 0,
            gap_told: false,
            request: request.encode(),
            ack: None,
            over: false,
        }
    }

    /// What was said last, and to whom.
    fn word(&self) -> (&[u8], SocketAddr) {
        let word = self.ack.as_ref().map_or(&self.request[..], |ack| &ack[..]);
        (word, self.tid.unwrap_or(self.what.server))
    }

    fn done(&self) -> Result<bool, &'static str> {
        match (self.over, self.received == self.what.expected.len()) {
            (false, _) => Ok(false),
            (true, true) => Ok(true),
            (true, false) => Err("short"),
        }
    }

    /// Takes a datagram; `true` when something is to be said.
    fn hear(&mut self, from: SocketAddr, bytes: &[u8]) -> Result<bool, &'static str> {
        if self.tid.is_some_and(|tid| tid != from) {
            return Ok(false);
        }
        match bytes {
            [0, 3, high, low, data @ ..] => {
                self.tid = Some(from);
                self.data(u16::from_be_bytes([*high, *low]), data)
            }
            [0, 6, options @ ..] if self.received == 0 && self.next == 1 => {
                self.tid = Some(from);
                self.oack(options);
                Ok(self.ack(0))
            }
            [0, 5, _, code, ..] => Err(match code {
                1 => "not found",
                _ => "refused",
            }),
            _ => Ok(false),
        }
    }

    fn ack(&mut self, block: u16) -> bool {
        let [high, low] = block.to_be_bytes();
        self.ack = Some([0, 4, high, low]);
        self.in_window = 0;
        true
    }

    fn oack(&mut self, options: &[u8]) {
        let mut words = options.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).to_ascii_lowercase());
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            match (name.as_str(), value.parse::<u16>()) {
                ("blksize", Ok(size)) => self.blksize = size.into(),
                ("windowsize", Ok(size)) => self.window = size.max(1),
                _ => {}
            }
        }
    }

    fn data(&mut self, block: u16, data: &[u8]) -> Result<bool, &'static str> {
        if block == self.next {
            let expected = self.what.expected.get(self.received..self.received.saturating_add(data.len()));
            if expected != Some(data) {
                return Err("wrong bytes");
            }
            self.received += data.len();
            self.next = self.next.wrapping_add(1);
            self.in_window += 1;
            self.gap_told = false;
            self.over = data.len() < self.blksize;
            return Ok((self.over || self.in_window >= self.window) && self.ack(block));
        }
        let last = self.next.wrapping_sub(1);
        if block == last {
            // Our acknowledgement was lost.
            return Ok(self.ack(last));
        }
        let ahead = block.wrapping_sub(self.next) < 0x8000;
        if ahead && !self.gap_told {
            self.gap_told = true;
            return Ok(self.ack(last));
        }
        Ok(false)
    }
}
