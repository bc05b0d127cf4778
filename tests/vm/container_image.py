"""The image that docs/kubernetes/Containerfile describes, as a disk: there is no container engine here to build it.

The base with what the package depends on takes two minutes, and is kept until the Containerfile or the dependencies
change; the package of this tree is laid on it in seconds.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import containerfile
from vm.kept import kept, run
from vm.product import package
from vm.rig.errors import RigError

if TYPE_CHECKING:
    from collections.abc import Iterator

# What the base image is made of.
_SUITES = {"docker.io/library/debian:12-slim": "bookworm"}
_FROM_BUILD = re.compile(r"--from=build /package/\*\.deb (/\S*/)")
_ROOMY_BYTES = 2 << 30


@contextmanager
def _roomy(folder: Path) -> Iterator[Path]:
    """A folder in memory where there is room: dpkg's fsyncs are most of the time otherwise."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > _ROOMY_BYTES
    with tempfile.TemporaryDirectory(prefix="vmrig-root-", dir=memory if roomy else folder) as made:
        yield Path(made)


def _key(*what: str) -> str:
    return hashlib.sha256("\0".join((Path(__file__).read_text(), *what)).encode()).hexdigest()[:12]


def _build(stage: containerfile.Stage, deb: Path, folder: Path) -> None:
    """The Containerfile's last stage, instruction by instruction; the package is that of `make deb`."""
    if stage.base not in _SUITES:
        raise RigError(f"{containerfile.PATH}: no way is known to make {stage.base} here")
    hooks = []
    for number, (word, text) in enumerate(stage.instructions):
        if word == "COPY":
            found = _FROM_BUILD.fullmatch(text)
            assert found, text
            hooks.append(f"--customize-hook=copy-in {deb} {found[1]}")
        elif word == "RUN":
            script = folder / f"run{number}"
            script.write_text(text)
            hooks.append(f'--customize-hook=chroot "$1" sh < {script}')
    slim = (f"--dpkgopt=path-exclude=/usr/share/{kind}/*" for kind in ("doc", "man", "locale"))
    with _roomy(folder) as made:
        words = [
            "env",
            f"TMPDIR={made}",
            "mmdebstrap",
            "--quiet",
            "--mode=root",
            "--variant=minbase",
            *slim,
            *hooks,
            _SUITES[stage.base],
        ]
        run([*words, made / "root.tar"], folder)
        shutil.move(made / "root.tar", folder)


def _lay(base: Path, deb: Path, folder: Path) -> None:
    """The package of this tree on such a root, as an ext4."""
    with _roomy(folder) as made:
        run(["tar", "-x", "--numeric-owner", "-f", base, "-C", made], folder)
        shutil.copy(deb, made / "tmp/aio-tuned.deb")
        run(["chroot", made, "dpkg", "--install", "/tmp/aio-tuned.deb"], folder)
        (made / "tmp/aio-tuned.deb").unlink()
        run(["mke2fs", "-q", "-t", "ext4", "-E", "nodiscard", "-d", made, folder / "root.img", "1G"], folder)


def disk_image() -> Path:
    """An ext4 with the image's root."""
    _, stage = containerfile.stages()
    deb = package(_SUITES[stage.base])
    words = ["dpkg-deb", "--field", str(deb), "Depends", "Pre-Depends"]
    needs = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    base = kept(f"product-root-{_key(repr(stage), needs)}", lambda folder: _build(stage, deb, folder)) / "root.tar"
    key = _key(base.parent.name, deb.parent.name)
    return kept(f"product-container-{key}", lambda folder: _lay(base, deb, folder)) / "root.img"
