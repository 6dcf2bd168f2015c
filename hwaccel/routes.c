/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hwaccel/routes.h"

#include "hwaccel/kvm-cpu.h"
#include "softmmu/base/log.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { PIC_INPUTS = 16, IRQFDS_MAX = 64, ENTRIES_MAX = APIC_HOME_PINS + PIC_INPUTS + IRQFDS_MAX };
enum { MSI_LEVEL = 1 << 15 };

typedef struct {
    uint64_t addr;
    uint32_t data;
    int fd;
} Irqfd;

typedef struct {
    struct kvm_irq_routing head;
    struct kvm_irq_routing_entry entry[ENTRIES_MAX];
} Table;

static struct kvm_irq_routing_entry *add(Table *t, unsigned gsi, unsigned type)
{
    struct kvm_irq_routing_entry *e = &t->entry[t->head.nr++];

    *e = (struct kvm_irq_routing_entry){.gsi = gsi, .type = type};
    return e;
}

static void add_message(Table *t, unsigned gsi, uint64_t addr, uint32_t data)
{
    struct kvm_irq_routing_entry *e = add(t, gsi, KVM_IRQ_ROUTING_MSI);

    e->u.msi.address_lo = (uint32_t)addr;
    e->u.msi.address_hi = (uint32_t)(addr >> 32);
    e->u.msi.data = data;
}

static void add_pin(Table *t, unsigned gsi, unsigned chip, unsigned pin)
{
    struct kvm_irq_routing_entry *e = add(t, gsi, KVM_IRQ_ROUTING_IRQCHIP);

    e->u.irqchip.irqchip = chip;
    e->u.irqchip.pin = pin;
}

static void add_chips(Table *t)
{
    for (unsigned n = 0; n < PIC_INPUTS; n++) {
        if (n != 2) {
            add_pin(t, n, n < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, n % 8);
        }
    }
    for (unsigned pin = 1; pin < APIC_HOME_PINS; pin++) {
        add_pin(t, pin == 2 ? 0 : pin, KVM_IRQCHIP_IOAPIC, pin);
    }
}

static void add_level_pins(Table *t, const KvmVm *vm)
{
    const KvmCpu *first = g_ptr_array_index(vm->cpus, 0);
    const ApicHome *home = first->cpu->bus.apic_home;

    for (unsigned pin = 0; pin < APIC_HOME_PINS; pin++) {
        uint64_t addr;
        uint32_t data;

        if (home->route(home->arg, pin, &addr, &data)) {
            add_message(t, pin, addr, data);
        }
    }
}

int kvm_routes_set(KvmVm *vm)
{
    Table t = {.head = {.nr = 0}};

    if (vm->chips != 0) {
        add_chips(&t);
    } else {
        add_level_pins(&t, vm);
    }
    for (unsigned i = 0; i < vm->irqfds->len; i++) {
        const Irqfd *f = &g_array_index(vm->irqfds, Irqfd, i);
        add_message(&t, APIC_HOME_PINS + i, f->addr, f->data);
    }
    return vm->ops->request(vm->ops, vm->fd, KVM_SET_GSI_ROUTING, (uintptr_t)&t);
}

GArray *kvm_irqfds_new(void)
{
    return g_array_new(FALSE, FALSE, sizeof(Irqfd));
}

/* -- Messages ---------------------------------------------------------------------------------------------- */

static int tell_kvm(KvmVm *vm, unsigned i, uint32_t flags)
{
    struct kvm_irqfd f = {.fd = (uint32_t)g_array_index(vm->irqfds, Irqfd, i).fd, .gsi = APIC_HOME_PINS + i,
                          .flags = flags};

    return vm->ops->request(vm->ops, vm->fd, KVM_IRQFD, (uintptr_t)&f);
}

/* Where it cannot be had, messages go the other way, and no more are tried. */
static bool add_irqfd(KvmVm *vm, uint64_t addr, uint32_t data)
{
    Irqfd f = {.addr = addr, .data = data, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    int r = f.fd >= 0 ? 0 : -errno;

    if (r == 0) {
        unsigned n = vm->irqfds->len;

        g_array_append_val(vm->irqfds, f);
        r = kvm_routes_set(vm);
        r = r >= 0 ? tell_kvm(vm, n, 0) : r;
        if (r < 0) {
            g_array_set_size(vm->irqfds, n);
            close(f.fd);
        }
    }
    if (r < 0) {
        vm->wants_irqfds = false;
        vm->no_irqfds = g_strdup(g_strerror(-r));
    }
    return r >= 0;
}

/* NULL: it has none. */
static const Irqfd *irqfd_of(KvmVm *vm, uint64_t addr, uint32_t data)
{
    if (!vm->wants_irqfds || (data & MSI_LEVEL) != 0) {
        return NULL;
    }
    for (unsigned i = 0; i < vm->irqfds->len; i++) {
        const Irqfd *f = &g_array_index(vm->irqfds, Irqfd, i);
        if (f->addr == addr && f->data == data) {
            return f;
        }
    }
    return vm->irqfds->len < IRQFDS_MAX && add_irqfd(vm, addr, data)
               ? &g_array_index(vm->irqfds, Irqfd, vm->irqfds->len - 1) : NULL;
}

void kvm_message(KvmVm *vm, uint64_t addr, uint32_t data)
{
    const Irqfd *f = irqfd_of(vm, addr, data);
    const uint64_t one = 1;
    struct kvm_msi m = {.address_lo = (uint32_t)addr, .address_hi = (uint32_t)(addr >> 32), .data = data};

    vm->messages++;
    if (f != NULL && write(f->fd, &one, sizeof one) == sizeof one) {
        vm->irqfd_messages++;
        return;
    }
    if (vm->ops->request(vm->ops, vm->fd, KVM_SIGNAL_MSI, (uintptr_t)&m) < 0) {
        log_unimp("KVM does not take the interrupt message %#x", data);
    }
}

void kvm_irqfds_drop(KvmVm *vm)
{
    for (unsigned i = 0; i < vm->irqfds->len; i++) {
        tell_kvm(vm, i, KVM_IRQFD_FLAG_DEASSIGN); /* returns when what was written has arrived */
        close(g_array_index(vm->irqfds, Irqfd, i).fd);
    }
    vm->irqfds_seen = MAX(vm->irqfds_seen, vm->irqfds->len);
    g_array_set_size(vm->irqfds, 0);
}
