/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu-x86/insns.h"

/* clang-format off */
const X86Row x86_rows[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
#define EXEC(mnemonic, function, row_flags) \
    [ZYDIS_MNEMONIC_##mnemonic] = {.exec = function, .flags = row_flags},
#define SELECT(mnemonic, function, row_flags) \
    [ZYDIS_MNEMONIC_##mnemonic] = {.select = function, .flags = row_flags},
#include "cpu-x86/insns-int.def"
#include "cpu-x86/insns-sys.def"
#undef EXEC
#undef SELECT
};
/* clang-format on */
