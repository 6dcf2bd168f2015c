/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest loads EAX with the magic number, ECX with a command and executes IN EAX, DX; results come in
 * EAX...EDX.  Without the magic number, and for commands we do not have, EAX reads as all ones.
 */
#include "pv/vmport.h"

#include "cpu-x86/cpuid.h"

#define MAGIC 0x564d5868u
enum { GET_VERSION = 10, GET_RAM_SIZE = 20, GET_TIME = 23, GET_HZ = 45, GET_TIME_FULL = 46,
       GET_VCPU_INFO = 68 };
enum { VERSION = 6, PRODUCT = 2 };     /* as QEMU says by default */
enum { VCPU_LEGACY_X2APIC = 1 << 3 };
enum { MAX_LAG_US = 1000000 };

typedef struct {
    Device dev;
    VmportConfig cfg;
} Vmport;

static void set(CpuState *cpu, unsigned reg, uint32_t val)
{
    cpu->gpr[reg] = val;
}

static uint32_t command(const Vmport *v, CpuState *cpu)
{
    uint64_t wall = pv_wall_ns(v->cfg.pv), sec = wall / NS_PER_SEC;

    switch ((uint16_t)cpu->gpr[GPR_RCX]) {
    case GET_VERSION:
        set(cpu, GPR_RBX, MAGIC);
        set(cpu, GPR_RCX, PRODUCT);
        return VERSION;
    case GET_RAM_SIZE:
        set(cpu, GPR_RBX, 0x1177);     /* what clients compare with */
        return (uint32_t)MIN(v->cfg.ram_size, UINT32_MAX);
    case GET_TIME:
        set(cpu, GPR_RBX, (uint32_t)(wall % NS_PER_SEC / 1000));
        set(cpu, GPR_RCX, MAX_LAG_US);
        return (uint32_t)MIN(sec, UINT32_MAX);
    case GET_TIME_FULL:
        set(cpu, GPR_RSI, (uint32_t)(sec >> 32));
        set(cpu, GPR_RDX, (uint32_t)sec);
        set(cpu, GPR_RBX, (uint32_t)(wall % NS_PER_SEC / 1000));
        set(cpu, GPR_RCX, MAX_LAG_US);
        return MAGIC;
    case GET_HZ:
        set(cpu, GPR_RBX, (uint32_t)(cpu->tsc_hz >> 32));
        set(cpu, GPR_RCX, CPU_CRYSTAL_HZ);
        return (uint32_t)cpu->tsc_hz;
    case GET_VCPU_INFO:
        return cpu_model_has(cpu->model, FEAT_X2APIC) ? VCPU_LEGACY_X2APIC : 0;
    default:
        return UINT32_MAX;
    }
}

static uint64_t backdoor_read(void *arg, uint64_t off, unsigned size)
{
    const Vmport *v = arg;
    CpuState *cpu = v->cfg.current_cpu(v->cfg.arg);

    return size == 4 && cpu != NULL && (uint32_t)cpu->gpr[GPR_RAX] == MAGIC ? command(v, cpu)
                                                                            : UINT32_MAX;
}

/* OUT does what IN does; the register file is the CPU's own then too. */
static void backdoor_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    const Vmport *v = arg;
    CpuState *cpu = v->cfg.current_cpu(v->cfg.arg);

    if (size == 4 && cpu != NULL && (uint32_t)cpu->gpr[GPR_RAX] == MAGIC) {
        set(cpu, GPR_RAX, command(v, cpu));
    }
}

static void destroy(Device *d)
{
    g_free(d);
}

static const DeviceWindow windows[] = {
    {"vmport", WINDOW_PORT, 4, {backdoor_read, backdoor_write, 4}},
};

/* It remembers nothing. */

static const DeviceClass vmport_class = {
    .name = "vmport",
    .help = "VMware's back-door port",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .destroy = destroy,
    .state = &fields_none,
};

Device *vmport_new(const VmportConfig *cfg)
{
    Vmport *v = g_new0(Vmport, 1);

    v->dev.cls = &vmport_class;
    v->cfg = *cfg;
    return &v->dev;
}
