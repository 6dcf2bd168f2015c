/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The architectural state of one virtual CPU, and what hangs off it.
 *
 * Canonical means: every field below holds exactly what the guest would see between two
 * instructions.  It is canonical whenever code of another layer runs (run loop, devices, monitor,
 * gdb, snapshots) and whenever an engine returns; inside an engine some of it may live elsewhere.
 * Only the CPU's own thread touches it, except `requests` and the halt lock, and except while the
 * CPU is stopped.
 *
 * Order: architectural state (= what a snapshot holds), then wiring, then host-side caches.
 */
#ifndef CPU_X86_STATE_H
#define CPU_X86_STATE_H

#include "softmmu/access.h"
#include "softmmu/base/lock.h"
#include "softmmu/port-space.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

/* -- Names ---------------------------------------------------------------------------------------- */

enum { /* general registers, in encoding order */
    GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI,
    GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15,
    GPR_COUNT,
};

enum { /* segment registers, in encoding order; then the two system segments */
    SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT,
    SEG_LDTR = SEG_COUNT, SEG_TR, SEG_ALL_COUNT,
};

enum { /* RFLAGS */
    FLAG_CF = 1 << 0, FLAG_PF = 1 << 2, FLAG_AF = 1 << 4, FLAG_ZF = 1 << 6, FLAG_SF = 1 << 7,
    FLAG_TF = 1 << 8, FLAG_IF = 1 << 9, FLAG_DF = 1 << 10, FLAG_OF = 1 << 11,
    FLAG_IOPL = 3 << 12, FLAG_NT = 1 << 14, FLAG_RF = 1 << 16, FLAG_VM = 1 << 17,
    FLAG_AC = 1 << 18, FLAG_VIF = 1 << 19, FLAG_VIP = 1 << 20, FLAG_ID = 1 << 21,
    FLAG_FIXED = 1 << 1,
    FLAGS_ARITH = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF,
};
enum { FLAG_IOPL_SHIFT = 12 };

#define CR0_PE (1u << 0)
#define CR0_MP (1u << 1)
#define CR0_EM (1u << 2)
#define CR0_TS (1u << 3)
#define CR0_ET (1u << 4)
#define CR0_NE (1u << 5)
#define CR0_WP (1u << 16)
#define CR0_AM (1u << 18)
#define CR0_NW (1u << 29)
#define CR0_CD (1u << 30)
#define CR0_PG (1u << 31)

#define CR4_VME (1u << 0)
#define CR4_PVI (1u << 1)
#define CR4_TSD (1u << 2)
#define CR4_DE (1u << 3)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_MCE (1u << 6)
#define CR4_PGE (1u << 7)
#define CR4_PCE (1u << 8)
#define CR4_OSFXSR (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_UMIP (1u << 11)
#define CR4_LA57 (1u << 12)
#define CR4_FSGSBASE (1u << 16)
#define CR4_PCIDE (1u << 17)
#define CR4_OSXSAVE (1u << 18)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define CR4_PKE (1u << 22)

#define EFER_SCE (1u << 0)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define EFER_NXE (1u << 11)
#define EFER_AIBRSE (1u << 21)

#define XCR0_X87 (1u << 0)
#define XCR0_SSE (1u << 1)
#define XCR0_AVX (1u << 2)
#define XCR0_OPMASK (1u << 5)
#define XCR0_ZMM_HI256 (1u << 6)
#define XCR0_HI16_ZMM (1u << 7)
#define XCR0_PKRU (1u << 9)
#define XCR0_AVX512 (XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM)

enum { /* exception vectors, SDM vol. 3A table 6-1 */
    EXC_DE = 0, EXC_DB = 1, EXC_NMI = 2, EXC_BP = 3, EXC_OF = 4, EXC_BR = 5, EXC_UD = 6, EXC_NM = 7,
    EXC_DF = 8, EXC_TS = 10, EXC_NP = 11, EXC_SS = 12, EXC_GP = 13, EXC_PF = 14, EXC_MF = 16,
    EXC_AC = 17, EXC_MC = 18, EXC_XM = 19, EXC_CP = 21,
};

enum { /* page-fault error code */
    PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16, PF_PK = 32,
};

