/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine on a KVM made of memory: interrupt controllers, doorbells, writes that wait, written pages. */
#include "tests/hwaccel/kvm-bed.h"
#include "tests/suite.h"

#include <errno.h>
#include <unistd.h>

static const KvmConfig split = {.irqchip = KVM_IRQCHIP_SPLIT}, all_chips = {.irqchip = KVM_IRQCHIP_ON, .irqfd = true, .coalesced = true, .dirty_ring = 1024};

/* -- Local APICs in the kernel --------------------------------------------------------------------------- */

static int guest_with_apic(FakeKvm *f)
{
    if (f->entries == 1) {
        f->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
        f->run->eoi.vector = 0x31;
        f->lapic.regs[0x380] = 99;         /* it starts its timer, and halts */
        f->mp_state.mp_state = KVM_MP_STATE_HALTED;
        return 0;
    }
    cpu_request(((Bed *)f->arg)->g.cpu, CPU_REQ_STOP);
    f->run->exit_reason = KVM_EXIT_INTR;
    return -EINTR;
}

START_TEST(the_local_apics_may_be_the_kernels)
{
    Bed b;
    KvmCpu *k;

    bed_init_board(&b, &split);
    b.f.guest = guest_with_apic;
    k = bed_attach(&b);
    ck_assert(b.f.split && k->vm->apics && b.g.cpu->halts_inside);
    kvm_engine.scatter(b.g.cpu);
    ck_assert_ptr_nonnull(b.board.holder);
    ck_assert_uint_eq(b.f.routes, 3);
    ck_assert_int_eq(memcmp(b.f.lapic.regs, b.board.image.page, sizeof b.f.lapic.regs), 0);
    ck_assert_uint_eq(b.f.sregs.apic_base, 0xfee00900);
    b.board.holder->message(b.board.holder->arg, 0xfee01000, 0x4041);
    ck_assert_uint_eq(b.f.msis, 1);
    ck_assert_uint_eq(b.f.last_msi.address_lo, 0xfee01000);
    ck_assert_uint_eq(b.f.last_msi.data, 0x4041);
    ck_assert_uint_eq(b.board.holder->reg(b.board.holder->arg, 0, 0x80), load_le(b.board.image.page + 0x80, 4));

    ck_assert_int_eq(bed_run(&b), CPU_EXIT_REQUEST);
    ck_assert_uint_eq(b.board.ended, 0x31);
    kvm_engine.sync(b.g.cpu);
    ck_assert_int_eq(b.g.cpu->activity, CPU_HALTED);
    kvm_engine.gather(b.g.cpu);
    ck_assert_ptr_null(b.board.holder);
    ck_assert_uint_eq(b.board.brings, 1);
    ck_assert_uint_eq(b.board.image.page[0x380], 99);
    ck_assert_uint_eq(b.board.image.base, 0xfee00900);
    ck_assert_uint_eq(b.board.image.deadline, 77);

    b.g.cpu->activity = CPU_WAIT_SIPI;     /* as after a reset */
    kvm_engine.scatter(b.g.cpu);
    ck_assert_uint_eq(b.f.mp_state.mp_state, KVM_MP_STATE_INIT_RECEIVED);
    bed_clear(&b);
    ck_assert_uint_eq(b.board.brings, 2);    /* taken away from it */
}
END_TEST

