//! Page faults: whose they are, and the entries that end those which are ours.

use super::pool::{Frame, Owner};
use super::{Context, Shadow, entry};
use crate::walk::{self, Path, Privilege, Step, WalkAccess, WalkError, WalkState};
use core::fmt;
use weft_platform::MemError;
use weft_types::{Gpa, Gva};
use weft_x86defs::bits::{PF_FETCH, PF_USER, PF_WRITE, PTE_A, PTE_ADDRESS, PTE_D, PTE_P, PTE_W};

/// How often a walk is repeated when another processor changes the entries under it. After that the guest runs
/// again and faults again: its own race, at its own expense.
const ATTEMPTS: u32 = 4;
/// Neighbours of a leaf that are made with it: they lie in one or two cache lines of the guest's table.
const NEIGHBOURS: usize = 16;

/// The access that faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Address.
    pub gva: Gva,
    /// Kind.
    pub kind: WalkAccess,
    /// Who.
    pub privilege: Privilege,
}

impl Access {
    /// From the processor's error code.
    pub fn from_code(gva: Gva, code: u64) -> Self {
        let kind = if code & PF_WRITE != 0 {
            WalkAccess::Write
        } else if code & PF_FETCH != 0 {
            WalkAccess::Fetch
        } else {
            WalkAccess::Read
        };
        let privilege = if code & PF_USER != 0 { Privilege::User } else { Privilege::Supervisor };
        Self { gva, kind, privilege }
    }
}

/// What became of a fault that is not the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Entries were made or widened: the access goes on.
    Made,
    /// All entries were there: another fault in between, or a translation that the processor had kept.
    There,
    /// The guest's tables changed under the walk; run again.
    Raced,
}

/// Why a fault was not ended here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The guest's own fault: address for CR2 and error code.
    Guest {
        /// Address.
        gva: Gva,
        /// Error code.
        code: u64,
    },
    /// A page is elsewhere, or the guest's tables are no memory. Nothing was changed.
    Memory(MemError),
    /// The supervisor writes to a read-only page with write protection off (CR0.WP = 0), which tables that force
    /// it on cannot express.
    WriteProtection,
    /// The address is not canonical: a processor raises no page fault for it.
    NonCanonical,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guest { gva, code } => write!(f, "the guest's own page fault at {gva:?}, code {code:#x}"),
            Self::Memory(error) => write!(f, "guest memory not reached: {error:?}"),
            Self::WriteProtection => {
                write!(f, "a write to a read-only page with CR0.WP = 0 cannot be shadowed")
            }
            Self::NonCanonical => write!(f, "a page fault at an address that is not canonical"),
        }
    }
}

impl core::error::Error for Fault {}

impl From<MemError> for Fault {
    fn from(error: MemError) -> Self {
        Self::Memory(error)
    }
}

impl From<WalkError> for Fault {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::PageFault { gva, code } => Self::Guest { gva, code },
            WalkError::NonCanonical { .. } => Self::NonCanonical,
            WalkError::Memory(error) => Self::Memory(error),
        }
    }
}

impl Shadow {
    /// Handles a page fault of the guest while its tables are shadowed. `state.cr3` is the guest's own.
    ///
    /// May be run again from its start after `Need`: marking an entry as accessed twice is marking it once.
    pub fn fault(
        &mut self,
        context: &mut Context<'_>,
        state: &WalkState,
        access: Access,
    ) -> Result<Filled, Fault> {
        for _ in 0..ATTEMPTS {
            let walked = walk::trace(context.mem, state, access.gva, access.kind, access.privilege);
            let path = match walked.map_err(Fault::from) {
                Ok(path) => path,
                Err(fault) => {
                    if let Fault::Guest { .. } = fault {
                        self.counters.reflected += 1;
                    }
                    return Err(fault);
                }
            };
            let write = access.kind == WalkAccess::Write;
            if write && path.steps().iter().any(|step| step.entry & PTE_W == 0) {
                return Err(Fault::WriteProtection);
            }
            if !mark(context, &path, write)? {
                continue;
            }
            if let Some(filled) = self.fill(context, state, &path, write)? {
                self.counters.fills += u64::from(filled == Filled::Made);
                return Ok(filled);
            }
        }
        Ok(Filled::Raced)
    }

    /// Makes the entries of a path; `None` when the guest's entries are not those of the path any more.
    fn fill(
        &mut self,
        context: &mut Context<'_>,
        state: &WalkState,
        path: &Path,
        write: bool,
    ) -> Result<Option<Filled>, Fault> {
        if self.root.is_none() {
            self.ensure_root(context);
        }
        let mut frame = self.root.expect("a pool has room for a root");
        let mut made = false;
        for (depth, step) in path.steps().iter().enumerate() {
            let level = 4 - depth as u32;
            // The page is watched by now, so that a change after this read is told.
            let now = context.mem.read_u64(step.address())?;
            if !covers(now, step.entry, write && walk::is_leaf(step.entry, level)) {
                return Ok(None);
            }
            if walk::is_leaf(now, level) {
                made |= self.put(context, frame, step.index, entry::leaf(now));
                if level == 1 {
                    self.remember_neighbours(context, state, frame, step);
                }
                return Ok(Some(if made { Filled::Made } else { Filled::There }));
            }
            let below = Gpa(now & PTE_ADDRESS);
            let Some(next) = self.table_below(context, frame, step, below, level - 1) else {
                return Ok(None);
            };
            let owner = self.pool.meta(frame).owner;
            self.adopt(context, next, owner);
            let value = entry::table(now, self.pool.window_address(next));
            made |= self.put(context, frame, step.index, value);
            frame = next;
        }
        Ok(None)
    }

