//! BIOS entry by Multiboot: verifies the manifest over the bytes that were loaded, then starts the
//! DVMM.
//!
//! iPXE (or any Multiboot loader) loads this program with the monitor and the root set embedded, and
//! the manifest as first module. Nothing below it is trusted, and the DVMM is told so by
//! `BootPath::Bios`. The walk: `entry` (32-bit prologue) → [`weft_main`] → `start` → jump.
#![no_std]
#![no_main]

#[path = "../../entry/cpu.rs"]
mod cpu;
mod entry;
#[path = "../../entry/heap.rs"]
mod heap;
#[path = "../../entry/jump.rs"]
mod jump;
mod memory;
mod screen;
#[path = "../../entry/serial.rs"]
mod serial;

use core::convert::Infallible;
use core::fmt::Write;
use core::panic::PanicInfo;

use weft_loader::elf::Dvmm;
use weft_loader::handoff::{cmdline_ipv4, cmdline_mac, empty, set_cmdline};
use weft_loader::load::{ARENA_LIMIT, Inputs, Plan, load};
use weft_loader::multiboot::{BOOT_MAGIC, Info};
use weft_loader::refuse::Refusal;
use weft_loader::regions::RegionSet;
use weft_loader::tables;
use weft_loader::verify::{Verified, verify};
use weft_types::handoff::{BootPath, MANIFEST_SIZE, RegionKind};

use memory::LowMemory;
use screen::Console;

/// Called by the prologue with the address of the loader's information and the loader's magic.
#[unsafe(no_mangle)]
extern "sysv64" fn weft_main(info: u32, magic: u32) -> ! {
    let tsc_entry = cpu::tsc();
    let mut console = Console::open();
    // Writing to the console cannot fail: both outputs drop what they cannot show.
    let _ = writeln!(console, "weft bios entry");
    let Err(refusal) = start(&mut console, info, magic, tsc_entry);
    let _ = writeln!(console, "weft-refuse: {}: {refusal}", refusal.code());
    wait_and_reset(&mut console)
}

/// What is left once everything was judged and loaded.
struct Found<'a> {
    info: Info<'a, LowMemory>,
    verified: Verified,
    manifest: &'a [u8],
    roots: &'a [u8],
    payload: &'a [u8],
}

fn judge(memory: &LowMemory, info: u32, magic: u32) -> Result<Found<'_>, Refusal> {
    if magic != BOOT_MAGIC {
        return Err(Refusal::NotMultiboot);
    }
    let info = Info::new(memory, u64::from(info))?;
    let (payload, roots) = memory::embedded(memory).ok_or(Refusal::NotAssembled)?;
    if info.module_count()? == 0 {
        return Err(Refusal::NoManifest);
    }
    let manifest = info.module_bytes(info.module(0)?, MANIFEST_SIZE)?;
    // Without variables there is no floor to keep: a BIOS node is untrusted anyway.
    let verified = verify(manifest, roots, payload, 0)?;
    Ok(Found { info, verified, manifest, roots, payload })
}

fn memory_map(memory: &LowMemory, info: &Info<'_, LowMemory>) -> Result<RegionSet, Refusal> {
    let mut regions = RegionSet::new();
    info.memory_map(&mut regions)?;
    // Interrupt vectors and BIOS data: firmware that runs in system management mode may look there.
    regions.add(0, 0x1000, RegionKind::Reserved)?;
    // This program and its modules stay whole until the jump.
    let (start, end) = memory::own_range(memory);
    regions.add(start, end - start, RegionKind::Reserved)?;
    for index in 0..info.module_count()? {
        let module = info.module(index)?;
        regions.add(module.start, module.size, RegionKind::Reserved)?;
    }
    Ok(regions)
}

fn start(console: &mut Console, info: u32, magic: u32, tsc_entry: u64) -> Result<Infallible, Refusal> {
    // SAFETY: the prologue mapped the low 4 GiB, one processor runs, interrupts are off, and no
    // driver of ours has started a device. The arena below is apart from all that is read.
    let memory = unsafe { LowMemory::new() };
    if !cpu::has_no_execute() {
        return Err(Refusal::NoExecuteProtection);
    }
    let found = judge(&memory, info, magic)?;
    let tsc_verified = cpu::tsc();
    let manifest = &found.verified.manifest;
    let _ = writeln!(console, "weft verified {} generation {}", manifest.build_id, manifest.generation);
    let dvmm = Dvmm::parse(found.payload)?;
    let mut busy = memory_map(&memory, &found.info)?;
    let roots = found.roots.get(..found.verified.root_set_size).unwrap_or_default();
    let inputs = Inputs {
        dvmm: &dvmm,
        manifest: found.manifest,
        root_set: roots,
        top: busy.top(),
        huge_pages: cpu::has_huge_pages(),
        jump_code: jump::code_address(),
    };
    let plan = Plan::new(&inputs)?;
    let base = busy.place(plan.size_bytes, ARENA_LIMIT).ok_or(Refusal::Memory)?;
    let size = usize::try_from(plan.size_bytes).map_err(|_| Refusal::Memory)?;
    // SAFETY: `place` found usable memory below 4 GiB that neither firmware, this program nor a
    // module uses.
    let arena = unsafe { memory::arena(base, size) };
    let loaded = load(&inputs, &plan, base, arena)?;

    let mut handoff = empty(BootPath::Bios);
    busy.add(base, plan.size_bytes, RegionKind::Loader)?;
    let count = busy.resolve(&mut handoff.regions)?;
    handoff.region_count = u32::try_from(count).unwrap_or(0);
    handoff.rsdp = tables::rsdp(&memory).unwrap_or(0);
    handoff.smbios = tables::smbios(&memory).unwrap_or(0);
    let cmdline = found.info.cmdline()?;
    set_cmdline(&mut handoff, cmdline);
    handoff.boot_server = cmdline_ipv4(cmdline, "server").unwrap_or_default();
    handoff.boot_mac = cmdline_mac(cmdline, "mac").unwrap_or_default();
    handoff.tsc_entry = tsc_entry;
    handoff.tsc_verified = tsc_verified;
    loaded.describe(&mut handoff, roots.len());
    handoff.tsc_jump = cpu::tsc();
    loaded.write_handoff(&handoff, base, arena)?;
    // SAFETY: a BIOS has no services to end; the tables map this code, and the hand-off is written.
    unsafe { jump::jump(&loaded) }
}

/// Gives people ten seconds to read, then resets through the keyboard controller.
fn wait_and_reset(console: &mut Console) -> ! {
    let _ = writeln!(console, "weft: restarting in ten seconds");
    for _ in 0..10_000_u32 {
        for _ in 0..1000 {
            // SAFETY: port 0x80 takes diagnostic codes; a read takes about a microsecond.
            let _ = unsafe { cpu::in8(0x80) };
        }
    }
    // SAFETY: the machine is to restart; nothing of ours is in use.
    unsafe { cpu::out8(0x64, 0xfe) }
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut console = Console::open();
    let _ = writeln!(console, "weft-refuse: panic: {info}");
    wait_and_reset(&mut console)
}
