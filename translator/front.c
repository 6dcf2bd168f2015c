/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/front.h"

#include "cpu-x86/state.h"
#include "cpu-x86/vector.h"
#include "translator/block.h"
#include "translator/vcb-offsets.h"

/* -- Registers -------------------------------------------------------------------------------- */

/* Number of the general register that holds `r`, or -1. */
static int gpr_of(ZydisRegister r)
{
    ZydisRegister wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);

    return wide >= ZYDIS_REGISTER_RAX && wide <= ZYDIS_REGISTER_R15 ? (int)(wide - ZYDIS_REGISTER_RAX)
                                                                    : -1;
}

static uint16_t gpr_bit(ZydisRegister r)
{
    int n = gpr_of(r);

    return n >= 0 ? (uint16_t)(1u << n) : 0;
}

/* -- Flags ------------------------------------------------------------------------------------ */

typedef struct {
    uint16_t read, kill, maybe;
} Flags;

/* Shifts by a constant write flags unless it is 0. */
static bool shifts_surely(const ZydisDecodedInstruction *zi)
{
    bool by_one = zi->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (zi->opcode & 0xfe) == 0xd0;

    return by_one || (zi->raw.imm[0].size != 0 && (zi->raw.imm[0].value.u & 31) != 0);
}

static Flags flags_of(const ZydisDecodedInstruction *zi)
{
    const ZydisAccessedFlags *f = zi->cpu_flags;
    Flags r = {0, 0, 0};

    if (f == NULL) {
        return r;
    }
    r.read = f->tested & FLAGS_ARITH;
    r.maybe = (f->modified | f->set_0 | f->set_1 | f->undefined) & FLAGS_ARITH;
    r.kill = r.maybe;
    switch (zi->mnemonic) {
    case ZYDIS_MNEMONIC_PUSHFQ: case ZYDIS_MNEMONIC_PUSHFD:
        r.read = FLAGS_ARITH;
        break;
    case ZYDIS_MNEMONIC_POPFQ: case ZYDIS_MNEMONIC_POPFD:
        r.read = 0;
        r.kill = r.maybe = FLAGS_ARITH;
        break;
    case ZYDIS_MNEMONIC_SHL: case ZYDIS_MNEMONIC_SHR: case ZYDIS_MNEMONIC_SAR:
        r.kill = shifts_surely(zi) ? r.maybe : 0;
        break;
    case ZYDIS_MNEMONIC_ROL: case ZYDIS_MNEMONIC_ROR: case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR: case ZYDIS_MNEMONIC_SHLD: case ZYDIS_MNEMONIC_SHRD:
        r.kill = 0; /* a count of 0 leaves the flags alone */
        break;
    /* Hosts leave some undefined flags as they were (AND and friends, which are everywhere, none). */
    case ZYDIS_MNEMONIC_MUL: case ZYDIS_MNEMONIC_IMUL: case ZYDIS_MNEMONIC_DIV:
    case ZYDIS_MNEMONIC_IDIV: case ZYDIS_MNEMONIC_BSF: case ZYDIS_MNEMONIC_BSR:
    case ZYDIS_MNEMONIC_LZCNT: case ZYDIS_MNEMONIC_TZCNT: case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS: case ZYDIS_MNEMONIC_BTR: case ZYDIS_MNEMONIC_BTC:
        r.kill &= (uint16_t)~f->undefined;
        break;
    default:
        break;
    }
    return r;
}

static void find_flags(PlanInsn *in)
{
    Flags f = flags_of(&in->zi);

    in->flags_read = f.read;
    in->flags_maybe = f.maybe;
    in->flags_kill = f.kill;
}

/* -- Classes ---------------------------------------------------------------------------------- */

static PlanClass class_of_branch(const PlanInsn *in, bool code32)
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
static bool is_plain(ZydisMnemonic m)
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

/* A memory operand that the address path can compute: flat addressing of the code's width, not
 * gathered.  Without ModRM (mov to and from eax) only in 32-bit code, where it is common. */
