/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/front-internal.h"

#include "cpu-x86/state.h"
#include "cpu-x86/vector.h"
#include "translator/block.h"
#include "translator/vcb-offsets.h"

/* -- Registers -------------------------------------------------------------------------------- */

static uint16_t gpr_bit(ZydisRegister r)
{
    int n = gpr_of(r);

    return n >= 0 ? (uint16_t)(1u << n) : 0;
}

/* -- Flags ------------------------------------------------------------------------------------ */

typedef struct {
    uint16_t read, kill, maybe;
} Flags;

/* Shifts by a constant write flags unless it is 0. */
static bool shifts_surely(const ZydisDecodedInstruction *zi)
{
    bool by_one = zi->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (zi->opcode & 0xfe) == 0xd0;

    return by_one || (zi->raw.imm[0].size != 0 && (zi->raw.imm[0].value.u & 31) != 0);
}

static Flags flags_of(const ZydisDecodedInstruction *zi)
{
    const ZydisAccessedFlags *f = zi->cpu_flags;
    Flags r = {0, 0, 0};

    if (f == NULL) {
        return r;
    }
    r.read = f->tested & FLAGS_ARITH;
    r.maybe = (f->modified | f->set_0 | f->set_1 | f->undefined) & FLAGS_ARITH;
    r.kill = r.maybe;
    switch (zi->mnemonic) {
    case ZYDIS_MNEMONIC_PUSHFQ: case ZYDIS_MNEMONIC_PUSHFD:
        r.read = FLAGS_ARITH;
        break;
    case ZYDIS_MNEMONIC_POPFQ: case ZYDIS_MNEMONIC_POPFD:
        r.read = 0;
        r.kill = r.maybe = FLAGS_ARITH;
        break;
    case ZYDIS_MNEMONIC_SHL: case ZYDIS_MNEMONIC_SHR: case ZYDIS_MNEMONIC_SAR:
        r.kill = shifts_surely(zi) ? r.maybe : 0;
        break;
    case ZYDIS_MNEMONIC_ROL: case ZYDIS_MNEMONIC_ROR: case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR: case ZYDIS_MNEMONIC_SHLD: case ZYDIS_MNEMONIC_SHRD:
        r.kill = 0; /* a count of 0 leaves the flags alone */
        break;
    /* Hosts leave some undefined flags as they were (AND and friends, which are everywhere, none). */
    case ZYDIS_MNEMONIC_MUL: case ZYDIS_MNEMONIC_IMUL: case ZYDIS_MNEMONIC_DIV:
    case ZYDIS_MNEMONIC_IDIV: case ZYDIS_MNEMONIC_BSF: case ZYDIS_MNEMONIC_BSR:
    case ZYDIS_MNEMONIC_LZCNT: case ZYDIS_MNEMONIC_TZCNT: case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS: case ZYDIS_MNEMONIC_BTR: case ZYDIS_MNEMONIC_BTC:
        r.kill &= (uint16_t)~f->undefined;
        break;
    default:
        break;
    }
    return r;
}

static void find_flags(PlanInsn *in)
{
    Flags f = flags_of(&in->zi);

    in->flags_read = f.read;
    in->flags_maybe = f.maybe;
    in->flags_kill = f.kill;
}

/* -- One instruction -------------------------------------------------------------------------- */

/* Instructions whose function in the interpreter changes nothing but registers, flags and memory, and
 * calls nothing that could use the host's vector registers. */
