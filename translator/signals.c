/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signals that arrive in translated code.
 *
 * A kick (SIGRTMIN+1 to the vCPU's thread) and host faults (SIGFPE from a divide, SIGSEGV, SIGBUS)
 * find out by the host pc where the guest is: in a block, the mark in force says what is borrowed
 * and where the flags are, and the thread is sent to the border with that; on the way into
 * translated code, vcb.resume is turned to the border; anywhere else a kick has nothing to do,
 * because C looks at the CPU's requests after it has set vcb.resume and before it goes there.
 *
 * Some hosts' kernels (PVM) cannot return to a stack pointer that is not canonical: they raise a general-protection
 * fault at the instruction to be returned to instead.  Guests have such stack pointers now and then (Linux's
 * entry code makes CR3's value in RSP).  Then trans_bounce loads it on the way to where the thread was.
 */
#include "translator/engine-internal.h"
#include "translator/glue.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <x86intrin.h>

enum { ALT_STACK_LEN = 256 * 1024 };

/* What was there before us, for signals that are not ours.  Signal handlers are the process's. */
static struct sigaction old_fpe, old_segv, old_bus;

static int kick_signal(void)
{
    return SIGRTMIN + 1;
}

/* -- Handlers --------------------------------------------------------------------------------- */

static greg_t *pc_of(void *context)
{
    return &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
}

/*
 * The second half of a pop, lea rsp, [rsp + disp8], which cannot fault: it is executed here.  Before it the register has what was popped and the
 * stack pointer not moved, which nothing but a pop's end follows from; and whoever looks at the state then (a debugger, a snapshot,
 * lock-step) must not see that.
 */
static void end_pop(greg_t *regs)
{
    static const uint8_t lea[] = {0x48, 0x8d, 0x64, 0x24};
    const uint8_t *pc = (const uint8_t *)(uintptr_t)regs[REG_RIP];

    if (memcmp(pc, lea, sizeof lea) == 0) {
        regs[REG_RSP] += (int8_t)pc[sizeof lea];
        regs[REG_RIP] += sizeof lea + 1;
    }
}

bool signals_leave_block(TransCpu *tc, void *context, bool fault)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *pc = (const uint8_t *)(uintptr_t)regs[REG_RIP];
    Block *b = tc != NULL ? cache_find_host(tc->cache, pc) : NULL;
    const Mark *m;

    if (b == NULL) {
        return false;
    }
    if (!fault) {
        end_pop(regs);
        pc = (const uint8_t *)(uintptr_t)regs[REG_RIP];
    }
    m = block_mark_at(b, block_offset(b, pc));
    if ((m->bits & MARK_TRANSIT) != 0) {
        vcb.resume = (uint64_t)(uintptr_t)trans_thunk_arrived;
        return true;
    }
    tc->kick_block = b;
    tc->kick_mark = m;
    tc->kick_fault = fault;
    tc->kick_pc = pc;
    vcb.site = SITE_KICK;
    *pc_of(context) = (greg_t)(uintptr_t)trans_thunk;
    return true;
}

/* -- Stack pointers that the host's kernel cannot return to ----------------------------------- */

void signals_unbounce(void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

    if (regs[REG_RIP] >= (greg_t)(uintptr_t)trans_bounce && regs[REG_RIP] < (greg_t)(uintptr_t)trans_bounce_end) {
        regs[REG_RIP] = (greg_t)vcb.bounce_pc;
        regs[REG_RSP] = (greg_t)vcb.bounce_rsp;
    }
}

static bool cannot_return(const greg_t *regs)
{
    return regs[REG_TRAPNO] == EXC_GP && regs[REG_RSP] != (greg_t)((uint64_t)regs[REG_RSP] << 16) >> 16;
}

static void bounce(greg_t *regs)
{
    vcb.bounce_pc = (uint64_t)regs[REG_RIP];
    vcb.bounce_rsp = (uint64_t)regs[REG_RSP];
    regs[REG_RIP] = (greg_t)(uintptr_t)trans_bounce;
    regs[REG_RSP] = (greg_t)vcb.host_rsp;
    regs[REG_EFL] &= ~(greg_t)FLAG_TF; /* verify.c's steps would not get past it */
}

/* --------------------------------------------------------------------------------------------- */

static void on_kick(int sig, siginfo_t *info, void *context)
{
    TransCpu *tc = vcb.tc;

    signals_unbounce(context);
    if (tc != NULL && !signals_leave_block(tc, context, false)) {
        vcb.resume = (uint64_t)(uintptr_t)trans_thunk_entry;
    }
}

static void pass_on(const struct sigaction *old, int sig, siginfo_t *info, void *context)
{
    if ((old->sa_flags & SA_SIGINFO) != 0) {
        old->sa_sigaction(sig, info, context);
    } else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
        old->sa_handler(sig);
    } else {
        signal(sig, SIG_DFL); /* returns to the faulting instruction, which then ends us */
    }
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    TransCpu *tc = vcb.tc;
    bool no_return;

    signals_unbounce(context);
    no_return = tc != NULL && sig == SIGSEGV && cannot_return(regs);
    if (tc != NULL) {
        tc->fault_is_memory = sig == SIGSEGV && !no_return;
        tc->fault_is_division = regs[REG_TRAPNO] == EXC_DE;
        tc->fault_is_page = regs[REG_TRAPNO] == EXC_PF;
        tc->fault_write = (regs[REG_ERR] & PF_W) != 0;
        tc->fault_addr = (uint64_t)regs[REG_CR2];
    }
    if (!signals_leave_block(tc, context, true) && !no_return) {
        pass_on(sig == SIGFPE ? &old_fpe : sig == SIGBUS ? &old_bus : &old_segv, sig, info, context);
    }
    if (no_return) {
        bounce(regs);
    }
}

