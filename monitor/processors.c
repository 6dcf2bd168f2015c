/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/processors.h"

#include "cpu-x86/apic-home.h"
#include "hw/apic-bus.h"
#include "hw/fpu-error.h"
#include "hw/ioapic.h"
#include "hw/lapic.h"
#include "hw/pic.h"
#include "hw/pit.h"
#include "monitor/accel.h"
#include "monitor/config.h"
#include "monitor/report.h"
#include "monitor/run-loop.h"

/* A CPU's place on the board. */
typedef struct {
    Processors *board;
    CpuState *cpu;
    Device *lapic;
} Socket;

struct Processors {
    Machine *machine;
    Device *bus, *pic, *fpu_error;
    Device *ioapic, *pit;      /* lent to engines, as home.chips says */
    bool pit_lent;
    ApicHome home;
    const ApicHolder *holder;  /* the engine that emulates the local APICs; NULL: none */
    LapicHolder lapic_holder;  /* the same for hw/ */
    Socket *sockets;           /* n_cpus */
};

/* -- From the CPU to its APIC: CPU threads, which hold no lock ---------------------------------- */

static Lock *socket_lock(const Socket *s)
{
    return &s->board->machine->lock;
}

static int irq_ack(void *arg)
{
    Socket *s = arg;
    int vector;

    lock_take(socket_lock(s));
    if (s->board->holder == NULL) {    /* else it halts unseen, and what looks stolen is not */
        pv_interrupt(s->board->machine->pv, s->cpu);
    }
    vector = lapic_ack(s->lapic);
    lock_release(socket_lock(s));
    return vector;
}

static uint64_t cr8_read(void *arg)
{
    Socket *s = arg;
    uint64_t v;

    lock_take(socket_lock(s));
    v = lapic_get_cr8(s->lapic);
    lock_release(socket_lock(s));
    return v;
}

static void cr8_write(void *arg, uint64_t val)
{
    Socket *s = arg;

    lock_take(socket_lock(s));
    lapic_set_cr8(s->lapic, val);
    lock_release(socket_lock(s));
}

static bool apic_msr_read(void *arg, uint32_t msr, uint64_t *val)
{
    Socket *s = arg;
    bool ok;

    lock_take(socket_lock(s));
    ok = lapic_msr_read(s->lapic, msr, val);
    lock_release(socket_lock(s));
    return ok;
}

static bool apic_msr_write(void *arg, uint32_t msr, uint64_t val)
{
    Socket *s = arg;
    bool ok;

    lock_take(socket_lock(s));
    ok = lapic_msr_write(s->lapic, msr, val);
    lock_release(socket_lock(s));
    return ok;
}

static void fpu_error(void *arg, bool level)
{
    Socket *s = arg;

    lock_take(socket_lock(s));
    if (s->board->fpu_error != NULL) {
        fpu_error_set(s->board->fpu_error, level);
    }
    lock_release(socket_lock(s));
}

/* -- From the APIC to its CPU: machine lock held ------------------------------------------------- */

static void set_intr(void *arg, bool level)
{
    Socket *s = arg;

    if (level) {
        cpu_request(s->cpu, CPU_REQ_INTR);
    } else {
        cpu_unrequest(s->cpu, CPU_REQ_INTR);
    }
}

static void nmi(void *arg)
{
    cpu_request(((Socket *)arg)->cpu, CPU_REQ_NMI);
}

static void init(void *arg)
{
    cpu_request(((Socket *)arg)->cpu, CPU_REQ_INIT);
}

static void sipi(void *arg, uint8_t vector)
{
    Socket *s = arg;

    s->cpu->sipi_vector = vector;
    cpu_request(s->cpu, CPU_REQ_SIPI);
}

static uint64_t tsc_now(void *arg)
{
    return cpu_tsc(((Socket *)arg)->cpu);
}

static bool eoi_offer(void *arg)
{
    Socket *s = arg;

    return pv_eoi_offer(s->board->machine->pv, s->cpu);
}

static bool eoi_take_back(void *arg)
{
    Socket *s = arg;

    return pv_eoi_take_back(s->board->machine->pv, s->cpu);
}

static Device *lapic_of(void *arg, unsigned cpu)
{
    return processors_lapic(arg, cpu);
}

static int board_pic_ack(void *arg)
{
    return pic_ack(((Processors *)arg)->pic);
}

static int current_cpu_index(void *arg)
{
    const CpuState *cpu = run_loop_current_cpu();

    return cpu != NULL ? (int)cpu->index : -1;
}

/* -- Engines with local APICs of their own: machine lock held --------------------------------------- */

