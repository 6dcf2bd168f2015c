#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""direct.py CASE: direct execution of user code (doc/DIRECT.md) under Debian's kernel.

tests/user/ is a program that prints what user code can see; it must say the same natively, translated and
directly."""
import difflib
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import guest as g
from guest import check, linux, start

USER = os.environ.get("METAPHRASE_USER", os.path.join(g.TOP, "build", "tests", "user", "user"))


def initramfs():
    """The common one with the program in /bin/user and a script that runs it."""
    if not os.path.exists(USER):
        raise g.Skip("the user program could not be linked: no static C library")
    g.need_tool("busybox")
    directory = g.scratch_dir()
    overlay = os.path.join(directory, "overlay")
    os.makedirs(os.path.join(overlay, "bin"))
    os.makedirs(os.path.join(overlay, "init.d"))
    shutil.copy(USER, os.path.join(overlay, "bin", "user"))
    with open(os.path.join(overlay, "init.d", "user"), "w", encoding="ascii") as script:
        script.write("exec /bin/user\n")
    image = os.path.join(directory, "initramfs.gz")
    g.tool("sh", os.path.join(g.TOP, "scripts", "make-initramfs.sh"), "-m",
           g.cached("cloud-amd64", "root"), "-a", overlay, image,
           env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    return image


def boot(direct, *options, append=""):
    return start("-accel", f"translate,direct={direct}", *linux(*options, append=append, initrd=False),
                 "-initrd", initramfs(), "-m", "512", "-no-reboot")


def lines(text, comments):
    """From the first case on; without the lines that may differ between host and guest."""
    text = text[text.index("-- exceptions"):]
    return [s for s in text.splitlines() if s != "" and (comments or not s.startswith("#"))]


def in_guest(direct, *options):
    machine = boot(direct, *options, append="metaphrase.run=user")
    text = machine.script("user", 2 * g.BOOT)
    machine.wait(0)
    return text


def same(got, wanted, what):
    if got != wanted:
        diff = "\n".join(difflib.unified_diff(wanted, got, "wanted", "got", n=1, lineterm=""))
        raise g.Failed(f"{what}:\n{diff[:4000]}")


def native():
    done = subprocess.run([USER], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          timeout=120 * g.SLOWNESS, check=True)
    return [s for s in lines(done.stdout, False) if not s.startswith("lar ")]  # its AVL bits are anybody's


def user():
    """The same natively, translated and directly."""
    translated = lines(in_guest("off"), True)
    direct = lines(in_guest("on"), True)
    same(direct, translated, "directly and translated")
    same([s for s in direct if not s.startswith(("#", "lar "))], native(), "directly and natively")


def smp():
    """... and on two CPUs, behind the system call filter."""
    direct = lines(in_guest("on", "-smp", "2", "-sandbox", "on"), False)
    same([s for s in direct if not s.startswith("lar ")], native(), "directly on two CPUs and natively")


def worlds(machine):
    """Processes of worlds, (guest thread, mapper)."""
    return [(int(a), int(b)) for a, b in
            re.findall(r"processes (\d+) and (\d+)", machine.monitor("info direct"))]


def gone(pids):
    deadline = time.monotonic() + g.STEP * g.SLOWNESS
    while any(os.path.exists(f"/proc/{pid}") for pid in pids):
        check(time.monotonic() < deadline, f"of {pids} some still live")
        time.sleep(0.05)


def kill():
    """A world that is killed stops the machine with a word; a machine that is killed leaves nothing."""
    machine = boot("on")
    machine.shell()
    machine.send("while :; do :; done\n")
    time.sleep(1)
    # Any of them may be the shell's: it notices at its next turn.
    pids = worlds(machine)
    check(pids, "worlds are there")
    for guest, _ in pids:
        os.kill(guest, signal.SIGKILL)
    machine.wait(1)
    check("engine" in machine.errors(), "it says why")
    gone([pid for pair in pids for pid in pair])

    machine = boot("on")
    machine.shell()
    pids = worlds(machine)
    check(pids, "worlds are there")
    machine.process.kill()
    machine.process.wait()
    gone([pid for pair in pids for pid in pair])


if __name__ == "__main__":
    sys.exit(g.main({"user": user, "smp": smp, "kill": kill}))
