#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-docs.py MAKE-DOCS SOURCE-DIR METAPHRASE: doc/metaphrase.1 and doc/metaphrase.bash are what the tables say
(GOLDEN_BLESS=1 rewrites them), the manual is clean, and the completion completes."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

make_docs, source, metaphrase = (os.path.abspath(a) for a in sys.argv[1:4])
manual, script = (os.path.join(source, "doc", n) for n in ("metaphrase.1", "metaphrase.bash"))
bad = 0


def check(good, what):
    global bad
    if not good:
        bad += 1
        print("FAIL", what)


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


for path, text in ((manual, output(make_docs, "man", manual + ".in")), (script, output(make_docs, "bash"))):
    if os.environ.get("GOLDEN_BLESS"):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    with open(path, encoding="utf-8") as f:
        check(f.read() == text, f"{path} is not what the tables say: GOLDEN_BLESS=1 rewrites it")

# -- The manual ------------------------------------------------------------------------------------

with open(manual, encoding="utf-8") as f:
    page = f.read()
options = re.findall(r"^-(\S+) ", output(metaphrase, "-help"), re.M)
check(len(options) > 60, "-help lists the options")
for name in options:
    check(f"\n.It Fl {name}" in page, f"-{name} is in the manual")
forms = dict(re.findall(r"^-(\S+) (\S.*(?:\n\[.*)*)$", output(metaphrase, "-help"), re.M))
for name, form in forms.items():      # what the form shows the parser takes
    argument = {"machine": "microvm,help", "M": "microvm,help", "chardev": "socket,help", "object": "rng-random,help",
                "device": "pvpanic,help", "accel": "translate,help", "blockdev": "raw,help"}.get(name, "help")
    if "=" not in form or name in ("device", "accel", "global", "stress", "audiodev", "smbios", "trace",
                                           "watchdog-action"):
        continue
    got = subprocess.run([metaphrase, "-" + name, argument], capture_output=True, text=True, check=False).stdout
    taken = set(re.findall(r"[\w.-]+", got.partition("parameters:")[2]))
    shown = set(re.findall(r"([a-z][\w.-]*)=", form))
    other = {"machine": {"vmi", "vmport"}, "blockdev": {"filename", "locking", "file.driver", "file.filename"},
             "chardev": {"append", "signal", "size"}}.get(name, set())
    check(shown <= taken | other, f"-{name} shows {sorted(shown - taken - other)} and does not take it")
for name in re.findall(r'^name "([^"]+)"', output(metaphrase, "-device", "help"), re.M):
    check(f"\n.It Cm {name} " in page, f"device {name} is in the manual")
if shutil.which("mandoc"):
    lint = subprocess.run(["mandoc", "-T", "lint", manual], capture_output=True, text=True, check=False)
    # what depends on the manuals that are installed here is not the page's business
    lines = [line for line in lint.stdout.splitlines() if "referenced manual not found" not in line]
    check(not lines, "mandoc -T lint:\n" + "\n".join(lines))
    text = output("mandoc", "-T", "ascii", manual)
    check("EXIT STATUS" in re.sub(".\b", "", text), "the manual is formatted")
else:
    print("mandoc is not there: the manual was not linted")

# -- The completion --------------------------------------------------------------------------------


def complete(line):
    """What bash offers at the end of the line, as whole words."""
    program = f'. "{script}"; COMP_LINE=$1 COMP_POINT=${{#1}}; _metaphrase; printf "%s\\n" "${{COMPREPLY[@]}}"'
    got = subprocess.run(["bash", "--norc", "-c", program, "bash", line], capture_output=True, text=True,
                         check=False, cwd=directory)
    check(not got.stderr, f"{line}: {got.stderr}")
    return sorted(got.stdout.split())


with tempfile.TemporaryDirectory() as directory:
    for name in ("disk.img", "kernel"):
        with open(os.path.join(directory, name), "wb"):
            pass
    for line, wanted in (
            ("metaphrase -smb", ["-smbios"]), ("metaphrase --smb", ["--smbios"]),
            ("metaphrase -m 64 -kern", ["-kernel"]), ("metaphrase -kernel k", ["kernel"]),
            ("metaphrase dis", ["disk.img"]), ("metaphrase -machine micro", ["microvm"]),
            ("metaphrase -M pc,hpet=o", ["off", "on"]), ("metaphrase -M pc,hp", ["pc,hpet="]),
            ("metaphrase --machine none,acc", ["none,accel="]),
            ("metaphrase -drive if=none,file=d", ["disk.img"]), ("metaphrase -drive if=vi", ["virtio"]),
            ("metaphrase -drive file=x,snap", ["x,snapshot="]),
            ("metaphrase -device virtio-blk", ["virtio-blk-device", "virtio-blk-pci"]),
            ("metaphrase -device isa-debug-exit,io", ["isa-debug-exit,iobase=", "isa-debug-exit,iosize="]),
            ("metaphrase -serial mo", []), ("metaphrase -serial fi", ["file:"]),
            ("metaphrase -d int,cpu_r", ["int,cpu_reset"]), ("metaphrase -accel inter", ["interpret"]),
            ("metaphrase -watchdog-action po", ["poweroff"]), ("metaphrase -chardev ring", ["ringbuf"]),
            ("metaphrase -S -", sorted("-" + o for o in options))):
        got = complete(line)
        check(got == wanted, f"{line}: {got}, not {wanted}")
print(f"{len(options)} options; {bad} failures")
sys.exit(bad != 0)
