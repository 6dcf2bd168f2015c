/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guard pages and what instructions leave behind at them, pages shared by forks until they are written, storms of threads and
 * programs; and what asks much of whoever maps: many processes by turns, many pages of one. */
#include "tests/user/user.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>

extern char **environ;

/* -- Guards ------------------------------------------------------------------------------------------ */

static sigjmp_buf env;
static uint8_t *two;           /* a page, and one that is not to be touched */

static void on_guard(int sig, siginfo_t *info, void *context)
{
    const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

    __asm__ volatile("cld");
    if ((uint8_t *)info->si_addr < two || (uint8_t *)info->si_addr >= two + 8192) {
        printf("  signal %d code %d\n", sig, info->si_code);
        siglongjmp(env, 1);
    }
    printf("  signal %d code %d at %#lx err %#llx, rcx %#llx, rsi %#lx, rdi %#lx, rsp moved %d\n", sig, info->si_code,
           (unsigned long)((uint8_t *)info->si_addr - two), g[REG_ERR], g[REG_RCX], (unsigned long)((uint64_t)g[REG_RSI] - (uint64_t)two),
           (unsigned long)((uint64_t)g[REG_RDI] - (uint64_t)two), (uint64_t)g[REG_RSP] - (uint64_t)two < 8192);
    siglongjmp(env, 1);
}

/* An instruction with rcx elements, rsi and rdi so far before the guard. */
#define GUARDED(name, count, before, insn)                                                         \
    do {                                                                                           \
        printf("%s\n", name);                                                                     \
        memset(two, 0x11, 4096);                                                                   \
        if (sigsetjmp(env, 1) == 0) {                                                              \
            uint64_t c_ = (count), s_ = (uint64_t)two + 4096 - (before), d_ = (uint64_t)two + 4096 - (before); \
            __asm__ volatile("mov %%rsp, %%r12\n\t" insn "\n\tmov %%r12, %%rsp"                    \
                             : "+c"(c_), "+S"(s_), "+D"(d_) : "a"(0x2222222222222222), "b"(two)    \
                             : "rdx", "r12", "xmm0", "xmm1", "memory", "cc");                     \
            printf("  no fault\n");                                                                \
        }                                                                                          \
        printf("  last bytes %02x %02x\n", two[4094], two[4095]);                                 \
    } while (0)

static void *on_small_stack(void *arg)
{
    volatile uint8_t *low = (uint8_t *)__builtin_frame_address(0);
    stack_t ss = {.ss_sp = arg, .ss_size = 65536};

    sigaltstack(&ss, NULL);    /* each thread has its own */
    if (sigsetjmp(env, 1) == 0) {
        for (size_t i = 0;; i += 64) {
            (void)low[-(ptrdiff_t)i];
        }
    }
    return NULL;
}

void case_guards(void)
{
    uint8_t *down;
    pthread_attr_t attr;
    pthread_t t;

    two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(two + 4096, 4096, PROT_NONE);
    on_signal(SIGSEGV, on_guard);
    GUARDED("rep stosb", 100, 10, "rep stosb");
    GUARDED("rep stosq across", 100, 20, "rep stosq");
    GUARDED("rep movsb", 4096, 64, "mov %%rbx, %%rsi; rep movsb");
    GUARDED("rep movsw from it", 9, 7, "mov %%rbx, %%rdi; rep movsw");
    GUARDED("rep movsb downwards", 4, 1, "add $3, %%rsi; mov %%rbx, %%rdi; std; rep movsb; cld");
    GUARDED("rep lodsd", 5, 10, "rep lodsl");
    GUARDED("repe cmpsb", 50, 8, "mov %%rbx, %%rdi; repe cmpsb");
    GUARDED("repne scasb", 50, 8, "repne scasb");
    GUARDED("just before it", 10, 10, "rep stosb");
    GUARDED("store across", 1, 1, "mov %%ax, (%%rdi)");
    GUARDED("vector store across", 1, 8, "pcmpeqd %%xmm0, %%xmm0; movdqu %%xmm0, (%%rdi)");
    GUARDED("push", 1, 0, "lea 4096(%%rbx), %%rsp; push %%rax; push %%rax; lea 4104(%%rbx), %%rsp; push %%rax");
    GUARDED("enter", 1, 0, "lea 4104(%%rbx), %%rsp; mov %%rbp, %%rdx; enter $0, $0; mov %%rdx, %%rbp");
    GUARDED("cmpxchg16b", 1, 0, "lock cmpxchg16b (%%rdi)");

    /* a stack that grows downwards by itself, until its guard */
    down = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(down, 64 * 4096);
    down = mmap(down + 60 * 4096, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
    REQUIRE(down != MAP_FAILED);
    for (int i = 0; i < 40; i++) {
        down[-4096 * i] = (uint8_t)i;
    }
    for (int i = 0; i < 40; i++) {
        REQUIRE(down[-4096 * i] == i);
    }
    printf("it grew\n");
    REQUIRE(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, 128 << 10) == 0);
    printf("a thread's stack ends\n");
    REQUIRE(pthread_create(&t, &attr, on_small_stack, malloc(65536)) == 0);
    pthread_join(t, NULL);
}

