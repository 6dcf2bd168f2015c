#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""direct.py CASE: direct execution of user code (doc/DIRECT.md) under Debian's kernel.

tests/user/ is a program that prints what user code can see; it must say the same natively, translated and
directly."""
import difflib
import errno
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

import guest as g
from guest import check, check_equal, linux, start

USER32 = os.path.join(g.TOP, "build", "tests", "user", "user32")
HOSTILE = os.path.join(g.TOP, "build", "tests", "user", "hostile")
USER = os.environ.get("METAPHRASE_USER", os.path.join(g.TOP, "build", "tests", "user", "user"))


def initramfs(program=USER, name="cloud-amd64"):
    """The common one with the program in /bin/user and a script that runs it."""
    if not os.path.exists(program):
        raise g.Skip("the user program could not be linked: no static C library")
    options = ["-b", g.cached("busybox-i386", "busybox")] if name == "686-pae" else []
    g.need_tool("busybox")
    directory = g.scratch_dir()
    overlay = os.path.join(directory, "overlay")
    os.makedirs(os.path.join(overlay, "bin"))
    os.makedirs(os.path.join(overlay, "init.d"))
    shutil.copy(program, os.path.join(overlay, "bin", "user"))
    with open(os.path.join(overlay, "init.d", "user"), "w", encoding="ascii") as script:
        script.write("exec /bin/user\n")
    image = os.path.join(directory, "initramfs.gz")
    g.tool("sh", os.path.join(g.TOP, "scripts", "make-initramfs.sh"), *options, "-m",
           g.cached(name, "root"), "-a", overlay, image,
           env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    return image


def boot(direct, *options, append="", program=USER, name="cloud-amd64"):
    return start("-accel", f"translate,direct={direct}", *linux(*options, append=append, initrd=False, name=name),
                 "-initrd", initramfs(program, name), "-m", "512", "-no-reboot")


def lines(text, comments):
    """From the first case on; without the lines that may differ between host and guest."""
    text = text[text.index("-- "):]
    return [s for s in text.splitlines() if s != "" and (comments or not s.startswith("#"))]


def as_documented(native):
    """What the program said natively, without what a host's kernel gets wrong: some call INT1, a trap (SDM 2, INT n), a fault."""
    return [re.sub(r"addr code\+0 rip code\+0 trap 1", "addr code+0x1 rip code+0x1 trap 1", s) if before == "icebp" else s
            for before, s in zip([""] + native, native)]


def in_guest(direct, *options, **more):
    machine = boot(direct, *options, append="metaphrase.run=user", **more)
    text = machine.script("user", 2 * g.BOOT)
    machine.wait(0)
    return text


def same(got, wanted, what):
    if got != wanted:
        diff = "\n".join(difflib.unified_diff(wanted, got, "wanted", "got", n=1, lineterm=""))
        raise g.Failed(f"{what}:\n{diff[:4000]}")


# Cases that not every host can do natively: what they say there that can.
DOUBTFUL = {"watchpoint": r"[1-9]\d* hits", "cpuidstep": "cpuid: 1", "tsd": r"faulted: [1-9]", "ssstep": "at 15 .*\n.*at 16 ",
            "perfbreak": "accesses 1, 10 calls", "ldt": "at last gs 0", "ldtcode": "of the table ran"}


def host_lacks():
    """Those that this host cannot."""
    with open("/proc/self/auxv", "rb") as file:
        auxv = dict(struct.iter_unpack("@NN", file.read()))
    lacks = [] if auxv.get(26, 0) & 2 != 0 else ["fsgsbase"]  # AT_HWCAP2
    try:
        subprocess.run([USER32], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=120 * g.SLOWNESS, check=False)
    except OSError as error:
        lacks += ["int80", "compat"] if error.errno == errno.ENOEXEC else []
    for case, says in DOUBTFUL.items():
        done = subprocess.run([USER, case], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              timeout=120 * g.SLOWNESS, check=False)
        lacks += [] if re.search(says, done.stdout) else [case]
    return lacks


def without(text, cases):
    """The lines without these cases."""
    case, kept = None, []
    for line in text:
        case = line[3:] if line.startswith("-- ") else case
        if case not in cases:
            kept.append(line)
    return kept


def native(program=USER, cases=()):
    done = subprocess.run([program, *cases], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          timeout=120 * g.SLOWNESS, check=True)
    return as_documented([s for s in lines(done.stdout, False) if not s.startswith("lar ")])  # its AVL bits are anybody's


