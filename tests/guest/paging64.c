/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paging in long mode: rights, error codes, accessed and dirty bits, flushing, PCID, keys. */
#include "tests/guest/lib.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX (1ull << 63)
#define ALL (P | W | U)

enum { SLOT = 3 };
#define TEST_BASE ((u64)SLOT << 39)

extern u64 boot_pml4[512];
static u64 pdpt[512] PAGE_ALIGNED, pd[512] PAGE_ALIGNED, pt[512] PAGE_ALIGNED;
static u8 target[4096] PAGE_ALIGNED, other[4096] PAGE_ALIGNED;

enum { LEVEL_PT, LEVEL_PD, LEVEL_PDPT, LEVEL_PML4, LEVELS };
enum { SIZE_4K = LEVEL_PT, SIZE_2M = LEVEL_PD, SIZE_1G = LEVEL_PDPT };

/* The address at which `p` (its own physical address, below 1 GiB) appears. */
static u64 va_of(const void *p)
{
    return TEST_BASE + (u64)p;
}

static u64 *entry_of(unsigned level, u64 va)
{
    switch (level) {
    case LEVEL_PT: return &pt[va >> 12 & 511];
    case LEVEL_PD: return &pd[va >> 21 & 511];
    case LEVEL_PDPT: return &pdpt[va >> 30 & 511];
    default: return &boot_pml4[SLOT];
    }
}

/* Map p by a page of `size` with full rights at every level. */
static void map(const void *p, unsigned size)
{
    u64 va = va_of(p), phys = (u64)p;

    *entry_of(LEVEL_PML4, va) = (u64)pdpt | ALL;
    *entry_of(LEVEL_PDPT, va) = size == SIZE_1G ? 0 | ALL | PS : ((u64)pd | ALL);
    *entry_of(LEVEL_PD, va) = size == SIZE_2M ? (phys & ~0x1fffffull) | ALL | PS : ((u64)pt | ALL);
    *entry_of(LEVEL_PT, va) = (phys & ~0xfffull) | ALL;
    write_cr3(read_cr3());
}

static void target_init(void)
{
    memset(target, 0, sizeof target);
    target[0] = 0xc3;             /* ret: executed in ring 0 */
    target[16] = 0xcd;            /* int 0x80: in ring 3     */
    target[17] = 0x80;
}

static void set_nxe(bool on)
{
    wrmsr(MSR_EFER, (rdmsr(MSR_EFER) & ~(u64)EFER_NXE) | (on ? EFER_NXE : 0));
}

static void set_wp(bool on)
{
    write_cr0((read_cr0() & ~(word)CR0_WP) | (on ? CR0_WP : 0));
}

static void set_cr4(word bits, bool on)
{
    write_cr4((read_cr4() & ~bits) | (on ? bits : 0));
}

/* -- The matrix of rights ------------------------------------------------------------------------------ */

enum { KERNEL_READ, KERNEL_WRITE, KERNEL_EXEC, USER_READ, USER_WRITE, USER_EXEC, ACCESSES };

static bool is_user(unsigned access) { return access >= USER_READ; }
static bool is_write(unsigned access) { return access == KERNEL_WRITE || access == USER_WRITE; }
static bool is_exec(unsigned access) { return access == KERNEL_EXEC || access == USER_EXEC; }

static void do_access(unsigned access, u64 va, bool ac)
{
    word flags = 2 | (ac ? FLAG_AC : 0);

    switch (access) {
    case KERNEL_READ:
        __asm__ volatile("push %1; popf; movb (%0), %%al; push $2; popf"
                         : : "r"(va), "r"(flags) : "rax", "memory", "cc");
        break;
    case KERNEL_WRITE:
        __asm__ volatile("push %1; popf; movb $0x77, 64(%0); push $2; popf"
                         : : "r"(va), "r"(flags) : "memory", "cc");
        break;
    case KERNEL_EXEC:
        __asm__ volatile("push %1; popf; call *%0; push $2; popf"
                         : : "r"(va), "r"(flags) : "memory", "cc");
        break;
    case USER_READ:
        enter_user(USER(user_load), va, flags);
        break;
    case USER_WRITE:
        enter_user(USER(user_store), va + 64, flags);
        break;
    default:
        enter_user(va + 16, 0, flags);
        break;
    }
}

typedef struct {
    bool w, u, nx, wp, smep, smap, ac, nxe;
} Rights;

/* The error code of SDM 3A 4.6 and 4.7, or -1 when the access is allowed. */
static int expected_error(const Rights *r, unsigned access)
{
    int code = P | (is_write(access) ? 2 : 0) | (is_user(access) ? 4 : 0) |
               (is_exec(access) && (r->nxe || r->smep) ? 16 : 0);
    bool bad = false;

    if (r->nx && !r->nxe) {
        return code | 8;          /* bit 63 is reserved */
    }
    if (is_user(access)) {
        bad = !r->u || (is_write(access) && !r->w);
    } else if (!is_exec(access)) {
        bad = (r->u && r->smap && !r->ac) || (is_write(access) && !r->w && r->wp);
    } else {
        bad = r->u && r->smep;
    }
    return bad || (is_exec(access) && r->nx) ? code : -1;
}

