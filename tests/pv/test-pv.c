/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pv/: the clock's function, steal time, EOI in memory, hypercalls, VMI's ROM and alarms, the back door. */
#include "pv/vmi-rom.h"
#include "tests/pv/rig.h"
#include "tests/suite.h"

enum { MSR_WALL = 0x4b564d00, MSR_TIME = 0x4b564d01, MSR_STEAL = 0x4b564d03, MSR_EOI = 0x4b564d04 };
enum { PAGE0 = 0x2000, PAGE1 = 0x3000, STEAL0 = 0x4000, EOI0 = 0x5000 };

/* -- Clock ----------------------------------------------------------------------------------------- */

/* What a guest computes from a page. */
static uint64_t clock_of(Rig *r, unsigned cpu, uint64_t page)
{
    uint64_t tsc = cpu_tsc(r->cpus[cpu]) - rig_load(r, page + 8, 8);
    int8_t shift = (int8_t)rig_load(r, page + 28, 1);

    ck_assert_uint_eq(rig_load(r, page, 4) & 1, 0);
    tsc = shift < 0 ? tsc >> -shift : tsc << shift;
    return rig_load(r, page + 16, 8) +
           (uint64_t)((unsigned __int128)tsc * rig_load(r, page + 24, 4) >> 32);
}

static bool near(uint64_t a, uint64_t b)
{
    return a - b < 3 || b - a < 3;
}

START_TEST(the_clock_is_the_machines)
{
    Rig *r = rig_new("max");

    r->clock.ns = 5000000000;
    ck_assert(cpu_msr_write(r->cpus[0], MSR_TIME, PAGE0 | 1));
    for (unsigned i = 0; i < 6; i++) {
        r->clock.ns += 7777777777777;
        ck_assert(near(clock_of(r, 0, PAGE0), r->clock.ns));
    }
    ck_assert(cpu_msr_write(r->cpus[1], MSR_TIME, PAGE1 | 1));
    ck_assert(near(clock_of(r, 1, PAGE1), r->clock.ns));
    ck_assert_uint_eq(rig_load(r, PAGE0 + 29, 1), 1);
    ck_assert(clock_of(r, 0, PAGE1) == clock_of(r, 1, PAGE0));
    rig_free(r);
}
END_TEST

START_TEST(tsc_writes_leave_the_time)
{
    Rig *r = rig_new("max");
    uint64_t version;

    cpu_msr_write(r->cpus[0], MSR_TIME, PAGE0 | 1);
    cpu_msr_write(r->cpus[1], MSR_TIME, PAGE1 | 1);
    version = rig_load(r, PAGE0, 4);
    r->clock.ns += 1000000;
    ck_assert(cpu_msr_write(r->cpus[1], 0x10, 12345));     /* its TSC */
    ck_assert(near(clock_of(r, 0, PAGE0), r->clock.ns) && near(clock_of(r, 1, PAGE1), r->clock.ns));
    ck_assert(rig_load(r, PAGE0 + 29, 1) == 0 && rig_load(r, PAGE1 + 29, 1) == 0);
    ck_assert_uint_ne(rig_load(r, PAGE0, 4), version);
    ck_assert(cpu_msr_write(r->cpus[1], 0x3b, 0));         /* TSC_ADJUST: together again */
    ck_assert(rig_load(r, PAGE0 + 29, 1) == 1 && rig_load(r, PAGE1 + 29, 1) == 1);
    ck_assert(near(clock_of(r, 1, PAGE1), r->clock.ns));
    cpu_msr_write(r->cpus[0], MSR_TIME, 0);                /* off: no more writes */
    version = rig_load(r, PAGE0, 4);
    cpu_msr_write(r->cpus[1], 0x10, 1);
    ck_assert_uint_eq(rig_load(r, PAGE0, 4), version);
    rig_free(r);
}
END_TEST

