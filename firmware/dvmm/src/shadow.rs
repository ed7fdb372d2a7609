//! What a guest needs beside its vCPUs and memory when its tables are shadowed: the tables of each vCPU, and who
//! watches which page.
//!
//! Locks, in the order in which they are taken: a vCPU's tables (with its hardware, by the processor that runs
//! it), the guest's nested tables, the tracker.

use crate::host_cpuid::ThisProcessor;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use spin::Mutex;
use weft_hal::frames::{self, TableFrames};
use weft_hal::guest_ram::{Backing, GuestRam, LARGE_SIZE};
use weft_hal::svm::{self, VcpuHardware};
use weft_paging::shadow::{Context, Counters, Pool, Shadow, Stamp, Tracker, WriteTracker};
use weft_paging::{NestedTables, PageSize, Rights};
use weft_platform::{Access, GuestMemory};
use weft_types::handoff::Handoff;
use weft_types::{Gpa, Hpa, PAGE_SIZE};
use weft_vmm::cpu::cpuid;
use weft_vmm::cpu::exits::{Env, Outcome};
use weft_vmm::cpu::shadow::{Roots, ShadowCpu};
use weft_vmm::machine::Machine;

/// Frames of each vCPU's tables.
const POOL_FRAMES: usize = 1024;
/// Frames of a vCPU that runs on another node.
const LEAST_FRAMES: usize = 16;
/// A vCPU that does not run cannot use an old translation.
const NOT_RUNNING: u64 = u64::MAX;

/// Who walks a guest's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paging {
    /// The processor: nested paging alone. Right for guests of one node.
    Nested,
    /// The monitor, into shadow tables over nested ones.
    Shadow,
}

static ALL: AtomicBool = AtomicBool::new(false);
static LATE: AtomicBool = AtomicBool::new(false);

/// `shadow=all` on the monitor's command line: shadow tables for every guest, to test them on one node;
/// `pages=late`: with pages that come and go, too.
pub(crate) fn configure(handoff: &Handoff) {
    let cmdline = handoff.cmdline.get(..usize::from(handoff.cmdline_len)).unwrap_or(&[]);
    let has = |option: &[u8]| cmdline.split(u8::is_ascii_whitespace).any(|word| word == option);
    LATE.store(has(b"pages=late"), Ordering::Release);
    ALL.store(has(b"shadow=all") || has(b"pages=late"), Ordering::Release);
}

/// What guests of one node get.
pub(crate) fn default_paging() -> Paging {
    if ALL.load(Ordering::Acquire) { Paging::Shadow } else { Paging::Nested }
}

/// Whether pages of guests of one node are to behave as if they were elsewhere.
pub(crate) fn pages_are_late() -> bool {
    LATE.load(Ordering::Acquire)
}

/// The nested tables, as a guest holds them.
pub(crate) type Tables = Mutex<Option<NestedTables>>;

/// Shadow paging of one guest.
pub(crate) struct ShadowPaging {
    cpus: Vec<Mutex<ShadowCpu>>,
    tracker: Mutex<WriteTracker>,
    /// Generation of the nested tables that each running vCPU has flushed for.
    running: Vec<AtomicU64>,
    frames: Mutex<Vec<Hpa>>,
    /// Where the frames appear to the processor, by their numbers.
    window: Gpa,
    roots: Roots,
    decode_assists: bool,
}

impl ShadowPaging {
    /// Tables for `vcpus` vCPUs, of which those that `runs_here` names get room. Gives the nested tables their
    /// window.
    pub(crate) fn new(
        nested: &mut NestedTables,
        vcpus: usize,
        runs_here: &dyn Fn(usize) -> bool,
    ) -> Result<Self, String> {
        let window = Gpa(1 << cpuid::physical_bits(&ThisProcessor));
        nested.add_window(&mut TableFrames, window).map_err(|e| e.to_string())?;
        let root = nested.window_root().ok_or("no window")?;
        let roots = Roots { plain: nested.root(), window: root };
        let assists = svm::features().is_ok_and(|f| f.decode_assists);
        let mut this = Self {
            cpus: Vec::new(),
            tracker: Mutex::new(WriteTracker::new(vcpus)),
            running: (0..vcpus).map(|_| AtomicU64::new(NOT_RUNNING)).collect(),
            frames: Mutex::new(Vec::new()),
            window,
            roots,
            decode_assists: assists,
        };
        for vcpu in 0..vcpus {
            let frames = if runs_here(vcpu) { POOL_FRAMES } else { LEAST_FRAMES };
            let cpu = this.tables_of(frames, nested)?;
            this.cpus.push(Mutex::new(cpu));
        }
        Ok(this)
    }

