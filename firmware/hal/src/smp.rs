//! Starting the other processors: INIT, SIPI, a trampoline below 1 MiB. APM volume 2, 16.10.2; Intel's
//! MultiProcessor specification, appendix B.4.

use crate::{apic, cpu, desc, frames, phys, time};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use weft_types::{Hpa, PAGE_SIZE};

const STACK: usize = 64 * 1024;
/// How long a processor may take to appear.
const PATIENCE_NS: u64 = 200_000_000;

global_asm!(
    ".section .rodata.ap, \"a\"",
    ".p2align 4",
    "weft_ap_begin:",
    ".code16",
    "cli",
    "cld",
    "movw %cs, %ax",
    "movw %ax, %ds",
    "xorl %ebx, %ebx",
    "movw %ax, %bx",
    "shll $4, %ebx",
    "lgdtl (weft_ap_gdtr - weft_ap_begin)",
    "movl %cr0, %eax",
    "orl $1, %eax",
    "movl %eax, %cr0",
    "ljmpl *(weft_ap_far32 - weft_ap_begin)",
    ".code32",
    "weft_ap_32:",
    "movw $0x10, %ax",
    "movw %ax, %ds",
    "movw %ax, %es",
    "movw %ax, %ss",
    "movl $0x6a0, %eax",
    "movl %eax, %cr4",
    "movl (weft_ap_cr3 - weft_ap_begin)(%ebx), %eax",
    "movl %eax, %cr3",
    "movl $0xc0000080, %ecx",
    "rdmsr",
    "orl $0x900, %eax",
    "wrmsr",
    "movl $0x80010033, %eax",
    "movl %eax, %cr0",
    "ljmpl *(weft_ap_far64 - weft_ap_begin)(%ebx)",
    ".code64",
    "weft_ap_64:",
    "movl %ebx, %ebx",
    "movq (weft_ap_stack - weft_ap_begin)(%rbx), %rsp",
    "movq (weft_ap_entry - weft_ap_begin)(%rbx), %rax",
    "xorl %ebp, %ebp",
    "call *%rax",
    "2: hlt",
    "jmp 2b",
    ".p2align 3",
    "weft_ap_gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff",
    "weft_ap_gdtr: .word 31",
    "weft_ap_gdt_base: .long 0",
    ".p2align 3",
    "weft_ap_far32: .long 0",
    ".word 0x08",
    ".p2align 3",
    "weft_ap_far64: .long 0",
    ".word 0x18",
    ".p2align 3",
    "weft_ap_cr3: .quad 0",
    "weft_ap_stack: .quad 0",
    "weft_ap_entry: .quad 0",
    "weft_ap_end:",
    ".text",
    options(att_syntax)
);

unsafe extern "C" {
    static weft_ap_begin: u8;
    static weft_ap_end: u8;
    static weft_ap_32: u8;
    static weft_ap_64: u8;
    static weft_ap_gdt: u8;
    static weft_ap_gdt_base: u8;
    static weft_ap_far32: u8;
    static weft_ap_far64: u8;
    static weft_ap_cr3: u8;
    static weft_ap_stack: u8;
    static weft_ap_entry: u8;
}

static STARTED: AtomicUsize = AtomicUsize::new(0);
static MAIN: spin::Once<fn(usize) -> !> = spin::Once::new();
static APIC_IDS: [AtomicU32; desc::MAX_CPUS] = [const { AtomicU32::new(0) }; desc::MAX_CPUS];

/// APIC identifier of a CPU that is up.
pub fn apic_id(index: usize) -> u32 {
    APIC_IDS[index].load(Ordering::Relaxed)
}

extern "C" fn started() -> ! {
    let index = STARTED.fetch_add(1, Ordering::SeqCst) + 1;
    desc::init(index);
    apic::init();
    APIC_IDS[index].store(apic::id(), Ordering::Relaxed);
    READY.fetch_add(1, Ordering::SeqCst);
    let main = MAIN.get().expect("set before the first start");
    main(index)
}

static READY: AtomicUsize = AtomicUsize::new(0);

