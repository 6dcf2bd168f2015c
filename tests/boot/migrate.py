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
    check("inmigrate" in new.monitor("info status"), "it waits")   # and so listens
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
    said = ""                                  # by all processes: a line may begin in one and end in the next
    for _ in range(8):
        time.sleep(0.25)
        old, machine = machine, goes_on(options, "file", machine)
        while old.read_some(1):
            pass
        said += old.text
        if g.INIT_LINE in said:
            break
    deadline = time.monotonic() + g.BOOT * g.SLOWNESS
    while g.INIT_LINE not in said + machine.text and time.monotonic() < deadline:
        machine.read_some(1)
    check(g.INIT_LINE in said + machine.text, "it comes up")
    prompt_again(machine)
    check_equal(machine.run("grep -c ^processor /proc/cpuinfo"), f"{cpus}\n", "CPUs")
    machine.poweroff()


def disk_image(name):
    path = os.path.join(g.scratch_dir(), name)
    with open(path, "wb") as f:
        f.truncate(32 << 20)
    return path


def disks():
    """A virtio and an IDE disk, whose files and locks go from process to process; another size is another disk."""
    first, second = disk_image("virtio"), disk_image("ide")
    options = [*linux("-m", "256"), "-no-reboot", "-drive", f"file={first},if=virtio,format=raw", "-drive",
               f"file={second},if=ide,format=raw"]
    machine = start(*options)
    machine.shell()
    machine.run("modprobe -a virtio_blk ata_piix sd_mod; sleep 2; ls /dev/vda /dev/sda")
    for n in range(4):
        for device in "vda", "sda":
            machine.run(f"dd if=/proc/version of=/dev/{device} bs=64 count=1 seek={n} conv=notrunc,fsync 2>&1")
        machine = goes_on([*options, "-accel", ("interpret", "translate")[n % 2]], ("unix", "file")[n % 2], machine)
        prompt_again(machine)
        machine.run("echo 3 > /proc/sys/vm/drop_caches")
        for device in "vda", "sda":
            said = machine.run(f"dd if=/dev/{device} bs=64 skip={n} count=1 2>/dev/null; echo")
            check("Linux version" in said, f"{device} after {n + 1}: {said}")
    path = state_path()
    send(machine, f"file:{path}")
    there = start(*options, "-S")      # the lock is free now
    there.monitor("info status")
    check("could not lock" in machine.monitor("cont"), "another has the image")
    there.kill()
    check_equal(machine.monitor("cont").strip(), "", "the image is back")
    machine.run("true")
    machine.kill()
    with open(first, "ab") as f:
        f.truncate(16 << 20)
    other = start(*options, "-incoming", f"file:{path}")
    other.wait(1)
    check("virtio-blk-pci 0: " in other.errors() and "the disk had 33554432 bytes" in other.errors(), other.errors())


def busy_disk():
    """Saved again and again with requests under way, which all come to their end."""
    image = disk_image("busy")
    options = [*linux("-m", "256", "-smp", "2"), "-no-reboot", "-drive", f"file={image},if=virtio,format=raw"]
    machine = start(*options)
    machine.shell()
    machine.run("modprobe virtio_blk; for i in 1 2 3 4; do seq 1 200000 | md5sum; done > /tmp/sum; seq 1 200000 > /tmp/data")
    size = int(machine.run("wc -c < /tmp/data"))
    machine.send("work() { for n in 1 2 3 4 5 6; do dd if=/tmp/data of=/dev/vda bs=4k seek=$((1000 * $1)) conv=fsync 2>/dev/null;"
                 " echo 3 > /proc/sys/vm/drop_caches;"
                 f" dd if=/dev/vda bs=4k skip=$((1000 * $1)) 2>/dev/null | head -c {size} | md5sum; done; }}\n")
    machine.send("(work 0 & work 1 & work 2; wait) > /tmp/sums; sort /tmp/sums /tmp/sum | uniq -c; echo all is done\n")
    for n in range(5):
        time.sleep(0.3)
        old, machine = machine, goes_on(options, ("file", "unix")[n % 2], machine)
        while old.read_some(1):
            pass
        if "all is done\n" in old.text.partition("echo all is done")[2]:
            raise g.Failed("it was done too early")
    machine.expect("^ *22 [0-9a-f]{32}", g.BOOT)
    machine.expect("^all is done$")
    machine.expect(g.PROMPT)
    machine.poweroff()


def microvm():
    """The other machine, with a disk on virtio-mmio."""
    image = disk_image("mmio")
    options = [*linux("-m", "256", "-M", "microvm"), "-no-reboot", "-drive", f"file={image},if=virtio,format=raw"]
    machine = start(*options)
    machine.shell()
    machine.run("modprobe -a virtio_mmio virtio_blk; sleep 1; ls /dev/vda")
    for n in range(2):
        machine.run("cat /proc/version > /dev/vda; sync; echo 3 > /proc/sys/vm/drop_caches")
        machine = goes_on([*options, "-accel", ("interpret", "translate")[n]], ("unix", "file")[n], machine)
        prompt_again(machine)
        check("Linux version" in machine.run("dd if=/dev/vda bs=64 count=1 2>/dev/null; echo"), "the disk")
    machine.send("reboot -f\n")
    machine.wait(0)


def devices():
    """What else there is on PCI and ISA; a reset finds the kernel again."""
    options = [*linux("-m", "256"), "-device", "virtio-rng-pci", "-device", "virtio-serial-pci", "-chardev", "ringbuf,id=r,size=4096",
               "-device", "virtserialport,chardev=r,name=test.port", "-device", "pvpanic", "-device", "ib700",
               "-cdrom", disk_image("cdrom"), "-vga", "std"]
    machine = start(*options)
    machine.shell()
    machine.run("modprobe -a virtio_console virtio_rng; sleep 2; exec 3> /dev/vport1p1 || exec 3> /dev/vport0p1; echo one >&3")
    screen = machine.monitor("info screen")
    for n in range(2):
        machine = goes_on(options, ("unix", "file")[n], machine)
        prompt_again(machine)
        machine.run("echo two >&3; head -c 8 /dev/hwrng | wc -c")
        check_equal(machine.monitor("info screen"), screen, "the screen")
    machine.send("reboot -f\n")
    machine.shell()
    machine.poweroff()


CASES = {
    "microvm": microvm, "devices": devices,
    "disks": disks, "busy-disk": busy_disk,
    "shell": lambda: shell_of("1"), "shell-smp": lambda: shell_of("2"),
    "boot": lambda: boot_of("1"), "boot-smp": lambda: boot_of("2"),
}

if __name__ == "__main__":
    sys.exit(g.main(CASES))
