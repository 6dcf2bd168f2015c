/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A whole machine for a fuzzer: made of a command line, its CPUs never run. */
#ifndef TESTS_FUZZ_WHOLE_MACHINE_H
#define TESTS_FUZZ_WHOLE_MACHINE_H

#include "monitor/config.h"
#include "monitor/machine.h"
#include "tests/fuzz/fuzz.h"

/* Make the machine of `argv` (NULL ends it; it must be right), call use() with the machine lock held, free the machine. */
static inline void with_machine(const char *const *argv, void (*use)(Machine *m, FuzzInput *in), FuzzInput *in)
{
    g_autoptr(GError) error = NULL;
    char **args = (char **)argv;
    MachineConfig config;
    Machine *m;

    ConfigResult r = config_parse(&config, (int)g_strv_length(args), args, &error);
    g_assert_no_error(error);
    g_assert(r == CONFIG_OK);
    m = machine_new(&config, &error);
    g_assert_no_error(error);
    lock_take(&m->lock);
    use(m, in);
    lock_release(&m->lock);
    machine_free(m);
    config_clear(&config);
}

/* A seed whose first byte is `i`, the others a mixture of `a` and `b` that differs with `i`; its length. */
static inline size_t mixed_seed(unsigned i, uint8_t *buf, unsigned a, unsigned b)
{
    buf[0] = (uint8_t)i;
    for (unsigned k = 1; k < FUZZ_INPUT_MAX; k++) {
        buf[k] = (uint8_t)(k * a + k / 8 * b + i * 19);
    }
    return FUZZ_INPUT_MAX;
}

#endif /* TESTS_FUZZ_WHOLE_MACHINE_H */
