/* SPDX-License-Identifier: GPL-2.0-or-later */
/* With ORACLE_WINDOW the interpreter takes the host's place: in a guest of its own, set up alike. */
#include "tests/cpu-x86/oracle.h"

#include "cpu-x86/engine.h"

/* The tests know one host. */
static OracleGuest *reference;

const char *oracle_native_init(void)
{
    reference = oracle_guest_new(&interp_engine, NULL);
    return NULL;
}

void oracle_native_run(const OracleCase *c, OracleResult *r)
{
    oracle_guest_run(reference, c, 0, r);
}
