/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpu-x86/exception.c: frames in every mode, stack switches, nested faults, error codes. */
#include "cpu-x86/exception.h"

#include "cpu-x86/debug.h"
#include "tests/cpu-x86/system-cpu.h"
#include "tests/suite.h"

static SystemCpu *s;
static CpuState *cpu;

enum { HANDLER = 0x20000 };

static void set_up(void)
{
    s = system_cpu_new("max", 1, 0);
    cpu = s->cpu;
    system_protected(s);
}

static void tear_down(void)
{
    system_cpu_free(s);
}

static void check_handler(unsigned vector, unsigned cs)
{
    ck_assert_uint_eq(cpu->rip, HANDLER + vector * 16);
    ck_assert_uint_eq(cpu->next_rip, cpu->rip);
    ck_assert_uint_eq(cpu->seg[SEG_CS].selector, cs);
}

/* -- Real mode ------------------------------------------------------------------------------------ */

static void real_mode(void)
{
    cpu_reset(cpu);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cpu_load_segment_real(cpu, i, i == SEG_CS ? 0x100 : 0);
    }
    cpu->idtr = (DescTable){0, 0x3ff};
    cpu->gpr[GPR_RSP] = 0x8000;
    cpu->rip = 0x50;
    cpu->next_rip = 0x52;
    for (unsigned v = 0; v < 256; v++) {
        poke(s, v * 4, 4, 0x20000000 | v * 16); /* 2000:v*16 */
    }
}

START_TEST(real_mode_pushes_flags_cs_ip_and_no_error_code)
{
    real_mode();
    cpu->rflags = FLAG_FIXED | FLAG_IF | FLAG_TF | FLAG_CF;
    ck_assert(cpu_deliver(cpu, EXC_GP, DELIVER_FAULT, true, 0x1234));
    ck_assert_uint_eq(cpu->seg[SEG_CS].base + cpu->rip, HANDLER + 13 * 16);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x7ffa);
    ck_assert_uint_eq(peek(s, 0x7ffa, 2), 0x50);
    ck_assert_uint_eq(peek(s, 0x7ffc, 2), 0x100);
    ck_assert_uint_eq(peek(s, 0x7ffe, 2), FLAG_FIXED | FLAG_IF | FLAG_TF | FLAG_CF);
    ck_assert_uint_eq(cpu->rflags, FLAG_FIXED | FLAG_CF);
}
END_TEST

START_TEST(real_mode_without_room_in_the_table_shuts_down)
{
    real_mode();
    cpu->idtr.limit = 0x1f; /* not even #DF */
    ck_assert(!cpu_deliver(cpu, 0x30, DELIVER_EXTERNAL, false, 0));
    ck_assert_int_eq(cpu->activity, CPU_SHUTDOWN);
}
END_TEST

/* -- 32-bit ----------------------------------------------------------------------------------------- */

START_TEST(same_level_pushes_three_words_and_the_error_code)
{
    cpu->rflags = FLAG_FIXED | FLAG_IF | FLAG_NT;
    ck_assert(cpu_deliver(cpu, EXC_GP, DELIVER_FAULT, true, 0x1234));
    check_handler(EXC_GP, K_CODE);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x8000 - 16);
    ck_assert_uint_eq(peek(s, 0x7ff0, 4), 0x1234);
    ck_assert_uint_eq(peek(s, 0x7ff4, 4), 0x5000);
    ck_assert_uint_eq(peek(s, 0x7ff8, 4), K_CODE);
    ck_assert_uint_eq(peek(s, 0x7ffc, 4), FLAG_FIXED | FLAG_IF | FLAG_NT | FLAG_RF);
    ck_assert_uint_eq(cpu->rflags, FLAG_FIXED);
}
END_TEST

