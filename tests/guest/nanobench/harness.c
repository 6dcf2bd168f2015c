/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sampling: how many operations, how often, and what is said about them. */
#include "tests/guest/nanobench/nanobench.h"

enum { SAMPLES_MAX = 101, WARM_UP = 4, N_MAX = 1 << 20, N_FIRST = 64, FEW = 256, N_FIRST_FEW = 4 };
#define ENOUGH 4000000000ull         /* cycles: no further sample after so many */

typedef struct {
    u32 samples, cycles;
    const char *only, *skip;       /* "A,B,C" up to a blank, or NULL */
} Options;

/* -- Options ---------------------------------------------------------------------------------------- */

static bool begins(const char *s, const char *with)
{
    for (; *with != 0; s++, with++) {
        if (*s != *with) {
            return false;
        }
    }
    return true;
}

static u32 number(const char *s)
{
    u32 v = 0;

    for (; *s >= '0' && *s <= '9' && v < 100000000; s++) {
        v = v * 10 + (u32)(*s - '0');
    }
    return v;
}

static Options parse(const char *s)
{
    Options o = {.samples = 31, .cycles = 1000000};

    while (*s != 0) {
        if (begins(s, "samples=")) {
            o.samples = number(s + 8);
        } else if (begins(s, "cycles=")) {
            o.cycles = number(s + 7);
        } else if (begins(s, "only=")) {
            o.only = s + 5;
        } else if (begins(s, "skip=")) {
            o.skip = s + 5;
        }
        while (*s != 0 && *s != ' ') {
            s++;
        }
        while (*s == ' ') {
            s++;
        }
    }
    o.samples = o.samples < 1 ? 1 : o.samples > SAMPLES_MAX ? SAMPLES_MAX : o.samples;
    return o;
}

static bool listed(const char *list, const char *name)
{
    while (*list != 0 && *list != ' ') {
        const char *n = name;
        while (*n != 0 && *list == *n) {
            list++;
            n++;
        }
        if (*n == 0 && (*list == ',' || *list == ' ' || *list == 0)) {
            return true;
        }
        while (*list != 0 && *list != ' ' && *list++ != ',') {
        }
    }
    return false;
}

/* -- Numbers ---------------------------------------------------------------------------------------- */

u32 nano_div(u64 a, u32 b)
{
    u32 q, r;

    if ((u32)(a >> 32) >= b) {
        return ~0u;
    }
    __asm__("divl %4" : "=a"(q), "=d"(r) : "a"((u32)a), "d"((u32)(a >> 32)), "r"(b) : "cc");
    return q;
}

static void put_tenths(const char *key, u32 v)
{
    nano_put(key);
    nano_put_number(v / 10);
    nano_put(".");
    nano_put_number(v % 10);
}

static void put_count(const char *key, u32 v)
{
    nano_put(key);
    nano_put_number(v);
}

static void sort(u32 *v, u32 n)
{
    for (u32 i = 1; i < n; i++) {
        u32 x = v[i], at = i;
        for (; at > 0 && v[at - 1] > x; at--) {
            v[at] = v[at - 1];
        }
        v[at] = x;
    }
}

/* -- One operation ---------------------------------------------------------------------------------- */

u64 nano_empty(u32 n)
{
    return NANO_LOOP(n, "", (), ());
}

u64 nano_empty16(u32 n)
{
    return nano_empty(n / 16);
}

static void put_line(const char *kind, const char *name, const char *more)
{
    nano_put(kind);
    nano_put(name);
    if (more != NULL) {
        nano_put(" ");
        nano_put(more);
    }
    nano_put("\n");
}

/* The operations of a sample that lasts long enough, a multiple of N_FIRST, or of N_FIRST_FEW where
 * the operation allows only few; 0: they go wrong. */
static u32 choose_n(const NanoOp *op, u32 cycles)
{
    u32 max = op->max_n != 0 ? op->max_n : N_MAX, n = max <= FEW ? N_FIRST_FEW : N_FIRST;

    for (;;) {
        u64 took = op->run(n);
        if (took == NANO_BAD) {
            return 0;
        }
        if (took >= cycles || n == max) {
            return n;
        }
        n = n * 2 > max ? max : n * 2;
    }
}

static void measure(const NanoOp *op, const Options *o)
{
    static u32 v[SAMPLES_MAX];
    const char *why;
    u64 base = ~0ull, begin;
    u32 n, got = 0;

    put_line("run ", op->name, NULL); /* first: the look for what is missing may end the guest too */
    why = op->missing != NULL ? op->missing() : NULL;
    if (why != NULL) {
        put_line("na ", op->name, why);
        return;
    }
    n = choose_n(op, o->cycles);
    begin = rdtsc();
    for (u32 i = 0; n != 0 && i < WARM_UP && rdtsc() - begin < ENOUGH / 4; i++) {
        op->run(n);
    }
    for (u32 i = 0; n != 0 && op->base != NULL && i < o->samples; i++) {
        u64 b = op->base(n);
        base = b < base ? b : base;
    }
    base = op->base != NULL ? base : 0;
    while (n != 0 && got < o->samples && (got == 0 || rdtsc() - begin < ENOUGH)) {
        u64 took = op->run(n);
        n = took == NANO_BAD ? 0 : n;
        v[got++] = took <= base || n == 0 ? 0 : nano_div((took - base) * 10, n);
    }
    if (n == 0) {
        put_line("bad ", op->name, "wrong result");
        return;
    }
    sort(v, got);
    nano_put("op ");
    nano_put(op->name);
    put_count(" n=", n);
    put_count(" samples=", got);
    put_tenths(" min=", v[0]);
    put_tenths(" median=", v[got / 2]);
    put_tenths(" p95=", v[(got * 95 - 1) / 100]);
    nano_put("\n");
}

void nano_measure(const NanoOp *const *lists, const char *options, u32 cpus)
{
    Options o = parse(options);

    put_count("nanobench 1 bits=", sizeof(word) * 8);
    put_count(" cpus=", cpus);
    put_count(" tsc_khz=", nano_tsc_khz());
    nano_put("\n");
    for (; *lists != NULL; lists++) {
        for (const NanoOp *op = *lists; op->name != NULL; op++) {
            if ((o.only == NULL || listed(o.only, op->name)) &&
                (o.skip == NULL || !listed(o.skip, op->name))) {
                measure(op, &o);
            }
        }
    }
    nano_put("end\n");
}
