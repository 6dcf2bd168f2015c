/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel in the upper half (softmmu/window.h): its memory changes under it in all the ways there are.
 *
 * The image is linked low; run_high() runs a function at its alias in the upper half, on an alias of the stack.  What
 * a function does with an address is inline in it, so that instructions that meet something odd are nobody else's.
 */
#include "tests/guest/ap.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100, PCD = 0x10 };
enum { KERNEL = P | W | G, READ_ONLY = P | G };
/* Of faults few: many are taken for probes, and end the window (policy.c, window_distrust). */
enum { PAGE = 4096, TURNS = 60, FAULT_TURNS = 5, VEC_FLUSH = 0x63 };

#define HIGH 0xffffffff80000000ull
#define SLOT_BASE(slot) (0xffff000000000000ull | (u64)(slot) << 39)
enum { SLOT = 300, SLOT_MORE, SLOT_DIFFER, SLOT_OWN, SLOT_LAST, SLOT_FIRST, SLOT_SHARED };
#define TEST SLOT_BASE(SLOT)

typedef struct {
    u64 pdpt[512], pd[512], pt[512];
} Tables;

extern u64 boot_pml4[512];
static u64 high_pdpt[512] PAGE_ALIGNED, high_pd[512] PAGE_ALIGNED, other_pml4[512] PAGE_ALIGNED;
static Tables tables PAGE_ALIGNED, more_tables PAGE_ALIGNED;
static u8 page_a[PAGE] PAGE_ALIGNED, page_b[PAGE] PAGE_ALIGNED;

#define INLINE static inline __attribute__((always_inline))

INLINE u64 load(u64 at)
{
    u64 v;
    __asm__ volatile("movq (%1), %0" : "=r"(v) : "r"(at) : "memory");
    return v;
}

INLINE void store(u64 at, u64 v)
{
    __asm__ volatile("movq %1, (%0)" : : "r"(at), "r"(v) : "memory");
}

/* Read, write and read at once. */
INLINE u64 add(u64 at, u64 v)
{
    __asm__ volatile("lock xaddq %0, (%1)" : "+r"(v) : "r"(at) : "memory", "cc");
    return v;
}

/* A page's own number, seen by the low address. */
INLINE volatile u64 *word_of(u8 *page, unsigned at)
{
    return (volatile u64 *)(page + at);
}

static void map_into(Tables *t, unsigned slot, u64 *pml4)
{
    memset(t, 0, sizeof *t);
    t->pdpt[0] = (u64)t->pd | P | W | U;
    t->pd[0] = (u64)t->pt | P | W | U;
    pml4[slot] = (u64)t->pdpt | P | W | U;
}

