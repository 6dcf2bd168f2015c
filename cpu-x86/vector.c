/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vector and x87 instructions: from Zydis's output to a VecInsn, and the common ways to execute one.
 */
#include "cpu-x86/vector-internal.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <signal.h>
#include <stdlib.h>

/* -- Which instructions are ours -------------------------------------------------------------------- */

static bool ext_is_ours(ZydisISAExt ext)
{
    switch (ext) {
    case ZYDIS_ISA_EXT_ADOX_ADCX: case ZYDIS_ISA_EXT_AES: case ZYDIS_ISA_EXT_AVX:
    case ZYDIS_ISA_EXT_AVX2: case ZYDIS_ISA_EXT_AVX2GATHER: case ZYDIS_ISA_EXT_AVX512EVEX:
    case ZYDIS_ISA_EXT_AVX512VEX: case ZYDIS_ISA_EXT_AVXAES: case ZYDIS_ISA_EXT_AVX_VNNI:
    case ZYDIS_ISA_EXT_BMI1: case ZYDIS_ISA_EXT_BMI2: case ZYDIS_ISA_EXT_F16C:
    case ZYDIS_ISA_EXT_FMA: case ZYDIS_ISA_EXT_GFNI: case ZYDIS_ISA_EXT_MMX:
    case ZYDIS_ISA_EXT_PCLMULQDQ: case ZYDIS_ISA_EXT_SHA: case ZYDIS_ISA_EXT_SSE:
    case ZYDIS_ISA_EXT_SSE2: case ZYDIS_ISA_EXT_SSE3: case ZYDIS_ISA_EXT_SSE4:
    case ZYDIS_ISA_EXT_SSE4A: case ZYDIS_ISA_EXT_SSSE3: case ZYDIS_ISA_EXT_VAES:
    case ZYDIS_ISA_EXT_VPCLMULQDQ: case ZYDIS_ISA_EXT_X87:
        return true;
    default:
        return false;
    }
}

bool vector_handles(const ZydisDecodedInstruction *zi)
{
    if (!ext_is_ours(zi->meta.isa_ext) || zi->encoding == ZYDIS_INSTRUCTION_ENCODING_XOP ||
        zi->encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX ||
        zi->encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW) {
        return false;
    }
    switch (zi->mnemonic) {
    case ZYDIS_MNEMONIC_LFENCE: case ZYDIS_MNEMONIC_MFENCE: case ZYDIS_MNEMONIC_SFENCE:
    case ZYDIS_MNEMONIC_MOVNTI: case ZYDIS_MNEMONIC_PAUSE: case ZYDIS_MNEMONIC_POPCNT:
    case ZYDIS_MNEMONIC_TZCNT: case ZYDIS_MNEMONIC_CLFLUSH: case ZYDIS_MNEMONIC_MONITOR:
    case ZYDIS_MNEMONIC_MWAIT: case ZYDIS_MNEMONIC_PREFETCHNTA: case ZYDIS_MNEMONIC_PREFETCHT0:
    case ZYDIS_MNEMONIC_PREFETCHT1: case ZYDIS_MNEMONIC_PREFETCHT2: case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64: case ZYDIS_MNEMONIC_FXRSTOR: case ZYDIS_MNEMONIC_FXRSTOR64:
        return false;
    default:
        return true;
    }
}

static bool mnemonic_is_any(ZydisMnemonic m, const ZydisMnemonic *list, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (list[i] == m) {
            return true;
        }
    }
    return false;
}
#define MNEMONIC_IS(m, ...)                                                                        \
    mnemonic_is_any(m, (const ZydisMnemonic[]){__VA_ARGS__},                                       \
                    sizeof((ZydisMnemonic[]){__VA_ARGS__}) / sizeof(ZydisMnemonic))

/* Neither reads nor writes MXCSR: moves, logic, integer arithmetic. */
static bool is_mxcsr_free(ZydisMnemonic m)
{
    static const char *const start[] = {
        "p", "vp", "mov", "vmov", "k", "aes", "vaes", "sha", "gf2p8", "vgf2p8", "and", "vand", "or",
        "vor", "xor", "vxor", "unpck", "vunpck", "shuf", "vshuf", "blend", "vblend", "insert",
        "vinsert", "extract", "vextract", "vbroadcast", "valign", "vcompress", "vexpand", "lddqu",
        "vlddqu", "crc32", "adcx", "adox", "bextr", "bls", "bzhi", "mulx", "rorx", "sarx", "shlx",
        "shrx", "emms", "mpsadbw", "vmpsadbw", "vdbpsadbw", "vtest",
    };
    const char *name = ZydisMnemonicGetString(m);

    for (unsigned i = 0; i < ARRAY_LEN(start); i++) {
        if (g_str_has_prefix(name, start[i])) {
            return true;
        }
    }
    return false;
}

/* -- What an instruction touches ------------------------------------------------------------------ */

typedef struct {
    bool st, mmx, xmm, k, gpr, vex, evex;
    const ZydisDecodedOperand *mem;
} Touched;

