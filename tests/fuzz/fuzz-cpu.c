/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoder and interpreter: random bytes executed in every mode, at every privilege, on a guest of
 * 16 MiB whose registers, tables and memory are random as well.  A run ends within its budget.
 */
#include "cpu-x86/engine.h"
#include "cpu-x86/vector.h"
#include "cpu-x86/walk.h"
#include "tests/cpu-x86/system-cpu.h"
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>

enum { CODE = 0x5000, MMIO = 0xe0000, BUDGET = 600, RUNS = 4,
       SLACK = 64 };      /* instructions of a decoded run that may follow the budget's end */

/* -- A machine around it ------------------------------------------------------------------------ */

static uint64_t echo_read(void *arg, uint64_t off, unsigned size)
{
    return (off * 0x0101010101010101) & mask_bytes(size);
}

static void echo_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
}

static const BusOps echo = {echo_read, echo_write, 4};

static int ack(void *arg)
{
    CpuState *cpu = *(CpuState **)arg;

    cpu_unrequest(cpu, CPU_REQ_INTR);
    return (int)(cpu->insns & 0xff);
}

static uint64_t cr8_read(void *arg)
{
    return 3;
}

static void cr8_write(void *arg, uint64_t val)
{
}

static bool apic_read(void *arg, uint32_t msr, uint64_t *val)
{
    *val = msr;
    return true;
}

static bool apic_write(void *arg, uint32_t msr, uint64_t val)
{
    return (val & 1) != 0;
}

static void fpu_error(void *arg, bool level)
{
}

static SystemCpu *make_guest(void)
{
    SystemCpu *s = system_cpu_new("max", 1, 0);

    lock_take(&s->lock);
    phys_region_mmio(s->mem, MMIO, 0x2000, &echo, s, 1, "echo");
    lock_release(&s->lock);
    port_map(s->ports, 0x100, 0x200, &echo, s, "echo");
    s->cpu->bus = (CpuBus){&s->cpu, ack, cr8_read, cr8_write, apic_read, apic_write, fpu_error};
    return s;
}

/* -- State -------------------------------------------------------------------------------------- */

static void clean_memory(SystemCpu *s)
{
    madvise(s->mem->base, SYS_RAM, MADV_REMOVE);
    phys_mem_written(s->mem, 0, SYS_RAM);
    tlb_flush_all(&s->cpu->mmu.tlb);
}

static void random_registers(CpuState *cpu, FuzzInput *in)
{
    for (unsigned i = 0; i < GPR_COUNT; i++) {
        cpu->gpr[i] = fuzz_value(in);
    }
    for (unsigned i = 0; i < 32; i++) {
        for (unsigned k = 0; k < 64; k += 16) {
            store_le(cpu->vec.zmm[i] + k, 8, fuzz_value(in));
        }
    }
    cpu->vec.mxcsr = fuzz_u16(in);
    cpu->rflags = (cpu->rflags & ~UINT64_C(0xfd5)) | (fuzz_u16(in) & 0xfd5) | 2;
    if ((fuzz_u8(in) & 1) != 0) {
        cpu->rflags |= (uint64_t)(fuzz_u8(in) & 3) << FLAG_IOPL_SHIFT;
    }
}

/* SSE, AVX, AVX-512 and friends on; SMEP and SMAP and protection keys by the input. */
static void random_control(SystemCpu *s, FuzzInput *in)
{
    CpuState *cpu = s->cpu;
    uint8_t pick = fuzz_u8(in);

    cpu->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    cpu->cr4 |= (pick & 1) != 0 ? CR4_FSGSBASE : 0;
    cpu->cr4 |= (pick & 2) != 0 && cpu_model_has(s->model, FEAT_SMAP) ? CR4_SMAP : 0;
    cpu->cr4 |= (pick & 4) != 0 && cpu_model_has(s->model, FEAT_UMIP) ? CR4_UMIP : 0;
    cpu->cr0 |= (pick & 8) != 0 ? CR0_AM : 0;
    cpu->cr0 |= (pick & 16) != 0 ? CR0_WP : 0;
    cpu->cr0 |= (pick & 32) != 0 ? CR0_NE : 0;
    cpu->cr0 |= (pick & 192) == 192 ? CR0_TS : 0;
    cpu->vec.xcr0 = cpu_model_xcr0(s->model);
}

