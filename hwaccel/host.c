/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hwaccel/host.h"

#include "hwaccel/trial.h"

#include <cpuid.h>
#include <errno.h>
#include <gio/gio.h>
#include <linux/kvm_para.h>
#include <string.h>
#include <unistd.h>

enum { CPUID_ENTRIES = 256, MSR_ENTRIES = 1024, API_VERSION = 12 };

/* -- Asking ----------------------------------------------------------------------------------------- */

static int extension(const KvmHost *h, long cap)
{
    int r = h->ops->request(h->ops, h->fd, KVM_CHECK_EXTENSION, (uintptr_t)cap);

    return MAX(r, 0);
}

static bool ask_cpuid(KvmHost *h, GError **error)
{
    h->cpuid = g_malloc0(sizeof *h->cpuid + CPUID_ENTRIES * sizeof h->cpuid->entries[0]);
    h->cpuid->nent = CPUID_ENTRIES;
    return kvm_do(h->ops, h->fd, KVM_GET_SUPPORTED_CPUID, (uintptr_t)h->cpuid, error);
}

static bool ask_msrs(KvmHost *h, GError **error)
{
    g_autofree struct kvm_msr_list *l = g_malloc0(sizeof *l + MSR_ENTRIES * sizeof l->indices[0]);

    l->nmsrs = MSR_ENTRIES;
    if (!kvm_do(h->ops, h->fd, KVM_GET_MSR_INDEX_LIST, (uintptr_t)l, error)) {
        return false;
    }
    h->n_msrs = MIN(l->nmsrs, MSR_ENTRIES);
    h->msrs = g_memdup2(l->indices, h->n_msrs * sizeof *h->msrs);
    return true;
}

static void ask_extensions(KvmHost *h)
{
    h->readonly_mem = extension(h, KVM_CAP_READONLY_MEM) > 0;
    h->set_tss = extension(h, KVM_CAP_SET_TSS_ADDR) > 0;
    h->set_identity = extension(h, KVM_CAP_SET_IDENTITY_MAP_ADDR) > 0;
    h->user_nmi = extension(h, KVM_CAP_USER_NMI) > 0;
    h->immediate_exit = extension(h, KVM_CAP_IMMEDIATE_EXIT) > 0;
    h->msr_exits = extension(h, KVM_CAP_X86_USER_SPACE_MSR) > 0;
    h->msr_filter = h->msr_exits && extension(h, KVM_CAP_X86_MSR_FILTER) > 0;
    h->sregs2 = extension(h, KVM_CAP_SREGS2) > 0;
    h->stats_fd = extension(h, KVM_CAP_BINARY_STATS_FD) > 0;
    h->guest_debug = extension(h, KVM_CAP_SET_GUEST_DEBUG) > 0;
    h->emulation_exits = extension(h, KVM_CAP_EXIT_ON_EMULATION_FAILURE) > 0;
    h->hypercall_exits = (extension(h, KVM_CAP_EXIT_HYPERCALL) >> KVM_HC_MAP_GPA_RANGE & 1) != 0;
    h->hides_pv = extension(h, KVM_CAP_ENFORCE_PV_FEATURE_CPUID) > 0;
    h->ioeventfd = extension(h, KVM_CAP_IOEVENTFD) > 0 && extension(h, KVM_CAP_IOEVENTFD_ANY_LENGTH) > 0;
    h->irqchip = extension(h, KVM_CAP_IRQCHIP) > 0 && extension(h, KVM_CAP_SIGNAL_MSI) > 0 &&
                 extension(h, KVM_CAP_IRQ_ROUTING) > 0 && extension(h, KVM_CAP_MP_STATE) > 0;
    h->split_irqchip = h->irqchip && extension(h, KVM_CAP_SPLIT_IRQCHIP) > 0;
    h->pit = extension(h, KVM_CAP_PIT2) > 0 && extension(h, KVM_CAP_PIT_STATE2) > 0;
    h->irqfd = extension(h, KVM_CAP_IRQFD) > 0;
    h->lazy_page = (unsigned)extension(h, KVM_CAP_COALESCED_MMIO);
    h->dirty_ring_bytes = (size_t)extension(h, KVM_CAP_DIRTY_LOG_RING);
    h->lazy_ports = extension(h, KVM_CAP_COALESCED_PIO) > 0;
    h->xsave_size = (size_t)extension(h, KVM_CAP_XSAVE2);
}

/* What this engine cannot do without; all are older than Linux 4.13. */
static bool check_extensions(const KvmHost *h, GError **error)
{
    static const struct {
        long cap;
        const char *name;
    } needed[] = {
        {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"}, {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
        {KVM_CAP_XSAVE, "KVM_CAP_XSAVE"}, {KVM_CAP_XCRS, "KVM_CAP_XCRS"},
        {KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS"}, {KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
        {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(needed); i++) {
        if (extension(h, needed[i].cap) == 0) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "the host's KVM is too old: it lacks %s",
                        needed[i].name);
            return false;
        }
    }
    return true;
}

static bool explain_open(int err, GError **error)
{
    const char *hint = "";

    if (err == -ENOENT) {
        hint = ": load the module kvm_intel or kvm_amd, or pass the device into the container";
    } else if (err == -EACCES || err == -EPERM) {
        hint = ": let this user into the group of /dev/kvm";
    } else if (err == -ENODEV || err == -ENXIO) {
        hint = ": virtualisation is off in the firmware, or the module is not loaded";
    }
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(-err), "/dev/kvm: %s%s", g_strerror(-err), hint);
    return false;
}

