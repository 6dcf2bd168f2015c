/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals in great number, from timers and from another process, while all registers hold something that must stay. */
#include "tests/user/user.h"

#include <errno.h>
#include <immintrin.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

enum { TIMERS = 4, SENT = 1500, PATTERN = 0x5a5a0000 };

static volatile uint64_t n_rang[TIMERS], n_sent, sum_sent, n_bad, n_inside;
extern const uint8_t pattern_begin[], pattern_end[];

/* In the loop, the registers of whom we interrupt are known. */
static void look_at(const greg_t *g)
{
    static const int regs[] = {REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

    if ((uint64_t)g[REG_RIP] < (uint64_t)(uintptr_t)pattern_begin || (uint64_t)g[REG_RIP] >= (uint64_t)(uintptr_t)pattern_end) {
        return;
    }
    n_inside++;
    for (unsigned i = 0; i < sizeof regs / sizeof *regs; i++) {
        n_bad += g[regs[i]] != (greg_t)(PATTERN + i);
    }
    n_bad += (g[REG_EFL] & 0x400) == 0;
}

static void on_load(int sig, siginfo_t *info, void *context)
{
    int n = sig - SIGRTMIN;

    __asm__ volatile("cld");
    look_at(((ucontext_t *)context)->uc_mcontext.gregs);
    if (n < TIMERS) {
        n_rang[n]++;
    } else {
        n_sent++;
        sum_sent += (uint64_t)info->si_value.sival_int;
    }
    __asm__ volatile("pcmpeqd %%xmm1, %%xmm1; movq %%xmm1, %%xmm14; fninit; fldpi; xor %%r8d, %%r8d; xor %%r15d, %%r15d"
                     : : : "r8", "r15", "memory");
}

/* Registers loaded, a long loop that counts in one of them, and stores at its end: how many differ? */
static APART unsigned hold_registers(uint64_t turns)
{
    uint64_t out[10], flags;
    unsigned bad = 0;

    __asm__ volatile("fninit; fld1; mov %[p], %%r8; lea 1(%%r8), %%r9; lea 2(%%r8), %%r10; lea 3(%%r8), %%r11; lea 4(%%r8), %%r12\n\t"
                     "lea 5(%%r8), %%r13; lea 6(%%r8), %%r14; lea 7(%%r8), %%r15; movq %%r9, %%xmm1; movq %%r15, %%xmm14; std\n"
                     "pattern_begin:\n1:\tdec %[n]\n\tjnz 1b\n"
                     "pattern_end:\n\tlea -128(%%rsp), %%rsp; pushfq; pop %[f]; lea 128(%%rsp), %%rsp; cld\n\t"
                     "mov %%r8, (%[o]); mov %%r9, 8(%[o]); mov %%r10, 16(%[o]); mov %%r11, 24(%[o]); mov %%r12, 32(%[o])\n\t"
                     "mov %%r13, 40(%[o]); mov %%r14, 48(%[o]); mov %%r15, 56(%[o]); movq %%xmm1, 64(%[o]); movq %%xmm14, 72(%[o])"
                     : [n] "+a"(turns), [f] "=b"(flags) : [p] "c"((uint64_t)PATTERN), [o] "S"(out)
                     : "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm1", "xmm14", "memory", "cc");
    for (unsigned i = 0; i < 8; i++) {
        bad += out[i] != PATTERN + i;
    }
    long double one;
    __asm__ volatile("fstpt %0; fninit" : "=m"(one));
    return bad + (out[8] != PATTERN + 1) + (out[9] != PATTERN + 7) + (one != 1.0L) + ((flags & 0x440) != 0x440);
}

static void send_all(pid_t to)
{
    for (int i = 0; i < SENT; i++) {
        while (sigqueue(to, SIGRTMIN + TIMERS, (union sigval){.sival_int = i}) != 0) {
            REQUIRE(errno == EAGAIN);
            usleep(100);
        }
    }
}

/* One at a time: all that wait would else lie on the stack at once. */
static void on_load_signal(int sig)
{
    struct sigaction sa;

    on_signal(sig, on_load);
    sigaction(sig, NULL, &sa);
    sa.sa_flags &= ~SA_NODEFER;
    sigfillset(&sa.sa_mask);
    sigaction(sig, &sa, NULL);
}

void case_load(void)
{
    timer_t timer[TIMERS];
    unsigned bad = 0;
    sigset_t set;
    int status;
    pid_t child, self = getpid();

    for (int i = 0; i <= TIMERS; i++) {
        on_load_signal(SIGRTMIN + i);
    }
    for (int i = 0; i < TIMERS; i++) {
        struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + i};
        struct itimerspec it = {{0, 700000 + 300000 * i}, {0, 700000 + 300000 * i}};

        REQUIRE(timer_create(CLOCK_MONOTONIC, &ev, &timer[i]) == 0 && timer_settime(timer[i], 0, &it, NULL) == 0);
    }
    child = fork();
    if (child == 0) {
        send_all(self);
        _exit(0);
    }
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + TIMERS);
    for (int i = 0; i < 100 || n_sent < SENT || n_inside < 50; i++) {
        bad += hold_registers(200000);
        if (i % 8 == 0) {      /* blocked for a while: they come together */
            REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
            bad += hold_registers(100000);
            REQUIRE(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
        }
    }
    for (int i = 0; i < TIMERS; i++) {
        REQUIRE(timer_delete(timer[i]) == 0);
        bad += n_rang[i] == 0;
    }
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);
    printf("%lu sent, sum %lu, %lu registers wrong inside, %u outside\n", (unsigned long)n_sent, (unsigned long)sum_sent,
           (unsigned long)n_bad, bad);
    for (int i = 0; i <= TIMERS; i++) {
        signal(SIGRTMIN + i, SIG_DFL);
    }
}
