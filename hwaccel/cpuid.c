/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What CPUID says to a guest in KVM, and which features it may have. */
#include "hwaccel/kvm-cpu.h"

#include <string.h>

/* -- Features --------------------------------------------------------------------------------------- */

static bool lists(const KvmHost *h, CpuFeature f)
{
    CpuFeaturePlace p = cpu_feature_place(f);

    return kvm_host_has_cpuid(h, p.leaf, p.subleaf, p.reg, p.bit);
}

static const CpuFeature pv_msr_feature[KVM_PV_MSRS] = {FEAT_KVM_STEAL_TIME, FEAT_KVM_PV_EOI, FEAT_KVM_POLL_CONTROL};
const uint32_t kvm_pv_msr[KVM_PV_MSRS] = {0x4b564d03, 0x4b564d04, 0x4b564d05};

unsigned kvm_pv_msrs(const KvmHost *h, const CpuModel *m)
{
    unsigned set = 0;

    for (unsigned i = 0; i < KVM_PV_MSRS; i++) {
        set |= (unsigned)(cpu_model_is_kvm(m) && cpu_model_has(m, pv_msr_feature[i]) && lists(h, pv_msr_feature[i])) << i;
    }
    return set;
}

bool kvm_hide_paravirtual(KvmCpu *k, GError **error)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = {1}};

    return !k->vm->host->hides_pv || kvm_do(k->vm->ops, k->fd, KVM_ENABLE_CAP, (uintptr_t)&c, error);
}

/* Paravirtual interfaces are this program's own (pv/): those that need no hypercall work, as their MSRs
 * exit.  Hypercalls are KVM's own, and want its local APICs; a CPU that it shows as not running, whose TLB others need
 * not flush, is shown in the area of stolen time.  A KVM without VT-x or SVM has none that come to an end: it executes the
 * instruction itself, which means to put the right vendor's in its place and to have it executed again, by itself. */
static bool offers_paravirtual(const KvmHost *h, bool apics, CpuFeature f)
{
    bool calls = h->msr_filter && apics && h->hardware != NULL && lists(h, f);

    switch (f) {
    case FEAT_KVM_CLOCK: case FEAT_KVM_CLOCK_STABLE: case FEAT_KVM_NOPIODELAY: case FEAT_KVM_STEAL_TIME:
    case FEAT_KVM_PV_EOI: case FEAT_KVM_POLL_CONTROL: case FEAT_KVM_HINT_DEDICATED:
        return h->msr_filter;
    case FEAT_KVM_PV_IPI: case FEAT_KVM_PV_UNHALT: case FEAT_KVM_PV_SCHED_YIELD:
        return calls;
    case FEAT_KVM_PV_TLB_FLUSH:
        return calls && lists(h, FEAT_KVM_STEAL_TIME);
    default:
        return false;
    }
}

bool kvm_offers(KvmHost *h, bool apics, CpuFeature f)
{
    CpuFeaturePlace p = cpu_feature_place(f);

    if (p.leaf == 0x40000001) {
        return offers_paravirtual(h, apics, f);
    }
    switch (f) {
    case FEAT_HYPERVISOR: case FEAT_APIC:
        return true;
    case FEAT_X2APIC:
        return h->msr_exits;   /* the APIC is ours */
    case FEAT_TSC_DEADLINE:
        return h->msr_filter;
    case FEAT_XSAVE: case FEAT_XSAVEOPT: case FEAT_XSAVEC: case FEAT_XSAVES: case FEAT_XGETBV1:
        return lists(h, f) && kvm_host_learns_of_xsetbv(h);
    default:                   /* instructions that need nothing but the processor run anyway */
        return p.host_executes || lists(h, f);
    }
}

/* -- Leaves ----------------------------------------------------------------------------------------- */

enum { ENTRIES_MAX = 128 };

static void add(KvmCpu *k, struct kvm_cpuid2 *c, uint32_t leaf, uint32_t subleaf, bool indexed)
{
    struct kvm_cpuid_entry2 *e = &c->entries[c->nent];
    uint32_t r[4];

    if (c->nent == ENTRIES_MAX) {
        return;
    }
    cpu_cpuid(k->cpu, leaf, subleaf, r);
    if (leaf == 0x80000008 && !cpu_model_has(k->cpu->model, FEAT_LM)) {
        r[0] &= ~0xff00u;      /* linear addresses of 32 bits: KVM takes 48, 57 or no word about them */
    }
    *e = (struct kvm_cpuid_entry2){.function = leaf, .index = subleaf,
                                   .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
                                   .eax = r[0], .ebx = r[1], .ecx = r[2], .edx = r[3]};
    c->nent++;
}

/* How many subleaves a leaf has; 0: the subleaf does not matter. */
static unsigned subleaves(uint32_t leaf)
{
    switch (leaf) {
    case 4: case 0x8000001d: return 5;
    case 7: return 3;
    case 0xb: case 0x1f: return 3;
    case 0xd: return 32;
    default: return 0;
    }
}

static void add_range(KvmCpu *k, struct kvm_cpuid2 *c, uint32_t first)
{
    uint32_t r[4];

    cpu_cpuid(k->cpu, first, 0, r);
    for (uint32_t leaf = first; leaf <= r[0] && leaf - first < 0x40; leaf++) {
        unsigned n = subleaves(leaf);
        if (n == 0) {
            add(k, c, leaf, 0, false);
        }
        for (unsigned i = 0; i < n; i++) {
            add(k, c, leaf, i, true);
        }
    }
}

bool kvm_set_cpuid(KvmCpu *k, GError **error)
{
    g_autofree struct kvm_cpuid2 *c = g_malloc0(sizeof *c + ENTRIES_MAX * sizeof c->entries[0]);

    add_range(k, c, 0);
    if (cpu_model_has(k->cpu->model, FEAT_HYPERVISOR)) {
        add_range(k, c, 0x40000000);
    }
    add_range(k, c, 0x80000000);
    return kvm_do(k->vm->ops, k->fd, KVM_SET_CPUID2, (uintptr_t)c, error);
}
