#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""svm.py METAPHRASE GUESTS-DIR [PART...]: the KVM engine on SVM, wherever QEMU runs.

QEMU's TCG emulates a processor with SVM and boots Debian's cloud kernel with kvm-amd; inside runs this very
program with -accel kvm: bare-metal guests, the nanobenchmarks, changes of engine, and the cloud kernel again on
one and two CPUs, and with each of KVM's leaves off.  Skipped (77) where QEMU, the kernel or a program is missing."""
import ast
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
CACHE = os.environ.get("METAPHRASE_CACHE", os.path.join(TOP, ".cache"))
sys.path.insert(0, os.path.join(TOP, "tests", "boot"))
import leaves                     # noqa: E402

TIMEOUT = 2400 * float(os.environ.get("METAPHRASE_TEST_SLOWNESS", "1"))
# (Not paging32: TCG sets the accessed bit in PDPTEs, where it is reserved, and KVM rightly answers #GP.)
GUESTS = ["system64", "paging64", "protect32", "interrupts", "smc", "smp", "reserved64", "vmi", "vmitime", "triple"]

# As in run-guest.py: what is otherwise because the processor is TCG's, or the hypervisor KVM.
NESTED = {
    ("kvmpv", "calls_answer"): "KVM emulates the other vendor's VMCALL, and in ring 3 refuses it with #GP",
    ("reserved64", "control_registers_refuse_reserved_bits"): "takes bits above 31 of CR4",
}


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def deviations():
    with open(os.path.join(TOP, "tests", "guest", "run-guest.py"), encoding="utf-8") as f:
        tree = ast.parse(f.read())
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "DEVIATIONS":
            return {**eval(compile(ast.Expression(node.value), "run-guest.py", "eval")), **NESTED}
    raise AssertionError("run-guest.py has no DEVIATIONS")


# -- What is inside ----------------------------------------------------------------------------------

