"""Bundles: results that are read as they were signed, and folders of them that only root writes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.errors import FleetDataError
from aio_tuned.fleet import bundle
from aio_tuned.fleet.consensus import ClassResult, Contributor
from aio_tuned.fleet.signature import Keyring, SigningKey
from unit.support.builders import setting
from unit.support.fleet import CLASS, NOW_S, POINTS, class_result

if TYPE_CHECKING:
    from pathlib import Path

KEY, STRANGER = (SigningKey(Ed25519PrivateKey.generate()) for _ in range(2))
KEYRING = Keyring.of(coordinators=[KEY.public])
OTHER = "fedcba9876543210"


def text_of(*results: ClassResult, key: SigningKey = KEY) -> str:
    return bundle.dump(key.sign(each) for each in results)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    made = (tmp_path / "usr", tmp_path / "etc")
    for folder in made:
        folder.mkdir()
    return made


# --- one bundle -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyring", [KEYRING, None])
def test_a_bundle_reads_back_as_it_was_written(keyring: Keyring | None) -> None:
    both = (class_result(3), class_result(1, POINTS[2], hardware_class=OTHER, contributors=(Contributor("n", "Ü_1"),)))
    assert bundle.load(text_of(*both), keyring) == both
    assert bundle.load(text_of(*reversed(both)), keyring) == both


def test_a_bundle_has_a_line_for_each_result() -> None:
    text = text_of(class_result(), class_result(hardware_class=OTHER))
    assert len(text.splitlines()) == 4
    assert json.loads(text)["schema"] == 1


@pytest.mark.parametrize("first", [0, 1])
def test_the_newest_result_of_a_class_counts(first: int) -> None:
    results = [class_result(3, made_at_s=NOW_S - 9), class_result(3)]
    ordered = (results[first], class_result(2), results[1 - first])
    assert bundle.load(text_of(*ordered), KEYRING) == (class_result(3),)
    lines = ",".join(KEY.sign(each).text for each in ordered)
    assert bundle.load(f'{{"schema":1,"results":[{lines}]}}', KEYRING) == (class_result(3),)


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_has_no_results(text: str) -> None:
    assert bundle.load(text, KEYRING) == ()
    assert bundle.load(text_of(), KEYRING) == ()


def test_a_larger_bundle_than_can_be_read_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(class_result())
    monkeypatch.setattr(bundle, "MAX_BUNDLE_BYTES", len(text))
    assert bundle.load(text_of(class_result()), None)
    monkeypatch.setattr(bundle, "MAX_BUNDLE_BYTES", len(text) - 1)
    with pytest.raises(FleetDataError, match="export fewer classes"):
        text_of(class_result())
    with pytest.raises(FleetDataError, match="larger than"):
        bundle.load(text, None)


def _damaged(change: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps({"schema": 1, "results": [json.loads(KEY.sign(class_result()).text), change]})


_FOREIGN = {
    "no JSON": ("{", "bundle: not valid JSON"),
    "too deep": ("[" * 100_000, "bundle: not valid JSON"),
    "another schema": ('{"schema":2,"results":[]}', "bundle: schema 2 is not supported"),
    "no results": ('{"schema":1}', "bundle: results is missing"),
    "results of another kind": ('{"schema":1,"results":{}}', "not a list of at most 4096"),
    "too many results": (json.dumps({"schema": 1, "results": [{}] * 4097}), "not a list of at most 4096"),
    "no object": (_damaged(7), "bundle: results: not an object"),
    "no document": (_damaged({"signature": "x"}), "bundle: result 2 of 2: signed class: "),
    "a document of another kind": (_damaged({"document": 7, "signature": "x"}), "bundle: result 2 of 2: signed class"),
    "no result": (_damaged({"document": {}, "signature": "x"}), "bundle: result 2 of 2: "),
    "infinity": (_damaged({"document": {"a": 1}, "signature": "x"}).replace("1}", "1e999}"), "bundle: result 2 of 2: "),
}


@pytest.mark.parametrize("keyring", [KEYRING, None])
@pytest.mark.parametrize(("text", "why"), _FOREIGN.values(), ids=_FOREIGN.keys())
def test_a_damaged_bundle_is_refused_with_its_place(text: str, why: str, keyring: Keyring | None) -> None:
    with pytest.raises(FleetDataError) as refused:
        bundle.load(text, keyring)
    assert why in str(refused.value)
    assert str(refused.value).isprintable()


def test_one_result_of_a_stranger_makes_the_bundle_a_strangers() -> None:
    signed = [KEY.sign(class_result()), STRANGER.sign(class_result(hardware_class=OTHER))]
    with pytest.raises(FleetDataError, match="result 2 of 2: signed class: signed by no trusted key"):
        bundle.load(bundle.dump(signed), KEYRING)


def test_a_changed_result_is_refused_by_its_signature_alone() -> None:
    changed = text_of(class_result(3)).replace('"generation":3', '"generation":4')
    with pytest.raises(FleetDataError, match="no trusted key"):
        bundle.load(changed, KEYRING)
    assert bundle.load(changed, None) == (class_result(4),)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
)


@given(st.sampled_from([*json.loads(class_result().to_json()), "more"]), _JSON, st.sampled_from([KEYRING, None]))
def test_any_value_in_any_place_is_read_or_refused(key: str, value: object, keyring: Keyring | None) -> None:
    document = json.loads(class_result().to_json()) | {key: value}
    texts = [_damaged({"document": document, "signature": value}), _damaged(value)]
    texts += [json.dumps({"schema": 1, "results": value}), json.dumps(value)]
    for text in texts:
        with contextlib.suppress(FleetDataError):
            assert isinstance(bundle.load(text, keyring), tuple)


# --- folders ----------------------------------------------------------------------------------------------


def test_folders_that_are_not_there_have_no_results(tmp_path: Path) -> None:
    assert bundle.load_folders([tmp_path / "x", tmp_path / "y"]) == ({}, ())


def test_results_of_all_files_are_read(folders: tuple[Path, Path]) -> None:
    (folders[0] / "a.json").write_text(text_of(class_result()))
    (folders[1] / "b.json").write_text(text_of(class_result(hardware_class=OTHER), key=STRANGER))
    for name in (".hidden.json", "README", "c.json.bak"):
        (folders[1] / name).write_text("{")
    assert bundle.load_folders(folders) == ({CLASS: class_result(), OTHER: class_result(hardware_class=OTHER)}, ())


def test_the_later_folder_wins_and_in_one_folder_the_newest_generation(folders: tuple[Path, Path]) -> None:
    (folders[0] / "a.json").write_text(text_of(class_result(9)))
    (folders[0] / "b.json").write_text(text_of(class_result(7)))
    assert bundle.load_folders(folders)[0] == {CLASS: class_result(9)}
    (folders[1] / "c.json").write_text(text_of(class_result(3)))
    (folders[1] / "d.json").write_text(text_of(class_result(2)))
    assert bundle.load_folders(folders)[0] == {CLASS: class_result(3)}
    assert bundle.load_folders(folders[::-1])[0] == {CLASS: class_result(9)}


def test_an_empty_file_hides_that_of_an_earlier_folder(folders: tuple[Path, Path]) -> None:
    (folders[0] / "a.json").write_text(text_of(class_result(9)))
    (folders[1] / "a.json").touch()
    assert bundle.load_folders(folders) == ({}, ())
    assert bundle.load_folders(folders[::-1])[0] == {CLASS: class_result(9)}


def test_a_bad_file_is_ignored_in_a_sentence_and_the_others_are_read(folders: tuple[Path, Path]) -> None:
    (folders[0] / "a.json").write_text("{")
    (folders[0] / "b.json").write_bytes(b"\xff\xfe")
    os.mkfifo(folders[0] / "c.json")
    (folders[0] / "d.json").mkdir()
    (folders[0] / "e.json").symlink_to("/nonexistent")
    (folders[0] / "f.json").write_text(text_of(class_result()))
    (folders[0] / "f.json").chmod(0o666)
    (folders[1] / "z.json").write_text(text_of(class_result(7)))
    found, ignored = bundle.load_folders(folders)
    assert found == {CLASS: class_result(7)}
    reasons = [
        "bundle: not valid JSON",
        "not UTF-8",
        "cannot be read: not a regular file",
        "cannot be read: Is a direc",
    ]
    reasons += ["cannot be read: No such file", "not trusted: writable by other users (mode 0666)"]
    assert len(ignored) == len(reasons)
    for sentence, name, why in zip(ignored, "abcdef", reasons, strict=True):
        assert sentence.startswith(f"{folders[0]}/{name}.json: {why}")


def test_a_folder_that_is_none_is_ignored_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert bundle.load_folders([tmp_path / "file"]) == (
        {},
        (f"{tmp_path}/file: cannot be read: Not a directory; it is ignored",),
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_a_bundle_that_another_user_owns_is_ignored(folders: tuple[Path, Path]) -> None:
    (folders[0] / "a.json").write_text(text_of(class_result()))
    os.chown(folders[0] / "a.json", 12345, -1)
    found, ignored = bundle.load_folders(folders)
    assert not found
    assert "not trusted: owned by user 12345" in ignored[0]


def test_results_that_are_not_for_drives_to_take_are_ignored_alone(folders: tuple[Path, Path]) -> None:
    odd = [class_result(2, disagreement="2 of 3"), class_result(2, setting(depth=7), hardware_class="0" * 16)]
    (folders[0] / "a.json").write_text(text_of(class_result(hardware_class=OTHER), *odd))
    found, ignored = bundle.load_folders(folders)
    assert found == {OTHER: class_result(hardware_class=OTHER)}
    assert [sentence.partition(": ")[2] for sentence in ignored] == [
        f"class {'0' * 16} generation 2: a setting is not of its grid: queue_depth; it is ignored",
        f"class {CLASS} generation 2: its sweeps disagree: 2 of 3; it is ignored",
    ]


def test_folders_are_read_without_cryptography(folders: tuple[Path, Path]) -> None:
    (folders[0] / "a.json").write_text(text_of(class_result()))
    program = (
        "import sys, pathlib; sys.modules['cryptography'] = None\n"
        "from aio_tuned.fleet import bundle\n"
        "print(*bundle.load_folders([pathlib.Path(sys.argv[1])])[0], 'numpy' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, folders[0]], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == f"{CLASS} False\n"
