/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/cpu-x86/oracle-forms.h"

#include <glib.h>
#include <string.h>

typedef struct {
    OracleMode mode;
    OracleRandom *r;
    OracleFormFn f;
    void *arg;
    ZydisDecoder d;
    uint8_t b[32];
    unsigned n;
} Walk;

/* -- Bytes --------------------------------------------------------------------------------------------- */

enum { SHAPE_REG, SHAPE_BASE, SHAPE_INDEX, SHAPE_COUNT };

static void put(Walk *w, unsigned v)
{
    w->b[w->n++] = (uint8_t)v;
}

/* ModRM and what follows; `reg` is the digit or register. */
static void put_modrm(Walk *w, unsigned shape, unsigned reg, bool addr16)
{
    unsigned rest = 8;

    switch (shape) {
    case SHAPE_REG:
        put(w, 0xc0 | reg << 3 | oracle_below(w->r, 8));
        break;
    case SHAPE_BASE:           /* [rsi + disp8], [si + disp8] */
        put(w, 0x40 | reg << 3 | (addr16 ? 4 : 6));
        put(w, 1);
        break;
    default:
        if (addr16) {          /* [bx + si + disp16] */
            put(w, 0x80 | reg << 3);
            put(w, 0);
            put(w, 0);
        } else if ((w->mode == ORACLE_64 || ORACLE_KERNEL) && oracle_below(w->r, 3) == 0) {
            put(w, reg << 3 | 5);            /* [rip + disp32], in 32-bit code absolute */
            memset(w->b + w->n, 0, 4);
            w->n += 4;
        } else if (ORACLE_KERNEL && oracle_below(w->r, 4) == 0) {
            put(w, reg << 3 | 4);            /* [disp32] */
            put(w, 0x25);
            memset(w->b + w->n, 0, 4);
            w->n += 4;
        } else {               /* [rsi + rdi * scale + disp32] */
            put(w, 0x80 | reg << 3 | 4);
            put(w, oracle_below(w->r, 3) << 6 | 7 << 3 | 6);
            memset(w->b + w->n, 0, 4);
            w->n += 4;
        }
    }
    while (rest-- != 0) {
        put(w, (unsigned)oracle_random(w->r));
    }
}

/* Decode what stands in w->b and hand it over; false: not an instruction. */
static bool offer(Walk *w, bool *has_modrm)
{
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    static _Thread_local OracleCase c;

    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&w->d, w->b, MIN(w->n, 15), &zi, ops))) {
        return false;
    }
    *has_modrm = (zi.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0;
    c.mode = w->mode;
    c.len = zi.length;
    memcpy(c.code, w->b, zi.length);
    w->f(w->arg, &c, &zi, ops);
    return true;
}

/* All ModRM shapes behind the opcode that ends at w->n.  `groups`: all eight digits. */
static void each_shape(Walk *w, bool groups, bool addr16)
{
    unsigned start = w->n, digits = groups ? 8 : 1;
    bool has_modrm = true;

    for (unsigned shape = 0; shape < SHAPE_COUNT && has_modrm; shape++) {
        for (unsigned d = 0; d < digits && has_modrm; d++) {
            w->n = start;
            put_modrm(w, shape, groups ? d : oracle_below(w->r, 8), addr16);
            offer(w, &has_modrm);
        }
    }
    w->n = start;
}

/* -- Legacy maps ----------------------------------------------------------------------------------------- */

static void each_opcode(Walk *w, bool addr16)
{
    static const uint8_t escapes[4][3] = {{0}, {1, 0x0f}, {2, 0x0f, 0x38}, {2, 0x0f, 0x3a}};
    unsigned start = w->n;

    for (unsigned map = 0; map < 4; map++) {
        for (unsigned op = 0; op < 256; op++) {
            w->n = start;
            for (unsigned i = 0; i < escapes[map][0]; i++) {
                put(w, escapes[map][1 + i]);
            }
            put(w, op);
            if (map == 0 && op >= 0xd8 && op <= 0xdf) {  /* x87: each ModRM is its own */
                unsigned at = w->n;
                for (unsigned m = 0xc0; m < 0x100; m++) {
                    bool dummy;
                    w->n = at;
                    put(w, m);
                    offer(w, &dummy);
                }
                w->n = at;
            }
            each_shape(w, map < 2, addr16);
        }
    }
    w->n = start;
}

