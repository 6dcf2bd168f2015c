/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine on this host's KVM, also a partial one (doc/KVM.md): the state's way there and back, and small
 * guests in every mode, compared with the interpreter.  Skipped where /dev/kvm does not open. */
#include "hwaccel/engine.h"
#include "hwaccel/kvm-cpu.h"
#include "tests/hwaccel/random-state.h"
#include "tests/suite.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

/* What every KVM has. */
#define MODEL "qemu64,kvm=off,-x2apic,-tsc-deadline"
/* ...and what this one may have. */
#define WIDE_MODEL "max,kvm=off,-x2apic,-tsc-deadline"

/* Of a named model, what this KVM offers.  (A KVM on VT-x or SVM takes no CR4 that the model has not.) */
static void init_model(GuestCpu *g, GuestMode mode, const char *model)
{
    g_autoptr(GString) dropped = g_string_new(NULL);

    guest_cpu_init_model(g, mode, model);
    ck_assert(kvm_engine.restrict_model(g->model, NULL, dropped, NULL));
    g->cpu->vec.xcr0 = cpu_model_xcr0(g->model);
    g->cpu->cr4 &= cpu_model_has(g->model, FEAT_XSAVE) ? UINT64_MAX : ~(uint64_t)CR4_OSXSAVE;
    cpu_update_mode(g->cpu);
}

static void init(GuestCpu *g, GuestMode mode)
{
    init_model(g, mode, MODEL);
}

static KvmCpu *attach(GuestCpu *g)
{
    GError *error = NULL;

    g->cpu->engine = &kvm_engine;
    ck_assert_msg(kvm_engine.attach(g->cpu, &error), "%s", error != NULL ? error->message : "");
    return g->cpu->engine_data;
}

static void detach(GuestCpu *g)
{
    kvm_engine.detach(g->cpu);
    g->cpu->engine = &interp_engine;
    guest_cpu_clear(g);
}

static const struct {
    uint32_t msr;
    size_t field;
} msr_rows[] = {
#define KVM_MSR(msr, member, when) {msr, offsetof(CpuState, member)},
#include "hwaccel/kvm-msrs.def"
#undef KVM_MSR
};

/* -- There and back ----------------------------------------------------------------------------------- */

/* MSRs that this KVM does not keep stay in the CpuState, where spoiling them would be for good. */
static void unspoil_msrs(KvmCpu *k, const CpuState *before)
{
    for (size_t i = 0; i < G_N_ELEMENTS(msr_rows); i++) {
        bool kept = false;
        for (unsigned n = 0; n < k->msrs->len; n++) {
            kept |= g_array_index(k->msrs, uint32_t, n) == msr_rows[i].msr;
        }
        if (!kept) {
            memcpy((uint8_t *)k->cpu + msr_rows[i].field, (const uint8_t *)before + msr_rows[i].field, 8);
        }
    }
}

START_TEST(the_state_goes_there_and_comes_back)
{
    for (unsigned seed = 0; seed < 10; seed++) {
        GuestCpu g;
        KvmCpu *k;
        CpuState *before = aligned_alloc(64, sizeof *before);
        g_autofree char *differs = NULL;

        init(&g, (GuestMode)_i);
        random_state(&g, seed);
        k = attach(&g);
        ck_assert_msg(kvm_push(k), "%s", k->why);
        *before = *g.cpu;      /* the TSC may have jumped */
        spoil_state(&g);
        unspoil_msrs(k, before);
        g.cpu->tsc_offset = before->tsc_offset;
        ck_assert_msg(kvm_pull(k), "%s", k->why);
        if (g_strcmp0(k->vm->host->hardware, "SVM") == 0 && before->shadow) { /* which has but one shadow, shown as both */
            before->shadow_ss = g.cpu->shadow_ss;
        }
        differs = compare_states(before, g.cpu, k->xfeatures);
        ck_assert_msg(differs[0] == '\0', "seed %u, mode %d: %s", seed, _i, differs);
        free(before);
        detach(&g);
    }
}
END_TEST

