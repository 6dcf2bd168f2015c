/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of the front end (front.h): how one instruction is classified.  front.c makes the plan. */
#ifndef TRANSLATOR_FRONT_INTERNAL_H
#define TRANSLATOR_FRONT_INTERNAL_H

#include "translator/front.h"

/* Number of the general register that holds `r`, or -1. */
static inline int gpr_of(ZydisRegister r)
{
    ZydisRegister wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);

    return wide >= ZYDIS_REGISTER_RAX && wide <= ZYDIS_REGISTER_R15 ? (int)(wide - ZYDIS_REGISTER_RAX)
                                                                    : -1;
}

/* A memory operand that the address path can compute: flat addressing of the code's width, not
 * gathered.  Without ModRM (mov to and from eax) only in 32-bit code, where it is common. */
static inline bool mem_is_plain(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *m)
{
    bool code32 = zi->machine_mode != ZYDIS_MACHINE_MODE_LONG_64;

    return m->mem.type == ZYDIS_MEMOP_TYPE_MEM && zi->address_width == (code32 ? 32 : 64) &&
           !(code32 && m->mem.segment == ZYDIS_REGISTER_CS) &&
           m->size >= 8 && m->size <= 512 && (code32 || zi->raw.modrm.offset != 0);
}

/* -- front-class.c -------------------------------------------------------------------------------- */

/* How an instruction, whose bytes are there, is translated in environment env.  May set what is the class's: helper, exec, vec. */
PlanClass front_class_of(PlanInsn *in, const uint8_t *bytes, uint32_t env);
PlanClass front_class_of_branch(const PlanInsn *in, bool code32);
/* Integer instructions that mean the same on the host when their operands are general registers,
 * immediates and one memory operand. */
bool front_is_plain(ZydisMnemonic m);
/* An x87, MMX or vector instruction that the host can do on the guest's state in place. */
bool front_is_vector(const PlanInsn *in);

/* -- front-system.c ------------------------------------------------------------------------------- */

/* Those with a sequence or a helper of their own; PLAN_INTERP: none of them. */
PlanClass front_class_of_system(PlanInsn *in, uint32_t env);
/* System instructions that are done by their function of the interpreter (PLAN_HELPER), or first tried
 * by a sequence (PLAN_SYSTEM); PLAN_INTERP: none of them. */
PlanClass front_class_of_exec(PlanInsn *in, uint32_t env);
/* MOV from a segment register. */
bool front_reads_segment(const PlanInsn *in);

#endif /* TRANSLATOR_FRONT_INTERNAL_H */
