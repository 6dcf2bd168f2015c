/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page tables, address spaces, page faults.  A window of 512 pages of 4 KiB at WINDOW is mapped by a
 * page table of this file onto `frames`; an operation restores it (all pages present) when it ends.
 */
#include "tests/guest/nanobench/nanobench.h"

enum { WINDOW = 0x3fe00000, PAGES = 512, PAGE = 4096, SPACE_PAGES = 16 };
enum { PTE_P = 1, PTE_ALL = 7, PTE_PLAIN = 3 };

#ifdef __x86_64__
enum { PD_SHIFT = 21, PT_FIRST = 0 };
extern u64 boot_pml4[512], boot_pdpt[512];
extern u64 boot_pd[2048];
#else
enum { PD_SHIFT = 22, PT_FIRST = 512 };
extern u32 boot_pd[1024];
#endif

static word pt[1024] PAGE_ALIGNED;
static u8 frames[2][PAGES][PAGE] PAGE_ALIGNED;

static void flush(void)
{
    write_cr3(read_cr3());
}

/* All pages of a page table to a set of frames. */
static void map_all(word *table, unsigned set)
{
    for (unsigned i = 0; i < PAGES; i++) {
        table[PT_FIRST + i] = (word)frames[set][i] | PTE_ALL;
    }
}

static void touch_all(void)
{
    for (unsigned i = 0; i < PAGES; i++) {
        (void)*(volatile u8 *)(WINDOW + (word)i * PAGE);
    }
}

static const char *open_window(void)
{
    map_all(pt, 0);
    boot_pd[WINDOW >> PD_SHIFT] = (word)pt | PTE_ALL;
    flush();
    touch_all();
    return NULL;
}

/* -- Page-table writes ------------------------------------------------------------------------------ */

/* Run `body` for up to PAGES pages at a time; before each time the pages are made (not) present. */
#define EACH_PAGE(n, present, body)                                                                \
    ({                                                                                             \
        u64 took_ = 0;                                                                             \
        for (u32 left_ = (n); left_ > 0;) {                                                        \
            u32 now_ = left_ < PAGES ? left_ : PAGES;                                              \
            prepare(present);                                                                      \
            took_ += write_entries_##body(now_);                                                   \
            left_ -= now_;                                                                         \
        }                                                                                          \
        open_window();                                                                             \
        took_;                                                                                     \
    })

static void prepare(bool present)
{
    open_window();
    if (!present) {
        for (unsigned i = 0; i < PAGES; i++) {
            pt[PT_FIRST + i] &= ~(word)PTE_P;
        }
        flush();
    }
}

#define ENTRY_LOOP(name, body)                                                                     \
    static u64 write_entries_##name(u32 n)                                                         \
    {                                                                                              \
        word *e = pt + PT_FIRST, page = WINDOW, v = (word)frames[0] | PTE_ALL;                     \
        return NANO_LOOP(n, body "add %[size], %[e]\n\tadd $4096, %[v]\n\tadd $4096, %[page]",     \
                         (, [e] "+r"(e), [v] "+r"(v), [page] "+r"(page)),                          \
                         ([size] "i"(sizeof(word))), "eax");                                       \
    }
ENTRY_LOOP(none, "")
ENTRY_LOOP(here, "mov %[v], (%[e])\n\t")
ENTRY_LOOP(gone, "andb $0xfe, %b[v]\n\tmov %[v], (%[e])\n\t")
ENTRY_LOOP(gone_none, "andb $0xfe, %b[v]\n\t")
ENTRY_LOOP(touch, "mov %[v], (%[e])\n\tmovb (%[page]), %%al\n\t")
ENTRY_LOOP(flushed, "mov %[v], (%[e])\n\tinvlpg (%[page])\n\tmovb (%[page]), %%al\n\t")

static u64 entry_base(u32 n) { return EACH_PAGE(n, true, none); }
static u64 gone_base(u32 n) { return EACH_PAGE(n, true, gone_none); }
static u64 ptemod_p_np(u32 n) { return EACH_PAGE(n, true, gone); }
static u64 ptemod_np_p(u32 n) { return EACH_PAGE(n, false, here); }
static u64 ptemod_np_p_touch(u32 n) { return EACH_PAGE(n, false, touch); }
static u64 ptemod_flush_touch(u32 n) { return EACH_PAGE(n, true, flushed); }

/* The value that is there, accessed bit and all; always the same entry, as in the paper. */
static u64 ptemod_same(u32 n)
{
    word *e = pt + PT_FIRST;

    open_window();
    return NANO_LOOP(n / 16, ".rept 16\n\tmov %[v], (%[e])\n\t.endr", (), ([e] "r"(e), [v] "r"(*e)));
}

/* -- Translations ----------------------------------------------------------------------------------- */

