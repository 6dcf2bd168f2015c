/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/direct-policy.h"

#include "softmmu/base/clock.h"
#include "softmmu/base/log.h"
#include "softmmu/base/stress.h"
#include "translator/direct/direct-state.h"
#include "translator/direct/identity.h"

#include <inttypes.h>
#include <time.h>
#include <x86intrin.h>

const DirectPolicy direct_policy = {
    .around = 16,
    .around_max = 512,
    /* vm.max_map_count is 65530 by default; holes between pages do not count, but what is not seen (the stub, calls that split) needs room. */
    .pages_max = 48000,
    .refused_ms = 100,
    .refused_max_ms = 60000,
    .churn_max = 16,
    .holdoff_min = 16,
    .holdoff_max = 512, /* another process may get the page tables' page */
    .visit_trips = 2,
    .insn_ns = 5,
    .visit_apart_trips = 4,
    .visits_max = 8,
    .visit_free_trips = 16,
    /* Static programs call from a page with CPUID what runs for milliseconds. */
    .free_trips = 40,
    .holdoff_looks = 8,
    /* A look is two system calls of the host, half a microsecond. */
    .look_us = 1000,
    /* A world takes some 300 pages in before it runs freely: two milliseconds. */
    .promote_us = 10000,
    /* The same where round trips, and pages with them, cost several times as much. */
    .promote_trips = 1000,
    .burst_trips = 4,
    .long_trips = 100,
    .penalty_max = 7,
    /* Who stops calling the kernel is calm after two of them. */
    .lately_us = 5000,
    /* A process whose program gains loses little before this: the first pages are new to everybody. */
    .known_us = 1500,
    .stage_entries = 64,
    .regret_permille = 20,
    .trial_trips = 200,
    .credit_trips = 300,
    .account_trips = 3000,
    .window_events = 128,
    .window_us = 20000,
    /* Two switches between threads on one CPU, a signal and its return. */
    .trip_us = 9,
    .trips = 5,
    /* Nobody has so fast a host; but clocks may stand still, and it is divided by. */
    .trip_least_ns = 1000,
    .trips_us = 50000,
    /* Measured: 12 us, 4.2 us, 0.5 us, of a trip of 10; and 29, 7, 0.3 of one of 24.  Awake the trip is one awake, and the same holds. */
    .batch_cost = 310,
    .run_cost = 90,
    .page_cost = 8,
    .check_cost = 2,
    .pace_entries = 48,
    .pace_ms = 200,
    /* Translated code is 1.0 to 20 times slower than itself. */
    .gain_percent = 60,
    .doubt_percent = 6,
    .doubt_of_one_percent = 200,
    /* A probe takes a sixteenth of the time in between, in which translated code does a quarter of what a world does; a sixtieth where it
     * is clear.  A program that begins another phase is probed at once. */
    .trust_us = 80000,
    .clear_percent = 200,
    .trust_doublings = 2,
    .probe_us = 5000,
    .probe_entries = 256,
    .gain_max = 10,
    .phase = 4,
    .spin_events = 64,
    /* A trial takes sixteen round trips; so does every other of 16 windows at most. */
    .spin_wait_ms = 50,
    .spin_wait_max_ms = 10000,
    .spin_percent = 70,
    /* A hog takes half.  (5 to 10 were seen on a quiet host when the mapper had this CPU, for each page fault.) */
    .spin_others_percent = 25,
    .spin_crowded = 2,
    .spin_vain = 8,
    /* A page fault of the guest with its mapping takes two or three. */
    .spin_event_trips = 8,
    /* A compiler has one every 100 us or so, four trips; of such waits one in four outlasts 8 of them, hardly any 32. */
    .spin_wait_trips = 32,
    .spin_stay_percent = 90,
};

static uint64_t cycles_of_us(uint64_t us)
{
    return us * (clock_host_tsc_hz() / 1000000);
}

static int64_t trips_ns(const DirectCpu *dc, int64_t n)
{
    return n * (int64_t)dc->trip_ns;
}

static uint64_t pace_ns(PolicyPace p)
{
    return MAX(p.ns / (p.entries + 1), 1);
}

static int64_t capped(const DirectCpu *dc, int64_t ns)
{
    return MIN(ns, trips_ns(dc, direct_policy.account_trips));
}

/* -- Programs ---------------------------------------------------------------------------------------- */

