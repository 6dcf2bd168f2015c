#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-kvm-missing.py METAPHRASE: KVM that is absent, forbidden or something else.  In a mount namespace of
its own; skipped where there can be none."""
import os
import re
import subprocess
import sys

metaphrase = os.path.abspath(sys.argv[1])
UNSHARE = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
AS_NOBODY = "exec setpriv --reuid=65534 --clear-groups"
EMPTY_DEV = ("mknod=$(mktemp -d); mount -t tmpfs none $mknod && touch $mknod/null && mount --bind /dev/null $mknod/null"
             " && mount --move $mknod /dev && ")
failures = 0


def in_namespace(prepare, runner, *args):
    script = prepare + runner + ' "$@"'
    return subprocess.run([*UNSHARE, "sh", "-c", script, "sh", metaphrase, "-display", "none", *args],
                          input="info accel\nquit\n", capture_output=True, text=True, timeout=60, check=False)


def check(ok, what):
    global failures
    if not ok:
        failures += 1
        print("FAILED:", what)


def refused(prepare, says, runner="exec"):
    """-accel kvm ends with one line and status 1; -accel auto runs on another engine."""
    done = in_namespace(prepare, runner, "-M", "none", "-accel", "kvm", "-monitor", "stdio")
    lines = done.stderr.splitlines()
    check(done.returncode == 1, f"status {done.returncode} instead of 1 ({says})")
    check(len(lines) == 1 and says in lines[0], f"{lines} instead of one line with {says!r}")
    for engine in ("auto", "kvm:tcg"):
        done = in_namespace(prepare, runner, "-M", "none", "-accel", engine, "-monitor", "stdio")
        check(done.returncode == 0 and done.stderr == "", f"{engine}: status {done.returncode}, {done.stderr}")
        check(re.search(r"^\* (translate|interpret)", done.stdout, re.M), f"{engine}: {done.stdout}")
        check(says in done.stdout, f"info accel does not say {says!r}: {done.stdout}")


if subprocess.run([*UNSHARE, "sh", "-c", EMPTY_DEV + "true"], capture_output=True, check=False).returncode != 0:
    print("skipped: no mount namespace can be made here")
    sys.exit(77)
refused(EMPTY_DEV, "/dev/kvm: No such file or directory")
refused(EMPTY_DEV + "touch /dev/kvm && mount --bind /dev/null /dev/kvm && ", "(KVM_GET_API_VERSION)")
if os.getuid() == 0 and subprocess.run(["sh", "-c", AS_NOBODY + " true"], capture_output=True,
                                       check=False).returncode == 0:
    closed = EMPTY_DEV + "touch /dev/kvm && chmod 600 /dev/kvm && "
    if in_namespace(closed, AS_NOBODY, "-version").returncode == 0:      # nobody may read the program
        refused(closed, "into the group of /dev/kvm", AS_NOBODY)
sys.exit(1 if failures else 0)
