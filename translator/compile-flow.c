/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exits, branches, calls and returns; and who goes on on the next page. */
#include "translator/compile-internal.h"

/* -- Exits ------------------------------------------------------------------------------------ */

static bool same_page(const Gen *g, uint64_t target)
{
    return ((g->p->lin ^ target) & GUEST_PAGE_MASK) == 0;
}

bool gen_exits_by_cache(const Gen *g)
{
    const PlanInsn *last = &g->p->insn[g->p->n - 1];
    uint64_t next = gen_rip_at(g, g->p->len);
    bool goes_on = last->plan < PLAN_INTERP_END || last->plan == PLAN_JCC;
    bool jumps = last->plan == PLAN_JMP || last->plan == PLAN_JCC || last->plan == PLAN_CALL;

    return (goes_on && !plan_links(g->p, next)) ||
           (jumps && !plan_links(g->p, last->target));
}

static void gen_borrow_at_exit(Gen *g, unsigned k, unsigned reg)
{
    if ((g->borrowed & 1u << reg) == 0) {
        emit_fs_store(g->e, gen_saved_slot(g, reg), reg);
        g->borrowed |= (uint16_t)(1u << reg);
        gen_mark_as(g, k, MARK_EXIT);
    }
}

/*
 * The look-up in the jump cache that leaves flags alone: rcx = [key] + target + tag, which is 0 where the entry is the target's.
 * What is returned is to be patched, by emit_patch8(), to where that leads; behind it comes who misses.
 */
static void emit_key_sum(Gen *g, unsigned target)
{
    emit_fs_load(g->e, GPR_RCX, gen_field(g, VCB_JC_KEY));
    emit_lea_sum(g->e, GPR_RCX, GPR_RCX, target);
}

static uint8_t *emit_tag_sum(Gen *g, unsigned tag)
{
    emit_lea_sum(g->e, GPR_RCX, GPR_RCX, tag);
    return emit_jrcxz(g->e);
}

/*
 * To another page by the jump cache, whose entry for `target` is at a constant place; but code that does not know where it is, or that
 * leads to such (`says`), takes its index by pdep and says where it goes.  Where the jump cache does not know, with what is borrowed then, by
 * the jump whose rel32 is returned.
 *
 *   t = target; [rip] = t; u = pdep t, [whole]; rcx = [key] + t; t = [ntag + 8*u]; rcx += t; jrcxz 1f; jmp miss
 *   1: u = [code + 8*u]; [here] = [rip]; jmp u
 * or
 *   t = target; rcx = [key] + t; t = [ntag of it]; rcx += t; jrcxz 1f; jmp miss
 *   1: jmp [code of it]
 */
static uint8_t *gen_exit_by_cache(Gen *g, unsigned k, uint64_t target)
{
    Emit *e = g->e;
    const bool says = gen_says_where(g, target);
    const unsigned t = g->scratch[0], u = g->scratch[1], spare = g->scratch[says ? 2 : 1];
    const int slot = (int)sizeof(JumpEntry) * (int)vcb_jump_slot(target, g->p->config->jump_cache);
    unsigned keeper = (g->borrowed & 1u << spare) != 0 ? spare : GPR_RCX; /* of the guest's rcx */
    uint16_t used = (uint16_t)(1u << t | (says ? 1u << u : 0));
    bool usual = ((g->borrowed | used) & (uint16_t)~g->own) == BLOCK_WARM_USUAL;
    uint16_t keep = usual ? BLOCK_WARM_USUAL : 0;
    uint8_t *hit, *miss;

    gen_borrow_at_exit(g, k, GPR_RCX);
    if (keeper != GPR_RCX) {
        emit_mov_rr(e, keeper, GPR_RCX);
    }
    gen_borrow_at_exit(g, k, t);
    if (says) {
        gen_borrow_at_exit(g, k, u);
        gen_address(g, t, target, g->p->flags_out != 0);
        emit_fs_store(e, gen_field(g, VCB_RIP), t);
        emit_fs_pdep(e, u, t, gen_field(g, VCB_JC_WHOLE));
        emit_key_sum(g, t);
        emit_fs_load_indexed(e, t, gen_field(g, VCB_JC_NTAG), u);
    } else {
        emit_mov_ri(e, t, target);
        emit_key_sum(g, t);
        emit_fs_load(e, t, gen_field(g, VCB_JC_NTAG + slot));
    }
    hit = emit_tag_sum(g, t);
    miss = emit_jmp(e, emit_here(e));
    emit_patch8(e, hit);
    if (says) {
        emit_fs_load_indexed(e, u, gen_field(g, usual ? VCB_JC_WARM : VCB_JC_CODE), u);
        if (!usual) {
            emit_fs_store(e, gen_field(g, VCB_RESUME), u);
        }
        emit_fs_load(e, t, gen_field(g, VCB_RIP));
        gen_mark_as(g, k, MARK_EXIT | MARK_POST);
        emit_fs_store(e, gen_field(g, VCB_HERE), t);
    }
    if (keeper != GPR_RCX) {
        emit_mov_rr(e, GPR_RCX, keeper);
        keep |= 1u << GPR_RCX;
    }
    gen_give_back_but(g, keep);
    if (!says) {
        emit_fs_jmp(e, gen_field(g, (usual ? VCB_JC_WARM : VCB_JC_CODE) + slot));
    } else if (usual) {
        emit_jmp_reg(e, u);
    } else {
        emit_fs_jmp(e, gen_field(g, VCB_RESUME));
    }
    return miss;
}

