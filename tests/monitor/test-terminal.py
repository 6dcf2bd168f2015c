#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""On a terminal: -nographic is raw while it runs, Ctrl-A keys work, and every kind of exit restores it.

usage: test-terminal.py METAPHRASE"""
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time

metaphrase = sys.argv[1]
TIMEOUT = 20 * float(os.environ.get("METAPHRASE_TEST_SLOWNESS", "1"))


def session(act, expected_status):
    """Run machine none on a new terminal; act(process, send, expect); the terminal must come back."""
    leader, side = pty.openpty()
    before = termios.tcgetattr(side)
    process = subprocess.Popen([metaphrase, "-M", "none", "-nographic"], stdin=side, stdout=side,
                               stderr=side)
    seen = bytearray()

    def expect(text):
        end = time.monotonic() + TIMEOUT
        while text not in seen:
            ready, _, _ = select.select([leader], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {text!r} in {bytes(seen)!r}")
            seen.extend(os.read(leader, 4096))
        del seen[:seen.index(text) + len(text)]

    expect(b"(qemu) ")
    assert not termios.tcgetattr(side)[3] & termios.ICANON, "the terminal is not raw"
    act(process, lambda text: os.write(leader, text), expect)
    status = process.wait(timeout=TIMEOUT)
    assert status == expected_status, f"status {status}, not {expected_status}"
    assert termios.tcgetattr(side) == before, "the terminal is not restored"
    os.close(leader)
    os.close(side)


def quit_command(process, send, expect):
    send(b"info status\r")
    expect(b"VM status: running")
    send(b"nonsense\r")
    expect(b"unknown command: 'nonsense'")
    send(b"qx\x7fuit\r")


def terminate(process, send, expect):
    process.send_signal(signal.SIGTERM)
    expect(b"terminating on signal 15 from pid")


def abort(process, send, expect):
    process.send_signal(signal.SIGABRT)


session(quit_command, 0)
session(terminate, 0)
session(abort, -signal.SIGABRT)
print("3 sessions as they should be")
