/* SPDX-License-Identifier: GPL-2.0-or-later */
/* With ORACLE_WINDOW the interpreter takes the host's place: in a guest of its own, set up alike. */
#include "tests/cpu-x86/oracle.h"

#include "cpu-x86/engine.h"

#include <glib.h>
#include <string.h>
#include <sys/mman.h>

/* The tests know one host. */
static OracleGuest *reference;
static void *bait;

/* Before there is much of a heap, which begins anywhere in the first GiB (Linux 6.18) and goes on elsewhere when it meets this. */
__attribute__((constructor)) static void lay_bait(void)
{
    bait = mmap((void *)(uintptr_t)ORACLE_BAIT, ORACLE_BAIT_LEN, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

const char *oracle_native_init(OracleMode mode, bool instead)
{
    g_assert(bait == (void *)(uintptr_t)ORACLE_BAIT);
    memset(bait, ORACLE_BAIT_BYTE, ORACLE_BAIT_LEN);
    reference = oracle_guest_new(&interp_engine, NULL);
    return NULL;
}

void oracle_native_run(const OracleCase *c, OracleResult *r)
{
    oracle_guest_run(reference, c, 0, r);
}
