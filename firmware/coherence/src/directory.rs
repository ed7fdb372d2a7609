//! What a locator knows of its pages: 13 bytes for each, and a record for each transfer under way.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use crate::types::{Member, Members, Page, Right};

/// The page was written or loaded; until then it is all zeros and in no frame.
const TOUCHED: u8 = 0x80;
/// Whoever reads the page writes it next.
const MIGRATORY: u8 = 0x40;
const OWNER: u8 = 0x3f;

/// One page as its locator sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Who has its contents, if anybody wrote it yet.
    pub(crate) owner: Option<Member>,
    /// Who may have a copy, the owner included.
    pub(crate) copies: Members,
    /// Counts write grants.
    pub(crate) version: u32,
    /// Members have read it and then written it, one after the other: a reader gets it to write at once.
    pub(crate) migratory: bool,
}

/// A request that waits for its page, or is being served.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Pending {
    pub(crate) from: Member,
    pub(crate) right: Right,
    pub(crate) base: Option<u32>,
    pub(crate) have: bool,
    pub(crate) urgent: bool,
    pub(crate) prefetch: bool,
}

/// A transfer under way and those behind it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Busy {
    requester: Member,
    queue: VecDeque<Pending>,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admit {
    /// The page was idle: serve it.
    Serve,
    /// It waits.
    Queued,
    /// The page is busy and nobody waits for this one.
    Refuse,
    /// The member has one waiting already.
    Twice,
}

/// All pages of one locator, by their number among its pages.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Directory {
    copies: Vec<u64>,
    version: Vec<u32>,
    owner: Vec<u8>,
    busy: BTreeMap<Page, Busy>,
}

impl Directory {
    pub(crate) fn new(pages: usize) -> Self {
        Self { copies: vec![0; pages], version: vec![0; pages], owner: vec![0; pages], busy: BTreeMap::new() }
    }

    pub(crate) fn entry(&self, index: usize) -> Entry {
        let owner = self.owner.get(index).copied().unwrap_or(0);
        Entry {
            owner: (owner & TOUCHED != 0).then_some(Member(owner & OWNER)),
            copies: Members(self.copies.get(index).copied().unwrap_or(0)),
            version: self.version.get(index).copied().unwrap_or(0),
            migratory: owner & MIGRATORY != 0,
        }
    }

    pub(crate) fn set(&mut self, index: usize, entry: Entry) {
        if let Some(copies) = self.copies.get_mut(index) {
            *copies = entry.copies.0;
        }
        if let Some(version) = self.version.get_mut(index) {
            *version = entry.version;
        }
        if let Some(owner) = self.owner.get_mut(index) {
            let migratory = if entry.migratory { MIGRATORY } else { 0 };
            *owner = entry.owner.map_or(0, |member| member.0 & OWNER | TOUCHED | migratory);
        }
    }

    pub(crate) fn is_busy(&self, page: Page) -> bool {
        self.busy.contains_key(&page)
    }

    /// Takes a request in.
    pub(crate) fn admit(&mut self, page: Page, get: Pending) -> Admit {
        let Some(busy) = self.busy.get_mut(&page) else {
            self.busy.insert(page, Busy { requester: get.from, queue: VecDeque::new() });
            return Admit::Serve;
        };
        if busy.queue.iter().any(|other| other.from == get.from) {
            return Admit::Twice;
        }
        if get.prefetch {
            return Admit::Refuse;
        }
        if get.urgent {
            busy.queue.push_front(get);
        } else {
            busy.queue.push_back(get);
        }
        Admit::Queued
    }

    /// The waiting request of a member goes first, if there is one: it may have been served meanwhile.
    pub(crate) fn urge(&mut self, page: Page, from: Member) {
        if let Some(busy) = self.busy.get_mut(&page)
            && let Some(at) = busy.queue.iter().position(|get| get.from == from)
            && let Some(get) = busy.queue.remove(at)
        {
            busy.queue.push_front(Pending { urgent: true, ..get });
        }
    }

    /// The transfer is complete, if `from` was its requester; then the next request, if there is one.
    pub(crate) fn done(&mut self, page: Page, from: Member) -> Result<Option<Pending>, ()> {
        let busy = self.busy.get_mut(&page).filter(|busy| busy.requester == from).ok_or(())?;
        let next = busy.queue.pop_front();
        match next {
            Some(get) => busy.requester = get.from,
            None => {
                self.busy.remove(&page);
            }
        }
        Ok(next)
    }

    /// Transfers under way.
    pub(crate) fn transfers(&self) -> usize {
        self.busy.len()
    }
}
