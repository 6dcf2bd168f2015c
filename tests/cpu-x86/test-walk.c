/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpu-x86/walk.c and control.c: rights, error codes, reserved bits, A and D, control registers. */
#include "cpu-x86/walk.h"

#include "cpu-x86/debug.h"
#include "tests/cpu-x86/system-cpu.h"
#include "tests/suite.h"

static SystemCpu *s;
static CpuState *cpu;

enum { PML4 = 0x100000, PDPT = 0x101000, PD = 0x102000, PT = 0x103000, FRAME = 0x200000 };
enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX BIT64(63)
static const uint64_t lin = 0x12345678; /* in all modes below 4 GiB */

static void set_up(void)
{
    s = system_cpu_new("max", 1, 0);
    cpu = s->cpu;
    cpu->cr0 = CR0_PE | CR0_PG;
}

static void tear_down(void)
{
    system_cpu_free(s);
}

static uint64_t at(uint64_t table, unsigned level, uint64_t address)
{
    return table + ((address >> (12 + 9 * (level - 1))) & 0x1ff) * 8;
}

/* 4-level tables for one address: flags of the upper levels and of the leaf. */
static void map4(uint64_t address, uint64_t upper, uint64_t leaf)
{
    cpu->cr4 |= CR4_PAE;
    cpu->efer |= EFER_LME | EFER_LMA;
    cpu->cr3 = PML4;
    poke(s, at(PML4, 4, address), 8, PDPT | upper);
    poke(s, at(PDPT, 3, address), 8, PD | upper);
    poke(s, at(PD, 2, address), 8, PT | upper);
    poke(s, at(PT, 1, address), 8, FRAME | leaf);
    tlb_flush_all(&cpu->mmu.tlb);
}

/* Walk: -1, or the error code of the page fault. */
static int walk(uint64_t address, TlbAccess a, TlbClass c)
{
    int vector = RAISED(cpu, cpu_walk_fill(cpu, guest_lin(address), a, c));

    if (vector < 0) {
        return -1;
    }
    ck_assert_int_eq(vector, EXC_PF);
    ck_assert_uint_eq(cpu->cr2, address);
    return (int)cpu->exc.code;
}

/* -- Rights: every combination against the rules of SDM 3A 4.6 and 4.7, written down once more ---- */

typedef struct {
    bool user, write, nx;                  /* the page   */
    bool wp, smep, smap, nxe, pke;         /* the CPU    */
    unsigned key;                          /* AD = 1, WD = 2 */
    TlbAccess a;
    TlbClass c;
} Case;

static int expected(const Case *t)
{
    bool fetch = t->a == TLB_FETCH, store = t->a == TLB_STORE, by_user = t->c == TLB_USER;
    bool pk = t->pke && t->user && !fetch &&
              ((t->key & 1) != 0 || ((t->key & 2) != 0 && store && (by_user || t->wp)));
    int code = P | (store ? 2 : 0) | (by_user ? 4 : 0) | (fetch && (t->nxe || t->smep) ? 16 : 0);
    bool ok;

    if (t->nx && !t->nxe) {
        return code | 8;
    }
    if (by_user) {
        ok = t->user && (!store || t->write) && (!fetch || !t->nx);
    } else if (fetch) {
        ok = !t->nx && !(t->user && t->smep);
    } else {
        ok = (!store || t->write || !t->wp) && !(t->user && t->smap && t->c == TLB_KERNEL);
    }
    return ok && !pk ? -1 : code | (pk ? 32 : 0);
}

static void check_case(const Case *t, unsigned n)
{
    int got = walk(lin, t->a, t->c), want = expected(t);

    if (got != want) {
        ck_abort_msg("case %u: access %d class %d: page u%d w%d nx%d, wp%d smep%d smap%d nxe%d pke%d "
                     "key %u: got %#x, not %#x", n, t->a, t->c, t->user, t->write, t->nx, t->wp,
                     t->smep, t->smap, t->nxe, t->pke, t->key, got, want);
    }
}

