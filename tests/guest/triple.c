/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A triple fault resets the machine: with -no-reboot the run ends there. */
#include "tests/guest/lib.h"

static void stepping_stone(void)
{
    EXPECT(true);
}

static void triple_fault(void)
{
    struct __attribute__((packed)) {
        u16 limit;
        word base;
    } none = {0, 0};

    print("ok about_to_triple_fault\n");
    __asm__ volatile("lidt %0; int3" : : "m"(none));
    EXPECT(!"a reset");
}

const GuestTest guest_tests[] = {
    {"stepping_stone", stepping_stone},
    {"triple_fault", triple_fault},
    {NULL, NULL},
};
