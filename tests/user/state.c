/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers that must survive everything: vectors across calls, faults, signals and preemption. */
#include "tests/user/user.h"

#include <cpuid.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

typedef struct {
    uint8_t zmm[32][64];
    uint64_t k[8];
    uint8_t fx[512];
} __attribute__((aligned(64))) Vectors;

static unsigned width;         /* of vector registers: 16, 32, 64 */

static void find_width(void)
{
    uint32_t a, b, c, d, x = 0;

    width = 16;
    __cpuid(1, a, b, c, d);
    if ((c >> 27 & 1) != 0) {
        __asm__ volatile("xgetbv" : "=a"(x), "=d"(d) : "c"(0));
    }
    __cpuid_count(7, 0, a, b, c, d);
    if ((x & 0xe6) == 0xe6 && (b >> 16 & 1) != 0) {
        width = 64;
    } else if ((x & 6) == 6) {
        width = 32;
    }
}

#define R16(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14) f(15)
#define R32(f) R16(f) f(16) f(17) f(18) f(19) f(20) f(21) f(22) f(23) f(24) f(25) f(26) f(27) f(28) f(29) f(30) f(31)
#define LOAD_ZMM(n) "vmovdqu64 64*" #n "(%0), %%zmm" #n "\n\t"
#define STORE_ZMM(n) "vmovdqu64 %%zmm" #n ", 64*" #n "(%0)\n\t"
#define LOAD_YMM(n) "vmovdqu 64*" #n "(%0), %%ymm" #n "\n\t"
#define STORE_YMM(n) "vmovdqu %%ymm" #n ", 64*" #n "(%0)\n\t"
#define LOAD_XMM(n) "movdqu 64*" #n "(%0), %%xmm" #n "\n\t"
#define STORE_XMM(n) "movdqu %%xmm" #n ", 64*" #n "(%0)\n\t"
#define R7(f) f(1) f(2) f(3) f(4) f(5) f(6) f(7)
#define LOAD_K(n) "kmovw 2048+8*" #n "(%0), %%k" #n "\n\t"
#define STORE_K(n) "kmovw %%k" #n ", 2048+8*" #n "(%0)\n\t"

/* Load everything, do `what` to the world outside in assembly (rax: a system call; rdx: a counter to
 * spin; rsi: an address to touch), store everything: nothing may have changed. */
#define ACT                                                                                        \
    "mov %2, %%rax\n\ttest %%rax, %%rax\n\tjs 1f\n\tmov %4, %%rdi\n\txor %%esi, %%esi\n\tsyscall\n1:\n\t"    \
    "mov %3, %%rcx\n\ttest %%rcx, %%rcx\n\tjz 3f\n2:\tdec %%rcx\n\tjnz 2b\n3:\n\t"                        \
    "mov %4, %%rsi\n\ttest %%rsi, %%rsi\n\tjz 4f\n\tmovb $1, (%%rsi)\n4:\n\t"
#define THROUGH(load, store)                                                                       \
    __asm__ volatile("fxrstor64 2112(%0)\n\t" load ACT store "fxsave64 2112(%1)\n\tfninit"               \
                     : : "r"(v), "r"(out), "m"(call), "m"(spin), "m"(touch)                        \
                     : "rax", "rcx", "rdx", "rsi", "rdi", "r11", "memory", "cc")

static void __attribute__((noinline)) through(Vectors *v, Vectors *out, int64_t call, uint64_t spin,
                                              void *touch)
{
    if (width == 64) {
        THROUGH(R32(LOAD_ZMM) R7(LOAD_K), "xchg %0, %1\n\t" R32(STORE_ZMM) R7(STORE_K) "xchg %0, %1\n\t");
    } else if (width == 32) {
        THROUGH(R16(LOAD_YMM), "xchg %0, %1\n\t" R16(STORE_YMM) "xchg %0, %1\n\t");
    } else {
        THROUGH(R16(LOAD_XMM), "xchg %0, %1\n\t" R16(STORE_XMM) "xchg %0, %1\n\t");
    }
}

static uint64_t seed;

