#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel and the paravirtual interfaces: paravirt.py CASE."""
import os
import re
import sys
import time

import guest as g
import leaves
from guest import check, check_equal, linux, start

SOURCE = "cat /sys/devices/system/clocksource/clocksource0/current_clocksource"


def boot(*options, append=""):
    machine = start(*linux("-m", "256", "-smp", "2", *options, append="ignore_loglevel " + append),
                    "-no-reboot")
    machine.shell()
    machine.run("dmesg -n 1")
    return machine


def uptime(machine):
    return float(re.search(r"^([\d.]+) ", machine.run("cat /proc/uptime"), re.M).group(1))


def on():
    """Everything that is offered is used; time stands still while the machine does, and never goes back."""
    machine = boot("-cpu", "max,-invtsc", "-rtc", "base=2006-06-17T16:01:21")
    text = machine.text
    for line in ("Hypervisor detected: KVM", "kvm-clock: Using msrs 4b564d01 and 4b564d00",
                 "Booting paravirtualized kernel on KVM", "setup PV IPIs", "KVM setup pv remote TLB flush",
                 "setup PV sched yield", "PV spinlocks enabled", "Switched to clocksource kvm-clock",
                 "Calibrating delay loop (skipped) preset value"):
        check(line in text, f"the kernel says: {line}")
    check("kvm-clock" in machine.run(SOURCE), "the clock source")
    date = int(re.search(r"^(\d+)$", machine.run("date +%s"), re.M).group(1))
    check(0 <= date - 1150560081 < 300, f"the date {date} goes on from what -rtc says")
    before = uptime(machine)
    machine.monitor("stop")
    begin = time.monotonic()
    time.sleep(4)
    pause = time.monotonic() - begin
    machine.monitor("cont")
    begin = time.monotonic()
    after = uptime(machine)
    check(before <= after < before + pause - 1 + time.monotonic() - begin + 1,
          f"{before} s before and {after} s after {pause:.1f} s of rest")
    check(re.search(r"^cpu( \d+)+", machine.run("cat /proc/stat").replace("cpu  ", "cpu ", 1), re.M),
          "/proc/stat")
    machine.run("for i in 1 2 3 4 5 6 7 8; do (dd if=/dev/zero bs=64k count=50 2>/dev/null | md5sum) & done;"
                " wait")
    machine.poweroff()
    check_equal(machine.errors(), "", "standard error")


def off():
    """kvm=off: no trace of it, and the kernel boots as on an ordinary machine."""
    machine = boot("-cpu", "max,kvm=off")
    check("kvm" not in machine.text.lower().partition("run /init")[0], "nothing speaks of KVM")
    check("tsc" in machine.run(SOURCE), "the clock source")
    machine.poweroff()


def initramfs():
    """With the program that looks at the leaves."""
    program = os.path.join(g.TOP, "build", "tests", "user", "leaves")
    program = os.environ.get("METAPHRASE_LEAVES", program)
    if not os.path.exists(program):
        raise g.Skip("the program could not be linked: no static C library")
    g.need_tool("busybox")
    directory = g.scratch_dir()
    image = os.path.join(directory, "initramfs.gz")
    g.tool("sh", os.path.join(g.TOP, "scripts", "make-initramfs.sh"), "-m", g.cached("cloud-amd64", "root"), "-k", leaves.MODULES,
           "-a", leaves.overlay(os.path.join(directory, "overlay"), program), image,
           env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    return image


def look(image, names):
    """A boot with these interfaces alone: the kernel sees them, uses them, and no others."""
    machine = start(*linux("-m", "256", "-smp", "2", "-cpu", leaves.options(names), "-trace", "post_code", initrd=False,
                           append=leaves.APPEND + " metaphrase.run=leaves"), "-initrd", image, "-no-reboot")
    text = machine.script("leaves", 2 * g.BOOT)
    machine.wait(0)
    wrong = leaves.problems(text, leaves.shown(names), machine.errors().count("post_code"))
    check(not wrong, f"with {' '.join(sorted(names))}: {'; '.join(wrong)}")


def each():
    """Every single interface off, and only one on; all and none."""
    image = initramfs()
    everything = set(leaves.NAMES)
    for names in (everything, set(), *(everything - {name} for name in leaves.NAMES), *({name} for name in leaves.NAMES)):
        look(image, names)


def leaf():
    """All of them on, and none."""
    image = initramfs()
    look(image, set(leaves.NAMES))
    look(image, set())


if __name__ == "__main__":
    sys.exit(g.main({"on": on, "off": off, "leaves": leaf, "each": each}))
