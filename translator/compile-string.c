/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MOVS and STOS, alone and with REP: the host's own instruction, on host addresses.
 *
 * Where all that is copied or filled lies in one page each, which the TLB knows, RSI and RDI become host addresses for
 * the time of the instruction.  It may be interrupted after each element, so the marks say that they are (MARK_RDI_HOST,
 * MARK_RSI_HOST) and vcb.string what was added to them.  Everything else is HELPER_STRING's.
 */
#include "translator/compile-internal.h"

#include "softmmu/base/stress.h"

typedef struct {
    unsigned shift;            /* an element has 1 << shift bytes */
    bool rep, fills;           /* fills: STOS                     */
} String;

static String string_of(const PlanInsn *in)
{
    return (String){
        .shift = (unsigned)__builtin_ctz(in->zi.operand_width / 8u),
        .rep = (in->zi.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) != 0,
        .fills = in->zi.mnemonic == ZYDIS_MNEMONIC_STOSB || in->zi.mnemonic == ZYDIS_MNEMONIC_STOSW ||
                 in->zi.mnemonic == ZYDIS_MNEMONIC_STOSD || in->zi.mnemonic == ZYDIS_MNEMONIC_STOSQ,
    };
}

static void describe(Site *s, String x)
{
    s->size = (uint8_t)(1u << x.shift);
    s->reg = x.rep;
    s->write = x.fills;
}

/* t = what turns an address of the page of `reg` into the host's, if the TLB has the page and the last byte is there too;
 * else out.  u and flags are clobbered. */
static void gen_addend(Gen *g, String x, unsigned reg, unsigned t, unsigned u, bool write)
{
    Emit *e = g->e;

    emit_mov_rr(e, t, reg);
    emit_shr_ri(e, t, GUEST_PAGE_SHIFT - 5);
    emit_fs_op(e, 0x23, t, gen_field(g, VCB_TLB_MASK));
    emit_fs_op(e, 0x03, t, gen_field(g, VCB_TLB_ENTRY));
    if (x.rep) {
        emit_lea_full(e, u, reg, GPR_RCX, x.shift, -1);
    } else {
        emit_lea(e, u, reg, (1 << x.shift) - 1);
    }
    emit_and_ri(e, u, -GUEST_PAGE_SIZE);
    emit_fs_op(e, 0x0b, u, gen_field(g, VCB_TLB_SPACE));
    emit_op_load(e, 0x3b, u, t, write ? (int)offsetof(TlbEntry, store) : (int)offsetof(TlbEntry, load));
    describe(gen_slow_jcc(g, CC_NE, HELPER_STRING), x);
    emit_load(e, t, t, (int)offsetof(TlbEntry, addend));
}

/* [66] [f3] [rex.w] opcode */
static void emit_string(Emit *e, String x)
{
    if (x.shift == 1) {
        emit8(e, 0x66);
    }
    if (x.rep) {
        emit8(e, 0xf3);
    }
    if (x.shift == 3) {
        emit8(e, 0x48);
    }
    emit8(e, (uint8_t)((x.fills ? 0xaa : 0xa4) | (x.shift != 0)));
}

/* reg -= addend, and from here on the marks no longer say that it is a host address. */
static void gen_back_to_guest(Gen *g, unsigned reg, unsigned addend, uint8_t bit)
{
    emit_alu_rr(g->e, 5, reg, addend, true);
    g->bits &= (uint8_t)~bit;
}

void gen_string(Gen *g)
{
    String x = string_of(g->in);
    unsigned to, from, u;

    if (!g->p->config->strings || stress_hit(STRESS_slow_path)) {
        describe(gen_slow_jmp(g, HELPER_STRING), x);
        return;
    }
    to = gen_scratch(g, 0);
    from = gen_scratch(g, 1);
    u = gen_scratch(g, 2);
    gen_free_flags(g);
    if (x.rep) { /* not more than a page, and not nothing */
        emit_lea(g->e, u, GPR_RCX, -1);
        emit_shr_ri(g->e, u, GUEST_PAGE_SHIFT - x.shift);
        describe(gen_slow_jcc(g, CC_NE, HELPER_STRING), x);
    }
    gen_addend(g, x, GPR_RDI, to, u, true);
    emit_fs_store(g->e, gen_field(g, VCB_STRING), to);
    if (!x.fills) {
        gen_addend(g, x, GPR_RSI, from, u, false);
        emit_fs_store(g->e, gen_field(g, VCB_STRING + 8), from);
        emit_add_rr(g->e, GPR_RSI, from);
        g->bits |= MARK_RSI_HOST;
        gen_mark(g);
    }
    emit_add_rr(g->e, GPR_RDI, to);
    g->bits |= MARK_RDI_HOST;
    gen_mark(g);
    emit_string(g->e, x);
    gen_mark_done(g);
    gen_back_to_guest(g, GPR_RDI, to, MARK_RDI_HOST);
    gen_mark_done(g);
    if (!x.fills) {
        gen_back_to_guest(g, GPR_RSI, from, MARK_RSI_HOST);
        gen_mark_done(g);
    }
}
