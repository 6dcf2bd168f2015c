# SPDX-License-Identifier: GPL-2.0-or-later
"""Python at work: numbers, text, files, processes, threads, signals.  Prints the same wherever it runs."""
import collections
import decimal
import functools
import hashlib
import itertools
import json
import mmap
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import zlib


@functools.lru_cache(None)
def partitions(n, k):
    return 1 if n == 0 else sum(partitions(n - i, i) for i in range(1, min(n, k) + 1))


def numbers():
    print("partitions", partitions(70, 70), "power", pow(3, 5000, 10**40 + 1))
    decimal.getcontext().prec = 60
    print("decimal", sum(decimal.Decimal(1) / (i * i) for i in range(1, 2000)))
    rng = random.Random(42)
    points = [rng.gauss(0, 1) for _ in range(4000)]
    print("gauss", repr(sum(points)), repr(max(points)), repr(sum(p ** 3 for p in points)))
    print("float", repr(functools.reduce(lambda a, b: a * 1.0000001 + b, map(float, range(5000)))))


def text():
    words = [hashlib.sha256(str(i).encode()).hexdigest()[:6] for i in range(3000)]
    counts = collections.Counter(re.sub(r"[0-9]+", "-", w) for w in words)
    print("words", counts.most_common(3), sorted(words)[::500])
    tree = {w: {"n": i, "list": list(range(i % 5))} for i, w in enumerate(words)}
    again = json.loads(json.dumps(tree, sort_keys=True))
    print("json", again == tree, hashlib.blake2b(json.dumps(again, sort_keys=True).encode()).hexdigest()[:32])
    packed = zlib.compress(" ".join(words).encode(), 9)
    print("zlib", zlib.crc32(packed), zlib.decompress(packed).decode().split() == words)


def files():
    with tempfile.TemporaryFile() as file:
        file.truncate(1 << 20)
        with mmap.mmap(file.fileno(), 1 << 20) as memory:
            for i in range(0, 1 << 20, 4096):
                struct.pack_into("<Q", memory, i, i * 2654435761)
            file.seek(40960)
            print("mmap", struct.unpack("<Q", file.read(8)), hashlib.md5(memory).hexdigest())


def processes():
    reader, writer = os.pipe()
    for i in range(6):
        if os.fork() == 0:
            os.write(writer, struct.pack("<II", i, sum(itertools.accumulate(range(i * 1000))) & 0xffffffff))
            os._exit(i)
    statuses = sorted(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(6))
    print("forks", statuses, sorted(struct.unpack("<II", os.read(reader, 8)) for _ in range(6)))
    done = subprocess.run([sys.executable, "-I", "-S", "-c", "print(sum(range(1000)))"], stdout=subprocess.PIPE, check=True)
    print("child", done.stdout)


def threads():
    lock, total, rang = threading.Lock(), [0], []
    signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)

    def work(k):
        for i in range(3000):
            with lock:
                total[0] += i * k

    team = [threading.Thread(target=work, args=(k,)) for k in range(5)]
    for t in team:
        t.start()
    for t in team:
        t.join()
    while not rang:
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("threads", total, "alarms", len(rang) > 0)


def recursion():
    def deep(n):
        return deep(n + 1) + 1

    try:
        deep(0)
    except RecursionError as error:
        print("recursion", type(error).__name__)


for part in numbers, text, files, processes, threads, recursion:
    part()
