# SPDX-License-Identifier: GPL-2.0-or-later
"""A bare-metal guest that runs under this program while its engine changes: QMP, the serial line."""
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

TIMEOUT = 60 * float(os.environ.get("METAPHRASE_TEST_SLOWNESS", "1"))


class Qmp:
    def __init__(self, path, process):
        deadline = time.monotonic() + TIMEOUT
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
                break
            except OSError:
                self.socket.close()
                assert process.poll() is None, f"it ended with {process.returncode}"
                assert time.monotonic() < deadline, f"nobody listens on {path}"
                time.sleep(0.02)
        self.socket.settimeout(TIMEOUT)
        self.file = self.socket.makefile("r")
        self.file.readline()
        self.run("qmp_capabilities")

    def run(self, command, **arguments):
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self.file.readline())
            if "event" not in answer:
                return answer

    def engine(self):
        return [e["name"] for e in self.run("x-query-accel")["return"] if e["enabled"]][0]


class Serial:
    def __init__(self, process):
        self.process = process
        self.text = ""

    def read_line(self):
        line = self.process.stdout.readline().decode("latin-1").strip()
        assert line or self.process.poll() is None, "the guest ended"
        self.text += line + "\n"
        return line

    def wait_for(self, start):
        while True:
            line = self.read_line()
            assert not line.startswith("FAIL"), line
            if line.startswith(start):
                return line

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()


def missing(metaphrase, engines):
    """The engines this host cannot run."""
    for e in engines:
        done = subprocess.run([metaphrase, "-M", "none", "-accel", e, "-display", "none", "-monitor", "stdio"],
                              input=b"quit\n", capture_output=True, check=False)
        if done.returncode != 0:
            yield e, done.stderr.decode().strip()


def need(metaphrase, engines):
    """Their names, without properties."""
    absent = list(missing(metaphrase, engines))
    if absent:
        print("skipped:", absent)
        sys.exit(77)
    return [e.partition(",")[0] for e in engines]


@contextlib.contextmanager
def running(metaphrase, guest, engines, *options):
    """The guest under the first of `engines` (each with its properties) as a process, with its monitor and its
    serial line."""
    accels = [w for e in engines for w in ("-accel", e)]
    if engines[0].partition(",")[0] == "kvm":      # in a list it would come only where it runs well
        accels = ["-accel", engines[0]]
    with tempfile.TemporaryDirectory(prefix="metaphrase-switch-") as scratch:
        path = os.path.join(scratch, "qmp")
        process = subprocess.Popen(
            [metaphrase, *accels, "-m", "64", "-display", "none", "-kernel", guest, "-serial", "stdio",
             "-monitor", "none", "-no-reboot", "-qmp", f"unix:{path},server=on,wait=off",
             "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            yield process, Qmp(path, process), Serial(process)
        finally:
            process.kill()
            process.wait()


def change(qmp, engine, by_hmp):
    if by_hmp:
        said = qmp.run("human-monitor-command", **{"command-line": f"accel-set {engine}"})
        assert said == {"return": ""}, said
    else:
        assert qmp.run("x-accel-set", name=engine) == {"return": {}}, engine
    wanted = "translate" if engine == "tcg" else engine
    assert qmp.engine() == wanted, (engine, qmp.engine())


def end_well(process, serial, name):
    serial.send("q")
    serial.wait_for(f"ok {name}")
    serial.wait_for("done")
    assert process.wait(TIMEOUT) == 0x10 << 1 | 1, process.returncode
