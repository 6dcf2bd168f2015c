/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/machine.h"

#include "hw/pvpanic.h"
#include "hw/terminal.h"
#include "monitor/accel.h"
#include "monitor/back-ends.h"
#include "monitor/config.h"
#include "monitor/device-table.h"
#include "monitor/events.h"
#include "monitor/gdb.h"
#include "monitor/hmp.h"
#include "monitor/iothread.h"
#include "monitor/migrate-state.h"
#include "monitor/migrate.h"
#include "monitor/qmp-keys.h"
#include "monitor/qmp.h"
#include "monitor/report.h"
#include "monitor/run-loop.h"
#include "softmmu/base/log.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <x86intrin.h>

/* -- Requests ----------------------------------------------------------------------------------------- */

static void wake(void *arg)
{
    Machine *m = arg;

    if (!pthread_equal(m->io_thread, pthread_self())) {
        g_main_context_wakeup(m->context);
    }
}

/* Timers are the CPU's thread's. */
static void wake_cpu(void *arg)
{
    icount_wake(((Machine *)arg)->icount);
}

void machine_request_shutdown(Machine *m, MachineCause cause, int exit_code)
{
    if (m->quit_wanted) {
        return;                /* the first cause counts */
    }
    m->quit_wanted = true;
    m->cause = cause;
    m->exit_code = exit_code;
    event_shutdown(m, cause);
    run_loop_update(m);
    wake(m);
}

void machine_request_reset(Machine *m, MachineCause cause)
{
    if (m->on.reboot == ON_REBOOT_SHUTDOWN) {
        machine_request_shutdown(m, cause, 0);
        return;
    }
    if (!m->quit_wanted) {
        m->reset_wanted = true;
        m->cause = cause;
        run_loop_update(m);
        wake(m);
    }
}

const char *machine_state_name(RunState s)
{
    static const char *const names[RUN_STATE_COUNT] = {
        [RUN_PRELAUNCH] = "prelaunch", [RUN_RUNNING] = "running", [RUN_PAUSED] = "paused",
        [RUN_SHUTDOWN] = "shutdown", [RUN_GUEST_PANICKED] = "guest-panicked",
        [RUN_INTERNAL_ERROR] = "internal-error", [RUN_DEBUG] = "debug",
        [RUN_WATCHDOG] = "watchdog", [RUN_INMIGRATE] = "inmigrate",
        [RUN_FINISH_MIGRATE] = "finish-migrate", [RUN_POSTMIGRATE] = "postmigrate",
    };

    return names[s];
}

bool machine_needs_reset(const Machine *m)
{
    return m->state == RUN_SHUTDOWN || m->state == RUN_INTERNAL_ERROR ||
           m->state == RUN_GUEST_PANICKED;
}

bool machine_is_held(const Machine *m)
{
    return m->state == RUN_INMIGRATE || m->state == RUN_FINISH_MIGRATE;
}

void machine_request_stop(Machine *m, RunState why)
{
    m->stop_wanted = true;
    m->stop_as = why;
    run_loop_update(m);
    wake(m);
}

/* Time that counts instructions stands still by itself. */
static void set_clock_running(Machine *m, bool running)
{
    if (m->icount == NULL) {
        clock_host_set_running(m->clock, running);
    }
}

/* Guest time (clock and TSC) stands still while the machine does not run.  It begins with the host's TSC, so that user
 * code in worlds can read it. */
static void let_run(Machine *m, bool running)
{
    if (running) {
        int64_t away = m->has_run && m->icount == NULL ? (int64_t)(__rdtsc() - m->stopped_tsc) : 0;

        m->has_run = true;
        for (unsigned i = 0; i < m->n_cpus; i++) {
            m->cpus[i]->tsc_offset -= away;
        }
        set_clock_running(m, !m->time_stands);
        m->running = true;
        run_loop_update(m);
    } else {
        m->running = false;
        run_loop_pause(m);
        run_loop_resume(m);    /* parked all the same: not running */
        set_clock_running(m, false);
        m->stopped_tsc = __rdtsc();
    }
    wake(m);
}

void machine_stop(Machine *m, RunState why)
{
    if (m->running) {
        let_run(m, false);
        m->state = why;
        trace(machine_state, "%s", machine_state_name(why));
        event_stop(m);
        gdb_machine_stopped(m);
    }
}