/* By interpreted instructions, and by calls. */
START_TEST(registers_of_apics_in_the_kernel_can_be_written)
{
    const ApicHolder *h;
    Bed b;

    bed_init_board(&b, &split);
    memset(b.board.image.page + 0x100, 0, 0x180);
    b.board.image.page[0x100 + 0x31 / 32 * 16 + 0x31 / 8 % 4] = 1 << 0x31 % 8;
    b.board.image.page[0x100 + 0x52 / 32 * 16 + 0x52 / 8 % 4] = 1 << 0x52 % 8;
    b.board.image.page[0x180 + 0x52 / 32 * 16 + 0x52 / 8 % 4] = 1 << 0x52 % 8;
    bed_attach(&b);
    kvm_engine.scatter(b.g.cpu);
    h = b.board.holder;
    lock_take(&b.g.lock);
    ck_assert(h->set_reg(h->arg, 0, 0x80, 0x50) && h->reg(h->arg, 0, 0x80) == 0x50);
    ck_assert_uint_eq(((KvmCpu *)b.g.cpu->engine_data)->cr8, 5);
    ck_assert(h->set_reg(h->arg, 0, 0x320, 0x41) && h->reg(h->arg, 0, 0x320) == 0x41);
    ck_assert(h->set_reg(h->arg, 0, 0x380, 777) && h->reg(h->arg, 0, 0x390) == 777);
    ck_assert(h->set_reg(h->arg, 0, 0xb0, 0) && b.board.ended == 0x52);       /* by level */
    ck_assert_uint_eq(h->reg(h->arg, 0, 0x120), 0);
    b.board.ended = 0;
    ck_assert(h->set_reg(h->arg, 0, 0xb0, 0) && b.board.ended == 0);          /* by an edge */
    ck_assert_uint_eq(h->reg(h->arg, 0, 0x110), 0);
    ck_assert(h->set_reg(h->arg, 0, 0x310, 3 << 24) && h->set_reg(h->arg, 0, 0x300, 0x4861));
    ck_assert(b.f.last_msi.address_lo == 0xfee03004 && b.f.last_msi.data == 0x4061);
    ck_assert(h->set_reg(h->arg, 0, 0x300, 0x44062));                         /* to itself */
    ck_assert(b.f.last_msi.address_lo == 0xfee00000 && b.f.last_msi.data == 0x4062);
    ck_assert_uint_eq(b.f.msis, 2);
    ck_assert(h->set_reg(h->arg, 0, 0x300, 0xc4063));                         /* to the others: there are none */
    ck_assert_uint_eq(b.f.msis, 2);
    ck_assert(h->set_reg(h->arg, 0, 0x20, 7 << 24) && h->reg(h->arg, 0, 0x20) != 7 << 24);
    ck_assert(!h->set_reg(h->arg, 1, 0x80, 0) && !h->set_reg(h->arg, 0, 0x400, 0));
    lock_release(&b.g.lock);
    bed_clear(&b);
}
END_TEST

START_TEST(a_kvm_without_such_apics_leaves_them_to_the_machine)
{
    static const long needed[] = {KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_SIGNAL_MSI, KVM_CAP_IRQ_ROUTING, KVM_CAP_MP_STATE};
    g_autoptr(GString) said = g_string_new(NULL);
    Bed b;

    bed_init_board(&b, &split);
    b.f.absent = needed[_i];
    bed_attach(&b);
    ck_assert(!b.f.split && !b.g.cpu->halts_inside);
    kvm_engine.scatter(b.g.cpu);
    ck_assert_uint_eq(b.board.takes, 0);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    kvm_engine.print_stats(b.g.cpu, said);
    ck_assert_msg(strstr(said->str, "local APICs: the machine's, since") != NULL, "%s", said->str);
    bed_clear(&b);
}
END_TEST

START_TEST(all_controllers_may_be_the_kernels)
{
    Bed b;
    IrqChips before;
    KvmCpu *k;

    bed_init_board(&b, &all_chips);
    before = b.board.chips;
    k = bed_attach(&b);
    ck_assert(b.f.chips && b.f.pit_made && !b.f.split && k->vm->apics && b.g.cpu->halts_inside);
    kvm_engine.scatter(b.g.cpu);
    ck_assert_ptr_nonnull(b.board.holder);
    ck_assert_ptr_nonnull(b.board.chip_holder);
    ck_assert_uint_eq(b.f.routes, 15 + 23);
    ck_assert_uint_eq(b.f.lines, 0xa10);
    ck_assert(b.f.pic[0].last_irr == 0x12 && b.f.pic[0].irr == 0x18 && b.f.pic[0].init_state == 2 && b.f.pic[1].poll);
    ck_assert_uint_eq(b.f.ioapic.irr, 0xa00);      /* edges were sent */
    ck_assert_uint_eq(b.f.ioapic.redirtbl[11].bits, 0x1a051);
    ck_assert(b.f.pit.channels[0].count == 1000 && b.f.pit.channels[0].count_latched == 3);
    ck_assert_uint_eq(b.f.pit.channels[1].mode, 0xff);
    ck_assert_uint_eq(b.f.pit.channels[2].count, 150);
    ck_assert_uint_eq(b.f.pit.flags, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
    b.board.chip_holder->line(b.board.chip_holder->arg, 2, 1);
    ck_assert_uint_eq(b.f.lines, 0xa11);

    /* Nothing is injected from here, whatever is asked. */
    b.g.irq = 0x55;
    cpu_request(b.g.cpu, CPU_REQ_INTR);
    b.f.guest = guest_with_apic;
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_REQUEST);
    ck_assert_uint_eq(b.f.interrupts, 0);
    kvm_engine.sync(b.g.cpu);
    b.f.pit.channels[2].count = 99;
    kvm_engine.gather(b.g.cpu);
    ck_assert_ptr_null(b.board.chip_holder);
    ck_assert_uint_eq(b.board.chips_brought, 1);
    ck_assert((b.f.pit.flags & KVM_PIT_FLAGS_HPET_LEGACY) != 0);   /* it stands still */
    ck_assert(b.board.chips.pit.channel[0].unchanged && b.board.chips.pit.channel[1].unchanged);
    ck_assert(!b.board.chips.pit.channel[2].unchanged && b.board.chips.pit.channel[2].count == 99);
    ck_assert(b.board.chips.pit.channel[2].latched == 1 && b.board.chips.pit.channel[2].latch == 0x56);
    ck_assert(b.board.chips.pit.channel[0].latched == 2 && b.board.chips.pit.channel[0].latch == 0x1234);
    ck_assert(b.board.chips.pit.speaker && !b.board.chips.pit.silent);
    ck_assert_int_eq(memcmp(b.board.chips.pic, before.pic, sizeof before.pic), 0);
    ck_assert_int_eq(memcmp(b.board.chips.ioapic.rte, before.ioapic.rte, sizeof before.ioapic.rte), 0);
    ck_assert(b.board.chips.ioapic.index == 0x1e && b.board.chips.ioapic.id == 5);

    b.board.chips.ioapic.lines = 0x10;               /* what changes at rest is told later */
    kvm_engine.scatter(b.g.cpu);
    ck_assert_uint_eq(b.f.lines, 0x10);
    bed_clear(&b);
    ck_assert_uint_eq(b.board.chips_brought, 2);
}
END_TEST

