/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Life of the paravirtual interfaces, their MSRs, the guest's memory. */
#include "pv/pv-internal.h"
#include "pv/vmi.h"
#include "pv/vmport.h"

#include <string.h>
#include <time.h>

enum {
    MSR_WALL_CLOCK_OLD = 0x11, MSR_SYSTEM_TIME_OLD = 0x12, MSR_WALL_CLOCK = 0x4b564d00,
    MSR_SYSTEM_TIME = 0x4b564d01, MSR_STEAL_TIME = 0x4b564d03, MSR_PV_EOI = 0x4b564d04,
    MSR_POLL_CONTROL = 0x4b564d05,
};
enum { POLL_BY_HOST = 1 };

/* -- The guest's memory ---------------------------------------------------------------------------- */

void *pv_ram(Pv *pv, uint64_t addr, unsigned size)
{
    if ((addr & GUEST_PAGE_OFFSET_MASK) + size > GUEST_PAGE_SIZE) {
        return NULL;
    }
    return phys_mem_host(pv->cfg.mem, guest_phys(addr), size, true);
}

void pv_stored(Pv *pv, const void *p, unsigned size)
{
    phys_mem_written(pv->cfg.mem, (uint64_t)((const uint8_t *)p - pv->cfg.mem->base), size);
}

bool pv_store(Pv *pv, uint64_t addr, const void *src, unsigned len)
{
    void *p = pv_ram(pv, addr, len);

    if (p == NULL) {
        return false;
    }
    memcpy(p, src, len);
    pv_stored(pv, p, len);
    return true;
}

/* -- The wall clock ---------------------------------------------------------------------------------- */

