/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guest/window-common.h"

u8 page_a[PAGE] PAGE_ALIGNED, page_b[PAGE] PAGE_ALIGNED, ap_page[PAGE] PAGE_ALIGNED;

#define SHARED_TEST(name) TEST_WITH_PAGES(, name)

void with_pages(void (*body)(void))
{
    *word_of(page_a, 0) = 0xaaaa;
    *word_of(page_b, 0) = 0xbbbb;
    set_page(0, (word)page_a | KERNEL);
    set_page(1, 0);
    invlpg(TEST);
    invlpg(TEST + PAGE);
    run_there(body);
}

u8 *turn(unsigned i)
{
    u8 *page = i & 1 ? page_b : page_a;

    set_page(0, (word)page | KERNEL);
    return page;
}

/* -- Pages change ------------------------------------------------------------------------------- */

SHARED_TEST(remapped_pages_are_seen_after_invlpg)
{
    for (unsigned i = 0; i < TURNS; i++) {
        u8 *page = turn(i);
        invlpg(TEST + 0x123);
        EXPECT_EQ(load(TEST), mark_of(i));
        store(TEST + 8, i);
        EXPECT_EQ(*word_of(page, 8), i);
        EXPECT_EQ(add(TEST + 8, 5), i);
        EXPECT_EQ(*word_of(page, 8), i + 5);
    }
}

SHARED_TEST(stores_first_see_a_remapped_page_too)
{
    for (unsigned i = 0; i < TURNS; i++) {
        u8 *page = turn(i);
        *word_of(page, 16) = 0;
        invlpg(TEST);
        store(TEST + 16, i + 1);
        EXPECT_EQ(*word_of(page, 16), i + 1);
    }
}

SHARED_TEST(remapped_pages_are_seen_after_a_toggle_of_pge)
{
    for (unsigned i = 0; i < TURNS; i++) {
        u8 *page = turn(i);
        toggle_pge();
        EXPECT_EQ(load(TEST), mark_of(i));
        store(TEST + 8, i);
        EXPECT_EQ(*word_of(page, 8), i);
    }
}

SHARED_TEST(unmapped_pages_fault_after_invlpg)
{
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        set_page(0, (word)page_a | KERNEL);
        invlpg(TEST);
        store(TEST + 8, i);
        EXPECT_EQ(load(TEST + 8), i);
        set_page(0, 0);
        invlpg(TEST);
        EXPECT_TRAP(TRY(load(TEST + 8)), VECTOR_PF, 0);
        EXPECT_EQ(trap.cr2, TEST + 8);
        EXPECT_TRAP(TRY(store(TEST + 24, i)), VECTOR_PF, W);
        EXPECT_EQ(trap.cr2, TEST + 24);
    }
}

SHARED_TEST(global_pages_stay_over_cr3_or_are_new)
{
    for (unsigned i = 0; i < TURNS; i++) {
        word old = load(TEST), v;
        turn(i);
        write_cr3(read_cr3());
        v = load(TEST);           /* the old one may have been thrown out */
        EXPECT(v == old || v == mark_of(i));
        invlpg(TEST);
        EXPECT_EQ(load(TEST), mark_of(i));
    }
}

/* -- Rights ------------------------------------------------------------------------------------- */

SHARED_TEST(stores_to_read_only_pages_fault)
{
    *word_of(page_a, 8) = 77;
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        set_page(0, (word)page_a | READ_ONLY);
        invlpg(TEST);
        EXPECT_EQ(load(TEST), 0xaaaa);
        EXPECT_TRAP(TRY(store(TEST + 8, i)), VECTOR_PF, P | W);
        EXPECT_EQ(trap.cr2, TEST + 8);
        EXPECT_TRAP(TRY(add(TEST + 8, 1)), VECTOR_PF, P | W);
        EXPECT_EQ(*word_of(page_a, 8), 77);
        write_cr0(read_cr0() & ~(word)CR0_WP);
        store(TEST + 8, 78);
        EXPECT_EQ(*word_of(page_a, 8), 78);
        store(TEST + 8, 77);
        write_cr0(read_cr0() | CR0_WP);
        EXPECT_TRAP(TRY(store(TEST + 8, i)), VECTOR_PF, P | W);
    }
    set_page(0, (word)page_a | KERNEL); /* more rights need no flush */
    store(TEST + 8, 78);
    EXPECT_EQ(*word_of(page_a, 8), 78);
}