/* -- Paravirtual MSRs that KVM serves with its local APICs -- */

typedef struct {
    uint64_t val[16];
    unsigned backs;
} FakePv;

static bool pv_read(void *arg, CpuState *cpu, uint32_t msr, uint64_t *val)
{
    *val = ((FakePv *)arg)->val[msr & 15];
    return true;
}

static void pv_back(void *arg, CpuState *cpu, uint32_t msr, uint64_t val)
{
    ((FakePv *)arg)->val[msr & 15] = val;
    ((FakePv *)arg)->backs++;
}

static uint64_t fake_msr(Bed *b, uint32_t msr)
{
    const uint64_t *v = g_hash_table_lookup(b->f.msrs, GUINT_TO_POINTER(msr));

    return v != NULL ? *v : 0;
}

static int guest_with_pv(FakeKvm *f)
{
    static uint64_t enabled = 0x5001;

    g_hash_table_insert(f->msrs, GUINT_TO_POINTER(0x4b564d04), g_memdup2(&enabled, 8));
    return guest_with_apic(f);
}

START_TEST(paravirtual_msrs_go_with_the_local_apics)
{
    Bed b;
    FakePv pv = {.val = {[1] = 0x6001, [3] = 0x4001, [5] = 1}};

    bed_init_model(&b, GUEST_LONG64, "max");        /* with all that needs a hypercall */
    bed_add_board(&b, &all_chips);
    b.g.cpu->pv = (CpuPv){.arg = &pv, .msr_read = pv_read, .msr_back = pv_back};
    b.f.guest = guest_with_pv;
    bed_attach(&b);
    ck_assert_uint_eq(b.f.pv_allowed, 0x38);
    b.g.cpu->unhalted = true;
    kvm_engine.scatter(b.g.cpu);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_REQUEST);
    ck_assert_uint_eq(fake_msr(&b, 0x4b564d03), 0x4001);
    ck_assert_uint_eq(fake_msr(&b, 0x4b564d05), 1);
    ck_assert_uint_eq(fake_msr(&b, 0x4b564d01), 0);  /* the clock stays ours */
    ck_assert_uint_eq(b.f.last_msi.data, 0x300);     /* what ends a halt */
    kvm_engine.sync(b.g.cpu);
    ck_assert_uint_eq(pv.backs, 3);
    ck_assert_uint_eq(pv.val[4], 0x5001);
    ck_assert(!b.g.cpu->unhalted);
    kvm_engine.gather(b.g.cpu);
    ck_assert(b.g.cpu->unhalted);
    b.g.cpu->pv = (CpuPv){0};
    bed_clear(&b);
}
END_TEST

