/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hwaccel/chips.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/clock.h"
#include "softmmu/base/log.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define PIT_HZ UINT64_C(1193182)
#define IOAPIC_BASE UINT64_C(0xfec00000)
#define RTE_LEVEL BIT(15)
#define RTE_MASKED BIT(16)

/* KVM takes any mode: with this bit a channel reads as it should, but its count has ended and no timer runs. */
enum { MODE_ENDED = 8, MODE_NEVER_SET = 0xff };
/* struct kvm_pit_channel_state: which byte comes next. */
enum { RW_LOW = 1, RW_HIGH = 2, RW_WORD_LOW = 3, RW_WORD_HIGH = 4 };
enum { ACCESS_HIGH = 2, ACCESS_BOTH = 3 };

static int ask(const KvmVm *vm, unsigned long request, const void *arg)
{
    return vm->ops->request(vm->ops, vm->fd, request, (uintptr_t)arg);
}

/* -- The PIC --------------------------------------------------------------------------------------------- */

static void pic_to_kvm(const PicImage *i, struct kvm_pic_state *s)
{
    *s = (struct kvm_pic_state){
        .last_irr = i->lines, .irr = i->irr, .imr = i->imr, .isr = i->isr, .priority_add = i->top,
        .irq_base = i->vector_base, .read_reg_select = i->read_isr, .poll = i->poll, .special_mask = i->special_mask,
        .init_state = i->step, .auto_eoi = i->auto_eoi, .rotate_on_auto_eoi = i->rotate_on_aeoi,
        .special_fully_nested_mode = i->special_nested, .init4 = i->want_icw4, .elcr = i->elcr,
        .elcr_mask = i->elcr_mask,
    };
}

static void pic_from_kvm(PicImage *i, const struct kvm_pic_state *s)
{
    *i = (PicImage){
        .lines = s->last_irr, .irr = s->irr, .imr = s->imr, .isr = s->isr, .top = s->priority_add,
        .vector_base = s->irq_base, .read_isr = s->read_reg_select != 0, .poll = s->poll != 0,
        .special_mask = s->special_mask != 0, .step = s->init_state, .auto_eoi = s->auto_eoi != 0,
        .rotate_on_aeoi = s->rotate_on_auto_eoi != 0, .special_nested = s->special_fully_nested_mode != 0,
        .want_icw4 = s->init4 != 0, .elcr = s->elcr, .elcr_mask = s->elcr_mask,
    };
}

static int set_pic(KvmVm *vm, const PicImage i[2])
{
    int r = 0;

    for (unsigned n = 0; n < 2 && r >= 0; n++) {
        struct kvm_irqchip c = {.chip_id = n == 0 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE};

        pic_to_kvm(&i[n], &c.chip.pic);
        r = ask(vm, KVM_SET_IRQCHIP, &c);
    }
    return r;
}

static int get_pic(KvmVm *vm, PicImage i[2])
{
    int r = 0;

    for (unsigned n = 0; n < 2 && r >= 0; n++) {
        struct kvm_irqchip c = {.chip_id = n == 0 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE};

        r = ask(vm, KVM_GET_IRQCHIP, &c);
        pic_from_kvm(&i[n], &c.chip.pic);
    }
    return r;
}

/* -- The I/O APIC ------------------------------------------------------------------------------------------ */

/* KVM sends what it is told is requested: edges that are up have been sent. */
static int set_ioapic(KvmVm *vm, const IoapicImage *i)
{
    struct kvm_irqchip c = {.chip_id = KVM_IRQCHIP_IOAPIC};

    c.chip.ioapic = (struct kvm_ioapic_state){.base_address = IOAPIC_BASE, .ioregsel = i->index, .id = i->id};
    for (unsigned pin = 0; pin < IRQ_CHIPS_PINS; pin++) {
        c.chip.ioapic.redirtbl[pin].bits = i->rte[pin];
        c.chip.ioapic.irr |= (i->rte[pin] & RTE_LEVEL) != 0 ? i->lines & BIT(pin) : 0;
    }
    return ask(vm, KVM_SET_IRQCHIP, &c);
}

