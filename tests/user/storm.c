/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Storms over a kernel's memory (tests/boot/window.py): mappings that come, go, move and split, small and huge ones; programs
 * that the kernel compiles into its module space; stacks, pipes and tables of files that it takes from vmalloc and gives
 * back.  Everything is compared with a model, by user code's eyes and by the kernel's (system calls that read and write
 * there), on as many threads as told.
 *
 *   storm ROUNDS THREADS [PART]   prints a sum for each part, or that one (1 and on), the same on every kernel; lines with # are
 *                                 not compared
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, HUGE = 2 << 20, HUGE_PAGES = HUGE / PAGE, THREADS_MAX = 4 };
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define REQUIRE(c)                                                                                 \
    do {                                                                                           \
        if (!(c)) {                                                                                \
            printf("FAILED %s:%d: %s (errno %d)\n", __FILE__, __LINE__, #c, errno);                \
            fflush(stdout);                                                                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static pthread_barrier_t barrier;
static uint64_t files_max;

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

/* -- An area and what must be there --------------------------------------------------------------------- */

typedef struct {
    uint64_t random, sum;
    int pipe[2];
    uint8_t *base;
    unsigned n_pages;
    struct {
        bool there, writable;
        uint64_t value;        /* of the page's first word */
    } *page;
} Storm;

static uint64_t next(Storm *s)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random;
}

static uint64_t *word_of(const Storm *s, unsigned page)
{
    return (uint64_t *)(void *)(s->base + (size_t)page * PAGE);
}

/* The kernel reads the page: its word, or EFAULT where nothing is. */
static void check_by_kernel(Storm *s, unsigned page)
{
    uint64_t v = 0;
    ssize_t n = write(s->pipe[1], word_of(s, page), sizeof v);

    if (!s->page[page].there) {
        REQUIRE(n == -1 && errno == EFAULT);
        return;
    }
    REQUIRE(n == sizeof v);
    REQUIRE(read(s->pipe[0], &v, sizeof v) == sizeof v);
    REQUIRE(v == s->page[page].value);
    s->sum = mix(s->sum, v);
}

/* The kernel writes to the page: or EFAULT where it must not. */
static void write_by_kernel(Storm *s, unsigned page, uint64_t v)
{
    uint64_t back;

    REQUIRE(write(s->pipe[1], &v, sizeof v) == sizeof v);
    if (s->page[page].there && s->page[page].writable) {
        REQUIRE(read(s->pipe[0], word_of(s, page), sizeof v) == sizeof v);
        s->page[page].value = v;
    } else {
        REQUIRE(read(s->pipe[0], word_of(s, page), sizeof v) == -1 && errno == EFAULT);
        REQUIRE(read(s->pipe[0], &back, sizeof back) == sizeof back && back == v);
    }
}

static void check_all(Storm *s)
{
    for (unsigned i = 0; i < s->n_pages; i++) {
        if (s->page[i].there) {
            REQUIRE(*(volatile uint64_t *)word_of(s, i) == s->page[i].value);
            s->sum = mix(s->sum, s->page[i].value);
        }
    }
}

static void fill(Storm *s, unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++) {
        if (s->page[i].there && s->page[i].writable) {
            *(volatile uint64_t *)word_of(s, i) = s->page[i].value = next(s);
        }
    }
}

static void map(Storm *s, unsigned first, unsigned n, bool huge)
{
    void *at = mmap(word_of(s, first), (size_t)n * PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);

    REQUIRE(at == word_of(s, first));
    if (huge) {
        madvise(at, (size_t)n * PAGE, MADV_HUGEPAGE);
    }
    for (unsigned i = first; i < first + n; i++) {
        s->page[i].there = s->page[i].writable = true;
        s->page[i].value = 0;
    }
}

static void unmap(Storm *s, unsigned first, unsigned n)
{
    REQUIRE(munmap(word_of(s, first), (size_t)n * PAGE) == 0);
    for (unsigned i = first; i < first + n; i++) {
        s->page[i].there = s->page[i].writable = false;
    }
}

static bool whole(const Storm *s, unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++) {
        if (!s->page[i].there || s->page[i].writable != s->page[first].writable) {
            return false;
        }
    }
    return true;
}

