/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernels of window64.c and window32.c have in common: a page of theirs at TEST, tests that change it, and what these
 * need of each.  What a function does with an address is inline in it, so that instructions that meet something odd are
 * nobody else's.
 */
#ifndef TESTS_GUEST_WINDOW_COMMON_H
#define TESTS_GUEST_WINDOW_COMMON_H

#include "tests/guest/ap.h"

enum { P = 1, W = 2, U = 4, PCD = 0x10, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
enum { KERNEL = P | W | G, READ_ONLY = P | G, TABLE = P | W | U };
/* Of faults few: many are taken for probes, and end a 64-bit kernel's window (policy.c, window_distrust). */
enum { PAGE = 4096, TURNS = 60, FAULT_TURNS = 5, VEC_FLUSH = 0x63 };
enum { LARGE_AT = 0x1000000 };    /* the physical address of 4 MiB that nobody else uses */

#ifdef __x86_64__
#include "tests/guest/high.h"
/* ffff000000000000 | slot << 39: a part of the root table */
#define SLOT_BASE(slot) (0xffff000000000000ull | (u64)(slot) << 39)
enum { SLOT = 300, SLOT_MORE, SLOT_DIFFER, SLOT_OWN, SLOT_LAST, SLOT_FIRST, SLOT_SHARED };
#define TEST SLOT_BASE(SLOT)
#else
#define TEST 0x90000000u
#define HIGH 0u
#endif

extern u8 page_a[PAGE], page_b[PAGE], ap_page[PAGE];

#define INLINE static inline __attribute__((always_inline))

INLINE word load(word at)
{
    word v;
    __asm__ volatile("mov (%1), %0" : "=r"(v) : "r"(at) : "memory");
    return v;
}

INLINE void store(word at, word v)
{
    __asm__ volatile("mov %1, (%0)" : : "r"(at), "r"(v) : "memory");
}

INLINE u32 load32(word at)
{
    u32 v;
    __asm__ volatile("movl (%1), %0" : "=r"(v) : "r"(at) : "memory");
    return v;
}

INLINE void store32(word at, u32 v)
{
    __asm__ volatile("movl %1, (%0)" : : "r"(at), "r"(v) : "memory");
}

/* Read, write and read at once. */
INLINE word add(word at, word v)
{
    __asm__ volatile("lock xadd %0, (%1)" : "+r"(v) : "r"(at) : "memory", "cc");
    return v;
}

/* A page's own word, by the address that it has everywhere. */
INLINE volatile word *word_of(u8 *page, unsigned at)
{
    return (volatile word *)(page + at);
}

static inline void toggle_pge(void)
{
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    write_cr4(read_cr4() | CR4_PGE);
}

/* -- What each kernel has of its own ------------------------------------------------------------------ */

/* Run the body of a test where the kernel is to run. */
void run_there(void (*body)(void));
/* The entry of page number i from TEST on. */
word page_entry(unsigned i);
void set_page(unsigned i, word entry);
void clear_page_bits(unsigned i, word bits);
/* The second CPU's: as the first one's, from the boot's tables. */
void enter_as_boot_cpu(void);
/* An address of user code's that leads to `page`. */
word users_address(u8 *page);

/* -- Tests --------------------------------------------------------------------------------------------- */

/* With page_a at TEST, nothing behind it; 0xaaaa and 0xbbbb in the pages. */
void with_pages(void (*body)(void));
#define TEST_WITH_PAGES(linkage, name)                                                             \
    static void name##_body(void);                                                                 \
    linkage void name(void)                                                                        \
    {                                                                                              \
        with_pages(name##_body);                                                                   \
    }                                                                                              \
    static void name##_body(void)

/* One of the two pages is to be at TEST: that. */
u8 *turn(unsigned i);
/* What it has in its first word. */
static inline word mark_of(unsigned i)
{
    return i & 1 ? 0xbbbb : 0xaaaa;
}

/* 20,000 times: is `mine` there, and does behind it nobody else count?  How often not. */
INLINE word count_at(word at, word mine)
{
    word wrong = 0;

    for (word i = 0; i < 20000; i++) {
        wrong += load(at) != mine;
        wrong += add(at + sizeof(word), 1) != i;
    }
    return wrong;
}

/* Each CPU counts at `at`, where the second one has ap_page with 0xcccc and the first page_a; `job` is the second CPU's,
 * and calls count_on_ap() where the kernel is to run. */
void count_apart(word at, void (*job)(void));
void count_on_ap(void);
extern word counted_at;           /* where */
extern volatile word ap_wrong, ap_ready, ap_go;

#define DECLARE(name) void name(void);
#define WINDOW_TESTS(T)                                                                            \
    T(remapped_pages_are_seen_after_invlpg)                                                        \
    T(stores_first_see_a_remapped_page_too)                                                        \
    T(remapped_pages_are_seen_after_a_toggle_of_pge)                                               \
    T(unmapped_pages_fault_after_invlpg)                                                           \
    T(global_pages_stay_over_cr3_or_are_new)                                                       \
    T(stores_to_read_only_pages_fault)                                                             \
    T(accesses_mark_pages)                                                                         \
    T(only_the_page_used_is_marked)                                                                \
    T(users_pages_and_smap)                                                                        \
    T(a_page_that_becomes_a_users_is_guarded)                                                      \
    T(devices_answer)                                                                              \
    T(an_instruction_turns_to_calls_and_back)                                                      \
    T(handlers_fault_themselves)                                                                   \
    T(an_innocent_instruction_turns_guilty_and_works_on)                                           \
    T(code_written_by_another_alias_runs_as_written)                                               \
    T(data_beside_code_is_written_and_read)                                                        \
    T(code_that_moves_runs_from_its_new_place)                                                     \
    T(code_that_was_guilty_is_rewritten)                                                           \
    T(repeated_moves_stop_where_the_page_ends)                                                     \
    T(flags_are_pushed_and_kept)                                                                   \
    T(data_breakpoints_stop_stores)
#define WINDOW_SMP_TESTS(T)                                                                        \
    T(no_store_comes_after_a_shoot_down)                                                           \
    T(no_store_comes_after_write_protection)
void the_second_cpu_starts(void);
WINDOW_TESTS(DECLARE)
WINDOW_SMP_TESTS(DECLARE)

#endif /* TESTS_GUEST_WINDOW_COMMON_H */