static bool is_self_contained(const PlanInsn *in)
{
    switch (in->zi.mnemonic) {
    case ZYDIS_MNEMONIC_BT: case ZYDIS_MNEMONIC_BTC: case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTS: case ZYDIS_MNEMONIC_CMPXCHG8B: case ZYDIS_MNEMONIC_CMPXCHG16B:
    case ZYDIS_MNEMONIC_VERR: case ZYDIS_MNEMONIC_VERW: case ZYDIS_MNEMONIC_LAR:
    case ZYDIS_MNEMONIC_LSL: case ZYDIS_MNEMONIC_RDTSCP: case ZYDIS_MNEMONIC_RDPKRU:
    case ZYDIS_MNEMONIC_RDPID: case ZYDIS_MNEMONIC_XGETBV: case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_POP: case ZYDIS_MNEMONIC_XLAT: case ZYDIS_MNEMONIC_LODSB:
    case ZYDIS_MNEMONIC_LODSW: case ZYDIS_MNEMONIC_LODSD: case ZYDIS_MNEMONIC_LODSQ:
    case ZYDIS_MNEMONIC_SCASB: case ZYDIS_MNEMONIC_SCASW: case ZYDIS_MNEMONIC_SCASD:
    case ZYDIS_MNEMONIC_SCASQ: case ZYDIS_MNEMONIC_CMPSB: case ZYDIS_MNEMONIC_CMPSW:
    case ZYDIS_MNEMONIC_CMPSQ:
        return true;
    case ZYDIS_MNEMONIC_CMPSD:
        return in->zi.meta.category == ZYDIS_CATEGORY_STRINGOP;
    default:
        return front_is_plain(in->zi.mnemonic) && in->mem != 0xff; /* odd addressing */
    }
}

/* Segment registers in 32-bit code: pushed, or loaded but for SS, which casts a shadow. */
static bool is_segment_insn(const PlanInsn *in)
{
    ZydisRegister r = in->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER ? in->op[0].reg.value
                                                                    : ZYDIS_REGISTER_NONE;

    return ZydisRegisterGetClass(r) == ZYDIS_REGCLASS_SEGMENT &&
           (in->zi.mnemonic == ZYDIS_MNEMONIC_PUSH ||
            (r != ZYDIS_REGISTER_SS && r != ZYDIS_REGISTER_CS &&
             (in->zi.mnemonic == ZYDIS_MNEMONIC_POP || in->zi.mnemonic == ZYDIS_MNEMONIC_MOV)));
}

/* A segment register is popped, or pushed: not self-contained. */
static bool names_segment(const PlanInsn *in)
{
    return in->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
           ZydisRegisterGetClass(in->op[0].reg.value) == ZYDIS_REGCLASS_SEGMENT;
}
static void find_operands(PlanInsn *in)
{
    in->mem = 0xff;
    for (unsigned i = 0; i < in->zi.operand_count; i++) {
        const ZydisDecodedOperand *o = &in->op[i];
        if (o->type == ZYDIS_OPERAND_TYPE_REGISTER) {
            in->regs |= gpr_bit(o->reg.value);
            in->high_byte |= o->reg.value >= ZYDIS_REGISTER_AH && o->reg.value <= ZYDIS_REGISTER_BH;
        } else if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
            in->regs |= gpr_bit(o->mem.base) | gpr_bit(o->mem.index);
            if (o->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN && in->mem == 0xff) {
                in->mem = (uint8_t)i;
                in->mem_size = (uint8_t)(o->size / 8);
                in->mem_write = (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
            }
        }
    }
}

static uint64_t target_of(const PlanInsn *in, uint64_t lin, bool code32)
{
    uint64_t next = lin + in->off + in->len, v;

    if (in->plan == PLAN_LEA_RIP) {
        v = (code32 ? 0 : next) + (uint64_t)in->op[1].mem.disp.value;
        return in->op[0].size == 64 ? v : in->op[0].size == 32 ? (uint32_t)v : (uint16_t)v;
    }
    v = next + (uint64_t)in->zi.raw.imm[0].value.s;
    return code32 ? (uint32_t)v : v;
}

