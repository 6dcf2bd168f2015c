/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hwaccel/vm.h"

#include "hwaccel/apic.h"
#include "hwaccel/bells.h"
#include "hwaccel/chips.h"
#include "hwaccel/dirty.h"
#include "hwaccel/lazy.h"
#include "hwaccel/routes.h"
#include "softmmu/base/bits.h"

#include <linux/kvm_para.h>
#include <string.h>

/* Three pages and one page that KVM needs on old VT-x, below the firmware. */
enum { TSS_ADDR = 0xfffbd000u, IDENTITY_ADDR = 0xfffbc000u };

enum { PV_MSRS = 0x4b564d00 };

#define A20 BIT64(20)

/* -- What the slots should be ------------------------------------------------------------------------ */

typedef struct {
    KvmVm *vm;
    GArray *want;              /* KvmSlot */
} Wanted;

/* Does the display want to know of writes to this memory? */
static bool is_logged(const PhysMem *pm, uint64_t offset, uint64_t len)
{
    for (uint64_t at = offset; at < offset + len; at += GUEST_PAGE_SIZE) {
        if ((page_flags_get(pm, at) & PAGE_LOG_DISPLAY) != 0) {
            return true;
        }
    }
    return false;
}

static void want_piece(Wanted *w, const PhysRange *r, uint64_t gpa, uint64_t base, uint64_t end)
{
    KvmSlot s = {.gpa = gpa, .len = end - base, .offset = r->offset + (base - r->base)};

    s.hva = (uintptr_t)w->vm->mem->base + s.offset;
    if (r->kind == PHYS_ROM) {
        s.flags = KVM_MEM_READONLY;
    } else if (is_logged(w->vm->mem, s.offset, s.len)) {
        s.flags = KVM_MEM_LOG_DIRTY_PAGES;
    }
    g_array_append_val(w->want, s);
}

/* With the A20 gate closed each odd megabyte shows the even one below it. */
static void want_folded(Wanted *w, const PhysRange *r, uint64_t base, uint64_t end)
{
    for (uint64_t at = base; at < end;) {
        uint64_t next = MIN(end, (at & ~(A20 - 1)) + A20);
        if ((at & A20) == 0) {
            want_piece(w, r, at, at, next);
            want_piece(w, r, at | A20, at, next);
        }
        at = next;
    }
}

static void want_range(const PhysRange *r, const char *name, void *arg)
{
    Wanted *w = arg;
    uint64_t base = (r->base + GUEST_PAGE_OFFSET_MASK) & GUEST_PAGE_MASK;
    uint64_t end = (r->base + r->len) & GUEST_PAGE_MASK;

    if (base >= end || (r->kind != PHYS_RAM && !(r->kind == PHYS_ROM && w->vm->host->readonly_mem))) {
        return;
    }
    if (((base - r->base + r->offset) & GUEST_PAGE_OFFSET_MASK) != 0) {
        return;                /* cannot be mapped: its accesses exit */
    }
    if (w->vm->mem->address_mask == UINT64_MAX) {
        want_piece(w, r, base, base, end);
    } else {
        want_folded(w, r, base, end);
    }
}

/* -- Bringing them about -------------------------------------------------------------------------------- */

static bool same_slot(const KvmSlot *a, const KvmSlot *b)
{
    return a->gpa == b->gpa && a->len == b->len && a->hva == b->hva && a->flags == b->flags;
}

static bool set_slot(KvmVm *vm, unsigned n, const KvmSlot *s, GError **error)
{
    struct kvm_userspace_memory_region r = {.slot = n, .flags = s->flags, .guest_phys_addr = s->gpa,
                                            .memory_size = s->len, .userspace_addr = s->hva};

    return kvm_do(vm->ops, vm->fd, KVM_SET_USER_MEMORY_REGION, (uintptr_t)&r, error);
}

static bool drop_slot(KvmVm *vm, unsigned n, GError **error)
{
    KvmSlot *s = &g_array_index(vm->slots, KvmSlot, n), none = *s;

    none.len = 0;
    s->len = 0;
    return set_slot(vm, n, &none, error);
}

