/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What KVM_RUN returns with, and the interpreter where KVM cannot go on. */
#include "cpu-x86/msr.h"
#include "hwaccel/apic.h"
#include "hwaccel/dirty.h"
#include "hwaccel/lazy.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <errno.h>
#include <setjmp.h>
#include <string.h>

KvmExitRow kvm_exit_row(const struct kvm_run *run)
{
    static const int reasons[KVM_ROW_COUNT] = {
#define KVM_EXIT_ROW(id, reason, text) [KVM_ROW_##id] = reason,
#include "hwaccel/kvm-exits.def"
#undef KVM_EXIT_ROW
    };

    for (unsigned i = 0; i < KVM_ROW_COUNT; i++) {
        if (reasons[i] == (int)run->exit_reason) {
            return (KvmExitRow)i;
        }
    }
    return KVM_ROW_OTHER;
}

/* -- Devices ------------------------------------------------------------------------------------------ */

/* Registers beside the accumulator may be part of the access (CpuPv): they come here, and go back. */
static bool port_access(KvmCpu *k)
{
    struct kvm_run *run = k->run;
    const CpuPv *pv = &k->cpu->pv;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    unsigned size = run->io.size;
    bool all = pv->port_sees_registers != NULL && pv->port_sees_registers(pv->arg, run->io.port);

    if (all && !kvm_pull_registers(k)) {
        return false;
    }
    for (unsigned i = 0; i < run->io.count; i++, data += size) {
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            port_write(k->cpu->ports, run->io.port, size, (uint32_t)load_le(data, size));
        } else {
            uint64_t val = port_read(k->cpu->ports, run->io.port, size);

            store_le(data, size, val);
            if (all && size == 4) {    /* a KVM that emulates forgets it when registers are set meanwhile */
                k->cpu->gpr[GPR_RAX] = val;
            }
        }
    }
    k->cpu->stats[STAT_PORT_IO] += run->io.count;
    k->unfinished = true;
    return !all || (kvm_push_registers(k) && kvm_follow_pv(k));
}

static void memory_access(KvmCpu *k)
{
    struct kvm_run *run = k->run;
    GuestPhys addr = guest_phys(run->mmio.phys_addr);
    unsigned len = MIN(run->mmio.len, 8);
    bool one = len == 1 || len == 2 || len == 4 || len == 8;

    if (one && run->mmio.is_write) {
        phys_write(k->cpu->mem, addr, len, load_le(run->mmio.data, len));
    } else if (one) {
        store_le(run->mmio.data, len, phys_read(k->cpu->mem, addr, len));
    } else if (run->mmio.is_write) {
        phys_copy_to(k->cpu->mem, addr, run->mmio.data, len);
    } else {
        phys_copy_from(k->cpu->mem, run->mmio.data, addr, len);
    }
    k->unfinished = true;
}

/* A hypercall that KVM lets out.  RAX is the result, and the other registers may have changed. */
static bool hypercall(KvmCpu *k)
{
    CpuState *cpu = k->cpu;

    k->unfinished = true;
    k->run->hypercall.ret = (uint64_t)-1000; /* KVM_ENOSYS */
    if (cpu->pv.hypercall == NULL) {
        return true;
    }
    if (!kvm_pull_registers(k)) {
        return false;
    }
    cpu->pv.hypercall(cpu->pv.arg, cpu);
    k->run->hypercall.ret = cpu->gpr[GPR_RAX];
    return kvm_push_registers(k) && kvm_follow_pv(k);
}

/* -- MSRs --------------------------------------------------------------------------------------------- */

static bool is_x2apic(uint32_t msr)
{
    return msr >= 0x800 && msr <= 0x8ff;
}

/* MSRs that exit are this program's, fields that KVM does not hold: the CpuState may be read and
 * written although the rest of it is in KVM.  Raising is the guest's #GP. */
static bool msr_access(KvmCpu *k, bool write)
{
    struct kvm_run *run = k->run;
    CpuState *cpu = k->cpu;
    jmp_buf env, *outer = cpu->unwind;
    uint64_t val = run->msr.data;
    bool ok = false;

    if (run->msr.reason == KVM_MSR_EXIT_REASON_INVAL && !is_x2apic(run->msr.index)) {
        return false;          /* KVM knows it and refuses the value */
    }
    cpu->unwind = &env;
    if (_setjmp(env) == 0) {
        ok = write ? cpu_msr_write(cpu, run->msr.index, val) : cpu_msr_read(cpu, run->msr.index, &val);
    }
    cpu->unwind = outer;
    run->msr.data = val;
    return ok;
}

static CpuExit rdmsr(KvmCpu *k)
{
    k->run->msr.error = !msr_access(k, false);
    k->unfinished = true;
    return CPU_EXIT_BUDGET;
}

