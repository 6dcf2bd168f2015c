/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Classes of system instructions. */
#include "translator/front-internal.h"

#include "cpu-x86/state.h"
#include "cpu-x86/vector.h"
#include "translator/block.h"
#include "translator/vcb-offsets.h"

/* -- System instructions ------------------------------------------------------------------------ */

static bool is_reg64(const PlanInsn *in)
{
    return in->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER && in->op[0].size == 64;
}

/*
 * Lock-step: the interpreter may execute it and take that back, and then the sequence must make the same.  (MSRs: not all;
 * lockstep.c looks which.)
 */
static bool is_repeatable(const PlanInsn *in)
{
    switch (in->zi.mnemonic) {
    case ZYDIS_MNEMONIC_CLI: case ZYDIS_MNEMONIC_STI: case ZYDIS_MNEMONIC_STAC: case ZYDIS_MNEMONIC_CLAC:
    case ZYDIS_MNEMONIC_PUSHFQ: case ZYDIS_MNEMONIC_PUSHFD: case ZYDIS_MNEMONIC_POPFQ: case ZYDIS_MNEMONIC_POPFD:
    case ZYDIS_MNEMONIC_CLD: case ZYDIS_MNEMONIC_SWAPGS: case ZYDIS_MNEMONIC_RDPID:
    case ZYDIS_MNEMONIC_RDFSBASE: case ZYDIS_MNEMONIC_RDGSBASE: case ZYDIS_MNEMONIC_WRFSBASE:
    case ZYDIS_MNEMONIC_WRGSBASE: case ZYDIS_MNEMONIC_CPUID: case ZYDIS_MNEMONIC_XGETBV:
    case ZYDIS_MNEMONIC_VERW: case ZYDIS_MNEMONIC_RDMSR: case ZYDIS_MNEMONIC_WRMSR:
        return true;
    default:
        return false;
    }
}

/* ... or reads a control register. */
static bool reads_control(const PlanInsn *in)
{
    return in->zi.mnemonic == ZYDIS_MNEMONIC_MOV && in->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
           ZydisRegisterGetClass(in->op[1].reg.value) == ZYDIS_REGCLASS_CONTROL;
}

