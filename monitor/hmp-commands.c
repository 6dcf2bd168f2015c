/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's commands (commands.def).  Those that look at a CPU pause all of them. */
#include "monitor/hmp-internal.h"

#include "hw/ps2-kbd.h"
#include "monitor/back-ends.h"
#include "monitor/config.h"
#include "monitor/cpu-dump.h"
#include "monitor/gdb.h"
#include "monitor/migrate.h"
#include "monitor/opt-list.h"
#include "monitor/qmp-keys.h"
#include "monitor/run-loop.h"
#include "monitor/stats.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <errno.h>
#include <string.h>

CpuState *hmp_cpu_of(const HmpCall *c)
{
    Machine *m = c->machine;

    return *c->current_cpu < m->n_cpus ? m->cpus[*c->current_cpu] : NULL;
}

void hmp_error(HmpCall *c, const char *fmt, ...)
{
    va_list ap;

    g_string_append(c->out, "Error: ");
    va_start(ap, fmt);
    g_string_append_vprintf(c->out, fmt, ap);
    va_end(ap);
    g_string_append_c(c->out, '\n');
}

/* -- The machine's life ----------------------------------------------------------------------------- */

void hmp_stop(HmpCall *c)
{
    machine_set_running(c->machine, false);
}

void hmp_cont(HmpCall *c)
{
    g_autoptr(GError) error = NULL;

    if (machine_needs_reset(c->machine)) {
        hmp_error(c, "Resetting the Virtual Machine is required");
        return;
    }
    if (!migrate_may_run(c->machine, &error)) {
        if (error != NULL) {
            hmp_error(c, "%s", error->message);
        }
        return;
    }
    machine_set_running(c->machine, true);
}

void hmp_quit(HmpCall *c)
{
    machine_quit(c->machine);
}

void hmp_reset(HmpCall *c)
{
    machine_request_reset(c->machine, CAUSE_HOST_RESET);
}

void hmp_powerdown(HmpCall *c)
{
    if (c->machine->cls->powerdown != NULL) {
        machine_powerdown(c->machine);
    } else {
        g_string_append(c->out, "Error: this machine has no power button\n");
    }
}

void hmp_nmi(HmpCall *c)
{
    if (c->machine->cls->nmi != NULL) {
        c->machine->cls->nmi(c->machine);
    } else {
        g_string_append(c->out, "Error: this machine takes no NMI\n");
    }
}

void hmp_gdbserver(HmpCall *c)
{
    g_autoptr(GError) error = NULL;
    const char *where = c->argc > 0 ? c->argv[0] : "tcp::1234";

    if (!gdb_move(c->machine, where, &error)) {
        g_string_append_printf(c->out, "Error: %s\n", error->message);
    } else if (strcmp(where, "none") == 0) {
        g_string_append(c->out, "Disabled gdbserver\n");
    } else {
        g_string_append_printf(c->out, "Waiting for gdb connection on device '%s'\n", where);
    }
}

/* -- Looking at CPUs ---------------------------------------------------------------------------------- */

void hmp_cpu(HmpCall *c)
{
    uint64_t n;

    if (c->argc != 1 || !parse_number(c->argv[0], &n) || n >= c->machine->n_cpus) {
        g_string_append(c->out, "Error: invalid CPU index\n");
        return;
    }
    *c->current_cpu = (unsigned)n;
}

void hmp_info_cpus(HmpCall *c)
{
    Machine *m = c->machine;

    run_loop_pause(m);
    for (unsigned i = 0; i < m->n_cpus; i++) {
        g_string_append_printf(c->out, "%c CPU #%u: thread_id=%d %s pc=0x%016" G_GINT64_MODIFIER
                               "x\n", i == *c->current_cpu ? '*' : ' ', i,
                               run_loop_thread_id(m, i), cpu_activity_name(m->cpus[i]->activity),
                               m->cpus[i]->rip);
    }
    run_loop_resume(m);
}

void hmp_info_registers(HmpCall *c)
{
    Machine *m = c->machine;
    bool all = c->argc > 1 && strcmp(c->argv[1], "-a") == 0;

    run_loop_pause(m);
    for (unsigned i = 0; i < m->n_cpus; i++) {
        if (all || i == *c->current_cpu) {
            cpu_dump_registers(m->cpus[i], c->out);
        }
    }
    run_loop_resume(m);
}