static bool keeps_msr(const KvmCpu *k, uint32_t msr)
{
    for (unsigned n = 0; n < k->msrs->len; n++) {
        if (g_array_index(k->msrs, uint32_t, n) == msr) {
            return true;
        }
    }
    return msr == 0;
}

/* Every KVM swallows DEBUGCTL.LBR where it has no branch records to show; SVM has one shadow, shown as both. */
static bool may_differ(const KvmCpu *k, const StateField *f)
{
    return f->msr == 0x1d9 ||
           (f->off == offsetof(CpuState, shadow) && g_strcmp0(k->vm->host->hardware, "SVM") == 0);
}

/* Another value goes to KVM, and that of before is here meanwhile.  NULL: it came back, and all else is as it was. */
static char *field_problem(KvmCpu *k, const StateField *f, CpuState *before)
{
    CpuState *cpu = k->cpu;
    uint64_t old = state_field_get(cpu, f), got;
    g_autofree char *differs = NULL;

    state_field_set(cpu, f, f->other);
    *before = *cpu;
    if (!kvm_push(k)) {
        return g_strdup_printf("%s: %s", f->name, k->why);
    }
    if (keeps_msr(k, f->msr)) {
        state_field_set(cpu, f, old);
    }
    if (!kvm_pull(k)) {
        return g_strdup_printf("%s: %s", f->name, k->why);
    }
    got = state_field_get(cpu, f);
    before->mode = cpu->mode;      /* follow */
    before->cpl = cpu->cpl;
    before->tsc_offset = cpu->tsc_offset;
    differs = compare_states(before, cpu, k->xfeatures);
    if (got == f->other && differs[0] == '\0') {
        return NULL;
    }
    return g_strdup_printf("%s: %#llx instead of %#llx; %s", f->name, (unsigned long long)got, (unsigned long long)f->other,
                           differs);
}

/* In a mode: with a model that every KVM runs, and with all that this one offers. */
START_TEST(each_field_goes_there_and_comes_back)
{
    static const GuestMode modes[] = {GUEST_REAL16, GUEST_PROT32, GUEST_LONG64};
    CpuState *before = aligned_alloc(64, sizeof *before);
    StateField f;
    unsigned n = 0;
    GuestCpu g;
    KvmCpu *k;

    init_model(&g, modes[_i / 2], _i % 2 == 0 ? MODEL : WIDE_MODEL);
    k = attach(&g);
    for (unsigned i = 0; state_field(&g, k->xfeatures, i, &f); i++) {
        for (unsigned turn = 0; turn < 2; turn++) {    /* there, and back to what it was */
            g_autofree char *problem = NULL;

            ck_assert(state_field(&g, k->xfeatures, i, &f));
            problem = field_problem(k, &f, before);
            ck_assert_msg(problem == NULL || may_differ(k, &f), "%s", problem);
            n++;
        }
    }
    printf("%u values went there and came back, XSAVE components %#llx\n", n, (unsigned long long)k->xfeatures);
    ck_assert_uint_gt(n, 300);
    free(before);
    detach(&g);
}
END_TEST

/* -- Guests --------------------------------------------------------------------------------------------- */

/* Each ends with HLT; the bytes mean the same in the modes that run them. */
typedef struct {
    GuestMode mode;
    const char *code;
    size_t len;
    CpuFeature need;           /* it runs where KVM offers this; FEAT_COUNT: everywhere */
} Program;

