//! A vCPU on shadow tables: what its exits do to the registers that the guest sees and to those it does not.

use super::*;
use crate::cpu::Vcpu;
use crate::cpu::clock::Now;
use crate::cpu::cpuid::{HostCpuid, Leaf};
use crate::cpu::events::Entry;
use crate::fake::Memory;
use std::collections::BTreeMap;
use std::vec::Vec;
use weft_paging::shadow::{Pool, Stamp, Tracker};
use weft_platform::{FrameStore, GuestMemory};
use weft_types::{Gpa, Hpa, PAGE_SIZE};

const ROOTS: Roots = Roots { plain: Hpa(0xa000), window: Hpa(0xb000) };
const NOW: Now = Now { ns: 0, guest_tsc: 0, tsc_hz: 1_000_000_000 };
const WINDOW: u64 = 1 << 39;
const RW: u64 = bits::PTE_P | bits::PTE_W | bits::PTE_U;
/// Where instructions are put.
const CODE: u64 = 0x8000;

struct Frames(BTreeMap<(u64, usize), u64>);

impl FrameStore for Frames {
    fn alloc(&mut self) -> Option<Hpa> {
        None
    }

    fn free(&mut self, _frame: Hpa) {}

    fn entry(&self, frame: Hpa, index: usize) -> u64 {
        self.0.get(&(frame.0, index)).copied().unwrap_or(0)
    }

    fn set_entry(&mut self, frame: Hpa, index: usize, value: u64) {
        self.0.insert((frame.0, index), value);
    }
}

/// Nobody else runs, and nothing is ever lost.
struct Alone;

impl Tracker for Alone {
    fn watch(&mut self, _page: Gpa) -> Stamp {
        Stamp(0)
    }

    fn settled(&self, _stamp: Stamp) -> bool {
        true
    }

    fn take_lost(&mut self) -> Option<Gpa> {
        None
    }

    fn release(&mut self) {}
}

/// 40 address bits, all features of leaf 7.
struct Host;

impl HostCpuid for Host {
    fn cpuid(&self, leaf: u32, _subleaf: u32) -> Leaf {
        match leaf {
            0x8000_0008 => Leaf { eax: 40, ..Leaf::default() },
            _others => Leaf { ebx: u32::MAX, ..Leaf::default() },
        }
    }
}

struct Rig {
    cpu: ShadowCpu,
    vmcb: Vmcb,
    gprs: Gprs,
    mem: Memory,
    frames: Frames,
}

