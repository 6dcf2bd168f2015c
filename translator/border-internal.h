/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of the border (border.c): ways back into translated code, and who brings about what it left for.  All of them: true, go on at
 * vcb.resume; false, to the dispatcher, with the CpuState up to date where tc->attention or tc->exit says so, or where nothing was done.
 * Compiled without vector instructions: the guest's vector state may be in the host's registers.
 */
#ifndef TRANSLATOR_BORDER_INTERNAL_H
#define TRANSLATOR_BORDER_INTERNAL_H

#include "cpu-x86/insns.h"
#include "translator/engine-internal.h"
#include "translator/glue.h"

/* The guest's address of Site s, which has left. */
static inline uint64_t rip_of(const TransCpu *tc, const Site *s)
{
    return s->shared ? (tc->vcb->here & GUEST_PAGE_MASK) | (s->rip & GUEST_PAGE_OFFSET_MASK) : s->rip;
}

/* The CpuState is at its instruction, which has not been executed. */
static inline void set_rip(TransCpu *tc, const Site *s)
{
    tc->cpu->rip = rip_of(tc, s);
    tc->cpu->shadow |= s->after_sti;
}

/* Where the guest is behind it, if that does not lead elsewhere. */
static inline uint64_t rip_behind(const TransCpu *tc, const Site *s)
{
    uint64_t next = rip_of(tc, s) + s->len;

    return (s->env & ENV_CODE32) != 0 ? (uint32_t)next : next;
}

/* Of 48 bits: the page walk looks at no others. */
static inline bool is_canonical(uint64_t lin)
{
    return (uint64_t)((int64_t)(lin << 16) >> 16) == lin;
}

/* The dispatcher wants to see entries of user code. */
static inline bool watched(const TransCpu *tc)
{
    return tc->cpu->cpl == 3 && tc->vcb->watch_user != 0;
}

/* May events be delivered, and returned from, so? */
static inline bool crosses_quickly(const TransCpu *tc, const Site *s)
{
    return tc->config->quick && (s->env & ENV_CODE32) == 0 && tc->lockstep == NULL;
}

/* -- border.c ------------------------------------------------------------------------------------- */

/* Go on at `resume` with the host's registers as they left and `borrowed` and `bits` as in a Mark; the guest is at the rip that the
 * CpuState says. */
bool border_go_on(TransCpu *tc, const uint8_t *resume, uint16_t borrowed, unsigned bits, uint8_t vec);
/* To a place within the block where it left, with the state it left with. */
bool border_go_back(TransCpu *tc, const Site *s, unsigned host_off);
/* trans_fill() for who may do without: a fault that is not delivered leaves CR2 as it was. */
bool border_fill_if_there(TransCpu *tc, uint64_t lin, TlbAccess a);
/* To the block at rip, in environment env, when this CPU has met it lately. */
bool border_quick_way(TransCpu *tc, uint32_t env);
/* C has changed the CpuState, rip, mode and all; its registers are up to date.  Can translated code go on there,
 * for which the host's are ready then? */
bool border_state_is_translated(TransCpu *tc);
/* ... True: to the block there. */
bool border_go_anywhere(TransCpu *tc);
/* ... where only RSP, rip, RFLAGS and segments have changed, between state_return_borrowed() and this. */
bool border_go_across(TransCpu *tc);
/* Do f(cpu, in), an interpreter's function, with the CpuState at `in`: it may raise, and then the guest's exception is delivered (false). */
bool border_perform(TransCpu *tc, X86Exec f, const X86Insn *in);
/* The CpuState is at the instruction of s, which is about to be done by C. */
void border_begin_insn(TransCpu *tc, const Site *s);
/* Deliver the page fault that trans_fill() found, when it is what the instruction raises first. */
bool border_deliver_fault(TransCpu *tc, Block *b, const Site *s);
/* HELPER_INDIRECT */
bool border_find_target(TransCpu *tc, Block *b, const Site *s);

/* -- border-memory.c ------------------------------------------------------------------------------ */

/* HELPER_LOOKUP, HELPER_STRING */
bool border_look_up(TransCpu *tc, Block *b, const Site *s);
bool border_string(TransCpu *tc, Block *b, const Site *s);

/* -- border-insn.c -------------------------------------------------------------------------------- */

/* Do what s left for by its helper.  False, without tc->attention: the interpreter is to do it. */
bool border_help(TransCpu *tc, Block *b, const Site *s);
/* Interpret the instruction that could not go on; true: vcb.resume is behind it. */
bool border_interpret(TransCpu *tc, Block *b, const Site *s);

#endif /* TRANSLATOR_BORDER_INTERNAL_H */
