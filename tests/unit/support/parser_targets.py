"""Promises of the parsers of files and tables that must hold for any input.

Hypothesis drives the targets in unit/test_parsers.py, atheris in bench/fuzz.py. A target takes bytes. It raises an
AssertionError where a promise is broken, and lets through any error that the parser must not raise.
"""

from __future__ import annotations

import contextlib
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned.config.load import parse_config
from aio_tuned.config.render import render
from aio_tuned.consumers.export import Entry, Export
from aio_tuned.consumers.merge import apply
from aio_tuned.devices import mountinfo
from aio_tuned.devices.mount_table import MountTable, find_device_number
from aio_tuned.errors import ConfigError, LatencyError, NoProfileError, ProfileError, UsageError
from aio_tuned.model.profile import Skipped
from aio_tuned.profiles import codec, override
from aio_tuned.reader import DIRECTIONS
from aio_tuned.reader.requests import request_settings
from aio_tuned.reader.section import section
from aio_tuned.reader.types import Disk, FoundProfile
from unit.support import builders

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.consumers.export import Format, Key, Value
    from aio_tuned.model.size_curve import SizeCurve
    from aio_tuned.reader import Settings

_GIB = 1 << 30
_DISK = Disk(id="wwid", name="disk", model="", serial="", size_bytes=0, node="/dev/nvme0n1", number="259:0")


class Target(NamedTuple):
    """A parser's promises, inputs to begin with, and words of its format."""

    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]


def _check_profile(data: bytes) -> None:
    """A profile is refused, or reads back as it is written, and gives every direction settings within the limits."""
    try:
        profile = codec.parse(data.decode())
    except (ProfileError, UnicodeDecodeError):
        return
    codec.render(profile)  # raises if it does not read back
    found = FoundProfile(_DISK, Path("/etc/aio-tuned/disk.toml"), profile)
    for direction in DIRECTIONS:
        try:
            settings = section(found, direction)
        except NoProfileError:
            assert isinstance(getattr(profile, direction), Skipped)
            continue
        check_limits(settings)
    for curve in profile.curves:
        _check_requests(found, curve)


