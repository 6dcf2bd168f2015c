/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/fpu-error.h"

#include "softmmu/base/bits.h"

#include <glib.h>

typedef struct {
    Device dev;
    IrqLine irq;
    bool ferr;
} FpuError;

static uint64_t port_read(void *arg, uint64_t off, unsigned size)
{
    return 0xff;
}

static void port_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    irq_set(&((FpuError *)arg)->irq, 0);
}

void fpu_error_set(Device *d, bool level)
{
    FpuError *f = (FpuError *)d;

    if (level && !f->ferr) {
        irq_set(&f->irq, 1);
    }
    f->ferr = level;
}

static void reset(Device *d)
{
    FpuError *f = (FpuError *)d;

    f->ferr = false;
    irq_set(&f->irq, 0);
}

static void destroy(Device *d)
{
    g_free(d);
}

static const DeviceWindow windows[] = {
    {"fpu-error", WINDOW_PORT, 2, {port_read, port_write, 1}},
};

static const Field fpu_fields[] = {
    FIELD(FpuError, ferr),
};
static const FieldTable fpu_state = {.version = 1, FIELDS(fpu_fields)};

static const DeviceClass fpu_error_class = {
    .name = "fpu-error",
    .help = "x87 error latch (IRQ 13)",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .reset = reset,
    .destroy = destroy,
    .state = &fpu_state,
};

Device *fpu_error_new(const IrqLine *irq13)
{
    FpuError *f = g_new0(FpuError, 1);

    f->dev.cls = &fpu_error_class;
    f->irq = *irq13;
    reset(&f->dev);
    return &f->dev;
}
