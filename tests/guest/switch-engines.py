#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""switch-engines.py METAPHRASE GUEST TURNS ENGINE[,PROPERTY=VALUE]...: run switch.elf, which checks itself, and change its
engine again and again, by QMP and by the human monitor.  After each change the guest must come round once."""
import re
import sys

from switching import change, end_well, need, running


def host_has_avx():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        return " avx " in f.read()


def main(metaphrase, guest, turns, *engines):
    names = need(metaphrase, engines)
    # A model that every engine can run everywhere; or whatever the first engine offers.
    model = "max,kvm=off" if names[0] == "kvm" or "kvm" not in names else "qemu64,kvm=off"
    with running(metaphrase, guest, engines, "-cpu", model) as (process, q, s):
        bad = q.run("x-accel-set", name="warp")
        assert "no engine is called 'warp'" in bad["error"]["desc"], bad
        avx = s.wait_for("AVX:")
        assert avx == "AVX: 1" or "kvm" in names or not host_has_avx(), avx
        s.wait_for("ready")
        for n in range(int(turns)):
            for i, e in enumerate(names[1:] + names[:1]):
                change(q, e, by_hmp=(n + i) % 2 == 0)
                if (n + i) % 3 != 2:           # else the next change comes at once
                    s.send("p")
                    s.wait_for("pong")
        said = q.run("human-monitor-command", **{"command-line": "info accel"})["return"]
        for e in set(names) - {names[0]}:      # the first has come round and runs again
            wanted = int(turns) * names.count(e)
            assert re.search(rf"^before, engine {e}: [\d.]+ s in {wanted} spells?\b", said, re.M), said
        end_well(process, s, "rounds")
        print(s.text.splitlines()[-3:])


main(*sys.argv[1:])