/* Segment attributes: bits 8..23 of the descriptor's second doubleword, in place. */
enum {
    SEG_TYPE_SHIFT = 8,        /* 4-bit type                                 */
    SEG_A = 1 << 8,            /* accessed (code/data)                       */
    SEG_RW = 1 << 9,           /* readable (code) / writable (data)          */
    SEG_DC = 1 << 10,          /* conforming (code) / expand down (data)     */
    SEG_CODE = 1 << 11,
    SEG_S = 1 << 12,           /* code or data, not system                   */
    SEG_DPL_SHIFT = 13,
    SEG_P = 1 << 15,
    SEG_AVL = 1 << 20,
    SEG_L = 1 << 21,           /* 64-bit code                                */
    SEG_DB = 1 << 22,          /* default size / big                         */
    SEG_G = 1 << 23,           /* limit in pages (the limit field below is already in bytes) */
    SEG_ATTR_MASK = 0x00f0ff00,
    SEG_NULL = 1 << 0,         /* ours: loaded with a null selector, unusable */
};

typedef struct {
    uint16_t selector;
    uint32_t limit;            /* in bytes, inclusive                        */
    uint32_t attr;             /* SEG_*                                      */
    uint64_t base;
} Segment;

typedef struct {
    uint64_t base;
    uint16_t limit;
} DescTable;

/* What a CPU does between instructions (like KVM's mp_state). */
typedef enum {
    CPU_RUNNING,
    CPU_HALTED,                /* hlt, mwait: until an interrupt             */
    CPU_WAIT_SIPI,             /* application processor after INIT           */
    CPU_SHUTDOWN,              /* triple fault: until reset                  */
} CpuActivity;

/* Requests: bits any thread may set with cpu_request(). */
enum {
    CPU_REQ_KICK = 1 << 0,     /* return from run() soon; cleared by the run loop        */
    CPU_REQ_INTR = 1 << 1,     /* level: the interrupt controller has a vector           */
    CPU_REQ_NMI = 1 << 2,      /* edge                                                   */
    CPU_REQ_INIT = 1 << 3,     /* edge                                                   */
    CPU_REQ_SIPI = 1 << 4,     /* edge, vector in sipi_vector                            */
    CPU_REQ_FLUSH = 1 << 5,    /* the region map changed: flush the TLB                  */
    CPU_REQ_STOP = 1 << 6,     /* level: stay out of run() (monitor stop, reset)         */
};

/* -- Decoding mode: everything that selects how bytes are decoded and executed -------------------- */

enum {
    MODE_CS32 = 1 << 0,        /* default operand/address size 32 (CS.D)     */
    MODE_CS64 = 1 << 1,        /* 64-bit code (EFER.LMA and CS.L)            */
    MODE_SS32 = 1 << 2,        /* stack pointer is ESP (always set with CS64)*/
    MODE_PE = 1 << 3,          /* protected mode, not virtual-8086           */
    MODE_VM = 1 << 4,          /* virtual-8086                               */
    MODE_LMA = 1 << 5,         /* long mode active (64-bit or compatibility) */
    MODE_FLAT = 1 << 6,        /* ES, CS, SS, DS have base 0 and limit 4 GiB, all but CS writable
                                  and expand-up (or CS64) */
    MODE_CPL_SHIFT = 7,        /* two bits                                   */
    MODE_CPL3 = 1 << 9,        /* CPL is 3                                   */
    MODE_AC = 1 << 10,         /* alignment checks: CR0.AM, RFLAGS.AC, CPL 3 */
};

typedef struct {
    uint8_t zmm[32][64];       /* whole vector registers                                         */
    uint64_t k[8];
    uint8_t fx[512];           /* FXSAVE64 image: x87 state is here; its XMM part is unused      */
    uint32_t mxcsr;
    uint32_t pkru;
    uint64_t xcr0;
    uint64_t xss;
} __attribute__((aligned(64))) VectorState;

/* A debugger's data watchpoint: accesses of the kinds DEBUG_WATCH_* that touch [addr, addr+len). */
enum { DEBUG_WATCH_WRITE = 1, DEBUG_WATCH_READ = 2 };
typedef struct {
    uint64_t addr, len;        /* guest-linear; len > 0                      */
    uint8_t kinds;
} DebugWatch;

typedef struct CpuModel CpuModel;   /* cpu-x86/cpuid.h  */
typedef struct CpuState CpuState;
typedef struct EngineClass EngineClass;

/* -- What a CPU asks of its machine; functions take the machine lock themselves ------------------- */

