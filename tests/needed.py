"""Requirements of single tests beyond those of their tier."""

from __future__ import annotations

import os
import shutil

import pytest


def command(name: str, get: str) -> str:
    """Return the path of the command; if it is missing, fail in CI and skip elsewhere, and name `get` as the remedy."""
    found = shutil.which(name)
    if found:
        return found
    reason = f"needs {name} ({get})"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(reason)
    pytest.skip(reason)
