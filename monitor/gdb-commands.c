/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gdb's packets (gdb manual, appendix E): a row each in `commands`, found by prefix.  A packet that no
 * row knows is answered by an empty one, which is the protocol's "not supported".
 */
#include "monitor/gdb-internal.h"

#include "cpu-x86/walk.h"
#include "monitor/hmp.h"
#include "monitor/migrate.h"
#include "monitor/report.h"
#include "softmmu/base/bits.h"

#include <string.h>

/* A packet behind its command word. */
typedef struct {
    GdbStub *g;
    const char *p, *end;       /* *end is '\0' */
    GString *reply;
} Packet;

#define ERROR_VALUE "E22"      /* errno numbers, of no meaning to gdb */
#define ERROR_MEMORY "E14"

/* -- Pieces of packets -------------------------------------------------------------------------------- */

static CpuState *cpu_of(const GdbStub *g)
{
    return g->machine->cpus[g->cpu];
}

static bool take_char(Packet *k, char c)
{
    bool there = *k->p == c;

    k->p += there;
    return there;
}

static bool take_hex(Packet *k, uint64_t *v)
{
    const char *start = k->p;

    *v = 0;
    while (g_ascii_isxdigit(*k->p)) {
        if (*v >> 60 != 0) {
            return false;
        }
        *v = *v << 4 | (uint64_t)g_ascii_xdigit_value(*k->p++);
    }
    return k->p != start;
}

/* "ADDR,LEN" */
static bool take_range(Packet *k, uint64_t *addr, uint64_t *len)
{
    return take_hex(k, addr) && take_char(k, ',') && take_hex(k, len);
}

static bool take_bytes(Packet *k, uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++, k->p += 2) {
        if (!g_ascii_isxdigit(k->p[0]) || !g_ascii_isxdigit(k->p[1])) {
            return false;
        }
        buf[i] = (uint8_t)(g_ascii_xdigit_value(k->p[0]) << 4 | g_ascii_xdigit_value(k->p[1]));
    }
    return true;
}

static void append_bytes(GString *out, const void *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        g_string_append_printf(out, "%02x", ((const uint8_t *)buf)[i]);
    }
}

static void say(Packet *k, const char *text)
{
    g_string_append(k->reply, text);
}

/* -- Threads ------------------------------------------------------------------------------------------ */

/* Thread n + 1 of process 1 is CPU n. */
void gdb_append_thread(const GdbStub *g, GString *out, unsigned cpu)
{
    g_string_append_printf(out, g->multiprocess ? "p01.%02x" : "%02x", cpu + 1);
}

/* One number of a thread id: "-1" is GDB_ALL. */
static bool take_id(Packet *k, uint64_t *id)
{
    if (g_str_has_prefix(k->p, "-1")) {
        k->p += 2;
        *id = GDB_ALL;
        return true;
    }
    return take_hex(k, id);
}

/* "pPID.TID", "pPID" or "TID": *cpu is its number, or GDB_ALL ("any" counts as that, too). */
static bool take_thread(Packet *k, unsigned *cpu)
{
    uint64_t pid = 1, tid = GDB_ALL;

    if (take_char(k, 'p')) {
        if (!take_id(k, &pid) || (take_char(k, '.') && !take_id(k, &tid))) {
            return false;
        }
    } else if (!take_id(k, &tid)) {
        return false;
    }
    if (tid == 0) {
        tid = GDB_ALL;
    }
    if ((pid > 1 && pid != GDB_ALL) || (tid != GDB_ALL && tid > k->g->machine->n_cpus)) {
        return false;
    }
    *cpu = tid == GDB_ALL ? GDB_ALL : (unsigned)tid - 1;
    return true;
}

static bool set_thread(Packet *k)
{
    char what = *k->p++;
    unsigned cpu;

    if ((what != 'g' && what != 'c') || !take_thread(k, &cpu)) {
        say(k, ERROR_VALUE);
        return true;
    }
    if (what == 'c') {
        k->g->resume_cpu = cpu;
    } else if (cpu != GDB_ALL) {
        k->g->cpu = cpu;
    }
    say(k, "OK");
    return true;
}

