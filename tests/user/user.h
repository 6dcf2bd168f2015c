/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A user program that prints the same whatever it runs on: natively, interpreted, translated, directly.
 * Each case is a function in one of the files; `user NAME...` runs those, `user` all.  Lines that begin
 * with '#' may differ between the host and a guest (CPUID...), not between engines.
 */
#ifndef TESTS_USER_USER_H
#define TESTS_USER_USER_H

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#define CASE(name) void case_##name(void);
#include "tests/user/cases.def"
#undef CASE

/* Print why and end with status 1. */
#define REQUIRE(c)                                                                                 \
    do {                                                                                           \
        if (!(c)) {                                                                                \
            printf("FAILED %s:%d: %s\n", __FILE__, __LINE__, #c);                                  \
            fflush(stdout);                                                                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* Install `handler` (SA_SIGINFO | SA_ONSTACK on a stack of its own). */
void on_signal(int sig, void (*handler)(int, siginfo_t *, void *));

/* On a page of its own: worlds do not execute those with the C library's CPUID, or ours. */
#define APART __attribute__((noinline, section(".apart"), aligned(4096)))

static inline uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

#endif /* TESTS_USER_USER_H */