static void run_high(void (*f)(void))
{
    __asm__ volatile("movq %%rsp, %%r12; addq %1, %%rsp; call *%0; movq %%r12, %%rsp"
                     : : "r"((u64)f + HIGH), "r"(HIGH)
                     : "r12", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
}

/* A test whose body runs up there, with a page of its own mapped at TEST. */
#define HIGH_TEST(name)                                                                            \
    static void name##_high(void);                                                                 \
    static void name(void)                                                                         \
    {                                                                                              \
        *word_of(page_a, 0) = 0xaaaa;                                                              \
        *word_of(page_b, 0) = 0xbbbb;                                                              \
        tables.pt[0] = (u64)page_a | KERNEL;                                                       \
        tables.pt[1] = 0;                                                                          \
        invlpg(TEST);                                                                              \
        invlpg(TEST + PAGE);                                                                       \
        run_high(name##_high);                                                                     \
    }                                                                                              \
    static void name##_high(void)

static u64 rip_now(void)
{
    u64 v;
    __asm__ volatile("leaq 0(%%rip), %0" : "=r"(v));
    return v;
}

/* What a CPU needs for the window. */
static void enable(void)
{
    write_cr0(read_cr0() | CR0_WP);
    write_cr4(read_cr4() | CR4_PGE);
}

static void say_where(void)
{
    EXPECT(rip_now() > HIGH);
}

static void the_kernel_moves_up(void)
{
    high_pdpt[510] = (u64)high_pd | P | W;
    for (unsigned i = 0; i < 512; i++) {
        high_pd[i] = (u64)i << 21 | KERNEL | PS;
    }
    boot_pml4[511] = (u64)high_pdpt | P | W;
    map_into(&tables, SLOT, boot_pml4);
    enable();
    run_high(say_where);
}

/* -- Pages change ------------------------------------------------------------------------------- */

static u8 *turn(unsigned i)
{
    u8 *page = i & 1 ? page_b : page_a;

    tables.pt[0] = (u64)page | KERNEL;
    return page;
}

HIGH_TEST(remapped_pages_are_seen_after_invlpg)
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

HIGH_TEST(stores_first_see_a_remapped_page_too)
{
    for (unsigned i = 0; i < TURNS; i++) {
        u8 *page = turn(i);
        *word_of(page, 16) = 0;
        invlpg(TEST);
        store(TEST + 16, i + 1);
        EXPECT_EQ(*word_of(page, 16), i + 1);
    }
}

HIGH_TEST(remapped_pages_are_seen_after_a_toggle_of_pge)
{
    for (unsigned i = 0; i < TURNS; i++) {
        u8 *page = turn(i);
        write_cr4(read_cr4() & ~(word)CR4_PGE);
        write_cr4(read_cr4() | CR4_PGE);
        EXPECT_EQ(load(TEST), i & 1 ? 0xbbbb : 0xaaaa);
        store(TEST + 8, i);
        EXPECT_EQ(*word_of(page, 8), i);
    }
}

HIGH_TEST(remapped_pages_are_seen_after_invpcid_of_all)
{
    struct {
        u64 pcid, lin;
    } desc = {0, 0};

    if (!cpu_has(7, 0, 1, 10)) {
        test_skip("no INVPCID");
        return;
    }
    for (unsigned i = 0; i < TURNS; i++) {
        turn(i);
        __asm__ volatile("invpcid %0, %1" : : "m"(desc), "r"(2ul) : "memory");
        EXPECT_EQ(load(TEST), i & 1 ? 0xbbbb : 0xaaaa);
    }
}

HIGH_TEST(unmapped_pages_fault_after_invlpg)
{
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        tables.pt[0] = (u64)page_a | KERNEL;
        invlpg(TEST);
        store(TEST + 8, i);
        EXPECT_EQ(load(TEST + 8), i);
        tables.pt[0] = 0;
        invlpg(TEST);
        EXPECT_TRAP(TRY(load(TEST + 8)), VECTOR_PF, 0);
        EXPECT_EQ(trap.cr2, TEST + 8);
        EXPECT_TRAP(TRY(store(TEST + 24, i)), VECTOR_PF, W);
        EXPECT_EQ(trap.cr2, TEST + 24);
    }
}

/* 2 MiB at a physical address that nobody else uses, and one page elsewhere. */
enum { LARGE_AT = 0x1000000, LARGE = 1 << 21, SPLIT_TURNS = 6 };

HIGH_TEST(one_address_of_a_large_page_that_was_split)
{
    const u64 base = TEST + LARGE;

    for (unsigned n = 0; n < SPLIT_TURNS; n++) {
        unsigned odd = (n * 97 + 3) % 512;
        tables.pd[1] = LARGE_AT | KERNEL | PS;
        invlpg(base);
        for (unsigned i = 0; i < 512; i++) {
            store(base + i * PAGE, i);
            EXPECT_EQ(load(base + i * PAGE), i);
        }
        for (unsigned i = 0; i < 512; i++) {
            more_tables.pt[i] = (LARGE_AT + i * PAGE) | KERNEL;
        }
        more_tables.pt[odd] = (u64)page_b | KERNEL;
        tables.pd[1] = (u64)more_tables.pt | P | W;
        *word_of(page_b, 8) = 0;
        invlpg(base + odd * PAGE + 8);
        EXPECT_EQ(load(base + odd * PAGE), 0xbbbb);
        for (unsigned i = 0; i < 512; i++) {
            EXPECT_EQ(load(base + i * PAGE), i == odd ? 0xbbbb : i);
            add(base + i * PAGE + 8, 1);
        }
        EXPECT_EQ(*word_of(page_b, 8), 1);
        EXPECT_EQ(*(volatile u64 *)(LARGE_AT + (u64)odd * PAGE), odd); /* still there */
        more_tables.pt[odd] = (LARGE_AT + odd * PAGE) | KERNEL;
        invlpg(base + odd * PAGE);
        EXPECT_EQ(load(base + odd * PAGE), odd);
    }
    tables.pd[1] = 0;
    invlpg(base);
    EXPECT_TRAP(TRY(load(base)), VECTOR_PF, 0);
}

HIGH_TEST(global_pages_stay_over_cr3_or_are_new)
{
    for (unsigned i = 0; i < TURNS; i++) {
        u64 old = load(TEST), v;
        turn(i);
        write_cr3(read_cr3());
        v = load(TEST);           /* the old one may have been thrown out */
        EXPECT(v == old || v == (i & 1 ? 0xbbbb : 0xaaaa));
        invlpg(TEST);
        EXPECT_EQ(load(TEST), i & 1 ? 0xbbbb : 0xaaaa);
    }
}

HIGH_TEST(pages_that_are_not_global_change_with_cr3)
{
    u64 cr3 = read_cr3();

    memcpy(other_pml4, boot_pml4, sizeof other_pml4);
    map_into(&more_tables, SLOT_MORE, other_pml4);
    more_tables.pt[0] = (u64)page_b | P | W;
    boot_pml4[SLOT_MORE] = (u64)tables.pdpt | P | W; /* the same address, page_a */
    tables.pt[0] = (u64)page_a | P | W;
    invlpg(TEST);
    for (unsigned i = 0; i < TURNS; i++) {
        write_cr3((u64)other_pml4);
        EXPECT_EQ(load(SLOT_BASE(SLOT_MORE)), 0xbbbb);
        store(SLOT_BASE(SLOT_MORE) + 8, i);
        write_cr3(cr3);
        EXPECT_EQ(load(SLOT_BASE(SLOT_MORE)), 0xaaaa);
        store(SLOT_BASE(SLOT_MORE) + 8, ~(u64)i);
        EXPECT_EQ(*word_of(page_b, 8), i);
        EXPECT_EQ(*word_of(page_a, 8), ~(u64)i);
    }
    boot_pml4[SLOT_MORE] = 0;
    write_cr3(cr3);
}

/* Global pages in a part of the root table that differs: with a flush of everything each time. */
HIGH_TEST(root_tables_that_differ_are_told_apart)
{
    u64 cr3 = read_cr3();

    memcpy(other_pml4, boot_pml4, sizeof other_pml4);
    boot_pml4[SLOT_DIFFER] = (u64)tables.pdpt | P | W;
    map_into(&more_tables, SLOT_DIFFER, other_pml4);
    more_tables.pt[0] = (u64)page_b | KERNEL;
    for (unsigned i = 0; i < TURNS; i++) {
        write_cr3(i & 1 ? (u64)other_pml4 : cr3);
        write_cr4(read_cr4() & ~(word)CR4_PGE);
        write_cr4(read_cr4() | CR4_PGE);
        EXPECT_EQ(load(SLOT_BASE(SLOT_DIFFER)), i & 1 ? 0xbbbb : 0xaaaa);
        store(SLOT_BASE(SLOT_DIFFER) + 8, i);
        EXPECT_EQ(*word_of(i & 1 ? page_b : page_a, 8), i);
    }
    boot_pml4[SLOT_DIFFER] = 0;
    write_cr3(cr3);
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    write_cr4(read_cr4() | CR4_PGE);
}

/* As with page-table isolation: what is flushed while the tables in use have not the page must be seen by those that have. */
HIGH_TEST(flushes_by_tables_that_lack_a_part_count)
{
    u64 cr3 = read_cr3(), sum = 0;

    memcpy(other_pml4, boot_pml4, sizeof other_pml4);
    other_pml4[SLOT] = 0;
    for (unsigned i = 0; i < TURNS; i++) {
        store(TEST + 8, ~(u64)i);
        write_cr3((u64)other_pml4);
        turn(i);
        if (i % 3 == 0) {
            invlpg(TEST);
        } else {
            write_cr4(read_cr4() & ~(word)CR4_PGE);
            write_cr4(read_cr4() | CR4_PGE);
        }
        for (unsigned n = 0; i % 4 == 0 && n < 300; n++) { /* long enough to be taken at its word */
            write_cr3(read_cr3());
            sum += n;
        }
        write_cr3(cr3);
        EXPECT_EQ(load(TEST), i & 1 ? 0xbbbb : 0xaaaa);
        store(TEST + 8, i);
        EXPECT_EQ(*word_of(i & 1 ? page_b : page_a, 8), i);
    }
    EXPECT_EQ(sum, TURNS / 4 * (299 * 300 / 2));
    write_cr3((u64)other_pml4);
    invlpg(TEST);
    EXPECT_TRAP(TRY(load(TEST)), VECTOR_PF, 0);
    write_cr3(cr3);
}

/* -- Rights ------------------------------------------------------------------------------------- */

HIGH_TEST(stores_to_read_only_pages_fault)
{
    *word_of(page_a, 8) = 77;
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        tables.pt[0] = (u64)page_a | READ_ONLY;
        invlpg(TEST);
        EXPECT_EQ(load(TEST), 0xaaaa);
        EXPECT_TRAP(TRY(store(TEST + 8, i)), VECTOR_PF, P | W);
        EXPECT_EQ(trap.cr2, TEST + 8);
        EXPECT_TRAP(TRY(add(TEST + 8, 1)), VECTOR_PF, P | W);
        EXPECT_EQ(*word_of(page_a, 8), 77);
    }
    tables.pt[0] = (u64)page_a | KERNEL; /* more rights need no flush */
    store(TEST + 8, 78);
    EXPECT_EQ(*word_of(page_a, 8), 78);
}

