/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine's VM in KVM: its descriptor and its memory slots.
 *
 * One VM a PhysMem (PhysMem.vm), made when the first CPU attaches and freed with the last; so a change
 * of engine always begins with a fresh one.  Slots follow the region map: RAM, ROM (read-only), nothing for
 * windows and holes, whose accesses exit.
 *
 * CPUs hold `running` for reading while they are in KVM_RUN; whoever changes slots kicks them and holds
 * it for writing, so that no guest sees a map half changed.  The machine lock is never taken while
 * `running` is held for reading.
 */
#ifndef HWACCEL_VM_H
#define HWACCEL_VM_H

#include "cpu-x86/apic-home.h"
#include "cpu-x86/cpuid.h"
#include "hwaccel/host.h"
#include "softmmu/phys-mem.h"

typedef struct {
    uint64_t gpa, len, hva;    /* len 0: the slot's number is free */
    uint32_t flags;            /* KVM_MEM_*                        */
    uint64_t offset;           /* of hva in the memfd              */
} KvmSlot;

/* What is wanted of a VM beyond what it always is; where KVM lacks it, it goes without. */
typedef struct {
    const CpuModel *model;     /* of its CPUs; borrowed for the call                */
    bool apics;                /* the local APICs in the kernel                     */
    bool all_chips;            /* ...and the other interrupt controllers and the PIT: */
    IrqChipSet chips;          /* what the board has of them                        */
    bool delay_ticks;          /* ticks of the kernel's PIT that could not be delivered are made up for */
    bool irqfds;               /* messages by irqfds                                */
    bool lazy;                 /* writes that may wait do                           */
    unsigned dirty_ring;       /* entries of each CPU's ring of written pages; 0: bitmaps */
} KvmWants;

typedef struct KvmVm {
    const KvmOps *ops;
    KvmHost *host;             /* owned                                             */
    PhysMem *mem;
    int fd;
    unsigned refs;
    bool msr_exits, msr_filter;
    bool apics;                /* the local APICs are the kernel's: apic.h          */
    char *no_apics;            /* they were asked for and cannot be had: why; or NULL */
    unsigned pv_msrs;          /* KVM serves these itself: kvm_pv_msrs()            */
    ApicHolder holder;
    unsigned n_apics;          /* of how many CPUs KVM has the state                */
    IrqChipSet chips;          /* these are the kernel's too: chips.h               */
    char *no_chips;            /* they were asked for and cannot be had: why; or NULL */
    IrqChipHolder chip_holder;
    bool chips_taken;          /* KVM has the state...                              */
    bool chips_away;           /* ...and the machine has not; with chips_taken unset: it is in chips_state... */
    bool chips_known;          /* ...unless that is lost                            */
    IrqChips chips_state;
    struct kvm_pit_state2 pit_given; /* as it was set last                          */
    uint32_t told;             /* levels of the I/O APIC's pins, as KVM was told    */
    uint64_t line_changes;     /* that it was told                                  */
    bool wants_irqfds;
    char *no_irqfds;           /* why not; or NULL                                  */
    GArray *irqfds;            /* routes.c                                          */
    unsigned irqfds_seen;      /* as many there were at once                        */
    uint64_t messages, irqfd_messages; /* sent; of these by irqfds                  */
    GArray *slots;             /* KvmSlot; the index is KVM's number                */
    GPtrArray *cpus;           /* KvmCpu*, in order of attachment; machine lock     */
    pthread_rwlock_t running;
    bool changing;             /* somebody waits for `running`: do not enter (atomic) */
    pthread_mutex_t gate;      /* held meanwhile, for those who would enter to wait at */
    GMainContext *context;     /* of the I/O thread, for the bells; borrowed        */
    GPtrArray *bells;          /* bells.c; NULL: none are wanted                    */
    bool bells_rest;
    uint64_t rings;            /* of the bells                                      */
    char *no_bells;            /* a bell was wanted and cannot be had: why; or NULL */
    GArray *lazy;              /* lazy.c: zones; NULL: no write waits               */
    char *no_lazy;             /* why not, or not all; or NULL                      */
    bool draining;
    unsigned dirty_ring;       /* as in KvmWants, if it was had: dirty.c            */
    char *no_dirty_ring;       /* why not; or NULL                                  */
    uint64_t dirty_read;       /* pages read from rings                             */
    uint64_t lazy_writes;      /* that waited                                       */
    char *problem;             /* the map could not be followed: why; else NULL     */
} KvmVm;

/* Of this memory: made at the first call, as `wants` says.  NULL with `error`.  Machine lock held (or no thread yet). */
KvmVm *kvm_vm_get(const KvmOps *ops, PhysMem *mem, const KvmWants *wants, GError **error);
void kvm_vm_put(KvmVm *vm);

/* Drop what KVM has derived from guest page tables: an instruction interpreted here may have written
 * them.  Nothing to do with nested paging.  Own or no CPU thread, machine lock not held. */
void kvm_vm_forget_tables(KvmVm *vm);

/* Keep all CPUs out of the guest for a while.  Machine lock held. */
void kvm_vm_stop_cpus(KvmVm *vm);
void kvm_vm_let_cpus_go(KvmVm *vm);

#endif /* HWACCEL_VM_H */