/* What a model is not shown KVM does not serve: its MSRs exit, and its hypercalls are refused. */
START_TEST(paravirtual_msrs_that_are_not_shown_exit)
{
    static const struct {
        const char *model;
        uint16_t allowed;
    } rows[] = {{"max,-kvm-steal-time", 0x30}, {"max,-kvm-pv-eoi", 0x28}, {"max,-kvm-poll-control", 0x18}, {"max,kvm=off", 0}};
    FakePv pv = {.val = {[3] = 0x4001}};
    Bed b;

    bed_init_model(&b, GUEST_LONG64, rows[_i].model);
    bed_add_board(&b, &all_chips);
    b.g.cpu->pv = (CpuPv){.arg = &pv, .msr_read = pv_read, .msr_back = pv_back};
    b.f.guest = guest_with_pv;
    bed_attach(&b);
    ck_assert_uint_eq(b.f.pv_allowed, rows[_i].allowed);
    ck_assert(b.f.hides_pv);
    kvm_engine.scatter(b.g.cpu);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_REQUEST);
    ck_assert_uint_eq(fake_msr(&b, 0x4b564d03), (rows[_i].allowed & 8) != 0 ? 0x4001 : 0);
    kvm_engine.sync(b.g.cpu);
    ck_assert_uint_eq(pv.backs, (unsigned)__builtin_popcount(rows[_i].allowed));
    kvm_engine.gather(b.g.cpu);
    b.g.cpu->pv = (CpuPv){0};
    bed_clear(&b);
}
END_TEST

/* Registers reached by interpreted instructions. */
START_TEST(controllers_in_the_kernel_can_be_looked_at_and_changed)
{
    Bed b;
    IrqChips chips;
    const IrqChipHolder *h;

    bed_init_board(&b, &all_chips);
    bed_attach(&b);
    kvm_engine.scatter(b.g.cpu);
    h = b.board.chip_holder;
    h->fetch(h->arg, IRQ_CHIP_PIC, &chips);
    ck_assert_uint_eq(chips.pic[0].imr, 0x40);
    chips.pic[0].imr = 0x41;
    h->store(h->arg, IRQ_CHIP_PIC, &chips);
    ck_assert_uint_eq(b.f.pic[0].imr, 0x41);
    h->fetch(h->arg, IRQ_CHIP_IOAPIC, &chips);
    chips.ioapic.rte[4] |= 1 << 16;
    h->store(h->arg, IRQ_CHIP_IOAPIC, &chips);
    ck_assert_uint_eq(b.f.ioapic.redirtbl[4].bits, 0x10031);
    h->fetch(h->arg, IRQ_CHIP_PIT, &chips);
    chips.pit.channel[2] = (PitChannelImage){.mode = 0, .access = 3, .programmed = true, .loaded = true, .count = 7,
                                             .elapsed = 8};
    h->store(h->arg, IRQ_CHIP_PIT, &chips);
    ck_assert_uint_eq(b.f.pit.channels[2].mode, 8);    /* ended: KVM runs no timer, and reads as mode 0 */
    ck_assert_uint_eq(b.f.pit.channels[2].count, 1);
    bed_clear(&b);
}
END_TEST

/* 0: none at all; 1: no PIT; 2: the board has no PIC. */
START_TEST(a_kvm_without_controllers_leaves_them_to_the_machine)
{
    static const long absent[] = {KVM_CAP_IRQCHIP, KVM_CAP_PIT2, -1};
    static const char *const says[] = {"the machine's, since the host's KVM lacks", "PIC, I/O APIC: the kernel's",
                                       "since the machine lacks some"};
    g_autoptr(GString) said = g_string_new(NULL);
    Bed b;

    bed_init_board(&b, &all_chips);
    b.home.chips = _i == 2 ? 0 : b.home.chips;
    b.f.absent = absent[_i];
    bed_attach(&b);
    ck_assert(!b.f.pit_made && b.f.chips == (_i == 1) && b.f.split == (_i == 2));
    kvm_engine.scatter(b.g.cpu);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    kvm_engine.print_stats(b.g.cpu, said);
    ck_assert_msg(strstr(said->str, says[_i]) != NULL, "%s", said->str);
    bed_clear(&b);
}
END_TEST

/* -- Interrupt messages ------------------------------------------------------------------------------------ */