static void fill(Vectors *v)
{
    for (unsigned i = 0; i < sizeof v->zmm / 8; i++) {
        ((uint64_t *)v->zmm)[i] = seed = mix(seed, i);
    }
    for (unsigned i = 1; i < 8; i++) {
        v->k[i] = (seed = mix(seed, i)) & 0xffff;
    }
    memset(v->fx, 0, sizeof v->fx);
    *(uint16_t *)v->fx = (uint16_t)(0x37f & ~(seed & 0xc00));
    v->fx[4] = 0xff;
    *(uint32_t *)(v->fx + 24) = 0x1f80 | (seed & 0x6000);
    for (unsigned i = 0; i < 8; i++) {
        seed = mix(seed, i);
        memcpy(v->fx + 32 + 16 * i, &seed, 8);
        *(uint16_t *)(v->fx + 40 + 16 * i) = (uint16_t)(0x3fff + i);
        v->fx[39 + 16 * i] |= 0x80;
    }
}

static void compare(const char *what, const Vectors *v, const Vectors *out)
{
    unsigned n = width == 64 ? 32 : 16;

    for (unsigned i = 0; i < n; i++) {
        if (memcmp(v->zmm[i], out->zmm[i], width) != 0) {
            printf("FAILED %s: vector %u\n", what, i);
            exit(1);
        }
    }
    for (unsigned i = 1; i < 8 && width == 64; i++) {
        if (v->k[i] != (out->k[i] & 0xffff)) {
            printf("FAILED %s: mask %u\n", what, i);
            exit(1);
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        REQUIRE(memcmp(v->fx + 32 + 16 * i, out->fx + 32 + 16 * i, 10) == 0);
    }
    REQUIRE(memcmp(v->fx, out->fx, 2) == 0 && memcmp(v->fx + 24, out->fx + 24, 2) == 0);
}

static volatile int n_ticks;

static void tick(int sig, siginfo_t *info, void *context)
{
    n_ticks++;
    __asm__ volatile("pxor %%xmm0, %%xmm0; pxor %%xmm15, %%xmm15; fninit; fldpi" : : : "memory");
}

void case_vectors(void)
{
    static Vectors in, out;
    struct itimerval it = {{0, 1000}, {0, 1000}}, none = {{0, 0}, {0, 0}};
    uint8_t *pages = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int status;
    pid_t child;

    find_width();
    printf("# width %u\n", width);
    for (int i = 0; i < 64; i++) {
        fill(&in);
        through(&in, &out, 39, 0, NULL);
        compare("getpid", &in, &out);
        fill(&in);
        through(&in, &out, 24, 0, NULL);
        compare("sched_yield", &in, &out);
        fill(&in);
        through(&in, &out, -1, 0, pages + 4096 * i);
        compare("page fault", &in, &out);
    }
    printf("calls and faults keep them\n");
    child = fork();            /* somebody to be preempted by, with vectors of its own */
    on_signal(SIGALRM, tick);
    setitimer(ITIMER_REAL, &it, NULL);
    for (int i = 0; i < 200; i++) {
        fill(&in);
        through(&in, &out, -1, 300000, NULL);
        compare("preemption", &in, &out);
    }
    setitimer(ITIMER_REAL, &none, NULL);
    if (child == 0) {
        _exit(n_ticks > 0 ? 0 : 9);
    }
    waitpid(child, &status, 0);
    printf("preemption and signals keep them: %d, status %d\n", n_ticks > 0, status);
}

/* -- Signals under load ---------------------------------------------------------------------------- */

static volatile uint64_t n_alarms, n_usr;

static void on_alarm(int sig, siginfo_t *info, void *context)
{
    n_alarms++;
}

static void on_usr(int sig, siginfo_t *info, void *context)
{
    n_usr++;
    *(volatile uint64_t *)info->si_value.sival_ptr += 1;
}

void case_signals(void)
{
    struct itimerval it = {{0, 700}, {0, 700}}, none = {{0, 0}, {0, 0}};
    static uint64_t counted;
    uint64_t h = 1, sum = 0;
    union sigval val = {.sival_ptr = &counted};

    on_signal(SIGALRM, on_alarm);
    on_signal(SIGUSR1, on_usr);
    setitimer(ITIMER_REAL, &it, NULL);
    for (int i = 0; i < 3000; i++) {
        for (int k = 0; k < 2000; k++) {
            h = mix(h, (uint64_t)k);
        }
        REQUIRE(sigqueue(getpid(), SIGUSR1, val) == 0);
        sum += h & 0xff;
    }
    setitimer(ITIMER_REAL, &none, NULL);
    printf("hash %016lx, sum %lu, %lu own signals, %lu counted, alarms %d\n", (unsigned long)h,
           (unsigned long)sum, (unsigned long)n_usr, (unsigned long)counted, n_alarms > 0);
}
