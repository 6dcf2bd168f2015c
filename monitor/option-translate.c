/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The properties of `-accel translate` (translator/properties.def), taken from its option list. */
#include "monitor/config-internal.h"

#include <stdio.h>
#include <string.h>

static bool take_property(MachineConfig *c, OptList *l, const TransProperty *p, GError **error)
{
    unsigned *field = trans_number(&c->translate, p);
    bool ok;

    if (p->kind == TRANS_PROP_FLAG) {
        return opt_take_flag(l, p->name, trans_flag(&c->translate, p), error);
    }
    if (p->kind == TRANS_PROP_STRING) {
        opt_take_string(l, p->name, trans_string(&c->translate, p));
        return true;
    }
    if (p->kind == TRANS_PROP_NUMBER) {
        uint64_t n = *field;
        ok = opt_take_number(l, p->name, p->min, p->max, &n, error);
        *field = (unsigned)n;
    } else {
        g_auto(GStrv) names = g_strsplit(p->choices, "|", -1);
        int i = (int)*field;
        ok = opt_take_choice(l, p->name, (const char *const *)names, &i, error);
        *field = (unsigned)i;
    }
    return ok;
}

bool config_take_translate(MachineConfig *c, OptList *l, GError **error)
{
    const TransProperty *p;

    for (size_t i = 0; (p = trans_property(i)) != NULL; i++) {
        if (!take_property(c, l, p, error)) {
            return false;
        }
    }
    return true;
}

void config_print_translate_help(void)
{
    TransConfig c = trans_policy;
    const TransProperty *p;

    printf("translate options:\n");
    for (size_t i = 0; (p = trans_property(i)) != NULL; i++) {
        g_autofree char *takes = NULL, *now = NULL;
        if (p->kind == TRANS_PROP_NUMBER) {
            takes = g_strdup_printf("%s=%u-%u", p->name, p->min, p->max);
            now = g_strdup_printf("%u", *trans_number(&c, p));
        } else if (p->kind == TRANS_PROP_STRING) {
            takes = g_strdup_printf("%s=FILE", p->name);
            now = g_strdup("none");
        } else {
            const char *names = p->kind == TRANS_PROP_FLAG ? "off|on" : p->choices;
            g_auto(GStrv) all = g_strsplit(names, "|", -1);
            unsigned i_now = p->kind == TRANS_PROP_FLAG ? *trans_flag(&c, p) : *trans_number(&c, p);
            takes = g_strdup_printf("%s=%s", p->name, names);
            now = g_strdup(all[i_now]);
        }
        printf("  %-26s %s [%s]\n", takes, p->help, now);
    }
}
