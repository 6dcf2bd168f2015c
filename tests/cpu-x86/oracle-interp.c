/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cases in an engine: a long-mode guest at CPL 3 whose user pages are the oracle's.  Its
 * kernel half holds tables, a TSS, a stack and one `hlt` for each vector, so that exceptions go the
 * whole way through the IDT and their frame tells the state they interrupted.
 *
 * ORACLE_KERNEL: the same at CPL 0, exceptions on a stack of their own.  An instruction is judged by its place
 * in memory there (a guilty one stays so), so each case has code pages of its own until the engine is attached
 * anew; and two sets of data pages take turns, so that each case finds its data remapped.
 *
 * ORACLE_KERNEL32: so in legacy mode, at CPL 1.
 */
#include "tests/cpu-x86/oracle.h"

#include "cpu-x86/cpuid.h"
#include "cpu-x86/engine.h"
#include "cpu-x86/vector.h"
#include "softmmu/base/bits.h"
#include "softmmu/phys-mem.h"

#include <string.h>

#ifdef ORACLE_WINDOW
#include "tests/translator/window-use.h"
#else
enum { WINDOW_IS_POSSIBLE = 0 };

static uint64_t window_maps(const CpuState *cpu)
{
    return 0;
}
#endif

/* Where cases do not get to: not at 0x80000000, which conversions make of what does not fit. */
#define KERNEL_LIN (ORACLE_KERNEL32 ? UINT64_C(0x97400000) : UINT64_C(0xffff800000000000))

enum { /* guest-physical places */
    PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, PT = 0x4000, KERNEL_PDPT = 0x5000, KERNEL_PD = 0x6000,
    GDT = 0x7000, IDT = 0x8000, TSS = 0x9000, STACK_TOP = 0xc000, HANDLERS = 0xd000, LDT = 0xf000,
    KERNEL_PT_PARENTS = 0x10000, /* ORACLE_KERNEL: PDPT and PD of ORACLE_BASE */
    USER = 0x20000,            /* of ORACLE_BASE */
    OTHER_DATA = 0x40000,      /* ORACLE_KERNEL */
    CODES = 0x80000,           /* likewise, N_CODES times ORACLE_CODE_LEN */
    N_CODES = ORACLE_KERNEL ? 64 : 1,
    RAM_SIZE = 1 << 20 << ORACLE_KERNEL,
    KERNEL_CS = 0x10,
    WORD = ORACLE_KERNEL32 ? 4 : 8,
    MAX_INSNS = 1 << 16,
};

struct OracleGuest {
    Lock lock;
    PhysMem *mem;
    PortSpace *ports;
    CpuModel *model;
    CpuState *cpu;
    unsigned cases;
    uint64_t window_maps;      /* of engines that are detached */
    uint8_t before[ORACLE_CODE_LEN]; /* the code pages before the first pass: cases write there too */
};

static uint8_t *ram(OracleGuest *g, uint64_t phys)
{
    return phys_mem_host(g->mem, guest_phys(phys), 1, true);
}

/* -- Set-up ------------------------------------------------------------------------------------------ */

static void map_user(OracleGuest *g, uint64_t off, unsigned len, uint64_t bits)
{
    for (uint64_t o = off; o < off + len; o += GUEST_PAGE_SIZE) {
        store_le(ram(g, PT + (o >> 12) * ORACLE_PTE), ORACLE_PTE, (USER + o) | bits);
    }
}

static unsigned index_of(unsigned level, uint64_t lin)
{
    return (unsigned)(lin >> (3 + 9 * level)) & 511;
}

/* In its page directory. */
static unsigned directory_index(uint64_t lin)
{
    return ORACLE_PTE == 4 ? (unsigned)(lin >> 22) & 1023 : index_of(2, lin);
}

