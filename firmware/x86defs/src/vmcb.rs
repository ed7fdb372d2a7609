//! The virtual machine control block. APM volume 2, appendix B.

use core::mem::{offset_of, size_of};

/// Control area (APM table B-1).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Control {
    /// Bits 15:0 reads of CR0–15, 31:16 writes.
    pub intercept_cr: u32,
    /// Bits 15:0 reads of DR0–15, 31:16 writes.
    pub intercept_dr: u32,
    /// One bit an exception vector.
    pub intercept_exceptions: u32,
    /// `INTERCEPT1_*`.
    pub intercept1: u32,
    /// `INTERCEPT2_*`.
    pub intercept2: u32,
    /// `INTERCEPT3_*`.
    pub intercept3: u32,
    reserved_018: [u8; 0x03c - 0x018],
    /// PAUSE filter: cycles between PAUSEs that still count as one loop.
    pub pause_filter_threshold: u16,
    /// PAUSE filter: PAUSEs before an exit.
    pub pause_filter_count: u16,
    /// Physical address of the I/O permission map (12 KiB).
    pub iopm_base: u64,
    /// Physical address of the MSR permission map (8 KiB).
    pub msrpm_base: u64,
    /// Added to the TSC that the guest reads.
    pub tsc_offset: u64,
    /// Guest ASID, not 0.
    pub asid: u32,
    /// 0 nothing, 1 flush all, 3 flush this guest, 7 flush this guest's non-global.
    pub tlb_control: u8,
    reserved_05d: [u8; 3],
    /// `VINTR_*`, virtual TPR in bits 7:0.
    pub vintr: u64,
    /// Bit 0 interrupt shadow; bit 1 guest interrupt mask.
    pub interrupt_shadow: u64,
    /// Why the guest stopped: [`crate::exit`].
    pub exit_code: u64,
    /// First detail.
    pub exit_info1: u64,
    /// Second detail.
    pub exit_info2: u64,
    /// Event whose delivery was cut off, valid with bit 31.
    pub exit_int_info: u64,
    /// Bit 0: nested paging.
    pub np_enable: u64,
    /// AVIC APIC BAR.
    pub avic_apic_bar: u64,
    /// GHCB (SEV-ES), unused.
    pub ghcb: u64,
    /// Event to inject, valid with bit 31.
    pub event_inj: u64,
    /// Nested root table.
    pub n_cr3: u64,
    /// Bit 0 LBR virtualisation, bit 1 virtual VMLOAD/VMSAVE.
    pub lbr_virt: u64,
    /// Clean bits: a set bit promises that the field group did not change since the last exit.
    pub clean: u32,
    reserved_0c4: u32,
    /// Next RIP, where the processor has NRIP save; else 0.
    pub next_rip: u64,
    /// Bytes that decode assists fetched; 0 without them.
    pub fetched: u8,
    /// Those bytes.
    pub fetched_bytes: [u8; 15],
    reserved_0e0: [u8; 0x400 - 0x0e0],
}

/// A segment register as saved. `attrib` is the descriptor's bits 55:52 and 47:40 packed in 12 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Segment {
    /// Selector.
    pub selector: u16,
    /// Packed attributes.
    pub attrib: u16,
    /// Limit, bytes.
    pub limit: u32,
    /// Base.
    pub base: u64,
}

/// State save area (APM table B-2).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Save {
    /// ES.
    pub es: Segment,
    /// CS.
    pub cs: Segment,
    /// SS.
    pub ss: Segment,
    /// DS.
    pub ds: Segment,
    /// FS.
    pub fs: Segment,
    /// GS.
    pub gs: Segment,
    /// GDTR.
    pub gdtr: Segment,
    /// LDTR.
    pub ldtr: Segment,
    /// IDTR.
    pub idtr: Segment,
    /// TR.
    pub tr: Segment,
    reserved_0a0: [u8; 0x0cb - 0x0a0],
    /// Current privilege level.
    pub cpl: u8,
    reserved_0cc: u32,
    /// EFER; SVME must stay set.
    pub efer: u64,
    reserved_0d8: [u8; 0x148 - 0x0d8],
    /// CR4.
    pub cr4: u64,
    /// CR3.
    pub cr3: u64,
    /// CR0.
    pub cr0: u64,
    /// DR7.
    pub dr7: u64,
    /// DR6.
    pub dr6: u64,
    /// RFLAGS.
    pub rflags: u64,
    /// RIP.
    pub rip: u64,
    reserved_180: [u8; 0x1d8 - 0x180],
    /// RSP.
    pub rsp: u64,
    reserved_1e0: [u8; 0x1f8 - 0x1e0],
    /// RAX.
    pub rax: u64,
    /// STAR.
    pub star: u64,
    /// LSTAR.
    pub lstar: u64,
    /// CSTAR.
    pub cstar: u64,
    /// SFMASK.
    pub sfmask: u64,
    /// KernelGSBase.
    pub kernel_gs_base: u64,
    /// SYSENTER_CS.
    pub sysenter_cs: u64,
    /// SYSENTER_ESP.
    pub sysenter_esp: u64,
    /// SYSENTER_EIP.
    pub sysenter_eip: u64,
    /// CR2.
    pub cr2: u64,
    reserved_248: [u8; 0x268 - 0x248],
    /// Guest PAT, used with nested paging.
    pub g_pat: u64,
    /// DebugCtl.
    pub dbgctl: u64,
    reserved_278: [u8; 0xc00 - 0x278],
}

