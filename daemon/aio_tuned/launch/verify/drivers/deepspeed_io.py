"""DeepSpeed's aio_handle: one handle, one pinned tensor, one file."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

from aio_tuned.launch.verify.drivers.protocol import DATA, Consumer, reserved_requests, serve

if TYPE_CHECKING:
    from pathlib import Path


class DeepSpeed(Consumer):
    """The transfers of a handle that is made as DeepSpeed's swappers make it."""

    module = "deepspeed"

    def configure(self, folder: Path, size: int, values: dict[str, Any]) -> dict[str, Any]:
        """Make the handle and a tensor of that size; the operator is built if it was never used before."""
        torch = importlib.import_module("torch")
        operator = importlib.import_module("deepspeed.ops.op_builder").AsyncIOBuilder().load(verbose=False)
        threads = values.get("aio.intra_op_parallelism", values.get("aio.thread_count"))
        before = reserved_requests()
        self._handle = operator.aio_handle(
            values["aio.block_size"],
            values["aio.queue_depth"],
            values["aio.single_submit"],
            values["aio.overlap_events"],
            threads,
        )
        self._tensor = self._handle.new_cpu_locked_tensor(size, torch.empty(0, dtype=torch.uint8))
        self._tensor.random_(0, 256)
        self.folder = folder
        self._path = str(folder / DATA)
        self._bytes = size
        return {"count_before": before}

    def run(self, direction: str) -> tuple[int, float]:
        """Move the tensor to the file or back."""
        move = self._handle.pread if direction == "read" else self._handle.pwrite
        begun = time.perf_counter()
        if move(self._tensor, self._path, False, True) == -1:
            raise OSError(f"the handle refused to {direction} {self._bytes} bytes")
        self._handle.wait()
        return self._bytes, time.perf_counter() - begun


if __name__ == "__driver__":
    serve(DeepSpeed())
