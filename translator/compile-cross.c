/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sequences (compile-system.c) for SYSCALL and SYSRET: from one privilege to the other within translated code. */
#include "translator/compile-internal.h"

/* RFLAGS bits that sysret must find clear in R11 to be a sequence. */
enum { SYSRET_ODD = FLAG_TF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID };

/*
 * The transition is certain: t = block of guest address `rip`.  From here on nothing can fault or has to be
 * undone, and who wants us out (a kick) finds us where we arrive.
 */
static void gen_transit(Gen *g, unsigned t, unsigned rip)
{
    emit_fs_store(g->e, gen_field(g, VCB_RESUME), t);
    emit_fs_store(g->e, gen_field(g, VCB_RIP), rip);
    g->bits |= MARK_TRANSIT;
    gen_mark(g);
}

/* To the other side: privilege, TLB class, jump cache's key; AC is clear there.  t is clobbered. */
static void gen_cross(Gen *g, unsigned t, uint8_t crossed, int tlb, int key)
{
    emit_fs_store_imm8(g->e, gen_field(g, VCB_VAC), 0);
    emit_fs_store_imm8(g->e, gen_field(g, VCB_CROSSED), crossed);
    gen_tlb_class(g, t, tlb);
    emit_fs_load(g->e, t, gen_field(g, key));
    emit_fs_store(g->e, gen_field(g, VCB_JC_KEY), t);
}

static void gen_arrive(Gen *g)
{
    gen_give_back(g);
    g->borrowed = g->own;
    g->flags = FLAGS_IN_HOST;
    emit_fs_jmp(g->e, gen_field(g, VCB_RESUME));
    g->bits &= (uint8_t)~MARK_TRANSIT;
}

static void put_rax_aside(Gen *g)
{
    if ((g->borrowed & 1u << GPR_RAX) == 0) {
        emit_fs_store(g->e, gen_field(g, VCB_RAX_TMP), GPR_RAX);
    }
}

static void take_rax_back(Gen *g)
{
    if ((g->borrowed & 1u << GPR_RAX) == 0) {
        emit_fs_load(g->e, GPR_RAX, gen_field(g, VCB_RAX_TMP));
    }
}

/*
 * SYSCALL in 64-bit code at CPL 3.  The block of LSTAR is in the jump cache under the kernel's key, or
 * out to the helper, and so with AC set.  syscall_tag says whether SCE is set.  rcx and r11 serve until they
 * get what the guest is to find there.
 */
void gen_syscall(Gen *g)
{
    Emit *e = g->e;

    gen_free_flags(g);
    gen_borrow(g, GPR_RCX);
    gen_borrow(g, GPR_R11);
    emit_fs_load(e, GPR_RCX, gen_field(g, VCB_SYSCALL_SLOT));
    emit_fs_load_indexed(e, GPR_R11, gen_field(g, VCB_JC_NTAG), GPR_RCX);
    emit_fs_op(e, 0x03, GPR_R11, gen_field(g, VCB_SYSCALL_TAG));
    gen_slow_jcc(g, CC_NE, HELPER_SYSCALL);
    emit_fs_cmp8_0(e, gen_field(g, VCB_VAC));
    gen_slow_jcc(g, CC_NE, HELPER_SYSCALL);
    emit_fs_load_indexed(e, GPR_RCX, gen_field(g, VCB_JC_CODE), GPR_RCX);
    emit_fs_load(e, GPR_R11, gen_field(g, VCB_SYSCALL_RIP));
    gen_transit(g, GPR_RCX, GPR_R11);
    gen_rflags(g, GPR_R11, GPR_RCX);
    emit_fs_load8(e, GPR_RCX, gen_field(g, VCB_VIF));
    emit_fs_op(e, 0x23, GPR_RCX, gen_field(g, VCB_SYSCALL_KEEP_IF));
    emit_fs_store8(e, gen_field(g, VCB_VIF), GPR_RCX);
    emit_fs_add1(e, gen_field(g, VCB_N_SYSCALLS));
    gen_cross(g, GPR_RCX, CROSSED_SYSCALL, VCB_KERNEL_TLB, VCB_KEY_KERNEL);
    put_rax_aside(g);
    emit_fs_load(e, GPR_RAX, gen_field(g, VCB_FLAGS_SLOT));
    emit_fs_op(e, 0x23, GPR_RAX, gen_field(g, VCB_SYSCALL_KEEP));
    emit_flags_from_rax(e);
    take_rax_back(g);
    g->borrowed &= (uint16_t)~(1u << GPR_RCX | 1u << GPR_R11);
    gen_address(g, GPR_RCX, gen_rip_at(g, g->in->off + g->in->len), true);
    gen_arrive(g);
}

/* SYSRET to 64-bit code: to rcx with the RFLAGS in r11. */
void gen_sysret(Gen *g)
{
    unsigned t = gen_scratch(g, 0), u = gen_scratch(g, 1);
    Emit *e = g->e;
    uint8_t *no_if;

    gen_free_flags(g);
    emit_mov_rr(e, t, GPR_RCX);
    emit_shift_ri(e, SHIFT_SHL, t, 16);
    emit_shift_ri(e, SHIFT_SAR, t, 16);
    emit_cmp_rr(e, t, GPR_RCX);
    gen_slow_jcc(g, CC_NE, HELPER_SYSRET); /* not canonical */
    emit_test_ri(e, GPR_R11, SYSRET_ODD);
    gen_slow_jcc(g, CC_NE, HELPER_SYSRET);
    emit_fs_cmp8_0(e, gen_field(g, VCB_WATCH_USER));
    gen_slow_jcc(g, CC_NE, HELPER_SYSRET);
    emit_test_ri(e, GPR_R11, FLAG_IF);
    no_if = emit_jcc(e, CC_E, emit_here(e));
    gen_out_if_pending(g, t, HELPER_SYSRET);
    emit_patch32(e, no_if);
    emit_fs_pdep(e, t, GPR_RCX, gen_field(g, VCB_JC_MASK));
    emit_fs_load_indexed(e, u, gen_field(g, VCB_JC_NTAG), t);
    emit_fs_op(e, 0x03, u, gen_field(g, VCB_KEY_USER));
    emit_add_rr(e, u, GPR_RCX);
    gen_slow_jcc(g, CC_NE, HELPER_SYSRET);
    emit_fs_load_indexed(e, t, gen_field(g, VCB_JC_CODE), t);
    gen_transit(g, t, GPR_RCX);
    emit_fs_store(e, gen_field(g, VCB_HERE), GPR_RCX);
    emit_mov_rr(e, t, GPR_R11);
    emit_shr_ri(e, t, 8);
    emit_and32_ri(e, t, FLAG_IF >> 8);
    emit_fs_store8(e, gen_field(g, VCB_VIF), t);
    gen_cross(g, t, CROSSED_SYSRET, VCB_USER_TLB, VCB_KEY_USER);
    put_rax_aside(g);
    emit_mov_rr(e, t, GPR_R11);
    emit_shr_ri(e, t, 11);
    emit_and32_ri(e, t, 1);
    emit_mov_rr(e, GPR_RAX, GPR_R11);
    emit_and32_ri(e, GPR_RAX, FLAGS_ARITH & 0xff);
    emit_shift_ri(e, SHIFT_SHL, GPR_RAX, 8);
    emit_or_rr(e, GPR_RAX, t);
    emit_flags_from_rax(e);
    take_rax_back(g);
    gen_arrive(g);
}
