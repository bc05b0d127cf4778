"""Metrics as text for Prometheus, written without its client, whose import takes some MB of memory."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from aio_tuned.errors import PublishError
from aio_tuned.storage import atomic_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_log = logging.getLogger(__name__)

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Family(NamedTuple):
    """One metric: its name, kind and help, and the number of each series by its labels, each a name and a value."""

    name: str
    kind: Literal["gauge", "counter"]
    text: str
    series: Mapping[tuple[tuple[str, str], ...], float]


def render(*families: Family) -> str:
    """Return the text of a file for node_exporter's textfile collector."""
    return "".join(f"{line}\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.text}"
    yield f"# TYPE {family.name} {family.kind}"
    for labels, number in family.series.items():
        inner = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels)
        yield f"{family.name}{{{inner}}} {float(number)!r}" if labels else f"{family.name} {float(number)!r}"


class MetricsFile:
    """The file of a program in the runtime folder of its unit; nothing is written without one."""

    def __init__(self, name: str) -> None:
        folder = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
        self._path = Path(folder) / name if folder else None

    def write(self, text: str) -> None:
        """Replace the file; log an error, and do not try again then."""
        try:
            if self._path:
                write(self._path, text)
        except PublishError as error:
            _log.warning("fleet: %s", error)
            self._path = None


def write(path: Path, text: str) -> None:
    """Replace the file; raise PublishError if it cannot be written. It is worth nothing after a power cut."""
    atomic_file.publish(path, text, sync=False)
