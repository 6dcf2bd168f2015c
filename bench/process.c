/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* -- Streams --------------------------------------------------------------------------------------- */

typedef struct {
    int fd;                    /* -1: at its end */
    GString *line;             /* the line so far */
} Stream;

enum { LINE_MAX_LEN = 4096 };  /* a longer one is cut up */

/* Read what is there and hand on whole lines.  False: the taker has enough. */
static bool drain(Stream *s, bool (*take)(void *arg, const char *line), void *arg)
{
    char buf[4096];
    ssize_t n = read(s->fd, buf, sizeof buf);
    bool more = true;

    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        return true;
    }
    for (ssize_t i = 0; i < n && more; i++) {
        if (buf[i] == '\n' || s->line->len >= LINE_MAX_LEN) {
            more = take(arg, s->line->str);
            g_string_truncate(s->line, 0);
        }
        if (buf[i] != '\n' && buf[i] != '\r' && buf[i] != 0) {
            g_string_append_c(s->line, buf[i]);
        }
    }
    if (n <= 0) {
        more = s->line->len == 0 || take(arg, s->line->str);
        close(s->fd);
        s->fd = -1;
    }
    return more;
}

static bool note_error(void *arg, const char *line)
{
    char **last = arg;

    if (*line != 0) {
        g_free(*last);
        *last = g_strdup(line);
    }
    return true;
}

/* -- Watching -------------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

/* Milliseconds until the first limit; -1: there is none. */
static int time_left(const BenchWatch *w, int64_t begin, int64_t heard)
{
    int64_t left = -1, now = now_ms();

    if (w->silence_s > 0) {
        left = MAX(heard + w->silence_s * 1000ll - now, 0);
    }
    if (w->total_s > 0) {
        int64_t t = MAX(begin + w->total_s * 1000ll - now, 0);
        left = left < 0 ? t : MIN(left, t);
    }
    return (int)left;
}

/* Read both streams until they end or a limit is met. */
static BenchEnd watch_streams(const BenchWatch *w, Stream *out, Stream *err, char **last_error)
{
    int64_t begin = now_ms(), heard = begin;

    while (out->fd >= 0 || err->fd >= 0) {
        struct pollfd fds[2] = {{.fd = out->fd, .events = POLLIN}, {.fd = err->fd, .events = POLLIN}};
        int n = poll(fds, 2, time_left(w, begin, heard));

        if (n < 0 && errno != EINTR) {
            return BENCH_KILLED;
        }
        if (n > 0 && fds[0].revents != 0) {
            heard = now_ms();
            if (!drain(out, w->line, w->arg)) {
                return BENCH_ENOUGH;
            }
        }
        if (n > 0 && fds[1].revents != 0) {
            drain(err, note_error, last_error);
        }
        if (w->total_s > 0 && now_ms() - begin >= w->total_s * 1000ll) {
            return BENCH_TOO_LONG;
        }
        if (n <= 0 && w->silence_s > 0 && now_ms() - heard >= w->silence_s * 1000ll) {
            return BENCH_SILENT;
        }
    }
    return BENCH_EXITED;
}

static void take_usage(pid_t pid, BenchProcess *p)
{
    struct rusage u;
    int status;

    while (wait4(pid, &status, 0, &u) < 0 && errno == EINTR) {
    }
    p->cpu_s = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
               (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    p->peak_mib = (double)u.ru_maxrss / 1024;
    p->status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    if (p->end == BENCH_EXITED && WIFSIGNALED(status)) {
        p->end = BENCH_KILLED;
    }
}

/* In the child: it must not outlive us, whatever ends us. */
static void die_with_parent(gpointer arg)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL);
}

bool bench_process_run(const char *const *argv, const BenchWatch *watch, BenchProcess *p,
                       GError **error)
{
    Stream out = {.line = g_string_new(NULL)}, err = {.line = g_string_new(NULL)};
    int64_t begin = g_get_monotonic_time();
    GPid pid;

    *p = (BenchProcess){0};
    bool started = g_spawn_async_with_pipes(NULL, (char **)argv, NULL,
                                            G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH,
                                            die_with_parent, NULL, &pid, NULL, &out.fd, &err.fd, error);
    if (started) {
        if (watch->started != NULL) {
            watch->started(watch->arg, pid);
        }
        p->end = watch_streams(watch, &out, &err, &p->last_error);
        if (p->end != BENCH_EXITED) {
            kill(pid, SIGKILL);
        }
        take_usage(pid, p);
        p->wall_s = (double)(g_get_monotonic_time() - begin) / 1e6;
        g_spawn_close_pid(pid);
        for (Stream *s = &out; s != NULL; s = s == &out ? &err : NULL) {
            if (s->fd >= 0) {
                close(s->fd);
            }
        }
    }
    g_string_free(out.line, TRUE);
    g_string_free(err.line, TRUE);
    return started;
}

void bench_process_clear(BenchProcess *p)
{
    g_free(p->last_error);
    *p = (BenchProcess){0};
}

char *bench_process_complaint(const BenchProcess *p, const char *said)
{
    g_autofree char *status = g_strdup_printf("%d", p->status);
    const char *what = p->end == BENCH_EXITED ? "exit status " : p->end == BENCH_KILLED ? "killed by signal "
                       : p->end == BENCH_SILENT ? "hung" : "took too long";
    bool counts = p->end == BENCH_EXITED || p->end == BENCH_KILLED, spoke = said != NULL && *said != 0;

    if ((p->end == BENCH_EXITED && p->status == 0) || p->end == BENCH_ENOUGH) {
        return NULL;
    }
    return g_strconcat(what, counts ? status : "", spoke ? " (last said: " : "", spoke ? said : "",
                       spoke ? ")" : "", p->last_error != NULL ? ": " : "",
                       p->last_error != NULL ? p->last_error : "", NULL);
}