uint64_t pv_wall_ns(const Pv *pv)
{
    struct timespec ts;

    if (pv->cfg.wall_base >= 0) {
        return (uint64_t)pv->cfg.wall_base * NS_PER_SEC + clock_now(pv->cfg.clock);
    }
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* -- MSRs -------------------------------------------------------------------------------------------- */

static bool msr_read(void *arg, CpuState *cpu, uint32_t msr, uint64_t *val)
{
    const PvCpu *c = &((Pv *)arg)->cpu[cpu->index];

    switch (msr) {
    case MSR_WALL_CLOCK_OLD:
    case MSR_WALL_CLOCK: *val = c->wall_clock; return true;
    case MSR_SYSTEM_TIME_OLD:
    case MSR_SYSTEM_TIME: *val = c->system_time; return true;
    case MSR_STEAL_TIME: *val = c->steal_time; return true;
    case MSR_PV_EOI: *val = c->pv_eoi; return true;
    case MSR_POLL_CONTROL: *val = c->poll_control; return true;
    default: return false;
    }
}

static bool write_locked(Pv *pv, CpuState *cpu, uint32_t msr, uint64_t val)
{
    PvCpu *c = &pv->cpu[cpu->index];

    switch (msr) {
    case MSR_WALL_CLOCK_OLD:
    case MSR_WALL_CLOCK:
        c->wall_clock = val;
        pv_clock_write_wall(pv, cpu, val);
        return true;
    case MSR_SYSTEM_TIME_OLD:
    case MSR_SYSTEM_TIME:
        pv_clock_enable(pv, cpu, val);
        return true;
    case MSR_STEAL_TIME:
        return pv_steal_enable(pv, cpu, val);
    case MSR_PV_EOI:
        return pv_eoi_enable(pv, cpu, val);
    case MSR_POLL_CONTROL:
        if (val > POLL_BY_HOST) {
            return false;
        }
        c->poll_control = val;
        return true;
    default:
        return false;
    }
}

bool pv_host_may_poll(const Pv *pv, const CpuState *cpu)
{
    return (pv->cpu[cpu->index].poll_control & POLL_BY_HOST) != 0;
}

static bool msr_write(void *arg, CpuState *cpu, uint32_t msr, uint64_t val)
{
    Pv *pv = arg;
    bool ok;

    lock_take(pv->cfg.machine_lock);
    ok = write_locked(pv, cpu, msr, val);
    lock_release(pv->cfg.machine_lock);
    return ok;
}

static void msr_back(void *arg, CpuState *cpu, uint32_t msr, uint64_t val)
{
    Pv *pv = arg;
    PvCpu *c = &pv->cpu[cpu->index];

    switch (msr) {
    case MSR_STEAL_TIME: pv_steal_back(pv, cpu, val); break;
    case MSR_PV_EOI: c->pv_eoi = val; break;
    case MSR_POLL_CONTROL: c->poll_control = val; break;
    }
}

static void tsc_moved(void *arg, CpuState *cpu, uint64_t delta)
{
    Pv *pv = arg;

    lock_take(pv->cfg.machine_lock);
    pv_clock_tsc_moved(pv);
    if (pv->vmi != NULL) {
        pv->vmi->tsc_moved(pv->vmi_arg);
    }
    lock_release(pv->cfg.machine_lock);
}

static bool port_sees_registers(void *arg, uint16_t port)
{
    return port == VMI_PORT || port == VMPORT_PORT;
}

static bool port_sees_few(void *arg, uint16_t port, const uint64_t *gpr)
{
    return port == VMI_PORT && vmi_call_is_apart((uint32_t)gpr[GPR_RBX]);
}

static void calls_by(void *arg, PvCallWay way)
{
    Pv *pv = arg;

    if (pv->call_way != way) {
        pv->call_way = way;
        if (pv->vmi != NULL) {
            pv->vmi->way_changed(pv->vmi_arg);
        }
    }
}

/* -- Life -------------------------------------------------------------------------------------------- */

/* As for KVM's own guests, INIT too forgets everything: what comes back registers anew. */
static void cpu_was_reset(void *arg, CpuState *cpu)
{
    PvCpu *c = &((Pv *)arg)->cpu[cpu->index];

    *c = (PvCpu){.poll_control = POLL_BY_HOST, .clock_version = c->clock_version};
}

Pv *pv_new(const PvConfig *config)
{
    Pv *pv = g_new0(Pv, 1);

    pv->cfg = *config;
    pv->cpu = g_new0(PvCpu, config->n_cpus);
    for (unsigned i = 0; i < config->n_cpus; i++) {
        CpuState *cpu = config->cpus[i];

        cpu->pv = (CpuPv){.arg = pv, .msr_read = msr_read, .msr_write = msr_write, .msr_back = msr_back,
                          .hypercall = pv_kvm_call, .reset = cpu_was_reset, .tsc_moved = tsc_moved,
                          .port_sees_registers = port_sees_registers, .port_sees_few = port_sees_few, .calls_by = calls_by};
        cpu_was_reset(pv, cpu);
    }
    return pv;
}

void pv_free(Pv *pv)
{
    if (pv != NULL) {
        for (unsigned i = 0; i < pv->cfg.n_cpus; i++) {
            pv->cfg.cpus[i]->pv = (CpuPv){0};
        }
        g_free(pv->cpu);
        g_free(pv);
    }
}

/* -- Saving ------------------------------------------------------------------------------------------ */

static bool pv_saving(void *state, GError **error)
{
    pv_clock_saving(state);
    return true;
}

static bool pv_loaded(void *state, GError **error)
{
    pv_clock_loaded(state);
    return true;
}

static const Field cpu_fields[] = {
    FIELD(PvCpu, system_time), FIELD(PvCpu, wall_clock), FIELD(PvCpu, steal_time), FIELD(PvCpu, pv_eoi),
    FIELD_MAX(PvCpu, poll_control, POLL_BY_HOST), FIELD(PvCpu, clock_version), FIELD(PvCpu, stolen_ns),
};
static const FieldTable cpu_state = {.version = 1, FIELDS(cpu_fields)};

static void *find_cpu(void *state, unsigned i, const FieldTable **table)
{
    Pv *pv = state;

    *table = &cpu_state;
    return i < pv->cfg.n_cpus ? &pv->cpu[i] : NULL;
}

static const Field pv_fields[] = {
    FIELD(Pv, clock_set), FIELD(Pv, saved_tsc), FIELD_MAX(Pv, saved_ns, INT64_MAX), FIELD_FIND("cpu", find_cpu),
};
const FieldTable pv_state = {.version = 1, FIELDS(pv_fields), .saving = pv_saving, .loaded = pv_loaded};

void pv_moved(Pv *pv)
{
    pv_clock_tsc_moved(pv);
}