/* What its helper, or the interpreter, does with flags; that might refuse, so none are surely written. */
static void take_flags_of(PlanInsn *in, TransHelper helper)
{
    const HelperInfo *h = &helper_info[helper];

    in->flags_read = (h->reads & PART_FLAGS) != 0 ? FLAGS_ARITH : 0;
    in->flags_maybe = (h->writes & PART_FLAGS) != 0 ? FLAGS_ARITH : 0;
    in->flags_kill = 0;
}

static void make_interp(PlanInsn *in, PlanClass c)
{
    in->plan = (uint8_t)c;
    take_flags_of(in, HELPER_INTERP);
}

static void make_helped(PlanInsn *in, PlanClass c, TransHelper helper, bool exec)
{
    in->plan = (uint8_t)c;
    in->helper = (uint8_t)helper;
    in->exec = exec;
    take_flags_of(in, helper);
}

static void classify(const Plan *p, PlanInsn *in, uint32_t env)
{
    find_operands(in);
    find_flags(in);
    in->plan = (uint8_t)front_class_of(in, p->bytes + in->off, env);
    if (in->plan == PLAN_LEA_RIP && in->op[0].size == 16) {
        in->plan = PLAN_INTERP;
    }
    switch (in->plan) {
    case PLAN_LEA_RIP: case PLAN_JMP: case PLAN_CALL:
        in->target = target_of(in, p->lin, p->code32);
        break;
    case PLAN_JCC:
        in->target = target_of(in, p->lin, p->code32);
        in->cc = in->zi.opcode & 15;
        break;
    default:
        break;
    }
    if ((in->plan == PLAN_INTERP || in->plan == PLAN_INTERP_END) && (env & ENV_PLAIN) == 0 &&
        ((is_self_contained(in) && !names_segment(in) && !front_is_vector(in)) ||
         (p->code32 && is_segment_insn(in)))) {
        make_helped(in, PLAN_HELPER, HELPER_EXEC, true);
    } else if (in->plan == PLAN_INTERP || in->plan == PLAN_INTERP_END) {
        make_interp(in, in->plan);
    } else if (in->plan == PLAN_HELPER || in->plan == PLAN_HELPER_END || in->exec) {
        g_assert(in->plan != PLAN_HELPER_END || (helper_info[in->helper].ways & WAY_JUMPS) != 0);
        make_helped(in, in->plan, in->helper, in->exec);
    }
}

/* A constant that goes to a register, or with a register into arithmetic. */
static void find_immediate(PlanInsn *in)
{
    const ZydisDecodedInstruction *zi = &in->zi;
    bool alone = zi->raw.modrm.offset == 0, moves = (zi->opcode & 0xf8) == 0xb8 || zi->opcode == 0xc7;
    bool counts = zi->opcode == 0x81 || zi->opcode == 0x83 || ((zi->opcode & 0xc7) == 0x05 && alone);

    if (in->plan == PLAN_COPY && zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
        zi->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && zi->operand_width >= 32 && (moves || counts)) {
        in->imm_off = zi->raw.imm[0].offset;
        in->imm_len = zi->raw.imm[0].size / 8;
    }
}

void front_call(PlanInsn *in)
{
    if (in->plan == PLAN_MEM && in->vec == 0) {
        make_helped(in, PLAN_HELPER, HELPER_DEVICE, true);
    }
}

void front_divide(PlanInsn *in)
{
    bool divides = in->zi.mnemonic == ZYDIS_MNEMONIC_DIV || in->zi.mnemonic == ZYDIS_MNEMONIC_IDIV;

    if (divides && (in->plan == PLAN_COPY || in->plan == PLAN_MEM)) {
        make_helped(in, PLAN_HELPER, HELPER_DIVIDE, true);
    }
}

bool plan_links(const Plan *p, uint64_t target)
{
    return ((p->lin ^ target) & GUEST_PAGE_MASK) == 0 ||
           (p->config->chain_pages && (p->env & ENV_CPL0) != 0 &&
            (p->code32 || ((int64_t)p->lin < 0 && (int64_t)target < 0)));
}

