/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options about disks and devices.  Devices keep their properties until the machine is made. */
#include "monitor/config-internal.h"

#include "monitor/device-table.h"
#include "monitor/report.h"
#include "softmmu/base/bits.h"

#include <stdio.h>
#include <string.h>

/* -- Drives ----------------------------------------------------------------------------------------- */

static const char *const interface_names[] = {
    [IF_NONE] = "none", [IF_IDE] = "ide", [IF_VIRTIO] = "virtio", [IF_FLOPPY] = "floppy", NULL,
};

/* How many drives an interface holds; virtio and none are bounded by the machine. */
static const unsigned interface_slots[IF_COUNT] = {
    [IF_NONE] = 1024, [IF_IDE] = 4, [IF_VIRTIO] = 32, [IF_FLOPPY] = 2,
};

void drive_config_free(DriveConfig *d)
{
    g_free(d->option);
    g_free(d->id);
    g_free(d->file);
    g_free(d->format);
    g_free(d->serial);
    g_free(d);
}

static bool slot_taken(const MachineConfig *c, DriveInterface i, unsigned index)
{
    for (guint k = 0; k < c->drives->len; k++) {
        const DriveConfig *d = g_ptr_array_index(c->drives, k);
        if (d->interface == i && d->index == index) {
            return true;
        }
    }
    return false;
}

/* Give the drive a place and a name, and keep it. */
bool config_keep_drive(MachineConfig *c, DriveConfig *d, bool has_index, GError **error)
{
    if (!has_index) {
        while (slot_taken(c, d->interface, d->index)) {
            d->index++;
        }
    }
    if (d->id == NULL) {
        d->id = g_strdup_printf("%s%u", d->interface == IF_NONE ? "drive"
                                : interface_names[d->interface], d->index);
    }
    if (config_drive(c, d->id) != NULL) {
        fail(error, "there is already a drive called '%s'", d->id);
    } else if (d->interface != IF_NONE && slot_taken(c, d->interface, d->index)) {
        fail(error, "%s drive %u is there already", interface_names[d->interface], d->index);
    } else if (d->index >= interface_slots[d->interface]) {
        fail(error, "there are at most %u %s drives", interface_slots[d->interface],
             interface_names[d->interface]);
    } else {
        g_ptr_array_add(c->drives, d);
        return true;
    }
    drive_config_free(d);
    return false;
}

bool config_check_drives(MachineConfig *c, GError **error)
{
    if (!config_resolve_nodes(c, error)) {
        return false;
    }
    for (guint i = 0; i < c->drives->len; i++) {
        const DriveConfig *d = g_ptr_array_index(c->drives, i);
        if (c->machine == MACHINE_MICROVM &&
            (d->interface == IF_IDE || d->interface == IF_FLOPPY)) {
            return fail(error, "%s: machine microvm has no %s drives; use if=virtio", d->option,
                        interface_names[d->interface]);
        }
        if (d->file == NULL && d->interface != IF_FLOPPY && !d->cdrom) {
            return fail(error, "%s: file= is needed", d->option);
        }
    }
    return true;
}

/* What QEMU can be told otherwise. */
static bool take_only_ways(OptList *l, GError **error)
{
    return opt_take_only(l, "aio", "threads", error) && opt_take_only(l, "werror", "report", error) &&
           opt_take_only(l, "rerror", "report", error) &&
           opt_take_only(l, "detect-zeroes", "off", error) &&
           opt_take_only(l, "copy-on-read", "off", error) &&
           opt_take_only(l, "file.driver", "file", error);
}

