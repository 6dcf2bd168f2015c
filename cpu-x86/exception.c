/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu-x86/exception.h"

#include "cpu-x86/segment-internal.h"
#include "softmmu/base/log.h"

#include <inttypes.h>

/* -- Raising -------------------------------------------------------------------------------------- */

static void hold(CpuState *cpu, unsigned vector, bool has_code, uint32_t code)
{
    cpu->exc.vector = (uint8_t)vector;
    cpu->exc.has_code = has_code;
    cpu->exc.is_soft = false;
    cpu->exc.code = code;
}

void cpu_raise_held(CpuState *cpu)
{
    g_assert(cpu->unwind != NULL);
    longjmp(*cpu->unwind, UNWIND_EXCEPTION);
}

_Noreturn static void raise_exc(CpuState *cpu, unsigned vector, bool has_code, uint32_t code)
{
    hold(cpu, vector, has_code, code);
    cpu_raise_held(cpu);
}

void cpu_raise(CpuState *cpu, unsigned vector)
{
    raise_exc(cpu, vector, false, 0);
}

void cpu_raise_code(CpuState *cpu, unsigned vector, uint32_t code)
{
    raise_exc(cpu, vector, true, code);
}

void cpu_hold_page_fault(CpuState *cpu, GuestLin lin, uint32_t code)
{
    cpu->cr2 = lin.v;
    hold(cpu, EXC_PF, true, code);
}

void cpu_raise_ud(CpuState *cpu)
{
    raise_exc(cpu, EXC_UD, false, 0);
}

void cpu_raise_gp(CpuState *cpu, uint32_t code)
{
    raise_exc(cpu, EXC_GP, true, code);
}

void cpu_unwind(CpuState *cpu)
{
    g_assert(cpu->unwind != NULL);
    longjmp(*cpu->unwind, UNWIND_LEAVE);
}

/* -- One delivery ----------------------------------------------------------------------------------- */

typedef struct {
    unsigned vector;
    DeliverKind kind;
    bool has_code;
    uint32_t code;
    uint64_t rip;              /* to push */
    uint64_t flags;            /* to push */
    unsigned ext;              /* bit 0 of error codes met on the way: 0 only for int n */
} Event;

/* Error code that names an IDT entry (SDM 3A 6.13). */
static uint32_t idt_code(const Event *ev)
{
    return ev->vector * 8 + 2 + ev->ext;
}

/* The flags that every handler starts with clear; and IF, when `mask`. */
static void enter_flags(CpuState *cpu, bool mask)
{
    cpu->rflags &= ~(uint64_t)(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM | (mask ? FLAG_IF : 0));
}

/* Real mode: the interrupt vector table. SDM 3A 20.1.4. */
static void deliver_real(CpuState *cpu, const Event *ev)
{
    Stack s = stack_current(cpu, 0);
    uint32_t vector;

    if (ev->vector * 4 + 3 > cpu->idtr.limit) {
        cpu_raise_gp(cpu, 0);
    }
    vector = (uint32_t)read_system(cpu, cpu->idtr.base + ev->vector * 4, 4);
    stack_push(cpu, &s, 2, ev->flags);
    stack_push(cpu, &s, 2, cpu->seg[SEG_CS].selector);
    stack_push(cpu, &s, 2, ev->rip);
    stack_commit(cpu, &s, false);
    cpu->rflags &= ~(uint64_t)(FLAG_TF | FLAG_IF | FLAG_AC | FLAG_RF);
    cpu_load_segment_real(cpu, SEG_CS, (uint16_t)(vector >> 16));
    cpu->next_rip = vector & 0xffff;
}

/* The code segment an interrupt or trap gate names. */
static void read_gate_code(CpuState *cpu, const Event *ev, uint16_t selector, Desc *d)
{
    bool lma = (cpu->efer & EFER_LMA) != 0;

    if (selector_is_null(selector)) {
        cpu_raise_gp(cpu, ev->ext);
    }
    if (!desc_read(cpu, selector, d) || !desc_is_code(d) || desc_dpl(d) > cpu->cpl ||
        (lma && (d->hi & (SEG_L | SEG_DB)) != SEG_L)) {
        cpu_raise_gp(cpu, selector_code(selector, ev->ext));
    }
    if (!desc_present(d)) {
        cpu_raise_code(cpu, EXC_NP, selector_code(selector, ev->ext));
    }
}

/* From virtual-8086 mode: the data segments are pushed and become null. */
static void push_v86_segments(CpuState *cpu, Stack *s, unsigned size)
{
    static const uint8_t order[4] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};

    for (unsigned i = 0; i < 4; i++) {
        stack_push(cpu, s, size, cpu->seg[order[i]].selector);
    }
}

static void null_data_segments(CpuState *cpu)
{
    static const uint8_t all[4] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};

    for (unsigned i = 0; i < 4; i++) {
        cpu->seg[all[i]] = (Segment){.attr = SEG_NULL};
    }
}

