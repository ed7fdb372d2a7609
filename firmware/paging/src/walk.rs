//! The guest's own page tables, walked in software: guest virtual to guest physical.
//!
//! The monitor needs this to fetch an instruction that it must decode. The walk reads and never
//! writes: accessed and dirty bits stay as they are, since the processor has set them already for an
//! instruction that it began. Nothing is cached.
//!
//! Each entry is read once and judged from that copy, since another vCPU may change it meanwhile.
//! Source: APM volume 2, sections 5.2 to 5.6; reserved bits as the processor checks them, given the
//! guest's physical width.

use core::fmt;

use weft_platform::{GuestMemory, MemError};
use weft_types::{Gpa, Gva, PAGE_SIZE};
use weft_x86defs::bits::{
    CR0_PG, CR0_WP, CR4_LA57, CR4_PAE, CR4_PSE, CR4_SMAP, CR4_SMEP, EFER_LMA, EFER_NXE, PF_FETCH, PF_PRESENT,
    PF_RESERVED, PF_USER, PF_WRITE, PTE_ADDRESS, PTE_NX, PTE_P, PTE_PS, PTE_U, PTE_W,
};

/// What decides how addresses are translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkState {
    /// CR0.
    pub cr0: u64,
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// EFER.
    pub efer: u64,
    /// RFLAGS.AC: lets the supervisor touch user pages under SMAP.
    pub alignment_check: bool,
    /// Physical address bits that the guest was told of.
    pub physical_bits: u32,
}

/// Kind of access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WalkAccess {
    /// Data read.
    Read,
    /// Data write.
    Write,
    /// Instruction fetch.
    Fetch,
}

/// Who accesses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Privilege {
    /// CPL 0 to 2, and implicit accesses.
    Supervisor,
    /// CPL 3.
    User,
}

/// Where an address leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    /// Guest physical address of the byte asked for.
    pub gpa: Gpa,
    /// Bytes from `gpa` to the end of the guest's page, at least one.
    pub remaining: u64,
}

/// Why an address leads nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WalkError {
    /// The processor would raise #PF with this address and error code.
    PageFault {
        /// Address, for CR2.
        gva: Gva,
        /// Error code.
        code: u64,
    },
    /// The address is not canonical: the processor would raise #GP or #SS.
    NonCanonical {
        /// Address.
        gva: Gva,
    },
    /// A table or the page itself was not reached.
    Memory(MemError),
}

impl From<MemError> for WalkError {
    fn from(error: MemError) -> Self {
        Self::Memory(error)
    }
}

impl fmt::Display for WalkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PageFault { gva, code } => write!(f, "page fault at {gva:?}, code {code:#x}"),
            Self::NonCanonical { gva } => write!(f, "{gva:?} is not canonical"),
            Self::Memory(error) => write!(f, "guest memory not reached: {error:?}"),
        }
    }
}

impl core::error::Error for WalkError {}

/// Rights gathered on the way down.
struct Gathered {
    writable: bool,
    user: bool,
    no_execute: bool,
}

impl Gathered {
    const fn new() -> Self {
        Self { writable: true, user: true, no_execute: false }
    }

    fn narrow(&mut self, entry: u64) {
        self.writable &= entry & PTE_W != 0;
        self.user &= entry & PTE_U != 0;
        self.no_execute |= entry & PTE_NX != 0;
    }
}

/// One step of a walk: an entry as it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Table that holds the entry.
    pub table: Gpa,
    /// Its place in the table, 0 to 511.
    pub index: usize,
    /// The entry.
    pub entry: u64,
}

impl Step {
    /// Address of the entry itself.
    pub const fn address(&self) -> Gpa {
        Gpa(self.table.0 + 8 * self.index as u64)
    }
}

/// The steps of a four-level walk that ended at a leaf, from the top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path {
    steps: [Step; 4],
    count: usize,
}

impl Path {
    /// The steps; the last one is the leaf.
    pub fn steps(&self) -> &[Step] {
        self.steps.get(..self.count).unwrap_or(&[])
    }

    fn push(&mut self, step: Step) {
        if let Some(slot) = self.steps.get_mut(self.count) {
            *slot = step;
            self.count += 1;
        }
    }
}

struct Walker<'a> {
    mem: &'a dyn GuestMemory,
    state: &'a WalkState,
    gva: Gva,
    access: WalkAccess,
    privilege: Privilege,
}

