//! What an engine is told once: who takes part, which member locates which pages, and how much it may use.

use alloc::vec::Vec;
use core::fmt;

use weft_types::Epoch;

use crate::types::{MAX_MEMBERS, Member, Page};

/// Most ranges of guest memory.
pub const MAX_RANGES: usize = 128;
/// Most pages of one virtual server: 16 TiB.
pub const MAX_PAGES: u64 = 1 << 32;

/// Consecutive pages with one locator.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Range {
    /// First page.
    pub first: Page,
    /// How many.
    pub pages: u64,
    /// Their locator.
    pub locator: Member,
}

/// Bounds in memory and time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Limits {
    /// Frames that this member may use for the virtual server, copies for differences included. Changed by
    /// [`crate::Engine::frame_pressure`].
    pub frames: u64,
    /// Waiters (vCPUs, devices, the monitor).
    pub waiters: usize,
    /// Pages held for one waiter at a time.
    pub holds: usize,
    /// Old contents kept so that a page can come back as a difference.
    pub bases: usize,
    /// Copies made at the start of writing so that a page can leave as a difference.
    pub twins: usize,
    /// Prefetches under way.
    pub prefetches: usize,
    /// Longest time for which a page is kept for an instruction after it was granted, nanoseconds.
    pub hold_ns: u64,
    /// Least time for which a page that was waited for stays, even after its instruction, nanoseconds.
    pub hold_least_ns: u64,
    /// Holds lost before an instruction gets the token.
    pub failures: u8,
    /// Longest time for which one instruction keeps the token, nanoseconds.
    pub token_ns: u64,
    /// Transfers under way in which this member takes part. All members' waiters, prefetches and offers must fit;
    /// what goes beyond comes from a peer that does not keep the protocol.
    pub records: usize,
    /// How often a page changes its writer before it is reported as hot.
    pub hot: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frames: u64::MAX,
            waiters: 256,
            holds: 16,
            bases: 1024,
            twins: 1024,
            prefetches: 32,
            hold_ns: 1_000_000,
            hold_least_ns: 20_000,
            failures: 3,
            token_ns: 20_000_000,
            records: 65_536,
            hot: 64,
        }
    }
}

/// Everything an engine is started with. Equal at all members but for `me` and `limits`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// This member.
    pub me: Member,
    /// How many members (2–64).
    pub members: u8,
    /// Epoch of the virtual server's membership.
    pub epoch: Epoch,
    /// Guest memory in ascending order; holes are allowed.
    pub ranges: Vec<Range>,
    /// Bounds of this member.
    pub limits: Limits,
}

/// Why a configuration is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConfigError {
    /// Not 2–64 members, or this one is none of them.
    Members,
    /// No range, too many, an empty one, or not ascending.
    Ranges,
    /// A locator that is no member.
    Locator,
    /// More pages than [`MAX_PAGES`].
    Pages,
    /// A bound that leaves nothing to work with.
    Limits,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Members => "a virtual server has 2 to 64 members, this one among them",
            Self::Ranges => "the ranges of guest memory are empty, too many or not in order",
            Self::Locator => "a range is located at no member",
            Self::Pages => "too many pages",
            Self::Limits => "a limit leaves nothing to work with",
        })
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Checks what the other modules rely on.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let members = usize::from(self.members);
        if !(2..=MAX_MEMBERS).contains(&members) || self.me.0 >= self.members {
            return Err(ConfigError::Members);
        }
        if self.ranges.is_empty() || self.ranges.len() > MAX_RANGES {
            return Err(ConfigError::Ranges);
        }
        let (mut end, mut total) = (0, 0_u64);
        for range in &self.ranges {
            let next = range.first.0.checked_add(range.pages).ok_or(ConfigError::Ranges)?;
            if range.pages == 0 || range.first.0 < end || next > 1 << 40 {
                return Err(ConfigError::Ranges);
            }
            if range.locator.0 >= self.members {
                return Err(ConfigError::Locator);
            }
            end = next;
            total = total.saturating_add(range.pages);
        }
        if total > MAX_PAGES {
            return Err(ConfigError::Pages);
        }
        let l = &self.limits;
        if l.frames < 4
            || l.waiters == 0
            || l.records == 0
            || l.holds < 2
            || l.failures == 0
            || l.token_ns == 0
        {
            return Err(ConfigError::Limits);
        }
        Ok(())
    }
}
