"""How many drives of a class are to be swept, and which claims for it are open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.fleet.consensus import SWEEPS

if TYPE_CHECKING:
    from collections.abc import Collection

    from aio_tuned.fleet.votes import Votes

# A fourth and a fifth sweep settle who is odd; a class that differs after that is no class.
MOST_SWEEPS = 5


def wanted(votes: Votes) -> int:
    """Return how many sweeps the class is to have: three, and one more for each time that they disagree, up to five."""
    count = len(votes.sweeps)
    if count < SWEEPS:
        return SWEEPS
    return count if not votes.disagreement else max(count, min(count + 1, MOST_SWEEPS))


def open_slots(votes: Votes, held: Collection[int]) -> tuple[int, ...]:
    """Return the claims 0 to 4 that a node may take now; `held` are those of nodes that are sweeping.

    Sweeps in the past need no claim, so a class that lacks two sweeps has two claims. Any node may write a claim with
    another number, which is none.
    """
    free = [slot for slot in range(MOST_SWEEPS) if slot not in held]
    missing = wanted(votes) - len(votes.sweeps) - (MOST_SWEEPS - len(free))
    return tuple(free[: max(missing, 0)])
