/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/lockstep.h"

#include "cpu-x86/cpuid.h"
#include "cpu-x86/walk.h"
#include "softmmu/base/log.h"
#include "translator/dump.h"

#include <inttypes.h>

enum { WRITES_MAX = 2 * FRONT_INSNS_MAX, WRITE_LEN = 64, FIRST_RUNS = 2, REPORTS_MAX = 10 };

typedef struct {
    uint64_t gpr[GPR_COUNT], rip, rflags;
    uint64_t fs_base, gs_base, kernel_gs_base, spec_ctrl;
    bool shadow;
    VectorState vec;
} State;

typedef struct {
    uint8_t *host;
    uint64_t lin;
    unsigned size;
    uint8_t before[WRITE_LEN], after[WRITE_LEN];
} Write;

struct Lockstep {
    unsigned every;            /* one block in so many                    */
    uint64_t n;                /* blocks entered                          */
    bool pending;              /* `after` is what the running block must make */
    State before, after;
    Write write[WRITES_MAX];
    unsigned n_writes, reports;
    Plan plan;
};

Lockstep *lockstep_new(const TransConfig *config)
{
    Lockstep *l;

    if (config->verify == 0) {
        return NULL;
    }
    l = aligned_alloc(64, (sizeof *l + 63) & ~(size_t)63);
    memset(l, 0, sizeof *l);
    l->every = config->verify;
    l->plan.config = config;
    return l;
}

void lockstep_free(Lockstep *l)
{
    free(l);
}

/* -- States ----------------------------------------------------------------------------------- */

static void keep(State *s, const CpuState *cpu)
{
    memcpy(s->gpr, cpu->gpr, sizeof s->gpr);
    s->rip = cpu->rip;
    s->rflags = cpu->rflags;
    s->fs_base = cpu->seg[SEG_FS].base;
    s->gs_base = cpu->seg[SEG_GS].base;
    s->kernel_gs_base = cpu->msr_kernel_gs_base;
    s->spec_ctrl = cpu->msr_spec_ctrl;
    s->shadow = cpu->shadow;
    s->vec = cpu->vec;
}

static void put_back(CpuState *cpu, const State *s)
{
    memcpy(cpu->gpr, s->gpr, sizeof s->gpr);
    cpu->rip = s->rip;
    cpu->rflags = s->rflags;
    cpu->seg[SEG_FS].base = s->fs_base;
    cpu->seg[SEG_GS].base = s->gs_base;
    cpu->msr_kernel_gs_base = s->kernel_gs_base;
    cpu->msr_spec_ctrl = s->spec_ctrl;
    cpu->shadow = s->shadow;
    cpu->vec = s->vec;
    cpu_update_mode(cpu); /* AC */
}

/* -- Memory ----------------------------------------------------------------------------------- */

/* Where an access that will not fault ends in RAM, or NULL.  Stores must hit the TLB: that they do not
 * where the page holds code is what keeps us from killing the block we are about to run. */
static uint8_t *place(CpuState *cpu, uint64_t lin, unsigned size, bool write)
{
    uint8_t *p = tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, lin, write ? TLB_STORE : TLB_LOAD);
    GuestPhys phys;
    unsigned shift;

    if (size > WRITE_LEN || !tlb_within_page(lin, size)) {
        return NULL;
    }
    if (p != NULL || write) {
        return p;
    }
    if ((cpu_walk_peek(cpu, guest_lin(lin), cpu->tlb_class, &phys, &shift) & TLB_R_READ) == 0) {
        return NULL;
    }
    return phys_mem_host(cpu->mem, guest_phys(phys.v | (lin & GUEST_PAGE_OFFSET_MASK)), size, false);
}

static uint64_t register_value(const CpuState *cpu, ZydisRegister r)
{
    ZydisRegister big = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);

    return r == ZYDIS_REGISTER_NONE ? 0 : cpu->gpr[big - ZYDIS_REGISTER_RAX];
}

