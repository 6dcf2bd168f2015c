/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine on a KVM made of memory: every error path, the state's way there and back, exits, slots. */
#include "cpu-x86/debug.h"
#include "tests/hwaccel/kvm-bed.h"
#include "tests/suite.h"

#include <errno.h>

static const KvmConfig split = {.irqchip = KVM_IRQCHIP_SPLIT}, all_chips = {.irqchip = KVM_IRQCHIP_ON, .irqfd = true, .coalesced = true, .dirty_ring = 1024};
static const KvmConfig phased = {.phases = true, .ioeventfd = true};

static uint64_t quiet_read(void *arg, uint64_t off, unsigned size) { return 0; }
static void quiet_write(void *arg, uint64_t off, unsigned size, uint64_t val) { }
static const BusOps quiet_ops = {quiet_read, quiet_write, 8, .bells = {.off = 0x1000, .step = 4, .count = 2}, .lazy_writes = 0x1000};

/* -- Failures ----------------------------------------------------------------------------------------- */

/* One port access, then a halt. */
static int guest_of_two_exits(FakeKvm *f)
{
    if (f->entries == 1) {
        f->run->exit_reason = KVM_EXIT_IO;
        f->run->io.direction = KVM_EXIT_IO_IN;
        f->run->io.size = 1;
        f->run->io.port = 0x1234;
        f->run->io.count = 1;
        f->run->io.data_offset = 4096;
    } else {
        f->run->exit_reason = KVM_EXIT_HLT;
    }
    return 0;
}

static void ck_one_line(const char *text, unsigned n)
{
    ck_assert_msg(text != NULL && text[0] != '\0' && strchr(text, '\n') == NULL, "request %u: no clear line", n);
}

/* What devices ask of controllers in the kernel, and a change of the map. */
static void live_with_devices(Bed *b)
{
    const ApicHolder *h = b->board.holder;
    const IrqChipHolder *c = b->board.chip_holder;
    PhysRegion *r;
    IrqChips chips;

    lock_take(&b->g.lock);
    if (h != NULL) {
        h->message(h->arg, 0xfee01000, 0x4041);
        h->set_reg(h->arg, 0, 0x80, 0x50);
        h->reg(h->arg, 0, 0x80);
    }
    if (c != NULL) {
        c->line(c->arg, 2, 1);
        c->fetch(c->arg, IRQ_CHIP_PIT, &chips);
        c->store(c->arg, IRQ_CHIP_PIT, &chips);
    }
    if (b->f.dirty != NULL) {
        b->f.dirty[0].flags = KVM_DIRTY_GFN_F_DIRTY;
    }
    r = phys_region_mmio(b->g.mem, 0xa0000, 0x20000, &quiet_ops, NULL, 1, "quiet");
    phys_mem_collect_dirty(b->g.mem);
    phys_region_enable(b->g.mem, r, false);
    lock_release(&b->g.lock);
}

static bool is_point_nowhere(void *arg, uint64_t rip) { return false; }
static unsigned list_point_nowhere(void *arg, uint64_t *lin, unsigned max) { lin[0] = 0x1234; return 1; }

/* A life with the n-th request failing, which goes to `which`; false when there are fewer requests.  map: the n-th mapping instead. */
static bool live_with_failure(unsigned n, int err, const KvmConfig *config, bool map, unsigned long *which)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    KvmConfig own = config != NULL ? *config : (KvmConfig){.phases = false};
    Bed b = {.f = {.fail_at = 0}};
    GError *error = NULL;
    bool failed;

    bed_init(&b, GUEST_LONG64);
    if (config != NULL) {
        own.context = context;
        bed_add_board(&b, &own);
    }
    page_flags_set(b.g.mem, 0, PAGE_LOG_DISPLAY);
    b.f.big_xsave = config == &phased;
    b.f.guest = guest_of_two_exits;
    b.f.fail_at = map ? 0 : n;
    b.f.fail_map_at = map ? n : 0;
    b.f.fail_with = err;
    b.g.irq = 0x30;
    cpu_request(b.g.cpu, CPU_REQ_INTR | CPU_REQ_NMI);
    b.g.cpu->rflags |= FLAG_IF;
    if (kvm_attach(b.g.cpu, &b.f.ops, &error)) {
        KvmCpu *k = b.g.cpu->engine_data;
        k->vm->host->points = KVM_WORKS;
        b.g.cpu->breakpoint_at = is_point_nowhere;
        b.g.cpu->breakpoints = list_point_nowhere;
        b.g.cpu->breakpoint_epoch = 1;
        kvm_engine.scatter(b.g.cpu);
        live_with_devices(&b);
        CpuExit exit = bed_run(&b);
        b.g.cpu->breakpoint_at = NULL;
        b.g.cpu->breakpoints = NULL;
        if (exit == CPU_EXIT_FAILED) {
            ck_one_line(kvm_engine.why(b.g.cpu), n);
            ck_assert_ptr_nonnull(strstr(kvm_engine.why(b.g.cpu), kvm_request_name(b.f.failed)));
            ck_assert_int_eq(bed_run(&b), CPU_EXIT_FAILED); /* it stays lost */
        } else {
            ck_assert(exit == CPU_EXIT_HALT || b.f.failed == KVM_SET_GUEST_DEBUG);   /* that is interpreted then */
        }
        kvm_engine.sync(b.g.cpu);
        kvm_engine.gather(b.g.cpu);
    } else {
        ck_one_line(error->message, n);
        g_error_free(error);
    }
    failed = map ? b.f.n_mapped >= n : b.f.failed != 0;
    if (which != NULL) {
        *which = b.f.failed;
    }
    bed_clear(&b);
    return failed;
}

static const KvmConfig *const lives[] = {NULL, &split, &all_chips, &phased};

