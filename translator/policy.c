/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/policy.h"

const TransConfig trans_policy = {
    /* Longer blocks find no free scratch registers; 32 covers nearly all basic blocks of compilers. */
    .block_insns_max = 32,
    /* Boot code runs most blocks once or twice. */
    .translate_at = 3,
    .cold_budget = 16,
    .odd_budget = 4096,
    .code_mib = 64,
    .code_regions = 8,
    .jump_cache = 4096,
    .chain = true,
    .look_ahead = true,
    .quiet = true,
    .warm = true,
    /* A walk saved where it is right, 100 cycles lost where it is not. */
    .walk_ahead = true,
};
