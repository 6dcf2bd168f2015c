/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/accel.h"

#include "hwaccel/engine.h"
#include "monitor/config.h"
#include "monitor/hmp-internal.h"
#include "monitor/qmp-internal.h"
#include "monitor/report.h"
#include "monitor/run-loop.h"
#include "translator/engine.h"

#include <string.h>

/* -- All CPUs --------------------------------------------------------------------------------------- */

const void *accel_config(Machine *m, const EngineClass *engine)
{
    m->kvm = m->config->kvm;
    m->kvm.context = m->context;
    return engine == &translate_engine ? (const void *)&m->config->translate
           : engine == &kvm_engine     ? (const void *)&m->kvm
                                       : NULL;
}

static bool attach_one(Machine *m, CpuState *cpu, const EngineClass *engine, GError **error)
{
    cpu->engine = engine;
    cpu->engine_config = accel_config(m, engine);
    /* every engine falls back on the interpreter */
    return interp_engine.attach(cpu, error) && engine->attach(cpu, error);
}

/* All CPUs or none. */
static bool attach(Machine *m, const EngineClass *engine, GError **error)
{
    for (unsigned i = 0; i < m->n_cpus; i++) {
        if (!attach_one(m, m->cpus[i], engine, error)) {
            while (i-- > 0) {
                engine->detach(m->cpus[i]);
            }
            return false;
        }
    }
    return true;
}

static void detach(Machine *m)
{
    for (unsigned i = 0; i < m->n_cpus; i++) {
        m->engine->detach(m->cpus[i]);
        m->cpus[i]->engine = &interp_engine;
    }
}

bool accel_attach_all(Machine *m, GError **error)
{
    return attach(m, m->engine, error);
}

/* -- Those of before ------------------------------------------------------------------------------- */

typedef struct {
    const EngineClass *engine;
    unsigned spells;
    uint64_t ns;               /* of the machine's clock */
    char *counted;             /* in the last spell; owned */
} PastEngine;

static void append_statistics(const Machine *m, GString *out)
{
    for (unsigned i = 0; i < m->n_cpus && m->engine->print_stats != NULL; i++) {
        g_string_append_printf(out, "CPU %u\n", i);
        m->engine->print_stats(m->cpus[i], out);
    }
}

/* The CPUs are parked, the engine is about to be detached. */
static void keep_past(Machine *m)
{
    uint64_t now = clock_now(m->clock);
    GString *counted = g_string_new(NULL);
    PastEngine *p = NULL;

    if (m->past_engines == NULL) {
        m->past_engines = g_array_new(FALSE, TRUE, sizeof(PastEngine));
    }
    for (unsigned i = 0; i < m->past_engines->len && p == NULL; i++) {
        PastEngine *q = &g_array_index(m->past_engines, PastEngine, i);
        p = q->engine == m->engine ? q : NULL;
    }
    if (p == NULL) {
        g_array_set_size(m->past_engines, m->past_engines->len + 1);
        p = &g_array_index(m->past_engines, PastEngine, m->past_engines->len - 1);
        p->engine = m->engine;
    }
    append_statistics(m, counted);
    g_free(p->counted);
    p->counted = g_string_free(counted, FALSE);
    p->spells++;
    p->ns += now - m->engine_since;
    m->engine_since = now;
}

void accel_describe_past(Machine *m, GString *out)
{
    for (unsigned i = 0; m->past_engines != NULL && i < m->past_engines->len; i++) {
        const PastEngine *p = &g_array_index(m->past_engines, PastEngine, i);

        g_string_append_printf(out, "before, engine %s: %.3f s in %u spell%s%s\n%s", p->engine->name, (double)p->ns / 1e9,
                               p->spells, p->spells == 1 ? "" : "s", p->counted[0] != '\0' ? ", of which the last" : "",
                               p->counted);
    }
}