impl Rig {
    /// In 64-bit mode, the first 2 MiB mapped one to one by the tables at 0x1000, and again by those at 0x5000.
    fn new() -> Self {
        let mem = Memory::new(0x20_0000);
        for (table, entry) in
            [(0x1000, 0x2000 | RW), (0x5000, 0x2000 | RW), (0x2000, 0x3000 | RW), (0x3000, RW | bits::PTE_PS)]
        {
            mem.put(table, &entry.to_le_bytes());
        }
        let pool = Pool::new((0..32).map(|n| Hpa(0x10_0000 + n * PAGE_SIZE)).collect(), Gpa(WINDOW)).unwrap();
        let mut vmcb = Vmcb::zeroed();
        let s = &mut vmcb.save;
        s.cr0 = bits::CR0_PG | bits::CR0_PE | bits::CR0_ET | bits::CR0_WP;
        (s.cr3, s.cr4) = (0x1000, bits::CR4_PAE);
        s.efer = bits::EFER_LME | bits::EFER_LMA | bits::EFER_NXE | bits::EFER_SVME;
        (s.cs.attrib, s.rip) = (0x29b, CODE);
        let cpu = ShadowCpu::new(Shadow::new(pool), ROOTS, false);
        let mut rig = Self { cpu, vmcb, gprs: Gprs::default(), mem, frames: Frames(BTreeMap::new()) };
        rig.with(|cpu, vmcb, _gprs, _env, context| cpu.adopt(vmcb, context));
        rig
    }

    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut ShadowCpu, &mut Vmcb, &mut Gprs, Env<'_>, &mut Context<'_>) -> T,
    ) -> T {
        let Self { cpu, vmcb, gprs, mem, frames } = self;
        let guest_cr3 = cpu.guest_cr3();
        let env = Env { mem, host: &Host, now: NOW, xcr0: 1, guest_cr3 };
        let mut context = Context { store: frames, mem, tracker: &mut Alone };
        work(cpu, vmcb, gprs, env, &mut context)
    }

    fn exit(&mut self, code: u64) -> Effect {
        self.vmcb.control.exit_code = code;
        self.with(|cpu, vmcb, gprs, env, context| cpu.handle(vmcb, gprs, env, context)).expect("ours")
    }

    /// Executes an instruction that exits with `code`; `true` when it completed.
    fn execute(&mut self, code: u64, bytes: &[u8]) -> bool {
        self.vmcb.save.rip = CODE;
        self.mem.put(CODE, bytes);
        match self.exit(code) {
            Effect::Resume => {
                assert_eq!(self.vmcb.save.rip, CODE + bytes.len() as u64);
                true
            }
            Effect::Raise(exception) => {
                assert_eq!((exception, self.vmcb.save.rip), (Exception::GP, CODE));
                false
            }
            Effect::Need(error) => panic!("{error:?}"),
            Effect::Stop(report) => panic!("{report}"),
        }
    }

    fn fault(&mut self, gva: u64, code: u64) -> Effect {
        (self.vmcb.control.exit_info1, self.vmcb.control.exit_info2) = (code, gva);
        self.exit(exit::EXCEPTION + 14)
    }

    fn shadowed(&self) -> bool {
        let c = &self.vmcb.control;
        let window = c.n_cr3 == ROOTS.window.0;
        assert_eq!(window, self.vmcb.save.cr3 >= WINDOW, "CR3 is in the window exactly under its root");
        assert_eq!(window, c.intercept_exceptions & PAGE_FAULT != 0);
        assert_ne!(c.intercept_cr & WRITE_CR0, 0, "the way out of the mode is always seen");
        window
    }
}

const MOV_CR0_RAX: &[u8] = &[0x0f, 0x22, 0xc0];
const MOV_CR3_RAX: &[u8] = &[0x0f, 0x22, 0xd8];
const MOV_CR4_RAX: &[u8] = &[0x0f, 0x22, 0xe0];
const MOV_RCX_CR3: &[u8] = &[0x0f, 0x20, 0xd9];
const WRITE: u64 = exit::CR_WRITE;
const READ: u64 = exit::CR_READ;

#[test]
fn the_guest_reads_its_own_cr3_and_the_processor_holds_ours() {
    let mut rig = Rig::new();
    assert!(rig.shadowed());
    assert!(rig.execute(READ + 3, MOV_RCX_CR3));
    assert_eq!(rig.gprs.by_encoding[Gprs::RCX], 0x1000);
    rig.vmcb.save.rax = 0x5018;
    assert!(rig.execute(WRITE + 3, MOV_CR3_RAX));
    assert!(rig.execute(READ + 3, MOV_RCX_CR3));
    assert_eq!(rig.gprs.by_encoding[Gprs::RCX], 0x5018);
    rig.with(|cpu, vmcb, _gprs, _env, context| cpu.enter(vmcb, context));
    assert!(rig.shadowed());
}

#[test]
fn a_cr3_in_the_window_or_beyond_is_refused() {
    let mut rig = Rig::new();
    for value in [WINDOW, WINDOW | 0x1000, 1 << 45, 1 << 63] {
        rig.vmcb.save.rax = value;
        assert!(!rig.execute(WRITE + 3, MOV_CR3_RAX), "{value:#x}");
    }
    assert_eq!(rig.cpu.guest_cr3(), Some(0x1000));
}

