/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A 64-bit kernel that is linked low and runs at its alias in the upper half, where the translator's window serves it. */
#ifndef TESTS_GUEST_HIGH_H
#define TESTS_GUEST_HIGH_H

#include "tests/guest/lib.h"

#define HIGH 0xffffffff80000000ull /* where it is to run, above where it is linked */

extern u64 boot_pml4[512];

/* The first GiB of memory there, in global pages of 2 MiB. */
static inline void high_map(u64 *pdpt, u64 *pd)
{
    pdpt[510] = (u64)pd | 3;
    for (unsigned i = 0; i < 512; i++) {
        pd[i] = (u64)i << 21 | 0x183;
    }
    boot_pml4[511] = (u64)pdpt | 3;
}

/* On each CPU. */
static inline void high_enter(void)
{
    write_cr0(read_cr0() | CR0_WP);
    write_cr4(read_cr4() | CR4_PGE);
}

/* f at its alias, on an alias of the stack. */
static inline void high_call(void (*f)(void))
{
    __asm__ volatile("movq %%rsp, %%r12; addq %1, %%rsp; call *%0; movq %%r12, %%rsp"
                     : : "r"((u64)f | HIGH), "r"(HIGH)
                     : "r12", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
}

#endif /* TESTS_GUEST_HIGH_H */
