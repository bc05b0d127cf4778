"""docs/examples: each is compiled, run, and gives the same answer; profiles have the promised form."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_tuned.model.profile import Skipped, Unmeasured
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.profiles.codec import HEADER, render
from unit.support.builders import (
    MIB,
    PROJECT,
    consumer_profile,
    device_info,
    evidence,
    never_measured_profile,
    profile,
    read_only_profile,
    result,
    setting,
)
from unit.support.drives import Host
from unit.support.verdicts import not_better, verdict

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Setting

EXAMPLES = PROJECT / "docs/examples"
DOCUMENT = PROJECT / "docs/how-to/read-settings.md"
OURS = "eui.0025385b21404e5f"
BEST = setting(block=256 << 10, depth=16, threads=2, overlap=False, single=True)
KEYS = ("block_size", "queue_depth", "io_parallelism", "overlap_events", "single_submit")


# --- the examples, built ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Example:
    """A program to run, and what its environment must have."""

    command: tuple[str, ...]
    environment: dict[str, str]

    def run(self, *arguments: str | Path, path: str = "") -> dict[str, str]:
        """What it prints, by key; `path` comes before PATH."""
        environment = {**os.environ, **self.environment}
        environment["PATH"] = f"{path}:{environment['PATH']}" if path else environment["PATH"]
        done = subprocess.run(
            [*self.command, *map(str, arguments)], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        pairs = [line.partition("=") for line in done.stdout.splitlines()]
        assert [key for key, _, _ in pairs] == list(KEYS), done.stdout
        return {key: value for key, _, value in pairs}


def compiled(folder: Path, source: str, *command: str, **environment: str) -> Example:
    """The program that a compiler makes of the example; skipped without that compiler, or if it does not even start."""
    version = "version" if command[0] == "go" else "--version"
    if (
        not shutil.which(command[0])
        or subprocess.run([command[0], version], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"{source} is not tried: there is no {command[0]} on this machine")
    program = folder / "aio_settings"
    done = subprocess.run(
        [*command, "-o", str(program), str(EXAMPLES / source)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return Example((str(program),), {})


def python_example(folder: Path) -> Example:
    if sys.version_info < (3, 11):  # as its comment says
        (folder / "tomllib.py").write_text("from tomli import *\n", encoding="ascii")
    return Example((sys.executable, "-W", "error", str(EXAMPLES / "aio_settings.py")), {"PYTHONPATH": str(folder)})


def c_example(folder: Path) -> Example:
    return compiled(folder, "aio_settings.c", "cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror")


def rust_example(folder: Path) -> Example:
    return compiled(folder, "aio_settings.rs", "rustc", "--edition", "2021", "-D", "warnings")


def go_example(folder: Path) -> Example:
    """Nothing is fetched, and nothing is left outside of the folder."""
    places = {name: str(folder / name.lower()) for name in ("GOCACHE", "GOPATH")}
    return compiled(folder, "aio_settings.go", "go", "build", GO111MODULE="off", GOTOOLCHAIN="local", **places)


def shell_example(folder: Path) -> Example:  # noqa: ARG001 - as the others
    return Example(("sh", str(EXAMPLES / "aio_settings.sh")), {})


BUILD: dict[str, Callable[[Path], Example]] = {
    "python": python_example,
    "c": c_example,
    "rust": rust_example,
    "go": go_example,
    "sh": shell_example,
}


@pytest.fixture(scope="session", params=list(BUILD))
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Example:
    return BUILD[request.param](tmp_path_factory.mktemp(request.param))


# --- a machine -------------------------------------------------------------------------------------------


class Machine:
    """A folder to ask about, /sys as it shows the drive below that folder, and /etc/aio-tuned."""

    def __init__(self, root: Path) -> None:
        self.host = Host(root / "host")
        self.path = root / "offload"
        self.path.mkdir()
        number = self.path.stat().st_dev
        self.number = f"{os.major(number)}:{os.minor(number)}"
        self.profiles = root / "profiles"
        self.profiles.mkdir()

    def drive(self, wwid: str = OURS, number: str | None = None) -> Path:
        """The drive that the folder is on; its directory."""
        block = self.host.block("pci0000:00/0000:00:04.0/nvme/nvme0/nvme0n1", number or self.number)
        (block.directory / "wwid").write_text(f"{wwid}\n", encoding="utf-8")
        return block.directory

    def partition(self) -> None:
        """The drive, and that folder is on its first partition."""
        disk = self.drive(number="259:999999")
        place = (disk / "nvme0n1p1").relative_to(self.host.sys / "devices")
        (self.host.block(str(place), self.number).directory / "partition").write_text("1\n", encoding="ascii")

    def put(self, made: Profile | str, name: str = "nvme-ours") -> None:
        text = made if isinstance(made, str) else render(made)
        (self.profiles / f"{name}.toml").write_text(text, encoding="utf-8")

    def ask(self, example: Example, path: Path | None = None) -> dict[str, str]:
        return example.run(path or self.path, self.host.sys, self.profiles)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def printed(which: Setting) -> dict[str, str]:
    return {key: str(getattr(which, key)).lower() for key in KEYS}


DEFAULT = printed(DEFAULT_SETTING)


def ours(**changes: Any) -> Profile:  # noqa: ANN401 - any field
    """Our drive's profile, whose reads are unlike its writes and unlike the default in everything."""
    return profile(**{"device": device_info(id=OURS), "read": result(setting=BEST), **changes})


