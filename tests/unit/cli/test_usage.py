"""Wrong usage: empty arguments, words that are almost right, and one line that says so."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.cli.main import main, parser
from aio_tuned.errors import Exit
from aio_tuned.profiles import codec
from aio_tuned.reader import api
from aio_tuned.reader.types import Disk, FoundProfile
from unit.support.builders import consumer_profile, profile, read_only_profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aio_tuned.model.profile import Profile


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The line that a wrong use is answered with; the next one names the help."""
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == Exit.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    line, pointer = err.splitlines()
    assert pointer == f"try '{line.partition(':')[0]} --help'"
    return line


# --- empty arguments -------------------------------------------------------------------------------------


def commands() -> dict[str, argparse.ArgumentParser]:
    (found,) = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found.choices)


def paths_and_targets() -> Iterator[tuple[str, str]]:
    """Each argument that stands for a path, a drive or a key, with its command."""
    for name, command in commands().items():
        for action in command._actions:
            word = action.metavar[0] if isinstance(action.metavar, tuple) else action.metavar
            if word in {"TARGET", "TARGET[@TIME]", "A[@TIME]", "PATH", "FILE", "DIR", "KEY"}:
                yield name, action.option_strings[-1] if action.option_strings else str(word)


@pytest.mark.parametrize(("command", "argument"), list(paths_and_targets()))
def test_an_empty_argument_is_wrong_usage(command: str, argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that passes an unset variable must not act on the current folder."""
    if argument.startswith("-"):
        required = {"export": ["json", "x"], "tune": ["x"], "get": ["x"], "wait": ["x"], "explain": ["x"]}
        words = [command, *required.get(command, []), argument, "", *(["x"] if argument == "--compare" else [])]
    else:
        before = {"KEY": ["x"], "PATH": ["json"] if command == "export" else []}.get(argument, [])
        words = [command, *before, ""]
    line = refused(words, capsys)
    assert line.startswith(f"aio-tuned {command}: argument ")
    assert line.endswith(": must not be empty")


def test_an_empty_configuration_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(["--config", "", "show"], capsys) == "aio-tuned: argument --config: must not be empty"


# --- words that are almost right -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["tun", "/x"], "aio-tuned: unknown command 'tun'; did you mean 'tune'?"),
        (["statsu"], "aio-tuned: unknown command 'statsu'; did you mean 'status'?"),
        (["xyzzy"], "aio-tuned: unknown command 'xyzzy'"),
        (["show", "--jsno"], "aio-tuned show: unexpected option '--jsno'; did you mean '--json'?"),
        (["show", "--xyzzy=1"], "aio-tuned show: unexpected option '--xyzzy=1'"),
        (["status", "x"], "aio-tuned status: unexpected argument 'x'"),
        (
            ["get", "/x", "--direction", "raed"],
            "argument --direction: 'raed' is not one of read, write, combined, mixed",
        ),
        (["get", "/x", "--direction", "raed"], "; did you mean 'read'?"),
        (
            ["export", "deepsped", "/x"],
            "aio-tuned export: argument CONSUMER: 'deepsped' is not one of cufile, deepspeed",
        ),
        (["export", "deepsped", "/x"], "; did you mean 'deepspeed'?"),
        (["wait", "/x", "--timeout", "soon"], 'argument --timeout: "soon" is not a time; give seconds, or "90s"'),
    ],
)
def test_a_wrong_word_is_named_with_the_one_that_was_meant(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in refused(words, capsys)


# --- the keys of get -------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of `get` for a drive that has that profile."""
    return publish(tmp_path, monkeypatch, profile())


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch, found: Profile) -> list[str]:
    disk = Disk(id="x", name="drive", model="", serial="", size_bytes=1 << 40, node="/dev/nvme0n1", number="259:0")

    def find(path: object, profiles: Path) -> FoundProfile:
        del path
        return FoundProfile(path=profiles / "drive.toml", profile=codec.parse(codec.render(found)), disk=disk)

    monkeypatch.setattr(api, "find_profile", find)
    return ["get", "--profiles", str(folder), "/mnt"]


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("queue_dept", "'queue_depth'"),
        ("read.throughput", "'read.throughput_bytes_per_s'"),
        ("evidence.kernl", "'evidence.kernel'"),
        ("source.stat", "'source.state'"),
        ("throughput", "'throughput_bytes_per_s'"),
    ],
)
def test_a_key_that_is_almost_right_is_suggested(
    published: list[str], key: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*published, key]) == Exit.USAGE
    assert capsys.readouterr() == ("", f"aio-tuned: {key}: no such key; did you mean {near}?\n")


def test_a_key_that_is_like_no_other_says_where_they_are(
    published: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*published, "xyzzy"]) == Exit.USAGE
    assert capsys.readouterr().err == "aio-tuned: xyzzy: no such key; aio-tuned show TARGET --json prints all keys\n"


# --- the throughput of both directions -------------------------------------------------------------------


