#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-options.py METAPHRASE DEBUGGEE [CASE...]: what options do, seen from outside: help, JSON and file forms, order,
escapes, lines, rights that are given up, devices that are ports."""
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

TIMEOUT = 30 * float(os.environ.get("METAPHRASE_TEST_SLOWNESS", "1"))
metaphrase, debuggee = (os.path.abspath(a) for a in sys.argv[1:3])
cases = []


class Skip(Exception):
    pass


def case(f):
    cases.append(f)
    return f


def equal(got, wanted):
    assert got == wanted, f"{got!r} instead of {wanted!r}"


def run(*args, text="", status=0):
    """Standard output and error of a run that ends."""
    r = subprocess.run([metaphrase, *args], input=text, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert r.returncode == status, f"{args}: status {r.returncode}: {r.stderr}"
    return r.stdout, r.stderr


def ask(lines, *args):
    """What the human monitor answers to each line of a machine that stands still."""
    out, err = run("-display", "none", "-nodefaults", "-S", "-monitor", "stdio", *args,
                   text="".join(line + "\n" for line in [*lines, "quit"]))
    equal(err, "")
    answers = out.replace("\r", "").split("(qemu) ")[1:]
    return [a.partition("\n")[2] for a in answers[:len(lines)]]


def environment(args):
    """A leak check at the end of a sanitizer build traces its process: the filter forbids that."""
    leaks = ":detect_leaks=0" if "-sandbox" in args else ""
    return {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + leaks}


class Machine:
    """One that goes on, with a monitor on a socket."""

    def __init__(self, *args, program=(metaphrase,)):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="options", dir="."))
        self.process = subprocess.Popen(
            [*program, "-display", "none", "-nodefaults", "-S", "-monitor",
             f"unix:{self.dir}/monitor,server=on,wait=off", *args], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=environment(args))
        self.monitor = self.connect(str(self.dir / "monitor"))
        self.read("(qemu) ")

    def connect(self, where):
        deadline = time.monotonic() + TIMEOUT
        while True:
            s = socket.socket(socket.AF_INET if isinstance(where, tuple) else socket.AF_UNIX)
            try:
                s.connect(where)
                s.settimeout(TIMEOUT)
                return s
            except OSError:
                s.close()
                assert self.process.poll() is None, self.process.stderr.read()
                assert time.monotonic() < deadline, where
                time.sleep(0.02)

    def read(self, end, s=None):
        text = ""
        while not text.endswith(end):
            data = (s or self.monitor).recv(65536)
            assert data, f"it ended after {text!r}"
            text += data.decode("latin-1").replace("\r", "")
        return text.removesuffix(end)

    def ask(self, line):
        self.monitor.sendall(line.encode() + b"\n")
        return self.read("(qemu) ").partition("\n")[2]

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.monitor.close()
        return self.process.stderr.read().decode()

    def quit(self):
        self.monitor.sendall(b"quit\n")
        equal(self.process.wait(TIMEOUT), 0)
        return self.process.stderr.read().decode()


# -- Forms -----------------------------------------------------------------------------------------

@case
def help_is_everywhere():
    for option, wanted in (("-machine", "pc-i440fx-7.2"), ("-M", "microvm"), ("-cpu", "qemu64"), ("-accel", "tcg"),
                           ("-device", 'name "virtio-blk-pci", bus PCI'), ("-object", "iothread"),
                           ("-chardev", "ringbuf"), ("-serial", "stdio"), ("-monitor", "socket"), ("-qmp", "pty"),
                           ("-drive", "file, id, format"), ("-blockdev", "host_device"), ("-display", "none"),
                           ("-vga", "std"), ("-nic", "none"), ("-net", "none"), ("-audiodev", "none"), ("-d", "guest_errors"),
                           ("-trace", "pic_set_irq"), ("-stress", "tlb_miss"), ("-smp", "cpus"), ("-m", "size"),
                           ("-boot", "order"), ("-rtc", "base"), ("-name", "guest"), ("-fw_cfg", "name"),
                           ("-global", "DRIVER.PROPERTY=VALUE"), ("-action", "panic"), ("-watchdog-action", "inject-nmi"),
                           ("-sandbox", "spawn"), ("-msg", "timestamp"), ("-mon", "mode"), ("-overcommit", "mem-lock"),
                           ("-option-rom", "romfile")):
        for word in ("help", "?"):
            out, err = run(option, word)
            assert wanted in out and err == "", (option, word, out, err)
    for args, wanted in ((("-device", "virtio-blk-pci,help"), "bootindex=<int32>"), (("-M", "pc,help"), "hpet"),
                         (("-chardev", "socket,help"), "telnet"), (("-object", "rng-random,help"), "filename"),
                         (("-drive", "if=help"), "virtio"), (("-action", "panic=help"), "exit-failure"),
                         (("-accel", "translate,help"), "tb-size"), (("-device", "isa-debug-exit,?"), "iobase=<uint32>")):
        out, err = run(*args)
        assert wanted in out and err == "", (args, out, err)
    for option in ("-help", "--help", "-h", "-version", "--version"):
        assert run(option)[0]


@case
def order_does_not_matter():
    with open("d,1.img", "wb") as f:
        f.truncate(1 << 20)
    pieces = [("-device", "virtio-blk-pci,drive=d,id=disk"), ("-drive", "file=d,,1.img,format=raw,if=none,id=d"),
              ("-m", "64"), ("-name", "n"), ("-device", "virtio-serial-pci,id=vs"),
              ("-device", "virtserialport,bus=vs.0,chardev=c"), ("-chardev", "null,id=c"), ("-M", "pc")]
    first = None
    for turn in range(len(pieces)):
        order = pieces[turn:] + pieces[:turn]
        if order.index(pieces[5]) < order.index(pieces[4]):
            continue               # ports follow their controller
        got = ask(["info block", "info name", "info qtree"], *[w for p in order for w in p])
        got[2] = re.sub(r"addr = ..\..", "", got[2])
        equal(sorted(got[2].split("\n")), sorted((first or got)[2].split("\n")))
        equal(got[:2], (first or got)[:2])
        first = first or got
    assert "d,1.img" in first[0] and first[1] == "n\n", first


@case
def machines_have_names_and_the_first_engine_that_can_be_used_is():
    for machine in ("pc", "pc-i440fx-7.2", "pc-i440fx-2.12", "pc-i440fx-1.4", "pc-i440fx-6.0", "microvm", "none"):
        ask(["info status"], "-M", machine, *(["-kernel", debuggee] if machine == "microvm" else []))
    for options, engine in (((), "translate"), (("-accel", "tcg"), "translate"), (("-accel", "interpret"), "interpret"),
                            (("-machine", "accel=interpret:tcg"), "interpret"), (("-M", "pc,accel=tcg"), "translate"),
                            (("-accel", "interpret", "-accel", "tcg"), "interpret"),
                            (("-M", "accel=interpret", "-M", "accel=tcg"), "translate"),
                            (("-accel", "tcg,thread=single,tb-size=64"), "translate")):
        equal([line.split()[1] for line in ask(["info accel"], *options)[0].split("\n") if line.startswith("*")][0], engine)


@case
def json_says_the_same():
    with open("d,1.img", "wb") as f:
        f.truncate(1 << 20)
    lists = ("-drive", "file=d,,1.img,format=raw,if=none,id=d", "-device",
             "virtio-blk-pci,drive=d,id=disk,addr=7,disable-legacy=on", "-object", "rng-random,id=r", "-device",
             "virtio-rng-pci,rng=r,id=rng")
    objects = ("-drive", "file=d,,1.img,format=raw,if=none,id=d", "-device",
               '{"driver":"virtio-blk-pci","drive":"d","id":"disk","addr":"7","disable-legacy":true}', "-object",
               "{'qom-type': 'rng-random', 'id': 'r'}", "-device", '{"driver":"virtio-rng-pci","rng":"r","id":"rng"}')
    equal(ask(["info qtree", "info pci", "info block"], *lists), ask(["info qtree", "info pci", "info block"], *objects))
    for node in (["file,filename=d,,1.img,node-name=d,read-only=on"],
                 ['{"driver":"file","filename":"d,1.img","node-name":"d","read-only":true}'],
                 ['{"driver":"file","filename":"d,1.img","node-name":"s"}',
                  '{"driver":"raw","node-name":"d","file":"s","read-only":true}'],
                 ['{"driver":"raw","node-name":"d","read-only":true,"file":{"driver":"file","filename":"d,1.img"}}'],
                 ["raw,node-name=d,read-only=on,file.driver=file,file.filename=d,,1.img"]):
        args = [w for n in node for w in ("-blockdev", n)]
        equal(ask(["info block"], *args, "-device", "virtio-blk-pci,drive=d"),
              ["d: d,1.img (raw, read-only), 1048576 bytes\n"])


@case
def a_file_says_the_same():
    with open("d,1.img", "wb") as f:
        f.truncate(1 << 20)
    with open("config", "w", encoding="ascii") as f:
        f.write('# all of it\n[name]\n  guest = "a, b"\n[memory]\n  size = "64"\n[machine]\n  type = "pc"\n  hpet = "off"\n'
                '[drive "d"]\n file = "d,1.img"\n format="raw"\n if = "none"\n'
                '[device "disk"]\n  driver = "virtio-blk-pci"\n  drive = "d"\n[smp-opts]\n  cpus = "2"\n'
                '[chardev "c"]\n  backend = "ringbuf"\n[global]\n driver = "virtio-blk-pci"\n property = "addr"\n'
                ' value = "9"\n')
    lines = ["info name", "info qtree", "info block", "info cpus", "info chardev"]
    got = ask(lines, "-readconfig", "config")
    wanted = ask(lines, "-name", "a,, b", "-m", "64", "-M", "pc,hpet=off", "-drive",
                 "file=d,,1.img,format=raw,if=none,id=d", "-device", "virtio-blk-pci,drive=d,id=disk,addr=9", "-smp", "2",
                 "-chardev", "ringbuf,id=c")
    equal([re.sub(r"thread_id=\d+", "", a) for a in got], [re.sub(r"thread_id=\d+", "", a) for a in wanted])


@case
def a_short_image_is_rounded_up_and_an_empty_one_is_empty():
    for size, seen in ((0, 0), (1, 512), (100, 512), (512, 512), (513, 1024)):
        with open("short.img", "wb") as f:
            f.write(b"x" * size)
        equal(ask(["info block"], "-drive", "file=short.img,format=raw,if=virtio"),
              [f"virtio0: short.img (raw), {seen} bytes\n"])
        equal(os.path.getsize("short.img"), size)


@case
def messages_begin_as_asked():
    _, err = run("-msg", "timestamp=on", "-name", "g", "-M", "none", "-display", "none", "-device", "isa-debugcon",
                 status=1)
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z metaphrase: -device ", err), err
    _, err = run("-msg", "guest-name=on", "-name", "g", "-display", "none", "-device", "isa-debugcon", status=1)
    assert err.startswith("g metaphrase: -device "), err


@case
def events_are_traced_where_asked():
    with open("events", "w", encoding="ascii") as f:
        f.write("# some\nhmp_*\nrtc_write\n")
    ask(["info status", "o /b 0x70 0x0d", "o /b 0x43 0x34"], "-trace", "events=events,file=trace.log")
    with open("trace.log", encoding="ascii") as f:
        text = f.read()
    for line in ("hmp_command info status\n", "rtc_write port=0 index=0x", "hmp_command quit\n"):
        assert line in text, (line, text)
    assert "pit_write" not in text, text
    ask(["o /b 0x43 0x34", "trace-event pit_write off", "o /b 0x43 0x30"], "-d", "trace:pit_*", "-D", "log-%d")
    log, = [n for n in os.listdir(".") if n.startswith("log-")]
    with open(log, encoding="ascii") as f:
        equal(f.read(), "pit_write reg=3 val=0x34\n")


# -- Devices that are ports ------------------------------------------------------------------------

@case
def test_devices_answer():
    m = Machine("-device", "pc-testdev", "-device", "pvpanic,ioport=0x605", "-device", "ib700")
    for line in ("o /w 0xe0 0x11223344", "o /b 0xe5 1"):
        equal(m.ask(line), "")
    for line, value in (("i /w 0xe0", "portl[0x00e0] = 0x11223344"), ("i /b 0xe2", "portb[0x00e2] = 0x22"),
                        ("i /h 0xe8", "portw[0x00e8] = 0x3344"), ("i /b 0x605", "portb[0x0605] = 0x03")):
        equal(m.ask(line).strip(), value)
    assert "ff000000" in m.ask("info mtree"), "the memory window"
    before = m.ask("info irq")
    for line in ("o /b 0x2005 1", "o /b 0x2005 0"):
        m.ask(line)
    equal([a for a, b in zip(m.ask("info irq").split("\n"), before.split("\n")) if a != b], [" 5: 1"])
    m.quit()


@case
def the_monitor_shows_what_the_machine_is_made_of():
    tree, roms, jit, threads, snapshots = ask(
        ["info qtree", "info roms", "info jit", "info iothreads", "info snapshots"], "-device",
        "virtio-rng-pci,id=rng,addr=5", "-object", "iothread,id=io7")
    assert 'dev: virtio-rng-pci, id "rng"\n        addr = 05.0\n' in tree, tree
    assert "bus: pci.0" in tree and "dev: i440FX" in tree, tree
    assert re.search(r'^addr=00000000fffc0000 size=0x040000 mem=rom name="firmware"$', roms, re.M), roms
    assert jit.startswith("Engine translate") and "instructions translated" in jit, jit
    assert re.match(r"io7:\n  thread_id=\d+\n", threads), threads
    assert "snapshot" in snapshots
    assert "not supported: plugging devices" in ask(["device_add virtio-rng-pci"])[0]


@case
def page_tables_are_shown():
    m = Machine("-kernel", debuggee, "-m", "16", "-smp", "2")
    equal((m.ask("info tlb"), m.ask("info mem")), ("PG disabled\n", "PG disabled\n"))
    symbol, = [line.split() for line in subprocess.run(["nm", debuggee], capture_output=True, text=True, check=True)
               .stdout.splitlines() if line.endswith(" loop")]
    page = int(symbol[0], 16) & ~0x1fffff
    m.ask("cont")
    deadline = time.monotonic() + TIMEOUT
    while "PG disabled" in m.ask("info mem"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    m.ask("stop")
    entries = {int(a, 16): (int(b, 16), flags) for a, b, flags in
               re.findall(r"^([0-9a-f]{16}): ([0-9a-f]{16}) ([-XGPDACTUW]{9})$", m.ask("info tlb"), re.M)}
    hit = max(a for a in entries if a <= int(symbol[0], 16))
    assert entries[hit][0] == hit and hit >= page and entries[hit][1][8] == "W", (hex(hit), entries[hit])
    ranges = re.findall(r"^([0-9a-f]{16})-([0-9a-f]{16}) ([0-9a-f]{16}) ([u-])r([w-])$", m.ask("info mem"), re.M)
    assert any(int(a, 16) <= hit < int(b, 16) and int(b, 16) - int(a, 16) == int(n, 16) and w == "w"
               for a, b, n, _, w in ranges), ranges
    m.ask("cpu 1")                                  # in real mode
    equal(m.ask("info tlb"), "PG disabled\n")
    m.quit()


# -- Lines -----------------------------------------------------------------------------------------

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@case
def telnet_is_spoken():
    port = free_port()
    m = Machine("-chardev", f"socket,id=t,host=127.0.0.1,port={port},server=on,wait=off,telnet=on", "-mon",
                "chardev=t,mode=readline")
    s = m.connect(("127.0.0.1", port))
    equal(s.recv(12, socket.MSG_WAITALL), bytes.fromhex("fffb01 fffb03 fffb00 fffd00"))
    m.read("(qemu) ", s)
    # a negotiation in two pieces, a subnegotiation and an escaped FFh are no part of the line
    for piece in (b"pri\xff", b"\xfd\x03nt \xff\xfa\x18\x00xt\xff\xf0", b"2+\xff\xfe\x01", b"3\r\n"):
        s.sendall(piece)
        time.sleep(0.05)
    assert m.read("(qemu) ", s).endswith("\n0x5\n")
    s.sendall(b"zz\xff\xff\n")
    text = s.recv(65536)
    while not text.endswith(b"(qemu) "):
        text += s.recv(65536)
    assert b"unknown command: 'zz" in text, text
    s.close()
    assert f"t: filename=telnet:127.0.0.1:{port},server=on" in m.ask("info chardev")
    m.quit()


@case
def a_parent_may_hand_over_sockets():
    for listening in (True, False):
        if listening:
            ours, path = socket.socket(socket.AF_UNIX), "given"
            ours.bind(path)
            ours.listen()
            other = socket.socket(socket.AF_UNIX)
            other.connect(path)
        else:
            ours, other = socket.socketpair()
        p = subprocess.Popen([metaphrase, "-display", "none", "-nodefaults", "-M", "none", "-chardev",
                              f"socket,id=m,fd={ours.fileno()}" + (",server=on,wait=off" if listening else ""), "-mon",
                              "chardev=m"], pass_fds=[ours.fileno()], stderr=subprocess.PIPE)
        ours.close()
        other.settimeout(TIMEOUT)
        text = b""
        while not text.endswith(b"(qemu) "):
            data = other.recv(4096)
            assert data, p.stderr.read()
            text += data
        other.sendall(b"quit\n")
        equal(p.wait(TIMEOUT), 0)
        p.stderr.close()
        other.close()
    os.unlink("given")


@case
def another_character_begins_the_terminals_commands():
    for options, keys in (((), b"\x01"), (("-echr", "20"), b"\x14"), (("-echr", "0x14"), b"\x14")):
        ours, theirs = socket.socketpair()
        p = subprocess.Popen([metaphrase, "-display", "none", "-nodefaults", "-M", "none", "-chardev",
                              f"socket,id=m,fd={theirs.fileno()},mux=on", "-mon", "chardev=m", *options],
                             pass_fds=[theirs.fileno()])
        theirs.close()
        ours.settimeout(TIMEOUT)
        ours.sendall(keys + b"h")
        text = b""
        while b"send Ctrl-" not in text:
            text += ours.recv(4096)
        assert (b"Ctrl-%c x" % (keys[0] + 64)) in text, text
        ours.sendall(keys + b"x")
        equal(p.wait(TIMEOUT), 0)
        ours.close()


@case
def what_libvirt_says_of_a_domain_is_taken():
    """The options of a domain of libvirt 9.0, but for its secret, which is refused by name."""
    with open("disk.img", "wb") as f:
        f.truncate(1 << 20)
    monitor, theirs = socket.socketpair()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("agent")
    listening.listen()
    p = subprocess.Popen(
        [metaphrase, "-name", "guest=t1,debug-threads=on", "-S", "-machine",
         "pc-i440fx-7.2,usb=off,dump-guest-core=off,memory-backend=pc.ram", "-accel", "tcg", "-cpu", "max", "-m", "64",
         "-object", '{"qom-type":"memory-backend-ram","id":"pc.ram","size":67108864}', "-overcommit", "mem-lock=off",
         "-smp", "2,sockets=2,cores=1,threads=1", "-uuid", "b389e21c-1d41-430a-8329-e5064f3d55dc", "-display", "none",
         "-no-user-config", "-nodefaults", "-chardev", f"socket,id=charmonitor,fd={theirs.fileno()}",
         "-mon", "chardev=charmonitor,id=monitor,mode=control", "-rtc", "base=utc", "-no-shutdown", "-boot", "strict=on",
         "-device", '{"driver":"virtio-serial-pci","id":"virtio-serial0","bus":"pci.0","addr":"0x2"}', "-blockdev",
         '{"driver":"file","filename":"disk.img","node-name":"libvirt-1-storage","auto-read-only":true,"discard":"unmap"}',
         "-blockdev",
         '{"node-name":"libvirt-1-format","read-only":false,"driver":"raw","file":"libvirt-1-storage"}',
         "-device", '{"driver":"virtio-blk-pci","bus":"pci.0","addr":"0x3","drive":"libvirt-1-format",'
         '"id":"virtio-disk0","bootindex":1}', "-chardev", "pty,id=charserial0", "-device",
         '{"driver":"isa-serial","chardev":"charserial0","id":"serial0","index":0}', "-chardev",
         f"socket,id=charchannel0,fd={listening.fileno()},server=on,wait=off", "-device",
         '{"driver":"virtserialport","bus":"virtio-serial0.0","nr":1,"chardev":"charchannel0","id":"channel0",'
         '"name":"org.qemu.guest_agent.0"}', "-audiodev", '{"id":"audio1","driver":"none"}', "-device",
         '{"driver":"ib700","id":"watchdog0"}', "-watchdog-action", "reset", "-object",
         '{"qom-type":"rng-random","id":"objrng0","filename":"/dev/urandom"}', "-device",
         '{"driver":"virtio-rng-pci","rng":"objrng0","id":"rng0","bus":"pci.0","addr":"0x4"}', "-sandbox",
         "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", "-device", '{"driver":"pvpanic"}',
         "-msg", "timestamp=on"],
        pass_fds=[theirs.fileno(), listening.fileno()], stderr=subprocess.PIPE, env=environment(["-sandbox"]))
    theirs.close()
    listening.close()
    monitor.settimeout(TIMEOUT)
    lines = monitor.makefile("rw", encoding="utf-8")
    try:
        assert "QMP" in json.loads(lines.readline())
        for command, arguments in (
                ("qmp_capabilities", {}), ("query-chardev", {}), ("query-cpus-fast", {}), ("query-iothreads", {}),
                ("qom-list", {"path": "/machine/unattached/device[0]"}), ("query-named-block-nodes", {"flat": True}),
                ("query-blockstats", {"query-nodes": True}), ("query-block", {}), ("cont", {}), ("query-status", {}),
                ("system_powerdown", {}), ("stop", {})):
            lines.write(json.dumps({"execute": command, "arguments": arguments}))
            lines.flush()
            answer = json.loads(lines.readline())
            while "event" in answer:
                answer = json.loads(lines.readline())
            assert "return" in answer, (command, answer)
    finally:
        p.terminate()
        errors = p.stderr.read().decode()
        p.wait(TIMEOUT)
    assert re.match(r"\S+Z metaphrase: char device redirected to /dev/pts/\d+ \(label charserial0\)\n", errors), errors
    equal(p.returncode, 0)
    monitor.close()
    os.unlink("agent")


# -- Rights ----------------------------------------------------------------------------------------

def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


@case
def the_filter_is_on_every_thread_and_all_works_under_it():
    with open("disk.img", "wb") as f:
        f.truncate(1 << 20)
    m = Machine("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", "-smp", "2",
                "-object", "iothread,id=io", "-drive", "file=disk.img,format=raw,if=none,id=d", "-device",
                "virtio-blk-pci,drive=d,iothread=io", "-kernel", debuggee, "-m", "16")
    threads = os.listdir(f"/proc/{m.process.pid}/task")
    assert len(threads) >= 5, threads                # main, two CPUs, a disk's worker, the I/O thread
    for t in threads:
        s = status(t)
        equal((s["Seccomp"], s["NoNewPrivs"]), ("2", "1"))
    m.ask("cont")
    time.sleep(0.2)
    for line, wanted in ((f'pmemsave 0 4096 "{m.dir}/saved"', ""), ("logfile log", ""), ("info cpus", "CPU #1"),
                         ("stop", ""), ("accel-set interpret", ""), ("cont", ""), ("info status", "running")):
        answer = m.ask(line)
        assert wanted in answer and "Error" not in answer, (line, answer)
    equal(os.path.getsize(m.dir / "saved"), 4096)
    assert "Waiting" in m.ask(f"gdbserver unix:{m.dir}/gdb"), "new sockets"
    equal(m.quit(), "")
    m = Machine("-sandbox", "off")
    equal(status(m.process.pid)["Seccomp"], status(os.getpid())["Seccomp"])
    m.quit()


@case
def forbidden_calls_are_deadly():
    """A system call is made in the process by gdb."""
    if subprocess.run(["sh", "-c", "command -v gdb"], capture_output=True, check=False).returncode != 0:
        raise Skip("no gdb")
    for options, call, dies in ((("-sandbox", "on"), "fork()", True), (("-sandbox", "on"), "getppid()", False),
                                (("-sandbox", "on,elevateprivileges=allow"), "setsid()", False),
                                (("-sandbox", "on"), "sched_setaffinity(0, 0, 0)", True),
                                (("-sandbox", "on,spawn=allow"), "unshare(0)", True),
                                (("-sandbox", "on"), "kill(1, 0)", False)):
        m = Machine(*options)
        r = subprocess.run(["gdb", "-q", "-nx", "-batch", "-p", str(m.process.pid), "-ex", f"print (int){call}"],
                           capture_output=True, text=True, timeout=TIMEOUT, check=False)
        if "ptrace: Operation not permitted" in r.stderr + r.stdout or "Could not attach" in r.stderr + r.stdout:
            m.quit()
            raise Skip("no ptrace here")
        if dies:
            equal(m.process.wait(TIMEOUT), -signal.SIGSYS)
        else:
            assert m.process.poll() is None, (call, r.stdout)
            equal("$1 = -1" in r.stdout, call.startswith(("kill", "sched")))
            m.quit()
        m.end()


@case
def the_user_is_another_one():
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")
    for who in ("nobody", "65534:65534"):
        m = Machine("-runas", who, "-sandbox", "on")
        s = status(m.process.pid)
        equal((s["Uid"].split(), s["Gid"].split()), (["65534"] * 4, ["65534"] * 4))
        assert "0" not in s["Groups"].split(), s["Groups"]
        m.quit()


@case
def only_root_may_become_another_user():
    if os.geteuid() == 0:
        raise Skip("root may")
    _, err = run("-runas", "root", "-display", "none", status=1)
    assert "cannot become that user" in err, err


def attempt(f):
    try:
        f()
        return "ok"
    except Skip as e:
        return f"skipped: {e}"
    except Exception:
        traceback.print_exc()
        return "FAIL"


bad = 0
with tempfile.TemporaryDirectory(prefix="metaphrase-options-") as scratch:
    os.chmod(scratch, 0o755)
    os.chdir(scratch)
    for f in cases:
        if len(sys.argv) > 3 and f.__name__ not in sys.argv[3:]:
            continue
        result = attempt(f)
        print(result, f.__name__, flush=True)
        bad += result == "FAIL"
    os.chdir("/")
sys.exit(bad != 0)
