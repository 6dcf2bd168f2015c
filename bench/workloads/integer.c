/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Integers, branches, calls. */
#include "bench/workloads/workloads.h"

#include <string.h>

/* -- Arithmetic ------------------------------------------------------------------------------------ */

enum { SIEVE = 1 << 20, PRIMES_BELOW_SIEVE = 82025 };

/* Eratosthenes over 1 MiB; an operation is a store of "composite". */
static Work int_sieve(uint64_t turns)
{
    static uint8_t composite[SIEVE];
    uint64_t stores = 0, primes = 0;

    for (uint64_t t = 0; t < turns; t++) {
        memset(composite, 0, sizeof composite);
        primes = 0;
        for (uint32_t i = 2; i < SIEVE; i++) {
            if (composite[i]) {
                continue;
            }
            primes++;
            for (uint64_t k = (uint64_t)i * i; k < SIEVE; k += i) {
                composite[k] = 1;
                stores++;
            }
        }
    }
    return (Work){primes == PRIMES_BELOW_SIEVE ? stores : 0};
}

enum { BLOCK = 1000 };         /* operations of a turn, where they are short */

static Work int_hash(uint64_t turns)
{
    uint64_t s = 88172645463325252, h = 14695981039346656037ull;

    for (uint64_t i = 0; i < turns * BLOCK; i++) {
        h = (h ^ next_random(&s)) * 1099511628211ull;
    }
    OPAQUE(h);
    return (Work){turns * BLOCK};
}

static Work int_div(uint64_t turns)
{
    uint64_t sum = 0, a = 0x123456789abcdefull, d = 3;

    for (uint64_t i = 0; i < turns * BLOCK; i++) {
        OPAQUE(d);
        sum += a / d;
        d += 2;
        a += 0x9e3779b97f4a7c15ull;
    }
    OPAQUE(sum);
    return (Work){turns * BLOCK};
}

/* Two running sums over bytes. */
static Work int_bytes(uint64_t turns)
{
    static uint8_t data[1 << 16];
    uint32_t a = 1, b = 0;

    for (uint64_t t = 0; t < turns; t++) {
        for (size_t i = 0; i < sizeof data; i++) {
            a += data[i];
            OPAQUE(a);
            b += a;
        }
        data[t % sizeof data]++;
    }
    OPAQUE(b);
    return (Work){turns * sizeof data};
}

/* A branch on a random bit each. */
static Work int_branch(uint64_t turns)
{
    uint64_t s = 1, a = 0, b = 0;

    for (uint64_t i = 0; i < turns * BLOCK; i++) {
        next_random(&s);
        if (s & 0x1000) {
            a += i;
            OPAQUE(a);
        } else {
            b ^= s;
            OPAQUE(b);
        }
    }
    return (Work){turns * BLOCK};
}

static Work int_cmov(uint64_t turns)
{
    uint64_t s = 1, low = UINT64_MAX, high = 0;

    for (uint64_t i = 0; i < turns * BLOCK; i++) {
        uint64_t v = next_random(&s);
        __asm__("cmp %2, %0; cmova %2, %0; cmp %2, %1; cmovb %2, %1"
                : "+r"(low), "+r"(high) : "r"(v) : "cc");
    }
    return (Work){low < high || turns == 0 ? turns * BLOCK : 0};
}

/* -- Jumps and calls ------------------------------------------------------------------------------- */

uint64_t loop_over_page(uint64_t n);
__asm__(".pushsection .text\n"
        ".p2align 12\n"
        ".skip 4096 - 6\n"
        "loop_over_page: xor %eax, %eax\n"
        "1: add $1, %rax\n"    /* from the last bytes of a page into the next */
        "xor $0, %rax\n"
        "sub $1, %rdi\n"
        "jnz 1b\n"
        "ret\n"
        ".popsection\n");

static Work loop_xpage(uint64_t turns)
{
    uint64_t n = turns * BLOCK;

    return (Work){loop_over_page(n) == n ? n : 0};
}