    /// Tables of one vCPU, of this many frames.
    fn tables_of(&self, count: usize, nested: &mut NestedTables) -> Result<ShadowCpu, String> {
        let mut taken = self.frames.lock();
        let first = taken.len();
        let base = Gpa(self.window.0 + first as u64 * PAGE_SIZE);
        for n in 0..count {
            let frame = frames::alloc().ok_or("no memory for shadow tables")?;
            taken.push(frame);
            let at = Gpa(base.0 + n as u64 * PAGE_SIZE);
            nested.map_in_window(&mut TableFrames, at, frame).map_err(|e| e.to_string())?;
        }
        let own = taken.get(first..).unwrap_or(&[]).to_vec();
        let pool = Pool::new(own, base).map_err(|e| e.to_string())?;
        Ok(ShadowCpu::new(Shadow::new(pool), self.roots, self.decode_assists))
    }

    /// Gives a vCPU that comes from another node tables of full size, kept when it leaves: it may come again.
    pub(crate) fn make_room(&self, index: usize, tables: &Tables) -> Result<(), String> {
        let mut cpu = self.cpus[index].lock();
        if cpu.tables().frames().1 >= POOL_FRAMES {
            return Ok(());
        }
        let mut guard = tables.lock();
        let nested = guard.as_mut().ok_or("the guest's tables are gone")?;
        *cpu = self.tables_of(POOL_FRAMES, nested)?;
        Ok(())
    }

    /// Takes a vCPU out: its registers are the guest's own again, and its tables forgotten.
    pub(crate) fn leave(
        &self,
        index: usize,
        hardware: &mut VcpuHardware,
        tables: &Tables,
        mem: &dyn GuestMemory,
    ) {
        let mut tracker = Watcher { shadow: self, tables, vcpu: index };
        let (vmcb, _gprs, mut store) = hardware.state_and_tables();
        let mut context = Context { store: &mut store, mem, tracker: &mut tracker };
        self.cpus[index].lock().leave(vmcb, &mut context);
    }

    /// Takes a vCPU's registers over as they were set: at power-on and at start-up.
    pub(crate) fn adopt(
        &self,
        index: usize,
        hardware: &mut VcpuHardware,
        tables: &Tables,
        mem: &dyn GuestMemory,
    ) {
        let mut tracker = Watcher { shadow: self, tables, vcpu: index };
        let (vmcb, _gprs, mut store) = hardware.state_and_tables();
        let mut context = Context { store: &mut store, mem, tracker: &mut tracker };
        self.cpus[index].lock().adopt(vmcb, &mut context);
    }

    /// Last step before an entry; the result is for [`VcpuHardware::run`], with the nested tables' generation.
    pub(crate) fn enter(
        &self,
        index: usize,
        hardware: &mut VcpuHardware,
        tables: &Tables,
        mem: &dyn GuestMemory,
    ) -> u64 {
        let mut tracker = Watcher { shadow: self, tables, vcpu: index };
        let (vmcb, _gprs, mut store) = hardware.state_and_tables();
        let mut context = Context { store: &mut store, mem, tracker: &mut tracker };
        let own = self.cpus[index].lock().enter(vmcb, &mut context);
        // Under the lock: whoever takes a right away after this sees that this vCPU runs.
        let guard = tables.lock();
        let nested = guard.as_ref().map_or(0, NestedTables::generation);
        self.running[index].store(nested, Ordering::SeqCst);
        own
    }

    /// The vCPU does not run any more.
    pub(crate) fn left(&self, index: usize) {
        self.running[index].store(NOT_RUNNING, Ordering::SeqCst);
    }

    /// Handles an exit that shadow tables cause; `None` for all others.
    pub(crate) fn exit(
        &self,
        index: usize,
        machine: &mut Machine,
        hardware: &mut VcpuHardware,
        env: Env<'_>,
        tables: &Tables,
    ) -> Option<Outcome> {
        let mut tracker = Watcher { shadow: self, tables, vcpu: index };
        let (vmcb, gprs, mut store) = hardware.state_and_tables();
        let mut context = Context { store: &mut store, mem: env.mem, tracker: &mut tracker };
        machine.handle_paging_exit(index, vmcb, gprs, env, &mut self.cpus[index].lock(), &mut context)
    }

