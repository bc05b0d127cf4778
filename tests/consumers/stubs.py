"""Small libraries in place of what a machine without a GPU lacks; they hold nothing of the consumers."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def library(source: str, file: Path) -> Path:
    """That C source as a shared library in that file; the test is skipped without a compiler."""
    import pytest

    if shutil.which("cc") is None:
        pytest.skip("no C compiler: install gcc")
    words: list[str | Path] = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{file.name}", "-x", "c", "-", "-o", file, "-ldl"]
    subprocess.run(words, input=source, text=True, check=True)
    return file
