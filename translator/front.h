/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Front end: guest bytes -> the plan of one block.
 *
 * Zydis decodes; each instruction gets a class (how it is translated), the registers it touches and
 * its arithmetic flags: read, surely written (kill), perhaps written.  A backward pass then finds
 * which flags are live before each instruction; what is live behind the last one, a look at the next
 * few instructions on the same page tells.  Everything is a pure function of the page's bytes.
 */
#ifndef TRANSLATOR_FRONT_H
#define TRANSLATOR_FRONT_H

#include "translator/policy.h"

#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stdint.h>

enum { FRONT_INSNS_MAX = 64, FRONT_SIDES_MAX = 6, FRONT_SCRATCH_WANTED = 5, INSN_BYTES_MAX = 15 };

typedef enum {
    PLAN_COPY,                 /* the same bytes                                               */
    PLAN_NOTHING,              /* nop, endbr, prefetch: no code                                */
    PLAN_MEM,                  /* the same instruction on the host address of its operand      */
    PLAN_LEA_RIP,              /* lea reg, [rip+disp] or [disp]: a constant                    */
    PLAN_PUSH, PLAN_PUSH_MEM, PLAN_POP, PLAN_LEAVE,
    PLAN_SYSTEM,               /* a sequence of its own: compile-system.c                      */
    PLAN_HELPER,               /* by a helper (PlanInsn.helper), then on behind it             */
    PLAN_INTERP,               /* by the interpreter, then on behind it                        */
    PLAN_INTERP_END,           /* by the interpreter; ends the block                           */
    PLAN_HELPER_END,           /* by a helper; ends the block                                  */
    PLAN_JMP, PLAN_JCC, PLAN_CALL,
    PLAN_JMP_IND, PLAN_CALL_IND, PLAN_RET,
} PlanClass;

typedef struct {
    uint8_t plan;              /* PlanClass                                                    */
    uint8_t off, len;          /* from the block's start                                       */
    uint8_t mem;               /* index of the memory operand in `op`, or 0xff                 */
    uint8_t mem_size;          /* bytes                                                        */
    bool mem_write;            /* the operand is written                                       */
    bool guilty;               /* faulted in the window: software TLB                          */
    bool touch;                /* what it reaches there is often not mapped yet                 */
    bool aside;                /* ... and need not be: guilty, for now                          */
    bool high_byte;            /* names AH, CH, DH or BH: takes no REX prefix                  */
    uint8_t cc;                /* PLAN_JCC                                                     */
    uint8_t helper;            /* PLAN_HELPER*, and PLAN_SYSTEM with exec: TransHelper         */
    bool exec;                 /* the helper is its function of the interpreter                */
    uint8_t vec;               /* VEC_HALF_*: uses the vector state                            */
    uint8_t imm_off, imm_len;  /* its immediate, where code can read that from memory; else 0  */
    bool soft;                 /* ... and does                                                 */
    bool far;                  /* its stack access is often not to a near page                 */
    uint16_t regs;             /* general registers read or written                            */
    uint16_t flags_read, flags_kill, flags_maybe, flags_live; /* FLAG_*; live: before it       */
    uint16_t flags_side;       /* ENV_COUNTED: live where a conditional jump in the middle leads */
    uint64_t target;           /* direct branches: guest rip; LEA_RIP: the value               */
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
} PlanInsn;

typedef struct {
    const TransConfig *config; /* set once by the owner                                        */
    uint64_t lin;
    bool code32;               /* else 64-bit code                                             */
    bool shared;               /* front_shares(): the code must not know where it is           */
    bool hot;                  /* cache_is_hot()                                               */
    uint32_t env;
    uint16_t warm_hint;        /* registers that whoever goes there has borrowed               */
    uint8_t bytes[256];        /* a copy of the guest's code                                   */
    const uint8_t *host;       /* ... which is there                                           */
    unsigned source_from, source_to; /* bytes of its page that the plan rests on               */
    unsigned n, len;           /* instructions, guest bytes                                    */
    unsigned sides;            /* conditional jumps in the middle, behind which the block goes on  */
    uint8_t beyond;            /* ... of which on the next page: not 0 for one instruction across the page's end */
    uint16_t regs;             /* of all instructions                                          */
    uint16_t flags_out;        /* FLAG_* live behind the last one, besides what it reads itself  */
    uint16_t kept_in, kept_out; /* ENV_COUNTED: live before and behind the block, as blocks before it may have found out */
    uint8_t vec;               /* VEC_HALF_* of all instructions                               */
    PlanInsn insn[FRONT_INSNS_MAX];
} Plan;

