/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "softmmu/base/clock.h"

#include <cpuid.h>
#include <glib.h>
#include <sys/resource.h>
#include <time.h>
#include <x86intrin.h>

typedef struct {
    Clock clock;
    GMutex lock;
    bool running;
    uint64_t base_ns;   /* guest time when last (re)started or stopped */
    uint64_t host_ns;   /* host time when last started                 */
} HostClock;

static uint64_t monotonic_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t host_now(Clock *c)
{
    HostClock *h = (HostClock *)c;
    uint64_t now;

    g_mutex_lock(&h->lock);
    now = h->base_ns + (h->running ? monotonic_ns() - h->host_ns : 0);
    g_mutex_unlock(&h->lock);
    return now;
}

Clock *clock_host_new(void)
{
    HostClock *h = g_new0(HostClock, 1);

    h->clock.now_ns = host_now;
    g_mutex_init(&h->lock);
    h->running = true;
    h->host_ns = monotonic_ns();
    return &h->clock;
}

void clock_host_free(Clock *c)
{
    HostClock *h = (HostClock *)c;

    if (h != NULL) {
        g_mutex_clear(&h->lock);
        g_free(h);
    }
}

void clock_host_set_running(Clock *c, bool running)
{
    HostClock *h = (HostClock *)c;

    g_mutex_lock(&h->lock);
    if (running && !h->running) {
        h->host_ns = monotonic_ns();
    } else if (!running && h->running) {
        h->base_ns += monotonic_ns() - h->host_ns;
    }
    h->running = running;
    g_mutex_unlock(&h->lock);
}

void clock_host_set(Clock *c, uint64_t ns)
{
    HostClock *h = (HostClock *)c;

    g_mutex_lock(&h->lock);
    g_assert(!h->running);
    h->base_ns = ns;
    g_mutex_unlock(&h->lock);
}

/* CPUID leaf 15H gives the ratio to the crystal and, on newer parts, the crystal itself. */
static uint64_t tsc_hz_from_cpuid(void)
{
    unsigned den, num, crystal, d;

    if (__get_cpuid_max(0, NULL) < 0x15) {
        return 0;
    }
    __cpuid(0x15, den, num, crystal, d);
    return den != 0 && num != 0 && crystal != 0 ? muldiv64(crystal, num, den) : 0;
}

/* Both clocks at one moment: of several readings the one that took the least, since the thread can
 * be preempted between the two (a whole time slice of a crowded host is as long as the measurement). */
static uint64_t both_clocks(uint64_t *tsc)
{
    uint64_t least = UINT64_MAX, ns = 0;

    for (unsigned i = 0; i < 32; i++) {
        uint64_t before = __rdtsc(), now = monotonic_ns(), took = __rdtsc() - before;
        if (took < least) {
            least = took;
            ns = now;
            *tsc = before + took / 2;
        }
    }
    return ns;
}

static uint64_t tsc_hz_by_measuring(void)
{
    uint64_t t0, t1, ns0 = both_clocks(&t0), ns1;
    struct timespec wait = {.tv_nsec = 20 * 1000 * 1000};

    nanosleep(&wait, NULL);
    ns1 = both_clocks(&t1);
    return muldiv64(t1 - t0, NS_PER_SEC, ns1 - ns0);
}

static gpointer measure_tsc(gpointer unused)
{
    uint64_t *hz = g_new(uint64_t, 1);

    (void)unused;
    *hz = tsc_hz_from_cpuid();
    if (*hz == 0) {
        *hz = tsc_hz_by_measuring();
    }
    return hz;
}

uint64_t clock_host_tsc_hz(void)
{
    static GOnce once = G_ONCE_INIT; /* a fact about the host, not state of a machine */

    return *(uint64_t *)g_once(&once, measure_tsc, NULL);
}

long clock_thread_preemptions(void)
{
    struct rusage u;

    return getrusage(RUSAGE_THREAD, &u) == 0 ? u.ru_nivcsw : 0;
}
