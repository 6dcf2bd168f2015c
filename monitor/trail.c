/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/trail.h"

#include "cpu-x86/decode.h"
#include "cpu-x86/walk.h"
#include "monitor/report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Registers stand for themselves, the rest as sums: one differs, and then one looks. */
typedef struct {
    uint64_t insns, rip, rflags, dead_flags, gpr[GPR_COUNT];
    uint64_t cr0, cr2, cr3, cr4, efer;
    uint64_t segments, control, vectors, x87, msrs, pending;
} Step;

/* What the sums are of: as it was when they were made, since mostly it has not changed. */
enum {
    SYSTEM_FROM = offsetof(CpuState, seg), SYSTEM_LEN = offsetof(CpuState, vec) - SYSTEM_FROM,
    MSRS_FROM = offsetof(CpuState, pdpte), MSRS_LEN = offsetof(CpuState, tsc_offset) - MSRS_FROM,
};
typedef struct {
    uint8_t system[SYSTEM_LEN], msrs[MSRS_LEN];
    VectorState vec;
} Summed;

enum { STEPS = 512, PIPE_BYTES = 1 << 20 };

struct Trail {
    CpuState *cpu;
    FILE *file;
    bool follows;
    bool have_next;            /* following: `next` is where we are to stop */
    bool ended;                /* no more steps come, or nobody reads them */
    Step next, last;           /* last: the step before, of both */
    Summed *summed;            /* what the sums of `now` are of */
    Step now;
    uint64_t n;
};

/* -- Sums ------------------------------------------------------------------------------------- */

static uint64_t add(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ sum >> 32;
}

/* len is a multiple of 8.  Four sums side by side: this is some 2 KiB a step. */
static uint64_t add_bytes(uint64_t sum, const void *p, size_t len)
{
    const uint8_t *b = p;
    uint64_t side[4] = {sum, 1, 2, 3}, word;

    for (size_t i = 0; i < len; i += 8) {
        memcpy(&word, b + i, 8);
        side[i / 8 % 4] = add(side[i / 8 % 4], word);
    }
    return add(add(add(side[0], side[1]), side[2]), side[3]);
}

static uint64_t sum_segments(const CpuState *cpu)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < SEG_ALL_COUNT; i++) {
        const Segment *s = &cpu->seg[i];
        sum = add(add(add(sum, s->base), s->limit), (uint64_t)s->attr << 16 | s->selector);
    }
    sum = add(add(sum, cpu->gdtr.base), cpu->gdtr.limit);
    return add(add(sum, cpu->idtr.base), cpu->idtr.limit);
}

static uint64_t sum_control(const CpuState *cpu)
{
    return add_bytes(add_bytes(0, cpu->dr, sizeof cpu->dr), cpu->pdpte, sizeof cpu->pdpte);
}

static uint64_t sum_vectors(const VectorState *v)
{
    uint64_t sum = add_bytes(0, v->zmm, sizeof v->zmm);

    return add(add(add(add_bytes(sum, v->k, sizeof v->k), v->mxcsr), v->pkru), v->xcr0);
}

static uint64_t sum_x87(const VectorState *v)
{
    uint64_t sum = load_le(v->fx, 4) | (uint64_t)v->fx[4] << 32; /* control, status, tags */

    for (unsigned i = 0; i < 8; i++) {
        sum = add(add(sum, load_le(v->fx + 32 + 16 * i, 8)), load_le(v->fx + 40 + 16 * i, 2));
    }
    return sum;
}

static uint64_t sum_msrs(const CpuState *cpu)
{
    return add_bytes(0, &cpu->msr_star, offsetof(CpuState, tsc_offset) - offsetof(CpuState, msr_star));
}

/* b is a copy of a? If not, now it is. */
static bool same(void *b, const void *a, size_t len)
{
    if (memcmp(a, b, len) == 0) {
        return true;
    }
    memcpy(b, a, len);
    return false;
}