START_TEST(rf_is_pushed_set_for_faults_only)
{
    static const struct {
        unsigned vector;
        DeliverKind kind;
        bool rf;
    } rows[] = {{EXC_UD, DELIVER_FAULT, true}, {EXC_DB, DELIVER_FAULT, false},
                {EXC_DB, DELIVER_TRAP, false}, {0x80, DELIVER_SOFT, false},
                {0x30, DELIVER_EXTERNAL, false}, {EXC_DF, DELIVER_FAULT, false}};

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        system_protected(s);
        ck_assert(cpu_deliver(cpu, rows[i].vector, rows[i].kind, false, 0));
        ck_assert_int_eq((peek(s, 0x7ffc, 4) & FLAG_RF) != 0, rows[i].rf);
    }
}
END_TEST

START_TEST(soft_interrupts_return_behind_the_instruction_and_need_the_gates_dpl)
{
    at_cpl(s, 3);
    ck_assert(cpu_deliver(cpu, 0x80, DELIVER_SOFT, false, 0));
    check_handler(0x80, K_CODE);
    ck_assert_uint_eq(peek(s, 0x9000 - 20, 4), 0x5002);
    system_protected(s);
    at_cpl(s, 3);
    ck_assert(cpu_deliver(cpu, 0x81, DELIVER_SOFT, false, 0));
    check_handler(EXC_GP, K_CODE);
    ck_assert_uint_eq(peek(s, 0x9000 - 24, 4), 0x81 * 8 + 2); /* EXT clear */
    ck_assert_uint_eq(peek(s, 0x9000 - 20, 4), 0x5000);       /* the INT itself */
}
END_TEST

START_TEST(inner_level_takes_the_stack_of_the_tss)
{
    at_cpl(s, 3);
    cpu->gpr[GPR_RSP] = 0x7000;
    ck_assert(cpu_deliver(cpu, 0x30, DELIVER_EXTERNAL, false, 0));
    check_handler(0x30, K_CODE);
    ck_assert_uint_eq(cpu->cpl, 0);
    ck_assert_uint_eq(cpu->seg[SEG_SS].selector, K_DATA);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x9000 - 20);
    ck_assert_uint_eq(peek(s, 0x9000 - 4, 4), U_DATA);
    ck_assert_uint_eq(peek(s, 0x9000 - 8, 4), 0x7000);
    ck_assert_uint_eq(peek(s, 0x9000 - 16, 4), U_CODE);
}
END_TEST

typedef struct {
    uint16_t ss;
    uint32_t tss_limit;
    unsigned vector;
    uint32_t code;
} BadStack;

START_TEST(a_bad_inner_stack_is_reported_with_ext_set)
{
    static const BadStack rows[] = {
        {0, 0x67, EXC_TS, 1},           {0xfff0, 0x67, EXC_TS, 0xfff1}, {U_DATA, 0x67, EXC_TS, 0x21},
        {READONLY, 0x67, EXC_TS, READONLY | 1}, {ABSENT, 0x67, EXC_SS, ABSENT | 1},
        {K_DATA, 8, EXC_TS, TSS1 | 1},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        system_protected(s);
        at_cpl(s, 3);
        poke(s, SYS_TSS_AT + 8, 2, rows[i].ss);
        cpu->seg[SEG_TR].limit = rows[i].tss_limit;
        /* the fault's own handler must be reachable: a conforming one stays at CPL 3 */
        set_gate(s, SYS_IDT + rows[i].vector * 8, CONFORMING, HANDLER + rows[i].vector * 16, 14, 0, 0,
                 false);
        ck_assert(cpu_deliver(cpu, 0x30, DELIVER_EXTERNAL, false, 0));
        ck_assert_uint_eq(cpu->rip, HANDLER + rows[i].vector * 16);
        ck_assert_uint_eq(cpu->cpl, 3);
        ck_assert_msg(peek(s, cpu->gpr[GPR_RSP], 4) == rows[i].code, "row %u: %#x", i,
                      (unsigned)peek(s, cpu->gpr[GPR_RSP], 4));
    }
}
END_TEST

typedef struct {
    uint32_t gate_lo, gate_hi;
    unsigned vector;
    uint32_t code;
} BadGate;

