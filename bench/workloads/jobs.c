/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole programs and disks: a shell script, a compilation, sequential and random disk access. */
#include "bench/workloads/workloads.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Run a program with its output thrown away; true when it ended with 0. */
static bool run_program(const char *const *argv)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return false;
        }
    }
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* -- Shell ----------------------------------------------------------------------------------------- */

static const char script[] =
    "i=0; sum=0; text=\n"
    "add() { sum=$((sum + $1 * 3 % 7)); }\n"
    "while [ $i -lt 1000 ]; do\n"
    "  add $i\n"
    "  case $i in *00) text=\"$text $(echo $i)\";; *5) text=${text#x};; esac\n"
    "  i=$((i + 1))\n"
    "done\n"
    "set -- $text\n"
    "[ $sum = 2999 ] && [ $# = 9 ]\n";

/* The same kind of work for long enough that the start of the shell is little of it. */
static const char long_script[] =
    "i=0; sum=0; text=; words='alpha beta gamma delta'\n"
    "add() { sum=$((sum + $1 * 3 % 7)); }\n"
    "max() { if [ $1 -gt $2 ]; then big=$1; else big=$2; fi; }\n"
    "while [ $i -lt 100000 ]; do\n"
    "  add $i\n"
    "  max $sum $i\n"
    "  case $i in\n"
    "  *000) text=\"$text $(echo $i)\"; set -- $text; [ $# -lt 20 ] || text=${text#* * };;\n"
    "  *[13579]) name=${words%% *}; words=\"${words#* } $name\";;\n"
    "  *5*) [ ${#words} = 22 ] && [ \"$name\" != '' ] && name=$name.$i; name=${name##*.};;\n"
    "  esac\n"
    "  for w in $words; do [ $w = beta ] && break; done\n"
    "  i=$((i + 1))\n"
    "done\n"
    "[ $sum = 300001 ] && [ $# = 20 ] && [ $big = 300001 ]\n";

static const char *need_busybox(void)
{
    return access(places.busybox, X_OK) == 0 ? NULL : "no busybox";
}

static Work run_script(const char *text, uint64_t turns)
{
    const char *const argv[] = {places.busybox, "sh", "-c", text, NULL};
    bool good = true;

    for (uint64_t t = 0; t < turns && good; t++) {
        good = run_program(argv);
    }
    return (Work){good ? turns : 0};
}

static Work shell_loop(uint64_t turns)
{
    return run_script(script, turns);
}

static Work shell_long(uint64_t turns)
{
    return run_script(long_script, turns);
}

/* -- Compilation: the compiler proper and the assembler, on a preprocessed source -------------------- */

static char loader[512], library[512], cc1[512], assembler[512], source[512], made[512], object[512];

/* A compiler, and in `source` the file of that name. */
static const char *need_compiler_and(const char *name)
{
    if (places.tools == NULL) {
        return "no directory of tools";
    }
    snprintf(loader, sizeof loader, "%s/ld.so", places.tools);
    snprintf(library, sizeof library, "%s/lib", places.tools);
    snprintf(cc1, sizeof cc1, "%s/cc1", places.tools);
    snprintf(assembler, sizeof assembler, "%s/as", places.tools);
    snprintf(source, sizeof source, "%s/%s", places.tools, name);
    snprintf(made, sizeof made, "%s/workloads-job.%d.s", places.tmp, (int)getpid());
    snprintf(object, sizeof object, "%s/workloads-job.%d.o", places.tmp, (int)getpid());
    return access(loader, X_OK) != 0 || access(cc1, X_OK) != 0 ? "no compiler" : access(source, R_OK) != 0 ? "no source file" : NULL;
}

static const char *need_compiler(void)
{
    return need_compiler_and("job.i");
}

static const char *need_compiler_large(void)
{
    return need_compiler_and("large.i");
}

static Work compile(uint64_t turns)
{
    const char *const cc1_argv[] = {loader, "--library-path", library, cc1, "-quiet", "-fpreprocessed", "-O2", source, "-o", made, NULL};
    const char *const as_argv[] = {loader, "--library-path", library, assembler, made, "-o", object, NULL};
    bool good = true;
    struct stat st;

    for (uint64_t t = 0; t < turns && good; t++) {
        good = run_program(cc1_argv) && run_program(as_argv) && stat(object, &st) == 0 && st.st_size > 1000;
        unlink(made);
        unlink(object);
    }
    return (Work){good ? turns : 0};
}

/* -- Disk ------------------------------------------------------------------------------------------ */

enum { DISK_LEN = 64 << 20, CHUNK = 1 << 20, SECTOR = 4096 };

static int disk = -1;
static uint8_t *chunk;

static const char *need_disk(void)
{
    if (places.disk == NULL) {
        return "no disk";
    }
    if (disk < 0) {
        disk = open(places.disk, O_RDWR | O_DIRECT | O_CLOEXEC);
        if (disk < 0) {
            return errno == EINVAL ? "the file system has no direct access" : "the disk cannot be opened";
        }
        if (lseek(disk, 0, SEEK_END) < DISK_LEN) {
            return "the disk is smaller than 64 MiB";
        }
        chunk = aligned_alloc(SECTOR, CHUNK);
    }
    return chunk != NULL ? NULL : "no memory";
}

/* Sector numbers, written into each sector. */
static void mark(uint64_t at)
{
    for (size_t i = 0; i < CHUNK; i += SECTOR) {
        memset(chunk + i, 0x5a, SECTOR);
        *(uint64_t *)(chunk + i) = at + i;
    }
}

static Work disk_write(uint64_t turns)
{
    bool good = true;

    for (uint64_t t = 0; t < turns && good; t++) {
        off_t at = (off_t)(t * CHUNK % DISK_LEN);
        mark((uint64_t)at);
        good = pwrite(disk, chunk, CHUNK, at) == CHUNK;
    }
    return (Work){good && fdatasync(disk) == 0 ? turns : 0};
}

static Work disk_read(uint64_t turns)
{
    bool good = true;

    for (uint64_t t = 0; t < turns && good; t++) {
        good = pread(disk, chunk, CHUNK, (off_t)(t * CHUNK % DISK_LEN)) == CHUNK;
    }
    return (Work){good ? turns : 0};
}

static Work disk_iops(uint64_t turns)
{
    uint64_t s = 7;
    bool good = true;

    for (uint64_t t = 0; t < turns && good; t++) {
        off_t at = (off_t)(next_random(&s) % (DISK_LEN / SECTOR)) * SECTOR;
        good = pread(disk, chunk, SECTOR, at) == SECTOR;
    }
    return (Work){good ? turns : 0};
}

static Work disk_sync(uint64_t turns)
{
    bool good = true;

    for (uint64_t t = 0; t < turns && good; t++) {
        mark(0);
        good = pwrite(disk, chunk, SECTOR, 0) == SECTOR && fdatasync(disk) == 0;
    }
    return (Work){good ? turns : 0};
}

const Workload job_workloads[] = {
    {"shell_loop", shell_loop, need_busybox, "ms", 1e6},
    {"shell_long", shell_long, need_busybox, "ms", 1e6},
    {"compile", compile, need_compiler, "ms", 1e6},
    {"compile_large", compile, need_compiler_large, "ms", 1e6},
    {"disk_write", disk_write, need_disk, "us", 1e3},
    {"disk_read", disk_read, need_disk, "us", 1e3},
    {"disk_iops", disk_iops, need_disk, "us", 1e3},
    {"disk_sync", disk_sync, need_disk, "us", 1e3},
    {NULL},
};