static bool op_reads(const ZydisDecodedOperand *o)
{
    return (o->actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0;
}

static bool op_writes(const ZydisDecodedOperand *o)
{
    return (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
}

static void plan_gpr(StubPlan *p, const ZydisDecodedOperand *o)
{
    ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, o->reg.value);
    unsigned r = (unsigned)(full - ZYDIS_REGISTER_RAX);

    if (op_reads(o) || o->size < 32 || (o->actions & ZYDIS_OPERAND_ACTION_CONDWRITE) != 0) {
        p->gpr_in |= 1u << r;
    }
    if (op_writes(o)) {
        p->gpr_out |= 1u << r;
    }
    if (r == GPR_RSP && o->reg.value != ZYDIS_REGISTER_AH) {
        p->sp_field[p->n_sp++] = o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG  ? SP_FIELD_REG
                                 : o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM ? SP_FIELD_RM
                                                                                  : SP_FIELD_VVVV;
    }
}

static void plan_register(StubPlan *p, Touched *t, const ZydisDecodedOperand *o)
{
    unsigned id = (unsigned)ZydisRegisterGetId(o->reg.value);

    switch (ZydisRegisterGetClass(o->reg.value)) {
    case ZYDIS_REGCLASS_GPR8: case ZYDIS_REGCLASS_GPR16: case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64:
        t->gpr = true;
        plan_gpr(p, o);
        break;
    case ZYDIS_REGCLASS_X87:
        t->st = true;
        break;
    case ZYDIS_REGCLASS_MMX:
        t->mmx = true;
        break;
    case ZYDIS_REGCLASS_XMM: case ZYDIS_REGCLASS_YMM: case ZYDIS_REGCLASS_ZMM:
        t->xmm = true;
        if (!t->vex || op_reads(o) || (o->actions & ZYDIS_OPERAND_ACTION_CONDWRITE) != 0) {
            p->vec_in |= 1u << id;
        }
        if (op_writes(o)) {
            p->vec_out |= 1u << id;
        }
        break;
    case ZYDIS_REGCLASS_MASK:
        t->k = true;
        p->k_in |= (uint8_t)(1u << id);
        if (op_writes(o)) {
            p->k_out |= (uint8_t)(1u << id);
        }
        break;
    default:
        break;                 /* RFLAGS, X87STATUS, MXCSR: seen to elsewhere */
    }
}

static void plan_flags(StubPlan *p, const ZydisDecodedInstruction *zi)
{
    const ZydisAccessedFlags *f = zi->cpu_flags;
    uint32_t defined, any;

    if (f == NULL) {
        return;
    }
    defined = (f->modified | f->set_0 | f->set_1) & ~f->undefined & FLAGS_ARITH;
    any = (f->modified | f->set_0 | f->set_1 | f->undefined) & FLAGS_ARITH;
    p->flags_out = any != 0;
    p->flags_in = (f->tested & FLAGS_ARITH) != 0 || (any != 0 && defined != FLAGS_ARITH);
}

/* -- Rewritten bytes ---------------------------------------------------------------------------------- */

static void put(StubPlan *p, uint8_t b)
{
    g_assert(p->len < sizeof(p->bytes));
    p->bytes[p->len++] = b;
}

static void rewrite_legacy(StubPlan *p, const uint8_t *b, const ZydisDecodedInstruction *zi)
{
    bool crc = zi->mnemonic == ZYDIS_MNEMONIC_CRC32;

    /* A 16-bit segment and 66 mean 32 bits; the stub is 64-bit code. */
    if (crc && zi->operand_width == 16) {
        put(p, 0x66);
    }
    for (unsigned i = 0; i < zi->raw.prefix_count; i++) {
        if (b[i] == 0xf2 || b[i] == 0xf3 || (b[i] == 0x66 && !crc)) {
            put(p, b[i]);
        }
    }
    if ((zi->attributes & ZYDIS_ATTRIB_HAS_REX) != 0) {
        unsigned r = 0x40u | zi->raw.rex.W << 3 | zi->raw.rex.R << 2;
        put(p, (uint8_t)(p->has_mem ? r : r | zi->raw.rex.X << 1 | zi->raw.rex.B));
    }
}

/* VEX.W is the size of a general register even where that operand is memory. */
static bool w_means_gpr(ZydisMnemonic m)
{
    return MNEMONIC_IS(m, ZYDIS_MNEMONIC_VMOVD, ZYDIS_MNEMONIC_VPEXTRD, ZYDIS_MNEMONIC_VPINSRD,
                       ZYDIS_MNEMONIC_VCVTSI2SS, ZYDIS_MNEMONIC_VCVTSI2SD,
                       ZYDIS_MNEMONIC_VCVTUSI2SS, ZYDIS_MNEMONIC_VCVTUSI2SD);
}

/* Copy a VEX or EVEX prefix; (B) needs no extension bits, and outside 64-bit mode there are none. */
static void rewrite_vex(StubPlan *p, const uint8_t *b, const ZydisDecodedInstruction *zi,
                        bool mode64, bool gpr)
{
    bool evex = zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
    unsigned n = evex ? 4 : zi->raw.vex.size, at = p->len;
    uint8_t *q = &p->bytes[at];

    for (unsigned i = 0; i < n; i++) {
        put(p, b[i]);
    }
    if (n > 2 && p->has_mem) {
        q[1] |= 0x60;
    }
    p->vvvv_at = (int)(at + (n == 2 ? 1 : 2));
    if (!mode64) {
        if (n > 2) {
            q[1] |= evex ? 0xf0 : 0xe0;
        }
        p->bytes[p->vvvv_at] |= 0x40;
        if (evex) {
            q[3] |= 0x08;
        }
        if (n > 2 && (gpr || w_means_gpr(zi->mnemonic))) {
            q[2] &= 0x7f;      /* W is ignored there */
        }
    }
}

static void rewrite(StubPlan *p, const X86Insn *in, const ZydisDecodedInstruction *zi, bool mode64,
                    bool gpr)
{
    const uint8_t *b = in->bytes;
    unsigned opcode = zi->raw.prefix_count, tail;

    p->modrm_at = p->vvvv_at = -1;
    if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
        rewrite_legacy(p, b, zi);
    } else if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
        rewrite_vex(p, b + zi->raw.vex.offset, zi, mode64, gpr);
        opcode = zi->raw.vex.offset + zi->raw.vex.size;
    } else {
        rewrite_vex(p, b + zi->raw.evex.offset, zi, mode64, gpr);
        opcode = zi->raw.evex.offset + 4;
    }
    if ((zi->attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0) {
        while (opcode < zi->raw.modrm.offset) {
            put(p, b[opcode++]);
        }
        p->modrm_at = (int)p->len;
        put(p, p->has_mem ? b[opcode] & 0x38 : b[opcode]);
        tail = opcode + 1 + ((zi->attributes & ZYDIS_ATTRIB_HAS_SIB) != 0) + zi->raw.disp.size / 8;
    } else {
        tail = opcode;
    }
    while (tail < zi->length) {
        put(p, b[tail++]);
    }
}

