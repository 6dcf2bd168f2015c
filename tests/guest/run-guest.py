#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""run-guest.py METAPHRASE GUEST [--smp N] [--ends reset] [--cpu MODEL] [--peer-only]

Boot one bare-metal guest under Metaphrase and demand that every test passes; where
qemu-system-x86_64 is installed boot it there too and demand the same verdicts, but for what
DEVIATIONS lists with its reason.  Exit status: 0 good, 1 not, 77 nothing could be run."""
import argparse
import os
import re
import shutil
import resource
import subprocess
import sys

# (guest, test): why QEMU's TCG (seen with 7.2) answers otherwise than the manuals say.
DEVIATIONS = {
    ("paging64", "nx_is_reserved_without_nxe"): "reserved-bit faults lack the P bit in the error code",
    ("paging64", "reserved_bits_fault"): "reserved-bit faults lack the P bit in the error code",
    ("paging32", "pse_reserved_bit_faults"): "reserved-bit faults lack the P bit in the error code",
    ("paging32", "pdptes_are_loaded_with_cr3"): "reads PDPTEs at each walk",
    ("paging32", "reserved_bits_of_pdptes_fault_at_the_load"): "does not look at PDPTEs then",
    ("paging32", "paging_needs_protection"): "accepts CR0.PG without CR0.PE",
    ("window64", "addresses_that_are_not_canonical_are_protected"): "raises #GP instead of #SS",
    **{("window32", way + "_segments_have_bases_and_limits"): "checks no segment limits"
       for way in ("plain", "pae", "again")},
    ("vmi", "sysexit_faults_at_the_call"): "pushes EFLAGS without RF",
    ("paging64", "non_canonical_stack_accesses_are_stack_faults"): "raises #GP instead of #SS",
    ("protect32", "segment_limits_and_types"): "checks no segment limits",
    ("protect32", "v86_addresses_end_at_64k"): "checks no segment limits",
    ("protect32", "alignment_checks_need_am_ac_and_ring_3"): "has no alignment check",
    ("system64", "bases_must_be_canonical"): "does not check MSRs and WRFSBASE",
    ("system64", "syscall_clears_only_the_masked_flags"): "SYSCALL clears the arithmetic flags",
    ("system64", "syscall_of_compatibility_mode_uses_cstar"): "follows AMD there, we follow Intel",
    ("system64", "sysenter_and_sysexit"): "its model is AMD's: #UD",
    ("system64", "general_detect_guards_the_registers"): "has no DR7.GD",
    ("system64", "software_breakpoints"): "0xf1 is #UD",
    ("system64", "x87_errors_come_with_the_next_instruction"): "only FWAIT looks for errors",
    ("system64", "sse_errors_are_vector_19_or_ud"): "raises no SSE exceptions",
    ("system64", "unknown_msrs_fault"): "unknown MSRs read as 0",
    ("interrupts", "x87_errors_without_ne_come_as_irq_13"): "aborts by an assertion of its own",
    ("smc", "the_instruction_that_overwrites_itself_finishes_first"): "stops the REP there",
}

# The same of a KVM without VT-x and SVM (doc/KVM.md).  "-chips": with interrupt controllers in the kernel, where nothing is interpreted
# instead.
PARTIAL_KVM = {
    ("system64", "call_gates_of_64_bits"): "INT n of ring 3 is #UD",
    ("paging64", "rights_of_4k_pages"): "INT n of ring 3 is #UD",
    ("paging64", "rights_of_2m_pages"): "INT n of ring 3 is #UD",
    ("quick64", "the_task_priority_is_one_register"): "MOV to CR8 of the value it has leaves the low bits of the TPR",
    ("quick64", "nested_interrupts_end_in_order"): "sees late that interrupts may come",
    ("interrupts", "sti_delays_interrupts_by_one_instruction"): "sees late that interrupts may come",
    ("interrupts-chips", "sti_delays_interrupts_by_one_instruction"): "sees late that interrupts may come",
    ("interrupts-chips", "sysret_lets_a_pending_interrupt_in"): "SYSCALL of ring 3 ends in a page fault",
    ("kvmpv-chips", "tsc_writes_do_not_move_the_clock"): "takes any offset of the TSC and uses none",
    ("kvmpv", "tsc_writes_do_not_move_the_clock"): "the same, when it is not interpreted just then",
    ("kvmpv-chips", "steal_time_is_written"): "writes it when it enters the guest, and emulation is no entry",
    ("kvmpv-chips", "interrupts_end_in_memory"): "offers that when it enters the guest, and emulation is no entry",
}
# ... and what its guests must be told: a hypercall never comes back there (tests/hwaccel/test-kvm-host.c), be it one that is not offered.
# With all chips here it depends on the time whether KVM or the interpreter meets it (phases).
PARTIAL_KVM_APPEND = {"kvmpv-chips": "no-calls", "kvmpv": "no-calls"}

PASSED = 0x10 << 1 | 1            # isa-debug-exit's status for the code a good guest writes
FAILED = 0x11 << 1 | 1            # ...and one that found something
VERDICT = re.compile(r"^(ok|FAIL|skip) (\S+)(.*)$")


def run(program, guest, options, timeout):
    command = [program, *options, "-m", "64", "-smp", str(options_smp), "-kernel", guest,
               "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot",
               "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    command += ["-append", args.append] if args.append else []
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout)
        text, status = done.stdout.decode("latin-1"), done.returncode
    except subprocess.TimeoutExpired as late:
        text, status = (late.stdout or b"").decode("latin-1"), "timeout"
    verdicts = {}
    for line in text.replace("\r", "").splitlines():
        match = VERDICT.match(line)
        if match:
            verdicts[match.group(2)] = (match.group(1), line)
    return verdicts, status, text


def expected_status(ends):
    return 0 if ends == "reset" else PASSED


def judge(verdicts, status, text, ends):
    problems = [line for verdict, line in verdicts.values() if verdict == "FAIL"]
    if status != expected_status(ends):
        problems.append(f"exit status {status}, expected {expected_status(ends)}")
    if not verdicts or (ends != "reset" and "\ndone" not in text.replace("\r", "")):
        problems.append("the guest did not come to its end; last lines:")
        problems += text.splitlines()[-5:]
    return problems


def host_kvm(metaphrase, accel):
    """What `info accel` says of the host's KVM; the test is skipped where it cannot be had."""
    done = subprocess.run([metaphrase, "-M", "none", "-accel", accel, "-display", "none", "-monitor", "stdio"],
                          input=b"info accel\nquit\n", capture_output=True, check=False)
    if done.returncode != 0:
        print("skipped:", done.stderr.decode().strip())
        sys.exit(77)
    return done.stdout.decode()


