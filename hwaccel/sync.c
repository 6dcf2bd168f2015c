/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CpuState <-> a CPU in KVM. */
#include "cpu-x86/exception.h"
#include "hwaccel/apic.h"
#include "hwaccel/xsave-image.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <errno.h>
#include <string.h>
#include <x86intrin.h>

enum { MSR_TSC = 0x10, MSR_APIC_BASE = 0x1b };

bool kvm_cpu_failed(KvmCpu *k, unsigned long request, int negative_errno)
{
    g_autoptr(GError) error = NULL;

    kvm_fail(&error, request, negative_errno);
    if (k->why == NULL) {
        k->why = g_strdup(error->message);
    }
    return false;
}

static bool ask(KvmCpu *k, unsigned long request, void *arg)
{
    int r = k->vm->ops->request(k->vm->ops, k->fd, request, (uintptr_t)arg);

    return r >= 0 || kvm_cpu_failed(k, request, r);
}

/* -- Registers ---------------------------------------------------------------------------------------- */

/* KVM's fields in our encoding order. */
static __u64 *kvm_gpr(struct kvm_regs *r, unsigned i)
{
    __u64 *const at[GPR_COUNT] = {&r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp, &r->rsi, &r->rdi,
                                  &r->r8, &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15};

    return at[i];
}

static bool push_regs(KvmCpu *k)
{
    struct kvm_regs r = {.rip = k->cpu->rip, .rflags = k->cpu->rflags};

    for (unsigned i = 0; i < GPR_COUNT; i++) {
        *kvm_gpr(&r, i) = k->cpu->gpr[i];
    }
    return ask(k, KVM_SET_REGS, &r);
}

static bool pull_regs(KvmCpu *k)
{
    struct kvm_regs r;

    if (!ask(k, KVM_GET_REGS, &r)) {
        return false;
    }
    for (unsigned i = 0; i < GPR_COUNT; i++) {
        k->cpu->gpr[i] = *kvm_gpr(&r, i);
    }
    k->cpu->rip = k->cpu->next_rip = r.rip;
    k->cpu->rflags = r.rflags | FLAG_FIXED;
    return true;
}

/* -- Segments and control registers --------------------------------------------------------------------- */

static struct kvm_segment segment_to(const Segment *s)
{
    return (struct kvm_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->selector,
        .type = bits_get(s->attr, SEG_TYPE_SHIFT, 4),
        .s = (s->attr & SEG_S) != 0,
        .dpl = seg_dpl(s->attr),
        .present = (s->attr & SEG_P) != 0,
        .avl = (s->attr & SEG_AVL) != 0,
        .l = (s->attr & SEG_L) != 0,
        .db = (s->attr & SEG_DB) != 0,
        .g = (s->attr & SEG_G) != 0,
        .unusable = (s->attr & SEG_NULL) != 0,
    };
}

static Segment segment_from(const struct kvm_segment *s, bool stack)
{
    uint32_t attr = (uint32_t)s->type << SEG_TYPE_SHIFT | (s->s ? SEG_S : 0) |
                    (uint32_t)s->dpl << SEG_DPL_SHIFT | (s->present ? SEG_P : 0) | (s->avl ? SEG_AVL : 0) |
                    (s->l ? SEG_L : 0) | (s->db ? SEG_DB : 0) | (s->g ? SEG_G : 0);

    if (s->unusable) {         /* as cpu-x86/segment.c leaves it behind a null selector */
        return (Segment){.selector = s->selector, .base = s->base,
                         .attr = SEG_NULL | (stack ? (uint32_t)s->dpl << SEG_DPL_SHIFT : 0)};
    }
    return (Segment){.selector = s->selector, .limit = s->limit, .base = s->base, .attr = attr};
}

/* Both forms begin alike; the second ends with the PDPTEs instead of the interrupt bitmap. */
typedef union {
    struct kvm_sregs one;
    struct kvm_sregs2 two;
} Sregs;

_Static_assert(offsetof(struct kvm_sregs, apic_base) == offsetof(struct kvm_sregs2, apic_base), "same head");

static struct kvm_segment *kvm_seg(Sregs *s, unsigned i)
{
    struct kvm_sregs *o = &s->one;
    struct kvm_segment *const at[SEG_ALL_COUNT] = {&o->es, &o->cs, &o->ss, &o->ds, &o->fs, &o->gs, &o->ldt,
                                                   &o->tr};

    return at[i];
}

static bool has_pdptes(const CpuState *cpu)
{
    return (cpu->cr0 & CR0_PG) != 0 && (cpu->cr4 & CR4_PAE) != 0 && (cpu->efer & EFER_LMA) == 0;
}

