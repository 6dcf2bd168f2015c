/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KVM's hypercalls; rows in hypercalls.def. */
#include "cpu-x86/cpuid.h"
#include "hw/apic-bus.h"
#include "pv/pv-internal.h"
#include "pv/vmi-rom.h"
#include "softmmu/base/log.h"

#include <sched.h>

/* Results, as KVM documents them. */
#define CALL_EPERM (-1)
#define CALL_EFAULT (-14)
#define CALL_EOPNOTSUPP (-95)
#define CALL_ENOSYS (-1000)
#define CALL_EINVAL (-22)

enum { ICR_SHORTHAND = 3 << 18, ICR_LOGICAL = 1 << 11 };

static int64_t poll_irq(Pv *pv, CpuState *cpu, const uint64_t a[4])
{
    return 0;
}

static CpuState *cpu_of_apic(const Pv *pv, uint64_t apic_id)
{
    return apic_id < pv->cfg.n_cpus ? pv->cfg.cpus[apic_id] : NULL;
}

/* (flags, APIC id): end its halt, even one with interrupts off. */
static int64_t kick_cpu(Pv *pv, CpuState *cpu, const uint64_t a[4])
{
    CpuState *to = cpu_of_apic(pv, a[1]);

    if (to != NULL) {
        __atomic_store_n(&to->unhalted, true, __ATOMIC_SEQ_CST);
        cpu_request(to, CPU_REQ_KICK);
    }
    return 0;
}

/* (address, type 0: wall clock): the wall clock and the guest's TSC at one moment. */
static int64_t clock_pairing(Pv *pv, CpuState *cpu, const uint64_t a[4])
{
    struct {
        int64_t sec, nsec;
        uint64_t tsc;
        uint32_t flags, pad[9];
    } pair = {0};
    uint64_t wall;

    if (a[1] != 0) {
        return CALL_EOPNOTSUPP;
    }
    wall = pv_wall_ns(pv);
    pair.tsc = cpu_tsc(cpu);
    pair.sec = (int64_t)(wall / NS_PER_SEC);
    pair.nsec = (int64_t)(wall % NS_PER_SEC);
    return pv_store(pv, a[0], &pair, sizeof pair) ? 0 : CALL_EFAULT;
}

/* (bits 0-63, bits 64-127, APIC id of bit 0, ICR): how many were addressed.  With 32-bit registers the
 * two words of the set have 32 bits each. */
static int64_t send_ipi(Pv *pv, CpuState *cpu, const uint64_t a[4])
{
    unsigned word_bits = cpu_is_long64(cpu) ? 64 : 32;
    uint32_t icr = (uint32_t)a[3], delivery = icr >> 8 & 7;
    int64_t n = 0;

    if ((icr & (ICR_SHORTHAND | ICR_LOGICAL)) != 0 ||
        (delivery != APIC_FIXED && delivery != APIC_NMI)) {
        return CALL_EINVAL;
    }
    lock_take(pv->cfg.machine_lock);
    for (unsigned bit = 0; bit < 2 * word_bits; bit++) {
        uint64_t set = a[bit / word_bits] >> (bit % word_bits);
        uint64_t id = (uint32_t)a[2] + (uint64_t)bit;

        if ((set & 1) != 0 && cpu_of_apic(pv, id) != NULL) {
            ApicMessage m = {.dest = (uint32_t)id, .vector = (uint8_t)icr,
                             .delivery = (uint8_t)delivery};

            apic_bus_deliver(pv->cfg.apic_bus, &m);
            n++;
        }
    }
    lock_release(pv->cfg.machine_lock);
    return n;
}

/* (APIC id): the caller waits for that CPU. */
static int64_t yield_to(Pv *pv, CpuState *cpu, const uint64_t a[4])
{
    sched_yield();
    return 0;
}

typedef struct {
    uint32_t number;
    unsigned need;             /* a CpuFeature, or NEED_ANY */
    int64_t (*call)(Pv *pv, CpuState *cpu, const uint64_t a[4]);
} CallRow;

enum { NEED_ANY = FEAT_COUNT };
#define FEAT_ANY NEED_ANY
static const CallRow rows[] = {
#define KVM_CALL(number, name, need, function) {number, FEAT_##need, function},
#define VMI_ROM(number, name, type)
#define VMI_HOST(number, name)
#include "pv/hypercalls.def"
#undef KVM_CALL
#undef VMI_ROM
#undef VMI_HOST
};

static int64_t dispatch(Pv *pv, CpuState *cpu, uint64_t number, const uint64_t a[4])
{
    if (cpu->cpl != 0) {
        return CALL_EPERM;
    }
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].number == number &&
            (rows[i].need == NEED_ANY || cpu_model_has(cpu->model, (CpuFeature)rows[i].need))) {
            return rows[i].call(pv, cpu, a);
        }
    }
    log_guest_error("hypercall %u: there is none", (unsigned)number);
    return CALL_ENOSYS;
}

static bool is_vmis(Pv *pv, CpuState *cpu)
{
    bool done = false;

    if (pv->vmi != NULL && cpu->cpl == 0 && (uint32_t)cpu->gpr[GPR_RAX] == VMI_VMCALL_NUMBER) {
        lock_take(pv->cfg.machine_lock);
        done = pv->vmi->hypercall(pv->vmi_arg, cpu);
        lock_release(pv->cfg.machine_lock);
    }
    return done;
}

void pv_kvm_call(void *arg, CpuState *cpu)
{
    bool wide = cpu_is_long64(cpu);
    uint64_t mask = wide ? UINT64_MAX : UINT32_MAX;
    const uint64_t a[4] = {cpu->gpr[GPR_RBX] & mask, cpu->gpr[GPR_RCX] & mask,
                           cpu->gpr[GPR_RDX] & mask, cpu->gpr[GPR_RSI] & mask};
    int64_t result;

    if (!wide && is_vmis(arg, cpu)) {
        return;
    }
    result = dispatch(arg, cpu, cpu->gpr[GPR_RAX] & mask, a);
    cpu->stats[STAT_HYPERCALLS]++;
    cpu->gpr[GPR_RAX] = (uint64_t)result & mask;
}