static void each_legacy(Walk *w)
{
    static const char *const prefix[] = {"", "\x66", "\xf2", "\xf3", "\x67", "\xf0", "\x66\xf2",
                                         "\x66\xf3", "\x2e", "\x36", "\x26\x66", "\xf0\x66",
                                         "\x64", "\x65", "\x66\x64", "\xf0\x65"}; /* the last four for kernels */

    for (unsigned i = 0; i < G_N_ELEMENTS(prefix) - (ORACLE_KERNEL ? 0 : 4); i++) {
        for (unsigned rex = 0; rex < (w->mode == ORACLE_64 ? 3 : 1); rex++) {
            w->n = 0;
            for (const char *p = prefix[i]; *p != '\0'; p++) {
                put(w, (uint8_t)*p);
            }
            if (rex != 0) {
                put(w, 0x40 | (rex - 1) << 3 | oracle_below(w->r, 8));
            }
            each_opcode(w, (w->mode == ORACLE_16) != (strchr(prefix[i], 0x67) != NULL));
        }
    }
}

/* -- VEX, EVEX ----------------------------------------------------------------------------------------- */

/* FS or GS now and then. */
static void put_segment(Walk *w)
{
    if (ORACLE_KERNEL && oracle_below(w->r, 4) == 0) {
        put(w, 0x64 | oracle_below(w->r, 2));
    }
}

static void each_vex(Walk *w)
{
    bool m64 = w->mode == ORACLE_64;

    for (unsigned map = 1; map <= 3; map++) {
        for (unsigned op = 0; op < 256; op++) {
            for (unsigned variant = 0; variant < 2 * 16; variant++) {
                unsigned lpw = variant / 2;  /* L, pp, W */
                unsigned vvvv = (variant & 1) != 0 ? 15 : oracle_below(w->r, 16) | (m64 ? 0 : 8);
                bool groups = (map == 1 && op >= 0x71 && op <= 0x73) || (map == 2 && op == 0xf3) ||
                              (map == 1 && op == 0xae);

                w->n = 0;
                put_segment(w);
                put(w, 0xc4);
                put(w, (m64 ? oracle_below(w->r, 8) << 5 : 0xe0) | map);
                put(w, (lpw & 1) << 7 | vvvv << 3 | (lpw >> 3) << 2 | (lpw >> 1 & 3));
                put(w, op);
                each_shape(w, groups, w->mode == ORACLE_16);
            }
        }
    }
}

static void each_evex(Walk *w)
{
    bool m64 = w->mode == ORACLE_64;

    for (unsigned map = 1; map <= 3; map++) {
        for (unsigned op = 0; op < 256; op++) {
            for (unsigned variant = 0; variant < 4 * 2 * 4 * 2 * 3 * 2; variant++) {
                unsigned v = variant, ll, wbit, pp, b, mask, none;

                ll = v % 4, v /= 4;
                wbit = v % 2, v /= 2;
                pp = v % 4, v /= 4;
                b = v % 2, v /= 2;
                mask = v % 3, v /= 3;
                none = v;
                if (!m64 && oracle_below(w->r, 4) != 0) {
                    continue;
                }
                unsigned vvvv = none != 0 ? 15 : oracle_below(w->r, 16) | (m64 ? 0 : 8);
                w->n = 0;
                put_segment(w);
                put(w, 0x62);
                put(w, (m64 ? oracle_below(w->r, 16) << 4 : 0xf0) | map);
                put(w, wbit << 7 | vvvv << 3 | 4 | pp);
                put(w, (mask == 2) << 7 | ll << 5 | b << 4 |
                           (none != 0 || !m64 ? 8 : oracle_below(w->r, 2) << 3) |
                           (mask == 0 ? 0 : 1 + oracle_below(w->r, 7)));
                put(w, op);
                each_shape(w, map == 1 && op >= 0x71 && op <= 0x73, w->mode == ORACLE_16);
            }
        }
    }
}

