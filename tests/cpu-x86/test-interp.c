/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Integer instructions against the host CPU: random operands; all registers, flags and memory. */
#include "tests/cpu-x86/guest-cpu.h"
#include "tests/cpu-x86/native-insn.h"

#include <Zydis/Zydis.h>
#include <check.h>
#include <stdlib.h>

/* -- What is tried ----------------------------------------------------------------------------- */

enum { BYTE = 1, NO_MEM = 2, NO_REG = 4, VEX_W = 8, NO16 = 16, NO_MODRM = 32, FIXED_RM = 64 };

/* One encoding: mandatory prefix, opcode bytes, ModRM.reg (-1: any), immediate length (-1: operand
 * size, at most 4), flags that stay undefined between processors of one maker. */
typedef struct {
    const char *name;
    uint8_t prefix;
    uint8_t opcode[4];
    uint8_t n_opcode;
    int8_t reg;
    int8_t imm;
    uint8_t how;
} Form;

/* clang-format off */
#define ALU(name, base)                                                                            \
    {name " rm8,r8", 0, {base}, 1, -1, 0, BYTE}, {name " rm,r", 0, {base + 1}, 1, -1, 0, 0},       \
    {name " r8,rm8", 0, {base + 2}, 1, -1, 0, BYTE}, {name " r,rm", 0, {base + 3}, 1, -1, 0, 0},   \
    {name " al,i8", 0, {base + 4}, 1, -1, 1, BYTE | NO_MODRM},                                     \
    {name " eax,i", 0, {base + 5}, 1, -1, -1, NO_MODRM},                                           \
    {name " rm8,i8", 0, {0x80}, 1, base / 8, 1, BYTE}, {name " rm,i", 0, {0x81}, 1, base / 8, -1, 0},\
    {name " rm,i8", 0, {0x83}, 1, base / 8, 1, 0}

#define SHIFT(name, reg)                                                                           \
    {name " rm8,i8", 0, {0xc0}, 1, reg, 1, BYTE}, {name " rm,i8", 0, {0xc1}, 1, reg, 1, 0},        \
    {name " rm8,1", 0, {0xd0}, 1, reg, 0, BYTE}, {name " rm,1", 0, {0xd1}, 1, reg, 0, 0},          \
    {name " rm8,cl", 0, {0xd2}, 1, reg, 0, BYTE}, {name " rm,cl", 0, {0xd3}, 1, reg, 0, 0}

#define CONDITION(n)                                                                               \
    {"setcc", 0, {0x0f, 0x90 + n}, 2, -1, 0, BYTE}, {"cmovcc", 0, {0x0f, 0x40 + n}, 2, -1, 0, 0}

