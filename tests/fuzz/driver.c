/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a fuzzer without libFuzzer: random inputs and mutated seeds, number N always the same bytes.
 *
 *   fuzz-NAME              inputs from 0 on, for FUZZ_SECONDS (2)
 *   fuzz-NAME N            input N alone
 *   fuzz-NAME N FILE       write input N to FILE, for libFuzzer or a look
 *   fuzz-NAME FILE         an input from a file
 *
 * The inputs run in a child, which reports through shared memory where it is, so that any end of it
 * (signal, sanitizer, a hang of HANG_SECONDS in one input) is reported with the number that repeats it.
 */
#include "tests/fuzz/fuzz.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SEED = 0x5eed, HANG_SECONDS = 60 };

/* -- Inputs ------------------------------------------------------------------------------------- */

static void mutate(GRand *rand, uint8_t *buf, size_t *len)
{
    static const uint8_t corners[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x40, 0x10};
    unsigned n = 1u << g_rand_int_range(rand, 0, 6);

    for (unsigned i = 0; i < n && *len > 0; i++) {
        size_t at = (size_t)g_rand_int_range(rand, 0, (gint32)*len);
        size_t run = (size_t)g_rand_int_range(rand, 1, 9);
        run = MIN(run, *len - at);
        switch (g_rand_int_range(rand, 0, 8)) {
        case 0: buf[at] ^= (uint8_t)(1u << g_rand_int_range(rand, 0, 8)); break;
        case 1: buf[at] = (uint8_t)g_rand_int(rand); break;
        case 2: memset(buf + at, corners[g_rand_int_range(rand, 0, 8)], run); break;
        case 3: buf[at] = (uint8_t)(buf[at] + g_rand_int_range(rand, -4, 5)); break;
        case 4: memmove(buf + at, buf + g_rand_int_range(rand, 0, (gint32)(*len - run + 1)), run); break;
        case 5: /* cut the end off */
            if (g_rand_int_range(rand, 0, 8) == 0) {
                *len = at;
            }
            break;
        case 6: /* take some out */
            memmove(buf + at, buf + at + run, *len - at - run);
            *len -= run;
            break;
        default: /* put some in */
            run = MIN(run, FUZZ_INPUT_MAX - *len);
            memmove(buf + at + run, buf + at, *len - at);
            for (size_t k = 0; k < run; k++) {
                buf[at + k] = (uint8_t)g_rand_int(rand);
            }
            *len += run;
            break;
        }
    }
}

static size_t make_input(uint64_t number, unsigned n_seeds, uint8_t *buf)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)(SEED + number));
    size_t len;

    if (number < n_seeds) {
        return fuzz_seed((unsigned)number, buf);   /* as they are, first */
    }
    if (n_seeds > 0 && g_rand_int_range(rand, 0, 4) != 0) {
        len = fuzz_seed((unsigned)g_rand_int_range(rand, 0, (gint32)n_seeds), buf);
        mutate(rand, buf, &len);
        return len;
    }
    len = (size_t)g_rand_int_range(rand, 1, 1 << g_rand_int_range(rand, 4, 13));
    len = MIN(len, FUZZ_INPUT_MAX);
    for (size_t i = 0; i < len; i++) {
        buf[i] = (uint8_t)g_rand_int(rand);
    }
    return len;
}

/* -- Running ------------------------------------------------------------------------------------ */

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* An exact copy, so that a sanitizer sees reads beyond its end. */
static void run_one(const uint8_t *buf, size_t len)
{
    uint8_t *copy = malloc(len != 0 ? len : 1);

    memcpy(copy, buf, len);
    alarm(HANG_SECONDS);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static void run_inputs(volatile uint64_t *at, unsigned n_seeds, double seconds)
{
    static uint8_t buf[FUZZ_INPUT_MAX];
    double end = now_s() + seconds;

    for (; now_s() < end; ++*at) {
        run_one(buf, make_input(*at, n_seeds, buf));
    }
    alarm(0);
}

static int run_child(const char *name, unsigned n_seeds)
{
    volatile uint64_t *at = mmap(NULL, sizeof *at, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const char *seconds = getenv("FUZZ_SECONDS");
    int status;

    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        run_inputs(at, n_seeds, seconds != NULL ? atof(seconds) : 2);
        exit(EXIT_SUCCESS);    /* not _exit(): leaks are reported then */
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror(name);
        return EXIT_FAILURE;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        printf("%s: %llu inputs\n", name, (unsigned long long)*at);
        return EXIT_SUCCESS;
    }
    fprintf(stderr, "%s: input %llu ended by %s %d; '%s %llu' repeats it\n", name,
            (unsigned long long)*at, WIFSIGNALED(status) ? "signal" : "status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), name,
            (unsigned long long)*at);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static uint8_t buf[FUZZ_INPUT_MAX];
    g_autofree char *file = NULL;
    unsigned n_seeds = 0;
    char *end;
    gsize len;

    while (fuzz_seed(n_seeds, buf) != 0) {
        n_seeds++;
    }
    if (argc < 2) {
        return run_child(argv[0], n_seeds);
    }
    uint64_t number = strtoull(argv[1], &end, 0);
    if (*end == 0) {
        len = make_input(number, n_seeds, buf);
        if (argc > 2) {
            return g_file_set_contents(argv[2], (char *)buf, (gssize)len, NULL) ? 0 : EXIT_FAILURE;
        }
        run_one(buf, len);
    } else if (g_file_get_contents(argv[1], &file, &len, NULL)) {
        run_one((uint8_t *)file, len);
    } else {
        fprintf(stderr, "%s: cannot read '%s'\n", argv[0], argv[1]);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