/* Those with a sequence of their own, or a helper; PLAN_INTERP: none of them here. */
PlanClass front_class_of_system(PlanInsn *in, uint32_t env)
{
    bool cpl0 = (env & ENV_CPL0) != 0, odd = (env & ENV_ODD) != 0, sequence = false;
    bool code32 = (env & ENV_CODE32) != 0, whole = in->zi.operand_width == (code32 ? 32 : 64);

    if ((env & ENV_PLAIN) != 0 && !is_repeatable(in)) {
        return PLAN_INTERP;
    }
    switch (in->zi.mnemonic) {
    case ZYDIS_MNEMONIC_CLI: case ZYDIS_MNEMONIC_STI: case ZYDIS_MNEMONIC_STAC:
    case ZYDIS_MNEMONIC_CLAC:
        sequence = cpl0 && !odd;
        break;
    case ZYDIS_MNEMONIC_POPFQ: case ZYDIS_MNEMONIC_POPFD:
        sequence = cpl0 && !odd && whole;
        break;
    case ZYDIS_MNEMONIC_PUSHFQ: case ZYDIS_MNEMONIC_PUSHFD:
        sequence = whole;
        break;
    case ZYDIS_MNEMONIC_CLD:
        sequence = !odd; /* nothing: DF is clear */
        break;
    case ZYDIS_MNEMONIC_SWAPGS:
        sequence = cpl0;
        break;
    case ZYDIS_MNEMONIC_RDTSC: case ZYDIS_MNEMONIC_RDTSCP:
        sequence = (env & ENV_TSC) != 0;
        break;
    case ZYDIS_MNEMONIC_RDPID:
        sequence = !code32;
        break;
    case ZYDIS_MNEMONIC_RDFSBASE: case ZYDIS_MNEMONIC_RDGSBASE: case ZYDIS_MNEMONIC_WRFSBASE:
    case ZYDIS_MNEMONIC_WRGSBASE:
        sequence = (env & ENV_FSGSBASE) != 0 && is_reg64(in);
        break;
    case ZYDIS_MNEMONIC_SYSCALL:
        in->helper = HELPER_SYSCALL;
        return PLAN_HELPER_END;
    case ZYDIS_MNEMONIC_SYSRET:
        in->helper = HELPER_SYSRET;
        return cpl0 && in->zi.operand_width == 64 ? PLAN_HELPER_END : PLAN_INTERP;
    case ZYDIS_MNEMONIC_SYSENTER:
        in->helper = HELPER_SYSENTER;
        return code32 ? PLAN_HELPER_END : PLAN_INTERP;
    case ZYDIS_MNEMONIC_SYSEXIT:
        in->helper = HELPER_SYSEXIT;
        return code32 ? PLAN_HELPER_END : PLAN_INTERP;
    case ZYDIS_MNEMONIC_IRETQ: case ZYDIS_MNEMONIC_IRETD:
        in->helper = HELPER_IRET;
        return cpl0 && whole ? PLAN_HELPER_END : PLAN_INTERP;
    case ZYDIS_MNEMONIC_MOVSB: case ZYDIS_MNEMONIC_MOVSW: case ZYDIS_MNEMONIC_MOVSD:
    case ZYDIS_MNEMONIC_MOVSQ: case ZYDIS_MNEMONIC_STOSB: case ZYDIS_MNEMONIC_STOSW:
    case ZYDIS_MNEMONIC_STOSD: case ZYDIS_MNEMONIC_STOSQ:
        in->helper = HELPER_STRING;
        return in->zi.meta.category == ZYDIS_CATEGORY_STRINGOP && !odd &&
                       in->zi.address_width == (code32 ? 32 : 64) &&
                       (in->zi.attributes & (ZYDIS_ATTRIB_HAS_SEGMENT_FS | ZYDIS_ATTRIB_HAS_SEGMENT_GS |
                                             ZYDIS_ATTRIB_HAS_SEGMENT_CS)) == 0
                   ? PLAN_HELPER : PLAN_INTERP;
    default:
        break;
    }
    return sequence ? PLAN_SYSTEM : PLAN_INTERP;
}

static ZydisRegisterClass register_class(const PlanInsn *in, unsigned op)
{
    return in->op[op].type == ZYDIS_OPERAND_TYPE_REGISTER ? ZydisRegisterGetClass(in->op[op].reg.value)
                                                          : ZYDIS_REGCLASS_INVALID;
}

/* Reads a segment register into a general one or memory. */
bool front_reads_segment(const PlanInsn *in)
{
    return in->zi.mnemonic == ZYDIS_MNEMONIC_MOV && register_class(in, 1) == ZYDIS_REGCLASS_SEGMENT;
}

/* Operand `op` is CR8, in 64-bit code, or CR3 to be written: HELPER_CR knows those. */
static bool is_quick_cr(const PlanInsn *in, unsigned op, uint32_t env)
{
    if ((env & (ENV_CPL0 | ENV_NO_QUICK)) != ENV_CPL0 || register_class(in, op) != ZYDIS_REGCLASS_CONTROL) {
        return false;
    }
    return (in->op[op].reg.value == ZYDIS_REGISTER_CR8 && (env & ENV_CODE32) == 0) ||
           (op == 0 && in->op[op].reg.value == ZYDIS_REGISTER_CR3);
}

/* A memory operand whose linear address is its offset. */
static bool is_linear(const PlanInsn *in)
{
    const ZydisDecodedOperand *m = &in->op[0];
    bool code32 = in->zi.machine_mode != ZYDIS_MACHINE_MODE_LONG_64;

    return m->mem.type == ZYDIS_MEMOP_TYPE_MEM && in->zi.address_width == (code32 ? 32 : 64) &&
           m->mem.segment != ZYDIS_REGISTER_FS && m->mem.segment != ZYDIS_REGISTER_GS &&
           !(code32 && m->mem.segment == ZYDIS_REGISTER_CS);
}