/// The whole block: one page, at a page boundary.
#[derive(Clone, Copy)]
#[repr(C, align(4096))]
pub struct Vmcb {
    /// Control area.
    pub control: Control,
    /// Save area.
    pub save: Save,
}

impl Control {
    const ZERO: Self = Self {
        intercept_cr: 0,
        intercept_dr: 0,
        intercept_exceptions: 0,
        intercept1: 0,
        intercept2: 0,
        intercept3: 0,
        reserved_018: [0; 0x03c - 0x018],
        pause_filter_threshold: 0,
        pause_filter_count: 0,
        iopm_base: 0,
        msrpm_base: 0,
        tsc_offset: 0,
        asid: 0,
        tlb_control: 0,
        reserved_05d: [0; 3],
        vintr: 0,
        interrupt_shadow: 0,
        exit_code: 0,
        exit_info1: 0,
        exit_info2: 0,
        exit_int_info: 0,
        np_enable: 0,
        avic_apic_bar: 0,
        ghcb: 0,
        event_inj: 0,
        n_cr3: 0,
        lbr_virt: 0,
        clean: 0,
        reserved_0c4: 0,
        next_rip: 0,
        fetched: 0,
        fetched_bytes: [0; 15],
        reserved_0e0: [0; 0x400 - 0x0e0],
    };
}

impl Save {
    const ZERO: Self = Self {
        es: NO_SEGMENT,
        cs: NO_SEGMENT,
        ss: NO_SEGMENT,
        ds: NO_SEGMENT,
        fs: NO_SEGMENT,
        gs: NO_SEGMENT,
        gdtr: NO_SEGMENT,
        ldtr: NO_SEGMENT,
        idtr: NO_SEGMENT,
        tr: NO_SEGMENT,
        reserved_0a0: [0; 0x0cb - 0x0a0],
        cpl: 0,
        reserved_0cc: 0,
        efer: 0,
        reserved_0d8: [0; 0x148 - 0x0d8],
        cr4: 0,
        cr3: 0,
        cr0: 0,
        dr7: 0,
        dr6: 0,
        rflags: 0,
        rip: 0,
        reserved_180: [0; 0x1d8 - 0x180],
        rsp: 0,
        reserved_1e0: [0; 0x1f8 - 0x1e0],
        rax: 0,
        star: 0,
        lstar: 0,
        cstar: 0,
        sfmask: 0,
        kernel_gs_base: 0,
        sysenter_cs: 0,
        sysenter_esp: 0,
        sysenter_eip: 0,
        cr2: 0,
        reserved_248: [0; 0x268 - 0x248],
        g_pat: 0,
        dbgctl: 0,
        reserved_278: [0; 0xc00 - 0x278],
    };
}

const NO_SEGMENT: Segment = Segment { selector: 0, attrib: 0, limit: 0, base: 0 };

impl Vmcb {
    /// A block of zeros.
    pub const fn zeroed() -> Self {
        Self { control: Control::ZERO, save: Save::ZERO }
    }
}

const _: () = {
    assert!(size_of::<Vmcb>() == 4096);
    assert!(size_of::<Control>() == 0x400);
    assert!(offset_of!(Control, pause_filter_threshold) == 0x3c);
    assert!(offset_of!(Control, iopm_base) == 0x40);
    assert!(offset_of!(Control, asid) == 0x58);
    assert!(offset_of!(Control, vintr) == 0x60);
    assert!(offset_of!(Control, exit_code) == 0x70);
    assert!(offset_of!(Control, np_enable) == 0x90);
    assert!(offset_of!(Control, event_inj) == 0xa8);
    assert!(offset_of!(Control, n_cr3) == 0xb0);
    assert!(offset_of!(Control, clean) == 0xc0);
    assert!(offset_of!(Control, next_rip) == 0xc8);
    assert!(offset_of!(Save, cpl) == 0xcb);
    assert!(offset_of!(Save, efer) == 0xd0);
    assert!(offset_of!(Save, cr4) == 0x148);
    assert!(offset_of!(Save, rip) == 0x178);
    assert!(offset_of!(Save, rsp) == 0x1d8);
    assert!(offset_of!(Save, rax) == 0x1f8);
    assert!(offset_of!(Save, cr2) == 0x240);
    assert!(offset_of!(Save, g_pat) == 0x268);
};

