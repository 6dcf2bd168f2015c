/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tree of objects: a path is followed each time, so that nothing here can be stale. */
#include "monitor/qom.h"

#include "monitor/back-ends.h"
#include "monitor/config.h"
#include "monitor/qmp-internal.h"
#include "monitor/qmp-objects.h"
#include "monitor/run-loop.h"

#include <string.h>

typedef enum {
    NODE_ROOT, NODE_MACHINE, NODE_UNATTACHED, NODE_PERIPHERAL, NODE_ANON, NODE_OBJECTS,
    NODE_CHARDEVS, NODE_CPU, NODE_DEVICE, NODE_VIRTIO, NODE_OBJECT, NODE_CHARDEV,
} NodeKind;

typedef struct {
    NodeKind kind;
    unsigned cpu;
    const Device *device;
    const BackEndChardev *chardev;
    const char *id;            /* of an object; borrowed from the path */
} Node;

/* -- Paths -------------------------------------------------------------------------------------------- */

char *qom_cpu_path(unsigned index)
{
    return g_strdup_printf("/machine/unattached/device[%u]", index);
}

char *qom_device_path(const Machine *m, const Device *d)
{
    unsigned n = m->n_cpus;

    if (d->id != NULL) {
        return g_strconcat("/machine/peripheral/", d->id, NULL);
    }
    for (guint i = 0; i < m->devices->len; i++) {
        const Device *other = g_ptr_array_index(m->devices, i);
        if (other == d) {
            break;
        }
        n += other->id == NULL;
    }
    return g_strdup_printf("/machine/unattached/device[%u]", n);
}

/* "device[7]" below /machine/unattached. */
static bool find_unattached(const Machine *m, const char *name, Node *n)
{
    uint64_t index;
    g_autofree char *digits = NULL;

    if (!g_str_has_prefix(name, "device[") || !g_str_has_suffix(name, "]")) {
        return false;
    }
    digits = g_strndup(name + 7, strlen(name) - 8);
    if (!g_ascii_string_to_unsigned(digits, 10, 0, UINT32_MAX, &index, NULL)) {
        return false;
    }
    if (index < m->n_cpus) {
        *n = (Node){.kind = NODE_CPU, .cpu = (unsigned)index};
        return true;
    }
    index -= m->n_cpus;
    for (guint i = 0; i < m->devices->len; i++) {
        const Device *d = g_ptr_array_index(m->devices, i);
        if (d->id == NULL && index-- == 0) {
            *n = (Node){.kind = NODE_DEVICE, .device = d};
            return true;
        }
    }
    return false;
}

static const BackEndChardev *find_chardev(const Machine *m, const char *id)
{
    for (guint i = 0; i < m->chardevs->len; i++) {
        const BackEndChardev *b = g_ptr_array_index(m->chardevs, i);
        if (strcmp(b->config->id, id) == 0) {
            return b;
        }
    }
    return NULL;
}

static bool is_virtio_pci(const Device *d)
{
    return g_str_has_prefix(d->cls->name, "virtio-") && g_str_has_suffix(d->cls->name, "-pci");
}

static bool find_child(Machine *m, Node parent, const char *name, Node *n)
{
    NodeKind at = parent.kind;
    static const struct {
        NodeKind at;
        const char *name;
        NodeKind kind;
    } fixed[] = {
        {NODE_ROOT, "machine", NODE_MACHINE},       {NODE_ROOT, "objects", NODE_OBJECTS},
        {NODE_ROOT, "chardevs", NODE_CHARDEVS},     {NODE_MACHINE, "unattached", NODE_UNATTACHED},
        {NODE_MACHINE, "peripheral", NODE_PERIPHERAL}, {NODE_MACHINE, "peripheral-anon", NODE_ANON},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++) {
        if (fixed[i].at == at && strcmp(fixed[i].name, name) == 0) {
            *n = (Node){.kind = fixed[i].kind};
            return true;
        }
    }
    switch (at) {
    case NODE_UNATTACHED:
        return find_unattached(m, name, n);
    case NODE_PERIPHERAL:
        *n = (Node){.kind = NODE_DEVICE, .device = machine_find_device(m, name)};
        return n->device != NULL;
    case NODE_DEVICE:          /* the virtio device behind a PCI function */
        if (strcmp(name, "virtio-backend") != 0 || !is_virtio_pci(parent.device)) {
            return false;
        }
        *n = (Node){.kind = NODE_VIRTIO, .device = parent.device};
        return true;
    case NODE_OBJECTS:
        *n = (Node){.kind = NODE_OBJECT, .id = name};
        return qmp_object_filename(m, name) != NULL;
    case NODE_CHARDEVS:
        *n = (Node){.kind = NODE_CHARDEV, .chardev = find_chardev(m, name)};
        return n->chardev != NULL;
    default:
        return false;
    }
}

