/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/windows-internal.h"

#include "translator/symbols.h"

#include <inttypes.h>

enum { GUILTIEST = 5 };

static int by_faults(const void *a, const void *b)
{
    const Guilt *x = *(Guilt *const *)a, *y = *(Guilt *const *)b;

    return x->faults < y->faults ? 1 : x->faults > y->faults ? -1 : 0;
}

/* What is to be added to the addresses of the kernel's symbols: by its entry for system calls. */
static uint64_t symbols_shift_now(const TransCpu *tc)
{
    static const char *const names64[] = {"entry_SYSCALL_64", "system_call", NULL};
    static const char *const names32[] = {"entry_SYSENTER_32", "ia32_sysenter_target", "sysenter_entry", NULL};
    const CpuState *cpu = tc->cpu;
    bool wide = (cpu->efer & EFER_LMA) != 0;

    return symbols_shift(tc->cache->symbols, wide ? cpu->msr_lstar : cpu->msr_sysenter_eip, wide ? names64 : names32);
}

/* " ADDRESS", and the symbol where there is one. */
static void report_place(const TransCpu *tc, uint64_t lin, uint64_t shift, GString *out)
{
    char *name = tc->cache->symbols != NULL ? symbols_name(tc->cache->symbols, lin - shift) : NULL;

    g_string_append_printf(out, " %" PRIx64 "%s%s", lin, name != NULL ? " " : "", name != NULL ? name : "");
    g_free(name);
}

static void report_regions(const TransCpu *tc, GString *out)
{
    WindowShare *ws = tc->windows;
    WindowRegions *r = &ws->regions;

    lock_take(&ws->lock);
    g_string_append_printf(out, "  its regions: %" PRIu64 " times something came back, %" PRIu64 " times that was too much, of which %" PRIu64
                           " were served and %" PRIu64 " given up; %" PRIu64 " instructions were guilty because of one, %" PRIu64
                           " no longer; now %u", r->n_again, r->n_bans, r->n_served, r->n_wrong, tc->cache->n_restless,
                           tc->cache->n_settled, r->n_banned);
    for (unsigned i = 0, named = 0; i < REGIONS && named < GUILTIEST; i++) {
        if (r->region[i].state == REGION_BANNED) {
            g_string_append_printf(out, "%s %" PRIx64, named++ == 0 ? ", at" : "", r->region[i].number << REGION_SHIFT);
        }
    }
    g_string_append(out, "\n");
    lock_release(&ws->lock);
}

static void report_guilty(const TransCpu *tc, GString *out)
{
    BlockCache *c = tc->cache;
    uint64_t shift = c->symbols != NULL ? symbols_shift_now(tc) : 0;
    GPtrArray *sites = g_ptr_array_new();
    unsigned n_guilty = 0;
    GHashTableIter it;
    gpointer value;

    lock_take(&c->lock);
    g_hash_table_iter_init(&it, c->guilty);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        n_guilty += ((Guilt *)value)->weight >= c->config->window_faults;
        g_ptr_array_add(sites, value);
    }
    qsort(sites->pdata, sites->len, sizeof *sites->pdata, by_faults);
    g_string_append_printf(out, "  instructions not for it: %u, found out %" PRIu64 " times, tried again %" PRIu64
                           " times, replaced %" PRIu64 "; most faults at", n_guilty, c->n_convictions, c->n_pardons, c->n_replaced);
    for (unsigned i = 0; i < MIN(sites->len, GUILTIEST); i++) {
        const Guilt *g = g_ptr_array_index(sites, i);
        report_place(tc, g->lin, shift, out);
        g_string_append_printf(out, " (%u)", g->faults);
    }
    g_string_append(out, "\n");
    if (c->symbols != NULL && shift != 0) {
        g_string_append_printf(out, "  the kernel lies %#" PRIx64 " above its symbols\n", shift);
    } else if (c->symbols != NULL) {
        g_string_append(out, "  no sign that the kernel has moved: its symbols as they are\n");
    }
    lock_release(&c->lock);
    g_ptr_array_free(sites, TRUE);
}

char *windows_report(const TransCpu *tc)
{
    const WindowShare *ws = tc->windows;
    const Window *w = ws != NULL ? ws->window : NULL;
    GString *out;

    if (ws == NULL) {
        return tc->shared->windows_why != NULL
                   ? g_strdup_printf("  window: none, %s\n", tc->shared->windows_why) : NULL;
    }
    out = g_string_new(NULL);
    g_string_append_printf(out, "  window: %s%s; %u runs, %" PRIu64 " mappings made, %" PRIu64 " unmapped, %" PRIu64
                           " pages protected, %" PRIu64 " made writable again, %" PRIu64 " overflows, %" PRIu64 " restless regions given up\n"
                           "  its faults: %" PRIu64 ", of which %" PRIu64 " mapped something (and %" PRIu64 " pages beside it; %" PRIu64 " more before a fault), %" PRIu64
                           " were of user addresses, %" PRIu64 " of devices, %" PRIu64 " of pages of code, %" PRIu64 " the guest's own, %" PRIu64 " refused\n",
                           ws->off != NULL ? "off, " : "on", ws->off != NULL ? ws->off : "", w->n_runs, w->n_maps, w->n_unmaps,
                           w->n_revokes, w->n_refreshes, w->n_overflows, ws->n_restless, ws->n_faults, ws->n_mapped - ws->n_touched, ws->n_brought, ws->n_touched, ws->n_user,
                           ws->n_device, ws->n_stores, ws->n_unmapped, ws->n_refused);
    report_regions(tc, out);
    report_guilty(tc, out);
    return g_string_free(out, FALSE);
}
