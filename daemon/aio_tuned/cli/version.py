"""`aio-tuned --version`: the version, the commit that was built, and the protocol of aio-sweep."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from aio_tuned import __version__

_PACKAGE = Path(__file__).parents[1]
UNKNOWN = "unknown"


def commit(package: Path = _PACKAGE) -> str:
    """Return the commit that the package was built from; in a source tree, the present one. "unknown" without git."""
    import subprocess  # every start of `aio-tuned run` would wait for it

    recorded, script = package / "COMMIT", package.parents[1] / "native/commit.sh"
    try:
        if recorded.exists():  # the build wrote it
            return recorded.read_text(encoding="utf-8").strip()
        if script.exists():
            return subprocess.run(["sh", script], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        pass
    return UNKNOWN


class ShowVersion(argparse._VersionAction):  # noqa: SLF001 - the completions know an option that exits by this class
    """Print the version on one line and exit; what it takes is loaded and read only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:  # noqa: ANN401 - argparse passes anything
        """Print the line."""
        from aio_tuned.helper.protocol import PROTOCOL

        print(f"aio-tuned {__version__} (commit {commit()}, aio-sweep protocol {PROTOCOL})")
        parser.exit()
