/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/helpers.h"

const HelperInfo helper_info[HELPER_COUNT] = {
#define HELPER(id, reads, writes, clobbers, ways, text) [HELPER_##id] = {#id, text, reads, writes, clobbers, ways},
#include "translator/helpers.def"
#undef HELPER
};
