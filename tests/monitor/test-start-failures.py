#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Start-up when the host refuses: few descriptors, little address space, no threads.

test-start-failures.py METAPHRASE

Every limit is tried from hopeless up to where the machine starts: each run must either start (and is
then ended by the guest) or print one line and exit 1.  A crash, a hang or silence fails."""
import os
import resource
import subprocess
import sys
import tempfile

PROGRAM = os.path.abspath(sys.argv[1])


def kernel():
    """A flat Multiboot kernel that ends the machine by the debug-exit port with status 3."""
    image = bytearray(256)
    words = [0x1BADB002, 0x10003, -(0x1BADB002 + 0x10003) & 0xFFFFFFFF,
             0x200000, 0x200000, 0, 0x201000, 0x200064]
    image[0:32] = b"".join(w.to_bytes(4, "little") for w in words)
    image[100:115] = b"\xb8\x01\x00\x00\x00\xba\xf4\x00\x00\x00\xef\xf4\xeb\xfd\x90"
    return bytes(image)


def run(command, what, limit):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                          preexec_fn=lambda: resource.setrlimit(what, (limit, limit)), check=False)
    return done.returncode, done.stderr.decode(errors="replace").splitlines()


def libraries_failed(lines):
    return any("shared librar" in l or "cannot allocate memory in static TLS" in l for l in lines)


def main():
    failures = 0
    with tempfile.TemporaryDirectory() as tmp:
        image, disk = os.path.join(tmp, "kernel"), os.path.join(tmp, "disk")
        with open(image, "wb") as f:
            f.write(kernel())
        with open(disk, "wb") as f:
            f.truncate(1 << 20)
        command = [PROGRAM, "-M", "pc", "-nodefaults", "-vga", "std", "-m", "64", "-smp", "4",
                   "-serial", "null", "-monitor", "none", "-device",
                   "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", image,
                   "-drive", f"file={disk},if=virtio,format=raw"]
        tries = [("descriptors", resource.RLIMIT_NOFILE, n) for n in range(3, 16)]
        tries += [("address space", resource.RLIMIT_AS, n << 20)
                  for n in (16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 192, 224, 256, 320, 384, 512)]
        started = 0
        for name, what, limit in tries:
            try:
                status, lines = run(command, what, limit)
            except subprocess.TimeoutExpired:
                status, lines = "hangs", []
            if status == 3 or (status == 127 and libraries_failed(lines)):
                started += status == 3
                continue
            if status != 1 or len(lines) != 1:
                failures += 1
                print(f"FAIL {name} {limit}: status {status}, {lines}")
        print(f"{len(tries)} limits, {started} starts, {failures} failures")
        if started == 0:
            failures += 1
    return failures != 0


sys.exit(main())