def same_as_native(direct):
    lacks = host_lacks()
    with open(os.path.join(g.TOP, "tests", "user", "cases.def"), encoding="ascii") as file:
        cases = [c for c in re.findall(r"^CASE\((\w+)\)", file.read(), re.M) if c not in lacks]
    if lacks:
        print("this host cannot do natively, not compared:", *lacks)
    same(without([s for s in direct if not s.startswith(("#", "lar "))], lacks), native(cases=cases),
         "directly and natively")


def user():
    """The same natively, translated and directly."""
    translated = lines(in_guest("off"), True)
    direct = lines(in_guest("on"), True)
    same(direct, translated, "directly and translated")
    same_as_native(direct)


def user32(name):
    """32-bit user code, in a 64-bit and in a 32-bit guest."""
    def case():
        translated = lines(in_guest("off", program=USER32, name=name), True)
        direct = lines(in_guest("on", program=USER32, name=name), True)
        same(direct, translated, "directly and translated")
        try:
            wanted = native(USER32)
        except (OSError, subprocess.CalledProcessError):
            raise g.Skip("the host runs no 32-bit programs: not compared with it") from None
        same([s for s in direct if not s.startswith("#")], wanted, "directly and natively")
    return case


def smp():
    """... and on two CPUs, behind the system call filter."""
    same_as_native(lines(in_guest("on", "-smp", "2", "-sandbox", "on"), False))


def spin():
    """Hand-overs awake, whatever they cost: the same is said.  A process of one CPU is told that it cannot."""
    cpus = os.sched_getaffinity(0)
    one = subprocess.run([g.METAPHRASE, "-accel", "translate,direct=on,direct-spin=on"], stdin=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True, timeout=g.STEP * g.SLOWNESS, check=False,
                         preexec_fn=lambda: os.sched_setaffinity(0, {min(cpus)}))
    check_equal(one.returncode, 1, "its status on one CPU")
    check("direct-spin=on: " in one.stderr and len(one.stderr.splitlines()) == 1, f"it says {one.stderr!r}")
    if len(cpus) < 2:
        raise g.Skip("one CPU")
    machine = boot("on,direct-spin=on")
    machine.shell()
    text = machine.run("user syscalls bases vectors", 2 * g.STEP)
    said = machine.monitor("info direct")
    check("hand-overs awake" in said, f"it says {said}")
    check(int(re.search(r"(\d+)  ... waits that ended awake", said).group(1)) > 0, "waits ended awake")
    machine.poweroff()
    lacks = host_lacks()
    cases = [c for c in ("syscalls", "bases", "vectors") if c not in lacks]
    same(without(lines(text, False), lacks), native(cases=cases), "awake and natively")


def count(machine, what):
    return int(re.search(rf"(\d+)  {re.escape(what)}", machine.monitor("info direct")).group(1))


def calm():
    """By default a program that only computes, in one loop, comes into a world: the guest's ticks find it there."""
    machine = boot("auto")
    machine.shell()
    before = count(machine, "kicks")
    text = machine.run("user compute", 2 * g.STEP)
    after = count(machine, "kicks")
    machine.poweroff()
    check(after > before + 20, f"{after - before} ticks found it in a world")
    same(lines(text, False), native(cases=["compute"]), "calm and natively")


def straddle():
    """A page of code that was denied because nobody knew what lies before it is one like any when that is known."""
    machine = boot("on")
    machine.shell()
    left = "looks left to the translator for what a world cannot do"
    before = count(machine, left)
    text = machine.run("user straddle", 2 * g.STEP)
    looks = count(machine, left) - before
    machine.poweroff()
    print("looks:", looks)
    check(looks < 1000, f"of 3000 turns {looks} were the translator's")
    same(lines(text, False), native(cases=["straddle"]), "over a page's end and natively")


def breaks():
    """CPUID on a page that is executed often, by breakpoints of the host."""
    spoken = {}
    for how in "on", "on,direct-breaks=off":
        machine = boot(how)
        machine.shell()
        text = machine.run("user cpuidpage", 2 * g.STEP)
        said = machine.monitor("info direct")
        spoken[how] = lines(text, True)
        given, stopped = count(machine, "... given breakpoints at CPUID"), count(machine, "... ... which stopped there")
        machine.poweroff()
        if how == "on":
            works = "breakpoints stop at CPUID" in said
            check(works or (given == 0 and stopped == 0), f"it says {said}")
            check(not works or (given > 0 and 10 < stopped < 100), f"{given} pages were given breakpoints, which stopped {stopped} times")
        else:
            check(given == 0 and "breakpoints are not to stop at CPUID" in said, f"it says {said}")
    same(spoken["on"], spoken["on,direct-breaks=off"], "with breakpoints and without")
    check("0 odd" in " ".join(spoken["on"]), f"it is what it was: {spoken['on']}")
    if not works:
        raise g.Skip("this host's breakpoints do not stop, or are not to be had")