static unsigned reports;

/* One access with rights `r` given by the entry at `level`, all others full. */
static void check_rights(const Rights *r, unsigned size, unsigned level, unsigned access)
{
    u64 va = va_of(target), *e = entry_of(level, va), old = *e;
    int want = expected_error(r, access), vector, done = is_user(access) ? VECTOR_USER_EXIT : -1;
    u64 fault = is_exec(access) && is_user(access) ? va + 16
                : is_write(access)                 ? va + 64
                                                   : va;

    *e = (old & ~(u64)(W | U)) | (r->w ? W : 0) | (r->u ? U : 0) | (r->nx ? NX : 0);
    write_cr3(read_cr3());
    vector = TRY(do_access(access, va, r->ac));
    *e = old;
    if (want < 0 ? vector != done
                 : vector != VECTOR_PF || (int)trap.error != want || trap.cr2 != fault) {
        if (reports++ < 10) {
            print("# size %u level %u access %u w%u u%u nx%u wp%u smep%u smap%u ac%u nxe%u: vector %d "
                  "error 0x%x cr2 0x%x, expected error %d\n",
                  (word)size, (word)level, (word)access, (word)r->w, (word)r->u, (word)r->nx,
                  (word)r->wp, (word)r->smep, (word)r->smap, (word)r->ac, (word)r->nxe,
                  (long)vector, trap.error, trap.cr2, (long)want);
        }
        EXPECT(!"access right");
    }
}

static void matrix(unsigned size, bool nx_reserved)
{
    target_init();
    map(target, size);
    for (unsigned bits = 0; bits < 256; bits++) {
        Rights r = {bits & 1, bits & 2, bits & 4, bits & 8, bits & 16, bits & 32, bits & 64,
                    bits & 128};
        if ((r.smep && !HAS_SMEP) || (r.smap && !HAS_SMAP) || (r.nxe && !HAS_NX) ||
            (r.ac && !r.smap) || (r.nx && !r.nxe) != nx_reserved) {
            continue;
        }
        set_nxe(r.nxe);
        set_wp(r.wp);
        if (HAS_SMEP) {
            set_cr4(CR4_SMEP, r.smep);
        }
        if (HAS_SMAP) {
            set_cr4(CR4_SMAP, r.smap);
        }
        for (unsigned level = size; level < LEVELS; level++) {
            for (unsigned access = 0; access < ACCESSES; access++) {
                check_rights(&r, size, level, access);
            }
        }
    }
    write_cr4(read_cr4() & ~(word)(CR4_SMEP | CR4_SMAP));
    set_wp(false);
    set_nxe(false);
}

static void rights_of_4k_pages(void) { matrix(SIZE_4K, false); }
static void rights_of_2m_pages(void) { matrix(SIZE_2M, false); }

static void rights_of_1g_pages(void)
{
    if (!HAS_1G) {
        test_skip("no 1 GiB pages");
        return;
    }
    matrix(SIZE_1G, false);
}

static void nx_is_reserved_without_nxe(void)
{
    matrix(SIZE_4K, true);
    matrix(SIZE_2M, true);
}

/* Rights may be changed by CR0 and CR4 alone, without a flush of ours. */
static void wp_and_smap_act_at_once(void)
{
    u64 va = va_of(target);

    target_init();
    map(target, SIZE_4K);
    *entry_of(LEVEL_PT, va) &= ~(u64)(W | U);
    write_cr3(read_cr3());
    EXPECT_EQ(TRY(do_access(KERNEL_WRITE, va, false)), -1);
    set_wp(true);
    EXPECT_EQ(TRY(do_access(KERNEL_WRITE, va, false)), VECTOR_PF);
    set_wp(false);
    EXPECT_EQ(TRY(do_access(KERNEL_WRITE, va, false)), -1);
    if (HAS_SMAP) {
        map(target, SIZE_4K);
        EXPECT_EQ(TRY(do_access(KERNEL_READ, va, false)), -1);
        set_cr4(CR4_SMAP, true);
        EXPECT_EQ(TRY(do_access(KERNEL_READ, va, false)), VECTOR_PF);
        EXPECT_EQ(TRY(__asm__ volatile("stac; movb (%0), %%al; clac" : : "r"(va) : "rax")), -1);
        EXPECT_EQ(TRY(do_access(KERNEL_READ, va, false)), VECTOR_PF);
        set_cr4(CR4_SMAP, false);
    }
}

/* -- Accessed and dirty --------------------------------------------------------------------------------- */

static unsigned ad(unsigned level, u64 va)
{
    return *entry_of(level, va) & (A | D);
}

