#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What cannot work ends with one clear line, status 1 and nothing created or changed.

usage: test-bad-input.py METAPHRASE"""
import os
import pathlib
import subprocess
import sys
import tempfile

metaphrase = os.path.abspath(sys.argv[1])

# Arguments, and what the message must hold.  Files are those of make_files().
CASES = [
    (["-foo"], "-foo: unknown option"),
    (["-machin", "pc"], "did you mean -machine?"),
    (["-kernel"], "-kernel: an argument is missing"),
    (["-gdb", "tcp:nowhere.invalid:x"], "-gdb tcp:nowhere.invalid:x: cannot"),
    (["-gdb", "chardev:x"], "there is no chardev 'x'"),
    (["-s", "-gdb", "none"], "-gdb none: gdb has a place already (-s)"),
    (["-machine", "none", "-s"], "-s: machine none has no CPU to debug"),
    (["-vnc", ":1"], "-vnc: not supported"),
    (["-M", "nothing"], "no machine type is called 'nothing'"),
    (["-M", "pc,hpett=off"], "did you mean 'hpet'?"),
    (["-M", "pc,usb=on"], "usb=on is not supported"),
    (["-accel", "kvm"], "engine 'kvm' cannot be used: it is not in this build"),
    (["-accel", "translate,chian=off"], "did you mean 'chain'?"),
    (["-accel", "tcg,chain=maybe"], "chain is 'on' or 'off', not 'maybe'"),
    (["-accel", "translate,tb-size=0"], "tb-size is a number from 1 to 1024, not '0'"),
    (["-accel", "translate,tiers=999"], "tiers is a number from 1 to 255"),
    (["-accel", "translate,jump-cache=3"], "jump-cache: a power of two is needed"),
    (["-accel", "tcg,split-wx=off"], "split-wx is one of on, not 'off'"),
    (["-accel", "tcg,thread=single", "-smp", "2"], "thread=single: each CPU has a thread"),
    (["-accel", "interpret,chain=off"], "unknown parameter 'chain'"),
    (["-accel", "warp"], "no engine is called 'warp'"),
    (["-cpu", "nothing"], "nothing"),
    (["-cpu", "max,+nothing"], "nothing"),
    (["-smp", "0"], "from 1 to 255"),
    (["-smp", "256"], "from 1 to 255"),
    (["-smp", "many"], "not 'many'"),
    (["-smp", "4,sockets=1,cores=2,threads=1"], "sockets * cores * threads"),
    (["-m", "0"], "from 2M to 512G"),
    (["-m", "1000T"], "from 2M to 512G"),
    (["-m", "lots"], "not 'lots'"),
    (["-initrd", "good"], "only makes sense with -kernel"),
    (["-kernel", "missing"], "missing"),
    (["-kernel", "empty"], "empty"),
    (["-kernel", "text"], "text"),
    (["-kernel", "truncated"], "truncated"),
    (["-kernel", "dir"], "dir"),
    (["-bios", "missing"], "missing"),
    (["-bios", "empty"], "empty"),
    (["-M", "microvm"], "needs -kernel"),
    (["-drive", "file=missing,if=virtio"], "missing"),
    (["-drive", "file=dir,if=virtio"], "dir"),
    (["-drive", "file=good,format=qcow2"], "only raw images"),
    (["-drive", "file=good,if=scsi"], "if is one of"),
    (["-drive", "fil=good"], "did you mean 'file'?"),
    (["-drive", "if=virtio"], "file= is needed"),
    (["-hda", "good", "-drive", "file=good,index=0"], "already a drive called 'ide0'"),
    (["-device", "nothing"], "no device is called 'nothing'"),
    (["-device", "virtio-blk-pc"], "did you mean 'virtio-blk-pci'?"),
    (["-device", "virtio-blk-pci"], "drive= is needed"),
    (["-device", "virtio-blk-pci,drive=x"], "there is no drive 'x'"),
    (["-device", "isa-debug-exit,iobas=1"], "did you mean 'iobase'?"),
    (["-device", "virtconsole"], "needs a virtio-serial controller"),
    (["-device", "virtio-rng-pci,rng=x"], "there is no object 'x'"),
    (["-object", "nothing,id=x"], "no object type is called 'nothing'"),
    (["-chardev", "stdio"], "KIND,id=ID is needed"),
    (["-chardev", "nothing,id=x"], "no character back end is called 'nothing'"),
    (["-chardev", "file,id=x,path=dir"], "dir"),
    (["-chardev", "socket,id=x,path=missing/sock"], "missing/sock"),
    (["-serial", "chardev:x"], "there is no chardev 'x'"),
    (["-serial", "file:missing/out"], "missing/out"),
    (["-serial", "stdio", "-monitor", "stdio"], "stdio is in use already"),
    (["-display", "gtk"], "no display is built"),
    (["-boot", "order=x"], "letters a, b, c, d, n"),
    (["-rtc", "base=tomorrow"], "not 'tomorrow'"),
    (["-uuid", "1234"], "not a UUID"),
    (["-d", "nothing"], "no log item is called 'nothing'"),
    (["-trace", "nothing*"], "no trace event matches"),
    (["-stress", "nothing=1"], "no such knob"),
    (["-sandbox", "on"], "enable=on is not supported"),
    (["-D", "missing/log", "-d", "int"], "missing/log"),
]


def make_files(path):
    (path / "empty").write_bytes(b"")
    (path / "text").write_text("not a kernel\n" * 1000)
    (path / "good").write_bytes(bytes(1 << 20))
    kernel = bytearray(8192)                  # a bzImage header that promises more than there is
    kernel[0x1f1] = 40
    kernel[0x1fe:0x200] = b"\x55\xaa"
    kernel[0x202:0x206] = b"HdrS"
    kernel[0x206:0x208] = (0x20f).to_bytes(2, "little")
    (path / "truncated").write_bytes(kernel)
    (path / "dir").mkdir()


def snapshot(path):
    return {p.name: (p.stat().st_size, p.stat().st_mtime_ns) for p in path.iterdir()}


def check(path, args, expected):
    before = snapshot(path)
    run = subprocess.run([metaphrase, "-display", "none", *args] if "-display" not in args
                         else [metaphrase, *args], cwd=path, stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=20, check=False)
    lines = run.stderr.splitlines()
    problems = []
    if run.returncode != 1:
        problems.append(f"status {run.returncode}")
    if len(lines) != 1:
        problems.append(f"{len(lines)} lines")
    if expected not in run.stderr:
        problems.append(f"no '{expected}'")
    if not run.stderr.startswith("metaphrase: "):
        problems.append("no program name")
    if run.stdout:
        problems.append("prints to stdout")
    if snapshot(path) != before:
        problems.append("files were created or changed")
    if problems:
        print(f"FAIL {' '.join(args)}: {', '.join(problems)}: {run.stderr.strip()!r}")
    return not problems


with tempfile.TemporaryDirectory() as name:
    directory = pathlib.Path(name)
    make_files(directory)
    results = [check(directory, *case) for case in CASES]
print(f"{sum(results)} of {len(results)} refused as they should")
sys.exit(not all(results))
