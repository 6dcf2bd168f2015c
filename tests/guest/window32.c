/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 32-bit kernel with global pages (softmmu/window.h): its memory changes under it in all the ways there are, by tables of
 * two levels and then of PAE.  It lies in the low half.  What a function does with an address is inline in it, so that
 * instructions that meet something odd are nobody else's.
 */
#include "tests/guest/ap.h"

enum { P = 1, W = 2, U = 4, PCD = 0x10, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
enum { KERNEL = P | W | G, READ_ONLY = P | G, TABLE = P | W | U };
enum { PAGE = 4096, TURNS = 60, FAULT_TURNS = 5, VEC_FLUSH = 0x63, SEL_BASED = SEL_SPARE, SEL_SHORT = SEL_SPARE + 8 };

/* One table's worth of addresses each, where GiB 2 is mapped to itself at the start. */
#define TEST 0x90000000u
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
static u8 page_a[PAGE] PAGE_ALIGNED, page_b[PAGE] PAGE_ALIGNED, ap_page[PAGE] PAGE_ALIGNED;
static bool pae;

#define INLINE static inline __attribute__((always_inline))

INLINE u32 load(u32 at)
{
    u32 v;
    __asm__ volatile("movl (%1), %0" : "=r"(v) : "r"(at) : "memory");
    return v;
}

INLINE void store(u32 at, u32 v)
{
    __asm__ volatile("movl %1, (%0)" : : "r"(at), "r"(v) : "memory");
}

/* Read, write and read at once. */
INLINE u32 add(u32 at, u32 v)
{
    __asm__ volatile("lock xaddl %0, (%1)" : "+r"(v) : "r"(at) : "memory", "cc");
    return v;
}

/* A page's own word, seen by the address that it has everywhere. */
INLINE volatile u32 *word_of(u8 *page, unsigned at)
{
    return (volatile u32 *)(page + at);
}

/* -- Tables --------------------------------------------------------------------------------------- */

static u32 entry(Table *t, unsigned i)
{
    return pae ? (u32)t->pae_entry[0][i] : t->entry[i];
}

/* Both formats always, so that a CPU that reads the other finds the same. */
static void set_entry(Table *t, unsigned i, u32 e)
{
    t->entry[i] = e;
    t->pae_entry[i / 512][i % 512] = e;
}

static void clear_bits(Table *t, unsigned i, u32 bits)
{
    t->entry[i] &= ~bits;
    t->pae_entry[i / 512][i % 512] &= ~(u64)bits;
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

static void toggle_pge(void)
{
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    write_cr4(read_cr4() | CR4_PGE);
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

/* A test with a page of its own mapped at TEST. */
#define TEST_WITH_PAGES(name)                                                                      \
    static void name##_body(void);                                                                 \
    static void name(void)                                                                         \
    {                                                                                              \
        *word_of(page_a, 0) = 0xaaaa;                                                              \
        *word_of(page_b, 0) = 0xbbbb;                                                              \
        set_entry(&table, 0, (u32)page_a | KERNEL);                                                \
        set_entry(&table, 1, 0);                                                                   \
        invlpg(TEST);                                                                              \
        invlpg(TEST + PAGE);                                                                       \
        name##_body();                                                                             \
    }                                                                                              \
    static void name##_body(void)

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

static u8 *turn(unsigned i)
{
    u8 *page = i & 1 ? page_b : page_a;

    set_entry(&table, 0, (u32)page | KERNEL);
    return page;
}

TEST_WITH_PAGES(remapped_pages_are_seen_after_invlpg)
{
    for (unsigned i = 0; i < TURNS; i++) {
        u8 *page = turn(i);
        invlpg(TEST + 0x123);
        EXPECT_EQ(load(TEST), i & 1 ? 0xbbbb : 0xaaaa);
        store(TEST + 8, i);
        EXPECT_EQ(*word_of(page, 8), i);
        EXPECT_EQ(add(TEST + 8, 5), i);
        EXPECT_EQ(*word_of(page, 8), i + 5);
    }
}

TEST_WITH_PAGES(stores_first_see_a_remapped_page_too)
{
    for (unsigned i = 0; i < TURNS; i++) {
        u8 *page = turn(i);
        *word_of(page, 16) = 0;
        invlpg(TEST);
        store(TEST + 16, i + 1);
        EXPECT_EQ(*word_of(page, 16), i + 1);
    }
}

TEST_WITH_PAGES(remapped_pages_are_seen_after_a_toggle_of_pge)
{
    for (unsigned i = 0; i < TURNS; i++) {
        u8 *page = turn(i);
        toggle_pge();
        EXPECT_EQ(load(TEST), i & 1 ? 0xbbbb : 0xaaaa);
        store(TEST + 8, i);
        EXPECT_EQ(*word_of(page, 8), i);
    }
}

TEST_WITH_PAGES(unmapped_pages_fault_after_invlpg)
{
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        set_entry(&table, 0, (u32)page_a | KERNEL);
        invlpg(TEST);
        store(TEST + 8, i);
        EXPECT_EQ(load(TEST + 8), i);
        set_entry(&table, 0, 0);
        invlpg(TEST);
        EXPECT_TRAP(TRY(load(TEST + 8)), VECTOR_PF, 0);
        EXPECT_EQ(trap.cr2, TEST + 8);
        EXPECT_TRAP(TRY(store(TEST + 24, i)), VECTOR_PF, W);
        EXPECT_EQ(trap.cr2, TEST + 24);
    }
}

/* 4 MiB at a physical address that nobody else uses, and one page elsewhere. */
enum { LARGE_AT = 0x1000000, LARGE = 1 << 22, SPLIT_TURNS = 4 };

TEST_WITH_PAGES(one_address_of_a_large_page_that_was_split)
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

TEST_WITH_PAGES(global_pages_stay_over_cr3_or_are_new)
{
    for (unsigned i = 0; i < TURNS; i++) {
        u32 old = load(TEST), v;
        turn(i);
        write_cr3(read_cr3());
        v = load(TEST);           /* the old one may have been thrown out */
        EXPECT(v == old || v == (i & 1 ? 0xbbbb : 0xaaaa));
        invlpg(TEST);
        EXPECT_EQ(load(TEST), i & 1 ? 0xbbbb : 0xaaaa);
    }
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
    set_entry(&table, 0, (u32)page_a | bits);
    invlpg(TEST);
    toggle_pge();
}

static void differ_no_more(void)
{
    map_nothing(&boot_space, MORE);
    write_cr3(root(&boot_space));
    toggle_pge();
}

TEST_WITH_PAGES(pages_that_are_not_global_change_with_cr3)
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

TEST_WITH_PAGES(directories_that_differ_are_told_apart)
{
    differ_at_more(KERNEL);
    for (unsigned i = 0; i < TURNS; i++) {
        write_cr3(root(i & 1 ? &other_space : &boot_space));
        toggle_pge();
        EXPECT_EQ(load(MORE), i & 1 ? 0xbbbb : 0xaaaa);
        store(MORE + 8, i);
        EXPECT_EQ(*word_of(i & 1 ? page_b : page_a, 8), i);
    }
    differ_no_more();
}

TEST_WITH_PAGES(a_page_that_is_no_longer_global_changes_with_cr3)
{
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        set_entry(&table, 0, (u32)page_a | KERNEL);
        invlpg(TEST);
        EXPECT_EQ(load(TEST), 0xaaaa);
        clear_bits(&table, 0, G);
        invlpg(TEST);
        EXPECT_EQ(load(TEST), 0xaaaa);
        set_entry(&table, 0, (u32)page_b | P | W);
        write_cr3(read_cr3());
        EXPECT_EQ(load(TEST), 0xbbbb);
    }
}

/* -- Rights ------------------------------------------------------------------------------------- */

TEST_WITH_PAGES(stores_to_read_only_pages_fault)
{
    *word_of(page_a, 8) = 77;
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        set_entry(&table, 0, (u32)page_a | READ_ONLY);
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
    set_entry(&table, 0, (u32)page_a | KERNEL); /* more rights need no flush */
    store(TEST + 8, 78);
    EXPECT_EQ(*word_of(page_a, 8), 78);
}

TEST_WITH_PAGES(accesses_mark_pages)
{
    for (unsigned i = 0; i < TURNS; i++) {
        set_entry(&table, 0, (u32)page_a | KERNEL);
        invlpg(TEST);
        (void)load(TEST);
        EXPECT_EQ(entry(&table, 0) & (A | D), A);
        (void)load(TEST);
        EXPECT_EQ(entry(&table, 0) & (A | D), A);
        store(TEST + 8, i);
        EXPECT_EQ(entry(&table, 0) & (A | D), A | D);
        clear_bits(&table, 0, D);
        invlpg(TEST);
        (void)load(TEST);
        EXPECT_EQ(entry(&table, 0) & (A | D), A);
        store(TEST + 8, i);
        EXPECT_EQ(entry(&table, 0) & (A | D), A | D);
    }
}

/* One page that is read marks none of those beside it. */
TEST_WITH_PAGES(only_the_page_used_is_marked)
{
    for (unsigned n = 0; n < 16; n++) {
        for (unsigned i = 0; i < 32; i++) {
            set_entry(&table, i, (LARGE_AT + i * PAGE) | KERNEL);
            invlpg(TEST + i * PAGE);
        }
        (void)load(TEST + n * PAGE);
        store(TEST + (n + 1) * PAGE, 1);
        for (unsigned i = 0; i < 32; i++) {
            EXPECT_EQ(entry(&table, i) & (A | D), i == n ? A : i == n + 1 ? A | D : 0);
        }
    }
    for (unsigned i = 1; i < 32; i++) {
        set_entry(&table, i, 0);
        invlpg(TEST + i * PAGE);
    }
}

TEST_WITH_PAGES(users_pages_and_smap)
{
    if (!HAS_SMAP) {
        test_skip("no SMAP");
        return;
    }
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        set_entry(&table, 0, (u32)page_a | KERNEL);
        invlpg(TEST);
        store(TEST + 8, i);
        set_entry(&table, 0, (u32)page_a | KERNEL | U);
        invlpg(TEST);
        EXPECT_EQ(load(TEST + 8), i);
        write_cr4(read_cr4() | CR4_SMAP);
        EXPECT_TRAP(TRY(load(TEST)), VECTOR_PF, P);
        EXPECT_TRAP(TRY(store(TEST + 8, 0)), VECTOR_PF, P | W);
        __asm__ volatile("stac");
        EXPECT_EQ(load(TEST + 8), i);
        __asm__ volatile("clac");
        write_cr4(read_cr4() & ~(word)CR4_SMAP);
    }
}