SHARED_TEST(accesses_mark_pages)
{
    for (unsigned i = 0; i < TURNS; i++) {
        set_page(0, (word)page_a | KERNEL);
        invlpg(TEST);
        (void)load(TEST);
        EXPECT_EQ(page_entry(0) & (A | D), A);
        (void)load(TEST);
        EXPECT_EQ(page_entry(0) & (A | D), A);
        store(TEST + 8, i);
        EXPECT_EQ(page_entry(0) & (A | D), A | D);
        clear_page_bits(0, D);
        invlpg(TEST);
        (void)load(TEST);
        EXPECT_EQ(page_entry(0) & (A | D), A);
        store(TEST + 8, i);
        EXPECT_EQ(page_entry(0) & (A | D), A | D);
    }
}

/* One page that is read marks none of those beside it. */
SHARED_TEST(only_the_page_used_is_marked)
{
    for (unsigned n = 0; n < 16; n++) {
        for (unsigned i = 0; i < 32; i++) {
            set_page(i, (LARGE_AT + i * PAGE) | KERNEL);
            invlpg(TEST + i * PAGE);
        }
        (void)load(TEST + n * PAGE);
        store(TEST + (n + 1) * PAGE, 1);
        for (unsigned i = 0; i < 32; i++) {
            EXPECT_EQ(page_entry(i) & (A | D), i == n ? A : i == n + 1 ? A | D : 0);
        }
    }
    for (unsigned i = 1; i < 32; i++) {
        set_page(i, 0);
        invlpg(TEST + i * PAGE);
    }
}

SHARED_TEST(users_pages_and_smap)
{
    if (!HAS_SMAP) {
        test_skip("no SMAP");
        return;
    }
    set_page(0, (word)page_a | KERNEL | U);
    invlpg(TEST);
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        EXPECT_EQ(load(TEST), 0xaaaa);
        store(TEST + 8, i);
        write_cr4(read_cr4() | CR4_SMAP);
        EXPECT_TRAP(TRY(load(TEST)), VECTOR_PF, P);
        EXPECT_TRAP(TRY(store(TEST + 8, 0)), VECTOR_PF, P | W);
        __asm__ volatile("stac");
        EXPECT_EQ(load(TEST + 8), i);
        store(TEST + 8, i + 1);
        __asm__ volatile("clac");
        EXPECT_TRAP(TRY(load(TEST)), VECTOR_PF, P);
        write_cr4(read_cr4() & ~(word)CR4_SMAP);
        EXPECT_EQ(load(TEST + 8), i + 1);
    }
    set_page(0, 0);
    invlpg(TEST);
}

SHARED_TEST(a_page_that_becomes_a_users_is_guarded)
{
    if (!HAS_SMAP) {
        test_skip("no SMAP");
        return;
    }
    write_cr4(read_cr4() | CR4_SMAP);
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        set_page(0, (word)page_a | KERNEL);
        invlpg(TEST);
        store(TEST + 8, i);
        set_page(0, (word)page_a | KERNEL | U);
        invlpg(TEST);
        EXPECT_TRAP(TRY(load(TEST + 8)), VECTOR_PF, P);
    }
    write_cr4(read_cr4() & ~(word)CR4_SMAP);
}

/* -- Devices and guilt ------------------------------------------------------------------------------- */

SHARED_TEST(devices_answer)
{
    set_page(1, 0xfee00000 | KERNEL | PCD);
    set_page(2, 0xb8000 | KERNEL | PCD);
    invlpg(TEST + 2 * PAGE);
    for (unsigned i = 0; i < TURNS; i++) {
        EXPECT_EQ(load32(TEST + PAGE + 0x30), *(volatile u32 *)0xfee00030);
        store32(TEST + PAGE + APIC_DIVIDE, i & 3);
        EXPECT_EQ(apic_read(APIC_DIVIDE), i & 3);
        store32(TEST + 2 * PAGE + 4 * i, 0x07200741 + i);
        EXPECT_EQ(load32(TEST + 2 * PAGE + 4 * i), *(volatile u32 *)(0xb8000 + 4 * (word)i));
        EXPECT_EQ(load(TEST), 0xaaaa);
    }
    set_page(1, 0);
    set_page(2, 0);
    invlpg(TEST + PAGE);
    invlpg(TEST + 2 * PAGE);
}

/* The same instruction, on memory, on a device, where nothing is, on a user's page, and on memory again. */
static __attribute__((noinline)) u32 visit(word at, u32 v)
{
    u32 old = load32(at);

    store32(at, v);
    return old;
}

