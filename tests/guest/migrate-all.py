#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""migrate-all.py METAPHRASE GUEST CPUS ENGINE...: run a guest of tests, and move it on to a new process under the next engine
all the time, until it ends.  All its tests must pass, wherever they were interrupted."""
import os
import subprocess
import sys
import tempfile
import time

from switching import Qmp, TIMEOUT, need

PAUSE = 0.02
DONE = ("completed", "failed", "cancelled")


class Process:
    def __init__(self, command, scratch, number, *options):
        self.path = os.path.join(scratch, f"qmp{number}")
        with open(os.path.join(scratch, f"out{number}"), "wb") as out:
            self.process = subprocess.Popen([*command, "-qmp", f"unix:{self.path},server=on,wait=off", *options],
                                            stdin=subprocess.DEVNULL, stdout=out)
        self.qmp = None

    def ask(self, command, **arguments):
        """The answer, or None when the guest has ended it meanwhile."""
        try:
            self.qmp = self.qmp or Qmp(self.path, self.process)
            return self.qmp.run(command, **arguments)["return"]
        except (AssertionError, ValueError, OSError):
            assert self.process.wait(TIMEOUT) is not None
            return None

    def move(self, path):
        """Save it; False: it ended before."""
        status = {"status": None} if self.ask("migrate", uri=f"file:{path}") is not None else None
        while status is not None and status.get("status") not in DONE:
            status = self.ask("query-migrate")
        assert status is None or status["status"] == "completed", status
        return status is not None

    def arrived(self):
        while (self.ask("query-status") or {}).get("status") == "inmigrate":
            pass


def main(metaphrase, guest, cpus, *engines):
    need(metaphrase, engines)
    command = [metaphrase, "-cpu", "qemu64", "-m", "64", "-smp", cpus, "-display", "none", "-kernel", guest, "-serial", "stdio",
               "-monitor", "none", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    processes = []
    with tempfile.TemporaryDirectory(prefix="metaphrase-migrate-") as scratch:
        def start(*options):
            n = len(processes)
            processes.append(Process([*command, "-accel", engines[n % len(engines)]], scratch, n, *options))
            return processes[-1]

        try:
            here = start()
            time.sleep(PAUSE)
            while here.move(os.path.join(scratch, "state")):
                here.process.kill()
                here.process.wait()
                here = start("-incoming", f"file:{os.path.join(scratch, 'state')}")
                here.arrived()
                time.sleep(PAUSE)
            status = here.process.wait(TIMEOUT)
        finally:
            for p in processes:
                p.process.kill()
                p.process.wait()
        text = ""
        for n in range(len(processes)):
            with open(os.path.join(scratch, f"out{n}"), encoding="latin-1") as f:
                text += f.read()
    print(text)
    print(f"{len(processes) - 1} moves")
    assert status == 0x10 << 1 | 1 and "FAIL" not in text and "done" in text, status
    assert len(processes) > 1, "it ended before it was moved"


main(*sys.argv[1:])
