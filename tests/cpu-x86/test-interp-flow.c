/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interpreter around instructions: modes, faults, code that changes, events, steps. */
#include "tests/cpu-x86/guest-cpu.h"

#include "cpu-x86/debug.h"

#include <check.h>
#include <stdlib.h>

static GuestCpu g;

static void init(GuestMode mode)
{
    guest_cpu_init(&g, mode);
}

static void teardown(void)
{
    guest_cpu_clear(&g);
}

#define CODE(...) guest_code(&g, (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static void code_at(uint64_t at, const char *bytes, size_t len)
{
    guest_write(&g, at, bytes, len);
    g.cpu->rip = at;
}

/* The page of `lin` becomes not present (long mode; its 2 MiB page is split). */
static void unmap_page(uint64_t lin)
{
    uint64_t *pd = (uint64_t *)guest_ram(&g, GUEST_TABLES + 0x2000);
    uint64_t *pt = (uint64_t *)guest_ram(&g, GUEST_TABLES + 0x3000);

    for (unsigned i = 0; i < 512; i++) {
        pt[i] = ((lin >> 21 << 21) + i * 4096) | 7;
    }
    pt[lin >> 12 & 511] = 0;
    pd[lin >> 21] = (GUEST_TABLES + 0x3000) | 7;
    tlb_flush_all(&g.cpu->mmu.tlb);
}

/* -- Modes and decoding ------------------------------------------------------------------------ */

START_TEST(the_same_bytes_mean_what_the_mode_says)
{
    /* b8 imm16/32; 40: inc or REX */
    static const struct {
        GuestMode mode;
        uint64_t rax, rip;
    } want[] = {
        {GUEST_REAL16, 0x2211, GUEST_CODE + 3}, {GUEST_PROT16, 0x2211, GUEST_CODE + 3},
        {GUEST_PROT32, 0x44332211, GUEST_CODE + 5}, {GUEST_COMPAT32, 0x44332211, GUEST_CODE + 5},
        {GUEST_LONG64, 0x44332211, GUEST_CODE + 5},
    };

    init(want[_i].mode);
    CODE(0xb8, 0x11, 0x22, 0x33, 0x44);
    ck_assert_int_eq(guest_run(&g, 1), CPU_EXIT_BUDGET);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], want[_i].rax);
    ck_assert_uint_eq(g.cpu->rip, want[_i].rip);
    teardown();
}
END_TEST

/* clang-format off */
static const struct {
    const char *name;
    GuestMode mode;
    const char *code;
    unsigned len;
    int vector;
} raising[] = {
    {"ud2", GUEST_LONG64, "\x0f\x0b", 2, EXC_UD},
    {"lock on a register", GUEST_LONG64, "\xf0\x01\xc0", 3, EXC_UD},
    {"lock mov", GUEST_LONG64, "\xf0\x89\x03", 3, EXC_UD},
    {"16 bytes", GUEST_LONG64, "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90", 16, EXC_GP},
    {"push es in 64 bits", GUEST_LONG64, "\x06", 1, EXC_UD},
    {"daa in 64 bits", GUEST_LONG64, "\x27", 1, EXC_UD},
    {"mov cs, ax", GUEST_PROT32, "\x8e\xc8", 2, EXC_UD},
    {"les with a register", GUEST_PROT32, "\xc4\xc0", 2, EXC_UD},
    {"div by 0", GUEST_LONG64, "\x31\xc9\xf7\xf1", 4, EXC_DE},
    {"aam 0", GUEST_REAL16, "\xd4\x00", 2, EXC_DE},
    {"int 0x21", GUEST_REAL16, "\xcd\x21", 2, 0x21},
    {"int3", GUEST_LONG64, "\xcc", 1, EXC_BP},
    {"into with OF", GUEST_PROT32, "\xb0\x7f\x04\x01\xce", 5, EXC_OF},
    {"bound", GUEST_PROT32, "\xb8\xff\xff\xff\xff\x62\x05\x00\xa0\x00\x00", 11, EXC_BR},
    {"word at ffff in real mode", GUEST_REAL16, "\xa1\xff\xff", 3, EXC_GP},
    {"word at ss:ffff in real mode", GUEST_REAL16, "\x36\xa1\xff\xff", 4, EXC_SS},
    {"jump beyond the limit", GUEST_REAL16, "\x66\xe9\x00\x00\x01\x00", 6, EXC_GP},
    {"not canonical", GUEST_LONG64, "\x48\xb8\x00\x00\x00\x00\x00\x80\x00\x00\x8a\x00", 12, EXC_GP},
    {"jump, not canonical", GUEST_LONG64, "\x48\xb8\x00\x00\x00\x00\x00\x80\x00\x00\xff\xe0", 12, EXC_GP},
    {"cmpxchg16b unaligned", GUEST_LONG64, "\xbb\x08\xa0\x00\x00\x48\x0f\xc7\x0b", 9, EXC_GP},
};
/* clang-format on */

