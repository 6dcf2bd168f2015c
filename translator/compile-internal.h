/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of the compiler (compile.h): one block's state while it is emitted, and what compile*.c
 * share.  compile.c holds the block, its marks, borrowed registers, flags and exits; the others emit
 * one family of instructions each.
 */
#ifndef TRANSLATOR_COMPILE_INTERNAL_H
#define TRANSLATOR_COMPILE_INTERNAL_H

#include "translator/compile.h"
#include "translator/vcb.h"

enum { MARKS_MAX = 1024, SLOW_MAX = 192 };

/* Where the guest's flags are. */
typedef enum { FLAGS_IN_HOST, FLAGS_IN_SLOT, FLAGS_DEAD } FlagsAt;

/* Loads by the same registers that share a look-up (compile-group.c). */
typedef struct {
    int64_t from, to;          /* displacements of the span                         */
    uint8_t base, index, scale; /* EMIT_NO_REG: none                                */
    bool absolute;             /* ... neither: from and to are addresses            */
    bool open;                 /* while they are looked for: there may be more      */
    uint8_t first, last, n;    /* members; n is 1: no group                         */
    uint8_t reg;               /* holds the host's address of the span, first to last */
    uint8_t *fail;             /* rel32 of the jump that the look-up fails by; NULL: the stub of its Site jumps */
    uint16_t borrowed;         /* then                                              */
    FlagsAt flags;
    uint16_t entry_off;        /* host offset where it goes on beside the block     */
} Group;
enum { GROUPS_MAX = 8 };

/* Where the block is behind an instruction. */
typedef struct {
    uint16_t off, borrowed;
    FlagsAt flags;
} Rejoin;

/* What of an exit is cold code. */
typedef struct {
    bool is;
    uint16_t borrowed;         /* where it begins                                   */
    uint8_t insn, uncounted;   /* in the middle, where instructions are counted: number of the jump; how many behind it are none */
    /* Displacements of jumps, or NULL: of BlockExit, and of the one that leaves the look-up in the jump cache. */
    uint8_t *rel32, *jcc, *early, *miss;
} ExitRest;

typedef struct {
    Emit *e;
    Block *b;
    BlockCache *cache;
    const Plan *p;
    const PlanInsn *in;        /* being compiled           */
    unsigned insn;             /* its number               */
    int32_t fs;                /* vcb's offset from fs     */

    uint16_t own;              /* env_own_regs(): always among the borrowed */
    uint16_t borrowed;
    uint16_t warm;             /* borrowed from the prologue to the exits */
    FlagsAt flags;
    uint8_t bits;              /* MARK_* besides the flags */
    uint8_t scratch[16], n_scratch; /* free registers, best first */
    unsigned run_end;          /* up to this instruction scratch 0 holds a near page's addend (compile-near.c); 0: none */

    Mark marks[MARKS_MAX];
    unsigned n_marks;
    BlockInsn insns[FRONT_INSNS_MAX];
    Site sites[SLOW_MAX], spare; /* spare: for those that do not fit */
    uint8_t *slow[SLOW_MAX];   /* rel32 of the jump to each site's stub */
    unsigned n_sites;
    Group group[GROUPS_MAX];
    unsigned n_groups;
    uint8_t group_of[FRONT_INSNS_MAX]; /* of each instruction: its number plus 1; 0: none */
    Rejoin rejoin[FRONT_INSNS_MAX];
    ExitRest rest[BLOCK_EXITS];
    unsigned sides;            /* exits in the middle so far                        */
    bool beside;               /* code of group members with own look-ups           */
    uint32_t place, sites_place; /* cache_place() of the block and its first Site */
    uint8_t exec;              /* number of the current instruction in Block.exec */
} Gen;

/* -- compile.c: marks, the vCPU block ------------------------------------------------------------- */

