/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Classes of instructions, but for system instructions. */
#include "translator/front-internal.h"

#include "cpu-x86/state.h"
#include "cpu-x86/vector.h"
#include "translator/block.h"
#include "translator/vcb-offsets.h"

/* -- Classes ---------------------------------------------------------------------------------- */

PlanClass front_class_of_branch(const PlanInsn *in, bool code32)
{
    unsigned width = code32 ? 32 : 64;
    bool relative = in->zi.raw.imm[0].is_relative; /* not the attribute: RIP-relative memory too */

    if (in->zi.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
        return PLAN_INTERP_END; /* Zydis knows branches of Xeon Phi */
    }
    if (in->zi.operand_width != width && in->zi.mnemonic != ZYDIS_MNEMONIC_RET && (code32 || !relative)) {
        return PLAN_INTERP_END;
    }
    if ((in->zi.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) != 0) {
        return PLAN_INTERP_END; /* even how long it is depends on the vendor */
    }
    switch (in->zi.mnemonic) {
    case ZYDIS_MNEMONIC_JMP:
        return in->zi.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ? PLAN_INTERP_END
               : relative ? PLAN_JMP : PLAN_JMP_IND;
    case ZYDIS_MNEMONIC_CALL:
        return in->zi.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ? PLAN_INTERP_END
               : relative ? PLAN_CALL : PLAN_CALL_IND;
    case ZYDIS_MNEMONIC_RET:
        return in->zi.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || in->zi.operand_width != width
               ? PLAN_INTERP_END : PLAN_RET;
    default:
        break;
    }
    if (in->zi.meta.category == ZYDIS_CATEGORY_COND_BR && in->zi.opcode_map == ZYDIS_OPCODE_MAP_0F) {
        return PLAN_JCC;
    }
    if (in->zi.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (in->zi.opcode & 0xf0) == 0x70) {
        return PLAN_JCC;
    }
    return PLAN_INTERP_END; /* loop, jrcxz */
}

/* Integer instructions that mean the same on the host when their operands are general registers,
 * immediates and one memory operand.  Everything not listed is interpreted. */
