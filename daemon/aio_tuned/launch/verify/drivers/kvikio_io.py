"""KvikIO's CuFile with a buffer in host memory; its settings are in the environment of the process."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

from aio_tuned.launch.verify.drivers.protocol import DATA, Consumer, serve

if TYPE_CHECKING:
    from pathlib import Path


class Kvikio(Consumer):
    """Reads and writes of one file, divided into tasks by KvikIO."""

    module = "kvikio"
    # Without direct I/O a write ends in the page cache.
    durable = True

    def configure(self, folder: Path, size: int, values: dict[str, Any]) -> dict[str, Any]:
        """Make the buffer; raise ValueError if KvikIO's settings are not the values."""
        self._kvikio = importlib.import_module("kvikio")
        defaults = importlib.import_module("kvikio.defaults")
        for key, name in (("KVIKIO_NTHREADS", "num_threads"), ("KVIKIO_TASK_SIZE", "task_size")):
            if (found := defaults.get(name)) != values[key]:
                raise ValueError(f"{key} = {values[key]}, but KvikIO has {found}")
        numpy = importlib.import_module("numpy")
        self._buffer = numpy.random.default_rng().integers(0, 256, size, dtype=numpy.uint8)
        self.folder = folder
        self._path = str(folder / DATA)
        self._bytes = size
        return {}

    def run(self, direction: str) -> tuple[int, float]:
        """Move the buffer to the file or back."""
        # "r+" keeps the file's blocks; "w" would truncate it, and each write would then extend it.
        with self._kvikio.CuFile(self._path, "r" if direction == "read" else "r+") as file:
            begun = time.perf_counter()
            moved = (file.pread if direction == "read" else file.pwrite)(self._buffer).get()
            seconds = time.perf_counter() - begun
        if moved != self._bytes:
            raise OSError(f"KvikIO moved {moved} of {self._bytes} bytes")
        return self._bytes, seconds


if __name__ == "__driver__":
    serve(Kvikio())
