/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options about the machine as a whole: type, engine, CPUs, memory, boot, life and death. */
#include "monitor/config-internal.h"

#include "cpu-x86/cpuid.h"
#include "hwaccel/engine.h"
#include "monitor/migrate-channel.h"
#include "monitor/report.h"
#include "monitor/sandbox.h"
#include "softmmu/base/bits.h"
#include "translator/engine.h"

#include <stdio.h>
#include <string.h>

/* -- Engines ------------------------------------------------------------------------------------------ */

static const ConfigEngine engine_rows[] = {
    {"interpret", "the reference interpreter: exact, needs nothing of the host", &interp_engine},
    {"translate", "the x86-to-x86 translator", &translate_engine},
    {"tcg",       "another name of translate", &translate_engine},
    {"kvm",       "the host's hardware virtualisation (VT-x, SVM) through /dev/kvm", &kvm_engine},
};

const ConfigEngine *config_engine(size_t i)
{
    return i < ARRAY_LEN(engine_rows) ? &engine_rows[i] : NULL;
}

static const ConfigEngine *find_engine(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(engine_rows); i++) {
        if (strcmp(engine_rows[i].name, name) == 0) {
            return &engine_rows[i];
        }
    }
    return NULL;
}

static bool unknown_engine(const char *name, GError **error)
{
    const char *names[ARRAY_LEN(engine_rows)], *near;

    for (size_t i = 0; i < ARRAY_LEN(engine_rows); i++) {
        names[i] = engine_rows[i].engine != NULL ? engine_rows[i].name : NULL;
    }
    near = nearest_name(name, names, ARRAY_LEN(names));
    return near != NULL ? fail(error, "no engine is called '%s'; did you mean '%s'?", name, near)
                        : fail(error, "no engine is called '%s'; '-accel help' lists them", name);
}

/* NULL: the host can run it. */
static const char *engine_missing(const ConfigEngine *e)
{
    return e->engine == NULL ? "it is not in this build" : e->engine->missing != NULL ? e->engine->missing() : NULL;
}

static const char *engine_drawback(const ConfigEngine *e)
{
    return e->engine->drawback != NULL ? e->engine->drawback() : NULL;
}

/* "auto": doc/KVM.md, "Which engine". */
static GStrv engine_names(const char *list)
{
    return g_strsplit(strcmp(list, "auto") == 0 ? "kvm:translate:interpret" : list, ":", -1);
}

/* The first engine of the list that this host runs well, else the first that it can run at all. */
bool config_choose_engine(MachineConfig *c, const char *list, GError **error)
{
    g_auto(GStrv) names = engine_names(list);
    const ConfigEngine *last = NULL, *poor = NULL;
    const char *missing = NULL, *drawback, *why_poor = NULL;

    for (char **n = names; *n != NULL; n++) {
        last = find_engine(*n);
        if (last == NULL) {
            return unknown_engine(*n, error);
        }
        missing = engine_missing(last);
        drawback = missing == NULL ? engine_drawback(last) : NULL; /* measured: the next time it may be another */
        if (missing == NULL && drawback == NULL) {
            c->engine = last->engine;
            return true;
        }
        if (missing == NULL && poor == NULL) {
            poor = last;
            why_poor = drawback;
        }
    }
    if (poor != NULL) {
        report_info("-accel %s: %s", poor->name, why_poor);
        c->engine = poor->engine;
        return true;
    }
    return fail(error, "engine '%s' cannot be used: %s; interpret always can",
                last != NULL ? last->name : list, missing);
}

/* Is the engine one of those in the list? */
static bool names(const char *list, const EngineClass *engine)
{
    g_auto(GStrv) names = engine_names(list);

    for (char **n = names; *n != NULL; n++) {
        const ConfigEngine *e = find_engine(*n);
        if (e != NULL && e->engine == engine) {
            return true;
        }
    }
    return false;
}

