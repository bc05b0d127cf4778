"""Sweeps of one drive compared with an exhaustive reference: Markdown tables of their choices and losses."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aio_tuned.model.setting import Setting
from aio_tuned.report.terminal import summary
from aio_tuned.search.taint import taint_reason
from bench.rounds import ALIKE, Estimate, Reference, pairs, single_visits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.exhaustive import Course
    from bench.tuned import Tuned

_KEYS = tuple(field.name for field in dataclasses.fields(Setting))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All that was measured."""

    sweeps: tuple[Tuned, ...]
    courses: tuple[Course, ...]


def _row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |")


def _head(*names: str) -> None:
    print()
    _row(*names)
    print("|" + "---|" * len(names))


def _setting(table: dict[str, Any]) -> Setting:
    """The five parameters among a table's keys."""
    return Setting(**{key: table[key] for key in _KEYS})


def _reference(course: Course) -> Reference:
    return Reference(np.log([[visit.bytes_per_s for visit in made] for made in course.rounds]))


def _shift(sweep: Tuned, course: Course, reference: Reference) -> float:
    """By how much the sweep's figures are off the reference's (a logarithm): the median over the points it visited."""
    of_point: dict[int, list[float]] = {}
    for visit in sweep.visits(course.direction):
        # DeepSpeed's default is visited whether the grid has it or not.
        with contextlib.suppress(ValueError):
            at = course.place(_setting(visit["request"]["setting"]))
            of_point.setdefault(at, []).append(float(np.log(visit["bytes"] * 1e9 / visit["elapsed_ns"])))
    level = float(np.median(reference.levels))
    return float(
        statistics.median(statistics.median(logs) - level - reference.values[at] for at, logs in of_point.items())
    )


def _show_sweeps(run: Run, course: Course, reference: Reference) -> list[int]:
    """A row a sweep; returns the places of their choices."""
    _head(
        *("sweep", "chosen", "MiB a transfer", "ties", "GB/s", "95 % interval"),
        *("reference GB/s", "covers it", "shift", "covers it, shifted", "regret", "published q95", "held"),
    )
    chosen = []
    for number, sweep in enumerate(run.sweeps, start=1):
        section = sweep.profile[course.direction]
        setting = _setting(section)
        chosen.append(at := course.place(setting))
        low, high = (bound / 1e9 for bound in section["throughput_ci95_bytes_per_s"])
        rate = float(np.exp(np.median(reference.levels) + reference.values[at])) / 1e9
        factor = float(np.exp(_shift(sweep, course, reference)))
        _row(
            number,
            " ".join(summary.setting_words(setting)),
            section["transfer_bytes"] >> 20,
            section["ties"],
            f"{section['throughput_bytes_per_s'] / 1e9:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{rate:.3f}",
            "yes" if low <= rate <= high else "no",
            f"{factor - 1:+.1%}",
            "yes" if low <= rate * factor <= high else "no",
            regret := reference.regret(at),
            f"{section['regret95_percent']:.2f} %",
            _held(regret, section["regret95_percent"] / 100),
        )
    return chosen


def _held(regret: Estimate, q95: float) -> str:
    """Whether the regret is no larger than the published one; "?" if the reference's own error does not tell."""
    if abs(regret.value - q95) <= 2 * regret.error:
        return "yes?" if regret.value <= q95 else "no?"
    return "yes" if regret.value <= q95 else "no"


def _agreement(chosen: Sequence[int], reference: Reference) -> Iterable[str]:
    """Cells: how many choices, how many different ones, the pairs that are the same point, and that are alike."""
    both = pairs(chosen)
    same = sum(one == other for one, other in both)
    alike = sum(reference.alike(one, other) for one, other in both)
    return str(len(chosen)), str(len(set(chosen))), f"{same} of {len(both)}", f"{alike} of {len(both)}"


def _show_rules(run: Run, course: Course, reference: Reference, chosen: Sequence[int]) -> None:
    """The sweeps together, and DeepSpeed's rule on the reference's rounds."""
    _head(
        *("", "sweeps", "distinct choices", "pairs, same point", f"pairs, within {ALIKE:.0%}", "regret, mean"),
        *("worst", "below the highest value", "s a sweep", "GiB moved"),
    )
    visits = [
        [sample for sample in sweep.samples if sample["request"]["direction"] == course.direction]
        for sweep in run.sweeps
    ]
    _row(
        "aio-tuned",
        *_agreement(chosen, reference),
        reference.mean_regret(chosen),
        max((reference.regret(at) for at in chosen), key=lambda estimate: estimate.value),
        f"{reference.below_highest(chosen):.2%}",
        f"{statistics.median(sum(visit['wall_ns'] for visit in each) for each in visits) / 1e9:.1f}",
        f"{statistics.median(sum(visit['bytes'] for visit in each) for each in visits) / 2**30:.1f}",
    )
    single = single_visits(reference.logs)
    count = len(course.rounds)
    _row(
        "one visit a point",
        *_agreement(single.chosen, reference),
        single.mean_regret,
        f"{max(single.regrets):.2%}",
        f"{reference.below_highest(single.chosen):.2%}",
        f"{sum(visit.wall_ns for visit in course.visits) / count / 1e9:.1f}",
        f"{sum(visit.bytes for visit in course.visits) / count / 2**30:.1f}",
    )


def _show_reference(course: Course, reference: Reference) -> None:
    """What the reference took, and how much it can tell apart."""
    _head(
        *("reference", "rounds", "s", "GiB moved", "error of a point", f"points within {ALIKE:.0%} of the highest"),
        *("highest / lowest", "level, highest / lowest", "disturbed visits"),
    )
    top = reference.values.max()
    _row(
        course.direction,
        len(course.rounds),
        f"{sum(visit.wall_ns for visit in course.visits) / 1e9:.0f}",
        f"{sum(visit.bytes for visit in course.visits) / 2**30:.1f}",
        f"{np.median(reference.value_errors):.2%}",
        sum(value >= top - np.log1p(ALIKE) for value in reference.values),
        f"{np.exp(top - reference.values.min()):.2f}",
        f"{np.exp(np.ptp(reference.levels)):.2f}",
        sum(bool(taint_reason(visit)) for visit in course.visits),
    )


def show(run: Run) -> None:
    """A section a direction, then what a sweep took."""
    for course in run.courses:
        reference = _reference(course)
        print(f"\n### {course.direction}: {len(course.points)} points, transfers of {course.transfer_bytes >> 20} MiB")
        chosen = _show_sweeps(run, course, reference)
        _show_rules(run, course, reference, chosen)
        _show_reference(course, reference)
    evidence = [sweep.profile["evidence"] for sweep in run.sweeps]
    print(
        f"\nA sweep (medians): {statistics.median(sweep.wall_s for sweep in run.sweeps):.0f} s,"
        f" {statistics.median(each['bytes_read'] for each in evidence) / 2**30:.1f} GiB read,"
        f" {statistics.median(each['bytes_written'] for each in evidence) / 2**30:.1f} GiB written."
    )


def to_table(run: Run) -> dict[str, Any]:
    """The profiles, and the reference's bytes/s by round and point: what JSON can hold."""
    return {
        "sweeps": [{"wall_s": sweep.wall_s, "profile": sweep.profile} for sweep in run.sweeps],
        "reference": [
            {
                "direction": course.direction,
                "transfer_bytes": course.transfer_bytes,
                "points": [dataclasses.asdict(point.setting) for point in course.points],
                "bytes_per_s": [[round(visit.bytes_per_s) for visit in made] for made in course.rounds],
            }
            for course in run.courses
        ],
    }
