/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 32-bit kernel with global pages (softmmu/window.h): its memory changes under it in all the ways there are, by tables of
 * two levels and then of PAE.  It lies in the low half.
 */
#include "tests/guest/window-common.h"

enum { SEL_BASED = SEL_SPARE, SEL_SHORT = SEL_SPARE + 8 };

/* One table's worth of addresses each, as TEST, where GiB 2 is mapped to itself at the start. */
#define MORE 0x90800000u
#define LAST 0xffc00000u

extern u32 boot_pd[1024];

/* One address space, in either format. */
typedef struct {
    u32 dir[1024];
    u64 pae_dir[4][512];
    u64 pdpt[4] __attribute__((aligned(32)));
} Space;

/* A page table, in either format: twice for those of two levels, 4 MiB being two of PAE's. */
typedef struct {
    u32 entry[1024];
    u64 pae_entry[2][512];
} Table;

static Space boot_space PAGE_ALIGNED, other_space PAGE_ALIGNED, ap_space PAGE_ALIGNED;
static Table table PAGE_ALIGNED, more_table PAGE_ALIGNED, ap_table PAGE_ALIGNED, last_table PAGE_ALIGNED;
static bool pae;

/* -- Tables --------------------------------------------------------------------------------------- */

/* Both formats always, so that a CPU that reads the other finds the same. */
static void set_entry(Table *t, unsigned i, u32 e)
{
    t->entry[i] = e;
    t->pae_entry[i / 512][i % 512] = e;
}

word page_entry(unsigned i)
{
    return pae ? (u32)table.pae_entry[0][i] : table.entry[i];
}

void set_page(unsigned i, word e)
{
    set_entry(&table, i, e);
}

void clear_page_bits(unsigned i, word bits)
{
    table.entry[i] &= ~bits;
    table.pae_entry[i / 512][i % 512] &= ~(u64)bits;
}

word users_address(u8 *page)
{
    return USER(page);
}

static void map_table(Space *s, u32 lin, Table *t, u32 bits)
{
    s->dir[lin >> 22] = (u32)t->entry | bits;
    for (unsigned i = 0; i < 2; i++) {
        s->pae_dir[lin >> 30][(lin >> 21 & 511) + i] = (u32)t->pae_entry[i] | bits;
    }
}

static void map_large(Space *s, u32 lin, u32 phys, u32 bits)
{
    s->dir[lin >> 22] = phys | bits | PS;
    for (unsigned i = 0; i < 2; i++) {
        s->pae_dir[lin >> 30][(lin >> 21 & 511) + i] = (phys + (i << 21)) | bits | PS;
    }
}

static void map_nothing(Space *s, u32 lin)
{
    s->dir[lin >> 22] = 0;
    s->pae_dir[lin >> 30][lin >> 21 & 511] = s->pae_dir[lin >> 30][(lin >> 21 & 511) + 1] = 0;
}

/* As boot32.S has it, but global where it is the kernel's. */
static void make_space(Space *s)
{
    for (u32 i = 0; i < 1024; i++) {
        u32 e = boot_pd[i];
        map_large(s, i << 22, e & 0xffc00000, P | W | (e & U ? U : G));
    }
    for (unsigned i = 0; i < 4; i++) {
        s->pdpt[i] = (u32)s->pae_dir[i] | P;
    }
    map_table(s, TEST, &table, TABLE);
}

static word root(Space *s)
{
    return pae ? (word)s->pdpt : (word)s->dir;
}

/* To the tables of s, of the format that `pae` says. */
static void enter_space(Space *s)
{
    write_cr0(read_cr0() & ~(word)CR0_PG);
    write_cr4((read_cr4() & ~(word)CR4_PAE) | (pae ? CR4_PAE : 0));
    write_cr3(root(s));
    write_cr0(read_cr0() | CR0_PG | CR0_WP);
    write_cr4(read_cr4() | CR4_PGE);
}

void enter_as_boot_cpu(void)
{
    enter_space(&boot_space);
}

void run_there(void (*body)(void))
{
    body();
}

#define OWN_TEST(name) TEST_WITH_PAGES(static, name)