static bool thread_alive(Packet *k)
{
    unsigned cpu;

    say(k, take_thread(k, &cpu) ? "OK" : ERROR_VALUE);
    return true;
}

static bool next_thread(Packet *k)
{
    if (k->g->next_thread < k->g->machine->n_cpus) {
        say(k, "m");
        gdb_append_thread(k->g, k->reply, k->g->next_thread++);
    } else {
        say(k, "l");
    }
    return true;
}

static bool first_thread(Packet *k)
{
    k->g->next_thread = 0;
    return next_thread(k);
}

static bool thread_info(Packet *k)
{
    unsigned cpu;

    if (!take_thread(k, &cpu) || cpu == GDB_ALL) {
        say(k, ERROR_VALUE);
        return true;
    }
    bool runs = k->g->machine->cpus[cpu]->activity == CPU_RUNNING;
    g_autofree char *text = g_strdup_printf("CPU#%u [%s]", cpu, runs ? "running" : "halted ");
    append_bytes(k->reply, text, strlen(text));
    return true;
}

static bool current_thread(Packet *k)
{
    say(k, "QC");
    gdb_append_thread(k->g, k->reply, k->g->cpu);
    return true;
}

/* -- Registers ---------------------------------------------------------------------------------------- */

static bool read_registers(Packet *k)
{
    uint8_t buf[GDB_REG_MAX_LEN];

    for (unsigned n = 0; n < gdb_regs_count(k->g->regs); n++) {
        append_bytes(k->reply, buf, gdb_regs_read(k->g->regs, cpu_of(k->g), n, buf));
    }
    return true;
}

/* What the CPU could not have is left as it is: gdb also writes back what it did not change. */
static bool write_registers(Packet *k)
{
    uint8_t buf[GDB_REG_MAX_LEN];

    for (unsigned n = 0; n < gdb_regs_count(k->g->regs); n++) {
        if (!take_bytes(k, buf, gdb_regs_len(k->g->regs, n))) {
            break;
        }
        gdb_regs_write(k->g->regs, cpu_of(k->g), n, buf);
    }
    say(k, "OK");
    return true;
}

static bool read_register(Packet *k)
{
    uint8_t buf[GDB_REG_MAX_LEN];
    uint64_t n;

    if (take_hex(k, &n) && n < gdb_regs_count(k->g->regs)) {
        append_bytes(k->reply, buf,
                     gdb_regs_read(k->g->regs, cpu_of(k->g), (unsigned)n, buf));
    } else {
        say(k, ERROR_VALUE);
    }
    return true;
}

static bool write_register(Packet *k)
{
    uint8_t buf[GDB_REG_MAX_LEN];
    uint64_t n;
    bool ok = take_hex(k, &n) && take_char(k, '=') && n < gdb_regs_count(k->g->regs) &&
              take_bytes(k, buf, gdb_regs_len(k->g->regs, (unsigned)n)) &&
              gdb_regs_write(k->g->regs, cpu_of(k->g), (unsigned)n, buf);

    say(k, ok ? "OK" : ERROR_VALUE);
    return true;
}

/* -- Memory ------------------------------------------------------------------------------------------- */

static bool is_canonical(const CpuState *cpu, uint64_t addr)
{
    unsigned unused = (cpu->cr4 & CR4_LA57) != 0 ? 7 : 16;

    return (int64_t)(addr << unused) >> unused == (int64_t)addr;
}

static bool copy_memory(GdbStub *g, uint64_t addr, uint8_t *buf, size_t len, bool write)
{
    CpuState *cpu = cpu_of(g);
    PhysMem *mem = g->machine->mem;

    if (g->physical) {
        return write ? phys_load(mem, guest_phys(addr), buf, len)
                     : phys_copy_from(mem, buf, guest_phys(addr), len);
    }
    if ((cpu->mode & MODE_LMA) == 0) {
        addr = (uint32_t)addr;
    } else if (!is_canonical(cpu, addr)) {
        return false;
    }
    return write ? cpu_debug_write(cpu, guest_lin(addr), buf, len)
                 : cpu_debug_read(cpu, guest_lin(addr), buf, len);
}

