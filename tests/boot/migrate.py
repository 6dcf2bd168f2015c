#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""migrate.py CASE: Debian's kernel is saved and goes on in another process."""
import os
import sys
import time

import guest as g
from guest import check, check_equal, linux, start


def state_path():
    return os.path.join(g.scratch_dir(), "state")


def send(machine, uri, said=""):
    check_equal(machine.monitor(f'migrate "{uri}"').strip(), said, "answer of migrate")


def arrived(machine):
    while "inmigrate" in machine.monitor("info status"):
        time.sleep(0.02)
    return machine


def goes_on(options, there, machine=None, path=None, **more):
    """The next process of a machine, by a file or (path None) a socket; the former is killed."""
    path = path or state_path()
    if there == "file":
        if machine is not None:
            send(machine, f"file:{path}")
            check("postmigrate" in machine.monitor("info status"), "it stands still")
            machine.kill()
        return arrived(start(*options, "-incoming", f"file:{path}", **more))
    new = start(*options, "-incoming", f"unix:{path}", **more)
    while not os.path.exists(path):
        time.sleep(0.02)
    send(machine, f"unix:{path}")
    machine.kill()
    return arrived(new)


def prompt_again(machine):
    """What the line said before is with the old process."""
    machine.send("echo again $((6 * 7))\n")
    machine.expect("^again 42$")
    machine.expect(g.PROMPT)


def uptime(machine):
    return float(machine.run("cat /proc/uptime").split()[0])


def shell_of(cpus):
    options = [*linux("-smp", cpus, "-m", "256"), "-no-reboot"]
    machine = start(*options)
    machine.shell()
    machine.run("mkdir /tmp/x; X=kept; (while :; do date +%s.%N >> /tmp/x/dates; sleep 0.01; done) & true")
    before = uptime(machine)
    for n, engine in enumerate(["translate", "interpret", "translate", "interpret"]):
        begin = time.monotonic()
        machine = goes_on([*options, "-accel", engine], "unix" if n % 2 else "file", machine)
        prompt_again(machine)
        check_equal(machine.run("echo $X"), "kept\n", "variable")
        now = uptime(machine)
        check(before <= now <= before + time.monotonic() - begin + 1, f"uptime {before}, then {now}")
        before = now
    check_equal(machine.run("wc -l < /tmp/x/dates | grep -c '[0-9][0-9]'"), "1\n", "dates")
    machine.run("sort -c -n /tmp/x/dates")     # the clock never went back
    check_equal(machine.run("dmesg | grep -E 'unstable|BUG:|lockup|stall'; true"), "", "complaints")
    machine.poweroff()
    check_equal(machine.errors(), "", "standard error")


def boot_of(cpus):
    """Saved again and again while it boots."""
    options = [*linux("-smp", cpus, "-m", "256"), "-no-reboot"]
    machine = start(*options)
    for n in range(6):
        time.sleep(0.25)
        machine = goes_on(options, "file", machine)
        if "init reached" in machine.text:
            break
    if g.INIT_LINE not in machine.text:
        machine.expect(g.INIT_LINE, g.BOOT)
    prompt_again(machine)
    check_equal(machine.run("grep -c ^processor /proc/cpuinfo"), f"{cpus}\n", "CPUs")
    machine.poweroff()


CASES = {
    "shell": lambda: shell_of("1"), "shell-smp": lambda: shell_of("2"),
    "boot": lambda: boot_of("1"), "boot-smp": lambda: boot_of("2"),
}

if __name__ == "__main__":
    sys.exit(g.main(CASES))