/* -- Control bits, alignment, masking ----------------------------------------------------------- */

static void set_checks(VecInsn *v, const Touched *t)
{
    if (t->evex || (t->vex && t->k)) {
        v->cr0_clear = CR0_TS;
        v->cr4_set = CR4_OSXSAVE;
        v->xcr0_set = XCR0_SSE | XCR0_AVX | XCR0_AVX512;
    } else if (t->vex && t->xmm) {
        v->cr0_clear = CR0_TS;
        v->cr4_set = CR4_OSXSAVE;
        v->xcr0_set = XCR0_SSE | XCR0_AVX;
    } else if (t->st) {
        v->cr0_clear = CR0_EM | CR0_TS;
        v->em_is_nm = true;
    } else if (t->mmx || t->xmm) {
        v->cr0_clear = CR0_EM | CR0_TS;
        v->cr4_set = t->xmm ? CR4_OSFXSR : 0;
    }
}

static void set_alignment(VecInsn *v, const Touched *t)
{
    if (t->vex) {
        v->align = MNEMONIC_IS(v->mnemonic, ZYDIS_MNEMONIC_VMOVAPS, ZYDIS_MNEMONIC_VMOVAPD,
                               ZYDIS_MNEMONIC_VMOVDQA, ZYDIS_MNEMONIC_VMOVDQA32,
                               ZYDIS_MNEMONIC_VMOVDQA64, ZYDIS_MNEMONIC_VMOVNTDQ,
                               ZYDIS_MNEMONIC_VMOVNTDQA, ZYDIS_MNEMONIC_VMOVNTPS,
                               ZYDIS_MNEMONIC_VMOVNTPD) ? v->mem_size : 0;
    } else if (t->xmm && v->mem_size == 16 &&
               !MNEMONIC_IS(v->mnemonic, ZYDIS_MNEMONIC_MOVUPS, ZYDIS_MNEMONIC_MOVUPD,
                            ZYDIS_MNEMONIC_MOVDQU, ZYDIS_MNEMONIC_LDDQU, ZYDIS_MNEMONIC_PCMPESTRI,
                            ZYDIS_MNEMONIC_PCMPESTRM, ZYDIS_MNEMONIC_PCMPISTRI,
                            ZYDIS_MNEMONIC_PCMPISTRM)) {
        v->align = 16;
    }
    v->ac_align = MNEMONIC_IS(v->mnemonic, ZYDIS_MNEMONIC_VCVTPH2PS, ZYDIS_MNEMONIC_VCVTPS2PH) ? 0
                  : v->mem_size == 2 || v->mem_size == 4 || v->mem_size == 8 ? v->mem_size
                  : v->mem_size == 10 ? 8 : 0;
}

/* Elements in memory, and elements they become; 0: no broadcast. */
typedef struct {
    uint8_t from, to;
} Broadcast;

static Broadcast broadcast_of(ZydisBroadcastMode b)
{
    static const Broadcast modes[] = {
        [ZYDIS_BROADCAST_MODE_1_TO_2] = {1, 2},   [ZYDIS_BROADCAST_MODE_1_TO_4] = {1, 4},
        [ZYDIS_BROADCAST_MODE_1_TO_8] = {1, 8},   [ZYDIS_BROADCAST_MODE_1_TO_16] = {1, 16},
        [ZYDIS_BROADCAST_MODE_1_TO_32] = {1, 32}, [ZYDIS_BROADCAST_MODE_1_TO_64] = {1, 64},
        [ZYDIS_BROADCAST_MODE_2_TO_4] = {2, 4},   [ZYDIS_BROADCAST_MODE_2_TO_8] = {2, 8},
        [ZYDIS_BROADCAST_MODE_2_TO_16] = {2, 16}, [ZYDIS_BROADCAST_MODE_4_TO_8] = {4, 8},
        [ZYDIS_BROADCAST_MODE_4_TO_16] = {4, 16}, [ZYDIS_BROADCAST_MODE_8_TO_16] = {8, 16},
    };

    return b < ARRAY_LEN(modes) ? modes[b] : (Broadcast){0, 0};
}

