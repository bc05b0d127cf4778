"""The destination of log records: systemd's journal with their fields, or standard error.

The fields, which events.py defines, need the extra `journal` (Debian: python3-systemd). Without it, as outside of
systemd, the messages are complete and only the fields are missing.
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
    """A formatter that prefixes each line with its level, as the journal expects on standard error (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_LEVELS.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).split("\n"))


def is_journal(stream: str, descriptor: int = _STDERR) -> bool:
    """Return whether the descriptor is the connection to the journal that JOURNAL_STREAM names (systemd.exec(5)).

    The variable alone is no proof, because programs with redirected output inherit it too.
    """
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return stream == f"{found.st_dev}:{found.st_ino}"


def _with_fields() -> logging.Handler | None:
    """Return a handler that passes the records' fields to the journal; None if python3-systemd is not installed."""
    try:
        from systemd.journal import JournalHandler
    except ImportError:
        return None
    found: logging.Handler = JournalHandler(SYSLOG_IDENTIFIER=IDENTIFIER)
    # Without a formatter, logging.basicConfig() adds one that repeats the level and the module.
    found.setFormatter(logging.Formatter("%(message)s"))
    found.addFilter(_sendable)
    return found


def _sendable(record: logging.LogRecord) -> bool:
    """Convert all texts of the record to valid UTF-8, which the journal requires; a path may contain other bytes."""
    record.msg, record.args = _utf8(record.getMessage()), ()
    for name, value in vars(record).items():
        if name.startswith(PREFIX):
            setattr(record, name, _utf8(value))
    return True


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def handler(environment: Mapping[str, str], descriptor: int = _STDERR) -> logging.Handler:
    """Return the best handler for this environment, with `descriptor` as standard error."""
    stream = environment.get("JOURNAL_STREAM")
    if stream is not None and is_journal(stream, descriptor) and (found := _with_fields()):
        return found
    found = logging.StreamHandler(sys.stderr)
    # The journal adds the time to each record; elsewhere the line needs it.
    found.setFormatter(_Formatter("%(message)s") if stream else logging.Formatter("%(asctime)s %(message)s"))
    return found


def log() -> None:
    """Send all records of level INFO and above to the best handler for this process."""
    logging.basicConfig(level=logging.INFO, handlers=[handler(os.environ)])
    logging.getLogger("asyncio").setLevel(logging.WARNING)