/// Translates one address.
pub fn translate(
    mem: &dyn GuestMemory,
    state: &WalkState,
    gva: Gva,
    access: WalkAccess,
    privilege: Privilege,
) -> Result<Translation, WalkError> {
    if state.cr0 & CR0_PG == 0 {
        let gpa = Gpa(gva.0 & 0xffff_ffff);
        return Ok(Translation { gpa, remaining: PAGE_SIZE - gpa.page_offset() });
    }
    let walker = Walker { mem, state, gva, access, privilege };
    if state.efer & EFER_LMA != 0 {
        walker.long_mode(&mut |_step| {})
    } else if state.cr4 & CR4_PAE != 0 {
        walker.pae()
    } else {
        walker.legacy()
    }
}

/// Walks the four levels of long mode and returns the entries on the way, after the checks of [`translate`].
/// The state must be one of long mode.
pub fn trace(
    mem: &dyn GuestMemory,
    state: &WalkState,
    gva: Gva,
    access: WalkAccess,
    privilege: Privilege,
) -> Result<Path, WalkError> {
    let mut path = Path::default();
    Walker { mem, state, gva, access, privilege }.long_mode(&mut |step| path.push(step))?;
    Ok(path)
}

/// Whether an entry of a table at `level` (4 is the top) ends a walk.
pub const fn is_leaf(entry: u64, level: u32) -> bool {
    level == 1 || (entry & PTE_PS != 0 && level < 4)
}

/// Bits of a present entry of 8 bytes that must be clear, given the entry's size bit and level.
pub const fn reserved_bits(state: &WalkState, entry: u64, level: u32) -> u64 {
    let beyond = match 1u64.checked_shl(state.physical_bits) {
        Some(limit) => PTE_ADDRESS & !(limit - 1),
        None => 0,
    };
    let nx = if state.efer & EFER_NXE == 0 { PTE_NX } else { 0 };
    let size = match (entry & PTE_PS != 0, level) {
        (true, 4..) => PTE_PS,
        // Bit 12 is the PAT bit; those above it up to the page size are reserved.
        (true, 2 | 3) => ((1u64 << (12 + 9 * (level - 1))) - 1) & !0x1fff,
        (_, _) => 0,
    };
    beyond | nx | size
}

