/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the command line asks for, parsed and checked as far as that is possible without touching
 * anything: no file is opened (but -readconfig's), no socket made.  options.def is the list of options; each row's
 * handler (option-*.c) fills in a part of this.  machine_new() builds from it and never changes it.
 *
 * Strings and lists are owned; NULL means "not given".
 */
#ifndef MONITOR_CONFIG_H
#define MONITOR_CONFIG_H

#include "cpu-x86/engine.h"
#include "hw/block.h"
#include "hwaccel/engine.h"
#include "monitor/opt-list.h"
#include "translator/config.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum { MACHINE_PC, MACHINE_MICROVM, MACHINE_NONE } MachineKind;

typedef enum { IF_NONE, IF_IDE, IF_VIRTIO, IF_FLOPPY, IF_COUNT } DriveInterface;

typedef struct {
    char *option;              /* as typed, for messages: "-drive file=x"    */
    char *id;                  /* never NULL (made up when not given)        */
    char *file;                /* NULL: an empty removable drive             */
    char *format, *serial;
    DriveInterface interface;
    unsigned index;            /* among the drives of its interface          */
    bool cdrom, read_only, snapshot;
    bool no_lock, no_discard;
    bool is_node;              /* of -blockdev: has a node's name, no drive's */
    int cache;                 /* of BlockOptions                            */
} DriveConfig;

/* -blockdev: a node of a graph.  config_check_drives() makes a DriveConfig of each that no other one
 * stands on. */
typedef struct {
    char *option, *name;
    char *filename;            /* of a file node, NULL: another kind         */
    char *child;               /* name of the node below                     */
    bool read_only, direct, no_flush, no_lock, no_discard;
    bool used;                 /* another node stands on it                  */
} NodeConfig;

typedef struct {
    char *option, *id;
    char *driver;
    OptList *props;            /* without driver and id; taken at machine_new() */
} DeviceConfig;

typedef enum {
    CHAR_NULL, CHAR_STDIO, CHAR_FILE, CHAR_PIPE, CHAR_PTY, CHAR_SOCKET, CHAR_RINGBUF,
} ChardevKind;

typedef struct {
    char *option, *id;
    ChardevKind kind;
    char *path;                /* file, pipe, unix socket                    */
    char *host, *port;         /* TCP socket                                 */
    int fd;                    /* a socket that the parent made; -1: none    */
    bool server, wait, mux, append, nodelay, telnet;
    bool signals;              /* stdio: Ctrl-C is the terminal's, not the guest's */
    uint64_t size;             /* ringbuf                                    */
} ChardevConfig;

/* What stands at the end of a serial line, monitor or debug port. */
typedef struct LineConfig {
    char *option;
    char *chardev;             /* id, or NULL: nothing there ("none")        */
    bool pretty;               /* of QMP: indented output                    */
} LineConfig;

typedef struct {
    char *option, *name, *file, *string;
} FwCfgConfig;

typedef enum { ON_PANIC_SHUTDOWN, ON_PANIC_PAUSE, ON_PANIC_EXIT_FAILURE, ON_PANIC_NONE } PanicAction;
typedef enum {
    ON_WATCHDOG_RESET, ON_WATCHDOG_SHUTDOWN, ON_WATCHDOG_POWEROFF, ON_WATCHDOG_PAUSE, ON_WATCHDOG_DEBUG,
    ON_WATCHDOG_NONE, ON_WATCHDOG_INJECT_NMI,
} WatchdogAction;
typedef enum { ON_REBOOT_RESET, ON_REBOOT_SHUTDOWN } RebootAction;
typedef enum { ON_SHUTDOWN_POWEROFF, ON_SHUTDOWN_PAUSE } ShutdownAction;

typedef struct MachineConfig {
    /* machine */
    MachineKind machine;
    const EngineClass *engine; /* the first of `engines` that can run here   */
    char *engines;             /* "kvm:tcg"; NULL: auto                      */
    char *engines_typed;       /* the option they are from                   */
    bool engines_by_machine;
    TransConfig translate;     /* of -accel translate                        */
    KvmConfig kvm;             /* of -accel kvm                              */
    char *cpu;                 /* -cpu as typed; NULL: max                   */
    unsigned n_cpus;
    uint64_t ram_size;         /* bytes                                      */
    bool hpet, acpi, graphics;
    bool icount;               /* time counts instructions, of 2^icount_shift ns each */
    unsigned icount_shift;
    uint64_t trail_every;      /* ... instructions between steps of the trail; 0: behind each block */
    char *trail, *follow;      /* ... file of a trail to write, to compare with; or NULL */
    bool halt_poll;            /* watch for the ends of halts before sleeping */
    bool huge_pages;           /* of the host, for guest memory and its translation */
    bool vmi, vmport;                                  /* pc                 */
    bool pit, pic, rtc, isa_serial, cmdline_devices;   /* microvm            */
    char *dumpdtb;
    char *memory_backend;      /* id of a -object                            */
    bool dump_guest_core;
    char *name, *process_name, *uuid;

    /* boot */
    char *kernel, *initrd, *append, *dtb, *bios;
    GPtrArray *firmware_dirs;  /* -L, char*                                  */
    char *boot_order, *boot_once;
    bool boot_menu, boot_strict;
    GPtrArray *option_roms;    /* char*, as typed                            */
    uint64_t boot_splash_ms;

    /* devices: DriveConfig*, DeviceConfig*, DeviceConfig* (-object), ChardevConfig*, FwCfgConfig*,
     * char* (-smbios as typed) */
    GPtrArray *nodes;          /* NodeConfig*                                */
    GPtrArray *drives, *devices, *objects, *chardevs, *fw_cfg, *smbios;
    GPtrArray *globals;        /* char* "driver.property=value"              */
    GPtrArray *serials, *monitors;                     /* LineConfig*        */
    GPtrArray *debugcons, *gdbs;                       /* LineConfig*        */
    GPtrArray *qmps;                                   /* LineConfig*        */
    bool vga, nodefaults, nographic, snapshot, display_given;
    bool rtc_localtime;
    int64_t rtc_base;          /* seconds since 1970, or -1: the host's time */

    /* running */
    RebootAction on_reboot;
    ShutdownAction on_shutdown;
    PanicAction on_panic;
    WatchdogAction on_watchdog;
    char *run_as;              /* USER or UID:GID                            */
    unsigned sandbox;          /* SandboxFlags (monitor/sandbox.h); 0: off   */
    bool msg_timestamp, msg_guest_name;
    uint8_t escape;            /* of shared terminals: 1 is Ctrl-A           */
    bool start_stopped, daemonize;
    char *incoming;            /* URI or "defer"; NULL: starts anew          */
    bool only_migratable;
    char *pidfile, *log_items, *log_file;
    GPtrArray *traces, *stress;                        /* char*              */
} MachineConfig;

typedef enum {
    CONFIG_OK,
    CONFIG_DONE,               /* -help and the like: printed, exit 0        */
    CONFIG_FAILED,             /* exit 1, `error` says why                   */
} ConfigResult;

/* Parse a command line.  The result must be freed in every case. */
ConfigResult config_parse(MachineConfig *c, int argc, char **argv, GError **error);
void config_clear(MachineConfig *c);

enum { CONFIG_MAX_CPUS = 255 };       /* 8-bit APIC ids; 255 is broadcast */

/* The machine types, in order; NULL after the last. */
typedef struct {
    const char *name, *alias;  /* alias may be NULL                          */
    const char *help;
    MachineKind kind;
    const char *ram_id;        /* how QEMU calls the memory                  */
    const char *props;         /* of -machine: "name:type ..."               */
} ConfigMachine;
const ConfigMachine *config_machine(size_t i);
const ConfigMachine *config_machine_of(const MachineConfig *c);

/* The options, in order: name and form of the argument (NULL: none); false after the last. */
bool config_option(size_t i, const char **name, const char **form);
/* All rows, as the manual shows them: a heading has no name, a refused option no handler. */
typedef struct {
    const char *name, *form, *help;
    bool refused;
} ConfigOption;
bool config_option_row(size_t i, ConfigOption *row);

/* The kinds of chardevs and types of objects, in order; NULL after the last. */
const char *config_chardev_kind(size_t i);
const char *config_object_type(size_t i, const char **help);

/* The engines -accel knows, in order; NULL after the last. */
typedef struct {
    const char *name, *help;
    const EngineClass *engine; /* NULL: not in this build */
} ConfigEngine;
const ConfigEngine *config_engine(size_t i);

/* What a line's short form ("tcp::4444,server=on") describes, with the id `label`; NULL with
 * `error`.  Free with chardev_config_free(). */
ChardevConfig *config_describe_chardev(const char *typed, const char *label, const char *text,
                                       GError **error);
void chardev_config_free(ChardevConfig *d);
#define GDB_CHARDEV "gdb"      /* id of the chardev that -gdb and gdbserver make */
/* -gdb's and gdbserver's short form made explicit: a server that does not wait.  Free the result. */
char *config_gdb_line(const char *text);

/* The names that -action and set-action take; NULL-terminated, in the order of the enums. */
extern const char *const config_panic_actions[], *const config_watchdog_actions[],
    *const config_reboot_actions[], *const config_shutdown_actions[];

/* Guest memory is to be in core dumps of this program (-machine dump-guest-core, a backend's dump). */
bool config_dump_memory(const MachineConfig *c);

/* The object of that id, or NULL. */
const DeviceConfig *config_object(const MachineConfig *c, const char *id);
const DriveConfig *config_drive(const MachineConfig *c, const char *id);
const ChardevConfig *config_chardev(const MachineConfig *c, const char *id);

#endif /* MONITOR_CONFIG_H */