/* -- Copy on write ------------------------------------------------------------------------------------- */

enum { KINDS = 4, COW_PAGES = 48, ROUNDS = 6 };

static uint64_t in_data[COW_PAGES * 512] __attribute__((aligned(4096))) = {1};

typedef struct {
    uint64_t *at[KINDS];       /* anonymous, a file's private pages, the program's data; and shared ones */
} Kinds;

static APART void write_all(const Kinds *k, unsigned kinds, uint64_t who, unsigned odd)
{
    for (unsigned i = 0; i < kinds; i++) {
        for (unsigned p = 0; p < COW_PAGES; p++) {
            if (p % 2 == odd) {
                k->at[i][p * 512 + i] = who * 1000 + p;
            }
        }
    }
}

static APART unsigned differ(const Kinds *k, unsigned kinds, uint64_t even, uint64_t odd)
{
    unsigned n = 0;

    for (unsigned i = 0; i < kinds; i++) {
        for (unsigned p = 0; p < COW_PAGES; p++) {
            n += k->at[i][p * 512 + i] != (p % 2 == 0 ? even : odd) * 1000 + p;
        }
    }
    return n;
}

static void turn(int to, int from)
{
    char c = 'x';

    REQUIRE(write(to, &c, 1) == 1 && read(from, &c, 1) == 1);
}

/* Both have the same pages; each writes some while the other looks on, by turns; the child forks once more. */
static void cow_child(const Kinds *k, int to, int from, unsigned deep)
{
    int status;
    pid_t pid;

    turn(to, from);            /* the parent has written its odd pages: ours are the old ones */
    REQUIRE(differ(k, KINDS - 1, 1, 1) == 0);
    write_all(k, KINDS - 1, 3, 0);
    turn(to, from);            /* ... and all of its pages now */
    REQUIRE(differ(k, KINDS - 1, 3, 1) == 0);
    write_all(k, KINDS, 3, 1);
    REQUIRE(differ(k, KINDS - 1, 3, 3) == 0);
    if (deep != 0) {
        pid = fork();
        if (pid == 0) {
            REQUIRE(differ(k, KINDS - 1, 3, 3) == 0);
            write_all(k, KINDS - 1, 7, 0);
            _exit(differ(k, KINDS - 1, 7, 3) == 0 ? 0 : 1);
        }
        write_all(k, KINDS - 1, 8, 1);
        REQUIRE(waitpid(pid, &status, 0) == pid && status == 0 && differ(k, KINDS - 1, 3, 8) == 0);
    }
    _exit(9);
}

