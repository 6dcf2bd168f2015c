/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/hwaccel/fake-kvm.h"

#include <errno.h>
#include <linux/kvm_para.h>
#include <stdbool.h>
#include <string.h>

enum { FIRST_FD = 100000 };

static const uint32_t msr_numbers[] = {
#define KVM_MSR(msr, member, when) msr,
#include "hwaccel/kvm-msrs.def"
#undef KVM_MSR
};

static FakeKvm *fake(const KvmOps *ops)
{
    return ops->arg;
}

static int new_fd(FakeKvm *f)
{
    f->n_open++;
    return FIRST_FD + f->next_fd++;
}

/* -- Answers -------------------------------------------------------------------------------------- */

static int extension(FakeKvm *f, long cap)
{
    return cap == f->absent            ? 0
           : cap == KVM_CAP_XSAVE2     ? (f->big_xsave ? (int)sizeof f->xsave : 4096)
           : cap == KVM_CAP_COALESCED_MMIO ? 2
           : cap == KVM_CAP_EXIT_HYPERCALL ? 1 << KVM_HC_MAP_GPA_RANGE
           : cap == KVM_CAP_DIRTY_LOG_RING ? 1024 * (int)sizeof(struct kvm_dirty_gfn)
                                       : 1;
}

/* Everything is supported. */
static int supported_cpuid(struct kvm_cpuid2 *c)
{
    static const uint32_t leaves[][2] = {{1, 0}, {6, 0}, {7, 0}, {7, 1}, {7, 2}, {0xd, 0}, {0xd, 1}, {0x40000001, 0}, {0x80000001, 0},
                                         {0x80000007, 0}, {0x80000008, 0}, {0x80000021, 0}};

    if (c->nent < G_N_ELEMENTS(leaves)) {
        return -E2BIG;
    }
    c->nent = G_N_ELEMENTS(leaves);
    for (unsigned i = 0; i < c->nent; i++) {
        c->entries[i] = (struct kvm_cpuid_entry2){
            .function = leaves[i][0], .index = leaves[i][1], .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            .eax = ~0u, .ebx = ~0u, .ecx = ~0u, .edx = ~0u};
    }
    return 0;
}

static int msr_list(struct kvm_msr_list *l)
{
    if (l->nmsrs < G_N_ELEMENTS(msr_numbers)) {
        return -E2BIG;
    }
    l->nmsrs = G_N_ELEMENTS(msr_numbers);
    memcpy(l->indices, msr_numbers, sizeof msr_numbers);
    return 0;
}

static int transfer_msrs(FakeKvm *f, struct kvm_msrs *m, bool set)
{
    for (unsigned i = 0; i < m->nmsrs; i++) {
        gpointer key = GUINT_TO_POINTER(m->entries[i].index);
        if (m->entries[i].index == f->refused_msr) {
            return (int)i;
        }
        if (set) {
            g_hash_table_insert(f->msrs, key, g_memdup2(&m->entries[i].data, 8));
        } else {
            const uint64_t *v = g_hash_table_lookup(f->msrs, key);
            m->entries[i].data = v != NULL ? *v : 0;
        }
    }
    return (int)m->nmsrs;
}

static int set_slot(FakeKvm *f, const struct kvm_userspace_memory_region *r)
{
    if (r->slot >= G_N_ELEMENTS(f->slot)) {
        return -EINVAL;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(f->slot); i++) {
        const struct kvm_userspace_memory_region *o = &f->slot[i];
        if (i != r->slot && r->memory_size != 0 && o->memory_size != 0 &&
            r->guest_phys_addr < o->guest_phys_addr + o->memory_size &&
            o->guest_phys_addr < r->guest_phys_addr + r->memory_size) {
            return -EEXIST;
        }
    }
    if (f->slot[r->slot].memory_size != 0 && r->memory_size != 0) {
        return -EINVAL;        /* no change of place without dropping it first */
    }
    f->slot[r->slot] = *r;
    return 0;
}

/* The one instruction that the fake knows, in the code of hwaccel/trial.c. */
static bool is_at_xsetbv(const FakeKvm *f)
{
    static const uint8_t code[] = {0x31, 0xc9, 0x31, 0xd2, 0xb8, 3, 0, 0, 0, 0x0f, 0x01, 0xd1};

    for (unsigned i = 0; i < G_N_ELEMENTS(f->slot); i++) {
        const struct kvm_userspace_memory_region *s = &f->slot[i];
        uint64_t at = f->regs.rip - s->guest_phys_addr;

        if (at < s->memory_size && s->memory_size - at >= sizeof code) {
            return memcmp((const uint8_t *)(uintptr_t)s->userspace_addr + at, code, sizeof code) == 0;
        }
    }
    return false;
}

