/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/migrate-state.h"

#include "cpu-x86/cpu-save.h"
#include "hw/pci.h"
#include "monitor/back-ends.h"
#include "monitor/config.h"
#include "monitor/machine-pc.h"
#include "monitor/report.h"

#include <string.h>

/* -- Parts ------------------------------------------------------------------------------------------ */

/* One after another: the machine, its CPUs, its devices in the order they were made in, what lies between them. */
typedef struct {
    const char *name;
    unsigned number;           /* among those of the same name */
    const FieldTable *table;   /* NULL: it cannot be saved     */
    void *state;
} Part;

/* Of the machine as a whole, on its way. */
typedef struct {
    uint64_t clock_ns, tsc_hz;
    bool a20, running;
} Common;

static const Field common_fields[] = {
    FIELD_MAX(Common, clock_ns, INT64_MAX), FIELD(Common, tsc_hz), FIELD(Common, a20), FIELD(Common, running),
};
static const FieldTable common_state = {.version = 1, FIELDS(common_fields)};

enum { FIRST_CPU = 1 };

unsigned migrate_state_count(const Machine *m)
{
    return FIRST_CPU + m->n_cpus + m->devices->len + 2;
}

static Part device_part(const Machine *m, unsigned n)
{
    Device *d = g_ptr_array_index(m->devices, n);
    unsigned number = 0;

    for (unsigned i = 0; i < n; i++) {
        const Device *other = g_ptr_array_index(m->devices, i);
        number += strcmp(other->cls->name, d->cls->name) == 0;
    }
    return (Part){d->cls->name, number, d->cls->state, d};
}

static Part part_of(const Machine *m, unsigned index, Common *common)
{
    if (index < FIRST_CPU) {
        return (Part){"machine", 0, &common_state, common};
    }
    index -= FIRST_CPU;
    if (index < m->n_cpus) {
        return (Part){"cpu", index, &cpu_state_fields, m->cpus[index]};
    }
    index -= m->n_cpus;
    if (index < m->devices->len) {
        return device_part(m, index);
    }
    index -= m->devices->len;
    return index == 0 ? (Part){"board", 0, m->cls->state, m->platform}
                      : (Part){"paravirtual", 0, m->pv != NULL ? &pv_state : &fields_none, m->pv};
}

/* -- Description -------------------------------------------------------------------------------------- */

static void append_features(const CpuModel *model, GString *out)
{
    for (unsigned f = 0; f < FEAT_COUNT; f++) {
        if (cpu_model_has(model, f)) {
            g_string_append_printf(out, " %s", cpu_feature_name(f));
        }
    }
}

static void append_devices(const Machine *m, GString *out)
{
    for (guint i = 0; i < m->devices->len; i++) {
        Device *d = g_ptr_array_index(m->devices, i);

        g_string_append_printf(out, "device %u=%s", i, d->cls->name);
        for (unsigned f = 0; machine_pc_bus((Machine *)m) != NULL && f < 256; f++) {
            if ((Device *)pci_bus_find(machine_pc_bus((Machine *)m), f) == d) {
                g_string_append_printf(out, " at %02x.%x", f >> 3, f & 7);
            }
        }
        g_string_append_c(out, '\n');
    }
}

char *migrate_describe(const Machine *m)
{
    GString *out = g_string_new(NULL);

    g_string_append_printf(out, "machine=%s\nmemory=%" G_GUINT64_FORMAT "\ncpus=%u\n", m->cls->name,
                           m->config->ram_size >> 20, m->n_cpus);
    if (m->cpu_model != NULL) {
        g_string_append_printf(out, "cpu=%s, signature %#x, %u address bits, KVM %s\nfeatures=", cpu_model_name(m->cpu_model),
                               cpu_model_signature(m->cpu_model), cpu_model_phys_bits(m->cpu_model),
                               cpu_model_is_kvm(m->cpu_model) ? "shown" : "hidden");
        append_features(m->cpu_model, out);
        g_string_append_c(out, '\n');
    }
    append_devices(m, out);
    g_string_append_printf(out, "all memory=%" G_GUINT64_FORMAT "\n", m->mem != NULL ? m->mem->used : 0);
    return g_string_free(out, FALSE);
}

