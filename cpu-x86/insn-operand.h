/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operand access of executing instructions: registers, effective and linear addresses, memory,
 * read-modify-write, the stack, flags.
 *
 * The fast path of a memory operand is a hit in the software TLB with INSN_FAST_EA set: a hit
 * within one page proves that the address is canonical (or below 4 GiB in a flat segment), so no segment
 * check is needed.  Everything else goes through the *_slow functions of insn-operand.c.
 */
#ifndef CPU_X86_INSN_OPERAND_H
#define CPU_X86_INSN_OPERAND_H

#include "cpu-x86/exception.h"
#include "cpu-x86/insn.h"
#include "cpu-x86/segment.h"

#include <stddef.h>

/* The slots that mem.base and mem.index count, and X86Operand.off. */
_Static_assert(offsetof(CpuState, gpr) == 0, "register offsets fit a byte");
_Static_assert(offsetof(CpuState, next_rip) == 8 * GPR_RIP_BASE, "slot of next_rip");
_Static_assert(offsetof(CpuState, zero) == 8 * GPR_NONE, "slot of zero");

/* -- Registers --------------------------------------------------------------------------------- */

static inline uint64_t reg_get(const CpuState *cpu, unsigned off, unsigned size)
{
    const uint8_t *p = (const uint8_t *)cpu + off;

    switch (size) {
    case 1: return *p;
    case 2: return *(const uint16_t *)p;
    case 4: return *(const uint32_t *)p;
    default: return *(const uint64_t *)p;
    }
}

/* Whole 8-byte stores only, so that the next read is forwarded from the store buffer. */
static inline void reg_put(CpuState *cpu, unsigned off, unsigned size, uint64_t val)
{
    uint64_t *p = (uint64_t *)((uint8_t *)cpu + (off & ~7u));

    switch (size) {
    case 1: {
        unsigned shift = (off & 1) * 8;
        *p = (*p & ~(UINT64_C(0xff) << shift)) | ((uint64_t)(uint8_t)val << shift);
        break;
    }
    case 2: *p = (*p & ~UINT64_C(0xffff)) | (uint16_t)val; break;
    case 4: *p = (uint32_t)val; break;
    default: *p = val; break;
    }
}

/* Write a general register by number, as an operand of `size` bytes. */
static inline void gpr_put(CpuState *cpu, unsigned reg, unsigned size, uint64_t val)
{
    reg_put(cpu, reg * 8, size, val);
}

static inline uint64_t gpr_get(const CpuState *cpu, unsigned reg, unsigned size)
{
    return reg_get(cpu, reg * 8, size);
}

/* -- Addresses --------------------------------------------------------------------------------- */

static inline uint64_t insn_ea(const CpuState *cpu, const X86Insn *in)
{
    const uint64_t *slot = (const uint64_t *)(const void *)cpu;
    uint64_t ea = slot[in->mem.base] + (slot[in->mem.index] << in->mem.scale) +
                  (uint64_t)in->mem.disp;
    return ea << in->addr_shift >> in->addr_shift;
}

/* #AC(0) when alignment is checked and `lin` is not aligned to size (1, 2, 4, 8, 16). */
static inline void check_alignment(CpuState *cpu, uint64_t lin, unsigned size)
{
    if (unlikely((cpu->mode & MODE_AC) != 0 && (lin & (size - 1)) != 0)) {
        cpu_raise_code(cpu, EXC_AC, 0);
    }
}

/* Linear address of seg:off with all checks, alignment too. */
static inline GuestLin data_linear(CpuState *cpu, unsigned seg, uint64_t off, unsigned size,
                                   bool write)
{
    GuestLin lin = seg_linear(cpu, seg, off, size, write);

    check_alignment(cpu, lin.v, size);
    return lin;
}

/* Linear address of the memory operand; size 1..64 and for blocks any (no alignment check: those
 * who access by other functions than below do it themselves). */
static inline GuestLin insn_lin(CpuState *cpu, const X86Insn *in, unsigned size, bool write)
{
    return seg_linear(cpu, in->mem.seg, insn_ea(cpu, in), size, write);
}

static inline TlbClass data_class(const CpuState *cpu)
{
    return (TlbClass)cpu->tlb_class;
}

/* -- Memory operand ---------------------------------------------------------------------------- */

uint64_t insn_load_slow(CpuState *cpu, const X86Insn *in, unsigned size);
void insn_store_slow(CpuState *cpu, const X86Insn *in, unsigned size, uint64_t val);
void insn_rmw_begin_slow(CpuState *cpu, const X86Insn *in, unsigned size, bool locked, MmuRmw *rmw);

