/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/world.h"

#include "translator/direct/world-internal.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FP_MARK = 0x46505845 }; /* the host kernel's sigcontext ABI */
/* The guest thread waits for the guest's kernel, which is quick or has gone on to somebody else; the engine for user code. */
enum { WORLD_SPINS_LESS = 4 };

static long futex(uint32_t *word, int op, uint32_t val, uintptr_t timeout, uint32_t *word2,
                  uint32_t val3)
{
    return syscall(SYS_futex, word, op, val, timeout, word2, val3);
}

/* -- Frames ------------------------------------------------------------------------------------------ */

/* Offset in `shared` of an address that the world wrote down, if `len` bytes from there lie in the
 * alternate stack; else 0. */
static uint64_t frame_offset(const World *w, uint64_t addr, uint64_t len)
{
    uint64_t at = addr - (w->base + W_CTX + W_STACK_AT);

    return at < W_STACK_LEN && len <= W_STACK_LEN - at ? W_CTL_LEN + W_STACK_AT + at : 0;
}

static uint64_t load64(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

ucontext_t *world_frame(World *w, uint8_t **fp)
{
    uint64_t at = frame_offset(w, load64(ctx64(w, CTX_UCONTEXT)), sizeof(ucontext_t));
    ucontext_t *uc = (ucontext_t *)(w->shared + at);
    uint64_t fp_at;

    if (at == 0 || (at & 7) != 0) {
        return NULL;
    }
    fp_at = frame_offset(w, (uint64_t)(uintptr_t)uc->uc_mcontext.fpregs, w->fp_len);
    if (fp_at == 0 || (fp_at & 63) != 0) {
        return NULL;
    }
    *fp = w->shared + fp_at;
    return uc;
}

bool world_event(const World *w, WorldEvent *ev)
{
    uint64_t at = frame_offset(w, load64(ctx64(w, CTX_UCONTEXT)), sizeof(ucontext_t));
    uint64_t info = frame_offset(w, load64(ctx64(w, CTX_SIGINFO)), sizeof(siginfo_t));

    if (at == 0 || info == 0 || (at & 7) != 0 || (info & 7) != 0) {
        return false;
    }
    memcpy(&ev->regs, &((const ucontext_t *)(w->shared + at))->uc_mcontext, sizeof ev->regs);
    ev->signal = (int)*ctx32(w, CTX_SIGNAL);
    ev->code = ((const siginfo_t *)(w->shared + info))->si_code;
    ev->call_addr = (uint64_t)(uintptr_t)((const siginfo_t *)(w->shared + info))->si_call_addr;
    ev->call_arch = ((const siginfo_t *)(w->shared + info))->si_arch;
    ev->fs_base = w->bases_by_calls ? w->fs_base : *ctx64(w, CTX_FS_BASE);
    ev->gs_base = w->bases_by_calls ? w->gs_base : *ctx64(w, CTX_GS_BASE);
    ev->ds = (uint16_t)*ctx32(w, CTX_DS);
    ev->es = (uint16_t)*ctx32(w, CTX_ES);
    ev->fs = (uint16_t)*ctx32(w, CTX_FS);
    ev->gs = (uint16_t)*ctx32(w, CTX_GS);
    ev->fp_at = frame_offset(w, (uint64_t)(uintptr_t)ev->regs.fpregs, w->fp_len);
    return ev->fp_at != 0 && (ev->fp_at & 63) == 0;
}

void world_seal_vectors(const World *w, uint8_t *image)
{
    uint32_t mark = FP_MARK;

    memcpy(image + FX_SW_AT, w->fp_sw, sizeof w->fp_sw);
    memcpy(image + w->fp_len - sizeof mark, &mark, sizeof mark);
}

void world_set_segments(World *w, const WorldEvent *ev)
{
    *ctl64(w, CTL_FS_BASE) = ev->fs_base;
    *ctl64(w, CTL_GS_BASE) = ev->gs_base;
    *ctl32(w, CTL_DS) = ev->ds;
    *ctl32(w, CTL_ES) = ev->es;
    *ctl32(w, CTL_FS) = ev->fs;
    *ctl32(w, CTL_GS) = ev->gs;
}

void world_clear_rf(World *w)
{
    enum { RF = 1 << 16 };
    uint8_t *fp;
    ucontext_t *uc = world_frame(w, &fp);

    if (uc != NULL) {
        uc->uc_mcontext.gregs[REG_EFL] &= ~RF;
    }
}

void world_forget_bases(World *w)
{
    w->knows_bases = false;
}

void world_set_id_flag(World *w, bool id)
{
    enum { FIXED = 1 << 1, ID = 1 << 21 };

    *ctl32(w, CTL_FLAGS) = FIXED | (id ? ID : 0);
}

void world_fault_tsc(World *w, bool faults)
{
    *ctl32(w, CTL_TSC) = faults && w->tsc_can_fault ? PR_TSC_SIGSEGV : PR_TSC_ENABLE;
}

bool world_tsc_faults(const World *w)
{
    return *ctl32(w, CTL_TSC) == PR_TSC_SIGSEGV;
}

/* -- Running ------------------------------------------------------------------------------------------- */

static bool keep_on(pid_t pid, unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(pid, sizeof set, &set) == 0;
}

/* A CPU that is not `cpu`, if we may use another. */
static unsigned other_than(unsigned cpu)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        for (unsigned i = 1; i < CPU_SETSIZE; i++) {
            if (CPU_ISSET((cpu + i) % CPU_SETSIZE, &set)) {
                return (cpu + i) % CPU_SETSIZE;
            }
        }
    }
    return cpu;
}

