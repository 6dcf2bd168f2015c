/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What KVM's interrupt lines (GSIs) lead to, and interrupt messages.
 *
 * GSIs below 24 are the I/O APIC's pins: in the kernel with all controllers there (chips.h), else, with the local APICs
 * alone (apic.h), the messages of its level-triggered pins, whose ends KVM then reports.  From 24 on they are messages
 * that have an irqfd: a device's message, once seen, is sent from then on by a write to an eventfd.
 */
#ifndef HWACCEL_ROUTES_H
#define HWACCEL_ROUTES_H

#include "hwaccel/vm.h"

/* For KvmVm.irqfds. */
GArray *kvm_irqfds_new(void);

/* All below: machine lock held. */

/* Tell KVM; 0 or -errno. */
int kvm_routes_set(KvmVm *vm);
/* A device's interrupt message (an MSI's address and data). */
void kvm_message(KvmVm *vm, uint64_t addr, uint32_t data);
/* No message is under way any more, and no message has an irqfd. */
void kvm_irqfds_drop(KvmVm *vm);

#endif /* HWACCEL_ROUTES_H */