/* Rights at the leaf alone, and taken away by an upper level alone. */
START_TEST(rights_and_error_codes_are_those_of_the_manual)
{
    for (unsigned n = 0; n < 1 << 12; n++) {
        bool upper = (n >> 11 & 1) != 0;
        Case t = {.user = n & 1, .write = n >> 1 & 1, .nx = n >> 2 & 1, .wp = n >> 3 & 1,
                  .smep = n >> 4 & 1, .smap = n >> 5 & 1, .nxe = n >> 6 & 1, .pke = n >> 7 & 1,
                  .key = n >> 8 & 3};
        uint64_t flags = P | (t.user ? U : 0) | (t.write ? W : 0) | (t.nx ? NX : 0);
        uint64_t key = (n >> 10 & 1) != 0 ? 13 : 5;

        cpu->cr0 = CR0_PE | CR0_PG | (t.wp ? CR0_WP : 0);
        cpu->cr4 = CR4_PAE | (t.smep ? CR4_SMEP : 0) | (t.smap ? CR4_SMAP : 0) |
                   (t.pke ? CR4_PKE : 0);
        cpu->efer = t.nxe ? EFER_NXE : 0;
        cpu->vec.pkru = t.key << (key * 2);
        map4(lin, upper ? flags : P | U | W, (upper ? P | U | W : flags) | key << 59);
        for (t.c = 0; t.c < TLB_CLASS_COUNT; t.c++) {
            for (t.a = TLB_LOAD; t.a <= TLB_FETCH; t.a++) {
                check_case(&t, n);
            }
        }
    }
}
END_TEST

/* What is inserted for one access must not grant another that would fault. */
START_TEST(an_inserted_translation_grants_exactly_what_walks_grant)
{
    for (unsigned n = 0; n < 64; n++) {
        uint64_t flags = P | A | D | (n & 1 ? U : 0) | (n & 2 ? W : 0) | (n & 4 ? NX : 0);

        cpu->cr0 = CR0_PE | CR0_PG | (n & 8 ? CR0_WP : 0);
        cpu->cr4 = (n & 16 ? CR4_SMEP : 0) | (n & 32 ? CR4_SMAP : 0);
        cpu->efer = EFER_NXE;
        for (TlbClass c = 0; c < TLB_CLASS_COUNT; c++) {
            for (TlbAccess a = TLB_LOAD; a <= TLB_FETCH; a++) {
                map4(lin, P | U | W | A, flags);
                if (walk(lin, a, c) < 0) {
                    unsigned rights = tlb_probe(&cpu->mmu.tlb, c, guest_lin(lin))->rights;

                    for (TlbAccess b = TLB_LOAD; b <= TLB_FETCH; b++) {
                        ck_assert_int_eq((rights >> b & 1) != 0, walk(lin, b, c) < 0);
                    }
                }
            }
        }
    }
}
END_TEST

/* -- Accessed and dirty -------------------------------------------------------------------------- */

START_TEST(accessed_is_set_on_the_path_and_dirty_on_the_leaf_by_stores_only)
{
    map4(lin, P | W, P | W);
    ck_assert_int_eq(walk(lin, TLB_LOAD, TLB_KERNEL), -1);
    ck_assert_uint_eq(peek(s, at(PML4, 4, lin), 8), PDPT | P | W | A);
    ck_assert_uint_eq(peek(s, at(PD, 2, lin), 8), PT | P | W | A);
    ck_assert_uint_eq(peek(s, at(PT, 1, lin), 8), FRAME | P | W | A);
    ck_assert_uint_eq(tlb_probe(&cpu->mmu.tlb, TLB_KERNEL, guest_lin(lin))->rights & TLB_R_WRITE, 0);
    ck_assert_int_eq(walk(lin, TLB_STORE, TLB_KERNEL), -1);
    ck_assert_uint_eq(peek(s, at(PT, 1, lin), 8), FRAME | P | W | A | D);
    ck_assert_uint_eq(peek(s, at(PD, 2, lin), 8), PT | P | W | A);
}
END_TEST

START_TEST(a_walk_that_faults_changes_nothing)
{
    map4(lin, P | W, P | W);
    ck_assert_int_eq(walk(lin, TLB_LOAD, TLB_USER), PF_P | PF_U);
    ck_assert_uint_eq(peek(s, at(PML4, 4, lin), 8), PDPT | P | W);
    ck_assert_uint_eq(peek(s, at(PT, 1, lin), 8), FRAME | P | W);
    ck_assert_ptr_null(tlb_probe(&cpu->mmu.tlb, TLB_USER, guest_lin(lin)));
}
END_TEST