/* As a KVM that does not move the TSC makes it, one CPU after the other. */
START_TEST(jumps_of_the_tsc_leave_the_time)
{
    Rig *r = rig_new("max");
    uint64_t before;

    cpu_msr_write(r->cpus[0], MSR_TIME, PAGE0 | 1);
    cpu_msr_write(r->cpus[1], MSR_TIME, PAGE1 | 1);
    r->clock.ns += 1000000;
    before = clock_of(r, 0, PAGE0);
    for (unsigned i = 0; i < 2; i++) {
        CpuState *cpu = r->cpus[i];

        cpu->tsc_offset += 123456789;
        cpu->tsc_jump += 123456789;
        cpu->pv.tsc_moved(cpu->pv.arg, cpu, 123456789);
        ck_assert_uint_eq(rig_load(r, PAGE0 + 29, 1), i);  /* together again with the second */
        ck_assert(near(clock_of(r, 0, PAGE0), before) && near(clock_of(r, 1, PAGE1), before));
    }
    r->clock.ns += 1000;
    ck_assert(near(clock_of(r, 1, PAGE0), r->clock.ns));
    ck_assert(cpu_msr_write(r->cpus[1], 0x10, 12345));
    ck_assert(near(clock_of(r, 1, PAGE1), r->clock.ns));
    rig_free(r);
}
END_TEST

START_TEST(the_stable_bit_and_the_leaves_follow_the_model)
{
    Rig *r = rig_new("max,kvmclock-stable-bit=off");
    uint64_t v;

    cpu_msr_write(r->cpus[0], MSR_TIME, PAGE0 | 1);
    ck_assert_uint_eq(rig_load(r, PAGE0 + 29, 1), 0);
    rig_free(r);
    r = rig_new("max,kvmclock=off,kvm-steal-time=off,kvm-pv-eoi=off");
    ck_assert(!cpu_msr_write(r->cpus[0], MSR_TIME, PAGE0 | 1) && !cpu_msr_read(r->cpus[0], 0x12, &v));
    ck_assert(!cpu_msr_write(r->cpus[0], MSR_STEAL, STEAL0 | 1));
    ck_assert(!cpu_msr_write(r->cpus[0], MSR_EOI, EOI0 | 1));
    rig_free(r);
}
END_TEST

START_TEST(reset_and_init_forget_everything)
{
    Rig *r = rig_new("max");
    uint64_t v, version;

    cpu_msr_write(r->cpus[1], MSR_TIME, PAGE1 | 1);
    cpu_msr_write(r->cpus[1], MSR_STEAL, STEAL0 | 1);
    cpu_init_signal(r->cpus[1]);
    ck_assert(cpu_msr_read(r->cpus[1], MSR_TIME, &v) && v == 0);
    ck_assert(cpu_msr_read(r->cpus[1], MSR_STEAL, &v) && v == 0);
    version = rig_load(r, PAGE1, 4);
    cpu_msr_write(r->cpus[1], 0x10, 99);
    ck_assert_uint_eq(rig_load(r, PAGE1, 4), version);
    rig_free(r);
}
END_TEST

/* -- Steal time ------------------------------------------------------------------------------------- */

