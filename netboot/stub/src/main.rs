//! UEFI entry: verifies the manifest over the bytes that are loaded, then starts the DVMM.
//!
//! The image is one PE program: this stub, the monitor (`.dvmm`), the manifest (`.weftman`) and the root
//! set (`.roots`). The firmware has loaded and, under Secure Boot, verified all of it; the stub reads
//! its own memory and fetches nothing. The walk: read the floor → judge → raise the floor → node key
//! and boot counter → load → leave boot services → jump. Nothing is written before the judgement.
#![no_std]
#![no_main]

mod console;
#[path = "../../entry/cpu.rs"]
mod cpu;
mod entropy;
mod firmware;
#[path = "../../entry/heap.rs"]
mod heap;
#[path = "../../entry/jump.rs"]
mod jump;
#[path = "../../entry/serial.rs"]
mod serial;
mod variables;

use core::convert::Infallible;
use core::fmt::Write;
use core::panic::PanicInfo;
use core::slice;
use core::time::Duration;

use uefi::boot::{self, AllocateType, MemoryType};
use uefi::mem::memory_map::MemoryMap;
use uefi::proto::loaded_image::LoadedImage;
use uefi::runtime::ResetType;
use uefi::{Status, entry};
use weft_format::pe::{MANIFEST_SECTION, PAYLOAD_SECTION, ROOTS_SECTION};
use weft_loader::elf::Dvmm;
use weft_loader::handoff::empty;
use weft_loader::image::loaded_section;
use weft_loader::load::{ARENA_LIMIT, Inputs, Plan, load};
use weft_loader::refuse::Refusal;
use weft_loader::verify::{Verified, verify};
use weft_types::PAGE_SIZE;
use weft_types::handoff::{BootPath, FLAG_ENTROPY, FLAG_FIRST_BOOT, FLAG_NODE_KEY, Handoff, RegionKind};

use console::Console;
use entropy::Pool;
use serial::Serial;

/// Time for people to read a refusal before the firmware goes on.
const READING_TIME: Duration = Duration::from_secs(5);

#[entry]
fn main() -> Status {
    let tsc_entry = cpu::tsc();
    let mut console = Console::open();
    // Writing to the console cannot fail: it drops what it cannot show.
    let _ = writeln!(console, "weft uefi entry");
    let Err(refusal) = start(&mut console, tsc_entry);
    let _ = writeln!(console, "weft-refuse: {}: {refusal}", refusal.code());
    let _ = writeln!(console, "weft: back to the firmware in {} seconds", READING_TIME.as_secs());
    boot::stall(READING_TIME);
    Status::SECURITY_VIOLATION
}

/// The image that runs, as it lies in memory.
fn own_image(image: &LoadedImage) -> Result<&[u8], Refusal> {
    let (base, size) = image.info();
    let size = usize::try_from(size).map_err(|_| Refusal::NotAssembled)?;
    if base.is_null() {
        return Err(Refusal::NotAssembled);
    }
    // SAFETY: the firmware loaded this image at `base` and keeps it there while it runs. The slice is
    // used for the sections that were appended, which nothing writes.
    Ok(unsafe { slice::from_raw_parts(base.cast::<u8>(), size) })
}

/// Reads floor and sections, and judges. Writes nothing.
fn judge(image: &[u8]) -> Result<(u64, Verified), Refusal> {
    let manifest = loaded_section(image, MANIFEST_SECTION)?;
    let roots = loaded_section(image, ROOTS_SECTION)?;
    let payload = loaded_section(image, PAYLOAD_SECTION)?;
    let floor = variables::read(variables::FLOOR)?.map_or(0, u64::from_le_bytes);
    Ok((floor, verify(manifest, roots, payload, floor)?))
}

/// Keeps the floor, then finds or makes the node's key and counts this boot.
fn remember(floor: u64, verified: &Verified, handoff: &mut Handoff) -> Result<(), Refusal> {
    let next = verified.next_floor;
    if next != floor {
        variables::write(variables::FLOOR, &next.to_le_bytes())?;
    }
    handoff.floor = next;
    let pool = Pool::gather()?;
    handoff.entropy = pool.draw(b"monitor");
    handoff.flags |= FLAG_ENTROPY | FLAG_NODE_KEY;
    handoff.node_key = match variables::read(variables::NODE_KEY)? {
        Some(key) => key,
        None => {
            let key = pool.draw(b"node key");
            variables::write(variables::NODE_KEY, &key)?;
            handoff.flags |= FLAG_FIRST_BOOT;
            key
        }
    };
    let boots = variables::read(variables::BOOT_COUNTER)?.map_or(0, u64::from_le_bytes);
    handoff.boot_counter = boots.checked_add(1).ok_or(Refusal::VariableForm)?;
    variables::write(variables::BOOT_COUNTER, &handoff.boot_counter.to_le_bytes())
}