/* Several -accel options are one list, in order; -machine accel= is another way to say it, and the last counts. */
static bool keep_engines(MachineConfig *c, const char *list, const char *typed, bool by_machine, GError **error)
{
    g_auto(GStrv) names = engine_names(list);
    g_autofree char *expanded = g_strjoinv(":", names);
    char *all;

    for (char **n = names; *n != NULL; n++) {
        if (find_engine(*n) == NULL) {
            return unknown_engine(*n, error);
        }
    }
    if (c->engines != NULL && c->engines_by_machine != by_machine) {
        return fail(error, "-accel and -machine accel= are two ways to say the same; use one");
    }
    all = c->engines == NULL || by_machine ? g_strdup(expanded)
                                           : g_strconcat(c->engines, ":", expanded, NULL);
    g_free(c->engines);
    c->engines = all;
    c->engines_by_machine = by_machine;
    if (c->engines_typed == NULL || by_machine) {
        g_free(c->engines_typed);
        c->engines_typed = g_strdup(typed);
    }
    return true;
}

static void print_kvm_help(void)
{
    static const char *const rows[][2] = {
        {"kernel-irqchip=off|split|on", "emulated by the host's kernel: no interrupt controllers, the local APICs, all and the PIT [off]"},
        {"lost-tick-policy=discard|delay", "ticks of the kernel's PIT that the guest was too slow for [discard]"},
        {"coalesced-mmio=on|off", "writes to devices that may wait for the next exit do [on]"},
        {"phases=on|off", "real mode and other phases that KVM emulates or fails at are interpreted [on]"},
        {"emulation-ns=N", "... when KVM emulates an instruction each N ns; 0: 700, without VT-x and SVM 6000 [0]"},
        {"ioeventfd=off|on", "devices' doorbells are rung without an exit [off]"},
        {"irqfd=off|on", "interrupt messages by irqfds, with local APICs in the kernel [off]"},
        {"dirty-ring-size=N", "written pages are logged in a ring of N entries a CPU, a power of 2; 0: in bitmaps [0]"},
    };

    puts("kvm options:");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        printf("  %-31s %s\n", rows[i][0], rows[i][1]);
    }
}

static bool take_emulation_ns(OptList *l, unsigned *out, GError **error)
{
    uint64_t n = *out;

    if (!opt_take_number(l, "emulation-ns", 0, UINT32_MAX, &n, error)) {
        return false;
    }
    *out = (unsigned)n;
    return true;
}

static bool take_ring_size(OptList *l, unsigned *out, GError **error)
{
    uint64_t n = *out;

    if (!opt_take_number(l, "dirty-ring-size", 0, 1 << 20, &n, error)) {
        return false;
    }
    if ((n & (n - 1)) != 0) {
        return fail(error, "dirty-ring-size must be a power of two");
    }
    *out = (unsigned)n;
    return true;
}

ConfigResult option_accel(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, "accel");
    const char *list = opt_take(l, "accel");

    if (list != NULL && wants_help(list)) {
        printf("Engines in this build:\n");
        for (size_t i = 0; i < ARRAY_LEN(engine_rows); i++) {
            if (engine_rows[i].engine != NULL) {
                printf("%-12s %s\n", engine_rows[i].name, engine_rows[i].help);
            }
        }
        return CONFIG_DONE;
    }
    if (list == NULL) {
        return config_result(fail(error, "ENGINE[:ENGINE...] is needed; '-accel help' lists them"));
    }
    if (names(list, &kvm_engine)) {
        static const char *const irqchips[] = {"off", "split", "on", NULL};
        static const char *const policies[] = {"discard", "delay", NULL};

        if (opt_list_wants_help(l) && !names(list, &translate_engine)) {
            print_kvm_help();
            return CONFIG_DONE;
        }
        if (!opt_take_choice(l, "kernel-irqchip", irqchips, &c->kvm.irqchip, error) ||
            !opt_take_choice(l, "lost-tick-policy", policies, &c->kvm.lost_ticks, error) ||
            !opt_take_flag(l, "coalesced-mmio", &c->kvm.coalesced, error) ||
            !opt_take_flag(l, "phases", &c->kvm.phases, error) ||
            !take_emulation_ns(l, &c->kvm.emulation_ns, error) ||
            !opt_take_flag(l, "ioeventfd", &c->kvm.ioeventfd, error) ||
            !opt_take_flag(l, "irqfd", &c->kvm.irqfd, error) ||
            !take_ring_size(l, &c->kvm.dirty_ring, error)) {
            return CONFIG_FAILED;
        }
    }
    if (names(list, &translate_engine)) {
        if (opt_list_wants_help(l)) {
            config_print_translate_help();
            return CONFIG_DONE;
        }
        if (!config_take_translate(c, l, error)) {
            return CONFIG_FAILED;
        }
    }
    return config_result(opt_list_finish(l, error) && keep_engines(c, list, use->typed, false, error));
}