START_TEST(each_request_may_fail)
{
    static const int errors[] = {-EIO, -ENOMEM, -EINVAL};
    unsigned n = 1;

    while (live_with_failure(n, errors[_i % 3], lives[_i / 3], false, NULL)) {
        n++;
    }
    ck_assert_uint_gt(n, 50);
}
END_TEST

START_TEST(each_mapping_may_fail)
{
    unsigned n = 1;

    while (live_with_failure(n, 0, lives[_i], true, NULL)) {
        n++;
    }
    ck_assert_uint_gt(n, _i == 2 ? 2 : 1);         /* with rings of written pages there are two */
}
END_TEST

/* No request of this folder is left out above. */
START_TEST(every_request_has_failed)
{
    static const unsigned long requests[] = {
#define KVM_REQUEST(request, what) request,
#include "hwaccel/kvm-requests.def"
#undef KVM_REQUEST
    };
    g_autoptr(GString) never = g_string_new(NULL);
    bool seen[G_N_ELEMENTS(requests)] = {false};

    for (unsigned life = 0; life < G_N_ELEMENTS(lives); life++) {
        unsigned long which = 0;
        for (unsigned n = 1; live_with_failure(n, -EIO, lives[life], false, &which); n++) {
            for (size_t i = 0; i < G_N_ELEMENTS(requests); i++) {
                seen[i] |= requests[i] == which;
            }
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(requests); i++) {
        if (!seen[i]) {
            g_string_append_printf(never, " %s", kvm_request_name(requests[i]));
        }
    }
    ck_assert_str_eq(never->str, "");
}
END_TEST

START_TEST(opening_explains_what_to_do)
{
    static const struct {
        int err;
        const char *says;
    } rows[] = {{-ENOENT, "load the module"}, {-EACCES, "into the group"}, {-EPERM, "into the group"},
                {-ENODEV, "firmware"}, {-EMFILE, "/dev/kvm"}};
    FakeKvm f;
    GError *error = NULL;

    fake_kvm_init(&f);
    f.open_error = rows[_i].err;
    ck_assert_ptr_null(kvm_host_open(&f.ops, &error));
    ck_assert_msg(strstr(error->message, rows[_i].says) != NULL, "%s", error->message);
    g_error_free(error);
    fake_kvm_clear(&f);
}
END_TEST

START_TEST(an_old_kvm_is_refused_by_name)
{
    FakeKvm f;
    GError *error = NULL;

    fake_kvm_init(&f);
    f.absent = KVM_CAP_XSAVE;
    ck_assert_ptr_null(kvm_host_open(&f.ops, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "KVM_CAP_XSAVE"));
    g_error_free(error);
    ck_assert_uint_eq(f.n_open, 0);
    fake_kvm_clear(&f);
}
END_TEST

/* Extensions that a KVM may lack. */
START_TEST(it_lives_without_extensions)
{
    static const long optional[] = {KVM_CAP_READONLY_MEM, KVM_CAP_SET_TSS_ADDR, KVM_CAP_USER_NMI,
                                    KVM_CAP_X86_USER_SPACE_MSR, KVM_CAP_X86_MSR_FILTER, KVM_CAP_SREGS2,
                                    KVM_CAP_BINARY_STATS_FD, KVM_CAP_EXIT_ON_EMULATION_FAILURE, KVM_CAP_XSAVE2};
    Bed b;

    bed_init_model(&b, GUEST_LONG64, "qemu64,kvm=off,-x2apic,-tsc-deadline");
    b.f.absent = optional[_i];
    bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    kvm_engine.sync(b.g.cpu);
    bed_clear(&b);
}
END_TEST

START_TEST(a_model_that_does_not_fit_is_refused_by_feature)
{
    Bed b;
    GError *error = NULL;

    bed_init_model(&b, GUEST_LONG64, "max");
    ck_assert(!kvm_attach(b.g.cpu, &b.f.ops, &error));
    ck_assert_msg(strstr(error->message, "kvm-pv-ipi") != NULL, "%s", error->message);
    g_error_free(error);
    bed_clear(&b);
}
END_TEST

START_TEST(a_refused_msr_stays_ours)
{
    Bed b;
    KvmCpu *k;

    bed_init(&b, GUEST_LONG64);
    b.f.refused_msr = 0x1a0;
    b.g.cpu->msr_misc_enable = 0x1801;
    k = bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    kvm_engine.sync(b.g.cpu);
    ck_assert_uint_eq(b.g.cpu->msr_misc_enable, 0x1801);
    ck_assert_uint_eq(k->refused->len, 1);
    ck_assert_uint_eq(g_array_index(k->refused, uint32_t, 0), 0x1a0);
    bed_clear(&b);
}
END_TEST

START_TEST(the_trial_fails_cleanly)
{
    for (unsigned n = 1;; n++) {
        FakeKvm f;
        KvmHost *h;
        char *text;
        bool failed;

        fake_kvm_init(&f);
        h = kvm_host_open(&f.ops, NULL);
        ck_assert_ptr_nonnull(h);
        h->hardware = "SVM";
        f.fail_at = f.n_requests + n;
        f.fail_with = -EIO;
        text = kvm_host_drawback(h);
        ck_one_line(text, n); /* at the end: the fake guest stores nothing, so the result is wrong */
        failed = f.failed != 0;
        g_free(text);
        kvm_host_close(h);
        ck_assert_uint_eq(f.n_open, 0);
        ck_assert_uint_eq(f.n_maps, 0);
        fake_kvm_clear(&f);
        if (!failed) {
            ck_assert_uint_gt(n, 6);
            return;
        }
    }
}
END_TEST

/* On a host that is a guest itself KVM may not learn of XSETBV: 0: it does; 1: it does not; 2: no nested host. */
START_TEST(a_guest_whose_xcr0_would_be_lost_has_no_xsave)
{
    unsigned before;
    KvmHost *h;
    Bed b;

    bed_init(&b, GUEST_LONG64);
    b.f.loses_xcr0 = _i == 1;
    h = kvm_host_open(&b.f.ops, NULL);
    ck_assert_ptr_nonnull(h);
    h->nested = _i != 2;
    before = b.f.n_requests;
    for (CpuFeature f = 0; f < FEAT_COUNT; f++) {
        bool of_xsave = f == FEAT_XSAVE || f == FEAT_XSAVEOPT || f == FEAT_XSAVEC || f == FEAT_XSAVES || f == FEAT_XGETBV1;
        ck_assert(!of_xsave || kvm_offers(h, false, f) == (_i != 1));
    }
    ck_assert_int_eq(b.f.n_requests > before, _i != 2);
    before = b.f.n_requests;
    kvm_offers(h, true, FEAT_XSAVE);
    ck_assert_uint_eq(b.f.n_requests, before);     /* tried once */
    kvm_host_close(h);
    bed_clear(&b);
}
END_TEST

START_TEST(the_trial_of_xsetbv_fails_cleanly)
{
    unsigned n = 0;
    bool failed;

    do {
        FakeKvm f;
        KvmHost *h;

        fake_kvm_init(&f);
        f.loses_xcr0 = true;
        h = kvm_host_open(&f.ops, NULL);
        h->nested = true;
        f.fail_at = f.n_requests + ++n;
        f.fail_with = -EIO;
        ck_assert(kvm_host_learns_of_xsetbv(h) == (f.failed != 0)); /* what could not be tried is trusted */
        failed = f.failed != 0;
        kvm_host_close(h);
        ck_assert_uint_eq(f.n_open, 0);
        ck_assert_uint_eq(f.n_maps, 0);
        fake_kvm_clear(&f);
    } while (failed);
    ck_assert_uint_gt(n, 8);
}
END_TEST

/* -- There and back ------------------------------------------------------------------------------------- */

START_TEST(the_state_goes_there_and_comes_back)
{
    for (unsigned seed = 0; seed < 20; seed++) {
        Bed b;
        KvmCpu *k;
        CpuState *before = aligned_alloc(64, sizeof *before);
        g_autofree char *differs = NULL;

        bed_init(&b, (GuestMode)_i);
        random_state(&b.g, seed);
        k = bed_attach(&b);
        *before = *b.g.cpu;
        ck_assert(kvm_push(k));
        spoil_state(&b.g);
        b.g.cpu->tsc_offset = before->tsc_offset;   /* never read back: nobody else changes it */
        ck_assert(kvm_pull(k));
        differs = compare_states(before, b.g.cpu, k->xfeatures);
        ck_assert_str_eq(differs, "");
        ck_assert_int_eq(b.f.tsc_offset, before->tsc_offset);
        free(before);
        bed_clear(&b);
    }
}
END_TEST

/* Each alone, and whole: KVM holds one value, the CpuState another. */
START_TEST(each_field_goes_there_and_comes_back)
{
    CpuState *before = aligned_alloc(64, sizeof *before);
    StateField f;
    unsigned i = 0;
    KvmCpu *k;
    Bed b;

    bed_init(&b, (GuestMode)_i);
    k = bed_attach(&b);
    for (; state_field(&b.g, k->xfeatures, i, &f); i++) {
        for (unsigned turn = 0; turn < 2; turn++) {    /* there, and back to what it was */
            g_autofree char *differs = NULL;
            uint64_t old = state_field_get(b.g.cpu, &f), val;

            ck_assert(state_field(&b.g, k->xfeatures, i, &f));
            val = f.other;
            ck_assert_msg(val != old || f.msr == 0xda0 || f.off == offsetof(CpuState, vec.xcr0), "%s", f.name);
            state_field_set(b.g.cpu, &f, val);
            *before = *b.g.cpu;
            ck_assert(kvm_push(k));
            if (f.msr != 0x3b && f.msr != 0x17a) {     /* which stay here, since they can be filtered */
                state_field_set(b.g.cpu, &f, old);
            }
            ck_assert(kvm_pull(k));
            ck_assert_msg(state_field_get(b.g.cpu, &f) == val, "%s is %#llx, not %#llx", f.name,
                          (unsigned long long)state_field_get(b.g.cpu, &f), (unsigned long long)val);
            before->mode = b.g.cpu->mode;              /* follows */
            before->cpl = b.g.cpu->cpl;
            differs = compare_states(before, b.g.cpu, k->xfeatures);
            ck_assert_msg(differs[0] == '\0', "%s: %s", f.name, differs);
        }
    }
    ck_assert_uint_gt(i, 200);
    free(before);
    bed_clear(&b);
}
END_TEST

/* 0: KVM tells the PDPTEs; 1: they are read from memory again. */
START_TEST(pdptes_go_there_and_come_back)
{
    static const uint64_t in_memory[4] = {0x1001, 0x2001, 0, 0x4001};
    Bed b;
    KvmCpu *k;

    bed_init(&b, GUEST_PROT32);
    b.f.absent = _i == 1 ? KVM_CAP_SREGS2 : -1;
    k = bed_attach(&b);
    b.g.cpu->cr3 = 0x5020;
    b.g.cpu->cr4 |= CR4_PAE;
    b.g.cpu->cr0 |= CR0_PG;
    for (unsigned i = 0; i < 4; i++) {
        b.g.cpu->pdpte[i] = 0x10001 + i * 0x1000;
        guest_write(&b.g, 0x5020 + i * 8, &in_memory[i], 8);
    }
    ck_assert(kvm_push(k));
    memset(b.g.cpu->pdpte, 0xff, sizeof b.g.cpu->pdpte);
    ck_assert(kvm_pull(k));
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(b.g.cpu->pdpte[i], _i == 1 ? in_memory[i] : 0x10001 + i * 0x1000);
    }
    bed_clear(&b);
}
END_TEST

