/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pv/vmi-internal.h"

#include "cpu-x86/walk.h"
#include "hw/lapic.h"
#include "softmmu/base/log.h"
#include "softmmu/base/stress.h"

#include <string.h>

enum { APIC_REGISTERS = 0xff0 };

_Static_assert(VMI_PORT == PV_CALL_PORT, "what the translator knows");

bool vmi_stack_arg(const Vmi *v, CpuState *cpu, unsigned n, uint32_t *val)
{
    uint32_t esp = (uint32_t)(cpu->seg[SEG_SS].base + cpu->gpr[GPR_RSP]);

    return cpu_debug_read(cpu, guest_lin((uint32_t)(esp + v->above + 4 + n * 4)), val, sizeof *val);
}

/* -- Calls --------------------------------------------------------------------------------------------- */

/* Where calls are exits, most ends of interrupts go by the shared page, as KVM's guests have it.  The ROM cannot tell in a
 * few cycles which CPU it is on, so only on machines with one. */
static void share_eoi(Vmi *v)
{
    Pv *pv = v->cfg.pv;

    if (v->found && pv->call_way != PV_CALLS_INSIDE && pv->cfg.n_cpus == 1 && (pv->cpu[0].pv_eoi & 1) == 0) {
        pv_eoi_enable(pv, pv->cfg.cpus[0], (VMI_ROM_BASE + VMI_ROM_LEN + VMI_SHARED_EOI) | 1);
    }
}

static void vmi_init_call(Vmi *v, CpuState *cpu)
{
    log_item(CPU_RESET, "vmi: the guest has found the ROM");
    v->found = true;
    share_eoi(v);
    vmi_return(cpu, 0);
}

static void vmi_Reboot(Vmi *v, CpuState *cpu)
{
    v->cfg.reboot(v->cfg.arg);
}

static void vmi_Shutdown(Vmi *v, CpuState *cpu)
{
    v->cfg.shutdown(v->cfg.arg);
}

static Device *own_lapic(const Vmi *v, const CpuState *cpu)
{
    const PvConfig *pv = &v->cfg.pv->cfg;

    return pv->lapic(pv->arg, cpu->index);
}

/* EAX: the register's offset or, for older texts, its address. */
static void vmi_APICRead(Vmi *v, CpuState *cpu)
{
    vmi_return(cpu, (uint32_t)lapic_mmio_read(own_lapic(v, cpu), vmi_eax(cpu) & APIC_REGISTERS, 4));
}

static void vmi_APICWrite(Vmi *v, CpuState *cpu)
{
    lapic_mmio_write(own_lapic(v, cpu), vmi_eax(cpu) & APIC_REGISTERS, 4, vmi_edx(cpu));
}

/* As the guest lays it out: EAX -> this, EDX the APIC id. */
typedef struct __attribute__((packed)) {
    uint32_t cr0, cr2, cr3, cr4;
    uint64_t efer;
    uint32_t eip, eflags, eax, ebx, ecx, edx, esp, ebp, esi, edi;
    uint16_t cs, ss, ds, es, fs, gs, ldtr;
    uint16_t gdtr_limit;
    uint32_t gdtr_base, idtr_base;
    uint16_t idtr_limit, pad;
} ApState;
_Static_assert(sizeof(ApState) == 0x5c, "VMI's AP state");

static void vmi_SetInitialAPState(Vmi *v, CpuState *cpu)
{
    uint32_t id = vmi_edx(cpu);
    ApState a;

    if (id >= v->cfg.pv->cfg.n_cpus) {
        return;
    }
    v->start_set[id] = cpu_debug_read(cpu, guest_lin(vmi_eax(cpu)), &a, sizeof a);
    if (v->start_set[id]) {
        v->start[id] = (CpuStart){
            .cr0 = a.cr0, .cr2 = a.cr2, .cr3 = a.cr3, .cr4 = a.cr4, .efer = a.efer,
            .eip = a.eip, .eflags = a.eflags,
            .gpr = {a.eax, a.ecx, a.edx, a.ebx, a.esp, a.ebp, a.esi, a.edi},
            .seg = {[SEG_CS] = a.cs, [SEG_SS] = a.ss, [SEG_DS] = a.ds, [SEG_ES] = a.es,
                    [SEG_FS] = a.fs, [SEG_GS] = a.gs},
            .ldtr = a.ldtr, .gdtr = {a.gdtr_base, a.gdtr_limit}, .idtr = {a.idtr_base, a.idtr_limit},
        };
    }
}

