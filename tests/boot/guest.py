# SPDX-License-Identifier: GPL-2.0-or-later
"""One Metaphrase process under test: start it, talk to its serial line and monitor, judge its end.

A case calls start() and the methods below; whatever it leaves running is killed by cleanup(), which
the runner calls.  Every wait is bounded, and the bounds are multiplied by $METAPHRASE_TEST_SLOWNESS
(1) for slow or crowded machines."""
import fcntl
import os
import re
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(TOP, ".cache")
HERE = os.path.dirname(os.path.abspath(__file__))
METAPHRASE = os.environ.get("METAPHRASE", os.path.join(TOP, "build", "metaphrase"))
SLOWNESS = float(os.environ.get("METAPHRASE_TEST_SLOWNESS", "1"))
BOOT = 200           # seconds from the start to a shell, at worst
STEP = 60            # seconds for a command in the guest
INIT_LINE = "metaphrase: init reached"
PROMPT = r"/root # "

started = []         # every Guest, for cleanup()
scratch = []         # every temporary directory


class Failed(Exception):
    """The case found something wrong."""


class Skip(Exception):
    """The case cannot run here, with its reason."""


def check(good, what):
    if not good:
        raise Failed(what)


def check_equal(got, wanted, what):
    check(got == wanted, f"{what}: {got!r}, expected {wanted!r}")


