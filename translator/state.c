/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu-x86/walk.h"
#include "translator/engine-internal.h"
#include "translator/quick.h"
#include "translator/windows.h"

#include "cpu-x86/insns.h"

_Thread_local Vcb vcb __attribute__((tls_model("local-exec"), aligned(64)));

/* -- Flags ------------------------------------------------------------------------------------ */

/* The lahf/seto image: AH = SF ZF - AF - PF - CF, AL = OF. */
uint64_t state_flags_image(uint64_t rflags)
{
    uint64_t ah = rflags & (FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF | FLAG_CF);

    return ah << 8 | (rflags & FLAG_OF ? 1 : 0);
}

static uint64_t flags_of(uint64_t image)
{
    uint64_t ah = (image >> 8) & (FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF | FLAG_CF);

    return ah | ((image & 0xff) != 0 ? FLAG_OF : 0);
}

/* -- Registers -------------------------------------------------------------------------------- */

void system_from_host(TransCpu *tc)
{
    Vcb *v = tc->vcb;
    CpuState *cpu = tc->cpu;
    uint64_t was = cpu->rflags;

    cpu->rflags = (was & ~(uint64_t)(FLAG_IF | FLAG_AC)) | (uint64_t)v->vif << 8 | (uint64_t)v->vac << 16;
    if ((cpu->mode & MODE_CS64) != 0) { /* else segment_base() may have put something else there */
        cpu->seg[SEG_FS].base = v->fs_base;
        cpu->seg[SEG_GS].base = v->gs_base;
        cpu->msr_kernel_gs_base = v->kernel_gs_base;
    }
    if (v->crossed != CROSSED_NOT) {
        cpu_load_syscall_segments(cpu, v->crossed == CROSSED_SYSRET);
        cpu->stats[STAT_SYSCALLS] += v->n_syscalls;
        v->n_syscalls = 0;
        v->crossed = CROSSED_NOT;
        tc->keys_env = UINT32_MAX; /* jc_key is the other side's */
    } else if (unlikely(((was ^ cpu->rflags) & FLAG_AC) != 0)) {
        cpu_update_mode(cpu);
    }
}

/* What generated code adds to an address in segment FS or GS. */
static uint64_t segment_base(const CpuState *cpu, unsigned seg)
{
    const Segment *s = &cpu->seg[seg];

    if ((cpu->mode & MODE_CS64) != 0) {
        return s->base;
    }
    return s->limit == UINT32_MAX && (s->attr & (SEG_NULL | SEG_P)) == SEG_P &&
                   (s->attr & (SEG_CODE | SEG_DC | SEG_RW)) == SEG_RW
               ? (uint32_t)s->base : VCB_SEG_ODD;
}

static void system_to_host(TransCpu *tc)
{
    Vcb *v = tc->vcb;
    const CpuState *cpu = tc->cpu;

    v->vif = (uint8_t)(cpu->rflags >> 8 & FLAG_IF >> 8);
    v->vac = (uint8_t)(cpu->rflags >> 16 & FLAG_AC >> 16);
    v->sys_flags = cpu->rflags & ~(uint64_t)(FLAGS_ARITH | FLAG_IF | FLAG_AC);
    v->fs_base = segment_base(cpu, SEG_FS);
    v->gs_base = segment_base(cpu, SEG_GS);
    v->fs_odd = v->fs_base & VCB_SEG_ODD;
    v->gs_odd = v->gs_base & VCB_SEG_ODD;
    v->kernel_gs_base = cpu->msr_kernel_gs_base;
    v->tsc_offset = (uint64_t)cpu->tsc_offset;
}

/* Not memcpy(), which would be a string instruction without vector registers. */
static void copy_registers(uint64_t *to, const uint64_t *from)
{
#pragma GCC unroll 16
    for (unsigned r = 0; r < GPR_COUNT; r++) {
        to[r] = from[r];
    }
}