static void random_segments(CpuState *cpu, FuzzInput *in)
{
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        if (i != SEG_CS && (fuzz_u8(in) & 7) == 0) {
            cpu->seg[i].base = fuzz_value(in);
            cpu->seg[i].limit = fuzz_u32(in);
            cpu->seg[i].attr ^= fuzz_u8(in) & 1 ? SEG_DC : SEG_RW;
        }
    }
}

static void enter_mode(SystemCpu *s, unsigned mode)
{
    CpuState *cpu = s->cpu;

    switch (mode & 7) {
    case 0: /* real mode */
        cpu->seg[SEG_CS] = (Segment){.limit = 0xffff, .attr = cpu->seg[SEG_CS].attr};
        break;
    case 1: system_protected(s); break;
    case 2:
        system_protected(s);
        at_cpl(s, 3);
        break;
    case 3: /* 16-bit protected */
        system_protected(s);
        load_flat(cpu, SEG_CS, K_CODE16, SEG_P | SEG_S | SEG_CODE | SEG_RW);
        load_flat(cpu, SEG_SS, K_DATA16, SEG_P | SEG_S | SEG_RW);
        break;
    case 4: /* virtual-8086 */
        system_protected(s);
        at_cpl(s, 3);
        for (unsigned i = 0; i < SEG_COUNT; i++) {
            cpu->seg[i] = (Segment){.limit = 0xffff, .attr = SEG_P | SEG_S | SEG_RW | SEG_A | DPL(3)};
        }
        cpu->rflags |= FLAG_VM;
        break;
    case 5: system_long(s); break;
    case 6:
        system_long(s);
        long_cpl3(s);
        break;
    default: /* compatibility mode */
        system_long(s);
        at_cpl(s, 3);
        break;
    }
}

/* -- Running ------------------------------------------------------------------------------------ */

/* What one instruction of `cpu` may cost besides the budget is bounded. */
static bool run_some(CpuState *cpu, FuzzInput *in)
{
    uint64_t before = cpu->insns;
    CpuExit e = interp_engine.run(cpu, BUDGET);

    g_assert(cpu->insns - before <= BUDGET + SLACK);
    g_assert(cpu->unwind == NULL);
    switch (e) {
    case CPU_EXIT_HALT:
        cpu->activity = CPU_RUNNING;
        break;
    case CPU_EXIT_SHUTDOWN:
    case CPU_EXIT_FAILED:
        return false;
    default:
        break;
    }
    if ((fuzz_u8(in) & 1) != 0) {
        cpu_request(cpu, CPU_REQ_INTR);
    }
    return cpu->activity == CPU_RUNNING;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static SystemCpu *s;
    FuzzInput in = {data, size};

    if (s == NULL) {
        vector_global_init();
        s = make_guest();
    }
    clean_memory(s);
    cpu_unrequest(s->cpu, UINT32_MAX);
    cpu_reset(s->cpu);
    uint8_t mode = fuzz_u8(&in);
    uint16_t n = fuzz_u16(&in) & 0xff;
    const uint8_t *code = in.data;
    n = (uint16_t)MIN(n, in.left);
    in.data += n;
    in.left -= n;
    enter_mode(s, mode);
    random_registers(s->cpu, &in);
    random_control(s, &in);
    if ((mode & 0x38) == 0) {
        random_segments(s->cpu, &in);
    }
    if ((mode & 0x40) != 0) {
        s->cpu->gpr[GPR_RSP] = 0x8000;
    }
    /* what the tables, handlers and data are when the input does not run out */
    for (unsigned i = 0; i < 24 && in.left > 0; i++) {
        uint64_t at = fuzz_value(&in) & (SYS_RAM - 1);
        unsigned len = fuzz_u8(&in);
        len = (unsigned)MIN(len, in.left);
        phys_copy_to(s->mem, guest_phys(at), in.data, MIN(len, SYS_RAM - at));
        in.data += len;
        in.left -= len;
    }
    s->cpu->rip = CODE;
    phys_copy_to(s->mem, guest_phys(CODE), code, n);
    tlb_flush_all(&s->cpu->mmu.tlb);
    cpu_update_mode(s->cpu);
    in = (FuzzInput){data, size};
    for (unsigned i = 0; i < RUNS && run_some(s->cpu, &in); i++) {
    }
    return 0;
}