typedef struct {
    void *arg;
    /* The vector to deliver now (acknowledges it), or -1 when there is none after all. */
    int (*irq_ack)(void *arg);
    uint64_t (*cr8_read)(void *arg);
    void (*cr8_write)(void *arg, uint64_t val);
    /* IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC MSRs 0x800-0x8ff; false: #GP(0). */
    bool (*apic_msr_read)(void *arg, uint32_t msr, uint64_t *val);
    bool (*apic_msr_write)(void *arg, uint32_t msr, uint64_t val);
    /* The FERR# line (x87 errors with CR0.NE clear), IRQ 13 on a PC. */
    void (*fpu_error)(void *arg, bool level);
    /* The board's local APICs, for engines that have their own (cpu-x86/apic-home.h); NULL: they cannot be had. */
    const struct ApicHome *apic_home;
} CpuBus;

/* How calls of a paravirtual ROM get out of an engine: inside this program a port's write is cheap; else each is an exit, by a port or by
 * Intel's or AMD's hypercall instruction. */
typedef enum { PV_CALLS_INSIDE, PV_CALLS_BY_PORT, PV_CALLS_BY_VMCALL, PV_CALLS_BY_VMMCALL } PvCallWay;

/*
 * What pv/ does for a CPU; called in the CPU's own thread without the machine lock.  NULL members:
 * nobody offers it.
 */
typedef struct {
    void *arg;
    /* Paravirtual MSRs; false: #GP(0). */
    bool (*msr_read)(void *arg, CpuState *cpu, uint32_t msr, uint64_t *val);
    bool (*msr_write)(void *arg, CpuState *cpu, uint32_t msr, uint64_t val);
    /* An engine that serves such an MSR itself while the guest runs there gives it back: nothing is begun by this
     * value, and what it led to goes on here. */
    void (*msr_back)(void *arg, CpuState *cpu, uint32_t msr, uint64_t val);
    /* VMCALL, VMMCALL: number in RAX, arguments in RBX, RCX, RDX, RSI, result in RAX. */
    void (*hypercall)(void *arg, CpuState *cpu);
    /* Reset or INIT.  Anybody, with the CPU out of run(). */
    void (*reset)(void *arg, CpuState *cpu);
    /* Does an access to this port read or change registers beyond the accumulator?  An engine that keeps
     * them elsewhere brings them here before, and takes them back after. */
    bool (*port_sees_registers)(void *arg, uint16_t port);
    /* Is a write to such a port with these registers (in ring 0) about nothing of the CPU but RAX and RDX?  NULL: never. */
    bool (*port_sees_few)(void *arg, uint16_t port, const uint64_t *gpr);
    /* A write to PV_CALL_PORT in 32-bit code with this in EBX writes EDX to the register of the local APIC whose offset is in
     * EAX; 0: nobody offers it. */
    uint32_t call_apic_write;
    /* An engine says, with the machine at rest and its lock held, how calls reach this program from now on.  NULL: there are none. */
    void (*calls_by)(void *arg, PvCallWay way);
    /* The guest wrote its TSC, or it jumped (tsc_offset has changed by delta). */
    void (*tsc_moved)(void *arg, CpuState *cpu, uint64_t delta);
} CpuPv;

enum { PV_CALL_PORT = 0xe4 };

/* Statistics of one CPU; rows of cpu-x86/stats.def. */
typedef enum {
#define STAT(id, help) STAT_##id,
#include "cpu-x86/stats.def"
#undef STAT
    STAT_COUNT
} CpuStat;

struct CpuState {
    /* -- Architectural ---- */
    uint64_t gpr[GPR_COUNT];
    uint64_t rip;              /* of the next instruction; of the current one while it executes */
    uint64_t next_rip;         /* while an instruction executes: where to go after it           */
    uint64_t zero;             /* always 0: the base or index that is not there (insn.h)        */
    uint64_t rflags;           /* canonical: bit 1 set, reserved bits 0                         */
    Segment seg[SEG_ALL_COUNT];
    DescTable gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4;
    uint64_t efer;
    uint64_t dr[8];            /* 4 and 5 unused */
    VectorState vec;
    uint64_t pdpte[4];         /* PAE: loaded by MOV CR3 and friends (SDM 3A 4.4.1) */