/*
 * Leave for a constant rip; flags are in the host, what the prologue borrowed may still be.
 *
 * On the same page the jump is linkable: while this block runs, its page is mapped where it was, so
 * the target is where it was.  A link to a block that borrows the same registers leaves them borrowed
 * (`early`).  On another page the mapping may have changed; the jump cache, which a TLB flush
 * clears, knows.  Between a kernel's pages there may be links too, undone by flushes.
 */
void gen_exit(Gen *g, unsigned k, uint64_t target)
{
    BlockExit *x = &g->b->exit[k];
    ExitRest *rest = &g->rest[k];
    Emit *e = g->e;
    uint16_t was = g->borrowed;

    x->target = target;
    x->warm = was & (uint16_t)~g->own;
    gen_mark_as(g, k, MARK_EXIT);
    if (!plan_links(g->p, target)) {
        if (rest->jcc != NULL) {
            emit_patch32(e, rest->jcc);
        }
        rest->miss = gen_exit_by_cache(g, k, target);
    } else if (rest->jcc == NULL) {
        uint8_t **rel32 = x->warm != 0 ? &rest->early : &rest->rel32;
        emit_align(e, 4, 3);
        *rel32 = emit_jmp(e, emit_here(e));
    }
    rest->is = true;
    rest->borrowed = g->borrowed;
    g->borrowed = was;
}

/* Host offset of a displacement; 0: of none. */
static uint16_t offset_of(const Gen *g, const uint8_t *rel32)
{
    return rel32 != NULL ? (uint16_t)block_offset(g->b, rel32 + g->e->exec_delta) : 0;
}

/*
 * Out in the middle, where all of the block's instructions are counted already: those behind the jump are not executed.  Until that is
 * known, it is not either.
 *   mov [saved rcx], rcx; mov rcx, [left]; lea rcx, [rcx + n]; mov [left], rcx; mov rcx, [saved rcx]
 */
static void gen_uncount(Gen *g, unsigned k)
{
    ExitRest *rest = &g->rest[k];

    emit_patch32(g->e, rest->jcc);
    rest->jcc = NULL; /* links come behind this */
    g->insn = rest->insn;
    g->bits = 0;
    g->flags = FLAGS_IN_HOST;
    gen_mark(g);
    gen_borrow(g, GPR_RCX);
    emit_fs_load(g->e, GPR_RCX, gen_field(g, VCB_LEFT));
    emit_lea(g->e, GPR_RCX, GPR_RCX, rest->uncounted);
    emit_fs_store(g->e, gen_field(g, VCB_LEFT), GPR_RCX);
    gen_mark_as(g, k, MARK_EXIT);
    emit_fs_load(g->e, GPR_RCX, gen_saved_slot(g, GPR_RCX));
    g->borrowed &= (uint16_t)~(1u << GPR_RCX);
}

