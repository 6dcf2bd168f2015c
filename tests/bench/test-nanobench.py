#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`metaphrase nanobench`: short runs of the guests under each engine, files, bad options, failures.

usage: test-nanobench.py METAPHRASE NANOBENCH_DIR CASE"""
import csv
import json
import os
import pathlib
import re
import stat
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

metaphrase = os.path.abspath(sys.argv[1])
images = os.path.abspath(sys.argv[2])
SLOWNESS = float(os.environ.get("METAPHRASE_TEST_SLOWNESS", "1"))
scratch = tempfile.TemporaryDirectory()
tmp = pathlib.Path(scratch.name)
SHORT = ["--repeat", "1", "--samples", "3", "--cycles", "2000", "--peer", "none",
         "--timeout", str(int(60 * SLOWNESS))]
# Waiting for another CPU or for the clock takes time: once is enough.
SLOW = {"ipi_running", "ipi_halted", "deadline_running", "deadline_halted"}


def nanobench(*options, status=0):
    done = subprocess.run([metaphrase, "nanobench", *options], stdin=subprocess.DEVNULL, cwd=tmp,
                          capture_output=True, text=True, timeout=200 * SLOWNESS, check=False)
    assert done.returncode == status, f"{options}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def rows(*options, status=0):
    """Run; {operation: {column: cell}}, the whole document."""
    done = nanobench(*options, "--json", str(tmp / "out.json"), status=status)
    document = json.loads((tmp / "out.json").read_text(encoding="utf-8"))
    return {r["name"]: r["values"] for r in document["rows"]}, document, done


def operations():
    return [line.split()[0] for line in nanobench("--list").stdout.splitlines()]


def engine(name, bits, absent):
    """Every operation has a number or the reason that the table expects."""
    if subprocess.run([metaphrase, "-accel", name, "-version"], capture_output=True, check=False).returncode:
        sys.exit(77)
    every = operations()
    names = every if name == "interpret" and bits == "64" else [o for o in every if o not in SLOW]
    got, document, _ = rows(*SHORT, "--accel", name, "--bits", bits, "--only", ",".join(names))
    assert [c["name"] for c in document["columns"]] == ["native", name], document["columns"]
    assert list(got) == names
    missing = {o for o in names if "median" not in got[o][name]}
    reasons = {o: got[o][name]["reason"] for o in missing}
    assert missing == absent, reasons
    assert all(r.startswith("n/a: ") for r in reasons.values()), reasons
    for o in set(names) - missing:
        cell = got[o][name]
        assert 0 <= cell["min"] <= cell["median"] <= cell["p95"], (o, cell)
    for o in ("syscall", "pgfault", "cpuid", "ctxsw"):  # never free, on whatever machine
        assert o not in names or got[o][name]["median"] > 1, (o, got[o][name])
    assert got["syscall"]["native"]["median"] > 1


def files():
    """CSV, chart and JSON agree; --save makes files of its own."""
    nanobench(*SHORT, "--accel", "interpret", "--only", "syscall,rdtsc,swapgs", "--repeat", "2", "--json", "a.json",
              "--csv", "a.csv", "--plot", "a.svg")
    document = json.loads((tmp / "a.json").read_text(encoding="utf-8"))
    for key in ("tool", "version", "unit", "options", "date", "host"):
        assert document[key], key
    syscall = document["rows"][0]
    assert syscall["published"] == {"native'06": 242, "BT'06": 2308, "VT'06": 246}, syscall
    assert len(syscall["values"]["interpret"]["runs"]) == 2
    with open(tmp / "a.csv", newline="", encoding="utf-8") as f:
        table = list(csv.DictReader(f))
    assert len(table) == 6
    for line in table:
        row = next(r for r in document["rows"] if r["name"] == line["name"])
        cell = row["values"][line["column"]]
        assert float(line["median"] or -1) == cell.get("median", -1), (line, cell)
    svg = xml.etree.ElementTree.parse(tmp / "a.svg").getroot()
    bars = svg.findall(".//{*}rect/{*}title")
    # 2 + 1 native and measured, 3 + 1 published, 1 measured alone
    assert len(bars) == 5 + 4, [b.text for b in bars]
    nanobench(*SHORT, "--accel", "interpret", "--only", "syscall", "--no-native", "--save")
    saved = sorted(p.suffix for p in (tmp / "bench" / "results").iterdir())
    assert saved == [".csv", ".json", ".svg"], saved


def fake_peer(name, text):
    path = tmp / name
    path.write_text("#!/bin/sh\n" + text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def failures():
    """Peers that hang, die, lie or say nothing cost their own cells only."""
    head = "echo nanobench 1 bits=64 cpus=1 tsc_khz=1000000\n"
    good = "echo op syscall n=1 samples=1 min=1.0 median=2.0 p95=3.0\n"
    common = [*SHORT[:-2], "--no-native", "--accel", "none", "--only", "syscall,in,rdtsc"]
    patient, impatient = ["--timeout", str(int(60 * SLOWNESS))], ["--timeout", str(int(4 * SLOWNESS))]

    # It hangs in `in`, and is run again without.
    hang = fake_peer("hang", head + good + 'case "$*" in *skip=in*) echo run rdtsc; '
                     "echo op rdtsc min=1 median=1 p95=1; echo end; exit 33;; esac\necho run in\nexec sleep 100\n")
    got, _, done = rows(*common, *impatient, "--peer", hang, status=1)
    assert got["in"]["hang:auto"]["reason"].startswith("failed: hung"), got
    assert got["syscall"]["hang:auto"]["runs"] == [2, 2], got
    assert got["rdtsc"]["hang:auto"]["median"] == 1
    assert "hang:auto: failed: hung" in done.stdout

    dies = fake_peer("dies", head + "echo run in\necho panic: oops\nkill -SEGV $$\n")
    got, _, _ = rows(*common, *patient, "--peer", dies, status=1)
    assert got["in"]["dies:auto"]["reason"] == "failed: killed by signal 11 (last said: panic: oops)", got

    # No host's TSC counts 100 GHz.
    other_clock = fake_peer("clock", head.replace("=1000000", "=100000000") + good + "echo end\nexit 33\n")
    _, document, done = rows(*common, *patient, "--peer", other_clock)
    assert "its TSC counts 100000 MHz" in document["columns"][0]["note"], document
    assert "clock:auto: note: its TSC" in done.stdout

    silent = fake_peer("silent", "echo no such machine >&2\nexit 1\n")
    got, document, _ = rows(*common, *patient, "--peer", silent, status=1)
    assert document["columns"][0]["failed"] == "nothing ran: exit status 1: no such machine", document

    never = fake_peer("never", "exec sleep 100\n")
    _, document, _ = rows(*common, *impatient, "--peer", never, status=1)
    assert document["columns"][0]["failed"] == "nothing ran: hung", document

    wrong = fake_peer("wrong", head + good + "echo bad rdtsc wrong result\necho na in no such port\necho end\nexit 33\n")
    got, _, _ = rows(*common, *patient, "--peer", wrong, status=1)
    assert got["rdtsc"]["wrong:auto"]["reason"] == "wrong: wrong result", got
    assert got["in"]["wrong:auto"]["reason"] == "n/a: no such port", got

    early = fake_peer("early", head + good + "exit 33\n")
    _, document, _ = rows(*common, *patient, "--peer", early, status=1)
    assert document["columns"][0]["failed"] == "it ended early", document

    noise = fake_peer("noise", "echo booting; echo op syscall median=5\n" + head +
                      "echo op syscall min=x median=1 p95=1; echo op nothing min=1 median=1 p95=1\n" + good +
                      "echo op rdtsc min=-1 median=1 p95=1\necho end\nexit 33\n")
    got, _, _ = rows(*common, *patient, "--peer", noise)
    assert got["syscall"]["noise:auto"]["runs"] == [2], got
    assert "median" not in got["rdtsc"]["noise:auto"], got


def bad_options():
    """One line each, status 1."""
    for options, message in [
            (["--bits", "16"], "--bits is 32 or 64, not 16"),
            (["--repeat", "0"], "--repeat is from 1 to 1000, not 0"),
            (["--samples", "102"], "--samples is from 1 to 101"),
            (["--only", "syscall,warp"], "no operation is called 'warp'"),
            (["--only", ""], "no operation is called ''"),
            (["--accel", "warp"], "no engine of this build is called 'warp'"),
            (["--accel", "interpret:warp"], "no engine of this build is called 'warp'"),
            (["--peer", "no-such-program:tcg"], "no-such-program is not installed"),
            (["--accel", "none", "--peer", "none", "--no-native"], "nothing to measure"),
            (["--wrong"], "--wrong"), (["word"], "'word' is no option"),
            ([*SHORT, "--accel", "none", "--only", "rdtsc", "--json", "nowhere/x.json"], "nowhere/x.json")]:
        done = nanobench(*options, status=1)
        assert message in done.stderr and done.stderr.count("\n") == 1, (options, done.stderr)


def kvm():
    """Where /dev/kvm opens, its column says what exits it took; where KVM is partial, what it cannot do has no number."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        done = nanobench(*SHORT, "--no-native", "--accel", "kvm,interpret", "--smp", "1", "--only", "callret")
        assert "left out: engine 'kvm' cannot be used: /dev/kvm" in done.stderr, done.stderr
        assert re.search(r"^callret +\d", done.stdout, re.M), done.stdout
        done = nanobench(*SHORT, "--no-native", "--accel", "kvm", "--only", "callret", status=1)
        assert "engine 'kvm' cannot be used" in done.stderr, done.stderr
        return
    got, document, _ = rows(*SHORT, "--no-native", "--accel", "kvm", "--smp", "1", "--only", "in,callret")
    assert got["in"]["kvm"]["median"] > got["callret"]["kvm"]["median"] > 1, got
    note = document["columns"][0]["note"]
    count = re.search(r"exits of CPU 0 in the last run: .*port access (\d+)", note)
    assert count and int(count.group(1)) > 100, note