static void make_user_tables(OracleGuest *g)
{
    uint64_t p_w_u_a_d = ORACLE_KERNEL ? 0x163 : 0x67, ro = ORACLE_KERNEL ? 0x121 : 0x25;
    uint64_t nx = ORACLE_PTE == 8 ? UINT64_C(1) << 63 : 0;

    if (!ORACLE_KERNEL32) {
        store_le(ram(g, PML4 + index_of(4, ORACLE_BASE) * 8), 8, PDPT | 0x27);
        store_le(ram(g, PDPT + index_of(3, ORACLE_BASE) * 8), 8, PD | 0x27);
    }
    store_le(ram(g, PD + directory_index(ORACLE_BASE) * ORACLE_PTE), ORACLE_PTE, PT | 0x27);
    map_user(g, ORACLE_CODE, ORACLE_CODE_LEN, p_w_u_a_d);
    map_user(g, ORACLE_DATA, ORACLE_DATA_LEN, p_w_u_a_d | nx);
    map_user(g, ORACLE_RO, ORACLE_RO_LEN, ro | nx);
    memset(ram(g, USER + ORACLE_CODE), 0xcc, ORACLE_CODE_LEN);
    memset(ram(g, USER + ORACLE_RO), 0x5a, ORACLE_RO_LEN);
    if (ORACLE_KERNEL) {
        memset(ram(g, CODES), 0xcc, N_CODES * ORACLE_CODE_LEN);
    }
}

/* Handlers, stack and tables, at KERNEL_LIN: one large page at 0. */
static void make_kernel_tables(OracleGuest *g)
{
    if (!ORACLE_KERNEL32) {
        store_le(ram(g, PML4 + 256 * 8), 8, KERNEL_PDPT | 0x23);
        store_le(ram(g, KERNEL_PDPT), 8, KERNEL_PD | 0x23);
    }
    store_le(ram(g, (ORACLE_PTE == 4 ? PD : KERNEL_PD) + directory_index(KERNEL_LIN) * ORACLE_PTE), ORACLE_PTE, 0x1e3);
}

/* In an IDT of 32-bit gates. */
static void make_gate32(OracleGuest *g, unsigned v, uint64_t to, unsigned type)
{
    store_le(ram(g, IDT + v * 8), 8, (to & 0xffff) | KERNEL_CS << 16 | (uint64_t)type << 40 | (to >> 16 & 0xffff) << 48);
}

static void make_tables(OracleGuest *g)
{
    make_user_tables(g);
    make_kernel_tables(g);
    store_le(ram(g, GDT + KERNEL_CS), 8, ORACLE_KERNEL32 ? 0x00cf9b000000ffff : 0x00af9b000000ffff);
    store_le(ram(g, GDT + 0x18), 8, 0x00cf93000000ffff);
    store_le(ram(g, GDT + 0x20), 8, 0x00cffb000000ffff);
    store_le(ram(g, GDT + 0x28), 8, 0x00cff3000000ffff);
    store_le(ram(g, GDT + 0x30), 8, 0x00affb000000ffff);
    store_le(ram(g, LDT), 8, 0x00cffb000000ffff);
    store_le(ram(g, LDT + 8), 8, 0x0000fb000000ffff | ORACLE_BASE << 16 | (ORACLE_BASE >> 24) << 56);
    store_le(ram(g, LDT + 16), 8, 0x0000f3000000ffff | ORACLE_BASE << 16 | (ORACLE_BASE >> 24) << 56);
    for (unsigned v = 0; v < 256; v++) {
        uint64_t to = KERNEL_LIN + HANDLERS + v * 16;
        unsigned type = v == 3 || v == 4 ? 0xee : 0x8e;

        *ram(g, HANDLERS + v * 16) = 0xf4;   /* hlt */
        if (ORACLE_KERNEL32) {
            make_gate32(g, v, to, type);
            continue;
        }
        store_le(ram(g, IDT + v * 16), 8, (to & 0xffff) | KERNEL_CS << 16 | (uint64_t)type << 40 |
                                              (uint64_t)(ORACLE_KERNEL ? 1 : 0) << 32 |
                                              (to >> 16 & 0xffff) << 48);
        store_le(ram(g, IDT + v * 16 + 8), 8, to >> 32);
    }
    store_le(ram(g, TSS + 4), 8, (KERNEL_LIN + STACK_TOP) | (ORACLE_KERNEL32 ? UINT64_C(0x18) << 32 : 0)); /* SS0:ESP0 */
    store_le(ram(g, TSS + 0x24), 8, KERNEL_LIN + STACK_TOP); /* IST 1 */
    store_le(ram(g, TSS + 0x66), 2, 0x68);   /* no I/O bitmap */
}

