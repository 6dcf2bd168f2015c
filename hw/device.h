/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the rest of the machine may know about a device.
 *
 * A device sees offsets inside its own windows, a Clock and Timers, IrqLines, guest memory by DMA
 * (hw/dma.h) and its back ends.  It never sees a CPU, an engine, or (unless PCI) its own address.
 * All functions are called with the machine lock held.
 *
 * A device is made by `xxx_new(...)`, which returns its Device (first member of its private
 * struct), connects to nothing by itself, and leaves it in reset state.  The machine maps its
 * windows (monitor/machine-*.c is the schematic) and owns it.
 */
#ifndef HW_DEVICE_H
#define HW_DEVICE_H

#include "softmmu/base/fields.h"
#include "softmmu/bus.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Device Device;

typedef enum { WINDOW_PORT, WINDOW_MMIO } WindowKind;

/* A register window; the BusOps functions get the Device as `arg`. */
typedef struct {
    const char *name;
    WindowKind kind;
    uint64_t len;
    BusOps ops;
} DeviceWindow;

typedef struct {
    const char *name;                   /* as in -device and info qtree      */
    const char *help;                   /* one line                          */
    const DeviceWindow *windows;
    unsigned n_windows;
    /* Windows with registers whose read changes state (declared for the contract test): a
     * predicate, NULL when no read has side effects. */
    bool (*read_has_effect)(const Device *d, unsigned window, uint64_t off);
    void (*reset)(Device *d);           /* power-on values, idempotent, total */
    void (*destroy)(Device *d);

    /* What is saved of it; NULL: it cannot be saved, and keeps the machine from being.  Not what is wired, not what
     * follows from the rest, but levels of lines, which are told to nobody after loading. */
    const FieldTable *state;
    /* The whole machine has been loaded: go on with what waited.  May be NULL. */
    void (*moved)(Device *d);
} DeviceClass;

struct Device {
    const DeviceClass *cls;
    char *id;                           /* -device id=, or NULL; owned       */
};

static inline void device_reset(Device *d)
{
    if (d->cls->reset != NULL) {
        d->cls->reset(d);
    }
}

/* Destroy; NULL is fine. */
void device_free(Device *d);

#endif /* HW_DEVICE_H */
