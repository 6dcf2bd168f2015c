/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vCPU block: what translated code reads and writes besides guest registers and guest memory.
 *
 * One per host thread, in static thread-local storage, so that generated code reaches it through
 * the host's own fs segment at a constant offset and C reaches it by name; no base is switched at the
 * border.  It is the engine's working copy: the CpuState is canonical again whenever the engine
 * returns (engine.c: state_from_host(), state_to_host()).
 *
 * The guest's general registers live in the host's registers of the same name.  Exceptions are the
 * registers a block *borrows* as scratch: their guest values wait in `saved`.  The guest's
 * arithmetic flags live in the host's flags, or, where generated code needs the host's for itself,
 * in `flags_slot` (as lahf/seto leave them: AH, AL = OF).
 */
#ifndef TRANSLATOR_VCB_H
#define TRANSLATOR_VCB_H

#include "cpu-x86/state.h"
#include "translator/vcb-offsets.h"

#include <stddef.h>
#include <stdint.h>

/* Added to a 32-bit address: one that no TLB holds. */
#define VCB_SEG_ODD (UINT64_C(1) << 62)

enum { JC_SIZE = VCB_JC_SIZE }; /* entries of the jump cache at most */
enum { ANNOUNCED_MAX = 64 };
_Static_assert(VCB_SPOTS == TLB_SPOTS && sizeof(TlbSpot) == 32, "vcb-offsets.h: VCB_SPOT");

typedef struct TransCpu TransCpu;

/* What CPUID answers, at a place that leaf and subleaf give (vcb_cpuid_entry(), compile-system.c). */
enum { CPUID_ENTRIES = 32 };
typedef struct {
    uint64_t key;            /* subleaf << 32 | leaf; CPUID_NOTHING: none                */
    uint32_t regs[4];        /* eax ebx ecx edx                                          */
    uint64_t unused;
} CpuidEntry;
#define CPUID_NOTHING UINT64_MAX
_Static_assert(sizeof(CpuidEntry) == 32, "generated code scales by 32");

/* Of the jump cache: two are a line of the host's cache. */
typedef struct {
    uint64_t ntag;           /* minus (rip + key); 0 never matches                       */
    uint64_t code;           /* host address of the block                                */
    uint64_t warm;           /* ... for those who have borrowed BLOCK_WARM_USUAL         */
    uint64_t aside;          /* ... and have the guest's flags in flags_slot             */
} JumpEntry;
_Static_assert(sizeof(JumpEntry) == 32, "generated code scales by 32");

