/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/migrate.h"

#include "monitor/back-ends.h"
#include "monitor/config.h"
#include "monitor/events.h"
#include "monitor/migrate-state.h"
#include "monitor/report.h"
#include "monitor/sandbox.h"
#include "softmmu/base/log.h"

#include <signal.h>
#include <string.h>

struct Migration {
    Machine *machine;
    bool incoming, deferred;   /* deferred: nobody has said yet where from            */
    bool autostart;            /* incoming: run when it is there                      */
    MigrateStatus status;
    char *error;               /* why it failed                                       */

    MigrateChannel *channel;
    pthread_t thread;
    bool started;              /* there is a thread                                   */
    pthread_cond_t cond;       /* with the machine lock's mutex: one of these changed */
    bool stopped, cancelled;
    bool ended;                /* the thread has                                      */
    GError *thread_error;      /* its result; NULL: all went well                     */

    bool was_running;
    RunState old_state;
    char *description;
    GPtrArray *state;          /* GByteArray*: what follows memory                    */
    MigrateProgress progress;
    int64_t begin_us, active_us, stop_us, end_us;
};

static const char *const names[MIGRATE_STATUS_COUNT] = {
    "none", "setup", "active", "device", "completed", "failed", "cancelling", "cancelled",
};

const char *migrate_status_name(MigrateStatus s)
{
    return names[s];
}

static void set_status(Migration *g, MigrateStatus s)
{
    if (g->status != s) {
        g->status = s;
        trace(machine_migrate, "%s", names[s]);
        if (g->machine->migrate_events) {
            event_migration(g->machine, names[s]);
        }
    }
}

/* -- The thread ----------------------------------------------------------------------------------------- */

static void post(Migration *g, GSourceFunc fn)
{
    GSource *s = g_idle_source_new();

    g_source_set_priority(s, G_PRIORITY_DEFAULT);
    g_source_set_callback(s, fn, g, NULL);
    g_source_attach(s, g->machine->context);
    g_source_unref(s);
}

static bool start_thread(Migration *g, void *(*run)(void *arg), GError **error)
{
    sigset_t all, before;
    int err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&g->thread, NULL, run, g);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    g->started = err == 0;
    return err == 0 || fail(error, "cannot start a thread: %s", g_strerror(err));
}

static void join_thread(Migration *g)
{
    Machine *m = g->machine;

    if (g->started) {
        lock_release(&m->lock);
        pthread_join(g->thread, NULL);
        lock_take(&m->lock);
        g->started = false;
    }
    g_clear_pointer(&g->channel, migrate_channel_free);
}

/* I/O thread: the thread is to end without more ado. */
static void stop_thread(Migration *g)
{
    if (g->started) {
        g->cancelled = true;
        migrate_channel_cancel(g->channel);
        pthread_cond_broadcast(&g->cond);
        join_thread(g);
    }
}

/* -- Sending: the I/O thread's part ----------------------------------------------------------------------- */

static void unlock_images(Machine *m)
{
    for (guint i = 0; i < m->blocks->len; i++) {
        BackEndBlock *b = g_ptr_array_index(m->blocks, i);
        if (b->block != NULL) {
            block_unlock(b->block);
        }
    }
}

static bool lock_images(Machine *m, GError **error)
{
    for (guint i = 0; i < m->blocks->len; i++) {
        BackEndBlock *b = g_ptr_array_index(m->blocks, i);
        if (b->block != NULL && !block_lock(b->block, error)) {
            return false;
        }
    }
    return true;
}

static void rest_disks(Machine *m)
{
    if (m->mem != NULL) {
        phys_mem_collect_dirty(m->mem);        /* writes to devices that waited, too */
    }
    for (guint i = 0; i < m->blocks->len; i++) {
        BackEndBlock *b = g_ptr_array_index(m->blocks, i);
        if (b->block != NULL) {
            block_settle(b->block);
        }
    }
}

static gboolean on_stop(gpointer arg)
{
    Migration *g = arg;
    Machine *m = g->machine;
    g_autoptr(GError) error = NULL;

    if (g->cancelled) {
        return G_SOURCE_REMOVE;
    }
    g->stop_us = g_get_monotonic_time();
    g->was_running = m->running;
    g->old_state = m->state;
    machine_stop(m, RUN_FINISH_MIGRATE);
    m->state = RUN_FINISH_MIGRATE;
    set_status(g, MIGRATE_DEVICE);
    rest_disks(m);
    g->state = migrate_save_state(m, g->was_running, &error);
    if (g->state == NULL) {
        g->thread_error = g_steal_pointer(&error);
    } else {
        unlock_images(m);
    }
    g->stopped = true;
    pthread_cond_broadcast(&g->cond);
    return G_SOURCE_REMOVE;
}

