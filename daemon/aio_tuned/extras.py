"""A package that only some of what aio-tuned does needs, and how whoever lacks it gets it."""

from __future__ import annotations

import sys


def get(debian: str, package: str) -> str:
    """What to type: for Debian's own interpreter the first, for that of a virtual environment the second."""
    return f"apt-get install {debian}, or {sys.executable} -m pip install {package}"
