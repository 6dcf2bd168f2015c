#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""linux.py CASE: Debian's unmodified kernels on machine pc: boots, resets, CPUs, memory, clocks."""
import hashlib
import os
import re
import sys
import time

import guest as g
from guest import check, check_equal, linux, start


def to_init(*options, append="", says=None, **more):
    """Boot to the init line and no further; what the kernel said, with everything printed."""
    machine = start(*linux(*options, append=append, **more), "-no-reboot")
    machine.expect(g.INIT_LINE, g.BOOT)
    for pattern in [says] if isinstance(says, str) else says or []:
        check(re.search(pattern, machine.text), f"the kernel did not say {pattern!r}")
    answer = machine.monitor("quit")
    check_equal(answer.strip(), "", "answer of quit")
    machine.wait(0)
    return machine.text


# -- Shells ----------------------------------------------------------------------------------------

def shell():
    """One CPU: to the shell, some commands, power off."""
    machine = start(*linux("-smp", "1", "-m", "256"), "-no-reboot")
    machine.shell()
    check("Linux" in machine.run("uname -a"), "uname says Linux")
    check("x86_64" in machine.run("uname -m"), "uname -m")
    info = machine.run("cat /proc/cpuinfo")
    check_equal(len(re.findall(r"^processor\s*:", info, re.M)), 1, "CPUs")
    check_equal(machine.run("cat /sys/devices/system/cpu/online").strip(), "0", "CPUs online")
    check_equal(machine.run("echo $((6*7))").strip(), "42", "arithmetic")
    machine.run("false", status=1)
    interrupts = machine.run("cat /proc/interrupts")
    check(re.search(r"IO-APIC.*ttyS0", interrupts), "the serial line interrupts")
    check(re.search(r"LOC:\s+[1-9]", interrupts), "the local timer ticks")
    rtc = int(machine.run("cat /sys/class/rtc/rtc0/since_epoch"))
    check(abs(rtc - time.time()) < 600, f"the clock says {rtc}, here it is {time.time():.0f}")
    machine.poweroff()
    check("reboot: Power down" in machine.text, "the kernel powered off")
    check_equal(machine.errors(), "", "standard error")


def smp():
    """Two CPUs: both work, interrupt each other, agree."""
    # With KVM's way to flush TLBs there may be no need to interrupt anybody for it.
    machine = start(*linux("-smp", "2", "-m", "256", "-cpu", "max,kvm-pv-tlb-flush=off",
                           append="metaphrase.run=smp"), "-no-reboot")
    text = machine.script("smp")
    machine.wait(0)
    check("online 0-1" in text, "both CPUs are online")
    for kind in ("RES", "CAL", "TLB", "LOC"):
        match = re.search(rf"^ *{kind}: +(\d+) +(\d+)", text, re.M)
        check(match, f"/proc/interrupts has {kind} of two CPUs")
        check(int(match.group(1)) + int(match.group(2)) > 0, f"{kind} interrupts happen")
    check_equal(len(re.findall(r"^on \d ok$", text, re.M)), 2, "pinned workers")


def pae_686():
    """The 32-bit PAE kernel: to the shell, power off."""
    machine = start(*linux("-m", "256", name="686-pae"), "-no-reboot")
    machine.shell()
    check("i686" in machine.run("uname -m"), "uname -m")
    check(" pae " in machine.run("grep flags /proc/cpuinfo"), "pae in /proc/cpuinfo")
    machine.poweroff()


# -- Ends ------------------------------------------------------------------------------------------

def no_reboot():
    """A reset with -no-reboot ends the program with status 0."""
    machine = start(*linux("-m", "256"), "-no-reboot")
    machine.shell()
    machine.send("reboot -f\n")
    machine.wait(0)


def reboot():
    """A reset without -no-reboot boots again; so does the monitor's."""
    machine = start(*linux("-m", "256", append="metaphrase.run=reboot"))
    machine.expect(g.INIT_LINE, g.BOOT)
    machine.expect("reboot: Restarting system")
    machine.expect(g.INIT_LINE, g.BOOT)
    machine.monitor("quit")
    machine.wait(0)


def system_reset():
    """The monitor's system_reset while the kernel boots."""
    machine = start(*linux("-m", "256", append="ignore_loglevel"))
    machine.expect("Linux version", g.BOOT)
    machine.expect("Memory: ", g.BOOT)
    machine.monitor("system_reset")
    machine.expect("Linux version", g.BOOT)
    machine.expect("Memory: ", g.BOOT)
    machine.monitor("quit")
    machine.wait(0)


def panic():
    """A panic with panic=1 resets the machine."""
    machine = start(*linux("-m", "256", append="panic=1 metaphrase.run=panic"), "-no-reboot")
    machine.expect(g.INIT_LINE, g.BOOT)
    machine.expect("Kernel panic - not syncing")
    machine.wait(0)


