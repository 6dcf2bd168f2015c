/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine `kvm`: guests on the host's hardware virtualisation (doc/KVM.md). */
#ifndef HWACCEL_ENGINE_H
#define HWACCEL_ENGINE_H

#include "cpu-x86/engine.h"

#include <glib.h>

typedef enum { KVM_IRQCHIP_OFF, KVM_IRQCHIP_SPLIT } KvmIrqchip;

/* What `-accel kvm,PROPERTY=VALUE` takes: CpuState.engine_config; NULL: all zero. */
typedef struct {
    int irqchip;               /* KvmIrqchip: where the local APICs are emulated, if KVM can */
    bool ioeventfd;            /* devices' doorbells are rung without an exit, if KVM can */
    GMainContext *context;     /* of the machine's I/O thread, which then answers them; borrowed */
} KvmConfig;

extern const EngineClass kvm_engine;

#endif /* HWACCEL_ENGINE_H */
