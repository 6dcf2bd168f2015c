/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/config.h"

#include "monitor/config-internal.h"
#include "monitor/report.h"
#include "monitor/sandbox.h"
#include "softmmu/base/bits.h"
#include "translator/direct/direct.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    const char *name, *form;
    OptPhase phase;
    OptHandler *handler;       /* NULL: not built, or a heading */
    const char *help;          /* of NOT_BUILT: what it would be */
    bool takes_arg;
} OptRow;

static const OptRow rows[] = {
#define OPT(n, f, p, h, t) {n, f, p, option_##h, t, (f) != NULL},
#define HEADING(t) {NULL, NULL, EARLY, NULL, t, false},
#define NOT_BUILT(n, a, t) {n, NULL, EARLY, NULL, t, a},
#include "monitor/options.def"
#undef OPT
#undef HEADING
#undef NOT_BUILT
};

bool config_option(size_t i, const char **name, const char **form)
{
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        if (rows[r].handler != NULL && i-- == 0) {     /* neither a heading nor refused */
            *name = rows[r].name;
            *form = rows[r].form;
            return true;
        }
    }
    return false;
}

bool config_option_row(size_t i, ConfigOption *row)
{
    if (i >= ARRAY_LEN(rows)) {
        return false;
    }
    *row = (ConfigOption){rows[i].name, rows[i].form, rows[i].help,
                          rows[i].name != NULL && rows[i].handler == NULL};
    return true;
}

/* -- -help, -version -------------------------------------------------------------------------------- */

static void print_indented(const char *text, int indent)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **l = lines; *l != NULL; l++) {
        printf("%*s%s\n", indent, "", *l);
    }
}

ConfigResult option_help(MachineConfig *c, const OptUse *use, GError **error)
{
    printf("usage: %s [options] [disk image]\n", g_get_prgname());
    printf("       %s nanobench|bench [options]      (measure engines and peers: --help)\n", g_get_prgname());
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const OptRow *r = &rows[i];
        if (r->name == NULL) {
            printf("\n%s:\n", r->help);
        } else if (r->handler != NULL) {
            printf("-%s %s\n", r->name, r->form != NULL ? r->form : "");
            print_indented(r->help, 16);
        }
    }
    return CONFIG_DONE;
}

ConfigResult option_version(MachineConfig *c, const OptUse *use, GError **error)
{
    printf("Metaphrase emulator version %s\n", METAPHRASE_VERSION);
    return CONFIG_DONE;
}

/* -- Parsing ---------------------------------------------------------------------------------------- */

typedef struct {
    const OptRow *row;
    char *arg, *typed;
} Use;

static void use_clear(void *p)
{
    Use *u = p;

    g_free(u->arg);
    g_free(u->typed);
}

static const OptRow *find_row(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].name != NULL && strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

static bool unknown_option(const char *typed, const char *name, GError **error)
{
    const char *names[ARRAY_LEN(rows)];
    const char *near;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        names[i] = rows[i].handler != NULL ? rows[i].name : NULL;
    }
    near = nearest_name(name, names, ARRAY_LEN(names));
    return near != NULL ? fail(error, "%s: unknown option; did you mean -%s?", typed, near)
                        : fail(error, "%s: unknown option; -help lists them all", typed);
}

static const OptRow *find_usable_row(const char *typed, const char *name, GError **error)
{
    const OptRow *row = find_row(name);

    if (row == NULL) {
        unknown_option(typed, name, error);
    } else if (row->handler == NULL) {
        fail(error, "%s: not supported: %s", typed, row->help);
        row = NULL;
    }
    return row;
}

/* A section of a -readconfig file, as if it had been typed. */
static bool use_section(void *arg, const char *option, const char *text, const char *where,
                        GError **error)
{
    const OptRow *row = find_usable_row(where, option, error);
    Use u = {row, g_strdup(text), g_strdup(where)};

    if (row == NULL) {
        use_clear(&u);
        return false;
    }
    if (!row->takes_arg || row->handler == option_readconfig) {
        use_clear(&u);
        return fail(error, "%s: this option has no section", where);
    }
    g_array_append_val((GArray *)arg, u);
    return true;
}

/* One option (argv[*i]) into `uses`, its argument consumed. */
static bool collect_one(GArray *uses, int argc, char **argv, int *i, GError **error)
{
    const char *typed = argv[*i];
    const char *name;
    const OptRow *row;
    Use u = {0};

    if (typed[0] != '-' || typed[1] == '\0') {          /* a bare word is the first disk */
        u = (Use){find_row("hda"), g_strdup(typed), g_strdup(typed)};
        g_array_append_val(uses, u);
        return true;
    }
    name = typed + 1 + (typed[1] == '-');
    row = find_usable_row(typed, name, error);
    if (row == NULL) {
        return false;
    }
    u.row = row;
    if (row->takes_arg) {
        if (*i + 1 >= argc) {
            return fail(error, "%s: an argument is missing: %s", typed, row->form);
        }
        u.arg = g_strdup(argv[++*i]);
        u.typed = g_strconcat("-", name, " ", u.arg, NULL);
    } else {
        u.typed = g_strconcat("-", name, NULL);
    }
    if (row->handler == option_readconfig && !config_read_file(u.arg, use_section, uses, error)) {
        use_clear(&u);
        return false;
    }
    g_array_append_val(uses, u);
    return true;
}

