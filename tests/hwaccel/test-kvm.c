/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine on a KVM made of memory: every error path, the state's way there and back, exits, slots. */
#include "cpu-x86/debug.h"
#include "hwaccel/apic.h"
#include "hwaccel/engine.h"
#include "hwaccel/kvm-cpu.h"
#include "tests/hwaccel/fake-kvm.h"
#include "tests/hwaccel/random-state.h"
#include "tests/suite.h"

#include <errno.h>
#include <unistd.h>

enum { MUCH = 1 << 20 };

typedef struct {
    GuestCpu g;
    FakeKvm f;
} Bed;

static void bed_init_model(Bed *b, GuestMode mode, const char *model)
{
    fake_kvm_init(&b->f);
    b->f.arg = b;
    guest_cpu_init_model(&b->g, mode, model);
    b->g.cpu->engine = &kvm_engine;
}

static void bed_init(Bed *b, GuestMode mode)
{
    bed_init_model(b, mode, "max,kvm=off");
}

static KvmCpu *bed_attach(Bed *b)
{
    GError *error = NULL;

    ck_assert_msg(kvm_attach(b->g.cpu, &b->f.ops, &error), "%s", error != NULL ? error->message : "");
    return b->g.cpu->engine_data;
}

/* Detach; nothing may be left. */
static void bed_clear(Bed *b)
{
    kvm_detach(b->g.cpu);
    b->g.cpu->engine = &interp_engine;
    ck_assert_uint_eq(b->f.n_open, 0);
    ck_assert_uint_eq(b->f.n_maps, 0);
    ck_assert_ptr_null(b->g.mem->vm);
    guest_cpu_clear(&b->g);
    fake_kvm_clear(&b->f);
}

static CpuExit bed_run(Bed *b)
{
    return kvm_engine.run(b->g.cpu, MUCH);
}

/* -- Local APICs in the kernel --------------------------------------------------------------------------- */

typedef struct {
    ApicImage image;
    const ApicHolder *holder;
    unsigned takes, brings;
    uint8_t ended;
    IrqChips chips;
    const IrqChipHolder *chip_holder;
    unsigned chips_brought, chips_lost;
} Board;

static void board_hold(void *arg, const ApicHolder *h) { ((Board *)arg)->holder = h; }

static void board_take(void *arg, unsigned cpu, ApicImage *out)
{
    ((Board *)arg)->takes++;
    *out = ((Board *)arg)->image;
}

static void board_bring(void *arg, unsigned cpu, const ApicImage *in)
{
    ((Board *)arg)->brings++;
    ((Board *)arg)->image = *in;
}

static void board_eoi(void *arg, uint8_t vector) { ((Board *)arg)->ended = vector; }

static bool board_route(void *arg, unsigned pin, uint64_t *addr, uint32_t *data)
{
    *addr = 0xfee00000;
    *data = 0xc030 + pin;
    return pin < 3;
}

static void board_take_chips(void *arg, const IrqChipHolder *h, IrqChips *out)
{
    ((Board *)arg)->chip_holder = h;
    *out = ((Board *)arg)->chips;
}

static void board_bring_chips(void *arg, const IrqChips *in)
{
    Board *board = arg;

    board->chip_holder = NULL;
    board->chips_brought += in != NULL;
    board->chips_lost += in == NULL;
    board->chips = in != NULL ? *in : board->chips;
}

static const KvmConfig split = {.irqchip = KVM_IRQCHIP_SPLIT}, all_chips = {.irqchip = KVM_IRQCHIP_ON, .irqfd = true, .coalesced = true, .dirty_ring = 1024};

static void board_init(Board *board, ApicHome *home, Bed *b)
{
    *board = (Board){.image = {.base = 0xfee00900, .deadline = 77}};
    for (unsigned i = 0; i < APIC_IMAGE_LEN; i++) {
        board->image.page[i] = (uint8_t)(i * 7);
    }
    board->chips = (IrqChips){
        .pic = {{.lines = 0x12, .irr = 0x18, .imr = 0x40, .isr = 0x01, .elcr = 0x20, .elcr_mask = 0xf8, .top = 3,
                 .vector_base = 0x20, .step = 2, .want_icw4 = true, .read_isr = true, .special_nested = true},
                {.irr = 0x80, .elcr_mask = 0xde, .vector_base = 0x28, .poll = true, .special_mask = true, .auto_eoi = true,
                 .rotate_on_aeoi = true}},
        .ioapic = {.index = 0x1e, .id = 5, .lines = 0x000a10, .rte = {[4] = 0x31, [9] = 0x8041, [11] = 0x1a051}},
        .pit = {.speaker = true,
                .channel = {{.mode = 2, .access = 3, .programmed = true, .loaded = true, .gate = true, .count = 1000,
                             .elapsed = 5, .latched = 2, .latch = 0x1234},
                            {.count = 65536, .access = 3, .gate = true},
                            {.mode = 0, .access = 1, .programmed = true, .loaded = true, .count = 200, .elapsed = 50,
                             .latched = 1, .latch = 0x56, .status = 9, .status_latched = true}}},
    };
    *home = (ApicHome){board, board_hold, board_take, board_bring, board_eoi, board_route,
                       (IrqChipSet)(IRQ_CHIP_PIC | IRQ_CHIP_IOAPIC | IRQ_CHIP_PIT), board_take_chips, board_bring_chips};
    b->g.cpu->bus.apic_home = home;
    b->g.cpu->engine_config = &split;
}

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
    Board board;
    ApicHome home;
    KvmCpu *k;

    bed_init(&b, GUEST_LONG64);
    board_init(&board, &home, &b);
    b.f.guest = guest_with_apic;
    k = bed_attach(&b);
    ck_assert(b.f.split && k->vm->apics && b.g.cpu->halts_inside);
    kvm_engine.scatter(b.g.cpu);
    ck_assert_ptr_nonnull(board.holder);
    ck_assert_uint_eq(b.f.routes, 3);
    ck_assert_int_eq(memcmp(b.f.lapic.regs, board.image.page, sizeof b.f.lapic.regs), 0);
    ck_assert_uint_eq(b.f.sregs.apic_base, 0xfee00900);
    board.holder->message(board.holder->arg, 0xfee01000, 0x4041);
    ck_assert_uint_eq(b.f.msis, 1);
    ck_assert_uint_eq(b.f.last_msi.address_lo, 0xfee01000);
    ck_assert_uint_eq(b.f.last_msi.data, 0x4041);
    ck_assert_uint_eq(board.holder->reg(board.holder->arg, 0, 0x80), load_le(board.image.page + 0x80, 4));

    ck_assert_int_eq(bed_run(&b), CPU_EXIT_REQUEST);
    ck_assert_uint_eq(board.ended, 0x31);
    kvm_engine.sync(b.g.cpu);
    ck_assert_int_eq(b.g.cpu->activity, CPU_HALTED);
    kvm_engine.gather(b.g.cpu);
    ck_assert_ptr_null(board.holder);
    ck_assert_uint_eq(board.brings, 1);
    ck_assert_uint_eq(board.image.page[0x380], 99);
    ck_assert_uint_eq(board.image.base, 0xfee00900);
    ck_assert_uint_eq(board.image.deadline, 77);

    b.g.cpu->activity = CPU_WAIT_SIPI;     /* as after a reset */
    kvm_engine.scatter(b.g.cpu);
    ck_assert_uint_eq(b.f.mp_state.mp_state, KVM_MP_STATE_INIT_RECEIVED);
    bed_clear(&b);
    ck_assert_uint_eq(board.brings, 2);    /* taken away from it */
}
END_TEST