    uint64_t msr_star, msr_lstar, msr_cstar, msr_fmask, msr_kernel_gs_base;
    uint64_t msr_sysenter_cs, msr_sysenter_esp, msr_sysenter_eip;
    uint64_t msr_pat, msr_tsc_aux, msr_misc_enable, msr_spec_ctrl, msr_mtrr_def_type;
    uint64_t msr_mtrr_fixed[11], msr_mtrr_base[8], msr_mtrr_mask[8];
    uint64_t msr_bios_sign_id, msr_feature_control, msr_tsc_adjust, msr_debugctl;
    uint64_t msr_mcg_status, msr_mcg_ctl, msr_mce_bank[4 * 4];
    int64_t tsc_offset;        /* guest TSC = host TSC + this, while the machine runs */
    uint64_t tsc_jump;         /* sum of its changes that nobody asked for: a KVM that does not move the TSC */

    CpuActivity activity;
    bool nmi_masked;           /* NMI delivered, IRET not yet seen                    */
    bool shadow;               /* interrupts held for one instruction (sti, mov ss)   */
    bool shadow_ss;            /* ... by mov/pop ss: debug traps and NMI held as well */
    bool mwait_armed;          /* monitor was executed                                */
    uint8_t sipi_vector;
    uint64_t monitor_addr;
    uint64_t pending_dbg;      /* DR6 bits of a #DB trap due after this instruction   */
    struct {                   /* on the way to or from a saved machine (cpu-save.c)  */
        uint64_t tsc;
        uint32_t requests;
    } saved;

    /* -- Wiring, set once ---- */
    unsigned index;            /* 0 is the boot processor; also its APIC id           */
    unsigned n_cpus;
    const CpuModel *model;
    bool cmps_source_first;    /* the model's processors read DS:rSI first there, cpu.c */
    PhysMem *mem;
    PortSpace *ports;
    Lock *machine_lock;
    CpuBus bus;
    CpuPv pv;                  /* all NULL without paravirtual interfaces             */
    const EngineClass *engine;
    const void *engine_config; /* borrowed; what the engine takes, NULL: its defaults */
    uint64_t tsc_hz;
    uint64_t (*tsc_now)(void *arg); /* NULL: the host's TSC (else a virtual clock's)  */
    void *tsc_arg;
    /* Instructions are time (-icount): engines keep `insns` exact whenever C of another layer runs, end run() exactly where
     * the budget says, and see what a device asks for right behind the instruction that had it ask.  Then `trail`, if
     * not NULL, is told of the state (brought up to date) behind each block, with the RFLAGS bits that are not what they should be,
     * because nobody will look at them. */
    bool exact;
    void (*trail)(void *arg, const CpuState *cpu, uint64_t dead_flags);
    void *trail_arg;
    uint64_t trail_every;      /* ... or, where this is not 0, behind the block with which so many instructions are executed */
    /* gdb: an execution breakpoint at rip?  Asked before each instruction; true: CPU_EXIT_DEBUG, with
     * nothing executed.  To get past one is the debugger's business.  While not NULL, engines notice
     * watch_hit right after the instruction.  Changed, with a new epoch (never 0), only while the CPU
     * is stopped; an engine may keep the answers for as long as the epoch and the mode stay the same. */
    bool (*breakpoint_at)(void *arg, uint64_t rip);
    void *breakpoint_arg;
    /* The same as a list of different linear addresses, for engines that have the processor watch: writes up
     * to `max` of them, returns how many there are.  Set exactly while breakpoint_at is. */
    unsigned (*breakpoints)(void *arg, uint64_t *lin, unsigned max);
    uint32_t breakpoint_epoch;
    /* gdb: data watchpoints beside DR0-DR3, borrowed.  Changed while the CPU is stopped, followed by
     * CPU_REQ_FLUSH. */
    const DebugWatch *watch;
    unsigned n_watch;

    /* -- Between threads ---- */
    uint32_t requests;         /* CPU_REQ_*, atomic; see cpu_request()                */
    uint32_t sleeping;         /* not 0: in cpu_sleep(), on this futex                */
    bool halts_inside;         /* the engine's run() waits for what ends a halt or WAIT_SIPI; parked */
    bool unhalted;             /* a hypercall ends the present or the next halt; atomic */