HIGH_TEST(accesses_mark_pages)
{
    for (unsigned i = 0; i < TURNS; i++) {
        tables.pt[0] = (u64)page_a | KERNEL;
        invlpg(TEST);
        (void)load(TEST);
        EXPECT_EQ(tables.pt[0] & (A | D), A);
        (void)load(TEST);
        EXPECT_EQ(tables.pt[0] & (A | D), A);
        store(TEST + 8, i);
        EXPECT_EQ(tables.pt[0] & (A | D), A | D);
        tables.pt[0] &= ~(u64)D;
        invlpg(TEST);
        (void)load(TEST);
        EXPECT_EQ(tables.pt[0] & (A | D), A);
        store(TEST + 8, i);
        EXPECT_EQ(tables.pt[0] & (A | D), A | D);
    }
}

/* One page that is read marks none of those beside it. */
HIGH_TEST(only_the_page_used_is_marked)
{
    for (unsigned n = 0; n < 16; n++) {
        for (unsigned i = 0; i < 32; i++) {
            tables.pt[i] = (LARGE_AT + i * PAGE) | KERNEL;
            invlpg(TEST + i * PAGE);
        }
        (void)load(TEST + n * PAGE);
        store(TEST + (n + 1) * PAGE, 1);
        for (unsigned i = 0; i < 32; i++) {
            EXPECT_EQ(tables.pt[i] & (A | D), i == n ? A : i == n + 1 ? A | D : 0);
        }
    }
    for (unsigned i = 1; i < 32; i++) {
        tables.pt[i] = 0;
        invlpg(TEST + i * PAGE);
    }
}