START_TEST(bad_gates_are_reported_by_idt_entry_or_selector)
{
    static const BadGate rows[] = {
        {K_CODE << 16, 0x8c00, EXC_GP, 0x30 * 8 + 3},           /* a call gate               */
        {K_CODE << 16, 0x9e00, EXC_GP, 0x30 * 8 + 3},           /* not a system descriptor   */
        {K_CODE << 16, 0x0e00, EXC_NP, 0x30 * 8 + 3},           /* not present               */
        {0, 0x8e00, EXC_GP, 1},                                 /* null selector             */
        {0xfff8u << 16, 0x8e00, EXC_GP, 0xfff9},                /* outside the GDT           */
        {K_DATA << 16, 0x8e00, EXC_GP, K_DATA | 1},             /* not code                  */
        {(uint32_t)U_CODE << 16, 0x8e00, EXC_GP, (U_CODE & ~3) | 1}, /* outer                */
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        system_protected(s);
        poke(s, SYS_IDT + 0x30 * 8, 4, rows[i].gate_lo);
        poke(s, SYS_IDT + 0x30 * 8 + 4, 4, rows[i].gate_hi);
        ck_assert(cpu_deliver(cpu, 0x30, DELIVER_EXTERNAL, false, 0));
        ck_assert_msg(cpu->rip == HANDLER + rows[i].vector * 16, "row %u", i);
        ck_assert_msg(peek(s, cpu->gpr[GPR_RSP], 4) == rows[i].code, "row %u", i);
    }
}
END_TEST

START_TEST(sixteen_bit_gates_push_words)
{
    set_gate(s, SYS_IDT + 0x30 * 8, K_CODE, 0x1234, 6, 0, 0, false);
    ck_assert(cpu_deliver(cpu, 0x30, DELIVER_EXTERNAL, false, 0));
    ck_assert_uint_eq(cpu->rip, 0x1234);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x8000 - 6);
    ck_assert_uint_eq(peek(s, 0x7ffa, 2), 0x5000);
}
END_TEST

START_TEST(trap_gates_leave_if_alone)
{
    cpu->rflags |= FLAG_IF;
    set_gate(s, SYS_IDT + 0x30 * 8, K_CODE, 0x1234, 15, 0, 0, false);
    ck_assert(cpu_deliver(cpu, 0x30, DELIVER_EXTERNAL, false, 0));
    ck_assert_uint_ne(cpu->rflags & FLAG_IF, 0);
}
END_TEST

START_TEST(v86_frames_hold_the_data_segments_which_become_null)
{
    cpu->rflags |= FLAG_VM | FLAG_IF;
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cpu_load_segment_real(cpu, i, (uint16_t)(0x1000 + i));
    }
    cpu->gpr[GPR_RSP] = 0x7000;
    ck_assert_uint_eq(cpu->cpl, 3);
    ck_assert(cpu_deliver(cpu, EXC_GP, DELIVER_FAULT, true, 0));
    check_handler(EXC_GP, K_CODE);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x9000 - 40);
    ck_assert_uint_eq(peek(s, 0x9000 - 4, 4), 0x1000 + SEG_GS);
    ck_assert_uint_eq(peek(s, 0x9000 - 8, 4), 0x1000 + SEG_FS);
    ck_assert_uint_eq(peek(s, 0x9000 - 12, 4), 0x1000 + SEG_DS);
    ck_assert_uint_eq(peek(s, 0x9000 - 16, 4), 0x1000 + SEG_ES);
    ck_assert_uint_eq(peek(s, 0x9000 - 20, 4), 0x1000 + SEG_SS);
    ck_assert_uint_ne(peek(s, 0x9000 - 28, 4) & FLAG_VM, 0);
    ck_assert_uint_eq(cpu->rflags & FLAG_VM, 0);
    ck_assert_uint_ne(cpu->seg[SEG_DS].attr & SEG_NULL, 0);
    ck_assert_uint_eq(cpu->seg[SEG_DS].selector, 0);

    /* and IRET goes back */
    cpu->gpr[GPR_RSP] += 4;
    cpu->cr0 |= CR0_PE;
    ck_assert_int_eq(RAISED(cpu, cpu_iret(cpu, 4)), -1);
    ck_assert_uint_ne(cpu->mode & MODE_VM, 0);
    ck_assert_uint_eq(cpu->seg[SEG_FS].selector, 0x1000 + SEG_FS);
    ck_assert_uint_eq(cpu->seg[SEG_FS].base, (0x1000 + SEG_FS) << 4);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x7000);
}
END_TEST