START_TEST(what_must_raise_raises)
{
    init(raising[_i].mode);
    code_at(GUEST_CODE, raising[_i].code, raising[_i].len);
    guest_run(&g, 3);
    ck_assert_msg(guest_vector(&g) == raising[_i].vector, "%s: vector %d at rip %lx", raising[_i].name,
                  guest_vector(&g), (unsigned long)g.cpu->rip);
    teardown();
}
END_TEST

START_TEST(without_the_feature_lzcnt_is_bsr_and_movbe_is_undefined)
{
    guest_cpu_init_model(&g, GUEST_LONG64, "qemu64");
    CODE(0xb9, 0x00, 0x01, 0x00, 0x00, 0xf3, 0x0f, 0xbd, 0xc1); /* mov ecx, 0x100; lzcnt eax, ecx */
    guest_run(&g, 2);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 8);
    CODE(0x0f, 0x38, 0xf0, 0x04, 0x25, 0x00, 0xa0, 0x00, 0x00);
    guest_run(&g, 1);
    ck_assert_int_eq(guest_vector(&g), EXC_UD);
    teardown();
}
END_TEST

/* -- Page borders ------------------------------------------------------------------------------ */

START_TEST(an_instruction_may_cross_pages_again_and_again)
{
    init(GUEST_LONG64);
    for (unsigned i = 0; i < 5; i++) {
        code_at(0x8ffe, "\xb8\x78\x56\x34\x12\xff\xc0", 7);
        g.cpu->gpr[GPR_RAX] = 0;
        guest_run(&g, 2);
        ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 0x12345679);
    }
    guest_write(&g, 0x9001, "\x99", 1); /* its second half changes */
    g.cpu->rip = 0x8ffe;
    guest_run(&g, 1);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 0x12995678);
    teardown();
}
END_TEST

START_TEST(a_fetch_fault_names_the_page_that_is_missing)
{
    init(GUEST_LONG64);
    unmap_page(0x9000);
    code_at(0x8fff, "\xb8", 1);
    guest_run(&g, 1);
    ck_assert_int_eq(guest_vector(&g), EXC_PF);
    ck_assert_uint_eq(g.cpu->cr2, 0x9000);
    code_at(0x8fff, "\x90", 1); /* fits: only the next fetch faults */
    guest_run(&g, 1);
    ck_assert_uint_eq(g.cpu->rip, 0x9000);
    guest_run(&g, 1);
    ck_assert_int_eq(guest_vector(&g), EXC_PF);
    teardown();
}
END_TEST

START_TEST(a_repeated_move_stops_at_the_missing_page_and_can_go_on)
{
    init(GUEST_LONG64);
    unmap_page(GUEST_BIG_DATA + 0x2000);
    CODE(0xf3, 0xa4); /* rep movsb */
    g.cpu->gpr[GPR_RSI] = GUEST_BIG_DATA + 0x10000;
    g.cpu->gpr[GPR_RDI] = GUEST_BIG_DATA + 0x1ff0;
    g.cpu->gpr[GPR_RCX] = 100;
    guest_run(&g, 1);
    ck_assert_int_eq(guest_vector(&g), EXC_PF);
    ck_assert_uint_eq(g.cpu->cr2, GUEST_BIG_DATA + 0x2000);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RCX], 84);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RDI], GUEST_BIG_DATA + 0x2000);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RSI], GUEST_BIG_DATA + 0x10010);
    teardown();
}
END_TEST