/* What is known of the space's program: nothing, if it was forgotten for others. */
static PolicyProgram *program_of(DirectCpu *dc, const Space *s)
{
    PolicyProgram *oldest = &dc->program[0];

    for (unsigned i = 0; i < POLICY_PROGRAMS; i++) {
        PolicyProgram *p = &dc->program[i];

        if (p->key == s->program) {
            p->last_use = dc->clock;
            return p;
        }
        oldest = p->last_use < oldest->last_use ? p : oldest;
    }
    *oldest = (PolicyProgram){.key = s->program, .last_use = dc->clock};
    return oldest;
}

/* How far a process has come: its entries, in powers of two. */
static PolicyPaces *stage_of(DirectCpu *dc, const Space *s)
{
    unsigned stage = 0;

    while (stage < POLICY_STAGES - 1 && s->entries >= (uint64_t)direct_policy.stage_entries << stage) {
        stage++;
    }
    return &program_of(dc, s)->stage[stage];
}

static void pace_halve(PolicyPace *p)
{
    p->ns /= 2;
    p->entries /= 2;
}

/* Entries so far apart that round trips hardly matter. */
static bool is_calm(const DirectCpu *dc, PolicyPace p)
{
    return p.ns >= (p.entries + 1) * (uint64_t)trips_ns(dc, direct_policy.long_trips);
}

/* ... but so that it can be compared still. */
static void pace_age(PolicyPace *p)
{
    if (p->entries >= 2 * direct_policy.pace_entries) {
        pace_halve(p);
    }
}

/*
 * The present counts, not the past; and what was compared with it ages with it.  Of entries that are far apart there are few in
 * that time, fewer still in probes: they stay until there are enough.
 */
static void pace_add(PolicyPaces *of, PolicyPace *p, uint64_t ns, uint64_t entries)
{
    p->ns += ns;
    p->entries += entries;
    if (p->ns >= direct_policy.pace_ms * NS_PER_MS) {
        pace_age(&of->translated);
        pace_age(&of->direct);
    }
}

static bool can_be_compared(const PolicyPaces *p)
{
    return p->translated.entries >= direct_policy.pace_entries && p->direct.entries >= direct_policy.pace_entries;
}

/* The two paces of this stage of the process's life.  False: not enough is known. */
static bool compare_stage(DirectCpu *dc, const Space *s, PolicyPaces *p)
{
    *p = *stage_of(dc, s);
    return can_be_compared(p);
}

static bool is_faster(const PolicyPaces *p)
{
    return pace_ns(p->translated) > pace_ns(p->direct) + pace_ns(p->direct) / 16;
}

/*
 * The same, or where the stage is not known of all that are: then, how long what was done directly would have taken the
 * translator.  That the world was faster in other stages is believed; that it was not says nothing of this one: a compiler that reads its
 * source calls its kernel all the time, and then computes.
 */
static bool compare_paces(DirectCpu *dc, const Space *s, PolicyPaces *p)
{
    const PolicyProgram *program = program_of(dc, s);

    if (compare_stage(dc, s, p)) {
        return true;
    }
    *p = (PolicyPaces){0};
    for (unsigned i = 0; i < POLICY_STAGES; i++) {
        const PolicyPaces *stage = &program->stage[i];

        if (can_be_compared(stage)) {
            p->direct.ns += stage->direct.ns;
            p->direct.entries += stage->direct.entries;
            p->translated.ns += stage->direct.entries * pace_ns(stage->translated);
            p->translated.entries += stage->direct.entries;
        }
    }
    return can_be_compared(p) && is_faster(p);
}

/* Beyond what may be chance: entries come in clusters, and the two paces are of different moments. */
static bool is_surely_slower(const PolicyPaces *p)
{
    uint64_t entries = MIN(p->translated.entries, p->direct.entries), sure = 100 + direct_policy.doubt_percent;
    uint64_t percent = pace_ns(p->direct) * 100 / pace_ns(p->translated), beyond = percent > sure ? percent - sure : 0;

    return beyond * beyond * (entries + 1) > direct_policy.doubt_of_one_percent * direct_policy.doubt_of_one_percent;
}

typedef enum { PAYS_UNKNOWN, PAYS, PAYS_NOT } Pays;

