/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code of a world: position independent, without a writable stack, and without a host library.
 *
 * A world is two processes that share one address space.  The loader (the entry of a fresh, tiny
 * program) maps the stub where the engine wants it and goes there; it then unmaps everything else
 * and becomes the *mapper*, which makes a second process, the *guest thread*.  The mapper executes
 * the system calls that the engine has written into W_CTL, which the guest thread cannot write; it
 * keeps everything in registers, so that the guest thread has no way to turn it.  The guest thread
 * gives up its files, installs one handler for all signals and a filter that leaves it
 * rt_sigreturn and two kinds of futex call, and traps to the engine.  Its user code comes and goes
 * by the signal frame.
 */
#include "translator/direct/stub.h"

#define SYS_close 3
#define SYS_mmap 9
#define SYS_munmap 11
#define SYS_rt_sigaction 13
#define SYS_rt_sigprocmask 14
#define SYS_rt_sigreturn 15
#define SYS_pwrite64 18
#define SYS_clone 56
#define SYS_getppid 110
#define SYS_setsid 112
#define SYS_sigaltstack 131
#define SYS_prctl 157
#define SYS_arch_prctl 158
#define SYS_futex 202
#define SYS_exit_group 231
#define SYS_seccomp 317
#define SYS_close_range 436

#define SIGSEGV 11
#define UC_ERR 192             /* in a ucontext_t */
#define UC_TRAPNO 200

#define S(label) label - world_stub
#define CTL(field) world_stub + W_CTL + field(%rip)
#define CTX(field) world_stub + W_CTX + field(%rip)

    .section .rodata
    .balign 64
    .globl world_stub, world_stub_end, world_stub_loader, world_stub_handler, world_stub_restorer
    .globl world_stub_after_tsc, world_stub_after_wait, world_stub_after_wake, world_stub_after_call, world_stub_after_return
    .globl world_stub_after_fs, world_stub_after_gs, world_stub_rdtsc

world_stub:

/* -- The handler of all signals ----------------------------------------------------------------- */

world_stub_handler:             /* edi: signal, rsi: siginfo_t, rdx: ucontext_t */
    pushq $2
    popfq                       /* the user's AC and NT are still in force */
    mov %rsp, %rbp
    mov %rdx, CTX(CTX_UCONTEXT)
    mov %rsi, CTX(CTX_SIGINFO)
    mov %edi, CTX(CTX_SIGNAL)
    xor %r12d, %r12d            /* 1: an access to a page that is not there, so that an order to the mapper comes next */
    cmp $SIGSEGV, %edi
    jne 1f
    cmpl $14, UC_TRAPNO(%rdx)
    jne 1f
    testb $0x10, UC_ERR(%rdx)
    setz %r12b
1:
    testb $BASES_BY_INSTRUCTION, CTL(CTL_BASES)
    jz 1f
    rdfsbase %rax
    mov %rax, CTX(CTX_FS_BASE)
    rdgsbase %rax
    mov %rax, CTX(CTX_GS_BASE)
1:
    mov %ds, %eax
    mov %eax, CTX(CTX_DS)
    mov %es, %eax
    mov %eax, CTX(CTX_ES)
    mov %fs, %eax
    mov %eax, CTX(CTX_FS)
    mov %gs, %eax
    mov %eax, CTX(CTX_GS)

    mov CTL(CTL_RESUME), %ebx
    mov %ebx, %eax
    xchg %eax, CTX(CTX_EVENT)   /* a full barrier: the engine writes SLEEPING, then looks at EVENT */
    cmpl $0, CTL(CTL_SLEEPING)
    je 1f
    lea CTX(CTX_EVENT), %rdi
    mov $1, %esi                /* FUTEX_WAKE */
    mov $1, %edx
    xor %r10d, %r10d
    mov $SYS_futex, %eax
    syscall
world_stub_after_wake:
1:  mov CTL(CTL_SPIN), %ecx
    test %ecx, %ecx
    jz 2f
    test %r12d, %r12d
    jz 2f
    lea CTL(CTL_ORDER), %rdi    /* let the mapper, which shares this CPU, look for the engine's word */
    mov $1, %esi
    mov $1, %edx
    xor %r10d, %r10d
    mov $SYS_futex, %eax
    syscall