/* As much as can be read, down to nothing, which is an error. */
static bool read_memory(Packet *k)
{
    uint64_t addr, len, done = 0;
    uint8_t buf[GDB_PACKET_MAX / 2];

    if (!take_range(k, &addr, &len)) {
        say(k, ERROR_VALUE);
        return true;
    }
    len = MIN(len, sizeof buf);
    while (done < len) {
        uint64_t at = addr + done;
        uint64_t n = MIN(len - done, GUEST_PAGE_SIZE - (at & GUEST_PAGE_OFFSET_MASK));

        if (!copy_memory(k->g, at, buf + done, n, false)) {
            break;
        }
        done += n;
    }
    if (done == 0 && len > 0) {
        say(k, ERROR_MEMORY);
    }
    append_bytes(k->reply, buf, done);
    return true;
}

static bool write_hex(Packet *k)
{
    uint8_t buf[GDB_PACKET_MAX / 2];
    uint64_t addr, len;

    if (!take_range(k, &addr, &len) || !take_char(k, ':') || len > sizeof buf ||
        !take_bytes(k, buf, len)) {
        say(k, ERROR_VALUE);
    } else {
        say(k, copy_memory(k->g, addr, buf, len, true) ? "OK" : ERROR_MEMORY);
    }
    return true;
}

static bool write_binary(Packet *k)
{
    uint64_t addr, len;

    if (!take_range(k, &addr, &len) || !take_char(k, ':') || len != (uint64_t)(k->end - k->p)) {
        say(k, ERROR_VALUE);
    } else {
        say(k, copy_memory(k->g, addr, (uint8_t *)k->p, len, true) ? "OK" : ERROR_MEMORY);
    }
    return true;
}

/* -- Breakpoints -------------------------------------------------------------------------------------- */

/* "KIND,ADDR,LEN" */
static bool change_break(Packet *k, bool (*change)(GdbStub *g, const GdbBreak *b))
{
    uint64_t kind;
    GdbBreak b;

    if (!take_hex(k, &kind) || !take_char(k, ',') || !take_range(k, &b.addr, &b.len)) {
        say(k, ERROR_VALUE);
    } else if (kind < GDB_BREAK_KINDS) {
        b.kind = (GdbBreakKind)kind;
        say(k, change(k->g, &b) ? "OK" : ERROR_VALUE);
    }
    return true;
}

static bool insert_break(Packet *k)
{
    return change_break(k, gdb_break_insert);
}

static bool remove_break(Packet *k)
{
    return change_break(k, gdb_break_remove);
}

/* -- Running ------------------------------------------------------------------------------------------ */

static GoMode step_mode(const GdbStub *g)
{
    return (g->step_flags & GDB_STEP_MASKS_IRQS) != 0 ? GO_ONE_MASKED : GO_ONE;
}

/* The mode an action letter asks for; false: none we know. */
static bool action_mode(const GdbStub *g, char action, GoMode *mode)
{
    switch (action) {
    case 'c':
    case 'C':
        *mode = GO_FREELY;
        return true;
    case 's':
    case 'S':
        *mode = step_mode(g);
        return true;
    default:
        return false;
    }
}

/* "c [ADDR]", "s [ADDR]", "C SIGNAL[;ADDR]", "S SIGNAL[;ADDR]": signals mean nothing to a machine. */
static bool resume(Packet *k)
{
    GdbStub *g = k->g;
    char action = k->p[-1];
    unsigned n = g->machine->n_cpus;
    g_autofree GoMode *modes = g_new(GoMode, n);
    uint64_t v;
    GoMode mode;

    if (!action_mode(g, action, &mode) || (action < 'a' && !take_hex(k, &v)) ||
        (action < 'a' && *k->p != '\0' && !take_char(k, ';'))) {
        say(k, ERROR_VALUE);
        return true;
    }
    if (take_hex(k, &v)) {
        cpu_of(g)->rip = v;
    }
    /* A step is one CPU's: that of Hc, or the current one. */
    for (unsigned i = 0; i < n; i++) {
        bool chosen = g->resume_cpu != GDB_ALL ? i == g->resume_cpu
                                               : mode == GO_FREELY || i == g->cpu;
        modes[i] = chosen ? mode : GO_NOT;
    }
    gdb_resume(g, modes);
    return false;
}

