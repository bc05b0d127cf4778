"""A consumer's environment whose package is planted: a deepspeed that moves real bytes, as fast as a test says.

It is a real interpreter, which runs aio-tuned's real driver; only the packages torch and deepspeed are stand-ins. The
rate of a handle comes from the variable DS_PLANTED, a JSON object of bytes/s by queue depth, with 2 % of noise.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

VERSION = "9.9.9"

_TORCH = """
uint8 = "uint8"

def empty(count, dtype):
    return None
"""

_DEEPSPEED = '''
import json, mmap, os, random, subprocess, threading, time
from concurrent.futures import ThreadPoolExecutor

class Tensor:
    def __init__(self, size):
        self.data = mmap.mmap(-1, size)

    def random_(self, low, high):
        for at in range(0, len(self.data), 1 << 20):
            self.data[at:at + (1 << 20)] = os.urandom(min(1 << 20, len(self.data) - at))

class Handle:
    """Each thread moves its part, a block at a time; the rest of the planted time it sleeps."""

    def __init__(self, block, depth, single, overlap, threads):
        self.block, self.depth = block, depth
        self.threads = 1 if os.environ.get("DS_PLANTED_ONE_THREAD") else threads
        self.flags = 0 if os.environ.get("DS_PLANTED_BUFFERED") else os.O_DIRECT
        self.rate = json.loads(os.environ["DS_PLANTED"])[str(depth)]
        # The threads stay as long as the handle, as those of the real one do.
        self.pool, self.together = ThreadPoolExecutor(self.threads), threading.Barrier(self.threads)

    def new_cpu_locked_tensor(self, size, like):
        return Tensor(size)

    def pread(self, tensor, path, validate, asynchronous):
        return self.move(tensor, path, os.O_RDONLY, lambda fd, part, at: os.preadv(fd, [part], at))

    def pwrite(self, tensor, path, validate, asynchronous):
        return self.move(tensor, path, os.O_WRONLY | os.O_CREAT, lambda fd, part, at: os.pwritev(fd, [part], at))

    def move(self, tensor, path, flags, transfer):
        self.end = time.perf_counter() + len(tensor.data) / self.rate * random.gauss(1, 0.02)
        view, size = memoryview(tensor.data), len(tensor.data) // self.threads
        fd = os.open(path, flags | self.flags, 0o600)
        def part(number):
            self.together.wait()  # so that each part has a thread of its own
            for at in range(number * size, (number + 1) * size, self.block):
                transfer(fd, view[at:at + min(self.block, (number + 1) * size - at)], at)
        self.parts, self.fd = [self.pool.submit(part, number) for number in range(self.threads)], fd
        return 0

    def wait(self):
        for part in self.parts: part.result()
        time.sleep(max(0, self.end - time.perf_counter()))
        os.close(self.fd)
        return 1

class AsyncIOBuilder:
    def load(self, verbose=True):
        if os.environ.get("DS_PLANTED_BUILDS"):
            subprocess.run(["sleep", os.environ["DS_PLANTED_BUILDS"]])
        return self

    aio_handle = staticmethod(Handle)
'''


def interpreter() -> Path:
    """Return the system's interpreter if every user may run it, else this one."""
    system = Path("/usr/bin/python3")
    return system.resolve() if system.exists() else Path(sys.executable)


def plant(folder: Path) -> Path:
    """Make the environment in the folder; return its interpreter."""
    subprocess.run([interpreter(), "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (packages,) = (folder / "venv/lib").glob("python3*/site-packages")
    (packages / "torch.py").write_text(_TORCH)
    (packages / "deepspeed/ops").mkdir(parents=True)
    (packages / "deepspeed/__init__.py").write_text("")
    (packages / "deepspeed/ops/__init__.py").write_text("")
    (packages / "deepspeed/ops/op_builder.py").write_text(_DEEPSPEED)
    about = packages / f"deepspeed-{VERSION}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: deepspeed\nVersion: {VERSION}\n")
    (about / "top_level.txt").write_text("deepspeed\n")
    return folder / "venv/bin/python"