ConfigResult option_enable_kvm(MachineConfig *c, const OptUse *use, GError **error)
{
    return config_result(keep_engines(c, "kvm", use->typed, true, error));
}

/* -- Machine ------------------------------------------------------------------------------------------ */

#define COMMON_PROPS "accel:string hpet:bool acpi:bool graphics:bool usb:bool vmport:bool vmi:bool smm:bool " \
                     "memory-backend:string dump-guest-core:bool mem-merge:bool halt-poll:bool " \
                     "huge-pages:bool"
static const ConfigMachine machine_rows[] = {
    {"pc-i440fx-7.2", "pc", "PC with i440FX and PIIX", MACHINE_PC, "pc.ram", COMMON_PROPS},
    {"microvm", NULL, "small machine: virtio-mmio, no firmware, no PCI", MACHINE_MICROVM,
     "microvm.ram", COMMON_PROPS " dumpdtb:string pit:bool pic:bool rtc:bool isa-serial:bool "
     "auto-kernel-cmdline:bool"},
    {"none", NULL, "no machine: nothing but the monitor", MACHINE_NONE, NULL, COMMON_PROPS},
};

const ConfigMachine *config_machine(size_t i)
{
    return i < ARRAY_LEN(machine_rows) ? &machine_rows[i] : NULL;
}

const ConfigMachine *config_machine_of(const MachineConfig *c)
{
    for (size_t i = 0; i < ARRAY_LEN(machine_rows); i++) {
        if (machine_rows[i].kind == c->machine) {
            return &machine_rows[i];
        }
    }
    g_assert_not_reached();
}

/* QEMU's versions of pc, 1.4 to 7.2: their differences are not modelled, their names are known. */
static bool is_pc_version(const char *name)
{
    static const unsigned char last_minor[] = {[1] = 7, [2] = 12, [3] = 1, [4] = 2, [5] = 2, [6] = 2, [7] = 2};
    unsigned major, minor;
    char end;

    return sscanf(name, "pc-i440fx-%1u.%2u%c", &major, &minor, &end) == 2 && major >= 1 &&
           major < ARRAY_LEN(last_minor) && minor <= last_minor[major] && (major > 1 || minor >= 4);
}

