/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lies in the stub of a world, for C and for stub.S.
 *
 *   W_CODE  the code of stub.S, readable and executable: an image that nobody can write
 *   W_CTL   written by the engine, read-only in the world: orders, requests to the mapper
 *   W_CTX   written by the stub: what happened, and the signal frame.  The user code can write it too,
 *           so the engine believes nothing in it: it is the registers of one guest process, at best.
 *
 * W_CTL and W_CTX are one file (fd FD_SHARED): W_CTL at its start, W_CTX behind it.
 */
#ifndef TRANSLATOR_DIRECT_STUB_H
#define TRANSLATOR_DIRECT_STUB_H

/* Offsets from the stub's base. */
#define W_CODE_LEN 0x1000
#define W_CTL 0x1000
#define W_CTL_LEN 0x4000
#define W_CTX (W_CTL + W_CTL_LEN)
#define W_STACK_AT 0x1000 /* in W_CTX: the alternate stack, for one frame */
#define W_STACK_LEN 0x10000
#define W_CTX_LEN (W_STACK_AT + W_STACK_LEN)
#define W_LEN (W_CTX + W_CTX_LEN)
#define W_SHARED_LEN (W_CTL_LEN + W_CTX_LEN)

/* What a process may map: vm.mmap_min_addr of careful hosts; the end on a host with 4-level paging. */
#define W_BOTTOM 0x10000
#define W_TOP 0x7ffffffff000

/* Fields of W_CTL. */
#define CTL_RESUME 0       /* u32: number of the present order to run; futex of the guest thread */
#define CTL_PARK 4         /* u32: the futex it is moved to when it must be known to sleep */
#define CTL_SLEEPING 8     /* u32: the engine sleeps on CTX_EVENT */
#define CTL_SPIN 12        /* u32: times to look at CTL_RESUME before sleeping */
#define CTL_FS_BASE 16
#define CTL_GS_BASE 24
#define CTL_DS 32          /* u32 each: selectors */
#define CTL_ES 36
#define CTL_FS 40
#define CTL_GS 44
#define CTL_BASE 48        /* where the stub is to be */
#define CTL_N_REQUESTS 56
#define CTL_PARENT 64      /* pid of the engine */
#define CTL_GUEST_PROG 72  /* struct sock_fprog */
#define CTL_MAPPER_PROG 88
#define CTL_STACK 104      /* stack_t */
#define CTL_ACTION 128     /* struct kernel_sigaction */
#define CTL_FLAGS 156      /* u32: RFLAGS.ID, which rt_sigreturn leaves alone */
#define CTL_NO_SIGNALS 160 /* u64 0: an empty signal set */
#define CTL_NAME 168       /* the process's name */
#define CTL_TSC 176        /* u32: PR_SET_TSC's argument that is wanted */
#define CTL_BASES 180      /* u32: BASES_*, how the segment bases come and go */
#define CTL_NEXT 184       /* u32: what the mapper shall set CTL_RESUME to, through the file */
#define CTL_ORDER 188      /* u32: number of the mapper's present order; its futex */
#define CTL_ANSWER 192     /* u32: number of the last one that it has carried out, by the mapper through the file; futex of the engine */
#define CTL_ANSWER_SLEEPING 196 /* u32: the engine sleeps on that */
#define CTL_ANSWERS 200    /* u32 each: what CTL_ANSWER becomes when all is well, and (ANSWER_FAILED) if something failed */
#define CTL_FILTERS 0x100  /* struct sock_filter[] up to CTL_REQUESTS */
#define CTL_REQUESTS 0x1000
#define CTL_REQUEST_LEN 64 /* number of the call, six arguments, nothing */
#define CTL_REQUESTS_MAX 192

/* Fields of W_CTX. */
#define CTX_EVENT 0        /* u32: CTL_RESUME of the order that has ended; futex of the engine */
#define CTX_ASLEEP 4       /* u32: the guest thread is about to sleep (a hint) */
#define CTX_UCONTEXT 8     /* u64: address of the ucontext_t */
#define CTX_SIGINFO 16
#define CTX_FS_BASE 24
#define CTX_GS_BASE 32
#define CTX_DS 40          /* u32 each */
#define CTX_ES 44
#define CTX_FS 48
#define CTX_GS 52
#define CTX_SIGNAL 56      /* u32 */
#define CTX_GUEST_PID 64   /* u32: written once, before the first guest instruction */
#define CTX_TSC 68         /* u32: PR_SET_TSC's argument that is in force */
#define CTX_MAPPER_ASLEEP 72 /* u32: the mapper sleeps, or is about to (a hint) */

/* CTL_BASES: the stub's own instructions read and write them; or these are to be set by system calls. */
#define BASES_BY_INSTRUCTION 1
#define BASES_SET_FS 2
#define BASES_SET_GS 4

/* File descriptors of the mapper; the guest thread has none. */
#define FD_SHARED 3
#define FD_RAM 4
#define FD_IMAGE 5

#define ANSWER_FAILED 0x80000000

#define KICK_SIGNAL 10     /* SIGUSR1 */

#ifndef __ASSEMBLER__
#include <stdint.h>

/* The code of stub.S, to be copied; labels in it are offsets from its start. */
extern const uint8_t world_stub[], world_stub_end[];
extern const uint8_t world_stub_loader[], world_stub_handler[], world_stub_restorer[];
extern const uint8_t world_stub_after_tsc[], world_stub_after_wait[], world_stub_after_wake[], world_stub_after_call[],
    world_stub_after_return[];
extern const uint8_t world_stub_after_fs[], world_stub_after_gs[], world_stub_rdtsc[];
#endif

#endif /* TRANSLATOR_DIRECT_STUB_H */
