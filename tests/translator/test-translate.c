/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The translator against the interpreter: whole programs, every register and byte compared. */
#include "tests/cpu-x86/guest-cpu.h"
#include "tests/suite.h"
#include "tests/translator/programs.h"
#include "tests/translator/window-use.h"
#include "translator/engine.h"

#include <stdio.h>
#include <sys/mman.h>

/* Code, tables, data and stack all lie below this. */
enum { COMPARED = 0x240000 };

/* Run program i at base + GUEST_CODE + shift until it halts or enters an exception handler. */
static void run_program(GuestCpu *g, const EngineClass *engine, const TransConfig *config, unsigned i,
                        unsigned shift, uint64_t base)
{
    uint64_t limit = 4000000;

    program_load(g, engine, config, &programs[i], shift, base);
    while (limit > 0 && g->cpu->activity == CPU_RUNNING) {
        CpuExit e = engine->run(g->cpu, 2000);
        ck_assert_msg(e == CPU_EXIT_BUDGET || e == CPU_EXIT_HALT, "exit %s", cpu_exit_info[e].name);
        if (e == CPU_EXIT_HALT) {
            break;
        }
        limit -= 2000;
    }
    ck_assert_msg(limit > 0, "%s does not end", programs[i].name);
}

static void compare(unsigned i, GuestCpu *a, GuestCpu *b)
{
    for (unsigned r = 0; r < GPR_COUNT; r++) {
        ck_assert_msg(a->cpu->gpr[r] == b->cpu->gpr[r], "%s: gpr %u is %llx, want %llx",
                      programs[i].name, r, (unsigned long long)b->cpu->gpr[r],
                      (unsigned long long)a->cpu->gpr[r]);
    }
    ck_assert_msg(a->cpu->rip == b->cpu->rip && a->cpu->rflags == b->cpu->rflags,
                  "%s: rip %llx flags %llx, want %llx %llx", programs[i].name,
                  (unsigned long long)b->cpu->rip, (unsigned long long)b->cpu->rflags,
                  (unsigned long long)a->cpu->rip, (unsigned long long)a->cpu->rflags);
    uint8_t *x = guest_ram(a, 0), *y = guest_ram(b, 0);
    /* A page fault for each page would be most of the time on some hosts; older kernels do not know the advice. */
    madvise(x, COMPARED, MADV_POPULATE_READ);
    madvise(y, COMPARED, MADV_POPULATE_READ);
    for (uint64_t at = 0; memcmp(x, y, COMPARED) != 0 && at < COMPARED; at += 8) {
        if (memcmp(x + at, y + at, 8) != 0) {
            ck_abort_msg("%s: memory at %llx is %llx, want %llx", programs[i].name,
                         (unsigned long long)at, (unsigned long long)load_le(y + at, 8),
                         (unsigned long long)load_le(x + at, 8));
        }
    }
}

/* Also with the code laid across a page end. */
static const unsigned shifts[] = {0, 0xfe5, 0xff3, 0xffd};

/* Each property at its other end. */
static TransConfig config_number(unsigned i)
{
    TransConfig c = trans_policy;

    switch (i) {
    case 1: c.chain = false; break;
    case 2: c.one_insn = true; break;
    case 3: c.translate_at = 3; break;
    case 4: c.jump_cache = 1; break;
    case 5: c.code_mib = 1; break;
    case 6: c.block_insns_max = 3; c.translate_at = 255; break;
    case 7: c.look_ahead = false; break;
    case 8: c.warm = c.near_stack = c.near_data = c.window = false; break;
    case 9: c.quiet = c.near_runs = false; break;
    case 10: c.window = c.group = false; break;
    case 11: c.exact_writes = c.revive = c.soft = c.near_stack = false; break;
    case 12: c.pause_yield = 1; c.strings = false; c.window_touch = c.window_aside = c.divide_faults = 1; break;
    case 13: c.hot_samples = 0; c.window = false; break;
    default: break;
    }
    return c;
}
enum { N_CONFIGS = 14 };

static void compare_engines(unsigned number, uint64_t base)
{
    unsigned i = number / ARRAY_LEN(shifts), s = shifts[number % ARRAY_LEN(shifts)];
    uint64_t maps = 0;
    GuestCpu a, b;

    run_program(&a, &interp_engine, NULL, i, s, base);
    for (unsigned k = 0; k < N_CONFIGS; k++) {
        TransConfig c = config_number(k);
        run_program(&b, &translate_engine, &c, i, s, base);
        compare(i, &a, &b);
        ck_assert_msg(k == 6 || b.cpu->stats[STAT_TRANS_BLOCKS] > 0, "nothing was translated with configuration %u", k);
        maps += window_maps(b.cpu);
        ck_assert(window_maps(b.cpu) == 0 || (base != 0 && c.window));
        program_finish(&b);
    }
    ck_assert(maps > 0 || !WINDOW_IS_POSSIBLE || base == 0 || !programs[i].window);
    program_finish(&a);
}

static uint64_t spins_with(unsigned pause_yield)
{
    TransConfig c = trans_policy;
    GuestCpu g;
    unsigned i = 0;
    uint64_t spins;

    while (strcmp(programs[i].name, "pauses") != 0) {
        i++;
    }
    c.pause_yield = pause_yield;
    run_program(&g, &translate_engine, &c, i, 0, 0);
    spins = g.cpu->stats[STAT_SPINS];
    program_finish(&g);
    return spins;
}

START_TEST(who_loops_over_pause_offers_the_host_a_turn)
{
    ck_assert_uint_gt(spins_with(1), 0);
    ck_assert_uint_eq(spins_with(0), 0);
}
END_TEST

START_TEST(programs_end_the_same_translated_and_interpreted)
{
    compare_engines((unsigned)_i, 0);
}
END_TEST

START_TEST(programs_end_the_same_in_the_window)
{
    compare_engines(2 * (unsigned)_i, PROGRAM_HIGH); /* half of the shifts */
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("translator");
    TCase *t = tcase_create("programs");

    tcase_set_timeout(t, 0);
    tcase_add_loop_test(t, programs_end_the_same_translated_and_interpreted, 0,
                        (int)(ARRAY_LEN(programs) * ARRAY_LEN(shifts)));
    tcase_add_loop_test(t, programs_end_the_same_in_the_window, 0,
                        (int)(N_PROGRAMS64 * ARRAY_LEN(shifts) / 2));
    tcase_add_test(t, who_loops_over_pause_offers_the_host_a_turn);
    suite_add_tcase(s, t);
    return s;
}
