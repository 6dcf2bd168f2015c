/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine `kvm`: guests on the host's hardware virtualisation (doc/KVM.md). */
#ifndef HWACCEL_ENGINE_H
#define HWACCEL_ENGINE_H

#include "cpu-x86/engine.h"

extern const EngineClass kvm_engine;

#endif /* HWACCEL_ENGINE_H */