fn cr3() -> u64 {
    let value;
    // SAFETY: reading CR3 has no effect.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Starts every processor of `apic_ids` but the calling one; each runs `main(index)`. Returns how many
/// CPUs are up, this one included. One after another, so that the trampoline needs no lock.
pub fn start(apic_ids: &[u32], main: fn(usize) -> !) -> usize {
    let own = apic::id();
    APIC_IDS[0].store(own, Ordering::Relaxed);
    MAIN.call_once(|| main);
    let Some(page) = frames::low_frame() else { return 1 };
    let Some(root) = low_root() else { return 1 };
    for target in apic_ids.iter().filter(|id| **id != own).take(desc::MAX_CPUS - 1) {
        let stack = Box::leak(vec![0u8; STACK].into_boxed_slice());
        prepare(page, root, stack.as_ptr() as u64 + STACK as u64 - 64);
        let before = READY.load(Ordering::SeqCst);
        apic::send_init(*target);
        pause_ns(10_000_000);
        for _ in 0..2 {
            apic::send_startup(*target, (page.0 >> 12) as u8);
            let give_up = time::now_ns() + PATIENCE_NS;
            while READY.load(Ordering::SeqCst) == before && time::now_ns() < give_up {
                core::hint::spin_loop();
            }
            if READY.load(Ordering::SeqCst) != before {
                break;
            }
        }
        if READY.load(Ordering::SeqCst) == before {
            crate::println!("weft: processor with APIC id {target} does not start");
            break;
        }
    }
    1 + READY.load(Ordering::SeqCst)
}

fn pause_ns(ns: u64) {
    let end = time::now_ns() + ns;
    while time::now_ns() < end {
        core::hint::spin_loop();
    }
}

/// A copy of the root table below 4 GiB, since a starting processor loads a 32-bit CR3.
fn low_root() -> Option<Hpa> {
    let copy = frames::alloc_run(1, 1, 1 << 32)?;
    // SAFETY: the source is the active root table, the target a fresh frame.
    unsafe {
        core::ptr::copy_nonoverlapping(
            phys::pointer(Hpa(cr3()).page()),
            phys::pointer(copy),
            PAGE_SIZE as usize,
        );
    }
    Some(copy)
}

fn prepare(page: Hpa, root: Hpa, stack: u64) {
    let begin = &raw const weft_ap_begin as u64;
    let at = |symbol: *const u8| symbol as u64 - begin;
    let length = at(&raw const weft_ap_end) as usize;
    let mut code: Vec<u8> = vec![0; length];
    // SAFETY: the assembler placed these bytes between the two symbols, read-only.
    code.copy_from_slice(unsafe { core::slice::from_raw_parts(&raw const weft_ap_begin, length) });
    let mut put = |symbol: *const u8, value: &[u8]| {
        let offset = at(symbol) as usize;
        code[offset..offset + value.len()].copy_from_slice(value);
    };
    let low = |offset: u64| ((page.0 + offset) as u32).to_le_bytes();
    put(&raw const weft_ap_gdt_base, &low(at(&raw const weft_ap_gdt)));
    put(&raw const weft_ap_far32, &low(at(&raw const weft_ap_32)));
    put(&raw const weft_ap_far64, &low(at(&raw const weft_ap_64)));
    put(&raw const weft_ap_cr3, &root.0.to_le_bytes());
    put(&raw const weft_ap_stack, &stack.to_le_bytes());
    put(&raw const weft_ap_entry, &(started as extern "C" fn() -> ! as usize as u64).to_le_bytes());
    // SAFETY: `frames::low_frame` keeps this frame for this purpose alone; no processor runs it now.
    unsafe { core::ptr::copy_nonoverlapping(code.as_ptr(), phys::pointer(page), length) };
}

/// Takes the low identity mapping away from the calling CPU, once no processor starts any more.
pub fn drop_identity_map() {
    // SAFETY: all code, stacks and data of the monitor are in the upper half; user-half entries of the
    // active root are used by nothing any more, and reloading CR3 flushes what was cached.
    unsafe {
        phys::pointer(Hpa(cr3()).page()).cast::<u64>().write_volatile(0);
        asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack, preserves_flags));
    }
    let _ = cpu::index();
}