static int get_ioapic(KvmVm *vm, IoapicImage *i)
{
    struct kvm_irqchip c = {.chip_id = KVM_IRQCHIP_IOAPIC};
    int r = ask(vm, KVM_GET_IRQCHIP, &c);

    *i = (IoapicImage){.index = (uint8_t)c.chip.ioapic.ioregsel, .id = (uint8_t)c.chip.ioapic.id,
                       .lines = c.chip.ioapic.irr};
    for (unsigned pin = 0; pin < IRQ_CHIPS_PINS; pin++) {
        i->rte[pin] = c.chip.ioapic.redirtbl[pin].bits;
    }
    return r;
}

/* -- The PIT ----------------------------------------------------------------------------------------------- */

static int64_t monotonic_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static uint8_t rw_state(const PitChannelImage *i, bool high_next)
{
    return i->access != ACCESS_BOTH ? i->access : high_next ? RW_WORD_HIGH : RW_WORD_LOW;
}

/* KVM starts every count anew.  Periods do; what is left of a single count is given as the count. */
static void count_to_kvm(const PitChannelImage *i, bool first, struct kvm_pit_channel_state *s)
{
    bool periodic = i->mode == 2 || i->mode == 3;

    s->mode = i->mode;
    s->count = i->count;
    if (!i->programmed) {
        s->mode = MODE_NEVER_SET;
    } else if (i->loaded && !periodic && i->elapsed < i->count) {
        s->count = (uint32_t)(i->count - i->elapsed);
    } else if (i->loaded && !periodic) {
        s->mode |= MODE_ENDED;
        s->count = first ? i->count : 1;   /* the output of the others is high at once */
    }
}

static void channel_to_kvm(const PitChannelImage *i, bool first, struct kvm_pit_channel_state *s)
{
    *s = (struct kvm_pit_channel_state){
        .rw_mode = i->access, .bcd = i->bcd, .gate = i->gate, .status_latched = i->status_latched, .status = i->status,
        .read_state = rw_state(i, i->read_high_next), .write_state = rw_state(i, i->write_high_next),
        .write_latch = i->write_low,
    };
    if (i->latched == 2) {
        s->count_latched = RW_WORD_LOW;
        s->latched_count = i->latch;
    } else if (i->latched == 1) {
        bool high = i->access == ACCESS_HIGH || i->access == ACCESS_BOTH;

        s->count_latched = high ? RW_HIGH : RW_LOW;
        s->latched_count = (uint16_t)(high ? i->latch << 8 : i->latch);
    }
    count_to_kvm(i, first, s);
}

/* When the first channel's count began KVM does not say. */
static void channel_from_kvm(PitChannelImage *i, const struct kvm_pit_channel_state *s,
                             const struct kvm_pit_channel_state *given, bool first, int64_t now)
{
    int64_t ns = first ? 0 : MAX(now - s->count_load_time, 0);

    *i = (PitChannelImage){
        .mode = s->mode & 7, .access = s->rw_mode, .bcd = s->bcd != 0, .gate = s->gate != 0, .programmed = true,
        .loaded = true, .unchanged = s->mode == given->mode && s->count == given->count, .count = s->count,
        .elapsed = muldiv64((uint64_t)ns, PIT_HZ, 1000000000), .write_low = s->write_latch,
        .write_high_next = s->write_state == RW_WORD_HIGH, .read_high_next = s->read_state == RW_WORD_HIGH,
        .latched = s->count_latched == 0 ? 0 : s->count_latched == RW_WORD_LOW ? 2 : 1,
        .latch = s->count_latched == RW_HIGH ? s->latched_count >> 8 : s->latched_count,
        .status_latched = s->status_latched != 0, .status = s->status,
    };
}

