//! The node image: boot order, panic policy, wiring. Decisions are in the crates below it.
//!
//! Order: console, memory, descriptor tables, clock, local APIC, SVM, the other processors; then every
//! processor runs its loop ([`schedule`]), and the first one the node's management beside it ([`manage`]).
#![no_std]
#![no_main]

extern crate alloc;

mod alarm;
mod entropy;
mod facts;
mod guest;
mod host_cpuid;
mod link_bench;
mod local;
mod manage;
mod measure;
mod nic;
mod schedule;
mod shadow;
mod span;

use core::panic::PanicInfo;
use weft_hal::{acpi, apic, boot, cpu, desc, fpu, frames, ioapic, println, screen, serial, smp, svm, time};
use weft_types::handoff::Handoff;
use weft_vmm::cpu::setup::PASS_THROUGH;

/// First function of the image, called by the entry shim of `hal`.
#[expect(unsafe_code, reason = "the entry shim finds this function by its name")]
// SAFETY: no other function of the image has this name.
#[unsafe(no_mangle)]
extern "Rust" fn dvmm_main(handoff: &'static Handoff) -> ! {
    let tsc_started = cpu::rdtsc();
    screen::init(handoff);
    println!("weft dvmm {}", env!("CARGO_PKG_VERSION"));
    frames::init(boot::regions(handoff));
    shadow::configure(handoff);
    desc::init(0);
    let platform = acpi::platform(handoff.rsdp);
    ioapic::init(&platform);
    time::init(platform.pm_timer, handoff.tsc_entry);
    apic::mask_legacy_controllers();
    apic::init();
    apic::calibrate();
    let features = start_processor();
    let functions = nic::scan();
    let cpus = smp::start(&platform.apic_ids, second_processor);
    smp::drop_identity_map();
    schedule::set_cpu_count(cpus);
    let (free, total) = frames::counts();
    println!(
        "weft: {cpus} processors, {} of {} MiB free, counter {} MHz",
        free / 256,
        total / 256,
        time::tsc_hz() / 1_000_000
    );
    if features.is_some() {
        measure::on_request(handoff);
    }
    manage::start(handoff, &functions, features, tsc_started);
    link_bench::on_request(handoff);
    if features.is_some() {
        local::start(handoff);
    }
    schedule::run(0)
}

/// What every processor needs before it can run guests.
fn start_processor() -> Option<svm::Features> {
    fpu::init();
    match svm::init(&PASS_THROUGH) {
        Ok(features) => Some(features),
        Err(error) => {
            println!("weft: no guests on this processor: {error}");
            None
        }
    }
}

fn second_processor(index: usize) -> ! {
    start_processor();
    smp::drop_identity_map();
    schedule::run(index)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    serial::print_fatal(format_args!("weft: defect, the node stops: {info}\n"));
    cpu::stop()
}
