/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpu-x86/segment.c, far.c, task.c: loads, linear addresses, far transfers, gates, task switches. */
#include "cpu-x86/segment.h"

#include "cpu-x86/debug.h"
#include "tests/cpu-x86/system-cpu.h"
#include "tests/suite.h"

static SystemCpu *s;
static CpuState *cpu;

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

/* -- Loads ------------------------------------------------------------------------------------------ */

typedef struct {
    unsigned cpl, seg;
    uint16_t selector;
    int vector;                /* -1: loads */
    uint32_t code;
} Load;

START_TEST(segment_loads_are_checked)
{
    static const Load rows[] = {
        {0, SEG_DS, 0, -1, 0},
        {0, SEG_SS, 0, EXC_GP, 0},
        {0, SEG_DS, K_DATA, -1, 0},
        {0, SEG_DS, U_DATA, -1, 0},
        {3, SEG_DS, K_DATA, EXC_GP, K_DATA},
        {3, SEG_DS, K_DATA | 3, EXC_GP, K_DATA},
        {0, SEG_DS, K_DATA | 3, EXC_GP, K_DATA},
        {3, SEG_ES, U_DATA, -1, 0},
        {0, SEG_DS, EXECONLY, EXC_GP, EXECONLY},
        {0, SEG_DS, K_CODE, -1, 0},
        {3, SEG_FS, CONFORMING | 3, -1, 0},
        {0, SEG_DS, ABSENT, EXC_NP, ABSENT},
        {0, SEG_SS, ABSENT, EXC_SS, ABSENT},
        {0, SEG_SS, READONLY, EXC_GP, READONLY},
        {0, SEG_DS, READONLY, -1, 0},
        {0, SEG_SS, U_DATA, EXC_GP, U_DATA & ~3},
        {3, SEG_SS, U_DATA, -1, 0},
        {0, SEG_DS, TSS1, EXC_GP, TSS1},
        {0, SEG_DS, 0xfff8, EXC_GP, 0xfff8},
        {0, SEG_DS, 0xfffc, EXC_GP, 0xfffc},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        Segment before;
        int got;

        at_cpl(s, rows[i].cpl);
        before = cpu->seg[rows[i].seg];
        got = RAISED(cpu, cpu_load_segment(cpu, rows[i].seg, rows[i].selector));
        ck_assert_msg(got == rows[i].vector, "row %u: %d", i, got);
        if (got >= 0) {
            ck_assert_msg(cpu->exc.code == rows[i].code, "row %u: %#x", i, cpu->exc.code);
            ck_assert_mem_eq(&cpu->seg[rows[i].seg], &before, sizeof before);
        } else {
            ck_assert_uint_eq(cpu->seg[rows[i].seg].selector, rows[i].selector);
        }
    }
}
END_TEST

START_TEST(a_load_sets_the_accessed_bit_and_takes_the_local_table)
{
    set_desc(s, 0xc, 0x1000, 0x1ff, SEG_P | SEG_S | SEG_RW);
    ck_assert_int_eq(RAISED(cpu, cpu_load_segment(cpu, SEG_FS, 0xc)), -1);
    ck_assert_uint_eq(cpu->seg[SEG_FS].base, 0x1000);
    ck_assert_uint_eq(cpu->seg[SEG_FS].limit, 0x1ff);
    ck_assert_uint_ne(peek(s, SYS_LDT + 8 + 4, 4) & SEG_A, 0);
}
END_TEST

START_TEST(null_stack_segments_load_in_64_bit_mode_above_ring_3)
{
    system_long(s);
    ck_assert_int_eq(RAISED(cpu, cpu_load_segment(cpu, SEG_SS, 0)), -1);
    ck_assert_int_eq(RAISED(cpu, cpu_load_segment(cpu, SEG_SS, 3)), EXC_GP);
    long_cpl3(s);
    ck_assert_int_eq(RAISED(cpu, cpu_load_segment(cpu, SEG_SS, 3)), EXC_GP);
    ck_assert_int_eq(RAISED(cpu, cpu_load_segment(cpu, SEG_DS, 3)), -1);
}
END_TEST

/* -- Linear addresses ---------------------------------------------------------------------------------- */

typedef struct {
    uint16_t selector;
    uint64_t off;
    unsigned size;
    bool write;
    int vector;
} Linear;

