/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMware's back-door port: version, memory size, TSC frequency, time. */
#ifndef PV_VMPORT_H
#define PV_VMPORT_H

#include "cpu-x86/state.h"
#include "hw/device.h"
#include "pv/pv.h"

enum { VMPORT_PORT = 0x5658 };

typedef struct {
    uint64_t ram_size;
    const Pv *pv;                      /* for its wall clock, borrowed                */
    void *arg;
    CpuState *(*current_cpu)(void *arg); /* whose access is being made; NULL: nobody's */
} VmportConfig;

Device *vmport_new(const VmportConfig *cfg);

#endif /* PV_VMPORT_H */