static void accessed_and_dirty_bits(void)
{
    for (unsigned size = SIZE_4K; size <= SIZE_1G; size++) {
        u64 va = va_of(target);
        if (size == SIZE_1G && !HAS_1G) {
            break;
        }
        target_init();
        map(target, size);
        EXPECT_EQ(ad(size, va), 0);
        EXPECT_EQ(TRY(do_access(KERNEL_READ, va, false)), -1);
        for (unsigned level = size; level < LEVELS; level++) {
            EXPECT_EQ(ad(level, va), A);
        }
        EXPECT_EQ(TRY(do_access(KERNEL_WRITE, va, false)), -1);
        EXPECT_EQ(ad(size, va), A | D);
        EXPECT_EQ(ad(LEVEL_PML4, va), A);
        map(target, size);            /* a fetch is an access */
        EXPECT_EQ(TRY(do_access(USER_EXEC, va, false)), VECTOR_USER_EXIT);
        EXPECT_EQ(ad(size, va), A);
        map(target, size);            /* a write that is refused does not dirty */
        *entry_of(size, va) &= ~(u64)W;
        write_cr3(read_cr3());
        EXPECT_EQ(TRY(do_access(USER_WRITE, va, false)), VECTOR_PF);
        EXPECT_EQ(ad(size, va) & D, 0);
        map(target, size);            /* cleared and flushed, they are set again */
        do_access(KERNEL_WRITE, va, false);
        *entry_of(size, va) &= ~(u64)(A | D);
        invlpg(va);
        do_access(KERNEL_READ, va, false);
        EXPECT_EQ(ad(size, va), A);
        do_access(KERNEL_WRITE, va, false);
        EXPECT_EQ(ad(size, va), A | D);
    }
}

/* However many instructions have read the page, by whatever it is remembered. */
static void loads_let_no_store_through(void)
{
    u64 va = va_of(target);

    target_init();
    map(target, SIZE_4K);
    *entry_of(LEVEL_PT, va) &= ~(u64)W;
    invlpg(va);
    set_wp(true);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_TRAP(TRY(__asm__ volatile(".rept 300; movl (%0), %%eax; .endr; notl %%eax; movl %%eax, (%0)"
                                         : : "r"(va) : "eax", "memory", "cc")), VECTOR_PF, P | W);
        EXPECT_TRAP(TRY(__asm__ volatile(".rept 300; movl (%0), %%eax; .endr; incl (%0)"
                                         : : "r"(va) : "eax", "memory", "cc")), VECTOR_PF, P | W);
    }
    EXPECT_EQ(target[0], 0xc3);
    set_wp(false);
}

static void locked_and_read_modify_write_dirty(void)
{
    u64 va = va_of(target);

    target_init();
    map(target, SIZE_4K);
    __asm__ volatile("lock cmpxchgb %%cl, 80(%0)" : : "r"(va), "a"(1), "c"(2) : "memory", "cc");
    EXPECT_EQ(ad(LEVEL_PT, va), A | D); /* it writes even when the comparison fails */
    map(target, SIZE_4K);
    __asm__ volatile("btsl $0, 96(%0)" : : "r"(va) : "memory", "cc");
    EXPECT_EQ(ad(LEVEL_PT, va), A | D);
    map(target, SIZE_4K);
    __asm__ volatile("btl $0, 96(%0)" : : "r"(va) : "memory", "cc");
    EXPECT_EQ(ad(LEVEL_PT, va), A);
}

/* -- Reserved bits, canonical addresses ----------------------------------------------------------------- */

static void reserved_bits_fault(void)
{
    u64 va = va_of(target);
    u32 r[4];
    unsigned maxphys;

    cpuid(0x80000008, 0, r);
    maxphys = r[0] & 0xff;
    for (unsigned level = LEVEL_PT; level < LEVELS; level++) {
        if (maxphys < 52) {
            map(target, SIZE_4K);
            *entry_of(level, va) |= 1ull << 51;
            write_cr3(read_cr3());
            EXPECT_EQ(TRY(do_access(KERNEL_READ, va, false)), VECTOR_PF);
            EXPECT_EQ(trap.error, P | 8);
            EXPECT_EQ(TRY(do_access(USER_WRITE, va, false)), VECTOR_PF);
            EXPECT_EQ(trap.error, P | 8 | 2 | 4);
        }
    }
    map(target, SIZE_4K);
    *entry_of(LEVEL_PML4, va) |= PS;
    write_cr3(read_cr3());
    EXPECT_EQ(TRY(do_access(KERNEL_READ, va, false)), VECTOR_PF);
    EXPECT_EQ(trap.error, P | 8);
    map(target, SIZE_2M);
    *entry_of(LEVEL_PD, va) |= 1u << 13;
    write_cr3(read_cr3());
    EXPECT_EQ(TRY(do_access(KERNEL_READ, va, false)), VECTOR_PF);
    EXPECT_EQ(trap.error, P | 8);
    map(target, SIZE_4K);
}

static void not_present_at_every_level(void)
{
    u64 va = va_of(target);

    for (unsigned level = LEVEL_PT; level < LEVELS; level++) {
        map(target, SIZE_4K);
        *entry_of(level, va) &= ~(u64)P;
        *entry_of(level, va) |= 1ull << 51 | NX;    /* of no concern when not present */
        write_cr3(read_cr3());
        EXPECT_EQ(TRY(do_access(KERNEL_WRITE, va, false)), VECTOR_PF);
        EXPECT_EQ(trap.error, 2);
        EXPECT_EQ(trap.cr2, va + 64);
        EXPECT_EQ(TRY(do_access(USER_READ, va, false)), VECTOR_PF);
        EXPECT_EQ(trap.error, 4);
    }
    map(target, SIZE_4K);
}

