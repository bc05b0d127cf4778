"""A warning that a process prints once, whatever the number of engines, tiers or ranks in it."""

from __future__ import annotations

import functools
import logging


@functools.cache
def warn(logger: str, text: str) -> None:
    """Log the warning, unless this logger has it already."""
    logging.getLogger(logger).warning(text)