def test_the_combined_setting_has_its_throughput_in_both_directions(
    published: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    combined: Any = profile().combined
    for direction in ("read", "write"):
        key = f"{direction}_throughput_bytes_per_s"
        assert main([*published, key]) == Exit.OK
        assert capsys.readouterr().out == f"{getattr(combined, key)}\n"
    assert main(published) == Exit.OK
    assert "\n# throughput: read 6.40 GB/s, write 3.90 GB/s\n" in capsys.readouterr().out
    assert main([*published, "throughput_bytes_per_s"]) == Exit.TARGET
    assert "throughput_bytes_per_s: not measured for combined; pass --direction" in capsys.readouterr().err


def test_one_direction_has_its_own_throughput(published: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([published[0], "--direction", "write", *published[1:]]) == Exit.OK
    assert "\n# throughput: write 3.95 GB/s\n" in capsys.readouterr().out


def test_a_direction_that_was_not_measured_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = publish(tmp_path, monkeypatch, read_only_profile())
    assert main(words) == Exit.OK
    assert "\n# throughput: read 6.51 GB/s\n" in capsys.readouterr().out
    assert main([*words, "write_throughput_bytes_per_s"]) == Exit.TARGET


# --- requests of one size --------------------------------------------------------------------------------


@pytest.fixture
def with_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of `get` for a drive whose profile has curves."""
    return publish(tmp_path, monkeypatch, consumer_profile())


def test_a_request_size_has_its_requests_in_flight(
    with_curves: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*with_curves, "--request-size", "256K"]) == Exit.OK
    assert capsys.readouterr().out == (
        "request_bytes = 262144\nin_flight = 8\n"
        f"# psync read: measured ({tmp_path}/drive.toml)\n"
        "# throughput: 6.20 GB/s, p50 338 µs, p99 508 µs\n"
    )
    assert main([*with_curves, "--request-size", "512K", "--engine", "io_uring", "--direction", "write"]) == Exit.OK
    out = capsys.readouterr().out
    assert "request_bytes = 524288\nin_flight = 4\n# io_uring write: measured" in out
    assert out.endswith("\n# interpolated between 256 KiB and 1 MiB\n")
    assert main([*with_curves, "--request-size", "16M"]) == Exit.OK
    assert "p99" not in capsys.readouterr().out


def test_a_request_size_is_printed_as_json_and_by_key(
    with_curves: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*with_curves, "--request-size", "1M", "--direction", "mixed"]
    assert main([*asked, "--json"]) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [
        *("request_bytes", "in_flight", "throughput_bytes_per_s", "p50_us", "p99_us"),
        *("engine", "direction", "interpolated", "source"),
    ]
    assert (found["in_flight"], found["direction"], found["source"]["section"]) == (2, "mixed", "curve_psync_mixed")
    for key, value in (("in_flight", "2"), ("source.state", "measured"), ("device.nsid", "1"), ("engine", "psync")):
        assert main([*asked[:4], key, *asked[4:]]) == Exit.OK
        assert capsys.readouterr().out == f"{value}\n"
    assert main([*with_curves, "p99_us", "--request-size", "16M"]) == Exit.TARGET
    assert "p99_us: not measured with this request size" in capsys.readouterr().err


def test_a_latency_bound_takes_the_most_throughput_within_it(
    with_curves: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for bound, in_flight in (("508us", 8), ("0.6ms", 8), ("1s", 8), ("2 ms", 8)):
        assert main([*with_curves, "in_flight", "--request-size", "256K", "--max-p99", bound]) == Exit.OK
        assert capsys.readouterr().out == f"{in_flight}\n"
    assert main([*with_curves, "--request-size", "256K", "--max-p99", "100us"]) == Exit.TARGET
    said = "psync read requests of 256 KiB: no p99 within 100 µs was measured; the lowest is 508 µs with 1 in flight"
    assert capsys.readouterr() == ("", f"aio-tuned: {said}\n")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--request-size", "2K"], Exit.TARGET, "requests of 2 KiB were not measured for psync read; give 4K to 16M"),
        (["--request-size", "1M", "--engine", "libaio"], Exit.TARGET, "no curve of request sizes for libaio read; the"),
        (["--request-size", "1000"], Exit.TARGET, "requests of 1000 bytes were not measured for psync read"),
        (["--request-size", "128M"], Exit.TARGET, "requests of 128 MiB were not measured for psync read"),
        (["--request-size", "0"], Exit.USAGE, "is not a usable size"),
        (["--request-size", "1M", "--max-p99", "5"], Exit.USAGE, '"5" is not a latency above 0; give "800us", "5ms"'),
        (["--request-size", "1M", "--max-p99", "0ms"], Exit.USAGE, "is not a latency above 0"),
        (["--request-size", "1M", "--direction", "combined"], Exit.USAGE, "--direction combined: not measured for"),
        (
            ["--request-size", "1M", "--default"],
            Exit.USAGE,
            "--default: there are no defaults for requests of one size",
        ),
        (["--engine", "psync"], Exit.USAGE, "--engine: only for requests of one size; pass --request-size too"),
        (["--max-p99", "5ms"], Exit.USAGE, "--max-p99: only for requests of one size"),
        (["--direction", "mixed"], Exit.USAGE, "--direction mixed: only for requests of one size"),
    ],
)
def test_a_wrong_request_size_is_explained(
    with_curves: list[str], words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        given = main([*with_curves, *words])
    except SystemExit as error:
        given = int(error.code or 0)
    assert given == code
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_an_older_profile_has_no_requests(published: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*published, "--request-size", "1M"]) == Exit.TARGET
    assert "no curves of request sizes; to measure them, run aio-tuned tune /dev/nvme0n1" in capsys.readouterr().err
