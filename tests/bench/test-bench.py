#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`metaphrase bench`: the workloads natively, the runner with guests that are scripts, one real boot.

usage: test-bench.py METAPHRASE CASE"""
import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile

metaphrase = os.path.abspath(sys.argv[1])
workloads = os.path.join(os.path.dirname(metaphrase), "bench", "workloads", "workloads")
top = pathlib.Path(__file__).resolve().parents[2]
SLOWNESS = float(os.environ.get("METAPHRASE_TEST_SLOWNESS", "1"))
scratch = tempfile.TemporaryDirectory()
tmp = pathlib.Path(scratch.name)


def bench(*options, status=0):
    done = subprocess.run([metaphrase, "bench", *options], stdin=subprocess.DEVNULL, cwd=tmp,
                          capture_output=True, text=True, timeout=400 * SLOWNESS, check=False)
    assert done.returncode == status, f"{options}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def rows(*options, **more):
    done = bench(*options, "--json", str(tmp / "out.json"), **more)
    document = json.loads((tmp / "out.json").read_text(encoding="utf-8"))
    return {r["name"]: r["values"] for r in document["rows"]}, document, done


def listed():
    """{workload: group}"""
    return {line.split()[0]: line.split()[1] for line in bench("--list").stdout.splitlines()}


def native():
    """Each row of the table is a workload of the program and the other way round; none is wrong."""
    disk = tmp / "disk"
    disk.write_bytes(b"\0" * (64 << 20))
    done = subprocess.run([workloads, "ms=1", "samples=2", f"tmp={tmp}", f"disk={disk}"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=280 * SLOWNESS, check=True)
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert lines[0][:2] == ["workloads", "1"] and lines[-1] == ["end"], done.stdout
    assert [line for line in lines if line[0] == "bad"] == [], done.stdout
    got = [line[1] for line in lines if line[0] in ("op", "na")]
    assert sorted(got) == sorted(n for n, group in listed().items() if group != "run"), got
    # Without a tool, disk or feature there is no number; all else has one.
    missing = {line[1] for line in lines if line[0] == "na"}
    assert missing <= {"compile", "compile_large", "shell_loop", "shell_long", "disk_write", "disk_read", "disk_iops", "disk_sync", "fp_mm_avx2",
                       "vec_int_avx2"}, missing
    for line in lines:
        if line[0] == "op":
            values = dict(word.split("=") for word in line[2].split())
            assert 0 < float(values["min"]) <= float(values["median"]) <= float(values["p95"]), line


def fake_guest():
    directory = tmp / "guest"
    directory.mkdir(exist_ok=True)
    for name in ("vmlinuz", "initrd.gz"):
        (directory / name).write_bytes(b"x")
    return str(directory)


def fake_peer(name, text):
    path = tmp / name
    path.write_text("#!/bin/sh\n" + text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def runner():
    """Boot, idle time, memory, the clock's check, units and failures, with scripts for guests."""
    guest = fake_guest()
    common = ["--guest", guest, "--accel", "none", "--no-native", "--repeat", "2", "--timeout"]
    patient, impatient = [*common, str(int(60 * SLOWNESS))], [*common, str(int(4 * SLOWNESS))]
    good = fake_peer("good", "sleep 0.2; echo metaphrase: init reached; echo workloads 1 cpus=1\n"
                     "echo run int_hash; echo op int_hash unit=ns min=1 median=2 p95=3\n"
                     'case "$*" in *workloads.only=int_hash*) ;; *) exit 9;; esac\n'
                     "echo run idle_cpu\n"
                     "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.2; echo idle end; echo end\n")
    got, document, _ = rows(*patient, "--peer", good, "--only", "int_hash,boot,idle_cpu,memory_peak")
    assert got["int_hash"]["good:auto"]["runs"] == [2, 2]
    assert got["boot"]["good:auto"]["min"] >= 0.2, got
    assert 0 < got["idle_cpu"]["good:auto"]["median"] <= 110, got
    assert got["memory_peak"]["good:auto"]["median"] > 0.1, got
    assert "note" not in document["columns"][0], document
    assert list(got) == ["boot", "int_hash", "idle_cpu", "memory_peak"]

    slow_clock = fake_peer("clock", "echo metaphrase: init reached; echo workloads 1 cpus=1; sleep 1.5\n"
                           "echo op int_hash min=1 median=2 p95=3; echo clock elapsed_s=0.7; echo end\n")
    _, document, done = rows(*patient, "--peer", slow_clock, "--only", "int_hash", "--repeat", "1")
    assert "its clock counted 0.7 s" in document["columns"][0]["note"], document
    assert "not comparable" in done.stdout

    hang = fake_peer("hang", 'case "$*" in *workloads.skip=int_div*) ;; *) hang=1;; esac\n'
                     "echo workloads 1 cpus=1; echo op int_hash min=1 median=2 p95=3; echo run int_div\n"
                     'if [ "$hang" ]; then exec sleep 60; fi; echo end\n')
    got, _, _ = rows(*impatient, "--peer", hang, "--only", "int_hash,int_div", status=1)
    assert got["int_div"]["hang:auto"]["reason"].startswith("failed: hung"), got
    assert got["int_hash"]["hang:auto"]["median"] == 2, got

    panics = fake_peer("panics", "echo 'Kernel panic - not syncing'; exit 1\n")
    _, document, _ = rows(*patient, "--peer", panics, "--only", "int_hash", status=1)
    assert document["columns"][0]["failed"] == \
        "nothing ran: exit status 1 (last said: Kernel panic - not syncing)", document


def bad_options():
    guest = fake_guest()
    for options, message in [
            (["--only", "warp"], "no workload or group is called 'warp'"), (["--only", ""], "is called ''"),
            (["--smp", "0"], "--smp is from 1 to 255, not 0"), (["--memory", "64"], "--memory is from 384"),
            (["--ms", "0"], "--ms is from 1"), (["--stat", "mean"], "--stat is median or min, not 'mean'"),
            (["--accel", "warp"], "is called 'warp'"), (["--guest", "nowhere"], "nowhere/vmlinuz is not there"),
            (["--guest", guest, "--accel", "none", "--peer", "none", "--no-native"], "nothing to measure")]:
        done = bench(*options, status=1)
        assert message in done.stderr and done.stderr.count("\n") == 1, (options, done.stderr)


def boot():
    """The real thing, shortly: Debian's kernel under the default engine."""
    if not (top / ".cache" / "cloud-amd64" / ".complete").exists():
        sys.exit(77)
    wanted = "boot,idle_cpu,int_hash,sys_getppid,fork_exec,page_fault,shell_loop,disk_iops,memory_peak"
    got, document, _ = rows("--accel", "translate", "--peer", "none", "--repeat", "1", "--samples", "2", "--ms", "1",
                            "--only", wanted, "--timeout", str(int(200 * SLOWNESS)))
    for name in wanted.split(","):
        assert got[name]["translate"]["median"] > 0, (name, got[name])
    assert got["int_hash"]["native"]["median"] > 0
    assert 16 < got["memory_peak"]["translate"]["median"] < 2048, got["memory_peak"]


{"native": native, "runner": runner, "bad-options": bad_options, "boot": boot}[sys.argv[2]]()
print("ok")