def limits():
    """More processes than there may be worlds, and more pages of one than there may be mappings."""
    machine = boot("on")
    machine.shell()
    text = machine.run("user ring budget", 4 * g.STEP)
    for what in "worlds given to another address space", "worlds emptied, having too many pages":
        check(count(machine, what) > 0, f"{what}: none")
    machine.poweroff()
    same(lines(text, False), native(cases=["ring", "budget"]), "at its limits and natively")


def refused():
    """A host that refuses every other world is asked again, and meanwhile there are the others, or the translator."""
    machine = boot("on", "--stress", "direct_refuse=2")
    machine.shell()
    text = machine.run("user syscalls vectors processes", 2 * g.STEP)
    said = machine.monitor("info direct")
    for what in "entries into worlds", "worlds started", "... that the host refused":
        check(int(re.search(rf"(\d+)  {re.escape(what)}", said).group(1)) > 0, f"{what}: {said}")
    machine.poweroff()
    lacks = host_lacks()
    cases = [c for c in ("syscalls", "vectors", "processes") if c not in lacks]
    same(without(lines(text, False), lacks), native(cases=cases), "with refusals and natively")


COMPILE = "ld.so --library-path {0}/lib {0}/cc1 -quiet -fpreprocessed -O2 {0}/job.i -o {1}"


def compiles():
    """gcc's compiler proper writes, byte for byte, what it writes natively: some 7000 pages, page faults, and code
    run a few times, in worlds always and where they pay, on one CPU and two with two compilers at once."""
    disk = g.cached("bench", "tools.ext4")  # scripts/make-bench-guest.sh
    tools = g.cached("bench", "tools")
    made = os.path.join(g.scratch_dir(), "native.s")
    subprocess.run([os.path.join(tools, "ld.so"), *COMPILE.format(tools, made).split()[1:]], check=True,
                   stdin=subprocess.DEVNULL, timeout=120 * g.SLOWNESS)
    wanted = g.tool("md5sum", made).split()[0]
    for direct, options in ("on", ()), ("auto", ()), ("auto", ("-smp", "2")):
        machine = start("-accel", f"translate,direct={direct}", *linux(*options), "-m", "512", "-no-reboot",
                        "-drive", f"file={disk},if=virtio,format=raw,readonly=on")
        machine.shell()
        machine.run("mount -t ext4 -o ro /dev/vda /mnt")
        for _ in range(3):
            one = f"/mnt/{COMPILE.format('/mnt', '/run/1.s')}"
            two = f"/mnt/{COMPILE.format('/mnt', '/run/2.s')}"
            machine.run(f"{one} & {two}; wait", 3 * g.STEP)
            for name in "1", "2":
                check_equal(machine.run(f"md5sum </run/{name}.s").split()[0], wanted, f"output under direct={direct}")
        machine.poweroff()


def worlds(machine):
    """Processes of worlds, (guest thread, mapper)."""
    return [(int(a), int(b)) for a, b in
            re.findall(r"processes (\d+) and (\d+)", machine.monitor("info direct"))]


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def gone(pids):
    deadline = time.monotonic() + g.STEP * g.SLOWNESS
    while not all(is_gone(pid) for pid in pids):
        check(time.monotonic() < deadline, f"of {pids} some still live")
        time.sleep(0.05)


