//! AMD SVM: enabling it, the permission maps, and the world switch. APM volume 2, chapter 15.
//!
//! A guest runs between CLGI and STGI with the host's IF set, so that a physical interrupt ends it and is
//! taken afterwards, in the CPU's own loop.

use crate::fpu::FpuState;
use crate::{cpu, frames, phys};
use alloc::boxed::Box;
use core::arch::naked_asm;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use weft_platform::FrameStore;
use weft_types::Hpa;
use weft_x86defs::vmcb::Vmcb;
use weft_x86defs::{Gprs, bits, msr};

/// What this processor's SVM offers (CPUID 8000_000A).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Nested paging: without it this monitor does not run guests.
    pub nested_paging: bool,
    /// Next RIP is saved at exits.
    pub next_rip: bool,
    /// Flush by ASID.
    pub flush_by_asid: bool,
    /// Decode assists.
    pub decode_assists: bool,
    /// TSC ratio.
    pub tsc_ratio: bool,
    /// PAUSE filter.
    pub pause_filter: bool,
    /// VMCB clean bits.
    pub clean_bits: bool,
    /// Number of ASIDs.
    pub asids: u32,
}

impl Features {
    /// Names of what is there, as inventories show them.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.nested_paging, "npt"),
            (self.next_rip, "nrips"),
            (self.flush_by_asid, "flushbyasid"),
            (self.decode_assists, "decodeassists"),
            (self.tsc_ratio, "tscratio"),
            (self.pause_filter, "pausefilter"),
            (self.clean_bits, "vmcbclean"),
        ]
        .into_iter()
        .filter_map(|(there, name)| there.then_some(name))
    }
}

/// Why SVM cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SvmError {
    /// The processor has none.
    Absent,
    /// The firmware locked it out (VM_CR.SVMDIS).
    Disabled,
    /// No nested paging.
    NoNestedPaging,
    /// No memory for the save areas.
    Memory,
}

impl core::fmt::Display for SvmError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Absent => "the processor has no SVM",
            Self::Disabled => {
                "SVM is disabled by the firmware: enable it (\"SVM\" or \"AMD-V\") in the set-up"
            }
            Self::NoNestedPaging => "the processor has no nested paging",
            Self::Memory => "no memory for the SVM save areas",
        })
    }
}

/// Host state that VMLOAD puts back, per CPU.
static HOST_AREA: [AtomicU64; crate::desc::MAX_CPUS] = [const { AtomicU64::new(0) }; crate::desc::MAX_CPUS];
/// The vCPU whose extended state is in the registers, per CPU (0 none).
static LOADED: [AtomicUsize; crate::desc::MAX_CPUS] = [const { AtomicUsize::new(0) }; crate::desc::MAX_CPUS];
/// What TSC_AUX holds, per CPU.
static TSC_AUX: [AtomicU32; crate::desc::MAX_CPUS] = [const { AtomicU32::new(0) }; crate::desc::MAX_CPUS];
static NEXT_ASID: AtomicU32 = AtomicU32::new(1);
static NEXT_NUMBER: AtomicUsize = AtomicUsize::new(1);
static MAPS: spin::Once<Option<(Hpa, Hpa)>> = spin::Once::new();

/// What the processor offers.
pub fn features() -> Result<Features, SvmError> {
    if cpu::cpuid(0x8000_0000, 0).eax < 0x8000_000a || cpu::cpuid(0x8000_0001, 0).ecx & 4 == 0 {
        return Err(SvmError::Absent);
    }
    let leaf = cpu::cpuid(0x8000_000a, 0);
    let bit = |n: u32| leaf.edx & 1 << n != 0;
    Ok(Features {
        nested_paging: bit(0),
        next_rip: bit(3),
        tsc_ratio: bit(4),
        clean_bits: bit(5),
        flush_by_asid: bit(6),
        decode_assists: bit(7),
        pause_filter: bit(10),
        asids: leaf.ebx,
    })
}

/// Turns SVM on for the calling CPU. `pass_through` are the MSRs that guests reach directly.
pub fn init(pass_through: &[u32]) -> Result<Features, SvmError> {
    let features = features()?;
    if !features.nested_paging {
        return Err(SvmError::NoNestedPaging);
    }
    // SAFETY: VM_CR exists where SVM does.
    if unsafe { cpu::rdmsr(msr::VM_CR) } & 1 << 4 != 0 {
        return Err(SvmError::Disabled);
    }
    maps(pass_through).ok_or(SvmError::Memory)?;
    let save = frames::alloc().ok_or(SvmError::Memory)?;
    let host = frames::alloc().ok_or(SvmError::Memory)?;
    // SAFETY: SVM is there and not locked; both frames are this CPU's for ever.
    unsafe {
        cpu::wrmsr(msr::EFER, cpu::rdmsr(msr::EFER) | bits::EFER_SVME);
        cpu::wrmsr(msr::VM_HSAVE_PA, save.0);
        core::arch::asm!("vmsave rax", in("rax") host.0, options(nostack));
    }
    HOST_AREA[cpu::index()].store(host.0, Ordering::Relaxed);
    Ok(features)
}

