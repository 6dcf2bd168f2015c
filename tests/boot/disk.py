#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""disk.py CASE: file systems made here, used by a guest, checked here again."""
import hashlib
import os
import re
import sys
import time

import guest as g
from guest import check, check_equal, linux, start, tool


def make_image(name="disk", megabytes=16):
    """An ext4 image with a file `host`; its path and the md5 of that file."""
    g.need_tool("mkfs.ext4")
    directory = g.scratch_dir()
    content = os.path.join(directory, "content")
    os.mkdir(content)
    data = name.encode() + os.urandom(300000)
    with open(os.path.join(content, "host"), "wb") as f:
        f.write(data)
    image = os.path.join(directory, name + ".img")
    with open(image, "wb") as f:
        f.truncate(megabytes << 20)
    tool("mkfs.ext4", "-q", "-F", "-d", content, image)
    return image, hashlib.md5(data).hexdigest()


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def read_back(image, path):
    """A file of the image's file system."""
    out = os.path.join(g.scratch_dir(), "out")
    tool("debugfs", "-R", f"dump {path} {out}", image)
    check(os.path.exists(out), f"{path} is in the image")
    with open(out, "rb") as f:
        return f.read()


def check_written(image, name="cloud-amd64"):
    """The script `disk` did its work in the image and left it clean."""
    said = tool("e2fsck", "-fn", image)
    check("errors" not in said, said)
    busybox = g.need_tool("busybox") if name == "cloud-amd64" else g.cached("busybox-i386", "busybox")
    with open(busybox, "rb") as f:
        check(read_back(image, "/made/twice") == 2 * f.read(), "the large file has its content")
    check_equal(read_back(image, "/renamed"), b"file 99\n", "renamed")
    check_equal(read_back(image, "/made/42"), b"file 42\n", "made/42")
    check("File not found" in tool("debugfs", "-R", "stat /made/55", image), "made/55 is removed")


def boot_script(options, script, append="", name="cloud-amd64", memory="256"):
    machine = start(*linux("-m", memory, *options, name=name,
                           append=f"metaphrase.run={script} {append}"), "-no-reboot")
    text = machine.script(script)
    machine.wait(0)
    check_equal(machine.errors(), "", "standard error")
    return text


def check_script(text, dev, md5, size=16 << 20, read_only=0):
    check(f"{dev} done" in text, f"{dev} is done")
    check(f"{dev} host {md5} " in text, f"{dev} has the file of the host")
    check(f"{dev} sectors {size // 512} ro {read_only}" in text, f"size of {dev}")


def pci():
    """Transitional, modern and legacy virtio-blk-pci and an IDE disk, in one guest."""
    images = [make_image(name) for name in ("plain", "modern", "legacy", "ide")]
    text = boot_script([
        "-drive", f"file={images[0][0]},if=virtio,format=raw,serial=metaphrase-1",
        "-drive", f"file={images[1][0]},if=none,id=m,format=raw",
        "-device", "virtio-blk-pci,drive=m,disable-legacy=on,num-queues=2,serial=modern",
        "-drive", f"file={images[2][0]},if=none,id=l,format=raw",
        "-device", "virtio-blk-pci,drive=l,disable-modern=on",
        "-drive", f"file={images[3][0]},if=ide,format=raw"],
        "disk", "disk.args=vda:rw,vdb:rw,vdc:rw,sda:rw")
    for dev, (image, md5) in zip(("vda", "vdb", "vdc", "sda"), images):
        check_script(text, dev, md5)
        check_written(image)
    check("vda sectors 32768 ro 0 serial metaphrase-1" in text, "serial number")
    features = dict(re.findall(r"^(vd.) features ([01]+)$", text, re.M))
    for dev, modern in (("vda", "1"), ("vdb", "1"), ("vdc", "0")):
        check_equal(features[dev][32], modern, f"{dev}'s VERSION_1")