/* Both operands of CMPSB fault: which is named depends on whose processor it is (the oracle's tests have the host's). */
START_TEST(a_string_comparison_names_the_operand_that_it_reads_first)
{
    static const struct {
        const char *model;
        bool source_first;
        uint64_t cr2;
    } rows[] = {{"EPYC", false, GUEST_BIG_DATA + 0x1000}, {"Nehalem", false, GUEST_BIG_DATA + 0x1000},
                {"EPYC", true, GUEST_BIG_DATA}};

    guest_cpu_init_model(&g, GUEST_LONG64, rows[_i].model);
    g.cpu->cmps_source_first |= rows[_i].source_first;
    unmap_page(GUEST_BIG_DATA);
    memset(guest_ram(&g, GUEST_TABLES + 0x3000), 0, 16); /* the next one, too */
    CODE(0xa6);
    g.cpu->gpr[GPR_RSI] = GUEST_BIG_DATA;
    g.cpu->gpr[GPR_RDI] = GUEST_BIG_DATA + 0x1000;
    guest_run(&g, 1);
    ck_assert_int_eq(guest_vector(&g), EXC_PF);
    ck_assert_uint_eq(g.cpu->cr2, rows[_i].cr2);
    teardown();
}
END_TEST

START_TEST(a_faulting_instruction_leaves_registers_alone)
{
    static const char *const codes[] = {
        "\x50", "\x01\x03", "\x87\x03", "\x0f\xc1\x03", "\xff\x13", "\x8f\x03", "\xc9", "\xf3\xab",
    };

    init(GUEST_LONG64);
    unmap_page(GUEST_BIG_DATA);
    for (unsigned r = 0; r < 16; r++) {
        g.cpu->gpr[r] = GUEST_BIG_DATA + 8;
    }
    g.cpu->gpr[GPR_RSP] = _i == 5 ? GUEST_STACK : GUEST_BIG_DATA + 8;
    code_at(GUEST_CODE, codes[_i], strlen(codes[_i]));
    g.cpu->idtr.limit = 0; /* the handler's stack would fault: look at the triple fault */
    uint64_t before[16];
    memcpy(before, g.cpu->gpr, sizeof before);
    ck_assert_int_eq(guest_run(&g, 2), CPU_EXIT_SHUTDOWN);
    ck_assert_uint_eq(g.cpu->rip, GUEST_CODE);
    ck_assert_mem_eq(before, g.cpu->gpr, sizeof before);
    teardown();
}
END_TEST

/* -- Code that changes ------------------------------------------------------------------------- */

START_TEST(a_store_into_the_next_instruction_takes_effect_at_once)
{
    init(GUEST_LONG64);
    for (unsigned i = 0; i < 3; i++) {
        /* mov byte [rip+0], 0xc8 -> the next "inc eax" (ff c0) becomes "dec eax" (ff c8) */
        CODE(0xc6, 0x05, 0x01, 0x00, 0x00, 0x00, 0xc8, 0xff, 0xc0, 0xff, 0xc3);
        g.cpu->gpr[GPR_RAX] = 10;
        g.cpu->gpr[GPR_RBX] = 0;
        guest_run(&g, 3);
        ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 9);
        ck_assert_uint_eq(g.cpu->gpr[GPR_RBX], 1);
    }
    teardown();
}
END_TEST

START_TEST(code_written_from_outside_is_decoded_again)
{
    init(GUEST_LONG64);
    CODE(0xff, 0xc0, 0xeb, 0xfc); /* l: inc eax; jmp l */
    guest_run(&g, 100);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 50);
    guest_write(&g, GUEST_CODE + 1, "\xc8", 1);
    guest_run(&g, 100);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 0);
    teardown();
}
END_TEST

START_TEST(one_page_of_code_serves_two_modes)
{
    init(GUEST_LONG64);
    CODE(0x48, 0xff, 0xc0); /* inc rax; in 32 bits: dec eax, inc eax */
    g.cpu->gpr[GPR_RAX] = 0xffffffff;
    guest_run(&g, 1);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 0x100000000);
    g.mode = GUEST_COMPAT32;
    guest_enter_mode(&g);
    g.cpu->rip = GUEST_CODE;
    g.cpu->gpr[GPR_RAX] = 5;
    guest_run(&g, 1);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 4);
    ck_assert_uint_eq(g.cpu->rip, GUEST_CODE + 1);
    teardown();
}
END_TEST

