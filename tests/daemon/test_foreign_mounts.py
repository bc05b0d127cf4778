"""A real mount that takes a drive's name as its source, in a namespace of its own."""

# It shares nothing with other tests: it may run beside any of them.

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import storage

ROOT = Path(__file__).parents[2]
_LOOK = """
import sys
from pathlib import Path
from aio_tuned.devices import resolve
found = resolve.resolve(Path(sys.argv[1]))
print(found.mount.point if found.mount else "not mounted")
"""


def where(node: Path, point: Path, *mount: str) -> str:
    """Where the node is mounted, in a namespace in which this was mounted at `point`."""
    script = 'mount "$@" && shift $(($# - 2)) && exec "$PYTHON" -c "$LOOK" "$1"'
    environment = {**os.environ, "PYTHON": sys.executable, "LOOK": _LOOK, "PYTHONPATH": str(ROOT / "daemon")}
    command = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        script,
        "sh",
        *mount,
        str(node),
        str(point),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_only_the_filesystem_that_is_on_the_drive_is_its_own(tmp_path: Path) -> None:
    point = tmp_path / "point"
    point.mkdir()
    with storage.open_loop_device(64 << 20, tmp_path) as node:
        assert where(node, point, "-t", "tmpfs") == "not mounted"
        storage.run(*storage.MAKE["ext4"], node)
        assert where(node, point, "-t", "ext4") == str(point)