static bool push_sregs(KvmCpu *k)
{
    const CpuState *cpu = k->cpu;
    Sregs s = {.one = {.cr0 = cpu->cr0, .cr2 = cpu->cr2, .cr3 = cpu->cr3, .cr4 = cpu->cr4, .efer = cpu->efer}};
    uint64_t apic_base;

    for (unsigned i = 0; i < SEG_ALL_COUNT; i++) {
        *kvm_seg(&s, i) = segment_to(&cpu->seg[i]);
    }
    s.one.ss.dpl = cpu->cpl;   /* where KVM keeps the CPL */
    s.one.gdt.base = cpu->gdtr.base;
    s.one.gdt.limit = cpu->gdtr.limit;
    s.one.idt.base = cpu->idtr.base;
    s.one.idt.limit = cpu->idtr.limit;
    s.one.apic_base = UINT64_C(0xfee00800) | (cpu->index == 0 ? BIT(8) : 0);
    if (!k->vm->apics && cpu->bus.apic_msr_read != NULL && cpu->bus.apic_msr_read(cpu->bus.arg, MSR_APIC_BASE, &apic_base)) {
        s.one.apic_base = apic_base & ~BIT64(10); /* x2APIC mode is the business of our APIC alone */
    }
    if (k->vm->apics) {
        s.one.apic_base = k->apic_base;
    } else {
        k->cr8 = cpu->bus.cr8_read != NULL ? cpu->bus.cr8_read(cpu->bus.arg) : 0;
    }
    s.one.cr8 = k->cr8;
    if (!k->vm->host->sregs2) {
        return ask(k, KVM_SET_SREGS, &s.one);
    }
    s.two.flags = 0;
    memset(s.two.pdptrs, 0, sizeof s.two.pdptrs);
    if (has_pdptes(cpu)) {
        s.two.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
        memcpy(s.two.pdptrs, cpu->pdpte, sizeof s.two.pdptrs);
    }
    return ask(k, KVM_SET_SREGS2, &s.two);
}

bool kvm_push_apic_base(KvmCpu *k)
{
    return push_sregs(k);
}

static void load_pdptes(CpuState *cpu)
{
    for (unsigned i = 0; i < 4; i++) {
        cpu->pdpte[i] = phys_read(cpu->mem, guest_phys((cpu->cr3 & 0xffffffe0) + i * 8), 8);
    }
}

static bool pull_sregs(KvmCpu *k)
{
    bool two = k->vm->host->sregs2;
    CpuState *cpu = k->cpu;
    Sregs s;

    memset(&s, 0, sizeof s);
    if (!ask(k, two ? KVM_GET_SREGS2 : KVM_GET_SREGS, &s)) {
        return false;
    }
    for (unsigned i = 0; i < SEG_ALL_COUNT; i++) {
        cpu->seg[i] = segment_from(kvm_seg(&s, i), i == SEG_SS);
    }
    cpu->gdtr = (DescTable){.base = s.one.gdt.base, .limit = s.one.gdt.limit};
    cpu->idtr = (DescTable){.base = s.one.idt.base, .limit = s.one.idt.limit};
    cpu->cr0 = s.one.cr0 | CR0_ET;
    cpu->cr2 = s.one.cr2;
    cpu->cr3 = s.one.cr3;
    cpu->cr4 = s.one.cr4;
    cpu->efer = s.one.efer;
    if (k->vm->apics) {
        k->apic_base = s.one.apic_base;
        k->cr8 = s.one.cr8;
    }
    if (has_pdptes(cpu)) {
        if (two && (s.two.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID) != 0) {
            memcpy(cpu->pdpte, s.two.pdptrs, sizeof cpu->pdpte);
        } else {
            load_pdptes(cpu);
        }
    }
    return true;
}

/* -- FPU and vectors -------------------------------------------------------------------------------------- */

static bool push_xsave(KvmCpu *k)
{
    struct kvm_xcrs x = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = k->cpu->vec.xcr0}}};

    /* XCR0 first: it says which components the guest may have. */
    if (k->has_xcrs && !ask(k, KVM_SET_XCRS, &x)) {
        return false;
    }
    xsave_image_write(&k->cpu->vec, k->xfeatures, k->xsave, k->xsave_size);
    return ask(k, KVM_SET_XSAVE, k->xsave);
}