START_TEST(limits_and_types_are_checked)
{
    static const Linear rows[] = {
        {K_DATA, 0xfffffffc, 4, true, -1},    {K_DATA, 0xfffffffd, 4, true, -1}, /* wraps */
        {K_DATA16, 0xfffc, 4, true, -1},      {K_DATA16, 0xfffd, 4, true, EXC_GP},
        {DOWN, 0xfffff, 1, true, EXC_GP},     {DOWN, 0x100000, 4, true, -1},
        {DOWN, 0xfffffffd, 4, true, EXC_GP},  {READONLY, 0, 4, false, -1},
        {READONLY, 0, 4, true, EXC_GP},       {K_CODE, 0, 4, false, -1},
        {K_CODE, 0, 4, true, EXC_GP},         {0, 0, 1, false, EXC_GP},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        int got;

        ck_assert_int_eq(RAISED(cpu, cpu_load_segment(cpu, SEG_FS, rows[i].selector)), -1);
        got = RAISED(cpu, seg_linear(cpu, SEG_FS, rows[i].off, rows[i].size, rows[i].write));
        ck_assert_msg(got == rows[i].vector, "row %u: %d", i, got);
    }
    load_flat(cpu, SEG_SS, K_DATA, DATA_ATTR);
    cpu->seg[SEG_SS].limit = 0xff;
    cpu_update_mode(cpu);
    ck_assert_int_eq(RAISED(cpu, seg_linear(cpu, SEG_SS, 0x100, 1, false)), EXC_SS);
}
END_TEST

START_TEST(addresses_in_64_bit_mode_are_canonical)
{
    system_long(s);
    cpu->seg[SEG_GS].base = 0xffff800000000000;
    ck_assert_int_eq(RAISED(cpu, seg_linear(cpu, SEG_DS, BIT64(47), 1, false)), EXC_GP);
    ck_assert_int_eq(RAISED(cpu, seg_linear(cpu, SEG_SS, BIT64(47), 1, false)), EXC_SS);
    ck_assert_int_eq(RAISED(cpu, seg_linear(cpu, SEG_DS, BIT64(47) - 4, 8, false)), EXC_GP);
    ck_assert_uint_eq(seg_linear(cpu, SEG_GS, 0x10, 8, false).v, 0xffff800000000010);
    ck_assert_uint_eq(seg_linear(cpu, SEG_DS, 0x10, 8, true).v, 0x10);
}
END_TEST

START_TEST(ports_follow_iopl_and_the_bitmap)
{
    at_cpl(s, 3);
    poke(s, SYS_TSS_AT + 0x66, 2, 0x68);
    poke(s, SYS_TSS_AT + 0x68 + 0x60 / 8, 2, 0x0010); /* port 0x64 is denied */
    ck_assert(cpu_port_allowed(cpu, 0x60, 4));
    ck_assert(!cpu_port_allowed(cpu, 0x64, 1));
    ck_assert(!cpu_port_allowed(cpu, 0x63, 2));
    ck_assert(cpu_port_allowed(cpu, 0x65, 1));
    ck_assert(!cpu_port_allowed(cpu, 0xffff, 1)); /* its second byte is beyond the limit */
    cpu->rflags |= FLAG_IOPL;
    ck_assert(cpu_port_allowed(cpu, 0x64, 1));
    cpu->rflags |= FLAG_VM; /* IOPL does not help here */
    cpu_update_mode(cpu);
    ck_assert(!cpu_port_allowed(cpu, 0x64, 1));
}
END_TEST

/* -- Far transfers ---------------------------------------------------------------------------------------- */

static int far_jump(unsigned cpl, uint16_t selector, uint64_t off)
{
    at_cpl(s, cpl);
    return RAISED(cpu, cpu_far_jump(cpu, selector, off, 4));
}

