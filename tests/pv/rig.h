/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two CPUs, their local APICs and all paravirtual interfaces, on a clock and a TSC that move when told to. */
#ifndef TESTS_PV_RIG_H
#define TESTS_PV_RIG_H

#include "cpu-x86/cpuid.h"
#include "cpu-x86/msr.h"
#include "hw/apic-bus.h"
#include "hw/lapic.h"
#include "pv/pv.h"
#include "pv/vmi.h"
#include "pv/vmport.h"
#include "softmmu/base/bits.h"
#include "tests/fake.h"

#include <string.h>

enum { RIG_CPUS = 2, RIG_RAM = 16 << 20 };

typedef struct {
    Lock lock;
    FakeClock clock;
    FakeIrq irq0;
    PhysMem *mem;
    PortSpace *ports;
    CpuModel *model;
    CpuState *cpus[RIG_CPUS], *current;
    bool intr[RIG_CPUS];
    Device *bus, *lapic[RIG_CPUS], *vmi, *vmport;
    Pv *pv;
    unsigned reboots, shutdowns;
} Rig;

typedef struct {
    Rig *rig;
    unsigned cpu;
} RigSocket;

/* 2 GHz */
static inline uint64_t rig_tsc(void *arg)
{
    return ((Rig *)arg)->clock.ns * 2;
}

static inline CpuState *rig_current(void *arg)
{
    return ((Rig *)arg)->current;
}

static inline int rig_current_index(void *arg)
{
    return (int)((Rig *)arg)->current->index;
}

static inline Device *rig_lapic(void *arg, unsigned cpu)
{
    return ((Rig *)arg)->lapic[cpu];
}

static inline void rig_reboot(void *arg)
{
    ((Rig *)arg)->reboots++;
}

static inline void rig_shutdown(void *arg)
{
    ((Rig *)arg)->shutdowns++;
}

static inline void rig_intr(void *arg, bool level)
{
    *(bool *)arg = level;
}

static inline void rig_nothing(void *arg)
{
}

static inline void rig_no_sipi(void *arg, uint8_t vector)
{
}

static inline uint64_t rig_lapic_tsc(void *arg)
{
    return cpu_tsc(arg);
}

static inline bool rig_offer(void *arg)
{
    CpuState *cpu = arg;

    return pv_eoi_offer(cpu->pv.arg, cpu);
}

static inline bool rig_take_back(void *arg)
{
    CpuState *cpu = arg;

    return pv_eoi_take_back(cpu->pv.arg, cpu);
}

static inline void rig_add_cpu(Rig *r, unsigned i)
{
    r->cpus[i] = cpu_new(&(CpuConfig){.index = i, .n_cpus = RIG_CPUS, .model = r->model, .mem = r->mem,
                                      .ports = r->ports, .machine_lock = &r->lock});
    r->cpus[i]->tsc_now = rig_tsc;
    r->cpus[i]->tsc_arg = r;
    r->cpus[i]->tsc_hz = 2000000000;
    r->lapic[i] = lapic_new(&(LapicConfig){
        .bus = r->bus, .timers = &r->clock.timers, .id = i, .bsp = i == 0, .x2apic = true,
        .tsc_deadline = true, .tsc_arg = r->cpus[i], .tsc_now = rig_lapic_tsc, .tsc_hz = &r->cpus[i]->tsc_hz,
        .eoi_arg = r->cpus[i], .eoi_offer = rig_offer, .eoi_take_back = rig_take_back,
        .sink = {&r->intr[i], rig_intr, rig_nothing, rig_nothing, rig_no_sipi, NULL}});
}

/* Of the CPUs, the paravirtual interfaces know the first `known`. */
static inline Rig *rig_new_of(const char *model, unsigned known)
{
    Rig *r = g_new0(Rig, 1);
    GError *error = NULL;

    lock_init(&r->lock, LOCK_RANK_MACHINE);
    fake_clock_init(&r->clock);
    r->clock.ns = 1000;
    r->mem = phys_mem_new(RIG_RAM + VMI_ROM_LEN + VMI_SHARED_LEN, &r->lock, &error);
    g_assert_no_error(error);
    lock_take(&r->lock);
    phys_region_ram(r->mem, 0, RIG_RAM, phys_mem_alloc(r->mem, RIG_RAM), 0, "ram");
    r->ports = port_space_new(&r->lock);
    r->model = cpu_model_new(model, RIG_CPUS, &error);
    g_assert_no_error(error);
    r->bus = apic_bus_new(rig_current_index, r);
    for (unsigned i = 0; i < RIG_CPUS; i++) {
        rig_add_cpu(r, i);
    }
    r->current = r->cpus[0];
    r->pv = pv_new(&(PvConfig){.cpus = r->cpus, .n_cpus = known, .mem = r->mem,
                               .clock = &r->clock.clock, .wall_base = 1000000000,
                               .machine_lock = &r->lock,
                               .apic_bus = r->bus, .arg = r, .lapic = rig_lapic});
    r->vmi = vmi_new(&(VmiConfig){.pv = r->pv, .timers = &r->clock.timers,
                                  .irq0 = FAKE_IRQ_LINE(&r->irq0), .arg = r,
                                  .current_cpu = rig_current, .reboot = rig_reboot,
                                  .shutdown = rig_shutdown});
    r->vmport = vmport_new(&(VmportConfig){.ram_size = RIG_RAM, .pv = r->pv, .arg = r, .current_cpu = rig_current});
    port_map(r->ports, VMI_PORT, 1, &r->vmi->cls->windows[0].ops, r->vmi, "vmi");
    port_map(r->ports, VMPORT_PORT, 4, &r->vmport->cls->windows[0].ops, r->vmport, "vmport");
    lock_release(&r->lock);
    return r;
}

static inline Rig *rig_new(const char *model)
{
    return rig_new_of(model, RIG_CPUS);
}

static inline void rig_free(Rig *r)
{
    lock_take(&r->lock);
    device_free(r->vmport);
    device_free(r->vmi);
    pv_free(r->pv);
    for (unsigned i = 0; i < RIG_CPUS; i++) {
        device_free(r->lapic[i]);
        cpu_free(r->cpus[i]);
    }
    device_free(r->bus);
    cpu_model_free(r->model);
    port_space_free(r->ports);
    phys_mem_free(r->mem);
    lock_release(&r->lock);
    lock_clear(&r->lock);
    g_free(r);
}

static inline uint64_t rig_load(Rig *r, uint64_t at, unsigned size)
{
    uint64_t v = 0;

    phys_copy_from(r->mem, &v, guest_phys(at), size);
    return v;
}

static inline void rig_store(Rig *r, uint64_t at, unsigned size, uint64_t v)
{
    phys_copy_to(r->mem, guest_phys(at), &v, size);
}

/* 32-bit flat protected mode at CPL 0. */
static inline void rig_protected(CpuState *cpu)
{
    cpu->cr0 |= CR0_PE;
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cpu->seg[i] = (Segment){.selector = 8, .limit = UINT32_MAX,
                                .attr = SEG_P | SEG_S | SEG_RW | SEG_A | SEG_DB | SEG_G |
                                        (i == SEG_CS ? SEG_CODE : 0)};
    }
    cpu_update_mode(cpu);
}

#endif /* TESTS_PV_RIG_H */