START_TEST(lost_time_is_stolen_and_sleep_is_not)
{
    Rig *r = rig_new("max");
    CpuState *cpu = r->cpus[0];
    uint64_t stolen;

    cpu_msr_write(cpu, MSR_STEAL, STEAL0 | 1);
    ck_assert_uint_eq(rig_load(r, STEAL0, 8), 0);
    r->clock.ns += 100 * NS_PER_MS;                        /* this thread did next to nothing */
    pv_interrupt(r->pv, cpu);
    stolen = rig_load(r, STEAL0, 8);
    ck_assert(stolen > 50 * NS_PER_MS && stolen <= 100 * NS_PER_MS);
    ck_assert_uint_eq(rig_load(r, STEAL0 + 8, 4) & 1, 0);
    pv_cpu_sleeps(r->pv, cpu);
    ck_assert_uint_eq(rig_load(r, STEAL0 + 16, 1), 1);
    r->clock.ns += NS_PER_SEC;
    rig_store(r, STEAL0 + 16, 1, 3);                       /* flush, asks another CPU */
    uint64_t flushes = cpu->mmu.tlb.n_flushes;
    pv_cpu_wakes(r->pv, cpu);
    ck_assert_uint_eq(rig_load(r, STEAL0 + 16, 1), 0);
    ck_assert_uint_gt(cpu->mmu.tlb.n_flushes, flushes);
    pv_interrupt(r->pv, cpu);
    ck_assert_uint_eq(rig_load(r, STEAL0, 8), stolen);
    r->clock.ns += NS_PER_SEC;                             /* stopped by a monitor, say */
    pv_cpu_resumes(r->pv, cpu);
    pv_interrupt(r->pv, cpu);
    ck_assert_uint_eq(rig_load(r, STEAL0, 8), stolen);
    ck_assert(!cpu_msr_write(cpu, MSR_STEAL, STEAL0 | 5));
    rig_free(r);
}
END_TEST

/* -- EOI in memory ---------------------------------------------------------------------------------- */

static void send(Rig *r, unsigned cpu, uint8_t vector)
{
    lapic_accept(r->lapic[cpu], &(ApicMessage){.vector = vector, .delivery = APIC_FIXED});
}

static bool in_service(Rig *r, uint8_t vector)
{
    return lapic_peek(r->lapic[0], 0x100 + vector / 32 * 16) >> (vector % 32) & 1;
}

START_TEST(an_interrupt_may_end_in_memory)
{
    Rig *r = rig_new("max");
    Device *l = r->lapic[0];

    lapic_mmio_write(l, 0xf0, 4, 0x1ff);
    cpu_msr_write(r->cpus[0], MSR_EOI, EOI0 | 1);
    send(r, 0, 0x50);
    ck_assert(r->intr[0]);
    ck_assert_int_eq(lapic_ack(l), 0x50);
    ck_assert_uint_eq(rig_load(r, EOI0, 4), 1);            /* offered */
    rig_store(r, EOI0, 4, 0);                              /* taken */
    send(r, 0, 0x40);                                      /* lower: goes by what the memory says */
    ck_assert(r->intr[0]);
    ck_assert_int_eq(lapic_ack(l), 0x40);
    ck_assert(!in_service(r, 0x50));
    send(r, 0, 0x41);                                      /* the same class, the offer not taken */
    ck_assert(r->intr[0]);
    ck_assert_int_eq(lapic_ack(l), -1);
    ck_assert(!r->intr[0] && rig_load(r, EOI0, 4) == 0);   /* withdrawn: an EOI will come */
    ck_assert(in_service(r, 0x40));
    lapic_mmio_write(l, 0xb0, 4, 0);
    ck_assert(r->intr[0]);
    ck_assert_int_eq(lapic_ack(l), 0x41);
    ck_assert_uint_eq(rig_load(r, EOI0, 4), 1);
    cpu_msr_write(r->cpus[0], MSR_EOI, 0);                 /* off in between */
    ck_assert(in_service(r, 0x41));
    lapic_mmio_write(l, 0xb0, 4, 0);
    ck_assert(!in_service(r, 0x41));
    rig_free(r);
}
END_TEST

START_TEST(nested_interrupts_are_not_offered)
{
    Rig *r = rig_new("max");
    Device *l = r->lapic[0];

    lapic_mmio_write(l, 0xf0, 4, 0x1ff);
    cpu_msr_write(r->cpus[0], MSR_EOI, EOI0 | 1);
    send(r, 0, 0x40);
    send(r, 0, 0x60);
    ck_assert_int_eq(lapic_ack(l), 0x60);
    ck_assert_uint_eq(rig_load(r, EOI0, 4), 0);            /* another one waits */
    lapic_mmio_write(l, 0xb0, 4, 0);
    ck_assert_int_eq(lapic_ack(l), 0x40);
    ck_assert_uint_eq(rig_load(r, EOI0, 4), 1);
    send(r, 0, 0x70);
    ck_assert_int_eq(lapic_ack(l), 0x70);                  /* inside: two are in service */
    ck_assert_uint_eq(rig_load(r, EOI0, 4), 0);
    lapic_mmio_write(l, 0xb0, 4, 0);
    lapic_mmio_write(l, 0xb0, 4, 0);
    ck_assert(!in_service(r, 0x70) && !in_service(r, 0x40));
    lapic_accept(l, &(ApicMessage){.vector = 0x55, .delivery = APIC_FIXED, .level = true});
    ck_assert_int_eq(lapic_ack(l), 0x55);                  /* the I/O APIC waits for its end */
    ck_assert_uint_eq(rig_load(r, EOI0, 4), 0);
    rig_free(r);
}
END_TEST

