/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/compile-internal.h"

/* -- Marks ------------------------------------------------------------------------------------ */

void gen_mark_as(Gen *g, unsigned index, unsigned bits)
{
    Mark m = {.host_off = (uint16_t)emit_offset(g->e), .borrowed = g->borrowed,
              .insn = (uint8_t)index, .bits = (uint8_t)bits};

    if (g->n_marks > 0 && g->marks[g->n_marks - 1].host_off == m.host_off) {
        g->n_marks--; /* nothing was emitted since */
    }
    if (g->n_marks == MARKS_MAX) {
        g->e->full = true;
        return;
    }
    g->marks[g->n_marks++] = m;
}

unsigned gen_flag_bits(const Gen *g)
{
    return g->bits | (g->flags == FLAGS_IN_SLOT ? MARK_FLAGS_SLOT : 0);
}

void gen_mark(Gen *g)
{
    gen_mark_as(g, g->insn, gen_flag_bits(g));
}

void gen_mark_done(Gen *g)
{
    if (g->insn + 1 < g->p->n) {
        gen_mark_as(g, g->insn + 1, gen_flag_bits(g));
    } else {
        g->b->exit[0].target = gen_rip_at(g, g->p->len);
        gen_mark_as(g, 0, gen_flag_bits(g) | MARK_EXIT);
    }
}

/* -- Borrowing -------------------------------------------------------------------------------- */

void gen_borrow(Gen *g, unsigned reg)
{
    if ((g->borrowed & 1u << reg) == 0) {
        emit_fs_store(g->e, gen_saved_slot(g, reg), reg);
        g->borrowed |= (uint16_t)(1u << reg);
        gen_mark(g);
    }
}

/* The n-th scratch register, borrowed. */
unsigned gen_scratch(Gen *g, unsigned n)
{
    g_assert(n < 3 && n < g->n_scratch && g->scratch[n] != GPR_RCX && g->scratch[n] != GPR_RAX);
    gen_borrow(g, g->scratch[n]);
    return g->scratch[n];
}

void gen_give_back_but(Gen *g, uint16_t keep)
{
    for (unsigned r = 0; r < 16; r++) {
        if ((g->borrowed & ~g->own & ~keep & 1u << r) != 0) {
            emit_fs_load(g->e, r, gen_saved_slot(g, r));
        }
    }
}

void gen_give_back(Gen *g)
{
    gen_give_back_but(g, 0);
}

/* Has the block an instruction that takes three scratch registers for a look-up? */
static bool looks_up(const Plan *p)
{
    for (unsigned i = 0; i < p->n; i++) {
        switch (p->insn[i].plan) {
        case PLAN_MEM: case PLAN_PUSH: case PLAN_PUSH_MEM: case PLAN_POP: case PLAN_LEAVE: case PLAN_CALL:
            if (!plan_in_window(p, &p->insn[i])) {
                return true;
            }
            break;
        case PLAN_CALL_IND: case PLAN_JMP_IND: case PLAN_RET:
            return true;
        case PLAN_HELPER:
            if (p->insn[i].helper == HELPER_STRING) {
                return true;
            }
            break;
        default:
            break;
        }
    }
    return false;
}

static void find_scratch(Gen *g)
{
    /* What the block before has borrowed; but the jump cache knows only the usual registers. */
    bool asks = gen_exits_by_cache(g);
    unsigned hint = asks || g->p->insn[g->p->n - 1].plan >= PLAN_JMP_IND ? BLOCK_WARM_USUAL : g->p->warm_hint;
    /* BLOCK_WARM_USUAL first, so that most blocks agree; rcx and rax last, because the first
     * three are for addresses while rcx compares (jrcxz) and rax moves flags (lahf). */
    static const uint8_t order[] = {GPR_R11, GPR_R10, GPR_R9, GPR_R8, GPR_RDX, GPR_RSI, GPR_RDI,
                                    GPR_RBX, GPR_R14, GPR_R15, GPR_R13, GPR_R12, GPR_RBP, GPR_RCX,
                                    GPR_RAX};

    for (unsigned i = 0; i < ARRAY_LEN(order); i++) {
        if ((g->own & 1u << order[i]) != 0) {
            g->scratch[g->n_scratch++] = order[i];
        }
    }
    for (unsigned hinted = 2; hinted-- > 0;) {
        for (unsigned i = 0; i < ARRAY_LEN(order); i++) {
            if (((g->p->regs | g->own) & 1u << order[i]) == 0 && (hint >> order[i] & 1) == hinted) {
                g->scratch[g->n_scratch++] = order[i];
            }
        }
    }
    if (g->p->config->warm && g->own == 0 && (looks_up(g->p) || asks)) {
        for (unsigned i = 0; i < 3; i++) {
            g->warm |= (uint16_t)(1u << g->scratch[i]);
        }
    }
}

