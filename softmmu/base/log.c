/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "softmmu/base/log.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/check.h"

#include <errno.h>
#include <glib.h>
#include <stdarg.h>
#include <unistd.h>

const LogItemInfo log_item_info[LOG_COUNT] = {
#define LOG(id, n, h) [LOG_##id] = {.name = n, .help = h},
#include "softmmu/base/log.def"
#undef LOG
};

const char *const trace_names[TRACE_COUNT] = {
#define TRACE(id) [TRACE_##id] = #id,
#include "softmmu/base/trace.def"
#undef TRACE
};

bool log_on[LOG_COUNT];
bool trace_on[TRACE_COUNT];

static FILE *log_file; /* NULL is stderr; registry, process-wide as documented */

/* -- Items ------------------------------------------------------------------------------------ */

static int find_item(const char *name)
{
    for (int i = 0; i < LOG_COUNT; i++) {
        if (strcmp(name, log_item_info[i].name) == 0) {
            return i;
        }
    }
    return -1;
}

bool log_enable(const char *items, const char **bad)
{
    g_auto(GStrv) list = g_strsplit(items, ",", -1);
    static _Thread_local char unknown[64];

    for (char **s = list; *s != NULL; s++) {
        if (strcmp(*s, "all") != 0 && find_item(*s) < 0) {
            g_strlcpy(unknown, *s, sizeof unknown);
            *bad = unknown;
            return false;
        }
    }
    for (char **s = list; *s != NULL; s++) {
        for (int i = 0; i < LOG_COUNT; i++) {
            log_on[i] |= strcmp(*s, "all") == 0 || i == find_item(*s);
        }
    }
    return true;
}

bool log_open(const char *path)
{
    FILE *f = NULL;

    if (path != NULL) {
        g_auto(GStrv) parts = g_strsplit(path, "%d", 2);
        g_autofree char *pid = g_strdup_printf("%d", (int)getpid());
        g_autofree char *name = parts[1] != NULL ? g_strconcat(parts[0], pid, parts[1], NULL)
                                                 : g_strdup(path);
        f = fopen(name, "we");
        if (f == NULL) {
            return false;
        }
        setvbuf(f, NULL, _IOLBF, 0);
    }
    if (log_file != NULL) {
        fclose(log_file);
    }
    log_file = f;
    return true;
}

static void write_line(const char *prefix, const char *fmt, va_list ap)
{
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    size_t len = strlen(text);
    FILE *f = log_file != NULL ? log_file : stderr;

    flockfile(f);
    fputs(prefix, f);
    fputs(text, f);
    if (len == 0 || text[len - 1] != '\n') {
        fputc('\n', f);
    }
    funlockfile(f);
}

void log_write(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    write_line("", fmt, ap);
    va_end(ap);
}

/* -- Trace events ----------------------------------------------------------------------------- */

unsigned trace_enable(const char *glob, bool on)
{
    unsigned n = 0;

    for (int i = 0; i < TRACE_COUNT; i++) {
        if (g_pattern_match_simple(glob, trace_names[i])) {
            trace_on[i] = on;
            n++;
        }
    }
    return n;
}

void trace_write(TraceEvent ev, const char *fmt, ...)
{
    g_autofree char *prefix = g_strconcat(trace_names[ev], " ", NULL);
    va_list ap;

    va_start(ap, fmt);
    write_line(prefix, fmt, ap);
    va_end(ap);
}

/* -- Surprises -------------------------------------------------------------------------------- */

bool surprise_happened(const char *what, const char *file, int line, bool *seen)
{
    if (!__atomic_exchange_n(seen, true, __ATOMIC_RELAXED)) {
        log_write("surprise: %s (%s:%d); going on", what, file, line);
    }
    return true;
}

bool log_any_on(void)
{
    bool on = log_on[LOG_MMU] || log_on[LOG_GUEST_ERRORS] || log_on[LOG_UNIMP];

    for (unsigned i = 0; i < TRACE_COUNT; i++) {
        on |= trace_on[i];
    }
    return on;
}