static void tables_of_two_levels(void)
{
    pae = false;
    make_space(&boot_space);
    enter_space(&boot_space);
    EXPECT_EQ(read_cr4() & (CR4_PAE | CR4_PGE), CR4_PGE);
}

static void tables_of_pae(void)
{
    pae = true;
    make_space(&boot_space);
    enter_space(&boot_space);
    EXPECT_EQ(read_cr4() & (CR4_PAE | CR4_PGE), CR4_PAE | CR4_PGE);
}

/* -- Pages change ------------------------------------------------------------------------------- */

/* 4 MiB at a physical address that nobody else uses, and one page elsewhere. */
enum { LARGE = 1 << 22, SPLIT_TURNS = 4 };

OWN_TEST(one_address_of_a_large_page_that_was_split)
{
    for (unsigned n = 0; n < SPLIT_TURNS; n++) {
        unsigned odd = (n * 397 + 3) % 1024;
        map_large(&boot_space, MORE, LARGE_AT, KERNEL);
        invlpg(MORE);
        invlpg(MORE + LARGE / 2);
        for (unsigned i = 0; i < 1024; i++) {
            store(MORE + i * PAGE, i);
            EXPECT_EQ(load(MORE + i * PAGE), i);
        }
        for (unsigned i = 0; i < 1024; i++) {
            set_entry(&more_table, i, (LARGE_AT + i * PAGE) | KERNEL);
        }
        set_entry(&more_table, odd, (u32)page_b | KERNEL);
        map_table(&boot_space, MORE, &more_table, P | W);
        *word_of(page_b, 8) = 0;
        invlpg(MORE + odd * PAGE + 8);
        EXPECT_EQ(load(MORE + odd * PAGE), 0xbbbb);
        for (unsigned i = 0; i < 1024; i++) {
            EXPECT_EQ(load(MORE + i * PAGE), i == odd ? 0xbbbb : i);
            add(MORE + i * PAGE + 8, 1);
        }
        EXPECT_EQ(*word_of(page_b, 8), 1);
        EXPECT_EQ(*(volatile u32 *)(LARGE_AT + odd * PAGE), odd); /* still there */
        set_entry(&more_table, odd, (LARGE_AT + odd * PAGE) | KERNEL);
        invlpg(MORE + odd * PAGE);
        EXPECT_EQ(load(MORE + odd * PAGE), odd);
    }
    map_nothing(&boot_space, MORE);
    invlpg(MORE);
    EXPECT_TRAP(TRY(load(MORE)), VECTOR_PF, 0);
    toggle_pge();
}

/* Others at MORE: page_a by boot_space, page_b by other_space. */
static void differ_at_more(u32 bits)
{
    memcpy(&other_space, &boot_space, sizeof other_space);
    for (unsigned i = 0; i < 4; i++) {
        other_space.pdpt[i] = (u32)other_space.pae_dir[i] | P;
    }
    map_table(&other_space, MORE, &more_table, P | W);
    set_entry(&more_table, 0, (u32)page_b | bits);
    map_table(&boot_space, MORE, &table, P | W);
    set_page(0, (u32)page_a | bits);
    invlpg(TEST);
    toggle_pge();
}

static void differ_no_more(void)
{
    map_nothing(&boot_space, MORE);
    write_cr3(root(&boot_space));
    toggle_pge();
}

OWN_TEST(pages_that_are_not_global_change_with_cr3)
{
    differ_at_more(P | W);
    for (unsigned i = 0; i < TURNS; i++) {
        write_cr3(root(&other_space));
        EXPECT_EQ(load(MORE), 0xbbbb);
        store(MORE + 8, i);
        write_cr3(root(&boot_space));
        EXPECT_EQ(load(MORE), 0xaaaa);
        store(MORE + 8, ~i);
        EXPECT_EQ(*word_of(page_b, 8), i);
        EXPECT_EQ(*word_of(page_a, 8), ~i);
    }
    differ_no_more();
}

OWN_TEST(directories_that_differ_are_told_apart)
{
    differ_at_more(KERNEL);
    for (unsigned i = 0; i < TURNS; i++) {
        write_cr3(root(i & 1 ? &other_space : &boot_space));
        toggle_pge();
        EXPECT_EQ(load(MORE), mark_of(i));
        store(MORE + 8, i);
        EXPECT_EQ(*word_of(i & 1 ? page_b : page_a, 8), i);
    }
    differ_no_more();
}

