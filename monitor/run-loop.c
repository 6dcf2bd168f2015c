/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/run-loop.h"

#include "monitor/config.h"
#include "monitor/gdb.h"
#include "monitor/halt-poll.h"
#include "monitor/report.h"
#include "softmmu/base/check.h"
#include "softmmu/base/log.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Instructions between looks at nothing in particular: requests end a run by themselves. */
enum { RUN_BUDGET = 1 << 24 };

typedef struct {
    Machine *machine;
    CpuState *cpu;
    pthread_t thread;
    int id;                    /* the host's, once it runs */
    bool started, parked;
    GoMode mode;              /* changed only while it is parked */
    HaltPoll poll;
} CpuThread;

struct RunLoop {
    CpuThread *threads;        /* n_cpus of them */
    unsigned n_parked, pauses;
    bool ending;
    bool gathered;             /* the engine's gather() was called; true before the first start */
    HaltPollers pollers;
    pthread_cond_t parked_cond, resume_cond;   /* with the machine lock's mutex */
};

static _Thread_local CpuState *current_cpu;

CpuState *run_loop_current_cpu(void)
{
    return current_cpu;
}

/* -- Requests --------------------------------------------------------------------------------------- */

static void note_cpu_time(CpuThread *t)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    t->machine->busy_ns[t->cpu->index] = (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Stand still while STOP is set; false when the thread is to end.  Machine lock held. */
static bool park(CpuThread *t)
{
    RunLoop *r = t->machine->loop;

    while (!r->ending && (cpu_requests(t->cpu) & CPU_REQ_STOP)) {
        if (!t->parked) {
            note_cpu_time(t);
            t->parked = true;
            r->n_parked++;
            pthread_cond_signal(&r->parked_cond);
        }
        pthread_cond_wait(&r->resume_cond, &t->machine->lock.mutex);
    }
    if (t->parked) {
        t->parked = false;
        r->n_parked--;
    }
    return !r->ending;
}

static void on_shutdown(CpuThread *t)
{
    log_item(CPU_RESET, "CPU %u: triple fault at rip %#" G_GINT64_MODIFIER "x", t->cpu->index,
             t->cpu->rip);
    lock_take(&t->machine->lock);
    machine_request_reset(t->machine, CAUSE_TRIPLE_FAULT);
    lock_release(&t->machine->lock);
}

/* Others may look at the CPU from here on.  An event that the engine had begun to deliver may end in a
 * triple fault when it is brought to its end. */
static void make_canonical(CpuThread *t)
{
    bool running = t->cpu->activity == CPU_RUNNING;

    cpu_sync(t->cpu);
    if (unlikely(running && t->cpu->activity == CPU_SHUTDOWN)) {
        on_shutdown(t);
    }
}

/* Act on STOP, INIT and SIPI.  INIT comes before a SIPI that arrived with it. */
static bool attend(CpuThread *t)
{
    Machine *m = t->machine;
    CpuState *cpu = t->cpu;
    uint32_t req;
    bool go_on;

    make_canonical(t);
    lock_take(&m->lock);
    go_on = park(t);
    req = cpu_requests(cpu);
    if (go_on && (req & CPU_REQ_INIT)) {
        cpu_unrequest(cpu, CPU_REQ_INIT);
        cpu_init_signal(cpu);
        if (m->cls->cpu_init != NULL) {
            m->cls->cpu_init(m, cpu);
        }
    }
    if (go_on && (req & CPU_REQ_SIPI)) {
        cpu_unrequest(cpu, CPU_REQ_SIPI);
        if (cpu->activity == CPU_WAIT_SIPI &&
            (m->cls->start_cpu == NULL || !m->cls->start_cpu(m, cpu))) {
            cpu_sipi(cpu, cpu->sipi_vector);
        }
    }
    lock_release(&m->lock);
    return go_on;
}

/* -- Exits ------------------------------------------------------------------------------------------ */

static void on_failed(CpuThread *t)
{
    const EngineClass *engine = t->cpu->engine;
    const char *why = engine->why != NULL ? engine->why(t->cpu) : NULL;

    lock_take(&t->machine->lock);
    report_error("CPU %u: the engine %s failed%s%s", t->cpu->index, t->machine->engine->name,
                 why != NULL ? ": " : "", why != NULL ? why : "");
    machine_request_shutdown(t->machine, CAUSE_FAILED, 1);
    lock_release(&t->machine->lock);
}

static void act_on(CpuThread *t, CpuExit exit)
{
    if (unlikely(t->cpu->watch_hit != NULL)) {
        gdb_cpu_stopped(t->machine, t->cpu, GDB_STOP_WATCH);
    }
    switch (exit) {
    case CPU_EXIT_BUDGET:
    case CPU_EXIT_HALT:        /* the loop sees the activity */
        if (unlikely(t->mode != GO_FREELY)) {
            gdb_cpu_stopped(t->machine, t->cpu, GDB_STOP_STEP);
        }
        break;
    case CPU_EXIT_REQUEST:
        break;
    case CPU_EXIT_SHUTDOWN:
        on_shutdown(t);
        break;
    case CPU_EXIT_DEBUG:
        gdb_cpu_stopped(t->machine, t->cpu, GDB_STOP_BREAKPOINT);
        break;
    case CPU_EXIT_HYPERCALL:
        t->cpu->pv.hypercall(t->cpu->pv.arg, t->cpu);
        break;
    case CPU_EXIT_FAILED:
    case CPU_EXIT_COUNT:
        on_failed(t);
        break;
    }
}

/* -d cpu: single steps, a line each. */
static void log_registers(const CpuState *cpu)
{
    g_autoptr(GString) line = g_string_new(NULL);

    g_string_printf(line, "CPU %u %04x:%08" G_GINT64_MODIFIER "x", cpu->index,
                    cpu->seg[SEG_CS].selector, cpu->rip);
    for (int i = 0; i < (cpu->efer & EFER_LMA ? GPR_COUNT : GPR_R8); i++) {
        g_string_append_printf(line, " %08" G_GINT64_MODIFIER "x", cpu->gpr[i]);
    }
    log_write("%s f=%08x", line->str, (unsigned)cpu->rflags);
}

/* Where time counts instructions: at most `most`, until the next look at timers or at a trail; 0: that has ended. */
static uint64_t counted_budget(Machine *m, uint64_t most)
{
    uint64_t budget;

    lock_take(&m->lock);
    budget = icount_budget(m->icount, &m->timers, most);
    lock_release(&m->lock);
    return m->trail != NULL ? trail_budget(m->trail, budget) : budget;
}

static void end_by_trail(Machine *m, int code)
{
    lock_take(&m->lock);
    machine_request_shutdown(m, CAUSE_HOST_QUIT, code);
    lock_release(&m->lock);
}

/* A single step. */
static CpuExit step_engine(CpuThread *t)
{
    CpuState *cpu = t->cpu;
    bool was_shadowed = cpu->shadow;
    CpuExit exit;

    cpu->shadow |= t->mode == GO_ONE_MASKED;
    exit = cpu->engine->run(cpu, 1);
    if (exit == CPU_EXIT_REQUEST) {
        cpu->shadow = was_shadowed;        /* nothing was executed */
    }
    return exit;
}

static CpuExit run_engine(CpuThread *t)
{
    Machine *m = t->machine;
    bool freely = likely(t->mode == GO_FREELY);
    uint64_t budget = freely && !log_on[LOG_CPU] ? RUN_BUDGET : 1;
    CpuExit exit;

    if (unlikely(m->icount != NULL)) {
        budget = counted_budget(m, budget);
        if (budget == 0) {
            end_by_trail(m, 0);
            return CPU_EXIT_REQUEST;
        }
    }
    exit = freely ? t->cpu->engine->run(t->cpu, budget) : step_engine(t);
    if (unlikely(m->trail != NULL) && !trail_step(m->trail)) {
        end_by_trail(m, 1);
    }
    return exit;
}

/* Where time counts instructions: on to the next timer.  False: there is none. */
static bool jump_in_time(Machine *m)
{
    bool jumped;

    lock_take(&m->lock);
    jumped = icount_jump(m->icount, &m->timers);
    lock_release(&m->lock);
    return jumped;
}

/* The CPU waits: for an interrupt, or to be started. */
static void wait_for_work(CpuThread *t)
{
    Machine *m = t->machine;
    CpuState *cpu = t->cpu;
    HaltPollers *s = &m->loop->pollers;
    uint64_t begin = halt_poll_now(cpu), now;
    HaltWatch how = HALT_NOT_WATCHED;

    if (m->icount != NULL && jump_in_time(m)) {
        return;
    }
    __atomic_sub_fetch(&s->n_running, 1, __ATOMIC_RELAXED);
    if (pv_host_may_poll(m->pv, cpu)) {
        how = halt_poll(&t->poll, s, cpu);
    }
    if (how == HALT_ENDED) {
        cpu->stats[STAT_HALT_POLLS]++;
    } else {
        pv_cpu_sleeps(m->pv, cpu);
        cpu_sleep(cpu);
        pv_cpu_wakes(m->pv, cpu);
    }
    __atomic_add_fetch(&s->n_running, 1, __ATOMIC_RELAXED);
    now = halt_poll_now(cpu);
    halt_poll_learn(&t->poll, how, now - begin, now);
}

static void run_cpu(CpuThread *t)
{
    CpuState *cpu = t->cpu;

    for (;;) {
        if (cpu_requests(cpu) & (CPU_REQ_STOP | CPU_REQ_INIT | CPU_REQ_SIPI)) {
            if (!attend(t)) {
                return;
            }
            pv_cpu_resumes(t->machine->pv, cpu);
        }
        cpu_unrequest(cpu, CPU_REQ_KICK);
        if (cpu->activity == CPU_HALTED && !cpu->halts_inside && cpu_has_work(cpu)) {
            cpu->activity = CPU_RUNNING;
            __atomic_store_n(&cpu->unhalted, false, __ATOMIC_SEQ_CST);
        }
        if (cpu->activity != CPU_RUNNING && !(cpu->halts_inside && cpu->activity != CPU_SHUTDOWN)) {
            wait_for_work(t);
            continue;
        }
        if (log_on[LOG_CPU]) {
            cpu_sync(cpu);
            log_registers(cpu);
        }
        act_on(t, run_engine(t));
    }
}

/* -- Threads ---------------------------------------------------------------------------------------- */

/* Signals to the process are the I/O thread's; faults of this thread stay its own. */
static void block_signals(void)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t set;

    sigfillset(&set);
    for (size_t i = 0; i < G_N_ELEMENTS(own); i++) {
        sigdelset(&set, own[i]);
    }
    pthread_sigmask(SIG_SETMASK, &set, NULL);
}