/* Is the world faster, as far as is known? */
static Pays does_it_pay(DirectCpu *dc, const Space *s)
{
    PolicyPaces p;

    if (!compare_paces(dc, s, &p)) {
        return PAYS_UNKNOWN;
    }
    return is_faster(&p) ? PAYS : is_surely_slower(&p) ? PAYS_NOT : PAYS_UNKNOWN;
}

static void trace_decision(DirectCpu *dc, const Space *s, const char *what)
{
    PolicyPaces p;
    bool known = compare_paces(dc, s, &p);

    trace(direct_policy, "cpu %u cr3 %012" PRIx64 ", program %012" PRIx64 ", entry %" PRIu64 ": %s; %" PRIu64
          " ns from entry to entry translated, %" PRIu64 " directly; account %" PRId64 " us, penalty %u, calm %u", dc->cpu->index, s->cr3,
          s->program, s->entries, what, known ? pace_ns(p.translated) : 0, known ? pace_ns(p.direct) : 0,
          dc->account_ns / 1000, program_of(dc, s)->penalty[POLICY_BUSY], program_of(dc, s)->penalty[POLICY_CALM]);
}

/* -- Clocks ------------------------------------------------------------------------------------------ */

static uint64_t thread_cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Of address space: the changes of the TLB that are no flushes. */
static uint64_t switches_of(const DirectCpu *dc)
{
    const Tlb *t = &dc->cpu->mmu.tlb;

    return dc->n_changes - t->n_flushes - t->n_page_flushes;
}

/* -- Decisions --------------------------------------------------------------------------------------- */

bool policy_is_forced(const DirectCpu *dc)
{
    return dc->mode == DIRECT_ON || stress_info[STRESS_direct].one_in != 0;
}

static void promote(DirectCpu *dc, Space *s, int64_t credit_trips)
{
    s->chosen = true;
    s->credit_ns = trips_ns(dc, credit_trips);
    s->window = (PolicyWindow){0};
    s->trust_ns = direct_policy.trust_us * 1000;
    s->clear_probes = 0;
    dc->n_chosen++;
    dc->stats.promoted++;
    trace_decision(dc, s, "promoted");
}

void policy_forget(DirectCpu *dc, Space *s)
{
    dc->n_chosen -= s->chosen;
    s->chosen = s->probing = false;
}

/* What a round trip takes, and with it an order: asleep CPU time, awake, when the clocks of both threads run all the time, wall time. */
static int64_t trip_of(const DirectCpu *dc, bool awake)
{
    return (int64_t)(awake ? dc->spin.took.spin : dc->trip_ns);
}

/* Mappings since the window began, in ns. */
static int64_t mapping_since(const DirectCpu *dc, const PolicyWindow *w, uint64_t mapping, bool awake)
{
    return (int64_t)(mapping - w->mapping) * trip_of(dc, awake) / MAPPING_UNIT;
}

/* The process in its world has ended: what it cost since the last judgement has to be paid all the same. */
static void pay_the_rest(DirectCpu *dc, Space *s)
{
    if (s->chosen && s->window.began != 0) {
        dc->account_ns -= (int64_t)s->window.events * trip_of(dc, s->window.awake) + mapping_since(dc, &s->window, s->mapping, s->window.awake);
        s->window = (PolicyWindow){0};
    }
}

/* Into the guest's kernel, but by interrupts. */
static uint64_t entries_of(const DirectCpu *dc)
{
    const uint64_t *n = dc->cpu->stats;

    return n[STAT_SYSCALLS] + n[STAT_EXCEPTIONS] + n[STAT_SOFT_INTS];
}

/* Another process has the page tables' page.  Its program may be known. */
static bool is_another(DirectCpu *dc, Space *s)
{
    const PolicyIdentified now = {s, dc->n_changes, entries_of(dc)};
    uint64_t process, program;

    if (dc->identified.space == s && dc->identified.changes == now.changes && dc->identified.entries == now.entries) {
        return false; /* who only computes is who it was: the tables are lines of memory that a tick would wait for */
    }
    dc->identified = now;
    process = identity_of_process(dc);
    program = identity_of_program(dc);
    s->program = program != 0 ? program : s->cr3 | 1;
    if (s->process == process) {
        return false;
    }
    pay_the_rest(dc, s);
    policy_forget(dc, s);
    s->process = process;
    s->entries = 0;
    s->waited_ns = 0;
    s->lately = s->present = (PolicyPace){0};
    return true;
}

