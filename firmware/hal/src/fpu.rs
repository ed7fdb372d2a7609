//! Guest FPU state. The monitor is soft-float, so the registers of the last vCPU stay in the processor and
//! are switched only when another vCPU takes its place.

use crate::cpu;
use alloc::boxed::Box;
use core::arch::asm;
use weft_x86defs::bits;

/// Room for any XSAVE area that this monitor enables, bytes.
const AREA: usize = 4096;

/// Offset of XSTATE_BV: the components that XRSTOR takes from the area; it makes the others initial (AMD64 manual
/// volume 2, section 11.5).
const XSTATE_BV: usize = 512;
/// Component of XSTATE_BV.
const X87: u8 = 1;

/// Saved extended state of one vCPU.
#[repr(C, align(64))]
struct Area([u8; AREA]);

impl Area {
    /// Leaves an initial x87 state out. QEMU's emulation always saves it, and where it loads a status word it writes
    /// into the first processor's flags, whatever that is doing (docs/monitor.md); to make it initial does not.
    fn leave_out_initial_x87(&mut self) {
        let control = self.0[..2] == 0x37fu16.to_le_bytes();
        // Status, tags (none), opcode, the two pointers; then the registers.
        if control && is_zero(&self.0[2..24]) && is_zero(&self.0[32..160]) {
            self.0[XSTATE_BV] &= !X87;
        }
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Extended state of a vCPU while another one has the processor.
pub struct FpuState {
    area: Box<Area>,
    xcr0: u64,
}

/// Asked once: it is wanted at every exit, and CPUID is slow.
fn has_xsave() -> bool {
    static THERE: spin::Once<bool> = spin::Once::new();
    *THERE.call_once(|| cpu::cpuid(1, 0).ecx & 1 << 26 != 0)
}

/// Prepares the calling CPU: SSE and XSAVE instructions on, so that guest state can be kept.
pub fn init() {
    let mut cr4 = bits::CR4_OSFXSR | bits::CR4_OSXMMEXCPT;
    if has_xsave() {
        cr4 |= bits::CR4_OSXSAVE;
    }
    // SAFETY: these bits enable instructions only; the monitor itself uses none of them outside this module.
    unsafe {
        asm!("mov {t}, cr4", "or {t}, {m}", "mov cr4, {t}", t = out(reg) _, m = in(reg) cr4, options(nostack));
        asm!("mov {t}, cr0", "and {t}, {m}", "mov cr0, {t}", t = out(reg) _, m = in(reg) !(bits::CR0_TS | bits::CR0_EM), options(nostack));
    }
}

/// State components that guests may enable here: those that the processor has and whose area fits.
pub fn supported_xcr0() -> u64 {
    if !has_xsave() {
        return 0;
    }
    let leaf = cpu::cpuid(0xd, 0);
    // x87, SSE, AVX, AVX-512; the others (MPX, PKRU, AMX) are not offered to guests.
    (u64::from(leaf.edx) << 32 | u64::from(leaf.eax)) & 0xe7
}

fn set_xcr0(value: u64) {
    // SAFETY: callers pass subsets of what the processor reported, x87 included.
    unsafe {
        asm!("xsetbv", in("ecx") 0, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nomem, nostack))
    };
}

fn get_xcr0() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: CR4.OSXSAVE is set (`init`).
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

impl FpuState {
    /// State after reset: x87 control word 0x37f, MXCSR 0x1f80, everything else zero.
    pub fn reset() -> Self {
        let mut area = Box::new(Area([0; AREA]));
        area.0[0..2].copy_from_slice(&0x37fu16.to_le_bytes());
        area.0[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
        // XSTATE_BV is 0: all is made initial; MXCSR comes from the area in any case.
        Self { area, xcr0: 1 }
    }

    /// Takes what the calling CPU's registers hold.
    pub fn save(&mut self) {
        let area = self.area.0.as_mut_ptr();
        if has_xsave() {
            self.xcr0 = get_xcr0() & supported_xcr0();
            let all = supported_xcr0();
            set_xcr0(all);
            // SAFETY: the area is 64-byte aligned and large enough for all enabled components.
            unsafe {
                asm!("xsave64 [{}]", in(reg) area, in("eax") all as u32, in("edx") (all >> 32) as u32, options(nostack))
            };
            self.area.leave_out_initial_x87();
        } else {
            // SAFETY: 16-byte aligned, 512 bytes.
            unsafe { asm!("fxsave64 [{}]", in(reg) area, options(nostack)) };
        }
    }

    /// Puts this state into the calling CPU's registers.
    pub fn restore(&self) {
        let area = self.area.0.as_ptr();
        if has_xsave() {
            let all = supported_xcr0();
            set_xcr0(all);
            // SAFETY: the area was written by `save` or `reset` and is well-formed.
            unsafe {
                asm!("xrstor64 [{}]", in(reg) area, in("eax") all as u32, in("edx") (all >> 32) as u32, options(nostack))
            };
            set_xcr0(self.xcr0);
        } else {
            // SAFETY: as above.
            unsafe { asm!("fxrstor64 [{}]", in(reg) area, options(nostack)) };
        }
    }

    /// XCR0 and the saved area, zeros at its end left out, for another node.
    pub fn area(&self) -> (u64, &[u8]) {
        let used = self.area.0.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        (self.xcr0, &self.area.0[..used])
    }

    /// State from another node's [`FpuState::area`]; `None` where this processor could not load it.
    pub fn from_area(xcr0: u64, area: &[u8]) -> Option<Self> {
        let mut state = Self::reset();
        state.area.0.fill(0);
        state.area.0.get_mut(..area.len())?.copy_from_slice(area);
        let word = |at: usize| u64::from_le_bytes(state.area.0[at..at + 8].try_into().unwrap_or([0; 8]));
        let mxcsr = word(24) as u32;
        // XRSTOR and FXRSTOR fault on reserved bits of MXCSR; XRSTOR on unknown components, on the compacted format and on
        // the rest of the header (AMD64 manual volume 4, XRSTOR).
        let header_is_plain = word(XSTATE_BV) & !supported_xcr0() == 0 && is_zero(&state.area.0[520..576]);
        let known = mxcsr & !0xffff == 0 && (header_is_plain || !has_xsave());
        let enabled = if has_xsave() { xcr0 & 1 == 1 && xcr0 & !supported_xcr0() == 0 } else { xcr0 == 1 };
        state.xcr0 = xcr0;
        (known && enabled).then_some(state)
    }

    /// XCR0 as the guest has set it, read from the processor; the vCPU must be the loaded one.
    pub fn live_xcr0() -> u64 {
        if has_xsave() { get_xcr0() } else { 1 }
    }

    /// Sets XCR0 for the loaded vCPU. The caller checked the value against what guests may have.
    pub fn set_live_xcr0(value: u64) {
        if has_xsave() && value & !supported_xcr0() == 0 && value & 1 == 1 {
            set_xcr0(value);
        }
    }
}
