"""Who sweeps: how many drives of a class are swept, and which of the nodes that ask may be next."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from aio_tuned.fleet import rejection
from aio_tuned.fleet.consensus import SWEEPS, voting
from aio_tuned.fleet.draw import draw

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from aio_tuned.fleet.report import DriveReport

# A fourth and a fifth sweep settle who is odd; a class that differs after that is no class.
MOST_SWEEPS = 5


def wanted(reports: Iterable[DriveReport], now_s: int) -> int:
    """Return how many sweeps the class is to have: three, and one more for each time that they disagree, up to five."""
    sweeps = voting(reports, now_s)
    if len(sweeps) < SWEEPS:
        return SWEEPS
    verdict = rejection.judge(sweeps)
    settled = not verdict.disagreement and len(verdict.accepted) >= SWEEPS
    return len(sweeps) if settled else max(len(sweeps), min(len(sweeps) + 1, MOST_SWEEPS))


def open_slots(reports: Sequence[DriveReport], held: Collection[int], now_s: int) -> tuple[int, ...]:
    """Return the claims 0 to 4 that a node may take now; `held` are those of nodes that are sweeping.

    Sweeps in the past need no claim, so a class that lacks two sweeps has two claims.
    """
    missing = wanted(reports, now_s) - len(voting(reports, now_s)) - len(held)
    return tuple(slot for slot in range(MOST_SWEEPS) if slot not in held)[: max(missing, 0)]


def order(
    asking: Iterable[tuple[str, str]], reports: Iterable[DriveReport], sweeping: Iterable[str], key: str, now_s: int
) -> tuple[str, ...]:
    """Return the nodes of `asking`, each a node and its rack, in the order in which they should sweep.

    Racks with the fewest sweeps of the class are first, so that one rack's heat or power is not taken for the class's;
    `sweeping` are the racks of the nodes that sweep now. Nodes without a known rack count as one of their own. A node
    that swept is not asked again. The order within a rack is the same on all nodes, and another one for each class.
    """
    sweeps = voting(reports, now_s)
    racks = Counter([*(each.domain for each in sweeps), *sweeping])
    swept = {each.node for each in sweeps}
    drawn = sorted((draw(key, node), node, rack) for node, rack in dict(asking).items() if node not in swept)
    turns = []
    for number, node, rack in drawn:
        turns.append((racks[rack] if rack else 0, number, node))
        racks[rack] += 1
    return tuple(node for _, _, node in sorted(turns))
