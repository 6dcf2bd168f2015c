/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel does: system calls, processes, faults, signals, files. */
#include "bench/workloads/workloads.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* -- System calls ---------------------------------------------------------------------------------- */

static Work sys_getppid(uint64_t turns)
{
    long parent = syscall(SYS_getppid), sum = 0;

    for (uint64_t i = 0; i < turns; i++) {
        sum += syscall(SYS_getppid);
    }
    return (Work){sum == parent * (long)turns ? turns : 0};
}

static Work sys_clock(uint64_t turns)
{
    uint64_t last = 0;
    bool good = true;

    for (uint64_t i = 0; i < turns; i++) {
        uint64_t now = now_ns();
        good &= now >= last;
        last = now;
    }
    return (Work){good ? turns : 0};
}

static Work sys_yield(uint64_t turns)
{
    for (uint64_t i = 0; i < turns; i++) {
        sched_yield();
    }
    return (Work){turns};
}

static Work sys_stat(uint64_t turns)
{
    struct stat st;
    int bad = 0;

    for (uint64_t i = 0; i < turns; i++) {
        bad |= stat("/proc/self", &st);
    }
    return (Work){bad == 0 ? turns : 0};
}

/* -- Processes ------------------------------------------------------------------------------------- */

static bool reap(pid_t pid, int want)
{
    int status;

    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return false;
        }
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == want;
}

/* The other end: send back whatever comes. */
static void echo(int in, int out)
{
    char c;

    while (read(in, &c, 1) == 1 && write(out, &c, 1) == 1) {
    }
    _exit(0);
}

static Work pipe_pingpong(uint64_t turns)
{
    int there[2], back[2];
    uint64_t done = 0, begin;
    char c = 'x';

    if (pipe(there) != 0 || pipe(back) != 0) {
        return (Work){0};
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(there[1]);
        close(back[0]);
        echo(there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    begin = now_ns();
    while (done < turns && write(there[1], &c, 1) == 1 && read(back[0], &c, 1) == 1) {
        done++;
    }
    begin = now_ns() - begin;
    close(there[1]);
    close(back[0]);
    return (Work){pid > 0 && reap(pid, 0) && done == turns ? turns : 0, begin};
}

static Work fork_wait(uint64_t turns)
{
    bool good = true;

    for (uint64_t i = 0; i < turns && good; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            _exit(7);
        }
        good = pid > 0 && reap(pid, 7);
    }
    return (Work){good ? turns : 0};
}

static Work fork_exec(uint64_t turns)
{
    bool good = true;

    for (uint64_t i = 0; i < turns && good; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            execl(places.self, places.self, "nothing", (char *)NULL);
            _exit(127);
        }
        good = pid > 0 && reap(pid, 0);
    }
    return (Work){good ? turns : 0};
}

/* The child shares our memory and stack: it may do nothing but end. */
static Work vfork_exit(uint64_t turns)
{
    bool good = true;

    for (uint64_t i = 0; i < turns && good; i++) {
        pid_t pid = vfork();
        if (pid == 0) {
            _exit(7);
        }
        good = pid > 0 && reap(pid, 7);
    }
    return (Work){good ? turns : 0};
}

/* -- Memory and signals ---------------------------------------------------------------------------- */

enum { PAGE = 4096, PAGES = 256 };

static Work page_fault(uint64_t turns)
{
    for (uint64_t t = 0; t < turns; t++) {
        volatile char *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            return (Work){0};
        }
        madvise((void *)p, PAGES * PAGE, MADV_NOHUGEPAGE);
        for (int i = 0; i < PAGES; i++) {
            p[i * PAGE] = 1;
        }
        munmap((void *)p, PAGES * PAGE);
    }
    return (Work){turns * PAGES};
}

static volatile uint64_t signals;

static void count_signal(int sig)
{
    signals++;
}

static Work send_signal(uint64_t turns)
{
    struct sigaction action = {.sa_handler = count_signal}, old;

    signals = 0;
    sigaction(SIGUSR1, &action, &old);
    for (uint64_t i = 0; i < turns; i++) {
        kill(getpid(), SIGUSR1);
    }
    sigaction(SIGUSR1, &old, NULL);
    return (Work){signals == turns ? turns : 0};
}

/* -- Files ----------------------------------------------------------------------------------------- */

static Work file_tmpfs(uint64_t turns)
{
    static char data[PAGE];
    char path[512];
    bool good = true;

    snprintf(path, sizeof path, "%s/workloads.%d", places.tmp, (int)getpid());
    for (uint64_t i = 0; i < turns && good; i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
        good = fd >= 0 && write(fd, data, sizeof data) == sizeof data && close(fd) == 0 && unlink(path) == 0;
    }
    return (Work){good ? turns : 0};
}

const Workload kernel_workloads[] = {
    {"sys_getppid", sys_getppid}, {"sys_clock", sys_clock}, {"sys_yield", sys_yield}, {"sys_stat", sys_stat},
    {"pipe_pingpong", pipe_pingpong}, {"fork_wait", fork_wait}, {"fork_exec", fork_exec},
    {"vfork_exit", vfork_exit}, {"page_fault", page_fault}, {"signal", send_signal},
    {"file_tmpfs", file_tmpfs},
    {NULL},
};