static bool mem_is_plain(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *m)
{
    bool code32 = zi->machine_mode != ZYDIS_MACHINE_MODE_LONG_64;

    return m->mem.type == ZYDIS_MEMOP_TYPE_MEM && zi->address_width == (code32 ? 32 : 64) &&
           !(code32 && m->mem.segment == ZYDIS_REGISTER_CS) &&
           m->size >= 8 && m->size <= 512 && (code32 || zi->raw.modrm.offset != 0);
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

static bool is_vector_insn(const PlanInsn *in)
{
    return !is_plain(in->zi.mnemonic) && vector_handles(&in->zi);
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
static PlanClass class_of_system(PlanInsn *in, uint32_t env)
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
static bool reads_segment(const PlanInsn *in)
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
static PlanClass class_of_exec(PlanInsn *in, uint32_t env)
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
        in->helper = (env & ENV_NO_QUICK) == 0 ? HELPER_INT : HELPER_SYSTEM;
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

/* Instructions whose function in the interpreter changes nothing but registers, flags and memory, and
 * calls nothing that could use the host's vector registers. */
static bool is_self_contained(const PlanInsn *in)
{
    switch (in->zi.mnemonic) {
    case ZYDIS_MNEMONIC_BT: case ZYDIS_MNEMONIC_BTC: case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTS: case ZYDIS_MNEMONIC_CMPXCHG8B: case ZYDIS_MNEMONIC_CMPXCHG16B:
    case ZYDIS_MNEMONIC_VERR: case ZYDIS_MNEMONIC_VERW: case ZYDIS_MNEMONIC_LAR:
    case ZYDIS_MNEMONIC_LSL: case ZYDIS_MNEMONIC_RDTSCP: case ZYDIS_MNEMONIC_RDPKRU:
    case ZYDIS_MNEMONIC_RDPID: case ZYDIS_MNEMONIC_XGETBV: case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_POP: case ZYDIS_MNEMONIC_XLAT: case ZYDIS_MNEMONIC_LODSB:
    case ZYDIS_MNEMONIC_LODSW: case ZYDIS_MNEMONIC_LODSD: case ZYDIS_MNEMONIC_LODSQ:
    case ZYDIS_MNEMONIC_SCASB: case ZYDIS_MNEMONIC_SCASW: case ZYDIS_MNEMONIC_SCASD:
    case ZYDIS_MNEMONIC_SCASQ: case ZYDIS_MNEMONIC_CMPSB: case ZYDIS_MNEMONIC_CMPSW:
    case ZYDIS_MNEMONIC_CMPSQ:
        return true;
    case ZYDIS_MNEMONIC_CMPSD:
        return in->zi.meta.category == ZYDIS_CATEGORY_STRINGOP;
    default:
        return is_plain(in->zi.mnemonic) && in->mem != 0xff; /* odd addressing */
    }
}

/* Segment registers in 32-bit code: pushed, or loaded but for SS, which casts a shadow. */
static bool is_segment_insn(const PlanInsn *in)
{
    ZydisRegister r = in->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER ? in->op[0].reg.value
                                                                    : ZYDIS_REGISTER_NONE;

    return ZydisRegisterGetClass(r) == ZYDIS_REGCLASS_SEGMENT &&
           (in->zi.mnemonic == ZYDIS_MNEMONIC_PUSH ||
            (r != ZYDIS_REGISTER_SS && r != ZYDIS_REGISTER_CS &&
             (in->zi.mnemonic == ZYDIS_MNEMONIC_POP || in->zi.mnemonic == ZYDIS_MNEMONIC_MOV)));
}

/* A segment register is popped, or pushed: not self-contained. */
static bool names_segment(const PlanInsn *in)
{
    return in->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
           ZydisRegisterGetClass(in->op[0].reg.value) == ZYDIS_REGCLASS_SEGMENT;
}

static PlanClass class_of(PlanInsn *in, const uint8_t *bytes, uint32_t env)
{
    const ZydisDecodedInstruction *zi = &in->zi;
    bool code32 = (env & ENV_CODE32) != 0;

    if (zi->mnemonic == ZYDIS_MNEMONIC_IRETQ || zi->mnemonic == ZYDIS_MNEMONIC_IRETD) {
        return class_of_system(in, env) == PLAN_HELPER_END ? PLAN_HELPER_END : PLAN_INTERP_END;
    }
    if (zi->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || zi->meta.category == ZYDIS_CATEGORY_RET) {
        PlanClass c = class_of_branch(in, code32);
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
    if (is_vector_insn(in)) {
        return class_of_vector(in, env);
    }
    if (!is_plain(zi->mnemonic)) {
        PlanClass c = class_of_system(in, env);
        c = c == PLAN_INTERP ? class_of_exec(in, env) : c;
        return c == PLAN_INTERP ? interp_class(in) : c;
    }
    if (zi->mnemonic == ZYDIS_MNEMONIC_MOV) {
        PlanClass c = class_of_exec(in, env);
        if (c != PLAN_INTERP) {
            return c;
        }
    }
    if ((env & ENV_PLAIN) == 0 && reads_segment(in)) {
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

/* -- One instruction -------------------------------------------------------------------------- */

static void find_operands(PlanInsn *in)
{
    in->mem = 0xff;
    for (unsigned i = 0; i < in->zi.operand_count; i++) {
        const ZydisDecodedOperand *o = &in->op[i];
        if (o->type == ZYDIS_OPERAND_TYPE_REGISTER) {
            in->regs |= gpr_bit(o->reg.value);
            in->high_byte |= o->reg.value >= ZYDIS_REGISTER_AH && o->reg.value <= ZYDIS_REGISTER_BH;
        } else if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
            in->regs |= gpr_bit(o->mem.base) | gpr_bit(o->mem.index);
            if (o->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN && in->mem == 0xff) {
                in->mem = (uint8_t)i;
                in->mem_size = (uint8_t)(o->size / 8);
                in->mem_write = (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
            }
        }
    }
}

static uint64_t target_of(const PlanInsn *in, uint64_t lin, bool code32)
{
    uint64_t next = lin + in->off + in->len, v;

    if (in->plan == PLAN_LEA_RIP) {
        v = (code32 ? 0 : next) + (uint64_t)in->op[1].mem.disp.value;
        return in->op[0].size == 64 ? v : in->op[0].size == 32 ? (uint32_t)v : (uint16_t)v;
    }
    v = next + (uint64_t)in->zi.raw.imm[0].value.s;
    return code32 ? (uint32_t)v : v;
}

static void make_interp(PlanInsn *in, PlanClass c)
{
    in->plan = (uint8_t)c;
    in->flags_read = in->flags_maybe = FLAGS_ARITH; /* it sees and makes the whole of RFLAGS */
    in->flags_kill = 0;
}

static void classify(const Plan *p, PlanInsn *in, uint32_t env)
{
    find_operands(in);
    find_flags(in);
    in->plan = (uint8_t)class_of(in, p->bytes + in->off, env);
    if (in->plan == PLAN_LEA_RIP && in->op[0].size == 16) {
        in->plan = PLAN_INTERP;
    }
    switch (in->plan) {
    case PLAN_LEA_RIP: case PLAN_JMP: case PLAN_CALL:
        in->target = target_of(in, p->lin, p->code32);
        break;
    case PLAN_JCC:
        in->target = target_of(in, p->lin, p->code32);
        in->cc = in->zi.opcode & 15;
        break;
    default:
        break;
    }
    if ((in->plan == PLAN_INTERP || in->plan == PLAN_INTERP_END) && (env & ENV_PLAIN) == 0 &&
        ((is_self_contained(in) && !names_segment(in) && !is_vector_insn(in)) ||
         (p->code32 && is_segment_insn(in)))) {
        in->helper = HELPER_EXEC;
        in->exec = true;
        in->plan = PLAN_HELPER;
    }
    if (in->plan == PLAN_INTERP || in->plan == PLAN_INTERP_END || in->plan == PLAN_HELPER_END || in->exec) {
        make_interp(in, in->plan);
    }
}

/* A constant that goes to a register, or with a register into arithmetic. */
static void find_immediate(PlanInsn *in)
{
    const ZydisDecodedInstruction *zi = &in->zi;
    bool alone = zi->raw.modrm.offset == 0, moves = (zi->opcode & 0xf8) == 0xb8 || zi->opcode == 0xc7;
    bool counts = zi->opcode == 0x81 || zi->opcode == 0x83 || ((zi->opcode & 0xc7) == 0x05 && alone);

    if (in->plan == PLAN_COPY && zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
        zi->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && zi->operand_width >= 32 && (moves || counts)) {
        in->imm_off = zi->raw.imm[0].offset;
        in->imm_len = zi->raw.imm[0].size / 8;
    }
}

void front_call(PlanInsn *in)
{
    if (in->plan == PLAN_MEM && in->vec == 0) {
        in->helper = HELPER_DEVICE;
        in->exec = true;
        make_interp(in, PLAN_HELPER);
    }
}

void front_divide(PlanInsn *in)
{
    bool divides = in->zi.mnemonic == ZYDIS_MNEMONIC_DIV || in->zi.mnemonic == ZYDIS_MNEMONIC_IDIV;

    if (divides && (in->plan == PLAN_COPY || in->plan == PLAN_MEM)) {
        in->helper = HELPER_DIVIDE;
        in->exec = true;
        make_interp(in, PLAN_HELPER);
    }
}

static bool ends_block(const PlanInsn *in)
{
    return in->plan >= PLAN_INTERP_END;
}

/* -- The block -------------------------------------------------------------------------------- */

static void find_live_flags(Plan *p, uint16_t live)
{
    p->flags_out = live;
    for (unsigned i = p->n; i-- > 0;) {
        PlanInsn *in = &p->insn[i];
        live = (uint16_t)((live & ~in->flags_kill) | in->flags_read);
        in->flags_live = live;
    }
}

/* -- Beyond the block's end ---------------------------------------------------------------------- */

enum { LOOK_AHEAD_INSNS = 12 };

typedef struct {
    const ZydisDecoder *decoder;
    const uint8_t *page;       /* bytes of the page the block is on */
    Plan *plan;                /* whose source they become          */
    uint64_t lin;              /* of the page                       */
    bool code32;
    unsigned left;             /* instructions that may be decoded  */
} LookAhead;

/* An instruction that does no more with flags than Zydis says, and goes on behind it or raises. */
static bool is_understood(const ZydisDecodedInstruction *zi)
{
    switch (zi->mnemonic) {
    case ZYDIS_MNEMONIC_PUSH: case ZYDIS_MNEMONIC_POP: case ZYDIS_MNEMONIC_LEAVE:
    case ZYDIS_MNEMONIC_NOP: case ZYDIS_MNEMONIC_ENDBR64: case ZYDIS_MNEMONIC_ENDBR32:
    case ZYDIS_MNEMONIC_PAUSE:
        return true;
    case ZYDIS_MNEMONIC_MOV:
        return zi->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT; /* else a control or debug register */
    default:
        return is_plain(zi->mnemonic) || vector_handles(zi);
    }
}

/* The flags live at `lin`; all of them where a few instructions on the same page do not tell. */
static uint16_t live_at(LookAhead *a, uint64_t lin)
{
    uint16_t open = FLAGS_ARITH, read = 0; /* open: neither read nor overwritten so far */

    while (open != 0 && a->left > 0 && ((lin ^ a->lin) & GUEST_PAGE_MASK) == 0) {
        unsigned at = (unsigned)(lin & GUEST_PAGE_OFFSET_MASK);
        ZydisDecodedInstruction zi;
        Flags f;

        a->left--;
        a->plan->source_from = MIN(a->plan->source_from, at);
        a->plan->source_to = MAX(a->plan->source_to, MIN(at + 15, GUEST_PAGE_SIZE));
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(a->decoder, NULL, a->page + at,
                                                        GUEST_PAGE_SIZE - at, &zi))) {
            break;
        }
        f = flags_of(&zi);
        lin += zi.length;
        if (zi.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE) {
            const PlanInsn in = {.zi = zi, .mem = 0xff};
            PlanClass c = class_of_branch(&in, a->code32);
            uint64_t target = lin + (uint64_t)zi.raw.imm[0].value.s;

            target = a->code32 ? (uint32_t)target : target;
            if (c == PLAN_JCC) {
                read |= open & f.read;
                open &= (uint16_t)~f.read;
                read |= open & live_at(a, target);
            } else if (c != PLAN_JMP && c != PLAN_CALL) {
                break;
            } else {
                lin = target;
            }
            continue;
        }
        if (!is_understood(&zi)) {
            break;
        }
        read |= open & f.read;
        open &= (uint16_t)~(f.read | f.kill);
    }
    return read | open;
}

/* Does the block keep flags for whoever comes after it, over instructions that would want to write them? */
static bool carries_flags(const Plan *p)
{
    uint16_t live = FLAGS_ARITH;

    for (unsigned i = p->n; i-- > 0 && live != 0;) {
        const PlanInsn *in = &p->insn[i];
        live &= (uint16_t)~(in->flags_kill | in->flags_read);
        if (live != 0 && in->plan != PLAN_COPY && in->plan != PLAN_NOTHING && in->plan != PLAN_LEA_RIP &&
            in->plan != PLAN_JMP && in->plan != PLAN_JCC) {
            return true;
        }
    }
    return false;
}

/* The flags live behind the block, where that is on its page and so changes only when the block dies. */
static uint16_t live_behind(Plan *p, const ZydisDecoder *decoder, const uint8_t *page)
{
    const PlanInsn *last = &p->insn[p->n - 1];
    LookAhead a = {decoder, page, p, p->lin, p->code32, LOOK_AHEAD_INSNS};
    uint64_t next = p->code32 ? (uint32_t)(p->lin + p->len) : p->lin + p->len;

    switch (last->plan) {
    case PLAN_JMP: case PLAN_CALL: return live_at(&a, last->target);
    case PLAN_JCC: return live_at(&a, next) | live_at(&a, last->target);
    default: return last->plan < PLAN_INTERP_END ? live_at(&a, next) : FLAGS_ARITH;
    }
}

/* The instruction goes on on the next page, so a block must not know what it is. */
static void plan_crossing(PlanInsn *in, unsigned avail)
{
    *in = (PlanInsn){.len = (uint8_t)avail, .mem = 0xff, .helper = HELPER_CROSSING};
    make_interp(in, PLAN_HELPER_END);
}

bool front_plan(Plan *p, uint64_t lin, const uint8_t *bytes, unsigned avail, unsigned max, uint32_t env,
                bool (*isa_allowed)(const void *arg, unsigned isa_set), const void *arg)
{
    ZydisDecoder decoder;
    uint16_t regs = 1u << GPR_RSP;

    avail = MIN(avail, sizeof p->bytes);
    memcpy(p->bytes, bytes, avail);
    p->code32 = (env & ENV_CODE32) != 0;
    if (p->code32) {
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    } else {
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    }
    p->lin = lin;
    p->env = env;
    p->shared = front_shares(p->config, lin, env);
    p->n = p->len = 0;
    p->regs = regs;
    p->vec = 0;
    while (p->n < max && p->len < sizeof p->bytes - 15) {
        PlanInsn *in = &p->insn[p->n];
        memset(in, 0, offsetof(PlanInsn, zi)); /* Zydis writes the rest */
        in->off = (uint8_t)p->len;
        ZyanStatus status = ZydisDecoderDecodeFull(&decoder, p->bytes + p->len, avail - p->len, &in->zi, in->op);
        if (status == ZYDIS_STATUS_NO_MORE_DATA && p->n == 0 && avail > 0 &&
            (env & ENV_PLAIN) == 0) {
            plan_crossing(in, avail);
        } else if (ZYAN_SUCCESS(status)) {
            in->len = in->zi.length;
            classify(p, in, env);
            find_immediate(in);
        } else {
            break; /* undecodable, or crossing: a block of its own */
        }
        if (in->plan < PLAN_INTERP && !isa_allowed(arg, in->zi.meta.isa_set)) {
            make_interp(in, PLAN_INTERP_END);
        }
        if (16 - __builtin_popcount(regs | in->regs) < FRONT_SCRATCH_WANTED && p->n > 0) {
            break;
        }
        regs |= in->regs;
        p->vec |= in->plan < PLAN_INTERP ? in->vec : 0;
        p->len += in->len;
        p->n++;
        if (ends_block(in)) {
            break;
        }
    }
    if (p->n > 0 && p->insn[p->n - 1].plan == PLAN_SYSTEM &&
        p->insn[p->n - 1].zi.mnemonic == ZYDIS_MNEMONIC_STI) {
        make_interp(&p->insn[p->n - 1], PLAN_INTERP_END); /* its shadow must fall on our own code */
    }
    p->regs = regs;
    p->host = bytes;
    p->source_from = (unsigned)(lin & GUEST_PAGE_OFFSET_MASK);
    p->source_to = p->source_from + p->len;
    find_live_flags(p, FLAGS_ARITH);
    if (p->config->look_ahead && p->n > 0 && carries_flags(p)) {
        find_live_flags(p, live_behind(p, &decoder, bytes - (lin & GUEST_PAGE_OFFSET_MASK)));
    }
    return p->n > 0;
}

const char *front_class_name(unsigned plan_class)
{
    static const char *const names[] = {
        [PLAN_COPY] = "copy", [PLAN_NOTHING] = "nothing", [PLAN_MEM] = "mem",
        [PLAN_LEA_RIP] = "lea-rip", [PLAN_PUSH] = "push", [PLAN_PUSH_MEM] = "push-mem",
        [PLAN_POP] = "pop", [PLAN_LEAVE] = "leave", [PLAN_INTERP] = "interp", [PLAN_INTERP_END] = "interp-end",
        [PLAN_JMP] = "jmp", [PLAN_JCC] = "jcc", [PLAN_CALL] = "call", [PLAN_JMP_IND] = "jmp-ind",
        [PLAN_CALL_IND] = "call-ind", [PLAN_RET] = "ret",
    };

    return plan_class < sizeof names / sizeof *names && names[plan_class] != NULL ? names[plan_class]
                                                                                  : "?";
}