static const Form forms[] = {
    ALU("add", 0x00), ALU("or", 0x08), ALU("adc", 0x10), ALU("sbb", 0x18), ALU("and", 0x20),
    ALU("sub", 0x28), ALU("xor", 0x30), ALU("cmp", 0x38),
    {"test rm8,r8", 0, {0x84}, 1, -1, 0, BYTE}, {"test rm,r", 0, {0x85}, 1, -1, 0, 0},
    {"test al,i8", 0, {0xa8}, 1, -1, 1, BYTE | NO_MODRM}, {"test eax,i", 0, {0xa9}, 1, -1, -1, NO_MODRM},
    {"test rm8,i8", 0, {0xf6}, 1, 0, 1, BYTE}, {"test rm,i", 0, {0xf7}, 1, 0, -1, 0},
    {"xchg8", 0, {0x86}, 1, -1, 0, BYTE}, {"xchg", 0, {0x87}, 1, -1, 0, 0},
    {"mov rm8,r8", 0, {0x88}, 1, -1, 0, BYTE}, {"mov rm,r", 0, {0x89}, 1, -1, 0, 0},
    {"mov r8,rm8", 0, {0x8a}, 1, -1, 0, BYTE}, {"mov r,rm", 0, {0x8b}, 1, -1, 0, 0},
    {"mov rm8,i8", 0, {0xc6}, 1, 0, 1, BYTE}, {"mov rm,i", 0, {0xc7}, 1, 0, -1, 0},
    {"lea", 0, {0x8d}, 1, -1, 0, NO_REG},
    {"inc8", 0, {0xfe}, 1, 0, 0, BYTE}, {"dec8", 0, {0xfe}, 1, 1, 0, BYTE},
    {"inc", 0, {0xff}, 1, 0, 0, 0}, {"dec", 0, {0xff}, 1, 1, 0, 0}, {"push rm", 0, {0xff}, 1, 6, 0, 0},
    {"pop rm", 0, {0x8f}, 1, 0, 0, 0},
    {"not8", 0, {0xf6}, 1, 2, 0, BYTE}, {"neg8", 0, {0xf6}, 1, 3, 0, BYTE},
    {"not", 0, {0xf7}, 1, 2, 0, 0}, {"neg", 0, {0xf7}, 1, 3, 0, 0},
    {"mul8", 0, {0xf6}, 1, 4, 0, BYTE}, {"imul8", 0, {0xf6}, 1, 5, 0, BYTE},
    {"div8", 0, {0xf6}, 1, 6, 0, BYTE}, {"idiv8", 0, {0xf6}, 1, 7, 0, BYTE},
    {"mul", 0, {0xf7}, 1, 4, 0, 0}, {"imul", 0, {0xf7}, 1, 5, 0, 0},
    {"div", 0, {0xf7}, 1, 6, 0, 0}, {"idiv", 0, {0xf7}, 1, 7, 0, 0},
    {"imul r,rm", 0, {0x0f, 0xaf}, 2, -1, 0, 0}, {"imul r,rm,i8", 0, {0x6b}, 1, -1, 1, 0},
    {"imul r,rm,i", 0, {0x69}, 1, -1, -1, 0},
    SHIFT("rol", 0), SHIFT("ror", 1), SHIFT("rcl", 2), SHIFT("rcr", 3), SHIFT("shl", 4),
    SHIFT("shr", 5), SHIFT("sar", 7),
    {"shld i8", 0, {0x0f, 0xa4}, 2, -1, 1, 0}, {"shld cl", 0, {0x0f, 0xa5}, 2, -1, 0, 0},
    {"shrd i8", 0, {0x0f, 0xac}, 2, -1, 1, 0}, {"shrd cl", 0, {0x0f, 0xad}, 2, -1, 0, 0},
    {"bt", 0, {0x0f, 0xa3}, 2, -1, 0, NO_MEM}, {"bts", 0, {0x0f, 0xab}, 2, -1, 0, NO_MEM},
    {"btr", 0, {0x0f, 0xb3}, 2, -1, 0, NO_MEM}, {"btc", 0, {0x0f, 0xbb}, 2, -1, 0, NO_MEM},
    {"bt i8", 0, {0x0f, 0xba}, 2, 4, 1, 0}, {"bts i8", 0, {0x0f, 0xba}, 2, 5, 1, 0},
    {"btr i8", 0, {0x0f, 0xba}, 2, 6, 1, 0}, {"btc i8", 0, {0x0f, 0xba}, 2, 7, 1, 0},
    {"bsf", 0, {0x0f, 0xbc}, 2, -1, 0, 0}, {"bsr", 0, {0x0f, 0xbd}, 2, -1, 0, 0},
    {"tzcnt", 0xf3, {0x0f, 0xbc}, 2, -1, 0, 0}, {"lzcnt", 0xf3, {0x0f, 0xbd}, 2, -1, 0, 0},
    {"popcnt", 0xf3, {0x0f, 0xb8}, 2, -1, 0, 0},
    {"movzx8", 0, {0x0f, 0xb6}, 2, -1, 0, 0}, {"movzx16", 0, {0x0f, 0xb7}, 2, -1, 0, 0},
    {"movsx8", 0, {0x0f, 0xbe}, 2, -1, 0, 0}, {"movsx16", 0, {0x0f, 0xbf}, 2, -1, 0, 0},
    {"movsxd", 0, {0x63}, 1, -1, 0, 0},
    {"movbe load", 0, {0x0f, 0x38, 0xf0}, 3, -1, 0, NO_REG},
    {"movbe store", 0, {0x0f, 0x38, 0xf1}, 3, -1, 0, NO_REG},
    {"movnti", 0, {0x0f, 0xc3}, 2, -1, 0, NO_REG | NO16},
    {"adcx", 0x66, {0x0f, 0x38, 0xf6}, 3, -1, 0, NO16}, {"adox", 0xf3, {0x0f, 0x38, 0xf6}, 3, -1, 0, NO16},
    {"crc32 8", 0xf2, {0x0f, 0x38, 0xf0}, 3, -1, 0, BYTE}, {"crc32", 0xf2, {0x0f, 0x38, 0xf1}, 3, -1, 0, 0},
    {"xadd8", 0, {0x0f, 0xc0}, 2, -1, 0, BYTE}, {"xadd", 0, {0x0f, 0xc1}, 2, -1, 0, 0},
    {"cmpxchg8", 0, {0x0f, 0xb0}, 2, -1, 0, BYTE}, {"cmpxchg", 0, {0x0f, 0xb1}, 2, -1, 0, 0},
    {"cmpxchg8b/16b", 0, {0x0f, 0xc7}, 2, 1, 0, NO_REG | NO16},
    {"bswap", 0, {0x0f, 0xc8}, 2, 0, 0, NO_MODRM | NO16}, {"bswap rsi", 0, {0x0f, 0xce}, 2, 0, 0, NO_MODRM | NO16},
    {"xchg eax", 0, {0x93}, 1, 0, 0, NO_MODRM}, {"mov r,i", 0, {0xbe}, 1, 0, -2, NO_MODRM},
    {"mov r8,i", 0, {0xb5}, 1, 0, 1, NO_MODRM | BYTE},
    {"cbw", 0, {0x98}, 1, 0, 0, NO_MODRM}, {"cwd", 0, {0x99}, 1, 0, 0, NO_MODRM},
    {"lahf", 0, {0x9f}, 1, 0, 0, NO_MODRM}, {"sahf", 0, {0x9e}, 1, 0, 0, NO_MODRM},
    {"clc", 0, {0xf8}, 1, 0, 0, NO_MODRM}, {"stc", 0, {0xf9}, 1, 0, 0, NO_MODRM},
    {"cmc", 0, {0xf5}, 1, 0, 0, NO_MODRM}, {"xlat", 0, {0xd7}, 1, 0, 0, NO_MODRM | FIXED_RM},
    {"push r", 0, {0x56}, 1, 0, 0, NO_MODRM | NO16}, {"pop r", 0, {0x5e}, 1, 0, 0, NO_MODRM},
    {"push i8", 0, {0x6a}, 1, 0, 1, NO_MODRM}, {"push i", 0, {0x68}, 1, 0, -1, NO_MODRM},
    {"push rsp", 0, {0x54}, 1, 0, 0, NO_MODRM}, {"pop rsp", 0, {0x5c}, 1, 0, 0, NO_MODRM | NO16},
    {"enter 16,0", 0, {0xc8, 16, 0, 0}, 4, 0, 0, NO_MODRM},
    CONDITION(0), CONDITION(1), CONDITION(2), CONDITION(3), CONDITION(4), CONDITION(5), CONDITION(6),
    CONDITION(7), CONDITION(8), CONDITION(9), CONDITION(10), CONDITION(11), CONDITION(12),
    CONDITION(13), CONDITION(14), CONDITION(15),
    {"nop", 0, {0x0f, 0x1f}, 2, 0, 0, 0},
    {"movsb", 0, {0xa4}, 1, 0, 0, NO_MODRM | BYTE}, {"movs", 0, {0xa5}, 1, 0, 0, NO_MODRM},
    {"stosb", 0, {0xaa}, 1, 0, 0, NO_MODRM | BYTE}, {"stos", 0, {0xab}, 1, 0, 0, NO_MODRM},
    {"lodsb", 0, {0xac}, 1, 0, 0, NO_MODRM | BYTE}, {"lods", 0, {0xad}, 1, 0, 0, NO_MODRM},
    {"scasb", 0, {0xae}, 1, 0, 0, NO_MODRM | BYTE}, {"scas", 0, {0xaf}, 1, 0, 0, NO_MODRM},
    {"cmpsb", 0, {0xa6}, 1, 0, 0, NO_MODRM | BYTE}, {"cmps", 0, {0xa7}, 1, 0, 0, NO_MODRM},
    {"rep movsb", 0xf3, {0xa4}, 1, 0, 0, NO_MODRM | BYTE}, {"rep movs", 0xf3, {0xa5}, 1, 0, 0, NO_MODRM},
    {"rep stosb", 0xf3, {0xaa}, 1, 0, 0, NO_MODRM | BYTE}, {"rep stos", 0xf3, {0xab}, 1, 0, 0, NO_MODRM},
    {"rep lods", 0xf3, {0xad}, 1, 0, 0, NO_MODRM}, {"repne scasb", 0xf2, {0xae}, 1, 0, 0, NO_MODRM | BYTE},
    {"repe scas", 0xf3, {0xaf}, 1, 0, 0, NO_MODRM}, {"repe cmpsb", 0xf3, {0xa6}, 1, 0, 0, NO_MODRM | BYTE},
    {"repne cmps", 0xf2, {0xa7}, 1, 0, 0, NO_MODRM},
};