void hmp_info_stats(HmpCall *c)
{
    run_loop_pause(c->machine);
    stats_print(c->machine, c->out);
    run_loop_resume(c->machine);
}

void hmp_info_direct(HmpCall *c)
{
    run_loop_pause(c->machine);
    if (!stats_print_direct(c->machine, c->out)) {
        g_string_append(c->out, "direct execution is off\n");
    }
    run_loop_resume(c->machine);
}

/* -- Logging ------------------------------------------------------------------------------------------ */

void hmp_log(HmpCall *c)
{
    const char *bad;

    if (c->argc != 1) {
        hmp_error(c, "usage: log ITEM,...|none");
    } else if (strcmp(c->argv[0], "none") == 0) {
        memset(log_on, 0, sizeof log_on);
    } else if (!log_enable(c->argv[0], &bad)) {
        hmp_error(c, "no log item is called '%s'", bad);
    }
}

void hmp_logfile(HmpCall *c)
{
    if (c->argc > 1) {
        hmp_error(c, "usage: logfile [FILE]");
    } else if (!log_open(c->argc == 1 ? c->argv[0] : NULL)) {
        hmp_error(c, "%s: %s", c->argv[0], g_strerror(errno));
    }
}

void hmp_watchdog_action(HmpCall *c)
{
    for (int i = 0; c->argc == 1 && config_watchdog_actions[i] != NULL; i++) {
        if (strcmp(config_watchdog_actions[i], c->argv[0]) == 0) {
            c->machine->on.watchdog = i;
            return;
        }
    }
    g_autofree char *all = g_strjoinv("|", (char **)config_watchdog_actions);
    hmp_error(c, "usage: watchdog_action %s", all);
}

void hmp_trace_event(HmpCall *c)
{
    bool on;

    if (c->argc != 2 || !parse_flag(c->argv[1], &on)) {
        hmp_error(c, "usage: trace-event PATTERN on|off");
    } else if (trace_enable(c->argv[0], on) == 0) {
        hmp_error(c, "unknown event name \"%s\"", c->argv[0]);
    }
}

void hmp_complete_argument(const char *command, const char *start, GPtrArray *words)
{
    bool log = strcmp(command, "log") == 0, trace = strcmp(command, "trace-event") == 0;
    bool watchdog = strcmp(command, "watchdog_action") == 0;

    for (int i = 0; log && i < LOG_COUNT; i++) {
        if (g_str_has_prefix(log_item_info[i].name, start)) {
            g_ptr_array_add(words, g_strdup(log_item_info[i].name));
        }
    }
    for (int i = 0; trace && i < TRACE_COUNT; i++) {
        if (g_str_has_prefix(trace_names[i], start)) {
            g_ptr_array_add(words, g_strdup(trace_names[i]));
        }
    }
    for (size_t i = 0; strcmp(command, "accel-set") == 0 && config_engine(i) != NULL; i++) {
        if (g_str_has_prefix(config_engine(i)->name, start)) {
            g_ptr_array_add(words, g_strdup(config_engine(i)->name));
        }
    }
    for (int i = 0; watchdog && config_watchdog_actions[i] != NULL; i++) {
        if (g_str_has_prefix(config_watchdog_actions[i], start)) {
            g_ptr_array_add(words, g_strdup(config_watchdog_actions[i]));
        }
    }
}

/* -- Keys --------------------------------------------------------------------------------------------- */

/* "sendkey ctrl-alt-f1 [HOLD_MS]"; "-" itself is "minus". */
void hmp_sendkey(HmpCall *c)
{
    g_auto(GStrv) names = g_strsplit(c->argc > 0 ? c->argv[0] : "", "-", -1);
    uint8_t keys[QMP_KEYS_AT_ONCE];
    uint64_t hold_ms = QMP_KEYS_HOLD_MS;
    size_t n = 0;

    if (c->argc < 1 || c->argc > 2 ||
        (c->argc == 2 && (!parse_number(c->argv[1], &hold_ms) || hold_ms > 60000))) {
        hmp_error(c, "usage: sendkey KEY[-KEY...] [MILLISECONDS]");
        return;
    }
    if (c->machine->cls->key == NULL) {
        hmp_error(c, "this machine has no keyboard");
        return;
    }
    for (char **name = names; *name != NULL; name++) {
        int key = ps2_key_find(*name);
        if (key < 0 || n == QMP_KEYS_AT_ONCE) {
            hmp_error(c, "invalid parameter: %s", *name);
            return;
        }
        keys[n++] = (uint8_t)key;
    }
    if (c->machine->keys == NULL) {
        c->machine->keys = qmp_keys_new(c->machine);
    }
    if (!qmp_keys_send(c->machine->keys, keys, n, (unsigned)hold_ms)) {
        hmp_error(c, "too many keys are waiting to be pressed");
    }
}

