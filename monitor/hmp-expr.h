/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers in the human monitor: "$rsp + 8 * (2 + 1)", 64 bits, C's operators without comparisons. */
#ifndef MONITOR_HMP_EXPR_H
#define MONITOR_HMP_EXPR_H

#include "cpu-x86/state.h"

#include <glib.h>

/* `cpu` (may be NULL) is whose registers are meant; it is parked. */
bool hmp_expr_eval(const char *text, const CpuState *cpu, uint64_t *v, GError **error);

#endif /* MONITOR_HMP_EXPR_H */