static bool choose_machine(MachineConfig *c, const char *name, GError **error)
{
    const char *names[2 * ARRAY_LEN(machine_rows)], *near;

    if (is_pc_version(name) || strcmp(name, "pc") == 0) {
        name = machine_rows[0].name;
    }
    for (size_t i = 0; i < ARRAY_LEN(machine_rows); i++) {
        if (strcmp(machine_rows[i].name, name) == 0) {
            c->machine = machine_rows[i].kind;
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(machine_rows); i++) {
        names[2 * i] = machine_rows[i].name;
        names[2 * i + 1] = machine_rows[i].alias;
    }
    near = nearest_name(name, names, ARRAY_LEN(names));
    return near != NULL ? fail(error, "no machine type is called '%s'; did you mean '%s'?", name, near)
                        : fail(error, "no machine type is called '%s'; use -machine help to list them",
                               name);
}

/* vmport=auto is QEMU's default and on here. */
static bool take_pc_flags(MachineConfig *c, OptList *l, GError **error)
{
    const char *vmport;

    if (c->machine != MACHINE_PC) {
        return opt_take_only(l, "vmi", "off", error) && opt_take_only(l, "vmport", "off", error);
    }
    vmport = opt_take(l, "vmport");
    if (g_strcmp0(vmport, "auto") == 0) {
        c->vmport = true;
    } else if (!opt_take_flag(l, "vmport", &c->vmport, error)) {
        return false;
    }
    return opt_take_flag(l, "vmi", &c->vmi, error);
}

static bool take_microvm_flags(MachineConfig *c, OptList *l, GError **error)
{
    return c->machine != MACHINE_MICROVM ||
           (opt_take_flag(l, "pit", &c->pit, error) && opt_take_flag(l, "pic", &c->pic, error) &&
            opt_take_flag(l, "rtc", &c->rtc, error) &&
            opt_take_flag(l, "isa-serial", &c->isa_serial, error) &&
            opt_take_flag(l, "auto-kernel-cmdline", &c->cmdline_devices, error) &&
            opt_take_only(l, "x-option-roms", "off", error) &&
            opt_take_only(l, "pcie", "off", error));
}

ConfigResult option_machine(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, "type");
    const char *type = opt_take(l, "type"), *accel;

    if (opt_list_wants_help(l) && (type == NULL || wants_help(type))) {
        printf("Machine types:\n");
        for (size_t i = 0; i < ARRAY_LEN(machine_rows); i++) {
            const ConfigMachine *r = &machine_rows[i];
            if (r->alias != NULL) {
                printf("%-20s %s (alias of %s)\n", r->alias, r->help, r->name);
            }
            printf("%-20s %s%s\n", r->name, r->help, r->kind == MACHINE_PC ? " (default)" : "");
        }
        return CONFIG_DONE;
    }
    if (type != NULL && !choose_machine(c, type, error)) {
        return CONFIG_FAILED;
    }
    accel = opt_take(l, "accel");
    if (accel != NULL && !keep_engines(c, accel, use->typed, true, error)) {
        return CONFIG_FAILED;
    }
    opt_take_string(l, "dumpdtb", &c->dumpdtb);
    opt_take_string(l, "memory-backend", &c->memory_backend);
    return config_result(opt_take_flag(l, "hpet", &c->hpet, error) &&
                         opt_take_flag(l, "acpi", &c->acpi, error) &&
                         opt_take_flag(l, "graphics", &c->graphics, error) &&
                         opt_take_flag(l, "dump-guest-core", &c->dump_guest_core, error) &&
                         opt_take_flag(l, "halt-poll", &c->halt_poll, error) &&
                         opt_take_flag(l, "huge-pages", &c->huge_pages, error) &&
                         opt_take_only(l, "mem-merge", "off", error) &&
                         opt_take_only(l, "nvdimm", "off", error) &&
                         opt_take_only(l, "usb", "off", error) &&
                         opt_take_only(l, "smm", "off", error) &&
                         take_pc_flags(c, l, error) &&
                         take_microvm_flags(c, l, error) && opt_list_finish(l, error));
}

ConfigResult option_no_hpet(MachineConfig *c, const OptUse *use, GError **error)
{
    c->hpet = false;
    return CONFIG_OK;
}

ConfigResult option_no_acpi(MachineConfig *c, const OptUse *use, GError **error)
{
    c->acpi = false;
    return CONFIG_OK;
}

/* -- CPUs and memory ---------------------------------------------------------------------------------- */

ConfigResult option_cpu(MachineConfig *c, const OptUse *use, GError **error)
{
    if (wants_help(use->arg)) {
        g_autofree char *text = cpu_model_help();
        fputs(text, stdout);
        return CONFIG_DONE;
    }
    g_free(c->cpu);
    c->cpu = g_strdup(use->arg);
    return CONFIG_OK;
}

ConfigResult option_smp(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, "cpus");
    uint64_t cpus = 0, sockets = 0, cores = 0, threads = 0, max = 0;

    if (!opt_take_only(l, "dies", "1", error) || !opt_take_only(l, "clusters", "1", error)) {
        return CONFIG_FAILED;
    }
    if (!opt_take_number(l, "cpus", 1, CONFIG_MAX_CPUS, &cpus, error) ||
        !opt_take_number(l, "sockets", 1, CONFIG_MAX_CPUS, &sockets, error) ||
        !opt_take_number(l, "cores", 1, CONFIG_MAX_CPUS, &cores, error) ||
        !opt_take_number(l, "threads", 1, CONFIG_MAX_CPUS, &threads, error) ||
        !opt_take_number(l, "maxcpus", 1, CONFIG_MAX_CPUS, &max, error) || !opt_list_finish(l, error)) {
        return CONFIG_FAILED;
    }
    if (cpus == 0) {
        cpus = MAX(sockets, 1) * MAX(cores, 1) * MAX(threads, 1);
    }
    if (sockets != 0 && cores != 0 && threads != 0 && sockets * cores * threads != cpus) {
        return config_result(fail(error, "sockets * cores * threads is %u, cpus is %u",
                                  (unsigned)(sockets * cores * threads), (unsigned)cpus));
    }
    if (cpus > CONFIG_MAX_CPUS) {
        return config_result(fail(error, "at most %d CPUs", CONFIG_MAX_CPUS));
    }
    if (max != 0 && max != cpus) {
        return config_result(fail(error, "maxcpus=%u: CPUs cannot be added later", (unsigned)max));
    }
    if (threads > 1) {
        return config_result(fail(error, "threads=%u: only one thread a core is built",
                                  (unsigned)threads));
    }
    c->n_cpus = (unsigned)cpus;
    return CONFIG_OK;
}

