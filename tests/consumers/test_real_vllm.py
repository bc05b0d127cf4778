"""vLLM's tiers with the --kv-transfer-config that we export, on a CPU: its configuration, its spec and its files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aio_tuned.consumers import vllm
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.merge.apply import merge
from aio_tuned.consumers.rendering import render
from consumers.packages import package_python
from consumers.scripts import answer
from unit.support.consumer_settings import drive
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

# A model of one layer whose blocks have 1 MiB; what vLLM's engine would tell the spec.
SCRIPT = """
import json, os, sys, threading, time
import numpy as np
from vllm.config.kv_transfer import KVTransferConfig
from vllm.v1.kv_offload.base import ReqContext, make_offload_key
from vllm.v1.kv_offload.config import (
    OffloadingCacheConfig, OffloadingConfig, OffloadingGroupConfig, OffloadingModelConfig, OffloadingParallelConfig,
)
from vllm.v1.kv_offload.factory import OffloadingSpecFactory
from vllm.v1.kv_offload.tiering.base import TransferJob

with open(sys.argv[1]) as file:
    given = KVTransferConfig(**json.load(file))
size = 1 << 20
spec = OffloadingSpecFactory.create_spec(OffloadingConfig(
    groups=(OffloadingGroupConfig(tokens_per_block=16, layer_names=("layer",), group_id=0),),
    worker_kv_bytes_per_block=size,
    enable_kv_cache_events=False,
    extra_config=given.kv_connector_extra_config,
    engine_id=f"aio-tuned-test-{os.getpid()}",
    model=OffloadingModelConfig(name="model", dtype="float16"),
    cache=OffloadingCacheConfig(tokens_per_hash=16, blocks_per_chunk=1),
    parallel=OffloadingParallelConfig(
        rank=0, world_size=1, tp_size=1, pp_size=1, pcp_size=1, dcp_size=1, data_parallel_index=0,
        data_parallel_size=1, data_parallel_rank_local=None, is_parallelism_agnostic=True,
    ),
))
manager = spec.get_manager()
try:
    names = [thread.name for thread in threading.enumerate()]
    (tier,) = manager.secondary_tiers
    view = tier._primary_kv_view.cast("B")
    data = os.urandom(size)
    view[:size] = data

    def run(number, submit, chunk, load):
        keys = [make_offload_key(b"x" * 32, 0)]
        submit(TransferJob(number, keys, np.array([chunk]), load, ReqContext("request")))
        until = time.monotonic() + 30
        while time.monotonic() < until:
            for result in tier.get_finished_jobs():
                return result.success
            time.sleep(0.01)

    stored, loaded = run(1, tier.submit_store, 0, False), run(2, tier.submit_load, 1, True)
    print(json.dumps({
        "connector": [given.kv_connector, given.is_kv_producer, given.is_kv_consumer],
        "spec": type(spec).__name__,
        "tier": type(tier).__name__,
        "readers": sum(name.startswith("vllm_kv_py_fs_l") for name in names),
        "writers": sum(name.startswith("vllm_kv_py_fs_s") for name in names),
        "stored": stored,
        "loaded": loaded,
        "same": bytes(view[size : 2 * size]) == data,
    }))
finally:
    manager.shutdown()
"""
DRIVE = drive(curves=(curve("psync", "read", {2 << 20: 7}), curve("psync", "write", {2 << 20: 3})))


def test_vllm_runs_as_many_readers_and_writers_as_we_export(tmp_path: Path) -> None:
    python = package_python("vllm")
    folder = tmp_path / "cache"
    # As a person would: the export, and then what it says that vLLM needs besides.
    config = json.loads(render(vllm.export(DRIVE, str(folder), ExportOptions())))
    config["kv_connector_extra_config"]["cpu_bytes_to_use"] = 16 << 20
    file = tmp_path / "kv.json"
    file.write_text(json.dumps(config))
    said: dict[str, Any] = answer(python, SCRIPT, file)
    assert said["connector"] == ["OffloadingConnector", True, True]
    assert said["spec"] == "TieringOffloadingSpec"
    assert said["tier"] == "FileSystemTierManager"
    assert (said["readers"], said["writers"]) == (7, 3)
    assert said["stored"] is True
    assert said["loaded"] is True
    assert said["same"]
    assert [path.stat().st_size for path in folder.rglob("*.bin")] == [1 << 20]


def test_a_configuration_that_has_the_tier_keeps_the_rest(tmp_path: Path) -> None:
    python = package_python("vllm")
    folder = tmp_path / "cache"
    before = {
        "kv_connector": "OffloadingConnector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": {
            "cpu_bytes_to_use": 16 << 20,
            "spec_name": "TieringOffloadingSpec",
            "secondary_tiers": [{"type": "fs", "root_dir": str(folder), "n_read_threads": 64}],
        },
    }
    file = tmp_path / "kv.json"
    file.write_text(merge(vllm.export(DRIVE, str(folder), ExportOptions()), json.dumps(before), "kv.json"))
    said = answer(python, SCRIPT, file)
    assert (said["readers"], said["writers"]) == (7, 3)
