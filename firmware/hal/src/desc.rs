//! GDT, TSS, IDT and what happens on exceptions and interrupts.
//!
//! Exceptions in the monitor are its own defects: the registers are printed and the node stops (it is
//! fenced; a restart network-boots afresh). Interrupt handlers only set a bit of the CPU's pending set and
//! acknowledge; all work happens in the CPU's loop.

use crate::{apic, cpu, ioapic, serial};
use alloc::boxed::Box;
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use weft_x86defs::msr;

/// Vector of the local APIC timer.
pub const VECTOR_TIMER: u8 = 0xf0;
/// Vector that only wakes a CPU up.
pub const VECTOR_WAKE: u8 = 0xf1;
/// Vector of network devices.
pub const VECTOR_NIC: u8 = 0xf2;
/// Vector of network devices that have a line.
pub const VECTOR_LINE: u8 = 0xf3;
/// Vector of spurious interrupts.
pub const VECTOR_SPURIOUS: u8 = 0xff;

/// Most CPUs of a node.
pub const MAX_CPUS: usize = 256;

global_asm!(
    ".macro weft_stub_plain n",
    ".p2align 4",
    "weft_isr_\\n:",
    "push 0",
    "push \\n",
    "jmp weft_isr_common",
    ".endm",
    ".macro weft_stub_code n",
    ".p2align 4",
    "weft_isr_\\n:",
    "push \\n",
    "jmp weft_isr_common",
    ".endm",
    ".text",
    ".irp n,0,1,2,3,4,5,6,7,9,15,16,18,19,20,22,23,24,25,26,27,28,31",
    "weft_stub_plain \\n",
    ".endr",
    ".irp n,8,10,11,12,13,14,17,21,29,30",
    "weft_stub_code \\n",
    ".endr",
    ".irp n,240,241,242,243,255",
    "weft_stub_plain \\n",
    ".endr",
    "weft_isr_common:",
    "push rax",
    "push rcx",
    "push rdx",
    "push rbx",
    "push rbp",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "cld",
    "mov rdi, rsp",
    "mov rbp, rsp",
    "and rsp, -16",
    "call {handler}",
    "mov rsp, rbp",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rbp",
    "pop rbx",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "add rsp, 16",
    "iretq",
    ".section .rodata.isr, \"a\"",
    ".p2align 3",
    ".globl weft_isr_table",
    "weft_isr_table:",
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    ".quad weft_isr_\\n",
    ".endr",
    ".irp n,240,241,242,243,255",
    ".quad weft_isr_\\n",
    ".endr",
    ".text",
    handler = sym interrupt,
);

unsafe extern "C" {
    static weft_isr_table: [u64; TABLE.len()];
}

/// Vectors in the order of the assembler's table.
const TABLE: [u8; 37] = {
    let mut t = [0; 37];
    let mut i = 0;
    while i < 32 {
        t[i] = i as u8;
        i += 1;
    }
    t[32] = 240;
    t[33] = 241;
    t[34] = 242;
    t[35] = 243;
    t[36] = 255;
    t
};

#[repr(C)]
struct Frame {
    registers: [u64; 15],
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

#[repr(C, packed(4))]
struct Tss {
    reserved0: u32,
    rsp: [u64; 3],
    reserved1: u64,
    ist: [u64; 7],
    reserved2: [u64; 2],
    io_map: u16,
    reserved3: u16,
}

/// What each CPU owns for its lifetime.
#[repr(C)]
struct Block {
    index: u64,
    gdt: [u64; 5],
    tss: Tss,
    fault_stack: [u8; 8192],
}

#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u64,
}

static PENDING: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];
static NIC_INTERRUPTS: AtomicU64 = AtomicU64::new(0);
static IDT: spin::Once<Box<[[u64; 2]; 256]>> = spin::Once::new();

/// Interrupts of this CPU since the last call, one bit each from `VECTOR_TIMER` (bit 0) on.
pub fn take_pending() -> u32 {
    PENDING[cpu::index()].swap(0, Ordering::Acquire)
}

/// Interrupts of network devices so far.
pub fn nic_interrupts() -> u64 {
    NIC_INTERRUPTS.load(Ordering::Acquire)
}