static unsigned free_slot(KvmVm *vm)
{
    KvmSlot none = {.len = 0};
    unsigned n = 0;

    while (n < vm->slots->len && g_array_index(vm->slots, KvmSlot, n).len != 0) {
        n++;
    }
    if (n == vm->slots->len) {
        g_array_append_val(vm->slots, none);
    }
    return n;
}

static int find_slot(const GArray *slots, const KvmSlot *s)
{
    for (unsigned i = 0; i < slots->len; i++) {
        if (same_slot(&g_array_index(slots, KvmSlot, i), s)) {
            return (int)i;
        }
    }
    return -1;
}

static bool follow_map(KvmVm *vm, GError **error)
{
    g_autoptr(GArray) want = g_array_new(FALSE, FALSE, sizeof(KvmSlot));
    Wanted w = {vm, want};

    phys_mem_foreach(vm->mem, want_range, &w);
    for (unsigned i = 0; i < vm->slots->len; i++) {
        KvmSlot *s = &g_array_index(vm->slots, KvmSlot, i);
        if (s->len != 0 && find_slot(want, s) < 0 && !drop_slot(vm, i, error)) {
            return false;
        }
    }
    for (unsigned i = 0; i < want->len; i++) {
        KvmSlot *s = &g_array_index(want, KvmSlot, i);
        if (find_slot(vm->slots, s) < 0) {
            unsigned n = free_slot(vm);
            if (!set_slot(vm, n, s, error)) {
                return false;
            }
            g_array_index(vm->slots, KvmSlot, n) = *s;
        }
    }
    return true;
}

/* -- While CPUs run --------------------------------------------------------------------------------------- */

void kvm_vm_stop_cpus(KvmVm *vm)
{
    pthread_mutex_lock(&vm->gate);
    __atomic_store_n(&vm->changing, true, __ATOMIC_SEQ_CST); /* before the kicks: kvm_enter() */
    for (unsigned i = 0; i < vm->cpus->len; i++) {
        kvm_cpu_kick(g_ptr_array_index(vm->cpus, i));
    }
    pthread_rwlock_wrlock(&vm->running);
}

void kvm_vm_let_cpus_go(KvmVm *vm)
{
    __atomic_store_n(&vm->changing, false, __ATOMIC_SEQ_CST);
    pthread_rwlock_unlock(&vm->running);
    pthread_mutex_unlock(&vm->gate);
}

static void note_problem(KvmVm *vm, GError *error)
{
    if (vm->problem == NULL) {
        vm->problem = g_strdup(error->message);
    }
    g_error_free(error);
}

static void map_changed(void *arg)
{
    KvmVm *vm = arg;
    GError *error = NULL;

    kvm_dirty_collect(vm);
    kvm_vm_stop_cpus(vm);
    if (!follow_map(vm, &error)) {
        note_problem(vm, error);
    }
    kvm_vm_let_cpus_go(vm);
    kvm_bells_follow(vm);
    kvm_lazy_follow(vm);
}

static int smallest_slot(const KvmVm *vm)
{
    int best = -1;

    for (unsigned i = 0; i < vm->slots->len; i++) {
        const KvmSlot *s = &g_array_index(vm->slots, KvmSlot, i);
        if (s->len != 0 && (best < 0 || s->len < g_array_index(vm->slots, KvmSlot, best).len)) {
            best = (int)i;
        }
    }
    return best;
}

void kvm_vm_forget_tables(KvmVm *vm)
{
    GError *error = NULL;

    if (vm->host->nested_paging) {
        return;
    }
    lock_take(vm->mem->lock);
    kvm_vm_stop_cpus(vm);
    int n = smallest_slot(vm); /* when any slot goes, KVM drops all that it has derived */
    if (n >= 0) {
        KvmSlot s = g_array_index(vm->slots, KvmSlot, n), none = s;
        none.len = 0;
        if (set_slot(vm, (unsigned)n, &none, &error)) {
            set_slot(vm, (unsigned)n, &s, &error);
        }
    }
    kvm_vm_let_cpus_go(vm);
    if (error != NULL) {
        note_problem(vm, error);
    }
    lock_release(vm->mem->lock);
}

static void dirty_wanted(void *arg)
{
    kvm_lazy_drain(arg);
    kvm_dirty_collect(arg);
}

/* -- Life ------------------------------------------------------------------------------------------------------ */

