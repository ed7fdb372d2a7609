//! A monitor for boot tests: prints what an entry handed over on the first serial port, one field a
//! line, and halts. It writes to its data and reads its constants, so that wrong page rights show.
#![no_std]
#![no_main]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::asm;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use weft_types::handoff::{HANDOFF_MAGIC, HANDOFF_VERSION, Handoff, PHYSMAP_BASE};

struct NoHeap;

// SAFETY: null is the documented answer of an allocator without memory; nothing is ever freed.
unsafe impl GlobalAlloc for NoHeap {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static HEAP: NoHeap = NoHeap;

static LINES: AtomicU32 = AtomicU32::new(7);

struct Port;

impl Write for Port {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: COM1's data register; the entry programmed the port, QEMU's never is full.
            unsafe { asm!("out dx, al", in("dx") 0x3f8_u16, in("al") byte, options(nomem, nostack)) }
        }
        Ok(())
    }
}

macro_rules! line {
    ($($arg:tt)*) => {{
        LINES.fetch_add(1, Ordering::Relaxed);
        let _ = write!(Port, $($arg)*);
        let _ = write!(Port, "\r\n");
    }};
}

fn halt() -> ! {
    loop {
        // SAFETY: interrupts are off and nothing more is to be done.
        unsafe { asm!("hlt", options(nomem, nostack)) }
    }
}

/// SHA-256 is not at hand; a sum tells two byte strings apart well enough for a test.
fn sum(physical: u64, len: u64) -> u64 {
    let bytes = (PHYSMAP_BASE + physical) as *const u8;
    // SAFETY: the physical map covers all memory, and the entry gave this range to us.
    let byte = |i: u64| u64::from(unsafe { bytes.add(i as usize).read() });
    (0..len).fold(0, |sum, i| sum * 31 % 0xffff_fffb + byte(i))
}

#[unsafe(no_mangle)]
extern "sysv64" fn _start(handoff: *const Handoff) -> ! {
    // SAFETY: the boot contract: rdi holds the hand-off's address within the physical map.
    let h = unsafe { &*handoff };
    line!("weft dvmm");
    line!("magic {}", h.magic == HANDOFF_MAGIC && h.version == HANDOFF_VERSION);
    line!("boot-path {}", h.boot_path);
    line!("flags {}", h.flags);
    line!("rsdp {}", h.rsdp != 0);
    line!("smbios {}", h.smbios != 0);
    line!("times {}", h.tsc_entry < h.tsc_verified && h.tsc_verified < h.tsc_jump);
    line!("dvmm {:#x} {:#x}", h.dvmm_base, h.dvmm_size);
    line!("manifest {:#x}", sum(h.manifest, 4096));
    line!("root-set {} {:#x}", h.root_set_size, sum(h.root_set, h.root_set_size));
    line!("screen {}x{}", h.screen.width, h.screen.height);
    line!("key {:#x}", h.node_key.iter().fold(0_u64, |sum, b| sum * 31 % 0xffff_fffb + u64::from(*b)));
    line!("boots {}", h.boot_counter);
    line!("floor {}", h.floor);
    line!("server {:?}", h.boot_server);
    line!("mac {:02x?}", h.boot_mac);
    let len = usize::from(h.cmdline_len).min(h.cmdline.len());
    line!("cmdline {}", core::str::from_utf8(&h.cmdline[..len]).unwrap_or("?"));
    let mut end = 0;
    let mut sorted = true;
    let mut usable = 0;
    let mut loader = false;
    for region in h.regions.iter().take(h.region_count as usize) {
        sorted &= region.base >= end && region.size > 0;
        end = region.base + region.size;
        usable += if region.kind == 1 { region.size } else { 0 };
        loader |= region.kind == 4 && region.base <= h.dvmm_base && end >= h.dvmm_base + h.dvmm_size;
    }
    line!("regions {} sorted {sorted} loader {loader} usable {} MiB", h.region_count, usable >> 20);
    line!("lines {}", LINES.load(Ordering::Relaxed) - 7);
    line!("weft test end");
    halt()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    line!("panic: {info}");
    halt()
}