START_TEST(messages_go_by_irqfds)
{
    g_autoptr(GString) said = g_string_new(NULL);
    uint64_t written = 0;
    Bed b;

    bed_init_board(&b, &all_chips);
    bed_attach(&b);
    kvm_engine.scatter(b.g.cpu);
    for (unsigned i = 0; i < 3; i++) {
        b.board.holder->message(b.board.holder->arg, 0xfee01000, 0x4041);
        b.board.holder->message(b.board.holder->arg, 0xfee00000, 0x4042);
    }
    ck_assert_uint_eq(b.f.n_irqfds, 2);
    ck_assert_uint_eq(b.f.routes, 15 + 23 + 2);
    ck_assert_int_eq(read((int)b.f.irqfd[0].fd, &written, sizeof written), sizeof written);
    ck_assert_uint_eq(written, 3);
    b.board.holder->message(b.board.holder->arg, 0xfee00000, 0xc042);  /* by level: no edge of an eventfd */
    ck_assert_uint_eq(b.f.msis, 1);
    kvm_engine.print_stats(b.g.cpu, said);
    ck_assert_msg(strstr(said->str, "interrupt messages: 7, of these 6 by irqfds (2)") != NULL, "%s", said->str);
    for (unsigned i = 0; i < 100; i++) {            /* a guest that never sends the same twice */
        b.board.holder->message(b.board.holder->arg, 0xfee00000, 0x5000 + i);
    }
    ck_assert_uint_eq(b.f.n_irqfds, 64);
    ck_assert_uint_eq(b.f.msis, 1 + 100 - 62);
    kvm_engine.gather(b.g.cpu);
    ck_assert_uint_eq(b.f.n_irqfds, 0);
    bed_clear(&b);
}
END_TEST

/* 0: KVM has none; 1: it refuses a route; 2: it refuses the irqfd. */
START_TEST(where_there_are_no_irqfds_messages_go_the_other_way)
{
    g_autoptr(GString) said = g_string_new(NULL);
    Bed b;

    bed_init_board(&b, &all_chips);
    b.f.absent = _i == 0 ? KVM_CAP_IRQFD : -1;
    bed_attach(&b);
    kvm_engine.scatter(b.g.cpu);
    b.f.fail_at = _i == 0 ? 0 : b.f.n_requests + (unsigned)_i;
    b.f.fail_with = -ENOSPC;
    for (unsigned i = 0; i < 3; i++) {
        b.board.holder->message(b.board.holder->arg, 0xfee01000, 0x4041);
    }
    ck_assert_uint_eq(b.f.msis, 3);
    kvm_engine.print_stats(b.g.cpu, said);
    ck_assert_msg(strstr(said->str, _i == 0 ? "no more, since the host's KVM" : "no more, since No space") != NULL, "%s",
                  said->str);
    bed_clear(&b);
}
END_TEST

/* -- Doorbells --------------------------------------------------------------------------------------------- */

typedef struct {
    unsigned n;
    uint64_t off, val;
    unsigned size;
} Rung;

static void take_ring(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Rung *r = arg;

    *r = (Rung){r->n + 1, off, val, size};
}

static uint64_t nothing_to_read(void *arg, uint64_t off, unsigned size)
{
    return 0;
}

static const BusOps bell_ops = {nothing_to_read, take_ring, 4, .bells = {.off = 0x100, .step = 4, .count = 2}};
static const BusOps value_ops = {nothing_to_read, take_ring, 4, .bells = {.off = 0x50, .count = 2, .by_value = true}};

/* As the kernel does when the guest writes there. */
static void ring_bell(FakeKvm *f, uint64_t addr, uint64_t value)
{
    const uint64_t one = 1;

    for (unsigned i = 0; i < f->n_bells; i++) {
        const struct kvm_ioeventfd *e = &f->bell[i];
        if (e->addr == addr && ((e->flags & KVM_IOEVENTFD_FLAG_DATAMATCH) == 0 || e->datamatch == value)) {
            ck_assert_int_eq(write(e->fd, &one, sizeof one), sizeof one);
            return;
        }
    }
    ck_abort_msg("no bell at %#llx", (unsigned long long)addr);
}

static void dispatch(Bed *b, GMainContext *context)
{
    lock_take(&b->g.lock);
    while (g_main_context_iteration(context, FALSE)) {
    }
    lock_release(&b->g.lock);
}

