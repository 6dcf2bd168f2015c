/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/sandbox.h"

#include "monitor/opt-list.h"
#include "monitor/report.h"
#include "softmmu/base/bits.h"

#include <errno.h>
#include <grp.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    ALWAYS = 0,
    OBSOLETE = SANDBOX_OBSOLETE, PRIVILEGES = SANDBOX_PRIVILEGES, SPAWN = SANDBOX_SPAWN,
    RESOURCES = SANDBOX_RESOURCES, WORLDS = SANDBOX_WORLDS,
    NEVER = 1 << 30,
};

static const struct {
    const char *name;
    int number;
    int cls;                   /* ALWAYS, NEVER or SandboxFlags classes */
} rows[] = {
#define SANDBOX(name, cls) {#name, SCMP_SYS(name), cls},
#include "monitor/sandbox.def"
#undef SANDBOX
};

/* -- The filter --------------------------------------------------------------------------------------- */

/* Threads of our own may be made, processes only with SPAWN or WORLDS, namespaces never; clone3 hides its flags
 * behind a pointer and is left to ENOSYS (glibc then calls clone). */
static int add_clone(scmp_filter_ctx f, unsigned flags)
{
    uint64_t thread = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
    uint64_t apart = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                     CLONE_NEWCGROUP;
    bool processes = (flags & (SANDBOX_SPAWN | SANDBOX_WORLDS)) != 0;

    int r = processes ? 0 : seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 1,
                                             SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));

    return r != 0 ? r : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                         SCMP_A0(SCMP_CMP_MASKED_EQ, processes ? apart : apart | thread,
                                                 processes ? 0 : thread));
}

/* Signals go to this process only; with WORLDS to those, whose numbers are not known yet. */
static int add_signals(scmp_filter_ctx f, unsigned flags)
{
    uint64_t self = (uint64_t)getpid();
    int r = (flags & SANDBOX_WORLDS) != 0
                ? seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(kill), 0)
                : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1, SCMP_A0(SCMP_CMP_EQ, self));

    r = r != 0 ? r : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, self));
    return r != 0 ? r : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(rt_tgsigqueueinfo), 1,
                                         SCMP_A0(SCMP_CMP_EQ, self));
}

/* Terminals (but not TIOCSTI and TIOCLINUX, which type into the shell's), block devices, KVM. */
static int add_ioctl(scmp_filter_ctx f)
{
    static const uint32_t requests[] = {
        TCGETS, TCSETS, TCSETSW, TCSETSF, TCSBRK, TCSBRKP, TCXONC, TCFLSH, TIOCGWINSZ, TIOCGPTN, TIOCSPTLCK,
        TIOCGPTPEER, TIOCGPGRP, TIOCPKT, FIONREAD, FIONBIO, FIOCLEX,
        BLKGETSIZE64, BLKSSZGET, BLKPBSZGET, BLKFLSBUF, BLKDISCARD, BLKZEROOUT,
    };
    enum { REQUEST = 0xffffffffu, REQUEST_TYPE = 0xff00, KVM_TYPE = 0xae00 };
    int r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                             SCMP_A1(SCMP_CMP_MASKED_EQ, REQUEST_TYPE, KVM_TYPE));

    for (size_t i = 0; r == 0 && i < ARRAY_LEN(requests); i++) {
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                             SCMP_A1(SCMP_CMP_MASKED_EQ, REQUEST, requests[i]));
    }
    return r;
}

static int add_rows(scmp_filter_ctx f, unsigned flags, const char **bad)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool allow = rows[i].cls == ALWAYS || (rows[i].cls & (int)flags) != 0;
        int r = rows[i].number < 0             /* this machine has no such call */
                    ? 0
                    : seccomp_rule_add(f, allow ? SCMP_ACT_ALLOW : SCMP_ACT_KILL_PROCESS, rows[i].number,
                                       0);
        if (r != 0) {
            *bad = rows[i].name;
            return r;
        }
    }
    return 0;
}

bool sandbox_enter(unsigned flags, GError **error)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    const char *what = "the filter";
    int r = f != NULL ? 0 : -ENOMEM;

    /* all threads, those of disks too; no new privileges (the default) */
    r = r != 0 ? r : seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
    r = r != 0 ? r : add_clone(f, flags);
    r = r != 0 ? r : add_signals(f, flags);
    r = r != 0 ? r : add_ioctl(f);
    r = r != 0 ? r : add_rows(f, flags, &what);
    r = r != 0 ? r : seccomp_load(f);
    if (f != NULL) {
        seccomp_release(f);
    }
    return r == 0 || fail(error, "-sandbox on: this host refuses %s: %s", what, strerror(-r));
}

/* -- Another user --------------------------------------------------------------------------------------- */

static bool find_user(const char *who, uid_t *uid, gid_t *gid, const char **name)
{
    const struct passwd *pw = getpwnam(who);
    const char *colon = strchr(who, ':');
    g_autofree char *user = colon != NULL ? g_strndup(who, (size_t)(colon - who)) : NULL;
    uint64_t u, g;

    if (pw != NULL) {
        *uid = pw->pw_uid;
        *gid = pw->pw_gid;
        *name = pw->pw_name;
        return true;
    }
    if (user == NULL || !parse_number(user, &u) || !parse_number(colon + 1, &g) || u >= UINT32_MAX ||
        g >= UINT32_MAX) {
        return false;
    }
    *uid = (uid_t)u;
    *gid = (gid_t)g;
    *name = NULL;
    return true;
}

bool sandbox_check_user(const char *who, GError **error)
{
    const char *name;
    uid_t uid;
    gid_t gid;

    return find_user(who, &uid, &gid, &name) ||
           fail(error, "there is no user '%s' (USER, or UID:GID as numbers)", who);
}

bool sandbox_run_as(const char *who, GError **error)
{
    const char *name;
    uid_t uid;
    gid_t gid;

    if (!find_user(who, &uid, &gid, &name)) {
        return fail(error, "-runas %s: there is no such user any more", who);
    }
    if ((name != NULL ? initgroups(name, gid) : setgroups(1, &gid)) != 0 || setgid(gid) != 0 ||
        setuid(uid) != 0) {
        return fail(error, "-runas %s: cannot become that user: %s", who, strerror(errno));
    }
    if (uid != 0 && (setuid(0) == 0 || setgid(0) == 0)) {
        return fail(error, "-runas %s: the old user could be had back", who);
    }
    return true;
}