def agent():
    """In the sandbox: a channel as guest agents use it, an I/O thread's disk, the page tables as the monitor shows
    them, and a crash that pvpanic reports."""
    directory = g.scratch_dir()
    path, disk = os.path.join(directory, "agent"), os.path.join(directory, "disk.img")
    with open(disk, "wb") as f:
        f.write(b"the disk's first bytes".ljust(1 << 20, b"\0"))
    machine = start(*linux(
        "-m", "256", "-smp", "2", "-sandbox", "on,spawn=deny", "-device", "pvpanic", "-action", "panic=exit-failure",
        "-chardev", f"socket,id=ga,path={path},server=on,wait=off", "-device", "virtio-serial-pci,id=vs,max_ports=8",
        "-device", "virtserialport,bus=vs.0,nr=5,chardev=ga,name=org.qemu.guest_agent.0", "-object", "iothread,id=io",
        "-blockdev", f"file,filename={disk},node-name=d", "-device", "virtio-blk-pci,drive=d,iothread=io",
        append="nokaslr"))
    socket = g.connect(path, machine.process)
    machine.shell()
    check_equal(machine.run("head -c 22 /dev/vda; echo").strip().splitlines()[-1], "the disk's first bytes", "the disk")
    check("vport0p5" in machine.run("ls -l /dev/virtio-ports 2>/dev/null; ls /sys/class/virtio-ports"), "port 5")
    machine.run("p=/dev/$(cd /sys/class/virtio-ports; echo vport*); exec 3<>$p")
    machine.send("read line <&3; echo \"{you said: $line}\" >&3; echo answered\n")
    socket.sendall(b'{"execute": "guest-ping"}\n')
    machine.expect("^answered")
    check_equal(socket.recv(100), b'{you said: {"execute": "guest-ping"}}\n', "the agent's answer")
    text = machine.run("grep ' T _text$' /proc/kallsyms").split()
    at = next(int(w, 16) for w in text if re.fullmatch("ffffffff[0-9a-f]{8}", w))
    tables = dict(re.findall(r"^([0-9a-f]{16}): ([0-9a-f]{16}) ", machine.monitor("info tlb"), re.M))
    machine.run("modprobe pvpanic-mmio")
    page = tables[f"{at & ~0x1fffff:016x}"]
    want = machine.run("grep 'Kernel code' /proc/iomem")
    check(int(re.search(r"([0-9a-f]+)-", want).group(1), 16) & ~0x1fffff == int(page, 16), f"{page} in {want}")
    machine.send("echo c > /proc/sysrq-trigger\n")
    machine.expect("Kernel panic - not syncing")
    machine.wait(1)


def powerdown():
    """The monitor presses the power button; the guest sees it and powers off."""
    machine = start(*linux("-m", "256", append="metaphrase.run=button"), "-no-reboot")
    machine.expect("waiting for the button", g.BOOT)
    machine.monitor("system_powerdown")
    machine.expect("button pressed")
    machine.wait(0)


# -- Variants --------------------------------------------------------------------------------------

def cpu_qemu64():
    machine = start(*linux("-cpu", "qemu64", "-m", "256"), "-no-reboot")
    machine.shell()
    flags = machine.run("grep -m 1 flags /proc/cpuinfo").split()
    check("lm" in flags and "avx" not in flags, f"flags {flags}")
    machine.poweroff()


def memory_small():
    """Little memory: the kernel asks for so much below its end, which is refused or enough."""
    machine = start(*linux("-m", "32"))
    machine.wait(1)
    least = int(re.search(r"needs at least (\d+) MiB of RAM$", machine.errors()).group(1))
    machine = start(*linux("-m", str(least + 24)), "-no-reboot")
    machine.shell()
    total = int(re.search(r"MemTotal: +(\d+)", machine.run("cat /proc/meminfo")).group(1))
    check(10 << 10 < total < (least + 24) << 10, f"MemTotal {total} kB")
    machine.poweroff()


def memory_4g():
    """Memory on both sides of the PCI hole."""
    machine = start(*linux("-m", "4G"), "-no-reboot")
    machine.shell()
    total = int(re.search(r"MemTotal: +(\d+)", machine.run("cat /proc/meminfo")).group(1))
    check(3800 << 10 < total < 4 << 20, f"MemTotal {total} kB")
    check("100000000-" in machine.run("grep 'System RAM' /proc/iomem"), "RAM above 4 GiB")
    machine.run("dd if=/dev/zero of=/tmp/x bs=1M count=24 2>/dev/null; cmp -n 25165824 /tmp/x /dev/zero")
    machine.poweroff()


