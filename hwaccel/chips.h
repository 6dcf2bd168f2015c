/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All of a PC's interrupt controllers and its PIT in the host's kernel (KVM's "irqchip", kernel-irqchip=on), beside the
 * local APICs (apic.h): the state moves with theirs.
 *
 * Devices' lines go in by KVM_IRQ_LINE: GSI n is pin n of the I/O APIC and, below 16, input n of the PIC; GSI 0 is
 * pin 2 and input 0, which is where KVM's PIT is.
 */
#ifndef HWACCEL_CHIPS_H
#define HWACCEL_CHIPS_H

#include "hwaccel/kvm-cpu.h"

/* Before CPUs are made; `wanted` is what the board has, vm->chips what was had of it in the end.  False: `error`, and
 * nothing has changed. */
bool kvm_chips_enable(KvmVm *vm, IrqChipSet wanted, bool delay_ticks, GError **error);

/* The last local APIC has gone to KVM: these too.  False: k->why. */
bool kvm_chips_take(KvmCpu *k);
/* Before the first local APIC is read: nothing moves in them any more... */
void kvm_chips_stop(KvmCpu *k);
/* ...and after the last one is back. */
void kvm_chips_bring(KvmVm *vm);

#endif /* HWACCEL_CHIPS_H */