SHARED_TEST(an_innocent_instruction_turns_guilty_and_works_on)
{
    *word_of(page_a, 8) = 0;
    for (unsigned i = 0; i < 1000; i++) {
        EXPECT_EQ(visit(TEST + 8, i + 1), i);
    }
    set_page(1, 0xfee00000 | KERNEL | PCD);
    visit(TEST + PAGE + APIC_DIVIDE, 0xb);
    EXPECT_EQ(apic_read(APIC_DIVIDE), 0xb);
    for (unsigned i = 1000; i < 2000; i++) {
        EXPECT_EQ(visit(TEST + 8, i + 1), i);
    }
    set_page(1, 0);
    invlpg(TEST + PAGE);
    EXPECT_TRAP(TRY(visit(TEST + PAGE, 1)), VECTOR_PF, 0);
    visit(users_address(page_b) + 32, 5);
    EXPECT_EQ(*(volatile u32 *)(page_b + 32), 5);
    for (unsigned i = 2000; i < 3000; i++) {
        EXPECT_EQ(visit(TEST + 8, i + 1), i);
    }
}

static __attribute__((noinline)) u32 exchange(word at, u32 v)
{
    u32 old = load32(at);

    store32(at, v);
    return old;
}

/* For so long that the guilty are tried again, when `window-pardon` is small. */
static void be_elsewhere(void)
{
    for (unsigned i = 0; i < 60; i++) {
        EXPECT_TRAP(TRY(__asm__ volatile("ud2")), VECTOR_UD, 0);
    }
}

/* In the window, by look-ups, called, by look-ups again, in the window again. */
SHARED_TEST(an_instruction_turns_to_calls_and_back)
{
    u32 n = 0;

    *word_of(page_a, 8) = 0;
    set_page(1, 0xfee00000 | KERNEL | PCD);
    invlpg(TEST + PAGE);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 200; i++, n++) {
            EXPECT_EQ(exchange(TEST + 8, n + 1), n);
        }
        for (unsigned i = 0; i < 60; i++) {
            exchange(TEST + PAGE + APIC_DIVIDE, i & 3);
            EXPECT_EQ(apic_read(APIC_DIVIDE), i & 3);
        }
        for (unsigned i = 0; i < 200; i++, n++) {
            EXPECT_EQ(exchange(TEST + 8, n + 1), n);
        }
        be_elsewhere();
    }
    set_page(1, 0);
    invlpg(TEST + PAGE);
}

/* -- Faults in handlers ----------------------------------------------------------------------------- */

enum { NESTED = 3 };
static unsigned nested;

/* Each page comes when the one behind it has come, for which the handler itself faults. */
static bool on_nested_fault(Frame *f)
{
    word cr2 = read_cr2();
    unsigned page = (unsigned)((cr2 - TEST) / PAGE);

    EXPECT_EQ(cr2, TEST + page * PAGE + 8);
    EXPECT_EQ(nested, page);
    nested++;
    if (page + 1 < NESTED) {
        EXPECT_EQ(load(cr2 + PAGE), page + 1);
    }
    set_page(page, (LARGE_AT + page * PAGE) | KERNEL);
    return true;
}

SHARED_TEST(handlers_fault_themselves)
{
    for (unsigned i = 0; i < NESTED; i++) {
        *(volatile word *)(LARGE_AT + (word)i * PAGE + 8) = i;
    }
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < NESTED; i++) {
            set_page(i, 0);
            invlpg(TEST + i * PAGE);
        }
        nested = 0;
        trap_hook[VECTOR_PF] = (TrapHook)((word)on_nested_fault + HIGH);
        EXPECT_EQ(load(TEST + 8), 0);
        trap_hook[VECTOR_PF] = NULL;
        EXPECT_EQ(nested, NESTED);
    }
    for (unsigned i = 1; i < NESTED; i++) {
        set_page(i, 0);
        invlpg(TEST + i * PAGE);
    }
}

/* -- Code ---------------------------------------------------------------------------------------- */

static void put_code(u8 *page, u32 v)
{
    page[0] = 0xb8;               /* mov eax, v; ret */
    page[5] = 0xc3;
    for (unsigned i = 0; i < 4; i++) {
        page[1 + i] = (u8)(v >> 8 * i);
    }
}

SHARED_TEST(code_written_by_another_alias_runs_as_written)
{
    put_code(page_a, 0);
    set_page(1, (word)page_a | KERNEL);
    invlpg(TEST + PAGE);
    for (u32 i = 0; i < 300; i++) {
        store32(TEST + PAGE + 1, i);
        EXPECT_EQ(((u32 (*)(void))TEST)(), i);
    }
}