/* Of one mapping, as mremap() wants it: a page, or what has just been mapped. */
static void move_at_once(Storm *s, unsigned from, unsigned to, unsigned n)
{
    REQUIRE(mremap(word_of(s, from), (size_t)n * PAGE, (size_t)n * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
                   word_of(s, to)) == word_of(s, to));
    for (unsigned i = 0; i < n; i++) {
        s->page[to + i] = s->page[from + i];
        s->page[from + i].there = s->page[from + i].writable = false;
    }
}

static void move(Storm *s, unsigned from, unsigned to, unsigned n)
{
    for (unsigned i = 0; i < n && from != to; i++) {
        if (s->page[from + i].there) {
            move_at_once(s, from + i, to + i, 1);
        }
    }
}

static void protect(Storm *s, unsigned first, unsigned n, bool write)
{
    if (!whole(s, first, n)) {
        return;
    }
    REQUIRE(mprotect(word_of(s, first), (size_t)n * PAGE, write ? PROT_READ | PROT_WRITE : PROT_READ) == 0);
    for (unsigned i = first; i < first + n; i++) {
        s->page[i].writable = write;
    }
}

static void discard(Storm *s, unsigned first, unsigned n)
{
    if (!whole(s, first, n)) {
        return;
    }
    REQUIRE(madvise(word_of(s, first), (size_t)n * PAGE, MADV_DONTNEED) == 0);
    for (unsigned i = first; i < first + n; i++) {
        s->page[i].value = 0;
    }
}

/* One step somewhere in the area, of 1 to max pages. */
static void step(Storm *s, unsigned max, unsigned round)
{
    unsigned n = 1 + (unsigned)(next(s) % max), first = (unsigned)(next(s) % (s->n_pages - n + 1));

    switch (next(s) % 8) {
    case 0:
        map(s, first, n, max > HUGE_PAGES);
        fill(s, first, n);
        break;
    case 1:
        unmap(s, first, n);
        break;
    case 2: case 3:
        move(s, first, (unsigned)(next(s) % (s->n_pages - n + 1)), n);
        break;
    case 4:
        protect(s, first, n, false);
        break;
    case 5:
        protect(s, first, n, true);
        break;
    case 6:
        discard(s, first, n);
        break;
    default:
        write_by_kernel(s, first, next(s));
    }
    check_by_kernel(s, first);
    check_by_kernel(s, first + n - 1);
    if (round % 64 == 0) {
        check_all(s);
    }
}

/* 2 MiB become one page, one of it is taken out in each of the ways there are, and they are joined again. */
static void split_and_join(Storm *s)
{
    unsigned first = (unsigned)(next(s) % (s->n_pages / HUGE_PAGES)) * HUGE_PAGES, odd = first + (unsigned)(next(s) % HUGE_PAGES);

    map(s, (first + HUGE_PAGES) % s->n_pages, HUGE_PAGES, true);
    fill(s, (first + HUGE_PAGES) % s->n_pages, HUGE_PAGES);
    move_at_once(s, (first + HUGE_PAGES) % s->n_pages, first, HUGE_PAGES);
    check_all(s);
    switch (next(s) % 4) {
    case 0:
        protect(s, odd, 1, false);
        write_by_kernel(s, odd, 1);
        protect(s, odd, 1, true);
        break;
    case 1:
        unmap(s, odd, 1);
        check_by_kernel(s, odd);
        map(s, odd, 1, true);
        break;
    case 2:
        discard(s, odd, 1);
        break;
    default:
        move(s, odd, (odd + HUGE_PAGES) % s->n_pages, 1);
    }
    check_by_kernel(s, odd);
    check_all(s);
    write_by_kernel(s, odd, next(s));
    madvise(word_of(s, first), HUGE, MADV_COLLAPSE); /* Linux 6.1; before, or where it cannot: as it is */
    check_by_kernel(s, odd);
    check_all(s);
}

