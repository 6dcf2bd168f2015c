/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMI 3.0, the paravirtual interface of 32-bit Linux 2.6.21 to 2.6.36: a ROM at VMI_ROM_BASE and the calls
 * that its code hands on by a port.  A Device: its window is that port, its reset cancels alarms and
 * forgets CPUs' starting states.
 */
#ifndef PV_VMI_H
#define PV_VMI_H

#include "hw/device.h"
#include "hw/irq.h"
#include "pv/pv.h"
#include "pv/vmi-rom.h"
#include "softmmu/base/timer.h"

#define VMI_ROM_BASE UINT64_C(0xd0000)
enum { VMI_ROM_PRIORITY = 3 };        /* over whatever the chipset shows there */

typedef struct {
    Pv *pv;                            /* borrowed, with all it borrows */
    TimerQueue *timers;
    IrqLine irq0;                      /* the timer's first wiring      */
    void *arg;
    CpuState *(*current_cpu)(void *arg); /* whose access is being made; NULL: nobody's  */
    void (*reboot)(void *arg);
    void (*shutdown)(void *arg);
} VmiConfig;

/* Machine lock held.  Maps the ROM. */
Device *vmi_new(const VmiConfig *cfg);

/* Does the call that EBX names see and change nothing of the CPU but its general registers? */
bool vmi_call_is_apart(uint32_t ebx);

/* A start-up IPI found this CPU waiting: true when it has started in the state the guest announced for it.
 * Machine lock held, the CPU's own thread. */
bool vmi_start_cpu(Device *vmi, CpuState *cpu);

#endif /* PV_VMI_H */