SHARED_TEST(data_beside_code_is_written_and_read)
{
    put_code(page_a, 5);
    *word_of(page_a, 0x800) = 0;
    for (unsigned i = 0; i < 500; i++) {
        EXPECT_EQ(((u32 (*)(void))TEST)(), 5);
        EXPECT_EQ(add(TEST + 0x800, 1), i);
        store(TEST + 0x808, i);
        EXPECT_EQ(load(TEST + 0x808), i);
        EXPECT_EQ(*word_of(page_a, 0x800), i + 1);
    }
}

SHARED_TEST(code_that_moves_runs_from_its_new_place)
{
    put_code(page_a, 1);
    put_code(page_b, 2);
    for (unsigned i = 0; i < TURNS; i++) {
        turn(i);
        invlpg(TEST);
        EXPECT_EQ(((u32 (*)(void))TEST)(), i & 1 ? 2 : 1);
        EXPECT_EQ(load(TEST) & 0xff, 0xb8);
    }
}

#ifdef __x86_64__
enum { LOAD_REGISTER = 7 };       /* the first argument's: rdi */
#else
enum { LOAD_REGISTER = 0 };       /* eax */
#endif

/* mov eax, [argument + offset]; ret */
static void put_load(u8 *at, u8 offset)
{
    at[0] = 0x8b;
    at[1] = 0x40 | LOAD_REGISTER;
    at[2] = offset;
    at[3] = 0xc3;
}

/* What takes a place of guilty code is innocent, and does what it says. */
SHARED_TEST(code_that_was_guilty_is_rewritten)
{
    u32 (*f)(word at) = (u32 (*)(word))(TEST + 0x100);

    for (unsigned i = 0; i < 20; i++) {
        put_load(page_a + 0x100, 0x20);
        *(volatile u32 *)(page_b + 0x20) = i;
        EXPECT_EQ(f(users_address(page_b)), i);
        EXPECT_EQ(f((word)page_b), i);
        put_load(page_a + 0x100, 0x24 + 4 * (i % 4));
        *(volatile u32 *)(page_b + 0x24 + 4 * (i % 4)) = ~i;
        EXPECT_EQ(f((word)page_b), ~i);
        EXPECT_EQ(f(users_address(page_b)), ~i);
    }
}

/* -- Moves and breakpoints -------------------------------------------------------------------------- */

SHARED_TEST(repeated_moves_stop_where_the_page_ends)
{
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        EXPECT_TRAP(TRY(__asm__ volatile("rep movsb" : : "S"(TEST), "D"(TEST + 0xf00), "c"(0x200) : "memory")),
                    VECTOR_PF, W);
        EXPECT_EQ(trap.cr2, TEST + PAGE);
        EXPECT_EQ(trap.frame.cx, 0x100);
        EXPECT_EQ(trap.frame.di, TEST + PAGE);
        EXPECT_EQ(trap.frame.si, TEST + 0x100);
    }
}

/* PUSHF, STI and CLI leave the arithmetic flags and all registers alone, also where a block begins with them. */
SHARED_TEST(flags_are_pushed_and_kept)
{
    enum { ARITHMETIC = 0x8d5 };       /* CF PF AF ZF SF OF */

    pic_init(0xffff);
    for (unsigned i = 0; i < 40 * TURNS; i++) {
        word set = 0, first, on, off, rax = 0x12345678 + i, rcx = ~(word)i;

        for (unsigned bit = 0, from = 0; bit < 12; bit++) {
            set |= (ARITHMETIC >> bit & 1) != 0 ? (i >> from++ & 1) << bit : 0;
        }
        __asm__ volatile("push %[set]; popf; jmp 1f; 1: pushf; jmp 2f; 2: sti; mov %[rcx], %[rcx]; jmp 3f;"
                         "3: pushf; cli; pushf;"
                         "pop %[off]; pop %[on]; pop %[first]"
                         : [first] "=&r"(first), [on] "=&r"(on), [off] "=&r"(off), "+a"(rax), [rcx] "+c"(rcx)
                         : [set] "r"(set | 2) : "memory", "cc");
        EXPECT_EQ(first, set | 2);
        EXPECT_EQ(on, set | 2 | FLAG_IF);
        EXPECT_EQ(off, set | 2);
        EXPECT_EQ(rax, 0x12345678 + i);
        EXPECT_EQ(rcx, ~(word)i);
    }
}

SHARED_TEST(data_breakpoints_stop_stores)
{
    const word len = sizeof(word) == 8 ? 2 : 3;

    for (unsigned i = 0; i < TURNS; i++) {
        store(TEST + 16, i);      /* mapped, and unwatched */
        write_dr0(TEST + 16);
        write_dr6(0xffff0ff0);
        write_dr7(0x400 | 2 | 1 << 16 | len << 18); /* G0, stores of a word */
        EXPECT_EQ(load(TEST + 16), i);
        EXPECT_TRAP(TRY(store(TEST + 16, i + 1)), VECTOR_DB, 0);
        EXPECT_EQ(read_dr6() & 15, 1);
        EXPECT_EQ(load(TEST + 16), i + 1);
        EXPECT_TRAP(TRY(store(TEST + 24, 1)), -1, 0);
        write_dr7(0x400);
        EXPECT_TRAP(TRY(store(TEST + 16, i)), -1, 0);
    }
}