def hpet():
    for option, there in (("on", True), ("off", False)):
        machine = start(*linux("-machine", f"pc,hpet={option}", "-m", "128",
                               append="metaphrase.run=clocks"), "-no-reboot")
        text = machine.script("clocks")
        machine.wait(0)
        sources = re.search(r"^available: (.*)$", text, re.M).group(1).split()
        check_equal("hpet" in sources, there, f"hpet={option}: hpet among {sources}")
        check("acpi_pm" in sources, f"acpi_pm among {sources}")


def no_apic():
    text = to_init("-m", "128", append="noapic ignore_loglevel")
    check("IO-APIC" not in text.partition("Command line")[0], "no IO-APIC before")


def no_acpi():
    to_init("-m", "128", append="acpi=off", says=None)


def no_smp():
    text = to_init("-m", "128", "-smp", "2", append="nosmp ignore_loglevel")
    check("SMP mode deactivated" in text or "smpboot: Total of 1" in text or
          "Brought up 1 node, 1 CPU" in text, "nosmp is obeyed")


def no_lapic():
    to_init("-m", "128", append="nolapic")


# -- Idle ------------------------------------------------------------------------------------------

def idle():
    """A guest that waits at its prompt uses next to no CPU."""
    machine = start(*linux("-m", "128"), "-no-reboot")
    machine.shell()
    time.sleep(3)
    before, begin = machine.cpu_seconds(), time.monotonic()
    time.sleep(5)
    share = (machine.cpu_seconds() - before) / (time.monotonic() - begin)
    print(f"an idle guest uses {100 * share:.1f} % of a CPU")
    check(share < 0.05, f"{100 * share:.1f} % of a CPU")
    machine.poweroff()


# -- ACPI ------------------------------------------------------------------------------------------

def acpi():
    """The tables that the guest sees disassemble and compile again without errors."""
    for name in ("iasl", "base64"):
        g.need_tool(name)
    machine = start(*linux("-m", "128", "-smp", "2", append="metaphrase.run=acpi"), "-no-reboot")
    text = machine.script("acpi")
    machine.wait(0)
    found = 0
    directory = g.scratch_dir()
    for match in re.finditer(r"^table (\S+)\n(.*?)^end \1$", text, re.M | re.S):
        import base64
        path = os.path.join(directory, match.group(1).replace("/", "-"))
        with open(path + ".dat", "wb") as f:
            f.write(base64.b64decode(match.group(2)))
        said = g.tool("iasl", "-d", path + ".dat", cwd=directory)
        check("Could not" not in said and "rror" not in said, f"iasl -d {match.group(1)}: {said}")
        said = g.tool("iasl", "-p", path + "-2", path + ".dsl", cwd=directory)
        errors = re.search(r"(\d+) Errors", said)
        check(errors and errors.group(1) == "0", f"iasl {match.group(1)}: {said}")
        found += 1
    check(found >= 4, f"{found} tables")
    for wanted in ("DSDT", "FACP", "APIC", "HPET"):
        check(f"table {wanted}\n" in text, f"there is {wanted}")


def accel_set():
    """The engine changes while two CPUs boot and work; nothing is lost."""
    machine = start(*linux("-smp", "2", "-m", "256"), "-no-reboot")
    turns = 0

    def change():
        nonlocal turns
        turns += 1
        answer = machine.monitor(f"accel-set {('interpret', 'translate')[turns % 2]}")
        check_equal(answer.strip(), "", "answer of accel-set")

    for _ in range(8):                 # while it boots
        change()
        time.sleep(0.2)
    machine.shell()
    wanted = hashlib.sha256("".join(f"{n}\n" for n in range(1, 2001)).encode()).hexdigest()
    machine.send("work() { for n in 1 2 3 4; do seq 1 2000 | sha256sum; done; }; work & work; wait; echo it is done\n")
    while not re.search("^it is done$", machine.text, re.M):
        change()
        machine.read_some(0.1)
    sums = re.findall(r"^([0-9a-f]{64})", machine.text, re.M)
    check(sums == [wanted] * 8, f"sums {sums} instead of {wanted}")
    check(turns > 12, f"{turns} changes")
    machine.expect("it is done$")
    machine.expect(g.PROMPT)
    machine.poweroff()
    check_equal(machine.errors(), "", "standard error")


CASES = {
    "shell": shell, "smp": smp, "686-pae": pae_686,
    "no-reboot": no_reboot, "reboot": reboot, "system-reset": system_reset, "panic": panic,
    "agent": agent,
    "powerdown": powerdown,
    "cpu-qemu64": cpu_qemu64, "memory-small": memory_small, "memory-4g": memory_4g, "hpet": hpet,
    "no-apic": no_apic, "no-lapic": no_lapic, "no-acpi": no_acpi, "no-smp": no_smp,
    "idle": idle, "acpi": acpi, "accel-set": accel_set,
}

if __name__ == "__main__":
    sys.exit(g.main(CASES))