/* -- Devices and guilt ------------------------------------------------------------------------------- */

TEST_WITH_PAGES(devices_answer)
{
    set_entry(&table, 1, 0xfee00000 | KERNEL | PCD);
    set_entry(&table, 2, 0xb8000 | KERNEL | PCD);
    invlpg(TEST + 2 * PAGE);
    for (unsigned i = 0; i < TURNS; i++) {
        EXPECT_EQ(load(TEST + PAGE + 0x30), *(volatile u32 *)0xfee00030);
        store(TEST + PAGE + APIC_DIVIDE, i & 3);
        EXPECT_EQ(apic_read(APIC_DIVIDE), i & 3);
        store(TEST + 2 * PAGE + 4 * i, 0x07200741 + i);
        EXPECT_EQ(load(TEST + 2 * PAGE + 4 * i), *(volatile u32 *)(0xb8000 + 4 * i));
        EXPECT_EQ(load(TEST), 0xaaaa);
    }
    set_entry(&table, 2, 0);
    invlpg(TEST + 2 * PAGE);
}

/* The same instruction, on memory, on a device, where nothing is, on a user's page, and on memory again. */
static __attribute__((noinline)) u32 visit(u32 at, u32 v)
{
    u32 old = load(at);

    store(at, v);
    return old;
}

