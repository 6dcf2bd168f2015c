/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page walk (SDM vol. 3A chapter 4): 2-level, PAE, 4-level; PSE, 1 GiB pages, A/D, NX, WP, SMEP,
 * SMAP, PKU. */
#ifndef CPU_X86_WALK_H
#define CPU_X86_WALK_H

#include "cpu-x86/state.h"

/* SoftMmu.fill: walk, set A/D, insert; or raise #PF. `arg` is the CpuState. */
void cpu_walk_fill(void *arg, GuestLin lin, TlbAccess a, TlbClass c);

/* ... or, false, leave the #PF in cpu->exc. */
bool cpu_walk_try(CpuState *cpu, GuestLin lin, TlbAccess a, TlbClass c);

/* What the tables grant accesses of class c at `lin` now, without a change to them: TLB_R_* bits, as
 * cpu_walk_fill() would insert for a load; 0 too where some accessed bit is not set yet.  *phys: of the
 * 4 KiB page. */
unsigned cpu_walk_peek(CpuState *cpu, GuestLin lin, TlbClass c, GuestPhys *phys,
                       unsigned *page_shift);

/* What a supervisor's data access to a supervisor's page (U/S clear) finds. */
typedef struct {
    GuestPhys phys;            /* of the 4 KiB page                                              */
    unsigned page_shift, rights;
    bool global;
    unsigned before, after;    /* pages on both sides, in the same table, that continue it in every respect */
    GuestPhys entry_at;        /* the entry that says so, of entry_size bytes                    */
    unsigned entry_size;
    uint64_t entry;
} WalkExtent;

/* As cpu_walk_peek(), for TLB_KERNEL; at most `max` pages are counted on each side.  False: no access without a
 * change to the tables, or a user's page. */
bool cpu_walk_extent(CpuState *cpu, GuestLin lin, unsigned max, WalkExtent *x);

/*
 * Fill the TLB for a page that the guest will probably touch, as a processor may at any time (SDM vol. 3A,
 * 4.10.2.3), when the tables grant it and need no change: for CPL 3 where user code may, else for the current
 * class.  False: they do not.  Owner only; raises nothing, allocates nothing.
 */
bool cpu_walk_ahead(CpuState *cpu, GuestLin lin);

/* For the debugger and monitor: translate without side effects or rights.  False: not mapped. */
bool cpu_walk_debug(CpuState *cpu, GuestLin lin, GuestPhys *phys);

/* Read or write guest-linear memory for the debugger; no side effects in the guest beyond the
 * bytes.  False when some of it is not mapped. */
bool cpu_debug_read(CpuState *cpu, GuestLin lin, void *dst, size_t len);
bool cpu_debug_write(CpuState *cpu, GuestLin lin, const void *src, size_t len);

/* Registers whose change affects translation; flush as the SDM (4.10.4.1) says.  Raise #GP. */
void cpu_write_cr0(CpuState *cpu, uint64_t val);
void cpu_write_cr3(CpuState *cpu, uint64_t val);
/* Could CR0, CR3, CR4 and EFER have come to be what they are, in this model? */
bool cpu_control_is_valid(const CpuState *cpu);
void cpu_write_cr4(CpuState *cpu, uint64_t val);
void cpu_write_efer(CpuState *cpu, uint64_t val);
void cpu_write_pkru(CpuState *cpu, uint32_t val);

#endif /* CPU_X86_WALK_H */
