#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""window.py CASE: Linux with its kernel's memory in the window (softmmu/window.h), and kernels that make it hard: page
tables of user code's own, no SMAP, fixed addresses, storms of remapping; or without."""
import os
import re
import shutil
import subprocess
import sys

import guest as g
from guest import check, check_equal, linux, start


def window_of_text(text):
    """on, off (with a reason) or none"""
    state = re.search(r"window: (\w+)", text)
    return state.group(1) if state else "none"


def window_of(machine):
    """That, and how many faults mapped something."""
    text = machine.monitor("info jit")
    maps = re.search(r"of which (\d+) mapped something", text)
    return window_of_text(text), int(maps.group(1)) if maps else 0


def boot(cpus, append="", accel="translate", says=None, wanted=("on",), name="cloud-amd64", memory="256"):
    """To the shell, some work, power off."""
    def run():
        machine = start(*linux("-smp", str(cpus), "-m", memory, "-accel", accel, append=append + " loglevel=7", name=name),
                        "-no-reboot")
        machine.shell()
        if says:
            check(re.search(says, machine.text), f"the kernel did not say {says!r}")
        sums = machine.run("for n in 1 2 3; do seq 1 3000 | sha256sum; done")
        check(len(sums.split()) == 6 and len(set(sums.split())) == 2, f"sums differ: {sums}")
        machine.run("(echo a; sleep 0; echo b) | cat > /tmp/x && grep -q b /tmp/x")
        state, maps = window_of(machine)
        machine.poweroff()
        check("reboot: Power down" in machine.text, "the kernel powered off")
        check_equal(machine.errors(), "", "standard error")
        print(f"window {state}, {maps} faults mapped something")
        check(state in wanted, f"the window is {state}, expected {' or '.join(wanted)}")
        check(state != "on" or maps > 20, f"only {maps} faults mapped something")
    return run


def verify():
    """Each block's first runs, in the window, compared with the interpreter, up to /init."""
    machine = start(*linux("-smp", "1", "-m", "256", "-accel", "translate,window=on,verify=1000000",
                           append="loglevel=7"), "-no-reboot")
    machine.expect(g.INIT_LINE, g.BOOT)
    text = machine.monitor("info jit")
    checks = int(re.search(r"compared with the interpreter\s+(\d+)", text).group(1))
    differ = int(re.search(r"that differed\s+(\d+)", text).group(1))
    state, maps = window_of(machine)
    machine.monitor("quit")
    machine.wait(0)
    print(f"{checks} blocks compared, {differ} differ; window {state}, {maps} faults mapped something")
    check(checks > 50000, f"only {checks} blocks were compared")
    check_equal(machine.errors(), "", "differences")
    check_equal(differ, 0, "blocks that differ")
    check_equal(state, "on", "the window")
    check(maps > 20, f"only {maps} faults mapped something")


def symbols():
    """A table of symbols names instructions of a kernel that lies elsewhere (KASLR)."""
    machine = start(*linux("-m", "256", append="nokaslr"), "-no-reboot")
    machine.shell()
    table = machine.run(r"grep -E ' [Tt] (_text|entry_SYSCALL_64|_copy_to_user|strncpy_from_user|vfs_[a-z]*)$' /proc/kallsyms")
    machine.poweroff()
    path = os.path.join(g.scratch_dir(), "System.map")
    lines = [line for line in table.replace("\r", "").splitlines() if re.match(r"[0-9a-f]{16} [Tt] \w+$", line)]
    check(len(lines) > 10, f"the guest's table of symbols: {table}")
    with open(path, "w", encoding="ascii") as out:
        out.write("\n".join(lines) + "\n")
    machine = start(*linux("-m", "256", "-accel", f"translate,symbols={path}"), "-no-reboot")
    machine.shell()
    text = machine.monitor("info jit -v")
    now = machine.run("grep -w entry_SYSCALL_64 /proc/kallsyms").split()[0]
    machine.poweroff()
    linked = next(line for line in lines if line.endswith(" entry_SYSCALL_64")).split()[0]
    shift = int(now, 16) - int(linked, 16)
    if shift == 0:
        raise g.Skip("the kernel did not move")
    check(f"the kernel lies {shift:#x} above its symbols" in text, f"no shift of {shift:#x}: {text}")
    if window_of_text(text) != "none":
        check(re.search(r"most faults at.* [0-9a-f]{16} \w+\+0x[0-9a-f]+ \(", text), f"no names: {text}")


# -- Storms ------------------------------------------------------------------------------------------

STORM = os.path.join(g.TOP, "build", "tests", "user", "storm")
MODULES = "brd loop overlay zram xfs lzo lzo-rle"