    /// The frame for a table that an entry of `parent` is to name. `None` when the pool was used up: then all is
    /// dropped, the path so far included, and the next attempt builds it again.
    fn table_below(
        &mut self,
        context: &mut Context<'_>,
        parent: Frame,
        step: &Step,
        page: Gpa,
        level: u32,
    ) -> Option<Frame> {
        if let Some(found) = self.pool.find(page, level) {
            let entry = self.pool.entry(context.store, parent, step.index);
            if entry & PTE_P == 0 || entry & PTE_ADDRESS != self.pool.window_address(found).0 {
                // It was made under another root or at another address, whose flushes were not this one's.
                self.note_losses(context.tracker);
                self.freshen(context, found);
            }
            return Some(found);
        }
        if let Some(made) = self.pool.take(context.store, page, level) {
            self.watch(context.tracker, made);
            return Some(made);
        }
        self.counters.overflows += 1;
        self.drop_all(context);
        self.ensure_root(context);
        None
    }

    /// Writes an entry; `true` when it was another before.
    fn put(&mut self, context: &mut Context<'_>, frame: Frame, place: usize, value: u64) -> bool {
        let old = self.pool.entry(context.store, frame, place);
        if old == value {
            return false;
        }
        if !entry::widens(old, value) {
            self.generation += 1;
        }
        self.pool.set_entry(context.store, frame, place, value);
        true
    }

    /// Entries beside a leaf that are accessed already: as a processor that walks ahead.
    fn remember_neighbours(
        &mut self,
        context: &mut Context<'_>,
        state: &WalkState,
        frame: Frame,
        step: &Step,
    ) {
        let first = step.index / NEIGHBOURS * NEIGHBOURS;
        let mut bytes = [0; NEIGHBOURS * 8];
        if context.mem.read(Gpa(step.table.0 + 8 * first as u64), &mut bytes).is_err() {
            return;
        }
        for (at, chunk) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let place = first + at;
            let guest = u64::from_le_bytes(*chunk);
            if place == step.index
                || !entry::may_be_remembered(state, guest, 1)
                || self.pool.entry(context.store, frame, place) != 0
            {
                continue;
            }
            let value = entry::leaf(guest);
            if value != 0 {
                self.pool.set_entry(context.store, frame, place, value);
            }
        }
    }

    /// Notes that a parent with `owner` leads to a frame.
    pub(super) fn adopt(&mut self, context: &mut Context<'_>, frame: Frame, owner: Owner) {
        let meta = self.pool.meta_mut(frame);
        match (meta.owner, owner) {
            (before, after) if before == after => {}
            (Owner::Nobody, after) => meta.owner = after,
            (Owner::Several, _) => {}
            (Owner::Root(_), _) => self.share(context, frame),
        }
    }

    /// More than one root leads to a frame, and so to all below it.
    fn share(&mut self, context: &mut Context<'_>, frame: Frame) {
        let meta = self.pool.meta_mut(frame);
        if meta.owner == Owner::Several {
            return;
        }
        meta.owner = Owner::Several;
        let (level, first, last) = (meta.level, meta.first, meta.last);
        for place in first..=last {
            let value = self.pool.entry(context.store, frame, usize::from(place));
            if entry::names_table(value, level)
                && let Some(below) = self.pool.at_window(Gpa(value & PTE_ADDRESS))
            {
                self.share(context, below);
            }
        }
    }
}

/// Sets A in each entry of the path and D in its leaf for a write, where they are clear. `false` when an entry
/// changed meanwhile. All pages are asked for by the first of these writes that needs one; those already done are
/// what a processor that gave up a walk leaves, too.
fn mark(context: &Context<'_>, path: &Path, write: bool) -> Result<bool, MemError> {
    let leaf = path.steps().len().saturating_sub(1);
    for (depth, step) in path.steps().iter().enumerate() {
        let dirty = if write && depth == leaf { PTE_D } else { 0 };
        let marked = step.entry | PTE_A | dirty;
        if marked != step.entry
            && context.mem.compare_exchange_u64(step.address(), step.entry, marked)? != step.entry
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether what the guest's entry holds now still allows what it allowed when it was walked.
fn covers(now: u64, walked: u64, write: bool) -> bool {
    let marks = PTE_A | PTE_D;
    let wanted = if write { PTE_A | PTE_D } else { PTE_A };
    (now ^ walked) & !marks == 0 && now & wanted == wanted
}
