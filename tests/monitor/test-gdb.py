#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-gdb.py METAPHRASE DEBUGGEE ENGINE [CASE...]: the gdb stub by its protocol, on a bare-metal guest, without gdb."""
import re
import subprocess
import sys
import traceback
import xml.etree.ElementTree as ElementTree

from gdb_client import Gdb, Machine, symbols

RIP, EFLAGS, CS, XMM0 = 16, 17, 18, 40          # numbers in the 64-bit view
AP_COUNTER = 0x500
BASE = ["-m", "16", "-smp", "2"]

cases = []


def case(*options):
    """A test on a machine of its own, stopped at the start of the loop."""
    def wrap(f):
        cases.append((f, options or None))
        return f
    return wrap


def equal(got, wanted):
    assert got == wanted, f"{got!r} instead of {wanted!r}"


def stop_at(g, address, kind=0):
    """Run to an address; the stop reply."""
    equal(g.ask(f"Z{kind},{address:x},1"), "OK")
    reply = g.ask("c")
    equal(g.register(RIP), address)
    equal(g.ask(f"z{kind},{address:x},1"), "OK")
    return reply


def target(g):
    """The registers of the description: name -> (number, bits)."""
    text = ""
    while True:
        piece = g.ask(f"qXfer:features:read:target.xml:{len(text):x},400")
        text += piece[1:]
        if piece[0] == "l":
            break
    return {r.get("name"): (int(r.get("regnum")), int(r.get("bitsize")))
            for r in ElementTree.fromstring(text).iter("reg")}


# -- Session ---------------------------------------------------------------------------------------

@case()
def a_session_says_what_it_can(m, g, sym):
    for feature in ("PacketSize=", "qXfer:features:read+", "vContSupported+", "multiprocess+",
                    "swbreak+", "QStartNoAckMode+"):
        assert feature in g.features, g.features
    equal(g.ask("?"), "T05thread:p01.01;")
    equal(g.ask("qC"), "QCp01.01")
    equal(g.ask("qAttached:1"), "1")
    equal(g.ask("vCont?"), "vCont;c;C;s;S")
    equal(g.ask("vMustReplyEmpty"), "")
    equal(g.ask("!"), "OK")


@case()
def cpus_are_threads(m, g, sym):
    equal([g.ask("qfThreadInfo"), g.ask("qsThreadInfo"), g.ask("qsThreadInfo")],
          ["mp01.01", "mp01.02", "l"])
    equal(bytes.fromhex(g.ask("qThreadExtraInfo,p1.1")), b"CPU#0 [running]")
    equal([g.ask("Tp1.2"), g.ask("Tp1.3"), g.ask("Hgp1.2"), g.ask("Hgp1.9")],
          ["OK", "E22", "OK", "E22"])
    equal(g.ask("qC"), "QCp01.02")