/// `intercept1` (offset 0x0c).
pub mod intercept1 {
    /// Physical interrupt.
    pub const INTR: u32 = 1 << 0;
    /// NMI.
    pub const NMI: u32 = 1 << 1;
    /// SMI.
    pub const SMI: u32 = 1 << 2;
    /// INIT.
    pub const INIT: u32 = 1 << 3;
    /// Virtual interrupt window.
    pub const VINTR: u32 = 1 << 4;
    /// RDTSC (and RDTSCP under the emulator).
    pub const RDTSC: u32 = 1 << 14;
    /// RDPMC.
    pub const RDPMC: u32 = 1 << 15;
    /// CPUID.
    pub const CPUID: u32 = 1 << 18;
    /// IRET.
    pub const IRET: u32 = 1 << 20;
    /// INT n.
    pub const INTN: u32 = 1 << 21;
    /// INVD.
    pub const INVD: u32 = 1 << 22;
    /// PAUSE.
    pub const PAUSE: u32 = 1 << 23;
    /// HLT.
    pub const HLT: u32 = 1 << 24;
    /// INVLPG.
    pub const INVLPG: u32 = 1 << 25;
    /// INVLPGA.
    pub const INVLPGA: u32 = 1 << 26;
    /// I/O by the permission map.
    pub const IOIO: u32 = 1 << 27;
    /// MSRs by the permission map.
    pub const MSR: u32 = 1 << 28;
    /// Task switch.
    pub const TASK_SWITCH: u32 = 1 << 29;
    /// Shutdown (triple fault).
    pub const SHUTDOWN: u32 = 1 << 31;
}

/// `intercept2` (offset 0x10).
pub mod intercept2 {
    /// VMRUN, must be set.
    pub const VMRUN: u32 = 1 << 0;
    /// VMMCALL.
    pub const VMMCALL: u32 = 1 << 1;
    /// VMLOAD.
    pub const VMLOAD: u32 = 1 << 2;
    /// VMSAVE.
    pub const VMSAVE: u32 = 1 << 3;
    /// STGI.
    pub const STGI: u32 = 1 << 4;
    /// CLGI.
    pub const CLGI: u32 = 1 << 5;
    /// SKINIT.
    pub const SKINIT: u32 = 1 << 6;
    /// RDTSCP.
    pub const RDTSCP: u32 = 1 << 7;
    /// WBINVD.
    pub const WBINVD: u32 = 1 << 9;
    /// MONITOR.
    pub const MONITOR: u32 = 1 << 10;
    /// MWAIT.
    pub const MWAIT: u32 = 1 << 11;
    /// MWAIT when armed.
    pub const MWAIT_ARMED: u32 = 1 << 12;
    /// XSETBV.
    pub const XSETBV: u32 = 1 << 13;
    /// RDPRU.
    pub const RDPRU: u32 = 1 << 14;
}

/// Virtual interrupt field.
pub mod vintr {
    /// A virtual interrupt is pending.
    pub const V_IRQ: u64 = 1 << 8;
    /// Ignore the virtual TPR.
    pub const V_IGN_TPR: u64 = 1 << 20;
    /// The guest's IF and TPR are virtual.
    pub const V_INTR_MASKING: u64 = 1 << 24;
    /// Shift of the priority.
    pub const PRIORITY_SHIFT: u32 = 16;
    /// Shift of the vector.
    pub const VECTOR_SHIFT: u32 = 32;
}

/// `event_inj` and `exit_int_info` (APM 15.20).
pub mod event {
    /// The field is valid.
    pub const VALID: u64 = 1 << 31;
    /// An error code stands in bits 63:32.
    pub const ERROR_CODE: u64 = 1 << 11;
    /// Shift of the type.
    pub const TYPE_SHIFT: u32 = 8;
    /// External interrupt.
    pub const TYPE_INTERRUPT: u64 = 0;
    /// NMI.
    pub const TYPE_NMI: u64 = 2;
    /// Exception.
    pub const TYPE_EXCEPTION: u64 = 3;
    /// Software interrupt (INT n).
    pub const TYPE_SOFTWARE: u64 = 4;
}
