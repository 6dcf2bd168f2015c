/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a unit test file gives to tests/main.c. */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <check.h>

Suite *test_suite(void);

#endif /* TESTS_SUITE_H */
