/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/scan.h"

#include <Zydis/Zydis.h>

#include <string.h>

static bool is_register(uint8_t modrm)
{
    return modrm >= 0xc0;
}

static unsigned reg_of(uint8_t modrm)
{
    return modrm >> 3 & 7;
}

/* Is one of the up to four bytes before `at` this prefix?  (Legacy prefixes, REX.) */
static bool has_prefix(const uint8_t *code, size_t at, uint8_t prefix)
{
    for (size_t i = 1; i <= 4 && i <= at; i++) {
        if (code[at - i] == prefix) {
            return true;
        }
    }
    return false;
}

/* Could the byte before `at` be a prefix of the instruction there? */
static bool may_have_prefix(const uint8_t *code, size_t at)
{
    static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};

    return at > 0 && ((code[at - 1] & 0xf0) == 0x40 || memchr(prefixes, code[at - 1], sizeof prefixes) != NULL);
}

/* 0F 01 */
static bool group7_denied(uint8_t modrm, ScanRules rules)
{
    if (!is_register(modrm)) {
        return reg_of(modrm) == 0 || reg_of(modrm) == 1 || reg_of(modrm) == 4; /* sgdt sidt smsw */
    }
    switch (modrm) {
    case 0xc1:                 /* vmcall, vmmcall: the host's hypervisor answers, not ours */
    case 0xd9:
    case 0xd7:                 /* enclu */
    case 0xfa:                 /* monitorx, mwaitx */
    case 0xfb:
    case 0xfd:                 /* rdpru */
        return true;
    case 0xd0:                 /* xgetbv */
        return rules.deny_xsave;
    case 0xee:                 /* rdpkru, wrpkru */
    case 0xef:
        return rules.deny_pkru;
    default:
        return reg_of(modrm) == 4; /* smsw */
    }
}

/* 0F AE: xsave and its like; rdfsbase and so on; umonitor, umwait, tpause. */
static bool group15_denied(const uint8_t *code, size_t at, uint8_t modrm, ScanRules rules)
{
    unsigned reg = reg_of(modrm);

    if (!is_register(modrm)) {
        return rules.deny_xsave && reg >= 4 && reg < 7;
    }
    return (rules.deny_fsgsbase && reg < 4 && has_prefix(code, at, 0xf3)) ||
           (reg == 6 && (has_prefix(code, at, 0xf3) || has_prefix(code, at, 0xf2) ||
                         has_prefix(code, at, 0x66)));
}

/* 0F at code[at], with at least one byte behind it known; `left` bytes from it on.  A byte that is not
 * known is taken for the worst. */
static bool denied(const uint8_t *code, size_t at, size_t left, ScanRules rules)
{
    uint8_t op = code[at + 1], modrm = left > 2 ? code[at + 2] : 0;
    bool known = left > 2;

    switch (op) {
    case 0xa2:                 /* cpuid */
    case 0x02:                 /* lar, lsl: the host's descriptors */
    case 0x03:
    case 0x34:                 /* sysenter: the host would lose rip and rsp */
    case 0x33:                 /* rdpmc: the host's counters, where its sysfs lets everybody */
    case 0x37:                 /* getsec */
        return true;
    case 0xa1:                 /* pop fs, pop gs */
    case 0xa9:
    case 0xb4:                 /* lfs, lgs */
    case 0xb5:
        return rules.deny_fs_loads;
    case 0x00:                 /* sldt str verr verw */
        return !known || (reg_of(modrm) & 2) == 0;
    case 0x01:
        return !known || group7_denied(modrm, rules);
    case 0xae:
        return !known || group15_denied(code, at, modrm, rules);
    case 0xc7:                 /* rdpid */
        return !known ||
               (!is_register(modrm) && rules.deny_xsave && reg_of(modrm) >= 3 && reg_of(modrm) < 6) ||
               (is_register(modrm) && reg_of(modrm) == 7 && has_prefix(code, at, 0xf3));
    default:
        return false;
    }
}

/* 8E: mov to FS or GS. */
static bool loads_fs_gs(const uint8_t *code, size_t at, size_t left)
{
    return left < 2 || reg_of(code[at + 1]) == 4 || reg_of(code[at + 1]) == 5;
}

/* CD: INT n. */
static bool int_denied(const uint8_t *code, size_t at, size_t left, ScanRules rules)
{
    unsigned n = left > 1 ? code[at + 1] : 0;

    return rules.deny_ints != NULL && (rules.deny_ints[n / 64] >> n % 64 & 1) != 0;
}

