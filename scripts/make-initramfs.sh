#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Build a small initramfs around a statically linked busybox.
#
#   make-initramfs.sh [-b BUSYBOX] [-m TREE]... [-k MODULES] [-a DIR]... OUT
#
#   -b BUSYBOX  the busybox to use (default: the installed one, Debian's busybox-static); an i386
#               kernel needs an i386 busybox
#   -m TREE     an unpacked kernel package (holds lib/modules/VERSION): add the virtio, IDE and
#               fw_cfg modules, which init loads on demand
#   -k MODULES  more of its modules, by names with spaces between them
#   -a DIR      copy DIR's contents over the file system: init.d/NAME becomes a script that the
#               kernel command line selects with `metaphrase.run=NAME`
#
# Init mounts proc, sysfs and devtmpfs, prints "metaphrase: init reached", runs the selected script
# or an interactive shell on the console, and powers the machine off when that ends.  With
# `metaphrase.disk=/dev/vda` it goes on as /sbin/init of the file system there.
set -eu

usage() {
    sed -n '3,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

die() {
    echo "make-initramfs.sh: $*" >&2
    exit 1
}

busybox=$(command -v busybox || true)
trees=
adds=
more=
while getopts b:m:k:a:h opt; do
    case $opt in
    b) busybox=$OPTARG ;;
    m) trees="$trees $OPTARG" ;;
    k) more="$more $OPTARG" ;;
    a) adds="$adds $OPTARG" ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -eq 1 ] || usage
out=$1
[ -n "$busybox" ] && [ -f "$busybox" ] || die "no busybox: install busybox-static or give -b FILE"
if readelf -l "$busybox" 2>/dev/null | grep -q INTERP; then
    die "$busybox is dynamically linked: a static one is needed"
fi
command -v cpio >/dev/null || die "cpio is not installed"
[ -z "$trees" ] || command -v depmod >/dev/null || die "depmod (package kmod) is not installed"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT INT TERM
mkdir -p "$root/bin" "$root/dev" "$root/etc" "$root/init.d" "$root/lib/modules" "$root/mnt" \
    "$root/proc" "$root/root" "$root/run" "$root/sys" "$root/tmp"
cp "$busybox" "$root/bin/busybox"
chmod 755 "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
ln -s bin "$root/sbin"

# The modules of our devices, with what they need; modules.dep says what.
want='virtio_pci virtio_mmio virtio_blk virtio_console virtio-rng virtio_net ata_piix ata_generic
      sd_mod qemu_fw_cfg psmouse atkbd i8042 evdev button e1000 ext4 crc32c_generic
      pvpanic-mmio'
for tree in $trees; do
    for dir in "$tree"/lib/modules/*; do
        version=${dir##*/}
        [ -d "$dir/kernel" ] || die "$tree holds no kernel modules"
        to=$root/lib/modules/$version
        mkdir -p "$to"
        list=$(mktemp) deps=$(mktemp)
        # Dry run: what modules.dep would say, and nothing written into the unpacked package.
        depmod -n -b "$tree" "$version" 2>/dev/null >"$deps" || die "depmod failed for $tree"
        for m in $want $more; do
            # "path: dep dep": all of them, when the kernel has it as a module at all.
            sed -n "s,^\(kernel/[^:]*/$m\.ko[^:]*\):\(.*\),\1\2,p" "$deps" |
                tr ' ' '\n' >>"$list"
        done
        sort -u "$list" | while read -r file; do
            [ -n "$file" ] || continue
            mkdir -p "$to/${file%/*}"
            cp "$dir/$file" "$to/$file"
        done
        cp "$dir/modules.builtin" "$dir/modules.order" "$to/"
        depmod -b "$root" "$version" 2>/dev/null
        rm -f "$deps" "$list"
    done
done

cat >"$root/init" <<'INIT'
#!/bin/sh
export PATH=/bin:/sbin HOME=/root TERM=${TERM:-linux}
busybox mkdir -p /proc /sys /dev
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
busybox --install -s /bin
# PID 1 gets /dev/console only when it was there before the mount.
exec </dev/console >/dev/console 2>&1
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts 2>/dev/null
mount -t tmpfs tmpfs /run
echo "metaphrase: init reached"

run=
disk=
for word in $(cat /proc/cmdline); do
    case $word in
    metaphrase.run=*) run=${word#metaphrase.run=} ;;
    metaphrase.disk=*) disk=${word#metaphrase.disk=} ;;
    esac
done

if [ -d "/lib/modules/$(uname -r)" ]; then
    # Load what the devices ask for by their alias.
    find /sys/devices -name modalias -exec cat {} + 2>/dev/null | sort -u |
        while read -r alias; do modprobe -q "$alias" 2>/dev/null; done
    # Virtio devices and disks have appeared by now.
    find /sys/devices -name modalias -exec cat {} + 2>/dev/null | grep -E '^(virtio|scsi)' | sort -u |
        while read -r alias; do modprobe -q "$alias" 2>/dev/null; done
fi

if [ -n "$disk" ]; then
    i=0
    while [ ! -b "$disk" ] && [ $i -lt 50 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    if mount "$disk" /mnt; then
        mount --move /dev /mnt/dev
        umount /run /sys /proc
        exec switch_root /mnt /sbin/init
    fi
    echo "metaphrase: no file system on $disk"
fi

cd /root
if [ -n "$run" ]; then
    if [ -f "/init.d/$run" ]; then
        sh "/init.d/$run"
        echo "metaphrase: $run ended with status $?"
    else
        echo "metaphrase: no script /init.d/$run"
    fi
else
    setsid cttyhack sh
fi
sync
poweroff -f
INIT
chmod 755 "$root/init"

for dir in $adds; do
    [ -d "$dir" ] || die "$dir is not a directory"
    cp -R "$dir/." "$root/"
done

# The same input gives the same bytes: sorted names, no times, owner root.
find "$root" -exec touch -h -d @0 {} +
tmp=$out.tmp.$$
(cd "$root" && find . -mindepth 1 | LC_ALL=C sort |
    cpio --quiet -o -H newc -R 0:0 --reproducible) | gzip -9n >"$tmp"
mv "$tmp" "$out"