static uint64_t address(const CpuState *cpu, const PlanInsn *in, const ZydisDecodedOperand *o, bool code32)
{
    uint64_t a = o->mem.disp.has_displacement ? (uint64_t)o->mem.disp.value : 0;
    unsigned seg = o->mem.segment == ZYDIS_REGISTER_FS   ? SEG_FS
                   : o->mem.segment == ZYDIS_REGISTER_GS ? SEG_GS : SEG_DS;

    if (o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP) {
        a += cpu->rip + in->len;
    } else {
        a += register_value(cpu, o->mem.base);
        a += register_value(cpu, o->mem.index) * MAX(o->mem.scale, 1);
    }
    if (in->zi.address_width == 32) {
        a = (uint32_t)a;
    }
    a += seg != SEG_DS ? cpu->seg[seg].base : 0;
    return code32 ? (uint32_t)a : a;
}

/* The instruction is about to read, and perhaps write, [lin, lin+size).  False: hands off. */
static bool note_access(Lockstep *l, CpuState *cpu, uint64_t lin, unsigned size, bool write)
{
    uint8_t *p = place(cpu, lin, size, false);

    if (p == NULL) {
        return false;
    }
    if (write) {
        Write *w = &l->write[l->n_writes];
        p = place(cpu, lin, size, true);
        if (p == NULL || l->n_writes == WRITES_MAX) {
            return false;
        }
        *w = (Write){.host = p, .lin = lin, .size = size};
        memcpy(w->before, p, size);
        l->n_writes++;
    }
    return true;
}

