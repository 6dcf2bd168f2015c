/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The translator checks itself: state recreated anywhere, rare paths made common. */
#ifndef TRANSLATOR_VERIFY_H
#define TRANSLATOR_VERIFY_H

#include "softmmu/base/stress.h"
#include "translator/engine-internal.h"

/* Bring tc->cpu up to date from the registers of a signal's frame as a kick there would, without
 * leaving.  For the thread that runs tc, whose CpuState is stale while it is in translated code.
 * False: the frame is not in a block. */
bool verify_recreate(TransCpu *tc, const void *context);

/* About to enter translated code (vcb.resume is set): do what the stress knobs, or a test, ask for. */
void verify_entry(TransCpu *tc);

static inline void verify_before_entry(TransCpu *tc)
{
    if (unlikely(stress_info[STRESS_kick_entry].one_in != 0 || stress_info[STRESS_recreate].one_in != 0 ||
                 tc->on_step != NULL)) {
        verify_entry(tc);
    }
}

#endif /* TRANSLATOR_VERIFY_H */