/* EVEX exception classes without fault suppression (SDM vol. 2A 2.8) read their whole operand. */
static bool suppresses_faults(const ZydisDecodedInstruction *zi)
{
    if (MNEMONIC_IS(zi->mnemonic, ZYDIS_MNEMONIC_VDBPSADBW, ZYDIS_MNEMONIC_VGF2P8AFFINEQB,
                    ZYDIS_MNEMONIC_VGF2P8AFFINEINVQB, ZYDIS_MNEMONIC_VCVTNE2PS2BF16)) {
        return false;          /* E4NF in the manual, E4 in Zydis 4.0 */
    }
    switch (zi->meta.exception_class) {
    case ZYDIS_EXCEPTION_CLASS_E1NF: case ZYDIS_EXCEPTION_CLASS_E2NF:
    case ZYDIS_EXCEPTION_CLASS_E3NF: case ZYDIS_EXCEPTION_CLASS_E4NF:
    case ZYDIS_EXCEPTION_CLASS_E5NF: case ZYDIS_EXCEPTION_CLASS_E6NF:
    case ZYDIS_EXCEPTION_CLASS_E9NF: case ZYDIS_EXCEPTION_CLASS_E10NF:
    case ZYDIS_EXCEPTION_CLASS_E11NF:
        return false;
    default:
        return true;
    }
}

/* Elements that the mask speaks of. */
static unsigned mask_elements(const VecInsn *v, const ZydisDecodedInstruction *zi,
                              const ZydisDecodedOperand *ops, const ZydisDecodedOperand *mem)
{
    const char *name = ZydisMnemonicGetString(v->mnemonic);
    Broadcast b = broadcast_of(zi->avx.broadcast.mode);

    if (g_str_has_prefix(name, "vextract")) {
        return v->mem_size / (strstr(name, "32x") != NULL ? 4 : 8);
    }
    if (b.from != 0) {
        return b.to;
    }
    if (mem == &ops[0] || mem->element_count == 1 ||
        ZydisRegisterGetClass(ops[0].reg.value) == ZYDIS_REGCLASS_MASK) {
        return mem->element_count;
    }
    return MIN(ops[0].element_count, mem->element_count); /* narrowing leaves part of op 0 */
}

static void set_k_mask(VecInsn *v, const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops,
                       const ZydisDecodedOperand *mem)
{
    unsigned n = mask_elements(v, zi, ops, mem);
    unsigned from = mem == &ops[0] ? 0 : broadcast_of(zi->avx.broadcast.mode).from;

    v->mask_reg = (uint8_t)ZydisRegisterGetId(zi->avx.mask.reg);
    v->n_mask = (uint8_t)n;
    v->n_mem = (uint8_t)(from != 0 ? from : n);
    v->elem = (uint8_t)(v->mem_size / v->n_mem);
    v->mask_kind = zi->meta.category == ZYDIS_CATEGORY_COMPRESS ||
                   zi->meta.category == ZYDIS_CATEGORY_EXPAND ||
                   MNEMONIC_IS(v->mnemonic, ZYDIS_MNEMONIC_VPCOMPRESSB, ZYDIS_MNEMONIC_VPCOMPRESSW,
                               ZYDIS_MNEMONIC_VPEXPANDB, ZYDIS_MNEMONIC_VPEXPANDW)
                       ? VEC_MASK_PACKED : VEC_MASK_K;
}

static void set_masking(VecInsn *v, const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops,
                        const ZydisDecodedOperand *mem)
{
    if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX) {
        if (zi->avx.mask.mode != ZYDIS_MASK_MODE_INVALID &&
            zi->avx.mask.mode != ZYDIS_MASK_MODE_DISABLED &&
            zi->avx.mask.reg != ZYDIS_REGISTER_K0 &&
            (v->mem_write || suppresses_faults(zi))) {
            set_k_mask(v, zi, ops, mem);
            v->probes_all = !suppresses_faults(zi);
        }
    } else if (MNEMONIC_IS(zi->mnemonic, ZYDIS_MNEMONIC_VMASKMOVPS, ZYDIS_MNEMONIC_VMASKMOVPD,
                           ZYDIS_MNEMONIC_VPMASKMOVD, ZYDIS_MNEMONIC_VPMASKMOVQ)) {
        v->mask_kind = VEC_MASK_SIGNS;
        v->mask_reg = (uint8_t)ZydisRegisterGetId(ops[1].reg.value);
        v->n_mem = v->n_mask = (uint8_t)mem->element_count;
        v->elem = (uint8_t)(mem->element_size / 8);
    }
}

/* -- Execution -------------------------------------------------------------------------------------------- */

