/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/config-internal.h"

#include "hwaccel/engine.h"
#include "monitor/report.h"
#include "translator/direct/direct.h"

enum { SHIFT_MAX = 10, EVERY_MAX = 1 << 30 };

ConfigResult option_icount(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, "shift");
    uint64_t shift = 0, every = 0;
    bool ok;

    if (g_strcmp0(opt_peek(l, "shift"), "auto") == 0) {
        return config_result(fail(error, "shift=auto is not built"));
    }
    ok = opt_take_number(l, "shift", 0, SHIFT_MAX, &shift, error) && opt_take_only(l, "sleep", "off", error) &&
         opt_take_only(l, "align", "off", error);
    opt_take_string(l, "trail", &c->trail);
    opt_take_string(l, "follow", &c->follow);
    ok = ok && opt_take_number(l, "every", 0, EVERY_MAX, &every, error);
    if (ok && c->trail != NULL && c->follow != NULL) {
        ok = fail(error, "trail= and follow= are for two machines");
    }
    if (ok && every != 0 && c->trail == NULL) {
        ok = fail(error, "every= is of a trail");
    }
    c->icount = true;
    c->trail_every = every;
    c->icount_shift = (unsigned)shift;
    return config_result(ok && opt_list_finish(l, error));
}

bool config_check_icount(MachineConfig *c, GError **error)
{
    if (!c->icount) {
        return true;
    }
    if (c->n_cpus != 1) {
        return fail(error, "-icount: only with one CPU");
    }
    if (c->engine == &kvm_engine) {
        return fail(error, "-icount: kvm counts no instructions");
    }
    if (c->translate.verify != 0) {
        return fail(error, "-icount: verify= executes instructions twice");
    }
    c->translate.direct = DIRECT_OFF;
    if (c->trail != NULL && c->trail_every == 0) {
        c->translate.look_ahead = false; /* all flags are to be what they are */
    }
    return true;
}
