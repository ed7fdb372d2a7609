//! Measurements that the node takes of itself when its command line asks for one; only a BIOS boot without
//! the trusted path has a command line. Figures go to the serial console, and the boot goes on.
//!
//! `bench=vmrun`: what entering a guest and leaving it by CPUID costs, with nothing handled in between: the
//! guest is one instruction, and it is entered again at the same place. Once as the bare instruction, once by
//! the world switch that guests are run by.
//!
//! `bench=idle`: every ten seconds, how often the first processor was woken out of its sleep and how often the NIC
//! interrupted.

use crate::schedule;
use alloc::vec;
use core::sync::atomic::{AtomicBool, Ordering};
use spin::Mutex;
use weft_hal::frames::TableFrames;
use weft_hal::guest_ram::{Backing, GuestRam, LARGE_SIZE};
use weft_hal::svm::VcpuHardware;
use weft_hal::{cpu, desc, println};
use weft_paging::{NestedTables, PageSize, Rights};
use weft_platform::GuestMemory;
use weft_types::Gpa;
use weft_types::handoff::Handoff;
use weft_vmm::cpu::setup;

/// Entries of a round.
const ENTRIES: u32 = 20_000;
const ROUNDS: u32 = 5;
/// How long wake-ups are counted.
const IDLE_NS: u64 = 10_000_000_000;

static IDLE: AtomicBool = AtomicBool::new(false);
/// When counting began, and both counters then.
static LAST: Mutex<(u64, u64, u64)> = Mutex::new((0, 0, 0));
/// Page of the guest's only instruction.
const PAGE: u8 = 1;
const CPUID: [u8; 2] = [0x0f, 0xa2];

/// Takes the measurement that the command line names, if it names one.
pub(crate) fn on_request(handoff: &Handoff) {
    let cmdline = handoff.cmdline.get(..usize::from(handoff.cmdline_len)).unwrap_or(&[]);
    let asked = |name: &[u8]| cmdline.split(u8::is_ascii_whitespace).any(|word| word == name);
    if asked(b"bench=vmrun") && vmrun().is_none() {
        println!("weft bench: no memory for the measurement");
    }
    IDLE.store(asked(b"bench=idle"), Ordering::Relaxed);
}

/// Tells how often the first processor woke up, where that was asked for. Called every now and then.
pub(crate) fn report_idle(now_ns: u64) {
    if !IDLE.load(Ordering::Relaxed) {
        return;
    }
    let (start, woken, interrupts) = *LAST.lock();
    if now_ns >= start + IDLE_NS {
        let (woken_now, interrupts_now) = (schedule::wake_ups(), desc::nic_interrupts());
        println!(
            "weft bench: {} wake-ups, {} interrupts of the NIC in {} ms",
            woken_now - woken,
            interrupts_now - interrupts,
            (now_ns - start) / 1_000_000
        );
        *LAST.lock() = (now_ns, woken_now, interrupts_now);
    }
}

fn vmrun() -> Option<()> {
    let ram = GuestRam::new(vec![(0, LARGE_SIZE)]);
    ram.write(Gpa(u64::from(PAGE) << 12), &CPUID).ok()?;
    let mut tables = NestedTables::new(&mut TableFrames)?;
    if let Some(Backing::Large(base)) = ram.back(Gpa(0)) {
        tables.map(&mut TableFrames, Gpa(0), base, PageSize::Large, Rights::ALL).ok()?;
        let mut vcpu = VcpuHardware::new();
        let (vmcb, gprs) = vcpu.state();
        setup::control(vmcb, tables.root(), 0);
        setup::start_up(vmcb, gprs, PAGE);
        vcpu.load();
        for _ in 0..ROUNDS {
            let start = cpu::rdtsc();
            vcpu.enter_bare(ENTRIES);
            let bare = cpu::rdtsc() - start;
            let code = vcpu.state().0.control.exit_code;
            let start = cpu::rdtsc();
            for _ in 0..ENTRIES {
                vcpu.run(0);
            }
            let switch = cpu::rdtsc() - start;
            println!("weft bench: {ENTRIES} entries exit {code:#x} bare {bare} switch {switch} ticks");
        }
        vcpu.unload();
    }
    tables.free(&mut TableFrames, &mut |_store, _leaf| {});
    Some(())
}