OWN_TEST(a_page_that_is_no_longer_global_changes_with_cr3)
{
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        set_page(0, (u32)page_a | KERNEL);
        invlpg(TEST);
        EXPECT_EQ(load(TEST), 0xaaaa);
        clear_page_bits(0, G);
        invlpg(TEST);
        EXPECT_EQ(load(TEST), 0xaaaa);
        set_page(0, (u32)page_b | P | W);
        write_cr3(read_cr3());
        EXPECT_EQ(load(TEST), 0xbbbb);
    }
}

/* -- Addresses and segments ------------------------------------------------------------------------- */

OWN_TEST(addresses_wrap_at_4_gib)
{
    u8 *last = page_b;

    map_table(&boot_space, LAST, &last_table, P | W);
    set_entry(&last_table, 1023, (u32)last | KERNEL);
    toggle_pge();
    for (unsigned i = 0; i < TURNS; i++) {
        u32 v, big = 0xf0000000 + i, rest = TEST + 16 - big;
        *word_of(page_a, 16) = i;
        __asm__ volatile("movl (%1,%2), %0" : "=r"(v) : "r"(big), "r"(rest));
        EXPECT_EQ(v, i);
        __asm__ volatile("movl 0x70000000(%1,%2,2), %0" : "=r"(v) : "r"(TEST + 16 - 0x70000000 - 2 * i), "r"(i));
        EXPECT_EQ(v, i);
        *word_of(last, PAGE - 4) = i;
        EXPECT_EQ(load(-4u), i);
        store(-8u, i);
        EXPECT_EQ(*word_of(last, PAGE - 8), i);
    }
    map_nothing(&boot_space, LAST);
    toggle_pge();
    EXPECT_TRAP(TRY(load(-4u)), VECTOR_PF, 0);
    EXPECT_EQ(trap.cr2, -4u);
}

INLINE u32 load_fs(u32 at)
{
    u32 v;
    __asm__ volatile("movl %%fs:(%1), %0" : "=r"(v) : "r"(at) : "memory");
    return v;
}

INLINE void store_fs(u32 at, u32 v)
{
    __asm__ volatile("movl %1, %%fs:(%0)" : : "r"(at), "r"(v) : "memory");
}

static void set_fs(u16 selector)
{
    __asm__ volatile("movl %0, %%fs" : : "r"((u32)selector));
}

OWN_TEST(segments_have_bases_and_limits)
{
    for (unsigned i = 0; i < TURNS; i++) {
        u32 base = i % 3 == 0 ? 0x12345678 + i : i % 3 == 1 ? 0xfedcba98 - i : TEST + i;

        gdt_set(SEL_BASED, base, 0xfffff, 0xc09300);
        gdt_set(SEL_SHORT, base, 0x20, 0x409300);
        set_fs(SEL_BASED);
        *word_of(page_a, 0x40) = i;
        EXPECT_EQ(load_fs(TEST + 0x40 - base), i);
        store_fs(TEST + 0x44 - base, ~i);
        EXPECT_EQ(*word_of(page_a, 0x44), ~i);
    }
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        gdt_set(SEL_SHORT, TEST + 0x40, 0x1f, 0x409300);
        *word_of(page_a, 0x40) = 0x4040;
        set_fs(SEL_SHORT);
        EXPECT_EQ(load_fs(0), 0x4040);
        store_fs(0x1c, i);
        EXPECT_EQ(*word_of(page_a, 0x5c), i);
        EXPECT_TRAP(TRY(set_fs(SEL_SHORT); load_fs(0x1d)), VECTOR_GP, 0);
        EXPECT_TRAP(TRY(set_fs(SEL_SHORT); store_fs(-4u, 1)), VECTOR_GP, 0);
        EXPECT_TRAP(TRY(set_fs(0); load_fs(TEST)), VECTOR_GP, 0);
        set_fs(SEL_KDATA);
        EXPECT_EQ(load_fs(TEST), 0xaaaa);
    }
}

