/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between config.c and the option-*.c files: the handlers named by options.def. */
#ifndef MONITOR_CONFIG_INTERNAL_H
#define MONITOR_CONFIG_INTERNAL_H

#include "monitor/config.h"

typedef enum { EARLY, LATE } OptPhase;

/* One option as it was typed. */
typedef struct {
    const char *name;          /* without dashes                             */
    const char *arg;           /* NULL when the option takes none            */
    const char *typed;         /* "-drive file=x": how messages name it      */
} OptUse;

typedef ConfigResult OptHandler(MachineConfig *c, const OptUse *use, GError **error);

#define OPT(name, form, phase, handler, help) OptHandler option_##handler;
#define HEADING(text)
#define NOT_BUILT(name, takes_arg, what)
#include "monitor/options.def"
#undef OPT
#undef HEADING
#undef NOT_BUILT

static inline ConfigResult config_result(bool ok)
{
    return ok ? CONFIG_OK : CONFIG_FAILED;
}

/* Frees one of the lists' elements. */
void drive_config_free(DriveConfig *d);
void node_config_free(NodeConfig *n);
void device_config_free(DeviceConfig *d);
void line_config_free(LineConfig *l);

/* option-machine.c: "interpret:..." -> the first engine that is available. */
bool config_choose_engine(MachineConfig *c, const char *list, GError **error);

/* option-translate.c: take the properties of `-accel translate` from l into c->translate. */
bool config_take_translate(MachineConfig *c, OptList *l, GError **error);
void config_print_translate_help(void);

/* option-chardev.c: parse LINE as -serial takes it and append it to `lines`; makes a chardev for it
 * where it names none.  `label` is the id of such a chardev. */
bool config_add_line(MachineConfig *c, GPtrArray *lines, const char *typed, const char *label,
                     const char *text, GError **error);

/* option-chardev.c: the serial lines and monitors that exist when nobody asks otherwise. */
bool config_default_lines(MachineConfig *c, GError **error);

/* option-config.c: call fn for each section of a -readconfig file: the option it stands for, its settings as
 * that option's argument, and "-readconfig FILE: [section]" for messages. */
typedef bool ConfigSection(void *arg, const char *option, const char *text, const char *where,
                           GError **error);
bool config_read_file(const char *path, ConfigSection *fn, void *arg, GError **error);

/* option-object.c: the object that -machine memory-backend= names is one, of -m's size. */
bool config_check_memory(const MachineConfig *c, GError **error);

/* option-icount.c: what counting instructions goes with, and what it switches off. */
bool config_check_icount(MachineConfig *c, GError **error);

/* option-block.c: make drives of the nodes of -blockdev. */
bool config_resolve_nodes(MachineConfig *c, GError **error);

/* option-drive.c: keep `d` as a drive of its own name; takes it. */
bool config_keep_drive(MachineConfig *c, DriveConfig *d, bool has_index, GError **error);

/* option-drive.c: keep a use of -device or -object, JSON or not. */
ConfigResult config_add_device(GPtrArray *list, const OptUse *use, const char *first_key, GError **error);

/* option-drive.c: refuse two drives in one place. */
bool config_check_drives(MachineConfig *c, GError **error);

#endif /* MONITOR_CONFIG_INTERNAL_H */
