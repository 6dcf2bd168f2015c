#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""stress.py CASE: the translator's rare paths made common; Linux boots to a shell, works and powers off."""
import os
import re
import subprocess
import sys
import time

import guest as g
from guest import check, check_equal, linux, start

# What each case adds to the command line.
OPTIONS = {
    # state recreated at any host instruction: the host single-steps, the CPU is kicked somewhere
    "recreate": ["--stress", "recreate=4999", "-accel", "translate,share-above=0"],
    # a kick on the way into translated code
    "kick": ["--stress", "kick_entry=53"],
    # code memory evicted all the time
    "evict": ["--stress", "evict=997", "-accel", "translate,tb-size=4"],
    # memory operands that never take the fast path; the TLB at its smallest, with holes
    "slow-path": ["--stress", "slow_path=61", "--stress", "tlb_small=1", "--stress", "tlb_miss=41"],
    # pages of code that are written all the time
    "code-write": ["--stress", "code_write=1999"],
    # regions of the window that are given up and pardoned all the time
    "regions": ["--stress", "window_region=7"],
    # blocks never linked, one entry in the jump cache, short blocks: minutes
    "no-links": ["-accel", "translate,chain=off,jump-cache=1,block-insns=3"],
    # a small jump cache
    "jump-cache": ["-accel", "translate,jump-cache=128"],
    # everything translated at its first visit, and all user code so that it does not know where it is and remembers pages
    "hot": ["-accel", "translate,tiers=1,share-above=0,hot-samples=0,direct=off"],
    # helpers that are compared with their rows of helpers.def; what differs is said on standard error
    "helpers": ["--stress", "helpers=7", "-accel", "translate,direct=off,tiers=1"],
    # who asks for a CPU is not answered: signals
    "kick-late": ["--stress", "kick_late=1"],
    # the interpreter's and VMI's knobs
    "others": ["-accel", "interpret", "--stress", "decode_miss=97", "--stress", "exit_every_run=53", "--stress", "vmi_jump=1"],
    # all user code that can be in worlds is, some of which cannot be had
    "worlds": ["--stress", "direct=1", "--stress", "direct_bases=1", "--stress", "direct_ints=1", "--stress", "direct_refuse=5"],
    # all of it at once
    "all": ["--stress", "recreate=9973", "--stress", "kick_entry=211", "--stress", "evict=1999",
            "--stress", "slow_path=101", "--stress", "tlb_small=1", "--stress", "code_write=4999",
            "--stress", "window_region=31",
            "-accel", "translate,jump-cache=64,tb-size=2"],
}


def case(name, cpus):
    def boot():
        machine = start(*linux("-smp", str(cpus), "-m", "256", *OPTIONS[name]), "-no-reboot")
        machine.shell()
        check_equal(machine.run("echo $((6*7))").strip(), "42", "arithmetic")
        sums = machine.run("for n in 1 2 3; do seq 1 300 | sha256sum; done")
        check(len(sums.split()) == 6 and len(set(sums.split())) == 2, f"sums differ: {sums}")
        machine.run("(echo a; sleep 0; echo b) | cat > /tmp/x && grep -q b /tmp/x")
        machine.poweroff()
        check("reboot: Power down" in machine.text, "the kernel powered off")
        check_equal(machine.errors(), "", "standard error")
    return boot


def verify(every, until):
    """Each block's first runs, and one run in `every`, compared with the interpreter."""
    def boot():
        machine = start(*linux("-smp", "1", "-m", "256", "-accel", f"translate,verify={every}",
                               append="loglevel=7"), "-no-reboot")
        machine.expect(until, g.BOOT)
        text = machine.monitor("info jit")
        checks = int(re.search(r"compared with the interpreter\s+(\d+)", text).group(1))
        differ = int(re.search(r"that differed\s+(\d+)", text).group(1))
        machine.monitor("quit")
        machine.wait(0)
        print(f"{checks} blocks compared, {differ} differ")
        check(checks > 50000, f"only {checks} blocks were compared")
        check_equal(machine.errors(), "", "differences")
        check_equal(differ, 0, "blocks that differ")
    return boot


