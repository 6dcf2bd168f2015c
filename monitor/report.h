/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages to the user: one line each on stderr, "metaphrase: text" and
 * "metaphrase: warning: text" (the name is what the program was started as).  Only monitor/ reports;
 * the layers below return a GError.
 */
#ifndef MONITOR_REPORT_H
#define MONITOR_REPORT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

void report_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void report_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Neither error nor warning: "metaphrase: text". */
void report_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* -msg: begin each line with the time, with the guest's name.  Once, before other threads are made. */
void report_set_form(bool timestamp, const char *guest_name);

/* The domain of monitor/'s errors; the only code besides 0 is MONITOR_ERROR_HELP. */
GQuark monitor_error(void);
enum { MONITOR_ERROR_HELP = 1 };

/* Set `error` (domain monitor_error()) and return false, for `return fail(error, ...)`. */
bool fail(GError **error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same for what is no error but an answer to X=help: goes to stdout, status 0. */
bool answer_help(GError **error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool error_is_help(const GError *error);

/* The entry of `names` (n of them, NULLs are skipped) closest to `word`, or NULL when none is close
 * enough to be what was meant. */
const char *nearest_name(const char *word, const char *const *names, size_t n);

#endif /* MONITOR_REPORT_H */