static int set_pit(KvmVm *vm, const PitImage *i)
{
    struct kvm_pit_state2 s = {.flags = (i->silent ? KVM_PIT_FLAGS_HPET_LEGACY : 0) |
                                        (i->speaker ? KVM_PIT_FLAGS_SPEAKER_DATA_ON : 0)};

    for (unsigned n = 0; n < IRQ_CHIPS_CHANNELS; n++) {
        channel_to_kvm(&i->channel[n], n == 0, &s.channels[n]);
    }
    vm->pit_given = s;
    return ask(vm, KVM_SET_PIT2, &s);
}

static int get_pit(KvmVm *vm, PitImage *i, struct kvm_pit_state2 *s)
{
    int r = ask(vm, KVM_GET_PIT2, s);

    *i = (PitImage){.silent = (s->flags & KVM_PIT_FLAGS_HPET_LEGACY) != 0,
                    .speaker = (s->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON) != 0};
    for (unsigned n = 0; n < IRQ_CHIPS_CHANNELS; n++) {
        channel_from_kvm(&i->channel[n], &s->channels[n], &vm->pit_given.channels[n], n == 0, monotonic_ns());
    }
    return r;
}

/* Its timer would go on while the machine rests. */
static int stop_pit(KvmVm *vm, struct kvm_pit_state2 *s)
{
    s->flags |= KVM_PIT_FLAGS_HPET_LEGACY;
    return ask(vm, KVM_SET_PIT2, s);
}

/* -- The holder: machine lock held ---------------------------------------------------------------------------- */

static void tell_line(KvmVm *vm, unsigned pin, int level)
{
    struct kvm_irq_level l = {.irq = pin == 2 ? 0 : pin, .level = level != 0};

    vm->told = level ? vm->told | BIT(pin) : vm->told & ~BIT(pin);
    if (pin != 0 && ask(vm, KVM_IRQ_LINE, &l) < 0) {
        log_unimp("KVM does not take the level of interrupt line %u", pin);
    }
    vm->line_changes++;
}

static void line(void *arg, unsigned pin, int level)
{
    KvmVm *vm = arg;

    if (vm->chips_taken) {     /* else it is told when they go there */
        tell_line(vm, pin, level);
    }
}

static void fetch(void *arg, IrqChipSet which, IrqChips *out)
{
    KvmVm *vm = arg;
    struct kvm_pit_state2 s;
    int r = 0;

    memset(out, 0, sizeof *out);
    switch (which) {
    case IRQ_CHIP_PIC: r = get_pic(vm, out->pic); break;
    case IRQ_CHIP_IOAPIC: r = get_ioapic(vm, &out->ioapic); break;
    case IRQ_CHIP_PIT: r = get_pit(vm, &out->pit, &s); break;
    }
    if (r < 0) {
        log_unimp("KVM does not show an interrupt controller's state: %s", g_strerror(-r));
    }
}

static void store(void *arg, IrqChipSet which, const IrqChips *in)
{
    KvmVm *vm = arg;
    int r = 0;

    switch (which) {
    case IRQ_CHIP_PIC: r = set_pic(vm, in->pic); break;
    case IRQ_CHIP_IOAPIC: r = set_ioapic(vm, &in->ioapic); break;
    case IRQ_CHIP_PIT: r = set_pit(vm, &in->pit); break;
    }
    if (r < 0) {
        log_unimp("KVM does not take an interrupt controller's state: %s", g_strerror(-r));
    }
}

/* -- Making them ------------------------------------------------------------------------------------------------ */

/* Without it in the kernel the machine's own serves. */
static void make_pit(KvmVm *vm, bool delay_ticks)
{
    struct kvm_pit_config c = {.flags = KVM_PIT_SPEAKER_DUMMY};
    struct kvm_reinject_control r = {.pit_reinject = delay_ticks};

    if (vm->host->pit && ask(vm, KVM_CREATE_PIT2, &c) >= 0) {
        vm->chips |= IRQ_CHIP_PIT;
        if (ask(vm, KVM_REINJECT_CONTROL, &r) < 0) {
            log_unimp("KVM does not take the policy for lost ticks");
        }
    }
}