static ConfigResult run_phase(MachineConfig *c, GArray *uses, OptPhase phase, GError **error)
{
    for (guint i = 0; i < uses->len; i++) {
        Use *u = &g_array_index(uses, Use, i);
        OptUse use = {u->row->name, u->arg, u->typed};
        ConfigResult r = u->row->phase == phase ? u->row->handler(c, &use, error) : CONFIG_OK;

        if (r == CONFIG_FAILED && error_is_help(*error)) {
            printf("%s\n", (*error)->message);
            g_clear_error(error);
            return CONFIG_DONE;
        }
        if (r == CONFIG_FAILED) {
            g_prefix_error(error, "%s: ", u->typed);
        }
        if (r != CONFIG_OK) {
            return r;
        }
    }
    return CONFIG_OK;
}

static void set_defaults(MachineConfig *c)
{
    *c = (MachineConfig){
        .machine = MACHINE_PC,
        .translate = trans_policy,
        .kvm = {.coalesced = true, .phases = true},
        .n_cpus = 1,
        .ram_size = UINT64_C(128) << 20,
        .hpet = true, .acpi = true, .graphics = true, .halt_poll = true, .huge_pages = true, .vmi = true, .vmport = true,
        .pit = true, .pic = true, .rtc = true, .isa_serial = true, .cmdline_devices = true,
        .vga = true,
        .dump_guest_core = true,
        .escape = 1,
        .option_roms = g_ptr_array_new_with_free_func(g_free),
        .nodes = g_ptr_array_new_with_free_func((GDestroyNotify)node_config_free),
        .rtc_base = -1,
        .drives = g_ptr_array_new_with_free_func((GDestroyNotify)drive_config_free),
        .devices = g_ptr_array_new_with_free_func((GDestroyNotify)device_config_free),
        .objects = g_ptr_array_new_with_free_func((GDestroyNotify)device_config_free),
        .chardevs = g_ptr_array_new_with_free_func((GDestroyNotify)chardev_config_free),
        .serials = g_ptr_array_new_with_free_func((GDestroyNotify)line_config_free),
        .monitors = g_ptr_array_new_with_free_func((GDestroyNotify)line_config_free),
        .debugcons = g_ptr_array_new_with_free_func((GDestroyNotify)line_config_free),
        .qmps = g_ptr_array_new_with_free_func((GDestroyNotify)line_config_free),
        .gdbs = g_ptr_array_new_with_free_func((GDestroyNotify)line_config_free),
        .fw_cfg = g_ptr_array_new(),
        .smbios = g_ptr_array_new_with_free_func(g_free),
        .globals = g_ptr_array_new_with_free_func(g_free),
        .firmware_dirs = g_ptr_array_new_with_free_func(g_free),
        .traces = g_ptr_array_new_with_free_func(g_free),
        .stress = g_ptr_array_new_with_free_func(g_free),
    };
}

static bool check_background(const MachineConfig *c, GError **error)
{
    for (guint i = 0; c->daemonize && i < c->chardevs->len; i++) {
        const ChardevConfig *d = g_ptr_array_index(c->chardevs, i);
        if (d->kind == CHAR_STDIO) {
            return fail(error, "-daemonize: the terminal is in use (%s)", d->option);
        }
    }
    return true;
}

