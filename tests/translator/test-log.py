#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the translator shows of itself: -d in_asm,op,out_asm,exec,int,mmu,stats, info jit, perf's map, gdb.

usage: test-log.py METAPHRASE GUEST QUICK

QUICK is quick64, whose divisions fault now and then."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

metaphrase, guest, quick = sys.argv[1:4]
options = ["-m", "64", "-kernel", guest, "-display", "none", "-serial", "null", "-no-reboot",
           "-monitor", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
PASSED = 0x10 << 1 | 1
failures = 0


def check(what, good):
    global failures
    if not good:
        print(f"FAILED: {what}")
        failures += 1


with tempfile.TemporaryDirectory() as top:
    log = os.path.join(top, "log")
    p = subprocess.Popen([metaphrase, *options, "-accel", "translate,perf-map=on", "-D", log,
                          "-d", "in_asm,op,out_asm,exec,int,mmu,stats"], stdin=subprocess.DEVNULL)
    check("the guest passes", p.wait(120) == PASSED)
    with open(log, encoding="latin-1") as f:
        text = f.read()
    patterns = {
        "a run of the interpreter": r"^IN: cpu 0 decodes [0-9a-f]{4}:[0-9a-f]{16}  \S+",
        "a block's guest code": r"^IN: cpu 0 rip [0-9a-f]{16}\n  [0-9a-f]{16}  [0-9a-f]{2,}",
        "its plan": r"^OP: rip [0-9a-f]{16} registers [0-9a-f]{4}\n  \+00 \w.* live [OSZAPC-]{6} kill",
        "its host code": r"^OUT: block \d+ rip [0-9a-f]{16}, \d+ guest instructions, \d+ bytes and \d+ cold ones\n"
                         r"(?:  .*\n)*?  ---- instruction 0",
        "a block about to run": r"^EXEC: cpu 0 block \d+ rip [0-9a-f]{16} at 0x",
        "an exception": r"^\S*.*(exception|interrupt|vector)",
        "a walk": r"^mmu: cpu 0 lin [0-9a-f]{16} is [0-9a-f]+ rights",
        "a flush": r"^mmu: TLB flushed",
        "the price of a translation": r"[1-9]\d* cycles of translation an instruction",
    }
    for what, pattern in patterns.items():
        check(f"the log shows {what}", re.search(pattern, text, re.M))
    check("no undecodable host code", not re.search(r"^  \?$", text, re.M))
    blocks = {int(n) for n in re.findall(r"^OUT: block (\d+)", text, re.M)}
    runs = [int(n) for n in re.findall(r"^EXEC: cpu 0 block (\d+)", text, re.M)]
    check("what runs was made", runs and set(runs) <= blocks)

    path = f"/tmp/perf-{p.pid}.map"
    check(f"{path} is there", os.path.exists(path))
    if os.path.exists(path):
        with open(path) as f:
            lines = f.read().splitlines()
        os.unlink(path)
        check("perf's map has lines of three", lines and
              all(re.fullmatch(r"[0-9a-f]+ [0-9a-f]+ guest_[0-9a-f]{16}(_cold)?", line) for line in lines))
        for cold in (False, True):
            check("one a block, and one for its cold code",
                  sum(line.endswith("_cold") == cold for line in lines) == len(re.findall(r"^OUT: ", text, re.M)))

    for faults, pattern in ((0, r" 0 divisions became calls \(0\)"), (4, r" [1-9]\d* divisions became calls \([1-9]\d*\)")):
        p = subprocess.Popen([metaphrase, *options, "-smp", "2", "-kernel", quick, "-accel", f"translate,divide-faults={faults}",
                              "-D", log, "-d", "stats"], stdin=subprocess.DEVNULL)
        check("divisions go right", p.wait(120) == PASSED)
        with open(log, encoding="latin-1") as f:
            check(f"divide-faults={faults} is heeded", re.search(pattern, f.read()))

    if shutil.which("gdb"):
        done = subprocess.run(["gdb", "-batch", "-nx", "-ex", "set confirm off", "-ex", "set debuginfod enabled off",
                               "-ex", "handle SIG35 SIGSEGV SIGFPE nostop noprint",
                               "-ex", "break gdb_jit_add", "-ex", "ignore 1 20",  # each costs gdb a while
                               "-ex", "run", "-ex", "info functions -q guest_", "-ex", "kill",
                               "--args", metaphrase, *options, "-accel", "translate,gdb-jit=on"],
                              capture_output=True, text=True, timeout=150)
        check("gdb sees blocks as functions", re.search(r"guest_[0-9a-f]{16}$", done.stdout, re.M))
        check("and their cold code", re.search(r"guest_[0-9a-f]{16}_cold", done.stdout))
        if failures:
            print(done.stdout[-2000:], done.stderr[-2000:])
    else:
        print("no gdb: its interface is not tried")

sys.exit(1 if failures else 0)
