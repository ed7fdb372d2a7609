//! Memory of a guest that is on this node alone: frames on demand, mapped by nested tables.

use super::delay::Delay;
use crate::shadow::Tables;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use weft_hal::frames::TableFrames;
use weft_hal::guest_ram::{Backing, GuestRam, LARGE_SIZE};
use weft_paging::{MapError, NestedTables, PageSize, Rights};
use weft_platform::{Access, MemError};
use weft_types::{Gpa, PAGE_SIZE};
use weft_vmm::layout;

/// See the module.
pub(crate) struct Whole {
    ram: GuestRam,
    /// Where pages behave as if they were elsewhere.
    delay: Option<Delay>,
    tables: Arc<Tables>,
}

impl Whole {
    /// Memory of `bytes`, a multiple of 2 MiB, to be mapped in `tables`.
    pub(crate) fn new(bytes: u64, tables: Arc<Tables>) -> Self {
        let ranges = layout::ram(bytes).into_iter().filter(|r| r.end > r.start);
        let ram = GuestRam::new(ranges.map(|r| (r.start, r.end - r.start)).collect());
        Self { ram, delay: None, tables }
    }

    /// Lets the pages be late.
    pub(crate) fn set_delay(&mut self, delay: Delay) {
        self.delay = Some(delay);
    }

    /// Whether pages are late, and so come one by one.
    pub(crate) fn is_late(&self) -> bool {
        self.delay.is_some()
    }

    /// Pages that came late, and that were lost.
    pub(crate) fn late_counts(&self) -> Option<(u64, u64)> {
        self.delay.as_ref().map(Delay::counts)
    }

    /// Whether a page may be used now; if not, the waiter is parked.
    pub(crate) fn want(&self, waiter: u16, gpa: Gpa, access: Access) -> bool {
        self.delay.as_ref().is_none_or(|delay| delay.want(waiter, gpa, access))
    }

    /// Makes sure that all pages of an access may be used.
    pub(crate) fn hold(&self, waiter: u16, gpa: Gpa, bytes: usize, access: Access) -> Result<(), MemError> {
        if self.delay.is_none() {
            return Ok(());
        }
        let last = gpa.0.saturating_add(bytes as u64).saturating_sub(1);
        for page in (gpa.page().0..=last).step_by(PAGE_SIZE as usize) {
            if self.ram.contains(Gpa(page)) && !self.want(waiter, Gpa(page), access) {
                return Err(MemError::Need { gpa: Gpa(page), access });
            }
        }
        Ok(())
    }

    /// Lets late pages come and go.
    pub(crate) fn poll(&self) {
        if let Some(delay) = &self.delay {
            delay.poll();
        }
    }

    /// The bytes.
    pub(crate) fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// Counts removals from the nested tables.
    pub(crate) fn generation(&self) -> u64 {
        self.tables.lock().as_ref().map_or(0, NestedTables::generation)
    }

    /// Backs and maps a page.
    pub(crate) fn map(&self, gpa: Gpa) -> Result<(), String> {
        let Some(backing) = self.ram.back(gpa) else {
            return Err(alloc::format!("the node has no memory left for {gpa:?}"));
        };
        let mut guard = self.tables.lock();
        let tables = guard.as_mut().ok_or("the guest's tables are gone")?;
        let result = match backing {
            Backing::Large(hpa) => {
                let start = Gpa(gpa.0 & !(LARGE_SIZE - 1));
                tables.map(&mut TableFrames, start, hpa, PageSize::Large, Rights::ALL)
            }
            Backing::Small(hpa) => {
                tables.map(&mut TableFrames, gpa.page(), hpa, PageSize::Small, Rights::ALL)
            }
        };
        match result {
            // Another vCPU was faster.
            Ok(()) | Err(MapError::Occupied { .. }) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}
