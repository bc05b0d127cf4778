"""A profile is its own drive's: two that report the same id are not told apart."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon.conftest import Tuner
    from daemon.loop_drive import LoopDrive


def test_of_two_drives_with_the_same_id_neither_gets_a_measured_profile(
    quick: Tuner, loop_drive: Callable[..., LoopDrive]
) -> None:
    drive = loop_drive()
    nodes = (drive.plug(), drive.plug())
    try:
        profile = quick.profile(nodes[0])
        names = " and ".join(sorted(node.name for node in nodes))
        assert profile["state"] == "stale"
        assert profile["evidence"]["findings"][-1].startswith(f"{names} report the same id (loop:")
        for node in nodes:
            assert reader.settings_for(node, profiles=quick.out).source.state == "stale"
    finally:
        drive.pull(held=True)
    again = drive.plug()
    assert quick.profile(again)["state"] == "measured"
    drive.pull(held=True)