/* -- Hypercalls -------------------------------------------------------------------------------------- */

static int64_t call(Rig *r, uint64_t n, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    CpuState *cpu = r->cpus[0];

    cpu->gpr[GPR_RAX] = n;
    cpu->gpr[GPR_RBX] = a;
    cpu->gpr[GPR_RCX] = b;
    cpu->gpr[GPR_RDX] = c;
    cpu->gpr[GPR_RSI] = d;
    cpu->pv.hypercall(cpu->pv.arg, cpu);
    return (int32_t)cpu->gpr[GPR_RAX];
}

START_TEST(calls_need_their_feature_and_ring_0)
{
    Rig *r = rig_new("max,kvm-pv-ipi=off");

    ck_assert_int_eq(call(r, 11, 0, 0, 0, 0), 0);
    ck_assert_int_eq(call(r, 10, 1, 0, 0, 0x50), -1000);
    ck_assert_int_eq(call(r, 77, 0, 0, 0, 0), -1000);
    r->cpus[0]->cpl = 3;
    ck_assert_int_eq(call(r, 11, 0, 0, 0, 0), -1);
    rig_free(r);
    r = rig_new("max");
    lapic_mmio_write(r->lapic[1], 0xf0, 4, 0x1ff);
    ck_assert_int_eq(call(r, 10, 3, 0, 0, 0x50), 2);
    ck_assert_int_eq(lapic_ack(r->lapic[1]), 0x50);
    ck_assert_int_eq(call(r, 10, UINT64_MAX, UINT64_MAX, 2, 0x51), 0); /* nobody from there on */
    ck_assert_int_eq(call(r, 10, 1, 0, UINT32_MAX, 0x51), 0);
    ck_assert_int_eq(call(r, 10, 2, 0, 0, 5 << 8), -22);               /* INIT */
    ck_assert_uint_eq(cpu_requests(r->cpus[1]) & CPU_REQ_INIT, 0);
    r->cpus[1]->activity = CPU_HALTED;
    r->cpus[1]->rflags &= ~(uint64_t)FLAG_IF;
    ck_assert(!cpu_has_work(r->cpus[1]));
    ck_assert_int_eq(call(r, 5, 0, 1, 0, 0), 0);
    ck_assert(cpu_has_work(r->cpus[1]));
    rig_free(r);
}
END_TEST

/* -- VMI ----------------------------------------------------------------------------------------------- */

static void vmi_call(Rig *r, unsigned number, uint32_t eax, uint32_t edx, uint32_t ecx)
{
    r->current->gpr[GPR_RBX] = VMI_MAGIC | number;
    r->current->gpr[GPR_RAX] = eax;
    r->current->gpr[GPR_RDX] = edx;
    r->current->gpr[GPR_RCX] = ecx;
    port_write(r->ports, VMI_PORT, 1, 0);
}

static uint64_t vmi_result(const Rig *r)
{
    return (uint32_t)r->current->gpr[GPR_RAX] | r->current->gpr[GPR_RDX] << 32;
}