/* What to look at where a key differs. */
static const struct {
    const char *key, *option;
} options[] = {
    {"machine=", "-machine"}, {"memory=", "-m"}, {"cpus=", "-smp"}, {"cpu=", "-cpu"}, {"features=", "-cpu"},
    {"device", "-device, -drive, -serial and such"}, {"all memory=", "-bios, -vga and such"},
};

/* The words of `a` that are not in `b`. */
static char *missing_words(const char *a, const char *b)
{
    g_auto(GStrv) have = g_strsplit(b, " ", -1), words = g_strsplit(a, " ", -1);
    GString *out = g_string_new(NULL);

    for (char **w = words; *w != NULL; w++) {
        if (!g_strv_contains((const char *const *)have, *w)) {
            g_string_append_printf(out, "%s%s", out->len > 0 ? " " : "", *w);
        }
    }
    return g_string_free(out, FALSE);
}

static bool features_differ(const char *there, const char *here, GError **error)
{
    g_autofree char *lost = missing_words(there, here), *more = missing_words(here, there);

    if (lost[0] != '\0') {
        return fail(error, "its CPUs have %s, those here have not (-cpu names what both have)", lost);
    }
    return fail(error, "its CPUs have not %s, those here have (-cpu names what both have)", more);
}

static bool line_differs(const char *there, const char *here, GError **error)
{
    const char *option = "the command line";

    if (there != NULL && here != NULL && g_str_has_prefix(there, "features=") && g_str_has_prefix(here, "features=")) {
        return features_differ(there + strlen("features="), here + strlen("features="), error);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        const char *line = there != NULL ? there : here;
        if (g_str_has_prefix(line, options[i].key)) {
            option = options[i].option;
        }
    }
    return fail(error, "another machine was saved: it has %s, this one %s (%s)", there != NULL ? there : "less",
                here != NULL ? here : "less", option);
}

bool migrate_check_description(const Machine *m, const char *text, GError **error)
{
    g_autofree char *own = migrate_describe(m);
    g_auto(GStrv) here = g_strsplit(own, "\n", -1), there = g_strsplit(text, "\n", -1);

    for (unsigned i = 0; here[i] != NULL || there[i] != NULL; i++) {
        if (here[i] == NULL || there[i] == NULL || strcmp(here[i], there[i]) != 0) {
            return line_differs(there[i], here[i], error);
        }
    }
    return true;
}

bool migrate_check_blockers(const Machine *m, GError **error)
{
    Common common;

    if (m->icount != NULL) {
        return fail(error, "migration is blocked by -icount: how far its clock is is not saved");
    }
    for (unsigned i = 0; i < migrate_state_count(m); i++) {
        Part p = part_of(m, i, &common);
        if (p.table == NULL) {
            return fail(error, "migration is blocked by device '%s': its state cannot be saved", p.name);
        }
    }
    for (guint i = 0; i < m->blocks->len; i++) {
        const BackEndBlock *b = g_ptr_array_index(m->blocks, i);
        if (b->config->snapshot && b->block != NULL) {
            return fail(error, "migration is blocked by drive '%s': its snapshot=on keeps what was written in this process",
                        b->config->id);
        }
    }
    return true;
}

/* -- Time --------------------------------------------------------------------------------------------- */

static uint64_t stopped_tsc(void *arg)
{
    return ((const Machine *)arg)->stopped_tsc;
}

void migrate_hold_tsc(Machine *m, bool hold)
{
    for (unsigned i = 0; i < m->n_cpus; i++) {
        m->cpus[i]->tsc_now = hold ? stopped_tsc : NULL;
        m->cpus[i]->tsc_arg = hold ? m : NULL;
    }
}

/*
 * The guest has been told a frequency, and devices and interfaces have to go on with that one.  Two processes on one host
 * measure it a little differently, so what lies closer than 500 ppm, which is what time servers correct, is the same here.
 * Elsewhere the TSC has another: a guest that has measured it goes wrong by as much.
 */