/* It was not sent: the machine goes on as before. */
static void go_on(Migration *g)
{
    Machine *m = g->machine;
    g_autoptr(GError) error = NULL;

    if (m->state != RUN_FINISH_MIGRATE) {
        return;
    }
    m->state = g->old_state;
    if (!lock_images(m, &error)) {
        report_error("the machine cannot go on: %s", error->message);
        m->state = RUN_POSTMIGRATE;
    } else if (g->was_running) {
        m->state = RUN_PAUSED;
        machine_set_running(m, true);
    }
}

static void end_sending(Migration *g)
{
    g->end_us = g_get_monotonic_time();
    join_thread(g);
    g_clear_pointer(&g->state, g_ptr_array_unref);
    g_clear_pointer(&g->description, g_free);
    if (g->thread_error == NULL) {
        g->machine->state = RUN_POSTMIGRATE;
        set_status(g, MIGRATE_COMPLETED);
        return;
    }
    go_on(g);
    if (!g->cancelled) {
        g->error = g_strdup(g->thread_error->message);
    }
    g_clear_error(&g->thread_error);
    set_status(g, g->cancelled ? MIGRATE_CANCELLED : MIGRATE_FAILED);
}

static gboolean on_sent(gpointer arg)
{
    end_sending(arg);
    return G_SOURCE_REMOVE;
}

/* -- Sending: the thread -------------------------------------------------------------------------------- */

/* Have the machine stopped and its state saved. */
static bool stop_machine(Migration *g, GError **error)
{
    Machine *m = g->machine;
    bool ok;

    post(g, on_stop);
    lock_take(&m->lock);
    while (!g->stopped && !g->cancelled) {
        pthread_cond_wait(&g->cond, &m->lock.mutex);
    }
    ok = g->stopped && !g->cancelled && g->thread_error == NULL;
    if (!ok && g->thread_error != NULL) {
        g_propagate_error(error, g_steal_pointer(&g->thread_error));
    } else if (!ok) {
        fail(error, "it was cancelled");
    }
    lock_release(&m->lock);
    return ok;
}

static bool send_state(Migration *g, GError **error)
{
    for (guint i = 0; i < g->state->len; i++) {
        const GByteArray *a = g_ptr_array_index(g->state, i);
        if (a->len > SECTION_LEN_MAX) {
            return fail(error, "a device's state is too long");
        }
        if (!stream_write(g->channel, SECTION_STATE, a->data, a->len, error)) {
            return false;
        }
    }
    return stream_write(g->channel, SECTION_END, NULL, 0, error);
}

static bool send_machine(Migration *g, GError **error)
{
    PhysMem *mem = g->machine->mem;
    MigrateChannel *c = g->channel;

    return stream_write_start(c, error) &&
           stream_write(c, SECTION_DESCRIPTION, g->description, strlen(g->description), error) &&
           stop_machine(g, error) && (mem == NULL || migrate_send_memory(mem, c, &g->progress, error)) &&
           send_state(g, error) && migrate_channel_finish(c, error);
}

static void *sender(void *arg)
{
    Migration *g = arg;
    GError *error = NULL;

    send_machine(g, &error);
    g->thread_error = error;
    post(g, on_sent);
    return NULL;
}

/* -- Sending: beginning, waiting, cancelling --------------------------------------------------------------- */

static Migration *of_machine(Machine *m)
{
    if (m->migration == NULL) {
        m->migration = g_new0(Migration, 1);
        m->migration->machine = m;
        pthread_cond_init(&m->migration->cond, NULL);
    }
    return m->migration;
}

static bool is_active(const Migration *g)
{
    return g != NULL && (g->status == MIGRATE_SETUP || g->status == MIGRATE_ACTIVE || g->status == MIGRATE_DEVICE ||
                         g->status == MIGRATE_CANCELLING);
}

/* exec: makes a process, which the sandbox answers with death. */
static bool check_sandbox(const Machine *m, const char *uri, GError **error)
{
    return m->config->sandbox == 0 || (m->config->sandbox & SANDBOX_SPAWN) != 0 || !g_str_has_prefix(uri, "exec:") ||
           fail(error, "'%s': -sandbox does not allow it to start processes (spawn=allow does)", uri);
}