#[test]
fn every_load_of_cr3_flushes_the_processor() {
    let mut rig = Rig::new();
    let before = rig.with(|cpu, vmcb, _gprs, _env, context| cpu.enter(vmcb, context));
    rig.vmcb.save.rax = 0x1000;
    rig.execute(WRITE + 3, MOV_CR3_RAX);
    let after = rig.with(|cpu, vmcb, _gprs, _env, context| cpu.enter(vmcb, context));
    assert!(after > before);
    assert_eq!(rig.with(|cpu, vmcb, _gprs, _env, context| cpu.enter(vmcb, context)), after);
}

#[test]
fn paging_off_runs_on_the_root_without_the_window_and_on_comes_back() {
    let mut rig = Rig::new();
    rig.vmcb.save.rax = bits::CR0_PE;
    assert!(!rig.execute(WRITE, MOV_CR0_RAX), "64-bit mode does not end so");
    // Compatibility mode: CS.L clear, CS.D set.
    rig.vmcb.save.cs.attrib = 0x49b;
    assert!(rig.execute(WRITE, MOV_CR0_RAX));
    assert!(!rig.shadowed());
    assert_eq!(rig.vmcb.save.efer & bits::EFER_LMA, 0);
    assert_eq!((rig.vmcb.save.cr3, rig.cpu.guest_cr3()), (0x1000, None));
    // Unpaged, the guest sets CR3 without an exit.
    rig.vmcb.save.cr3 = 0x1000 | WINDOW;
    assert!(!rig.shadowed_root());
    rig.vmcb.save.cr3 = 0x1000;
    rig.vmcb.save.rax = bits::CR0_PG | bits::CR0_PE;
    assert!(rig.execute(WRITE, MOV_CR0_RAX));
    assert!(rig.shadowed());
    assert_ne!(rig.vmcb.save.efer & bits::EFER_LMA, 0);
}

impl Rig {
    fn shadowed_root(&self) -> bool {
        self.vmcb.control.n_cr3 == ROOTS.window.0
    }
}

#[test]
fn paging_without_long_mode_runs_direct() {
    let mut rig = Rig::new();
    rig.vmcb.save.cs.attrib = 0x49b;
    rig.vmcb.save.rax = bits::CR0_PE;
    rig.execute(WRITE, MOV_CR0_RAX);
    rig.vmcb.save.efer &= !bits::EFER_LME;
    rig.vmcb.save.rax = bits::CR0_PG | bits::CR0_PE;
    assert!(rig.execute(WRITE, MOV_CR0_RAX));
    assert!(!rig.shadowed());
    assert_eq!(rig.vmcb.save.cr0 & bits::CR0_WP, 0, "nothing is forced");
}

#[test]
fn start_up_leaves_the_window_behind() {
    let mut rig = Rig::new();
    crate::cpu::setup::start_up(&mut rig.vmcb, &mut rig.gprs, 0x9a);
    rig.with(|cpu, vmcb, _gprs, _env, context| cpu.adopt(vmcb, context));
    assert!(!rig.shadowed());
    assert_eq!(rig.vmcb.save.cr3, 0);
}

#[test]
fn write_protection_is_forced_and_not_seen() {
    let mut rig = Rig::new();
    rig.vmcb.save.rax = bits::CR0_PG | bits::CR0_PE | bits::CR0_TS;
    assert!(rig.execute(WRITE, MOV_CR0_RAX));
    assert_ne!(rig.vmcb.save.cr0 & bits::CR0_WP, 0);
    assert_ne!(rig.vmcb.control.intercept_cr & READ_CR0, 0);
    // mov rcx, cr0; smsw ecx; clts; lmsw ax
    assert!(rig.execute(READ, &[0x0f, 0x20, 0xc1]));
    let seen = bits::CR0_PG | bits::CR0_PE | bits::CR0_TS | bits::CR0_ET;
    assert_eq!(rig.gprs.by_encoding[Gprs::RCX], seen);
    assert!(rig.execute(READ, &[0x0f, 0x01, 0xe1]));
    assert_eq!(rig.gprs.by_encoding[Gprs::RCX], seen);
    assert!(rig.execute(WRITE, &[0x0f, 0x06]));
    assert_eq!(rig.vmcb.save.cr0 & bits::CR0_TS, 0);
    rig.vmcb.save.rax = 0xa;
    assert!(rig.execute(WRITE, &[0x0f, 0x01, 0xf0]));
    let status = rig.vmcb.save.cr0 & 0xf;
    assert_eq!(status, bits::CR0_PE | bits::CR0_TS | bits::CR0_MP, "LMSW does not clear PE");
}