def _check_requests(found: FoundProfile, curve: SizeCurve) -> None:
    """Every size of a curve has requests in flight within the limits, and so has each size between two of them."""
    sizes = curve.sizes
    for size in (*sizes, *(sum(pair) // 2 for pair in pairwise(sizes))):
        settings = request_settings(found, size, curve.op, curve.engine, None)
        assert 512 <= settings.request_bytes <= 64 << 20
        assert 1 <= settings.in_flight <= 4096
        assert settings.throughput_bytes_per_s > 0
        assert settings.p50_us > 0
        assert settings.p99_us is None or settings.p99_us > 0
        with contextlib.suppress(LatencyError):
            within = request_settings(found, size, curve.op, curve.engine, 1000.0)
            assert within.p99_us is not None
            assert within.p99_us <= 1000.0 * (1 + 1e-9)


def check_limits(settings: Settings) -> None:
    """A consumer allocates memory by these numbers."""
    assert 512 <= settings.block_size <= 64 << 20
    assert settings.block_size % 512 == 0
    assert 1 <= settings.queue_depth <= 4096
    assert 1 <= settings.io_parallelism <= 64
    assert isinstance(settings.overlap_events, bool)
    assert isinstance(settings.single_submit, bool)
    assert 1 <= settings.saturating_concurrency <= 4096 * 64
    assert settings.throughput_bytes_per_s is None or settings.throughput_bytes_per_s > 0


def _check_names(error: ConfigError, file: str) -> None:
    assert str(error).startswith(f"{file}: ")


def _check_override(data: bytes) -> None:
    """An override is refused with its file's name, or makes of any profile one that can be written."""
    try:
        parsed = override.parse(data.decode(), "/etc/aio-tuned/override.d/disk.toml")
    except UnicodeDecodeError:
        return
    except ConfigError as error:
        _check_names(error, "/etc/aio-tuned/override.d/disk.toml")
        return
    for profile in (builders.profile(), builders.read_only_profile(), builders.never_measured_profile()):
        codec.render(override.merge(profile, parsed))


def _check_config(data: bytes) -> None:
    """A configuration is refused with its file's name, or reads back as rendered; its budget is one that was given."""
    try:
        config = parse_config(data.decode(), "/x.conf")
    except UnicodeDecodeError:
        return
    except ConfigError as error:
        _check_names(error, "/x.conf")
        return
    assert parse_config(render(config), "/x.conf") == config
    assert 0 < config.write_budget_bytes(1000 * _GIB) <= config.write_budget
    assert config.min_retry > 0 < config.max_retry


def _check_mountinfo(data: bytes) -> None:
    """No text raises; each mount has a device number that can be a part of a path, and the table has it once."""
    text = data.decode("utf-8", "surrogateescape")
    mounts = mountinfo.parse(text)
    assert len(mounts) <= text.count("\n") + 1
    for mount in mounts:
        assert re.fullmatch(r"[0-9]+:[0-9]+", mount.device_number, re.ASCII)
        assert mount.id >= 0
    table = MountTable(mounts)
    for mount in mounts:
        assert table.on([find_device_number(mount)]).count(mount) <= mounts.count(mount)
    assert not table.differences(MountTable(mounts))


def _merging(name: Format, *values: tuple[tuple[Key, ...], Value]) -> Callable[[bytes], None]:
    """A merge is refused with the file's name, or is done at once: the second one changes nothing."""
    export = Export(format=name, values=dict(values))

    def check(data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return
        try:
            new = apply.merge(export, text, "/x/file")
        except ConfigError as error:
            _check_names(error, "/x/file")
            return
        except UsageError:
            return
        assert apply.merge(export, new, "/x/file") == new
        if name == "env":
            _check_other_lines(text, new, len(values))

    return check


def _check_other_lines(text: str, new: str, values: int) -> None:
    """Each value changes one line or adds one; the last line gets its line end. A blank file is written anew."""
    if not text.strip():
        assert len(new.splitlines()) == values
        return
    lines, kept = new.split("\n"), text.split("\n")
    assert len(kept) <= len(lines) <= len(kept) + values + 1
    assert sum(line not in lines for line in kept if line) <= values


_PROFILE = codec.render(builders.profile()).encode()
_CURVES = codec.render(builders.consumer_profile()).encode()
_ENTRY = Entry((("type", "fs"), ("root", "/kv")))
_TOML_WORDS = (b"[", b"]", b"=", b'"""', b"'", b"\n", b"inf", b"nan", b"true", b"0x", b"1e400", b"9" * 20, b"\\u0000")

TARGETS = {
    "profile": Target(
        _check_profile,
        (_PROFILE, codec.render(builders.never_measured_profile()).encode(), _CURVES),
        (
            *_TOML_WORDS,
            b'skipped = "x"\n',
            b"saturating_concurrency",
            b"overridden = []\n",
            b"[curve_psync_read]\n",
            b"[concurrency]\n",
            b"request_bytes = [",
            b"p99_us = [",
            b" 1.0,",
            b" 4096,",
            b" 0,",
        ),
    ),
    "override": Target(
        _check_override,
        (
            b"[read]\nblock_size = 1048576\nqueue_depth = 4\n",
            b'[combined]\nblock_size = "128K"\nsingle_submit = true\n',
        ),
        (*_TOML_WORDS, b"[write]\n", b"io_parallelism = 8\n", b"overlap_events = false\n", b'"64M"'),
    ),
    "config": Target(
        _check_config,
        (
            b'[sweep]\ntransfer_bytes = "1M"\neffort = "quick"\n[grid]\nblock_size = ["1M", 4096]\n',
            b'[throttle]\nquiet_hours = ["22:00-06:00"]\nnice = 19\npatience = "never"\nmax_celsius = "drive"\n',
            b'[[match]]\nname = "nvme*"\ntune = false\n[paths]\nstate = "/s"\n[publish]\nmetrics = "none"\n',
        ),
        (
            *_TOML_WORDS,
            b"[[match]]\n",
            b"tune = true\n",
            b'"3m"',
            b'"1.5GiB"',
            b"[manners]\n",
            b"min_free",
            b"[daemon]\n",
        ),
    ),
    "mountinfo": Target(
        _check_mountinfo,
        (
            b"22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro\n",
            b"36 35 0:50 /a\\040b /mnt/x rw - btrfs /dev/loop0 rw,subvol=/a\n40 1 0:60 / /f rw - fuse.x /dev/sda rw\n",
        ),
        (
            b" - ",
            b"\\000",
            b"\\012",
            b"\\134",
            b"259:",
            b"0:",
            b" ",
            b"\n",
            b"\r",
            b"btrfs",
            b"fuse",
            b"/dev/",
            b"9" * 5000,
        ),
    ),
    "json": Target(
        _merging("json", (("aio", "block_size"), 8), (("tiers", _ENTRY, "threads"), 4)),
        (
            b'{\n  "aio": {"block_size": 1, "a": [1, 2.5e3, null]},\n  // why\n  "b": "\\u00e9"\n}\n',
            b'{"tiers": [{"type": "fs", "root": "/kv/",},], /* c */ "x": {}}',
        ),
        (
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b'"',
            b"\\",
            b"//",
            b"/*",
            b"*/",
            b"#",
            b"\n",
            b"null",
            b"1e400",
            b'"aio"',
        ),
    ),
    "yaml": Target(
        _merging("yaml", (("aio", "block_size"), 8), (("tiers", _ENTRY, "threads"), 4)),
        (
            b"aio:\n  block_size: 1 # why\n  a: [1, 2]\nb: |\n  text\n   more\n",
            b"tiers:\n- type: fs\n  root: /kv/\n  x: &a 1\ny: *a\n",
        ),
        (
            b": ",
            b"- ",
            b"\n  ",
            b"\n",
            b"&a ",
            b"*a",
            b"|-\n",
            b">\n",
            b"? ",
            b"{",
            b"}",
            b"---\n",
            b"!!str ",
            b"# ",
            b"\t",
            b"<<: ",
        ),
    ),
    "env": Target(
        _merging("env", (("N",), 8), (("PATH_TO",), "/kv")),
        (b"# why\nN=1\nexport X='a b'\n", b'PATH_TO=/x\nN="1"\r\nY=$(date) # c\n', b"export N=1\nA=a\\ b\n"),
        (
            b"N=",
            b"\n",
            b"\r\n",
            b"'",
            b'"',
            b"\\",
            b"$(",
            b")",
            b"`",
            b"${",
            b"}",
            b" #",
            b";",
            b"export ",
            b"\x85",
            b"\0",
        ),
    ),
}
