"""What came of a simulated fleet: who was swept, who checked, which settings nodes have, and who is named."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from fakes.simulated.models import NAMED
from fakes.simulated.truth import truth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aio_tuned.fleet.class_status import ClassStatus
    from aio_tuned.fleet.consensus import ClassResult
    from fleet.simulated_daemon import Did
    from fleet.simulated_fleet import Outcome

# Of a class's figures: drives of one model differ by 1 %, and a lie is 60 % or more.
_FIGURES_DIFFER = 0.02
_WELL = 0.01


@dataclass(frozen=True)
class Verdict:
    """The figures of a simulation, by which it is judged."""

    outcomes: Sequence[Outcome]
    statuses: Sequence[ClassStatus]
    results: Sequence[ClassResult]

    @property
    def claimants(self) -> list[Outcome]:
        """The nodes whose drive was swept for its class."""
        return [each for each in self.outcomes if any(one.ordered and _is_of_class(each, one) for one in each.did)]

    @property
    def odd_claimants(self) -> list[Outcome]:
        return [each for each in self.claimants if not each.sound]

    @property
    def own_sweeps(self) -> list[Outcome]:
        """The nodes whose drive was swept after it had not confirmed its class."""
        return [each for each in self.outcomes if any(_is_own(each, one) for one in each.did)]

    @property
    def impatient(self) -> list[Outcome]:
        """The nodes that did not wait for their fleet any longer."""
        swept = [each for each in self.outcomes if any(one.task == "sweep" for one in each.did)]
        return [each for each in swept if each not in self.claimants and each not in self.own_sweeps]

    @property
    def well_set(self) -> float:
        """The share of nodes with settings within 1 % of their class's best."""
        return sum(each.loss <= _WELL for each in self.outcomes) / len(self.outcomes)

    @property
    def lies(self) -> list[str]:
        """What class results have that drives do not."""
        found = []
        models = {each.hardware_class: each.plan.model for each in self.outcomes}
        for result in self.results:
            model = models[result.hardware_class]
            for direction, part in result.directions():
                assert part
                true = truth(NAMED[model], direction)
                if abs(part.rate.bytes_per_s / true.best_bytes_per_s - 1) > _FIGURES_DIFFER:
                    found.append(f"{model} {direction}: {part.rate}")
                if true.of(part.setting) < (1 - _WELL) * true.best_bytes_per_s:
                    found.append(f"{model} {direction}: {part.setting}")
        return found

    def noted(self, *kinds: str) -> set[str]:
        return {each.node for status in self.statuses for each in status.noted if each.kind in kinds}

    def names(self, wanted: Callable[[Outcome], bool]) -> set[str]:
        return {each.plan.name for each in self.outcomes if wanted(each)}

    @property
    def slow(self) -> set[str]:
        return self.names(lambda each: each.plan.slow)

    @property
    def wrongly_odd(self) -> set[str]:
        return self.noted("odd", "refused") & self.names(lambda each: each.sound)

    @property
    def faults(self) -> list[str]:
        return [fault for each in self.outcomes for fault in each.faults]

    def __str__(self) -> str:
        states = Counter((each.plan.model, each.state, each.generation) for each in self.outcomes)
        checks = [one.waited_s for each in self.outcomes for one in each.did if one.task == "check"]
        odd = ", ".join(each.plan.lie or "slow" for each in self.odd_claimants)
        told = (
            f"{len(self.outcomes)} nodes, {len(self.results)} classes: {len(self.claimants)} swept for their class,"
            f" {len(self.odd_claimants)} of them odd ({odd}); {len(self.own_sweeps)} swept for themselves after their"
            f" check, and {len(self.impatient)} without their fleet"
        )
        waited = f"{len(checks)} checks, the median {median(checks or [0.0]) / 60:.0f} min after the start"
        named = (
            f"{len(self.slow & self.noted('odd', 'refused'))} of {len(self.slow)} slow drives are named, and"
            f" {sorted(self.wrongly_odd)} wrongly; lies in results: {self.lies}"
        )
        lines = [told, waited, f"within 1 % of the best: {100 * self.well_set:.2f} %", named]
        lines += [f"{trouble}" for trouble in {each.trouble for each in self.outcomes if each.trouble}]
        lines += [
            f"{model} {state}, generation {number}: {count}" for (model, state, number), count in sorted(states.items())
        ]
        lines += [
            f"class {each.hardware_class}: {each.swept} of {each.wanted} swept; {each.confirmed} confirmed,"
            f" {each.refused} refused, {each.ignored} ignored; {each.decision}; {each.disagreement}"
            for each in self.statuses
        ]
        return "\n".join([*lines, *self.faults])


def _refused_before(outcome: Outcome, did: Did) -> bool:
    return any(each.task == "check" and not each.confirms and each.at_s <= did.at_s for each in outcome.did)


def _is_of_class(outcome: Outcome, did: Did) -> bool:
    return did.task == "sweep" and not _refused_before(outcome, did)


def _is_own(outcome: Outcome, did: Did) -> bool:
    return did.task == "sweep" and _refused_before(outcome, did)