static bool note_operand(Lockstep *l, CpuState *cpu, const PlanInsn *in)
{
    const ZydisDecodedOperand *o = &in->op[in->mem];
    uint64_t lin;
    unsigned size = o->size / 8;

    if (in->mem == 0xff || in->plan == PLAN_NOTHING || in->plan == PLAN_LEA_RIP ||
        in->zi.mnemonic == ZYDIS_MNEMONIC_LEA) {
        return true;
    }
    lin = address(cpu, in, o, l->plan.code32);
    if (in->vec != 0 && (lin & (size - 1)) != 0) {
        return false;          /* may want alignment */
    }
    return note_access(l, cpu, lin, size, (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0);
}

static bool note_stack(Lockstep *l, CpuState *cpu, const PlanInsn *in)
{
    unsigned size = l->plan.code32 ? 4 : 8;
    uint64_t mask = l->plan.code32 ? UINT32_MAX : UINT64_MAX, rsp = cpu->gpr[GPR_RSP];

    switch (in->plan) {
    case PLAN_PUSH: case PLAN_PUSH_MEM: case PLAN_CALL: case PLAN_CALL_IND:
        return note_access(l, cpu, (rsp - size) & mask, size, true);
    case PLAN_POP: case PLAN_RET:
        return note_access(l, cpu, rsp & mask, size, false);
    case PLAN_LEAVE:
        return note_access(l, cpu, cpu->gpr[GPR_RBP] & mask, size, false);
    case PLAN_SYSTEM:
        return in->zi.mnemonic == ZYDIS_MNEMONIC_PUSHFQ || in->zi.mnemonic == ZYDIS_MNEMONIC_PUSHFD
                   ? note_access(l, cpu, (rsp - size) & mask, size, true)
               : in->zi.mnemonic == ZYDIS_MNEMONIC_POPFQ || in->zi.mnemonic == ZYDIS_MNEMONIC_POPFD
                   ? note_access(l, cpu, rsp & mask, size, false) : true;
    default:
        return true;
    }
}

static void undo_writes(Lockstep *l, CpuState *cpu)
{
    for (unsigned i = 0; i < l->n_writes; i++) { /* what the last of them left is what counts */
        memcpy(l->write[i].after, l->write[i].host, l->write[i].size);
    }
    for (unsigned i = l->n_writes; i-- > 0;) {
        Write *w = &l->write[i];
        if (memcmp(w->host, w->before, w->size) != 0) {
            memcpy(w->host, w->before, w->size);
            phys_mem_written(cpu->mem, (uint64_t)(w->host - cpu->mem->base), w->size);
        }
    }
}

/* -- The interpreter's turn ------------------------------------------------------------------- */

/* An MSR that can be written back, or need not: not what devices have. */
static bool msr_is_repeatable(uint32_t msr, bool write)
{
    return msr - 0xc0000100 < 3 || msr == 0x48 || (msr == 0x174 && !write); /* the bases, IA32_SPEC_CTRL, IA32_SYSENTER_CS */
}

static bool is_left_out(const CpuState *cpu, const PlanInsn *in)
{
    bool write = in->zi.mnemonic == ZYDIS_MNEMONIC_WRMSR, msr = write || in->zi.mnemonic == ZYDIS_MNEMONIC_RDMSR;

    return (msr && !msr_is_repeatable((uint32_t)cpu->gpr[GPR_RCX], write)) || in->zi.mnemonic == ZYDIS_MNEMONIC_OUT || in->plan == PLAN_INTERP || in->plan == PLAN_INTERP_END ||
           in->zi.mnemonic == ZYDIS_MNEMONIC_DIV || in->zi.mnemonic == ZYDIS_MNEMONIC_IDIV ||
           (in->vec != 0 && ((cpu->vec.mxcsr & 0x1f80) != 0x1f80 || (cpu->vec.fx[0] & 0x3f) != 0x3f));
}

/* All of the block's instructions by the interpreter.  False: it cannot be done without effects. */
static bool interpret_block(Lockstep *l, CpuState *cpu)
{
    const Plan *p = &l->plan;

    for (unsigned i = 0; i < p->n; i++) {
        const PlanInsn *in = &p->insn[i];
        if (is_left_out(cpu, in) || !note_operand(l, cpu, in) || !note_stack(l, cpu, in)) {
            return false;
        }
        if (interp_engine.run(cpu, 1) != CPU_EXIT_BUDGET ||
            (i + 1 < p->n && cpu->rip != p->lin + in->off + in->len)) {
            return false;
        }
    }
    return true;
}

static bool isa_allowed(const void *arg, unsigned isa_set)
{
    return cpu_isa_allowed(arg, (int)isa_set);
}

static int no_interrupt(void *arg)
{
    return -1;
}

void lockstep_begin(TransCpu *tc, Block *b)
{
    Lockstep *l = tc->lockstep;
    CpuState *cpu = tc->cpu;
    int (*irq_ack)(void *arg) = cpu->bus.irq_ack;
    const uint8_t *code = cpu->mem->base + b->offset;
    bool good;

    l->pending = false;
    if (b->n_checks >= FIRST_RUNS && l->n++ % l->every != 0) {
        return;
    }
    b->n_checks += b->n_checks < FIRST_RUNS;
    if (!front_plan(&l->plan, tc->cpu->rip, code, tc->beyond, b->n_insns, trans_plan_env(tc, b->env), isa_allowed, cpu) ||
        l->plan.n != b->n_insns) {
        return;
    }
    keep(&l->before, cpu);
    l->n_writes = 0;
    cpu->bus.irq_ack = no_interrupt; /* they are the translated run's */
    good = interpret_block(l, cpu);
    cpu->bus.irq_ack = irq_ack;
    keep(&l->after, cpu);
    undo_writes(l, cpu);
    put_back(cpu, &l->before);
    l->pending = good;
    tc->left_whole = false;
}

/* -- Comparison ------------------------------------------------------------------------------- */

static void differ(GString *out, const char *what, unsigned n, uint64_t before, uint64_t want, uint64_t is)
{
    if (want != is) {
        g_string_append_printf(out, "\n  %s%u: was %016" PRIx64 " interpreted %016" PRIx64
                               " translated %016" PRIx64, what, n, before, want, is);
    }
}

static void compare_vectors(GString *out, const VectorState *a, const VectorState *b, const VectorState *was)
{
    differ(out, "mxcsr", 0, was->mxcsr, a->mxcsr, b->mxcsr);
    for (unsigned r = 0; r < 32; r++) {
        for (unsigned i = 0; i < 8; i++) {
            differ(out, "zmm", r, load_le(was->zmm[r] + 8 * i, 8), load_le(a->zmm[r] + 8 * i, 8),
                   load_le(b->zmm[r] + 8 * i, 8));
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        differ(out, "k", i, was->k[i], a->k[i], b->k[i]);
        differ(out, "st", i, load_le(was->fx + 32 + 16 * i, 8), load_le(a->fx + 32 + 16 * i, 8),
               load_le(b->fx + 32 + 16 * i, 8));
        differ(out, "st-exponent", i, load_le(was->fx + 40 + 16 * i, 2), load_le(a->fx + 40 + 16 * i, 2),
               load_le(b->fx + 40 + 16 * i, 2));
    }
    /* Control, status, tags: the last instruction's and operand's addresses are the host's own. */
    differ(out, "fcw-fsw", 0, load_le(was->fx, 4), load_le(a->fx, 4), load_le(b->fx, 4));
    differ(out, "ftw", 0, was->fx[4], a->fx[4], b->fx[4]);
}

static void compare(GString *out, const Lockstep *l, const CpuState *cpu)
{
    const State *w = &l->before, *a = &l->after;
    uint64_t dead = FLAGS_ARITH & ~l->plan.flags_out; /* the next block overwrites them */

    differ(out, "rip", 0, w->rip, a->rip, cpu->rip);
    differ(out, "rflags", 0, w->rflags, a->rflags & ~dead, cpu->rflags & ~dead);
    differ(out, "fs-base", 0, w->fs_base, a->fs_base, cpu->seg[SEG_FS].base);
    differ(out, "gs-base", 0, w->gs_base, a->gs_base, cpu->seg[SEG_GS].base);
    differ(out, "kernel-gs-base", 0, w->kernel_gs_base, a->kernel_gs_base, cpu->msr_kernel_gs_base);
    differ(out, "spec-ctrl", 0, w->spec_ctrl, a->spec_ctrl, cpu->msr_spec_ctrl);
    for (unsigned r = 0; r < GPR_COUNT; r++) {
        differ(out, "r", r, w->gpr[r], a->gpr[r], cpu->gpr[r]);
    }
    if (memcmp(&a->vec, &cpu->vec, sizeof a->vec) != 0) {
        compare_vectors(out, &a->vec, &cpu->vec, &w->vec);
    }
    for (unsigned i = 0; i < l->n_writes; i++) {
        const Write *m = &l->write[i];
        if (memcmp(m->after, m->host, m->size) != 0) {
            g_string_append_printf(out, "\n  memory at %016" PRIx64 ", %u bytes:", m->lin, m->size);
            differ(out, "bytes from ", 0, load_le(m->before, MIN(m->size, 8)),
                   load_le(m->after, MIN(m->size, 8)), load_le(m->host, MIN(m->size, 8)));
        }
    }
}

void lockstep_end(TransCpu *tc)
{
    Lockstep *l = tc->lockstep;
    CpuState *cpu = tc->cpu;
    g_autoptr(GString) out = NULL;

    if (!l->pending || !tc->left_whole) {
        l->pending = false;
        return;
    }
    l->pending = false;
    cpu->stats[STAT_TRANS_CHECKS]++;
    out = g_string_new(NULL);
    compare(out, l, cpu);
    if (out->len > 0) {
        cpu->stats[STAT_TRANS_DIFFER]++;
        if (l->reports++ < REPORTS_MAX) {
            log_write("VERIFY: cpu %u: the block at %016" PRIx64 " differs from the interpreter:%s",
                      cpu->index, l->plan.lin, out->str);
            dump_guest(cpu, &l->plan);
        }
    }
}
