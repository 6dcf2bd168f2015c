/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What user code sees of the machine: system call entries, segments, ports, CPUID, clocks. */
#include "tests/user/user.h"

#include <asm/ldt.h>
#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <x86intrin.h>

void case_syscalls(void)
{
    uint64_t rcx, r11, rax, flags, here;
    long pid = getpid();

    __asm__ volatile("stc; std; mov $39, %%eax; xor %%ecx, %%ecx; xor %%r11d, %%r11d; stc\n\tsyscall\n1:\n\t"
                     "pushfq; pop %[f]; cld; lea 1b(%%rip), %[h]; mov %%r11, %[r]"
                     : "=&a"(rax), "=&c"(rcx), [r] "=&d"(r11), [f] "=&b"(flags), [h] "=&S"(here)
                     : : "r11", "cc", "memory");
    printf("syscall: pid %d, rcx %d, r11 %#lx, flags %#lx\n", (long)rax == pid, rcx == here,
           (unsigned long)r11 & ~0x202UL & 0xfff, (unsigned long)flags & 0xfff & ~0x202UL);
    /* RFLAGS.ID, over a call and a page fault */
    __asm__ volatile("pushfq; orq $0x200000, (%%rsp); popfq; mov $39, %%eax; syscall; mov (%[p]), %%rcx; pushfq; pop %[f]"
                     : "=&a"(rax), [f] "=&b"(flags)
                     : [p] "r"(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
                     : "rcx", "r11", "cc", "memory");
    printf("ID flag: %d\n", (flags >> 21 & 1) != 0);
    __asm__ volatile("pushfq; andq $~0x200000, (%%rsp); popfq; mov $39, %%eax; syscall; pushfq; pop %[f]"
                     : "=&a"(rax), [f] "=&b"(flags) : : "rcx", "r11", "cc", "memory");
    printf("no ID flag: %d\n", (flags >> 21 & 1) == 0);
    rax = (uint64_t)syscall(1234);
    printf("unknown call: %ld %d\n", (long)rax, errno);
    rax = (uint64_t)syscall(0x7fffffffffffffff);
    printf("large number: %ld %d\n", (long)rax, errno);
    for (unsigned i = 0; i < 2000; i++) {
        REQUIRE(syscall(SYS_getpid) == pid);
    }
    time_t (*vtime)(time_t *) = (time_t(*)(time_t *))0xffffffffff600400;
    time_t a = time(NULL), b = 0, c;
    int status;
    pid_t child = fork();
    if (child == 0) { /* vsyscall=none gives it a signal */
        signal(SIGSEGV, SIG_DFL);
        b = vtime(&c);
        _exit(b == c && b - a <= 2 ? 5 : 6);
    }
    waitpid(child, &status, 0);
    printf("# vsyscall: status %#x\n", status);
}

void case_int80(void)
{
    long pid;

    __asm__ volatile("int $0x80" : "=a"(pid) : "0"(20) : "memory", "r8", "r9", "r10", "r11");
    printf("int 0x80: pid %d\n", pid == getpid());
}

/* -- Segments -------------------------------------------------------------------------------------- */

static uint16_t sel(unsigned n)
{
    uint16_t v;

    switch (n) {
    case 0: __asm__("mov %%es, %0" : "=r"(v)); break;
    case 1: __asm__("mov %%cs, %0" : "=r"(v)); break;
    case 2: __asm__("mov %%ss, %0" : "=r"(v)); break;
    case 3: __asm__("mov %%ds, %0" : "=r"(v)); break;
    case 4: __asm__("mov %%fs, %0" : "=r"(v)); break;
    default: __asm__("mov %%gs, %0" : "=r"(v)); break;
    }
    return v;
}

static void print_selectors(const char *when)
{
    printf("%s:", when);
    for (unsigned i = 0; i < 6; i++) {
        printf(" %x", sel(i));
    }
    printf("\n");
}

static void faulting_selector(int sig, siginfo_t *info, void *context)
{
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

    printf("  signal %d trap %lld err %#llx\n", sig, g[REG_TRAPNO], g[REG_ERR]);
    g[REG_RAX] = 0;            /* a null selector */
}

static void descriptors(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) t = {0};
    uint32_t limit = 0, ar = 0;
    uint8_t ok;

    __asm__ volatile("sgdt %0" : "=m"(t));
    printf("# sgdt %#x %#lx\n", t.limit, (unsigned long)t.base);
    __asm__ volatile("sidt %0" : "=m"(t));
    printf("# sidt %#x %#lx\n", t.limit, (unsigned long)t.base);
    __asm__ volatile("lsl %2, %0\n\tsetz %1" : "+r"(limit), "=qm"(ok) : "r"(0x2b));
    printf("lsl %#x %d\n", limit, ok);
    __asm__ volatile("lar %2, %0\n\tsetz %1" : "+r"(ar), "=qm"(ok) : "r"(0x33));
    printf("lar %#x %d\n", ar, ok);
    __asm__ volatile("verw %w1\n\tsetz %0" : "=qm"(ok) : "r"(0x2b));
    printf("verw %d\n", ok);
    uint64_t tr = 0, msw = 0, ldt = 0;
    __asm__ volatile("str %0\n\tsmsw %1\n\tsldt %2" : "=r"(tr), "=r"(msw), "=r"(ldt));
    printf("# str %#lx smsw %#lx sldt %#lx\n", (unsigned long)tr, (unsigned long)msw, (unsigned long)ldt);
}

