/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APICs in the host's kernel (KVM's "split irqchip"): timers, IPIs, ends of interrupts and halts need no
 * exit.  PIC, I/O APIC and PIT stay the machine's: messages go in by KVM_SIGNAL_MSI, ends of level
 * interrupts come out as exits, for which KVM knows what the I/O APIC's level pins send (GSI routes).
 *
 * KVM has the state while CPUs run; it is the devices' whenever all are parked (cpu-x86/apic-home.h).
 */
#ifndef HWACCEL_APIC_H
#define HWACCEL_APIC_H

#include "hwaccel/kvm-cpu.h"

/* Before CPUs are made.  False: `error`, and nothing has changed. */
bool kvm_apics_enable(KvmVm *vm, GError **error);

/* EngineClass.scatter, .gather of a VM with apics. */
void kvm_apics_take(KvmCpu *k);
void kvm_apics_bring(KvmCpu *k);

/* CpuState.activity <-> KVM; part of the state. */
bool kvm_push_activity(KvmCpu *k);
bool kvm_pull_activity(KvmCpu *k);

/* Without its `arg`, the KvmVm. */
extern const ApicHolder kvm_apic_holder;

/* A level interrupt of this vector has ended. */
void kvm_apics_eoi(KvmCpu *k, uint8_t vector);

#endif /* HWACCEL_APIC_H */