/* -- Is it an instruction? ----------------------------------------------------------------------- */

enum { LOOK_BACK = 192, STARTS = 15 };

/* Where the way from an offset on leads: not known yet, to the find or past it. */
enum { WAY_NEW, WAY_ARRIVES, WAY_MISSES };

/* One step of a way that has not reached `at` yet: WAY_NEW, with *i further on, or how it ends. */
static uint8_t step(const ZydisDecoder *decoder, const uint8_t *code, size_t *i, size_t at, size_t len)
{
    ZydisDecodedInstruction zi;
    ZyanStatus status = ZydisDecoderDecodeInstruction(decoder, NULL, code + *i, len - *i, &zi);

    if (!ZYAN_SUCCESS(status)) {
        if (*i == at) {
            return WAY_ARRIVES; /* cut off by the end: may be one */
        }
        if (status == ZYDIS_STATUS_NO_MORE_DATA) {
            return WAY_MISSES; /* scan_border() knows the rest */
        }
        zi.length = 1;
        zi.raw.prefix_count = 0;
    } else if (*i + zi.raw.prefix_count >= at) {
        return WAY_ARRIVES;
    }
    *i += zi.length;
    return *i <= at ? WAY_NEW : WAY_MISSES;
}

/*
 * Decoding from 15 neighbouring offsets some way before: the ways meet within a few instructions, nearly
 * always on the true one, and none is gone twice.  Is there an instruction at `at` (or prefixes, with the opcode there)
 * for most of them?
 */
static bool is_instruction(const ZydisDecoder *decoder, const uint8_t *code, size_t at, size_t len)
{
    size_t first = at > LOOK_BACK ? at - LOOK_BACK : 0;
    uint8_t ways[LOOK_BACK + 1] = {WAY_NEW}; /* from each offset behind `first` */
    unsigned yes = 0, no = 0;

    for (size_t start = first; start < first + STARTS && start <= at; start++) {
        uint8_t passed[LOOK_BACK + 1], way;
        unsigned n = 0;
        size_t i = start;

        while ((way = ways[i - first]) == WAY_NEW) {
            passed[n++] = (uint8_t)(i - first);
            way = step(decoder, code, &i, at, len);
            if (way != WAY_NEW) {
                break;
            }
        }
        while (n > 0) {
            ways[passed[--n]] = way;
        }
        *(way == WAY_ARRIVES ? &yes : &no) += 1;
    }
    return yes >= no;
}

/* -- Scanning ------------------------------------------------------------------------------------- */

/* SCAN_*, if an instruction is at code[at] (0F, 8E or CD). */
static unsigned look(const uint8_t *code, size_t at, size_t left, ScanRules rules)
{
    if (code[at] == 0x8e) {
        return loads_fs_gs(code, at, left) ? SCAN_DENIED : 0;
    }
    if (code[at] == 0xcd) {
        return int_denied(code, at, left, rules) ? SCAN_DENIED : 0;
    }
    if (code[at + 1] == 0xa2 && rules.break_cpuid && !rules.code32 && !may_have_prefix(code, at)) {
        return SCAN_CPUID;
    }
    bool tsc = (code[at + 1] == 0x31 && !rules.allow_rdtsc) ||             /* rdtsc  */
               (code[at + 1] == 0x01 && (left <= 2 || code[at + 2] == 0xf9)); /* rdtscp */

    return denied(code, at, left, rules) ? SCAN_DENIED : tsc ? SCAN_TSC : 0;
}

/* Everything with this byte, the first behind the prefixes, that begins before `end`; `len` bytes are known. */
static unsigned scan_for(uint8_t byte, const uint8_t *code, size_t from, size_t end, size_t len, ScanRules rules)
{
    ZydisDecoder decoder;
    const uint8_t *p = code + from;
    bool ready = false;
    unsigned found = 0;

    while (p < code + end && (p = memchr(p, byte, (size_t)(code + end - p))) != NULL) {
        size_t at = (size_t)(p - code);
        unsigned what = at + 1 < len ? look(code, at, len - at, rules) : 0;

        if ((what & ~found) != 0) {
            if (!ready) {
                ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
                ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_MINIMAL, true);
                ready = true;
            }
            found |= is_instruction(&decoder, code, at, len) ? what : 0;
            if ((found & SCAN_DENIED) != 0) {
                break;
            }
        }
        p++;
    }
    return found;
}

