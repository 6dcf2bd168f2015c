/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine `kvm`: guests on the host's hardware virtualisation (doc/KVM.md). */
#ifndef HWACCEL_ENGINE_H
#define HWACCEL_ENGINE_H

#include "cpu-x86/engine.h"

#include <glib.h>

typedef enum { KVM_IRQCHIP_OFF, KVM_IRQCHIP_SPLIT, KVM_IRQCHIP_ON } KvmIrqchip;

/* What `-accel kvm,PROPERTY=VALUE` takes: CpuState.engine_config; NULL: all zero. */
typedef struct {
    int irqchip;               /* KvmIrqchip: which interrupt controllers are the kernel's, if KVM can: none, the
                                  local APICs, all and the PIT */
    int lost_ticks;            /* of the kernel's PIT: 0 discarded, 1 delayed */
    bool irqfd;                /* interrupt messages by irqfds, if KVM can */
    bool coalesced;            /* devices' writes that may wait do, if KVM can */
    unsigned dirty_ring;       /* entries of each CPU's ring of written pages (a power of 2), if KVM can; 0: bitmaps */
    bool phases;               /* what KVM is bad at is interpreted (hwaccel/phases.h) */
    unsigned emulation_ns;     /* as KvmPhases has it; 0: as the host needs it */
    bool ioeventfd;            /* devices' doorbells are rung without an exit, if KVM can */
    GMainContext *context;     /* of the machine's I/O thread, which then answers them; borrowed */
} KvmConfig;

extern const EngineClass kvm_engine;

#endif /* HWACCEL_ENGINE_H */