#[test]
fn invalid_values_of_cr0_and_cr4_are_refused() {
    let mut rig = Rig::new();
    for value in [1 << 32, bits::CR0_PG, bits::CR0_PG | bits::CR0_PE | bits::CR0_NW] {
        rig.vmcb.save.rax = value;
        assert!(!rig.execute(WRITE, MOV_CR0_RAX), "{value:#x}");
    }
    for bit in [bits::CR4_PCIDE, bits::CR4_LA57, 1 << 22, 1 << 40] {
        rig.vmcb.save.rax = bits::CR4_PAE | bit;
        assert!(!rig.execute(WRITE + 4, MOV_CR4_RAX), "{bit:#x}");
    }
    rig.vmcb.save.rax = bits::CR4_PGE;
    assert!(!rig.execute(WRITE + 4, MOV_CR4_RAX), "long mode needs PAE");
    rig.vmcb.save.rax = bits::CR4_PAE | bits::CR4_PGE | bits::CR4_SMEP;
    assert!(rig.execute(WRITE + 4, MOV_CR4_RAX));
    assert_eq!(rig.vmcb.save.cr4, bits::CR4_PAE | bits::CR4_PGE | bits::CR4_SMEP);
}

#[test]
fn with_decode_assists_nothing_is_fetched() {
    let mut rig = Rig::new();
    rig.cpu.decode_assists = true;
    rig.vmcb.save.rip = 0x7fff_0000_0000;
    rig.vmcb.control.next_rip = 0x7fff_0000_0003;
    rig.gprs.by_encoding[Gprs::RDI] = 0x7000;
    rig.vmcb.control.exit_info1 = MOV_ASSIST | Gprs::RDI as u64;
    assert!(matches!(rig.exit(WRITE + 3), Effect::Resume));
    assert_eq!((rig.cpu.guest_cr3(), rig.vmcb.save.rip), (Some(0x7000), 0x7fff_0000_0003));
    rig.vmcb.control.next_rip = 0x7fff_0000_0006;
    rig.vmcb.control.exit_info1 = 0x1234_5000;
    assert!(matches!(rig.exit(exit::INVLPG), Effect::Resume));
    assert_eq!(rig.vmcb.save.rip, 0x7fff_0000_0006);
}

#[test]
fn a_fault_of_ours_resumes_and_keeps_the_event_that_it_cut_off() {
    let mut rig = Rig::new();
    let cut_off = event::VALID | 0x55;
    rig.vmcb.control.exit_int_info = cut_off;
    assert!(matches!(rig.fault(0x4123, bits::PF_WRITE), Effect::Resume));
    assert_eq!(rig.vmcb.control.exit_int_info, cut_off);
    assert_eq!(rig.vmcb.save.cr2, 0);
    assert_ne!(rig.mem.read_u64(Gpa(0x3000)).unwrap() & bits::PTE_D, 0);
    assert_eq!(rig.cpu.tables().counters().fills, 1);
    let mut vcpu = Vcpu::new(0);
    assert_eq!(vcpu.prepare(&mut rig.vmcb, &mut rig.gprs, NOW), Entry::Run);
    assert_eq!(rig.vmcb.control.event_inj, cut_off);
}

