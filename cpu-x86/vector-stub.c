/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stubs: generated functions that run one guest instruction on the host.
 *
 *     int stub(CpuState *cpu, void *buf)
 *         push callee-saved registers the instruction names
 *         S = cpu, B = buf                  two registers the instruction does not name
 *         [fxrstor64 S->vec.fx]             x87, MMX
 *         load vector and K registers, [ldmxcsr], general registers, [flags]
 *         nop with the distance to `fault`  what the signal handler looks for
 *         the instruction, memory operand rewritten to (B), RSP to T
 *         [flags out], stores, [stmxcsr], back to the C library's MXCSR, [fninit], [vzeroupper]
 *         return 0
 *     fault:                                RAX = signal number, set by the handler
 *         [stmxcsr: its sticky bits are set on a fault], back to C's state, return RAX
 *
 * The stack pointer is the host's throughout, so signals may come at any time.  Stub memory is one
 * memfd in two views, one writable, one executable.
 */
#include "cpu-x86/vector-internal.h"

#include "softmmu/base/log.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

/* -- Bytes -------------------------------------------------------------------------------------------- */

typedef struct {
    uint8_t b[VEC_STUB_MAX];
    unsigned n;
    unsigned s, m;             /* host registers: CpuState, bounce buffer */
} Code;

static void byte(Code *c, unsigned v)
{
    g_assert(c->n < VEC_STUB_MAX);
    c->b[c->n++] = (uint8_t)v;
}

static void bytes(Code *c, const void *src, unsigned n)
{
    g_assert(c->n + n <= VEC_STUB_MAX);
    memcpy(c->b + c->n, src, n);
    c->n += n;
}

static void word32(Code *c, int32_t v)
{
    bytes(c, &v, 4);
}

/* ModRM for reg, [base + disp32]; base is not RSP or R12. */
static void modrm_disp(Code *c, unsigned reg, unsigned base, int32_t disp)
{
    g_assert((base & 7) != 4);
    byte(c, 0x80 | (reg & 7) << 3 | (base & 7));
    word32(c, disp);
}

static void rex(Code *c, unsigned w, unsigned reg, unsigned base)
{
    unsigned r = 0x40 | w << 3 | (reg >> 3 & 1) << 2 | (base >> 3 & 1);

    if (r != 0x40) {
        byte(c, r);
    }
}

/* mov between a 64-bit register and [base + disp]: op 8B loads, 89 stores. */
static void mov_mem(Code *c, unsigned op, unsigned reg, unsigned base, int32_t disp)
{
    rex(c, 1, reg, base);
    byte(c, op);
    modrm_disp(c, reg, base, disp);
}

static void mov_reg(Code *c, unsigned dst, unsigned src)
{
    if (dst != src) {
        rex(c, 1, src, dst);
        byte(c, 0x89);
        byte(c, 0xc0 | (src & 7) << 3 | (dst & 7));
    }
}

/* 0F AE /ext on [base + disp]: fxsave64 0, fxrstor64 1 (w set), ldmxcsr 2, stmxcsr 3. */
static void op_0fae(Code *c, unsigned w, unsigned ext, unsigned base, int32_t disp)
{
    rex(c, w, 0, base);
    byte(c, 0x0f);
    byte(c, 0xae);
    modrm_disp(c, ext, base, disp);
}

/* Load (store: `st`) vector register v from [base + disp], `width` bytes. */
static void vec_move(Code *c, bool st, unsigned v, unsigned base, int32_t disp, unsigned width)
{
    unsigned nr = ~(v >> 3) & 1, nb = ~(base >> 3) & 1;

    if (width == 16) {                       /* movups */
        rex(c, 0, v, base);
        byte(c, 0x0f);
        byte(c, st ? 0x11 : 0x10);
    } else if (width == 32) {                /* vmovdqu ymm: VEX.256.F3.0F */
        byte(c, 0xc4);
        byte(c, nr << 7 | 0x40 | nb << 5 | 1);
        byte(c, 0x7e);
        byte(c, st ? 0x7f : 0x6f);
    } else {                                 /* vmovdqu64 zmm: EVEX.512.F3.0F.W1 */
        byte(c, 0x62);
        byte(c, nr << 7 | 0x40 | nb << 5 | (~(v >> 4) & 1) << 4 | 1);
        byte(c, 0xfe);
        byte(c, 0x48);
        byte(c, st ? 0x7f : 0x6f);
    }
    modrm_disp(c, v, base, disp);
}

