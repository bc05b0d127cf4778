"""What 0.1.0 has left in /etc and /var/lib: all of it is read, or refused with a hint, for ever.

tests/older/0.1.0 was written by the package of commit 6122ca1, the last of schema 1, on an NVMe drive of QEMU: two
finished sweeps, and a third one that was killed.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import jsonschema
import pytest

from aio_tuned.cli.main import main
from aio_tuned.config.load import parse_config
from aio_tuned.errors import ConfigError
from aio_tuned.model.profile import Result
from aio_tuned.profiles import codec
from aio_tuned.service.sweep_counter import SweepCounter
from aio_tuned.service.write_ledger import Ledger
from aio_tuned.storage import sweep_archive
from aio_tuned.storage.name_register import NameRegister
from aio_tuned.storage.profile_store import ProfileStore
from aio_tuned.sweep import checkpoint
from aio_tuned.sweep.order import Checkpoint
from unit.support.builders import PROJECT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OLD = PROJECT / "tests/older/0.1.0"
NAME = "nvme-QEMU_NVMe_Ctrl_OLD1_1"
PROFILES = sorted(path.relative_to(OLD).as_posix() for path in OLD.rglob("*.toml"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A copy of its state folder: what opens a log may rewrite it."""
    return Path(shutil.copytree(OLD / "state", tmp_path / "state"))


@pytest.fixture
def config(state: Path, tmp_path: Path) -> Path:
    """A configuration with copies of its folders."""
    (tmp_path / "etc").mkdir()
    shutil.copy(OLD / "etc" / f"{NAME}.toml", tmp_path / "etc")
    path = tmp_path / "aio-tuned.conf"
    path.write_text(f'[paths]\nprofiles = "{tmp_path}/etc"\nstate = "{state}"\nruntime = "{tmp_path}/run"\n')
    return path


def test_the_files_are_those_of_that_release() -> None:
    assert len(PROFILES) == 4
    for path in PROFILES:
        document = tomllib.loads((OLD / path).read_text())
        assert (document["schema"], document["evidence"]["tool_version"]) == (1, "0.1.0")


@pytest.mark.parametrize("path", PROFILES)
def test_a_profile_is_read_and_as_the_schema_says(path: str) -> None:
    text = (OLD / path).read_text()
    jsonschema.validate(tomllib.loads(text), json.loads((PROJECT / "docs/profile.schema.json").read_text()))
    found = codec.parse(text)
    assert found.device.name == NAME
    assert isinstance(found.read, Result)
    assert found.read.confidence is None
    assert found.read.setting.block_size == 1 << 20
    assert codec.parse(codec.render(found)) == found  # it is written again when it becomes stale


def test_the_catalog_and_the_names_are_known(state: Path, tmp_path: Path) -> None:
    (known,) = ProfileStore(tmp_path, state).load_all()
    names = NameRegister(tmp_path, state)
    assert names.name_of(NAME, known.device.id) == NAME
    assert names.name_of(NAME, "another drive") != NAME


def test_the_bytes_and_sweeps_of_a_drive_count_on(state: Path) -> None:
    written = state / "written.journal"
    drive = json.loads(written.read_text().splitlines()[-1][9:])  # a checksum comes first
    ledger = Ledger.open(written, lambda: drive["hour"] * 3600.0)
    assert ledger.written_today(drive["id"]) == ledger.total(drive["id"]) == 1526726656 + 117440512
    assert ledger.trouble == ""
    counter = SweepCounter.open(state / "sweeps.journal")
    assert counter.counts(drive["id"])["finished"] == 2


def test_the_archive_has_both_sweeps_with_their_samples(state: Path) -> None:
    sweeps = [sweep_archive.load(path) for path in sweep_archive.list_sweeps(state, NAME)]
    assert [len(sweep.samples) for sweep in sweeps] == [sweep.profile.evidence.visits for sweep in sweeps]
    assert [sweep.torn for sweep in sweeps] == [(), ()]


@pytest.mark.parametrize("helper", ["0.1.0", "0.2.0"])
def test_an_interrupted_sweep_starts_again(helper: str) -> None:
    """Another helper would not have measured the same; and these phases have no stage."""
    entries = [json.loads(line[9:]) for line in (OLD / f"state/journals/{NAME}.journal").read_text().splitlines()]
    header = {key: value for key, value in entries[0].items() if key != "when"} | {"helper_version": helper}
    assert checkpoint.read(entries, header, entries[0]["when"]) == Checkpoint()
    assert checkpoint.read_seed(entries) == header["seed"]


@pytest.mark.parametrize("words", [("show", "--json"), ("show",), ("history", NAME), ("report", NAME, "-o", "PAGE")])
def test_the_commands_know_it(words: tuple[str, ...], config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = config.with_name("page.html")
    assert main(["--config", str(config), *(str(page) if word == "PAGE" else word for word in words)]) == 0
    told = page.read_text() if "report" in words else capsys.readouterr().out
    assert "OLD1" in told


# --- its configuration --------------------------------------------------------------------------------------


_RENAMED = re.compile(r"x: \[(\w+)\](?: (\w+))? is now called \[?(\w+)\]?; rename it")


def _refusal(text: str) -> str:
    """The words with which the configuration is refused; "" if it is not."""
    try:
        parse_config(text, "x")
    except ConfigError as error:
        return str(error)
    return ""


def uncommented(text: str) -> str:
    """The shipped configuration as someone has it who has set every key."""
    return re.sub(r"^#(?=[a-z_]+ = )", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("name", ["aio-tuned.conf", "first.conf"])
def test_a_configuration_says_by_what_names_it_is_read(name: str) -> None:
    """first.conf is that of the first daemon (commit 4e13270); each refusal names what to write instead."""
    text = uncommented((OLD / "etc" / name).read_text())
    assert "\ntolerance_percent = " in text
    renamed = []
    while hint := _RENAMED.fullmatch(_refusal(text)):
        section, key, new = hint.groups()
        old = re.escape(key or f"[{section}]")
        text = re.sub(f"^{old}", new if key else f"[{new}]", text, flags=re.MULTILINE)
        renamed.append(key or section)
    assert parse_config(text, "x").tolerance_percent == 1.0
    first = ["least_pause", "manners", "most_celsius", "most_hold", "retry_first", "retry_most"]
    assert sorted(renamed) == (first if name == "first.conf" else [])