START_TEST(a_kvm_without_such_apics_leaves_them_to_the_machine)
{
    static const long needed[] = {KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_SIGNAL_MSI, KVM_CAP_IRQ_ROUTING, KVM_CAP_MP_STATE};
    g_autoptr(GString) said = g_string_new(NULL);
    Bed b;
    Board board;
    ApicHome home;

    bed_init(&b, GUEST_LONG64);
    board_init(&board, &home, &b);
    b.f.absent = needed[_i];
    bed_attach(&b);
    ck_assert(!b.f.split && !b.g.cpu->halts_inside);
    kvm_engine.scatter(b.g.cpu);
    ck_assert_uint_eq(board.takes, 0);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    kvm_engine.print_stats(b.g.cpu, said);
    ck_assert_msg(strstr(said->str, "local APICs: the machine's, since") != NULL, "%s", said->str);
    bed_clear(&b);
}
END_TEST

START_TEST(all_controllers_may_be_the_kernels)
{
    Bed b;
    Board board;
    ApicHome home;
    IrqChips before;
    KvmCpu *k;

    bed_init(&b, GUEST_LONG64);
    board_init(&board, &home, &b);
    b.g.cpu->engine_config = &all_chips;
    before = board.chips;
    k = bed_attach(&b);
    ck_assert(b.f.chips && b.f.pit_made && !b.f.split && k->vm->apics && b.g.cpu->halts_inside);
    kvm_engine.scatter(b.g.cpu);
    ck_assert_ptr_nonnull(board.holder);
    ck_assert_ptr_nonnull(board.chip_holder);
    ck_assert_uint_eq(b.f.routes, 15 + 23);
    ck_assert_uint_eq(b.f.lines, 0xa10);
    ck_assert(b.f.pic[0].last_irr == 0x12 && b.f.pic[0].irr == 0x18 && b.f.pic[0].init_state == 2 && b.f.pic[1].poll);
    ck_assert_uint_eq(b.f.ioapic.irr, 0xa00);      /* edges were sent */
    ck_assert_uint_eq(b.f.ioapic.redirtbl[11].bits, 0x1a051);
    ck_assert(b.f.pit.channels[0].count == 1000 && b.f.pit.channels[0].count_latched == 3);
    ck_assert_uint_eq(b.f.pit.channels[1].mode, 0xff);
    ck_assert_uint_eq(b.f.pit.channels[2].count, 150);
    ck_assert_uint_eq(b.f.pit.flags, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
    board.chip_holder->line(board.chip_holder->arg, 2, 1);
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
    ck_assert_ptr_null(board.chip_holder);
    ck_assert_uint_eq(board.chips_brought, 1);
    ck_assert((b.f.pit.flags & KVM_PIT_FLAGS_HPET_LEGACY) != 0);   /* it stands still */
    ck_assert(board.chips.pit.channel[0].unchanged && board.chips.pit.channel[1].unchanged);
    ck_assert(!board.chips.pit.channel[2].unchanged && board.chips.pit.channel[2].count == 99);
    ck_assert(board.chips.pit.channel[2].latched == 1 && board.chips.pit.channel[2].latch == 0x56);
    ck_assert(board.chips.pit.channel[0].latched == 2 && board.chips.pit.channel[0].latch == 0x1234);
    ck_assert(board.chips.pit.speaker && !board.chips.pit.silent);
    ck_assert_int_eq(memcmp(board.chips.pic, before.pic, sizeof before.pic), 0);
    ck_assert_int_eq(memcmp(board.chips.ioapic.rte, before.ioapic.rte, sizeof before.ioapic.rte), 0);
    ck_assert(board.chips.ioapic.index == 0x1e && board.chips.ioapic.id == 5);

    board.chips.ioapic.lines = 0x10;               /* what changes at rest is told later */
    kvm_engine.scatter(b.g.cpu);
    ck_assert_uint_eq(b.f.lines, 0x10);
    bed_clear(&b);
    ck_assert_uint_eq(board.chips_brought, 2);
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
    Board board;
    ApicHome home;
    FakePv pv = {.val = {[1] = 0x6001, [3] = 0x4001, [5] = 1}};

    bed_init_model(&b, GUEST_LONG64, "max");        /* with all that needs a hypercall */
    board_init(&board, &home, &b);
    b.g.cpu->engine_config = &all_chips;
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

/* Registers reached by interpreted instructions. */
START_TEST(controllers_in_the_kernel_can_be_looked_at_and_changed)
{
    Bed b;
    Board board;
    ApicHome home;
    IrqChips chips;
    const IrqChipHolder *h;

    bed_init(&b, GUEST_LONG64);
    board_init(&board, &home, &b);
    b.g.cpu->engine_config = &all_chips;
    bed_attach(&b);
    kvm_engine.scatter(b.g.cpu);
    h = board.chip_holder;
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
    Board board;
    ApicHome home;

    bed_init(&b, GUEST_LONG64);
    board_init(&board, &home, &b);
    b.g.cpu->engine_config = &all_chips;
    home.chips = _i == 2 ? 0 : home.chips;
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
    Board board;
    ApicHome home;

    bed_init(&b, GUEST_LONG64);
    board_init(&board, &home, &b);
    b.g.cpu->engine_config = &all_chips;
    bed_attach(&b);
    kvm_engine.scatter(b.g.cpu);
    for (unsigned i = 0; i < 3; i++) {
        board.holder->message(board.holder->arg, 0xfee01000, 0x4041);
        board.holder->message(board.holder->arg, 0xfee00000, 0x4042);
    }
    ck_assert_uint_eq(b.f.n_irqfds, 2);
    ck_assert_uint_eq(b.f.routes, 15 + 23 + 2);
    ck_assert_int_eq(read((int)b.f.irqfd[0].fd, &written, sizeof written), sizeof written);
    ck_assert_uint_eq(written, 3);
    board.holder->message(board.holder->arg, 0xfee00000, 0xc042);  /* by level: no edge of an eventfd */
    ck_assert_uint_eq(b.f.msis, 1);
    kvm_engine.print_stats(b.g.cpu, said);
    ck_assert_msg(strstr(said->str, "interrupt messages: 7, of these 6 by irqfds (2)") != NULL, "%s", said->str);
    for (unsigned i = 0; i < 100; i++) {            /* a guest that never sends the same twice */
        board.holder->message(board.holder->arg, 0xfee00000, 0x5000 + i);
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
    Board board;
    ApicHome home;

    bed_init(&b, GUEST_LONG64);
    board_init(&board, &home, &b);
    b.g.cpu->engine_config = &all_chips;
    b.f.absent = _i == 0 ? KVM_CAP_IRQFD : -1;
    bed_attach(&b);
    kvm_engine.scatter(b.g.cpu);
    b.f.fail_at = _i == 0 ? 0 : b.f.n_requests + (unsigned)_i;
    b.f.fail_with = -ENOSPC;
    for (unsigned i = 0; i < 3; i++) {
        board.holder->message(board.holder->arg, 0xfee01000, 0x4041);
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

/* -- Failures ----------------------------------------------------------------------------------------- */

/* One port access, then a halt. */
static int guest_of_two_exits(FakeKvm *f)
{
    if (f->entries == 1) {
        f->run->exit_reason = KVM_EXIT_IO;
        f->run->io.direction = KVM_EXIT_IO_IN;
        f->run->io.size = 1;
        f->run->io.port = 0x1234;
        f->run->io.count = 1;
        f->run->io.data_offset = 4096;
    } else {
        f->run->exit_reason = KVM_EXIT_HLT;
    }
    return 0;
}

static void ck_one_line(const char *text, unsigned n)
{
    ck_assert_msg(text != NULL && text[0] != '\0' && strchr(text, '\n') == NULL, "request %u: no clear line", n);
}

/* A life with the n-th request failing; false when there are fewer requests. */
static bool live_with_failure(unsigned n, int err, const KvmConfig *config)
{
    Bed b;
    Board board;
    ApicHome home;
    GError *error = NULL;
    bool failed;

    bed_init(&b, GUEST_LONG64);
    if (config != NULL) {
        board_init(&board, &home, &b);
        b.g.cpu->engine_config = config;
    }
    b.f.guest = guest_of_two_exits;
    b.f.fail_at = n;
    b.f.fail_with = err;
    b.g.irq = 0x30;
    cpu_request(b.g.cpu, CPU_REQ_INTR | CPU_REQ_NMI);
    b.g.cpu->rflags |= FLAG_IF;
    if (kvm_attach(b.g.cpu, &b.f.ops, &error)) {
        kvm_engine.scatter(b.g.cpu);
        CpuExit exit = bed_run(&b);
        if (exit == CPU_EXIT_FAILED) {
            ck_one_line(kvm_engine.why(b.g.cpu), n);
            ck_assert_ptr_nonnull(strstr(kvm_engine.why(b.g.cpu), kvm_request_name(b.f.failed)));
            ck_assert_int_eq(bed_run(&b), CPU_EXIT_FAILED); /* it stays lost */
        } else {
            ck_assert_int_eq(exit, CPU_EXIT_HALT);
        }
        kvm_engine.sync(b.g.cpu);
        kvm_engine.gather(b.g.cpu);
    } else {
        ck_one_line(error->message, n);
        g_error_free(error);
    }
    failed = b.f.failed != 0;
    bed_clear(&b);
    return failed;
}

START_TEST(each_request_may_fail)
{
    static const int errors[] = {-EIO, -ENOMEM, -EINVAL};
    unsigned n = 1;

    while (live_with_failure(n, errors[_i % 3], _i < 3 ? NULL : _i < 6 ? &split : &all_chips)) {
        n++;
    }
    ck_assert_uint_gt(n, 50);
}
END_TEST

START_TEST(opening_explains_what_to_do)
{
    static const struct {
        int err;
        const char *says;
    } rows[] = {{-ENOENT, "load the module"}, {-EACCES, "into the group"}, {-EPERM, "into the group"},
                {-ENODEV, "firmware"}, {-EMFILE, "/dev/kvm"}};
    FakeKvm f;
    GError *error = NULL;

    fake_kvm_init(&f);
    f.open_error = rows[_i].err;
    ck_assert_ptr_null(kvm_host_open(&f.ops, &error));
    ck_assert_msg(strstr(error->message, rows[_i].says) != NULL, "%s", error->message);
    g_error_free(error);
    fake_kvm_clear(&f);
}
END_TEST

START_TEST(an_old_kvm_is_refused_by_name)
{
    FakeKvm f;
    GError *error = NULL;

    fake_kvm_init(&f);
    f.absent = KVM_CAP_XSAVE;
    ck_assert_ptr_null(kvm_host_open(&f.ops, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "KVM_CAP_XSAVE"));
    g_error_free(error);
    ck_assert_uint_eq(f.n_open, 0);
    fake_kvm_clear(&f);
}
END_TEST

/* Extensions that a KVM may lack. */
START_TEST(it_lives_without_extensions)
{
    static const long optional[] = {KVM_CAP_READONLY_MEM, KVM_CAP_SET_TSS_ADDR, KVM_CAP_USER_NMI,
                                    KVM_CAP_X86_USER_SPACE_MSR, KVM_CAP_X86_MSR_FILTER, KVM_CAP_SREGS2,
                                    KVM_CAP_BINARY_STATS_FD, KVM_CAP_EXIT_ON_EMULATION_FAILURE, KVM_CAP_XSAVE2};
    Bed b;

    bed_init_model(&b, GUEST_LONG64, "qemu64,kvm=off,-x2apic,-tsc-deadline");
    b.f.absent = optional[_i];
    bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    kvm_engine.sync(b.g.cpu);
    bed_clear(&b);
}
END_TEST

START_TEST(a_model_that_does_not_fit_is_refused_by_feature)
{
    Bed b;
    GError *error = NULL;

    bed_init_model(&b, GUEST_LONG64, "max");
    ck_assert(!kvm_attach(b.g.cpu, &b.f.ops, &error));
    ck_assert_msg(strstr(error->message, "kvm-pv-ipi") != NULL, "%s", error->message);
    g_error_free(error);
    bed_clear(&b);
}
END_TEST

START_TEST(a_refused_msr_stays_ours)
{
    Bed b;
    KvmCpu *k;

    bed_init(&b, GUEST_LONG64);
    b.f.refused_msr = 0x1a0;
    b.g.cpu->msr_misc_enable = 0x1801;
    k = bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    kvm_engine.sync(b.g.cpu);
    ck_assert_uint_eq(b.g.cpu->msr_misc_enable, 0x1801);
    ck_assert_uint_eq(k->refused->len, 1);
    ck_assert_uint_eq(g_array_index(k->refused, uint32_t, 0), 0x1a0);
    bed_clear(&b);
}
END_TEST

START_TEST(the_trial_fails_cleanly)
{
    for (unsigned n = 1;; n++) {
        FakeKvm f;
        KvmHost *h;
        char *text;
        bool failed;

        fake_kvm_init(&f);
        h = kvm_host_open(&f.ops, NULL);
        ck_assert_ptr_nonnull(h);
        h->hardware = "SVM";
        f.fail_at = f.n_requests + n;
        f.fail_with = -EIO;
        text = kvm_host_drawback(h);
        ck_one_line(text, n); /* at the end: the fake guest stores nothing, so the result is wrong */
        failed = f.failed != 0;
        g_free(text);
        kvm_host_close(h);
        ck_assert_uint_eq(f.n_open, 0);
        ck_assert_uint_eq(f.n_maps, 0);
        fake_kvm_clear(&f);
        if (!failed) {
            ck_assert_uint_gt(n, 6);
            return;
        }
    }
}
END_TEST

/* -- There and back ------------------------------------------------------------------------------------- */

START_TEST(the_state_goes_there_and_comes_back)
{
    for (unsigned seed = 0; seed < 20; seed++) {
        Bed b;
        KvmCpu *k;
        CpuState *before = aligned_alloc(64, sizeof *before);
        g_autofree char *differs = NULL;

        bed_init(&b, (GuestMode)_i);
        random_state(&b.g, seed);
        k = bed_attach(&b);
        *before = *b.g.cpu;
        ck_assert(kvm_push(k));
        spoil_state(&b.g);
        b.g.cpu->tsc_offset = before->tsc_offset;   /* never read back: nobody else changes it */
        ck_assert(kvm_pull(k));
        differs = compare_states(before, b.g.cpu, k->xfeatures);
        ck_assert_str_eq(differs, "");
        ck_assert_int_eq(b.f.tsc_offset, before->tsc_offset);
        free(before);
        bed_clear(&b);
    }
}
END_TEST

START_TEST(a_comparison_sees_every_spoilt_field)
{
    Bed b;
    CpuState *before = aligned_alloc(64, sizeof *before);
    g_autofree char *differs = NULL;

    bed_init(&b, GUEST_LONG64);
    random_state(&b.g, 2);
    *before = *b.g.cpu;
    spoil_state(&b.g);
    differs = compare_states(before, b.g.cpu, cpu_model_xcr0(b.g.model));
    for (const char *const *name = (const char *const[]){"gpr[3]", "rip", "cr0", "cr3", "seg[3]", "seg[7]",
             "gdtr.base", "idtr.limit", "dr[2]", "msr_lstar", "zmm[4]", "st[5]", "shadow", NULL};
         *name != NULL; name++) {
        ck_assert_msg(strstr(differs, *name) != NULL, "%s is not in %s", *name, differs);
    }
    free(before);
    bed_clear(&b);
}
END_TEST

START_TEST(an_interrupt_half_delivered_is_delivered_at_the_pull)
{
    Bed b;
    KvmCpu *k;

    bed_init(&b, GUEST_LONG64);
    b.g.cpu->rip = GUEST_CODE;
    k = bed_attach(&b);
    ck_assert(kvm_push(k));
    if (_i == 0) {
        b.f.events.interrupt.injected = 1;
        b.f.events.interrupt.nr = 0x41;
    } else if (_i == 1) {
        b.f.events.exception.injected = 1;
        b.f.events.exception.nr = EXC_GP;
        b.f.events.exception.has_error_code = 1;
    } else {
        b.f.events.nmi.injected = 1;
    }
    ck_assert(kvm_pull(k));
    ck_assert_int_eq(guest_vector(&b.g), _i == 0 ? 0x41 : _i == 1 ? EXC_GP : EXC_NMI);
    ck_assert(b.g.cpu->nmi_masked == (_i == 2));
    bed_clear(&b);
}
END_TEST

/* -- Exits -------------------------------------------------------------------------------------------------- */

/* A device of four ports and a page that remembers. */
typedef struct {
    uint64_t last, off;
    unsigned size, writes, reads;
} Memo;

static uint64_t memo_read(void *arg, uint64_t off, unsigned size)
{
    Memo *m = arg;

    m->reads++;
    m->off = off;
    m->size = size;
    return UINT64_C(0x8877665544332211) + m->reads - 1;
}

static void memo_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Memo *m = arg;

    m->writes++;
    m->off = off;
    m->size = size;
    m->last = val;
}

static const BusOps memo_ops = {memo_read, memo_write, 8};
static const BusOps memo_port_ops = {memo_read, memo_write, 4};

static int string_output(FakeKvm *f)
{
    struct kvm_run *run = f->run;

    if (f->entries > 1) {
        run->exit_reason = KVM_EXIT_HLT;
        return 0;
    }
    run->exit_reason = KVM_EXIT_IO;
    run->io.direction = KVM_EXIT_IO_OUT;
    run->io.size = 2;
    run->io.port = 0x502;
    run->io.count = 3;
    run->io.data_offset = 4096;
    memcpy((uint8_t *)run + 4096, "\1\2\3\4\5\6", 6);
    return 0;
}

static int string_input(FakeKvm *f)
{
    string_output(f);
    f->run->io.direction = KVM_EXIT_IO_IN;
    return 0;
}

START_TEST(string_port_accesses_move_all_their_pieces)
{
    Bed b;
    Memo m = {0};

    bed_init(&b, GUEST_LONG64);
    lock_take(&b.g.lock);
    port_map(b.g.ports, 0x500, 4, &memo_port_ops, &m, "memo");
    lock_release(&b.g.lock);
    b.f.guest = _i == 0 ? string_output : string_input;
    bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    if (_i == 0) {
        ck_assert_uint_eq(m.writes, 3);
        ck_assert_uint_eq(m.last, 0x0605);
        ck_assert_uint_eq(m.size, 2);
    } else {
        ck_assert_uint_eq(m.reads, 3);
        ck_assert_int_eq(memcmp((uint8_t *)b.f.run + 4096, "\x11\x22\x12\x22\x13\x22", 6), 0);
    }
    bed_clear(&b);
}
END_TEST

static int device_memory(FakeKvm *f)
{
    struct kvm_run *run = f->run;

    run->exit_reason = f->entries > 2 ? KVM_EXIT_HLT : KVM_EXIT_MMIO;
    if (f->entries <= 2) {
        run->mmio.phys_addr = 0x10000008;
        run->mmio.len = f->entries == 1 ? 4 : 8;
        run->mmio.is_write = f->entries == 1;
        memcpy(run->mmio.data, "\x78\x56\x34\x12", 4);
    }
    return 0;
}

START_TEST(device_memory_is_reached)
{
    Bed b;
    Memo m = {0};
    PhysRegion *r;

    bed_init(&b, GUEST_LONG64);
    lock_take(&b.g.lock);
    r = phys_region_mmio(b.g.mem, 0x10000000, 0x1000, &memo_ops, &m, 1, "memo");
    lock_release(&b.g.lock);
    ck_assert_ptr_nonnull(r);
    b.f.guest = device_memory;
    bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(m.writes, 1);
    ck_assert_uint_eq(m.last, 0x12345678);
    ck_assert_uint_eq(m.reads, 1);
    ck_assert_uint_eq(m.off, 8);
    ck_assert_int_eq(memcmp(b.f.run->mmio.data, "\x11\x22\x33\x44\x55\x66\x77\x88", 8), 0);
    bed_clear(&b);
}
END_TEST

/* KVM cannot go on, in every way it says so; the interpreter can. */
static unsigned how_it_gives_up;

static int give_up_once(FakeKvm *f)
{
    static const unsigned reasons[] = {KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_FAIL_ENTRY, KVM_EXIT_UNKNOWN, 999};

    if (f->entries > 1) {
        f->run->exit_reason = KVM_EXIT_HLT;
        return 0;
    }
    f->run->exit_reason = reasons[how_it_gives_up % 4];
    return how_it_gives_up == 4 ? -EFAULT : 0;
}

START_TEST(the_interpreter_goes_on_where_kvm_gives_up)
{
    Bed b;

    bed_init(&b, GUEST_LONG64);
    guest_code(&b.g, (const uint8_t *)"\x48\xff\xc0\x90\x90", 5);  /* inc %rax; nop; nop */
    b.g.cpu->gpr[GPR_RAX] = 41;
    how_it_gives_up = (unsigned)_i;
    b.f.guest = give_up_once;
    bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(b.f.regs.rax, 42);           /* and KVM got it back */
    ck_assert_uint_eq(b.f.regs.rip, GUEST_CODE + 3);
    bed_clear(&b);
}
END_TEST

static int change_code_and_give_up(FakeKvm *f)
{
    Bed *b = f->arg;

    if (f->entries > 2) {
        f->run->exit_reason = KVM_EXIT_HLT;
        return 0;
    }
    /* A guest in KVM writes memory and nobody is told. */
    guest_ram(&b->g, GUEST_CODE)[2] = f->entries == 1 ? 0xc0 : 0xc8;   /* inc %rax, then dec %rax */
    f->regs.rip = GUEST_CODE;
    f->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    return 0;
}

START_TEST(what_the_guest_wrote_in_kvm_is_seen_by_the_interpreter)
{
    Bed b;

    bed_init(&b, GUEST_LONG64);
    guest_code(&b.g, (const uint8_t *)"\x48\xff\xc1\x90\x90", 5);
    b.f.guest = change_code_and_give_up;
    bed_attach(&b);
    b.g.cpu->gpr[GPR_RAX] = 41;
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(b.f.regs.rax, 41);           /* up and down again */
    bed_clear(&b);
}
END_TEST

static int triple_fault(FakeKvm *f)
{
    f->run->exit_reason = KVM_EXIT_SHUTDOWN;
    return 0;
}

START_TEST(a_triple_fault_is_a_shutdown)
{
    Bed b;

    bed_init(&b, GUEST_LONG64);
    b.f.guest = triple_fault;
    bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_SHUTDOWN);
    ck_assert_int_eq(b.g.cpu->activity, CPU_SHUTDOWN);
    bed_clear(&b);
}
END_TEST

/* MSRs: ours, one that nobody has, one that KVM refuses. */
static int access_msrs(FakeKvm *f)
{
    static const struct {
        unsigned reason, exit, msr;
        uint64_t data;
    } rows[] = {
        {KVM_MSR_EXIT_REASON_FILTER, KVM_EXIT_X86_WRMSR, 0x3b, 0x1000},
        {KVM_MSR_EXIT_REASON_UNKNOWN, KVM_EXIT_X86_RDMSR, 0x12345678, 0},
        {KVM_MSR_EXIT_REASON_INVAL, KVM_EXIT_X86_WRMSR, 0xc0000082, UINT64_C(1) << 62},
    };
    static const bool errors[] = {false, true, true};
    unsigned n = f->entries - 1;

    if (n > 0) {
        ck_assert_int_eq(f->run->msr.error != 0, errors[n - 1]);
    }
    if (n == G_N_ELEMENTS(rows)) {
        f->run->exit_reason = KVM_EXIT_HLT;
        return 0;
    }
    f->run->exit_reason = rows[n].exit;
    f->run->msr.reason = rows[n].reason;
    f->run->msr.index = rows[n].msr;
    f->run->msr.data = rows[n].data;
    return 0;
}

START_TEST(msrs_that_exit_are_ours_or_fault)
{
    Bed b;

    bed_init(&b, GUEST_LONG64);
    b.f.guest = access_msrs;
    bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(b.g.cpu->msr_tsc_adjust, 0x1000);
    ck_assert_int_eq(b.f.tsc_offset, b.g.cpu->tsc_offset);
    ck_assert_int_eq(b.g.cpu->tsc_offset, 0x1000);
    bed_clear(&b);
}
END_TEST

/* -- Interrupts, kicks ------------------------------------------------------------------------------------------- */

static int take_interrupt_late(FakeKvm *f)
{
    if (f->entries == 1) {
        ck_assert_uint_eq(f->interrupts, 0);       /* IF is clear */
        ck_assert(f->run->request_interrupt_window);
        f->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
        f->run->if_flag = f->run->ready_for_interrupt_injection = 1;
        return 0;
    }
    ck_assert_uint_eq(f->interrupts, 1);
    ck_assert_uint_eq(f->last_interrupt, 0x55);
    f->run->exit_reason = KVM_EXIT_HLT;
    return 0;
}

START_TEST(an_interrupt_waits_for_its_window)
{
    Bed b;

    bed_init(&b, GUEST_LONG64);
    b.f.guest = take_interrupt_late;
    b.g.irq = 0x55;
    cpu_request(b.g.cpu, CPU_REQ_INTR);
    bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(b.f.interrupts, 1);
    bed_clear(&b);
}
END_TEST

static int spin(FakeKvm *f)
{
    while (!__atomic_load_n(&f->run->immediate_exit, __ATOMIC_SEQ_CST)) {
        usleep(100);
    }
    f->run->exit_reason = KVM_EXIT_INTR;
    return -EINTR;
}

static void *kick_soon(void *arg)
{
    usleep(20000);
    cpu_request(arg, CPU_REQ_KICK);
    return NULL;
}

START_TEST(a_kick_brings_it_back)
{
    Bed b;
    pthread_t thread;

    bed_init(&b, GUEST_LONG64);
    b.f.guest = spin;
    bed_attach(&b);
    ck_assert_int_eq(pthread_create(&thread, NULL, kick_soon, b.g.cpu), 0);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_REQUEST);
    pthread_join(thread, NULL);
    bed_clear(&b);
}
END_TEST

/* -- A debugger ---------------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t lin[8];
    unsigned n;
} Points;

static Points points;

static bool is_point(void *arg, uint64_t rip)
{
    for (unsigned i = 0; i < points.n; i++) {
        if (points.lin[i] == rip) {
            return true;
        }
    }
    return false;
}

static unsigned list_points(void *arg, uint64_t *lin, unsigned max)
{
    memcpy(lin, points.lin, MIN(points.n, max) * sizeof *lin);
    return points.n;
}

static bool own_step;

static int stop_at_point(FakeKvm *f)
{
    if (f->entries > 1) {
        f->run->exit_reason = KVM_EXIT_HLT;
        return 0;
    }
    f->regs.rip = GUEST_CODE + 3;
    f->run->exit_reason = KVM_EXIT_DEBUG;
    f->run->debug.arch.exception = EXC_DB;
    f->run->debug.arch.dr6 = own_step ? DR6_BS : 1;
    return 0;
}

/* 0: at a point; 1: the guest's own single step; 2: more points than the processor has; 3: KVM refuses. */
START_TEST(a_debuggers_points_are_the_processors_where_they_fit)
{
    Bed b;
    KvmCpu *k;

    bed_init(&b, GUEST_LONG64);
    guest_code(&b.g, (const uint8_t *)"\x48\xff\xc0\x48\xff\xc0\xf4", 7);   /* inc %rax twice; hlt */
    k = bed_attach(&b);
    k->vm->host->points = POINTS_WORK;
    points = (Points){.lin = {GUEST_CODE + (_i == 1 ? 0x100 : 3), 0x1000, 0x2000, 0x3000, 0x4000},
                      .n = _i == 2 ? 5 : 2};
    b.g.cpu->breakpoint_at = is_point;
    b.g.cpu->breakpoints = list_points;
    b.g.cpu->breakpoint_epoch = 7;
    b.f.guest = stop_at_point;
    own_step = _i == 1;
    if (_i == 3) {
        b.f.fail_at = b.f.n_requests + 1;
        b.f.fail_with = -EINVAL;
    }
    ck_assert_int_eq(bed_run(&b), _i == 1 ? CPU_EXIT_HALT : CPU_EXIT_DEBUG);
    if (_i < 2) {
        ck_assert_uint_eq(b.f.guest_debug.arch.debugreg[0], points.lin[0]);
        ck_assert_uint_eq(b.f.guest_debug.arch.debugreg[1], 0x1000);
        ck_assert_uint_eq(b.f.guest_debug.arch.debugreg[7], 0x40a);
    } else {
        ck_assert_uint_eq(b.f.entries, 0);         /* interpreted */
        ck_assert_uint_eq(b.g.cpu->gpr[GPR_RAX], 1);
    }
    if (_i == 1) {
        ck_assert_uint_eq(b.f.regs.rip, GUEST_HANDLERS + EXC_DB * 16);
    } else {
        ck_assert_uint_eq(b.g.cpu->rip, GUEST_CODE + 3);
    }
    b.g.cpu->breakpoint_at = NULL;
    b.g.cpu->breakpoints = NULL;
    if (_i == 0) {
        ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
        ck_assert_uint_eq(b.f.guest_debug.control, 0);
    }
    bed_clear(&b);
}
END_TEST

START_TEST(points_that_do_not_work_are_interpreted)
{
    Bed b;
    KvmCpu *k;

    bed_init(&b, GUEST_LONG64);
    guest_code(&b.g, (const uint8_t *)"\x48\xff\xc0\x48\xff\xc0\xf4", 7);
    k = bed_attach(&b);
    k->vm->host->hardware = "SVM";                 /* whose trial runs to its end */
    points = (Points){.lin = {GUEST_CODE + 3}, .n = 1};
    b.g.cpu->breakpoint_at = is_point;
    b.g.cpu->breakpoints = list_points;
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_DEBUG);
    ck_assert_uint_eq(b.g.cpu->gpr[GPR_RAX], 1);
    ck_assert_int_eq(k->vm->host->points, POINTS_FAIL);
    b.g.cpu->breakpoint_at = NULL;
    b.g.cpu->breakpoints = NULL;
    bed_clear(&b);
}
END_TEST

/* -- Slots -------------------------------------------------------------------------------------------------------- */

/* The slot that shows `gpa`; NULL: none. */
static const struct kvm_userspace_memory_region *slot_at(const FakeKvm *f, uint64_t gpa)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(f->slot); i++) {
        const struct kvm_userspace_memory_region *s = &f->slot[i];
        if (gpa >= s->guest_phys_addr && gpa < s->guest_phys_addr + s->memory_size) {
            return s;
        }
    }
    return NULL;
}