#define CODE(mode, bytes) {mode, bytes, sizeof bytes - 1, FEAT_COUNT}
#define CODE_WITH(feature, mode, bytes) {mode, bytes, sizeof bytes - 1, FEAT_##feature}
static const Program programs[] = {
    /* mov $300,%cx; 1: add %cx,%ax; rol $3,%ax; loop 1b; mov %ax,0xa000; hlt */
    CODE(GUEST_REAL16, "\xb9\x2c\x01\x01\xc8\xc1\xc0\x03\xe2\xf9\xa3\x00\xa0\xf4"),
    /* push %ax; push %dx; mov $0x1234,%ax; mov $7,%cx; mul %cx; pop %bx; pop %si; mov %dx,0xa002; cmp %ax,%ax; hlt (flags that
     * MUL leaves undefined are another's on an emulated processor) */
    CODE(GUEST_REAL16, "\x50\x52\xb8\x34\x12\xb9\x07\x00\xf7\xe1\x5b\x5e\x89\x16\x02\xa0\x39\xc0\xf4"),
    /* mov $0x8f,%al; out %al,$0x70; in $0x71,%al; hlt: ports that nobody answers */
    CODE(GUEST_REAL16, "\xb0\x8f\xe6\x70\xe4\x71\xf4"),
    /* mov $300,%ecx; 1: add %ecx,%eax; rol $3,%eax; loop 1b; mov %eax,0xa000; hlt */
    CODE(GUEST_PROT32, "\xb9\x2c\x01\x00\x00\x01\xc8\xc1\xc0\x03\xe2\xf9\xa3\x00\xa0\x00\x00\xf4"),
    /* mov %cr0,%eax; or $2,%eax; mov %eax,%cr0; mov %cr0,%ebx; lea 5(%eax,%ebx,4),%esi; hlt */
    CODE(GUEST_PROT32, "\x0f\x20\xc0\x83\xc8\x02\x0f\x22\xc0\x0f\x20\xc3\x8d\x74\x98\x05\xf4"),
    /* the loop with 64-bit registers; mov %rax,0xa000(,1); hlt */
    CODE(GUEST_LONG64, "\xb9\x2c\x01\x00\x00\x48\x01\xc8\x48\xc1\xc0\x07\xe2\xf7\x48\x89\x04\x25\x00\xa0\x00\x00\xf4"),
    /* mov $0xc0000102,%ecx; mov $5,%eax; xor %edx,%edx; wrmsr; rdmsr; mov %eax,%ebx; hlt */
    CODE(GUEST_LONG64, "\xb9\x02\x01\x00\xc0\xb8\x05\x00\x00\x00\x31\xd2\x0f\x30\x0f\x32\x89\xc3\xf4"),
    /* mov $0x3b,%ecx; mov $0x5000,%eax; xor %edx,%edx; wrmsr; rdmsr; mov %eax,%ebx; hlt: the TSC's adjustment */
    CODE_WITH(TSC_ADJUST, GUEST_LONG64, "\xb9\x3b\x00\x00\x00\xb8\x00\x50\x00\x00\x31\xd2\x0f\x30\x0f\x32\x89\xc3\xf4"),
    /* mov $0x179,%ecx; rdmsr; mov %eax,%ebx; mov $0x404,%ecx; or $-1,%eax; or $-1,%edx; wrmsr; xor %eax,%eax; rdmsr; hlt:
     * machine checks */
    CODE_WITH(MCA, GUEST_LONG64, "\xb9\x79\x01\x00\x00\x0f\x32\x89\xc3\xb9\x04\x04\x00\x00\x83\xc8\xff\x83\xca\xff\x0f\x30"
                       "\x31\xc0\x0f\x32\xf4"),
    /* xor %ecx,%ecx; xor %edx,%edx; mov $3,%eax; xsetbv; out %al,$0x80; xgetbv; mov %eax,%ebx; mov $0xd,%eax; cpuid; hlt: what KVM
     * learned of XCR0 is there behind an exit, and CPUID follows it */
    CODE_WITH(XSAVE, GUEST_LONG64, "\x31\xc9\x31\xd2\xb8\x03\x00\x00\x00\x0f\x01\xd1\xe6\x80\x0f\x01\xd0\x89\xc3"
                                   "\xb8\x0d\x00\x00\x00\x0f\xa2\xf4"),
    /* mov $0x7000,%edi; mov $16,%ecx; mov $0xab,%al; rep stosb; mov 0x7008,%rbx; hlt */
    CODE(GUEST_LONG64, "\xbf\x00\x70\x00\x00\xb9\x10\x00\x00\x00\xb0\xab\xf3\xaa\x48\x8b\x1c\x25\x08\x70\x00\x00\xf4"),
};

