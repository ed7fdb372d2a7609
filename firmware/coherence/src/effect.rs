//! What the engine asks its node to do, in order.

use crate::codec::Control;
use crate::types::{Arrived, Class, Member, Page, Ticket, Waiter};

/// One thing to do. Effects of one call are done in their order.
///
/// Frames of a page: the node keeps at most one frame and one twin for each. A frame comes into being with
/// [`Effect::Install`] and is given back with [`Effect::DropFrame`]; between a page's leaving and its return
/// the frame may stay, with its old contents.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Effect {
    /// Send a message.
    Send {
        /// To whom.
        to: Member,
        /// In which buffers.
        class: Class,
        /// Its bytes; the sender's TSC is stamped by the node.
        control: Control,
        /// The page to send beside it. Its frame does not change until another effect names it.
        page: Option<Payload>,
    },
    /// Let the guest reach the page's frame.
    MapGuest {
        /// Which.
        page: Page,
        /// Also to write.
        write: bool,
    },
    /// Take the page from the guest and flush, then call `flushed` with the ticket.
    UnmapGuest {
        /// Which.
        page: Page,
        /// To give back.
        ticket: Ticket,
    },
    /// Take the right to write from the guest and flush, then call `flushed` with the ticket.
    ProtectGuest {
        /// Which.
        page: Page,
        /// To give back.
        ticket: Ticket,
    },
    /// Put contents into the page's frame; get a frame first if the page has none.
    Install {
        /// Which.
        page: Page,
        /// From where.
        source: Source,
    },
    /// Give the page's frame back.
    DropFrame {
        /// Which.
        page: Page,
    },
    /// Copy the frame's contents beside it, as what `version` was; an older twin goes.
    MakeTwin {
        /// Which.
        page: Page,
        /// Version of the contents.
        version: u32,
    },
    /// Give the twin back.
    DropTwin {
        /// Which.
        page: Page,
    },
    /// Let the waiter try again.
    Unpark {
        /// Who.
        waiter: Waiter,
    },
    /// Pages that were adopted here are known to all locators; the guest may start.
    Ready,
    /// This page keeps changing its writer.
    Hot {
        /// Which.
        page: Page,
        /// Who wrote last.
        from: Member,
        /// Who writes now.
        to: Member,
        /// How often since counting began.
        moves: u32,
    },
    /// The virtual server cannot go on. No effect follows.
    Stop {
        /// Why.
        cause: Cause,
    },
}

/// A page to send, as [`crate::content::encode`] writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Payload {
    /// Which.
    pub page: Page,
    /// The receiver has the contents of the page's twin, which are this version: a difference will do.
    pub base: Option<u32>,
}

/// Where contents come from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Source {
    /// Zeros, in a frame of its own.
    Zero,
    /// Zeros, in the frame of zeros that all pages share; never mapped to write.
    SharedZero,
    /// The payload that came with the message: everything.
    Whole,
    /// The payload that came with the message: changes to what the frame holds.
    Diff,
}

impl Source {
    pub(crate) fn of(arrived: Arrived) -> Option<Self> {
        match arrived {
            Arrived::Zero => Some(Self::Zero),
            Arrived::Whole => Some(Self::Whole),
            Arrived::Diff { .. } => Some(Self::Diff),
            Arrived::Nothing | Arrived::Malformed => None,
        }
    }
}

/// Why a virtual server stops.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cause {
    /// A member is lost, and with it pages.
    MemberLost(Member),
    /// The node said so.
    Asked,
    /// The locator takes this member for the owner of a page that it does not have.
    NotOwner(Page),
    /// The contents of a page did not arrive, not even when asked for again.
    NoContents(Page),
    /// Peers ask for more at a time than all members together may.
    Flooded,
    /// Two members say that the loader put the same page with them.
    AdoptedTwice(Page),
}