/*
 * Where nobody spins all threads take turns on one CPU, which is far cheaper than to wake another.  Where they spin the
 * world has another, both of its processes: to switch between those that share an address space is cheap, and the guest thread does nothing
 * while the mapper works for it.
 */
static void place(World *w, unsigned spin)
{
    unsigned cpu, theirs;
    bool apart = spin != 0;

    if (getcpu(&cpu, NULL) != 0 || ((int)cpu == w->home && apart == w->apart)) {
        return;
    }
    theirs = apart ? other_than(cpu) : cpu;
    w->home = keep_on(w->guest, theirs) && keep_on(w->mapper, theirs) ? (int)cpu : -1;
    w->apart = apart;
}

void world_announce(World *w)
{
    __atomic_store_n(&w->running, true, __ATOMIC_SEQ_CST);
}

void world_retract(World *w)
{
    __atomic_store_n(&w->running, false, __ATOMIC_SEQ_CST);
}

/* Have those bases set that are not what they shall be: each is a system call, and a dear one on some hosts. */
static void order_bases(World *w)
{
    uint64_t fs = *ctl64(w, CTL_FS_BASE), gs = *ctl64(w, CTL_GS_BASE);
    bool known = w->knows_bases && *ctx32(w, CTX_FS) == 0 && *ctx32(w, CTX_GS) == 0;

    *ctl32(w, CTL_BASES) = (known && w->fs_base == fs ? 0 : BASES_SET_FS) | (known && w->gs_base == gs ? 0 : BASES_SET_GS);
    w->fs_base = fs;
    w->gs_base = gs;
    w->knows_bases = true;
}

/* The next order, but for its number in CTL_RESUME, at which the guest thread goes. */
static void begin_order(World *w, unsigned spin)
{
    place(w, spin);
    if (w->bases_by_calls) {
        order_bases(w);
    }
    w->number++;
    w->looks = spin;
    *ctl32(w, CTL_SPIN) = (spin + WORLD_SPINS_LESS - 1) / WORLD_SPINS_LESS;
    __atomic_store_n(&w->running, true, __ATOMIC_SEQ_CST);
}

/* Does the guest thread sleep, as far as is known? */
static bool is_asleep(const World *w)
{
    return *ctl32(w, CTL_SPIN) == 0 || __atomic_load_n(ctx32(w, CTX_ASLEEP), __ATOMIC_SEQ_CST) != 0;
}

/* The mapper looks for our word, or will before it sleeps.  A hint: whoever believes it wakes it all the same when nothing comes. */
static bool mapper_is_awake(const World *w)
{
    return __atomic_load_n(ctx32(w, CTX_MAPPER_ASLEEP), __ATOMIC_SEQ_CST) == 0;
}

static void wake_mapper(World *w)
{
    futex(ctl32(w, CTL_ORDER), FUTEX_WAKE, 1, 0, NULL, 0);
}