bool front_is_plain(ZydisMnemonic m)
{
    switch (m) {
    case ZYDIS_MNEMONIC_ADC: case ZYDIS_MNEMONIC_ADCX: case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_ADOX: case ZYDIS_MNEMONIC_AND: case ZYDIS_MNEMONIC_ANDN:
    case ZYDIS_MNEMONIC_BEXTR: case ZYDIS_MNEMONIC_BLSI: case ZYDIS_MNEMONIC_BLSMSK:
    case ZYDIS_MNEMONIC_BLSR: case ZYDIS_MNEMONIC_BSF: case ZYDIS_MNEMONIC_BSR:
    case ZYDIS_MNEMONIC_BSWAP: case ZYDIS_MNEMONIC_BT: case ZYDIS_MNEMONIC_BTC:
    case ZYDIS_MNEMONIC_BTR: case ZYDIS_MNEMONIC_BTS: case ZYDIS_MNEMONIC_BZHI:
    case ZYDIS_MNEMONIC_CBW: case ZYDIS_MNEMONIC_CDQ: case ZYDIS_MNEMONIC_CDQE:
    case ZYDIS_MNEMONIC_CLC: case ZYDIS_MNEMONIC_CMC: case ZYDIS_MNEMONIC_CMOVB:
    case ZYDIS_MNEMONIC_CMOVBE: case ZYDIS_MNEMONIC_CMOVL: case ZYDIS_MNEMONIC_CMOVLE:
    case ZYDIS_MNEMONIC_CMOVNB: case ZYDIS_MNEMONIC_CMOVNBE: case ZYDIS_MNEMONIC_CMOVNL:
    case ZYDIS_MNEMONIC_CMOVNLE: case ZYDIS_MNEMONIC_CMOVNO: case ZYDIS_MNEMONIC_CMOVNP:
    case ZYDIS_MNEMONIC_CMOVNS: case ZYDIS_MNEMONIC_CMOVNZ: case ZYDIS_MNEMONIC_CMOVO:
    case ZYDIS_MNEMONIC_CMOVP: case ZYDIS_MNEMONIC_CMOVS: case ZYDIS_MNEMONIC_CMOVZ:
    case ZYDIS_MNEMONIC_CMP: case ZYDIS_MNEMONIC_CMPXCHG: case ZYDIS_MNEMONIC_CMPXCHG8B: case ZYDIS_MNEMONIC_CQO:
    case ZYDIS_MNEMONIC_CRC32: case ZYDIS_MNEMONIC_CWD: case ZYDIS_MNEMONIC_CWDE:
    case ZYDIS_MNEMONIC_DEC: case ZYDIS_MNEMONIC_DIV: case ZYDIS_MNEMONIC_IDIV:
    case ZYDIS_MNEMONIC_IMUL: case ZYDIS_MNEMONIC_INC: case ZYDIS_MNEMONIC_LAHF:
    case ZYDIS_MNEMONIC_LEA: case ZYDIS_MNEMONIC_LZCNT: case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_MOVBE: case ZYDIS_MNEMONIC_MOVSX: case ZYDIS_MNEMONIC_MOVSXD:
    case ZYDIS_MNEMONIC_MOVZX: case ZYDIS_MNEMONIC_MUL: case ZYDIS_MNEMONIC_MULX:
    case ZYDIS_MNEMONIC_NEG: case ZYDIS_MNEMONIC_NOT: case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_PDEP: case ZYDIS_MNEMONIC_PEXT: case ZYDIS_MNEMONIC_POPCNT:
    case ZYDIS_MNEMONIC_RCL: case ZYDIS_MNEMONIC_RCR: case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR: case ZYDIS_MNEMONIC_RORX: case ZYDIS_MNEMONIC_SAHF:
    case ZYDIS_MNEMONIC_SAR: case ZYDIS_MNEMONIC_SARX: case ZYDIS_MNEMONIC_SBB:
    case ZYDIS_MNEMONIC_SETB: case ZYDIS_MNEMONIC_SETBE: case ZYDIS_MNEMONIC_SETL:
    case ZYDIS_MNEMONIC_SETLE: case ZYDIS_MNEMONIC_SETNB: case ZYDIS_MNEMONIC_SETNBE:
    case ZYDIS_MNEMONIC_SETNL: case ZYDIS_MNEMONIC_SETNLE: case ZYDIS_MNEMONIC_SETNO:
    case ZYDIS_MNEMONIC_SETNP: case ZYDIS_MNEMONIC_SETNS: case ZYDIS_MNEMONIC_SETNZ:
    case ZYDIS_MNEMONIC_SETO: case ZYDIS_MNEMONIC_SETP: case ZYDIS_MNEMONIC_SETS:
    case ZYDIS_MNEMONIC_SETZ: case ZYDIS_MNEMONIC_SHL: case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHLX: case ZYDIS_MNEMONIC_SHR: case ZYDIS_MNEMONIC_SHRD:
    case ZYDIS_MNEMONIC_SHRX: case ZYDIS_MNEMONIC_STC: case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_LFENCE: case ZYDIS_MNEMONIC_MFENCE: case ZYDIS_MNEMONIC_SFENCE:
    case ZYDIS_MNEMONIC_TEST: case ZYDIS_MNEMONIC_TZCNT: case ZYDIS_MNEMONIC_XADD:
    case ZYDIS_MNEMONIC_XCHG: case ZYDIS_MNEMONIC_XOR:
        return true;
    default:
        return false;
    }
}

/* Instructions that leave rip, mode and interrupt state alone when interpreted, so that the block
 * goes on behind them.  What is not listed ends the block. */