world_stub_after_call:
    xor %ecx, %ecx
2:  cmp CTL(CTL_RESUME), %ebx
    jne go
    test %ecx, %ecx
    jz 3f
    pause
    dec %ecx
    cmpl $0, CTL(CTL_SPIN)
    jne 2b
3:  mov $1, %eax
    xchg %eax, CTX(CTX_ASLEEP)
    lea CTL(CTL_RESUME), %rdi
    xor %esi, %esi              /* FUTEX_WAIT */
    mov %ebx, %edx
    xor %r10d, %r10d
    mov $SYS_futex, %eax
    syscall
world_stub_after_wait:
    movl $0, CTX(CTX_ASLEEP)
    cmp CTL(CTL_RESUME), %ebx
    je 3b

go: mov CTL(CTL_DS), %eax
    mov %eax, %ds
    mov CTL(CTL_ES), %eax
    mov %eax, %es
    mov CTL(CTL_BASES), %ebx
    test $BASES_BY_INSTRUCTION, %bl
    jz 1f
    mov CTL(CTL_FS), %eax
    mov %eax, %fs
    mov CTL(CTL_GS), %eax
    mov %eax, %gs
    mov CTL(CTL_FS_BASE), %rax
    wrfsbase %rax
    mov CTL(CTL_GS_BASE), %rax
    wrgsbase %rax
1:  test $BASES_SET_FS, %bl
    jz 2f
    mov $0x1002, %edi           /* ARCH_SET_FS: the selector becomes 0 */
    mov CTL(CTL_FS_BASE), %rsi
    mov $SYS_arch_prctl, %eax
    syscall
world_stub_after_fs:
2:  test $BASES_SET_GS, %bl
    jz 3f
    mov $0x1001, %edi           /* ARCH_SET_GS */
    mov CTL(CTL_GS_BASE), %rsi
    mov $SYS_arch_prctl, %eax
    syscall
world_stub_after_gs:
3:  mov CTL(CTL_TSC), %esi
    cmp %esi, CTX(CTX_TSC)
    je 1f
    mov %esi, CTX(CTX_TSC)
    mov $26, %edi               /* PR_SET_TSC */
    mov $SYS_prctl, %eax
    syscall
world_stub_after_tsc:
1:  mov CTL(CTL_FLAGS), %eax
    push %rax
    popfq
    lea 8(%rbp), %rsp           /* behind the return address */
world_stub_restorer:
    mov $SYS_rt_sigreturn, %eax
    syscall
world_stub_after_return:
    int3
world_stub_rdtsc:               /* does it fault? */
    rdtsc
    int3

/* -- The mapper --------------------------------------------------------------------------------- */

mapper:                         /* rbx: the stub's base */
    mov $SYS_munmap, %eax       /* everything below the stub, and above */
    xor %edi, %edi
    mov %rbx, %rsi
    syscall
    lea W_LEN(%rbx), %rdi
    mov $W_TOP, %rsi
    sub %rdi, %rsi
    mov $SYS_munmap, %eax
    syscall
    test %eax, %eax
    jnz die
    mov $SYS_close, %eax
    mov $FD_IMAGE, %edi
    syscall
    mov $SYS_setsid, %eax       /* no signals from a terminal */
    syscall
    lea 1f(%rip), %r15
    jmp harden_r15
1:
    lea W_CTX(%rbx), %rsi       /* a stack it does not use */
    add $W_STACK_AT, %rsi
    mov $SYS_clone, %eax
    mov $0x8100, %edi           /* CLONE_VM | CLONE_PARENT, the parent's exit signal */
    xor %edx, %edx
    xor %r10d, %r10d
    xor %r8d, %r8d
    syscall
    test %rax, %rax
    jz guest
    js die
    mov %eax, CTX(CTX_GUEST_PID)
    mov $SYS_seccomp, %eax
    mov $1, %edi                /* SECCOMP_SET_MODE_FILTER */
    mov $4, %esi                /* SECCOMP_FILTER_FLAG_SPEC_ALLOW */
    lea CTL(CTL_MAPPER_PROG), %rdx
    syscall
    test %rax, %rax
    jnz die
    mov CTL(CTL_ORDER), %r12d   /* the order that is answered: being there */
    xor %r15d, %r15d            /* 0: all well, 4: a request failed; which of CTL_ANSWERS */