/* A present page which the TLB does not hold: what a shadowing monitor hides. */
static u64 touch_pages(u32 n)
{
    word page = WINDOW;

    return NANO_LOOP(n, "movb (%[page]), %%al\n\tadd $4096, %[page]", (, [page] "+r"(page)), (),
                     "eax");
}

static u64 first_touch(u32 n)
{
    u64 took = 0;

    for (u32 left = n; left > 0;) {
        u32 now = left < PAGES ? left : PAGES;
        flush();
        took += touch_pages(now);
        left -= now;
    }
    return took;
}

static u64 invlpg_op(u32 n)
{
    return NANO_LOOP(n, "invlpg (%[p])", (), ([p] "r"((word)WINDOW)));
}

static u64 invlpg_touch(u32 n)
{
    return NANO_LOOP(n, "invlpg (%[p])\n\tmovb (%[p]), %%al", (), ([p] "r"((word)WINDOW)), "eax");
}

static u64 cr3_reload(u32 n)
{
    return NANO_LOOP(n, "mov %[v], %%cr3", (), ([v] "r"(read_cr3())));
}

/* -- Address spaces --------------------------------------------------------------------------------- */

static word pt_b[1024] PAGE_ALIGNED, pd_b[1024] PAGE_ALIGNED;

/* A copy of the boot page tables in which the window shows other frames; its CR3. */
static word other_space(void)
{
    word *top = pd_b;

    map_all(pt_b, 1);
#ifdef __x86_64__
    static word pml4_b[512] PAGE_ALIGNED, pdpt_b[512] PAGE_ALIGNED;
    memcpy(pml4_b, boot_pml4, 4096);
    memcpy(pdpt_b, boot_pdpt, 4096);
    memcpy(pd_b, boot_pd, 4096);
    pml4_b[0] = (word)pdpt_b | PTE_ALL;
    pdpt_b[0] = (word)pd_b | PTE_ALL;
    top = pml4_b;
#else
    memcpy(pd_b, boot_pd, 4096);
#endif
    pd_b[WINDOW >> PD_SHIFT] = (word)pt_b | PTE_ALL;
    return (word)top;
}

static u64 switch_spaces(u32 n, word a, word b)
{
    u64 took = NANO_LOOP(n, "mov %[a], %%cr3\n\t"
                         ".set at, 0\n\t.rept 16\n\tmovb at(%[p]), %%al\n\t.set at, at + 4096\n\t.endr\n\t"
                         "xchg %[a], %[b]",
                         (, [a] "+r"(b), [b] "+r"(a)), ([p] "r"((word)WINDOW)), "eax");

    return took;
}

/* The two spaces are told apart by what is in their first page. */
static bool spaces_differ(word a, word b)
{
    bool good;

    frames[0][0][0] = 1;
    frames[1][0][0] = 2;
    write_cr3(b);
    good = *(volatile u8 *)WINDOW == 2;
    write_cr3(a);
    return good && *(volatile u8 *)WINDOW == 1;
}

static u64 ctxsw(u32 n)
{
    word a = read_cr3(), b = other_space();
    u64 took = switch_spaces(n & ~1u, a, b);
    bool good = spaces_differ(a, b);

    return good ? took : NANO_BAD;
}

#ifdef __x86_64__
static const word no_flush = 1ul << 63;

static const char *no_pcid(void)
{
    open_window();
    return HAS_PCID ? NULL : "no PCID";
}

static u64 with_pcid(u32 n, u64 (*run)(u32 n, word a, word b))
{
    word a = read_cr3();
    u64 took;
    bool good;

    write_cr4(read_cr4() | CR4_PCIDE);
    took = run(n, a | no_flush, other_space() | 1 | no_flush);
    good = spaces_differ(a, other_space() | 1);
    write_cr3(a);
    write_cr4(read_cr4() & ~(word)CR4_PCIDE);
    return good ? took : NANO_BAD;
}

static u64 reload(u32 n, word a, word b)
{
    return NANO_LOOP(n, "mov %[v], %%cr3", (), ([v] "r"(a)));
}

static u64 cr3_pcid(u32 n) { return with_pcid(n, reload); }
static u64 ctxsw_pcid(u32 n) { return with_pcid(n & ~1u, switch_spaces); }
#else
static const char *no_pcid(void) { return "64-bit mode only"; }
static u64 cr3_pcid(u32 n) { return 0; }
static u64 ctxsw_pcid(u32 n) { return 0; }
#endif

/* -- Copies ----------------------------------------------------------------------------------------- */

static bool smap;

static const char *use_smap(void)
{
    smap = HAS_SMAP;
    return NULL;
}

