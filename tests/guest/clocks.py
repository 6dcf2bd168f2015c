#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""clocks.py METAPHRASE GUEST TURNS ENGINE...: clocks.elf watches kvmclock from two CPUs while the machine is stopped,
goes on and changes its engine.  Time never goes back, and rests are not counted."""
import sys
import time

from switching import change, end_well, need, running

CPU = "qemu64,-kvm-pv-ipi,-kvm-pv-unhalt,-kvm-pv-tlb-flush,-kvm-pv-sched-yield"
REST = 0.5


def ask(s):
    s.send("p")
    ms, turns = s.wait_for("pong").split()[1:]
    return int(ms) / 1000, int(turns)


def main(metaphrase, guest, turns, *engines):
    need(metaphrase, engines)
    with running(metaphrase, guest, engines[0], "-cpu", CPU, "-smp", "2") as (process, q, s):
        s.wait_for("ready")
        begin, rested = time.monotonic(), 0
        first, count = ask(s)
        for n in range(int(turns)):
            q.run("stop")
            stopped = time.monotonic()
            time.sleep(REST)
            if n % 2:                          # in its sleep
                change(q, engines[(n + 1) % len(engines)], by_hmp=False)
            rested += time.monotonic() - stopped
            q.run("cont")
            now, more = ask(s)
            assert more > count, f"turn {n}: nobody reads the clock"
            if n % 2 == 0:
                change(q, engines[(n + 1) % len(engines)], by_hmp=True)
            count = more
        time.sleep(REST)
        now, _ = ask(s)
        wall = time.monotonic() - begin
        assert now - first <= wall - rested + 0.05, f"{now - first} s of guest time in {wall} s, {rested} s of rest"
        end_well(process, s, "time_never_goes_back")
        print(f"{now - first:.2f} s of guest time in {wall:.2f} s with {rested:.2f} s of rest, {count} readings")


main(*sys.argv[1:])