START_TEST(doorbells_ring_without_an_exit)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    const KvmConfig config = {.ioeventfd = true, .context = context};
    Rung a = {0}, v = {0};
    PhysRegion *r;
    Bed b;

    bed_init(&b, GUEST_LONG64);
    lock_take(&b.g.lock);
    r = phys_region_mmio(b.g.mem, 0x10000000, 0x1000, &bell_ops, &a, 1, "a");
    phys_region_mmio(b.g.mem, 0x20000000, 0x1000, &value_ops, &v, 1, "v");
    lock_release(&b.g.lock);
    b.g.cpu->engine_config = &config;
    bed_attach(&b);
    ck_assert_uint_eq(b.f.n_bells, 4);
    kvm_engine.scatter(b.g.cpu);
    ring_bell(&b.f, 0x10000104, 7);
    dispatch(&b, context);
    ck_assert(a.n == 1 && a.off == 0x104);
    ring_bell(&b.f, 0x20000050, 1);
    ring_bell(&b.f, 0x20000050, 1);
    dispatch(&b, context);
    ck_assert(v.n == 1 && v.off == 0x50 && v.val == 1 && v.size == 4);

    lock_take(&b.g.lock);
    phys_region_move(b.g.mem, r, 0x11000000);       /* a BAR moves */
    lock_release(&b.g.lock);
    ck_assert_uint_eq(b.f.n_bells, 4);
    ring_bell(&b.f, 0x11000100, 0);
    dispatch(&b, context);
    ck_assert(a.n == 2 && a.off == 0x100);

    kvm_engine.gather(b.g.cpu);                     /* at rest */
    ring_bell(&b.f, 0x11000100, 0);
    dispatch(&b, context);
    ck_assert_uint_eq(a.n, 2);
    kvm_engine.scatter(b.g.cpu);
    dispatch(&b, context);
    ck_assert_uint_eq(a.n, 3);
    ring_bell(&b.f, 0x11000100, 0);                 /* not lost when the engine goes */
    lock_take(&b.g.lock);
    kvm_detach(b.g.cpu);
    lock_release(&b.g.lock);
    ck_assert_uint_eq(a.n, 4);
    ck_assert_uint_eq(b.f.n_bells, 0);
    bed_clear(&b);
}
END_TEST

/* 0: KVM has none; 1: it refuses the first. */
START_TEST(where_there_are_no_doorbells_writes_exit)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GString) said = g_string_new(NULL);
    const KvmConfig config = {.ioeventfd = true, .context = context};
    Rung a = {0};
    Bed b;

    bed_init(&b, GUEST_LONG64);
    lock_take(&b.g.lock);
    phys_region_mmio(b.g.mem, 0x10000000, 0x1000, &bell_ops, &a, 1, "a");
    lock_release(&b.g.lock);
    b.g.cpu->engine_config = &config;
    b.f.absent = _i == 0 ? KVM_CAP_IOEVENTFD_ANY_LENGTH : -1;
    b.f.n_bells = _i == 1 ? G_N_ELEMENTS(b.f.bell) - 1 : 0;
    bed_attach(&b);
    kvm_engine.print_stats(b.g.cpu, said);
    ck_assert_msg(strstr(said->str, _i == 0 ? "doorbells: 0, rung 0 times; not all: the host's KVM"
                                            : "doorbells: 1, rung 0 times; not all: No space") != NULL, "%s", said->str);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    b.f.n_bells -= _i == 1 ? G_N_ELEMENTS(b.f.bell) - 1 : 0;
    bed_clear(&b);
}
END_TEST

/* -- Writes that wait ---------------------------------------------------------------------------------------- */

enum { RING_ROOM = (4096 - 8) / sizeof(struct kvm_coalesced_mmio) };

/* As the kernel does when the guest writes there. */
static void write_later(FakeKvm *f, bool port, uint64_t addr, unsigned len, uint64_t val)
{
    struct kvm_coalesced_mmio_ring *r = (void *)((uint8_t *)f->run + 2 * 4096);
    struct kvm_coalesced_mmio *e = &r->coalesced_mmio[r->last];

    *e = (struct kvm_coalesced_mmio){.phys_addr = addr, .len = len, .pio = port};
    memcpy(e->data, &val, sizeof e->data);
    r->last = (r->last + 1) % RING_ROOM;
}

typedef struct {
    uint64_t off[400], val[400];
    unsigned n, reads, n_at_read;
} Order;

static void order_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Order *o = arg;

    ck_assert_uint_lt(o->n, 400);
    o->off[o->n] = off;
    o->val[o->n++] = val;
}

static uint64_t order_read(void *arg, uint64_t off, unsigned size)
{
    Order *o = arg;

    o->reads++;
    o->n_at_read = o->n;
    return 0;
}

static const BusOps lazy_ops = {order_read, order_write, 4, .lazy_writes = 0x800};
static const BusOps lazy_port_ops = {order_read, order_write, 1, .lazy_writes = 1};