/* -- Seeds -------------------------------------------------------------------------------------- */

/* A little of everything that moves state, in each mode. */
static const struct {
    const char *code;
    unsigned len;
} programs[] = {
#define CODE_BYTES(s) {s, sizeof s - 1}
    CODE_BYTES("\xf3\xa4\xf3\xa5\xf3\xab\xf2\xae\xf3\xa6\x66\xf3\xa5\x67\xf3\xaa\xf3\x6c\xf3\x6f"),
    CODE_BYTES("\x0f\x20\xc0\x0f\x22\xc0\x0f\x22\xd8\x0f\x20\xe0\x0f\x22\xe0\x0f\x01\xd1\x0f\x01\xd0"),
    CODE_BYTES("\x0f\x30\x0f\x32\x0f\xa2\x0f\x31\x0f\x01\xf9\x0f\x06\x0f\x08\x0f\x09\x0f\x01\x38"),
    CODE_BYTES("\xcd\x80\xcf\x9c\x9d\xfa\xfb\xf4\x0f\x0b\xcc\xf1\xce\xc3\xcb\xca\x04\x00\xc8\x10\x00\x03\xc9"),
    CODE_BYTES("\x9a\x00\x00\x00\x00\x58\x00\xea\x00\x00\x00\x00\x08\x00\x0f\x00\xd8\x0f\x00\xd0\x0f\x01\x10"
               "\x0f\x01\x18\x0f\x02\xc0\x0f\x03\xc0\x0f\x00\xe0\x63\xc0"),
    CODE_BYTES("\x0f\x05\x0f\x07\x0f\x34\x0f\x35\x48\x0f\x07\x48\x0f\x35\x0f\x01\xf8"),
    CODE_BYTES("\xd9\xc0\xdc\xc1\xdd\x36\xdb\xe3\x9b\xdd\x26\xd9\xfb\xd9\xf2\x0f\xae\x00\x0f\xae\x08"
               "\x0f\xae\x20\x0f\xae\x28\x0f\xc7\x20\x0f\xae\x10"),
    CODE_BYTES("\x66\x0f\x6f\x06\xc5\xfd\x6f\x06\x62\xf1\x7d\x48\x6f\x06\xc4\xe2\x7d\x92\x04\x0e"
               "\x62\xf2\x7d\x49\xa2\x04\x0e\x0f\x38\xf1\x06\x66\x0f\xf7\xc1\x0f\xae\xf8"),
    CODE_BYTES("\xf0\x0f\xb1\x0e\xf0\x0f\xc7\x0e\x48\x0f\xc7\x0e\xf0\xff\x06\xf0\x48\x0f\xc1\x06\x87\x06"
               "\x0f\xab\x06\xf0\x0f\xb3\x06"),
    CODE_BYTES("\x0f\x23\xf8\x0f\x21\xf0\x0f\x23\xc0\xc7\x06\x01\x00\x00\x00\xeb\xfe"),
    CODE_BYTES("\x8e\xd8\x8e\xd0\x8e\xe0\x8e\xe8\x1f\x07\x17\x0f\xa1\x0f\xa9\xc5\x06\xc4\x06\x0f\xb2\x06\x0f\x01\xe0"
               "\x0f\x01\xf0\xe4\x10\xe6\x10\xec\xee\xed\xef"),
    CODE_BYTES("\xd4\x00\xd5\x0a\x27\x2f\x37\x3f\xf6\xf0\xf7\xf9\x48\xf7\xf1\x48\xf7\xf9\x62\x06\x0f\xff\x0f\xb9"),
#undef CODE_BYTES
};

size_t fuzz_seed(unsigned i, uint8_t *buf)
{
    unsigned p = i / 8, len;

    if (p >= ARRAY_LEN(programs)) {
        return 0;
    }
    len = programs[p].len;
    buf[0] = (uint8_t)(i % 8 | (p & 1) << 3 | 0x40);
    buf[1] = (uint8_t)len;
    buf[2] = 0;
    memcpy(buf + 3, programs[p].code, len);
    memset(buf + 3 + len, 0x33, 250);
    return 3 + len + 250;
}
