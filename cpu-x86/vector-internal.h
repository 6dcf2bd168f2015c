/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of the host-executed instructions (vector.h): what vector*.c share.
 *
 * A VecInsn is what vector_prepare() finds out about one instruction: its stub, which control bits
 * it wants, how its memory operand is to be treated.  VecInsns are shared by all X86Insns whose
 * rewritten bytes are equal, and live in a bounded table of their CPU.  When the table or the stub
 * memory is full, all are dropped and the generation changes: X86Insn.host holds (generation,
 * index), never a pointer, and a stale one is prepared anew from its bytes.
 */
#ifndef CPU_X86_VECTOR_INTERNAL_H
#define CPU_X86_VECTOR_INTERNAL_H

#include "cpu-x86/exception.h"
#include "cpu-x86/segment.h"
#include "cpu-x86/vector.h"

enum { VEC_UD = 6, VEC_NM = 7, VEC_GP = 13, VEC_MF = 16, VEC_AC = 17, VEC_XM = 19 };

/* Offsets in the FXSAVE64 image. */
enum { FX_FCW = 0, FX_FSW = 2, FX_FTW = 4, FX_FOP = 6, FX_FIP = 8, FX_FDP = 16, FX_MXCSR = 24,
       FX_MXCSR_MASK = 28, FX_ST = 32 };
enum { FSW_ES = 0x80, FSW_B = 0x8000, FSW_EXCEPTIONS = 0x3f };
enum { MXCSR_DEFAULT = 0x1f80, FCW_DEFAULT = 0x37f };

/* A stub: returns 0, or the signal that its instruction raised.  `buf` stands for guest memory. */
typedef int (*VecStub)(CpuState *cpu, void *buf);

typedef struct {
    uint8_t len;
    uint8_t mode64;
    uint8_t bytes[15];
    uint8_t seg;               /* SEG_* where an implicit operand has one                    */
} VecKey;

/* How masking limits the memory access. */
typedef enum {
    VEC_MASK_NONE,
    VEC_MASK_K,                /* element j is touched when a bit i of K, i mod n_mem = j    */
    VEC_MASK_PACKED,           /* expand, compress: the first popcount(K) elements           */
    VEC_MASK_SIGNS,            /* vmaskmov: sign bits of a vector register                   */
} VecMask;

typedef struct {
    VecKey key;
    uint32_t next;             /* in the hash chain: index + 1                               */
    X86Exec exec;
    VecStub run;
    const uint8_t *host_pc;    /* of the guest's instruction inside the stub                 */
    uint32_t cr0_clear;        /* control bits that must be clear, set                       */
    uint32_t cr4_set;
    uint32_t xcr0_set;
    uint16_t mnemonic;
    bool em_is_nm;             /* x87: CR0.EM means #NM, else #UD                            */
    bool waits;                /* looks at pending x87 exceptions first                      */
    bool flags_out;
    bool wide;                 /* x87 environment in the 32-bit format                       */
    bool mem_read, mem_write;
    bool probes_all;           /* masked store without fault suppression                     */
    bool computes_first;       /* stores after its SIMD exceptions: #XM and MXCSR before #PF */
    uint8_t mem_size;          /* bytes; 0: no memory operand                                */
    uint8_t align;             /* #GP unless aligned so; 0: any                              */
    uint8_t ac_align;          /* #AC unless aligned so; 0: any                              */
    uint8_t mask_kind;         /* VecMask                                                    */
    uint8_t mask_reg;
    uint8_t n_mask, n_mem;     /* mask bits, elements in memory                              */
    uint8_t elem;              /* bytes of an element in memory                              */
    struct {                   /* gather, scatter: see vector-gather.c                       */
        uint8_t data_reg, index_reg, mask_reg;
        uint8_t data_size, index_size; /* bytes of an element                                */
        uint8_t reg_bytes;     /* of the widest register, whose mask elements count          */
        uint8_t n;
        bool k_mask;
    } vsib;
    uint8_t seg;               /* maskmovdqu, maskmovq                                       */
    uint8_t reg[2];            /* vector operands of instructions done in C                  */
} VecInsn;

enum { VEC_MAX_INSNS = 1 << 13, VEC_HASH_SIZE = 1 << 13, VEC_CODE_SIZE = 2 << 20,
       VEC_STUB_MAX = 1024, VEC_BUF_SIZE = 128 };

typedef struct {
    uint8_t buf[VEC_BUF_SIZE]; /* bounce buffer; first: stubs know                           */
    uint64_t flags;            /* host flags after an instruction with flags_out             */
    uint8_t *rw;               /* stub memory, writable view, ...                            */
    const uint8_t *rx;         /* ... executable view; NULL: the host gives none             */
    uint32_t code_used;
    uint32_t generation;       /* never 0                                                    */
    uint32_t n_insns;
    VecInsn *insns;
    uint32_t *hash;            /* index + 1                                                  */
} __attribute__((aligned(64))) VecCpu;

static inline VecCpu *vec_cpu(const CpuState *cpu)
{
    return cpu->vector_data;
}