static void to_holder(void *arg, uint64_t addr, uint32_t data)
{
    const ApicHolder *h = ((Processors *)arg)->holder;

    h->message(h->arg, addr, data);
}

static void routes_changed(void *arg)
{
    const ApicHolder *h = ((Processors *)arg)->holder;

    h->routes_changed(h->arg);
}

static uint32_t holders_register(void *arg, unsigned apic_id, unsigned off)
{
    const ApicHolder *h = ((Processors *)arg)->holder;

    return h->reg(h->arg, apic_id, off);
}

static bool set_holders_register(void *arg, unsigned apic_id, unsigned off, uint32_t val)
{
    const ApicHolder *h = ((Processors *)arg)->holder;

    return h->set_reg(h->arg, apic_id, off, val);
}

static void home_hold(void *arg, const ApicHolder *h)
{
    Processors *p = arg;

    p->holder = h;
    apic_bus_hold(p->bus, h != NULL ? &p->lapic_holder : NULL);
}

static void home_take(void *arg, unsigned cpu, ApicImage *out)
{
    lapic_export(processors_lapic(arg, cpu), out->page, &out->base, &out->deadline);
}

static void home_bring(void *arg, unsigned cpu, const ApicImage *in)
{
    lapic_import(processors_lapic(arg, cpu), in->page, in->base, in->deadline);
}

static void home_eoi(void *arg, uint8_t vector)
{
    apic_bus_eoi(((Processors *)arg)->bus, vector);
}

static bool home_route(void *arg, unsigned pin, uint64_t *addr, uint32_t *data)
{
    return apic_bus_route(((Processors *)arg)->bus, pin, addr, data);
}

/* The PIT first: it lets go of its line, and what is due reaches the others. */
static void home_take_chips(void *arg, const IrqChipHolder *h, IrqChips *out)
{
    Processors *p = arg;

    p->pit_lent = (h->has & IRQ_CHIP_PIT) != 0;
    if (p->pit_lent) {
        pit_export(p->pit, &out->pit);
        pit_set_holder(p->pit, h);
    }
    pic_export(p->pic, out->pic);
    ioapic_export(p->ioapic, &out->ioapic);
    pic_set_holder(p->pic, h);
    ioapic_set_holder(p->ioapic, h);
}

/* The PIT first: the level of its line is no edge for the others. */
static void home_bring_chips(void *arg, const IrqChips *in)
{
    Processors *p = arg;

    if (p->pit_lent && in != NULL) {
        pit_import(p->pit, &in->pit);
    }
    if (p->pit_lent) {
        pit_set_holder(p->pit, NULL);
    }
    if (in != NULL) {
        pic_import(p->pic, in->pic);
    }
    pic_set_holder(p->pic, NULL);
    ioapic_set_holder(p->ioapic, NULL);
    if (in != NULL) {
        ioapic_import(p->ioapic, &in->ioapic);
    }
    p->pit_lent = false;
}

_Static_assert((int)APIC_IMAGE_LEN == (int)LAPIC_IMAGE_LEN, "one page of registers");

/* -- Making ------------------------------------------------------------------------------------------- */

/* A guest under an engine that cannot offer all of the model's features is told so, by CPUID; whoever named
 * a model is told too. */
static bool restrict_model(Machine *m, const char *spec, GError **error)
{
    g_autoptr(GString) dropped = g_string_new(NULL);

    if (m->engine->restrict_model == NULL) {
        return true;
    }
    if (!m->engine->restrict_model(m->cpu_model, accel_config(m, m->engine), dropped, error)) {
        return false;
    }
    if (dropped->len > 0 && !g_str_has_prefix(spec, "max") && !g_str_has_prefix(spec, "host")) {
        report_info("-cpu %s: left out, since the engine %s does not offer them here: %s", spec, m->engine->name,
                    dropped->str);
    }
    return true;
}

Processors *processors_new(Machine *m, GError **error)
{
    Processors *p;
    const char *spec = m->config->cpu != NULL ? m->config->cpu : "max";

    m->cpu_model = cpu_model_new(spec, m->config->n_cpus, error);
    if (m->cpu_model == NULL) {
        g_prefix_error(error, "-cpu %s: ", spec);
        return NULL;
    }
    if (!restrict_model(m, spec, error)) {
        return NULL;
    }
    p = g_new0(Processors, 1);
    p->machine = m;
    p->sockets = g_new0(Socket, m->config->n_cpus);
    p->bus = apic_bus_new(current_cpu_index, NULL);
    machine_add_device(m, p->bus);
    machine_map_mmio(m, p->bus, 0, APIC_WINDOW_BASE);
    return p;
}