#define RAM_MIN (UINT64_C(2) << 20)
#define RAM_MAX (UINT64_C(512) << 30)

ConfigResult option_memory(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, "size");
    uint64_t size = c->ram_size, most = 0;

    if (!opt_take_size(l, "size", UINT64_C(1) << 20, &size, error) ||
        !opt_take_size(l, "maxmem", UINT64_C(1) << 20, &most, error) ||
        !opt_take_only(l, "slots", "0", error) || !opt_list_finish(l, error)) {
        return CONFIG_FAILED;
    }
    if (most != 0 && most != size) {
        return config_result(fail(error, "maxmem= is not size=: memory cannot be added later"));
    }
    if (size < RAM_MIN || size > RAM_MAX) {
        return config_result(fail(error, "memory is from 2M to 512G"));
    }
    c->ram_size = (size + 0xfff) & ~UINT64_C(0xfff);
    return CONFIG_OK;
}

/* -- Boot --------------------------------------------------------------------------------------------- */

static ConfigResult keep_string(char **where, const OptUse *use)
{
    g_free(*where);
    *where = g_strdup(use->arg);
    return CONFIG_OK;
}

ConfigResult option_kernel(MachineConfig *c, const OptUse *use, GError **error)
{
    return keep_string(&c->kernel, use);
}

ConfigResult option_append(MachineConfig *c, const OptUse *use, GError **error)
{
    return keep_string(&c->append, use);
}

ConfigResult option_initrd(MachineConfig *c, const OptUse *use, GError **error)
{
    return keep_string(&c->initrd, use);
}

ConfigResult option_dtb(MachineConfig *c, const OptUse *use, GError **error)
{
    return keep_string(&c->dtb, use);
}

ConfigResult option_bios(MachineConfig *c, const OptUse *use, GError **error)
{
    return keep_string(&c->bios, use);
}

ConfigResult option_firmware_dir(MachineConfig *c, const OptUse *use, GError **error)
{
    g_ptr_array_add(c->firmware_dirs, g_strdup(use->arg));
    return CONFIG_OK;
}

static bool check_boot_order(const char *key, const char *order, GError **error)
{
    for (const char *p = order; p != NULL && *p != '\0'; p++) {
        if (strchr("abcdn", *p) == NULL || strchr(p + 1, *p) != NULL) {
            return fail(error, "%s=%s: letters a, b, c, d, n, each at most once", key, order);
        }
    }
    return true;
}

ConfigResult option_boot(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, "order");

    opt_take_string(l, "order", &c->boot_order);
    opt_take_string(l, "once", &c->boot_once);
    if (opt_list_wants_help(l)) {
        g_clear_pointer(&c->boot_order, g_free);
    }
    return config_result(check_boot_order("order", c->boot_order, error) &&
                         check_boot_order("once", c->boot_once, error) &&
                         opt_take_flag(l, "menu", &c->boot_menu, error) &&
                         opt_take_flag(l, "strict", &c->boot_strict, error) &&
                         opt_take_number(l, "splash-time", 0, 65535, &c->boot_splash_ms, error) &&
                         opt_list_finish(l, error));
}

ConfigResult option_fw_cfg(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, "name");
    FwCfgConfig *f = g_new0(FwCfgConfig, 1);

    f->option = g_strdup(use->typed);
    opt_take_string(l, "name", &f->name);
    opt_take_string(l, "file", &f->file);
    opt_take_string(l, "string", &f->string);
    g_ptr_array_add(c->fw_cfg, f);
    if (!opt_list_finish(l, error)) {
        return CONFIG_FAILED;
    }
    if (f->name == NULL || *f->name == '\0' || strlen(f->name) > 55) {
        return config_result(fail(error, "name= is needed, of at most 55 characters"));
    }
    if ((f->file != NULL) == (f->string != NULL)) {
        return config_result(fail(error, "one of file= and string= is needed"));
    }
    return CONFIG_OK;
}

