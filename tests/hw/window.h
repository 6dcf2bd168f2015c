/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For device tests: accesses through a device's window, and a main(). */
#ifndef TESTS_HW_WINDOW_H
#define TESTS_HW_WINDOW_H

#include "hw/device.h"

#include <check.h>
#include <stdlib.h>

static inline uint64_t window_in(Device *d, unsigned window, uint64_t off, unsigned size)
{
    return bus_read(&d->cls->windows[window].ops, d, off, size);
}

static inline void window_out(Device *d, unsigned window, uint64_t off, unsigned size, uint64_t val)
{
    bus_write(&d->cls->windows[window].ops, d, off, size, val);
}

static inline int run_suite(Suite *s)
{
    SRunner *r = srunner_create(s);

    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif /* TESTS_HW_WINDOW_H */