    /// The guest's own CR3, where the processor's is another.
    pub(crate) fn guest_cr3(&self, index: usize) -> Option<u64> {
        self.cpus[index].lock().guest_cr3()
    }

    /// Maps the page behind an address, and with it what lies in the same 2 MiB of the guest's memory; with `alone`
    /// nothing but the page, and only for what was done.
    pub(crate) fn map(
        &self,
        gpa: Gpa,
        access: Access,
        alone: bool,
        tables: &Tables,
        ram: &GuestRam,
    ) -> Result<(), String> {
        let Some(backing) = ram.back(gpa) else {
            return Err(alloc::format!("the node has no memory left for {gpa:?}"));
        };
        let mut guard = tables.lock();
        let nested = guard.as_mut().ok_or("the guest's tables are gone")?;
        let mut tracker = self.tracker.lock();
        let (page, write) = (gpa.page(), access == Access::Write);
        if write {
            tracker.lose(page);
        }
        if let Some(leaf) = nested.query(&TableFrames, page) {
            if write && !leaf.rights.write {
                nested.protect(&mut TableFrames, page, Rights::ALL).map_err(|e| e.to_string())?;
            }
            return Ok(());
        }
        let mut map = |at: Gpa, hpa: Hpa| {
            let narrow = tracker.is_watched(at) || (alone && !write);
            let rights = if narrow { Rights::READ_ONLY } else { Rights::ALL };
            match nested.map(&mut TableFrames, at, hpa, PageSize::Small, rights) {
                Ok(()) | Err(weft_paging::MapError::Occupied { .. }) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        };
        match backing {
            Backing::Small(hpa) => map(page, hpa),
            Backing::Large(hpa) if alone => map(page, Hpa(hpa.0 + page.0 % LARGE_SIZE)),
            Backing::Large(hpa) => {
                let start = gpa.0 & !(LARGE_SIZE - 1);
                let mut pages = (0..LARGE_SIZE).step_by(PAGE_SIZE as usize);
                pages.try_for_each(|at| map(Gpa(start + at), Hpa(hpa.0 + at)))
            }
        }
    }

    /// What the tables of all vCPUs did.
    pub(crate) fn counters(&self) -> Vec<Counters> {
        self.cpus.iter().map(|cpu| cpu.lock().tables().counters()).collect()
    }

    /// Gives the frames back. The nested tables must not be used any more.
    pub(crate) fn free(&self) {
        for frame in self.frames.lock().drain(..) {
            frames::free(frame, 1);
        }
    }

    /// Whether a page must stay read-only though it may be written here.
    pub(crate) fn is_watched(&self, page: Gpa) -> bool {
        self.tracker.lock().is_watched(page)
    }

    /// A page was written by the monitor or taken away by another node: what was made from it counts as changed.
    pub(crate) fn lose(&self, page: Gpa) {
        self.tracker.lock().lose(page);
    }
}

/// The tracker, as one vCPU sees it.
struct Watcher<'a> {
    shadow: &'a ShadowPaging,
    tables: &'a Tables,
    vcpu: usize,
}

impl Tracker for Watcher<'_> {
    fn watch(&mut self, page: Gpa) -> Stamp {
        let mut guard = self.tables.lock();
        let Some(nested) = guard.as_mut() else { return Stamp(0) };
        let first = self.shadow.tracker.lock().watch(page, self.vcpu);
        if first && nested.query(&TableFrames, page).is_some_and(|leaf| leaf.rights.write) {
            let done = nested.protect(&mut TableFrames, page, Rights::READ_ONLY);
            assert!(done.is_ok(), "a leaf that was there");
        }
        Stamp(nested.generation())
    }

    fn settled(&self, stamp: Stamp) -> bool {
        let others = self.shadow.running.iter().enumerate().filter(|(vcpu, _)| *vcpu != self.vcpu);
        others.into_iter().all(|(_, seen)| seen.load(Ordering::SeqCst) >= stamp.0)
    }

    fn take_lost(&mut self) -> Option<Gpa> {
        self.shadow.tracker.lock().take_lost(self.vcpu)
    }

    fn release(&mut self) {
        self.shadow.tracker.lock().release(self.vcpu);
    }
}
