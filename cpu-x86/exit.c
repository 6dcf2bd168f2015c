/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu-x86/exit.h"

const CpuExitInfo cpu_exit_info[CPU_EXIT_COUNT] = {
#define EXIT(id, stat, action) [CPU_EXIT_##id] = {#id, stat, action},
#include "cpu-x86/exits.def"
#undef EXIT
};