static unsigned scan(const uint8_t *code, size_t from, size_t end, size_t len, ScanRules rules)
{
    unsigned found = scan_for(0x0f, code, from, end, len, rules);

    if ((found & SCAN_DENIED) == 0 && rules.deny_fs_loads) {
        found |= scan_for(0x8e, code, from, end, len, rules);
    }
    if ((found & SCAN_DENIED) == 0 && rules.deny_ints != NULL) {
        found |= scan_for(0xcd, code, from, end, len, rules);
    }
    return found;
}

/* -- 32-bit code ----------------------------------------------------------------------------------- */

/* Selectors are shown by: push of one, mov from one, far calls. */
static bool shows_selector(const ZydisDecodedInstruction *zi)
{
    if (zi->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
        return false;
    }
    if (zi->opcode_map == ZYDIS_OPCODE_MAP_0F) {
        return zi->opcode == 0xa0 || zi->opcode == 0xa8 || zi->opcode == 0x05; /* push fs, gs; syscall */
    }
    if (zi->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT) {
        return false;
    }
    switch (zi->opcode) {
    case 0x06: case 0x0e: case 0x16: case 0x1e: case 0x8c: case 0x9a:
        return true;
    case 0xff:
        return zi->raw.modrm.reg == 3;
    default:
        return false;
    }
}

static unsigned look32(const ZydisDecodedInstruction *zi, const uint8_t *code, size_t at, size_t len, ScanRules rules)
{
    size_t opcode = at + zi->raw.prefix_count;

    if (shows_selector(zi)) {
        return SCAN_DENIED;
    }
    return (code[opcode] == 0x0f || code[opcode] == 0xcd) && opcode + 1 < len ? look(code, opcode, len - opcode, rules) : 0;
}

/* All ways from the first bytes on; they meet soon.  What begins in [from, end) counts. */
static unsigned scan32(const uint8_t *code, size_t from, size_t end, size_t len, ScanRules rules)
{
    uint8_t seen[SCAN_TAIL + SCAN_PAGE + SCAN_HEAD] = {0};
    ZydisDecoder decoder;
    unsigned found = 0;

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
    for (size_t start = 0; start < STARTS && start < end; start++) {
        for (size_t i = start; i < end && !seen[i];) {
            ZydisDecodedInstruction zi;
            ZyanStatus status = ZydisDecoderDecodeInstruction(&decoder, NULL, code + i, len - i, &zi);
            bool ok = ZYAN_SUCCESS(status);

            seen[i] = 1;
            if (status == ZYDIS_STATUS_NO_MORE_DATA) {
                break; /* scan_border() knows the rest */
            }
            found |= ok && i >= from ? look32(&zi, code, i, len, rules) : 0;
            i += ok ? zi.length : 1;
        }
    }
    return found;
}

/* -- Pages ------------------------------------------------------------------------------------------ */

unsigned scan_page(const uint8_t *page, const uint8_t *before, ScanRules rules)
{
    uint8_t all[SCAN_TAIL + SCAN_PAGE];
    size_t tail = before != NULL ? SCAN_TAIL : 0;

    if (tail != 0) {
        memcpy(all, before - tail, tail);
    }
    memcpy(all + tail, page, SCAN_PAGE);
    return (rules.code32 ? scan32 : scan)(all, tail, tail + SCAN_PAGE - 2, tail + SCAN_PAGE, rules);
}

unsigned scan_cpuids(const uint8_t *page, uint16_t *at, unsigned max)
{
    unsigned n = 0;

    for (unsigned i = 0; i + 1 < SCAN_PAGE; i++) {
        if (page[i] == 0x0f && page[i + 1] == 0xa2) {
            if (n < max) {
                at[n] = (uint16_t)i;
            }
            n++;
        }
    }
    return n;
}

unsigned scan_border(const uint8_t *before, const uint8_t *behind, ScanRules rules)
{
    uint8_t all[SCAN_TAIL + SCAN_HEAD];

    rules.break_cpuid = false; /* which of the pages would it be of? */
    memcpy(all, before - SCAN_TAIL, SCAN_TAIL);
    memcpy(all + SCAN_TAIL, behind, SCAN_HEAD);
    /* prefixes may be before */
    return (rules.code32 ? scan32 : scan)(all, SCAN_TAIL - (rules.code32 ? 15 : 2), SCAN_TAIL + 4, sizeof all, rules);
}