/* The way home for links to blocks that have not borrowed the same, the jump cache for those across pages that may not be linked, and
 * the way out. */
static void gen_exit_rest(Gen *g, unsigned k)
{
    BlockExit *x = &g->b->exit[k];
    ExitRest *rest = &g->rest[k];
    uint8_t *miss = rest->miss;
    const bool same = same_page(g, x->target), across = miss == NULL && !same;
    Emit *e = g->e;

    g->borrowed = rest->borrowed;
    if (rest->uncounted != 0) {
        gen_uncount(g, k);
    }
    gen_mark_as(g, k, MARK_EXIT);
    if (miss == NULL && rest->rel32 == NULL) {
        x->early_off = (uint16_t)emit_offset(e);
        if (rest->jcc != NULL || rest->early != NULL) {
            emit_patch32(e, rest->jcc != NULL ? rest->jcc : rest->early);
        }
        gen_give_back(g);
        g->borrowed = g->own;
        gen_mark_as(g, k, MARK_EXIT);
        emit_align(e, 4, 3);
        rest->rel32 = emit_jmp(e, emit_here(e));
    }
    if (across) {
        x->cache_off = (uint16_t)emit_offset(e);
        miss = gen_exit_by_cache(g, k, x->target);
    }
    if (miss != NULL) {
        emit_patch32(e, miss);
        gen_mark_as(g, k, MARK_EXIT);
        gen_give_back(g);
        g->borrowed = g->own;
    }
    x->stub_off = (uint16_t)emit_offset(e);
    if (rest->rel32 != NULL) {
        emit_patch32(e, rest->rel32);
    }
    x->rel32 = offset_of(g, rest->rel32);
    x->early = offset_of(g, rest->jcc != NULL ? rest->jcc : rest->early);
    gen_mark_as(g, k, MARK_EXIT);
    if (!same && gen_says_where(g, x->target)) {
        gen_leave(g, SITE_FAR, SITE_OTHER);
    } else {
        gen_leave(g, k, SITE_EXIT);
    }
}

void gen_exit_rests(Gen *g)
{
    for (unsigned k = 0; k < g->b->n_exits; k++) {
        if (g->rest[k].is) {
            gen_exit_rest(g, k);
        }
    }
}

/*
 * tag = [ntag + 8*at], which is for the guest rip in `target` or a miss: out, before anything has changed.  Flags are left alone
 * where they are in the host:
 *
 *   rcx = [key] + target + tag; jrcxz 1f; jmp miss; 1:
 *   or add tag, [key]; add tag, target; jne miss
 */
static Site *emit_tag_check(Gen *g, unsigned target, unsigned tag, unsigned at)
{
    Emit *e = g->e;
    uint8_t *hit;
    Site *s;

    emit_fs_load_indexed(e, tag, gen_field(g, VCB_JC_NTAG), at);
    if (g->flags != FLAGS_IN_HOST) {
        emit_fs_op(e, 0x03, tag, gen_field(g, VCB_JC_KEY));
        emit_add_rr(e, tag, target);
        return gen_slow_jcc(g, CC_NE, HELPER_INDIRECT);
    }
    emit_key_sum(g, target);
    hit = emit_tag_sum(g, tag);
    s = gen_slow_jmp(g, HELPER_INDIRECT);
    emit_patch8(e, hit);
    return s;
}

/* Behind the last instruction, before the jump to an entry of the jump cache's: what the guest has elsewhere comes home.  Who
 * goes to a block's entry for it (jc_aside) leaves flags aside. */
static void come_home_indirect(Gen *g, bool usual)
{
    if (usual && g->flags != FLAGS_IN_HOST) {
        gen_give_back_but(g, g->warm);
        g->borrowed = g->warm;
    } else if (usual || g->own != 0) {
        gen_come_home_warm(g);
    } else {
        gen_come_home(g);
    }
    gen_mark(g);
}

/*
 * Leave for the guest rip in register `target` (scratch 0 or 4), popping `pop` bytes off the stack.
 *
 *   pdep at, target, [mask]; check the tag
 *   mov [rip], target; mov t, [code + 8*at]; add rsp, pop; ...
 * and, the usual registers staying borrowed, jmp t; else, t in [resume] before ..., jmp [resume].  The guest's rcx
 * waits in u besides its slot, so that whoever needs it next need not wait for a load.  Where flags are not in the host, u is free
 * for the tag; 32-bit code has a register more to keep the index in, and none to give back; else it is made twice.
 */