static void demote(DirectCpu *dc, Space *s, unsigned manner, const char *why)
{
    PolicyProgram *p = program_of(dc, s);

    trace_decision(dc, s, why);
    policy_forget(dc, s);
    s->waited_ns = p->waited_ns = 0;
    p->penalty[manner] += p->penalty[manner] < direct_policy.penalty_max;
    dc->stats.demoted++;
}

/* The comparison is old, or the program has changed its ways. */
static void begin_probe(DirectCpu *dc, Space *s)
{
    s->probing = true;
    s->waited_ns = 0;
    s->probe_entries = 0;
    dc->stats.probes++;
    trace_decision(dc, s, "probe");
}

/* For how long is what the probe has shown good? */
static int64_t trust_after_probe(DirectCpu *dc, Space *s)
{
    PolicyPaces p;
    bool clear = compare_stage(dc, s, &p) && pace_ns(p.translated) * 100 >= pace_ns(p.direct) * direct_policy.clear_percent;

    s->clear_probes = clear ? MIN(s->clear_probes + 1, direct_policy.trust_doublings) : 0;
    return (direct_policy.trust_us * 1000) << s->clear_probes;
}

/* True: back into the world. */
static bool end_probe(DirectCpu *dc, Space *s)
{
    s->probing = false;
    if (does_it_pay(dc, s) == PAYS_NOT) {
        demote(dc, s, POLICY_BUSY, "demoted by a probe");
        return false;
    }
    s->window = (PolicyWindow){0};
    s->trust_ns = trust_after_probe(dc, s);
    trace_decision(dc, s, "probe won");
    return true;
}

/* -- In the translator ------------------------------------------------------------------------------ */

bool policy_look_is_due(const DirectCpu *dc)
{
    return __rdtsc() >= dc->next_look;
}

static uint64_t promote_ns(const DirectCpu *dc)
{
    return MAX(direct_policy.promote_us * 1000, direct_policy.promote_trips * dc->trip_ns);
}

/* A program that lost is tried again when it has been with the translator for long: what is known is old then. */
static bool forget_loss(const DirectCpu *dc, PolicyProgram *p)
{
    if (p->waited_ns < promote_ns(dc) << p->penalty[POLICY_BUSY]) {
        return false;
    }
    for (unsigned i = 0; i < POLICY_STAGES; i++) {
        p->stage[i].direct = (PolicyPace){0};
    }
    return true;
}

/* What a promotion of a process may lose whose program is known to gain, in round trips; 0: there shall be none. */
static int64_t credit_for_known(const DirectCpu *dc, const Space *s)
{
    return s->waited_ns >= direct_policy.known_us * 1000 && dc->account_ns >= trips_ns(dc, direct_policy.trial_trips)
               ? MAX(direct_policy.credit_trips, dc->account_ns / (int64_t)dc->trip_ns / 2) : 0;
}

/* What any other may lose.  Its program has to wait for what it has lost in the same manner. */
static int64_t credit_for_unknown(DirectCpu *dc, Space *s, unsigned manner)
{
    const PolicyProgram *p = program_of(dc, s);
    uint64_t wait_ns = promote_ns(dc);

    if (s->waited_ns < wait_ns || p->waited_ns < wait_ns << p->penalty[manner]) {
        return 0;
    }
    if (dc->account_ns >= trips_ns(dc, direct_policy.trial_trips)) {
        return direct_policy.credit_trips;
    }
    /* Round trips will hardly matter.  What it costs to begin is little against twice the time. */
    return s->waited_ns >= 2 * wait_ns && manner == POLICY_CALM ? direct_policy.long_trips : 0;
}

static int64_t credit_for_busy(DirectCpu *dc, Space *s)
{
    return (int64_t)pace_ns(stage_of(dc, s)->translated) >= trips_ns(dc, direct_policy.burst_trips)
               ? credit_for_unknown(dc, s, POLICY_BUSY) : 0;
}

