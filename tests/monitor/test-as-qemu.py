#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-as-qemu.py METAPHRASE: a script of QMP and human commands written for QEMU runs unchanged.  It runs on
qemu-system-x86_64 first, where there is one: what it expects is what QEMU does.

The script looks at what clients look at: which commands succeed, errors and their classes, events and their
order, members of answers, the lines of the human monitor that people cut with regular expressions."""
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile

from gdb_client import connect

TIMEOUT = 30 * float(os.environ.get("METAPHRASE_TEST_SLOWNESS", "1"))
steps = 0


def check(good, what):
    assert good, what


class Machine:
    """QEMU's options, to the letter."""

    def __init__(self, program, directory):
        self.dir = directory
        self.disk = os.path.join(directory, "disk,1.img")
        with open(self.disk, "wb") as f:
            f.truncate(1 << 20)
        qmp, hmp = (os.path.join(directory, n) for n in ("qmp", "hmp"))
        self.process = subprocess.Popen(
            [program, "-name", "guest=as-qemu,debug-threads=on", "-nodefaults", "-no-user-config", "-display", "none",
             "-machine", "pc-i440fx-7.2,accel=tcg,usb=off", "-cpu", "qemu64", "-m", "64", "-smp",
             "2,sockets=2,cores=1,threads=1", "-uuid", "12345678-1234-1234-1234-123456789abc", "-S", "-no-reboot",
             "-boot", "strict=on", "-rtc", "base=utc", "-overcommit", "mem-lock=off", "-msg", "timestamp=on",
             "-object", '{"qom-type":"rng-random","id":"rng0","filename":"/dev/urandom"}',
             "-device", '{"driver":"virtio-rng-pci","rng":"rng0","id":"rng-dev"}',
             "-blockdev", json.dumps({"driver": "file", "filename": self.disk, "node-name": "storage"}),
             "-blockdev", json.dumps({"driver": "raw", "file": "storage", "node-name": "format", "read-only": False}),
             "-device", '{"driver":"virtio-blk-pci","drive":"format","id":"disk0","bootindex":1}',
             "-chardev", "ringbuf,id=ring,size=4096", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4",
             "-device", "virtio-serial-pci,id=vs0", "-chardev", "null,id=c0",
             "-device", "virtserialport,bus=vs0.0,nr=1,chardev=c0,name=org.test.0", "-device", "pvpanic",
             "-chardev", f"socket,id=mon,path={qmp},server=on,wait=off", "-mon", "chardev=mon,mode=control",
             "-monitor", f"unix:{hmp},server,nowait"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.qmp, self.hmp = connect(qmp, self.process), connect(hmp, self.process)
        self.text, self.events = b"", []
        greeting = self.message()
        check(sorted(greeting["QMP"]) == ["capabilities", "version"], greeting)

    def message(self):
        while b"\n" not in self.text:
            data = self.qmp.recv(65536)
            check(data, "QMP ended")
            self.text += data
        line, _, self.text = self.text.partition(b"\n")
        return json.loads(line)

    def command(self, name, **arguments):
        """What a command returns, or its error class; the events before it are in self.events."""
        global steps
        steps += 1
        self.events = []
        self.qmp.sendall(json.dumps({"execute": name, "id": steps,
                                     "arguments": {k.replace("_", "-"): v for k, v in arguments.items()}}).encode())
        while True:
            m = self.message()
            if "event" in m:
                self.events.append((m["event"], m.get("data", {})))
                continue
            check(m.get("id") == steps, m)
            return m["error"]["class"] if "error" in m else m["return"]

    def human(self, line):
        """The human monitor's answer, as people's scripts read it."""
        global steps
        steps += 1
        text = ""
        if line:
            self.hmp.sendall(line.encode() + b"\n")
        while not text.endswith("(qemu) "):
            ready, _, _ = select.select([self.hmp], [], [], TIMEOUT)
            check(ready, f"{line}: no prompt after {text!r}")
            data = self.hmp.recv(65536)
            check(data, "the monitor ended")
            text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text + data.decode().replace("\r", ""))
        return text.removesuffix("(qemu) ").partition("\n")[2]


def qmp_script(m):
    check(m.command("query-status") == "CommandNotFound", "nothing before the negotiation")
    check(m.command("qmp_capabilities") == {}, "negotiation")
    check(m.command("query-status")["status"] == "prelaunch", "query-status")
    check(m.command("query-name") == {"name": "as-qemu"}, "query-name")
    check(m.command("query-uuid")["UUID"] == "12345678-1234-1234-1234-123456789abc", "query-uuid")
    check(sorted(m.command("query-version")["qemu"]) == ["major", "micro", "minor"], "query-version")
    check(m.command("query-kvm")["enabled"] is False, "query-kvm")
    check(m.command("query-target") == {"arch": "x86_64"}, "query-target")
    check({"query-status", "stop", "cont", "human-monitor-command", "device-list-properties"} <=
          {c["name"] for c in m.command("query-commands")}, "query-commands")
    kinds = {e["meta-type"] for e in m.command("query-qmp-schema")}
    check({"command", "event", "object", "enum", "array", "builtin"} <= kinds, "query-qmp-schema")
    cpus = m.command("query-cpus-fast")
    check([c["cpu-index"] for c in cpus] == [0, 1] and all(os.path.exists(f"/proc/{c['thread-id']}") for c in cpus),
          "query-cpus-fast")
    check(m.command("qom-get", path=cpus[0]["qom-path"], property="realized") is True, "qom-get")
    check(len(m.command("query-hotpluggable-cpus")) == 2, "query-hotpluggable-cpus")
    check(m.command("query-memory-size-summary")["base-memory"] == 64 << 20, "query-memory-size-summary")
    disk, = [b for b in m.command("query-block") if b.get("inserted")]
    check((disk["device"], disk["qdev"], disk["inserted"]["node-name"], disk["inserted"]["drv"],
           disk["inserted"]["image"]["virtual-size"]) ==
          ("", "/machine/peripheral/disk0/virtio-backend", "format", "raw", 1 << 20), disk)
    check("format" in {n["node-name"] for n in m.command("query-named-block-nodes", flat=True)}, "nodes")
    check({"ring", "c0", "mon"} <= {c["label"] for c in m.command("query-chardev")}, "query-chardev")
    pci = m.command("query-pci")[0]["devices"]
    check({"rng-dev", "disk0", "vs0"} <= {d["qdev_id"] for d in pci} and
          (0x8086, 0x1237) in {(d["id"]["vendor"], d["id"]["device"]) for d in pci}, "query-pci")
    check({"disk0", "rng-dev"} <= {p["name"] for p in m.command("qom-list", path="/machine/peripheral")}, "qom-list")
    check({"virtio-blk-pci", "isa-debug-exit", "max-x86_64-cpu"} <=
          {t["name"] for t in m.command("qom-list-types")}, "qom-list-types")
    check({"drive", "serial", "bootindex"} <=
          {p["name"] for p in m.command("device-list-properties", typename="virtio-blk-pci")}, "properties")
    check(m.command("device-list-properties", typename="no-such") == "DeviceNotFound", "DeviceNotFound")
    check("pc" in {x.get("alias") for x in m.command("query-machines")}, "query-machines")
    check({"qemu64", "max"} <= {d["name"] for d in m.command("query-cpu-definitions")}, "query-cpu-definitions")
    check(m.command("query-cpu-model-expansion", type="full", model={"name": "qemu64"})["model"]["props"]["lm"],
          "query-cpu-model-expansion")
    check(m.command("ringbuf-write", device="ring", data="abc") == {} and
          m.command("ringbuf-read", device="ring", size=10) == "abc", "ringbuf")
    check(m.command("chardev-add", id="n", backend={"type": "null", "data": {}}) == {} and
          m.command("chardev-remove", id="n") == {}, "chardev-add")
    check(m.command("object-add", **{"qom-type": "rng-random", "id": "r9"}) == {} and
          m.command("object-del", id="r9") == {}, "object-add")
    check(m.command("no-such-command") == "CommandNotFound", "CommandNotFound")
    check(m.command("query-status", zz=1) == "GenericError", "GenericError")
    check(m.command("cont") == {} and m.events[0][0] == "RESUME", f"cont {m.events}")
    check(m.command("stop") == {} and m.events[0][0] == "STOP", "stop")
    check(m.command("query-status")["status"] == "paused", "paused")
    path = os.path.join(m.dir, "saved")
    check(m.command("pmemsave", val=0xffff0, size=16, filename=path) == {} and os.path.getsize(path) == 16, "pmemsave")
    check(m.command("dump-guest-memory", paging=False, protocol="file:" + path) == {} and
          open(path, "rb").read(4) == b"\x7fELF", "dump-guest-memory")
    check(m.command("send-key", keys=[{"type": "qcode", "data": "ret"}]) == {}, "send-key")
    check(m.command("inject-nmi") == {}, "inject-nmi")
    check(m.command("human-monitor-command", command_line="info status").startswith("VM status: paused"), "hmp")
    check(m.command("set-action", reboot="reset", panic="pause") == {}, "set-action")
    check(m.command("system_reset") == {}, "system_reset")


def human_script(m):
    m.human("")                # the banner
    check(m.human("info status").startswith("VM status: paused"), "info status")
    check(re.search(r"^\* CPU #0: thread_id=\d+", m.human("info cpus"), re.M), "info cpus")
    check(re.search(r"^E?R?[AI][XP]=", m.human("info registers"), re.M), "info registers")
    check(re.search(r"^[0-9a-f]{16}: 0x[0-9a-f]{2} 0x[0-9a-f]{2}$", m.human("xp /2xb 0xffff0").strip()), "xp")
    check(m.human("print 2 + 3").strip() == "0x5", "print")
    check(re.search(r"(?i)Bus +0, device +0, function 0:", m.human("info pci")), "info pci")
    check("disk,1.img" in m.human("info block"), "info block")
    check(re.search(r"^ring: filename=ringbuf", m.human("info chardev"), re.M), "info chardev")
    check(re.search(r'dev: virtio-rng-pci, id "rng-dev"', m.human("info qtree")), "info qtree")
    check("ff000000" not in m.human("info mtree") and "i/o" in m.human("info mtree"), "info mtree")
    check(m.human("info tlb").strip() == "PG disabled" and m.human("info mem").strip() == "PG disabled", "info tlb")
    check(m.human("info name").strip() == "as-qemu", "info name")
    check(m.human("info uuid").strip() == "12345678-1234-1234-1234-123456789abc", "info uuid")
    check("no block device can store vmstate" in m.human("info snapshots"), "info snapshots")
    check(re.search(r'^addr=[0-9a-f]{16} size=0x[0-9a-f]{6} mem=rom name=', m.human("info roms"), re.M) or
          "fw=" in m.human("info roms"), "info roms")
    check(m.human("nonsense").startswith("unknown command: 'nonsense'"), "unknown command")
    check(m.human("sum 0 16").strip().isdigit(), "sum")
    check(re.match(r"portb\[0x0071\] = 0x", m.human("i /b 0x71")), "i")
    for line in ("o /b 0x70 0x0d", "sendkey ctrl-alt-delete", "nmi", "cont", "stop", "log none", "cpu 1"):
        check(m.human(line) == "", line)
    m.hmp.sendall(b"quit\n")
    check(m.process.wait(TIMEOUT) == 0, "status 0")


def run(program):
    global steps
    steps = 0
    with tempfile.TemporaryDirectory() as directory:
        m = None
        try:
            m = Machine(program, directory)
            qmp_script(m)
            done = steps
            human_script(m)
            errors = m.process.stderr.read().decode()
            check(not errors.strip(), errors)
        except (AssertionError, OSError, KeyError, IndexError, ValueError, TypeError) as e:
            print(f"FAIL {program}, step {steps}: {e!r}")
            return False
        finally:
            if m is not None and m.process.poll() is None:
                m.process.kill()
                m.process.wait()
    print(f"{program}: {done} QMP and {steps - done} human commands")
    return True


qemu = shutil.which("qemu-system-x86_64")
if qemu is None:
    print("qemu-system-x86_64 is not there: what the script expects was not checked against it")
results = [run(p) for p in ([qemu] if qemu else []) + [os.path.abspath(sys.argv[1])]]
sys.exit(not all(results))