static bool what_resumes(Packet *k)
{
    say(k, "vCont;c;C;s;S");
    return true;
}

/* ";ACTION[:THREAD]..." : the first action that names a CPU is its own. */
static bool resume_each(Packet *k)
{
    GdbStub *g = k->g;
    unsigned n = g->machine->n_cpus, cpu;
    g_autofree GoMode *modes = g_new(GoMode, n);
    g_autofree bool *given = g_new0(bool, n);
    bool any = false;

    for (unsigned i = 0; i < n; i++) {
        modes[i] = GO_NOT;
    }
    while (take_char(k, ';')) {
        char action = *k->p;
        uint64_t signal;
        GoMode mode;

        if (!action_mode(g, action, &mode)) {
            say(k, ERROR_VALUE);
            return true;
        }
        k->p++;
        cpu = GDB_ALL;
        if ((action < 'a' && !take_hex(k, &signal)) ||
            (take_char(k, ':') && !take_thread(k, &cpu))) {
            say(k, ERROR_VALUE);
            return true;
        }
        for (unsigned i = 0; i < n; i++) {
            if (!given[i] && (cpu == GDB_ALL || cpu == i)) {
                modes[i] = mode;
                given[i] = any = true;
            }
        }
    }
    if (*k->p != '\0' || !any) {
        say(k, ERROR_VALUE);
        return true;
    }
    gdb_resume(g, modes);
    return false;
}

static bool why_stopped(Packet *k)
{
    gdb_break_remove_all(k->g);        /* a gdb that asks has just come */
    gdb_append_stop(k->g, k->reply, 5);
    return true;
}

static bool detach(Packet *k)
{
    gdb_break_remove_all(k->g);
    gdb_break_arm(k->g, NULL);
    k->g->stop.valid = false;
    say(k, "OK");
    if (migrate_may_run(k->g->machine, NULL)) {
        machine_set_running(k->g->machine, true);
    }
    return true;
}

static bool kill_machine(Packet *k)
{
    report_info("terminated by gdb");
    machine_quit(k->g->machine);
    k->g->attached = false;            /* it has gone: no exit reply */
    return false;
}

static bool kill_process(Packet *k)
{
    say(k, "OK");
    return kill_machine(k), true;
}

/* -- Queries ------------------------------------------------------------------------------------------ */

static bool supported(Packet *k)
{
    GdbStub *g = k->g;
    g_auto(GStrv) features = g_strsplit_set(k->p, ":;", -1);

    for (char **f = features; *f != NULL; f++) {
        g->multiprocess |= strcmp(*f, "multiprocess+") == 0;
        g->knows_swbreak |= strcmp(*f, "swbreak+") == 0;
        g->knows_hwbreak |= strcmp(*f, "hwbreak+") == 0;
    }
    g_string_append_printf(k->reply, "PacketSize=%x;qXfer:features:read+;vContSupported+;"
                           "multiprocess+;swbreak+;hwbreak+;QStartNoAckMode+", GDB_PACKET_MAX);
    return true;
}

static bool no_acks(Packet *k)
{
    k->g->no_ack_next = true;
    say(k, "OK");
    return true;
}

/* "target.xml:OFFSET,LENGTH" */
static bool read_features(Packet *k)
{
    const char *xml = gdb_regs_xml(k->g->regs);
    uint64_t at, len, size = strlen(xml);

    if (!g_str_has_prefix(k->p, "target.xml:")) {
        say(k, "E00");
        return true;
    }
    k->p += strlen("target.xml:");
    if (!take_range(k, &at, &len) || at > size) {
        say(k, ERROR_VALUE);
        return true;
    }
    len = MIN(len, GDB_PACKET_MAX / 2);
    say(k, at + len < size ? "m" : "l");
    g_string_append_len(k->reply, xml + at, (gssize)MIN(len, size - at));
    return true;
}

static bool always_attached(Packet *k)
{
    say(k, "1");
    return true;
}

