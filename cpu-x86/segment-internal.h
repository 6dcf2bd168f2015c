/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What segment.c, far.c, task.c and exception.c share: descriptors as they lie in memory, stacks
 * that are not the current one yet, and the checks both far transfers and deliveries make.
 *
 * `ext` is bit 0 of every error code made here: 1 while an event outside the program is delivered.
 */
#ifndef CPU_X86_SEGMENT_INTERNAL_H
#define CPU_X86_SEGMENT_INTERNAL_H

#include "cpu-x86/exception.h"
#include "cpu-x86/segment.h"

/* System descriptor types (SDM 3A table 3-2). */
enum {
    SYS_TSS16 = 1, SYS_LDT = 2, SYS_TSS16_BUSY = 3, SYS_CALL16 = 4, SYS_TASK_GATE = 5,
    SYS_INT16 = 6, SYS_TRAP16 = 7, SYS_TSS32 = 9, SYS_TSS32_BUSY = 11, SYS_CALL32 = 12,
    SYS_INT32 = 14, SYS_TRAP32 = 15,
};
enum { SYS_BUSY = 1 << 9 };    /* of a TSS type, in place */

/* -- Descriptors ---------------------------------------------------------------------------------- */

typedef struct {
    uint16_t selector;
    uint32_t lo, hi;
    uint32_t lo2, hi2;         /* second half of a 16-byte system descriptor (long mode)  */
    GuestLin at;
} Desc;

static inline unsigned desc_type(const Desc *d)
{
    return (d->hi >> SEG_TYPE_SHIFT) & 0xf;
}

static inline unsigned desc_dpl(const Desc *d)
{
    return (d->hi >> SEG_DPL_SHIFT) & 3;
}

static inline bool desc_present(const Desc *d)
{
    return (d->hi & SEG_P) != 0;
}

static inline bool desc_is_code(const Desc *d)
{
    return (d->hi & (SEG_S | SEG_CODE)) == (SEG_S | SEG_CODE);
}

static inline bool desc_is_writable_data(const Desc *d)
{
    return (d->hi & (SEG_S | SEG_CODE | SEG_RW)) == (SEG_S | SEG_RW);
}

static inline bool desc_is_system(const Desc *d)
{
    return (d->hi & SEG_S) == 0;
}

static inline bool selector_is_null(uint16_t selector)
{
    return (selector & 0xfffc) == 0;
}

static inline uint32_t selector_code(uint16_t selector, unsigned ext)
{
    return (selector & 0xfffcu) | ext;
}

/* Read the descriptor a selector names.  False: outside its table (or there is no LDT). */
bool desc_read(CpuState *cpu, uint16_t selector, Desc *d);
/* ... one that turned out to be a system descriptor: in long mode read its second half.  False:
 * that lies outside the table. */
bool desc_read_upper(CpuState *cpu, Desc *d);

/* The segment register contents a descriptor describes (32-bit base; desc_base() for system
 * segments in long mode). */
Segment desc_segment(const Desc *d);
uint64_t desc_base(const CpuState *cpu, const Desc *d);

/* Set the accessed bit in memory if it is clear; set or clear the busy bit of a TSS. */
void desc_set_accessed(CpuState *cpu, Desc *d);
void desc_set_busy(CpuState *cpu, Desc *d, bool busy);

/* -- Memory of another privilege level ------------------------------------------------------------- */

static inline TlbClass tlb_class_of(const CpuState *cpu, unsigned cpl)
{
    return cpl == 3 ? TLB_USER
           : (cpu->cr4 & CR4_SMAP) != 0 && (cpu->rflags & FLAG_AC) != 0 ? TLB_KERNEL_AC
                                                                         : TLB_KERNEL;
}

static inline uint64_t read_system(CpuState *cpu, uint64_t lin, unsigned size)
{
    return mmu_load(&cpu->mmu, TLB_KERNEL, guest_lin(lin), size);
}

static inline void write_system(CpuState *cpu, uint64_t lin, unsigned size, uint64_t val)
{
    mmu_store(&cpu->mmu, TLB_KERNEL, guest_lin(lin), size, val);
}

