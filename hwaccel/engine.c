/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine: enter KVM, leave it, inject what is pending in between.
 *
 * The machine's interrupt controllers are the machine's (hw/), but for the local APICs where those are KVM's
 * (apic.h): then only the PIC's interrupts come this way.  An interrupt is injected when the guest can take it;
 * otherwise KVM is asked to come back as soon as it can.
 */
#include "hwaccel/engine.h"

#include "hwaccel/apic.h"
#include "hwaccel/bells.h"
#include "hwaccel/dirty.h"
#include "hwaccel/lazy.h"
#include "softmmu/base/bits.h"

#include <errno.h>
#include <gio/gio.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <x86intrin.h>

/* -- Kicks ------------------------------------------------------------------------------------------- */

static int kick_signal(void)
{
    return SIGRTMIN + 2;
}

static void nothing(int sig)
{
}

void kvm_cpu_kick(KvmCpu *k)
{
    __atomic_store_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&k->inside, __ATOMIC_SEQ_CST)) {
        pthread_kill(k->thread, kick_signal());
    }
}

static void engine_kick(CpuState *cpu)
{
    KvmCpu *k = cpu->engine_data;

    if (k != NULL) {
        kvm_cpu_kick(k);
    }
}

static void know_thread(KvmCpu *k)
{
    struct sigaction sa = {.sa_handler = nothing};
    sigset_t set;

    if (k->thread_known && pthread_equal(k->thread, pthread_self())) {
        return;
    }
    sigaction(kick_signal(), &sa, NULL); /* without SA_RESTART: KVM_RUN returns */
    sigemptyset(&set);
    sigaddset(&set, kick_signal());
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    k->thread = pthread_self();
    k->thread_known = true;
}

/* -- Before an entry ----------------------------------------------------------------------------------- */

enum { LEAVE = CPU_REQ_KICK | CPU_REQ_STOP | CPU_REQ_INIT | CPU_REQ_SIPI };

static bool ask(KvmCpu *k, unsigned long request, void *arg)
{
    int r = k->vm->ops->request(k->vm->ops, k->fd, request, (uintptr_t)arg);

    return r >= 0 || kvm_cpu_failed(k, request, r);
}

static bool can_interrupt(const KvmCpu *k)
{
    return (cpu_requests(k->cpu) & CPU_REQ_INTR) != 0 && k->run->if_flag && k->run->ready_for_interrupt_injection;
}

/*
 * External interrupts; true unless it failed.  The instruction that led out comes to its end first: if that is an exception
 * (an MSR that nobody has), KVM would deliver it and forget an interrupt that was given to it before.
 */
static bool inject_interrupt(KvmCpu *k)
{
    CpuState *cpu = k->cpu;
    struct kvm_run *run = k->run;

    if (k->vm->chips != 0) {       /* its PIC is KVM's too */
        return true;
    }
    if (can_interrupt(k) && k->unfinished && !kvm_finish_exit(k)) {
        return false;
    }
    if (can_interrupt(k)) {
        int vector = cpu->bus.irq_ack(cpu->bus.arg);
        if (vector >= 0) {
            struct kvm_interrupt irq = {.irq = (uint32_t)vector};
            run->ready_for_interrupt_injection = 0;
            cpu->stats[STAT_INTERRUPTS]++;
            if (!ask(k, KVM_INTERRUPT, &irq)) {
                return false;
            }
        }
    }
    run->request_interrupt_window = (cpu_requests(cpu) & CPU_REQ_INTR) != 0;
    return true;
}

/* A hypercall of before, or of an interpreted instruction, ends the next halt (KVM_HC_KICK_CPU): KVM learns of it by an
 * interrupt message of the kind it uses itself, the reserved delivery mode 3. */
static bool pass_unhalt(KvmCpu *k)
{
    struct kvm_msi m = {.address_lo = 0xfee00000u | k->cpu->index << 12, .data = 0x300};
    int r;

    if (!k->vm->apics || !__atomic_load_n(&k->cpu->unhalted, __ATOMIC_SEQ_CST)) {
        return true;
    }
    __atomic_store_n(&k->cpu->unhalted, false, __ATOMIC_SEQ_CST);
    r = k->vm->ops->request(k->vm->ops, k->vm->fd, KVM_SIGNAL_MSI, (uintptr_t)&m);
    return r >= 0 || kvm_cpu_failed(k, KVM_SIGNAL_MSI, r);
}

