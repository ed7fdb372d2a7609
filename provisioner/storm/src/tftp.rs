//! A TFTP client with the patience of firmware (RFC 1350, 2347, 2348, 7440), which checks every byte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};
use weft_tftp::codec::Request;

use crate::rng::Rng;

/// Silence after which the last word is repeated.
const PATIENCE: Duration = Duration::from_secs(1);
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

/// Fetches without loss.
///
/// # Errors
/// The stage at which it failed.
pub async fn fetch(what: &Fetch<'_>) -> Result<(), &'static str> {
    fetch_with(what, &mut Rng::new(0, 0)).await
}

pub(crate) async fn fetch_with(what: &Fetch<'_>, rng: &mut Rng) -> Result<(), &'static str> {
    let bind: SocketAddr = if what.server.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(bind).await.map_err(|_| "socket")?;
    let request = Request {
        name: what.name.to_owned(),
        blksize: Some(what.blksize),
        windowsize: (what.window > 1).then_some(what.window),
        timeout_s: None,
        tsize: false,
    };
    let receiver = Receiver {
        what,
        socket,
        rng,
        tid: None,
        blksize: 512,
        window: 1,
        next: 1,
        received: 0,
        in_window: 0,
        gap_told: false,
        word: request.encode(),
        over: false,
    };
    receiver.run().await
}

struct Receiver<'a> {
    what: &'a Fetch<'a>,
    socket: UdpSocket,
    rng: &'a mut Rng,
    /// The server's address and TID.
    tid: Option<SocketAddr>,
    blksize: usize,
    window: u16,
    next: u16,
    received: usize,
    in_window: u16,
    /// The present gap was reported.
    gap_told: bool,
    /// What was said last.
    word: Vec<u8>,
    over: bool,
}

impl Receiver<'_> {
    async fn run(mut self) -> Result<(), &'static str> {
        let mut buffer = vec![0; 65_536];
        self.say().await?;
        let mut tries = 0;
        let mut deadline = Instant::now() + PATIENCE;
        while !self.over {
            match timeout_at(deadline, self.socket.recv_from(&mut buffer)).await {
                Ok(Ok((len, from))) => {
                    if self.rng.chance(self.what.loss) || self.tid.is_some_and(|tid| tid != from) {
                        continue;
                    }
                    let before = self.received;
                    self.datagram(from, buffer.get(..len).unwrap_or_default()).await?;
                    if self.received > before || self.tid.is_none() {
                        tries = 0;
                        deadline = Instant::now() + PATIENCE;
                    }
                }
                Ok(Err(_)) => return Err("receive"),
                Err(_) => {
                    tries += 1;
                    if tries > self.what.tries {
                        return Err("silence");
                    }
                    deadline = Instant::now() + PATIENCE;
                    self.say().await?;
                }
            }
        }
        if self.received == self.what.expected.len() { Ok(()) } else { Err("short") }
    }

    async fn say(&mut self) -> Result<(), &'static str> {
        if self.rng.chance(self.what.loss) {
            return Ok(());
        }
        let to = self.tid.unwrap_or(self.what.server);
        self.socket.send_to(&self.word, to).await.map(|_| ()).map_err(|_| "send")
    }

    async fn ack(&mut self, block: u16) -> Result<(), &'static str> {
        let [high, low] = block.to_be_bytes();
        self.word = vec![0, 4, high, low];
        self.in_window = 0;
        self.say().await
    }

    async fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) -> Result<(), &'static str> {
        match bytes {
            [0, 3, high, low, data @ ..] => {
                self.tid = Some(from);
                self.data(u16::from_be_bytes([*high, *low]), data).await
            }
            [0, 6, options @ ..] if self.received == 0 && self.next == 1 => {
                self.tid = Some(from);
                self.oack(options);
                self.ack(0).await
            }
            [0, 5, _, code, ..] => Err(match code {
                1 => "not found",
                _ => "refused",
            }),
            _ => Ok(()),
        }
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

    async fn data(&mut self, block: u16, data: &[u8]) -> Result<(), &'static str> {
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
            if self.over || self.in_window >= self.window {
                return self.ack(block).await;
            }
            return Ok(());
        }
        let last = self.next.wrapping_sub(1);
        if block == last {
            // Our acknowledgement was lost.
            return self.ack(last).await;
        }
        let ahead = block.wrapping_sub(self.next) < 0x8000;
        if ahead && !self.gap_told {
            self.gap_told = true;
            return self.ack(last).await;
        }
        Ok(())
    }
}
