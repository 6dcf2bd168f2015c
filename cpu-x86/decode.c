/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu-x86/decode.h"

#include "cpu-x86/cpuid.h"
#include "cpu-x86/exception.h"
#include "cpu-x86/insns.h"
#include "cpu-x86/vector.h"
#include "softmmu/base/log.h"

#include <inttypes.h>
#include <stddef.h>

/* -- Set-up ------------------------------------------------------------------------------------ */

static void decoder_init_one(ZydisDecoder *d, const CpuState *cpu, ZydisMachineMode mode,
                             ZydisStackWidth width)
{
    ZydisDecoderInit(d, mode, width);
    /* Without the feature these encodings are what older processors make of them: hint nops,
     * BSR and BSF. */
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_MPX, false);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CET, false);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CLDEMOTE, false);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_LZCNT,
                           cpu_isa_allowed(cpu, ZYDIS_ISA_SET_LZCNT));
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_TZCNT, cpu_isa_allowed(cpu, ZYDIS_ISA_SET_BMI1));
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_AMD_BRANCHES, cpu_model_is_amd(cpu->model));
}

void insn_decoder_init(InsnDecoder *d, const CpuState *cpu)
{
    for (unsigned w = 0; w < 3; w++) {
        for (unsigned m = 0; m <= ZYDIS_MACHINE_MODE_MAX_VALUE; m++) {
            if ((m == ZYDIS_MACHINE_MODE_LONG_64) == (w == ZYDIS_STACK_WIDTH_64)) {
                decoder_init_one(&d->mode[m][w], cpu, (ZydisMachineMode)m, (ZydisStackWidth)w);
            }
        }
    }
}

static const ZydisDecoder *decoder_for(const InsnDecoder *d, uint32_t mode)
{
    ZydisMachineMode m;

    if ((mode & MODE_CS64) != 0) {
        return &d->mode[ZYDIS_MACHINE_MODE_LONG_64][ZYDIS_STACK_WIDTH_64];
    }
    if ((mode & MODE_LMA) != 0) {
        m = (mode & MODE_CS32) != 0 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
                                    : ZYDIS_MACHINE_MODE_LONG_COMPAT_16;
    } else if ((mode & MODE_CS32) != 0) {
        m = ZYDIS_MACHINE_MODE_LEGACY_32;
    } else {
        m = (mode & MODE_PE) != 0 ? ZYDIS_MACHINE_MODE_LEGACY_16 : ZYDIS_MACHINE_MODE_REAL_16;
    }
    return &d->mode[m][(mode & MODE_SS32) != 0 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16];
}

/* -- Operands ---------------------------------------------------------------------------------- */

static void set_gpr(X86Operand *op, unsigned reg, bool high)
{
    op->kind = high ? OPERAND_GPR_HIGH : OPERAND_GPR;
    op->reg = (uint8_t)reg;
    op->off = (uint8_t)(reg * 8 + high);
}

static void set_register(X86Operand *op, ZydisRegister reg)
{
    unsigned id = (unsigned)ZydisRegisterGetId(reg);

    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_GPR8:
        if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH) {
            set_gpr(op, reg - ZYDIS_REGISTER_AH, true);
        } else if (reg <= ZYDIS_REGISTER_BL) {
            set_gpr(op, reg - ZYDIS_REGISTER_AL, false);
        } else {
            set_gpr(op, reg - ZYDIS_REGISTER_SPL + GPR_RSP, false);
        }
        break;
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64: set_gpr(op, id, false); break;
    case ZYDIS_REGCLASS_SEGMENT:
        op->kind = OPERAND_SEG;
        op->reg = (uint8_t)id;
        break;
    case ZYDIS_REGCLASS_CONTROL:
        op->kind = OPERAND_CR;
        op->reg = (uint8_t)id;
        break;
    case ZYDIS_REGCLASS_DEBUG:
        op->kind = OPERAND_DR;
        op->reg = (uint8_t)id;
        break;
    default:
        op->kind = OPERAND_VEC;
        op->reg = (uint8_t)id;
        break;
    }
}

static uint8_t address_register(ZydisRegister reg)
{
    if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP) {
        return GPR_RIP_BASE;
    }
    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64: return (uint8_t)ZydisRegisterGetId(reg);
    default: return GPR_NONE;
    }
}

static void set_memory(X86Insn *in, const ZydisDecodedOperand *zo)
{
    in->mem.seg = ZydisRegisterGetClass(zo->mem.segment) == ZYDIS_REGCLASS_SEGMENT
                      ? (uint8_t)ZydisRegisterGetId(zo->mem.segment)
                      : SEG_DS;
    in->mem.base = address_register(zo->mem.base);
    in->mem.index = address_register(zo->mem.index);
    in->mem.scale = zo->mem.scale > 1 ? (uint8_t)__builtin_ctz(zo->mem.scale) : 0;
    in->mem.disp = zo->mem.disp.has_displacement ? zo->mem.disp.value : 0;
}