void machine_set_running(Machine *m, bool running)
{
    if (!running) {
        migrate_stop_later(m);
        machine_stop(m, RUN_PAUSED);
    } else if (!m->running && !machine_is_held(m)) {
        m->state = RUN_RUNNING;
        trace(machine_state, "%s", machine_state_name(m->state));
        event_resume(m);
        let_run(m, true);
    }
}

void machine_powerdown(Machine *m)
{
    if (m->cls->powerdown != NULL) {
        m->cls->powerdown(m);
    }
    event_powerdown(m);
}

void machine_quit(void *m)
{
    machine_request_shutdown(m, CAUSE_HOST_QUIT, 0);
}

void machine_guest_reset(void *m)
{
    machine_request_reset(m, CAUSE_GUEST_RESET);
}

void machine_guest_shutdown(void *m)
{
    machine_request_shutdown(m, CAUSE_GUEST_SHUTDOWN, 0);
}

void machine_guest_debug_exit(void *m, int code)
{
    machine_request_shutdown(m, CAUSE_DEBUG_EXIT, code & 0xff);
}

void machine_guest_panic(void *machine, unsigned event)
{
    Machine *m = machine;
    int action = m->on.panic == ON_PANIC_SHUTDOWN && m->on.shutdown == ON_SHUTDOWN_PAUSE ? ON_PANIC_PAUSE
                                                                                       : m->on.panic;

    if ((event & PVPANIC_PANICKED) == 0) {
        event_guest_panicked(m, "GUEST_CRASHLOADED", "run");
    } else if (action == ON_PANIC_NONE) {
        event_guest_panicked(m, "GUEST_PANICKED", "run");
    } else if (action == ON_PANIC_PAUSE) {
        event_guest_panicked(m, "GUEST_PANICKED", "pause");
        machine_request_stop(m, RUN_GUEST_PANICKED);
    } else {
        event_guest_panicked(m, "GUEST_PANICKED", "poweroff");
        machine_request_shutdown(m, CAUSE_GUEST_PANIC, action == ON_PANIC_EXIT_FAILURE ? 1 : 0);
    }
}

void machine_watchdog(void *machine)
{
    Machine *m = machine;

    event_watchdog(m, config_watchdog_actions[m->on.watchdog]);
    switch ((WatchdogAction)m->on.watchdog) {
    case ON_WATCHDOG_RESET:
        machine_request_reset(m, CAUSE_WATCHDOG);
        break;
    case ON_WATCHDOG_SHUTDOWN:
        machine_powerdown(m);
        break;
    case ON_WATCHDOG_POWEROFF:
        machine_request_shutdown(m, CAUSE_WATCHDOG, 0);
        break;
    case ON_WATCHDOG_PAUSE:
        machine_request_stop(m, RUN_WATCHDOG);
        break;
    case ON_WATCHDOG_INJECT_NMI:
        if (m->cls->nmi != NULL) {
            m->cls->nmi(m);
        }
        break;
    case ON_WATCHDOG_DEBUG:
        report_info("the watchdog has run out");
        break;
    case ON_WATCHDOG_NONE:
        break;
    }
}

/* -- For schematics ----------------------------------------------------------------------------------- */

void machine_add_device(Machine *m, Device *d)
{
    g_ptr_array_add(m->devices, d);
}

void machine_map_port(Machine *m, Device *d, unsigned window, uint16_t base)
{
    const DeviceWindow *w = &d->cls->windows[window];

    g_assert(window < d->cls->n_windows && w->kind == WINDOW_PORT);
    port_map(m->ports, base, (unsigned)w->len, &w->ops, d, w->name);
}

void machine_map_mmio(Machine *m, Device *d, unsigned window, uint64_t base)
{
    const DeviceWindow *w = &d->cls->windows[window];

    g_assert(window < d->cls->n_windows && w->kind == WINDOW_MMIO);
    phys_region_mmio(m->mem, base, w->len, &w->ops, d, 1, w->name);
}

Device *machine_find_device(Machine *m, const char *id)
{
    for (guint i = 0; i < m->devices->len; i++) {
        Device *d = g_ptr_array_index(m->devices, i);
        if (d->id != NULL && strcmp(d->id, id) == 0) {
            return d;
        }
    }
    return NULL;
}

/* -- Life --------------------------------------------------------------------------------------------- */

