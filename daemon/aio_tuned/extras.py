"""The commands that install optional Python packages."""

from __future__ import annotations

import sys


def get(debian: str, package: str) -> str:
    """Return the commands that install a package: apt for Debian's interpreter, pip for a virtual environment."""
    return f"apt-get install {debian}, or {sys.executable} -m pip install {package}"
