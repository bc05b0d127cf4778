"""export as a user runs it, on a real filesystem; tests/unit and tests/consumers see to what each consumer gets."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import configparser
import json
import sys
from typing import TYPE_CHECKING

import pytest

from aio_tuned import consumers
from aio_tuned.model.profile import Skipped
from daemon.publishing import publish
from unit.support import builders

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable

    import storage
    from daemon.cli_process import Cli


@pytest.fixture
def drive(filesystem: Callable[..., storage.Filesystem], cli: Cli) -> storage.Filesystem:
    made = filesystem()
    publish(made.path, cli.profiles)
    return made


AIO = {
    "block_size": 1 << 20,
    "queue_depth": 16,
    "intra_op_parallelism": 1,
    "single_submit": False,
    "overlap_events": True,
}
NOT_MERGED = ("nixl", "nixl_gds", "sglang", "fio")
DS_CONFIG = """{
    // what the operator wrote stays
    "train_batch_size": 8,
    "aio": {"queue_depth": 8, "use_gds": false}, # his, too
    "zero_optimization": {"stage": 3,},
}
"""


@pytest.mark.parametrize("name", consumers.NAMES)
def test_every_consumer_prints_its_own(cli: Cli, drive: storage.Filesystem, name: str) -> None:
    out, err = cli.both("export", name, drive.path)
    assert out.endswith("\n")
    assert "Traceback" not in err
    assert all(line.startswith("aio-tuned: ") for line in err.splitlines())
    file = cli.profiles.parent / "config"
    file.write_text(out)
    # Whatever its format, a parser of that takes it: merged into itself nothing changes.
    if name == "fio":
        assert configparser.RawConfigParser().read(file) == [str(file)]
    elif name in NOT_MERGED:
        assert tomllib.loads(out)
    else:
        assert cli.run("export", name, drive.path, "--merge", file) == f"{file}: already up to date\n"
        assert file.read_text() == out


@pytest.mark.parametrize("name", NOT_MERGED)
def test_a_format_that_is_not_merged_into_is_printed_to_paste(cli: Cli, drive: storage.Filesystem, name: str) -> None:
    fresh = cli.run("export", name, drive.path)
    file = cli.profiles.parent / "config"
    for text in (None, "", "[other]\nkey = 1\n"):
        if text is not None:
            file.write_text(text)
        out, err = cli.both("export", name, drive.path, "--merge", file, code=64)
        assert out == fresh
        assert err.endswith(
            f"aio-tuned: {file}: not changed, because --merge edits only JSON, YAML and environment files;"
            " paste the printed settings into it\n"
        )
        assert (file.read_text() if file.exists() else None) == text


def test_merge_keeps_all_else(cli: Cli, drive: storage.Filesystem) -> None:
    real = cli.profiles.parent / "real.json"
    real.write_text(DS_CONFIG)
    real.chmod(0o640)
    link = cli.profiles.parent / "ds_config.json"
    link.symlink_to(real)
    assert cli.run("export", "deepspeed", drive.path, "--merge", link) == f"{link}: changed\n"
    text = real.read_text()
    before, after = DS_CONFIG.split('"queue_depth": 8, "use_gds": false')
    assert text.startswith(before + '"queue_depth": 16, "use_gds": false')
    assert text.endswith(after)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o7777 == 0o640
    assert cli.run("export", "deepspeed", drive.path, "--merge", link) == f"{link}: already up to date\n"


def test_options(cli: Cli, drive: storage.Filesystem) -> None:
    assert json.loads(cli.run("export", "deepspeed", drive.path)) == {"aio": AIO}
    out, err = cli.both("export", "deepspeed", drive.path, "--for-version", "0.14.0", "--max-block-size", "300K")
    old = {**AIO, "block_size": 256 << 10, "thread_count": 1}
    del old["intra_op_parallelism"]
    assert json.loads(out) == {"aio": old}
    assert "block_size: 262144 bytes because of --max-block-size" in err
    assert "not a release of DeepSpeed" in cli.run("export", "deepspeed", drive.path, "--for-version", "new", code=64)
    assert "is not a size" in cli.run("export", "deepspeed", drive.path, "--max-block-size", "big", code=64)
    assert "'nobody' is not one of cufile, deepspeed" in cli.run("export", "nobody", drive.path, code=64)


def test_what_cannot_be_merged_into(cli: Cli, drive: storage.Filesystem) -> None:
    file = cli.profiles.parent / "ds_config.json"
    assert "no such file; to create it" in cli.run("export", "deepspeed", drive.path, "--merge", file, code=66)
    assert not file.exists()
    for text in ('{"aio": 1}', '{"aio": {', "[1, 2]", '{"a": 1} {"b": 2}'):
        file.write_text(text)
        assert str(file) in cli.run("export", "deepspeed", drive.path, "--merge", file, code=78)
        assert file.read_text() == text
    file.write_bytes(b'{"a": "\xff"}')
    assert "cannot be read" in cli.run("export", "deepspeed", drive.path, "--merge", file, code=78)


def test_what_the_person_is_told_of_the_settings(cli: Cli, drive: storage.Filesystem) -> None:
    publish(drive.path, cli.profiles, state="provisional")
    assert "these settings are provisional" in cli.both("export", "env", drive.path)[1]
    nothing = Skipped(skipped="asked for reads only")
    publish(drive.path, cli.profiles, write=nothing, combined=nothing)
    out, err = cli.both("export", "deepspeed", drive.path)
    assert json.loads(out)["aio"]["queue_depth"] == 12
    assert "the settings of [read], because [combined] has none: asked for reads only" in err
    made = builders.never_measured_profile()
    publish(drive.path, cli.profiles, state=made.state, read=made.read, write=made.write, combined=made.combined)
    assert "these settings are provisional" in cli.both("export", "vllm", drive.path)[1]


def test_without_a_profile(cli: Cli, drive: storage.Filesystem) -> None:
    for file in cli.profiles.iterdir():
        file.unlink()
    assert "no profile in" in cli.run("export", "deepspeed", drive.path, code=66)
    out, err = cli.both("export", "deepspeed", drive.path, "--default")
    assert json.loads(out)["aio"]["queue_depth"] == 8
    assert "these settings are default: " in err