HIGH_TEST(users_pages_and_smap)
{
    if (!HAS_SMAP) {
        test_skip("no SMAP");
        return;
    }
    tables.pt[0] = (u64)page_a | KERNEL | U;
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
    tables.pt[0] = 0;
    invlpg(TEST);
}

HIGH_TEST(a_page_that_becomes_a_users_is_guarded)
{
    if (!HAS_SMAP) {
        test_skip("no SMAP");
        return;
    }
    write_cr4(read_cr4() | CR4_SMAP);
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        tables.pt[0] = (u64)page_a | KERNEL;
        invlpg(TEST);
        store(TEST + 8, i);
        tables.pt[0] |= U;
        invlpg(TEST);
        EXPECT_TRAP(TRY(load(TEST + 8)), VECTOR_PF, P);
    }
    write_cr4(read_cr4() & ~(word)CR4_SMAP);
}

/* -- Devices --------------------------------------------------------------------------------------- */

INLINE u32 load32(u64 at)
{
    u32 v;
    __asm__ volatile("movl (%1), %0" : "=r"(v) : "r"(at) : "memory");
    return v;
}

INLINE void store32(u64 at, u32 v)
{
    __asm__ volatile("movl %1, (%0)" : : "r"(at), "r"(v) : "memory");
}

HIGH_TEST(devices_answer_in_the_upper_half)
{
    tables.pt[1] = 0xfee00000 | KERNEL | PCD;
    tables.pt[2] = 0xb8000 | KERNEL | PCD;
    for (unsigned i = 0; i < TURNS; i++) {
        EXPECT_EQ(load32(TEST + PAGE + 0x30), *(volatile u32 *)0xfee00030);
        store32(TEST + PAGE + APIC_DIVIDE, i & 3);
        EXPECT_EQ(apic_read(APIC_DIVIDE), i & 3);
        store32(TEST + 2 * PAGE + 4 * i, 0x07200741 + i);
        EXPECT_EQ(load32(TEST + 2 * PAGE + 4 * i), *(volatile u32 *)(0xb8000 + 4ul * i));
        EXPECT_EQ(load(TEST), 0xaaaa);
    }
    tables.pt[1] = tables.pt[2] = 0;
    invlpg(TEST + PAGE);
    invlpg(TEST + 2 * PAGE);
}

/* The same instruction, on memory, on a device, where nothing is, on a user's page, and on memory again. */
static u64 visit(u64 at, u64 v)
{
    u64 old = load32(at);

    store32(at, (u32)v);
    return old;
}

