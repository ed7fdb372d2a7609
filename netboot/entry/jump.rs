//! The jump into the DVMM, shared by both entries.

use core::arch::asm;

use weft_loader::load::Loaded;

/// Address of the code in [`jump`]; the new page tables must map it where it is.
pub(crate) fn code_address() -> u64 {
    jump as *const () as usize as u64
}

/// Loads the page tables and the stack, then jumps to the DVMM. Interrupts go off.
///
/// EFER.NXE comes first, since the new tables carry NX bits; CR0.WP makes read-only pages hold in the
/// monitor too; CR4 keeps PAE alone, so that nothing of the firmware's settings lives on.
///
/// # Safety
/// The firmware's services must have ended. `loaded` must come from `weft_loader::load::load` over the
/// memory that it describes, with this function's address as the jump code, and the hand-off must
/// have been written.
#[inline(never)]
pub(crate) unsafe fn jump(loaded: &Loaded) -> ! {
    // SAFETY: by this function's contract the tables map this code at the same address, the stack
    // and the entry point; nothing after the last instruction is reached.
    unsafe {
        asm!(
            "cli",
            "cld",
            "mov ecx, 0xc0000080",
            "rdmsr",
            "or eax, 0x800",
            "wrmsr",
            "mov rcx, cr0",
            "or ecx, 0x10000",
            "mov cr0, rcx",
            "mov ecx, 0x20",
            "mov cr4, rcx",
            "mov cr3, r8",
            "mov rsp, r9",
            "xor ebp, ebp",
            "jmp r10",
            in("rdi") loaded.handoff_va,
            in("r8") loaded.page_table,
            in("r9") loaded.stack_pointer,
            in("r10") loaded.entry,
            options(noreturn),
        )
    }
}
