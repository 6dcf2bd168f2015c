/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory operands: linear addresses, the software TLB, spots, the stack. */
#include "translator/compile-internal.h"

#include "softmmu/base/stress.h"

/* -- Addresses -------------------------------------------------------------------------------- */

unsigned gen_reg_of(ZydisRegister r)
{
    if (r == ZYDIS_REGISTER_NONE) {
        return EMIT_NO_REG;
    }
    return (unsigned)(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r) -
                      ZYDIS_REGISTER_RAX);
}

void gen_address(Gen *g, unsigned dst, uint64_t lin, bool quiet)
{
    int64_t disp = (int64_t)(lin - (g->p->lin & GUEST_PAGE_MASK));
    void (*add)(Emit *e, unsigned to, unsigned base, int32_t by) = g->p->code32 ? emit_lea32 : emit_lea;

    if (g->p->code32) {
        disp = (int32_t)disp; /* addresses wrap */
    }
    if (!g->p->shared) {
        emit_mov_ri(g->e, dst, lin);
        return;
    }
    emit_fs_load(g->e, dst, gen_field(g, VCB_HERE));
    if (quiet) {
        emit_fs_pext(g->e, dst, dst, gen_field(g, VCB_PAGE_MASK));
        emit_fs_pdep(g->e, dst, dst, gen_field(g, VCB_PAGE_MASK));
    } else {
        emit_and_ri(g->e, dst, -GUEST_PAGE_SIZE);
    }
    if (disp != (int32_t)disp) { /* by up to a page */
        add(g->e, dst, dst, disp < 0 ? -GUEST_PAGE_SIZE : GUEST_PAGE_SIZE);
        disp += disp < 0 ? GUEST_PAGE_SIZE : -GUEST_PAGE_SIZE;
    }
    add(g->e, dst, dst, (int32_t)disp);
}

/* In a segment that has a base. */
bool gen_is_based(const ZydisDecodedOperand *m)
{
    return m->mem.segment == ZYDIS_REGISTER_FS || m->mem.segment == ZYDIS_REGISTER_GS;
}

/* dst = linear address of the operand; flags may be clobbered, but not in the window. */
void gen_linear(Gen *g, unsigned dst, unsigned tmp, const ZydisDecodedOperand *m)
{
    int64_t disp = m->mem.disp.has_displacement ? m->mem.disp.value : 0;
    unsigned scale = m->mem.scale <= 1 ? 0 : (unsigned)__builtin_ctz(m->mem.scale);

    if (m->mem.base == ZYDIS_REGISTER_RIP) {
        gen_address(g, dst, g->p->lin + g->in->off + g->in->len + (uint64_t)disp, gen_flags_matter(g));
    } else if (g->p->code32) {
        emit_lea32_full(g->e, dst, gen_reg_of(m->mem.base), gen_reg_of(m->mem.index), scale, (int32_t)disp);
    } else {
        emit_lea_full(g->e, dst, gen_reg_of(m->mem.base), gen_reg_of(m->mem.index), scale, (int32_t)disp);
    }
    if (gen_is_based(m)) {
        int32_t base = gen_field(g, m->mem.segment == ZYDIS_REGISTER_FS ? VCB_FS_BASE : VCB_GS_BASE);
        if (g->p->code32 && gen_in_window(g)) { /* leaves flags alone; VCB_SEG_ODD is no address of the window */
            emit_fs_load32(g->e, tmp, base);
            emit_lea32_full(g->e, dst, dst, tmp, 0, 0);
            emit_fs_load(g->e, tmp, gen_field(g, m->mem.segment == ZYDIS_REGISTER_FS ? VCB_FS_ODD : VCB_GS_ODD));
            emit_lea_sum(g->e, dst, dst, tmp);
        } else if (g->p->code32) { /* VCB_SEG_ODD survives the truncation and misses */
            emit_fs_op(g->e, 0x03, dst, base);
            emit_btr_ri(g->e, dst, 32);
        } else {
            emit_fs_load(g->e, tmp, base);
            emit_lea_sum(g->e, dst, dst, tmp);
        }
    }
}

/* A look-up of `size` bytes for the address in `a`, which begins at host offset `retry`, has just been emitted. */
static void describe_look_up(const Gen *g, Site *s, unsigned a, unsigned size, bool write, unsigned retry)
{
    s->reg = (uint8_t)a;
    s->size = (uint8_t)size;
    s->write = write;
    s->may_raise = g->in->vec == 0;
    s->retry_off = (uint16_t)retry;
    s->hit_off = (uint16_t)emit_offset(g->e);
}

