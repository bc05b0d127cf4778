"""`make install` and `make uninstall`, into a folder that stands for /."""

# It shares nothing with other tests: it may run beside any of them.

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOME = "opt/aio-tuned"
UNIT = "etc/systemd/system/aio-tuned.service"
SERVICES = {"aio-tuned": "daemon", "aio-tuned-fleet": "fleet agent", "aio-tuned-fleet-coordinator": "fleet coordinator"}
SETTINGS = "etc/aio-tuned/aio-tuned.conf"
COMMANDS = ("aio-tuned", "aio-sweep")
SHARE = "usr/local/share"
SHARED = {
    **{f"man/man{path.suffix[1:]}/{path.name}": path for path in (ROOT / "docs/man").iterdir()},
    "bash-completion/completions/aio-tuned": ROOT / "etc/completions/bash/aio-tuned",
    "fish/vendor_completions.d/aio-tuned.fish": ROOT / "etc/completions/fish/aio-tuned.fish",
    "zsh/site-functions/_aio-tuned": ROOT / "etc/completions/zsh/_aio-tuned",
}


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Outside of the `make test` that may have started this."""
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def make(*words: str) -> subprocess.CompletedProcess[str]:
    return run("make", "--no-print-directory", *words)


def make_well(*words: str) -> str:
    done = make(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def files(root: Path) -> set[str]:
    """All that is no directory, as seen from `root`."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_symlink() or not path.is_dir()}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one `make install` made; not to be changed."""
    root = tmp_path_factory.mktemp("installed")
    make_well("install", f"DESTDIR={root}")
    return root


@pytest.fixture
def root(installed: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(installed, tmp_path / "root", symlinks=True))


def test_the_commands_are_on_the_path_and_run(installed: Path) -> None:
    for command in COMMANDS:
        assert (installed / "usr/local/bin" / command).readlink() == Path("/") / HOME / "bin" / command
        assert os.access(installed / HOME / "bin" / command, os.X_OK)
    for words in (["bin/python", "-m", "aio_tuned", "--version"], ["bin/aio-sweep", "--version"]):
        done = subprocess.run([installed / HOME / words[0], *words[1:]], capture_output=True, text=True, check=False)
        assert done.stdout.startswith(("aio-tuned ", "aio-sweep ")), done.stderr
    (recorded,) = (installed / HOME).rglob("aio_tuned/COMMIT")
    assert re.fullmatch(r"([0-9a-f]{12}(-dirty)?|unknown)\n", recorded.read_text())


def test_man_pages_and_completions_are_where_programs_look_for_them(installed: Path) -> None:
    made = {path: (installed / path).read_text() for path in files(installed) if path.startswith(SHARE)}
    assert made == {f"{SHARE}/{name}": source.read_text() for name, source in SHARED.items()}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_started_from_its_own_environment(installed: Path, service: str) -> None:
    source = (ROOT / f"systemd/{service}.service").read_text()
    unit = (installed / f"etc/systemd/system/{service}.service").read_text()
    assert f"\nExecStart=/{HOME}/bin/aio-tuned {SERVICES[service]}\n" in unit
    assert unit == source.replace("ExecStart=/usr/bin/", f"ExecStart=/{HOME}/bin/")


def test_no_service_is_enabled_in_a_folder(installed: Path) -> None:
    assert list((installed / "etc/systemd").rglob("*.wants")) == []


@pytest.mark.parametrize("kind", ["sysusers", "tmpfiles"])
def test_the_user_and_the_folders_of_the_fleet_are_where_systemd_looks(installed: Path, kind: str) -> None:
    made = installed / f"usr/local/lib/{kind}.d/aio-tuned.conf"
    assert made.read_text() == (ROOT / f"systemd/aio-tuned.{kind}").read_text()


def test_the_folders_of_bundles_are_there_and_have_no_figures(installed: Path) -> None:
    assert [path.name for path in (installed / "usr/lib/aio-tuned/models.d").iterdir()] == ["README"]
    assert list((installed / "etc/aio-tuned/models.d").iterdir()) == []


def test_the_packages_of_a_fleet_are_for_those_who_ask(installed: Path) -> None:
    assert list((installed / HOME).rglob("etcd3gw")) == []


def test_the_journals_catalog_is_where_journalctl_looks(installed: Path) -> None:
    catalog = installed / "usr/local/lib/systemd/catalog/aio-tuned.catalog"
    assert catalog.read_text() == (ROOT / "systemd/aio-tuned.catalog").read_text()


def test_nothing_that_runs_names_the_staging_folder(installed: Path) -> None:
    scripts = [path for path in (installed / HOME / "bin").iterdir() if path.is_file()]
    named = [
        path.name
        for path in (*scripts, installed / HOME / "pyvenv.cfg")
        if str(installed).encode() in path.read_bytes()
    ]
    assert named == []
    assert (installed / HOME / "bin/aio-tuned").read_text().startswith(f"#!/{HOME}/bin/python")