static bool inject(KvmCpu *k)
{
    CpuState *cpu = k->cpu;

    if (!pass_unhalt(k)) {
        return false;
    }

    if ((cpu_requests(cpu) & CPU_REQ_NMI) != 0 && k->vm->host->user_nmi) {
        cpu_unrequest(cpu, CPU_REQ_NMI);
        if (!ask(k, KVM_NMI, NULL)) {
            return false;
        }
    }
    if (!inject_interrupt(k)) {
        return false;
    }
    if (cpu->bus.cr8_read != NULL && !k->vm->apics) { /* after the acknowledge */
        k->run->cr8 = k->cr8 = cpu->bus.cr8_read(cpu->bus.arg);
    }
    return true;
}

/* The state to KVM; what is the interpreter's comes before, and the trap due after the last instruction. */
static CpuExit load(KvmCpu *k)
{
    CpuState *cpu = k->cpu;

    while (!k->loaded) {
        CpuExit exit = kvm_phases_run(k);

        if (exit == CPU_EXIT_BUDGET && cpu->pending_dbg != 0) {
            exit = kvm_interpret(k, 1, KVM_TURN_DEBUG);
        }
        if (exit != CPU_EXIT_BUDGET) {
            return exit;
        }
        if (cpu->pending_dbg != 0) {
            continue;
        }
        if (!kvm_push(k)) {
            return CPU_EXIT_FAILED;
        } else {
            k->run->if_flag = (cpu->rflags & FLAG_IF) != 0;
            k->run->ready_for_interrupt_injection = k->run->if_flag && !cpu->shadow;
        }
    }
    return CPU_EXIT_BUDGET;
}

/* -- An entry -------------------------------------------------------------------------------------------- */

/* Something came up after inject() looked. */
static bool wants_attention(const KvmCpu *k)
{
    uint32_t r = cpu_requests(k->cpu);

    return (r & (LEAVE | CPU_REQ_FLUSH)) != 0 || ((r & CPU_REQ_NMI) != 0 && k->vm->host->user_nmi) ||
           ((r & CPU_REQ_INTR) != 0 && !k->run->request_interrupt_window && k->vm->chips == 0);
}

static void set_inside(KvmCpu *k, bool inside)
{
    __atomic_store_n(&k->inside, inside, __ATOMIC_SEQ_CST);
}

/* KVM_RUN; -EINTR also when there was a reason not to enter.  A kick either finds `inside` set and signals,
 * or has set its request before we look. */