INSIDE = r"""#!/bin/sh
for m in irqbypass kvm kvm-amd; do insmod /lib/kvm/$m.ko; done
grep -o -m1 -w svm /proc/cpuinfo
cd /mp
mp() { echo "== $name"; timeout $limit ./metaphrase -display none -monitor none -no-reboot "$@" 2>&1; echo "== status $?"; }
exit_device="-device isa-debug-exit,iobase=0xf4,iosize=4"
has() { case " $parts " in *" $1 "*) return 0;; esac; return 1; }
parts="@PARTS@"
has info && { echo "== info"; printf 'info accel\nquit\n' | ./metaphrase -M none -accel auto -display none -monitor stdio; echo; }
has host && { echo "== host"; timeout 600 ./test-kvm-host; echo "== status $?"; }
limit=300
if has guests; then
    for name in @GUESTS@; do
        case $name in smp|vmitime) smp=2;; *) smp=1;; esac
        mp -accel kvm -m 64 -smp $smp -kernel $name.elf -serial stdio $exit_device </dev/null
    done
    for name in interrupts smp; do     # accesses to devices are emulated: as if there were nothing else
        name=$name-phases
        mp -accel kvm,emulation-ns=100000000 -m 64 -smp 2 -kernel ${name%-phases}.elf -serial stdio -d stats $exit_device </dev/null
    done
    for chips in off on; do            # with one CPU ends of interrupts go by VMI's shared page
        name=vmitime-$chips
        mp -accel kvm,kernel-irqchip=$chips -m 64 -kernel vmitime.elf -serial stdio -d stats $exit_device </dev/null
    done
fi
# Conversations: `begin OPTIONS...`, `say TEXT`, `hear COUNT WORD` waits until it was said so often, `finish`.
begin() {
    rm -f /tmp/in /tmp/out; mkfifo /tmp/in
    timeout 900 ./metaphrase -accel kvm -display none -no-reboot -m 64 -kernel switch.elf $exit_device "$@" </tmp/in >/tmp/out 2>&1 &
    exec 3>/tmp/in
}
say() { printf "$@" >&3; }
hear() { n=0; while [ "$(grep -o -e "$2" /tmp/out | wc -l)" -lt $1 ] && [ $n -lt 240 ]; do sleep 1; n=$((n+1)); done; }
finish() { exec 3>&-; wait; echo "== $name"; cat /tmp/out; echo; echo "== end"; }
if has switch; then
    name=switch
    begin -serial mon:stdio
    hear 1 ready
    said=0
    for e in translate kvm interpret kvm translate interpret kvm; do
        said=$((said+1))
        say '\001caccel-set %s\n\001cp' $e
        hear $said pong
    done
    say q
    hear 1 done
    finish
fi
if has gdb; then
    name=gdb
    begin -S -gdb stdio -serial null -monitor none -d stats
    say '%s' '@START@'
    hear 2 OK
    for t in 1 3 5; do
        say '%s' '@CONTINUE@'; hear $t T05; say '%s' '@WHERE@'; sleep 2; say '%s' '@STEP@'; hear $((t+1)) T05
    done
    say '%s' '@KILL@'
    finish
fi
if has nanobench; then
    name=nanobench
    echo "== nanobench"
    timeout 400 ./metaphrase nanobench --accel kvm,translate --peer none --no-native --repeat 1 --samples 5 --smp 1 \
        --timeout 60 --only syscall,in,cr8wr,callret,pgfault,divzero,ptemod_same,rdtsc,load,store 2>&1
    echo "== status $?"
fi
linux() {
    echo "== $name"
    smp=$1 accel=$2; shift 2
    timeout 900 ./metaphrase -accel $accel -smp $smp -m 220 -display none -no-reboot -serial mon:stdio -kernel vmlinuz -initrd initrd.gz \
        -append "console=ttyS0 quiet metaphrase.run=inner" -d stats "$@" 2>&1
    echo "== status $?"
}
leaves() {
    echo "== $1"
    timeout 600 ./metaphrase -accel $2 -cpu $3 -smp 2 -m 220 -display none -no-reboot -serial stdio -monitor none -kernel vmlinuz \
        -initrd initrd.gz -append "console=ttyS0 quiet @APPEND@ metaphrase.run=leaves" -trace post_code </dev/null 2>&1
    echo "== status $?"
}
@LEAVES@
has linux1 && { name=linux1; linux 1 kvm </dev/null; }
# (kvmpv waits to see a halted CPU shown as not running, which KVM does not do.)
pv="-cpu max,-kvm-pv-tlb-flush"
has apics && {                 # the local APICs in the kernel
    for name in interrupts smp kvmpv; do
        name=$name-apics
        mp -accel kvm,kernel-irqchip=split $pv -m 64 -smp 2 -kernel ${name%-apics}.elf -serial stdio $exit_device </dev/null
    done
    name=linux3; linux 2 kvm,kernel-irqchip=split,ioeventfd=on -device virtio-rng-pci </dev/null
}
has chips && {                 # all of them and the PIT
    for name in interrupts smp kvmpv; do
        name=$name-chips
        mp -accel kvm,kernel-irqchip=on $pv -m 64 -smp 2 -kernel ${name%-chips}.elf -serial stdio $exit_device </dev/null
    done
    name=linux4; linux 2 kvm,kernel-irqchip=on,ioeventfd=on,irqfd=on,dirty-ring-size=1024 -device virtio-rng-pci </dev/null
}
if has linux2; then            # its engine changes while it boots and works
    name=linux2
    { while :; do for e in translate kvm interpret kvm; do sleep 2; printf '\001caccel-set %s\n\001c' $e || exit; done; done; } |
        linux 2 kvm
fi
"""

INNER = """#!/bin/sh
cat /sys/devices/system/cpu/online
[ ! -e /dev/hwrng ] || echo "random $(dd if=/dev/hwrng bs=64 count=4 2>/dev/null | wc -c)"
for n in 1 2; do seq 1 2000 | sha256sum & done; wait
dmesg | grep -i -E "hypervisor detected|kvm-clock: using|WARNING|BUG" | cut -c1-100
"""


# With no controllers in the kernel guests are shown what needs no hypercall.
CALLS = {"kvm-pv-unhalt", "kvm-pv-tlb-flush", "kvm-pv-ipi", "kvm-pv-sched-yield"}