/* VEX forms: map (2: 0f38, 3: 0f3a), pp, opcode, ModRM.reg, immediate. */
static const struct {
    const char *name;
    uint8_t map, pp, opcode;
    int8_t reg, imm;
    bool no_vvvv;
} vex_forms[] = {
    {"andn", 2, 0, 0xf2, -1, 0, false}, {"bextr", 2, 0, 0xf7, -1, 0, false},
    {"blsr", 2, 0, 0xf3, 1, 0, false}, {"blsmsk", 2, 0, 0xf3, 2, 0, false},
    {"blsi", 2, 0, 0xf3, 3, 0, false}, {"bzhi", 2, 0, 0xf5, -1, 0, false},
    {"mulx", 2, 3, 0xf6, -1, 0, false}, {"pdep", 2, 3, 0xf5, -1, 0, false},
    {"pext", 2, 2, 0xf5, -1, 0, false}, {"sarx", 2, 2, 0xf7, -1, 0, false},
    {"shlx", 2, 1, 0xf7, -1, 0, false}, {"shrx", 2, 3, 0xf7, -1, 0, false},
    {"rorx", 3, 3, 0xf0, -1, 1, true},
};
/* clang-format on */

/* -- Random state ------------------------------------------------------------------------------ */

static uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static uint64_t interesting(uint64_t *s)
{
    static const uint64_t edges[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
                                     0x80000000, 0xffffffff, INT64_MAX, 1ull << 63, UINT64_MAX};
    uint64_t r = next_random(s);

    switch (r & 3) {
    case 0: return edges[(r >> 8) % ARRAY_LEN(edges)];
    case 1: return next_random(s) >> (r >> 8 & 63);
    default: return next_random(s);
    }
}