static int run(FakeKvm *f)
{
    if (f->run->immediate_exit) {  /* an instruction ends; if by an exception, no interrupt may come before that */
        bool faults = f->run->exit_reason == KVM_EXIT_X86_RDMSR && f->run->msr.error != 0;

        f->run->ready_for_interrupt_injection = f->run->ready_for_interrupt_injection && !faults;
        f->run->exit_reason = KVM_EXIT_INTR;
        return -EINTR;
    }
    if (is_at_xsetbv(f)) {
        f->xcrs.nr_xcrs = 1;
        f->xcrs.xcrs[0].value = f->loses_xcr0 ? 1 : 3;
        f->run->exit_reason = KVM_EXIT_HLT;
        return 0;
    }
    f->entries++;
    if (f->guest != NULL) {
        return f->guest(f);
    }
    f->run->exit_reason = KVM_EXIT_HLT;
    return 0;
}

static int filter(FakeKvm *f, const struct kvm_msr_filter *m)
{
    for (unsigned i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++) {
        if (m->ranges[i].base == 0x4b564d00) {
            f->pv_allowed = (uint16_t)(m->ranges[i].bitmap[0] | m->ranges[i].bitmap[1] << 8);
        }
    }
    return 0;
}

static int device_attr(FakeKvm *f, const struct kvm_device_attr *a, bool set)
{
    int64_t *v = (int64_t *)(uintptr_t)a->addr;

    *(set ? &f->tsc_offset : v) = *(set ? v : &f->tsc_offset);
    return 0;
}

static int ioeventfd(FakeKvm *f, const struct kvm_ioeventfd *e)
{
    if ((e->flags & KVM_IOEVENTFD_FLAG_DEASSIGN) == 0) {
        if (f->n_bells == G_N_ELEMENTS(f->bell)) {
            return -ENOSPC;
        }
        f->bell[f->n_bells++] = *e;
        return 0;
    }
    for (unsigned i = 0; i < f->n_bells; i++) {
        if (f->bell[i].addr == e->addr && f->bell[i].fd == e->fd && f->bell[i].datamatch == e->datamatch) {
            f->bell[i] = f->bell[--f->n_bells];
            return 0;
        }
    }
    return -ENOENT;
}

static int irqfd(FakeKvm *f, const struct kvm_irqfd *e)
{
    if ((e->flags & KVM_IRQFD_FLAG_DEASSIGN) == 0) {
        if (e->gsi < 24 || f->routes <= e->gsi - 24 || f->n_irqfds == G_N_ELEMENTS(f->irqfd)) {
            return -EINVAL;    /* it leads nowhere */
        }
        f->irqfd[f->n_irqfds++] = *e;
        return 0;
    }
    for (unsigned i = 0; i < f->n_irqfds; i++) {
        if (f->irqfd[i].gsi == e->gsi && f->irqfd[i].fd == e->fd) {
            f->irqfd[i] = f->irqfd[--f->n_irqfds];
            return 0;
        }
    }
    return -ENOENT;
}

static int zone(FakeKvm *f, const struct kvm_coalesced_mmio_zone *z, bool add)
{
    if (add) {
        if (f->n_zones == G_N_ELEMENTS(f->zone)) {
            return -ENOSPC;
        }
        f->zone[f->n_zones++] = *z;
        return 0;
    }
    for (unsigned i = 0; i < f->n_zones; i++) {
        if (f->zone[i].addr == z->addr && f->zone[i].pio == z->pio) {
            f->zone[i] = f->zone[--f->n_zones];
            return 0;
        }
    }
    return -ENOENT;
}

static int irqchip(FakeKvm *f, struct kvm_irqchip *c, bool set)
{
    void *mine = c->chip_id == KVM_IRQCHIP_IOAPIC ? (void *)&f->ioapic : (void *)&f->pic[c->chip_id & 1];
    size_t len = c->chip_id == KVM_IRQCHIP_IOAPIC ? sizeof f->ioapic : sizeof f->pic[0];

    if (!f->chips) {
        return -ENXIO;
    }
    memcpy(set ? mine : (void *)&c->chip, set ? (void *)&c->chip : mine, len);
    return 0;
}

#define COPY_OUT(field) (memcpy((void *)arg, &f->field, sizeof f->field), 0)
#define COPY_IN(field) (memcpy(&f->field, (void *)arg, sizeof f->field), 0)

