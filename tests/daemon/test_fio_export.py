"""fio runs the job file that we export, and does what the file is meant to say."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.consumers import fio
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.rendering import render
from unit.support.consumer_settings import drive, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.reader import Settings
    from storage import Filesystem

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SHORTER = 64
SECTOR = 4096
MEASURED = ("aio-tuned-read", "aio-tuned-write")
WRITTEN_BYTES = 4 * GIB // SHORTER


def job_file(path: Path, directory: Path, read: Settings, write: Settings) -> Path:
    """What a user gets who asks for fio's job file."""
    made = fio.export(drive(read=read, write=write), str(directory), ExportOptions())
    path.write_text(render(made))
    return path


def shortened(file: Path) -> Path:
    """Make the same job's file a 64th of its size, and its reads last for many times the file."""
    text = file.read_text().replace("runtime=10", "runtime=1")
    sizes = re.compile(r"^(filesize|size|offset_increment|io_size)=(\d+)$", re.MULTILINE)
    file.write_text(sizes.sub(lambda found: f"{found[1]}={_shorter(int(found[2]))}", text))
    return file


def _shorter(size: int) -> int:
    return max(size // SHORTER, SECTOR)


def once(file: Path) -> Path:
    """Make the job's reads go over its file once, however long that takes."""
    text = file.read_text()
    assert "time_based=1\nruntime=1\n" in text
    file.write_text(text.replace("time_based=1\nruntime=1\n", ""))
    return file


def run(file: Path, *words: str) -> dict[str, Any]:
    """fio's report on each section."""
    if shutil.which("fio") is None:
        pytest.skip("fio is not installed: apt-get install fio")
    done = subprocess.run(
        ["fio", "--output-format=json", *words, file], capture_output=True, text=True, check=False, cwd=file.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout[done.stdout.index("{") :])
    return {job["jobname"]: job for job in report["jobs"]}


def device_bytes(filesystem: Filesystem) -> tuple[int, int]:
    """What the device under the filesystem has read and written so far."""
    assert filesystem.device is not None
    words = (Path("/sys/class/block") / filesystem.device.name / "stat").read_text().split()
    return int(words[2]) * 512, int(words[6]) * 512


def test_fio_moves_what_the_settings_say_past_the_page_cache_and_leaves_nothing(
    filesystem: Callable[..., Filesystem], tmp_path: Path
) -> None:
    place = filesystem()
    directory = place.path / "models: a b"
    directory.mkdir()
    (directory / "weights").write_bytes(b"precious")
    read = settings(block_size=256 * KIB, queue_depth=8, io_parallelism=3)
    write = settings(block_size=MIB, queue_depth=4, io_parallelism=2, single_submit=True)
    file = shortened(job_file(tmp_path / "job.fio", directory, read, write))

    before = device_bytes(place)
    jobs = run(file)
    device_read, device_written = (now - then for now, then in zip(device_bytes(place), before, strict=True))

    assert list(jobs) == [*MEASURED, "aio-tuned-remove"]
    for direction, wanted in (("read", read), ("write", write)):
        job = jobs[f"aio-tuned-{direction}"]
        assert job["error"] == 0
        given = {option: job["job options"][option] for option in ("bs", "iodepth", "numjobs", "direct", "ioengine")}
        assert given == {
            "bs": str(wanted.block_size),
            "iodepth": str(wanted.queue_depth),
            "numjobs": str(wanted.io_parallelism),
            "direct": "1",
            "ioengine": "libaio",
        }
        moved = job[direction]
        assert moved["io_bytes"] == moved["total_ios"] * wanted.block_size > 0
        assert moved["short_ios"] == 0
        levels = {int(level.strip(">=")): share for level, share in job["iodepth_level"].items()}
        assert sum(share for level, share in levels.items() if level > wanted.queue_depth) == 0
    assert jobs["aio-tuned-write"]["write"]["io_bytes"] == WRITTEN_BYTES
    # All of it went to the device. The page cache would have had the reads after their first pass.
    assert device_read >= jobs["aio-tuned-read"]["read"]["io_bytes"]
    assert device_written >= WRITTEN_BYTES

    assert [path.name for path in directory.iterdir()] == ["weights"]
    assert (directory / "weights").read_bytes() == b"precious"


@pytest.mark.parametrize(("overlap", "single"), [*itertools.product((True, False), repeat=2)])
def test_fio_submits_and_waits_as_the_modes_say(
    filesystem: Callable[..., Filesystem], tmp_path: Path, overlap: bool, single: bool
) -> None:
    place = filesystem()
    chosen = settings(
        block_size=64 * KIB, queue_depth=16, io_parallelism=2, overlap_events=overlap, single_submit=single
    )
    # All of the file once: the last queue of a read that ends by time is a shorter one.
    file = once(shortened(job_file(tmp_path / "job.fio", place.path, chosen, chosen)))
    jobs = run(file)
    for job in (jobs[name] for name in MEASURED):
        alone = job["iodepth_submit"]["4"]  # up to 4 in one system call
        together = job["iodepth_submit"]["16"]  # 9 to 16
        if single:
            assert alone == 100.0
        elif not overlap:
            assert together == 100.0
        else:
            assert alone < 100.0  # as many as have just been completed, and at first all 16
        if not overlap:
            assert job["iodepth_complete"]["16"] == 100.0


def test_a_thread_that_begins_when_others_have_ended_finds_the_file(
    filesystem: Callable[..., Filesystem], tmp_path: Path
) -> None:
    place = filesystem()
    chosen = settings(block_size=256 * KIB, queue_depth=8, io_parallelism=4)
    file = once(shortened(job_file(tmp_path / "job.fio", place.path, chosen, chosen)))
    # Each thread begins at some moment of three seconds, and its part takes milliseconds. A section that is delayed is
    # overtaken by the next one: each is run by itself.
    file.write_text(file.read_text().replace("stonewall=1\n", "stonewall=1\nstartdelay=0-3\n"))
    for name in MEASURED:
        assert run(file, f"--section={name}")[name]["error"] == 0
    run(file, "--section=aio-tuned-remove")
    assert not (place.path / fio.FILE_NAME).exists()


def test_threads_write_parts_of_one_file_that_make_up_all_of_it(
    filesystem: Callable[..., Filesystem], tmp_path: Path
) -> None:
    place = filesystem()
    chosen = settings(block_size=128 * KIB, queue_depth=4, io_parallelism=4)
    file = shortened(job_file(tmp_path / "job.fio", place.path, chosen, chosen))
    text = file.read_text()
    assert "overwrite=1" in text
    # Nothing fills the file beforehand, and it stays: what the threads wrote is what it has.
    file.write_text(text.replace("overwrite=1", "fallocate=none"))
    run(file, "--section=aio-tuned-write")
    status = (place.path / fio.FILE_NAME).stat()
    (total,) = set(re.findall(r"^filesize=(\d+)$", file.read_text(), re.MULTILINE))
    assert status.st_size == int(total)
    assert status.st_blocks * 512 >= int(total)


def test_a_device_in_the_place_of_the_directory_is_not_written_to(
    loop_device: Callable[[int], Path], tmp_path: Path
) -> None:
    device = loop_device(64 * MIB)
    alias = tmp_path / "models"
    alias.symlink_to(device)
    file = job_file(tmp_path / "job.fio", alias, settings(), settings())
    with pytest.raises(AssertionError, match="models is not a directory"):
        run(file)
    assert not any(device.read_bytes())