/* rbx, rsi, rdi, rsp, rbp point into the data page, with room on both sides; rcx counts. */
static void random_regs(NativeRegs *r, uint64_t *s, bool strings)
{
    for (unsigned i = 0; i < 16; i++) {
        r->gpr[i] = interesting(s);
    }
    r->gpr[GPR_RBX] = NATIVE_DATA + 0x4000 + (next_random(s) & 0xff);
    r->gpr[GPR_RSI] = NATIVE_DATA + 0x5000 - 32 + (next_random(s) & 0x3f);
    r->gpr[GPR_RDI] = NATIVE_DATA + ((next_random(s) & 1) != 0 ? 0x5000 : 0x7000) - 32 +
                      (next_random(s) & 0x3f);
    r->gpr[GPR_RSP] = NATIVE_DATA + 0x9000 + (next_random(s) & 0xf8);
    r->gpr[GPR_RBP] = NATIVE_DATA + 0xa000 + (next_random(s) & 0xf8);
    if (strings) {
        r->gpr[GPR_RCX] = next_random(s) % 40;
    }
    r->flags = (next_random(s) & FLAGS_ARITH) | FLAG_FIXED | FLAG_IF;
    if (strings && (next_random(s) & 1) != 0) {
        r->flags |= FLAG_DF;
    }
}

/* -- Encoding ---------------------------------------------------------------------------------- */

