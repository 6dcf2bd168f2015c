/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Logging (`-d ITEMS`, `-D FILE`) and trace events (`-trace PATTERN`).
 *
 * Both cost one byte load and a predicted branch when off.  Log items are the fixed classes of
 * log.def; trace events are rows of trace.def, switched by glob.  The registries are process-wide,
 * like stderr.  Any thread may log; lines do not interleave.
 */
#ifndef SOFTMMU_BASE_LOG_H
#define SOFTMMU_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum {
#define LOG(id, name, help) LOG_##id,
#include "softmmu/base/log.def"
#undef LOG
    LOG_COUNT
} LogItem;

typedef struct {
    const char *name, *help;
} LogItemInfo;

extern const LogItemInfo log_item_info[LOG_COUNT];
extern bool log_on[LOG_COUNT];

/* Turn on the comma-separated items (as `-d` takes them; "all" is every one).  False, naming the
 * first unknown item in *bad (borrowed from a static buffer per thread), changes nothing. */
bool log_enable(const char *items, const char **bad);

/* Send the log to `path` ("%d" in it becomes the process id).  False with errno set on failure.
 * NULL: back to stderr. */
bool log_open(const char *path);

/* Is anything on that code outside of devices may log or trace? */
bool log_any_on(void);

void log_write(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define log_item(item, ...)                                                                        \
    do {                                                                                           \
        if (__builtin_expect(log_on[LOG_##item], 0)) {                                             \
            log_write(__VA_ARGS__);                                                                \
        }                                                                                          \
    } while (0)

/* The guest did something no sane guest does; the device or CPU has done what hardware does. */
#define log_guest_error(...) log_item(GUEST_ERRORS, __VA_ARGS__)
/* The guest uses something we know of and have not built. */
#define log_unimp(...) log_item(UNIMP, __VA_ARGS__)

/* -- Trace events ----------------------------------------------------------------------------- */

typedef enum {
#define TRACE(id) TRACE_##id,
#include "softmmu/base/trace.def"
#undef TRACE
    TRACE_COUNT
} TraceEvent;

extern const char *const trace_names[TRACE_COUNT]; /* lower-case ids, e.g. "pic_set_irq" */
extern bool trace_on[TRACE_COUNT];

/* Switch every event whose name matches the glob; returns how many matched. */
unsigned trace_enable(const char *glob, bool on);

void trace_write(TraceEvent ev, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* trace(pic_set_irq, "irq=%u level=%d", irq, level): the id is a row of trace.def. */
#define trace(id, ...)                                                                             \
    do {                                                                                           \
        if (__builtin_expect(trace_on[TRACE_##id], 0)) {                                           \
            trace_write(TRACE_##id, __VA_ARGS__);                                                  \
        }                                                                                          \
    } while (0)

#endif /* SOFTMMU_BASE_LOG_H */