/// Has the calling CPU look once more for interrupts that wait, before it sleeps: sets the global interrupt flag and writes
/// the task priority. QEMU's emulation may lose what the first processor writes to the flag, and the wish of an
/// interrupt that arrives during VMRUN (docs/monitor.md); a sleep would have no end. Nothing where SVM is off.
pub fn before_sleep() {
    if HOST_AREA[cpu::index()].load(Ordering::Relaxed) != 0 {
        // SAFETY: SVM is on for this CPU; outside of `world_switch` the flag is set and the priority is 0 anyway.
        unsafe { core::arch::asm!("stgi", "mov cr8, {}", in(reg) 0u64, options(nomem, nostack)) };
    }
}

/// The I/O map (every port exits) and the MSR map (every MSR exits but those of the list).
fn maps(pass_through: &[u32]) -> Option<(Hpa, Hpa)> {
    *MAPS.call_once(|| {
        let io = frames::alloc_run(3, 1, u64::MAX)?;
        let msrs = frames::alloc_run(2, 1, u64::MAX)?;
        // SAFETY: fresh frames of the sizes that APM 15.10.1 and 15.11 ask for.
        unsafe {
            core::ptr::write_bytes(phys::pointer(io), 0xff, 3 * 4096);
            core::ptr::write_bytes(phys::pointer(msrs), 0xff, 2 * 4096);
        }
        for number in pass_through {
            let (block, base) = match *number {
                0..=0x1fff => (0, 0),
                0xc000_0000..=0xc000_1fff => (0x800, 0xc000_0000),
                0xc001_0000..=0xc001_1fff => (0x1000, 0xc001_0000),
                _outside_of_the_map => continue,
            };
            let bit = (number - base) * 2;
            let byte = phys::pointer(Hpa(msrs.0 + block + u64::from(bit / 8)));
            // SAFETY: within the 8 KiB map by the ranges above.
            unsafe { *byte &= !(3 << (bit % 8)) };
        }
        Some((io, msrs))
    })
}

/// Asked once: CPUID is slow, above all where this monitor is itself a guest.
fn has_tsc_aux() -> bool {
    static THERE: spin::Once<bool> = spin::Once::new();
    *THERE.call_once(|| cpu::cpuid(0x8000_0001, 0).edx & 1 << 27 != 0)
}

/// Frames of shadow tables, as entries are written: each that takes something away is counted, so that a run
/// without a flush in between is a defect that shows at once, on any processor.
pub struct ShadowFrames<'a> {
    narrowed: &'a mut u64,
}

impl FrameStore for ShadowFrames<'_> {
    fn alloc(&mut self) -> Option<Hpa> {
        frames::TableFrames.alloc()
    }

    fn free(&mut self, frame: Hpa) {
        frames::TableFrames.free(frame);
    }

    fn entry(&self, frame: Hpa, index: usize) -> u64 {
        frames::TableFrames.entry(frame, index)
    }

    fn set_entry(&mut self, frame: Hpa, index: usize, value: u64) {
        let old = self.entry(frame, index);
        let grants = bits::PTE_P | bits::PTE_W | bits::PTE_U;
        let other = !(grants | bits::PTE_A | bits::PTE_D | bits::PTE_NX);
        let taken = old & !value & grants | value & !old & bits::PTE_NX | (old ^ value) & other;
        if old & bits::PTE_P != 0 && taken != 0 {
            *self.narrowed += 1;
        }
        frames::TableFrames.set_entry(frame, index, value);
    }
}

/// A vCPU's hardware half: its VMCB, its registers, its extended state.
pub struct VcpuHardware {
    vmcb: Box<Vmcb>,
    /// General registers but rax and rsp.
    pub gprs: Gprs,
    fpu: FpuState,
    number: usize,
    last_cpu: usize,
    seen_generation: u64,
    flush: bool,
    /// Entries of shadow tables that were narrowed, and how many of them the last flush covered.
    narrowed: u64,
    narrowed_flushed: u64,
    tsc_aux: u32,
    /// DR0–DR3, which the VMCB does not hold.
    debug: [u64; 4],
}

