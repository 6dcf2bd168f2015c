/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP commands that write guest memory into files: memsave, pmemsave, dump-guest-memory. */
#include "cpu-x86/walk.h"
#include "monitor/qmp-core.h"
#include "monitor/qmp-fds.h"
#include "monitor/qmp-internal.h"
#include "monitor/run-loop.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int create(const char *path, GError **error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    if (fd < 0) {
        qmp_fail(error, QMP_GENERIC_ERROR, "Could not open '%s': %s", path, g_strerror(errno));
    }
    return fd;
}

static bool finish(int fd, bool ok, const char *path, GError **error)
{
    if (close(fd) != 0 && ok) {
        qmp_fail(error, QMP_GENERIC_ERROR, "writing to '%s' failed: %s", path, g_strerror(errno));
        return false;
    }
    return ok;
}

/* -- memsave, pmemsave ---------------------------------------------------------------------------------- */

enum { CHUNK = 4096 };         /* a page: memory is there by pages */

/* cpu NULL: physical addresses. */
static bool save(Machine *m, CpuState *cpu, uint64_t addr, uint64_t size, int fd,
                 const char *path, GError **error)
{
    uint8_t buf[CHUNK];

    while (size > 0) {
        size_t n = (size_t)MIN(size, CHUNK - addr % CHUNK);
        if (cpu == NULL) {
            phys_copy_from(m->mem, buf, guest_phys(addr), n);
        } else if (!cpu_debug_read(cpu, guest_lin(addr), buf, n)) {
            qmp_fail(error, QMP_GENERIC_ERROR, "Invalid addr 0x%016" G_GINT64_MODIFIER
                     "x/size %" G_GUINT64_FORMAT " specified", addr, size);
            return false;
        }
        if (!qmp_core_write(fd, buf, n)) {
            qmp_fail(error, QMP_GENERIC_ERROR, "writing to '%s' failed: %s", path,
                     g_strerror(errno));
            return false;
        }
        addr += n;
        size -= n;
    }
    return true;
}

static void save_to_file(QmpCall *c, CpuState *cpu, GError **error)
{
    const char *path = json_get_string(c->args, "filename");
    uint64_t size = json_get_address(c->args, "size");
    uint64_t addr = json_get_address(c->args, "val");
    int fd = create(path, error);

    if (fd >= 0) {
        run_loop_pause(c->machine);
        bool ok = save(c->machine, cpu, addr, size, fd, path, error);
        run_loop_resume(c->machine);
        finish(fd, ok, path, error);
    }
}

struct json_object *qmp_memsave(QmpCall *c, GError **error)
{
    int64_t cpu = json_get_int(c->args, "cpu-index", 0);

    if (cpu < 0 || cpu >= c->machine->n_cpus) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "Parameter 'cpu-index' expects a CPU number");
    }
    save_to_file(c, c->machine->cpus[cpu], error);
    return NULL;
}

struct json_object *qmp_pmemsave(QmpCall *c, GError **error)
{
    Machine *m = c->machine;
    uint64_t top = (UINT64_C(4) << 30) + (m->mem != NULL ? m->mem->size : 0);
    uint64_t addr = json_get_address(c->args, "val");
    uint64_t size = json_get_address(c->args, "size");

    if (m->mem == NULL) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "this machine has no memory");
    }
    if (addr > top || size > top - addr) {      /* no bound, and the disk would be full */
        return qmp_fail(error, QMP_GENERIC_ERROR, "Invalid addr 0x%016" G_GINT64_MODIFIER
                        "x/size %" G_GUINT64_FORMAT " specified", addr, size);
    }
    save_to_file(c, NULL, error);
    return NULL;
}

/* -- dump-guest-memory ---------------------------------------------------------------------------------- */

struct json_object *qmp_dump_guest_memory(QmpCall *c, GError **error)
{
    const char *where = json_get_string(c->args, "protocol");
    int fd;
    bool ok;

    if (json_get_bool(c->args, "paging", false)) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "paging=true is not supported: the dump has "
                        "physical addresses");
    }
    if (c->machine->mem == NULL) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "this machine has no memory");
    }
    if (g_str_has_prefix(where, "file:")) {
        fd = create(where + strlen("file:"), error);
    } else if (g_str_has_prefix(where, "fd:")) {
        fd = qmp_fds_take(c->machine->qmp, where + strlen("fd:"), error);
    } else {
        return qmp_fail(error, QMP_GENERIC_ERROR,
                        "parameter 'protocol' must start with 'file:' or 'fd:'");
    }
    if (fd < 0) {
        return NULL;
    }
    run_loop_pause(c->machine);
    ok = qmp_core_dump(c->machine, fd);
    run_loop_resume(c->machine);
    if (!ok) {
        qmp_fail(error, QMP_GENERIC_ERROR, "dump: writing failed: %s", g_strerror(errno));
    }
    finish(fd, ok, where, error);
    return NULL;
}

struct json_object *qmp_query_dump_guest_memory_capability(QmpCall *c, GError **error)
{
    struct json_object *o = json_object_new_object(), *formats = json_object_new_array();

    json_object_array_add(formats, json_object_new_string("elf"));
    json_add(o, "formats", formats);
    return o;
}