void world_resume(World *w, unsigned spin)
{
    bool asleep = is_asleep(w);

    begin_order(w, spin);
    __atomic_store_n(&w->resume_order, 0, __ATOMIC_RELAXED);
    w->left_to_mapper = false;
    __atomic_store_n(ctl32(w, CTL_RESUME), w->number, __ATOMIC_SEQ_CST);
    if (w->parked) {
        futex(ctl32(w, CTL_PARK), FUTEX_WAKE, 1, 0, NULL, 0);
    } else if (spin != 0 && w->apart && mapper_is_awake(w)) {
        w->left_to_mapper = true;
        return;
    }
    if (w->parked || asleep || __atomic_load_n(ctx32(w, CTX_ASLEEP), __ATOMIC_SEQ_CST) != 0) {
        futex(ctl32(w, CTL_RESUME), FUTEX_WAKE, 1, 0, NULL, 0);
        w->slept++;
    }
    w->parked = false;
}

static bool has_event(const World *w)
{
    return __atomic_load_n(ctx32(w, CTX_EVENT), __ATOMIC_SEQ_CST) == w->number;
}

static bool has_answered(const World *w, uint32_t order, uint32_t *answer)
{
    *answer = __atomic_load_n(ctl32(w, CTL_ANSWER), __ATOMIC_SEQ_CST);
    return (*answer & ~ANSWER_FAILED) == order;
}

/*
 * Nothing has come while we looked for it.  Was the guest thread let go?  What it and the mapper say about being awake is written where user code can
 * write too, so it is not waited for longer than that.  False: it was not, the order has failed.
 */
static bool see_that_it_goes(World *w, unsigned spin)
{
    uint32_t answer;

    if (w->resume_order != 0) {
        if (!has_answered(w, w->resume_order, &answer)) {
            if (spin != 0) {
                wake_mapper(w);
            }
        } else if ((answer & ANSWER_FAILED) != 0) {
            return false;
        }
    } else if (w->left_to_mapper) {
        futex(ctl32(w, CTL_RESUME), FUTEX_WAKE, 1, 0, NULL, 0);
    }
    return true;
}