static int answer_cpu(FakeKvm *f, unsigned long request, uintptr_t arg)
{
    switch (request) {
    case KVM_RUN: return run(f);
    case KVM_GET_REGS: return COPY_OUT(regs);
    case KVM_SET_REGS: return COPY_IN(regs);
    case KVM_GET_SREGS2: return COPY_OUT(sregs);
    case KVM_SET_SREGS2: return COPY_IN(sregs);
    case KVM_GET_SREGS:
        memset((void *)arg, 0, sizeof(struct kvm_sregs));
        memcpy((void *)arg, &f->sregs, offsetof(struct kvm_sregs2, flags));
        return 0;
    case KVM_SET_SREGS:
        memcpy(&f->sregs, (void *)arg, offsetof(struct kvm_sregs2, flags));
        return 0;
    case KVM_GET_DEBUGREGS: return COPY_OUT(debug);
    case KVM_SET_DEBUGREGS: return COPY_IN(debug);
    case KVM_GET_VCPU_EVENTS: return COPY_OUT(events);
    case KVM_SET_VCPU_EVENTS: return COPY_IN(events);
    case KVM_SET_GUEST_DEBUG: return COPY_IN(guest_debug);
    case KVM_GET_LAPIC: return COPY_OUT(lapic);
    case KVM_SET_LAPIC: return COPY_IN(lapic);
    case KVM_GET_MP_STATE: return COPY_OUT(mp_state);
    case KVM_SET_MP_STATE: return COPY_IN(mp_state);
    case KVM_SIGNAL_MSI:
        f->msis++;
        return COPY_IN(last_msi);
    case KVM_SET_GSI_ROUTING:
        f->routes = ((struct kvm_irq_routing *)arg)->nr;
        return 0;
    case KVM_GET_XCRS: return COPY_OUT(xcrs);
    case KVM_SET_XCRS: return COPY_IN(xcrs);
    case KVM_GET_XSAVE2: return COPY_OUT(xsave);
    case KVM_GET_XSAVE: memcpy((void *)arg, f->xsave, 4096); return 0;
    case KVM_SET_XSAVE: memcpy(f->xsave, (void *)arg, 4096); return 0;
    case KVM_GET_MSRS: return transfer_msrs(f, (struct kvm_msrs *)arg, false);
    case KVM_SET_MSRS: return transfer_msrs(f, (struct kvm_msrs *)arg, true);
    case KVM_GET_DEVICE_ATTR: return device_attr(f, (struct kvm_device_attr *)arg, false);
    case KVM_SET_DEVICE_ATTR: return device_attr(f, (struct kvm_device_attr *)arg, true);
    case KVM_INTERRUPT:
        f->interrupts++;
        f->last_interrupt = ((struct kvm_interrupt *)arg)->irq;
        return 0;
    case KVM_NMI: f->nmis++; return 0;
    default: return -ENOTTY;
    }
}

static int answer(FakeKvm *f, unsigned long request, uintptr_t arg)
{
    switch (request) {
    case KVM_GET_API_VERSION: return 12;
    case KVM_CHECK_EXTENSION: return extension(f, (long)arg);
    case KVM_GET_VCPU_MMAP_SIZE: return (int)f->run_size;
    case KVM_GET_SUPPORTED_CPUID: return supported_cpuid((struct kvm_cpuid2 *)arg);
    case KVM_GET_MSR_INDEX_LIST: return msr_list((struct kvm_msr_list *)arg);
    case KVM_CREATE_VM:
        f->vm_fd = f->vm_fd == 0 ? FIRST_FD + f->next_fd : f->vm_fd;
        return new_fd(f);
    case KVM_CREATE_VCPU: case KVM_GET_STATS_FD: return new_fd(f);
    case KVM_SET_USER_MEMORY_REGION: return set_slot(f, (struct kvm_userspace_memory_region *)arg);
    case KVM_ENABLE_CAP:
        if (f->no_dirty_ring && ((struct kvm_enable_cap *)arg)->cap == KVM_CAP_DIRTY_LOG_RING) {
            return -EINVAL;
        }
        if (((struct kvm_enable_cap *)arg)->cap == KVM_CAP_EXIT_HYPERCALL) {
            f->hypercalls = ((struct kvm_enable_cap *)arg)->args[0];
        }
        f->hides_pv |= ((struct kvm_enable_cap *)arg)->cap == KVM_CAP_ENFORCE_PV_FEATURE_CPUID;
        f->split |= ((struct kvm_enable_cap *)arg)->cap == KVM_CAP_SPLIT_IRQCHIP;
        return 0;
    case KVM_CREATE_IRQCHIP: f->chips = true; return 0;
    case KVM_CREATE_PIT2: f->pit_made = f->chips; return f->chips ? 0 : -ENOENT;
    case KVM_REINJECT_CONTROL: return COPY_IN(reinject);
    case KVM_GET_IRQCHIP: return irqchip(f, (struct kvm_irqchip *)arg, false);
    case KVM_SET_IRQCHIP: return irqchip(f, (struct kvm_irqchip *)arg, true);
    case KVM_GET_PIT2: return f->pit_made ? COPY_OUT(pit) : -ENXIO;
    case KVM_SET_PIT2: return f->pit_made ? COPY_IN(pit) : -ENXIO;
    case KVM_IRQ_LINE: {
        const struct kvm_irq_level *l = (const struct kvm_irq_level *)arg;
        f->lines = l->level ? f->lines | 1u << l->irq : f->lines & ~(1u << l->irq);
        return 0;
    }
    case KVM_RESET_DIRTY_RINGS:
        f->dirty_resets++;
        return 0;
    case KVM_REGISTER_COALESCED_MMIO: case KVM_UNREGISTER_COALESCED_MMIO:
        return zone(f, (struct kvm_coalesced_mmio_zone *)arg, request == KVM_REGISTER_COALESCED_MMIO);
    case KVM_IRQFD: return irqfd(f, (struct kvm_irqfd *)arg);
    case KVM_IOEVENTFD: return ioeventfd(f, (struct kvm_ioeventfd *)arg);
    case KVM_X86_SET_MSR_FILTER: return filter(f, (struct kvm_msr_filter *)arg);
    case KVM_SET_TSS_ADDR: case KVM_SET_IDENTITY_MAP_ADDR:
    case KVM_SET_CPUID2: case KVM_GET_DIRTY_LOG:
        return 0;
    default: return answer_cpu(f, request, arg);
    }
}

