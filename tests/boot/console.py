#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""console.py CASE: ends of serial lines and virtio consoles, and the terminal, with a guest behind."""
import os
import pty
import re
import signal
import sys
import termios
import time

import guest as g
from guest import check, check_equal, linux, start


class Line:
    """A stream to a guest other than its first line: a socket or a pseudo terminal."""

    def __init__(self, machine, fd):
        self.machine, self.fd, self.text = machine, fd, ""
        os.set_blocking(fd, False)

    def send(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern, timeout=g.STEP):
        deadline = time.monotonic() + timeout * g.SLOWNESS
        while True:
            match = re.search(pattern, self.text, re.M)
            if match:
                self.text = self.text[match.end():]
                return match
            if time.monotonic() > deadline:
                raise g.Failed(f"no {pattern!r} in {self.text!r}")
            self.machine.read_some(0)
            try:
                data = os.read(self.fd, 65536)
            except (BlockingIOError, OSError):
                data = b""
            self.text += data.decode("latin-1").replace("\r", "")
            if not data:
                time.sleep(0.02)


def small(*options, append=""):
    return linux("-m", "128", *options, append=append)


# -- virtio ----------------------------------------------------------------------------------------

def virtio():
    """virtio-rng is read, a port's data arrives in a file, hvc0 carries a shell."""
    path = os.path.join(g.scratch_dir(), "hvc")
    out = os.path.join(g.scratch_dir(), "port")
    machine = start(*small(
        "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=c,path={path},server=on,wait=off", "-device", "virtconsole,chardev=c",
        "-chardev", f"file,id=f,path={out}",
        "-device", "virtserialport,chardev=f,name=test.port",
        append="metaphrase.run=virtio"), "-no-reboot")
    socket = g.connect(path, machine.process)
    machine.expect(g.INIT_LINE, g.BOOT)
    machine.expect("^rng virtio_rng", g.STEP)
    first = machine.expect("^random ([0-9a-f]{32})").group(1)
    check(machine.expect("^random ([0-9a-f]{32})").group(1) != first, "random numbers differ")
    machine.expect("^port vport.* test.port")
    line = Line(machine, socket.fileno())
    line.send("echo $((6 * 7))\n")
    line.expect("^42$")
    line.send("seq 1 300 | tail -n 1; exit\n")
    line.expect("^300$")
    machine.expect("^metaphrase: virtio ended with status 0")
    machine.wait(0)
    with open(out, encoding="ascii") as f:
        check_equal(f.read(), "".join(f"line {i} of the port\n" for i in range(500)), "port's file")


# -- Ends of the serial line -----------------------------------------------------------------------

def files():
    """-serial file: holds what the line said; a second line goes to a unix socket, a third to a pty."""
    directory = g.scratch_dir()
    out, path = os.path.join(directory, "out"), os.path.join(directory, "socket")
    machine = start(*small("-serial", f"file:{out}", "-serial", f"unix:{path},server=on,wait=off",
                           "-serial", "pty"), "-no-reboot", serial=None)
    socket = g.connect(path, machine.process)
    deadline = time.monotonic() + g.BOOT * g.SLOWNESS
    while g.INIT_LINE not in open(out, encoding="latin-1").read():
        check(time.monotonic() < deadline and machine.process.poll() is None, "init is reached")
        time.sleep(0.2)
    match = re.search(r"redirected to (/dev/pts/\d+)", machine.errors())
    check(match, f"the pty is named: {machine.errors()!r}")
    terminal = os.open(match.group(1), os.O_RDWR | os.O_NOCTTY)
    machine.monitor("quit")
    machine.wait(0)
    socket.close()
    os.close(terminal)


def unix():
    """The first line on a unix socket: a shell; a client that leaves and comes again."""
    path = os.path.join(g.scratch_dir(), "socket")
    machine = start(*small(), "-no-reboot", serial=f"unix:{path},server=on,wait=off")
    socket = g.connect(path, machine.process)
    line = Line(machine, socket.fileno())
    line.expect(g.PROMPT, g.BOOT)
    socket.close()
    socket = g.connect(path, machine.process)
    line = Line(machine, socket.fileno())
    line.send("\necho back $((6 * 7))\n")
    line.expect("^back 42$")
    line.send("poweroff -f\n")
    machine.wait(0)