OracleGuest *oracle_guest_new(const EngineClass *engine, const void *config)
{
    OracleGuest *g = g_new0(OracleGuest, 1);

    vector_global_init();
    lock_init(&g->lock, LOCK_RANK_MACHINE);
    g->mem = phys_mem_new(RAM_SIZE, &g->lock, NULL);
    g->ports = port_space_new(&g->lock);
    g->model = cpu_model_new("max", 1, NULL);
    g_assert(g->mem != NULL && g->model != NULL);
    lock_take(&g->lock);
    phys_region_ram(g->mem, 0, RAM_SIZE, phys_mem_alloc(g->mem, RAM_SIZE), 0, "ram");
    lock_release(&g->lock);
    g->cpu = cpu_new(&(CpuConfig){.n_cpus = 1, .model = g->model, .mem = g->mem, .ports = g->ports,
                                  .machine_lock = &g->lock});
    g->cpu->engine = engine;
    g->cpu->engine_config = config;
    g_assert(engine->attach(g->cpu, NULL));
    make_tables(g);
    return g;
}

void oracle_guest_free(OracleGuest *g)
{
    g->cpu->engine->detach(g->cpu);
    cpu_free(g->cpu);
    cpu_model_free(g->model);
    port_space_free(g->ports);
    phys_mem_free(g->mem);
    lock_clear(&g->lock);
    g_free(g);
}

/* -- In the window ----------------------------------------------------------------------------------- */

bool oracle_guest_has_window(const OracleGuest *g)
{
    return WINDOW_IS_POSSIBLE && g->cpu->engine != &interp_engine;
}

uint64_t oracle_guest_window_maps(const OracleGuest *g)
{
    return g->window_maps + window_maps(g->cpu);
}

static uint64_t code_page(const OracleGuest *g)
{
    return ORACLE_KERNEL ? CODES + g->cases % N_CODES * ORACLE_CODE_LEN : USER + ORACLE_CODE;
}

/* Where byte `off` from ORACLE_BASE of the code pages is. */
static uint64_t code_at(const OracleGuest *g, unsigned off)
{
    return code_page(g) + off - ORACLE_CODE;
}

static uint64_t data_page(const OracleGuest *g)
{
    return ORACLE_KERNEL && g->cases % 2 != 0 ? OTHER_DATA : USER + ORACLE_DATA;
}

static void remap(OracleGuest *g, unsigned off, uint64_t phys, unsigned len)
{
    for (unsigned o = 0; o < len; o += GUEST_PAGE_SIZE) {
        uint8_t *entry = ram(g, PT + ((off + o) >> 12) * ORACLE_PTE);

        store_le(entry, ORACLE_PTE, (load_le(entry, ORACLE_PTE) & (UINT64_C(0xfff) | UINT64_C(1) << 63)) | (phys + o));
        tlb_flush_page(&g->cpu->mmu.tlb, guest_lin(ORACLE_BASE + off + o));
    }
}

/* Its own pages for the next case. */
static void turn_pages(OracleGuest *g)
{
    g->cases++;
    if (g->cases % N_CODES == 0 && g->cpu->engine != &interp_engine) {
        g->window_maps += window_maps(g->cpu);
        g->cpu->engine->detach(g->cpu);
        g_assert(g->cpu->engine->attach(g->cpu, NULL));
    }
    remap(g, ORACLE_CODE, code_page(g), ORACLE_CODE_LEN);
    remap(g, ORACLE_DATA, data_page(g), ORACLE_DATA_LEN);
}