static int enter(KvmCpu *k)
{
    KvmVm *vm = k->vm;
    bool closed = false;
    int r = -EINTR;

    __atomic_store_n(&k->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    set_inside(k, true);
    if (!wants_attention(k)) {
        pthread_rwlock_rdlock(&vm->running);
        closed = __atomic_load_n(&vm->changing, __ATOMIC_SEQ_CST);
        if (!closed) {
            uint64_t t0 = __rdtsc();
            k->unfinished = false;
            r = vm->ops->request(vm->ops, k->fd, KVM_RUN, 0);
            k->last_ticks = __rdtsc() - t0;
            k->guest_ticks += k->last_ticks;
        }
        pthread_rwlock_unlock(&vm->running);
    }
    set_inside(k, false);
    if (closed) {              /* instead of trying again and again */
        pthread_mutex_lock(&vm->gate);
        pthread_mutex_unlock(&vm->gate);
    }
    return r;
}

static void note_cr8(KvmCpu *k)
{
    if (k->run->cr8 != k->cr8 && !k->vm->apics && k->cpu->bus.cr8_write != NULL) {
        k->cr8 = k->run->cr8;
        k->cpu->bus.cr8_write(k->cpu->bus.arg, k->cr8);
    }
}

static CpuExit enter_and_handle(KvmCpu *k)
{
    uint64_t t0;
    KvmExitRow row;
    CpuExit exit;
    int r;

    k->last_ticks = 0;
    r = enter(k);
    t0 = __rdtsc();
    if (r == -EINTR || r == -EAGAIN) {
        row = KVM_ROW_SIGNAL;
    } else if (r == -EFAULT) { /* memory that is not there, to KVM */
        row = KVM_ROW_OTHER;
    } else if (r < 0) {
        kvm_cpu_failed(k, KVM_RUN, r);
        return CPU_EXIT_FAILED;
    } else {
        row = kvm_exit_row(k->run);
    }
    note_cr8(k);
    exit = kvm_handle_exit(k, row);
    k->exits[row].n++;
    k->exits[row].ticks += __rdtsc() - t0;
    k->exits[row].inside += k->last_ticks;
    if (exit == CPU_EXIT_BUDGET && kvm_phases_look(k) && !kvm_pull(k)) {
        return CPU_EXIT_FAILED;
    }
    return exit;
}

/* -- run() ------------------------------------------------------------------------------------------------- */

/* Single steps are the interpreter's, and what KVM cannot watch for. */
static bool is_debugged(KvmCpu *k, uint64_t budget)
{
    return budget <= 16 || !kvm_watch_for_debugger(k);
}

static CpuExit run_by_kvm(KvmCpu *k)
{
    CpuState *cpu = k->cpu;

    for (;;) {
        CpuExit exit;

        if ((cpu_requests(cpu) & CPU_REQ_FLUSH) != 0) {
            cpu_unrequest(cpu, CPU_REQ_FLUSH);
            tlb_flush_all(&cpu->mmu.tlb);
        }
        if ((cpu_requests(cpu) & LEAVE) != 0) {
            return CPU_EXIT_REQUEST;
        }
        if (cpu->activity == CPU_SHUTDOWN) { /* an event delivered here ended so */
            return CPU_EXIT_SHUTDOWN;
        }
        if (k->vm->problem != NULL) {
            g_free(k->why);
            k->why = g_strdup(k->vm->problem);
            return CPU_EXIT_FAILED;
        }
        exit = load(k);
        if (exit == CPU_EXIT_BUDGET) {
            exit = inject(k) ? enter_and_handle(k) : CPU_EXIT_FAILED;
        }
        if (exit != CPU_EXIT_BUDGET) {
            return exit;
        }
    }
}

static CpuExit engine_run(CpuState *cpu, uint64_t budget)
{
    KvmCpu *k = cpu->engine_data;

    know_thread(k);
    if (k->why != NULL) {
        return CPU_EXIT_FAILED;
    }
    if (is_debugged(k, budget)) {
        CpuExit exit = kvm_pull(k) ? kvm_interpret(k, budget, KVM_TURN_DEBUG) : CPU_EXIT_FAILED;
        kvm_vm_forget_tables(k->vm);
        return exit;
    }
    return run_by_kvm(k);
}

static void engine_sync(CpuState *cpu)
{
    KvmCpu *k = cpu->engine_data;

    if (k != NULL && k->why == NULL) {
        kvm_pull(k);           /* when it fails, the next run() says so */
    }
}

/* -- Attaching ------------------------------------------------------------------------------------------------ */

static bool model_fits(const KvmCpu *k, GError **error)
{
    g_autoptr(GString) lacking = g_string_new(NULL);

    for (unsigned f = 0; f < FEAT_COUNT; f++) {
        if (cpu_model_has(k->cpu->model, f) && !kvm_offers(k->vm->host, k->vm->apics, f)) {
            g_string_append_printf(lacking, "%s%s", lacking->len > 0 ? ", " : "", cpu_feature_name(f));
        }
    }
    if (lacking->len > 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "KVM here does not offer CPU features that the guest has: %s", lacking->str);
    }
    return lacking->len == 0;
}

