#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot Debian's cloud kernel with a busybox initramfs to a shell, type into it, power off.

usage: test-boot.py METAPHRASE SOURCE-ROOT [OPTIONS FOR METAPHRASE...]

Skipped (77) when scripts/fetch-guest.sh has not fetched the kernel."""
import os
import pathlib
import subprocess
import sys

metaphrase, root, options = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
guest = pathlib.Path(os.environ.get("METAPHRASE_GUEST", root / ".cache/cloud-amd64"))
kernel = guest / "vmlinuz"
initrd = pathlib.Path(os.environ.get("METAPHRASE_INITRD", "test-boot-initramfs.cpio.gz"))
cpus = int(options[options.index("-smp") + 1]) if "-smp" in options else 1

if not kernel.exists():
    print(f"{kernel} is not there: run scripts/fetch-guest.sh cloud-amd64")
    sys.exit(77)
if not initrd.exists():
    new = f"{initrd}.{os.getpid()}"         # tests run in parallel: rename when complete
    made = subprocess.run([root / "scripts/make-initramfs.sh", "-m", guest / "root", new],
                          check=False)
    if made.returncode != 0:
        print("no initramfs could be made")
        sys.exit(77)
    os.rename(new, initrd)

typed = "uname -sm; grep -c ^processor /proc/cpuinfo; poweroff -f\n"
try:
    run = subprocess.run(
        [metaphrase, "-nographic", "-no-reboot", "-m", "512", "-kernel", kernel, "-initrd", initrd,
         "-append", "console=ttyS0 quiet panic=-1", "-d", "stats", *options],
        input=typed.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=280,
        check=False)
except subprocess.TimeoutExpired as e:
    print((e.stdout or b"").decode(errors="replace")[-4000:])
    sys.exit("the guest did not power off in 280 s")

out = run.stdout.decode(errors="replace").replace("\r", "")
lines = out.split("\n")
print(out[-4000:])
checks = {
    "the guest reaches init": "metaphrase: init reached" in out,
    "the shell answers": "Linux x86_64" in lines,
    f"it sees {cpus} CPUs": str(cpus) in lines,
    "power-off is status 0": run.returncode == 0,
    "statistics are printed": "instructions" in out,
}
for what, ok in checks.items():
    print("ok  " if ok else "FAIL", what)
sys.exit(not all(checks.values()))