static bool goes_on_after_interp(const PlanInsn *in)
{
    switch (in->zi.meta.category) {
    case ZYDIS_CATEGORY_STRINGOP:
    case ZYDIS_CATEGORY_X87_ALU:
    case ZYDIS_CATEGORY_FCMOV:
    case ZYDIS_CATEGORY_SSE:
    case ZYDIS_CATEGORY_MMX:
    case ZYDIS_CATEGORY_LOGICAL_FP:
    case ZYDIS_CATEGORY_CONVERT:
    case ZYDIS_CATEGORY_DATAXFER:
    case ZYDIS_CATEGORY_BITBYTE:
    case ZYDIS_CATEGORY_SHIFT:
    case ZYDIS_CATEGORY_SEMAPHORE:
    case ZYDIS_CATEGORY_XSAVE:
    case ZYDIS_CATEGORY_XSAVEOPT:
        return in->zi.mnemonic != ZYDIS_MNEMONIC_MOV;
    default:
        break;
    }
    switch (in->zi.mnemonic) {
    case ZYDIS_MNEMONIC_CLD: case ZYDIS_MNEMONIC_STD: case ZYDIS_MNEMONIC_CLI:
    case ZYDIS_MNEMONIC_PUSHFQ: case ZYDIS_MNEMONIC_RDTSC: case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_CPUID: case ZYDIS_MNEMONIC_RDMSR: case ZYDIS_MNEMONIC_IN:
    case ZYDIS_MNEMONIC_OUT: case ZYDIS_MNEMONIC_STAC: case ZYDIS_MNEMONIC_CLAC:
    case ZYDIS_MNEMONIC_XGETBV: case ZYDIS_MNEMONIC_RDPID:
    case ZYDIS_MNEMONIC_CLFLUSH:
    case ZYDIS_MNEMONIC_SWAPGS: case ZYDIS_MNEMONIC_RDRAND: case ZYDIS_MNEMONIC_RDSEED:
    case ZYDIS_MNEMONIC_RDFSBASE: case ZYDIS_MNEMONIC_RDGSBASE: case ZYDIS_MNEMONIC_WRFSBASE:
    case ZYDIS_MNEMONIC_WRGSBASE: case ZYDIS_MNEMONIC_CMPXCHG16B: case ZYDIS_MNEMONIC_PUSHFD:
    case ZYDIS_MNEMONIC_PUSHAD: case ZYDIS_MNEMONIC_POPAD:
        return true;
    default:
        return false;
    }
}

static bool is_nothing(const PlanInsn *in)
{
    switch (in->zi.mnemonic) {
    case ZYDIS_MNEMONIC_NOP: case ZYDIS_MNEMONIC_ENDBR64: case ZYDIS_MNEMONIC_ENDBR32:
    case ZYDIS_MNEMONIC_PREFETCHT0: case ZYDIS_MNEMONIC_PREFETCHT1:
    case ZYDIS_MNEMONIC_PREFETCHT2: case ZYDIS_MNEMONIC_PREFETCHNTA: case ZYDIS_MNEMONIC_PREFETCHW:
        return true;
    default:
        return false;
    }
}

/* VMI's ROM announces a page-table entry by it (pv/vmi-rom.S); else it is nothing. */
static PlanClass class_of_announcement(PlanInsn *in, uint32_t env)
{
    const ZydisDecodedOperand *m = &in->op[0];
    bool plain = m->mem.type == ZYDIS_MEMOP_TYPE_MEM && in->zi.address_width == 32 &&
                 m->mem.segment != ZYDIS_REGISTER_FS && m->mem.segment != ZYDIS_REGISTER_GS;

    return (env & (ENV_PLAIN | ENV_CPL0 | ENV_CODE32)) == (ENV_CPL0 | ENV_CODE32) && plain ? PLAN_SYSTEM
                                                                                          : PLAN_NOTHING;
}

static PlanClass interp_class(const PlanInsn *in)
{
    return goes_on_after_interp(in) ? PLAN_INTERP : PLAN_INTERP_END;
}
/* -- 32-bit code on a host in 64-bit mode ------------------------------------------------------- */

/*
 * VEX and EVEX: bits that name more registers in 64-bit mode and mean nothing in 32-bit mode must be as
 * compilers leave them, and W must not widen a general register or what is loaded for one.
 */
static bool vex_means_the_same(const PlanInsn *in, const uint8_t *bytes)
{
    const ZydisDecodedInstruction *zi = &in->zi;
    bool evex = zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
    const uint8_t *p = bytes + (evex ? zi->raw.evex.offset : zi->raw.vex.offset);
    bool wide = p[0] != 0xc5 && (p[2] & 0x80) != 0;

    if ((p[0] == 0xc4 && ((p[1] & 0x20) == 0 || (p[2] & 0x40) == 0)) ||
        (evex && ((p[1] & 0x30) != 0x30 || (p[2] & 0x40) == 0 || (p[3] & 0x08) == 0))) {
        return false;
    }
    for (unsigned i = 0; i < zi->operand_count; i++) {
        if (in->op[i].encoding == ZYDIS_OPERAND_ENCODING_IS4 && (bytes[in->len - 1] & 0x80) != 0) {
            return false;
        }
        if (wide && (in->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY
                         ? in->op[i].size <= 64
                         : in->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER && gpr_of(in->op[i].reg.value) >= 0)) {
            return false;
        }
    }
    return true;
}

/* Does the host execute these bytes, but for the memory operand, as 32-bit code does?  (inc and dec of
 * one byte, mov without ModRM: no, but compile.c makes them anew.) */