/*
 * System instructions that are done by their function of the interpreter (PLAN_HELPER), or first tried
 * by a sequence (PLAN_SYSTEM); PLAN_INTERP: none of them.
 */
PlanClass front_class_of_exec(PlanInsn *in, uint32_t env)
{
    bool cpl0 = (env & ENV_CPL0) != 0, code32 = (env & ENV_CODE32) != 0, sequence = false;
    bool quick = cpl0 && (env & ENV_NO_QUICK) == 0;

    if ((env & ENV_NO_SYSTEM) != 0 || ((env & ENV_PLAIN) != 0 && !is_repeatable(in) && !reads_control(in))) {
        return PLAN_INTERP;
    }
    in->helper = HELPER_SYSTEM;
    switch (in->zi.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
        if (is_quick_cr(in, 0, env)) {
            in->helper = HELPER_CR;
            sequence = in->op[0].reg.value == ZYDIS_REGISTER_CR8;
            break;
        }
        if (is_quick_cr(in, 1, env)) {
            in->helper = HELPER_CR;
            sequence = true;
            break;
        }
        if (register_class(in, 0) == ZYDIS_REGCLASS_CONTROL || register_class(in, 0) == ZYDIS_REGCLASS_DEBUG ||
            register_class(in, 1) == ZYDIS_REGCLASS_DEBUG) {
            break;
        }
        if (register_class(in, 1) != ZYDIS_REGCLASS_CONTROL) {
            return PLAN_INTERP;
        }
        sequence = cpl0 && in->op[1].reg.value != ZYDIS_REGISTER_CR8;
        break;
    case ZYDIS_MNEMONIC_RDMSR: case ZYDIS_MNEMONIC_WRMSR:
        in->helper = quick ? HELPER_MSR : HELPER_SYSTEM;
        sequence = cpl0 && (!code32 || quick);
        break;
    case ZYDIS_MNEMONIC_CPUID:
        sequence = (env & ENV_NO_QUICK) == 0;
        in->helper = sequence ? HELPER_CPUID : HELPER_SYSTEM;
        break;
    case ZYDIS_MNEMONIC_IN: case ZYDIS_MNEMONIC_OUT:
        in->helper = quick ? HELPER_PORT : HELPER_SYSTEM;
        sequence = quick && code32 && in->zi.mnemonic == ZYDIS_MNEMONIC_OUT && in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
                   in->op[0].imm.value.u == PV_CALL_PORT;
        break;
    case ZYDIS_MNEMONIC_INVLPG:
        in->helper = quick && is_linear(in) ? HELPER_INVLPG : HELPER_SYSTEM;
        break;
    case ZYDIS_MNEMONIC_XGETBV:
        in->helper = HELPER_EXEC;
        sequence = (env & ENV_AVX) != 0;
        break;
    case ZYDIS_MNEMONIC_VERW:
        in->helper = HELPER_EXEC;
        sequence = cpl0 && !code32 && in->mem != 0xff && mem_is_plain(&in->zi, &in->op[in->mem]);
        break;
    case ZYDIS_MNEMONIC_CLTS:
        sequence = quick;
        break;
    case ZYDIS_MNEMONIC_INT: case ZYDIS_MNEMONIC_INT3:
        in->helper = (env & ENV_NO_QUICK) == 0 && !code32 ? HELPER_INT : HELPER_SYSTEM;
        break;
    case ZYDIS_MNEMONIC_INVPCID:
    case ZYDIS_MNEMONIC_LGDT: case ZYDIS_MNEMONIC_LIDT: case ZYDIS_MNEMONIC_LLDT:
    case ZYDIS_MNEMONIC_LTR: case ZYDIS_MNEMONIC_SGDT: case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_STR: case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_VMCALL: case ZYDIS_MNEMONIC_VMMCALL:
        break;
    default:
        return PLAN_INTERP;
    }
    if ((env & ENV_PLAIN) != 0 && !sequence) {
        return PLAN_INTERP;
    }
    in->exec = true;
    return sequence ? PLAN_SYSTEM : PLAN_HELPER;
}