/* From the current host offset on, things are as g says; `bits` are MARK_*. */
void gen_mark_as(Gen *g, unsigned index, unsigned bits);
void gen_mark(Gen *g);
unsigned gen_flag_bits(const Gen *g);
/* The current instruction, which ends no block, is complete: it may not be executed anew. */
void gen_mark_done(Gen *g);

/* Offset from fs of a field of the vCPU block (VCB_*). */
static inline int32_t gen_field(const Gen *g, int off)
{
    return g->fs + off;
}

static inline int32_t gen_saved_slot(const Gen *g, unsigned reg)
{
    return gen_field(g, VCB_SAVED + 8 * (int)reg);
}

/* The current instruction. */
void gen_insn(Gen *g);

/* -- Borrowing and flags ---------------------------------------------------------------------------- */

void gen_borrow(Gen *g, unsigned reg);
/* The n-th scratch register (0..2), borrowed. */
unsigned gen_scratch(Gen *g, unsigned n);
/* The host's flags are about to be clobbered before the current instruction executes. */
void gen_free_flags(Gen *g);
void gen_flags_to_host(Gen *g);
void gen_flags_to_slot(Gen *g);
/* Around the use of rax by lahf and sahf; the guest's waits in scratch 2 where that is borrowed. */
void gen_take_rax(Gen *g);
void gen_return_rax(Gen *g);
/* The current instruction is about to execute on the host: give it the flags it needs; afterwards,
 * say where they are. */
void gen_flags_for_insn(Gen *g);
void gen_flags_after_insn(Gen *g);
/* Give every guest value back, but for the registers `keep`.  The slots stay valid, so marks inside need
 * not follow. */
void gen_give_back(Gen *g);
void gen_give_back_but(Gen *g, uint16_t keep);
/* Before an exit: flags home, registers home.  Afterwards nothing is borrowed, or what the prologue
 * borrowed (warm). */
void gen_come_home(Gen *g);
void gen_come_home_warm(Gen *g);

/* -- Leaving ------------------------------------------------------------------------------------------ */

/* Jump to a stub that leaves for the interpreter, or for a helper; each is one Site,
 * to be filled in (a spare one when no more fit; then the block is thrown away). */
Site *gen_slow_jcc(Gen *g, unsigned cc, TransHelper helper);
Site *gen_slow_jmp(Gen *g, TransHelper helper);
/* Behind an instruction that always leaves for `helper`: where flags are. */
void gen_helped(Gen *g, TransHelper helper);
/* mov dword site, imm; jmp [thunk] */
void gen_leave(Gen *g, unsigned number, unsigned kind);

/* -- Words: pointers and stack slots, of 8 bytes in 64-bit code, of 4 in 32-bit code ------------------- */

static inline unsigned gen_word(const Gen *g)
{
    return g->p->code32 ? 4 : 8;
}

/* The guest address behind the first `len` bytes of the block. */
static inline uint64_t gen_rip_at(const Gen *g, unsigned len)
{
    return g->p->code32 ? (uint32_t)(g->p->lin + len) : g->p->lin + len;
}

/* dst = lin, an address that was made of the block's; quiet: flags are left alone. */
void gen_address(Gen *g, unsigned dst, uint64_t lin, bool quiet);
/* The guest's flags before the current instruction are in the host, and matter. */
static inline bool gen_flags_matter(const Gen *g)
{
    return g->flags == FLAGS_IN_HOST && g->in->flags_live != 0;
}

/* User code: who arrives at a block that is shared has put an address of its page into vcb.here. */
static inline bool gen_says_where(const Gen *g, uint64_t target)
{
    return g->p->shared || front_shares(g->p->config, target, g->p->env);
}

void gen_word_lea(Gen *g, unsigned dst, unsigned base, int32_t disp); /* dst = base + disp, wrapping */
void gen_word_load(Gen *g, unsigned dst, unsigned base);
void gen_word_store(Gen *g, unsigned base, unsigned src);
void gen_word_store_imm(Gen *g, unsigned base, int32_t disp, int32_t imm); /* [base + disp], sign-extended */

