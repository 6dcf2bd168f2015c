/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/pc-testdev.h"

#include "softmmu/base/bits.h"

#include <glib.h>
#include <string.h>

enum { MEMORY_LEN = 64 << 10 };

typedef struct {
    Device dev;
    IrqLine irq[TESTDEV_LINES];
    uint8_t data[4];
    uint8_t memory[MEMORY_LEN];
} PcTestdev;

static uint64_t data_read(void *arg, uint64_t off, unsigned size)
{
    return load_le(((const PcTestdev *)arg)->data + off, size);
}

static void data_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    store_le(((PcTestdev *)arg)->data + off, size, val);
}

static uint64_t nothing_read(void *arg, uint64_t off, unsigned size)
{
    return 0;
}

static void nothing_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
}

static void irq_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    irq_set(&((PcTestdev *)arg)->irq[off], val != 0);
}

static uint64_t memory_read(void *arg, uint64_t off, unsigned size)
{
    return load_le(((const PcTestdev *)arg)->memory + off, size);
}

static void memory_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    store_le(((PcTestdev *)arg)->memory + off, size, val);
}

static void reset(Device *d)
{
    PcTestdev *t = (PcTestdev *)d;

    memset(t->data, 0, sizeof t->data);
    memset(t->memory, 0, sizeof t->memory);
    for (unsigned i = 0; i < TESTDEV_LINES; i++) {
        irq_set(&t->irq[i], 0);
    }
}

static void destroy(Device *d)
{
    g_free(d);
}

static const DeviceWindow windows[] = {
    [TESTDEV_WINDOW_DATA] = {"testdev-data", WINDOW_PORT, 4, {data_read, data_write, 4}},
    [TESTDEV_WINDOW_FLUSH] = {"testdev-flush", WINDOW_PORT, 4, {nothing_read, nothing_write, 4}},
    [TESTDEV_WINDOW_BYTES] = {"testdev-bytes", WINDOW_PORT, 4, {data_read, data_write, 1}},
    [TESTDEV_WINDOW_IRQS] = {"testdev-irqs", WINDOW_PORT, TESTDEV_LINES, {nothing_read, irq_write, 1}},
    [TESTDEV_WINDOW_MEMORY] = {"testdev-memory", WINDOW_MMIO, MEMORY_LEN, {memory_read, memory_write, 8}},
};
static const Field testdev_fields[] = {
    FIELD(PcTestdev, data), FIELD(PcTestdev, memory),
};
static const FieldTable testdev_state = {.version = 1, FIELDS(testdev_fields)};

static const DeviceClass testdev_class = {
    .name = "pc-testdev", .help = "what tests of CPUs expect of a machine",
    .windows = windows, .n_windows = ARRAY_LEN(windows), .reset = reset, .destroy = destroy,
    .state = &testdev_state,
};

Device *pc_testdev_new(const IrqLine irq[TESTDEV_LINES])
{
    PcTestdev *t = g_new0(PcTestdev, 1);

    t->dev.cls = &testdev_class;
    memcpy(t->irq, irq, sizeof t->irq);
    return &t->dev;
}