void vec_unavailable(CpuState *cpu, const VecInsn *v)
{
    if ((~cpu->cr4 & v->cr4_set) != 0 || (~cpu->vec.xcr0 & v->xcr0_set) != 0 ||
        ((cpu->cr0 & v->cr0_clear & CR0_EM) != 0 && !v->em_is_nm)) {
        cpu_raise_ud(cpu);
    }
    cpu_raise(cpu, VEC_NM);
}

void vec_signal(CpuState *cpu, const VecInsn *v, int sig)
{
    if (sig == SIGFPE && (cpu->cr4 & CR4_OSXMMEXCPT) != 0) {
        cpu_raise(cpu, VEC_XM);
    }
    cpu_raise_ud(cpu);         /* SIGILL: the host does not have this form */
}

static inline void run(CpuState *cpu, const VecInsn *v)
{
    VecCpu *vc = vec_cpu(cpu);
    int sig = v->run(cpu, vc->buf);

    if (unlikely(sig != 0)) {
        vec_signal(cpu, v, sig);
    }
    if (v->flags_out) {
        cpu->rflags = (cpu->rflags & ~(uint64_t)FLAGS_ARITH) | (vc->flags & FLAGS_ARITH);
    }
    cpu->stats[STAT_VECTOR_EXECS]++;
}

GuestLin vec_operand(CpuState *cpu, const X86Insn *in, const VecInsn *v, bool write)
{
    GuestLin lin = seg_linear(cpu, in->mem.seg, vec_ea(cpu, in), v->mem_size, write);

    if (unlikely(v->align != 0 && (lin.v & (v->align - 1)) != 0)) {
        cpu_raise_gp(cpu, 0);
    }
    if (unlikely(v->ac_align != 0 && (lin.v & (v->ac_align - 1)) != 0 && vec_ac_enabled(cpu))) {
        cpu_raise_code(cpu, VEC_AC, 0);
    }
    return lin;
}

/* Copies of constant size; 16 bytes are one host access: atomic where the host is. */
static inline void copy_whole(void *dst, const void *src, unsigned size)
{
    switch (size) {
    case 16: memcpy(dst, src, 16); break;
    case 32: memcpy(dst, src, 32); break;
    case 64: memcpy(dst, src, 64); break;
    default: memcpy(dst, src, size);
    }
}

void vec_load(CpuState *cpu, GuestLin lin, void *dst, unsigned size)
{
    const void *p;

    if (size <= 8 && (size & (size - 1)) == 0) {
        store_le(dst, size, mmu_load(&cpu->mmu, cpu->tlb_class, lin, size));
        return;
    }
    p = tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, lin.v, TLB_LOAD);
    if (likely(p != NULL && tlb_within_page(lin.v, size))) {
        copy_whole(dst, p, size);
    } else {
        mmu_load_bytes(&cpu->mmu, cpu->tlb_class, lin, dst, size);
    }
}

/* All that can fault of a store, before the instruction runs. */
void vec_probe_store(CpuState *cpu, GuestLin lin, unsigned size)
{
    if (unlikely(tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, lin.v, TLB_STORE) == NULL ||
                 !tlb_within_page(lin.v, size))) {
        mmu_probe(&cpu->mmu, cpu->tlb_class, lin, size, TLB_STORE);
    }
}

void vec_store(CpuState *cpu, GuestLin lin, const void *src, unsigned size)
{
    void *p;

    if (size <= 8 && (size & (size - 1)) == 0) {
        mmu_store(&cpu->mmu, cpu->tlb_class, lin, size, load_le(src, size));
        return;
    }
    p = tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, lin.v, TLB_STORE);
    if (likely(p != NULL && tlb_within_page(lin.v, size))) {
        copy_whole(p, src, size);
    } else {
        mmu_store_bytes(&cpu->mmu, cpu->tlb_class, lin, src, size);
    }
}

static void exec_reg(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);

    vec_check(cpu, v);
    run(cpu, v);
}

static void exec_load(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);

    vec_check(cpu, v);
    vec_load(cpu, vec_operand(cpu, in, v, false), vec_cpu(cpu)->buf, v->mem_size);
    run(cpu, v);
}

static void exec_store(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);
    GuestLin lin;

    vec_check(cpu, v);
    lin = vec_operand(cpu, in, v, true);
    vec_probe_store(cpu, lin, v->mem_size);
    run(cpu, v);
    vec_store(cpu, lin, vec_cpu(cpu)->buf, v->mem_size);
}

/* VCVTPS2PH: its SIMD exceptions come before those of the store, MXCSR keeps their flags. */
static void exec_compute_store(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);

    vec_check(cpu, v);
    run(cpu, v);
    vec_store(cpu, vec_operand(cpu, in, v, true), vec_cpu(cpu)->buf, v->mem_size);
}

void vec_run(CpuState *cpu, const VecInsn *v)
{
    run(cpu, v);
}

/* -- Instructions done in C ------------------------------------------------------------------------ */

/* VZEROUPPER, VZEROALL: registers 0-15 in 64-bit mode, 0-7 else. */
static void exec_vzero(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);
    unsigned keep = v->mnemonic == ZYDIS_MNEMONIC_VZEROUPPER ? 16 : 0;

    vec_check(cpu, v);
    for (unsigned i = 0; i < (cpu_is_long64(cpu) ? 16 : 8); i++) {
        memset(cpu->vec.zmm[i] + keep, 0, 64 - keep);
    }
}