answer:
    mov $SYS_pwrite64, %eax     /* what neither process can write otherwise */
    mov $FD_SHARED, %edi
    lea CTL(CTL_ANSWERS), %rsi
    add %r15, %rsi
    mov $4, %edx
    mov $CTL_ANSWER, %r10d
    syscall
    cmp $4, %rax
    jne die
    cmpl $0, CTL(CTL_ANSWER_SLEEPING)
    je 1f
    lea CTL(CTL_ANSWER), %rdi
    mov $1, %esi                /* FUTEX_WAKE */
    mov $1, %edx
    xor %r10d, %r10d
    mov $SYS_futex, %eax
    syscall
1:  cmp CTL(CTL_ORDER), %r12d
    jne order
    mov $1, %eax
    xchg %eax, CTX(CTX_MAPPER_ASLEEP) /* a full barrier: the engine writes RESUME and ORDER, then looks at this */
    mov CTL(CTL_RESUME), %eax
    cmp CTX(CTX_EVENT), %eax
    je 2f
    cmpl $0, CTX(CTX_ASLEEP)
    je 2f
    lea CTL(CTL_RESUME), %rdi   /* left to us by the engine */
    mov $1, %esi
    mov $1, %edx
    xor %r10d, %r10d
    mov $SYS_futex, %eax
    syscall
2:  lea CTL(CTL_ORDER), %rdi
    xor %esi, %esi              /* FUTEX_WAIT */
    mov %r12d, %edx
    xor %r10d, %r10d
    mov $SYS_futex, %eax
    syscall
    movl $0, CTX(CTX_MAPPER_ASLEEP)
    mov CTX(CTX_EVENT), %r13d   /* called by the guest thread: look in its stead */
    mov CTL(CTL_SPIN), %ecx
3:  cmp CTL(CTL_ORDER), %r12d
    jne order
    cmp CTL(CTL_RESUME), %r13d
    jne 1b
    test %ecx, %ecx
    jz 1b
    cmpl $0, CTL(CTL_SPIN)
    je 1b
    pause
    dec %ecx
    jmp 3b

order:
    movl $0, CTX(CTX_MAPPER_ASLEEP)
    mov CTL(CTL_ORDER), %r12d
    xor %r15d, %r15d
    mov CTL(CTL_N_REQUESTS), %r13
    lea CTL(CTL_REQUESTS), %r14
1:  test %r13, %r13
    jz answer
    mov (%r14), %rax
    mov 8(%r14), %rdi
    mov 16(%r14), %rsi
    mov 24(%r14), %rdx
    mov 32(%r14), %r10
    mov 40(%r14), %r8
    mov 48(%r14), %r9
    syscall
    cmp $-4095, %rax
    jae 2f
    add $CTL_REQUEST_LEN, %r14
    dec %r13
    jmp 1b
2:  mov $4, %r15d               /* the rest is not done: the guest thread may have rights still that it has lost */
    jmp answer

die:
    mov $SYS_exit_group, %eax
    mov $1, %edi
    syscall
    int3

/* Die with the engine; no privileges, no dumps; a name.  There is no stack: back by r15. */
harden_r15:
    mov $SYS_prctl, %eax
    mov $1, %edi                /* PR_SET_PDEATHSIG, SIGKILL */
    mov $9, %esi
    syscall
    mov $SYS_getppid, %eax
    syscall
    cmp %eax, CTL(CTL_PARENT)
    jne die
    mov $SYS_prctl, %eax
    mov $38, %edi               /* PR_SET_NO_NEW_PRIVS */
    mov $1, %esi
    xor %edx, %edx
    xor %r10d, %r10d
    xor %r8d, %r8d
    syscall
    mov $SYS_prctl, %eax
    mov $4, %edi                /* PR_SET_DUMPABLE, 0 */
    xor %esi, %esi
    syscall
    mov $SYS_prctl, %eax
    mov $15, %edi               /* PR_SET_NAME */
    lea CTL(CTL_NAME), %rsi
    syscall
    jmp *%r15

