"""A configuration as Kubernetes mounts it: a folder that everybody may write to, on a read-only mount."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import storage
from aio_tuned.config.load import load_config
from aio_tuned.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def config_map(tmp_path: Path) -> Iterator[Path]:
    """A ConfigMap's volume: the files are links to a folder that is replaced as a whole."""
    volume = tmp_path / "config"
    volume.mkdir()
    storage.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=0777", "aio-tuned-test", volume)
    try:
        (volume / "..2026_07_01").mkdir()
        (volume / "..2026_07_01/aio-tuned.conf").write_text("[daemon]\nsettle = 7\n")
        (volume / "..data").symlink_to("..2026_07_01")
        (volume / "aio-tuned.conf").symlink_to("..data/aio-tuned.conf")
        yield volume
    finally:
        storage.unmount(volume)


def test_a_folder_of_everybody_counts_only_where_nobody_can_write(config_map: Path) -> None:
    path = config_map / "aio-tuned.conf"
    with pytest.raises(ConfigError, match=rf"^{config_map}: not trusted: writable by other users"):
        load_config(path)
    storage.run("mount", "-o", "remount,ro", config_map)
    assert load_config(path, must_exist=True).settle == 7
