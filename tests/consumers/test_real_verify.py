"""`aio-tuned verify` with the consumers' own packages: each does its own I/O, and the options are seen in effect."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.devices import identity, resolve
from aio_tuned.model.profile import Unmeasured
from consumers.packages import package_python
from consumers.stubs import library
from consumers.test_real_deepspeed import environment as deepspeed_environment
from consumers.test_real_kvikio import DRIVER, VERSIONS
from daemon.publishing import publish
from processes import aio_tuned, environment_with
from unit.support import builders
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from storage import Filesystem

MIB = 1 << 20
CURVES = (curve("psync", "read", {4 * MIB: 6}), curve("psync", "write", {4 * MIB: 3}))


def verify(tmp_path: Path, folder: Path, consumer: str, python: Path, **environment: str) -> dict[str, Any]:
    """The document of a short comparison, for settings of depth 32 in two threads."""
    etc = tmp_path / "etc"
    etc.mkdir()
    config = tmp_path / "aio-tuned.conf"
    config.write_text(
        f'[paths]\nprofiles = "{etc}"\nstate = "{tmp_path}/state"\n'
        '[safety]\nmin_free = "16M"\n[throttle]\nbusy_bytes_per_s = "100G"\nbusy_requests_per_s = 0\n'
    )
    setting = builders.setting(depth=32, threads=2)
    publish(
        folder,
        etc,
        read=builders.result(setting=setting),
        write=builders.result(setting=setting),
        combined=Unmeasured(setting=setting),
        curves=CURVES,
        fingerprint=identity.fingerprint(resolve.device(resolve.resolve(folder)), "ext4", os.uname().release),
    )
    words = ("--consumer", consumer, "--python", str(python), "--time-budget", "15s", "--json")
    done = subprocess.run(
        aio_tuned(config, "verify", folder, *words),
        capture_output=True,
        text=True,
        check=False,
        env=environment_with(environment),
        timeout=1100,
    )
    # 75: the machine of the tests may be too noisy for a result within so short a time.
    assert done.returncode in (0, 75), done.stderr
    assert [path.name for path in folder.iterdir() if path.name != "lost+found"] == []
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["stand_in"] is False
    assert min(found["pairs"].values()) >= 3
    assert found["verdict"]["read_bytes_per_s"] > 0
    return found


def seen(found: dict[str, Any], side: str, direction: str) -> dict[str, Any]:
    (one,) = (each for each in found["in_effect"] if (each["side"], each["direction"]) == (side, direction))
    result: dict[str, Any] = one["seen"]
    return result


@pytest.mark.timeout(1200)
def test_deepspeeds_handle_is_compared(filesystem: Callable[..., Filesystem], tmp_path: Path) -> None:
    python = package_python("deepspeed")
    found = verify(tmp_path, filesystem().path, "deepspeed", python, **deepspeed_environment())
    assert found["verdict"]["version"].startswith("0.19.")
    assert "aio.intra_op_parallelism=2" in found["verdict"]["setting"]
    for side, threads, depth in (("default", 1, 8), ("ours", 2, 32)):
        for direction in ("read", "write"):
            effect = seen(found, side, direction)
            # None if the transfers were over before anybody looked.
            assert effect["direct"] in (None, True)
            assert (effect["cached"], effect["threads"]) == (0, threads)
            assert effect["depth"] in (None, depth)  # None if other processes made queues in that moment


@pytest.mark.timeout(600)
def test_kvikio_is_compared(filesystem: Callable[..., Filesystem], tmp_path: Path) -> None:
    python = package_python("kvikio")
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    library("".join(f"int cu{name}{v}(void){{return 0;}}" for name in DRIVER for v in VERSIONS), stubs / "libcuda.so.1")
    extra = {"LD_LIBRARY_PATH": str(stubs), "KVIKIO_COMPAT_MODE": "ON"}
    found = verify(tmp_path, filesystem().path, "kvikio", python, **extra)
    assert found["verdict"]["version"].startswith("26.")
    # By default it reads through the page cache, in one thread.
    assert seen(found, "default", "read")["cached"] > 0.9
    assert seen(found, "ours", "read")["cached"] == 0
    assert seen(found, "ours", "read")["threads"] == 6


@pytest.mark.timeout(600)
def test_lmcache_is_compared(filesystem: Callable[..., Filesystem], tmp_path: Path) -> None:
    python = package_python("lmcache")
    found = verify(tmp_path, filesystem().path, "lmcache", python)
    assert found["verdict"]["version"].startswith("0.")
    assert seen(found, "default", "write")["cached"] > 0.9
    assert seen(found, "default", "write")["direct"] in (None, False)
    assert seen(found, "ours", "write")["direct"] in (None, True)
    assert seen(found, "ours", "write")["cached"] == 0
