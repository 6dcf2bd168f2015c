/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/device-table.h"

#include "hw/debug-exit.h"
#include "hw/debugcon.h"
#include "monitor/back-ends.h"
#include "monitor/report.h"
#include "softmmu/base/bits.h"

#include <stdio.h>
#include <string.h>

/* -- ISA ------------------------------------------------------------------------------------------------ */

static bool add_debug_exit(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    uint64_t base = DEBUG_EXIT_PORT, len = DEBUG_EXIT_LEN;
    Device *dev;

    if (!opt_take_number(props, "iobase", 0, 0xffff, &base, error) ||
        !opt_take_number(props, "iosize", 1, DEBUG_EXIT_MAX_LEN, &len, error)) {
        return false;
    }
    dev = debug_exit_new((unsigned)len, machine_guest_debug_exit, m);
    dev->id = g_strdup(d->id);
    machine_add_device(m, dev);
    machine_map_port(m, dev, 0, (uint16_t)base);
    return true;
}

static bool add_debugcon(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    const char *chardev = opt_take(props, "chardev");
    uint64_t base = DEBUGCON_PORT, readback = DEBUGCON_READBACK;
    Chardev *c = NULL;
    Device *dev;

    if (chardev == NULL) {
        return fail(error, "chardev= is needed");
    }
    c = back_end_take_chardev(m, chardev, error);
    if (c == NULL || !opt_take_number(props, "iobase", 0, 0xffff, &base, error) ||
        !opt_take_number(props, "readback", 0, 0xff, &readback, error)) {
        return false;
    }
    dev = debugcon_new(c, (uint8_t)readback);
    dev->id = g_strdup(d->id);
    machine_add_device(m, dev);
    machine_map_port(m, dev, 0, (uint16_t)base);
    return true;
}

/* -- Table ---------------------------------------------------------------------------------------------- */

static const DeviceRow rows[] = {
    {"isa-debug-exit", "ISA", "a write of v ends the program with status (v << 1) | 1: "
     "iobase=0x501, iosize=2", add_debug_exit},
    {"isa-debugcon", "ISA", "a port that prints: chardev=ID, iobase=0xe9, readback=0xe9",
     add_debugcon},
};

const DeviceRow *device_table_find(const char *driver, GError **error)
{
    const char *names[ARRAY_LEN(rows)], *near;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].name, driver) == 0) {
            return &rows[i];
        }
        names[i] = rows[i].name;
    }
    near = nearest_name(driver, names, ARRAY_LEN(names));
    if (near != NULL) {
        fail(error, "no device is called '%s'; did you mean '%s'?", driver, near);
    } else {
        fail(error, "no device is called '%s'; '-device help' lists them", driver);
    }
    return NULL;
}

void device_table_print(void)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        printf("name \"%s\", bus %s, desc \"%s\"\n", rows[i].name, rows[i].bus, rows[i].help);
    }
}

/* -global values that nothing typed overrides. */
static void add_globals(Machine *m, const char *driver, OptList *props)
{
    for (guint i = 0; i < m->config->globals->len; i++) {
        const char *g = g_ptr_array_index(m->config->globals, i);
        size_t n = strlen(driver);
        const char *eq = strchr(g, '=');

        if (strncmp(g, driver, n) == 0 && g[n] == '.') {
            g_autofree char *key = g_strndup(g + n + 1, (size_t)(eq - g) - n - 1);
            opt_list_default(props, key, eq + 1);
        }
    }
}

bool device_table_add_all(Machine *m, GError **error)
{
    for (guint i = 0; i < m->config->devices->len; i++) {
        const DeviceConfig *d = g_ptr_array_index(m->config->devices, i);
        const DeviceRow *row = device_table_find(d->driver, error);

        if (row != NULL) {
            add_globals(m, d->driver, d->props);
        }
        if (row == NULL || !row->add(m, d, d->props, error) ||
            !opt_list_finish(d->props, error)) {
            g_prefix_error(error, "%s: ", d->option);
            return false;
        }
    }
    return true;
}
