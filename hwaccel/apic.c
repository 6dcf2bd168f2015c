/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hwaccel/apic.h"

#include "hwaccel/chips.h"
#include "hwaccel/routes.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <string.h>

enum { MSR_TSC_DEADLINE = 0x6e0, MSR_KVM_SYSTEM_TIME = 0x4b564d01 };
enum { REG_TPR = 0x80, REG_EOI = 0xb0, REG_LDR = 0xd0, REG_DFR = 0xe0, REG_SVR = 0xf0, REG_ISR = 0x100, REG_TMR = 0x180,
       REG_ICR = 0x300, REG_ICR_HIGH = 0x310, REG_LVT = 0x320, REG_LVT_LAST = 0x370, REG_INITIAL_COUNT = 0x380,
       REG_CURRENT_COUNT = 0x390, REG_DIVIDE = 0x3e0 };

static bool ask(KvmCpu *k, unsigned long request, const void *arg)
{
    int r = k->vm->ops->request(k->vm->ops, k->fd, request, (uintptr_t)arg);

    return r >= 0 || kvm_cpu_failed(k, request, r);
}

bool kvm_apics_enable(KvmVm *vm, GError **error)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {APIC_HOME_PINS}};

    vm->apics = kvm_do(vm->ops, vm->fd, KVM_ENABLE_CAP, (uintptr_t)&c, error);
    return vm->apics;
}

/* -- The holder: machine lock held --------------------------------------------------------------------- */

static void message(void *arg, uint64_t addr, uint32_t data)
{
    kvm_message(arg, addr, data);
}

static void routes_changed(void *arg)
{
    KvmVm *vm = arg;

    if (vm->chips == 0 && kvm_routes_set(vm) < 0) { /* else KVM's own I/O APIC knows */
        log_unimp("KVM does not take the I/O APIC's routes");
    }
}

static uint32_t read_register(void *arg, unsigned cpu, unsigned off)
{
    KvmVm *vm = arg;
    struct kvm_lapic_state s = {{0}};
    KvmCpu *k = cpu < vm->cpus->len ? g_ptr_array_index(vm->cpus, cpu) : NULL;
    bool own;

    if (k == NULL || off > sizeof s.regs - 4) {
        return 0;
    }
    /* KVM answers another thread when the CPU comes out, which it may never do by itself. */
    own = k->thread_known && pthread_equal(k->thread, pthread_self());
    if (!own) {
        kvm_vm_stop_cpus(vm);
    }
    ask(k, KVM_GET_LAPIC, &s);
    if (!own) {
        kvm_vm_let_cpus_go(vm);
    }
    return (uint32_t)load_le((uint8_t *)s.regs + off, 4);
}

static uint8_t *at(struct kvm_lapic_state *s, unsigned off)
{
    return (uint8_t *)s->regs + off;
}

/* The end of the interrupt in service: its vector if it came by level, else -1. */
static int end_interrupt(struct kvm_lapic_state *s)
{
    for (unsigned v = 256; v-- > 0;) {
        uint8_t *isr = at(s, REG_ISR + v / 32 * 16 + v / 8 % 4), bit = (uint8_t)(1 << v % 8);

        if ((*isr & bit) != 0) {
            *isr &= (uint8_t)~bit;
            return (*at(s, REG_TMR + v / 32 * 16 + v / 8 % 4) & bit) != 0 ? (int)v : -1;
        }
    }
    return -1;
}

/* As interrupt messages; a shorthand for others is one to each. */
static void send(KvmVm *vm, unsigned self, struct kvm_lapic_state *s, uint32_t icr)
{
    enum { LOGICAL = 1 << 11, WHAT = 0xc7ff, SHORTHAND = 18, TO_SELF = 1, TO_ALL = 2 };
    unsigned shorthand = icr >> SHORTHAND & 3;

    if (shorthand == 0) {
        kvm_message(vm, 0xfee00000u | (load_le(at(s, REG_ICR_HIGH), 4) >> 24) << 12 | ((icr & LOGICAL) != 0 ? 4 : 0), icr & WHAT);
        return;
    }
    for (unsigned i = 0; i < vm->cpus->len; i++) {
        if (shorthand == TO_SELF ? i == self : shorthand == TO_ALL || i != self) {
            kvm_message(vm, 0xfee00000u | i << 12, icr & WHAT & ~(uint32_t)LOGICAL);
        }
    }
}

static bool is_plain(unsigned off)
{
    return off == REG_TPR || off == REG_LDR || off == REG_DFR || off == REG_SVR || off == REG_ICR_HIGH || off == REG_DIVIDE ||
           (off >= REG_LVT && off <= REG_LVT_LAST && off % 16 == 0);
}

/* KVM lets the whole be set alone, and what comes in between reading and setting it would be lost: so with all CPUs out, and the machine
 * lock keeps devices quiet.  (A tick of the kernel's PIT could be.) */
static bool write_register(void *arg, unsigned cpu, unsigned off, uint32_t val)
{
    KvmVm *vm = arg;
    struct kvm_lapic_state s = {{0}};
    KvmCpu *k = cpu < vm->cpus->len ? g_ptr_array_index(vm->cpus, cpu) : NULL;
    bool sets = is_plain(off) || off == REG_EOI || off == REG_INITIAL_COUNT;
    int ended = -1;

    if (k == NULL || (!sets && off != REG_ICR)) {
        return k != NULL && off < sizeof s.regs;       /* nothing, or not to be written */
    }
    kvm_vm_stop_cpus(vm);
    if (ask(k, KVM_GET_LAPIC, &s) && sets) {
        if (off == REG_EOI) {
            ended = end_interrupt(&s);
        } else {
            store_le(at(&s, off), 4, val);
        }
        if (off == REG_INITIAL_COUNT) {                /* it begins there */
            store_le(at(&s, REG_CURRENT_COUNT), 4, val);
        }
        if (off == REG_TPR) {
            k->cr8 = val >> 4 & 15;
        }
        ask(k, KVM_SET_LAPIC, &s);
    }
    kvm_vm_let_cpus_go(vm);
    if (off == REG_ICR) {
        send(vm, cpu, &s, val);
    }
    if (ended >= 0) {              /* the machine's I/O APIC may send it again; KVM's own is not told */
        const ApicHome *home = k->cpu->bus.apic_home;
        home->eoi(home->arg, (uint8_t)ended);
    }
    return true;
}