/* -- Flags ------------------------------------------------------------------------------------ */

/* Scratch 2, where it is borrowed: nothing is in it while flags move.  Else rax. */
static unsigned keeper_of_rax(const Gen *g)
{
    return (g->borrowed & 1u << g->scratch[2]) != 0 ? g->scratch[2] : GPR_RAX;
}

/* Its value in memory is for marks: to load it from there would make whoever needs rax next wait for the store. */
void gen_take_rax(Gen *g)
{
    if ((g->p->regs & 1u << GPR_RAX) == 0) {
        gen_borrow(g, GPR_RAX);
    } else {
        unsigned keeper = keeper_of_rax(g);
        emit_fs_store(g->e, gen_field(g, VCB_RAX_TMP), GPR_RAX);
        if (keeper != GPR_RAX) {
            emit_mov_rr(g->e, keeper, GPR_RAX);
        }
        g->bits |= MARK_RAX_TMP;
        gen_mark(g);
    }
}

void gen_return_rax(Gen *g)
{
    if ((g->bits & MARK_RAX_TMP) != 0) {
        unsigned keeper = keeper_of_rax(g);
        if (keeper != GPR_RAX) {
            emit_mov_rr(g->e, GPR_RAX, keeper);
        } else {
            emit_fs_load(g->e, GPR_RAX, gen_field(g, VCB_RAX_TMP));
        }
        g->bits &= (uint8_t)~MARK_RAX_TMP;
    }
}

/* lahf; seto al; mov slot, eax */
void gen_flags_to_slot(Gen *g)
{
    gen_take_rax(g);
    emit_bytes(g->e, "\x9f\x0f\x90\xc0", 4);
    emit_fs_store32(g->e, gen_field(g, VCB_FLAGS_SLOT), GPR_RAX);
    gen_return_rax(g);
    g->flags = FLAGS_IN_SLOT;
    gen_mark(g);
}

/* mov eax, slot; add al, 0x7f; sahf */
void gen_flags_to_host(Gen *g)
{
    if (g->flags != FLAGS_IN_SLOT) {
        return;
    }
    gen_take_rax(g);
    emit_fs_load32(g->e, GPR_RAX, gen_field(g, VCB_FLAGS_SLOT));
    emit_flags_from_rax(g->e);
    gen_return_rax(g);
    g->flags = FLAGS_IN_HOST;
    gen_mark(g);
}

/* The host's flags are about to be clobbered before the current instruction executes. */
void gen_free_flags(Gen *g)
{
    if (g->flags == FLAGS_IN_HOST) {
        if (g->in->flags_live == 0) {
            g->flags = FLAGS_DEAD;
        } else {
            gen_flags_to_slot(g);
        }
    }
}

/* The current instruction is about to execute on the host: give it the flags it needs, and say where
 * they are behind it. */
void gen_flags_for_insn(Gen *g)
{
    const PlanInsn *in = g->in;
    uint16_t after = g->insn + 1 < g->p->n ? g->p->insn[g->insn + 1].flags_live : g->p->flags_out;

    if (in->flags_read != 0 || (in->flags_maybe != 0 && (after & ~in->flags_kill) != 0)) {
        gen_flags_to_host(g);
    }
}

void gen_flags_after_insn(Gen *g)
{
    if (g->in->flags_maybe != 0) {
        g->flags = FLAGS_IN_HOST;
    }
}

/* -- Leaving ---------------------------------------------------------------------------------- */

