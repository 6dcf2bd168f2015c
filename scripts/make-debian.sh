#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Make a disk with a whole Debian of this machine's release: systemd, a compiler, Python, and a service that runs
# /root/load.sh and powers off.
#
#   make-debian.sh [OUTDIR]       OUTDIR: default .cache/ at the top of the source tree -> OUTDIR/debian/disk.img
#
# It needs root, debootstrap and mke2fs, and fetches some 150 MB from the machine's own package source.  What is there
# already stays (remove OUTDIR/debian to make it again).
set -eu

die() {
    echo "make-debian.sh: $*" >&2
    exit 1
}

[ $# -le 1 ] || { sed -n '3,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
top=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$top/.cache}
PATH=$PATH:/usr/sbin:/sbin
[ ! -e "$out/debian/.complete" ] || exit 0
[ "$(id -u)" -eq 0 ] || die "only root can run debootstrap"
for tool in debootstrap mke2fs; do
    command -v "$tool" >/dev/null || die "$tool is not installed"
done
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
source=$(apt-get indextargets --format "\$(REPO_URI) \$(RELEASE) \$(COMPONENT)" 'Created-By: Packages' |
    sed -n "s/^\([^ ]*\) \($release\|stable\) main\$/\1/p" | head -n 1)
[ -n "$release" ] && [ -n "$source" ] || die "this machine's package sources have no release of its own"

work=$out/debian.tmp.$$
trap 'rm -rf "$work"' EXIT INT TERM
mkdir -p "$work"
debootstrap --variant=minbase --include=systemd-sysv,udev,dbus,python3,gcc,libc6-dev \
    "$release" "$work/root" "$source" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; die "debootstrap failed"; }
rm -f "$work"/root/var/cache/apt/archives/*.deb
cat >"$work/root/etc/systemd/system/load.service" <<'UNIT'
[Unit]
Description=What this machine is for
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh /root/load.sh
UNIT
mkdir -p "$work/root/etc/systemd/system/multi-user.target.wants"
ln -s ../load.service "$work/root/etc/systemd/system/multi-user.target.wants/load.service"
ln -s /dev/null "$work/root/etc/systemd/system/serial-getty@ttyS0.service"
cat >"$work/root/root/load.sh" <<'LOAD'
exec >/dev/ttyS0 2>&1
echo "debian: up"
cd /tmp
cat >sum.c <<'C'
#include <stdio.h>
int main(void)
{
    unsigned s = 0;
    for (unsigned i = 0; i < 100000; i++) {
        s = s * 31 + i;
    }
    return printf("debian: C says %u\n", s) < 0;
}
C
for n in 1 2 3; do
    gcc -O$n -o sum sum.c && ./sum
done
python3 -c '
import hashlib, json
text = json.dumps({str(i): i * i for i in range(20000)})
print("debian: Python says", hashlib.sha256(text.encode()).hexdigest()[:16], sum(json.loads(text).values()))'
i=0
while [ $i -lt 50 ]; do
    i=$(expr $i + 1)
    echo "line $i" | sed 's/line/turn/' | grep -q "turn $i" || echo "debian: turn $i failed"
done
echo "debian: $i turns"
echo "debian: failed units: $(systemctl --failed --no-legend --no-pager | wc -l)"
echo "debian: seconds $(cut -d' ' -f1 /proc/uptime)"
systemctl poweroff
LOAD
mke2fs -q -F -t ext4 -d "$work/root" "$work/disk.img" 1200M 2>>"$work/log" || die "mke2fs failed"
rm -rf "$work/root"
echo "$release" >"$work/.complete"
rm -rf "${out:?}/debian"
mv "$work" "$out/debian"
trap - EXIT
