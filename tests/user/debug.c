/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What debuggers do to a program, and a program to itself by TF, where instructions make it hard. */
#include "tests/user/user.h"

#include <elf.h>
#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

/* -- Steps over what is not one simple instruction ------------------------------------------------- */

static uint64_t code_at;
static uint8_t *data_at;
static unsigned n_steps;

static void on_odd_step(int sig, siginfo_t *info, void *context)
{
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t at = (uint64_t)g[REG_RIP] - code_at;

    __asm__ volatile("cld");
    if (at < 4096) {
        printf("  signal %d code %d at %lu trap %lld flags %#llx rcx %lld\n", sig, info->si_code, (unsigned long)at,
               g[REG_TRAPNO], g[REG_EFL] & 0x500, g[REG_RCX]);
        n_steps++;
        if (sig == SIGILL) {
            g[REG_RIP] += 2;
        } else if (sig == SIGSEGV && g[REG_TRAPNO] == 14) {
            mprotect(data_at, 4096, PROT_READ | PROT_WRITE);
        } else if (sig == SIGSEGV) {
            g[REG_RIP] += 1;
        }
    }
}

/* Each body begins with TF just set, and clears it at its end. */
static void step_through(const char *name, const uint8_t *bytes, size_t n)
{
    static const uint8_t before[] = {0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d};                   /* pushf; or; popf  */
    static const uint8_t after[] = {0x9c, 0x81, 0x24, 0x24, 0xff, 0xfe, 0xff, 0xff, 0x9d, 0x90, 0xc3}; /* and; popf; nop */
    uint8_t *code = (uint8_t *)code_at;

    printf("%s\n", name);
    memcpy(code, before, sizeof before);
    memcpy(code + sizeof before, bytes, n);
    memcpy(code + sizeof before + n, after, sizeof after);
    __asm__ volatile("sub $128, %%rsp; call *%[code]; add $128, %%rsp; cld" : : [code] "r"(code_at), "D"(data_at), "S"(data_at + 64), "c"(3L)
                     : "rax", "rbx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
}

#define STEP(name, ...)                                                                            \
    do {                                                                                           \
        static const uint8_t b[] = {__VA_ARGS__};                                                  \
        step_through(name, b, sizeof b);                                                           \
    } while (0)

static void set_up(void)
{
    static const int signals[] = {SIGTRAP, SIGILL, SIGSEGV};

    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
        on_signal(signals[i], on_odd_step);
    }
    code_at = (uint64_t)mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    data_at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

void case_oddsteps(void)
{
    set_up();
    STEP("rep movsb", 0xf3, 0xa4);
    STEP("rep movsb of none", 0x31, 0xc9, 0xf3, 0xa4);
    STEP("pushf", 0x9c, 0x58, 0xf6, 0xc4, 1, 0x0f, 0x95, 0xc1);  /* pushf; pop rax; test $1, ah; setnz cl */
    STEP("call and return", 0xe8, 2, 0, 0, 0, 0xeb, 1, 0xc3);
    STEP("int3", 0xcc);
    STEP("ud2", 0x0f, 0x0b);
    STEP("hlt", 0xf4);
    STEP("system call", 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x31, 0xc9, 0x31, 0xc0);
    STEP("a jump to itself", 0xe2, 0xfe);                        /* loop . */
    STEP("iretq", 0x48, 0x89, 0xe0, 0x8c, 0xd2, 0x52, 0x50, 0x9c, 0x8c, 0xca, 0x52, 0x48, 0x8d, 0x15, 3, 0, 0, 0, 0x52, 0x48, 0xcf);
    mprotect(data_at, 4096, PROT_READ);
    STEP("a page fault that is mended", 0x88, 0x0f, 0x90);
    printf("%u steps\n", n_steps);
}

/* (Not every hypervisor has it right.) */
void case_ssstep(void)
{
    set_up();
    STEP("mov ss", 0x8c, 0xd0, 0x90, 0x8e, 0xd0, 0x90, 0x90);
}

/* -- A debugger ------------------------------------------------------------------------------------- */

static uint64_t __attribute__((noinline, aligned(64))) debugged(uint64_t n)
{
    uint64_t r = n;

    __asm__ volatile("lea 1(%0), %0\n\tmovq %0, %%xmm7\n\tpinsrw $7, %k0, %%xmm7\n\tint3\n\t"
                     "pextrw $7, %%xmm7, %%eax\n\tadd %%rax, %0\n\tmov %%fs:0, %%rax" : "+r"(r) : : "rax", "xmm7");
    return r;
}

static void cont(int how, pid_t pid, int *status)
{
    REQUIRE(ptrace(how, pid, 0, 0) == 0 && waitpid(pid, status, 0) == pid);
}

static void change_vectors(pid_t pid)
{
    struct user_fpregs_struct fp;

    REQUIRE(ptrace(PTRACE_GETFPREGS, pid, 0, &fp) == 0);
    printf("xmm7 %08x %08x\n", fp.xmm_space[28], fp.xmm_space[31]);
    fp.xmm_space[31] = 0x12340000;
    REQUIRE(ptrace(PTRACE_SETFPREGS, pid, 0, &fp) == 0);
}

/* int3 written into its code, registers read and changed, vectors too, system calls counted, its base of FS changed. */
void case_debugger(void)
{
    uint64_t first = (uint64_t)debugged, calls = 0, tls[2] = {77, 0};
    struct user_regs_struct r;
    int status;
    long old;
    pid_t pid = fork();

    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        tls[1] = debugged(5);
        for (int i = 0; i < 10; i++) {
            getppid();
        }
        _exit((int)(tls[1] & 0x7f));
    }
    REQUIRE(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
    old = ptrace(PTRACE_PEEKTEXT, pid, first, 0);
    REQUIRE(ptrace(PTRACE_POKETEXT, pid, first, (old & ~0xffL) | 0xcc) == 0);
    cont(PTRACE_CONT, pid, &status);
    REQUIRE(ptrace(PTRACE_GETREGS, pid, 0, &r) == 0);
    printf("stop by signal %d at +%lu, rdi %lu\n", WSTOPSIG(status), (unsigned long)(r.rip - first), (unsigned long)r.rdi);
    REQUIRE(ptrace(PTRACE_POKETEXT, pid, first, old) == 0);
    r.rip = first;
    r.rdi = 40;
    REQUIRE(ptrace(PTRACE_SETREGS, pid, 0, &r) == 0);
    cont(PTRACE_SINGLESTEP, pid, &status);
    cont(PTRACE_CONT, pid, &status);                   /* its own int3 */
    change_vectors(pid);
    REQUIRE(ptrace(PTRACE_GETREGS, pid, 0, &r) == 0);
    printf("stop by signal %d, orig_rax %ld\n", WSTOPSIG(status), (long)r.orig_rax);
    do {
        cont(PTRACE_SYSCALL, pid, &status);
        if (WIFSTOPPED(status)) {
            REQUIRE(ptrace(PTRACE_GETREGS, pid, 0, &r) == 0);
            calls += r.orig_rax == SYS_getppid;
        }
    } while (WIFSTOPPED(status));
    printf("%lu stops at calls, status %d\n", (unsigned long)calls, WEXITSTATUS(status));
}

/* -- Breakpoints by performance events ---------------------------------------------------------------- */

static volatile uint64_t counted_word;

static void __attribute__((noinline)) counted_code(void)
{
    __asm__ volatile("" : : : "memory");
}

static int open_breakpoint(uint32_t type, const volatile void *at, uint64_t len)
{
    struct perf_event_attr a = {.type = PERF_TYPE_BREAKPOINT, .size = sizeof a, .bp_type = type, .bp_addr = (uint64_t)(uintptr_t)at,
                                .bp_len = len, .exclude_kernel = 1, .exclude_hv = 1};

    return (int)syscall(SYS_perf_event_open, &a, 0, -1, -1, 0);
}

void case_perfbreak(void)
{
    int data = open_breakpoint(HW_BREAKPOINT_RW, &counted_word, 8), code = open_breakpoint(HW_BREAKPOINT_X, (void *)counted_code, sizeof(long));
    uint64_t n[2] = {0, 0};

    for (int i = 0; i < 10; i++) {
        counted_word += 3;     /* a load and a store, in one instruction or two */
        counted_code();
        getppid();
    }
    if (data < 0 || code < 0 || read(data, &n[0], 8) != 8 || read(code, &n[1], 8) != 8) {
        printf("perf: none, %d\n", errno);
        return;
    }
    close(data);
    close(code);
    counted_code();
    printf("perf: at least ten accesses %d, %lu calls\n", n[0] >= 10, (unsigned long)n[1]);
}