/*
 * MSRs that this program keeps itself under every engine: time when written, its adjustment, machine checks (KVM's banks
 * are others), the local APIC's, KVM's paravirtual ones (pv/), but for those that go with KVM's local APICs.  Denied ranges exit.
 */
static bool filter_msrs(KvmVm *vm, GError **error)
{
    static uint8_t none[16];   /* no bit set: all denied; KVM only reads it */
    uint8_t pv[2] = {0};       /* of these, what KVM serves itself is allowed */
    const uint32_t r = KVM_MSR_FILTER_READ, w = KVM_MSR_FILTER_WRITE;
    const uint32_t apic = vm->apics ? 0 : r | w;
    struct kvm_msr_filter f = {
        .flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
        .ranges = {
            {.flags = w, .base = 0x10, .nmsrs = 1, .bitmap = none},
            {.flags = r | w, .base = 0x11, .nmsrs = 2, .bitmap = none},
            {.flags = r | w, .base = 0x3b, .nmsrs = 1, .bitmap = none},
            {.flags = r | w, .base = 0x179, .nmsrs = 3, .bitmap = none},
            {.flags = r | w, .base = 0x400, .nmsrs = 128, .bitmap = none},
            {.flags = r | w, .base = PV_MSRS, .nmsrs = 16, .bitmap = pv},
            {.flags = apic, .base = 0x1b, .nmsrs = apic != 0, .bitmap = none},
            {.flags = apic, .base = 0x6e0, .nmsrs = apic != 0, .bitmap = none},
        },
    };

    for (unsigned i = 0; i < KVM_PV_MSRS; i++) {
        unsigned bit = kvm_pv_msr[i] - PV_MSRS;

        pv[bit / 8] |= (uint8_t)((vm->pv_msrs >> i & 1) << bit % 8);
    }
    return kvm_do(vm->ops, vm->fd, KVM_X86_SET_MSR_FILTER, (uintptr_t)&f, error);
}

/* What KVM cannot emulate in ring 3 comes to us too, instead of being #UD. */
static bool take_emulation_failures(KvmVm *vm, GError **error)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = {1}};

    return !vm->host->emulation_exits || kvm_do(vm->ops, vm->fd, KVM_ENABLE_CAP, (uintptr_t)&c, error);
}

/* The one hypercall that KVM lets out: VMI's calls come by it (pv/vmi-rom.h). */
static bool take_hypercalls(KvmVm *vm, GError **error)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_EXIT_HYPERCALL, .args = {1 << KVM_HC_MAP_GPA_RANGE}};

    return !vm->host->hypercall_exits || kvm_do(vm->ops, vm->fd, KVM_ENABLE_CAP, (uintptr_t)&c, error);
}

static bool take_msrs(KvmVm *vm, const CpuModel *model, GError **error)
{
    struct kvm_enable_cap c = {
        .cap = KVM_CAP_X86_USER_SPACE_MSR,
        .args = {KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER},
    };

    vm->msr_exits = vm->host->msr_exits;
    vm->msr_filter = vm->host->msr_filter;
    vm->pv_msrs = vm->apics && vm->msr_filter ? kvm_pv_msrs(vm->host, model) : 0;
    return (!vm->msr_exits || kvm_do(vm->ops, vm->fd, KVM_ENABLE_CAP, (uintptr_t)&c, error)) &&
           (!vm->msr_filter || filter_msrs(vm, error));
}

static bool set_addresses(KvmVm *vm, GError **error)
{
    uint64_t identity = IDENTITY_ADDR;

    return (!vm->host->set_identity ||
            kvm_do(vm->ops, vm->fd, KVM_SET_IDENTITY_MAP_ADDR, (uintptr_t)&identity, error)) &&
           (!vm->host->set_tss || kvm_do(vm->ops, vm->fd, KVM_SET_TSS_ADDR, TSS_ADDR, error));
}

/* Where they cannot be had, the machine's own serve. */
static void take_chips(KvmVm *vm, const KvmWants *wants)
{
    g_autoptr(GError) why = NULL;

    if ((wants->chips & IRQ_CHIP_PIC) == 0) {
        vm->no_chips = g_strdup("the machine lacks some of them");
    } else if (!vm->host->irqchip) {
        vm->no_chips = g_strdup("the host's KVM lacks them");
    } else if (!kvm_chips_enable(vm, wants->chips, wants->delay_ticks, &why)) {
        vm->no_chips = g_strdup(why->message);
    }
}