static void free_cpu(KvmCpu *k)
{
    const KvmOps *ops = k->vm->ops;

    g_ptr_array_remove(k->vm->cpus, k);
    kvm_phases_clear(k);
    kvm_dirty_clear_cpu(k);
    if (k->run != NULL) {
        ops->unmap(ops, k->run, k->vm->host->run_size);
    }
    if (k->fd >= 0) {
        ops->close(ops, k->fd);
    }
    kvm_vm_put(k->vm);
    g_array_free(k->msrs, TRUE);
    g_array_free(k->refused, TRUE);
    g_free(k->xsave);
    g_free(k->why);
    g_free(k);
}

static bool make(KvmCpu *k, GError **error)
{
    const KvmOps *ops = k->vm->ops;

    if (!model_fits(k, error)) {
        return false;
    }
    k->fd = ops->request(ops, k->vm->fd, KVM_CREATE_VCPU, k->cpu->index);
    if (k->fd < 0) {
        return kvm_fail(error, KVM_CREATE_VCPU, k->fd);
    }
    k->run = ops->map(ops, k->fd, k->vm->host->run_size, 0);
    if (k->run == NULL) {
        return kvm_fail(error, KVM_CREATE_VCPU, -errno);
    }
    if (k->vm->host->lazy_page != 0) {
        k->lazy_ring = (void *)((uint8_t *)k->run + (size_t)k->vm->host->lazy_page * 4096);
    }
    return kvm_dirty_init_cpu(k, error) && kvm_hide_paravirtual(k, error) && kvm_set_cpuid(k, error);
}

static KvmWants wants_of(const CpuState *cpu)
{
    static const KvmConfig none;
    const KvmConfig *c = cpu->engine_config != NULL ? cpu->engine_config : &none;
    const ApicHome *home = cpu->bus.apic_home;

    return (KvmWants){
        .model = cpu->model,
        .apics = c->irqchip != KVM_IRQCHIP_OFF && home != NULL,
        .all_chips = c->irqchip == KVM_IRQCHIP_ON,
        .chips = home != NULL ? home->chips : 0,
        .delay_ticks = c->lost_ticks != 0,
        .irqfds = c->irqfd,
        .lazy = c->coalesced,
        .dirty_ring = c->dirty_ring,
    };
}

/* How a paravirtual ROM's calls come out; a KVM without hardware emulates port accesses rightly, and takes hypercalls for
 * another vendor's. */
static PvCallWay call_way(const KvmHost *h)
{
    if (!h->hypercall_exits || h->hardware == NULL) {
        return PV_CALLS_BY_PORT;
    }
    return strcmp(h->hardware, "SVM") == 0 ? PV_CALLS_BY_VMMCALL : PV_CALLS_BY_VMCALL;
}

static void say_way(CpuState *cpu, PvCallWay way)
{
    if (cpu->index == 0 && cpu->pv.calls_by != NULL) {
        cpu->pv.calls_by(cpu->pv.arg, way);
    }
}

bool kvm_attach(CpuState *cpu, const KvmOps *ops, GError **error)
{
    const KvmWants wants = wants_of(cpu);
    KvmVm *vm = interp_engine.attach(cpu, error) ? kvm_vm_get(ops, cpu->mem, &wants, error) : NULL;
    const KvmConfig *config = cpu->engine_config;
    KvmCpu *k;

    if (vm == NULL) {
        return false;
    }
    if (vm->refs == 1 && config != NULL && config->ioeventfd) {
        kvm_bells_init(vm, config->context);
    }
    k = g_new0(KvmCpu, 1);
    k->cpu = cpu;
    k->vm = vm;
    k->fd = -1;
    k->phases.stats_fd = -1;
    k->msrs = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    k->refused = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    if (!make(k, error)) {
        free_cpu(k);
        return false;
    }
    kvm_sync_prepare(k);
    kvm_phases_init(k, config != NULL && config->phases, config != NULL ? config->emulation_ns : 0);
    g_ptr_array_add(vm->cpus, k);
    cpu->mem->writes_unseen = vm->cpus->len > 1;
    if (vm->refs == 1 && wants.lazy) {
        kvm_lazy_init(vm);
    }
    cpu->engine_data = k;
    cpu->halts_inside = vm->apics;
    say_way(cpu, call_way(vm->host));
    return true;
}