static CpuExit run(GuestCpu *g, const EngineClass *engine, const Program *p)
{
    CpuExit exit;

    init_model(g, p->mode, p->need == FEAT_COUNT ? MODEL : WIDE_MODEL);
    if (p->need != FEAT_COUNT && !cpu_model_has(g->model, p->need)) {
        return CPU_EXIT_FAILED;
    }
    guest_code(g, (const uint8_t *)p->code, p->len);
    if (engine == &kvm_engine) {
        attach(g);
    }
    do {
        exit = engine->run(g->cpu, 1 << 20);
    } while (exit == CPU_EXIT_BUDGET || exit == CPU_EXIT_REQUEST);
    cpu_sync(g->cpu);
    return exit;
}

START_TEST(guests_end_as_interpreted)
{
    const Program *p = &programs[_i];
    GuestCpu a, b;
    g_autofree char *differs = NULL;

    if (run(&a, &interp_engine, p) == CPU_EXIT_FAILED) {
        printf("program %d: this KVM does not offer %s\n", _i, cpu_feature_name(p->need));
        guest_cpu_clear(&a);
        return;
    }
    ck_assert_int_eq(a.cpu->activity, CPU_HALTED);
    ck_assert_int_eq(run(&b, &kvm_engine, p), CPU_EXIT_HALT);
    b.cpu->tsc_offset = a.cpu->tsc_offset;
    ck_assert_int_eq(memcmp(a.cpu->msr_mce_bank, b.cpu->msr_mce_bank, sizeof a.cpu->msr_mce_bank), 0);
    differs = compare_states(a.cpu, b.cpu, 3);
    ck_assert_str_eq(differs, "");
    ck_assert_int_eq(memcmp(guest_ram(&a, 0x6000), guest_ram(&b, 0x6000), 0x6000), 0);
    detach(&b);
    guest_cpu_clear(&a);
}
END_TEST

/* An instruction that no KVM emulates from memory that is not there to it: both engines in one program. */
START_TEST(code_outside_ram_is_interpreted)
{
    GuestCpu g;
    PhysRegion *window;
    KvmCpu *k;
    CpuExit exit;
    static const uint8_t code[] = {0xb8, 7, 0, 0, 0, 0x83, 0xc0, 3, 0xf4}; /* mov $7,%eax; add $3,%eax; hlt */
    extern const BusOps code_ops;

    init(&g, GUEST_PROT32);
    lock_take(&g.lock);
    window = phys_region_mmio(g.mem, 0x2000000, 0x1000, &code_ops, (void *)code, 1, "code");
    lock_release(&g.lock);
    ck_assert_ptr_nonnull(window);
    g.cpu->rip = 0x2000000;
    k = attach(&g);
    do {
        exit = kvm_engine.run(g.cpu, 1 << 20);
    } while (exit == CPU_EXIT_BUDGET || exit == CPU_EXIT_REQUEST);
    cpu_sync(g.cpu);
    ck_assert_int_eq(exit, CPU_EXIT_HALT);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 10);
    ck_assert_uint_gt(k->phases.turns[KVM_TURN_FAILED].insns, 0);
    detach(&g);
}
END_TEST

static uint64_t code_read(void *arg, uint64_t off, unsigned size)
{
    uint8_t bytes[16] = {0};

    memcpy(bytes, arg, 9);
    return off < 9 ? load_le(bytes + off, 1) : 0x90;
}

static void code_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
}

extern const BusOps code_ops;
const BusOps code_ops = {code_read, code_write, 1};

/* -- Writes that wait, written pages ------------------------------------------------------------------------ */

