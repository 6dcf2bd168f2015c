/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

struct PerfMap {
    FILE *file;
};

PerfMap *perf_map_open(GError **error)
{
    g_autofree char *path = g_strdup_printf("/tmp/perf-%d.map", (int)getpid());
    /* /tmp is everybody's: never through somebody's link. */
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    PerfMap *m;

    if (fd < 0) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "perf-map: %s: %s", path,
                    g_strerror(errno));
        return NULL;
    }
    m = g_new0(PerfMap, 1);
    m->file = fdopen(fd, "w");
    setvbuf(m->file, NULL, _IOLBF, 0);
    return m;
}

void perf_map_add(PerfMap *m, const Block *b)
{
    fprintf(m->file, "%" PRIx64 " %x guest_%016" PRIx64 "\n%" PRIx64 " %x guest_%016" PRIx64 "_cold\n",
            (uint64_t)(uintptr_t)b->code, b->host_len, b->lin, (uint64_t)(uintptr_t)b->cold, b->cold_len, b->lin);
}

void perf_map_close(PerfMap *m)
{
    if (m != NULL) {
        fclose(m->file);
        g_free(m);
    }
}
