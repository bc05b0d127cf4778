"""Profiles of the drives that tests make, as `aio-tuned tune` would publish them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aio_tuned.devices import identity, resolve
from aio_tuned.profiles import codec
from unit.support import builders

if TYPE_CHECKING:
    from pathlib import Path


def publish(path: Path, folder: Path, depth: int = 12, **changes: Any) -> str:  # noqa: ANN401 - any field
    """Publish a profile of the drive that the path is on; its name. The depth of reads tells it from others."""
    device = resolve.device(resolve.resolve(path))
    read = builders.result(setting=builders.setting(depth=depth))
    made = replace(builders.profile(device=identity.info(device), read=read), **changes)
    file = folder / f".{device.name}.new"
    file.write_text(codec.render(made))
    file.chmod(0o644)
    file.rename(folder / f"{device.name}.toml")
    return device.name
