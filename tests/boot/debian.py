#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""debian.py CASE: a whole Debian with systemd boots from a disk, compiles, runs Python and a shell's loop, and powers off."""
import os
import re
import shutil
import sys

import guest as g
from guest import check, check_equal, linux, start, tool

SAYS = [("C says", ["2222728016"] * 3), ("Python says", ["ea31fdbe269d4771 2666466670000"]), ("failed units:", ["0"])]


def case(cpus, accel, interface):
    def boot():
        image = os.path.join(g.scratch_dir(), "disk.img")
        shutil.copyfile(g.cached("debian", "disk.img"), image)
        machine = start(*linux("-smp", str(cpus), "-m", "1024", "-accel", accel, "-drive",
                               f"file={image},if={interface},format=raw",
                               append=f"metaphrase.disk={'/dev/vda' if interface == 'virtio' else '/dev/sda'}"), "-no-reboot")
        machine.expect(r"debian: seconds [\d.]+", 3 * g.BOOT)
        machine.wait(0)
        print(re.search(r"debian: seconds [\d.]+", machine.text).group())
        for what, wanted in SAYS:
            check_equal(re.findall(rf"debian: {what} (.*?)\r?\n", machine.text), wanted, what)
        check("debian: 50 turns" in machine.text and "debian: turn" not in machine.text, "the shell's loop")
        check("reboot: Power down" in machine.text, "the kernel powered off")
        check_equal(machine.errors(), "", "standard error")
        check("errors" not in tool("e2fsck", "-fn", image), "the file system is clean")
    return boot


CASES = {"one": case(1, "translate", "virtio"), "smp": case(2, "translate", "virtio"),
         "translated": case(1, "translate,direct=off", "virtio"), "old-disk": case(1, "translate", "ide")}

if __name__ == "__main__":
    sys.exit(g.main(CASES))
