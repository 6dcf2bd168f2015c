/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One process with its lines read as they come, bounded in time, and what it used. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Called for each line of standard output (without its end; "\r" removed).  False: that is enough,
 * end the process. */
typedef bool (*BenchLine)(void *arg, const char *line);

typedef struct {
    int silence_s;             /* kill it when no line came for so long; 0: no limit */
    int total_s;               /* and when it has run for so long; 0: no limit */
    BenchLine line;
    void (*started)(void *arg, pid_t pid); /* may be NULL */
    void *arg;                 /* of the callbacks */
} BenchWatch;

typedef enum { BENCH_EXITED, BENCH_KILLED, BENCH_SILENT, BENCH_TOO_LONG, BENCH_ENOUGH } BenchEnd;

typedef struct {
    BenchEnd end;
    int status;                /* exit status, or the signal that killed it */
    double wall_s, cpu_s;      /* all its threads, user and system */
    double peak_mib;           /* largest resident size */
    char *last_error;          /* the last line of standard error, or NULL */
} BenchProcess;

/* Run `argv` with nothing on standard input.  False: it could not be started.  Free the result. */
bool bench_process_run(const char *const *argv, const BenchWatch *watch, BenchProcess *p,
                       GError **error);
void bench_process_clear(BenchProcess *p);

/* Why a run did not end by itself with status 0, one clause with what the guest `said` last (may be
 * NULL or empty); NULL when it did.  Free it. */
char *bench_process_complaint(const BenchProcess *p, const char *said);

#endif /* BENCH_PROCESS_H */
