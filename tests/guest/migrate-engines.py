#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""migrate-engines.py METAPHRASE GUEST switch|clocks TURNS ENGINE...: run switch.elf, which checks its registers and memory,
or clocks.elf, in which two CPUs compare kvmclock, and save it again and again in the middle of its work, each time to be
continued by another process under the next engine.  In turn it goes by a file, to a process that waits on a unix
socket, and by a command."""
import os
import subprocess
import sys
import tempfile

from switching import Qmp, Serial, TIMEOUT, need


# What each guest is started with, beside a CPU model that all engines can run, and says at its end.
KINDS = {
    "switch": ([], "max,kvm=off", "qemu64,kvm=off", "rounds"),
    "clocks": (["-smp", "2"], *["qemu64,-kvm-pv-ipi,-kvm-pv-unhalt,-kvm-pv-tlb-flush,-kvm-pv-sched-yield"] * 2,
               "time_never_goes_back"),
}


class Process:
    """One of the processes that the guest goes through."""

    def __init__(self, metaphrase, guest, engine, scratch, number, model, *options):
        path = os.path.join(scratch, f"qmp{number}")
        self.process = subprocess.Popen(
            [metaphrase, "-accel", engine, "-cpu", model, "-m", "64", "-display", "none", "-kernel", guest,
             "-serial", "stdio", "-monitor", "none", "-no-reboot", "-qmp", f"unix:{path},server=on,wait=off",
             "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.qmp = Qmp(path, self.process)
        self.serial = Serial(self.process)

    def migrate(self, uri, detach):
        while self.qmp.run("query-status")["return"]["status"] == "inmigrate":
            pass                               # it has not arrived itself
        if not detach:
            said = self.qmp.run("human-monitor-command", **{"command-line": f'migrate "{uri}"'})
            assert said == {"return": ""}, said
        else:
            assert self.qmp.run("migrate", uri=uri) == {"return": {}}
        while self.qmp.run("query-migrate")["return"]["status"] in ("setup", "active", "device"):
            pass
        info = self.qmp.run("query-migrate")["return"]
        assert info["status"] == "completed", info
        assert self.qmp.run("query-status")["return"]["status"] == "postmigrate"

    def end(self):
        self.process.kill()
        self.process.wait()


def main(metaphrase, guest, kind, turns, *engines):
    names = need(metaphrase, engines)
    options, alone, with_kvm, last = KINDS[kind]
    model = with_kvm if "kvm" in names else alone
    processes = []
    with tempfile.TemporaryDirectory(prefix="metaphrase-migrate-") as scratch:
        def start(n, *more):
            processes.append(Process(metaphrase, guest, engines[n % len(engines)], scratch, n, model, *options, *more))
            return processes[-1]

        try:
            here = start(0)
            here.serial.wait_for("ready")
            for n in range(int(turns)):
                path = os.path.join(scratch, f"state{n}")
                if n % 3 == 0:
                    here.migrate(f"file:{path}", detach=n % 2 == 0)
                    there = start(n + 1, "-incoming", f"file:{path}")
                elif n % 3 == 1:
                    there = start(n + 1, "-incoming", f"unix:{path}")
                    assert there.qmp.run("query-status")["return"]["status"] == "inmigrate"
                    here.migrate(f"unix:{path}", detach=n % 2 == 0)
                else:
                    here.migrate(f"exec:cat > {path}", detach=n % 2 == 0)
                    there = start(n + 1, "-incoming", "defer")
                    assert there.qmp.run("migrate-incoming", uri=f"exec:cat {path}") == {"return": {}}
                here.end()
                here = there
                if n % 4 != 3:                 # else it leaves as soon as it has arrived
                    here.serial.send("p")
                    here.serial.wait_for("pong")
            here.serial.send("q")
            here.serial.wait_for(f"ok {last}")
            here.serial.wait_for("done")
            assert here.process.wait(TIMEOUT) == 0x10 << 1 | 1, here.process.returncode
        finally:
            for p in processes:
                p.end()


main(*sys.argv[1:])
