#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel and the paravirtual interfaces: paravirt.py CASE."""
import re
import sys
import time

import guest as g
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


def each():
    """Every single interface off, and only one on."""
    names = ("kvmclock", "kvm-nopiodelay", "kvm-steal-time", "kvm-pv-eoi", "kvm-pv-unhalt",
             "kvm-pv-tlb-flush", "kvm-pv-ipi", "kvm-poll-control", "kvm-pv-sched-yield",
             "kvmclock-stable-bit")
    for name in names:
        boot("-cpu", f"max,{name}=off").poweroff()
        others = ",".join("-" + other for other in names if other != name)
        boot("-cpu", f"max,{others}").poweroff()


if __name__ == "__main__":
    sys.exit(g.main({"on": on, "off": off, "each": each}))