/* -- Faults within faults ---------------------------------------------------------------------------- */

/* Deliver `first` while its gate raises #NP (contributory), or #PF by lying in no page. */
START_TEST(contributory_faults_double_and_benign_ones_do_not)
{
    static const struct {
        unsigned first;
        DeliverKind kind;
        unsigned handler;
    } rows[] = {
        {EXC_UD, DELIVER_FAULT, EXC_NP},   {EXC_DE, DELIVER_FAULT, EXC_DF},
        {EXC_TS, DELIVER_FAULT, EXC_DF},   {EXC_SS, DELIVER_FAULT, EXC_DF},
        {EXC_GP, DELIVER_FAULT, EXC_DF},   {EXC_PF, DELIVER_FAULT, EXC_DF},
        {EXC_DB, DELIVER_TRAP, EXC_NP},    {EXC_GP, DELIVER_EXTERNAL, EXC_NP},
        {EXC_NMI, DELIVER_NMI, EXC_NP},    {EXC_MF, DELIVER_FAULT, EXC_NP},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        system_protected(s);
        poke(s, SYS_IDT + rows[i].first * 8 + 4, 4, 0x0e00); /* not present */
        ck_assert(cpu_deliver(cpu, rows[i].first, rows[i].kind, rows[i].first >= 10, 0));
        ck_assert_msg(cpu->rip == HANDLER + rows[i].handler * 16, "row %u: %#x", i,
                      (unsigned)cpu->rip);
        if (rows[i].handler == EXC_DF) {
            ck_assert_uint_eq(peek(s, cpu->gpr[GPR_RSP], 4), 0);
        } else {
            ck_assert_uint_eq(peek(s, cpu->gpr[GPR_RSP], 4), rows[i].first * 8 + 3);
        }
    }
}
END_TEST

START_TEST(a_fault_during_double_fault_shuts_down)
{
    poke(s, SYS_IDT + EXC_GP * 8 + 4, 4, 0x0e00);
    poke(s, SYS_IDT + EXC_DF * 8 + 4, 4, 0x0e00);
    cpu->gpr[GPR_RAX] = 77;
    ck_assert(!cpu_deliver(cpu, EXC_GP, DELIVER_FAULT, true, 0));
    ck_assert_int_eq(cpu->activity, CPU_SHUTDOWN);
    ck_assert_uint_eq(cpu->rip, 0x5000);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x8000);
}
END_TEST

START_TEST(page_faults_in_delivery_follow_the_table)
{
    /* IDT beyond the mapped 16 MiB except for the entries we want: put it across the border */
    const uint64_t border = 16 << 20;

    system_long(s);
    cpu->idtr = (DescTable){border - 14 * 16, 0xfff}; /* vectors 0-13 mapped, 14.. not */
    for (unsigned v = 0; v < 14; v++) {
        set_gate(s, border - (14 - v) * 16, K_CODE64, HANDLER + v * 16, 14, 0, 0, true);
    }
    ck_assert(cpu_deliver(cpu, 0x20, DELIVER_EXTERNAL, false, 0)); /* #PF, then #PF again: #DF */
    check_handler(EXC_DF, K_CODE64);
    ck_assert_uint_eq(cpu->cr2, border + 0 * 16);

    system_long(s);
    cpu->idtr = (DescTable){border - 15 * 16, 0xfff}; /* #PF's own entry is mapped too */
    for (unsigned v = 0; v < 15; v++) {
        set_gate(s, border - (15 - v) * 16, K_CODE64, HANDLER + v * 16, 14, 0, 0, true);
    }
    ck_assert(cpu_deliver(cpu, 0x20, DELIVER_EXTERNAL, false, 0));
    check_handler(EXC_PF, K_CODE64);
    ck_assert_uint_eq(cpu->cr2, border + (0x20 - 15) * 16);
}
END_TEST