static void set_operand(X86Insn *in, unsigned i, const ZydisDecodedOperand *zo, unsigned *n_imm)
{
    X86Operand *op = &in->op[i];

    op->size = (uint8_t)(zo->size / 8);
    switch (zo->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER: set_register(op, zo->reg.value); break;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        op->kind = OPERAND_MEM;
        set_memory(in, zo);
        break;
    case ZYDIS_OPERAND_TYPE_POINTER:
        op->kind = OPERAND_IMM;
        in->imm = zo->ptr.offset;
        in->imm2 = zo->ptr.segment;
        break;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        op->kind = OPERAND_IMM;
        if ((*n_imm)++ == 0) {
            in->imm = zo->imm.value.u;
        } else {
            in->imm2 = zo->imm.value.u;
        }
        break;
    default: break;
    }
}

/* The invisible memory operand that a prefix may override: DS:SI of strings, DS:BX of XLAT, DS:DI
 * of MASKMOV. */
static void set_hidden_memory(X86Insn *in, const ZydisDecodedInstruction *zi,
                              const ZydisDecodedOperand *ops)
{
    for (unsigned i = zi->operand_count_visible; i < zi->operand_count; i++) {
        if (ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY && in->mem.base != GPR_RSI) {
            uint8_t base = address_register(ops[i].mem.base);

            if (base == GPR_RSI || base == GPR_RDI || base == GPR_RBX) {
                set_memory(in, &ops[i]);
            }
        }
    }
}

static void set_prefixes(X86Insn *in, const ZydisDecodedInstruction *zi)
{
    for (unsigned i = 0; i < zi->raw.prefix_count; i++) {
        switch (zi->raw.prefixes[i].value) {
        case 0xf0: in->prefixes |= PFX_LOCK; break;
        case 0xf2: in->prefixes = (uint8_t)((in->prefixes & ~PFX_REP) | PFX_REPNE); break;
        case 0xf3: in->prefixes = (uint8_t)((in->prefixes & ~PFX_REPNE) | PFX_REP); break;
        case 0x66: in->prefixes |= PFX_OPSIZE; break;
        case 0x67: in->prefixes |= PFX_ADDRSIZE; break;
        default: break;
        }
    }
    if ((zi->attributes & ZYDIS_ATTRIB_HAS_REX) != 0) {
        in->prefixes |= PFX_REX;
    }
}

/* The memory operand's segment has base 0 (or one to add), and nothing else to check. */
static void set_fast_address(X86Insn *in, uint32_t mode)
{
    in->mem.seg_base = offsetof(CpuState, zero);
    if ((mode & MODE_AC) != 0) {
        return;
    }
    if ((mode & MODE_CS64) != 0) {
        if (in->mem.seg >= SEG_FS) {
            in->mem.seg_base = (uint16_t)(offsetof(CpuState, seg) +
                                          in->mem.seg * sizeof(Segment) + offsetof(Segment, base));
        }
        in->flags |= INSN_FAST_EA;
    } else if ((mode & MODE_FLAT) != 0 && in->mem.seg < SEG_FS && in->mem.seg != SEG_CS) {
        in->flags |= INSN_FAST_EA;
    }
}

/* -- Decoding ---------------------------------------------------------------------------------- */

static void set_raising(X86Insn *in, X86Exec exec, const uint8_t *bytes, unsigned avail)
{
    in->exec = exec;
    in->len = (uint8_t)avail;  /* all that was looked at: the cache compares so many after a write */
    in->flags = INSN_ENDS_RUN;
    memcpy(in->bytes, bytes, avail);
}

/* Near branches of 64-bit code are 64 bits wide; 66h makes them 16 on AMD's (APM vol. 3, 1.2.4) and is
 * ignored by Intel's. */
static void set_branch_size(X86Insn *in, const CpuState *cpu, const ZydisDecodedInstruction *zi)
{
    bool narrow = (zi->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) != 0 && zi->raw.rex.W == 0 &&
                  cpu_model_is_amd(cpu->model);

    if ((cpu->mode & MODE_CS64) == 0 || (zi->meta.branch_type != ZYDIS_BRANCH_TYPE_NEAR &&
                                         zi->meta.branch_type != ZYDIS_BRANCH_TYPE_SHORT)) {
        return;
    }
    in->op_size = narrow ? 2 : 8;
    if (in->op[0].kind == OPERAND_MEM) {
        in->op[0].size = in->op_size;
    }
}

