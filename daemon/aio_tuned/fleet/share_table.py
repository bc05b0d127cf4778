"""The shares of points on several drives, ready to be looked up: a class may have a thousand sweeps."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.fleet.report import DirectionReport
    from aio_tuned.model.setting import Setting


class ShareTable:
    """The best points of several drives; a point that is not among a drive's best has the share of the last of them."""

    def __init__(self, parts: Iterable[DirectionReport]) -> None:
        self._rows = [(dict(part.best), part.best[-1].share) for part in parts]
        self.listed: Counter[Setting] = Counter(point for row, _ in self._rows for point in row)

    def shares(self, point: Setting) -> list[int]:
        """Return the share of a point on each drive."""
        return [row.get(point, last) for row, last in self._rows]
