/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A debugger's breakpoints by the processor's own four debug registers, which KVM lends (KVM_SET_GUEST_DEBUG). */
#include "cpu-x86/debug.h"

#include "hwaccel/kvm-cpu.h"
#include "hwaccel/trial.h"

enum { POINTS_MAX = 4 };

/* DR7: execution, one byte, enabled globally. */
static uint64_t dr7_of(unsigned n)
{
    uint64_t dr7 = DR7_FIXED;

    for (unsigned i = 0; i < n; i++) {
        dr7 |= UINT64_C(2) << (i * 2);
    }
    return dr7;
}

static bool set_points(KvmCpu *k, const uint64_t *lin, unsigned n)
{
    struct kvm_guest_debug d = {.control = n > 0 ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP : 0};

    if (n == k->n_points && (n == 0 || k->points_epoch == k->cpu->breakpoint_epoch)) {
        return true;
    }
    for (unsigned i = 0; i < n; i++) {
        d.arch.debugreg[i] = lin[i];
    }
    d.arch.debugreg[7] = dr7_of(n);
    if (k->vm->ops->request(k->vm->ops, k->fd, KVM_SET_GUEST_DEBUG, (uintptr_t)&d) < 0) {
        return false;
    }
    k->n_points = n;
    k->points_epoch = k->cpu->breakpoint_epoch;
    return true;
}

/* Tried once: a point that is passed without a word would be worse than slow. */
static bool points_work(KvmHost *h)
{
    if (h->points == KVM_UNTRIED) {
        h->points = h->hardware != NULL && h->guest_debug && kvm_trial_point(h) ? KVM_WORKS : KVM_FAILS;
    }
    return h->points == KVM_WORKS;
}

bool kvm_watch_for_debugger(KvmCpu *k)
{
    CpuState *cpu = k->cpu;
    uint64_t lin[POINTS_MAX];
    unsigned n = 0;

    if (cpu->n_watch != 0) {
        return false;
    }
    if (cpu->breakpoint_at != NULL) {
        if (cpu->breakpoints == NULL || !points_work(k->vm->host)) {
            return false;
        }
        n = cpu->breakpoints(cpu->breakpoint_arg, lin, POINTS_MAX);
    }
    return n <= POINTS_MAX && set_points(k, lin, n);
}

CpuExit kvm_debug_exit(KvmCpu *k)
{
    uint64_t bits = k->run->debug.arch.dr6 & DR6_BS;
    CpuState *cpu = k->cpu;

    if (!kvm_pull(k)) {
        return CPU_EXIT_FAILED;
    }
    if (cpu->breakpoint_at != NULL && cpu->breakpoint_at(cpu->breakpoint_arg, cpu->rip)) {
        return CPU_EXIT_DEBUG;
    }
    cpu_debug_deliver(cpu, bits, DELIVER_TRAP); /* the guest steps itself */
    return CPU_EXIT_BUDGET;
}
