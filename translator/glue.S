/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/vcb-offsets.h"

#define V(off) %fs:vcb@tpoff + off

    .text
    .globl trans_enter, trans_thunk, trans_thunk_entry, trans_thunk_arrived
    .globl trans_vec_spill, trans_vec_load, trans_bounce, trans_bounce_end

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
    mov V(VCB_VEC_WANTED), %eax
    test %eax, %eax
    jz 1f
    call vec_load
1:  mov V(VCB_FLAGS), %eax
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
    int3
    .size trans_enter, . - trans_enter

    .type trans_thunk_arrived, @function
trans_thunk_arrived:
    movl $11, V(VCB_SITE)           /* SITE_OTHER, SITE_ARRIVED */
    jmp trans_thunk
    .size trans_thunk_arrived, . - trans_thunk_arrived

    .type trans_thunk_entry, @function
trans_thunk_entry:
    movl $3, V(VCB_SITE)            /* SITE_OTHER, SITE_ENTRY */
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

/* Where the thread was, with a stack pointer that the host's kernel cannot give it (signals.c). */
    .type trans_bounce, @function
trans_bounce:
    mov V(VCB_BOUNCE_RSP), %rsp
    jmp *V(VCB_BOUNCE_PC)
trans_bounce_end:
    int3
    .size trans_bounce, . - trans_bounce

/* -- Vector state ---------------------------------------------------------------------------- */

/* op reg, disp: all registers of one width to or from [rdi]. */
    .macro MOVE16 load
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    .if \load
    movaps 64*\n(%rdi), %xmm\n
    .else
    movaps %xmm\n, 64*\n(%rdi)
    .endif
    .endr
    .endm
    .macro MOVE32 load
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    .if \load
    vmovdqa 64*\n(%rdi), %ymm\n
    .else
    vmovdqa %ymm\n, 64*\n(%rdi)
    .endif
    .endr
    .endm
    .macro MOVE64 load
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .if \load
    vmovdqa64 64*\n(%rdi), %zmm\n
    .else
    vmovdqa64 %zmm\n, 64*\n(%rdi)
    .endif
    .endr
    .irp n, 0,1,2,3,4,5,6,7
    .if \load
    kmovq VEC_K+8*\n(%rdi), %k\n
    .else
    kmovq %k\n, VEC_K+8*\n(%rdi)
    .endif
    .endr
    .endm
    .macro MOVE_ALL load
    cmpl $1, V(VCB_VEC_WIDTH)
    jb 1f
    ja 2f
    MOVE32 \load
    jmp 3f
1:  MOVE16 \load
    jmp 3f
2:  MOVE64 \load
3:
    .endm

/* The wanted halves that are dead in the host: load them.  Clobbers rax, rcx, rdx, rsi, rdi. */
    .type vec_load, @function
vec_load:
    test $VEC_HALF_SSE, %al
    jz 4f
    cmpq $0, V(VCB_VEC_DEAD)
    je 4f
    mov V(VCB_VEC), %rdi
    MOVE_ALL 1
    ldmxcsr VEC_MXCSR(%rdi)
    movq $0, V(VCB_VEC_DEAD)
4:  test $VEC_HALF_X87, %al
    jz 5f
    cmpq $0, V(VCB_X87_DEAD)
    je 5f
    mov V(VCB_VEC), %rsi
    add $VEC_FX, %rsi
    mov %fs:0, %rdi
    lea vcb@tpoff + VCB_X87_AREA(%rdi), %rdi
    mov $160 / 8, %ecx
    rep movsq
    sub $160, %rdi
    movq $1, 512(%rdi)              /* XSTATE_BV: x87 */
    mov $1, %eax
    xor %edx, %edx
    xrstor (%rdi)                   /* MXCSR stays: neither SSE nor AVX is asked for */
    movq $0, V(VCB_X87_DEAD)
5:  ret
    .size vec_load, . - vec_load

/* C function: the halves that its argument says come back from *vec. */
    .type trans_vec_load, @function
trans_vec_load:
    mov %edi, %eax
    jmp vec_load
    .size trans_vec_load, . - trans_vec_load

/* C function: what is in the host goes to *vec, and C has its own MXCSR and an empty x87 stack. */
    .type trans_vec_spill, @function
trans_vec_spill:
    cmpq $0, V(VCB_VEC_DEAD)
    jne 4f
    mov V(VCB_VEC), %rdi
    MOVE_ALL 0
    stmxcsr VEC_MXCSR(%rdi)
    ldmxcsr V(VCB_C_MXCSR)
    movq $1, V(VCB_VEC_DEAD)
    cmpl $0, V(VCB_VEC_WIDTH)
    je 4f
    vzeroupper
4:  cmpq $0, V(VCB_X87_DEAD)
    jne 5f
    mov %fs:0, %rdi
    lea vcb@tpoff + VCB_X87_AREA(%rdi), %rdi
    mov $1, %eax
    xor %edx, %edx
    xsave (%rdi)
    mov V(VCB_VEC), %rsi
    add $VEC_FX, %rsi
    xchg %rsi, %rdi
    /* all of the first 160 bytes but MXCSR and its mask */
    mov $3, %ecx
    rep movsq
    add $8, %rsi
    add $8, %rdi
    mov $128 / 8, %ecx
    rep movsq
    fninit
    movq $1, V(VCB_X87_DEAD)
5:  ret
    .size trans_vec_spill, . - trans_vec_spill

    .section .note.GNU-stack, "", @progbits