static Site *note_site(Gen *g, uint8_t *rel32, TransHelper helper)
{
    Site *s = &g->sites[g->n_sites];

    if (g->n_sites == SLOW_MAX) {
        g->e->full = true;
        return &g->spare; /* the block is thrown away */
    }
    g->slow[g->n_sites++] = rel32;
    *s = (Site){.borrowed = g->borrowed, .bits = (uint8_t)gen_flag_bits(g),
                .insn = (uint8_t)g->insn, .helper = (uint8_t)helper, .exec = g->exec, .aside = g->in != NULL && g->in->aside};
    return s;
}

Site *gen_slow_jcc(Gen *g, unsigned cc, TransHelper helper)
{
    return note_site(g, emit_jcc(g->e, cc, emit_here(g->e)), helper);
}

Site *gen_slow_jmp(Gen *g, TransHelper helper)
{
    return note_site(g, emit_jmp(g->e, emit_here(g->e)), helper);
}

static void leave_as(Gen *g, uint32_t site)
{
    emit_fs_store_imm32(g->e, gen_field(g, VCB_SITE), site);
    emit_fs_jmp(g->e, gen_field(g, VCB_THUNK));
}

void gen_helped(Gen *g, TransHelper helper)
{
    if ((helper_info[helper].clobbers & CLOBBER_HOST) != 0) {
        g->flags = FLAGS_IN_HOST;
    }
}

void gen_leave(Gen *g, unsigned number, unsigned kind)
{
    leave_as(g, site_make(g->place, number, kind));
}

static void gen_site_stubs(Gen *g)
{
    for (unsigned i = 0; i < g->n_sites; i++) {
        g->borrowed = g->sites[i].borrowed;
        gen_mark_as(g, g->sites[i].insn, g->sites[i].bits);
        emit_patch32(g->e, g->slow[i]);
        if (g->sites[i].near) {
            gen_near_stub(g, &g->sites[i]);
        } else if (g->sites[i].spot) {
            gen_spot_stub(g, &g->sites[i]);
        }
        leave_as(g, site_make(g->sites_place + i * (SITE_ALIGN / 16), 0, SITE_SLOW));
    }
}

static void come_home_but(Gen *g, uint16_t keep)
{
    if ((g->p->flags_out | g->in->flags_read) != 0) {
        gen_flags_to_host(g);
    }
    gen_give_back_but(g, keep);
    g->borrowed &= (uint16_t)(g->own | keep);
    g->flags = FLAGS_IN_HOST;
}

void gen_come_home(Gen *g)
{
    come_home_but(g, 0);
}

void gen_come_home_warm(Gen *g)
{
    come_home_but(g, g->warm);
}

/* -- Instructions ----------------------------------------------------------------------------- */

/* An instruction with a constant that is rewritten again and again: the constant is read from the guest's code. */
static void gen_soft(Gen *g)
{
    const ZydisDecodedInstruction *zi = &g->in->zi;
    bool moves = (zi->opcode & 0xf8) == 0xb8 || zi->opcode == 0xc7, wide = zi->operand_width == 64;
    unsigned dst = gen_reg_of(g->in->op[0].reg.value), a = gen_scratch(g, 0), to = moves ? dst : a;

    gen_flags_for_insn(g);
    emit_mov_ri(g->e, a, (uint64_t)(uintptr_t)(g->p->host + g->in->off + g->in->imm_off));
    if (g->in->imm_len == 1) {
        emit_load8s(g->e, to, a);
    } else if (g->in->imm_len == 8) {
        emit_load(g->e, to, a, 0);
    } else if (wide) {
        emit_load32s(g->e, to, a);
    } else {
        emit_load32(g->e, to, a, 0);
    }
    if (!moves) {
        bool short_form = zi->raw.modrm.offset == 0;
        emit_alu_rr(g->e, short_form ? zi->opcode >> 3 : zi->raw.modrm.reg, dst, a, wide);
    }
    gen_flags_after_insn(g);
}

