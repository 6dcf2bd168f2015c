/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What helpers do is what their rows of helpers.def say (border-watch.h): in programs that have most of them called, and a row that
 * says less than is done is found out.
 */
#include "softmmu/base/stress.h"
#include "tests/cpu-x86/guest-cpu.h"
#include "tests/suite.h"
#include "tests/translator/programs.h"
#include "translator/border-watch.h"
#include "translator/engine.h"
#include "translator/glue.h"

#include <stdio.h>

enum { DEVICE_AT = GUEST_RAM_SIZE, DEVICE_LEN = 4096, CONFIGS = 3 };

/* -- A device ---------------------------------------------------------------------------------- */

static uint64_t n_calls;

static void called(void)
{
    n_calls++;
    ck_assert_msg(vcb.tc == NULL || (vcb.vec_dead != 0 && vcb.x87_dead != 0), "a device is called with vector state live");
}

static uint64_t device_read(void *arg, uint64_t off, unsigned size)
{
    called();
    return off + size;
}

static void device_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    called();
}

static uint64_t calls_so_far(void)
{
    return n_calls;
}

static void add_device(GuestCpu *g)
{
    static const BusOps ops = {.read = device_read, .write = device_write, .max_size = 8};
    uint64_t *t = (uint64_t *)guest_ram(g, GUEST_TABLES);

    lock_take(&g->lock);
    phys_region_mmio(g->mem, DEVICE_AT, DEVICE_LEN, &ops, NULL, 1, "device");
    port_map(g->ports, 0x80, 1, &ops, NULL, "port");
    lock_release(&g->lock);
    t[1024 + (DEVICE_AT >> 21)] = DEVICE_AT | 0x87;
}

/* -- Runs -------------------------------------------------------------------------------------- */

typedef struct {
    unsigned program, config, shift;
    uint64_t base;
} Run;

/* Each program in one way, the last, which is about helpers, in all. */
enum { N_RUNS = N_PROGRAMS + CONFIGS - 1 };

static Run run_number(unsigned i)
{
    static const Run kinds[CONFIGS] = {{.config = 1, .base = PROGRAM_HIGH}, {.shift = 0xff3}, {.config = 2, .base = PROGRAM_HIGH, .shift = 0xff3}};
    Run r = kinds[i % CONFIGS];

    r.program = MIN(i, N_PROGRAMS - 1);
    return r;
}

static TransConfig config_number(unsigned i)
{
    TransConfig c = trans_policy;

    c.pause_yield = 1;
    c.translate_at = 1;
    if (i == 1) {
        c.strings = false;
        c.window_touch = c.divide_faults = c.call_misses = 1;
    } else if (i == 2) {
        c.window = false;
        c.near_stack = false;
    }
    return c;
}

static void run_to_the_end(GuestCpu *g)
{
    for (unsigned turn = 0; turn < 2000 && g->cpu->activity == CPU_RUNNING; turn++) {
        if (g->cpu->engine->run(g->cpu, 2000) == CPU_EXIT_HALT) {
            break;
        }
    }
}

/* Whoever is watched ends as the interpreter does. */
static void compare_with_interpreter(Run r, const CpuState *watched)
{
    const Program *p = &programs[r.program];
    GuestCpu g;

    program_load(&g, &interp_engine, NULL, p, r.shift, r.base);
    add_device(&g);
    run_to_the_end(&g);
    ck_assert_msg(memcmp(watched->gpr, g.cpu->gpr, sizeof watched->gpr) == 0 && watched->rip == g.cpu->rip &&
                      watched->rflags == g.cpu->rflags, "%s: it ends otherwise when it is watched", p->name);
    program_finish(&g);
}

/* With these rows; what was seen. */
static HelperWatch run(Run r, const HelperInfo *rows)
{
    TransConfig config = config_number(r.config);
    HelperWatch seen, *w;
    GuestCpu g;

    program_load(&g, &translate_engine, &config, &programs[r.program], r.shift, r.base);
    add_device(&g);
    w = ((TransCpu *)g.cpu->engine_data)->watch;
    w->rows = rows;
    w->devices = calls_so_far;
    w->quiet = true;
    run_to_the_end(&g);
    seen = *w;
    if (rows == helper_info) {
        compare_with_interpreter(r, g.cpu);
    }
    program_finish(&g);
    return seen;
}

/* In which run each part was first seen to be changed by a helper, and each way gone. */
static struct {
    uint64_t n[HELPER_COUNT];
    int changed[HELPER_COUNT][16], ways[HELPER_COUNT][8];
} seen;