START_TEST(the_rom_is_one)
{
    Rig *r = rig_new("max");
    uint8_t sum = 0;

    ck_assert_uint_eq(rig_load(r, VMI_ROM_BASE, 2), 0xaa55);
    ck_assert_uint_eq(rig_load(r, VMI_ROM_BASE + 8, 4), 0x696d5663);
    ck_assert_uint_eq(rig_load(r, VMI_ROM_BASE + 2, 1) * 512, VMI_ROM_LEN);
    for (unsigned i = 0; i < VMI_ROM_LEN; i++) {
        sum = (uint8_t)(sum + rig_load(r, VMI_ROM_BASE + i, 1));
    }
    ck_assert_uint_eq(sum, 0);
    rig_store(r, VMI_ROM_BASE, 2, 0);
    ck_assert_uint_eq(rig_load(r, VMI_ROM_BASE, 2), 0xaa55);
    rig_free(r);
}
END_TEST

/* As the ROM makes it (pv/vmi-rom.h). */
static void call_by_instruction(Rig *r, unsigned number, uint32_t eax, uint32_t edx, uint32_t ecx)
{
    uint64_t *gpr = r->cpus[0]->gpr;

    gpr[GPR_RSI] = eax;
    gpr[GPR_RDI] = ecx;
    call(r, VMI_VMCALL_NUMBER, VMI_VMCALL_MAGIC | number << 12, 1, edx, eax);
}

START_TEST(calls_come_by_an_instruction)
{
    Rig *r = rig_new("max");
    CpuState *cpu = r->cpus[0];
    uint64_t begin = r->clock.ns, at = VMI_ROM_BASE + (uint64_t)(vmi_rom_vmcall - vmi_rom);
    uint64_t enter = VMI_ROM_BASE + (uint64_t)(vmi_rom_enter - vmi_rom);

    ck_assert_uint_eq(rig_load(r, enter, 2), 0xe4e6);
    lock_take(&r->lock);
    cpu->pv.calls_by(cpu->pv.arg, PV_CALLS_BY_VMMCALL);
    lock_release(&r->lock);
    ck_assert_uint_eq(rig_load(r, enter, 1), 0xeb);
    ck_assert_uint_eq(rig_load(r, at, 3), 0xd9010f);
    call_by_instruction(r, 70, 0, 0, 0);                   /* real mode: an unknown hypercall */
    ck_assert_int_eq((int32_t)cpu->gpr[GPR_RAX], -1000);
    rig_protected(cpu);
    cpu->cpl = 3;
    call_by_instruction(r, 70, 0, 0, 0);
    ck_assert_int_eq((int32_t)cpu->gpr[GPR_RAX], -1);
    cpu->cpl = 0;
    call_by_instruction(r, 70, 0, 0, 0);
    ck_assert_uint_eq(vmi_result(r), 1000000000 * NS_PER_SEC + r->clock.ns);
    ck_assert_int_eq(call(r, VMI_VMCALL_NUMBER, 0x1000, 1, 0, 0), -1000);  /* a modern guest's */
    cpu->gpr[GPR_RSP] = 0x9000;
    rig_store(r, 0x9010, 8, 2000000);                      /* above three words and the return address */
    call_by_instruction(r, 68, 0x100, (uint32_t)(begin * 2), 0);
    fake_clock_go(&r->clock, begin + NS_PER_MS * 10 + 5000);
    ck_assert_uint_eq(r->irq0.rises, 11);
    call_by_instruction(r, 69, 0x100, 0, 0);
    ck_assert_uint_eq(vmi_result(r), 1);
    lock_take(&r->lock);
    device_reset(r->vmi);
    lock_release(&r->lock);
    ck_assert_uint_eq(rig_load(r, enter, 1), 0xeb);        /* it stays so */
    lock_take(&r->lock);
    cpu->pv.calls_by(cpu->pv.arg, PV_CALLS_INSIDE);
    lock_release(&r->lock);
    ck_assert_uint_eq(rig_load(r, enter, 2), 0xe4e6);
    rig_free(r);
}
END_TEST