/* t->now is the CPU's state. */
static void take(Trail *t)
{
    const CpuState *cpu = t->cpu;
    Step *s = &t->now;

    s->insns = cpu->insns;
    s->rip = cpu->rip;
    s->rflags = cpu->rflags;
    memcpy(s->gpr, cpu->gpr, sizeof s->gpr);
    s->cr0 = cpu->cr0;
    s->cr2 = cpu->cr2;
    s->cr3 = cpu->cr3;
    s->cr4 = cpu->cr4;
    s->efer = cpu->efer;
    s->pending = cpu->pending_dbg << 8 | (uint64_t)cpu->activity << 4 | (uint64_t)cpu->nmi_masked << 2 |
                 (uint64_t)cpu->shadow << 1 | cpu->shadow_ss;
    if (!same(&t->summed->vec, &cpu->vec, sizeof cpu->vec)) {
        s->vectors = sum_vectors(&cpu->vec);
        s->x87 = sum_x87(&cpu->vec);
    }
    if (!same(t->summed->system, (const uint8_t *)cpu + SYSTEM_FROM, SYSTEM_LEN) ||
        !same(t->summed->msrs, (const uint8_t *)cpu + MSRS_FROM, MSRS_LEN)) {
        s->segments = sum_segments(cpu);
        s->control = sum_control(cpu);
        s->msrs = sum_msrs(cpu);
    }
}

/* -- Life ------------------------------------------------------------------------------------- */

static Trail *open_trail(const char *path, CpuState *cpu, bool follows, GError **error)
{
    FILE *f = fopen(path, follows ? "rbe" : "wbe");
    Trail *t;

    if (f == NULL) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "-icount: cannot open %s: %s", path, g_strerror(errno));
        return NULL;
    }
    (void)fcntl(fileno(f), F_SETPIPE_SZ, PIPE_BYTES); /* fewer changes from one to the other; files have none */
    setvbuf(f, NULL, _IOFBF, STEPS * sizeof(Step));
    t = g_new0(Trail, 1);
    t->file = f;
    t->cpu = cpu;
    t->follows = follows;
    t->summed = g_aligned_alloc0(1, sizeof *t->summed, 64);
    t->now.vectors = sum_vectors(&t->summed->vec);
    t->now.x87 = sum_x87(&t->summed->vec);
    return t;
}

static void write_step(Trail *t, uint64_t dead_flags);

static void on_block_end(void *arg, const CpuState *cpu, uint64_t dead_flags)
{
    write_step(arg, dead_flags);
}

Trail *trail_write(const char *path, uint64_t every, CpuState *cpu, GError **error)
{
    Trail *t = open_trail(path, cpu, false, error);

    if (t != NULL) {
        cpu->trail = on_block_end;
        cpu->trail_arg = t;
        cpu->trail_every = every;
    }
    return t;
}

Trail *trail_follow(const char *path, CpuState *cpu, GError **error)
{
    return open_trail(path, cpu, true, error);
}

void trail_free(Trail *t)
{
    if (t == NULL) {
        return;
    }
    if (t->follows) {
        report_info("-icount: %" PRIu64 " steps of the trail were the same", t->n);
    }
    fclose(t->file);
    g_aligned_free(t->summed);
    g_free(t);
}

/* -- Steps ------------------------------------------------------------------------------------ */

static void write_step(Trail *t, uint64_t dead_flags)
{
    if (t->ended || (t->n > 0 && t->last.insns == t->cpu->insns)) {
        return;                /* an event was delivered: that shows in the next one */
    }
    take(t);
    t->now.dead_flags = dead_flags;
    t->ended = fwrite(&t->now, sizeof t->now, 1, t->file) != 1;
    t->last = t->now;
    t->n++;
}

uint64_t trail_budget(Trail *t, uint64_t most)
{
    if (!t->follows) {
        return most;
    }
    if (!t->have_next) {
        t->have_next = fread(&t->next, sizeof t->next, 1, t->file) == 1;
    }
    return t->have_next ? MIN(most, t->next.insns - t->cpu->insns) : 0;
}

static void differ(GString *out, const char *what, uint64_t theirs, uint64_t ours)
{
    if (theirs != ours) {
        g_string_append_printf(out, "\n  %s: %016" PRIx64 " there, %016" PRIx64 " here", what, theirs, ours);
    }
}

