"""What does not work in a program of the fleet: each trouble is logged when it begins, and kept until it ends."""

from __future__ import annotations

import logging

_log = logging.getLogger(__name__)


class Troubles:
    """The sentences by the part of the work; str() joins them, and len() counts them."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, str]] = {}

    def tell(self, part: str, said: str, kind: str = "") -> None:
        """Keep the trouble of a part; "" ends it. One with a kind is logged again only if its kind changes.

        The text of an error may differ at each attempt, as by the endpoint that was tried.
        """
        before = self._found.pop(part, None)
        if not said:
            if before:
                _log.info("fleet: solved: %s", before[1])
            return
        self._found[part] = (kind or said, said)
        if before is None or before[0] != (kind or said):
            _log.warning("fleet: %s", said)

    def __len__(self) -> int:
        return len(self._found)

    def __str__(self) -> str:
        return "; ".join(said for _, said in self._found.values())