/* -- Budget and events ------------------------------------------------------------------------- */

START_TEST(a_budget_is_spent_to_the_instruction)
{
    init(GUEST_LONG64);
    CODE(0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0);
    for (unsigned n = 1; n <= 5; n++) {
        g.cpu->rip = GUEST_CODE;
        g.cpu->gpr[GPR_RAX] = 0;
        g.cpu->insns = 0;
        ck_assert_int_eq(guest_run(&g, n), CPU_EXIT_BUDGET);
        ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], n);
        ck_assert_uint_eq(g.cpu->insns, n);
    }
    teardown();
}
END_TEST

START_TEST(sti_holds_interrupts_for_one_instruction)
{
    init(GUEST_LONG64);
    CODE(0xfb, 0xff, 0xc0, 0xff, 0xc0); /* sti; inc eax; inc eax */
    g.irq = 0x40;
    cpu_request(g.cpu, CPU_REQ_INTR);
    guest_run(&g, 1);
    ck_assert_int_eq(guest_vector(&g), -1);
    guest_run(&g, 1);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 1);
    guest_run(&g, 1);
    ck_assert_int_eq(guest_vector(&g), 0x40);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 1);
    ck_assert_uint_eq(*(uint64_t *)guest_ram(&g, g.cpu->gpr[GPR_RSP]), GUEST_CODE + 3);
    teardown();
}
END_TEST

START_TEST(an_interrupt_waits_while_if_is_clear)
{
    init(GUEST_LONG64);
    CODE(0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0);
    g.irq = 0x40;
    cpu_request(g.cpu, CPU_REQ_INTR);
    guest_run(&g, 3);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 3);
    ck_assert_int_eq(guest_vector(&g), -1);
    teardown();
}
END_TEST

START_TEST(an_nmi_is_masked_until_iret)
{
    init(GUEST_LONG64);
    CODE(0xff, 0xc0);
    cpu_request(g.cpu, CPU_REQ_NMI);
    guest_run(&g, 1);
    ck_assert_int_eq(guest_vector(&g), EXC_NMI);
    cpu_request(g.cpu, CPU_REQ_NMI);
    guest_run(&g, 4);
    ck_assert_uint_eq(g.cpu->rip, GUEST_HANDLERS + 16 * EXC_NMI);
    guest_write(&g, GUEST_HANDLERS + 16 * EXC_NMI, "\x48\xcf", 2); /* iretq */
    guest_run(&g, 1);
    ck_assert_uint_eq(g.cpu->rip, GUEST_CODE);
    guest_run(&g, 1);
    ck_assert_int_eq(guest_vector(&g), EXC_NMI);
    teardown();
}
END_TEST

START_TEST(tf_traps_after_each_instruction)
{
    init(GUEST_LONG64);
    CODE(0xff, 0xc0, 0xff, 0xc0);
    g.cpu->rflags |= FLAG_TF;
    guest_run(&g, 2); /* the instruction, the trap */
    ck_assert_int_eq(guest_vector(&g), EXC_DB);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 1);
    ck_assert_uint_eq(*(uint64_t *)guest_ram(&g, g.cpu->gpr[GPR_RSP]), GUEST_CODE + 2);
    ck_assert((g.cpu->dr[6] & DR6_BS) != 0);
    ck_assert((g.cpu->rflags & FLAG_TF) == 0);
    teardown();
}
END_TEST

START_TEST(tf_steps_a_repetition_by_one_element)
{
    init(GUEST_LONG64);
    CODE(0xf3, 0xa4);
    g.cpu->gpr[GPR_RSI] = GUEST_BIG_DATA;
    g.cpu->gpr[GPR_RDI] = GUEST_BIG_DATA + 0x1000;
    g.cpu->gpr[GPR_RCX] = 5;
    g.cpu->rflags |= FLAG_TF;
    guest_run(&g, 2);
    ck_assert_int_eq(guest_vector(&g), EXC_DB);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RCX], 4);
    ck_assert_uint_eq(*(uint64_t *)guest_ram(&g, g.cpu->gpr[GPR_RSP]), GUEST_CODE);
    teardown();
}
END_TEST

