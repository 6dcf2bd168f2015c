#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmpv-each.py METAPHRASE GUEST ENGINE: kvmpv.elf with each of KVM's interfaces off, and with each alone.

What of the guest's tests is skipped then is what needs the interface, no more and no less; the guest itself checks that registers and
calls which are not shown are not there."""
import os
import re
import subprocess
import sys

TIMEOUT = 60 * float(os.environ.get("METAPHRASE_TEST_SLOWNESS", "1"))
PASSED = 0x10 << 1 | 1
NAMES = ("kvmclock", "kvmclock-stable-bit", "kvm-nopiodelay", "kvm-steal-time", "kvm-pv-eoi", "kvm-pv-unhalt", "kvm-pv-tlb-flush",
         "kvm-pv-ipi", "kvm-poll-control", "kvm-pv-sched-yield", "vmware-cpuid-freq")
# The guest's tests and what they need.  Who is not shown as preempted cannot be left to flush later, so without stolen time there is no
# flush by the hypervisor.
NEEDS = {"the_clock_keeps_the_tscs_time": {"kvmclock"}, "the_wall_clock_is_this_century": {"kvmclock"},
         "time_never_goes_back_between_cpus": {"kvmclock"}, "tsc_writes_do_not_move_the_clock": {"kvmclock"},
         "wall_clock_and_tsc_are_paired": {"kvmclock"}, "pages_nowhere_hurt_nobody": {"kvmclock"},
         "steal_time_is_written": {"kvm-steal-time"}, "interrupts_end_in_memory": {"kvm-pv-eoi"},
         "kicks_end_halts_with_interrupts_off": {"kvm-pv-unhalt"}, "polling_is_one_bit": {"kvm-poll-control"},
         "sleepers_flush_when_asked": {"kvm-pv-tlb-flush", "kvm-steal-time"}, "one_call_interrupts_many": {"kvm-pv-ipi"},
         "calls_answer": {"kvm-pv-sched-yield"}}


CALLS = "host-calls"


def skipped(metaphrase, guest, engine, cpu):
    """The tests that the guest skips; it passes all others."""
    more = ["-append", CALLS] if engine.startswith("kvm") else []
    command = [metaphrase, "-accel", engine, "-cpu", cpu, "-m", "64", "-smp", "2", "-kernel", guest, "-display", "none", "-serial",
               "stdio", "-monitor", "none", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *more]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT)
    text = done.stdout.decode("latin-1").replace("\r", "")
    assert done.returncode == PASSED and "FAIL" not in text, f"{engine}, -cpu {cpu}: status {done.returncode}\n{text}"
    return set(re.findall(r"^skip (\S+)", text, re.M))


def main(metaphrase, guest, engine):
    global CALLS
    if engine.startswith("kvm"):
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            sys.exit(77)
        about = subprocess.run([metaphrase, "-M", "none", "-accel", engine, "-display", "none", "-monitor", "stdio"],
                               input=b"info accel\nquit\n", capture_output=True, check=False).stdout
        if b"on no VT-x and no SVM" in about:
            CALLS = "no-calls"             # none ever comes back there
    base = skipped(metaphrase, guest, engine, "max")
    for name in NAMES:
        for on in (set(NAMES) - {name}, {name}):
            cpu = ",".join(["max"] + [f"{other}=off" for other in NAMES if other not in on])
            got, expected = skipped(metaphrase, guest, engine, cpu), base | {test for test, needs in NEEDS.items() if not needs <= on}
            assert got == expected, f"{engine}, -cpu {cpu}: {sorted(got - expected)} are skipped, {sorted(expected - got)} are not"
    print(f"{engine}: {len(NAMES)} interfaces; never there: {sorted(base)}")


main(*sys.argv[1:])