impl VcpuHardware {
    /// A vCPU with a zeroed VMCB but for the permission maps and an ASID.
    pub fn new() -> Self {
        let mut vmcb = Box::new(Vmcb::zeroed());
        if let Some(Some((io, msrs))) = MAPS.get() {
            vmcb.control.iopm_base = io.0;
            vmcb.control.msrpm_base = msrs.0;
        }
        let asids = features().map_or(2, |f| f.asids).max(2);
        vmcb.control.asid = NEXT_ASID.fetch_add(1, Ordering::Relaxed) % (asids - 1) + 1;
        Self {
            vmcb,
            gprs: Gprs::default(),
            fpu: FpuState::reset(),
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            last_cpu: usize::MAX,
            seen_generation: u64::MAX,
            flush: true,
            narrowed: 0,
            narrowed_flushed: 0,
            tsc_aux: 0,
            debug: [0; 4],
        }
    }

    /// The VMCB and the registers, for the code that decides.
    pub fn state(&mut self) -> (&mut Vmcb, &mut Gprs) {
        (&mut self.vmcb, &mut self.gprs)
    }

    /// The same, and the store through which this vCPU's shadow tables are written.
    pub fn state_and_tables(&mut self) -> (&mut Vmcb, &mut Gprs, ShadowFrames<'_>) {
        (&mut self.vmcb, &mut self.gprs, ShadowFrames { narrowed: &mut self.narrowed })
    }

    /// The VMCB, the general registers, and DR0 to DR3, of a vCPU that no processor has loaded.
    pub fn registers(&mut self) -> (&mut Vmcb, &mut Gprs, &mut [u64; 4]) {
        (&mut self.vmcb, &mut self.gprs, &mut self.debug)
    }

    /// XCR0 and extended state of a vCPU that no processor has loaded.
    pub fn extended(&self) -> (u64, &[u8]) {
        self.fpu.area()
    }

    /// Takes over extended state from another node; `false` where this processor could not load it.
    pub fn set_extended(&mut self, xcr0: u64, area: &[u8]) -> bool {
        match FpuState::from_area(xcr0, area) {
            Some(state) => {
                self.fpu = state;
                true
            }
            None => false,
        }
    }

    /// Asks for a flush of this guest's translations before the next entry.
    pub fn flush(&mut self) {
        self.flush = true;
    }

    /// Sets TSC_AUX, which the VMCB does not hold.
    pub fn set_tsc_aux(&mut self, value: u32) {
        self.tsc_aux = value;
    }

    /// Puts the extended state back to that of a reset.
    pub fn reset_fpu(&mut self) {
        self.unload();
        self.fpu = FpuState::reset();
    }

    /// Takes the extended state out of the registers if it is there. Must run on the CPU that ran it last
    /// before another CPU may run this vCPU.
    pub fn unload(&mut self) {
        let here = &LOADED[cpu::index()];
        if here.load(Ordering::Relaxed) == self.number {
            self.fpu.save();
            self.debug = read_debug();
            here.store(0, Ordering::Relaxed);
        }
    }

    /// Makes this vCPU's extended state the loaded one. The state of the one before must have been taken
    /// out by [`VcpuHardware::unload`]; a CPU's loop does so when it changes vCPUs.
    pub fn load(&mut self) {
        let here = &LOADED[cpu::index()];
        let before = here.load(Ordering::Relaxed);
        if before != self.number {
            assert!(before == 0, "extended state of another vCPU would be lost");
            self.fpu.restore();
            write_debug(self.debug);
            here.store(self.number, Ordering::Relaxed);
        }
    }

    /// Runs the guest until it exits. `generation` counts removals from its nested tables and, where it has them,
    /// its shadow tables.
    pub fn run(&mut self, generation: u64) {
        let cpu = cpu::index();
        assert!(LOADED[cpu].load(Ordering::Relaxed) == self.number, "vCPU not loaded");
        if cpu != self.last_cpu || generation != self.seen_generation || self.flush {
            self.last_cpu = cpu;
            self.seen_generation = generation;
            self.flush = false;
            self.narrowed_flushed = self.narrowed;
            self.vmcb.control.tlb_control = 1;
        } else {
            // The emulator flushes at every exit and would never show a flush that is missing here.
            assert!(self.narrowed_flushed == self.narrowed, "shadow tables were narrowed without a flush");
            self.vmcb.control.tlb_control = 0;
        }
        if has_tsc_aux() && TSC_AUX[cpu].swap(self.tsc_aux, Ordering::Relaxed) != self.tsc_aux {
            // SAFETY: CPUID says that RDTSCP, and with it TSC_AUX, is there; the monitor does not use it.
            unsafe { cpu::wrmsr(msr::TSC_AUX, u64::from(self.tsc_aux)) };
        }
        let vmcb = phys::address_of((&raw const *self.vmcb).cast(), Hpa(0));
        let host = HOST_AREA[cpu].load(Ordering::Relaxed);
        assert!(host != 0, "SVM is not on");
        // SAFETY: SVM is on; the VMCB is a page of the heap in the physical map and stays in place (boxed);
        // nested tables, which only map this guest's frames, bound what the guest reaches; the switch puts
        // back every host register, GS included (rule C).
        unsafe { world_switch(vmcb.0, &raw mut self.gprs, host) };
    }

