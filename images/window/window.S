# A guest that looks for the monitor's shadow tables in every paging mode: at each address beyond the physical width that
# it was told of, by pages of all sizes, by tables of all levels, by CR3 itself, then by PAE and by 32-bit paging with
# 36-bit extension. A fault is right, and so are ones, as on a bus where nothing answers. Anything else was read.
#
# Prints `window: N looks, N reads` and powers off; `window: exception` for what it did not expect.
#
# Registers: r12 looks, r13 reads, r14 where to go on after a fault, r11 with which stack.

    .set PORT, 0x3f8
    .set POWER, 0x600
    .set FAR, 0x8000000000          # address that the fifth table entry of the top leads to
    .set CODE64, 8
    .set CODE32, 16
    .set DATA, 24

    .text
    .code64
    .org 0x200
    .global _start
_start:
    cli
    movl $stack_top, %esp
    lgdt gdt_pointer(%rip)
    movw $DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    # All vectors lead to one of three handlers.
    leaq idt(%rip), %rdi
    xorl %ecx, %ecx
1:  leaq other(%rip), %rax
    cmpl $13, %ecx
    jne 2f
    leaq protection(%rip), %rax
2:  cmpl $14, %ecx
    jne 3f
    leaq page_fault(%rip), %rax
3:  movw %ax, (%rdi)
    movw $CODE64, 2(%rdi)
    movw $0x8e00, 4(%rdi)
    shrq $16, %rax
    movw %ax, 6(%rdi)
    shrq $16, %rax
    movl %eax, 8(%rdi)
    addq $16, %rdi
    incl %ecx
    cmpl $32, %ecx
    jb 1b
    lidt idt_pointer(%rip)
    # The first GiB one to one.
    movl $pdpt + 3, pml4(%rip)
    movl $pd + 3, pdpt(%rip)
    xorl %ecx, %ecx
    movl $0x83, %eax
