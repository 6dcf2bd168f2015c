# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of gdb's remote protocol and a Metaphrase to talk to, for test-gdb.py."""
import os
import socket
import subprocess
import tempfile
import time

TIMEOUT = int(60 * float(os.environ.get("METAPHRASE_TEST_SLOWNESS", "1")))  # seconds for anything


def symbols(elf):
    """name -> address, by nm."""
    lines = subprocess.run(["nm", elf], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {f[2]: int(f[0], 16) for f in map(str.split, lines.splitlines()) if len(f) == 3}


def connect(path, process):
    deadline = time.monotonic() + TIMEOUT
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
            s.settimeout(TIMEOUT)
            return s
        except OSError:
            s.close()
            assert process.poll() is None, f"it ended with {process.returncode}"
            assert time.monotonic() < deadline, f"nobody listens on {path}"
            time.sleep(0.02)


class Gdb:
    """One connection."""

    def __init__(self, path, process, acks=False):
        self.socket = connect(path, process)
        self.buffer = b""
        self.acks = True
        self.features = self.ask("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+")
        if not acks:
            assert self.ask("QStartNoAckMode") == "OK"
            self.acks = False

    def close(self):
        self.socket.close()

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def byte(self):
        while not self.buffer:
            self.more()
        c, self.buffer = self.buffer[:1], self.buffer[1:]
        return c

    def raw(self, data):
        self.socket.sendall(data)

    def send(self, packet):
        data = packet if isinstance(packet, bytes) else packet.encode("latin-1")
        data = b"".join(b"}" + bytes([c ^ 0x20]) if c in b"#$}*" else bytes([c]) for c in data)
        self.raw(b"$" + data + b"#%02x" % (sum(data) & 255))
        if self.acks:
            c = self.byte()
            assert c == b"+", f"{packet!r} is answered by {c!r}"

    def receive(self):
        """The next packet, checked."""
        while True:
            start = self.buffer.find(b"$")
            end = self.buffer.find(b"#", start)
            if start >= 0 and 0 <= end <= len(self.buffer) - 3:
                break
            self.more()
        data, given = self.buffer[start + 1:end], self.buffer[end + 1:end + 3]
        assert b"%02x" % (sum(data) & 255) == given, data
        self.buffer = self.buffer[end + 3:]
        if self.acks:
            self.raw(b"+")
        out, escaped = bytearray(), False
        for c in data:
            if escaped or c != ord("}"):
                out.append(c ^ 0x20 if escaped else c)
            escaped = not escaped and c == ord("}")
        return out.decode("latin-1")

    def ask(self, packet):
        self.send(packet)
        return self.receive()

    def interrupt(self):
        self.raw(b"\x03")
        return self.receive()

    # -- What tests want to know

    def read(self, address, size=8):
        """An integer in memory."""
        answer = self.ask(f"m{address:x},{size:x}")
        assert len(answer) == 2 * size, answer
        return int.from_bytes(bytes.fromhex(answer), "little")

    def write(self, address, value, size=8):
        assert self.ask(f"M{address:x},{size:x}:{value.to_bytes(size, 'little').hex()}") == "OK"

    def register(self, n):
        return int.from_bytes(bytes.fromhex(self.ask(f"p{n:x}")), "little")

    def set_register(self, n, value, size=8):
        return self.ask(f"P{n:x}={value.to_bytes(size, 'little').hex()}")

    def monitor(self, line):
        """Output of a monitor command."""
        self.send("qRcmd," + line.encode().hex())
        text = ""
        while True:
            answer = self.receive()
            if not answer.startswith("O") or answer == "OK":
                assert answer == "OK", answer
                return text
            text += bytes.fromhex(answer[1:]).decode()


class Machine:
    """Metaphrase with a gdb stub on a unix socket."""

    def __init__(self, metaphrase, *options):
        self.dir = tempfile.TemporaryDirectory(prefix="metaphrase-gdb-")
        self.path = os.path.join(self.dir.name, "gdb")
        self.process = subprocess.Popen(
            [metaphrase, "-display", "none", "-monitor", "none", "-serial", "none",
             "-gdb", f"unix:{self.path}", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def gdb(self, **more):
        return Gdb(self.path, self.process, **more)

    def wait(self):
        text = self.process.communicate(timeout=TIMEOUT)[0].decode("latin-1")
        return self.process.returncode, text

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.dir.cleanup()