static uint64_t shown_at(const FakeKvm *f, uint64_t gpa)
{
    const struct kvm_userspace_memory_region *s = slot_at(f, gpa);

    return s != NULL ? s->userspace_addr + (gpa - s->guest_phys_addr) : 0;
}

START_TEST(slots_follow_the_map)
{
    Bed b;
    Memo m = {0};
    PhysMem *mem;
    uint64_t base;
    PhysRegion *window;

    bed_init(&b, GUEST_LONG64);
    mem = b.g.mem;
    base = (uintptr_t)mem->base;
    bed_attach(&b);
    ck_assert_uint_eq(shown_at(&b.f, 0x123456), base + 0x123456);
    ck_assert_uint_eq(shown_at(&b.f, GUEST_RAM_SIZE), 0);
    lock_take(&b.g.lock);
    window = phys_region_mmio(mem, 0xa0000, 0x20000, &memo_ops, &m, 1, "memo");
    ck_assert_uint_eq(shown_at(&b.f, 0xa0000), 0);
    ck_assert_uint_eq(shown_at(&b.f, 0x9ffff), base + 0x9ffff);
    ck_assert_uint_eq(shown_at(&b.f, 0xc0000), base + 0xc0000);
    phys_region_enable(mem, window, false);
    ck_assert_uint_eq(shown_at(&b.f, 0xa0000), base + 0xa0000);
    phys_region_rom(mem, 0xf0000, 0x10000, 0xf0000, 1, NULL, NULL, "rom");
    ck_assert_uint_eq(slot_at(&b.f, 0xf8000)->flags, KVM_MEM_READONLY);
    ck_assert_uint_eq(slot_at(&b.f, 0x100000)->flags, 0);
    phys_mem_set_a20(mem, false);
    ck_assert_uint_eq(shown_at(&b.f, 0x123456), base + 0x23456);
    ck_assert_uint_eq(shown_at(&b.f, 0x223456), base + 0x223456);
    ck_assert_uint_eq(shown_at(&b.f, 0x323456), base + 0x223456);
    phys_mem_set_a20(mem, true);
    ck_assert_uint_eq(shown_at(&b.f, 0x123456), base + 0x123456);
    lock_release(&b.g.lock);
    bed_clear(&b);
}
END_TEST