static int64_t credit_for(DirectCpu *dc, Space *s)
{
    Pays pays = does_it_pay(dc, s);
    int64_t credit = pays == PAYS ? credit_for_known(dc, s) : 0;

    /* Paces say nothing of who has left his kernel alone lately: they are of what the program did before, or does elsewhere. */
    if (credit == 0 && is_calm(dc, s->lately)) {
        credit = credit_for_unknown(dc, s, POLICY_CALM);
    }
    if (credit == 0 && (pays == PAYS_UNKNOWN || (pays == PAYS_NOT && forget_loss(dc, program_of(dc, s))))) {
        credit = credit_for_busy(dc, s);
    }
    return credit;
}

bool policy_judge_translated(DirectCpu *dc, Space *s, uint64_t ns, uint64_t entries)
{
    PolicyPaces *stage = stage_of(dc, s);

    dc->account_ns = capped(dc, dc->account_ns + (int64_t)(ns * direct_policy.regret_permille / 1000));
    pace_add(stage, &stage->translated, ns, entries);
    s->present.ns += ns;
    s->present.entries += entries;
    if (s->present.ns >= direct_policy.lately_us * 1000) {
        s->lately = s->present;
        s->present = (PolicyPace){0};
    }
    s->entries += entries;
    s->waited_ns += ns;
    s->probe_entries += entries;
    if (s->probing) {
        return (s->waited_ns >= direct_policy.probe_us * 1000 ||
                s->probe_entries >= direct_policy.probe_entries) && end_probe(dc, s);
    }
    program_of(dc, s)->waited_ns += ns;
    if (!s->chosen) {
        int64_t credit = credit_for(dc, s);

        if (credit != 0) {
            promote(dc, s, credit);
        }
    }
    return s->chosen;
}

bool policy_look(DirectCpu *dc, Space *s)
{
    PolicyLook old = dc->look;
    PolicyLook now = {s, thread_cpu_ns(), entries_of(dc), switches_of(dc)};

    dc->look = now;
    dc->next_look = __rdtsc() + cycles_of_us(direct_policy.look_us);
    if (policy_is_forced(dc)) {
        return true;
    }
    if (is_another(dc, s) || old.space != s || old.switches != now.switches || (s->chosen && !s->probing)) {
        return s->chosen && !s->probing;
    }
    return policy_judge_translated(dc, s, now.cpu_ns - old.cpu_ns, now.entries - old.entries);
}

bool policy_wants(DirectCpu *dc, Space *s)
{
    return policy_is_forced(dc) || (s->chosen && !s->probing);
}

/* -- In the world ------------------------------------------------------------------------------------ */

void policy_reckon_trip(DirectCpu *dc, uint64_t least, uint64_t clock)
{
    least = MAX(least - MIN(2 * clock, least / 2), direct_policy.trip_least_ns);
    dc->trip_ns = dc->trips_measured ? (3 * dc->trip_ns + least) / 4 : least;
    dc->trips_measured = true;
}

/*
 * The least counts: what the host's other work does to one of them (its caches are cold, its CPU was away) is not what
 * the next hundred will cost, and they are not what the guest can be asked to pay for.
 */
bool policy_measure_trips(DirectCpu *dc, World *w)
{
    uint64_t least = UINT64_MAX, clock = UINT64_MAX; /* what it takes to look at one of the clocks */

    dc->next_trips = __rdtsc() + cycles_of_us(direct_policy.trips_us);
    for (unsigned i = 0; i < direct_policy.trips; i++) {
        uint64_t before = thread_cpu_ns(), ns = thread_cpu_ns();

        clock = MIN(clock, ns - before);
        ns += world_cpu_ns(w);

        if (!state_to_world(dc, w) || !world_idle_trip(w, 0)) {
            return false;
        }
        least = MIN(least, thread_cpu_ns() + world_cpu_ns(w) - ns);
    }
    policy_reckon_trip(dc, least, clock);
    return true;
}

void policy_init(DirectCpu *dc)
{
    dc->trip_ns = direct_policy.trip_us * 1000;
    dc->account_ns = trips_ns(dc, direct_policy.trial_trips);
}

/* What the world saves of the translator's time; negative: it costs.  By the paces, where they are known; they say
 * nothing of a process that goes on with others in turns, by forks or pipes. */
static int64_t saving(DirectCpu *dc, const Space *s, const PolicyResult *r)
{
    PolicyPaces p;
    int64_t here, there;

    if (!r->alone || !compare_paces(dc, s, &p)) {
        return r->useful * direct_policy.gain_percent / 100 - r->lost;
    }
    here = (int64_t)pace_ns(p.direct);
    there = (int64_t)pace_ns(p.translated);
    return MIN((r->useful + r->lost) * (there - here) / here, r->useful * direct_policy.gain_max);
}

