//! One transfer, without a socket or a clock.
//!
//! ```text
//!            options                     ACK 0
//!   new ────────────────▶ Negotiating ──────────▶ Sending ──ACK of the last block──▶ Done
//!    │   no options                                ▲ │ ACK: progress → next window
//!    └─────────────────────────────────────────────┘ │ timer: repeat the window, twice as patient
//!                                                     └─ ERROR, too many repeats, too long ──▶ Failed
//! ```
//!
//! Blocks are counted from 1 in 64 bits; only the wire wraps to 16 (after 65535 comes 0). `acked ≤ sent ≤ acked + window`
//! always holds, so with a window of at most 64 a 16-bit number names one block or none.
//!
//! Repeats (RFC 7440 section 3): an ACK short of the window's end means that what followed was lost, and the window starts
//! again behind it, once; further ACKs of the same block are echoes and are ignored until something new is acknowledged or
//! the timer fires. With a window of one nothing but the timer repeats a block, which cures the sorcerer's apprentice.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use tftpd::{OptionType, TransferOption};

use crate::TftpConfig;
use crate::codec::{DEFAULT_BLKSIZE, MAX_WINDOW, Request};

/// Time since the engine's start.
pub type Time = Duration;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Send the option acknowledgement.
    SendOack,
    /// Send these blocks.
    Send {
        /// First and last block.
        blocks: RangeInclusive<u64>,
        /// How many of them were sent before.
        repeated: u64,
    },
    /// The last block was acknowledged.
    Done,
    /// It is over.
    Fail(FailReason),
}

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailReason {
    /// The client sent ERROR with this code. EDK2 and iPXE do so after asking for the size alone.
    ClientError(u16),
    /// No acknowledgement in spite of repeats.
    Silent,
    /// All was sent and only the very last acknowledgement is missing: most likely it was lost.
    Unconfirmed,
    /// Longer than the longest transfer.
    TooLong,
    /// The same TID asked for something else.
    Replaced,
    /// The engine stopped.
    Shutdown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Negotiating,
    Sending,
    Over,
}

/// State of one transfer.
#[derive(Debug)]
pub struct Transfer {
    content: Bytes,
    oack: Vec<TransferOption>,
    blksize: u16,
    window: u16,
    last: u64,
    acked: u64,
    sent: u64,
    highest: u64,
    phase: Phase,
    confirmed: bool,
    repeating: bool,
    retries: u32,
    srtt: Option<Time>,
    rto: Time,
    clean_since: Option<Time>,
    deadline: Time,
    end: Time,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    initial_rto: Time,
    min_rto: Time,
    max_rto: Time,
    max_retries: u32,
    max_half_open_retries: u32,
}

impl Transfer {
    /// A transfer of `content` as asked by `request`, within the limits of `config`. The first step is what to send now.
    #[must_use]
    pub fn new(now: Time, request: &Request, content: Bytes, config: &TftpConfig) -> (Self, Step) {
        let blksize = request.blksize.map_or(DEFAULT_BLKSIZE, |size| size.min(config.max_blksize()));
        let window = request.windowsize.map_or(1, |size| size.min(config.max_window).clamp(1, MAX_WINDOW));
        let oack = granted(request, blksize, window, content.len());
        let max_rto = request
            .timeout_s
            .map_or(Duration::from_millis(config.max_rto_ms), |time| Duration::from_secs(time.into()));
        let limits = Limits {
            initial_rto: Duration::from_millis(config.initial_rto_ms).min(max_rto),
            min_rto: Duration::from_millis(config.min_rto_ms).min(max_rto),
            max_rto,
            max_retries: config.max_retries,
            max_half_open_retries: config.max_half_open_retries,
        };
        let size = content.len() as u64;
        let mut transfer = Self {
            content,
            phase: if oack.is_empty() { Phase::Sending } else { Phase::Negotiating },
            oack,
            blksize,
            window,
            // A content whose length is a multiple of the block size ends with an empty block.
            last: size / u64::from(blksize) + 1,
            acked: 0,
            sent: 0,
            highest: 0,
            confirmed: false,
            repeating: false,
            retries: 0,
            srtt: None,
            rto: limits.initial_rto,
            clean_since: Some(now),
            deadline: now + limits.initial_rto,
            end: now + Duration::from_secs(config.max_transfer_s),
            limits,
        };
        let step = match transfer.phase {
            Phase::Negotiating => Step::SendOack,
            Phase::Sending | Phase::Over => transfer.send_window(),
        };
        (transfer, step)
    }

    /// An ACK with this number on the wire arrived from the right TID.
    pub fn on_ack(&mut self, now: Time, wire: u16) -> Step {
        match self.phase {
            Phase::Over => Step::Wait,
            Phase::Negotiating if wire == 0 => {
                self.phase = Phase::Sending;
                self.progress(now);
                self.send_window()
            }
            Phase::Negotiating => Step::Wait,
            Phase::Sending => self.on_block_ack(now, wire),
        }
    }