HIGH_TEST(an_innocent_instruction_turns_guilty_and_works_on)
{
    *word_of(page_a, 8) = 0;
    for (unsigned i = 0; i < 1000; i++) {
        EXPECT_EQ(visit(TEST + 8, i + 1), i);
    }
    tables.pt[1] = 0xfee00000 | KERNEL | PCD;
    visit(TEST + PAGE + APIC_DIVIDE, 0xb);
    EXPECT_EQ(apic_read(APIC_DIVIDE), 0xb);
    for (unsigned i = 1000; i < 2000; i++) {
        EXPECT_EQ(visit(TEST + 8, i + 1), i);
    }
    tables.pt[1] = 0;
    invlpg(TEST + PAGE);
    EXPECT_TRAP(TRY(visit(TEST + PAGE, 1)), VECTOR_PF, 0);
    visit((u64)page_b + 32, 5);   /* a low address */
    EXPECT_EQ(*(volatile u32 *)(page_b + 32), 5);
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

HIGH_TEST(code_written_by_another_alias_runs_as_written)
{
    put_code(page_a, 0);
    tables.pt[1] = (u64)page_a | KERNEL;
    invlpg(TEST + PAGE);
    for (u32 i = 0; i < 300; i++) {
        store32(TEST + PAGE + 1, i);
        EXPECT_EQ(((u32 (*)(void))TEST)(), i);
    }
}

HIGH_TEST(data_beside_code_is_written_and_read)
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

HIGH_TEST(code_that_moves_runs_from_its_new_place)
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

/* -- Odd addresses ---------------------------------------------------------------------------------- */

HIGH_TEST(low_addresses_are_the_users_half)
{
    for (unsigned i = 0; i < TURNS; i++) {
        store((u64)page_a + 8, i);
        EXPECT_EQ(load((u64)page_a + 8), i);
        EXPECT_EQ(load(TEST + 8), i);
        EXPECT_TRAP(TRY(load(0x28000000010ull)), VECTOR_PF, 0);
        EXPECT_EQ(trap.cr2, 0x28000000010ull);
        EXPECT_TRAP(TRY(store(0x7ffffffff000ull, 1)), VECTOR_PF, W);
        EXPECT_EQ(trap.cr2, 0x7ffffffff000ull);
    }
}

HIGH_TEST(null_is_nobodys)
{
    extern u64 boot_pd[];
    u64 *pde = &boot_pd[0], old = *pde;

    for (unsigned i = 0; i < 512; i++) {
        more_tables.pt[i] = i == 0 ? 0 : (u64)i * PAGE | P | W;
    }
    *pde = (u64)more_tables.pt | P | W;
    invlpg(0);
    for (unsigned i = 0; i < TURNS; i++) {
        EXPECT_TRAP(TRY(load(8)), VECTOR_PF, 0);
        EXPECT_EQ(trap.cr2, 8);
        EXPECT_TRAP(TRY(store(0, 8)), VECTOR_PF, W);
        EXPECT_EQ(trap.cr2, 0);
    }
    *pde = old;
    invlpg(0);
}

HIGH_TEST(addresses_that_are_not_canonical_are_protected)
{
    static const u64 odd[] = {0x0000800000000000, 0xffff7ffffffffff8, 0x8000000000000000, 0x7fffffffffffff00,
                              0x0001000000000000, 0xfffe800000000000, 0xefff888000000000};

    for (unsigned i = 0; i < TURNS * ARRAY_LEN(odd); i++) {
        u64 at = odd[i % ARRAY_LEN(odd)];
        EXPECT_TRAP(TRY(load(at)), VECTOR_GP, 0);
        EXPECT_TRAP(TRY(store(at, 1)), VECTOR_GP, 0);
        EXPECT_TRAP(TRY(__asm__ volatile("xchgq %0, %%rbp; movq (%%rbp), %%rax; xchgq %0, %%rbp"
                                         : : "r"(at) : "rax", "memory")), VECTOR_SS, 0);
    }
}

HIGH_TEST(repeated_moves_stop_where_the_page_ends)
{
    tables.pt[1] = 0;
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        EXPECT_TRAP(TRY(__asm__ volatile("rep movsb" : : "S"(TEST), "D"(TEST + 0xf00), "c"(0x200) : "memory")),
                    VECTOR_PF, W);
        EXPECT_EQ(trap.cr2, TEST + PAGE);
        EXPECT_EQ(trap.frame.cx, 0x100);
        EXPECT_EQ(trap.frame.di, TEST + PAGE);
        EXPECT_EQ(trap.frame.si, TEST + 0x100);
    }
}

/* Pushes until the stack ends; the page fault finds no place for its frame. */
INLINE void overflow(u64 top)
{
    __asm__ volatile("movq %0, %%rsp; 1: pushq %%rax; jmp 1b" : : "r"(top) : "memory");
}

HIGH_TEST(a_stack_that_ends_is_a_double_fault)
{
    tables.pt[1] = (u64)page_b | KERNEL;
    tables.pt[0] = 0;
    invlpg(TEST);
    idt_set(VECTOR_DF, idt_default_handler(VECTOR_DF), SEL_KCODE, GATE_INT, 0, 1);
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        EXPECT_TRAP(TRY(overflow(TEST + 2 * PAGE)), VECTOR_DF, 0);
        EXPECT_EQ(trap.cr2 & ~0xfffull, TEST);
        EXPECT_EQ(trap.frame.sp, TEST + PAGE);
    }
    idt_restore(VECTOR_DF);
}

/* A stack in the window, in hot code. */
static u64 deep(u64 n)
{
    return n == 0 ? 0 : n + deep(n - 1);
}