static void non_canonical_addresses(void)
{
    u64 bad = 0x0000800000000000ull;

    EXPECT_EQ(TRY(do_access(KERNEL_READ, bad, false)), VECTOR_GP);
    EXPECT_EQ(trap.error, 0);
    EXPECT_EQ(TRY(do_access(KERNEL_WRITE, 0xffff7fffffffffffull - 64, false)), VECTOR_GP);
    EXPECT_EQ(TRY(__asm__ volatile("jmp *%0" : : "r"(bad))), VECTOR_GP);
    EXPECT_EQ(TRY(__asm__ volatile("invlpg (%0)" : : "r"(bad))), -1);
    /* The last canonical byte is fine as an address: it is just not mapped. */
    EXPECT_EQ(TRY(do_access(KERNEL_READ, bad - 1, false)), VECTOR_PF);
}

static void non_canonical_stack_accesses_are_stack_faults(void)
{
    u64 bad = 0x0000800000000000ull;

    idt_set(VECTOR_SS, idt_default_handler(VECTOR_SS), SEL_KCODE, GATE_INT, 0, 1);
    idt_set(VECTOR_GP, idt_default_handler(VECTOR_GP), SEL_KCODE, GATE_INT, 0, 1);
    EXPECT_EQ(TRY(__asm__ volatile("mov %%rsp, %%rbx; mov %0, %%rsp; pop %%rax; mov %%rbx, %%rsp"
                                   : : "r"(bad) : "rax", "rbx")), VECTOR_SS);
    EXPECT_EQ(trap.error, 0);
    EXPECT_EQ(TRY(__asm__ volatile("mov %0, %%rbp; movb (%%rbp), %%al; xor %%ebp, %%ebp"
                                   : : "r"(bad) : "rax", "rbp")), VECTOR_SS);
    idt_restore(VECTOR_SS);
    idt_restore(VECTOR_GP);
}

/* -- Accesses that cross pages --------------------------------------------------------------------------- */

static u8 two_pages[8192] PAGE_ALIGNED;

static void crossing_accesses_fault_on_the_page_that_is_missing(void)
{
    u64 va = va_of(two_pages);

    map(two_pages, SIZE_4K);
    *entry_of(LEVEL_PT, va + 4096) = 0;
    write_cr3(read_cr3());
    memset(two_pages, 0x11, sizeof two_pages);
    EXPECT_EQ(TRY(*(volatile u64 *)(va + 4092) = 0x2222222222222222ull), VECTOR_PF);
    EXPECT_EQ(trap.cr2, va + 4096);
    EXPECT_EQ(trap.error, 2);
    EXPECT_EQ(*(u32 *)(two_pages + 4092), 0x11111111); /* and nothing was written */
    EXPECT_EQ(TRY((void)*(volatile u64 *)(va + 4089)), VECTOR_PF);
    EXPECT_EQ(trap.cr2, va + 4096);
    EXPECT_EQ(TRY((void)*(volatile u64 *)(va + 4088)), -1);
    /* An instruction that crosses: the fetch faults at the second page. */
    two_pages[4095] = 0xb8;       /* mov $imm, %eax */
    set_nxe(HAS_NX);
    EXPECT_EQ(TRY(__asm__ volatile("jmp *%0" : : "r"(va + 4095))), VECTOR_PF);
    EXPECT_EQ(trap.cr2, va + 4096);
    EXPECT_EQ(trap.error, HAS_NX ? 16 : 0);
    EXPECT_EQ(trap.frame.ip, va + 4095);
    set_nxe(false);
}

/* -- Flushing --------------------------------------------------------------------------------------------- */

static u8 peek(u64 va)
{
    return *(volatile u8 *)(va + 128);
}

static void point_at(u64 va, const void *p, u64 flags)
{
    *entry_of(LEVEL_PT, va) = (u64)p | ALL | flags;
}

static void invlpg_shows_a_changed_entry(void)
{
    u64 va = va_of(target);

    target[128] = 1;
    other[128] = 2;
    map(target, SIZE_4K);
    EXPECT_EQ(peek(va), 1);
    point_at(va, other, 0);
    invlpg(va + 77);
    EXPECT_EQ(peek(va), 2);
    point_at(va, target, 0);
    write_cr3(read_cr3());
    EXPECT_EQ(peek(va), 1);
    *entry_of(LEVEL_PT, va) = 0;
    invlpg(va);
    EXPECT_EQ(TRY(peek(va)), VECTOR_PF);
    point_at(va, other, 0);       /* not-present entries are not cached: no flush */
    EXPECT_EQ(peek(va), 2);
    map(target, SIZE_2M);         /* one INVLPG drops the whole large page */
    EXPECT_EQ(peek(va), 1);
    *entry_of(LEVEL_PD, va) = (u64)pt | ALL;
    invlpg(va + 4096 < ((va | 0x1fffff) + 1) ? va + 4096 : va - 4096);
    point_at(va, other, 0);
    EXPECT_EQ(peek(va), 2);
}

