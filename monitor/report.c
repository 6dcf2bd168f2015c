/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Set once (-msg): of the process, as standard error is. */
static struct {
    bool timestamp;
    char *guest_name;          /* NULL: not wanted */
} form;

void report_set_form(bool timestamp, const char *guest_name)
{
    form.timestamp = timestamp;
    g_free(form.guest_name);
    form.guest_name = g_strdup(guest_name);
}

static void put_line(const char *kind, const char *fmt, va_list ap)
{
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    const char *name = g_get_prgname();
    g_autoptr(GDateTime) now = form.timestamp ? g_date_time_new_now_utc() : NULL;
    g_autofree char *when = now != NULL ? g_date_time_format(now, "%Y-%m-%dT%H:%M:%S.%fZ ") : NULL;

    fprintf(stderr, "%s%s%s%s: %s%s\n", when != NULL ? when : "",
            form.guest_name != NULL ? form.guest_name : "", form.guest_name != NULL ? " " : "",
            name != NULL ? name : "metaphrase", kind, text);
}

void report_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    put_line("", fmt, ap);
    va_end(ap);
}

void report_warning(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    put_line("warning: ", fmt, ap);
    va_end(ap);
}

void report_info(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    put_line("", fmt, ap);
    va_end(ap);
}

GQuark monitor_error(void)
{
    return g_quark_from_static_string("metaphrase-monitor");
}

bool fail(GError **error, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (error != NULL) {
        *error = g_error_new_valist(monitor_error(), 0, fmt, ap);
    }
    va_end(ap);
    return false;
}

bool answer_help(GError **error, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (error != NULL) {
        *error = g_error_new_valist(monitor_error(), MONITOR_ERROR_HELP, fmt, ap);
    }
    va_end(ap);
    return false;
}

bool error_is_help(const GError *error)
{
    return g_error_matches(error, monitor_error(), MONITOR_ERROR_HELP);
}

/* -- Nearest name ------------------------------------------------------------------------------- */

/* Edit distance with swaps of neighbours, capped: names are short, long words are not near. */
static unsigned edit_distance(const char *a, const char *b)
{
    enum { MAX = 40 };
    unsigned d[MAX + 1][MAX + 1];
    size_t la = strlen(a), lb = strlen(b);

    if (la > MAX || lb > MAX) {
        return UINT_MAX;
    }
    for (size_t i = 0; i <= la; i++) {
        for (size_t j = 0; j <= lb; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (unsigned)(i + j);
                continue;
            }
            unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = MIN(best, MIN(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = MIN(best, d[i - 2][j - 2] + 1);
            }
            d[i][j] = best;
        }
    }
    return d[la][lb];
}

const char *nearest_name(const char *word, const char *const *names, size_t n)
{
    const char *found = NULL;
    unsigned best = (unsigned)strlen(word) / 3 + 1; /* beyond that it is another word */

    for (size_t i = 0; i < n; i++) {
        unsigned dist = names[i] != NULL ? edit_distance(word, names[i]) : UINT_MAX;
        if (dist <= best && (found == NULL || dist < best)) {
            best = dist;
            found = names[i];
        }
    }
    return found;
}
