/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every exception user code can raise, with all that the signal tells; steps, traps, watchpoints. */
#include "tests/user/user.h"

#include <errno.h>
#include <setjmp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

static uint8_t *area;          /* four pages: rw, none, r, rwx of an empty file */
static uint64_t code_at;


static sigjmp_buf env;

static const char *where(uint64_t addr)
{
    static char text[64];

    if (addr - (uint64_t)area < 4 * 4096) {
        snprintf(text, sizeof text, "area+%#lx", (unsigned long)(addr - (uint64_t)area));
    } else if (addr - code_at < 4096) {
        snprintf(text, sizeof text, "code+%#lx", (unsigned long)(addr - code_at));
    } else {
        snprintf(text, sizeof text, "%#lx", (unsigned long)addr);
    }
    return text;
}

static void report(int sig, siginfo_t *info, void *context)
{
    const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    char rip[64], addr[64], rax[64];

    __asm__ volatile("pushfq; andl $~0x40000, (%rsp); popfq");
    snprintf(rax, sizeof rax, "%s", where((uint64_t)g[REG_RAX]));
    snprintf(rip, sizeof rip, "%s", where((uint64_t)g[REG_RIP]));
    snprintf(addr, sizeof addr, "%s", where((uint64_t)(uintptr_t)info->si_addr));
    printf("  signal %d code %d errno %d addr %s rip %s trap %lld err %#llx flags %#llx rax %s rcx %#llx\n", sig,
           info->si_code, info->si_errno, addr, rip, g[REG_TRAPNO], g[REG_ERR], g[REG_EFL] & 0x54700,
           rax, g[REG_RCX]);
    if (sig == SIGFPE && g[REG_TRAPNO] != 0) {
        const struct _libc_fpstate *fp = ((ucontext_t *)context)->uc_mcontext.fpregs;

        printf("  x87 %#x %#x, mxcsr %#x\n", fp->cwd, fp->swd, fp->mxcsr);
    }
    siglongjmp(env, 1);
}

/* Run the bytes with rdi = area, rax and rcx known. */
static void run_bytes(const char *name, const uint8_t *bytes, size_t n)
{
    uint8_t *code = (uint8_t *)code_at;

    printf("%s\n", name);
    memcpy(code, bytes, n);
    code[n] = 0xc3;
    if (sigsetjmp(env, 1) == 0) {
        uint64_t rax = 0x1234, rcx = 0x5678, rdx = 0;

        __asm__ volatile("sub $128, %%rsp\n\tcall *%[code]\n\tadd $128, %%rsp\n\t"
                         : "+a"(rax), "+c"(rcx), "+d"(rdx)
                         : [code] "r"(code_at), "D"(area)
                         : "memory", "cc", "r8", "r9", "r10", "r11", "rsi");
        printf("  rax %#lx rcx %#lx rdx %#lx\n", (unsigned long)rax, (unsigned long)rcx, (unsigned long)rdx);
    }
    __asm__ volatile("pushfq; andq $~0x40100, (%rsp); popfq; fninit; cld");
    uint32_t mxcsr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
}

#define BYTES(name, ...)                                                                           \
    do {                                                                                           \
        static const uint8_t b[] = {__VA_ARGS__};                                                  \
        run_bytes(name, b, sizeof b);                                                              \
    } while (0)

static void set_up(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};

    for (unsigned i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        on_signal(signals[i], report);
    }
    if (area == NULL) {
        area = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(area + 4096, 4096, PROT_NONE);
        mprotect(area + 8192, 4096, PROT_READ);
        REQUIRE(mmap(area + 3 * 4096, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_FIXED, memfd_create("empty", 0), 0) !=
                MAP_FAILED);
        code_at = (uint64_t)mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect((void *)(code_at + 4096), 4096, PROT_NONE);
    }
}

/* Opcodes of the x87 behind FLDCW of a word that masks nothing (but the precision, where asked), and of SSE behind such an LDMXCSR. */
#define X87(name, mask, ...) BYTES("x87 " name, 0x66, 0xc7, 0x07, 0x40 | (mask), 0x03, 0xd9, 0x2f, __VA_ARGS__, 0x9b)
#define SSE(name, mask, ...) BYTES("sse " name, 0xc7, 0x07, 0, (mask) >> 8, 0, 0, 0x0f, 0xae, 0x17, __VA_ARGS__)
#define PRECISION 0x20
/* fld of an 80-bit number: mantissa m000..0 or all ones, exponent e */
#define FLD80(low, high, e0, e1)                                                                     \
    0xc7, 0x47, 8, low, low, low, low, 0xc7, 0x47, 12, low, low, low, high, 0x66, 0xc7, 0x47, 16, e0, e1, 0xdb, 0x6f, 8