static int lazy_guest(FakeKvm *f)
{
    if (f->entries > 2) {
        f->run->exit_reason = KVM_EXIT_HLT;
        return 0;
    }
    for (unsigned i = 0; i < 100; i++) {
        write_later(f, false, 0x10000000 + i * 4, 4, i);
    }
    write_later(f, true, 0x500, 1, 0x77);
    f->run->exit_reason = KVM_EXIT_MMIO;           /* a read of the same device */
    f->run->mmio.phys_addr = 0x10000900;
    f->run->mmio.len = 4;
    f->run->mmio.is_write = 0;
    return 0;
}

START_TEST(writes_may_wait_for_the_next_exit)
{
    const KvmConfig config = {.coalesced = true};
    g_autoptr(GString) said = g_string_new(NULL);
    Order o = {.n = 0}, p = {.n = 0};
    PhysRegion *r;
    Bed b;

    bed_init(&b, GUEST_LONG64);
    lock_take(&b.g.lock);
    r = phys_region_mmio(b.g.mem, 0x10000000, 0x1000, &lazy_ops, &o, 1, "o");
    port_map(b.g.ports, 0x500, 2, &lazy_port_ops, &p, "p");
    lock_release(&b.g.lock);
    b.g.cpu->engine_config = &config;
    b.f.guest = lazy_guest;
    bed_attach(&b);
    ck_assert_uint_eq(b.f.n_zones, 2);
    ck_assert(b.f.zone[0].pio == 1 && b.f.zone[0].addr == 0x500 && b.f.zone[0].size == 1);
    ck_assert(b.f.zone[1].pio == 0 && b.f.zone[1].addr == 0x10000000 && b.f.zone[1].size == 0x800);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(o.reads, 2);
    ck_assert_uint_eq(o.n_at_read, 200);           /* before the read */
    ck_assert(p.n == 2 && p.val[1] == 0x77);
    for (unsigned i = 0; i < 200; i++) {
        ck_assert(o.off[i] == i % 100 * 4 && o.val[i] == i % 100);
    }
    write_later(&b.f, false, 0x10000004, 4, 5);    /* somebody looks at the device */
    lock_take(&b.g.lock);
    phys_mem_collect_dirty(b.g.mem);
    ck_assert_uint_eq(o.n, 201);
    phys_region_move(b.g.mem, r, 0x11000000);
    lock_release(&b.g.lock);
    ck_assert(b.f.n_zones == 2 && b.f.zone[1].addr == 0x11000000);
    write_later(&b.f, false, 0x11000004, 4, 7);
    kvm_engine.gather(b.g.cpu);
    ck_assert_uint_eq(o.n, 202);
    kvm_engine.print_stats(b.g.cpu, said);
    ck_assert_msg(strstr(said->str, "waited for the next exit: 204, 2 windows") != NULL, "%s", said->str);
    write_later(&b.f, false, 0x11000004, 4, 8);
    kvm_detach(b.g.cpu);
    ck_assert_uint_eq(o.n, 203);
    bed_clear(&b);
}
END_TEST

/* 0: not wanted; 1: KVM keeps none; 2: none of ports; 3: no more zones. */
START_TEST(where_writes_cannot_wait_they_exit)
{
    const KvmConfig config = {.coalesced = _i != 0};
    static const unsigned zones[] = {0, 0, 1, 16};
    Order o = {.n = 0};
    Bed b;

    bed_init(&b, GUEST_LONG64);
    lock_take(&b.g.lock);
    phys_region_mmio(b.g.mem, 0x10000000, 0x1000, &lazy_ops, &o, 1, "o");
    port_map(b.g.ports, 0x500, 2, &lazy_port_ops, &o, "p");
    lock_release(&b.g.lock);
    b.g.cpu->engine_config = &config;
    b.f.absent = _i == 1 ? KVM_CAP_COALESCED_MMIO : _i == 2 ? KVM_CAP_COALESCED_PIO : -1;
    b.f.n_zones = _i == 3 ? 15 : 0;
    bed_attach(&b);
    ck_assert_uint_eq(b.f.n_zones, zones[_i]);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    bed_clear(&b);
}
END_TEST

/* -- Written pages ---------------------------------------------------------------------------------------------- */

static void page_written(FakeKvm *f, unsigned at, unsigned slot, uint64_t page)
{
    f->dirty[at % 1024].slot = slot;
    f->dirty[at % 1024].offset = page;
    __atomic_store_n(&f->dirty[at % 1024].flags, KVM_DIRTY_GFN_F_DIRTY, __ATOMIC_RELEASE);
}