@case()
def the_description_is_what_g_sends(m, g, sym):
    regs = target(g)
    equal([regs[n][0] for n in ("rip", "eflags", "cs", "xmm0")], [RIP, EFLAGS, CS, XMM0])
    for name in ("fs_base", "gs_base", "k_gs_base", "cr0", "cr2", "cr3", "cr4", "cr8", "efer",
                 "st7", "fop", "mxcsr"):
        assert name in regs, name
    equal(sorted(n for n, _ in regs.values()), list(range(len(regs))))
    equal(len(g.ask("g")) * 4, sum(bits for _, bits in regs.values()))
    everything = g.ask("g")
    at = 0
    for number, bits in sorted(regs.values()):
        equal(g.ask(f"p{number:x}"), everything[at:at + bits // 4])
        at += bits // 4
    equal(g.ask("G" + everything), "OK")
    equal(g.ask("g"), everything)
    equal(g.ask(f"p{len(regs):x}"), "E22")


@case("-cpu", "max,-lm")
def a_32_bit_cpu_has_32_bit_registers(m, g, sym):
    regs = target(g)
    equal([regs["eax"], regs["eip"], regs["eflags"]], [(0, 32), (8, 32), (9, 32)])
    assert "rax" not in regs and "xmm8" not in regs
    equal(g.register(8), 0xfff0)
    equal(g.set_register(0, 0x12345678, 4), "OK")
    equal(g.register(0), 0x12345678)


@case()
def acknowledgements_and_repetition(m, g, sym):
    g.ask("D")
    g.close()
    g = m.gdb(acks=True)
    g.raw(b"$qC#00")
    equal(g.byte(), b"-")
    g.raw(b"junk$qC$qC#b4")
    equal(g.byte(), b"+")
    equal(g.receive(), "QCp01.01")
    g.raw(b"-")
    equal(g.receive(), "QCp01.01")
    g.raw(b"$" + b"m" * 100000 + b"#" + b"%02x" % (100000 * ord("m") & 255))
    while True:                        # answers to the '+'s above have none
        if g.byte() == b"-":
            break
    equal(g.ask("qC"), "QCp01.01")


@case()
def malformed_packets_are_refused(m, g, sym):
    for packet in ("", "m", "mzz,1", "m0", "m0,", "M0,4:12", "M0,fffff:00", "X0,4:a", "p", "pzz",
                   "P10", "P10=", "P10=zz", "Pffff=00", "H", "Hx0", "Hgzz", "T", "Z", "Z0", "Z0,1",
                   "Z9,0,1", "Z2,0,0", "Z2,ffffffffffffffff,2", "z0,1,1", "vCont", "vCont;",
                   "vCont;x", "vCont;c:zz", "vCont;C", "C", "qXfer:features:read:", "G12",
                   "qXfer:features:read:target.xml:", "qXfer:features:read:target.xml:fffff,1",
                   "qXfer:features:read:other.xml:0,1", "qThreadExtraInfo,", "qRcmd,0z", "Qqemu.sstep=9",
                   "m11112222333344445,1", "\0", "\xff\xfe"):
        answer = g.ask(packet)
        assert answer in ("", "E22", "E14", "E00") or packet == "G12", (packet, answer)
    equal(g.ask("qC"), "QCp01.01")


# -- State -----------------------------------------------------------------------------------------

@case()
def garbage_and_huge_packets_do_no_harm(m, g, sym):
    state, data = 12345, bytearray()
    for _ in range(20000):
        state = (state * 1103515245 + 12345) & 0x7fffffff
        data.append(state >> 16 & 0xff)
    for junk in (bytes(data).replace(b"\x03", b"\x04"), b"$" + b"m" * 3000000 + b"#00", b"+-" * 1000, b"$}#" * 1000,
                 b"$qRcmd," + b"z" * 200001 + b"#zz", b"$vCont;" + b"c:1;" * 50000, bytes(1000)):
        g.raw(junk + b"#00")
    g.close()
    g = m.gdb()
    assert g.ask("?").startswith("T05thread:"), "it lives"
    assert int(g.ask(f"m{sym['leaf']:x},1"), 16) == 0xc6


@case()
def registers_are_written(m, g, sym):
    stop_at(g, sym["loop_inc"])
    equal(g.set_register(0, 0x1122334455667788), "OK")
    equal(g.register(0), 0x1122334455667788)
    equal(g.set_register(RIP, sym["leaf"]), "OK")
    equal(g.set_register(RIP, sym["loop_inc"]), "OK")
    equal(g.set_register(XMM0, 0xabcdef << 100, 16), "OK")
    equal(g.register(XMM0), 0xabcdef << 100)
    equal(g.set_register(CS, 0x40, 4), "E22")
    regs = target(g)
    equal(g.set_register(regs["cr0"][0], 0), "E22")            # not from 64-bit code
    equal(g.set_register(regs["fs_base"][0], 1 << 63), "E22")  # not canonical
    equal(g.set_register(regs["fs_base"][0], 0x1234), "OK")
    equal(g.register(regs["fs_base"][0]), 0x1234)
    equal(g.register(regs["efer"][0]) & 0x500, 0x500)


@case()
def memory_is_read_and_written(m, g, sym):
    stop_at(g, sym["loop_inc"])
    g.write(sym["counter"], 1000)
    equal(g.read(sym["counter"]), 1000)
    equal(g.ask(b"X%x,3:#$}" % (sym["counter"] + 8)), "OK")
    equal(g.read(sym["counter"] + 8, 3), 0x7d2423)
    equal(g.ask("m8000000000000000,4"), "E14")
    stop_at(g, sym["loop_load"])
    equal(g.read(sym["counter"]), 1001)
    equal(g.ask("qqemu.PhyMemMode"), "0")
    equal(g.ask("Qqemu.PhyMemMode:1"), "OK")
    equal(g.read(sym["counter"]), 1001)
    equal(g.read(0xfed00000, 4) >> 16, 0x8086)                 # the HPET's vendor
    equal(g.ask("Qqemu.PhyMemMode:0"), "OK")


# -- Stopping --------------------------------------------------------------------------------------

@case()
def breakpoints_stop_before_their_instruction(m, g, sym):
    equal(stop_at(g, sym["leaf"]), "T05thread:p01.01;swbreak:;")
    equal(stop_at(g, sym["loop_inc"], 1), "T05thread:p01.01;hwbreak:;")
    before = g.read(sym["counter"])
    equal(g.ask(f"Z0,{sym['leaf']:x},1"), "OK")
    for n in range(1, 4):
        g.ask("vCont;c:p1.-1")
        equal((g.register(RIP), g.read(sym["counter"])), (sym["leaf"], before + n))
        equal(g.ask("vCont;s:p1.1"), "T05thread:p01.01;")      # a step goes past it
        equal(g.read(sym["leaf"], 1), 0xc6)                    # memory is left alone


@case()
def watchpoints_stop_after_the_access(m, g, sym):
    address = sym["counter"]
    stop_at(g, sym["loop_inc"])
    for kind, name, places in ((2, "watch", ["loop_load"]), (3, "rwatch", ["loop_load", "loop_call"]),
                               (4, "awatch", ["loop_load", "loop_call"])):
        equal(g.ask(f"Z{kind},{address:x},8"), "OK")
        for _ in range(2):
            seen = set()
            for _ in range(len(places)):
                equal(g.ask("c"), f"T05thread:p01.01;{name}:{address:x};")
                seen.add(g.register(RIP))
            equal(seen, {sym[p] for p in places})
        equal(g.ask(f"z{kind},{address:x},8"), "OK")
        stop_at(g, sym["loop_inc"])
    equal(g.ask(f"Z2,{sym['leaf_calls']:x},1"), "OK")
    equal(g.ask("c"), f"T05thread:p01.01;watch:{sym['leaf_calls']:x};")


@case()
def steps_go_instruction_by_instruction(m, g, sym):
    stop_at(g, sym["loop_inc"])
    for place in ("loop_load", "loop_call", "leaf"):
        equal(g.ask("s"), "T05thread:p01.01;")
        equal(g.register(RIP), sym[place])
    inside = range(sym["loop_inc"], sym["leaf"] + 9)
    ticks = g.read(sym["ticks"])
    for _ in range(100):                                       # interrupts stay out
        g.ask("vCont;s:p1.1")
        assert g.register(RIP) in inside
    equal(g.read(sym["ticks"]), ticks)
    equal(g.ask("qqemu.sstep"), "0x7")
    equal(g.ask("Qqemu.sstep=0x1"), "OK")
    for _ in range(5000):                                      # ... unless asked in
        g.ask("vCont;s:p1.1")
        if g.register(RIP) not in inside:
            return
    raise AssertionError("no interrupt came")


@case()
def a_cpu_runs_alone_when_asked(m, g, sym):
    stop_at(g, sym["loop_inc"])
    while g.read(AP_COUNTER, 2) == 0:                          # CPU 1 has been started
        stop_at(g, sym["loop_inc"])
    others = g.read(AP_COUNTER, 2)
    equal(g.ask("vCont;s:p1.1"), "T05thread:p01.01;")
    equal(g.read(AP_COUNTER, 2), others)
    own = g.read(sym["counter"])
    g.send("vCont;c:p1.2")
    equal(g.interrupt(), "T02thread:p01.01;")
    equal(g.read(sym["counter"]), own)
    equal(g.ask("Z2,500,2"), "OK")
    equal(g.ask("c"), "T05thread:p01.02;watch:500;")
    equal(g.register(RIP), 5)                                  # of CPU 1, in real mode
    equal(g.ask("z2,500,2"), "OK")
    equal(g.ask("Z0,8000,1"), "OK")                            # its CS base is 0x8000
    equal(g.ask("c"), "T05thread:p01.02;swbreak:;")
    equal(g.register(RIP), 0)
    equal(g.ask("Hgp1.1"), "OK")
    assert g.register(RIP) >= 0x100000


@case()
def control_c_stops_and_detaching_lets_go(m, g, sym):
    g.send("c")
    equal(g.interrupt(), "T02thread:p01.01;")
    stop_at(g, sym["loop_inc"])
    equal(g.ask(f"Z0,{sym['leaf']:x},1"), "OK")
    before = g.read(sym["counter"])
    equal(g.ask("D;1"), "OK")
    g.close()
    g = m.gdb()
    stop_at(g, sym["leaf"])
    stop_at(g, sym["loop_inc"])
    assert g.read(sym["counter"]) > before
    equal(g.ask(f"Z0,{sym['leaf']:x},1"), "OK")
    g.send("c")
    g.close()                                                  # vanishes: breakpoints go too
    g = m.gdb()
    g.send("c")
    equal(g.interrupt(), "T02thread:p01.01;")


# -- The monitor -----------------------------------------------------------------------------------

@case()
def monitor_commands_answer(m, g, sym):
    assert "VM status: paused" in g.monitor("info status")
    assert re.search(r"RIP=[0-9a-f]{16}", g.monitor("info registers"))
    equal(g.monitor(""), "")
    assert "unknown command" in g.monitor("nonsense")
    assert "Error" in g.monitor("gdbserver none")
    g.send("qRcmd," + b"quit".hex())
    equal(g.receive(), "OK")
    equal(g.receive(), "W00")
    equal(m.wait()[0], 0)


@case()
def kill_ends_the_machine(m, g, sym):
    g.send("k")
    status, text = m.wait()
    equal(status, 0)
    assert "terminated by gdb" in text, text


@case()
def leaving_without_a_word_changes_nothing(m, g, sym):
    g.raw(b"$m0,")
    g.close()
    g = m.gdb()
    equal(g.ask("?"), "T05thread:p01.01;")
    equal(g.ask("qRcmd," + b"system_reset".hex()), "OK")
    stop_at(g, sym["loop_inc"])


def run(f, options, metaphrase, elf, sym):
    boots = options is None
    m = Machine(metaphrase, *BASE, *(["-kernel", elf] if boots else options), "-S")
    try:
        g = m.gdb()
        if boots:
            equal(g.ask(f"Z0,{sym['loop_inc']:x},1"), "OK")
            g.ask("c")
            equal(g.ask(f"z0,{sym['loop_inc']:x},1"), "OK")
            g.close()
            g = Gdb(m.path, m.process)
        f(m, g, sym)
        return True
    except Exception:
        traceback.print_exc()
        return False
    finally:
        m.end()


def main():
    metaphrase, elf, engine = sys.argv[1:4]
    BASE.extend(["-accel", engine])
    tried = subprocess.run([metaphrase, "-M", "none", "-accel", engine, "-display", "none", "-monitor", "stdio"],
                           input=b"quit\n", capture_output=True, check=False)
    if tried.returncode != 0:
        print("skipped:", tried.stderr.decode().strip())
        sys.exit(77)
    sym = symbols(elf)
    bad = 0
    for f, options in cases:
        if len(sys.argv) > 4 and f.__name__ not in sys.argv[4:]:
            continue
        good = run(f, options, metaphrase, elf, sym)
        print("ok" if good else "FAIL", f.__name__, flush=True)
        bad += not good
    sys.exit(bad != 0)


main()
