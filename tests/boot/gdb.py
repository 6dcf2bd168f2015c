#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb.py CASE: the real gdb on Debian's unmodified kernel, with symbols from the guest's kallsyms."""
import os
import re
import selectors
import signal
import subprocess
import sys
import time

import guest as g
from guest import check, check_equal, linux, start

SYMBOLS = ("do_sys_openat2", "jiffies", "__x64_sys_getpid", "asm_sysvec_apic_timer_interrupt",
           "__x64_sys_getppid")
USER_BASE = 0x400000
# getppid() for ever: mov $110, %eax; syscall; inc %rbx; mov %rbx, 0x4000f0; jmp
USER_CODE = bytes.fromhex("b86e0000000f05") + bytes.fromhex("48ffc3") + \
    bytes.fromhex("48891c25f0004000") + bytes.fromhex("ebec")
USER_ENTRY = USER_BASE + 0x78
USER_SYSCALL, USER_AFTER, USER_STORE = USER_ENTRY + 5, USER_ENTRY + 7, USER_ENTRY + 10
USER_VALUE = USER_BASE + 0xf0


def user_program():
    """A static ELF of one writable segment."""
    size = 0x100
    head = b"\x7fELF\2\1\1" + bytes(9) + (2).to_bytes(2, "little") + (62).to_bytes(2, "little")
    words = [(1, 4), (USER_ENTRY, 8), (64, 8), (0, 8), (0, 4), (64, 2), (56, 2), (1, 2), (0, 2), (0, 2),
             (0, 2), (1, 4), (7, 4), (0, 8), (USER_BASE, 8), (USER_BASE, 8), (size, 8), (size, 8),
             (0x1000, 8)]
    image = head + b"".join(v.to_bytes(n, "little") for v, n in words) + USER_CODE
    return image.ljust(size, b"\0")


class Gdb:
    """A gdb that obeys line by line."""

    def __init__(self, machine, path, symbols=None):
        command = [g.need_tool("gdb"), "-q", "-nx", "-nh"] + ([symbols] if symbols else [])
        self.machine = machine
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        self.n = 0
        for line in ("set pagination off", "set confirm off", "set width 0",
                     "set remotetimeout 60", "set architecture i386:x86-64"):
            self.ask(line)
        text = self.ask(f"target remote {path}")
        check("0x" in text or " in " in text, f"target remote: {text}")

    def begin(self, line):
        self.n += 1
        self.process.stdin.write(f"{line}\necho \\n@{self.n}@\\n\n".encode())
        self.process.stdin.flush()

    def finish(self, timeout=g.STEP):
        """What it says until the command is over; the guest's line is read meanwhile."""
        text, mark = "", f"@{self.n}@\n"
        deadline = time.monotonic() + timeout * g.SLOWNESS
        fd = self.process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            selector.register(self.machine.fd_out, selectors.EVENT_READ)
            while mark not in text:
                check(time.monotonic() < deadline, f"gdb takes too long: {text}")
                for key, _ in selector.select(1):
                    if key.fd != fd:
                        self.machine.read_some(0)
                        continue
                    data = os.read(fd, 65536)
                    check(data, f"gdb ended: {text}")
                    text += data.decode("latin-1")
        return text.replace(mark, "").replace("(gdb) ", "").strip()

    def ask(self, line, timeout=g.STEP):
        self.begin(line)
        return self.finish(timeout)

    def value(self, expression):
        text = self.ask(f"output/x {expression}")
        check(re.fullmatch(r"0x[0-9a-f]+", text), f"{expression}: {text}")
        return int(text, 16)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def close(self, how="detach"):
        self.ask(how)
        self.process.stdin.close()
        self.process.wait(timeout=g.STEP)


def symbol_file(directory, symbols):
    """An ELF file with these symbols at their places: sections of a byte without contents."""
    source, objects, elf = (os.path.join(directory, "symbols" + e) for e in (".s", ".o", ".elf"))
    with open(source, "w", encoding="ascii") as f:
        for name in symbols:
            kind = "object" if name == "jiffies" else "function"
            f.write(f'.section .at.{name},"ax",@nobits\n.globl {name}\n.type {name},@{kind}\n'
                    f"{name}: .skip 8\n.size {name}, 8\n")
    g.tool("as", source, "-o", objects)
    starts = [f"--section-start=.at.{name}={address:#x}" for name, address in symbols.items()]
    g.tool("ld", "-e", "0", "-o", elf, *starts, objects)
    return elf


def boot(*options, append=""):
    """A shell, where gdb connects, and a file of symbols."""
    directory = g.scratch_dir()
    path = os.path.join(directory, "gdb")
    machine = start(*linux("-m", "256", "-gdb", f"unix:{path}", *options,
                           append="nokaslr " + append), "-no-reboot")
    machine.shell()
    text = machine.run(f"grep -E ' ({'|'.join(SYMBOLS)})$' /proc/kallsyms")
    symbols = {f[2]: int(f[0], 16) for f in map(str.split, text.splitlines()) if len(f) == 3}
    check_equal(sorted(symbols), sorted(SYMBOLS), "symbols")
    return machine, path, symbol_file(directory, symbols), symbols


def run_user_program(machine, prefix=""):
    octal = "".join(f"\\{b:03o}" for b in user_program())
    for at in range(0, len(octal), 400):
        machine.run(f"printf '{octal[at:at + 400]}' >>/tmp/p")
    machine.run("chmod +x /tmp/p")
    machine.run(f"{prefix}/tmp/p & true")