/* Output goes in O packets of its own, as hex. */
static bool monitor_command(Packet *k)
{
    size_t len = (size_t)(k->end - k->p) / 2;
    g_autofree char *line = g_malloc0(len + 1), *out = NULL;

    if (!take_bytes(k, (uint8_t *)line, len)) {
        say(k, ERROR_VALUE);
        return true;
    }
    out = hmp_execute(k->g->machine, &k->g->monitor_cpu, line);
    for (size_t at = 0, all = strlen(out); at < all;) {
        size_t n = MIN(all - at, GDB_PACKET_MAX / 2 - 8);
        g_autoptr(GString) text = g_string_new("O");
        append_bytes(text, out + at, n);
        gdb_send(k->g, text->str, text->len);
        at += n;
    }
    say(k, "OK");
    return true;
}

static bool own_features(Packet *k)
{
    say(k, "sstepbits;sstep;PhyMemMode");
    return true;
}

static bool step_bits(Packet *k)
{
    say(k, "ENABLE=1,NOIRQ=2,NOTIMER=4");
    return true;
}

static bool get_step_flags(Packet *k)
{
    g_string_append_printf(k->reply, "0x%x", k->g->step_flags);
    return true;
}

static bool set_step_flags(Packet *k)
{
    uint64_t v;

    k->p += g_str_has_prefix(k->p, "0x") ? 2 : 0;
    if (!take_hex(k, &v) || v > 7) {
        say(k, ERROR_VALUE);
        return true;
    }
    k->g->step_flags = (unsigned)v;
    say(k, "OK");
    return true;
}

static bool get_memory_mode(Packet *k)
{
    say(k, k->g->physical ? "1" : "0");
    return true;
}

static bool set_memory_mode(Packet *k)
{
    uint64_t v;

    if (take_hex(k, &v)) {
        k->g->physical = v != 0;
        say(k, "OK");
    } else {
        say(k, ERROR_VALUE);
    }
    return true;
}

static bool ok(Packet *k)
{
    say(k, "OK");
    return true;
}

/* -- Table -------------------------------------------------------------------------------------------- */

typedef struct {
    const char *prefix;
    bool whole;                /* nothing may follow */
    bool (*handler)(Packet *k);
} Command;

/* The first that fits: longer words before their beginnings. */
static const Command commands[] = {
    {"!", true, ok},
    {"?", true, why_stopped},
    {"c", false, resume},
    {"C", false, resume},
    {"D", false, detach},
    {"g", true, read_registers},
    {"G", false, write_registers},
    {"H", false, set_thread},
    {"k", true, kill_machine},
    {"m", false, read_memory},
    {"M", false, write_hex},
    {"p", false, read_register},
    {"P", false, write_register},
    {"qAttached", false, always_attached},
    {"qC", true, current_thread},
    {"qfThreadInfo", true, first_thread},
    {"qsThreadInfo", true, next_thread},
    {"qThreadExtraInfo,", false, thread_info},
    {"qRcmd,", false, monitor_command},
    {"qSupported", false, supported},
    {"qXfer:features:read:", false, read_features},
    {"qqemu.Supported", true, own_features},
    {"qqemu.sstepbits", true, step_bits},
    {"qqemu.sstep", true, get_step_flags},
    {"Qqemu.sstep=", false, set_step_flags},
    {"qqemu.PhyMemMode", true, get_memory_mode},
    {"Qqemu.PhyMemMode:", false, set_memory_mode},
    {"QStartNoAckMode", true, no_acks},
    {"s", false, resume},
    {"S", false, resume},
    {"T", false, thread_alive},
    {"vAttach;", false, why_stopped},
    {"vCont?", true, what_resumes},
    {"vCont", false, resume_each},
    {"vKill;", false, kill_process},
    {"X", false, write_binary},
    {"z", false, remove_break},
    {"Z", false, insert_break},
};

bool gdb_command(GdbStub *g, GString *reply)
{
    Packet k = {g, (const char *)g->packet->data, (const char *)g->packet->data + g->packet->len,
                reply};

    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        const Command *c = &commands[i];
        if (g_str_has_prefix(k.p, c->prefix) && (!c->whole || k.p[strlen(c->prefix)] == '\0')) {
            k.p += strlen(c->prefix);
            return c->handler(&k);
        }
    }
    return true;
}