static bool means_the_same(const PlanInsn *in, const uint8_t *bytes)
{
    switch (in->zi.encoding) {
    case ZYDIS_INSTRUCTION_ENCODING_LEGACY:
        return !(in->zi.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && in->zi.opcode == 0x82);
    case ZYDIS_INSTRUCTION_ENCODING_VEX:
    case ZYDIS_INSTRUCTION_ENCODING_EVEX:
        return in->zi.mnemonic != ZYDIS_MNEMONIC_VZEROUPPER && in->zi.mnemonic != ZYDIS_MNEMONIC_VZEROALL &&
               vex_means_the_same(in, bytes);
    default:
        return false;
    }
}

/* -- Vector and x87 instructions --------------------------------------------------------------- */

bool front_is_vector(const PlanInsn *in)
{
    return !front_is_plain(in->zi.mnemonic) && vector_handles(&in->zi);
}

/* What the instruction needs of the environment; 0: leave it to the interpreter. */
static unsigned vector_needs(const PlanInsn *in)
{
    bool x87 = in->zi.meta.isa_ext == ZYDIS_ISA_EXT_X87, mmx = in->zi.meta.isa_ext == ZYDIS_ISA_EXT_MMX;
    bool xmm = false, mask = false, evex = in->zi.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;

    for (unsigned i = 0; i < in->zi.operand_count; i++) {
        ZydisRegisterClass c = in->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER
                                   ? ZydisRegisterGetClass(in->op[i].reg.value)
                                   : ZYDIS_REGCLASS_INVALID;
        x87 |= c == ZYDIS_REGCLASS_X87;
        mmx |= c == ZYDIS_REGCLASS_MMX;
        mask |= c == ZYDIS_REGCLASS_MASK;
        xmm |= c == ZYDIS_REGCLASS_XMM || c == ZYDIS_REGCLASS_YMM || c == ZYDIS_REGCLASS_ZMM;
    }
    /* cvtpi2ps and the like have SIMD exceptions without naming an xmm register */
    return (x87 || mmx ? ENV_X87 : 0) |
           (evex || mask ? ENV_AVX512
            : in->zi.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ? ENV_AVX
            : xmm || (!x87 && in->zi.meta.isa_ext != ZYDIS_ISA_EXT_MMX) ? ENV_SSE : 0);
}

/* Instructions with more to them than the host can do on guest state in place. */
static bool vector_is_special(const PlanInsn *in)
{
    switch (in->zi.mnemonic) {
    case ZYDIS_MNEMONIC_MASKMOVQ: case ZYDIS_MNEMONIC_MASKMOVDQU: case ZYDIS_MNEMONIC_VMASKMOVDQU:
    /* these show addresses of the last x87 instruction, or are about the state's layout */
    case ZYDIS_MNEMONIC_FNSTENV: case ZYDIS_MNEMONIC_FLDENV: case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FRSTOR:
        return true;
    default:
        return in->mem != 0xff && !mem_is_plain(&in->zi, &in->op[in->mem]);
    }
}

static PlanClass class_of_vector(PlanInsn *in, uint32_t env)
{
    unsigned needs = vector_needs(in);

    if (vector_is_special(in) || (needs & ~env) != 0) {
        return (needs & ~env) != 0 ? PLAN_INTERP_END : PLAN_INTERP;
    }
    in->vec = (uint8_t)(((needs & ENV_X87) != 0 ? VEC_HALF_X87 : 0) |
                        ((needs & ~(unsigned)ENV_X87) != 0 ? VEC_HALF_SSE : 0));
    return in->mem == 0xff ? PLAN_COPY : PLAN_MEM;
}

static PlanClass class_of_push_pop(const PlanInsn *in, bool code32)
{
    const ZydisDecodedOperand *o = &in->op[0];
    bool push = in->zi.mnemonic == ZYDIS_MNEMONIC_PUSH;

    if (in->zi.operand_width != (code32 ? 32 : 64)) {
        return PLAN_INTERP;
    }
    switch (o->type) {
    case ZYDIS_OPERAND_TYPE_MEMORY: return push && mem_is_plain(&in->zi, o) ? PLAN_PUSH_MEM : PLAN_INTERP;
    case ZYDIS_OPERAND_TYPE_REGISTER:
        return gpr_of(o->reg.value) < 0 ? PLAN_INTERP /* segment */ : push ? PLAN_PUSH : PLAN_POP;
    default: return PLAN_PUSH;
    }
}

