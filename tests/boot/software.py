#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""software.py CASE: programs that people use say the same natively and under Debian's kernel, in worlds and not.

Python with its threads, processes and signals; a static Go program; libcrypto, which takes AVX-512 where there is some; a
program all of AVX-512; a busybox of 32 bits, which is compared with itself translated where the host runs no such code."""
import errno
import json
import os
import random
import shutil
import subprocess
import sys

import guest as g
from guest import check, linux, start

JOBS = os.path.join(g.HERE, "software")
AVX512 = os.path.join(g.TOP, "build", "tests", "user", "avx512")
LEAVE_OUT = ("test", "idlelib", "lib2to3", "ensurepip", "tkinter", "turtledemo", "pydoc_data", "site-packages",
             "dist-packages", "__pycache__", "config-*", "distutils", "unittest", "asyncio", "xml", "email")


class Program:
    """argv and standard input; `files` of the host go to the same place in the guest."""

    def __init__(self, name, argv, text="", files=()):
        self.name, self.argv, self.text, self.files = name, argv, text, list(files)


def libraries(*programs):
    """The shared libraries of programs and of other libraries."""
    said = g.tool("ldd", *programs, status=None)
    return {word for word in said.split() if word.startswith("/") and not word.endswith(":")}


def python(directory):
    # /usr/bin's: others may have their library anywhere
    exe = os.path.realpath("/usr/bin/python3")
    if not os.path.exists(exe):
        raise g.Skip("no /usr/bin/python3")
    library = g.tool(exe, "-I", "-c", "import os; print(os.path.dirname(os.__file__))").strip()
    to = os.path.join(directory, library.lstrip("/"))
    shutil.copytree(library, to, ignore=shutil.ignore_patterns(*LEAVE_OUT))
    modules = [os.path.join(library, "lib-dynload", f) for f in os.listdir(os.path.join(library, "lib-dynload"))]
    return Program("python", [exe, "-I", "-S", "/job.py"], files=[exe, *libraries(exe, *modules)])


def go(_):
    rng = random.Random(1)
    data = [{"n": i, "text": "".join(rng.choice("abcxyz0123456789") for _ in range(12))} for i in range(1500)]
    return Program("gojq", ["/gojq", "-M", "-c", "-f", "/job.jq"], text=json.dumps(data), files=[])


def crypto(_):
    exe = g.need_tool("openssl")
    return Program("openssl", [exe, "enc", "-chacha20", "-K", "07" * 32, "-iv", "05" * 16, "-a"], text="metaphrase " * 800,
                   files=[exe, *libraries(exe)])


def avx512(_):
    if not os.path.exists(AVX512):
        raise g.Skip("the program could not be linked: no static C library")
    with open("/proc/cpuinfo", encoding="ascii") as file:
        flags = file.read().split()
    if not {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= set(flags):
        raise g.Skip("the host has no AVX-512")
    return Program("avx512", ["/avx512"])


def busybox32(_):
    g.cached("busybox-i386", "busybox")
    return Program("busybox32", ["/busybox32", "sh", "/job.sh", "/busybox32"])


def sources():
    """What is copied to the root of both: (from, name)."""
    rows = [(os.path.join(JOBS, f), f) for f in ("job.py", "job.jq", "job.sh")] + [(AVX512, "avx512")]
    for name, path, to in ("gojq", "root/usr/bin/gojq", "gojq"), ("busybox-i386", "busybox", "busybox32"):
        rows.append((os.path.join(g.CACHE, name, path), to))
    return [(a, b) for a, b in rows if os.path.exists(a)]


def make_tree(directory):
    """The programs that this host can have, and a tree that they can run in."""
    programs = []
    for make in python, go, crypto, avx512, busybox32:
        try:
            if make is go:
                g.cached("gojq", "root/usr/bin/gojq")
            programs.append(make(directory))
        except g.Skip as reason:
            print(f"without {make.__name__}: {reason}")
    for source, name in sources():
        shutil.copy(source, os.path.join(directory, name))
    for program in programs:
        with open(os.path.join(directory, program.name + ".in"), "w", encoding="ascii") as file:
            file.write(program.text)
        for source in program.files:
            to = os.path.join(directory, source.lstrip("/"))
            os.makedirs(os.path.dirname(to), exist_ok=True)
            shutil.copy(source, to)
    for name in "tmp", "proc", "dev":
        os.makedirs(os.path.join(directory, name), exist_ok=True)
    return programs


def make_disk(tree):
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(tree) for f in files
               if not os.path.islink(os.path.join(d, f)))
    disk = tree + ".ext4"
    with open(disk, "wb") as file:
        file.truncate(size * 5 // 4 + (16 << 20))
    g.tool("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", tree, disk)
    return disk


def native(program, tree):
    """What it says here; None: the host does not run it."""
    argv = [os.path.join(tree, a[1:]) if a.startswith("/") and os.path.exists(os.path.join(tree, a[1:])) else a
            for a in program.argv]
    if argv[0].startswith(os.path.join(tree, "usr")):
        argv[0] = program.argv[0]      # with the libraries of the host
    try:
        done = subprocess.run(argv, input=program.text, stdout=subprocess.PIPE, text=True, timeout=120 * g.SLOWNESS, check=False)
    except OSError as error:
        check(error.errno == errno.ENOEXEC, f"{program.name}: {error}")
        return None
    return done.stdout + f"status {done.returncode}\n"


def in_guest(programs, disk, accel, *options):
    machine = start("-accel", accel, *linux(*options), "-m", "512", "-no-reboot", "-drive",
                    f"file={disk},if=virtio,format=raw,readonly=on")
    said = {}

    machine.shell()
    machine.run("mount -t ext4 -o ro /dev/vda /mnt && mount -t tmpfs none /mnt/tmp && "
                "mount -t proc none /mnt/proc && mount -t devtmpfs none /mnt/dev")
    for program in programs:
        words = " ".join(f"'{w}'" for w in program.argv)
        text = machine.run(f"echo 'it says'; chroot /mnt {words} </mnt/{program.name}.in; echo status $?", 4 * g.STEP)
        said[program.name] = text.partition("\nit says\n")[2]
    direct = machine.monitor("info direct")
    machine.poweroff()
    return said, direct


def same(got, wanted, what):
    if got != wanted:
        raise g.Failed(f"{what}: it says\n{got}\nand should say\n{wanted}")


def case(accel, *options):
    def run():
        tree = os.path.join(g.scratch_dir(), "tree")
        os.makedirs(tree)
        programs = make_tree(tree)
        check(programs, "programs are there")
        disk = make_disk(tree)
        said, direct = in_guest(programs, disk, accel, *options)
        left = []
        for program in programs:
            wanted = native(program, tree)
            if wanted is None:
                left.append(program)
            else:
                check("status 0" in wanted, f"{program.name} natively: {wanted}")
                same(said[program.name], wanted, program.name)
        if left and "direct=off" not in accel:
            print("compared with themselves translated:", *(p.name for p in left))
            translated, _ = in_guest(left, disk, "translate,direct=off")
            for program in left:
                same(said[program.name], translated[program.name], program.name)
        for program in left:
            check("status 0" in said[program.name], f"{program.name}: {said[program.name]}")
        if accel == "translate,direct=on":
            entries = int(direct.partition("  entries into worlds")[0].split()[-1])
            check(entries > 1000, f"{entries} entries into worlds")
    return run


if __name__ == "__main__":
    sys.exit(g.main({"translated": case("translate,direct=off"), "direct": case("translate,direct=on"),
                     "auto": case("translate,direct=auto", "-smp", "2")}))