bool run_loop_cpus_run(const Machine *m)
{
    return m->loop != NULL && __atomic_load_n(&m->loop->pollers.n_running, __ATOMIC_RELAXED) != 0;
}

int run_loop_thread_id(const Machine *m, unsigned cpu)
{
    return m->loop != NULL && cpu < m->n_cpus ? m->loop->threads[cpu].id : 0;
}

static void *cpu_thread(void *arg)
{
    enum { ALT_STACK = 64 << 10 };
    CpuThread *t = arg;
    g_autofree char *name = g_strdup_printf("CPU %u/%.8s", t->cpu->index,
                                            t->machine->engine->name);
    g_autofree char *alt = g_malloc(ALT_STACK);
    stack_t ss = {.ss_sp = alt, .ss_size = ALT_STACK}, none = {.ss_flags = SS_DISABLE};

    pthread_setname_np(pthread_self(), name);
    block_signals();
    sigaltstack(&ss, NULL);
    current_cpu = t->cpu;
    lock_take(&t->machine->lock);
    t->id = (int)gettid();
    lock_release(&t->machine->lock);
    run_cpu(t);
    note_cpu_time(t);
    sigaltstack(&none, NULL);
    return NULL;
}

bool run_loop_start(Machine *m, GError **error)
{
    RunLoop *r = g_new0(RunLoop, 1);

    m->loop = r;
    r->threads = g_new0(CpuThread, m->n_cpus);
    m->busy_ns = g_new0(uint64_t, MAX(m->n_cpus, 1));
    halt_pollers_init(&r->pollers, m->cpus, m->n_cpus, m->config->halt_poll);
    pthread_cond_init(&r->parked_cond, NULL);
    pthread_cond_init(&r->resume_cond, NULL);
    r->pauses = 1;
    r->gathered = true;
    run_loop_update(m);
    for (unsigned i = 0; i < m->n_cpus; i++) {
        CpuThread *t = &r->threads[i];
        int err;

        *t = (CpuThread){.machine = m, .cpu = m->cpus[i]};
        err = pthread_create(&t->thread, NULL, cpu_thread, t);
        if (err != 0) {
            return fail(error, "cannot start the thread of CPU %u: %s", i, strerror(err));
        }
        t->started = true;
    }
    while (r->n_parked < m->n_cpus) {          /* each knows its id by then */
        pthread_cond_wait(&r->parked_cond, &m->lock.mutex);
    }
    r->pauses = 0;
    run_loop_update(m);
    return true;
}