START_TEST(far_jumps_are_checked)
{
    static const struct {
        unsigned cpl;
        uint16_t selector;
        int vector;
        uint32_t code;
    } rows[] = {
        {0, K_CODE, -1, 0},           {3, K_CODE, EXC_GP, K_CODE}, {3, U_CODE, -1, 0},
        {0, U_CODE, EXC_GP, U_CODE & ~3}, {0, 0, EXC_GP, 0},       {0, K_DATA, EXC_GP, K_DATA},
        {3, CONFORMING, -1, 0},       {0, 0xfff8, EXC_GP, 0xfff8}, {0, LDT, EXC_GP, LDT},
        {0, TSS1, EXC_GP, TSS1},      {3, TSS2, EXC_GP, TSS2},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        int got = far_jump(rows[i].cpl, rows[i].selector, 0x1234);

        ck_assert_msg(got == rows[i].vector, "row %u: %d", i, got);
        if (got >= 0) {
            ck_assert_msg(cpu->exc.code == rows[i].code, "row %u: %#x", i, cpu->exc.code);
        } else {
            ck_assert_uint_eq(cpu->next_rip, 0x1234);
            ck_assert_uint_eq(cpu->cpl, rows[i].cpl);
            ck_assert_uint_eq(cpu->seg[SEG_CS].selector, (rows[i].selector & ~3u) | rows[i].cpl);
        }
    }
    ck_assert_int_eq(far_jump(0, K_CODE16, 0x10000), EXC_GP);
    ck_assert_uint_eq(cpu->exc.code, 0);
}
END_TEST

START_TEST(far_call_and_return_match)
{
    ck_assert_int_eq(RAISED(cpu, cpu_far_call(cpu, K_CODE, 0x1234, 4)), -1);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x7ff8);
    ck_assert_uint_eq(peek(s, 0x7ff8, 4), 0x5002);
    ck_assert_int_eq(RAISED(cpu, cpu_far_return(cpu, 4, 8)), -1);
    ck_assert_uint_eq(cpu->next_rip, 0x5002);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x8008);
}
END_TEST

START_TEST(a_call_gate_switches_stacks_and_copies_parameters)
{
    set_gate(s, SYS_GDT + GATE, K_CODE, 0x4321, 12, 3, 2, false);
    at_cpl(s, 3);
    cpu->gpr[GPR_RSP] = 0x7000;
    poke(s, 0x7000, 4, 0x11111111);
    poke(s, 0x7004, 4, 0x22222222);
    ck_assert_int_eq(RAISED(cpu, cpu_far_call(cpu, GATE | 3, 0, 4)), -1);
    ck_assert_uint_eq(cpu->next_rip, 0x4321);
    ck_assert_uint_eq(cpu->cpl, 0);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x9000 - 24);
    ck_assert_uint_eq(peek(s, 0x9000 - 24, 4), 0x5002);
    ck_assert_uint_eq(peek(s, 0x9000 - 20, 4), U_CODE);
    ck_assert_uint_eq(peek(s, 0x9000 - 16, 4), 0x11111111);
    ck_assert_uint_eq(peek(s, 0x9000 - 12, 4), 0x22222222);
    ck_assert_uint_eq(peek(s, 0x9000 - 8, 4), 0x7000);
    ck_assert_uint_eq(peek(s, 0x9000 - 4, 4), U_DATA);
    /* back, dropping the parameters on both stacks; a ring 0 segment in DS is lost */
    load_flat(cpu, SEG_DS, K_DATA, DATA_ATTR);
    ck_assert_int_eq(RAISED(cpu, cpu_far_return(cpu, 4, 8)), -1);
    ck_assert_uint_eq(cpu->cpl, 3);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x7008);
    ck_assert_uint_eq(cpu->seg[SEG_SS].selector, U_DATA);
    ck_assert_uint_ne(cpu->seg[SEG_DS].attr & SEG_NULL, 0);
    ck_assert_uint_eq(cpu->seg[SEG_ES].selector, U_DATA);
}
END_TEST

START_TEST(gates_are_checked)
{
    set_gate(s, SYS_GDT + GATE, K_CODE, 0x4321, 12, 0, 0, false);
    at_cpl(s, 3);
    ck_assert_int_eq(RAISED(cpu, cpu_far_call(cpu, GATE, 0, 4)), EXC_GP); /* DPL 0 */
    ck_assert_uint_eq(cpu->exc.code, GATE);
    set_gate(s, SYS_GDT + GATE, K_CODE, 0x4321, 12, 3, 0, false);
    ck_assert_int_eq(RAISED(cpu, cpu_far_jump(cpu, GATE, 0, 4)), EXC_GP); /* JMP inwards */
    ck_assert_uint_eq(cpu->exc.code, K_CODE);
    set_gate(s, SYS_GDT + GATE, K_DATA, 0x4321, 12, 3, 0, false);
    ck_assert_int_eq(RAISED(cpu, cpu_far_call(cpu, GATE, 0, 4)), EXC_GP);
    ck_assert_uint_eq(cpu->exc.code, K_DATA);
    ck_assert_uint_eq(cpu->cpl, 3);
}
END_TEST