START_TEST(mov_ss_holds_traps_and_interrupts)
{
    init(GUEST_PROT32);
    CODE(0x66, 0xb8, GUEST_SEL_DATA, 0x00, 0x8e, 0xd0, 0xff, 0xc1, 0xff, 0xc1);
    guest_run(&g, 1);
    g.cpu->rflags |= FLAG_IF;
    g.irq = 0x41;
    guest_run(&g, 1); /* mov ss, ax */
    cpu_request(g.cpu, CPU_REQ_INTR);
    guest_run(&g, 1);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RCX], 1);
    guest_run(&g, 1);
    ck_assert_int_eq(guest_vector(&g), 0x41);
    teardown();
}
END_TEST

START_TEST(an_execution_breakpoint_faults_once)
{
    init(GUEST_LONG64);
    CODE(0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0);
    g.cpu->dr[0] = GUEST_CODE + 2;
    g.cpu->dr[7] |= 1;
    guest_run(&g, 2);
    ck_assert_int_eq(guest_vector(&g), EXC_DB);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 1);
    ck_assert_uint_eq(*(uint64_t *)guest_ram(&g, g.cpu->gpr[GPR_RSP]), GUEST_CODE + 2);
    g.cpu->rip = GUEST_CODE + 2; /* resume with RF */
    g.cpu->rflags |= FLAG_RF;
    guest_run(&g, 2);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 3);
    ck_assert((g.cpu->rflags & FLAG_RF) == 0);
    teardown();
}
END_TEST

START_TEST(a_data_breakpoint_traps_right_after_the_access)
{
    init(GUEST_LONG64);
    CODE(0xff, 0xc0, 0x89, 0x03, 0xff, 0xc1, 0xff, 0xc1); /* inc eax; mov [rbx], eax; inc ecx x2 */
    g.cpu->gpr[GPR_RBX] = GUEST_DATA;
    g.cpu->dr[0] = GUEST_DATA;
    g.cpu->dr[7] |= 1 | 1 << 16 | 3 << 18; /* four bytes, writes */
    guest_run(&g, 100);
    ck_assert_int_eq(guest_vector(&g), EXC_DB);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RCX], 0);
    ck_assert_uint_eq(*(uint64_t *)guest_ram(&g, g.cpu->gpr[GPR_RSP]), GUEST_CODE + 4);
    ck_assert_uint_eq(g.cpu->dr[6] & 15, 1);
    teardown();
}
END_TEST

static bool break_here(void *arg, uint64_t rip)
{
    return rip == *(uint64_t *)arg;
}

START_TEST(a_debugger_breakpoint_stops_before_its_instruction)
{
    uint64_t at = GUEST_CODE + 4;

    init(GUEST_LONG64);
    CODE(0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0);
    g.cpu->breakpoint_at = break_here;
    g.cpu->breakpoint_arg = &at;
    g.cpu->breakpoint_epoch = 1;
    ck_assert_int_eq(guest_run(&g, 100), CPU_EXIT_DEBUG);
    ck_assert_uint_eq(g.cpu->rip, at);
    ck_assert_int_eq(guest_run(&g, 1), CPU_EXIT_DEBUG);
    ck_assert_uint_eq(g.cpu->rip, at);
    g.cpu->breakpoint_at = NULL;
    ck_assert_int_eq(guest_run(&g, 1), CPU_EXIT_BUDGET);
    ck_assert_uint_eq(g.cpu->rip, at + 2);
    teardown();
}
END_TEST

