"""What single tests need of the machine besides what their tier needs."""

from __future__ import annotations

import os
import shutil

import pytest


def command(name: str, get: str) -> str:
    """The path of the command. Without it the test fails in CI and is skipped elsewhere; `get` says how to get it."""
    found = shutil.which(name)
    if found:
        return found
    reason = f"needs {name} ({get})"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(reason)
    pytest.skip(reason)