/* -- Two CPUs ----------------------------------------------------------------------------------------- */

void the_second_cpu_starts(void)
{
    apic_enable();
    have_ap = start_ap();
    NEED_AP();
}

static volatile word flushed, ap_stop, ap_faults;

static bool on_flush(Frame *f)
{
    invlpg(TEST);
    flushed++;
    apic_write(APIC_EOI, 0);
    return true;
}

static void write_in_a_loop(void)
{
    sti();
    while (!ap_stop) {
        add(TEST + 8, 1);
        store(TEST + 16, load(TEST + 8));
    }
    cli();
}

static void job_write(void)
{
    enter_as_boot_cpu();
    run_there(write_in_a_loop);
}

/* After the acknowledgement the page that was taken away gets no more stores. */
SHARED_TEST(no_store_comes_after_a_shoot_down)
{
    enum { SHOTS = 70 };

    NEED_AP();
    trap_hook[VEC_FLUSH] = on_flush;
    flushed = ap_stop = 0;
    ap_run(job_write);
    for (word i = 1; i <= SHOTS; i++) {
        u8 *old = i & 1 ? page_a : page_b, *new = turn((unsigned)i);
        word count, start = *word_of(new, 8);
        invlpg(TEST);
        send(OTHERS | VEC_FLUSH);
        if (!wait_for(&flushed, i)) {
            break;
        }
        count = *word_of(old, 8);
        pause_a_while(300);
        EXPECT_EQ(*word_of(old, 8), count);
        for (u64 begin = rdtsc(); *word_of(new, 8) == start && rdtsc() - begin < 3000000000ull;) {
            cpu_relax();
        }
        EXPECT(*word_of(new, 8) != start);
    }
    EXPECT_EQ(flushed, SHOTS);
    ap_stop = 1;
    EXPECT(ap_wait());
}

static bool on_ap_fault(Frame *f)
{
    ap_faults++;
    sti();                        /* the flush comes in here, too */
    while ((page_entry(0) & W) == 0) {
        cpu_relax();
    }
    cli();
    return true;                  /* again */
}

/* A read-only page is given back in the same way. */
SHARED_TEST(no_store_comes_after_write_protection)
{
    NEED_AP();
    trap_hook[VEC_FLUSH] = on_flush;
    trap_hook[VECTOR_PF] = on_ap_fault;
    flushed = ap_stop = ap_faults = 0;
    ap_run(job_write);
    for (word i = 1; i <= 20; i++) {
        word count, faults = ap_faults;
        set_page(0, (word)page_a | READ_ONLY);
        invlpg(TEST);
        send(OTHERS | VEC_FLUSH);
        if (!wait_for(&flushed, i)) {
            break;
        }
        count = *word_of(page_a, 8);
        EXPECT(wait_for(&ap_faults, faults + 1));
        EXPECT_EQ(*word_of(page_a, 8), count);
        set_page(0, (word)page_a | KERNEL);
        EXPECT(wait_for(word_of(page_a, 8), count + 1));
    }
    EXPECT_EQ(flushed, 20);
    ap_stop = 1;
    EXPECT(ap_wait());
    trap_hook[VECTOR_PF] = NULL;
}

volatile word ap_wrong, ap_ready, ap_go;
word counted_at;

void count_on_ap(void)
{
    ap_ready = 1;
    while (!ap_go) {
        cpu_relax();
    }
    ap_wrong = count_at(counted_at, 0xcccc);
}

void count_apart(word at, void (*job)(void))
{
    word wrong;

    counted_at = at;
    *word_of(ap_page, 0) = 0xcccc;
    *word_of(ap_page, sizeof(word)) = *word_of(page_a, sizeof(word)) = 0;
    ap_wrong = ~(word)0;
    ap_ready = ap_go = 0;
    ap_run(job);
    EXPECT(wait_for(&ap_ready, 1));
    ap_go = 1;
    wrong = count_at(at, 0xaaaa);
    EXPECT(ap_wait());
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(ap_wrong, 0);
    EXPECT_EQ(*word_of(page_a, sizeof(word)), 20000);
    EXPECT_EQ(*word_of(ap_page, sizeof(word)), 20000);
}
