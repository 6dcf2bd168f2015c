/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu-x86/cpu-start.h"

#include "cpu-x86/cpuid.h"
#include "cpu-x86/exception.h"
#include "cpu-x86/segment-internal.h"
#include "cpu-x86/walk.h"

static void load_code_segment(CpuState *cpu, uint16_t selector)
{
    Desc d;

    if (selector_is_null(selector) || !desc_read(cpu, selector, &d) || !desc_is_code(&d) ||
        !desc_present(&d) || desc_dpl(&d) != (selector & 3u)) {
        cpu_raise_gp(cpu, selector_code(selector, 0));
    }
    cpu->seg[SEG_CS] = desc_segment(&d);
    cpu_update_mode(cpu);
}

static void load_ldt(CpuState *cpu, uint16_t selector)
{
    Desc d;

    cpu->seg[SEG_LDTR] = (Segment){.selector = selector, .attr = SEG_NULL};
    if (selector_is_null(selector)) {
        return;
    }
    if ((selector & 4) != 0 || !desc_read(cpu, selector, &d) || !desc_is_system(&d) ||
        desc_type(&d) != SYS_LDT || !desc_present(&d)) {
        cpu_raise_gp(cpu, selector_code(selector, 0));
    }
    cpu->seg[SEG_LDTR] = desc_segment(&d);
}

/* Raises where an instruction that loads the same would. */
static void load(CpuState *cpu, const CpuStart *s)
{
    if ((s->cr0 & (CR0_PE | CR0_PG)) != (CR0_PE | CR0_PG) || (s->efer & (EFER_LME | EFER_LMA)) != 0 ||
        (s->eflags & FLAG_VM) != 0) {
        cpu_raise_gp(cpu, 0);
    }
    cpu->gdtr = s->gdtr;
    cpu->idtr = s->idtr;
    cpu_write_efer(cpu, s->efer);
    cpu_write_cr4(cpu, s->cr4);
    cpu_write_cr3(cpu, s->cr3);
    cpu_write_cr0(cpu, s->cr0);
    cpu->cr2 = s->cr2;
    load_code_segment(cpu, s->seg[SEG_CS]);
    load_ldt(cpu, s->ldtr);
    cpu_load_segment(cpu, SEG_SS, s->seg[SEG_SS]);
    cpu_load_segment(cpu, SEG_DS, s->seg[SEG_DS]);
    cpu_load_segment(cpu, SEG_ES, s->seg[SEG_ES]);
    cpu_load_segment(cpu, SEG_FS, s->seg[SEG_FS]);
    cpu_load_segment(cpu, SEG_GS, s->seg[SEG_GS]);
}

bool cpu_start(CpuState *cpu, const CpuStart *s)
{
    const uint32_t flags = FLAGS_ARITH | FLAG_IF | FLAG_DF | FLAG_AC | FLAG_ID | FLAG_NT;
    jmp_buf env, *outer = cpu->unwind;
    bool ok;

    cpu->unwind = &env;
    ok = _setjmp(env) == 0;
    if (ok) {
        load(cpu, s);
    }
    cpu->unwind = outer;
    cpu->shadow = cpu->shadow_ss = false; /* what loading SS left */
    if (!ok) {
        cpu_init_signal(cpu);
        return false;
    }
    for (unsigned i = 0; i < ARRAY_LEN(s->gpr); i++) {
        cpu->gpr[i] = s->gpr[i];
    }
    cpu->rip = cpu->next_rip = s->eip;
    cpu->rflags = (s->eflags & flags) | FLAG_FIXED;
    cpu->activity = CPU_RUNNING;
    cpu_update_mode(cpu);
    return true;
}