START_TEST(a_walk_ahead_takes_what_is_granted_and_changes_nothing)
{
    Tlb *tlb = &cpu->mmu.tlb;

    map4(lin, P | W | A, P | W);           /* not accessed: left alone */
    ck_assert(!cpu_walk_ahead(cpu, guest_lin(lin)));
    ck_assert_uint_eq(peek(s, at(PT, 1, lin), 8), FRAME | P | W);
    map4(lin, P | W, P | W | A);           /* nor an upper level */
    ck_assert(!cpu_walk_ahead(cpu, guest_lin(lin)));
    map4(lin, P | W | A, A | W);           /* not present */
    ck_assert(!cpu_walk_ahead(cpu, guest_lin(lin)));
    ck_assert_ptr_null(tlb_probe(tlb, cpu->tlb_class, guest_lin(lin)));

    map4(lin, P | W | A, P | W | A);       /* clean: for reading */
    ck_assert(cpu_walk_ahead(cpu, guest_lin(lin)));
    ck_assert_ptr_nonnull(tlb_hit(tlb, cpu->tlb_class, lin, TLB_LOAD));
    ck_assert_uint_eq(tlb_probe(tlb, cpu->tlb_class, guest_lin(lin))->rights & TLB_R_WRITE, 0);
    ck_assert_uint_eq(peek(s, at(PT, 1, lin), 8), FRAME | P | W | A);
    map4(lin, P | W | A, P | W | A | D);
    ck_assert(cpu_walk_ahead(cpu, guest_lin(lin)));
    ck_assert_uint_ne(tlb_probe(tlb, cpu->tlb_class, guest_lin(lin))->rights & TLB_R_WRITE, 0);

    map4(lin, P | W | U | A, P | W | U | A | D); /* the user's: for the user */
    ck_assert(cpu_walk_ahead(cpu, guest_lin(lin)));
    ck_assert_ptr_nonnull(tlb_hit(tlb, TLB_USER, lin, TLB_LOAD));
    ck_assert_ptr_null(tlb_hit(tlb, TLB_KERNEL, lin, TLB_LOAD));
}
END_TEST

/* -- Not present, reserved bits ---------------------------------------------------------------------- */

START_TEST(each_level_may_be_absent)
{
    const uint64_t entry[4] = {at(PML4, 4, lin), at(PDPT, 3, lin), at(PD, 2, lin), at(PT, 1, lin)};

    for (unsigned i = 0; i < 4; i++) {
        map4(lin, P | U | W, P | U | W);
        poke(s, entry[i], 8, ~UINT64_C(1)); /* not present: no other bit counts */
        ck_assert_int_eq(walk(lin, TLB_STORE, TLB_USER), PF_W | PF_U);
        ck_assert_int_eq(walk(lin, TLB_LOAD, TLB_KERNEL), 0);
    }
}
END_TEST

typedef struct {
    unsigned level;            /* whose entry gets the bits */
    uint64_t bits;
    bool reserved;
} Reserved;

START_TEST(reserved_bits_fault_at_each_level)
{
    const unsigned max = cpu_model_phys_bits(s->model);
    const Reserved rows[] = {
        {4, PS, true}, {4, BIT64(52), false}, {3, BIT64(max), max < 52}, {2, BIT64(51), max < 52},
        {1, BIT64(51), max < 52}, {1, BIT64(max), max < 52}, {1, BIT64(62), false}, {1, NX, true},
        {4, NX, true}, {1, G, false}, {2, PS | BIT(13), true}, {2, PS | BIT(20), true},
        {3, PS | BIT(13), true}, {3, PS | BIT(29), true}, {4, BIT(9), false}, {1, PS, false},
    };
    const uint64_t tables[5] = {0, PT, PD, PDPT, PML4};

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t e = at(tables[rows[i].level], rows[i].level, lin);

        map4(lin, P | U | W, P | U | W);
        cpu->cr4 &= ~(uint64_t)CR4_SMEP;
        poke(s, e, 8, (((rows[i].bits & PS) != 0 && rows[i].level > 1 ? 0 : peek(s, e, 8)) | P | W) |
                          rows[i].bits);
        ck_assert_msg(walk(lin, TLB_STORE, TLB_KERNEL) ==
                          (rows[i].reserved ? PF_P | PF_W | PF_RSVD : -1), "row %u", i);
    }
}
END_TEST