typedef struct {
    uint64_t host[16];       /* host registers as the border leaves or wants them        */
    uint64_t saved[16];      /* guest values of borrowed registers                       */
    uint64_t flags;          /* host flags at the border, lahf/seto image in bits 0..15   */
    uint64_t flags_slot;     /* guest flags while the host's are in use                  */
    uint64_t rax_tmp;        /* guest rax while rax moves the flags                      */
    uint64_t rip;            /* guest rip behind an indirect branch                      */
    uint64_t resume;         /* host address the border jumps to                         */
    uint64_t host_rsp;       /* the C stack                                              */
    uint64_t site;           /* who left: SITE_* below                                   */
    uint64_t tlb_mask;       /* index mask of the current class's table, times 32        */
    uint64_t tlb_entry;      /* its entries                                              */
    uint64_t tlb_space;      /* current space tag                                        */
    uint64_t fs_base, gs_base; /* in 32-bit code VCB_SEG_ODD, unless it is data of 4 GiB    */
    uint64_t kernel_gs_base;   /* behind them as its MSR is behind theirs                */
    uint64_t jc_key;         /* added to a rip: tag of the jump cache                    */
    uint64_t jc_mask;        /* pdep mask that makes the jump cache's index, times 4     */
    uint64_t swap_tmp;       /* swapgs, half done: the other base                          */
    uint64_t thunk;          /* trans_thunk: code memory may be out of a near jump's reach */

    /* The guest's vector state: in the host's registers, or in CpuState.vec ("dead" in the host). */
    VectorState *vec;
    uint64_t vec_dead;       /* not 0: SSE, AVX, AVX-512, MXCSR are in *vec               */
    uint64_t x87_dead;       /* not 0: x87 and MMX are in *vec                            */
    uint64_t vec_wanted;     /* VEC_HALF_*: to be in the host at `resume`                 */
    uint32_t vec_width;      /* registers move in 0: 16, 1: 32, 2: 64 bytes (and there are 32) */
    uint32_t c_mxcsr;        /* C's                                                       */

    /* The system state that generated code changes by itself; system_from_host() takes it home. */
    uint8_t vif;             /* RFLAGS.IF: bits 8..15 of RFLAGS with nothing else in them, 0 or 2 */
    uint8_t vac;             /* RFLAGS.AC: bits 16..23, 0 or 4                            */
    uint8_t watch_user;      /* not 0: who returns to user mode goes to the dispatcher (direct/) */
    const uint32_t *requests; /* &CpuState.requests                                       */
    uint64_t sys_flags;      /* all other flags but the arithmetic ones                   */
    uint64_t tsc_offset;
    uint64_t kernel_tlb[2][3]; /* for stac and clac: tlb_mask, _entry, _space of both classes */
    TransCpu *tc;
    uint64_t page_mask;      /* GUEST_PAGE_MASK                                           */
    uint32_t n_announced;    /* bytes written to `announced` so far, modulo 2^32          */
    uint32_t n_taken;        /* ... of which so many were looked at                      */

    /* For syscall and sysret in the code cache. */
    uint64_t user_tlb[3];      /* as kernel_tlb, of TLB_USER                             */
    uint64_t key_kernel;       /* jc_key of 64-bit code at CPL 0 with nothing odd in RFLAGS */
    uint64_t key_user;         /* ... at CPL 3                                           */
    uint64_t syscall_rip;      /* LSTAR                                                  */
    uint64_t syscall_slot;     /* its index in the jump cache                            */
    uint64_t syscall_tag;      /* ... and tag, which none has while syscall needs C      */
    uint64_t syscall_keep;     /* arithmetic flags that syscall leaves: lahf/seto image  */
    uint64_t syscall_keep_if;  /* for vif likewise: 0 or 2                               */
    uint64_t n_syscalls;       /* made without C, to be counted                          */
    uint8_t crossed;           /* CROSSED_*: what loaded CS and SS last                  */
    CpuState *cpu;             /* for sequences, which touch only what is not kept here  */
    uint64_t fs_odd, gs_odd;   /* 32-bit code: VCB_SEG_ODD, or 0 where fs_base and gs_base are bases */
    uint64_t spec_ctrl_bad;    /* bits of IA32_SPEC_CTRL that are #GP; all: there is no such MSR */
    uint64_t near_mask[7];     /* pext mask of an offset from a near page for an aligned access of
                                  2^n bytes: all but the bits that it may have            */
    uint64_t string[2];      /* added to RDI and RSI while MOVS or STOS executes on host addresses */
    uint64_t pauses;         /* to be executed until cpu_spins() hears of them           */
    int64_t left;            /* where instructions are counted (ENV_COUNTED): until TransCpu.limit, once the block that runs has ended */
    uint64_t sign;           /* pext mask of bit 63                                       */
    JumpEntry jc[JC_SIZE] __attribute__((aligned(64)));
    /* Instructions across page ends whose second page was looked up, at crossing_slot() of the first. */
    uint64_t cross_ntag[VCB_CROSSINGS]; /* minus (rip + key); 0 never matches                    */
    uint64_t cross_page[VCB_CROSSINGS]; /* minus the second page's number in the guest's memory  */
    uint8_t x87_area[576] __attribute__((aligned(64))); /* XSAVE image, component 0 only  */
    /* Linear addresses whose page-table entries the guest has changed and is about to use; a ring. */
    uint32_t announced[ANNOUNCED_MAX];
    uint64_t bounce_pc, bounce_rsp; /* for trans_bounce (signals.c)                             */
    uint64_t jc_whole;       /* what jc_mask is while nobody asks for this CPU            */
    uint64_t here;           /* user code: an address of the page where it is (front_shares())   */
    CpuidEntry cpuid[CPUID_ENTRIES] __attribute__((aligned(16)));
    TlbLent lent __attribute__((aligned(64))); /* to the TLB                                        */
} Vcb;

