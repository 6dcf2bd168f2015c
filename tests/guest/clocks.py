#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""clocks.py METAPHRASE GUEST TURNS ENGINE[,PROPERTY=VALUE]...: clocks.elf watches kvmclock from two CPUs while the
machine is stopped, goes on and changes its engine (with one: stays).  Time never goes back, rests are not counted, and interrupts of the
local APIC's timer and of the other CPU keep coming."""
import sys
import time

from switching import change, end_well, need, running

CPU = "qemu64,-kvm-pv-ipi,-kvm-pv-unhalt,-kvm-pv-tlb-flush,-kvm-pv-sched-yield"
REST = 0.5


def ask(s):
    s.send("p")
    ms, *counts = [int(w) for w in s.wait_for("pong").split()[1:]]
    return ms / 1000, counts


def ask_until(s, count):
    """Until all that is counted has gone on."""
    deadline = time.monotonic() + 20
    while True:
        now, counts = ask(s)
        if all(a > b for a, b in zip(counts, count)):
            return now, counts
        assert time.monotonic() < deadline, f"readings, ticks, IPIs: {count}, and 20 s later {counts}"
        time.sleep(0.02)


def main(metaphrase, guest, turns, *engines):
    names = need(metaphrase, engines)
    with running(metaphrase, guest, engines, "-cpu", CPU, "-smp", "2") as (process, q, s):
        s.wait_for("ready")
        begin, rested = time.monotonic(), 0
        first, count = ask(s)
        for n in range(int(turns)):
            q.run("stop")
            stopped = time.monotonic()
            time.sleep(REST)
            if n % 2 and len(names) > 1:       # in its sleep
                change(q, names[(n + 1) % len(names)], by_hmp=False)
            rested += time.monotonic() - stopped
            q.run("cont")
            now, count = ask_until(s, count)
            if n % 2 == 0 and len(names) > 1:
                change(q, names[(n + 1) % len(names)], by_hmp=True)
        time.sleep(REST)
        now, _ = ask(s)
        wall = time.monotonic() - begin
        assert now - first <= wall - rested + 0.05, f"{now - first} s of guest time in {wall} s, {rested} s of rest"
        end_well(process, s, "time_never_goes_back")
        print(f"{now - first:.2f} s of guest time in {wall:.2f} s with {rested:.2f} s of rest, readings, ticks, IPIs: {count}")


main(*sys.argv[1:])