static int32_t tag_field(bool write)
{
    return write ? (int32_t)offsetof(TlbEntry, store) : (int32_t)offsetof(TlbEntry, load);
}

/*
 * a = host address of the guest-linear address in a, for an access of `size` bytes; t and u are
 * clobbered, and so are the host's flags.  Leaves by the slow stub on anything but a hit:
 *
 *   mov t, a; shr t, 7; and t, [mask*32]; add t, [entries]
 *   lea u, [a + size - 1]; and u, -4096; or u, [space]
 *   cmp u, [t + load or store]; jne slow
 *   add a, [t + addend]
 */
static void emit_tlb(Gen *g, unsigned a, unsigned t, unsigned u, unsigned size, bool write)
{
    emit_mov_rr(g->e, t, a);
    emit_shr_ri(g->e, t, GUEST_PAGE_SHIFT - 5);
    emit_fs_op(g->e, 0x23, t, gen_field(g, VCB_TLB_MASK));
    emit_fs_op(g->e, 0x03, t, gen_field(g, VCB_TLB_ENTRY));
    emit_lea(g->e, u, a, (int32_t)size - 1);
    emit_and_ri(g->e, u, -GUEST_PAGE_SIZE);
    emit_fs_op(g->e, 0x0b, u, gen_field(g, VCB_TLB_SPACE));
    emit_op_load(g->e, 0x3b, u, t, tag_field(write));
}

void gen_tlb(Gen *g, unsigned a, unsigned t, unsigned u, unsigned size, bool write)
{
    unsigned retry = emit_offset(g->e);
    Site *s;

    if (stress_hit(STRESS_slow_path)) {
        gen_slow_jmp(g, HELPER_INTERP);
    }
    emit_tlb(g, a, t, u, size, write);
    s = gen_slow_jcc(g, CC_NE, HELPER_LOOKUP);
    emit_op_load(g->e, 0x03, a, t, (int)offsetof(TlbEntry, addend));
    describe_look_up(g, s, a, size, write, retry);
}

/*
 * The same without touching flags; rcx is clobbered too:
 *
 *   rorx t, a, 7; pext t, t, [mask*32]; rorx t, t, 59; add t, [entries]     (as mov u; lea t)
 *   lea rcx, [a + size - 1]; pext, pdep rcx, rcx, [page mask]
 *   rcx += [space] - [t + load or store]                                     (as not u; lea rcx)
 *   jrcxz 1f; jmp slow; 1: add a, [t + addend]
 */
static void emit_tlb_quiet(Gen *g, unsigned a, unsigned t, unsigned u, unsigned size, bool write)
{
    unsigned retry = emit_offset(g->e);
    Emit *e = g->e;
    uint8_t *hit;
    Site *s;

    if (stress_hit(STRESS_slow_path)) {
        gen_slow_jmp(g, HELPER_INTERP);
    }
    emit_rorx(e, t, a, GUEST_PAGE_SHIFT - 5);
    emit_fs_pext(e, t, t, gen_field(g, VCB_TLB_MASK));
    emit_rorx(e, t, t, 64 - 5);
    emit_fs_load(e, u, gen_field(g, VCB_TLB_ENTRY));
    emit_lea_sum(e, t, t, u);
    emit_lea(e, GPR_RCX, a, (int32_t)size - 1);
    emit_fs_pext(e, GPR_RCX, GPR_RCX, gen_field(g, VCB_PAGE_MASK));
    emit_fs_pdep(e, GPR_RCX, GPR_RCX, gen_field(g, VCB_PAGE_MASK));
    emit_fs_load(e, u, gen_field(g, VCB_TLB_SPACE));
    emit_lea_sum(e, GPR_RCX, GPR_RCX, u);
    emit_load(e, u, t, tag_field(write));
    emit_not(e, u);
    emit_lea_full(e, GPR_RCX, GPR_RCX, u, 0, 1);
    hit = emit_jrcxz(e);
    s = gen_slow_jmp(g, HELPER_LOOKUP);
    emit_patch8(e, hit);
    emit_load(e, t, t, (int)offsetof(TlbEntry, addend));
    emit_lea_sum(e, a, a, t);
    describe_look_up(g, s, a, size, write, retry);
}

