"""The build backend: scikit-build-core, but a missing package is one line in place of the log of CMake."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scikit_build_core import build as _build
from scikit_build_core.build import *  # noqa: F403 - the hooks that are not replaced below

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Settings = Mapping[str, list[str] | str] | None

# CMakeLists.txt stops with what is missing and how to get it. CMake indents this text, and folds it at 77 columns.
_STOPPED = re.compile(r"^CMake Error at CMakeLists\.txt:\d+ \(message\):\n((?: {2}.+\n)+)", re.MULTILINE)
_NO_COMPILER = re.compile(r"No CMAKE_C_COMPILER could be found|is not able to compile a simple test program")
_GET_COMPILER = "no working C compiler found; install gcc and libc6-dev (Debian, Ubuntu) or gcc (Fedora, RHEL, SUSE)"


def cause(log: str) -> str | None:
    """Return what a build lacked and what to install, in one line; None if its log does not tell."""
    if stopped := _STOPPED.search(log):
        return " ".join(stopped[1].split())
    return _GET_COMPILER if _NO_COMPILER.search(log) else None


def _content(descriptor: int) -> str:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")


@contextmanager
def _one_line() -> Iterator[None]:
    """Hold back what the block prints; if it fails, print its cause instead, or everything if that is unknown."""
    with tempfile.TemporaryFile() as log:
        sys.stdout.flush()
        sys.stderr.flush()
        real = os.dup(1), os.dup(2)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        known = None
        try:
            yield
        except BaseException:
            known = cause(_content(log.fileno()))
            if known is None:
                raise
            raise SystemExit(f"aio-tuned: {known}") from None
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in zip((1, 2), real, strict=True):
                os.dup2(original, descriptor)
                os.close(original)
            if known is None:
                print(_content(log.fileno()), end="", flush=True)


def build_wheel(folder: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """Build a wheel in the folder, and return its name."""
    with _one_line():
        return str(_build.build_wheel(folder, config_settings, metadata_directory))


def build_editable(folder: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """Build an editable wheel in the folder, and return its name."""
    with _one_line():
        return str(_build.build_editable(folder, config_settings, metadata_directory))
