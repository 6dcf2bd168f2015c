/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One CPU in KVM, between engine.c, exits.c, sync.c, debug.c and cpuid.c.
 *
 * Its state is in one of two places: in the CpuState, or (`loaded`) in KVM.  It goes to KVM before the
 * guest runs there, and comes back when somebody wants to see it (EngineClass.sync), an instruction is to be
 * interpreted, or the CPU leaves for more than a nap.
 */
#ifndef HWACCEL_KVM_CPU_H
#define HWACCEL_KVM_CPU_H

#include "cpu-x86/cpuid.h"
#include "cpu-x86/engine.h"
#include "hwaccel/phases.h"
#include "hwaccel/vm.h"

typedef enum {
#define KVM_EXIT_ROW(id, reason, text) KVM_ROW_##id,
#include "hwaccel/kvm-exits.def"
#undef KVM_EXIT_ROW
    KVM_ROW_COUNT
} KvmExitRow;

typedef struct {
    uint64_t n;
    uint64_t ticks;            /* of the host's TSC, spent on it outside KVM_RUN and the interpreter's turns */
    uint64_t inside;           /* ... and in the KVM_RUN that ended with it */
} KvmExitStat;

enum { KVM_PV_MSRS = 3 };

struct KvmCpu {
    CpuState *cpu;
    KvmVm *vm;
    int fd;
    struct kvm_run *run;
    struct kvm_coalesced_mmio_ring *lazy_ring; /* in its pages; NULL: none (lazy.h) */
    pthread_t thread;
    bool thread_known;
    bool inside;               /* in KVM_RUN or about to be (atomic)                       */
    bool loaded;               /* KVM has the state                                        */
    bool unfinished;           /* the last exit's instruction ends with the next KVM_RUN   */
    struct kvm_dirty_gfn *dirty; /* its ring of vm->dirty_ring entries; NULL: none (dirty.c)  */
    unsigned dirty_next;
    uint64_t cr8;              /* what run->cr8 was set to; with vm->apics: TPR, as last seen */
    bool has_apic;             /* KVM has the local APIC's state                           */
    uint64_t apic_base;        /* with vm->apics: as last seen                             */
    uint64_t xfeatures;        /* XSAVE components that both sides have                    */
    bool has_xcrs;
    bool tsc_exact;            /* the TSC's offset can be set and read as such             */
    uint8_t *xsave;
    size_t xsave_size;
    GArray *msrs;              /* uint32_t: those kept in step                             */
    GArray *refused;           /* uint32_t: those KVM did not take                         */
    uint64_t pv[KVM_PV_MSRS];  /* paravirtual MSRs that are KVM's, as it has them          */
    char *why;                 /* it failed: one line                                      */
    unsigned n_points;         /* debugger's breakpoints that KVM watches for, as of...    */
    uint32_t points_epoch;     /* ...this CpuState.breakpoint_epoch                        */

    KvmPhases phases;          /* what the interpreter does instead                        */
    KvmExitStat exits[KVM_ROW_COUNT];
    uint64_t guest_ticks;      /* inside KVM_RUN, in all...                                */
    uint64_t last_ticks;       /* ...and the last time                                     */
};

/* Make the CPU in KVM; false with `error`, and nothing is left.  engine.c. */
bool kvm_attach(CpuState *cpu, const KvmOps *ops, GError **error);
void kvm_detach(CpuState *cpu);
/* Any thread. */
void kvm_cpu_kick(KvmCpu *k);

/* -- cpuid.c ---- */

/* May a guest use this feature here, with the local APICs in the kernel or not? */
bool kvm_offers(KvmHost *h, bool apics, CpuFeature f);
/* KVM's paravirtual MSRs that it serves itself when it has the local APICs: those of this set (bit n: kvm_pv_msr[n]).  The others exit,
 * and pv/ serves them, or says that they are not there. */
extern const uint32_t kvm_pv_msr[KVM_PV_MSRS];
unsigned kvm_pv_msrs(const KvmHost *h, const CpuModel *m);
/* Have KVM refuse its hypercalls where CPUID does not show them (since Linux 5.10), as we do. */
bool kvm_hide_paravirtual(KvmCpu *k, GError **error);
bool kvm_set_cpuid(KvmCpu *k, GError **error);

/* -- sync.c ---- */

/* Learn which MSRs and components there are; once, with the CpuState canonical. */
void kvm_sync_prepare(KvmCpu *k);
/* CpuState -> KVM, KVM -> CpuState; false: k->why. */
bool kvm_push(KvmCpu *k);
bool kvm_pull(KvmCpu *k);
/* General, segment and control registers only, in the middle of an exit; then the general ones back. */
bool kvm_pull_registers(KvmCpu *k);
bool kvm_push_registers(KvmCpu *k);
/* A call may have set a paravirtual MSR that KVM serves: it goes there. */
bool kvm_follow_pv(KvmCpu *k);
/* The segment and control registers, for the APIC base among them. */
bool kvm_push_apic_base(KvmCpu *k);
/* The last exit's instruction is carried to its end, and no further. */
bool kvm_finish_exit(KvmCpu *k);
/* The TSC alone, after the guest wrote it. */
bool kvm_push_tsc(KvmCpu *k);
/* Note why it failed (the first reason counts); returns false. */
bool kvm_cpu_failed(KvmCpu *k, unsigned long request, int negative_errno);

/* -- debug.c ---- */

/* Have KVM stop at the debugger's points; false: it cannot at all of them, only the interpreter can. */
bool kvm_watch_for_debugger(KvmCpu *k);
/* KVM stopped for them, or for a trap of the guest's own. */
CpuExit kvm_debug_exit(KvmCpu *k);

/* -- exits.c ---- */

/* Carry out what KVM_RUN returned with.  CPU_EXIT_BUDGET: go on; else run() returns it. */
CpuExit kvm_handle_exit(KvmCpu *k, KvmExitRow row);
KvmExitRow kvm_exit_row(const struct kvm_run *run);

#endif /* HWACCEL_KVM_CPU_H */