#define VCB_ASSERT(field, offset)                                                                  \
    _Static_assert(offsetof(Vcb, field) == (offset), "vcb-offsets.h: " #field)
VCB_ASSERT(host, VCB_HOST);
VCB_ASSERT(saved, VCB_SAVED);
VCB_ASSERT(flags, VCB_FLAGS);
VCB_ASSERT(flags_slot, VCB_FLAGS_SLOT);
VCB_ASSERT(rax_tmp, VCB_RAX_TMP);
VCB_ASSERT(rip, VCB_RIP);
VCB_ASSERT(resume, VCB_RESUME);
VCB_ASSERT(host_rsp, VCB_HOST_RSP);
VCB_ASSERT(site, VCB_SITE);
VCB_ASSERT(tlb_mask, VCB_TLB_MASK);
VCB_ASSERT(tlb_entry, VCB_TLB_ENTRY);
VCB_ASSERT(tlb_space, VCB_TLB_SPACE);
VCB_ASSERT(fs_base, VCB_FS_BASE);
VCB_ASSERT(gs_base, VCB_GS_BASE);
VCB_ASSERT(jc_key, VCB_JC_KEY);
VCB_ASSERT(jc_mask, VCB_JC_MASK);
VCB_ASSERT(thunk, VCB_THUNK);
VCB_ASSERT(vec, VCB_VEC);
VCB_ASSERT(vec_dead, VCB_VEC_DEAD);
VCB_ASSERT(x87_dead, VCB_X87_DEAD);
VCB_ASSERT(vec_wanted, VCB_VEC_WANTED);
VCB_ASSERT(vec_width, VCB_VEC_WIDTH);
VCB_ASSERT(vif, VCB_VIF);
VCB_ASSERT(vac, VCB_VAC);
VCB_ASSERT(watch_user, VCB_WATCH_USER);
VCB_ASSERT(requests, VCB_REQUESTS);
VCB_ASSERT(sys_flags, VCB_SYS_FLAGS);
VCB_ASSERT(kernel_gs_base, VCB_KERNEL_GS_BASE);
VCB_ASSERT(tsc_offset, VCB_TSC_OFFSET);
VCB_ASSERT(kernel_tlb, VCB_KERNEL_TLB);
VCB_ASSERT(swap_tmp, VCB_SWAP_TMP);
VCB_ASSERT(c_mxcsr, VCB_C_MXCSR);
_Static_assert(offsetof(VectorState, k) == VEC_K && offsetof(VectorState, fx) == VEC_FX &&
               offsetof(VectorState, mxcsr) == VEC_MXCSR, "vcb-offsets.h: VectorState");
VCB_ASSERT(n_announced, VCB_N_ANNOUNCED);
VCB_ASSERT(announced, VCB_ANNOUNCED);
VCB_ASSERT(bounce_pc, VCB_BOUNCE_PC);
VCB_ASSERT(bounce_rsp, VCB_BOUNCE_RSP);
VCB_ASSERT(user_tlb, VCB_USER_TLB);
VCB_ASSERT(key_kernel, VCB_KEY_KERNEL);
VCB_ASSERT(key_user, VCB_KEY_USER);
VCB_ASSERT(syscall_rip, VCB_SYSCALL_RIP);
VCB_ASSERT(syscall_slot, VCB_SYSCALL_SLOT);
VCB_ASSERT(syscall_tag, VCB_SYSCALL_TAG);
VCB_ASSERT(syscall_keep, VCB_SYSCALL_KEEP);
VCB_ASSERT(syscall_keep_if, VCB_SYSCALL_KEEP_IF);
VCB_ASSERT(n_syscalls, VCB_N_SYSCALLS);
VCB_ASSERT(crossed, VCB_CROSSED);
VCB_ASSERT(cpu, VCB_CPU);
VCB_ASSERT(fs_odd, VCB_FS_ODD);
VCB_ASSERT(gs_odd, VCB_GS_ODD);
VCB_ASSERT(spec_ctrl_bad, VCB_SPEC_CTRL_BAD);
VCB_ASSERT(jc_whole, VCB_JC_WHOLE);
VCB_ASSERT(here, VCB_HERE);
VCB_ASSERT(cpuid, VCB_CPUID);
VCB_ASSERT(lent.near, VCB_NEAR);
VCB_ASSERT(lent.spot, VCB_SPOT);
VCB_ASSERT(lent.spots_used, VCB_SPOTS_USED);
VCB_ASSERT(near_mask, VCB_NEAR_MASK);
VCB_ASSERT(string, VCB_STRING);
VCB_ASSERT(pauses, VCB_PAUSES);
VCB_ASSERT(left, VCB_LEFT);
VCB_ASSERT(sign, VCB_SIGN);
VCB_ASSERT(jc[0].ntag, VCB_JC_NTAG);
VCB_ASSERT(jc[0].code, VCB_JC_CODE);
VCB_ASSERT(jc[0].warm, VCB_JC_WARM);
VCB_ASSERT(jc[0].aside, VCB_JC_ASIDE);
VCB_ASSERT(cross_ntag, VCB_CROSS_NTAG);
VCB_ASSERT(cross_page, VCB_CROSS_PAGE);
VCB_ASSERT(page_mask, VCB_PAGE_MASK);
VCB_ASSERT(x87_area, VCB_X87_AREA);

/*
 * How generated code names itself when it leaves: the place of its Site, or of its Block and the number of an exit; kind.
 *   SLOW   a Site: an instruction that cannot go on by itself
 *   EXIT   one of the block's exits
 *   KICK   from the signal handler
 *   OTHER  one of the SITE_OTHER_* below, as number
 */
enum { SITE_SLOW = 0, SITE_EXIT = 1, SITE_KICK = 2, SITE_OTHER = 3 };
enum {
    SITE_ENTRY = 0,      /* a kick met us on the way in: vcb.resume was not reached            */
    SITE_VEC = 1,        /* a block's prologue wants vector state in the host; rcx borrowed    */
    SITE_FAR = 3,        /* an exit to vcb.rip, which the jump cache does not know; nothing is borrowed */
    SITE_ARRIVED = 2,    /* a kick met us at the end of a transition; the guest is at vcb.rip  */
};

/* Vcb.crossed: CS and SS are the CpuState's; or as the last syscall or sysret left them. */
enum { CROSSED_NOT, CROSSED_SYSCALL, CROSSED_SYSRET };

/* place: cache_place() of the Site, SITE_SLOW, or of the Block, or 0.  Code memory is at most 1 GiB (tb-size), what is known of it
 * 3 GiB: 28 bits, of which the last two are free: both are whole lines of 64 bytes. */
enum { SITE_INDEX_MAX = 15 };
static inline uint32_t site_make(uint32_t place, unsigned index, unsigned kind)
{
    return place << 4 | index << 2 | kind;
}
static inline uint32_t site_place(uint32_t site)
{
    return site >> 4 & ~(uint32_t)3;
}
static inline unsigned site_index(uint32_t site)
{
    return site >> 2 & SITE_INDEX_MAX;
}

/* Its index: the sum of leaf, leaf >> 28 and subleaf. */
static inline unsigned vcb_cpuid_entry(uint32_t leaf, uint32_t subleaf)
{
    return (leaf + (leaf >> 28) + subleaf) % CPUID_ENTRIES;
}

/* Where the jump cache of `size` entries has rip; generated code has 4 times that, by pdep, and scales it by 8. */
static inline unsigned vcb_jump_slot(uint64_t rip, unsigned size)
{
    return (unsigned)rip & (size - 1);
}
static inline uint64_t vcb_jump_mask(unsigned size)
{
    return (uint64_t)(size - 1) << 2;
}

/* Where cross_ntag and cross_page have the instruction at the end of the page at memfd offset `offset`. */
static inline unsigned vcb_crossing_slot(uint64_t offset)
{
    return (unsigned)(offset / 4096) % VCB_CROSSINGS;
}

extern _Thread_local Vcb vcb __attribute__((tls_model("local-exec")));

/* Offset of the vcb from the host's fs base: the same in every thread. */
static inline int32_t vcb_fs_offset(void)
{
    return (int32_t)((intptr_t)&vcb - (intptr_t)__builtin_thread_pointer());
}

#endif /* TRANSLATOR_VCB_H */