/* Flags are live and in the host, and this is the block's last look-up, or the last but one: else it is
 * cheaper to put them aside once.  rcx is free at the block's end. */
static bool is_quiet(const Gen *g)
{
    return gen_flags_matter(g) && g->in->plan >= PLAN_CALL &&
           g->p->config->quiet;
}

/* -- Spots -------------------------------------------------------------------------------------- */

/* A spot that changes waits for stores, and for those that are combined it is long. */
static bool is_non_temporal(const PlanInsn *in)
{
    switch (in->zi.mnemonic) {
    case ZYDIS_MNEMONIC_MOVNTI: case ZYDIS_MNEMONIC_MOVNTQ: case ZYDIS_MNEMONIC_MOVNTDQ: case ZYDIS_MNEMONIC_MOVNTPS:
    case ZYDIS_MNEMONIC_MOVNTPD: case ZYDIS_MNEMONIC_VMOVNTDQ: case ZYDIS_MNEMONIC_VMOVNTPS: case ZYDIS_MNEMONIC_VMOVNTPD:
        return true;
    default:
        return false;
    }
}

/* Code of a page that is hot, of the two privileges that have spots and whose TLB class never changes. */
static bool has_spot(const Gen *g)
{
    bool one_class = (g->p->env & ENV_CPL3) != 0 || (g->p->env & (ENV_CPL0 | ENV_SMAP)) == ENV_CPL0;
    bool may = g->p->config->near_data && one_class && !g->in->far && !is_non_temporal(g->in) && !g->beside;

    g->b->looks_up |= may && !g->p->hot;
    return may && g->p->hot;
}

static int32_t spot_field(const Gen *g, unsigned n, size_t field)
{
    return gen_field(g, VCB_SPOT + (int)(n * sizeof(TlbSpot) + field));
}

/*
 * As gen_tlb(), but the page that this instruction used last comes first, and the look-up is out of line:
 *
 *   mov t, a; add t, [minus_page]; cmp t, 4096 - size; ja stub; add a, [addend]
 */
static Site *gen_spot(Gen *g, unsigned a, unsigned t, unsigned size, bool write)
{
    /* Even ones are for loads, odd ones for stores: what a load has found need not be writable. */
    unsigned n = g->cache->spots++ * 2 % TLB_SPOTS + write + ((g->p->env & ENV_CPL3) != 0 ? 0 : TLB_SPOTS);
    Site *s;

    if (stress_hit(STRESS_slow_path)) {
        gen_slow_jmp(g, HELPER_INTERP);
    }
    emit_mov_rr(g->e, t, a);
    emit_fs_op(g->e, 0x03, t, spot_field(g, n, offsetof(TlbSpot, minus_page)));
    emit_cmp64_ri(g->e, t, GUEST_PAGE_SIZE - (int32_t)size);
    s = gen_slow_jcc(g, CC_A, HELPER_LOOKUP);
    emit_fs_op(g->e, 0x03, a, spot_field(g, n, offsetof(TlbSpot, addend)));
    describe_look_up(g, s, a, size, write, 0);
    s->spot = true;
    s->base = (uint8_t)n;
    return s;
}

uint8_t *gen_span(Gen *g, unsigned a, unsigned span, unsigned group)
{
    unsigned t = gen_scratch(g, 1), u = gen_scratch(g, 2);
    uint8_t *fail;

    if (stress_hit(STRESS_slow_path)) {
        return emit_jmp(g->e, emit_here(g->e));
    }
    if (has_spot(g)) {
        gen_spot(g, a, t, span, false)->group = (uint8_t)group;
        return NULL;
    }
    emit_tlb(g, a, t, u, span, false);
    fail = emit_jcc(g->e, CC_NE, emit_here(g->e));
    emit_op_load(g->e, 0x03, a, t, (int)offsetof(TlbEntry, addend));
    return fail;
}

/* Farther from the last page than this, in pages, it is no walk through memory. */
enum { SPOT_BESIDE = 2 };

/*
 * The page of `a` becomes the spot's, of whose entry t is the address.  The addend first, under a page that is none.  Whoever
 * revokes the right to store, in another thread, takes it from the TLB, then looks at spots: so we do the reverse.
 *
 *   mov u, none; mov [minus_page], u; mov u, [t + addend]; mov [addend], u; mov u, a; and u, -4096; neg u
 *   load: mov [minus_page], u
 *   store: xchg [minus_page], u; mov u, a; and u, -4096; or u, [space]; cmp u, [t + store]; jne out
 */
