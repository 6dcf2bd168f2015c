/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that changes under the code: generated code, mappings, processes, threads, stacks. */
#include "tests/user/user.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* -- Generated code ---------------------------------------------------------------------------------- */

/* mov $n, %eax; ret */
static void write_constant(uint8_t *at, uint32_t n)
{
    at[0] = 0xb8;
    memcpy(at + 1, &n, 4);
    at[5] = 0xc3;
}

static uint32_t call(const void *at)
{
    return ((uint32_t(*)(void))(uintptr_t)at)();
}

void case_codegen(void)
{
    uint8_t *rwx = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *wx = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = memfd_create("code", 0);
    uint8_t *rw, *rx;
    uint64_t h = 0;

    for (uint32_t i = 0; i < 3000; i++) {              /* the same place, at once */
        write_constant(rwx, i * 7);
        h = mix(h, call(rwx));
    }
    printf("rewritten: %016lx\n", (unsigned long)h);
    for (uint32_t i = 0; i < 2000; i++) {              /* many places of some pages */
        write_constant(rwx + i * 8, i);
        h = mix(h, call(rwx + i / 2 * 8));
    }
    printf("growing: %016lx\n", (unsigned long)h);
    for (uint32_t i = 0; i < 100; i++) {               /* W^X */
        mprotect(wx, 4096, PROT_READ | PROT_WRITE);
        write_constant(wx, i * 3);
        mprotect(wx, 4096, PROT_READ | PROT_EXEC);
        h = mix(h, call(wx));
    }
    printf("switched: %016lx\n", (unsigned long)h);
    REQUIRE(ftruncate(fd, 4096) == 0);
    rw = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    rx = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    for (uint32_t i = 0; i < 500; i++) {               /* by another mapping */
        write_constant(rw + 64, i * 5);
        h = mix(h, call(rx + 64));
    }
    printf("aliased: %016lx\n", (unsigned long)h);
    for (uint32_t i = 0; i < 100; i++) {               /* by the kernel */
        uint8_t b[6];
        write_constant(b, i * 11);
        REQUIRE(pwrite(fd, b, sizeof b, 128) == sizeof b);
        h = mix(h, call(rx + 128));
    }
    printf("by the kernel: %016lx\n", (unsigned long)h);
    /* an instruction that is there only after a while: cpuid among others */
    static const uint8_t id[] = {0x53, 0x31, 0xc0, 0x0f, 0xa2, 0x5b, 0xb8, 42, 0, 0, 0, 0xc3};
    for (uint32_t i = 0; i < 20; i++) {
        memcpy(rwx + 512, id, sizeof id);
        h = mix(h, call(rwx + 512));
        write_constant(rwx + 512, i);
        h = mix(h, call(rwx + 512));
    }
    /* a store into the next instruction: mov $1, imm of what follows */
    static const uint8_t self[] = {0xc7, 0x05, 1, 0, 0, 0, 0x55, 0x66, 0x77, 0x00, 0xb8, 0, 0, 0, 0, 0xc3};
    for (uint32_t i = 0; i < 20; i++) {
        memcpy(rwx + 1024, self, sizeof self);
        h = mix(h, call(rwx + 1024));
    }
    printf("itself: %016lx\n", (unsigned long)h);
}

/* -- Mappings ------------------------------------------------------------------------------------------ */

static sigjmp_buf env;
static volatile uint64_t fault_addr;
static volatile int fault_code;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    fault_addr = (uint64_t)(uintptr_t)info->si_addr;
    fault_code = info->si_code;
    siglongjmp(env, 1);
}

/* 0: readable (and writable, if asked), else si_code. */
static int probe(volatile uint8_t *at, int write)
{
    if (sigsetjmp(env, 1) == 0) {
        uint8_t v = *at;

        if (write) {
            *at = v;
        }
        return 0;
    }
    REQUIRE(fault_addr == (uint64_t)(uintptr_t)at);
    return fault_code;
}

