/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every call of VMI 3.0, each against the native instruction; without a ROM the native operations themselves. */
#include "tests/guest/vmi-client.h"

enum { P = 1, W = 2, U = 4, ACCESSED = 0x20, DIRTY = 0x40, G = 0x100, PS = 0x80 };
enum { PXE_PT = 1, PXE_PD = 2, PXE_CURRENT_AS = 0x10 };
extern u32 boot_pd[1024];

#define NEED_ROM()                                                                                 \
    do {                                                                                           \
        if (vmi_header == NULL) {                                                                  \
            test_skip("no ROM");                                                                   \
            return;                                                                                \
        }                                                                                          \
    } while (0)

#define NEED(member)                                                                               \
    do {                                                                                           \
        if (vmi.member == NULL) {                                                                  \
            test_skip("not offered");                                                              \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* -- Finding it -------------------------------------------------------------------------------------------- */

static void the_rom_is_found(void)
{
    const char *base;
    u8 sum = 0;

    vmi_header = vmi_probe(0);
    NEED_ROM();
    base = (const char *)vmi_header;
    EXPECT(vmi_text_is(base + vmi_header->license, "GPL v2"));
    EXPECT(*(u32 *)(base + vmi_header->pci) == 0x52494350);
    EXPECT_EQ(*(u32 *)(base + vmi_header->pci + 4), 0x080115ad);
    EXPECT(*(u32 *)(base + vmi_header->pnp) == 0x506e5024);
    EXPECT(vmi_text_is(base + *(u16 *)(base + vmi_header->pnp + 0xe), "Metaphrase"));
    EXPECT_EQ(vmi_header->virtual_top & 0x3fffff, 0);
    EXPECT_EQ(vmi_header->entry[0], 0xcb);
    for (u32 i = 0; i < vmi_header->length * 512u; i++) {
        sum = (u8)(sum + base[i]);
    }
    EXPECT_EQ(sum, 0);
    *(volatile u8 *)base = 0;             /* it is a ROM */
    EXPECT_EQ(vmi_header->signature, 0xaa55);
}

/* --stress vmi_jump=1: IRET and SYSEXIT are jumps into the ROM. */
static bool jumps(void) { return cmdline_says("jumps"); }

static void relocations_are_of_four_kinds(void)
{
    VmiHeader *alias = vmi_probe(USER_BASE); /* the same ROM elsewhere in linear space */
    u32 seen = 0;

    NEED_ROM();
    for (u32 n = 0; n < 200; n++) {
        VmiReloc r = vmi_reloc(vmi_header, n), again = vmi_reloc(vmi_header, n);
        VmiReloc there = vmi_reloc(alias, n);

        seen |= 1u << r.type;
        EXPECT(r.type <= RELOC_NOP);
        EXPECT(r.type == RELOC_NONE || n < 74);
        EXPECT(r.type != RELOC_JUMP || (n >= 29 && n <= 34));
        EXPECT(r.eip == again.eip && r.type == again.type);
        if (r.type == RELOC_CALL || r.type == RELOC_JUMP) {
            EXPECT(r.eip - (u32)vmi_header < vmi_header->length * 512u);
            EXPECT_EQ(there.eip - (u32)alias, r.eip - (u32)vmi_header);
        }
        EXPECT_EQ(there.type, r.type);
    }
    EXPECT_EQ(seen, jumps() ? 15 : 15 & ~(1 << RELOC_JUMP));
    EXPECT_EQ(vmi_reloc(vmi_header, 33).type, jumps() ? RELOC_JUMP : RELOC_CALL);
    EXPECT_EQ(vmi_reloc(vmi_header, 34).type, jumps() ? RELOC_JUMP : RELOC_CALL);
    EXPECT(vmi_reloc(vmi_header, 66).type != RELOC_NOP);
}

static void the_rom_takes_over(void)
{
    EXPECT_EQ(site_kept(), 0x1234);
    NEED_ROM();
    EXPECT(vmi_activate(vmi_header));
    ops.set_linear_mapping(0, 0, 0x40000, 0);
    EXPECT_EQ(site_kept(), 0x1234);
    site_io_delay();
    EXPECT_EQ(read_flags() & FLAG_IF, 0);
    EXPECT(vmi_activate(vmi_header));     /* again, as for modules */
}

/* What is no call of ours is dropped, whoever makes it. */
extern const u8 user_port[];
__asm__(".pushsection .text; user_port: movl $0x564d4924, %ebx; out %al, $0xe4; int $0x80; .popsection");

static void the_port_is_the_kernels(void)
{
    u32 eax = 0x12345678, ebx = 0x564d4948, edx = 0x9abcdef0;

    __asm__ volatile("out %%al, $0xe4" : "+a"(eax), "+d"(edx) : "b"(0) : "memory");
    __asm__ volatile("out %%al, $0xe4" : "+a"(eax), "+d"(edx) : "b"(ebx) : "memory"); /* call 72 */
    EXPECT_EQ(eax, 0x12345678);
    EXPECT_EQ(edx, 0x9abcdef0);
    /* Reboot, by user code that may use ports */
    EXPECT_EQ(TRY(enter_user(USER(user_port), 0, 0x3000)), VECTOR_USER_EXIT);
}

/* -- Registers --------------------------------------------------------------------------------------------- */

static void cpuid_msrs_and_counters_are_the_native_ones(void)
{
    static const u32 counters[] = {0, 0x7fffffff};
    static const u32 leaves[] = {0, 1, 4, 7, 0xd, 0x40000000, 0x80000000, 0x80000002, 0x80000008};
    u32 lo, hi, a, b, c, d, native[4];
    u64 t;

    NEED_ROM();
    for (u32 i = 0; i < ARRAY_LEN(leaves); i++) {
        cpuid(leaves[i], 0, native);
        __asm__ volatile("call *%6" : "=a"(a), "=b"(b), "=c"(c), "=d"(d)
                         : "a"(leaves[i]), "c"(0), "S"(vmi_reloc(vmi_header, 0).eip));
        EXPECT(a == native[0] && b == native[1] && c == native[2] && d == native[3]);
    }
    wrmsr(0x174, 0x1234);
    __asm__ volatile("call *%3" : "=a"(lo), "=d"(hi) : "c"(0x174), "S"(vmi_reloc(vmi_header, 2).eip));
    EXPECT(lo == 0x1234 && hi == 0);
    __asm__ volatile("call *%0" : : "S"(vmi_reloc(vmi_header, 1).eip), "c"(0x174), "a"(0x4321), "d"(0));
    EXPECT_EQ(rdmsr(0x174), 0x4321);
    t = rdtsc();
    EXPECT(ops.rdtsc() >= t);
    EXPECT(ops.rdtsc() <= rdtsc());
    for (u32 i = 0; i < ARRAY_LEN(counters); i++) { /* whether or not there are counters */
        int vector = TRY(__asm__ volatile("rdpmc" : : "c"(counters[i]) : "eax", "edx", "memory"));

        EXPECT(i == 0 || vector == VECTOR_GP);
        EXPECT_EQ(TRY(__asm__ volatile("call *%0" : : "S"(vmi_reloc(vmi_header, 26).eip), "c"(counters[i])
                                       : "eax", "edx", "memory")), vector);
    }
    ops.wbinvd();
}

static void control_registers(void)
{
    u32 cr0 = read_cr0(), cr4 = read_cr4();

    EXPECT_EQ(ops.get_cr0(), cr0);
    EXPECT_EQ(ops.get_cr3(), read_cr3());
    EXPECT_EQ(ops.get_cr4(), cr4);
    ops.set_cr0(cr0 | CR0_TS);
    EXPECT_EQ(read_cr0(), cr0 | CR0_TS);
    ops.clts();
    EXPECT_EQ(read_cr0(), cr0 & ~CR0_TS);
    ops.set_cr0(cr0);
    ops.set_cr2(0x12345678);
    EXPECT_EQ(read_cr2(), 0x12345678);
    EXPECT_EQ(ops.get_cr2(), 0x12345678);
    ops.set_cr4(cr4 ^ CR4_DE);
    EXPECT_EQ(read_cr4(), cr4 ^ CR4_DE);
    ops.set_cr4(cr4);
    ops.set_cr3(read_cr3());
    EXPECT_EQ(read_cr4(), cr4);
}

static void debug_registers(void)
{
    for (u32 n = 0; n < 4; n++) {
        ops.set_dr(n, 0x1000 * (n + 1));
        EXPECT_EQ(ops.get_dr(n), 0x1000 * (n + 1));
    }
    EXPECT(read_dr0() == 0x1000 && read_dr1() == 0x2000 && read_dr2() == 0x3000 && read_dr3() == 0x4000);
    ops.set_dr(6, 0xffff0ff1);
    EXPECT_EQ(read_dr6() & 15, 1);
    EXPECT_EQ(ops.get_dr(6), read_dr6());
    ops.set_dr(6, 0xffff0ff0);
    ops.set_dr(7, 0x500);
    EXPECT_EQ(read_dr7(), 0x500);
    EXPECT_EQ(ops.get_dr(7), 0x500);
    ops.set_dr(7, 0x400);
}

static void iopl(void)
{
    word flags = read_flags();

    ops.set_iopl_mask(0x3000);
    EXPECT_EQ(read_flags() & 0x3000, 0x3000);
    ops.set_iopl_mask(0x1000);
    EXPECT_EQ(read_flags() & 0x3000, 0x1000);
    ops.set_iopl_mask(0);
    EXPECT_EQ(read_flags() & 0x3200, flags & 0x3200);
}

/* -- Descriptors ------------------------------------------------------------------------------------------- */

static u32 ldt_table[2 * 4] __attribute__((aligned(8)));

static u32 load_fs(u16 selector)
{
    u32 v;
    __asm__ volatile("mov %w1, %%fs; mov %%fs:0, %0; mov %w2, %%fs"
                     : "=&r"(v) : "r"(selector), "r"(SEL_KDATA));
    return v;
}

static void descriptor_tables(void)
{
    static u32 word_a = 0xaaaa5555, word_b = 0xbbbb6666;
    static u64 copy[64] __attribute__((aligned(16)));
    TablePtr native, got, old;
    u32 base;

    __asm__ volatile("sgdt %0" : "=m"(old));
    ops.get_gdt(&got);
    EXPECT(got.limit == old.limit && got.base == old.base);
    memcpy(copy, gdt, sizeof gdt);
    native = (TablePtr){sizeof copy - 1, (u32)copy};
    ops.set_gdt(&native);
    __asm__ volatile("sgdt %0" : "=m"(got));
    EXPECT(got.limit == native.limit && got.base == native.base);
    base = (u32)&word_a;
    ops.write_gdt_entry(copy, SEL_SPARE >> 3, base << 16 | 0xff, (base & 0xff000000) | 0x409300 | (base >> 16 & 0xff));
    EXPECT_EQ(load_fs(SEL_SPARE), word_a);
    base = (u32)ldt_table;
    ops.write_gdt_entry(copy, (SEL_SPARE >> 3) + 1, base << 16 | (sizeof ldt_table - 1),
                        (base & 0xff000000) | 0x8200 | (base >> 16 & 0xff));
    ops.set_ldt(SEL_SPARE + 8);
    EXPECT_EQ(ops.get_ldt(), SEL_SPARE + 8);
    base = (u32)&word_b;
    ops.write_ldt_entry(ldt_table, 1, base << 16 | 0xff, (base & 0xff000000) | 0x409300 | (base >> 16 & 0xff));
    EXPECT_EQ(load_fs(0xc), word_b);
    ops.set_ldt(0);
    EXPECT_EQ(ops.get_ldt(), 0);
    ops.set_gdt(&old);
    EXPECT_EQ(ops.get_tr(), SEL_TSS);
    gdt[SEL_TSS >> 3] &= ~(1ull << 41);   /* not busy */
    ops.set_tr(SEL_TSS);
    EXPECT_EQ(ops.get_tr(), SEL_TSS);
    EXPECT(gdt[SEL_TSS >> 3] >> 41 & 1);
    ops.update_kernel_stack(SEL_KDATA, (u32)kernel_stack_top);
}

static volatile word soft_ints;

static bool on_soft(Frame *f)
{
    soft_ints++;
    return true;
}

static void interrupt_table(void)
{
    TablePtr old, got;
    word handler = idt_default_handler(0x91);

    ops.get_idt(&old);
    __asm__ volatile("sidt %0" : "=m"(got));
    EXPECT(got.limit == old.limit && got.base == old.base);
    trap_hook[0x91] = on_soft;
    soft_ints = 0;
    ops.write_idt_entry(idt, 0x90, SEL_KCODE << 16 | (handler & 0xffff), (handler & 0xffff0000) | 0x8e00);
    __asm__ volatile("int $0x90" : : : "memory");
    EXPECT_EQ(soft_ints, 1);
    idt_restore(0x90);
    ops.set_idt(&old);
    __asm__ volatile("sidt %0" : "=m"(got));
    EXPECT(got.limit == old.limit && got.base == old.base);
}

/* -- Interrupt flag ---------------------------------------------------------------------------------------- */

static volatile word irqs, irq_cs;

static bool on_irq0(Frame *f)
{
    irqs++;
    irq_cs = f->cs;
    pic_eoi(0);
    return true;
}

static void pit_pending(void)
{
    trap_hook[0x20] = on_irq0;
    irqs = 0;
    pic_init(0xfffe);
    pit_oneshot(20);
    do {
        outb(0x20, 0x0a);
    } while (!(inb(0x20) & 1));
}

/* Call a place with every register known, EAX as given; what PUSHA says afterwards. */
void call_known(void (*place)(void), u32 eax, u32 after[8]);
__asm__(".pushsection .text\n"
        "call_known: push %ebx; push %esi; push %edi; push %ebp; push %ecx; push %eax\n"
        "mov %edx, %eax; mov $0x22, %ecx; mov $0x33, %edx; mov $0x44, %ebx; mov $0x55, %esi\n"
        "mov $0x66, %edi; mov $0x77, %ebp; call *(%esp)\n"
        "pusha; mov 36(%esp), %edi; mov %esp, %esi; mov $8, %ecx; rep movsl\n"
        "add $40, %esp; pop %ebp; pop %edi; pop %esi; pop %ebx; ret\n"
        ".popsection\n");

static void keeps_registers(void (*place)(void), u32 eax, bool result)
{
    u32 r[8];

    call_known(place, eax, r);
    EXPECT(r[0] == 0x66 && r[1] == 0x55 && r[2] == 0x77 && r[4] == 0x44 && r[5] == 0x33 && r[6] == 0x22);
    EXPECT(result || r[7] == eax);
}

static void the_interrupt_flag(void)
{
    site_disable();
    EXPECT_EQ(read_flags() & FLAG_IF, 0);
    EXPECT_EQ(site_get_mask() & FLAG_IF, 0);
    pit_pending();
    EXPECT_EQ(irqs, 0);
    site_enable();
    __asm__ volatile("nop");
    EXPECT_EQ(irqs, 1);
    EXPECT_EQ(read_flags() & FLAG_IF, FLAG_IF);
    EXPECT_EQ(site_get_mask() & FLAG_IF, FLAG_IF);
    site_set_mask(0xdff & ~FLAG_IF & ~FLAG_TF & ~FLAG_DF);
    EXPECT_EQ(read_flags() & FLAG_IF, 0);
    pit_pending();
    site_set_mask(FLAG_IF | 2);
    __asm__ volatile("nop");
    EXPECT_EQ(irqs, 1);
    EXPECT_EQ(read_flags() & FLAG_IF, FLAG_IF);
    cli();
    pic_init(0xffff);
    keeps_registers(site_enable, 0x11, false);
    keeps_registers(site_disable, 0x11, false);
    keeps_registers((void (*)(void))site_get_mask, 0x11, true);
    keeps_registers((void (*)(void))site_set_mask, 2 | FLAG_IF, false);
    keeps_registers((void (*)(void))site_set_mask, 2, false);
    if (vmi_header != NULL) {             /* a whole EFLAGS image: only bit 9 counts */
        site_set_mask(0xffffffff & ~FLAG_IF);
        EXPECT_EQ(read_flags() & (FLAG_IF | FLAG_DF | FLAG_AC | FLAG_TF), 0);
    }
}

static void halt_waits_for_an_interrupt(void)
{
    trap_hook[0x20] = on_irq0;
    irqs = 0;
    pic_init(0xfffe);
    pit_periodic(1193);
    for (word i = 1; i <= 5; i++) {
        cli();
        ops.halt();
        EXPECT_EQ(read_flags() & FLAG_IF, FLAG_IF);
        EXPECT(irqs >= i);
    }
    cli();
    pic_init(0xffff);
    pit_oneshot(1);
}

/* -- IRET and SYSEXIT -------------------------------------------------------------------------------------- */

/* Push a frame (low to high: EIP CS EFLAGS ESP SS) and go where the kernel's IRET is. */
void go_iret(const u32 frame[5], u32 eax) __attribute__((noreturn));
__asm__(".pushsection .text\n"
        "go_iret: mov 16(%eax), %ecx; push %ecx; mov 12(%eax), %ecx; push %ecx; mov 8(%eax), %ecx; push %ecx\n"
        "mov 4(%eax), %ecx; push %ecx; mov (%eax), %ecx; push %ecx; mov %edx, %eax; jmp site_iret\n"
        "user_flags: pushf; pop %ecx; int $0x80\n"
        ".popsection\n");
extern const u8 user_flags[];

/* One page of code apart from the others, read-only as kernels have theirs. */
static u32 low_pt[1024] PAGE_ALIGNED;

static void protect_site(bool on)
{
    static u32 old_pde;

    if (on) {
        old_pde = boot_pd[0];
        for (u32 i = 0; i < 1024; i++) {
            low_pt[i] = i << 12 | P | W | U;
        }
        low_pt[(u32)site_iret >> 12] &= ~(u32)W;
        boot_pd[0] = (u32)low_pt | P | W | U;
        write_cr0(read_cr0() | CR0_WP);
    } else {
        boot_pd[0] = old_pde;
        write_cr0(read_cr0() & ~(word)CR0_WP);
    }
    write_cr3(read_cr3());
}

/* A jump leaves nothing by which the ROM could tell the place. */
static void expect_fault_at(u32 place)
{
    if (vmi_header != NULL && jumps()) {
        EXPECT(trap.frame.ip - (u32)vmi_header < vmi_header->length * 512u);
    } else {
        EXPECT_EQ(trap.frame.ip, place);
    }
}

static void bad_iret(u32 cs, u32 ss, u32 vector, u32 error)
{
    u32 frame[5] = {USER(user_exit), cs, 2, USER(user_stack_top), ss};

    EXPECT_TRAP(TRY(go_iret(frame, 0)), (int)vector, error);
    /* the fault is the call's, and the frame is still on the stack */
    expect_fault_at((u32)site_iret);
    EXPECT_EQ(trap.frame.cs, SEL_KCODE);
    EXPECT_EQ(trap.frame.sp, frame[0]);
    EXPECT_EQ(trap.frame.ss, cs);
    EXPECT_EQ(trap.frame.v86_es, frame[2]);
    EXPECT_EQ(trap.frame.v86_ds, frame[3]);
    EXPECT_EQ(trap.frame.v86_fs, ss);
}

static void iret_faults_at_the_call(void)
{
    protect_site(true);
    EXPECT_TRAP(TRY(*(volatile u8 *)site_iret = 0), VECTOR_PF, 3);
    bad_iret(0x1f0 | 3, SEL_UDATA, VECTOR_GP, 0x1f0); /* no such code segment: the very first IRET faults */
    bad_iret(SEL_UCODE, 0x1f0 | 3, VECTOR_GP, 0x1f0);
    bad_iret(SEL_UCODE, SEL_KDATA, VECTOR_GP, SEL_KDATA);
    bad_iret(0, SEL_UDATA, VECTOR_GP, 0);
    EXPECT_EQ(read_cr0() & CR0_WP, CR0_WP);
    EXPECT_TRAP(TRY(*(volatile u8 *)site_iret = 0), VECTOR_PF, 3);
    protect_site(false);
}

static void iret_returns(void)
{
    u32 user[5] = {USER(user_flags), SEL_UCODE, 0x202 | FLAG_CF | FLAG_ZF, USER(user_stack_top), SEL_UDATA};
    u32 v86[5] = {0, 0, 2, 0, 0};

    for (u32 i = 0; i < 3; i++) {
        EXPECT_EQ(TRY(go_iret(user, 0x5a5a)), VECTOR_USER_EXIT);
        EXPECT_EQ(trap.frame.cs, SEL_UCODE);
        EXPECT_EQ(trap.frame.ss, SEL_UDATA);
        EXPECT_EQ(trap.frame.sp, USER(user_stack_top));
        EXPECT_EQ(trap.frame.ax, 0x5a5a);
        EXPECT_EQ(trap.frame.cx & 0xed7, 0x202 | FLAG_CF | FLAG_ZF);
    }
    /* the same ring: three words */
    v86[0] = (u32)user_exit;
    v86[1] = SEL_KCODE;
    EXPECT_EQ(TRY(go_iret(v86, 1)), VECTOR_USER_EXIT);
    EXPECT_EQ(trap.frame.cs, SEL_KCODE);
}

void go_sysexit(word eip, word esp) __attribute__((noreturn));
enum { MSR_SYSENTER_CS = 0x174, TOP = 0x5a5a0001, BELOW_TOP = 0x5a5a0002 };
__asm__(".pushsection .text\n"
        "go_sysexit: mov %edx, %ecx; mov %eax, %edx; push $0x5a5a0002; push $0x5a5a0001\n"
        "mov $0x11, %eax; mov $0x22, %ebx; mov $0x33, %esi; mov $0x44, %edi; mov $0x55, %ebp; stc; jmp site_sysexit\n"
        "user_wait: mov $0x10000, %ecx; 1: loop 1b; int $0x80\n"
        ".popsection\n");
extern const u8 user_wait[];

/* Flat segments where SYSEXIT puts them: code at CS + 16, data at CS + 24. */
static void open_sysexit(void)
{
    gdt_set(SEL_SPARE + 0x10, 0, 0xfffff, 0xcf9b00);
    gdt_set(SEL_SPARE + 0x20, 0, 0xfffff, 0xcffb00);
    gdt_set(SEL_SPARE + 0x28, 0, 0xfffff, 0xcff300);
    wrmsr(MSR_SYSENTER_CS, SEL_SPARE + 0x10);
}

static void sysexit_returns_with_interrupts_on(void)
{
    open_sysexit();
    EXPECT_EQ(TRY(go_sysexit(USER(user_flags), USER(user_stack_top))), VECTOR_USER_EXIT);
    EXPECT_EQ(trap.frame.cs, (SEL_SPARE + 0x20) | 3);
    EXPECT_EQ(trap.frame.ss, (SEL_SPARE + 0x28) | 3);
    EXPECT_EQ(trap.frame.sp, USER(user_stack_top));
    EXPECT_EQ(trap.frame.cx & FLAG_IF, FLAG_IF);
    EXPECT(trap.frame.ax == 0x11 && trap.frame.bx == 0x22 && trap.frame.si == 0x33 && trap.frame.di == 0x44 &&
           trap.frame.bp == 0x55);
}

/* Not before the user's code is reached: STI and SYSEXIT are one. */
static void sysexit_lets_interrupts_in_behind_itself(void)
{
    open_sysexit();
    for (u32 i = 0; i < 20; i++) {
        pit_pending();
        EXPECT_EQ(TRY(go_sysexit(USER(user_wait), USER(user_stack_top))), VECTOR_USER_EXIT);
        EXPECT_EQ(irqs, 1);
        EXPECT_EQ(irq_cs, (SEL_SPARE + 0x20) | 3);
    }
    cli();
    pic_init(0xffff);
}

static word handler_flags;

static bool note_flags(Frame *f)
{
    handler_flags = read_flags();
    return false;
}

static void bad_sysexit(u32 cs, unsigned gate)
{
    bool by_call = vmi_header != NULL && !jumps(); /* else STI has been executed */

    idt_set(VECTOR_GP, idt_default_handler(VECTOR_GP), SEL_KCODE, gate, 0, 0);
    wrmsr(MSR_SYSENTER_CS, cs);
    EXPECT_TRAP(TRY(go_sysexit(USER(user_flags), USER(user_stack_top))), VECTOR_GP, 0);
    cli();
    /* nothing has happened but the fault, at the call's place */
    expect_fault_at((u32)site_sysexit + (vmi_header == NULL));
    EXPECT_EQ(trap.frame.cs, SEL_KCODE);
    EXPECT_EQ(trap.frame.sp, TOP);
    EXPECT_EQ(trap.frame.ss, BELOW_TOP);
    EXPECT_EQ(trap.frame.flags & (FLAG_RF | FLAG_IF | FLAG_NT | FLAG_TF), by_call ? FLAG_RF : FLAG_RF | FLAG_IF);
    EXPECT_EQ(handler_flags & (FLAG_IF | FLAG_RF), gate == GATE_TRAP && !by_call ? FLAG_IF : 0);
    EXPECT(trap.frame.ax == 0x11 && trap.frame.bx == 0x22 && trap.frame.si == 0x33 && trap.frame.di == 0x44 &&
           trap.frame.bp == 0x55 && trap.frame.cx == USER(user_stack_top) && trap.frame.dx == USER(user_flags));
}

static void sysexit_faults_at_the_call(void)
{
    trap_hook[VECTOR_GP] = note_flags;
    for (u32 cs = 0; cs < 4; cs++) {
        bad_sysexit(cs, GATE_INT);
        bad_sysexit(cs, GATE_TRAP);
    }
    trap_hook[VECTOR_GP] = NULL;
    idt_restore(VECTOR_GP);
    open_sysexit();
    EXPECT_EQ(TRY(go_sysexit(USER(user_flags), USER(user_stack_top))), VECTOR_USER_EXIT);
}

/* -- Page tables ------------------------------------------------------------------------------------------- */

enum { WINDOW = 0x3f800000, PAGES = 32 };
static u32 pt[1024] PAGE_ALIGNED;
static u8 frames[PAGES + 1][4096] PAGE_ALIGNED;

static volatile u8 *window(u32 i) { return (volatile u8 *)(WINDOW + i * 4096); }

static void window_begin(void)
{
    for (u32 i = 0; i <= PAGES; i++) {
        frames[i][0] = (u8)(0x40 + i);
    }
    memset(pt, 0, sizeof pt);
    ops.allocate_page((u32)pt >> 12, 0x41, 0, 0, 0);
    ops.set_pxe((u32)pt | P | W, &boot_pd[WINDOW >> 22], PXE_PD);
    ops.flush_tlb(1);
}

static void window_end(void)
{
    ops.set_pxe(WINDOW | PS | P | W, &boot_pd[WINDOW >> 22], PXE_PD);
    ops.release_page((u32)pt >> 12, 0x01);
    ops.release_page(0x12345, 0x42);      /* never announced */
    ops.flush_tlb(3);
}

static void entries_take_effect(void)
{
    window_begin();
    for (u32 i = 0; i < PAGES; i++) {
        ops.set_pxe((u32)frames[i] | P | W, &pt[i], PXE_PT | PXE_CURRENT_AS | (WINDOW + i * 4096));
        EXPECT_EQ(pt[i], (u32)frames[i] | P | W);
        EXPECT_EQ(*window(i), 0x40 + i);
    }
    ops.set_pxe((u32)frames[PAGES] | P | W, &pt[3], PXE_PT | PXE_CURRENT_AS | (WINDOW + 3 * 4096));
    ops.inval_page(WINDOW + 3 * 4096);
    EXPECT_EQ(*window(3), 0x40 + PAGES);
    pt[4] = (u32)frames[5] | P | W;       /* the kernel's own write, announced */
    ops.update_pxe(&pt[4], PXE_PT | PXE_CURRENT_AS | (WINDOW + 4 * 4096));
    ops.inval_page(WINDOW + 4 * 4096);
    EXPECT_EQ(*window(4), 0x45);
    ops.set_pxe(0, &pt[3], PXE_PT | PXE_CURRENT_AS | (WINDOW + 3 * 4096));
    ops.inval_page(WINDOW + 3 * 4096);
    EXPECT_TRAP(TRY((void)*window(3)), VECTOR_PF, 0);
    ops.set_pxe((u32)frames[7] | P, &pt[7], PXE_PT);
    ops.inval_page(WINDOW + 7 * 4096);
    write_cr0(read_cr0() | CR0_WP);
    EXPECT_TRAP(TRY(*window(7) = 1), VECTOR_PF, 3);
    write_cr0(read_cr0() & ~(word)CR0_WP);
    window_end();
}

static void batches_take_effect_when_they_end(void)
{
    window_begin();
    for (u32 round = 0; round < 4; round++) {
        ops.set_lazy_mode(1);
        for (u32 i = 0; i < PAGES; i++) {
            ops.set_pxe((u32)frames[(i + round) % PAGES] | P | W, &pt[i],
                        PXE_PT | PXE_CURRENT_AS | (WINDOW + i * 4096));
        }
        ops.set_lazy_mode(0);
        ops.flush_tlb(1);
        for (u32 i = 0; i < PAGES; i++) {
            EXPECT_EQ(*window(i), 0x40 + (i + round) % PAGES);
        }
    }
    ops.set_lazy_mode(2);                 /* a context switch */
    ops.set_cr3(read_cr3());
    ops.update_kernel_stack(SEL_KDATA, (u32)kernel_stack_top);
    ops.set_lazy_mode(0);
    window_end();
}

static void announced(u32 i, u32 entry)
{
    ops.set_pxe(entry, &pt[i], PXE_PT | PXE_CURRENT_AS | (WINDOW + i * 4096));
}

/* Whoever walks the tables before an announced entry is used must find what is there then. */
static void announced_entries_are_as_they_are(void)
{
    window_begin();
    announced(0, (u32)frames[0] | P | W);
    announced(1, (u32)frames[1] | P | W | ACCESSED | DIRTY);
    ops.inval_page(WINDOW + 2 * 4096);
    EXPECT_EQ(pt[0], (u32)frames[0] | P | W); /* not accessed yet */
    EXPECT(*window(1) == 0x41 && *window(0) == 0x40);
    EXPECT_EQ(pt[0], (u32)frames[0] | P | W | ACCESSED);
    pt[2] = (u32)frames[2] | P | W | ACCESSED | DIRTY;
    EXPECT_EQ(*window(2), 0x42);
    announced(1, (u32)frames[3] | P | ACCESSED);
    announced(2, (u32)frames[4] | P | W | ACCESSED);
    pt[1] = 0;                            /* changed again by the kernel itself */
    pt[2] = (u32)frames[5] | P | ACCESSED;
    invlpg(WINDOW + 4096);
    invlpg(WINDOW + 2 * 4096);
    EXPECT_TRAP(TRY((void)*window(1)), VECTOR_PF, 0);
    EXPECT_EQ(*window(2), 0x45);
    EXPECT_EQ(pt[2], (u32)frames[5] | P | ACCESSED);
    *window(2) = 0x45;                    /* the first store */
    EXPECT_EQ(pt[2], (u32)frames[5] | P | ACCESSED | DIRTY);
    for (u32 round = 0; round < 20; round++) { /* more than anybody remembers */
        for (u32 i = 0; i < PAGES; i++) {
            announced(i, (u32)frames[(i + round) % PAGES] | P | ACCESSED);
        }
    }
    announced(3, (u32)frames[3] | P | W | U | ACCESSED | DIRTY);
    ops.flush_tlb(1);
    for (u32 i = 0; i < PAGES; i++) {
        EXPECT_EQ(*window(i), 0x40 + (i == 3 ? 3 : (i + 19) % PAGES));
    }
    window_end();
}

static void global_pages_outlive_small_flushes(void)
{
    word cr4 = read_cr4();

    window_begin();
    ops.set_cr4(cr4 | CR4_PGE);
    pt[0] = (u32)frames[0] | P | W | G;
    pt[1] = (u32)frames[1] | P | W;
    EXPECT(*window(0) == 0x40 && *window(1) == 0x41);
    pt[0] = (u32)frames[2] | P | W | G;
    pt[1] = (u32)frames[3] | P | W;
    ops.flush_tlb(1);
    EXPECT_EQ(*window(1), 0x43);          /* the other one may be old still */
    ops.flush_tlb(3);
    EXPECT(*window(0) == 0x42 && *window(1) == 0x43);
    EXPECT_EQ(read_cr4(), cr4 | CR4_PGE);
    ops.set_cr4(cr4);
    window_end();
}

static void long_entries(void)
{
    static u64 entry __attribute__((aligned(8)));
    static const u64 values[] = {0, 0x8000000012345067ull, 0x23456063ull, 0xabcdef00, 0x8000000077777025ull};

    for (u32 i = 0; i < ARRAY_LEN(values); i++) {
        for (u32 j = 0; j < ARRAY_LEN(values); j++) {
            entry = values[i];
            ops.set_pxe_long(values[j], &entry, PXE_PT);
            EXPECT(entry == values[j]);
            entry = values[i];            /* the kernel's own write, announced */
            ops.update_pxe_long(&entry, PXE_PT);
            EXPECT(entry == values[i]);
        }
    }
}

/* The kernel keeps below virtual_top, 0 being the end of linear space, and all that is below it is the kernel's. */
static void linear_space_up_to_virtual_top_is_the_kernels(void)
{
    u32 base = (vmi_header != NULL ? vmi_header->virtual_top : 0) - 0x400000, old = boot_pd[base >> 22];

    for (u32 i = 0; i < 1024; i++) {
        pt[i] = (u32)frames[i % PAGES] | P | W;
    }
    ops.set_pxe((u32)pt | P | W, &boot_pd[base >> 22], PXE_PD);
    ops.flush_tlb(1);
    for (u32 i = 0; i < 1024; i++) {
        ((volatile u32 *)(base + i * 4096))[1023 - i / PAGES] = i;
        ops.set_lazy_mode(1);
        ops.inval_page(base + i * 4096);
        ops.set_lazy_mode(0);
        (void)ops.apic_read(APIC_ID);
        ops.flush_tlb(i & 2 ? 3 : 1);
    }
    for (u32 i = 0; i < 1024; i++) {
        EXPECT_EQ(((volatile u32 *)(base + i * 4096))[1023 - i / PAGES], i);
    }
    ops.set_pxe(old, &boot_pd[base >> 22], PXE_PD);
    ops.flush_tlb(3);
}

static void frames_are_what_they_seem(void)
{
    NEED(machine_to_physical);
    EXPECT_EQ(vmi.machine_to_physical(0x12345), 0x12345);
    EXPECT_EQ(vmi.physical_to_machine(0x54321), 0x54321);
}

/* -- Ports ------------------------------------------------------------------------------------------------- */

static u32 port_call(u32 number, u32 eax, u32 port)
{
    __asm__ volatile("call *%2" : "+a"(eax), "+d"(port) : "r"(vmi_reloc(vmi_header, number).eip)
                     : "ecx", "memory");
    return eax;
}

static void string_call(u32 number, void *at, u32 port, u32 count)
{
    void *si = at;

    __asm__ volatile("call *%4" : "+D"(at), "+S"(si), "+c"(count), "+d"(port)
                     : "a"(vmi_reloc(vmi_header, number).eip) : "memory");
}

static void ports(void)
{
    u8 bytes[4] = {0x0f, 0x0f, 0x0f, 0x0f};
    u8 cmos;

    NEED_ROM();
    outb(0x70, 0x0f);
    cmos = inb(0x71);
    port_call(56, 0x0f, 0x70);            /* OUTB */
    port_call(56, 0xa5, 0x71);
    outb(0x70, 0x0f);
    EXPECT_EQ(inb(0x71), 0xa5);
    EXPECT_EQ(port_call(50, 0xffffff00, 0x71) & 0xff, 0xa5); /* INB */
    string_call(59, bytes, 0x70, 3);      /* OUTSB */
    memset(bytes, 0, sizeof bytes);
    string_call(53, bytes, 0x71, 3);      /* INSB */
    EXPECT(bytes[0] == 0xa5 && bytes[2] == 0xa5 && bytes[3] == 0);
    outb(0x71, cmos);
    /* the PCI host bridge: 8086:1237 */
    port_call(55, 0x80000000, 0xcf8);     /* OUTL */
    EXPECT_EQ(port_call(49, 0, 0xcfc), 0x12378086); /* INL */
    EXPECT_EQ(port_call(51, 0, 0xcfc) & 0xffff, 0x8086); /* INW */
    EXPECT_EQ(port_call(51, 0, 0xcfe) & 0xffff, 0x1237);
    {
        u32 address[1] = {0x80000000}, ids[1] = {0};
        u16 half[1] = {0};
        string_call(58, address, 0xcf8, 1); /* OUTSL */
        string_call(52, ids, 0xcfc, 1);     /* INSL */
        string_call(54, half, 0xcfe, 1);    /* INSW */
        EXPECT_EQ(ids[0], 0x12378086);
        EXPECT_EQ(half[0], 0x1237);
    }
    port_call(57, 0, 0xcfc);              /* OUTW, OUTSW: read-only registers */
    string_call(60, bytes, 0xcfc, 1);
    EXPECT_EQ(port_call(49, 0, 0xcfc), 0x12378086);
    ops.io_delay();
}

const GuestTest guest_tests[] = {
    {"the_rom_is_found", the_rom_is_found},
    {"relocations_are_of_four_kinds", relocations_are_of_four_kinds},
    {"the_rom_takes_over", the_rom_takes_over},
    {"the_port_is_the_kernels", the_port_is_the_kernels},
    {"cpuid_msrs_and_counters_are_the_native_ones", cpuid_msrs_and_counters_are_the_native_ones},
    {"control_registers", control_registers},
    {"debug_registers", debug_registers},
    {"iopl", iopl},
    {"descriptor_tables", descriptor_tables},
    {"interrupt_table", interrupt_table},
    {"the_interrupt_flag", the_interrupt_flag},
    {"halt_waits_for_an_interrupt", halt_waits_for_an_interrupt},
    {"iret_faults_at_the_call", iret_faults_at_the_call},
    {"iret_returns", iret_returns},
    {"sysexit_returns_with_interrupts_on", sysexit_returns_with_interrupts_on},
    {"sysexit_lets_interrupts_in_behind_itself", sysexit_lets_interrupts_in_behind_itself},
    {"sysexit_faults_at_the_call", sysexit_faults_at_the_call},
    {"entries_take_effect", entries_take_effect},
    {"batches_take_effect_when_they_end", batches_take_effect_when_they_end},
    {"announced_entries_are_as_they_are", announced_entries_are_as_they_are},
    {"global_pages_outlive_small_flushes", global_pages_outlive_small_flushes},
    {"long_entries", long_entries},
    {"linear_space_up_to_virtual_top_is_the_kernels", linear_space_up_to_virtual_top_is_the_kernels},
    {"frames_are_what_they_seem", frames_are_what_they_seem},
    {"ports", ports},
    {NULL, NULL},
};
