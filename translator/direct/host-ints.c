/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/host-ints.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/stress.h"

#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { VECTORS = 256, STRIDE = 4, CODE_LEN = VECTORS * STRIDE, GIVE_UP_S = 2, FAULTED = 0x5a5a1234 };

/* What parent and child share. */
typedef struct {
    uint8_t code[CODE_LEN];    /* for each vector: INT n, RET */
    uint64_t odd[HOST_INTS_WORDS];
} Trial;

/* A fault is where the instruction is: say so in R15, and go on behind it.  Whatever came from elsewhere goes on where it is. */
static void on_signal(int sig, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)sig;
    (void)info;
    if (regs[REG_RIP] == regs[REG_RBX]) {
        regs[REG_RIP] += 2;
        regs[REG_R15] = FAULTED;
    }
}

/* Was it a fault? */
static bool faults(const uint8_t *code)
{
    register uint64_t said __asm__("r15") = 0;
    uint64_t ax = UINT64_MAX;  /* the number of no system call */

    __asm__ volatile("lea -128(%%rsp), %%rsp; call *%%rbx; lea 128(%%rsp), %%rsp"
                     : "+b"(code), "+a"(ax), "+r"(said)
                     :
                     : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "memory", "cc");
    return said == FAULTED;
}

static void try_all(Trial *t)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
    struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigset_t none;

    for (unsigned i = 0; i < ARRAY_LEN(signals); i++) {
        sigaction(signals[i], &act, NULL);
    }
    signal(SIGALRM, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    alarm(GIVE_UP_S);
    for (unsigned n = 0; n < VECTORS; n++) {
        if (n == 3 || n == 4 || n == 0x80 || faults(t->code + n * STRIDE)) {
            t->odd[n / 64] &= ~BIT64(n % 64);
        }
    }
}

static gpointer find_odd(gpointer unused)
{
    uint64_t *odd = g_new(uint64_t, HOST_INTS_WORDS);
    Trial *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sigset_t all, old;
    pid_t pid;

    (void)unused;
    memset(odd, 0xff, HOST_INTS_WORDS * sizeof *odd); /* where nothing can be tried, nothing is known */
    if (t == MAP_FAILED) {
        return odd;
    }
    for (unsigned n = 0; n < VECTORS; n++) {
        memcpy(t->code + n * STRIDE, (const uint8_t[STRIDE]){0xcd, (uint8_t)n, 0xc3, 0xcc}, STRIDE);
    }
    memcpy(t->odd, odd, sizeof t->odd);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid = fork();
    if (pid == 0) {
        try_all(t);
        _exit(0);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    if (stress_info[STRESS_direct_ints].one_in == 0) {
        memcpy(odd, t->odd, sizeof t->odd);
    }
    munmap(t, sizeof *t);
    return odd;
}

const uint64_t *host_ints_odd(void)
{
    static GOnce once = G_ONCE_INIT; /* a fact about the host, not state of a machine */

    return g_once(&once, find_odd, NULL);
}