static void gen_copy(Gen *g)
{
    const ZydisDecodedInstruction *zi = &g->in->zi;
    const uint8_t *bytes = g->p->bytes + g->in->off;

    if (g->in->soft) {
        gen_soft(g);
        return;
    }
    gen_flags_for_insn(g);
    if (g->p->code32 && zi->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (zi->opcode & 0xf0) == 0x40) {
        /* inc and dec of one byte, by the form with ModRM */
        emit_bytes(g->e, bytes, g->in->len - 1u);
        emit8(g->e, 0xff);
        emit8(g->e, (uint8_t)(0xc0 | (zi->opcode & 15)));
    } else {
        emit_bytes(g->e, bytes, g->in->len);
    }
    gen_flags_after_insn(g);
}

static void gen_lea_rip(Gen *g)
{
    unsigned dst = gen_reg_of(g->in->op[0].reg.value);

    if (!g->p->shared || g->p->code32) { /* 32-bit code knows no addresses relative to EIP */
        emit_mov_ri(g->e, dst, g->in->target);
        return;
    }
    gen_address(g, dst, g->p->lin + g->in->off + g->in->len + (uint64_t)g->in->op[1].mem.disp.value,
                gen_flags_matter(g));
    if (g->in->op[0].size == 32) {
        emit_mov32_rr(g->e, dst, dst);
    }
}

static void gen_interp(Gen *g)
{
    gen_slow_jmp(g, HELPER_INTERP);
    gen_helped(g, HELPER_INTERP);
}

void gen_insn(Gen *g)
{
    switch (g->in->plan) {
    case PLAN_COPY: gen_copy(g); break;
    case PLAN_NOTHING: break;
    case PLAN_MEM: gen_mem(g); break;
    case PLAN_LEA_RIP:
        gen_lea_rip(g);
        break;
    case PLAN_PUSH: gen_push(g); break;
    case PLAN_PUSH_MEM: gen_push_mem(g); break;
    case PLAN_POP: gen_pop(g); break;
    case PLAN_LEAVE: gen_leave_insn(g); break;
    case PLAN_SYSTEM: gen_system(g); break;
    case PLAN_HELPER: gen_helper(g); break;
    case PLAN_HELPER_END: gen_helper_end(g); break;
    case PLAN_INTERP:
    case PLAN_INTERP_END: gen_interp(g); break;
    case PLAN_JMP:
        gen_come_home_warm(g);
        gen_exit(g, 0, g->in->target);
        break;
    case PLAN_JCC: gen_jcc(g); break;
    case PLAN_CALL: gen_call(g); break;
    case PLAN_JMP_IND: gen_jmp_ind(g); break;
    case PLAN_CALL_IND: gen_call_ind(g); break;
    case PLAN_RET: gen_ret(g); break;
    }
}

/* -- The block -------------------------------------------------------------------------------- */

/* Where block.c closes the way in: it may turn the nop into a jump by one aligned store. */
static void gen_entry_nop(Gen *g)
{
    static const uint8_t nop[BLOCK_ENTRY_NOP] = {BLOCK_NOP_BYTES};

    emit_align(g->e, 8, 0);
    gen_mark_as(g, BLOCK_EXITS, MARK_EXIT);
    emit_bytes(g->e, nop, sizeof nop);
}

/* rcx = the "dead" word of one half of the vector state; not 0: out to have it loaded. */
static void gen_want_half(Gen *g, int dead)
{
    uint8_t *alive;

    emit_fs_load(g->e, GPR_RCX, gen_field(g, dead));
    alive = emit_jrcxz(g->e);
    gen_leave(g, SITE_VEC, SITE_OTHER);
    emit_patch8(g->e, alive);
}

/*
 * Where the block has vector instructions, see to it that the vector state is in the
 * host:
 *   mov [saved rcx], rcx; mov rcx, [vec_dead]; jrcxz 1f; leave; 1: mov rcx, [saved rcx]
 */
static void gen_want_vectors(Gen *g)
{
    uint8_t vec = g->b->vec;

    gen_borrow(g, GPR_RCX);
    gen_mark_as(g, BLOCK_EXITS, MARK_EXIT);
    if ((vec & VEC_HALF_SSE) != 0) {
        gen_want_half(g, VCB_VEC_DEAD);
    }
    if ((vec & VEC_HALF_X87) != 0) {
        gen_want_half(g, VCB_X87_DEAD);
    }
    g->b->vec_off = (uint16_t)emit_offset(g->e);
    gen_give_back(g);
    g->borrowed = g->own;
    gen_mark_as(g, BLOCK_EXITS, MARK_EXIT);
    emit_align(g->e, 8, 0);
    g->b->live_off = (uint16_t)emit_offset(g->e);
}

