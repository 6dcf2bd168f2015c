/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/terminal.h"

#include "softmmu/base/bits.h"

#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved, raw;          /* see the header: the process's, written once */
static volatile sig_atomic_t is_raw;

/* The last three end the machine in good order later, when its threads block them (monitor/machine.c). */
static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGQUIT, SIGINT, SIGTERM, SIGHUP};

void terminal_restore(void)
{
    if (is_raw) {
        is_raw = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    }
}

/* SA_RESETHAND: after this the signal does what it would have done. */
static void on_fatal(int sig)
{
    terminal_restore();
    raise(sig);
}

void terminal_make_raw(bool signals)
{
    struct sigaction now, act = {.sa_handler = on_fatal, .sa_flags = SA_RESETHAND | SA_ONSTACK};

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved) != 0) {
        return;
    }
    raw = saved;
    raw.c_iflag &= (tcflag_t)~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_lflag &= (tcflag_t)~(ECHO | ECHONL | ICANON | IEXTEN);
    raw.c_oflag |= OPOST;                  /* our own messages end in \n */
    raw.c_cflag = (raw.c_cflag & (tcflag_t)~(CSIZE | PARENB)) | CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    raw.c_cc[VSUSP] = _POSIX_VDISABLE;     /* Ctrl-Z is the guest's */
    if (!signals) {
        raw.c_lflag &= (tcflag_t)~ISIG;
    }
    atexit(terminal_restore);
    for (unsigned i = 0; i < ARRAY_LEN(fatal); i++) {
        if (sigaction(fatal[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL) {
            sigaction(fatal[i], &act, NULL);
        }
    }
    is_raw = 1;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

void terminal_resume(void)
{
    if (is_raw) {
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
}
