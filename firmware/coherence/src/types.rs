//! The values that the protocol speaks of.

use core::fmt;

use weft_platform::Access;
use weft_types::{Gpa, PAGE_SIZE};

/// Most members of one virtual server.
pub const MAX_MEMBERS: usize = 64;

/// A guest page: its guest physical address divided by 4096.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Page(pub u64);

impl Page {
    /// The page that holds `gpa`.
    pub const fn of(gpa: Gpa) -> Self {
        Self(gpa.0 / PAGE_SIZE)
    }

    /// Address of the page's first byte; `None` past the end of the address space.
    pub const fn gpa(self) -> Option<Gpa> {
        match self.0.checked_mul(PAGE_SIZE) {
            Some(address) => Some(Gpa(address)),
            None => None,
        }
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page({:#x})", self.0)
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A node's place in the ordered member list of a virtual server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Member(pub u8);

impl Member {
    const fn bit(self) -> u64 {
        if self.0 < 64 { 1 << self.0 } else { 0 }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A set of members.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Members(pub u64);

impl Members {
    /// Nobody.
    pub const NONE: Self = Self(0);

    /// One member.
    pub const fn only(member: Member) -> Self {
        Self(member.bit())
    }

    /// Whether `member` is in the set.
    pub const fn has(self, member: Member) -> bool {
        self.0 & member.bit() != 0
    }

    /// The set and `member`.
    pub const fn with(self, member: Member) -> Self {
        Self(self.0 | member.bit())
    }

    /// The set without `member`.
    pub const fn without(self, member: Member) -> Self {
        Self(self.0 & !member.bit())
    }

    /// How many (0–64).
    pub fn count(self) -> u8 {
        u8::try_from(self.0.count_ones()).unwrap_or(64)
    }

    /// The members in ascending order.
    pub fn iter(self) -> impl Iterator<Item = Member> {
        (0..64).map(Member).filter(move |member| self.has(*member))
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|member| member.0)).finish()
    }
}

/// Who waits for pages on a node: a vCPU, a device, or the monitor itself. Numbered by the monitor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Waiter(pub u16);

/// Names one flush of the TLBs. Given back by [`crate::Engine::flushed`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Ticket(pub u64);

/// Which buffers a message uses. A response is always taken by its receiver, so that the classes above
/// it drain whatever waits in the classes below.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// Starts a transaction; may wait for as long as its page is busy.
    Request,
    /// From the locator to those who have the page.
    Forward,
    /// Ends something; never waits.
    Response,
}

/// What a member may do with a page; [`Access`] with an order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Right {
    /// Read it.
    Read,
    /// Read and write it.
    Write,
}

impl From<Access> for Right {
    fn from(access: Access) -> Self {
        match access {
            Access::Read => Self::Read,
            Access::Write => Self::Write,
        }
    }
}

/// How a page arrived; made by [`crate::content::inspect`] from the bytes beside a control message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Arrived {
    /// No bytes came along.
    Nothing,
    /// The page is all zeros.
    Zero,
    /// All 4096 bytes.
    Whole,
    /// Changes against the contents that had this version.
    Diff {
        /// Version that the changes apply to.
        base: u32,
    },
    /// The bytes make no page.
    Malformed,
}
