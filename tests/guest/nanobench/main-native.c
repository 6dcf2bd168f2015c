/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The native column: a Linux process with the unprivileged operations, and the nearest thing that a
 * process has to some of the others: a system call (getppid), a page fault and a divide error whose
 * signal handlers step over the instruction, a first touch of a page, copies without STAC and CLAC.
 */
#include "tests/guest/nanobench/nanobench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

void nano_put(const char *text)
{
    fputs(text, stdout);
    if (strchr(text, '\n') != NULL) {
        fflush(stdout);
    }
}

void nano_put_number(u64 v)
{
    printf("%llu", v);
}

u32 nano_tsc_khz(void)
{
    static u32 khz;
    struct timespec a, b;
    u64 begin;

    if (khz == 0) {
        clock_gettime(CLOCK_MONOTONIC, &a);
        begin = rdtsc();
        usleep(50000);
        clock_gettime(CLOCK_MONOTONIC, &b);
        khz = (u32)((rdtsc() - begin) * 1000000 /
                    (u64)((b.tv_sec - a.tv_sec) * 1000000000 + (b.tv_nsec - a.tv_nsec)));
    }
    return khz;
}

/* -- Operations ------------------------------------------------------------------------------------- */

static u64 system_call(u32 n)
{
    return NANO_LOOP(n, "mov %[nr], %%eax\n\tsyscall", (), ([nr] "i"(SYS_getppid)), "rax", "rcx", "r11");
}

static void step_over(int sig, siginfo_t *info, void *context)
{
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

/* Run with faults stepped over; they are two bytes long. */
static u64 with_handler(int sig, u64 (*loop)(u32 n), u32 n)
{
    struct sigaction action = {.sa_sigaction = step_over, .sa_flags = SA_SIGINFO}, old;
    u64 took;

    sigaction(sig, &action, &old);
    took = loop(n);
    sigaction(sig, &old, NULL);
    return took;
}

static u64 divide(u32 n)
{
    return NANO_LOOP(n, "div %[zero]", (), ([zero] "c"(0)), "eax", "edx");
}

static u8 *closed, *pages;
enum { PAGE = 4096, PAGES = 512 };

static u64 fault(u32 n)
{
    return NANO_LOOP(n, "movb (%[p]), %%al", (), ([p] "b"(closed)), "eax");
}

static u64 divzero(u32 n) { return with_handler(SIGFPE, divide, n); }
static u64 pgfault(u32 n) { return with_handler(SIGSEGV, fault, n); }

static u64 first_touch(u32 n)
{
    u64 took = 0;

    for (u32 left = n; left > 0;) {
        u32 now = left < PAGES ? left : PAGES;
        u8 *page = pages;
        madvise(pages, (size_t)PAGES * PAGE, MADV_DONTNEED);
        took += NANO_LOOP(now, "movb $1, (%[page])\n\tadd $4096, %[page]", (, [page] "+r"(page)), ());
        left -= now;
    }
    return took;
}

/* Both pages are there. */
static const char *fill_pages(void)
{
    memset(pages, 1, (size_t)2 * PAGE);
    return NULL;
}

static inline __attribute__((always_inline)) u64 copy(u32 n, u8 *to, const u8 *from, u32 len)
{
    word d, s, c;

    return NANO_LOOP(n, "mov %[to], %[d]\n\tmov %[from], %[s]\n\tmov %[len], %k[c]\n\trep movsb",
                     (, [d] "=&D"(d), [s] "=&S"(s), [c] "=&c"(c)), ([to] "m"(to), [from] "m"(from), [len] "i"(len)));
}

static u64 copy_there(u32 n) { return copy(n, pages, pages + PAGE, PAGE); }
static u64 copy_back(u32 n) { return copy(n, pages + PAGE, pages, PAGE); }
static u64 copy_few(u32 n) { return copy(n, pages, pages + PAGE, 64); }

static const NanoOp native_ops[] = {
    {"syscall", system_call, nano_empty},
    {"pgfault_user", pgfault, nano_empty},
    {"divzero", divzero, nano_empty},
    {"firsttouch", first_touch, nano_empty, NULL, 8 * PAGES},
    {"copy_to_user", copy_there, NULL, fill_pages},
    {"copy_from_user", copy_back, NULL, fill_pages},
    {"copy_to_user_64", copy_few, NULL, fill_pages},
    {NULL},
};

static const NanoOp *const lists[] = {native_ops, nano_unprivileged, NULL};

int main(int argc, char **argv)
{
    char options[4096] = "";

    closed = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pages = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (closed == MAP_FAILED || pages == MAP_FAILED ||
        madvise(pages, (size_t)PAGES * PAGE, MADV_NOHUGEPAGE) != 0 ||
        mprotect(nano_code, sizeof nano_code, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) {
        perror("nanobench-native");
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        if (strlen(options) + strlen(argv[i]) + 2 > sizeof options) {
            fprintf(stderr, "nanobench-native: the options are too long\n");
            return 1;
        }
        strcat(strcat(options, argv[i]), " ");
    }
    nano_measure(lists, options, 1);
    return 0;
}
