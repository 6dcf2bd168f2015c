#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-hmp.py METAPHRASE DEBUGGEE [CASE...]: the human monitor over a unix socket and a pseudo terminal, on a
bare-metal guest."""
import os
import re
import select
import subprocess
import sys
import tempfile
import traceback

from gdb_client import TIMEOUT, connect, symbols

PROMPT = "(qemu) "
cases = []


def case(f):
    cases.append(f)
    return f


def equal(got, wanted):
    assert got == wanted, f"{got!r} instead of {wanted!r}"


class Monitor:
    """A connection: a socket's or terminal's file descriptor."""

    def __init__(self, fd):
        self.fd = fd
        self.text = ""

    def read_until(self, end):
        """What comes up to and with `end`."""
        while end not in self.text:
            ready, _, _ = select.select([self.fd], [], [], TIMEOUT)
            assert ready, f"nothing more after {self.text!r}"
            data = os.read(self.fd, 65536)
            assert data, f"it ended after {self.text!r}"
            self.text += data.decode("latin-1").replace("\r", "")
        got, _, self.text = self.text.partition(end)
        return got + end

    def send(self, text):
        os.write(self.fd, text.encode("latin-1"))

    def ask(self, line):
        """The answer to a command."""
        self.send(line + "\n")
        return self.read_until(PROMPT).partition("\n")[2].removesuffix(PROMPT)


class Machine:
    def __init__(self, metaphrase, elf, *options):
        self.dir = tempfile.TemporaryDirectory(prefix="metaphrase-hmp-")
        self.path = os.path.join(self.dir.name, "monitor")
        self.errors = os.path.join(self.dir.name, "stderr")
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [metaphrase, "-display", "none", "-serial", "none", "-m", "16", "-smp", "2", "-kernel", elf,
                 "-S", *(options or ["-monitor", f"unix:{self.path},server=on,wait=off"])],
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)

    def monitor(self):
        self.socket = connect(self.path, self.process)
        m = Monitor(self.socket.fileno())
        m.greeting = m.read_until(PROMPT)
        return m

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.dir.cleanup()


def to_the_loop(m, sym):
    """Run until the guest counts, in 64-bit code; stop."""
    m.ask("cont")
    for _ in range(TIMEOUT * 10):
        if m.ask(f"xp /1gx {sym['counter']:#x}").split()[1] != "0x" + "0" * 16:
            m.ask("stop")
            return
        select.select([], [], [], 0.1)
    raise AssertionError("the guest does not count")


# -- Commands --------------------------------------------------------------------------------------

@case
def it_greets_and_answers(machine, m, sym):
    assert re.match(r"\S+ \S+ monitor - type 'help' for more information\n\(qemu\) $", m.greeting), m.greeting
    equal(m.ask("nonsense"), "unknown command: 'nonsense'\n")
    equal(m.ask(""), "")
    assert re.search(r"^info .*-- ", m.ask("help"), re.M)
    for word in ("help info", "info"):
        assert "info registers" in m.ask(word)
    assert m.ask("? cont").startswith("cont|c")
    assert "unknown command" in m.ask("info nonsense")


@case
def every_command_and_subject_survives_no_argument_and_a_bad_one(machine, m, sym):
    names = re.findall(r"^(\S+) ", m.ask("help"), re.M)
    for name in names:
        name = name.split("|")[0]
        if name not in ("quit", "cont", "logfile", "gdbserver", "system_reset"):
            for argument in ("", " )(", " /z 1", " 1 2 3 4 5"):
                m.ask(name + argument)
    for name in re.findall(r"^info (\S+)", m.ask("info"), re.M):
        m.ask("info " + name)
    equal(m.ask("info status"), "VM status: paused (prelaunch)\n")


@case
def the_machine_stops_goes_on_and_ends(machine, m, sym):
    equal(m.ask("c"), "")
    equal(m.ask("info status"), "VM status: running\n")
    equal(m.ask("stop"), "")
    equal(m.ask("info status"), "VM status: paused\n")
    m.ask("system_reset")
    m.send("quit\n")
    equal(machine.process.wait(TIMEOUT), 0)


@case
def expressions_count_as_in_c(machine, m, sym):
    for text, value in (("1+2*3", 7), ("(1+2)*3", 9), ("0x10 | 1", 0x11), ("-1", 2**64 - 1), ("~0 & 0xff", 255),
                        ("7 % 4 - 1", 2), ("'A'", 65), ("$eflags", 2), ("1 << 2", None), ("1/0", None),
                        ("$nothing", None), ("(1", None), ("", None), ("1 2", None), ("(" * 200, None)):
        answer = m.ask("print " + text)
        if value is None:
            assert answer.startswith("Error: "), (text, answer)
        else:
            equal(answer, f"{value:#x}\n")
    equal(m.ask("p/d -5"), "-5\n")
    equal(m.ask("print /c 65"), "'A'\n")


@case
def memory_is_shown_and_saved(machine, m, sym):
    to_the_loop(m, sym)
    text = m.ask(f"x /4i {sym['loop_inc']:#x}")
    lines = text.splitlines()
    equal(len(lines), 4)
    assert re.match(r"0x[0-9a-f]+:  ([0-9a-f]{2} )+ *inc", lines[0]), text
    assert "jmp" in lines[3] or "call" in lines[2], text
    equal(m.ask(f"xp/2xb {sym['leaf']:#x}")[-12:], ": 0xc6 0x04\n"[-12:])
    assert re.fullmatch(r"[0-9a-f]{16}: 0x[0-9a-f]{8} 0x[0-9a-f]{8} 0x[0-9a-f]{8} 0x[0-9a-f]{8}\n"
                        r"[0-9a-f]{16}: 0x[0-9a-f]{8}\n", m.ask(f"xp /5wx {sym['leaf']:#x}"))
    path = os.path.join(machine.dir.name, "a file")
    equal(m.ask(f'pmemsave {sym["leaf"]} 8 "{path}"'), "")
    with open(path, "rb") as f:
        data = f.read()
    equal((len(data), data[0]), (8, 0xc6))
    total = 0
    for byte in data:
        total = (((total >> 1) | (total << 15)) + byte) & 0xffff
    equal(m.ask(f"sum {sym['leaf']:#x} 8"), f"{total:05d}\n")
    assert m.ask("pmemsave 0 8 /nowhere/at/all").startswith("Error: ")


@case
def ports_are_read_and_written(machine, m, sym):
    equal(m.ask("o /b 0x70 0x0d"), "")
    equal(m.ask("i/b 0x71"), "portb[0x0071] = 0x80\n")
    assert m.ask("i 0x10000").startswith("Error")


@case
def registers_read_as_clients_expect(machine, m, sym):
    equal(m.ask("info registers").splitlines()[2][:4], "EAX=")      # 32-bit code at its start
    to_the_loop(m, sym)
    text = m.ask("info registers")
    for pattern in (r"^CPU#0$", r"^RAX=[0-9a-f]{16} RBX=[0-9a-f]{16} ", r"^RIP=[0-9a-f]{16} RFL=[0-9a-f]{8} \[.{7}\] CPL=0 "
                    r"II=\d A20=\d SMM=0 HLT=\d$", r"^CS =[0-9a-f]{4} [0-9a-f]{16} [0-9a-f]{8} [0-9a-f]{8} ",
                    r"^GDT= +[0-9a-f]{16} [0-9a-f]{8}$", r"^CR0=[0-9a-f]{8} CR2=[0-9a-f]{16} ",
                    r"^EFER=[0-9a-f]{16}$", r"^XMM00=[0-9a-f]{16} ?[0-9a-f]{16}"):
        assert re.search(pattern, text, re.M), (pattern, text)
    equal(len(re.findall(r"^CPU#", m.ask("info registers -a"), re.M)), 2)
    assert re.search(r"^\* CPU #0: thread_id=\d+", m.ask("info cpus"), re.M)
    equal(m.ask("cpu 1"), "")
    assert re.search(r"^\* CPU #1: thread_id=\d+", m.ask("info cpus"), re.M)
    assert m.ask("cpu 2").startswith("Error: ")


@case
def gdb_is_let_in(machine, m, sym):
    path = os.path.join(machine.dir.name, "gdb")
    assert "Waiting for gdb connection" in m.ask(f"gdbserver unix:{path}")
    s = connect(path, machine.process)
    s.sendall(b"$qC#b4")
    equal(s.recv(1), b"+")
    assert f"gdb: filename=unix:{path}" in m.ask("info chardev")
    equal(m.ask("gdbserver none"), "Disabled gdbserver\n")
    assert "gdb:" not in m.ask("info chardev")
    assert m.ask("gdbserver nonsense").startswith("Error: ")


# -- The editor ------------------------------------------------------------------------------------

@case
def lines_are_edited(machine, m, sym):
    for keys in ("xprint 5\x01\x1b[3~", "print 6\x7f5", "print 7\x15print 5", "prit 5\x1b[D\x1b[D\x1b[Dn",
                 "junk\x03print 5", "print junk\x175", "print 5 junk\x1b[H\x06\x06\x06\x06\x06\x06\x06\x0b",
                 "\x1bOHprint \x055"):
        m.text = ""
        m.send(keys + "\r\n")
        assert m.read_until("0x5\n" + PROMPT), keys
    m.send("print 9999" + "\x02" * 4 + "\x04" * 4 + "5\r")
    m.read_until("0x5\n" + PROMPT)


@case
def history_is_recalled(machine, m, sym):
    m.ask("print 1")
    m.ask("print 2")
    m.send("\x1b[A\x1b[A\r")
    assert m.read_until(PROMPT).endswith("0x1\n" + PROMPT)
    m.send("\x10\x10\x0e\r")
    assert m.read_until(PROMPT).endswith("0x1\n" + PROMPT)
    equal(m.ask("info history"), "0: 'print 2'\n1: 'print 1'\n2: 'info history'\n")


@case
def words_are_completed(machine, m, sym):
    m.send("info regi\t\n")
    assert "EIP=" in m.read_until(PROMPT)
    m.send("system_\t\t")
    text = m.read_until(PROMPT)
    assert "system_reset" in text and "system_powerdown" in text, text
    m.send("\x15pri\t 5\n")
    assert m.read_until("0x5\n" + PROMPT)
    m.send("log guest\t\n")
    m.read_until(PROMPT)
    m.send("log none\n")
    m.read_until(PROMPT)


@case
def garbage_does_no_harm(machine, m, sym):
    m.send("".join(chr(i) for i in range(256) if chr(i) not in "\r\n") * 50 + "\x1b\x1b[999999999;9~\x15\n")
    m.read_until(PROMPT)
    m.send("y" * 20000 + "\x15\n")
    m.read_until(PROMPT)
    m.send("\n")
    m.read_until(PROMPT)
    m.send("info status\n")
    m.read_until("VM status: paused (prelaunch)\n" + PROMPT)


def on_a_pseudo_terminal(metaphrase, elf, sym):
    machine = Machine(metaphrase, elf, "-monitor", "pty")
    try:
        for _ in range(TIMEOUT * 20):
            with open(machine.errors, encoding="latin-1") as f:
                match = re.search(r"char device redirected to (\S+)", f.read())
            if match:
                break
            select.select([], [], [], 0.05)
        fd = os.open(match.group(1), os.O_RDWR | os.O_NOCTTY)
        subprocess.run(["stty", "-F", match.group(1), "raw", "-echo"], check=True)
        m = Monitor(fd)
        m.send("\r")
        m.read_until(PROMPT)
        select.select([], [], [], 0.3)
        m.send("print 5\r")
        m.read_until("0x5\n" + PROMPT)
        m.send("\x1b[A\r")
        m.read_until("0x5\n" + PROMPT)
        os.close(fd)
    finally:
        machine.end()


def run(f, metaphrase, elf, sym):
    try:
        if f is on_a_pseudo_terminal:
            f(metaphrase, elf, sym)
            return True
        machine = Machine(metaphrase, elf)
        try:
            f(machine, machine.monitor(), sym)
        finally:
            machine.end()
        return True
    except Exception:
        traceback.print_exc()
        return False


def main():
    metaphrase, elf = sys.argv[1:3]
    sym = symbols(elf)
    bad = 0
    for f in [*cases, on_a_pseudo_terminal]:
        if len(sys.argv) > 3 and f.__name__ not in sys.argv[3:]:
            continue
        good = run(f, metaphrase, elf, sym)
        print("ok" if good else "FAIL", f.__name__, flush=True)
        bad += not good
    sys.exit(bad != 0)


main()