static void take_apics(KvmVm *vm)
{
    g_autoptr(GError) why = NULL;

    if (!vm->host->split_irqchip) {
        vm->no_apics = g_strdup("the host's KVM has no local APICs apart from its other interrupt controllers");
    } else if (!kvm_apics_enable(vm, &why)) {
        vm->no_apics = g_strdup(why->message);
    }
}

static bool build(KvmVm *vm, const KvmWants *wants, GError **error)
{
    vm->fd = vm->ops->request(vm->ops, vm->host->fd, KVM_CREATE_VM, 0);
    if (vm->fd < 0) {
        return kvm_fail(error, KVM_CREATE_VM, vm->fd);
    }
    if (wants->apics && wants->all_chips) {
        take_chips(vm, wants);
    }
    if (wants->apics && !vm->apics) {
        take_apics(vm);
    }
    vm->wants_irqfds = vm->apics && wants->irqfds && vm->host->irqfd;
    if (wants->irqfds && !vm->wants_irqfds) {
        vm->no_irqfds = g_strdup(vm->apics ? "the host's KVM has none" : "the local APICs are not the kernel's");
    }
    if (wants->dirty_ring != 0) {
        kvm_dirty_init(vm, wants->dirty_ring);
    }
    return set_addresses(vm, error) && take_msrs(vm, wants->model, error) && take_emulation_failures(vm, error) && take_hypercalls(vm, error) &&
           follow_map(vm, error);
}

static void init_running(pthread_rwlock_t *l)
{
    pthread_rwlockattr_t attr;

    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(l, &attr);
    pthread_rwlockattr_destroy(&attr);
}

static void free_vm(KvmVm *vm)
{
    if (vm->fd >= 0) {
        vm->ops->close(vm->ops, vm->fd);
    }
    kvm_host_close(vm->host);
    pthread_rwlock_destroy(&vm->running);
    pthread_mutex_destroy(&vm->gate);
    g_array_free(vm->slots, TRUE);
    g_ptr_array_free(vm->cpus, TRUE);
    g_free(vm->problem);
    g_free(vm->no_apics);
    g_free(vm->no_chips);
    g_free(vm->no_irqfds);
    g_free(vm->no_lazy);
    g_free(vm->no_dirty_ring);
    g_clear_pointer(&vm->lazy, g_array_unref);
    g_array_free(vm->irqfds, TRUE);
    g_free(vm->no_bells);
    g_free(vm);
}

KvmVm *kvm_vm_get(const KvmOps *ops, PhysMem *mem, const KvmWants *wants, GError **error)
{
    KvmVm *vm = mem->vm;

    if (vm != NULL) {
        vm->refs++;
        return vm;
    }
    KvmHost *host = kvm_host_open(ops, error);
    if (host == NULL) {
        return NULL;
    }
    kvm_host_learns_of_xsetbv(host); /* also where the guest has no XSAVE: the statistics tell why */
    vm = g_new0(KvmVm, 1);
    vm->ops = ops;
    vm->host = host;
    vm->mem = mem;
    vm->fd = -1;
    vm->refs = 1;
    vm->slots = g_array_new(FALSE, TRUE, sizeof(KvmSlot));
    vm->cpus = g_ptr_array_new();
    vm->irqfds = kvm_irqfds_new();
    init_running(&vm->running);
    pthread_mutex_init(&vm->gate, NULL);
    vm->holder = kvm_apic_holder;
    vm->holder.arg = vm;
    if (!build(vm, wants, error)) {
        free_vm(vm);
        return NULL;
    }
    mem->vm = vm;
    mem->dirty_wanted = dirty_wanted;
    phys_mem_listen(mem, map_changed, vm);
    return vm;
}

void kvm_vm_put(KvmVm *vm)
{
    if (--vm->refs > 0) {
        return;
    }
    kvm_bells_clear(vm);
    kvm_dirty_collect(vm);
    phys_mem_unlisten(vm->mem, map_changed, vm);
    vm->mem->vm = NULL;
    vm->mem->writes_unseen = false;
    vm->mem->dirty_wanted = NULL;
    free_vm(vm);
}