bool kvm_chips_enable(KvmVm *vm, IrqChipSet wanted, bool delay_ticks, GError **error)
{
    if (!kvm_do(vm->ops, vm->fd, KVM_CREATE_IRQCHIP, 0, error)) {
        return false;
    }
    vm->apics = true;
    vm->chips = IRQ_CHIP_PIC | IRQ_CHIP_IOAPIC;
    if ((wanted & IRQ_CHIP_PIT) != 0) {
        make_pit(vm, delay_ticks);
    }
    vm->chip_holder = (IrqChipHolder){.arg = vm, .has = vm->chips, .line = line, .fetch = fetch, .store = store};
    return true;
}

/* -- Both ways --------------------------------------------------------------------------------------------------- */

static const ApicHome *home_of(const KvmVm *vm)
{
    const KvmCpu *first = g_ptr_array_index(vm->cpus, 0);

    return first->cpu->bus.apic_home;
}

/* Levels that changed while the machine rested.  What KVM remembers of the I/O APIC must not answer them. */
static int tell_lines(KvmVm *vm, uint32_t lines)
{
    IoapicImage mute = {.lines = 0};
    int r;

    if (lines == vm->told) {
        return 0;
    }
    for (unsigned pin = 0; pin < IRQ_CHIPS_PINS; pin++) {
        mute.rte[pin] = RTE_MASKED;
    }
    r = set_ioapic(vm, &mute);
    for (unsigned pin = 0; pin < IRQ_CHIPS_PINS; pin++) {
        if (((lines ^ vm->told) >> pin & 1) != 0) {
            tell_line(vm, pin, (int)(lines >> pin & 1));
        }
    }
    return r;
}

bool kvm_chips_take(KvmCpu *k)
{
    KvmVm *vm = k->vm;
    IrqChips chips;
    int r;

    if (vm->chips == 0) {
        return true;
    }
    memset(&chips, 0, sizeof chips);
    home_of(vm)->take_chips(home_of(vm)->arg, &vm->chip_holder, &chips);
    vm->chips_taken = true;
    r = tell_lines(vm, chips.ioapic.lines);
    if (r < 0 || (r = set_pic(vm, chips.pic)) < 0 || (r = set_ioapic(vm, &chips.ioapic)) < 0) {
        return kvm_cpu_failed(k, KVM_SET_IRQCHIP, r);
    }
    if ((vm->chips & IRQ_CHIP_PIT) != 0 && (r = set_pit(vm, &chips.pit)) < 0) {
        return kvm_cpu_failed(k, KVM_SET_PIT2, r);
    }
    return true;
}

void kvm_chips_stop(KvmCpu *k)
{
    KvmVm *vm = k->vm;
    struct kvm_pit_state2 pit;
    int r = 0;

    if (!vm->chips_taken) {
        return;
    }
    vm->chips_taken = false;
    vm->chips_known = true;
    memset(&vm->chips_state, 0, sizeof vm->chips_state);
    if ((vm->chips & IRQ_CHIP_PIT) != 0) {
        if ((r = get_pit(vm, &vm->chips_state.pit, &pit)) < 0) {
            vm->chips_known = kvm_cpu_failed(k, KVM_GET_PIT2, r);
        } else if ((r = stop_pit(vm, &pit)) < 0) {
            vm->chips_known = kvm_cpu_failed(k, KVM_SET_PIT2, r);
        }
    }
    if ((r = get_pic(vm, vm->chips_state.pic)) < 0 || (r = get_ioapic(vm, &vm->chips_state.ioapic)) < 0) {
        vm->chips_known = kvm_cpu_failed(k, KVM_GET_IRQCHIP, r);
    }
    vm->chips_away = true;
}

void kvm_chips_bring(KvmVm *vm)
{
    if (vm->chips_away) {
        vm->chips_away = false;
        home_of(vm)->bring_chips(home_of(vm)->arg, vm->chips_known ? &vm->chips_state : NULL);
    }
}