#[test]
fn the_guests_own_fault_reaches_it_with_address_and_code() {
    let mut rig = Rig::new();
    let Effect::Raise(exception) = rig.fault(0x4000_0123, bits::PF_WRITE | bits::PF_USER) else {
        panic!("not reflected")
    };
    assert_eq!(exception, Exception { vector: 14, error: Some(6) });
    assert_eq!(rig.vmcb.save.cr2, 0x4000_0123);
}

#[test]
fn a_fault_within_the_delivery_of_a_fault_is_double_and_within_that_the_end() {
    let delivery = |vector: u64| event::VALID | event::TYPE_EXCEPTION << event::TYPE_SHIFT | vector;
    let mut rig = Rig::new();
    rig.vmcb.control.exit_int_info = delivery(14);
    let Effect::Raise(double) = rig.fault(0x4000_0000, bits::PF_WRITE) else { panic!("not reflected") };
    assert_eq!(double, Exception { vector: 8, error: Some(0) });
    rig.vmcb.control.exit_int_info = delivery(13);
    let Effect::Raise(serial) = rig.fault(0x4000_0000, bits::PF_WRITE) else { panic!("not reflected") };
    assert_eq!(serial.vector, 14, "after #GP the page fault comes alone");
    rig.vmcb.control.exit_int_info = delivery(8);
    let Effect::Stop(report) = rig.fault(0x4000_0000, bits::PF_WRITE) else { panic!("it goes on") };
    assert!(report.contains("triple fault"), "{report}");
}

#[test]
fn invlpg_names_its_address_by_its_operand() {
    let mut rig = Rig::new();
    rig.fault(0x4000, 0);
    rig.mem.put(0x3000, &(0u64).to_le_bytes());
    rig.mem.put(CODE, &[0x0f, 0x01, 0x7c, 0x88, 0x10]);
    // The code's page is gone, so the processor's own fetch must have been before: the walk says so.
    rig.vmcb.save.rip = CODE;
    assert!(matches!(rig.exit(exit::INVLPG), Effect::Raise(Exception { vector: 14, .. })));
    rig.mem.put(0x3000, &(RW | bits::PTE_PS).to_le_bytes());
    // invlpg [rax + rcx * 4 + 16]
    (rig.vmcb.save.rax, rig.gprs.by_encoding[Gprs::RCX]) = (0x3000, 0x3fc);
    let before = rig.cpu.tables().counters().invalidations;
    assert!(rig.execute(exit::INVLPG, &[0x0f, 0x01, 0x7c, 0x88, 0x10]));
    assert_eq!(rig.cpu.tables().counters().invalidations, before + 1);
}

#[test]
fn a_page_that_is_elsewhere_leaves_the_vcpu_as_it_was() {
    let mut rig = Rig::new();
    rig.mem.put(CODE, MOV_CR3_RAX);
    rig.mem.delay(7);
    let cut_off = event::VALID | 0x55;
    rig.vmcb.control.exit_int_info = cut_off;
    let mut asked = Vec::new();
    for _ in 0..40 {
        match rig.fault(0x4000, bits::PF_WRITE) {
            Effect::Need(MemError::Need { gpa, access }) => {
                assert_eq!((rig.vmcb.save.rip, rig.vmcb.control.exit_int_info), (CODE, cut_off));
                asked.push(gpa.0);
                rig.mem.grant(gpa, access);
            }
            Effect::Resume => break,
            Effect::Raise(_) | Effect::Need(_) | Effect::Stop(_) => panic!("neither need nor progress"),
        }
    }
    assert!(asked.len() >= 3, "{asked:x?}");
    assert_eq!(rig.cpu.tables().counters().fills, 1);
}

#[test]
fn faults_without_an_end_stop_the_guest() {
    let mut rig = Rig::new();
    for _ in 0..=MOST_REPEATS {
        assert!(matches!(rig.fault(0x4000, bits::PF_PRESENT), Effect::Resume));
    }
    rig.fault(0x4000, bits::PF_PRESENT);
    assert!(matches!(rig.fault(0x4000, bits::PF_PRESENT), Effect::Stop(_)));
}
