# SPDX-License-Identifier: GPL-2.0-or-later
"""Does Linux see and use the paravirtual interfaces that its processor was given, and no others?

The script SCRIPT runs in the guest (metaphrase.run=leaves) with tests/user/leaves.c; problems() reads what was said.  paravirt.py has it under
our own engines, tests/nested/svm.py under KVM."""
import os
import re
import shutil

SCRIPT = """# SPDX-License-Identifier: GPL-2.0-or-later
modprobe msr
/bin/leaves
cd /sys/devices/system/clocksource/clocksource0
echo "clocksource $(cat current_clocksource) of $(cat available_clocksource)"
for n in 1 2; do seq 1 2000 | sha256sum & done; wait
dmesg
"""
MODULES = "msr"
# So that Linux takes kvm-clock in the end, looks for the control of polling, and uses the PIT, whose driver delays between ports.
CPU = "max,-invtsc"
APPEND = "no_timer_check cpuidle_haltpoll.force=1 hpet=disable"
BITS = {"kvmclock": 1 << 0 | 1 << 3, "kvm-nopiodelay": 1 << 1, "kvm-steal-time": 1 << 5, "kvm-pv-eoi": 1 << 6, "kvm-pv-unhalt": 1 << 7,
        "kvm-pv-tlb-flush": 1 << 9, "kvm-pv-ipi": 1 << 11, "kvm-poll-control": 1 << 12, "kvm-pv-sched-yield": 1 << 13,
        "kvmclock-stable-bit": 1 << 24}
VMWARE = "vmware-cpuid-freq"
NAMES = (*BITS, VMWARE)

# What the kernel says, and what must be shown for it (it has two CPUs, and its processor no MWAIT).
SAYS = {"kvm-clock: Using msrs 4b564d01 and 4b564d00": {"kvmclock"},
        "Switched to clocksource kvm-clock": {"kvmclock"},
        "PV spinlocks enabled": {"kvm-pv-unhalt"},
        "KVM setup pv remote TLB flush": {"kvm-pv-tlb-flush", "kvm-steal-time"},
        "setup PV IPIs": {"kvm-pv-ipi"},
        "setup PV sched yield": {"kvm-pv-sched-yield", "kvm-steal-time"}}
# What it wrote to KVM's registers, which do not exist where they are not shown.
MSRS = {0x4b564d00: ("kvmclock", lambda v: v != 0), 0x4b564d01: ("kvmclock", lambda v: v & 1), 0x4b564d02: (None, None),
        0x4b564d03: ("kvm-steal-time", lambda v: v & 1), 0x4b564d04: ("kvm-pv-eoi", lambda v: v & 1),
        0x4b564d05: ("kvm-poll-control", lambda v: v == 0)}


def shown(names):
    """What of these a processor shows: some need others."""
    left_out = {"kvm-pv-tlb-flush"} if "kvm-steal-time" not in names else set()
    return set(names) - left_out - ({"kvmclock-stable-bit"} if "kvmclock" not in names else set())


def options(names, of=NAMES):
    """-cpu's argument for these alone."""
    return ",".join([CPU, *(f"{name}={'on' if name in names else 'off'}" for name in of)])


def overlay(directory, program):
    """The program and the script, for make-initramfs.sh -a."""
    os.makedirs(os.path.join(directory, "bin"), exist_ok=True)
    os.makedirs(os.path.join(directory, "init.d"), exist_ok=True)
    shutil.copy(program, os.path.join(directory, "bin", "leaves"))
    with open(os.path.join(directory, "init.d", "leaves"), "w", encoding="ascii") as script:
        script.write(SCRIPT)
    return directory


def problems(text, names, post_codes):
    """What is wrong with what the guest said; `names` are what it should have been shown, `post_codes` how often it wrote to port 0x80."""
    wrong = []

    def check(good, what):
        if not good:
            wrong.append(what)

    leaves = re.search(r"^leaves: (\S+) features (\S+) kHz (\d+) (\d+)$", text, re.M)
    if leaves is None:
        return ["the program in the guest did not come to its end"]
    features, wanted = int(leaves.group(2), 16), sum(bits for name, bits in BITS.items() if name in names)
    check(leaves.group(1) == "KVMKVMKVM" and features == wanted, f"{leaves.group(0)}: not KVMKVMKVM {wanted:x}")
    check((int(leaves.group(3)) > 100000 and int(leaves.group(4)) > 1000) == (VMWARE in names), f"{leaves.group(0)}: frequencies")
    for msr, (name, good) in MSRS.items():
        value = re.search(rf"^msr {msr:x}: (\w+)$", text, re.M)
        check(value is not None, f"msr {msr:x} was not looked at")
        if value is not None and name in names:
            check(value.group(1) != "none" and good(int(value.group(1), 16)), f"{value.group(0)}, with {name}")
        elif value is not None:
            check(value.group(1) == "none", f"{value.group(0)}, without {name}")
    for line, needs in SAYS.items():
        check((line in text) == (needs <= names), f"the kernel {'says' if line in text else 'does not say'}: {line}")
    source = re.search(r"^clocksource (\S+) of (.*)$", text, re.M)
    check(source and (source.group(1) == "kvm-clock") == ("kvmclock" in names) == ("kvm-clock" in source.group(2).split()),
          f"{source and source.group(0)}")
    check("kvmclock" not in names or ("sched_clock: Marking stable" in text) == ("kvmclock-stable-bit" in names),
          "sched_clock is " + ("stable" if "sched_clock: Marking stable" in text else "unstable"))
    check(("host does not support poll control" in text) == ("kvm-poll-control" not in names), "poll control")
    check((post_codes == 0) == ("kvm-nopiodelay" in names), f"{post_codes} writes to port 0x80")
    check(len(re.findall(r"^6251e5743b6fd6a7d606130bdf7c15077ce85ebd3a0fdee284d15a46df199e38  -$", text, re.M)) == 2, "sums")
    complaints = re.findall(r".*(?:WARNING: CPU|BUG:|soft lockup|rcu.*stall).*", text)
    check(not complaints, f"the kernel complains: {complaints}")
    return wrong