START_TEST(a_64_bit_call_gate_enters_64_bit_code_with_a_null_stack_segment)
{
    system_long(s);
    set_gate(s, SYS_GDT + GATE, K_CODE64, 0x4321, 12, 3, 0, true);
    long_cpl3(s);
    cpu->gpr[GPR_RSP] = 0x7000;
    ck_assert_int_eq(RAISED(cpu, cpu_far_call(cpu, GATE, 0, 4)), -1);
    ck_assert_uint_eq(cpu->next_rip, 0x4321);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x9000 - 32);
    ck_assert_uint_eq(peek(s, 0x9000 - 32, 8), 0x5002);
    ck_assert_uint_eq(peek(s, 0x9000 - 16, 8), 0x7000);
    ck_assert_uint_ne(cpu->seg[SEG_SS].attr & SEG_NULL, 0);
    ck_assert_int_eq(RAISED(cpu, cpu_far_return(cpu, 8, 0)), -1);
    ck_assert_uint_eq(cpu->cpl, 3);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x7000);
}
END_TEST

START_TEST(long_mode_jumps_between_64_bit_and_compatibility_code)
{
    system_long(s);
    ck_assert_int_eq(RAISED(cpu, cpu_far_jump(cpu, K_CODE, 0x1234, 4)), -1);
    ck_assert_uint_eq(cpu->mode & (MODE_CS64 | MODE_CS32 | MODE_LMA), MODE_CS32 | MODE_LMA);
    ck_assert_int_eq(RAISED(cpu, cpu_far_jump(cpu, K_CODE64, 0x1234, 4)), -1);
    ck_assert_uint_ne(cpu->mode & MODE_CS64, 0);
    set_desc(s, K_CODE, 0, 0xfffff, CODE_ATTR | SEG_L); /* L and D: reserved */
    ck_assert_int_eq(RAISED(cpu, cpu_far_jump(cpu, K_CODE, 0x1234, 4)), EXC_GP);
    ck_assert_int_eq(RAISED(cpu, cpu_far_jump(cpu, TSS2, 0, 4)), EXC_GP); /* no tasks here */
}
END_TEST

/* -- IRET -------------------------------------------------------------------------------------------------- */

START_TEST(iret_changes_only_the_flags_it_may)
{
    at_cpl(s, 3);
    cpu->gpr[GPR_RSP] = 0x7000;
    poke(s, 0x7000, 4, 0x1234);
    poke(s, 0x7004, 4, U_CODE);
    poke(s, 0x7008, 4, FLAG_IF | FLAG_IOPL | FLAG_CF | FLAG_VM | FLAG_ID);
    ck_assert_int_eq(RAISED(cpu, cpu_iret(cpu, 4)), -1);
    ck_assert_uint_eq(cpu->rflags, FLAG_FIXED | FLAG_CF | FLAG_ID);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x700c);
    ck_assert_uint_eq(cpu->next_rip, 0x1234);
}
END_TEST

START_TEST(iret_to_a_bad_frame_faults_with_nothing_changed)
{
    static const struct {
        uint32_t rip, cs, flags, sp, ss;
        int vector;
        uint32_t code;
    } rows[] = {
        {0, 0, 2, 0, 0, EXC_GP, 0},
        {0, K_DATA, 2, 0, 0, EXC_GP, K_DATA},
        {0, U_CODE, 2, 0x7000, K_DATA, EXC_GP, K_DATA},
        {0, U_CODE, 2, 0x7000, 0, EXC_GP, 0},
        {0, U_CODE, 2, 0x7000, ABSENT | 3, EXC_GP, ABSENT},
        {0x10000, K_CODE16, 2, 0, 0, EXC_GP, 0},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        int got;

        at_cpl(s, 0);
        cpu->gpr[GPR_RSP] = 0x7000;
        poke(s, 0x7000, 4, rows[i].rip);
        poke(s, 0x7004, 4, rows[i].cs);
        poke(s, 0x7008, 4, rows[i].flags);
        poke(s, 0x700c, 4, rows[i].sp);
        poke(s, 0x7010, 4, rows[i].ss);
        got = RAISED(cpu, cpu_iret(cpu, 4));
        ck_assert_msg(got == rows[i].vector && cpu->exc.code == rows[i].code, "row %u: %d %#x", i,
                      got, cpu->exc.code);
        ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x7000);
        ck_assert_uint_eq(cpu->seg[SEG_CS].selector, K_CODE);
    }
}
END_TEST