/* Borrow the registers for look-ups; the warm entry is for those who have borrowed the same. */
static void gen_warm_up(Gen *g)
{
    for (unsigned r = 0; r < 16; r++) {
        if ((g->warm & 1u << r) != 0) {
            emit_fs_store(g->e, gen_saved_slot(g, r), r);
        }
    }
    g->borrowed |= g->warm;
    gen_mark_as(g, BLOCK_EXITS, MARK_EXIT);
    emit_align(g->e, 8, 0);
    g->b->warm_off = (uint16_t)emit_offset(g->e);
}

/*
 * Where time counts instructions: those of the block, before the first; where fewer are left, out.
 *   mov [saved rcx], rcx; mov rcx, [left]; lea rcx, [rcx - n]; mov [left], rcx; pext rcx, rcx, [sign]; jrcxz 1f; leave
 *   1: mov rcx, [saved rcx]
 */
static void gen_count(Gen *g)
{
    uint8_t *enough;

    gen_borrow(g, GPR_RCX);
    gen_mark_as(g, BLOCK_EXITS, MARK_EXIT);
    emit_fs_load(g->e, GPR_RCX, gen_field(g, VCB_LEFT));
    emit_lea(g->e, GPR_RCX, GPR_RCX, -(int32_t)g->p->n);
    emit_fs_store(g->e, gen_field(g, VCB_LEFT), GPR_RCX);
    gen_mark_as(g, 0, 0);
    emit_fs_pext(g->e, GPR_RCX, GPR_RCX, gen_field(g, VCB_SIGN));
    enough = emit_jrcxz(g->e);
    gen_slow_jmp(g, HELPER_LIMIT);
    emit_patch8(g->e, enough);
    emit_fs_load(g->e, GPR_RCX, gen_saved_slot(g, GPR_RCX));
    g->borrowed &= (uint16_t)~(1u << GPR_RCX);
}

/* The entry for those who come, by the jump cache or a link, with the usual registers borrowed. */
static void gen_usual_entry(Gen *g)
{
    g->b->usual_off = (uint16_t)emit_offset(g->e);
    g->borrowed = BLOCK_WARM_USUAL;
    gen_mark_as(g, BLOCK_EXITS, MARK_EXIT);
    gen_give_back(g);
    g->borrowed = 0;
    gen_mark_as(g, BLOCK_EXITS, MARK_EXIT);
}

/* It falls into the block, which has not borrowed just them.  (Where vectors are to be waited for it is behind the block.  Nobody comes so
 * where the translator has registers of its own.) */
static bool is_usual_entry_before(const Gen *g)
{
    return g->own == 0 && g->b->vec == 0 && g->warm != BLOCK_WARM_USUAL;
}

static void gen_usual_entry_behind(Gen *g)
{
    if (g->own == 0 && g->b->vec != 0) {
        gen_usual_entry(g);
        emit_jmp(g->e, block_entry(g->b));
    } else if (g->own == 0 && g->warm == BLOCK_WARM_USUAL) {
        g->b->usual_off = g->b->warm_off;
    }
}

/* Nothing here touches flags.  The door is where the last entry is, which the others come to. */
static void gen_prologue(Gen *g)
{
    /* Places for 8-byte stores, and entries, are where this leads: no nops before them that would be executed. */
    unsigned moves = is_usual_entry_before(g) || (g->warm != 0 && g->b->vec == 0) ? 3 : 0;

    emit_align(g->e, 8, (unsigned)-(int)(moves * EMIT_FS_MOVE_LEN));
    if (is_usual_entry_before(g)) {
        gen_usual_entry(g);
    }
    g->b->entry_off = g->b->live_off = (uint16_t)emit_offset(g->e);
    gen_mark_as(g, BLOCK_EXITS, MARK_EXIT);
    if (g->b->vec != 0) {
        gen_want_vectors(g);
    }
    if (g->warm != 0) {
        gen_warm_up(g);
    }
    emit_align(g->e, 8, 0);
    g->b->door_off = (uint16_t)emit_offset(g->e);
    gen_entry_nop(g);
    if ((g->p->env & ENV_COUNTED) != 0) {
        gen_count(g);
    }
}