static void global_pages_leave_with_pge(void)
{
    u64 va = va_of(target);

    map(target, SIZE_4K);
    set_cr4(CR4_PGE, true);
    point_at(va, target, G);
    invlpg(va);
    EXPECT_EQ(peek(va), 1);
    point_at(va, other, G);
    set_cr4(CR4_PGE, false);
    set_cr4(CR4_PGE, true);
    EXPECT_EQ(peek(va), 2);
    point_at(va, target, G);
    invlpg(va);                   /* INVLPG takes global entries too */
    EXPECT_EQ(peek(va), 1);
    point_at(va, other, 0);
    write_cr3(read_cr3());        /* may leave the old global entry... */
    invlpg(va);                   /* ...but not this */
    EXPECT_EQ(peek(va), 2);
    set_cr4(CR4_PGE, false);
}

static void permission_changes_without_flush_where_allowed(void)
{
    u64 va = va_of(target);

    map(target, SIZE_4K);
    set_wp(true);
    *entry_of(LEVEL_PT, va) = (u64)target | P | U;
    invlpg(va);
    EXPECT_EQ(peek(va), 1);
    *entry_of(LEVEL_PT, va) |= W; /* more rights: at worst one spurious fault, which refills */
    if (TRY(do_access(KERNEL_WRITE, va, false)) >= 0) {
        EXPECT_EQ(TRY(do_access(KERNEL_WRITE, va, false)), -1);
    }
    set_wp(false);
}

/* -- Code that calls code on another page --------------------------------------------------------------------- */

enum { UPPER_SLOT = 400 };
static u8 caller[8192] PAGE_ALIGNED, other_callee[4096] PAGE_ALIGNED;

/* Often enough that a translator has done with it what it does with code that is hot. */
static bool all_calls_return(u64 at, u32 want)
{
    for (unsigned i = 0; i < 40; i++) {
        if (((u32(*)(void))at)() != want) {
            return false;
        }
    }
    return true;
}

static void calls_over_a_page_end_follow_the_tables(void)
{
    static const u8 call_next_page[] = {0x90, 0xe8, 0xfa, 0x0f, 0, 0, 0xc3}; /* nop; call to the next page; ret */
    u64 at = ~0ull << 48 | (u64)UPPER_SLOT << 39 | (u64)caller, callee = at + 4096;
    u64 *entry;

    memcpy(caller, call_next_page, sizeof call_next_page);
    memcpy(caller + 4096, "\xb8\1\0\0\0\xc3", 6);       /* mov $1, %eax; ret */
    memcpy(other_callee, "\xb8\2\0\0\0\xc3", 6);
    map(caller, SIZE_4K);
    boot_pml4[UPPER_SLOT] = (u64)pdpt | ALL;
    *entry_of(LEVEL_PT, at) = (u64)caller | P | W | G;
    entry = entry_of(LEVEL_PT, callee);
    *entry = (u64)(caller + 4096) | P | W | G;
    set_cr4(CR4_PGE, true);
    EXPECT_EQ(all_calls_return(at, 1), true);
    *entry = (u64)other_callee | P | W | G;
    invlpg(callee);
    EXPECT_EQ(all_calls_return(at, 2), true);
    *entry = (u64)(caller + 4096) | P | W | G;
    set_cr4(CR4_PGE, false);                              /* flushes all */
    set_cr4(CR4_PGE, true);
    EXPECT_EQ(all_calls_return(at, 1), true);
    *entry = 0;
    invlpg(callee);
    EXPECT_EQ(TRY(((void (*)(void))at)()), VECTOR_PF);
    *entry = (u64)other_callee | P | W;                    /* not global: it goes with CR3 */
    EXPECT_EQ(all_calls_return(at, 2), true);
    *entry = (u64)(caller + 4096) | P | W;
    write_cr3(read_cr3());
    EXPECT_EQ(all_calls_return(at, 1), true);
    caller[4097] = 3;                                      /* its bytes change */
    EXPECT_EQ(all_calls_return(at, 3), true);
    *entry = (u64)other_callee | P | W | G;
    for (unsigned i = 1; i < 100; i++) {                   /* more pages than anybody remembers */
        invlpg(callee + 4096ull * i);
    }
    invlpg(callee);
    EXPECT_EQ(all_calls_return(at, 2), true);
    set_cr4(CR4_PGE, false);
    boot_pml4[UPPER_SLOT] = 0;
    write_cr3(read_cr3());
}

/* -- Instructions across a page's end ------------------------------------------------------------------------ */

/* mov $low | high << 16, %eax; ret: the page's end is in the middle of the constant. */
static void put_across(u8 *first, u16 low)
{
    u8 *p = first + 4096 - 3;

    p[0] = 0xb8;
    p[1] = (u8)low;
    p[2] = (u8)(low >> 8);
}

