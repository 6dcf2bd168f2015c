/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/scan.h"

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
    case 0xee:                 /* rdpkru, wrpkru */
    case 0xef:
        return rules.deny_pkru;
    default:
        return reg_of(modrm) == 4; /* smsw */
    }
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
    case 0x37:                 /* getsec */
        return true;
    case 0x00:                 /* sldt str verr verw */
        return !known || (reg_of(modrm) & 2) == 0;
    case 0x01:
        return !known || group7_denied(modrm, rules);
    case 0xae:                 /* rdfsbase and so on; umonitor, umwait, tpause */
        return !known || (is_register(modrm) &&
                          ((rules.deny_fsgsbase && reg_of(modrm) < 4 && has_prefix(code, at, 0xf3)) ||
                           (reg_of(modrm) == 6 && (has_prefix(code, at, 0xf3) ||
                                                   has_prefix(code, at, 0xf2) ||
                                                   has_prefix(code, at, 0x66)))));
    case 0xc7:                 /* rdpid */
        return !known || (is_register(modrm) && reg_of(modrm) == 7 && has_prefix(code, at, 0xf3));
    default:
        return false;
    }
}

bool scan_code(const uint8_t *code, size_t len, ScanRules rules)
{
    const uint8_t *p = code, *end = code + len;

    while (end - p >= 3 && (p = memchr(p, 0x0f, (size_t)(end - p) - 2)) != NULL) {
        size_t at = (size_t)(p - code);

        if (denied(code, at, len - at, rules)) {
            return false;
        }
        p++;
    }
    return true;
}

bool scan_border(const uint8_t tail[SCAN_TAIL], const uint8_t head[SCAN_HEAD], ScanRules rules)
{
    uint8_t all[SCAN_TAIL + SCAN_HEAD];

    memcpy(all, tail, SCAN_TAIL);
    memcpy(all + SCAN_TAIL, head, SCAN_HEAD);
    for (size_t at = SCAN_TAIL - 2; at <= SCAN_TAIL + 3; at++) { /* prefixes may be before the border */
        if (all[at] == 0x0f && denied(all, at, sizeof all - at, rules)) {
            return false;
        }
    }
    return true;
}