void processors_free(Processors *p)
{
    if (p != NULL) {
        g_free(p->sockets);
        g_free(p);
    }
}

Device *processors_apic_bus(Processors *p)
{
    return p->bus;
}

Device *processors_lapic(Processors *p, unsigned cpu)
{
    return p->sockets[cpu].lapic;
}

static Device *make_lapic(Processors *p, Socket *s)
{
    Machine *m = p->machine;
    LapicConfig c = {
        .bus = p->bus,
        .timers = &m->timers,
        .id = s->cpu->index,
        .bsp = s->cpu->index == 0,
        .x2apic = cpu_model_has(m->cpu_model, FEAT_X2APIC),
        .tsc_deadline = cpu_model_has(m->cpu_model, FEAT_TSC_DEADLINE),
        .phys_bits = cpu_model_phys_bits(m->cpu_model),
        .sink = {.arg = s, .set_intr = set_intr, .nmi = nmi, .init = init, .sipi = sipi},
        .tsc_arg = s,
        .tsc_now = tsc_now,
        .tsc_hz = &s->cpu->tsc_hz,
        .eoi_arg = s,
        .eoi_offer = cpu_model_has(m->cpu_model, FEAT_KVM_PV_EOI) ? eoi_offer : NULL,
        .eoi_take_back = eoi_take_back,
        .tpr = &s->cpu->apic_tpr,
        .busy = &s->cpu->apic_busy,
        .eoi = &s->cpu->apic_eoi,
        .mode = &s->cpu->apic_mode,
        .pic_arg = p,
        .pic_ack = p->pic != NULL ? board_pic_ack : NULL,
    };

    return lapic_new(&c);
}

/* What a CPU remembers of the old map must not outlive the instruction that changed it. */
static void memory_map_changed(void *arg)
{
    Machine *m = arg;

    for (unsigned i = 0; i < m->n_cpus; i++) {
        cpu_request(m->cpus[i], CPU_REQ_FLUSH);
    }
}

void processors_add_cpus(Processors *p, Device *pic, Device *fpu)
{
    Machine *m = p->machine;

    p->pic = pic;
    p->fpu_error = fpu;
    p->home = (ApicHome){.arg = p, .hold = home_hold, .take = home_take, .bring = home_bring, .eoi = home_eoi,
                         .route = home_route, .take_chips = home_take_chips, .bring_chips = home_bring_chips};
    p->lapic_holder = (LapicHolder){.arg = p, .message = to_holder, .routes_changed = routes_changed,
                                    .reg = holders_register, .set_reg = set_holders_register};
    m->cpus = g_new0(CpuState *, m->config->n_cpus);
    for (unsigned i = 0; i < m->config->n_cpus; i++) {
        Socket *s = &p->sockets[i];
        CpuConfig c = {
            .index = i,
            .n_cpus = m->config->n_cpus,
            .model = m->cpu_model,
            .mem = m->mem,
            .ports = m->ports,
            .machine_lock = &m->lock,
            .bus = {.arg = s, .irq_ack = irq_ack, .cr8_read = cr8_read, .cr8_write = cr8_write,
                    .apic_msr_read = apic_msr_read, .apic_msr_write = apic_msr_write,
                    .fpu_error = fpu_error, .apic_home = &p->home},
        };

        s->board = p;
        s->cpu = m->cpus[i] = cpu_new(&c);
        if (m->icount != NULL) {
            icount_attach(m->icount, s->cpu);
        }
        m->n_cpus = i + 1;
        s->lapic = make_lapic(p, s);
        machine_add_device(m, s->lapic);
    }
    PvConfig pv = {.cpus = m->cpus, .n_cpus = m->n_cpus, .mem = m->mem, .clock = m->clock,
                   .wall_base = m->config->rtc_base,
                   .machine_lock = &m->lock, .apic_bus = p->bus, .arg = p, .lapic = lapic_of};
    m->pv = pv_new(&pv);
    phys_mem_listen(m->mem, memory_map_changed, m);
}

void processors_lend_chips(Processors *p, Device *ioapic, Device *pit)
{
    p->ioapic = ioapic;
    p->pit = pit;
    p->home.chips = (IrqChipSet)(IRQ_CHIP_PIC | IRQ_CHIP_IOAPIC | (pit != NULL ? IRQ_CHIP_PIT : 0));
}

void processors_cpu_init(Processors *p, CpuState *cpu)
{
    lapic_init_reset(p->sockets[cpu->index].lapic);
}

void processors_nmi(Processors *p)
{
    for (unsigned i = 0; i < p->machine->n_cpus; i++) {
        nmi(&p->sockets[i]);
    }
}