bool vmi_start_cpu(Device *d, CpuState *cpu)
{
    Vmi *v = (Vmi *)d;

    if (v == NULL || !v->start_set[cpu->index]) {
        return false;
    }
    v->start_set[cpu->index] = false;
    if (!cpu_start(cpu, &v->start[cpu->index])) {
        log_guest_error("vmi: the state to start CPU %u in is not a valid one", cpu->index);
    }
    return true;
}

/* -- Dispatch ------------------------------------------------------------------------------------------ */

typedef void Call(Vmi *v, CpuState *cpu);

#define KVM_CALL(number, name, need, function)
#define VMI_ROM(number, name, type)
static Call *const calls[VMI_CALL_COUNT] = {
#define VMI_HOST(number, name) [number] = vmi_##name,
#include "pv/hypercalls.def"
#undef VMI_HOST
    [VMI_CALL_COUNTER] = vmi_counter,
};

#undef KVM_CALL
#undef VMI_ROM

bool vmi_call_is_apart(uint32_t ebx)
{
    enum { APIC_WRITE = 63, APIC_READ = 64, FIRST_OF_TIME = VMI_CALL_COUNTER, LAST_OF_TIME = 71 };

    return ebx - (VMI_MAGIC | APIC_WRITE) <= APIC_READ - APIC_WRITE ||
           ebx - (VMI_MAGIC | FIRST_OF_TIME) <= LAST_OF_TIME - FIRST_OF_TIME;
}

static void perform(Vmi *v, CpuState *cpu, uint32_t number)
{
    cpu->stats[STAT_HYPERCALLS]++;
    if (number == VMI_CALL_INIT) {
        vmi_init_call(v, cpu);
    } else if (number < VMI_CALL_COUNT && calls[number] != NULL) {
        calls[number](v, cpu);
    } else {
        log_guest_error("vmi: there is no call %u", number);
    }
}

/* Only the ROM in a kernel's hands: what user code with access to ports writes there is dropped. */
static void call_port_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Vmi *v = arg;
    CpuState *cpu = v->cfg.current_cpu(v->cfg.arg);

    if (cpu == NULL || cpu->cpl != 0 || (cpu->mode & (MODE_PE | MODE_LMA)) != MODE_PE ||
        ((uint32_t)cpu->gpr[GPR_RBX] & 0xffffff00) != VMI_MAGIC) {
        return;
    }
    v->above = 4;              /* EBX */
    perform(v, cpu, (uint8_t)cpu->gpr[GPR_RBX]);
}

static bool call_by_instruction(void *arg, CpuState *cpu)
{
    uint32_t ebx = (uint32_t)cpu->gpr[GPR_RBX];
    Vmi *v = arg;

    if ((ebx & 0xfff00fff) != VMI_VMCALL_MAGIC || (cpu->mode & (MODE_PE | MODE_LMA)) != MODE_PE) {
        return false;
    }
    cpu->gpr[GPR_RAX] = (uint32_t)cpu->gpr[GPR_RSI];
    cpu->gpr[GPR_RCX] = (uint32_t)cpu->gpr[GPR_RDI];
    v->above = 12;             /* EBX, ESI, EDI */
    perform(v, cpu, (uint8_t)(ebx >> 12));
    return true;
}

static uint64_t call_port_read(void *arg, uint64_t off, unsigned size)
{
    return 0xff;
}

/* -- The ROM ------------------------------------------------------------------------------------------- */

static uint8_t *place(Vmi *v, const uint8_t *label)
{
    return v->rom + (label - vmi_rom);
}

/* Firmware and kernels want the bytes' sum to be 0. */
static void set_checksum(Vmi *v)
{
    uint8_t sum = 0;

    v->rom[VMI_ROM_LEN - 1] = 0;
    for (unsigned i = 0; i < VMI_ROM_LEN; i++) {
        sum = (uint8_t)(sum + v->rom[i]);
    }
    v->rom[VMI_ROM_LEN - 1] = (uint8_t)-sum;
}

static void set_bytes(Vmi *v, const uint8_t *label, unsigned size, uint32_t val)
{
    uint8_t *p = place(v, label);

    if (size == 2) {
        __atomic_store_n((uint16_t *)p, (uint16_t)val, __ATOMIC_SEQ_CST);
    } else {
        store_le(p, size, val);
    }
}

