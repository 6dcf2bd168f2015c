/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every instruction form there is, found by walking the opcode maps (legacy, VEX, EVEX) with
 * prefixes, ModRM shapes and Zydis to say what is an instruction; registers are random.
 */
#ifndef TESTS_CPU_X86_ORACLE_FORMS_H
#define TESTS_CPU_X86_ORACLE_FORMS_H

#include "tests/cpu-x86/oracle.h"

#include <Zydis/Zydis.h>

enum { ORACLE_LEGACY = 1, ORACLE_VEX = 2, ORACLE_EVEX = 4 };

/* c->code holds the instruction, c->in is not set yet. */
typedef void (*OracleFormFn)(void *arg, OracleCase *c, const ZydisDecodedInstruction *zi,
                             const ZydisDecodedOperand *ops);

void oracle_each_form(OracleMode mode, unsigned encodings, OracleRandom *r, OracleFormFn f, void *arg);

/* False for what cannot run on the host as a case: system calls, instructions that see the host's
 * system state or clock, segment loads, far transfers. */
bool oracle_form_is_comparable(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops);

/* The explicit memory operand, or NULL. */
const ZydisDecodedOperand *oracle_form_memory(const ZydisDecodedInstruction *zi,
                                              const ZydisDecodedOperand *ops);

/* After c->in was set: make the memory operand's address `off` from the start of the data pages, by
 * its displacement or base register. VSIB indices get small values. */
void oracle_place_memory(OracleRandom *r, OracleCase *c, const ZydisDecodedInstruction *zi,
                         const ZydisDecodedOperand *ops, int64_t off);

#endif /* TESTS_CPU_X86_ORACLE_FORMS_H */
