/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hwaccel/trial.h"

#include "cpu-x86/state.h"
#include "hwaccel/kvm-stats.h"
#include "softmmu/base/bits.h"

#include <errno.h>
#include <gio/gio.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
    MEMORY = 64 << 10, GDT = 0x1000, PML4 = 0x2000, PDPT = 0x3000, PD = 0x4000, CODE = 0x5000, DATA = 0x6000,
    ROUNDS = 1000, INSNS = 4 + 3 * ROUNDS, LIMIT_S = 2, POINT = 7, /* the add */
};

/* xor %eax,%eax; mov $ROUNDS,%ecx; 1: add %ecx,%eax; dec %ecx; jnz 1b; mov %rax,DATA; hlt */
static const uint8_t count_code[] = {0x31, 0xc0, 0xb9, ROUNDS & 0xff, ROUNDS >> 8, 0, 0, 0x01, 0xc8, 0xff, 0xc9, 0x75,
                                     0xfa, 0x48, 0x89, 0x04, 0x25, DATA & 0xff, DATA >> 8, 0, 0, 0xf4};

/* xor %ecx,%ecx; xor %edx,%edx; mov $3,%eax; xsetbv; hlt: XCR0 is 1 before */
static const uint8_t xsetbv_code[] = {0x31, 0xc9, 0x31, 0xd2, 0xb8, 3, 0, 0, 0, 0x0f, 0x01, 0xd1, 0xf4};

typedef struct {
    const uint8_t *code;
    size_t len;
    uint64_t cr4;
} TrialGuest;

static const TrialGuest counting = {count_code, sizeof count_code, CR4_PAE};
static const TrialGuest setting_xcr0 = {xsetbv_code, sizeof xsetbv_code, CR4_PAE | CR4_OSXSAVE};

typedef struct {
    KvmHost *h;
    int vm, cpu;
    uint8_t *memory;
    struct kvm_run *run;
} Trial;

static void lay_out(uint8_t *memory, const TrialGuest *guest)
{
    uint64_t *gdt = (uint64_t *)(memory + GDT);

    gdt[1] = UINT64_C(0x00af9b000000ffff);
    gdt[2] = UINT64_C(0x00cf93000000ffff);
    *(uint64_t *)(memory + PML4) = PDPT | 3;
    *(uint64_t *)(memory + PDPT) = PD | 3;
    *(uint64_t *)(memory + PD) = 0x83;
    memcpy(memory + CODE, guest->code, guest->len);
}

static bool set_registers(Trial *t, uint64_t cr4, GError **error)
{
    const KvmOps *ops = t->h->ops;
    struct kvm_regs regs = {.rip = CODE, .rsp = DATA, .rflags = 2};
    struct kvm_sregs s;
    struct kvm_segment data = {.selector = 16, .limit = UINT32_MAX, .type = 3, .present = 1, .db = 1, .s = 1,
                               .g = 1};

    if (!kvm_do(ops, t->cpu, KVM_GET_SREGS, (uintptr_t)&s, error)) {
        return false;
    }
    s.cs = (struct kvm_segment){.selector = 8, .limit = UINT32_MAX, .type = 11, .present = 1, .s = 1, .l = 1,
                                .g = 1};
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.gdt.base = GDT;
    s.gdt.limit = 23;
    s.cr0 = 0x80000031;
    s.cr3 = PML4;
    s.cr4 = cr4;
    s.efer = 0x500;
    return kvm_do(ops, t->cpu, KVM_SET_CPUID2, (uintptr_t)t->h->cpuid, error) &&
           kvm_do(ops, t->cpu, KVM_SET_SREGS, (uintptr_t)&s, error) &&
           kvm_do(ops, t->cpu, KVM_SET_REGS, (uintptr_t)&regs, error);
}

static bool build(Trial *t, const TrialGuest *guest, GError **error)
{
    const KvmOps *ops = t->h->ops;
    struct kvm_userspace_memory_region r = {.memory_size = MEMORY};

    t->vm = ops->request(ops, t->h->fd, KVM_CREATE_VM, 0);
    if (t->vm < 0) {
        return kvm_fail(error, KVM_CREATE_VM, t->vm);
    }
    if (t->h->set_tss && !kvm_do(ops, t->vm, KVM_SET_TSS_ADDR, 0xfffbd000, error)) {
        return false;
    }
    t->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (t->memory == MAP_FAILED) {
        t->memory = NULL;
        return kvm_fail(error, KVM_SET_USER_MEMORY_REGION, -ENOMEM);
    }
    lay_out(t->memory, guest);
    r.userspace_addr = (uintptr_t)t->memory;
    if (!kvm_do(ops, t->vm, KVM_SET_USER_MEMORY_REGION, (uintptr_t)&r, error)) {
        return false;
    }
    t->cpu = ops->request(ops, t->vm, KVM_CREATE_VCPU, 0);
    if (t->cpu < 0) {
        return kvm_fail(error, KVM_CREATE_VCPU, t->cpu);
    }
    t->run = ops->map(ops, t->cpu, t->h->run_size, 0);
    if (t->run == NULL) {
        return kvm_fail(error, KVM_CREATE_VCPU, -errno);
    }
    return set_registers(t, guest->cr4, error);
}