/* A conditional jump forward is mostly not taken, and the block goes on behind some.  Where blocks are compared it ends there. */
static bool goes_on(const Plan *p, const PlanInsn *in)
{
    return in->plan == PLAN_JCC && p->sides < p->config->branches && (p->env & ENV_PLAIN) == 0 && p->beyond == 0 &&
           in->target > p->lin + in->off && plan_links(p, in->target);
}

static bool ends_block(const PlanInsn *in)
{
    return in->plan >= PLAN_INTERP_END;
}

/* -- The block -------------------------------------------------------------------------------- */

static void find_live_flags(Plan *p, uint16_t live)
{
    p->flags_out = live;
    for (unsigned i = p->n; i-- > 0;) {
        PlanInsn *in = &p->insn[i];
        live = (uint16_t)((live & ~in->flags_kill) | in->flags_read);
        in->flags_live = live;
    }
}

/* -- Beyond the block's end ---------------------------------------------------------------------- */

enum { LOOK_AHEAD_INSNS = 12 };

typedef struct {
    const ZydisDecoder *decoder;
    const uint8_t *page;       /* bytes of the page the block is on */
    Plan *plan;                /* whose source they become          */
    uint64_t lin;              /* of the page                       */
    bool code32;
    unsigned left;             /* instructions that may be decoded  */
} LookAhead;

/* An instruction that does no more with flags than Zydis says, and goes on behind it or raises. */
static bool is_understood(const ZydisDecodedInstruction *zi)
{
    switch (zi->mnemonic) {
    case ZYDIS_MNEMONIC_PUSH: case ZYDIS_MNEMONIC_POP: case ZYDIS_MNEMONIC_LEAVE:
    case ZYDIS_MNEMONIC_NOP: case ZYDIS_MNEMONIC_ENDBR64: case ZYDIS_MNEMONIC_ENDBR32:
    case ZYDIS_MNEMONIC_PAUSE:
        return true;
    case ZYDIS_MNEMONIC_MOV:
        return zi->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT; /* else a control or debug register */
    default:
        return front_is_plain(zi->mnemonic) || vector_handles(zi);
    }
}

/* The flags live at `lin`; all of them where a few instructions on the same page do not tell. */
static uint16_t live_at(LookAhead *a, uint64_t lin)
{
    uint16_t open = FLAGS_ARITH, read = 0; /* open: neither read nor overwritten so far */

    while (open != 0 && a->left > 0 && ((lin ^ a->lin) & GUEST_PAGE_MASK) == 0) {
        unsigned at = (unsigned)(lin & GUEST_PAGE_OFFSET_MASK);
        ZydisDecodedInstruction zi;
        Flags f;

        a->left--;
        a->plan->source_from = MIN(a->plan->source_from, at);
        a->plan->source_to = MAX(a->plan->source_to, MIN(at + 15, GUEST_PAGE_SIZE));
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(a->decoder, NULL, a->page + at,
                                                        GUEST_PAGE_SIZE - at, &zi))) {
            break;
        }
        f = flags_of(&zi);
        lin += zi.length;
        if (zi.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE) {
            const PlanInsn in = {.zi = zi, .mem = 0xff};
            PlanClass c = front_class_of_branch(&in, a->code32);
            uint64_t target = lin + (uint64_t)zi.raw.imm[0].value.s;

            target = a->code32 ? (uint32_t)target : target;
            if (c == PLAN_JCC) {
                read |= open & f.read;
                open &= (uint16_t)~f.read;
                read |= open & live_at(a, target);
            } else if (c != PLAN_JMP && c != PLAN_CALL) {
                break;
            } else {
                lin = target;
            }
            continue;
        }
        if (!is_understood(&zi)) {
            break;
        }
        read |= open & f.read;
        open &= (uint16_t)~(f.read | f.kill);
    }
    return read | open;
}