static unsigned put_modrm(uint8_t *p, uint64_t *s, int reg, uint8_t how, uint8_t *rex)
{
    unsigned r = reg >= 0 ? (unsigned)reg : next_random(s) & 7, len = 1;
    bool mem = (how & NO_REG) != 0 || ((how & NO_MEM) == 0 && (next_random(s) & 1) != 0);

    if (reg < 0 && r == GPR_RSP) {
        r = 0;
    }
    if (!mem) {
        unsigned rm = next_random(s) & 7;

        rm = rm == GPR_RSP ? 1 : rm;
        p[0] = (uint8_t)(0xc0 | r << 3 | rm);
        *rex |= (next_random(s) & 1) | (reg < 0 ? next_random(s) & 4 : 0);
        return len;
    }
    switch (next_random(s) % 3) {
    case 0: /* [rbx] */
        p[0] = (uint8_t)(r << 3 | 3);
        break;
    case 1: /* [rsi + disp8] */
        p[0] = (uint8_t)(0x40 | r << 3 | 6);
        p[len++] = (uint8_t)next_random(s);
        break;
    default: /* [rbp + disp32] */
        p[0] = (uint8_t)(0x80 | r << 3 | 5);
        store_le(p + 1, 4, (uint32_t)(int32_t)(next_random(s) % 0x200) - 0x100);
        len += 4;
        break;
    }
    *rex |= reg < 0 ? next_random(s) & 4 : 0;
    return len;
}

static unsigned encode(const Form *f, uint64_t *s, uint8_t *out)
{
    unsigned size = (next_random(s) % 3), n = 0, rm_len = 0; /* 0: 16, 1: 32, 2: 64 bits */
    uint8_t rex = 0, rm[8];
    int imm = f->imm;

    if ((f->how & NO16) != 0 && size == 0) {
        size = 1;
    }
    if ((f->how & NO_MODRM) == 0) {
        rm_len = put_modrm(rm, s, f->reg, f->how, &rex);
    }
    if ((f->how & BYTE) == 0) {
        if (size == 0) {
            out[n++] = 0x66;
        }
        rex |= size == 2 ? 8 : 0;
    }
    if (f->prefix != 0) {
        out[n++] = f->prefix;
    }
    if (rex != 0) {
        out[n++] = 0x40 | rex;
    }
    memcpy(out + n, f->opcode, f->n_opcode);
    n += f->n_opcode;
    memcpy(out + n, rm, rm_len);
    n += rm_len;
    if (imm < 0) {
        bool byte = (f->how & BYTE) != 0;

        imm = byte ? 1 : size == 0 ? 2 : size == 2 && imm == -2 ? 8 : 4;
    }
    store_le(out + n, (unsigned)imm, interesting(s));
    return n + (unsigned)imm;
}

static unsigned encode_vex(unsigned i, uint64_t *s, uint8_t *out)
{
    uint8_t rex = 0;
    unsigned n = 0, w = next_random(s) & 1, vvvv = next_random(s) & 15, len;
    uint8_t rm[8];

    vvvv = vex_forms[i].no_vvvv ? 0 : vvvv == GPR_RSP ? 1 : vvvv;
    len = put_modrm(rm, s, vex_forms[i].reg, 0, &rex);
    out[n++] = 0xc4;
    out[n++] = (uint8_t)((~rex & 4) << 5 | 0x40 | (~rex & 1) << 5 | vex_forms[i].map);
    out[n++] = (uint8_t)(w << 7 | (~vvvv & 15) << 3 | vex_forms[i].pp);
    out[n++] = vex_forms[i].opcode;
    memcpy(out + n, rm, len);
    n += len;
    store_le(out + n, (unsigned)vex_forms[i].imm, interesting(s));
    return n + (unsigned)vex_forms[i].imm;
}

/* -- Comparing --------------------------------------------------------------------------------- */

typedef struct {
    GuestCpu guest;
    Native native;
    uint64_t seed;
} Oracle;