static bool pull_xsave(KvmCpu *k)
{
    struct kvm_xcrs x = {.nr_xcrs = 0};

    if (!ask(k, k->vm->host->xsave_size > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, k->xsave) ||
        (k->has_xcrs && !ask(k, KVM_GET_XCRS, &x))) {
        return false;
    }
    xsave_image_read(&k->cpu->vec, k->xfeatures, k->xsave);
    for (unsigned i = 0; i < MIN(x.nr_xcrs, KVM_MAX_XCRS); i++) {
        if (x.xcrs[i].xcr == 0) {
            k->cpu->vec.xcr0 = x.xcrs[i].value;
        }
    }
    return true;
}

/* -- MSRs -------------------------------------------------------------------------------------------------- */

static const struct {
    uint32_t msr;
    size_t field;
    enum { LISTED, ALWAYS, UNFILTERED } when;
} msr_rows[] = {
#define KVM_MSR(msr, member, when) {msr, offsetof(CpuState, member), when},
#include "hwaccel/kvm-msrs.def"
#undef KVM_MSR
};

typedef struct {
    struct kvm_msrs head;
    struct kvm_msr_entry entry[G_N_ELEMENTS(msr_rows)];
} MsrBlock;

static uint64_t *msr_field(CpuState *cpu, uint32_t msr)
{
    for (size_t i = 0; i < G_N_ELEMENTS(msr_rows); i++) {
        if (msr_rows[i].msr == msr) {
            return (uint64_t *)((uint8_t *)cpu + msr_rows[i].field);
        }
    }
    g_assert_not_reached();
}

static void fill(KvmCpu *k, MsrBlock *b)
{
    memset(b, 0, sizeof *b);
    b->head.nmsrs = k->msrs->len;
    for (unsigned i = 0; i < k->msrs->len; i++) {
        b->entry[i].index = g_array_index(k->msrs, uint32_t, i);
        b->entry[i].data = *msr_field(k->cpu, b->entry[i].index);
    }
}

static void refuse(KvmCpu *k, unsigned i)
{
    uint32_t msr = g_array_index(k->msrs, uint32_t, i);

    log_unimp("KVM does not take MSR %#x", msr);
    g_array_append_val(k->refused, msr);
    g_array_remove_index(k->msrs, i);
}

/* KVM stops at the first MSR it does not take: that one is left out from then on, and stays ours. */
static bool transfer_msrs(KvmCpu *k, unsigned long request, MsrBlock *b)
{
    for (;;) {
        int r;

        fill(k, b);
        if (k->msrs->len == 0) {
            return true;
        }
        r = k->vm->ops->request(k->vm->ops, k->fd, request, (uintptr_t)b);
        if (r < 0) {
            return kvm_cpu_failed(k, request, r);
        }
        if ((unsigned)r >= k->msrs->len) {
            return true;
        }
        refuse(k, (unsigned)r);
    }
}

static bool push_msrs(KvmCpu *k)
{
    MsrBlock b;

    return transfer_msrs(k, KVM_SET_MSRS, &b);
}

static bool pull_msrs(KvmCpu *k)
{
    MsrBlock b;

    if (!transfer_msrs(k, KVM_GET_MSRS, &b)) {
        return false;
    }
    for (unsigned i = 0; i < k->msrs->len; i++) {
        *msr_field(k->cpu, b.entry[i].index) = b.entry[i].data;
    }
    return true;
}

/* -- Paravirtual MSRs that are KVM's (kvm_pv_msr); else pv/ has them -- */

typedef struct {
    struct kvm_msrs head;
    struct kvm_msr_entry entry[KVM_PV_MSRS];
} PvBlock;

static void list_pv(const KvmCpu *k, PvBlock *b)
{
    memset(b, 0, sizeof *b);
    for (unsigned i = 0; i < KVM_PV_MSRS && k->cpu->pv.msr_read != NULL; i++) {
        if ((k->vm->pv_msrs >> i & 1) != 0) {
            b->entry[b->head.nmsrs++].index = kvm_pv_msr[i];
        }
    }
}

static bool move_pv(KvmCpu *k, unsigned long request, PvBlock *b)
{
    int r = k->vm->ops->request(k->vm->ops, k->fd, request, (uintptr_t)b);

    return r == (int)b->head.nmsrs || kvm_cpu_failed(k, request, r < 0 ? r : -EINVAL);
}

/* Only what is another value than KVM has: each makes it begin anew. */
static bool push_pv(KvmCpu *k)
{
    PvBlock all, changed = {.head = {.nmsrs = 0}};

    list_pv(k, &all);
    for (unsigned i = 0; i < all.head.nmsrs; i++) {
        uint64_t val = 0;

        k->cpu->pv.msr_read(k->cpu->pv.arg, k->cpu, all.entry[i].index, &val);
        if (val != k->pv[i]) {
            changed.entry[changed.head.nmsrs++] = (struct kvm_msr_entry){.index = all.entry[i].index, .data = val};
            k->pv[i] = val;
        }
    }
    return changed.head.nmsrs == 0 || move_pv(k, KVM_SET_MSRS, &changed);
}