static void exec_ldmxcsr(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);
    uint32_t val, mask;

    vec_check(cpu, v);
    vec_load(cpu, vec_operand(cpu, in, v, false), &val, 4);
    memcpy(&mask, cpu->vec.fx + FX_MXCSR_MASK, 4);
    if ((val & ~(mask != 0 ? mask : 0xffbf)) != 0) {
        cpu_raise_gp(cpu, 0);
    }
    cpu->vec.mxcsr = val;
}

static void exec_stmxcsr(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);

    vec_check(cpu, v);
    vec_store(cpu, vec_operand(cpu, in, v, true), &cpu->vec.mxcsr, 4);
}

static X86Exec c_exec(ZydisMnemonic m)
{
    switch (m) {
    case ZYDIS_MNEMONIC_VZEROUPPER: case ZYDIS_MNEMONIC_VZEROALL:
        return exec_vzero;
    case ZYDIS_MNEMONIC_LDMXCSR: case ZYDIS_MNEMONIC_VLDMXCSR:
        return exec_ldmxcsr;
    case ZYDIS_MNEMONIC_STMXCSR: case ZYDIS_MNEMONIC_VSTMXCSR:
        return exec_stmxcsr;
    case ZYDIS_MNEMONIC_MASKMOVQ: case ZYDIS_MNEMONIC_MASKMOVDQU: case ZYDIS_MNEMONIC_VMASKMOVDQU:
        return vec_exec_maskmov;
    default:
        return vec_x87_exec(m);
    }
}

/* -- Preparing ------------------------------------------------------------------------------------------ */

static uint8_t override_segment(const ZydisDecodedInstruction *zi)
{
    static const struct {
        uint64_t attribute;
        uint8_t seg;
    } over[] = {
        {ZYDIS_ATTRIB_HAS_SEGMENT_CS, SEG_CS}, {ZYDIS_ATTRIB_HAS_SEGMENT_SS, SEG_SS},
        {ZYDIS_ATTRIB_HAS_SEGMENT_ES, SEG_ES}, {ZYDIS_ATTRIB_HAS_SEGMENT_FS, SEG_FS},
        {ZYDIS_ATTRIB_HAS_SEGMENT_GS, SEG_GS},
    };

    for (unsigned i = 0; i < ARRAY_LEN(over); i++) {
        if ((zi->attributes & over[i].attribute) != 0) {
            return over[i].seg;
        }
    }
    return SEG_DS;
}

static void set_vsib(VecInsn *v, const ZydisDecodedOperand *ops, const ZydisDecodedOperand *mem)
{
    const ZydisDecodedOperand *data = mem == &ops[0] ? &ops[2] : &ops[0];
    const ZydisDecodedOperand *mask = mem == &ops[1] ? &ops[2] : &ops[1];
    unsigned index_bytes = ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, mem->mem.index) / 8;
    const char *name = ZydisMnemonicGetString(v->mnemonic);
    char index_kind = strstr(name, "gather") != NULL ? strstr(name, "gather")[6]
                                                     : strstr(name, "scatter")[7];

    v->vsib.data_reg = (uint8_t)ZydisRegisterGetId(data->reg.value);
    v->vsib.index_reg = (uint8_t)ZydisRegisterGetId(mem->mem.index);
    v->vsib.mask_reg = (uint8_t)ZydisRegisterGetId(mask->reg.value);
    v->vsib.k_mask = ZydisRegisterGetClass(mask->reg.value) == ZYDIS_REGCLASS_MASK;
    v->vsib.data_size = (uint8_t)(data->element_size / 8);
    v->vsib.index_size = index_kind == 'q' ? 8 : 4;
    v->vsib.reg_bytes = (uint8_t)MAX(MAX(data->size / 8, 16), index_bytes);
    v->vsib.n = (uint8_t)MIN(data->size / 8 / v->vsib.data_size, index_bytes / v->vsib.index_size);
}

