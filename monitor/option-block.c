/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -blockdev: graphs of block nodes.
 *
 *     raw "disk"  ->  file "disk-storage"  ->  disk.img
 *
 * A format node (raw) stands on a protocol node (file, host_device) or on another raw one, which it names or
 * which is written into it as file.driver=...  Each node on which no other stands can be a device's
 * drive=: it becomes a DriveConfig.  The image is opened once, as the top node wants it.
 */
#include "monitor/config-internal.h"

#include "monitor/report.h"

#include <string.h>

void node_config_free(NodeConfig *n)
{
    g_free(n->option);
    g_free(n->name);
    g_free(n->filename);
    g_free(n->child);
    g_free(n);
}

static NodeConfig *find_node(const MachineConfig *c, const char *name)
{
    for (guint i = 0; i < c->nodes->len; i++) {
        NodeConfig *n = g_ptr_array_index(c->nodes, i);
        if (strcmp(n->name, name) == 0) {
            return n;
        }
    }
    return NULL;
}

/* -- Parsing ------------------------------------------------------------------------------------------ */

static bool take_common(NodeConfig *n, OptList *l, GError **error)
{
    static const char *const discards[] = {"ignore", "off", "unmap", "on", NULL};
    bool auto_read_only;       /* the top node says what the image is opened for */
    int discard = 2;

    if (!opt_take_flag(l, "read-only", &n->read_only, error) ||
        !opt_take_flag(l, "auto-read-only", &auto_read_only, error) ||
        !opt_take_flag(l, "cache.direct", &n->direct, error) ||
        !opt_take_flag(l, "cache.no-flush", &n->no_flush, error) ||
        !opt_take_choice(l, "discard", discards, &discard, error) ||
        !opt_take_only(l, "detect-zeroes", "off", error) ||
        !opt_take_only(l, "force-share", "off", error)) {
        return false;
    }
    n->no_discard = discard < 2;
    return true;
}

static bool take_file(NodeConfig *n, OptList *l, GError **error)
{
    static const char *const lockings[] = {"auto", "on", "off", NULL};
    int locking = 0;

    opt_take_string(l, "filename", &n->filename);
    if (!opt_take_choice(l, "locking", lockings, &locking, error) ||
        !opt_take_only(l, "aio", "threads", error)) {
        return false;
    }
    n->no_lock = locking == 2;
    return true;
}

static NodeConfig *take_node(MachineConfig *c, OptList *l, const char *typed, const char *made_up,
                             GError **error);

/* raw: file=NODE, or file.driver=... */
static bool take_raw(MachineConfig *c, NodeConfig *n, OptList *l, const char *typed, GError **error)
{
    g_autoptr(OptList) below = opt_take_group(l, "file.");
    g_autofree char *made_up = g_strdup_printf("#block%03u", c->nodes->len);

    opt_take_string(l, "file", &n->child);
    if (below != NULL) {
        NodeConfig *child = take_node(c, below, typed, made_up, error);
        if (child == NULL) {
            return false;
        }
        g_free(n->child);
        n->child = g_strdup(child->name);
    }
    return n->child != NULL || opt_list_wants_help(l) || fail(error, "file= is needed");
}

static NodeConfig *take_node(MachineConfig *c, OptList *l, const char *typed, const char *made_up,
                             GError **error)
{
    static const char *const drivers[] = {"raw", "file", "host_device", NULL};
    NodeConfig *n = g_new0(NodeConfig, 1);
    int driver = -1;
    bool ok;

    n->option = g_strdup(typed);
    n->name = g_strdup(made_up);
    opt_take_string(l, "node-name", &n->name);
    ok = opt_take_choice(l, "driver", drivers, &driver, error) && take_common(n, l, error) &&
         (driver > 0 ? take_file(n, l, error)
          : driver < 0 || take_raw(c, n, l, typed, error)) && opt_list_finish(l, error);
    if (ok && driver < 0) {
        ok = fail(error, "driver= is needed: raw, file or host_device");
    } else if (ok && driver > 0 && n->filename == NULL) {
        ok = fail(error, "filename= is needed");
    } else if (ok && (n->name == NULL || *n->name == '\0' || strlen(n->name) > 31)) {
        ok = fail(error, "node-name= is needed, of at most 31 characters");
    } else if (ok && find_node(c, n->name) != NULL) {
        ok = fail(error, "there is already a node called '%s'", n->name);
    }
    if (!ok) {
        node_config_free(n);
        return NULL;
    }
    g_ptr_array_add(c->nodes, n);
    return n;
}

ConfigResult option_blockdev(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse_either(use->arg, "driver", error);

    return config_result(l != NULL && take_node(c, l, use->typed, NULL, error) != NULL);
}

/* -- Drives of nodes ---------------------------------------------------------------------------------- */

/* The file at the bottom, with what the nodes on the way say added to `top`; NULL with `error`. */
static const NodeConfig *bottom(const MachineConfig *c, NodeConfig *top, GError **error)
{
    NodeConfig *n = top;

    for (guint depth = 0; n->filename == NULL; depth++) {
        NodeConfig *child = find_node(c, n->child);
        if (child == NULL || depth == c->nodes->len) {
            fail(error, child == NULL ? "%s: there is no node '%s'"
                                      : "%s: node '%s' stands on itself", n->option, n->child);
            return NULL;
        }
        n = child;
        top->read_only |= n->read_only;
        top->direct |= n->direct;
        top->no_flush |= n->no_flush;
        top->no_lock |= n->no_lock;
        top->no_discard |= n->no_discard;
    }
    return n;
}

static bool check_uses(const MachineConfig *c, GError **error)
{
    for (guint i = 0; i < c->nodes->len; i++) {
        const NodeConfig *n = g_ptr_array_index(c->nodes, i);
        NodeConfig *child = n->child != NULL ? find_node(c, n->child) : NULL;
        if (n->child != NULL && child == NULL) {
            return fail(error, "%s: there is no node '%s'", n->option, n->child);
        }
        if (child != NULL && child->used) {
            return fail(error, "%s: node '%s' is in use already", n->option, n->child);
        }
        if (child != NULL) {
            child->used = true;
        }
    }
    return true;
}

bool config_resolve_nodes(MachineConfig *c, GError **error)
{
    if (!check_uses(c, error)) {
        return false;
    }
    for (guint i = 0; i < c->nodes->len; i++) {
        NodeConfig *n = g_ptr_array_index(c->nodes, i);
        const NodeConfig *file = bottom(c, n, error);
        DriveConfig *d;

        if (file == NULL) {
            return false;
        }
        if (n->used) {
            continue;
        }
        if (n->direct && n->no_flush) {
            return fail(error, "%s: cache.direct=on goes with cache.no-flush=off only", n->option);
        }
        d = g_new0(DriveConfig, 1);
        *d = (DriveConfig){.option = g_strdup(n->option), .id = g_strdup(n->name),
                           .file = g_strdup(file->filename), .interface = IF_NONE,
                           .format = g_strdup("raw"), .is_node = true, .read_only = n->read_only,
                           .no_lock = n->no_lock, .no_discard = n->no_discard,
                           .cache = n->direct ? CACHE_NONE : n->no_flush ? CACHE_UNSAFE
                                                                         : CACHE_WRITEBACK,
                           .snapshot = c->snapshot};
        if (!config_keep_drive(c, d, false, error)) {
            g_prefix_error(error, "%s: ", n->option);
            return false;
        }
    }
    return true;
}