/* -- Running, with an end ----------------------------------------------------------------------------- */

typedef struct {
    Trial *trial;
    int result;
    bool done;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
} Runner;

static void nothing(int sig)
{
}

static void *run_thread(void *arg)
{
    Runner *r = arg;
    const KvmOps *ops = r->trial->h->ops;
    sigset_t set;
    int result;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 2);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    result = ops->request(ops, r->trial->cpu, KVM_RUN, 0);
    pthread_mutex_lock(&r->mutex);
    r->result = result;
    r->done = true;
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

/* KVM_RUN in a thread of its own, which a signal ends when it takes too long. */
static int run_limited(Trial *t)
{
    Runner r = {.trial = t, .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct sigaction sa = {.sa_handler = nothing};
    struct timespec end;
    pthread_t thread;
    int err = 0;

    sigaction(SIGRTMIN + 2, &sa, NULL);
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += LIMIT_S;
    err = pthread_create(&thread, NULL, run_thread, &r);
    if (err != 0) {
        return -err;
    }
    pthread_mutex_lock(&r.mutex);
    while (!r.done && err == 0) {
        err = pthread_cond_timedwait(&r.cond, &r.mutex, &end);
    }
    while (!r.done) {
        struct timespec soon;
        t->run->immediate_exit = 1;
        pthread_kill(thread, SIGRTMIN + 2);
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_sec += 1;
        pthread_cond_timedwait(&r.cond, &r.mutex, &soon);
    }
    pthread_mutex_unlock(&r.mutex);
    pthread_join(thread, NULL);
    return err == ETIMEDOUT ? -ETIMEDOUT : r.result;
}

static void clear(Trial *t)
{
    const KvmOps *ops = t->h->ops;

    if (t->run != NULL) {
        ops->unmap(ops, t->run, t->h->run_size);
    }
    if (t->cpu >= 0) {
        ops->close(ops, t->cpu);
    }
    if (t->vm >= 0) {
        ops->close(ops, t->vm);
    }
    if (t->memory != NULL) {
        munmap(t->memory, MEMORY);
    }
}

bool kvm_trial_point(KvmHost *h)
{
    Trial t = {.h = h, .vm = -1, .cpu = -1};
    struct kvm_guest_debug d = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
                                .arch.debugreg = {[0] = CODE + POINT, [7] = 0x402}};
    bool stops = build(&t, &counting, NULL) && kvm_do(h->ops, t.cpu, KVM_SET_GUEST_DEBUG, (uintptr_t)&d, NULL) &&
                 run_limited(&t) >= 0 && t.run->exit_reason == KVM_EXIT_DEBUG &&
                 t.run->debug.arch.pc == CODE + POINT;

    clear(&t);
    return stops;
}

bool kvm_trial_loses_xcr0(KvmHost *h)
{
    Trial t = {.h = h, .vm = -1, .cpu = -1};
    struct kvm_xcrs x = {.nr_xcrs = 0};
    bool lost = build(&t, &setting_xcr0, NULL) && run_limited(&t) >= 0 && t.run->exit_reason == KVM_EXIT_HLT &&
                kvm_do(h->ops, t.cpu, KVM_GET_XCRS, (uintptr_t)&x, NULL) && x.nr_xcrs == 1 && x.xcrs[0].value != 3;

    clear(&t);
    return lost;
}

bool kvm_trial(KvmHost *h, TrialResult *result, GError **error)
{
    Trial t = {.h = h, .vm = -1, .cpu = -1};
    bool ok = build(&t, &counting, error);
    uint64_t n = 0;
    int r;

    if (ok) {
        r = run_limited(&t);
        ok = r >= 0 || kvm_fail(error, KVM_RUN, r);
    }
    if (ok) {
        kvm_stat_read(h, t.cpu, "insn_emulation", &n);
        *result = (TrialResult){
            .right = t.run->exit_reason == KVM_EXIT_HLT &&
                     load_le(t.memory + DATA, 8) == (uint64_t)ROUNDS * (ROUNDS + 1) / 2,
            .insns = INSNS,
            .emulated = (unsigned)MIN(n, INSNS),
        };
    }
    clear(&t);
    return ok;
}
