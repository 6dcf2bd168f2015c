/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -object: things that devices and the machine refer to. */
#include "monitor/config-internal.h"

#include "monitor/report.h"
#include "softmmu/base/bits.h"

#include <stdio.h>
#include <string.h>

/* -- Types -------------------------------------------------------------------------------------------- */

static bool check_rng(OptList *l, GError **error)
{
    opt_take(l, "filename");
    return true;
}

/*
 * Guest memory is one memfd, mapped shared, whose pages come when they are touched: a backend gives it a
 * size and a name.  Nobody else has the descriptor, so that share=off is as true as share=on.
 */
static bool check_memory(OptList *l, GError **error)
{
    bool shared = false, dump;
    uint64_t size = 0;

    if (!opt_take_size(l, "size", 1, &size, error) || !opt_take_flag(l, "share", &shared, error) ||
        !opt_take_flag(l, "dump", &dump, error) || !opt_take_only(l, "prealloc", "off", error) ||
        !opt_take_only(l, "merge", "off", error) || !opt_take_only(l, "policy", "default", error) ||
        !opt_take_only(l, "reserve", "off", error)) {
        return false;
    }
    return size != 0 || opt_list_wants_help(l) || fail(error, "size= is needed");
}

static bool check_memfd(OptList *l, GError **error)
{
    return check_memory(l, error) && opt_take_only(l, "hugetlb", "off", error) &&
           opt_take_only(l, "seal", "off", error);
}

static bool check_iothread(OptList *l, GError **error)
{
    return opt_take_only(l, "poll-max-ns", "0", error);
}

static const struct {
    const char *name, *help;
    bool (*check)(OptList *l, GError **error);     /* NULL: refused, `help` says what it would be */
} types[] = {
    {"iothread", "a thread that completes the requests of the disks that name it", check_iothread},
    {"memory-backend-memfd", "guest memory, for -machine memory-backend=ID", check_memfd},
    {"memory-backend-ram", "the same", check_memory},
    {"rng-random", "random numbers from a file of the host [/dev/urandom]", check_rng},
    {"memory-backend-file", "guest memory in a file", NULL},
    {"rng-egd", "random numbers from a daemon", NULL},
    {"rng-builtin", "random numbers from this program; use rng-random", NULL},
    {"secret", "secrets: nothing here is encrypted", NULL},
    {"tls-creds-x509", "TLS", NULL},
    {"throttle-group", "limits of disk bandwidth", NULL},
};

const char *config_object_type(size_t i, const char **help)
{
    if (i >= ARRAY_LEN(types) || types[i].check == NULL) {
        return NULL;           /* what is refused comes last */
    }
    *help = types[i].help;
    return types[i].name;
}

static bool unknown_type(const char *name, GError **error)
{
    const char *names[ARRAY_LEN(types)], *near;

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        names[i] = types[i].check != NULL ? types[i].name : NULL;
    }
    near = nearest_name(name, names, ARRAY_LEN(names));
    return near != NULL
               ? fail(error, "no object type is called '%s'; did you mean '%s'?", name, near)
               : fail(error, "no object type is called '%s'; '-object help' lists them", name);
}

ConfigResult option_object(MachineConfig *c, const OptUse *use, GError **error)
{
    DeviceConfig *d;
    size_t i = 0;

    if (wants_help(use->arg)) {
        const char *help;
        for (; config_object_type(i, &help) != NULL; i++) {
            printf("%-22s %s\n", config_object_type(i, &help), help);
        }
        return CONFIG_DONE;
    }
    if (config_add_device(c->objects, use, "qom-type", error) != CONFIG_OK) {
        return CONFIG_FAILED;
    }
    d = g_ptr_array_index(c->objects, c->objects->len - 1);
    while (i < ARRAY_LEN(types) && strcmp(types[i].name, d->driver) != 0) {
        i++;
    }
    if (i == ARRAY_LEN(types)) {
        return config_result(unknown_type(d->driver, error));
    }
    if (types[i].check == NULL) {
        return config_result(fail(error, "not supported: %s", types[i].help));
    }
    if (!types[i].check(d->props, error) || !opt_list_finish(d->props, error)) {
        return CONFIG_FAILED;
    }
    return config_result((d->id != NULL && *d->id != '\0') || fail(error, "id= is needed"));
}

/* -- Memory ------------------------------------------------------------------------------------------- */

bool config_check_memory(const MachineConfig *c, GError **error)
{
    const DeviceConfig *o = c->memory_backend != NULL ? config_object(c, c->memory_backend) : NULL;
    uint64_t size = 0;

    if (c->memory_backend == NULL) {
        return true;
    }
    if (o == NULL || !g_str_has_prefix(o->driver, "memory-backend-")) {
        return fail(error, "-machine memory-backend=%s: there is no such memory backend",
                    c->memory_backend);
    }
    opt_take_size(o->props, "size", 1, &size, NULL);
    if (size != c->ram_size) {
        return fail(error, "-machine memory-backend=%s: its size is %" G_GUINT64_FORMAT
                    ", that of -m %" G_GUINT64_FORMAT, c->memory_backend, size, c->ram_size);
    }
    return true;
}

bool config_dump_memory(const MachineConfig *c)
{
    const DeviceConfig *o = c->memory_backend != NULL ? config_object(c, c->memory_backend) : NULL;
    bool dump = c->dump_guest_core;

    if (o != NULL) {
        opt_take_flag(o->props, "dump", &dump, NULL);
    }
    return dump;
}