static void note(int number, const HelperWatch *w)
{
    for (unsigned h = 0; h < HELPER_COUNT; h++) {
        seen.n[h] += w->seen[h].n;
        for (unsigned k = 0; k < 16; k++) {
            if ((w->seen[h].changed >> k & 1) != 0 && seen.changed[h][k] == 0) {
                seen.changed[h][k] = number + 1;
            }
        }
        for (unsigned k = 0; k < 8; k++) {
            if ((w->seen[h].ways >> k & 1) != 0 && seen.ways[h][k] == 0) {
                seen.ways[h][k] = number + 1;
            }
        }
    }
}

/* Rows that lack one thing that was seen of helper h. */
static void a_row_less_is_found(unsigned h, int number, unsigned part, unsigned way)
{
    HelperInfo rows[HELPER_COUNT];

    memcpy(rows, helper_info, sizeof rows);
    rows[h].writes &= (uint16_t)~part;
    rows[h].ways &= (uint8_t)~way;
    ck_assert_msg(run(run_number((unsigned)number - 1), rows).wrong > 0, "nobody notices that %s lacks part %#x or way %u",
                  helper_info[h].name, part, way);
}

START_TEST(helpers_do_what_their_rows_say_and_less_is_found_out)
{
    static const TransHelper wanted[] = {HELPER_LOOKUP, HELPER_INDIRECT, HELPER_EXEC, HELPER_SYSTEM, HELPER_MSR, HELPER_CR,
                                         HELPER_PORT, HELPER_CPUID, HELPER_INVLPG, HELPER_DEVICE, HELPER_DIVIDE, HELPER_PAUSE,
                                         HELPER_CROSSING, HELPER_STRING, HELPER_INT, HELPER_IRET, HELPER_SYSCALL};

    ck_assert(stress_set("helpers=1"));
    for (int i = 0; i < N_RUNS; i++) {
        Run r = run_number((unsigned)i);
        HelperWatch w = run(r, helper_info);
        ck_assert_msg(w.wrong == 0, "%s: %s", programs[r.program].name, w.first);
        note(i, &w);
    }
    for (unsigned h = 0; h < HELPER_COUNT && getenv("HELPERS_SHOW") != NULL; h++) {
        printf("%-9s %6u times, changed", helper_info[h].name, (unsigned)seen.n[h]);
        for (unsigned k = 0; k < 16; k++) {
            printf("%s", seen.changed[h][k] != 0 ? "*" : (helper_info[h].writes >> k & 1) != 0 ? "-" : " ");
        }
        printf(" went %s%s%s\n", seen.ways[h][0] ? "R" : ".", seen.ways[h][1] ? "J" : ".", seen.ways[h][2] ? "X" : ".");
    }
    for (unsigned i = 0; i < ARRAY_LEN(wanted); i++) {
        ck_assert_msg(seen.n[wanted[i]] > 0, "%s was never called", helper_info[wanted[i]].name);
    }
    for (unsigned h = 0; h < HELPER_COUNT; h++) {
        for (unsigned k = 0; k < 16; k++) {
            if (seen.changed[h][k] != 0) {
                a_row_less_is_found(h, seen.changed[h][k], 1u << k, 0);
            }
        }
        for (unsigned k = 0; k < 8; k++) {
            if (seen.ways[h][k] != 0) {
                a_row_less_is_found(h, seen.ways[h][k], 0, 1u << k);
            }
        }
    }
}
END_TEST

/* A helper that says it reads no registers finds others in them. */
START_TEST(rows_make_sense)
{
    for (unsigned h = 0; h < HELPER_COUNT; h++) {
        const HelperInfo *i = &helper_info[h];

        ck_assert((i->reads & ~(PART_GPR | PART_FLAGS)) == 0);
        ck_assert((i->writes & PART_MEMORY) == 0 || (i->writes & PART_CODE) != 0);
        /* who goes elsewhere comes back with all in the host's registers */
        ck_assert((i->ways & WAY_JUMPS) == 0 || (i->clobbers & CLOBBER_HOST) != 0);
        ck_assert(i->text[0] != '\0');
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("helpers");
    TCase *t = tcase_create("helpers");

    tcase_set_timeout(t, 0);
    tcase_add_test(t, rows_make_sense);
    tcase_add_test(t, helpers_do_what_their_rows_say_and_less_is_found_out);
    suite_add_tcase(s, t);
    return s;
}