static NOINLINE uint64_t fib(unsigned n)
{
    OPAQUE(n);
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

/* fib(20) makes 21891 calls. */
static Work call_fib(uint64_t turns)
{
    bool good = true;

    for (uint64_t t = 0; t < turns; t++) {
        good &= fib(20) == 6765;
    }
    return (Work){good ? turns * 21891 : 0};
}

#define TARGET(n) static NOINLINE uint64_t target##n(uint64_t v) { return v * (2 * n + 3) + n; }
TARGET(0) TARGET(1) TARGET(2) TARGET(3)

static Work call_indirect(uint64_t turns)
{
    static uint64_t (*const targets[])(uint64_t v) = {target0, target1, target2, target3};
    uint64_t s = 1, v = 0;

    for (uint64_t i = 0; i < turns * BLOCK; i++) {
        v = targets[next_random(&s) >> 20 & 3](v);
    }
    OPAQUE(v);
    return (Work){turns * BLOCK};
}

/* A byte-code machine: acc = 0; counter = 100; do { acc = (acc + 3) ^ 5 } while (--counter). */
static Work vm_goto(uint64_t turns)
{
    enum { OP_SET, OP_ADD, OP_XOR, OP_LOOP, OP_END };
    static const uint8_t program[] = {OP_SET, 100, OP_ADD, 3, OP_XOR, 5, OP_LOOP, 2, OP_END};
    static const void *const code[] = {&&set, &&add, &&xor, &&loop, &&end};
    uint64_t acc = 0, counter = 0, ops = 0;

#define NEXT(pc_add) do { ops++; pc += (pc_add); goto *code[*pc]; } while (0)
    for (uint64_t t = 0; t < turns; t++) {
        const uint8_t *pc = program;
        acc = 0;
        goto *code[*pc];
    set: counter = pc[1]; NEXT(2);
    add: acc += pc[1]; NEXT(2);
    xor: acc ^= pc[1]; NEXT(2);
    loop:
        if (--counter != 0) {
            ops++;
            pc = program + pc[1];
            goto *code[*pc];
        }
        NEXT(2);
    end:;
    }
#undef NEXT
    uint64_t want = 0;
    for (int i = 0; i < 100; i++) {
        want = (want + 3) ^ 5;
    }
    return (Work){acc == want ? ops : 0};
}

static Work lock_xadd(uint64_t turns)
{
    static uint64_t cell;
    uint64_t sum = 0, before = cell;

    for (uint64_t i = 0; i < turns * BLOCK; i++) {
        sum += __atomic_fetch_add(&cell, 1, __ATOMIC_SEQ_CST);
    }
    OPAQUE(sum);
    return (Work){cell - before == turns * BLOCK ? turns * BLOCK : 0};
}

/* Structures in a ring, whose members are added up; an operation is one of them. */
static Work int_fields(uint64_t turns)
{
    typedef struct Node {
        struct Node *next;
        uint64_t a, b;
        uint32_t c, d;
        uint16_t e, f;
        uint8_t g, h, weight;
        uint64_t sum;
    } Node;
    enum { NODES = 256, STRIDE = 97 };
    static Node node[NODES];
    uint64_t total = 0, want = 0;
    Node *n = node;

    for (unsigned i = 0; i < NODES; i++) {
        node[i] = (Node){&node[(i + STRIDE) % NODES], i, 1, 2, 3, 4, 5, 6, 7, (uint8_t)(i % 3), 0};
        want += (i + 28) * (i % 3);
    }
    for (uint64_t t = 0; t < turns; t++) {
        for (unsigned i = 0; i < NODES; i++, n = n->next) {
            OPAQUE(n);
            total += (n->a + n->b + n->c + n->d + n->e + n->f + n->g + n->h) * n->weight;
        }
    }
    return (Work){total == want * turns ? turns * NODES : 0};
}

static Work read_tsc(uint64_t turns)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < turns * BLOCK; i++) {
        sum += __builtin_ia32_rdtsc();
    }
    OPAQUE(sum);
    return (Work){turns * BLOCK};
}

const Workload integer_workloads[] = {
    {"int_sieve", int_sieve}, {"int_hash", int_hash}, {"int_div", int_div}, {"int_bytes", int_bytes},
    {"int_branch", int_branch}, {"int_cmov", int_cmov}, {"loop_xpage", loop_xpage}, {"call_fib", call_fib},
    {"call_indirect", call_indirect}, {"vm_goto", vm_goto}, {"int_fields", int_fields}, {"lock_xadd", lock_xadd},
    {"rdtsc", read_tsc},
    {NULL},
};
