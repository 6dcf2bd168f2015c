/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams over 64 MiB, dependent loads. */
#include "bench/workloads/workloads.h"

#include <emmintrin.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MIB = 1 << 20, LEN = 64 * MIB, KIBS = LEN / 1024 };

static uint8_t *from, *to;

static uint8_t *pages(size_t len)
{
    uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static const char *buffers(void)
{
    if (from == NULL) {
        from = pages(LEN);
        to = pages(LEN);
        if (from == NULL || to == NULL) {
            return "no memory";
        }
        for (size_t i = 0; i < LEN; i += 8) {
            *(uint64_t *)(from + i) = i;
        }
    }
    return NULL;
}

/* A few places tell whether all was copied. */
static bool copied(void)
{
    bool good = true;

    for (size_t i = 0; i < LEN; i += LEN / 16) {
        good &= memcmp(to + i, from + i, 64) == 0;
    }
    return good && memcmp(to + LEN - 64, from + LEN - 64, 64) == 0;
}

#define COPY(name, statement)                                                                      \
    static Work name(uint64_t turns)                                                               \
    {                                                                                              \
        for (uint64_t t = 0; t < turns; t++) {                                                     \
            from[t % LEN]++;                                                                       \
            statement;                                                                             \
        }                                                                                          \
        return (Work){copied() ? turns * KIBS : 0};                                                \
    }

COPY(mem_memcpy, memcpy(to, from, LEN))

static NOINLINE void rep_movsq(void *d, const void *s, size_t n)
{
    n /= 8;
    __asm__ volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
}
COPY(mem_repmovsq, rep_movsq(to, from, LEN))

static NOINLINE void sse2_copy(uint8_t *d, const uint8_t *s, size_t n)
{
    for (size_t i = 0; i < n; i += 32) {
        __m128i x = _mm_load_si128((const __m128i *)(s + i)), y = _mm_load_si128((const __m128i *)(s + i + 16));
        _mm_store_si128((__m128i *)(d + i), x);
        _mm_store_si128((__m128i *)(d + i + 16), y);
        __asm__ volatile("" : : : "memory"); /* no memcpy() made of it */
    }
}
COPY(mem_copy_sse2, sse2_copy(to, from, LEN))

static Work mem_memset(uint64_t turns)
{
    bool good = true;

    for (uint64_t t = 0; t < turns; t++) {
        memset(to, (int)t + 1, LEN);
        good &= to[0] == (uint8_t)(t + 1) && to[LEN - 1] == (uint8_t)(t + 1);
    }
    return (Work){good ? turns * KIBS : 0};
}

__attribute__((optimize("no-tree-vectorize"))) static Work mem_sum64(uint64_t turns)
{
    uint64_t sum = 0;

    for (uint64_t t = 0; t < turns; t++) {
        for (size_t i = 0; i < LEN; i += 8) {
            sum += *(volatile uint64_t *)(from + i);
        }
    }
    OPAQUE(sum);
    return (Work){turns * (LEN / 8)};
}

/* -- Chasing --------------------------------------------------------------------------------------- */

enum { LINE = 64 };

/* One cycle through all lines of `len` bytes, in random order (Sattolo). */
static void **make_chain(size_t len)
{
    size_t n = len / LINE;
    uint8_t *base = pages(len);
    uint32_t *order = malloc(n * sizeof *order);
    uint64_t s = 42;

    if (base == NULL || order == NULL) {
        free(order);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        order[i] = (uint32_t)i;
    }
    for (size_t i = n - 1; i > 0; i--) {
        size_t k = next_random(&s) % i;
        uint32_t x = order[i];
        order[i] = order[k];
        order[k] = x;
    }
    for (size_t i = 0; i < n; i++) {
        *(void **)(base + (size_t)order[i] * LINE) = base + (size_t)order[(i + 1) % n] * LINE;
    }
    free(order);
    return (void **)base;
}

enum { STEPS = 1000 };

static Work chase(uint64_t turns, void ***chain, size_t len)
{
    void **p;
    uint64_t begin;

    if (*chain == NULL) {
        *chain = make_chain(len);
    }
    p = *chain;
    begin = now_ns();
    for (uint64_t i = 0; i < turns * STEPS && p != NULL; i++) {
        p = *p;
    }
    OPAQUE(p);
    return (Work){p != NULL ? turns * STEPS : 0, now_ns() - begin};
}

#define CHASE(name, len)                                                                           \
    static Work name(uint64_t turns)                                                               \
    {                                                                                              \
        static void **chain;                                                                       \
        return chase(turns, &chain, len);                                                          \
    }
CHASE(chase_16k, 16 << 10)
CHASE(chase_1m, MIB)
CHASE(chase_32m, 32 * MIB)

const Workload memory_workloads[] = {
    {"mem_memcpy", mem_memcpy, buffers}, {"mem_memset", mem_memset, buffers},
    {"mem_repmovsq", mem_repmovsq, buffers}, {"mem_copy_sse2", mem_copy_sse2, buffers},
    {"mem_sum64", mem_sum64, buffers}, {"chase_16k", chase_16k}, {"chase_1m", chase_1m},
    {"chase_32m", chase_32m},
    {NULL},
};