/* kmovq */
static void k_move(Code *c, bool st, unsigned k, unsigned base, int32_t disp)
{
    byte(c, 0xc4);
    byte(c, 0xc0 | (~(base >> 3) & 1) << 5 | 1);
    byte(c, 0xf8);
    byte(c, st ? 0x91 : 0x90);
    modrm_disp(c, k, base, disp);
}

/* -- The parts of a stub --------------------------------------------------------------------------- */

#define CPU_GPR(i) ((int32_t)(offsetof(CpuState, gpr) + 8 * (i)))
#define CPU_ZMM(i) ((int32_t)(offsetof(CpuState, vec) + offsetof(VectorState, zmm) + 64 * (i)))
#define CPU_K(i) ((int32_t)(offsetof(CpuState, vec) + offsetof(VectorState, k) + 8 * (i)))
#define CPU_FX ((int32_t)(offsetof(CpuState, vec) + offsetof(VectorState, fx)))
#define CPU_MXCSR ((int32_t)(offsetof(CpuState, vec) + offsetof(VectorState, mxcsr)))
#define CPU_FLAGS ((int32_t)offsetof(CpuState, rflags))

static const uint8_t callee_saved[] = {GPR_RBX, GPR_RBP, GPR_R12, GPR_R13, GPR_R14, GPR_R15};

static unsigned pick(const uint8_t *from, unsigned n, uint32_t taken)
{
    for (unsigned i = 0; i < n; i++) {
        if ((taken >> from[i] & 1) == 0) {
            return from[i];
        }
    }
    g_assert_not_reached();
}

static unsigned vec_width(const StubPlan *p)
{
    return !p->whole ? 16 : vec_host_has_avx512() ? 64 : 32;
}