void kvm_detach(CpuState *cpu)
{
    KvmCpu *k = cpu->engine_data;

    if (k != NULL) {           /* else it failed before it was attached */
        engine_sync(cpu);
        kvm_lazy_drain(k->vm);
        kvm_apics_bring(k);
        cpu->halts_inside = false;
        say_way(cpu, PV_CALLS_INSIDE);
        cpu->engine_data = NULL;
        free_cpu(k);
        phys_mem_forget_code(cpu->mem);
    }
}

static void engine_gather(CpuState *cpu)
{
    KvmCpu *k = cpu->engine_data;

    if (k != NULL) {
        kvm_lazy_drain(k->vm);
        kvm_apics_bring(k);
        kvm_bells_rest(k->vm, true);
    }
}

static void engine_scatter(CpuState *cpu)
{
    KvmCpu *k = cpu->engine_data;

    if (k != NULL) {
        kvm_apics_take(k);
        kvm_bells_rest(k->vm, false);
    }
}

static bool engine_attach(CpuState *cpu, GError **error)
{
    return kvm_attach(cpu, &kvm_host_ops, error);
}

/* -- What the host is ------------------------------------------------------------------------------------------ */

static const char *engine_missing(void)
{
    g_autoptr(GError) error = NULL;
    KvmHost *h = kvm_host_open(&kvm_host_ops, &error);

    if (h == NULL) {
        return g_intern_string(error->message);
    }
    kvm_host_close(h);
    return NULL;
}

static const char *engine_drawback(void)
{
    KvmHost *h = kvm_host_open(&kvm_host_ops, NULL);
    g_autofree char *text = h != NULL ? kvm_host_drawback(h) : NULL;

    kvm_host_close(h);
    return text != NULL ? g_intern_string(text) : NULL;
}

typedef struct {
    KvmHost *host;
    bool apics;
} Offer;

static bool offers(void *arg, CpuFeature f)
{
    const Offer *o = arg;

    return kvm_offers(o->host, o->apics, f);
}

static bool engine_restrict(CpuModel *m, const void *config, GString *dropped, GError **error)
{
    const KvmConfig *c = config;
    Offer o = {.host = kvm_host_open(&kvm_host_ops, error)};

    if (o.host == NULL) {
        return false;
    }
    o.apics = c != NULL && c->irqchip != KVM_IRQCHIP_OFF && o.host->split_irqchip;
    cpu_model_restrict(m, offers, &o, dropped);
    kvm_host_close(o.host);
    return true;
}

static const char *engine_why(const CpuState *cpu)
{
    const KvmCpu *k = cpu->engine_data;

    return k != NULL ? k->why : NULL;
}

/* -- Statistics -------------------------------------------------------------------------------------------------- */

static const char *const exit_names[KVM_ROW_COUNT] = {
#define KVM_EXIT_ROW(id, reason, text) [KVM_ROW_##id] = text,
#include "hwaccel/kvm-exits.def"
#undef KVM_EXIT_ROW
};

static void engine_chip_stats(const KvmVm *vm, GString *out)
{
    if (vm->chips != 0) {
        g_string_append_printf(out, "  PIC, I/O APIC%s: the kernel's, told of %" G_GUINT64_FORMAT " changes of lines\n",
                               (vm->chips & IRQ_CHIP_PIT) != 0 ? ", PIT" : "", vm->line_changes);
    } else if (vm->no_chips != NULL) {
        g_string_append_printf(out, "  PIC, I/O APIC, PIT: the machine's, since %s\n", vm->no_chips);
    }
    if (vm->apics) {
        g_string_append_printf(out, "  interrupt messages: %" G_GUINT64_FORMAT ", of these %" G_GUINT64_FORMAT
                               " by irqfds (%u)%s%s\n", vm->messages, vm->irqfd_messages,
                               MAX(vm->irqfds_seen, vm->irqfds->len), vm->no_irqfds != NULL ? "; no more, since " : "",
                               vm->no_irqfds != NULL ? vm->no_irqfds : "");
    }
}

