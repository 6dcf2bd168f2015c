#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""window.py CASE: Linux with its kernel's memory in the window (softmmu/window.h), and kernels that make it hard: page
tables of user code's own, no SMAP, fixed addresses; or without."""
import os
import re
import sys

import guest as g
from guest import check, check_equal, linux, start


def window_of_text(text):
    """on, off (with a reason) or none"""
    state = re.search(r"window: (\w+)", text)
    return state.group(1) if state else "none"


def window_of(machine):
    """That, and how many faults mapped something."""
    text = machine.monitor("info jit")
    maps = re.search(r"of which (\d+) mapped something", text)
    return window_of_text(text), int(maps.group(1)) if maps else 0


def boot(cpus, append="", accel="translate", says=None, wanted=("on",), name="cloud-amd64", memory="256"):
    """To the shell, some work, power off."""
    def run():
        machine = start(*linux("-smp", str(cpus), "-m", memory, "-accel", accel, append=append + " loglevel=7", name=name),
                        "-no-reboot")
        machine.shell()
        if says:
            check(re.search(says, machine.text), f"the kernel did not say {says!r}")
        sums = machine.run("for n in 1 2 3; do seq 1 3000 | sha256sum; done")
        check(len(sums.split()) == 6 and len(set(sums.split())) == 2, f"sums differ: {sums}")
        machine.run("(echo a; sleep 0; echo b) | cat > /tmp/x && grep -q b /tmp/x")
        state, maps = window_of(machine)
        machine.poweroff()
        check("reboot: Power down" in machine.text, "the kernel powered off")
        check_equal(machine.errors(), "", "standard error")
        print(f"window {state}, {maps} faults mapped something")
        check(state in wanted, f"the window is {state}, expected {' or '.join(wanted)}")
        check(state != "on" or maps > 20, f"only {maps} faults mapped something")
    return run


def verify():
    """Each block's first runs, in the window, compared with the interpreter, up to /init."""
    machine = start(*linux("-smp", "1", "-m", "256", "-accel", "translate,window=on,verify=1000000",
                           append="loglevel=7"), "-no-reboot")
    machine.expect(g.INIT_LINE, g.BOOT)
    text = machine.monitor("info jit")
    checks = int(re.search(r"compared with the interpreter\s+(\d+)", text).group(1))
    differ = int(re.search(r"that differed\s+(\d+)", text).group(1))
    state, maps = window_of(machine)
    machine.monitor("quit")
    machine.wait(0)
    print(f"{checks} blocks compared, {differ} differ; window {state}, {maps} faults mapped something")
    check(checks > 50000, f"only {checks} blocks were compared")
    check_equal(machine.errors(), "", "differences")
    check_equal(differ, 0, "blocks that differ")
    check_equal(state, "on", "the window")
    check(maps > 20, f"only {maps} faults mapped something")


def symbols():
    """A table of symbols names instructions of a kernel that lies elsewhere (KASLR)."""
    machine = start(*linux("-m", "256", append="nokaslr"), "-no-reboot")
    machine.shell()
    table = machine.run(r"grep -E ' [Tt] (_text|entry_SYSCALL_64|_copy_to_user|strncpy_from_user|vfs_[a-z]*)$' /proc/kallsyms")
    machine.poweroff()
    path = os.path.join(g.scratch_dir(), "System.map")
    lines = [line for line in table.replace("\r", "").splitlines() if re.match(r"[0-9a-f]{16} [Tt] \w+$", line)]
    check(len(lines) > 10, f"the guest's table of symbols: {table}")
    with open(path, "w", encoding="ascii") as out:
        out.write("\n".join(lines) + "\n")
    machine = start(*linux("-m", "256", "-accel", f"translate,symbols={path}"), "-no-reboot")
    machine.shell()
    text = machine.monitor("info jit -v")
    now = machine.run("grep -w entry_SYSCALL_64 /proc/kallsyms").split()[0]
    machine.poweroff()
    linked = next(line for line in lines if line.endswith(" entry_SYSCALL_64")).split()[0]
    shift = int(now, 16) - int(linked, 16)
    if shift == 0:
        raise g.Skip("the kernel did not move")
    check(f"the kernel lies {shift:#x} above its symbols" in text, f"no shift of {shift:#x}: {text}")
    if window_of_text(text) != "none":
        check(re.search(r"most faults at.* [0-9a-f]{16} \w+\+0x[0-9a-f]+ \(", text), f"no names: {text}")


PTI = r"Kernel/User page tables isolation: (force )?enabled"
CASES = {
    "smp": boot(2),
    "off": boot(1, accel="translate,window=off", wanted=("none",)),
    "pti": boot(2, append="pti=on", says=PTI, wanted=("on", "off")),
    "nosmap": boot(1, append="nosmap"),
    "nokaslr": boot(2, append="nokaslr"),
    "pae": boot(1, name="686-pae"),
    "pae-smp": boot(2, name="686-pae"),
    "pae-highmem": boot(1, name="686-pae", memory="1200"),
    "pae-pti": boot(1, name="686-pae", append="pti=on", says=PTI, wanted=("off",)),
    "pae-off": boot(1, name="686-pae", accel="translate,window=off", wanted=("none",)),
    "symbols": symbols,
    "verify": verify,
}

if __name__ == "__main__":
    sys.exit(g.main(CASES))