START_TEST(a_debugger_watchpoint_stops_right_after_the_access)
{
    DebugWatch w = {GUEST_DATA + 2, 1, DEBUG_WATCH_WRITE};

    init(GUEST_LONG64);
    CODE(0x8b, 0x03, 0x89, 0x03, 0xff, 0xc1, 0xff, 0xc1); /* mov eax, [rbx]; mov [rbx], eax; inc ecx x2 */
    g.cpu->gpr[GPR_RBX] = GUEST_DATA;
    g.cpu->watch = &w;
    g.cpu->n_watch = 1;
    ck_assert_int_eq(guest_run(&g, 100), CPU_EXIT_REQUEST);
    ck_assert_ptr_eq(g.cpu->watch_hit, &w);
    ck_assert_uint_eq(g.cpu->rip, GUEST_CODE + 4);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RCX], 0);
    w.kinds = DEBUG_WATCH_READ;
    g.cpu->watch_hit = NULL;
    g.cpu->rip = GUEST_CODE;
    cpu_unrequest(g.cpu, CPU_REQ_KICK);
    ck_assert_int_eq(guest_run(&g, 100), CPU_EXIT_REQUEST);
    ck_assert_uint_eq(g.cpu->rip, GUEST_CODE + 2);
    teardown();
}
END_TEST

START_TEST(a_kick_returns_without_executing)
{
    init(GUEST_LONG64);
    CODE(0xff, 0xc0, 0xeb, 0xfc);
    cpu_request(g.cpu, CPU_REQ_KICK);
    ck_assert_int_eq(guest_run(&g, 1000), CPU_EXIT_REQUEST);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 0);
    ck_assert(cpu_requests(g.cpu) == CPU_REQ_KICK);
    teardown();
}
END_TEST

START_TEST(hlt_leaves_and_an_interrupt_is_work)
{
    init(GUEST_LONG64);
    CODE(0xfb, 0xf4, 0x90); /* sti; hlt; nop */
    ck_assert_int_eq(guest_run(&g, _i == 0 ? 1000 : 2), CPU_EXIT_HALT);
    ck_assert_int_eq(g.cpu->activity, CPU_HALTED);
    ck_assert_uint_eq(g.cpu->rip, GUEST_CODE + 2);
    ck_assert(!cpu_has_work(g.cpu));
    cpu_request(g.cpu, CPU_REQ_INTR);
    ck_assert(cpu_has_work(g.cpu));
    teardown();
}
END_TEST

/* -- Privilege and alignment ------------------------------------------------------------------- */

START_TEST(alignment_is_checked_only_at_cpl_3_with_am_and_ac)
{
    init(GUEST_LONG64);
    CODE(0x8b, 0x03); /* mov eax, [rbx] */
    g.cpu->gpr[GPR_RBX] = GUEST_DATA + 1;
    g.cpu->cr0 |= CR0_AM;
    g.cpu->rflags |= FLAG_AC;
    g.cpu->idtr.limit = 0;
    if (_i == 1) {
        g.cpu->seg[SEG_CS].attr |= 3 << SEG_DPL_SHIFT;
    }
    cpu_update_mode(g.cpu);
    ck_assert_int_eq(g.cpu->cpl, _i == 1 ? 3 : 0);
    ck_assert_int_eq(guest_run(&g, 2), _i == 1 ? CPU_EXIT_SHUTDOWN : CPU_EXIT_BUDGET);
    teardown();
}
END_TEST

START_TEST(user_code_may_not_touch_if_or_ports)
{
    static const char *const codes[] = {"\xfa", "\xfb", "\xec", "\xf4"};

    init(GUEST_LONG64);
    g.cpu->seg[SEG_CS].attr |= 3 << SEG_DPL_SHIFT;
    g.cpu->seg[SEG_CS].selector |= 3;
    g.cpu->seg[SEG_TR].limit = 0x67; /* no I/O bitmap */
    store_le(guest_ram(&g, g.cpu->seg[SEG_TR].base + 0x66), 2, 0x68);
    g.cpu->idtr.limit = 0;
    cpu_update_mode(g.cpu);
    code_at(GUEST_CODE, codes[_i], 1);
    ck_assert_int_eq(guest_run(&g, 2), CPU_EXIT_SHUTDOWN);
    ck_assert_uint_eq(g.cpu->rip, GUEST_CODE);
    teardown();
}
END_TEST

/* -- Old modes --------------------------------------------------------------------------------- */

