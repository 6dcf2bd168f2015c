#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Make what `metaphrase bench` boots and runs: a directory for its option --guest.
#
#   make-bench-guest.sh WORKLOADS DIR
#
#   WORKLOADS   the static program bench/workloads/workloads of a build tree
#
#   DIR/vmlinuz       Debian's cloud kernel (scripts/fetch-guest.sh)
#   DIR/initrd.gz     scripts/make-initramfs.sh with WORKLOADS in it
#   DIR/tools/        the compiler proper, the assembler and two source files, with their libraries, from this
#                     machine; left out when there is no gcc
#   DIR/tools.ext4    the same as a disk
#
# What is there and newer than its inputs stays.
set -eu

die() {
    echo "make-bench-guest.sh: $*" >&2
    exit 1
}

[ $# -eq 2 ] || { sed -n '3,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
workloads=$1 out=$2
top=$(cd "$(dirname "$0")/.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
[ -x "$workloads" ] || die "$workloads is not built"
mkdir -p "$out"
exec 9>"$out/.lock"
flock 9

# True when $1 is there and no older than the other files.
fresh() {
    target=$1
    shift
    [ -e "$target" ] || return 1
    for input in "$@"; do
        [ ! "$input" -nt "$target" ] || return 1
    done
}

"$top/scripts/fetch-guest.sh" cloud-amd64 </dev/null || die "no kernel"
kernel=$top/.cache/cloud-amd64
fresh "$out/vmlinuz" "$kernel/vmlinuz" || cp "$kernel/vmlinuz" "$out/vmlinuz"

if ! fresh "$out/initrd.gz" "$workloads" "$top/scripts/make-initramfs.sh" "$0" "$kernel/.complete"; then
    overlay=$(mktemp -d)
    trap 'rm -rf "$overlay"' EXIT INT TERM
    mkdir -p "$overlay/init.d" "$overlay/bin"
    cp "$workloads" "$overlay/bin/workloads"
    strip "$overlay/bin/workloads" 2>/dev/null || true
    cat >"$overlay/init.d/bench" <<'INIT'
options=
for word in $(cat /proc/cmdline); do
    case $word in
    workloads.*) options="$options ${word#workloads.}" ;;
    esac
done
[ ! -b /dev/vda ] || ! mount -t ext4 -o ro /dev/vda /mnt 2>/dev/null || options="$options tools=/mnt"
[ ! -b /dev/vdb ] || options="$options disk=/dev/vdb"
# No line of the kernel's between ours
dmesg -n 1
exec /bin/workloads tmp=/run $options
INIT
    "$top/scripts/make-initramfs.sh" -m "$kernel/root" -a "$overlay" "$out/initrd.gz.new"
    mv "$out/initrd.gz.new" "$out/initrd.gz"
    rm -rf "$overlay"
    trap - EXIT INT TERM
fi

# -- The compiler --------------------------------------------------------------------------------------
gcc=${CC:-gcc}
source=$top/bench/workloads/kernel.c
# ... and some that share their headers, as one
large="interp exec-alu exec-system vector"
if ! command -v "$gcc" >/dev/null || ! cc1=$("$gcc" -print-prog-name=cc1) || [ ! -x "$cc1" ]; then
    echo "make-bench-guest.sh: no gcc: there will be no compile job" >&2
    exit 0
fi
if ! fresh "$out/tools.ext4" "$0" "$source" "$cc1"; then
    tools=$out/tools.new
    rm -rf "$tools" "$out/tools"
    mkdir -p "$tools/lib"
    assembler=$(command -v "$("$gcc" -print-prog-name=as)")
    cp "$cc1" "$tools/cc1"
    cp "$assembler" "$tools/as"
    strip "$tools/cc1" "$tools/as" 2>/dev/null || true
    "$gcc" -E -std=gnu17 -D_GNU_SOURCE -I"$top" "$source" -o "$tools/job.i"
    for name in $large; do
        printf '#include "cpu-x86/%s.c"\n' "$name"
    done >"$tools/large.c"
    # shellcheck disable=SC2046
    "$gcc" -E -std=gnu17 -D_GNU_SOURCE -I"$top" $(pkg-config --cflags glib-2.0) "$tools/large.c" -o "$tools/large.i" ||
        rm -f "$tools/large.i"
    ldd "$cc1" "$assembler" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | sort -u | while read -r lib; do
        cp -L "$lib" "$tools/lib/"
    done
    loader=$(ldd "$cc1" | sed -n 's/^[[:space:]]*\(\/[^ ]*ld-linux[^ ]*\) .*/\1/p')
    cp -L "$loader" "$tools/ld.so"
    mv "$tools" "$out/tools"
    rm -f "$out/tools.ext4.new"
    truncate -s "$(($(du -sk "$out/tools" | cut -f1) * 5 / 4 + 8192))k" "$out/tools.ext4.new"
    mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$out/tools" "$out/tools.ext4.new" || die "mke2fs failed"
    mv "$out/tools.ext4.new" "$out/tools.ext4"
fi