START_TEST(a_comparison_sees_every_spoilt_field)
{
    Bed b;
    CpuState *before = aligned_alloc(64, sizeof *before);
    g_autofree char *differs = NULL;

    bed_init(&b, GUEST_LONG64);
    random_state(&b.g, 2);
    *before = *b.g.cpu;
    spoil_state(&b.g);
    differs = compare_states(before, b.g.cpu, cpu_model_xcr0(b.g.model));
    for (const char *const *name = (const char *const[]){"gpr[3]", "rip", "cr0", "cr3", "seg[3]", "seg[7]",
             "gdtr.base", "idtr.limit", "dr[2]", "msr_lstar", "zmm[4]", "st[5]", "shadow", NULL};
         *name != NULL; name++) {
        ck_assert_msg(strstr(differs, *name) != NULL, "%s is not in %s", *name, differs);
    }
    free(before);
    bed_clear(&b);
}
END_TEST

START_TEST(an_interrupt_half_delivered_is_delivered_at_the_pull)
{
    Bed b;
    KvmCpu *k;

    bed_init(&b, GUEST_LONG64);
    b.g.cpu->rip = GUEST_CODE;
    k = bed_attach(&b);
    ck_assert(kvm_push(k));
    if (_i == 0) {
        b.f.events.interrupt.injected = 1;
        b.f.events.interrupt.nr = 0x41;
    } else if (_i == 1) {
        b.f.events.exception.injected = 1;
        b.f.events.exception.nr = EXC_GP;
        b.f.events.exception.has_error_code = 1;
    } else {
        b.f.events.nmi.injected = 1;
    }
    ck_assert(kvm_pull(k));
    ck_assert_int_eq(guest_vector(&b.g), _i == 0 ? 0x41 : _i == 1 ? EXC_GP : EXC_NMI);
    ck_assert(b.g.cpu->nmi_masked == (_i == 2));
    bed_clear(&b);
}
END_TEST

