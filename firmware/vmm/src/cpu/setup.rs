//! Intercepts, and the states in which vCPUs start.

use crate::loader::entry::EntryState;
use weft_types::Hpa;
use weft_x86defs::vmcb::{Segment, Vmcb, intercept1, intercept2, vintr};
use weft_x86defs::{Gprs, bits, msr};

/// MSRs that the guest reaches directly: the VMCB or VMLOAD/VMSAVE switch them.
pub const PASS_THROUGH: [u32; 10] = [
    msr::FS_BASE,
    msr::GS_BASE,
    msr::KERNEL_GS_BASE,
    msr::STAR,
    msr::LSTAR,
    msr::CSTAR,
    msr::SFMASK,
    msr::SYSENTER_CS,
    msr::SYSENTER_ESP,
    msr::SYSENTER_EIP,
];

/// Power-on value of the page attribute table.
pub const PAT_RESET: u64 = 0x0007_0406_0007_0406;

/// #DB and #AC are intercepted and given back: a guest could otherwise loop in their delivery without
/// ever letting an interrupt in. #MC is the node's own affair.
const EXCEPTIONS: u32 = 1 << 1 | 1 << 17 | 1 << 18;

/// Sets what never changes: intercepts, nested paging, the counter's offset.
pub fn control(vmcb: &mut Vmcb, nested_root: Hpa, tsc_offset: u64) {
    let c = &mut vmcb.control;
    c.intercept_exceptions = EXCEPTIONS;
    c.intercept1 = intercept1::INTR
        | intercept1::NMI
        | intercept1::SMI
        | intercept1::INIT
        | intercept1::RDPMC
        | intercept1::CPUID
        | intercept1::INVD
        | intercept1::HLT
        | intercept1::INVLPGA
        | intercept1::IOIO
        | intercept1::MSR
        | intercept1::TASK_SWITCH
        | intercept1::SHUTDOWN;
    c.intercept2 = intercept2::VMRUN
        | intercept2::VMMCALL
        | intercept2::VMLOAD
        | intercept2::VMSAVE
        | intercept2::STGI
        | intercept2::CLGI
        | intercept2::SKINIT
        | intercept2::WBINVD
        | intercept2::MONITOR
        | intercept2::MWAIT
        | intercept2::MWAIT_ARMED
        | intercept2::XSETBV
        | intercept2::RDPRU;
    c.vintr = vintr::V_INTR_MASKING;
    c.np_enable = 1;
    c.n_cr3 = nested_root.0;
    c.tsc_offset = tsc_offset;
    vmcb.save.g_pat = PAT_RESET;
}

/// State of the first vCPU at the kernel's 64-bit entry.
pub fn boot(vmcb: &mut Vmcb, gprs: &mut Gprs, entry: &EntryState) {
    *gprs = Gprs::default();
    gprs.by_encoding[Gprs::RSI] = entry.rsi;
    let s = &mut vmcb.save;
    s.cs = entry.cs;
    for segment in [&mut s.ds, &mut s.es, &mut s.fs, &mut s.gs, &mut s.ss] {
        *segment = entry.data;
    }
    s.gdtr = Segment { base: entry.gdt_base, limit: entry.gdt_limit, ..Segment::default() };
    s.idtr = Segment::default();
    s.ldtr = Segment { attrib: 0x82, limit: 0xffff, ..Segment::default() };
    s.tr = Segment { attrib: 0x8b, limit: 0xffff, ..Segment::default() };
    s.cpl = 0;
    s.rip = entry.rip;
    s.rsp = 0;
    s.rax = 0;
    s.rflags = entry.rflags;
    s.cr0 = entry.cr0;
    s.cr2 = 0;
    s.cr3 = entry.cr3;
    s.cr4 = entry.cr4;
    s.efer = entry.efer | bits::EFER_SVME;
    s.dr6 = 0xffff_0ff0;
    s.dr7 = 0x400;
}

/// State after INIT and start-up with `page`: real mode at `page` × 4096. APM volume 2, table 14-1.
pub fn start_up(vmcb: &mut Vmcb, gprs: &mut Gprs, page: u8) {
    *gprs = Gprs::default();
    let data = Segment { selector: 0, attrib: 0x93, limit: 0xffff, base: 0 };
    let s = &mut vmcb.save;
    s.cs =
        Segment { selector: u16::from(page) << 8, attrib: 0x9b, limit: 0xffff, base: u64::from(page) << 12 };
    for segment in [&mut s.ds, &mut s.es, &mut s.fs, &mut s.gs, &mut s.ss] {
        *segment = data;
    }
    s.gdtr = Segment { limit: 0xffff, ..Segment::default() };
    s.idtr = Segment { limit: 0xffff, ..Segment::default() };
    s.ldtr = Segment { attrib: 0x82, limit: 0xffff, ..Segment::default() };
    s.tr = Segment { attrib: 0x8b, limit: 0xffff, ..Segment::default() };
    s.cpl = 0;
    s.rip = 0;
    s.rsp = 0;
    s.rax = 0;
    s.rflags = bits::RFLAGS_FIXED;
    s.cr0 = bits::CR0_ET;
    s.cr2 = 0;
    s.cr3 = 0;
    s.cr4 = 0;
    s.efer = bits::EFER_SVME;
    s.dr6 = 0xffff_0ff0;
    s.dr7 = 0x400;
    s.g_pat = PAT_RESET;
    let c = &mut vmcb.control;
    c.interrupt_shadow = 0;
    c.event_inj = 0;
    c.exit_int_info = 0;
    c.vintr = vintr::V_INTR_MASKING;
}
