/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/config.h"

#include "softmmu/base/bits.h"
#include "translator/direct/direct.h"
#include "translator/front.h"
#include "translator/vcb-offsets.h"

#include <stddef.h>

static const TransProperty rows[] = {
#define FLAG(f, name, help) {TRANS_PROP_FLAG, name, help, 0, 1, NULL, offsetof(TransConfig, f)},
#define NUMBER(f, name, min, max, help)                                                            \
    {TRANS_PROP_NUMBER, name, help, min, max, NULL, offsetof(TransConfig, f)},
#define CHOICE(f, name, choices, help)                                                             \
    {TRANS_PROP_CHOICE, name, help, 0, 0, choices, offsetof(TransConfig, f)},
#define STRING(f, name, help) {TRANS_PROP_STRING, name, help, 0, 0, NULL, offsetof(TransConfig, f)},
#include "translator/properties.def"
#undef FLAG
#undef NUMBER
#undef CHOICE
#undef STRING
};

#define IS(f, type)                                                                                \
    _Static_assert(_Generic(((TransConfig *)0)->f, type: 1, default: 0), #f " is no " #type)
#define FLAG(f, name, help) IS(f, bool);
#define NUMBER(f, name, min, max, help) IS(f, unsigned);
#define CHOICE(f, name, choices, help) IS(f, unsigned);
#define STRING(f, name, help) IS(f, char *);
#include "translator/properties.def"
#undef FLAG
#undef NUMBER
#undef CHOICE
#undef STRING

const TransProperty *trans_property(size_t i)
{
    return i < ARRAY_LEN(rows) ? &rows[i] : NULL;
}

bool trans_config_check(const TransConfig *c, unsigned n_cpus, GError **error)
{
    const char *why = NULL;

    if (c->thread == TRANS_THREAD_SINGLE && n_cpus > 1) {
        why = "thread=single: each CPU has a thread of its own; only -smp 1 has one";
    } else if (c->verify != 0 && n_cpus > 1) {
        why = "verify: another CPU would write between both runs; only -smp 1";
    } else if (c->verify != 0 && c->direct == DIRECT_ON) {
        why = "verify: direct execution is not translated code; direct=off";
    } else if (c->direct_spin == SPIN_ON && spin_host_cpus() < 2) {
        why = "direct-spin=on: this process has one CPU of the host";
    } else if (c->direct_spin == SPIN_ON && c->direct == DIRECT_OFF) {
        why = "direct-spin=on: without direct execution nobody waits";
    } else if ((c->jump_cache & (c->jump_cache - 1)) != 0) {
        why = "jump-cache: a power of two is needed";
    }
    if (why == NULL && c->direct == DIRECT_ON && direct_missing() != NULL) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "-accel translate,direct=on: %s",
                    direct_missing());
        return false;
    }
    if (why != NULL) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "-accel translate: %s", why);
    }
    return why == NULL;
}
