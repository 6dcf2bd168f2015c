/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/hwaccel/kvm-bed.h"

#include "tests/suite.h"

enum { MUCH = 1 << 20 };

void bed_init_model(Bed *b, GuestMode mode, const char *model)
{
    fake_kvm_init(&b->f);
    b->f.arg = b;
    guest_cpu_init_model(&b->g, mode, model);
    b->g.cpu->engine = &kvm_engine;
}

void bed_init(Bed *b, GuestMode mode)
{
    bed_init_model(b, mode, "max,kvm=off");
}

KvmCpu *bed_attach(Bed *b)
{
    GError *error = NULL;

    ck_assert_msg(kvm_attach(b->g.cpu, &b->f.ops, &error), "%s", error != NULL ? error->message : "");
    return b->g.cpu->engine_data;
}

void bed_clear(Bed *b)
{
    kvm_detach(b->g.cpu);
    b->g.cpu->engine = &interp_engine;
    ck_assert_uint_eq(b->f.n_open, 0);
    ck_assert_uint_eq(b->f.n_maps, 0);
    ck_assert_ptr_null(b->g.mem->vm);
    guest_cpu_clear(&b->g);
    fake_kvm_clear(&b->f);
}

CpuExit bed_run(Bed *b)
{
    return kvm_engine.run(b->g.cpu, MUCH);
}
/* -- Local APICs in the kernel --------------------------------------------------------------------------- */

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


void bed_add_board(Bed *b, const KvmConfig *config)
{
    Board *board = &b->board;

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
    b->home = (ApicHome){board, board_hold, board_take, board_bring, board_eoi, board_route,
                       (IrqChipSet)(IRQ_CHIP_PIC | IRQ_CHIP_IOAPIC | IRQ_CHIP_PIT), board_take_chips, board_bring_chips};
    b->g.cpu->bus.apic_home = &b->home;
    b->g.cpu->engine_config = config;
}

void bed_init_board(Bed *b, const KvmConfig *config)
{
    bed_init(b, GUEST_LONG64);
    bed_add_board(b, config);
}