    fn on_block_ack(&mut self, now: Time, wire: u16) -> Step {
        let Some(block) = self.unwrap(wire) else { return Step::Wait };
        if block == self.acked {
            // A window's first block was lost, or an echo.
            if self.window == 1 || self.repeating || self.sent == self.acked {
                return Step::Wait;
            }
            self.clean_since = None;
            self.repeating = true;
            self.sent = self.acked;
            return self.send_window();
        }
        let partial = block < self.sent;
        self.acked = block;
        self.progress(now);
        if self.acked == self.last {
            self.phase = Phase::Over;
            return Step::Done;
        }
        if partial {
            self.repeating = true;
            self.sent = self.acked;
        }
        self.send_window()
    }

    /// The client sent ERROR.
    pub fn on_error(&mut self, code: u16) -> Step {
        self.phase = Phase::Over;
        Step::Fail(FailReason::ClientError(code))
    }

    /// Time passed. Call at [`Self::deadline`] or later; earlier calls do nothing.
    pub fn on_time(&mut self, now: Time) -> Step {
        if self.phase == Phase::Over || now < self.deadline {
            return Step::Wait;
        }
        if now >= self.end {
            self.phase = Phase::Over;
            return Step::Fail(FailReason::TooLong);
        }
        let limit = if self.confirmed { self.limits.max_retries } else { self.limits.max_half_open_retries };
        if self.retries >= limit {
            let all_sent = self.confirmed && self.highest == self.last;
            self.phase = Phase::Over;
            return Step::Fail(if all_sent { FailReason::Unconfirmed } else { FailReason::Silent });
        }
        self.retries = self.retries.saturating_add(1);
        self.rto = self.rto.saturating_mul(2).min(self.limits.max_rto).max(self.limits.min_rto);
        self.deadline = (now + self.rto).min(self.end);
        self.clean_since = None;
        self.repeating = false;
        match self.phase {
            Phase::Negotiating => Step::SendOack,
            Phase::Sending | Phase::Over => {
                self.sent = self.acked;
                self.send_window()
            }
        }
    }

    /// When [`Self::on_time`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// Whether the client has acknowledged anything.
    #[must_use]
    pub fn confirmed(&self) -> bool {
        self.confirmed
    }

    /// Whether nothing new has been acknowledged since the last repeat.
    #[must_use]
    pub fn stalled(&self) -> bool {
        self.retries > 0
    }

    /// Whether it is over.
    #[must_use]
    pub fn over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// The options to acknowledge.
    #[must_use]
    pub fn oack(&self) -> &[TransferOption] {
        &self.oack
    }

    /// Bytes of block `block` (from 1); the last may be short or empty.
    #[must_use]
    pub fn block(&self, block: u64) -> &[u8] {
        let size = usize::from(self.blksize);
        let start = usize::try_from(block.saturating_sub(1)).unwrap_or(usize::MAX).saturating_mul(size);
        let end = start.saturating_add(size).min(self.content.len());
        self.content.get(start..end).unwrap_or_default()
    }

    /// Bytes a block.
    #[must_use]
    pub fn blksize(&self) -> u16 {
        self.blksize
    }

    /// Blocks a window.
    #[must_use]
    pub fn window(&self) -> u16 {
        self.window
    }

    /// Length of the content.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.content.len() as u64
    }

    /// Bytes acknowledged.
    #[must_use]
    pub fn acked_bytes(&self) -> u64 {
        self.acked.saturating_mul(self.blksize.into()).min(self.size_bytes())
    }

    /// The block in `acked..=sent` with this number on the wire.
    fn unwrap(&self, wire: u16) -> Option<u64> {
        let distance = wire.wrapping_sub(self.acked as u16);
        let block = self.acked.checked_add(distance.into())?;
        // After a repeat `sent` moves back, yet the client may own blocks of the first round.
        (block <= self.sent.max(self.highest)).then_some(block)
    }

    fn progress(&mut self, now: Time) {
        if let Some(since) = self.clean_since {
            let sample = now.saturating_sub(since);
            let smooth = self.srtt.map_or(sample, |old| (old * 7 + sample) / 8);
            self.srtt = Some(smooth);
        }
        let measured = self.srtt.map_or(self.limits.initial_rto, |time| time * 4);
        self.rto = measured.clamp(self.limits.min_rto, self.limits.max_rto);
        self.confirmed = true;
        self.repeating = false;
        self.retries = 0;
        self.clean_since = Some(now);
        self.deadline = (now + self.rto).min(self.end);
    }

    fn send_window(&mut self) -> Step {
        self.sent = self.sent.max(self.acked);
        let first = self.sent + 1;
        let to = (self.acked + u64::from(self.window)).min(self.last);
        if first > to {
            return Step::Wait;
        }
        let repeated = self.highest.min(to).saturating_sub(self.sent);
        if repeated > 0 {
            self.clean_since = None;
        }
        self.sent = to;
        self.highest = self.highest.max(to);
        Step::Send { blocks: first..=to, repeated }
    }
}

fn granted(request: &Request, blksize: u16, window: u16, size: usize) -> Vec<TransferOption> {
    let mut options = Vec::new();
    let mut push = |option, value| options.push(TransferOption { option, value });
    if request.blksize.is_some() {
        push(OptionType::BlockSize, u64::from(blksize));
    }
    if request.windowsize.is_some() {
        push(OptionType::WindowSize, u64::from(window));
    }
    if let Some(time) = request.timeout_s {
        push(OptionType::Timeout, u64::from(time));
    }
    if request.tsize {
        push(OptionType::TransferSize, size as u64);
    }
    options
}
