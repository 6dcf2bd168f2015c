#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# build-guest.sh 32|64|high SOURCE_ROOT OUTPUT SOURCE...: compile a bare-metal guest to an ELF32 image.
# high: of 64-bit code that can run elsewhere than where it is linked, with GUEST_HIGH defined.
set -eu
bits=$1 root=$2 out=$3
shift 3
here=$root/tests/guest
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
high=
if [ "$bits" = high ]; then
    bits=64 high="-fpie -DGUEST_HIGH"
fi
flags="-m$bits -ffreestanding -nostdlib -static -fno-pic -fno-pie -no-pie -fno-stack-protector
  -fno-asynchronous-unwind-tables -fcf-protection=none -mgeneral-regs-only -O1 -std=gnu17 -Wall -Wextra
  -Wno-unused-parameter -Wno-missing-field-initializers -Wno-clobbered -Werror -I$root"
[ "$bits" = 64 ] && flags="$flags -mno-red-zone -mcmodel=small"
[ "$bits" = 32 ] && flags="$flags -mregparm=3 -mno-80387"
${CC:-gcc} $flags $high -Wl,--build-id=none,-z,max-page-size=4096,-z,noexecstack,--no-warn-rwx-segments \
  -T "$here/guest.ld" -o "$tmp/guest" "$here/boot$bits.S" "$here/lib.c" "$here/ap.c" "$@"
# Multiboot loaders want ELF32, whatever the code is.
objcopy -O elf32-i386 "$tmp/guest" "$out"
