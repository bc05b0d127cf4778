"""Limits of this process, of its own or for the duration of a test."""

from __future__ import annotations

import os
import resource
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

digits_are_limited = pytest.mark.skipif(
    not hasattr(sys, "get_int_max_str_digits"), reason="Python 3.10.6 and earlier read numbers of any length"
)


@contextmanager
def files_no_larger_than(count: int) -> Iterator[None]:
    """Make every write fail that would make a file larger than `count` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Limit this process to that number of additional descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