START_TEST(sixteen_bit_addresses_wrap)
{
    init(GUEST_REAL16);
    CODE(0x8a, 0x40, 0x20); /* mov al, [bx+si+0x20] */
    g.cpu->gpr[GPR_RBX] = 0xfff0;
    g.cpu->gpr[GPR_RSI] = GUEST_DATA;
    *guest_ram(&g, GUEST_DATA + 0x10) = 0x5a;
    guest_run(&g, 1);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 0x5a);
    teardown();
}
END_TEST

START_TEST(real_mode_stack_is_16_bits_wide)
{
    init(GUEST_REAL16);
    CODE(0x68, 0x34, 0x12, 0x9c, 0x58, 0x5b); /* push 0x1234; pushf; pop ax; pop bx */
    g.cpu->gpr[GPR_RSP] = 0xabcd0000 | GUEST_STACK;
    guest_run(&g, 2);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RSP], 0xabcd0000 | (GUEST_STACK - 4));
    guest_run(&g, 2);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RBX], 0x1234);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX] & 2, 2);
    teardown();
}
END_TEST

START_TEST(a_real_mode_interrupt_comes_back)
{
    init(GUEST_REAL16);
    CODE(0xcd, 0x80, 0x40); /* int 0x80; inc ax */
    guest_write(&g, GUEST_HANDLERS + 16 * 0x80, "\x43\xcf", 2); /* inc bx; iret */
    g.cpu->rflags |= FLAG_IF | FLAG_CF;
    guest_run(&g, 4);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 1);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RBX], 1);
    ck_assert_uint_eq(g.cpu->rip, GUEST_CODE + 3);
    ck_assert((g.cpu->rflags & (FLAG_IF | FLAG_CF)) == (FLAG_IF | FLAG_CF));
    teardown();
}
END_TEST

START_TEST(pusha_popa_round_trip)
{
    init(GUEST_PROT32);
    CODE(0x60, 0x31, 0xc0, 0x31, 0xdb, 0x61); /* pushad; xor eax, eax; xor ebx, ebx; popad */
    for (unsigned r = 0; r < 8; r++) {
        g.cpu->gpr[r] = r == GPR_RSP ? GUEST_STACK : 0x1000 + r;
    }
    guest_run(&g, 4);
    for (unsigned r = 0; r < 8; r++) {
        ck_assert_uint_eq(g.cpu->gpr[r], r == GPR_RSP ? GUEST_STACK : 0x1000 + r);
    }
    ck_assert_uint_eq(*(uint32_t *)guest_ram(&g, GUEST_STACK - 32), 0x1007);
    ck_assert_uint_eq(*(uint32_t *)guest_ram(&g, GUEST_STACK - 20), GUEST_STACK);
    teardown();
}
END_TEST

/* Values from the manual's rules, worked by hand. */
START_TEST(decimal_adjustment)
{
    static const struct {
        uint8_t op, arg;
        uint16_t ax, flags_in, want, flags_out;
    } t[] = {
        {0x27, 0, 0x00ae, 0, 0x0014, FLAG_CF | FLAG_AF}, {0x27, 0, 0x0079, 0, 0x0079, 0},
        {0x27, 0, 0x009a, 0, 0x0000, FLAG_CF | FLAG_AF}, {0x27, 0, 0x0012, FLAG_AF, 0x0018, FLAG_AF},
        {0x2f, 0, 0x00ee, FLAG_AF | FLAG_CF, 0x0088, FLAG_CF | FLAG_AF},
        {0x2f, 0, 0x0003, FLAG_AF, 0x00fd, FLAG_CF | FLAG_AF}, {0x2f, 0, 0x0045, 0, 0x0045, 0},
        {0x37, 0, 0x000b, 0, 0x0101, FLAG_CF | FLAG_AF}, {0x37, 0, 0x00f5, 0, 0x0005, 0},
        {0x3f, 0, 0x020f, 0, 0x0109, FLAG_CF | FLAG_AF}, {0x3f, 0, 0x0205, 0, 0x0205, 0},
        {0xd4, 10, 0x003f, 0, 0x0603, 0}, {0xd5, 10, 0x0603, 0, 0x003f, 0},
        {0xd4, 16, 0x00ab, 0, 0x0a0b, 0},
    };

    init(GUEST_PROT32);
    CODE(t[_i].op, t[_i].arg);
    g.cpu->gpr[GPR_RAX] = t[_i].ax;
    g.cpu->rflags |= t[_i].flags_in;
    guest_run(&g, 1);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], t[_i].want);
    ck_assert_uint_eq(g.cpu->rflags & (FLAG_CF | FLAG_AF), t[_i].flags_out);
    teardown();
}
END_TEST