void state_registers(const TransCpu *tc, uint16_t borrowed, unsigned bits, uint64_t *gpr, uint64_t *flags)
{
    const Vcb *v = tc->vcb;

    copy_registers(gpr, v->host);
    for (unsigned left = borrowed; left != 0; left &= left - 1) {
        unsigned r = (unsigned)__builtin_ctz(left);
        gpr[r] = v->saved[r];
    }
    if ((bits & MARK_RAX_TMP) != 0) {
        gpr[GPR_RAX] = v->rax_tmp;
    }
    if ((bits & MARK_RDI_HOST) != 0) {
        gpr[GPR_RDI] -= v->string[0];
    }
    if ((bits & MARK_RSI_HOST) != 0) {
        gpr[GPR_RSI] -= v->string[1];
    }
    *flags = flags_of((bits & MARK_FLAGS_SLOT) != 0 ? v->flags_slot : v->flags);
}

void state_from_host(TransCpu *tc, uint16_t borrowed, unsigned bits)
{
    CpuState *cpu = tc->cpu;
    uint64_t flags;

    state_registers(tc, borrowed, bits, cpu->gpr, &flags);
    cpu->rflags = (cpu->rflags & ~(uint64_t)FLAGS_ARITH) | flags;
}

void state_return_borrowed(TransCpu *tc, uint16_t borrowed, unsigned bits)
{
    Vcb *v = tc->vcb;

    for (unsigned left = borrowed; left != 0; left &= left - 1) {
        unsigned r = (unsigned)__builtin_ctz(left);
        v->host[r] = v->saved[r];
    }
    if ((bits & MARK_FLAGS_SLOT) != 0) {
        v->flags = v->flags_slot;
    }
    tc->cpu->gpr[GPR_RSP] = v->host[GPR_RSP];
    tc->cpu->rflags = (tc->cpu->rflags & ~(uint64_t)FLAGS_ARITH) | flags_of(v->flags);
}

void state_at_mark(TransCpu *tc, const Block *b, const Mark *m)
{
    CpuState *cpu = tc->cpu;

    const BlockInsn *in = &block_insns(b)[m->insn];

    state_from_host(tc, m->borrowed, m->bits);
    if ((m->bits & MARK_SWAPGS) != 0) {
        cpu->seg[SEG_GS].base = tc->vcb->swap_tmp;
        cpu->rip = trans_lin(tc, b, b->lin) + in->guest_off + in->guest_len;
    } else if ((m->bits & MARK_POST) != 0) {
        cpu->rip = tc->vcb->rip;
    } else if ((m->bits & MARK_EXIT) != 0) {
        cpu->rip = trans_lin(tc, b, m->insn < BLOCK_EXITS ? b->exit[m->insn].target : b->lin);
    } else {
        cpu->rip = trans_lin(tc, b, b->lin) + in->guest_off;
        cpu->shadow |= in->after_sti;
    }
}

/* A small number for the environment, for which there is room. */
static unsigned env_number(TransCpu *tc, uint32_t env)
{
    for (unsigned i = 0; i < tc->n_envs; i++) {
        if (tc->envs[i] == env) {
            return i;
        }
    }
    tc->envs[tc->n_envs] = env;
    return tc->n_envs++;
}

/*
 * A tag is rip + key.  A guest may branch to any 64-bit rip, so whoever could tell two keys' difference
 * could reach blocks of another address space or privilege: keys are secret.
 */
static uint64_t jump_cache_key(const TransCpu *tc, uint64_t n)
{
    uint64_t x = (n + tc->secret[0]) * (tc->secret[1] | 1);

    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return (x ^ x >> 32) * (tc->secret[0] | 1);
}

/* Nobody has the keys that there were: all that the jump cache knows is forgotten. */
static void change_keys(TransCpu *tc)
{
    tc->secret[0] = jump_cache_key(tc, ++tc->n_secrets << 32);
    tc->keys_env = tc->keys_kernel = tc->keys_user = UINT32_MAX;
}

static uint32_t env_with(const CpuState *cpu, bool window);