/* -- 64-bit ------------------------------------------------------------------------------------------ */

START_TEST(long_mode_pushes_five_words_on_an_aligned_stack)
{
    system_long(s);
    cpu->gpr[GPR_RSP] = 0x7fff;
    ck_assert(cpu_deliver(cpu, EXC_GP, DELIVER_FAULT, true, 0x10));
    check_handler(EXC_GP, K_CODE64);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x7ff0 - 48);
    ck_assert_uint_eq(peek(s, 0x7ff0 - 8, 8), K_DATA);
    ck_assert_uint_eq(peek(s, 0x7ff0 - 16, 8), 0x7fff);
    ck_assert_uint_eq(peek(s, 0x7ff0 - 32, 8), K_CODE64);
    ck_assert_uint_eq(peek(s, 0x7ff0 - 40, 8), 0x5000);
    ck_assert_uint_eq(peek(s, 0x7ff0 - 48, 8), 0x10);
    ck_assert_uint_eq(cpu->seg[SEG_SS].selector, K_DATA); /* same level: SS stays */
}
END_TEST

START_TEST(from_user_the_stack_segment_becomes_null)
{
    system_long(s);
    long_cpl3(s);
    cpu->gpr[GPR_RSP] = 0x7000;
    ck_assert(cpu_deliver(cpu, 0x40, DELIVER_SOFT, false, 0));
    check_handler(0x40, K_CODE64);
    ck_assert_uint_eq(cpu->cpl, 0);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x9000 - 40);
    ck_assert_uint_eq(cpu->seg[SEG_SS].selector, 0);
    ck_assert_uint_ne(cpu->seg[SEG_SS].attr & SEG_NULL, 0);
    /* and back */
    ck_assert_int_eq(RAISED(cpu, cpu_iret(cpu, 8)), -1);
    ck_assert_uint_eq(cpu->cpl, 3);
    ck_assert_uint_eq(cpu->next_rip, 0x5002);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x7000);
    ck_assert_uint_eq(cpu->seg[SEG_SS].selector, U_DATA);
}
END_TEST

START_TEST(ist_switches_the_stack_at_the_same_level_and_nmi_is_masked)
{
    system_long(s);
    ck_assert(cpu_deliver(cpu, EXC_NMI, DELIVER_NMI, false, 0));
    check_handler(EXC_NMI, K_CODE64);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0xa000 - 40);
    ck_assert(cpu->nmi_masked);
    ck_assert_int_eq(RAISED(cpu, cpu_iret(cpu, 8)), -1);
    ck_assert(!cpu->nmi_masked);
}
END_TEST

START_TEST(a_non_canonical_stack_is_a_stack_fault)
{
    system_long(s);
    long_cpl3(s);
    poke(s, SYS_TSS_AT + 4, 8, BIT64(47) + 0x1000);
    set_gate(s, SYS_IDT + EXC_SS * 16, K_CODE64, HANDLER + EXC_SS * 16, 14, 0, 1, true); /* IST1 */
    ck_assert(cpu_deliver(cpu, 0x30, DELIVER_EXTERNAL, false, 0));
    check_handler(EXC_SS, K_CODE64);
    ck_assert_uint_eq(peek(s, cpu->gpr[GPR_RSP], 8), 1);
}
END_TEST

START_TEST(long_mode_wants_64_bit_handlers)
{
    system_long(s);
    set_gate(s, SYS_IDT + 0x30 * 16, K_CODE, HANDLER, 14, 0, 0, true);
    ck_assert(cpu_deliver(cpu, 0x30, DELIVER_EXTERNAL, false, 0));
    check_handler(EXC_GP, K_CODE64);
    ck_assert_uint_eq(peek(s, cpu->gpr[GPR_RSP], 8), K_CODE | 1);
}
END_TEST

/* -- Debug ---------------------------------------------------------------------------------------------- */