ConfigResult option_option_rom(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, "romfile");
    const char *file = opt_take(l, "romfile");

    if (!opt_list_finish(l, error)) {
        return CONFIG_FAILED;
    }
    if (file == NULL || *file == '\0') {
        return config_result(fail(error, "a file is needed"));
    }
    g_ptr_array_add(c->option_roms, g_strdup(file));
    return CONFIG_OK;
}

ConfigResult option_smbios(MachineConfig *c, const OptUse *use, GError **error)
{
    g_ptr_array_add(c->smbios, g_strdup(use->arg)); /* read by the table builder */
    return CONFIG_OK;
}

/* -- Names, time ------------------------------------------------------------------------------------------ */

ConfigResult option_name(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, "guest");

    opt_take_string(l, "guest", &c->name);
    opt_take_string(l, "process", &c->process_name);
    return config_result(opt_take_only(l, "debug-threads", "on", error) &&
                         opt_list_finish(l, error));
}

ConfigResult option_uuid(MachineConfig *c, const OptUse *use, GError **error)
{
    if (!g_uuid_string_is_valid(use->arg)) {
        return config_result(fail(error, "not a UUID"));
    }
    return keep_string(&c->uuid, use);
}

ConfigResult option_rtc(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, NULL);
    const char *base = opt_take(l, "base");

    if (base != NULL && strcmp(base, "localtime") == 0) {
        c->rtc_localtime = true;
    } else if (base != NULL && strcmp(base, "utc") != 0) {
        g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
        bool date_only = strchr(base, 'T') == NULL;
        g_autofree char *text = date_only ? g_strconcat(base, "T00:00:00", NULL) : g_strdup(base);
        g_autoptr(GDateTime) t = g_date_time_new_from_iso8601(text, utc);
        if (t == NULL) {
            return config_result(fail(error, "base is utc, localtime or a date such as "
                                      "2006-06-17T16:01:21, not '%s'", base));
        }
        c->rtc_base = g_date_time_to_unix(t);
    }
    return config_result(opt_take_only(l, "clock", "host", error) &&
                         opt_take_only(l, "driftfix", "none", error) &&
                         opt_list_finish(l, error));
}

/* -- Life and death ------------------------------------------------------------------------------------- */

ConfigResult option_stopped(MachineConfig *c, const OptUse *use, GError **error)
{
    c->start_stopped = true;
    return CONFIG_OK;
}

ConfigResult option_incoming(MachineConfig *c, const OptUse *use, GError **error)
{
    if (strcmp(use->arg, "defer") != 0 && !migrate_uri_check(use->arg, error)) {
        return CONFIG_FAILED;
    }
    g_free(c->incoming);
    c->incoming = g_strdup(use->arg);
    return CONFIG_OK;
}

ConfigResult option_only_migratable(MachineConfig *c, const OptUse *use, GError **error)
{
    c->only_migratable = true;
    return CONFIG_OK;
}

ConfigResult option_no_reboot(MachineConfig *c, const OptUse *use, GError **error)
{
    c->on_reboot = ON_REBOOT_SHUTDOWN;
    return CONFIG_OK;
}

ConfigResult option_no_shutdown(MachineConfig *c, const OptUse *use, GError **error)
{
    c->on_shutdown = ON_SHUTDOWN_PAUSE;
    return CONFIG_OK;
}

const char *const config_reboot_actions[] = {"reset", "shutdown", NULL};
const char *const config_shutdown_actions[] = {"poweroff", "pause", NULL};
const char *const config_panic_actions[] = {"shutdown", "pause", "exit-failure", "none", NULL};
const char *const config_watchdog_actions[] = {
    "reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi", NULL,
};