/* As calls go now; the machine is at rest, but a CPU may be anywhere in the ROM: both forms go on from there. */
static void show_way(Vmi *v)
{
    enum { JMP = 0xeb, MOV_EAX_ECX = 0xc189, VMCALL = 0xc1010f, VMMCALL = 0xd9010f };
    PvCallWay way = v->cfg.pv->call_way;
    uint32_t to_vmcall = JMP | (uint32_t)(vmi_rom_enter_vmcall - vmi_rom_enter - 2) << 8;
    bool by_insn = way == PV_CALLS_BY_VMCALL || way == PV_CALLS_BY_VMMCALL;

    set_bytes(v, vmi_rom_vmcall, 3, way == PV_CALLS_BY_VMMCALL ? VMMCALL : VMCALL);
    set_bytes(v, vmi_rom_enter, 2, by_insn ? to_vmcall : (uint32_t)load_le(vmi_rom_enter, 2));
    set_bytes(v, vmi_rom_eoi, 2, way != PV_CALLS_INSIDE ? MOV_EAX_ECX : (uint32_t)load_le(vmi_rom_eoi, 2));
    set_checksum(v);
}

static void way_changed(void *arg)
{
    Vmi *v = arg;

    show_way(v);
    phys_mem_written(v->cfg.pv->cfg.mem, (uint64_t)(v->rom - v->cfg.pv->cfg.mem->base), VMI_ROM_LEN);
    share_eoi(v);
}

static void offer_jump(Vmi *v, unsigned call, const uint8_t *to)
{
    uint8_t *reloc = place(v, vmi_rom_relocs) + call * 4;

    store_le(reloc, 2, (uint64_t)(to - vmi_rom));
    reloc[2] = VMI_RELOC_JUMP;
}

/* The fourth kind of relocation, which is allowed for these two alone: what they fault at lies in the ROM then. */
static void offer_jumps(Vmi *v)
{
    enum { IRET = 33, SYSEXIT = 34 };

    offer_jump(v, IRET, vmi_rom_iret_here);
    offer_jump(v, SYSEXIT, vmi_rom_sysexit_here);
}

static void fill_rom(Vmi *v)
{
    const PvConfig *pv = &v->cfg.pv->cfg;

    memcpy(v->rom, vmi_rom, VMI_ROM_LEN);
    store_le(place(v, vmi_rom_frequency_low), 4, pv->cpus[0]->tsc_hz);
    store_le(place(v, vmi_rom_frequency_high), 4, pv->cpus[0]->tsc_hz >> 32);
    memset(v->rom + VMI_ROM_LEN, 0, VMI_SHARED_LEN);
    if (stress_hit(STRESS_vmi_jump)) {
        offer_jumps(v);
    }
    show_way(v);
    phys_mem_written(pv->mem, (uint64_t)(v->rom - pv->mem->base), VMI_ROM_LEN + VMI_SHARED_LEN);
}

/* From now on rdtsc is not the counter: its place becomes a jump to the call. */
static void tsc_moved(void *arg)
{
    Vmi *v = arg;
    uint8_t *p = place(v, vmi_rom_read_counter);
    uint8_t distance = (uint8_t)(vmi_rom_counter_call - vmi_rom_read_counter - 2);

    __atomic_store_n((uint16_t *)p, (uint16_t)(0xeb | distance << 8), __ATOMIC_SEQ_CST);
    phys_mem_written(v->cfg.pv->cfg.mem, (uint64_t)(p - v->cfg.pv->cfg.mem->base), 2);
}

/* -- Device -------------------------------------------------------------------------------------------- */

static void reset(Device *d)
{
    Vmi *v = (Vmi *)d;

    v->found = false;
    fill_rom(v);
    memset(v->start_set, 0, v->cfg.pv->cfg.n_cpus * sizeof *v->start_set);
    vmi_time_reset(v);
}

static void destroy(Device *d)
{
    Vmi *v = (Vmi *)d;

    vmi_time_reset(v);
    for (unsigned i = 0; i < v->cfg.pv->cfg.n_cpus; i++) {
        v->cfg.pv->cfg.cpus[i]->pv.call_apic_write = 0;
    }
    v->cfg.pv->vmi = NULL;
    g_free(v->alarms);
    g_free(v->start);
    g_free(v->start_set);
    g_free(v);
}

static const PvVmi for_pv = {tsc_moved, way_changed, call_by_instruction};

static const DeviceWindow windows[] = {
    {"vmi", WINDOW_PORT, 1, {call_port_read, call_port_write, 1}},
};

/* Memory has been loaded, the ROM with it: calls go as they do here. */
static void vmi_moved(Device *d)
{
    way_changed(d);
}