static bool take_drive(MachineConfig *c, DriveConfig *d, OptList *l, bool *has_index,
                       GError **error)
{
    static const char *const caches[] = {
        [CACHE_WRITEBACK] = "writeback", [CACHE_NONE] = "none",
        [CACHE_WRITETHROUGH] = "writethrough", [CACHE_DIRECTSYNC] = "directsync",
        [CACHE_UNSAFE] = "unsafe", NULL,
    };
    static const char *const medias[] = {"disk", "cdrom", NULL};
    static const char *const discards[] = {"ignore", "off", "unmap", "on", NULL};
    int interface = c->machine == MACHINE_MICROVM ? IF_VIRTIO : IF_IDE, media = 0, discard = 2;
    uint64_t index = UINT64_MAX, bus = UINT64_MAX, unit = 0;
    bool locking = true;

    opt_take_string(l, "file.filename", &d->file);
    opt_take_string(l, "driver", &d->format);
    opt_take_string(l, "file", &d->file);
    opt_take_string(l, "id", &d->id);
    opt_take_string(l, "format", &d->format);
    opt_take_string(l, "serial", &d->serial);
    if (!opt_take_choice(l, "if", interface_names, &interface, error) ||
        !opt_take_choice(l, "media", medias, &media, error) ||
        !opt_take_choice(l, "cache", caches, &d->cache, error) ||
        !opt_take_number(l, "index", 0, 1023, &index, error) ||
        !opt_take_number(l, "bus", 0, 1023, &bus, error) ||
        !opt_take_number(l, "unit", 0, 1, &unit, error) ||
        !opt_take_choice(l, "discard", discards, &discard, error) ||
        !opt_take_flag(l, "readonly", &d->read_only, error) ||
        !opt_take_flag(l, "read-only", &d->read_only, error) ||
        !opt_take_flag(l, "file.locking", &locking, error) ||
        !opt_take_flag(l, "snapshot", &d->snapshot, error) || !take_only_ways(l, error) ||
        !opt_list_finish(l, error)) {
        return false;
    }
    d->no_lock = !locking;
    d->no_discard = discard < 2;
    if (bus != UINT64_MAX && interface != IF_IDE) {
        return fail(error, "bus= is of if=ide; use index=");
    }
    if (index == UINT64_MAX && bus != UINT64_MAX) {
        index = bus * 2 + unit;
    }
    if (d->format != NULL && strcmp(d->format, "raw") != 0) {
        return fail(error, "format=%s: only raw images are supported", d->format);
    }
    if (d->serial != NULL && strlen(d->serial) > 20) {
        return fail(error, "serial= has at most 20 characters");
    }
    d->interface = (DriveInterface)interface;
    d->cdrom = media == 1;
    d->read_only |= d->cdrom;
    *has_index = index != UINT64_MAX;
    d->index = *has_index ? (unsigned)index : d->interface == IF_IDE && d->cdrom ? 2 : 0;
    return true;
}

ConfigResult option_drive(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, NULL);
    DriveConfig *d = g_new0(DriveConfig, 1);
    bool has_index = false;

    d->option = g_strdup(use->typed);
    d->snapshot = c->snapshot;
    if (!take_drive(c, d, l, &has_index, error)) {
        drive_config_free(d);
        return CONFIG_FAILED;
    }
    return config_result(config_keep_drive(c, d, has_index, error));
}

static ConfigResult add_simple(MachineConfig *c, const OptUse *use, DriveInterface interface,
                               unsigned index, bool cdrom, GError **error)
{
    DriveConfig *d = g_new0(DriveConfig, 1);

    *d = (DriveConfig){.option = g_strdup(use->typed), .file = g_strdup(use->arg),
                       .interface = interface, .index = index, .cdrom = cdrom,
                       .read_only = cdrom, .snapshot = c->snapshot};
    return config_result(config_keep_drive(c, d, true, error));
}

ConfigResult option_hd(MachineConfig *c, const OptUse *use, GError **error)
{
    return add_simple(c, use, IF_IDE, (unsigned)(use->name[2] - 'a'), false, error);
}

ConfigResult option_fd(MachineConfig *c, const OptUse *use, GError **error)
{
    return add_simple(c, use, IF_FLOPPY, (unsigned)(use->name[2] - 'a'), false, error);
}

ConfigResult option_cdrom(MachineConfig *c, const OptUse *use, GError **error)
{
    return add_simple(c, use, IF_IDE, 2, true, error);
}

ConfigResult option_snapshot(MachineConfig *c, const OptUse *use, GError **error)
{
    c->snapshot = true;
    return CONFIG_OK;
}

/* -- Devices, objects --------------------------------------------------------------------------------- */

void device_config_free(DeviceConfig *d)
{
    g_free(d->option);
    g_free(d->id);
    g_free(d->driver);
    opt_list_free(d->props);
    g_free(d);
}