START_TEST(a_copy_onto_itself_repeats_the_pattern)
{
    init(GUEST_LONG64);
    CODE(0xf3, 0xa5); /* rep movsd */
    store_le(guest_ram(&g, GUEST_BIG_DATA), 4, 0x44332211);
    g.cpu->gpr[GPR_RSI] = GUEST_BIG_DATA;
    g.cpu->gpr[GPR_RDI] = GUEST_BIG_DATA + 4;
    g.cpu->gpr[GPR_RCX] = 3000; /* several pages */
    guest_run(&g, 1);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RCX], 0);
    for (unsigned i = 0; i <= 3000; i++) {
        ck_assert_uint_eq(load_le(guest_ram(&g, GUEST_BIG_DATA + i * 4), 4), 0x44332211);
    }
    teardown();
}
END_TEST

static void add_tests(TCase *t)
{
    tcase_add_loop_test(t, the_same_bytes_mean_what_the_mode_says, 0, 5);
    tcase_add_loop_test(t, what_must_raise_raises, 0, (int)ARRAY_LEN(raising));
    tcase_add_test(t, without_the_feature_lzcnt_is_bsr_and_movbe_is_undefined);
    tcase_add_test(t, an_instruction_may_cross_pages_again_and_again);
    tcase_add_test(t, a_fetch_fault_names_the_page_that_is_missing);
    tcase_add_test(t, a_repeated_move_stops_at_the_missing_page_and_can_go_on);
    tcase_add_loop_test(t, a_string_comparison_names_the_operand_that_it_reads_first, 0, 3);
    tcase_add_loop_test(t, a_faulting_instruction_leaves_registers_alone, 0, 8);
    tcase_add_test(t, a_store_into_the_next_instruction_takes_effect_at_once);
    tcase_add_test(t, code_written_from_outside_is_decoded_again);
    tcase_add_test(t, one_page_of_code_serves_two_modes);
    tcase_add_test(t, a_budget_is_spent_to_the_instruction);
    tcase_add_test(t, sti_holds_interrupts_for_one_instruction);
    tcase_add_test(t, an_interrupt_waits_while_if_is_clear);
    tcase_add_test(t, an_nmi_is_masked_until_iret);
    tcase_add_test(t, tf_traps_after_each_instruction);
    tcase_add_test(t, tf_steps_a_repetition_by_one_element);
    tcase_add_test(t, mov_ss_holds_traps_and_interrupts);
    tcase_add_test(t, an_execution_breakpoint_faults_once);
    tcase_add_test(t, a_data_breakpoint_traps_right_after_the_access);
    tcase_add_test(t, a_debugger_breakpoint_stops_before_its_instruction);
    tcase_add_test(t, a_debugger_watchpoint_stops_right_after_the_access);
    tcase_add_test(t, a_kick_returns_without_executing);
    tcase_add_loop_test(t, hlt_leaves_and_an_interrupt_is_work, 0, 2);
    tcase_add_loop_test(t, alignment_is_checked_only_at_cpl_3_with_am_and_ac, 0, 2);
    tcase_add_loop_test(t, user_code_may_not_touch_if_or_ports, 0, 4);
    tcase_add_test(t, sixteen_bit_addresses_wrap);
    tcase_add_test(t, real_mode_stack_is_16_bits_wide);
    tcase_add_test(t, a_real_mode_interrupt_comes_back);
    tcase_add_test(t, pusha_popa_round_trip);
    tcase_add_loop_test(t, decimal_adjustment, 0, 14);
    tcase_add_test(t, a_copy_onto_itself_repeats_the_pattern);
}

int main(void)
{
    Suite *s = suite_create("interp-flow");
    TCase *t = tcase_create("all");
    SRunner *sr = srunner_create(s);
    int failed;

    tcase_set_timeout(t, 60);
    add_tests(t);
    suite_add_tcase(s, t);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
