#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""extract-vmlinux.py BZIMAGE OUTPUT: the uncompressed ELF kernel inside a bzImage.

Documentation/x86/boot.rst: payload_offset and payload_length, counted from the protected-mode code."""
import lzma
import subprocess
import sys
import zlib


def unpack(data):
    if data[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data)
    if data[:2] == b"\x1f\x8b":
        return zlib.decompressobj(31).decompress(data)
    for magic, command in ((b"\x28\xb5\x2f\xfd", "zstd"), (b"\x02\x21\x4c\x18", "lz4")):
        if data[:4] == magic:     # the length of the result follows the stream
            return subprocess.run([command, "-dcq"], input=data[:-4], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, check=False).stdout
    raise SystemExit(f"unknown compression: {data[:8].hex()}")


def main():
    with open(sys.argv[1], "rb") as f:
        image = f.read()
    if image[0x202:0x206] != b"HdrS":
        raise SystemExit(f"{sys.argv[1]}: not a bzImage")
    setup = ((image[0x1f1] or 4) + 1) * 512
    offset = int.from_bytes(image[0x248:0x24c], "little")
    length = int.from_bytes(image[0x24c:0x250], "little")
    kernel = unpack(image[setup + offset:setup + offset + length])
    if kernel[:4] != b"\x7fELF":
        raise SystemExit(f"{sys.argv[1]}: holds no ELF kernel")
    with open(sys.argv[2], "wb") as f:
        f.write(kernel)


main()
