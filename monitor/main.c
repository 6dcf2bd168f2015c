/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program: command line, machine, exit status. */
#include "bench/bench.h"
#include "monitor/config.h"
#include "monitor/daemonize.h"
#include "monitor/machine.h"
#include "monitor/report.h"
#include "monitor/sandbox.h"
#include "monitor/stats.h"
#include "softmmu/base/log.h"
#include "softmmu/base/stress.h"
#include "translator/direct/direct.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Switch on what -d, -D, -trace and --stress ask for; the names were checked by the parser. */
static bool start_logging(const MachineConfig *c, GError **error)
{
    const char *bad;

    if (c->log_file != NULL && !log_open(c->log_file)) {
        return fail(error, "-D %s: %s", c->log_file, strerror(errno));
    }
    if (c->log_items != NULL && !log_enable(c->log_items, &bad)) {
        return fail(error, "-d %s: no log item is called '%s'", c->log_items, bad);
    }
    for (guint i = 0; i < c->traces->len; i++) {
        trace_enable(g_ptr_array_index(c->traces, i), true);
    }
    for (guint i = 0; i < c->stress->len; i++) {
        stress_set(g_ptr_array_index(c->stress, i));
    }
    return true;
}

static bool write_pidfile(const char *path, GError **error)
{
    g_autofree char *text = g_strdup_printf("%d\n", (int)getpid());

    return g_file_set_contents(path, text, -1, error);
}

/* The machine is made: write the -pidfile, give up rights, let the foreground process go. */
static bool go_on(const MachineConfig *c, const char *pidfile, int ready_fd, GError **error)
{
    bool worlds = c->translate.direct != DIRECT_OFF || stress_info[STRESS_direct].one_in != 0;
    unsigned sandbox = c->sandbox | (worlds ? SANDBOX_WORLDS : 0);

    if (pidfile != NULL && !write_pidfile(pidfile, error)) {
        g_prefix_error(error, "-pidfile %s: ", c->pidfile);
        return false;
    }
    if (c->run_as != NULL && !sandbox_run_as(c->run_as, error)) {
        return false;
    }
    return (!c->daemonize || daemonize_ready(ready_fd, error)) &&
           (c->sandbox == 0 || sandbox_enter(sandbox, error));
}

static int run(const MachineConfig *c)
{
    g_autofree char *pidfile = c->pidfile != NULL ? g_canonicalize_filename(c->pidfile, NULL)
                                                  : NULL;
    g_autoptr(GError) error = NULL;
    int status, ready_fd = -1;
    Machine *m;

    report_set_form(c->msg_timestamp, c->msg_guest_name ? c->name : NULL);
    if (c->process_name != NULL) {
        prctl(PR_SET_NAME, c->process_name);
    }
    if (!start_logging(c, &error) || (c->daemonize && !daemonize_begin(&ready_fd, &error))) {
        report_error("%s", error->message);
        return 1;
    }
    if (!c->display_given && !c->nodefaults && c->machine != MACHINE_NONE) {
        report_info("no display is built: serial line and monitor are on this terminal "
                    "(Ctrl-A h helps; -nographic or -display none say what you want)");
    }
    m = machine_new(c, &error);
    if (m == NULL) {
        report_error("%s", error->message);
        return 1;
    }
    if (!go_on(c, pidfile, ready_fd, &error)) {
        report_error("%s", error->message);
        machine_free(m);
        return 1;
    }
    status = machine_run(m);
    if (log_on[LOG_STATS]) {
        GString *out = g_string_new(NULL);
        stats_print(m, out);
        log_write("%s", out->str);
        g_string_free(out, TRUE);
    }
    machine_free(m);
    if (pidfile != NULL) {
        unlink(pidfile);
    }
    return status;
}

/* GLib ends the process when the host has no memory left: one line and status 1 are enough then. */
static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields, gsize n, gpointer arg)
{
    for (gsize i = 0; i < n && (level & G_LOG_LEVEL_ERROR) != 0; i++) {
        const char *text = fields[i].value;
        if (strcmp(fields[i].key, "MESSAGE") == 0 && strstr(text, "failed to allocate") != NULL) {
            dprintf(STDERR_FILENO, "%s: the host is out of memory: %s\n", g_get_prgname(), text);
            exit(1);
        }
    }
    return g_log_writer_default(level, fields, n, arg);
}

/* `metaphrase nanobench`, `metaphrase bench`: with every engine of this build. */
static int run_bench(const BenchCommand *command, int argc, char **argv)
{
    g_autoptr(GArray) engines = g_array_new(FALSE, FALSE, sizeof(BenchEngine));
    g_autofree char *name = g_strdup_printf("%s %s", g_get_prgname(), command->name);
    g_autoptr(GError) error = NULL;
    const ConfigEngine *e;
    int status;

    for (size_t i = 0; (e = config_engine(i)) != NULL; i++) {
        BenchEngine b = {.name = e->name};
        for (size_t k = 0; k < i; k++) {
            b.alias |= config_engine(k)->engine == e->engine;
        }
        if (e->engine != NULL) {
            b.missing = e->engine->missing != NULL ? e->engine->missing() : NULL;
            b.drawback = b.missing == NULL && e->engine->drawback != NULL ? e->engine->drawback() : NULL;
            g_array_append_val(engines, b);
        }
    }
    g_set_prgname(name);
    status = command->run(argc, argv, (const BenchEngine *)engines->data, engines->len, &error);
    if (error != NULL) {
        report_error("%s", error->message);
    }
    return status;
}

/* Each thread's stack has room for what is thread-local besides, of which the translator's vCPU block alone has 2 MiB: the C library's
 * choice may have less (by `ulimit -s`, where even `unlimited` means 2 MiB). */
static void choose_stacks(void)
{
    enum { STACK_SIZE = 8 << 20 };
    pthread_attr_t attr;
    size_t size;

    if (pthread_getattr_default_np(&attr) == 0) {
        if (pthread_attr_getstacksize(&attr, &size) == 0 && size < STACK_SIZE) {
            pthread_attr_setstacksize(&attr, STACK_SIZE);
            pthread_setattr_default_np(&attr);
        }
        pthread_attr_destroy(&attr);
    }
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    const BenchCommand *command = argc > 1 ? bench_command(argv[1]) : NULL;
    MachineConfig config;
    int status = 0;

    g_autofree char *name = g_path_get_basename(argc > 0 ? argv[0] : "metaphrase");
    g_set_prgname(name);
    signal(SIGPIPE, SIG_IGN);
    choose_stacks();
    g_log_set_writer_func(write_log, NULL, NULL);
    if (command != NULL) {
        return run_bench(command, argc - 1, argv + 1);
    }
    switch (config_parse(&config, argc, argv, &error)) {
    case CONFIG_OK:
        status = run(&config);
        break;
    case CONFIG_DONE:
        fflush(stdout);
        break;
    case CONFIG_FAILED:
        report_error("%s", error->message);
        status = 1;
        break;
    }
    config_clear(&config);
    return status;
}