void oracle_each_form(OracleMode mode, unsigned encodings, OracleRandom *r, OracleFormFn f, void *arg)
{
    Walk w = {.mode = mode, .r = r, .f = f, .arg = arg};

    ZydisDecoderInit(&w.d, mode == ORACLE_64 ? ZYDIS_MACHINE_MODE_LONG_64
                           : mode == ORACLE_32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
                                               : ZYDIS_MACHINE_MODE_LONG_COMPAT_16,
                     mode == ORACLE_64 ? ZYDIS_STACK_WIDTH_64
                     : mode == ORACLE_32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
    ZydisDecoderEnableMode(&w.d, ZYDIS_DECODER_MODE_AMD_BRANCHES, oracle_host_is_amd());
    if ((encodings & ORACLE_LEGACY) != 0) {
        each_legacy(&w);
    }
    if ((encodings & ORACLE_VEX) != 0) {
        each_vex(&w);
    }
    if ((encodings & ORACLE_EVEX) != 0) {
        each_evex(&w);
    }
}

/* -- What can be compared ----------------------------------------------------------------------------- */

static bool category_is_host_bound(ZydisInstructionCategory c)
{
    switch (c) {
    case ZYDIS_CATEGORY_SYSCALL: case ZYDIS_CATEGORY_SYSRET: case ZYDIS_CATEGORY_INTERRUPT:
    case ZYDIS_CATEGORY_IOSTRINGOP: case ZYDIS_CATEGORY_XSAVE:
    case ZYDIS_CATEGORY_XSAVEOPT: case ZYDIS_CATEGORY_RDRAND: case ZYDIS_CATEGORY_RDSEED:
    case ZYDIS_CATEGORY_RDWRFSGS: case ZYDIS_CATEGORY_SEGOP: case ZYDIS_CATEGORY_VTX:
    case ZYDIS_CATEGORY_PKU: case ZYDIS_CATEGORY_SGX: case ZYDIS_CATEGORY_CET:
    case ZYDIS_CATEGORY_WAITPKG: case ZYDIS_CATEGORY_PT:
    case ZYDIS_CATEGORY_UINTR: case ZYDIS_CATEGORY_MPX:
        return true;
    default:
        return false;
    }
}

static bool mnemonic_is_host_bound(ZydisMnemonic m)
{
    switch (m) {
    case ZYDIS_MNEMONIC_CPUID: case ZYDIS_MNEMONIC_RDTSC: case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_RDPMC: case ZYDIS_MNEMONIC_RDPID: case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT: case ZYDIS_MNEMONIC_SLDT: case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_SMSW: case ZYDIS_MNEMONIC_LAR: case ZYDIS_MNEMONIC_LSL:
    case ZYDIS_MNEMONIC_VERR: case ZYDIS_MNEMONIC_VERW: case ZYDIS_MNEMONIC_ARPL:
    case ZYDIS_MNEMONIC_XGETBV: case ZYDIS_MNEMONIC_INT: case ZYDIS_MNEMONIC_CLZERO:
    case ZYDIS_MNEMONIC_FXSAVE: case ZYDIS_MNEMONIC_FXSAVE64: case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR64: case ZYDIS_MNEMONIC_MONITORX: case ZYDIS_MNEMONIC_MWAITX:
    case ZYDIS_MNEMONIC_VMCALL: case ZYDIS_MNEMONIC_VMMCALL: case ZYDIS_MNEMONIC_VMFUNC:
    case ZYDIS_MNEMONIC_RDPRU: case ZYDIS_MNEMONIC_IRET: case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ: case ZYDIS_MNEMONIC_RSM: case ZYDIS_MNEMONIC_XABORT:
    case ZYDIS_MNEMONIC_XBEGIN: case ZYDIS_MNEMONIC_XEND: case ZYDIS_MNEMONIC_XTEST:
    case ZYDIS_MNEMONIC_PCONFIG: case ZYDIS_MNEMONIC_ENQCMD: case ZYDIS_MNEMONIC_ENQCMDS:
    case ZYDIS_MNEMONIC_SERIALIZE: case ZYDIS_MNEMONIC_MONITOR: case ZYDIS_MNEMONIC_MWAIT:
    case ZYDIS_MNEMONIC_GETSEC: case ZYDIS_MNEMONIC_SWAPGS: case ZYDIS_MNEMONIC_LMSW:
    /* Part of no model, whatever the host has: */
    case ZYDIS_MNEMONIC_MOVDIRI: case ZYDIS_MNEMONIC_MOVDIR64B:
    case ZYDIS_MNEMONIC_VP2INTERSECTD: case ZYDIS_MNEMONIC_VP2INTERSECTQ:
        return true;
    default:
        return false;
    }
}

/* What AMD's do otherwise than Intel's, after whom the interpreter is made: operand-size prefixes of
 * MOVSXD count, SHA wants no alignment, PREFETCH wants memory, VEX.W of VPINSR counts, SVM is
 * there; flags of BCD instructions and of a string comparison that is interrupted, x87 state in
 * memory, masks of a gather and MXCSR of a conversion that faults. */
static bool form_is_amds_own(const ZydisDecodedInstruction *zi)
{
    switch (zi->mnemonic) {
    case ZYDIS_MNEMONIC_MOVSXD: case ZYDIS_MNEMONIC_AAA: case ZYDIS_MNEMONIC_AAS:
    case ZYDIS_MNEMONIC_DAA: case ZYDIS_MNEMONIC_DAS: case ZYDIS_MNEMONIC_VMRUN:
    case ZYDIS_MNEMONIC_VPINSRD: case ZYDIS_MNEMONIC_VPEXTRD:
    case ZYDIS_MNEMONIC_FNSAVE: case ZYDIS_MNEMONIC_FNSTENV: case ZYDIS_MNEMONIC_VCVTPS2PH:
        return true;
    case ZYDIS_MNEMONIC_SCASB: case ZYDIS_MNEMONIC_SCASW: case ZYDIS_MNEMONIC_SCASD:
    case ZYDIS_MNEMONIC_SCASQ: case ZYDIS_MNEMONIC_CMPSB: case ZYDIS_MNEMONIC_CMPSW:
    case ZYDIS_MNEMONIC_CMPSQ:
        return (zi->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
                                  ZYDIS_ATTRIB_HAS_REPNE)) != 0;
    case ZYDIS_MNEMONIC_CMPSD:
        return zi->meta.category == ZYDIS_CATEGORY_STRINGOP;
    case ZYDIS_MNEMONIC_NOP:
        return zi->opcode == 0x0d;
    case ZYDIS_MNEMONIC_PAUSE: /* with REX.B it is xchg */
    case ZYDIS_MNEMONIC_LOOPE: case ZYDIS_MNEMONIC_LOOPNE: /* f2 and f3 count */
        return zi->raw.prefix_count > 0 + (zi->mnemonic == ZYDIS_MNEMONIC_PAUSE);
    default:
        return zi->meta.isa_set == ZYDIS_ISA_SET_SHA || zi->meta.isa_set == ZYDIS_ISA_SET_SVM ||
               zi->meta.category == ZYDIS_CATEGORY_AVX2GATHER;
    }
}

