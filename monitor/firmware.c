/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/firmware.h"

#include "monitor/report.h"
#include "softmmu/base/bits.h"

#include <string.h>

static const char *const places[] = {
    "/usr/local/share/qemu", "/usr/share/qemu", "/usr/share/seabios", "/usr/share/vgabios",
};

static char *find(const MachineConfig *c, const char *name)
{
    for (guint i = 0; i < c->firmware_dirs->len; i++) {
        char *path = g_build_filename(g_ptr_array_index(c->firmware_dirs, i), name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
            return path;
        }
        g_free(path);
    }
    if (g_file_test(name, G_FILE_TEST_EXISTS)) {
        return g_strdup(name);
    }
    for (size_t i = 0; i < ARRAY_LEN(places) && strchr(name, '/') == NULL; i++) {
        char *path = g_build_filename(places[i], name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
            return path;
        }
        g_free(path);
    }
    return NULL;
}

GBytes *firmware_read(const MachineConfig *c, const char *name, uint64_t max, GError **error)
{
    g_autofree char *path = find(c, name);
    g_autoptr(GError) why = NULL;
    char *data;
    gsize len;

    if (path == NULL) {
        fail(error, "firmware '%s' is nowhere to be found (Debian's package seabios has it; -L DIR "
             "names another place)", name);
        return NULL;
    }
    if (!g_file_get_contents(path, &data, &len, &why)) {
        fail(error, "cannot read firmware %s", why->message);
        return NULL;
    }
    if (len == 0 || len > max) {
        g_free(data);
        fail(error, "firmware %s has %zu bytes; 1 to %" G_GUINT64_FORMAT " are possible", path,
             (size_t)len, max);
        return NULL;
    }
    return g_bytes_new_take(data, len);
}