typedef struct {
    unsigned n;
    uint64_t sum;
} Told;

static uint64_t told_read(void *arg, uint64_t off, unsigned size)
{
    return ((Told *)arg)->n;
}

static void told_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    ((Told *)arg)->n++;
    ((Told *)arg)->sum = ((Told *)arg)->sum * 3 + val;
}

static const BusOps told_ops = {told_read, told_write, 4, .lazy_writes = 0x800};

static CpuExit run_to_the_end(GuestCpu *g)
{
    CpuExit exit;

    do {
        exit = kvm_engine.run(g->cpu, 1 << 20);
    } while (exit == CPU_EXIT_BUDGET || exit == CPU_EXIT_REQUEST);
    cpu_sync(g->cpu);
    return exit;
}

/* mov $0x2000000,%edi; mov $20,%ecx; 1: mov %ecx,(%edi); loop 1b; mov 0x900(%edi),%eax; hlt */
static const uint8_t writes_and_reads[] = {0xbf, 0, 0, 0, 2, 0xb9, 20, 0, 0, 0, 0x89, 0x0f, 0xe2, 0xfc,
                                           0x8b, 0x87, 0, 9, 0, 0, 0xf4};

/* 0: each exits; 1: they wait, where this KVM has that. */
START_TEST(writes_to_devices_may_wait)
{
    const KvmConfig config = {.coalesced = _i == 1};
    Told told = {0};
    GuestCpu g;
    KvmCpu *k;

    init(&g, GUEST_PROT32);
    lock_take(&g.lock);
    phys_region_mmio(g.mem, 0x2000000, 0x1000, &told_ops, &told, 1, "told");
    lock_release(&g.lock);
    guest_code(&g, writes_and_reads, sizeof writes_and_reads);
    g.cpu->engine_config = &config;
    k = attach(&g);
    ck_assert_int_eq(run_to_the_end(&g), CPU_EXIT_HALT);
    ck_assert_uint_eq(told.n, 20);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 20);
    printf("%u exits for memory of devices, %u writes waited\n", (unsigned)k->exits[KVM_ROW_MMIO].n,
           (unsigned)k->vm->lazy_writes);
    ck_assert(_i == 0 || k->vm->lazy == NULL || k->vm->lazy_writes >= 19);
    detach(&g);
}
END_TEST

/* mov $0x10000,%edi; 1: mov %edi,(%edi); add $0x2000,%edi; cmp $0x50000,%edi; jb 1b; hlt */
static const uint8_t writes_pages[] = {0xbf, 0, 0, 1, 0, 0x89, 0x3f, 0x81, 0xc7, 0, 0x20, 0, 0, 0x81, 0xff, 0, 0, 5, 0,
                                       0x72, 0xf0, 0xf4};

/* 0: bitmaps; 1: rings, where this KVM has them. */
START_TEST(written_pages_are_known)
{
    const KvmConfig config = {.dirty_ring = _i == 1 ? 1024 : 0};
    GuestCpu g;
    KvmCpu *k;

    init(&g, GUEST_PROT32);
    for (uint64_t at = 0; at < 0x60000; at += 0x1000) {
        page_flags_set(g.mem, at, PAGE_LOG_DISPLAY);
    }
    guest_code(&g, writes_pages, sizeof writes_pages);
    g.cpu->engine_config = &config;
    k = attach(&g);
    lock_take(&g.lock);
    phys_mem_collect_dirty(g.mem);
    lock_release(&g.lock);
    for (uint64_t at = 0; at < 0x60000; at += 0x1000) {
        phys_mem_test_clear_dirty(g.mem, at, PAGE_DIRTY_DISPLAY);
    }
    ck_assert_int_eq(run_to_the_end(&g), CPU_EXIT_HALT);
    lock_take(&g.lock);
    phys_mem_collect_dirty(g.mem);
    lock_release(&g.lock);
    for (uint64_t at = 0x10000; at < 0x60000; at += 0x1000) {
        ck_assert_msg(phys_mem_test_clear_dirty(g.mem, at, PAGE_DIRTY_DISPLAY) == (at < 0x50000 && at % 0x2000 == 0),
                      "page %#x", (unsigned)at);
    }
    printf("rings: %s, %u pages\n", k->vm->dirty_ring != 0 ? "yes" : "no", (unsigned)k->vm->dirty_read);
    ck_assert(k->vm->dirty_ring == 0 || k->vm->dirty_read >= 32);
    detach(&g);
}
END_TEST