/* 0: two CPUs; 1: one, the guest finds the ROM before the engine changes; 2: after. */
START_TEST(ends_of_interrupts_go_by_the_shared_page)
{
    const uint64_t page = VMI_ROM_BASE + VMI_ROM_LEN + VMI_SHARED_EOI;
    Rig *r = rig_new_of("max", _i == 0 ? 2 : 1);
    CpuState *cpu = r->cpus[0];
    Device *apic = r->lapic[0];

    rig_protected(cpu);
    if (_i == 1) {
        vmi_call(r, VMI_CALL_INIT, 0, 0, 0);
    }
    lock_take(&r->lock);
    cpu->pv.calls_by(cpu->pv.arg, PV_CALLS_BY_PORT);
    lock_release(&r->lock);
    if (_i != 1) {
        vmi_call(r, VMI_CALL_INIT, 0, 0, 0);
    }
    lock_take(&r->lock);
    lapic_mmio_write(apic, 0xf0, 4, 0x1ff);
    lapic_mmio_write(apic, 0x300, 4, 0x44061);             /* to itself */
    ck_assert_int_eq(lapic_ack(apic), 0x61);
    lock_release(&r->lock);
    ck_assert_uint_eq(rig_load(r, page, 4), _i != 0);
    rig_store(r, page, 4, 0);                              /* the ROM ends it */
    lock_take(&r->lock);
    lapic_mmio_write(apic, 0x300, 4, 0x44051);             /* a lower one: comes if that has ended */
    ck_assert_int_eq(lapic_ack(apic), _i != 0 ? 0x51 : -1);
    lock_release(&r->lock);
    ck_assert_uint_eq(cpu->stats[STAT_PV_EOIS], _i != 0);
    rig_free(r);
}
END_TEST

START_TEST(alarms_keep_their_phase)
{
    Rig *r = rig_new("max");
    uint64_t begin;

    rig_protected(r->cpus[0]);
    begin = r->clock.ns;
    r->cpus[0]->gpr[GPR_RSP] = 0x9000;
    rig_store(r, 0x9008, 8, 2000000);                      /* every millisecond */
    vmi_call(r, 68, 0x100, (uint32_t)(begin * 2), 0);
    fake_clock_go(&r->clock, begin + NS_PER_MS * 10 + 5000);
    ck_assert_uint_eq(r->irq0.rises, 11);
    r->clock.ns = begin + NS_PER_MS * 100 + 300000;        /* nobody ran the timers for long */
    timer_queue_run(&r->clock.timers);
    ck_assert_uint_eq(r->irq0.rises, 12);
    fake_clock_go(&r->clock, begin + NS_PER_MS * 101 - 1000);
    ck_assert_uint_eq(r->irq0.rises, 12);
    fake_clock_go(&r->clock, begin + NS_PER_MS * 101 + 1000);
    ck_assert_uint_eq(r->irq0.rises, 13);
    vmi_call(r, 69, 0x100, 0, 0);
    ck_assert_uint_eq(vmi_result(r), 1);
    vmi_call(r, 69, 0, 0, 0);
    ck_assert_uint_eq(vmi_result(r), 0);
    fake_clock_go(&r->clock, r->clock.ns + NS_PER_SEC);
    ck_assert_uint_eq(r->irq0.rises, 13);
    device_reset(r->vmi);
    rig_free(r);
}
END_TEST

START_TEST(the_port_is_the_kernels)
{
    Rig *r = rig_new("max");

    vmi_call(r, 36, 0, 0, 0);                              /* real mode */
    ck_assert_uint_eq(r->reboots, 0);
    rig_protected(r->cpus[0]);
    r->cpus[0]->cpl = 3;
    vmi_call(r, 36, 0, 0, 0);
    ck_assert_uint_eq(r->reboots, 0);
    r->cpus[0]->cpl = 0;
    vmi_call(r, 36, 0, 0, 0);
    vmi_call(r, 37, 0, 0, 0);
    ck_assert(r->reboots == 1 && r->shutdowns == 1);
    r->cpus[0]->gpr[GPR_RBX] = 36;                         /* no magic */
    port_write(r->ports, VMI_PORT, 1, 0);
    ck_assert_uint_eq(r->reboots, 1);
    rig_free(r);
}
END_TEST

