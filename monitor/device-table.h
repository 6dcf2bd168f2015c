/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The devices that -device adds: a row each, with the function that makes and wires one. */
#ifndef MONITOR_DEVICE_TABLE_H
#define MONITOR_DEVICE_TABLE_H

#include "monitor/config.h"
#include "monitor/machine.h"

typedef struct {
    const char *name, *bus, *help;
    /* Take what it needs from `props` (a copy for this call; what is left is refused afterwards). */
    bool (*add)(Machine *m, const DeviceConfig *d, OptList *props, GError **error);
} DeviceRow;

/* NULL with `error` naming the driver and the nearest one that exists. */
const DeviceRow *device_table_find(const char *driver, GError **error);

/* -device help, to stdout. */
void device_table_print(void);

/* -device DRIVER,help, to stdout. */
void device_table_print_properties(const char *driver);

/* Port of the first pvpanic that -device asks for; 0: there is none.  For ACPI, which is made before it. */
uint16_t device_table_pvpanic_port(const MachineConfig *c);

/* Does the driver (which is known) have such a property?  False with `error` naming the nearest. */
bool device_table_has_property(const char *driver, const char *property, GError **error);

/* The rows, in order; NULL after the last. */
const DeviceRow *device_table_row(size_t i);

/* Add everything `-device` asks for, in order. */
bool device_table_add_all(Machine *m, GError **error);

#endif /* MONITOR_DEVICE_TABLE_H */
