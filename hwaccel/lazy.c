/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hwaccel/lazy.h"

#include "softmmu/base/bits.h"

#include <string.h>

enum { PAGE_LEN = 4096 };

typedef struct {
    uint64_t addr;
    uint32_t len;
    bool port;
} Zone;

static int tell_kvm(KvmVm *vm, unsigned long request, const Zone *z)
{
    struct kvm_coalesced_mmio_zone k = {.addr = z->addr, .size = z->len, .pio = z->port};

    return vm->ops->request(vm->ops, vm->fd, request, (uintptr_t)&k);
}

/* -- Which they are -------------------------------------------------------------------------------------- */

static void want_range(const PhysRange *r, const char *name, void *arg)
{
    uint64_t lazy = r->kind == PHYS_MMIO ? r->ops->lazy_writes : 0;

    if (lazy > r->window_off) {
        Zone z = {.addr = r->base, .len = (uint32_t)MIN(r->len, lazy - r->window_off)};
        g_array_append_val((GArray *)arg, z);
    }
}

static void want_ports(uint16_t base, unsigned len, const BusOps *ops, const char *name, void *arg)
{
    if (ops->lazy_writes != 0) {
        Zone z = {.addr = base, .len = MIN(len, ops->lazy_writes), .port = true};
        g_array_append_val((GArray *)arg, z);
    }
}

static bool is_in(const GArray *zones, const Zone *z)
{
    for (unsigned i = 0; i < zones->len; i++) {
        const Zone *o = &g_array_index(zones, Zone, i);
        if (o->addr == z->addr && o->len == z->len && o->port == z->port) {
            return true;
        }
    }
    return false;
}

/* Where it cannot be had, writes exit. */
static void add(KvmVm *vm, const Zone *z)
{
    int r = tell_kvm(vm, KVM_REGISTER_COALESCED_MMIO, z);

    if (r >= 0) {
        g_array_append_val(vm->lazy, *z);
    } else if (vm->no_lazy == NULL) {
        vm->no_lazy = g_strdup(g_strerror(-r));
    }
}

static void add_ports(KvmVm *vm)
{
    const KvmCpu *first = g_ptr_array_index(vm->cpus, 0);
    g_autoptr(GArray) want = g_array_new(FALSE, FALSE, sizeof(Zone));

    if (vm->host->lazy_ports) {
        port_space_foreach(first->cpu->ports, want_ports, want);
    }
    for (unsigned i = 0; i < want->len; i++) {
        add(vm, &g_array_index(want, Zone, i));
    }
}

void kvm_lazy_follow(KvmVm *vm)
{
    g_autoptr(GArray) want = g_array_new(FALSE, FALSE, sizeof(Zone));

    if (vm->lazy == NULL) {
        return;
    }
    kvm_lazy_drain(vm);
    phys_mem_foreach(vm->mem, want_range, want);
    for (unsigned i = vm->lazy->len; i-- > 0;) {
        const Zone *z = &g_array_index(vm->lazy, Zone, i);
        if (!z->port && !is_in(want, z)) {
            tell_kvm(vm, KVM_UNREGISTER_COALESCED_MMIO, z);
            g_array_remove_index(vm->lazy, i);
        }
    }
    for (unsigned i = 0; i < want->len; i++) {
        if (!is_in(vm->lazy, &g_array_index(want, Zone, i))) {
            add(vm, &g_array_index(want, Zone, i));
        }
    }
}

void kvm_lazy_init(KvmVm *vm)
{
    if (vm->host->lazy_page == 0) {
        vm->no_lazy = g_strdup("the host's KVM keeps none");
        return;
    }
    vm->lazy = g_array_new(FALSE, FALSE, sizeof(Zone));
    add_ports(vm);
    kvm_lazy_follow(vm);
}

/* -- Carrying them out --------------------------------------------------------------------------------------- */

static void carry_out(const KvmCpu *k, const struct kvm_coalesced_mmio *e)
{
    unsigned len = e->len;

    if (len != 1 && len != 2 && len != 4 && len != 8) {
        phys_copy_to(k->cpu->mem, guest_phys(e->phys_addr), e->data, MIN(len, sizeof e->data));
    } else if (e->pio != 0) {
        port_write(k->cpu->ports, (uint16_t)e->phys_addr, MIN(len, 4), (uint32_t)load_le(e->data, MIN(len, 4)));
    } else {
        phys_write(k->cpu->mem, guest_phys(e->phys_addr), len, load_le(e->data, len));
    }
}

void kvm_lazy_drain(KvmVm *vm)
{
    lock_take(vm->mem->lock);
    if (vm->cpus->len > 0 && kvm_lazy_waits(g_ptr_array_index(vm->cpus, 0))) {
        const KvmCpu *k = g_ptr_array_index(vm->cpus, 0);
        struct kvm_coalesced_mmio_ring *r = k->lazy_ring;
        const uint32_t room = (PAGE_LEN - sizeof *r) / sizeof r->coalesced_mmio[0];

        while (!vm->draining && kvm_lazy_waits(k)) {
            struct kvm_coalesced_mmio e = r->coalesced_mmio[r->first % room];

            __atomic_store_n(&r->first, (r->first + 1) % room, __ATOMIC_RELEASE);
            vm->draining = true; /* a write may change the memory map, which comes here again */
            carry_out(k, &e);
            vm->draining = false;
            vm->lazy_writes++;
        }
    }
    lock_release(vm->mem->lock);
}
