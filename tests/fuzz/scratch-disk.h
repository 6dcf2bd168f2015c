/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk in memory for fuzzers: a memfd opened as a raw image, filled with its sectors' numbers. */
#ifndef TESTS_FUZZ_SCRATCH_DISK_H
#define TESTS_FUZZ_SCRATCH_DISK_H

#include "hw/block.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static inline void scratch_run_locked(void *machine, void (*fn)(void *), void *arg)
{
    fn(arg);
}

/* Close with block_close(). */
static inline BlockBackend *scratch_disk(uint64_t len, GMainContext *context, BlockOptions o)
{
    int fd = memfd_create("scratch", MFD_CLOEXEC);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autoptr(GError) error = NULL;
    uint8_t sector[512];

    g_assert(fd >= 0 && ftruncate(fd, (off_t)len) == 0);
    for (uint64_t at = 0; at + 512 <= len && at < 64 * 512; at += 512) {
        memset(sector, (int)(at / 512), 512);
        g_assert(pwrite(fd, sector, 512, (off_t)at) == 512);
    }
    o.filename = path;
    BlockBackend *b = block_open(&o, context, scratch_run_locked, NULL, &error);
    g_assert_no_error(error);
    close(fd);
    return b;
}

#endif /* TESTS_FUZZ_SCRATCH_DISK_H */