/* ... and how it goes on at the next page, in ring 0 and, `user`, in ring 3. */
static void put_rest(u8 *second, u16 high, bool user)
{
    second[0] = (u8)high;
    second[1] = (u8)(high >> 8);
    memcpy(second + 2, user ? "\xcd\x80" : "\xc3\x90", 2);
}

static void aim(u64 va, const void *p, u64 bits)
{
    *entry_of(LEVEL_PT, va) = (u64)p | P | W | bits;
    invlpg(va);
}

/* At `at` and behind it, whatever the tables say is executed. */
static void instructions_across_follow_the_tables(u64 at, u64 bits)
{
    u64 next = at + 4096, start = at + 4096 - 3;

    put_across(caller, 0x1111);
    put_rest(caller + 4096, 1, false);
    put_rest(other_callee, 2, false);
    aim(at, caller, bits);
    for (unsigned i = 0; i < 3; i++) {
        aim(next, caller + 4096, bits);
        EXPECT_EQ(all_calls_return(start, 0x11111), true);
        aim(next, other_callee, bits);
        EXPECT_EQ(all_calls_return(start, 0x21111), true);
    }
    *entry_of(LEVEL_PT, next) = 0;
    invlpg(next);
    EXPECT_EQ(TRY(((void (*)(void))start)()), VECTOR_PF);
    EXPECT_EQ(trap.cr2, next);
    EXPECT_EQ(trap.frame.ip, start);
    aim(next, other_callee, bits);
    EXPECT_EQ(all_calls_return(start, 0x21111), true);
    other_callee[0] = 3;                                  /* its bytes change, by either address */
    EXPECT_EQ(all_calls_return(start, 0x31111), true);
    *(volatile u8 *)(next + 1) = 4;
    EXPECT_EQ(all_calls_return(start, 0x4031111), true);
    *(volatile u8 *)(start + 1) = 5;
    EXPECT_EQ(all_calls_return(start, 0x4031105), true);
    set_nxe(true);
    aim(next, other_callee, bits | NX);
    EXPECT_EQ(TRY(((void (*)(void))start)()), VECTOR_PF);
    EXPECT_EQ(trap.error, P | 16);
    EXPECT_EQ(trap.cr2, next);
    aim(next, other_callee, bits);
    EXPECT_EQ(all_calls_return(start, 0x4031105), true);
    set_nxe(false);
    *entry_of(LEVEL_PT, next) = (u64)(caller + 4096) | P | W | (bits & ~(u64)G);
    if ((bits & G) != 0) {
        set_cr4(CR4_PGE, false);
        set_cr4(CR4_PGE, true);
    }
    write_cr3(read_cr3());
    EXPECT_EQ(all_calls_return(start, 0x11105), true);
    put_rest(caller, 6, false);                           /* the page behind is the same one */
    aim(next, caller, bits);
    EXPECT_EQ(all_calls_return(start, 0x61105), true);
    caller[0] = 7;
    EXPECT_EQ(all_calls_return(start, 0x71105), true);
}

static void instructions_across_a_page_end_follow_the_tables(void)
{
    map(caller, SIZE_4K);
    instructions_across_follow_the_tables(va_of(caller), 0);
    set_cr4(CR4_PGE, true);
    boot_pml4[UPPER_SLOT] = (u64)pdpt | ALL;
    instructions_across_follow_the_tables(~0ull << 48 | (u64)UPPER_SLOT << 39 | (u64)caller, G);
    set_cr4(CR4_PGE, false);
    boot_pml4[UPPER_SLOT] = 0;
    write_cr3(read_cr3());
}

/* User code at two addresses, whose first page is the same and whose second is not. */
static bool user_gets(u64 at, u32 want)
{
    for (unsigned i = 0; i < 40; i++) {
        if (TRY(enter_user(at, 0, 2)) != VECTOR_USER_EXIT || (u32)trap.frame.ax != want) {
            return false;
        }
    }
    return true;
}

static void instructions_across_are_their_address_s(void)
{
    u64 at = va_of(caller), elsewhere = at + 0x10000;

    put_across(caller, 0x2222);
    put_rest(caller + 4096, 1, true);
    put_rest(other_callee, 2, true);
    map(caller, SIZE_4K);
    aim(at, caller, U);
    aim(at + 4096, caller + 4096, U);
    aim(elsewhere, caller, U);
    aim(elsewhere + 4096, other_callee, U);
    for (unsigned i = 0; i < 5; i++) {
        EXPECT_EQ(user_gets(at + 4093, 0x12222), true);
        EXPECT_EQ(user_gets(elsewhere + 4093, 0x22222), true);
    }
    for (unsigned i = 0; i < 40; i++) {
        EXPECT_EQ(TRY(enter_user(at + 4093, 0, 2)), VECTOR_USER_EXIT);
        EXPECT_EQ((u32)trap.frame.ax, 0x12222);
        EXPECT_EQ(TRY(enter_user(elsewhere + 4093, 0, 2)), VECTOR_USER_EXIT);
        EXPECT_EQ((u32)trap.frame.ax, 0x22222);
    }
    aim(at + 4096, caller + 4096, 0);                     /* no page of the user's */
    EXPECT_EQ(TRY(enter_user(at + 4093, 0, 2)), VECTOR_PF);
    EXPECT_EQ(trap.cr2, at + 4096);
    EXPECT_EQ(user_gets(elsewhere + 4093, 0x22222), true);
}