HIGH_TEST(stacks_in_the_window_grow_and_shrink)
{
    u64 n = 0;

    for (unsigned i = 0; i < 8; i++) {
        tables.pt[i] = (LARGE_AT + i * PAGE) | KERNEL;
        invlpg(TEST + i * PAGE);
    }
    for (unsigned i = 0; i < 20; i++) {
        u64 in_out = 400;
        __asm__ volatile("movq %%rsp, %%r12; movq %1, %%rsp; call *%2; movq %%r12, %%rsp; movq %%rax, %0"
                         : "+D"(in_out) : "r"(TEST + 8 * PAGE), "r"((u64)deep + HIGH)
                         : "r12", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
        n += in_out;
    }
    EXPECT_EQ(n, 20ul * 400 * 401 / 2);
    for (unsigned i = 1; i < 8; i++) {
        tables.pt[i] = 0;
        invlpg(TEST + i * PAGE);
    }
}

/* -- Watched data ------------------------------------------------------------------------------- */

HIGH_TEST(data_breakpoints_stop_stores)
{
    for (unsigned i = 0; i < TURNS; i++) {
        store(TEST + 16, i);      /* mapped, and unwatched */
        write_dr0(TEST + 16);
        write_dr6(0xffff0ff0);
        write_dr7(0x400 | 2 | 1 << 16 | 2 << 18); /* G0, stores, 8 bytes */
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
    enable();
    run_high(write_in_a_loop);
}

/* After the acknowledgement the page that was taken away gets no more stores. */
HIGH_TEST(no_store_comes_after_a_shoot_down)
{
    NEED_AP();
    trap_hook[VEC_FLUSH] = on_flush;
    flushed = ap_stop = 0;
    ap_run(job_write);
    for (word i = 1; i <= 100; i++) {
        u8 *old = i & 1 ? page_a : page_b, *new = turn((unsigned)i);
        u64 count, start = *word_of(new, 8);
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
    EXPECT_EQ(flushed, 100);
    ap_stop = 1;
    EXPECT(ap_wait());
}

/* A read-only page is given back in the same way. */
static bool on_flush_protect(Frame *f)
{
    invlpg(TEST);
    flushed++;
    apic_write(APIC_EOI, 0);
    return true;
}

static volatile word ap_faults;

static bool on_ap_fault(Frame *f)
{
    ap_faults++;
    sti();                        /* the flush comes in here, too */
    while ((tables.pt[0] & W) == 0) {
        cpu_relax();
    }
    cli();
    return true;                  /* again */
}

HIGH_TEST(no_store_comes_after_write_protection)
{
    NEED_AP();
    trap_hook[VEC_FLUSH] = on_flush_protect;
    trap_hook[VECTOR_PF] = on_ap_fault;
    flushed = ap_stop = ap_faults = 0;
    ap_run(job_write);
    for (word i = 1; i <= 20; i++) {
        u64 count;
        word faults = ap_faults;
        tables.pt[0] = (u64)page_a | READ_ONLY;
        invlpg(TEST);
        send(OTHERS | VEC_FLUSH);
        if (!wait_for(&flushed, i)) {
            break;
        }
        count = *word_of(page_a, 8);
        EXPECT(wait_for(&ap_faults, faults + 1));
        EXPECT_EQ(*word_of(page_a, 8), count);
        tables.pt[0] = (u64)page_a | KERNEL;
        EXPECT(wait_for((volatile word *)word_of(page_a, 8), count + 1));
    }
    EXPECT_EQ(flushed, 20);
    ap_stop = 1;
    EXPECT(ap_wait());
    trap_hook[VECTOR_PF] = NULL;
}

static Tables ap_tables PAGE_ALIGNED;
static u64 ap_pml4[512] PAGE_ALIGNED;
static u8 ap_page[PAGE] PAGE_ALIGNED;
static volatile u64 ap_wrong;
static volatile word ap_ready, ap_go;
static u64 own_at;                /* where both count */

INLINE u64 count_at(u64 at, u64 mine)
{
    u64 wrong = 0;

    for (u64 i = 0; i < 20000; i++) {
        wrong += load(at) != mine;
        wrong += add(at + 8, 1) != i;
    }
    return wrong;
}

static void count_on_ap(void)
{
    ap_ready = 1;
    while (!ap_go) {
        cpu_relax();
    }
    ap_wrong = count_at(own_at, 0xcccc);
}

/* With root tables of its own. */
static void job_count(void)
{
    word cr3 = read_cr3();

    enable();
    write_cr3((u64)ap_pml4);
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    write_cr4(read_cr4() | CR4_PGE);
    run_high(count_on_ap);
    write_cr3(cr3);
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    write_cr4(read_cr4() | CR4_PGE);
}

/* The AP's page is ap_page with 0xcccc, the BSP's page_a with 0xaaaa, both at own_at. */
static void count_apart(void)
{
    u64 wrong;

    *word_of(ap_page, 0) = 0xcccc;
    *word_of(ap_page, 8) = *word_of(page_a, 8) = 0;
    ap_wrong = ~0ull;
    ap_go = 1;
    ap_run(job_count);
    wrong = count_at(own_at, 0xaaaa);
    EXPECT(ap_wait());
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(ap_wrong, 0);
    EXPECT_EQ(*word_of(page_a, 8), 20000);
    EXPECT_EQ(*word_of(ap_page, 8), 20000);
}

HIGH_TEST(each_cpu_sees_its_own_root_table)
{
    NEED_AP();
    own_at = SLOT_BASE(SLOT_OWN);
    map_into(&more_tables, SLOT_OWN, boot_pml4);
    more_tables.pt[0] = (u64)page_a | KERNEL;
    memcpy(ap_pml4, boot_pml4, sizeof ap_pml4);
    map_into(&ap_tables, SLOT_OWN, ap_pml4);
    ap_tables.pt[0] = (u64)ap_page | KERNEL;
    for (unsigned i = 0; i < 5; i++) {
        count_apart();
    }
}

/* One CPU's pages go on where the other's are other pages: nothing of the first may spill over the slot's end. */
HIGH_TEST(runs_end_with_their_part_of_the_root_table)
{
    static u8 pair[2 * PAGE] PAGE_ALIGNED;
    static Tables last PAGE_ALIGNED;

    NEED_AP();
    own_at = SLOT_BASE(SLOT_FIRST);
    boot_pml4[SLOT_LAST] = (u64)last.pdpt | P | W;
    last.pdpt[511] = (u64)last.pd | P | W;
    last.pd[511] = (u64)last.pt | P | W;
    last.pt[511] = (u64)pair | KERNEL | A | D;
    map_into(&more_tables, SLOT_FIRST, boot_pml4);
    more_tables.pt[0] = ((u64)pair + PAGE) | KERNEL | A | D;
    memcpy(ap_pml4, boot_pml4, sizeof ap_pml4);
    map_into(&ap_tables, SLOT_FIRST, ap_pml4);
    ap_tables.pt[0] = (u64)ap_page | KERNEL;
    *word_of(ap_page, 0) = 0xcccc;
    *word_of(ap_page, 8) = 0;
    ap_ready = ap_go = 0;
    ap_run(job_count);
    EXPECT(wait_for(&ap_ready, 1)); /* it has flushed and looked */
    for (unsigned i = 0; i < 10; i++) {
        store(SLOT_BASE(SLOT_FIRST) - 8, i);
    }
    ap_go = 1;
    EXPECT(ap_wait());
    EXPECT_EQ(ap_wrong, 0);
    EXPECT_EQ(*word_of(ap_page, 8), 20000);
    EXPECT_EQ(*word_of(pair + PAGE, 8), 0);
}

static volatile word ap_parted, turns_after;
static volatile u64 ap_turns;

static void share_then_part_on_ap(void)
{
    u64 wrong = 0, n = 0;

    for (unsigned i = 0; i < 200; i++) {
        wrong += load(own_at) != 0xaaaa;
    }
    ap_pml4[SLOT_SHARED] = (u64)ap_tables.pdpt | P | W;
    invlpg(own_at);
    for (; turns_after < 1000; n++) {
        wrong += load(own_at) != 0xcccc;
        add(own_at + 8, 1);
        ap_parted = 1;
    }
    ap_turns = n;
    ap_wrong = wrong;
}

static void job_share_then_part(void)
{
    word cr3 = read_cr3();

    enable();
    write_cr3((u64)ap_pml4);
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    write_cr4(read_cr4() | CR4_PGE);
    run_high(share_then_part_on_ap);
    write_cr3(cr3);
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    write_cr4(read_cr4() | CR4_PGE);
}

/* A root table changes where it is loaded, and the one page in it is flushed. */
HIGH_TEST(root_tables_part_while_they_are_loaded)
{
    u64 wrong = 0;

    NEED_AP();
    own_at = SLOT_BASE(SLOT_SHARED);
    map_into(&more_tables, SLOT_SHARED, boot_pml4);
    more_tables.pt[0] = (u64)page_a | KERNEL;
    memcpy(ap_pml4, boot_pml4, sizeof ap_pml4);
    map_into(&ap_tables, SLOT_SHARED, other_pml4); /* ap_pml4 gets it later */
    ap_tables.pt[0] = (u64)ap_page | KERNEL;
    *word_of(ap_page, 0) = 0xcccc;
    *word_of(ap_page, 8) = *word_of(page_a, 8) = 0;
    ap_parted = turns_after = 0;
    for (unsigned i = 0; i < 10; i++) {
        wrong += load(own_at) != 0xaaaa;
    }
    ap_run(job_share_then_part);
    EXPECT(wait_for(&ap_parted, 1));
    for (; turns_after < 1000; turns_after++) {
        wrong += load(own_at) != 0xaaaa;
        add(own_at + 8, 1);
    }
    EXPECT(ap_wait());
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(ap_wrong, 0);
    EXPECT_EQ(*word_of(page_a, 8), 1000);
    EXPECT_EQ(*word_of(ap_page, 8), ap_turns);
}

/* -- Probes, last: behind them the window is not used any more ------------------------------------------------- */

static bool cmdline_says(const char *word)
{
    for (const char *at = guest_cmdline(); *at != 0; at++) {
        unsigned n = 0;
        while (word[n] != 0 && at[n] == word[n]) {
            n++;
        }
        if (word[n] == 0) {
            return true;
        }
    }
    return false;
}

/* Users' addresses lead where libraries and large mappings of the monitor are, for the first access of each
 * instruction: so it is another one each time.  They are not mapped here, and nothing but faults comes. */
HIGH_TEST(a_scan_of_the_users_half_finds_nothing)
{
    static const u8 body[] = {0x48, 0x8b, 0x07, 0xc3}; /* mov (%rdi), %rax; ret */
    u8 *code = (u8 *)0x2000000;
    u64 read = 0, faults = 0;

    if (!cmdline_says("scan-users")) {
        test_skip("not asked for");
        return;
    }
    for (u64 i = 0; i < 16384; i++) {
        memcpy(code + i * 16, body, sizeof body);
    }
    for (u64 i = 8; i < 15360; i++) {
        u64 (*load_here)(u64 at) = (u64 (*)(u64))(HIGH + (u64)code + i * 16);
        if (TRY(load_here(i << 29)) == -1) {
            read++;
        } else {
            faults += trap.vector == VECTOR_PF && trap.cr2 == i << 29;
        }
    }
    EXPECT_EQ(read, 0);
    EXPECT_EQ(faults, 15360 - 8);
}

/* Where the window leads to the program's own memory (window.h: 16 GiB somewhere in 3.5 TiB of the upper half, which
 * this guest has not mapped), step by step: faults, and nothing but faults. */
HIGH_TEST(a_scan_for_the_monitors_memory_finds_nothing)
{
    const u64 tib = 1ull << 40, from = 0xffff800000000000 + 4 * tib;

    if (cmdline_says("no-probes")) {
        test_skip("as told");
        return;
    }
    for (u64 at = from; at < from + 4 * tib; at += 32 << 20) {
        EXPECT_TRAP(TRY(load(at)), VECTOR_PF, 0);
        EXPECT_EQ(trap.cr2, at);
    }
}

HIGH_TEST(probes_of_what_is_not_mapped_fault_always)
{
    u64 x = 88172645463325252ull;

    if (cmdline_says("no-probes")) {
        test_skip("as told");
        return;
    }
    for (unsigned i = 0; i < 1500; i++) {
        u64 at;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        at = SLOT_BASE(320 + x % 180) | (x >> 16 & 0x7fffffff000) | (x >> 8 & 0xff8);
        EXPECT_TRAP(TRY(load(at)), VECTOR_PF, 0);
        EXPECT_EQ(trap.cr2, at);
        EXPECT_TRAP(TRY(store(at, x)), VECTOR_PF, W);
        EXPECT_EQ(trap.cr2, at);
        EXPECT_EQ(load(TEST), 0xaaaa);
        store(TEST + 8, i);
        EXPECT_EQ(*word_of(page_a, 8), i);
    }
}

const GuestTest guest_tests[] = {
    {"the_kernel_moves_up", the_kernel_moves_up},
    {"remapped_pages_are_seen_after_invlpg", remapped_pages_are_seen_after_invlpg},
    {"stores_first_see_a_remapped_page_too", stores_first_see_a_remapped_page_too},
    {"remapped_pages_are_seen_after_a_toggle_of_pge", remapped_pages_are_seen_after_a_toggle_of_pge},
    {"remapped_pages_are_seen_after_invpcid_of_all", remapped_pages_are_seen_after_invpcid_of_all},
    {"unmapped_pages_fault_after_invlpg", unmapped_pages_fault_after_invlpg},
    {"one_address_of_a_large_page_that_was_split", one_address_of_a_large_page_that_was_split},
    {"global_pages_stay_over_cr3_or_are_new", global_pages_stay_over_cr3_or_are_new},
    {"pages_that_are_not_global_change_with_cr3", pages_that_are_not_global_change_with_cr3},
    {"root_tables_that_differ_are_told_apart", root_tables_that_differ_are_told_apart},
    {"flushes_by_tables_that_lack_a_part_count", flushes_by_tables_that_lack_a_part_count},
    {"stores_to_read_only_pages_fault", stores_to_read_only_pages_fault},
    {"accesses_mark_pages", accesses_mark_pages},
    {"only_the_page_used_is_marked", only_the_page_used_is_marked},
    {"users_pages_and_smap", users_pages_and_smap},
    {"a_page_that_becomes_a_users_is_guarded", a_page_that_becomes_a_users_is_guarded},
    {"devices_answer_in_the_upper_half", devices_answer_in_the_upper_half},
    {"an_innocent_instruction_turns_guilty_and_works_on", an_innocent_instruction_turns_guilty_and_works_on},
    {"code_written_by_another_alias_runs_as_written", code_written_by_another_alias_runs_as_written},
    {"data_beside_code_is_written_and_read", data_beside_code_is_written_and_read},
    {"code_that_moves_runs_from_its_new_place", code_that_moves_runs_from_its_new_place},
    {"low_addresses_are_the_users_half", low_addresses_are_the_users_half},
    {"null_is_nobodys", null_is_nobodys},
    {"addresses_that_are_not_canonical_are_protected", addresses_that_are_not_canonical_are_protected},
    {"repeated_moves_stop_where_the_page_ends", repeated_moves_stop_where_the_page_ends},
    {"a_stack_that_ends_is_a_double_fault", a_stack_that_ends_is_a_double_fault},
    {"stacks_in_the_window_grow_and_shrink", stacks_in_the_window_grow_and_shrink},
    {"data_breakpoints_stop_stores", data_breakpoints_stop_stores},
    {"the_second_cpu_starts", the_second_cpu_starts},
    {"root_tables_part_while_they_are_loaded", root_tables_part_while_they_are_loaded},
    {"no_store_comes_after_a_shoot_down", no_store_comes_after_a_shoot_down},
    {"no_store_comes_after_write_protection", no_store_comes_after_write_protection},
    {"each_cpu_sees_its_own_root_table", each_cpu_sees_its_own_root_table},
    {"runs_end_with_their_part_of_the_root_table", runs_end_with_their_part_of_the_root_table},
    {"a_scan_of_the_users_half_finds_nothing", a_scan_of_the_users_half_finds_nothing},
    {"a_scan_for_the_monitors_memory_finds_nothing", a_scan_for_the_monitors_memory_finds_nothing},
    {"probes_of_what_is_not_mapped_fault_always", probes_of_what_is_not_mapped_fault_always},
    {NULL, NULL},
};