START_TEST(the_counter_survives_tsc_writes)
{
    Rig *r = rig_new("max");
    unsigned at = (unsigned)(vmi_rom_read_counter - vmi_rom);

    rig_protected(r->cpus[0]);
    r->clock.ns = 1000000;
    ck_assert_uint_eq(rig_load(r, VMI_ROM_BASE + at, 2), 0x310f); /* rdtsc */
    cpu_msr_write(r->cpus[0], 0x10, 5);
    ck_assert_uint_eq(rig_load(r, VMI_ROM_BASE + at, 1), 0xeb);
    ck_assert_uint_eq(at + 2 + rig_load(r, VMI_ROM_BASE + at + 1, 1),
                      (unsigned)(vmi_rom_counter_call - vmi_rom));
    vmi_call(r, 67, 0, 0, 0);
    ck_assert_uint_eq(vmi_result(r), 2000000);
    vmi_call(r, 67, 2, 0, 0);
    ck_assert_uint_eq(vmi_result(r), 0);
    device_reset(r->vmi);
    ck_assert_uint_eq(rig_load(r, VMI_ROM_BASE + at, 2), 0x310f);
    rig_free(r);
}
END_TEST

/* -- The back door ------------------------------------------------------------------------------------ */

START_TEST(the_back_door_knows_its_magic)
{
    Rig *r = rig_new("max");
    CpuState *cpu = r->cpus[0];

    cpu->gpr[GPR_RAX] = 0x564d5868;
    cpu->gpr[GPR_RCX] = 45;
    ck_assert_uint_eq(port_read(r->ports, VMPORT_PORT, 4), 2000000000);
    ck_assert(cpu->gpr[GPR_RBX] == 0 && cpu->gpr[GPR_RCX] == CPU_CRYSTAL_HZ);
    cpu->gpr[GPR_RCX] = 20;
    ck_assert_uint_eq(port_read(r->ports, VMPORT_PORT, 4), RIG_RAM);
    cpu->gpr[GPR_RCX] = 23;
    r->clock.ns = 5 * NS_PER_SEC + 7000;
    ck_assert_uint_eq(port_read(r->ports, VMPORT_PORT, 4), 1000000005); /* the machine's own date */
    ck_assert_uint_eq(cpu->gpr[GPR_RBX], 7);
    cpu->gpr[GPR_RAX] = 1;
    ck_assert_uint_eq(port_read(r->ports, VMPORT_PORT, 4), UINT32_MAX);
    ck_assert_uint_eq(port_read(r->ports, VMPORT_PORT, 2), 0xffff);
    rig_free(r);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pv");
    TCase *t = tcase_create("pv");

    suite_add_tcase(s, t);
    tcase_add_test(t, the_clock_is_the_machines);
    tcase_add_test(t, tsc_writes_leave_the_time);
    tcase_add_test(t, jumps_of_the_tsc_leave_the_time);
    tcase_add_test(t, the_stable_bit_and_the_leaves_follow_the_model);
    tcase_add_test(t, reset_and_init_forget_everything);
    tcase_add_test(t, lost_time_is_stolen_and_sleep_is_not);
    tcase_add_test(t, an_interrupt_may_end_in_memory);
    tcase_add_test(t, nested_interrupts_are_not_offered);
    tcase_add_test(t, calls_need_their_feature_and_ring_0);
    tcase_add_test(t, the_rom_is_one);
    tcase_add_test(t, calls_come_by_an_instruction);
    tcase_add_loop_test(t, ends_of_interrupts_go_by_the_shared_page, 0, 3);
    tcase_add_test(t, alarms_keep_their_phase);
    tcase_add_test(t, the_port_is_the_kernels);
    tcase_add_test(t, the_counter_survives_tsc_writes);
    tcase_add_test(t, the_back_door_knows_its_magic);
    return s;
}