static bool describe(CpuState *cpu, const X86Insn *in, const ZydisDecodedInstruction *zi,
                     const ZydisDecodedOperand *ops, VecInsn *v, StubPlan *p)
{
    Touched t = {.evex = zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX};
    bool mode64 = cpu_is_long64(cpu);

    t.vex = t.evex || zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    if (t.vex && (!cpu_protected(cpu) || !(t.evex ? vec_host_has_avx512() : vec_host_has_avx()))) {
        return false;
    }
    for (unsigned i = 0; i < zi->operand_count; i++) {
        if (ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER) {
            plan_register(p, &t, &ops[i]);
        } else if (ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
                   ops[i].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
            t.mem = &ops[i];
        }
    }
    t.st |= zi->meta.isa_ext == ZYDIS_ISA_EXT_X87 || zi->meta.category == ZYDIS_CATEGORY_X87_ALU;
    t.mmx |= zi->meta.isa_ext == ZYDIS_ISA_EXT_MMX || zi->mnemonic == ZYDIS_MNEMONIC_CVTPI2PS;
    t.xmm |= (!t.vex && MNEMONIC_IS(zi->mnemonic, ZYDIS_MNEMONIC_LDMXCSR, ZYDIS_MNEMONIC_STMXCSR)) ||
             strncmp(ZydisMnemonicGetString(zi->mnemonic) + t.vex, "cvt", 3) == 0 ||
             MNEMONIC_IS(zi->mnemonic, ZYDIS_MNEMONIC_VLDMXCSR, ZYDIS_MNEMONIC_VSTMXCSR,
                         ZYDIS_MNEMONIC_VZEROUPPER, ZYDIS_MNEMONIC_VZEROALL);
    p->has_mem = t.mem != NULL;
    p->whole = t.vex;
    p->evex = t.evex;
    p->x87 = t.st || t.mmx;
    p->mxcsr = !t.st && !is_mxcsr_free(zi->mnemonic);
    if (zi->mnemonic == ZYDIS_MNEMONIC_VP2INTERSECTD || zi->mnemonic == ZYDIS_MNEMONIC_VP2INTERSECTQ) {
        p->k_out |= (uint8_t)(p->k_out << 1 | p->k_out >> 1); /* a pair of them */
        p->k_in |= p->k_out;
    }
    plan_flags(p, zi);
    v->mnemonic = (uint16_t)zi->mnemonic;
    v->waits = p->x87 && !MNEMONIC_IS(zi->mnemonic, ZYDIS_MNEMONIC_FNINIT, ZYDIS_MNEMONIC_FNCLEX,
                                      ZYDIS_MNEMONIC_FNSTCW, ZYDIS_MNEMONIC_FNSTSW,
                                      ZYDIS_MNEMONIC_FNSTENV, ZYDIS_MNEMONIC_FNSAVE,
                                      ZYDIS_MNEMONIC_FENI8087_NOP, ZYDIS_MNEMONIC_FDISI8087_NOP,
                                      ZYDIS_MNEMONIC_FSETPM287_NOP);
    v->flags_out = p->flags_out;
    set_checks(v, &t);
    if (t.mem != NULL) {
        v->mem_size = (uint8_t)MIN(t.mem->size / 8, 255);
        v->mem_read = op_reads(t.mem);
        v->mem_write = op_writes(t.mem);
        v->computes_first = zi->mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH;
        set_alignment(v, &t);
    }
    v->wide = mode64 ? zi->raw.rex.W || (in->prefixes & PFX_OPSIZE) == 0
                     : ((cpu->mode & MODE_CS32) != 0) == ((in->prefixes & PFX_OPSIZE) == 0);
    v->exec = c_exec(zi->mnemonic);
    if (v->exec != NULL) {
        v->seg = override_segment(zi);
        v->reg[0] = zi->operand_count > 0 ? (uint8_t)MAX(ZydisRegisterGetId(ops[0].reg.value), 0) : 0;
        v->reg[1] = zi->operand_count > 1 ? (uint8_t)MAX(ZydisRegisterGetId(ops[1].reg.value), 0) : 0;
        return true;
    }
    if (t.mem != NULL && t.mem->mem.type == ZYDIS_MEMOP_TYPE_VSIB) {
        if (t.mem->visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT || zi->operand_count < 3) {
            return false;      /* prefetch forms of Xeon Phi */
        }
        set_vsib(v, ops, t.mem);
        v->exec = v->mem_write ? vec_exec_scatter : vec_exec_gather;
        return true;
    }
    if (t.mem != NULL) {
        set_masking(v, zi, ops, t.mem);
        if (v->mem_size > 64) {
            return false;
        }
    }
    rewrite(p, in, zi, mode64, t.gpr);
    for (unsigned i = 0; i < zi->operand_count && !mode64; i++) {
        if (ops[i].encoding == ZYDIS_OPERAND_ENCODING_IS4) {
            p->bytes[p->len - 1] &= 0x7f;    /* there are eight registers */
        }
    }
    if (p->x87) {
        v->exec = vec_exec_x87;
    } else if (t.mem == NULL) {
        v->exec = exec_reg;
    } else if (v->mask_kind != VEC_MASK_NONE) {
        v->exec = v->mem_write ? vec_exec_masked_store : vec_exec_masked_load;
    } else {
        v->exec = v->computes_first ? exec_compute_store : v->mem_write ? exec_store : exec_load;
    }
    return true;
}

static uint32_t key_hash(const VecKey *k)
{
    const uint8_t *b = (const uint8_t *)k;
    uint32_t h = 2166136261u;

    for (unsigned i = 0; i < sizeof(*k); i++) {
        h = (h ^ b[i]) * 16777619u;
    }
    return (h ^ h >> 15) % VEC_HASH_SIZE;
}

static void flush(VecCpu *vc)
{
    memset(vc->hash, 0, VEC_HASH_SIZE * sizeof(*vc->hash));
    vc->n_insns = 0;
    vc->code_used = sizeof(uint32_t);
    vc->generation = vc->generation == UINT32_MAX ? 1 : vc->generation + 1;
}