/* -- Tasks --------------------------------------------------------------------------------------------------- */

static void make_task2(void)
{
    poke(s, SYS_TSS2_AT + 0x20, 4, 0x6000);                /* EIP */
    poke(s, SYS_TSS2_AT + 0x24, 4, FLAG_FIXED | FLAG_CF);
    for (unsigned i = 0; i < 8; i++) {
        poke(s, SYS_TSS2_AT + 0x28 + i * 4, 4, 0x100 * i); /* EAX ... EDI */
    }
    for (unsigned i = 0; i < 6; i++) {
        poke(s, SYS_TSS2_AT + 0x48 + i * 4, 4, i == SEG_CS ? K_CODE : K_DATA);
    }
    poke(s, SYS_TSS2_AT + 0x60, 4, LDT);
    poke(s, SYS_TSS2_AT + 0x64, 4, 0);
}

static unsigned tss_type(unsigned selector)
{
    return peek(s, SYS_GDT + selector + 5, 1) & 0xf;
}

START_TEST(a_task_call_nests_and_iret_comes_back)
{
    make_task2();
    cpu->gpr[GPR_RBX] = 0x1234;
    ck_assert_int_eq(RAISED(cpu, cpu_far_call(cpu, TSS2, 0, 4)), -1);
    ck_assert_uint_eq(cpu->next_rip, 0x6000);
    ck_assert_uint_eq(cpu->gpr[GPR_RBX], 0x300);
    ck_assert_uint_eq(cpu->rflags, FLAG_FIXED | FLAG_CF | FLAG_NT);
    ck_assert_uint_ne(cpu->cr0 & CR0_TS, 0);
    ck_assert_uint_eq(cpu->seg[SEG_TR].selector, TSS2);
    ck_assert_uint_eq(peek(s, SYS_TSS2_AT, 2), TSS1);
    ck_assert_uint_eq(tss_type(TSS1), 11);
    ck_assert_uint_eq(tss_type(TSS2), 11);
    ck_assert_uint_eq(peek(s, SYS_TSS_AT + 0x20, 4), 0x5002);
    ck_assert_uint_eq(peek(s, SYS_TSS_AT + 0x34, 4), 0x1234);

    cpu->gpr[GPR_RBX] = 0x9999;
    ck_assert_int_eq(RAISED(cpu, cpu_iret(cpu, 4)), -1);
    ck_assert_uint_eq(cpu->next_rip, 0x5002);
    ck_assert_uint_eq(cpu->gpr[GPR_RBX], 0x1234);
    ck_assert_uint_eq(tss_type(TSS1), 11);
    ck_assert_uint_eq(tss_type(TSS2), 9);
    ck_assert_uint_eq(peek(s, SYS_TSS2_AT + 0x24, 4) & FLAG_NT, 0);
    ck_assert_uint_eq(peek(s, SYS_TSS2_AT + 0x34, 4), 0x9999);
}
END_TEST

START_TEST(a_task_jump_does_not_nest)
{
    make_task2();
    poke(s, SYS_TSS2_AT + 0x64, 2, 1); /* T */
    ck_assert_int_eq(RAISED(cpu, cpu_far_jump(cpu, TASK_GATE, 0, 4)), -1);
    ck_assert_uint_eq(cpu->next_rip, 0x6000);
    ck_assert_uint_eq(cpu->rflags & FLAG_NT, 0);
    ck_assert_uint_eq(tss_type(TSS1), 9);
    ck_assert_uint_eq(tss_type(TSS2), 11);
    ck_assert_uint_eq(cpu->pending_dbg, DR6_BT);
}
END_TEST

START_TEST(a_task_gate_delivers_with_the_error_code_on_the_new_stack)
{
    make_task2();
    set_gate(s, SYS_IDT + EXC_DF * 8, TSS2, 0, 5, 0, 0, false);
    poke(s, SYS_TSS2_AT + 0x38, 4, 0x7800); /* ESP */
    ck_assert(cpu_deliver(cpu, EXC_DF, DELIVER_FAULT, true, 0));
    ck_assert_uint_eq(cpu->rip, 0x6000);
    ck_assert_uint_eq(cpu->gpr[GPR_RSP], 0x77fc);
    ck_assert_uint_eq(peek(s, 0x77fc, 4), 0);
    ck_assert_uint_ne(cpu->rflags & FLAG_NT, 0);
    ck_assert_uint_eq(peek(s, SYS_TSS_AT + 0x20, 4), 0x5000);
}
END_TEST