def protected():
    """snapshot=on and readonly=on leave the image as it is; so does -snapshot."""
    images = [make_image(name) for name in ("snapshot", "readonly", "both")]
    before = [digest(image) for image, _ in images]
    text = boot_script([
        "-drive", f"file={images[0][0]},if=virtio,format=raw,snapshot=on",
        "-drive", f"file={images[1][0]},if=virtio,format=raw,readonly=on",
        "-drive", f"file={images[2][0]},if=ide,format=raw,snapshot=on"],
        "disk", "disk.args=vda:rw,vdb:ro,sda:rw")
    check_script(text, "vda", images[0][1])
    check_script(text, "vdb", images[1][1], read_only=1)
    check_script(text, "sda", images[2][1])
    check_equal([digest(image) for image, _ in images], before, "the images' digests")


def mmio():
    """virtio-mmio on microvm."""
    images = [make_image(name) for name in ("drive", "device")]
    text = boot_script([
        "-machine", "microvm",
        "-drive", f"file={images[0][0]},if=virtio,format=raw",
        "-drive", f"file={images[1][0]},if=none,id=d,format=raw",
        "-device", "virtio-blk-device,drive=d"],
        "disk", "disk.args=vda:rw,vdb:rw")
    for dev, (image, md5) in zip(("vda", "vdb"), images):
        check_script(text, dev, md5)
        check_written(image)


def pae_686():
    """The 32-bit kernel on the same disks."""
    images = [make_image(name) for name in ("virtio", "ide")]
    text = boot_script([
        "-drive", f"file={images[0][0]},if=virtio,format=raw",
        "-drive", f"file={images[1][0]},if=ide,format=raw"],
        "disk", "disk.args=vda:rw,sda:rw", name="686-pae")
    for dev, (image, md5) in zip(("vda", "sda"), images):
        check_script(text, dev, md5)
        check_written(image, "686-pae")


def unclean():
    """Power off without unmounting: the journal makes good."""
    image, md5 = make_image()
    text = boot_script(["-drive", f"file={image},if=virtio,format=raw"], "disk",
                       "disk.args=vda:end")
    check_script(text, "vda", md5)
    tool("e2fsck", "-p", image, status=None)
    check_written(image)


def kill():
    """kill -9 amid writes: what was synced is there, and the file system recovers."""
    image, md5 = make_image(megabytes=32)
    machine = start(*linux("-m", "256", "-drive", f"file={image},if=virtio,format=raw",
                           append="metaphrase.run=writer"), "-no-reboot")
    machine.expect(r"^synced 6$", g.BOOT)
    time.sleep(0.7)
    machine.process.kill()
    machine.wait(-9)
    machine.read_some(0)
    last = int(re.findall(r"^synced (\d+)$", machine.text, re.M)[-1])
    said = tool("e2fsck", "-p", image, status=None)
    check("UNEXPECTED" not in said, said)
    said = tool("e2fsck", "-fn", image)
    for i in range(max(0, last - 2), last + 1):
        for j in range(1, 9):
            check_equal(read_back(image, f"/d{i}/{j}"), f"{i} {j}\n".encode(), f"/d{i}/{j}")
        check_equal(len(read_back(image, f"/d{i}/big")), 256 << 10, f"/d{i}/big")
    check_equal(hashlib.md5(read_back(image, "/host")).hexdigest(), md5, "the file of the host")


def locked():
    """An image that another Metaphrase writes to is refused; readers share."""
    image, _ = make_image(megabytes=2)
    drive = f"file={image},if=virtio,format=raw"
    before = digest(image)
    owner = start("-S", "-drive", drive)
    owner.monitor("info status")
    for options in (drive, drive + ",readonly=on", drive + ",snapshot=on"):
        other = start("-S", "-drive", options)
        other.wait(1)
        lines = other.errors().splitlines()
        check(len(lines) == 1 and image in lines[0] and "lock" in lines[0], f"it says {lines}")
    owner.monitor("quit")
    owner.wait(0)
    readers = [start("-S", "-drive", drive + ",readonly=on") for _ in range(2)]
    for reader in readers:
        reader.monitor("info status")
    writer = start("-S", "-drive", drive)
    writer.wait(1)
    for reader in readers:
        reader.monitor("quit")
        reader.wait(0)
    check_equal(digest(image), before, "the image's digest")


CASES = {"pci": pci, "protected": protected, "mmio": mmio, "686-pae": pae_686, "unclean": unclean,
         "kill": kill, "locked": locked}

if __name__ == "__main__":
    sys.exit(g.main(CASES))