/* -- Set-up ----------------------------------------------------------------------------------- */

static gpointer install(gpointer unused)
{
    struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

    sigfillset(&sa.sa_mask);
    sa.sa_sigaction = on_kick;
    sigaction(kick_signal(), &sa, NULL);
    sa.sa_sigaction = on_fault;
    sigaction(SIGFPE, &sa, &old_fpe);
    sigaction(SIGSEGV, &sa, &old_segv);
    sigaction(SIGBUS, &sa, &old_bus);
    return NULL;
}

void signals_init(void)
{
    static GOnce once = G_ONCE_INIT;

    g_once(&once, install, NULL);
}

void signals_thread_init(void)
{
    sigset_t set;
    stack_t ss;

    sigaltstack(NULL, &ss);
    if ((ss.ss_flags & SS_DISABLE) != 0) {
        ss = (stack_t){.ss_size = ALT_STACK_LEN};
        ss.ss_sp = mmap(NULL, ALT_STACK_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
        g_assert(ss.ss_sp != MAP_FAILED);
        sigaltstack(&ss, NULL); /* lives as long as the thread's process: one a vCPU */
    }
    sigemptyset(&set);
    sigaddset(&set, kick_signal());
    sigaddset(&set, SIGFPE);
    sigaddset(&set, SIGSEGV);
    sigaddset(&set, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static bool is_inside(const TransCpu *tc)
{
    return __atomic_load_n(&tc->inside, __ATOMIC_SEQ_CST);
}

void signals_kick(TransCpu *tc)
{
    if (is_inside(tc)) {
        pthread_kill(tc->thread, kick_signal());
    }
}

/* It has passed the border, or is outside: it looks at its requests before it goes on. */
static bool has_answered(const TransCpu *tc)
{
    return !__atomic_load_n(&tc->asked, __ATOMIC_SEQ_CST) || !is_inside(tc);
}

/*
 * The next indirect branch or return, whose place in the jump cache is now always the first, misses it and leaves for C
 * (find_target()); nothing of it is slower as long as nobody asks.  Of the two stores the second is what trans_answer()
 * looks for: whoever finds the first alone puts the mask right and goes on.
 */
static bool ask(TransCpu *tc)
{
    uint64_t begin = __rdtsc();

    __atomic_store_n(&tc->vcb->jc_mask, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&tc->asked, true, __ATOMIC_SEQ_CST);
    while (!has_answered(tc)) {
        if (__rdtsc() - begin > tc->ask_cycles) {
            return false;
        }
        _mm_pause();
    }
    return true;
}

void signals_request(TransCpu *tc)
{
    if (vcb.tc == tc) {
        return; /* this thread is in C, and looks at its requests before it goes back */
    }
    __atomic_add_fetch(&tc->askers, 1, __ATOMIC_SEQ_CST);
    if (is_inside(tc) && (tc->ask_cycles == 0 || !ask(tc))) {
        pthread_kill(tc->thread, kick_signal());
    }
    __atomic_sub_fetch(&tc->askers, 1, __ATOMIC_SEQ_CST);
}

void signals_wait_for_askers(const TransCpu *tc)
{
    while (__atomic_load_n(&tc->askers, __ATOMIC_SEQ_CST) != 0) {
        sched_yield();
    }
}
