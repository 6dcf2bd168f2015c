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
static unsigned n_places, *n_seen, *n_mapped, *n_wrong; /* the latter shared */
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

/* The place of our own world, by asking again and again: we may be with the translator, or in a new world; 0: there are none. */
static uint64_t find(uint8_t *code)
{
    for (unsigned turn = 0; turn < 100; turn++) {
        ask();
        settle();
        for (unsigned i = 0; i < n_places; i++) {
            if (see(place[i], code)) {
                ++*n_seen;
                return place[i];
            }
        }
        if (n_places == 0) {
            break;
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

static APART long map_call(uint64_t at, uint64_t len, int flags)
{
    register long r10 __asm__("r10") = flags, r8 __asm__("r8") = -1, r9 __asm__("r9") = 0;
    long r = SYS_mmap;

    __asm__ volatile("syscall" : "+a"(r) : "D"(at), "S"(len), "d"(PROT_READ | PROT_WRITE), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return r;
}

/* Words that are not what they should be: nothing, then what is written. */
static APART unsigned wrong_words(uint64_t at, uint64_t len)
{
    volatile uint64_t *word = (uint64_t *)at;
    unsigned wrong = 0;

    for (uint64_t i = 0; i < len / 8; i += 64) {
        wrong += word[i] != 0;
    }
    for (uint64_t i = 0; i < len / 8; i += 64) {
        word[i] = i;
    }
    for (uint64_t i = 0; i < len / 8; i += 64) {
        wrong += word[i] != i;
    }
    return wrong;
}

/* Memory of its own in the stub's place, asked for in a small piece or with all that is around it; it is in nobody's way. */
static void map_over(uint64_t base, unsigned how)
{
    uint64_t around = UINT64_C(4096) << 8 * (how % 4);
    uint64_t from = base - around, len = W_LEN + 2 * around;
    long at = map_call(from, len, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | 0x100000 /* MAP_FIXED_NOREPLACE */ | (how == 0 ? MAP_POPULATE : 0));

    if (at == (long)from) {
        ++*n_mapped;
        *n_wrong += wrong_words(base, W_LEN);
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

static APART long call64(unsigned nr)
{
    register long r10 __asm__("r10") = -1, r8 __asm__("r8") = -1, r9 __asm__("r9") = -1;
    long r = nr;

    __asm__ volatile("syscall" : "+a"(r) : "D"(-1L), "S"(-1L), "d"(-1L), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return r;
}

/* Calls with arguments that no kernel can do anything with. */
static APART uint64_t all_calls(void)
{
    static const uint16_t leave[] = {SYS_pause, SYS_fork, SYS_vfork, SYS_clone, SYS_exit, SYS_exit_group, SYS_kill, SYS_tkill,
                                     SYS_rt_sigreturn, SYS_rt_sigsuspend, SYS_reboot, SYS_vhangup, SYS_sync, 435, SYS_brk,
                                     SYS_munmap, SYS_alarm, SYS_setsid, SYS_set_tid_address, SYS_futex, SYS_sched_yield};
    uint64_t hash = 0;

    settle();
    for (unsigned nr = 0; nr < 512; nr++) {
        int skipped = 0;
        long r;

        for (unsigned i = 0; i < sizeof leave / sizeof *leave; i++) {
            skipped |= leave[i] == nr;
        }
        if (!skipped) {
            if (__builtin_setjmp(env) == 0) {
                r = call64(nr);
                hash = hash * 31 + (r < 0);
            }
        }
    }
    return hash;
}

/* The same by INT 80h, which numbers them otherwise, with all that a child of ours survives. */
static APART long call32(unsigned nr)
{
    long r = nr;

    __asm__ volatile("int $0x80" : "+a"(r) : "b"(-1L), "c"(-1L), "d"(-1L), "S"(-1L), "D"(-1L)
                     : "r8", "r9", "r10", "r11", "memory");
    return r;
}

static APART uint64_t all_calls32(void)
{
    enum { EXIT = 1, FORK = 2, ALARM = 27, PAUSE = 29, SYNC = 36, KILL = 37, BRK = 45, SETSID = 66, SSETMASK = 69, SIGSUSPEND = 72,
           REBOOT = 88, MUNMAP = 91, VHANGUP = 111, SIGRETURN = 119, CLONE = 120, YIELD = 158, RT_SIGRETURN = 173,
           RT_SIGSUSPEND = 179, VFORK = 190, TKILL = 238, FUTEX = 240, SET_THREAD_AREA = 243, EXIT_GROUP = 252,
           SET_TID_ADDRESS = 258, CLONE3 = 435 };
    static const uint16_t leave[] = {EXIT, FORK, ALARM, PAUSE, SYNC, KILL, BRK, SETSID, SSETMASK, SIGSUSPEND, REBOOT, MUNMAP, VHANGUP,
                                     SIGRETURN, CLONE, YIELD, RT_SIGRETURN, RT_SIGSUSPEND, VFORK, TKILL, FUTEX, SET_THREAD_AREA,
                                     EXIT_GROUP, SET_TID_ADDRESS, CLONE3};
    uint64_t hash = 0;

    settle();
    for (unsigned nr = 0; nr < 512; nr++) {
        int skipped = 0;

        for (unsigned i = 0; i < sizeof leave / sizeof *leave; i++) {
            skipped |= leave[i] == nr;
        }
        if (!skipped && __builtin_setjmp(env) == 0) {
            hash = hash * 31 + (call32(nr) < 0);
        }
    }
    return hash;
}

/* INT n for all n, each 8 bytes long. */
extern const uint8_t all_ints[];
__asm__(".pushsection .apart,\"ax\",@progbits\n\t.balign 4096\n"
        "all_ints:\n\t.set vector, 0\n\t.rept 256\n\t.balign 8\n\t.byte 0xcd, vector\n\tret\n\t.set vector, vector + 1\n\t.endr\n\t.popsection");

static volatile sig_atomic_t last_signal;

static APART void note_signal(int sig)
{
    last_signal = sig;
    __builtin_longjmp(env, 1);
}

static APART void jump_to_int(unsigned n)
{
    const uint8_t *to = all_ints + n * 8;

    __asm__ volatile("mov $-1, %%rax; call *%0" : : "b"(to) : "rax", "rcx", "rdx", "memory");
}

/* Which signal each vector comes to. */
static APART uint64_t all_vectors(void)
{
    static const int all[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    struct sigaction sa = {.sa_flags = SA_ONSTACK | SA_NODEFER, .sa_handler = note_signal}, old[sizeof all / sizeof *all];
    uint64_t hash = 0;

    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        sigaction(all[i], &sa, &old[i]);
    }
    settle();
    for (unsigned n = 0; n < 256; n++) {
        last_signal = 0;
        if (__builtin_setjmp(env) == 0) {
            jump_to_int(n);
        }
        hash = hash * 31 + (unsigned)last_signal;
    }
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        sigaction(all[i], &old[i], NULL);
    }
    return hash;
}

static APART void enter(unsigned how)
{
    static const struct {
        uint32_t offset;
        uint16_t selector;
    } far = {0x400000, 0x10};

    switch (how) {
    case 0: __asm__ volatile("mov $20, %%eax; sysenter" : : : "rax", "rcx", "rdx", "memory"); break;
    case 1: __asm__ volatile("lcall *%0" : : "m"(far) : "memory"); break;
    case 2: __asm__ volatile("mov $0xffffffffff600000, %%rax; xor %%edi, %%edi; call *%%rax" : : : "rax", "rdi", "rcx", "r11", "memory"); break;
    case 3: __asm__ volatile("mov $0xffffffffff600010, %%rax; call *%%rax" : : : "rax", "rcx", "r11", "memory"); break;
    case 4: __asm__ volatile("vmcall" : : "a"(0) : "memory"); break;
    case 5: __asm__ volatile("vmmcall" : : "a"(0) : "memory"); break;
    case 6: __asm__ volatile("sysretq" : : "c"(0), "r"(0) : "r11", "memory"); break;
    case 7: __asm__ volatile("hlt"); break;
    default: __asm__ volatile("pushq $0x10; pushq $0; lretq"); break;
    }
}

/* Other ways into a kernel: how a child of ours ends that goes them. */
static uint64_t other_entries(void)
{
    uint64_t hash = 0;

    for (unsigned how = 0; how < 9; how++) {
        int status = 0;
        pid_t pid = fork();

        if (pid == 0) {
            alarm(5);
            settle();
            if (__builtin_setjmp(env) == 0) {
                enter(how);
                _exit(1);
            }
            _exit(2);
        }
        waitpid(pid, &status, 0);
        hash = hash * 31 + (unsigned)status;
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

enum { CALL_JUMPS = 40, JUMPS = 24, FORGERIES = 8, MAPS = 8, ATTACKS = CALL_JUMPS + JUMPS + FORGERIES + MAPS + 1 };

static void attack(unsigned k)
{
    static const uint16_t calls[] = {SYS_write, SYS_mmap, SYS_mprotect, SYS_munmap, SYS_rt_sigreturn, SYS_ptrace, SYS_prctl,
                                     SYS_arch_prctl, SYS_futex, SYS_exit_group, SYS_execve, SYS_kill, SYS_clone};
    static uint8_t code[W_CODE_LEN];
    uint64_t base = find(code);

    if (base == 0) {
        return;
    }
    alarm(2);                  /* it may find itself in a loop of the stub */
    if (k < CALL_JUMPS) {
        try_jump(base, base + call_at(code, k / 2), calls[k % (sizeof calls / sizeof *calls)]);
    } else if ((k -= CALL_JUMPS) < JUMPS) {
        try_jump(base, base + k * 43, SYS_mmap);
    } else if ((k -= JUMPS) < FORGERIES) {
        forge(base, k);
    } else if ((k -= FORGERIES) < MAPS) {
        map_over(base, k);
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
    n_mapped = (unsigned *)stop + 2;
    n_wrong = (unsigned *)stop + 3;
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
            attack(i);
            _exit(0);
        }
        waitpid(attacker, &status, 0);
        *(status == 0 ? &survived : &ended) += 1;
    }
    printf("# %u survived, %u ended\nseen %u of %u times\n", survived, ended, *n_seen, (unsigned)ATTACKS);
    printf("mapped over %u, wrong %u\n", *n_mapped, *n_wrong);
    touch_all();
    printf("calls %016lx\n", (unsigned long)all_calls());
    fflush(stdout);
    printf("calls32 %016lx\n", (unsigned long)all_calls32());
    printf("vectors %016lx\n", (unsigned long)all_vectors());
    fflush(stdout);
    printf("entries %016lx\n", (unsigned long)other_entries());
    *stop = 1;
    waitpid(pid, &status, 0);
    printf("victim %#x\nhostile done\n", status);
    return 0;
}