def storm_image(name):
    """The common initramfs with storm/ and what it wants."""
    g.need_tool("busybox")
    directory = g.scratch_dir()
    overlay, files = os.path.join(directory, "overlay"), os.path.join(directory, "files")
    os.makedirs(os.path.join(overlay, "bin"))
    os.makedirs(files)
    shutil.copytree(os.path.join(g.HERE, "storm"), os.path.join(overlay, "init.d"))
    if os.path.exists(STORM):
        shutil.copy(STORM, os.path.join(overlay, "bin", "storm"))
    with open(os.path.join(files, "data"), "w", encoding="ascii") as data:
        data.writelines(f"{i}\n" for i in range(1, 40001))
    disk = os.path.join(overlay, "image")
    g.tool("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-b", "4096", "-d", files, disk, "3M")
    image = os.path.join(directory, "initramfs.gz")
    options = ["-b", g.cached("busybox-i386", "busybox")] if name == "686-pae" else []
    g.tool("sh", os.path.join(g.TOP, "scripts", "make-initramfs.sh"), *options, "-m", g.cached(name, "root"),
           "-k", MODULES, "-a", overlay, image, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    return image


def counter(text, when, name):
    match = re.search(rf"^# {when} {name} (\d+)", text, re.M)
    return int(match.group(1)) if match else 0


def storm(cpus, append="", properties="", says=None, wanted=("on",), name="cloud-amd64", overflows=False, rounds=2, bans=0):
    """Mappings, huge pages, filters, stacks and modules come and go; what user code and kernel see is what it is natively."""
    def run():
        both = name != "686-pae"       # /bin/storm is of 64 bits
        if both and not os.path.exists(STORM):
            raise g.Skip("the program could not be linked: no static C library")
        script = "storm" if both else "modules"
        how = f"{8 * rounds},{cpus}"
        machine = start(*linux("-smp", str(cpus), "-m", "512", "-accel", "translate" + properties, initrd=False, name=name,
                               append=f"loglevel=7 metaphrase.run={script} metaphrase.rounds={rounds} "
                               f"metaphrase.storm={how} " + append),
                        "-initrd", storm_image(name), "-no-reboot", "-d", "stats")
        text = machine.script(script, 3 * g.BOOT)
        text = re.sub(r"\[ *\d+\.\d{6}\] [^\n]*\n", "", text)  # the kernel's lines come between and within others
        machine.wait(0)
        if says:
            check(re.search(says, machine.text), f"the kernel did not say {says!r}")
        check(not re.search(r"BUG|Oops|WARNING|general protection|Call Trace", machine.text), "the kernel complained")
        modules = re.search(r"^rounds (\d+) places (\d+)$", text, re.M)
        check(modules and int(modules.group(1)) == rounds, f"rounds of modules: {text}")
        check(int(modules.group(2)) > 0, "a module's place was seen")
        if both:
            native = subprocess.run([STORM, *how.split(",")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                    timeout=g.STEP * g.SLOWNESS, check=True).stdout
            sums = [re.findall(r"^([a-z ]+: [0-9a-f]{16})$", t, re.M) for t in (native, text)]
            check(len(sums[0]) == 6, f"the program says natively {native}")
            check_equal(sums[1], sums[0], "sums")
            for what in ("thp_fault_alloc", "thp_split_pmd", "direct_map_level2_splits"):
                before, after = counter(text, "before", what), counter(text, "after", what)
                print(f"{what} {before} to {after}")
                check(after > (0 if what.startswith("direct") else before), f"{what} is {after}: no storm")
        stats = machine.errors()
        state = window_of_text(stats)
        maps = int((re.search(r"of which (\d+) mapped something", stats) or [0, "0"])[1])
        many = int((re.search(r"(\d+) overflows", stats) or [0, "0"])[1])
        asked = int((re.search(r"(\d+) more before a fault", stats) or [0, "0"])[1])
        times, given_up = map(int, re.search(r"(\d+) times that was too much, of which \d+ were served and (\d+) given up", stats).groups()) \
            if "that was too much" in stats else (0, 0)
        print(f"window {state}, {maps} faults mapped something, {asked} instructions asked before, {many} overflows; "
              f"{times} times a region was not mapped, {given_up} of them wrongly")
        check(state == "none" or times >= bans, f"{times} times a region was not mapped")
        check(state in wanted, f"the window is {state}, expected {' or '.join(wanted)}")
        check(state == "none" or maps > 200, f"only {maps} faults mapped something")
        check(state == "none" or asked > 20, f"only {asked} instructions asked before they faulted")
        check(many > 0 or not overflows, "64 mappings were enough")
    return run


FEW = ",window-mappings=64,window-overflows=1000000"
PTI = r"Kernel/User page tables isolation: (force )?enabled"
CASES = {
    "smp": boot(2),
    "off": boot(1, accel="translate,window=off", wanted=("none",)),
    "pti": boot(2, append="pti=on", says=PTI, wanted=("on", "off")),
    "nosmap": boot(1, append="nosmap"),
    "nokaslr": boot(2, append="nokaslr"),
    "pae": boot(1, name="686-pae"),
    "pae-smp": boot(2, name="686-pae"),
    "pae-highmem": boot(1, name="686-pae", memory="1200"),
    "pae-pti": boot(1, name="686-pae", append="pti=on", says=PTI, wanted=("off",)),
    "pae-off": boot(1, name="686-pae", accel="translate,window=off", wanted=("none",)),
    "symbols": symbols,
    "storm": storm(1),
    "storm-terms": storm(2, properties=",window-region-us=100000,window-region-ms=10", bans=10),
    # What a part books passes slowly: however slow the host is, the storm is one.
    "storm-smp": storm(2, properties=",window-region-us=10000", bans=1),
    "storm-pti": storm(2, append="pti=on", says=PTI),
    "storm-few": storm(1, properties=FEW, overflows=True, rounds=1),
    "storm-off": storm(2, properties=",window=off", wanted=("none",)),
    "storm-pae": storm(2, name="686-pae"),
    "storm-pae-few": storm(1, name="686-pae", properties=FEW, overflows=True),
    "verify": verify,
}

if __name__ == "__main__":
    sys.exit(g.main(CASES))