/* -- Page sizes ---------------------------------------------------------------------------------------- */

static void check_phys(uint64_t address, uint64_t want, unsigned shift)
{
    TlbSide *side;

    ck_assert_int_eq(walk(address, TLB_LOAD, TLB_KERNEL), -1);
    side = tlb_probe(&cpu->mmu.tlb, TLB_KERNEL, guest_lin(address));
    ck_assert_uint_eq(side->phys.v, want & GUEST_PAGE_MASK);
    ck_assert_uint_eq(side->page_shift, shift);
}

START_TEST(large_pages_translate_in_every_mode)
{
    map4(lin, P | W, P | W);
    check_phys(lin, FRAME | (lin & 0xfff), 12);
    poke(s, at(PD, 2, lin), 8, 0x600000 | P | PS);
    tlb_flush_all(&cpu->mmu.tlb);
    check_phys(lin, 0x600000 | (lin & 0x1fffff), 21);
    poke(s, at(PDPT, 3, lin), 8, 0 | P | PS);
    tlb_flush_all(&cpu->mmu.tlb);
    check_phys(lin, lin & 0x3fffffff, 30);

    /* 2-level: 4 KiB, 4 MiB, PSE-36 */
    cpu->efer = 0;
    cpu->cr4 = CR4_PSE;
    cpu->cr3 = PD;
    poke(s, PD + (lin >> 22) * 4, 4, PT | P);
    poke(s, PT + (lin >> 12 & 0x3ff) * 4, 4, FRAME | P);
    tlb_flush_all(&cpu->mmu.tlb);
    check_phys(lin, FRAME, 12);
    poke(s, PD + (lin >> 22) * 4, 4, 0xc00000 | P | PS | 1 << 13);
    tlb_flush_all(&cpu->mmu.tlb);
    check_phys(lin, BIT64(32) | 0xc00000 | (lin & 0x3fffff), 22);
    poke(s, PD + (lin >> 22) * 4, 4, 0xc00000 | P | PS | 1 << 21);
    tlb_flush_all(&cpu->mmu.tlb);
    ck_assert_int_eq(walk(lin, TLB_LOAD, TLB_USER), PF_P | PF_RSVD | PF_U);

    /* PAE */
    cpu->cr4 = CR4_PAE;
    memset(cpu->pdpte, 0, sizeof cpu->pdpte);
    ck_assert_int_eq(walk(lin, TLB_LOAD, TLB_KERNEL), 0);
    cpu->pdpte[lin >> 30] = PD | P;
    poke(s, at(PD, 2, lin), 8, 0x600000 | P | PS);
    tlb_flush_all(&cpu->mmu.tlb);
    check_phys(lin, 0x600000 | (lin & 0x1fffff), 21);
    poke(s, at(PD, 2, lin), 8, 0x600000 | P | PS | BIT64(60));
    ck_assert_int_eq(walk(lin, TLB_LOAD, TLB_KERNEL), PF_P | PF_RSVD);
}
END_TEST

START_TEST(without_paging_linear_is_physical)
{
    cpu->cr0 = CR0_PE;
    tlb_flush_all(&cpu->mmu.tlb);
    check_phys(0x345678, 0x345000, 12);
    ck_assert_uint_eq(tlb_probe(&cpu->mmu.tlb, TLB_KERNEL, guest_lin(0x345678))->rights,
                      TLB_R_READ | TLB_R_WRITE | TLB_R_EXEC);
}
END_TEST

START_TEST(pages_with_data_breakpoints_are_watched)
{
    map4(lin, P | U | W, P | U | W);
    cpu->dr[0] = lin;
    cpu->dr[7] = 1 | BREAK_WRITE << 16 | 3 << 18;
    ck_assert_int_eq(walk(lin, TLB_STORE, TLB_KERNEL), -1);
    ck_assert_uint_ne(tlb_probe(&cpu->mmu.tlb, TLB_KERNEL, guest_lin(lin))->rights & TLB_R_WATCH, 0);
    ck_assert_int_eq(RAISED(cpu, mmu_load(&cpu->mmu, TLB_KERNEL, guest_lin(lin), 4)), -1);
    ck_assert_uint_eq(cpu->pending_dbg, 0);
    ck_assert_int_eq(RAISED(cpu, mmu_store(&cpu->mmu, TLB_KERNEL, guest_lin(lin + 3), 1, 0)), -1);
    ck_assert_uint_eq(cpu->pending_dbg, 1);
    cpu->pending_dbg = 0;
    ck_assert_int_eq(RAISED(cpu, mmu_store(&cpu->mmu, TLB_KERNEL, guest_lin(lin + 4), 1, 0)), -1);
    ck_assert_uint_eq(cpu->pending_dbg, 0);
}
END_TEST