static int fill_the_ring(FakeKvm *f)
{
    f->run->exit_reason = f->entries == 1 ? KVM_EXIT_DIRTY_RING_FULL : KVM_EXIT_HLT;
    for (unsigned i = 0; i < 1024 && f->entries == 1; i++) {
        page_written(f, i, 0, i % 8);
    }
    return 0;
}

static bool shown_dirty(Bed *b, uint64_t page)
{
    return phys_mem_test_clear_dirty(b->g.mem, page * 4096, PAGE_DIRTY_DISPLAY);
}

START_TEST(written_pages_come_by_rings)
{
    const KvmConfig config = {.dirty_ring = 1024};
    Bed b;

    bed_init(&b, GUEST_LONG64);
    for (unsigned i = 0; i < 16; i++) {
        page_flags_set(b.g.mem, i * 4096, PAGE_LOG_DISPLAY);
    }
    b.g.cpu->engine_config = &config;
    b.f.guest = fill_the_ring;
    bed_attach(&b);
    ck_assert_uint_eq(b.f.n_maps, 2);
    for (unsigned i = 0; i < 16; i++) {
        shown_dirty(&b, i);
    }
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);  /* full, and emptied */
    ck_assert_uint_eq(b.f.dirty_resets, 1);
    ck_assert(shown_dirty(&b, 7) && !shown_dirty(&b, 8));
    page_written(&b.f, 1024, 0, 9);                /* it goes round */
    page_written(&b.f, 1025, 0, UINT64_C(1) << 40);  /* nowhere */
    page_written(&b.f, 1026, 77, 12);
    lock_take(&b.g.lock);
    phys_mem_collect_dirty(b.g.mem);
    lock_release(&b.g.lock);
    ck_assert_uint_eq(b.f.dirty_resets, 2);
    ck_assert(shown_dirty(&b, 9) && !shown_dirty(&b, 12));
    ck_assert_uint_eq(b.f.dirty[0].flags, KVM_DIRTY_GFN_F_RESET);
    bed_clear(&b);
}
END_TEST

/* 0: KVM has none; 1: none so long; 2: it refuses. */
START_TEST(where_there_are_no_rings_bitmaps_serve)
{
    static const char *const says[] = {"bitmaps, since the host's KVM has no rings", "rings of 256 to 1024 entries",
                                       "bitmaps, since Invalid"};
    const KvmConfig config = {.dirty_ring = _i == 1 ? 2048 : 1024};
    g_autoptr(GString) said = g_string_new(NULL);
    Bed b;

    bed_init(&b, GUEST_LONG64);
    b.g.cpu->engine_config = &config;
    b.f.absent = _i == 0 ? KVM_CAP_DIRTY_LOG_RING : -1;
    b.f.no_dirty_ring = _i == 2;
    bed_attach(&b);
    ck_assert_uint_eq(b.f.n_maps, 1);
    kvm_engine.print_stats(b.g.cpu, said);
    ck_assert_msg(strstr(said->str, says[_i]) != NULL, "%s", said->str);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    bed_clear(&b);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("kvm-board");
    TCase *c = tcase_create("kvm-board");

    tcase_set_timeout(c, 120);
    tcase_add_test(c, the_local_apics_may_be_the_kernels);
    tcase_add_test(c, registers_of_apics_in_the_kernel_can_be_written);
    tcase_add_loop_test(c, a_kvm_without_such_apics_leaves_them_to_the_machine, 0, 4);
    tcase_add_test(c, all_controllers_may_be_the_kernels);
    tcase_add_test(c, paravirtual_msrs_go_with_the_local_apics);
    tcase_add_loop_test(c, paravirtual_msrs_that_are_not_shown_exit, 0, 4);
    tcase_add_test(c, controllers_in_the_kernel_can_be_looked_at_and_changed);
    tcase_add_loop_test(c, a_kvm_without_controllers_leaves_them_to_the_machine, 0, 3);
    tcase_add_test(c, messages_go_by_irqfds);
    tcase_add_loop_test(c, where_there_are_no_irqfds_messages_go_the_other_way, 0, 3);
    tcase_add_test(c, doorbells_ring_without_an_exit);
    tcase_add_loop_test(c, where_there_are_no_doorbells_writes_exit, 0, 2);
    tcase_add_test(c, writes_may_wait_for_the_next_exit);
    tcase_add_loop_test(c, where_writes_cannot_wait_they_exit, 0, 4);
    tcase_add_test(c, written_pages_come_by_rings);
    tcase_add_loop_test(c, where_there_are_no_rings_bitmaps_serve, 0, 3);
    suite_add_tcase(s, c);
    return s;
}