/* The engine asks for the APIC base first, then the guest. */
static bool msr_and_interrupt(void *arg, uint32_t msr, uint64_t *val)
{
    GuestCpu *g = arg;
    const KvmCpu *k = g->cpu->engine_data;

    *val = UINT64_C(0xfee00900);
    if (k == NULL || !k->loaded || g->irq >= 0) {
        return true;
    }
    g->irq = 0x41;
    cpu_request(g->cpu, CPU_REQ_INTR);
    return false;
}

static int take_vector(void *arg)
{
    cpu_unrequest(((GuestCpu *)arg)->cpu, CPU_REQ_INTR);
    return ((GuestCpu *)arg)->irq;
}

/* An MSR whose reading is an exception, when an interrupt comes: neither is lost. */
START_TEST(an_interrupt_waits_for_an_exception)
{
    GuestCpu g;

    init(&g, GUEST_LONG64);
    g.cpu->bus.apic_msr_read = msr_and_interrupt;
    g.cpu->bus.irq_ack = take_vector;
    guest_code(&g, (const uint8_t *)"\xfb\xb9\x1b\x00\x00\x00\x0f\x32\xf4", 9);                /* sti; mov $0x1b,%ecx; rdmsr; hlt */
    guest_write(&g, GUEST_HANDLERS + EXC_GP * 16, "\xff\xc3\xfb\x90\xf4", 5);                    /* inc %ebx; sti; nop; hlt */
    guest_write(&g, GUEST_HANDLERS + 0x41 * 16, "\xff\xc6\xf4", 3);                               /* inc %esi; hlt */
    attach(&g);
    do {                                           /* (a KVM without hardware may halt before it sees that it can be interrupted) */
        g.cpu->activity = CPU_RUNNING;
        ck_assert_int_eq(run_to_the_end(&g), CPU_EXIT_HALT);
    } while ((cpu_requests(g.cpu) & CPU_REQ_INTR) != 0);
    ck_assert_int_eq(g.irq, 0x41);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RBX], 1);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RSI], 1);
    detach(&g);
}
END_TEST

/* (KVM knows linear addresses of 48 and 57 bits.) */
START_TEST(a_model_of_32_bits_is_taken)
{
    GuestCpu g;

    init_model(&g, GUEST_PROT32, "qemu32,kvm=off,-x2apic,-tsc-deadline");
    ck_assert(!cpu_model_has(g.model, FEAT_LM));
    guest_code(&g, (const uint8_t *)"\x40\xf4", 2);     /* inc %eax; hlt */
    attach(&g);
    ck_assert_int_eq(run_to_the_end(&g), CPU_EXIT_HALT);
    ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], 1);
    detach(&g);
}
END_TEST

START_TEST(single_steps_are_single)
{
    GuestCpu g;

    init(&g, GUEST_LONG64);
    guest_code(&g, (const uint8_t *)"\x48\xff\xc0\x48\xff\xc0\x48\xff\xc0\xf4", 10);
    attach(&g);
    for (unsigned i = 1; i <= 3; i++) {
        ck_assert_int_eq(kvm_engine.run(g.cpu, 1), CPU_EXIT_BUDGET);
        ck_assert_uint_eq(g.cpu->gpr[GPR_RAX], i);
    }
    ck_assert_int_eq(kvm_engine.run(g.cpu, 1 << 20), CPU_EXIT_HALT);
    detach(&g);
}
END_TEST

