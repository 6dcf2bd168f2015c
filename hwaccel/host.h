/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host's KVM is and can do.
 *
 * /dev/kvm that opens says little: KVM may be built without VT-x and SVM behind it (PVM), where the
 * guest's kernel runs on KVM's own instruction emulator, thousands of times slower than it should
 * and not always right.  So a host is asked three things: is it there (kvm_host_open), what does it offer
 * (the fields), and does it truly work (kvm_host_drawback: known from the processor, or measured by a
 * guest of a few instructions).
 */
#ifndef HWACCEL_HOST_H
#define HWACCEL_HOST_H

#include "hwaccel/kvm-ops.h"

#include <linux/kvm.h>

typedef enum { KVM_UNTRIED, KVM_WORKS, KVM_FAILS } KvmTried;

typedef struct {
    const KvmOps *ops;         /* borrowed */
    int fd;                    /* /dev/kvm */
    KvmTried points, xsetbv;   /* breakpoints; does KVM learn of XSETBV?  Tried at the first need (trial.h) */
    size_t run_size;           /* bytes of a CPU's shared page                      */
    struct kvm_cpuid2 *cpuid;  /* what KVM supports; owned                          */
    uint32_t *msrs;            /* what KVM saves and restores; owned                */
    unsigned n_msrs;
    size_t xsave_size;         /* of KVM_GET_XSAVE2; 0: 4096 bytes by KVM_GET_XSAVE */
    const char *hardware;      /* "VT-x", "SVM"; NULL: the processor shows neither  */
    bool nested;               /* the host is itself a guest                        */
    bool emulates_real_mode;   /* instruction by instruction: the processor cannot run it as a guest */
    bool nested_paging;        /* it walks the guest's page tables (EPT, NPT); else KVM shadows them */
    unsigned lazy_page;        /* of a CPU's shared pages: the ring of writes that wait; 0: none */
    bool lazy_ports;
    size_t dirty_ring_bytes;   /* the longest ring of written pages a CPU may have; 0: none */
    bool readonly_mem, set_tss, set_identity, user_nmi, immediate_exit, msr_exits, msr_filter, sregs2,
        stats_fd, guest_debug, emulation_exits, hypercall_exits, hides_pv, split_irqchip, ioeventfd, irqchip, pit, irqfd;
} KvmHost;

/* Open and ask.  NULL with one line in `error`: not there, forbidden (and what to do about it), too old. */
KvmHost *kvm_host_open(const KvmOps *ops, GError **error);
void kvm_host_close(KvmHost *h);

/* Does KVM support this bit of CPUID?  reg: 0 EAX ... 3 EDX. */
bool kvm_host_has_cpuid(const KvmHost *h, uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit);

/*
 * Does KVM learn of the guest's XSETBV?  Else it goes on with the XCR0 of before, and sets that again behind each exit: a guest
 * must not use XSAVE then.  Any processor's own VT-x or SVM stops there; so only nested hosts are tried, once.
 */
bool kvm_host_learns_of_xsetbv(KvmHost *h);

/* Why a guest should rather not be run here although it can be; NULL: all is well.  Free it. */
char *kvm_host_drawback(KvmHost *h);

#endif /* HWACCEL_HOST_H */
