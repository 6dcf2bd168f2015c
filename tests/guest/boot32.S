/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the Multiboot or PVH entry to guest_main() with 32-bit, 2-level paging. */
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
        .globl start
start:
        cli
        cld
        movl %eax, boot_magic
        movl %ebx, boot_info
        movl $stack_top, %esp
        /* 4 MiB pages: GiB 0 to itself, GiB 1 to 0 for ring 3, the rest to itself. */
        movl $boot_pd, %edi
        xorl %ecx, %ecx
1:      movl %ecx, %eax
        shll $22, %eax
        movl %ecx, %edx
        shrl $8, %edx
        cmpl $1, %edx
        jne 2f
        subl $0x40000000, %eax
        orl $0x87, %eax
        jmp 3f
2:      orl $0x83, %eax
3:      movl %eax, (%edi,%ecx,4)
        incl %ecx
        cmpl $1024, %ecx
        jb 1b
        movl %cr4, %eax
        orl $0x10, %eax
        movl %eax, %cr4
        movl %edi, %cr3
        movl %cr0, %eax
        andl $~0x60000006, %eax
        orl $0x80000021, %eax
        movl %eax, %cr0
        lgdt gdtr
        ljmp $8, $4f
4:      movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        movl %eax, %fs
        movl %eax, %gs
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
        pushl $0
        .endif
        pushl $vector
        jmp trap_common
        .set vector, vector + 1
        .endr
        .balign 16

trap_common:
        pushal
        pushl %ds
        pushl %es
        pushl %fs
        pushl %gs
        movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %esp, %eax
        cld
        call trap_entry
        popl %gs
        popl %fs
        popl %es
        popl %ds
        popal
        addl $8, %esp
        iret

        .globl context_save
context_save:
        movl %ebx, 0(%eax)
        movl %ebp, 4(%eax)
        movl %esi, 8(%eax)
        movl %edi, 12(%eax)
        movl %esp, 16(%eax)
        movl (%esp), %edx
        movl %edx, 20(%eax)
        xorl %eax, %eax
        ret

        .globl context_restore
context_restore:
        movl $0x10, %edx
        movl %edx, %ss
        movl %edx, %ds
        movl %edx, %es
        movl %edx, %fs
        movl %edx, %gs
        movl 0(%eax), %ebx
        movl 4(%eax), %ebp
        movl 8(%eax), %esi
        movl 12(%eax), %edi
        movl 16(%eax), %esp
        movl 20(%eax), %edx
        movl %edx, (%esp)
        pushl $2
        popfl
        movl $1, %eax
        ret

/* enter_user_at(eax = cs, edx = ss, ecx = ip, sp, flags, arg) */
        .globl enter_user_at
enter_user_at:
        movl 4(%esp), %ebx
        movl 8(%esp), %esi
        movl 12(%esp), %edi
        movzwl %dx, %edx
        movzwl %ax, %eax
        pushl %edx
        pushl %ebx
        pushl %esi
        pushl %eax
        pushl %ecx
        movl %edx, %ds
        movl %edx, %es
        movl %edi, %eax
        iret

/* -- Ring 3 ------------------------------------------------------------------------------------------- */

        .globl user_load, user_store, user_exit, user_load_end
user_load:
        movb (%edi), %al
user_load_end:
        int $0x80
user_store:
        movb %al, (%edi)
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
        .quad 0x00cf9b000000ffff        /* 08 kernel code          */
        .quad 0x00cf93000000ffff        /* 10 kernel data          */
        .quad 0x00cffb000000ffff        /* 18 user code            */
        .quad 0x00cff3000000ffff        /* 20 user data            */
        .quad 0x00cffb000000ffff        /* 28 user code            */
        .quad 0x00cff3000000ffff        /* 30 user data            */
        .quad 0x00cf9b000000ffff        /* 38 kernel code, 32 bits */
        .quad 0x00009b000000ffff        /* 40 kernel code, 16 bits */
        .quad 0x000093000000ffff        /* 48 kernel data, 16 bits */
        .quad 0x0000890000002068        /* 50 TSS: with a full I/O bitmap */
        .fill 53, 8, 0
        .globl gdtr
gdtr:   .word 64 * 8 - 1
        .long gdt

        .balign 16
        .globl tss, tss_iobitmap
tss:    .long 0, kernel_stack_top, 0x10
        .fill 22, 4, 0
        .word 0, 0x68
tss_iobitmap:
        .fill 0x2000, 1, 0xff
        .byte 0xff

        .bss
        .balign 4096
        .globl boot_pd
boot_pd: .skip 4096
        .skip 16384
        .globl stack_top
stack_top:
        .skip 8192
        .globl kernel_stack_top
kernel_stack_top:
        .skip 8192
        .globl user_stack_top
user_stack_top:
