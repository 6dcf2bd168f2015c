/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gdb stub's link (framing, acknowledgement) and session (stop, resume, coming and going). */
#include "monitor/gdb-internal.h"

#include "cpu-x86/cpuid.h"
#include "monitor/back-ends.h"
#include "monitor/config.h"
#include "monitor/migrate.h"
#include "monitor/report.h"
#include "softmmu/base/log.h"

#include <string.h>

enum { SIGNAL_INT = 2, SIGNAL_TRAP = 5 };     /* gdb's numbers */

/* -- Link --------------------------------------------------------------------------------------------- */

/* $...#sum, with what must not appear bare escaped. */
void gdb_send(GdbStub *g, const char *text, size_t len)
{
    uint8_t sum = 0;

    trace(gdb_send, "%.*s", (int)len, text);
    g_string_assign(g->sent, "$");
    for (size_t i = 0; i < len; i++) {
        if (strchr("#$}*", text[i]) != NULL && text[i] != '\0') {
            g_string_append_c(g->sent, '}');
            g_string_append_c(g->sent, text[i] ^ 0x20);
        } else {
            g_string_append_c(g->sent, text[i]);
        }
    }
    for (size_t i = 1; i < g->sent->len; i++) {
        sum = (uint8_t)(sum + (uint8_t)g->sent->str[i]);
    }
    g_string_append_printf(g->sent, "#%02x", sum);
    chardev_write(g->chardev, g->sent->str, g->sent->len);
}

static void take_packet(GdbStub *g)
{
    g_autoptr(GString) reply = g_string_new(NULL);
    const uint8_t nul = 0;

    if (!g->no_ack) {
        chardev_write(g->chardev, g->sum == g->given_sum ? "+" : "-", 1);
        if (g->sum != g->given_sum) {
            return;
        }
    }
    g_byte_array_append(g->packet, &nul, 1);   /* handlers may read it as text */
    g->packet->len--;
    trace(gdb_receive, "%s", (const char *)g->packet->data);
    g->busy = true;
    bool now = gdb_command(g, reply);
    g->busy = false;
    if (now) {
        gdb_send(g, reply->str, reply->len);
    }
    g->no_ack = g->no_ack_next;
}

static void take_idle(GdbStub *g, uint8_t c)
{
    if (g->resumed) {          /* nothing but Ctrl-C has a meaning now */
        if (c == 3) {
            machine_set_running(g->machine, false);
        }
    } else if (c == '$') {
        g_byte_array_set_size(g->packet, 0);
        g->sum = 0;
        g->escaped = false;
        g->state = GDB_PACKET;
    } else if (c == '-' && g->sent->len > 0) {
        chardev_write(g->chardev, g->sent->str, g->sent->len);
    }
}

static void take_byte(GdbStub *g, uint8_t c)
{
    switch (g->state) {
    case GDB_IDLE:
        take_idle(g, c);
        break;
    case GDB_PACKET:
        if (c == '#') {
            g->state = GDB_SUM1;
            break;
        }
        if (c == '$') {        /* a new one: the last broke off */
            g->state = GDB_IDLE;
            take_idle(g, c);
            break;
        }
        g->sum = (uint8_t)(g->sum + c);
        if (c == '}' && !g->escaped) {
            g->escaped = true;
            break;
        }
        c ^= g->escaped ? 0x20 : 0;
        g->escaped = false;
        if (g->packet->len < GDB_PACKET_MAX) {
            g_byte_array_append(g->packet, &c, 1);
        } else {
            g->sum++;          /* too long: never right */
        }
        break;
    case GDB_SUM1:
        g->given_sum = (uint8_t)((unsigned)g_ascii_xdigit_value((char)c) << 4);
        g->state = GDB_SUM2;
        break;
    case GDB_SUM2:
        g->given_sum |= (uint8_t)(g_ascii_xdigit_value((char)c) & 15);
        g->state = GDB_IDLE;
        take_packet(g);
        break;
    }
}

static size_t can_read(void *arg)
{
    return GDB_PACKET_MAX;
}

static void read_bytes(void *arg, const uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        take_byte(arg, buf[i]);
    }
}

/* -- Stop and resume ---------------------------------------------------------------------------------- */

void gdb_append_stop(GdbStub *g, GString *out, unsigned signal)
{
    unsigned cpu = g->stop.valid ? g->stop.cpu : g->cpu;

    g_string_append_printf(out, "T%02xthread:", g->stop.valid ? SIGNAL_TRAP : signal);
    gdb_append_thread(g, out, cpu);
    g_string_append_c(out, ';');
    if (!g->stop.valid) {
        return;
    }
    if (g->stop.why == GDB_STOP_WATCH) {
        static const char *const names[] = {
            [GDB_WATCH_WRITE] = "watch", [GDB_WATCH_READ] = "rwatch", [GDB_WATCH_ACCESS] = "awatch",
        };
        g_string_append_printf(out, "%s:%" G_GINT64_MODIFIER "x;", names[g->stop.at.kind],
                               g->stop.at.addr);
    } else if (g->stop.why == GDB_STOP_BREAKPOINT && g->stop.at.kind == GDB_BREAK_SOFT) {
        g_string_append(out, g->knows_swbreak ? "swbreak:;" : "");
    } else if (g->stop.why == GDB_STOP_BREAKPOINT) {
        g_string_append(out, g->knows_hwbreak ? "hwbreak:;" : "");
    }
}