/* -- PCID -------------------------------------------------------------------------------------------------- */

static u64 pml4_b[512] PAGE_ALIGNED, pdpt_b[512] PAGE_ALIGNED, pd_b[512] PAGE_ALIGNED,
    pt_b[512] PAGE_ALIGNED;
#define KEEP (1ull << 63)

static void invpcid(u64 type, u64 pcid, u64 addr)
{
    u64 d[2] = {pcid, addr};
    __asm__ volatile("invpcid %1, %0" : : "r"(type), "m"(d) : "memory");
}

/* A second address space in which the test page is `other`. */
static void make_second_space(u64 va)
{
    memcpy(pml4_b, boot_pml4, 4096);
    memcpy(pdpt_b, pdpt, 4096);
    memcpy(pd_b, pd, 4096);
    memcpy(pt_b, pt, 4096);
    pml4_b[SLOT] = (u64)pdpt_b | ALL;
    pdpt_b[va >> 30 & 511] = (u64)pd_b | ALL;
    pd_b[va >> 21 & 511] = (u64)pt_b | ALL;
    pt_b[va >> 12 & 511] = (u64)other | ALL;
}

static void pcid_keeps_address_spaces_apart(void)
{
    u64 va = va_of(target), a = read_cr3(), b = (u64)pml4_b;

    if (!HAS_PCID) {
        test_skip("no PCID");
        return;
    }
    EXPECT_EQ(TRY(write_cr3(a | KEEP)), VECTOR_GP);
    map(target, SIZE_4K);
    make_second_space(va);
    write_cr3(a | 8);             /* CR3[11:0] must be 0 to turn PCIDs on */
    EXPECT_EQ(TRY(set_cr4(CR4_PCIDE, true)), VECTOR_GP);
    write_cr3(a);
    EXPECT_EQ(TRY(set_cr4(CR4_PCIDE, true)), -1);
    EXPECT_EQ(TRY(write_cr0(read_cr0() & ~CR0_PG)), VECTOR_GP);
    write_cr3(a | 1);
    EXPECT_EQ(peek(va), 1);
    write_cr3(b | 2);
    EXPECT_EQ(peek(va), 2);
    for (unsigned i = 0; i < 4; i++) {
        write_cr3(a | 1 | KEEP);
        EXPECT_EQ(peek(va), 1);
        EXPECT_EQ(read_cr3(), a | 1); /* bit 63 does not stick */
        write_cr3(b | 2 | KEEP);
        EXPECT_EQ(peek(va), 2);
    }
    pt[va >> 12 & 511] = (u64)other | ALL; /* while PCID 2 runs, change PCID 1's page */
    write_cr3(a | 1);                      /* a load without KEEP flushes PCID 1 */
    EXPECT_EQ(peek(va), 2);
    write_cr3(a);
    EXPECT_EQ(TRY(set_cr4(CR4_PCIDE, false)), -1);
}

static void instructions_across_a_page_end_are_their_space_s(void)
{
    u64 at = va_of(caller), next = at + 4096, a = read_cr3(), b = (u64)pml4_b;

    if (!HAS_PCID) {
        test_skip("no PCID");
        return;
    }
    put_across(caller, 0x3333);
    put_rest(caller + 4096, 1, true);
    put_rest(other_callee, 2, true);
    map(caller, SIZE_4K);
    aim(at, caller, U);
    aim(next, caller + 4096, U);
    make_second_space(at);
    pt_b[at >> 12 & 511] = (u64)caller | P | W | U;
    pt_b[next >> 12 & 511] = (u64)other_callee | P | W | U;
    set_cr4(CR4_PCIDE, true);
    write_cr3(b | 2);
    write_cr3(a | 1);
    for (unsigned i = 0; i < 300; i++) {                   /* whatever either space has translated and remembers */
        write_cr3(a | 1 | KEEP);
        for (unsigned n = i % 7; n > 0; n--) {
            EXPECT_EQ(TRY(enter_user(at + 4093, 0, 2)), VECTOR_USER_EXIT);
            EXPECT_EQ((u32)trap.frame.ax, 0x13333);
        }
        write_cr3(b | 2 | KEEP);
        for (unsigned n = i % 5; n > 0; n--) {
            EXPECT_EQ(TRY(enter_user(at + 4093, 0, 2)), VECTOR_USER_EXIT);
            EXPECT_EQ((u32)trap.frame.ax, 0x23333);
        }
    }
    pt[next >> 12 & 511] = (u64)other_callee | P | W | U;
    write_cr3(a | 1);
    EXPECT_EQ(user_gets(at + 4093, 0x23333), true);
    write_cr3(a);
    set_cr4(CR4_PCIDE, false);
}