static bool pull_pv(KvmCpu *k)
{
    PvBlock b;

    list_pv(k, &b);
    if (b.head.nmsrs != 0 && !move_pv(k, KVM_GET_MSRS, &b)) {
        return false;
    }
    for (unsigned i = 0; i < b.head.nmsrs; i++) {
        k->pv[i] = b.entry[i].data;
        k->cpu->pv.msr_back(k->cpu->pv.arg, k->cpu, b.entry[i].index, b.entry[i].data);
    }
    return true;
}

/* A KVM without VT-x and SVM takes any offset and uses none.  Then the guest's TSC jumps, and goes on from there
 * under all engines; kvmclock and VMI's counter do not. */
static void take_kvm_offset(CpuState *cpu, int64_t offset)
{
    uint64_t delta = (uint64_t)(offset - cpu->tsc_offset);

    if (delta != 0) {
        log_unimp("KVM does not move the TSC: CPU %u's jumps by %lld", cpu->index, (long long)delta);
        cpu->tsc_offset = offset;
        cpu->tsc_jump += delta;
        if (cpu->pv.tsc_moved != NULL) {
            cpu->pv.tsc_moved(cpu->pv.arg, cpu, delta);
        }
    }
}

/* The guest's TSC is the host's plus tsc_offset everywhere; only this program changes the offset, since
 * the guest's writes exit. */
bool kvm_push_tsc(KvmCpu *k)
{
    int64_t offset = k->cpu->tsc_offset;
    struct kvm_device_attr a = {.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET,
                                .addr = (uintptr_t)&offset};
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } b = {.head = {.nmsrs = 1}, .entry = {.index = MSR_TSC}};

    if (k->tsc_exact) {
        if (!ask(k, KVM_SET_DEVICE_ATTR, &a) || !ask(k, KVM_GET_DEVICE_ATTR, &a)) {
            return false;
        }
        take_kvm_offset(k->cpu, offset);
        return true;
    }
    b.entry.data = cpu_tsc(k->cpu);
    return ask(k, KVM_SET_MSRS, &b);
}

/* -- Debug registers, events --------------------------------------------------------------------------------- */

static bool push_debug(KvmCpu *k)
{
    struct kvm_debugregs d = {.dr6 = k->cpu->dr[6], .dr7 = k->cpu->dr[7]};

    for (unsigned i = 0; i < 4; i++) {
        d.db[i] = k->cpu->dr[i];
    }
    return ask(k, KVM_SET_DEBUGREGS, &d);
}

static bool pull_debug(KvmCpu *k)
{
    struct kvm_debugregs d;

    if (!ask(k, KVM_GET_DEBUGREGS, &d)) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        k->cpu->dr[i] = d.db[i];
    }
    k->cpu->dr[6] = d.dr6;
    k->cpu->dr[7] = d.dr7;
    return true;
}

static bool push_events(KvmCpu *k)
{
    const CpuState *cpu = k->cpu;
    struct kvm_vcpu_events e = {
        .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
        .nmi = {.masked = cpu->nmi_masked},
        .interrupt = {.shadow = !cpu->shadow      ? 0
                                : cpu->shadow_ss ? KVM_X86_SHADOW_INT_MOV_SS
                                                 : KVM_X86_SHADOW_INT_STI},
    };

    return ask(k, KVM_SET_VCPU_EVENTS, &e);
}

static bool pull_events(KvmCpu *k, struct kvm_vcpu_events *e)
{
    CpuState *cpu = k->cpu;

    if (!ask(k, KVM_GET_VCPU_EVENTS, e)) {
        return false;
    }
    cpu->nmi_masked = e->nmi.masked != 0;
    cpu->shadow = e->interrupt.shadow != 0;
    cpu->shadow_ss = (e->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS) != 0;
    return true;
}

/* What KVM had begun to deliver, its gate not yet entered: it is delivered here. */
static void finish_events(CpuState *cpu, const struct kvm_vcpu_events *e)
{
    if (e->nmi.pending != 0) {
        cpu_request(cpu, CPU_REQ_NMI);
    }
    if (e->exception.injected) {
        cpu_deliver(cpu, e->exception.nr, e->exception.nr == EXC_DB ? DELIVER_TRAP : DELIVER_FAULT,
                    e->exception.has_error_code, e->exception.error_code);
    } else if (e->nmi.injected) {
        cpu_deliver(cpu, EXC_NMI, DELIVER_NMI, false, 0);
    } else if (e->interrupt.injected && !e->interrupt.soft) {
        cpu_deliver(cpu, e->interrupt.nr, DELIVER_EXTERNAL, false, 0);
    }
}

