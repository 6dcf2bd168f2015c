#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What cannot work ends with one clear line, status 1 and nothing created or changed.

usage: test-bad-input.py METAPHRASE"""
import os
import pathlib
import subprocess
import sys
import tempfile

metaphrase = os.path.abspath(sys.argv[1])
SLOWNESS = float(os.environ.get("METAPHRASE_TEST_SLOWNESS", "1"))

# Arguments, and what the message must hold.  Files are those of make_files().
CASES = [
    (["-foo"], "-foo: unknown option"),
    (["-machin", "pc"], "did you mean -machine?"),
    (["-kernel"], "-kernel: an argument is missing"),
    (["-gdb", "tcp:nowhere.invalid:x"], "-gdb tcp:nowhere.invalid:x: cannot"),
    (["-gdb", "chardev:x"], "there is no chardev 'x'"),
    (["-s", "-gdb", "none"], "-gdb none: gdb has a place already (-s)"),
    (["-machine", "none", "-s"], "-s: machine none has no CPU to debug"),
    (["-vnc", ":1"], "-vnc: not supported"),
    (["-M", "nothing"], "no machine type is called 'nothing'"),
    (["-M", "pc,hpett=off"], "did you mean 'hpet'?"),
    (["-M", "pc,usb=on"], "usb=on is not supported"),
    (["-M", "pc,vmi=maybe"], "vmi is 'on' or 'off', not 'maybe'"),
    (["-M", "pc,vmport=maybe"], "vmport is 'on' or 'off', not 'maybe'"),
    (["-M", "microvm,vmi=on"], "vmi=on is not supported"),
    (["-M", "microvm,vmport=on"], "vmport=on is not supported"),
    (["-cpu", "max,kvm=maybe"], "kvm=maybe: write on or off"),
    (["-cpu", "max,+kvm-asyncpf"], "CPU feature 'kvm-asyncpf' is not available"),
    (["-cpu", "max,kvm-steeltime=on"], "nearest: 'kvm-steal-time'"),
    (["-cpu", "max,kvm-pv-enforce-cpuid=off"], "kvm-pv-enforce-cpuid=off: KVM's interfaces that CPUID does not show are refused in any case"),
    (["-cpu", "max,kvm-pv-enforce-cpuid=maybe"], "kvm-pv-enforce-cpuid=maybe: write on or off"),
    (["-cpu", "max,vmware-cpuid-freq=2"], "vmware-cpuid-freq=2: write on or off"),
    (["-cpu", "max,kvm-mmu=on"], "CPU feature 'kvm-mmu' is not available"),
    (["-cpu", "max,tsc-frequency=2000000000"], "unknown CPU feature 'tsc-frequency'"),
    (["-cpu", "max,enforce=maybe"], "enforce=maybe: write on or off"),
    (["-accel", "translate,chian=off"], "did you mean 'chain'?"),
    (["-accel", "tcg,chain=maybe"], "chain is 'on' or 'off', not 'maybe'"),
    (["-accel", "translate,tb-size=0"], "tb-size is a number from 1 to 1024, not '0'"),
    (["-accel", "translate,tiers=999"], "tiers is a number from 1 to 255"),
    (["-accel", "translate,symbols=/nowhere/System.map"], "symbols: "),
    (["-accel", "translate,symbols=/dev/zero"], "symbols: /dev/zero is no regular file"),
    (["-accel", "translate,window-pardon=0"], "window-pardon is a number from 1"),
    (["-accel", "translate,direct-spin=maybe"], "direct-spin is one of off, on, auto, not 'maybe'"),
    (["-accel", "translate,direct=off,direct-spin=on"], "direct-spin=on: "),
    (["-accel", "translate,jump-cache=3"], "jump-cache: a power of two is needed"),
    (["-accel", "tcg,split-wx=off"], "split-wx is one of on, not 'off'"),
    (["-accel", "tcg,thread=single", "-smp", "2"], "thread=single: each CPU has a thread"),
    (["-accel", "tcg,verify=1", "-smp", "2"], "verify: another CPU would write"),
    (["-accel", "interpret,chain=off"], "unknown parameter 'chain'"),
    (["-accel", "kvm,phases=maybe"], "phases is 'on' or 'off', not 'maybe'"),
    (["-accel", "kvm,emulation-ns=few"], "emulation-ns"),
    (["-accel", "kvm,emulation-ns=5000000000"], "emulation-ns"),
    (["-accel", "kvm", "-machine", "accel=tcg"], "two ways to say the same"),
    (["-accel", "warp"], "no engine is called 'warp'"),
    (["-cpu", "nothing"], "nothing"),
    (["-cpu", "max,+nothing"], "nothing"),
    (["-smp", "0"], "from 1 to 255"),
    (["-smp", "256"], "from 1 to 255"),
    (["-smp", "many"], "not 'many'"),
    (["-smp", "4,sockets=1,cores=2,threads=1"], "sockets * cores * threads"),
    (["-m", "0"], "from 2M to 512G"),
    (["-m", "1000T"], "from 2M to 512G"),
    (["-m", "lots"], "not 'lots'"),
    (["-initrd", "good"], "only makes sense with -kernel"),
    (["-kernel", "missing"], "missing"),
    (["-kernel", "empty"], "empty"),
    (["-kernel", "text"], "text"),
    (["-kernel", "truncated"], "truncated"),
    (["-kernel", "dir"], "dir"),
    (["-bios", "missing"], "missing"),
    (["-bios", "empty"], "empty"),
    (["-M", "microvm"], "needs -kernel"),
    (["-drive", "file=missing,if=virtio"], "missing"),
    (["-drive", "file=dir,if=virtio"], "dir"),
    (["-drive", "file=good,format=qcow2"], "only raw images"),
    (["-drive", "file=good,if=scsi"], "if is one of"),
    (["-drive", "fil=good"], "did you mean 'file'?"),
    (["-drive", "if=virtio"], "file= is needed"),
    (["-hda", "good", "-drive", "file=good,index=0"], "already a drive called 'ide0'"),
    (["-device", "nothing"], "no device is called 'nothing'"),
    (["-device", "virtio-blk-pc"], "did you mean 'virtio-blk-pci'?"),
    (["-device", "virtio-blk-pci"], "drive= is needed"),
    (["-device", "virtio-blk-pci,drive=x"], "there is no drive 'x'"),
    (["-device", "isa-debug-exit,iobas=1"], "did you mean 'iobase'?"),
    (["-device", "virtconsole"], "needs a virtio-serial controller"),
    (["-device", "virtio-rng-pci,rng=x"], "there is no object 'x'"),
    (["-object", "nothing,id=x"], "no object type is called 'nothing'"),
    (["-chardev", "stdio"], "KIND,id=ID is needed"),
    (["-chardev", "nothing,id=x"], "no character back end is called 'nothing'"),
    (["-chardev", "file,id=x,path=dir"], "dir"),
    (["-chardev", "socket,id=x,path=missing/sock"], "missing/sock"),
    (["-serial", "chardev:x"], "there is no chardev 'x'"),
    (["-serial", "file:missing/out"], "missing/out"),
    (["-serial", "stdio", "-monitor", "stdio"], "stdio is in use already"),
    (["-display", "gtk"], "no display is built"),
    (["-boot", "order=x"], "letters a, b, c, d, n"),
    (["-rtc", "base=tomorrow"], "not 'tomorrow'"),
    (["-uuid", "1234"], "not a UUID"),
    (["-d", "nothing"], "no log item is called 'nothing'"),
    (["-trace", "nothing*"], "no trace event matches"),
    (["-trace", "pic_set_ir"], "did you mean 'pic_set_irq'?"),
    (["-trace", "events=missing"], "cannot read missing"),
    (["-trace", "events=text"], "no trace event matches 'not a kernel'"),
    (["-d", "ints"], "did you mean 'int'?"),
    (["-accel", "tgc"], "did you mean 'tcg'?"),
    (["-stress", "nothing=1"], "no such knob"),
    (["-sandbox", "maybe"], "enable is 'on' or 'off', not 'maybe'"),
    (["-sandbox", "on,spawn=perhaps"], "spawn is one of deny, allow, not 'perhaps'"),
    (["-runas", "nobody-of-this-name"], "there is no user 'nobody-of-this-name'"),
    (["-readconfig", "missing"], "-readconfig missing: cannot read it: No such file"),
    (["-readconfig", "dir"], "-readconfig dir: cannot read it"),
    (["-readconfig", "empty-section"], "-readconfig empty-section: [drive]: file= is needed"),
    (["-readconfig", "bad-section"], "line 2 is no section"),
    (["-readconfig", "bad-line"], "line 3 is no KEY = \"VALUE\" of a section"),
    (["-readconfig", "bad-key"], "-readconfig bad-key: [memory]: unknown parameter 'siz'; did you mean 'size'?"),
    (["-readconfig", "bad-option"], "-readconfig bad-option: [netdev]: not supported: networking"),
    (["-msg", "timestam=on"], "did you mean 'timestamp'?"),
    (["-echr", "0"], "the code of a character"),
    (["-icount", "11"], "shift is a number from 0 to 10"),
    (["-icount", "auto"], "shift=auto is not built"),
    (["-icount", "0,sleep=on"], "sleep=on is not supported"),
    (["-icount", "0", "-smp", "2"], "-icount: only with one CPU"),
    (["-icount", "0", "-accel", "translate,verify=1"], "-icount: verify="),
    (["-icount", "0,trail=a,follow=b"], "trail= and follow= are for two machines"),
    (["-icount", "0,every=3"], "every= is of a trail"),
    (["-icount", "0,trail=/nowhere/trail"], "-icount: cannot open /nowhere/trail"),
    (["-icount", "0,follow=/nowhere/trail"], "-icount: cannot open /nowhere/trail"),
    (["-overcommit", "mem-lock=on"], "mem-lock=on is not supported"),
    (["-watchdog-action", "bark"], "action is one of reset, shutdown"),
    (["-action", "panic=scream"], "panic is one of shutdown, pause"),
    (["-option-rom", "missing"], "firmware 'missing' is nowhere to be found"),
    (["-option-rom", "text"], "no option ROM"),
    (["-option-rom", "good", "-kernel", "text"], "there is no firmware to run it"),
    (["-net", "user"], "not supported: networking"),
    (["-nic", "user,model=virtio"], "not supported: networking"),
    (["-netdev", '{"type":"user","id":"n"}'], "-netdev: not supported: networking"),
    (["-incoming", "tcp:4444"], "'tcp:4444': not tcp:HOST:PORT"),
    (["-incoming", "ssh:there"], "not file:PATH, exec:COMMAND, unix:PATH, tcp:HOST:PORT or fd:NUMBER"),
    (["-incoming", "file:missing"], "-incoming: could not open 'missing': No such file"),
    (["-incoming", "file:good"], "the saved machine could not be loaded: it is not a saved machine"),
    (["-incoming", "exec:false"], "the saved machine could not be loaded: it ends early"),
    (["-incoming", "fd:77"], "'fd:77': there is no such descriptor"),
    (["-loadvm", "x"], "-loadvm: not supported: snapshots of the machine"),
    (["-M", "pc-i440fx-3.2"], "did you mean 'pc-i440fx-7.2'?"),
    (["-M", "pc-i440fx-99.1"], "did you mean 'pc-i440fx-"),
    (["-M", "pc,memory-backend=x"], "there is no such memory backend"),
    (["-M", "pc,memory-backend=x", "-object", "memory-backend-ram,id=x,size=1M"], "its size is 1048576"),
    (["-object", "memory-backend-ram,id=x"], "size= is needed"),
    (["-object", "memory-backend-ram,id=x,size=1M,prealloc=on"], "prealloc=on is not supported"),
    (["-object", "memory-backend-file,id=x,size=1M,mem-path=y"], "not supported: guest memory in a file"),
    (["-object", "secret,id=x,data=y"], "not supported: secrets"),
    (["-object", "iothred,id=x"], "did you mean 'iothread'?"),
    (["-object", '{"qom-type":"iothread"}'], "id= is needed"),
    (["-object", '{"qom-type":"iothread","id":"x","pol":1}'], "unknown parameter 'pol'"),
    (["-device", '{"driver":"isa-debug-exit"'], "bad JSON at byte"),
    (["-device", '{"driver":"isa-debug-exit"} x'], "it goes on behind the object"),
    (["-device", '{"driver":"isa-debug-exit","iobas":1}'], "did you mean 'iobase'?"),
    (["-device", '{"driver":null}'], "'driver' is null"),
    (["-device", "virtio-blk-pci,drive=d,iothread=x", "-drive", "file=good,format=raw,if=none,id=d"],
     "there is no iothread 'x'"),
    (["-device", "pvpanic,events=9"], "events is a number from 0 to 3"),
    (["-blockdev", "qcow2,node-name=x"], "driver is one of raw, file, host_device"),
    (["-blockdev", "file,filename=good"], "node-name= is needed"),
    (["-blockdev", "file,node-name=x"], "filename= is needed"),
    (["-blockdev", "raw,node-name=x"], "file= is needed"),
    (["-blockdev", "raw,node-name=x,file=y"], "there is no node 'y'"),
    (["-blockdev", "raw,node-name=x,file=x"], "stands on itself"),
    (["-blockdev", "file,node-name=x,filename=missing"], "missing"),
    (["-blockdev", "file,node-name=x,filename=good", "-blockdev", "file,node-name=x,filename=good"],
     "there is already a node called 'x'"),
    (["-blockdev", "file,node-name=f,filename=good", "-blockdev", "raw,node-name=x,file=f", "-blockdev",
      "raw,node-name=y,file=f"], "node 'f' is in use already"),
    (["-blockdev", '{"driver":"raw","node-name":"x","file":{"driver":"file","filenam":"good"}}'],
     "did you mean 'filename'?"),
    (["-chardev", "socket,id=x,fd=77"], "fd:77"),
    (["-chardev", "sokket,id=x"], "did you mean 'socket'?"),
    (["-chardev", "ringbuf,id=x,size=3"], "size is a power of two"),
    (["-serial", "telnet:nowhere.invalid:x,server=on,wait=off"], "telnet:nowhere.invalid:x"),
    (["-global", "isa-debug-exit.iobas=1"], "isa-debug-exit has no property 'iobas'; did you mean 'iobase'?"),
    (["-global", "isa-debug-exi.iobase=1"], "did you mean 'isa-debug-exit'?"),
    (["-global", "driver=isa-debug-exit,property=iobase"], "value= are needed"),
    (["-smp", "2,dies=2"], "dies=2 is not supported"),
    (["-m", "64,maxmem=128"], "memory cannot be added later"),
    (["-initrd", "huge", "-kernel", "bzimage", "-m", "16"], "huge"),
    (["-D", "missing/log", "-d", "int"], "missing/log"),
]


def make_files(path):
    (path / "empty").write_bytes(b"")
    (path / "text").write_text("not a kernel\n" * 1000)
    (path / "good").write_bytes(bytes(1 << 20))
    kernel = bytearray(8192)                  # a bzImage header that promises more than there is
    kernel[0x1f1] = 40
    kernel[0x1fe:0x200] = b"\x55\xaa"
    kernel[0x202:0x206] = b"HdrS"
    kernel[0x206:0x208] = (0x20f).to_bytes(2, "little")
    (path / "truncated").write_bytes(kernel)
    image = bytearray(2048)                   # a bzImage that is whole: two sectors of set-up, two of kernel
    for at, size, value in ((0x1f1, 1, 1), (0x1f4, 4, 64), (0x1fe, 2, 0xaa55), (0x206, 2, 0x20f), (0x211, 1, 1),
                            (0x22c, 4, 0x7fffffff), (0x230, 4, 0x200000), (0x234, 1, 1), (0x236, 2, 1),
                            (0x238, 4, 255), (0x258, 8, 0x100000), (0x260, 4, 0x100000)):
        image[at:at + size] = value.to_bytes(size, "little")
    image[0x202:0x206] = b"HdrS"
    (path / "bzimage").write_bytes(image)
    (path / "dir").mkdir()
    for name, text in {
        "empty-section": "[drive]\n", "bad-section": "# nothing\n[drive\n", "bad-line": "[memory]\nsize = \"64\"\nsize 64\n",
        "bad-key": '[memory]\n  siz = "64"\n', "bad-option": '[netdev "x"]\n  type = "user"\n',
    }.items():
        (path / name).write_text(text)
    with open(path / "huge", "wb") as f:      # an initrd that the guest's memory cannot hold
        f.truncate(64 << 20)


def snapshot(path):
    return {p.name: (p.stat().st_size, p.stat().st_mtime_ns) for p in path.iterdir()}


def check(path, args, expected):
    before = snapshot(path)
    run = subprocess.run([metaphrase, "-display", "none", *args] if "-display" not in args
                         else [metaphrase, *args], cwd=path, stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=20 * SLOWNESS, check=False)
    lines = run.stderr.splitlines()
    problems = []
    if run.returncode != 1:
        problems.append(f"status {run.returncode}")
    if len(lines) != 1:
        problems.append(f"{len(lines)} lines")
    if expected not in run.stderr:
        problems.append(f"no '{expected}'")
    if not run.stderr.startswith("metaphrase: "):
        problems.append("no program name")
    if run.stdout:
        problems.append("prints to stdout")
    if snapshot(path) != before:
        problems.append("files were created or changed")
    if problems:
        print(f"FAIL {' '.join(args)}: {', '.join(problems)}: {run.stderr.strip()!r}")
    return not problems


with tempfile.TemporaryDirectory() as name:
    directory = pathlib.Path(name)
    make_files(directory)
    results = [check(directory, *case) for case in CASES]
print(f"{sum(results)} of {len(results)} refused as they should")
sys.exit(not all(results))