    /// Whether the last exit left the monitor's own state where the guest's should be. No processor should do that; an
    /// emulator was seen to. The guest's state is gone then.
    pub fn is_overwritten(&self) -> bool {
        let own = phys::address_of((&raw const *self.vmcb).cast(), Hpa(0));
        self.vmcb.save.idtr.base == crate::desc::idt_base() && self.vmcb.save.rax == own.0
    }

    /// Enters the guest `count` times by nothing but VMRUN: what the processor itself asks for. Meant for
    /// guests whose first instruction is intercepted; what others do to the registers is lost.
    pub fn enter_bare(&mut self, count: u32) {
        let cpu = cpu::index();
        assert!(LOADED[cpu].load(Ordering::Relaxed) == self.number, "vCPU not loaded");
        let vmcb = phys::address_of((&raw const *self.vmcb).cast(), Hpa(0));
        let host = HOST_AREA[cpu].load(Ordering::Relaxed);
        assert!(host != 0, "SVM is not on");
        // SAFETY: as for `run`: the nested tables bound the guest; every register that it may change is kept
        // on the stack, named as lost, or put back by VMLOAD (GS included). Interrupts stay off.
        unsafe {
            core::arch::asm!(
                "push rbx", "push rbp", "push rdx", "push rcx",
                "clgi",
                "2:",
                "vmrun rax",
                "dec qword ptr [rsp]",
                "jnz 2b",
                "mov rax, [rsp + 8]",
                "vmload rax",
                "stgi",
                "add rsp, 16",
                "pop rbp", "pop rbx",
                inout("rax") vmcb.0 => _,
                inout("rcx") u64::from(count.max(1)) => _,
                inout("rdx") host => _,
                out("rsi") _, out("rdi") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
                out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            );
        }
    }
}

impl Default for VcpuHardware {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for VcpuHardware {
    fn drop(&mut self) {
        for loaded in &LOADED {
            // Its state is not wanted any more, wherever it was loaded.
            let _ = loaded.compare_exchange(self.number, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

fn read_debug() -> [u64; 4] {
    let (a, b, c, d);
    // SAFETY: reading debug registers has no effect; the monitor does not use them.
    unsafe {
        core::arch::asm!("mov {}, dr0", "mov {}, dr1", "mov {}, dr2", "mov {}, dr3", out(reg) a, out(reg) b, out(reg) c, out(reg) d, options(nomem, nostack));
    }
    [a, b, c, d]
}

fn write_debug([a, b, c, d]: [u64; 4]) {
    // SAFETY: the host's DR7 enables none of them: they matter to the guest alone.
    unsafe {
        core::arch::asm!("mov dr0, {}", "mov dr1, {}", "mov dr2, {}", "mov dr3, {}", in(reg) a, in(reg) b, in(reg) c, in(reg) d, options(nomem, nostack));
    }
}

/// Saves the host's callee-saved registers, loads the guest's, runs it, and the same back.
///
/// # Safety
/// `vmcb` and `host` are physical addresses of a complete VMCB and of this CPU's host area.
#[unsafe(naked)]
unsafe extern "sysv64" fn world_switch(vmcb: u64, gprs: *mut Gprs, host: u64) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rdx",
        "push rsi",
        "mov rax, rdi",
        "mov rcx, [rsi + 8]",
        "mov rdx, [rsi + 16]",
        "mov rbx, [rsi + 24]",
        "mov rbp, [rsi + 40]",
        "mov rdi, [rsi + 56]",
        "mov r8, [rsi + 64]",
        "mov r9, [rsi + 72]",
        "mov r10, [rsi + 80]",
        "mov r11, [rsi + 88]",
        "mov r12, [rsi + 96]",
        "mov r13, [rsi + 104]",
        "mov r14, [rsi + 112]",
        "mov r15, [rsi + 120]",
        "mov rsi, [rsi + 48]",
        "clgi",
        "sti",
        "vmload rax",
        "vmrun rax",
        "vmsave rax",
        "push rsi",
        "mov rsi, [rsp + 8]",
        "mov [rsi + 8], rcx",
        "mov [rsi + 16], rdx",
        "mov [rsi + 24], rbx",
        "mov [rsi + 40], rbp",
        "mov [rsi + 56], rdi",
        "mov [rsi + 64], r8",
        "mov [rsi + 72], r9",
        "mov [rsi + 80], r10",
        "mov [rsi + 88], r11",
        "mov [rsi + 96], r12",
        "mov [rsi + 104], r13",
        "mov [rsi + 112], r14",
        "mov [rsi + 120], r15",
        "pop rcx",
        "mov [rsi + 48], rcx",
        "mov rax, [rsp + 8]",
        "vmload rax",
        "cli",
        "stgi",
        "pop rsi",
        "pop rdx",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}
