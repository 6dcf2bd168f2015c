/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/dma8237.h"

#include "hw/dma.h"
#include "softmmu/base/log.h"

#include <glib.h>
#include <string.h>

typedef struct {
    uint16_t base_addr, base_count, addr, count;
    uint8_t page, mode;
    bool masked;
} DmaChannel;

typedef struct {
    DmaChannel ch[4];
    uint8_t command, status;
    bool high_byte;                  /* the flip-flop of 16-bit registers */
} DmaController;

typedef struct {
    Device dev;

    PhysMem *mem;

    DmaController ctl[2];
    uint8_t spare_pages[16];         /* page registers of no channel: scratch bytes */
} Dma8237;

enum { MODE_TYPE = 0x0c, MODE_TO_MEMORY = 0x04, MODE_FROM_MEMORY = 0x08, MODE_AUTO = 0x10,
       MODE_DOWN = 0x20 };
enum { COMMAND_DISABLE = 0x04 };

/* -- Controllers ------------------------------------------------------------------------------------- */

static void set_byte(DmaController *c, uint16_t *reg, uint8_t val)
{
    *reg = c->high_byte ? (uint16_t)((*reg & 0x00ff) | val << 8) : (uint16_t)((*reg & 0xff00) | val);
}

static void master_clear(DmaController *c)
{
    c->command = c->status = 0;
    c->high_byte = false;
    for (unsigned i = 0; i < 4; i++) {
        c->ch[i].masked = true;
    }
}

static void set_masks(DmaController *c, uint8_t bits)
{
    for (unsigned i = 0; i < 4; i++) {
        c->ch[i].masked = (bits >> i & 1) != 0;
    }
}

static uint8_t controller_read(DmaController *c, unsigned reg)
{
    uint8_t val = 0;

    if (reg < 8) {
        const DmaChannel *ch = &c->ch[reg >> 1];
        uint16_t v = (reg & 1) != 0 ? ch->count : ch->addr;
        val = (uint8_t)(c->high_byte ? v >> 8 : v);
        c->high_byte = !c->high_byte;
    } else if (reg == 8) {
        val = c->status;
        c->status &= 0xf0;
    } else if (reg == 15) {
        for (unsigned i = 0; i < 4; i++) {
            val |= (uint8_t)(c->ch[i].masked << i);
        }
    }
    return val;
}

static void controller_write(DmaController *c, unsigned reg, uint8_t val)
{
    DmaChannel *ch = &c->ch[reg < 8 ? reg >> 1 : val & 3];

    switch (reg) {
    case 0: case 2: case 4: case 6:
        set_byte(c, &ch->base_addr, val);
        set_byte(c, &ch->addr, val);
        c->high_byte = !c->high_byte;
        break;
    case 1: case 3: case 5: case 7:
        set_byte(c, &ch->base_count, val);
        set_byte(c, &ch->count, val);
        c->high_byte = !c->high_byte;
        break;
    case 8: c->command = val; break;
    case 9: log_unimp("dma8237: software request 0x%02x\n", val); break;
    case 10: ch->masked = (val & 4) != 0; break;
    case 11: ch->mode = val & 0xfc; break;
    case 12: c->high_byte = false; break;
    case 13: master_clear(c); break;
    case 14: set_masks(c, 0); break;
    default: set_masks(c, val); break;
    }
}

static uint64_t low_read(void *arg, uint64_t off, unsigned size)
{
    return controller_read(&((Dma8237 *)arg)->ctl[0], (unsigned)off);
}

static void low_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    controller_write(&((Dma8237 *)arg)->ctl[0], (unsigned)off, (uint8_t)val);
}

static uint64_t high_read(void *arg, uint64_t off, unsigned size)
{
    return (off & 1) != 0 ? 0xff
                          : controller_read(&((Dma8237 *)arg)->ctl[1], (unsigned)off >> 1);
}

static void high_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    if ((off & 1) == 0) {
        controller_write(&((Dma8237 *)arg)->ctl[1], (unsigned)off >> 1, (uint8_t)val);
    }
}

/* -- Page registers ---------------------------------------------------------------------------------- */

/* The channel of port 0x80 + n, or -1. */
static const int8_t page_channel[16] = {-1, 2, 3, 1, -1, -1, -1, 0, -1, 6, 7, 5, -1, -1, -1, -1};

static uint8_t *page_of(Dma8237 *d, unsigned n)
{
    int ch = page_channel[n];

    return ch >= 0 ? &d->ctl[ch >> 2].ch[ch & 3].page : &d->spare_pages[n];
}

static uint64_t page_read(void *arg, uint64_t off, unsigned size)
{
    return *page_of(arg, (unsigned)off + 1);
}

static void page_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    *page_of(arg, (unsigned)off + 1) = (uint8_t)val;
}

/* -- Transfers --------------------------------------------------------------------------------------- */

