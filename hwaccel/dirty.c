/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hwaccel/dirty.h"

#include <errno.h>

enum { PAGE_LEN = 4096 };

/* -- Bitmaps ------------------------------------------------------------------------------------------------ */

static void collect_slot(KvmVm *vm, unsigned n, const KvmSlot *s)
{
    size_t pages = s->len >> GUEST_PAGE_SHIFT;
    g_autofree uint64_t *bits = g_new0(uint64_t, (pages + 63) / 64);
    struct kvm_dirty_log log = {.slot = n, .dirty_bitmap = bits};

    if (vm->ops->request(vm->ops, vm->fd, KVM_GET_DIRTY_LOG, (uintptr_t)&log) < 0) {
        phys_mem_written(vm->mem, s->offset, s->len); /* all of it, to be safe */
        return;
    }
    for (size_t i = 0; i < pages; i++) {
        if ((bits[i / 64] >> (i % 64) & 1) != 0) {
            phys_mem_written(vm->mem, s->offset + (i << GUEST_PAGE_SHIFT), GUEST_PAGE_SIZE);
        }
    }
}

static void collect_bitmaps(KvmVm *vm)
{
    for (unsigned i = 0; i < vm->slots->len; i++) {
        KvmSlot *s = &g_array_index(vm->slots, KvmSlot, i);
        if (s->len != 0 && (s->flags & KVM_MEM_LOG_DIRTY_PAGES) != 0) {
            collect_slot(vm, i, s);
        }
    }
}

/* -- Rings ---------------------------------------------------------------------------------------------------- */

static void mark(KvmVm *vm, const struct kvm_dirty_gfn *g)
{
    unsigned n = g->slot & 0xffff;
    const KvmSlot *s = n < vm->slots->len ? &g_array_index(vm->slots, KvmSlot, n) : NULL;

    if (s != NULL && g->offset < s->len >> GUEST_PAGE_SHIFT) { /* else the slot has gone meanwhile */
        phys_mem_written(vm->mem, s->offset + (g->offset << GUEST_PAGE_SHIFT), GUEST_PAGE_SIZE);
    }
}

/* KVM sets DIRTY behind the rest of an entry, we set RESET behind our reading of it. */
static unsigned read_ring(KvmCpu *k)
{
    unsigned n = 0;

    while (n < k->vm->dirty_ring) {
        struct kvm_dirty_gfn *g = &k->dirty[k->dirty_next % k->vm->dirty_ring];

        if ((__atomic_load_n(&g->flags, __ATOMIC_ACQUIRE) & (KVM_DIRTY_GFN_F_DIRTY | KVM_DIRTY_GFN_F_RESET)) !=
            KVM_DIRTY_GFN_F_DIRTY) {
            break;
        }
        mark(k->vm, g);
        __atomic_store_n(&g->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
        k->dirty_next++;
        n++;
    }
    return n;
}

static void read_rings(KvmVm *vm)
{
    unsigned n = 0;

    for (unsigned i = 0; i < vm->cpus->len; i++) {
        KvmCpu *k = g_ptr_array_index(vm->cpus, i);
        n += k->dirty != NULL ? read_ring(k) : 0;
    }
    vm->dirty_read += n;
    if (n > 0) {               /* else there is nothing to write-protect again */
        vm->ops->request(vm->ops, vm->fd, KVM_RESET_DIRTY_RINGS, 0);
    }
}

/* -- Both -------------------------------------------------------------------------------------------------------- */

/* What the processor has logged itself (PML) reaches the ring when the CPU comes out. */
void kvm_dirty_collect(KvmVm *vm)
{
    if (vm->dirty_ring == 0) {
        collect_bitmaps(vm);
        return;
    }
    kvm_vm_stop_cpus(vm);
    read_rings(vm);
    kvm_vm_let_cpus_go(vm);
}

void kvm_dirty_ring_full(KvmCpu *k)
{
    lock_take(k->vm->mem->lock);
    read_rings(k->vm);
    lock_release(k->vm->mem->lock);
}

void kvm_dirty_init(KvmVm *vm, unsigned entries)
{
    uint64_t len = (uint64_t)entries * sizeof(struct kvm_dirty_gfn);
    struct kvm_enable_cap c = {.cap = KVM_CAP_DIRTY_LOG_RING, .args = {len}};
    int r;

    if (vm->host->dirty_ring_bytes == 0) {
        vm->no_dirty_ring = g_strdup("the host's KVM has no rings");
    } else if (len > vm->host->dirty_ring_bytes || len < PAGE_LEN) {
        vm->no_dirty_ring = g_strdup_printf("the host's KVM has rings of %u to %zu entries",
                                            (unsigned)(PAGE_LEN / sizeof(struct kvm_dirty_gfn)),
                                            vm->host->dirty_ring_bytes / sizeof(struct kvm_dirty_gfn));
    } else if ((r = vm->ops->request(vm->ops, vm->fd, KVM_ENABLE_CAP, (uintptr_t)&c)) < 0) {
        vm->no_dirty_ring = g_strdup(g_strerror(-r));
    } else {
        vm->dirty_ring = entries;
    }
}

bool kvm_dirty_init_cpu(KvmCpu *k, GError **error)
{
    if (k->vm->dirty_ring != 0) {
        k->dirty = k->vm->ops->map(k->vm->ops, k->fd, k->vm->dirty_ring * sizeof *k->dirty,
                                   (uint64_t)KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_LEN);
        if (k->dirty == NULL) {
            return kvm_fail(error, KVM_CREATE_VCPU, -errno);
        }
    }
    return true;
}

void kvm_dirty_clear_cpu(KvmCpu *k)
{
    if (k->dirty != NULL) {
        k->vm->ops->unmap(k->vm->ops, k->dirty, k->vm->dirty_ring * sizeof *k->dirty);
        k->dirty = NULL;
    }
}