static void emit_exit_indirect(Gen *g, unsigned target, int32_t pop)
{
    Emit *e = g->e;
    unsigned t = gen_scratch(g, 1), u = gen_scratch(g, 2), retry;
    bool usual = g->warm == BLOCK_WARM_USUAL, in_t = usual || g->own != 0;
    bool quiet = g->flags == FLAGS_IN_HOST, lent = quiet && (g->borrowed & 1u << GPR_RCX) == 0;
    unsigned at = quiet && g->own != 0 ? g->scratch[3] : t, tag = quiet ? t : u;
    int entry = !usual ? VCB_JC_CODE : quiet ? VCB_JC_WARM : VCB_JC_ASIDE;
    Site *s;

    if (lent) {
        gen_borrow(g, GPR_RCX);
        emit_mov_rr(e, u, GPR_RCX);
    }
    retry = emit_offset(e);
    emit_fs_pdep(e, at, target, gen_field(g, VCB_JC_MASK));
    s = emit_tag_check(g, target, tag, at);
    s->reg = (uint8_t)target;
    s->retry_off = (uint16_t)retry;
    emit_fs_store(e, gen_field(g, VCB_RIP), target);
    if (at == tag) {
        emit_fs_pdep(e, at, target, gen_field(g, VCB_JC_WHOLE)); /* jc_mask may have become 0 since */
    }
    emit_fs_load_indexed(e, t, gen_field(g, entry), at);
    if (!in_t) {
        emit_fs_store(e, gen_field(g, VCB_RESUME), t);
    }
    if (lent) {
        emit_mov_rr(e, GPR_RCX, u);
        g->borrowed &= (uint16_t)~(1u << GPR_RCX);
        gen_mark(g);
    }
    if (pop != 0) {
        gen_word_lea(g, GPR_RSP, GPR_RSP, pop);
    }
    g->bits |= MARK_POST;
    gen_mark(g);
    if (gen_says_where(g, UINT64_MAX)) {
        emit_fs_store(e, gen_field(g, VCB_HERE), target);
    }
    come_home_indirect(g, usual);
    if (in_t) {
        emit_jmp_reg(e, t);
    } else {
        emit_fs_jmp(e, gen_field(g, VCB_RESUME));
    }
    g->bits &= (uint8_t)~MARK_POST;
}

/*
 * The block's instruction reaches over the page's end: is the page behind what the block was made of?  What this CPU remembers
 * (vcb.cross_ntag) is what it found there; another CPU, in another address space, may have made the block anew of another page.
 *
 *   t = its address; rcx = [key] + t; t = [ntag]; rcx += t; jrcxz 1f; 0: jmp slow
 *   1: rcx = [page]; lea rcx, [rcx + number of that page]; jrcxz 2f; jmp 0b
 *   2: mov rcx, [saved rcx]
 */
void gen_beyond(Gen *g)
{
    const int slot = 8 * (int)vcb_crossing_slot(g->b->offset);
    unsigned t = gen_scratch(g, 0);
    bool lent = (g->borrowed & 1u << GPR_RCX) == 0;
    uint8_t *known, *same;
    const uint8_t *out;
    Site *s;

    gen_borrow(g, GPR_RCX);
    gen_address(g, t, g->p->lin, gen_flags_matter(g));
    emit_key_sum(g, t);
    emit_fs_load(g->e, t, gen_field(g, VCB_CROSS_NTAG + slot));
    known = emit_tag_sum(g, t);
    out = emit_here(g->e);
    s = gen_slow_jmp(g, HELPER_CROSSING);
    emit_patch8(g->e, known);
    emit_fs_load(g->e, GPR_RCX, gen_field(g, VCB_CROSS_PAGE + slot));
    emit_lea(g->e, GPR_RCX, GPR_RCX, (int32_t)(g->b->beyond >> GUEST_PAGE_SHIFT));
    same = emit_jrcxz(g->e);
    emit_jmp(g->e, out);
    emit_patch8(g->e, same);
    s->hit_off = (uint16_t)emit_offset(g->e);
    if (lent) {
        emit_fs_load(g->e, GPR_RCX, gen_saved_slot(g, GPR_RCX));
        g->borrowed &= (uint16_t)~(1u << GPR_RCX);
        gen_mark(g);
    }
}

