#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""firmware.py CASE: SeaBIOS boots our boot sector from every kind of drive; memtest86+ starts."""
import os
import re
import sys
import time

import guest as g
from guest import check, check_equal, start, tool

CODE = 0x15                            # what the boot sector ends with
EXIT = ["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-m", "32"]


def need_firmware():
    if not any(os.path.exists(os.path.join(d, "bios-256k.bin"))
               for d in ("/usr/share/seabios", "/usr/share/qemu")):
        raise g.Skip("seabios is not installed")


def boot_sector():
    """Assemble bootsector.S: 1024 bytes."""
    need_firmware()
    out = os.path.join(g.scratch_dir(), "boot.bin")
    tool("gcc", "-m32", "-nostdlib", "-Wl,-Ttext=0x7c00,--oformat=binary,--build-id=none", "-o", out,
         os.path.join(g.HERE, "bootsector.S"))
    with open(out, "rb") as f:
        code = f.read()
    check_equal(len(code), 1024, "length of the boot sector")
    return code


def image(content, size):
    path = os.path.join(g.scratch_dir(), "disk.img")
    with open(path, "wb") as f:
        f.write(content)
        f.truncate(size)
    return path


def iso(code):
    """An ISO 9660 image with nothing but an El Torito boot entry without emulation: ECMA-119 8.4,
    El Torito 1.0 chapter 2."""
    sectors = [bytes(2048)] * 16

    def both(n, size):
        return n.to_bytes(size, "little") + n.to_bytes(size, "big")

    root = (bytes([34, 0]) + both(20, 4) + both(2048, 4) + bytes([70, 1, 1, 0, 0, 0, 0]) +
            bytes([2, 0, 0]) + both(1, 2) + bytes([1, 0]))
    primary = (b"\1CD001\1\0" + b" " * 32 + b"METAPHRASE".ljust(32) + bytes(8) + both(22, 4) +
               bytes(32) + both(1, 2) + both(1, 2) + both(2048, 2) + both(0, 4) + bytes(16) + root)
    sectors.append(primary.ljust(2048, b"\0"))
    sectors.append((b"\0CD001\1EL TORITO SPECIFICATION".ljust(71, b"\0") +
                    (19).to_bytes(4, "little")).ljust(2048, b"\0"))
    sectors.append(b"\xffCD001\1".ljust(2048, b"\0"))
    validation = bytearray(b"\1\0\0\0" + b"metaphrase".ljust(24, b"\0") + b"\0\0\x55\xaa")
    total = sum(int.from_bytes(validation[i:i + 2], "little") for i in range(0, 32, 2))
    validation[28:30] = (-total & 0xffff).to_bytes(2, "little")
    entry = (bytes([0x88, 0, 0, 0, 0, 0]) + (len(code) // 512).to_bytes(2, "little") +
             (21).to_bytes(4, "little"))
    sectors.append((bytes(validation) + entry).ljust(2048, b"\0"))
    here, up = bytearray(root), bytearray(root)
    up[33] = 1
    sectors.append((bytes(here) + bytes(up)).ljust(2048, b"\0"))
    sectors.append(code.ljust(2048, b"\0"))
    return b"".join(sectors)


def boots(drive_number, *options):
    machine = start(*EXIT, *options)
    machine.expect(f"^metaphrase: boot sector, drive {drive_number}$")
    machine.expect("^metaphrase: second sector$")
    machine.wait(CODE << 1 | 1)
    return machine


def sector():
    """From an IDE disk, a virtio disk, floppies of two sizes, a CD, and by -boot order."""
    code = boot_sector()
    disk = image(code, 4 << 20)
    boots("80", "-drive", f"file={disk},format=raw,if=ide")
    boots("80", disk)
    boots("80", "-drive", f"file={disk},format=raw,if=virtio")
    for size in (1440 << 10, 720 << 10):
        boots("00", "-drive", f"file={image(code, size)},format=raw,if=floppy", "-boot", "a")
    cd = image(iso(code), 64 * 2048)
    boots("[e-f][0-9a-f]|[89][0-9a-f]", "-cdrom", cd, "-boot", "d")
    boots("00", "-hda", disk, "-fda", image(code, 1440 << 10), "-boot", "order=ac")


def boot_index():
    """bootindex= before -boot, strict: nothing else; -option-rom runs before all."""
    code = boot_sector()
    good, empty = image(code, 1 << 20), os.path.join(g.scratch_dir(), "empty.img")
    with open(empty, "wb") as f:
        f.truncate(1 << 20)
    drives = ["-drive", f"file={empty},format=raw,if=none,id=a", "-drive", f"file={good},format=raw,if=none,id=b"]
    boots("80", *drives, "-device", "virtio-blk-pci,drive=a", "-device", "virtio-blk-pci,drive=b,bootindex=0")
    boots("80", *drives, "-device", "virtio-blk-pci,drive=a,bootindex=2", "-device",
          "virtio-blk-pci,drive=b,bootindex=1", "-boot", "strict=on")
    machine = start(*EXIT, *drives, "-device", "virtio-blk-pci,drive=a,bootindex=0", "-device",
                    "virtio-blk-pci,drive=b", "-boot", "strict=on")
    screen_shows(machine, "No bootable device")
    machine.monitor("quit")
    machine.wait(0)
    # an option ROM that prints on the debug console: mov $'R', %al; out %al, $0xe9; lret
    rom = bytearray(bytes([0x55, 0xaa, 1, 0xb0, ord("R"), 0xe6, 0xe9, 0xcb]).ljust(512, b"\0"))
    rom[511] = -sum(rom) & 0xff
    path, log = (os.path.join(g.scratch_dir(), n) for n in ("test.rom", "log"))
    with open(path, "wb") as f:
        f.write(rom)
    boots("80", "-hda", good, "-option-rom", path, "-device", "isa-debugcon,chardev=log,iobase=0xe9", "-chardev",
          f"file,id=log,path={log}")
    with open(log, "rb") as f:
        check(f.read().endswith(b"R"), "the option ROM has run")


def screen_shows(machine, pattern, timeout=g.STEP):
    deadline = time.monotonic() + timeout * g.SLOWNESS
    while True:
        text = machine.monitor("info screen")
        if re.search(pattern, text):
            return text
        if time.monotonic() > deadline:
            raise g.Failed(f"no {pattern!r} on the screen: {text}")
        time.sleep(0.1)


def menu():
    """The boot menu's prompt on the screen, and what SeaBIOS says when nothing boots."""
    need_firmware()
    machine = start("-m", "32", "-boot", "menu=on,splash-time=2000")
    screen_shows(machine, "SeaBIOS")
    screen_shows(machine, "Press ESC for boot menu")
    screen_shows(machine, "No bootable device")
    machine.monitor("system_reset")
    screen_shows(machine, "Press ESC for boot menu")
    machine.monitor("quit")
    machine.wait(0)


def memory():
    """The firmware starts in little and much memory."""
    code = boot_sector()
    disk = image(code, 1 << 20)
    for memory in ("2", "16M", "3G", "5G"):
        boots("80", "-hda", disk, "-m", memory)


def memtest():
    """memtest86+ by the Linux boot protocol, to its first screen, and on."""
    for name in ("memtest86+x64.bin", "memtest86+ia32.bin"):
        kernel = g.cached("memtest86+", f"root/boot/{name}")
        machine = start("-m", "64", "-smp", "2", "-kernel", kernel)
        text = screen_shows(machine, r"Memtest86\+ v\d", g.BOOT)
        text = screen_shows(machine, r"Pass +\d+%", g.BOOT)
        check(re.search(r"Test #\d+ +\[", text), f"a test runs: {text}")
        check("Errors: 0" in text, f"no errors: {text}")
        print(text)
        machine.monitor("quit")
        machine.wait(0)


CASES = {"sector": sector, "boot-index": boot_index, "menu": menu, "memory": memory, "memtest": memtest}

if __name__ == "__main__":
    sys.exit(g.main(CASES))
