"""Small libraries in place of what a machine without a GPU lacks; they hold nothing of the consumers."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def library(source: str, file: Path, version: str | None = None) -> Path:
    """That C source as a shared library in that file; the test is skipped without a compiler.

    All its symbols have the version, which programs that were linked with the real library may ask for.
    """
    import pytest

    if shutil.which("cc") is None:
        pytest.skip("no C compiler: install gcc")
    words: list[str | Path] = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{file.name}", "-x", "c", "-", "-o", file, "-ldl"]
    if version is not None:
        script = file.with_suffix(".version")
        script.write_text(f"{version} {{ *; }};\n")
        words.append(f"-Wl,--version-script={script}")
    subprocess.run(words, input=source, text=True, check=True)
    return file