/// Fetches instruction bytes at `gva`, at most `out.len()` (15 is enough). Returns how many were
/// fetched: fewer than asked for when the next page faults, so that a short instruction at the end of
/// a page is not blamed for what follows it. A page that is elsewhere is an error all the same.
pub fn fetch(
    mem: &dyn GuestMemory,
    state: &WalkState,
    gva: Gva,
    privilege: Privilege,
    out: &mut [u8],
) -> Result<usize, WalkError> {
    let mut done = 0;
    while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = Gva(gva.0.wrapping_add(done as u64));
        match translate(mem, state, at, WalkAccess::Fetch, privilege) {
            Ok(found) => {
                let count = rest.len().min(usize::try_from(found.remaining).unwrap_or(usize::MAX));
                let (part, _) = rest.split_at_mut(count);
                mem.read(found.gpa, part)?;
                done += count;
            }
            Err(WalkError::PageFault { .. } | WalkError::NonCanonical { .. }) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

impl Walker<'_> {
    fn fault(&self, present: bool, reserved: bool) -> WalkError {
        let mut code = 0;
        if present {
            code |= PF_PRESENT;
        }
        if reserved {
            code |= PF_RESERVED;
        }
        if self.privilege == Privilege::User {
            code |= PF_USER;
        }
        match self.access {
            WalkAccess::Read => {}
            WalkAccess::Write => code |= PF_WRITE,
            WalkAccess::Fetch if self.fetch_is_reported() => code |= PF_FETCH,
            WalkAccess::Fetch => {}
        }
        WalkError::PageFault { gva: self.gva, code }
    }

    /// The fetch bit of the error code exists only where a fetch can be forbidden.
    fn fetch_is_reported(&self) -> bool {
        let wide = self.state.efer & EFER_LMA != 0 || self.state.cr4 & CR4_PAE != 0;
        (self.state.efer & EFER_NXE != 0 && wide) || self.state.cr4 & CR4_SMEP != 0
    }

    fn long_mode(&self, visit: &mut dyn FnMut(Step)) -> Result<Translation, WalkError> {
        let levels: u32 = if self.state.cr4 & CR4_LA57 != 0 { 5 } else { 4 };
        let unused = 64 - (12 + 9 * levels);
        if ((self.gva.0 << unused) as i64 >> unused) as u64 != self.gva.0 {
            return Err(WalkError::NonCanonical { gva: self.gva });
        }
        self.descend(Gpa(self.state.cr3 & PTE_ADDRESS), levels, visit)
    }

    fn pae(&self) -> Result<Translation, WalkError> {
        let gva = self.gva.0 & 0xffff_ffff;
        let table = self.state.cr3 & 0xffff_ffe0;
        let entry = self.mem.read_u64(Gpa(table + 8 * (gva >> 30)))?;
        if entry & PTE_P == 0 {
            return Err(self.fault(false, false));
        }
        // The top entries of PAE paging carry no rights.
        self.descend(Gpa(entry & PTE_ADDRESS), 2, &mut |_step| {})
    }

    /// Tables of 512 entries from `level` down; `visit` sees each entry.
    fn descend(&self, table: Gpa, level: u32, visit: &mut dyn FnMut(Step)) -> Result<Translation, WalkError> {
        let (mut table, mut gathered) = (table, Gathered::new());
        for level in (1..=level).rev() {
            let shift = 12 + 9 * (level - 1);
            let index = (self.gva.0 >> shift) & 511;
            let entry = self.mem.read_u64(Gpa(table.0 + 8 * index))?;
            visit(Step { table, index: index as usize, entry });
            if entry & PTE_P == 0 {
                return Err(self.fault(false, false));
            }
            if entry & reserved_bits(self.state, entry, level) != 0 {
                return Err(self.fault(true, true));
            }
            gathered.narrow(entry);
            if is_leaf(entry, level) {
                self.permit(&gathered)?;
                let size_mask = (1u64 << shift) - 1;
                let offset = self.gva.0 & size_mask;
                return Ok(Translation {
                    gpa: Gpa((entry & PTE_ADDRESS & !size_mask) | offset),
                    remaining: size_mask + 1 - offset,
                });
            }
            table = Gpa(entry & PTE_ADDRESS);
        }
        Err(self.fault(false, false))
    }

    /// Two levels of 1024 entries of 4 bytes.
    fn legacy(&self) -> Result<Translation, WalkError> {
        let gva = self.gva.0 & 0xffff_ffff;
        let mut gathered = Gathered::new();
        let directory = self.state.cr3 & 0xffff_f000;
        let top = u64::from(self.mem.read_u32(Gpa(directory + 4 * (gva >> 22)))?);
        if top & PTE_P == 0 {
            return Err(self.fault(false, false));
        }
        gathered.narrow(top);
        if top & PTE_PS != 0 && self.state.cr4 & CR4_PSE != 0 {
            if top & (1 << 21) != 0 {
                return Err(self.fault(true, true));
            }
            self.permit(&gathered)?;
            // PSE-36: bits 20 to 13 hold address bits 39 to 32.
            let base = (top & 0xffc0_0000) | ((top >> 13) & 0xff) << 32;
            let offset = gva & 0x3f_ffff;
            return Ok(Translation { gpa: Gpa(base | offset), remaining: 0x40_0000 - offset });
        }
        let table = top & 0xffff_f000;
        let leaf = u64::from(self.mem.read_u32(Gpa(table + 4 * ((gva >> 12) & 1023)))?);
        if leaf & PTE_P == 0 {
            return Err(self.fault(false, false));
        }
        gathered.narrow(leaf);
        self.permit(&gathered)?;
        let offset = gva & (PAGE_SIZE - 1);
        Ok(Translation { gpa: Gpa((leaf & 0xffff_f000) | offset), remaining: PAGE_SIZE - offset })
    }

    fn permit(&self, gathered: &Gathered) -> Result<(), WalkError> {
        let user = self.privilege == Privilege::User;
        let allowed = match self.access {
            WalkAccess::Fetch => {
                let smep = !user && gathered.user && self.state.cr4 & CR4_SMEP != 0;
                !gathered.no_execute && !smep && (!user || gathered.user)
            }
            WalkAccess::Read => self.data_allowed(gathered),
            WalkAccess::Write => {
                let protected = user || self.state.cr0 & CR0_WP != 0;
                self.data_allowed(gathered) && (gathered.writable || !protected)
            }
        };
        if allowed { Ok(()) } else { Err(self.fault(true, false)) }
    }

    fn data_allowed(&self, gathered: &Gathered) -> bool {
        match self.privilege {
            Privilege::User => gathered.user,
            Privilege::Supervisor => {
                let smap = self.state.cr4 & CR4_SMAP != 0 && !self.state.alignment_check;
                !(gathered.user && smap)
            }
        }
    }
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
