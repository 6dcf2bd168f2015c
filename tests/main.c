/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The main() of every unit test program: each defines test_suite(). */
#include "tests/suite.h"

#include <stdlib.h>

int main(void)
{
    SRunner *r = srunner_create(test_suite());
    int bad;

    srunner_run_all(r, CK_NORMAL);
    bad = srunner_ntests_failed(r);
    srunner_free(r);
    return bad != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