static uint8_t *emit_fill_spot(Gen *g, const Site *s, unsigned t, unsigned u)
{
    int32_t minus_page = spot_field(g, s->base, offsetof(TlbSpot, minus_page));
    Emit *e = g->e;

    emit_fs_store_imm8(e, gen_field(g, VCB_SPOTS_USED), 1);
    emit_mov_ri(e, u, TLB_NEAR_NONE);
    emit_fs_store(e, minus_page, u);
    emit_load(e, u, t, (int)offsetof(TlbEntry, addend));
    emit_fs_store(e, spot_field(g, s->base, offsetof(TlbSpot, addend)), u);
    emit_mov_rr(e, u, s->reg);
    emit_and_ri(e, u, -GUEST_PAGE_SIZE);
    emit_neg(e, u);
    if (!s->write) {
        emit_fs_store(e, minus_page, u);
        return NULL;
    }
    emit_fs_op(e, 0x87, u, minus_page);
    emit_mov_rr(e, u, s->reg);
    emit_and_ri(e, u, -GUEST_PAGE_SIZE);
    emit_fs_op(e, 0x0b, u, gen_field(g, VCB_TLB_SPACE));
    emit_op_load(e, 0x3b, u, t, tag_field(true));
    return emit_jcc(e, CC_NE, emit_here(e));
}

/* t = distance from the spot's page.  Pages that are not beside it are counted; then the look-up. */
void gen_spot_stub(Gen *g, Site *s)
{
    unsigned t = g->scratch[1], u = g->scratch[2];
    uint8_t *beside, *often, *missed, *revoked;
    Emit *e = g->e;

    emit_lea(e, u, t, SPOT_BESIDE * GUEST_PAGE_SIZE);
    emit_cmp64_ri(e, u, (2 * SPOT_BESIDE + 1) * GUEST_PAGE_SIZE);
    beside = emit_jcc(e, CC_B, emit_here(e));
    emit_fs_sub32_1(e, spot_field(g, s->base, offsetof(TlbSpot, left)));
    often = emit_jcc(e, CC_S, emit_here(e));
    emit_patch32(e, beside);
    s->retry_off = (uint16_t)emit_offset(e);
    emit_tlb(g, s->reg, t, u, s->size, s->write);
    missed = emit_jcc(e, CC_NE, s->group == 0 ? emit_here(e) : block_at(g->b, g->group[s->group - 1].entry_off));
    revoked = emit_fill_spot(g, s, t, u);
    emit_op_load(e, 0x03, s->reg, t, (int)offsetof(TlbEntry, addend));
    emit_jmp(e, block_at(g->b, s->hit_off));
    emit_patch32(e, often);
    if (s->group == 0) {
        emit_patch32(e, missed);
    }
    if (revoked != NULL) {
        emit_patch32(e, revoked);
    }
}

/* -- The stack -------------------------------------------------------------------------------- */

void gen_word_lea(Gen *g, unsigned dst, unsigned base, int32_t disp)
{
    (g->p->code32 ? emit_lea32 : emit_lea)(g->e, dst, base, disp);
}

/* Before an access by `base`.  What the guest has in a register need not be an address of 32 bits, what
 * gen_stack() and gen_operand_address() have made is one. */
void gen_stack_prefix(Gen *g, unsigned base)
{
    gen_window_prefix(g);
    if (gen_in_window(g) && g->p->code32 && base < 8) {
        emit8(g->e, 0x67);
    }
}

void gen_word_load(Gen *g, unsigned dst, unsigned base)
{
    gen_stack_prefix(g, base);
    (g->p->code32 ? emit_load32 : emit_load)(g->e, dst, base, 0);
}

void gen_word_store(Gen *g, unsigned base, unsigned src)
{
    gen_stack_prefix(g, base);
    (g->p->code32 ? emit_store32 : emit_store)(g->e, base, 0, src);
}

void gen_word_store_imm(Gen *g, unsigned base, int32_t disp, int32_t imm)
{
    gen_stack_prefix(g, base);
    (g->p->code32 ? emit_store32_imm_at : emit_store_imm32_at)(g->e, base, disp, imm);
}