/* -- Instructions ----------------------------------------------------------------------------- */

/* Store the return address below the stack pointer. */
static void emit_push_return(Gen *g)
{
    uint64_t ret = gen_rip_at(g, g->in->off + g->in->len);
    Place at;
    bool fits = !g->p->shared && (g->p->code32 || (int64_t)ret == (int32_t)ret);

    if (gen_in_window(g) && fits) {
        gen_word_store_imm(g, GPR_RSP, -(int32_t)gen_word(g), (int32_t)ret);
        return;
    }
    at = gen_stack_place(g, GPR_RSP, -(int32_t)gen_word(g), true);
    if (fits) {
        gen_place_store_imm(g, at, (int32_t)ret);
    } else {
        unsigned t = gen_scratch(g, 1);
        gen_address(g, t, ret, gen_flags_matter(g));
        gen_place_store(g, at, t);
    }
}

void gen_call(Gen *g)
{
    emit_push_return(g);
    if (g->p->flags_out != 0) {
        gen_flags_to_host(g);
    }
    gen_word_lea(g, GPR_RSP, GPR_RSP, -(int32_t)gen_word(g));
    gen_mark_as(g, 0, MARK_EXIT);
    g->b->exit[0].target = g->in->target;
    g->flags = FLAGS_IN_HOST;
    gen_come_home_warm(g);
    gen_exit(g, 0, g->in->target);
}

void gen_jcc(Gen *g)
{
    bool last = g->insn + 1 == g->p->n;
    unsigned taken = last ? 1 : BLOCK_EXIT_SIDE + g->sides++;

    gen_come_home_warm(g);
    gen_mark(g);
    emit_align(g->e, 4, 2);
    g->rest[taken].jcc = emit_jcc(g->e, g->in->cc, emit_here(g->e));
    if (!last && (g->p->env & ENV_COUNTED) != 0) {
        g->rest[taken].insn = (uint8_t)g->insn;
        g->rest[taken].uncounted = (uint8_t)(g->p->n - g->insn - 1);
        g->b->exit[taken].flags_out = g->in->flags_side;
    }
    if (last) {
        gen_exit(g, 0, gen_rip_at(g, g->p->len));
    }
    gen_exit(g, taken, g->in->target);
}

/* Scratch 0 = where an indirect jump or call goes. */
static unsigned emit_indirect_target(Gen *g)
{
    unsigned a;

    if (g->in->mem == 0xff) {
        a = gen_scratch(g, 0);
        (g->p->code32 ? emit_mov32_rr : emit_mov_rr)(g->e, a, gen_reg_of(g->in->op[0].reg.value));
    } else {
        a = gen_operand_address(g);
        gen_word_load(g, a, a);
    }
    return a;
}

void gen_jmp_ind(Gen *g)
{
    emit_exit_indirect(g, emit_indirect_target(g), 0);
}

void gen_call_ind(Gen *g)
{
    unsigned a;

    a = emit_indirect_target(g);
    if (g->own != 0) {
        emit_mov_rr(g->e, g->scratch[4], a);
        a = g->scratch[4];
        emit_push_return(g);
    } else {
        emit_fs_store(g->e, gen_field(g, VCB_RIP), a);
        emit_push_return(g);
        emit_fs_load(g->e, a, gen_field(g, VCB_RIP));
    }
    emit_exit_indirect(g, a, -(int32_t)gen_word(g));
}

void gen_ret(Gen *g)
{
    unsigned a;
    int32_t pop = g->in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE
                      ? (int32_t)(g->in->op[0].imm.value.u & 0xffff) : 0;

    a = gen_scratch(g, 0);
    if (gen_in_window(g)) {
        gen_word_load(g, a, GPR_RSP);
    } else {
        gen_place_load(g, a, gen_stack_place(g, GPR_RSP, 0, false));
    }
    emit_exit_indirect(g, a, (int32_t)gen_word(g) + pop);
}