/* Interrupt and trap gates, 16, 32 and 64 bits wide. SDM 3A 6.12.1, 6.14. */
static void deliver_gate(CpuState *cpu, const Event *ev, unsigned type, uint16_t selector,
                         uint64_t offset, unsigned ist)
{
    bool lma = (cpu->efer & EFER_LMA) != 0, v86 = (cpu->rflags & FLAG_VM) != 0;
    unsigned size = lma ? 8 : (type & 8) != 0 ? 4 : 2, cpl = cpu->cpl;
    bool switches;
    Desc d;
    Stack s;

    read_gate_code(cpu, ev, selector, &d);
    switches = (d.hi & SEG_DC) == 0 && desc_dpl(&d) < cpl;
    if (v86 && (!switches || desc_dpl(&d) != 0)) {
        cpu_raise_gp(cpu, selector_code(selector, ev->ext));
    }
    if (switches || ist != 0) {
        cpl = switches ? desc_dpl(&d) : cpl;
        s = stack_from_tss(cpu, cpl, ist, ev->ext);
        s.ss = switches ? s.ss : cpu->seg[SEG_SS];
    } else {
        s = stack_current(cpu, ev->ext);
        s.long64 = lma;
        s.mask = lma ? UINT64_MAX : s.mask;
    }
    if (lma) {
        s.sp &= ~(uint64_t)15;
    }
    Segment cs = desc_segment(&d);
    code_check_rip(cpu, &cs, offset, ev->ext);
    if (v86) {
        push_v86_segments(cpu, &s, size);
    }
    if (switches || lma) {
        stack_push(cpu, &s, size, cpu->seg[SEG_SS].selector);
        stack_push(cpu, &s, size, cpu->gpr[GPR_RSP]);
    }
    stack_push(cpu, &s, size, ev->flags);
    stack_push(cpu, &s, size, cpu->seg[SEG_CS].selector);
    stack_push(cpu, &s, size, ev->rip);
    if (ev->has_code) {
        stack_push(cpu, &s, size, ev->code);
    }
    desc_set_accessed(cpu, &d);

    if (v86) {
        null_data_segments(cpu);
    }
    enter_flags(cpu, (type & 1) == 0);
    stack_commit(cpu, &s, switches);
    code_commit(cpu, &d, cpl, offset);
}

static void deliver_task(CpuState *cpu, const Event *ev, const Desc *gate)
{
    cpu_task_gate(cpu, gate, TASK_EVENT, ev->rip, ev->flags, ev->ext);
    if (ev->has_code) {
        Stack s = stack_current(cpu, ev->ext);

        stack_push(cpu, &s, (cpu->seg[SEG_TR].attr >> SEG_TYPE_SHIFT & 8) != 0 ? 4 : 2, ev->code);
        stack_commit(cpu, &s, false);
    }
    code_check_rip(cpu, &cpu->seg[SEG_CS], cpu->next_rip, ev->ext);
}

/* Protected mode: what kind of gate? */
static void deliver_protected(CpuState *cpu, const Event *ev)
{
    bool lma = (cpu->efer & EFER_LMA) != 0;
    unsigned size = lma ? 16 : 8, type;
    uint64_t at = cpu->idtr.base + ev->vector * size, offset;
    Desc gate = {.at = guest_lin(at)};

    if (ev->vector * size + size - 1 > cpu->idtr.limit) {
        cpu_raise_gp(cpu, idt_code(ev));
    }
    gate.lo = (uint32_t)read_system(cpu, at, 4);
    gate.hi = (uint32_t)read_system(cpu, at + 4, 4);
    gate.lo2 = lma ? (uint32_t)read_system(cpu, at + 8, 4) : 0;
    type = desc_type(&gate);
    if (!desc_is_system(&gate) ||
        !(type == SYS_INT32 || type == SYS_TRAP32 ||
          (!lma && (type == SYS_INT16 || type == SYS_TRAP16 || type == SYS_TASK_GATE))) ||
        (ev->kind == DELIVER_SOFT && desc_dpl(&gate) < cpu->cpl)) {
        cpu_raise_gp(cpu, idt_code(ev));
    }
    if (!desc_present(&gate)) {
        cpu_raise_code(cpu, EXC_NP, idt_code(ev));
    }
    if (type == SYS_TASK_GATE) {
        deliver_task(cpu, ev, &gate);
        return;
    }
    offset = (gate.lo & 0xffff) | ((type & 8) != 0 ? gate.hi & 0xffff0000 : 0) |
             (uint64_t)gate.lo2 << 32;
    deliver_gate(cpu, ev, type, (uint16_t)(gate.lo >> 16), offset, lma ? gate.hi & 7 : 0);
}

/* Bookkeeping once the handler is entered. */
static void delivered(CpuState *cpu, const Event *ev)
{
    cpu->rip = cpu->next_rip;
    cpu->shadow = cpu->shadow_ss = false;
    if (ev->kind == DELIVER_NMI) {
        cpu->nmi_masked = true;
    }
    if (ev->kind == DELIVER_SOFT) {
        cpu->stats[STAT_SOFT_INTS]++;
    } else if (ev->kind == DELIVER_EXTERNAL || ev->kind == DELIVER_NMI) {
        cpu->stats[STAT_INTERRUPTS]++;
    } else {
        cpu->stats[STAT_EXCEPTIONS]++;
        cpu->stats[STAT_PAGE_FAULTS] += ev->vector == EXC_PF;
    }
}