/* -- The window: operands as they are, with a GS prefix (windows.h) ------------------------------------ */

static inline bool plan_in_window(const Plan *p, const PlanInsn *in)
{
    return (p->env & ENV_WINDOW) != 0 && (p->code32 || (int64_t)p->lin < 0) && !in->guilty;
}

/* Does the current instruction use it? */
static inline bool gen_in_window(const Gen *g)
{
    return plan_in_window(g->p, g->in);
}

/* Before an emitted access to guest memory by a register that gen_stack() or gen_operand_address() gave. */
static inline void gen_window_prefix(Gen *g)
{
    if (gen_in_window(g)) {
        emit8(g->e, 0x65);
    }
}

/* Is [base + disp] of `size` bytes worth trying in a near page?  64-bit code of the two privileges that have some. */
static inline bool plan_is_near(const Plan *p, const PlanInsn *in, unsigned base, unsigned size)
{
    return p->config->near_stack && !p->code32 && (p->env & (ENV_CPL0 | ENV_CPL3)) != 0 && !in->far &&
           (base == GPR_RSP || in->plan == PLAN_LEAVE) && size <= 64 && (size & (size - 1)) == 0;
}

/* -- compile-address.c --------------------------------------------------------------------------------- */

unsigned gen_reg_of(ZydisRegister r);
/* a = host address of the guest-linear address in a, for an access of `size` bytes, or out; t, u and the
 * host's flags are clobbered. */
void gen_tlb(Gen *g, unsigned a, unsigned t, unsigned u, unsigned size, bool write);
/* Scratch 0 = address of the word at [base + disp] on the stack, for gen_word_load() and such. */
unsigned gen_stack(Gen *g, unsigned base, int32_t disp, bool write);
/* The same as a place for gen_place_load() and such, with less code. */
typedef struct {
    unsigned base, index;      /* index: EMIT_NO_REG, and disp is 0, or scratch 0 */
    int32_t disp;
} Place;
Place gen_stack_place(Gen *g, unsigned base, int32_t disp, bool write);
void gen_place_load(Gen *g, unsigned dst, Place p);
void gen_place_store(Gen *g, Place p, unsigned src);
void gen_place_store_imm(Gen *g, Place p, int32_t imm);
/* Scratch 0 = address of the current instruction's memory operand, likewise. */
unsigned gen_operand_address(Gen *g);
/*
 * a = host address of the guest-linear address in a, where `span` bytes are in one page that may be loaded from.  Else to where group
 * number `group` less 1 goes on beside the block: by the jump whose rel32 is returned, or, NULL, by the Site's stub.  Scratch 1, 2 and
 * flags are clobbered.
 */
uint8_t *gen_span(Gen *g, unsigned a, unsigned span, unsigned group);
/* Scratch 0 = linear address of the current instruction's memory operand, which is not in FS or GS; flags
 * stay. */
unsigned gen_operand_linear(Gen *g);
/* The current instruction is CALL class. */
void gen_device(Gen *g);
/* Where a Site of gen_spot() goes first; falls through to who leaves. */
void gen_spot_stub(Gen *g, Site *s);

/* In a segment that has a base: FS or GS. */
bool gen_is_based(const ZydisDecodedOperand *m);
/* dst = linear address of the operand; tmp and flags may be clobbered, flags not in the window. */
void gen_linear(Gen *g, unsigned dst, unsigned tmp, const ZydisDecodedOperand *m);
/* As gen_window_prefix(), before an access by `base`, which may be a register of the guest's. */
void gen_stack_prefix(Gen *g, unsigned base);

/* -- compile-near.c ------------------------------------------------------------------------------------ */

/* Is [base + disp] worth trying in a near page?  64-bit code of the two privileges that have some. */
bool gen_is_near(const Gen *g, unsigned base, unsigned size);
/*
 * Host address of [base + disp], or the addend that makes it, in the register returned, where it is in the page used last; else
 * the stub tries the one before, or out.  Flags are left alone where they are live.
 */