/* -- Exits -------------------------------------------------------------------------------------------------- */

/* A device of four ports and a page that remembers. */
typedef struct {
    uint64_t last, off;
    unsigned size, writes, reads;
} Memo;

static uint64_t memo_read(void *arg, uint64_t off, unsigned size)
{
    Memo *m = arg;

    m->reads++;
    m->off = off;
    m->size = size;
    return UINT64_C(0x8877665544332211) + m->reads - 1;
}

static void memo_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Memo *m = arg;

    m->writes++;
    m->off = off;
    m->size = size;
    m->last = val;
}

static const BusOps memo_ops = {memo_read, memo_write, 8};
static const BusOps memo_port_ops = {memo_read, memo_write, 4};

static int string_output(FakeKvm *f)
{
    struct kvm_run *run = f->run;

    if (f->entries > 1) {
        run->exit_reason = KVM_EXIT_HLT;
        return 0;
    }
    run->exit_reason = KVM_EXIT_IO;
    run->io.direction = KVM_EXIT_IO_OUT;
    run->io.size = 2;
    run->io.port = 0x502;
    run->io.count = 3;
    run->io.data_offset = 4096;
    memcpy((uint8_t *)run + 4096, "\1\2\3\4\5\6", 6);
    return 0;
}

static int string_input(FakeKvm *f)
{
    string_output(f);
    f->run->io.direction = KVM_EXIT_IO_IN;
    return 0;
}

START_TEST(string_port_accesses_move_all_their_pieces)
{
    Bed b;
    Memo m = {0};

    bed_init(&b, GUEST_LONG64);
    lock_take(&b.g.lock);
    port_map(b.g.ports, 0x500, 4, &memo_port_ops, &m, "memo");
    lock_release(&b.g.lock);
    b.f.guest = _i == 0 ? string_output : string_input;
    bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    if (_i == 0) {
        ck_assert_uint_eq(m.writes, 3);
        ck_assert_uint_eq(m.last, 0x0605);
        ck_assert_uint_eq(m.size, 2);
    } else {
        ck_assert_uint_eq(m.reads, 3);
        ck_assert_int_eq(memcmp((uint8_t *)b.f.run + 4096, "\x11\x22\x12\x22\x13\x22", 6), 0);
    }
    bed_clear(&b);
}
END_TEST

static int device_memory(FakeKvm *f)
{
    struct kvm_run *run = f->run;

    run->exit_reason = f->entries > 2 ? KVM_EXIT_HLT : KVM_EXIT_MMIO;
    if (f->entries <= 2) {
        run->mmio.phys_addr = 0x10000008;
        run->mmio.len = f->entries == 1 ? 4 : 8;
        run->mmio.is_write = f->entries == 1;
        memcpy(run->mmio.data, "\x78\x56\x34\x12", 4);
    }
    return 0;
}

START_TEST(device_memory_is_reached)
{
    Bed b;
    Memo m = {0};
    PhysRegion *r;

    bed_init(&b, GUEST_LONG64);
    lock_take(&b.g.lock);
    r = phys_region_mmio(b.g.mem, 0x10000000, 0x1000, &memo_ops, &m, 1, "memo");
    lock_release(&b.g.lock);
    ck_assert_ptr_nonnull(r);
    b.f.guest = device_memory;
    bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(m.writes, 1);
    ck_assert_uint_eq(m.last, 0x12345678);
    ck_assert_uint_eq(m.reads, 1);
    ck_assert_uint_eq(m.off, 8);
    ck_assert_int_eq(memcmp(b.f.run->mmio.data, "\x11\x22\x33\x44\x55\x66\x77\x88", 8), 0);
    bed_clear(&b);
}
END_TEST