/* Behind the last instruction, where that does not end the block itself. */
static void gen_fall_through(Gen *g)
{
    uint64_t next = gen_rip_at(g, g->p->len);

    g->insn = 0; /* marks from here on name exit 0 */
    g->bits = MARK_EXIT;
    g->b->exit[0].target = next;
    gen_mark(g);
    g->in = &(const PlanInsn){.plan = PLAN_NOTHING}; /* the last one is over and reads no flags */
    gen_come_home_warm(g);
    g->bits = 0;
    gen_exit(g, 0, next);
}

static void gen_body(Gen *g)
{
    gen_prologue(g);
    for (g->insn = 0; g->insn < g->p->n; g->insn++) {
        BlockInsn *bi = &g->insns[g->insn];

        g->in = &g->p->insn[g->insn];
        bi->guest_off = g->in->off;
        bi->guest_len = g->in->len;
        bi->imm_off = g->in->imm_off;
        bi->imm_len = g->in->imm_len;
        bi->after_sti = g->insn > 0 && g->in[-1].plan == PLAN_SYSTEM &&
                        g->in[-1].zi.mnemonic == ZYDIS_MNEMONIC_STI;
        g->exec = g->in->exec ? g->b->n_exec++ : 0;
        gen_mark(g);
        if (g->p->beyond != 0) {
            gen_beyond(g);
        }
        gen_near_ahead(g);
        gen_insn(g);
        bi->resume_off = g->in->plan >= PLAN_INTERP_END || gen_in_run(g) ? 0 : (uint16_t)emit_offset(g->e);
        g->rejoin[g->insn] = (Rejoin){(uint16_t)emit_offset(g->e), g->borrowed, g->flags};
    }
    if (g->p->insn[g->p->n - 1].plan < PLAN_INTERP_END) {
        gen_fall_through(g);
    }
}

/* ... and the guest's flags aside: brought home where the block does not overwrite all of them before it reads any. */
static void gen_aside_entry(Gen *g)
{
    if (g->own != 0 || g->p->insn[0].flags_live == 0) {
        g->b->aside_off = g->b->usual_off;
        return;
    }
    g->b->aside_off = (uint16_t)emit_offset(g->e);
    g->borrowed = BLOCK_WARM_USUAL;
    gen_mark_as(g, BLOCK_EXITS, MARK_EXIT | MARK_FLAGS_SLOT);
    emit_fs_store(g->e, gen_field(g, VCB_RAX_TMP), GPR_RAX);
    emit_mov_rr(g->e, GPR_R11, GPR_RAX);
    gen_mark_as(g, BLOCK_EXITS, MARK_EXIT | MARK_FLAGS_SLOT | MARK_RAX_TMP);
    emit_fs_load32(g->e, GPR_RAX, gen_field(g, VCB_FLAGS_SLOT));
    emit_flags_from_rax(g->e);
    emit_mov_rr(g->e, GPR_RAX, GPR_R11);
    gen_mark_as(g, BLOCK_EXITS, MARK_EXIT);
    emit_jmp(g->e, block_at(g->b, g->b->usual_off));
}

/* Where the door of a dead block leads. */
static void gen_dead_stubs(Gen *g)
{
    g->borrowed = g->own | g->warm;
    gen_mark_as(g, BLOCK_EXITS, MARK_EXIT);
    g->b->door_dead_off = (uint16_t)emit_offset(g->e);
    gen_give_back(g);
    g->borrowed = g->own;
    gen_mark_as(g, BLOCK_EXITS, MARK_EXIT);
    emit_align(g->e, 8, 0);
    g->b->dead_off = (uint16_t)emit_offset(g->e);
    gen_entry_nop(g); /* cache_forward() */
    gen_leave(g, BLOCK_EXITS, SITE_EXIT);
}

/* What a Site repeats of its block and instruction. */
static void complete_site(const Gen *g, Site *s)
{
    const BlockInsn *in = &g->insns[MIN(s->insn, g->p->n - 1)];

    s->block = g->b;
    s->code = g->b->code;
    s->rip = g->p->lin + in->guest_off;
    s->env = g->b->env;
    s->resume_off = in->resume_off;
    s->vec = g->b->vec;
    s->len = in->guest_len;
    s->shared = g->p->shared;
    s->after_sti = in->after_sti;
}