static void invpcid_flushes_what_it_names(void)
{
    u64 va = va_of(target), a = read_cr3(), b = (u64)pml4_b;

    if (!HAS_PCID || !cpu_has(7, 0, 1, 10)) {
        test_skip("no INVPCID");
        return;
    }
    map(target, SIZE_4K);
    make_second_space(va);
    set_cr4(CR4_PCIDE, true);
    for (unsigned type = 0; type < 4; type++) {
        write_cr3(b | 2);
        write_cr3(a | 1);
        point_at(va, target, 0);
        invlpg(va);
        EXPECT_EQ(peek(va), 1);
        write_cr3(b | 2 | KEEP);
        point_at(va, other, 0);
        invpcid(type, type < 2 ? 1 : 0, type == 0 ? va : 0);
        write_cr3(a | 1 | KEEP);
        EXPECT_EQ(peek(va), 2);
    }
    EXPECT_EQ(TRY(invpcid(4, 0, 0)), VECTOR_GP);
    EXPECT_EQ(TRY(invpcid(1, 0x1000, 0)), VECTOR_GP);
    EXPECT_EQ(TRY(invpcid(0, 1, 0x0000800000000000ull)), VECTOR_GP);
    write_cr3(a);
    set_cr4(CR4_PCIDE, false);
}

/* -- Protection keys --------------------------------------------------------------------------------------- */

static void wrpkru(u32 v)
{
    __asm__ volatile("wrpkru" : : "a"(v), "c"(0), "d"(0) : "memory");
}

static void protection_keys(void)
{
    u64 va = va_of(target);

    if (!cpu_has(7, 0, 2, 3)) {
        test_skip("no protection keys");
        return;
    }
    target_init();
    EXPECT_EQ(TRY(wrpkru(0)), VECTOR_UD);
    map(target, SIZE_4K);
    *entry_of(LEVEL_PT, va) |= 5ull << 59;
    set_cr4(CR4_PKE, true);
    for (unsigned bits = 0; bits < 8; bits++) {
        bool no_access = bits & 1, no_write = bits & 2, wp = bits & 4;
        set_wp(wp);
        wrpkru((u32)(bits & 3) << 10);
        for (unsigned access = 0; access < ACCESSES; access++) {
            bool bad = !is_exec(access) && (no_access || (no_write && is_write(access) &&
                                                          (is_user(access) || wp)));
            int vector = TRY(do_access(access, va, false));
            if (bad) {
                EXPECT_EQ(vector, VECTOR_PF);
                EXPECT_EQ(trap.error, P | 0x20 | (is_write(access) ? 2 : 0) |
                                          (is_user(access) ? 4 : 0));
            } else {
                EXPECT_EQ(vector, is_user(access) ? VECTOR_USER_EXIT : -1);
            }
        }
    }
    *entry_of(LEVEL_PT, va) &= ~(u64)U; /* keys do not concern supervisor pages */
    invlpg(va);
    EXPECT_EQ(TRY(do_access(KERNEL_WRITE, va, false)), -1);
    wrpkru(0);
    set_wp(false);
    set_cr4(CR4_PKE, false);
}

const GuestTest guest_tests[] = {
    {"rights_of_4k_pages", rights_of_4k_pages},
    {"rights_of_2m_pages", rights_of_2m_pages},
    {"rights_of_1g_pages", rights_of_1g_pages},
    {"nx_is_reserved_without_nxe", nx_is_reserved_without_nxe},
    {"wp_and_smap_act_at_once", wp_and_smap_act_at_once},
    {"accessed_and_dirty_bits", accessed_and_dirty_bits},
    {"locked_and_read_modify_write_dirty", locked_and_read_modify_write_dirty},
    {"loads_let_no_store_through", loads_let_no_store_through},
    {"reserved_bits_fault", reserved_bits_fault},
    {"not_present_at_every_level", not_present_at_every_level},
    {"non_canonical_addresses", non_canonical_addresses},
    {"non_canonical_stack_accesses_are_stack_faults",
     non_canonical_stack_accesses_are_stack_faults},
    {"crossing_accesses_fault_on_the_page_that_is_missing",
     crossing_accesses_fault_on_the_page_that_is_missing},
    {"calls_over_a_page_end_follow_the_tables", calls_over_a_page_end_follow_the_tables},
    {"instructions_across_a_page_end_follow_the_tables", instructions_across_a_page_end_follow_the_tables},
    {"instructions_across_a_page_end_are_their_address_s", instructions_across_are_their_address_s},
    {"instructions_across_a_page_end_are_their_space_s", instructions_across_a_page_end_are_their_space_s},
    {"invlpg_shows_a_changed_entry", invlpg_shows_a_changed_entry},
    {"global_pages_leave_with_pge", global_pages_leave_with_pge},
    {"permission_changes_without_flush_where_allowed",
     permission_changes_without_flush_where_allowed},
    {"pcid_keeps_address_spaces_apart", pcid_keeps_address_spaces_apart},
    {"invpcid_flushes_what_it_names", invpcid_flushes_what_it_names},
    {"protection_keys", protection_keys},
    {NULL, NULL},
};
