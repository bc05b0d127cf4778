from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from aio_tuned import reader
from aio_tuned.cli.main import main
from aio_tuned.errors import Exit
from unit.support.consumer_settings import drive
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder on a drive with a curve of psync reads."""
    measured = drive(curves=(curve("psync", "read", {MIB: 48, 2 * MIB: 24, 16 * MIB: 4}),))
    monkeypatch.setattr(reader, "drive_settings_for", lambda *_, **__: measured)
    return tmp_path


def exported(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> tuple[int, str]:
    assert main(["export", "vllm", str(folder), "--profiles", str(folder), *words]) == 0
    out, err = capsys.readouterr()
    (tier,) = json.loads(out)["kv_connector_extra_config"]["secondary_tiers"]
    return tier["n_read_threads"], err


def test_the_size_of_requests_chooses_the_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exported(capsys, folder, "--request-size", "1M")[0] == 48
    # A large model's chunk, which is beyond the largest size that was measured.
    number, said = exported(capsys, folder, "--request-size", "80M")
    assert number == 4
    assert "psync requests of 80 MiB need 4 in flight for reads" in said
    assert "measured with 16 MiB, the largest size of the curve" in said


def test_without_a_size_the_usual_one_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    number, said = exported(capsys, folder)
    assert number == 24
    assert "aio-tuned: request_size: requests of 2 MiB are assumed" in said


def test_what_is_no_size_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["export", "vllm", str(folder), "--request-size", "big"])
    assert ended.value.code == Exit.USAGE
    assert 'argument --request-size: "big" is not a size' in capsys.readouterr().err


def test_an_environment_is_quoted_if_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", "kvikio", str(folder), "--profiles", str(folder)]
    assert main(words) == 0
    plain = capsys.readouterr().out
    assert "\nKVIKIO_NTHREADS=" in plain
    assert main([*words, "--quoted"]) == 0
    assert capsys.readouterr().out == re.sub(r"^([A-Z_]+)=(.*)$", r"\1='\2'", plain, flags=re.MULTILINE)


@pytest.mark.parametrize("more", [["vllm"], ["kvikio", "--merge", "file"]])
def test_quotes_are_for_a_new_environment_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    consumer, *options = more
    assert main(["export", consumer, str(folder), "--profiles", str(folder), "--quoted", *options]) == Exit.USAGE
    out, err = capsys.readouterr()
    assert "--quoted: not " in err
    assert out == ""