static void begin(Storm *s, uint64_t seed, unsigned n_pages)
{
    size_t len = (size_t)n_pages * PAGE;
    uint8_t *at = mmap(NULL, len + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    REQUIRE(at != MAP_FAILED);
    *s = (Storm){.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1, .n_pages = n_pages,
                 .base = at + (HUGE - (uintptr_t)at % HUGE) % HUGE, .page = calloc(n_pages, sizeof *s->page)};
    REQUIRE(pipe(s->pipe) == 0 && s->page != NULL);
    pthread_barrier_wait(&barrier); /* nobody else may find room in our holes */
    unmap(s, 0, n_pages);
}

static uint64_t end(Storm *s)
{
    check_all(s);
    pthread_barrier_wait(&barrier);
    unmap(s, 0, s->n_pages);
    close(s->pipe[0]);
    close(s->pipe[1]);
    free(s->page);
    return s->sum;
}

static uint64_t small_pages(uint64_t seed, unsigned rounds)
{
    Storm s;

    begin(&s, seed, 512);
    for (unsigned i = 0; i < rounds * 20; i++) {
        step(&s, 24, i);
    }
    return end(&s);
}

static uint64_t huge_pages(uint64_t seed, unsigned rounds)
{
    Storm s;

    begin(&s, seed, 4 * HUGE_PAGES);
    for (unsigned i = 0; i < rounds; i++) {
        split_and_join(&s);
        step(&s, HUGE_PAGES + 100, i);
    }
    return end(&s);
}

/* -- The kernel's own ----------------------------------------------------------------------------------- */

/* Filters of many sizes become host code in module space: each lets `keep` bytes of a message through. */
static uint64_t filters(uint64_t seed, unsigned rounds)
{
    enum { INSNS_MAX = 2000 };
    static const char message[200] = "a message";
    struct sock_filter *f = calloc(INSNS_MAX + 2, sizeof *f);
    uint64_t sum = seed;
    int fd[2], none = 0;

    REQUIRE(f != NULL && socketpair(AF_UNIX, SOCK_DGRAM, 0, fd) == 0);
    for (unsigned i = 0; i < rounds; i++) {
        unsigned n = 1 + (unsigned)(mix(seed, i) % INSNS_MAX), keep = 1 + n % 150;
        struct sock_fprog program = {.len = (unsigned short)(n + 2), .filter = f};
        char got[sizeof message];
        ssize_t len;

        f[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, keep);
        for (unsigned k = 1; k <= n; k++) {
            f[k] = (struct sock_filter)BPF_STMT(BPF_ALU | (k & 1 ? BPF_ADD : BPF_SUB) | BPF_K, k + (k & 1));
        }
        f[n + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0);
        if (n & 1) { /* an addition was left over */
            f[n] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 0);
        }
        REQUIRE(setsockopt(fd[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
        REQUIRE(send(fd[0], message, sizeof message, 0) >= 0);
        len = recv(fd[1], got, sizeof got, 0);
        REQUIRE(len > 0 && memcmp(got, message, (size_t)len) == 0);
        sum = mix(sum, (uint64_t)len);
        REQUIRE(setsockopt(fd[1], SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none) == 0); /* there is room for one */
    }
    close(fd[0]);
    close(fd[1]);
    free(f);
    return sum;
}

/* Pipes with room for 1 MiB and tables for many files come from vmalloc, or from pages in a row. */
static uint64_t tables(uint64_t seed, unsigned rounds)
{
    uint64_t sum = seed, *data = malloc(1 << 16);

    REQUIRE(data != NULL);
    for (unsigned i = 0; i < rounds; i++) {
        int p[2], high = 100 + (int)(mix(seed, i) % (files_max - 200));

        REQUIRE(pipe(p) == 0 && fcntl(p[1], F_SETPIPE_SZ, 1 << 20) == 1 << 20);
        for (unsigned k = 0; k < (1 << 16) / 8; k++) {
            data[k] = mix(seed + i, k);
        }
        REQUIRE(write(p[1], data, 1 << 16) == 1 << 16);
        memset(data, 0, 1 << 16);
        high = fcntl(p[0], F_DUPFD, high);
        REQUIRE(high >= 100);
        REQUIRE(read(high, data, 1 << 16) == 1 << 16);
        for (unsigned k = 0; k < (1 << 16) / 8; k++) {
            REQUIRE(data[k] == mix(seed + i, k));
        }
        sum = mix(sum, data[i]);
        close(high);
        close(p[0]);
        close(p[1]);
    }
    free(data);
    return sum;
}

static int bpf(int what, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, what, attr, sizeof *attr);
}

/* A hash table's elements come from vmalloc, are put on a list at once, and go: each page is used a few times.  (Who may not have
 * them, natively, has the sum all the same.) */
static uint64_t maps(uint64_t seed, unsigned rounds)
{
    enum { ELEMENTS = 4096, TRIED = 8 };
    uint64_t sum = seed;

    for (unsigned i = 0; i < 16 * rounds; i++) {
        union bpf_attr create = {.map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 64, .max_entries = ELEMENTS};
        int map = bpf(BPF_MAP_CREATE, &create);

        REQUIRE(map >= 0 || errno == EPERM || errno == ENOSYS);
        for (uint32_t k = 0; k < TRIED; k++) {
            uint64_t value[8] = {mix(seed + i, k), k}, back[8] = {0};
            union bpf_attr element = {.map_fd = (uint32_t)map, .key = (uintptr_t)&k, .value = (uintptr_t)value};

            if (map >= 0) {
                REQUIRE(bpf(BPF_MAP_UPDATE_ELEM, &element) == 0);
                element.value = (uintptr_t)back;
                REQUIRE(bpf(BPF_MAP_LOOKUP_ELEM, &element) == 0 && memcmp(value, back, sizeof value) == 0);
            }
            sum = mix(sum, value[0]);
        }
        if (map >= 0) {
            close(map);
        }
    }
    return sum;
}

/* Each process and thread has a stack of the kernel's, and what it writes reaches nobody else. */
static uint64_t processes(uint64_t seed, unsigned rounds)
{
    uint64_t sum = seed, *mine = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    REQUIRE(mine != MAP_FAILED);
    for (unsigned i = 0; i < rounds; i++) {
        pid_t child[4];
        *mine = mix(seed, i);
        for (unsigned k = 0; k < 4; k++) {
            child[k] = fork();
            REQUIRE(child[k] >= 0);
            if (child[k] == 0) {
                *mine += k;
                _exit((int)(*mine & 0x7f));
            }
        }
        for (unsigned k = 0; k < 4; k++) {
            int status;
            REQUIRE(waitpid(child[k], &status, 0) == child[k] && WIFEXITED(status));
            REQUIRE((uint64_t)WEXITSTATUS(status) == ((mix(seed, i) + k) & 0x7f));
            sum = mix(sum, (uint64_t)WEXITSTATUS(status));
        }
        REQUIRE(*mine == mix(seed, i));
    }
    munmap(mine, PAGE);
    return sum;
}

/* -- All -------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint64_t (*run)(uint64_t seed, unsigned rounds);
} parts[] = {
    {"small pages", small_pages}, {"huge pages", huge_pages}, {"filters", filters}, {"tables", tables}, {"processes", processes},
    {"maps", maps},
};

typedef struct {
    uint64_t seed, sum;
    unsigned part, rounds;
} Job;

static void *work(void *arg)
{
    Job *j = arg;

    j->sum = parts[j->part].run(j->seed, j->rounds);
    return NULL;
}

/* Counters of the kernel that say whether huge pages came about at all, and how often its own were split. */
static void counters(const char *when)
{
    char line[200];
    FILE *f = fopen("/proc/vmstat", "r");

    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "thp_fault_alloc", 15) == 0 || strncmp(line, "thp_split_pmd", 13) == 0 ||
            strncmp(line, "thp_collapse_alloc ", 19) == 0 || strncmp(line, "direct_map", 10) == 0) {
            printf("# %s %s", when, line);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 10, n = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    unsigned only = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
    struct rlimit files;

    REQUIRE(n >= 1 && n <= THREADS_MAX);
    getrlimit(RLIMIT_NOFILE, &files);
    files_max = files.rlim_max < 40000 ? files.rlim_max : 40000;
    files.rlim_cur = files_max;
    setrlimit(RLIMIT_NOFILE, &files);
    counters("before");
    for (unsigned part = 0; part < sizeof parts / sizeof *parts; part++) {
        pthread_t thread[THREADS_MAX];
        Job job[THREADS_MAX];
        uint64_t sum = 0;

        if (only != 0 && only != part + 1) {
            continue;
        }
        pthread_barrier_init(&barrier, NULL, n);
        for (unsigned i = 0; i < n; i++) {
            job[i] = (Job){.seed = part * 16 + i + 1, .part = part, .rounds = rounds};
            REQUIRE(pthread_create(&thread[i], NULL, work, &job[i]) == 0);
        }
        for (unsigned i = 0; i < n; i++) {
            pthread_join(thread[i], NULL);
            sum = mix(sum, job[i].sum);
        }
        printf("%s: %016lx\n", parts[part].name, (unsigned long)sum);
        fflush(stdout);
    }
    counters("after");
    return 0;
}