/* -- One case --------------------------------------------------------------------------------------- */

static void enter_user(OracleGuest *g, const OracleCase *c)
{
    const uint32_t cpl = ORACLE_KERNEL32 ? 1 : ORACLE_KERNEL ? 0 : 3;
    const uint32_t user = SEG_P | SEG_S | SEG_RW | SEG_A | cpl << SEG_DPL_SHIFT;
    CpuState *cpu = g->cpu;
    bool m16 = c->mode == ORACLE_16;
    uint16_t cs = c->mode == ORACLE_64 ? ORACLE_CS64 : c->mode == ORACLE_32 ? ORACLE_CS32 : ORACLE_CS16;
    Segment data = {.selector = m16 ? ORACLE_DS16 : ORACLE_DS, .limit = m16 ? 0xffff : UINT32_MAX,
                    .attr = user | (m16 ? 0 : SEG_DB | SEG_G), .base = m16 ? ORACLE_BASE : 0};
    Segment null = {.attr = SEG_NULL};

    if (ORACLE_KERNEL) {
        data.selector = (uint16_t)(0x18 | cpl);
        cs = (uint16_t)(KERNEL_CS | cpl);
    }
    cpu->seg[SEG_CS] = (Segment){
        .selector = cs, .limit = data.limit, .base = data.base,
        .attr = user | SEG_CODE | (c->mode == ORACLE_64 ? SEG_L | SEG_G : m16 ? 0 : SEG_DB | SEG_G)};
    cpu->seg[SEG_DS] = cpu->seg[SEG_ES] = cpu->seg[SEG_SS] = data;
    cpu->seg[SEG_FS] = cpu->seg[SEG_GS] = ORACLE_KERNEL32 ? data : null;
    if (ORACLE_KERNEL32 && c->in.gpr[GPR_RDX] % 4 == 0) {
        cpu->seg[SEG_FS].limit = (c->in.gpr[GPR_RDX] & 4) != 0 ? 0xffffefff : ORACLE_DATA;
    }
    cpu->seg[SEG_FS].base = ORACLE_FS_BASE;
    cpu->seg[SEG_GS].base = ORACLE_GS_BASE;
    cpu->seg[SEG_LDTR] = (Segment){.selector = 0x40, .limit = 0xfff, .attr = SEG_P | 0x200,
                                   .base = KERNEL_LIN + LDT};
    cpu->seg[SEG_TR] = (Segment){.selector = 0x48, .limit = 0x67, .attr = SEG_P | 0xb00,
                                 .base = KERNEL_LIN + TSS};
    cpu->gdtr = (DescTable){.base = KERNEL_LIN + GDT, .limit = 0x3f};
    cpu->idtr = (DescTable){.base = KERNEL_LIN + IDT, .limit = 0xfff};
    cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    cpu->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    cpu->cr3 = PML4;
    cpu->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    if (ORACLE_KERNEL32) {
        cpu->cr4 ^= CR4_PAE | CR4_PSE | CR4_FSGSBASE;
        cpu->cr4 |= ORACLE_PTE == 8 ? CR4_PAE : 0;
        cpu->cr3 = PD;
        cpu->efer = ORACLE_PTE == 8 ? EFER_NXE : 0;
        cpu->pdpte[KERNEL_LIN >> 30 & 3] = KERNEL_PD | 1;
        cpu->pdpte[ORACLE_BASE >> 30 & 3] = PD | 1;
    }
    cpu->dr[6] = 0xffff0ff0;
    cpu->dr[7] = 0x400;
    cpu->activity = CPU_RUNNING;
    cpu->shadow = cpu->shadow_ss = false;
    cpu->pending_dbg = 0;
}

