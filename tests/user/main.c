/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/user/user.h"

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
#define CASE(name) {#name, case_##name},
#include "tests/user/cases.def"
#undef CASE
};

void on_signal(int sig, void (*handler)(int, siginfo_t *, void *))
{
    static char stack[256 << 10] __attribute__((aligned(64)));
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER, .sa_sigaction = handler};

    sigaltstack(&ss, NULL);
    sigaction(sig, &sa, NULL);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int wanted = argc == 1;

        for (int k = 1; k < argc; k++) {
            wanted |= strcmp(argv[k], cases[i].name) == 0;
        }
        if (wanted) {
            static const int all[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGALRM};

            for (unsigned k = 0; k < sizeof all / sizeof all[0]; k++) {
                signal(all[k], SIG_DFL);
            }
            printf("-- %s\n", cases[i].name);
            cases[i].run();
        }
    }
    printf("-- end\n");
    return 0;
}
