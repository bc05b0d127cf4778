"""`make deb`: what is in the package. tests/vm/test_package.py installs it."""

# It shares nothing with other tests: it may run beside any of them.

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from aio_tuned import __version__
from aio_tuned.config.load import DEFAULT_PATH
from documents import links

ROOT = Path(__file__).parents[2]


def run(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built as `make deb` builds it."""
    lacking = [name for name in ("dpkg-buildpackage", "dh", "dh_python3", "lintian") if shutil.which(name) is None]
    if lacking:
        pytest.skip(f"needs {', '.join(lacking)} (sh .ci/bootstrap deb)")
    return Path(run(ROOT / ".deb/build", tmp_path_factory.mktemp("deb")).strip())


@pytest.fixture(scope="module")
def unpacked(package: Path) -> Path:
    """Its files, and its control files in DEBIAN/."""
    run("dpkg-deb", "--raw-extract", package, package.parent / "unpacked")
    return package.parent / "unpacked"


def field(package: Path, name: str) -> str:
    return run("dpkg-deb", "--field", package, name).strip()


def test_it_is_named_as_is_usual(package: Path) -> None:
    architecture = run("dpkg", "--print-architecture").strip()
    assert package.name == f"aio-tuned_{__version__}_{architecture}.deb"
    assert field(package, "Version") == __version__


def test_lintian_finds_nothing(package: Path) -> None:
    assert run("lintian", "--allow-root", "--fail-on=error,warning", package) == ""


def test_it_depends_on_the_distributions_own_packages(package: Path) -> None:
    wanted = field(package, "Depends")
    for name in ("python3-numpy", "python3-pyudev", "python3-sdnotify", "python3-toml"):
        assert f"{name} (>= " in wanted
    assert re.search(r"python3 \(>= 3\.11\) \| python3-tomli\b", wanted)
    assert re.search(r"\blibaio1(t64)? \(>= ", wanted)


def test_every_module_and_the_helper_are_there(unpacked: Path) -> None:
    ours = {path.name for path in (ROOT / "daemon/aio_tuned").iterdir() if path.name != "__pycache__"}
    package = unpacked / "usr/lib/python3/dist-packages/aio_tuned"
    assert {path.name for path in package.iterdir()} == ours | {"COMMIT"}
    assert re.fullmatch(r"([0-9a-f]{12}(-dirty)?|unknown)\n", (package / "COMMIT").read_text())
    assert run(unpacked / "usr/bin/aio-sweep", "--version").strip() == f"aio-sweep {__version__}"
    assert (unpacked / "usr/bin/aio-tuned").read_text().startswith("#!/usr/bin/python3 -I\n")


def test_every_man_page_is_there(unpacked: Path) -> None:
    for source in (ROOT / "docs/man").iterdir():
        installed = unpacked / f"usr/share/man/man{source.suffix[1:]}/{source.name}.gz"
        assert gzip.decompress(installed.read_bytes()).decode() == source.read_text(), source.name


@pytest.mark.parametrize(
    ("installed", "source"),
    [
        ("bash-completion/completions/aio-tuned", "bash/aio-tuned"),
        ("fish/vendor_completions.d/aio-tuned.fish", "fish/aio-tuned.fish"),
        ("zsh/vendor-completions/_aio-tuned", "zsh/_aio-tuned"),
    ],
)
def test_the_completions_are_where_the_shells_look_for_them(unpacked: Path, installed: str, source: str) -> None:
    assert (unpacked / "usr/share" / installed).read_text() == (ROOT / "etc/completions" / source).read_text()


def test_every_document_is_there_by_its_name(unpacked: Path) -> None:
    folder = unpacked / "usr/share/doc/aio-tuned"
    for source in (ROOT / "README.md", ROOT / "native/PROTOCOL.md", *(ROOT / "docs").rglob("*")):
        assert source.is_dir() or (folder / source.relative_to(ROOT)).read_bytes() == source.read_bytes()
    for document in folder.rglob("*.md"):
        assert [link for link in links(document) if not (document.parent / link).exists()] == [], document
    page = (ROOT / "docs/man/aio-sweep.1").read_text() + (ROOT / "docs/man/aio-tuned-profile.5").read_text()
    named = re.findall(r"^\.It Pa /(usr/share/doc/\S+)$", page, flags=re.MULTILINE)
    assert len(named) == 2
    assert all((unpacked / name).is_file() for name in named)


@pytest.mark.parametrize("service", ["aio-tuned", "aio-tuned-fleet", "aio-tuned-fleet-coordinator"])
def test_the_unit_is_the_one_of_this_tree(unpacked: Path, service: str) -> None:
    (unit,) = unpacked.rglob(f"{service}.service")
    assert unit.parent.relative_to(unpacked).as_posix() in ("lib/systemd/system", "usr/lib/systemd/system")
    assert unit.read_text() == (ROOT / f"systemd/{service}.service").read_text()
    assert not list(unpacked.rglob("rules.d"))  # the udev rule is an example


def script(unpacked: Path, name: str) -> str:
    return (unpacked / "DEBIAN" / name).read_text()


def test_the_daemon_alone_is_enabled_and_started(unpacked: Path) -> None:
    text = script(unpacked, "postinst")
    assert "deb-systemd-invoke start 'aio-tuned.service'" in text
    assert re.findall(r"deb-systemd-invoke start .*fleet", text) == []
    # debhelper's lines for a unit that the operator enables act only if that was done.
    assert "if deb-systemd-helper debian-installed 'aio-tuned-fleet.service'; then" in text


def test_a_fleets_programs_are_restarted_by_an_upgrade_and_stopped_by_a_removal(unpacked: Path) -> None:
    both = "aio-tuned-fleet.service aio-tuned-fleet-coordinator.service"
    assert f"deb-systemd-invoke try-restart {both}" in script(unpacked, "postinst")
    assert f"deb-systemd-invoke stop {both}" in script(unpacked, "prerm")


@pytest.mark.parametrize("kind", ["sysusers", "tmpfiles"])
def test_the_user_is_made_before_the_folder_that_it_owns(unpacked: Path, kind: str) -> None:
    made = unpacked / f"usr/lib/{kind}.d/aio-tuned.conf"
    assert made.read_text() == (ROOT / f"systemd/aio-tuned.{kind}").read_text()
    text = script(unpacked, "postinst")
    assert 0 < text.index("systemd-sysusers aio-tuned.conf") < text.index("--create aio-tuned.conf")


def test_a_container_needs_no_systemd(package: Path) -> None:
    assert "systemd" not in field(package, "Depends")


def test_the_folders_of_bundles_are_there_and_have_no_figures(unpacked: Path) -> None:
    assert [path.name for path in (unpacked / "usr/lib/aio-tuned/models.d").iterdir()] == ["README"]
    assert list((unpacked / "etc/aio-tuned/models.d").iterdir()) == []


def test_the_journals_catalog_is_where_journalctl_looks(unpacked: Path) -> None:
    catalog = unpacked / "usr/lib/systemd/catalog/aio-tuned.catalog"  # a trigger of systemd's package takes it in
    assert catalog.read_text() == (ROOT / "systemd/aio-tuned.catalog").read_text()


def test_the_configuration_is_a_conffile(unpacked: Path) -> None:
    assert (unpacked / "DEBIAN/conffiles").read_text().split() == [str(DEFAULT_PATH)]
    assert (unpacked / str(DEFAULT_PATH)[1:]).read_text() == (ROOT / "etc/aio-tuned.conf").read_text()