def lockstep(until, steps, *options, every=0, stress=()):
    """The same boot translated and interpreted, time counting instructions: the CPU is the same behind each block, or, with links
    and the jump cache, behind stretches of so many instructions."""
    def boot():
        directory = g.scratch_dir()
        trail = os.path.join(directory, "trail")
        os.mkfifo(trail)
        machine = ["-m", "256", "-rtc", "base=2026-01-01", "-nodefaults", "-no-reboot", "-vga", "none",
                   "-cpu", "max,-rdrand,-rdseed"]
        with open(os.path.join(directory, "errors"), "w+", encoding="utf-8") as errors:
            follower = subprocess.Popen(
                [g.METAPHRASE, *linux(*machine, append="loglevel=7"), "-accel", "interpret", "-display", "none", "-monitor", "none",
                 "-serial", "file:" + os.path.join(directory, "followed"), "-icount", f"0,sleep=off,follow={trail}"],
                stdin=subprocess.DEVNULL, stderr=errors)
            try:
                # a serial line that is slow to take what is sent would be the world outside
                console = os.path.join(directory, "console")
                first = start(*linux(*machine, append="loglevel=7"), "-accel", ",".join(["translate", *options]), *stress, "-icount",
                              f"0,sleep=off,trail={trail},every={every}", serial="file:" + console)
                deadline = time.monotonic() + 4 * g.BOOT * g.SLOWNESS
                while not (os.path.exists(console) and re.search(until, open(console, encoding="latin-1").read())):
                    check(time.monotonic() < deadline and first.process.poll() is None, "the boot gets on")
                    check(follower.poll() is None, "the other machine differs")
                    time.sleep(0.2)
                links = re.search(r" (\d+) links, (\d+) between pages", first.monitor("info jit"))
                first.monitor("quit")
                first.wait(0)
                status = follower.wait(g.STEP * g.SLOWNESS)
            finally:
                follower.kill()
                follower.wait()
                errors.seek(0)
                text = errors.read()
                print(text)
        check_equal(status, 0, "status of the machine that follows")
        same = int(re.search(r"(\d+) steps of the trail were the same", text).group(1))
        check(same > steps, f"only {same} steps were compared")
        check((int(links.group(1)) > 10000 and int(links.group(2)) > 1000) == (every != 0), f"linked: {links.group(0)}")
        check_equal(first.errors(), "", "standard error")
    return boot


RECREATED = ["--stress", "recreate=997", "--stress", "kick_entry=1499", "--stress", "evict=9997", "--stress", "slow_path=61"]

CASES = {"verify": verify(200, r"Memory: \d+K/"), "verify-boot": verify(50, g.INIT_LINE)}
CASES |= {"lockstep": lockstep(r"Memory: \d+K/", 5000000), "lockstep-boot": lockstep(g.INIT_LINE, 100000000),
          "lockstep-no-window": lockstep(g.INIT_LINE, 100000000, "window=off")}
CASES |= {"lockstep-links": lockstep(r"Memory: \d+K/", 300000, every=500),
          "lockstep-links-boot": lockstep(g.PROMPT, 10000000, every=100),
          # ... and what user code that is translated has besides
          "lockstep-links-hot": lockstep(g.PROMPT, 2000000, "hot-samples=0", "share-above=0", "jump-cache=64", every=500),
          "lockstep-links-no-window": lockstep(g.PROMPT, 2000000, "window=off", "near-stack=off", "strings=off", every=500),
          # ... with the state recreated anywhere, and code that comes and goes, by which nothing may be seen of the guest
          "lockstep-recreate": lockstep(r"Memory: \d+K/", 300000, every=500, stress=RECREATED),
          "lockstep-recreate-boot": lockstep(g.PROMPT, 2000000, every=500, stress=RECREATED)}


def hot_pages():
    """What a program does for long becomes hot."""
    machine = start(*linux("-smp", "1", "-m", "256", "-accel", "translate,direct=off"), "-no-reboot")
    machine.shell()
    for _ in range(30):
        check_equal(machine.run("i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; echo $i").strip(), "50000", "a loop")
        found = re.search(r"hot code: (\d+) pages, (\d+) operands", machine.monitor("info jit"))
        if int(found.group(1)) > 0 and int(found.group(2)) > 0:
            break
    else:
        check(False, "no page became hot")
    machine.poweroff()


CASES["hot-pages"] = hot_pages


def knobs():
    """Each of --stress is in a case above."""
    text = subprocess.run([g.METAPHRASE, "--stress", "help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    known = re.findall(r"^ *([a-z]\w+) ", text, re.MULTILINE)
    used = {option.partition("=")[0] for options in OPTIONS.values() for option in options}
    check("recreate" in known and "tlb_miss" in known, f"not understood: {text}")
    check_equal([knob for knob in known if knob not in used], [], "knobs with which nothing boots")


CASES["knobs"] = knobs


def properties():
    """Each property of -accel translate at its other end."""
    text = subprocess.run([g.METAPHRASE, "-accel", "translate,help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    switches = re.findall(r"^ *([\w-]+)=off\|on +.*\[(off|on)\]$", text, re.MULTILINE)
    check(len(switches) > 20 and ("chain", "on") in switches, f"not understood: {text}")
    tried = [f"{name}={'off' if was == 'on' else 'on'}" for name, was in switches if name not in ("perf-map", "gdb-jit")]
    tried += ["block-insns=64", "block-insns=1", "tiers=255", "jump-cache=1", "tb-size=1", "ask-ns=0", "call-misses=1", "divide-faults=1",
              "window-group=64", "window-touch=1", "window-protect=512", "window-pardon=50", "pause-yield=1", "direct=on", "direct-spin=on"]
    tried.append(",".join(f"{name}=off" for name, was in switches if was == "on"))
    for options in tried:
        print(options, flush=True)
        OPTIONS["tried"] = ["-accel", "translate," + options]
        case("tried", 2)()


CASES["properties"] = properties
CASES |= {name: case(name, 1) for name in OPTIONS} | {name + "-smp": case(name, 2) for name in OPTIONS}

if __name__ == "__main__":
    sys.exit(g.main(CASES))