static void set_shape(X86Insn *in, uint32_t mode, const ZydisDecodedInstruction *zi,
                      const ZydisDecodedOperand *ops)
{
    unsigned n_imm = 0;

    in->len = zi->length;
    in->mnemonic = (uint16_t)zi->mnemonic;
    in->op_size = (uint8_t)(zi->operand_width / 8);
    in->addr_size = (uint8_t)(zi->address_width / 8);
    in->addr_shift = (uint8_t)(64 - zi->address_width);
    set_prefixes(in, zi);
    if ((mode & MODE_CS64) != 0) {
        in->stack_size = (in->prefixes & PFX_OPSIZE) != 0 && in->op_size == 2 ? 2 : 8;
    } else {
        in->stack_size = ((mode & MODE_CS32) != 0) == ((in->prefixes & PFX_OPSIZE) == 0) ? 4 : 2;
    }
    if (zi->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) {
        in->flags |= INSN_FAR;
    }
    in->mem.base = in->mem.index = GPR_NONE;
    in->mem.seg = SEG_DS;
    in->n_operands = zi->operand_count_visible > ARRAY_LEN(in->op)
                         ? ARRAY_LEN(in->op)
                         : zi->operand_count_visible;
    for (unsigned i = 0; i < in->n_operands; i++) {
        set_operand(in, i, &ops[i], &n_imm);
    }
    if (zi->operand_count_visible == 0) {
        set_hidden_memory(in, zi, ops);
    }
    set_fast_address(in, mode);
}

/* MOVSD and CMPSD are each a string instruction and an SSE2 one. */
static const X86Row *row_for(const ZydisDecodedInstruction *zi)
{
    const X86Row *row = &x86_rows[zi->mnemonic];
    bool twin = zi->mnemonic == ZYDIS_MNEMONIC_MOVSD || zi->mnemonic == ZYDIS_MNEMONIC_CMPSD;

    return (row->exec != NULL || row->select != NULL) &&
                   (!twin || zi->meta.category == ZYDIS_CATEGORY_STRINGOP)
               ? row
               : NULL;
}

static void choose_exec(CpuState *cpu, X86Insn *in, const ZydisDecodedInstruction *zi,
                        const ZydisDecodedOperand *ops)
{
    const X86Row *row = row_for(zi);

    in->exec = NULL;
    if (!cpu_isa_allowed(cpu, zi->meta.isa_set)) {
        /* #UD below */
    } else if (row != NULL) {
        in->flags |= row->flags;
        if ((in->prefixes & (PFX_REP | PFX_REPNE)) != 0) {
            in->flags |= INSN_ENDS_RUN; /* a repeated string instruction may stop midway */
        }
        in->exec = row->exec != NULL ? row->exec : row->select(in);
    } else if (vector_handles(zi)) {
        if (!vector_prepare(cpu, in, zi, ops)) {
            in->exec = NULL;
        }
    }
    if (in->exec == NULL) {
        in->exec = exec_ud;
        in->flags |= INSN_ENDS_RUN;
    }
    if (in->op[0].kind == OPERAND_SEG || in->op[0].kind == OPERAND_CR ||
        in->op[0].kind == OPERAND_DR) {
        in->flags |= INSN_ENDS_RUN;
    }
}

bool insn_decode(const InsnDecoder *d, CpuState *cpu, const uint8_t *bytes, unsigned avail,
                 X86Insn *in)
{
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    ZyanStatus status =
        ZydisDecoderDecodeFull(decoder_for(d, cpu->mode), bytes, avail, &zi, ops);

    cpu->stats[STAT_DECODES]++;
    memset(in, 0, sizeof *in);
    if (status == ZYDIS_STATUS_NO_MORE_DATA && avail < sizeof in->bytes) {
        return false;
    }
    if (status == ZYDIS_STATUS_NO_MORE_DATA || status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG) {
        set_raising(in, exec_too_long, bytes, avail);
        return true;
    }
    if (!ZYAN_SUCCESS(status)) {
        set_raising(in, exec_ud, bytes, avail);
        return true;
    }
    memcpy(in->bytes, bytes, zi.length);
    set_shape(in, cpu->mode, &zi, ops);
    set_branch_size(in, cpu, &zi);
    choose_exec(cpu, in, &zi, ops);
    return true;
}

void insn_text(const InsnDecoder *d, const CpuState *cpu, uint64_t rip, const X86Insn *in, char text[INSN_TEXT_MAX])
{
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    ZydisFormatter f;

    strcpy(text, "(undefined)");
    if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder_for(d, cpu->mode), in->bytes, in->len, &zi, ops))) {
        ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
        ZydisFormatterFormatInstruction(&f, &zi, ops, zi.operand_count_visible, text, INSN_TEXT_MAX, rip,
                                        NULL);
    }
}

void insn_log(const InsnDecoder *d, const CpuState *cpu, uint64_t rip, const X86Insn *in)
{
    char text[INSN_TEXT_MAX];

    insn_text(d, cpu, rip, in, text);
    log_write("IN: cpu %u decodes %04x:%016" PRIx64 "  %s", cpu->index, cpu->seg[SEG_CS].selector, rip,
              text);
}
