/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * User code that knows where the stub of its world lies (tests/boot/direct.py tells it) and does its worst: reads and
 * writes it, jumps into it, forges its context, makes its system calls.  Signals it survives; a victim, another
 * process, notices nothing.
 */
#include "translator/direct/stub.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* On pages of its own: worlds do not execute those with the C library's CPUID. */
#define APART __attribute__((noinline, section(".apart"), aligned(4096)))

enum { PLACES = 16, STACK_LEN = 16384 };

static void *env[5];
static uint64_t place[PLACES];
static unsigned n_places, *n_seen; /* the latter shared */
static uint8_t *scratch;

static APART void on_signal(int sig)
{
    __builtin_longjmp(env, 1);
}

/* -- The victim ------------------------------------------------------------------------------------- */

static __thread uint64_t own_tls = 0x1122334455667788;

static void victim(volatile int *stop)
{
    uint64_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_t pid = getpid();

    for (uint64_t turn = 0; !*stop; turn++) {
        for (unsigned i = 0; i < 512; i++) {
            page[i] = turn * i;
        }
        usleep(200);
        for (unsigned i = 0; i < 512; i++) {
            if (page[i] != turn * i) {
                _exit(1);
            }
        }
        if (*(volatile uint64_t *)&own_tls != 0x1122334455667788 || getpid() != pid) {
            _exit(2);
        }
    }
    _exit(0);
}

/* -- Where? ------------------------------------------------------------------------------------------ */

/* A line of addresses; ours may be among them. */
static void ask(void)
{
    char line[512], *at = line;

    printf("where?\n");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) {
        exit(3);
    }
    for (n_places = 0; n_places < PLACES; n_places++) {
        char *end;

        place[n_places] = strtoull(at, &end, 16);
        if (end == at) {
            break;
        }
        at = end;
    }
}

/* Visits to such pages leave the next entries to the translator: so many. */
static APART void settle(void)
{
    for (unsigned i = 0; i < 1200; i++) {
        long r = SYS_getppid;

        __asm__ volatile("syscall" : "+a"(r) : : "rcx", "r11", "memory");
    }
}

static APART void copy_code(volatile uint8_t *to, const volatile uint8_t *from)
{
    for (unsigned i = 0; i < W_CODE_LEN; i++) {
        to[i] = from[i];
    }
}

/* Is it the stub, as far as we can see?  Copies its code. */
static APART int see(uint64_t base, uint8_t *code)
{
    volatile int seen = 0;

    if (__builtin_setjmp(env) == 0) {
        copy_code(code, (const uint8_t *)base);
        seen = 1;
    }
    return seen;
}

/* The place of our own world, by asking; 0: it is not to be seen. */
static uint64_t find(uint8_t *code)
{
    ask();
    settle();
    for (unsigned i = 0; i < n_places; i++) {
        if (see(place[i], code)) {
            ++*n_seen;
            return place[i];
        }
    }
    return 0;
}

/* -- What it does -------------------------------------------------------------------------------------- */

static APART void jump(uint64_t to, const uint64_t *r)
{
    __asm__ volatile("mov (%1), %%rax; mov 8(%1), %%rdi; mov 16(%1), %%rsi; mov 24(%1), %%rdx; mov 32(%1), %%r10\n\t"
                     "mov 40(%1), %%r8; mov 48(%1), %%r9; mov 56(%1), %%rbx; mov 64(%1), %%rsp; mov %%rsp, %%rbp; jmp *%0"
                     : : "c"(to), "r"(r) : "rax", "rdi", "rsi", "rdx", "r8", "r9", "r10", "memory");
}

static void try_jump(uint64_t base, uint64_t to, uint64_t nr)
{
    uint64_t r[9] = {nr, (uint64_t)scratch, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, FD_RAM, 0, base,
                     (uint64_t)scratch + STACK_LEN / 2};

    if (__builtin_setjmp(env) == 0) {
        jump(to, r);
    }
}

static APART void store(uint64_t at, uint32_t val)
{
    *(volatile uint32_t *)at = val;
}

static void write_everywhere(uint64_t base)
{
    for (uint64_t at = base; at < base + W_LEN + 8192; at += at < base + W_CTX ? 4096 : 512) {
        if (__builtin_setjmp(env) == 0) {
            store(at, 0xffffffff);
        }
    }
}

static APART void forge_so(uint64_t base, unsigned how)
{
    volatile uint32_t *event = (uint32_t *)(base + W_CTX + CTX_EVENT), *resume = (uint32_t *)(base + W_CTL + CTL_RESUME);
    volatile uint64_t *context = (uint64_t *)(base + W_CTX + CTX_UCONTEXT);

    switch (how) {
    case 0:
        *event = *resume;      /* "we are done", and on we run */
        break;
    case 1:
        *context = base + W_CTX + W_STACK_AT + 64;
        *event = *resume;
        break;
    case 2:
        *context = 0x8000000000000000;
        *event = *resume;
        break;
    default:
        for (uint64_t i = 0; i < W_CTX_LEN; i += 8) {
            *(volatile uint64_t *)(base + W_CTX + i) = how * UINT64_C(0x1111111111111111);
        }
        *event = *resume;
        break;
    }
    for (volatile unsigned i = 0; i < 20000000; i++) {
    }
}