TEST_WITH_PAGES(an_innocent_instruction_turns_guilty_and_works_on)
{
    *word_of(page_a, 8) = 0;
    for (unsigned i = 0; i < 1000; i++) {
        EXPECT_EQ(visit(TEST + 8, i + 1), i);
    }
    set_entry(&table, 1, 0xfee00000 | KERNEL | PCD);
    visit(TEST + PAGE + APIC_DIVIDE, 0xb);
    EXPECT_EQ(apic_read(APIC_DIVIDE), 0xb);
    for (unsigned i = 1000; i < 2000; i++) {
        EXPECT_EQ(visit(TEST + 8, i + 1), i);
    }
    set_entry(&table, 1, 0);
    invlpg(TEST + PAGE);
    EXPECT_TRAP(TRY(visit(TEST + PAGE, 1)), VECTOR_PF, 0);
    visit(USER(page_b) + 32, 5);
    EXPECT_EQ(*word_of(page_b, 32), 5);
    for (unsigned i = 2000; i < 3000; i++) {
        EXPECT_EQ(visit(TEST + 8, i + 1), i);
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

TEST_WITH_PAGES(code_written_by_another_alias_runs_as_written)
{
    put_code(page_a, 0);
    set_entry(&table, 1, (u32)page_a | KERNEL);
    for (u32 i = 0; i < 300; i++) {
        store(TEST + PAGE + 1, i);
        EXPECT_EQ(((u32 (*)(void))TEST)(), i);
    }
}

TEST_WITH_PAGES(data_beside_code_is_written_and_read)
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

TEST_WITH_PAGES(code_that_moves_runs_from_its_new_place)
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

/* mov eax, [eax + offset]; ret */
static void put_load(u8 *page, u8 offset)
{
    page[0] = 0x8b;
    page[1] = 0x40;
    page[2] = offset;
    page[3] = 0xc3;
}

/* What takes a place of guilty code is innocent, and does what it says. */
TEST_WITH_PAGES(code_that_was_guilty_is_rewritten)
{
    u32 (*f)(u32 at) = (u32 (*)(u32))(TEST + 0x100);

    for (unsigned i = 0; i < 20; i++) {
        put_load(page_a + 0x100, 0x20);
        *word_of(page_b, 0x20) = i;
        EXPECT_EQ(f(USER(page_b)), i);
        EXPECT_EQ(f((u32)page_b), i);
        put_load(page_a + 0x100, 0x24 + 4 * (i % 4));
        *word_of(page_b, 0x24 + 4 * (i % 4)) = ~i;
        EXPECT_EQ(f((u32)page_b), ~i);
        EXPECT_EQ(f(USER(page_b)), ~i);
    }
}

/* -- Addresses and segments ------------------------------------------------------------------------- */

TEST_WITH_PAGES(addresses_wrap_at_4_gib)
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

TEST_WITH_PAGES(segments_have_bases_and_limits)
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

TEST_WITH_PAGES(null_is_nobodys)
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

TEST_WITH_PAGES(repeated_moves_stop_where_the_page_ends)
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

/* A stack in hot code: calls, pushes, frames. */
static __attribute__((noinline)) u32 deep(u32 n)
{
    return n == 0 ? 0 : n + deep(n - 1);
}

TEST_WITH_PAGES(stacks_grow_and_shrink)
{
    u32 n = 0;

    for (unsigned i = 0; i < 8; i++) {
        set_entry(&table, i, (LARGE_AT + i * PAGE) | KERNEL);
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
        set_entry(&table, i, 0);
        invlpg(TEST + i * PAGE);
    }
}

TEST_WITH_PAGES(data_breakpoints_stop_stores)
{
    for (unsigned i = 0; i < TURNS; i++) {
        store(TEST + 16, i);      /* mapped, and unwatched */
        write_dr0(TEST + 16);
        write_dr6(0xffff0ff0);
        write_dr7(0x400 | 2 | 1 << 16 | 3 << 18); /* G0, stores, 4 bytes */
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

static void the_second_cpu_starts(void)
{
    apic_enable();
    have_ap = start_ap();
    NEED_AP();
}

static volatile word flushed, ap_stop;

static bool on_flush(Frame *f)
{
    invlpg(TEST);
    flushed++;
    apic_write(APIC_EOI, 0);
    return true;
}

static void job_write(void)
{
    enter_space(&boot_space);
    sti();
    while (!ap_stop) {
        add(TEST + 8, 1);
        store(TEST + 16, load(TEST + 8));
    }
    cli();
}

/* After the acknowledgement the page that was taken away gets no more stores. */
TEST_WITH_PAGES(no_store_comes_after_a_shoot_down)
{
    NEED_AP();
    trap_hook[VEC_FLUSH] = on_flush;
    flushed = ap_stop = 0;
    ap_run(job_write);
    for (word i = 1; i <= 50; i++) {
        u8 *old = i & 1 ? page_a : page_b, *new = turn((unsigned)i);
        u32 count, start = *word_of(new, 8);
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
    EXPECT_EQ(flushed, 50);
    ap_stop = 1;
    EXPECT(ap_wait());
}

static volatile u32 ap_wrong;
static volatile word ap_ready, ap_go;
static bool ap_otherwise;         /* its tables are of the other format */

INLINE u32 count_at(u32 at, u32 mine)
{
    u32 wrong = 0;

    for (u32 i = 0; i < 20000; i++) {
        wrong += load(at) != mine;
        wrong += add(at + 8, 1) != i;
    }
    return wrong;
}

/* With tables of its own. */
static void job_count(void)
{
    bool format = pae != ap_otherwise;

    write_cr0(read_cr0() & ~(word)CR0_PG);
    write_cr4((read_cr4() & ~(word)CR4_PAE) | (format ? CR4_PAE : 0));
    write_cr3(format ? (word)ap_space.pdpt : (word)ap_space.dir);
    write_cr0(read_cr0() | CR0_PG | CR0_WP);
    write_cr4(read_cr4() | CR4_PGE);
    ap_ready = 1;
    while (!ap_go) {
        cpu_relax();
    }
    ap_wrong = count_at(MORE, 0xcccc);
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

/* The AP's page is ap_page with 0xcccc, the BSP's page_a with 0xaaaa, both at MORE. */
static void count_apart(void)
{
    u32 wrong;

    *word_of(ap_page, 0) = 0xcccc;
    *word_of(ap_page, 8) = *word_of(page_a, 8) = 0;
    ap_wrong = ~0u;
    ap_ready = ap_go = 0;
    ap_run(job_count);
    EXPECT(wait_for(&ap_ready, 1));
    ap_go = 1;
    wrong = count_at(MORE, 0xaaaa);
    EXPECT(ap_wait());
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(ap_wrong, 0);
    EXPECT_EQ(*word_of(page_a, 8), 20000);
    EXPECT_EQ(*word_of(ap_page, 8), 20000);
}

TEST_WITH_PAGES(each_cpu_sees_its_own_directory)
{
    NEED_AP();
    ap_otherwise = false;
    prepare_apart();
    for (unsigned i = 0; i < 5; i++) {
        count_apart();
    }
    differ_no_more();
}

TEST_WITH_PAGES(each_cpu_reads_tables_in_its_own_way)
{
    NEED_AP();
    ap_otherwise = true;
    prepare_apart();
    for (unsigned i = 0; i < 5; i++) {
        count_apart();
    }
    ap_otherwise = false;
    differ_no_more();
}

/* One CPU's pages go on where the other's are other pages: nothing of the first may spill over a table's end. */
TEST_WITH_PAGES(runs_end_with_their_part_of_the_directory)
{
    NEED_AP();
    prepare_apart();
    map_large(&boot_space, MORE - LARGE, LARGE_AT, KERNEL | A | D);
    map_large(&boot_space, MORE, LARGE_AT + LARGE, KERNEL | A | D);
    toggle_pge();
    *word_of(ap_page, 0) = 0xcccc;
    *word_of(ap_page, 8) = 0;
    *(volatile u32 *)(LARGE_AT + LARGE + 8) = 0;
    ap_ready = ap_go = 0;
    ap_run(job_count);
    EXPECT(wait_for(&ap_ready, 1));
    for (unsigned i = 0; i < 10; i++) {
        store(MORE - 8, i);
    }
    ap_go = 1;
    EXPECT(ap_wait());
    EXPECT_EQ(ap_wrong, 0);
    EXPECT_EQ(*word_of(ap_page, 8), 20000);
    EXPECT_EQ(*(volatile u32 *)(LARGE_AT + LARGE + 8), 0);
    map_nothing(&boot_space, MORE - LARGE);
    differ_no_more();
}

/* -- Probes ---------------------------------------------------------------------------------------------- */

/* Nothing but the guest's own is where 32-bit addresses lead, so probes are no reason to do without the window. */
TEST_WITH_PAGES(probes_of_what_is_not_mapped_fault_always)
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

#define TESTS(prefix)                                                                              \
    {prefix "remapped_pages_are_seen_after_invlpg", remapped_pages_are_seen_after_invlpg},         \
    {prefix "stores_first_see_a_remapped_page_too", stores_first_see_a_remapped_page_too},         \
    {prefix "remapped_pages_are_seen_after_a_toggle_of_pge", remapped_pages_are_seen_after_a_toggle_of_pge}, \
    {prefix "unmapped_pages_fault_after_invlpg", unmapped_pages_fault_after_invlpg},               \
    {prefix "one_address_of_a_large_page_that_was_split", one_address_of_a_large_page_that_was_split}, \
    {prefix "global_pages_stay_over_cr3_or_are_new", global_pages_stay_over_cr3_or_are_new},       \
    {prefix "pages_that_are_not_global_change_with_cr3", pages_that_are_not_global_change_with_cr3}, \
    {prefix "directories_that_differ_are_told_apart", directories_that_differ_are_told_apart},     \
    {prefix "a_page_that_is_no_longer_global_changes_with_cr3", a_page_that_is_no_longer_global_changes_with_cr3}, \
    {prefix "stores_to_read_only_pages_fault", stores_to_read_only_pages_fault},                   \
    {prefix "accesses_mark_pages", accesses_mark_pages},                                           \
    {prefix "only_the_page_used_is_marked", only_the_page_used_is_marked},                         \
    {prefix "users_pages_and_smap", users_pages_and_smap},                                         \
    {prefix "devices_answer", devices_answer},                                                     \
    {prefix "an_innocent_instruction_turns_guilty_and_works_on", an_innocent_instruction_turns_guilty_and_works_on}, \
    {prefix "code_written_by_another_alias_runs_as_written", code_written_by_another_alias_runs_as_written}, \
    {prefix "data_beside_code_is_written_and_read", data_beside_code_is_written_and_read},         \
    {prefix "code_that_moves_runs_from_its_new_place", code_that_moves_runs_from_its_new_place},   \
    {prefix "code_that_was_guilty_is_rewritten", code_that_was_guilty_is_rewritten},               \
    {prefix "addresses_wrap_at_4_gib", addresses_wrap_at_4_gib},                                   \
    {prefix "segments_have_bases_and_limits", segments_have_bases_and_limits},                     \
    {prefix "null_is_nobodys", null_is_nobodys},                                                   \
    {prefix "repeated_moves_stop_where_the_page_ends", repeated_moves_stop_where_the_page_ends},   \
    {prefix "stacks_grow_and_shrink", stacks_grow_and_shrink},                                     \
    {prefix "data_breakpoints_stop_stores", data_breakpoints_stop_stores},                         \
    {prefix "no_store_comes_after_a_shoot_down", no_store_comes_after_a_shoot_down},               \
    {prefix "each_cpu_sees_its_own_directory", each_cpu_sees_its_own_directory},                   \
    {prefix "each_cpu_reads_tables_in_its_own_way", each_cpu_reads_tables_in_its_own_way},         \
    {prefix "runs_end_with_their_part_of_the_directory", runs_end_with_their_part_of_the_directory}, \
    {prefix "probes_of_what_is_not_mapped_fault_always", probes_of_what_is_not_mapped_fault_always}

const GuestTest guest_tests[] = {
    {"the_second_cpu_starts", the_second_cpu_starts},
    {"tables_of_two_levels", tables_of_two_levels},
    TESTS("plain_"),
    {"tables_of_pae", tables_of_pae},
    TESTS("pae_"),
    {"tables_of_two_levels_again", tables_of_two_levels},
    TESTS("again_"),
    {NULL, NULL},
};