static const MachineClass *const classes[] = {
    [MACHINE_PC] = &machine_pc, [MACHINE_MICROVM] = &machine_microvm,
    [MACHINE_NONE] = &machine_none,
};

static void free_device(gpointer d)
{
    device_free(d);
}

/* The signals that end the machine are read from a descriptor by the I/O thread (signalfd). */
static void ending_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGCONT);
}

static void reset_all(Machine *m)
{
    for (unsigned i = 0; i < m->n_cpus; i++) {
        cpu_unrequest(m->cpus[i], CPU_REQ_INTR | CPU_REQ_NMI | CPU_REQ_INIT | CPU_REQ_SIPI);
    }
    for (guint i = 0; i < m->devices->len; i++) {
        device_reset(g_ptr_array_index(m->devices, i));
    }
    for (unsigned i = 0; i < m->n_cpus; i++) {
        cpu_reset(m->cpus[i]);
        m->cpus[i]->tsc_offset = m->cpus[0]->tsc_offset; /* guests check that TSCs agree */
        m->cpus[i]->tsc_jump = m->cpus[0]->tsc_jump;
    }
    if (!m->running) {
        m->stopped_tsc = __rdtsc();
    }
}

static bool open_trail(Machine *m, GError **error)
{
    const MachineConfig *c = m->config;

    if (m->n_cpus != 0 && c->trail != NULL) {
        m->trail = trail_write(c->trail, c->trail_every, m->cpus[0], error);
    } else if (m->n_cpus != 0 && c->follow != NULL) {
        m->trail = trail_follow(c->follow, m->cpus[0], error);
    } else {
        return true;
    }
    return m->trail != NULL;
}

static bool build(Machine *m, GError **error)
{
    sigset_t set;

    if (!back_ends_open_chardevs(m, error)) {
        return false;
    }
    ending_signals(&set);      /* from here on threads are made: none of them may take these */
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (!back_ends_start_iothreads(m, error) || !back_ends_open_blocks(m, error) || !m->cls->build(m, error) ||
        !device_table_add_all(m, error) || !back_ends_check_use(m, error) ||
        (m->config->only_migratable && !migrate_check_blockers(m, error)) ||
        !accel_attach_all(m, error)) {
        return false;
    }
    if (!open_trail(m, error)) {
        return false;
    }
    reset_all(m);
    if (m->mem != NULL && !config_dump_memory(m->config)) {
        madvise(m->mem->base, m->mem->size, MADV_DONTDUMP);    /* a smaller core when this program dies */
    }
    return m->cls->boot(m, error) && hmp_open_all(m, error) && qmp_open_all(m, error) &&
           gdb_open(m, error);
}

Machine *machine_new(const MachineConfig *config, GError **error)
{
    Machine *m = g_new0(Machine, 1);
    bool ok;

    m->config = config;
    m->on.reboot = config->on_reboot;
    m->on.shutdown = config->on_shutdown;
    m->on.panic = config->on_panic;
    m->on.watchdog = config->on_watchdog;
    m->cls = classes[config->machine];
    m->engine = config->engine;
    m->state = config->incoming != NULL ? RUN_INMIGRATE : RUN_PRELAUNCH;
    lock_init(&m->lock, LOCK_RANK_MACHINE);
    m->icount = config->icount ? icount_new(config->icount_shift) : NULL;
    m->clock = m->icount != NULL ? icount_clock(m->icount) : clock_host_new();
    set_clock_running(m, false);
    m->stopped_tsc = __rdtsc();
    timer_queue_init(&m->timers, m->clock, m->icount != NULL ? wake_cpu : wake, m);
    m->context = g_main_context_new();
    m->io_thread = pthread_self();
    m->ports = port_space_new(&m->lock);
    m->devices = g_ptr_array_new_with_free_func(free_device);
    m->chardevs = g_ptr_array_new_with_free_func((GDestroyNotify)back_end_chardev_free);
    m->blocks = g_ptr_array_new_with_free_func((GDestroyNotify)back_end_block_free);
    m->iothreads = g_ptr_array_new_with_free_func((GDestroyNotify)iothread_free);
    m->monitors = g_ptr_array_new_with_free_func((GDestroyNotify)hmp_free);
    lock_take(&m->lock);
    ok = build(m, error);
    lock_release(&m->lock);
    if (!ok) {
        machine_free(m);
        return NULL;
    }
    return m;
}