fn start(console: &mut Console, tsc_entry: u64) -> Result<Infallible, Refusal> {
    if !cpu::has_no_execute() {
        return Err(Refusal::NoExecuteProtection);
    }
    if firmware::has_five_level_paging() {
        return Err(Refusal::FiveLevelPaging);
    }
    let own = firmware::peek::<LoadedImage>(boot::image_handle()).ok_or(Refusal::NotAssembled)?;
    let image = own_image(&own)?;
    let (floor, verified) = judge(image)?;
    let mut handoff = empty(BootPath::Uefi);
    handoff.tsc_entry = tsc_entry;
    handoff.tsc_verified = cpu::tsc();
    let manifest = &verified.manifest;
    let _ = writeln!(console, "weft verified {} generation {}", manifest.build_id, manifest.generation);
    remember(floor, &verified, &mut handoff)?;
    firmware::describe(&own, &mut handoff);

    let dvmm = Dvmm::parse(loaded_section(image, PAYLOAD_SECTION)?)?;
    let roots = loaded_section(image, ROOTS_SECTION)?;
    let roots = roots.get(..verified.root_set_size).unwrap_or_default();
    let inputs = Inputs {
        dvmm: &dvmm,
        manifest: loaded_section(image, MANIFEST_SECTION)?,
        root_set: roots,
        top: top_of_memory(&handoff)?,
        huge_pages: cpu::has_huge_pages(),
        jump_code: jump::code_address(),
    };
    let plan = Plan::new(&inputs)?;
    let (base, arena) = allocate(plan.size_bytes)?;
    let loaded = load(&inputs, &plan, base, arena)?;
    loaded.describe(&mut handoff, roots.len());

    // SAFETY: from here on no boot service and no console is used; `own` and what it lends are not
    // touched again, and neither branch below returns to drop it.
    let map = unsafe { boot::exit_boot_services(None) };
    match hand_over(&map, &mut handoff, (base, plan.size_bytes)) {
        Ok(()) => {}
        Err(refusal) => late_refusal(refusal),
    }
    handoff.tsc_jump = cpu::tsc();
    match loaded.write_handoff(&handoff, base, arena) {
        // SAFETY: boot services ended; the tables map this code, and the hand-off is written.
        Ok(()) => unsafe { jump::jump(&loaded) },
        Err(error) => late_refusal(error.into()),
    }
}

/// Fills in the memory as the firmware left it, the arena set apart.
fn hand_over(map: &impl MemoryMap, handoff: &mut Handoff, arena: (u64, u64)) -> Result<(), Refusal> {
    let mut regions = firmware::regions(map)?;
    regions.add(arena.0, arena.1, RegionKind::Loader)?;
    let count = regions.resolve(&mut handoff.regions)?;
    handoff.region_count = u32::try_from(count).unwrap_or(0);
    Ok(())
}

/// A refusal without the firmware: words on the serial port, then a reset.
fn late_refusal(refusal: Refusal) -> ! {
    let _ = writeln!(Serial::open(), "weft-refuse: {}: {refusal}", refusal.code());
    uefi::runtime::reset(ResetType::COLD, Status::ABORTED, None)
}

/// First byte past all that the physical map must reach: memory and the screen.
fn top_of_memory(handoff: &Handoff) -> Result<u64, Refusal> {
    let map = boot::memory_map(MemoryType::LOADER_DATA).map_err(|_| Refusal::MemoryMap)?;
    let memory = firmware::regions(&map)?.top();
    Ok(memory.max(handoff.screen.base.saturating_add(handoff.screen.size)))
}

/// One block below 4 GiB.
fn allocate(size_bytes: u64) -> Result<(u64, &'static mut [u8]), Refusal> {
    let pages = usize::try_from(size_bytes / PAGE_SIZE).map_err(|_| Refusal::Memory)?;
    let limit = AllocateType::MaxAddress(ARENA_LIMIT - 1);
    let block = boot::allocate_pages(limit, MemoryType::LOADER_DATA, pages).map_err(|_| Refusal::Memory)?;
    // SAFETY: the firmware gave these whole pages to us, and they are never freed.
    let arena = unsafe { slice::from_raw_parts_mut(block.as_ptr(), pages * PAGE_SIZE as usize) };
    Ok((block.as_ptr() as usize as u64, arena))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Serial::open(), "weft-refuse: panic: {info}");
    uefi::runtime::reset(ResetType::COLD, Status::ABORTED, None)
}