static uint64_t key_in(TransCpu *tc, uint32_t space, uint32_t env)
{
    return jump_cache_key(tc, (uint64_t)space * ARRAY_LEN(tc->envs) + env_number(tc, env));
}

/* rdtsc is a sequence: not for what the CPU does next, but at privilege `cpl`. */
static uint32_t env_tsc(const CpuState *cpu, unsigned cpl)
{
    return cpu->tsc_now == NULL && (cpl == 0 || (cpu->cr4 & CR4_TSD) == 0) ? ENV_TSC : 0;
}

/* Are SYSCALL and SYSRET of 64-bit code there? */
static bool crosses_plainly(const CpuState *cpu)
{
    const uint64_t wanted = EFER_SCE | EFER_LMA;

    return (cpu->efer & wanted) == wanted;
}

/* The jump cache's keys: of the environment the CPU is in, and of both sides of SYSCALL. */
static void keys_to_host(TransCpu *tc)
{
    const uint64_t nobody = UINT64_MAX;
    Vcb *v = tc->vcb;
    CpuState *cpu = tc->cpu;
    const Tlb *tlb = &cpu->mmu.tlb;
    bool window = windows_usable(tc);
    uint32_t env = env_with(cpu, window), kernel_space = tlb_space(tlb, TLB_KERNEL), space = tlb_space(tlb, TLB_USER);
    bool plain = crosses_plainly(cpu);
    uint32_t common = env & ~(uint32_t)(ENV_CPL0 | ENV_CPL3 | ENV_CODE32 | ENV_TSC | ENV_ODD | ENV_WINDOW);
    uint32_t kernel = common | ENV_CPL0 | env_tsc(cpu, 0) | (window ? ENV_WINDOW : 0);
    uint32_t user = common | ENV_CPL3 | env_tsc(cpu, 3);

    tc->env = env;
    if (tc->keys_kernel == kernel && tc->keys_user == user && tc->keys_space[0] == kernel_space &&
        tc->keys_space[1] == space && tc->keys_plain == plain && v->syscall_rip == cpu->msr_lstar &&
        tc->keys_fmask == cpu->msr_fmask && tc->n_envs < ARRAY_LEN(tc->envs)) {
        if (tc->keys_env != env) { /* just the other side */
            v->jc_key = env == kernel ? v->key_kernel : plain && env == user
                        ? v->key_user : key_in(tc, cpu->cpl == 3 ? space : kernel_space, env);
            tc->keys_env = env;
        }
        return;
    }
    if (tc->n_envs + 3 > ARRAY_LEN(tc->envs)) {
        tc->n_envs = 0;
        change_keys(tc); /* forget all that was known by the old numbers */
    }
    v->jc_key = key_in(tc, cpu->cpl == 3 ? space : kernel_space, env);
    v->key_kernel = key_in(tc, kernel_space, kernel);
    v->key_user = plain ? key_in(tc, space, user) : jump_cache_key(tc, nobody);
    v->syscall_rip = cpu->msr_lstar;
    v->syscall_slot = 4 * (uint64_t)vcb_jump_slot(cpu->msr_lstar, tc->config->jump_cache);
    v->syscall_tag = plain ? cpu->msr_lstar + v->key_kernel : jump_cache_key(tc, nobody);
    v->syscall_keep = ~state_flags_image(cpu->msr_fmask);
    v->syscall_keep_if = ~cpu->msr_fmask >> 8 & FLAG_IF >> 8;
    tc->keys_env = env;
    tc->keys_kernel = kernel;
    tc->keys_user = user;
    tc->keys_space[0] = kernel_space;
    tc->keys_space[1] = space;
    tc->keys_plain = plain;
    tc->keys_fmask = cpu->msr_fmask;
}

static void forget_words(uint64_t *at, uint64_t n)
{
    __asm__ volatile("rep stosq" : "+D"(at), "+c"(n) : "a"(0ull) : "memory"); /* memset() has vectors */
}

void state_note_crossing(TransCpu *tc, const Block *b, uint64_t lin)
{
    unsigned slot = vcb_crossing_slot(b->offset);
    uint64_t next = (lin | GUEST_PAGE_OFFSET_MASK) + 1;

    tlb_note_code(&tc->cpu->mmu.tlb, tc->cpu->tlb_class, guest_lin((b->env & ENV_CODE32) != 0 ? (uint32_t)next : next));
    tc->vcb->cross_ntag[slot] = 0 - (lin + tc->vcb->jc_key);
    tc->vcb->cross_page[slot] = 0 - (b->beyond >> GUEST_PAGE_SHIFT);
}

static void jump_cache_clear(TransCpu *tc)
{
    change_keys(tc);
    if (tc->seen_evictions != tc->cache->evictions && ++tc->far_epoch == 0) {
        forget_words((uint64_t *)(void *)tc->far, FAR_SIZE * (sizeof(FarEntry) / sizeof(uint64_t))); /* of 2^16 evictions ago */
    }
    tc->seen_epoch = tc->cpu->mmu.tlb.code_epoch;
    tc->seen_evictions = tc->cache->evictions;
}

/* Forget what Tlb says is no longer true. */
static void jump_cache_update(TransCpu *tc)
{
    const Tlb *tlb = &tc->cpu->mmu.tlb;
    uint64_t n = tlb->n_code_flushes - tc->seen_code_flushes;
    unsigned size = tc->config->jump_cache;

    if (tc->seen_epoch != tlb->code_epoch || tc->seen_evictions != tc->cache->evictions ||
        n > TLB_CODE_FLUSHED) {
        jump_cache_clear(tc);
    } else {
        for (uint64_t i = tc->seen_code_flushes; i != tlb->n_code_flushes; i++) {
            uint64_t page = tlb->code_flushed[i % TLB_CODE_FLUSHED].v & GUEST_PAGE_MASK;
            JumpEntry *j = &tc->vcb->jc[vcb_jump_slot(page, size)];
            for (unsigned k = 0; k < MIN((unsigned)GUEST_PAGE_SIZE, size); k++) {
                j[k].ntag = 0;
            }
        }
        if (n > 0) {
            forget_words(tc->vcb->cross_ntag, VCB_CROSSINGS);
        }
    }
    tc->seen_code_flushes = tlb->n_code_flushes;
}

static void class_to_host(const Tlb *tlb, TlbClass c, uint64_t to[3])
{
    to[0] = tlb->table[c].index_mask * sizeof(TlbEntry);
    to[1] = (uint64_t)(uintptr_t)&tlb->table[c].entry[tlb->table[c].first];
    to[2] = tlb_space(tlb, c);
}

void crossed_to_host(TransCpu *tc)
{
    Vcb *v = tc->vcb;

    v->host[GPR_RSP] = tc->cpu->gpr[GPR_RSP];
    v->flags = state_flags_image(tc->cpu->rflags);
    system_to_host(tc);
    space_to_host(tc);
}

void walk_ahead(TransCpu *tc)
{
    Vcb *v = tc->vcb;
    CpuState *cpu = tc->cpu;
    Tlb *tlb = &cpu->mmu.tlb;
    uint32_t n = (v->n_announced - v->n_taken) / 4, last = 1;

    cpu->stats[STAT_ANNOUNCED] += n;
    n = tc->config->walk_ahead ? MIN(n, ANNOUNCED_MAX) : 0;
    v->n_taken = v->n_announced;
    for (uint32_t i = v->n_announced / 4 - n; n > 0; i++, n--) {
        uint32_t lin = v->announced[i % ANNOUNCED_MAX] & ~(uint32_t)GUEST_PAGE_OFFSET_MASK;

        if (lin != last && tlb_probe(tlb, cpu->tlb_class, guest_lin(lin)) == NULL) {
            cpu->stats[STAT_WALKS_AHEAD] += cpu_walk_ahead(cpu, guest_lin(lin));
        }
        last = lin;
    }
}

void tlb_to_host(TransCpu *tc)
{
    Vcb *v = tc->vcb;
    const Tlb *tlb = &tc->cpu->mmu.tlb;
    const TlbTable *table = &tlb->table[tc->cpu->tlb_class];

    if (unlikely(v->n_announced != v->n_taken) && tlb->n_changes != tc->seen_changes) {
        walk_ahead(tc);
    }
    tc->seen_changes = tlb->n_changes;
    tc->seen_resizes = tlb->n_resizes;
    v->tlb_entry = (uint64_t)(uintptr_t)&table->entry[table->first];
    v->tlb_mask = table->index_mask * sizeof(TlbEntry);
    v->tlb_space = tlb_space(tlb, tc->cpu->tlb_class);
    class_to_host(tlb, TLB_KERNEL, v->kernel_tlb[0]);
    class_to_host(tlb, TLB_KERNEL_AC, v->kernel_tlb[1]);
    class_to_host(tlb, TLB_USER, v->user_tlb);
}

void registers_to_host(TransCpu *tc)
{
    Vcb *v = tc->vcb;

    copy_registers(v->host, tc->cpu->gpr);
    copy_registers(v->saved, tc->cpu->gpr);
    v->flags = v->flags_slot = state_flags_image(tc->cpu->rflags);
}

void space_to_host(TransCpu *tc)
{
    tlb_to_host(tc);
    jump_cache_update(tc);
    keys_to_host(tc);
}

void state_to_host(TransCpu *tc)
{
    registers_to_host(tc);
    system_to_host(tc);
    space_to_host(tc);
    if (unlikely(tc->seen_cpuid_changes != tc->cpu->cpuid_changes)) {
        quick_forget_cpuid(tc);
    }
}

/* -- Environment ------------------------------------------------------------------------------ */

/* May code where the CPU is now use the window if it is usable?  64-bit code of CPL 0, 32-bit code of a system that knows
 * no other. */
static bool may_use_window(const CpuState *cpu)
{
    return (cpu->mode & MODE_CS64) != 0 ? cpu->cpl == 0 : cpu->cpl < 3 && (cpu->efer & EFER_LMA) == 0;
}

static uint32_t env_with(const CpuState *cpu, bool window)
{
    const uint64_t avx = XCR0_SSE | XCR0_AVX, avx512 = avx | XCR0_AVX512;
    const uint64_t odd = FLAG_TF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_VM | FLAG_VIF |
                         FLAG_VIP | FLAG_ID;
    uint32_t env = cpu->cpl == 3 ? ENV_CPL3 : cpu->cpl == 0 ? ENV_CPL0 : 0;

    env |= window && may_use_window(cpu) ? ENV_WINDOW : 0;
    env |= (cpu->mode & MODE_CS64) == 0 ? ENV_CODE32 : 0;
    env |= (cpu->cr4 & CR4_SMAP) != 0 ? ENV_SMAP : 0;
    env |= (cpu->cr4 & CR4_FSGSBASE) != 0 ? ENV_FSGSBASE : 0;
    env |= env_tsc(cpu, cpu->cpl);
    env |= (cpu->rflags & odd) != 0 ? ENV_ODD : 0;

    if ((cpu->cr0 & (CR0_EM | CR0_TS)) != 0) {
        return env;
    }
    env |= (cpu->cr0 & CR0_NE) != 0 ? ENV_X87 : 0;
    env |= (cpu->cr4 & CR4_OSFXSR) != 0 ? ENV_SSE : 0;
    if ((cpu->cr4 & CR4_OSXSAVE) != 0) {
        env |= (cpu->vec.xcr0 & avx) == avx ? ENV_AVX : 0;
        env |= (cpu->vec.xcr0 & avx512) == avx512 ? ENV_AVX512 : 0;
    }
    return env;
}

uint32_t trans_env(const CpuState *cpu)
{
    return env_with(cpu, may_use_window(cpu) && windows_usable(cpu->engine_data));
}