void case_cow(void)
{
    int fd = memfd_create("cow", 0), to_child[2], to_parent[2], status;
    Kinds k;

    REQUIRE(ftruncate(fd, COW_PAGES * 4096) == 0 && pipe(to_child) == 0 && pipe(to_parent) == 0);
    k.at[0] = mmap(NULL, COW_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    k.at[1] = mmap(NULL, COW_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    k.at[2] = in_data;
    k.at[3] = mmap(NULL, COW_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        pid_t pid;

        write_all(&k, KINDS, 1, 0);
        write_all(&k, KINDS, 1, 1);
        pid = fork();
        if (pid == 0) {
            cow_child(&k, to_parent[1], to_child[0], round % 2);
        }
        write_all(&k, KINDS - 1, 2, 1);
        turn(to_child[1], to_parent[0]);
        write_all(&k, KINDS - 1, 4, 0);
        turn(to_child[1], to_parent[0]);
        REQUIRE(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 9);
        REQUIRE(differ(&k, KINDS - 1, 4, 2) == 0 && k.at[3][512 * 5 + 3] == 3005 && k.at[3][512 * 4 + 3] == 1004);
    }
    for (unsigned p = 0; p < COW_PAGES; p++) {
        uint64_t in_file = 0;

        REQUIRE(pread(fd, &in_file, 8, p * 4096 + 8) == 8 && in_file == 0);
    }
    printf("each has its own\n");
}

/* -- Threads and programs --------------------------------------------------------------------------------- */

static __thread uint64_t own[600] = {5};

static void *short_life(void *arg)
{
    volatile uint8_t frame[20000];

    frame[0] = frame[19999] = (uint8_t)(uintptr_t)arg;
    REQUIRE(own[0] == 5 && own[599] == 0);
    own[599] = own[0] = (uintptr_t)arg;
    return (void *)(uintptr_t)(own[599] + frame[19999]);
}

static void *spawner(void *arg)
{
    uintptr_t sum = 0;

    for (int i = 0; i < 12; i++) {
        char *argv[] = {"user", "nothing", NULL};
        posix_spawn_file_actions_t quiet;
        int status;
        pid_t pid;

        REQUIRE(posix_spawn_file_actions_init(&quiet) == 0 && posix_spawn_file_actions_addclose(&quiet, 1) == 0);
        REQUIRE(posix_spawn(&pid, "/proc/self/exe", &quiet, NULL, argv, environ) == 0);
        REQUIRE(waitpid(pid, &status, 0) == pid);
        posix_spawn_file_actions_destroy(&quiet);
        sum += (uintptr_t)WEXITSTATUS(status) + 1;
    }
    return (void *)(sum + (uintptr_t)arg);
}

/* Threads come and go while others have programs run. */
void case_lives(void)
{
    pthread_t spawners[3], t[8];
    uintptr_t sum = 0;
    void *v;

    for (uintptr_t i = 0; i < 3; i++) {
        REQUIRE(pthread_create(&spawners[i], NULL, spawner, (void *)i) == 0);
    }
    for (uintptr_t round = 0; round < 40; round++) {
        for (uintptr_t i = 0; i < 8; i++) {
            REQUIRE(pthread_create(&t[i], NULL, short_life, (void *)(round * 8 + i)) == 0);
        }
        for (unsigned i = 0; i < 8; i++) {
            pthread_join(t[i], &v);
            sum += (uintptr_t)v;
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(spawners[i], &v);
        sum += (uintptr_t)v;
    }
    printf("sum of lives %lu\n", (unsigned long)sum);
}

/* -- Much ------------------------------------------------------------------------------------------------ */

enum { PROCESSES = 20, TURNS = 12, OWN = 24 };

/* What is on the pages follows from h, then from another. */
static APART int visit_own(uint64_t *page, uint64_t old, uint64_t new)
{
    for (unsigned p = 0; p < OWN; p++) {
        if (old != 0 && page[p * 512] != mix(old, p)) {
            return 0;
        }
        page[p * 512] = mix(new, p);
    }
    return 1;
}

static uint64_t ring_member(unsigned i, int from, int to)
{
    uint64_t *page = mmap(NULL, OWN * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), h = 0, token = 0;

    for (unsigned k = 0; k < TURNS; k++) {
        uint64_t old = h;

        REQUIRE(read(from, &token, 8) == 8);
        h = mix(h + i, token);
        REQUIRE(visit_own(page, old, h));
        token = mix(token, h);
        REQUIRE((i + 1 == PROCESSES && k + 1 == TURNS) || write(to, &token, 8) == 8);
    }
    return token;
}

/* More processes than there are worlds, one after the other, again and again; each looks after its own pages. */
void case_ring(void)
{
    int pipes[PROCESSES][2], status;
    uint64_t token = 1;

    for (unsigned i = 0; i < PROCESSES; i++) {
        REQUIRE(pipe(pipes[i]) == 0);
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        if (fork() == 0) {
            token = ring_member(i, pipes[i][0], pipes[(i + 1) % PROCESSES][1]);
            if (i + 1 == PROCESSES) {
                printf("token %016lx\n", (unsigned long)token);
                fflush(stdout);
            }
            _exit(0);
        }
    }
    REQUIRE(write(pipes[0][1], &token, 8) == 8);
    for (unsigned i = 0; i < PROCESSES; i++) {
        REQUIRE(wait(&status) > 0 && status == 0);
    }
}

/* More pages than a world has mappings for, no two beside each other, three times over. */
enum { MANY = 54000 };

/* Returns the first that is not what it should be, or MANY. */
static APART uint64_t visit_many(uint8_t *p, uint64_t before, uint64_t *h)
{
    for (uint64_t i = 0; i < MANY; i++) {
        uint64_t *at = (uint64_t *)(p + i * 8192 + 8 * (i % 500));

        if (*at != before * i) {
            return i;
        }
        *at += i;
        *h = mix(*h, *at);
    }
    return MANY;
}

void case_budget(void)
{
    uint64_t h = 0;
    uint8_t *p = mmap(NULL, (uint64_t)MANY * 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    REQUIRE(p != MAP_FAILED);
    madvise(p, (uint64_t)MANY * 8192, MADV_NOHUGEPAGE);
    for (uint64_t before = 0; before < 3; before++) {
        REQUIRE(visit_many(p, before, &h) == MANY);
    }
    printf("hash %016lx\n", (unsigned long)h);
    munmap(p, (uint64_t)MANY * 8192);
}

/* -- Code over a page's end ---------------------------------------------------------------------------- */

static APART uint64_t call_often(const uint8_t *code, unsigned n)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < n; i++) {
        sum += ((uint64_t (*)(void))(uintptr_t)code)() + (getppid() < 0);
    }
    return sum;
}

/*
 * A page that begins with the end of an instruction, which by itself would be SLDT.  The page before it is not there at first, so nobody can know; then it
 * is, and the other page is code like any.
 */
void case_straddle(void)
{
    static const uint8_t first[] = {0xbf}; /* mov edi, imm32 */
    static const uint8_t second[] = {0x0f, 0, 0, 0, 0x89, 0xf8, 0xc3, 0xb8, 7, 0, 0, 0, 0xc3}; /* 15; mov eax,edi; ret; mov eax,7; ret */
    uint8_t *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q = p + 4096;

    REQUIRE(p != MAP_FAILED);
    memcpy(q, second, sizeof second);
    REQUIRE(mprotect(q, 4096, PROT_READ | PROT_EXEC) == 0);
    printf("%llu\n", (unsigned long long)call_often(q + 7, 10));
    memcpy(q - sizeof first, first, sizeof first);
    REQUIRE(mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0);
    printf("%llu\n", (unsigned long long)call_often(q - sizeof first, 1));
    printf("%llu\n", (unsigned long long)call_often(q + 7, 3000));
    munmap(p, 8192);
}

/* Code that is called all the time, on a page with CPUID: that says what the guest's processor is, now and then and many times in a row. */
void case_cpuidpage(void)
{
    static const uint8_t plain[] = {0xb8, 3, 0, 0, 0, 0xc3}; /* mov eax,3; ret */
    static const uint8_t asks[] = {0x53, 0x89, 0xf8, 0x31, 0xc9, 0x0f, 0xa2, 0x31, 0xd8, 0x31, 0xc8, 0x5b, 0xc3}; /* of leaf edi: eax ^ ebx ^ ecx */
    uint8_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t (*ask)(uint32_t leaf);
    uint64_t sum = 0;
    uint32_t of_leaf[8] = {0}, odd = 0;

    REQUIRE(p != MAP_FAILED);
    memcpy(p, plain, sizeof plain);
    memcpy(p + 64, asks, sizeof asks);
    REQUIRE(mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0);
    ask = (uint32_t(*)(uint32_t))(uintptr_t)(p + 64);
    for (unsigned i = 0; i < 20; i++) {
        sum += call_often(p, 100);
        of_leaf[i % 8] = of_leaf[i % 8] == 0 ? ask(i % 8) : of_leaf[i % 8];
        odd += i > 8 && ask(i % 8) != of_leaf[i % 8];
    }
    for (unsigned i = 0; i < 400; i++) {
        odd += ask(i % 8) != of_leaf[i % 8];
    }
    sum += call_often(p, 100);
    printf("%llu, %u odd\n", (unsigned long long)sum, odd);
    for (unsigned i = 0; i < 8; i++) {
        printf("# leaf %u: %08x\n", i, of_leaf[i]);
    }
    munmap(p, 4096);
}