START_TEST(debug_traps_set_dr6_and_clear_gd)
{
    cpu->dr[7] = DR7_FIXED | DR7_GD;
    ck_assert_int_eq(RAISED(cpu, cpu_read_dr(cpu, 0)), EXC_DB);
    ck_assert_uint_eq(cpu->dr[6], DR6_FIXED | DR6_BD);
    ck_assert_uint_eq(cpu->dr[7], DR7_FIXED);
    cpu->pending_dbg = DR6_BS;
    ck_assert(cpu_debug_deliver(cpu, DR6_BS, DELIVER_TRAP));
    check_handler(EXC_DB, K_CODE);
    ck_assert_uint_eq(cpu->dr[6], DR6_FIXED | DR6_BD | DR6_BS);
    ck_assert_uint_eq(cpu->pending_dbg, 0);
}
END_TEST

START_TEST(dr4_and_dr5_are_aliases_unless_de)
{
    cpu_write_dr(cpu, 5, 0x55);
    ck_assert_uint_eq(cpu->dr[7], 0x455);
    cpu->cr4 |= CR4_DE;
    ck_assert_int_eq(RAISED(cpu, cpu_write_dr(cpu, 4, 0)), EXC_UD);
    ck_assert_int_eq(RAISED(cpu, cpu_write_dr(cpu, 6, BIT64(32))), EXC_GP);
}
END_TEST

START_TEST(instruction_and_port_breakpoints_match_their_ranges)
{
    cpu->dr[1] = 0x1234;
    cpu->dr[7] = DR7_FIXED | 4;
    ck_assert(cpu_debug_exec_armed(cpu));
    ck_assert_uint_eq(cpu_debug_exec(cpu, guest_lin(0x1234)), 2);
    ck_assert_uint_eq(cpu_debug_exec(cpu, guest_lin(0x1235)), 0);
    cpu->dr[7] = DR7_FIXED | 4 | BREAK_IO << 20 | 1 << 22; /* two ports */
    cpu->cr4 |= CR4_DE;
    cpu_debug_io(cpu, 0x1233, 1);
    ck_assert_uint_eq(cpu->pending_dbg, 0);
    cpu_debug_io(cpu, 0x1235, 1);
    ck_assert_uint_eq(cpu->pending_dbg, 2);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("exception");
    TCase *t = tcase_create("exception");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, real_mode_pushes_flags_cs_ip_and_no_error_code);
    tcase_add_test(t, real_mode_without_room_in_the_table_shuts_down);
    tcase_add_test(t, same_level_pushes_three_words_and_the_error_code);
    tcase_add_test(t, rf_is_pushed_set_for_faults_only);
    tcase_add_test(t, soft_interrupts_return_behind_the_instruction_and_need_the_gates_dpl);
    tcase_add_test(t, inner_level_takes_the_stack_of_the_tss);
    tcase_add_test(t, a_bad_inner_stack_is_reported_with_ext_set);
    tcase_add_test(t, bad_gates_are_reported_by_idt_entry_or_selector);
    tcase_add_test(t, sixteen_bit_gates_push_words);
    tcase_add_test(t, trap_gates_leave_if_alone);
    tcase_add_test(t, v86_frames_hold_the_data_segments_which_become_null);
    tcase_add_test(t, contributory_faults_double_and_benign_ones_do_not);
    tcase_add_test(t, a_fault_during_double_fault_shuts_down);
    tcase_add_test(t, page_faults_in_delivery_follow_the_table);
    tcase_add_test(t, long_mode_pushes_five_words_on_an_aligned_stack);
    tcase_add_test(t, from_user_the_stack_segment_becomes_null);
    tcase_add_test(t, ist_switches_the_stack_at_the_same_level_and_nmi_is_masked);
    tcase_add_test(t, a_non_canonical_stack_is_a_stack_fault);
    tcase_add_test(t, long_mode_wants_64_bit_handlers);
    tcase_add_test(t, debug_traps_set_dr6_and_clear_gd);
    tcase_add_test(t, dr4_and_dr5_are_aliases_unless_de);
    tcase_add_test(t, instruction_and_port_breakpoints_match_their_ranges);
    suite_add_tcase(suite, t);
    return suite;
}