static bool alarm_loaded(void *state, GError **error)
{
    VmiAlarm *a = state;

    a->periodic = a->periodic && a->period != 0;
    return true;
}

static const Field alarm_fields[] = {
    FIELD(VmiAlarm, armed), FIELD(VmiAlarm, periodic), FIELD(VmiAlarm, lvtt), FIELD(VmiAlarm, first),
    FIELD(VmiAlarm, period), FIELD_TIMER(VmiAlarm, timer),
};
static const FieldTable alarm_state = {.version = 1, FIELDS(alarm_fields), .loaded = alarm_loaded};

static void *find_alarm(void *state, unsigned i, const FieldTable **table)
{
    Vmi *v = state;

    *table = &alarm_state;
    return i < v->cfg.pv->cfg.n_cpus * VMI_ALARM_COUNT ? &v->alarms[i / VMI_ALARM_COUNT][i % VMI_ALARM_COUNT] : NULL;
}

static const Field table_fields[] = {
    FIELD(DescTable, base), FIELD(DescTable, limit),
};
static const FieldTable table_state = {.version = 1, FIELDS(table_fields)};
static const Field start_fields[] = {
    FIELD(CpuStart, cr0), FIELD(CpuStart, cr2), FIELD(CpuStart, cr3), FIELD(CpuStart, cr4), FIELD(CpuStart, efer),
    FIELD(CpuStart, eip), FIELD(CpuStart, eflags), FIELD(CpuStart, gpr), FIELD(CpuStart, seg), FIELD(CpuStart, ldtr),
    FIELD_STRUCT(CpuStart, gdtr, table_state), FIELD_STRUCT(CpuStart, idtr, table_state),
};
static const FieldTable start_state = {.version = 1, FIELDS(start_fields)};

static void *find_start(void *state, unsigned i, const FieldTable **table)
{
    Vmi *v = state;

    *table = &start_state;
    return i < v->cfg.pv->cfg.n_cpus ? &v->start[i] : NULL;
}

static const Field start_set_fields[] = {{.name = "set", .kind = FIELD_BOOLS, .size = sizeof(bool)}};
static const FieldTable start_set_state = {.version = 1, FIELDS(start_set_fields)};

static void *find_start_set(void *state, unsigned i, const FieldTable **table)
{
    Vmi *v = state;

    *table = &start_set_state;
    return i < v->cfg.pv->cfg.n_cpus ? &v->start_set[i] : NULL;
}

static const Field vmi_fields[] = {
    FIELD(Vmi, found), FIELD(Vmi, wall_ahead), FIELD_FIND("alarm", find_alarm), FIELD_FIND("start", find_start),
    FIELD_FIND("start-set", find_start_set),
};
static const FieldTable vmi_state = {.version = 1, FIELDS(vmi_fields)};

static const DeviceClass vmi_class = {
    .name = "vmi",
    .help = "ROM and calls of the Virtual Machine Interface 3.0",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .reset = reset,
    .destroy = destroy,
    .state = &vmi_state,
    .moved = vmi_moved,
};

Device *vmi_new(const VmiConfig *cfg)
{
    const PvConfig *pv = &cfg->pv->cfg;
    Vmi *v = g_new0(Vmi, 1);
    uint64_t offset = phys_mem_alloc(pv->mem, VMI_ROM_LEN + VMI_SHARED_LEN);

    v->dev.cls = &vmi_class;
    v->cfg = *cfg;
    v->rom = pv->mem->base + offset;
    v->alarms = g_malloc0_n(pv->n_cpus, sizeof *v->alarms);
    v->start = g_new0(CpuStart, pv->n_cpus);
    v->start_set = g_new0(bool, pv->n_cpus);
    vmi_time_init(v);
    reset(&v->dev);
    phys_region_rom(pv->mem, VMI_ROM_BASE, VMI_ROM_LEN, offset, VMI_ROM_PRIORITY, NULL, NULL, "vmi");
    phys_region_ram(pv->mem, VMI_ROM_BASE + VMI_ROM_LEN, VMI_SHARED_LEN, offset + VMI_ROM_LEN, VMI_ROM_PRIORITY, "vmi-shared");
    for (unsigned i = 0; i < pv->n_cpus; i++) {
        pv->cpus[i]->pv.call_apic_write = VMI_MAGIC | 63;
    }
    cfg->pv->vmi = &for_pv;
    cfg->pv->vmi_arg = v;
    return &v->dev;
}
