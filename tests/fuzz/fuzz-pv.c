/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The paravirtual interfaces against a guest that gives them any numbers and addresses, at any time. */
#include "tests/fuzz/fuzz.h"
#include "tests/pv/rig.h"

enum { STEPS = 200 };

static void any_registers(CpuState *cpu, FuzzInput *in)
{
    for (unsigned i = 0; i < 8; i++) {
        cpu->gpr[i] = fuzz_value(in);
    }
}

static void write_msr(CpuState *cpu, FuzzInput *in)
{
    static const uint32_t msrs[] = {0x10, 0x11, 0x12, 0x3b, 0x4b564d00, 0x4b564d01, 0x4b564d02, 0x4b564d03,
                                    0x4b564d04, 0x4b564d05};
    uint32_t msr = msrs[fuzz_u8(in) % ARRAY_LEN(msrs)];
    uint64_t v = fuzz_value(in);

    cpu_msr_write(cpu, msr, (fuzz_u8(in) & 1) != 0 ? v | 1 : v);
    cpu_msr_read(cpu, msr, &v);
}

static void hypercall(CpuState *cpu, FuzzInput *in)
{
    any_registers(cpu, in);
    if ((fuzz_u8(in) & 3) != 0) {
        cpu->gpr[GPR_RAX] = fuzz_u8(in) % 16;
    }
    cpu->pv.hypercall(cpu->pv.arg, cpu);
}

static void vmi(Rig *r, FuzzInput *in)
{
    any_registers(r->current, in);
    r->current->gpr[GPR_RBX] = VMI_MAGIC | fuzz_u8(in) % 80;
    port_write(r->ports, VMI_PORT, 1, 0);
}

static void back_door(Rig *r, FuzzInput *in)
{
    any_registers(r->current, in);
    r->current->gpr[GPR_RAX] = 0x564d5868;
    if ((fuzz_u8(in) & 1) != 0) {
        port_read(r->ports, VMPORT_PORT, 4);
    } else {
        port_write(r->ports, VMPORT_PORT, 4, fuzz_u32(in));
    }
}

static void interrupt(Rig *r, FuzzInput *in)
{
    Device *l = r->lapic[r->current->index];

    lapic_accept(l, &(ApicMessage){.vector = fuzz_u8(in), .delivery = APIC_FIXED, .level = (fuzz_u8(in) & 7) == 0});
    pv_interrupt(r->pv, r->current);
    lapic_ack(l);
}

static void sleep_and_wake(Rig *r, FuzzInput *in)
{
    pv_cpu_sleeps(r->pv, r->current);
    pv_cpu_wakes(r->pv, r->current);
    pv_cpu_resumes(r->pv, r->current);
}

/* The state, if there is one, comes from VMI call 62 with an address of this. */
static void start_other(Rig *r, FuzzInput *in)
{
    CpuState *cpu = r->cpus[1];

    cpu_init_signal(cpu);
    if (vmi_start_cpu(r->vmi, cpu)) {
        g_assert(cpu->activity == CPU_RUNNING || cpu->activity == CPU_WAIT_SIPI);
    }
}

static void step(Rig *r, FuzzInput *in)
{
    r->current = r->cpus[fuzz_u8(in) % RIG_CPUS];
    switch (fuzz_u8(in) % 10) {
    case 0: write_msr(r->current, in); break;
    case 1: hypercall(r->current, in); break;
    case 2: vmi(r, in); break;
    case 3: back_door(r, in); break;
    case 4: interrupt(r, in); break;
    case 5: sleep_and_wake(r, in); break;
    case 6: start_other(r, in); break;
    case 7: rig_store(r, fuzz_value(in) & (RIG_RAM - 1), 8, fuzz_value(in)); break;
    case 8: lapic_mmio_write(r->lapic[r->current->index], (fuzz_u8(in) & 63) << 4, 4, fuzz_u32(in)); break;
    default: fake_clock_go(&r->clock, r->clock.ns + (fuzz_u32(in) & 0xffff)); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};
    Rig *r = rig_new("max");

    for (unsigned i = 0; i < RIG_CPUS; i++) {
        if ((fuzz_u8(&in) & 3) != 0) {
            rig_protected(r->cpus[i]);
        }
        lapic_mmio_write(r->lapic[i], 0xf0, 4, 0x1ff);
    }
    for (unsigned i = 0; i < STEPS && in.left > 0; i++) {
        step(r, &in);
        g_assert(!lock_held(LOCK_RANK_MACHINE));
    }
    device_reset(r->vmi);
    rig_free(r);
    return 0;
}

/* An AP state in memory, announced and started; the clock and the other areas at the edges of RAM. */
size_t fuzz_seed(unsigned i, uint8_t *buf)
{
    if (i > 40) {
        return 0;
    }
    for (unsigned k = 0; k < 1024; k++) {
        buf[k] = (uint8_t)(k * (2 * i + 1) + i);
    }
    return 1024;
}