/* With all CPUs parked, or about to go on. */
static void gather(Machine *m, bool gathered)
{
    RunLoop *r = m->loop;

    if (r->gathered != gathered) {
        r->gathered = gathered;
        for (unsigned i = 0; i < m->n_cpus; i++) {
            void (*f)(CpuState *cpu) = gathered ? m->engine->gather : m->engine->scatter;

            if (f != NULL) {
                f(m->cpus[i]);
            }
        }
    }
}

void run_loop_stop(Machine *m)
{
    RunLoop *r = m->loop;

    if (r == NULL) {
        return;
    }
    r->ending = true;
    for (unsigned i = 0; i < m->n_cpus; i++) {
        cpu_request(m->cpus[i], CPU_REQ_STOP);
    }
    pthread_cond_broadcast(&r->resume_cond);
    lock_release(&m->lock);
    for (unsigned i = 0; i < m->n_cpus; i++) {
        if (r->threads[i].started) {
            pthread_join(r->threads[i].thread, NULL);
        }
    }
    lock_take(&m->lock);
    gather(m, true);
    pthread_cond_destroy(&r->parked_cond);
    pthread_cond_destroy(&r->resume_cond);
    g_free(r->threads);
    g_clear_pointer(&m->loop, g_free);
}

/* -- Pauses ----------------------------------------------------------------------------------------- */

