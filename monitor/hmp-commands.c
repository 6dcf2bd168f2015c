/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's commands (commands.def).  Those that look at a CPU pause all of them. */
#include "monitor/hmp-internal.h"

#include "cpu-x86/walk.h"
#include "monitor/back-ends.h"
#include "monitor/config.h"
#include "monitor/cpu-dump.h"
#include "monitor/gdb.h"
#include "monitor/opt-list.h"
#include "monitor/run-loop.h"
#include "monitor/stats.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <string.h>

static CpuState *the_cpu(HmpCall *c)
{
    Machine *m = c->machine;

    return *c->current_cpu < m->n_cpus ? m->cpus[*c->current_cpu] : NULL;
}

/* -- The machine's life ----------------------------------------------------------------------------- */

void hmp_stop(HmpCall *c)
{
    machine_set_running(c->machine, false);
}

void hmp_cont(HmpCall *c)
{
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
        g_string_append_printf(c->out, "%c CPU #%u: %s pc=0x%016" G_GINT64_MODIFIER "x\n",
                               i == *c->current_cpu ? '*' : ' ', i,
                               cpu_activity_name(m->cpus[i]->activity), m->cpus[i]->rip);
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

/* -- Memory ------------------------------------------------------------------------------------------- */

typedef struct {
    unsigned count, size;
    char format;
} DumpFormat;

/* "/4xg" */
static bool parse_format(const char *text, DumpFormat *f)
{
    *f = (DumpFormat){1, 4, 'x'};
    if (text == NULL) {
        return true;
    }
    text++;
    if (g_ascii_isdigit(*text)) {
        char *end;
        f->count = (unsigned)MIN(g_ascii_strtoull(text, &end, 10), 4096);
        text = end;
    }
    for (; *text != '\0'; text++) {
        switch (*text) {
        case 'b': f->size = 1; break;
        case 'h': f->size = 2; break;
        case 'w': f->size = 4; break;
        case 'g': f->size = 8; break;
        case 'x': case 'd': case 'u': case 'o': case 'c': f->format = *text; break;
        default: return false;
        }
    }
    return true;
}

static void append_value(GString *out, const DumpFormat *f, uint64_t v)
{
    int digits = (int)f->size * 2;

    switch (f->format) {
    case 'd':
        g_string_append_printf(out, " %" G_GINT64_FORMAT, sign_extend(v, f->size));
        break;
    case 'u':
        g_string_append_printf(out, " %" G_GUINT64_FORMAT, v);
        break;
    case 'o':
        g_string_append_printf(out, " 0%" G_GINT64_MODIFIER "o", v);
        break;
    case 'c':
        g_string_append_printf(out, " '%c'", g_ascii_isprint((char)v) ? (char)v : '.');
        break;
    default:
        g_string_append_printf(out, " 0x%0*" G_GINT64_MODIFIER "x", digits, v);
        break;
    }
}

/* A number or $register; expressions are the future's. */
static bool parse_value(HmpCall *c, const char *text, uint64_t *v)
{
    CpuState *cpu = the_cpu(c);

    if (*text == '$') {
        return cpu != NULL && cpu_register_by_name(cpu, text + 1, v);
    }
    return parse_number(text, v);
}

static void dump_memory(HmpCall *c, bool physical)
{
    bool has_format = c->argc > 0 && c->argv[0][0] == '/';
    Machine *m = c->machine;
    DumpFormat f;
    uint64_t addr;

    if (c->argc != 1 + has_format || !parse_format(has_format ? c->argv[0] : NULL, &f) ||
        !parse_value(c, c->argv[has_format], &addr) || (!physical && the_cpu(c) == NULL) ||
        m->mem == NULL) {
        g_string_append(c->out, "Error: usage: x[/COUNT FORMAT SIZE] ADDRESS\n");
        return;
    }
    run_loop_pause(m);
    for (unsigned i = 0; i < f.count; i++, addr += f.size) {
        uint8_t buf[8] = {0};
        if (i % (16 / f.size) == 0) {
            g_string_append_printf(c->out, "%s%016" G_GINT64_MODIFIER "x:", i > 0 ? "\n" : "",
                                   addr);
        }
        bool ok = physical ? phys_copy_from(m->mem, buf, guest_phys(addr), f.size)
                           : cpu_debug_read(the_cpu(c), guest_lin(addr), buf, f.size);
        if (!ok) {
            g_string_append(c->out, " cannot access memory");
            break;
        }
        append_value(c->out, &f, load_le(buf, f.size));
    }
    g_string_append_c(c->out, '\n');
    run_loop_resume(m);
}

void hmp_x(HmpCall *c)
{
    dump_memory(c, false);
}

void hmp_xp(HmpCall *c)
{
    dump_memory(c, true);
}

void hmp_print(HmpCall *c)
{
    bool has_format = c->argc > 0 && c->argv[0][0] == '/';
    DumpFormat f;
    uint64_t v = 0;
    bool ok;

    run_loop_pause(c->machine);
    ok = c->argc == 1 + has_format && parse_format(has_format ? c->argv[0] : NULL, &f) &&
         parse_value(c, c->argv[has_format], &v);
    run_loop_resume(c->machine);
    if (!ok) {
        g_string_append(c->out, "Error: usage: print[/FORMAT] NUMBER or $REGISTER\n");
        return;
    }
    f.size = has_format && f.size != 4 ? f.size : 8;
    append_value(c->out, &f, v);
    g_string_append_c(c->out, '\n');
}

void hmp_log(HmpCall *c)
{
    const char *bad;

    if (c->argc != 1) {
        g_string_append(c->out, "Error: usage: log ITEM,...|none\n");
    } else if (strcmp(c->argv[0], "none") == 0) {
        memset(log_on, 0, sizeof log_on);
    } else if (!log_enable(c->argv[0], &bad)) {
        g_string_append_printf(c->out, "Error: no log item is called '%s'\n", bad);
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

static void print_ports(uint16_t base, unsigned len, const char *name, void *arg)
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