def leaves_runs(parts):
    """(section, controllers, what there is, what is on): all, none, and each off in turn."""
    for chips in ("off", "split"):
        of = [name for name in leaves.NAMES if chips != "off" or name not in CALLS]
        if "leaves-" + chips in parts:
            for n, names in enumerate([set(of), set(), *(set(of) - {name} for name in of)]):
                yield f"leaves-{chips}-{n}", chips, of, names


def packet(text):
    return f"${text}#{sum(text.encode()) & 0xff:02x}"


def symbol(elf, name):
    lines = subprocess.run(["nm", elf], capture_output=True, text=True, check=True).stdout.splitlines()
    return next(int(line.split()[0], 16) for line in lines if line.split()[-1] == name)


def gdb_packets(address):
    """What gdb would say: a breakpoint, three times continue, where is it, one step."""
    return {"@START@": packet("QStartNoAckMode") + "+" + packet(f"Z1,{address:x},1"), "@CONTINUE@": packet("c"),
            "@WHERE@": packet("p10"), "@STEP@": packet("s"), "@KILL@": packet("k")}


def libraries(program):
    out = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", out)


def put(root, path, source):
    target = root + path
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy(source, target)


def script(root, name, text):
    path = os.path.join(root, "init.d", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, 0o755)


def make_initramfs(scratch, *adds):
    image = os.path.join(scratch, f"initramfs{len(os.listdir(scratch))}.gz")
    subprocess.run(["sh", os.path.join(TOP, "scripts", "make-initramfs.sh"),
                    *(w for a in adds for w in a), image], check=True, stdout=subprocess.DEVNULL)
    return image


def build(scratch, metaphrase, guests, parts):
    kernel = os.path.join(CACHE, "cloud-amd64")
    modules = [glob.glob(f"{kernel}/root/lib/modules/*/kernel/{m}.ko*")
               for m in ("virt/lib/irqbypass", "arch/x86/kvm/kvm", "arch/x86/kvm/kvm-amd")]
    if not all(modules) or not modules[0][0].endswith(".ko"):
        skip("the cloud kernel has no (uncompressed) kvm-amd")
    inner = os.path.join(scratch, "inner")
    script(inner, "inner", INNER)
    program = os.path.join(os.path.dirname(guests), "user", "leaves")
    if any(part.startswith("leaves-") for part in parts):
        if not os.path.exists(program):
            skip("the program could not be linked: no static C library")
        leaves.overlay(inner, program)
    inner_image = make_initramfs(scratch, ("-m", f"{kernel}/root"), ("-k", leaves.MODULES), ("-a", inner))
    outer = os.path.join(scratch, "outer")
    host_test = os.path.join(os.path.dirname(guests), "hwaccel", "test-kvm-host")
    put(outer, "/mp/metaphrase", metaphrase)
    for library in libraries(metaphrase):
        put(outer, library, library)
    put(outer, "/mp/test-kvm-host", host_test)
    for library in libraries(host_test):
        put(outer, library, library)
    for m in modules:
        put(outer, "/lib/kvm/" + os.path.basename(m[0]), m[0])
    put(outer, "/mp/vmlinuz", f"{kernel}/vmlinuz")
    put(outer, "/mp/initrd.gz", inner_image)
    for g in [*GUESTS, "kvmpv", "switch"]:
        put(outer, f"/mp/{g}.elf", os.path.join(guests, g + ".elf"))
    for name in ("nanobench64.elf", "nanobench-native"):
        put(outer, "/mp/tests/guest/nanobench/" + name, os.path.join(guests, "nanobench", name))
    inside = INSIDE
    for mark, value in {**gdb_packets(symbol(os.path.join(guests, "switch.elf"), "enter_user")),
                        "@GUESTS@": " ".join(GUESTS), "@APPEND@": leaves.APPEND,
                        "@LEAVES@": "".join(f"leaves {name} kvm,kernel-irqchip={chips} {leaves.options(names, of)}\n"
                                            for name, chips, of, names in leaves_runs(parts)),
                        "@PARTS@": " ".join(parts)}.items():
        inside = inside.replace(mark, value)
    script(outer, "nested", inside)
    return f"{kernel}/vmlinuz", make_initramfs(scratch, ("-a", outer))


# -- Judging -----------------------------------------------------------------------------------------

problems = []


def check(ok, what):
    if not ok:
        problems.append(what)