def kernel():
    """Breakpoints and watchpoints in the kernel, memory, registers, the monitor; gone again."""
    machine, path, elf, symbols = boot("-smp", "1")
    gdb = Gdb(machine, path, elf)
    for command in ("break", "hbreak"):
        check("reakpoint" in gdb.ask(f"{command} *do_sys_openat2"), command)
        machine.send("cat /proc/uptime >/dev/null\n")
        text = gdb.ask("continue")
        check("do_sys_openat2 ()" in text, f"no stop at the breakpoint: {text}")
        check_equal(gdb.value("$rip"), symbols["do_sys_openat2"], "rip")
        check_equal(gdb.value("$cs & 3"), 0, "CPL")
        text = gdb.ask("x/s $rsi")
        check('"/' in text, f"the path that is opened: {text}")
        gdb.ask("delete")
    old = gdb.value("*(long *)&jiffies")
    gdb.ask("watch *(long *)&jiffies")
    for _ in range(2):
        text = gdb.ask("continue")
        values = re.search(r"Old value = (\d+)\s+New value = (\d+)", text)
        # one store may make good several ticks that the host had no time for
        check(values and int(values[1]) == old and old < int(values[2]) < old + 250,
              f"jiffies go on from {old}: {text}")
        old = int(values[2])
    gdb.ask("delete")
    gdb.ask(f"set var *(long *)&jiffies = {old + 2}")
    check_equal(gdb.value("*(long *)&jiffies"), old + 2, "what was written")
    check("VM status: paused" in gdb.ask("monitor info status"), "monitor commands")
    gdb.close()
    check_equal(machine.run("echo $((6*7))").strip().splitlines()[-1], "42", "the shell goes on")
    gdb = Gdb(machine, path, elf)
    gdb.begin("continue")
    time.sleep(0.5)
    gdb.interrupt()
    check("SIGINT" in gdb.finish(), "Ctrl-C")
    gdb.close()
    machine.run("true")
    machine.poweroff()


def user():
    """Breakpoints, watchpoints and steps in a user program, through system calls and interrupts."""
    machine, path, elf, symbols = boot("-smp", "1")
    run_user_program(machine)
    gdb = Gdb(machine, path, elf)
    gdb.ask(f"hbreak *{USER_SYSCALL:#x}")
    gdb.ask("continue")
    check_equal((gdb.value("$rip"), gdb.value("$cs & 3")), (USER_SYSCALL, 3), "in user code")
    gdb.ask("delete")
    gdb.ask("stepi")
    check(gdb.value("$rip") >> 63 == 1, "a step over syscall is in the kernel")
    gdb.ask("break *__x64_sys_getppid")
    check("__x64_sys_getppid" in gdb.ask("continue"), "the system call's function")
    gdb.ask("delete")
    gdb.ask(f"watch *(long *){USER_VALUE:#x}")
    text = gdb.ask("continue")
    check("New value" in text, f"watchpoint: {text}")
    check_equal(gdb.value("$rip"), USER_STORE + 8, "right after the store")
    check_equal(gdb.value(f"*(long *){USER_VALUE:#x}"), gdb.value("$rbx"), "its value")
    gdb.ask("delete")
    for _ in range(2):                             # interrupts stay out of steps
        gdb.ask("stepi")
    check_equal(gdb.value("$rip"), USER_SYSCALL, "two steps on")
    gdb.ask("break *asm_sysvec_apic_timer_interrupt")
    check("asm_sysvec_apic_timer" in gdb.ask("continue"), "the timer interrupts it")
    gdb.ask("delete")
    for _ in range(50):                            # step through the interrupt's entry
        gdb.ask("stepi")
    check(gdb.value("$rip") >> 63 == 1, "still in the kernel")
    gdb.ask("maint packet Qqemu.sstep=0x1")        # ... and let them in
    gdb.ask(f"hbreak *{USER_AFTER:#x}")
    gdb.ask("continue")
    gdb.ask("delete")
    check_equal(gdb.value("$rip"), USER_AFTER, "back from the interrupt and the system call")
    gdb.close()
    machine.run("killall p")
    machine.poweroff()


def smp():
    """Two CPUs: threads, stops on either, one steps while the other stands."""
    machine, path, elf, symbols = boot("-smp", "2")
    run_user_program(machine, prefix="taskset 2 ")
    gdb = Gdb(machine, path, elf)
    text = gdb.ask("info threads")
    check(re.search(r"Thread 1\.1 \(CPU#0 \[", text) and re.search(r"Thread 1\.2 \(CPU#1 \[", text),
          f"threads: {text}")
    gdb.ask(f"hbreak *{USER_SYSCALL:#x}")
    gdb.ask("continue")
    check_equal((gdb.value("$_thread"), gdb.value("$rip")), (2, USER_SYSCALL), "stops on CPU 1")
    for _ in range(3):
        gdb.ask("continue")
        check_equal((gdb.value("$_thread"), gdb.value("$rip")), (2, USER_SYSCALL), "again")
    gdb.ask("delete")
    gdb.ask("thread 1")
    first = gdb.value("$rip")
    gdb.ask("thread 2")
    gdb.ask("set scheduler-locking on")
    for _ in range(10):
        gdb.ask("stepi")
    gdb.ask("thread 1")
    check_equal(gdb.value("$rip"), first, "CPU 0 stood still")
    gdb.ask("set scheduler-locking off")
    gdb.ask("break *do_sys_openat2")
    machine.send("taskset 1 cat /proc/uptime\n")
    check("do_sys_openat2" in gdb.ask("continue"), "a stop on CPU 0")
    gdb.close()
    machine.run("true")
    machine.run("killall p")
    machine.poweroff()


sys.exit(g.main({f.__name__: f for f in (kernel, user, smp)}))
