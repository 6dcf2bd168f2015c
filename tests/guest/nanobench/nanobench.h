/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The nanobenchmarks: what single operations cost, in TSC cycles.  The operations of unprivileged.c
 * run in the bare-metal guest and in a native process, those of the other files in the guest only.
 *
 * Output, one item a line (doc/BENCHMARKS.md):
 *
 *   nanobench 1 bits=64 cpus=2 tsc_khz=2900000
 *   run NAME                                    begins; a run that hangs or dies does it here
 *   op NAME n=N samples=S min=X median=X p95=X  cycles an operation, one decimal
 *   na NAME REASON                              cannot be measured on this platform
 *   bad NAME WHAT                               ran, and did the wrong thing
 *   end
 *
 * Options (the kernel's command line, or the process's arguments): samples=S, cycles=C (how long one
 * sample is to last at least), only=NAME,NAME... and skip=NAME,NAME...
 */
#ifndef TESTS_GUEST_NANOBENCH_NANOBENCH_H
#define TESTS_GUEST_NANOBENCH_NANOBENCH_H

#ifdef NANO_NATIVE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
typedef uint8_t u8;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef unsigned long word;
static inline u64 rdtsc(void) { return __builtin_ia32_rdtsc(); }
#else
#include "tests/guest/lib.h"
#endif

typedef struct NanoOp {
    const char *name;
    u64 (*run)(u32 n);             /* cycles that n operations took; NANO_BAD: they went wrong */
    u64 (*base)(u32 n);            /* the same without the operations; NULL: nothing to subtract */
    const char *(*missing)(void);  /* why it cannot be measured here, or NULL; may set things up */
    u32 max_n;                     /* most operations of a sample; 0: no limit */
} NanoOp;

#define NANO_BAD (~0ull)

/* A list ends with a NULL name. */
extern const NanoOp nano_unprivileged[];
extern const NanoOp nano_kernel[], nano_paging[], nano_rings[], nano_interrupts[];
extern const NanoOp nano_vmi[];

/* Measure the lists (ended by NULL), in order. */
void nano_measure(const NanoOp *const *lists, const char *options, u32 cpus);

/* Of main-guest.c or main-native.c. */
void nano_put(const char *text);
void nano_put_number(u64 v);
u32 nano_tsc_khz(void);            /* 0: unknown */

u32 nano_div(u64 a, u32 b);        /* saturates; no libgcc for 32 bits */

/*
 * Cycles of n turns of `body` (assembly; it may use label 1 to 98 and operands; 'cc' and memory are
 * clobbered).  `outs` and `ins` are operand lists in parentheses, the first begins with a comma.
 */
#define NANO_LOOP(n, body, outs, ins, ...)                                                         \
    ({                                                                                             \
        word i_ = (n);                                                                             \
        u64 begin_ = rdtsc();                                                                      \
        __asm__ volatile(".p2align 4\n99: " body "\n\tdec %[i]\n\tjnz 99b"                         \
                         : [i] "+r"(i_) NANO_ARGS outs                                             \
                         : NANO_ARGS ins                                                           \
                         : "cc", "memory" __VA_OPT__(, ) __VA_ARGS__);                             \
        rdtsc() - begin_;                                                                          \
    })
#define NANO_ARGS(...) __VA_ARGS__

u64 nano_empty(u32 n);             /* the loop alone: the usual base */
u64 nano_empty16(u32 n);           /* of loops with 16 operations a turn */

#ifdef NANO_NATIVE
extern u8 nano_code[4096];         /* what unprivileged.c writes and runs */
#else
/* Cycles of a ring-3 loop: code that takes n in edi and ends in int 0x80 (rings.c). */
u64 nano_user_loop(const u8 *code, u32 n);
u64 nano_user_base(u32 n);         /* with nothing in the loop */
extern const u8 nano_user_syscall[]; /* with a system call      */
#endif

#endif /* TESTS_GUEST_NANOBENCH_NANOBENCH_H */
