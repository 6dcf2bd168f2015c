/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/machine.h"
#include "monitor/report.h"

static bool microvm_build(Machine *m, GError **error)
{
    return fail(error, "-machine microvm: not built yet");
}

const MachineClass machine_microvm = {.name = "microvm", .build = microvm_build};
