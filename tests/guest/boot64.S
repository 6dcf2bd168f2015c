/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the Multiboot or PVH entry (32 bits, no paging) to guest_main() in long mode. */
        .section .multiboot, "ax"
        .balign 4
        .long 0x1badb002, 0, -0x1badb002

        /* PVH: the same entry (Xen's note 18, PHYS32_ENTRY) */
        .section .note.Xen, "a", @note
        .balign 4
        .long 4, 4, 18
        .asciz "Xen"
        .long start

        .text
        .code32
        .globl start
start:
        cli
        cld
        movl %eax, boot_magic
        movl %ebx, boot_info
        movl $stack_top, %esp
        /* Page directories: GiB 0 to itself, GiB 1 to 0 for ring 3, GiB 2 and 3 to themselves. */
        movl $boot_pd, %edi
        xorl %ecx, %ecx
1:      movl %ecx, %eax
        shll $21, %eax
        movl %ecx, %edx
        shrl $9, %edx
        cmpl $1, %edx
        jne 2f
        subl $0x40000000, %eax
        orl $0x87, %eax
        jmp 3f
2:      orl $0x83, %eax
3:      movl %eax, (%edi,%ecx,8)
        movl $0, 4(%edi,%ecx,8)
        incl %ecx
        cmpl $2048, %ecx
        jb 1b
        movl $boot_pd + 7, %eax
        xorl %ecx, %ecx
4:      movl %eax, boot_pdpt(,%ecx,8)
        addl $4096, %eax
        incl %ecx
        cmpl $4, %ecx
        jb 4b
        movl $boot_pdpt + 7, boot_pml4
        movl %cr4, %eax
        orl $0x20, %eax
        movl %eax, %cr4
        movl $boot_pml4, %eax
        movl %eax, %cr3
        movl $0xc0000080, %ecx
        rdmsr
        orl $0x100, %eax
        wrmsr
        movl %cr0, %eax
        andl $~0x60000006, %eax
        orl $0x80000021, %eax
        movl %eax, %cr0
        lgdt gdtr
        ljmp $8, $start64

        .code64
start64:
        movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        movl %eax, %fs
        movl %eax, %gs
        movl $stack_top, %esp
        /* TSS descriptor: its address is known only now. */
        movl $tss, %eax
        movw %ax, gdt + 0x52
        shrl $16, %eax
        movb %al, gdt + 0x54
        movb %ah, gdt + 0x57
        movl $0x50, %eax
        ltr %ax
        call guest_main
5:      hlt
        jmp 5b

/* -- Exceptions --------------------------------------------------------------------------------------- */

        .globl trap_stubs
        .balign 16
trap_stubs:
        .set vector, 0
        .rept 256
        .balign 16
        .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
        push $0
        .endif
        pushq $vector
        jmp trap_common
        .set vector, vector + 1
        .endr
        .balign 16

trap_common:
        push %rax
        push %rcx
        push %rdx
        push %rbx
        push %rbp
        push %rsi
        push %rdi
        push %r8
        push %r9
        push %r10
        push %r11
        push %r12
        push %r13
        push %r14
        push %r15
        movq %rsp, %rdi
        movq %rsp, %rbx
        andq $-16, %rsp
        cld
        call trap_entry
        movq %rbx, %rsp
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %r11
        pop %r10
        pop %r9
        pop %r8
        pop %rdi
        pop %rsi
        pop %rbp
        pop %rbx
        pop %rdx
        pop %rcx
        pop %rax
        addq $16, %rsp
        iretq

        .globl context_save
context_save:
        movq %rbx, 0(%rdi)
        movq %rbp, 8(%rdi)
        movq %r12, 16(%rdi)
        movq %r13, 24(%rdi)
        movq %r14, 32(%rdi)
        movq %r15, 40(%rdi)
        movq %rsp, 48(%rdi)
        movq (%rsp), %rax
        movq %rax, 56(%rdi)
        xorl %eax, %eax
        ret

        .globl context_restore
context_restore:
        movl $0x10, %eax
        movl %eax, %ss
        movl %eax, %ds
        movl %eax, %es
        movq 0(%rdi), %rbx
        movq 8(%rdi), %rbp
        movq 16(%rdi), %r12
        movq 24(%rdi), %r13
        movq 32(%rdi), %r14
        movq 40(%rdi), %r15
        movq 48(%rdi), %rsp
        movq 56(%rdi), %rax
        movq %rax, (%rsp)
        pushq $2
        popfq
        movl $1, %eax
        ret

/* enter_user_at(cs, ss, ip, sp, flags, arg) */
        .globl enter_user_at
enter_user_at:
        movzwl %si, %esi
        pushq %rsi
        pushq %rcx
        pushq %r8
        movzwl %di, %edi
        pushq %rdi
        pushq %rdx
        movq %r9, %rdi
        movq %r9, %rax
        iretq

/* -- Ring 3 ------------------------------------------------------------------------------------------- */

        .globl user_load, user_store, user_exit, user_load_end
user_load:
        movb (%rdi), %al
user_load_end:
        int $0x80
user_store:
        movb %al, (%rdi)
        int $0x80
user_exit:
        int $0x80

/* -- Data --------------------------------------------------------------------------------------------- */

        .data
        .globl boot_magic, boot_info
boot_magic: .long 0
boot_info: .long 0
        .globl gdt
        .balign 16
gdt:    .quad 0
        .quad 0x00af9b000000ffff        /* 08 kernel code, 64 bits */
        .quad 0x00cf93000000ffff        /* 10 kernel data          */
        .quad 0x00cffb000000ffff        /* 18 user code, 32 bits   */
        .quad 0x00cff3000000ffff        /* 20 user data            */
        .quad 0x00affb000000ffff        /* 28 user code, 64 bits   */
        .quad 0x00cff3000000ffff        /* 30 user data            */
        .quad 0x00cf9b000000ffff        /* 38 kernel code, 32 bits */
        .quad 0x00009b000000ffff        /* 40 kernel code, 16 bits */
        .quad 0x000093000000ffff        /* 48 kernel data, 16 bits */
        .quad 0x0000890000002068        /* 50 TSS: with a full I/O bitmap */
        .quad 0
        .fill 52, 8, 0
        .globl gdtr
gdtr:   .word 64 * 8 - 1
        .quad gdt

        .balign 16
        .globl tss, tss_iobitmap
tss:    .long 0
        .quad kernel_stack_top, 0, 0, 0
        .quad ist_stack_top, 0, 0, 0, 0, 0, 0
        .long 0, 0
        .word 0, 0x68
tss_iobitmap:
        .fill 0x2000, 1, 0xff
        .byte 0xff

        .bss
        .balign 4096
        .globl boot_pml4, boot_pdpt, boot_pd
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_pd:   .skip 4096 * 4
        .skip 16384
stack_top:
        .skip 8192
        .globl kernel_stack_top
kernel_stack_top:
        .skip 8192
        .globl ist_stack_top
ist_stack_top:
        .skip 8192
        .globl user_stack_top
user_stack_top:
