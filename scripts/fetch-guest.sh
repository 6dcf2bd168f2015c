#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Fetch a guest from Debian's archive, unpacked, without installing anything and without root.
#
#   fetch-guest.sh NAME [OUTDIR]      OUTDIR: default .cache/ at the top of the source tree
#
#   cloud-amd64     current amd64 cloud kernel        -> OUTDIR/cloud-amd64/vmlinuz, .../root/
#   686-pae         current i386 kernel               -> OUTDIR/686-pae/vmlinuz, .../root/
#   busybox-i386    busybox-static for the latter     -> OUTDIR/busybox-i386/busybox
#   memtest86+      memtest86+ images                 -> OUTDIR/memtest86+/root/
#   gojq            a static Go program               -> OUTDIR/gojq/root/
#
# What is there already stays (remove OUTDIR/NAME to fetch it again).  It uses the machine's own
# package sources with a private list of packages, so other architectures need not be added to
# the system.
set -eu

die() {
    echo "fetch-guest.sh: $*" >&2
    exit 1
}

[ $# -ge 1 ] && [ $# -le 2 ] || { sed -n '3,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
name=$1
top=$(cd "$(dirname "$0")/.." && pwd)
out=${2:-$top/.cache}

case $name in
cloud-amd64) arch=amd64 package=linux-image-cloud-amd64 ;;
686-pae) arch=i386 package=linux-image-686-pae ;;
busybox-i386) arch=i386 package=busybox-static ;;
memtest86+ | gojq) arch=amd64 package=$name ;;
*) die "unknown guest '$name' (cloud-amd64, 686-pae, busybox-i386, memtest86+, gojq)" ;;
esac

if [ -e "$out/$name/.complete" ]; then
    exit 0
fi
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || die "apt-get and dpkg-deb are needed"
mkdir -p "$out"
out=$(cd "$out" && pwd)

# -- A private apt: the system's sources and keys, our own state and architecture ----------------
apt=$out/apt-$arch
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
: >"$apt/status"
cat >"$apt/apt.conf" <<CONF
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
CONF
export APT_CONFIG="$apt/apt.conf"

candidate() {
    apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Filename: //p'
}

# An update may fail for a source that does not concern us: what counts is whether we know the
# package afterwards.
if [ -z "$(find "$apt/state/lists" -name '*_Packages*' -mmin -1440 2>/dev/null | head -n 1)" ] ||
    [ -z "$(candidate "$package")" ]; then
    apt-get -qq update 2>"$apt/update.log" || true
fi
[ -n "$(candidate "$package")" ] || {
    cat "$apt/update.log" >&2 2>/dev/null || true
    die "the package sources of this machine know no $package for $arch"
}

# A kernel meta package depends on the kernel itself.
case $package in
linux-image-*)
    real=$(apt-cache depends "$package" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' |
        head -n 1)
    [ -n "$real" ] || die "$package depends on no kernel"
    ;;
*) real=$package ;;
esac

work=$out/$name.tmp.$$
trap 'rm -rf "$work"' EXIT INT TERM
mkdir -p "$work/root"
echo "fetching $real ($arch)" >&2
(cd "$work" && apt-get -qq download "$real") || die "$real could not be downloaded"
for deb in "$work"/*.deb; do
    dpkg-deb -x "$deb" "$work/root" || die "$real: the package cannot be unpacked"
    rm "$deb"
done
case $name in
busybox-i386)
    for b in "$work/root/bin/busybox" "$work/root/usr/bin/busybox"; do
        [ ! -f "$b" ] || cp "$b" "$work/busybox"
    done
    [ -f "$work/busybox" ] || die "$real holds no busybox"
    ;;
686-pae | cloud-amd64)
    for k in "$work"/root/boot/vmlinuz-*; do
        cp "$k" "$work/vmlinuz"
    done
    [ -f "$work/vmlinuz" ] || die "$real holds no kernel"
    ;;
esac
echo "$real" >"$work/.complete"
rm -rf "${out:?}/$name"
mv "$work" "$out/$name"
trap - EXIT