START_TEST(a_bad_new_task_faults_in_the_new_task)
{
    make_task2();
    poke(s, SYS_TSS2_AT + 0x48 + SEG_SS * 4, 2, READONLY);
    ck_assert_int_eq(RAISED(cpu, cpu_far_jump(cpu, TSS2, 0, 4)), EXC_TS);
    ck_assert_uint_eq(cpu->exc.code, READONLY);
    ck_assert_uint_eq(cpu->seg[SEG_TR].selector, TSS2);
    ck_assert_uint_eq(cpu->rip, 0x6000);

    system_protected(s);
    make_task2();
    set_desc(s, TSS2, SYS_TSS2_AT, 0x66, SEG_P | 9 << 8); /* too short: the old task faults */
    ck_assert_int_eq(RAISED(cpu, cpu_far_jump(cpu, TSS2, 0, 4)), EXC_TS);
    ck_assert_uint_eq(cpu->exc.code, TSS2);
    ck_assert_uint_eq(cpu->seg[SEG_TR].selector, TSS1);
    ck_assert_uint_eq(cpu->rip, 0x5000);
}
END_TEST

START_TEST(a_16_bit_task_keeps_16_bits)
{
    poke(s, SYS_TSS2_AT + 0x0e, 2, 0x6000);
    poke(s, SYS_TSS2_AT + 0x10, 2, FLAG_FIXED);
    poke(s, SYS_TSS2_AT + 0x12, 2, 0xabcd); /* AX */
    for (unsigned i = 0; i < 4; i++) {
        poke(s, SYS_TSS2_AT + 0x22 + i * 2, 2, i == SEG_CS ? K_CODE16 : K_DATA16);
    }
    poke(s, SYS_TSS2_AT + 0x2a, 2, 0);
    ck_assert_int_eq(RAISED(cpu, cpu_far_call(cpu, TSS16, 0, 4)), -1);
    ck_assert_uint_eq(cpu->next_rip, 0x6000);
    ck_assert_uint_eq(cpu->gpr[GPR_RAX] & 0xffff, 0xabcd);
    ck_assert_uint_ne(cpu->seg[SEG_LDTR].attr & SEG_NULL, 0);
    ck_assert_uint_ne(cpu->seg[SEG_FS].attr & SEG_NULL, 0);
    ck_assert_int_eq(RAISED(cpu, cpu_iret(cpu, 2)), -1);
    ck_assert_uint_eq(cpu->next_rip, 0x5002);
    ck_assert_uint_eq(cpu->seg[SEG_CS].selector, K_CODE);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("segment");
    TCase *t = tcase_create("segment");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, segment_loads_are_checked);
    tcase_add_test(t, a_load_sets_the_accessed_bit_and_takes_the_local_table);
    tcase_add_test(t, null_stack_segments_load_in_64_bit_mode_above_ring_3);
    tcase_add_test(t, limits_and_types_are_checked);
    tcase_add_test(t, addresses_in_64_bit_mode_are_canonical);
    tcase_add_test(t, ports_follow_iopl_and_the_bitmap);
    tcase_add_test(t, far_jumps_are_checked);
    tcase_add_test(t, far_call_and_return_match);
    tcase_add_test(t, a_call_gate_switches_stacks_and_copies_parameters);
    tcase_add_test(t, gates_are_checked);
    tcase_add_test(t, a_64_bit_call_gate_enters_64_bit_code_with_a_null_stack_segment);
    tcase_add_test(t, long_mode_jumps_between_64_bit_and_compatibility_code);
    tcase_add_test(t, iret_changes_only_the_flags_it_may);
    tcase_add_test(t, iret_to_a_bad_frame_faults_with_nothing_changed);
    tcase_add_test(t, a_task_call_nests_and_iret_comes_back);
    tcase_add_test(t, a_task_jump_does_not_nest);
    tcase_add_test(t, a_task_gate_delivers_with_the_error_code_on_the_new_stack);
    tcase_add_test(t, a_bad_new_task_faults_in_the_new_task);
    tcase_add_test(t, a_16_bit_task_keeps_16_bits);
    suite_add_tcase(suite, t);
    return suite;
}