static void take_tsc_hz(Machine *m, uint64_t there)
{
    uint64_t here = m->cpus[0]->tsc_hz, differ = there > here ? there - here : here - there;

    if (differ <= here / 2000) {
        for (unsigned i = 0; i < m->n_cpus; i++) {
            m->cpus[i]->tsc_hz = there;
        }
    } else if (there != 0) {
        report_warning("the machine comes from a host whose TSC has %.3f MHz, this one's has %.3f: the guest's clock may be "
                       "off by as much", (double)there / 1e6, (double)here / 1e6);
    }
}

/* -- Saving and loading -------------------------------------------------------------------------------- */

static void append_head(GByteArray *out, const Part *p)
{
    uint8_t len = (uint8_t)strlen(p->name);
    uint32_t number = p->number;

    g_byte_array_append(out, &len, 1);
    g_byte_array_append(out, (const uint8_t *)p->name, len);
    g_byte_array_append(out, (const uint8_t *)&number, sizeof number);
}

GPtrArray *migrate_save_state(Machine *m, bool was_running, GError **error)
{
    GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
    Common common = {.clock_ns = clock_now(m->clock), .running = was_running,
                     .a20 = m->mem == NULL || m->mem->address_mask == UINT64_MAX,
                     .tsc_hz = m->n_cpus > 0 ? m->cpus[0]->tsc_hz : 0};
    bool ok = true;

    migrate_hold_tsc(m, true);
    for (unsigned i = 0; ok && i < migrate_state_count(m); i++) {
        Part p = part_of(m, i, &common);
        GByteArray *out = g_byte_array_new();

        g_ptr_array_add(all, out);
        append_head(out, &p);
        ok = fields_save(out, p.table, p.state, error);
        if (!ok) {
            g_prefix_error(error, "migration is blocked by device '%s': ", p.name);
        }
    }
    migrate_hold_tsc(m, false);
    if (!ok) {
        g_ptr_array_unref(all);
        return NULL;
    }
    return all;
}

/* Behind the head, or NULL: it is another part's. */
static const uint8_t *skip_head(const Part *p, const uint8_t *bytes, size_t len, GError **error)
{
    size_t name_len = strlen(p->name);
    uint32_t number;

    if (len < 1 || len < 1 + bytes[0] + sizeof number) {
        fail(error, "%s %u: it is cut off", p->name, p->number);
        return NULL;
    }
    memcpy(&number, bytes + 1 + bytes[0], sizeof number);
    if (bytes[0] != name_len || memcmp(bytes + 1, p->name, name_len) != 0 || number != p->number) {
        g_autofree char *other = g_utf8_make_valid((const char *)bytes + 1, bytes[0]);
        fail(error, "%s %u: the state of '%s' %u is in its place", p->name, p->number, other, number);
        return NULL;
    }
    return bytes + 1 + name_len + sizeof number;
}

static void take_common(Machine *m, const Common *c)
{
    clock_host_set(m->clock, c->clock_ns);
    if (m->mem != NULL) {
        phys_mem_set_a20(m->mem, c->a20);
    }
    if (m->n_cpus > 0) {
        take_tsc_hz(m, c->tsc_hz);
    }
    m->runs_after_load = c->running;
}

bool migrate_load_state(Machine *m, unsigned index, const uint8_t *bytes, size_t len, GError **error)
{
    Common common = {0};
    Part p = part_of(m, index, &common);
    const uint8_t *fields = skip_head(&p, bytes, len, error);

    if (fields == NULL) {
        return false;
    }
    if (p.table == NULL) {
        return fail(error, "%s: its state cannot be loaded", p.name);
    }
    if (!fields_load(fields, len - (size_t)(fields - bytes), p.table, p.state, error)) {
        g_prefix_error(error, "%s %u: ", p.name, p.number);
        return false;
    }
    if (index == 0) {
        take_common(m, &common);
    }
    return true;
}

void migrate_loaded(Machine *m)
{
    m->has_run = true;         /* time goes on from what it was */
    if (m->pv != NULL) {
        pv_moved(m->pv);
    }
    for (guint i = 0; i < m->devices->len; i++) {
        Device *d = g_ptr_array_index(m->devices, i);
        if (d->cls->moved != NULL) {
            d->cls->moved(d);
        }
    }
}