def need_tool(name):
    """The path of a host program, with the system directories that are not everybody's PATH."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if path is None:
        raise Skip(f"{name} is not installed")
    return path


def tool(*command, status=0, **more):
    """Run a host program; its output."""
    done = subprocess.run([need_tool(command[0]), *command[1:]], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120 * SLOWNESS, check=False, **more)
    check(status is None or done.returncode == status,
          f"{' '.join(command)}: status {done.returncode}\n{done.stdout}")
    return done.stdout


def scratch_dir():
    directory = tempfile.mkdtemp(prefix="metaphrase-boot-")
    scratch.append(directory)
    return directory


# -- Guests of .cache ------------------------------------------------------------------------------

def cached(name, path):
    """A file of a guest that scripts/fetch-guest.sh fetched."""
    full = os.path.join(CACHE, name, path)
    if not os.path.exists(full):
        raise Skip(f"{name} is not there: scripts/fetch-guest.sh {name}")
    return full


def newest(paths):
    return max(os.stat(p).st_mtime for p in paths)


def initramfs(name="cloud-amd64"):
    """The initramfs for a kernel: made once and again when something it is made of changes."""
    maker = os.path.join(TOP, "scripts", "make-initramfs.sh")
    overlay = os.path.join(HERE, "overlay")
    tree = cached(name, "root")
    options = ["-m", tree, "-a", overlay]
    if name == "686-pae":
        options += ["-b", cached("busybox-i386", "busybox")]
    else:
        need_tool("busybox")
    need_tool("cpio")
    need_tool("depmod")
    inputs = [maker, cached(name, ".complete")]
    for directory, _, files in os.walk(overlay):
        inputs += [directory, *(os.path.join(directory, f) for f in files)]
    os.makedirs(os.path.join(CACHE, "boot"), exist_ok=True)
    image = os.path.join(CACHE, "boot", f"initramfs-{name}.cpio.gz")
    with open(image + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(image) or os.stat(image).st_mtime < newest(inputs):
            tool("sh", maker, *options, image + ".new",
                 env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
            os.rename(image + ".new", image)
    return image


def linux(*options, append="", name="cloud-amd64", kernel=None, initrd=True):
    """The options that boot Linux directly."""
    command = ["-kernel", kernel or cached(name, "vmlinuz")]
    if initrd:
        command += ["-initrd", initramfs(name)]
    return [*command, "-append", ("console=ttyS0 quiet " + append).strip(), *options]


# -- Processes -------------------------------------------------------------------------------------

class Guest:
    """A running Metaphrase.  `text` is everything its serial line (or terminal) said so far."""

    def __init__(self, options, monitor=True, serial="stdio", terminal=None, stdin=None):
        self.dir = scratch_dir()
        self.text = ""
        self.seen = 0                  # expect() looks from here on
        self.errors_path = os.path.join(self.dir, "stderr")
        self.monitor_path = os.path.join(self.dir, "monitor")
        self.monitor_socket = None
        self.fd_out = self.fd_in = None
        engine = os.environ.get("METAPHRASE_ACCEL")      # the tests' own runs say none
        command = [METAPHRASE, *(["-accel", engine] if engine else []), *options]
        if "-nographic" not in options:
            command += ["-display", "none"]
        if serial is not None:
            command += ["-serial", serial]
        if monitor:
            command += ["-monitor", f"unix:{self.monitor_path},server=on,wait=off"]
        self.command = command
        with open(self.errors_path, "wb") as errors:
            if terminal is not None:   # (master, slave) of a pseudo terminal
                self.process = subprocess.Popen(command, stdin=terminal[1], stdout=terminal[1],
                                                stderr=errors)
                self.fd_out = self.fd_in = terminal[0]
            else:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.PIPE if stdin is None else stdin,
                    stdout=subprocess.PIPE, stderr=errors)
                self.fd_out = self.process.stdout.fileno()
                self.fd_in = self.process.stdin.fileno() if stdin is None else None
        os.set_blocking(self.fd_out, False)
        started.append(self)

    # -- The serial line

    def read_some(self, seconds):
        """What is there within the time; False at end of file."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.fd_out, selectors.EVENT_READ)
            if not selector.select(max(seconds, 0)):
                return True
        try:
            data = os.read(self.fd_out, 65536)
        except BlockingIOError:
            return True
        except OSError:                # a pseudo terminal whose other end is gone
            return False
        self.text += data.decode("latin-1").replace("\r", "")
        return data != b""

    def expect(self, pattern, timeout=STEP):
        """Wait until the pattern appears after what was expected before; the match."""
        deadline = time.monotonic() + timeout * SLOWNESS
        regex = re.compile(pattern, re.MULTILINE)
        while True:
            match = regex.search(self.text, self.seen)
            if match:
                self.seen = match.end()
                return match
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failed(f"no {pattern!r} within {timeout * SLOWNESS:.0f} s")
            if not self.read_some(min(left, 1)):
                match = regex.search(self.text, self.seen)
                if match:
                    self.seen = match.end()
                    return match
                raise Failed(f"it ended (status {self.process.wait()}) before {pattern!r}")

    def send(self, text):
        os.write(self.fd_in, text.encode("latin-1"))

    def close_input(self):
        self.process.stdin.close()
        self.fd_in = None

    def shell(self, timeout=BOOT):
        """Wait for the shell."""
        self.expect(INIT_LINE, timeout)
        self.expect(PROMPT, timeout)

    def run(self, command, timeout=STEP, status=0):
        """Run a command in the guest's shell; what it printed."""
        begin = self.seen
        self.send(f'{command}; echo "<$?>"\n')
        match = self.expect(r"^<(\d+)>$", timeout)
        self.expect(PROMPT, timeout)
        text = self.text[begin:match.start()]
        text = text.partition("\n")[2]
        if status is not None:
            check(int(match.group(1)) == status, f"{command}: status {match.group(1)}: {text}")
        return text

    def script(self, name, timeout=BOOT + STEP):
        """Wait for the end of the script that metaphrase.run=NAME started; what it printed."""
        begin = self.expect(INIT_LINE, timeout).end()
        match = self.expect(rf"^metaphrase: {name} ended with status (\d+)$", timeout)
        text = self.text[begin:match.start()]
        check(match.group(1) == "0", f"the script {name} failed with {match.group(1)}: {text}")
        return text

    # -- The monitor

    def monitor(self, line, timeout=STEP):
        """A command of the human monitor; its answer without echo and prompt."""
        if self.monitor_socket is None:
            self.monitor_socket = connect(self.monitor_path, self.process)
            self.monitor_read(timeout)
        self.monitor_socket.sendall(line.encode() + b"\n")
        answer = self.monitor_read(timeout)
        return answer.partition("\n")[2]

    def monitor_read(self, timeout):
        text = b""
        self.monitor_socket.settimeout(timeout * SLOWNESS)
        while not text.endswith(b"(metaphrase) ") and not text.endswith(b"(qemu) "):
            try:
                data = self.monitor_socket.recv(65536)
            except TimeoutError as late:
                raise Failed(f"the monitor does not answer: {text!r}") from late
            except ConnectionError:
                break
            if not data:
                break
            text += data
        text = text.decode("utf-8", "replace").replace("\r", "")
        return re.sub(r"\n?\([a-z]+\) $", "", text)

    # -- The end

    def errors(self):
        with open(self.errors_path, encoding="latin-1") as f:
            return f.read()

    def wait(self, status=0, timeout=STEP):
        """Wait for the end of the process, reading what it still says."""
        deadline = time.monotonic() + timeout * SLOWNESS
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise Failed(f"it does not end within {timeout * SLOWNESS:.0f} s")
            if not self.read_some(0.1):
                time.sleep(0.02)
        while True:
            size = len(self.text)
            if not self.read_some(0) or len(self.text) == size:
                break
        check(status is None or self.process.returncode == status,
              f"exit status {self.process.returncode}, expected {status}")
        return self.process.returncode

    def poweroff(self):
        self.send("poweroff -f\n")
        self.wait(0)

    def cpu_seconds(self):
        """Host CPU time of the process so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def report(self):
        print(f"-- {' '.join(self.command)}")
        print("-- its line said (the last 4000 characters):")
        print(self.text[-4000:])
        print("-- its standard error:")
        print(self.errors()[-4000:])


def start(*options, **more):
    return Guest(list(options), **more)


def connect(path, process=None, timeout=STEP):
    """Connect to a unix socket that a process is about to open."""
    deadline = time.monotonic() + timeout * SLOWNESS
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
            return s
        except OSError as e:
            s.close()
            if process is not None and process.poll() is not None:
                raise Failed(f"{path}: the process ended with {process.returncode}") from e
            if time.monotonic() > deadline:
                raise Failed(f"{path}: {e}") from e
            time.sleep(0.05)


def cleanup(failed):
    for guest in started:
        if failed:
            guest.report()
        guest.kill()
    for directory in scratch:
        shutil.rmtree(directory, ignore_errors=True)


# -- The runner ------------------------------------------------------------------------------------

def main(cases):
    """Run the case that the command line names: exit 0 good, 1 failed, 77 skipped."""
    if len(sys.argv) != 2 or sys.argv[1] not in cases:
        print(f"usage: {sys.argv[0]} {'|'.join(sorted(cases))}", file=sys.stderr)
        return 2
    result, failed, begin = 0, False, time.monotonic()
    try:
        if not os.access(METAPHRASE, os.X_OK):
            raise Skip(f"{METAPHRASE} is not built")
        cases[sys.argv[1]]()
    except Skip as reason:
        print(f"skipped: {reason}")
        result = 77
    except Failed as reason:
        print(f"failed: {reason}")
        result, failed = 1, True
    except BaseException:
        failed = True
        raise
    finally:
        cleanup(failed)
    if result == 0:
        print(f"ok, {time.monotonic() - begin:.1f} s")
    return result
