/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/daemonize.h"

#include "monitor/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool daemonize_begin(int *ready_fd, GError **error)
{
    uint8_t byte;
    int fds[2];
    ssize_t n;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) != 0) {
        return fail(error, "-daemonize: cannot make a pipe: %s", strerror(errno));
    }
    pid = fork();
    if (pid < 0) {
        return fail(error, "-daemonize: cannot fork: %s", strerror(errno));
    }
    if (pid > 0) {
        close(fds[1]);
        do {
            n = read(fds[0], &byte, 1);
        } while (n < 0 && errno == EINTR);
        _exit(n == 1 ? 0 : 1);
    }
    close(fds[0]);
    setsid();
    umask(027);
    *ready_fd = fds[1];
    return true;
}

bool daemonize_ready(int ready_fd, GError **error)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    uint8_t byte = 0;
    ssize_t n;

    if (null < 0 || chdir("/") != 0) {
        return fail(error, "-daemonize: cannot leave the terminal: %s", strerror(errno));
    }
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        dup2(null, fd);
    }
    if (null > STDERR_FILENO) {
        close(null);
    }
    do {
        n = write(ready_fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    close(ready_fd);           /* n < 0: the foreground process was killed; go on without it */
    return true;
}