bool world_wait(World *w, unsigned spin, uint64_t timeout_ns)
{
    struct timespec ts = {(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};

    for (unsigned i = 0; i < spin && !has_event(w); i++) {
        __builtin_ia32_pause();
    }
    if (!has_event(w)) {
        uint32_t seen;

        if (!see_that_it_goes(w, spin)) {
            w->health = WORLD_NOT_MAPPED;
            return false;
        }

        __atomic_store_n(ctl32(w, CTL_SLEEPING), 1, __ATOMIC_SEQ_CST);
        seen = __atomic_load_n(ctx32(w, CTX_EVENT), __ATOMIC_SEQ_CST);
        if (seen != w->number) {
            w->slept++;
            futex(ctx32(w, CTX_EVENT), FUTEX_WAIT, seen, (uintptr_t)&ts, NULL, 0);
        }
        __atomic_store_n(ctl32(w, CTL_SLEEPING), 0, __ATOMIC_SEQ_CST);
        if (!has_event(w)) {
            /* it may sleep where nobody honest does */
            futex(ctl32(w, CTL_RESUME), FUTEX_WAKE, 1, 0, NULL, 0);
            return false;
        }
    }
    __atomic_store_n(&w->running, false, __ATOMIC_SEQ_CST);
    return true;
}

bool world_idle_trip_to(World *w, const uint8_t *to, unsigned spin)
{
    uint8_t *fp;
    ucontext_t *uc = world_frame(w, &fp);

    if (uc == NULL) {
        return false;
    }
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(w->base + (uint64_t)(to - world_stub));
    world_clear_rf(w);
    world_resume(w, spin);
    while (!world_wait(w, spin, 50000000)) {
        if (world_check(w) != WORLD_ALIVE) {
            return false;
        }
    }
    return true;
}

bool world_idle_trip(World *w, unsigned spin)
{
    return world_idle_trip_to(w, world_stub_after_return, spin); /* an int3 */
}

void world_kick(World *w)
{
    if (__atomic_load_n(&w->running, __ATOMIC_SEQ_CST)) {
        kill(w->guest, KICK_SIGNAL);
    }
}

bool world_park(World *w)
{
    enum { TRIES = 3000 };
    uint32_t spin = *ctl32(w, CTL_SPIN);

    if (w->parked || w->health != WORLD_ALIVE) {
        return w->health == WORLD_ALIVE;
    }
    __atomic_store_n(ctl32(w, CTL_SPIN), 0, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < TRIES && !w->parked; i++) {
        w->parked = futex(ctl32(w, CTL_RESUME), FUTEX_CMP_REQUEUE, 0, 1, ctl32(w, CTL_PARK),
                          w->number) == 1;
        if (!w->parked && i < 4) {
            sched_yield();
        } else if (!w->parked) {
            struct timespec ts = {0, i < 100 ? 20000 : 1000000};
            nanosleep(&ts, NULL);
        }
    }
    *ctl32(w, CTL_SPIN) = spin;
    if (!w->parked) {
        w->health = WORLD_BROKEN;
    }
    return w->parked;
}

/* -- Health ------------------------------------------------------------------------------------------- */

static void look_at(World *w, pid_t *pid)
{
    int status;

    if (*pid > 0 && waitpid(*pid, &status, __WALL | WNOHANG) == *pid) {
        bool outside = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;

        *pid = 0;
        if (w->health == WORLD_ALIVE) { /* else it was end(), perhaps */
            w->health = outside || pid == &w->mapper ? WORLD_KILLED : WORLD_BROKEN;
        }
    }
}

WorldHealth world_check(World *w)
{
    look_at(w, &w->guest);
    look_at(w, &w->mapper);
    return w->health;
}

uint64_t world_cpu_ns(const World *w)
{
    struct timespec ts;

    if (w->guest <= 0 || clock_gettime(w->clock, &ts) != 0) {
        return 0;
    }
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Its guest thread runs no more when this returns.  Leaves it to be reaped. */
static void end(World *w)
{
    siginfo_t info;

    if (w->guest > 0) {
        kill(w->guest, SIGKILL);
        while (waitid(P_PID, (id_t)w->guest, &info, WEXITED | WNOWAIT | __WALL) != 0 &&
               errno == EINTR) {
        }
    }
}

/* -- Mappings ------------------------------------------------------------------------------------------ */

void world_number_order(World *w)
{
    w->order = (w->order + 1) & ~ANSWER_FAILED;
    *ctl32(w, CTL_ANSWERS) = w->order;
    *ctl32(w, CTL_ANSWERS + 4) = w->order | ANSWER_FAILED;
    __atomic_store_n(ctl32(w, CTL_ORDER), w->order, __ATOMIC_SEQ_CST);
}

/* Leaves it to be reaped. */
static bool is_gone(pid_t pid)
{
    siginfo_t info = {0};

    return pid <= 0 || waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0 || info.si_pid == pid;
}

WorldAnswer world_answer(World *w, unsigned spin)
{
    const struct timespec ts = {0, 50000000};
    bool gone = false;
    uint32_t answer;

    for (unsigned i = 0; i < spin && !has_answered(w, w->order, &answer); i++) {
        if (i == spin / 8) {
            wake_mapper(w); /* it was said to be awake, where user code can say so too */
        }
        __builtin_ia32_pause();
    }
    __atomic_store_n(ctl32(w, CTL_ANSWER_SLEEPING), 1, __ATOMIC_SEQ_CST);
    while (!has_answered(w, w->order, &answer) && !gone) {
        gone = futex(ctl32(w, CTL_ANSWER), FUTEX_WAIT, answer, (uintptr_t)&ts, NULL, 0) != 0 && errno == ETIMEDOUT && is_gone(w->mapper);
    }
    __atomic_store_n(ctl32(w, CTL_ANSWER_SLEEPING), 0, __ATOMIC_SEQ_CST);
    return gone ? ANSWER_GONE : (answer & ANSWER_FAILED) != 0 ? ANSWER_NOT : ANSWER_WELL;
}

/* The mapper's answer to the last order, if it is still to come. */
static bool collect(World *w)
{
    WorldAnswer a;

    if (!w->reply_is_due) {
        return w->health == WORLD_ALIVE;
    }
    w->reply_is_due = false;
    a = world_answer(w, w->looks);
    if (a != ANSWER_WELL) {
        w->health = a == ANSWER_GONE ? WORLD_KILLED : w->order == __atomic_load_n(&w->resume_order, __ATOMIC_RELAXED) ? WORLD_NOT_MAPPED : WORLD_BROKEN;
        end(w); /* what should have gone may be mapped still */
    }
    return a == ANSWER_WELL;
}

static bool request(World *w, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                    uint64_t f)
{
    unsigned n = world_requests(w);
    uint64_t *r;

    if ((n == 0 && !collect(w)) || (n == CTL_REQUESTS_MAX && !world_sync(w))) {
        return false; /* the mapper may read the last order still; or it is gone */
    }
    n = world_requests(w);
    r = ctl64(w, CTL_REQUESTS + n * CTL_REQUEST_LEN);
    r[0] = (uint64_t)nr;
    r[1] = a;
    r[2] = b;
    r[3] = c;
    r[4] = d;
    r[5] = e;
    r[6] = f;
    __atomic_store_n(&w->n_requests, n + 1, __ATOMIC_RELAXED);
    return true;
}

/* The last request, if it is of this kind: words of a system call. */
static uint64_t *last_request(const World *w, long nr)
{
    unsigned n = world_requests(w);
    uint64_t *r = n == 0 ? NULL : ctl64(w, CTL_REQUESTS + (n - 1) * CTL_REQUEST_LEN);

    return r != NULL && r[0] == (uint64_t)nr ? r : NULL;
}

/* Unmap or protect beside what the last request does the same to: it does both. */
static bool join_request(World *w, long nr, uint64_t lin, uint64_t len, int prot)
{
    uint64_t *r = last_request(w, nr);

    if (r == NULL || r[3] != (uint64_t)prot || (r[1] + r[2] != lin && lin + len != r[1])) {
        return false;
    }
    r[1] = MIN(r[1], lin);
    r[2] += len;
    return true;
}

bool world_map(World *w, uint64_t lin, uint64_t len, int prot, uint64_t offset, bool populate)
{
    g_assert(lin + len <= w->base || lin >= w->base + W_LEN);
    return request(w, SYS_mmap, lin, len, (uint64_t)prot,
                   MAP_SHARED | MAP_FIXED | (populate ? MAP_POPULATE : 0), FD_RAM, offset);
}

bool world_unmap(World *w, uint64_t lin, uint64_t len)
{
    g_assert(lin + len <= w->base || lin >= w->base + W_LEN);
    return join_request(w, SYS_munmap, lin, len, 0) || request(w, SYS_munmap, lin, len, 0, 0, 0, 0);
}

bool world_protect(World *w, uint64_t lin, uint64_t len, int prot)
{
    g_assert(lin + len <= w->base || lin >= w->base + W_LEN);
    return join_request(w, SYS_mprotect, lin, len, prot) || request(w, SYS_mprotect, lin, len, (uint64_t)prot, 0, 0, 0);
}

bool world_unmap_all(World *w)
{
    return world_unmap(w, 0, w->base) &&
           world_unmap(w, w->base + W_LEN, W_TOP - (w->base + W_LEN));
}

/* What is queued becomes an order to the mapper. */
static void send_order(World *w)
{
    *ctl64(w, CTL_N_REQUESTS) = w->n_requests;
    __atomic_store_n(&w->n_requests, 0, __ATOMIC_RELAXED);
    w->reply_is_due = true;
    world_number_order(w);
    if (w->looks == 0 || !mapper_is_awake(w)) {
        wake_mapper(w);
    }
}

bool world_sync(World *w)
{
    if (!collect(w) || world_requests(w) == 0) {
        return w->health == WORLD_ALIVE;
    }
    send_order(w);
    return collect(w);
}

unsigned world_requests(const World *w)
{
    return __atomic_load_n(&w->n_requests, __ATOMIC_RELAXED);
}

static void request_wake(World *w, unsigned futex_at)
{
    request(w, SYS_futex, w->base + W_CTL + futex_at, FUTEX_WAKE, 1, 0, 0, 0);
}

void world_resume_mapped(World *w, unsigned spin)
{
    enum { REQUESTS = 3 };
    bool asleep = w->parked || (is_asleep(w) && (spin == 0 || !mapper_is_awake(w)));

    if (world_requests(w) > CTL_REQUESTS_MAX - REQUESTS) {
        world_sync(w);
    }
    begin_order(w, spin);
    *ctl32(w, CTL_NEXT) = w->number;
    /* the guest thread may not sleep yet: so nothing but this number, which neither process can write, says that it is time */
    request(w, SYS_pwrite64, FD_SHARED, w->base + W_CTL + CTL_NEXT, sizeof w->number, CTL_RESUME, 0, 0);
    if (w->parked) {
        request_wake(w, CTL_PARK);
    }
    request_wake(w, CTL_RESUME);
    w->parked = false;
    w->slept += asleep;
    w->left_to_mapper = false;
    send_order(w);
    __atomic_store_n(&w->resume_order, w->order, __ATOMIC_RELAXED);
}