def test_everybody_may_read_and_only_root_write(installed: Path) -> None:
    for path in installed.rglob("*"):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode):
            assert mode & 0o022 == 0, path
            assert mode & 0o444 == 0o444, path


@pytest.mark.long
def test_installing_again_keeps_the_configuration_and_nothing_else_of_before(root: Path) -> None:
    before = files(root)
    (root / SETTINGS).write_text("[choose]\ntolerance_percent = 2.0\n")
    (root / UNIT).write_text("an older one\n")
    (root / HOME / "bin/aio-sweep").write_text("an older one\n")
    (root / HOME / "left-over").touch()
    (root / "etc/aio-tuned/drive.toml").write_text("a profile\n")
    said = make_well("install", f"DESTDIR={root}")
    assert "aio-tuned.conf is kept" in said
    assert (root / SETTINGS).read_text() == "[choose]\ntolerance_percent = 2.0\n"
    assert "ExecStart=" in (root / UNIT).read_text()
    assert (
        subprocess.run([root / HOME / "bin/aio-sweep", "--version"], capture_output=True, check=False).returncode == 0
    )
    assert files(root) == before | {"etc/aio-tuned/drive.toml"}


def test_uninstall_keeps_what_is_the_users(root: Path) -> None:
    others = {"usr/local/bin/other", f"{SHARE}/man/man1/other.1", f"{SHARE}/zsh/site-functions/_other"}
    theirs = {SETTINGS, "etc/aio-tuned/drive.toml", "var/lib/aio-tuned/drive.samples.jsonl"} | others
    for name in theirs - {SETTINGS}:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    assert "PURGE=1" in make_well("uninstall", f"DESTDIR={root}")
    assert files(root) == theirs
    assert not (root / HOME).exists()
    make_well("uninstall", f"DESTDIR={root}")  # there is nothing left to remove, which is fine
    make_well("uninstall", f"DESTDIR={root}", "PURGE=1")
    assert files(root) == others


# What is there of the machine is out of sight in here, /run/systemd with it.
FROM_THE_MACHINE = """
set -e
for folder in etc opt run usr/local/bin usr/local/share var/lib; do mount -t tmpfs none /$folder; done
for folder in etc opt usr/local/bin usr/local/share; do cp -a "$1/$folder/." /$folder; done
mkdir -p /var/lib/aio-tuned && touch /var/lib/aio-tuned/something
test -e /usr/local/share/man/man1/aio-tuned.1
make --no-print-directory uninstall
test ! -e /usr/local/share/man/man1/aio-tuned.1
test ! -e /opt/aio-tuned && test ! -e /usr/local/bin/aio-tuned && test -e /etc/aio-tuned/aio-tuned.conf
make --no-print-directory uninstall PURGE=1
test ! -e /etc/aio-tuned && test ! -e /var/lib/aio-tuned
"""


def test_uninstall_from_the_machine_itself(root: Path) -> None:
    done = run("unshare", "--mount", "--propagation=private", "sh", "-c", FROM_THE_MACHINE, "sh", root)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_command_that_is_not_ours_stays(root: Path) -> None:
    command = root / "usr/local/bin/aio-tuned"
    command.unlink()
    command.write_text("somebody's own\n")
    make_well("uninstall", f"DESTDIR={root}")
    assert command.read_text() == "somebody's own\n"


@pytest.mark.parametrize(
    ("hidden", "named"),
    [
        ("mount -t tmpfs none /usr/include", "libaio not found; install libaio-dev (Debian, Ubuntu) or libaio-devel"),
        ("export CC=/bin/false", "no working C compiler found; install gcc and libc6-dev (Debian, Ubuntu) or gcc"),
    ],
)
def test_pip_names_a_missing_package_on_the_one_line_of_the_build(tmp_path: Path, hidden: str, named: str) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", f"--wheel-dir={tmp_path}"]
    pip += [f"--config-settings=build-dir={tmp_path / 'build'}", str(ROOT)]
    done = run("unshare", "--mount", "--propagation=private", "sh", "-c", f'{hidden} && exec "$@"', "sh", *pip)
    assert done.returncode != 0
    told = done.stdout + done.stderr
    (ours,) = (line for line in told.splitlines() if line.strip().startswith("aio-tuned: "))
    assert ours.strip().startswith(f"aio-tuned: {named}")
    assert "CMake" not in told
    assert "[1 lines of output]" in told


def test_what_is_no_environment_of_ours_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / HOME).mkdir(parents=True)
    (tmp_path / HOME / "precious").touch()
    for action in ("install", "uninstall"):
        done = make(action, f"DESTDIR={tmp_path}")
        assert done.returncode != 0
        assert "is in the way" in done.stderr
    assert files(tmp_path) == {f"{HOME}/precious"}


def test_a_relative_destdir_is_refused(tmp_path: Path) -> None:
    done = make("install", f"DESTDIR={os.path.relpath(tmp_path, ROOT)}")
    assert done.returncode != 0
    assert "is not an absolute path" in done.stderr
    assert files(tmp_path) == set()