fn idt() -> &'static [[u64; 2]; 256] {
    IDT.call_once(|| {
        let mut table = Box::new([[0u64; 2]; 256]);
        for (i, vector) in TABLE.iter().enumerate() {
            // SAFETY: the assembler above defines the table with as many entries as `TABLE`.
            let target = unsafe { weft_isr_table[i] };
            let ist = u64::from(matches!(vector, 2 | 8 | 18));
            let low = target & 0xffff | 8 << 16 | ist << 32 | 0x8e00 << 32 | (target & 0xffff_0000) << 32;
            table[usize::from(*vector)] = [low, target >> 32];
        }
        table
    })
}

/// Where the monitor's own interrupt table is.
pub(crate) fn idt_base() -> u64 {
    idt().as_ptr() as u64
}

/// Gives the calling CPU its descriptor tables and its index. Called once on each CPU, before anything else.
pub fn init(index: usize) {
    let block = Box::leak(Box::new(Block {
        index: index as u64,
        gdt: [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0, 0],
        tss: Tss {
            reserved0: 0,
            rsp: [0; 3],
            reserved1: 0,
            ist: [0; 7],
            reserved2: [0; 2],
            io_map: size_of::<Tss>() as u16,
            reserved3: 0,
        },
        fault_stack: [0; 8192],
    }));
    let fault_stack_top = block.fault_stack.as_ptr() as u64 + block.fault_stack.len() as u64;
    block.tss.ist = [fault_stack_top & !15, 0, 0, 0, 0, 0, 0];
    let tss = &raw const block.tss as u64;
    let limit = size_of::<Tss>() as u64 - 1;
    block.gdt[3] = limit | (tss & 0xff_ffff) << 16 | 0x89 << 40 | (tss >> 24 & 0xff) << 56;
    block.gdt[4] = tss >> 32;
    let gdt = Pointer { limit: size_of_val(&block.gdt) as u16 - 1, base: block.gdt.as_ptr() as u64 };
    let idt = Pointer { limit: 4095, base: idt().as_ptr() as u64 };
    // SAFETY: the tables live for ever (leaked), hold flat 64-bit segments as the running code needs, and
    // the IDT's targets are the stubs above. GS base points to the block, whose first word is the index.
    unsafe {
        asm!(
            "lgdt [{gdt}]",
            "lidt [{idt}]",
            "push 8",
            "lea {tmp}, [rip + 2f]",
            "push {tmp}",
            "retfq",
            "2:",
            "mov {tmp:e}, 16",
            "mov ss, {tmp:e}",
            "mov ds, {tmp:e}",
            "mov es, {tmp:e}",
            "xor {tmp:e}, {tmp:e}",
            "mov fs, {tmp:e}",
            "mov gs, {tmp:e}",
            "mov {tmp:e}, 24",
            "ltr {tmp:x}",
            gdt = in(reg) &raw const gdt,
            idt = in(reg) &raw const idt,
            tmp = out(reg) _,
        );
        cpu::wrmsr(msr::GS_BASE, &raw const *block as u64);
    }
}

extern "C" fn interrupt(frame: &Frame) {
    match frame.vector {
        240..=255 => {
            if frame.vector == u64::from(VECTOR_LINE) {
                ioapic::mask();
            }
            if [VECTOR_NIC, VECTOR_LINE].map(u64::from).contains(&frame.vector) {
                NIC_INTERRUPTS.fetch_add(1, Ordering::Release);
            }
            PENDING[cpu::index()].fetch_or(1 << (frame.vector - 240), Ordering::Release);
            if frame.vector != u64::from(VECTOR_SPURIOUS) {
                apic::end_of_interrupt();
            }
        }
        vector => fatal(vector, frame),
    }
}

fn fatal(vector: u64, frame: &Frame) -> ! {
    let cr2: u64;
    // SAFETY: reading CR2 has no effect.
    unsafe { asm!("mov {}, cr2", out(reg) cr2, options(nomem, nostack, preserves_flags)) };
    serial::print_fatal(format_args!(
        "weft: fatal exception {vector} error {:#x} rip {:#x} rsp {:#x} cr2 {cr2:#x} rflags {:#x}\nweft: registers {:x?}\n",
        frame.error, frame.rip, frame.rsp, frame.rflags, frame.registers,
    ));
    cpu::stop()
}
