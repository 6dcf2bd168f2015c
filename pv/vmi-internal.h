/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VMI calls between their files: dispatch (vmi.c), alarms and clocks (vmi-time.c). */
#ifndef PV_VMI_INTERNAL_H
#define PV_VMI_INTERNAL_H

#include "cpu-x86/cpu-start.h"
#include "pv/pv-internal.h"
#include "pv/vmi.h"

typedef struct Vmi Vmi;

enum { VMI_COUNTER_REAL, VMI_COUNTER_AVAILABLE, VMI_ALARM_COUNT };

typedef struct {
    Vmi *vmi;
    unsigned cpu;
    Timer timer;
    bool armed, periodic, lvtt;
    uint64_t first, period;            /* in cycles of the machine's TSC */
} VmiAlarm;

struct Vmi {
    Device dev;
    VmiConfig cfg;
    uint8_t *rom;                      /* in guest memory, and the shared page behind it */
    bool found;                        /* the guest has called init */
    unsigned above;                    /* bytes on the stack above the call's return address */
    VmiAlarm (*alarms)[VMI_ALARM_COUNT]; /* of each CPU   */
    CpuStart *start;                   /* of each CPU     */
    bool *start_set;
    int64_t wall_ahead;                /* ns of the wall clock over the machine's, when last told */
};

/* -- Arguments and results of the call being made ------------------------------------------------ */

static inline uint32_t vmi_eax(const CpuState *cpu)
{
    return (uint32_t)cpu->gpr[GPR_RAX];
}

static inline uint32_t vmi_edx(const CpuState *cpu)
{
    return (uint32_t)cpu->gpr[GPR_RDX];
}

static inline uint32_t vmi_ecx(const CpuState *cpu)
{
    return (uint32_t)cpu->gpr[GPR_RCX];
}

/* Argument n (0...) of those on the stack: above what the ROM pushed and the return address. False: not mapped. */
bool vmi_stack_arg(const Vmi *v, CpuState *cpu, unsigned n, uint32_t *val);

static inline void vmi_return(CpuState *cpu, uint64_t val)
{
    cpu->gpr[GPR_RAX] = (uint32_t)val;
    cpu->gpr[GPR_RDX] = val >> 32;
}

/* -- vmi-time.c; machine lock held --------------------------------------------------------------- */

void vmi_time_init(Vmi *v);
void vmi_time_reset(Vmi *v);
void vmi_counter(Vmi *v, CpuState *cpu);
void vmi_SetAlarm(Vmi *v, CpuState *cpu);
void vmi_CancelAlarm(Vmi *v, CpuState *cpu);
void vmi_GetWallclockTime(Vmi *v, CpuState *cpu);
void vmi_WallclockUpdated(Vmi *v, CpuState *cpu);

#endif /* PV_VMI_INTERNAL_H */
