/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two VMI calls that do not return: Reboot with one CPU, Shutdown with two. */
#include "tests/guest/vmi-client.h"

static void the_calls_are_offered(void)
{
    vmi_header = vmi_probe(0);
    EXPECT(vmi_header != NULL && vmi_activate(vmi_header));
    EXPECT(vmi.reboot != NULL && vmi.shutdown != NULL);
}

static void the_machine_ends(void)
{
    u32 r[4];

    cpuid(1, 0, r);
    if ((r[1] >> 16 & 0xff) < 2) {
        vmi.reboot(1);
    } else {
        vmi.shutdown();
    }
    EXPECT(!"it came back");
}

const GuestTest guest_tests[] = {
    {"the_calls_are_offered", the_calls_are_offered},
    {"the_machine_ends", the_machine_ends},
    {NULL, NULL},
};