/* Does the block keep flags for whoever comes after it, over instructions that would want to write them? */
static bool carries_flags(const Plan *p)
{
    uint16_t live = FLAGS_ARITH;

    for (unsigned i = p->n; i-- > 0 && live != 0;) {
        const PlanInsn *in = &p->insn[i];
        live &= (uint16_t)~(in->flags_kill | in->flags_read);
        if (live != 0 && in->plan != PLAN_COPY && in->plan != PLAN_NOTHING && in->plan != PLAN_LEA_RIP &&
            in->plan != PLAN_JMP && in->plan != PLAN_JCC) {
            return true;
        }
    }
    return false;
}

/* The flags live behind the block, where that is on its page and so changes only when the block dies. */
static uint16_t live_behind(Plan *p, const ZydisDecoder *decoder, const uint8_t *page)
{
    const PlanInsn *last = &p->insn[p->n - 1];
    LookAhead a = {decoder, page, p, p->lin, p->code32, LOOK_AHEAD_INSNS};
    uint64_t next = p->code32 ? (uint32_t)(p->lin + p->len) : p->lin + p->len;

    switch (last->plan) {
    case PLAN_JMP: case PLAN_CALL: return live_at(&a, last->target);
    case PLAN_JCC: return live_at(&a, next) | live_at(&a, last->target);
    default: return last->plan < PLAN_INTERP_END ? live_at(&a, next) : FLAGS_ARITH;
    }
}

static void decoder_init(ZydisDecoder *decoder, bool code32)
{
    if (code32) {
        ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    } else {
        ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    }
}

/* What follows from the instructions. */
static void complete(Plan *p, const ZydisDecoder *decoder)
{
    const PlanInsn *last = &p->insn[p->n - 1];
    const uint8_t *page = p->host - (p->lin & GUEST_PAGE_OFFSET_MASK);

    p->len = last->off + last->len;
    p->vec = 0;
    p->regs = 1u << GPR_RSP;
    for (unsigned i = 0; i < p->n; i++) {
        p->regs |= p->insn[i].regs;
        p->vec |= p->insn[i].plan < PLAN_INTERP ? p->insn[i].vec : 0;
    }
    p->source_from = (unsigned)(p->lin & GUEST_PAGE_OFFSET_MASK);
    p->source_to = p->source_from + p->len - p->beyond;
    find_live_flags(p, FLAGS_ARITH);
    p->kept_in = p->kept_out = FLAGS_ARITH;
    if (p->config->look_ahead) {
        if (carries_flags(p)) {
            find_live_flags(p, live_behind(p, decoder, page));
        }
        if ((p->env & ENV_COUNTED) != 0) {
            p->kept_in = live_at(&(LookAhead){decoder, page, p, p->lin, p->code32, LOOK_AHEAD_INSNS}, p->lin);
            p->kept_out = live_behind(p, decoder, page);
            for (unsigned i = 0; i + 1 < p->n; i++) {
                PlanInsn *in = &p->insn[i];
                if (in->plan == PLAN_JCC) {
                    in->flags_side = live_at(&(LookAhead){decoder, page, p, p->lin, p->code32, LOOK_AHEAD_INSNS}, in->target);
                }
            }
        }
    }
}

void front_end_at(Plan *p, unsigned n)
{
    ZydisDecoder decoder;

    p->n = n;
    p->sides = 0;
    for (unsigned i = 0; i + 1 < n; i++) {
        p->sides += p->insn[i].plan == PLAN_JCC;
    }
    find_flags(&p->insn[n - 1]);
    decoder_init(&decoder, p->code32);
    complete(p, &decoder);
}