/* Host address of the memory operand when the access may go straight to it, else NULL. */
static inline void *insn_hit(CpuState *cpu, const X86Insn *in, unsigned size, TlbAccess a)
{
    if (likely((in->flags & INSN_FAST_EA) != 0)) {
        uint64_t lin = insn_ea(cpu, in) +
                       *(const uint64_t *)((const uint8_t *)cpu + in->mem.seg_base);
        void *p = tlb_hit(&cpu->mmu.tlb, data_class(cpu), lin, a);

        if (likely(p != NULL && tlb_within_page(lin, size))) {
            return p;
        }
    }
    return NULL;
}

static inline uint64_t insn_load(CpuState *cpu, const X86Insn *in, unsigned size)
{
    void *p = insn_hit(cpu, in, size, TLB_LOAD);

    if (likely(p != NULL)) {
        return host_load(p, size);
    }
    return insn_load_slow(cpu, in, size);
}

static inline void insn_store(CpuState *cpu, const X86Insn *in, unsigned size, uint64_t val)
{
    void *p = insn_hit(cpu, in, size, TLB_STORE);

    if (likely(p != NULL)) {
        host_store(p, size, val);
        return;
    }
    insn_store_slow(cpu, in, size, val);
}

/* Between begin and end nothing may raise; `locked`: the caller uses a host lock prefix. */
static inline void *insn_rmw_begin(CpuState *cpu, const X86Insn *in, unsigned size, bool locked,
                                   MmuRmw *rmw)
{
    void *p = insn_hit(cpu, in, size, TLB_STORE);

    if (likely(p != NULL)) {
        rmw->p = p;
        rmw->is_copy = rmw->mark = false;
        return p;
    }
    insn_rmw_begin_slow(cpu, in, size, locked, rmw);
    return rmw->p;
}

static inline void insn_rmw_end(CpuState *cpu, MmuRmw *rmw, bool changed)
{
    mmu_rmw_end(&cpu->mmu, rmw, changed);
}

/* -- Any operand ------------------------------------------------------------------------------- */

static inline uint64_t op_read_sized(CpuState *cpu, const X86Insn *in, unsigned i, unsigned size)
{
    switch (in->op[i].kind) {
    case OPERAND_GPR:
    case OPERAND_GPR_HIGH: return reg_get(cpu, in->op[i].off, size);
    case OPERAND_MEM: return insn_load(cpu, in, size);
    case OPERAND_IMM: return in->imm & mask_bytes(size);
    case OPERAND_SEG: return cpu->seg[in->op[i].reg].selector;
    default: return 0;
    }
}

static inline void op_write_sized(CpuState *cpu, const X86Insn *in, unsigned i, unsigned size,
                                  uint64_t val)
{
    if (in->op[i].kind == OPERAND_MEM) {
        insn_store(cpu, in, size, val);
    } else {
        reg_put(cpu, in->op[i].off, size, val);
    }
}

static inline uint64_t op_read(CpuState *cpu, const X86Insn *in, unsigned i)
{
    return op_read_sized(cpu, in, i, in->op[i].size);
}

static inline void op_write(CpuState *cpu, const X86Insn *in, unsigned i, uint64_t val)
{
    op_write_sized(cpu, in, i, in->op[i].size, val);
}

static inline bool op_is_mem(const X86Insn *in, unsigned i)
{
    return in->op[i].kind == OPERAND_MEM;
}

/* Index 0..3 of a size 1, 2, 4, 8, for tables of functions. */
static inline unsigned size_index(unsigned size)
{
    return (unsigned)__builtin_ctz(size);
}

/* -- Stack ------------------------------------------------------------------------------------- */

uint64_t ss_load_slow(CpuState *cpu, uint64_t sp, unsigned size);
void ss_store_slow(CpuState *cpu, uint64_t sp, unsigned size, uint64_t val);

/* Which bits of RSP are the stack pointer. */
static inline uint64_t ss_mask(const CpuState *cpu)
{
    return (cpu->mode & MODE_CS64) != 0   ? UINT64_MAX
           : (cpu->mode & MODE_SS32) != 0 ? UINT32_MAX
                                          : UINT16_MAX;
}

static inline void ss_set_sp(CpuState *cpu, uint64_t sp)
{
    uint64_t mask = ss_mask(cpu);

    cpu->gpr[GPR_RSP] = mask == UINT16_MAX
                            ? (cpu->gpr[GPR_RSP] & ~mask) | (sp & mask)
                            : sp & mask;
}

static inline void *ss_hit(CpuState *cpu, uint64_t sp, unsigned size, TlbAccess a)
{
    if (likely((cpu->mode & (MODE_CS64 | MODE_AC)) == MODE_CS64 ||
               (cpu->mode & (MODE_FLAT | MODE_SS32 | MODE_AC)) == (MODE_FLAT | MODE_SS32))) {
        void *p = tlb_hit(&cpu->mmu.tlb, data_class(cpu), sp, a);

        if (likely(p != NULL && tlb_within_page(sp, size))) {
            return p;
        }
    }
    return NULL;
}