/* The shared VecInsn equal to *v, made when there is none yet; NULL: no stub memory at all. */
static VecInsn *intern(CpuState *cpu, VecInsn *v, const StubPlan *p)
{
    VecCpu *vc = vec_cpu(cpu);
    uint32_t h = key_hash(&v->key);
    VecInsn *slot;

    for (uint32_t i = vc->hash[h]; i != 0; i = vc->insns[i - 1].next) {
        if (memcmp(&vc->insns[i - 1].key, &v->key, sizeof(v->key)) == 0) {
            return &vc->insns[i - 1];
        }
    }
    if (vc->n_insns == VEC_MAX_INSNS) {
        flush(vc);
    }
    if (p->len != 0) {
        if (!vec_stub_emit(vc, p, v)) {
            flush(vc);
            if (!vec_stub_emit(vc, p, v)) {
                return NULL;
            }
        }
        cpu->stats[STAT_VECTOR_STUBS]++;
    }
    slot = &vc->insns[vc->n_insns++];
    *slot = *v;
    slot->next = vc->hash[h];
    vc->hash[h] = vc->n_insns;
    return slot;
}

bool vector_prepare(CpuState *cpu, X86Insn *in, const ZydisDecodedInstruction *zi,
                    const ZydisDecodedOperand *ops)
{
    VecCpu *vc = vec_cpu(cpu);
    VecInsn v = {.mask_kind = VEC_MASK_NONE}, *shared;
    StubPlan p = {.len = 0};

    if (!describe(cpu, in, zi, ops, &v, &p)) {
        return false;
    }
    v.key.mode64 = cpu_is_long64(cpu);
    if (p.len != 0) {
        v.key.len = (uint8_t)p.len;
        memcpy(v.key.bytes, p.bytes, MIN(p.len, sizeof(v.key.bytes)));
    } else {
        v.key.len = zi->length;
        v.key.seg = 0x80 | v.seg;            /* original bytes, not rewritten ones */
        memcpy(v.key.bytes, in->bytes, zi->length);
    }
    shared = intern(cpu, &v, &p);
    if (shared == NULL) {
        return false;
    }
    in->exec = shared->exec;
    in->host = (void *)(uintptr_t)((uint64_t)vc->generation << 32 | (uint64_t)(shared - vc->insns));
    return true;
}

/* The table was flushed since `in` was prepared: prepare it again.  It belongs to this CPU's decode
 * cache, so it may be updated in place. */
const VecInsn *vec_refresh(CpuState *cpu, const X86Insn *in)
{
    X86Insn *own = (X86Insn *)(uintptr_t)in;
    ZydisMachineMode mm = cpu_is_long64(cpu)                ? ZYDIS_MACHINE_MODE_LONG_64
                          : (cpu->mode & MODE_CS32) != 0    ? ZYDIS_MACHINE_MODE_LEGACY_32
                                                            : ZYDIS_MACHINE_MODE_LEGACY_16;
    ZydisStackWidth sw = cpu_is_long64(cpu)             ? ZYDIS_STACK_WIDTH_64
                         : (cpu->mode & MODE_CS32) != 0 ? ZYDIS_STACK_WIDTH_32
                                                        : ZYDIS_STACK_WIDTH_16;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecodedInstruction zi;
    ZydisDecoder d;

    ZydisDecoderInit(&d, mm, sw);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, in->bytes, in->len, &zi, ops)) ||
        !vector_prepare(cpu, own, &zi, ops)) {
        cpu_raise_ud(cpu);
    }
    return &vec_cpu(cpu)->insns[(uint32_t)(uintptr_t)in->host];
}

/* -- Life --------------------------------------------------------------------------------------------- */

static gpointer global_init(gpointer unused)
{
    __builtin_cpu_init();
    vec_install_handlers();
    return NULL;
}

void vector_global_init(void)
{
    static GOnce once = G_ONCE_INIT; /* again would be over the handlers of who came after us */

    g_once(&once, global_init, NULL);
}

void vector_cpu_init(CpuState *cpu)
{
    VecCpu *vc = aligned_alloc(64, sizeof(VecCpu));

    g_assert(vc != NULL);
    memset(vc, 0, sizeof(*vc));
    vc->generation = 1;
    vc->insns = g_new0(VecInsn, VEC_MAX_INSNS);
    vc->hash = g_new0(uint32_t, VEC_HASH_SIZE);
    if (!vec_arena_init(vc)) {
        log_unimp("vector: the host gives no executable memory; x87 and SSE raise #UD\n");
    }
    cpu->vector_data = vc;
}

void vector_flush(CpuState *cpu)
{
    flush(vec_cpu(cpu));
}

void vector_cpu_clear(CpuState *cpu)
{
    VecCpu *vc = vec_cpu(cpu);

    if (vc != NULL) {
        vec_arena_clear(vc);
        g_free(vc->insns);
        g_free(vc->hash);
        free(vc);
        cpu->vector_data = NULL;
    }
}

void vector_reset(CpuState *cpu)
{
    VectorState *vs = &cpu->vec;

    memset(vs->zmm, 0, sizeof(vs->zmm));
    memset(vs->k, 0, sizeof(vs->k));
    memset(vs->fx, 0, sizeof(vs->fx));
    store_le(vs->fx + FX_FCW, 2, 0x40);
    vs->fx[FX_FTW] = 0xff;     /* power-on tags are 5555h: valid zeros */
    store_le(vs->fx + FX_MXCSR, 4, MXCSR_DEFAULT);
    store_le(vs->fx + FX_MXCSR_MASK, 4, 0xffff);
    vs->mxcsr = MXCSR_DEFAULT;
    vs->pkru = 0;
    vs->xcr0 = XCR0_X87;
    vs->xss = 0;
}