/* -- The five functions ----------------------------------------------------------------------------- */

static int fake_open(const KvmOps *ops)
{
    FakeKvm *f = fake(ops);

    return f->open_error != 0 ? f->open_error : new_fd(f);
}

static void fake_close(const KvmOps *ops, int fd)
{
    FakeKvm *f = fake(ops);

    g_assert(fd >= FIRST_FD && f->n_open > 0);
    f->n_open--;
    if (fd == f->vm_fd) {
        memset(f->slot, 0, sizeof f->slot);
        f->vm_fd = 0;
    }
}

static int fake_request(const KvmOps *ops, int fd, unsigned long request, uintptr_t arg)
{
    FakeKvm *f = fake(ops);

    g_assert(fd >= FIRST_FD);
    if (++f->n_requests == f->fail_at) {
        f->failed = request;
        return f->fail_with;
    }
    return answer(f, request, arg);
}

static void *fake_map(const KvmOps *ops, int fd, size_t len, uint64_t offset)
{
    FakeKvm *f = fake(ops);
    void *p;

    if (++f->n_mapped == f->fail_map_at) {
        errno = ENOMEM;
        return NULL;
    }
    p = g_malloc0(len);
    f->n_maps++;
    if (offset == 0) {
        f->run = p;
    } else {
        g_assert(offset == KVM_DIRTY_LOG_PAGE_OFFSET * 4096);
        f->dirty = p;
    }
    return p;
}

static void fake_unmap(const KvmOps *ops, void *p, size_t len)
{
    fake(ops)->n_maps--;
    g_free(p);
}

/* Two counters of a CPU, as KVM_GET_STATS_FD shows them. */
static int fake_read(const KvmOps *ops, int fd, void *buf, size_t len, uint64_t offset)
{
    enum { NAME = 48, DESCRIPTORS = 64, DATA = 512 };
    static const char names[2][NAME] = {"exits", "insn_emulation"};
    const struct kvm_stats_header h = {.name_size = NAME, .num_desc = fake(ops)->no_counter ? 1 : 2,
                                       .desc_offset = DESCRIPTORS, .data_offset = DATA};
    const uint64_t data[2] = {99, fake(ops)->emulated};
    uint8_t file[DATA + sizeof data] = {0};

    memcpy(file, &h, sizeof h);
    for (unsigned i = 0; i < 2; i++) {
        const struct kvm_stats_desc d = {.size = 1, .offset = i * 8};
        uint8_t *at = file + DESCRIPTORS + i * (sizeof d + NAME);

        memcpy(at, &d, sizeof d);
        memcpy(at + sizeof d, names[i], NAME);
    }
    memcpy(file + DATA, data, sizeof data);
    if (offset > sizeof file || len > sizeof file - offset) {
        return -EINVAL;
    }
    memcpy(buf, file + offset, len);
    return (int)len;
}

void fake_kvm_init(FakeKvm *f)
{
    *f = (FakeKvm){.absent = -1, .run_size = 3 * 4096};
    f->ops = (KvmOps){.open = fake_open, .close = fake_close, .request = fake_request, .map = fake_map,
                      .unmap = fake_unmap, .read = fake_read, .arg = f, .hardware = "SVM"};
    f->msrs = g_hash_table_new_full(NULL, NULL, NULL, g_free);
}

void fake_kvm_clear(FakeKvm *f)
{
    g_hash_table_destroy(f->msrs);
}
