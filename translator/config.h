/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The properties of `-accel translate`: rows of properties.def. */
#ifndef TRANSLATOR_CONFIG_H
#define TRANSLATOR_CONFIG_H

#include "translator/policy.h"

#include <glib.h>

typedef enum { TRANS_PROP_FLAG, TRANS_PROP_NUMBER, TRANS_PROP_CHOICE, TRANS_PROP_STRING } TransPropKind;

typedef struct {
    TransPropKind kind;
    const char *name, *help;
    unsigned min, max;         /* NUMBER                                              */
    const char *choices;       /* CHOICE: "a|b|c"                                     */
    size_t field;              /* offset in TransConfig; FLAG: a bool, STRING: a char *, else an unsigned */
} TransProperty;

/* Row i, or NULL after the last. */
const TransProperty *trans_property(size_t i);

static inline bool *trans_flag(TransConfig *c, const TransProperty *p)
{
    return (bool *)((char *)c + p->field);
}

static inline unsigned *trans_number(TransConfig *c, const TransProperty *p)
{
    return (unsigned *)(void *)((char *)c + p->field);
}

static inline char **trans_string(TransConfig *c, const TransProperty *p)
{
    return (char **)(void *)((char *)c + p->field);
}

/* Can a machine of n_cpus have all that c asks for?  False: one line. */
bool trans_config_check(const TransConfig *c, unsigned n_cpus, GError **error);

#endif /* TRANSLATOR_CONFIG_H */