/* -- Information ---------------------------------------------------------------------------------------- */

void hmp_info_status(HmpCall *c)
{
    const Machine *m = c->machine;

    g_string_append_printf(c->out, m->state == RUN_RUNNING || m->state == RUN_PAUSED
                           ? "VM status: %s\n" : "VM status: paused (%s)\n",
                           machine_state_name(m->state));
}

void hmp_info_version(HmpCall *c)
{
    g_string_append(c->out, METAPHRASE_VERSION "\n");
}

void hmp_info_history(HmpCall *c)
{
    for (guint i = 0; c->history != NULL && i < c->history->len; i++) {
        g_string_append_printf(c->out, "%u: '%s'\n", i,
                               (const char *)g_ptr_array_index(c->history, i));
    }
}

void hmp_info_name(HmpCall *c)
{
    if (c->machine->config->name != NULL) {
        g_string_append_printf(c->out, "%s\n", c->machine->config->name);
    }
}

void hmp_info_uuid(HmpCall *c)
{
    g_string_append_printf(c->out, "%s\n", c->machine->config->uuid != NULL
                           ? c->machine->config->uuid : "00000000-0000-0000-0000-000000000000");
}

static void print_range(const PhysRange *r, const char *name, void *arg)
{
    static const char *const kinds[] = {
        [PHYS_NONE] = "none", [PHYS_RAM] = "ram", [PHYS_ROM] = "rom", [PHYS_MMIO] = "i/o",
    };

    if (r->kind != PHYS_NONE) {
        g_string_append_printf(arg, "  %016" G_GINT64_MODIFIER "x-%016" G_GINT64_MODIFIER
                               "x: %-4s %s\n", r->base, r->base + r->len - 1, kinds[r->kind],
                               name);
    }
}

static void print_ports(uint16_t base, unsigned len, const BusOps *ops, const char *name, void *arg)
{
    g_string_append_printf(arg, "  %04x-%04x: %s\n", base, base + len - 1, name);
}

void hmp_info_mtree(HmpCall *c)
{
    g_string_append(c->out, "memory\n");
    if (c->machine->mem != NULL) {
        phys_mem_foreach(c->machine->mem, print_range, c->out);
    }
    g_string_append(c->out, "I/O ports\n");
    port_space_foreach(c->machine->ports, print_ports, c->out);
}

void hmp_info_chardev(HmpCall *c)
{
    for (guint i = 0; i < c->machine->chardevs->len; i++) {
        const BackEndChardev *b = g_ptr_array_index(c->machine->chardevs, i);
        g_string_append_printf(c->out, "%s: filename=%s%s\n", b->config->id, b->chardev->label,
                               b->mux != NULL ? " (shared)" : "");
    }
}

void hmp_info_block(HmpCall *c)
{
    for (guint i = 0; i < c->machine->blocks->len; i++) {
        const BackEndBlock *b = g_ptr_array_index(c->machine->blocks, i);
        if (b->block == NULL) {
            g_string_append_printf(c->out, "%s: [not inserted]\n", b->config->id);
            continue;
        }
        g_string_append_printf(c->out, "%s: %s (raw%s%s), %" G_GUINT64_FORMAT " bytes\n",
                               b->config->id, block_filename(b->block),
                               block_read_only(b->block) ? ", read-only" : "",
                               b->config->snapshot ? ", snapshot" : "", block_size(b->block));
    }
}

void hmp_info_machine(HmpCall *c)
{
    Machine *m = c->machine;

    run_loop_pause(m);
    if (m->cls->info == NULL || !m->cls->info(m, c->argv[0], c->out)) {
        g_string_append_printf(c->out, "Error: this machine has no %s\n", c->argv[0]);
    }
    run_loop_resume(m);
}
