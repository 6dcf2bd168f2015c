/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations that any program may use: the same code in the guest's kernel and natively. */
#include "tests/guest/nanobench/nanobench.h"

/* -- Calls ------------------------------------------------------------------------------------------ */

enum { DEPTH = 64, TARGETS = 64, TARGET_LEN = 16 };

extern const u8 nano_ret[], nano_deep[], nano_targets[];
__asm__(".pushsection .text\n"
        ".balign 16\n"
        "nano_ret: ret\n"
        ".balign 16\n"
        "nano_deep: dec %ecx; jz 1f; call nano_deep\n"
        "1: ret\n"
        ".balign 16\n"
        "nano_targets: .rept 64; .balign 16; ret; .endr\n"
        ".popsection\n");

static u64 callret(u32 n)
{
    return NANO_LOOP(n, "call nano_ret", (), ());
}

static u64 deepcall(u32 n)
{
    return NANO_LOOP(n / DEPTH, "mov $64, %%ecx\n\tcall nano_deep", (), (), "ecx");
}

static const u8 *targets[TARGETS];

static const char *fill_targets(void)
{
    for (u32 i = 0; i < TARGETS; i++) {
        targets[i] = nano_targets + i * TARGET_LEN;
    }
    return NULL;
}

/* The next of `count` targets each time, in order. */
#define CHOOSE "mov (%[tab],%[k],%c[scale]), %[f]\n\tinc %k[k]\n\tand %[mask], %k[k]\n\t"
#define CHOOSE_OPERANDS(count)                                                                     \
    (, [k] "+r"(k), [f] "=&r"(f)),                                                                 \
        ([tab] "r"(targets), [mask] "i"((count) - 1), [scale] "i"(sizeof(word)))
#define INDIRECT(count)                                                                            \
    static u64 icall##count(u32 n)                                                                 \
    {                                                                                              \
        word k = 0, f;                                                                             \
        return INDIRECT_LOOP(n, CHOOSE "call *%[f]", CHOOSE_OPERANDS(count));                      \
    }                                                                                              \
    static u64 icall##count##_base(u32 n)                                                          \
    {                                                                                              \
        word k = 0, f;                                                                             \
        return INDIRECT_LOOP(n, CHOOSE, CHOOSE_OPERANDS(count));                                   \
    }
#define INDIRECT_LOOP(n, body, ...) NANO_LOOP(n, body, __VA_ARGS__)
INDIRECT(1)
INDIRECT(4)
INDIRECT(64)

/* -- Memory ----------------------------------------------------------------------------------------- */

static word cell[64] __attribute__((aligned(64)));

/* Sixteen a turn: single ones hide in the loop. */
#define SIXTEEN(insn) ".rept 16\n\t" insn "\n\t.endr"

static u64 load(u32 n)
{
    word v;
    return NANO_LOOP(n / 16, SIXTEEN("mov (%[p]), %[v]"), (, [v] "=&r"(v)), ([p] "r"(cell)));
}

static u64 store(u32 n)
{
    return NANO_LOOP(n / 16, SIXTEEN("mov %[p], (%[p])"), (), ([p] "r"(cell)));
}

static u64 pushpop(u32 n)
{
    word v = 0;
    return NANO_LOOP(n / 16, SIXTEEN("push %[v]\n\tpop %[v]"), (, [v] "+r"(v)), ());
}

static u64 lockadd(u32 n)
{
    return NANO_LOOP(n, "lock addl $1, (%[p])", (), ([p] "r"(cell)));
}

/* -- Instructions that virtualisation makes dear ---------------------------------------------------- */

static u64 pushfpopf(u32 n)
{
    return NANO_LOOP(n, "pushf\n\tpopf", (), ());
}

static u64 read_tsc(u32 n)
{
    return NANO_LOOP(n, "rdtsc", (), (), "eax", "edx");
}

static u64 read_cpuid(u32 n)
{
    return NANO_LOOP(n, "mov $1, %%eax\n\tcpuid", (), (), "eax", "ebx", "ecx", "edx");
}

/* -- Self-modifying code ---------------------------------------------------------------------------- */

extern u8 nano_code[4096];
u8 nano_code[4096] __attribute__((aligned(4096))); /* main-native.c makes it executable */

/* Patch the constant of `mov $N, %eax; ret`, call it, add up what it returned. */
static u64 smc(u32 n)
{
    u32 sum = 0;
    u64 took;

    nano_code[0] = 0xb8;
    nano_code[5] = 0xc3;
    took = NANO_LOOP(n, "mov %k[i], 1(%[code])\n\tcall *%[code]\n\tadd %%eax, %[sum]",
                     (, [sum] "+r"(sum)), ([code] "r"(nano_code)), "eax");
    return sum == (u32)((u64)n * (n + 1) / 2) ? took : NANO_BAD;
}

const NanoOp nano_unprivileged[] = {
    {"callret", callret, nano_empty},
    {"deepcall", deepcall, NULL},
    {"icall1", icall1, icall1_base, fill_targets},
    {"icall4", icall4, icall4_base, fill_targets},
    {"icall64", icall64, icall64_base, fill_targets},
    {"load", load, nano_empty16},
    {"store", store, nano_empty16},
    {"pushpop", pushpop, nano_empty16},
    {"lockadd", lockadd, nano_empty},
    {"pushfpopf", pushfpopf, nano_empty},
    {"rdtsc", read_tsc, nano_empty},
    {"cpuid", read_cpuid, nano_empty},
    {"smc", smc, nano_empty},
    {NULL},
};