static void note_stop(GdbStub *g, CpuState *cpu, GdbStop why)
{
    GdbCpu *c = &g->cpus[cpu->index];
    const GdbBreak *b = NULL;

    if (why == GDB_STOP_WATCH) {
        gdb_break_take_hit(g, cpu);
        b = c->has_hit ? &c->hit : NULL;
    } else if (why == GDB_STOP_BREAKPOINT) {
        b = gdb_break_at(g, cpu);
    }
    if (g->stop.valid || (why == GDB_STOP_WATCH && b == NULL)) {
        return;
    }
    g->stop.valid = true;
    g->stop.cpu = cpu->index;
    g->stop.why = why;
    g->stop.at = b != NULL ? *b : (GdbBreak){0};
    c->has_hit = false;
}

/* Only the first of several stops is reported.  The others keep: a CPU at a breakpoint meets it again,
 * a watchpoint's hit waits for gdb_resume(). */
void gdb_cpu_stopped(Machine *m, CpuState *cpu, GdbStop why)
{
    lock_take(&m->lock);
    if (m->gdb != NULL) {
        note_stop(m->gdb, cpu, why);
        machine_request_stop(m, RUN_DEBUG);
    } else {
        cpu->watch_hit = NULL;
    }
    lock_release(&m->lock);
}

/* A hit from before, of a CPU that is to run, whose watchpoint is still wanted. */
static bool has_earlier_stop(GdbStub *g, unsigned cpu)
{
    GdbCpu *c = &g->cpus[cpu];

    if (!c->has_hit) {
        return false;
    }
    c->has_hit = false;
    if (!gdb_break_exists(g, &c->hit)) {
        return false;
    }
    g->stop.valid = true;
    g->stop.cpu = cpu;
    g->stop.why = GDB_STOP_WATCH;
    g->stop.at = c->hit;
    return true;
}

static void run_freely(GdbStub *g)
{
    for (unsigned i = 0; i < g->machine->n_cpus; i++) {
        run_loop_set_mode(g->machine, i, GO_FREELY);
    }
    g->machine->time_stands = false;
    gdb_break_arm(g, NULL);
}

static void report_stop(GdbStub *g)
{
    g_autoptr(GString) reply = g_string_new(NULL);

    g->resumed = false;
    run_freely(g);
    if (g->stop.valid) {
        g->cpu = g->stop.cpu;
    }
    gdb_append_stop(g, reply, SIGNAL_INT);
    gdb_send(g, reply->str, reply->len);
}

void gdb_machine_stopped(Machine *m)
{
    if (m->gdb != NULL && m->gdb->resumed) {
        report_stop(m->gdb);
    }
}

void gdb_resume(GdbStub *g, const GoMode *modes)
{
    Machine *m = g->machine;
    bool steps_only = true;

    g->stop.valid = false;
    g->resumed = true;
    if (machine_needs_reset(m)) {
        report_stop(g);        /* it is off */
        return;
    }
    for (unsigned i = 0; i < m->n_cpus; i++) {
        if (modes[i] != GO_NOT && has_earlier_stop(g, i)) {
            report_stop(g);
            return;
        }
        steps_only = steps_only && modes[i] != GO_FREELY;
    }
    for (unsigned i = 0; i < m->n_cpus; i++) {
        run_loop_set_mode(m, i, modes[i]);
    }
    gdb_break_arm(g, modes);
    m->time_stands = steps_only && (g->step_flags & GDB_STEP_STOPS_TIME) != 0;
    if (migrate_may_run(m, NULL)) {
        machine_set_running(m, true);
    }
}

/* -- Coming and going --------------------------------------------------------------------------------- */

/* The view for a 32-bit CPU, and for a 64-bit one on which a 32-bit system runs. */
static bool wants_64(const CpuState *cpu)
{
    return cpu_model_has(cpu->model, FEAT_LM) &&
           ((cpu->cr0 & CR0_PG) == 0 || (cpu->efer & EFER_LMA) != 0);
}

static void attach(GdbStub *g)
{
    Machine *m = g->machine;

    machine_set_running(m, false);
    g->state = GDB_IDLE;
    g->no_ack = g->no_ack_next = false;
    g->attached = true;
    g->resumed = false;
    g->multiprocess = g->knows_swbreak = g->knows_hwbreak = g->physical = false;
    g->step_flags = 1 | GDB_STEP_MASKS_IRQS | GDB_STEP_STOPS_TIME;
    g->cpu = g->next_thread = 0;
    g->resume_cpu = GDB_ALL;
    g->stop.valid = false;
    g_string_truncate(g->sent, 0);
    gdb_regs_free(g->regs);
    g->regs = gdb_regs_new(m->cpus[0], wants_64(m->cpus[0]));
    run_freely(g);
}

/* A gdb that vanished leaves the machine as it is, but no breakpoint for nobody to see. */
static void leave(GdbStub *g)
{
    Machine *m = g->machine;

    g->attached = g->resumed = false;
    run_loop_pause(m);
    gdb_break_remove_all(g);
    run_freely(g);
    run_loop_resume(m);
}

static void on_event(void *arg, CharEvent e)
{
    GdbStub *g = arg;

    if (e == CHAR_OPENED) {
        attach(g);
    } else if (e == CHAR_CLOSED && g->attached) {
        leave(g);
    }
}

bool gdb_is_attached(const Machine *m)
{
    return m->gdb != NULL && m->gdb->attached;
}

void gdb_machine_exits(Machine *m, int status)
{
    GdbStub *g = m->gdb;

    if (g != NULL && g->attached) {
        g_autofree char *text = g_strdup_printf("W%02x", status & 0xff);
        gdb_send(g, text, strlen(text));
        g->resumed = false;
    }
}

/* -- Life --------------------------------------------------------------------------------------------- */

static void serve_on(Machine *m, Chardev *chardev, bool drops)
{
    GdbStub *g = g_new0(GdbStub, 1);

    g->machine = m;
    g->chardev = chardev;
    g->drops_chardev = drops;
    g->packet = g_byte_array_new();
    g->sent = g_string_new(NULL);
    g->breaks = g_array_new(FALSE, FALSE, sizeof(GdbBreak));
    g->watches = g_array_new(FALSE, FALSE, sizeof(DebugWatch));
    g->cpus = g_new0(GdbCpu, m->n_cpus);
    for (unsigned i = 0; i < m->n_cpus; i++) {
        g->cpus[i] = (GdbCpu){.stub = g, .cpu = m->cpus[i]};
    }
    m->gdb = g;
    chardev_attach(chardev, &(CharHandlers){g, can_read, read_bytes, on_event});
}

static bool has_cpu(const Machine *m, GError **error)
{
    return m->n_cpus > 0 || fail(error, "machine %s has no CPU to debug", m->cls->name);
}

bool gdb_open(Machine *m, GError **error)
{
    for (guint i = 0; i < m->config->gdbs->len; i++) {
        const LineConfig *line = g_ptr_array_index(m->config->gdbs, i);
        Chardev *chardev;

        if (!machine_line(m, line, &chardev, error)) {
            return false;
        }
        if (chardev == NULL) {
            continue;
        }
        if (!has_cpu(m, error)) {
            g_prefix_error(error, "%s: ", line->option);
            return false;
        }
        serve_on(m, chardev, strcmp(line->chardev, GDB_CHARDEV) == 0);
    }
    return true;
}

void gdb_free(GdbStub *g)
{
    if (g == NULL) {
        return;
    }
    if (g->attached) {
        leave(g);
    }
    for (unsigned i = 0; i < g->machine->n_cpus; i++) {
        g->machine->cpus[i]->breakpoint_at = NULL;
        g->machine->cpus[i]->breakpoints = NULL;
        g->machine->cpus[i]->n_watch = 0;
    }
    g->machine->gdb = NULL;
    chardev_attach(g->chardev, NULL);
    back_end_give_back_chardev(g->machine, g->chardev, g->drops_chardev);
    gdb_regs_free(g->regs);
    g_byte_array_free(g->packet, TRUE);
    g_string_free(g->sent, TRUE);
    g_array_free(g->breaks, TRUE);
    g_array_free(g->watches, TRUE);
    g_free(g->cpus);
    g_free(g);
}

bool gdb_move(Machine *m, const char *where, GError **error)
{
    g_autofree char *line = config_gdb_line(where);
    Chardev *chardev = NULL;
    bool shared = g_str_has_prefix(line, "chardev:");

    if (m->gdb != NULL && m->gdb->busy) {
        return fail(error, "gdb cannot move its own connection");
    }
    if (!has_cpu(m, error)) {
        return false;
    }
    gdb_free(m->gdb);
    if (strcmp(where, "none") == 0) {
        return true;
    }
    if (shared) {
        chardev = back_end_take_chardev(m, line + strlen("chardev:"), error);
    } else {
        ChardevConfig *c = config_describe_chardev("gdbserver", GDB_CHARDEV, line, error);
        if (c != NULL && back_end_add_chardev(m, c, error)) {
            chardev = back_end_take_chardev(m, GDB_CHARDEV, error);
        }
    }
    if (chardev != NULL) {
        serve_on(m, chardev, !shared);
    }
    return chardev != NULL;
}