static PlanClass class_of_lea(const PlanInsn *in, bool code32)
{
    const ZydisDecodedOperand *o = &in->op[1];

    if (in->zi.address_width != (code32 ? 32 : 64)) {
        return in->zi.address_width == 32 && o->mem.base != ZYDIS_REGISTER_EIP &&
                       o->mem.base != ZYDIS_REGISTER_RIP ? PLAN_COPY : PLAN_INTERP;
    }
    return o->mem.base == ZYDIS_REGISTER_RIP ||
                   (code32 && o->mem.base == ZYDIS_REGISTER_NONE && o->mem.index == ZYDIS_REGISTER_NONE)
               ? PLAN_LEA_RIP : PLAN_COPY;
}

/* -- All ---------------------------------------------------------------------------------------- */

PlanClass front_class_of(PlanInsn *in, const uint8_t *bytes, uint32_t env)
{
    const ZydisDecodedInstruction *zi = &in->zi;
    bool code32 = (env & ENV_CODE32) != 0;

    if (zi->mnemonic == ZYDIS_MNEMONIC_IRETQ || zi->mnemonic == ZYDIS_MNEMONIC_IRETD) {
        return front_class_of_system(in, env) == PLAN_HELPER_END ? PLAN_HELPER_END : PLAN_INTERP_END;
    }
    if (zi->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || zi->meta.category == ZYDIS_CATEGORY_RET) {
        PlanClass c = front_class_of_branch(in, code32);
        if ((c == PLAN_JMP_IND || c == PLAN_CALL_IND) && in->mem != 0xff &&
            !mem_is_plain(zi, &in->op[in->mem])) {
            return PLAN_INTERP_END;
        }
        return c;
    }
    if (is_nothing(in)) {
        return PLAN_NOTHING;
    }
    switch (zi->mnemonic) {
    case ZYDIS_MNEMONIC_PAUSE:
        return (env & (ENV_PLAIN | ENV_NO_SYSTEM)) != 0 ? PLAN_NOTHING : PLAN_SYSTEM;
    case ZYDIS_MNEMONIC_PREFETCHWT1:
        return class_of_announcement(in, env);
    case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_POP:
        return class_of_push_pop(in, code32);
    case ZYDIS_MNEMONIC_LEAVE:
        return zi->operand_width == (code32 ? 32 : 64) ? PLAN_LEAVE : PLAN_INTERP;
    default:
        break;
    }
    if (code32 && !means_the_same(in, bytes)) {
        return interp_class(in);
    }
    if (front_is_vector(in)) {
        return class_of_vector(in, env);
    }
    if (!front_is_plain(zi->mnemonic)) {
        PlanClass c = front_class_of_system(in, env);
        c = c == PLAN_INTERP ? front_class_of_exec(in, env) : c;
        return c == PLAN_INTERP ? interp_class(in) : c;
    }
    if (zi->mnemonic == ZYDIS_MNEMONIC_MOV) {
        PlanClass c = front_class_of_exec(in, env);
        if (c != PLAN_INTERP) {
            return c;
        }
    }
    if ((env & ENV_PLAIN) == 0 && front_reads_segment(in)) {
        in->helper = HELPER_EXEC;
        in->exec = true;
        return PLAN_HELPER;
    }
    for (unsigned i = 0; i < zi->operand_count; i++) {
        const ZydisDecodedOperand *o = &in->op[i];
        if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && gpr_of(o->reg.value) < 0 &&
            ZydisRegisterGetClass(o->reg.value) != ZYDIS_REGCLASS_FLAGS) {
            return ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_SEGMENT
                       ? PLAN_INTERP
                       : PLAN_INTERP_END; /* control, debug registers */
        }
    }
    if (zi->mnemonic == ZYDIS_MNEMONIC_LEA) {
        return class_of_lea(in, code32);
    }
    if (in->mem == 0xff) {
        return PLAN_COPY;
    }
    if (!mem_is_plain(zi, &in->op[in->mem])) {
        return PLAN_INTERP;
    }
    if ((zi->mnemonic == ZYDIS_MNEMONIC_BT || zi->mnemonic == ZYDIS_MNEMONIC_BTS ||
         zi->mnemonic == ZYDIS_MNEMONIC_BTR || zi->mnemonic == ZYDIS_MNEMONIC_BTC) &&
        in->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER) {
        return PLAN_INTERP; /* the bit offset moves the address */
    }
    return PLAN_MEM;
}
