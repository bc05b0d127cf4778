from __future__ import annotations

import pytest

from aio_tuned import consumers
from aio_tuned.consumers.export import Wishes
from aio_tuned.errors import UsageError
from unit.consumer_settings import drive


@pytest.mark.parametrize("name", ["fio", "lmcache", "mooncake", "sglang", "vllm"])
@pytest.mark.parametrize("path", ["/dev", "/dev/nvme0n1", "/dev/disk/by-id/nvme-A"])
def test_a_device_is_no_folder(name: str, path: str) -> None:
    with pytest.raises(UsageError, match="needs a folder on the drive's filesystem, and not a device"):
        consumers.load(name).export(drive(), path, Wishes())
    assert consumers.load(name).export(drive(), "/development", Wishes()).values


@pytest.mark.parametrize("name", ["cufile", "env", "fio", "json", "mooncake", "tensornvme"])
def test_a_release_that_makes_no_difference_is_told(name: str) -> None:
    plain = consumers.load(name).export(drive(), "/data", Wishes())
    named = consumers.load(name).export(drive(), "/data", Wishes(for_version="1.2"))
    assert named.values == plain.values
    assert set(named.notes) - set(plain.notes) == {note for note in named.notes if note.startswith("for_version: ")}
    with pytest.raises(UsageError, match="is no release"):
        consumers.load(name).export(drive(), "/data", Wishes(for_version="newest"))


@pytest.mark.parametrize("name", consumers.NAMES)
def test_every_consumer_takes_every_setting_that_a_profile_may_have(name: str) -> None:
    """512 bytes, depth 1 and one thread: less than any grid has."""
    least = {
        key: part._replace(block_size=512, queue_depth=1, io_parallelism=1, saturating_concurrency=1)
        for key, part in drive()._asdict().items()
    }
    made = consumers.load(name).export(drive(**least), "/data", Wishes())
    numbers = [value for value in made.values.values() if isinstance(value, int) and not isinstance(value, bool)]
    assert all(value > 0 for value in numbers)