void case_mappings(void)
{
    enum { N = 64 };
    uint8_t *p = mmap(NULL, N * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q;
    uint64_t h = 0, r = 1;
    int prot[N];

    on_signal(SIGSEGV, on_fault);
    on_signal(SIGBUS, on_fault);
    for (int i = 0; i < N; i++) {
        prot[i] = PROT_READ | PROT_WRITE;
        p[i * 4096] = (uint8_t)i;
    }
    for (int i = 0; i < 3000; i++) {
        unsigned n = (r = mix(r, (uint64_t)i)) % N;

        if ((r >> 20) % 3 == 0) {
            static const int kinds[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
            prot[n] = kinds[(r >> 40) % 3];
            REQUIRE(mprotect(p + n * 4096, 4096, prot[n]) == 0);
        }
        n = (r >> 32) % N;
        h = mix(h, (uint64_t)probe(p + n * 4096, (r >> 50) & 1));
        REQUIRE((prot[n] & PROT_READ) == 0 || p[n * 4096] == n);
    }
    printf("mprotect: %016lx\n", (unsigned long)h);
    munmap(p, N * 4096);
    h = mix(h, (uint64_t)probe(p + 4096, 0));
    for (int i = 0; i < 300; i++) {                    /* the same place, other pages */
        p = mmap(p, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        for (int k = 0; k < 8; k++) {
            REQUIRE(p[k * 4096] == 0);
            p[k * 4096] = (uint8_t)(i + k);
        }
        if (i % 3 == 0) {
            q = mremap(p, 8 * 4096, 16 * 4096, MREMAP_MAYMOVE);
            REQUIRE(q != MAP_FAILED && q[7 * 4096] == (uint8_t)(i + 7));
            munmap(q, 16 * 4096);
        } else if (i % 3 == 1) {
            madvise(p, 8 * 4096, MADV_DONTNEED);
            REQUIRE(p[4096] == 0);
            munmap(p, 8 * 4096);
        }
    }
    printf("mmap, mremap, madvise: %016lx\n", (unsigned long)h);
}

void case_processes(void)
{
    static uint64_t shared_word;
    uint64_t *common = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint8_t *heap = malloc(1 << 20);
    int total = 0, status;

    memset(heap, 0x5a, 1 << 20);
    for (int i = 0; i < 60; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            uint64_t h = 0;

            for (int k = 0; k < 1 << 20; k += 4096) {  /* copy on write */
                REQUIRE(heap[k] == 0x5a);
                heap[k] = (uint8_t)i;
                h += heap[k];
            }
            shared_word = 1;
            __atomic_add_fetch(common, h, __ATOMIC_SEQ_CST);
            if (i % 4 == 0) {
                execl("/proc/self/exe", "user", "nothing", NULL);
            }
            _exit(i & 0x3f);
        }
        waitpid(pid, &status, 0);
        total += WEXITSTATUS(status);
        REQUIRE(heap[4096] == 0x5a && shared_word == 0);
    }
    printf("sum of states %d, of pages %lu\n", total, (unsigned long)*common);
}

/* One of several that map, move, protect, fork and end at the same time. */
static uint64_t storm(unsigned seed)
{
    enum { LEN = 16 * 4096 };
    uint64_t r = seed, h = 0;
    uint8_t *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t want[LEN / 4096] = {0};
    int status;

    on_signal(SIGSEGV, on_fault);
    for (int i = 0; i < 400; i++) {
        unsigned n = (r = mix(r, (uint64_t)i)) % (LEN / 4096);
        uint8_t *q;
        pid_t pid;

        switch ((r >> 20) % 5) {
        case 0:                    /* move: what was there is not there any more */
            q = mremap(p, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, p - (UINT64_C(1) << 30) * (1 + (r >> 40) % 3));
            REQUIRE(q != MAP_FAILED && probe(p + n * 4096, 0) != 0);
            p = q;
            break;
        case 1:
            REQUIRE(mprotect(p + n * 4096, 4096, PROT_READ) == 0 && probe(p + n * 4096, 1) != 0);
            REQUIRE(mprotect(p + n * 4096, 4096, PROT_READ | PROT_WRITE) == 0);
            break;
        case 2:
            REQUIRE(madvise(p + n * 4096, 4096, MADV_DONTNEED) == 0);
            want[n] = 0;
            break;
        case 3:
            if (i % 8 == 0) {
                pid = fork();
                if (pid == 0) {
                    memset(p, 0xee, LEN); /* a copy's own */
                    _exit(p[n * 4096] == 0xee ? 0 : 1);
                }
                REQUIRE(waitpid(pid, &status, 0) == pid && status == 0);
            }
            break;
        default:
            p[n * 4096] = want[n] = (uint8_t)r;
            break;
        }
        for (unsigned k = 0; k < LEN / 4096; k++) {
            REQUIRE(p[k * 4096] == want[k]);
        }
        h = mix(h, p[n * 4096]);
    }
    return h;
}

void case_storms(void)
{
    uint64_t *common = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status, bad = 0;

    for (unsigned i = 0; i < 5; i++) {
        if (fork() == 0) {
            common[i] = storm(i + 1);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < 5; i++) {
        REQUIRE(wait(&status) > 0);
        bad += status != 0;
    }
    printf("storms: %d bad, %016lx\n", bad, (unsigned long)mix(mix(mix(mix(mix(0, common[0]), common[1]), common[2]), common[3]), common[4]));
}

/* -- Threads -------------------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t under_lock, atomic_count;
static uint8_t *volatile moving;

static void *worker(void *arg)
{
    uint64_t h = (uintptr_t)arg;

    for (int i = 0; i < 20000; i++) {
        h = mix(h, (uint64_t)i);
        __atomic_add_fetch(&atomic_count, 1, __ATOMIC_SEQ_CST);
        if (i % 16 == 0) {
            pthread_mutex_lock(&lock);
            under_lock++;
            pthread_mutex_unlock(&lock);
        }
    }
    return (void *)(uintptr_t)h;
}

static void *mover(void *arg)
{
    for (int i = 0; i < 300; i++) {
        uint8_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        p[0] = (uint8_t)i;
        moving = p;
        REQUIRE(p[0] == (uint8_t)i);
        moving = NULL;
        mprotect(p, 4096, PROT_READ);
        munmap(p, 4096);
    }
    return NULL;
}

void case_threads(void)
{
    pthread_t t[6];
    uint64_t h = 0;

    for (uintptr_t i = 0; i < 6; i++) {
        REQUIRE(pthread_create(&t[i], NULL, i < 4 ? worker : mover, (void *)i) == 0);
    }
    for (int i = 0; i < 6; i++) {
        void *v;
        pthread_join(t[i], &v);
        h = mix(h, (uintptr_t)v);
    }
    printf("atomic %lu, locked %lu, hash %016lx\n", (unsigned long)atomic_count,
           (unsigned long)under_lock, (unsigned long)h);
}

/* -- Stacks and far away ------------------------------------------------------------------------------ */

static uint64_t __attribute__((noinline)) deep(int n)
{
    volatile uint8_t pad[4000];

    pad[0] = (uint8_t)n;
    return n == 0 ? 1 : deep(n - 1) + pad[0];
}

static uint64_t __attribute__((noinline)) endless(uint64_t n)
{
    volatile uint8_t pad[1000];

    pad[n % 1000] = 1;
    return endless(n + 1) + pad[0];
}

void case_growth(void)
{
    printf("deep: %lu\n", (unsigned long)deep(1500));
    on_signal(SIGSEGV, on_fault);
    if (sigsetjmp(env, 1) == 0) {
        endless(0);
    }
    printf("stack overflow: code %d\n", fault_code);
}

void case_huge(void)
{
    uint64_t len = UINT64_C(64) << 40, r = 3, h = 0;
    uint8_t *p;

    while ((p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) ==
           MAP_FAILED) {
        len /= 2;
        REQUIRE(len > 1 << 20);
    }
    printf("# %lu TiB\n", (unsigned long)(len >> 40));
    for (int i = 0; i < 300; i++) {
        uint64_t at = (r = mix(r, (uint64_t)i)) % (len / 4096) * 4096;
        p[at + 5] = (uint8_t)i;
        h = mix(h, p[at + 5] + p[at + 4095]);
    }
    printf("hash %016lx\n", (unsigned long)h);
    munmap(p, len);
}