def section(text, name):
    match = re.search(rf"^== {name}\n(.*?)(?=^== (?!status)|\Z)", text, re.M | re.S)
    return match.group(1) if match else ""


def judge_guest(text, name, known):
    said = section(text, name)
    fails = re.findall(r"^FAIL (\S+)(.*)$", said, re.M)
    oks = len(re.findall(r"^ok ", said, re.M))
    unknown = [f"{n}{rest}" for n, rest in fails if (name, n) not in known]
    check(not unknown, f"{name}: {unknown}")
    check(oks >= 1 or name == "triple", f"{name}: nothing passed: {said[-300:]}")
    if name != "triple":
        check("\ndone" in said, f"{name}: it did not come to its end: {said[-300:]}")
    status = re.search(r"== status (\d+)", said)
    wanted = ("0",) if name == "triple" else ("33", "35") if fails else ("33",)
    check(status and status.group(1) in wanted, f"{name}: {status and status.group(0)}")
    print(f"{name}: {oks} ok, {len(fails)} known deviations of TCG")


def judge_linux(text, n):
    said = section(text, f"linux{n}")
    sums = re.findall(r"\b([0-9a-f]{64})\b", said)
    wanted = subprocess.run("seq 1 2000 | sha256sum", shell=True, capture_output=True, text=True,
                            check=True).stdout.split()[0]
    check(sums == [wanted] * 2, f"linux{n}: sums {sums}: {said[-1500:]}")
    check(re.search(r"^0$" if n == 1 else r"0-1$", said, re.M), f"linux{n}: CPUs")
    check("Power down" in said and "== status 0" in said, f"linux{n}: {said[-500:]}")
    if n == 2:
        check(said.count("(qemu) accel-set") >= 3 and "Error:" not in said, f"linux2: {said[-800:]}")
    # (fpu__init_system_xstate: CPUID 0DH does not follow XCR0, since XSETBV does not exit on TCG.)
    complaints = [line for line in re.findall(r".*(?:WARNING: CPU|BUG:).*", said) if "system_xstate" not in line]
    check(not complaints, f"linux{n}: the kernel complains: {complaints}")
    stats = re.search(r"^engine (kvm|translate|interpret).*", said, re.M | re.S)
    check(stats and (n == 2 or stats.group(1) == "kvm"), f"linux{n}: it did not run under KVM")
    check(n == 2 or re.search(r"writes that waited for the next exit: [1-9]", said), f"linux{n}: no write waited")
    print(f"linux{n}:", stats.group(0).partition("\n== status")[0] if stats else "")


def judge_controllers(text, part, n):
    for name in ("interrupts", "smp", "kvmpv"):
        judge_guest(text, f"{name}-{part}", {(f"{name}-{part}", t) for g, t in deviations() if g == name})
    judge_linux(text, n)
    said = section(text, f"linux{n}")
    check("random 256" in said and re.search(r"doorbells: [1-9]\d*, rung [1-9]\d* times$", said, re.M),
          f"linux{n}: no doorbell was rung: {re.findall('random.*|doorbells.*', said)}")
    return said


def judge_switch(text):
    said = section(text, "switch")
    check(len(re.findall(r"pong", said)) == 7, f"switch: {said[-600:]}")
    check("ok rounds" in said and "FAIL" not in said, f"switch: {said[-600:]}")
    print("switch:", re.findall(r"pong.*", said)[-1:])


def judge_gdb(text, guests):
    said = section(text, "gdb")
    address = symbol(os.path.join(guests, "switch.elf"), "enter_user")
    where = packet(address.to_bytes(8, "little").hex())
    check(said.count(where) == 3, f"gdb: {said[-800:]}")
    # By KVM's breakpoints where they work; VMRUN on TCG does not arm them, so here by the interpreter.
    print("gdb:", re.findall(r"exit: breakpoint.*|interpreted for debuggers.*", said))


def judge_leaves(text, parts):
    for name, _, _, names in leaves_runs(parts):
        said = section(text, name)
        wrong = leaves.problems(said, leaves.shown(names), said.count("post_code"))
        check("== status 0" in said and not wrong, f"{name} with {' '.join(sorted(names))}: {'; '.join(wrong)}: {said[-300:]}")
        print(f"{name}:", " ".join(re.findall(r"^leaves.*", said, re.M)))