def children(machine):
    """Processes of worlds, those included that are just being born."""
    found = []
    try:
        for task in os.listdir(f"/proc/{machine.process.pid}/task"):
            with open(f"/proc/{machine.process.pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(pid) for pid in file.read().split()]
    except OSError:
        pass
    return found


def wait_for_children(machine, n):
    deadline = time.monotonic() + g.BOOT * g.SLOWNESS
    while len(children(machine)) < n:
        check(time.monotonic() < deadline and machine.process.poll() is None, "worlds come")
        machine.read_some(0.01)
    return children(machine)


def kill_all(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def stops(machine, pids):
    """A machine whose world was killed, and what it had of them."""
    machine.wait(1)
    check("engine" in machine.errors(), "it says why")
    gone(pids)


def kill():
    """A world that is killed stops the machine with a word, or was not needed: nothing hangs and nothing is wrong."""
    machine = boot("on")
    machine.shell()
    machine.send("while :; do :; done\n")
    time.sleep(1)
    # Any of them may be the shell's: it notices at its next turn.
    pids = worlds(machine)
    check(pids, "worlds are there")
    kill_all([guest for guest, _ in pids])
    stops(machine, [pid for pair in pids for pid in pair])

    # Mappers only, which has no registers in it: the machine may go on, with other worlds.
    machine = boot("on")
    machine.shell()
    pids = worlds(machine)
    kill_all([mapper for _, mapper in pids])
    machine.send("user mappings; echo over\n")
    try:
        machine.expect(r"^over\s*$", 2 * g.STEP)
    except g.Failed:
        stops(machine, [pid for pair in pids for pid in pair])
        print("without mappers it stopped")
    else:
        same(lines(machine.text[machine.text.index("-- mappings"):].replace("over", "").partition("/root")[0], False),
             native(cases=["mappings"]), "after mappers were killed and natively")
        machine.poweroff()
        print("without mappers it went on")

    kill_worlds(1, True)
    kill_machine("user storms", signal.SIGKILL)


def kill_worlds(n, busy):
    """All worlds, as soon as there are n processes of them: while they are being born, in a boot, or in a storm of mappings."""
    machine = boot("on")
    if busy:
        machine.shell()
        machine.send("user storms mappings processes\n")
        machine.expect("^-- storms")
    pids = wait_for_children(machine, n)
    kill_all(pids)
    try:
        machine.shell() if not busy else machine.expect("^-- end", 2 * g.STEP)
    except g.Failed:
        stops(machine, pids)
        print(f"{len(pids)} killed: it stopped")
    else:
        machine.send("poweroff -f\r")     # another process's world may be missed only now
        if machine.wait(None, 2 * g.STEP) == 0:
            print(f"{len(pids)} killed: it went on")
        else:
            stops(machine, pids)
            print(f"{len(pids)} killed: it stopped later")
    gone(pids)


def kill_machine(command, how, *options):
    """A machine that is killed leaves nothing, whatever it is at: worlds' births (None) and more."""
    machine = boot("on", *options)
    if command is None:
        wait_for_children(machine, 1)
    else:
        machine.shell()
        machine.send(command + "\n")
        machine.expect("^-- " if command else g.PROMPT)
    pids = children(machine)
    check(pids, "worlds are there")
    machine.process.send_signal(how)
    pids += children(machine)
    machine.process.wait(g.STEP * g.SLOWNESS)
    gone(pids)


def kill_phases():
    """The same in every phase."""
    for n, busy in (1, False), (2, False), (3, False), (1, True), (1, True):
        kill_worlds(n, busy)
    for options in (), ("-smp", "2"):
        kill_machine(None, signal.SIGKILL, *options)
    for command, options in ("user storms", ("-smp", "2")), ("user compute", ()), ("", ()):
        for how in signal.SIGKILL, signal.SIGTERM:
            kill_machine(command, how, *options)


def hostile():
    """A program that knows the stub's place attacks it: it gets signals, another process notices nothing."""
    said = {}
    for direct in "off", "on":
        machine = boot(direct, program=HOSTILE)
        machine.shell()
        machine.send("user; echo status $?\n")
        while True:
            line = machine.expect(r"^(where\?|status \d+)\s*$", 3 * g.STEP).group(1)
            if line != "where?":
                break
            places = re.findall(r"stub at ([0-9a-f]+)", machine.monitor("info direct"))
            machine.send(" ".join(places) + "\n")
        check_equal(line, "status 0", "the program's end")
        said[direct] = machine.text[machine.text.index("seen "):]
        check("victim 0\r" in said[direct] or "victim 0\n" in said[direct], "the victim noticed nothing")
        machine.poweroff()
    for what in "calls", "calls32", "vectors", "entries":
        found = [re.search(rf"^{what} (\w+)", s, re.M).group(1) for s in said.values()]
        check_equal(found[0], found[1], f"{what}, translated and directly")
    seen = re.search(r"seen (\d+) of (\d+)", said["on"])
    check_equal(seen.group(1), seen.group(2), "attacks that saw their stub")
    check_equal(re.search(r"seen (\d+)", said["off"]).group(1), "0", "stubs without worlds")
    over = re.search(r"mapped over (\d+), wrong (\d+)", said["on"])
    check(int(over.group(1)) >= 6, "stubs' places were mapped over")  # a large piece may meet others
    check_equal(over.group(2), "0", "words in the stub's place that are not its owner's")


if __name__ == "__main__":
    sys.exit(g.main({"user": user, "user32": user32("cloud-amd64"), "user32-pae": user32("686-pae"), "smp": smp, "spin": spin, "kill": kill, "kill-phases": kill_phases, "compiles": compiles, "hostile": hostile, "calm": calm, "refused": refused, "limits": limits, "straddle": straddle, "breaks": breaks}))