static bool ask(KvmHost *h, GError **error)
{
    int r;

    h->fd = h->ops->open(h->ops);
    if (h->fd < 0) {
        return explain_open(h->fd, error);
    }
    r = h->ops->request(h->ops, h->fd, KVM_GET_API_VERSION, 0);
    if (r < 0) {
        return kvm_fail(error, KVM_GET_API_VERSION, r);
    }
    if (r != API_VERSION) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "the host's KVM has API version %d, not %d", r,
                    API_VERSION);
        return false;
    }
    if (!check_extensions(h, error)) {
        return false;
    }
    ask_extensions(h);
    r = h->ops->request(h->ops, h->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (r < (int)sizeof(struct kvm_run)) {
        return kvm_fail(error, KVM_GET_VCPU_MMAP_SIZE, r < 0 ? r : -EINVAL);
    }
    h->run_size = (size_t)r;
    h->lazy_page = (h->lazy_page + 1) * 4096 <= h->run_size ? h->lazy_page : 0;
    return ask_cpuid(h, error) && ask_msrs(h, error);
}

/* -- Life ------------------------------------------------------------------------------------------- */

static const char *find_hardware(void)
{
    unsigned a, b, c, d;

    if (__get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 5) != 0) {
        return "VT-x";
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d) && (c & 1u << 2) != 0) {
        return "SVM";
    }
    return NULL;
}

static bool find_hypervisor(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 31) != 0;
}

static bool find_nested_paging(void)
{
    static const char *const switches[] = {"/sys/module/kvm_intel/parameters/ept",
                                           "/sys/module/kvm_amd/parameters/npt"};

    for (size_t i = 0; i < G_N_ELEMENTS(switches); i++) {
        g_autofree char *text = NULL;
        if (g_file_get_contents(switches[i], &text, NULL, NULL)) {
            return text[0] == 'Y' || text[0] == '1';
        }
    }
    return false;
}

/* VT-x of the first generation runs no real mode, nor what comes close to it. */
static bool find_emulated_real_mode(const char *hardware)
{
    g_autofree char *text = NULL;

    return hardware == NULL ||
           (g_file_get_contents("/sys/module/kvm_intel/parameters/unrestricted_guest", &text, NULL, NULL) &&
            (text[0] == 'N' || text[0] == '0'));
}

KvmHost *kvm_host_open(const KvmOps *ops, GError **error)
{
    KvmHost *h = g_new0(KvmHost, 1);

    h->ops = ops;
    h->fd = -1;
    h->hardware = ops->hardware != NULL ? ops->hardware : find_hardware();
    h->nested_paging = find_nested_paging();
    h->nested = find_hypervisor();
    h->emulates_real_mode = find_emulated_real_mode(h->hardware);
    if (!ask(h, error)) {
        kvm_host_close(h);
        return NULL;
    }
    return h;
}

void kvm_host_close(KvmHost *h)
{
    if (h != NULL) {
        if (h->fd >= 0) {
            h->ops->close(h->ops, h->fd);
        }
        g_free(h->cpuid);
        g_free(h->msrs);
        g_free(h);
    }
}

bool kvm_host_has_cpuid(const KvmHost *h, uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit)
{
    for (unsigned i = 0; i < h->cpuid->nent; i++) {
        const struct kvm_cpuid_entry2 *e = &h->cpuid->entries[i];
        const uint32_t r[4] = {e->eax, e->ebx, e->ecx, e->edx};

        if (e->function == leaf && (e->index == subleaf || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX))) {
            return (r[reg] >> bit & 1) != 0;
        }
    }
    return false;
}

bool kvm_host_learns_of_xsetbv(KvmHost *h)
{
    if (h->xsetbv == KVM_UNTRIED) {
        bool asked = h->nested && kvm_host_has_cpuid(h, 1, 0, 2, 26); /* XSAVE */
        h->xsetbv = asked && kvm_trial_loses_xcr0(h) ? KVM_FAILS : KVM_WORKS;
    }
    return h->xsetbv == KVM_WORKS;
}

/* -- Does it truly work? ------------------------------------------------------------------------------ */

char *kvm_host_drawback(KvmHost *h)
{
    g_autoptr(GError) error = NULL;
    TrialResult t;

    if (h->hardware == NULL) {
        return g_strdup("the host's processor shows neither VT-x nor SVM, so its KVM emulates guest kernels "
                        "instruction by instruction");
    }
    if (!kvm_trial(h, &t, &error)) {
        return g_strdup(error->message);
    }
    if (!t.right) {
        return g_strdup("the host's KVM did not run a trial guest of a few instructions rightly");
    }
    if (t.emulated > t.insns / 10) {
        return g_strdup_printf("the host's KVM emulates guest kernels: %u of %u instructions of a trial guest",
                               t.emulated, t.insns);
    }
    return NULL;
}