def pty_line():
    """The first line on a pseudo terminal."""
    machine = start(*small(), "-no-reboot", serial="pty")
    deadline = time.monotonic() + g.STEP
    while not (match := re.search(r"redirected to (/dev/pts/\d+)", machine.errors())):
        check(time.monotonic() < deadline, "the pty is named")
        time.sleep(0.02)
    line = Line(machine, os.open(match.group(1), os.O_RDWR | os.O_NOCTTY))
    line.expect(g.PROMPT, g.BOOT)
    line.send("echo $((6 * 7))\n")
    line.expect("^42$")
    line.send("poweroff -f\n")
    machine.wait(0)


def end_of_input():
    """Commands come through a pipe that ends, as in `echo ... | ./run`; no terminal anywhere."""
    machine = start(*small(), "-no-reboot", "-nographic", serial=None, monitor=False)
    machine.send("uname -a; grep -c ^processor /proc/cpuinfo; poweroff -f\n")
    machine.close_input()
    machine.wait(0, g.BOOT)
    check(re.search(r"^Linux .* x86_64 GNU/Linux$", machine.text, re.M), "uname")
    check(re.search(r"^1$", machine.text, re.M), "one CPU")


def no_input():
    """Standard input is /dev/null: the guest runs on."""
    with open(os.devnull, "rb") as null:
        machine = start(*small(append="metaphrase.run=clocks"), "-no-reboot", "-nographic",
                        serial=None, monitor=False, stdin=null)
        machine.script("clocks")
        machine.wait(0)


# -- The terminal ----------------------------------------------------------------------------------

def on_terminal(*options, nographic=True):
    leader, side = pty.openpty()
    before = termios.tcgetattr(side)
    machine = start(*small(), "-no-reboot", *(["-nographic"] if nographic else []), *options,
                    serial=None, monitor=False, terminal=(leader, side))
    return machine, side, before


def check_restored(side, before):
    check(termios.tcgetattr(side) == before, "the terminal is as it was")
    os.close(side)


def keys():
    """Ctrl-A c, h and x, and Ctrl-A Ctrl-A, on the terminal of -nographic with a shell behind."""
    machine, side, before = on_terminal()
    machine.shell()
    check(not termios.tcgetattr(side)[3] & (termios.ICANON | termios.ECHO | termios.ISIG), "raw")
    machine.send("\x01h")
    machine.expect("Ctrl-A x +end")
    machine.send("\x01c")
    machine.expect(r"\(qemu\) ")
    machine.send("info status\r")
    machine.expect("VM status: running")
    machine.send("\x01c")
    machine.send("\x15echo $((6 * 7))\r")
    machine.expect("^42$")
    machine.expect(g.PROMPT)
    machine.send("sleep 1000\r")
    time.sleep(1)
    machine.send("\x03")               # Ctrl-C is the guest's
    machine.expect(g.PROMPT)
    machine.send("cat -v\r")
    machine.send("<\x01\x01>\r")       # Ctrl-A for the guest
    machine.expect(r"^<\^A>$")
    machine.send("\x04")
    machine.expect(g.PROMPT)
    machine.send("\x01x")
    machine.wait(0)
    check_restored(side, before)


def waits_for(pid, number):
    """The process has blocked the signal, to read it from a descriptor."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        blocked = next(line for line in f if line.startswith("SigBlk:"))
    return int(blocked.split()[1], 16) >> (number - 1) & 1 == 1


def ends():
    """A power-off and SIGTERM, SIGINT, SIGHUP leave the terminal as it was."""
    machine, side, before = on_terminal()
    machine.shell()
    machine.send("poweroff -f\r")
    machine.wait(0)
    check_restored(side, before)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        machine, side, before = on_terminal("-S")
        deadline = time.monotonic() + g.STEP
        while termios.tcgetattr(side) == before:
            check(time.monotonic() < deadline, "the terminal becomes raw")
            time.sleep(0.02)
        while not waits_for(machine.process.pid, number):
            check(time.monotonic() < deadline, "signals end the machine in good order")
            time.sleep(0.02)
        machine.process.send_signal(number)
        machine.wait(0)
        check_restored(side, before)


def mon_stdio():
    """-serial mon:stdio is the same as -nographic's line."""
    machine, side, before = on_terminal("-serial", "mon:stdio", "-display", "none", nographic=False)
    machine.expect(g.INIT_LINE, g.BOOT)
    machine.send("\x01c")
    machine.expect(r"\(qemu\) ")
    machine.send("quit\r")
    machine.wait(0)
    check_restored(side, before)


CASES = {"virtio": virtio, "files": files, "unix": unix, "pty": pty_line,
         "end-of-input": end_of_input, "no-input": no_input, "keys": keys, "ends": ends,
         "mon-stdio": mon_stdio}

if __name__ == "__main__":
    sys.exit(g.main(CASES))