/* 32-bit code in a 64-bit program: int 0x80 for getpid, back by a far return. */
void case_compat(void)
{
    static const uint8_t code[] = {
        /* 32-bit: */
        0x6a, 0x2b, 0x1f, 0x6a, 0x2b, 0x07,                 /* push $0x2b; pop ds; ... es           */
        0xb8, 20, 0, 0, 0, 0xcd, 0x80,                      /* getpid                               */
        0x40, 0x48,                                         /* inc eax; dec eax                     */
        0xcb,                                               /* retf                                 */
    };
    uint8_t *low = mmap((void *)0x20000000, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_32BIT, -1, 0);
    uint64_t rax;

    REQUIRE(low != MAP_FAILED);
    memcpy(low, code, sizeof code);
    /* the 32-bit stack: where to return to, in 64-bit mode */
    __asm__ volatile("mov %%rsp, %%r12\n\t"
                     "lea 8184(%[low]), %%rsp\n\t"
                     "lea 1f(%%rip), %%rax\n\t"
                     "mov %%eax, (%%rsp)\n\t"
                     "movl $0x33, 4(%%rsp)\n\t"
                     "sub $16, %%rsp\n\t"
                     "mov %[low], (%%rsp)\n\t"
                     "movq $0x23, 8(%%rsp)\n\t"
                     "lretq\n"
                     "1:\tmov %%r12, %%rsp\n\t"
                     "xor %%ecx, %%ecx\n\tmov %%ecx, %%ds\n\tmov %%ecx, %%es"
                     : "=&a"(rax) : [low] "b"(low)
                     : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "memory", "cc");
    printf("compat: pid %d\n", (uint32_t)rax == (uint32_t)getpid());
    munmap(low, 8192);
}

static uint64_t tls[4] = {0x1111, 0x2222, 0x3333, 0x4444};

void case_fsgsbase(void)
{
    uint64_t gs = 0, old;

    syscall(SYS_arch_prctl, ARCH_SET_GS, tls);
    __asm__ volatile("rdgsbase %0" : "=r"(old));
    __asm__ volatile("wrgsbase %0" : : "r"(tls + 2));
    for (volatile int i = 0; i < 1000; i++) {
        if (i % 100 == 0) {
            getppid();
        }
    }
    __asm__ volatile("mov %%gs:8, %0" : "=r"(gs));
    printf("base %d, gs:8 %#lx\n", old == (uint64_t)tls, (unsigned long)gs);
    syscall(SYS_arch_prctl, ARCH_SET_GS, 0);
}

/* Bases that change with the threads, and come to nothing by a selector. */
void case_bases(void)
{
    uint64_t gs = 0, sum = 0;

    for (unsigned i = 0; i < 3000; i++) {
        if (i % 7 == 0) {
            syscall(SYS_arch_prctl, ARCH_SET_GS, tls + i % 3);
        }
        __asm__ volatile("mov %%gs:8, %0" : "=r"(gs));
        sum = mix(sum, gs);
        if (i % 5 == 0) {
            getppid();
        }
    }
    syscall(SYS_arch_prctl, ARCH_SET_GS, tls);
    __asm__ volatile("mov %1, %%gs; mov %%gs:(%2), %0" : "=r"(gs) : "r"(0x2b), "r"(&tls[3]));
    printf("sum %016lx, flat gs:8 %#lx\n", (unsigned long)sum, (unsigned long)gs);
    getppid();
    __asm__ volatile("mov %%gs:(%1), %0" : "=r"(gs) : "r"(&tls[2]));
    printf("flat gs:8 after a call %#lx, selector %#x\n", (unsigned long)gs, sel(5));
    __asm__ volatile("mov %0, %%gs" : : "r"(0));
    printf("then %#x\n", sel(5));
}

void case_segments(void)
{
    uint64_t gs = 0;

    print_selectors("at first");
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(0x2b));
    print_selectors("flat data");
    getppid();
    print_selectors("after a call");
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(3));
    getppid();
    REQUIRE(sel(3) <= 3 && sel(0) <= 3); /* interrupts may clear it */
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(0));
    syscall(SYS_arch_prctl, ARCH_SET_GS, tls);
    __asm__ volatile("mov %%gs:8, %0" : "=r"(gs));
    printf("gs:8 %#lx\n", (unsigned long)gs);
    on_signal(SIGSEGV, faulting_selector);
    printf("mov gs, 0x53\n");
    __asm__ volatile("mov %0, %%gs" : : "a"(0x53));
    printf("mov ds, 7\n");
    __asm__ volatile("mov %0, %%ds" : : "a"(7));
    printf("mov es, 0x10\n");
    __asm__ volatile("mov %0, %%es" : : "a"(0x10));
    print_selectors("at last");
    descriptors();
}

