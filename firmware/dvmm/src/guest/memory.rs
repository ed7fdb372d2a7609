//! A guest's memory on this node: all of it ([`Whole`]), or the pages of a server that spans nodes which happen
//! to be here ([`Member`](super::member::Member)).

use super::member::Member;
use super::whole::Whole;
use crate::shadow::ShadowPaging;
use alloc::string::String;
use weft_platform::{Access, GuestMemory, MemError};
use weft_types::{Gpa, PAGE_SIZE};

/// Who waits for pages on behalf of devices and messages; vCPUs wait under their own numbers.
pub(crate) const DEVICES: u16 = 250;

/// See the module.
pub(crate) enum Memory {
    /// All pages are here.
    Whole(Whole),
    /// Pages come and go.
    Spanning(Member),
}

/// What became of a page that the guest touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touched {
    /// It is mapped: the instruction can run again.
    Mapped,
    /// It is elsewhere and was asked for: the vCPU is parked.
    Parked,
}

impl Memory {
    /// Counts removals from the nested tables.
    pub(crate) fn generation(&self) -> u64 {
        match self {
            Self::Whole(whole) => whole.generation(),
            Self::Spanning(member) => member.generation(),
        }
    }

    /// Lets a vCPU reach a page that it touched.
    pub(crate) fn touch(&self, vcpu: usize, gpa: Gpa, access: Access) -> Result<Touched, String> {
        match self {
            Self::Whole(whole) => whole.map(gpa).map(|()| Touched::Mapped),
            Self::Spanning(member) => member.touch(vcpu, gpa, access),
        }
    }

    /// The memory as `waiter` (a vCPU's number, or [`DEVICES`]) reaches it.
    pub(crate) fn view<'a>(&'a self, waiter: u16, shadow: Option<&'a ShadowPaging>) -> View<'a> {
        View { memory: self, waiter, shadow }
    }

    /// The instruction for which a vCPU asked for pages is done.
    pub(crate) fn retired(&self, waiter: u16) {
        match self {
            Self::Whole(_) => {}
            Self::Spanning(member) => member.retired(waiter),
        }
    }

    /// Bytes of the node that it takes.
    pub(crate) fn taken(&self) -> u64 {
        match self {
            Self::Whole(whole) => whole.ram().given(),
            Self::Spanning(member) => member.taken(),
        }
    }

    /// The node's part of a server that spans nodes.
    pub(crate) fn member(&self) -> Option<&Member> {
        match self {
            Self::Whole(_) => None,
            Self::Spanning(member) => Some(member),
        }
    }
}

/// Guest memory on behalf of somebody. A page that is elsewhere is asked for at once: the caller only has to
/// park its operation.
///
/// What it writes is told to those who watch the guest's tables.
pub(crate) struct View<'a> {
    memory: &'a Memory,
    waiter: u16,
    shadow: Option<&'a ShadowPaging>,
}

impl GuestMemory for View<'_> {
    fn read(&self, gpa: Gpa, out: &mut [u8]) -> Result<(), MemError> {
        match self.memory {
            Memory::Whole(whole) => {
                whole.hold(self.waiter, gpa, out.len(), Access::Read)?;
                whole.ram().read(gpa, out)
            }
            Memory::Spanning(member) => member.read(self.waiter, gpa, out),
        }
    }

    fn write(&self, gpa: Gpa, data: &[u8]) -> Result<(), MemError> {
        match self.memory {
            Memory::Whole(whole) => {
                whole.hold(self.waiter, gpa, data.len(), Access::Write)?;
                whole.ram().write(gpa, data)?;
            }
            Memory::Spanning(member) => member.write(self.waiter, gpa, data)?,
        }
        if let Some(shadow) = self.shadow {
            // After the write: whoever reads before hears of it, whoever reads later sees it.
            let last = gpa.0.saturating_add(data.len() as u64).saturating_sub(1);
            (gpa.page().0..=last).step_by(PAGE_SIZE as usize).for_each(|page| shadow.lose(Gpa(page)));
        }
        Ok(())
    }

    /// Only the marking of table entries as accessed and dirty comes here: it takes nothing away from anybody, and
    /// so is not told.
    fn compare_exchange_u64(&self, gpa: Gpa, old: u64, new: u64) -> Result<u64, MemError> {
        match self.memory {
            Memory::Whole(whole) => {
                whole.hold(self.waiter, gpa, 8, Access::Write)?;
                whole.ram().compare_exchange_u64(gpa, old, new)
            }
            Memory::Spanning(member) => member.compare_exchange(self.waiter, gpa, old, new),
        }
    }
}