unsigned gen_stack(Gen *g, unsigned base, int32_t disp, bool write)
{
    unsigned a = gen_scratch(g, 0), t, u;

    if (gen_in_window(g)) {
        gen_word_lea(g, a, base, disp);
        return a;
    }
    if (gen_is_near(g, base, gen_word(g))) {
        return gen_near(g, base, disp, gen_word(g), write, false);
    }
    t = gen_scratch(g, 1);
    u = gen_scratch(g, 2);
    if (is_quiet(g)) {
        gen_word_lea(g, a, base, disp);
        gen_borrow(g, GPR_RCX);
        emit_tlb_quiet(g, a, t, u, gen_word(g), write);
        return a;
    }
    gen_free_flags(g);
    gen_word_lea(g, a, base, disp);
    gen_tlb(g, a, t, u, gen_word(g), write);
    return a;
}

Place gen_stack_place(Gen *g, unsigned base, int32_t disp, bool write)
{
    if (!gen_in_window(g) && gen_is_near(g, base, gen_word(g))) {
        return (Place){base, gen_near(g, base, disp, gen_word(g), write, true), disp};
    }
    return (Place){gen_stack(g, base, disp, write), EMIT_NO_REG, 0};
}

void gen_place_load(Gen *g, unsigned dst, Place p)
{
    if (p.index != EMIT_NO_REG) {
        emit_load_sum(g->e, dst, p.base, p.index, p.disp);
    } else {
        gen_word_load(g, dst, p.base);
    }
}

void gen_place_store(Gen *g, Place p, unsigned src)
{
    if (p.index != EMIT_NO_REG) {
        emit_store_sum(g->e, p.base, p.index, p.disp, src);
    } else {
        gen_word_store(g, p.base, src);
    }
}

void gen_place_store_imm(Gen *g, Place p, int32_t imm)
{
    if (p.index != EMIT_NO_REG) {
        emit_store_imm32_sum(g->e, p.base, p.index, p.disp, imm);
    } else {
        gen_word_store_imm(g, p.base, 0, imm);
    }
}

unsigned gen_operand_address(Gen *g)
{
    const ZydisDecodedOperand *m = &g->in->op[g->in->mem];
    unsigned a = gen_scratch(g, 0), t = gen_scratch(g, 1), u;

    if (gen_in_window(g)) {
        gen_linear(g, a, t, m);
        return a;
    }
    if (m->mem.base == ZYDIS_REGISTER_RSP && m->mem.index == ZYDIS_REGISTER_NONE &&
        m->mem.segment != ZYDIS_REGISTER_FS && m->mem.segment != ZYDIS_REGISTER_GS &&
        gen_is_near(g, GPR_RSP, g->in->mem_size)) {
        int64_t disp = m->mem.disp.has_displacement ? m->mem.disp.value : 0;
        return gen_near(g, GPR_RSP, (int32_t)disp, g->in->mem_size, g->in->mem_write, false);
    }
    u = gen_scratch(g, 2);
    if (!g->p->code32 && is_quiet(g)) { /* in 32-bit code a segment's base is added with flags */
        gen_linear(g, a, t, m);
        gen_borrow(g, GPR_RCX);
        emit_tlb_quiet(g, a, t, u, g->in->mem_size, g->in->mem_write);
        return a;
    }
    gen_free_flags(g);
    gen_linear(g, a, t, m);
    if (has_spot(g)) {
        gen_spot(g, a, t, g->in->mem_size, g->in->mem_write);
    } else {
        gen_tlb(g, a, t, u, g->in->mem_size, g->in->mem_write);
    }
    return a;
}

unsigned gen_operand_linear(Gen *g)
{
    unsigned a = gen_scratch(g, 0);

    gen_linear(g, a, a, &g->in->op[g->in->mem]);
    return a;
}

void gen_device(Gen *g)
{
    const ZydisDecodedOperand *m = &g->in->op[g->in->mem];
    unsigned a = gen_scratch(g, 0), t = gen_scratch(g, 1);
    Site *s;

    if (m->mem.segment == ZYDIS_REGISTER_FS || m->mem.segment == ZYDIS_REGISTER_GS) {
        gen_free_flags(g); /* in 32-bit code the base is added with flags */
    }
    gen_linear(g, a, t, m);
    s = gen_slow_jmp(g, HELPER_DEVICE);
    s->reg = (uint8_t)a;
    s->size = g->in->mem_size;
    s->write = g->in->mem_write;
    gen_helped(g, HELPER_DEVICE);
}
