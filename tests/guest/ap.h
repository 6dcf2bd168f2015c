/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The second CPU of a bare-metal guest: started by INIT and SIPI, it runs jobs it is given, one at a
 * time, with interrupts off, on a stack of its own and with the boot page tables.  Between jobs it spins.
 */
#ifndef TESTS_GUEST_AP_H
#define TESTS_GUEST_AP_H

#include "tests/guest/lib.h"

enum { OTHERS = 3 << 18, INIT = 0x4500, SIPI = 0x4600 };
enum { TRAMPOLINE = 0x7000 };

/* Write the interrupt command register and wait until it is sent. */
void send(u32 low);

/* Start it (again).  False: there is none.  The own local APIC must be on. */
bool start_ap(void);
extern volatile word ap_started; /* how often it has come up since start_ap() */

void ap_run(void (*job)(void));
bool ap_wait(void);              /* false: it did not finish in several seconds */
extern volatile word ap_done;    /* 1 when it has */

extern bool have_ap;             /* a test's note of what start_ap() said */
#define NEED_AP()                                                                                  \
    do {                                                                                           \
        if (!have_ap) {                                                                            \
            test_skip("one CPU");                                                                  \
            return;                                                                                \
        }                                                                                          \
    } while (0)

void pause_a_while(unsigned n);

#endif /* TESTS_GUEST_AP_H */