bool front_plan(Plan *p, uint64_t lin, const uint8_t *bytes, const uint8_t *beyond, unsigned max, uint32_t env,
                bool (*isa_allowed)(const void *arg, unsigned isa_set), const void *arg)
{
    ZydisDecoder decoder;
    uint16_t regs = 1u << GPR_RSP;
    const unsigned room = GUEST_PAGE_SIZE - (unsigned)(lin & GUEST_PAGE_OFFSET_MASK);
    unsigned avail = MIN(room, sizeof p->bytes);

    memcpy(p->bytes, bytes, avail);
    p->code32 = (env & ENV_CODE32) != 0;
    decoder_init(&decoder, p->code32);
    p->lin = lin;
    p->env = env;
    p->host = bytes;
    p->shared = front_shares(p->config, lin, env);
    p->n = p->len = p->beyond = p->sides = 0;
    while (p->n < max && p->beyond == 0 && p->len < sizeof p->bytes - INSN_BYTES_MAX) {
        PlanInsn *in = &p->insn[p->n];
        memset(in, 0, offsetof(PlanInsn, zi)); /* Zydis writes the rest */
        in->off = (uint8_t)p->len;
        ZyanStatus status = ZydisDecoderDecodeFull(&decoder, p->bytes + p->len, avail - p->len, &in->zi, in->op);
        if (status == ZYDIS_STATUS_NO_MORE_DATA && p->n == 0 && beyond != NULL && room < INSN_BYTES_MAX) {
            memcpy(p->bytes + room, beyond, INSN_BYTES_MAX - room);
            status = ZydisDecoderDecodeFull(&decoder, p->bytes, INSN_BYTES_MAX, &in->zi, in->op);
        }
        if (!ZYAN_SUCCESS(status)) {
            break; /* undecodable, or it crosses the page's end: a block of its own */
        }
        in->len = in->zi.length;
        p->beyond = (uint8_t)(p->len + in->len > room ? p->len + in->len - room : 0);
        classify(p, in, env);
        if (p->beyond == 0) {
            find_immediate(in);
        }
        if (in->plan < PLAN_INTERP && !isa_allowed(arg, in->zi.meta.isa_set)) {
            make_interp(in, PLAN_INTERP_END);
        }
        if (16 - __builtin_popcount(regs | in->regs) < FRONT_SCRATCH_WANTED && p->n > 0) {
            break;
        }
        regs |= in->regs;
        p->len += in->len;
        p->n++;
        if (goes_on(p, in)) {
            p->sides++;
            in->flags_read = in->flags_side = FLAGS_ARITH; /* of whoever is there */
        } else if (ends_block(in)) {
            break;
        }
    }
    if (p->n == 0) {
        return false;
    }
    if (p->insn[p->n - 1].plan == PLAN_SYSTEM && p->insn[p->n - 1].zi.mnemonic == ZYDIS_MNEMONIC_STI) {
        make_interp(&p->insn[p->n - 1], PLAN_INTERP_END); /* its shadow must fall on our own code */
    }
    if (p->sides != 0 && p->insn[p->n - 1].plan == PLAN_JCC) {
        front_end_at(p, p->n); /* nothing could be planned behind it, or it is one too many */
    } else {
        complete(p, &decoder);
    }
    return true;
}

const char *front_class_name(unsigned plan_class)
{
    static const char *const names[] = {
        [PLAN_COPY] = "copy", [PLAN_NOTHING] = "nothing", [PLAN_MEM] = "mem",
        [PLAN_LEA_RIP] = "lea-rip", [PLAN_PUSH] = "push", [PLAN_PUSH_MEM] = "push-mem",
        [PLAN_POP] = "pop", [PLAN_LEAVE] = "leave", [PLAN_INTERP] = "interp", [PLAN_INTERP_END] = "interp-end",
        [PLAN_JMP] = "jmp", [PLAN_JCC] = "jcc", [PLAN_CALL] = "call", [PLAN_JMP_IND] = "jmp-ind",
        [PLAN_CALL_IND] = "call-ind", [PLAN_RET] = "ret",
    };

    return plan_class < sizeof names / sizeof *names && names[plan_class] != NULL ? names[plan_class]
                                                                                  : "?";
}