/* Copy what was found out into the block. */
static void finish_block(Gen *g, BlockCache *c)
{
    Block *b = g->b;
    uint8_t *notes = cache_notes_at(c, 16);
    size_t gap = g->n_sites != 0 ? (size_t)((uint8_t *)cache_at_place(c, g->sites_place) - notes) : 0;

    b->cold_len = (uint16_t)(emit_offset(g->e) - EMIT_COLD);
    b->guest_len = (uint16_t)g->p->len;
    b->n_insns = (uint8_t)g->p->n;
    b->n_marks = (uint16_t)g->n_marks;
    b->n_sites = (uint16_t)g->n_sites;
    b->flags_in = g->p->kept_in & g->p->insn[0].flags_live;
    b->flags_out = g->p->kept_out;
    for (unsigned i = 0; i < g->p->n; i++) {
        b->flags_written |= g->p->insn[i].flags_kill;
    }
    /* Sites first: generated code says where they are. */
    b->sites = (SiteLine *)(void *)((uint8_t *)cache_notes(c, gap + g->n_sites * sizeof *b->sites + g->n_marks * sizeof *g->marks +
                                                           g->p->n * sizeof *g->insns) + gap);
    memcpy(block_marks(b), g->marks, g->n_marks * sizeof *g->marks);
    for (unsigned i = 0; i < g->n_sites; i++) {
        complete_site(g, &g->sites[i]);
        b->sites[i].s = g->sites[i];
    }
    memcpy(block_insns(b), g->insns, g->p->n * sizeof *g->insns);
}

/* Of what class operands in memory are, for people. */
static void count_operands(BlockCache *c, const Plan *p)
{
    for (unsigned i = 0; i < p->n; i++) {
        const PlanInsn *in = &p->insn[i];
        if (in->mem != 0xff && in->op[in->mem].mem.type == ZYDIS_MEMOP_TYPE_MEM) {
            c->n_operands[in->helper == HELPER_DEVICE ? OPERAND_CALLED : plan_in_window(p, in) ? OPERAND_IN_WINDOW
                                                                                              : OPERAND_LOOKED_UP]++;
        }
    }
}

static void count_groups(BlockCache *c, const Gen *g)
{
    for (unsigned k = 0; k < g->n_groups; k++) {
        c->n_groups += g->group[k].n > 1;
        c->n_members += g->group[k].n > 1 ? g->group[k].n : 0;
    }
}

bool compile_block(Block *b, BlockCache *c, const Plan *p, Emit *e)
{
    Gen gen, *g = &gen; /* some 16 KiB */

    g->e = e;
    g->b = b;
    g->cache = c;
    g->p = p;
    g->fs = vcb_fs_offset();
    g->own = env_own_regs(b->env);
    g->borrowed = g->own;
    g->flags = FLAGS_IN_HOST;
    g->bits = 0;
    g->n_scratch = g->n_marks = g->n_sites = 0;
    g->run_end = 0;
    g->insn = 0;
    g->in = p->insn;           /* the prologue has a Site of it */
    g->exec = 0;
    g->warm = 0;
    g->place = cache_place(c, b);
    g->sites_place = cache_place(c, cache_notes_at(c, SITE_ALIGN));
    b->code = e->start + e->exec_delta;
    b->vec = p->vec;
    find_scratch(g);
    b->warm = g->warm;
    g->beside = false;
    gen_find_groups(g);
    memset(g->rest, 0, b->n_exits * sizeof g->rest[0]);
    g->sides = 0;
    gen_body(g);
    gen_usual_entry_behind(g);
    b->host_len = (uint16_t)emit_offset(e);
    emit_begin_cold(e);
    b->cold = emit_here(e);
    gen_exit_rests(g);
    gen_groups_beside(g);
    gen_site_stubs(g);
    gen_aside_entry(g);
    gen_dead_stubs(g);
    if (!e->full) {
        finish_block(g, c);
        count_operands(c, p);
        count_groups(c, g);
    }
    return !e->full;
}