    /* -- Host-side caches ---- */
    uint64_t spun_at;          /* host's TSC at the last call of cpu_spins()          */
    uint32_t pauses;           /* executed by the interpreter                         */
    uint32_t mode;             /* MODE_*, derived: cpu_update_mode()                  */
    uint8_t cpl;               /* derived                                             */
    uint8_t tlb_class;         /* TlbClass of ordinary data accesses, derived         */
    /* Between the CPU's own thread and its local APIC, which works under the machine lock (hw/lapic.h). */
    uint8_t apic_tpr;          /* the task priority itself; atomic                    */
    uint8_t apic_busy;         /* not 0: changes of apic_tpr are the APIC's to make, by bus.cr8_write; atomic */
    uint8_t apic_eoi;          /* not 0: writing 0 ends the interrupt in service; atomic */
    uint8_t apic_mode;         /* 0: off, or its page is not in its usual place; 1: xAPIC; 2: x2APIC */
    bool code_stale;           /* leave the decoded run after this instruction: code was written, or
                                  a data breakpoint hit */
    const DebugWatch *watch_hit; /* one was hit and CPU_REQ_KICK set; the debugger clears it */
    SoftMmu mmu;
    jmp_buf *unwind;           /* cpu_raise() lands here                              */
    struct {                   /* what cpu_raise() was given                          */
        uint8_t vector;
        bool has_code, is_soft;
        uint32_t code;
    } exc;
    void *engine_data;         /* of the engine that is attached                      */
    void *interp_data;         /* decode cache of the interpreter (always there)      */
    void *vector_data;         /* host stubs of vector instructions                   */
    uint64_t insns;            /* guest instructions executed: by the interpreter; with `exact`, all. One that faults is one */
    uint32_t cpuid_changes;    /* what CPUID answers may have changed so often        */
    uint64_t stats[STAT_COUNT];
};

/* -- Life --------------------------------------------------------------------------------------- */

/* Everything a CPU is wired to; all borrowed and must outlive it. */
typedef struct {
    unsigned index, n_cpus;
    const CpuModel *model;
    PhysMem *mem;
    PortSpace *ports;
    Lock *machine_lock;
    CpuBus bus;
} CpuConfig;

CpuState *cpu_new(const CpuConfig *config);
void cpu_free(CpuState *cpu);

/* Power-on reset (SDM vol. 3A table 9-1): real mode at f000:fff0; the boot processor runs, the
 * others wait for SIPI.  The CPU must be out of run(). */
void cpu_reset(CpuState *cpu);
/* INIT: as reset, but keeps the FPU, MSRs, TSC and caches as the table says. */
void cpu_init_signal(CpuState *cpu);
/* Start-up IPI: leave CPU_WAIT_SIPI at vector << 12. */
void cpu_sipi(CpuState *cpu, uint8_t vector);

/* Recompute mode, cpl and tlb_class after a change of CS, SS, CR0, CR4, EFER, RFLAGS.VM or .AC. */
void cpu_update_mode(CpuState *cpu);

/* -- Requests (any thread) ------------------------------------------------------------------------ */

static inline uint32_t cpu_requests(const CpuState *cpu)
{
    return __atomic_load_n(&cpu->requests, __ATOMIC_ACQUIRE);
}

/* Set request bits, wake a sleeping CPU and kick its engine. */
void cpu_request(CpuState *cpu, uint32_t bits);

/*
 * The guest has executed `n` PAUSEs since the last call.  If that was in a loop, it waits for another CPU, which perhaps
 * waits for the host's: the caller's thread steps back for those that want to run.  It takes the host a microsecond when
 * nobody does.  Own thread; vector registers are left alone.
 */
void cpu_spins(CpuState *cpu, unsigned n);

enum { CPU_PAUSES = 512 };     /* ... that are worth a look */

void cpu_unrequest(CpuState *cpu, uint32_t bits);

/* True when the CPU has something to do (a request it would act on in its present state). */
bool cpu_has_work(const CpuState *cpu);
/* Is that so, or is there a CPU_REQ_KICK/STOP?  Own thread. */
bool cpu_must_wake(const CpuState *cpu);
/* Sleep until cpu_must_wake(); own thread, without the machine lock. */
void cpu_sleep(CpuState *cpu);

/* The guest's TSC now. */
uint64_t cpu_tsc(const CpuState *cpu);

/* -- Small helpers ---------------------------------------------------------------------------------- */

static inline bool cpu_is_long64(const CpuState *cpu)
{
    return (cpu->mode & MODE_CS64) != 0;
}

static inline bool cpu_protected(const CpuState *cpu)
{
    return (cpu->mode & MODE_PE) != 0; /* not real, not virtual-8086 */
}

static inline unsigned cpu_iopl(const CpuState *cpu)
{
    return (unsigned)(cpu->rflags >> FLAG_IOPL_SHIFT) & 3;
}

static inline uint8_t seg_dpl(uint32_t attr)
{
    return (uint8_t)(attr >> SEG_DPL_SHIFT) & 3;
}

#endif /* CPU_X86_STATE_H */