static bool open_channel(Migration *g, const char *uri, bool write, GError **error)
{
    g->channel = check_sandbox(g->machine, uri, error) ? migrate_channel_open(uri, write, error) : NULL;
    return g->channel != NULL;
}

static void begin(Migration *g, bool incoming)
{
    g_clear_pointer(&g->error, g_free);
    g->incoming = incoming;
    g->stopped = g->cancelled = false;
    g->progress = (MigrateProgress){0};
    g->begin_us = g_get_monotonic_time();
    g->active_us = g->stop_us = g->end_us = 0;
    set_status(g, MIGRATE_SETUP);
}

static bool may_send(const Machine *m, GError **error)
{
    if (m->state == RUN_INMIGRATE) {
        return fail(error, "Guest is waiting for an incoming migration");
    }
    if (is_active(m->migration)) {
        return fail(error, "There's a migration process in progress");
    }
    if (m->state == RUN_POSTMIGRATE) {
        return fail(error, "the machine has been sent already ('cont' brings it back)");
    }
    return migrate_check_blockers(m, error);
}

bool migrate_send(Machine *m, const char *uri, GError **error)
{
    Migration *g;

    if (!migrate_uri_check(uri, error) || !may_send(m, error)) {
        return false;
    }
    g = of_machine(m);
    begin(g, false);
    g->description = migrate_describe(m);
    if (!open_channel(g, uri, true, error) || !start_thread(g, sender, error)) {
        g_clear_pointer(&g->channel, migrate_channel_free);
        g_clear_pointer(&g->description, g_free);
        set_status(g, MIGRATE_FAILED);
        return false;
    }
    g->active_us = g_get_monotonic_time();
    set_status(g, MIGRATE_ACTIVE);
    return true;
}

bool migrate_wait(Machine *m, GError **error)
{
    Migration *g = m->migration;

    while (is_active(g) && !m->quit_wanted) {
        machine_iterate(m);
    }
    return g->status == MIGRATE_COMPLETED ||
           fail(error, "migration %s%s%s", names[g->status], g->error != NULL ? ": " : "", g->error != NULL ? g->error : "");
}

void migrate_cancel(Machine *m)
{
    Migration *g = m->migration;

    if (!is_active(g) || g->incoming) {
        return;
    }
    g->cancelled = true;
    set_status(g, MIGRATE_CANCELLING);
    migrate_channel_cancel(g->channel);
    pthread_cond_broadcast(&g->cond);
}

/* -- Receiving -------------------------------------------------------------------------------------------- */

static bool take_description(Migration *g, const GByteArray *bytes, GError **error)
{
    g_autofree char *text = g_strndup((const char *)bytes->data, bytes->len);
    bool ok;

    lock_take(&g->machine->lock);
    ok = migrate_check_description(g->machine, text, error);
    lock_release(&g->machine->lock);
    return ok;
}

static bool take_state(Migration *g, unsigned index, const GByteArray *bytes, GError **error)
{
    bool ok;

    if (index >= migrate_state_count(g->machine)) {
        return fail(error, "it is damaged: there is more state than parts of the machine");
    }
    lock_take(&g->machine->lock);
    ok = migrate_load_state(g->machine, index, bytes->data, bytes->len, error);
    lock_release(&g->machine->lock);
    return ok;
}

/* One section; *end after the last.  `n_states` counts those of state. */
static bool take_section(Migration *g, GByteArray *bytes, unsigned *n_states, bool *end, GError **error)
{
    SectionHead head;

    if (!stream_read_head(g->channel, &head, error)) {
        return false;
    }
    if (head.kind == SECTION_MEMORY || head.kind == SECTION_ZEROES) {
        return g->machine->mem != NULL && *n_states == 0
                   ? migrate_take_memory(g->machine->mem, g->channel, &head, &g->progress, error)
                   : fail(error, "it is damaged: memory in the wrong place");
    }
    if (!stream_read(g->channel, &head, bytes, error)) {
        return false;
    }
    *end = head.kind == SECTION_END;
    if (head.kind == SECTION_STATE) {
        return take_state(g, (*n_states)++, bytes, error);
    }
    return *end ? *n_states == migrate_state_count(g->machine) || fail(error, "it is damaged: state is missing")
                : fail(error, "it is damaged: a second description");
}