static inline __attribute__((always_inline)) u64 copy(u32 n, void *to, const void *from, u32 len)
{
    word d, s, c;
    u64 took;

    if (!smap) {
        return NANO_LOOP(n, "mov %[to], %[d]\n\tmov %[from], %[s]\n\tmov %[len], %k[c]\n\trep movsb",
                         (, [d] "=&D"(d), [s] "=&S"(s), [c] "=&c"(c)), ([to] "m"(to), [from] "m"(from), [len] "i"(len)));
    }
    write_cr4(read_cr4() | CR4_SMAP);
    took = NANO_LOOP(n, "mov %[to], %[d]\n\tmov %[from], %[s]\n\tmov %[len], %k[c]\n\t"
                     "stac\n\trep movsb\n\tclac",
                     (, [d] "=&D"(d), [s] "=&S"(s), [c] "=&c"(c)), ([to] "m"(to), [from] "m"(from), [len] "i"(len)));
    write_cr4(read_cr4() & ~(word)CR4_SMAP);
    return took;
}

static u64 copy_to_user(u32 n) { return copy(n, (void *)USER(frames[0][3]), frames[1][3], PAGE); }
static u64 copy_from_user(u32 n) { return copy(n, frames[1][3], (void *)USER(frames[0][3]), PAGE); }
static u64 copy_to_user_64(u32 n) { return copy(n, (void *)USER(frames[0][3]), frames[1][3], 64); }

/* -- Faults ----------------------------------------------------------------------------------------- */

/* The faulting instructions have two bytes; the handlers step over them. */
extern u8 nano_skip_fault[], nano_skip_divide[];
#ifdef __x86_64__
__asm__(".pushsection .text\n"
        "nano_skip_fault: addq $2, 8(%rsp); addq $8, %rsp; iretq\n"
        "nano_skip_divide: addq $2, (%rsp); iretq\n"
        ".popsection\n");
#else
__asm__(".pushsection .text\n"
        "nano_skip_fault: addl $2, 4(%esp); addl $4, %esp; iret\n"
        "nano_skip_divide: addl $2, (%esp); iret\n"
        ".popsection\n");
#endif

/* The first page of the window is not there, with a handler that steps over the access. */
static void close_page(void)
{
    open_window();
    pt[PT_FIRST] = 0;
    invlpg(WINDOW);
    idt_set(VECTOR_PF, (word)nano_skip_fault, SEL_KCODE, GATE_INT, 0, 0);
}

static void open_page(void)
{
    idt_restore(VECTOR_PF);
    open_window();
}

static u64 pgfault(u32 n)
{
    u64 took;

    close_page();
    took = NANO_LOOP(n, "movb (%[p]), %%al", (), ([p] "b"((word)WINDOW)), "eax");
    open_page();
    return took;
}

static u64 divzero(u32 n)
{
    u64 took;

    idt_set(VECTOR_DE, (word)nano_skip_divide, SEL_KCODE, GATE_INT, 0, 0);
    took = NANO_LOOP(n, "div %[zero]", (), ([zero] "c"(0)), "eax", "edx");
    idt_restore(VECTOR_DE);
    return took;
}

/* From ring 3: the loop is entered by IRET and left by an exception, once a sample. */
extern const u8 nano_user_fault[];
__asm__(".pushsection .text\n"
        "nano_user_fault: mov %edi, %ecx; mov $0x3fe00000, %ebx\n"
#ifdef __x86_64__
        "1: movb (%rbx), %al; dec %ecx; jnz 1b; int $0x80\n"
#else
        "1: movb (%ebx), %al; dec %ecx; jnz 1b; int $0x80\n"
#endif
        ".popsection\n");
_Static_assert(WINDOW == 0x3fe00000, "the assembly above has the number");

static u64 pgfault_user(u32 n)
{
    u64 took;

    close_page();
    took = nano_user_loop(nano_user_fault, n);
    open_page();
    return took;
}

const NanoOp nano_paging[] = {
    {"pgfault", pgfault, nano_empty},
    {"pgfault_user", pgfault_user, nano_user_base},
    {"divzero", divzero, nano_empty},
    {"ptemod_same", ptemod_same, nano_empty16, open_window},
    {"ptemod_p_np", ptemod_p_np, gone_base, NULL, 8 * PAGES},
    {"ptemod_np_p", ptemod_np_p, entry_base, NULL, 8 * PAGES},
    {"ptemod_np_p_touch", ptemod_np_p_touch, entry_base, NULL, 8 * PAGES},
    {"ptemod_flush_touch", ptemod_flush_touch, entry_base, NULL, 8 * PAGES},
    {"firsttouch", first_touch, nano_empty, open_window},
    {"invlpg", invlpg_op, nano_empty, open_window},
    {"invlpg_touch", invlpg_touch, nano_empty, open_window},
    {"cr3", cr3_reload, nano_empty},
    {"cr3_pcid", cr3_pcid, nano_empty, no_pcid},
    {"ctxsw", ctxsw, nano_empty, open_window},
    {"ctxsw_pcid", ctxsw_pcid, nano_empty, no_pcid},
    {"copy_to_user", copy_to_user, NULL, use_smap},
    {"copy_from_user", copy_from_user, NULL, use_smap},
    {"copy_to_user_64", copy_to_user_64, NULL, use_smap},
    {NULL},
};