START_TEST(a_map_that_cannot_be_followed_stops_the_cpu)
{
    Bed b;
    Memo m = {0};

    bed_init(&b, GUEST_LONG64);
    bed_attach(&b);
    b.f.fail_at = b.f.n_requests + 1;
    b.f.fail_with = -ENOMEM;
    lock_take(&b.g.lock);
    phys_region_mmio(b.g.mem, 0xa0000, 0x20000, &memo_ops, &m, 1, "memo");
    lock_release(&b.g.lock);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_FAILED);
    ck_assert_ptr_nonnull(strstr(kvm_engine.why(b.g.cpu), "map guest memory"));
    bed_clear(&b);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("kvm");
    TCase *c = tcase_create("kvm");

    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, each_request_may_fail, 0, 9);
    tcase_add_test(c, doorbells_ring_without_an_exit);
    tcase_add_loop_test(c, where_there_are_no_doorbells_writes_exit, 0, 2);
    tcase_add_test(c, the_local_apics_may_be_the_kernels);
    tcase_add_loop_test(c, a_kvm_without_such_apics_leaves_them_to_the_machine, 0, 4);
    tcase_add_test(c, all_controllers_may_be_the_kernels);
    tcase_add_test(c, paravirtual_msrs_go_with_the_local_apics);
    tcase_add_test(c, controllers_in_the_kernel_can_be_looked_at_and_changed);
    tcase_add_loop_test(c, a_kvm_without_controllers_leaves_them_to_the_machine, 0, 3);
    tcase_add_test(c, messages_go_by_irqfds);
    tcase_add_loop_test(c, where_there_are_no_irqfds_messages_go_the_other_way, 0, 3);
    tcase_add_test(c, writes_may_wait_for_the_next_exit);
    tcase_add_loop_test(c, where_writes_cannot_wait_they_exit, 0, 4);
    tcase_add_test(c, written_pages_come_by_rings);
    tcase_add_loop_test(c, where_there_are_no_rings_bitmaps_serve, 0, 3);
    tcase_add_loop_test(c, opening_explains_what_to_do, 0, 5);
    tcase_add_test(c, an_old_kvm_is_refused_by_name);
    tcase_add_loop_test(c, it_lives_without_extensions, 0, 9);
    tcase_add_test(c, a_model_that_does_not_fit_is_refused_by_feature);
    tcase_add_test(c, a_refused_msr_stays_ours);
    tcase_add_test(c, the_trial_fails_cleanly);
    tcase_add_loop_test(c, the_state_goes_there_and_comes_back, GUEST_REAL16, GUEST_LONG64 + 1);
    tcase_add_test(c, a_comparison_sees_every_spoilt_field);
    tcase_add_loop_test(c, an_interrupt_half_delivered_is_delivered_at_the_pull, 0, 3);
    tcase_add_loop_test(c, string_port_accesses_move_all_their_pieces, 0, 2);
    tcase_add_test(c, device_memory_is_reached);
    tcase_add_loop_test(c, the_interpreter_goes_on_where_kvm_gives_up, 0, 5);
    tcase_add_test(c, what_the_guest_wrote_in_kvm_is_seen_by_the_interpreter);
    tcase_add_test(c, a_triple_fault_is_a_shutdown);
    tcase_add_test(c, msrs_that_exit_are_ours_or_fault);
    tcase_add_test(c, an_interrupt_waits_for_its_window);
    tcase_add_test(c, a_kick_brings_it_back);
    tcase_add_loop_test(c, a_debuggers_points_are_the_processors_where_they_fit, 0, 4);
    tcase_add_test(c, points_that_do_not_work_are_interpreted);
    tcase_add_test(c, slots_follow_the_map);
    tcase_add_test(c, a_map_that_cannot_be_followed_stops_the_cpu);
    suite_add_tcase(s, c);
    return s;
}