def other(identifier: str, **changes: Any) -> Profile:  # noqa: ANN401 - any field
    """Another drive's, with settings of its own."""
    read = result(setting=setting(block=MIB // 2, depth=64, threads=8))
    return profile(**{"device": device_info(id=identifier), "read": read, **changes})


def of_schema(schema: str) -> str:
    """The drive's own profile, with that schema number."""
    text, count = re.subn(r"^schema = .*$", f"schema = {schema}", render(ours()), flags=re.MULTILINE)
    assert count == 1
    return text


# --- every language gives the same answer ----------------------------------------------------------------


def test_the_drives_own_profile_among_those_of_others(example: Example, machine: Machine) -> None:
    machine.drive()
    machine.put(ours())
    for place, identifier in enumerate((OURS[:-1], f"{OURS}0", OURS.upper(), f"x{OURS}", "dm-uuid-LVM-1")):
        machine.put(other(identifier), f"{'az'[place % 2]}-other-{place}")
    assert machine.ask(example) == printed(BEST)


def test_a_file_on_a_partition_gets_the_disks_profile(example: Example, machine: Machine) -> None:
    machine.partition()
    machine.put(ours())
    file = machine.path / "weights"
    file.touch()
    assert machine.ask(example, file) == printed(BEST)


@pytest.mark.parametrize(
    "made",
    [
        ours(state="stale"),
        ours(state="provisional"),
        replace(never_measured_profile(), device=device_info(id=OURS), read=Unmeasured(setting=BEST)),
        ours(read=Unmeasured(setting=BEST, overridden=("block_size", "queue_depth"))),
        consumer_profile(device=device_info(id=OURS), read=result(setting=BEST)),
        ours(write=Skipped(skipped="not swept"), combined=Skipped(skipped="not swept")),
    ],
    ids=["stale", "provisional", "never measured", "overridden", "curves", "no writes"],
)
def test_settings_are_taken_in_every_state(example: Example, machine: Machine, made: Profile) -> None:
    machine.drive()
    machine.put(made)
    assert machine.ask(example) == printed(BEST)


def test_verdicts_are_passed_over(example: Example, machine: Machine) -> None:
    """Whatever their texts are: the consumer's release and the values that it was compared with."""
    texts = {"version": "1[read]", "setting": "[read] block_size = 4096 queue_depth=1"}
    machine.drive()
    machine.put(ours(verified=(verdict(**texts), not_better(consumer="read", **texts))))
    assert machine.ask(example) == printed(BEST)


def test_a_drive_without_a_profile_gets_the_default(example: Example, machine: Machine) -> None:
    machine.drive()
    assert machine.ask(example) == DEFAULT
    machine.put(other("eui.1"))
    assert machine.ask(example) == DEFAULT
    shutil.rmtree(machine.profiles)
    assert machine.ask(example) == DEFAULT


def test_a_path_without_a_drive_gets_the_default(example: Example, machine: Machine) -> None:
    machine.put(ours())
    assert machine.ask(example) == DEFAULT  # an overlay, a tmpfs, NFS: /sys does not know the number
    assert machine.ask(example, machine.path / "gone") == DEFAULT
    disk = machine.drive()
    assert machine.ask(example) == printed(BEST)
    (disk / "wwid").write_text("", encoding="ascii")
    assert machine.ask(example) == DEFAULT
    (disk / "wwid").unlink()
    assert machine.ask(example) == DEFAULT


def test_skipped_reads_are_the_default_and_never_the_writes(example: Example, machine: Machine) -> None:
    machine.drive()
    machine.put(ours(read=Skipped(skipped="block_size = 4096")))
    assert machine.ask(example) == DEFAULT


def test_another_schema_is_not_read(example: Example, machine: Machine) -> None:
    machine.drive()
    for schema in ("3", "0", "11", "12", "21", "10", '"1"', '"2"'):
        machine.put(of_schema(schema))
        assert machine.ask(example) == DEFAULT, schema
    machine.put(re.sub(r"^schema = .*\n", "", render(ours()), flags=re.MULTILINE))
    assert machine.ask(example) == DEFAULT
    machine.put(of_schema("3").replace("[device]\n", "[before]\nschema = 2\n\n[device]\n"))
    assert machine.ask(example) == DEFAULT


@pytest.mark.parametrize("schema", ["1", "2"])
def test_each_schema_with_these_parameters_is_read(example: Example, machine: Machine, schema: str) -> None:
    machine.drive()
    machine.put(of_schema(schema))
    assert machine.ask(example) == printed(BEST)


def test_keys_and_sections_to_come_are_passed_over(example: Example, machine: Machine) -> None:
    machine.drive()
    text = render(ours()).replace("ties = 41\n", 'ties = 41\nnovelty = "queue_depth = 1"\n', 1)
    machine.put(
        text.replace("[device]\n", '[before]\nid = "eui.1"\nschema = 3\n\n[device]\n')
        + "\n[read2]\nio_parallelism = 9\n"
    )
    assert machine.ask(example) == printed(BEST)


def test_a_file_that_is_cut_off_in_what_is_read_gives_the_default(example: Example, machine: Machine) -> None:
    machine.drive()
    text = render(ours())
    start = text.index("[read]")
    last = text.index("single_submit", start)
    end = text.index("\n", last)
    for cut in (0, 9, text.index(OURS) + 9, start, start + 6, start + 20, *range(last, end)):
        machine.put(text[:cut])
        assert machine.ask(example) == DEFAULT, text[start:cut]
    machine.put(text[:end])
    assert machine.ask(example) == printed(BEST)
    machine.put(text[: text.index("default_throughput", start) - 4])  # what only a whole parser finds
    assert machine.ask(example) in (DEFAULT, printed(BEST))


def test_other_peoples_files_do_no_harm(example: Example, machine: Machine) -> None:
    machine.drive()
    machine.put(ours(), "m-ours")
    for name in "az":
        machine.put(render(other("eui.1"))[:300], f"{name}-torn")
        machine.put("", f"{name}-empty")
        machine.put("schema = 1\ndevice = 7\n", f"{name}-foreign")
        machine.put(render(other("eui.1")) + f'\n[spare]\nid = "{OURS}"\n', f"{name}-spare")
        machine.put(render(other("eui.1")).replace("name = ", f'uuid = "{OURS}"\nname = ', 1), f"{name}-kin")
        (machine.profiles / f"{name}-bytes.toml").write_bytes(b"\xff\xfe\x00[device]\n\x80")
        (machine.profiles / f"{name}-link.toml").symlink_to(machine.profiles / "gone")
        (machine.profiles / f"{name}-folder.toml").mkdir()
    (machine.profiles / "a-ours.toml.bak").write_text(render(ours(read=result())), encoding="utf-8")
    assert machine.ask(example) == printed(BEST)


HOSTILE = (
    f'"\nid = "{OURS}"\n[device]\nid = "{OURS}"\n',
    f'id = "{OURS}"',
    "[read]\nblock_size = 512\nqueue_depth = 1\n",
    '\u2028[read]\u2028block_size = 512\u2028\x85[device]\x85id = "x"\x85',
    "$(touch /tmp/no) `id` %s%n \\",
    "\\" * 3 + '"' * 3 + "'" * 3,
)


def test_texts_of_a_drive_are_never_taken_for_lines(example: Example, machine: Machine) -> None:
    machine.drive()
    for place, text in enumerate(HOSTILE):
        device = device_info(id=f"eui.{place}", model=text, serial=text, firmware=text, members=(text,))
        machine.put(other("", device=device, write=Skipped(skipped=text)), f"a-{place}")
        machine.put(other("", device=replace(device, id=text)), f"z-{place}")
    own = device_info(id=OURS, model="".join(HOSTILE), serial=HOSTILE[0], members=HOSTILE)
    machine.put(ours(device=own, evidence=evidence(target=HOSTILE[2], findings=(*HOSTILE, "x[read]" * 20_000))))
    assert machine.ask(example) == printed(BEST)
    machine.put(ours(device=own, read=Skipped(skipped=HOSTILE[2]), write=Skipped(skipped=HOSTILE[2])))
    assert machine.ask(example) == DEFAULT


def test_the_shell_takes_large_device_numbers_apart(machine: Machine, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "stat").write_text(f"#!/bin/sh\necho {os.makedev(259, 70_000)}\n", encoding="ascii")
    (tools / "stat").chmod(0o755)
    machine.drive(number="259:70000")
    machine.put(ours())
    example = shell_example(tmp_path)
    assert example.run(machine.path, machine.host.sys, machine.profiles, path=str(tools)) == printed(BEST)


# --- what readers of lines are promised ------------------------------------------------------------------

LINE = re.compile(r"([a-z0-9_]+) = (.+)")
# Or a string, in which a comma and a bracket are text.
LAST_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,\]')
VARIANTS = (
    profile(),
    profile(schema=1),
    profile(read=result(challengers=((MIB, 8, 1, 1, 0, 9_800), (MIB // 2, 16, 4, 0, 1, 9_750)), kept_from="earlier")),
    profile(read=result(challengers=())),
    read_only_profile(),
    never_measured_profile(),
    profile(read=Unmeasured(setting=setting(), overridden=("queue_depth",))),
    consumer_profile(),
    profile(evidence=evidence(read_noise=1e-7, seconds=1e16, findings=())),
)
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.text(alphabet="\\\"'u41\n\r\x7f\x00\x85\u2028[]=#, ", max_size=20),
    st.sampled_from(HOSTILE),
)


def by_lines(text: str) -> dict[str, Any]:
    """Read a profile as profile-format.md promises: each value is JSON but for the last comma of an array."""
    document: dict[str, Any] = {}
    table = document
    assert text.startswith(HEADER)
    assert text.endswith("\n")
    for line in text[len(HEADER) : -1].split("\n"):
        if line.startswith("["):
            assert re.fullmatch(r"\[[a-z_]+\]", line)
            assert line[1:-1] not in document
            table = document[line[1:-1]] = {}
        elif line:
            found = LINE.fullmatch(line)
            assert found, line
            key, value = found.groups()
            assert key not in table
            table[key] = json.loads(LAST_COMMA.sub(lambda match: match[1] or "]", value))
    return document


def check_form(text: str) -> None:
    assert by_lines(text) == tomllib.loads(text)
    assert re.match(rf"{re.escape(HEADER)}schema = [12]\nstate = ", text)
    assert '\n[device]\nid = "' in text
    for section in ("read", "write", "combined"):
        first = text.partition(f"\n[{section}]\n")[2].split("\n")[:5]
        assert [line.partition(" = ")[0] for line in first] == list(KEYS) or first[0].startswith("skipped = ")


@pytest.mark.parametrize("made", VARIANTS)
def test_a_profile_can_be_read_line_by_line(made: Profile) -> None:
    check_form(render(made))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(TEXT, TEXT, st.lists(TEXT, max_size=3), TEXT)
def test_so_it_can_whatever_is_in_its_texts(model: str, serial: str, texts: list[str], reason: str) -> None:
    device = device_info(id=model or "-", model=model, serial=serial, members=tuple(texts))
    made = profile(device=device, write=Skipped(skipped=reason or "-"), evidence=evidence(findings=tuple(texts)))
    check_form(render(made))


# --- the document ----------------------------------------------------------------------------------------


def test_the_document_links_the_examples_that_are_tried_here() -> None:
    assert "(../examples)" in DOCUMENT.read_text(encoding="utf-8")
    languages = {"py": "python", "c": "c", "rs": "rust", "go": "go", "sh": "sh"}
    assert sorted(languages[file.suffix[1:]] for file in EXAMPLES.iterdir()) == sorted(BUILD)