void kvm_apics_eoi(KvmCpu *k, uint8_t vector)
{
    const ApicHome *home = k->cpu->bus.apic_home;

    lock_take(k->cpu->mem->lock);
    home->eoi(home->arg, vector);
    lock_release(k->cpu->mem->lock);
}

/* -- Both ways ------------------------------------------------------------------------------------------- */

typedef struct {
    struct kvm_msrs head;
    struct kvm_msr_entry entry;
} OneMsr;

void kvm_apics_take(KvmCpu *k)
{
    KvmVm *vm = k->vm;
    const ApicHome *home = k->cpu->bus.apic_home;
    OneMsr deadline = {.head = {.nmsrs = 1}, .entry = {.index = MSR_TSC_DEADLINE}};
    struct kvm_lapic_state s = {{0}};
    ApicImage image;

    if (!vm->apics || k->has_apic) {
        return;
    }
    home->take(home->arg, k->cpu->index, &image);
    memcpy(s.regs, image.page, sizeof s.regs);
    k->apic_base = image.base;
    k->cr8 = load_le(image.page + REG_TPR, 4) >> 4 & 15;
    deadline.entry.data = image.deadline;
    /* The base first, which says what the registers mean; the deadline last, since the timer's mode decides. */
    k->has_apic = kvm_push_apic_base(k) && ask(k, KVM_SET_LAPIC, &s) && kvm_push_activity(k) &&
                  (image.deadline == 0 || (kvm_push_tsc(k) && ask(k, KVM_SET_MSRS, &deadline)));
    if (k->has_apic && ++vm->n_apics == vm->cpus->len) {
        int r;

        home->hold(home->arg, &vm->holder);
        r = kvm_routes_set(vm);
        if (r < 0) {
            kvm_cpu_failed(k, KVM_SET_GSI_ROUTING, r);
        }
        kvm_chips_take(k);
    }
}

/* Has a hypercall ended this CPU's next halt?  KVM does not tell; where the guest uses KVM's interfaces at all, one too
 * many does no harm. */
static bool may_be_unhalted(CpuState *cpu)
{
    uint64_t clock = 0;

    return cpu_model_has(cpu->model, FEAT_KVM_PV_UNHALT) && cpu->pv.msr_read != NULL &&
           cpu->pv.msr_read(cpu->pv.arg, cpu, MSR_KVM_SYSTEM_TIME, &clock) && (clock & 1) != 0;
}

void kvm_apics_bring(KvmCpu *k)
{
    KvmVm *vm = k->vm;
    const ApicHome *home = k->cpu->bus.apic_home;
    OneMsr deadline = {.head = {.nmsrs = 1}, .entry = {.index = MSR_TSC_DEADLINE}};
    struct kvm_lapic_state s = {{0}};
    ApicImage image;

    if (!k->has_apic) {
        return;
    }
    k->has_apic = false;
    if (vm->n_apics-- == vm->cpus->len) {
        kvm_irqfds_drop(vm);
        kvm_chips_stop(k);
        home->hold(home->arg, NULL);
    }
    if (ask(k, KVM_GET_LAPIC, &s)) {
        memcpy(image.page, s.regs, sizeof s.regs);
        image.base = k->apic_base;
        image.deadline = vm->ops->request(vm->ops, k->fd, KVM_GET_MSRS, (uintptr_t)&deadline) == 1
                             ? deadline.entry.data : 0;
        home->bring(home->arg, k->cpu->index, &image);
    }
    if (may_be_unhalted(k->cpu)) {
        __atomic_store_n(&k->cpu->unhalted, true, __ATOMIC_SEQ_CST);
    }
    if (vm->n_apics == 0) {
        kvm_chips_bring(vm);
    }
}

/* -- Activity --------------------------------------------------------------------------------------------- */

bool kvm_push_activity(KvmCpu *k)
{
    struct kvm_mp_state s = {.mp_state = k->cpu->activity == CPU_HALTED      ? KVM_MP_STATE_HALTED
                                         : k->cpu->activity == CPU_WAIT_SIPI ? KVM_MP_STATE_INIT_RECEIVED
                                                                             : KVM_MP_STATE_RUNNABLE};

    return !k->vm->apics || ask(k, KVM_SET_MP_STATE, &s);
}

bool kvm_pull_activity(KvmCpu *k)
{
    struct kvm_mp_state s = {0};

    if (!k->vm->apics) {
        return true;
    }
    if (!ask(k, KVM_GET_MP_STATE, &s)) {
        return false;
    }
    k->cpu->activity = s.mp_state == KVM_MP_STATE_HALTED ? CPU_HALTED
                       : s.mp_state == KVM_MP_STATE_INIT_RECEIVED || s.mp_state == KVM_MP_STATE_UNINITIALIZED ||
                               s.mp_state == KVM_MP_STATE_SIPI_RECEIVED
                           ? CPU_WAIT_SIPI
                           : CPU_RUNNING;
    return true;
}

const ApicHolder kvm_apic_holder = {.message = message, .routes_changed = routes_changed, .reg = read_register, .set_reg = write_register};