#define MOVD_XMM0(a, b, c, d) 0xb8, a, b, c, d, 0x66, 0x0f, 0x6e, 0xc0

static void arithmetic(void)
{
    BYTES("div by zero", 0x31, 0xc9, 0x31, 0xd2, 0xf7, 0xf1);
    BYTES("idiv overflow", 0xb8, 0, 0, 0, 0x80, 0x99, 0xb9, 0xff, 0xff, 0xff, 0xff, 0xf7, 0xf9);
    X87("divide", PRECISION, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9);
    X87("invalid", PRECISION, 0xd9, 0xee, 0xd9, 0xee, 0xde, 0xf9);
    X87("denormal", PRECISION, 0xc7, 0x47, 8, 1, 0, 0, 0, 0xd9, 0x47, 8);
    X87("overflow", PRECISION, FLD80(0xff, 0xff, 0xfe, 0x7f), 0xd8, 0xc0);
    X87("underflow", PRECISION, FLD80(0, 0x80, 1, 0), 0xd8, 0xc8);
    X87("precision", 0, 0xd9, 0xe8, 0x66, 0xc7, 0x47, 8, 3, 0, 0xdf, 0x47, 8, 0xde, 0xf9);
    X87("stack overflow", PRECISION, 0xd9, 0xe8, 0xd9, 0xe8, 0xd9, 0xe8, 0xd9, 0xe8, 0xd9, 0xe8, 0xd9, 0xe8, 0xd9, 0xe8, 0xd9,
        0xe8, 0xd9, 0xe8);
    X87("stack underflow", PRECISION, 0xd8, 0xc1);
    SSE("divide", PRECISION << 7, 0x0f, 0x57, 0xc0, 0xb8, 1, 0, 0, 0, 0xf3, 0x0f, 0x2a, 0xc8, 0xf3, 0x0f, 0x5e, 0xc8);
    SSE("invalid", PRECISION << 7, 0x0f, 0x57, 0xc0, 0xf3, 0x0f, 0x5e, 0xc0);
    SSE("denormal", PRECISION << 7, MOVD_XMM0(1, 0, 0, 0), 0xf3, 0x0f, 0x58, 0xc0);
    SSE("overflow", PRECISION << 7, MOVD_XMM0(0xff, 0xff, 0x7f, 0x7f), 0xf3, 0x0f, 0x58, 0xc0);
    SSE("underflow", PRECISION << 7, MOVD_XMM0(0, 0, 0x80, 0), 0xf3, 0x0f, 0x59, 0xc0);
    SSE("precision", 0, 0xb8, 1, 0, 0, 0, 0xf3, 0x0f, 0x2a, 0xc8, 0xb9, 3, 0, 0, 0, 0xf3, 0x0f, 0x2a, 0xd1, 0xf3, 0x0f, 0x5e, 0xca);
}

static void invalid(void)
{
    BYTES("ud2", 0x0f, 0x0b);
    BYTES("ud1", 0x0f, 0xb9, 0xc0);
    BYTES("ud0", 0x0f, 0xff, 0xc0);
    BYTES("push es", 0x06);
    BYTES("lock nop", 0xf0, 0x90);
    BYTES("hlt", 0xf4);
    BYTES("cli", 0xfa);
    BYTES("in", 0xe4, 0x80);
    BYTES("out dx", 0xba, 0x80, 0, 0, 0, 0xee);
    BYTES("mov cr0", 0x0f, 0x20, 0xc0);
    BYTES("mov dr7", 0x0f, 0x21, 0xf8);
    BYTES("wrmsr", 0x0f, 0x30);
    BYTES("rdmsr", 0x0f, 0x32);
    BYTES("lgdt", 0x0f, 0x01, 0x17);
    BYTES("invlpg", 0x0f, 0x01, 0x3f);
    BYTES("swapgs", 0x0f, 0x01, 0xf8);
    BYTES("sysret", 0x48, 0x0f, 0x07);
    BYTES("clts", 0x0f, 0x06);
    BYTES("ltr", 0x0f, 0x00, 0xd8);
    BYTES("iretq to nothing", 0x6a, 0, 0x6a, 0, 0x6a, 2, 0x6a, 0, 0x6a, 0, 0x48, 0xcf);
    BYTES("retf to nothing", 0x6a, 0, 0x6a, 0, 0x48, 0xcb);
    BYTES("far jump to the kernel's code", 0xc7, 0x07, 0, 0, 0, 0, 0x66, 0xc7, 0x47, 4, 0x10, 0, 0xff, 0x2f);
    BYTES("mov ss, 0", 0x31, 0xc0, 0x8e, 0xd0);
    BYTES("mov cs", 0x31, 0xc0, 0x8e, 0xc8);
    BYTES("rdpmc", 0x31, 0xc9, 0x0f, 0x33);
    BYTES("xgetbv 7", 0xb9, 7, 0, 0, 0, 0x0f, 0x01, 0xd0);
    BYTES("xsetbv", 0x31, 0xc9, 0x0f, 0x01, 0xd1);
    BYTES("lmsw", 0x0f, 0x01, 0xf0);
    BYTES("rsm", 0x0f, 0xaa);
    BYTES("ldmxcsr of reserved bits", 0xc7, 0x07, 0xff, 0xff, 0xff, 0xff, 0x0f, 0xae, 0x17);
    BYTES("fxrstor of reserved bits", 0xc7, 0x47, 24, 0xff, 0xff, 0xff, 0xff, 0x0f, 0xae, 0x0f);
    BYTES("xrstor of a bad header", 0x48, 0xc7, 0x87, 8, 2, 0, 0, 0xff, 0, 0, 0, 0xb8, 7, 0, 0, 0, 0x31, 0xd2, 0x0f, 0xae, 0x2f);
    BYTES("cmpxchg16b unaligned", 0x48, 0x0f, 0xc7, 0x4f, 8);
}