/* KVM cannot go on, in every way it says so; the interpreter can. */
static unsigned how_it_gives_up;

static int give_up_once(FakeKvm *f)
{
    static const unsigned reasons[] = {KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_FAIL_ENTRY, KVM_EXIT_UNKNOWN, 999};

    if (f->entries > 1) {
        f->run->exit_reason = KVM_EXIT_HLT;
        return 0;
    }
    f->run->exit_reason = reasons[how_it_gives_up % 4];
    return how_it_gives_up == 4 ? -EFAULT : 0;
}

START_TEST(the_interpreter_goes_on_where_kvm_gives_up)
{
    Bed b;

    bed_init(&b, (GuestMode)(GUEST_REAL16 + _i / 5));  /* also as first-generation VT-x gives up in real mode */
    guest_code(&b.g, (const uint8_t *)"\xff\xc0\x90\x90", 4);  /* inc %ax, %eax; nop; nop */
    b.g.cpu->gpr[GPR_RAX] = 41;
    how_it_gives_up = (unsigned)_i % 5;
    b.f.guest = give_up_once;
    bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(b.f.regs.rax, 42);           /* and KVM got it back */
    ck_assert_uint_eq(b.f.regs.rip, GUEST_CODE + 2);
    bed_clear(&b);
}
END_TEST

static int change_code_and_give_up(FakeKvm *f)
{
    Bed *b = f->arg;

    if (f->entries > 2) {
        f->run->exit_reason = KVM_EXIT_HLT;
        return 0;
    }
    /* A guest in KVM writes memory and nobody is told. */
    guest_ram(&b->g, GUEST_CODE)[2] = f->entries == 1 ? 0xc0 : 0xc8;   /* inc %rax, then dec %rax */
    f->regs.rip = GUEST_CODE;
    f->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    return 0;
}

START_TEST(what_the_guest_wrote_in_kvm_is_seen_by_the_interpreter)
{
    Bed b;

    bed_init(&b, GUEST_LONG64);
    guest_code(&b.g, (const uint8_t *)"\x48\xff\xc1\x90\x90", 5);
    b.f.guest = change_code_and_give_up;
    bed_attach(&b);
    b.g.cpu->gpr[GPR_RAX] = 41;
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(b.f.regs.rax, 41);           /* up and down again */
    bed_clear(&b);
}
END_TEST

static int triple_fault(FakeKvm *f)
{
    f->run->exit_reason = KVM_EXIT_SHUTDOWN;
    return 0;
}

START_TEST(a_triple_fault_is_a_shutdown)
{
    Bed b;

    bed_init(&b, GUEST_LONG64);
    b.f.guest = triple_fault;
    bed_attach(&b)->vm->host->hardware = "SVM";
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_SHUTDOWN);
    ck_assert_int_eq(b.g.cpu->activity, CPU_SHUTDOWN);
    bed_clear(&b);
}
END_TEST

/* -- Hypercalls that KVM lets out, and how a ROM's calls come -- */

typedef struct {
    unsigned calls;
    uint64_t rax, rdx;
    PvCallWay way;
} Rom;

static void rom_hypercall(void *arg, CpuState *cpu)
{
    Rom *rom = arg;

    rom->calls++;
    rom->rax = cpu->gpr[GPR_RAX];
    cpu->gpr[GPR_RAX] = 0x1234;
    cpu->gpr[GPR_RDX] = 0x5678;
}

static void rom_calls_by(void *arg, PvCallWay way) { ((Rom *)arg)->way = way; }

static int call_out(FakeKvm *f)
{
    f->regs.rax = 12;
    f->run->exit_reason = f->entries == 1 ? KVM_EXIT_HYPERCALL : KVM_EXIT_HLT;
    f->run->hypercall.nr = 12;
    return 0;
}

/* 0: nobody offers calls; 1: KVM lets none out; 2: VT-x; 3: SVM; 4: a KVM without either. */
START_TEST(hypercalls_come_out_where_kvm_lets_them)
{
    static const char *const hardware[] = {"SVM", "SVM", "VT-x", "SVM", NULL};
    static const PvCallWay ways[] = {PV_CALLS_INSIDE, PV_CALLS_BY_PORT, PV_CALLS_BY_VMCALL, PV_CALLS_BY_VMMCALL,
                                     PV_CALLS_BY_PORT};
    Rom rom = {.calls = 0};
    KvmVm *vm;
    Bed b;

    bed_init(&b, GUEST_PROT32);
    b.f.absent = _i == 1 ? KVM_CAP_EXIT_HYPERCALL : -1;
    b.f.guest = call_out;
    if (_i != 0) {
        b.g.cpu->pv = (CpuPv){.arg = &rom, .hypercall = rom_hypercall, .calls_by = rom_calls_by};
    }
    b.g.cpu->index = 1;                /* the VM is made, and nobody is told */
    bed_attach(&b);
    ck_assert_uint_eq(b.f.hypercalls, _i == 1 ? 0 : 1 << 12);
    ck_assert_int_eq(rom.way, PV_CALLS_INSIDE);
    vm = ((KvmCpu *)b.g.cpu->engine_data)->vm;
    vm->refs++;                        /* so that it stays, with the hardware that it is to have */
    kvm_detach(b.g.cpu);
    vm->host->hardware = hardware[_i];
    b.g.cpu->index = 0;
    bed_attach(&b);
    vm->refs--;
    ck_assert_int_eq(rom.way, ways[_i]);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    if (_i == 0) {
        ck_assert_uint_eq(b.f.run->hypercall.ret, (uint64_t)-1000);
    } else {
        ck_assert(rom.calls == 1 && rom.rax == 12);
        ck_assert_uint_eq(b.f.run->hypercall.ret, 0x1234);
        ck_assert_uint_eq(b.f.regs.rdx, 0x5678);
    }
    b.g.cpu->activity = CPU_RUNNING;
    kvm_detach(b.g.cpu);
    ck_assert_int_eq(rom.way, PV_CALLS_INSIDE);
    b.g.cpu->pv = (CpuPv){0};
    bed_clear(&b);
}
END_TEST