/* Load and store at SS:sp (sp already masked); RSP is not changed. */
static inline uint64_t ss_load(CpuState *cpu, uint64_t sp, unsigned size)
{
    void *p = ss_hit(cpu, sp, size, TLB_LOAD);

    return likely(p != NULL) ? host_load(p, size) : ss_load_slow(cpu, sp, size);
}

static inline void ss_store(CpuState *cpu, uint64_t sp, unsigned size, uint64_t val)
{
    void *p = ss_hit(cpu, sp, size, TLB_STORE);

    if (likely(p != NULL)) {
        host_store(p, size, val);
    } else {
        ss_store_slow(cpu, sp, size, val);
    }
}

static inline void ss_push(CpuState *cpu, unsigned size, uint64_t val)
{
    uint64_t sp = (cpu->gpr[GPR_RSP] - size) & ss_mask(cpu);

    ss_store(cpu, sp, size, val);
    ss_set_sp(cpu, sp);
}

static inline uint64_t ss_pop(CpuState *cpu, unsigned size)
{
    uint64_t sp = cpu->gpr[GPR_RSP] & ss_mask(cpu);
    uint64_t val = ss_load(cpu, sp, size);

    ss_set_sp(cpu, sp + size);
    return val;
}

/* -- Flags ------------------------------------------------------------------------------------- */

/* What `lahf; seto %al` left in eax -> RFLAGS (FLAGS_ARITH). */
static inline void flags_set(CpuState *cpu, unsigned ahal)
{
    cpu->rflags = (cpu->rflags & ~(uint64_t)FLAGS_ARITH) | (uint8_t)(ahal >> 8) |
                  (uint64_t)(uint8_t)ahal << 11;
}

/* ... all but CF (inc, dec). */
static inline void flags_set_but_cf(CpuState *cpu, unsigned ahal)
{
    const uint64_t keep = ~(uint64_t)(FLAGS_ARITH & ~FLAG_CF);

    cpu->rflags = (cpu->rflags & keep) | ((uint8_t)(ahal >> 8) & ~FLAG_CF) |
                  (uint64_t)(uint8_t)ahal << 11;
}

static inline void flags_put(CpuState *cpu, uint64_t mask, uint64_t val)
{
    cpu->rflags = (cpu->rflags & ~mask) | (val & mask);
}

/* Flags that the manual leaves undefined come out as this host makes them, so that interpreted and
 * translated code agree to the bit.  AMD's keep some where Intel's write them. */
static inline bool host_is_amd(void)
{
    return __builtin_cpu_is("amd") != 0;
}

/* Host flags <- guest's arithmetic flags f; the library is built without a red zone. */
#define LOAD_FLAGS "pushq %[f]\n\tpopfq\n\t"
#define STORE_FLAGS "\n\tpushfq\n\tpopq %[f]"

static inline uint64_t host_flags(const CpuState *cpu)
{
    return (cpu->rflags & FLAGS_ARITH) | FLAG_FIXED;
}

/* Condition 0..15 as encoded in Jcc, SETcc, CMOVcc. */
static inline bool flags_test(uint64_t f, unsigned cc)
{
    bool r;

    switch (cc >> 1) {
    case 0: r = (f & FLAG_OF) != 0; break;
    case 1: r = (f & FLAG_CF) != 0; break;
    case 2: r = (f & FLAG_ZF) != 0; break;
    case 3: r = (f & (FLAG_CF | FLAG_ZF)) != 0; break;
    case 4: r = (f & FLAG_SF) != 0; break;
    case 5: r = (f & FLAG_PF) != 0; break;
    case 6: r = ((f >> 4 ^ f) & FLAG_SF) != 0; break;
    default: r = (((f >> 4 ^ f) & FLAG_SF) | (f & FLAG_ZF)) != 0; break;
    }
    return r != (cc & 1);
}

/* -- Branches ---------------------------------------------------------------------------------- */

/* Near branch to `target` (offset in CS): truncated to the operand size, #GP(0) beyond the limit or
 * when not canonical.  Sets next_rip. */
static inline void branch_near(CpuState *cpu, unsigned op_size, uint64_t target)
{
    if (likely((cpu->mode & MODE_CS64) != 0)) {
        if (unlikely(op_size == 2)) { /* AMD's only */
            target = (uint16_t)target;
        }
        if (unlikely((int64_t)(target << 16) >> 16 != (int64_t)target)) {
            cpu_raise_gp(cpu, 0);
        }
    } else {
        target &= op_size == 2 ? UINT16_MAX : UINT32_MAX;
        if (unlikely(target > cpu->seg[SEG_CS].limit)) {
            cpu_raise_gp(cpu, 0);
        }
    }
    cpu->next_rip = target;
}

#endif /* CPU_X86_INSN_OPERAND_H */
