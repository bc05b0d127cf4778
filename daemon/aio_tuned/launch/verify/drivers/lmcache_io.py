"""LMCache's cache on local disks: chunks that are put into its LocalDiskBackend and taken from it."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from aio_tuned.launch.verify.drivers.protocol import Consumer, serve

if TYPE_CHECKING:
    from pathlib import Path

# A chunk of 256 tokens of a model with 32 layers of 8 heads of 128 values in 16 bits; the shape has the same bytes.
_LAYERS, _TOKENS, _HIDDEN = 4, 256, 8192
_CHUNK_BYTES = 2 * _LAYERS * _TOKENS * _HIDDEN * 2
_PATIENCE_S = 300.0


class Lmcache(Consumer):
    """The chunks of one worker, each a file."""

    module = "lmcache"
    # Without use_odirect a put ends in the page cache.
    durable = True

    def configure(self, folder: Path, size: int, values: dict[str, Any]) -> dict[str, Any]:
        """Make the storage, as LMCache's engine makes it, and the chunks in host memory."""
        torch = importlib.import_module("torch")
        make_key = importlib.import_module("lmcache.utils").CacheEngineKey
        form = importlib.import_module("lmcache.v1.memory_management").MemoryFormat.KV_2LTD
        self._dtype = torch.bfloat16
        self.folder = folder / str(os.getpid())
        count = size // _CHUNK_BYTES
        config = importlib.import_module("lmcache.v1.config").LMCacheEngineConfig.from_dict(
            {
                "local_disk": str(self.folder),
                "max_local_disk_size": 1024.0,  # GiB; nothing is evicted
                "local_cpu": False,
                "max_local_cpu_size": 3 * count * _CHUNK_BYTES / (1 << 30),
                "extra_config": {
                    "disk_io_threads": values["extra_config.disk_io_threads"],
                    "use_odirect": values["extra_config.use_odirect"],
                },
            }
        )
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        about = importlib.import_module("lmcache.v1.metadata").LMCacheMetadata(
            "model", 1, 1, 0, 0, self._dtype, (_LAYERS, 2, _TOKENS, _HIDDEN // 128, 128), role="worker"
        )
        storage = importlib.import_module("lmcache.v1.storage_backend").CreateStorageBackends(
            config, about, loop, "cpu"
        )
        self._disk = storage["LocalDiskBackend"]
        shape = torch.Size((2, _LAYERS, _TOKENS, _HIDDEN))
        self._chunks = [storage["LocalCPUBackend"].allocate(shape, self._dtype, form) for _ in range(count)]
        for chunk in self._chunks:
            chunk.tensor.copy_(torch.randn(shape).to(self._dtype))
        self._keys = [make_key("model", 1, 0, number, self._dtype) for number in range(1, count + 1)]
        return {}

    def run(self, direction: str) -> tuple[int, float]:
        """Put all chunks, which are not on the disk then, or get them all."""
        moved = len(self._chunks) * _CHUNK_BYTES
        if direction == "read":
            begun = time.perf_counter()
            found = self._disk.batched_get_blocking(self._keys)
            seconds = time.perf_counter() - begun
            if any(chunk is None for chunk in found):
                raise OSError("LMCache did not find its chunks")
            for chunk in found:
                chunk.ref_count_down()
            return moved, seconds
        for key in self._keys:
            self._disk.remove(key)
        left = threading.Semaphore(0)
        begun = time.perf_counter()
        self._disk.batched_submit_put_task(self._keys, self._chunks, on_complete_callback=lambda _: left.release())
        for _ in self._keys:
            if not left.acquire(timeout=_PATIENCE_S):
                raise OSError("LMCache did not store its chunks")
        return moved, time.perf_counter() - begun


if __name__ == "__driver__":
    try:
        serve(Lmcache())
    finally:
        os._exit(0)  # LMCache's threads do not end by themselves