static void put_state(OracleGuest *g, const OracleCase *c)
{
    CpuState *cpu = g->cpu;
    VectorState *vs = &cpu->vec;

    memcpy(cpu->gpr, c->in.gpr, sizeof(cpu->gpr));
    cpu->rip = c->in.rip;
    cpu->rflags = c->in.rflags;
    memcpy(vs->zmm, c->in.zmm, sizeof(vs->zmm));
    memcpy(vs->k, c->in.k, sizeof(vs->k));
    memcpy(vs->fx, c->in.fx, sizeof(c->in.fx));
    store_le(vs->fx + 28, 4, 0xffff);
    vs->mxcsr = c->in.mxcsr;
    vs->xcr0 = cpu_model_xcr0(g->model);
    memcpy(ram(g, data_page(g)), c->in.data, ORACLE_DATA_LEN);
    enter_user(g, c);
    cpu_update_mode(cpu);
}

/* The frame on the kernel's stack: [error code] RIP CS RFLAGS RSP SS. */
static void get_state(OracleGuest *g, OracleResult *r)
{
    CpuState *cpu = g->cpu;
    uint64_t at = cpu->rip - KERNEL_LIN - HANDLERS;
    const uint8_t *frame = ram(g, STACK_TOP - 5 * WORD);

    memcpy(r->st.gpr, cpu->gpr, sizeof(cpu->gpr));
    memcpy(r->st.zmm, cpu->vec.zmm, sizeof(r->st.zmm));
    memcpy(r->st.k, cpu->vec.k, sizeof(r->st.k));
    memcpy(r->st.fx, cpu->vec.fx, sizeof(r->st.fx));
    memcpy(r->st.data, ram(g, data_page(g)), ORACLE_DATA_LEN);
    r->st.mxcsr = cpu->vec.mxcsr;
    r->ev = (OracleEvent){.vector = -1};
    if (at >= 0x1000) {
        r->st.rip = cpu->rip;
        return;
    }
    r->ev.vector = (int)(at / 16);
    r->ev.addr = cpu->cr2;
    if (cpu->gpr[GPR_RSP] == KERNEL_LIN + STACK_TOP - 6 * WORD) {
        r->ev.code = (uint32_t)load_le(frame - WORD, WORD);
    }
    r->st.rip = load_le(frame, WORD);
    r->st.rflags = load_le(frame + 2 * WORD, WORD);
    r->st.gpr[GPR_RSP] = load_le(frame + 3 * WORD, WORD);
}

static void put_code(OracleGuest *g, const OracleCase *c, unsigned pass)
{
    if (pass == 0) {
        phys_copy_to(g->mem, guest_phys(code_at(g, oracle_code_offset(c))), c->code, c->len);
        memcpy(g->before, ram(g, code_page(g)), ORACLE_CODE_LEN);
    } else if (memcmp(g->before, ram(g, code_page(g)), ORACLE_CODE_LEN) != 0) {
        phys_copy_to(g->mem, guest_phys(code_page(g)), g->before, ORACLE_CODE_LEN);
    }
}

unsigned oracle_guest_passes(const OracleGuest *g)
{
    return g->cpu->engine == &interp_engine ? 1 : 2;
}

uint64_t oracle_guest_translated(const OracleGuest *g)
{
    return g->cpu->stats[STAT_TRANS_INSNS];
}

void oracle_guest_run(OracleGuest *g, const OracleCase *c, unsigned pass, OracleResult *r)
{
    uint64_t at;

    memset(r, 0, sizeof(*r));
    if (ORACLE_KERNEL && pass == 0) {
        turn_pages(g);
    } else if (pass == 0 && oracle_guest_passes(g) > 1 && g->cases++ % 4 == 0) {
        tlb_flush_all(&g->cpu->mmu.tlb);
    }
    at = code_at(g, oracle_code_offset(c));
    put_code(g, c, pass);
    put_state(g, c);
    for (unsigned i = 0; i < 16 && g->cpu->engine->run(g->cpu, MAX_INSNS) != CPU_EXIT_HALT; i++) {
    }
    get_state(g, r);
    if (pass + 1 == oracle_guest_passes(g)) {
        memset(ram(g, at), 0xcc, c->len);
        phys_mem_written(g->mem, (uint64_t)(ram(g, at) - g->mem->base), c->len);
    }
}