void accel_clear_past(Machine *m)
{
    for (unsigned i = 0; m->past_engines != NULL && i < m->past_engines->len; i++) {
        g_free(g_array_index(m->past_engines, PastEngine, i).counted);
    }
    if (m->past_engines != NULL) {
        g_array_free(m->past_engines, TRUE);
        m->past_engines = NULL;
    }
}

/* -- Changing it ------------------------------------------------------------------------------------ */

static const ConfigEngine *find(const char *name, GError **error)
{
    for (size_t i = 0; config_engine(i) != NULL; i++) {
        const ConfigEngine *e = config_engine(i);
        if (strcmp(e->name, name) == 0) {
            const char *missing = e->engine == NULL            ? "it is not in this build"
                                  : e->engine->missing == NULL ? NULL
                                                               : e->engine->missing();
            if (missing != NULL) {
                fail(error, "engine '%s' cannot be used: %s", name, missing);
                return NULL;
            }
            return e;
        }
    }
    fail(error, "no engine is called '%s'", name);
    return NULL;
}

bool accel_set(Machine *m, const char *name, GError **error)
{
    const ConfigEngine *e = find(name, error);
    const EngineClass *old = m->engine;
    g_autoptr(GError) lost = NULL;
    bool ok;

    if (e == NULL) {
        return false;
    }
    if (e->engine == old) {
        return true;
    }
    if (m->icount != NULL && e->engine == &kvm_engine) {
        return fail(error, "with -icount: kvm counts no instructions");
    }
    run_loop_pause(m);
    keep_past(m);
    detach(m);
    ok = attach(m, e->engine, error);
    if (ok) {
        m->engine = e->engine;
    } else if (!attach(m, old, &lost)) {
        report_error("the engine %s is lost: %s", old->name, lost->message);
        m->engine = &interp_engine; /* attached already: it always is */
        for (unsigned i = 0; i < m->n_cpus; i++) {
            m->cpus[i]->engine = m->engine;
        }
    }
    run_loop_resume(m);
    return ok;
}

/* -- Monitors ---------------------------------------------------------------------------------------- */

static void describe_engine(const ConfigEngine *e, bool runs, GString *out)
{
    const EngineClass *c = e->engine;
    const char *missing = c->missing != NULL ? c->missing() : NULL;
    const char *drawback = missing == NULL && c->drawback != NULL ? c->drawback() : NULL;

    g_string_append_printf(out, "%c %-10s %s\n", runs ? '*' : ' ', e->name, e->help);
    if (missing != NULL) {
        g_string_append_printf(out, "    not usable: %s\n", missing);
    }
    if (drawback != NULL) {
        g_string_append_printf(out, "    not chosen unless named: %s\n", drawback);
    }
    if (missing == NULL && c->describe != NULL) {
        c->describe(out);
    }
}

void accel_describe(Machine *m, GString *out)
{
    for (size_t i = 0; config_engine(i) != NULL; i++) {
        if (config_engine(i)->engine != NULL) {
            describe_engine(config_engine(i), config_engine(i)->engine == m->engine, out);
        }
    }
    if (m->engine->print_stats != NULL) {
        run_loop_pause(m);
        append_statistics(m, out);
        run_loop_resume(m);
    }
    accel_describe_past(m, out);
}

void hmp_info_accel(HmpCall *c)
{
    accel_describe(c->machine, c->out);
}

void hmp_accel_set(HmpCall *c)
{
    g_autoptr(GError) error = NULL;

    if (c->argc != 1) {
        hmp_error(c, "accel-set takes the name of an engine; 'info accel' lists them");
    } else if (!accel_set(c->machine, c->argv[0], &error)) {
        hmp_error(c, "%s", error->message);
    }
}

struct json_object *qmp_accel_set(QmpCall *c, GError **error)
{
    g_autoptr(GError) why = NULL;

    if (!accel_set(c->machine, json_get_string(c->args, "name"), &why)) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "%s", why->message);
    }
    return json_object_new_object();
}