def pvh():
    """The image without its Multiboot header boots by its PVH note, and gets its command line."""
    image = pathlib.Path(images, "nanobench64.elf").read_bytes()
    magic = (0x1badb002).to_bytes(4, "little")
    assert image.count(magic) == 1
    (tmp / "pvh.elf").write_bytes(image.replace(magic, b"\0\0\0\0"))
    done = subprocess.run([metaphrase, "-accel", "interpret", "-kernel", tmp / "pvh.elf", "-m", "64", "-append",
                           "samples=3 cycles=1000 only=rdtsc", "-display", "none", "-serial", "stdio", "-no-reboot",
                           "-monitor", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60 * SLOWNESS, check=False)
    ops = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("op ")]
    assert done.returncode == 33 and ops == ["rdtsc"], (done.returncode, done.stdout, done.stderr)


VMI = {o for o in operations() if o.startswith("vmi_") or o in ("native_setpxe", "native_ptbatch", "native_ptmix", "native_eoi")}
cases = {
    "interpret-64": lambda: engine("interpret", "64", VMI),
    "interpret-32": lambda: engine("interpret", "32", {"cr8wr", "swapgs", "cr3_pcid", "ctxsw_pcid"}),
    "translate-64": lambda: engine("translate", "64", VMI),
    "translate-32": lambda: engine("translate", "32", {"cr8wr", "swapgs", "cr3_pcid", "ctxsw_pcid"}),
    "files": files, "failures": failures, "bad-options": bad_options, "pvh": pvh, "kvm": kvm,
}
cases[sys.argv[3]]()
print("ok")