def judge_nanobench(text):
    said = section(text, "nanobench")
    check(re.search(r"^syscall +\d", said, re.M) and "== status 0" in said, f"nanobench: {said[-800:]}")
    print(said)


def main(metaphrase, guests, *parts):
    parts = parts or ("info", "host", "guests", "switch", "gdb", "nanobench", "leaves-off", "leaves-split", "linux1", "apics", "chips", "linux2")
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        skip("qemu-system-x86_64 is not installed")
    if not os.path.exists(os.path.join(CACHE, "cloud-amd64", "vmlinuz")):
        skip("there is no cloud kernel (scripts/fetch-guest.sh cloud-amd64)")
    with tempfile.TemporaryDirectory(prefix="metaphrase-svm-") as scratch:
        kernel, initrd = build(scratch, os.path.abspath(metaphrase), guests, parts)
        log = os.environ.get("METAPHRASE_NESTED_LOG", os.path.join(scratch, "log"))
        with open(log, "wb") as said:
            # (On a crowded host the TSC would be found unreliable, and KVM would move its guests'.)
            subprocess.run(
                [qemu, "-accel", "tcg", "-cpu", "EPYC,+svm,+npt", "-m", "1500", "-nographic", "-no-reboot", "-kernel",
                 kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet no_timer_check tsc=reliable panic=-1 metaphrase.run=nested"],
                stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.DEVNULL, timeout=TIMEOUT, check=False)
        with open(log, encoding="latin-1") as f:
            text = f.read().replace("\r", "")
    check("\nsvm\n" in text, f"SVM does not show inside: {text[-500:]}")
    if "info" in parts:
        check(re.search(r"^\* kvm .*\n+    KVM API 12 on SVM", section(text, "info"), re.M),
              f"auto did not take KVM: {section(text, 'info')}")
    if "host" in parts:
        said = section(text, "host")
        check("== status 0" in said, f"test-kvm-host: {said[-1500:]}")
        print("host:", said)
    for name in GUESTS if "guests" in parts else []:
        judge_guest(text, name, deviations())
    for name in ("interrupts", "smp") if "guests" in parts else []:
        judge_guest(text, f"{name}-phases", {(f"{name}-phases", t) for g, t in deviations() if g == name})
        turns = re.findall("interpreted in what KVM was emulating.*", section(text, f"{name}-phases"))
        check(turns, f"{name}-phases: nothing was interpreted")
        print(f"{name}-phases:", turns)
    for chips in ("off", "on") if "guests" in parts else []:
        judge_guest(text, f"vmitime-{chips}", {})
        said = section(text, f"vmitime-{chips}")
        check(re.search(r"exit: hypercall +[1-9]", said), f"vmitime-{chips}: no call came by VMMCALL")
        if chips == "off":             # else KVM does not say
            check(re.search(r"interrupts ended in memory +[1-9]", said), "vmitime-off: no interrupt ended in the shared page")
        print(f"vmitime-{chips}:", re.findall(r"exit: (?:hypercall|port).*|.*ended in memory.*", said))
    if "switch" in parts:
        judge_switch(text)
    if "gdb" in parts:
        judge_gdb(text, guests)
    if "nanobench" in parts:
        judge_nanobench(text)
    if "apics" in parts:
        said = judge_controllers(text, "apics", 3)
        check("local APICs: the kernel's" in said, "linux3: the local APICs are not the kernel's")
    if "chips" in parts:
        said = judge_controllers(text, "chips", 4)
        check("PIC, I/O APIC, PIT: the kernel's" in said, "linux4: the controllers are not the kernel's")
        check("written pages: rings" in said, "linux4: no rings of written pages")
        sent = re.search(r"interrupt messages: ([1-9]\d*), of these (\d+) by irqfds", said)
        check(sent and sent.group(1) == sent.group(2), f"linux4: not all messages went by irqfds: {sent}")
    judge_leaves(text, parts)
    for n in (1, 2):
        if f"linux{n}" in parts:
            judge_linux(text, n)
    for p in problems:
        print("FAILED:", p)
    sys.exit(1 if problems else 0)


main(*sys.argv[1:])
