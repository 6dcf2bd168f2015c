/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's state can be recreated at every host instruction of translated code.
 *
 * The host single-steps through the programs.  After each host instruction inside a block, the state
 * that a kick there would recreate is compared with that of a twin, which the interpreter brings to the
 * same instruction.  It must be the twin's, or come to the twin's when both go on: flags about to be
 * overwritten may differ, and an instruction may be abandoned in its middle and executed anew.
 */
#include "tests/cpu-x86/guest-cpu.h"
#include "tests/suite.h"
#include "tests/translator/programs.h"
#include "tests/translator/window-use.h"
#include "translator/engine.h"
#include "translator/verify.h"

#include <stdio.h>

enum { COMPARED = GUEST_BIG_DATA, COMPARED_LEN = 0x30000, GO_ON = 40, LOST = 100000, ENOUGH = 4000 };

/* For the signal handler. */
static struct {
    GuestCpu twin;
    TransCpu *tc;
    unsigned checked;          /* host instructions                            */
    char wrong[400];           /* the first difference                         */
    uint8_t before[COMPARED_LEN], after[COMPARED_LEN];
} run;

typedef struct {
    uint64_t gpr[GPR_COUNT], rip, rflags;
} Regs;

static Regs regs_of(const CpuState *cpu)
{
    Regs r = {.rip = cpu->rip, .rflags = cpu->rflags};

    memcpy(r.gpr, cpu->gpr, sizeof r.gpr);
    return r;
}

static void set_regs(CpuState *cpu, const Regs *r)
{
    memcpy(cpu->gpr, r->gpr, sizeof r->gpr);
    cpu->rip = r->rip;
    cpu->rflags = r->rflags;
    cpu->activity = CPU_RUNNING;
}