/* One unit (byte or word) at the channel's address. */
static void move_unit(Dma8237 *d, const DmaChannel *ch, bool wide, uint8_t *p, bool to_memory)
{
    uint64_t at = wide ? (uint64_t)(ch->page & 0xfe) << 16 | (uint64_t)ch->addr << 1
                       : (uint64_t)ch->page << 16 | ch->addr;

    if ((ch->mode & MODE_TYPE) == 0) { /* verify: counts, moves nothing */
        return;
    }
    if (to_memory) {
        dma_write(d->mem, at, p, wide ? 2 : 1);
    } else {
        dma_read(d->mem, at, p, wide ? 2 : 1);
    }
}

/* Count one unit; true at terminal count. */
static bool count_unit(DmaController *c, unsigned i)
{
    DmaChannel *ch = &c->ch[i];

    ch->addr = (uint16_t)(ch->addr + ((ch->mode & MODE_DOWN) != 0 ? -1 : 1));
    if (ch->count-- != 0) {
        return false;
    }
    c->status |= (uint8_t)(1u << i);
    if ((ch->mode & MODE_AUTO) != 0) {
        ch->addr = ch->base_addr;
        ch->count = ch->base_count;
    } else {
        ch->masked = true;
    }
    return true;
}

unsigned dma8237_copy(Device *dev, unsigned channel, void *buf, unsigned len, bool to_memory,
                      bool *tc)
{
    Dma8237 *d = (Dma8237 *)dev;
    DmaController *c = &d->ctl[channel >> 2];
    DmaChannel *ch = &c->ch[channel & 3];
    bool wide = channel >= 4;
    unsigned unit = wide ? 2 : 1, done = 0, type = ch->mode & MODE_TYPE;

    g_assert(channel < 8 && channel != 4);
    *tc = false;
    if (ch->masked || (c->command & COMMAND_DISABLE) != 0 || type == MODE_TYPE ||
        (type != 0 && type != (to_memory ? MODE_TO_MEMORY : MODE_FROM_MEMORY))) {
        return 0;
    }
    while (done + unit <= len && !*tc) {
        move_unit(d, ch, wide, (uint8_t *)buf + done, to_memory);
        done += unit;
        *tc = count_unit(c, channel & 3);
    }
    return done;
}

/* -- Device ------------------------------------------------------------------------------------------ */

static bool read_has_effect(const Device *d, unsigned window, uint64_t off)
{
    unsigned reg = window == DMA8237_WINDOW_HIGH ? (unsigned)off >> 1 : (unsigned)off;

    (void)d;
    return window != DMA8237_WINDOW_PAGES && reg <= 8;
}

static void dma8237_reset(Device *dev)
{
    Dma8237 *d = (Dma8237 *)dev;

    memset(d->ctl, 0, sizeof d->ctl);
    memset(d->spare_pages, 0, sizeof d->spare_pages);
    master_clear(&d->ctl[0]);
    master_clear(&d->ctl[1]);
}

static void dma8237_destroy(Device *d)
{
    g_free(d);
}

static const DeviceWindow dma8237_windows[DMA8237_WINDOW_COUNT] = {
    [DMA8237_WINDOW_LOW] = {"dma1", WINDOW_PORT, 16, {low_read, low_write, 1}},
    [DMA8237_WINDOW_PAGES] = {"dma-page", WINDOW_PORT, 15, {page_read, page_write, 1}},
    [DMA8237_WINDOW_HIGH] = {"dma2", WINDOW_PORT, 32, {high_read, high_write, 1}},
};

static const Field channel_fields[] = {
    FIELD(DmaChannel, base_addr), FIELD(DmaChannel, base_count), FIELD(DmaChannel, addr), FIELD(DmaChannel, count),
    FIELD(DmaChannel, page), FIELD(DmaChannel, mode), FIELD(DmaChannel, masked),
};
static const FieldTable channel_state = {.version = 1, FIELDS(channel_fields)};

static const Field controller_fields[] = {
    FIELD_ARRAY(DmaController, ch, channel_state), FIELD(DmaController, command), FIELD(DmaController, status),
    FIELD(DmaController, high_byte),
};
static const FieldTable controller_state = {.version = 1, FIELDS(controller_fields)};

static const Field dma_fields[] = {
    FIELD_ARRAY(Dma8237, ctl, controller_state), FIELD(Dma8237, spare_pages),
};
static const FieldTable dma_state = {.version = 1, FIELDS(dma_fields)};

static const DeviceClass dma8237_class = {
    .name = "i8257",
    .help = "ISA DMA controllers",
    .windows = dma8237_windows,
    .n_windows = DMA8237_WINDOW_COUNT,
    .read_has_effect = read_has_effect,
    .reset = dma8237_reset,
    .destroy = dma8237_destroy,
    .state = &dma_state,
};

Device *dma8237_new(PhysMem *mem)
{
    Dma8237 *d = g_new0(Dma8237, 1);

    d->dev.cls = &dma8237_class;
    d->mem = mem;
    dma8237_reset(&d->dev);
    return &d->dev;
}