static void traps(void)
{
    BYTES("int3", 0xcc);
    BYTES("int 3", 0xcd, 3);
    BYTES("icebp", 0xf1);
    BYTES("int 4", 0xcd, 4);
    BYTES("int 5", 0xcd, 5);
    BYTES("int 0x21", 0xcd, 0x21);
    BYTES("int 0x81", 0xcd, 0x81);
    BYTES("int 14", 0xcd, 14);
}

static void memory(void)
{
    BYTES("read none", 0x8b, 0x87, 0x08, 0x10, 0, 0);
    BYTES("write none", 0x89, 0x87, 0x08, 0x10, 0, 0);
    BYTES("read across into none", 0x8b, 0x87, 0xfe, 0x0f, 0, 0);
    BYTES("write across into none", 0x89, 0x87, 0xfe, 0x0f, 0, 0);
    BYTES("write read-only", 0x89, 0x87, 0x10, 0x20, 0, 0);
    BYTES("read-modify read-only", 0x01, 0x87, 0x10, 0x20, 0, 0);
    BYTES("lock xadd read-only", 0xf0, 0x0f, 0xc1, 0x87, 0x10, 0x20, 0, 0);
    BYTES("jump to data", 0xff, 0xe7);
    BYTES("jump to none", 0x48, 0x8d, 0x87, 0, 0x10, 0, 0, 0xff, 0xe0);
    BYTES("null", 0x31, 0xc0, 0x8b, 0x00);
    BYTES("write null", 0x31, 0xc9, 0x89, 0x01);
    BYTES("call null", 0x31, 0xc9, 0xff, 0xe1);
    BYTES("kernel address", 0x48, 0xc7, 0xc1, 0, 0, 0, 0x81, 0x8b, 0x01);
    BYTES("jump to kernel", 0x48, 0xc7, 0xc1, 0, 0, 0, 0x81, 0xff, 0xe1);
    BYTES("non-canonical", 0x48, 0xb9, 0, 0, 0, 0, 0, 0, 0x34, 0x12, 0x8b, 0x01);
    BYTES("push to non-canonical", 0x48, 0x89, 0xe2, 0x48, 0xbc, 0, 0, 0, 0, 0, 0, 0x34, 0x12, 0x50);
    BYTES("aligned sse unaligned", 0x0f, 0x28, 0x47, 0x01);
    BYTES("alignment check", 0x9c, 0x81, 0x0c, 0x24, 0, 0, 4, 0, 0x9d, 0x8b, 0x47, 0x01);
    BYTES("alignment not checked", 0x8b, 0x47, 0x01, 0x31, 0xc0);
    BYTES("movs into none", 0x48, 0x8d, 0xb7, 0, 0x20, 0, 0, 0x48, 0x81, 0xc7, 0xf8, 0x0f, 0, 0, 0xb9, 16, 0, 0, 0,
          0xf3, 0xa4);
    BYTES("push into none", 0x48, 0x89, 0xe2, 0x48, 0x8d, 0xa7, 8, 0x10, 0, 0, 0x50);
    BYTES("call, the stack into none", 0x48, 0x89, 0xe2, 0x48, 0x8d, 0xa7, 8, 0x20, 0, 0, 0xe8, 0, 0, 0, 0);
    BYTES("read behind a file's end", 0x8b, 0x87, 8, 0x30, 0, 0);
    BYTES("write behind a file's end", 0x89, 0x87, 8, 0x30, 0, 0);
    BYTES("jump behind a file's end", 0x48, 0x8d, 0x87, 0, 0x30, 0, 0, 0xff, 0xe0);
}

void case_exceptions(void)
{
    set_up();
    arithmetic();
    invalid();
    traps();
    memory();
}