void machine_free(Machine *m)
{
    if (m == NULL) {
        return;
    }
    g_ptr_array_free(m->iothreads, TRUE);
    lock_take(&m->lock);
    migrate_free(m->migration);
    qmp_free(m->qmp);
    m->qmp = NULL;
    gdb_free(m->gdb);
    qmp_keys_free(m->keys);
    g_ptr_array_free(m->monitors, TRUE);
    while (m->devices->len > 0) { /* last made, first freed: buses outlive what is on them */
        device_free(g_ptr_array_steal_index(m->devices, m->devices->len - 1));
    }
    g_ptr_array_free(m->devices, TRUE);
    if (m->cls->free != NULL) {
        m->cls->free(m);
    }
    pv_free(m->pv);
    for (unsigned i = 0; i < m->n_cpus; i++) {
        if (m->cpus[i] != NULL) {
            m->engine->detach(m->cpus[i]);
            cpu_free(m->cpus[i]);
        }
    }
    accel_clear_past(m);
    g_free(m->cpus);
    g_free(m->busy_ns);
    cpu_model_free(m->cpu_model);
    g_ptr_array_free(m->blocks, TRUE);
    g_ptr_array_free(m->chardevs, TRUE);
    port_space_free(m->ports);
    if (m->mem != NULL) {
        phys_mem_free(m->mem);
    }
    trail_free(m->trail);
    if (m->icount == NULL) {
        clock_host_free(m->clock);
    }
    icount_free(m->icount);
    lock_release(&m->lock);
    g_main_context_unref(m->context);
    lock_clear(&m->lock);
    g_free(m);
}

/* -- The I/O thread ------------------------------------------------------------------------------------ */

static void reset_machine(Machine *m)
{
    g_autoptr(GError) error = NULL;

    run_loop_pause(m);
    m->reset_wanted = false;
    log_item(CPU_RESET, "machine reset");
    trace(machine_reset, "%s", machine_cause_name(m->cause));
    reset_all(m);
    if (!m->cls->boot(m, &error)) {
        report_error("%s", error->message);
        machine_request_shutdown(m, CAUSE_FAILED, 1);
    }
    if (!m->running) {
        m->state = RUN_PRELAUNCH;
    }
    event_reset(m, m->cause);
    run_loop_resume(m);
}

void machine_settle(Machine *m)
{
    if (m->reset_wanted && !m->quit_wanted && !machine_is_held(m)) {
        reset_machine(m);
    }
}

/* -no-shutdown: the machine stays, stopped, until a monitor says more. */
static bool stays_after(const Machine *m)
{
    return m->on.shutdown == ON_SHUTDOWN_PAUSE &&
           (m->cause == CAUSE_GUEST_SHUTDOWN || m->cause == CAUSE_GUEST_RESET ||
            m->cause == CAUSE_TRIPLE_FAULT);
}

/* While CPUs run, they set their timers again and again to some milliseconds from now, and to wake this thread each time
 * would cost them more (50 us where host CPUs are virtual) than that it looks by itself. */
#define LOOK_NS (2 * NS_PER_MS)

/* How long poll may sleep: until the next timer, or what GLib says. */
static void sleep_time(Machine *m, int glib_ms, struct timespec *ts, bool *forever)
{
    uint64_t ns = glib_ms < 0 ? UINT64_MAX : (uint64_t)glib_ms * NS_PER_MS;
    bool busy = m->running && run_loop_cpus_run(m);
    uint64_t next = m->icount != NULL ? TIMER_NEVER
                                      : timer_queue_sleep(&m->timers, busy ? clock_now(m->clock) + LOOK_NS : TIMER_NEVER);

    if (m->running) {
        uint64_t now = clock_now(m->clock);
        if (next != TIMER_NEVER) {
            ns = MIN(ns, next > now ? next - now : 0);
        }
    }
    if ((m->reset_wanted && !machine_is_held(m)) || m->quit_wanted || m->stop_wanted) {
        ns = 0;
    }
    *forever = ns == UINT64_MAX;
    *ts = (struct timespec){.tv_sec = (time_t)(ns / NS_PER_SEC),
                            .tv_nsec = (long)(ns % NS_PER_SEC)};
}

/* One turn of the context by hand, so that the machine lock is free exactly while it sleeps and
 * timers have nanoseconds. */