bool oracle_form_is_comparable(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops)
{
    const ZydisInstructionAttributes segments = ZYDIS_ATTRIB_HAS_SEGMENT_FS | ZYDIS_ATTRIB_HAS_SEGMENT_GS;

    if (category_is_host_bound(zi->meta.category) || mnemonic_is_host_bound(zi->mnemonic) ||
        zi->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ||
        zi->encoding == ZYDIS_INSTRUCTION_ENCODING_XOP ||
        zi->encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW ||
        (zi->attributes & (ZYDIS_ATTRIB_IS_PRIVILEGED | (ORACLE_KERNEL ? 0 : segments))) != 0 ||
        (oracle_host_is_amd() && form_is_amds_own(zi))) {
        return false;
    }
    for (unsigned i = 0; i < zi->operand_count_visible; i++) {
        if (ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            (ZydisRegisterGetClass(ops[i].reg.value) == ZYDIS_REGCLASS_SEGMENT ||
             ZydisRegisterGetClass(ops[i].reg.value) == ZYDIS_REGCLASS_CONTROL ||
             ZydisRegisterGetClass(ops[i].reg.value) == ZYDIS_REGCLASS_DEBUG)) {
            return false;
        }
    }
    return true;
}

/* -- Memory operands ---------------------------------------------------------------------------------- */