4:  movl %eax, pd(, %ecx, 8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $512, %ecx
    jb 4b
    movl $pml4, %eax
    movq %rax, %cr3
    movl $0x80000008, %eax
    cpuid
    movzbl %al, %ebx                # physical width
    xorl %r12d, %r12d
    xorl %r13d, %r13d
    movl %ebx, %ecx
each_bit:
    movl $1, %r8d
    shlq %cl, %r8                   # address beyond the width
    movl $4, %r9d                   # places from there on
each_place:
    call look_here
    addq $0x1000, %r8
    decl %r9d
    jnz each_place
    incl %ecx
    cmpl $52, %ecx
    jb each_bit
    jmp legacy

# Looks at r8 by all ways that long mode has.
look_here:
    # A page of 4 KiB, of 2 MiB, of 1 GiB.
    call path
    leaq 3(%r8), %rax
    movq %rax, far_pt(%rip)
    call look
    call path
    movq %r8, %rax
    andq $-0x200000, %rax
    orq $0x83, %rax
    movq %rax, far_pd(%rip)
    call look
    call path
    movq %r8, %rax
    andq $-0x40000000, %rax
    orq $0x83, %rax
    movq %rax, far_pdpt(%rip)
    call look
    # The same address as a table of each level: an entry found there would lead somewhere.
    call path
    leaq 3(%r8), %rax
    movq %rax, far_pd(%rip)
    call look
    call path
    leaq 3(%r8), %rax
    movq %rax, far_pdpt(%rip)
    call look
    call path
    leaq 3(%r8), %rax
    movq %rax, pml4 + 8(%rip)
    call look
    # As the root itself.
    leaq 5f(%rip), %r14
    movq %rsp, %r11
    movq %r8, %cr3
    # Nobody comes here but with the guest's tables in the window.
    incq %r13
5:  incq %r12
    ret

# A path to FAR that ends in an empty table.
path:
    movl $far_pdpt + 3, %eax
    movq %rax, pml4 + 8(%rip)
    movl $far_pd + 3, %eax
    movq %rax, far_pdpt(%rip)
    movl $far_pt + 3, %eax
    movq %rax, far_pd(%rip)
    movq $0, far_pt(%rip)
    ret

look:
    movq %cr3, %rax
    movq %rax, %cr3
    movabsq $FAR, %rdi
    invlpg (%rdi)
    leaq 6f(%rip), %r14
    movq %rsp, %r11
    movq (%rdi), %rax
    cmpq $-1, %rax
    je 6f
    incq %r13
6:  incq %r12
    ret

page_fault:
protection:
    movq %r11, %rsp
    jmp *%r14

other:
    leaq exception(%rip), %rsi
    call say
    jmp power_off

say:
    movw $PORT, %dx
7:  lodsb
    testb %al, %al
    jz 8f
    outb %al, %dx
    jmp 7b
8:  ret

# eax in decimal.
number:
    leaq digits_end(%rip), %rdi
    movl $10, %ebx
9:  xorl %edx, %edx
    divl %ebx
    addb $'0', %dl
    decq %rdi
    movb %dl, (%rdi)
    testl %eax, %eax
    jnz 9b
    movq %rdi, %rsi
    jmp say

power_off:
    movw $POWER, %dx
    movb $0x34, %al
    outb %al, %dx
10: hlt
    jmp 10b

# Out of long mode: the counts go along in edi and ebp.
legacy:
    movl %r12d, %edi
    movl %r13d, %ebp
    pushq $CODE32
    leaq protected(%rip), %rax
    pushq %rax
    lretq

    .code32
protected:
    movl %cr0, %eax
    andl $0x7fffffff, %eax
    movl %eax, %cr0
    movl $0xc0000080, %ecx
    rdmsr
    andl $~0x100, %eax
    wrmsr
    # Gates of 32 bits.
    movl $idt, %ebx
    xorl %ecx, %ecx
11: movl $fault32, %eax
    movw %ax, (%ebx)
    movw $CODE32, 2(%ebx)
    movw $0x8e00, 4(%ebx)
    shrl $16, %eax
    movw %ax, 6(%ebx)
    addl $8, %ebx
    incl %ecx
    cmpl $32, %ecx
    jb 11b
    lidt idt_pointer32
    # PAE: the first GiB one to one, 1 GiB on a page far away.
    movl $pd + 1, pae_pdpt
    movl $far_pd + 1, pae_pdpt + 8
    movl $far_pt + 3, far_pd
    movl $0, far_pd + 4
    movl $pae_pdpt, %eax
    movl %eax, %cr3
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    movl $7, %ecx                   # bit of the upper half: address bits 39 to 51
12: movl $1, %eax
    shll %cl, %eax
    movl %eax, far_pt + 4
    movl $3, far_pt
    call look32
    movl %eax, far_pt + 4
    movl $0x1003, far_pt
    call look32
    incl %ecx
    cmpl $20, %ecx
    jb 12b
    # 32-bit paging: bits 13 to 20 of a large page are address bits 32 to 39.
    movl %cr0, %eax
    andl $0x7fffffff, %eax
    movl %eax, %cr0
    movl $0x10, %eax
    movl %eax, %cr4
    xorl %ecx, %ecx
    movl $0x83, %eax
13: movl %eax, far_pdpt(, %ecx, 4)
    addl $0x400000, %eax
    incl %ecx
    cmpl $256, %ecx
    jb 13b
    movl $0x100083, far_pdpt + 4 * 256
    movl $far_pdpt, %eax
    movl %eax, %cr3
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    call look32
    movl $0x1fe083, far_pdpt + 4 * 256
    call look32
    jmp result

# Reads at 1 GiB. Changes ebx and esi.
look32:
    movl %cr3, %ebx
    movl %ebx, %cr3
    movl $0x40000000, %ebx
    invlpg (%ebx)
    movl $14f, %esi
    movl %esp, saved_stack
    movl (%ebx), %edx
    cmpl $-1, %edx
    je 14f
    incl %ebp
14: incl %edi
    ret

fault32:
    movl saved_stack, %esp
    jmp *%esi

result:
    # Back to long mode for the words: paging off, PAE, LME, on.
    movl %cr0, %eax
    andl $0x7fffffff, %eax
    movl %eax, %cr0
    movl $0x20, %eax
    movl %eax, %cr4
    movl $pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    ljmp $CODE64, $again
    .code64
again:
    movl $stack_top, %esp
    movl %edi, %r12d
    movl %ebp, %r13d
    leaq words(%rip), %rsi
    call say
    movl %r12d, %eax
    call number
    leaq looks(%rip), %rsi
    call say
    movl %r13d, %eax
    call number
    leaq reads(%rip), %rsi
    call say
    jmp power_off

words:     .asciz "window: "
looks:     .asciz " looks, "
reads:     .asciz " reads\n"
exception: .asciz "window: exception\n"

    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt
idt_pointer:
    .word 32 * 16 - 1
    .quad idt
idt_pointer32:
    .word 32 * 8 - 1
    .long idt
saved_stack: .long 0
digits:    .skip 12
digits_end: .byte 0

    .balign 4096
pml4:      .skip 4096
pdpt:      .skip 4096
pd:        .skip 4096
far_pdpt:  .skip 4096
far_pd:    .skip 4096
far_pt:    .skip 4096
pae_pdpt:  .skip 4096
idt:       .skip 4096
stack:     .skip 4096
stack_top:
