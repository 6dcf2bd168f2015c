/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/quick.h"

#include "cpu-x86/cpuid.h"
#include "cpu-x86/msr.h"
#include "cpu-x86/walk.h"
#include "softmmu/base/bits.h"
#include "translator/glue.h"

#include <string.h>

/* -- Registers -------------------------------------------------------------------------------- */

/* As an instruction with operands of `size` bytes writes it. */
static void put(uint64_t *reg, unsigned size, uint64_t val)
{
    *reg = size >= 4 ? val & mask_bytes(size) : (*reg & ~mask_bytes(size)) | (val & mask_bytes(size));
}

/* -- Calls by ports ----------------------------------------------------------------------------- */

/* Registers go to the CpuState and back, the rest of which stays as it is (CpuPv.port_sees_few). */
static bool quick_call(TransCpu *tc, uint16_t port, unsigned size)
{
    CpuState *cpu = tc->cpu;
    uint64_t *r = tc->vcb->host;

    if (cpu->pv.port_sees_few == NULL || !cpu->pv.port_sees_few(cpu->pv.arg, port, r)) {
        return false;
    }
    cpu->stats[STAT_PORT_IO]++;
    memcpy(cpu->gpr, r, 8 * sizeof *r);
    port_write(cpu->ports, port, size, (uint32_t)(r[GPR_RAX] & mask_bytes(size)));
    r[GPR_RAX] = cpu->gpr[GPR_RAX];
    r[GPR_RDX] = cpu->gpr[GPR_RDX];
    return true;
}

/* -- Ports ------------------------------------------------------------------------------------ */

bool quick_port(TransCpu *tc, const X86Insn *in)
{
    CpuState *cpu = tc->cpu;
    uint64_t *r = tc->vcb->host;
    bool reads = in->mnemonic == ZYDIS_MNEMONIC_IN;
    unsigned size = in->op[reads ? 0 : 1].size;
    uint16_t port = in->op[reads ? 1 : 0].kind == OPERAND_IMM ? (uint8_t)in->imm : (uint16_t)r[GPR_RDX];

    if ((cpu->dr[7] & 0xff) != 0) {
        return false;
    }
    if (cpu->pv.port_sees_registers != NULL && cpu->pv.port_sees_registers(cpu->pv.arg, port)) {
        return !reads && quick_call(tc, port, size);
    }
    cpu->stats[STAT_PORT_IO]++;
    if (reads) {
        put(&r[GPR_RAX], size, port_read(cpu->ports, port, size));
    } else {
        port_write(cpu->ports, port, size, (uint32_t)(r[GPR_RAX] & mask_bytes(size)));
    }
    return true;
}

/* -- Model-specific registers ------------------------------------------------------------------ */

/* Reading and writing it changes nothing that translated code depends on. */
static bool is_apart(uint32_t msr)
{
    enum { SPEC_CTRL = 0x48, PRED_CMD = 0x49, TSC_DEADLINE = 0x6e0, X2APIC = 0x800, KVM = 0x4b564d00 };

    return msr - X2APIC < 0x100 || msr == TSC_DEADLINE || msr - KVM < 8 || msr == SPEC_CTRL || msr == PRED_CMD;
}

bool quick_msr(TransCpu *tc, const X86Insn *in)
{
    uint64_t *r = tc->vcb->host, val;
    uint32_t msr = (uint32_t)r[GPR_RCX];

    if (!is_apart(msr)) {
        return false;
    }
    if (in->mnemonic == ZYDIS_MNEMONIC_WRMSR) {
        return cpu_msr_write(tc->cpu, msr, r[GPR_RDX] << 32 | (uint32_t)r[GPR_RAX]);
    }
    if (!cpu_msr_read(tc->cpu, msr, &val)) {
        return false;
    }
    r[GPR_RAX] = (uint32_t)val;
    r[GPR_RDX] = val >> 32;
    return true;
}

/* -- Control registers ------------------------------------------------------------------------- */

/* Nothing is to be raised. */
static bool is_plain_cr3(const CpuState *cpu, uint64_t val)
{
    if ((cpu->efer & EFER_LMA) == 0) {
        return (cpu->cr4 & CR4_PAE) == 0 || (cpu->cr0 & CR0_PG) == 0; /* else there are entries to be loaded */
    }
    if ((cpu->cr4 & CR4_PCIDE) != 0) {
        val &= INT64_MAX;
    }
    return val >> cpu_model_phys_bits(cpu->model) == 0;
}

bool quick_cr(TransCpu *tc, const X86Insn *in)
{
    CpuState *cpu = tc->cpu;
    bool to = in->op[0].kind == OPERAND_CR;
    unsigned n = in->op[to ? 0 : 1].reg;
    uint64_t *reg = &tc->vcb->host[in->op[to ? 1 : 0].reg];

    if (n == 3 && to && is_plain_cr3(cpu, *reg)) {
        cpu_write_cr3(cpu, *reg);
        return true;
    }
    if (n != 8 || cpu->bus.cr8_read == NULL || (to && *reg > 15)) {
        return false;
    }
    if (to) {
        cpu->bus.cr8_write(cpu->bus.arg, *reg);
    } else {
        *reg = cpu->bus.cr8_read(cpu->bus.arg);
    }
    return true;
}

/* -- CPUID ------------------------------------------------------------------------------------- */

void quick_forget_cpuid(TransCpu *tc)
{
    for (unsigned i = 0; i < CPUID_ENTRIES; i++) {
        tc->vcb->cpuid[i].key = CPUID_NOTHING;
    }
    tc->seen_cpuid_changes = tc->cpu->cpuid_changes;
}

/* Intel's has a bit there that depends on the kind of code. */
static bool depends_on_code(const CpuState *cpu, uint32_t leaf)
{
    return leaf == 0x80000001 && !cpu_model_is_amd(cpu->model);
}

bool quick_cpuid(TransCpu *tc)
{
    uint64_t *r = tc->vcb->host;
    uint32_t leaf = (uint32_t)r[GPR_RAX], subleaf = (uint32_t)r[GPR_RCX];
    CpuidEntry e = {.key = (uint64_t)subleaf << 32 | leaf};

    cpu_cpuid(tc->cpu, leaf, subleaf, e.regs);
    r[GPR_RAX] = e.regs[0];
    r[GPR_RBX] = e.regs[1];
    r[GPR_RCX] = e.regs[2];
    r[GPR_RDX] = e.regs[3];
    if (e.key != CPUID_NOTHING && !depends_on_code(tc->cpu, leaf)) {
        tc->vcb->cpuid[vcb_cpuid_entry(leaf, subleaf)] = e;
    }
    return true;
}

/* -- The TLB ------------------------------------------------------------------------------------ */

bool quick_invlpg(TransCpu *tc, uint64_t lin)
{
    if ((uint64_t)((int64_t)(lin << 16) >> 16) == lin) { /* else nothing can be cached */
        tlb_flush_page(&tc->cpu->mmu.tlb, guest_lin(lin));
    }
    return true;
}

/* -- Devices' memory ---------------------------------------------------------------------------- */

/* The registers at guest-physical page `page`, or NULL: nothing that fills it. */
static const PhysRange *device_at(TransCpu *tc, uint64_t page)
{
    PhysMem *pm = tc->cpu->mem;
    DevicePage *d = &tc->device[(page >> GUEST_PAGE_SHIFT) % DEVICE_PAGES];
    uint64_t generation = __atomic_load_n(&pm->generation, __ATOMIC_ACQUIRE);

    if (d->page != page || d->generation != generation || generation == 0) {
        PhysRange r = phys_mem_find(pm, guest_phys(page));
        uint64_t off = page - r.base;

        if (r.kind != PHYS_MMIO || r.len < GUEST_PAGE_SIZE || off > r.len - GUEST_PAGE_SIZE) {
            return NULL;
        }
        *d = (DevicePage){.page = page, .generation = generation, .range = r};
    }
    return &d->range;
}

static bool is_store(const X86Insn *in)
{
    return in->mnemonic == ZYDIS_MNEMONIC_MOV && in->op[0].kind == OPERAND_MEM &&
           (in->op[1].kind == OPERAND_GPR || in->op[1].kind == OPERAND_GPR_HIGH || in->op[1].kind == OPERAND_IMM);
}

static bool is_load(const X86Insn *in)
{
    return (in->mnemonic == ZYDIS_MNEMONIC_MOV || in->mnemonic == ZYDIS_MNEMONIC_MOVZX) &&
           (in->op[0].kind == OPERAND_GPR || in->op[0].kind == OPERAND_GPR_HIGH) && in->op[1].kind == OPERAND_MEM;
}

static uint64_t stored_value(const TransCpu *tc, const X86Insn *in)
{
    const X86Operand *o = &in->op[1];

    return o->kind == OPERAND_IMM        ? in->imm
           : o->kind == OPERAND_GPR_HIGH ? tc->vcb->host[o->reg] >> 8
                                         : tc->vcb->host[o->reg];
}

static void take_value(TransCpu *tc, const X86Insn *in, uint64_t val)
{
    const X86Operand *o = &in->op[0];
    uint64_t *reg = &tc->vcb->host[o->reg];

    if (o->kind == OPERAND_GPR_HIGH) {
        *reg = (*reg & ~UINT64_C(0xff00)) | (val & 0xff) << 8;
    } else {
        put(reg, o->size, val);
    }
}

/*
 * The CPU's own local APIC, where it shows the registers at `off` of its page and the machine lock is not needed
 * (CpuState.apic_*).
 */
static bool own_apic(CpuState *cpu, unsigned off, bool write, uint64_t *val)
{
    enum { ID = 0x20, TPR = 0x80, EOI = 0xb0 };

    if (!write) {
        *val = off == ID ? cpu->index << 24 : __atomic_load_n(&cpu->apic_tpr, __ATOMIC_RELAXED);
        return off == ID || off == TPR;
    }
    if (off == EOI && cpu->apic_eoi != 0) {
        __atomic_store_n(&cpu->apic_eoi, 0, __ATOMIC_RELEASE);
        return true;
    }
    if (off != TPR || __atomic_load_n(&cpu->apic_busy, __ATOMIC_SEQ_CST) != 0) {
        return false;
    }
    /* whoever requests an interrupt now sees it, or we see the request and do it all again (hw/lapic.c) */
    __atomic_store_n(&cpu->apic_tpr, (uint8_t)*val, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&cpu->apic_busy, __ATOMIC_SEQ_CST) == 0;
}

bool quick_device(TransCpu *tc, const X86Insn *in, uint64_t lin, unsigned size, bool write, bool *memory)
{
    enum { APIC_PAGE = 0xfee00000 };
    CpuState *cpu = tc->cpu;
    const TlbSide *s = tlb_probe(&cpu->mmu.tlb, cpu->tlb_class, guest_lin(lin));
    uint64_t off = lin & GUEST_PAGE_OFFSET_MASK, val = 0;
    const PhysRange *r;

    *memory = s != NULL && tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, lin, write ? TLB_STORE : TLB_LOAD) != NULL;
    if (s == NULL || s->offset != TLB_NO_OFFSET || (s->rights & TLB_R_WATCH) != 0 ||
        (s->rights & (write ? TLB_R_WRITE : TLB_R_READ)) == 0 || off + size > GUEST_PAGE_SIZE ||
        !(write ? is_store(in) : is_load(in))) {
        return false;
    }
    if (write) {
        val = stored_value(tc, in) & mask_bytes(size);
    }
    if (s->phys.v == APIC_PAGE && cpu->apic_mode == 1 && size == 4 && own_apic(cpu, (unsigned)off, write, &val)) {
        if (!write) {
            take_value(tc, in, val);
        }
        return true;
    }
    r = device_at(tc, s->phys.v);
    if (r == NULL) {
        return false;
    }
    trans_vec_spill();
    off += s->phys.v - r->base + r->window_off;
    lock_take(cpu->mem->lock);
    if (write) {
        bus_write(r->ops, r->arg, off, size, val);
    } else {
        val = bus_read(r->ops, r->arg, off, size);
    }
    lock_release(cpu->mem->lock);
    if (!write) {
        take_value(tc, in, val);
    }
    return true;
}