static void emit_loads(Code *c, const StubPlan *p, unsigned sp)
{
    if (p->x87) {
        op_0fae(c, 1, 1, c->s, CPU_FX);
    }
    for (unsigned i = 0; i < 32; i++) {
        if ((p->vec_in >> i & 1) != 0) {
            vec_move(c, false, i, c->s, CPU_ZMM(i), vec_width(p));
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        if ((p->k_in >> i & 1) != 0) {
            k_move(c, false, i, c->s, CPU_K(i));
        }
    }
    if (p->mxcsr) {
        op_0fae(c, 0, 2, c->s, CPU_MXCSR);
    }
    for (unsigned i = 0; i < 16; i++) {
        if ((p->gpr_in >> i & 1) != 0) {
            mov_mem(c, 0x8b, i == GPR_RSP ? sp : i, c->s, CPU_GPR(i));
        }
    }
    if (p->flags_in) {
        rex(c, 0, 6, c->s);
        byte(c, 0xff);                       /* push S->rflags */
        modrm_disp(c, 6, c->s, CPU_FLAGS);
        bytes(c, "\x48\x81\x24\x24", 4);     /* and qword [rsp], arithmetic flags */
        word32(c, FLAGS_ARITH);
        byte(c, 0x9d);                       /* popfq */
    }
}

static void emit_stores(Code *c, const StubPlan *p, unsigned sp)
{
    if (p->flags_out) {
        byte(c, 0x9c);                       /* pushfq; pop B->flags */
        rex(c, 0, 0, c->m);
        byte(c, 0x8f);
        modrm_disp(c, 0, c->m, (int32_t)offsetof(VecCpu, flags));
    }
    for (unsigned i = 0; i < 16; i++) {
        if ((p->gpr_out >> i & 1) != 0) {
            mov_mem(c, 0x89, i == GPR_RSP ? sp : i, c->s, CPU_GPR(i));
        }
    }
    for (unsigned i = 0; i < 32; i++) {
        if ((p->vec_out >> i & 1) != 0) {
            vec_move(c, true, i, c->s, CPU_ZMM(i), vec_width(p));
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        if ((p->k_out >> i & 1) != 0) {
            k_move(c, true, i, c->s, CPU_K(i));
        }
    }
    if (p->x87) {
        op_0fae(c, 1, 0, c->s, CPU_FX);
    }
}

/* Give C its own state back and return; RAX is set already. */
static void emit_leave(Code *c, const StubPlan *p, uint32_t named, uint32_t code_at)
{
    if (p->mxcsr) {
        op_0fae(c, 0, 3, c->s, CPU_MXCSR);
        bytes(c, "\x0f\xae\x15", 3);         /* ldmxcsr [rip + start of the stub memory] */
        word32(c, -(int32_t)(code_at + c->n + 4));
    }
    if (p->x87) {
        bytes(c, "\xdb\xe3", 2);             /* fninit */
    }
    if (p->whole && (p->vec_in | p->vec_out) != 0) {
        bytes(c, "\xc5\xf8\x77", 3);         /* vzeroupper */
    }
    for (int i = G_N_ELEMENTS(callee_saved) - 1; i >= 0; i--) {
        if ((named >> callee_saved[i] & 1) != 0) {
            rex(c, 0, 0, callee_saved[i]);
            byte(c, 0x58 | (callee_saved[i] & 7));
        }
    }
    byte(c, 0xc3);
}

/*
 * The nop before the instruction: "66 0f 1f 84 00 disp32" with disp32 = 0x5a000000 | distance from
 * the instruction to the fault exit.
 */
enum { FAULT_NOP_LEN = 9 };
static const uint8_t fault_nop[5] = {0x66, 0x0f, 0x1f, 0x84, 0x00};

/* Name T where the instruction names RSP, and (B) as its memory operand. */
static void patch_operands(uint8_t *b, const StubPlan *p, unsigned mem, unsigned sp)
{
    if (p->has_mem) {
        b[p->modrm_at] = (uint8_t)((b[p->modrm_at] & 0x38) | mem);
    }
    for (unsigned i = 0; i < p->n_sp; i++) {
        switch (p->sp_field[i]) {
        case SP_FIELD_REG:
            b[p->modrm_at] = (uint8_t)((b[p->modrm_at] & 0xc7) | sp << 3);
            break;
        case SP_FIELD_RM:
            b[p->modrm_at] = (uint8_t)((b[p->modrm_at] & 0xf8) | sp);
            break;
        default:
            b[p->vvvv_at] = (uint8_t)((b[p->vvvv_at] & 0x87) | (~sp & 15) << 3);
        }
    }
}

bool vec_stub_emit(VecCpu *vc, const StubPlan *p, VecInsn *v)
{
    static const uint8_t s_from[] = {GPR_RDI, GPR_R8, GPR_R9, GPR_R10, GPR_R11};
    static const uint8_t low_from[] = {GPR_RSI, GPR_RDX, GPR_RCX, GPR_RDI, GPR_RAX};
    uint32_t at = (vc->code_used + 63) & ~63u, named = p->gpr_in | p->gpr_out;
    Code c = {.n = 0};
    uint32_t insn_at;
    unsigned sp, nop_at;

    if (vc->rx == NULL || at + VEC_STUB_MAX > VEC_CODE_SIZE) {
        return false;
    }
    c.s = pick(s_from, G_N_ELEMENTS(s_from), named);
    c.m = pick(low_from, G_N_ELEMENTS(low_from), named | 1u << c.s);
    sp = (named >> GPR_RSP & 1) != 0
             ? pick(low_from, G_N_ELEMENTS(low_from), named | 1u << c.s | 1u << c.m) : 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(callee_saved); i++) {
        if ((named >> callee_saved[i] & 1) != 0) {
            rex(&c, 0, 0, callee_saved[i]);
            byte(&c, 0x50 | (callee_saved[i] & 7));
        }
    }
    mov_reg(&c, c.s, GPR_RDI);
    mov_reg(&c, c.m, GPR_RSI);
    emit_loads(&c, p, sp);
    nop_at = c.n;
    bytes(&c, fault_nop, sizeof(fault_nop));
    word32(&c, 0);
    insn_at = c.n;
    bytes(&c, p->bytes, p->len);
    patch_operands(c.b + insn_at, p, c.m, sp);
    emit_stores(&c, p, sp);
    bytes(&c, "\x31\xc0", 2);                /* xor eax, eax */
    emit_leave(&c, p, named, at);
    int32_t dist = (int32_t)(0x5a000000u | (c.n - insn_at));
    memcpy(c.b + nop_at + sizeof(fault_nop), &dist, 4);
    emit_leave(&c, p, named, at);

    memcpy(vc->rw + at, c.b, c.n);
    vc->code_used = at + c.n;
    v->run = (VecStub)(uintptr_t)(vc->rx + at);
    v->host_pc = vc->rx + at + insn_at;
    return true;
}

/* -- Memory ----------------------------------------------------------------------------------------- */

bool vec_arena_init(VecCpu *vc)
{
    static const uint32_t mxcsr = MXCSR_DEFAULT;
    int fd = memfd_create("metaphrase-vector", MFD_CLOEXEC);
    void *rw, *rx;

    if (fd < 0) {
        return false;
    }
    if (ftruncate(fd, VEC_CODE_SIZE) != 0) {
        close(fd);
        return false;
    }
    rw = mmap(NULL, VEC_CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    rx = mmap(NULL, VEC_CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    close(fd);
    if (rw == MAP_FAILED || rx == MAP_FAILED) {
        if (rw != MAP_FAILED) {
            munmap(rw, VEC_CODE_SIZE);
        }
        if (rx != MAP_FAILED) {
            munmap(rx, VEC_CODE_SIZE);
        }
        return false;
    }
    vc->rw = rw;
    vc->rx = rx;
    memcpy(vc->rw, &mxcsr, sizeof(mxcsr));   /* the MXCSR of C code, at offset 0 */
    vc->code_used = sizeof(mxcsr);
    return true;
}

void vec_arena_clear(VecCpu *vc)
{
    if (vc->rx != NULL) {
        munmap(vc->rw, VEC_CODE_SIZE);
        munmap((void *)(uintptr_t)vc->rx, VEC_CODE_SIZE);
        vc->rw = NULL;
        vc->rx = NULL;
    }
}

/* -- Signals --------------------------------------------------------------------------------------- */

/* Is `pc` the instruction of a stub?  Then *fault is its fault exit. */
static bool stub_fault_exit(const uint8_t *pc, const uint8_t **fault)
{
    uint32_t dist;

    if (memcmp(pc - FAULT_NOP_LEN, fault_nop, sizeof(fault_nop)) != 0) {
        return false;
    }
    memcpy(&dist, pc - 4, 4);
    if (dist >> 24 != 0x5a || (dist & 0xffffff) > VEC_STUB_MAX) {
        return false;
    }
    *fault = pc + (dist & 0xffffff);
    return true;
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    const uint8_t *pc = (const uint8_t *)uc->uc_mcontext.gregs[REG_RIP], *fault;

    if (info->si_code > 0 && stub_fault_exit(pc, &fault)) {
        uc->uc_mcontext.gregs[REG_RAX] = sig;
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)fault;
        return;
    }
    signal(sig, SIG_DFL);      /* not ours: let it happen again as it would have */
    if (info->si_code <= 0) {
        raise(sig);
    }
}

void vec_install_handlers(void)
{
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigemptyset(&sa.sa_mask);
    sigaction(SIGFPE, &sa, NULL);
    sigaction(SIGILL, &sa, NULL);
}

/* -- The host ----------------------------------------------------------------------------------------- */

bool vec_host_has_avx(void)
{
    return __builtin_cpu_supports("avx") != 0;
}

/* Enough of AVX-512 for our loads and stores of whole registers. */
bool vec_host_has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0;
}
