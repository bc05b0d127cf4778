from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.load import Config
from aio_tuned.devices import identity
from aio_tuned.service.drive import Drive
from aio_tuned.service.fleet_gate import FleetGate
from aio_tuned.service.publisher import Publisher
from aio_tuned.service.state_machine import DriveState, Stage
from aio_tuned.service.waits import Waits
from aio_tuned.storage.profile_store import ProfileStore
from unit.support.builders import device, profile, scratch_target

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("mounted", "measured", "probed", "stale"),
    [
        ("ext4", "ext4", "", False),
        ("ext4", "xfs", "", True),
        # Only the probe sees how a folder of a btrfs writes.
        ("btrfs", "btrfs nocow", "", False),
        ("btrfs", "btrfs", "", False),
        ("btrfs", "btrfs nocow", "btrfs nocow", False),
        ("btrfs", "btrfs", "btrfs nocow", True),
        ("btrfs", "btrfs nocow", "btrfs", True),
    ],
)
def test_how_a_btrfs_is_written_is_compared_once_it_is_known(
    tmp_path: Path, mounted: str, measured: str, probed: str, stale: bool
) -> None:
    disk = device()
    store = ProfileStore(tmp_path / "etc", tmp_path / "state")
    fingerprint = identity.fingerprint(disk, measured, os.uname().release)
    assert store.save(replace(profile(), device=identity.info(disk), fingerprint=fingerprint))
    publisher = Publisher(store, Config, FleetGate(Config, Waits.open(tmp_path / "waits.json")), lambda: None)
    drive = Drive(
        device=disk,
        state=DriveState(stage=Stage.SETTLING, reason="test"),
        since="",
        uses=frozenset({(disk.device_number, False, mounted)}),
        target=scratch_target(filesystem=probed) if probed else None,
    )
    assert publisher.decide(drive).stale is stale