/* 0: SVM, 1: VT-x, 2: neither; with the local APICs and without. */
START_TEST(hypercalls_are_offered_where_they_end)
{
    static const char *const hardware[] = {"SVM", "VT-x", NULL};
    static const CpuFeature calls[] = {FEAT_KVM_PV_IPI, FEAT_KVM_PV_UNHALT, FEAT_KVM_PV_SCHED_YIELD, FEAT_KVM_PV_TLB_FLUSH};
    KvmHost *h;
    Bed b;

    bed_init(&b, GUEST_LONG64);
    h = kvm_host_open(&b.f.ops, NULL);
    h->hardware = hardware[_i];
    for (unsigned i = 0; i < ARRAY_LEN(calls); i++) {
        ck_assert(!kvm_offers(h, false, calls[i]));
        ck_assert_int_eq(kvm_offers(h, true, calls[i]), _i != 2);
    }
    ck_assert(kvm_offers(h, false, FEAT_KVM_CLOCK) && kvm_offers(h, true, FEAT_KVM_STEAL_TIME));
    kvm_host_close(h);
    bed_clear(&b);
}
END_TEST

/* MSRs: ours, one that nobody has, one that KVM refuses. */
static int access_msrs(FakeKvm *f)
{
    static const struct {
        unsigned reason, exit, msr;
        uint64_t data;
    } rows[] = {
        {KVM_MSR_EXIT_REASON_FILTER, KVM_EXIT_X86_WRMSR, 0x3b, 0x1000},
        {KVM_MSR_EXIT_REASON_UNKNOWN, KVM_EXIT_X86_RDMSR, 0x12345678, 0},
        {KVM_MSR_EXIT_REASON_INVAL, KVM_EXIT_X86_WRMSR, 0xc0000082, UINT64_C(1) << 62},
    };
    static const bool errors[] = {false, true, true};
    unsigned n = f->entries - 1;

    if (n > 0) {
        ck_assert_int_eq(f->run->msr.error != 0, errors[n - 1]);
    }
    if (n == G_N_ELEMENTS(rows)) {
        f->run->exit_reason = KVM_EXIT_HLT;
        return 0;
    }
    f->run->exit_reason = rows[n].exit;
    f->run->msr.reason = rows[n].reason;
    f->run->msr.index = rows[n].msr;
    f->run->msr.data = rows[n].data;
    return 0;
}

START_TEST(msrs_that_exit_are_ours_or_fault)
{
    Bed b;

    bed_init(&b, GUEST_LONG64);
    b.f.guest = access_msrs;
    bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    kvm_engine.sync(b.g.cpu);
    ck_assert_uint_eq(b.g.cpu->msr_tsc_adjust, 0x1000);
    ck_assert_int_eq(b.f.tsc_offset, b.g.cpu->tsc_offset);
    ck_assert_int_eq(b.g.cpu->tsc_offset, 0x1000);
    bed_clear(&b);
}
END_TEST

/* -- Interrupts, kicks ------------------------------------------------------------------------------------------- */

static int take_interrupt_late(FakeKvm *f)
{
    if (f->entries == 1) {
        ck_assert_uint_eq(f->interrupts, 0);       /* IF is clear */
        ck_assert(f->run->request_interrupt_window);
        f->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
        f->run->if_flag = f->run->ready_for_interrupt_injection = 1;
        return 0;
    }
    ck_assert_uint_eq(f->interrupts, 1);
    ck_assert_uint_eq(f->last_interrupt, 0x55);
    f->run->exit_reason = KVM_EXIT_HLT;
    return 0;
}

START_TEST(an_interrupt_waits_for_its_window)
{
    Bed b;

    bed_init(&b, GUEST_LONG64);
    b.f.guest = take_interrupt_late;
    b.g.irq = 0x55;
    cpu_request(b.g.cpu, CPU_REQ_INTR);
    bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(b.f.interrupts, 1);
    bed_clear(&b);
}
END_TEST

/* An MSR that nobody has, and an interrupt at the same time: the exception first. */
static int read_nothing_and_interrupt(FakeKvm *f)
{
    Bed *b = f->arg;

    f->run->if_flag = f->run->ready_for_interrupt_injection = 1;
    if (f->entries == 1) {
        b->g.irq = 0x55;
        cpu_request(b->g.cpu, CPU_REQ_INTR);
        f->run->exit_reason = KVM_EXIT_X86_RDMSR;
        f->run->msr.reason = KVM_MSR_EXIT_REASON_UNKNOWN;
        f->run->msr.index = 0x12345678;
    } else if (f->entries == 2) {
        ck_assert_uint_eq(f->interrupts, 0);
        ck_assert(f->run->request_interrupt_window);
        f->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
    } else {
        ck_assert_uint_eq(f->interrupts, 1);
        f->run->exit_reason = KVM_EXIT_HLT;
    }
    return 0;
}

START_TEST(an_interrupt_waits_for_an_exception)
{
    Bed b;

    bed_init(&b, GUEST_LONG64);
    b.f.guest = read_nothing_and_interrupt;
    bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(b.f.interrupts, 1);
    bed_clear(&b);
}
END_TEST