ConfigResult option_action(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, NULL);
    int on_reboot = (int)c->on_reboot, on_shutdown = (int)c->on_shutdown;
    int on_panic = (int)c->on_panic, on_watchdog = (int)c->on_watchdog;

    if (!opt_take_choice(l, "reboot", config_reboot_actions, &on_reboot, error) ||
        !opt_take_choice(l, "shutdown", config_shutdown_actions, &on_shutdown, error) ||
        !opt_take_choice(l, "panic", config_panic_actions, &on_panic, error) ||
        !opt_take_choice(l, "watchdog", config_watchdog_actions, &on_watchdog, error) ||
        !opt_list_finish(l, error)) {
        return CONFIG_FAILED;
    }
    c->on_reboot = (RebootAction)on_reboot;
    c->on_shutdown = (ShutdownAction)on_shutdown;
    c->on_panic = (PanicAction)on_panic;
    c->on_watchdog = (WatchdogAction)on_watchdog;
    return CONFIG_OK;
}

ConfigResult option_watchdog_action(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, "action");
    int action = (int)c->on_watchdog;

    if (!opt_take_choice(l, "action", config_watchdog_actions, &action, error) ||
        !opt_list_finish(l, error)) {
        return CONFIG_FAILED;
    }
    c->on_watchdog = (WatchdogAction)action;
    return CONFIG_OK;
}

ConfigResult option_daemonize(MachineConfig *c, const OptUse *use, GError **error)
{
    c->daemonize = true;
    return CONFIG_OK;
}

ConfigResult option_pidfile(MachineConfig *c, const OptUse *use, GError **error)
{
    return keep_string(&c->pidfile, use);
}

ConfigResult option_run_as(MachineConfig *c, const OptUse *use, GError **error)
{
    return sandbox_check_user(use->arg, error) ? keep_string(&c->run_as, use) : CONFIG_FAILED;
}

/* obsolete=, elevateprivileges=, spawn=, resourcecontrol=: QEMU's names of what may stay allowed. */
ConfigResult option_sandbox(MachineConfig *c, const OptUse *use, GError **error)
{
    static const char *const words[] = {"deny", "allow", NULL};
    static const struct {
        const char *key;
        unsigned flag;
    } classes[] = {
        {"obsolete", SANDBOX_OBSOLETE}, {"elevateprivileges", SANDBOX_PRIVILEGES},
        {"spawn", SANDBOX_SPAWN}, {"resourcecontrol", SANDBOX_RESOURCES},
    };
    g_autoptr(OptList) l = opt_list_parse(use->arg, "enable");
    bool on = false;
    unsigned flags = SANDBOX_ON;

    if (!opt_take_flag(l, "enable", &on, error)) {
        return CONFIG_FAILED;
    }
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        int allow = 0;
        if (!opt_take_choice(l, classes[i].key, words, &allow, error)) {
            return CONFIG_FAILED;
        }
        flags |= allow ? classes[i].flag : 0;
    }
    c->sandbox = on ? flags : 0;
    return config_result(opt_list_finish(l, error));
}

ConfigResult option_msg(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, NULL);

    return config_result(opt_take_flag(l, "timestamp", &c->msg_timestamp, error) &&
                         opt_take_flag(l, "guest-name", &c->msg_guest_name, error) &&
                         opt_list_finish(l, error));
}

ConfigResult option_overcommit(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, NULL);

    return config_result(opt_take_only(l, "mem-lock", "off", error) &&
                         opt_take_only(l, "cpu-pm", "off", error) && opt_list_finish(l, error));
}

/* A silent end for sound devices, of which there are none yet: clients pass one along with everything. */
ConfigResult option_audiodev(MachineConfig *c, const OptUse *use, GError **error)
{
    static const char *const drivers[] = {"none", NULL};
    g_autoptr(OptList) l = opt_list_parse_either(use->arg, "driver", error);
    int driver = -1;

    if (l == NULL || !opt_take_choice(l, "driver", drivers, &driver, error)) {
        return CONFIG_FAILED;
    }
    opt_take(l, "id");
    if (!opt_list_finish(l, error)) {
        return CONFIG_FAILED;
    }
    return config_result((driver == 0 && opt_peek(l, "id") != NULL) || fail(error, "none,id=ID is needed"));
}

/* -net none, -nic none: what is so anyway. */
ConfigResult option_no_network(MachineConfig *c, const OptUse *use, GError **error)
{
    if (wants_help(use->arg)) {
        return config_result(answer_help(error, "none"));
    }
    return config_result(strcmp(use->arg, "none") == 0 ||
                         fail(error, "not supported: networking (only none)"));
}

ConfigResult option_nothing(MachineConfig *c, const OptUse *use, GError **error)
{
    return CONFIG_OK;
}
