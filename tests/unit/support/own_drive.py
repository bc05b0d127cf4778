"""A profile of the drive that a test's own folder is on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.errors import TargetError
from aio_tuned.model.profile import CombinedResult
from aio_tuned.profiles import codec
from aio_tuned.reader.lookup import find_disk
from aio_tuned.storage import atomic_file
from unit.support.builders import device_info, profile

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.setting import Setting


def publish(folder: Path, profiles: Path, **changes: Any) -> Path:  # noqa: ANN401 - fields of a profile
    """Write the profile of the folder's drive; the test is skipped if it is on none."""
    try:
        disk = find_disk(folder)
    except TargetError as error:
        pytest.skip(str(error))
    device = device_info(
        id=disk.id,
        name=disk.name,
        model=disk.model,
        serial=disk.serial,
        size_bytes=disk.size_bytes,
        boot_id=disk.boot_id,
    )
    profiles.mkdir(mode=0o755, exist_ok=True)
    file = profiles / f"{disk.name}.toml"
    atomic_file.publish(file, codec.render(profile(device=device, **changes)))  # a command may be waiting for it
    return file


def combined(chosen: Setting) -> CombinedResult:
    """Return the section of that setting."""
    made = profile().combined
    assert isinstance(made, CombinedResult)
    return replace(made, setting=chosen)