static void engine_stats(const CpuState *cpu, GString *out)
{
    const KvmCpu *k = cpu->engine_data;
    double us = 1e6 / (double)cpu->tsc_hz;

    if (k == NULL) {
        return;
    }
    g_string_append_printf(out, "  KVM: %.3f s inside, %u memory slots\n", (double)k->guest_ticks * us / 1e6,
                           k->vm->slots->len);
    kvm_phases_print(k, out);
    if (k->vm->host->xsetbv == KVM_FAILS) {
        g_string_append(out, "  XSAVE: left out, since this KVM does not learn of the guest's XSETBV\n");
    }
    g_string_append_printf(out, "  local APICs: %s%s%s\n", k->vm->apics ? "the kernel's" : "the machine's",
                           k->vm->no_apics != NULL ? ", since " : "", k->vm->no_apics != NULL ? k->vm->no_apics : "");
    engine_chip_stats(k->vm, out);
    if (k->vm->bells != NULL || k->vm->no_bells != NULL) {
        g_string_append_printf(out, "  doorbells: %u, rung %" G_GUINT64_FORMAT " times%s%s\n",
                               k->vm->bells != NULL ? k->vm->bells->len : 0, k->vm->rings,
                               k->vm->no_bells != NULL ? "; not all: " : "",
                               k->vm->no_bells != NULL ? k->vm->no_bells : "");
    }
    if (k->vm->dirty_ring != 0 || k->vm->no_dirty_ring != NULL) {
        g_string_append_printf(out, "  written pages: %s%s%s, %" G_GUINT64_FORMAT " read from rings\n",
                               k->vm->dirty_ring != 0 ? "rings" : "bitmaps", k->vm->no_dirty_ring != NULL ? ", since " : "",
                               k->vm->no_dirty_ring != NULL ? k->vm->no_dirty_ring : "", k->vm->dirty_read);
    }
    if (k->vm->lazy != NULL || k->vm->no_lazy != NULL) {
        g_string_append_printf(out, "  writes that waited for the next exit: %" G_GUINT64_FORMAT ", %u windows%s%s\n",
                               k->vm->lazy_writes, k->vm->lazy != NULL ? k->vm->lazy->len : 0,
                               k->vm->no_lazy != NULL ? "; not all: " : "", k->vm->no_lazy != NULL ? k->vm->no_lazy : "");
    }
    for (unsigned i = 0; i < KVM_ROW_COUNT; i++) {
        if (k->exits[i].n != 0) {
            const KvmExitStat *e = &k->exits[i];

            g_string_append_printf(out, "  exit: %-34s %12" G_GUINT64_FORMAT "  %8.2f us each, %.3f s in all, after %.2f us "
                                   "in KVM\n", exit_names[i], e->n, (double)e->ticks * us / (double)e->n,
                                   (double)e->ticks * us / 1e6, (double)e->inside * us / (double)e->n);
        }
    }
    for (unsigned i = 0; i < k->refused->len; i++) {
        g_string_append_printf(out, "  KVM does not take MSR %#x\n", g_array_index(k->refused, uint32_t, i));
    }
}

static void engine_describe(GString *out)
{
    g_autoptr(GError) error = NULL;
    KvmHost *h = kvm_host_open(&kvm_host_ops, &error);

    if (h == NULL) {
        return;
    }
    g_string_append_printf(out, "    KVM API 12 on %s, %s page tables, MSR exits %s, %u MSRs saved\n",
                           h->hardware != NULL ? h->hardware : "no VT-x and no SVM",
                           h->nested_paging ? "the processor's" : "shadowed",
                           h->msr_filter ? "and filter" : h->msr_exits ? "without filter" : "none", h->n_msrs);
    kvm_host_close(h);
}

const EngineClass kvm_engine = {
    .name = "kvm",
    .missing = engine_missing,
    .drawback = engine_drawback,
    .restrict_model = engine_restrict,
    .attach = engine_attach,
    .detach = kvm_detach,
    .run = engine_run,
    .kick = engine_kick,
    .sync = engine_sync,
    .gather = engine_gather,
    .scatter = engine_scatter,
    .why = engine_why,
    .print_stats = engine_stats,
    .describe = engine_describe,
};