/*
 * The environment: all of the CPU's state that decides how code may be translated, part of a block's
 * key.  So generated code checks none of it.
 */
enum {
    ENV_CPL3 = 1 << 0,
    ENV_X87 = 1 << 1,          /* x87 and MMX run as on the host (CR0.EM, .TS clear, .NE set)  */
    ENV_SSE = 1 << 2,          /* CR0.EM, .TS clear, CR4.OSFXSR                                */
    ENV_AVX = 1 << 3,          /* ... CR4.OSXSAVE, XCR0                                        */
    ENV_AVX512 = 1 << 4,
    ENV_CODE32 = 1 << 5,       /* 32-bit code and stack in flat segments; else 64-bit code     */
    ENV_CPL0 = 1 << 6,
    ENV_SMAP = 1 << 7,         /* CR4.SMAP: AC changes the TLB class                           */
    ENV_FSGSBASE = 1 << 8,     /* CR4.FSGSBASE                                                 */
    ENV_TSC = 1 << 9,          /* rdtsc is allowed, and the host's plus an offset              */
    ENV_WINDOW = 1 << 12,      /* 32-bit or upper-half code of a kernel uses the window (windows.h) */
    ENV_PLAIN = 1 << 11,       /* lock-step: system instructions and helpers are left to the interpreter */
    ENV_NO_QUICK = 1 << 14,    /* ... no sequences and helpers for the frequent ones of those (property `quick-system`) */
    ENV_NO_SYSTEM = 1 << 13,   /* ... those of PlanInsn.exec (property `system`)               */
    ENV_COUNTED = 1 << 15,     /* plans alone: blocks count their instructions (CpuState.exact)  */
    ENV_ODD = 1 << 10,         /* DF, IOPL, NT, ID or such are set: no sequences for flags     */
};

/*
 * Host registers that are the translator's own while code of this environment runs: 32-bit code knows
 * eight.  What the guest has in the others waits in vcb.saved from state_to_host() on.
 */
static inline uint16_t env_own_regs(uint32_t env)
{
    return (env & ENV_CODE32) != 0 ? 0xff00 : 0;
}

/*
 * Does a block of this environment at linear address `lin` serve whatever addresses its page is mapped at?  Programs and libraries
 * are mapped elsewhere with each exec.  Such code takes its page's address from vcb.here.
 */
static inline bool front_shares(const TransConfig *config, uint64_t lin, uint32_t env)
{
    unsigned above = (env & ENV_CODE32) != 0 && config->share_above > 1 ? 1 : config->share_above;

    return (env & ENV_CPL3) != 0 && config->share && lin >> 30 >= above;
}

/* Plan the block at linear address `lin`, whose bytes are at `bytes`, with the
 * page's others before and behind them, for code in environment env, of at most max instructions.  isa_allowed says whether the guest's CPU has a
 * ZydisISASet; what it has not is left to the interpreter.  An instruction that
 * crosses the page's end is a block of its own; `beyond`: the next page's bytes, or NULL, where that is not known or not to be executed.
 * False: not even one instruction can be planned (it does not decode): interpret it. */
bool front_plan(Plan *p, uint64_t lin, const uint8_t *bytes, const uint8_t *beyond, unsigned max, uint32_t env,
                bool (*isa_allowed)(const void *arg, unsigned isa_set), const void *arg);

/* A block that goes on behind its instruction number n - 1, a conditional jump: let it end there. */
void front_end_at(Plan *p, unsigned n);
/* May an exit to linear address `target` be linked?  On the same page, and between a kernel's pages, which may be mapped for good. */
bool plan_links(const Plan *p, uint64_t target);

/* Make the planned instruction CALL class, when it is one that may be. */
void front_call(PlanInsn *in);
/* Have a division executed by HELPER_DIVIDE, without a fault of the host when it faults.  Others stay as they are. */
void front_divide(PlanInsn *in);

/* "copy", "mem", ...: for people. */
const char *front_class_name(unsigned plan_class);

#endif /* TRANSLATOR_FRONT_H */
