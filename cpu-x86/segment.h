/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segmentation, far transfers, gates, task switches (SDM vol. 3A chapters 3, 5, 7). */
#ifndef CPU_X86_SEGMENT_H
#define CPU_X86_SEGMENT_H

#include "cpu-x86/insn.h"

/* Linear address of seg:offset for an access of `size` bytes, after the checks of SDM 3A 5.3-5.5
 * (limit, type, null selector; canonical in 64-bit mode).  Raises #GP(0), #SS(0). */
GuestLin seg_linear_slow(CpuState *cpu, unsigned seg, uint64_t off, unsigned size, bool write);

static inline GuestLin seg_linear(CpuState *cpu, unsigned seg, uint64_t off, unsigned size, bool write)
{
    if ((cpu->mode & MODE_CS64) != 0) {
        uint64_t lin = off + (seg >= SEG_FS ? cpu->seg[seg].base : 0);
        if (likely(((int64_t)(lin << 16) >> 16) == (int64_t)lin &&
                   ((int64_t)((lin + size - 1) << 16) >> 16) == (int64_t)(lin + size - 1))) {
            return guest_lin(lin);
        }
    } else if ((cpu->mode & MODE_FLAT) != 0 && seg < SEG_FS && off + size - 1 <= UINT32_MAX &&
               seg != SEG_CS) {
        return guest_lin(off);
    }
    return seg_linear_slow(cpu, seg, off, size, write);
}

/* MOV/POP to ES, SS, DS, FS, GS in the current mode, with all checks (SDM MOV).  Raises. */
void cpu_load_segment(CpuState *cpu, unsigned seg, uint16_t selector);

/* Set a segment the way real mode does: base = selector << 4, limit and attributes of the mode. */
void cpu_load_segment_real(CpuState *cpu, unsigned seg, uint16_t selector);

/* Far control transfers; set next_rip, CS, SS:RSP, CPL.  op_size in bytes. */
void cpu_far_jump(CpuState *cpu, uint16_t selector, uint64_t offset, unsigned op_size);
void cpu_far_call(CpuState *cpu, uint16_t selector, uint64_t offset, unsigned op_size);
void cpu_far_return(CpuState *cpu, unsigned op_size, unsigned pop_bytes);
void cpu_iret(CpuState *cpu, unsigned op_size);
/* IRETQ at ring 0 between 64-bit code where nothing is unusual; of the general registers it looks at and changes RSP
 * alone, nmi_masked is the caller's.  False: cpu_iret() is to do it step by step; nothing has changed. */
bool cpu_iret_plain(CpuState *cpu);

/* True when CPL (and in v86 or with CPL > IOPL the TSS bitmap) allows size ports from port; used
 * by IN/OUT/INS/OUTS, which raise #GP(0) otherwise. */
bool cpu_port_allowed(CpuState *cpu, uint16_t port, unsigned size);

#endif /* CPU_X86_SEGMENT_H */
