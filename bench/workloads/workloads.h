/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One static program of ordinary workloads, run natively and in Linux guests (`metaphrase bench`).
 * It prints the protocol of bench/protocol.h, in nanoseconds (or the workload's unit) an operation.
 *
 *   workloads [only=NAME,...] [skip=NAME,...] [samples=N] [ms=N] [tools=DIR] [disk=FILE] [tmp=DIR]
 *             [busybox=FILE] [idle=SECONDS]
 */
#ifndef BENCH_WORKLOADS_WORKLOADS_H
#define BENCH_WORKLOADS_WORKLOADS_H

#include <stdbool.h>
#include <stdint.h>

/* What the command line said. */
typedef struct {
    const char *tools;         /* directory with a compiler (scripts/make-bench-guest.sh); NULL: none */
    const char *disk;          /* file or block device to read and overwrite; NULL: none */
    const char *tmp;           /* directory on a tmpfs */
    const char *busybox;
    const char *self;          /* this program, to be executed */
} Places;
extern Places places;

typedef struct {
    uint64_t ops;              /* done; 0: it went wrong */
    uint64_t ns;               /* what they took; 0: the whole call counts */
} Work;

typedef struct {
    const char *name;
    Work (*run)(uint64_t turns);
    const char *(*missing)(void); /* why it cannot run here, or NULL; may set things up */
    const char *unit;          /* NULL: ns */
    double unit_ns;            /* 0: 1 */
    uint64_t max_turns;        /* of a sample; 0: no limit */
} Workload;

/* Lists end with a NULL name. */
extern const Workload integer_workloads[], float_workloads[], memory_workloads[], code_workloads[],
    kernel_workloads[], job_workloads[];

uint64_t now_ns(void);

/* Keep the compiler from knowing v, and from dropping what made it. */
#define OPAQUE(v) __asm__ volatile("" : "+r"(v))
#define NOINLINE __attribute__((noinline))

/* 64-bit pseudo-random numbers (xorshift); the state is never 0. */
static inline uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

#endif /* BENCH_WORKLOADS_WORKLOADS_H */