def compare(guest, ours, peer):
    """Where the peer's verdict differs from ours and the table does not say so."""
    for name in sorted(set(ours) | set(peer)):
        a, b = ours.get(name, ("missing",))[0], peer.get(name, ("missing",))[0]
        if a == b or (guest, name) in DEVIATIONS or (a == "ok" and b == "skip"):
            continue
        yield f"{name}: {a} here, {b} under QEMU"


parser = argparse.ArgumentParser()
parser.add_argument("metaphrase")
parser.add_argument("guest")
parser.add_argument("--smp", type=int, default=1)
parser.add_argument("--ends", choices=["debug-exit", "reset"], default="debug-exit")
parser.add_argument("--accel", default="interpret")
parser.add_argument("--cpu")
parser.add_argument("--machine")
parser.add_argument("--stress", action="append", default=[])
parser.add_argument("--skips", metavar="TEST")     # which must be skipped
parser.add_argument("--append", help="the guest's command line")
parser.add_argument("--stats", metavar="REGEX", help="what -d stats must say at the end")
parser.add_argument("--stack", choices=["unlimited", "small"], help="what the C library makes threads' stacks of")
parser.add_argument("--no-skips", action="store_true")
parser.add_argument("--timeout", type=int, default=100)
parser.add_argument("--peer-only", action="store_true")
parser.add_argument("--no-peer", action="store_true")   # a guest on which TCG hangs
args = parser.parse_args()
if args.stack:
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (hard if args.stack == "unlimited" else 1 << 20, hard))
options_smp = args.smp
SLOWNESS = float(os.environ.get("METAPHRASE_TEST_SLOWNESS", "1"))
name = os.path.basename(args.guest).removesuffix(".elf")
qemu = None if args.no_peer else shutil.which("qemu-system-x86_64")
have_ours = os.path.exists(args.metaphrase) and not args.peer_only
if not have_ours and not qemu:
    sys.exit(77)

bad = False
ours = None
known = {}
on_kvm = name + ("-chips" if re.search("kernel-irqchip=(on|split)", args.accel) else "")
if have_ours and args.accel.startswith("kvm") and "on no VT-x and no SVM" in host_kvm(args.metaphrase, args.accel):
    known = PARTIAL_KVM
    args.append = PARTIAL_KVM_APPEND.get(on_kvm, args.append)
if have_ours:
    more = ["-cpu", args.cpu] if args.cpu else []
    more += ["-machine", args.machine] if args.machine else []
    more += ["-d", "stats"] if args.stats else []
    for knob in args.stress:
        more += ["--stress", knob]
    ours, status, text = run(args.metaphrase, args.guest, ["-accel", args.accel, *more],
                            args.timeout * SLOWNESS)
    for test in [test for test in ours if (on_kvm, test) in known]:
        print(f"kvm: {test}: {ours[test][0]}: known deviation: {known[on_kvm, test]}")
        status = PASSED if ours.pop(test)[0] == "FAIL" and status == FAILED else status
    problems = judge(ours, status, text, args.ends)
    skipped = [name for name, (verdict, _) in ours.items() if verdict == "skip"]
    if (args.no_skips and skipped) or (args.skips and args.skips not in skipped):
        problems.append(f"skipped are: {' '.join(skipped)}")
    if args.stats and not re.search(args.stats, text):
        problems.append(f"no {args.stats!r} in the statistics: {text[text.find('code cache:'):]}")
    bad = bool(problems)
    for line in problems:
        print(f"metaphrase: {line}")
    print(f"metaphrase: {sum(v == 'ok' for v, _ in ours.values())} ok, "
          f"{sum(v == 'skip' for v, _ in ours.values())} skipped, "
          f"{sum(v == 'FAIL' for v, _ in ours.values())} failed")
if qemu:
    peer, status, text = run(qemu, args.guest, ["-accel", "tcg", "-cpu", "max"], args.timeout * SLOWNESS)
    if ours is not None:
        differences = list(compare(name, ours, peer))
    else:
        differences = [line for v, line in peer.values()
                       if v == "FAIL" and (name, VERDICT.match(line).group(2)) not in DEVIATIONS]
        if status == "timeout":
            differences.append("timeout")
    for line in differences:
        print(f"qemu: {line}")
    for n, (v, _) in peer.items():
        if (name, n) in DEVIATIONS:
            print(f"qemu: {n}: {v}: known deviation: {DEVIATIONS[name, n]}")
    bad = bad or bool(differences)
sys.exit(1 if bad else 0)