static bool take_machine(Migration *g, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    SectionHead head;
    unsigned n_states = 0;
    bool end = false;

    if (!migrate_channel_await(g->channel, error) || !stream_read_start(g->channel, error) ||
        !stream_read_head(g->channel, &head, error)) {
        return false;
    }
    if (head.kind != SECTION_DESCRIPTION) {
        return fail(error, "it is damaged: it does not begin with a description");
    }
    if (!stream_read(g->channel, &head, bytes, error) || !take_description(g, bytes, error)) {
        return false;
    }
    while (!end) {
        if (!take_section(g, bytes, &n_states, &end, error)) {
            return false;
        }
    }
    return true;
}

static bool adopt(Migration *g, GError **error)
{
    Machine *m = g->machine;

    if (!lock_images(m, error)) {
        return false;
    }
    migrate_loaded(m);
    migrate_hold_tsc(m, false);
    m->state = RUN_PAUSED;
    g->end_us = g_get_monotonic_time();
    set_status(g, MIGRATE_COMPLETED);
    if (g->autostart && m->runs_after_load) {
        machine_set_running(m, true);
    }
    return true;
}

static gboolean on_taken(gpointer arg)
{
    Migration *g = arg;
    Machine *m = g->machine;

    join_thread(g);
    if (g->thread_error == NULL) {
        adopt(g, &g->thread_error);
    }
    if (g->thread_error != NULL) {
        report_error("the saved machine could not be loaded: %s", g->thread_error->message);
        g_clear_error(&g->thread_error);
        set_status(g, MIGRATE_FAILED);
        machine_request_shutdown(m, CAUSE_FAILED, 1);
    }
    return G_SOURCE_REMOVE;
}

static void *taker(void *arg)
{
    Migration *g = arg;
    GError *error = NULL;

    take_machine(g, &error);
    g->thread_error = error;
    post(g, on_taken);
    return NULL;
}

bool migrate_receive(Machine *m, const char *uri, GError **error)
{
    Migration *g = of_machine(m);

    if (m->icount != NULL) {
        return fail(error, "not with -icount");
    }
    if (uri == NULL) {
        g->incoming = g->deferred = true;
        g->autostart = !m->config->start_stopped;
        return true;
    }
    if (m->state != RUN_INMIGRATE || is_active(g)) {
        return fail(error, m->state != RUN_INMIGRATE ? "'-incoming' was not specified on the command line"
                                                     : "The incoming migration has already been started");
    }
    if (!g->deferred) {
        g->autostart = !m->config->start_stopped;
    }
    begin(g, true);
    if (!open_channel(g, uri, false, error) || !start_thread(g, taker, error)) {
        g_clear_pointer(&g->channel, migrate_channel_free);
        set_status(g, MIGRATE_NONE);
        return false;
    }
    migrate_hold_tsc(m, true);
    g->active_us = g_get_monotonic_time();
    set_status(g, MIGRATE_ACTIVE);
    return true;
}

/* -- The machine's life ------------------------------------------------------------------------------------- */

bool migrate_may_run(Machine *m, GError **error)
{
    if (m->state == RUN_FINISH_MIGRATE) {
        return fail(error, "Migration is not finalized yet");
    }
    if (m->state == RUN_INMIGRATE) {
        m->migration->autostart = true;
        return false;
    }
    return m->state != RUN_POSTMIGRATE || lock_images(m, error);
}

void migrate_stop_later(Machine *m)
{
    if (m->state == RUN_INMIGRATE) {
        m->migration->autostart = false;
    }
}

void migrate_free(Migration *g)
{
    if (g == NULL) {
        return;
    }
    stop_thread(g);
    g_clear_error(&g->thread_error);
    g_clear_pointer(&g->state, g_ptr_array_unref);
    g_free(g->description);
    g_free(g->error);
    pthread_cond_destroy(&g->cond);
    g_free(g);
}

/* -- Looking in ----------------------------------------------------------------------------------------------- */

static int64_t ms_between(int64_t from_us, int64_t to_us)
{
    return from_us == 0 ? 0 : ((to_us == 0 ? g_get_monotonic_time() : to_us) - from_us) / 1000;
}

MigrateInfo migrate_info(const Machine *m)
{
    const Migration *g = m->migration;

    return g == NULL ? (MigrateInfo){0}
                     : (MigrateInfo){.status = g->status, .incoming = g->incoming, .error = g->error,
                                     .total_ms = ms_between(g->begin_us, g->end_us),
                                     .downtime_ms = ms_between(g->stop_us, g->end_us),
                                     .setup_ms = ms_between(g->begin_us, g->active_us == 0 ? g->begin_us : g->active_us),
                                     .progress = g->progress};
}
