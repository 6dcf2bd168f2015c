/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/breaks.h"

#include <fcntl.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

void breaks_init(Breaks *b)
{
    for (unsigned i = 0; i < BREAKS_MAX; i++) {
        b->at[i] = 0;
        b->fd[i] = -1;
    }
}

bool breaks_has(const Breaks *b, uint64_t lin)
{
    for (unsigned i = 0; i < BREAKS_MAX; i++) {
        if (b->fd[i] >= 0 && b->at[i] == lin) {
            return true;
        }
    }
    return false;
}

/* The event; -1: refused. */
static int open_event(pid_t tid, uint64_t lin)
{
    struct perf_event_attr a = {
        .type = PERF_TYPE_BREAKPOINT,
        .size = sizeof a,
        .bp_type = HW_BREAKPOINT_X,
        .bp_addr = lin,
        .bp_len = sizeof(long), /* what the kernel wants for instructions */
        .sample_period = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
        .sigtrap = 1,
        .remove_on_exec = 1,   /* goes with it */
        .pinned = 1,
    };

    return (int)syscall(SYS_perf_event_open, &a, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* Does the host's kernel allow as many stops as BREAKS_BURST says?  It may lower this by itself. */
static bool are_allowed(void)
{
    int fd = open("/proc/sys/kernel/perf_event_max_sample_rate", O_RDONLY | O_CLOEXEC);
    char text[32] = "";
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;

    if (fd >= 0) {
        close(fd);
    }
    return n > 0 && strtoul(text, NULL, 10) >= BREAKS_RATE;
}

bool breaks_set(Breaks *b, pid_t tid, uint64_t lin)
{
    unsigned i = 0;

    if (breaks_has(b, lin)) {
        return true;
    }
    while (i < BREAKS_MAX && b->fd[i] >= 0) {
        i++;
    }
    if (i == BREAKS_MAX || !are_allowed()) {
        return false;
    }
    b->at[i] = lin;
    b->fd[i] = open_event(tid, lin);
    return b->fd[i] >= 0;
}

void breaks_clear(Breaks *b, uint64_t lin, uint64_t len)
{
    for (unsigned i = 0; i < BREAKS_MAX; i++) {
        if (b->fd[i] >= 0 && b->at[i] - lin < len) {
            close(b->fd[i]);
            b->fd[i] = -1;
        }
    }
}