/* `parts` keeps what the node borrows. */
static bool find_node(Machine *m, const char *path, char ***parts, Node *n, GError **error)
{
    bool ok = path[0] == '/';

    *parts = g_strsplit(path, "/", -1);
    *n = (Node){.kind = NODE_ROOT};
    for (char **p = *parts; ok && *p != NULL; p++) {
        ok = **p == '\0' || find_child(m, *n, *p, n);
    }
    if (!ok) {
        qmp_fail(error, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", path);
    }
    return ok;
}

/* -- What a node is ----------------------------------------------------------------------------------- */

static char *type_of(const Machine *m, const Node *n)
{
    switch (n->kind) {
    case NODE_MACHINE:
        return g_strconcat(config_machine_of(m->config)->name, "-machine", NULL);
    case NODE_CPU:
        return qom_cpu_type(cpu_model_name(m->cpu_model));
    case NODE_DEVICE:
        return g_strdup(n->device->cls->name);
    case NODE_VIRTIO: {
        g_autofree char *stem = g_strndup(n->device->cls->name, strlen(n->device->cls->name) - strlen("-pci"));
        return g_strconcat(stem, "-device", NULL);
    }
    case NODE_OBJECT:
        return g_strdup("rng-random");
    case NODE_CHARDEV:
        return g_strconcat("chardev-", n->chardev->mux != NULL ? "mux"
                                       : n->chardev->chardev->cls->name, NULL);
    default:
        return g_strdup("container");
    }
}

static void add_property(struct json_object *list, const char *name, const char *type)
{
    struct json_object *o = json_object_new_object();

    json_add_string(o, "name", name);
    json_add_string(o, "type", type);
    json_object_array_add(list, o);
}

static void add_child(const Machine *m, struct json_object *list, const char *name, const Node *n)
{
    g_autofree char *t = type_of(m, n), *type = g_strdup_printf("child<%s>", t);

    add_property(list, name, type);
}

static void list_unattached(const Machine *m, struct json_object *list)
{
    unsigned index = m->n_cpus;

    for (unsigned i = 0; i < m->n_cpus; i++) {
        g_autofree char *name = g_strdup_printf("device[%u]", i);
        add_child(m, list, name, &(Node){.kind = NODE_CPU, .cpu = i});
    }
    for (guint i = 0; i < m->devices->len; i++) {
        const Device *d = g_ptr_array_index(m->devices, i);
        if (d->id == NULL) {
            g_autofree char *name = g_strdup_printf("device[%u]", index++);
            add_child(m, list, name, &(Node){.kind = NODE_DEVICE, .device = d});
        }
    }
}

static void list_peripherals(const Machine *m, struct json_object *list)
{
    for (guint i = 0; i < m->devices->len; i++) {
        const Device *d = g_ptr_array_index(m->devices, i);
        if (d->id != NULL) {
            add_child(m, list, d->id, &(Node){.kind = NODE_DEVICE, .device = d});
        }
    }
}

static void list_chardevs(const Machine *m, struct json_object *list)
{
    for (guint i = 0; i < m->chardevs->len; i++) {
        const BackEndChardev *b = g_ptr_array_index(m->chardevs, i);
        add_child(m, list, b->config->id, &(Node){.kind = NODE_CHARDEV, .chardev = b});
    }
}

static void list_cpu(struct json_object *list)
{
    g_autoptr(GPtrArray) types = qom_types();
    struct json_object *props = qom_type_properties(types, qom_find_type(types, "max-x86_64-cpu"));

    for (size_t i = 0; i < json_object_array_length(props); i++) {
        struct json_object *p = json_object_array_get_idx(props, i);
        if (strcmp(json_get_string(p, "name"), "type") != 0) {
            add_property(list, json_get_string(p, "name"), json_get_string(p, "type"));
        }
    }
    json_object_put(props);
}

static void list_names(const char *const *names, const char *type, struct json_object *list)
{
    for (; *names != NULL; names++) {
        add_property(list, *names, type);
    }
}

struct json_object *qom_list(Machine *m, const char *path, GError **error)
{
    static const char *const root[] = {"machine", "objects", "chardevs", NULL};
    static const char *const machine[] = {"unattached", "peripheral", "peripheral-anon", NULL};
    g_auto(GStrv) parts = NULL;
    struct json_object *list;
    Node n, child;

    if (!find_node(m, path, &parts, &n, error)) {
        return NULL;
    }
    list = json_object_new_array();
    add_property(list, "type", "string");
    for (const char *const *c = n.kind == NODE_ROOT ? root : machine;
         n.kind <= NODE_MACHINE && *c != NULL; c++) {
        find_child(m, n, *c, &child);
        add_child(m, list, *c, &child);
    }
    switch (n.kind) {
    case NODE_UNATTACHED: list_unattached(m, list); break;
    case NODE_PERIPHERAL: list_peripherals(m, list); break;
    case NODE_OBJECTS: qmp_objects_list(m, list); break;
    case NODE_CHARDEVS: list_chardevs(m, list); break;
    case NODE_CPU: list_cpu(list); break;
    case NODE_DEVICE:
        if (is_virtio_pci(n.device)) {
            add_child(m, list, "virtio-backend", &(Node){.kind = NODE_VIRTIO, .device = n.device});
        }
        /* fall through */
    case NODE_VIRTIO:
        list_names((const char *const[]){"realized", "hotplugged", "hotpluggable", NULL}, "bool",
                   list);
        break;
    case NODE_OBJECT: add_property(list, "filename", "string"); break;
    case NODE_CHARDEV: add_property(list, "label", "string"); break;
    default: break;
    }
    return list;
}

/* -- Values ------------------------------------------------------------------------------------------- */

static struct json_object *cpu_vendor(const CpuState *cpu)
{
    uint32_t r[4];
    char text[13] = "";

    cpu_cpuid(cpu, 0, 0, r);
    memcpy(text, &r[1], 4);
    memcpy(text + 4, &r[3], 4);
    memcpy(text + 8, &r[2], 4);
    return json_object_new_string(text);
}

/* The display forms of CPUID.1:EAX (SDM 2A, CPUID, figure 3-6). */
static int64_t cpu_identity(const CpuModel *m, const char *what)
{
    uint32_t s = cpu_model_signature(m), family = s >> 8 & 15, model = s >> 4 & 15;

    if (family == 6 || family == 15) {
        model |= (s >> 16 & 15) << 4;
    }
    if (family == 15) {
        family += s >> 20 & 255;
    }
    return strcmp(what, "family") == 0 ? family : strcmp(what, "model") == 0 ? model : s & 15;
}

static bool get_cpu(const Machine *m, unsigned cpu, const char *property,
                    struct json_object **value)
{
    if (strcmp(property, "apic-id") == 0) {
        *value = json_object_new_int64(cpu);
    } else if (strcmp(property, "thread-id") == 0) {
        *value = json_object_new_int64(run_loop_thread_id(m, cpu));
    } else if (strcmp(property, "family") == 0 || strcmp(property, "model") == 0 ||
               strcmp(property, "stepping") == 0) {
        *value = json_object_new_int64(cpu_identity(m->cpu_model, property));
    } else if (strcmp(property, "vendor") == 0) {
        *value = cpu_vendor(m->cpus[cpu]);
    } else if (strcmp(property, "unavailable-features") == 0) {
        *value = json_object_new_array();
    } else {
        for (unsigned i = 0; i < FEAT_COUNT; i++) {
            if (strcmp(cpu_feature_name((CpuFeature)i), property) == 0) {
                *value = json_object_new_boolean(cpu_model_has(m->cpu_model, (CpuFeature)i));
                return true;
            }
        }
        return false;
    }
    return true;
}

static bool get_value(Machine *m, const Node *n, const char *property, struct json_object **value)
{
    bool is_device = n->kind == NODE_CPU || n->kind == NODE_DEVICE || n->kind == NODE_VIRTIO;

    if (strcmp(property, "type") == 0) {
        g_autofree char *type = type_of(m, n);
        *value = json_object_new_string(type);
    } else if (is_device && strcmp(property, "realized") == 0) {
        *value = json_object_new_boolean(true);
    } else if (is_device && g_str_has_prefix(property, "hotplug") &&
               (strcmp(property + 7, "ged") == 0 || strcmp(property + 7, "gable") == 0)) {
        *value = json_object_new_boolean(false);
    } else if (n->kind == NODE_CPU) {
        return get_cpu(m, n->cpu, property, value);
    } else if (n->kind == NODE_OBJECT && strcmp(property, "filename") == 0) {
        *value = json_object_new_string(qmp_object_filename(m, n->id));
    } else if (n->kind == NODE_CHARDEV && strcmp(property, "label") == 0) {
        *value = json_object_new_string(n->chardev->config->id);
    } else {
        return false;
    }
    return true;
}

/* A child's value is its path. */
static bool get_child(Machine *m, const Node *n, const char *path, const char *property,
                      struct json_object **value)
{
    g_autofree char *child_path = g_strconcat(path, g_str_has_suffix(path, "/") ? "" : "/",
                                              property, NULL);
    Node child;

    if (*property == '\0' || strchr(property, '/') != NULL ||
        !find_child(m, *n, property, &child)) {
        return false;
    }
    *value = json_object_new_string(child_path);
    return true;
}

bool qom_get(Machine *m, const char *path, const char *property, struct json_object **value,
             GError **error)
{
    g_auto(GStrv) parts = NULL;
    Node n;

    if (!find_node(m, path, &parts, &n, error)) {
        return false;
    }
    if (!get_value(m, &n, property, value) && !get_child(m, &n, path, property, value)) {
        g_autofree char *type = type_of(m, &n);
        qmp_fail(error, QMP_GENERIC_ERROR, "Property '%s.%s' not found", type, property);
        return false;
    }
    return true;
}