static void describe(const char *name, const uint8_t *code, unsigned len, const NativeRegs *before,
                     const NativeRegs *want, const CpuState *got)
{
    ZydisDisassembledInstruction d;
    GString *s = g_string_new(NULL);

    if (ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, 0, code, len, &d))) {
        g_string_append_printf(s, "%s: %s\n", name, d.text);
    }
    for (unsigned i = 0; i < 16; i++) {
        g_string_append_printf(s, "  r%-2u %016lx -> host %016lx ours %016lx%s\n", i, before->gpr[i],
                               want->gpr[i], got->gpr[i], want->gpr[i] != got->gpr[i] ? " <--" : "");
    }
    g_string_append_printf(s, "  flags %04lx -> host %04lx ours %04lx, rip %lx vector %d\n",
                           before->flags, want->flags & 0xcd5, got->rflags & 0xcd5, got->rip, -1);
    ck_abort_msg("%s", s->str);
}

static void try_one(Oracle *o, const char *name, const uint8_t *code, unsigned len, bool strings)
{
    NativeRegs before = {0}, want;
    uint64_t *data = (uint64_t *)o->native.data;
    CpuState *cpu = o->guest.cpu;
    const uint64_t mask = FLAGS_ARITH | FLAG_DF;
    int sig, vector;
    bool same;

    random_regs(&before, &o->seed, strings);
    for (unsigned i = 0; i < NATIVE_DATA_SIZE / 8; i += 1 + (i & 3)) {
        data[i] = interesting(&o->seed);
    }
    for (unsigned i = 0; i < 16; i++) { /* equal stretches, for scans and compares */
        memset(o->native.data + 0x5000 + i * 24, (int)(o->seed >> i & 1), 24);
    }
    memcpy(guest_ram(&o->guest, NATIVE_DATA), data, NATIVE_DATA_SIZE);
    guest_code(&o->guest, code, len);
    memcpy(cpu->gpr, before.gpr, sizeof before.gpr);
    cpu->rflags = before.flags & ~(uint64_t)FLAG_IF;
    want = before;
    sig = native_run(&o->native, code, len, &want);
    guest_run(&o->guest, 1);
    vector = guest_vector(&o->guest);
    if (sig != 0) {
        ck_assert_msg(sig == SIGFPE   ? vector == EXC_DE
                      : sig == SIGILL ? vector == EXC_UD
                                      : vector == EXC_PF || vector == EXC_GP,
                      "%s: host raises signal %d, we vector %d", name, sig, vector);
        return;
    }
    same = vector < 0 && cpu->rip == GUEST_CODE + len &&
           memcmp(cpu->gpr, want.gpr, sizeof want.gpr) == 0 &&
           (cpu->rflags & mask) == (want.flags & mask);
    if (!same) {
        describe(name, code, len, &before, &want, cpu);
    }
    ck_assert_msg(memcmp(guest_ram(&o->guest, NATIVE_DATA), data, NATIVE_DATA_SIZE) == 0,
                  "%s: memory differs", name);
}

static Oracle oracle;

static void setup(void)
{
    guest_cpu_init(&oracle.guest, GUEST_LONG64);
    native_init(&oracle.native);
    oracle.seed = 0x9e3779b97f4a7c15;
}

static void teardown(void)
{
    guest_cpu_clear(&oracle.guest);
}

START_TEST(every_form_does_what_the_host_does)
{
    const Form *f = &forms[_i];
    bool strings = f->opcode[0] >= 0xa4 && f->opcode[0] <= 0xaf && f->n_opcode == 1 &&
                   f->opcode[0] != 0xa8 && f->opcode[0] != 0xa9;

    oracle.seed += (uint64_t)_i << 32;
    for (unsigned n = 0; n < 100; n++) {
        uint8_t code[32] = {0};

        try_one(&oracle, f->name, code, encode(f, &oracle.seed, code), strings);
    }
}
END_TEST

START_TEST(every_vex_form_does_what_the_host_does)
{
    oracle.seed += (uint64_t)_i << 32;
    for (unsigned n = 0; n < 100; n++) {
        uint8_t code[32] = {0};

        try_one(&oracle, vex_forms[_i].name, code, encode_vex((unsigned)_i, &oracle.seed, code), false);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("interp");
    TCase *t = tcase_create("oracle");
    SRunner *sr = srunner_create(s);
    int failed;

    tcase_add_unchecked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, every_form_does_what_the_host_does, 0, (int)ARRAY_LEN(forms));
    tcase_add_loop_test(t, every_vex_form_does_what_the_host_does, 0, (int)ARRAY_LEN(vex_forms));
    suite_add_tcase(s, t);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