static void forge(uint64_t base, unsigned how)
{
    if (__builtin_setjmp(env) == 0) {
        forge_so(base, how);
        getppid();
    }
}

/* Addresses all over the space, ours and the kernel's. */
static void touch_all(void)
{
    for (unsigned bit = 12; bit < 64; bit++) {
        for (int d = -1; d <= 1; d++) {
            uint64_t at = (UINT64_C(1) << bit) + (uint64_t)(int64_t)d * 8;

            if (__builtin_setjmp(env) == 0) {
                (void)*(volatile uint8_t *)at;
            }
            if (__builtin_setjmp(env) == 0) {
                (void)*(volatile uint8_t *)~at;
            }
            if (__builtin_setjmp(env) == 0) {
                ((void (*)(void))(at & ~UINT64_C(7)))();
            }
        }
    }
}

/* Calls with arguments that no kernel can do anything with. */
static uint64_t all_calls(void)
{
    static const uint16_t leave[] = {SYS_pause, SYS_fork, SYS_vfork, SYS_clone, SYS_exit, SYS_exit_group, SYS_kill, SYS_tkill,
                                     SYS_rt_sigreturn, SYS_rt_sigsuspend, SYS_reboot, SYS_vhangup, SYS_sync, 435, SYS_brk,
                                     SYS_munmap, SYS_alarm, SYS_setsid, SYS_set_tid_address, SYS_futex, SYS_sched_yield};
    uint64_t hash = 0;

    for (unsigned nr = 0; nr < 512; nr++) {
        int skipped = 0;
        long r;

        for (unsigned i = 0; i < sizeof leave / sizeof *leave; i++) {
            skipped |= leave[i] == nr;
        }
        if (!skipped) {
            if (__builtin_setjmp(env) == 0) {
                r = syscall(nr, -1L, -1L, -1L, -1L, -1L, -1L);
                hash = hash * 31 + (r == -1);
            }
        }
    }
    return hash;
}

/* The k-th system call instruction of the stub, 0: no more. */
static unsigned call_at(const uint8_t *code, unsigned k)
{
    for (unsigned at = 0; at + 1 < W_CODE_LEN; at++) {
        if (code[at] == 0x0f && code[at + 1] == 0x05 && k-- == 0) {
            return at;
        }
    }
    return 0;
}

enum { CALL_JUMPS = 40, JUMPS = 24, FORGERIES = 8, ATTACKS = CALL_JUMPS + JUMPS + FORGERIES + 1 };

static void attack(unsigned k)
{
    static const uint16_t calls[] = {SYS_write, SYS_mmap, SYS_mprotect, SYS_munmap, SYS_rt_sigreturn, SYS_ptrace, SYS_prctl,
                                     SYS_arch_prctl, SYS_futex, SYS_exit_group, SYS_execve, SYS_kill, SYS_clone};
    static uint8_t code[W_CODE_LEN];
    uint64_t base = find(code);

    if (base == 0) {
        return;
    }
    if (k < CALL_JUMPS) {
        try_jump(base, base + call_at(code, k / 2), calls[k % (sizeof calls / sizeof *calls)]);
    } else if ((k -= CALL_JUMPS) < JUMPS) {
        try_jump(base, base + k * 43, SYS_mmap);
    } else if ((k -= JUMPS) < FORGERIES) {
        forge(base, k);
    } else {
        write_everywhere(base);
    }
}

int main(void)
{
    static const int all[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    static char stack[STACK_LEN * 4] __attribute__((aligned(64)));
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};
    volatile int *stop = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct sigaction sa = {.sa_flags = SA_ONSTACK | SA_NODEFER, .sa_handler = on_signal};
    unsigned survived = 0, ended = 0;
    int status;
    pid_t pid, attacker;

    n_seen = (unsigned *)stop + 1;
    scratch = mmap(NULL, STACK_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaltstack(&ss, NULL);
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        sigaction(all[i], &sa, NULL);
    }
    pid = fork();
    if (pid == 0) {
        victim(stop);
    }
    for (unsigned i = 0; i < ATTACKS; i++) {
        attacker = fork();
        if (attacker == 0) {
            alarm(2);          /* it may find itself in a loop of the stub */
            attack(i);
            _exit(0);
        }
        waitpid(attacker, &status, 0);
        *(status == 0 ? &survived : &ended) += 1;
    }
    printf("# %u survived, %u ended\nseen %u times\n", survived, ended, *n_seen);
    touch_all();
    printf("calls %016lx\n", (unsigned long)all_calls());
    *stop = 1;
    waitpid(pid, &status, 0);
    printf("victim %#x\nhostile done\n", status);
    return 0;
}