static void turn(Machine *m, GArray *fds)
{
    gint priority, timeout, n;
    struct timespec ts;
    bool forever;

    g_main_context_prepare(m->context, &priority);
    while ((n = g_main_context_query(m->context, priority, &timeout, (GPollFD *)fds->data,
                                     (gint)fds->len)) > (gint)fds->len) {
        g_array_set_size(fds, (guint)n);
    }
    sleep_time(m, timeout, &ts, &forever);
    lock_release(&m->lock);
    ppoll((struct pollfd *)fds->data, (nfds_t)n, forever ? NULL : &ts, NULL);
    lock_take(&m->lock);
    if (g_main_context_check(m->context, priority, (GPollFD *)fds->data, n)) {
        g_main_context_dispatch(m->context);
    }
    if (m->running && m->icount == NULL) {
        timer_queue_run(&m->timers);
    }
}

_Static_assert(sizeof(GPollFD) == sizeof(struct pollfd), "GLib's descriptors are poll's");

static gboolean on_signal(gint fd, GIOCondition cond, gpointer arg)
{
    struct signalfd_siginfo si;

    if (read(fd, &si, sizeof si) != sizeof si) {
        return G_SOURCE_CONTINUE;
    }
    if (si.ssi_signo == SIGCONT) {
        terminal_resume();
        return G_SOURCE_CONTINUE;
    }
    g_autofree char *path = g_strdup_printf("/proc/%u/comm", si.ssi_pid);
    g_autofree char *name = NULL;
    if (g_file_get_contents(path, &name, NULL, NULL)) {
        g_strchomp(name);
    }
    report_info("terminating on signal %u from pid %u (%s)", si.ssi_signo, si.ssi_pid,
                name != NULL ? name : "<unknown process>");
    machine_request_shutdown(arg, CAUSE_HOST_SIGNAL, 0);
    return G_SOURCE_CONTINUE;
}

static GSource *watch_signals(Machine *m, int *fd)
{
    GSource *s;
    sigset_t set;

    ending_signals(&set);
    *fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (*fd < 0) {
        return NULL;
    }
    s = g_unix_fd_source_new(*fd, G_IO_IN);
    g_source_set_callback(s, G_SOURCE_FUNC(on_signal), m, NULL);
    g_source_attach(s, m->context);
    return s;
}

void machine_iterate(Machine *m)
{
    g_autoptr(GArray) fds = g_array_sized_new(FALSE, TRUE, sizeof(GPollFD), 16);

    g_array_set_size(fds, 16);
    if (m->quit_wanted && stays_after(m)) {
        m->quit_wanted = false;
        machine_stop(m, RUN_SHUTDOWN);
    }
    if (m->quit_wanted) {
        return;
    }
    if (m->stop_wanted) {
        m->stop_wanted = false;
        machine_stop(m, m->stop_as);
    }
    machine_settle(m);
    turn(m, fds);
}

static void run_until_quit(Machine *m)
{
    while (!m->quit_wanted || stays_after(m)) {
        machine_iterate(m);
    }
}

/* The machine is ready: it runs, waits for the monitor, or for what it is to go on from. */
static void begin(Machine *m)
{
    g_autoptr(GError) error = NULL;
    const char *from = m->config->incoming;

    if (from == NULL && !m->config->start_stopped && !gdb_is_attached(m)) {
        machine_set_running(m, true);
    }
    if (from != NULL && !migrate_receive(m, strcmp(from, "defer") == 0 ? NULL : from, &error)) {
        report_error("-incoming: %s", error->message);
        machine_request_shutdown(m, CAUSE_FAILED, 1);
    }
}

int machine_run(Machine *m)
{
    g_autoptr(GError) error = NULL;
    GSource *signals;
    int fd;

    g_main_context_acquire(m->context);
    prctl(PR_SET_TIMERSLACK, 1000UL);          /* guests program timers by the microsecond */
    signals = watch_signals(m, &fd);
    lock_take(&m->lock);
    if (!run_loop_start(m, &error)) {
        report_error("%s", error->message);
        machine_request_shutdown(m, CAUSE_FAILED, 1);
    } else {
        begin(m);
    }
    run_until_quit(m);
    run_loop_stop(m);
    m->running = false;
    gdb_machine_exits(m, m->exit_code);
    lock_release(&m->lock);
    if (signals != NULL) {
        g_source_destroy(signals);
        g_source_unref(signals);
        close(fd);
    }
    g_main_context_release(m->context);
    return m->exit_code;
}