static void on_alarm(int sig) { }

/* mov $11,%eax; vmcall or vmmcall; hlt, in real mode on a CPU of KVM's without us: does it halt within some seconds? */
static bool hypercall_ends(bool amd, unsigned seconds)
{
    enum { LEN = 0x10000, CODE = 0x1000 };
    const uint8_t code[] = {0x66, 0xb8, 11, 0, 0, 0, 0x0f, 0x01, amd ? 0xd9 : 0xc1, 0xf4};
    const struct itimerval when = {.it_value.tv_sec = seconds}, never = {.it_value.tv_sec = 0};
    struct kvm_userspace_memory_region region = {.memory_size = LEN};
    struct kvm_regs regs = {.rip = CODE, .rflags = 2};
    struct kvm_sregs sregs;
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm = ioctl(kvm, KVM_CREATE_VM, 0), cpu = ioctl(vm, KVM_CREATE_VCPU, 0), ended;
    size_t size = (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    struct kvm_run *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
    uint8_t *ram = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert(run != MAP_FAILED && ram != MAP_FAILED);
    memcpy(ram + CODE, code, sizeof code);
    region.userspace_addr = (uintptr_t)ram;
    ck_assert_int_eq(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), 0);
    ck_assert_int_eq(ioctl(cpu, KVM_GET_SREGS, &sregs), 0);
    sregs.cs.base = sregs.cs.selector = 0;
    ck_assert(ioctl(cpu, KVM_SET_SREGS, &sregs) == 0 && ioctl(cpu, KVM_SET_REGS, &regs) == 0);
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL);
    setitimer(ITIMER_REAL, &when, NULL);
    ended = ioctl(cpu, KVM_RUN, 0);
    setitimer(ITIMER_REAL, &never, NULL);
    ended = ended == 0 && run->exit_reason == KVM_EXIT_HLT;
    munmap(run, size);
    munmap(ram, LEN);
    close(cpu);
    close(vm);
    close(kvm);
    return ended;
}

/* A guest that is shown a hypercall may make it: where KVM never comes back from one it is not shown. */
START_TEST(hypercalls_are_offered_where_they_end)
{
    KvmHost *h = kvm_host_open(&kvm_host_ops, NULL);
    bool offered, ends;

    ck_assert_ptr_nonnull(h);
    offered = kvm_offers(h, true, FEAT_KVM_PV_IPI);
    ends = hypercall_ends(h->hardware != NULL && strcmp(h->hardware, "SVM") == 0, offered ? 30 : 1);
    printf("hypercalls: %s, %s\n", offered ? "offered" : "not offered", ends ? "they end" : "they do not end");
    ck_assert(ends || !offered);
    kvm_host_close(h);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("kvm-host");
    TCase *c = tcase_create("kvm-host");

    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, the_state_goes_there_and_comes_back, GUEST_REAL16, GUEST_LONG64 + 1);
    tcase_add_loop_test(c, each_field_goes_there_and_comes_back, 0, 6);
    tcase_add_loop_test(c, guests_end_as_interpreted, 0, (int)G_N_ELEMENTS(programs));
    tcase_add_test(c, code_outside_ram_is_interpreted);
    tcase_add_loop_test(c, writes_to_devices_may_wait, 0, 2);
    tcase_add_loop_test(c, written_pages_are_known, 0, 2);
    tcase_add_test(c, an_interrupt_waits_for_an_exception);
    tcase_add_test(c, a_model_of_32_bits_is_taken);
    tcase_add_test(c, single_steps_are_single);
    tcase_add_test(c, hypercalls_are_offered_where_they_end);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    const char *missing = kvm_engine.missing();
    SRunner *r;
    int bad;

    if (missing != NULL) {
        printf("skipped: %s\n", missing);
        return 77;
    }
    r = srunner_create(make_suite());
    srunner_run_all(r, CK_NORMAL);
    bad = srunner_ntests_failed(r);
    srunner_free(r);
    return bad != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