/* -- All of it --------------------------------------------------------------------------------------------- */

bool kvm_push(KvmCpu *k)
{
    k->loaded = push_xsave(k) && push_msrs(k) && push_pv(k) && push_sregs(k) && push_regs(k) && push_debug(k) &&
                push_events(k) && kvm_push_tsc(k) && kvm_push_activity(k);
    return k->loaded;
}

bool kvm_pull_registers(KvmCpu *k)
{
    if (!pull_regs(k) || !pull_sregs(k)) {
        return false;
    }
    cpu_update_mode(k->cpu);
    return true;
}

bool kvm_follow_pv(KvmCpu *k)
{
    return push_pv(k);
}

bool kvm_push_registers(KvmCpu *k)
{
    return push_regs(k);
}

/* KVM takes what we answered, and stops at once. */
bool kvm_finish_exit(KvmCpu *k)
{
    while (k->unfinished) {
        int r;

        k->unfinished = false;
        k->run->immediate_exit = 1;
        r = k->vm->ops->request(k->vm->ops, k->fd, KVM_RUN, 0);
        if (r == -EINTR || r == -EAGAIN) {
            break;
        }
        if (r < 0) {
            return kvm_cpu_failed(k, KVM_RUN, r);
        }
        if (k->run->exit_reason == KVM_EXIT_IO || k->run->exit_reason == KVM_EXIT_MMIO ||
            k->run->exit_reason == KVM_EXIT_X86_RDMSR || k->run->exit_reason == KVM_EXIT_X86_WRMSR) {
            kvm_handle_exit(k, kvm_exit_row(k->run)); /* its next piece */
        }
    }
    k->run->immediate_exit = 0;
    return true;
}

bool kvm_pull(KvmCpu *k)
{
    CpuState *cpu = k->cpu;
    struct kvm_vcpu_events events;

    if (!k->loaded) {
        return true;
    }
    if (!kvm_finish_exit(k) || !pull_regs(k) || !pull_sregs(k) || !pull_xsave(k) || !pull_msrs(k) || !pull_pv(k) ||
        !pull_debug(k) || !pull_events(k, &events) || !kvm_pull_activity(k)) {
        return false;
    }
    k->loaded = false;
    /* What this program remembers of the guest's memory is old. */
    cpu_update_mode(cpu);
    tlb_switch(&cpu->mmu.tlb, (cpu->cr4 & CR4_PCIDE) != 0 ? cpu->cr3 & 0xfff : 0, true);
    tlb_flush_all(&cpu->mmu.tlb);
    phys_mem_forget_code(cpu->mem);
    finish_events(cpu, &events);
    return true;
}

/* -- Preparing --------------------------------------------------------------------------------------------- */

static bool listed(const KvmHost *h, uint32_t msr)
{
    for (unsigned i = 0; i < h->n_msrs; i++) {
        if (h->msrs[i] == msr) {
            return true;
        }
    }
    return false;
}

void kvm_sync_prepare(KvmCpu *k)
{
    const KvmHost *h = k->vm->host;
    uint64_t host = 0, offset;
    struct kvm_device_attr a = {.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET,
                                .addr = (uintptr_t)&offset};

    memset(k->pv, 0xff, sizeof k->pv);     /* nothing that it could be: all is set the first time */
    for (size_t i = 0; i < G_N_ELEMENTS(msr_rows); i++) {
        bool here = msr_rows[i].when == UNFILTERED && h->msr_filter;
        if (msr_rows[i].when == ALWAYS || (listed(h, msr_rows[i].msr) && !here)) {
            g_array_append_val(k->msrs, msr_rows[i].msr);
        }
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        host |= (uint64_t)kvm_host_has_cpuid(h, 0xd, 0, bit < 32 ? 0 : 3, bit % 32) << bit;
    }
    k->has_xcrs = cpu_model_has(k->cpu->model, FEAT_XSAVE);
    k->xfeatures = (k->has_xcrs ? xsave_image_components(cpu_model_xcr0(k->cpu->model) & host) : 0) | XCR0_X87 |
                   XCR0_SSE;
    k->xsave_size = MAX(h->xsave_size, sizeof(struct kvm_xsave));
    k->xsave = g_malloc0(k->xsave_size);
    k->tsc_exact = k->vm->ops->request(k->vm->ops, k->fd, KVM_GET_DEVICE_ATTR, (uintptr_t)&a) >= 0;
}