static int spin(FakeKvm *f)
{
    while (!__atomic_load_n(&f->run->immediate_exit, __ATOMIC_SEQ_CST)) {
        usleep(100);
    }
    f->run->exit_reason = KVM_EXIT_INTR;
    return -EINTR;
}

static void *kick_soon(void *arg)
{
    usleep(20000);
    cpu_request(arg, CPU_REQ_KICK);
    return NULL;
}

START_TEST(a_kick_brings_it_back)
{
    Bed b;
    pthread_t thread;

    bed_init(&b, GUEST_LONG64);
    b.f.guest = spin;
    bed_attach(&b);
    ck_assert_int_eq(pthread_create(&thread, NULL, kick_soon, b.g.cpu), 0);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_REQUEST);
    pthread_join(thread, NULL);
    bed_clear(&b);
}
END_TEST

/* -- A debugger ---------------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t lin[8];
    unsigned n;
} Points;

static Points points;

static bool is_point(void *arg, uint64_t rip)
{
    for (unsigned i = 0; i < points.n; i++) {
        if (points.lin[i] == rip) {
            return true;
        }
    }
    return false;
}

static unsigned list_points(void *arg, uint64_t *lin, unsigned max)
{
    memcpy(lin, points.lin, MIN(points.n, max) * sizeof *lin);
    return points.n;
}

static bool own_step;

static int stop_at_point(FakeKvm *f)
{
    if (f->entries > 1) {
        f->run->exit_reason = KVM_EXIT_HLT;
        return 0;
    }
    f->regs.rip = GUEST_CODE + 3;
    f->run->exit_reason = KVM_EXIT_DEBUG;
    f->run->debug.arch.exception = EXC_DB;
    f->run->debug.arch.dr6 = own_step ? DR6_BS : 1;
    return 0;
}

/* 0: at a point; 1: the guest's own single step; 2: more points than the processor has; 3: KVM refuses. */
START_TEST(a_debuggers_points_are_the_processors_where_they_fit)
{
    Bed b;
    KvmCpu *k;

    bed_init(&b, GUEST_LONG64);
    guest_code(&b.g, (const uint8_t *)"\x48\xff\xc0\x48\xff\xc0\xf4", 7);   /* inc %rax twice; hlt */
    k = bed_attach(&b);
    k->vm->host->points = KVM_WORKS;
    points = (Points){.lin = {GUEST_CODE + (_i == 1 ? 0x100 : 3), 0x1000, 0x2000, 0x3000, 0x4000},
                      .n = _i == 2 ? 5 : 2};
    b.g.cpu->breakpoint_at = is_point;
    b.g.cpu->breakpoints = list_points;
    b.g.cpu->breakpoint_epoch = 7;
    b.f.guest = stop_at_point;
    own_step = _i == 1;
    if (_i == 3) {
        b.f.fail_at = b.f.n_requests + 1;
        b.f.fail_with = -EINVAL;
    }
    ck_assert_int_eq(bed_run(&b), _i == 1 ? CPU_EXIT_HALT : CPU_EXIT_DEBUG);
    if (_i < 2) {
        ck_assert_uint_eq(b.f.guest_debug.arch.debugreg[0], points.lin[0]);
        ck_assert_uint_eq(b.f.guest_debug.arch.debugreg[1], 0x1000);
        ck_assert_uint_eq(b.f.guest_debug.arch.debugreg[7], 0x40a);
    } else {
        ck_assert_uint_eq(b.f.entries, 0);         /* interpreted */
        ck_assert_uint_eq(b.g.cpu->gpr[GPR_RAX], 1);
    }
    if (_i == 1) {
        ck_assert_uint_eq(b.f.regs.rip, GUEST_HANDLERS + EXC_DB * 16);
    } else {
        ck_assert_uint_eq(b.g.cpu->rip, GUEST_CODE + 3);
    }
    b.g.cpu->breakpoint_at = NULL;
    b.g.cpu->breakpoints = NULL;
    if (_i == 0) {
        ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
        ck_assert_uint_eq(b.f.guest_debug.control, 0);
    }
    bed_clear(&b);
}
END_TEST

START_TEST(points_that_do_not_work_are_interpreted)
{
    Bed b;
    KvmCpu *k;

    bed_init(&b, GUEST_LONG64);
    guest_code(&b.g, (const uint8_t *)"\x48\xff\xc0\x48\xff\xc0\xf4", 7);
    k = bed_attach(&b);
    k->vm->host->hardware = "SVM";                 /* whose trial runs to its end */
    points = (Points){.lin = {GUEST_CODE + 3}, .n = 1};
    b.g.cpu->breakpoint_at = is_point;
    b.g.cpu->breakpoints = list_points;
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_DEBUG);
    ck_assert_uint_eq(b.g.cpu->gpr[GPR_RAX], 1);
    ck_assert_int_eq(k->vm->host->points, KVM_FAILS);
    b.g.cpu->breakpoint_at = NULL;
    b.g.cpu->breakpoints = NULL;
    bed_clear(&b);
}
END_TEST

/* -- Slots -------------------------------------------------------------------------------------------------------- */

/* The slot that shows `gpa`; NULL: none. */
static const struct kvm_userspace_memory_region *slot_at(const FakeKvm *f, uint64_t gpa)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(f->slot); i++) {
        const struct kvm_userspace_memory_region *s = &f->slot[i];
        if (gpa >= s->guest_phys_addr && gpa < s->guest_phys_addr + s->memory_size) {
            return s;
        }
    }
    return NULL;
}

static uint64_t shown_at(const FakeKvm *f, uint64_t gpa)
{
    const struct kvm_userspace_memory_region *s = slot_at(f, gpa);

    return s != NULL ? s->userspace_addr + (gpa - s->guest_phys_addr) : 0;
}