ConfigResult config_add_device(GPtrArray *list, const OptUse *use, const char *first_key, GError **error)
{
    DeviceConfig *d = g_new0(DeviceConfig, 1);

    d->option = g_strdup(use->typed);
    d->props = opt_list_parse_either(use->arg, first_key, error);
    if (d->props == NULL) {
        device_config_free(d);
        return CONFIG_FAILED;
    }
    opt_take_string(d->props, first_key, &d->driver);
    opt_take_string(d->props, "id", &d->id);
    g_ptr_array_add(list, d);
    if (d->driver == NULL || *d->driver == '\0') {
        return config_result(fail(error, "%s= is needed", first_key));
    }
    for (guint i = 0; i + 1 < list->len; i++) {
        const DeviceConfig *other = g_ptr_array_index(list, i);
        if (d->id != NULL && other->id != NULL && strcmp(d->id, other->id) == 0) {
            return config_result(fail(error, "the id '%s' is used twice", d->id));
        }
    }
    return CONFIG_OK;
}

ConfigResult option_device(MachineConfig *c, const OptUse *use, GError **error)
{
    const DeviceConfig *d;
    ConfigResult r;

    if (wants_help(use->arg)) {
        device_table_print();
        return CONFIG_DONE;
    }
    r = config_add_device(c->devices, use, "driver", error);
    if (r != CONFIG_OK) {
        return r;
    }
    d = g_ptr_array_index(c->devices, c->devices->len - 1);
    if (device_table_find(d->driver, error) == NULL) {
        return CONFIG_FAILED;
    }
    if (opt_list_wants_help(d->props)) {
        device_table_print_properties(d->driver);
        return CONFIG_DONE;
    }
    return CONFIG_OK;
}

/* DRIVER.PROPERTY=VALUE, or driver=DRIVER,property=PROPERTY,value=VALUE. */
ConfigResult option_global(MachineConfig *c, const OptUse *use, GError **error)
{
    const char *dot = strchr(use->arg, '.');
    const char *eq = dot != NULL ? strchr(dot, '=') : NULL;
    g_autofree char *driver = NULL, *property = NULL, *text = NULL;

    if (wants_help(use->arg)) {
        return config_result(answer_help(error, "DRIVER.PROPERTY=VALUE; '-device help' lists the drivers, "
                                         "'-device DRIVER,help' properties"));
    }
    if (g_str_has_prefix(use->arg, "driver=")) {
        g_autoptr(OptList) l = opt_list_parse(use->arg, NULL);
        const char *value = opt_take(l, "value");
        property = g_strdup(opt_take(l, "property"));
        driver = g_strdup(opt_take(l, "driver"));
        if (!opt_list_finish(l, error)) {
            return CONFIG_FAILED;
        }
        if (property == NULL || value == NULL) {
            return config_result(fail(error, "driver=, property= and value= are needed"));
        }
        text = g_strdup_printf("%s.%s=%s", driver, property, value);
    } else if (eq != NULL) {
        driver = g_strndup(use->arg, (size_t)(dot - use->arg));
        property = g_strndup(dot + 1, (size_t)(eq - dot) - 1);
        text = g_strdup(use->arg);
    } else {
        return config_result(fail(error, "DRIVER.PROPERTY=VALUE is needed"));
    }
    if (device_table_find(driver, error) == NULL || !device_table_has_property(driver, property, error)) {
        return CONFIG_FAILED;
    }
    g_ptr_array_add(c->globals, g_steal_pointer(&text));
    return CONFIG_OK;
}

ConfigResult option_vga(MachineConfig *c, const OptUse *use, GError **error)
{
    if (wants_help(use->arg)) {
        return config_result(answer_help(error, "none\nstd"));
    }
    if (strcmp(use->arg, "none") != 0 && strcmp(use->arg, "std") != 0) {
        return config_result(fail(error, "no display adapter of that name is built; use std or none"));
    }
    c->vga = strcmp(use->arg, "std") == 0;
    return CONFIG_OK;
}

ConfigResult option_display(MachineConfig *c, const OptUse *use, GError **error)
{
    if (wants_help(use->arg)) {
        return config_result(answer_help(error, "none"));
    }
    if (strcmp(use->arg, "none") != 0) {
        return config_result(fail(error, "no display is built; use none"));
    }
    c->display_given = true;
    return CONFIG_OK;
}

ConfigResult option_nodefaults(MachineConfig *c, const OptUse *use, GError **error)
{
    c->nodefaults = true;
    c->vga = false;
    return CONFIG_OK;
}