OWN_TEST(null_is_nobodys)
{
    Table *t = &more_table;

    for (unsigned i = 0; i < 1024; i++) {
        set_entry(t, i, i == 0 ? 0 : i * PAGE | KERNEL);
    }
    map_table(&boot_space, 0, t, P | W);
    toggle_pge();
    for (unsigned i = 0; i < TURNS; i++) {
        EXPECT_TRAP(TRY(load(8)), VECTOR_PF, 0);
        EXPECT_EQ(trap.cr2, 8);
        EXPECT_TRAP(TRY(store(0, 8)), VECTOR_PF, W);
        EXPECT_EQ(trap.cr2, 0);
    }
    map_large(&boot_space, 0, 0, KERNEL);
    toggle_pge();
}

/* A stack in hot code: calls, pushes, frames. */
static __attribute__((noinline)) u32 deep(u32 n)
{
    return n == 0 ? 0 : n + deep(n - 1);
}

OWN_TEST(stacks_grow_and_shrink)
{
    u32 n = 0;

    for (unsigned i = 0; i < 8; i++) {
        set_page(i, (LARGE_AT + i * PAGE) | KERNEL);
        invlpg(TEST + i * PAGE);
    }
    for (unsigned i = 0; i < 20; i++) {
        u32 in_out = 200;
        __asm__ volatile("movl %%esp, %%esi; movl %1, %%esp; pushl $5; pushl 0x100000; call *%2; addl $4, %%esp; popl %%ecx;"
                         "addl %%ecx, %%eax; movl %%esi, %%esp"
                         : "+a"(in_out) : "b"(TEST + 8 * PAGE), "D"(deep) : "esi", "ecx", "edx", "memory", "cc");
        n += in_out;
    }
    EXPECT_EQ(n, 20u * (200 * 201 / 2 + 5));
    for (unsigned i = 1; i < 8; i++) {
        set_page(i, 0);
        invlpg(TEST + i * PAGE);
    }
}

/* -- Two CPUs ----------------------------------------------------------------------------------------- */

static bool ap_otherwise;         /* its tables are of the other format */

/* With tables of its own. */
static void job_count(void)
{
    bool format = pae != ap_otherwise;

    write_cr0(read_cr0() & ~(word)CR0_PG);
    write_cr4((read_cr4() & ~(word)CR4_PAE) | (format ? CR4_PAE : 0));
    write_cr3(format ? (word)ap_space.pdpt : (word)ap_space.dir);
    write_cr0(read_cr0() | CR0_PG | CR0_WP);
    write_cr4(read_cr4() | CR4_PGE);
    count_on_ap();
    enter_space(&boot_space);
}

static void prepare_apart(void)
{
    memcpy(&ap_space, &boot_space, sizeof ap_space);
    for (unsigned i = 0; i < 4; i++) {
        ap_space.pdpt[i] = (u32)ap_space.pae_dir[i] | P;
    }
    map_table(&ap_space, MORE, &ap_table, P | W);
    set_entry(&ap_table, 0, (u32)ap_page | KERNEL);
    map_table(&boot_space, MORE, &more_table, P | W);
    set_entry(&more_table, 0, (u32)page_a | KERNEL);
    toggle_pge();
}

OWN_TEST(each_cpu_sees_its_own_directory)
{
    NEED_AP();
    ap_otherwise = false;
    prepare_apart();
    for (unsigned i = 0; i < 5; i++) {
        count_apart(MORE, job_count);
    }
    differ_no_more();
}

OWN_TEST(each_cpu_reads_tables_in_its_own_way)
{
    NEED_AP();
    ap_otherwise = true;
    prepare_apart();
    for (unsigned i = 0; i < 5; i++) {
        count_apart(MORE, job_count);
    }
    ap_otherwise = false;
    differ_no_more();
}

