#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""microvm.py CASE: machine microvm, and the uncompressed kernel by its PVH entry."""
import os
import re
import sys

import guest as g
from guest import check, check_equal, linux, start, tool


def vmlinux():
    out = os.path.join(g.scratch_dir(), "vmlinux")
    tool(sys.executable, os.path.join(g.HERE, "extract-vmlinux.py"),
         g.cached("cloud-amd64", "vmlinuz"), out)
    return out


def shell():
    """Two CPUs, the machine described by ACPI: work on both, power off."""
    machine = start(*linux("-M", "microvm", "-smp", "2", "-m", "256", append="metaphrase.run=smp"),
                    "-no-reboot")
    text = machine.script("smp")
    machine.wait(0)
    check("online 0-1" in text, "both CPUs are online")
    check_equal(len(re.findall(r"^on \d ok$", text, re.M)), 2, "pinned workers")


def reset():
    """Resets end with status 0 under -no-reboot.  Linux on hardware-reduced ACPI wants EFI's reset
    unless told: by the FADT's register (a) or a triple fault (t).  Without EFI it jumps to the firmware's entry."""
    for way in "reboot=a", "reboot=t", "":
        machine = start(*linux("-M", "microvm", "-m", "128", append=f"{way} metaphrase.run=reboot"), "-no-reboot")
        machine.expect(g.INIT_LINE, g.BOOT)
        machine.wait(0)


def device_tree():
    """Without ACPI to the init line (this kernel reads no device tree); the tree compiles again."""
    machine = start(*linux("-M", "microvm,acpi=off", "-m", "128"), "-no-reboot")
    machine.expect(g.INIT_LINE, g.BOOT)
    machine.monitor("quit")
    machine.wait(0)
    out = os.path.join(g.scratch_dir(), "machine.dtb")
    machine = start(*linux("-M", f"microvm,acpi=off,dumpdtb={out}", "-smp", "2", "-m", "128"))
    machine.wait(0)
    text = tool("dtc", "-I", "dtb", "-O", "dts", out)
    for wanted in ("cpu@1", "memory@", "console=ttyS0"):
        check(wanted in text, f"the tree has {wanted}: {text}")


def pvh():
    """The uncompressed kernel on both machines."""
    kernel = vmlinux()
    for name in ("pc", "microvm"):
        machine = start(*linux("-M", name, "-m", "256", append="metaphrase.run=clocks",
                               kernel=kernel), "-no-reboot")
        text = machine.script("clocks")
        machine.wait(0)
        check_equal("acpi_pm" in text, name == "pc", f"{name}: the PM timer")


CASES = {"shell": shell, "reset": reset, "device-tree": device_tree, "pvh": pvh}

if __name__ == "__main__":
    sys.exit(g.main(CASES))