static CpuExit wrmsr(KvmCpu *k)
{
    uint32_t msr = k->run->msr.index;
    bool ok = msr_access(k, true);

    k->run->msr.error = !ok;
    k->unfinished = true;
    if (ok && (msr == 0x10 || msr == 0x3b)) { /* the TSC moved */
        return kvm_push_tsc(k) ? CPU_EXIT_BUDGET : CPU_EXIT_FAILED;
    }
    if (ok && msr == 0x1b && !kvm_pull(k)) {  /* what CPUID says of the APIC follows */
        return CPU_EXIT_FAILED;
    }
    return CPU_EXIT_BUDGET;
}

/* -- The interpreter instead ---------------------------------------------------------------------------- */

/* KVM gave up at this instruction.  The interpreter always gets further, so this ends. */
static CpuExit go_round(KvmCpu *k, const char *what)
{
    if (!kvm_pull(k)) {
        return CPU_EXIT_FAILED;
    }
    log_unimp("KVM %s at %#llx: interpreted", what, (unsigned long long)k->cpu->rip);
    kvm_phases_failed(k);
    return CPU_EXIT_BUDGET;    /* it is executed before the next entry */
}

static CpuExit internal_error(KvmCpu *k)
{
    const char *what = "met an internal error";

    switch (k->run->internal.suberror) {
    case KVM_INTERNAL_ERROR_EMULATION: what = "cannot emulate the instruction"; break;
    case KVM_INTERNAL_ERROR_SIMUL_EX: what = "met exceptions together"; break;
    case KVM_INTERNAL_ERROR_DELIVERY_EV: what = "cannot deliver an event"; break;
    }
    return go_round(k, what);
}

/* -- Life ------------------------------------------------------------------------------------------------ */

static CpuExit halt(KvmCpu *k)
{
    struct kvm_vcpu_events e;
    CpuState *cpu = k->cpu;
    int r = k->vm->ops->request(k->vm->ops, k->fd, KVM_GET_VCPU_EVENTS, (uintptr_t)&e);

    if (r < 0) {
        kvm_cpu_failed(k, KVM_GET_VCPU_EVENTS, r);
        return CPU_EXIT_FAILED;
    }
    /* What cpu_has_work() looks at; the rest stays in KVM. */
    cpu->nmi_masked = e.nmi.masked != 0;
    cpu->rflags = (cpu->rflags & ~(uint64_t)FLAG_IF) | (k->run->if_flag ? FLAG_IF : 0);
    cpu->activity = CPU_HALTED;
    cpu->stats[STAT_HALTS]++;
    return CPU_EXIT_HALT;
}

static CpuExit shutdown(KvmCpu *k)
{
    if (k->vm->host->hardware == NULL) {   /* it may be KVM that cannot; else the interpreter ends so too */
        return go_round(k, "says triple fault");
    }
    if (!kvm_pull(k)) {
        return CPU_EXIT_FAILED;
    }
    k->cpu->activity = CPU_SHUTDOWN;
    return CPU_EXIT_SHUTDOWN;
}

CpuExit kvm_handle_exit(KvmCpu *k, KvmExitRow row)
{
    if (kvm_lazy_waits(k)) {
        kvm_lazy_drain(k->vm);
    }
    switch (row) {
    case KVM_ROW_IO:
        if (!port_access(k)) {
            return CPU_EXIT_FAILED;
        }
        break;
    case KVM_ROW_MMIO:
        memory_access(k);
        break;
    case KVM_ROW_RDMSR:
        return rdmsr(k);
    case KVM_ROW_WRMSR:
        return wrmsr(k);
    case KVM_ROW_HLT:
        return halt(k);
    case KVM_ROW_SHUTDOWN: case KVM_ROW_EVENT:
        return shutdown(k);
    case KVM_ROW_EOI:
        kvm_apics_eoi(k, k->run->eoi.vector);
        break;
    case KVM_ROW_DIRTY_FULL:
        kvm_dirty_ring_full(k);
        break;
    case KVM_ROW_DEBUG:
        return kvm_debug_exit(k);
    case KVM_ROW_INTERNAL:
        return internal_error(k);
    case KVM_ROW_FAIL_ENTRY:
        return go_round(k, "cannot enter the guest");
    case KVM_ROW_HYPERCALL:
        if (!hypercall(k)) {
            return CPU_EXIT_FAILED;
        }
        break;
    case KVM_ROW_SIGNAL: case KVM_ROW_IRQ_WINDOW: case KVM_ROW_SET_TPR:
        break;                 /* seen before the next entry */
    default:
        return go_round(k, "came back for an unknown reason");
    }
    return CPU_EXIT_BUDGET;
}
