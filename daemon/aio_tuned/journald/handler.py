"""Adapter: where log records go. systemd's journal with their fields, or standard error.

The fields are those that events.py makes. They need the extra `journal` (Debian: python3-systemd); without it, as
outside of systemd, all the words are there, and only the fields are missing.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from aio_tuned.journald.events import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

IDENTIFIER = "aio-tuned"
_LEVELS = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_STDERR = 2


class _Formatter(logging.Formatter):
    """With the level as the journal reads it (sd-daemon(3)), where standard error goes there."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_LEVELS.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).split("\n"))


def is_journal(stream: str, descriptor: int = _STDERR) -> bool:
    """Whether the descriptor is the connection to the journal that JOURNAL_STREAM (systemd.exec(5)) names.

    The variable is inherited by programs whose output goes elsewhere.
    """
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return stream == f"{found.st_dev}:{found.st_ino}"


def _with_fields() -> logging.Handler | None:
    """A handler that hands the records' fields on to the journal; None if python3-systemd is not there."""
    try:
        from systemd.journal import JournalHandler
    except ImportError:
        return None
    found: logging.Handler = JournalHandler(SYSLOG_IDENTIFIER=IDENTIFIER)
    # Without one, logging.basicConfig() gives it one of its own, which says the level and the module once more.
    found.setFormatter(logging.Formatter("%(message)s"))
    found.addFilter(_sendable)
    return found


def _sendable(record: logging.LogRecord) -> bool:
    """Make all of it UTF-8, which the journal takes only: paths are bytes."""
    record.msg, record.args = _utf8(record.getMessage()), ()
    for name, value in vars(record).items():
        if name.startswith(PREFIX):
            setattr(record, name, _utf8(value))
    return True


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def handler(environment: Mapping[str, str], descriptor: int = _STDERR) -> logging.Handler:
    """The best there is for this environment, with `descriptor` for standard error."""
    stream = environment.get("JOURNAL_STREAM")
    if stream is not None and is_journal(stream, descriptor) and (found := _with_fields()):
        return found
    found = logging.StreamHandler(sys.stderr)
    # systemd says where its journal is; a person wants the time instead.
    found.setFormatter(_Formatter("%(message)s") if stream else logging.Formatter("%(asctime)s %(message)s"))
    return found


def log() -> None:
    """Let all that is logged from now on, from information upwards, go there."""
    logging.basicConfig(level=logging.INFO, handlers=[handler(os.environ)])
    logging.getLogger("asyncio").setLevel(logging.WARNING)