/* -- Ports ----------------------------------------------------------------------------------------- */

static volatile int port_signals;

static void skip_two(int sig, siginfo_t *info, void *context)
{
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
    port_signals++;
}

void case_ports(void)
{
    uint8_t v;

    on_signal(SIGSEGV, skip_two);
    __asm__ volatile("in $0x80, %%al" : "=a"(v));
    printf("in: %d signals\n", port_signals);
    if (ioperm(0x80, 1, 1) != 0) {
        printf("# no ports\n");
        return;
    }
    __asm__ volatile("in $0x80, %%al" : "=a"(v));
    __asm__ volatile("in $0x61, %%al" : "=a"(v));
    printf("# after ioperm: %d signals\n", port_signals);
    if (iopl(3) == 0) {
        __asm__ volatile("in $0x61, %%al" : "=a"(v));
        printf("# after iopl: %d signals\n", port_signals);
        iopl(0);
    }
    ioperm(0x80, 1, 0);
    __asm__ volatile("in $0x80, %%al" : "=a"(v));
    printf("# at last: %d signals\n", port_signals);
}

/* -- CPUID, clocks ----------------------------------------------------------------------------------- */

void case_cpuid(void)
{
    uint32_t a, b, c, d;
    uint64_t hash = 0;

    for (uint32_t leaf = 0; leaf <= 0x20; leaf++) {
        __cpuid_count(leaf, 0, a, b, c, d);
        if (leaf == 1) {
            b &= 0x00ffffff;       /* which CPU */
        }
        if (leaf != 0xb && leaf != 0x1f && leaf != 0xd && leaf != 0x15 && leaf != 0x16) {
            hash = mix(mix(mix(mix(hash, a), b), c), d);
        }
        if (leaf == 1 || leaf == 7) {
            printf("# leaf %x: %08x %08x %08x %08x\n", leaf, a, b, c, d);
        }
    }
    printf("# hash %016lx\n", (unsigned long)hash);
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    printf("# xcr0 %x %x\n", a, d);
}

static volatile sig_atomic_t tsc_faults;

static void skip_rdtsc(int sig, siginfo_t *info, void *context)
{
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
    tsc_faults++;
}

/* RDTSC is taken away and given back. */
void case_tsd(void)
{
    uint64_t last = 0, t;

    on_signal(SIGSEGV, skip_rdtsc);
    for (int i = 0; i < 60; i++) {
        REQUIRE(prctl(PR_SET_TSC, i % 2 == 0 ? PR_TSC_ENABLE : PR_TSC_SIGSEGV, 0, 0, 0) == 0);
        for (int k = 0; k < 5; k++) {
            __asm__ volatile("xor %%eax, %%eax; xor %%edx, %%edx; rdtsc; shl $32, %%rdx; or %%rdx, %%rax" : "=a"(t) : : "rdx", "cc");
            REQUIRE(t == 0 || t > last);
            last = t != 0 ? t : last;
        }
    }
    prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0);
    printf("rdtsc faulted: %d\n", (int)tsc_faults);
}

static volatile sig_atomic_t rang;

static void ring(int sig, siginfo_t *info, void *context)
{
    rang++;
}

void case_clocks(void)
{
    struct timespec t0, t1;
    uint64_t last = 0, steps = 0, s0, s1;
    unsigned aux = 0;

    clock_gettime(CLOCK_MONOTONIC, &t0);
    s0 = __rdtsc();
    for (int i = 0; i < 2000; i++) {
        uint64_t t = i % 2 != 0 ? __rdtscp(&aux) : __rdtsc();
        REQUIRE(t >= last);
        last = t;
        steps++;
    }
    do { /* the kernel's time goes on while we do nothing but look; 30 ms */
        clock_gettime(CLOCK_MONOTONIC, &t1);
    } while ((t1.tv_sec - t0.tv_sec) * 1000000000L + (t1.tv_nsec - t0.tv_nsec) < 30000000);
    s1 = __rdtsc();
    printf("%lu readings, forwards: %d, aux below 4096: %d\n", (unsigned long)steps, s1 > s0, aux < 4096);
    /* ticks arrive while user code spins and asks nothing */
    on_signal(SIGALRM, ring);
    ualarm(20000, 0);
    while (!rang) {
    }
    printf("the alarm rang\n");
}

/* -- Computing ------------------------------------------------------------------------------------- */

/* Nothing but this loop, on a page of its own: whoever runs it hears of time by interrupts alone. */
static APART uint64_t compute(uint64_t turns)
{
    uint64_t h = 1;

    for (uint64_t i = 0; i < turns; i++) {
        h = mix(h, i);
    }
    return h;
}

void case_compute(void)
{
    printf("computed %016llx\n", (unsigned long long)compute(200000000));
}