/* True when delivered; false when cpu->exc holds the exception met on the way. */
static bool try_deliver(CpuState *cpu, const Event *ev)
{
    jmp_buf here, *outer = cpu->unwind;
    bool ok = false;

    if (cpu_deliver_plain(cpu, ev->vector, ev->kind == DELIVER_SOFT, ev->has_code ? &ev->code : NULL, ev->rip,
                          ev->flags)) {
        delivered(cpu, ev);
        return true;
    }
    cpu->unwind = &here;
    if (setjmp(here) == 0) {
        if ((cpu->cr0 & CR0_PE) == 0) {
            deliver_real(cpu, ev);
        } else {
            deliver_protected(cpu, ev);
        }
        delivered(cpu, ev);
        cpu->unwind = outer;
        ok = true;
    }
    cpu->unwind = outer;
    return ok;
}

/* -- Faults within faults --------------------------------------------------------------------------- */

typedef enum { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT } Severity;

/* SDM 3A table 6-4. */
static Severity severity(const Event *ev)
{
    if (ev->kind != DELIVER_FAULT) {
        return BENIGN;
    }
    switch (ev->vector) {
    case EXC_DE:
    case EXC_TS:
    case EXC_NP:
    case EXC_SS:
    case EXC_GP:
    case EXC_CP:
        return CONTRIBUTORY;
    case EXC_PF:
        return PAGE_FAULT;
    case EXC_DF:
        return DOUBLE_FAULT;
    default:
        return BENIGN;
    }
}

/* SDM 3A table 6-5: does `second`, met while delivering `first`, make a double fault? */
static bool makes_double_fault(Severity first, Severity second)
{
    return (first == CONTRIBUTORY && second == CONTRIBUTORY) ||
           (first == PAGE_FAULT && (second == CONTRIBUTORY || second == PAGE_FAULT));
}

static void log_event(const CpuState *cpu, const Event *ev)
{
    static const char *const kinds[] = {"fault", "trap", "soft", "extern", "nmi"};

    if (ev->vector == EXC_PF && ev->kind == DELIVER_FAULT) {
        log_write("int: cpu %u v=%02x %s code=%x cr2=%016" PRIx64 " at %04x:%016" PRIx64
                  " cpl=%u rsp=%016" PRIx64, cpu->index, ev->vector, kinds[ev->kind], ev->code,
                  cpu->cr2, cpu->seg[SEG_CS].selector, ev->rip, cpu->cpl, cpu->gpr[GPR_RSP]);
    } else {
        log_write("int: cpu %u v=%02x %s code=%x at %04x:%016" PRIx64 " cpl=%u rsp=%016" PRIx64,
                  cpu->index, ev->vector, kinds[ev->kind], ev->has_code ? ev->code : 0,
                  cpu->seg[SEG_CS].selector, ev->rip, cpu->cpl, cpu->gpr[GPR_RSP]);
    }
}

static void triple_fault(CpuState *cpu)
{
    log_item(CPU_RESET, "cpu %u: triple fault at %04x:%016" PRIx64 " cr0=%" PRIx64 " cr3=%" PRIx64
             " cr2=%" PRIx64 " cr4=%" PRIx64 " efer=%" PRIx64, cpu->index,
             cpu->seg[SEG_CS].selector, cpu->rip, cpu->cr0, cpu->cr3, cpu->cr2, cpu->cr4, cpu->efer);
    cpu->activity = CPU_SHUTDOWN;
}

/* An event as it is pushed: RF is set in the image of every fault but an instruction breakpoint
 * (SDM 3B 17.3.1.1), so that the instruction can be restarted. */
static Event make_event(const CpuState *cpu, unsigned vector, DeliverKind kind, bool has_code,
                        uint32_t code)
{
    Event ev = {.vector = vector, .kind = kind, .has_code = has_code, .code = code,
                .rip = kind == DELIVER_SOFT ? cpu->next_rip : cpu->rip, .flags = cpu->rflags,
                .ext = kind != DELIVER_SOFT};

    if (kind == DELIVER_FAULT && vector != EXC_DB && vector != EXC_DF) {
        ev.flags |= FLAG_RF;
    }
    return ev;
}

bool cpu_deliver(CpuState *cpu, unsigned vector, DeliverKind kind, bool has_code, uint32_t code)
{
    Event ev = make_event(cpu, vector, kind, has_code, code);

    for (;;) {
        Severity first = severity(&ev);

        if (unlikely(log_on[LOG_INT])) {
            log_event(cpu, &ev);
        }
        if (try_deliver(cpu, &ev)) {
            return true;
        }
        ev = make_event(cpu, cpu->exc.vector, DELIVER_FAULT, cpu->exc.has_code, cpu->exc.code);
        if (first == DOUBLE_FAULT && severity(&ev) != BENIGN) {
            triple_fault(cpu);
            return false;
        }
        if (makes_double_fault(first, severity(&ev))) {
            ev = make_event(cpu, EXC_DF, DELIVER_FAULT, true, 0);
        }
    }
}