static void compare(GString *out, const Step *theirs, const Step *ours)
{
    differ(out, "instructions", theirs->insns, ours->insns);
    differ(out, "rip", theirs->rip, ours->rip);
    differ(out, "rflags", theirs->rflags, ours->rflags);
    for (unsigned r = 0; r < GPR_COUNT; r++) {
        static const char *const names[GPR_COUNT] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                                     "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
        differ(out, names[r], theirs->gpr[r], ours->gpr[r]);
    }
    differ(out, "cr0", theirs->cr0, ours->cr0);
    differ(out, "cr2", theirs->cr2, ours->cr2);
    differ(out, "cr3", theirs->cr3, ours->cr3);
    differ(out, "cr4", theirs->cr4, ours->cr4);
    differ(out, "efer", theirs->efer, ours->efer);
    differ(out, "sum of segments", theirs->segments, ours->segments);
    differ(out, "sum of debug registers and PDPTEs", theirs->control, ours->control);
    differ(out, "sum of vector registers", theirs->vectors, ours->vectors);
    differ(out, "sum of x87 registers", theirs->x87, ours->x87);
    differ(out, "sum of MSRs", theirs->msrs, ours->msrs);
    differ(out, "what is pending", theirs->pending, ours->pending);
}

/* Bytes of code at lin, up to 15. */
static unsigned fetch(CpuState *cpu, uint64_t lin, uint8_t bytes[15])
{
    unsigned got = 0, shift;

    for (; got < 15; got++) {
        uint64_t at = lin + got;
        GuestPhys phys;
        const uint8_t *p = NULL;

        if (((cpu_walk_peek(cpu, guest_lin(at), TLB_KERNEL, &phys, &shift) |
              cpu_walk_peek(cpu, guest_lin(at), TLB_USER, &phys, &shift)) & TLB_R_READ) != 0) {
            p = phys_mem_host(cpu->mem, guest_phys(phys.v | (at & GUEST_PAGE_OFFSET_MASK)), 1, false);
        }
        if (p == NULL) {
            break;
        }
        bytes[got] = *p;
    }
    return got;
}

/* What was executed since the last step, as far as that lies in one piece. */
static void list_code(GString *out, const Trail *t, const Step *ours)
{
    uint64_t n = MIN(ours->insns - t->last.insns, 64), rip = t->last.rip;
    CpuState *cpu = t->cpu;
    InsnDecoder d;
    X86Insn in;

    insn_decoder_init(&d, cpu);
    for (uint64_t i = 0; i < n; i++, rip += in.len) {
        char text[INSN_TEXT_MAX];
        uint8_t bytes[15];
        unsigned got = fetch(cpu, cpu->seg[SEG_CS].base + rip, bytes);

        if (got == 0 || !insn_decode(&d, cpu, bytes, got, &in)) {
            break;
        }
        insn_text(&d, cpu, rip, &in, text);
        g_string_append_printf(out, "\n  %016" PRIx64 "  %s", rip, text);
    }
}

static bool follow_step(Trail *t)
{
    g_autoptr(GString) out = NULL;
    Step *ours = &t->now;

    if (!t->have_next || t->cpu->insns < t->next.insns) {
        return true;
    }
    take(t);
    t->have_next = false;
    ours->dead_flags = t->next.dead_flags;
    t->next.rflags ^= (t->next.rflags ^ ours->rflags) & ours->dead_flags;
    if (memcmp(ours, &t->next, sizeof *ours) != 0) {
        out = g_string_new(NULL);
        compare(out, &t->next, ours);
        g_string_append(out, "\ninstructions since the step before:");
        list_code(out, t, ours);
        report_error("-icount: after %" PRIu64 " instructions, %" PRIu64 " steps, at %016" PRIx64 ", this machine differs from the trail:%s", ours->insns,
                     t->n, ours->rip, out->str);
        return false;
    }
    t->last = *ours;
    t->n++;
    return true;
}

bool trail_step(Trail *t)
{
    if (t->follows) {
        return follow_step(t);
    }
    write_step(t, 0);
    return true;
}

uint64_t trail_steps(const Trail *t)
{
    return t->n;
}