/* -- The guest thread --------------------------------------------------------------------------- */

guest:
    mov $SYS_close_range, %eax
    xor %edi, %edi
    mov $-1, %esi
    xor %edx, %edx
    syscall
    test %rax, %rax
    jnz die
    lea 1f(%rip), %r15
    jmp harden_r15
1:  mov $SYS_sigaltstack, %eax
    lea CTL(CTL_STACK), %rdi
    xor %esi, %esi
    syscall
    test %rax, %rax
    jnz die
    lea signals(%rip), %r12
2:  movzbl (%r12), %edi
    test %edi, %edi
    jz 3f
    lea CTL(CTL_ACTION), %rsi
    xor %edx, %edx
    mov $8, %r10d
    mov $SYS_rt_sigaction, %eax
    syscall
    test %rax, %rax
    jnz die
    inc %r12
    jmp 2b
3:  mov $SYS_rt_sigprocmask, %eax
    mov $2, %edi                /* SIG_SETMASK: the engine's thread had all blocked */
    lea CTL(CTL_NO_SIGNALS), %rsi
    xor %edx, %edx
    mov $8, %r10d
    syscall
    test %rax, %rax
    jnz die
    mov $SYS_prctl, %eax
    mov $59, %edi               /* PR_SET_SYSCALL_USER_DISPATCH, on, all but the stub */
    mov $1, %esi
    mov %rbx, %rdx
    mov $W_CODE_LEN, %r10d
    xor %r8d, %r8d
    syscall
    test %rax, %rax
    jnz die
    mov $SYS_seccomp, %eax
    mov $1, %edi
    mov $4, %esi
    lea CTL(CTL_GUEST_PROG), %rdx
    syscall
    test %rax, %rax
    jnz die
    int3                        /* the first event */

signals:
    .byte 31, 11, 7, 8, 5, 4, KICK_SIGNAL, 0 /* SIGSYS SEGV BUS FPE TRAP ILL */

/* -- The loader --------------------------------------------------------------------------------- */

world_stub_loader:
    mov $SYS_mmap, %eax         /* read where to go */
    xor %edi, %edi
    mov $0x1000, %esi
    mov $1, %edx
    mov $1, %r10d               /* MAP_SHARED */
    mov $FD_SHARED, %r8d
    xor %r9d, %r9d
    syscall
    cmp $-4095, %rax
    jae die
    mov CTL_BASE(%rax), %rbx

    mov %rbx, %rdi              /* code */
    mov $W_CODE_LEN, %esi
    mov $5, %edx
    mov $0x100001, %r10d        /* MAP_SHARED | MAP_FIXED_NOREPLACE */
    mov $FD_IMAGE, %r8d
    mov $0x1000, %r9d           /* behind the ELF header */
    mov $SYS_mmap, %eax
    syscall
    cmp %rbx, %rax
    jne die
    lea W_CTL(%rbx), %rdi
    mov $W_CTL_LEN, %esi
    mov $1, %edx
    mov $0x100001, %r10d
    mov $FD_SHARED, %r8d
    xor %r9d, %r9d
    mov $SYS_mmap, %eax
    syscall
    cmp $-4095, %rax
    jae die
    lea W_CTX(%rbx), %rdi
    mov $W_CTX_LEN, %esi
    mov $3, %edx
    mov $0x100001, %r10d
    mov $FD_SHARED, %r8d
    mov $W_CTL_LEN, %r9d
    mov $SYS_mmap, %eax
    syscall
    cmp $-4095, %rax
    jae die
    lea S(mapper)(%rbx), %rax
    jmp *%rax

    .org world_stub + W_CODE_LEN, 0xcc /* an error if it is longer */
world_stub_end:

    .section .note.GNU-stack, "", @progbits