static inline bool canonical(uint64_t lin)
{
    return (uint64_t)((int64_t)(lin << 16) >> 16) == lin;
}

/* -- Stacks ----------------------------------------------------------------------------------------- */

/* A stack being worked on; nothing of it is in the CpuState until stack_commit(). */
typedef struct {
    Segment ss;
    uint64_t sp, mask;         /* mask: 0xffff, 0xffffffff or all ones                  */
    TlbClass tlb_class;
    bool long64;               /* no base, no limit                                     */
    uint32_t code;             /* of #SS when it overflows                              */
} Stack;

Stack stack_current(const CpuState *cpu, unsigned ext);
/* A stack on segment `ss` at privilege level `cpl`; long64: 64-bit code will run on it. */
Stack stack_on(const CpuState *cpu, const Segment *ss, uint64_t sp, unsigned cpl, bool long64,
               uint32_t code);
void stack_push(CpuState *cpu, Stack *s, unsigned size, uint64_t val);
uint64_t stack_pop(CpuState *cpu, Stack *s, unsigned size);
/* Bytes read without popping, `off` above the top. */
uint64_t stack_peek(CpuState *cpu, const Stack *s, uint64_t off, unsigned size);
/* Make it the current stack pointer; with `segment` the SS register too (CPL may change: the caller
 * ends with cpu_update_mode()). */
void stack_commit(CpuState *cpu, const Stack *s, bool segment);

/* The stack for privilege level `dpl` from the TSS, checked as SDM 3A 5.8.5 wants (#TS, #SS).
 * long64: RSP from a 64-bit TSS, SS becomes null; ist 1..7 takes that entry instead. */
Stack stack_from_tss(CpuState *cpu, unsigned dpl, unsigned ist, unsigned ext);

/* A null SS in 64-bit mode at this privilege level. */
Segment segment_null_ss(unsigned cpl);

/* -- Code segments ---------------------------------------------------------------------------------- */

/* #GP(code) unless `rip` may run in code segment `cs` (limit; canonical when 64-bit). */
void code_check_rip(CpuState *cpu, const Segment *cs, uint64_t rip, uint32_t code);

static inline bool code_is_64(const CpuState *cpu, uint32_t attr)
{
    return (cpu->efer & EFER_LMA) != 0 && (attr & SEG_L) != 0;
}

/* Set CS with CPL in its RPL. Limits and rip have been checked. */
void code_commit(CpuState *cpu, const Desc *d, unsigned cpl, uint64_t rip);

/* Data segments that the outer level `cpl` may not use become null (SDM 3A 5.8.6). */
void drop_inner_segments(CpuState *cpu, unsigned cpl);

/* Which flags POPF, IRET may change at this CPL and IOPL, for an image of `size` bytes. */
uint64_t flags_writable(const CpuState *cpu, unsigned cpl, unsigned size);

/* -- 64-bit code, nothing unusual (plain64.c) -------------------------------------------------------- */

/* Enter the handler of `vector` at ring 0 (soft: INT n; code: the error code, or NULL; rip, flags: to push).
 * False: do it step by step; nothing has changed.  CS, SS, RSP, RFLAGS, next_rip are set. */
bool cpu_deliver_plain(CpuState *cpu, unsigned vector, bool soft, const uint32_t *code, uint64_t rip, uint64_t flags);

/* -- Tasks ------------------------------------------------------------------------------------------ */

typedef enum { TASK_JUMP, TASK_CALL, TASK_IRET, TASK_EVENT } TaskReason;

/* Switch to the task whose (checked for type and DPL) TSS descriptor is `d`.  `rip` is where the
 * old task goes on, `flags` the EFLAGS image it is saved with.  What faults after the point of no
 * return does so in the new task, with rip there. */
void cpu_task_switch(CpuState *cpu, Desc *d, TaskReason why, uint64_t rip, uint64_t flags,
                     unsigned ext);
/* Through a task gate (its descriptor already checked). */
void cpu_task_gate(CpuState *cpu, const Desc *gate, TaskReason why, uint64_t rip, uint64_t flags,
                   unsigned ext);
/* IRET with NT set. */
void cpu_task_return(CpuState *cpu);

#endif /* CPU_X86_SEGMENT_INTERNAL_H */