const ZydisDecodedOperand *oracle_form_memory(const ZydisDecodedInstruction *zi,
                                              const ZydisDecodedOperand *ops)
{
    for (unsigned i = 0; i < zi->operand_count_visible; i++) {
        if (ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            ops[i].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
            return &ops[i];
        }
    }
    return NULL;
}

static bool is_gpr(ZydisRegister r)
{
    ZydisRegisterClass c = ZydisRegisterGetClass(r);

    return c == ZYDIS_REGCLASS_GPR16 || c == ZYDIS_REGCLASS_GPR32 || c == ZYDIS_REGCLASS_GPR64;
}

static void small_indices(OracleRandom *r, OracleCase *c, ZydisRegister reg)
{
    uint8_t *v = c->in.zmm[ZydisRegisterGetId(reg)];
    bool q = oracle_below(r, 2) != 0;        /* as 32- and as 64-bit elements alike */

    for (unsigned i = 0; i < 64; i += 4) {
        int32_t x = (int32_t)oracle_below(r, 64);
        if (q && i % 8 == 4) {
            x = 0;
        }
        memcpy(v + i, &x, 4);
    }
}

/* What its segment adds to the operand's address. */
static uint64_t segment_base(const ZydisDecodedOperand *m)
{
    return m->mem.segment == ZYDIS_REGISTER_FS   ? ORACLE_FS_BASE
           : m->mem.segment == ZYDIS_REGISTER_GS ? ORACLE_GS_BASE : 0;
}

void oracle_place_memory(OracleRandom *r, OracleCase *c, const ZydisDecodedInstruction *zi,
                         const ZydisDecodedOperand *ops, int64_t off)
{
    const ZydisDecodedOperand *m = oracle_form_memory(zi, ops);
    uint64_t want = oracle_data_addr(c->mode, 0) + (uint64_t)off, have = 0;

    if (m == NULL) {
        return;
    }
    want -= segment_base(m);
    if (m->mem.type == ZYDIS_MEMOP_TYPE_VSIB) {
        small_indices(r, c, m->mem.index);
    } else if (is_gpr(m->mem.index)) {
        if (m->mem.base == ZYDIS_REGISTER_RSP) { /* not all hosts can enter with any RSP */
            c->in.gpr[ZydisRegisterGetId(m->mem.index)] = oracle_below(r, 64);
        }
        have += c->in.gpr[ZydisRegisterGetId(m->mem.index)] * m->mem.scale;
    }
    if (m->mem.base == ZYDIS_REGISTER_RIP || m->mem.base == ZYDIS_REGISTER_EIP) {
        have += c->in.rip + c->len;
    } else if (is_gpr(m->mem.base) && zi->raw.disp.size >= 16) {
        if (ZydisRegisterGetId(m->mem.base) >= 8 || segment_base(m) != 0) {
            uint64_t base = oracle_data_addr(c->mode, 0) - segment_base(m);
            c->in.gpr[ZydisRegisterGetId(m->mem.base)] = c->mode == ORACLE_64 ? base : (uint32_t)base;
        }
        have += c->in.gpr[ZydisRegisterGetId(m->mem.base)];
    } else if (is_gpr(m->mem.base)) {
        uint64_t base = want - (uint64_t)m->mem.disp.value - have;
        c->in.gpr[ZydisRegisterGetId(m->mem.base)] = c->mode == ORACLE_64 ? base : (uint32_t)base;
        return;
    }
    if (zi->raw.disp.size >= 16) {
        uint64_t disp = want - have;
        memcpy(c->code + zi->raw.disp.offset, &disp, zi->raw.disp.size / 8);
    }
}