/* One CPU's pages go on where the other's are other pages: nothing of the first may spill over a table's end. */
OWN_TEST(runs_end_with_their_part_of_the_directory)
{
    NEED_AP();
    prepare_apart();
    map_large(&boot_space, MORE - LARGE, LARGE_AT, KERNEL | A | D);
    map_large(&boot_space, MORE, LARGE_AT + LARGE, KERNEL | A | D);
    toggle_pge();
    *word_of(ap_page, 0) = 0xcccc;
    *word_of(ap_page, sizeof(word)) = 0;
    *(volatile u32 *)(LARGE_AT + LARGE + sizeof(word)) = 0;
    counted_at = MORE;
    ap_ready = ap_go = 0;
    ap_run(job_count);
    EXPECT(wait_for(&ap_ready, 1));
    for (unsigned i = 0; i < 10; i++) {
        store(MORE - 8, i);
    }
    ap_go = 1;
    EXPECT(ap_wait());
    EXPECT_EQ(ap_wrong, 0);
    EXPECT_EQ(*word_of(ap_page, sizeof(word)), 20000);
    EXPECT_EQ(*(volatile u32 *)(LARGE_AT + LARGE + sizeof(word)), 0);
    map_nothing(&boot_space, MORE - LARGE);
    differ_no_more();
}

/* -- Code that calls code on another page ----------------------------------------------------------------------- */

static u8 caller[PAGE] PAGE_ALIGNED, callee[2][PAGE] PAGE_ALIGNED;

static void write_callers(void)
{
    static const u8 call_next_page[] = {0x90, 0xe8, 0xfa, 0x0f, 0, 0, 0xc3}; /* nop; call to the next page; ret */
    static const u8 jump_back[] = {0xb8, 1, 0, 0, 0, 0xe9, 0xf6, 0xef, 0xff, 0xff, 0xc3}; /* mov $1, %eax; jmp to page 0, byte 0 */

    memcpy(caller, "\xc3", 1);
    memcpy(caller + 0x100, call_next_page, sizeof call_next_page);
    for (u32 i = 0; i < 2; i++) {
        memcpy(callee[i] + 0x100, jump_back, sizeof jump_back);
        callee[i][0x101] = (u8)(i + 1);
        *(u32 *)(callee[i] + 0x106) = (u32)-(PAGE + 0x10a);
    }
}

/* Often enough that a translator has done with it what it does with code that is hot; how often it was not `want`. */
static u32 wrong_calls(u32 at, u32 want, u32 n)
{
    u32 wrong = 0;

    for (u32 i = 0; i < n; i++) {
        wrong += ((u32(*)(void))(at + 0x100))() != want;
    }
    return wrong;
}

OWN_TEST(calls_over_a_page_end_follow_the_tables)
{
    write_callers();
    set_page(0, (u32)caller | KERNEL);
    invlpg(TEST);
    for (u32 i = 0; i < TURNS; i++) {
        set_page(1, (u32)callee[i & 1] | KERNEL);
        invlpg(TEST + PAGE);
        EXPECT_EQ(wrong_calls(TEST, (i & 1) + 1, 40), 0);
        set_page(1, (u32)callee[~i & 1] | KERNEL);
        toggle_pge();
        EXPECT_EQ(wrong_calls(TEST, (~i & 1) + 1, 40), 0);
        callee[~i & 1][0x101] = 7;                          /* its bytes change */
        EXPECT_EQ(wrong_calls(TEST, 7, 40), 0);
        callee[~i & 1][0x101] = (u8)((~i & 1) + 1);
    }
    for (u32 i = 0; i < FAULT_TURNS; i++) {
        set_page(1, 0);
        invlpg(TEST + PAGE);
        EXPECT_TRAP(TRY(wrong_calls(TEST, 0, 1)), VECTOR_PF, 0);
        EXPECT_EQ(trap.cr2, TEST + PAGE + 0x100);
        set_page(1, (u32)callee[0] | P | W);                /* not global: it goes with CR3 */
        EXPECT_EQ(wrong_calls(TEST, 1, 40), 0);
        set_page(1, (u32)callee[1] | P | W);
        write_cr3(read_cr3());
        EXPECT_EQ(wrong_calls(TEST, 2, 40), 0);
        set_page(1, (u32)callee[0] | KERNEL);
        for (u32 k = 2; k < 100; k++) {                     /* more pages than anybody remembers */
            invlpg(TEST + k * PAGE);
        }
        invlpg(TEST + PAGE);
        EXPECT_EQ(wrong_calls(TEST, 1, 40), 0);
    }
    set_page(1, 0);
    invlpg(TEST + PAGE);
}

static volatile word ap_calls, boot_cr0, boot_cr4;