void run_loop_update(Machine *m)
{
    RunLoop *r = m->loop;
    bool stop = !m->running || m->stop_wanted || m->reset_wanted || m->quit_wanted ||
                (r != NULL && r->pauses > 0);

    if (!stop && r != NULL) {
        gather(m, false);
    }
    for (unsigned i = 0; i < m->n_cpus; i++) {
        if (stop || (r != NULL && r->threads[i].mode == GO_NOT)) {
            cpu_request(m->cpus[i], CPU_REQ_STOP);
        } else {
            cpu_unrequest(m->cpus[i], CPU_REQ_STOP);
        }
    }
    if (!stop && r != NULL) {
        pthread_cond_broadcast(&r->resume_cond);
    }
}

void run_loop_set_mode(Machine *m, unsigned cpu, GoMode mode)
{
    if (m->loop != NULL) {
        m->loop->threads[cpu].mode = mode;
        run_loop_update(m);
    }
}

void run_loop_pause(Machine *m)
{
    RunLoop *r = m->loop;

    if (r == NULL) {
        return;                /* before the threads are made: nothing runs */
    }
    r->pauses++;
    run_loop_update(m);
    while (r->n_parked < m->n_cpus) {
        pthread_cond_wait(&r->parked_cond, &m->lock.mutex);
    }
    gather(m, true);
}

void run_loop_resume(Machine *m)
{
    if (m->loop != NULL) {
        g_assert(m->loop->pauses > 0);
        m->loop->pauses--;
        run_loop_update(m);
    }
}
