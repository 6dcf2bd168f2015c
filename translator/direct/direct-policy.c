/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/direct-policy.h"

#include "softmmu/base/stress.h"
#include "translator/direct/direct-internal.h"

const DirectPolicy direct_policy = {
    .around = 16,
    /* vm.max_map_count is 65530 by default; holes count as well. */
    .pages_max = 24000,
    .churn_max = 16,
    .holdoff = 64,
    .spin_guest = 0,
    .spin_engine = 0,
};

bool policy_wants(DirectCpu *dc, Space *s)
{
    return dc->mode == DIRECT_ON || stress_info[STRESS_direct].one_in != 0;
}

void policy_world_burst(DirectCpu *dc, Space *s, uint64_t cycles)
{
}