static void job_calls(void)
{
    enter_space(&ap_space);
    write_cr0(boot_cr0);                                    /* as the first CPU in all else */
    write_cr4(boot_cr4);
    ap_ready = 1;
    while (!ap_go) {
        cpu_relax();
    }
    ap_calls = wrong_calls(MORE, 2, 5000);
    enter_space(&boot_space);
}

/* What one CPU has learnt of its tables is not what the other's say. */
OWN_TEST(each_cpu_calls_what_its_own_tables_say)
{
    NEED_AP();
    prepare_apart();
    write_callers();
    boot_cr0 = read_cr0();
    boot_cr4 = read_cr4();
    for (u32 i = 0; i < 2; i++) {
        set_entry(i == 0 ? &more_table : &ap_table, 0, (u32)caller | KERNEL);
        set_entry(i == 0 ? &more_table : &ap_table, 1, (u32)callee[i] | KERNEL);
    }
    toggle_pge();
    for (u32 i = 0; i < 5; i++) {
        EXPECT_EQ(wrong_calls(MORE, 1, 40), 0);
        ap_ready = ap_go = 0;
        ap_calls = ~(word)0;
        ap_run(job_calls);
        EXPECT(wait_for(&ap_ready, 1));
        EXPECT_EQ(wrong_calls(MORE, 1, 40), 0);
        ap_go = 1;
        EXPECT_EQ(wrong_calls(MORE, 1, 5000), 0);
        EXPECT(ap_wait());
        EXPECT_EQ(ap_calls, 0);
    }
    set_entry(&more_table, 1, 0);
    differ_no_more();
}

/* -- Probes ---------------------------------------------------------------------------------------------- */

/* Nothing but the guest's own is where 32-bit addresses lead, so probes are no reason to do without the window. */
OWN_TEST(probes_of_what_is_not_mapped_fault_always)
{
    u32 x = 2463534242u;

    for (u32 lin = 0xa0000000; lin < 0xb0000000; lin += LARGE) {
        map_nothing(&boot_space, lin);
    }
    toggle_pge();
    for (unsigned i = 0; i < 300; i++) {
        u32 at;
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        at = 0xa0000000 | (x & 0x0ffffffc);
        EXPECT_TRAP(TRY(load(at)), VECTOR_PF, 0);
        EXPECT_EQ(trap.cr2, at);
        EXPECT_TRAP(TRY(store(at, x)), VECTOR_PF, W);
        EXPECT_EQ(trap.cr2, at);
        EXPECT_EQ(load(TEST), 0xaaaa);
        store(TEST + 8, i);
        EXPECT_EQ(*word_of(page_a, 8), i);
    }
}

#define TESTS(T)                                                                                   \
    WINDOW_TESTS(T)                                                                                \
    WINDOW_SMP_TESTS(T)                                                                            \
    T(one_address_of_a_large_page_that_was_split)                                                  \
    T(pages_that_are_not_global_change_with_cr3)                                                   \
    T(directories_that_differ_are_told_apart)                                                      \
    T(a_page_that_is_no_longer_global_changes_with_cr3)                                            \
    T(addresses_wrap_at_4_gib)                                                                     \
    T(segments_have_bases_and_limits)                                                              \
    T(null_is_nobodys)                                                                             \
    T(stacks_grow_and_shrink)                                                                      \
    T(each_cpu_sees_its_own_directory)                                                             \
    T(each_cpu_reads_tables_in_its_own_way)                                                        \
    T(runs_end_with_their_part_of_the_directory)                                                   \
    T(calls_over_a_page_end_follow_the_tables)                                                     \
    T(each_cpu_calls_what_its_own_tables_say)                                                      \
    T(probes_of_what_is_not_mapped_fault_always)
#define PLAIN(name) {"plain_" #name, name},
#define PAE(name) {"pae_" #name, name},
#define AGAIN(name) {"again_" #name, name},

const GuestTest guest_tests[] = {
    {"the_second_cpu_starts", the_second_cpu_starts},
    {"tables_of_two_levels", tables_of_two_levels},
    TESTS(PLAIN)
    {"tables_of_pae", tables_of_pae},
    TESTS(PAE)
    {"tables_of_two_levels_again", tables_of_two_levels},
    TESTS(AGAIN)
    {NULL, NULL},
};