static bool same(const Regs *a, const Regs *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* What an interrupt pushes. */
enum { FRAME = 5 * 8 };

/* The memory below r's stack pointer. */
static uint64_t frame_at(const Regs *r)
{
    return r->gpr[GPR_RSP] - FRAME - (r->gpr[GPR_RSP] >= PROGRAM_HIGH ? PROGRAM_HIGH : 0);
}

/* From `from`, n instructions on the twin, whose memory is left as it was.  interrupted: and returned from first. */
static Regs try(const Regs *from, unsigned n, uint8_t *memory, bool interrupted)
{
    uint8_t junk[FRAME];
    uint64_t at = frame_at(from);
    bool pushes = interrupted && at >= COMPARED && at + FRAME <= COMPARED + COMPARED_LEN; /* not where nonsense is in it */
    CpuState *cpu = run.twin.cpu;
    Regs was = regs_of(cpu), r;
    uint8_t *ram = guest_ram(&run.twin, COMPARED);

    set_regs(cpu, from);
    memcpy(run.before, ram, COMPARED_LEN);
    if (pushes) {
        memset(junk, 0x5a, sizeof junk);
        guest_write(&run.twin, at, junk, sizeof junk);
    }
    for (unsigned i = 0; i < n && cpu->activity == CPU_RUNNING; i++) {
        interp_engine.run(cpu, 1);
    }
    r = regs_of(cpu);
    memcpy(memory, ram, COMPARED_LEN);
    if (memcmp(run.before, ram, COMPARED_LEN) != 0) {
        guest_write(&run.twin, COMPARED, run.before, COMPARED_LEN);
    }
    set_regs(cpu, &was);
    return r;
}

static bool comes_to_the_same(const Regs *a, const Regs *b)
{
    static uint8_t ma[COMPARED_LEN], mb[COMPARED_LEN], mz[COMPARED_LEN];

    if (same(a, b)) {
        return true;
    }
    for (unsigned n = 1; n < GO_ON && a->rip == b->rip; n++) {
        Regs x = try(a, n, ma, false), y = try(b, n, mb, false), z = try(a, n, mz, true);
        if (x.rip != y.rip || !same(&x, &z)) {
            return false;
        }
        if (same(&x, &y)) {
            return memcmp(ma, mb, COMPARED_LEN) == 0;
        }
    }
    return false;
}

/* Where the twin is before a string instruction with REP of which `is` has made some elements: make the twin do these.  The
 * interpreter makes all at once. */
static void follow_into_string(const Regs *is)
{
    CpuState *cpu = run.twin.cpu;
    uint64_t ahead = cpu->gpr[GPR_RCX] - is->gpr[GPR_RCX];

    if (cpu->rip == is->rip && ahead > 0 && ahead < cpu->gpr[GPR_RCX] && cpu->gpr[GPR_RDI] != is->gpr[GPR_RDI]) {
        cpu->gpr[GPR_RCX] = ahead;
        interp_engine.run(cpu, 1);
        cpu->gpr[GPR_RCX] = is->gpr[GPR_RCX];
        cpu->rip = is->rip;
    }
}

static void check_state(void)
{
    Regs is = regs_of(run.tc->cpu), twin = regs_of(run.twin.cpu), first = twin;

    for (unsigned i = 0; i < LOST && run.twin.cpu->activity == CPU_RUNNING; i++) {
        follow_into_string(&is);
        twin = regs_of(run.twin.cpu);
        if (comes_to_the_same(&is, &twin)) {
            return;
        }
        interp_engine.run(run.twin.cpu, 1);
    }
    int n = snprintf(run.wrong, sizeof run.wrong, "recreated rip %llx flags %llx; the twin was at %llx flags %llx:",
                     (unsigned long long)is.rip, (unsigned long long)is.rflags,
                     (unsigned long long)first.rip, (unsigned long long)first.rflags);
    for (unsigned r = 0; r < GPR_COUNT; r++) {
        if (is.gpr[r] != first.gpr[r] && n < (int)sizeof run.wrong) {
            n += snprintf(run.wrong + n, sizeof run.wrong - (size_t)n, " r%u %llx, %llx", r,
                          (unsigned long long)is.gpr[r], (unsigned long long)first.gpr[r]);
        }
    }
}

static void on_step(TransCpu *tc, const void *context)
{
    run.tc = tc;
    if (run.wrong[0] == '\0' && verify_recreate(tc, context)) {
        check_state();
        if (++run.checked == ENOUGH) {
            tc->on_step = NULL;
        }
    }
}

/* At GUEST_CODE + shift; hot: with spots. */
static void recreate_everywhere(const Program *p, unsigned shift, uint64_t base, bool hot)
{
    TransConfig config = trans_policy;
    GuestCpu g;

    config.translate_at = 1;
    config.hot_samples = hot ? 0 : config.hot_samples;
    program_load(&run.twin, &interp_engine, NULL, p, shift, base);
    program_load(&g, &translate_engine, &config, p, shift, base);
    ((TransCpu *)g.cpu->engine_data)->on_step = on_step;
    for (unsigned turn = 0; turn < 40 && g.cpu->activity == CPU_RUNNING && run.wrong[0] == '\0'; turn++) {
        CpuExit e = translate_engine.run(g.cpu, 2000);
        ck_assert_msg(run.wrong[0] == '\0', "%s: %s", p->name, run.wrong);
        if (e == CPU_EXIT_HALT) {
            break;
        }
    }
    ck_assert_msg(run.checked > 20, "%s: only %u host instructions in blocks", p->name, run.checked);
    ck_assert(window_maps(g.cpu) > 0 || !WINDOW_IS_POSSIBLE || base == 0 || !p->window);
    program_finish(&g);
    program_finish(&run.twin);
}

START_TEST(state_can_be_recreated_at_every_host_instruction)
{
    recreate_everywhere(&programs[_i / 2], 0, 0, _i % 2 != 0);
}
END_TEST

START_TEST(state_can_be_recreated_in_the_window)
{
    recreate_everywhere(&programs[_i], 0, PROGRAM_HIGH, false);
}
END_TEST

/* Instructions of which some bytes are on the next page. */
START_TEST(state_can_be_recreated_across_a_page_end)
{
    static const unsigned shifts[] = {0xfe5, 0xff3, 0xffd, 0xffe};

    for (unsigned i = 0; i < ARRAY_LEN(shifts); i++) {
        run.checked = 0;
        recreate_everywhere(&programs[_i], shifts[i], 0, false);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("recreate");
    TCase *t = tcase_create("recreate");

    tcase_set_timeout(t, 0);
    tcase_add_loop_test(t, state_can_be_recreated_at_every_host_instruction, 0, 2 * (int)N_PROGRAMS);
    tcase_add_loop_test(t, state_can_be_recreated_in_the_window, 0, (int)N_PROGRAMS64);
    tcase_add_loop_test(t, state_can_be_recreated_across_a_page_end, 0, (int)N_PROGRAMS);
    suite_add_tcase(s, t);
    return s;
}
