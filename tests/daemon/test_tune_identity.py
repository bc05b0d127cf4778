"""A profile is its own drive's: two that report the same id are not told apart, two of one name are."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import storage
from aio_tuned import reader
from processes import environment_with

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


def test_two_files_whose_paths_make_one_name_have_a_profile_each(quick: Tuner, tmp_path: Path) -> None:
    """The second tune replaced the first one's profile."""
    quick.configure(
        f'[paths]\nprofiles = "{tmp_path}/etc"\nstate = "{tmp_path}/state"\n'
        '[sweep]\nspan_bytes = "64M"\nwrite_budget = "1G"'
    )
    (tmp_path / "a").mkdir()
    with ExitStack() as stack:
        nodes = []
        for place in ("a/b.img", "a_b.img"):
            (tmp_path / place).write_bytes(os.urandom(96 << 20))
            nodes.append(storage.attach(tmp_path / place))
            stack.callback(storage.run, "losetup", "--detach", nodes[-1])
        found = []
        for node in nodes:
            words = quick.command("tune", node, "--json", "--seed", "1")
            done = subprocess.run(words, capture_output=True, check=False, env=environment_with({}))
            assert done.returncode == 0, done.stderr
            found.append(json.loads(done.stdout))
        bare = f"loop-{str(tmp_path).strip('/').replace('/', '_')}_a_b.img"
        digits = hashlib.sha256(f"loop:{tmp_path}/a_b.img".encode()).hexdigest()[:8]
        names = [each["profile"]["device"]["name"] for each in found]
        assert names == [bare, f"{bare}-{digits}"]
        assert [Path(each["file"]).stem for each in found] == names
        assert sorted(path.stem for path in (tmp_path / "state/profiles").iterdir()) == names
        for node, name in zip(nodes, names, strict=True):
            source = reader.settings_for(node, profiles=tmp_path / "etc").source
            assert (source.state, source.device, source.file) == ("measured", name, f"{tmp_path}/etc/{name}.toml")
            for command in ("show", "history"):
                done = subprocess.run(
                    quick.command(command, node, "--json"), capture_output=True, check=True, env=environment_with({})
                )
                assert f'{name}"'.encode() in done.stdout or f"{name}.toml".encode() in done.stdout
        # With a folder of its own for the results too.
        out = tmp_path / "out"
        for node in nodes:
            assert quick.run(node, out=out).code == 0
        assert sorted(path.stem for path in out.glob("*.toml")) == names