static int64_t ns_between(uint64_t from, uint64_t to)
{
    return (int64_t)((to - from) * 1000 / (clock_host_tsc_hz() / 1000000));
}

/* What the window that ends now came to. */
static PolicyResult result_of(const DirectCpu *dc, const PolicyWindow *w, const PolicyWindow *now)
{
    bool awake = w->awake && now->awake;
    int64_t trips = (int64_t)w->events * trip_of(dc, awake), mapping = mapping_since(dc, w, now->mapping, awake);
    /* awake that is from one word to the other, mappings included */
    int64_t ran = awake ? ns_between(w->useful, now->useful) - mapping : (int64_t)(now->world_ns - w->world_ns);

    return (PolicyResult){
        .lost = trips + mapping,
        .useful = MAX(ran - trips * 2 / 3, 0), /* signals are the guest thread's time, too */
        .total = awake ? (uint64_t)ns_between(w->began, now->began) : now->engine_ns - w->engine_ns + (uint64_t)ran,
        .entries = now->entries - w->entries,
        .alone = w->switches == now->switches,
    };
}

/* The process goes on as `stage` says that it does not. */
static bool is_other_phase(const PolicyPaces *stage, const PolicyResult *r)
{
    return r->alone && r->entries >= direct_policy.pace_entries && can_be_compared(stage) &&
           r->total / r->entries < pace_ns(stage->direct) / direct_policy.phase;
}

/* A window paid. */
static void forgive(PolicyProgram *p)
{
    bool enough = ++p->wins % 64 == 0;

    for (unsigned i = 0; i < POLICY_MANNERS; i++) {
        p->penalty[i] -= enough && p->penalty[i] > 0;
    }
}

void policy_judge_world(DirectCpu *dc, Space *s, const PolicyResult *r)
{
    PolicyProgram *p = program_of(dc, s);
    PolicyPaces *stage = stage_of(dc, s);
    int64_t all = r->useful + r->lost, regret = all * direct_policy.regret_permille / 1000;
    bool contested = r->lost > regret, other_phase = is_other_phase(stage, r);
    int64_t gain;

    if (r->alone) {
        pace_add(stage, &stage->direct, r->total, r->entries);
        s->entries += r->entries;
    }
    gain = regret + (contested ? saving(dc, s, r) : -r->lost);
    dc->account_ns = capped(dc, dc->account_ns + gain);
    /* what it has gained long ago is no reason to lose as much now */
    s->credit_ns = MIN(s->credit_ns + gain, MAX(s->credit_ns, trips_ns(dc, 2 * direct_policy.credit_trips)));
    s->trust_ns -= (int64_t)r->total;
    if (s->credit_ns < 0) {
        demote(dc, s, is_calm(dc, (PolicyPace){r->total, r->entries}) ? POLICY_CALM : POLICY_BUSY, "demoted");
    } else if (contested && stage->direct.entries >= direct_policy.pace_entries && (other_phase || s->trust_ns <= 0)) {
        begin_probe(dc, s);
    } else {
        forgive(p);
    }
}

void policy_world_event(DirectCpu *dc, Space *s)
{
    PolicyWindow *w = &s->window;
    uint64_t now;
    bool crowded;

    w->events++;
    if (policy_is_forced(dc) || s->world == NULL) {
        return;
    }
    now = __rdtsc();
    crowded = w->events + (s->mapping - w->mapping) / MAPPING_UNIT >= direct_policy.window_events;
    if (w->began == 0 || crowded || now - w->began >= cycles_of_us(direct_policy.window_us)) {
        PolicyWindow next = {
            .began = now, .engine_ns = thread_cpu_ns(), .world_ns = world_cpu_ns(s->world),
            .useful = dc->useful_cycles, .awake = dc->spin.looks != 0, .entries = entries_of(dc), .mapping = s->mapping, .switches = switches_of(dc),
        };

        if (w->began != 0 && !is_another(dc, s)) {
            PolicyResult r = result_of(dc, w, &next);

            policy_judge_world(dc, s, &r);
        }
        s->window = next;
        dc->measure_trips |= crowded && now >= dc->next_trips;
    }
}