/* Combinations that no single option can see. */
static bool check_whole(MachineConfig *c, GError **error)
{
    if (c->kernel == NULL) {
        const char *orphan = c->initrd != NULL   ? "-initrd"
                             : c->append != NULL ? "-append"
                             : c->dtb != NULL    ? "-dtb"
                                                 : NULL;
        if (orphan != NULL) {
            return fail(error, "%s: only makes sense with -kernel", orphan);
        }
    }
    if (c->option_roms->len > 0 && (c->machine != MACHINE_PC || (c->kernel != NULL && c->bios == NULL))) {
        return fail(error, "-option-rom %s: there is no firmware to run it (-bios makes -kernel start by one)",
                    (const char *)g_ptr_array_index(c->option_roms, 0));
    }
    if (c->machine == MACHINE_NONE && (c->kernel != NULL || c->bios != NULL)) {
        return fail(error, "%s: machine none has no CPU to run it",
                    c->kernel != NULL ? "-kernel" : "-bios");
    }
    if (c->machine == MACHINE_MICROVM) {
        if (c->kernel == NULL) {
            return fail(error, "-machine microvm: needs -kernel (it has no firmware)");
        }
        const char *orphan = c->bios != NULL                                ? "-bios"
                             : c->fw_cfg->len > 0                            ? "-fw_cfg"
                             : c->smbios->len > 0                            ? "-smbios"
                             : c->boot_order != NULL || c->boot_once != NULL ? "-boot"
                                                                             : NULL;
        if (orphan != NULL) {
            return fail(error, "%s: machine microvm has no firmware", orphan);
        }
    } else if (c->dumpdtb != NULL) {
        return fail(error, "-machine dumpdtb=%s: only machine microvm has a device tree",
                    c->dumpdtb);
    }
    if (c->sandbox != 0) {
        c->translate.direct_breaks = false; /* perf_event_open(2) is no call for there */
    }
    if (c->sandbox != 0 && (c->sandbox & SANDBOX_SPAWN) == 0 && c->translate.direct == DIRECT_AUTO) {
        c->translate.direct = DIRECT_OFF; /* worlds are processes; who wants them there says so */
    }
    return config_check_icount(c, error) && trans_config_check(&c->translate, c->n_cpus, error) && config_check_memory(c, error) &&
           config_check_drives(c, error) && config_default_lines(c, error) && check_background(c, error);
}

ConfigResult config_parse(MachineConfig *c, int argc, char **argv, GError **error)
{
    g_autoptr(GArray) uses = g_array_new(FALSE, TRUE, sizeof(Use));
    ConfigResult r = CONFIG_OK;

    set_defaults(c);
    g_array_set_clear_func(uses, use_clear);
    for (int i = 1; i < argc; i++) {
        if (!collect_one(uses, argc, argv, &i, error)) {
            return CONFIG_FAILED;
        }
    }
    r = run_phase(c, uses, EARLY, error);
    if (r == CONFIG_OK) {
        r = run_phase(c, uses, LATE, error);
    }
    if (r == CONFIG_OK) {
        r = config_result(config_choose_engine(c, c->engines != NULL ? c->engines : "translate:interpret", error));
        if (r == CONFIG_FAILED && c->engines != NULL) {
            g_prefix_error(error, "%s: ", c->engines_typed);
        }
    }
    return r == CONFIG_OK ? config_result(check_whole(c, error)) : r;
}

void config_clear(MachineConfig *c)
{
    char **strings[] = {&c->cpu, &c->dumpdtb, &c->name, &c->uuid, &c->kernel, &c->initrd,
                        &c->append, &c->dtb, &c->bios, &c->boot_order, &c->boot_once, &c->pidfile, &c->incoming,
                        &c->log_items, &c->log_file, &c->memory_backend, &c->process_name, &c->engines, &c->engines_typed,
                        &c->run_as, &c->translate.symbols, &c->trail, &c->follow};
    GPtrArray **lists[] = {&c->firmware_dirs, &c->drives, &c->devices, &c->objects, &c->chardevs,
                           &c->fw_cfg, &c->smbios, &c->globals, &c->serials, &c->monitors,
                           &c->debugcons, &c->qmps, &c->gdbs, &c->traces, &c->stress,
                           &c->option_roms, &c->nodes};

    for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
        g_clear_pointer(strings[i], g_free);
    }
    for (guint i = 0; i < c->fw_cfg->len; i++) {
        FwCfgConfig *f = g_ptr_array_index(c->fw_cfg, i);
        g_free(f->option);
        g_free(f->name);
        g_free(f->file);
        g_free(f->string);
        g_free(f);
    }
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        g_clear_pointer(lists[i], g_ptr_array_unref);
    }
}

/* -- Looking things up -------------------------------------------------------------------------------- */

const DeviceConfig *config_object(const MachineConfig *c, const char *id)
{
    for (guint i = 0; i < c->objects->len; i++) {
        const DeviceConfig *o = g_ptr_array_index(c->objects, i);
        if (strcmp(o->id, id) == 0) {
            return o;
        }
    }
    return NULL;
}

const DriveConfig *config_drive(const MachineConfig *c, const char *id)
{
    for (guint i = 0; i < c->drives->len; i++) {
        const DriveConfig *d = g_ptr_array_index(c->drives, i);
        if (strcmp(d->id, id) == 0) {
            return d;
        }
    }
    return NULL;
}

const ChardevConfig *config_chardev(const MachineConfig *c, const char *id)
{
    for (guint i = 0; i < c->chardevs->len; i++) {
        const ChardevConfig *d = g_ptr_array_index(c->chardevs, i);
        if (strcmp(d->id, id) == 0) {
            return d;
        }
    }
    return NULL;
}