unsigned gen_near(Gen *g, unsigned base, int32_t disp, unsigned size, bool write, bool addend);
/* Where a Site of gen_near() goes first; falls through to who leaves. */
void gen_near_stub(Gen *g, const Site *s);
/* Before the current instruction: if flags are dead here, but not where a run begins that is about to, begin it here. */
void gen_near_ahead(Gen *g);
/* The current instruction is in a run, and not its last: the block cannot go on behind it but by the run's own code. */
static inline bool gen_in_run(const Gen *g)
{
    return g->insn < g->run_end;
}

/* -- compile-mem.c ------------------------------------------------------------------------------------- */

/* The current instruction has a memory operand that the window can serve: emit it so.  False: it has not. */
bool gen_mem_in_window(Gen *g);
void gen_mem(Gen *g);
void gen_push(Gen *g);
void gen_push_mem(Gen *g);
void gen_pop(Gen *g);
void gen_leave_insn(Gen *g);

/* -- compile-group.c ----------------------------------------------------------------------------------- */

/* What groups the plan has, and their registers. */
void gen_find_groups(Gen *g);
/* The current instruction's operand is a group's: at [reg + disp] in the host (the first one's look-up is emitted). */
bool gen_group_place(Gen *g, unsigned *reg, int32_t *disp);
/* Is instruction number `insn` a group's, or between two of its? */
bool gen_in_group(const Gen *g, unsigned insn);
/* Behind the block: where look-ups of groups fail to. */
void gen_groups_beside(Gen *g);

/* -- compile-string.c ---------------------------------------------------------------------------------- */

/* The current instruction is MOVS or STOS (HELPER_STRING). */
void gen_string(Gen *g);

/* -- compile-system.c ---------------------------------------------------------------------------------- */

void gen_system(Gen *g);
void gen_helper(Gen *g);
void gen_helper_end(Gen *g);
/* Is something pending that setting IF would let in?  Then out, before anything has changed; t and flags are clobbered. */
void gen_out_if_pending(Gen *g, unsigned t, TransHelper helper);
/* The software TLB's class becomes that of the three fields at `from`; t is clobbered. */
void gen_tlb_class(Gen *g, unsigned t, int from);
/* t = RFLAGS, whose arithmetic flags are in the slot; u and flags are clobbered. */
void gen_rflags(Gen *g, unsigned t, unsigned u);

/* -- compile-register.c -------------------------------------------------------------------------------- */

/* reg = a 32-bit field of the CpuState. */
void gen_cpu_load32(Gen *g, unsigned reg, size_t field);
/* The current instruction: MOV from a control register, to CR8; RDMSR or WRMSR; WRFSBASE or WRGSBASE, whose `field` it is. */
void gen_read_cr(Gen *g, unsigned reg);
void gen_write_cr8(Gen *g);
void gen_msr(Gen *g, bool write);
void gen_write_base(Gen *g, int field);

/* -- compile-cross.c ----------------------------------------------------------------------------------- */

/* The current instruction, where the configuration and the environment let it be a sequence. */
void gen_syscall(Gen *g);
void gen_sysret(Gen *g);

/* -- compile-flow.c ------------------------------------------------------------------------------------ */

/* Leave by exit k for a constant rip; flags are in the host, nothing is borrowed or what gen_come_home_warm()
 * left. */
void gen_exit(Gen *g, unsigned k, uint64_t target);
/* The cold code of all exits. */
void gen_exit_rests(Gen *g);
/* Before the block's instruction, which reaches over the page's end: out where the page behind is not what the block was made of. */
void gen_beyond(Gen *g);
/* Does the block, whose plan is made, ask the jump cache for a constant place? */
bool gen_exits_by_cache(const Gen *g);
void gen_call(Gen *g);
void gen_jcc(Gen *g);
void gen_jmp_ind(Gen *g);
void gen_call_ind(Gen *g);
void gen_ret(Gen *g);

#endif /* TRANSLATOR_COMPILE_INTERNAL_H */