START_TEST(the_debugger_reads_across_pages_without_a_trace)
{
    uint64_t got = 0, put = 0x1122334455667788;

    map4(lin, P, P);
    poke(s, at(PT, 1, lin) + 8, 8, (FRAME + 0x5000) | P);
    ck_assert(cpu_debug_write(cpu, guest_lin((lin | 0xfff) - 3), &put, 8));
    ck_assert(cpu_debug_read(cpu, guest_lin((lin | 0xfff) - 3), &got, 8));
    ck_assert_uint_eq(got, put);
    ck_assert_uint_eq(peek(s, FRAME + 0x5000, 4), 0x11223344);
    ck_assert_uint_eq(peek(s, at(PT, 1, lin), 8), FRAME | P);
    ck_assert(!cpu_debug_read(cpu, guest_lin(0), &got, 1));
}
END_TEST

/* -- Control registers ------------------------------------------------------------------------------------ */

typedef struct {
    uint64_t cr0, cr4, efer, val;
    bool ok;
} CrCase;

static void start_at(const CrCase *t)
{
    cpu->cr0 = t->cr0;
    cpu->cr4 = t->cr4;
    cpu->efer = t->efer;
    cpu->cr3 = PML4;
    load_flat(cpu, SEG_CS, K_CODE, CODE_ATTR);
    cpu_update_mode(cpu);
}

START_TEST(cr0_refuses_what_the_manual_refuses)
{
    static const CrCase rows[] = {
        {CR0_PE, 0, 0, CR0_PE | CR0_NW, false},
        {CR0_PE, 0, 0, CR0_PE | CR0_NW | CR0_CD, true},
        {0, 0, 0, CR0_PG, false},
        {0, 0, 0, CR0_PG | CR0_PE, true},
        {CR0_PE, 0, 0, BIT64(32), false},
        {CR0_PE, 0, EFER_LME, CR0_PE | CR0_PG, false},
        {CR0_PE, CR4_PAE, EFER_LME, CR0_PE | CR0_PG, true},
        {CR0_PE | CR0_PG, CR4_PAE | CR4_PCIDE, EFER_LME | EFER_LMA, CR0_PE, false},
        {CR0_PE | CR0_PG, CR4_PAE, EFER_LME | EFER_LMA, CR0_PE, true},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        start_at(&rows[i]);
        ck_assert_msg(RAISED(cpu, cpu_write_cr0(cpu, rows[i].val)) == (rows[i].ok ? -1 : EXC_GP),
                      "row %u", i);
        if (rows[i].ok) {
            ck_assert_uint_eq(cpu->cr0, rows[i].val | CR0_ET);
            ck_assert_int_eq((cpu->efer & EFER_LMA) != 0,
                             (rows[i].val & CR0_PG) != 0 && (rows[i].efer & EFER_LME) != 0);
        }
    }
}
END_TEST

START_TEST(cr4_refuses_what_the_manual_refuses)
{
    static const CrCase rows[] = {
        {CR0_PE, 0, 0, CR4_VME, false},
        {CR0_PE, 0, 0, CR4_LA57, false},
        {CR0_PE, 0, 0, BIT64(13), false},
        {CR0_PE, 0, 0, CR4_PCIDE, false},
        {CR0_PE | CR0_PG, CR4_PAE, EFER_LME | EFER_LMA, CR4_PAE | CR4_PCIDE, true},
        {CR0_PE | CR0_PG, CR4_PAE, EFER_LME | EFER_LMA, 0, false},
        {CR0_PE, 0, 0, CR4_PAE | CR4_PGE | CR4_SMEP | CR4_SMAP | CR4_UMIP | CR4_PKE, true},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        start_at(&rows[i]);
        ck_assert_msg(RAISED(cpu, cpu_write_cr4(cpu, rows[i].val)) == (rows[i].ok ? -1 : EXC_GP),
                      "row %u", i);
        ck_assert_uint_eq(cpu->cr4, rows[i].ok ? rows[i].val : rows[i].cr4);
    }
    start_at(&rows[4]);
    cpu->cr3 |= 8; /* PCIDE wants bits 11:0 of CR3 clear */
    ck_assert_int_eq(RAISED(cpu, cpu_write_cr4(cpu, rows[4].val)), EXC_GP);
}
END_TEST