/* -- vector-stub.c ---------------------------------------------------------------------------------- */

/* What the generated code has to load, run and store. */
typedef struct {
    uint8_t bytes[16];         /* rewritten instruction; fields named below are still to patch */
    unsigned len;
    int modrm_at, vvvv_at;     /* offsets in bytes, -1: none                                 */
    bool has_mem;
    int sp_field[3];           /* SP_FIELD_*: where RSP is named as an operand               */
    unsigned n_sp;
    uint32_t gpr_in, gpr_out;  /* bits by guest register                                     */
    uint32_t vec_in, vec_out;
    uint8_t k_in, k_out;
    bool whole;                /* vector registers in full width (VEX, EVEX)                 */
    bool evex;
    bool mxcsr, x87, flags_in, flags_out;
} StubPlan;

enum { SP_FIELD_REG, SP_FIELD_RM, SP_FIELD_VVVV };

bool vec_host_has_avx(void);
bool vec_host_has_avx512(void);

/* Generate; false when the stub memory is full (flush and try again). */
bool vec_stub_emit(VecCpu *vc, const StubPlan *p, VecInsn *v);

bool vec_arena_init(VecCpu *vc);
void vec_arena_clear(VecCpu *vc);
void vec_install_handlers(void);

/* -- vector.c ------------------------------------------------------------------------------------------ */

const VecInsn *vec_refresh(CpuState *cpu, const X86Insn *in);
_Noreturn void vec_unavailable(CpuState *cpu, const VecInsn *v);
_Noreturn void vec_signal(CpuState *cpu, const VecInsn *v, int sig);
void vec_run(CpuState *cpu, const VecInsn *v);

/* Linear address of the memory operand after segment and alignment checks. */
GuestLin vec_operand(CpuState *cpu, const X86Insn *in, const VecInsn *v, bool write);
/* size 1..64; 1, 2, 4, 8 and aligned 16 are single accesses. */
void vec_load(CpuState *cpu, GuestLin lin, void *dst, unsigned size);
void vec_probe_store(CpuState *cpu, GuestLin lin, unsigned size);
void vec_store(CpuState *cpu, GuestLin lin, const void *src, unsigned size);

static inline const VecInsn *vec_insn(CpuState *cpu, const X86Insn *in)
{
    VecCpu *vc = vec_cpu(cpu);
    uint64_t host = (uint64_t)(uintptr_t)in->host;

    if (likely(host >> 32 == vc->generation)) {
        return &vc->insns[(uint32_t)host];
    }
    return vec_refresh(cpu, in);
}

/* #UD or #NM unless the control registers allow the instruction. */
static inline void vec_check(CpuState *cpu, const VecInsn *v)
{
    if (unlikely(((cpu->cr0 & v->cr0_clear) | (~cpu->cr4 & v->cr4_set) |
                  (~cpu->vec.xcr0 & v->xcr0_set)) != 0)) {
        vec_unavailable(cpu, v);
    }
}

/* Effective address of the memory operand, truncated to the address size. */
static inline uint64_t vec_trunc_addr(const X86Insn *in, uint64_t a)
{
    return in->addr_size == 8 ? a : in->addr_size == 4 ? (uint32_t)a : (uint16_t)a;
}

static inline uint64_t vec_ea(const CpuState *cpu, const X86Insn *in)
{
    uint64_t a = (uint64_t)in->mem.disp;

    if (in->mem.base == GPR_RIP_BASE) {
        a += cpu->next_rip;
    } else if (in->mem.base != GPR_NONE) {
        a += cpu->gpr[in->mem.base];
    }
    if (in->mem.index != GPR_NONE) {
        a += cpu->gpr[in->mem.index] << in->mem.scale;
    }
    return vec_trunc_addr(in, a);
}

static inline bool vec_ac_enabled(const CpuState *cpu)
{
    return (cpu->rflags & FLAG_AC) != 0 && (cpu->cr0 & CR0_AM) != 0 && cpu->cpl == 3;
}

/* -- vector-x87.c -------------------------------------------------------------------------------------- */

/* Exec function for an x87 or MMX instruction done in C, NULL for the others. */
X86Exec vec_x87_exec(ZydisMnemonic m);
void vec_exec_x87(CpuState *cpu, const X86Insn *in);
/* An x87 exception is pending and the instruction waits: #MF, or FERR# and go on. */
void vec_x87_pending(CpuState *cpu);
/* Set TOP; the physical registers keep their values, so the image rotates. */
void vec_x87_set_top(CpuState *cpu, unsigned top);

/* -- vector-gather.c ----------------------------------------------------------------------------------- */

void vec_exec_masked_load(CpuState *cpu, const X86Insn *in);
void vec_exec_masked_store(CpuState *cpu, const X86Insn *in);
void vec_exec_gather(CpuState *cpu, const X86Insn *in);
void vec_exec_scatter(CpuState *cpu, const X86Insn *in);
void vec_exec_maskmov(CpuState *cpu, const X86Insn *in);

#endif /* CPU_X86_VECTOR_INTERNAL_H */
