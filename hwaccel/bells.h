/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Doorbells of devices (BusBells) as KVM's ioeventfds: the CPU that rings goes on at once, and the write is carried
 * out by the machine's I/O thread.
 */
#ifndef HWACCEL_BELLS_H
#define HWACCEL_BELLS_H

#include "hwaccel/vm.h"

/* Machine lock held, here and below.  `context` is the I/O thread's, which dispatches with the machine lock; NULL: all writes
 * exit. */
void kvm_bells_init(KvmVm *vm, GMainContext *context);
/* Follow the memory map. */
void kvm_bells_follow(KvmVm *vm);
/* While the machine rests, what was rung waits. */
void kvm_bells_rest(KvmVm *vm, bool rest);
/* Carry out what was rung, and no more of it. */
void kvm_bells_clear(KvmVm *vm);

#endif /* HWACCEL_BELLS_H */
