//! What the guest's vCPUs do: instructions on real bytes, with the store buffer of x86.
//!
//! A plain store goes into the buffer of its vCPU and takes effect later, in order; loads of the same vCPU see it
//! before (Owens, Sarkar, Sewell: *A better x86 memory model: x86-TSO*, 2009). Fences and locked instructions
//! wait for the buffer to be empty; so does a flush, which interrupts the vCPU.

use std::collections::VecDeque;

use weft_coherence::{Member, Page, Waiter};

use crate::memory::split;
use crate::rng::Random;

/// One instruction. Addresses are of 8 bytes, which may cross into the next page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Loads into the vCPU's list of results.
    Load(u64),
    /// Stores a value.
    Store(u64, u64),
    /// Adds, locked.
    Add(u64, u64),
    /// Exchanges a value with memory, locked; the old one is a result.
    Exchange(u64, u64),
    /// Copies 8 bytes from one address to another.
    Copy(u64, u64),
    /// Waits for the store buffer to be empty.
    Fence,
    /// Does nothing for that many nanoseconds.
    Think(u64),
}

impl Op {
    /// Pages it needs and whether to write, ascending.
    pub fn pages(&self) -> Vec<(Page, bool)> {
        let spread = |address: u64, write: bool| {
            let (first, last) = (split(address).0, split(address + 7).0);
            let mut list = vec![(first, write)];
            if last != first {
                list.push((last, write));
            }
            list
        };
        match *self {
            Self::Load(at) => spread(at, false),
            Self::Store(at, _) | Self::Add(at, _) | Self::Exchange(at, _) => spread(at, true),
            Self::Copy(from, to) => [spread(from, false), spread(to, true)].concat(),
            Self::Fence | Self::Think(_) => Vec::new(),
        }
    }

    /// Whether the store buffer must be empty before it.
    pub fn drains(&self) -> bool {
        match self {
            Self::Add(..) | Self::Exchange(..) | Self::Fence => true,
            Self::Load(_) | Self::Store(..) | Self::Copy(..) | Self::Think(_) => false,
        }
    }
}

/// One vCPU.
pub(crate) struct Vcpu {
    pub(crate) member: Member,
    pub(crate) waiter: Waiter,
    pub(crate) program: VecDeque<Op>,
    pub(crate) buffer: VecDeque<(u64, u64)>,
    pub(crate) results: Vec<u64>,
    pub(crate) parked: bool,
    /// The present instruction asked for pages.
    pub(crate) faulted: bool,
    /// When the present instruction was first tried.
    pub(crate) since: u64,
    pub(crate) longest_ns: u64,
    pub(crate) done: u64,
}

impl Vcpu {
    pub(crate) fn new(member: Member, waiter: Waiter, program: Vec<Op>) -> Self {
        Self {
            member,
            waiter,
            program: program.into(),
            buffer: VecDeque::new(),
            results: Vec::new(),
            parked: false,
            faulted: false,
            since: 0,
            longest_ns: 0,
            done: 0,
        }
    }

    /// A byte that this vCPU stored and that is not in memory yet.
    pub(crate) fn buffered(&self, address: u64) -> Option<u8> {
        self.buffer.iter().rev().find_map(|(at, value)| {
            let offset = address.checked_sub(*at).filter(|offset| *offset < 8)?;
            value.to_le_bytes().get(usize::try_from(offset).ok()?).copied()
        })
    }
}

/// What a random program is like.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Instructions.
    pub length: u64,
    /// First page and number of pages that it uses.
    pub pages: (u64, u64),
    /// Of 100 accesses, how many go to the first two pages.
    pub hot_percent: u64,
    /// Longest pause, nanoseconds.
    pub think_ns: u64,
    /// Whether instructions may cross pages.
    pub straddle: bool,
}

/// A random program.
pub fn random(style: &Style, random: &mut Random) -> Vec<Op> {
    let mut list = Vec::new();
    for _ in 0..style.length {
        let mut address = || {
            let hot = random.chance(style.hot_percent);
            let page = style.pages.0 + random.below(if hot { 2.min(style.pages.1) } else { style.pages.1 });
            let crosses = style.straddle && random.chance(10) && page + 1 < style.pages.0 + style.pages.1;
            let offset = if crosses { 4093 } else { 8 * random.below(if hot { 4 } else { 512 }) };
            page * 4096 + offset
        };
        let (at, to) = (address(), address());
        let value = random.bits();
        list.push(match random.below(16) {
            0..5 => Op::Load(at),
            5..9 => Op::Store(at, if random.chance(20) { 0 } else { value }),
            9..12 => Op::Add(at, value & 0xff),
            12 => Op::Exchange(at, value),
            13 => Op::Copy(at, to),
            14 => Op::Fence,
            _ => Op::Think(random.below(style.think_ns)),
        });
    }
    list
}

/// Reads or writes every page in order, starting at a place of its own.
pub fn scan(pages: (u64, u64), start: u64, write: bool) -> Vec<Op> {
    let page = |n: u64| (pages.0 + (start + n) % pages.1) * 4096;
    (0..pages.1).map(|n| if write { Op::Add(page(n) + 8 * (n % 16), 1) } else { Op::Load(page(n)) }).collect()
}