START_TEST(slots_follow_the_map)
{
    Bed b;
    Memo m = {0};
    PhysMem *mem;
    uint64_t base;
    PhysRegion *window;

    bed_init(&b, GUEST_LONG64);
    mem = b.g.mem;
    base = (uintptr_t)mem->base;
    bed_attach(&b);
    ck_assert_uint_eq(shown_at(&b.f, 0x123456), base + 0x123456);
    ck_assert_uint_eq(shown_at(&b.f, GUEST_RAM_SIZE), 0);
    lock_take(&b.g.lock);
    window = phys_region_mmio(mem, 0xa0000, 0x20000, &memo_ops, &m, 1, "memo");
    ck_assert_uint_eq(shown_at(&b.f, 0xa0000), 0);
    ck_assert_uint_eq(shown_at(&b.f, 0x9ffff), base + 0x9ffff);
    ck_assert_uint_eq(shown_at(&b.f, 0xc0000), base + 0xc0000);
    phys_region_enable(mem, window, false);
    ck_assert_uint_eq(shown_at(&b.f, 0xa0000), base + 0xa0000);
    phys_region_rom(mem, 0xf0000, 0x10000, 0xf0000, 1, NULL, NULL, "rom");
    ck_assert_uint_eq(slot_at(&b.f, 0xf8000)->flags, KVM_MEM_READONLY);
    ck_assert_uint_eq(slot_at(&b.f, 0x100000)->flags, 0);
    phys_mem_set_a20(mem, false);
    ck_assert_uint_eq(shown_at(&b.f, 0x123456), base + 0x23456);
    ck_assert_uint_eq(shown_at(&b.f, 0x223456), base + 0x223456);
    ck_assert_uint_eq(shown_at(&b.f, 0x323456), base + 0x223456);
    phys_mem_set_a20(mem, true);
    ck_assert_uint_eq(shown_at(&b.f, 0x123456), base + 0x123456);
    lock_release(&b.g.lock);
    bed_clear(&b);
}
END_TEST

START_TEST(a_map_that_cannot_be_followed_stops_the_cpu)
{
    Bed b;
    Memo m = {0};

    bed_init(&b, GUEST_LONG64);
    bed_attach(&b);
    b.f.fail_at = b.f.n_requests + 1;
    b.f.fail_with = -ENOMEM;
    lock_take(&b.g.lock);
    phys_region_mmio(b.g.mem, 0xa0000, 0x20000, &memo_ops, &m, 1, "memo");
    lock_release(&b.g.lock);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_FAILED);
    ck_assert_ptr_nonnull(strstr(kvm_engine.why(b.g.cpu), "map guest memory"));
    bed_clear(&b);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("kvm");
    TCase *c = tcase_create("kvm");

    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, each_request_may_fail, 0, 12);
    tcase_add_loop_test(c, each_mapping_may_fail, 0, 4);
    tcase_add_test(c, every_request_has_failed);
    tcase_add_loop_test(c, opening_explains_what_to_do, 0, 5);
    tcase_add_test(c, an_old_kvm_is_refused_by_name);
    tcase_add_loop_test(c, it_lives_without_extensions, 0, 9);
    tcase_add_test(c, a_model_that_does_not_fit_is_refused_by_feature);
    tcase_add_test(c, a_refused_msr_stays_ours);
    tcase_add_test(c, the_trial_fails_cleanly);
    tcase_add_loop_test(c, a_guest_whose_xcr0_would_be_lost_has_no_xsave, 0, 3);
    tcase_add_test(c, the_trial_of_xsetbv_fails_cleanly);
    tcase_add_loop_test(c, the_state_goes_there_and_comes_back, GUEST_REAL16, GUEST_LONG64 + 1);
    for (GuestMode *m = (GuestMode[]){GUEST_REAL16, GUEST_PROT32, GUEST_LONG64, GUEST_PROT16}; *m != GUEST_PROT16; m++) {
        tcase_add_loop_test(c, each_field_goes_there_and_comes_back, *m, *m + 1);
    }
    tcase_add_test(c, a_comparison_sees_every_spoilt_field);
    tcase_add_loop_test(c, pdptes_go_there_and_come_back, 0, 2);
    tcase_add_loop_test(c, an_interrupt_half_delivered_is_delivered_at_the_pull, 0, 3);
    tcase_add_loop_test(c, string_port_accesses_move_all_their_pieces, 0, 2);
    tcase_add_test(c, device_memory_is_reached);
    tcase_add_loop_test(c, the_interpreter_goes_on_where_kvm_gives_up, 0, 5 * (GUEST_LONG64 - GUEST_REAL16 + 1));
    tcase_add_test(c, what_the_guest_wrote_in_kvm_is_seen_by_the_interpreter);
    tcase_add_test(c, a_triple_fault_is_a_shutdown);
    tcase_add_loop_test(c, hypercalls_come_out_where_kvm_lets_them, 0, 5);
    tcase_add_loop_test(c, hypercalls_are_offered_where_they_end, 0, 3);
    tcase_add_test(c, msrs_that_exit_are_ours_or_fault);
    tcase_add_test(c, an_interrupt_waits_for_its_window);
    tcase_add_test(c, an_interrupt_waits_for_an_exception);
    tcase_add_test(c, a_kick_brings_it_back);
    tcase_add_loop_test(c, a_debuggers_points_are_the_processors_where_they_fit, 0, 4);
    tcase_add_test(c, points_that_do_not_work_are_interpreted);
    tcase_add_test(c, slots_follow_the_map);
    tcase_add_test(c, a_map_that_cannot_be_followed_stops_the_cpu);
    suite_add_tcase(s, c);
    return s;
}
