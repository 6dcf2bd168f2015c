/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/verify.h"

#include "softmmu/base/stress.h"

#include <signal.h>
#include <ucontext.h>

enum { HOST_TF = 0x100, STEPS_TURN = 61, TRAPS_MAX = 600 };

/* -- State ------------------------------------------------------------------------------------ */

bool verify_recreate(TransCpu *tc, const void *context)
{
    static const uint8_t greg_of[GPR_COUNT] = {
        REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
        REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
    };
    const greg_t *g = ((const ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *pc = (const uint8_t *)(uintptr_t)g[REG_RIP];
    Block *b = cache_find_host(tc->cache, pc);

    if (b == NULL || (block_mark_at(b, block_offset(b, pc))->bits & MARK_TRANSIT) != 0) {
        return false; /* a kick would wait */
    }
    for (unsigned r = 0; r < GPR_COUNT; r++) {
        tc->vcb->host[r] = (uint64_t)g[greg_of[r]];
    }
    system_from_host(tc);
    tc->vcb->flags = state_flags_image((uint64_t)g[REG_EFL]);
    state_at_mark(tc, b, block_mark_at(b, block_offset(b, pc)));
    return true;
}

/* -- Stress ----------------------------------------------------------------------------------- */

/* The host single-steps on the way into translated code and in it: after some instructions there, be
 * kicked; or tell a test of each of them. */
static void on_trap(int sig, siginfo_t *info, void *context)
{
    TransCpu *tc = vcb.tc;
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    bool inside;

    signals_unbounce(context);
    inside = tc != NULL && cache_find_host(tc->cache, (const uint8_t *)(uintptr_t)g[REG_RIP]) != NULL;

    if (inside && tc->on_step != NULL) {
        tc->on_step(tc, context);
        tc->traps_left = 1;    /* the first one outside ends it */
    } else if (inside && tc->steps_left > 0 && --tc->steps_left == 0) {
        signals_leave_block(tc, context, false);
        tc->traps_left = 0;
    } else if (tc != NULL && tc->traps_left > 0) {
        tc->traps_left--;
    }
    if (tc == NULL || tc->traps_left == 0) {
        g[REG_EFL] &= ~(greg_t)HOST_TF;
    }
}

static gpointer install(gpointer unused)
{
    struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK, .sa_sigaction = on_trap};

    sigfillset(&sa.sa_mask);
    sigaction(SIGTRAP, &sa, NULL);
    return NULL;
}

static void step(TransCpu *tc)
{
    static GOnce once = G_ONCE_INIT;
    sigset_t set;

    g_once(&once, install, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGTRAP);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    tc->steps_left = 1 + tc->step_turn++ % STEPS_TURN;
    tc->traps_left = TRAPS_MAX;
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\torl %0, (%%rsp)\n\tpopfq\n\t"
                     "lea 128(%%rsp), %%rsp" : : "i"(HOST_TF) : "memory", "cc");
}

void verify_entry(TransCpu *tc)
{
    if (stress_hit(STRESS_kick_entry)) {
        signals_kick(tc);
    }
    if (tc->on_step != NULL || stress_hit(STRESS_recreate)) {
        step(tc);
    }
}
