/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What 32-bit user code can see: a program without a C library, for tests/boot/direct.py.  It prints the same
 * natively, translated and directly; lines that begin with # may differ between kernels.
 */
#include <stdint.h>

enum {
    SYS_exit = 1, SYS_fork = 2, SYS_write = 4, SYS_waitpid = 7, SYS_getpid = 20, SYS_kill = 37, SYS_getppid = 64,
    SYS_munmap = 91, SYS_setitimer = 104, SYS_mprotect = 125, SYS_rt_sigaction = 174, SYS_mmap2 = 192,
    SYS_set_thread_area = 243,
    PROT_RW = 3, PROT_RWX = 7, MAP_PRIVATE_ANONYMOUS = 0x22, PAGE = 4096,
    SIGILL = 4, SIGTRAP = 5, SIGBUS = 7, SIGFPE = 8, SIGUSR1 = 10, SIGSEGV = 11, SIGALRM = 14,
    SA_SIGINFO = 4, SA_RESTORER = 0x04000000, SA_NODEFER = 0x40000000,
    UC_EIP = 20 + 4 * 14, /* in a ucontext_t */
};

static long call6(long n, long a, long b, long c, long d, long e)
{
    long r;

    __asm__ volatile("int $0x80" : "=a"(r) : "0"(n), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
    return r;
}

static long call(long n, long a, long b, long c)
{
    return call6(n, a, b, c, 0, 0);
}

/* -- Output ------------------------------------------------------------------------------------------ */

static void put(const char *s)
{
    long n = 0;

    while (s[n] != 0) {
        n++;
    }
    call(SYS_write, 1, (long)s, n);
}

static void show(const char *name, uint32_t val)
{
    char text[12] = " 00000000\n";

    for (int i = 8; i > 0; i--, val >>= 4) {
        text[i] = "0123456789abcdef"[val & 15];
    }
    put(name);
    put(text);
}

static void *pages(unsigned n, int prot)
{
    long (*volatile six)(long, long, long, long, long, long) = call6;

    return (void *)six(SYS_mmap2, 0, n * PAGE, prot, MAP_PRIVATE_ANONYMOUS, -1);
}

/* -- Computing ----------------------------------------------------------------------------------------- */

static __attribute__((noinline)) uint32_t fib(uint32_t n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static __attribute__((noinline, target("sse2,fpmath=sse"))) uint32_t sum_sse(unsigned n)
{
    double s = 0;

    for (unsigned i = 1; i < n; i++) {
        s += 1.0 / i;
    }
    return (uint32_t)(s * 1e6);
}

static __attribute__((noinline, target("fpmath=387"))) uint32_t sum_x87(unsigned n)
{
    long double s = 0;

    for (unsigned i = 1; i < n; i++) {
        s += 1.0L / i;
    }
    return (uint32_t)(s * 1e6L);
}

static void computing(void)
{
    show("fib", fib(27));
    show("sse", sum_sse(3000000));
    show("x87", sum_x87(3000000));
}

/* -- Signals ------------------------------------------------------------------------------------------- */

static volatile uint32_t n_signals;
static uint32_t resume_at;

static void report(int sig, int32_t *info, uint8_t *context)
{
    n_signals++;
    if (sig == SIGALRM || sig == SIGUSR1) {
        return;
    }
    show("  signal", (uint32_t)sig);
    show("  code", (uint32_t)info[2]);
    if (sig == SIGSEGV || sig == SIGBUS) {
        show("  address", (uint32_t)info[3]);
    }
    *(uint32_t *)(context + UC_EIP) = resume_at;
}

__asm__("restorer: mov $173, %eax; int $0x80");
extern const char restorer[];

static void catch_signals(void)
{
    static const int signals[] = {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGUSR1, SIGSEGV, SIGALRM};
    struct {
        uint32_t handler, flags, restore, mask[2];
    } action = {(uint32_t)report, SA_SIGINFO | SA_RESTORER | SA_NODEFER, (uint32_t)restorer, {0, 0}};

    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
        call6(SYS_rt_sigaction, signals[i], (long)&action, 0, 8, 0);
    }
}

/* Execute an instruction that faults, and go on behind it. */
#define FAULT(name, insn)                                                                                  \
    do {                                                                                                   \
        put(name "\n");                                                                                   \
        __asm__ volatile("movl $1f, %0\n\t" insn "\n1:" : "=m"(resume_at) : : "eax", "ecx", "edx", "memory", "cc"); \
    } while (0)

static void faults(void)
{
    FAULT("store to nothing", "movl $1, 0x10");
    FAULT("load from the kernel", "movl 0xfffff000, %%eax");
    FAULT("divide by zero", "xor %%ecx, %%ecx; xor %%edx, %%edx; mov $1, %%eax; divl %%ecx");
    FAULT("ud2", "ud2");
    FAULT("int3", "int3");
    FAULT("into", "mov $0x7fffffff, %%eax; add $1, %%eax; into");
    FAULT("bound", "movl $9, %%eax; push $5; push $1; bound %%eax, (%%esp); add $8, %%esp; jmp 1f");
    FAULT("hlt", "hlt");
    FAULT("cli", "cli");
    FAULT("int 0x55", "int $0x55");
    FAULT("bad selector", "mov $0x53, %%eax; mov %%eax, %%es");
    FAULT("jump to nothing", "mov $0x20, %%eax; jmp *%%eax");
    show("signals", n_signals);
}

static void timer(void)
{
    uint32_t every[4] = {0, 2000, 0, 2000}, none[4] = {0, 0, 0, 0}, before = n_signals;
    volatile uint32_t turns = 0;

    call(SYS_setitimer, 0, (long)every, 0);
    while (n_signals < before + 20) {
        turns++;
    }
    call(SYS_setitimer, 0, (long)none, 0);
    before = n_signals;
    for (unsigned i = 0; i < 300; i++) {
        call(SYS_kill, call(SYS_getpid, 0, 0, 0), SIGUSR1, 0);
    }
    show("killed", n_signals - before);
}

/* -- Segments ------------------------------------------------------------------------------------------ */

static uint32_t selector(unsigned n)
{
    uint32_t v = 0;

    switch (n) {
    case 0: __asm__("mov %%es, %0" : "=r"(v)); break;
    case 1: __asm__("push %%cs; pop %0" : "=r"(v)); break;
    case 2: __asm__("push %%ss; pop %0" : "=r"(v)); break;
    case 3: __asm__("mov %%ds, %0" : "=r"(v)); break;
    case 4: __asm__("push %%fs; pop %0" : "=r"(v)); break;
    default: __asm__("mov %%gs, %0" : "=r"(v)); break;
    }
    return v & 0xffff;
}

static void segments(void)
{
    static uint32_t tls[2][4] = {{0x1111, 0x2222, 0x3333, 0x4444}, {0x5555, 0x6666, 0x7777, 0x8888}};
    uint32_t desc[4] = {~0U, (uint32_t)tls[0], 0xfffff, 0x51 /* 32 bits, in pages, usable */};
    uint32_t v, sum = 0, flags;

    for (unsigned i = 0; i < 6; i++) {
        show("# selector", selector(i));
    }
    show("set_thread_area", (uint32_t)call(SYS_set_thread_area, (long)desc, 0, 0));
    __asm__ volatile("mov %0, %%gs" : : "r"(desc[0] << 3 | 3));
    for (unsigned i = 0; i < 2000; i++) {
        __asm__ volatile("mov %%gs:4, %0" : "=r"(v));
        sum += v;
        if (i == 1000) {
            desc[1] = (uint32_t)tls[1];
            call(SYS_set_thread_area, (long)desc, 0, 0);
            __asm__ volatile("mov %0, %%gs" : : "r"(desc[0] << 3 | 3));
        } else if (i % 100 == 0) {
            call(SYS_getppid, 0, 0, 0);
        }
    }
    show("tls", sum);
    show("gs as set", selector(5) == (desc[0] << 3 | 3));
    __asm__ volatile("movl $0x99, %%gs:8" : : : "memory");
    show("by gs", tls[1][2]);
    __asm__ volatile("push %%ds; pop %%gs; mov %%gs:(%1), %0" : "=r"(v) : "r"(&tls[0][3]));
    show("flat gs", v);
    __asm__ volatile("push %%ds; push %%es; pop %%ds; pop %%es; push %%cs; push $1f; lret\n1:" : : : "memory");
    show("es is ds", selector(0) == selector(3));
    __asm__ volatile("pushf; orl $0x200000, (%%esp); popf; mov $20, %%eax; int $0x80; pushf; pop %0" : "=r"(flags) : : "eax", "cc");
    show("ID flag", flags >> 21 & 1);
}

/* -- Registers ------------------------------------------------------------------------------------------- */

static void registers(void)
{
    static uint32_t in[32], out[32];
    uint32_t differ = 0;

    for (unsigned turn = 0; turn < 500; turn++) {
        for (unsigned i = 0; i < 32; i++) {
            in[i] = in[i] * 1664525 + 1013904223 + turn;
        }
        __asm__ volatile("movups (%1), %%xmm0; movups 16(%1), %%xmm1; movups 32(%1), %%xmm2; movups 48(%1), %%xmm3\n\t"
                         "movups 64(%1), %%xmm4; movups 80(%1), %%xmm5; movups 96(%1), %%xmm6; movups 112(%1), %%xmm7\n\t"
                         "mov $64, %%eax; int $0x80\n\t"
                         "movups %%xmm0, (%2); movups %%xmm1, 16(%2); movups %%xmm2, 32(%2); movups %%xmm3, 48(%2)\n\t"
                         "movups %%xmm4, 64(%2); movups %%xmm5, 80(%2); movups %%xmm6, 96(%2); movups %%xmm7, 112(%2)"
                         : "=&a"(differ) : "S"(in), "D"(out) : "memory");
        differ = 0;
        for (unsigned i = 0; i < 32; i++) {
            differ += in[i] != out[i];
        }
        if (differ != 0) {
            break;
        }
    }
    show("registers that differ", differ);
}

/* -- Memory ---------------------------------------------------------------------------------------------- */

static void memory(void)
{
    uint8_t *code = pages(1, PROT_RWX);
    uint32_t sum = 0;

    for (uint32_t i = 0; i < 600; i++) {               /* mov $i, %eax; ret */
        code[0] = 0xb8;
        __builtin_memcpy(code + 1, &i, 4);
        code[5] = 0xc3;
        sum += ((uint32_t(*)(void))code)();
    }
    show("rewritten", sum);
    for (unsigned i = 0; i < 60; i++) {
        uint32_t *at = pages(16, PROT_RW);

        for (unsigned k = 0; k < 16; k++) {
            at[k * 1024] = k + i;
        }
        call(SYS_mprotect, (long)at, 8 * PAGE, 1);
        for (unsigned k = 0; k < 16; k++) {
            sum += at[k * 1024];
        }
        call(SYS_munmap, (long)at, 16 * PAGE, 0);
    }
    show("mapped", sum);
}

static void processes(void)
{
    uint32_t *at = pages(4, PROT_RW), sum = 0;

    for (unsigned i = 0; i < 30; i++) {
        long pid, status = 0;

        at[0] = i;
        pid = call(SYS_fork, 0, 0, 0);
        if (pid == 0) {
            at[0] += 7;
            at[2048] = fib(12);
            call(SYS_exit, (long)((at[0] + at[2048]) & 0xff), 0, 0);
        }
        at[1024] = fib(10);
        call(SYS_waitpid, pid, (long)&status, 0);
        sum += (uint32_t)status + at[0] + at[2048];
    }
    show("children", sum);
}

__attribute__((force_align_arg_pointer, noreturn)) void _start(void)
{
    put("-- 32 bits\n");
    catch_signals();
    computing();
    faults();
    timer();
    segments();
    registers();
    memory();
    processes();
    put("-- end\n");
    call(SYS_exit, 0, 0, 0);
    __builtin_unreachable();
}
