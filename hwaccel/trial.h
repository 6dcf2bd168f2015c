/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest of a few instructions that tells whether KVM runs kernel code on the processor: 64-bit code
 * at CPL 0 counts, stores, and ends with HLT.  KVM's own statistics say how much of it was emulated.
 */
#ifndef HWACCEL_TRIAL_H
#define HWACCEL_TRIAL_H

#include "hwaccel/host.h"

typedef struct {
    bool right;                /* it came to its end with the right result   */
    unsigned insns;            /* what it executes                           */
    unsigned emulated;         /* of these; 0 also where KVM does not say    */
} TrialResult;

/* False: the trial could not be made, or did not end within two seconds; `error`. */
bool kvm_trial(KvmHost *h, TrialResult *result, GError **error);

/* Does KVM stop a guest at a breakpoint of KVM_SET_GUEST_DEBUG?  (On an emulated SVM it may not.) */
bool kvm_trial_point(KvmHost *h);

/* Did KVM run a guest through XSETBV and not learn of the new XCR0?  (So on an SVM emulated by QEMU's TCG.)  False also where
 * it gives the instruction up, and where the trial cannot be made. */
bool kvm_trial_loses_xcr0(KvmHost *h);

#endif /* HWACCEL_TRIAL_H */
