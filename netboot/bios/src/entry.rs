//! From the Multiboot loader's 32-bit protected mode to Rust in long mode.
//!
//! All assembly of this program but the jump is here. The prologue keeps EAX (the loader's magic)
//! and EBX (the information structure), maps the low 4 GiB by 2 MiB pages one to one, and calls
//! `weft_main`. A processor without long mode is told so on screen and serial port and halts.
//!
//! `weft_payload` is filled by the assembly of the image (`weft_netboot::assemble::bios`).

use core::arch::global_asm;

global_asm!(
    r#"
    .section .multiboot, "a"
    .balign 4
    .long 0x1badb002
    .long 0x00000003
    .long -(0x1badb002 + 0x00000003)

    .section .data.payload, "aw"
    .balign 8
    .global weft_payload
weft_payload:
    .ascii "weft-bios-v1\0\0\0\0"
    .long 0, 0, 0, 0

    .section .bss, "aw", @nobits
    .balign 4096
boot_pml4:  .skip 4096
boot_pdpt:  .skip 4096
boot_pd:    .skip 4 * 4096
boot_stack: .skip 131072
boot_stack_top:

    .section .rodata, "a"
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9a000000ffff
    .quad 0x00cf92000000ffff
boot_gdt_end:
boot_gdt_pointer:
    .word boot_gdt_end - boot_gdt - 1
    .long boot_gdt
no_long_mode:
    .asciz "weft-refuse: no-long-mode: this processor has no 64-bit mode\r\n"

    .section .text.start, "ax"
    .code32
    .global start32
start32:
    cli
    cld
    movl $boot_stack_top, %esp
    movl %eax, %esi
    movl %ebx, %edi
    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb   2f
    movl $0x80000001, %eax
    cpuid
    btl  $29, %edx
    jnc  2f
    movl $boot_pdpt + 3, boot_pml4
    movl $boot_pd + 3, %eax
    xorl %ecx, %ecx
3:  movl %eax, boot_pdpt(, %ecx, 8)
    addl $4096, %eax
    incl %ecx
    cmpl $4, %ecx
    jb   3b
    movl $0x83, %eax
    xorl %ecx, %ecx
4:  movl %eax, boot_pd(, %ecx, 8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $2048, %ecx
    jb   4b
    movl $0x20, %eax
    movl %eax, %cr4
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl  $0x100, %eax
    wrmsr
    movl $0x80000011, %eax
    movl %eax, %cr0
    lgdt boot_gdt_pointer
    ljmp $8, $start64
2:  movl $no_long_mode, %esi
    movl $0xb8000, %edi
5:  lodsb
    testb %al, %al
    jz   6f
    movw $0x3f8, %dx
    outb %al, %dx
    movb $0x4f, %ah
    stosw
    jmp  5b
6:  hlt
    jmp  6b

    .code64
start64:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs
    movl $boot_stack_top, %esp
    xorl %ebp, %ebp
    call weft_main
7:  hlt
    jmp  7b
    "#,
    options(att_syntax)
);
