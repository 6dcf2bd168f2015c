/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/vcb-offsets.h"

#define V(off) %fs:vcb@tpoff + off

    .text
    .globl trans_enter, trans_thunk, trans_thunk_entry, trans_glue_start, trans_glue_end

    .type trans_enter, @function
trans_enter:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    sub $8, %rsp
    mov %rsp, V(VCB_HOST_RSP)

trans_resume:
trans_glue_start:
    mov V(VCB_FLAGS), %eax
    add $0x7f, %al                  /* OF from AL */
    sahf                            /* SF ZF AF PF CF from AH */
    mov V(VCB_HOST + 8 * 1), %rcx
    mov V(VCB_HOST + 8 * 2), %rdx
    mov V(VCB_HOST + 8 * 3), %rbx
    mov V(VCB_HOST + 8 * 4), %rsp
    mov V(VCB_HOST + 8 * 5), %rbp
    mov V(VCB_HOST + 8 * 6), %rsi
    mov V(VCB_HOST + 8 * 7), %rdi
    mov V(VCB_HOST + 8 * 8), %r8
    mov V(VCB_HOST + 8 * 9), %r9
    mov V(VCB_HOST + 8 * 10), %r10
    mov V(VCB_HOST + 8 * 11), %r11
    mov V(VCB_HOST + 8 * 12), %r12
    mov V(VCB_HOST + 8 * 13), %r13
    mov V(VCB_HOST + 8 * 14), %r14
    mov V(VCB_HOST + 8 * 15), %r15
    mov V(VCB_HOST + 8 * 0), %rax
    jmp *V(VCB_RESUME)
trans_glue_end:
    int3
    .size trans_enter, . - trans_enter

    .type trans_thunk_entry, @function
trans_thunk_entry:
    movl $3, V(VCB_SITE)            /* SITE_ENTRY */
    .size trans_thunk_entry, . - trans_thunk_entry

    .type trans_thunk, @function
trans_thunk:
    mov %rax, V(VCB_HOST + 8 * 0)
    mov %rcx, V(VCB_HOST + 8 * 1)
    mov %rdx, V(VCB_HOST + 8 * 2)
    mov %rbx, V(VCB_HOST + 8 * 3)
    mov %rsp, V(VCB_HOST + 8 * 4)
    mov %rbp, V(VCB_HOST + 8 * 5)
    mov %rsi, V(VCB_HOST + 8 * 6)
    mov %rdi, V(VCB_HOST + 8 * 7)
    mov %r8, V(VCB_HOST + 8 * 8)
    mov %r9, V(VCB_HOST + 8 * 9)
    mov %r10, V(VCB_HOST + 8 * 10)
    mov %r11, V(VCB_HOST + 8 * 11)
    mov %r12, V(VCB_HOST + 8 * 12)
    mov %r13, V(VCB_HOST + 8 * 13)
    mov %r14, V(VCB_HOST + 8 * 14)
    mov %r15, V(VCB_HOST + 8 * 15)
    lahf
    seto %al
    mov %rax, V(VCB_FLAGS)
    mov V(VCB_HOST_RSP), %rsp
    cld
    call trans_left
    test %al, %al
    jnz trans_resume
    add $8, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
    .size trans_thunk, . - trans_thunk

    .section .note.GNU-stack, "", @progbits