START_TEST(cr3_loads_pae_pointers_and_checks_them)
{
    cpu->cr4 = CR4_PAE;
    poke(s, PDPT, 8, PD | P);
    poke(s, PDPT + 8, 8, 0x1e6); /* not present: not checked */
    ck_assert_int_eq(RAISED(cpu, cpu_write_cr3(cpu, PDPT)), -1);
    ck_assert_uint_eq(cpu->pdpte[0], PD | P);
    poke(s, PDPT + 16, 8, P | W);
    ck_assert_int_eq(RAISED(cpu, cpu_write_cr3(cpu, PDPT)), EXC_GP);
}
END_TEST

START_TEST(a_pcid_switch_keeps_translations_when_asked)
{
    map4(lin, P | W | U, P | W | U);
    cpu->cr4 |= CR4_PCIDE;
    cpu_write_cr3(cpu, PML4 | 1);
    ck_assert_int_eq(walk(lin, TLB_LOAD, TLB_USER), -1);
    cpu_write_cr3(cpu, PML4 | 2);
    ck_assert_ptr_null(tlb_probe(&cpu->mmu.tlb, TLB_USER, guest_lin(lin)));
    cpu_write_cr3(cpu, PML4 | 1 | BIT64(63));
    ck_assert_uint_eq(cpu->cr3, PML4 | 1);
    ck_assert_ptr_nonnull(tlb_probe(&cpu->mmu.tlb, TLB_USER, guest_lin(lin)));
    cpu_write_cr3(cpu, PML4 | 1);
    ck_assert_ptr_null(tlb_probe(&cpu->mmu.tlb, TLB_USER, guest_lin(lin)));
}
END_TEST

START_TEST(efer_keeps_lma_and_refuses_unknown_bits)
{
    cpu->cr0 = CR0_PE;
    ck_assert_int_eq(RAISED(cpu, cpu_write_efer(cpu, EFER_SCE | EFER_NXE | EFER_LME | EFER_LMA)), -1);
    ck_assert_uint_eq(cpu->efer, EFER_SCE | EFER_NXE | EFER_LME);
    ck_assert_int_eq(RAISED(cpu, cpu_write_efer(cpu, BIT(12))), EXC_GP);
    cpu->cr0 |= CR0_PG;
    ck_assert_int_eq(RAISED(cpu, cpu_write_efer(cpu, EFER_SCE)), EXC_GP);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("walk");
    TCase *t = tcase_create("walk");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, rights_and_error_codes_are_those_of_the_manual);
    tcase_add_test(t, an_inserted_translation_grants_exactly_what_walks_grant);
    tcase_add_test(t, accessed_is_set_on_the_path_and_dirty_on_the_leaf_by_stores_only);
    tcase_add_test(t, a_walk_that_faults_changes_nothing);
    tcase_add_test(t, a_walk_ahead_takes_what_is_granted_and_changes_nothing);
    tcase_add_test(t, each_level_may_be_absent);
    tcase_add_test(t, reserved_bits_fault_at_each_level);
    tcase_add_test(t, large_pages_translate_in_every_mode);
    tcase_add_test(t, without_paging_linear_is_physical);
    tcase_add_test(t, pages_with_data_breakpoints_are_watched);
    tcase_add_test(t, the_debugger_reads_across_pages_without_a_trace);
    tcase_add_test(t, cr0_refuses_what_the_manual_refuses);
    tcase_add_test(t, cr4_refuses_what_the_manual_refuses);
    tcase_add_test(t, cr3_loads_pae_pointers_and_checks_them);
    tcase_add_test(t, a_pcid_switch_keeps_translations_when_asked);
    tcase_add_test(t, efer_keeps_lma_and_refuses_unknown_bits);
    suite_add_tcase(suite, t);
    return suite;
}