/* -- Steps ------------------------------------------------------------------------------------------ */

static volatile int n_steps;
static uint64_t step_hash;

static void on_step(int sig, siginfo_t *info, void *context)
{
    const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

    n_steps++;
    step_hash = mix(step_hash, (uint64_t)g[REG_RIP] - code_at);
    step_hash = mix(step_hash, (uint64_t)info->si_code << 8 | (uint64_t)g[REG_TRAPNO]);
}

/* The user sets TF by itself. */
void case_stepping(void)
{
    static const uint8_t body[] = {
        0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d,   /* pushf; or $0x100,(rsp); popf       */
        0x90, 0xb9, 5, 0, 0, 0, 0x48, 0xff, 0xc0,   /* nop; mov $5,ecx; 1: inc rax        */
        0xe2, 0xfb, 0x9c, 0x58,                     /* loop 1b; pushf; pop rax            */
        0x31, 0xc0, 0xb8, 39, 0, 0, 0, 0x0f, 0x05,  /* getpid                              */
        0x9c, 0x81, 0x24, 0x24, 0xff, 0xfe, 0xff, 0xff, 0x9d, 0x90, 0xc3,
    };

    set_up();
    on_signal(SIGTRAP, on_step);
    memcpy((void *)code_at, body, sizeof body);
    __asm__ volatile("call *%[code]" : : [code] "r"(code_at)
                     : "rax", "rbx", "rcx", "rdx", "r11", "memory", "cc");
    printf("%d steps, hash %016lx\n", n_steps, (unsigned long)step_hash);
}

static uint64_t cpuid_at;
static int after_cpuid;

static void on_step_of_cpuid(int sig, siginfo_t *info, void *context)
{
    after_cpuid += (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] == cpuid_at + 2;
}

/* (A hypervisor may lose it.) */
void case_cpuidstep(void)
{
    on_signal(SIGTRAP, on_step_of_cpuid);
    __asm__ volatile("lea 1f(%%rip), %%rax; mov %%rax, %0; xor %%eax, %%eax; pushfq; orq $0x100, (%%rsp); popfq; nop\n"
                     "1:\tcpuid; nop; pushfq; andq $~0x100, (%%rsp); popfq; nop"
                     : "=m"(cpuid_at) : : "rax", "rbx", "rcx", "rdx", "cc", "memory");
    printf("trapped after cpuid: %d\n", after_cpuid);
}

static void __attribute__((noinline)) stepped_work(void)
{
    __asm__ volatile("mov $20, %%ecx\n1:\tlea 3(%%rax), %%rax\n\tpush %%rax\n\tpop %%rdx\n\tdec %%ecx\n\tjnz 1b\n\t"
                     "mov $39, %%eax\n\tsyscall\n\t" : : : "rax", "rcx", "rdx", "r11", "cc", "memory");
}

void case_ptrace(void)
{
    struct user_regs_struct r;
    uint64_t hash = 0, steps = 0;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        stepped_work();
        _exit(7);
    }
    REQUIRE(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
    for (;;) {
        ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
        REQUIRE(waitpid(pid, &status, 0) == pid);
        if (!WIFSTOPPED(status)) {
            break;
        }
        ptrace(PTRACE_GETREGS, pid, 0, &r);
        if (r.rip - (uint64_t)stepped_work < 64) {
            hash = mix(hash, r.rip - (uint64_t)stepped_work);
            hash = mix(hash, r.rcx & 0xff);
            steps++;
        }
    }
    printf("%lu steps in the function, hash %016lx, status %d\n", (unsigned long)steps,
           (unsigned long)hash, WEXITSTATUS(status));
}

static volatile uint64_t watched_word;

/* Hardware breakpoints by ptrace: on data and on code. */
void case_watchpoint(void)
{
    int status, hits = 0;
    uint64_t dr6;
    pid_t pid = fork();

    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        for (int i = 0; i < 3; i++) {
            watched_word += 5;
        }
        stepped_work();
        _exit(3);
    }
    waitpid(pid, &status, 0);
    ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]), &watched_word);
    ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[1]), stepped_work);
    REQUIRE(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[7]),
                   1 | 1 << 16 | 2 << 18 | 1 << 2) == 0);
    for (;;) {
        ptrace(PTRACE_CONT, pid, 0, 0);
        waitpid(pid, &status, 0);
        if (!WIFSTOPPED(status)) {
            break;
        }
        dr6 = (uint64_t)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, u_debugreg[6]), 0);
        printf("stop by signal %d, dr6 %#lx, word %ld\n", WSTOPSIG(status), (unsigned long)dr6 & 0xf,
               ptrace(PTRACE_PEEKDATA, pid, &watched_word, 0));
        hits++;
    }
    printf("%d hits, status %d\n", hits, WEXITSTATUS(status));
}
